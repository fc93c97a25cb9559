#pragma once
/*
 * Marks: Wirespool's own blocks in a file, found without reading what lies between them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "blocks.h"

/* What a mark must be to belong to a segment and to go on where the last one ended. */
struct mark_wanted {
	uint64_t base_off; /* of the section: chunks lie at multiples of PCAPNG_ALIGN from here */
	uint64_t run_hash;
	uint32_t segment;
	uint32_t sequence_min;
	uint64_t pkts_before_min;
	bool of_any_run; /* and of any segment */
};

/* A chunk mark in form: type, kind and lengths; *ret on success only. */
bool mark_decode(const uint8_t bytes[sizeof(struct wirespool_chunk)], struct wirespool_chunk *ret);

/*
 * The first mark that is wanted, at from or behind it, and wholly before until. Steps over holes of
 * the file system without reading them. False: none, or r->error.
 */
bool mark_find(struct block_reader *r, const struct mark_wanted *wanted, uint64_t from,
	uint64_t until, uint64_t *ret_off, struct wirespool_chunk *ret);

/* The end block at off, of whatever run; false when there is none. */
bool end_at(struct block_reader *r, uint64_t off, struct wirespool_end *ret);

static inline uint64_t mark_align(uint64_t base_off, uint64_t off)
{
	const uint64_t mask = PCAPNG_ALIGN - 1;

	return base_off + ((off - base_off + mask) & ~mask);
}
