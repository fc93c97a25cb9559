#pragma once
/*
 * Schedule: when windows open and close, across time zones and changes of clocks.
 *
 * A window is a rule; each of its openings is one occurrence [start, end) in ns since
 * the epoch. The wall clock of the window's IANA time zone says when it starts; its length is
 * elapsed time. A start in the hour that a change of clocks leaves out is the first
 * instant after that hour; a start in the hour that comes twice is the first of the two.
 *
 * No clock is read here: the caller says from when. recurrence.h knows rules, zone.h knows zones.
 *
 * Threads  control's only: a window keeps the starts it has worked out, so that asking it every
 *          second costs a binary search.
 */

#include <stdint.h>

#include "wirespool/errbuf.h"

struct window;

struct window_rule {
	const char *days; /* "mon-fri", "sat,sun", "daily"; NULL with rrule */
	const char
		*start; /* "08:00", "23:30:15"; with rrule also "2026-01-01T08:00:00" as DTSTART */
	const char *length;   /* "10h" */
	const char *timezone; /* "Europe/Berlin", "UTC"; NULL: the machine's own */
	const char *rrule;    /* RFC 5545, "FREQ=MONTHLY;BYDAY=-1FR"; NULL with days */
};

/* On failure nothing is stored; err names the value and the rule. *ret_window is the caller's. */
int window_new(const struct window_rule *rule, struct window **ret_window, struct errbuf *err);
void window_free(struct window *w);

/* The texts that the window was made of, valid until window_free(): window_new() on them makes a copy. */
const struct window_rule *window_get_rule(const struct window *w);

struct occurrence {
	uint64_t start_ns;
	uint64_t end_ns;
};

/*
 * The earliest occurrence that starts at after_ns or later. Returns 0, or -ENOENT when the rule has no more.
 */
int window_next(const struct window *w, uint64_t after_ns, struct occurrence *ret);

/*
 * The occurrences that are open at now_ns (start <= now < end), earliest start first; more than one when the length
 * is longer than the distance between starts. Returns how many were stored, at most max.
 */
unsigned int window_open_at(
	const struct window *w, uint64_t now_ns, struct occurrence ret[], unsigned int max);

/* The zone's name, and an instant as its local time: "2026-10-25T02:30:00+01:00". */
const char *window_timezone(const struct window *w);
void window_local_time(const struct window *w, uint64_t time_ns, char *buf, unsigned long size);
