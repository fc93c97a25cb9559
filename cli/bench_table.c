#include "bench_table.h"

#include <stdio.h>
#include <string.h>

#include "bench_measure.h"
#include "client.h"
#include "table.h"
#include "wirespool/units.h"

static void pkts_cell(struct table *t, const json_t *o, const char *key)
{
	char text[UNITS_TEXT];

	table_cell(t, "%s", packet_rate_format(bench_number(o, key), text));
}

static void bits_cell(struct table *t, const json_t *o, const char *key)
{
	char text[UNITS_TEXT];

	table_cell(t, "%s", rate_format(bench_number(o, key), text));
}

static void bytes_cell(struct table *t, const json_t *o, const char *key)
{
	char text[UNITS_TEXT];

	table_cell(t, "%s", byte_rate_format(bench_number(o, key), text));
}

static void cost_cell(struct table *t, const json_t *o, const char *key)
{
	if (json_is_null(json_object_get(o, key)))
		table_cell(t, "-");
	else
		table_cell(t, "%.1f ns/pkt", bench_number(o, key));
}

static void text_cell(struct table *t, const json_t *o, const char *key)
{
	table_cell(t, "%s", answer_text(o, key, "?"));
}

static void kept_cell(struct table *t, const json_t *m, const char *key)
{
	double written = bench_number(m, "written_pkts");
	double all = written + bench_number(m, "filtered_pkts");

	(void)key;
	table_cell(t, "%.0f %%", all > 0 ? 100 * written / all : 100);
}

/* Its one directory, and what makes the measurement say less than it seems to. */
static void directory_cell(struct table *t, const json_t *m, const char *key)
{
	const json_t *dir = json_array_get(json_object_get(m, key), 0);
	const char *caveat = "";

	if (!json_is_true(json_object_get(m, "direct")))
		caveat = "  (through the page cache: of memory more than of the disk)";
	else if (json_is_true(json_object_get(m, "out_of_room")))
		caveat = "  (stopped early: no room)";
	table_cell(t, "%s%s", json_is_string(dir) ? json_string_value(dir) : "?", caveat);
}

/* "1 rx lcore", "2 writers" */
static const char *counted(double n, const char *one, char buf[UNITS_TEXT])
{
	(void)snprintf(buf, UNITS_TEXT, "%.0f %s%s", n, one, n == 1 ? "" : "s");
	return buf;
}

static void print_machine(const json_t *report)
{
	const json_t *machine = json_object_get(report, "machine"),
		     *memory = json_object_get(report, "memory"),
		     *any = json_array_get(json_object_get(report, "measurements"), 0);
	char cpus[UNITS_TEXT], size[UNITS_TEXT], rate[UNITS_TEXT], slowest[UNITS_TEXT];

	printf("machine  %s, %s, %s of memory, %s\n", answer_text(machine, "cpu", "?"),
		counted(bench_number(machine, "cpus"), "CPU", cpus),
		size_format(answer_count(machine, "memory_bytes"), size),
		json_is_true(json_object_get(any, "huge_pages")) ? "huge pages" : "no huge pages");
	printf("memory   %s copied by one thread, median of %d runs; the slowest %s\n",
		byte_rate_format(bench_number(memory, "bytes_per_s"), rate),
		(int)answer_count(memory, "runs"),
		byte_rate_format(bench_number(memory, "slowest_bytes_per_s"), slowest));
}

/* A section has a line for each measurement of a kind. */
struct column {
	const char *heading;
	const char *key;
	void (*cell)(struct table *t, const json_t *measurement, const char *key);
};

enum { COLUMNS_MAX = 8 };

static const struct column packing[COLUMNS_MAX] = {
	{">frame", "frame", text_cell},
	{">packets", "pkts_per_s", pkts_cell},
	{">on the wire", "wire_bps", bits_cell},
	{">to files", "file_bytes_per_s", bytes_cell},
	{">rx lcore", "lcore_ns_per_pkt", cost_cell},
	{">writer", "writer_ns_per_pkt", cost_cell},
};
static const struct column filtering[COLUMNS_MAX] = {
	{">frame", "frame", text_cell},
	{">packets", "pkts_per_s", pkts_cell},
	{">on the wire", "wire_bps", bits_cell},
	{">kept", NULL, kept_cell},
	{">rx lcore", "lcore_ns_per_pkt", cost_cell},
	{">writer", "writer_ns_per_pkt", cost_cell},
};
static const struct column disks[COLUMNS_MAX] = {
	{">sustained", "file_bytes_per_s", bytes_cell},
	{">median", "median_file_bytes_per_s", bytes_cell},
	{">slowest second", "slowest_file_bytes_per_s", bytes_cell},
	{"directory", "directories", directory_cell},
};
static const struct column end_to_end[COLUMNS_MAX] = {
	{">frame", "frame", text_cell},
	{">packets", "pkts_per_s", pkts_cell},
	{">on the wire", "wire_bps", bits_cell},
	{">sustained", "file_bytes_per_s", bytes_cell},
	{">median", "median_file_bytes_per_s", bytes_cell},
	{">slowest second", "slowest_file_bytes_per_s", bytes_cell},
};

static void print_section(
	const json_t *report, enum bench_kind kind, const struct column columns[COLUMNS_MAX])
{
	const char *headings[COLUMNS_MAX + 1];
	struct table *t;
	const json_t *m;
	size_t i;

	for (i = 0; i < COLUMNS_MAX; i++)
		headings[i] = columns[i].heading;
	headings[COLUMNS_MAX] = NULL;
	t = table_new(headings);
	json_array_foreach(json_object_get(report, "measurements"), i, m)
	{
		for (const struct column *c = columns; bench_is(m, kind) && c->cell != NULL; c++)
			c->cell(t, m, c->key);
	}
	table_print(t, "  ");
}

static void print_measurements(const json_t *report)
{
	char lcores[UNITS_TEXT], writers[UNITS_TEXT];
	const json_t *m;

	m = bench_find(report, BENCH_PACK, NULL);
	if (m != NULL)
		printf("\npacked and thrown away, by %s and %s\n",
			counted(bench_number(m, "lcores"), "rx lcore", lcores),
			counted(bench_number(m, "writers"), "writer", writers));
	print_section(report, BENCH_PACK, packing);
	m = bench_find(report, BENCH_FILTER, NULL);
	if (m != NULL)
		printf("\nthe same with the filter '%s'\n", answer_text(report, "filter", ""));
	print_section(report, BENCH_FILTER, filtering);
	m = bench_find(report, BENCH_DISK, NULL);
	if (m != NULL)
		printf("\nto each directory alone, frames of 1518 bytes, the first %.1f s left "
		       "out\n",
			bench_number(m, "settle_s"));
	print_section(report, BENCH_DISK, disks);
	m = bench_find(report, BENCH_END_TO_END, NULL);
	if (m != NULL)
		printf("\nend to end, to %s, the first %.1f s left out\n",
			json_array_size(json_object_get(m, "directories")) > 1
				? "all directories together"
				: "disk",
			bench_number(m, "settle_s"));
	print_section(report, BENCH_END_TO_END, end_to_end);
}

/* "1+2", or "1+2+3" where disks were measured. */
static void need_cell(struct table *t, const json_t *need)
{
	json_int_t more = json_integer_value(json_object_get(need, "disks"));
	char text[UNITS_TEXT] = "";

	if (more > 0)
		(void)snprintf(text, sizeof(text), "+%" JSON_INTEGER_FORMAT, more);
	table_cell(t, "%.0f+%.0f%s", bench_number(need, "lcores"), bench_number(need, "writers"),
		text);
}

static const char *limit_text(const char *limit)
{
	if (strcmp(limit, "lcores") == 0)
		return "rx lcore";
	if (strcmp(limit, "writers") == 0)
		return "writer";
	return limit;
}

/* What the figures do not say. */
static void print_notes(bool with_disks, bool together)
{
	printf("  An estimate. The generator's work is in the rx lcore's figure: a NIC does "
	       "better.\n"
	       "  Below a link's rate: the rx lcores + writers%s that a full one takes.\n",
		with_disks ? " + such disks" : "");
	printf(with_disks ? "  A disk counts with its slowest second.\n"
			  : "  Disks were not measured: name them with -o.\n");
	if (together)
		printf("  together: all of them took less than each of them takes alone.\n");
}

static void print_prediction(const json_t *report)
{
	static const char *const headings[] = {">frame", ">packets", ">on the wire", "limited by",
		">10 Gbit/s", ">25 Gbit/s", ">40 Gbit/s", ">100 Gbit/s", NULL};
	const json_t *prediction = json_object_get(report, "prediction"), *rate, *need;
	double disk_count = bench_number(prediction, "disks");
	char lcores[UNITS_TEXT], writers[UNITS_TEXT], count[UNITS_TEXT];
	bool together = false;
	struct table *t;
	size_t i, k;

	if (prediction == NULL)
		return;
	printf("\npredicted without loss%s, with %s%s%s%s%s\n",
		bench_find(report, BENCH_FILTER, NULL) != NULL ? " through that filter" : "",
		counted(bench_number(prediction, "lcores"), "rx lcore", lcores),
		disk_count > 0 ? ", " : " and ",
		counted(bench_number(prediction, "writers"), "writer", writers),
		disk_count > 0 ? " and " : "",
		disk_count > 0 ? counted(disk_count, "disk", count) : "");
	t = table_new(headings);
	json_array_foreach(json_object_get(prediction, "rates"), i, rate)
	{
		const char *limit = answer_text(rate, "limit", "?");

		table_cell(t, "%s", answer_text(rate, "frame", "?"));
		pkts_cell(t, rate, "pkts_per_s");
		bits_cell(t, rate, "wire_bps");
		table_cell(t, "%s", limit_text(limit));
		json_array_foreach(json_object_get(rate, "needs"), k, need) need_cell(t, need);
		together |= strcmp(limit, "together") == 0;
	}
	table_print(t, "  ");
	print_notes(disk_count > 0, together);
}

void bench_table_print(const json_t *report)
{
	print_machine(report);
	print_measurements(report);
	print_prediction(report);
}
