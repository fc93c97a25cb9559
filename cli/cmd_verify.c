#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "capture_files.h"
#include "options.h"
#include "subcommands.h"
#include "wirespool/archive.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum { KEY_JSON = 256 };

static const struct option_line lines[] = {
	{KEY_JSON, "json", NULL, "one JSON object per file"},
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "verify",
	.operands = "[OPTION]... PATH...",
	.about = "Reads pcapng files (anybody's), or those in directories, from end to end and "
		 "says\n"
		 "every fault with its offset. A .part file is reported as not sealed and not "
		 "read:\n"
		 "it is being written, or was left by a crash ('wirespool recover' seals it).\n"
		 "Exits with 1 when a file has a fault.",
	.lines = lines,
};

struct verify {
	bool json;
	unsigned int files;
};

static json_t *faults_json(const struct archive_report *report)
{
	unsigned int shown =
		report->fault_count < ARCHIVE_FAULTS_MAX ? report->fault_count : ARCHIVE_FAULTS_MAX;
	json_t *faults = json_array();

	for (unsigned int i = 0; i < shown; i++)
		(void)json_array_append_new(faults,
			json_pack("{s:I, s:s}", "file_off", (json_int_t)report->faults[i].file_off,
				"text", report->faults[i].text));
	return faults;
}

/* state is "sealed", "recovered", "foreign", "part" or "faulty". */
static void print_json(const char *path, const char *state, const struct archive_report *report)
{
	json_t *line = json_pack(
		"{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:o}", "path", path,
		"state", state, "file_bytes", (json_int_t)report->file_bytes, "blocks",
		(json_int_t)report->blocks, "pkts", (json_int_t)report->pkts, "captured_bytes",
		(json_int_t)report->captured_bytes, "wire_bytes", (json_int_t)report->wire_bytes,
		"first_ns", (json_int_t)report->first_ns, "last_ns", (json_int_t)report->last_ns,
		"dropcount_pkts", (json_int_t)report->dropcount_pkts, "missing_pkts",
		(json_int_t)report->missing_pkts, "fault_count", (int)report->fault_count, "faults",
		faults_json(report));

	if (line == NULL) {
		log_error("'%s' cannot be said in JSON: its name is not UTF-8", path);
		return;
	}
	(void)json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(line);
}

static void print_good(const char *path, const struct archive_report *report)
{
	char pkts[UNITS_TEXT], size[UNITS_TEXT], number[UNITS_TEXT], first[UNITS_TEXT],
		last[UNITS_TEXT];

	printf("ok %s: %s packet%s, %s", path, count_format(report->pkts, pkts),
		report->pkts == 1 ? "" : "s", size_format(report->file_bytes, size));
	if (report->pkts > 0)
		printf(", %s to %s", utc_format(report->first_ns, first),
			utc_format(report->last_ns, last));
	if (report->dropcount_pkts > 0)
		printf(", %s lost before packets of it",
			count_format(report->dropcount_pkts, number));
	if (report->missing_pkts > 0)
		printf(", %s missing", count_format(report->missing_pkts, number));
	printf("%s\n", report->recovered ? ", recovered" : "");
}

static void print_faults(const char *path, const struct archive_report *report)
{
	unsigned int i = 0;

	for (; i < report->fault_count && i < ARCHIVE_FAULTS_MAX; i++)
		printf("fault %s: at %" PRIu64 ": %s\n", path, report->faults[i].file_off,
			report->faults[i].text);
	if (i < report->fault_count)
		printf("fault %s: and %u more\n", path, report->fault_count - i);
}

static int verify_file(const char *path, void *context)
{
	struct verify *verify = context;
	struct archive_report report = {0};
	struct errbuf err = {""};

	verify->files++;
	if (capture_file_is_part(path) && access(path, F_OK) == 0) {
		if (verify->json)
			print_json(path, "part", &report);
		else
			printf("part %s: not sealed\n", path);
		return EXIT_GOOD;
	}
	if (archive_verify(path, &report, &err) < 0) {
		log_error("%s", err.text);
		return EXIT_FAILED;
	}
	if (verify->json)
		print_json(path,
			report.fault_count > 0 ? "faulty"
			: report.recovered     ? "recovered"
			: report.ours          ? "sealed"
					       : "foreign",
			&report);
	else if (report.fault_count > 0)
		print_faults(path, &report);
	else
		print_good(path, &report);
	return report.fault_count > 0 ? EXIT_FAILED : EXIT_GOOD;
}

int cmd_verify(int argc, char *argv[])
{
	struct verify verify = {false, 0};
	int code = EXIT_GOOD;
	unsigned int before;
	int key;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key != KEY_JSON)
			return options_exit(key);
		verify.json = true;
	}
	if (optind == argc)
		return options_fail(&usage, "needs a PATH: a file, or a directory of files");
	for (int i = optind; i < argc; i++) {
		before = verify.files;
		if (capture_files_visit(argv[i], verify_file, &verify) != EXIT_GOOD)
			code = EXIT_FAILED;
		else if (verify.files == before)
			log_warn("no .pcapng file in '%s'", argv[i]);
	}
	return code;
}
