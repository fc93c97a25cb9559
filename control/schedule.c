#include "schedule.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recurrence.h"
#include "wirespool/units.h"
#include "zone.h"

enum {
	DAY_S = 86400,
	STARTS_AHEAD = 64, /* starts computed at a time */
	LENGTH_MAX_DAYS = 366,
	BACK_MAX_S = 7 * DAY_S,
};

/* No wall clock is further from UTC than this, gaps of a whole day included. */
static const int64_t MARGIN_S = 2 * DAY_S;

/* How far a rule is searched for its next start; ns since the epoch end soon after LAST_INSTANT. */
static const int64_t HORIZON_S = 100LL * 366 * DAY_S;
static const int64_t HORIZON_SHORT_S = 10LL * 366 * DAY_S; /* ... in steps of hours or minutes */
static const int64_t LAST_INSTANT = 16725225600LL;         /* 2500-01-01 */

/* A bare start time counts from this day (wirespool.conf(5)). A Saturday. */
static const int64_t ANCHOR = 946684800; /* 2000-01-01 */

/*
 * Starts that were worked out: at holds every one in from..to, in order. A window is asked
 * every second and answers from this; control's thread alone does so.
 */
struct starts {
	int64_t from;
	int64_t to; /* INT64_MAX: the rule has no more */
	unsigned int count;
	unsigned int room;
	int64_t *at;
};

struct window {
	struct window_rule rule; /* its texts are ours */
	struct zone *zone;
	struct recurrence recurrence;
	int64_t length_s;
	uint64_t length_ns;
	struct starts *starts;
};

struct gather {
	const struct window *w;
	struct starts *starts;
	unsigned int seen; /* of COUNT */
	bool ended;        /* by COUNT or UNTIL */
	bool out_of_memory;
};

/* Reading a rule */

static bool read_two(const char **p, int max, int *ret)
{
	const char *s = *p;

	if (!isdigit((unsigned char)s[0]) || !isdigit((unsigned char)s[1]))
		return false;
	*ret = (s[0] - '0') * 10 + s[1] - '0';
	*p = s + 2;
	return *ret <= max;
}

/* "HH:MM" or "HH:MM:SS", to the text's end. */
static bool read_time(const char *p, int *ret_second)
{
	int h, m, s = 0;

	if (!read_two(&p, 23, &h) || *p++ != ':' || !read_two(&p, 59, &m))
		return false;
	if (*p == ':') {
		p++;
		if (!read_two(&p, 59, &s))
			return false;
	}
	*ret_second = h * 3600 + m * 60 + s;
	return *p == '\0';
}

/* "YYYY-MM-DDT" in front of the time; false: not a day of the calendar. */
static bool read_date(const char *text, int64_t *ret_day)
{
	struct tm tm = {0}, back;
	const char *p = text + 5;
	int year = 0;
	time_t t;

	for (int i = 0; i < 4; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		year = year * 10 + text[i] - '0';
	}
	if (text[4] != '-' || !read_two(&p, 12, &tm.tm_mon) || *p++ != '-' ||
		!read_two(&p, 31, &tm.tm_mday) || *p != 'T' || year < 1970 || year > 2400)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon--;
	back = tm;
	t = timegm(&back);
	*ret_day = (int64_t)t;
	return back.tm_mday == tm.tm_mday && back.tm_mon == tm.tm_mon;
}

static int start_read(const struct window_rule *rule, int64_t *ret_dtstart, struct errbuf *err)
{
	const char *text = rule->start;
	int64_t day = ANCHOR;
	int second;

	if (text == NULL)
		return fail_with(err, -EINVAL, "start is missing, try start = \"08:00\"");
	if (strchr(text, 'T') != NULL) {
		if (rule->rrule == NULL)
			return fail_with(err, -EINVAL,
				"start \"%s\": with days it is a time alone, try \"08:00\"", text);
		if (strlen(text) < 11 || !read_date(text, &day))
			return fail_with(err, -EINVAL,
				"start \"%s\" is not a date and time, try \"2026-01-01T08:00:00\" "
				"(years 1970 to 2400)",
				text);
		text += 11;
	}
	if (!read_time(text, &second))
		return fail_with(err, -EINVAL,
			"start \"%s\" is not a time of day, try \"08:00\" or \"23:30:15\"",
			rule->start);
	*ret_dtstart = day + second;
	return 0;
}

static int length_read(struct window *w, struct errbuf *err)
{
	struct errbuf why;
	uint64_t ns;
	int r;

	if (w->rule.length == NULL)
		return fail_with(err, -EINVAL, "length is missing, try length = \"10h\"");
	r = duration_parse(w->rule.length, &ns, &why);
	if (r < 0)
		return fail_with(err, -EINVAL, "length %.480s", why.text);
	if (ns < NS_PER_SEC || ns > LENGTH_MAX_DAYS * DAY_S * NS_PER_SEC)
		return fail_with(err, -EINVAL, "length \"%s\" must be 1s to %dd", w->rule.length,
			LENGTH_MAX_DAYS);
	w->length_ns = ns;
	w->length_s = (int64_t)((ns + NS_PER_SEC - 1) / NS_PER_SEC);
	return 0;
}

static const char *const DAY_NAMES[] = {
	"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};

/* A day's name, whole or its first three letters; -1: none. */
static int day_named(const char *text, size_t length)
{
	for (int i = 0; i < 7; i++)
		if ((length == 3 || length == strlen(DAY_NAMES[i])) &&
			strncasecmp(text, DAY_NAMES[i], length) == 0)
			return i;
	return -1;
}

/* "mon-fri", "sat,sun", "fri-mon,wed", "daily" -> a weekly rule. */
static int days_to_rrule(const char *days, char ret[64], struct errbuf *err)
{
	static const char *const codes[] = {"SU", "MO", "TU", "WE", "TH", "FR", "SA"};
	unsigned int mask = 0;
	const char *p = days;

	if (strcasecmp(days, "daily") == 0) {
		mask = 0x7f;
		p = "";
	}
	while (mask == 0 || *p != '\0') {
		size_t length = strcspn(p, "-,");
		int first = day_named(p, length), last = first;

		p += length;
		if (*p == '-') {
			length = strcspn(++p, ",");
			last = day_named(p, length);
			p += length;
		}
		if (first < 0 || last < 0 || (*p == ',' && p[1] == '\0'))
			return fail_with(err, -EINVAL,
				"days \"%s\" are no days, try \"mon-fri\", \"sat,sun\" or "
				"\"daily\"",
				days);
		for (int day = first;; day = (day + 1) % 7) {
			mask |= 1U << day;
			if (day == last)
				break;
		}
		p += *p == ',';
	}
	(void)snprintf(ret, 64, "FREQ=WEEKLY;BYDAY=");
	for (int i = 0; i < 7; i++)
		if (mask & 1U << i)
			(void)snprintf(ret + strlen(ret), 64 - strlen(ret), "%s%s",
				mask & ((1U << i) - 1) ? "," : "", codes[i]);
	return 0;
}

static int rule_read(struct window *w, struct errbuf *err)
{
	const struct window_rule *rule = &w->rule;
	char weekly[64];
	struct errbuf why;
	int64_t dtstart = 0;
	int r;

	if ((rule->days == NULL) == (rule->rrule == NULL))
		return fail_with(err, -EINVAL, "a window has either days or rrule");
	r = start_read(rule, &dtstart, err);
	if (r == 0)
		r = length_read(w, err);
	if (r == 0 && rule->days != NULL)
		r = days_to_rrule(rule->days, weekly, err);
	if (r < 0)
		return r;
	r = recurrence_parse(
		rule->rrule != NULL ? rule->rrule : weekly, dtstart, &w->recurrence, &why);
	if (r < 0)
		return fail_with(err, r, "rrule \"%.128s\": %.300s", rule->rrule, why.text);
	return 0;
}

/* Working out starts */

static bool gather_one(int64_t wall, void *arg)
{
	struct gather *g = arg;
	struct starts *s = g->starts;
	const struct recurrence *r = &g->w->recurrence;
	int64_t instant = zone_instant(g->w->zone, wall);

	if (r->has_until && (r->until_is_instant ? instant : wall) > r->until) {
		g->ended = true;
		return false;
	}
	g->seen++;
	/* Two times that a gap makes one, and what the margin brought too much. */
	if (instant >= s->from && (s->count == 0 || instant > s->at[s->count - 1])) {
		if (s->count == s->room) {
			unsigned int room = s->room == 0 ? STARTS_AHEAD : s->room * 2;
			int64_t *at = realloc(s->at, room * sizeof(*at));

			if (at == NULL) {
				g->out_of_memory = true;
				return false;
			}
			s->at = at;
			s->room = room;
		}
		s->at[s->count++] = instant;
	}
	if (r->count != 0) {
		g->ended = g->seen == r->count;
		return !g->ended;
	}
	return s->count < STARTS_AHEAD;
}

static int64_t horizon(const struct window *w)
{
	return w->recurrence.freq <= EVERY_HOUR ? HORIZON_SHORT_S : HORIZON_S;
}

/*
 * Where the search from begin ends: never for want of an end, and never after more than some
 * million steps.
 */
static int64_t search_end(const struct recurrence *r, int64_t begin, int64_t horizon_s)
{
	int64_t unit = r->freq == EVERY_HOUR ? 3600 : 60;

	if (r->count == 0)
		return begin + horizon_s;
	if (r->freq > EVERY_HOUR)
		return LAST_INSTANT;
	horizon_s += 2 * unit * r->interval * r->count;
	return horizon_s < LAST_INSTANT - begin ? begin + horizon_s : LAST_INSTANT;
}

/*
 * The starts from from on. A rule with COUNT has all of its at once, as they must be counted from
 * the first.
 */
static int starts_fill(const struct window *w, int64_t from)
{
	const struct recurrence *r = &w->recurrence;
	struct gather g = {.w = w, .starts = w->starts};
	struct starts *s = w->starts;
	int64_t begin, end;

	if (r->count != 0)
		from = INT64_MIN / 2;
	begin = from > r->dtstart ? from : r->dtstart;
	end = search_end(r, begin, horizon(w));
	s->from = from;
	s->count = 0;
	recurrence_expand(r, begin - MARGIN_S, end + MARGIN_S, gather_one, &g);
	if (g.out_of_memory) {
		s->count = 0;
		s->from = s->to = INT64_MIN / 2;
		return -ENOMEM;
	}
	if (g.ended || r->count != 0)
		s->to = INT64_MAX;
	else
		s->to = s->count >= STARTS_AHEAD ? s->at[s->count - 1] : end;
	return 0;
}

/*
 * The first start at instant or later, from what is worked out; -1: there is none, or it is not
 * known.
 */
static int64_t starts_find(const struct starts *s, int64_t instant)
{
	unsigned int low = 0, high = s->count;

	if (instant < s->from)
		return -1;
	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (s->at[middle] < instant)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->count ? s->at[low] : -1;
}

/*
 * Nothing comes after: the rule has ended, or nothing lies in half of how far rules are searched. (Half: so that
 * a rule that names no more days is not searched again every second.)
 */
static bool is_known_to_end(const struct window *w, int64_t after)
{
	const struct starts *s = w->starts;

	return after >= s->from && (s->to == INT64_MAX || s->to - after > horizon(w) / 2);
}

int window_next(const struct window *w, uint64_t after_ns, struct occurrence *ret)
{
	/*
	 * Starts are whole seconds: the first at after_ns or later is at the next whole one or
	 * later.
	 */
	int64_t after = (int64_t)(after_ns / NS_PER_SEC) + (after_ns % NS_PER_SEC != 0 ? 1 : 0);
	int64_t back = w->length_s < BACK_MAX_S ? w->length_s : BACK_MAX_S;
	int64_t start;
	int r = 0;

	if (after > LAST_INSTANT)
		return -ENOENT;
	start = starts_find(w->starts, after);
	if (start < 0 && !is_known_to_end(w, after)) {
		/* From a little before, for those who ask what is open now. */
		r = starts_fill(w, after - back);
		start = starts_find(w->starts, after);
	}
	if (start < 0 && r == 0 && !is_known_to_end(w, after)) {
		r = starts_fill(w, after);
		start = starts_find(w->starts, after);
	}
	if (r < 0)
		return r;
	if (start < 0)
		return -ENOENT;
	ret->start_ns = (uint64_t)start * NS_PER_SEC;
	ret->end_ns = ret->start_ns + w->length_ns;
	return 0;
}

unsigned int window_open_at(
	const struct window *w, uint64_t now_ns, struct occurrence ret[], unsigned int max)
{
	uint64_t after_ns = now_ns < w->length_ns ? 0 : now_ns - w->length_ns + 1;
	unsigned int n = 0;

	while (n < max && window_next(w, after_ns, &ret[n]) == 0 && ret[n].start_ns <= now_ns)
		after_ns = ret[n++].start_ns + 1;
	return n;
}

/* Making and unmaking */

static bool copy_text(const char *from, const char **ret)
{
	*ret = from != NULL ? strdup(from) : NULL;
	return from == NULL || *ret != NULL;
}

int window_new(const struct window_rule *rule, struct window **ret_window, struct errbuf *err)
{
	struct window *w = calloc(1, sizeof(*w));
	int r = -ENOMEM;

	if (w != NULL)
		w->starts = calloc(1, sizeof(*w->starts));
	if (w == NULL || w->starts == NULL || !copy_text(rule->days, &w->rule.days) ||
		!copy_text(rule->start, &w->rule.start) ||
		!copy_text(rule->length, &w->rule.length) ||
		!copy_text(rule->timezone, &w->rule.timezone) ||
		!copy_text(rule->rrule, &w->rule.rrule)) {
		(void)fail_with(err, -ENOMEM, "out of memory");
		goto free_window;
	}
	r = rule_read(w, err);
	if (r == 0)
		r = zone_new(rule->timezone, &w->zone, err);
	if (r == 0)
		r = starts_fill(w, 0);
	if (r == 0 && w->starts->count == 0)
		r = fail_with(err, -EINVAL, "rrule \"%.256s\" from \"%.64s\" never opens",
			rule->rrule, rule->start);
	if (r < 0)
		goto free_window;
	*ret_window = w;
	return 0;
free_window:
	window_free(w);
	return r;
}

void window_free(struct window *w)
{
	if (w == NULL)
		return;
	if (w->starts != NULL)
		free(w->starts->at);
	free(w->starts);
	zone_free(w->zone);
	free((char *)w->rule.days);
	free((char *)w->rule.start);
	free((char *)w->rule.length);
	free((char *)w->rule.timezone);
	free((char *)w->rule.rrule);
	free(w);
}

const struct window_rule *window_get_rule(const struct window *w)
{
	return &w->rule;
}

const char *window_timezone(const struct window *w)
{
	return zone_name(w->zone);
}

void window_local_time(const struct window *w, uint64_t time_ns, char *buf, unsigned long size)
{
	int64_t instant = (int64_t)(time_ns / NS_PER_SEC);
	int64_t offset = zone_offset(w->zone, instant);
	unsigned int minutes = (unsigned int)(offset < 0 ? -offset : offset) / 60;
	time_t wall = (time_t)(instant + offset);
	char text[32];
	struct tm tm;

	(void)gmtime_r(&wall, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buf, size, "%s%c%02u:%02u", text, offset < 0 ? '-' : '+', minutes / 60,
		minutes % 60);
}
