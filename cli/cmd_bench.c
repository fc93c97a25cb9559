#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_chart.h"
#include "bench_measure.h"
#include "bench_run.h"
#include "bench_table.h"
#include "capture_options.h"
#include "options.h"
#include "record_session.h"
#include "subcommands.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum { KEY_JSON = KEY_CAPTURE_END, KEY_CPUS, KEY_SIZES, KEY_SVG };
enum { DIGITS = 9 }; /* of a number in --json: more than any clock has */

/* It keeps all that the generator sends, and is as long as what people write. */
static const char FILTER_DEFAULT[] = "udp port 53 or net 10.1.0.0/16";
static const char SIZES_DEFAULT[] = "64,IMIX,1518";
static const uint64_t FOR_MIN_NS = NS_PER_SEC / 2;

static const struct option_line lines[] = {
	{'o', "output", "DIR",
		"measure the disk of this directory; may be given again.\n"
		"Files are made in a directory of their own and removed"},
	{KEY_FOR, "for", "TIME",
		"time of each measurement; default 3s, and 10s where disks\n"
		"are written"},
	{KEY_SIZES, "sizes", "LIST",
		"frame sizes with FCS, 64 to 9216, and IMIX; default\n"
		"64,IMIX,1518"},
	{'f', "filter", "EXPR",
		"measure also with this tcpdump expression; '' does not.\n"
		"Default: udp port 53 or net 10.1.0.0/16"},
	{'s', "snaplen", "LENGTH", "bytes to store of each packet, as in record"},
	{KEY_CPUS, "cpus", "LIST", "CPUs to receive on, as in record"},
	{KEY_SVG, "svg", "FILE", "draw the rates over time"},
	{KEY_JSON, "json", NULL, "all figures as one JSON object"},
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "bench",
	.operands = "[OPTION]...",
	.about = "Measures what this machine can hold: memory, filter, pack, and the disks of -o; "
		 "and\n"
		 "predicts from that what it records without loss. Needs no NIC and no root: "
		 "packets\n"
		 "come from the built-in generator, as fast as they are taken, and go their real "
		 "way.",
	.lines = lines,
};

struct wanted {
	json_t *given; /* options as `record` reads them */
	char *sizes;   /* cut up into the frames */
	const char *svg;
	bool json;
	struct bench_options options;
};

static int take_sizes(struct wanted *w, const char *list)
{
	struct bench_options *o = &w->options;
	struct errbuf err;
	double wire_bytes;
	char *rest, *frame;

	free(w->sizes);
	rest = w->sizes = strdup(list);
	o->frame_count = 0;
	while ((frame = strsep(&rest, ",")) != NULL) {
		if (bench_frame_parse(frame, &wire_bytes, &err) < 0)
			return options_fail(&usage, "--sizes: %s", err.text);
		if (o->frame_count == BENCH_FRAMES_MAX)
			return options_fail(&usage, "--sizes: at most %d", BENCH_FRAMES_MAX);
		o->frames[o->frame_count++] = frame;
	}
	return EXIT_GOOD;
}

static int take_option(struct wanted *w, int key, const char *argument)
{
	if (key == KEY_JSON)
		w->json = true;
	else if (key == KEY_SVG)
		w->svg = argument;
	else if (key == KEY_SIZES)
		return take_sizes(w, argument);
	else if (key == KEY_CPUS)
		return capture_cpus(&usage, argument, w->options.request);
	else
		return capture_option(&usage, key, argument, w->given);
	return EXIT_GOOD;
}

static const char *given_text(const struct wanted *w, const char *name, const char *otherwise)
{
	const json_t *value = json_object_get(w->given, name);

	return value != NULL ? json_string_value(value) : otherwise;
}

static int check_options(struct wanted *w)
{
	struct bench_options *o = &w->options;
	json_t *snaplen = json_object_get(w->given, "snaplen");

	/* capture_option() has read the time before */
	(void)duration_parse(given_text(w, "for", "0"), &o->for_ns, NULL);
	if (o->for_ns != 0 && o->for_ns < FOR_MIN_NS)
		return options_fail(
			&usage, "--for: must be 500ms or more, got '%s'", given_text(w, "for", ""));
	if (json_array_size(json_object_get(w->given, "stripes")) > BENCH_DIRS_MAX)
		return options_fail(&usage, "--output: at most %d directories", BENCH_DIRS_MAX);
	o->filter = given_text(w, "filter", FILTER_DEFAULT);
	if (snaplen != NULL)
		(void)json_object_set(o->request, "snaplen", snaplen);
	return o->frame_count > 0 ? EXIT_GOOD : take_sizes(w, SIZES_DEFAULT);
}

static int read_options(int argc, char *argv[], struct wanted *w)
{
	int key, r = EXIT_GOOD;

	while (r == EXIT_GOOD && (key = options_next(&usage, argc, argv)) != OPTIONS_END)
		r = key < 0 ? key : take_option(w, key, optarg);
	if (r == EXIT_GOOD)
		r = options_no_operands(&usage, argc, argv);
	return r == EXIT_GOOD ? check_options(w) : r;
}

static int make_scratch(struct wanted *w)
{
	struct bench_options *o = &w->options;
	const json_t *dir;
	int r = EXIT_GOOD;
	size_t i;

	json_array_foreach(json_object_get(w->given, "stripes"), i, dir)
	{
		r = bench_scratch_make(json_string_value(dir), &o->dirs[i]);
		if (r != EXIT_GOOD)
			break;
		o->dir_count++;
		for (size_t k = 0; k < i; k++)
			if (bench_scratch_shares(&o->dirs[i], &o->dirs[k]))
				log_warn(
					"'%s' and '%s' are on one file system: as disks they count "
					"twice",
					o->dirs[k].dir, o->dirs[i].dir);
	}
	return r;
}

/* The picture is written beside its place and put there when it is whole. */
static int open_picture(const char *svg, char **ret_part, FILE **ret_file)
{
	if (svg == NULL)
		return EXIT_GOOD;
	if (asprintf(ret_part, "%s.part", svg) < 0)
		*ret_part = NULL;
	else
		*ret_file = fopen(*ret_part, "we");
	if (*ret_file != NULL)
		return EXIT_GOOD;
	log_error("cannot write '%s': %s", svg, strerror(errno));
	return EXIT_FAILED;
}

/* file is closed. A failure is worse than losses, and no worse than another. */
static int close_picture(
	const char *svg, const char *part, FILE *file, const json_t *report, int code)
{
	int r = report != NULL ? bench_chart_write(file, report) : -ECANCELED;

	if (r == 0 && ferror(file))
		r = -EIO;
	if (fclose(file) != 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(part, svg) < 0)
		r = -errno;
	if (r == 0)
		return code;
	(void)unlink(part);
	if (report == NULL)
		return code;
	log_error("cannot write '%s': %s", svg, strerror(-r));
	return code == EXIT_GOOD || code == EXIT_LOST ? EXIT_FAILED : code;
}

static void print_report(const json_t *report, bool json)
{
	if (json) {
		(void)json_dumpf(report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
		putchar('\n');
	} else {
		bench_table_print(report);
	}
}

static int bench(struct wanted *w)
{
	json_t *report = NULL;
	char *part = NULL;
	FILE *picture = NULL;
	int r;

	record_session_hold_signals();
	r = open_picture(w->svg, &part, &picture);
	if (r == EXIT_GOOD)
		r = make_scratch(w);
	if (r == EXIT_GOOD)
		r = bench_run(&w->options, &report);
	for (unsigned int i = 0; i < w->options.dir_count; i++)
		bench_scratch_remove(&w->options.dirs[i]);
	/* What was measured before a failure is not thrown away. */
	if (json_array_size(json_object_get(report, "measurements")) == 0) {
		json_decref(report);
		report = NULL;
	}
	if (report != NULL)
		print_report(report, w->json);
	if (picture != NULL)
		r = close_picture(w->svg, part, picture, report, r);
	free(part);
	json_decref(report);
	return r;
}

int cmd_bench(int argc, char *argv[])
{
	struct wanted w = {.given = json_object(), .options.request = json_object()};
	int r = read_options(argc, argv, &w);

	if (r == EXIT_GOOD)
		r = bench(&w);
	else if (r < 0)
		r = options_exit(r);
	json_decref(w.given);
	json_decref(w.options.request);
	free(w.sizes);
	return r;
}
