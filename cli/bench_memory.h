#pragma once
/*
 * Bench memory: how fast one thread copies what is in no cache, the bound of every recorder, as each
 * packet is copied once. The destination is a chunk, as the packer's is, so that it stays in a cache.
 */

#include <jansson.h>

/*
 * {"bytes_per_s","slowest_bytes_per_s","block_bytes","source_bytes","runs"}: the median and the
 * slowest of the runs. The caller's; NULL: no memory.
 */
json_t *bench_memory(void);
