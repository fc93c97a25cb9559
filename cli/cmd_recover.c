#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "ask_stripes.h"
#include "capture_files.h"
#include "options.h"
#include "subcommands.h"
#include "wirespool/archive.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum { KEY_JSON = 256 };

static const struct option_line lines[] = {
	{KEY_JSON, "json", NULL, "one JSON object per file"},
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "recover",
	.operands = "[OPTION]... [DIR | FILE]...",
	.about = "Seals .part files that a crash or a power cut left behind: what is on the disk "
		 "is\n"
		 "kept, the rest is counted. Without operands: on the stripes of the daemon. A "
		 "file\n"
		 "that is being written is left alone, so it is safe at any time.",
	.lines = lines,
};

struct recover {
	bool json;
	unsigned int sealed;
	unsigned int busy;
	int wait_ms; /* left of the time for locks to go */
};

static void print_json(const char *path, const struct recover_report *report)
{
	json_t *line = json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I}", "path", path, "sealed_path",
		report->sealed_path, "removed", report->removed, "pkts", (json_int_t)report->pkts,
		"missing_pkts", (json_int_t)report->missing_pkts, "hole_bytes",
		(json_int_t)report->hole_bytes, "cut_bytes", (json_int_t)report->cut_bytes);

	if (line == NULL) {
		log_error("'%s' cannot be said in JSON: its name is not UTF-8", path);
		return;
	}
	(void)json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(line);
}

static void print_text(const char *path, const struct recover_report *report)
{
	char pkts[UNITS_TEXT], missing[UNITS_TEXT], cut[UNITS_TEXT];

	if (report->removed)
		printf("removed %s: there was nothing in it\n", path);
	else
		printf("sealed %s: %s packet%s, %s missing, %s cut off its end\n",
			report->sealed_path, count_format(report->pkts, pkts),
			report->pkts == 1 ? "" : "s", count_format(report->missing_pkts, missing),
			size_format(report->cut_bytes, cut));
}

static int recover_file(const char *path, void *context)
{
	struct recover *recover = context;
	struct recover_report report = {.pkts = 0};
	struct errbuf err = {""};
	int r;

	r = archive_recover_within(path, &recover->wait_ms, &report, &err);
	if (r == -EBUSY) {
		recover->busy++;
		log_info("'%s' is being written: left alone", path);
		return EXIT_GOOD;
	}
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_FAILED;
	}
	recover->sealed++;
	if (recover->json)
		print_json(path, &report);
	else
		print_text(path, &report);
	return EXIT_GOOD;
}

/* Files in a directory: those that are sealed need nothing. */
static int recover_part(const char *path, void *context)
{
	return capture_file_is_part(path) ? recover_file(path, context) : EXIT_GOOD;
}

/* A file that is named must be one to recover; "it is sealed" is an answer too. */
static int recover_named(struct recover *recover, const char *path)
{
	if (!capture_file_is_part(path) && access(path, F_OK) < 0) {
		log_error("cannot recover '%s': %m", path);
		return EXIT_FAILED;
	}
	return capture_files_visit(path, recover_part, recover);
}

static int recover_all(struct recover *recover, int argc, char *argv[])
{
	json_t *directories = NULL;
	const json_t *directory;
	int code = EXIT_GOOD;
	size_t i;

	for (int k = optind; k < argc; k++)
		if (recover_named(recover, argv[k]) != EXIT_GOOD)
			code = EXIT_FAILED;
	if (optind == argc)
		code = ask_stripes(&directories);
	json_array_foreach(directories, i, directory)
	{
		if (recover_named(recover, json_string_value(directory)) != EXIT_GOOD)
			code = EXIT_FAILED;
	}
	json_decref(directories);
	return code;
}

int cmd_recover(int argc, char *argv[])
{
	struct recover recover = {.wait_ms = RECOVER_WAIT_MS};
	int key, code;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key != KEY_JSON)
			return options_exit(key);
		recover.json = true;
	}
	code = recover_all(&recover, argc, argv);
	if (code == EXIT_GOOD && recover.sealed == 0 && recover.busy == 0 && !recover.json)
		puts("nothing to recover");
	return code;
}
