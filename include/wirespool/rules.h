#pragma once
/*
 * Rules: a list of "which packets, and how much of each" as text, read into an array.
 *
 *	ACTION       PROTO SRC-NET SPORT DST-NET      DPORT [either way]
 *	keep         tcp   any     any   10.0.0.0/8   443   either way
 *	cut=headers  any   any     any   2001:db8::/32 any  either way
 *	drop         any   any     any   any          any
 *
 * The first rule that matches a packet decides; a packet that none matches is dropped, as in
 * other access lists. Blanks separate, "#" begins a comment, a line without a rule is fine, a
 * line may end as in Windows.
 *
 * action   keep: as the recording stores packets; drop; cut=N, cut=headers, cut=headers+N: keep,
 *          and store no more of it than that (cut_parse())
 * proto    any, a name (tcp udp sctp dccp udplite icmp icmp6 igmp gre esp ipip ...) or IANA's
 *          number: of what follows IPv6's extension headers and AH. 224 to 252 are assigned to nobody
 *          and cannot be named: see flow_key.h.
 * net      any, an address, or ADDRESS/BITS with no bit set behind them; IPv4 or IPv6
 * port     any, a number, or FIRST-LAST. All of them, 0-65535, are any.
 *
 * A rule with "either way" matches also with the two nets and ports changed over. Where both nets
 * are any, IPv4 and IPv6 match; where protocol, nets and ports are any, every packet does, be it IP
 * or not.
 *
 * Threads  no call shares anything with another. What was read is immutable.
 * Memory   the text stays with the rules, so that each can be told as it was written.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wirespool/errbuf.h"
#include "wirespool/filter.h"

enum {
	RULES_MAX = 100000,
	RULES_BYTES_MAX = 32 << 20, /* of text */
	PROTOCOL_ANY = -1,
};

enum rule_action {
	RULE_DROP,
	RULE_KEEP,
	RULE_CUT,
	RULE_PASS, /* of a port's prefilter, never read from text: not taken, nor dropped */
};

struct rule_net {
	uint8_t version; /* 4 or 6; 0: any */
	uint8_t length;  /* bits that count */
	uint8_t address[16];
};

struct port_range {
	uint16_t first;
	uint16_t last;
};

/* What one direction of a rule asks for. */
struct rule_side {
	struct rule_net net;
	struct port_range ports;
};

struct rule {
	enum rule_action action;
	struct cut cut; /* of RULE_CUT */
	int protocol;   /* or PROTOCOL_ANY */
	struct rule_side src;
	struct rule_side dst;
	bool either_way;
	unsigned int line; /* of the file, or the number in the list, from 1 */
	const char *text;  /* as it was written, without comment */
};

struct rules {
	struct rule *list;
	unsigned int count;
	char *name; /* of the file or list */
	char *text;
};

/*
 * Reads a file of rules. On success *ret is the caller's, to be freed with rules_free(); with no
 * rule at all it is empty. On failure nothing is stored and err tells the first fault as
 * "FILE:LINE: ...": -EINVAL, -ENOMEM, or that of the file.
 */
int rules_parse_file(const char *path, struct rules **ret, struct errbuf *err);

/* The same of lines that stand in a list called name, one rule each: "NAME, rule 3: ...". */
int rules_parse_lines(const char *const lines[], unsigned int count, const char *name,
	struct rules **ret, struct errbuf *err);

/* The same of length bytes at text, which need not end with a NUL, as a file called name. */
int rules_parse_text(
	const char *text, size_t length, const char *name, struct rules **ret, struct errbuf *err);

void rules_free(struct rules *r);

/* True when no rule keeps a packet: a caller may warn. */
bool rules_drop_all(const struct rules *r);

static inline bool port_range_is_any(struct port_range p)
{
	return p.first == 0 && p.last == UINT16_MAX;
}

static inline bool rule_net_is_equal(const struct rule_net *a, const struct rule_net *b)
{
	return a->version == b->version && a->length == b->length &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static inline bool rule_side_is_equal(const struct rule_side *a, const struct rule_side *b)
{
	return rule_net_is_equal(&a->net, &b->net) && a->ports.first == b->ports.first &&
	       a->ports.last == b->ports.last;
}

/* True when the rule asks for a port, so that packets without ports do not match. */
static inline bool rule_has_ports(const struct rule *r)
{
	return !port_range_is_any(r->src.ports) || !port_range_is_any(r->dst.ports);
}
