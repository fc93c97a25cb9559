#pragma once
/*
 * Chunk: 1 MiB of whole pcapng blocks, the unit of memory and of disk write.
 *
 * Flow     pool -> packer (stream.c) -> spool -> disk -> pool
 * Threads  a pool and its chunks belong to one writer thread; free_count may be read by any.
 * Memory   all of it is mapped in chunk_pool_open(): huge pages, else ordinary pages.
 * Owner    one at a time: the pool, a stream that packs it, or the spool.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wirespool/counter.h"
#include "wirespool/errbuf.h"
#include "wirespool/writer.h"

struct segment;

struct chunk {
	uint8_t *data; /* CHUNK_BYTES, page aligned */
	struct chunk *next;
	uint32_t used;
	uint32_t packed; /* of those, blocks; the rest is the padding block */
	uint32_t pkts;
	uint64_t captured_bytes;
	uint64_t wire_bytes;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t begun_ns; /* monotonic, when its first block was packed */
	uint32_t end_off;  /* of the end block in a segment's last chunk; 0: not the last */

	/* The spool's */
	struct segment *segment;
	uint64_t file_off;
	uint32_t write_bytes; /* used, to a multiple of PCAPNG_ALIGN */
	uint32_t done_bytes;  /* of those, what short writes have brought to disk */
	unsigned int tries;
	int buffer; /* index among io_uring's registered buffers */
};

struct chunk_pool {
	struct chunk *chunks;
	struct chunk *free;
	uint8_t *memory;
	uint64_t memory_bytes;
	unsigned int count;
	counter free_count;
	bool huge_pages;
};

/* At least 8 chunks. socket_id -1: memory of any NUMA node. */
int chunk_pool_open(
	struct chunk_pool *pool, uint64_t memory_bytes, int socket_id, struct errbuf *err);
void chunk_pool_close(struct chunk_pool *pool);

/* An empty chunk, or NULL when there is none. */
struct chunk *chunk_take(struct chunk_pool *pool);
void chunk_give(struct chunk_pool *pool, struct chunk *c);
