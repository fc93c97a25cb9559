/* rooms: control */
#include <check.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/settings.h"
#include "suite_main.h"
#include "wirespool/protocol.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

/* A directory of the test: a file of settings, one of rules, two stripes, an empty file. */
static char dir[64], conf[80];

static void write_rules(const char *text)
{
	char path[96];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/rules", dir);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	(void)fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static void set_up(void)
{
	char path[96];
	FILE *f;

	(void)snprintf(dir, sizeof(dir), "/tmp/wirespool-settings-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(conf, sizeof(conf), "%s/wirespool.conf", dir);
	(void)snprintf(path, sizeof(path), "%s/data0", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/data1", dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	f = fopen(path, "we");
	ck_assert_ptr_nonnull(f);
	(void)fclose(f);
	write_rules(
		"# the office\n\nkeep tcp any any any 443\ndrop any any any any any # the rest\n");
}

static void tear_down(void)
{
	static const char *const names[] = {
		"data0", "data1", "file", "link", "log", "rules", "wirespool.conf"};
	char path[96];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)remove(path);
	}
	(void)rmdir(dir);
}

/* Writes text to the file; each ^ in it stands for the test's directory. */
static void write_conf(const char *text)
{
	FILE *f = fopen(conf, "we");

	ck_assert_ptr_nonnull(f);
	for (; *text != '\0'; text++)
		if (*text == '^')
			(void)fputs(dir, f);
		else
			(void)fputc(*text, f);
	ck_assert_int_eq(fclose(f), 0);
}

static struct settings *must_load(const char *text)
{
	struct faults faults = {0};
	struct settings *s;
	int r;

	write_conf(text);
	r = settings_load(conf, &s, &faults);
	ck_assert_msg(r == 0, "%s", faults.count > 0 ? faults.texts[0] : "no fault");
	ck_assert_uint_eq(faults.count, 0);
	return s;
}

/*
 * Loads text, which must fail with exactly the faults of expected: lines "LINE: TEXT", where TEXT may
 * begin what the fault says. In order.
 */
static void must_fail(const char *text, const char *const expected[])
{
	struct faults faults = {0};
	struct settings *s = (struct settings *)1;
	char line[1200], all[8192] = "";
	unsigned int n = 0;

	write_conf(text);
	ck_assert_int_eq(settings_load(conf, &s, &faults), -EINVAL);
	ck_assert_ptr_null(s);
	for (unsigned int i = 0; i < faults.count; i++)
		(void)snprintf(
			all + strlen(all), sizeof(all) - strlen(all), "%s\n", faults.texts[i]);
	for (; expected[n] != NULL; n++) {
		(void)snprintf(line, sizeof(line), "%s:%s", conf, expected[n]);
		ck_assert_msg(n < faults.count && strncmp(faults.texts[n], line, strlen(line)) == 0,
			"fault %u is not\n%s\nbut all are\n%s", n, line, all);
	}
	ck_assert_msg(faults.count == n, "%u faults, not %u:\n%s", faults.count, n, all);
	faults_free(&faults);
}

#define FAULTS(...)                                                                                \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

#define PORT "ports: ( { name = \"a\"; device = \"gen:rate=1G\"; } );\n"
/* A recording on line 3; more can be said on its line 4. */
#define RECORDING(more)                                                                            \
	PORT "recordings: (\n{ name = \"r\"; ports = [\"a\"]; stripes = [\"null:\"];\n" more       \
	     "} );\n"

START_TEST(a_file_that_cannot_be_read_says_why)
{
	struct faults faults = {0};
	struct settings *s;

	ck_assert_int_eq(settings_load("/nonexistent/wirespool.conf", &s, &faults), -ENOENT);
	ck_assert_str_eq(faults.texts[0],
		"/nonexistent/wirespool.conf: cannot be read: No such file or directory");
	ck_assert_int_eq(settings_load(dir, &s, &faults), -EISDIR);
	ck_assert_uint_eq(faults.count, 2);
	ck_assert_ptr_null(s);
	faults_free(&faults);
	ck_assert_uint_eq(faults.count, 0);
}
END_TEST

START_TEST(a_fault_of_syntax_has_its_line)
{
	must_fail("control: {\n  socket = \n};\n", FAULTS("3: syntax error"));
	must_fail("control: { socket = \"/a\"; socket = \"/b\"; };\n",
		FAULTS("1: duplicate setting name"));
	must_fail("control: {", FAULTS("1: syntax error"));
	must_fail("control: {\n\n", FAULTS("2: syntax error"));
	settings_free(must_load("# a comment at the end, without a line end"));
}
END_TEST

START_TEST(an_include_is_refused_and_not_read)
{
	must_fail("\n@include \"/tmp\"\n", FAULTS("2: @include is not taken"));
	settings_free(must_load(
		"# me@here\n/* @include \"/tmp\"\n*/ control: { socket = \"/a@b\"; };\n"));
}
END_TEST

START_TEST(numbers_that_libconfig_would_wrap_are_refused)
{
	must_fail("writers: { queue_depth =\n 4294967312; };\n",
		FAULTS("2: 4294967312 is too large"));
	must_fail("ports: ( { name = \"p1\"; device = \"gen:\"; descriptors = "
		  "99999999999999999999; } );",
		FAULTS("1: 99999999999999999999 is too large"));
	must_fail("writers: { queue_depth = 4294967312L; };\n",
		FAULTS("1: writers.queue_depth: 4294967312 must be 1 to 128"));
	settings_free(must_load("# 4294967312 \"\n/* 4294967312 \"*/ // 4294967312\n"
				"control: { socket = \"/4294967312 \\\" 4294967312\"; };\n"));
}
END_TEST

START_TEST(unknown_keys_suggest_the_nearest)
{
	must_fail("control: { sokcet = \"/a\"; };\nrecording = 1;\n"
		  "zebra = 1; memory: { huge_page = true; };",
		FAULTS("1: control.sokcet: unknown setting, did you mean \"socket\"?",
			"2: recording: unknown setting, did you mean \"recordings\"?",
			"3: zebra: unknown setting, there are: control, memory, writers, ports, "
			"recordings",
			"3: memory.huge_page: unknown setting, did you mean \"huge_pages\"?"));
}
END_TEST

START_TEST(values_of_the_wrong_type_say_what_is_due)
{
	must_fail("control: { socket = 1; stop_timeout = 60; log_level = true; };\n"
		  "memory: { huge_pages = \"yes\"; };\n"
		  "writers: { cpus = 0; memory = 1024; queue_depth = \"16\"; };\n"
		  "ports = 1;\n"
		  "recordings: ( 1 );\n",
		FAULTS("1: control.socket: 1 is a number, text is due: try \"1\"",
			"1: control.stop_timeout: 60 is a number, text is due: try \"60s\"",
			"1: control.log_level: is true or false, must be text",
			"2: memory.huge_pages: is text, must be true or false without quotes",
			"3: writers.cpus: is a number, must be a list [...]",
			"3: writers.memory: 1024 is a number, text is due: try \"1024B\"",
			"3: writers.queue_depth: is text, must be a number without quotes, 1 to "
			"128",
			"4: ports: must be a list",
			"5: recordings[0]: is a number, must be a group"));
	must_fail("control = 1;\nwriters: { queue_depth = 1.5; };",
		FAULTS("1: control: is a number, must be a group {...}",
			"2: writers.queue_depth: is a number with a point, must be"));
}
END_TEST

START_TEST(values_out_of_range_say_the_range)
{
	must_fail("control: { socket = \"sock\"; group = \"no-such-group\"; stop_timeout = "
		  "\"25h\"; log_level = \"loud\"; };\n"
		  "writers: { memory = \"8191KiB\"; queue_depth = 129; };\n"
		  "ports: ( { name = \"a\"; device = \"gen:rate=1G\"; descriptors = 63; "
		  "frame_bytes = 63; },\n"
		  "{ name = \"b\"; device = \"gen:rate=1G\"; descriptors = 32769; frame_bytes = "
		  "65536; } );\n",
		FAULTS("1: control.stop_timeout: \"25h\" must be 0 to 24h",
			"1: control.log_level: \"loud\" must be \"error\", \"warn\", \"info\" or "
			"\"debug\"",
			"1: control.socket: \"sock\" must be an absolute path",
			"1: control.group: \"no-such-group\" is not a group",
			"2: writers.memory: \"8191KiB\" must be 8MiB to 16TiB",
			"2: writers.queue_depth: 129 must be 1 to 128",
			"3: ports[0].descriptors: 63 must be 64 to 32768",
			"3: ports[0].frame_bytes: 63 must be 64 to 65535",
			"4: ports[1].descriptors: 32769 must be",
			"4: ports[1].frame_bytes: 65536 must be"));
	must_fail(
		RECORDING("rotate = { bytes = \"2097151\"; every = \"999ms\"; }; flush = \"9ms\";"),
		FAULTS("4: recordings[0].rotate.bytes: \"2097151\" must be 2MiB to 16TiB",
			"4: recordings[0].rotate.every: \"999ms\" must be 1s to 366d",
			"4: recordings[0].flush: \"9ms\" must be 10ms to 60s"));
	must_fail(RECORDING("rotate = { bytes = \"64x\"; every = \"5\"; }; flush = \"61s\";\n"
			    "limit = { bytes = \"0\"; time = \"0\"; packets = \"1e6\"; };"),
		FAULTS("4: recordings[0].rotate.bytes: \"64x\" is not a size, try \"64MiB\"",
			"4: recordings[0].rotate.every: \"5\" is not a time",
			"4: recordings[0].flush: \"61s\" must be 10ms to 60s",
			"5: recordings[0].limit.bytes: \"0\" must be more than 0",
			"5: recordings[0].limit.time: \"0\" must be",
			"5: recordings[0].limit.packets: \"1e6\" must be a number"));
}
END_TEST

START_TEST(on_clock_needs_a_time_that_divides_days)
{
	must_fail(RECORDING("rotate = { on_clock = true; };"),
		FAULTS("4: recordings[0].rotate.on_clock: true needs every"));
	must_fail(RECORDING("rotate = { every = \"25h\"; on_clock = true; };"),
		FAULTS("4: recordings[0].rotate.every: must be at most 24h with on_clock"));
	/* One mistake, said once. */
	must_fail(RECORDING("rotate = { every = \"x\"; on_clock = true; };"),
		FAULTS("4: recordings[0].rotate.every: \"x\" is not a time"));
}
END_TEST

START_TEST(what_must_be_given_is_missed)
{
	must_fail("ports: ( { } );\nrecordings: ( { when = \"always\"; } );\n",
		FAULTS("1: ports[0].name: is missing", "1: ports[0].device: is missing",
			"2: recordings[0].name: is missing", "2: recordings[0].ports: is missing",
			"2: recordings[0].stripes: is missing"));
	must_fail(PORT "recordings: ( { name = \"r\"; ports = []; stripes = (); } );\n",
		FAULTS("2: recordings[0].ports: has 0 items",
			"2: recordings[0].stripes: has 0 items"));
}
END_TEST

START_TEST(names_have_a_rule_and_are_used_once)
{
	must_fail("ports: ( { name = \"-a\"; device = \"gen:rate=1G\"; },\n"
		  "{ name = \"p\"; device = \"gen:rate=1G\"; },\n"
		  "{ name = \"p\"; device = \"gen:rate=1G\"; },\n"
		  "{ name = \"a b\"; device = \"gen:rate=1G\"; },\n"
		  "{ name = \"abcdefghijabcdefghijabcdefghijab\"; device = \"gen:rate=1G\"; } );\n"
		  "recordings: ( { name = \".r\"; ports = [\"p\"]; stripes = [\"null:\"]; },\n"
		  "{ name = \"q\"; ports = [\"p\"]; stripes = [\"null:\"]; },\n"
		  "{ name = \"q\"; ports = [\"p\"]; stripes = [\"null:\"]; },\n"
		  "{ name = \"\"; ports = [\"p\"]; stripes = [\"null:\"]; } );\n",
		FAULTS("1: ports[0].name: \"-a\" is not a name: 1 to 31 of",
			"3: ports[2].name: \"p\" is the name of ports[1] too",
			"4: ports[3].name: \"a b\" is not a name", "5: ports[4].name: \"abcdef",
			"6: recordings[0].name: \".r\" is not a name",
			"8: recordings[2].name: \"q\" is the name of recordings[1] too",
			"9: recordings[3].name: \"\" is not a name"));
	settings_free(must_load("ports: ( { name = \"abcdefghijabcdefghijabcdefghij.\"; device = "
				"\"gen:rate=1G\"; } );"));
}
END_TEST

START_TEST(a_device_is_used_once_whatever_it_is_called)
{
	must_fail("ports: ( { name = \"a\"; device = \"lo\"; },\n"
		  "{ name = \"b\"; device = \"lo\"; },\n"
		  "{ name = \"c\"; device = \"no such device\"; },\n"
		  "{ name = \"d\"; device = \"gen:rate=1G\"; }, { name = \"e\"; device = "
		  "\"gen:rate=1G\"; } );\n",
		FAULTS("2: ports[1].device: \"lo\" is the device of ports[0] too",
			"3: ports[2].device: "));
}
END_TEST

START_TEST(cpus_must_be_there_and_are_given_once)
{
	cpu_set_t set;
	char text[512], fault[4][128];
	unsigned int cpu = 0;

	ck_assert_int_eq(sched_getaffinity(0, sizeof(set), &set), 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	(void)snprintf(text, sizeof(text),
		"writers: { cpus = [%u, %u]; };\n"
		"ports: ( { name = \"a\"; device = \"gen:rate=1G\"; lcores = [%u]; },\n"
		"{ name = \"b\"; device = \"gen:rate=1G\"; lcores = [%u]; },\n"
		"{ name = \"c\"; device = \"gen:rate=1G\"; lcores = [100000, -1]; } );\n",
		cpu, cpu, cpu, cpu);
	(void)snprintf(fault[0], sizeof(fault[0]), "1: writers.cpus: CPU %u is given twice", cpu);
	(void)snprintf(fault[1], sizeof(fault[1]),
		"3: ports[1].lcores: CPU %u is given twice, here and in ports[0]", cpu);
	must_fail(text, FAULTS(fault[0], fault[1],
				"4: ports[2].lcores[0]: there is no CPU 100000, must be 0 to ",
				"4: ports[2].lcores[1]: there is no CPU -1"));
}
END_TEST

START_TEST(recordings_name_ports_that_are_defined_each_once)
{
	must_fail(PORT "recordings: ( { name = \"r\"; stripes = [\"null:\"];\nports = [\"a\", "
		       "\"b\", \"a\"]; } );\n",
		FAULTS("3: recordings[0].ports[1]: no port is called \"b\"",
			"3: recordings[0].ports[2]: \"a\" is there twice"));
}
END_TEST

START_TEST(a_filter_that_libpcap_refuses_says_what_libpcap_says)
{
	must_fail(RECORDING("filter = \"tcp and udp\";"), FAULTS("4: recordings[0].filter: "));
	must_fail(RECORDING("filter = \"port\";"), FAULTS("4: recordings[0].filter: "));
	must_fail(RECORDING("filter = \"wlan type mgt\";"), FAULTS("4: recordings[0].filter: "));
}
END_TEST

START_TEST(a_filter_of_another_link_type_is_taken_for_a_file_only)
{
	char text[1024];
	struct settings *s;

	(void)snprintf(text, sizeof(text),
		"ports: ( { name = \"a\"; device = \"pcap:%s\"; } );\n"
		"recordings: ( { name = \"r\"; ports = [\"a\"]; stripes = [\"null:\"]; filter = "
		"\"%s\"; } );",
		TEST_DATA "/vlan_twins.pcap", "wlan type mgt");
	s = must_load(text);
	ck_assert_str_eq(s->recordings[0].filter, "wlan type mgt");
	settings_free(s);
}
END_TEST

START_TEST(a_snaplen_is_whole_14_or_more_or_headers)
{
	must_fail(RECORDING("snaplen = 96;"),
		FAULTS("4: recordings[0].snaplen: 96 is a number, text is due: try \"96\""));
	must_fail(RECORDING("snaplen = \"13\";"), FAULTS("4: recordings[0].snaplen: \"13\" must be "
							 "\"0\" (whole packets) or 14 to 262144"));
	must_fail(RECORDING("snaplen = \"262145\";"), FAULTS("4: recordings[0].snaplen: "));
	must_fail(RECORDING("snaplen = \"header\";"), FAULTS("4: recordings[0].snaplen: "));
}
END_TEST

START_TEST(what_a_filter_means_is_a_choice_or_a_list_of_tunnels)
{
	must_fail(RECORDING("vlan = \"all\"; fragments = \"drop\"; inner = [\"vxlan\", \"gtp\"];\n"
			    "cutoff = \"20 KiB\"; after = \"nothing\";"),
		FAULTS("4: recordings[0].vlan: \"all\" must be \"any\" or \"strict\"",
			"4: recordings[0].fragments: \"drop\" must be \"keep\", \"follow\" or "
			"\"literal\"",
			"4: recordings[0].inner[1]: \"gtp\" is not one of: 1 to 5 of \"ipip\"",
			"5: recordings[0].after: \"nothing\" must be \"headers\" or \"drop\""));
	must_fail(RECORDING("inner = ( \"gre\",\n1, \"gre\" );"),
		FAULTS("5: recordings[0].inner[1]: is a number, must be one of: 1 to 5",
			"5: recordings[0].inner[2]: \"gre\" is there twice"));
	must_fail(RECORDING("inner = \"gre\";"),
		FAULTS("4: recordings[0].inner: is text, must be a list [...] of 1 to 5"));
	must_fail(RECORDING("inner = [];"), FAULTS("4: recordings[0].inner: has 0 items"));
}
END_TEST

START_TEST(a_cutoff_has_a_size_and_after_needs_one)
{
	must_fail(RECORDING("cutoff = \"0\"; cutoff_flows = 1023;"),
		FAULTS("4: recordings[0].cutoff: \"0\" must be 1 to 4294967295 bytes",
			"4: recordings[0].cutoff_flows: 1023 must be 1024 to 268435456"));
	must_fail(RECORDING("cutoff = \"4 GiB\"; cutoff_flows = 268435457;"),
		FAULTS("4: recordings[0].cutoff: \"4 GiB\" must be",
			"4: recordings[0].cutoff_flows: 268435457 must be"));
	must_fail(RECORDING("after = \"headers\";"),
		FAULTS("4: recordings[0].after: needs a cutoff, try cutoff = \"20 KiB\""));
	/* One mistake, said once. */
	must_fail(RECORDING("cutoff = \"x\"; after = \"drop\";"),
		FAULTS("4: recordings[0].cutoff: \"x\" is not a size"));
	settings_free(must_load(RECORDING("cutoff_flows = 1024;")));
}
END_TEST

START_TEST(faults_of_rules_are_told_beside_the_line_of_the_settings)
{
	char fault[192];

	write_rules("keep tcp any any any 443\nkeep tcp any any any\n");
	(void)snprintf(fault, sizeof(fault),
		"4: recordings[0].rules_file: %s/rules:2: a rule is ACTION PROTO", dir);
	must_fail(RECORDING("rules_file = \"^/rules\";"), FAULTS(fault));
	must_fail(RECORDING("rules_file = \"^/none\";"),
		FAULTS("4: recordings[0].rules_file: cannot open '"));
	must_fail(RECORDING("rules_file = \"rules\";"),
		FAULTS("4: recordings[0].rules_file: \"rules\" must be an absolute path"));
	must_fail(
		RECORDING(
			"rules = ( \"keep tcp any any any 443\",\n\"kept any any any any any\" );"),
		FAULTS("4: recordings[0].rules: r, rule 2: the action must be keep"));
	must_fail(RECORDING("rules_file = \"^/none\";\nrules = [ \"keep any any any any any\" ];"),
		FAULTS("5: recordings[0].rules: not together with rules_file"));
}
END_TEST

START_TEST(stripes_are_directories_that_can_be_written_each_once)
{
	char link[96], target[96];

	(void)snprintf(link, sizeof(link), "%s/link", dir);
	(void)snprintf(target, sizeof(target), "%s/data0", dir);
	ck_assert_int_eq(symlink(target, link), 0);
	must_fail(PORT
		"recordings: ( { name = \"r\"; ports = [\"a\"];\nstripes = [ \"^/data0\",\n"
		"\"^/data0/\",\n\"^/link\",\n\"^/none\",\n\"^/file\",\n\"null:\", \"null:\",\n"
		"\"\",\n\".\" ]; } );\n",
		FAULTS("4: recordings[0].stripes[1]: \"", "5: recordings[0].stripes[2]: \"",
			"6: recordings[0].stripes[3]: ", "7: recordings[0].stripes[4]: ",
			"8: recordings[0].stripes[6]: \"null:\" is there twice",
			"9: recordings[0].stripes[7]: is empty",
			"10: recordings[0].stripes[8]: \".\" must be an absolute path"));
}
END_TEST

START_TEST(windows_and_when_go_together)
{
	must_fail(RECORDING("when = \"windows\";"),
		FAULTS("4: recordings[0].when: \"windows\" needs windows"));
	must_fail(RECORDING("when = \"windows\"; windows = ();"),
		FAULTS("4: recordings[0].when: \"windows\" needs windows"));
	must_fail(RECORDING("when = \"always\";\nwindows = ( { days = \"daily\"; start = "
			    "\"08:00\"; length = \"1h\"; } );"),
		FAULTS("5: recordings[0].windows: needs when = \"windows\""));
	must_fail(
		RECORDING(
			"windows = ( { days = \"daily\"; start = \"08:00\"; length = \"1h\"; } );"),
		FAULTS("4: recordings[0].windows: needs when = \"windows\""));
	must_fail(RECORDING("when = \"noon\"; windows = ();"),
		FAULTS("4: recordings[0].when: \"noon\" must be"));
}
END_TEST

START_TEST(each_wrong_value_of_a_window_is_said)
{
	must_fail(RECORDING("when = \"windows\"; windows = (\n"
			    "{ days = \"mon-fry\";\nstart = \"25:00\";\nlength = \"0\";\ntimezone "
			    "= \"Europe/Atlantis\"; },\n"
			    "{ rrule = \"FREQ=SECONDLY\"; start = \"08:00\"; length = \"1h\"; "
			    "timezone = \"UTC\"; },\n"
			    "{ start = \"08:00\"; },\n"
			    "{ rrule = \"FREQ=DAILY\"; days = \"mon\"; start = \"08:00\"; length = "
			    "\"1h\"; },\n"
			    "{ rrule = \"FREQ=DAILY;UNTIL=20250101T000000Z\"; start = "
			    "\"2026-01-01T08:00\"; length = \"1h\"; timezone = \"UTC\"; },\n"
			    "{ days = \"mon\"; start = \"2026-01-01T08:00\"; length = 3600; } );"),
		FAULTS("5: recordings[0].windows[0].days: \"mon-fry\" are no days",
			"6: recordings[0].windows[0].start: \"25:00\" is not a time of day",
			"7: recordings[0].windows[0].length: \"0\" must be",
			"8: recordings[0].windows[0].timezone: \"Europe/Atlantis\" is not a time "
			"zone",
			"9: recordings[0].windows[1].rrule: \"FREQ=SECONDLY\": FREQ=SECONDLY is "
			"too often",
			"10: recordings[0].windows[2].length: is missing",
			"10: recordings[0].windows[2]: must have either days or rrule",
			"11: recordings[0].windows[3]: must have either days or rrule",
			"12: recordings[0].windows[4]: rrule \"FREQ=DAILY;UNTIL=20250101T000000Z\" "
			"from \"2026-01-01T08:00\" never opens",
			"13: recordings[0].windows[5].length: 3600 is a number, text is due: try "
			"\"3600s\"",
			"13: recordings[0].windows[5].start: \"2026-01-01T08:00\": with days it is "
			"a time alone"));
}
END_TEST

START_TEST(a_fault_is_one_line_whatever_the_file_holds)
{
	must_fail("control: { log_level = \"a\\nb\\x1b[2J\"; };",
		FAULTS("1: control.log_level: \"a?b?[2J\" must be"));
}
END_TEST

START_TEST(an_empty_file_gives_the_defaults)
{
	struct settings *s = must_load("");

	ck_assert_str_eq(s->socket, PROTOCOL_SOCKET);
	ck_assert_ptr_null(s->group);
	ck_assert_uint_eq(s->stop_timeout_ns, 60 * NS_PER_SEC);
	ck_assert_int_eq(s->log_level, LOG_INFO);
	ck_assert(s->huge_pages);
	ck_assert_uint_eq(s->writer_cpu_count, 0);
	ck_assert_uint_eq(s->writer_memory_bytes, 256ULL << 20);
	ck_assert_uint_eq(s->writer_queue_depth, 64);
	ck_assert_uint_eq(s->port_count, 0);
	ck_assert_uint_eq(s->recording_count, 0);
	settings_free(s);
}
END_TEST

START_TEST(a_short_recording_has_the_defaults)
{
	struct settings *s = must_load(RECORDING(""));
	struct recording_settings *r = settings_find_recording(s, "r");
	struct port_settings *p = settings_find_port(s, "a");

	ck_assert_ptr_nonnull(r);
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(settings_find_recording(s, "R"));
	ck_assert_ptr_null(settings_find_port(s, "r"));
	ck_assert_uint_eq(p->descriptors, 4096);
	ck_assert_uint_eq(p->frame_bytes, 9216);
	ck_assert(p->promiscuous);
	ck_assert_uint_eq(p->cpu_count, 0);
	ck_assert_ptr_null(r->filter);
	ck_assert_int_eq(r->when, WHEN_TRIGGER);
	ck_assert_ptr_null(r->rule_set);
	ck_assert_int_eq(r->vlan, FILTER_VLAN_ANY);
	ck_assert_uint_eq(r->inner, 0);
	ck_assert_int_eq(r->fragments, FILTER_FRAGMENTS_KEEP);
	ck_assert(cut_keeps_all(&r->cut));
	ck_assert_uint_eq(r->cutoff_bytes, 0);
	ck_assert_int_eq(r->after, FILTER_AFTER_HEADERS);
	ck_assert_uint_eq(r->cutoff_flows, 1000000);
	ck_assert_uint_eq(r->rotate_bytes, 1ULL << 30);
	ck_assert_uint_eq(r->rotate_ns, 0);
	ck_assert(!r->rotate_on_clock);
	ck_assert_uint_eq(r->flush_ns, NS_PER_SEC);
	ck_assert_uint_eq(r->limit_bytes, 0);
	ck_assert_uint_eq(r->limit_ns, 0);
	ck_assert_uint_eq(r->limit_pkts, 0);
	ck_assert_int_eq(r->line, 3);
	settings_free(s);
}
END_TEST

static const char WHOLE[] = "control: { socket = \"/run/x.sock\"; group = \"root\"; stop_timeout = "
			    "\"0\"; log_level = \"debug\"; };\n"
			    "memory: { huge_pages = false; };\n"
			    "writers: { memory = \"1GiB\"; queue_depth = 4; };\n"
			    "ports: ( { name = \"left\"; device = \"gen:rate=1G\"; descriptors = "
			    "512; frame_bytes = 1518; promiscuous = false; },\n"
			    "         { name = \"right\"; device = \"gen:rate=1G\"; } );\n"
			    "recordings: ( { name = \"office\"; ports = [\"left\", \"right\"]; "
			    "filter = \"udp port 53\"; snaplen = \"headers+64\";\n"
			    "  rules_file = \"^/rules\"; vlan = \"strict\"; inner = ( \"vxlan\", "
			    "\"ipip\" ); fragments = \"follow\";\n"
			    "  cutoff = \"20 KiB\"; after = \"drop\"; cutoff_flows = 2048;\n"
			    "  stripes = (\"^/data0\", \"^/data1\"); when = \"windows\";\n"
			    "  windows: ( { days = \"mon-fri\"; start = \"08:00\"; length = "
			    "\"10h\"; timezone = \"Europe/Berlin\"; },\n"
			    "    { rrule = \"FREQ=MONTHLY;BYDAY=-1FR\"; start = \"22:00\"; length "
			    "= \"2h\"; timezone = \"UTC\"; } );\n"
			    "  rotate = { bytes = \"64MiB\"; every = \"5m\"; on_clock = true; };\n"
			    "  limit = { bytes = \"100GB\"; time = \"2h\"; packets = "
			    "\"10000000000\"; }; flush = \"250ms\"; } );\n";

START_TEST(every_value_of_a_whole_file_is_taken)
{
	struct settings *s = must_load(WHOLE);
	const struct recording_settings *r = &s->recordings[0];
	struct occurrence o;
	char stripe[96];

	ck_assert_str_eq(s->socket, "/run/x.sock");
	ck_assert_str_eq(s->group, "root");
	ck_assert_uint_eq(s->stop_timeout_ns, 0);
	ck_assert_int_eq(s->log_level, LOG_DEBUG);
	ck_assert(!s->huge_pages);
	ck_assert_uint_eq(s->writer_memory_bytes, 1ULL << 30);
	ck_assert_uint_eq(s->writer_queue_depth, 4);
	ck_assert_uint_eq(s->port_count, 2);
	ck_assert_uint_eq(s->ports[0].descriptors, 512);
	ck_assert_uint_eq(s->ports[0].frame_bytes, 1518);
	ck_assert(!s->ports[0].promiscuous);
	ck_assert_int_eq(s->ports[1].line, 5);
	ck_assert_uint_eq(r->port_count, 2);
	ck_assert_str_eq(r->ports[1], "right");
	ck_assert_str_eq(r->filter, "udp port 53");
	ck_assert_str_eq(r->snaplen, "headers+64");
	ck_assert(r->cut.headers);
	ck_assert_uint_eq(r->cut.extra, 64);
	ck_assert_uint_eq(r->rule_set->count, 2);
	ck_assert_int_eq(r->vlan, FILTER_VLAN_STRICT);
	ck_assert_uint_eq(r->inner, FILTER_INNER_VXLAN | FILTER_INNER_IPIP);
	ck_assert_int_eq(r->fragments, FILTER_FRAGMENTS_FOLLOW);
	ck_assert_uint_eq(r->cutoff_bytes, 20480);
	ck_assert_int_eq(r->after, FILTER_AFTER_DROP);
	ck_assert_uint_eq(r->cutoff_flows, 2048);
	(void)snprintf(stripe, sizeof(stripe), "%s/data1", dir);
	ck_assert_uint_eq(r->stripe_count, 2);
	ck_assert_str_eq(r->stripes[1], stripe);
	ck_assert_int_eq(r->when, WHEN_WINDOWS);
	ck_assert_uint_eq(r->window_count, 2);
	ck_assert_str_eq(window_timezone(r->windows[0]), "Europe/Berlin");
	/* from 2026-11-21T00:00:00Z: Friday the 27th, 22:00 UTC */
	ck_assert_int_eq(window_next(r->windows[1], 1795219200ULL * NS_PER_SEC, &o), 0);
	ck_assert_uint_eq(o.start_ns / NS_PER_SEC, 1795816800);
	ck_assert_uint_eq(r->rotate_bytes, 64ULL << 20);
	ck_assert_uint_eq(r->rotate_ns, 300 * NS_PER_SEC);
	ck_assert(r->rotate_on_clock);
	ck_assert_uint_eq(r->limit_bytes, 100000000000);
	ck_assert_uint_eq(r->limit_ns, 7200 * NS_PER_SEC);
	ck_assert_uint_eq(r->limit_pkts, 10000000000);
	ck_assert_uint_eq(r->flush_ns, 250 * NS_PER_SEC / 1000);
	settings_free(s);
}
END_TEST

/* text with from replaced by to, once */
static char *replaced(const char *text, const char *from, const char *to)
{
	const char *place = strstr(text, from);
	char *made;

	ck_assert_msg(place != NULL, "no %s", from);
	ck_assert_int_ge(
		asprintf(&made, "%.*s%s%s", (int)(place - text), text, to, place + strlen(from)),
		0);
	return made;
}

/* Loads WHOLE with from replaced by to, and says which of the two prints that changes. */
static void prints_changed(
	const char *from, const char *to, bool *ret_fingerprint, bool *ret_filter_print)
{
	char *text = replaced(WHOLE, from, to);
	struct settings *s = must_load(WHOLE), *t = must_load(text);

	*ret_fingerprint = strcmp(s->recordings[0].fingerprint, t->recordings[0].fingerprint) != 0;
	*ret_filter_print =
		strcmp(s->recordings[0].filter_print, t->recordings[0].filter_print) != 0;
	settings_free(s);
	settings_free(t);
	free(text);
}

START_TEST(a_fingerprint_changes_with_every_value_that_is_not_live_and_with_nothing_else)
{
	static const char *const changes[][2] = {{"\"office\"", "\"lab\""},
		{"[\"left\", \"right\"]", "[\"left\"]"}, {"\"^/data0\", ", ""},
		{"mon-fri", "mon-thu"}, {"08:00", "08:01"}, {"10h", "11h"},
		{"Europe/Berlin", "Europe/Paris"}, {"BYDAY=-1FR", "BYDAY=-1TH"}, {"64MiB", "65MiB"},
		{"\"5m\"", "\"6m\""}, {"on_clock = true", "on_clock = false"}, {"100GB", "100GiB"},
		{"time = \"2h\"", "time = \"3h\""}, {"10000000000", "10000000001"},
		{"250ms", "251ms"}};
	bool fingerprint, filter_print;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		prints_changed(changes[i][0], changes[i][1], &fingerprint, &filter_print);
		ck_assert_msg(fingerprint && !filter_print, "%s", changes[i][1]);
	}
	prints_changed("recordings: (", "\n\n# moved\nrecordings: (", &fingerprint, &filter_print);
	ck_assert(!fingerprint && !filter_print);
	prints_changed("\"64MiB\"", "\"65536KiB\"", &fingerprint, &filter_print);
	ck_assert(!fingerprint && !filter_print);
}
END_TEST

START_TEST(a_filter_print_changes_with_every_value_that_is_live_and_with_nothing_else)
{
	static const char *const changes[][2] = {{"udp port 53", "udp port 54"},
		{"headers+64", "headers+65"}, {"rules_file = \"^/rules\";", ""},
		{"\"strict\"", "\"any\""}, {"\"ipip\"", "\"gre\""}, {"\"follow\"", "\"literal\""},
		{"20 KiB", "21 KiB"}, {"\"drop\"", "\"headers\""}, {"2048", "2049"}};
	bool fingerprint, filter_print;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		prints_changed(changes[i][0], changes[i][1], &fingerprint, &filter_print);
		ck_assert_msg(filter_print && !fingerprint, "%s", changes[i][1]);
	}
	prints_changed(
		"( \"vxlan\", \"ipip\" )", "[ \"ipip\", \"vxlan\" ]", &fingerprint, &filter_print);
	ck_assert(!fingerprint && !filter_print);
}
END_TEST

START_TEST(a_filter_print_changes_with_what_a_file_of_rules_says)
{
	struct settings *s = must_load(WHOLE), *t;

	write_rules("keep tcp any any any 443 # for the auditors\ndrop any any any any any\n");
	t = must_load(WHOLE);
	ck_assert_str_eq(s->recordings[0].filter_print, t->recordings[0].filter_print);
	settings_free(t);
	write_rules("keep tcp any any any 444\ndrop any any any any any\n");
	t = must_load(WHOLE);
	ck_assert_str_ne(s->recordings[0].filter_print, t->recordings[0].filter_print);
	ck_assert_str_eq(s->recordings[0].fingerprint, t->recordings[0].fingerprint);
	settings_free(t);
	settings_free(s);
}
END_TEST

/* What a load of text writes to the log. */
static void log_of(const char *text, char log[512])
{
	char path[96];
	int before = dup(STDERR_FILENO);
	size_t n;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/log", dir);
	f = fopen(path, "w+e");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(dup2(fileno(f), STDERR_FILENO), 0);
	settings_free(must_load(text));
	ck_assert_int_ge(dup2(before, STDERR_FILENO), 0);
	(void)close(before);
	rewind(f);
	n = fread(log, 1, 511, f);
	log[n] = '\0';
	(void)fclose(f);
}

START_TEST(rules_that_keep_no_packet_are_a_warning_and_no_fault)
{
	char log[512];

	log_of(RECORDING("rules = [ \"drop any any any any any\" ];"), log);
	ck_assert_str_eq(log, "warning: recording 'r': none of its rules keeps a packet, so "
			      "nothing is recorded\n");
	log_of(RECORDING("rules_file = \"^/file\";"), log);
	ck_assert_ptr_nonnull(strstr(log, "none of its rules keeps a packet"));
	log_of(RECORDING("rules_file = \"^/rules\";"), log);
	ck_assert_str_eq(log, "");
}
END_TEST

START_TEST(a_copy_of_a_recording_outlives_it)
{
	struct settings *s = must_load(WHOLE);
	struct recording_settings copy;
	struct occurrence o;

	write_rules("no longer rules\n");
	ck_assert_int_eq(recording_copy(&s->recordings[0], &copy), 0);
	settings_free(s);
	ck_assert_str_eq(copy.name, "office");
	ck_assert_str_eq(copy.ports[1], "right");
	ck_assert_uint_eq(copy.stripe_count, 2);
	ck_assert_uint_eq(copy.window_count, 2);
	ck_assert_int_eq(window_next(copy.windows[0], 0, &o), 0);
	ck_assert_ptr_nonnull(strstr(copy.fingerprint, "mon-fri"));
	ck_assert_ptr_nonnull(strstr(copy.filter_print, "udp port 53"));
	ck_assert_uint_eq(copy.rule_set->count, 2);
	ck_assert_str_eq(copy.rule_set->list[0].text, "keep tcp any any any 443");
	ck_assert_uint_eq(copy.rule_set->list[0].line, 3);
	ck_assert_uint_eq(copy.rule_set->list[1].line, 4);
	ck_assert_str_eq(copy.rule_set->name, copy.rules_file);
	recording_done(&copy);
	recording_done(&copy);
	recording_done(NULL);
}
END_TEST

START_TEST(a_copy_of_a_list_of_rules_outlives_it)
{
	/* A line end inside a text is a blank. */
	struct settings *s = must_load(RECORDING("rules = ( \"drop udp any any any 53\",\n"
						 "\"keep tcp any any\\nany 443\" );"));
	struct recording_settings copy;

	ck_assert_int_eq(recording_copy(&s->recordings[0], &copy), 0);
	settings_free(s);
	ck_assert_uint_eq(copy.rule_count, 2);
	ck_assert_str_eq(copy.rules[0], "drop udp any any any 53");
	ck_assert_uint_eq(copy.rule_set->count, 2);
	ck_assert_int_eq(copy.rule_set->list[1].action, RULE_KEEP);
	ck_assert_uint_eq(copy.rule_set->list[1].line, 2);
	ck_assert_str_eq(copy.rule_set->name, "r");
	recording_done(&copy);
}
END_TEST

START_TEST(what_needs_a_restart_is_named_with_both_values_and_nothing_else_is)
{
	struct settings *s = must_load(WHOLE), *t;
	char *a, *b, *c, *d;
	struct faults texts = {0};

	settings_needs_restart(s, s, &texts);
	ck_assert_uint_eq(texts.count, 0);
	a = replaced(WHOLE, "descriptors = 512", "descriptors = 1024");
	b = replaced(a, "name = \"right\"", "name = \"third\"");
	c = replaced(b, "[\"left\", \"right\"]", "[\"left\"]");
	d = replaced(c, "queue_depth = 4; };", "queue_depth = 8; };");
	t = must_load(d);
	settings_needs_restart(s, t, &texts);
	ck_assert_uint_eq(texts.count, 4);
	ck_assert_str_eq(texts.texts[0], "writers.queue_depth: 4 -> 8");
	ck_assert_str_eq(texts.texts[1], "ports.left.descriptors: 512 -> 1024");
	ck_assert_str_eq(texts.texts[2], "ports.right: removed");
	ck_assert_str_eq(texts.texts[3], "ports.third: added");
	faults_free(&texts);
	settings_free(t);
	free(a);
	a = replaced(WHOLE, "\"debug\"", "\"error\"");
	t = must_load(a);
	settings_needs_restart(s, t, &texts);
	ck_assert_uint_eq(texts.count, 0);
	settings_free(t);
	settings_free(s);
	free(a);
	free(b);
	free(c);
	free(d);
}
END_TEST

static int from_json(const char *text, struct recording_settings *r, struct errbuf *err)
{
	static const char *const also_known[] = {"cmd", NULL};
	json_t *request = json_loads(text, 0, NULL);
	int e;

	ck_assert_ptr_nonnull(request);
	e = recording_from_json(request, also_known, r, err);
	json_decref(request);
	return e;
}

START_TEST(a_request_that_is_wrong_names_the_key)
{
	static const char *const wrong[][2] = {{"{}", "stripes: is missing"},
		{"[]", "must be an object"}, {"{\"stripes\":\"null:\"}", "stripes: must be a list"},
		{"{\"stripes\":[]}", "stripes: must be a list"},
		{"{\"stripes\":[1]}", "stripes: must be a list"},
		{"{\"stripes\":[\"/nonexistent/x\"]}", "stripes: "},
		{"{\"stripes\":[\"null:\",\"null:\"]}", "stripes: \"null:\" is there twice"},
		{"{\"stripes\":[\"null:\"],\"colour\":1}", "colour: unknown key"},
		{"{\"stripes\":[\"null:\"],\"when\":\"always\"}", "when: unknown key"},
		{"{\"stripes\":[\"null:\"],\"name\":\"a/b\"}", "name: \"a/b\" is not a name"},
		{"{\"stripes\":[\"null:\"],\"name\":1}", "name: must be text"},
		{"{\"stripes\":[\"null:\"],\"ports\":[\"a\",\"\"]}", "ports: must be a list"},
		{"{\"stripes\":[\"null:\"],\"filter\":\"tcp and udp\"}", "filter: "},
		{"{\"stripes\":[\"null:\"],\"snaplen\":\"64x\"}", "snaplen: "},
		{"{\"stripes\":[\"null:\"],\"snaplen\":\"5\"}", "snaplen: \"5\" must be"},
		{"{\"stripes\":[\"null:\"],\"for\":10}", "for: must be text"},
		{"{\"stripes\":[\"null:\"],\"for\":\"ten\"}", "for: \"ten\" is not a time"},
		{"{\"stripes\":[\"null:\"],\"packets\":-1}", "packets: \"-1\" must be"},
		{"{\"stripes\":[\"null:\"],\"packets\":0}", "packets: \"0\" must be"},
		{"{\"stripes\":[\"null:\"],\"packets\":1.5}", "packets: must be text"},
		{"{\"stripes\":[\"null:\"],\"rotate_on_clock\":\"true\"}",
			"rotate_on_clock: must be true or false"},
		{"{\"stripes\":[\"null:\"],\"rotate_on_clock\":true}",
			"rotate_on_clock: true needs every"},
		{"{\"stripes\":[\"null:\"],\"rotate_bytes\":\"1MiB\"}",
			"rotate_bytes: \"1MiB\" must be 2MiB"},
		{"{\"stripes\":[\"null:\"],\"flush\":null}", "flush: must be text"},
		{"{\"stripes\":[\"null:\"],\"rules_file\":\"x\"}",
			"rules_file: \"x\" must be an absolute path"},
		{"{\"stripes\":[\"null:\"],\"rules\":[\"keep\"]}",
			"rules: capture, rule 1: a rule is ACTION"},
		{"{\"stripes\":[\"null:\"],\"rules\":\"drop\"}", "rules: must be a list"},
		{"{\"stripes\":[\"null:\"],\"vlan\":\"all\"}", "vlan: \"all\" must be \"any\""},
		{"{\"stripes\":[\"null:\"],\"inner\":\"gre\"}", "inner: must be a list"},
		{"{\"stripes\":[\"null:\"],\"inner\":[]}", "inner: must be a list"},
		{"{\"stripes\":[\"null:\"],\"inner\":[1]}", "inner: must be a list"},
		{"{\"stripes\":[\"null:\"],\"inner\":[\"gtp\"]}", "inner: \"gtp\" is not one of"},
		{"{\"stripes\":[\"null:\"],\"fragments\":1}", "fragments: must be text"},
		{"{\"stripes\":[\"null:\"],\"cutoff\":20}", "cutoff: must be text"},
		{"{\"stripes\":[\"null:\"],\"after\":\"headers\"}", "after: needs a cutoff"},
		{"{\"stripes\":[\"null:\"],\"cutoff_flows\":\"1024\"}",
			"cutoff_flows: must be a number"},
		{"{\"stripes\":[\"null:\"],\"cutoff_flows\":1}", "cutoff_flows: 1 must be 1024"}};
	struct recording_settings r = {.line = 7};
	struct errbuf err;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		err.text[0] = '\0';
		ck_assert_msg(from_json(wrong[i][0], &r, &err) == -EINVAL, "%s", wrong[i][0]);
		ck_assert_msg(
			strstr(err.text, wrong[i][1]) != NULL, "%s: %s", wrong[i][0], err.text);
	}
	ck_assert_int_eq(r.line, 7);
}
END_TEST

START_TEST(a_request_makes_a_recording)
{
	struct recording_settings r;
	struct errbuf err = {""};

	ck_assert_msg(from_json("{\"cmd\":\"trigger\",\"ports\":[\"a\"],\"stripes\":[\"null:\"]}",
			      &r, &err) == 0,
		"%s", err.text);
	ck_assert_str_eq(r.name, "capture");
	ck_assert_int_eq(r.when, WHEN_TRIGGER);
	ck_assert_uint_eq(r.rotate_bytes, 1ULL << 30);
	ck_assert(cut_keeps_all(&r.cut));
	recording_done(&r);
	ck_assert_msg(from_json("{\"name\":\"x\",\"ports\":[\"a\",\"b\"],\"stripes\":[\"null:\"],"
				"\"filter\":\"\","
				"\"snaplen\":\"headers\",\"for\":\"10s\",\"bytes\":\"1GB\","
				"\"packets\":5000000000,"
				"\"rotate_bytes\":\"2MiB\",\"rotate_every\":\"1m\",\"rotate_on_"
				"clock\":true,"
				"\"rules\":[\"keep any any any any any\"],\"vlan\":\"strict\","
				"\"inner\":[\"gtp-u\",\"gre\"],\"fragments\":\"literal\","
				"\"cutoff\":\"1 MiB\",\"after\":\"drop\",\"cutoff_flows\":4096,"
				"\"flush\":\"10ms\"}",
			      &r, &err) == 0,
		"%s", err.text);
	ck_assert_str_eq(r.name, "x");
	ck_assert_uint_eq(r.port_count, 2);
	ck_assert_ptr_null(r.filter);
	ck_assert(r.cut.headers);
	ck_assert_uint_eq(r.rule_set->count, 1);
	ck_assert_int_eq(r.vlan, FILTER_VLAN_STRICT);
	ck_assert_uint_eq(r.inner, FILTER_INNER_GRE | FILTER_INNER_GTP_U);
	ck_assert_int_eq(r.fragments, FILTER_FRAGMENTS_LITERAL);
	ck_assert_uint_eq(r.cutoff_bytes, 1 << 20);
	ck_assert_int_eq(r.after, FILTER_AFTER_DROP);
	ck_assert_uint_eq(r.cutoff_flows, 4096);
	ck_assert_uint_eq(r.limit_ns, 10 * NS_PER_SEC);
	ck_assert_uint_eq(r.limit_bytes, 1000000000);
	ck_assert_uint_eq(r.limit_pkts, 5000000000);
	ck_assert_uint_eq(r.rotate_bytes, 2U << 20);
	ck_assert_uint_eq(r.rotate_ns, 60 * NS_PER_SEC);
	ck_assert(r.rotate_on_clock);
	ck_assert_uint_eq(r.flush_ns, NS_PER_SEC / 100);
	ck_assert_ptr_nonnull(r.fingerprint);
	ck_assert_ptr_nonnull(r.filter_print);
	recording_done(&r);
}
END_TEST

static int change(struct recording_settings *r, const char *text, struct errbuf *err)
{
	json_t *request = json_loads(text, 0, NULL);
	int e;

	ck_assert_ptr_nonnull(request);
	e = recording_change(request, NULL, r, err);
	json_decref(request);
	return e;
}

START_TEST(a_change_takes_cutoff_and_after_away_and_after_needs_a_cutoff)
{
	struct recording_settings r;
	struct errbuf err = {""};

	ck_assert_int_eq(from_json("{\"ports\":[\"a\"],\"stripes\":[\"null:\"],"
				   "\"cutoff\":\"1 MiB\",\"after\":\"drop\"}",
				 &r, &err),
		0);
	ck_assert_msg(change(&r, "{\"cutoff\":null,\"after\":null}", &err) == 0, "%s", err.text);
	ck_assert_uint_eq(r.cutoff_bytes, 0);
	ck_assert_int_eq(r.after, FILTER_AFTER_HEADERS);
	ck_assert_msg(change(&r, "{\"after\":null}", &err) == 0, "%s", err.text);
	ck_assert_int_eq(change(&r, "{\"after\":\"drop\"}", &err), -EINVAL);
	ck_assert_str_eq(err.text, "after: needs a cutoff, try cutoff = \"20 KiB\"");
	recording_done(&r);
}
END_TEST

START_TEST(a_change_reads_a_file_of_rules_again_only_if_it_names_it)
{
	struct settings *s;
	struct recording_settings *r;
	struct errbuf err = {""};
	char again[128];

	write_rules("keep tcp any any any 80\n");
	s = must_load(RECORDING("rules_file = \"^/rules\";"));
	r = &s->recordings[0];
	write_rules("drop tcp any any any 80\nkeep any any any any any\n");
	ck_assert_msg(change(r, "{\"snaplen\":\"64\"}", &err) == 0, "%s", err.text);
	ck_assert_uint_eq(r->rule_set->count, 1);
	ck_assert_int_eq(r->rule_set->list[0].action, RULE_KEEP);
	(void)snprintf(again, sizeof(again), "{\"rules_file\":\"%s/rules\"}", dir);
	ck_assert_msg(change(r, again, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(r->rule_set->count, 2);
	write_rules("keep tcp\n");
	ck_assert_msg(change(r, "{\"snaplen\":null}", &err) == 0, "%s", err.text);
	ck_assert_int_eq(change(r, again, &err), -EINVAL);
	settings_free(s);
}
END_TEST

static void add_refusals(TCase *tc)
{
	tcase_add_test(tc, a_file_that_cannot_be_read_says_why);
	tcase_add_test(tc, a_fault_of_syntax_has_its_line);
	tcase_add_test(tc, an_include_is_refused_and_not_read);
	tcase_add_test(tc, numbers_that_libconfig_would_wrap_are_refused);
	tcase_add_test(tc, unknown_keys_suggest_the_nearest);
	tcase_add_test(tc, values_of_the_wrong_type_say_what_is_due);
	tcase_add_test(tc, values_out_of_range_say_the_range);
	tcase_add_test(tc, on_clock_needs_a_time_that_divides_days);
	tcase_add_test(tc, what_must_be_given_is_missed);
	tcase_add_test(tc, names_have_a_rule_and_are_used_once);
	tcase_add_test(tc, a_device_is_used_once_whatever_it_is_called);
	tcase_add_test(tc, cpus_must_be_there_and_are_given_once);
	tcase_add_test(tc, recordings_name_ports_that_are_defined_each_once);
	tcase_add_test(tc, a_filter_that_libpcap_refuses_says_what_libpcap_says);
	tcase_add_test(tc, a_filter_of_another_link_type_is_taken_for_a_file_only);
	tcase_add_test(tc, a_snaplen_is_whole_14_or_more_or_headers);
	tcase_add_test(tc, what_a_filter_means_is_a_choice_or_a_list_of_tunnels);
	tcase_add_test(tc, a_cutoff_has_a_size_and_after_needs_one);
	tcase_add_test(tc, faults_of_rules_are_told_beside_the_line_of_the_settings);
	tcase_add_test(tc, stripes_are_directories_that_can_be_written_each_once);
	tcase_add_test(tc, windows_and_when_go_together);
	tcase_add_test(tc, each_wrong_value_of_a_window_is_said);
	tcase_add_test(tc, a_fault_is_one_line_whatever_the_file_holds);
	tcase_add_test(tc, a_request_that_is_wrong_names_the_key);
}

int main(void)
{
	Suite *suite = suite_create("settings");
	TCase *tc = tcase_create("settings");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	add_refusals(tc);
	tcase_add_test(tc, an_empty_file_gives_the_defaults);
	tcase_add_test(tc, a_short_recording_has_the_defaults);
	tcase_add_test(tc, every_value_of_a_whole_file_is_taken);
	tcase_add_test(
		tc, a_fingerprint_changes_with_every_value_that_is_not_live_and_with_nothing_else);
	tcase_add_test(
		tc, a_filter_print_changes_with_every_value_that_is_live_and_with_nothing_else);
	tcase_add_test(tc, a_filter_print_changes_with_what_a_file_of_rules_says);
	tcase_add_test(tc, rules_that_keep_no_packet_are_a_warning_and_no_fault);
	tcase_add_test(tc, a_copy_of_a_recording_outlives_it);
	tcase_add_test(tc, a_copy_of_a_list_of_rules_outlives_it);
	tcase_add_test(tc, what_needs_a_restart_is_named_with_both_values_and_nothing_else_is);
	tcase_add_test(tc, a_request_makes_a_recording);
	tcase_add_test(tc, a_change_takes_cutoff_and_after_away_and_after_needs_a_cutoff);
	tcase_add_test(tc, a_change_reads_a_file_of_rules_again_only_if_it_names_it);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
