#include <getopt.h>
#include <stdio.h>

#include "client.h"
#include "options.h"
#include "subcommands.h"

enum { KEY_JSON = 256 };

static const struct option_line lines[] = {
	{KEY_JSON, "json", NULL, "one JSON object: {\"applied\":[...],\"needs_restart\":[...]}"},
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "reload",
	.operands = "[OPTION]...",
	.about =
		"Has the daemon read its settings again, and prints what it applied and what "
		"needs\n"
		"a restart. When the file has a fault, nothing is changed and every fault is said.",
	.lines = lines,
};

static void print_texts(const json_t *texts, const char *label)
{
	const json_t *text;
	size_t i;

	json_array_foreach(texts, i, text)
	{
		if (json_is_string(text))
			printf("%s: %s\n", label, json_string_value(text));
	}
}

int cmd_reload(int argc, char *argv[])
{
	const json_t *applied, *needs_restart;
	bool json = false;
	json_t *answer;
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key != KEY_JSON)
			return options_exit(key);
		json = true;
	}
	r = options_no_operands(&usage, argc, argv);
	if (r == EXIT_GOOD)
		r = client_ask_once(json_pack("{s:s}", "cmd", "reload"), &answer);
	if (r != EXIT_GOOD)
		return r;
	applied = json_object_get(answer, "applied");
	needs_restart = json_object_get(answer, "needs_restart");
	if (json) {
		(void)json_object_del(answer, "ok");
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (json_array_size(applied) == 0 && json_array_size(needs_restart) == 0) {
		puts("nothing has changed");
	} else {
		print_texts(applied, "applied");
		print_texts(needs_restart, "needs a restart");
	}
	json_decref(answer);
	return EXIT_GOOD;
}
