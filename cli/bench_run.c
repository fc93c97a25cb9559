#include "bench_run.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_measure.h"
#include "bench_memory.h"
#include "bench_predict.h"
#include "client.h"
#include "options.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

/* "model name	: AMD EPYC" of the first CPU; where there is no such line, the architecture has none. */
static json_t *cpu_model(void)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256], *colon;
	json_t *model = NULL;

	while (f != NULL && model == NULL && fgets(line, sizeof(line), f) != NULL) {
		colon = strstr(line, ": ");
		if (strncmp(line, "model name", 10) != 0 || colon == NULL)
			continue;
		line[strcspn(line, "\n")] = '\0';
		model = json_string(colon + 2);
	}
	if (f != NULL)
		(void)fclose(f);
	return model != NULL ? model : json_string("unknown CPU");
}

static json_t *describe_machine(void)
{
	uint64_t memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	cpu_set_t allowed;
	int cpus = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 0;

	return json_pack("{s:o,s:i,s:I}", "cpu", cpu_model(), "cpus", cpus, "memory_bytes",
		(json_int_t)memory_bytes);
}

static unsigned int tasks_of(enum bench_kind kind, const struct bench_options *o)
{
	if (kind == BENCH_FILTER)
		return o->filter[0] != '\0' ? o->frame_count : 0;
	if (kind == BENCH_PACK)
		return o->frame_count;
	if (kind == BENCH_DISK)
		return o->dir_count;
	return o->dir_count > 0 ? o->frame_count : 0;
}

static struct bench_task task_of(
	enum bench_kind kind, unsigned int index, const struct bench_options *o)
{
	struct bench_task t = {.kind = kind, .for_ns = o->for_ns, .request = o->request};

	t.frame = kind == BENCH_DISK ? "1518" : o->frames[index];
	t.filter = kind == BENCH_FILTER ? o->filter : NULL;
	if (kind == BENCH_DISK || kind == BENCH_END_TO_END)
		t.dirs = o->dirs;
	if (kind == BENCH_DISK)
		t.dirs += index;
	t.dir_count = t.dirs == NULL ? 0 : kind == BENCH_DISK ? 1 : o->dir_count;
	return t;
}

/* What came of the directory's own measurement; 0: not measured yet. */
static double last_rate(const json_t *report, const char *dir)
{
	const json_t *m;
	size_t i;

	json_array_foreach(json_object_get(report, "measurements"), i, m)
	{
		const char *other =
			json_string_value(json_array_get(json_object_get(m, "directories"), 0));

		if (bench_is(m, BENCH_DISK) && other != NULL && strcmp(other, dir) == 0)
			return bench_number(m, "file_bytes_per_s");
	}
	return 0;
}

/* Before minutes are spent: what does not fit is stopped early. */
static int check_room(const json_t *report, const struct bench_task *t)
{
	uint64_t for_ns = bench_kind_ns(t->kind, t->for_ns);
	char rate[UNITS_TEXT], has[UNITS_TEXT], length[UNITS_TEXT];

	for (unsigned int i = 0; i < t->dir_count; i++) {
		uint64_t free_bytes = bench_scratch_free_bytes(&t->dirs[i]);
		double bytes_per_s = last_rate(report, t->dirs[i].dir);
		double needed = bytes_per_s * (double)for_ns / NS_PER_SEC;

		if (bench_scratch_check_room(&t->dirs[i]) != EXIT_GOOD)
			return EXIT_FAILED;
		if (needed + (double)BENCH_RESERVE_BYTES > (double)free_bytes)
			log_warn("'%s': %s are free; at %s they do not last for %s", t->dirs[i].dir,
				size_format(free_bytes, has), byte_rate_format(bytes_per_s, rate),
				duration_format(for_ns, length));
	}
	return EXIT_GOOD;
}

/* A warning that each session repeats is said and kept once. */
static void take_warnings(json_t *report, json_t *measurement)
{
	json_t *all = json_object_get(report, "warnings"), *warning, *known;
	size_t i, k;

	json_array_foreach(json_object_get(measurement, "warnings"), i, warning)
	{
		json_array_foreach(all, k, known)
		{
			if (json_equal(known, warning))
				break;
		}
		if (k < json_array_size(all))
			continue;
		(void)json_array_append(all, warning);
		log_warn("%s", json_is_string(warning) ? json_string_value(warning) : "?");
	}
	(void)json_object_del(measurement, "warnings");
}

static int take_measurement(json_t *report, json_t *measurement)
{
	uint64_t lost = answer_count(measurement, "lost_pkts");
	char count[UNITS_TEXT];

	take_warnings(report, measurement);
	(void)json_array_append_new(json_object_get(report, "measurements"), measurement);
	if (lost == 0)
		return EXIT_GOOD;
	log_warn("%s %s: %s packets were lost; its rates are not to be trusted",
		answer_text(measurement, "kind", "?"), answer_text(measurement, "frame", "?"),
		count_format(lost, count));
	return EXIT_LOST;
}

static int run_tasks(const struct bench_options *o, json_t *report)
{
	unsigned int number = 0, total = 0;
	int code = EXIT_GOOD, r;
	json_t *measurement;

	for (enum bench_kind kind = 0; kind < BENCH_KINDS; kind++)
		total += tasks_of(kind, o);
	for (enum bench_kind kind = 0; kind < BENCH_KINDS; kind++) {
		for (unsigned int i = 0; i < tasks_of(kind, o); i++) {
			struct bench_task task = task_of(kind, i, o);

			task.number = ++number;
			task.total = total;
			r = check_room(report, &task);
			if (r == EXIT_GOOD)
				r = bench_measure(&task, &measurement);
			if (r != EXIT_GOOD)
				return r;
			r = take_measurement(report, measurement);
			code = r != EXIT_GOOD ? r : code;
		}
	}
	return code;
}

int bench_run(const struct bench_options *o, json_t **ret_report)
{
	json_t *memory = bench_memory(), *report;
	int r;

	if (memory == NULL) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	report = json_pack("{s:s,s:o,s:o,s:s,s:[],s:[]}", "version", WIRESPOOL_VERSION, "machine",
		describe_machine(), "memory", memory, "filter", o->filter, "measurements",
		"warnings");
	r = run_tasks(o, report);
	if (r == EXIT_GOOD || r == EXIT_LOST)
		(void)json_object_set_new(report, "prediction", bench_predict(report));
	*ret_report = report;
	return r;
}
