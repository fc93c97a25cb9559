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

/* at: behind the IP headers. */
static inline void prefilter_parse_ports(
	const uint8_t *at, const uint8_t *end, bool later_fragment, struct prefilter_key *k)
{
	if (!prefilter_has_ports(k->protocol)) {
		k->ports = PREFILTER_PORTS_NONE;
	} else if (later_fragment || at + 4 > end) {
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

static inline bool prefilter_parse_ipv4(
	const uint8_t *at, const uint8_t *end, struct prefilter_key *k)
{
	unsigned int length;

	if (at + 20 > end || at[0] >> 4 != 4)
		return false;
	length = (at[0] & 15U) * 4;
	if (length < 20)
		return false;
	k->family = PREFILTER_IPV4;
	k->protocol = at[9];
	prefilter_parse_net(k, PREFILTER_SRC, at + 12, 4);
	prefilter_parse_net(k, PREFILTER_DST, at + 16, 4);
	prefilter_parse_ports(at + length, end, (prefilter_read16(at + 6) & 0x1fff) != 0, k);
	return true;
}

static inline bool prefilter_is_extension(uint8_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 60 || protocol == 135 ||
	       protocol == 139 || protocol == 140;
}

static inline bool prefilter_parse_ipv6(
	const uint8_t *at, const uint8_t *end, struct prefilter_key *k)
{
	enum { FRAGMENT = 44 };
	bool later_fragment = false;

	if (at + 40 > end || at[0] >> 4 != 6)
		return false;
	k->family = PREFILTER_IPV6;
	k->protocol = at[6];
	prefilter_parse_net(k, PREFILTER_SRC, at + 8, 16);
	prefilter_parse_net(k, PREFILTER_DST, at + 24, 16);
	at += 40;
	for (int i = 0; i < PREFILTER_EXTENSIONS_MAX && !later_fragment; i++) {
		bool fragment = k->protocol == FRAGMENT;

		if ((!fragment && !prefilter_is_extension(k->protocol)) || at + 8 > end)
			break;
		k->protocol = at[0];
		if (fragment)
			later_fragment = (prefilter_read16(at + 2) & 0xfff8) != 0;
		at += fragment ? 8 : (at[1] + 1U) * 8;
	}
	prefilter_parse_ports(at, end, later_fragment, k);
	return true;
}

/* False where it is not IP, or not whole. Fills all of k but its zeroes, which the caller has put there. */
static inline bool prefilter_parse(const uint8_t *at, const uint8_t *end, struct prefilter_key *k)
{
	uint16_t type;

	if (at + 14 > end)
		return false;
	type = prefilter_read16(at + 12);
	at += 14;
	for (int i = 0; i < PREFILTER_VLAN_TAGS_MAX; i++) {
		if (type != 0x8100 && type != 0x88a8 && type != 0x9100)
			break;
		if (at + 4 > end)
			return false;
		type = prefilter_read16(at + 2);
		at += 4;
	}
	if (type == 0x0800)
		return prefilter_parse_ipv4(at, end, k);
	return type == 0x86dd && prefilter_parse_ipv6(at, end, k);
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
