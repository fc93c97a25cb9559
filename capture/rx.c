/*
 * The rx lcore: receive, stamp, match, cut, hand over. One thread per queue.
 *
 *   receive()  a burst of up to 64 packets from the queue's source
 *   stamp      one time for the burst, or the source's own per packet
 *   match      per rule of the plan: which packets are in its window, which its filter keeps
 *   cut        per rule: how much is stored, and so whether a packet goes by value or by reference
 *   reference  a packet that goes by reference to k rules is one mbuf with k references
 *   hand over  slots into the rule's ring, in place; then mbufs that nobody refers to go back
 *   publish    the writer may have them: after the next receive(), when the stores have ended by themselves
 */
#include "port.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_pause.h>

#include "wirespool/units.h"

enum {
	SPINS_BEFORE_YIELD = 256, /* empty polls before a busy lcore lets others run */
	PAUSE_MIN_NS = 1000,
	PAUSE_LIVE_MAX_NS = 200 * 1000, /* a slow source while a run is live */
	PAUSE_PATIENT_NS = 100 * 1000,  /* rings are full, and have room for many bursts after it */
	PAUSE_IDLE_MAX_NS = 1000 * 1000,       /* no run is live, and descriptors must be emptied */
	PAUSE_STILL_MAX_NS = 10 * 1000 * 1000, /* nothing comes unasked, or it wakes us */
};

static inline uint64_t mask_of(unsigned int n)
{
	return n >= 64 ? UINT64_MAX : (1ULL << n) - 1;
}

static inline unsigned int bits(uint64_t mask)
{
	return (unsigned int)__builtin_popcountll(mask);
}

/*
 * Gives each packet its time, never older than the one before on this queue. Returns the time up to which
 * all packets of this queue are in this burst or were in one before.
 */
static uint64_t stamp(struct rx_queue *q, struct burst *b, unsigned int n, uint64_t tsc)
{
	uint64_t now_ns = clock_at(&capture_clock, tsc);
	uint64_t last_ns = q->last_ns;

	if (b->own_times) {
		for (unsigned int i = 0; i < n; i++) {
			if (b->time_ns[i] < last_ns)
				b->time_ns[i] = last_ns;
			last_ns = b->time_ns[i];
		}
		if (b->emptied && now_ns > last_ns + b->late_ns)
			last_ns = now_ns - b->late_ns;
		q->last_ns = last_ns;
		return last_ns;
	}
	if (now_ns < last_ns)
		now_ns = last_ns;
	for (unsigned int i = 0; i < n; i++)
		b->time_ns[i] = now_ns;
	q->last_ns = now_ns;
	return now_ns;
}

/* Which packets lie in [start, end). Times do not decrease: mostly the first and last tell. */
static inline uint64_t match_window(const struct rx_entry *e, const struct burst *b, unsigned int n)
{
	uint64_t mask = 0;

	if (likely(b->time_ns[0] >= e->start_ns && b->time_ns[n - 1] < e->end_ns))
		return mask_of(n);
	for (unsigned int i = 0; i < n; i++)
		if (b->time_ns[i] >= e->start_ns && b->time_ns[i] < e->end_ns)
			mask |= 1ULL << i;
	return mask;
}

/* What one filter keeps of those packets of a burst that are wanted from it. */
static inline void judge(const struct rx_entry *e, const struct filter *f, struct filter_tables *t,
	const struct burst *b, unsigned int n, uint64_t wanted, struct verdict *ret)
{
	const struct filter_burst fb = {
		.pkts = b->pkts,
		.time_ns = b->time_ns,
		.wire_len = b->own_lengths ? b->wire_len : NULL,
		.count = n,
		.queue = e->queue,
	};

	if (f != NULL) {
		filter_judge(f, t, &fb, wanted, ret);
	} else {
		ret->kept = wanted;
		ret->cutoff = ret->recut = 0;
	}
}

/* The choice is exchanged within this burst: those before, and those from then on. */
static __rte_noinline void judge_both(const struct rx_entry *e, const struct burst *b,
	unsigned int n, uint64_t wanted, uint64_t late, struct verdict *ret)
{
	struct verdict next;

	next.reasons = NULL;
	judge(e, e->filter, e->tables, b, n, wanted & ~late, ret);
	judge(e, e->next.filter, e->next.tables, b, n, wanted & late, &next);
	for (uint64_t rest = next.recut; rest != 0; rest &= rest - 1)
		ret->most[__builtin_ctzll(rest)] = next.most[__builtin_ctzll(rest)];
	ret->kept |= next.kept;
	ret->cutoff |= next.cutoff;
	ret->recut |= next.recut;
}

/* Which packets come too late for the choice that was there first. */
static inline uint64_t match_late(const struct rx_entry *e, const struct burst *b, unsigned int n)
{
	uint64_t mask = 0;

	if (likely(b->time_ns[n - 1] < e->switch_ns))
		return 0;
	for (unsigned int i = 0; i < n; i++)
		if (b->time_ns[i] >= e->switch_ns)
			mask |= 1ULL << i;
	return mask;
}

static inline void match(const struct rx_entry *e, const struct burst *b, unsigned int n,
	uint64_t late, struct verdict *ret)
{
	uint64_t in_window = match_window(e, b, n);

	ret->reasons = NULL;
	if (unlikely(late != 0))
		judge_both(e, b, n, in_window, late, ret);
	else
		judge(e, e->filter, e->tables, b, n, in_window, ret);
	counter_add(&e->ring->in.received_pkts, n);
	counter_add(&e->ring->in.outside_window_pkts, n - bits(in_window));
	counter_add(&e->ring->in.cutoff_pkts, bits(ret->cutoff));
	counter_add(&e->ring->in.filtered_pkts, bits(in_window ^ ret->kept ^ ret->cutoff));
}

enum { READ_PAST = 32 }; /* a copy in whole slots may read so far behind a packet */

/* Of a burst, before any rule looks at it. */
struct look {
	uint32_t len[BURST_PKTS]; /* bytes that there are, as far as they can be stored */
	uint64_t plain;     /* in one piece, the only reference: copied, and back to its pool */
	uint64_t long_pkts; /* not to be copied if all of it is wanted */
};

/* What one rule takes of a burst. */
struct share {
	uint64_t kept;
	uint64_t by_ref;  /* of those, by reference */
	uint64_t dropped; /* of those, for want of room */
	const uint32_t *cap_len;
	uint32_t cut_len[BURST_PKTS];
};

static bool is_plain(const struct rte_mbuf *m, const struct rte_mempool *pool)
{
	return m->nb_segs == 1 && m->pool == pool && rte_mbuf_refcnt_read(m) == 1 &&
	       (m->ol_flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) == 0 &&
	       (uint32_t)m->data_off + m->data_len + READ_PAST <= m->buf_len;
}

static __rte_noinline void look_closer(
	struct look *l, const struct burst *b, unsigned int n, const struct rte_mempool *pool)
{
	l->plain = 0;
	for (unsigned int i = 0; i < n; i++) {
		l->len[i] = RTE_MIN(l->len[i], (uint32_t)SNAPLEN_MAX);
		l->plain |= (uint64_t)is_plain(b->pkts[i], pool) << i;
	}
}

/* All of it lies in the mbufs' first lines, which the driver has just written; mostly all are alike. */
static inline void look_at(
	struct look *l, const struct burst *b, unsigned int n, const struct rte_mempool *pool)
{
	uint32_t room = (uint32_t)rte_pktmbuf_data_room_size(
				(struct rte_mempool *)(uintptr_t)pool) -
			READ_PAST,
		 end = 0;
	uint64_t odd = 0, flags = 0, longs = 0;

	for (unsigned int i = 0; i < n; i++) {
		const struct rte_mbuf *m = b->pkts[i];
		uint32_t its_end = (uint32_t)m->data_off + m->data_len;

		l->len[i] = m->pkt_len;
		odd |= (uintptr_t)m->pool ^ (uintptr_t)pool;
		odd |= (uint64_t)((rte_mbuf_refcnt_read(m) ^ 1) | (m->nb_segs ^ 1));
		flags |= m->ol_flags;
		end = RTE_MAX(end, its_end);
	}
	for (unsigned int i = 0; i < n; i++)
		longs |= (uint64_t)(l->len[i] > PACKET_COPY_MAX) << i;
	l->plain = mask_of(n);
	if (unlikely(odd != 0 || end > room ||
		     (flags & (RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL)) != 0))
		look_closer(l, b, n, pool);
	l->long_pkts = longs | ~l->plain;
}

/* How much of each kept packet the rule stores. */
static inline void measure(struct share *s, const struct rx_entry *e, const struct burst *b,
	const struct look *l, uint64_t late, const struct verdict *v)
{
	s->kept = v->kept;
	s->by_ref = s->kept & l->long_pkts;
	s->dropped = 0;
	s->cap_len = l->len;
	if (likely(e->whole && v->recut == 0))
		return;
	for (uint64_t rest = s->kept; rest != 0; rest &= rest - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(rest);
		const struct rte_mbuf *m = b->pkts[i];

		s->cut_len[i] = cut_length((late >> i & 1) != 0 ? &e->next.cut : &e->cut,
			e->linktype, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, l->len[i]);
		if ((v->recut >> i & 1) != 0)
			s->cut_len[i] = RTE_MIN(s->cut_len[i], v->most[i]);
		/* Also where only what is wanted lies in one piece. */
		if (s->cut_len[i] <= PACKET_COPY_MAX && s->cut_len[i] <= m->data_len &&
			(uint32_t)m->data_off + s->cut_len[i] + READ_PAST <= m->buf_len)
			s->by_ref &= ~(1ULL << i);
	}
	s->cap_len = s->cut_len;
}

/*
 * A slot past the caches: it is for another CPU, and this one will not read it again. An ordinary store
 * first fetches the line from the cache of the CPU that read it last, 350 ns where the two are far from
 * each other; streaming stores fill whole lines and fetch nothing. publish() waits for them.
 */
static inline void stream_slot(struct packet *to, const void *from)
{
#if defined(__AVX__)
	_mm256_stream_si256((__m256i *)to, _mm256_loadu_si256((const __m256i *)from));
#elif defined(__SSE2__)
	_mm_stream_si128((__m128i *)to, _mm_loadu_si128((const __m128i *)from));
	_mm_stream_si128((__m128i *)to + 1, _mm_loadu_si128((const __m128i *)from + 1));
#else
	memcpy(to, from, sizeof(*to));
#endif
}

/* Built in registers: written to memory field by field, it could not be read back as a whole at once. */
static inline void put_slot(struct packet *to, const struct packet *p)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lower field is the first");
	typedef uint64_t words __attribute__((vector_size(sizeof(struct packet))));
	words w = {(uintptr_t)p->mbuf, p->time_ns, p->cap_len | (uint64_t)p->wire_len << 32,
		p->missing | (uint64_t)p->flags << 32};

	stream_slot(to, &w);
}

static inline void put_run(struct packet *slots, const uint8_t *from, uint32_t bytes)
{
	for (uint32_t done = 0; done < bytes; done += PACKET_SLOT)
		stream_slot(slots++, from + done);
}

static inline void put_bytes(
	const struct packet_ring *r, uint64_t slot, const uint8_t *from, uint32_t bytes)
{
	uint64_t run = packet_ring_run(r, slot) * PACKET_SLOT;

	if (likely(bytes <= run)) {
		put_run(packet_ring_slot(r, slot), from, bytes);
		return;
	}
	put_run(packet_ring_slot(r, slot), from, (uint32_t)run);
	put_run(r->slots, from + run, bytes - (uint32_t)run);
}

/* Puts the kept packets into the ring, oldest first, as many as find room. */
static inline void hand_over(
	const struct rx_entry *e, const struct burst *b, struct share *s, uint32_t flags)
{
	struct packet_ring *r = e->ring;
	uint64_t kept = s->kept;
	uint64_t room = packet_ring_room(r, BURST_PKTS * PACKET_SLOTS_MAX);
	uint64_t first = r->in.filled, used = 0;
	unsigned int lost;

	for (; kept != 0; kept &= kept - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(kept);
		struct packet p = {
			.mbuf = (s->by_ref >> i & 1) != 0 ? b->pkts[i] : NULL,
			.time_ns = b->time_ns[i],
			.cap_len = s->cap_len[i],
			.wire_len = b->own_lengths ? b->wire_len[i] : b->pkts[i]->pkt_len,
			.missing = (uint32_t)r->in.missing,
			.flags = b->own_flags ? b->flags[i] : flags,
		};

		if (unlikely(used + packet_slots(&p) > room))
			break;
		r->in.missing = 0;
		put_slot(packet_ring_slot(r, first + used), &p);
		if (p.mbuf == NULL)
			put_bytes(r, first + used + 1,
				rte_pktmbuf_mtod(b->pkts[i], const uint8_t *), p.cap_len);
		used += packet_slots(&p);
	}
	packet_ring_fill(r, used);

	lost = bits(kept);
	if (likely(lost == 0))
		return;
	s->dropped = kept & s->by_ref;
	counter_add(&r->in.lost_ring_pkts, lost);
	r->in.missing += lost;
}

/* One reference for each rule that takes a packet so. Before any hand over. */
static uint64_t take_references(
	const struct burst *b, const struct share shares[], unsigned int rules)
{
	uint64_t once = 0, twice = 0;

	for (unsigned int r = 0; r < rules; r++) {
		twice |= once & shares[r].by_ref;
		once |= shares[r].by_ref;
	}
	for (; twice != 0; twice &= twice - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(twice);
		int16_t references = 0;

		for (unsigned int r = 0; r < rules; r++)
			references = (int16_t)(references + (int16_t)(shares[r].by_ref >> i & 1));
		rte_pktmbuf_refcnt_update(b->pkts[i], (int16_t)(references - 1));
	}
	return once;
}

/* References that no ring took. After all hand overs: with the last one the bytes may go, too. */
static inline void drop_references(
	const struct burst *b, const struct share shares[], unsigned int rules)
{
	for (unsigned int r = 0; r < rules; r++)
		for (uint64_t rest = shares[r].dropped; unlikely(rest != 0); rest &= rest - 1)
			rte_pktmbuf_free(b->pkts[__builtin_ctzll(rest)]);
}

/* Those that no ring refers to: back to their pool. */
static inline void give_back(
	const struct burst *b, uint64_t pkts, const struct look *l, struct rte_mempool *pool)
{
	struct rte_mbuf *plain[BURST_PKTS];
	unsigned int n = 0;

	for (uint64_t rest = pkts & l->plain; rest != 0; rest &= rest - 1)
		plain[n++] = b->pkts[__builtin_ctzll(rest)];
	if (n != 0)
		rte_mempool_put_bulk(pool, (void **)plain, n);
	for (uint64_t rest = pkts & ~l->plain; rest != 0; rest &= rest - 1)
		rte_pktmbuf_free(b->pkts[__builtin_ctzll(rest)]);
}

static void distribute(
	const struct rx_queue *q, const struct rx_list *list, const struct burst *b, unsigned int n)
{
	struct share shares[RX_RULES_MAX];
	struct look look;
	struct verdict v;
	uint64_t referred;

	look_at(&look, b, n, q->pool);
	for (unsigned int r = 0; r < list->count; r++) {
		const struct rx_entry *e = &list->entries[r];
		uint64_t late = match_late(e, b, n);

		match(e, b, n, late, &v);
		measure(&shares[r], e, b, &look, late, &v);
	}
	referred = take_references(b, shares, list->count);
	for (unsigned int r = 0; r < list->count; r++)
		if (shares[r].kept != 0)
			hand_over(&list->entries[r], b, &shares[r], q->of->flags);
	drop_references(b, shares, list->count);
	give_back(b, mask_of(n) & ~referred, &look, q->pool);
}

/* A patient source is asked only when every ring can take a whole burst. */
static bool rings_have_room(const struct rx_list *list)
{
	const uint64_t wanted = BURST_PKTS * PACKET_SLOTS_MAX;

	for (unsigned int r = 0; r < list->count; r++)
		if (packet_ring_room(list->entries[r].ring, wanted) < wanted)
			return false;
	return true;
}

/* From one poll to the next: a gap; and work, if the one before brought packets. */
static inline void account(struct rx_queue *q, uint64_t tsc, unsigned int pkts)
{
	uint64_t cycles = tsc - q->last_tsc;

	if (q->last_tsc != 0) {
		if (unlikely(cycles > counter_get(&q->longest_gap_cycles)))
			counter_set(&q->longest_gap_cycles, cycles);
		if (q->last_pkts != 0)
			counter_add(&q->busy_cycles, cycles);
	}
	q->last_tsc = tsc;
	q->last_pkts = pkts;
}

/*
 * What was handed over becomes the writers'. Streaming stores are not in order with others and must be
 * waited for: right behind them that took a fifth of an lcore's time, after the next burst came next to none.
 */
static inline void publish(const struct rx_list *list, uint64_t seen_ns)
{
	rte_wmb();
	for (unsigned int r = 0; r < list->count; r++) {
		struct packet_ring *ring = list->entries[r].ring;

		packet_ring_publish(ring);
		/* M1: after the slots. A writer that reads this time finds every packet older than it. */
		atomic_store_explicit(&ring->told.seen_until_ns, seen_ns, memory_order_release);
	}
}

/* What has come since the poll before; list is still the one of then. */
static inline unsigned int receive(struct rx_queue *q, const struct rx_list *list, struct burst *b)
{
	unsigned int n = 0;

	if (list->count == 0 && q->class->idle != NULL)
		q->class->idle(q->source);
	else if (!q->of->patient || rings_have_room(list))
		n = q->class->receive(q->source, b);
	return n;
}

/* One burst through the plan. */
static inline void take(
	struct rx_queue *q, const struct rx_list *list, struct burst *b, unsigned int n)
{
	if (list->count == 0) {
		rte_pktmbuf_free_bulk(b->pkts, n);
		return;
	}
	distribute(q, list, b, n);
	counter_add(&q->received_pkts, n);
}

static void pause_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = 0, .tv_nsec = (long)ns};

	(void)nanosleep(&t, NULL);
}

/*
 * Is it the end? Else spin, wait for the source, or sleep a little longer each time. A source that can wait
 * does not spin: the kernel may have the completions of disks to do on this CPU.
 */
static void nothing_came(struct rx_queue *q, bool live, unsigned int empty_polls)
{
	bool still = q->class->wait != NULL || q->class->idle != NULL;
	uint64_t max_ns = live ? PAUSE_LIVE_MAX_NS : still ? PAUSE_STILL_MAX_NS : PAUSE_IDLE_MAX_NS;
	uint64_t ns;

	if (live && q->class->ended != NULL && q->class->ended(q->source))
		atomic_store_explicit(&q->ended, true, memory_order_release);
	if (live && q->of->busy_poll) {
		rte_pause();
		if (empty_polls % SPINS_BEFORE_YIELD == 0)
			(void)sched_yield();
		return;
	}
	q->last_tsc = 0;
	if (live && q->of->patient) {
		pause_ns(PAUSE_PATIENT_NS);
		return;
	}
	if (q->class->wait != NULL && (live || q->class->idle == NULL)) {
		q->class->wait(q->source, live ? PAUSE_IDLE_MAX_NS : PAUSE_STILL_MAX_NS);
		return;
	}
	ns = (uint64_t)PAUSE_MIN_NS << (empty_polls < 16 ? empty_polls : 16);
	pause_ns(ns < max_ns ? ns : max_ns);
}

/* HOT PATH, but for the way out when nothing came. */
static void rx_loop(struct rx_queue *q)
{
	const struct rx_list *list = &rx_plan_now()->lists[q->index];
	unsigned int empty_polls = 0;
	struct burst b = {0};
	uint64_t seen_ns = 0;

	while (!atomic_load_explicit(&q->stop, memory_order_relaxed)) {
		unsigned int n = receive(q, list, &b);
		/* One clock read per burst; its error is the burst's length, see docs/design.md "Time". */
		uint64_t tsc = rte_rdtsc();

		account(q, tsc, n);
		publish(list, seen_ns);
		rx_plan_quiescent(q->index);
		list = &rx_plan_now()->lists[q->index];
		if (list->count != 0)
			seen_ns = stamp(q, &b, n, tsc);
		if (likely(n != 0)) {
			take(q, list, &b, n);
			empty_polls = 0;
		} else {
			publish(list, seen_ns);
			nothing_came(q, list->count != 0, ++empty_polls);
		}
	}
	publish(list, seen_ns);
}

static void *rx_main(void *arg)
{
	struct rx_queue *q = arg;
	char name[16];
	int r = rte_thread_register();

	(void)snprintf(name, sizeof(name), "rx-%.8s-%u", q->port->name,
		(unsigned int)(q->source - q->of->queues) % 1000);
	(void)pthread_setname_np(pthread_self(), name);
	(void)prctl(PR_SET_TIMERSLACK, 1UL); /* a pause of 1 us is not to last 50 */
	if (r < 0) {
		atomic_store_explicit(&q->started, -ENOSPC, memory_order_release);
		return NULL;
	}
	rx_plan_enter(q->index);
	atomic_store_explicit(&q->started, 1, memory_order_release);
	rx_loop(q);
	rx_plan_leave(q->index);
	rte_thread_unregister();
	return NULL;
}

int rx_queue_start(struct rx_queue *q, struct errbuf *err)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int r, started;

	(void)pthread_attr_init(&attr);
	if (q->cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((size_t)q->cpu, &cpus);
		(void)pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	r = -pthread_create(&q->thread, &attr, rx_main, q);
	(void)pthread_attr_destroy(&attr);
	if (r < 0)
		return fail_with(err, r, "cannot start the rx lcore of port '%s' on CPU %d: %s",
			q->port->name, q->cpu, strerror(-r));
	while ((started = atomic_load_explicit(&q->started, memory_order_acquire)) == 0)
		pause_ns(PAUSE_LIVE_MAX_NS);
	if (started < 0) {
		(void)pthread_join(q->thread, NULL);
		return fail_with(err, started, "port '%s' needs one more lcore than DPDK has (%d)",
			q->port->name, RTE_MAX_LCORE);
	}
	return 0;
}

void rx_queue_stop(struct rx_queue *q)
{
	atomic_store_explicit(&q->stop, true, memory_order_relaxed);
	(void)pthread_join(q->thread, NULL);
}
