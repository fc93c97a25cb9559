#pragma once
/*
 * Progress: one line on stderr that is rewritten each second while `record` or `bench` runs.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct progress {
	bool on;       /* shows anything */
	bool terminal; /* stderr is one: the line is rewritten; else each is a line of its own */
	bool drawn;    /* a line stands on the terminal, without newline */
	uint64_t start_ns;
	/* of the line before, for the rates */
	uint64_t last_ns;
	uint64_t received_pkts;
	uint64_t wire_bytes;
	uint64_t disk_bytes;
};

/* verbose: also where stderr is no terminal. Times are of client_now_ns(). */
void progress_start(struct progress *p, bool verbose, uint64_t now_ns);

/* A new line from a "status" answer, if a second has passed since the last. */
void progress_show(struct progress *p, const json_t *status, uint64_t now_ns);

/* Draws this line instead; fields that two blanks part are cut off where the terminal ends. */
void progress_draw(struct progress *p, const char *line);

/* Takes the line off the terminal: before other messages, and at the end. */
void progress_clear(struct progress *p);
