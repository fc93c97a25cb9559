/*
 * Fragments: which datagrams come in pieces, and how those are written.
 *
 *   frame            k           k + 1          k + 2
 *   IP payload       UDP, stamp  body           body     each from its own position on
 *   offset           0           P0             P0 + P1
 *                    |<- P0 ->|0 |<- P1 ->|0    |<- P2 ->|
 *
 * All but the last piece are a multiple of 8 bytes. Frames have the sizes of the pattern to the byte all
 * the same: what is too much is Ethernet's padding, zeros behind the IP packet.
 */
#include "frames_write.h"

#include <stdlib.h>

#include <rte_ip.h>

enum {
	/* Datagrams in a period; prime, so that no usual number of flows beats with it and a flow
	 * is always in pieces or never. */
	PERIOD = 2003,
	OFFSET_UNIT = 8,
	L4_BYTES = 8 + STAMP_BYTES, /* of the first: UDP and stamp */
};

/* Pieces of each datagram of a period: the share exactly, shuffled. */
static void choose_counts(uint8_t counts[PERIOD], uint32_t percent, uint64_t seed)
{
	for (uint32_t i = 0; i < PERIOD; i++)
		counts[i] = i < PERIOD * percent / 100
				    ? (uint8_t)(2 + frames_random(&seed) % (FRAGMENTS_MAX - 1))
				    : 1;
	for (uint32_t i = PERIOD - 1; i > 0; i--) {
		uint32_t other = (uint32_t)(frames_random(&seed) % (i + 1));
		uint8_t swap = counts[i];

		counts[i] = counts[other];
		counts[other] = swap;
	}
}

int frames_fragments_make(struct frames *f, uint32_t percent, uint64_t seed)
{
	uint8_t counts[PERIOD];

	choose_counts(counts, percent, seed ^ PERIOD);
	f->fragments = calloc((size_t)PERIOD * FRAGMENTS_MAX, sizeof(*f->fragments));
	f->body_sums = calloc(BODY_BYTES / 2 + 1, sizeof(*f->body_sums));
	if (f->fragments == NULL || f->body_sums == NULL)
		return -1;
	for (uint32_t i = 0; i < PERIOD; i++)
		for (uint8_t k = 0; k < counts[i]; k++)
			f->fragments[f->fragment_count++] = (struct fragment){
				.datagram = (uint16_t)i, .index = k, .count = counts[i]};
	for (uint32_t i = 0; i < BODY_BYTES / 2; i++)
		f->body_sums[i + 1] = f->body_sums[i] + load16(f->body + 2 * i);
	return 0;
}

void frames_fragments_free(struct frames *f)
{
	free(f->fragments);
	free(f->body_sums);
}

/* Of the body between two positions, the first even. */
static uint64_t sum_body(const struct frames *f, uint32_t from, uint32_t to)
{
	uint64_t sum = f->body_sums[to / 2] - f->body_sums[from / 2];

	return to % 2 == 0 ? sum : sum + sum_bytes(f->body + to - 1, 1);
}

/* A datagram in pieces, as the frame that carries the piece `now` sees it. */
struct pieces {
	uint32_t l4;     /* where IP's payload begins in each of the frames */
	uint32_t offset; /* of this piece */
	uint32_t bytes;  /* of this piece */
	uint32_t total;
	uint64_t rest_sum; /* of the pieces behind the first */
};

static struct pieces cut(
	const struct frames *f, const struct shape *s, const struct fragment *now, bool ipv6)
{
	struct pieces p = {.l4 = s->l4 + (ipv6 ? IPV6_FRAGMENT_BYTES : 0U)};
	/* Where the datagram's first frame is in the pattern, which is shorter than it perhaps. */
	uint32_t at = (f->next.at + f->pattern_len * FRAGMENTS_MAX - now->index) % f->pattern_len;

	for (uint32_t i = 0; i < now->count; i++) {
		uint32_t bytes = f->pattern[(at + i) % f->pattern_len] - p.l4;

		if (i + 1 < now->count)
			bytes -= bytes % OFFSET_UNIT;
		if (i == now->index) {
			p.offset = p.total;
			p.bytes = bytes;
		}
		if (i != 0)
			p.rest_sum += sum_body(f, p.l4, p.l4 + bytes);
		p.total += bytes;
	}
	return p;
}

static void write_ip(const struct shape *s, const struct pieces *p, const struct round *r,
	const uint8_t *t, uint8_t *d, bool ipv6)
{
	bool last = p->offset + p->bytes == p->total;
	uint16_t where, length;

	if (ipv6) {
		uint8_t *fragment = d + s->l4;

		store16(d + s->ip + 4, htobe16((uint16_t)(IPV6_FRAGMENT_BYTES + p->bytes)));
		d[s->ip + 6] = IPPROTO_FRAGMENT;
		fragment[0] = IPPROTO_UDP;
		fragment[1] = 0;
		store16(fragment + 2, htobe16((uint16_t)(p->offset | !last)));
		store32(fragment + 4, htobe32(r->native));
		return;
	}
	where = htobe16((uint16_t)(p->offset / OFFSET_UNIT |
				   (last ? 0U : (unsigned int)RTE_IPV4_HDR_MF_FLAG)));
	length = htobe16((uint16_t)(p->l4 - s->ip + p->bytes));
	store16(d + s->ip + 2, length);
	store16(d + s->ip + 4, r->id);
	store16(d + s->ip + 6, where);
	store16(d + s->ip + 10,
		checksum(fold((uint64_t)load16(t + s->ip + 10) + length + r->id + where)));
}

/* The first piece has the checksum of all. */
static void write_udp(const struct frames *f, const struct shape *s, const struct pieces *p,
	const struct round *r, const uint8_t *t, uint8_t *d)
{
	uint16_t length = htobe16((uint16_t)p->total);
	uint64_t sum = 2ULL * length + load16(t + s->l4 + 6) + r->number_sum + p->rest_sum +
		       sum_body(f, p->l4 + L4_BYTES, p->l4 + p->bytes);

	memcpy(d + p->l4, t + s->l4, L4_BYTES);
	store16(d + p->l4 + 4, length);
	store16(d + p->l4 + 6, udp_checksum(fold(sum)));
	store64(d + p->l4 + 8 + offsetof(struct frame_stamp, number), r->number);
}

static void write_fragment(struct frames *f, const struct fragment *now, uint16_t len,
	const struct round *r, struct rte_mbuf *m)
{
	const unsigned int kind = f->shape_of[f->next.flow];
	const struct shape *s = &f->shapes[kind];
	const uint8_t *t = f->templates + (size_t)f->next.flow * f->template_bytes;
	const struct pieces p = cut(f, s, now, kind & SHAPE_IPV6);
	uint8_t *d = mbuf_data(m);

	write_body(f->body, d, d, 0, len);
	memcpy(d, t, s->l4);
	write_ip(s, &p, r, t, d, kind & SHAPE_IPV6);
	if (now->index == 0)
		write_udp(f, s, &p, r, t, d);
	memset(d + p.l4 + p.bytes, 0, len - p.l4 - p.bytes);
	set_mbuf(m, len);
}

static void seek(struct frames *f, uint64_t first)
{
	uint64_t datagram;

	f->next.frame = first;
	f->next.fragment = (uint32_t)(first % f->fragment_count);
	datagram = first / f->fragment_count * PERIOD + f->fragments[f->next.fragment].datagram;
	f->next.number = datagram / f->flows;
	f->next.flow = (uint32_t)(datagram % f->flows);
	f->next.at = (uint32_t)(first % f->pattern_len);
}

void frames_fragments_build(
	struct frames *f, uint64_t first, struct rte_mbuf *const pkts[], unsigned int n)
{
	struct round r;

	if (unlikely(first != f->next.frame))
		seek(f, first);
	f->next.frame += n;
	round_make(&r, f->next.number);
	for (unsigned int i = 0; i < n; i++) {
		const struct fragment *now = &f->fragments[f->next.fragment];
		uint16_t len = f->pattern[f->next.at];

		if (now->count == 1)
			write_any(f, f->next.flow, len, &r, pkts[i], pkts[i]);
		else
			write_fragment(f, now, len, &r, pkts[i]);
		if (++f->next.at == f->pattern_len)
			f->next.at = 0;
		if (++f->next.fragment == f->fragment_count)
			f->next.fragment = 0;
		if (now->index + 1 == now->count && ++f->next.flow == f->flows) {
			f->next.flow = 0;
			round_make(&r, ++f->next.number);
		}
	}
}
