#pragma once
/*
 * Bench run: all measurements one after the other, as one JSON object, of which the table and the
 * picture are views.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "bench_scratch.h"

enum { BENCH_FRAMES_MAX = 16, BENCH_DIRS_MAX = 64 };

struct bench_options {
	const char *frames[BENCH_FRAMES_MAX]; /* checked by bench_frame_parse() */
	unsigned int frame_count;
	const char *filter; /* "": none */
	uint64_t for_ns;    /* of each measurement; 0: as its kind takes */
	struct bench_scratch dirs[BENCH_DIRS_MAX];
	unsigned int dir_count;
	json_t *request; /* what every `record` is told: cpus, snaplen */
};

/*
 * Measures all, and predicts from it. *ret_report is the caller's, and has what was measured until
 * then; it is not touched if there was no memory to begin. EXIT_GOOD, EXIT_LOST when packets were lost, else what failed was said.
 */
int bench_run(const struct bench_options *options, json_t **ret_report);
