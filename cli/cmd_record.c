#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture_options.h"
#include "options.h"
#include "record_session.h"
#include "subcommands.h"
#include "summary.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum { KEY_JSON = KEY_CAPTURE_END, KEY_CPUS };

static const struct option_line lines[] = {
	OPTION_LINES_CAPTURE,
	{KEY_CPUS, "cpus", "LIST",
		"CPUs to receive on, one queue each: 2,3 or 2-5; default: the\n"
		"daemon places them"},
	{'v', "verbose", NULL,
		"show the daemon's log, and progress also where stderr is no terminal"},
	{KEY_JSON, "json", NULL, "the end summary as one JSON object"},
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "record",
	.operands = "[OPTION]... DEVICE...",
	.about =
		"Records from devices now, without settings or a service, until interrupted or a\n"
		"limit is reached, into the current directory unless -o says otherwise. Ends with "
		"the\n"
		"account of every packet; exits with 3 when packets were lost. A second interrupt\n"
		"waits no more for the disks. DEVICE is eth0, af_xdp:eth0, a PCI address, "
		"pcap:FILE,\n"
		"gen:rate=40G,size=IMIX or vdev:net_...",
	.lines = lines,
};

static int read_options(int argc, char *argv[], json_t *request, bool *ret_json, bool *ret_verbose)
{
	json_t *devices = json_array();
	int key, r;

	(void)json_object_set_new(request, "devices", devices);
	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		r = EXIT_GOOD;
		if (key < 0)
			return key;
		else if (key == KEY_JSON)
			*ret_json = true;
		else if (key == 'v')
			*ret_verbose = true;
		else if (key == KEY_CPUS)
			r = capture_cpus(&usage, optarg, request);
		else
			r = capture_option(&usage, key, optarg, request);
		if (r != EXIT_GOOD)
			return r;
	}
	if (optind == argc)
		return options_fail(
			&usage, "needs a DEVICE: eth0, a PCI address, pcap:FILE, gen:...");
	for (int i = optind; i < argc; i++)
		if (json_array_append_new(devices, json_string(argv[i])) != 0)
			return options_fail(&usage, "device '%s' is not UTF-8 text", argv[i]);
	if (json_object_get(request, "stripes") == NULL)
		(void)json_object_set_new(request, "stripes", json_pack("[s]", "."));
	return capture_options_check(&usage, request);
}

/*
 * Makes the last component of each -o that is not there. A parent that is not there is a mistake
 * that nobody wants to find later as a tree of new directories. Those made are put in made.
 */
static int make_directories(const json_t *stripes, json_t *made)
{
	const json_t *stripe;
	struct stat st;
	size_t i;

	json_array_foreach(stripes, i, stripe)
	{
		const char *path = json_string_value(stripe);

		if (strncmp(path, "null:", 5) == 0 || stat(path, &st) == 0)
			continue;
		if (errno == ENOENT && mkdir(path, 0777) == 0) {
			(void)json_array_append_new(made, json_string(path));
			continue;
		}
		if (errno == ENOENT)
			log_error("cannot make directory '%s': the directory it would be in does "
				  "not exist; only the last part of a path is made",
				path);
		else
			log_error("cannot make directory '%s': %s", path, strerror(errno));
		return EXIT_USAGE;
	}
	return EXIT_GOOD;
}

/* A recording that did not begin leaves nothing behind. */
static void remove_directories(const json_t *made)
{
	const json_t *path;
	size_t i;

	json_array_foreach(made, i, path)(void) rmdir(json_string_value(path));
}

static void print_summary(const json_t *summary, bool json)
{
	if (json) {
		(void)json_dumpf(summary, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		summary_print(summary);
	}
}

/* request is taken over. */
static int record(json_t *request, bool json, bool verbose)
{
	json_t *made = json_array();
	json_t *summary = NULL;
	bool started = false;
	int r;

	r = make_directories(json_object_get(request, "stripes"), made);
	if (r == EXIT_GOOD)
		r = record_session(request, verbose, NULL, &started, &summary);
	else
		json_decref(request);
	if (!started)
		remove_directories(made);
	json_decref(made);
	if (r != EXIT_GOOD)
		return r;
	print_summary(summary, json);
	r = summary_lost(summary) ? EXIT_LOST : EXIT_GOOD;
	json_decref(summary);
	return r;
}

int cmd_record(int argc, char *argv[])
{
	json_t *request = json_pack("{s:s}", "cmd", "record");
	bool json = false, verbose = false;
	int r = read_options(argc, argv, request, &json, &verbose);

	if (r != EXIT_GOOD) {
		json_decref(request);
		return r < 0 ? options_exit(r) : r;
	}
	return record(request, json, verbose);
}
