#pragma once
/*
 * Run and stream, inside the writer room. A run is spread over writers; what one writer
 * has of it is a stream: its rings, the segment that it fills and those that are on
 * their way to disk.
 *
 *   run.c     control's side: start, finish, ledger
 *   drain.c   rings -> packets in time order -> pack        (the one file with DPDK)
 *   stream.c  chunks, segments, rotation, limits, statistics
 *   spool.c   chunks -> io_uring -> disk, failures
 *   stripe.c  segments -> files
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "encode.h"
#include "stripe.h"
#include "wirespool/writer.h"

struct spool;

struct stream {
	/* Read-only after run_start() */
	struct run *run;
	struct writer *writer;
	struct packet_ring **rings;
	unsigned int ring_count;
	bool first;       /* of its run: makes the one empty file of a run without packets */
	uint16_t rest_us; /* of its rings, the least */
	struct stream *next_in_run;

	/* The writer thread's */
	struct stream *next; /* on the writer, or in its inbox */
	struct chunk_pool *pool;
	struct spool *spool;
	struct chunk *chunk;         /* being packed; NULL: none */
	struct segment *segment;     /* being filled; NULL: none */
	struct segment *segments;    /* all that are not done with, that one included */
	uint64_t last_ns;            /* time of the last packet in the segment */
	uint64_t cut_ns;             /* a packet at or after this time begins a new segment */
	uint64_t statistics_ns;      /* monotonic, at the last statistics blocks */
	uint64_t statistics_sum;     /* of all counters then: nothing new, nothing written */
	unsigned int held;           /* chunks taken from the pool and not given back */
	const struct run_face *face; /* the newest that was seen */

	/* Written by the writer thread, read by any */
	counter written_pkts __attribute__((aligned(64)));
	counter written_bytes;
	counter wire_bytes;
	counter lost_disk_pkts;
	counter queued_bytes;
	counter files_count;
	_Atomic uint64_t *files; /* RUN_FILES_KEPT of file_entry() */
	_Atomic bool ended;      /* last touch of the writer thread */
};

/* What the headers of a run's files say. Never changed, and kept until the run is freed. */
struct run_face {
	uint64_t from_ns; /* of files that begin at this time or later */
	uint8_t *header;  /* page aligned */
	size_t header_bytes;
	const struct run_face *older;
};

struct run {
	/* Read-only after run_start() */
	char id[RUN_ID_MAX];
	uint64_t id_hash;
	uint32_t tail_bytes; /* room kept in every chunk for statistics, end block and padding */
	unsigned int interface_count;
	struct stripe *stripes[RUN_STRIPES_MAX];
	unsigned int stripe_count;
	struct packet_ring **rings; /* of all streams */
	unsigned int ring_count;
	uint64_t start_ns;
	uint64_t rotate_bytes;
	uint64_t rotate_ns;
	bool rotate_on_clock;
	uint64_t flush_ns;
	bool limited;
	struct stream *streams;
	struct run *next_left; /* control's, once it was freed while a disk hung */

	/* Any thread */
	_Atomic(const struct run_face *) face; /* the newest */
	_Atomic uint32_t next_segment __attribute__((aligned(64)));
	_Atomic uint64_t told; /* last file closed: number << 32 | packets that its end tells */
	_Atomic int64_t pkts_left;
	_Atomic int64_t bytes_left;
	_Atomic bool limit_reached;
	_Atomic bool finishing;
	_Atomic bool abandoned;
	_Atomic bool stuck; /* a disk never gave something back: its memory is left to it */
};

/* A finished file in 64 bits: number << 32 | stripe << 1 | sealed. */
static inline uint64_t file_entry(uint32_t number, unsigned int stripe, bool sealed)
{
	return (uint64_t)number << 32 | (uint64_t)stripe << 1 | (sealed ? 1 : 0);
}

/* drain.c. HOT PATH: packs what may be packed now; returns how many packets left the rings. */
unsigned int stream_drain(struct stream *s);
bool stream_rings_empty(const struct stream *s);
/* How long all its rings can be left alone; asked once. */
uint16_t stream_rest_us(const struct stream *s);
/* No packet older than this will come on any of its rings. */
uint64_t stream_seen_until(const struct stream *s);
/* What the rings of one interface counted, for its statistics block; nothing of start and end. */
void run_interface_counts(
	const struct run *r, uint32_t interface_id, struct interface_statistics *ret);
/* Adds what rings counted to a run's ledger. */
void run_rings_ledger(const struct run *r, struct run_ledger *ret);
/* Once at the start and the end of the writer thread: DPDK's per-thread mbuf caches. */
void drain_thread_enter(void);
void drain_thread_leave(void);

/*
 * stream.c. Makes room in the stream's chunk for a block of bytes with a packet of time_ns: ends
 * the chunk and the segment if they must, takes new ones. Returns 0, -ENOMEM when there is no
 * free chunk, -ENODEV when there is no stripe left; nothing may be packed then.
 */
int stream_make_room(struct stream *s, uint32_t bytes, uint64_t time_ns);

/* Bytes of a chunk that packets may fill. */
static inline uint32_t stream_room(const struct stream *s)
{
	return CHUNK_BYTES - s->run->tail_bytes;
}
/*
 * Every few ms: statistics blocks, flush, timed rotation, the end of the run. True when the
 * stream has ended: control may free it at any time from then on.
 */
bool stream_housekeep(struct stream *s, uint64_t now_ns);
/* Has a segment end where its run's files begin to look otherwise. */
void stream_see_face(struct stream *s);
/* The chunk being packed is lost with its stripes: counts and gives it back. */
void stream_drop_chunk(struct stream *s);
/* A packet may be stored within the run's limits. */
bool run_take_from_limits(struct run *r, uint32_t captured_bytes);

/* writer.c */
void writer_add_stream(struct writer *w, struct stream *s);
struct chunk_pool *writer_pool(struct writer *w);
struct spool *writer_spool(struct writer *w);
