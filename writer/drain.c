/*
 * Drain: packets out of rings, in the order of time, into the stream's chunk. The one file of
 * this room that knows DPDK.
 *
 * A stream has one ring per queue that it records from. Each round looks at what every
 * ring holds now and merges it, oldest first, as far as it is known that nothing older
 * can come: a ring that is empty lets the others pass only up to its seen_until_ns.
 */
#include <errno.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

#include "run.h"
#include "wirespool/packet.h"
#include "wirespool/pcapng.h"

enum {
	VIEW_PKTS = 256, /* slots looked at per ring and round */
	FREE_BATCH = 64, /* mbufs freed at a time */
	COPY_BYTES = 64, /* width of the copy; may write this far past the end */
	STREAM_RINGS_MAX = 256,
};

/* What one ring shows in this round, in place. */
struct view {
	struct packet_ring *ring;
	struct rte_ring_zc_data at;
	unsigned int count;
	unsigned int next;
	uint64_t open_ns; /* once next == count: nothing older than this is to come */
};

struct mbuf_batch {
	struct rte_mbuf *mbufs[FREE_BATCH];
	unsigned int count;
};

static inline void batch_free(struct mbuf_batch *b)
{
	rte_pktmbuf_free_bulk(b->mbufs, b->count);
	b->count = 0;
}

static inline void batch_add(struct mbuf_batch *b, struct rte_mbuf *m)
{
	b->mbufs[b->count++] = m;
	if (b->count == FREE_BATCH)
		batch_free(b);
}

static inline const struct packet *view_slot(const struct view *v, unsigned int i)
{
	return i < v->at.n1 ? (const struct packet *)v->at.ptr1 + i
			    : (const struct packet *)v->at.ptr2 + (i - v->at.n1);
}

static inline uint32_t padded(uint32_t n)
{
	return (n + 3) & ~3U;
}

static inline uint8_t *put_option_u32(uint8_t *at, uint16_t code, uint32_t value)
{
	const uint32_t words[2] = {code | 4U << 16, value};

	memcpy(at, words, sizeof(words));
	return at + sizeof(words);
}

static inline uint8_t *put_option_u64(uint8_t *at, uint16_t code, uint64_t value)
{
	const uint32_t head = code | 8U << 16;

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), &value, sizeof(value));
	return at + sizeof(head) + sizeof(value);
}

/*
 * Copies in whole steps of COPY_BYTES, past the end of both: the chunk keeps that much free behind
 * every packet, and the mbuf's buffer is asked for it before.
 */
static inline void copy_wide(uint8_t *to, const uint8_t *from, uint32_t bytes)
{
	for (uint32_t done = 0; done < bytes; done += COPY_BYTES)
		memcpy(to + done, from + done, COPY_BYTES);
}

static inline bool wide_is_safe(const struct rte_mbuf *m)
{
	return m->data_len != 0 && (uint32_t)m->data_off + m->data_len + COPY_BYTES <= m->buf_len;
}

static void copy_segments(uint8_t *to, const struct rte_mbuf *m, uint32_t bytes)
{
	for (; bytes != 0 && m != NULL; m = m->next) {
		uint32_t part = m->data_len < bytes ? m->data_len : bytes;

		memcpy(to, rte_pktmbuf_mtod(m, const uint8_t *), part);
		to += part;
		bytes -= part;
	}
}

static inline uint32_t option_bytes(
	const struct packet_ring *r, const struct packet *p, uint64_t missing)
{
	uint32_t bytes =
		(p->flags != 0 ? 8U : 0) + (missing != 0 ? 12U : 0) + (r->write_queue ? 8U : 0);

	return bytes == 0 ? 0 : bytes + 4;
}

/* Lost before this packet on its interface: in the ring, for want of memory, and in the NIC. */
static inline uint64_t missing_before(struct packet_ring *r, const struct packet *p)
{
	uint64_t nic_lost = r->nic_lost == NULL ? 0 : counter_get(r->nic_lost);
	uint64_t missing = r->out.missing + p->missing;

	if (unlikely(nic_lost != r->out.nic_lost_seen)) {
		missing += nic_lost - r->out.nic_lost_seen;
		r->out.nic_lost_seen = nic_lost;
	}
	return missing;
}

static inline void pack_block(struct chunk *c, const struct packet_ring *r, const struct packet *p,
	uint64_t missing, uint32_t bytes)
{
	const struct rte_mbuf *m = p->mbuf;
	uint8_t *at = c->data + c->used;
	const struct pcapng_packet head = {
		.type = PCAPNG_PACKET,
		.length = bytes,
		.interface_id = r->interface_id,
		.time_high = (uint32_t)(p->time_ns >> 32),
		.time_low = (uint32_t)p->time_ns,
		.cap_len = p->cap_len,
		.wire_len = p->wire_len,
	};
	const uint32_t zero = 0;

	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	if (likely(m->nb_segs == 1 && wide_is_safe(m)))
		copy_wide(at, rte_pktmbuf_mtod(m, const uint8_t *), p->cap_len);
	else
		copy_segments(at, m, p->cap_len);
	memcpy(at + p->cap_len, &zero,
		sizeof(zero)); /* at most 3 of these are padding, the rest is next */
	at += padded(p->cap_len);
	if (p->flags != 0)
		at = put_option_u32(at, EPB_FLAGS, p->flags);
	if (unlikely(missing != 0))
		at = put_option_u64(at, EPB_DROPCOUNT, missing);
	if (r->write_queue)
		at = put_option_u32(at, EPB_QUEUE, r->queue);
	if (p->flags != 0 || missing != 0 || r->write_queue) {
		memcpy(at, &zero, sizeof(zero));
		at += sizeof(zero);
	}
	memcpy(at, &bytes, sizeof(bytes));
}

/* Nobody waits for the disks any more, so nobody waits for chunks that they hold. */
static bool abandoned(const struct stream *s)
{
	return atomic_load_explicit(&s->run->abandoned, memory_order_relaxed);
}

/*
 * One packet into the stream's chunk. False: there is no memory and the ring is patient, so the
 * packet stays where it is. Otherwise it is packed or counted, and its mbuf can go.
 */
static inline bool pack(struct stream *s, struct packet_ring *r, const struct packet *p)
{
	uint64_t missing = missing_before(r, p);
	uint32_t bytes = (uint32_t)sizeof(struct pcapng_packet) + padded(p->cap_len) +
			 option_bytes(r, p, missing) + 4;
	struct chunk *c = s->chunk;

	if (unlikely(s->run->limited) && run_limit_reached(s->run)) {
		counter_add(&r->out.outside_window_pkts, 1);
		return true;
	}
	if (unlikely(c == NULL || c->used + bytes > stream_room(s) || p->time_ns >= s->cut_ns ||
		     p->time_ns < s->last_ns)) {
		int room = stream_make_room(s, bytes, p->time_ns);

		if (room == -ENOMEM && r->patient && !abandoned(s)) {
			r->out.missing = missing - p->missing; /* it comes with its slot again */
			return false;
		}
		if (room < 0) {
			r->out.missing = missing + 1;
			if (room == -ENOMEM)
				counter_add(&r->out.lost_memory_pkts, 1);
			else
				counter_add(&s->lost_disk_pkts, 1);
			return true;
		}
		c = s->chunk;
	}
	if (unlikely(s->run->limited) && !run_take_from_limits(s->run, p->cap_len)) {
		counter_add(&r->out.outside_window_pkts, 1);
		return true;
	}
	pack_block(c, r, p, missing, bytes);
	if (c->pkts == 0)
		c->first_ns = p->time_ns;
	c->last_ns = p->time_ns;
	c->used += bytes;
	c->pkts++;
	c->captured_bytes += p->cap_len;
	c->wire_bytes += p->wire_len;
	s->last_ns = p->time_ns;
	r->out.missing = 0;
	counter_add(&r->out.packed_pkts, 1);
	return true;
}

/* finishing: nothing is put into rings any more, so one that is empty holds up no other. */
static void view_open(struct view *v, struct packet_ring *r, bool finishing)
{
	unsigned int left = 0;
	/* M1: before the slots. Acquire pairs with the release in say_seen() of capture/rx.c. */
	uint64_t seen_ns = atomic_load_explicit(&r->in.seen_until_ns, memory_order_acquire);

	v->ring = r;
	v->next = 0;
	v->count = rte_ring_dequeue_zc_burst_elem_start(
		r->slots, sizeof(struct packet), VIEW_PKTS, &v->at, &left);
	if (v->count != 0) {
		uint64_t newest_ns = view_slot(v, v->count - 1)->time_ns;

		v->open_ns = left != 0 || newest_ns > seen_ns ? newest_ns : seen_ns;
	} else {
		v->open_ns = seen_ns;
	}
	if (finishing && left == 0)
		v->open_ns = UINT64_MAX;
}

/* Up to which time this view lets the others pass: its next packet's, or what may still come. */
static inline uint64_t view_time(const struct view *v)
{
	return v->next < v->count ? view_slot(v, v->next)->time_ns : v->open_ns;
}

/*
 * The view whose next packet is the oldest, and the time up to which it may be emptied. give_way: what
 * may still come on an empty ring is not waited for.
 */
static struct view *oldest_view(
	struct view views[], unsigned int count, bool give_way, uint64_t *ret_bound_ns)
{
	struct view *oldest = NULL;

	for (unsigned int i = 0; i < count; i++)
		if (views[i].next < views[i].count &&
			(oldest == NULL || view_time(&views[i]) < view_time(oldest)))
			oldest = &views[i];
	*ret_bound_ns = UINT64_MAX;
	if (oldest == NULL)
		return NULL;
	for (unsigned int i = 0; i < count; i++) {
		bool empty = views[i].next == views[i].count;

		if (&views[i] != oldest && !(empty && give_way) &&
			view_time(&views[i]) < *ret_bound_ns)
			*ret_bound_ns = view_time(&views[i]);
	}
	return view_time(oldest) <= *ret_bound_ns ? oldest : NULL;
}

/* Packs a view's packets up to bound_ns. False: no memory for a patient ring's packet. */
static bool empty_view(
	struct stream *s, struct view *v, uint64_t bound_ns, struct mbuf_batch *batch)
{
	while (v->next < v->count) {
		const struct packet *p = view_slot(v, v->next);

		if (p->time_ns > bound_ns)
			return true;
		if (!pack(s, v->ring, p))
			return false;
		batch_add(batch, p->mbuf);
		v->next++;
	}
	return true;
}

/* An ordered merge must not let a ring overflow: then order gives way, and a new segment begins. */
static bool any_ring_is_filling(const struct view views[], unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct packet_ring *r = views[i].ring;

		if (views[i].next < views[i].count && !r->patient &&
			rte_ring_count(r->slots) > rte_ring_get_capacity(r->slots) / 4 * 3)
			return true;
	}
	return false;
}

/* Packs oldest first, as far as it may. False: no memory for a patient ring's packet. */
static bool merge_views(struct stream *s, struct view views[], unsigned int count, bool give_way,
	struct mbuf_batch *batch)
{
	uint64_t bound_ns;
	struct view *v;

	while ((v = oldest_view(views, count, give_way, &bound_ns)) != NULL)
		if (!empty_view(s, v, bound_ns, batch))
			return false;
	return true;
}

static void merge(
	struct stream *s, struct view views[], unsigned int count, struct mbuf_batch *batch)
{
	if (merge_views(s, views, count, false, batch) && any_ring_is_filling(views, count))
		(void)merge_views(s, views, count, true, batch);
}

unsigned int stream_drain(struct stream *s)
{
	struct view views[STREAM_RINGS_MAX];
	struct mbuf_batch batch = {.count = 0};
	unsigned int taken = 0;

	/* Acquire pairs with F1 in run_finish(): the rings are looked at after it. */
	bool finishing = atomic_load_explicit(&s->run->finishing, memory_order_acquire);

	for (unsigned int i = 0; i < s->ring_count; i++)
		view_open(&views[i], s->rings[i], finishing);
	if (s->ring_count == 1)
		(void)empty_view(s, &views[0], UINT64_MAX, &batch);
	else
		merge(s, views, s->ring_count, &batch);
	for (unsigned int i = 0; i < s->ring_count; i++) {
		if (views[i].count != 0)
			rte_ring_dequeue_zc_elem_finish(s->rings[i]->slots, views[i].next);
		taken += views[i].next;
	}
	batch_free(&batch);
	return taken;
}

bool stream_rings_empty(const struct stream *s)
{
	for (unsigned int i = 0; i < s->ring_count; i++)
		if (!rte_ring_empty(s->rings[i]->slots))
			return false;
	return true;
}

uint64_t stream_seen_until(const struct stream *s)
{
	uint64_t seen_ns = UINT64_MAX;

	for (unsigned int i = 0; i < s->ring_count; i++) {
		uint64_t ring_ns =
			atomic_load_explicit(&s->rings[i]->in.seen_until_ns, memory_order_acquire);

		if (!rte_ring_empty(s->rings[i]->slots))
			return 0;
		if (ring_ns < seen_ns)
			seen_ns = ring_ns;
	}
	return seen_ns;
}

void run_interface_counts(
	const struct run *r, uint32_t interface_id, struct interface_statistics *ret)
{
	for (unsigned int i = 0; i < r->ring_count; i++) {
		const struct packet_ring *g = r->rings[i];
		uint64_t left_out, received;

		if (g->interface_id != interface_id)
			continue;
		/* What is a part of received is read before it, so that it is never more. */
		left_out = counter_get(&g->in.outside_window_pkts) +
			   counter_get(&g->in.filtered_pkts) +
			   counter_get(&g->out.outside_window_pkts);
		received = counter_get(&g->in.received_pkts);
		if (g->nic_lost != NULL)
			ret->ifdrop_pkts += counter_get(g->nic_lost) - g->nic_lost_base;
		ret->ifrecv_pkts += received;
		ret->filteraccept_pkts += received - left_out;
		ret->osdrop_pkts +=
			counter_get(&g->in.lost_ring_pkts) + counter_get(&g->out.lost_memory_pkts);
		ret->usrdeliv_pkts += counter_get(&g->out.packed_pkts);
	}
	ret->ifrecv_pkts += ret->ifdrop_pkts;
}

void run_rings_ledger(const struct run *r, struct run_ledger *ret)
{
	for (unsigned int i = 0; i < r->ring_count; i++) {
		const struct packet_ring *g = r->rings[i];

		/* What is a part of received is read before it, so that it is never more. */
		ret->outside_window_pkts += counter_get(&g->in.outside_window_pkts) +
					    counter_get(&g->out.outside_window_pkts);
		ret->filtered_pkts += counter_get(&g->in.filtered_pkts);
		ret->lost_ring_pkts += counter_get(&g->in.lost_ring_pkts);
		ret->lost_memory_pkts += counter_get(&g->out.lost_memory_pkts);
		ret->received_pkts += counter_get(&g->in.received_pkts);
	}
}

void drain_thread_enter(void)
{
	(void)rte_thread_register(); /* without it, mbufs go back one by one: slower, not wrong */
}

void drain_thread_leave(void)
{
	rte_thread_unregister();
}
