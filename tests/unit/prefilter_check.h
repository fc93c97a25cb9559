#pragma once
/*
 * For the tests of the prefilter: random rules, random packets, and what becomes of a packet, found by looking at one
 * rule after the other.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/prefilter_build.h"
#include "wirespool/rules.h"

enum { CHECK_FRAME_MAX = 256, CHECK_LINE_MAX = 160 };

struct check_packet {
	uint8_t version; /* 4 or 6; 0: no IP */
	uint8_t protocol;
	uint8_t address[PREFILTER_SIDES][16];
	uint16_t port[PREFILTER_SIDES];
	bool later_fragment;
	bool ends_early;         /* by its IP header, before its ports */
	bool unjudged;           /* not to be looked behind, for one cause or another */
	unsigned int tags;       /* VLAN, 0..2 */
	unsigned int extensions; /* AH, of IPv6 all kinds, 0..9; a fragment header is one more */
	unsigned int length;
	uint8_t frame[CHECK_FRAME_MAX];
};

/* Few of each, so that rules overlap and packets meet them. The last of the nets is none of a rule. */
static const char *const CHECK_NETS[2][6] = {
	{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/23", "10.1.2.3", "0.0.0.0/0", "192.0.2.1"},
	{"2001:db8::/32", "2001:db8:1::/48", "2001:db8:1::/65", "2001:db8:1::3", "::/0", "fe80::1"},
};
static const char *const CHECK_HOSTS[2][6] = {
	{"10.255.0.1", "10.1.0.1", "10.1.3.1", "10.1.2.3", "172.16.0.1", "192.0.2.1"},
	{"2001:db8:ff::1", "2001:db8:1:1::1", "2001:db8:1::1", "2001:db8:1::3", "3fff::1",
		"fe80::1"},
};
static const char *const CHECK_PORTS[] = {
	"any", "53", "80", "0-1023", "50-60", "65535", "60-65535"};
static const uint16_t CHECK_PORT_NUMBERS[] = {0, 49, 50, 53, 60, 61, 80, 1023, 1024, 65534, 65535};
static const uint8_t CHECK_PROTOCOLS[] = {6, 17, 132, 33, 136, 1, 47, 58};

/* Numerical Recipes' generator: the same numbers everywhere. */
static inline unsigned int check_random(uint32_t *state, unsigned int below)
{
	*state = *state * 1664525U + 1013904223U;
	return (*state >> 8) % below;
}

#define CHECK_ONE_OF(state, list) ((list)[check_random(state, sizeof(list) / sizeof((list)[0]))])

static inline void check_rule_line(uint32_t *state, char line[CHECK_LINE_MAX])
{
	static const char *const actions[] = {"keep", "drop", "cut=headers", "cut=64"};
	static const char *const protocols[] = {"any", "any", "tcp", "udp", "sctp", "udplite"};
	static const char *const no_ports[] = {"icmp", "gre", "icmp6"};
	bool has_ports = check_random(state, 5) != 0;
	unsigned int family = check_random(state, 2);
	const char *nets[PREFILTER_SIDES];

	for (unsigned int side = 0; side < PREFILTER_SIDES; side++)
		nets[side] = check_random(state, 3) == 0
				     ? "any"
				     : CHECK_NETS[family][check_random(state, 5)];
	(void)snprintf(line, CHECK_LINE_MAX, "%s %s %s %s %s %s %s", CHECK_ONE_OF(state, actions),
		has_ports ? CHECK_ONE_OF(state, protocols) : CHECK_ONE_OF(state, no_ports), nets[0],
		has_ports ? CHECK_ONE_OF(state, CHECK_PORTS) : "any", nets[1],
		has_ports ? CHECK_ONE_OF(state, CHECK_PORTS) : "any",
		check_random(state, 2) == 0 ? "either way" : "");
}

/* Those that drop everything are no rules of a prefilter, and left out. Some keep what is not IP, too. */
static inline struct rules *check_random_rules(uint32_t *state, unsigned int count)
{
	char(*lines)[CHECK_LINE_MAX] = calloc(count, sizeof(*lines));
	const char **texts = calloc(count, sizeof(*texts));
	struct rules *rules = NULL;
	struct errbuf err;

	for (unsigned int i = 0; i < count; i++) {
		do {
			if (check_random(state, 40) == 0)
				(void)strcpy(lines[i], "cut=64 any any any any any");
			else
				check_rule_line(state, lines[i]);
		} while (strncmp(lines[i], "drop any", 8) == 0);
		texts[i] = lines[i];
	}
	if (rules_parse_lines(texts, count, "random", &rules, &err) < 0)
		(void)fprintf(stderr, "%s\n", err.text);
	free(texts);
	free(lines);
	return rules;
}

static inline uint8_t *check_put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
	return at + 2;
}

/* p->length is random here. */
static inline uint8_t *check_put_ipv4(uint8_t *at, struct check_packet *p)
{
	unsigned int options = p->length % 3;
	uint8_t *start = at, *next = at + 9;

	memset(at, 0, 20 + 4 * options);
	at[0] = (uint8_t)(0x45 + options);
	memcpy(at + 12, p->address[0], 4);
	memcpy(at + 16, p->address[1], 4);
	at += 20 + 4 * options;
	for (unsigned int i = 0; i < p->extensions; i++) {
		*next = PREFILTER_AH;
		next = at;
		memset(at, 0, 12);
		at[1] = i % 2;
		at += 8 + 4 * at[1];
	}
	*next = p->protocol;
	p->unjudged |= p->extensions > PREFILTER_EXTENSIONS_MAX;
	if (p->later_fragment) {
		start[7] = 1;
		p->unjudged |= p->extensions > 0;
	}
	if (p->ends_early)
		start[3] = (uint8_t)(at + 2 - start);
	return at;
}

static inline uint8_t *check_put_ipv6(uint8_t *at, struct check_packet *p)
{
	static const uint8_t kinds[] = {0, PREFILTER_AH, 60, 43, 135, 139, 140, 60, PREFILTER_AH};
	uint8_t *start = at, *next = at + 6;

	memset(at, 0, 40);
	at[0] = 0x60;
	memcpy(at + 8, p->address[0], 16);
	memcpy(at + 24, p->address[1], 16);
	at += 40;
	for (unsigned int i = 0; i < p->extensions; i++) {
		*next = kinds[i % sizeof(kinds)];
		memset(at, 0, 16);
		at[1] = i % 2;
		next = at;
		at += kinds[i % sizeof(kinds)] == PREFILTER_AH ? 8 + 4 * at[1] : 8 + 8 * at[1];
	}
	if (p->later_fragment) {
		*next = PREFILTER_FRAGMENT;
		next = at;
		memset(at, 0, 8);
		at[1] = 0xff; /* reserved, and no length */
		at[3] = 8;
		at += 8;
	}
	*next = p->protocol;
	if (p->later_fragment && p->length % 4 == 0) {
		*next = 60;
		p->unjudged = true;
	}
	p->unjudged |= p->extensions + p->later_fragment > PREFILTER_EXTENSIONS_MAX;
	if (p->ends_early)
		start[5] = (uint8_t)(at + 2 - start - 40);
	return at;
}

/* What IP may lie behind, without a prefilter's looking there. */
static inline uint8_t *check_put_hiding(uint32_t *state, uint8_t *at, struct check_packet *p)
{
	static const uint16_t types[] = {0x8847, 0x8848, 0x8864, 0x6558, 0x9100};
	uint16_t type = CHECK_ONE_OF(state, types);

	for (; type == 0x9100 && p->tags < 2; p->tags++)
		at = check_put16(check_put16(at, 0x88a8), 7);
	p->unjudged = true;
	return check_put16(check_put16(at, type), 7);
}

/* Cut in an IP header or those that belong to it, before payload. */
static inline void check_cut(
	uint32_t *state, struct check_packet *p, const uint8_t *ip, const uint8_t *payload)
{
	p->length =
		(unsigned int)(ip - p->frame) + check_random(state, (unsigned int)(payload - ip));
	p->unjudged = true;
}

static inline void check_random_packet(uint32_t *state, struct check_packet *p)
{
	unsigned int family = check_random(state, 2);
	uint8_t *at = p->frame + 12, *ip, *payload;

	memset(p, 0, sizeof(*p));
	p->version = check_random(state, 20) == 0 ? 0 : family == 0 ? 4 : 6;
	p->protocol = CHECK_ONE_OF(state, CHECK_PROTOCOLS);
	p->later_fragment = check_random(state, 8) == 0;
	p->ends_early = check_random(state, 12) == 0;
	p->tags = check_random(state, 3);
	p->extensions = check_random(state, 2) == 0 ? 0 : check_random(state, 10);
	p->length = check_random(state, 100);
	for (unsigned int side = 0; side < PREFILTER_SIDES; side++) {
		(void)inet_pton(family == 0 ? AF_INET : AF_INET6,
			CHECK_ONE_OF(state, CHECK_HOSTS[family]), p->address[side]);
		p->port[side] = CHECK_ONE_OF(state, CHECK_PORT_NUMBERS);
	}
	for (unsigned int i = 0; i < p->tags; i++)
		at = check_put16(check_put16(at, i == 0 ? 0x88a8 : 0x8100), 7);
	if (p->version != 0 && check_random(state, 16) == 0)
		at = check_put_hiding(state, at, p);
	ip = at = check_put16(at, p->version == 0 ? 0x0806 : p->version == 4 ? 0x0800 : 0x86dd);
	payload = p->version == 6 ? check_put_ipv6(at, p) : check_put_ipv4(at, p);
	if (p->version == 0)
		p->unjudged = false;
	at = check_put16(check_put16(payload, p->port[0]), p->port[1]) + 4;
	p->length = (unsigned int)(at - p->frame);
	if (p->version != 0 && check_random(state, 16) == 0)
		check_cut(state, p, ip, payload);
}

static inline bool check_net_has(
	const struct rule_net *n, const struct check_packet *p, enum prefilter_side side)
{
	if (n->version == 0)
		return true;
	if (n->version != p->version)
		return false;
	for (unsigned int bit = 0; bit < n->length; bit++)
		if (((n->address[bit / 8] ^ p->address[side][bit / 8]) & 0x80 >> bit % 8) != 0)
			return false;
	return true;
}

static inline bool check_way_matches(const struct rule *r, const struct rule_side *src,
	const struct rule_side *dst, const struct check_packet *p)
{
	if (!check_net_has(&src->net, p, PREFILTER_SRC) ||
		!check_net_has(&dst->net, p, PREFILTER_DST))
		return false;
	if (!rule_has_ports(r))
		return true;
	if (!prefilter_has_ports(p->protocol))
		return false;
	if (p->later_fragment || p->ends_early)
		return r->action == RULE_KEEP || r->action == RULE_CUT;
	return src->ports.first <= p->port[0] && p->port[0] <= src->ports.last &&
	       dst->ports.first <= p->port[1] && p->port[1] <= dst->ports.last;
}

static inline bool check_rule_matches(const struct rule *r, const struct check_packet *p)
{
	if (p->version == 0)
		return r->protocol == PROTOCOL_ANY && r->src.net.version == 0 &&
		       r->dst.net.version == 0 && !rule_has_ports(r);
	if (r->protocol != PROTOCOL_ANY && r->protocol != p->protocol)
		return false;
	return check_way_matches(r, &r->src, &r->dst, p) ||
	       (r->either_way && check_way_matches(r, &r->dst, &r->src, p));
}

static inline enum prefilter_verdict check_action(enum rule_action action)
{
	if (action == RULE_DROP)
		return PREFILTER_DROP;
	return action == RULE_PASS ? PREFILTER_PASS : PREFILTER_REDIRECT;
}

/* What becomes of the packet, by which rule; rules->count: by none. */
static inline enum prefilter_verdict check_verdict(
	const struct rules *rules, const struct check_packet *p, unsigned int *ret_rule)
{
	bool keeps = false;

	for (unsigned int i = 0; i < rules->count; i++) {
		const struct rule *r = &rules->list[i];

		*ret_rule = i;
		if (!p->unjudged && check_rule_matches(r, p))
			return check_action(r->action);
		keeps |= r->action == RULE_KEEP || r->action == RULE_CUT;
	}
	*ret_rule = rules->count;
	return p->unjudged && keeps ? PREFILTER_REDIRECT : PREFILTER_PASS;
}

/* What the kernel's trie does: the rows of the longest prefix that there is of the net. */
static inline const struct prefilter_vector *check_look_up(
	const struct prefilter_build *b, const struct prefilter_net *net)
{
	const struct prefilter_entry *best = NULL;
	const uint8_t *key = &net->side;

	for (unsigned int i = 0; i < b->entry_count; i++) {
		const struct prefilter_entry *e = &b->entries[i];
		const uint8_t *entry = &e->net.side;
		bool matches = e->net.length <= net->length;

		for (unsigned int bit = 0; bit < e->net.length && matches; bit++)
			matches = ((key[bit / 8] ^ entry[bit / 8]) & 0x80 >> bit % 8) == 0;
		if (matches && (best == NULL || e->net.length > best->net.length))
			best = e;
	}
	return best == NULL ? NULL : &best->rows;
}

/* What the kernel's program does until it knows the row. */
static inline uint32_t check_row(
	const struct prefilter_build *b, const uint8_t *frame, unsigned int length)
{
	struct prefilter_key k = {0};
	enum prefilter_kind kind = prefilter_parse(frame, frame + length, &k);

	if (kind != PREFILTER_IP)
		return kind == PREFILTER_OTHER ? b->table.other_row : PREFILTER_ANY_ROW;
	return prefilter_first_row(&b->table, &k, check_look_up(b, &k.net[PREFILTER_SRC]),
		check_look_up(b, &k.net[PREFILTER_DST]));
}
