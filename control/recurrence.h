#pragma once
/*
 * Recurrence: an RFC 5545 RRULE turned to the wall-clock times it names.
 *
 * Times are wall seconds, as in zone.h: a rule knows days and hours, not zones. libical
 * reads the rule's text. The expansion is our own: libical 3.0.16 leaves out days (DAILY with
 * BYMONTHDAY=-1, YEARLY with BYMONTHDAY alone), ignores BYSETPOS in weeks and hours, and never comes
 * back from some MINUTELY rules; tests hold ours against python's dateutil.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wirespool/errbuf.h"

enum { RECURRENCE_COUNT_MAX = 100000, RECURRENCE_LIST_MAX = 64 };

enum recurrence_freq { EVERY_MINUTE, EVERY_HOUR, EVERY_DAY, EVERY_WEEK, EVERY_MONTH, EVERY_YEAR };

struct recurrence {
	int64_t dtstart; /* wall seconds */
	enum recurrence_freq freq;
	int64_t interval;
	unsigned int count; /* 0: no end */
	bool has_until;
	bool until_is_instant;   /* "...Z": seconds since the epoch; else wall seconds */
	int64_t until;           /* the last start that is allowed */
	unsigned int week_start; /* 0 = Sunday */

	/* Bit n stands for n; a mask of 0: any, except hours, minutes and seconds, which are never 0 for what
	 * the period leaves open. */
	uint32_t months;
	uint32_t month_days;      /* from the month's first day: 1..31 */
	uint32_t month_days_back; /* from its last: bit 1 is the last day */
	uint32_t weekdays;
	uint32_t hours;
	uint64_t minutes;
	uint64_t seconds;

	/* BYDAY with a number ("-1FR"): both lists have nth_count members. */
	unsigned int nth_count;
	int nth[RECURRENCE_LIST_MAX];
	unsigned int nth_weekday[RECURRENCE_LIST_MAX];
	unsigned int year_day_count;
	int year_days[RECURRENCE_LIST_MAX];
	unsigned int week_count;
	int weeks[RECURRENCE_LIST_MAX];
	unsigned int position_count;
	int positions[RECURRENCE_LIST_MAX];
};

/* -EINVAL and a sentence for what is no rule, what the RFC forbids, and FREQ=SECONDLY. */
int recurrence_parse(const char *rule, int64_t dtstart, struct recurrence *ret, struct errbuf *err);

/*
 * Calls emit with each time >= from (and >= dtstart) in ascending order, each once, until emit returns
 * false or the time passes last. COUNT and UNTIL are the caller's. Always ends.
 */
void recurrence_expand(const struct recurrence *r, int64_t from, int64_t last,
	bool (*emit)(int64_t wall, void *arg), void *arg);
