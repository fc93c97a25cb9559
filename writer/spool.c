#include "spool.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"

enum {
	RING_ENTRIES = 512,
	FILE_SLOTS = 256,
	REAP_BATCH = 64,
	TRIES_MAX = 64, /* of a write that is put off (-EAGAIN) or brings nothing */
	LATE_SHARE = 2, /* late: another stripe's queue is shorter than 1/2 of this one's */
};

/* io_uring refuses a registered buffer of more than this. */
static const uint64_t BUFFER_BYTES = 1ULL << 30;

struct spool {
	struct io_uring ring;
	struct chunk_pool *pool;
	unsigned int stripe_depth;
	unsigned int in_flight;
	bool buffers_registered;
	bool files_registered;
	bool slot_taken[FILE_SLOTS];
};

static void register_buffers(struct spool *sp)
{
	unsigned int count =
		(unsigned int)((sp->pool->memory_bytes + BUFFER_BYTES - 1) / BUFFER_BYTES);
	struct iovec *v = calloc(count, sizeof(*v));

	if (v == NULL)
		return;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t off = i * BUFFER_BYTES;
		uint64_t rest = sp->pool->memory_bytes - off;

		v[i].iov_base = sp->pool->memory + off;
		v[i].iov_len = rest < BUFFER_BYTES ? rest : BUFFER_BYTES;
	}
	sp->buffers_registered = io_uring_register_buffers(&sp->ring, v, count) == 0;
	free(v);
	for (unsigned int i = 0; i < sp->pool->count; i++)
		sp->pool->chunks[i].buffer = (int)((uint64_t)i * CHUNK_BYTES / BUFFER_BYTES);
}

static void register_files(struct spool *sp)
{
	int fds[FILE_SLOTS];

	for (unsigned int i = 0; i < FILE_SLOTS; i++)
		fds[i] = -1;
	sp->files_registered = io_uring_register_files(&sp->ring, fds, FILE_SLOTS) == 0;
}

int spool_open(struct chunk_pool *pool, unsigned int stripe_depth, struct spool **ret_spool,
	struct errbuf *err)
{
	struct spool *sp = calloc(1, sizeof(*sp));
	int r;

	if (sp == NULL)
		return fail_with(err, -ENOMEM, "no memory for a spool");
	sp->pool = pool;
	sp->stripe_depth = stripe_depth;
	r = io_uring_queue_init(RING_ENTRIES, &sp->ring, 0);
	if (r < 0) {
		free(sp);
		return fail_with(err, r,
			"the kernel gives no io_uring: %s (kernel.io_uring_disabled must be 0)",
			strerror(-r));
	}
	register_buffers(sp);
	register_files(sp);
	*ret_spool = sp;
	return 0;
}

void spool_close(struct spool *sp)
{
	if (sp == NULL)
		return;
	io_uring_queue_exit(&sp->ring);
	free(sp);
}

bool spool_registered(const struct spool *sp)
{
	return sp->buffers_registered && sp->files_registered;
}

unsigned int spool_in_flight(const struct spool *sp)
{
	return sp->in_flight;
}

/* The stripe whose queue is shortest; equal ones in turn, by the number of the segment. */
static struct stripe *shortest_stripe(const struct run *run, uint32_t number)
{
	struct stripe *best = NULL;
	uint64_t best_bytes = UINT64_MAX;

	for (unsigned int i = 0; i < run->stripe_count; i++) {
		struct stripe *st = run->stripes[(number + i) % run->stripe_count];
		uint64_t bytes = atomic_load_explicit(&st->queued_bytes, memory_order_relaxed);

		if (atomic_load_explicit(&st->error, memory_order_relaxed) != 0)
			continue;
		if (best == NULL || bytes < best_bytes) {
			best = st;
			best_bytes = bytes;
		}
	}
	return best;
}

struct segment *spool_begin_segment(struct stream *s, const struct run_face *face)
{
	uint32_t number = atomic_load(&s->run->next_segment);
	struct stripe *stripe = shortest_stripe(s->run, number);
	struct segment *seg;

	if (stripe == NULL)
		return NULL;
	seg = calloc(1, sizeof(*seg));
	if (seg == NULL)
		return NULL;
	seg->number = atomic_fetch_add(&s->run->next_segment, 1) + 1;
	seg->stripe = stripe;
	seg->run = s->run;
	seg->face = face;
	seg->stream = s;
	seg->slot = -1;
	seg->fd = -1;
	seg->next_off = face->header_bytes;
	seg->queue_end = &seg->queue;
	seg->next = s->segments;
	s->segments = seg;
	if (stripe->null)
		atomic_store_explicit(&seg->state, SEGMENT_OPEN, memory_order_release);
	else
		(void)stripe_ask(seg, KEEPER_OPEN); /* a full pipe: asked again in advance() */
	return seg;
}

bool spool_segment_is_late(const struct segment *seg)
{
	const struct run *run = seg->run;
	uint64_t mine = atomic_load_explicit(&seg->stripe->queued_bytes, memory_order_relaxed);
	uint64_t share = seg->stream->pool->memory_bytes / (run->stripe_count + 1);

	if (atomic_load_explicit(&seg->stripe->error, memory_order_relaxed) != 0)
		return true;
	if (mine < share)
		return false;
	for (unsigned int i = 0; i < run->stripe_count; i++) {
		struct stripe *st = run->stripes[i];

		if (atomic_load_explicit(&st->error, memory_order_relaxed) == 0 &&
			atomic_load_explicit(&st->queued_bytes, memory_order_relaxed) <
				mine / LATE_SHARE)
			return true;
	}
	return false;
}

static void fill_mark(const struct segment *seg, struct chunk *c)
{
	struct wirespool_chunk mark = {
		.type = PCAPNG_WIRESPOOL,
		.length = sizeof(mark),
		.kind = WIRESPOOL_CHUNK,
		.chunk_bytes = c->used,
		.run_hash = seg->run->id_hash,
		.segment = seg->number,
		.sequence = seg->chunks,
		.pkts_before = seg->pkts,
		.pkts = c->pkts,
		.first_ns = c->first_ns,
		.last_ns = c->last_ns,
		.length_again = sizeof(mark),
	};

	memcpy(c->data, &mark, sizeof(mark));
}

/* The segment's totals, this last chunk included. */
static void fill_end(const struct segment *seg, struct chunk *c)
{
	struct wirespool_end end = {
		.type = PCAPNG_WIRESPOOL,
		.length = sizeof(end),
		.kind = WIRESPOOL_END,
		.segment = seg->number,
		.run_hash = seg->run->id_hash,
		.pkts = seg->pkts,
		.captured_bytes = seg->captured_bytes,
		.wire_bytes = seg->wire_bytes,
		.first_ns = seg->first_ns,
		.last_ns = seg->last_ns,
		.length_again = sizeof(end),
	};

	memcpy(c->data + c->end_off, &end, sizeof(end));
}

static void add_to_totals(struct segment *seg, const struct chunk *c)
{
	if (c->pkts != 0) {
		if (seg->pkts == 0)
			seg->first_ns = c->first_ns;
		seg->last_ns = c->last_ns;
	}
	seg->pkts += c->pkts;
	seg->captured_bytes += c->captured_bytes;
	seg->wire_bytes += c->wire_bytes;
	seg->chunks++;
}

/*
 * The chunk's bytes are whole: pads them to what O_DIRECT takes. A last chunk ends with its end block; what
 * is written behind it is cut off when the file is sealed.
 */
static void finish_bytes(struct segment *seg, struct chunk *c)
{
	if (c->end_off == 0) {
		c->packed = c->used;
		c->used += encode_padding(c->data + c->used, c->used);
	}
	fill_mark(seg, c);
	add_to_totals(seg, c);
	c->write_bytes = (c->used + PCAPNG_ALIGN - 1) / PCAPNG_ALIGN * PCAPNG_ALIGN;
	memset(c->data + c->used, 0, c->write_bytes - c->used);
	if (c->end_off == 0)
		return;
	fill_end(seg, c);
	seg->file_bytes = seg->next_off + c->used;
	seg->closed = true;
}

static void push_back(struct segment *seg, struct chunk *c)
{
	c->next = NULL;
	*seg->queue_end = c;
	seg->queue_end = &c->next;
}

/* A write that is to be repeated goes back to its place in the order of the file. */
static void put_back(struct segment *seg, struct chunk *c)
{
	struct chunk **at = &seg->queue;

	while (*at != NULL && (*at)->file_off < c->file_off)
		at = &(*at)->next;
	c->next = *at;
	*at = c;
	if (c->next == NULL)
		seg->queue_end = &c->next;
}

static struct chunk *pop_front(struct segment *seg)
{
	struct chunk *c = seg->queue;

	seg->queue = c->next;
	if (seg->queue == NULL)
		seg->queue_end = &seg->queue;
	return c;
}

void spool_queue(struct segment *seg, struct chunk *c)
{
	finish_bytes(seg, c);
	c->segment = seg;
	c->file_off = seg->next_off;
	c->done_bytes = 0;
	c->tries = 0;
	seg->next_off += c->write_bytes;
	push_back(seg, c);
	atomic_fetch_add_explicit(&seg->stripe->queued_bytes, c->write_bytes, memory_order_relaxed);
	counter_add(&seg->stream->queued_bytes, c->write_bytes);
}

/* The chunk leaves its segment, whatever became of it. */
static void unqueue(struct segment *seg, const struct chunk *c)
{
	struct stream *s = seg->stream;

	atomic_fetch_sub_explicit(&seg->stripe->queued_bytes, c->write_bytes, memory_order_relaxed);
	counter_set(&s->queued_bytes, counter_get(&s->queued_bytes) - c->write_bytes);
}

static void give_back(struct stream *s, struct chunk *c)
{
	s->held--;
	chunk_give(s->pool, c);
}

/* Its bytes are on the disk: only now its packets count as written. */
static void chunk_written(struct segment *seg, struct chunk *c)
{
	struct stream *s = seg->stream;

	unqueue(seg, c);
	atomic_fetch_add_explicit(
		&seg->stripe->written_bytes, c->write_bytes, memory_order_relaxed);
	seg->written_pkts += c->pkts;
	counter_add(&s->written_pkts, c->pkts);
	counter_add(&s->written_bytes, c->captured_bytes);
	counter_add(&s->wire_bytes, c->wire_bytes);
	give_back(s, c);
}

static void drop(struct segment *seg, struct chunk *c)
{
	unqueue(seg, c);
	counter_add(&seg->stream->lost_disk_pkts, c->pkts);
	give_back(seg->stream, c);
}

/* It stays in the queue of its segment, which will not be submitted any more, until redirect(). */
static void chunk_failed(struct segment *seg, struct chunk *c, int error)
{
	stripe_fail(seg->stripe, error);
	seg->broken = true;
	c->tries++;
	put_back(seg, c);
}

static void complete(struct spool *sp, struct chunk *c, int res)
{
	struct segment *seg = c->segment;

	sp->in_flight--;
	seg->in_flight--;
	atomic_fetch_sub_explicit(&seg->stripe->in_flight, 1, memory_order_relaxed);
	if (seg->abandoned) {
		unqueue(seg, c);
		give_back(seg->stream, c);
		return;
	}
	if (res > 0)
		c->done_bytes += (uint32_t)res / PCAPNG_ALIGN * PCAPNG_ALIGN;
	if (res > 0 && c->done_bytes >= c->write_bytes) {
		chunk_written(seg, c);
		return;
	}
	/* A short write is not a success: the rest goes out again, and if nothing moves, elsewhere. */
	if ((res >= 0 || res == -EAGAIN || res == -EINTR) && c->tries++ < TRIES_MAX)
		put_back(seg, c);
	else
		chunk_failed(seg, c, res < 0 ? res : -EIO);
}

static unsigned int reap(struct spool *sp)
{
	struct io_uring_cqe *cqes[REAP_BATCH];
	unsigned int n;

	if (sp->in_flight == 0)
		return 0;
	n = io_uring_peek_batch_cqe(&sp->ring, cqes, REAP_BATCH);
	for (unsigned int i = 0; i < n; i++)
		complete(sp, io_uring_cqe_get_data(cqes[i]), cqes[i]->res);
	io_uring_cq_advance(&sp->ring, n);
	return n;
}

static void take_slot(struct spool *sp, struct segment *seg)
{
	for (int i = 0; sp->files_registered && i < FILE_SLOTS; i++) {
		if (sp->slot_taken[i])
			continue;
		if (io_uring_register_files_update(&sp->ring, (unsigned int)i, &seg->fd, 1) != 1)
			return;
		sp->slot_taken[i] = true;
		seg->slot = i;
		return;
	}
}

static void free_slot(struct spool *sp, struct segment *seg)
{
	int none = -1;

	if (seg->slot < 0)
		return;
	(void)io_uring_register_files_update(&sp->ring, (unsigned int)seg->slot, &none, 1);
	sp->slot_taken[seg->slot] = false;
	seg->slot = -1;
}

static void prepare_write(
	struct spool *sp, struct segment *seg, struct chunk *c, struct io_uring_sqe *sqe)
{
	const uint8_t *from = c->data + c->done_bytes;
	uint32_t bytes = c->write_bytes - c->done_bytes;
	uint64_t off = c->file_off + c->done_bytes;
	int fd = seg->slot >= 0 ? seg->slot : seg->fd;

	if (sp->buffers_registered)
		io_uring_prep_write_fixed(sqe, fd, from, bytes, off, c->buffer);
	else
		io_uring_prep_write(sqe, fd, from, bytes, off);
	if (seg->slot >= 0)
		sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, c);
}

static unsigned int submit_segment(struct spool *sp, struct segment *seg)
{
	struct stripe *st = seg->stripe;
	struct io_uring_sqe *sqe;
	unsigned int n = 0;

	while (seg->queue != NULL && !seg->broken) {
		if (st->null) {
			chunk_written(seg, pop_front(seg));
			n++;
			continue;
		}
		if (atomic_load_explicit(&st->in_flight, memory_order_relaxed) >=
				sp->stripe_depth ||
			sp->in_flight >= RING_ENTRIES)
			break;
		sqe = io_uring_get_sqe(&sp->ring);
		if (sqe == NULL)
			break;
		if (seg->slot < 0)
			take_slot(sp, seg);
		prepare_write(sp, seg, pop_front(seg), sqe);
		seg->in_flight++;
		sp->in_flight++;
		atomic_fetch_add_explicit(&st->in_flight, 1, memory_order_relaxed);
		n++;
	}
	return n;
}

/*
 * All chunks that did not reach the segment's disk, in their order; the segment has none then. Of
 * those that were tried, a part may be there: one that failed, or one that waited to go on.
 */
static struct chunk *take_unwritten(struct segment *seg)
{
	struct chunk *all = seg->queue;

	for (const struct chunk *c = all; c != NULL; c = c->next)
		if (c->tries != 0 && seg->void_count < SEGMENT_VOIDS_MAX)
			seg->void_offs[seg->void_count++] = c->file_off;
	seg->queue = NULL;
	seg->queue_end = &seg->queue;
	return all;
}

/* Room for an end block is in every chunk: where its padding begins. */
static void make_last(struct chunk *c)
{
	if (c->end_off != 0)
		return;
	c->end_off = c->packed;
	c->used = c->packed + (uint32_t)sizeof(struct wirespool_end);
}

/*
 * The segment's disk failed: what it did not take goes to a new segment on another stripe, in
 * order. Without another stripe it is lost. The old file stays as a ".part" for recovery.
 */
static void redirect(struct segment *seg)
{
	struct stream *s = seg->stream;
	struct chunk *c = take_unwritten(seg), *next;
	bool filling = s->segment == seg;
	struct segment *to = c != NULL || filling ? spool_begin_segment(s, seg->face) : NULL;

	if (filling) {
		s->segment = to;
		if (to == NULL)
			stream_drop_chunk(s);
	}
	for (; c != NULL; c = next) {
		next = c->next;
		seg->pkts -= c->pkts;
		if (to == NULL) {
			drop(seg, c);
			continue;
		}
		unqueue(seg, c);
		if (c->end_off == 0)
			c->used = c->packed;
		if (next == NULL && !filling)
			make_last(c);
		spool_queue(to, c);
	}
	seg->closed = true;
}

/* The writer is done with a segment's file: its keeper seals it, or leaves the ".part". */
static void let_go(struct spool *sp, struct segment *seg, enum keeper_request request)
{
	if (seg->stripe->null) {
		atomic_store_explicit(&seg->state, SEGMENT_SEALED, memory_order_release);
		return;
	}
	free_slot(sp, seg);
	(void)stripe_ask(seg, request);
}

/* Moves a segment on by one step if it can be. Returns how many chunks moved. */
static unsigned int advance(struct spool *sp, struct segment *seg)
{
	switch (segment_state(seg)) {
	case SEGMENT_NEW:
		(void)stripe_ask(seg, KEEPER_OPEN);
		return 0;
	case SEGMENT_OPEN:
		if (!seg->broken) {
			unsigned int n = submit_segment(sp, seg);

			if (seg->closed && seg->queue == NULL && seg->in_flight == 0)
				let_go(sp, seg, seg->abandoned ? KEEPER_LEAVE : KEEPER_SEAL);
			return n;
		}
		if (seg->in_flight != 0)
			return 0;
		redirect(seg);
		let_go(sp, seg, KEEPER_LEAVE);
		return 1;
	case SEGMENT_FAILED:
		if (seg->queue != NULL || seg->stream->segment == seg)
			redirect(seg);
		return 1;
	default:
		return 0;
	}
}

static unsigned int stripe_index(const struct run *run, const struct stripe *st)
{
	unsigned int i = 0;

	while (run->stripes[i] != st)
		i++;
	return i;
}

static void remember_file(const struct segment *seg, bool sealed)
{
	struct stream *s = seg->stream;
	uint64_t n = counter_get(&s->files_count);
	uint64_t entry = file_entry(seg->number, stripe_index(s->run, seg->stripe), sealed);

	if (seg->stripe->null)
		return;
	atomic_store_explicit(&s->files[n % RUN_FILES_KEPT], entry, memory_order_release);
	counter_set(&s->files_count, n + 1);
}

/* A sync that failed after its writes had succeeded: what was counted as written is not. */
static void take_back_written(const struct segment *seg)
{
	struct stream *s = seg->stream;

	counter_set(&s->written_pkts, counter_get(&s->written_pkts) - seg->written_pkts);
	counter_set(&s->written_bytes, counter_get(&s->written_bytes) - seg->captured_bytes);
	counter_set(&s->wire_bytes, counter_get(&s->wire_bytes) - seg->wire_bytes);
	counter_add(&s->lost_disk_pkts, seg->written_pkts);
}

/* Unlinks and frees segments that are done with. */
static void retire(struct stream *s)
{
	struct segment **at = &s->segments;

	while (*at != NULL) {
		struct segment *seg = *at;
		enum segment_state state = segment_state(seg);

		if (state != SEGMENT_SEALED && state != SEGMENT_LEFT && state != SEGMENT_FAILED) {
			at = &seg->next;
			continue;
		}
		if (state == SEGMENT_FAILED && (seg->queue != NULL || s->segment == seg)) {
			at = &seg->next;
			continue;
		}
		if (state == SEGMENT_LEFT && !seg->broken && !seg->abandoned)
			take_back_written(seg);
		if (state != SEGMENT_FAILED)
			remember_file(seg, state == SEGMENT_SEALED);
		*at = seg->next;
		free(seg);
	}
}

unsigned int spool_run(struct spool *sp, struct stream *streams)
{
	unsigned int moved = reap(sp);

	for (struct stream *s = streams; s != NULL; s = s->next) {
		for (struct segment *seg = s->segments; seg != NULL;) {
			struct segment *next = seg->next; /* redirect() puts new ones in front */

			moved += advance(sp, seg);
			seg = next;
		}
		retire(s);
	}
	if (io_uring_sq_ready(&sp->ring) != 0)
		(void)io_uring_submit(&sp->ring);
	return moved;
}

void spool_abandon(struct stream *s)
{
	struct chunk *c, *next;

	for (struct segment *seg = s->segments; seg != NULL; seg = seg->next) {
		enum segment_state state = segment_state(seg);

		if (seg->in_flight != 0 || state == SEGMENT_OPENING || state == SEGMENT_SEALING)
			atomic_store(&s->run->stuck, true);
		if (seg->abandoned)
			continue;
		for (c = take_unwritten(seg); c != NULL; c = next) {
			next = c->next;
			seg->pkts -= c->pkts;
			drop(seg, c);
		}
		/* What is under way may still reach the disk, but nobody waits to see it. */
		counter_add(&s->lost_disk_pkts, seg->pkts - seg->written_pkts);
		seg->abandoned = seg->closed = true;
	}
}
