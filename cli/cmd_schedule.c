#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "client.h"
#include "options.h"
#include "subcommands.h"
#include "table.h"
#include "wirespool/units.h"

enum { KEY_JSON = 256, NEXT_MAX = 10000 };

static const struct option_line lines[] = {
	{'n', "next", "N", "show this many windows, at most 10000; default as the daemon has it"},
	{KEY_JSON, "json", NULL, "one JSON object per window"},
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "schedule",
	.operands = "[OPTION]...",
	.about = "Shows the windows that are open and the next ones, in the local time of each\n"
		 "window's zone and in UTC. A window holds the packets with start <= time < end.",
	.lines = lines,
};

static void print_windows(const json_t *windows)
{
	static const char *const headings[] = {"RECORDING", "LOCAL START", "LOCAL END", "ZONE",
		"UTC START", "UTC END", "LIVE", NULL};
	static const char *const keys[] = {
		"recording", "start_local", "end_local", "timezone", "start", "end"};
	struct table *t = table_new(headings);
	const json_t *window;
	size_t i;

	json_array_foreach(windows, i, window)
	{
		for (unsigned int k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			table_cell(t, "%s", answer_text(window, keys[k], "-"));
		table_cell(t, "%s", json_is_true(json_object_get(window, "live")) ? "live" : "");
	}
	table_print(t, "");
	if (json_array_size(windows) == 0)
		puts("no windows ahead");
}

int cmd_schedule(int argc, char *argv[])
{
	const json_t *windows, *window;
	json_t *request, *answer;
	struct errbuf err;
	uint64_t next = 0;
	bool json = false;
	size_t i;
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key == KEY_JSON)
			json = true;
		else if (key != 'n')
			return options_exit(key);
		else if (number_parse(optarg, "N", 1, NEXT_MAX, &next, &err) < 0)
			return options_fail(&usage, "--next: %s", err.text);
	}
	r = options_no_operands(&usage, argc, argv);
	if (r != EXIT_GOOD)
		return r;
	request = json_pack("{s:s}", "cmd", "schedule");
	if (next > 0)
		(void)json_object_set_new(request, "next", json_integer((json_int_t)next));
	r = client_ask_once(request, &answer);
	if (r != EXIT_GOOD)
		return r;
	windows = json_object_get(answer, "windows");
	if (!json)
		print_windows(windows);
	json_array_foreach(windows, i, window)
	{
		if (json && json_dumpf(window, stdout, JSON_COMPACT) == 0)
			putchar('\n');
	}
	json_decref(answer);
	return EXIT_GOOD;
}
