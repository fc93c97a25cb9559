#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "ask_stripes.h"
#include "options.h"
#include "subcommands.h"
#include "table.h"
#include "wirespool/archive.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum { KEY_JSON = 256, KEY_SEGMENTS };

static const struct option_line lines[] = {
	{KEY_SEGMENTS, "segments", NULL, "one line per file instead of one per run"},
	{KEY_JSON, "json", NULL, "one JSON object per file"},
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "list",
	.operands = "[OPTION]... [DIR]...",
	.about = "Lists the runs that lie in directories; without any, on the stripes of the "
		 "daemon.\n"
		 "Times are UTC, of the first and last packet. MISSING are packets that recovery "
		 "found\n"
		 "to be gone from between others.",
	.lines = lines,
};

/* The segments of all directories together. */
struct found {
	struct archive_segment *segments;
	size_t count;
};

static int add_directory(struct found *f, const char *directory)
{
	struct archive_segment *segments, *all;
	struct errbuf err = {""};
	size_t count;

	if (archive_list(directory, &segments, &count, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_FAILED;
	}
	all = reallocarray(f->segments, f->count + count + 1, sizeof(*all));
	if (all == NULL) {
		free(segments);
		log_error("out of memory");
		return EXIT_FAILED;
	}
	if (count > 0)
		memcpy(all + f->count, segments, count * sizeof(*all));
	f->segments = all;
	f->count += count;
	free(segments);
	return EXIT_GOOD;
}

/* Stripes of one run come together: by run, then number. Ids of a recording sort by time. */
static int compare(const void *a, const void *b)
{
	const struct archive_segment *s = a, *t = b;
	int r = strcmp(s->run, t->run);

	return r != 0 ? r : (s->number > t->number) - (s->number < t->number);
}

static const char *time_text(uint64_t time_ns, char buf[UNITS_TEXT])
{
	return time_ns == 0 ? "-" : utc_format(time_ns, buf);
}

static const char *state_text(const struct archive_segment *s)
{
	return !s->sealed ? "part" : s->recovered ? "recovered" : "sealed";
}

static int print_json(const struct found *f)
{
	for (size_t i = 0; i < f->count; i++) {
		const struct archive_segment *s = &f->segments[i];
		/* a path need not be UTF-8, which JSON is: jansson then refuses, and we say so */
		json_t *line = json_pack(
			"{s:s, s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "path",
			s->path, "run", s->run, "recording", s->recording, "number",
			(json_int_t)s->number, "state", state_text(s), "file_bytes",
			(json_int_t)s->file_bytes, "pkts", (json_int_t)s->pkts, "captured_bytes",
			(json_int_t)s->captured_bytes, "wire_bytes", (json_int_t)s->wire_bytes,
			"first_ns", (json_int_t)s->first_ns, "last_ns", (json_int_t)s->last_ns,
			"missing_pkts", (json_int_t)s->missing_pkts);

		if (line == NULL) {
			log_error("'%s' cannot be said in JSON: its name is not UTF-8", s->path);
			return EXIT_FAILED;
		}
		(void)json_dumpf(line, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(line);
	}
	return EXIT_GOOD;
}

static void print_segments(const struct found *f)
{
	static const char *const headings[] = {
		"START", "END", ">PACKETS", ">SIZE", ">MISSING", "STATE", "FILE", NULL};
	struct table *t = table_new(headings);
	char buf[UNITS_TEXT];

	for (size_t i = 0; i < f->count; i++) {
		const struct archive_segment *s = &f->segments[i];

		table_cell(t, "%s", time_text(s->first_ns, buf));
		table_cell(t, "%s", time_text(s->last_ns, buf));
		table_cell(t, "%s", count_format(s->pkts, buf));
		table_cell(t, "%s", size_format(s->file_bytes, buf));
		table_cell(t, "%s", count_format(s->missing_pkts, buf));
		table_cell(t, "%s", state_text(s));
		table_cell(t, "%s", s->path);
	}
	table_print(t, "");
}

/* One line for the segments first..end of a run. */
static void add_run(
	struct table *t, const struct archive_segment *first, const struct archive_segment *end)
{
	uint64_t start_ns = 0, end_ns = 0, pkts = 0, bytes = 0, missing = 0;
	size_t parts = 0, recovered = 0;
	char buf[UNITS_TEXT];

	for (const struct archive_segment *s = first; s < end; s++) {
		if (s->first_ns != 0 && (start_ns == 0 || s->first_ns < start_ns))
			start_ns = s->first_ns;
		if (s->last_ns > end_ns)
			end_ns = s->last_ns;
		pkts += s->pkts;
		bytes += s->file_bytes;
		missing += s->missing_pkts;
		parts += !s->sealed;
		recovered += s->recovered;
	}
	table_cell(t, "%s", first->run);
	table_cell(t, "%zu", (size_t)(end - first));
	table_cell(t, "%s", time_text(start_ns, buf));
	table_cell(t, "%s", time_text(end_ns, buf));
	table_cell(t, "%s", count_format(pkts, buf));
	table_cell(t, "%s", size_format(bytes, buf));
	table_cell(t, "%s", count_format(missing, buf));
	if (parts > 0)
		table_cell(t, "%zu part", parts);
	else if (recovered > 0)
		table_cell(t, "%zu recovered", recovered);
	else
		table_cell(t, "sealed");
}

static void print_runs(const struct found *f)
{
	static const char *const headings[] = {
		"RUN", ">FILES", "START", "END", ">PACKETS", ">SIZE", ">MISSING", "STATE", NULL};
	struct table *t = table_new(headings);
	size_t first = 0;

	for (size_t i = 1; i <= f->count; i++) {
		if (i < f->count && strcmp(f->segments[i].run, f->segments[first].run) == 0)
			continue;
		add_run(t, &f->segments[first], &f->segments[i]);
		first = i;
	}
	table_print(t, "");
}

/* The directories on the command line, else the daemon's. One that fails does not hide the others. */
static int find_segments(struct found *f, int argc, char *argv[])
{
	json_t *directories = NULL;
	const json_t *directory;
	int code = EXIT_GOOD;
	size_t i;

	for (int k = optind; k < argc; k++)
		if (add_directory(f, argv[k]) != EXIT_GOOD)
			code = EXIT_FAILED;
	if (optind == argc)
		code = ask_stripes(&directories);
	json_array_foreach(directories, i, directory)
	{
		if (add_directory(f, json_string_value(directory)) != EXIT_GOOD)
			code = EXIT_FAILED;
	}
	json_decref(directories);
	return code;
}

int cmd_list(int argc, char *argv[])
{
	bool json = false, segments = false;
	struct found f = {NULL, 0};
	int key, code;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key == KEY_JSON)
			json = true;
		else if (key == KEY_SEGMENTS)
			segments = true;
		else
			return options_exit(key);
	}
	code = find_segments(&f, argc, argv);
	if (f.count > 0)
		qsort(f.segments, f.count, sizeof(*f.segments), compare);
	if (json && print_json(&f) != EXIT_GOOD)
		code = EXIT_FAILED;
	else if (!json && segments)
		print_segments(&f);
	else if (!json && f.count > 0)
		print_runs(&f);
	else if (!json && code == EXIT_GOOD)
		puts("no runs");
	free(f.segments);
	return code;
}
