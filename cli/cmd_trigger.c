#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "capture_options.h"
#include "client.h"
#include "options.h"
#include "subcommands.h"

enum { KEY_PORT = KEY_CAPTURE_END };

static const struct option_line lines[] = {
	{KEY_PORT, "port", "NAME", "record from this port of the settings; may be given again"},
	OPTION_LINES_CAPTURE,
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "trigger",
	.operands = "[OPTION]... RECORDING | --port NAME...",
	.about = "Starts a run of a recording of the settings now (of its options only --for\n"
		 "may be given), or of one made up here with --port. Prints the run's id.",
	.lines = lines,
};

static int make_absolute(json_t *stripes)
{
	json_t *stripe, *text;
	size_t i;

	json_array_foreach(stripes, i, stripe)
	{
		const char *path = json_string_value(stripe);

		if (strncmp(path, "null:", 5) == 0)
			continue;
		if (capture_path(&usage, "--output", path, &text) != EXIT_GOOD)
			return EXIT_USAGE;
		(void)json_array_set_new(stripes, i, text);
	}
	return EXIT_GOOD;
}

static int add_port(json_t *request, const char *name)
{
	if (json_object_get(request, "ports") == NULL)
		(void)json_object_set_new(request, "ports", json_array());
	if (json_array_append_new(json_object_get(request, "ports"), json_string(name)) != 0)
		return options_fail(&usage, "--port: '%s' is not UTF-8 text", name);
	return EXIT_GOOD;
}

/* A recording's name and --port each say what to record; exactly one of them must. */
static int check_request(json_t *request, int argc, char *argv[])
{
	bool made_up = json_object_get(request, "ports") != NULL;
	const char *key;
	json_t *value;

	if (made_up && optind < argc)
		return options_fail(
			&usage, "takes a RECORDING or --port, not both; got '%s'", argv[optind]);
	if (made_up)
		return make_absolute(json_object_get(request, "stripes"));
	if (optind >= argc)
		return options_fail(&usage, "needs a RECORDING of the settings, or --port NAME");
	if (optind + 1 < argc)
		return options_fail(&usage, "takes one RECORDING, got also '%s'", argv[optind + 1]);
	json_object_foreach(request, key, value)
	{
		if (strcmp(key, "cmd") != 0 && strcmp(key, "for") != 0)
			return options_fail(&usage,
				"'%s' has its own %s in the settings; of the options only --for "
				"goes "
				"with a RECORDING",
				argv[optind], key);
	}
	if (json_object_set_new(request, "recording", json_string(argv[optind])) != 0)
		return options_fail(&usage, "'%s' is not UTF-8 text", argv[optind]);
	return EXIT_GOOD;
}

static int read_options(int argc, char *argv[], json_t *request)
{
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key < 0)
			return key;
		r = key == KEY_PORT ? add_port(request, optarg)
				    : capture_option(&usage, key, optarg, request);
		if (r != EXIT_GOOD)
			return r;
	}
	r = check_request(request, argc, argv);
	return r != EXIT_GOOD ? r : capture_options_check(&usage, request);
}

int cmd_trigger(int argc, char *argv[])
{
	json_t *request = json_pack("{s:s}", "cmd", "trigger");
	json_t *answer;
	int r = read_options(argc, argv, request);

	if (r != EXIT_GOOD) {
		json_decref(request);
		return r < 0 ? options_exit(r) : r;
	}
	r = client_ask_once(request, &answer);
	if (r != EXIT_GOOD)
		return r;
	puts(answer_text(answer, "run", ""));
	json_decref(answer);
	return EXIT_GOOD;
}
