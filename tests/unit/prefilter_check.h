#pragma once
/*
 * For the tests of the prefilter: random rules, random packets, and which rule decides of a packet, found by
 * looking at one rule after the other.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/prefilter_match.h"
#include "wirespool/rules.h"

enum { CHECK_FRAME_MAX = 256, CHECK_LINE_MAX = 160 };

struct check_packet {
	uint8_t version; /* 4 or 6; 0: no IP */
	uint8_t protocol;
	uint8_t address[PREFILTER_SIDES][16];
	uint16_t port[PREFILTER_SIDES];
	bool later_fragment;
	unsigned int tags;       /* VLAN, 0..2 */
	unsigned int extensions; /* of IPv6, 0..8 */
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

/* Those that drop everything are no rules of a prefilter, and left out. */
static inline struct rules *check_random_rules(uint32_t *state, unsigned int count)
{
	char(*lines)[CHECK_LINE_MAX] = calloc(count, sizeof(*lines));
	const char **texts = calloc(count, sizeof(*texts));
	struct rules *rules = NULL;
	struct errbuf err;

	for (unsigned int i = 0; i < count; i++) {
		do {
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

static inline uint8_t *check_put_ipv4(uint8_t *at, const struct check_packet *p)
{
	unsigned int options = p->length % 3;

	memset(at, 0, 20 + 4 * options);
	at[0] = (uint8_t)(0x45 + options);
	if (p->later_fragment)
		at[7] = 1;
	at[9] = p->protocol;
	memcpy(at + 12, p->address[0], 4);
	memcpy(at + 16, p->address[1], 4);
	return at + 20 + 4 * options;
}

static inline uint8_t *check_put_ipv6(uint8_t *at, const struct check_packet *p)
{
	static const uint8_t kinds[] = {0, 60, 43, 135, 139, 140, 60};
	unsigned int extensions = p->extensions - (p->later_fragment && p->extensions == 8);
	uint8_t *next = at + 6;

	memset(at, 0, 40);
	at[0] = 0x60;
	memcpy(at + 8, p->address[0], 16);
	memcpy(at + 24, p->address[1], 16);
	at += 40;
	for (unsigned int i = 0; i < extensions; i++) {
		*next = kinds[i % sizeof(kinds)];
		next = at;
		memset(at, 0, 16);
		at[1] = i % 2;
		at += 8 + 8 * at[1];
	}
	if (p->later_fragment) {
		*next = 44;
		next = at;
		memset(at, 0, 8);
		at[3] = 8;
		at += 8;
	}
	*next = p->protocol;
	return at;
}

static inline void check_random_packet(uint32_t *state, struct check_packet *p)
{
	unsigned int family = check_random(state, 2);
	uint8_t *at = p->frame + 12;

	memset(p, 0, sizeof(*p));
	p->version = check_random(state, 20) == 0 ? 0 : family == 0 ? 4 : 6;
	p->protocol = CHECK_ONE_OF(state, CHECK_PROTOCOLS);
	p->later_fragment = check_random(state, 8) == 0;
	p->tags = check_random(state, 3);
	p->extensions = check_random(state, 9);
	p->length = check_random(state, 100); /* until it is known, for the number of options */
	for (unsigned int side = 0; side < PREFILTER_SIDES; side++) {
		(void)inet_pton(family == 0 ? AF_INET : AF_INET6,
			CHECK_ONE_OF(state, CHECK_HOSTS[family]), p->address[side]);
		p->port[side] = CHECK_ONE_OF(state, CHECK_PORT_NUMBERS);
	}
	for (unsigned int i = 0; i < p->tags; i++)
		at = check_put16(check_put16(at, i == 0 ? 0x88a8 : 0x8100), 7);
	at = check_put16(at, p->version == 0 ? 0x0806 : p->version == 4 ? 0x0800 : 0x86dd);
	at = p->version == 6 ? check_put_ipv6(at, p) : check_put_ipv4(at, p);
	at = check_put16(check_put16(at, p->port[0]), p->port[1]) + 4;
	p->length = (unsigned int)(at - p->frame);
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
	if (p->later_fragment)
		return r->action != RULE_DROP;
	return src->ports.first <= p->port[0] && p->port[0] <= src->ports.last &&
	       dst->ports.first <= p->port[1] && p->port[1] <= dst->ports.last;
}

/* The number of the first rule that matches; rules->count: none. */
static inline unsigned int check_first_rule(const struct rules *rules, const struct check_packet *p)
{
	for (unsigned int i = 0; i < rules->count && p->version != 0; i++) {
		const struct rule *r = &rules->list[i];

		if (r->protocol != PROTOCOL_ANY && r->protocol != p->protocol)
			continue;
		if (check_way_matches(r, &r->src, &r->dst, p) ||
			(r->either_way && check_way_matches(r, &r->dst, &r->src, p)))
			return i;
	}
	return rules->count;
}
