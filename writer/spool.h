#pragma once
/*
 * Spool: carries chunks to the disks of a run's stripes by io_uring.
 *
 * Flow     stream -> spool -> disk -> pool
 * Threads  one spool per writer thread; no call is safe from two threads.
 * Memory   allocated in spool_open() only.
 * Loss     a spool drops a chunk only when no stripe is left that takes it (lost_disk).
 */

#include <stdbool.h>
#include <stdint.h>

#include "run.h"

/* registered is false in *ret when the kernel would not pin the pool: plain writes are used then. */
int spool_open(struct chunk_pool *pool, unsigned int stripe_depth, struct spool **ret_spool,
	struct errbuf *err);
void spool_close(struct spool *sp);
bool spool_registered(const struct spool *sp);

/*
 * A new segment of the stream's run on the stripe with the shortest queue; its file is
 * opened meanwhile. NULL: no stripe is left.
 */
struct segment *spool_begin_segment(struct stream *s, const struct run_face *face);

/* Queues a chunk behind the others of its segment. The spool owns it until it is back in the pool. */
void spool_queue(struct segment *seg, struct chunk *c);

/* True when the segment's stripe is so far behind the others that the next chunks belong there. */
bool spool_segment_is_late(const struct segment *seg);

/*
 * HOT PATH, once per round: takes what is done and submits what can be submitted for the
 * segments of streams. One system call for all writes. Returns how many chunks moved.
 */
unsigned int spool_run(struct spool *sp, struct stream *streams);

/* Gives up what the stream's segments have not on disk yet: lost_disk. */
void spool_abandon(struct stream *s);

/* Writes under way on this spool. */
unsigned int spool_in_flight(const struct spool *sp);
