#include "chunk.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { POOL_CHUNKS_MIN = 8, HUGE_PAGE_BYTES = 2 << 20, NUMA_NODES_MAX = 64 };

static void *map(uint64_t bytes, int flags)
{
	void *p = mmap(
		NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Before the first touch: pages come from the node when it has them, else from another. */
static void prefer_node(void *memory, uint64_t bytes, int socket_id)
{
	unsigned long nodes;

	if (socket_id < 0 || socket_id >= NUMA_NODES_MAX)
		return;
	nodes = 1UL << socket_id;
	(void)syscall(SYS_mbind, memory, bytes, MPOL_PREFERRED, &nodes, NUMA_NODES_MAX, 0);
}

int chunk_pool_open(
	struct chunk_pool *pool, uint64_t memory_bytes, int socket_id, struct errbuf *err)
{
	uint64_t bytes = memory_bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;

	memset(pool, 0, sizeof(*pool));
	if (bytes < (uint64_t)POOL_CHUNKS_MIN * CHUNK_BYTES)
		return fail_with(err, -EINVAL,
			"a writer's memory must be at least %d MiB, got %llu MiB", POOL_CHUNKS_MIN,
			(unsigned long long)(memory_bytes >> 20));
	pool->count = (unsigned int)(bytes / CHUNK_BYTES);
	pool->chunks = calloc(pool->count, sizeof(*pool->chunks));
	if (pool->chunks == NULL)
		return fail_with(err, -ENOMEM, "no memory for %u chunks", pool->count);
	pool->memory = map(bytes, MAP_HUGETLB);
	pool->huge_pages = pool->memory != NULL;
	if (pool->memory == NULL)
		pool->memory = map(bytes, 0);
	if (pool->memory == NULL) {
		free(pool->chunks);
		return fail_with(err, -ENOMEM, "no memory for %u chunks of 1 MiB", pool->count);
	}
	pool->memory_bytes = bytes;
	prefer_node(pool->memory, bytes, socket_id);
	(void)madvise(pool->memory, bytes, MADV_HUGEPAGE);
	/* Touch it all now: no page fault while packets flow. */
	memset(pool->memory, 0, bytes);
	for (unsigned int i = pool->count; i-- > 0;) {
		pool->chunks[i].data = pool->memory + (uint64_t)i * CHUNK_BYTES;
		chunk_give(pool, &pool->chunks[i]);
	}
	return 0;
}

void chunk_pool_close(struct chunk_pool *pool)
{
	if (pool->memory != NULL)
		(void)munmap(pool->memory, pool->memory_bytes);
	free(pool->chunks);
	memset(pool, 0, sizeof(*pool));
}

struct chunk *chunk_take(struct chunk_pool *pool)
{
	struct chunk *c = pool->free;

	if (c == NULL)
		return NULL;
	pool->free = c->next;
	counter_set(&pool->free_count, counter_get(&pool->free_count) - 1);
	c->next = NULL;
	c->used = 0;
	c->pkts = 0;
	c->captured_bytes = 0;
	c->wire_bytes = 0;
	c->first_ns = 0;
	c->last_ns = 0;
	c->begun_ns = 0;
	c->end_off = 0;
	c->segment = NULL;
	return c;
}

void chunk_give(struct chunk_pool *pool, struct chunk *c)
{
	c->next = pool->free;
	pool->free = c;
	counter_add(&pool->free_count, 1);
}
