#include <errno.h>
#include <string.h>

#include "run.h"
#include "spool.h"
#include "wirespool/clock.h"
#include "wirespool/units.h"

enum {
	/* A stream may hold this many times what is free in the pool (Choudhury and Hahne, "Dynamic
	 * queue length thresholds", 1998): alone 4/5 of it, and a newcomer always finds some. */
	SHARE_OF_FREE = 4,
};

static const uint64_t STATISTICS_EVERY_NS = NS_PER_SEC;
static const uint64_t STATISTICS_IDLE_NS = 60 * NS_PER_SEC;
static const uint64_t DAY_NS = 86400 * NS_PER_SEC;

static bool pool_allows(const struct stream *s)
{
	return s->held <= SHARE_OF_FREE * counter_get(&s->pool->free_count);
}

/* When a segment with its first packet at time_ns must end. */
static uint64_t cut_time(const struct run *r, uint64_t time_ns)
{
	uint64_t day_ns = time_ns / DAY_NS * DAY_NS;
	uint64_t next_ns;

	if (r->rotate_ns == 0)
		return UINT64_MAX;
	if (!r->rotate_on_clock)
		return time_ns + r->rotate_ns;
	next_ns = day_ns + ((time_ns - day_ns) / r->rotate_ns + 1) * r->rotate_ns;
	return next_ns < day_ns + DAY_NS ? next_ns : day_ns + DAY_NS;
}

static const struct run_face *face_at(const struct run *r, uint64_t time_ns)
{
	/* Acquire pairs with the release in run_redescribe(). */
	const struct run_face *face = atomic_load_explicit(&r->face, memory_order_acquire);

	while (time_ns < face->from_ns && face->older != NULL)
		face = face->older;
	return face;
}

void stream_see_face(struct stream *s)
{
	const struct run_face *face = atomic_load_explicit(&s->run->face, memory_order_acquire);

	if (face == s->face)
		return;
	s->face = face;
	if (s->segment == NULL || s->segment->face == face)
		return;
	while (face->older != s->segment->face) /* the first of those that it has not */
		face = face->older;
	if (face->from_ns < s->cut_ns)
		s->cut_ns = face->from_ns;
}

static int begin_segment(struct stream *s, uint64_t time_ns)
{
	s->segment = spool_begin_segment(s, face_at(s->run, time_ns));
	if (s->segment == NULL)
		return -ENODEV;
	s->last_ns = time_ns;
	s->cut_ns = cut_time(s->run, time_ns);
	s->face = s->segment->face; /* a newer one ends it */
	stream_see_face(s);
	return 0;
}

/* The mark is filled in when the chunk is queued. */
static int begin_chunk(struct stream *s)
{
	s->chunk = chunk_take(s->pool);
	if (s->chunk == NULL)
		return -ENOMEM;
	s->held++;
	s->chunk->used = sizeof(struct wirespool_chunk);
	s->chunk->begun_ns = clock_monotonic_ns();
	return 0;
}

void stream_drop_chunk(struct stream *s)
{
	if (s->chunk == NULL)
		return;
	counter_add(&s->lost_disk_pkts, s->chunk->pkts);
	s->held--;
	chunk_give(s->pool, s->chunk);
	s->chunk = NULL;
}

/* Packets of the run that are packed or lost by now: once it is over, all that were wanted. */
static uint32_t accounted(const struct run *r)
{
	struct interface_statistics st = {0};

	for (uint32_t i = 0; i < r->interface_count; i++)
		run_interface_counts(r, i, &st);
	for (const struct stream *o = r->streams; o != NULL; o = o->next_in_run)
		st.osdrop_pkts += counter_get(&o->lost_disk_pkts);
	return (uint32_t)(st.osdrop_pkts + st.usrdeliv_pkts);
}

/* Keeps how much of the account the run's last file has: the one with the highest number. */
static void note_told(struct run *r, uint32_t number, uint32_t told)
{
	uint64_t mine = (uint64_t)number << 32 | told;
	uint64_t last = atomic_load(&r->told);

	while (mine > last && !atomic_compare_exchange_weak(&r->told, &last, mine))
		;
}

/* Appends the run's account so far, one statistics block per interface. There is room for it. */
static void pack_statistics(struct stream *s)
{
	uint64_t wall_ns = clock_wall_ns();
	uint64_t now_ns = wall_ns > s->last_ns ? wall_ns : s->last_ns;
	struct chunk *c = s->chunk;

	for (uint32_t i = 0; i < s->run->interface_count; i++) {
		struct interface_statistics st = {.start_ns = s->run->start_ns, .now_ns = now_ns};

		run_interface_counts(s->run, i, &st);
		if (i == 0)
			for (const struct stream *o = s->run->streams; o != NULL;
				o = o->next_in_run)
				st.osdrop_pkts += counter_get(&o->lost_disk_pkts);
		c->used += encode_statistics(c->data + c->used, i, &st);
	}
	s->statistics_ns = clock_monotonic_ns();
}

static void queue_chunk(struct stream *s)
{
	struct chunk *c = s->chunk;

	s->chunk = NULL;
	spool_queue(s->segment, c);
}

/* The chunk in hand becomes the segment's last: statistics, end block. */
static void close_segment(struct stream *s)
{
	note_told(s->run, s->segment->number, accounted(s->run));
	pack_statistics(s);
	s->chunk->end_off = s->chunk->used;
	s->chunk->used += (uint32_t)sizeof(struct wirespool_end);
	queue_chunk(s);
	s->segment = NULL;
}

/* As above, also when there is no chunk in hand. -ENOMEM: try again later. */
static int try_close_segment(struct stream *s)
{
	int r;

	if (s->chunk == NULL) {
		r = begin_chunk(s);
		if (r < 0)
			return r;
	}
	close_segment(s);
	return 0;
}

/* The chunk is full or old enough. It is the segment's last if one more might be too long for it. */
static void end_chunk(struct stream *s)
{
	const struct segment *seg = s->segment;
	uint64_t rotate_bytes = s->run->rotate_bytes;
	bool full = rotate_bytes != 0 &&
		    seg->next_off + s->chunk->used + PCAPNG_ALIGN + CHUNK_BYTES > rotate_bytes;

	if (full || spool_segment_is_late(seg))
		close_segment(s);
	else
		queue_chunk(s);
}

int stream_make_room(struct stream *s, uint32_t bytes, uint64_t time_ns)
{
	int r;

	if (s->segment != NULL && (time_ns >= s->cut_ns || time_ns < s->last_ns)) {
		r = try_close_segment(s);
		if (r < 0)
			return r;
	}
	if (s->chunk != NULL && s->chunk->used + bytes > stream_room(s))
		end_chunk(s);
	if (s->chunk == NULL) {
		if (!pool_allows(s))
			return -ENOMEM;
		r = begin_chunk(s);
		if (r < 0)
			return r;
	}
	if (s->segment == NULL) {
		r = begin_segment(s, time_ns);
		if (r < 0) {
			stream_drop_chunk(s);
			return r;
		}
	}
	return 0;
}

bool run_take_from_limits(struct run *r, uint32_t captured_bytes)
{
	if (!r->limited)
		return true;
	if (atomic_fetch_sub_explicit(&r->pkts_left, 1, memory_order_relaxed) > 0 &&
		atomic_fetch_sub_explicit(&r->bytes_left, captured_bytes, memory_order_relaxed) >=
			(int64_t)captured_bytes)
		return true;
	atomic_store_explicit(&r->limit_reached, true, memory_order_release);
	return false;
}

/* Any change of what the statistics blocks would say. */
static uint64_t statistics_sum(const struct run *r)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < r->interface_count; i++) {
		struct interface_statistics st = {0};

		run_interface_counts(r, i, &st);
		sum += st.ifrecv_pkts + st.ifdrop_pkts + st.osdrop_pkts + st.usrdeliv_pkts;
	}
	return sum;
}

static void keep_statistics(struct stream *s, uint64_t now_ns)
{
	uint64_t age_ns = now_ns - s->statistics_ns;
	uint64_t sum;

	if (s->segment == NULL ||
		age_ns < (s->chunk != NULL ? STATISTICS_EVERY_NS : STATISTICS_IDLE_NS))
		return;
	sum = statistics_sum(s->run);
	if (sum == s->statistics_sum || (s->chunk == NULL && begin_chunk(s) < 0))
		return;
	if (s->chunk->used + s->run->interface_count * STATISTICS_BYTES > stream_room(s))
		return;
	s->statistics_sum = sum;
	pack_statistics(s);
}

static void flush_old(struct stream *s, uint64_t now_ns)
{
	if (s->chunk != NULL && s->segment != NULL &&
		now_ns - s->chunk->begun_ns >= s->run->flush_ns)
		end_chunk(s);
}

/* Of a run that stored something: does its last file tell all that it packed and lost? */
static bool all_is_told(const struct run *r)
{
	return (uint32_t)atomic_load(&r->told) == accounted(r);
}

static bool others_ended(const struct stream *s)
{
	for (const struct stream *o = s->run->streams; o != NULL; o = o->next_in_run)
		if (o != s && !atomic_load_explicit(&o->ended, memory_order_acquire))
			return false;
	return true;
}

/*
 * The last file has the account of the whole run. So a run that stored nothing leaves one file that
 * says so, and one that lost packets, or packed some on another writer, after its last file was closed
 * leaves one more. False: try again later.
 */
static bool make_last_file(struct stream *s)
{
	bool none = atomic_load(&s->run->next_segment) == 0;

	if (!s->first)
		return true;
	if (!none && !others_ended(s))
		return false;
	if (!none && all_is_told(s->run))
		return true;
	if (s->segment == NULL && begin_segment(s, none ? s->run->start_ns : clock_wall_ns()) < 0)
		return true; /* no stripe left: the log says so */
	return try_close_segment(s) == 0;
}

/* The run is over: empties the rings, seals what is open. True when nothing is left to do. */
static bool finish(struct stream *s)
{
	if (!stream_rings_empty(s))
		return false;
	if (s->segment != NULL && try_close_segment(s) < 0)
		return false;
	return s->segments == NULL && make_last_file(s) && s->segments == NULL;
}

/* Nobody waits for the disks any more. */
static bool abandon(struct stream *s)
{
	stream_drop_chunk(s);
	s->segment = NULL;
	spool_abandon(s);
	return stream_rings_empty(s) &&
	       (s->segments == NULL || atomic_load_explicit(&s->run->stuck, memory_order_relaxed));
}

bool stream_housekeep(struct stream *s, uint64_t now_ns)
{
	/* Acquire pairs with F1 in run_finish(): what the rings got before it is seen below. */
	bool finishing = atomic_load_explicit(&s->run->finishing, memory_order_acquire);
	bool abandoned = atomic_load_explicit(&s->run->abandoned, memory_order_acquire);

	if (finishing && (abandoned ? abandon(s) : finish(s))) {
		atomic_store_explicit(&s->ended, true, memory_order_release);
		return true;
	}
	if (finishing)
		return false;
	keep_statistics(s, now_ns);
	flush_old(s, now_ns);
	if (s->segment != NULL && s->cut_ns != UINT64_MAX && stream_seen_until(s) >= s->cut_ns)
		(void)try_close_segment(s);
	return false;
}
