/* rooms: control */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/recurrence.h"
#include "control/schedule.h"
#include "control/zone.h"
#include "suite_main.h"
#include "wirespool/units.h"

static int64_t seconds_of(const char *text, const char *format)
{
	struct tm tm = {0};
	const char *end = strptime(text, format, &tm);

	ck_assert_msg(end != NULL && *end == '\0', "not a time: %s", text);
	return (int64_t)timegm(&tm);
}

/* "2026-10-25T00:30:00Z" in ns */
static uint64_t ns_of(const char *text)
{
	return (uint64_t)seconds_of(text, "%Y-%m-%dT%H:%M:%SZ") * NS_PER_SEC;
}

static struct window *must_make(struct window_rule rule)
{
	struct window *w = NULL;
	struct errbuf err = {""};
	int r = window_new(&rule, &w, &err);

	ck_assert_msg(r == 0, "%s", err.text);
	return w;
}

static void must_refuse(struct window_rule rule, int error, const char *part)
{
	struct window *w = (struct window *)&rule;
	struct errbuf err = {""};
	int r = window_new(&rule, &w, &err);

	ck_assert_msg(r == error, "%d, not %d: %s", r, error, err.text);
	ck_assert_msg(strstr(err.text, part) != NULL, "\"%s\" does not say \"%s\"", err.text, part);
	ck_assert_ptr_eq(w, &rule);
}

static void next_is(const struct window *w, const char *after, const char *start, const char *end)
{
	struct occurrence o;
	char text[UNITS_TEXT];

	ck_assert_int_eq(window_next(w, ns_of(after), &o), 0);
	ck_assert_msg(o.start_ns == ns_of(start), "after %s: starts %s, not %s", after,
		utc_format(o.start_ns, text), start);
	ck_assert_msg(o.end_ns == ns_of(end), "after %s: ends %s, not %s", after,
		utc_format(o.end_ns, text), end);
}

START_TEST(what_is_no_rule_is_refused_with_its_value)
{
	struct window_rule good = {
		.days = "daily", .start = "08:00", .length = "1h", .timezone = "UTC"};
	static const char *const days[] = {"", ",", "mon,", "mon-", "-fri", "mon-fri-sat", "mond",
		"mon;tue", "mon,,tue", "daily,mon"};
	static const char *const starts[] = {"", "8:00", "08", "08:0", "24:00", "08:60", "08:00:60",
		"08:00x", "08:00:00Z", "now"};
	static const char *const lengths[] = {"", "0", "0s", "1", "999ms", "367d", "-1h", "1y"};
	struct window_rule rule;

	for (size_t i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		rule = good;
		rule.days = days[i];
		must_refuse(rule, -EINVAL, "are no days, try \"mon-fri\"");
	}
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		rule = good;
		rule.start = starts[i];
		must_refuse(rule, -EINVAL, "is not a time of day");
	}
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		rule = good;
		rule.length = lengths[i];
		must_refuse(rule, -EINVAL, "length \"");
	}
	rule = good;
	rule.start = NULL;
	must_refuse(rule, -EINVAL, "start is missing");
	rule = good;
	rule.length = NULL;
	must_refuse(rule, -EINVAL, "length is missing");
	rule = good;
	rule.rrule = "FREQ=DAILY";
	must_refuse(rule, -EINVAL, "either days or rrule");
	rule = good;
	rule.days = NULL;
	must_refuse(rule, -EINVAL, "either days or rrule");
	rule = good;
	rule.start = "2026-01-01T08:00:00";
	must_refuse(rule, -EINVAL, "with days it is a time alone");
}
END_TEST

START_TEST(an_unknown_zone_is_refused_and_no_file_outside_is_read)
{
	static const char *const zones[] = {"", "Europe/Atlantis", "europe/berlin", "Europe",
		"../../etc/passwd", "/etc/localtime", "Europe/../UTC", "zone.tab", "tzdata.zi",
		"right/Europe/Berlin", "Europe/Berlin ", "UTC+1"};

	for (size_t i = 0; i < sizeof(zones) / sizeof(zones[0]); i++)
		must_refuse((struct window_rule){.days = "daily",
				    .start = "08:00",
				    .length = "1h",
				    .timezone = zones[i]},
			-ENOENT, "is not a time zone");
}
END_TEST

START_TEST(what_is_no_recurrence_is_refused)
{
	static const char *const rules[][2] = {{"", "is not a rule"}, {"DAILY", "NAME=VALUE"},
		{"FREQ=OFTEN", "is not a rule"}, {"FREQ=DAILY;FREQ=DAILY", "is not a rule"},
		{"FREQ=SECONDLY", "too often"}, {"FREQ=DAILY;INTERVAL=0", "INTERVAL must be"},
		{"FREQ=DAILY;INTERVAL=65537", "INTERVAL must be"},
		{"FREQ=DAILY;INTERVAL=1x", "INTERVAL must be"},
		{"FREQ=DAILY;COUNT=0", "COUNT must be"},
		{"FREQ=DAILY;COUNT=4294967297", "COUNT must be"},
		{"FREQ=DAILY;COUNT=1;UNTIL=20300101T000000Z", "is not a rule"},
		{"FREQ=DAILY;UNTIL=soon", "is not a rule"}, {"FREQ=DAILY;BYHOUR=24", "BYHOUR"},
		{"FREQ=DAILY;BYMINUTE=60", "BYMINUTE"}, {"FREQ=DAILY;BYSECOND=60", "BYSECOND"},
		{"FREQ=DAILY;BYHOUR=65544", "BYHOUR"}, {"FREQ=YEARLY;BYMONTH=13", "BYMONTH"},
		{"FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"},
		{"FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY"},
		{"FREQ=WEEKLY;BYDAY=XX", "is not a rule"},
		{"FREQ=WEEKLY;BYDAY=1MO", "needs FREQ=MONTHLY"},
		{"FREQ=MONTHLY;BYWEEKNO=1", "needs FREQ=YEARLY"},
		{"FREQ=WEEKLY;BYMONTHDAY=1", "does not go with"},
		{"FREQ=DAILY;BYYEARDAY=1", "does not go with"},
		{"FREQ=DAILY;BYSETPOS=1", "needs another"},
		{"FREQ=DAILY;RSCALE=CHINESE", "not part of"}, {"FREQ=DAILY; COUNT=2", "spaces"},
		{"FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never opens"},
		{"FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never opens"},
		{"FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=30", "never opens"},
		{"FREQ=MINUTELY;BYMINUTE=5;BYSETPOS=2", "never opens"},
		{"FREQ=MINUTELY;BYMINUTE=5;BYSETPOS=2;COUNT=3", "never opens"},
		{"FREQ=HOURLY;INTERVAL=24;BYHOUR=3", "never opens"},
		{"FREQ=DAILY;UNTIL=19991231T000000Z", "never opens"}};

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		must_refuse((struct window_rule){.rrule = rules[i][0],
				    .start = "08:00",
				    .length = "1h",
				    .timezone = "UTC"},
			-EINVAL, rules[i][1]);
	must_refuse((struct window_rule){.rrule = "FREQ=DAILY",
			    .start = "2026-02-30T08:00:00",
			    .length = "1h",
			    .timezone = "UTC"},
		-EINVAL, "is not a date and time");
}
END_TEST

START_TEST(a_rule_that_has_no_more_says_so_and_keeps_saying_so)
{
	struct window *w = must_make((struct window_rule){.rrule = "FREQ=DAILY;COUNT=3",
		.start = "2026-03-01T10:00:00",
		.length = "1h",
		.timezone = "UTC"});
	struct occurrence o = {1, 2};

	next_is(w, "1999-01-01T00:00:00Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z");
	next_is(w, "2026-03-03T10:00:00Z", "2026-03-03T10:00:00Z", "2026-03-03T11:00:00Z");
	ck_assert_int_eq(window_next(w, ns_of("2026-03-03T10:00:00Z") + 1, &o), -ENOENT);
	ck_assert_int_eq(window_next(w, UINT64_MAX, &o), -ENOENT);
	ck_assert_uint_eq(o.start_ns, 1);
	next_is(w, "2026-03-01T10:00:01Z", "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z");
	window_free(w);
}
END_TEST

START_TEST(until_is_inclusive_in_utc_and_in_local_time)
{
	static const char *const rules[] = {"FREQ=DAILY;UNTIL=20260302T090000Z",
		"FREQ=DAILY;UNTIL=20260302T100000", "FREQ=DAILY;UNTIL=20260302"};
	struct occurrence o;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		struct window *w = must_make((struct window_rule){.rrule = rules[i],
			.start = "2026-03-01T10:00:00",
			.length = "1h",
			.timezone = "Europe/Berlin"});

		next_is(w, "2026-03-01T09:00:01Z", "2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z");
		ck_assert_int_eq(window_next(w, ns_of("2026-03-02T09:00:01Z"), &o), -ENOENT);
		window_free(w);
	}
}
END_TEST

START_TEST(a_start_in_the_skipped_hour_is_the_first_instant_after_it)
{
	struct window *berlin = must_make((struct window_rule){
		.days = "sun", .start = "02:30", .length = "1h", .timezone = "Europe/Berlin"});
	struct window *howe = must_make((struct window_rule){.days = "daily",
		.start = "02:15",
		.length = "1h",
		.timezone = "Australia/Lord_Howe"});

	/* 02:00 -> 03:00 at 01:00Z; and 02:00 -> 02:30 at 15:30Z the day before */
	next_is(berlin, "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z");
	next_is(howe, "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:30:00Z");
	window_free(berlin);
	window_free(howe);
}
END_TEST

START_TEST(a_start_in_the_doubled_hour_opens_once_the_first_time)
{
	struct window *w = must_make((struct window_rule){
		.days = "daily", .start = "02:30", .length = "10m", .timezone = "Europe/Berlin"});
	struct window *hourly = must_make((struct window_rule){.rrule = "FREQ=HOURLY",
		.start = "00:30",
		.length = "10m",
		.timezone = "Europe/Berlin"});

	next_is(w, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T00:40:00Z");
	next_is(w, "2026-10-25T00:30:01Z", "2026-10-26T01:30:00Z", "2026-10-26T01:40:00Z");
	next_is(hourly, "2026-10-25T00:30:01Z", "2026-10-25T02:30:00Z", "2026-10-25T02:40:00Z");
	window_free(w);
	window_free(hourly);
}
END_TEST

START_TEST(starts_that_a_gap_makes_one_open_once)
{
	struct window *w =
		must_make((struct window_rule){.rrule = "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,20",
			.start = "00:00",
			.length = "1m",
			.timezone = "Europe/Berlin"});

	/* 02:00, 02:20 and 03:00 are all 01:00Z on this day */
	next_is(w, "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:01:00Z");
	next_is(w, "2026-03-29T01:00:01Z", "2026-03-29T01:20:00Z", "2026-03-29T01:21:00Z");
	window_free(w);
}
END_TEST

START_TEST(a_length_is_elapsed_time_across_a_change_of_clocks)
{
	struct window *w = must_make((struct window_rule){
		.days = "sat", .start = "20:00", .length = "12h", .timezone = "Europe/Berlin"});
	char text[64];

	next_is(w, "2026-03-27T00:00:00Z", "2026-03-28T19:00:00Z", "2026-03-29T07:00:00Z");
	next_is(w, "2026-10-23T00:00:00Z", "2026-10-24T18:00:00Z", "2026-10-25T06:00:00Z");
	window_local_time(w, ns_of("2026-03-29T07:00:00Z"), text, sizeof(text));
	ck_assert_str_eq(text, "2026-03-29T09:00:00+02:00");
	window_local_time(w, ns_of("2026-10-25T01:30:00Z") + 999, text, sizeof(text));
	ck_assert_str_eq(text, "2026-10-25T02:30:00+01:00");
	ck_assert_str_eq(window_timezone(w), "Europe/Berlin");
	window_free(w);
}
END_TEST

START_TEST(days_name_single_days_ranges_and_ranges_across_the_weekend)
{
	struct window *w = must_make((struct window_rule){.days = "Fri-Mon,wednesday",
		.start = "23:30:15",
		.length = "1m",
		.timezone = "UTC"});

	/* 2026-11-16 is a Monday */
	next_is(w, "2026-11-16T00:00:00Z", "2026-11-16T23:30:15Z", "2026-11-16T23:31:15Z");
	next_is(w, "2026-11-17T00:00:00Z", "2026-11-18T23:30:15Z", "2026-11-18T23:31:15Z");
	next_is(w, "2026-11-19T00:00:00Z", "2026-11-20T23:30:15Z", "2026-11-20T23:31:15Z");
	next_is(w, "2026-11-22T00:00:00Z", "2026-11-22T23:30:15Z", "2026-11-22T23:31:15Z");
	window_free(w);
}
END_TEST

START_TEST(start_is_inclusive_end_is_exclusive_to_the_nanosecond)
{
	struct window *w = must_make((struct window_rule){
		.days = "daily", .start = "08:00", .length = "10h", .timezone = "UTC"});
	uint64_t start = ns_of("2026-11-21T08:00:00Z"), end = ns_of("2026-11-21T18:00:00Z");
	struct occurrence o[4];

	ck_assert_uint_eq(window_open_at(w, start - 1, o, 4), 0);
	ck_assert_uint_eq(window_open_at(w, start, o, 4), 1);
	ck_assert_uint_eq(o[0].start_ns, start);
	ck_assert_uint_eq(o[0].end_ns, end);
	ck_assert_uint_eq(window_open_at(w, end - 1, o, 4), 1);
	ck_assert_uint_eq(window_open_at(w, end, o, 4), 0);
	ck_assert_int_eq(window_next(w, start, &o[0]), 0);
	ck_assert_uint_eq(o[0].start_ns, start);
	ck_assert_int_eq(window_next(w, start + 1, &o[0]), 0);
	ck_assert_uint_eq(o[0].start_ns, start + 86400 * NS_PER_SEC);
	window_free(w);
}
END_TEST

START_TEST(windows_longer_than_their_period_are_open_several_at_a_time)
{
	struct window *w = must_make((struct window_rule){
		.days = "daily", .start = "00:00", .length = "60h", .timezone = "UTC"});
	struct window *dense = must_make((struct window_rule){
		.rrule = "FREQ=MINUTELY", .start = "00:00", .length = "30d", .timezone = "UTC"});
	uint64_t now = ns_of("2026-11-21T11:00:00Z");
	struct occurrence o[8];

	ck_assert_uint_eq(window_open_at(w, now, o, 8), 3);
	ck_assert_uint_eq(o[0].start_ns, ns_of("2026-11-19T00:00:00Z"));
	ck_assert_uint_eq(o[2].start_ns, ns_of("2026-11-21T00:00:00Z"));
	ck_assert_uint_eq(window_open_at(w, now, o, 2), 2);
	ck_assert_uint_eq(window_open_at(dense, now, o, 8), 8);
	ck_assert_uint_eq(o[0].start_ns, ns_of("2026-10-22T11:01:00Z"));
	next_is(dense, "2026-11-21T11:00:01Z", "2026-11-21T11:01:00Z", "2026-12-21T11:01:00Z");
	window_free(w);
	window_free(dense);
}
END_TEST

START_TEST(a_bare_start_counts_from_the_first_of_january_2000)
{
	struct window *every_second_day =
		must_make((struct window_rule){.rrule = "FREQ=DAILY;INTERVAL=2",
			.start = "06:00",
			.length = "1h",
			.timezone = "UTC"});
	struct window *weekly = must_make((struct window_rule){
		.rrule = "FREQ=WEEKLY", .start = "06:00", .length = "1h", .timezone = "UTC"});
	struct window *counted = must_make((struct window_rule){.rrule = "FREQ=DAILY;COUNT=2",
		.start = "06:00",
		.length = "1h",
		.timezone = "UTC"});
	struct occurrence o;

	/* 9822 days after 2000-01-01 */
	next_is(every_second_day, "2026-11-22T06:00:01Z", "2026-11-24T06:00:00Z",
		"2026-11-24T07:00:00Z");
	next_is(weekly, "2026-11-16T00:00:00Z", "2026-11-21T06:00:00Z", "2026-11-21T07:00:00Z");
	next_is(counted, "1970-01-01T00:00:00Z", "2000-01-01T06:00:00Z", "2000-01-01T07:00:00Z");
	ck_assert_int_eq(window_next(counted, ns_of("2026-11-21T00:00:00Z"), &o), -ENOENT);
	window_free(every_second_day);
	window_free(weekly);
	window_free(counted);
}
END_TEST

START_TEST(a_rare_rule_is_found_far_ahead_and_asked_again_from_before)
{
	struct window *w = must_make(
		(struct window_rule){.rrule = "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=3",
			.start = "00:00",
			.length = "1h",
			.timezone = "UTC"});

	next_is(w, "2026-11-21T00:00:00Z", "2028-02-29T03:00:00Z", "2028-02-29T04:00:00Z");
	next_is(w, "2096-03-01T00:00:00Z", "2104-02-29T03:00:00Z", "2104-02-29T04:00:00Z");
	next_is(w, "1999-01-01T00:00:00Z", "2000-02-29T03:00:00Z", "2000-02-29T04:00:00Z");
	window_free(w);
}
END_TEST

/* One after the other, from any point and in any order, a window says the same. */
START_TEST(the_answer_does_not_depend_on_what_was_asked_before)
{
	struct window_rule rule = {.rrule = "FREQ=HOURLY;INTERVAL=7",
		.start = "2026-01-01T00:10:00",
		.length = "9h",
		.timezone = "America/New_York"};
	struct window *kept = must_make(rule);
	uint64_t base = ns_of("2026-01-01T00:00:00Z");
	uint32_t seed = 1;

	for (int i = 0; i < 300; i++) {
		struct window *fresh = must_make(rule);
		struct occurrence a, b, open_a[4], open_b[4];
		uint64_t at;

		seed = seed * 1664525 + 1013904223;
		at = base + (uint64_t)(seed >> 1) % (86400ULL * 3000) * NS_PER_SEC;
		ck_assert_int_eq(window_next(kept, at, &a), 0);
		ck_assert_int_eq(window_next(fresh, at, &b), 0);
		ck_assert_uint_eq(a.start_ns, b.start_ns);
		ck_assert_uint_eq(
			window_open_at(kept, at, open_a, 4), window_open_at(fresh, at, open_b, 4));
		ck_assert_uint_eq(open_a[0].start_ns, open_b[0].start_ns);
		window_free(fresh);
	}
	window_free(kept);
}
END_TEST

START_TEST(a_window_made_of_a_windows_rule_is_the_same)
{
	struct window *w = must_make((struct window_rule){.days = "mon-fri",
		.start = "08:00",
		.length = "10h",
		.timezone = "Asia/Kathmandu"});
	struct window *copy = must_make(*window_get_rule(w));

	window_free(w);
	next_is(copy, "2026-11-21T00:00:00Z", "2026-11-23T02:15:00Z", "2026-11-23T12:15:00Z");
	ck_assert_str_eq(window_timezone(copy), "Asia/Kathmandu");
	ck_assert_str_eq(window_get_rule(copy)->days, "mon-fri");
	window_free(copy);
}
END_TEST

START_TEST(without_a_time_zone_the_machines_own_is_taken)
{
	struct window *w;

	ck_assert_int_eq(setenv("TZ", ":Pacific/Chatham", 1), 0);
	w = must_make((struct window_rule){.days = "daily", .start = "08:00", .length = "1h"});
	ck_assert_str_eq(window_timezone(w), "Pacific/Chatham");
	next_is(w, "2026-06-01T00:00:00Z", "2026-06-01T19:15:00Z", "2026-06-01T20:15:00Z");
	window_free(w);
	ck_assert_int_eq(setenv("TZ", "CET-1CEST", 1), 0);
	must_refuse((struct window_rule){.days = "daily", .start = "08:00", .length = "1h"},
		-ENOENT, "\"CET-1CEST\"");
	ck_assert_int_eq(unsetenv("TZ"), 0);
}
END_TEST

/* Prints, by python's zoneinfo, when a daily window of each zone and time starts from 2026 to 2037. */
static const char PYTHON[] =
	"from datetime import datetime, timedelta, timezone\n"
	"from zoneinfo import ZoneInfo\n"
	"U = timezone.utc\n"
	"def wall(u, z): return u.astimezone(z).replace(tzinfo=None)\n"
	"for name in ('Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', "
	"'Africa/Casablanca', 'Asia/Kathmandu', 'America/Sao_Paulo', 'Asia/Gaza', "
	"'Europe/Dublin', 'UTC'):\n"
	"  z = ZoneInfo(name)\n"
	"  for h, m in ((0, 0), (1, 15), (2, 15), (2, 45), (12, 0)):\n"
	"    print(name, '%02d:%02d' % (h, m))\n"
	"    day = datetime(2026, 1, 2, h, m)\n"
	"    while day.year < 2038:\n"
	"      u = day.replace(tzinfo=z, fold=0).astimezone(U)\n"
	"      if wall(u, z) != day:\n"
	"        u -= timedelta(hours=3)\n"
	"        while wall(u, z) < day: u += timedelta(minutes=1)\n"
	"      print(int(u.timestamp()))\n"
	"      day += timedelta(days=1)\n";

START_TEST(twelve_years_of_clock_changes_are_as_python_has_them)
{
	char command[sizeof(PYTHON) + 64], line[128], start[16], zone[64];
	unsigned int checked = 0;
	struct window *w = NULL;
	uint64_t after_ns = 0;
	FILE *python;

	(void)snprintf(command, sizeof(command), "python3 - <<'END'\n%sEND\n", PYTHON);
	python = popen(command, "r");
	ck_assert_ptr_nonnull(python);
	while (fgets(line, sizeof(line), python) != NULL) {
		struct occurrence o;

		if (sscanf(line, "%63[A-Z_a-z/] %15[0-9:]", zone, start) == 2) {
			window_free(w);
			w = must_make((struct window_rule){
				.days = "daily", .start = start, .length = "1h", .timezone = zone});
			after_ns = 0;
			continue;
		}
		if (after_ns == 0)
			after_ns = (strtoull(line, NULL, 10) - 10) * NS_PER_SEC;
		ck_assert_int_eq(window_next(w, after_ns, &o), 0);
		ck_assert_msg(o.start_ns / NS_PER_SEC == strtoull(line, NULL, 10),
			"%s %s: %llu, python %s", zone, start,
			(unsigned long long)(o.start_ns / NS_PER_SEC), line);
		after_ns = o.start_ns + 1;
		checked++;
	}
	window_free(w);
	ck_assert_int_eq(pclose(python), 0);
	ck_assert_uint_eq(checked, 9 * 5 * 4382);
}
END_TEST

struct collected {
	char text[512];
	unsigned int count;
};

static bool collect_five(int64_t wall, void *arg)
{
	struct collected *c = arg;
	char text[32];
	time_t t = (time_t)wall;
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
	(void)snprintf(c->text + strlen(c->text), sizeof(c->text) - strlen(c->text), "%s%s",
		c->count == 0 ? "" : " ", text);
	return ++c->count < 5;
}

START_TEST(three_hundred_recurrences_are_as_dateutil_has_them)
{
	FILE *f = fopen(TEST_DATA "/recurrences.txt", "re");
	unsigned int checked = 0;
	char line[1024];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		char *save = NULL, *rule, *dtstart, *from, *times;
		struct collected c = {.count = 0};
		struct recurrence r;
		struct errbuf err = {""};

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#')
			continue;
		rule = strtok_r(line, "|", &save);
		dtstart = strtok_r(NULL, "|", &save);
		from = strtok_r(NULL, "|", &save);
		times = strtok_r(NULL, "|", &save);
		ck_assert_msg(
			recurrence_parse(rule, seconds_of(dtstart, "%Y%m%dT%H%M%S"), &r, &err) == 0,
			"%s: %s", rule, err.text);
		recurrence_expand(
			&r, seconds_of(from, "%Y%m%dT%H%M%S"), 4102444800, collect_five, &c);
		ck_assert_msg(strcmp(c.text, times) == 0, "%s from %s:\n%s, dateutil:\n%s", rule,
			from, c.text, times);
		checked++;
	}
	(void)fclose(f);
	ck_assert_uint_eq(checked, 300);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("schedule");
	TCase *refused = tcase_create("refused"), *kept = tcase_create("kept");

	tcase_set_timeout(refused, 60);
	tcase_set_timeout(kept, 100);
	suite_add_tcase(suite, refused);
	suite_add_tcase(suite, kept);
	tcase_add_test(refused, what_is_no_rule_is_refused_with_its_value);
	tcase_add_test(refused, an_unknown_zone_is_refused_and_no_file_outside_is_read);
	tcase_add_test(refused, what_is_no_recurrence_is_refused);
	tcase_add_test(kept, a_rule_that_has_no_more_says_so_and_keeps_saying_so);
	tcase_add_test(kept, until_is_inclusive_in_utc_and_in_local_time);
	tcase_add_test(kept, a_start_in_the_skipped_hour_is_the_first_instant_after_it);
	tcase_add_test(kept, a_start_in_the_doubled_hour_opens_once_the_first_time);
	tcase_add_test(kept, starts_that_a_gap_makes_one_open_once);
	tcase_add_test(kept, a_length_is_elapsed_time_across_a_change_of_clocks);
	tcase_add_test(kept, days_name_single_days_ranges_and_ranges_across_the_weekend);
	tcase_add_test(kept, start_is_inclusive_end_is_exclusive_to_the_nanosecond);
	tcase_add_test(kept, windows_longer_than_their_period_are_open_several_at_a_time);
	tcase_add_test(kept, a_bare_start_counts_from_the_first_of_january_2000);
	tcase_add_test(kept, a_rare_rule_is_found_far_ahead_and_asked_again_from_before);
	tcase_add_test(kept, the_answer_does_not_depend_on_what_was_asked_before);
	tcase_add_test(kept, a_window_made_of_a_windows_rule_is_the_same);
	tcase_add_test(kept, without_a_time_zone_the_machines_own_is_taken);
	tcase_add_test(kept, twelve_years_of_clock_changes_are_as_python_has_them);
	tcase_add_test(kept, three_hundred_recurrences_are_as_dateutil_has_them);
	return suite_run(suite);
}
