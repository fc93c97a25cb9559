#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client.h"
#include "summary.h"
#include "wirespool/units.h"

void progress_start(struct progress *p, bool verbose, uint64_t now_ns)
{
	memset(p, 0, sizeof(*p));
	p->terminal = isatty(STDERR_FILENO) != 0;
	p->on = p->terminal || verbose;
	p->start_ns = p->last_ns = now_ns;
}

void progress_clear(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}

static uint64_t sum_of(const json_t *items, const char *key)
{
	const json_t *item;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(items, i, item) sum += answer_count(item, key);
	return sum;
}

/* Runs that ended are an account of their own in "status"; the line is about all. */
static uint64_t sum_runs(const json_t *status, const char *key)
{
	return sum_of(json_object_get(status, "runs"), key) +
	       sum_of(json_object_get(status, "ended"), key);
}

static uint64_t sum_lost(const json_t *status)
{
	uint64_t lost = sum_runs(status, "lost_ring_pkts") + sum_runs(status, "lost_memory_pkts") +
			sum_runs(status, "lost_disk_pkts");
	const json_t *port;
	size_t i;

	json_array_foreach(json_object_get(status, "ports"), i, port) lost +=
		summary_port_lost(port);
	return lost;
}

static double per_second(uint64_t now, uint64_t before, double seconds)
{
	return now > before ? (double)(now - before) / seconds : 0;
}

/*
 * How much of a line has room: a line that wraps could not be rewritten, and half a number would be
 * another number. Two blanks part its fields.
 */
static int fitting(const char *line, int columns)
{
	int length = (int)strlen(line), fits = columns;

	if (length <= columns)
		return length;
	while (fits > 0 && strncmp(line + fits, "  ", 2) != 0)
		fits--;
	return fits > 0 ? fits : columns;
}

void progress_draw(struct progress *p, const char *line)
{
	struct winsize size;
	int columns = 0;

	if (!p->on)
		return;
	if (!p->terminal) {
		fprintf(stderr, "%s\n", line);
		return;
	}
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0)
		columns = size.ws_col;
	fprintf(stderr, "\r%.*s\033[K", fitting(line, columns > 1 ? columns - 1 : 79), line);
	p->drawn = true;
}

void progress_show(struct progress *p, const json_t *status, uint64_t now_ns)
{
	const json_t *stripes = json_object_get(status, "stripes");
	uint64_t received = sum_of(json_object_get(status, "ports"), "received_pkts");
	uint64_t wire_bytes = sum_runs(status, "wire_bytes");
	uint64_t disk_bytes = sum_of(stripes, "written_bytes");
	double seconds = (double)(now_ns - p->last_ns) / (double)NS_PER_SEC;
	uint64_t elapsed_s = (now_ns - p->start_ns) / NS_PER_SEC;
	char in[UNITS_TEXT], rate[UNITS_TEXT], written[UNITS_TEXT], lost[UNITS_TEXT];
	char disk[UNITS_TEXT], ram[UNITS_TEXT], line[8 * UNITS_TEXT];

	if (!p->on || now_ns - p->last_ns < NS_PER_SEC)
		return;
	/* What a narrow terminal cuts off is what matters least. */
	(void)snprintf(line, sizeof(line),
		"%u:%02u:%02u  in %s  kept %s  lost %s  written %s  disk %s  RAM %s",
		(unsigned int)(elapsed_s / 3600), (unsigned int)(elapsed_s / 60 % 60),
		(unsigned int)(elapsed_s % 60),
		packet_rate_format(per_second(received, p->received_pkts, seconds), in),
		rate_format(8 * per_second(wire_bytes, p->wire_bytes, seconds), rate),
		count_format(sum_lost(status), lost),
		count_format(sum_runs(status, "written_pkts"), written),
		byte_rate_format(per_second(disk_bytes, p->disk_bytes, seconds), disk),
		size_format(sum_runs(status, "queued_bytes"), ram));
	p->last_ns = now_ns;
	p->received_pkts = received;
	p->wire_bytes = wire_bytes;
	p->disk_bytes = disk_bytes;
	progress_draw(p, line);
}
