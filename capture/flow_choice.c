#include "flow_choice.h"

#include <netinet/in.h>
#include <string.h>

/* A rule in one direction and family. */
struct way {
	const struct rule *rule;
	const struct rule_side *src;
	const struct rule_side *dst;
	uint8_t version;
};

/* The flows that a range of ports takes: 16 bits make 30 of them at most. */
struct pieces {
	unsigned int count;
	struct flow_ports list[32];
};

static bool ports_are_equal(struct flow_ports a, struct flow_ports b)
{
	return a.value == b.value && a.mask == b.mask;
}

bool flow_match_is_equal(const struct flow_match *a, const struct flow_match *b)
{
	return a->version == b->version && a->protocol == b->protocol &&
	       rule_net_is_equal(&a->src, &b->src) && rule_net_is_equal(&a->dst, &b->dst) &&
	       ports_are_equal(a->sport, b->sport) && ports_are_equal(a->dport, b->dport);
}

/* -- Do two rules have packets in common? -- */

static bool nets_meet(const struct rule_net *a, const struct rule_net *b)
{
	unsigned int bits = a->length < b->length ? a->length : b->length;
	uint8_t mask = (uint8_t)(0xff00 >> bits % 8);

	return memcmp(a->address, b->address, bits / 8) == 0 &&
	       (bits % 8 == 0 || ((a->address[bits / 8] ^ b->address[bits / 8]) & mask) == 0);
}

static bool fits(const struct rule_net *net, uint8_t version)
{
	return net->version == 0 || net->version == version;
}

static bool sides_meet(const struct rule_side *a, const struct rule_side *b, uint8_t version)
{
	return fits(&b->net, version) && nets_meet(&a->net, &b->net) &&
	       a->ports.first <= b->ports.last && b->ports.first <= a->ports.last;
}

/*
 * IPv6's extension headers have numbers of protocols. The recorder looks behind them and NICs may or may not, so
 * a rule of such a number does not find the same packets here and there.
 */
static bool is_extension(int protocol)
{
	static const uint8_t numbers[] = {0, 43, 44, 51, 59, 60, 135, 139, 140};

	return protocol >= 0 && memchr(numbers, protocol, sizeof(numbers)) != NULL;
}

static bool protocols_meet(int a, int b)
{
	return a == b || a == PROTOCOL_ANY || b == PROTOCOL_ANY || is_extension(b);
}

static bool way_meets(const struct way *w, const struct rule *r)
{
	if (!protocols_meet(w->rule->protocol, r->protocol))
		return false;
	return (sides_meet(w->src, &r->src, w->version) &&
		       sides_meet(w->dst, &r->dst, w->version)) ||
	       (r->either_way && sides_meet(w->src, &r->dst, w->version) &&
		       sides_meet(w->dst, &r->src, w->version));
}

static bool keeps(const struct rule *r)
{
	return r->action == RULE_KEEP || r->action == RULE_CUT;
}

static bool meets_keep_before(const struct way *w, const struct rules *rules)
{
	for (const struct rule *r = rules->list; r < w->rule; r++)
		if (keeps(r) && way_meets(w, r))
			return true;
	return false;
}

/* -- From rules to flows -- */

static bool may_drop(const struct rule *r, bool shared)
{
	bool all_of_ip = r->protocol == PROTOCOL_ANY && r->src.net.length == 0 &&
			 r->dst.net.length == 0 && !rule_has_ports(r);

	if (shared)
		return r->action == RULE_DROP && !all_of_ip;
	return r->action == RULE_DROP || r->action == RULE_PASS;
}

static void split_ports(struct port_range range, struct pieces *ret)
{
	uint32_t first = range.first, size;

	ret->count = 0;
	for (; first <= range.last; first += size) {
		size = first == 0 ? 65536 : first & -first;
		while (first + size - 1 > range.last)
			size /= 2;
		ret->list[ret->count++] = (struct flow_ports){
			.value = (uint16_t)first, .mask = (uint16_t) ~(size - 1)};
	}
}

static void add_flow(struct flow_choice *c, unsigned int rule, const struct flow_match *m)
{
	if (c->count == FLOWS_MAX)
		return;
	c->rules[c->count] = (uint16_t)rule;
	c->list[c->count++] = *m;
}

static void add_ports(
	struct flow_choice *c, unsigned int rule, const struct way *w, struct flow_match *m)
{
	struct pieces src, dst;

	split_ports(w->src->ports, &src);
	split_ports(w->dst->ports, &dst);
	if (src.count * dst.count > FLOW_PORT_PIECES_MAX)
		return;
	for (unsigned int i = 0; i < src.count * dst.count; i++) {
		m->sport = src.list[i / dst.count];
		m->dport = dst.list[i % dst.count];
		add_flow(c, rule, m);
	}
}

static void add_protocols(
	struct flow_choice *c, unsigned int rule, const struct way *w, struct flow_match *m)
{
	static const int with_ports[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};

	m->protocol = w->rule->protocol;
	if (!rule_has_ports(w->rule)) {
		add_flow(c, rule, m);
		return;
	}
	for (unsigned int i = 0; i < sizeof(with_ports) / sizeof(with_ports[0]); i++) {
		m->protocol = with_ports[i];
		if (w->rule->protocol == PROTOCOL_ANY || w->rule->protocol == m->protocol)
			add_ports(c, rule, w, m);
	}
}

static void add_way(struct flow_choice *c, const struct rules *rules, unsigned int rule,
	const struct rule_side *src, const struct rule_side *dst)
{
	static const uint8_t versions[] = {4, 6};

	for (unsigned int i = 0; i < sizeof(versions); i++) {
		const struct way w = {&rules->list[rule], src, dst, versions[i]};
		struct flow_match m = {
			.version = versions[i], .src = w.src->net, .dst = w.dst->net};

		if (fits(&m.src, m.version) && fits(&m.dst, m.version) &&
			!meets_keep_before(&w, rules))
			add_protocols(c, rule, &w, &m);
	}
}

void flow_choose(const struct rules *rules, bool shared, struct flow_choice *ret)
{
	ret->drop_rules = 0;
	ret->count = 0;
	for (unsigned int i = 0; i < rules->count; i++) {
		const struct rule *r = &rules->list[i];

		if (!may_drop(r, shared))
			continue;
		ret->drop_rules++;
		if (i >= FLOW_RULES_MAX || is_extension(r->protocol))
			continue;
		add_way(ret, rules, i, &r->src, &r->dst);
		if (r->either_way && !rule_side_is_equal(&r->src, &r->dst))
			add_way(ret, rules, i, &r->dst, &r->src);
	}
}
