#include "bench_chart.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench_measure.h"
#include "bench_run.h"
#include "client.h"
#include "svg_chart.h"
#include "wirespool/units.h"

enum {
	POINTS_MAX = 300,
	SERIES_MAX = 2 * BENCH_FRAMES_MAX + BENCH_DIRS_MAX,
	LEGEND_BYTES = 28,
	NAME_BYTES = 64
};

/* A panel under construction. */
struct drawing {
	struct svg_series series[SERIES_MAX];
	char names[SERIES_MAX][NAME_BYTES];
	char notes[SERIES_MAX][UNITS_TEXT];
	unsigned int count;
	bool failed;
};

/* What a panel shows: rates of one or two samples' counters, in a unit that has handy numbers. */
static const struct view {
	const char *title;
	const char *y_label;
	enum bench_kind kinds[2]; /* the same twice: only that */
	const char *counters[2];  /* their sum; NULL: no second */
	double unit;
	const char *rate_key;
	char *(*format)(double rate, char buf[UNITS_TEXT]);
} views[] = {
	{"To disk", "GB/s", {BENCH_DISK, BENCH_END_TO_END}, {"file_bytes", NULL}, 1e9,
		"file_bytes_per_s", byte_rate_format},
	{"End to end: packets to disk", "million packets/s", {BENCH_END_TO_END, BENCH_END_TO_END},
		{"filtered_pkts", "written_pkts"}, 1e6, "pkts_per_s", packet_rate_format},
	{"Packed and thrown away", "million packets/s", {BENCH_PACK, BENCH_FILTER},
		{"filtered_pkts", "written_pkts"}, 1e6, "pkts_per_s", packet_rate_format},
};

enum { VIEWS = sizeof(views) / sizeof(views[0]) };

static double counted(const json_t *samples, const struct view *v, size_t at)
{
	double sum = 0;

	for (unsigned int i = 0; i < 2; i++) {
		if (v->counters[i] != NULL)
			sum += json_number_value(
				json_array_get(json_object_get(samples, v->counters[i]), at));
	}
	return sum;
}

/* Rates between samples; of so many samples together that a picture can show them. */
static size_t points_of(
	const json_t *samples, const struct view *v, struct svg_point points[POINTS_MAX])
{
	const json_t *times = json_object_get(samples, "time_s");
	size_t size = json_array_size(times), stride = size / POINTS_MAX + 1, n = 0;

	for (size_t at = stride; at < size && n < POINTS_MAX; at += stride) {
		double from = json_number_value(json_array_get(times, at - stride));
		double to = json_number_value(json_array_get(times, at));
		double count = counted(samples, v, at) - counted(samples, v, at - stride);

		if (to > from && count >= 0)
			points[n++] =
				(struct svg_point){(from + to) / 2, count / (to - from) / v->unit};
	}
	return n;
}

/* A path's end says more than its beginning; a character of several bytes is not cut up. */
static const char *path_end(const char *path, const char **ret_dots)
{
	size_t length = strlen(path);

	*ret_dots = length > LEGEND_BYTES ? "..." : "";
	if (length > LEGEND_BYTES)
		path += length - LEGEND_BYTES + 3;
	while ((*path & 0xc0) == 0x80)
		path++;
	return path;
}

static void name_series(const json_t *m, char name[NAME_BYTES])
{
	const char *frame = answer_text(m, "frame", "?"), *path, *dots;

	if (bench_is(m, BENCH_DISK)) {
		path = json_string_value(json_array_get(json_object_get(m, "directories"), 0));
		path = path_end(path, &dots);
		(void)snprintf(name, NAME_BYTES, "%s%s", dots, path);
	} else {
		(void)snprintf(name, NAME_BYTES, "%s%s%s", frame,
			strcmp(frame, "IMIX") == 0 ? "" : " bytes",
			bench_is(m, BENCH_FILTER)       ? ", filtered"
			: bench_is(m, BENCH_END_TO_END) ? ", end to end"
							: "");
	}
}

/* How many measurements of a kind there are before this one; NULL: in all. */
static unsigned int count_before(const json_t *report, enum bench_kind kind, const json_t *m)
{
	unsigned int count = 0;
	const json_t *other;
	size_t i;

	json_array_foreach(json_object_get(report, "measurements"), i, other)
	{
		if (other == m)
			break;
		count += bench_is(other, kind);
	}
	return count;
}

/*
 * Each frame size and each directory has one colour in the whole picture: all kinds go through the
 * sizes in the same order.
 */
static unsigned int colour_of(const json_t *report, enum bench_kind kind, const json_t *m)
{
	unsigned int frames = count_before(report, BENCH_PACK, NULL);

	return count_before(report, kind, m) + (kind == BENCH_DISK ? frames : 0);
}

static void add_series(struct drawing *d, const json_t *report, const json_t *m,
	const struct view *v, unsigned int which)
{
	struct svg_point *points = calloc(POINTS_MAX, sizeof(*points));
	struct svg_series *s = &d->series[d->count];

	if (points == NULL || d->count == SERIES_MAX) {
		free(points);
		d->failed = true;
		return;
	}
	name_series(m, d->names[d->count]);
	(void)v->format(bench_number(m, v->rate_key), d->notes[d->count]);
	*s = (struct svg_series){
		.name = d->names[d->count],
		.note = d->notes[d->count],
		.colour = colour_of(report, v->kinds[which], m),
		.dash = which,
		.points = points,
		.count = points_of(json_object_get(m, "samples"), v, points),
	};
	d->count++;
}

static void draw_view(struct drawing *d, const json_t *report, const struct view *v)
{
	const json_t *m;
	size_t i;

	for (unsigned int k = 0; k < 2; k++) {
		if (k == 1 && v->kinds[1] == v->kinds[0])
			break;
		json_array_foreach(json_object_get(report, "measurements"), i, m)
		{
			if (bench_is(m, v->kinds[k]))
				add_series(d, report, m, v, k);
		}
	}
}

static void free_drawing(struct drawing *d)
{
	for (unsigned int i = 0; d != NULL && i < d->count; i++)
		free((void *)d->series[i].points);
	free(d);
}

static void write_chart(FILE *out, const json_t *report, struct svg_panel panels[], size_t count)
{
	const json_t *machine = json_object_get(report, "machine");
	char subtitle[256], memory[UNITS_TEXT];

	(void)snprintf(subtitle, sizeof(subtitle),
		"wirespool %s on %s, %d CPUs; memory: %s copied by one thread",
		answer_text(report, "version", "?"), answer_text(machine, "cpu", "?"),
		(int)answer_count(machine, "cpus"),
		byte_rate_format(
			bench_number(json_object_get(report, "memory"), "bytes_per_s"), memory));
	svg_chart_write(out, &(struct svg_chart){.title = "What this machine records",
				     .subtitle = subtitle,
				     .panels = panels,
				     .count = count});
}

int bench_chart_write(FILE *out, const json_t *report)
{
	struct drawing *drawings[VIEWS] = {NULL};
	struct svg_panel panels[VIEWS];
	size_t count = 0;
	bool failed = false;

	for (unsigned int i = 0; i < VIEWS; i++) {
		struct drawing *d = drawings[i] = calloc(1, sizeof(*d));

		if (d == NULL) {
			failed = true;
			continue;
		}
		draw_view(d, report, &views[i]);
		failed |= d->failed;
		if (d->count > 0)
			panels[count++] = (struct svg_panel){views[i].title,
				"seconds since the measurement began", views[i].y_label, d->series,
				d->count};
	}
	if (!failed)
		write_chart(out, report, panels, count);
	for (unsigned int i = 0; i < VIEWS; i++)
		free_drawing(drawings[i]);
	return failed ? -ENOMEM : 0;
}
