/*
 * How a frame is made
 *
 *   | Ethernet | (VLAN) | IPv4 or IPv6 | UDP or TCP | stamp | body ...
 *   0                                               payload
 *   |<------------- template, 64 or 128 bytes -------->|<- body, same for all ->|
 *
 * Each flow has a template in which all but lengths, number and checksums is ready. Where
 * a checksum belongs, the template holds the one's complement sum of what never changes in
 * that flow, so that the frame's checksum is that plus what does change: the length and
 * the body, summed beforehand for every size, and the number, the same for a whole round of
 * flows. (RFC 1071: such a sum may be taken in any order, and in either byte order.)
 */
#include "frames.h"

#include <assert.h>
#include <endian.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

enum {
	CACHE_LINE = 64,
	STAMP_BYTES = sizeof(struct frame_stamp),
	BODY_BYTES = FRAME_BYTES_MAX + CACHE_LINE,
	SHAPES = 4, /* v4/UDP, v4/TCP, v6/UDP, v6/TCP */
	PLAIN = 0,  /* v4/UDP */
	SHAPE_TCP = 1,
	SHAPE_IPV6 = 2,
	PORT_SERVER = 9,
	PORT_CLIENT = 49152,
	CLIENT_HOSTS = 65534,
	SERVER_HOSTS = 250,
	/* Prime (times 12 for IMIX), so that no usual number of flows beats with it and gives
	 * a flow always the same sizes. */
	RANGE_PATTERN = 8191,
	IMIX_PATTERN = 12 * 359,
	PLAIN_TEMPLATE = 64,
	TEMPLATE = 128,
};

/* Where things are in the frames of a kind. */
struct shape {
	uint16_t ip;
	uint16_t l4;
	uint16_t payload;
};

/* What depends on a frame's size. */
struct size_info {
	uint16_t ip_length; /* as the IP header wants it, big-endian */
	uint16_t l4_length; /* big-endian */
	uint16_t sum;       /* of the body and the lengths in the pseudo and UDP headers */
	uint16_t stamped;
};

/* Where in the flows, the numbers and the sizes the next frame is. */
struct cursor {
	uint64_t frame;
	uint64_t number;
	uint32_t flow;
	uint32_t at; /* in the pattern */
};

struct frames {
	/* Read-only after frames_new() */
	uint32_t flows; /* of this queue */
	uint32_t template_bytes;
	uint8_t *templates;
	uint8_t *shape_of; /* each flow's */
	struct shape shapes[SHAPES];
	struct size_info
		*sizes[SHAPES]; /* by stored bytes - min_stored; NULL: no flow has the shape */
	uint32_t pattern_len;
	uint16_t *pattern;    /* stored bytes of each frame of a period */
	uint32_t *wire_after; /* wire bytes from the period's start to the frame's end */
	uint32_t period_bytes;
	uint16_t min_stored;
	uint16_t max_stored;
	bool plain;    /* all flows are v4/UDP without a tag: offsets are known to the compiler */
	uint8_t *body; /* by position in the frame */

	/* The rx lcore's */
	struct cursor next;
	uint64_t periods; /* whole ones that arrived */
	uint64_t periods_bytes;
	uint32_t arrived_at; /* frames of the period now that arrived */
};

/* The shape of plain frames, for the compiler. */
static const struct shape PLAIN_SHAPE = {.ip = 14, .l4 = 34, .payload = 42};

static uint64_t random_next(uint64_t *state)
{
	/* splitmix64, https://prng.di.unimi.it/splitmix64.c */
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static uint64_t sum_bytes(const uint8_t *data, size_t len)
{
	uint64_t sum = 0;
	uint16_t word;

	for (; len >= 2; data += 2, len -= 2) {
		memcpy(&word, data, 2);
		sum += word;
	}
	if (len != 0) {
		word = 0;
		memcpy(&word, data, 1);
		sum += word;
	}
	return sum;
}

static inline uint16_t load16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline void store16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, sizeof(v));
}

static inline void store32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

static inline void store64(uint8_t *at, uint64_t v)
{
	memcpy(at, &v, sizeof(v));
}

static struct shape shape_make(unsigned int kind, uint32_t vlan)
{
	struct shape s;

	s.ip = (uint16_t)(RTE_ETHER_HDR_LEN + (vlan != 0 ? RTE_VLAN_HLEN : 0));
	s.l4 = (uint16_t)(s.ip + (kind & SHAPE_IPV6 ? sizeof(struct rte_ipv6_hdr)
						    : sizeof(struct rte_ipv4_hdr)));
	s.payload = (uint16_t)(s.l4 + (kind & SHAPE_TCP ? sizeof(struct rte_tcp_hdr)
							: sizeof(struct rte_udp_hdr)));
	return s;
}

uint32_t frames_lift_bytes(const struct frames_options *o)
{
	unsigned int kind = SHAPE_IPV6 | (o->tcp_percent != 0 ? SHAPE_TCP : 0);

	if (o->ipv6_percent == 0)
		return 0;
	return (uint32_t)shape_make(kind, o->vlan).payload + STAMP_BYTES + FRAME_FCS_BYTES;
}

unsigned int frames_busy_queues(const struct frames_options *o, unsigned int queues)
{
	uint32_t conversations = o->flows / 2 + o->flows % 2;

	return conversations < queues ? conversations : queues;
}

/* True for percent of 100 numbers, evenly spread. */
static bool is_share(uint32_t n, uint32_t percent)
{
	return ((uint64_t)n + 1) * percent / 100 != (uint64_t)n * percent / 100;
}

/* IPv6 and TCP are spread apart from each other: both at 50 % make four kinds, not two. */
static unsigned int kind_of(const struct frames_options *o, uint32_t conversation)
{
	uint32_t v6_before = (uint32_t)((uint64_t)conversation * o->ipv6_percent / 100);

	if (is_share(conversation, o->ipv6_percent))
		return SHAPE_IPV6 | (is_share(v6_before, o->tcp_percent) ? SHAPE_TCP : 0);
	return is_share(conversation - v6_before, o->tcp_percent) ? SHAPE_TCP : 0;
}

static void write_ethernet(uint8_t *t, const struct frames_options *o, bool back, uint16_t type)
{
	static const uint8_t MACS[2][6] = {{0x02, 0, 0, 0, 0, 1}, {0x02, 0, 0, 0, 0, 2}};

	memcpy(t, MACS[!back], 6);
	memcpy(t + 6, MACS[back], 6);
	t += 12;
	if (o->vlan != 0) {
		store16(t, htobe16(RTE_ETHER_TYPE_VLAN));
		store16(t + 2, htobe16((uint16_t)o->vlan));
		t += RTE_VLAN_HLEN;
	}
	store16(t, htobe16(type));
}

/* Returns the sum of the pseudo header without its length. */
static uint64_t write_ipv4(uint8_t *t, uint32_t conversation, bool back, uint8_t protocol)
{
	uint32_t client = htobe32(0x0a010001 + conversation % CLIENT_HOSTS);
	uint32_t server = htobe32(0x0a020001 + conversation % SERVER_HOSTS);
	struct rte_ipv4_hdr ip = {
		.version_ihl = RTE_IPV4_VHL_DEF,
		.time_to_live = 64,
		.next_proto_id = protocol,
		.src_addr = back ? server : client,
		.dst_addr = back ? client : server,
	};

	/* The flow's part of the sum; length and identification come with the frame. */
	ip.hdr_checksum = fold(sum_bytes((const uint8_t *)&ip, sizeof(ip)));
	memcpy(t, &ip, sizeof(ip));
	return sum_bytes((const uint8_t *)&ip.src_addr, 8) + htobe16(protocol);
}

static uint64_t write_ipv6(uint8_t *t, uint32_t conversation, bool back, uint8_t protocol)
{
	static const uint8_t NET[4] = {0x20, 0x01, 0x0d, 0xb8};
	uint8_t ends[2][16] = {{0}, {0}}; /* client, server */

	memcpy(ends[0], NET, sizeof(NET));
	ends[0][5] = 1;
	store32(ends[0] + 12, htobe32(conversation + 1));
	memcpy(ends[1], NET, sizeof(NET));
	ends[1][5] = 2;
	store32(ends[1] + 12, htobe32(conversation % SERVER_HOSTS + 1));

	store32(t, htobe32(0x60000000));
	t[6] = protocol;
	t[7] = 64;
	memcpy(t + 8, ends[back], 16);
	memcpy(t + 24, ends[!back], 16);
	return sum_bytes(t + 8, 32) + htobe16(protocol);
}

static void write_template(struct frames *f, uint32_t index, uint32_t flow, unsigned int kind,
	const struct frames_options *o)
{
	uint8_t *t = f->templates + (size_t)index * f->template_bytes;
	const struct shape *s = &f->shapes[kind];
	uint8_t protocol = kind & SHAPE_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	uint32_t conversation = flow / 2;
	uint16_t client = (uint16_t)(PORT_CLIENT + conversation / CLIENT_HOSTS);
	bool back = flow % 2 != 0;
	struct frame_stamp stamp = {.magic = htobe32(FRAME_STAMP_MAGIC), .flow = htobe32(flow)};
	uint64_t sum;

	memcpy(t, f->body, f->template_bytes);
	memset(t, 0, s->payload);
	write_ethernet(t, o, back, kind & SHAPE_IPV6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	sum = kind & SHAPE_IPV6 ? write_ipv6(t + s->ip, conversation, back, protocol)
				: write_ipv4(t + s->ip, conversation, back, protocol);
	store16(t + s->l4, htobe16(back ? PORT_SERVER : client));
	store16(t + s->l4 + 2, htobe16(back ? client : PORT_SERVER));
	if (kind & SHAPE_TCP) {
		store32(t + s->l4 + 8, htobe32(1)); /* acknowledgement */
		t[s->l4 + 12] = 5 << 4;
		t[s->l4 + 13] = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG;
		store16(t + s->l4 + 14, htobe16(UINT16_MAX));
	}
	memcpy(t + s->payload, &stamp, sizeof(stamp));
	sum += sum_bytes(t + s->l4, (size_t)(s->payload - s->l4));
	sum += sum_bytes((const uint8_t *)&stamp, sizeof(stamp));
	store16(t + s->l4 + (kind & SHAPE_TCP ? 16 : 6), fold(sum));
}

/* Plain frames of a single size have its lengths in their templates already, and in their sums. */
static void add_size(uint8_t *t, const struct size_info *i)
{
	uint8_t *ip_sum = t + PLAIN_SHAPE.ip + 10, *l4_sum = t + PLAIN_SHAPE.l4 + 6;

	store16(t + PLAIN_SHAPE.ip + 2, i->ip_length);
	store16(ip_sum, fold((uint64_t)load16(ip_sum) + i->ip_length));
	store16(t + PLAIN_SHAPE.l4 + 4, i->l4_length);
	store16(l4_sum, fold((uint64_t)load16(l4_sum) + i->sum));
}

/* Sums over the body between any two positions come from sums over its beginning. */
static int make_sizes(struct frames *f, unsigned int kind)
{
	const struct shape *s = &f->shapes[kind];
	struct size_info *sizes;

	if (f->sizes[kind] != NULL)
		return 0;
	sizes = calloc((size_t)(f->max_stored - f->min_stored + 1), sizeof(*sizes));
	if (sizes == NULL)
		return -1;
	for (uint32_t len = f->min_stored; len <= f->max_stored; len++) {
		struct size_info *i = &sizes[len - f->min_stored];
		uint16_t l4_len = (uint16_t)(len - s->l4);
		bool stamped = len >= (uint32_t)(s->payload + STAMP_BYTES);
		uint32_t from = (uint32_t)(s->payload + (stamped ? STAMP_BYTES : 0));

		i->l4_length = htobe16(l4_len);
		i->ip_length = kind & SHAPE_IPV6 ? i->l4_length : htobe16((uint16_t)(len - s->ip));
		i->stamped = stamped;
		i->sum = fold(sum_bytes(f->body + from, len - from) +
			      (kind & SHAPE_TCP ? 1ULL : 2ULL) * i->l4_length);
	}
	f->sizes[kind] = sizes;
	return 0;
}

static void fill_imix(uint16_t *pattern, uint32_t lift, uint64_t seed)
{
	for (uint32_t i = 0; i < IMIX_PATTERN; i++) {
		uint32_t bytes = i % 12 < 7 ? 64 : i % 12 < 11 ? 594 : 1518;

		pattern[i] = (uint16_t)((bytes < lift ? lift : bytes) - FRAME_FCS_BYTES);
	}
	for (uint32_t i = IMIX_PATTERN - 1; i > 0; i--) {
		uint32_t other = (uint32_t)(random_next(&seed) % (i + 1));
		uint16_t swap = pattern[i];

		pattern[i] = pattern[other];
		pattern[other] = swap;
	}
}

static int make_pattern(struct frames *f, const struct frames_options *o)
{
	uint32_t lift = frames_lift_bytes(o);
	uint64_t seed = o->seed;
	uint32_t wire = 0;

	f->pattern_len = o->imix ? IMIX_PATTERN : o->min_bytes == o->max_bytes ? 1 : RANGE_PATTERN;
	f->pattern = calloc(f->pattern_len, sizeof(*f->pattern));
	f->wire_after = calloc(f->pattern_len, sizeof(*f->wire_after));
	if (f->pattern == NULL || f->wire_after == NULL)
		return -1;
	if (o->imix)
		fill_imix(f->pattern, lift, seed);
	for (uint32_t i = 0; i < f->pattern_len; i++) {
		uint32_t span = o->max_bytes - o->min_bytes + 1;

		if (!o->imix) {
			uint32_t bytes = o->min_bytes + (uint32_t)(random_next(&seed) % span);

			f->pattern[i] = (uint16_t)((bytes < lift ? lift : bytes) - FRAME_FCS_BYTES);
		}
		wire += (uint32_t)f->pattern[i] + FRAME_FCS_BYTES + FRAME_GAP_BYTES;
		f->wire_after[i] = wire;
	}
	f->period_bytes = wire;
	return 0;
}

static uint8_t *make_body(uint64_t seed)
{
	uint8_t *body = aligned_alloc(CACHE_LINE, BODY_BYTES);

	if (body == NULL)
		return NULL;
	for (size_t i = 0; i < BODY_BYTES; i += 8)
		store64(body + i, random_next(&seed));
	return body;
}

static int make_flows(
	struct frames *f, const struct frames_options *o, unsigned int queue, unsigned int queues)
{
	uint32_t index = 0;

	for (uint32_t c = queue; c < o->flows / 2 + o->flows % 2; c += queues) {
		unsigned int kind = kind_of(o, c);

		if (make_sizes(f, kind) < 0)
			return -1;
		for (uint32_t flow = 2 * c; flow < 2 * c + 2 && flow < o->flows; flow++) {
			f->shape_of[index] = (uint8_t)kind;
			write_template(f, index, flow, kind, o);
			if (f->plain && f->pattern_len == 1)
				add_size(f->templates + (size_t)index * f->template_bytes,
					f->sizes[kind]);
			index++;
		}
	}
	return 0;
}

static uint32_t count_flows(const struct frames_options *o, unsigned int queue, unsigned int queues)
{
	uint32_t n = 0;

	for (uint32_t c = queue; c < o->flows / 2 + o->flows % 2; c += queues)
		n += 2 * c + 1 < o->flows ? 2 : 1;
	return n;
}

struct frames *frames_new(const struct frames_options *o, unsigned int queue, unsigned int queues)
{
	struct frames *f = aligned_alloc(CACHE_LINE, (sizeof(*f) + 63) & ~63UL);

	if (f == NULL)
		return NULL;
	memset(f, 0, sizeof(*f));
	f->plain = o->ipv6_percent == 0 && o->tcp_percent == 0 && o->vlan == 0;
	for (unsigned int k = 0; k < SHAPES; k++)
		f->shapes[k] = shape_make(k, o->vlan);
	f->flows = count_flows(o, queue, queues);
	f->template_bytes = f->plain ? PLAIN_TEMPLATE : TEMPLATE;
	/* Not from DPDK's memory, which without huge pages is what was planned for mbufs. */
	f->templates = aligned_alloc(CACHE_LINE, ((size_t)f->flows + 1) * f->template_bytes);
	f->shape_of = calloc((size_t)f->flows + 1, 1);
	f->body = make_body(o->seed ^ FRAME_STAMP_MAGIC);
	if (f->templates == NULL || f->shape_of == NULL || f->body == NULL ||
		make_pattern(f, o) < 0)
		goto free_frames;
	f->min_stored = UINT16_MAX;
	for (uint32_t i = 0; i < f->pattern_len; i++) {
		if (f->pattern[i] < f->min_stored)
			f->min_stored = f->pattern[i];
		if (f->pattern[i] > f->max_stored)
			f->max_stored = f->pattern[i];
	}
	if (make_flows(f, o, queue, queues) < 0)
		goto free_frames;
	return f;
free_frames:
	frames_free(f);
	return NULL;
}

void frames_free(struct frames *f)
{
	if (f == NULL)
		return;
	for (unsigned int k = 0; k < SHAPES; k++)
		free(f->sizes[k]);
	free(f->wire_after);
	free(f->pattern);
	free(f->body);
	free(f->shape_of);
	free(f->templates);
	free(f);
}

/* How many of the period's frames end within so many bytes of it; at least `from` do. */
static uint32_t arrived_in_period(const struct frames *f, uint64_t bytes, uint32_t from)
{
	uint32_t to = f->pattern_len;

	/* Mostly the answer is near; after a stall it is anywhere. */
	for (uint32_t i = 0; i < 64; i++, from++)
		if (from == to || f->wire_after[from] > bytes)
			return from;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (f->wire_after[middle] <= bytes)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

uint64_t frames_arrived(struct frames *f, uint64_t wire_bytes)
{
	uint64_t bytes = wire_bytes - f->periods_bytes;

	if (bytes >= f->period_bytes) {
		uint64_t whole = bytes / f->period_bytes;

		f->periods += whole;
		f->periods_bytes += whole * f->period_bytes;
		f->arrived_at = 0;
		bytes -= whole * f->period_bytes;
	}
	if (f->pattern_len == 1)
		return f->periods;
	f->arrived_at = arrived_in_period(f, bytes, f->arrived_at);
	return f->periods * f->pattern_len + f->arrived_at;
}

uint64_t frames_wire_bytes(const struct frames *f, uint64_t n)
{
	uint32_t rest = (uint32_t)(n % f->pattern_len);

	return n / f->pattern_len * f->period_bytes + (rest == 0 ? 0 : f->wire_after[rest - 1]);
}

/* What is the same for all flows that send their packet of this number. */
struct round {
	uint64_t number; /* big-endian */
	uint32_t native; /* low bits of the number, as the CPU has it */
	uint16_t id;     /* big-endian */
	uint16_t number_sum;
};

static inline struct round round_make(uint64_t number)
{
	struct round r;

	r.number = htobe64(number);
	r.native = (uint32_t)number;
	r.id = htobe16((uint16_t)number);
	r.number_sum = fold((r.number & 0xffffffff) + (r.number >> 32));
	return r;
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
 * What a driver does to an mbuf as it lies in its pool (one reference, one segment, none next): two
 * stores of 16 bytes set all that a receiver looks at. Half of what rte_pktmbuf_reset() takes.
 */
static inline void set_mbuf(struct rte_mbuf *m, uint16_t len)
{
	static const struct {
		uint16_t data_off, refcnt, nb_segs, port;
		uint64_t ol_flags;
	} rearm = {.data_off = RTE_PKTMBUF_HEADROOM,
		.refcnt = 1,
		.nb_segs = 1,
		.port = RTE_MBUF_PORT_INVALID};
	const struct {
		uint32_t packet_type, pkt_len;
		uint16_t data_len, vlan_tci;
		uint32_t rss_hash;
	} fields = {.pkt_len = len, .data_len = len};

	static_assert(
		offsetof(struct rte_mbuf, ol_flags) == offsetof(struct rte_mbuf, rearm_data) + 8 &&
			offsetof(struct rte_mbuf, data_len) ==
				offsetof(struct rte_mbuf, packet_type) + 8,
		"the mbuf's layout, as DPDK promises it to drivers");
	memcpy((uint8_t *)m + offsetof(struct rte_mbuf, rearm_data), &rearm, sizeof(rearm));
	memcpy((uint8_t *)m + offsetof(struct rte_mbuf, packet_type), &fields, sizeof(fields));
}

static inline uint8_t *mbuf_data(struct rte_mbuf *m)
{
	return (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM;
}

static inline void write_body(const struct frames *f, uint8_t *d, uint32_t from, uint16_t len)
{
	if (len > from)
		memcpy(d + from, f->body + from, len - from);
}

static inline void write_plain(const struct frames *f, uint32_t flow, uint16_t len,
	const struct round *r, struct rte_mbuf *m, const bool one_size)
{
	const uint8_t *t = f->templates + (size_t)flow * PLAIN_TEMPLATE;
	const struct size_info *i = &f->sizes[PLAIN][one_size ? 0 : len - f->min_stored];
	const struct shape *s = &PLAIN_SHAPE;
	uint32_t ip_sum = (uint32_t)load16(t + s->ip + 10) + r->id;
	uint32_t l4_sum = (uint32_t)load16(t + s->l4 + 6) + r->number_sum;
	uint8_t *d = mbuf_data(m);

	memcpy(d, t, PLAIN_TEMPLATE);
	store16(d + s->ip + 4, r->id);
	store64(d + s->payload + offsetof(struct frame_stamp, number), r->number);
	/* Templates of a single size have its lengths, and the sums of them and of the body. */
	if (!one_size) {
		store16(d + s->ip + 2, i->ip_length);
		store16(d + s->l4 + 4, i->l4_length);
		ip_sum += i->ip_length;
		l4_sum += i->sum;
	}
	store16(d + s->ip + 10, checksum(ip_sum));
	store16(d + s->l4 + 6, udp_checksum(l4_sum));
	write_body(f, d, PLAIN_TEMPLATE, len);
	set_mbuf(m, len);
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

static inline void write_any(const struct frames *f, uint32_t flow, uint16_t len,
	const struct round *r, struct rte_mbuf *m)
{
	const unsigned int kind = f->shape_of[flow];
	const struct shape *s = &f->shapes[kind];
	const uint8_t *t = f->templates + (size_t)flow * TEMPLATE;
	const struct size_info *i = &f->sizes[kind][len - f->min_stored];
	uint8_t *d = mbuf_data(m);
	uint64_t sum = i->sum;

	memcpy(d, t, TEMPLATE);
	write_body(f, d, TEMPLATE, len);
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

/* Frames of one round: flows from..from+n-1 send their packet of one number. */
static inline void build_round(struct frames *f, const struct round *r,
	struct rte_mbuf *const pkts[], unsigned int n, const bool plain, const bool one_size)
{
	uint32_t flow = f->next.flow, at = f->next.at;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t len = one_size ? f->min_stored : f->pattern[at];

		if (plain)
			write_plain(f, flow++, len, r, pkts[i], one_size);
		else
			write_any(f, flow++, len, r, pkts[i]);
		if (!one_size && ++at == f->pattern_len)
			at = 0;
	}
	f->next.flow = flow;
	f->next.at = at;
}

static inline void build(struct frames *f, struct rte_mbuf *const pkts[], unsigned int n,
	const bool plain, const bool one_size)
{
	f->next.frame += n;
	while (n != 0) {
		struct round r = round_make(f->next.number);
		unsigned int here = f->flows - f->next.flow;

		if (here > n)
			here = n;
		build_round(f, &r, pkts, here, plain, one_size);
		pkts += here;
		n -= here;
		if (f->next.flow == f->flows) {
			f->next.flow = 0;
			f->next.number++;
		}
	}
}

void frames_build(struct frames *f, uint64_t first, struct rte_mbuf *const pkts[], unsigned int n)
{
	if (unlikely(first != f->next.frame)) {
		f->next.frame = first;
		f->next.number = first / f->flows;
		f->next.flow = (uint32_t)(first % f->flows);
		f->next.at = (uint32_t)(first % f->pattern_len);
	}
	if (f->plain && f->pattern_len == 1)
		build(f, pkts, n, true, true);
	else if (f->plain)
		build(f, pkts, n, true, false);
	else
		build(f, pkts, n, false, false);
}
