#pragma once
/*
 * Bench prediction: from the cost of each part, measured one by one, what the whole holds without
 * loss, and what a faster link would take. An estimate, and described as one in wirespool(1).
 */

#include <jansson.h>

/*
 * For each frame size of which all was measured: {"lcores","writers","disks","rates":[...]}. report
 * is what bench_run() made. The caller's.
 */
json_t *bench_predict(const json_t *report);

/* The links, in bits a second, that needs are told for; 0 past the last. */
double bench_link_bps(unsigned int index);
