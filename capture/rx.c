/*
 * The rx lcore: receive, stamp, match, cut, hand over. One thread per queue.
 *
 *   receive()  a burst of up to 64 packets from the queue's source
 *   stamp      one time for the burst, or the source's own per packet
 *   match      per rule of the plan: which packets are in its window, which its filter keeps
 *   reference  a packet that k rules keep is one mbuf with k references
 *   hand over  slots of (mbuf, time, lengths) into the rule's ring, in place
 */
#include "port.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_pause.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

#include "wirespool/units.h"

enum {
	SPINS_BEFORE_YIELD = 256, /* empty polls before a busy lcore lets others run */
	PAUSE_MIN_NS = 1000,
	PAUSE_LIVE_MAX_NS = 200 * 1000,  /* a slow source while a run is live */
	PAUSE_IDLE_MAX_NS = 1000 * 1000, /* no run is live */
};

/* A kernel's packets come late, by as long as its blocks fill: this far behind now all are in. */
static const uint64_t KERNEL_LAG_NS = 100 * 1000 * 1000;

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
		if (b->emptied && now_ns > last_ns + KERNEL_LAG_NS)
			last_ns = now_ns - KERNEL_LAG_NS;
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

static inline uint64_t match(const struct rx_entry *e, const struct burst *b, unsigned int n)
{
	uint64_t in_window = match_window(e, b, n);
	uint64_t kept = in_window;

	if (e->filter != NULL)
		kept &= filter_match(e->filter, b->pkts, n);
	counter_add(&e->ring->in.received_pkts, n);
	counter_add(&e->ring->in.outside_window_pkts, n - bits(in_window));
	counter_add(&e->ring->in.filtered_pkts, bits(in_window ^ kept));
	return kept;
}

static inline void fill_slot(struct packet *slot, const struct rx_entry *e, const struct burst *b,
	unsigned int i, uint32_t flags)
{
	struct rte_mbuf *m = b->pkts[i];
	uint32_t len = m->pkt_len;

	slot->mbuf = m;
	slot->time_ns = b->time_ns[i];
	slot->wire_len = b->own_lengths ? b->wire_len[i] : len;
	if (unlikely(len > SNAPLEN_MAX))
		len = SNAPLEN_MAX;
	slot->cap_len = e->whole ? len
				 : cut_length(&e->cut, e->linktype,
					   rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, len);
	slot->missing = 0;
	slot->flags = b->own_flags ? b->flags[i] : flags;
}

/* Puts the kept packets into the ring, oldest first; those that find no room lose this reference. */
static inline void hand_over(
	const struct rx_entry *e, const struct burst *b, uint64_t kept, uint32_t flags)
{
	struct packet_ring *r = e->ring;
	struct rte_ring_zc_data at;
	unsigned int room, lost;

	room = rte_ring_enqueue_zc_burst_elem_start(
		r->slots, sizeof(struct packet), bits(kept), &at, NULL);
	for (unsigned int k = 0; k < room; k++, kept &= kept - 1) {
		struct packet *slot = k < at.n1 ? (struct packet *)at.ptr1 + k
						: (struct packet *)at.ptr2 + (k - at.n1);

		fill_slot(slot, e, b, (unsigned int)__builtin_ctzll(kept), flags);
		if (k == 0) {
			slot->missing = r->in.missing;
			r->in.missing = 0;
		}
	}
	if (room != 0)
		rte_ring_enqueue_zc_elem_finish(r->slots, room);

	lost = bits(kept);
	if (likely(lost == 0))
		return;
	for (; kept != 0; kept &= kept - 1)
		rte_pktmbuf_free(b->pkts[__builtin_ctzll(kept)]);
	counter_add(&r->in.lost_ring_pkts, lost);
	r->in.missing += lost;
}

/* One reference for each rule that keeps a packet; none: back to its pool. Before any hand over. */
static void take_references(
	const struct burst *b, unsigned int n, const uint64_t kept[], unsigned int rules)
{
	uint64_t once = 0, twice = 0, nobody;

	for (unsigned int r = 0; r < rules; r++) {
		twice |= once & kept[r];
		once |= kept[r];
	}
	for (nobody = mask_of(n) & ~once; nobody != 0; nobody &= nobody - 1)
		rte_pktmbuf_free(b->pkts[__builtin_ctzll(nobody)]);
	for (; twice != 0; twice &= twice - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(twice);
		int16_t references = 0;

		for (unsigned int r = 0; r < rules; r++)
			references = (int16_t)(references + (int16_t)(kept[r] >> i & 1));
		rte_pktmbuf_refcnt_update(b->pkts[i], (int16_t)(references - 1));
	}
}

static void distribute(
	const struct rx_queue *q, const struct rx_list *list, const struct burst *b, unsigned int n)
{
	uint64_t kept[RX_RULES_MAX];

	for (unsigned int r = 0; r < list->count; r++)
		kept[r] = match(&list->entries[r], b, n);
	take_references(b, n, kept, list->count);
	for (unsigned int r = 0; r < list->count; r++)
		if (kept[r] != 0)
			hand_over(&list->entries[r], b, kept[r], q->of->flags);
}

/* A patient source is asked only when every ring can take a whole burst. */
static bool rings_have_room(const struct rx_list *list)
{
	for (unsigned int r = 0; r < list->count; r++)
		if (rte_ring_free_count(list->entries[r].ring->slots) < BURST_PKTS)
			return false;
	return true;
}

/* M1: after the slots. A writer that reads this time finds every packet older than it. */
static void say_seen(const struct rx_list *list, uint64_t until_ns)
{
	for (unsigned int r = 0; r < list->count; r++)
		atomic_store_explicit(
			&list->entries[r].ring->in.seen_until_ns, until_ns, memory_order_release);
}

static void note_gap(struct rx_queue *q, uint64_t tsc)
{
	uint64_t gap_ns;

	if (q->last_tsc != 0 && tsc > q->last_tsc) {
		gap_ns = clock_scale(tsc - q->last_tsc,
			atomic_load_explicit(&capture_clock.mult, memory_order_relaxed));
		if (gap_ns > counter_get(&q->longest_gap_ns))
			counter_set(&q->longest_gap_ns, gap_ns);
	}
	q->last_tsc = tsc;
}

/* HOT PATH. One burst from the source through the plan. Returns how many packets came. */
static unsigned int rx_poll(struct rx_queue *q, const struct rx_list *list, struct burst *b)
{
	uint64_t seen_ns, tsc;
	unsigned int n;

	if (list->count == 0 && q->class->idle != NULL) {
		q->class->idle(q->source);
		return 0;
	}
	if (q->of->patient && !rings_have_room(list))
		return 0;
	n = q->class->receive(q->source, b);
	/* One clock read per burst; its error is the burst's length, see docs/design.md "Time". */
	tsc = rte_rdtsc();
	note_gap(q, tsc);
	if (list->count == 0) {
		rte_pktmbuf_free_bulk(b->pkts, n);
		return n;
	}
	seen_ns = stamp(q, b, n, tsc);
	if (n != 0) {
		distribute(q, list, b, n);
		counter_add(&q->received_pkts, n);
	}
	say_seen(list, seen_ns);
	return n;
}

static void pause_ns(uint64_t ns)
{
	struct timespec t = {.tv_sec = 0, .tv_nsec = (long)ns};

	(void)nanosleep(&t, NULL);
}

/* Nothing came: spin, wait for the source, or sleep a little longer each time. */
static void rest(struct rx_queue *q, bool live, unsigned int empty_polls)
{
	uint64_t max_ns = live ? PAUSE_LIVE_MAX_NS : PAUSE_IDLE_MAX_NS;
	uint64_t ns;

	if (live && q->of->busy_poll) {
		rte_pause();
		if (empty_polls % SPINS_BEFORE_YIELD == 0)
			(void)sched_yield();
		return;
	}
	q->last_tsc = 0;
	if (q->class->wait != NULL && (live || q->class->idle == NULL)) {
		q->class->wait(q->source, PAUSE_IDLE_MAX_NS);
		return;
	}
	ns = (uint64_t)PAUSE_MIN_NS << (empty_polls < 16 ? empty_polls : 16);
	pause_ns(ns < max_ns ? ns : max_ns);
}

static void rx_loop(struct rx_queue *q)
{
	unsigned int empty_polls = 0;
	struct burst b = {0};

	while (!atomic_load_explicit(&q->stop, memory_order_relaxed)) {
		const struct rx_list *list = &rx_plan_now()->lists[q->index];
		bool live = list->count != 0;

		if (rx_poll(q, list, &b) != 0) {
			empty_polls = 0;
		} else {
			if (live && q->class->ended != NULL && q->class->ended(q->source))
				atomic_store_explicit(&q->ended, true, memory_order_release);
			empty_polls++;
		}
		rx_plan_quiescent(q->index);
		if (empty_polls != 0)
			rest(q, live, empty_polls);
	}
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
