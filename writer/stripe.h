#pragma once
/*
 * Stripe and segment: a directory on one disk, and the files being written in it.
 *
 * Each stripe has a keeper thread that makes every call that may block on its disk: open,
 * preallocate, write the header, sync, truncate, rename. Writer threads hand it segments
 * through a pipe and look at the segment's state; they never wait for it. A disk that
 * hangs so holds up its own keeper alone.
 *
 * Life of a segment, by whom:
 *
 *   writer   NEW ------ask OPEN------> keeper   OPENING -> OPEN or FAILED
 *   writer   OPEN, all chunks on disk, ask SEAL -> keeper   SEALING -> SEALED or LEFT
 *   writer   broken or abandoned, ask LEAVE     -> keeper   SEALING -> LEFT (a ".part" stays)
 *
 * The state is stored with release by whoever moves it on and loaded with acquire by the
 * other: what was written before it is visible after it.
 */

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "chunk.h"
#include "wirespool/counter.h"
#include "wirespool/writer.h"

struct run;
struct stream;

enum segment_state {
	SEGMENT_NEW,
	SEGMENT_OPENING,
	SEGMENT_OPEN,
	SEGMENT_FAILED, /* could not be opened: there is no file */
	SEGMENT_SEALING,
	SEGMENT_SEALED,
	SEGMENT_LEFT, /* a ".part" stays behind, for recovery */
};

enum { SEGMENT_VOIDS_MAX = 128 }; /* writes under way at most */

struct segment {
	struct stripe *stripe;
	const struct run *run;
	const struct run_face *face;
	struct stream *stream;
	struct segment *next; /* in its stream's list */
	uint32_t number;
	_Atomic int state;

	/* The keeper's until OPEN and from SEALING on, the writer's in between */
	int fd;
	int error;
	uint64_t file_bytes; /* true length, to be cut to when sealed */
	uint64_t void_offs
		[SEGMENT_VOIDS_MAX]; /* of chunks that went elsewhere after a write of them failed */
	unsigned int void_count;

	struct segment *next_open; /* the keeper's, among those of its stripe */
	int sync_error;            /* likewise: the kernel tells of a lost write once only */

	/* The writer's */
	int slot;          /* among io_uring's registered files; -1: none */
	bool closed;       /* no more chunks will come */
	bool broken;       /* a write failed */
	bool abandoned;    /* its packets are counted; what still moves of it is only given back */
	uint64_t next_off; /* where the next chunk goes */
	uint32_t chunks;   /* queued so far */
	uint64_t pkts;     /* in those, also below */
	uint64_t captured_bytes;
	uint64_t wire_bytes;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t written_pkts; /* of those, on disk */
	unsigned int in_flight;
	struct chunk *queue; /* waiting to be submitted, or to go elsewhere, in the file's order */
	struct chunk **queue_end;
};

struct stripe {
	/* Read-only after stripe_open() */
	char *path;
	int dir_fd;
	bool null;
	int requests[2]; /* pipe to the keeper; each message is one struct request */
	pthread_t keeper;
	unsigned int references; /* control's */
	struct stripe *next;     /* control's */
	struct segment *open;    /* the keeper's: files that are being written */

	/* Any thread */
	_Atomic uint64_t queued_bytes __attribute__((aligned(64)));
	_Atomic uint64_t written_bytes;
	_Atomic uint64_t free_bytes;
	_Atomic unsigned int in_flight;
	_Atomic int error;
	_Atomic bool direct;
};

static inline enum segment_state segment_state(const struct segment *s)
{
	return (enum segment_state)atomic_load_explicit(&s->state, memory_order_acquire);
}

enum keeper_request { KEEPER_OPEN, KEEPER_SEAL, KEEPER_LEAVE, KEEPER_QUIT };

/*
 * Hands the segment to its stripe's keeper and moves its state to OPENING or SEALING.
 * False when the keeper's pipe is full: the segment is still the writer's, try again later.
 */
bool stripe_ask(struct segment *s, enum keeper_request request);

/* Takes the stripe out of its set; error is what its disk said. Said once in the log. */
void stripe_fail(struct stripe *s, int error);

/* The name of a segment's file, without its directory. */
void segment_name(const struct segment *s, bool sealed, char *buf, size_t size);
