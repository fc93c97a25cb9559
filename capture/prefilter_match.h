#pragma once
/*
 * Prefilter: which rule decides of a packet. prefilter.bpf.c runs this in the kernel, its test runs it here, so
 * there is neither libc nor DPDK in it.
 *
 * A rule is a row, or two where it means either way, and a row is a bit. What a packet has at one place
 * (source net, destination net, protocol, each port) says which rows are content with it there: a
 * vector of bits. The AND of the five is the rows that match, its lowest bit the first of them. See
 * Lakshman and Stiliadis, "High-speed policy-based packet forwarding using efficient
 * multi-dimensional range matching", SIGCOMM 1998. So 512 rules cost little more than one.
 */

#include <stdbool.h>
#include <stdint.h>

enum {
	PREFILTER_RULES_MAX = 512,
	PREFILTER_ROWS_MAX = 2 * PREFILTER_RULES_MAX,
	PREFILTER_WORDS = PREFILTER_ROWS_MAX / 64,
	PREFILTER_CLASSES_MAX = 2 * PREFILTER_ROWS_MAX + 1, /* of ports that all rows see alike */
	PREFILTER_SLOTS = 2,
	PREFILTER_NO_RULES = PREFILTER_SLOTS, /* where packets are counted that no rules judged */
	PREFILTER_NO_ROW = PREFILTER_ROWS_MAX,
	PREFILTER_ANY_ROW, /* of a packet that cannot be judged here: any row could match */
};

enum prefilter_side { PREFILTER_SRC, PREFILTER_DST, PREFILTER_SIDES };
enum prefilter_family { PREFILTER_IPV4, PREFILTER_IPV6, PREFILTER_FAMILIES };
enum prefilter_verdict {
	PREFILTER_PASS, /* to the kernel's stack */
	PREFILTER_REDIRECT,
	PREFILTER_DROP,
	PREFILTER_VERDICTS
};
enum prefilter_ports {
	PREFILTER_PORTS_NONE,
	PREFILTER_PORTS_KNOWN,
	PREFILTER_PORTS_UNKNOWN, /* in another fragment */
};

struct prefilter_vector {
	uint64_t words[PREFILTER_WORDS];
};

/* Key of the trie of nets; its value is the rows that are content with the net, and with those around it. */
struct prefilter_net {
	uint32_t length; /* the kernel's: bits that count, side to zero among them */
	uint8_t side;
	uint8_t family;
	uint8_t zero[2];
	uint8_t address[16];
};
enum { PREFILTER_NET_BITS = 32 }; /* before the address */

/* All about a list of rules but their nets. Made by control, immutable once the program sees it. */
struct prefilter_table {
	uint32_t slot;                      /* where its nets are, and its rules' counts */
	uint32_t words;                     /* that are not empty in every vector */
	uint32_t other_row;                 /* of packets that are not IP, or PREFILTER_NO_ROW */
	uint32_t redirects;                 /* 1: some row does; else 0 */
	uint16_t rules[PREFILTER_ROWS_MAX]; /* of each row */
	uint8_t verdicts[PREFILTER_ROWS_MAX];
	struct prefilter_vector outside[PREFILTER_SIDES][PREFILTER_FAMILIES]; /* of all nets */
	struct prefilter_vector protocols[256];
	struct prefilter_vector without_ports; /* for packets that have none */
	/* For packets whose ports are not known: rows that do not ask for them, or keep what they could match. */
	struct prefilter_vector unknown_ports;
	uint16_t classes[PREFILTER_SIDES][UINT16_MAX + 1];
	struct prefilter_vector ports[PREFILTER_SIDES][PREFILTER_CLASSES_MAX];
};

/* One per CPU. */
struct prefilter_counters {
	uint64_t verdicts[PREFILTER_SLOTS + 1][PREFILTER_VERDICTS];
	uint64_t rules[PREFILTER_SLOTS][PREFILTER_RULES_MAX];
};

/* What the program writes in front of a packet that it redirects. */
struct prefilter_stamp {
	uint64_t magic;
	uint64_t monotonic_ns; /* CLOCK_MONOTONIC when it ran */
};
#define PREFILTER_STAMP_MAGIC 0x70736572695721aeULL

/* What parsing made of a packet. */
enum prefilter_kind {
	PREFILTER_OTHER, /* not IP */
	PREFILTER_IP,
	PREFILTER_UNJUDGED, /* what filter/headers.h may find IP behind, or more of it, and we do not look */
};

struct prefilter_key {
	uint8_t family;
	uint8_t protocol;
	uint8_t ports; /* enum prefilter_ports */
	uint16_t port[PREFILTER_SIDES];
	struct prefilter_net net[PREFILTER_SIDES]; /* whole addresses */
};

enum {
	PREFILTER_VLAN_TAGS_MAX = 2,
	PREFILTER_EXTENSIONS_MAX = 8,
	PREFILTER_TCP = 6,
	PREFILTER_UDP = 17,
	PREFILTER_DCCP = 33,
	PREFILTER_FRAGMENT = 44,
	PREFILTER_AH = 51,
	PREFILTER_SCTP = 132,
	PREFILTER_UDPLITE = 136,
};

/* The same five as in filter/flow_key.h. */
static inline bool prefilter_has_ports(uint8_t protocol)
{
	return protocol == PREFILTER_TCP || protocol == PREFILTER_UDP ||
	       protocol == PREFILTER_DCCP || protocol == PREFILTER_SCTP ||
	       protocol == PREFILTER_UDPLITE;
}

static inline uint16_t prefilter_read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* at: behind the IP headers. room: what the packet has there by its own account. */
static inline void prefilter_parse_ports(const uint8_t *at, const uint8_t *end, uint32_t room,
	bool later_fragment, struct prefilter_key *k)
{
	if (!prefilter_has_ports(k->protocol)) {
		k->ports = PREFILTER_PORTS_NONE;
	} else if (later_fragment || room < 4 || at + 4 > end) {
		k->ports = PREFILTER_PORTS_UNKNOWN;
	} else {
		k->ports = PREFILTER_PORTS_KNOWN;
		k->port[PREFILTER_SRC] = prefilter_read16(at);
		k->port[PREFILTER_DST] = prefilter_read16(at + 2);
	}
}

static inline void prefilter_parse_net(struct prefilter_key *k, enum prefilter_side side,
	const uint8_t *address, unsigned int bytes)
{
	struct prefilter_net *n = &k->net[side];

	n->length = PREFILTER_NET_BITS + 8 * bytes;
	n->side = (uint8_t)side;
	n->family = k->family;
	__builtin_memcpy(n->address, address, bytes);
}

/* AH belongs to both versions of IP, the others to IPv6. */
static inline bool prefilter_is_extension(uint8_t family, uint8_t protocol)
{
	const uint64_t low = 1ULL << 0 | 1ULL << 43 | 1ULL << PREFILTER_FRAGMENT |
			     1ULL << PREFILTER_AH | 1ULL << 60;
	const uint64_t high = 1ULL << (135 - 128) | 1ULL << (139 - 128) | 1ULL << (140 - 128);
	uint64_t word = protocol < 64 ? low : protocol / 64 == 2 ? high : 0;

	if (family == PREFILTER_IPV4)
		return protocol == PREFILTER_AH;
	return (word >> protocol % 64 & 1) != 0;
}

/* 1 or 0, without a branch: the kernel's verifier would follow it through all turns of a loop. */
static inline uint32_t prefilter_is_equal(uint32_t a, uint32_t b)
{
	uint32_t differ = a ^ b;

	__asm__("" : "+r"(differ));
	return (differ - 1) >> 31;
}

/*
 * at: an extension header of which 8 bytes are there, as of each one. Their length is in units of 8 bytes, AH's
 * of 4; a fragment header's is 0.
 */
static inline uint32_t prefilter_extension_bytes(uint8_t protocol, const uint8_t *at)
{
	uint32_t is_ah = prefilter_is_equal(protocol, PREFILTER_AH);
	uint32_t has_length = 1 - prefilter_is_equal(protocol, PREFILTER_FRAGMENT);

	return (at[1] * has_length + 1 + is_ah) * (8 - 4 * is_ah);
}

/* at: the end of the IP header, behind which there are room bytes by its own account. */
static inline enum prefilter_kind prefilter_parse_payload(const uint8_t *at, const uint8_t *end,
	uint32_t room, bool later_fragment, struct prefilter_key *k)
{
	uint32_t used = 0;

	for (int i = 0; prefilter_is_extension(k->family, k->protocol); i++) {
		uint32_t bytes;

		/* A later fragment's is in the first one; which protocol follows it, too. */
		if (i == PREFILTER_EXTENSIONS_MAX || later_fragment || at + 8 > end)
			return PREFILTER_UNJUDGED;
		bytes = prefilter_extension_bytes(k->protocol, at);
		if (at + bytes > end)
			return PREFILTER_UNJUDGED;
		if (k->protocol == PREFILTER_FRAGMENT)
			later_fragment = (prefilter_read16(at + 2) & 0xfff8) != 0;
		k->protocol = at[0];
		used += bytes;
		at += bytes;
	}
	/* Not in the loop, where the kernel's verifier would follow it through each turn. */
	if (used > room)
		return PREFILTER_UNJUDGED;
	prefilter_parse_ports(at, end, room - used, later_fragment, k);
	return PREFILTER_IP;
}

static inline enum prefilter_kind prefilter_parse_ipv4(
	const uint8_t *at, const uint8_t *end, struct prefilter_key *k)
{
	uint32_t length, total;
	bool later_fragment;

	if (at + 20 > end || at[0] >> 4 != 4)
		return PREFILTER_UNJUDGED;
	length = (at[0] & 15U) * 4;
	total = prefilter_read16(at + 2);
	later_fragment = (prefilter_read16(at + 6) & 0x1fff) != 0;
	/* filter/judge_odd.c takes all of these for extension headers in a later fragment of IPv4, too. */
	if (length < 20 || at + length > end ||
		(later_fragment && prefilter_is_extension(PREFILTER_IPV6, at[9])))
		return PREFILTER_UNJUDGED;
	k->family = PREFILTER_IPV4;
	k->protocol = at[9];
	prefilter_parse_net(k, PREFILTER_SRC, at + 12, 4);
	prefilter_parse_net(k, PREFILTER_DST, at + 16, 4);
	/* 0: one that a NIC has yet to cut (TSO). */
	return prefilter_parse_payload(
		at + length, end, total < length ? UINT32_MAX : total - length, later_fragment, k);
}

static inline enum prefilter_kind prefilter_parse_ipv6(
	const uint8_t *at, const uint8_t *end, struct prefilter_key *k)
{
	uint32_t room;

	if (at + 40 > end || at[0] >> 4 != 6)
		return PREFILTER_UNJUDGED;
	room = prefilter_read16(at + 4);
	k->family = PREFILTER_IPV6;
	k->protocol = at[6];
	prefilter_parse_net(k, PREFILTER_SRC, at + 8, 16);
	prefilter_parse_net(k, PREFILTER_DST, at + 24, 16);
	/* 0: a jumbogram, or one that a NIC has yet to cut. */
	return prefilter_parse_payload(at + 40, end, room == 0 ? UINT32_MAX : room, false, k);
}

static inline bool prefilter_is_tag(uint16_t type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

/* MPLS, PPPoE's sessions, Ethernet in Ethernet. */
static inline bool prefilter_hides_ip(uint16_t type)
{
	return type == 0x8847 || type == 0x8848 || type == 0x8864 || type == 0x6558;
}

/* Of IP, fills all of k but its zeroes, which the caller has put there. */
static inline enum prefilter_kind prefilter_parse(
	const uint8_t *at, const uint8_t *end, struct prefilter_key *k)
{
	uint16_t type;

	if (at + 14 > end)
		return PREFILTER_OTHER;
	type = prefilter_read16(at + 12);
	at += 14;
	for (int i = 0; i < PREFILTER_VLAN_TAGS_MAX && prefilter_is_tag(type); i++) {
		if (at + 4 > end)
			return PREFILTER_OTHER;
		type = prefilter_read16(at + 2);
		at += 4;
	}
	if (type == 0x0800)
		return prefilter_parse_ipv4(at, end, k);
	if (type == 0x86dd)
		return prefilter_parse_ipv6(at, end, k);
	return prefilter_is_tag(type) || prefilter_hides_ip(type) ? PREFILTER_UNJUDGED
								  : PREFILTER_OTHER;
}

static inline const struct prefilter_vector *prefilter_ports_vector(
	const struct prefilter_table *t, const struct prefilter_key *k, enum prefilter_side side)
{
	uint16_t class;

	if (k->ports == PREFILTER_PORTS_NONE)
		return &t->without_ports;
	if (k->ports == PREFILTER_PORTS_UNKNOWN)
		return &t->unknown_ports;
	class = t->classes[side][k->port[side]];
	/* Never past it; the kernel wants to see that. */
	return &t->ports[side][class < PREFILTER_CLASSES_MAX ? class : 0];
}

/*
 * Of the bits set, the number of the lowest: how many there are below it. __builtin_ctzll() crashes clang 14 where
 * it compiles for the kernel.
 */
static inline unsigned int prefilter_lowest(uint64_t bits)
{
	uint64_t below = (bits & -bits) - 1;

	below -= below >> 1 & 0x5555555555555555ULL;
	below = (below & 0x3333333333333333ULL) + (below >> 2 & 0x3333333333333333ULL);
	below = (below + (below >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (unsigned int)(below * 0x0101010101010101ULL >> 56);
}

/*
 * The first row that matches, or PREFILTER_NO_ROW. src, dst: what the trie has for the key's nets; NULL:
 * nothing.
 */
static inline unsigned int prefilter_first_row(const struct prefilter_table *t,
	const struct prefilter_key *k, const struct prefilter_vector *src,
	const struct prefilter_vector *dst)
{
	const struct prefilter_vector *sport = prefilter_ports_vector(t, k, PREFILTER_SRC);
	const struct prefilter_vector *dport = prefilter_ports_vector(t, k, PREFILTER_DST);
	const struct prefilter_vector *protocol = &t->protocols[k->protocol];
	unsigned int family = k->family == PREFILTER_IPV4 ? PREFILTER_IPV4 : PREFILTER_IPV6;

	if (src == 0)
		src = &t->outside[PREFILTER_SRC][family];
	if (dst == 0)
		dst = &t->outside[PREFILTER_DST][family];
	for (unsigned int i = 0; i < PREFILTER_WORDS && i < t->words; i++) {
		uint64_t rows = src->words[i] & dst->words[i] & protocol->words[i] &
				sport->words[i] & dport->words[i];

		if (rows != 0)
			return i * 64 + prefilter_lowest(rows);
	}
	return PREFILTER_NO_ROW;
}

/* row: what prefilter_first_row() found, the table's other_row, or PREFILTER_ANY_ROW. */
static inline enum prefilter_verdict prefilter_verdict_of(
	const struct prefilter_table *t, uint32_t row)
{
	if (row < PREFILTER_ROWS_MAX)
		return (enum prefilter_verdict)t->verdicts[row];
	return row == PREFILTER_ANY_ROW && t->redirects ? PREFILTER_REDIRECT : PREFILTER_PASS;
}
