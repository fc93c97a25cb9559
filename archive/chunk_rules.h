#pragma once
/*
 * Chunk rules: what a file of Wirespool's own must keep, beyond being pcapng. Fed with the blocks of one
 * section in their order; finds where marks, chunks and the end block disagree.
 *
 * A file that recovery sealed may have holes, as long as its marks and its end block account for
 * them. That it was recovered is known at its end only, so the first hole is remembered until then.
 */

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "blocks.h"

struct chunk_rules {
	void (*fault)(void *arg, uint64_t off, const char *format, ...)
		__attribute__((format(printf, 3, 4)));
	void *arg;

	uint64_t base_off; /* of the section */
	bool named;        /* the file's name says run and segment */
	uint64_t run_hash; /* of the name, else of the first mark */
	uint32_t segment;
	bool identified;

	bool open; /* a chunk has begun and not ended */
	struct wirespool_chunk mark;
	uint64_t mark_off;
	uint64_t chunk_pkts;
	uint64_t chunk_first_ns;
	uint64_t chunk_last_ns;
	uint64_t next_sequence;
	uint64_t pkts_before; /* that the next mark should say */

	uint64_t pkts;
	uint64_t captured_bytes;
	uint64_t wire_bytes;
	uint64_t first_ns;
	uint64_t last_ns;

	uint64_t missing_pkts;
	bool has_hole;
	uint64_t hole_off;
	char hole_text[128];

	bool has_end;
	uint64_t end_off;
	struct wirespool_end end;
};

/* fault and arg are the caller's to set; so is named with run_hash and segment. */
void chunk_rules_begin(struct chunk_rules *c, uint64_t section_off);

/* Any block of the section, before what is said of its kind below. */
void chunk_rules_block(struct chunk_rules *c, const struct block *b);

void chunk_rules_packet(
	struct chunk_rules *c, const struct block *b, const struct block_packet *pkt);

/* A block of type PCAPNG_WIRESPOOL. */
void chunk_rules_own(struct chunk_rules *c, struct block_reader *r, const struct block *b);

/* The section ends at off; part: in a file that nobody has sealed yet. */
void chunk_rules_finish(struct chunk_rules *c, uint64_t off, bool part);
