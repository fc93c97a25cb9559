#include "summary.h"

#include <stdio.h>
#include <string.h>

#include "client.h"
#include "table.h"
#include "wirespool/units.h"

enum { FILES_SHOWN = 4 };

/* Each loss of a run with its cause in words. */
static const struct loss {
	const char *key;
	const char *cause;
} run_losses[] = {
	{"lost_ring_pkts", "ring full: the writer's CPU was late"},
	{"lost_memory_pkts", "no free memory: the disks were late"},
	{"lost_disk_pkts", "no disk took them: writing failed"},
};

enum { RUN_LOSSES = sizeof(run_losses) / sizeof(run_losses[0]) };

uint64_t summary_run_lost(const json_t *run)
{
	uint64_t lost = 0;

	for (unsigned int i = 0; i < RUN_LOSSES; i++)
		lost += answer_count(run, run_losses[i].key);
	return lost;
}

uint64_t summary_port_lost(const json_t *port)
{
	return answer_count(port, "nic_missed_pkts") + answer_count(port, "nic_no_mbuf_pkts");
}

bool summary_lost(const json_t *summary)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(summary, "runs"), i, item)
	{
		/* what an abandoned disk had not taken is not known to be there */
		if (summary_run_lost(item) > 0 || answer_count(item, "in_ram_pkts") > 0)
			return true;
	}
	json_array_foreach(json_object_get(summary, "ports"), i, item)
	{
		if (summary_port_lost(item) > 0)
			return true;
	}
	return false;
}

static void print_count(const char *label, uint64_t pkts, const char *behind)
{
	char count[UNITS_TEXT];

	printf("  %-15s %15s%s%s\n", label, count_format(pkts, count), behind[0] ? "  " : "",
		behind);
}

void summary_print_run(const json_t *run, double duration_s)
{
	uint64_t written = answer_count(run, "written_pkts");
	uint64_t wire_bytes = answer_count(run, "wire_bytes");
	char size[UNITS_TEXT], rate[UNITS_TEXT], pkt_rate[UNITS_TEXT], behind[4 * UNITS_TEXT];

	(void)size_format(answer_count(run, "written_bytes"), size);
	if (duration_s > 0)
		(void)snprintf(behind, sizeof(behind), "%s stored, on average %s and %s", size,
			rate_format(8 * (double)wire_bytes / duration_s, rate),
			packet_rate_format((double)written / duration_s, pkt_rate));
	else
		(void)snprintf(behind, sizeof(behind), "%s stored", size);
	printf("run %s\n", answer_text(run, "id", "?"));
	print_count("received", answer_count(run, "received_pkts"), "packets");
	print_count("outside window", answer_count(run, "outside_window_pkts"),
		answer_count(run, "outside_window_pkts") > 0
			? "before the start, after the end or over the limit"
			: "");
	print_count("filtered", answer_count(run, "filtered_pkts"),
		answer_count(run, "filtered_pkts") > 0 ? "not wanted by the filter" : "");
	if (answer_count(run, "cutoff_pkts") > 0)
		print_count("cut off", answer_count(run, "cutoff_pkts"),
			"behind what is kept of their flow");
	print_count("written", written, behind);
	if (summary_run_lost(run) == 0)
		print_count("lost", 0, "");
	for (unsigned int i = 0; i < RUN_LOSSES; i++)
		if (answer_count(run, run_losses[i].key) > 0)
			print_count(
				"lost", answer_count(run, run_losses[i].key), run_losses[i].cause);
}

static void print_ports(const json_t *ports)
{
	static const char *const headings[] = {"port", "device", ">offered", ">received",
		">missed by NIC", ">no memory", ">damaged", NULL};
	static const char *const keys[] = {"offered_pkts", "received_pkts", "nic_missed_pkts",
		"nic_no_mbuf_pkts", "nic_error_pkts"};
	struct table *t = table_new(headings);
	char count[UNITS_TEXT];
	const json_t *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		table_cell(t, "%s", answer_text(port, "name", "?"));
		table_cell(t, "%s", answer_text(port, "device", "?"));
		for (unsigned int k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			table_cell(t, "%s", count_format(answer_count(port, keys[k]), count));
	}
	table_print(t, "");
}

void summary_print_prefilters(const json_t *ports)
{
	char redirected[UNITS_TEXT], passed[UNITS_TEXT], dropped[UNITS_TEXT];
	const json_t *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		/* the daemon leaves them out together */
		if (json_object_get(port, "prefilter_redirected_pkts") == NULL)
			continue;
		printf("prefilter of %s: %s redirected to the recorder, %s passed to the system, "
		       "%s dropped\n",
			answer_text(port, "name", "?"),
			count_format(answer_count(port, "prefilter_redirected_pkts"), redirected),
			count_format(answer_count(port, "prefilter_passed_pkts"), passed),
			count_format(answer_count(port, "prefilter_dropped_pkts"), dropped));
	}
}

/* A path as a shell takes it, in quotes only where it needs them. */
static void print_path(const char *path, size_t length)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_@%+=:,./-";

	if (length > 0 && strspn(path, plain) >= length && path[0] != '-') {
		printf("%.*s", (int)length, path);
		return;
	}
	/* "./" keeps a name that begins with '-' from being an option */
	printf("%s'", path[0] == '-' ? "./" : "");
	for (size_t i = 0; i < length; i++)
		if (path[i] == '\'')
			printf("'\\''");
		else
			putchar(path[i]);
	putchar('\'');
}

static size_t folder_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? (size_t)(slash - path) + 1 : 0;
}

/* "DIR/RUN-*.pcapng", once for each folder: thousands of names help nobody. */
static void print_patterns(const json_t *files, const char *id)
{
	const json_t *file, *earlier;
	size_t i, k;

	json_array_foreach(files, i, file)
	{
		const char *path = json_string_value(file);
		size_t length = path != NULL ? folder_length(path) : 0;

		json_array_foreach(files, k, earlier)
		{
			const char *other = json_string_value(earlier);

			if (k == i ||
				(other != NULL && path != NULL && folder_length(other) == length &&
					strncmp(other, path, length) == 0))
				break;
		}
		if (path == NULL || k < i)
			continue;
		putchar(' ');
		if (length > 0)
			print_path(path, length);
		printf("%s-*.pcapng", id);
	}
}

static void print_files(const json_t *run)
{
	const json_t *files = json_object_get(run, "files");
	size_t count = json_array_size(files);
	const json_t *file;
	size_t i;

	if (count == 0) {
		printf("  no files\n");
		return;
	}
	printf("  %zu file%s\n", count, count == 1 ? "" : "s");
	json_array_foreach(files, i, file)
	{
		if (i == FILES_SHOWN) {
			printf("    and %zu more\n", count - i);
			break;
		}
		printf("    %s\n", json_is_string(file) ? json_string_value(file) : "?");
	}
	file = json_array_get(files, 0);
	if (json_is_string(file)) {
		printf("  %s  wireshark ", count > 1 ? "open one:" : "open:    ");
		print_path(json_string_value(file), strlen(json_string_value(file)));
		putchar('\n');
	}
	if (count > 1) {
		printf("  join all:  mergecap -w all.pcapng");
		print_patterns(files, answer_text(run, "id", ""));
		putchar('\n');
	}
}

void summary_print(const json_t *summary)
{
	double duration_s = json_number_value(json_object_get(summary, "duration_s"));
	char text[UNITS_TEXT];
	const json_t *run;
	size_t i;

	printf("recorded for %s, clock %s\n",
		duration_format((uint64_t)(duration_s * 1000) * (NS_PER_SEC / 1000), text),
		answer_text(summary, "clock", "?"));
	print_ports(json_object_get(summary, "ports"));
	summary_print_prefilters(json_object_get(summary, "ports"));
	json_array_foreach(json_object_get(summary, "runs"), i, run)
	{
		summary_print_run(run, duration_s);
		print_files(run);
	}
}
