#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "capture_options.h"
#include "client.h"
#include "options.h"
#include "subcommands.h"
#include "wirespool/log.h"

enum { KEY_JSON = 256, POLL_MS = 200 };

static const struct option_line lines[] = {
	{KEY_JSON, "json", NULL, "one JSON object: {\"recording\",\"generation\",\"since\",...}"},
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "set",
	.operands = "[OPTION]... RECORDING KEY=VALUE...",
	.about = "Changes what a recording keeps, in its live runs and in those to come. KEY is\n"
		 "filter, snaplen, rules (a file), vlan, inner, fragments, cutoff or after, with "
		 "a\n"
		 "VALUE as in 'wirespool record --help'; an empty VALUE takes the setting away.",
	.lines = lines,
};

static const struct key {
	const char *name;
	const char *member; /* of the request */
	enum { VALUE_TEXT, VALUE_PATH, VALUE_COMMAS } value;
} keys[] = {
	{"filter", "filter", VALUE_TEXT},
	{"snaplen", "snaplen", VALUE_TEXT},
	{"rules", "rules_file", VALUE_PATH},
	{"vlan", "vlan", VALUE_TEXT},
	{"inner", "inner", VALUE_COMMAS},
	{"fragments", "fragments", VALUE_TEXT},
	{"cutoff", "cutoff", VALUE_TEXT},
	{"after", "after", VALUE_TEXT},
};

/* "filter, snaplen, ..." */
static const char *known_keys(void)
{
	static char text[128];

	text[0] = '\0';
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t used = strlen(text);

		(void)snprintf(
			text + used, sizeof(text) - used, "%s%s", i > 0 ? ", " : "", keys[i].name);
	}
	return text;
}

static int add_value(json_t *request, const struct key *k, const char *value)
{
	json_t *made;

	if (json_object_get(request, k->member) != NULL)
		return options_fail(&usage, "'%s' is there twice", k->name);
	if (value[0] == '\0')
		made = json_null();
	else if (k->value == VALUE_COMMAS)
		made = capture_commas(value);
	else if (k->value == VALUE_TEXT)
		made = json_string(value);
	else if (capture_path(&usage, k->name, value, &made) != EXIT_GOOD)
		return EXIT_USAGE;
	if (json_object_set_new(request, k->member, made) != 0)
		return options_fail(&usage, "%s: '%s' is not UTF-8 text", k->name, value);
	return EXIT_GOOD;
}

static int add_change(json_t *request, const char *operand)
{
	size_t length = strcspn(operand, "=");

	if (operand[length] == '\0')
		return options_fail(
			&usage, "'%s' is not KEY=VALUE; KEY is one of %s", operand, known_keys());
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strlen(keys[i].name) == length && strncmp(keys[i].name, operand, length) == 0)
			return add_value(request, &keys[i], operand + length + 1);
	return options_fail(
		&usage, "unknown key '%.*s'; there are %s", (int)length, operand, known_keys());
}

static int read_changes(json_t *request, int argc, char *argv[])
{
	int r = EXIT_GOOD;

	if (argc - optind < 2)
		return options_fail(&usage, "needs a RECORDING and at least one KEY=VALUE");
	if (json_object_set_new(request, "recording", json_string(argv[optind])) != 0)
		return options_fail(&usage, "'%s' is not UTF-8 text", argv[optind]);
	for (int i = optind + 1; i < argc && r == EXIT_GOOD; i++)
		r = add_change(request, argv[i]);
	return r;
}

static json_t *find_filter(const json_t *status, const char *recording)
{
	const json_t *r;
	size_t i;

	json_array_foreach(json_object_get(status, "recordings"), i, r)
	{
		if (strcmp(answer_text(r, "name", ""), recording) == 0)
			return json_object_get(r, "filter");
	}
	return NULL;
}

/* What a filter that was waited for has come to. EXIT_GOOD: it is put into the answer. */
static int take_filter(json_t *answer, const json_t *filter)
{
	const char *recording = answer_text(answer, "recording", "");
	const char *error = answer_text(filter, "error", NULL);

	if (filter == NULL) {
		log_error("recording '%s' is gone from the settings", recording);
		return EXIT_FAILED;
	}
	if (error != NULL) {
		log_error("%s: %s; the filter before goes on", recording, error);
		return EXIT_FAILED;
	}
	(void)json_object_set(answer, "generation", json_object_get(filter, "generation"));
	(void)json_object_set(answer, "since", json_object_get(filter, "since"));
	(void)json_object_set_new(answer, "pending", json_false());
	return EXIT_GOOD;
}

/* A table of many rules takes the daemon seconds to build: polls until it is in place, or failed. */
static int wait_built(struct client *c, json_t *answer)
{
	json_t *status, *filter;
	bool pending = true;
	int r = EXIT_GOOD;

	while (r == EXIT_GOOD && pending) {
		(void)poll(NULL, 0, POLL_MS);
		r = client_ask(c, json_pack("{s:s}", "cmd", "status"), &status);
		if (r != EXIT_GOOD)
			return r;
		filter = find_filter(status, answer_text(answer, "recording", ""));
		pending = json_is_true(json_object_get(filter, "pending"));
		if (!pending)
			r = take_filter(answer, filter);
		json_decref(status);
	}
	return r;
}

static void print_text(const json_t *answer)
{
	const char *recording = answer_text(answer, "recording", "");
	const char *since = answer_text(answer, "since", NULL);
	size_t runs = json_array_size(json_object_get(answer, "runs"));
	const char *at;

	if (runs == 0) {
		printf("%s: changed, no run is live\n", recording);
		return;
	}
	printf("%s: filter generation %llu", recording,
		(unsigned long long)answer_count(answer, "generation"));
	if (since != NULL) { /* else they began with it */
		/* "2026-11-21T03:30:00.123Z" was just now: the day says nothing. */
		at = strchr(since, 'T') != NULL ? strchr(since, 'T') + 1 : since;
		printf(" since %.*s", (int)strcspn(at, "Z"), at);
	}
	printf(" in %zu live run%s\n", runs, runs == 1 ? "" : "s");
}

/* request is taken over. */
static int set(struct client *c, json_t *request, bool json)
{
	json_t *answer;
	int r = client_ask(c, request, &answer);

	if (r != EXIT_GOOD)
		return r;
	if (json_is_true(json_object_get(answer, "pending")))
		r = wait_built(c, answer);
	if (r == EXIT_GOOD && json) {
		(void)json_object_del(answer, "ok");
		(void)json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (r == EXIT_GOOD) {
		print_text(answer);
	}
	json_decref(answer);
	return r;
}

int cmd_set(int argc, char *argv[])
{
	json_t *request;
	bool json = false;
	struct client *c;
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key != KEY_JSON)
			return options_exit(key);
		json = true;
	}
	request = json_pack("{s:s}", "cmd", "set");
	r = read_changes(request, argc, argv);
	if (r == EXIT_GOOD)
		r = client_open(&c);
	if (r != EXIT_GOOD) {
		json_decref(request);
		return r;
	}
	r = set(c, request, json);
	client_close(c);
	return r;
}
