/*
 * Drain: packets out of rings, in the order of time, into the stream's chunk. The one file of
 * this room that knows DPDK.
 *
 * A stream has one ring per queue that it records from. Each round looks at what every
 * ring holds now and merges it, oldest first, as far as it is known that nothing older
 * can come: a ring that is empty lets the others pass only up to its seen_until_ns.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "run.h"
#include "wirespool/packet.h"
#include "wirespool/pcapng.h"

enum {
	ROUND_PKTS = 512, /* packed at most before their slots go back to the rx lcore */
	DROPCOUNT_BYTES = 12,
	STREAM_RINGS_MAX = 256,
};

/* What one ring shows in this round, in place: whole packets, in slots. */
struct view {
	struct packet_ring *ring;
	uint64_t first; /* number of its first slot */
	uint64_t next;
	uint64_t end;
	uint64_t open_ns; /* once next == end: nothing older than this is to come */
};

/* What is the same for all blocks of a ring, but for their length: options, their end, the length. */
struct block_form {
	uint32_t interface_id;
	uint32_t option_bytes;
	uint32_t fixed_bytes; /* of the block, without the packet's own and padding */
	uint32_t flags;
	uint32_t tail[6];
};

static inline const struct packet *view_packet(const struct view *v)
{
	return packet_ring_slot(v->ring, v->next);
}

static inline uint32_t padded(uint32_t n)
{
	return (n + 3) & ~3U;
}

static inline uint8_t *put_option_u64(uint8_t *at, uint16_t code, uint64_t value)
{
	const uint32_t head = code | 8U << 16;

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), &value, sizeof(value));
	return at + sizeof(head) + sizeof(value);
}

static inline void copy_run(uint8_t *to, const struct packet *slots, uint32_t bytes)
{
	const uint8_t *from = (const uint8_t *)slots;

	for (uint32_t done = 0; done < bytes; done += PACKET_SLOT)
		memcpy(to + done, from + done, PACKET_SLOT);
}

/* By value: from the slots behind the packet's own. Writes up to a slot's end. */
static inline void copy_slots(uint8_t *to, const struct view *v, uint32_t bytes)
{
	const struct packet *slots = packet_ring_slot(v->ring, v->next + 1);
	uint64_t run = packet_ring_run(v->ring, v->next + 1) * PACKET_SLOT;

	if (likely(bytes <= run)) {
		copy_run(to, slots, bytes);
		return;
	}
	copy_run(to, slots, (uint32_t)run);
	copy_run(to + run, v->ring->slots, bytes - (uint32_t)run);
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

static struct block_form form_of(const struct packet_ring *r, uint32_t flags)
{
	struct block_form f = {.interface_id = r->interface_id, .flags = flags};
	unsigned int words = 0;

	if (flags != 0) {
		f.tail[words++] = EPB_FLAGS | 4U << 16;
		f.tail[words++] = flags;
	}
	if (r->write_queue) {
		f.tail[words++] = EPB_QUEUE | 4U << 16;
		f.tail[words++] = r->queue;
	}
	if (words != 0)
		f.tail[words++] = 0; /* end of options */
	f.option_bytes = words * 4;
	f.fixed_bytes = (uint32_t)sizeof(struct pcapng_packet) + f.option_bytes + 4;
	return f;
}

static inline bool nic_lost_more(const struct packet_ring *r)
{
	return r->nic_lost != NULL && counter_get(r->nic_lost) != r->out.nic_lost_seen;
}

/* Lost before this packet on its interface: in the ring, for want of memory, and in the NIC. */
static uint64_t missing_before(struct packet_ring *r, const struct packet *p)
{
	uint64_t missing = r->out.missing + p->missing;

	if (nic_lost_more(r)) {
		uint64_t nic_lost = counter_get(r->nic_lost);

		missing += nic_lost - r->out.nic_lost_seen;
		r->out.nic_lost_seen = nic_lost;
	}
	return missing;
}

static inline void put_pair(uint8_t *at, uint32_t first, uint32_t second)
{
	const uint64_t both = first | (uint64_t)second << 32;

	memcpy(at, &both, sizeof(both));
}

/*
 * A struct pcapng_packet, by pairs: built as a whole it would go over the stack, and be read from
 * there before its parts have arrived. Writes 4 bytes of what comes behind it.
 */
static inline uint8_t *put_head(
	uint8_t *at, const struct block_form *f, const struct packet *p, uint32_t bytes)
{
	static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first is the lower half");
	put_pair(at, PCAPNG_PACKET, bytes);
	put_pair(at + offsetof(struct pcapng_packet, interface_id), f->interface_id,
		(uint32_t)(p->time_ns >> 32));
	put_pair(at + offsetof(struct pcapng_packet, time_low), (uint32_t)p->time_ns, p->cap_len);
	put_pair(at + offsetof(struct pcapng_packet, wire_len), p->wire_len, 0);
	return at + sizeof(struct pcapng_packet);
}

/* Behind the packet's bytes: zeros up to 4, options, the length again. Writes past the block's end. */
static inline void put_tail(
	uint8_t *at, const struct block_form *f, const struct packet *p, uint32_t bytes)
{
	memset(at + p->cap_len, 0, 4);
	at += padded(p->cap_len);
	memcpy(at, f->tail, sizeof(f->tail));
	memcpy(at + f->option_bytes, &bytes, sizeof(bytes));
}

/* A block with everything that can be in one. */
static void pack_block(struct chunk *c, const struct view *v, const struct block_form *f,
	uint64_t missing, uint32_t bytes)
{
	const struct packet *p = view_packet(v);
	uint8_t *at = put_head(c->data + c->used, f, p, bytes);

	if (p->mbuf == NULL)
		copy_slots(at, v, p->cap_len);
	else
		copy_segments(at, p->mbuf, p->cap_len);
	put_tail(at, f, p, bytes);
	if (missing == 0)
		return;
	/* Once more, with the drop count before the other options. */
	at = put_option_u64(at + padded(p->cap_len), EPB_DROPCOUNT, missing);
	memcpy(at, f->tail, sizeof(f->tail));
	at += f->option_bytes;
	if (f->option_bytes == 0) {
		memset(at, 0, 4);
		at += 4;
	}
	memcpy(at, &bytes, sizeof(bytes));
}

/* Nobody waits for the disks any more, so nobody waits for chunks that they hold. */
static bool abandoned(const struct stream *s)
{
	return atomic_load_explicit(&s->run->abandoned, memory_order_relaxed);
}

static inline void count_packed(struct stream *s, struct packet_ring *r, uint64_t pkts,
	uint64_t captured_bytes, uint64_t wire_bytes)
{
	s->chunk->pkts += (uint32_t)pkts;
	s->chunk->captured_bytes += captured_bytes;
	s->chunk->wire_bytes += wire_bytes;
	counter_add(&r->out.packed_pkts, pkts);
}

/*
 * The view's next packet into the stream's chunk, whatever comes with it. False: there is no memory
 * and the ring is patient, so the packet stays where it is. Otherwise it is packed or counted, and its
 * slots can go.
 */
static bool pack(struct stream *s, const struct view *v)
{
	struct packet_ring *r = v->ring;
	const struct packet *p = view_packet(v);
	const struct block_form f = form_of(r, p->flags);
	uint64_t missing = missing_before(r, p);
	uint32_t bytes = f.fixed_bytes + padded(p->cap_len);

	if (missing != 0)
		bytes += DROPCOUNT_BYTES + (f.option_bytes == 0 ? 4U : 0U);
	if (s->run->limited && run_limit_reached(s->run)) {
		counter_add(&r->out.outside_window_pkts, 1);
		return true;
	}
	if (s->chunk == NULL || s->chunk->used + bytes > stream_room(s) ||
		p->time_ns >= s->cut_ns || p->time_ns < s->last_ns) {
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
	}
	if (s->run->limited && !run_take_from_limits(s->run, p->cap_len)) {
		counter_add(&r->out.outside_window_pkts, 1);
		return true;
	}
	pack_block(s->chunk, v, &f, missing, bytes);
	if (s->chunk->pkts == 0)
		s->chunk->first_ns = p->time_ns;
	s->chunk->last_ns = s->last_ns = p->time_ns;
	s->chunk->used += bytes;
	count_packed(s, r, 1, p->cap_len, p->wire_len);
	r->out.missing = 0;
	return true;
}

/*
 * HOT PATH. As many of the view's next packets as go into the chunk in hand one like the other: no
 * loss to tell of, no cut, no limit, in order. What is not so is left to pack(). Returns how many.
 */
static inline unsigned int pack_straight(
	struct stream *s, struct view *v, uint64_t bound_ns, unsigned int most)
{
	struct packet_ring *r = v->ring;
	struct chunk *c = s->chunk;
	uint64_t captured = 0, wire = 0, last_ns = s->last_ns;
	uint64_t until_ns = bound_ns < s->cut_ns ? bound_ns : s->cut_ns - 1;
	unsigned int n = 0;
	struct block_form f;
	uint8_t *at, *end;

	if (c == NULL || s->run->limited || r->out.missing != 0 || nic_lost_more(r))
		return 0;
	f = form_of(r, view_packet(v)->flags);
	at = c->data + c->used;
	end = c->data + stream_room(s);
	if (c->pkts == 0)
		c->first_ns = view_packet(v)->time_ns;
	for (; n < most && v->next < v->end; n++) {
		const struct packet *p = view_packet(v);
		uint32_t bytes = f.fixed_bytes + padded(p->cap_len);

		if (unlikely(at + bytes > end || p->time_ns < last_ns || p->time_ns > until_ns ||
			     p->missing != 0 || p->flags != f.flags || p->mbuf != NULL))
			break;
		put_head(at, &f, p, bytes);
		copy_slots(at + sizeof(struct pcapng_packet), v, p->cap_len);
		put_tail(at + sizeof(struct pcapng_packet), &f, p, bytes);
		at += bytes;
		captured += p->cap_len;
		wire += p->wire_len;
		last_ns = p->time_ns;
		v->next += packet_slots(p);
	}
	if (n == 0)
		return 0;
	c->used = (uint32_t)(at - c->data);
	c->last_ns = s->last_ns = last_ns;
	count_packed(s, r, n, captured, wire);
	return n;
}

/* finishing: nothing is put into rings any more, so one that is empty holds up no other. */
static void view_open(struct view *v, struct packet_ring *r, bool finishing)
{
	/* M1: before the slots. Acquire pairs with the release in publish() of capture/rx.c. */
	uint64_t seen_ns = atomic_load_explicit(&r->told.seen_until_ns, memory_order_acquire);

	v->ring = r;
	v->open_ns = finishing ? UINT64_MAX : seen_ns;
	v->end = packet_ring_filled(r, &v->first);
	v->end += v->first;
	v->next = v->first;
}

/* Up to which time this view lets the others pass: its next packet's, or what may still come. */
static inline uint64_t view_time(const struct view *v)
{
	return v->next < v->end ? view_packet(v)->time_ns : v->open_ns;
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
		if (views[i].next < views[i].end &&
			(oldest == NULL || view_time(&views[i]) < view_time(oldest)))
			oldest = &views[i];
	*ret_bound_ns = UINT64_MAX;
	if (oldest == NULL)
		return NULL;
	for (unsigned int i = 0; i < count; i++) {
		bool empty = views[i].next == views[i].end;

		if (&views[i] != oldest && !(empty && give_way) &&
			view_time(&views[i]) < *ret_bound_ns)
			*ret_bound_ns = view_time(&views[i]);
	}
	return view_time(oldest) <= *ret_bound_ns ? oldest : NULL;
}

/*
 * Packs a view's packets up to bound_ns, *most at most. False: no memory for a patient ring's packet.
 */
static bool empty_view(struct stream *s, struct view *v, uint64_t bound_ns, unsigned int *most)
{
	while (*most != 0 && v->next < v->end) {
		const struct packet *p;
		unsigned int n = pack_straight(s, v, bound_ns, *most);

		*most -= n;
		if (n != 0)
			continue;
		p = view_packet(v);
		if (p->time_ns > bound_ns)
			return true;
		if (!pack(s, v))
			return false;
		v->next += packet_slots(p);
		--*most;
		rte_pktmbuf_free(p->mbuf);
	}
	return true;
}

static uint64_t ring_slots_filled(const struct packet_ring *r)
{
	uint64_t first;

	return packet_ring_filled(r, &first);
}

/* An ordered merge must not let a ring overflow: then order gives way, and a new segment begins. */
static bool any_ring_is_filling(const struct view views[], unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct packet_ring *r = views[i].ring;

		if (views[i].next < views[i].end && !r->patient &&
			ring_slots_filled(r) > r->slot_count / 4 * 3)
			return true;
	}
	return false;
}

/* Packs oldest first, as far as it may. False: no memory for a patient ring's packet. */
static bool merge_views(struct stream *s, struct view views[], unsigned int count, bool give_way,
	unsigned int *most)
{
	uint64_t bound_ns;
	struct view *v;

	while (*most != 0 && (v = oldest_view(views, count, give_way, &bound_ns)) != NULL)
		if (!empty_view(s, v, bound_ns, most))
			return false;
	return true;
}

static void merge(struct stream *s, struct view views[], unsigned int count, unsigned int *most)
{
	if (merge_views(s, views, count, false, most) && any_ring_is_filling(views, count))
		(void)merge_views(s, views, count, true, most);
}

unsigned int stream_drain(struct stream *s)
{
	struct view views[STREAM_RINGS_MAX];
	unsigned int most = ROUND_PKTS;

	/* Acquire pairs with F1 in run_finish(): the rings are looked at after it. */
	bool finishing = atomic_load_explicit(&s->run->finishing, memory_order_acquire);

	for (unsigned int i = 0; i < s->ring_count; i++)
		view_open(&views[i], s->rings[i], finishing);
	stream_see_face(s); /* after the rings: a packet that is late for a file says so before */
	if (s->ring_count == 1)
		(void)empty_view(s, &views[0], UINT64_MAX, &most);
	else
		merge(s, views, s->ring_count, &most);
	for (unsigned int i = 0; i < s->ring_count; i++)
		if (views[i].next != views[i].first)
			packet_ring_release(s->rings[i], views[i].next - views[i].first);
	return ROUND_PKTS - most;
}

uint16_t stream_rest_us(const struct stream *s)
{
	uint16_t us = UINT16_MAX;

	for (unsigned int i = 0; i < s->ring_count; i++)
		us = s->rings[i]->rest_us < us ? s->rings[i]->rest_us : us;
	return us;
}

bool stream_rings_empty(const struct stream *s)
{
	for (unsigned int i = 0; i < s->ring_count; i++)
		if (ring_slots_filled(s->rings[i]) != 0)
			return false;
	return true;
}

uint64_t stream_seen_until(const struct stream *s)
{
	uint64_t seen_ns = UINT64_MAX;

	for (unsigned int i = 0; i < s->ring_count; i++) {
		uint64_t ring_ns = atomic_load_explicit(
			&s->rings[i]->told.seen_until_ns, memory_order_acquire);

		if (ring_slots_filled(s->rings[i]) != 0)
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
			   counter_get(&g->in.filtered_pkts) + counter_get(&g->in.cutoff_pkts) +
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
		ret->cutoff_pkts += counter_get(&g->in.cutoff_pkts);
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
