#pragma once
/*
 * Capture options: what `record` and `trigger --port` have in common to say about a run that
 * no settings file describes. They become members of the request to the daemon.
 */

#include <stdbool.h>

#include <jansson.h>

#include "options.h"

enum {
	KEY_FOR = 256,
	KEY_PACKETS,
	KEY_BYTES,
	KEY_ROTATE,
	KEY_EVERY,
	KEY_ON_CLOCK,
	KEY_NAME,
	KEY_CAPTURE_END, /* keys of one subcommand alone begin here */
};

#define OPTION_LINES_CAPTURE                                                                       \
	{'f', "filter", "EXPR", "keep only what this tcpdump expression matches"},                 \
		{'s', "snaplen", "LENGTH",                                                         \
			"bytes to store of each packet: a number, or headers,\n"                   \
			"or headers+N; default whole packets"},                                    \
		{'o', "output", "DIR",                                                             \
			"directory for the files, one per disk; may be given\n"                    \
			"again; null: throws the packets away"},                                   \
		{KEY_FOR, "for", "TIME", "end after this time: 10s, 5m, 2h, 1h30m"},               \
		{KEY_PACKETS, "packets", "N", "end after this many packets were kept"},            \
		{KEY_BYTES, "bytes", "SIZE", "end after this many bytes were kept: 500MB, 10GiB"}, \
		{KEY_ROTATE, "rotate", "SIZE", "begin a new file after this size"},                \
		{KEY_EVERY, "every", "TIME", "begin a new file after this time"},                  \
		{KEY_ON_CLOCK, "on-clock", NULL,                                                   \
			"with --every: on the clock (5m cuts at :00, :05, ...)"},                  \
	{                                                                                          \
		KEY_NAME, "name", "NAME", "name of the run, and so of its files"                   \
	}

/*
 * Takes one of the options above into request. EXIT_GOOD or EXIT_USAGE (said, with the value and
 * the rule). Other keys are our own mistake.
 */
int capture_option(const struct usage *usage, int key, const char *argument, json_t *request);

/* After the last option: what only the whole can tell. EXIT_GOOD or EXIT_USAGE. */
int capture_options_check(const struct usage *usage, const json_t *request);

/* --cpus of `record` and `bench`: "2,4-6" as "cpus":[2,4,5,6]. EXIT_GOOD or EXIT_USAGE. */
int capture_cpus(const struct usage *usage, const char *list, json_t *request);
