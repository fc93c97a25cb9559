#pragma once
/*
 * What the builders of frames share: what a frame takes from its number, the mbuf, and frames of any
 * shape. All of it runs on the rx lcore, per frame.
 */

#include <endian.h>
#include <stddef.h>

#include <rte_branch_prediction.h>
#include <rte_prefetch.h>

#include "frames_layout.h"

/* One body for all variants: their flags must be constants, so nothing here stays a call. */
#define HOT inline __attribute__((always_inline))

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "lanes and mbufs are put together for it");

typedef uint64_t quads __attribute__((vector_size(CACHE_LINE)));

/* What is the same for all flows that send their packet of this number. */
struct round {
	words plain;     /* what is added to templates of plain frames */
	uint64_t number; /* big-endian */
	uint32_t native; /* low bits of the number, as the CPU has it */
	uint16_t id;     /* big-endian */
	uint16_t number_sum;
};

static HOT void round_make(struct round *r, uint64_t number)
{
	quads lanes;

	r->number = htobe64(number);
	r->native = (uint32_t)number;
	r->id = htobe16((uint16_t)number);
	r->number_sum = fold((r->number & 0xffffffff) + (r->number >> 32));
	/* The words as the lanes of 64 bits that they lie in: PLAIN_ID is the second of lane 2. */
	lanes = (quads){0, 0, (uint64_t)r->id << 16, r->id, 0, r->number_sum, r->number << 16,
		r->number >> 48};
	r->plain = (words)lanes;
}

/* The checksum of a sum of up to three sums. */
static inline uint16_t checksum(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* For UDP 0 means that there is no checksum; its other form is as good (RFC 768). */
static inline uint16_t udp_checksum(uint32_t sum)
{
	uint16_t c = checksum(sum);

	return c == 0 ? UINT16_MAX : c;
}

/*
 * What a driver does to an mbuf as it lies in its pool (one reference, one segment, none next): sets
 * all that a receiver looks at, in 32 bytes. Half of what rte_pktmbuf_reset() takes.
 */
static HOT void set_mbuf(struct rte_mbuf *m, uint16_t len)
{
	static const struct {
		uint16_t data_off, refcnt, nb_segs, port;
	} rearm = {.data_off = RTE_PKTMBUF_HEADROOM,
		.refcnt = 1,
		.nb_segs = 1,
		.port = RTE_MBUF_PORT_INVALID};
	uint8_t *at = (uint8_t *)m + offsetof(struct rte_mbuf, rearm_data);

	_Static_assert(
		offsetof(struct rte_mbuf, ol_flags) == offsetof(struct rte_mbuf, rearm_data) + 8 &&
			offsetof(struct rte_mbuf, packet_type) ==
				offsetof(struct rte_mbuf, rearm_data) + 16 &&
			offsetof(struct rte_mbuf, pkt_len) ==
				offsetof(struct rte_mbuf, rearm_data) + 20 &&
			offsetof(struct rte_mbuf, data_len) ==
				offsetof(struct rte_mbuf, rearm_data) + 24,
		"the mbuf's layout, as DPDK promises it to drivers");
	memcpy(at, &rearm, sizeof(rearm));
	store64(at + 8, 0);                    /* ol_flags */
	store64(at + 16, (uint64_t)len << 32); /* packet_type, pkt_len */
	store64(at + 24, len);                 /* data_len, vlan_tci, hash */
}

static inline uint8_t *mbuf_data(struct rte_mbuf *m)
{
	return (uint8_t *)m + FRAME_DATA_OFFSET;
}

/*
 * In whole lines, past the end: frames of many sizes are then no branches that nobody can predict. Each line
 * is one of a cache miss when mbufs come from another core: those of a frame to come, at ahead,
 * are fetched meanwhile.
 */
static HOT void write_body(
	const uint8_t *body, uint8_t *d, const uint8_t *ahead, uint32_t from, uint16_t len)
{
	for (uint32_t at = from; at < len; at += CACHE_LINE) {
		rte_prefetch0_write(ahead + at);
		memcpy(__builtin_assume_aligned(d + at, CACHE_LINE),
			__builtin_assume_aligned(body + at, CACHE_LINE), CACHE_LINE);
	}
}

/* The payload's beginning; returns what it adds to the flow's sum. */
static inline uint64_t write_stamp(const struct frames *f, const struct shape *s, const uint8_t *t,
	uint8_t *d, const struct size_info *i, const struct round *r)
{
	if (likely(i->stamped)) {
		store64(d + s->payload + offsetof(struct frame_stamp, number), r->number);
		return r->number_sum;
	}
	/* No room: body instead, and the stamp's part taken out of the flow's sum again. */
	memcpy(d + s->payload, f->body + s->payload, STAMP_BYTES);
	return (uint16_t)~fold(sum_bytes(t + s->payload, 8));
}

/*
 * Lengths and checksums of the outer headers. VXLAN has none for UDP (RFC 7348). ipv4_l4_length is that of the
 * inner packet if it is IPv4: it is in the pseudo header alone, whose opposite is what the inner
 * packet adds to the outer sum; in an IPv6 header it stands as well.
 */
static inline void write_outer_lengths(const struct frames *f, const struct shape *s,
	const uint8_t *t, uint8_t *d, uint16_t len, uint16_t ipv4_l4_length)
{
	uint16_t ip_length = htobe16((uint16_t)(len - s->outer_ip));
	uint16_t udp_length = htobe16((uint16_t)(len - s->outer_l4));
	uint64_t sum = 2ULL * udp_length + (uint16_t)~ipv4_l4_length;

	store16(d + s->outer_ip + 2, ip_length);
	store16(d + s->outer_ip + 10, checksum((uint32_t)load16(t + s->outer_ip + 10) + ip_length));
	if (f->tunnel == TUNNEL_GRE || f->tunnel == TUNNEL_IPIP)
		return;
	store16(d + s->outer_l4 + 4, udp_length);
	if (f->tunnel == TUNNEL_GTP_U) {
		uint16_t inner_length = htobe16((uint16_t)(len - s->ip));

		store16(d + s->tunnel + 2, inner_length);
		sum += inner_length;
	}
	if (f->tunnel != TUNNEL_VXLAN)
		store16(d + s->outer_l4 + 6, udp_checksum(fold(sum + load16(t + s->outer_l4 + 6))));
	else
		store16(d + s->outer_l4 + 6, 0);
}

static HOT void write_any(const struct frames *f, uint32_t flow, uint16_t len,
	const struct round *r, struct rte_mbuf *m, struct rte_mbuf *ahead)
{
	const unsigned int kind = f->shape_of[flow];
	const struct shape *s = &f->shapes[kind];
	const uint8_t *t = f->templates + (size_t)flow * f->template_bytes;
	const struct size_info *i = &f->sizes[kind][len - f->min_stored];
	uint8_t *d = mbuf_data(m);
	uint64_t sum = i->sum;

	for (uint32_t at = 0; at < f->template_bytes; at += CACHE_LINE)
		memcpy(d + at, t + at, CACHE_LINE);
	write_body(f->body, d, mbuf_data(ahead), f->template_bytes, len);
	if (s->outer_ip != 0)
		write_outer_lengths(f, s, t, d, len, kind & SHAPE_IPV6 ? 0 : i->l4_length);
	sum += write_stamp(f, s, t, d, i, r);
	if (kind & SHAPE_IPV6) {
		store16(d + s->ip + 4, i->ip_length);
	} else {
		store16(d + s->ip + 2, i->ip_length);
		store16(d + s->ip + 4, r->id);
		store16(d + s->ip + 10,
			checksum((uint32_t)load16(t + s->ip + 10) + i->ip_length + r->id));
	}
	if (kind & SHAPE_TCP) {
		/* Grows by the longest payload, so that streams of one size have no gap. */
		uint32_t seq = htobe32(r->native * (uint32_t)(f->max_stored - s->payload));

		store32(d + s->l4 + 4, seq);
		store16(d + s->l4 + 16, checksum(fold(sum + seq + load16(t + s->l4 + 16))));
	} else {
		store16(d + s->l4 + 4, i->l4_length);
		store16(d + s->l4 + 6, udp_checksum(fold(sum + load16(t + s->l4 + 6))));
	}
	set_mbuf(m, len);
}
