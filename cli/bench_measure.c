#include "bench_measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "options.h"
#include "record_session.h"
#include "summary.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

#define MS_NS 1000000ULL

enum {
	FRAME_MIN = 64, /* with the 4 bytes of FCS, as testers count */
	FRAME_MAX = 9216,
	WIRE_BYTES = 20, /* preamble and gap: what a frame takes on the wire beside itself */
	SAMPLES_LEAST = 20,
};

/* 64, 594 and 1518 bytes in 7:4:1 */
static const double IMIX_BYTES = (7 * 64 + 4 * 594 + 1518) / 12.0;

static const struct kind {
	const char *name;
	const char *doing; /* for the line of progress */
	uint64_t for_ns;
	uint64_t settle_ns; /* left out, or a quarter where it is not that long */
} kinds[BENCH_KINDS] = {
	[BENCH_FILTER] = {"filter", "filtering", 3 * NS_PER_SEC, NS_PER_SEC / 2},
	[BENCH_PACK] = {"pack", "packing", 3 * NS_PER_SEC, NS_PER_SEC / 2},
	[BENCH_DISK] = {"disk", "writing", 10 * NS_PER_SEC, 2 * NS_PER_SEC},
	[BENCH_END_TO_END] = {"end_to_end", "end to end", 10 * NS_PER_SEC, 2 * NS_PER_SEC},
};

/* What the daemon had done at an instant. */
struct sample {
	double time_s; /* by the daemon's clock, so that a late answer is no slow disk */
	uint64_t filtered_pkts;
	uint64_t written_pkts;
	uint64_t file_bytes;
	uint64_t lcore_busy_ns;
	uint64_t lcore_pkts;
	uint64_t writer_busy_ns;
	uint64_t writer_pkts;
};

struct watch {
	const struct bench_task *task;
	uint64_t for_ns;
	struct sample *samples;
	size_t count;
	size_t size;
	double drawn_s;      /* when the line of progress was */
	json_t *last;        /* the newest status of the live run */
	const char *no_room; /* the directory that would have been filled */
	bool no_memory;
};

uint64_t bench_kind_ns(enum bench_kind kind, uint64_t for_ns)
{
	return for_ns != 0 ? for_ns : kinds[kind].for_ns;
}

bool bench_is(const json_t *m, enum bench_kind kind)
{
	return strcmp(answer_text(m, "kind", ""), kinds[kind].name) == 0;
}

const json_t *bench_find(const json_t *report, enum bench_kind kind, const char *frame)
{
	const json_t *m;
	size_t i;

	json_array_foreach(json_object_get(report, "measurements"), i, m)
	{
		if (bench_is(m, kind) &&
			(frame == NULL || strcmp(answer_text(m, "frame", ""), frame) == 0))
			return m;
	}
	return NULL;
}

double bench_number(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

int bench_frame_parse(const char *frame, double *ret_wire_bytes, struct errbuf *err)
{
	uint64_t bytes;

	if (strcmp(frame, "IMIX") == 0) {
		*ret_wire_bytes = IMIX_BYTES + WIRE_BYTES;
		return 0;
	}
	if (number_parse(frame, "size", FRAME_MIN, FRAME_MAX, &bytes, NULL) < 0)
		return fail_with(err, -EINVAL,
			"'%s' is no frame size: %d..%d bytes with FCS, or IMIX", frame, FRAME_MIN,
			FRAME_MAX);
	*ret_wire_bytes = (double)bytes + WIRE_BYTES;
	return 0;
}

static uint64_t sum_of(const json_t *status, const char *list, const char *key)
{
	const json_t *item;
	uint64_t sum = 0;
	size_t i;

	json_array_foreach(json_object_get(status, list), i, item) sum += answer_count(item, key);
	return sum;
}

static struct sample *next_sample(struct watch *w)
{
	struct sample *samples;

	if (w->count == w->size) {
		samples = reallocarray(w->samples, 2 * w->size + 128, sizeof(*samples));
		if (samples == NULL)
			return NULL;
		w->samples = samples;
		w->size = 2 * w->size + 128;
	}
	return &w->samples[w->count++];
}

static double rate_between(uint64_t from, uint64_t to, double seconds)
{
	return seconds > 0 && to > from ? (double)(to - from) / seconds : 0;
}

static uint64_t done_pkts(const struct sample *s)
{
	return s->filtered_pkts + s->written_pkts;
}

static uint64_t file_bytes(const struct sample *s)
{
	return s->file_bytes;
}

/* "3 of 11  packing 64-byte frames  1.2 of 3s  35.4 Mpkt/s" */
static void draw_progress(struct watch *w, struct progress *progress)
{
	const struct bench_task *t = w->task;
	const struct sample *now = &w->samples[w->count - 1];
	const struct sample *then = w->count > 8 ? now - 8 : w->samples;
	double seconds = now->time_s - then->time_s;
	char length[UNITS_TEXT], pkts[UNITS_TEXT], bytes[UNITS_TEXT], line[512];

	if (now->time_s < w->drawn_s + 0.2)
		return;
	w->drawn_s = now->time_s;
	(void)snprintf(line, sizeof(line), "%u of %u  %s %s%s%s  %.1f of %s  %s  %s", t->number,
		t->total, kinds[t->kind].doing, t->frame,
		strcmp(t->frame, "IMIX") == 0 ? "" : "-byte frames",
		t->kind == BENCH_DISK ? t->dirs[0].dir : "", now->time_s - w->samples[0].time_s,
		duration_format(w->for_ns, length),
		packet_rate_format(rate_between(done_pkts(then), done_pkts(now), seconds), pkts),
		byte_rate_format(rate_between(then->file_bytes, now->file_bytes, seconds), bytes));
	progress_draw(progress, line);
}

static bool has_room(struct watch *w)
{
	for (unsigned int i = 0; i < w->task->dir_count; i++) {
		if (bench_scratch_free_bytes(&w->task->dirs[i]) < BENCH_RESERVE_BYTES)
			w->no_room = w->task->dirs[i].dir;
	}
	return w->no_room == NULL;
}

static bool look(const json_t *status, struct progress *progress, void *context)
{
	const json_t *run = json_array_get(json_object_get(status, "runs"), 0);
	struct watch *w = context;
	struct sample *s;

	if (strcmp(answer_text(run, "state", ""), "live") != 0)
		return true;
	s = next_sample(w);
	if (s == NULL) {
		w->no_memory = true;
		return false;
	}
	*s = (struct sample){
		.time_s = bench_number(status, "uptime_s"),
		.filtered_pkts = answer_count(run, "filtered_pkts"),
		.written_pkts = answer_count(run, "written_pkts"),
		.file_bytes = sum_of(status, "stripes", "written_bytes"),
		.lcore_busy_ns = sum_of(status, "lcores", "busy_ns"),
		.lcore_pkts = sum_of(status, "lcores", "pkts"),
		.writer_busy_ns = sum_of(status, "writers", "busy_ns"),
		.writer_pkts = sum_of(status, "writers", "pkts"),
	};
	json_decref(w->last);
	w->last = json_incref((json_t *)status);
	draw_progress(w, progress);
	return s->time_s - w->samples[0].time_s < (double)w->for_ns / NS_PER_SEC && has_room(w);
}

static void put_rate(json_t *o, const char *key, double rate)
{
	(void)json_object_set_new(o, key, json_real(rate));
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double values[], size_t count, double *ret_least)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	*ret_least = values[0];
	return values[count / 2];
}

/*
 * Median and slowest of all stretches of a second, whatever instant they begin at; of the
 * whole where that is shorter.
 */
static int put_seconds(json_t *o, const struct sample s[], size_t count,
	uint64_t (*value)(const struct sample *), const char *median_key, const char *slowest_key)
{
	double *rates = calloc(count, sizeof(*rates)), median, slowest;
	size_t used = 0, end = 1;

	if (rates == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		while (end < count && s[end].time_s - s[i].time_s < 1)
			end++;
		if (end == count && used > 0)
			break;
		if (end == count)
			end = count - 1;
		rates[used++] =
			rate_between(value(&s[i]), value(&s[end]), s[end].time_s - s[i].time_s);
	}
	median = bench_median(rates, used, &slowest);
	put_rate(o, median_key, median);
	put_rate(o, slowest_key, slowest);
	free(rates);
	return 0;
}

/* ns per packet, or null where the daemon did not count them. */
static void put_cost(json_t *o, const char *key, uint64_t busy_ns, uint64_t pkts)
{
	(void)json_object_set_new(o, key,
		busy_ns > 0 && pkts > 0 ? json_real((double)busy_ns / (double)pkts) : json_null());
}

/* s[0] is the first sample that counts. */
static int put_rates(json_t *o, const struct sample s[], size_t count, double wire_bytes)
{
	const struct sample *last = &s[count - 1];
	double seconds = last->time_s - s[0].time_s;
	double pkts_per_s = rate_between(done_pkts(&s[0]), done_pkts(last), seconds);
	uint64_t written = last->written_pkts - s[0].written_pkts;

	put_rate(o, "frame_wire_bytes", wire_bytes);
	put_rate(o, "pkts_per_s", pkts_per_s);
	put_rate(o, "wire_bps", pkts_per_s * 8 * wire_bytes);
	put_rate(o, "file_bytes_per_s", rate_between(s[0].file_bytes, last->file_bytes, seconds));
	(void)json_object_set_new(o, "file_bytes_per_pkt",
		written > 0
			? json_real((double)(last->file_bytes - s[0].file_bytes) / (double)written)
			: json_null());
	put_cost(o, "lcore_ns_per_pkt", last->lcore_busy_ns - s[0].lcore_busy_ns,
		last->lcore_pkts - s[0].lcore_pkts);
	put_cost(o, "writer_ns_per_pkt", last->writer_busy_ns - s[0].writer_busy_ns,
		last->writer_pkts - s[0].writer_pkts);
	return put_seconds(o, s, count, done_pkts, "median_pkts_per_s", "slowest_pkts_per_s") < 0 ||
			       put_seconds(o, s, count, file_bytes, "median_file_bytes_per_s",
				       "slowest_file_bytes_per_s") < 0
		       ? -ENOMEM
		       : 0;
}

static void put_samples(json_t *o, const struct sample s[], size_t count)
{
	json_t *time_s = json_array(), *filtered = json_array(), *written = json_array(),
	       *bytes = json_array();

	for (size_t i = 0; i < count; i++) {
		(void)json_array_append_new(time_s, json_real(s[i].time_s - s[0].time_s));
		(void)json_array_append_new(filtered, json_integer((json_int_t)s[i].filtered_pkts));
		(void)json_array_append_new(written, json_integer((json_int_t)s[i].written_pkts));
		(void)json_array_append_new(bytes, json_integer((json_int_t)s[i].file_bytes));
	}
	(void)json_object_set_new(o, "samples",
		json_pack("{s:o,s:o,s:o,s:o}", "time_s", time_s, "filtered_pkts", filtered,
			"written_pkts", written, "file_bytes", bytes));
}

static uint64_t lost_of(const json_t *summary, const json_t *run)
{
	const json_t *port;
	uint64_t lost = summary_run_lost(run) + answer_count(run, "in_ram_pkts");
	size_t i;

	json_array_foreach(json_object_get(summary, "ports"), i, port) lost +=
		summary_port_lost(port);
	return lost;
}

/* The account of the whole run, the left out beginning too. */
static void put_account(json_t *o, const json_t *summary)
{
	const json_t *run = json_array_get(json_object_get(summary, "runs"), 0);
	static const char *const keys[] = {"filtered_pkts", "written_pkts", "written_bytes"};

	(void)json_object_set_new(o, "received_pkts",
		json_integer((json_int_t)(answer_count(run, "received_pkts") -
					  answer_count(run, "outside_window_pkts"))));
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		(void)json_object_set_new(
			o, keys[i], json_integer((json_int_t)answer_count(run, keys[i])));
	(void)json_object_set_new(o, "lost_pkts", json_integer((json_int_t)lost_of(summary, run)));
	(void)json_object_set(o, "warnings", json_object_get(summary, "warnings"));
}

static bool all_true(const json_t *list, const char *key)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (!json_is_true(json_object_get(item, key)))
			return false;
	}
	return true;
}

/* What it ran with. */
static void put_means(json_t *o, const struct watch *w)
{
	const json_t *writers = json_object_get(w->last, "writers");
	json_t *dirs = json_array();

	for (unsigned int i = 0; i < w->task->dir_count; i++)
		(void)json_array_append_new(dirs, json_string(w->task->dirs[i].dir));
	(void)json_object_set_new(o, "directories", dirs);
	(void)json_object_set_new(
		o, "lcores", json_integer((json_int_t)sum_of(w->last, "ports", "queues")));
	(void)json_object_set_new(o, "writers", json_integer((json_int_t)json_array_size(writers)));
	(void)json_object_set_new(o, "huge_pages", json_boolean(all_true(writers, "huge_pages")));
	(void)json_object_set_new(o, "direct",
		w->task->dir_count == 0
			? json_null()
			: json_boolean(all_true(json_object_get(w->last, "stripes"), "direct")));
	(void)json_object_set_new(o, "out_of_room", json_boolean(w->no_room != NULL));
}

/* The index of the first sample that counts. */
static size_t settled_at(const struct watch *w, double *ret_settle_s)
{
	const struct kind *k = &kinds[w->task->kind];
	uint64_t settle_ns = w->for_ns / 4 < k->settle_ns ? w->for_ns / 4 : k->settle_ns;
	size_t i = 0;

	*ret_settle_s = (double)settle_ns / NS_PER_SEC;
	while (i < w->count && w->samples[i].time_s - w->samples[0].time_s < *ret_settle_s)
		i++;
	return i;
}

static void say_no_room(const struct watch *w)
{
	char reserve[UNITS_TEXT], length[UNITS_TEXT];

	log_warn("'%s': stopped after %.1f s of %s, to leave %s free", w->no_room,
		w->count > 0 ? w->samples[w->count - 1].time_s - w->samples[0].time_s : 0,
		duration_format(w->for_ns, length), size_format(BENCH_RESERVE_BYTES, reserve));
}

static int conclude(const struct watch *w, const json_t *summary, json_t **ret)
{
	double settle_s, wire_bytes = 0;
	size_t first = settled_at(w, &settle_s);
	json_t *o;

	if (w->no_room != NULL)
		say_no_room(w);
	if (w->no_memory || first + 2 > w->count) {
		log_error("%s %s: %s", kinds[w->task->kind].doing, w->task->frame,
			w->no_memory ? "out of memory" : "ended before there was a rate to tell");
		return EXIT_FAILED;
	}
	o = json_pack("{s:s,s:s}", "kind", kinds[w->task->kind].name, "frame", w->task->frame);
	(void)bench_frame_parse(w->task->frame, &wire_bytes, NULL);
	put_means(o, w);
	(void)json_object_set_new(
		o, "duration_s", json_real(w->samples[w->count - 1].time_s - w->samples[0].time_s));
	put_rate(o, "settle_s", settle_s);
	if (put_rates(o, w->samples + first, w->count - first, wire_bytes) < 0) {
		log_error("out of memory");
		json_decref(o);
		return EXIT_FAILED;
	}
	put_account(o, summary);
	put_samples(o, w->samples, w->count);
	*ret = o;
	return EXIT_GOOD;
}

static json_t *request_of(const struct bench_task *t)
{
	json_t *request = json_deep_copy(t->request), *stripes = json_array();

	for (unsigned int i = 0; i < t->dir_count; i++)
		(void)json_array_append_new(stripes, json_string(t->dirs[i].path));
	if (t->dir_count == 0)
		(void)json_array_append_new(stripes, json_string("null:"));
	(void)json_object_set_new(request, "cmd", json_string("record"));
	(void)json_object_set_new(request, "name", json_string("bench"));
	(void)json_object_set_new(request, "devices",
		json_pack("[o]", json_sprintf("gen:rate=max,size=%s", t->frame)));
	(void)json_object_set_new(request, "stripes", stripes);
	/* A disk is measured with whole packets: short ones would measure the packer. */
	if (t->kind == BENCH_DISK)
		(void)json_object_del(request, "snaplen");
	if (t->filter != NULL)
		(void)json_object_set_new(request, "filter", json_string(t->filter));
	return request;
}

int bench_measure(const struct bench_task *task, json_t **ret)
{
	struct watch w = {.task = task, .for_ns = bench_kind_ns(task->kind, task->for_ns)};
	struct session_watcher watcher = {.look = look, .context = &w};
	uint64_t bytes = 0;
	json_t *summary;
	bool started;
	int r;

	watcher.every_ns =
		w.for_ns / SAMPLES_LEAST < 100 * MS_NS ? w.for_ns / SAMPLES_LEAST : 100 * MS_NS;
	r = record_session(request_of(task), false, &watcher, &started, &summary);
	if (r == EXIT_GOOD) {
		if (watcher.interrupted) {
			log_error("interrupted");
			r = EXIT_FAILED;
		} else {
			r = conclude(&w, summary, ret);
		}
		json_decref(summary);
	}
	for (unsigned int i = 0; i < task->dir_count; i++)
		bytes += bench_scratch_empty(&task->dirs[i]);
	if (r == EXIT_GOOD)
		(void)json_object_set_new(*ret, "file_bytes",
			task->dir_count > 0 ? json_integer((json_int_t)bytes) : json_null());
	json_decref(w.last);
	free(w.samples);
	return r;
}
