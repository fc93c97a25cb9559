#pragma once
/*
 * Expression: tcpdump's language as a program, and what a packet looks like to it. Private to filter/.
 *
 * Compiled by libpcap; run as native code where DPDK's JIT has the CPU and its verifier can bear the
 * program, else interpreted by libpcap.
 *
 * Threads  immutable; may be compiled on several threads at once, as pcap_compile() may since libpcap 1.8.
 * Memory   expression_compile() allocates all; matching allocates nothing.
 */

#include <stdbool.h>
#include <stdint.h>

#include "headers.h"
#include "wirespool/errbuf.h"

struct expression;
struct rte_mbuf;

enum { EXPRESSION_BURST = 64 }; /* packets per expression_match(), one bit each */
enum { OPTIMIZED_MAX = 6000 };  /* instructions, before libpcap's optimizer */

enum expression_how {
	EXPRESSION_LITERAL = 1, /* tcpdump's meaning: tags and labels are not looked behind */
	EXPRESSION_WHOLE = 2,   /* tcpdump's meaning of fragments and extension headers */
	/* For tests and the benchmark: */
	EXPRESSION_INTERPRET = 4, /* no native code: libpcap's own interpreter */
	EXPRESSION_NOT_FLAT = 8,  /* no native code of its own for packets at home */
	EXPRESSION_AS_LONG = 16,  /* without libpcap's optimizer, as if it were too long for it */
};

/*
 * text must not be NULL or empty. On success *ret is the caller's, to be freed with
 * expression_free(). On failure nothing is stored, and err says what libpcap said: -EINVAL for an
 * expression that is wrong or can match nothing, -ENOMEM.
 */
int expression_compile(const char *text, int linktype, unsigned int how, struct expression **ret,
	struct errbuf *err);
void expression_free(struct expression *e);

bool expression_keeps_all(const struct expression *e);

/* Of IPv4 (version 4) or IPv6 (6) it speaks of fragments itself, or of extension headers. */
bool expression_names_fragments(const struct expression *e, unsigned int version);

/* "jit", "interpreter" or "none" (keeps all). */
const char *expression_engine(const struct expression *e);

/* What lies in front of IP, or in more than one packet, and the expression is not shown: for people. */
enum expression_behind {
	EXPRESSION_BEHIND_TAGS = 1,
	EXPRESSION_BEHIND_LABELS = 2, /* MPLS, PPPoE */
	EXPRESSION_BEHIND_FRAGMENTS_IPV4 = 4,
	EXPRESSION_BEHIND_FRAGMENTS_IPV6 = 8, /* and extension headers */
};
unsigned int expression_behind(const struct expression *e);

/* For how many numbers of tags (0, 1, 2) there is code of its own for packets at home. */
unsigned int expression_flat_views(const struct expression *e);

/* The program, as tcpdump -d would show it; the caller frees it. NULL: keeps all, or no memory. */
char *expression_dump(const struct expression *e);

/*
 * HOT PATH, once per burst, budget 10 ns a packet. Bit i of the result is set when pkts[i] is kept, each
 * seen without its outer one or two tags; count <= EXPRESSION_BURST.
 */
uint64_t expression_match(
	const struct expression *e, struct rte_mbuf *const pkts[], unsigned int count);

/* A packet in one piece, as the header walk has seen it. */
struct walked {
	struct rte_mbuf *mbuf;
	const uint8_t *data;
	uint32_t len;      /* of data, <= EXPRESSION_LINEAR_MAX */
	uint32_t wire_len; /* what "len", "less" and "greater" compare */
	struct headers headers;
};

enum { EXPRESSION_LINEAR_MAX = 16384 }; /* more than any frame has */

enum expression_answer {
	EXPRESSION_NO,
	EXPRESSION_YES,   /* with what is there */
	EXPRESSION_MAYBE, /* with what is in another fragment it could be */
};

/*
 * HOT PATH, for packets that libpcap's program takes for what they are not. The packet is seen as if its IP
 * header number level came right behind the link header: without tags, labels, and the tunnel around it;
 * as a first fragment, if it is a later one; and without IPv6's extension headers. level is below
 * headers.count. An expression that speaks of any of these itself means what tcpdump means.
 */
enum expression_answer expression_match_ip(
	const struct expression *e, const struct walked *w, unsigned int level);

/* HOT PATH, for packets in which no IP header was found. As expression_match(), of w's lengths. */
bool expression_match_other(const struct expression *e, const struct walked *w);
