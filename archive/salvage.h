#pragma once
/*
 * Salvage: finds out, without writing, what of a .part file is whole and what is missing.
 *
 * Flow     file -> salvage_scan() -> a plan of gaps and tail -> recover.c writes it
 *
 * Scanning a file that was already sealed in part (recovery itself crashed) gives a plan that leads to
 * the same file: marks are never changed, and padding that is there counts as nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "blocks.h"
#include "wirespool/errbuf.h"

/* Bytes to be covered with padding blocks; never 1..15 of them. */
struct salvage_gap {
	uint64_t off;
	uint64_t end;
};

struct salvage_totals {
	uint64_t pkts;
	uint64_t captured_bytes;
	uint64_t wire_bytes;
	uint64_t first_ns;
	uint64_t last_ns;
};

struct salvage {
	struct block_reader r;
	uint64_t run_hash;
	uint32_t segment;

	bool empty; /* there is no header and nothing else of ours */
	struct block_interfaces interfaces;
	struct salvage_totals totals;
	uint64_t missing_pkts;
	uint64_t pkts_before; /* that the next mark would say */
	uint64_t next_sequence;

	struct salvage_gap *gaps;
	size_t gap_count;
	size_t gap_room;
	uint64_t hole_bytes; /* of the gaps before the last chunk's end */

	uint64_t kept_end; /* of the last whole block */
	bool has_end;      /* ... which is an end block */
	struct wirespool_end end;
	uint64_t tail_off; /* where the tail begins; without has_end only */

	/* A gap of under 16 bytes holds no padding block: then the block before it is given up. */
	uint64_t undo_off;
	struct salvage_totals undo_totals;
};

/* fd stays the caller's. 0 or -ENOMEM; ends with salvage_done() in either case. */
int salvage_init(
	struct salvage *s, int fd, uint64_t file_bytes, uint64_t run_hash, uint32_t segment);
void salvage_done(struct salvage *s);

/*
 * Makes the plan. -EBADMSG with a sentence for a file that recovery must keep its hands off: its header is not
 * ours, or its chunks are of another run.
 */
int salvage_scan(struct salvage *s, struct errbuf *err);
