#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "options.h"
#include "subcommands.h"
#include "summary.h"
#include "wirespool/log.h"

enum { KEY_JSON = 256, KEY_NO_WAIT, POLL_MS = 250 };

static const struct option_line lines[] = {
	{KEY_NO_WAIT, "no-wait", NULL, "print the ids of the runs and do not wait for their end"},
	{KEY_JSON, "json", NULL, "one JSON object per run, as in status"},
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "stop",
	.operands = "[OPTION]... RUN | RECORDING",
	.about = "Stops a run, or all live runs of a recording, waits until all they kept is on\n"
		 "the disks and prints each one's account. Exits with 3 when packets were lost.",
	.lines = lines,
};

static const json_t *find_run(const json_t *runs, const char *id)
{
	const json_t *run;
	size_t i;

	json_array_foreach(runs, i, run)
	{
		if (strcmp(answer_text(run, "id", ""), id) == 0)
			return run;
	}
	return NULL;
}

/* The run with this id: one that ended, else one under way, else NULL. */
static const json_t *find_anywhere(const json_t *status, const char *id)
{
	const json_t *run = find_run(json_object_get(status, "ended"), id);

	return run != NULL ? run : find_run(json_object_get(status, "runs"), id);
}

static int print_ended(const json_t *run, bool json)
{
	if (json) {
		(void)json_dumpf(run, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		summary_print_run(run, 0);
	}
	return summary_run_lost(run) > 0 ? EXIT_LOST : EXIT_GOOD;
}

/* Polls until the run ended, then prints its ledger. */
static int wait_ended(struct client *c, const char *id, bool json)
{
	json_t *status;
	int r;

	for (;;) {
		const json_t *run;

		r = client_ask(c, json_pack("{s:s}", "cmd", "status"), &status);
		if (r != EXIT_GOOD)
			return r;
		run = find_anywhere(status, id);
		if (run == NULL) {
			log_error("run '%s' has ended, but the daemon no longer has its account; "
				  "its log does",
				id);
			r = EXIT_FAILED;
			break;
		}
		if (strcmp(answer_text(run, "state", ""), "ended") == 0) {
			r = print_ended(run, json);
			break;
		}
		json_decref(status);
		(void)poll(NULL, 0, POLL_MS);
	}
	json_decref(status);
	return r;
}

/* The first failure stays; a loss outweighs success only. */
static int worse(int before, int now)
{
	return before == EXIT_GOOD || (before == EXIT_LOST && now != EXIT_GOOD) ? now : before;
}

static int stop(struct client *c, const char *what, bool json, bool wait)
{
	json_t *answer;
	const json_t *id;
	size_t i;
	int r = client_ask(c, json_pack("{s:s, s:s}", "cmd", "stop", "what", what), &answer);

	if (r != EXIT_GOOD)
		return r;
	json_array_foreach(json_object_get(answer, "runs"), i, id)
	{
		const char *text = json_is_string(id) ? json_string_value(id) : "";

		if (wait)
			r = worse(r, wait_ended(c, text, json));
		else if (json)
			printf("{\"id\":\"%s\"}\n", text);
		else
			puts(text);
	}
	json_decref(answer);
	return r;
}

int cmd_stop(int argc, char *argv[])
{
	bool json = false, wait = true;
	struct client *c;
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key == KEY_JSON)
			json = true;
		else if (key == KEY_NO_WAIT)
			wait = false;
		else
			return options_exit(key);
	}
	if (optind + 1 != argc)
		return options_fail(&usage, "needs one RUN or RECORDING, got %d", argc - optind);
	r = client_open(&c);
	if (r != EXIT_GOOD)
		return r;
	r = stop(c, argv[optind], json, wait);
	client_close(c);
	return r;
}
