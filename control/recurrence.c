#include "recurrence.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libical/ical.h>

enum { MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, INTERVAL_MAX = 10000 };

/* Midnight of a day with what rules ask of it. */
struct day {
	int64_t wall;
	struct tm tm;
	int month_length;
	int year_length;
};

static bool is_leap(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static struct day day_at(int64_t wall)
{
	static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	struct day d = {.wall = wall - ((wall % DAY_S) + DAY_S) % DAY_S};
	time_t t = (time_t)d.wall;
	bool leap;

	(void)gmtime_r(&t, &d.tm);
	leap = is_leap(d.tm.tm_year + 1900);
	d.month_length = lengths[d.tm.tm_mon] + (leap && d.tm.tm_mon == 1 ? 1 : 0);
	d.year_length = leap ? 366 : 365;
	return d;
}

static int64_t wall_of_month(int64_t months_since_year_0)
{
	struct tm tm = {.tm_year = (int)(months_since_year_0 / 12) - 1900,
		.tm_mon = (int)(months_since_year_0 % 12),
		.tm_mday = 1};

	return (int64_t)timegm(&tm);
}

static int64_t month_number(const struct day *d)
{
	return (int64_t)(d->tm.tm_year + 1900) * 12 + d->tm.tm_mon;
}

/* Reading the text */

/*
 * libical takes numbers with atoi() into shorts: 65537 would silently be 1. So the numbers
 * are looked at first, and with them what is no part of RFC 5545.
 */
static int clause_check(const char *name, const char *value, struct errbuf *err)
{
	uint64_t max = strcmp(name, "INTERVAL") == 0 ? INTERVAL_MAX : RECURRENCE_COUNT_MAX;
	unsigned long long n;
	char *end;

	if (strcmp(name, "RSCALE") == 0 || strcmp(name, "SKIP") == 0)
		return fail_with(err, -EINVAL, "%s is not part of RFC 5545", name);
	if (strcmp(name, "INTERVAL") == 0 || strcmp(name, "COUNT") == 0) {
		errno = 0;
		n = strtoull(value, &end, 10);
		if (!isdigit((unsigned char)*value) || *end != '\0' || errno != 0 || n < 1 ||
			n > max)
			return fail_with(err, -EINVAL,
				"%s must be a whole number in 1..%llu, got \"%s\"", name,
				(unsigned long long)max, value);
		return 0;
	}
	if (strncmp(name, "BY", 2) != 0 || strcmp(name, "BYDAY") == 0)
		return 0;
	for (const char *p = value;; p = end + 1) {
		long v = strtol(p, &end, 10);

		if (end == p || isspace((unsigned char)*p) || v < -366 || v > 366 ||
			(*end != '\0' && *end != ','))
			return fail_with(
				err, -EINVAL, "%s must be whole numbers, got \"%s\"", name, value);
		if (*end == '\0')
			return 0;
	}
}

static int clauses_check(const char *rule, struct errbuf *err)
{
	char copy[512];
	char *save = NULL;

	if (strlen(rule) >= sizeof(copy))
		return fail_with(err, -EINVAL, "is longer than %zu characters", sizeof(copy) - 1);
	(void)snprintf(copy, sizeof(copy), "%s", rule);
	for (char *p = copy; *p != '\0'; p++) {
		if ((unsigned char)*p <= ' ' || (unsigned char)*p > '~')
			return fail_with(err, -EINVAL,
				"has a character that no rule has: spaces are not allowed");
		*p = (char)toupper((unsigned char)*p);
	}
	for (char *c = strtok_r(copy, ";", &save); c != NULL; c = strtok_r(NULL, ";", &save)) {
		char *equals = strchr(c, '=');
		int r;

		if (equals == NULL)
			return fail_with(err, -EINVAL, "\"%s\" is not NAME=VALUE", c);
		*equals = '\0';
		r = clause_check(c, equals + 1, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A list of libical's, ended by its maximum, as bits; false: a number is out of min..max. */
static bool list_to_bits(const short list[], int size, int min, int max, uint64_t *ret)
{
	for (int i = 0; i < size && list[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
		if (list[i] < min || list[i] > max)
			return false;
		*ret |= 1ULL << list[i];
	}
	return true;
}

/* A list of signed numbers, 0 left out. */
static bool list_to_ints(const short list[], int size, int max, int ret[], unsigned int *ret_count)
{
	for (int i = 0; i < size && list[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
		if (list[i] == 0 || abs(list[i]) > max || *ret_count == RECURRENCE_LIST_MAX)
			return false;
		ret[(*ret_count)++] = list[i];
	}
	return true;
}

static int month_days_read(
	struct recurrence *r, const struct icalrecurrencetype *rule, struct errbuf *err)
{
	for (int i = 0; i < ICAL_BY_MONTHDAY_SIZE; i++) {
		int v = rule->by_month_day[i];

		if (v == ICAL_RECURRENCE_ARRAY_MAX)
			break;
		if (v == 0 || abs(v) > 31)
			return fail_with(err, -EINVAL, "BYMONTHDAY must be 1..31 or -31..-1");
		if (v > 0)
			r->month_days |= 1U << v;
		else
			r->month_days_back |= 1U << -v;
	}
	return 0;
}

static int weekdays_read(
	struct recurrence *r, const struct icalrecurrencetype *rule, struct errbuf *err)
{
	for (int i = 0; i < ICAL_BY_DAY_SIZE; i++) {
		short v = rule->by_day[i];
		int nth;
		unsigned int weekday;

		if (v == ICAL_RECURRENCE_ARRAY_MAX)
			break;
		nth = icalrecurrencetype_day_position(v);
		weekday = (unsigned int)icalrecurrencetype_day_day_of_week(v) - 1;
		if (weekday > 6 || abs(nth) > 53)
			return fail_with(err, -EINVAL, "BYDAY must be days such as MO, 2TU, -1FR");
		if (nth == 0) {
			r->weekdays |= 1U << weekday;
			continue;
		}
		if (r->nth_count == RECURRENCE_LIST_MAX)
			return fail_with(err, -EINVAL, "BYDAY has more than %d numbered days",
				RECURRENCE_LIST_MAX);
		r->nth[r->nth_count] = nth;
		r->nth_weekday[r->nth_count++] = weekday;
	}
	return 0;
}

static int lists_read(
	struct recurrence *r, const struct icalrecurrencetype *rule, struct errbuf *err)
{
	uint64_t months = 0, hours = 0;
	int e;

	if (!list_to_bits(rule->by_month, ICAL_BY_MONTH_SIZE, 1, 12, &months))
		return fail_with(err, -EINVAL, "BYMONTH must be 1..12");
	if (!list_to_bits(rule->by_hour, ICAL_BY_HOUR_SIZE, 0, 23, &hours))
		return fail_with(err, -EINVAL, "BYHOUR must be 0..23");
	if (!list_to_bits(rule->by_minute, ICAL_BY_MINUTE_SIZE, 0, 59, &r->minutes))
		return fail_with(err, -EINVAL, "BYMINUTE must be 0..59");
	if (!list_to_bits(rule->by_second, ICAL_BY_SECOND_SIZE, 0, 59, &r->seconds))
		return fail_with(err, -EINVAL, "BYSECOND must be 0..59");
	if (!list_to_ints(
		    rule->by_year_day, ICAL_BY_YEARDAY_SIZE, 366, r->year_days, &r->year_day_count))
		return fail_with(err, -EINVAL,
			"BYYEARDAY must be 1..366 or -366..-1, at most %d of them",
			RECURRENCE_LIST_MAX);
	if (!list_to_ints(rule->by_week_no, ICAL_BY_WEEKNO_SIZE, 53, r->weeks, &r->week_count))
		return fail_with(err, -EINVAL, "BYWEEKNO must be 1..53 or -53..-1");
	if (!list_to_ints(
		    rule->by_set_pos, ICAL_BY_SETPOS_SIZE, 366, r->positions, &r->position_count))
		return fail_with(err, -EINVAL,
			"BYSETPOS must be 1..366 or -366..-1, at most %d of them",
			RECURRENCE_LIST_MAX);
	r->months = (uint32_t)months;
	r->hours = (uint32_t)hours;
	e = month_days_read(r, rule, err);
	return e < 0 ? e : weekdays_read(r, rule, err);
}

/* The RFC's table of what goes with which FREQ (page 44). */
static int combination_check(const struct recurrence *r, struct errbuf *err)
{
	bool monthly = r->freq == EVERY_MONTH, yearly = r->freq == EVERY_YEAR;
	bool any = r->months || r->month_days || r->month_days_back || r->weekdays || r->hours ||
		   r->minutes || r->seconds || r->nth_count || r->year_day_count || r->week_count;

	if (r->nth_count != 0 && !monthly && !yearly)
		return fail_with(
			err, -EINVAL, "BYDAY with numbers (-1FR) needs FREQ=MONTHLY or YEARLY");
	if (r->nth_count != 0 && r->week_count != 0)
		return fail_with(err, -EINVAL, "BYDAY with numbers does not go with BYWEEKNO");
	if (r->week_count != 0 && !yearly)
		return fail_with(err, -EINVAL, "BYWEEKNO needs FREQ=YEARLY");
	if (r->year_day_count != 0 && (monthly || r->freq == EVERY_WEEK || r->freq == EVERY_DAY))
		return fail_with(
			err, -EINVAL, "BYYEARDAY does not go with FREQ=DAILY, WEEKLY or MONTHLY");
	if ((r->month_days != 0 || r->month_days_back != 0) && r->freq == EVERY_WEEK)
		return fail_with(err, -EINVAL, "BYMONTHDAY does not go with FREQ=WEEKLY");
	if (r->position_count != 0 && !any)
		return fail_with(err, -EINVAL, "BYSETPOS needs another BY... to choose from");
	return 0;
}

/* What a rule leaves open is taken from DTSTART. */
static void fill_from_dtstart(struct recurrence *r)
{
	struct day d = day_at(r->dtstart);
	int64_t second = r->dtstart - d.wall;
	bool no_days = r->month_days == 0 && r->month_days_back == 0 && r->weekdays == 0 &&
		       r->nth_count == 0 && r->year_day_count == 0;

	if (r->freq == EVERY_YEAR && no_days && r->months == 0 && r->week_count == 0)
		r->months = 1U << (d.tm.tm_mon + 1);
	if (r->freq == EVERY_YEAR && no_days && r->week_count != 0)
		r->weekdays = 1U << d.tm.tm_wday;
	else if ((r->freq == EVERY_YEAR || r->freq == EVERY_MONTH) && no_days)
		r->month_days = 1U << d.tm.tm_mday;
	if (r->freq == EVERY_WEEK && r->weekdays == 0)
		r->weekdays = 1U << d.tm.tm_wday;
	if (r->freq > EVERY_HOUR && r->hours == 0)
		r->hours = 1U << (second / HOUR_S);
	if (r->freq > EVERY_MINUTE && r->minutes == 0)
		r->minutes = 1ULL << (second / MINUTE_S % 60);
	if (r->seconds == 0)
		r->seconds = 1ULL << (second % 60);
}

static int until_read(
	struct recurrence *r, const struct icalrecurrencetype *rule, struct errbuf *err)
{
	struct icaltimetype until = rule->until;
	struct tm tm = {.tm_year = until.year - 1900,
		.tm_mon = until.month - 1,
		.tm_mday = until.day,
		.tm_hour = until.is_date ? 23 : until.hour,
		.tm_min = until.is_date ? 59 : until.minute,
		.tm_sec = until.is_date ? 59 : until.second};

	if (icaltime_is_null_time(until))
		return 0;
	if (!icaltime_is_valid_time(until) || until.year < 1970 || until.year > 2500)
		return fail_with(err, -EINVAL,
			"UNTIL must be a time such as 20261231T230000Z, years 1970 to 2500");
	r->has_until = true;
	r->until_is_instant = !until.is_date && icaltime_is_utc(until);
	r->until = (int64_t)timegm(&tm);
	return 0;
}

static int freq_read(
	struct recurrence *r, const struct icalrecurrencetype *rule, struct errbuf *err)
{
	switch (rule->freq) {
	case ICAL_MINUTELY_RECURRENCE:
		r->freq = EVERY_MINUTE;
		return 0;
	case ICAL_HOURLY_RECURRENCE:
		r->freq = EVERY_HOUR;
		return 0;
	case ICAL_DAILY_RECURRENCE:
		r->freq = EVERY_DAY;
		return 0;
	case ICAL_WEEKLY_RECURRENCE:
		r->freq = EVERY_WEEK;
		return 0;
	case ICAL_MONTHLY_RECURRENCE:
		r->freq = EVERY_MONTH;
		return 0;
	case ICAL_YEARLY_RECURRENCE:
		r->freq = EVERY_YEAR;
		return 0;
	case ICAL_SECONDLY_RECURRENCE:
		return fail_with(err, -EINVAL, "FREQ=SECONDLY is too often for a window");
	default:
		return fail_with(
			err, -EINVAL, "is not a rule of RFC 5545, try \"FREQ=MONTHLY;BYDAY=-1FR\"");
	}
}

int recurrence_parse(const char *rule, int64_t dtstart, struct recurrence *ret, struct errbuf *err)
{
	struct icalrecurrencetype parsed;
	struct recurrence r = {.dtstart = dtstart};
	int e;

	e = clauses_check(rule, err);
	if (e < 0)
		return e;
	parsed = icalrecurrencetype_from_string(rule);
	/* On a fault libical gives an empty rule; RSCALE, its only memory, was refused above. */
	e = freq_read(&r, &parsed, err);
	if (e < 0)
		return e;
	r.interval = parsed.interval;
	r.count = (unsigned int)parsed.count;
	r.week_start = (unsigned int)parsed.week_start - 1;
	e = until_read(&r, &parsed, err);
	if (e == 0)
		e = lists_read(&r, &parsed, err);
	if (e == 0)
		e = combination_check(&r, err);
	if (e < 0)
		return e;
	fill_from_dtstart(&r);
	*ret = r;
	return 0;
}

/* Which days */

static bool in_list(const int list[], unsigned int count, int value, int value_back)
{
	for (unsigned int i = 0; i < count; i++)
		if (list[i] == value || list[i] == value_back)
			return true;
	return false;
}

/* Is it the nth of its weekday in the month (in a yearly rule without BYMONTH: in the year)? */
static bool is_nth(const struct recurrence *r, const struct day *d)
{
	bool of_month = r->freq == EVERY_MONTH || r->months != 0;
	int before = of_month ? d->tm.tm_mday - 1 : d->tm.tm_yday;
	int after = (of_month ? d->month_length : d->year_length) - 1 - before;

	for (unsigned int i = 0; i < r->nth_count; i++) {
		if (r->nth_weekday[i] != (unsigned int)d->tm.tm_wday)
			continue;
		if (r->nth[i] == before / 7 + 1 || r->nth[i] == -(after / 7 + 1))
			return true;
	}
	return false;
}

/* Week 1 of a year is the first with four days or more in it (RFC 5545 page 42). */
static int64_t first_week(const struct recurrence *r, int year)
{
	struct tm tm = {.tm_year = year - 1900, .tm_mon = 0, .tm_mday = 4};
	struct day d = day_at((int64_t)timegm(&tm));

	return d.wall - (int64_t)((unsigned int)(d.tm.tm_wday + 7) - r->week_start) % 7 * DAY_S;
}

static bool week_matches(const struct recurrence *r, const struct day *d)
{
	int year = d->tm.tm_year + 1900;
	int64_t first;
	int week, weeks;

	if (d->wall < first_week(r, year))
		year--;
	else if (d->wall >= first_week(r, year + 1))
		year++;
	first = first_week(r, year);
	week = (int)((d->wall - first) / DAY_S / 7);
	weeks = (int)((first_week(r, year + 1) - first) / DAY_S / 7);
	return in_list(r->weeks, r->week_count, week + 1, week - weeks);
}

static bool day_matches(const struct recurrence *r, const struct day *d)
{
	if (r->months != 0 && (r->months & 1U << (d->tm.tm_mon + 1)) == 0)
		return false;
	if ((r->month_days != 0 || r->month_days_back != 0) &&
		(r->month_days & 1U << d->tm.tm_mday) == 0 &&
		(r->month_days_back & 1U << (d->month_length - d->tm.tm_mday + 1)) == 0)
		return false;
	if ((r->weekdays != 0 || r->nth_count != 0) && (r->weekdays & 1U << d->tm.tm_wday) == 0 &&
		!is_nth(r, d))
		return false;
	if (r->year_day_count != 0 && !in_list(r->year_days, r->year_day_count, d->tm.tm_yday + 1,
					      d->tm.tm_yday - d->year_length))
		return false;
	return r->week_count == 0 || week_matches(r, d);
}

/* Period by period */

struct expansion {
	const struct recurrence *r;
	int64_t from;
	int64_t last;
	bool (*emit)(int64_t wall, void *arg);
	void *arg;
	unsigned int position; /* in the set of this period, from 0 */
	unsigned int set_size;
};

static bool position_matches(const struct expansion *x)
{
	return x->r->position_count == 0 ||
	       in_list(x->r->positions, x->r->position_count, (int)x->position + 1,
		       (int)x->position - (int)x->set_size);
}

static bool emit_one(struct expansion *x, int64_t wall)
{
	bool chosen = position_matches(x);

	x->position++;
	if (!chosen || wall < x->from)
		return true;
	return wall <= x->last && x->emit(wall, x->arg);
}

/* All times that hours, minutes and seconds make after midnight. */
static bool emit_times(
	struct expansion *x, int64_t midnight, uint32_t hours, uint64_t minutes, uint64_t seconds)
{
	for (uint32_t h = hours; h != 0; h &= h - 1)
		for (uint64_t m = minutes; m != 0; m &= m - 1)
			for (uint64_t s = seconds; s != 0; s &= s - 1)
				if (!emit_one(x, midnight + __builtin_ctz(h) * HOUR_S +
							 __builtin_ctzll(m) * MINUTE_S +
							 __builtin_ctzll(s)))
					return false;
	return true;
}

/* A period of whole days, end excluded. */
static bool emit_days(struct expansion *x, int64_t begin, int64_t end)
{
	const struct recurrence *r = x->r;
	unsigned int times =
		(unsigned int)(__builtin_popcount(r->hours) * __builtin_popcountll(r->minutes) *
			       __builtin_popcountll(r->seconds));

	x->position = 0;
	x->set_size = 0;
	if (r->position_count != 0)
		for (int64_t wall = begin; wall < end; wall += DAY_S) {
			struct day d = day_at(wall);

			x->set_size += day_matches(r, &d) ? times : 0;
		}
	for (int64_t wall = begin; wall < end; wall += DAY_S) {
		struct day d = day_at(wall);

		if (day_matches(r, &d) && !emit_times(x, wall, r->hours, r->minutes, r->seconds))
			return false;
	}
	return true;
}

static int64_t round_up(int64_t value, int64_t origin, int64_t step)
{
	return value <= origin ? origin : origin + (value - origin + step - 1) / step * step;
}

/* Steps of hours or minutes; days and hours that do not match are passed over as a whole. */
static void expand_short(struct expansion *x)
{
	const struct recurrence *r = x->r;
	int64_t unit = r->freq == EVERY_HOUR ? HOUR_S : MINUTE_S;
	int64_t step = unit * r->interval;
	int64_t origin = r->dtstart / unit * unit;
	int64_t wall = round_up(x->from / unit * unit, origin, step);

	while (wall <= x->last) {
		struct day d = day_at(wall);
		int hour = (int)((wall - d.wall) / HOUR_S);
		int minute = (int)((wall - d.wall) / MINUTE_S % 60);
		uint64_t minutes = r->freq == EVERY_HOUR ? r->minutes : 1ULL << minute;

		if (!day_matches(r, &d)) {
			wall = round_up(d.wall + DAY_S, origin, step);
			continue;
		}
		if (r->hours != 0 && (r->hours & 1U << hour) == 0) {
			wall = round_up(d.wall + (hour + 1) * HOUR_S, origin, step);
			continue;
		}
		if (r->freq == EVERY_HOUR || r->minutes == 0 || (r->minutes & minutes) != 0) {
			x->position = 0;
			x->set_size = (unsigned int)(__builtin_popcountll(minutes) *
						     __builtin_popcountll(r->seconds));
			if (!emit_times(x, d.wall, 1U << hour, minutes, r->seconds))
				return;
		}
		wall += step;
	}
}

/* Steps of days or weeks. */
static void expand_days(struct expansion *x, int64_t origin, int64_t days)
{
	int64_t step = days * DAY_S * x->r->interval;
	int64_t wall = origin;

	if (x->from > origin)
		wall = origin + (x->from - origin) / step * step;
	for (; wall <= x->last; wall += step)
		if (!emit_days(x, wall, wall + days * DAY_S))
			return;
}

/* Steps of months; a year is twelve. */
static void expand_months(struct expansion *x, int64_t months)
{
	struct day start = day_at(x->r->dtstart);
	struct day from = day_at(x->from);
	int64_t step = months * x->r->interval;
	int64_t origin = month_number(&start) / months * months;
	int64_t month = origin + (month_number(&from) - origin) / step * step;

	for (; wall_of_month(month) <= x->last; month += step)
		if (!emit_days(x, wall_of_month(month), wall_of_month(month + months)))
			return;
}

void recurrence_expand(const struct recurrence *r, int64_t from, int64_t last,
	bool (*emit)(int64_t wall, void *arg), void *arg)
{
	struct expansion x = {.r = r,
		.from = from > r->dtstart ? from : r->dtstart,
		.last = last,
		.emit = emit,
		.arg = arg};
	struct day start = day_at(r->dtstart);
	unsigned int into_week = ((unsigned int)start.tm.tm_wday + 7 - r->week_start) % 7;

	switch (r->freq) {
	case EVERY_MINUTE:
	case EVERY_HOUR:
		expand_short(&x);
		break;
	case EVERY_DAY:
		expand_days(&x, start.wall, 1);
		break;
	case EVERY_WEEK:
		expand_days(&x, start.wall - (int64_t)into_week * DAY_S, 7);
		break;
	case EVERY_MONTH:
		expand_months(&x, 1);
		break;
	case EVERY_YEAR:
		expand_months(&x, 12);
		break;
	}
}
