#pragma once
/*
 * Filter and cut: which packets a recording keeps, and how much of each.
 *
 * A filter is an expression of tcpdump's and a table of rules, either or both: what both keep is kept.
 * An expression is compiled by libpcap and run as native code where DPDK's JIT has the CPU and its verifier can
 * bear the program, else interpreted by libpcap. Rules (wirespool/rules.h) are classified by rte_acl; the first
 * that matches decides. A cut is a number of bytes, or the end of the last header that is
 * understood plus some; a rule may cut more, and so may what its flow has brought already (cutoff).
 *
 * Tags       an expression that does not speak of VLANs itself means the packet without its tags (802.1Q,
 *            802.1ad, 0x9100), of MPLS labels or PPPoE without these: "not port 22" does not keep a
 *            tagged packet of port 22. "len", "less" and "greater" are still the length with them. With
 *            "vlan", "mpls" or "pppoes", or where the frame's type is compared with one of theirs ("ether proto
 *            0x8100"), it means what it means to tcpdump. Rules always look behind them.
 * Fragments  only the first of a datagram has ports. Of the others those are kept that could match
 *            (keep), or whose first one was kept (follow), or what tcpdump would keep (literal). An
 *            expression that speaks of fragments itself ("ip[6:2] & 0x1fff != 0") means what it means to
 *            tcpdump. So it is with IPv6's extension headers: but for literal, they are walked.
 * Tunnels    a packet is kept as well if the filter keeps the one inside, of the tunnels that inner names.
 *            A fragment that is not the first and may be of such a tunnel could match.
 * Cutoff     of each flow the first so many bytes of the wire are kept whole; behind that headers only, or nothing.
 *            A flow is both directions of a 5-tuple, whatever tags its packets have; inside of a
 *            tunnel, if inner names that. IP packets only. Later fragments, which have no ports, count as one flow for each
 *            pair of addresses and protocol.
 *
 * Threads  a filter is immutable: any number of lcores may judge with it. What it remembers of packets is in
 *          tables, of one port each: see filter_tables_new().
 * Memory   filter_new() and filter_tables_new() allocate all; judging allocates nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirespool/errbuf.h"

struct rte_mbuf;
struct rules;
struct filter;
struct filter_tables;

/* What an expression means of packets behind VLAN tags, MPLS labels and PPPoE. */
enum filter_vlan {
	FILTER_VLAN_ANY,    /* it matches behind them, too */
	FILTER_VLAN_STRICT, /* tcpdump's literal meaning */
};

/* Which fragments that are not the first of their datagram, and so have no ports, are kept. */
enum filter_fragments {
	FILTER_FRAGMENTS_KEEP,    /* those that could match */
	FILTER_FRAGMENTS_FOLLOW,  /* those whose first fragment was kept, or was not seen */
	FILTER_FRAGMENTS_LITERAL, /* what tcpdump would keep */
};

/* Tunnels in which the packet inside is looked at as well: bits of filter_options.inner. */
enum filter_inner {
	FILTER_INNER_IPIP = 1 << 0,
	FILTER_INNER_GRE = 1 << 1,
	FILTER_INNER_VXLAN = 1 << 2,
	FILTER_INNER_GENEVE = 1 << 3,
	FILTER_INNER_GTP_U = 1 << 4,
};

/* What is stored of a flow behind its cutoff. */
enum filter_after {
	FILTER_AFTER_HEADERS,
	FILTER_AFTER_DROP,
};

enum { FILTER_BURST = 64, FILTER_LEVELS = 4 };

struct filter_options {
	const char *expression;    /* NULL or "": every packet */
	const struct rules *rules; /* NULL: none; not needed any more when the filter is made */
	enum filter_vlan vlan;
	enum filter_fragments fragments;
	unsigned int inner;    /* bits of enum filter_inner */
	uint64_t cutoff_bytes; /* 0: none */
	enum filter_after after;
	uint32_t cutoff_flows; /* at a time, of each rx queue, if there is a cutoff */
};

/*
 * Makes a filter for packets of libpcap link type linktype (DLT_EN10MB is 1). A table of rules is built on NUMA node
 * socket_id (-1: any), and needs EAL up: thousands take seconds, 100,000 up to minutes and GiBs of malloc().
 * May be called from several threads. On success *ret_filter is the caller's, to be freed with filter_free() when no
 * lcore judges with it any more. On failure nothing is stored, and err says why: -EINVAL and what
 * libpcap said of an expression that is wrong or can match nothing; what rte_acl said; -ENOMEM.
 */
int filter_new(const struct filter_options *options, int linktype, int socket_id,
	struct filter **ret_filter, struct errbuf *err);
void filter_free(struct filter *f);

/* Keeps every packet as it is: the caller may leave out filter_judge(). */
bool filter_keeps_all(const struct filter *f);

/* "jit" or "interpreter" or "none" (no expression, or one that keeps all): for status. */
const char *filter_engine(const struct filter *f);

/* The expression's program as tcpdump -d shows it, to free(). NULL: there is none, or no memory. */
char *filter_dump(const struct filter *f);

/*
 * What a filter of these options remembers of the packets of one port: of a cutoff, the flows of each of its
 * queues; of fragments to follow, the datagrams of all of them; of rules, which one matched a flow. NULL where there is
 * nothing to remember. Each filter needs its own; where before is that of a filter with the same
 * cutoff and fragments, the new ones go on from what it remembers, and share that. New and free are for
 * one thread. On failure: -ENOMEM.
 */
int filter_tables_new(const struct filter_options *options, unsigned int queues, int socket_id,
	const struct filter_tables *before, struct filter_tables **ret_tables, struct errbuf *err);
void filter_tables_free(struct filter_tables *t);

/* What filter_tables_new() takes of DPDK's memory. */
uint64_t filter_tables_bytes(const struct filter_options *options, unsigned int queues);

/* What tables have counted so far; any thread. */
struct filter_counts {
	uint64_t beyond_pkts;        /* behind their flow's cutoff */
	uint64_t table_full_pkts;    /* kept whole, as there was no place to count their flow */
	uint64_t first_unknown_pkts; /* later fragments of which no first one was seen */
};

void filter_tables_count(const struct filter_tables *t, struct filter_counts *ret);

/* Packets of one rx queue. */
struct filter_burst {
	struct rte_mbuf *const *pkts;
	const uint64_t *time_ns;
	const uint32_t *wire_len; /* NULL: as the mbufs say */
	unsigned int count;       /* <= FILTER_BURST */
	unsigned int queue;
};

/* Why a packet was kept, or not. */
enum filter_why {
	FILTER_BY_ALL,        /* kept: nothing was asked of it */
	FILTER_BY_EXPRESSION, /* kept: it matches; or not kept: it does not */
	FILTER_BY_MAYBE,      /* kept: a later fragment that could match */
	FILTER_BY_FIRST,      /* as the first fragment of its datagram was */
	FILTER_BY_RULE,       /* kept or dropped by this rule */
	FILTER_BY_NO_RULE,    /* dropped: no rule matches */
	FILTER_BY_CUTOFF,     /* dropped or cut: behind its flow's cutoff */
};

struct filter_reason {
	enum filter_why why;
	uint32_t rule;      /* its number from 1; 0: none asked, or none matched */
	unsigned int level; /* 0: the packet itself; 1: what is in its tunnel, and so on */
};

struct verdict {
	uint64_t kept;   /* one bit each */
	uint64_t cutoff; /* not kept, but would be without the cutoff */
	uint64_t recut;  /* of those kept: store no more than most[i] */
	uint32_t most[FILTER_BURST];
	struct filter_reason *reasons; /* to be filled in by the way; NULL: not wanted */
};

/*
 * HOT PATH, once per burst, budget 10 ns a packet for an expression, 25 ns with 10,000 rules. Judges the packets that
 * wanted has a bit of; all of *ret but reasons is stored. The packets stay the caller's. t: of the
 * port, with the same options as f; each queue by one lcore at a time. NULL if it is NULL.
 */
void filter_judge(const struct filter *f, struct filter_tables *t, const struct filter_burst *b,
	uint64_t wanted, struct verdict *ret);

struct cut {
	uint32_t snaplen; /* bytes to store at most */
	bool headers;     /* cut after the last header understood ... */
	uint32_t extra;   /* ... plus this many bytes */
};

enum { SNAPLEN_MAX = 262144 };

/* "0" and "262144": whole packets; "96"; "headers"; "headers+64". -EINVAL with a sentence. */
int cut_parse(const char *text, struct cut *ret_cut, struct errbuf *err);

/* True when every packet up to SNAPLEN_MAX is stored whole. */
static inline bool cut_keeps_all(const struct cut *c)
{
	return !c->headers && c->snaplen >= SNAPLEN_MAX;
}

/*
 * HOT PATH. Bytes of the headers that are understood at the front of a packet,
 * never more than len: Ethernet with VLAN, QinQ, MPLS and PPPoE, ARP, IPv4 with
 * options, IPv6 with extension headers, AH, ESP, TCP and DCCP with options, UDP,
 * UDP-Lite, SCTP, ICMP, ICMPv6, IGMP; and all of these again inside of tunnels: IP in
 * IP, GRE (NVGRE, ERSPAN I to III), VXLAN, Geneve, GTP-U. IP headers: up to five
 * inside each other. Reads data[0..len-1] only.
 * A link type other than Ethernet, raw IP, Linux cooked v1/v2 and null/loop is not
 * understood: len, so that nothing is cut that nobody looked at.
 */
uint32_t headers_length(int linktype, const uint8_t *data, uint32_t len);

/* HOT PATH. Bytes to store of a packet of len bytes, of which the first contiguous lie at data. */
static inline uint32_t cut_length(
	const struct cut *c, int linktype, const uint8_t *data, uint32_t contiguous, uint32_t len)
{
	uint32_t want = c->snaplen;

	if (c->headers) {
		uint32_t end = headers_length(linktype, data, contiguous);

		/* Headers up to the end of what was seen: of what follows nobody knows, so it stays. */
		end = end < contiguous ? end + c->extra : len;
		want = end < want ? end : want;
	}
	return want < len ? want : len;
}
