#include "bench_memory.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench_measure.h"
#include "client.h"
#include "wirespool/units.h"

enum { BLOCK_BYTES = 1 << 20, RUNS = 5, CACHES = 2 };
static const size_t SOURCE_MIN_BYTES = (size_t)256 << 20;

/*
 * More than the last cache holds, where the machine says how large that is and has the memory: gone
 * through in a circle, hardly any of it is still there when its turn comes again.
 */
static size_t source_bytes(void)
{
	long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
	size_t bytes = cache > 0 ? CACHES * (size_t)cache : 0;
	size_t most = (size_t)sysconf(_SC_PHYS_PAGES) / 4 * (size_t)sysconf(_SC_PAGESIZE);

	bytes = bytes < most ? bytes : most;
	bytes = bytes > SOURCE_MIN_BYTES ? bytes : SOURCE_MIN_BYTES;
	return bytes - bytes % BLOCK_BYTES;
}

/* Large pages where they are to be had, and every page touched: a page fault is no copy. */
static uint8_t *map(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, 1, bytes);
	return p;
}

static double copy_once(uint8_t *block, const uint8_t *source, size_t bytes)
{
	uint64_t begun_ns = client_now_ns();

	for (size_t at = 0; at < bytes; at += BLOCK_BYTES) {
		memcpy(block, source + at, BLOCK_BYTES);
		/* The compiler must not see that nobody reads the block. */
		__asm__ volatile("" : : "r"(block) : "memory");
	}
	return (double)bytes * (double)NS_PER_SEC / (double)(client_now_ns() - begun_ns);
}

json_t *bench_memory(void)
{
	size_t bytes = source_bytes();
	uint8_t *source = map(bytes), *block = map(BLOCK_BYTES);
	double rates[RUNS], median, slowest;
	json_t *result = NULL;

	if (source != NULL && block != NULL) {
		(void)copy_once(block, source, bytes);
		for (unsigned int i = 0; i < RUNS; i++)
			rates[i] = copy_once(block, source, bytes);
		median = bench_median(rates, RUNS, &slowest);
		result = json_pack("{s:f,s:f,s:i,s:I,s:i}", "bytes_per_s", median,
			"slowest_bytes_per_s", slowest, "block_bytes", BLOCK_BYTES, "source_bytes",
			(json_int_t)bytes, "runs", RUNS);
	}
	if (source != NULL)
		(void)munmap(source, bytes);
	if (block != NULL)
		(void)munmap(block, BLOCK_BYTES);
	return result;
}
