#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "options.h"
#include "subcommands.h"
#include "summary.h"
#include "table.h"
#include "wirespool/units.h"

enum { KEY_JSON = 256, WATCH_MS = 1000 };

static const struct option_line lines[] = {
	{'w', "watch", NULL, "show it again each second, until interrupted"},
	{KEY_JSON, "json", NULL, "the daemon's answer as one JSON object"},
	OPTION_LINE_SOCKET,
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "status",
	.operands = "[OPTION]...",
	.about = "Shows the daemon's ports, recordings, runs, disks and writers, and every "
		 "packet's\n"
		 "account: received = outside window + filtered + cut off + written + lost + in "
		 "RAM.",
	.lines = lines,
};

static const char *count_of(const json_t *object, const char *key, char buf[UNITS_TEXT])
{
	return count_format(answer_count(object, key), buf);
}

static bool is_set(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static const char *link_text(const json_t *port, char buf[UNITS_TEXT])
{
	if (is_set(port, "ended"))
		return "ended";
	if (!is_set(port, "link_up"))
		return "down";
	return answer_count(port, "link_bps") > 0
		       ? rate_format((double)answer_count(port, "link_bps"), buf)
		       : "up";
}

static void print_ports(const json_t *ports)
{
	static const char *const headings[] = {"PORT", "DEVICE", "LINK", "CLOCK", ">QUEUES",
		">OFFERED", ">RECEIVED", ">MISSED", ">NO MEMORY", ">DAMAGED", NULL};
	struct table *t = table_new(headings);
	char buf[UNITS_TEXT];
	const json_t *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		table_cell(t, "%s", answer_text(port, "name", "?"));
		table_cell(t, "%s", answer_text(port, "device", "?"));
		table_cell(t, "%s", link_text(port, buf));
		table_cell(t, "%s", answer_text(port, "clock", "?"));
		table_cell(t, "%s", count_of(port, "queues", buf));
		table_cell(t, "%s", count_of(port, "offered_pkts", buf));
		table_cell(t, "%s", count_of(port, "received_pkts", buf));
		table_cell(t, "%s", count_of(port, "nic_missed_pkts", buf));
		table_cell(t, "%s", count_of(port, "nic_no_mbuf_pkts", buf));
		table_cell(t, "%s", count_of(port, "nic_error_pkts", buf));
	}
	table_print(t, "");
}

/* ["a","b"] as "a,b" */
static void list_cell(struct table *t, const json_t *list)
{
	char text[512] = "";
	size_t used = 0;
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (json_is_string(item) && used < sizeof(text))
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
				used > 0 ? "," : "", json_string_value(item));
	}
	table_cell(t, "%s", text[0] != '\0' ? text : "-");
}

/* What the recording keeps, and whether another choice is on its way. */
static void filter_cell(struct table *t, const json_t *filter)
{
	const char *text = answer_text(filter, "text", "");

	if (!json_is_object(filter))
		table_cell(t, "%s", "");
	else if (is_set(filter, "pending"))
		table_cell(t, "%s (a new one is being built)", text);
	else
		table_cell(t, "%s", text);
}

static void print_recordings(const json_t *recordings)
{
	static const char *const headings[] = {
		"RECORDING", "WHEN", "PORTS", "STRIPES", "LIVE", "KEEPS", NULL};
	struct table *t = table_new(headings);
	const json_t *recording;
	size_t i;

	json_array_foreach(recordings, i, recording)
	{
		table_cell(t, "%s", answer_text(recording, "name", "?"));
		table_cell(t, "%s", answer_text(recording, "when", "?"));
		list_cell(t, json_object_get(recording, "ports"));
		list_cell(t, json_object_get(recording, "stripes"));
		table_cell(t, "%s", is_set(recording, "live") ? "live" : "");
		filter_cell(t, json_object_get(recording, "filter"));
	}
	table_print(t, "");
}

static struct table *new_run_table(void)
{
	static const char *const headings[] = {"RUN", "STATE", ">RECEIVED", ">OUTSIDE", ">FILTERED",
		">CUT OFF", ">WRITTEN", ">STORED", ">LOST RING", ">LOST MEMORY", ">LOST DISK",
		">IN RAM", ">FILES", NULL};

	return table_new(headings);
}

static void add_runs(struct table *t, const json_t *runs)
{
	char buf[UNITS_TEXT];
	const json_t *run;
	size_t i;

	json_array_foreach(runs, i, run)
	{
		table_cell(t, "%s", answer_text(run, "id", "?"));
		table_cell(t, "%s", answer_text(run, "state", "?"));
		table_cell(t, "%s", count_of(run, "received_pkts", buf));
		table_cell(t, "%s", count_of(run, "outside_window_pkts", buf));
		table_cell(t, "%s", count_of(run, "filtered_pkts", buf));
		table_cell(t, "%s", count_of(run, "cutoff_pkts", buf));
		table_cell(t, "%s", count_of(run, "written_pkts", buf));
		table_cell(t, "%s", size_format(answer_count(run, "written_bytes"), buf));
		table_cell(t, "%s", count_of(run, "lost_ring_pkts", buf));
		table_cell(t, "%s", count_of(run, "lost_memory_pkts", buf));
		table_cell(t, "%s", count_of(run, "lost_disk_pkts", buf));
		table_cell(t, "%s", count_of(run, "in_ram_pkts", buf));
		table_cell(t, "%s", count_of(run, "files_count", buf));
	}
}

/* direct says whether the page cache is passed by. */
static const char *stripe_state(const json_t *stripe)
{
	const char *error = answer_text(stripe, "error", NULL);

	if (error != NULL)
		return error;
	if (is_set(stripe, "direct"))
		return "ok, direct";
	/* one that no run has opened yet is not known to be either */
	return answer_count(stripe, "written_bytes") > 0 ? "ok, through the page cache" : "ok";
}

static void print_stripes(const json_t *stripes)
{
	static const char *const headings[] = {
		"STRIPE", ">QUEUED", ">WRITTEN", ">FREE", "STATE", NULL};
	struct table *t = table_new(headings);
	char buf[UNITS_TEXT];
	const json_t *stripe;
	size_t i;

	json_array_foreach(stripes, i, stripe)
	{
		bool limited = json_is_integer(json_object_get(stripe, "free_bytes"));

		table_cell(t, "%s", answer_text(stripe, "path", "?"));
		table_cell(t, "%s", size_format(answer_count(stripe, "queued_bytes"), buf));
		table_cell(t, "%s", size_format(answer_count(stripe, "written_bytes"), buf));
		table_cell(t, "%s",
			limited ? size_format(answer_count(stripe, "free_bytes"), buf) : "-");
		table_cell(t, "%s", stripe_state(stripe));
	}
	table_print(t, "");
}

static void print_writers(const json_t *writers)
{
	static const char *const headings[] = {
		"WRITER CPU", ">CHUNKS", ">FREE", "MEMORY", "BUFFERS", NULL};
	struct table *t = table_new(headings);
	char buf[UNITS_TEXT];
	const json_t *writer;
	size_t i;

	json_array_foreach(writers, i, writer)
	{
		const json_t *cpu = json_object_get(writer, "cpu");

		if (json_is_integer(cpu) && json_integer_value(cpu) >= 0)
			table_cell(t, "%d", (int)json_integer_value(cpu));
		else
			table_cell(t, "any");
		table_cell(t, "%s", count_of(writer, "chunks", buf));
		table_cell(t, "%s", count_of(writer, "chunks_free", buf));
		table_cell(t, "%s", is_set(writer, "huge_pages") ? "huge pages" : "ordinary pages");
		table_cell(t, "%s", is_set(writer, "registered") ? "registered" : "not registered");
	}
	table_print(t, "");
}

static void print_warnings(const json_t *warnings, const char *port)
{
	const json_t *text;
	size_t i;

	json_array_foreach(warnings, i, text)
	{
		if (json_is_string(text))
			printf("warning: %s%s%s\n", port, port[0] ? ": " : "",
				json_string_value(text));
	}
}

static void print_status(const json_t *status)
{
	double uptime_s = json_number_value(json_object_get(status, "uptime_s"));
	const json_t *ports = json_object_get(status, "ports");
	struct table *runs = new_run_table();
	char uptime[UNITS_TEXT];
	const json_t *port;
	size_t i;

	printf("wirespoold %s, process %d, up %s, clock %s, now %s\n",
		answer_text(status, "version", "?"), (int)answer_count(status, "pid"),
		duration_format((uint64_t)(uptime_s > 0 ? uptime_s : 0) * NS_PER_SEC, uptime),
		answer_text(status, "clock", "?"), answer_text(status, "now", "?"));
	print_ports(ports);
	summary_print_prefilters(ports);
	print_recordings(json_object_get(status, "recordings"));
	add_runs(runs, json_object_get(status, "runs"));
	add_runs(runs, json_object_get(status, "ended"));
	table_print(runs, "");
	print_stripes(json_object_get(status, "stripes"));
	print_writers(json_object_get(status, "writers"));
	print_warnings(json_object_get(status, "warnings"), "");
	json_array_foreach(ports, i, port)
		print_warnings(json_object_get(port, "warnings"), answer_text(port, "name", "?"));
}

static int show(struct client *c, bool json, bool clear)
{
	json_t *status;
	int r = client_ask(c, json_pack("{s:s}", "cmd", "status"), &status);

	if (r != EXIT_GOOD)
		return r;
	if (clear)
		fputs("\033[H\033[2J", stdout);
	if (json) {
		(void)json_object_del(status, "ok");
		(void)json_dumpf(status, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_status(status);
	}
	json_decref(status);
	(void)fflush(stdout);
	return EXIT_GOOD;
}

int cmd_status(int argc, char *argv[])
{
	bool json = false, watch = false;
	struct client *c;
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key == KEY_JSON)
			json = true;
		else if (key == 'w')
			watch = true;
		else
			return options_exit(key);
	}
	r = options_no_operands(&usage, argc, argv);
	if (r == EXIT_GOOD)
		r = client_open(&c);
	if (r != EXIT_GOOD)
		return r;
	r = show(c, json, watch && !json && isatty(STDOUT_FILENO));
	while (r == EXIT_GOOD && watch && ferror(stdout) == 0) {
		(void)poll(NULL, 0, WATCH_MS);
		if (!json && !isatty(STDOUT_FILENO))
			putchar('\n');
		r = show(c, json, !json && isatty(STDOUT_FILENO));
	}
	client_close(c);
	return r;
}
