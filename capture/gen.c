/*
 * The generator as a port: options, the time of arrival of its frames, and a descriptor
 * ring that overflows like a NIC's.
 *
 *   the link  ---- arrivals() ---->  ring of descriptors  ---- receive() ---->  mbufs
 *                     |                (spans of numbers)
 *                     +-- no room: counted as missed, never built
 *
 * Nothing lies in the ring but the numbers of the frames that arrived: they are built when they
 * are taken, straight into mbufs.
 */
#include "source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_branch_prediction.h>
#include <rte_cycles.h>
#include <rte_malloc.h>

#include "frames_options.h"
#include "wirespool/pcapng.h"
#include "wirespool/units.h"

static const char PREFIX[] = "gen:";
static const char OPTION_NAMES[] = "rate, count, " FRAMES_OPTION_NAMES;

enum {
	DLT_ETHERNET = 1,
	DESCRIPTORS_MIN = 64,
	DESCRIPTORS_MAX = 65536,
	BUSY_BPS = 1000000000, /* from here on, waking up costs more than spinning */
	SLEEP_NS = 50000,      /* shorter sleeps are longer than they say */
};

static const uint64_t RATE_DEFAULT_BPS = 1000000000, RATE_MIN_BPS = 1000,
		      RATE_MAX_BPS = 1000000000000;

struct gen_options {
	uint64_t bps; /* 0: as fast as frames are taken */
	uint64_t count;
	struct frames_options frames;
};

/* Frames that arrived one after the other. */
struct span {
	uint64_t first;
	uint64_t count;
};

struct gen_queue {
	/* Read-only after open() */
	struct frames *frames;
	struct rte_mempool *pool;
	uint64_t bytes_per_cycle; /* of wire, shifted left by RATE_SHIFT; 0: rate=max */
	uint64_t hz;
	uint64_t limit; /* frames in all */
	uint32_t descriptors;
	uint32_t span_mask;

	/* The rx lcore's */
	uint64_t start_tsc; /* 0: nobody has asked for frames yet */
	uint64_t idle_tsc;  /* since when no run is live; 0: one is */
	uint64_t arrived;   /* frames so far, the missed ones too */
	uint64_t waiting;   /* of them in the ring */
	uint64_t head;      /* spans taken */
	uint64_t tail;      /* spans added */
	bool starved;       /* the last time there were not enough mbufs */
	struct span *spans; /* a ring; at most one per waiting frame, as each holds one at least */
} __rte_cache_aligned;

struct gen {
	struct gen_options options;
	struct gen_queue queues[SOURCE_QUEUES_MAX];
};

enum { RATE_SHIFT = 56 };

static bool gen_claims(const char *device)
{
	return strncmp(device, PREFIX, strlen(PREFIX)) == 0;
}

static int parse_rate(struct gen_options *o, const char *value, struct errbuf *err)
{
	uint64_t bps;

	if (strcmp(value, "max") == 0) {
		o->bps = 0;
		return 0;
	}
	if (rate_parse(value, &bps, NULL) < 0 || bps < RATE_MIN_BPS || bps > RATE_MAX_BPS)
		return option_wrong(
			err, "rate", value, "1k..1T bits a second, as in 40G, or 'max'");
	o->bps = bps;
	return 0;
}

static int parse_count(struct gen_options *o, const char *value, struct errbuf *err)
{
	if (number_parse(value, "count", 1, INT64_MAX, &o->count, NULL) < 0)
		return option_wrong(
			err, "count", value, "a whole number in 1..9223372036854775807");
	return 0;
}

static int parse_option(struct gen_options *o, char *text, struct errbuf *err)
{
	char *equals = strchr(text, '=');
	int r;

	if (equals == NULL)
		return fail_with(err, -EINVAL, "gen: '%s' is not NAME=VALUE with a name out of: %s",
			text, OPTION_NAMES);
	*equals = '\0';
	if (strcmp(text, "rate") == 0)
		return parse_rate(o, equals + 1, err);
	if (strcmp(text, "count") == 0)
		return parse_count(o, equals + 1, err);
	r = frames_options_set(&o->frames, text, equals + 1, err);
	if (r == -ENOENT)
		return fail_with(err, -EINVAL, "gen: unknown option '%s', there are: %s", text,
			OPTION_NAMES);
	return r;
}

static int parse(const char *device, struct gen_options *ret, struct errbuf *err)
{
	struct gen_options o = {
		.bps = RATE_DEFAULT_BPS,
		.count = UINT64_MAX,
	};
	const char *at = device + strlen(PREFIX);
	char text[OPTION_TEXT_MAX];
	int r;

	frames_options_init(&o.frames);
	while (*at != '\0') {
		size_t len = strcspn(at, ",");

		if (len >= sizeof(text))
			return fail_with(
				err, -EINVAL, "gen: option '%.*s' is too long", (int)len, at);
		(void)snprintf(text, sizeof(text), "%.*s", (int)len, at);
		r = parse_option(&o, text, err);
		if (r < 0)
			return r;
		at += len + (at[len] == ',');
	}
	r = frames_options_check(&o.frames, err);
	if (r < 0)
		return r;
	*ret = o;
	return 0;
}

static int gen_check(const char *device, struct errbuf *err)
{
	struct gen_options o;

	return parse(device, &o, err);
}

/* Frames are written in one piece, templates even past their end. */
static unsigned int gen_mbuf_room(const char *device)
{
	struct gen_options o;

	if (parse(device, &o, NULL) < 0 || frames_longest_bytes(&o.frames) <= 2048)
		return 0;
	return frames_room_bytes(&o.frames) - RTE_PKTMBUF_HEADROOM;
}

static int gen_socket_id(const char *device)
{
	(void)device;
	return -1;
}

static void check_mbuf(struct rte_mempool *pool, void *ret_known, void *m, unsigned int i)
{
	(void)pool;
	(void)i;
	if (((const struct rte_mbuf *)m)->buf_addr !=
			(uint8_t *)m + FRAME_DATA_OFFSET - RTE_PKTMBUF_HEADROOM ||
		(uintptr_t)m % RTE_CACHE_LINE_SIZE != 0)
		*(bool *)ret_known = false;
}

/* Frames are written without a look at where each mbuf says that its data is. */
static int check_pool(const struct gen_options *o, struct rte_mempool *pool, struct errbuf *err)
{
	unsigned int room = rte_pktmbuf_data_room_size(pool);
	bool known = true;

	if (room < frames_room_bytes(&o->frames))
		return fail_with(err, -EINVAL,
			"gen: mbufs of %u bytes have no room for frames of %" PRIu32, room,
			frames_longest_bytes(&o->frames));
	(void)rte_mempool_obj_iter(pool, check_mbuf, &known);
	if (!known)
		return fail_with(err, -EINVAL,
			"gen: mbufs must be aligned and have their data right behind them; those "
			"of "
			"pool '%s' have %u bytes of private data",
			pool->name, (unsigned int)rte_pktmbuf_priv_size(pool));
	return 0;
}

static int check_open(
	const struct gen_options *o, const struct source_options *so, struct errbuf *err)
{
	uint32_t longest = frames_longest_bytes(&o->frames);

	if (so->queues == 0 || so->queues > SOURCE_QUEUES_MAX)
		return fail_with(err, -EINVAL, "gen: queues must be 1..%d, got %u",
			SOURCE_QUEUES_MAX, so->queues);
	if (longest > so->frame_bytes)
		return fail_with(err, -EINVAL,
			"gen: size %" PRIu32 " is above the port's longest frame, %" PRIu32,
			longest, so->frame_bytes);
	for (unsigned int q = 0; q < so->queues; q++) {
		int r = check_pool(o, so->pools[q], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static void close_queues(struct gen *g)
{
	for (unsigned int q = 0; q < SOURCE_QUEUES_MAX; q++) {
		frames_free(g->queues[q].frames);
		free(g->queues[q].spans);
	}
	rte_free(g);
}

/* Bytes of wire per cycle << RATE_SHIFT: 1T at 1 GHz fits, 1k at 5 GHz is exact enough. */
static uint64_t cycle_rate(uint64_t bps, unsigned int queues, uint64_t hz)
{
	return (uint64_t)(((unsigned __int128)bps << (RATE_SHIFT - 3)) / ((uint64_t)queues * hz));
}

static int open_queue(
	struct gen *g, const struct source_options *so, uint32_t descriptors, unsigned int queue)
{
	struct gen_queue *q = &g->queues[queue];
	unsigned int busy = frames_busy_queues(&g->options.frames, so->queues);
	uint64_t count = g->options.count;

	q->pool = so->pools[queue];
	q->hz = rte_get_tsc_hz();
	q->descriptors = descriptors;
	q->span_mask = rte_align32pow2(descriptors + 1) - 1;
	q->spans = calloc((size_t)q->span_mask + 1, sizeof(*q->spans));
	q->frames = frames_new(&g->options.frames, queue, so->queues);
	if (q->spans == NULL || q->frames == NULL)
		return -ENOMEM;
	if (queue >= busy) {
		q->limit = 0;
		return 0;
	}
	q->limit = count == UINT64_MAX ? count : count / busy + (queue < count % busy);
	if (g->options.bps != 0)
		q->bytes_per_cycle = cycle_rate(g->options.bps, busy, q->hz);
	return 0;
}

static void describe(struct source *s, const struct gen *g, const struct source_options *so)
{
	const struct gen_options *o = &g->options;
	uint32_t lift = frames_lift_bytes(&o->frames);

	(void)snprintf(s->driver, sizeof(s->driver), "gen");
	s->queue_count = so->queues;
	s->clock = "tsc";
	s->linktype = DLT_ETHERNET;
	s->flags = EPB_FLAG_INBOUND;
	s->patient = o->bps == 0;
	s->busy_poll = o->bps >= BUSY_BPS;
	if (lift > o->frames.min_bytes)
		source_warn(s,
			"frames shorter than %" PRIu32 " bytes are sent with %" PRIu32
			": the headers and the stamp take that much",
			lift, lift);
	if (frames_busy_queues(&o->frames, so->queues) < so->queues)
		source_warn(s,
			"%" PRIu32 " flows go to %u of %u queues: both directions of one to the "
			"same",
			o->frames.flows, frames_busy_queues(&o->frames, so->queues), so->queues);
}

static int gen_open(struct source *s, const struct source_options *options, struct errbuf *err)
{
	struct gen_options o;
	struct gen *g;
	int r;

	r = parse(options->device, &o, err);
	if (r == 0)
		r = check_open(&o, options, err);
	if (r < 0)
		return r;
	g = rte_zmalloc_socket("gen", sizeof(*g), RTE_CACHE_LINE_SIZE, options->socket_id);
	if (g == NULL)
		return fail_with(err, -ENOMEM, "gen: no memory for %u queues", options->queues);
	g->options = o;
	s->descriptors = RTE_MIN(RTE_MAX(options->descriptors, (uint32_t)DESCRIPTORS_MIN),
		(uint32_t)DESCRIPTORS_MAX);
	for (unsigned int q = 0; q < options->queues; q++) {
		r = open_queue(g, options, s->descriptors, q);
		if (r < 0) {
			close_queues(g);
			return fail_with(
				err, r, "gen: no memory for %" PRIu32 " flows", o.frames.flows);
		}
		s->queues[q].state = &g->queues[q];
	}
	s->state = g;
	describe(s, g, options);
	return 0;
}

static void gen_close(struct source *s)
{
	if (s->state != NULL)
		close_queues(s->state);
	s->state = NULL;
}

static void add_span(struct gen_queue *q, uint64_t first, uint64_t count)
{
	struct span *last = &q->spans[(q->tail - 1) & q->span_mask];

	if (q->head != q->tail && last->first + last->count == first) {
		last->count += count;
		return;
	}
	q->spans[q->tail & q->span_mask] = (struct span){.first = first, .count = count};
	q->tail++;
}

/* What came over the link since the last time: into the ring as far as it has room, else lost. */
static inline void arrivals(struct source_queue *sq, struct gen_queue *q)
{
	uint64_t now = rte_rdtsc();
	uint64_t total, came, taken;

	if (unlikely(q->start_tsc == 0))
		q->start_tsc = now;
	if (unlikely(q->idle_tsc != 0)) {
		q->start_tsc += now - q->idle_tsc;
		q->idle_tsc = 0;
	}
	total = frames_arrived(q->frames,
		(uint64_t)(((unsigned __int128)(now - q->start_tsc) * q->bytes_per_cycle) >>
			   RATE_SHIFT));
	if (total > q->limit)
		total = q->limit;
	came = total - q->arrived;
	if (came == 0)
		return;
	taken = RTE_MIN(came, q->descriptors - q->waiting);
	if (likely(taken != 0)) {
		add_span(q, q->arrived, taken);
		q->waiting += taken;
	}
	q->arrived = total;
	/* A ring that is full for want of mbufs is not one that was emptied too late. */
	if (unlikely(taken != came))
		counter_add(q->starved ? &sq->no_mbuf_pkts : &sq->missed_pkts, came - taken);
}

/* As many mbufs as there are, up to n; DPDK gives all or none. frames_build() sets them up. */
static inline unsigned int take_mbufs(struct gen_queue *q, struct rte_mbuf **pkts, unsigned int n)
{
	unsigned int wanted = n;

	while (n != 0 && unlikely(rte_mempool_get_bulk(q->pool, (void **)pkts, n) != 0))
		n /= 2;
	q->starved = n != wanted;
	return n;
}

static inline void build_waiting(struct gen_queue *q, struct rte_mbuf **pkts, unsigned int n)
{
	q->waiting -= n;
	while (n != 0) {
		struct span *span = &q->spans[q->head & q->span_mask];
		unsigned int here = (unsigned int)RTE_MIN(span->count, (uint64_t)n);

		frames_build(q->frames, span->first, pkts, here);
		span->first += here;
		span->count -= here;
		if (span->count == 0)
			q->head++;
		pkts += here;
		n -= here;
	}
}

static uint16_t gen_receive(struct source_queue *sq, struct burst *b)
{
	struct gen_queue *q = sq->state;
	unsigned int n;

	b->own_times = b->own_lengths = b->own_flags = false;
	if (q->bytes_per_cycle == 0) {
		n = (unsigned int)RTE_MIN(q->limit - q->arrived, (uint64_t)BURST_PKTS);
		n = take_mbufs(q, b->pkts, n);
		frames_build(q->frames, q->arrived, b->pkts, n);
		q->arrived += n;
		return (uint16_t)n;
	}
	arrivals(sq, q);
	n = (unsigned int)RTE_MIN(q->waiting, (uint64_t)BURST_PKTS);
	n = take_mbufs(q, b->pkts, n);
	build_waiting(q, b->pkts, n);
	return (uint16_t)n;
}

/* The link stands still while nobody records from it. */
static void gen_idle(struct source_queue *sq)
{
	struct gen_queue *q = sq->state;

	if (q->start_tsc != 0 && q->idle_tsc == 0)
		q->idle_tsc = rte_rdtsc();
}

/* To the next frame's arrival; where frames are closer than a sleep is exact, to a few of them. */
static void gen_wait(struct source_queue *sq, uint64_t max_ns)
{
	struct gen_queue *q = sq->state;
	uint64_t ns = max_ns;
	struct timespec t;

	if (q->bytes_per_cycle != 0 && q->start_tsc != 0 && q->waiting == 0 &&
		q->arrived < q->limit) {
		uint64_t due_bytes = frames_wire_bytes(q->frames, q->arrived + 1);
		uint64_t due = (uint64_t)(((unsigned __int128)due_bytes << RATE_SHIFT) /
					  q->bytes_per_cycle);
		uint64_t passed = rte_rdtsc() - q->start_tsc;

		ns = due <= passed
			     ? 0
			     : (uint64_t)((unsigned __int128)(due - passed) * NS_PER_SEC / q->hz);
		ns = RTE_MIN(RTE_MAX(ns, (uint64_t)SLEEP_NS), max_ns);
	}
	t = (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};
	(void)nanosleep(&t, NULL);
}

static bool gen_ended(const struct source_queue *sq)
{
	const struct gen_queue *q = sq->state;

	return q->arrived == q->limit && q->waiting == 0;
}

static void gen_counts(struct source *s, struct source_counts *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int q = 0; q < s->queue_count; q++) {
		ret->missed_pkts += counter_get(&s->queues[q].missed_pkts);
		ret->no_mbuf_pkts += counter_get(&s->queues[q].no_mbuf_pkts);
		ret->error_pkts += counter_get(&s->queues[q].error_pkts);
	}
}

static void gen_link(struct source *s, bool *ret_up, uint64_t *ret_bps)
{
	const struct gen *g = s->state;

	*ret_up = true;
	*ret_bps = g->options.bps;
}

const struct source_class gen_class = {
	.claims = gen_claims,
	.check = gen_check,
	.mbuf_room = gen_mbuf_room,
	.socket_id = gen_socket_id,
	.open = gen_open,
	.close = gen_close,
	.receive = gen_receive,
	.idle = gen_idle,
	.wait = gen_wait,
	.ended = gen_ended,
	.counts = gen_counts,
	.link = gen_link,
};
