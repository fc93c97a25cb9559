#pragma once
/*
 * Bench measurement: the generator at rate=max through a `record` session, watched by samples of
 * its status, as one JSON object.
 *
 * The generator waits for the recorder, so nothing is lost and the rate is what the slowest part
 * takes. The beginning is left out: memory is touched for the first time, and what a disk takes into
 * its cache at once says little about what it holds. All rates are of the samples after it.
 *
 * The keys are described in wirespool(1).
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "bench_scratch.h"
#include "wirespool/errbuf.h"

enum bench_kind {
	BENCH_FILTER,     /* packed and thrown away, with a filter */
	BENCH_PACK,       /* packed and thrown away */
	BENCH_DISK,       /* to one directory */
	BENCH_END_TO_END, /* to all directories */
	BENCH_KINDS,
};

struct bench_task {
	enum bench_kind kind;
	const char *frame;
	const char *filter;               /* NULL: none */
	const struct bench_scratch *dirs; /* where to */
	unsigned int dir_count;           /* 0: nowhere, null: */
	uint64_t for_ns;                  /* 0: as long as the kind takes */
	const json_t *request; /* what `record` is to be told besides; stays the caller's */
	unsigned int number;   /* for the line of progress: the how manieth */
	unsigned int total;    /* of how many */
};

/* The frames of --sizes: a size with FCS, or "IMIX". Mean bytes of wire, with preamble and gap. -EINVAL. */
int bench_frame_parse(const char *frame, double *ret_wire_bytes, struct errbuf *err);

/* How long a measurement takes: for_ns, or if that is 0, as long as the kind takes by itself. */
uint64_t bench_kind_ns(enum bench_kind kind, uint64_t for_ns);

/*
 * Measures. EXIT_GOOD: *ret is the caller's. Else what failed or interrupted it was said. The files
 * in dirs are removed in any case.
 */
int bench_measure(const struct bench_task *task, json_t **ret);

/* Whether a measurement is of this kind. */
bool bench_is(const json_t *measurement, enum bench_kind kind);

/* The first of bench_run()'s report of this kind and frame (NULL: any); NULL when there is none. */
const json_t *bench_find(const json_t *report, enum bench_kind kind, const char *frame);

/* The median, and in *ret_least the least, of count values, at least one. They are sorted. */
double bench_median(double values[], size_t count, double *ret_least);

/* A number of a measurement; 0 where it has none. */
double bench_number(const json_t *object, const char *key);
