/*
 * Judging a burst: which packets are kept, and how much of them.
 *
 *   sort    plain packets lie as libpcap's program expects: IP right behind Ethernet and its tags, no
 *           fragment, no extension header; or they are not IP. All others are odd
 *   plain   the expression over all, then the rules over those that are left
 *   odd     one by one: header walk, then as the packet is to be seen
 *   inside  of tunnels, one by one, where the packet itself was not kept
 *   cutoff  over all that is kept so far
 */
#include "judge.h"

#include <string.h>

#include <pcap/dlt.h>

#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_mbuf.h>

#include "flow_key.h"
#include "program_maybe.h"

enum {
	PLAIN_BYTES = 54, /* Ethernet, two tags, IPv6: less is odd */
	TAG_BYTES = 4,
	TAGS_MAX = 2,
	IPV4_FRAGMENT = 6, /* places in the headers */
	IPV6_NEXT_HEADER = 6,
	PROTOCOL_ICMP = 1,
	PROTOCOL_ICMPV6 = 58,
};

static inline bool is_tag_type(rte_be16_t type)
{
	return type == RTE_BE16(0x8100) || type == RTE_BE16(0x88a8) || type == RTE_BE16(0x9100);
}

static inline bool is_label_type(rte_be16_t type)
{
	return type == RTE_BE16(0x8847) || type == RTE_BE16(0x8848) || type == RTE_BE16(0x8864);
}

static inline uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t bit(unsigned int i)
{
	return 1ULL << i;
}

/* -- Plain packets -- */

/* Of an Ethernet frame with PLAIN_BYTES at least: its type behind up to two tags, and where that ends. */
static inline rte_be16_t type_behind_tags(const uint8_t *p, uint32_t *ret_off)
{
	rte_be16_t type = load16(p + 12);
	uint32_t off = 14;

	for (unsigned int tags = 0; tags < TAGS_MAX && unlikely(is_tag_type(type)); tags++) {
		type = load16(p + off + 2);
		off += TAG_BYTES;
	}
	*ret_off = off;
	return type;
}

static inline bool is_plain(const uint8_t *p)
{
	uint32_t off;
	rte_be16_t type = type_behind_tags(p, &off);

	if (likely(type == RTE_BE16(0x0800))) /* more fragments, offset */
		return (load16(p + off + IPV4_FRAGMENT) & RTE_BE16(0x3fff)) == 0;
	if (type == RTE_BE16(0x86dd))
		return !is_extension(p[off + IPV6_NEXT_HEADER]);
	return !is_label_type(type) && !is_tag_type(type);
}

static inline uint64_t find_plain(const struct filter *f, const struct filter_burst *b)
{
	uint64_t plain = 0;

	if (f->linktype != DLT_EN10MB)
		return 0;
	for (unsigned int i = b->count; i-- > 0;) {
		const struct rte_mbuf *m = b->pkts[i];

		plain = plain << 1 | (m->data_len >= PLAIN_BYTES &&
					     is_plain(rte_pktmbuf_mtod(m, const uint8_t *)));
	}
	return plain;
}

/* Packets of which less has come than they had on the wire: the program takes "len" from elsewhere. */
static uint64_t find_short(const struct filter_burst *b)
{
	uint64_t short_pkts = 0;

	for (unsigned int i = 0; b->wire_len != NULL && i < b->count; i++)
		short_pkts |= (uint64_t)(b->wire_len[i] != b->pkts[i]->pkt_len) << i;
	return short_pkts;
}

/* -- From packets to keys -- */

static void key_of_ip(struct flow_key *key, const uint8_t *data, const struct ip_header *ip,
	enum flow_ports of_later)
{
	const uint8_t *header = data + ip->ip_off;
	enum flow_ports ports = ip->ports            ? PORTS_KNOWN
				: ip->later_fragment ? of_later
						     : PORTS_NONE;

	*key = (struct flow_key){.class = flow_class(ip->protocol, ports),
		.family = ip->version == 4 ? FLOW_IPV4 : FLOW_IPV6};
	if (ip->version == 4) {
		memcpy(key->src, header + 12, 4);
		memcpy(key->dst, header + 16, 4);
	} else {
		memcpy(key->src, header + 8, 16);
		memcpy(key->dst, header + 24, 16);
	}
	if (ip->ports) {
		key->sport = load16(data + ip->payload_off);
		key->dport = load16(data + ip->payload_off + 2);
	}
}

/*
 * The IP header of a plain packet, if it is one of the common kind: what the header walk would tell, in a tenth
 * of the time. len is what lies at p, PLAIN_BYTES at least.
 */
static inline bool common_ip(const uint8_t *p, uint32_t len, struct ip_header *ip)
{
	uint32_t off, room;
	rte_be16_t type = type_behind_tags(p, &off);
	bool has_ports;

	if (type == RTE_BE16(0x0800) && p[off] == 0x45) {
		ip->version = 4;
		ip->protocol = p[off + 9];
		ip->payload_off = off + 20;
		room = rte_be_to_cpu_16(load16(p + off + 2)); /* with its header */
	} else if (type == RTE_BE16(0x86dd) && p[off] >> 4 == 6) {
		ip->version = 6;
		ip->protocol = p[off + 6];
		ip->payload_off = off + 40;
		room = 40U + rte_be_to_cpu_16(load16(p + off + 4));
	} else {
		return false;
	}
	has_ports = flow_classes[ip->protocol] >= CLASS_PORTS;
	if (!has_ports && ip->protocol != PROTOCOL_ICMP && ip->protocol != PROTOCOL_ICMPV6)
		return false;
	/* All four bytes of the ports are there, or somebody else looks closer. */
	if (room < ip->payload_off - off + 4 || len < ip->payload_off + 4)
		return false;
	ip->ip_off = off;
	ip->fragment = ip->later_fragment = false;
	ip->ports = has_ports;
	return true;
}

/* A packet of several segments, in one piece. Others are where they are. */
static void walk(const struct filter *f, const struct filter_burst *b, unsigned int i, uint8_t *buf,
	struct walked *ret)
{
	struct rte_mbuf *m = b->pkts[i];

	ret->mbuf = m;
	ret->len = m->data_len;
	ret->wire_len = b->wire_len != NULL ? b->wire_len[i] : m->pkt_len;
	ret->data = rte_pktmbuf_mtod(m, const uint8_t *);
	if (unlikely(m->nb_segs > 1)) {
		ret->len = RTE_MIN(m->pkt_len, (uint32_t)EXPRESSION_LINEAR_MAX);
		ret->data = rte_pktmbuf_read(m, 0, ret->len, buf);
	}
	(void)headers_walk(f->linktype, ret->data, ret->len, &ret->headers);
}

/* -- Rules -- */

static void note(
	struct verdict *v, unsigned int i, enum filter_why why, uint32_t rule, unsigned int level)
{
	if (v->reasons != NULL)
		v->reasons[i] = (struct filter_reason){.why = why, .rule = rule, .level = level};
}

static void store_at_most(struct verdict *v, unsigned int i, uint32_t bytes)
{
	if ((v->recut & bit(i)) == 0 || bytes < v->most[i])
		v->most[i] = bytes;
	v->recut |= bit(i);
}

static void cut_packet(const struct filter *f, const struct rte_mbuf *m, const struct cut *cut,
	struct verdict *v, unsigned int i)
{
	store_at_most(v, i,
		cut_length(cut, f->linktype, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
			m->pkt_len));
}

/* True when the rule keeps the packet. */
static inline bool apply_rule(const struct filter *f, const struct rte_mbuf *m, uint32_t rule,
	unsigned int level, struct verdict *v, unsigned int i)
{
	const struct rule_deed *deed = &f->deeds[rule];

	note(v, i, rule == 0 ? FILTER_BY_NO_RULE : FILTER_BY_RULE, rule, level);
	if (deed->action == RULE_DROP)
		return false;
	if (deed->action == RULE_CUT)
		cut_packet(f, m, &deed->cut, v, i);
	return true;
}

static void key_of_plain(
	const struct filter *f, const struct filter_burst *b, unsigned int i, struct flow_key *key)
{
	const struct rte_mbuf *m = b->pkts[i];
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t buf[EXPRESSION_LINEAR_MAX];
	struct ip_header ip;
	struct walked w;

	if (likely(common_ip(data, m->data_len, &ip))) {
		key_of_ip(key, data, &ip, PORTS_NONE);
		return;
	}
	walk(f, b, i, buf, &w);
	if (w.headers.count > 0)
		key_of_ip(key, w.data, &w.headers.ip[0], PORTS_NONE);
	else
		*key = (struct flow_key){.family = FLOW_NO_IP};
}

static inline void find_rules(const struct filter *f, struct filter_tables *t, unsigned int queue,
	const struct flow_key keys[], unsigned int count, uint32_t ret_rules[])
{
	if (likely(t != NULL))
		rule_cache_match(t->caches[queue], f->table, keys, count, ret_rules);
	else
		rule_table_match(f->table, keys, count, ret_rules);
}

/* Which of the plain packets the rules keep. */
static uint64_t match_rules(const struct filter *f, struct filter_tables *t,
	const struct filter_burst *b, uint64_t pkts, struct verdict *v)
{
	struct flow_key keys[FILTER_BURST];
	uint32_t rules[FILTER_BURST];
	unsigned int n = 0;
	uint64_t kept = 0;

	if (pkts == 0)
		return 0;
	for (uint64_t rest = pkts; rest != 0; rest &= rest - 1)
		key_of_plain(f, b, rte_bsf64(rest), &keys[n++]);
	find_rules(f, t, b->queue, keys, n, rules);
	n = 0;
	for (uint64_t rest = pkts; rest != 0; rest &= rest - 1) {
		unsigned int i = rte_bsf64(rest);

		if (apply_rule(f, b->pkts[i], rules[n++], 0, v, i))
			kept |= bit(i);
	}
	return kept;
}

/* -- Odd packets, and what is inside of tunnels -- */

static bool match_expression(
	const struct filter *f, const struct walked *w, unsigned int level, enum filter_why *why)
{
	enum expression_answer answer;

	*why = FILTER_BY_EXPRESSION;
	if (f->expression == NULL) {
		*why = FILTER_BY_ALL;
		return true;
	}
	if (level >= w->headers.count)
		return expression_match_other(f->expression, w);
	answer = expression_match_ip(f->expression, w, level);
	if (answer == EXPRESSION_MAYBE)
		*why = FILTER_BY_MAYBE;
	return answer != EXPRESSION_NO;
}

static bool match_rule(const struct filter *f, struct filter_tables *t, unsigned int queue,
	const struct walked *w, unsigned int level, struct verdict *v, unsigned int i)
{
	struct flow_key key = {.family = FLOW_NO_IP};
	uint32_t rule;

	if (level < w->headers.count)
		key_of_ip(&key, w->data, &w->headers.ip[level],
			f->literal ? PORTS_NONE : PORTS_UNKNOWN);
	find_rules(f, t, queue, &key, 1, &rule);
	return apply_rule(f, w->mbuf, rule, level, v, i);
}

static bool match_here(const struct filter *f, struct filter_tables *t, unsigned int queue,
	const struct walked *w, unsigned int level, struct verdict *v, unsigned int i)
{
	enum filter_why why;
	bool kept = match_expression(f, w, level, &why);

	note(v, i, why, 0, level);
	return kept && (f->table == NULL || match_rule(f, t, queue, w, level, v, i));
}

static void fragment_key_of(
	struct fragment_key *key, const uint8_t *data, const struct ip_header *ip)
{
	const uint8_t *header = data + ip->ip_off;
	bool is_ipv4 = ip->version == 4;

	/* IPv4's own protocol: of a first fragment the walk may be past an AH. */
	fragment_key_make(key, ip->version, is_ipv4 ? header[9] : 0, header + (is_ipv4 ? 12 : 8),
		header + (is_ipv4 ? 16 : 24), ip->fragment_id);
}

/* The filter's answer to the packet as it is at level; of fragments that of their first one, if it is known. */
static bool match_level(const struct filter *f, struct filter_tables *t,
	const struct filter_burst *b, const struct walked *w, unsigned int level, struct verdict *v,
	unsigned int i)
{
	const struct ip_header *ip = level < w->headers.count ? &w->headers.ip[level] : NULL;
	enum fragment_decision first = FRAGMENT_UNKNOWN;
	struct fragment_key key;
	bool kept;

	if (!f->follow || t == NULL || ip == NULL || !ip->fragment)
		return match_here(f, t, b->queue, w, level, v, i);
	fragment_key_of(&key, w->data, ip);
	if (ip->later_fragment)
		first = fragments_later(t->memory->fragments, b->queue, &key, b->time_ns[i]);
	kept = first != FRAGMENT_DROPPED && match_here(f, t, b->queue, w, level, v, i);
	if (first == FRAGMENT_UNKNOWN && !ip->later_fragment)
		fragments_first(t->memory->fragments, &key, kept, b->time_ns[i]);
	if (first != FRAGMENT_UNKNOWN)
		note(v, i, FILTER_BY_FIRST, 0, level);
	return first == FRAGMENT_KEPT || kept;
}

/* From level on, as the packet itself or in one of the tunnels that are looked into. */
static bool match_from(const struct filter *f, struct filter_tables *t,
	const struct filter_burst *b, unsigned int level, struct verdict *v, unsigned int i)
{
	struct filter_reason outer = {.why = FILTER_BY_EXPRESSION};
	uint8_t buf[EXPRESSION_LINEAR_MAX];
	struct walked w;

	walk(f, b, i, buf, &w);
	if (level == 0 && match_level(f, t, b, &w, 0, v, i))
		return true;
	if (v->reasons != NULL)
		outer = v->reasons[i];
	for (level = 1; level < w.headers.count; level++)
		if ((f->tunnels >> w.headers.ip[level].tunnel & 1) != 0 &&
			match_level(f, t, b, &w, level, v, i))
			return true;
	/* What the packet itself was not kept for tells more than what was inside of it. */
	if (v->reasons != NULL)
		v->reasons[i] = outer;
	return false;
}

static uint64_t match_each(const struct filter *f, struct filter_tables *t,
	const struct filter_burst *b, unsigned int level, uint64_t pkts, struct verdict *v)
{
	uint64_t kept = 0;

	for (; pkts != 0; pkts &= pkts - 1) {
		unsigned int i = rte_bsf64(pkts);

		if (match_from(f, t, b, level, v, i))
			kept |= bit(i);
	}
	return kept;
}

/* -- Cutoff -- */

/* The header whose flow counts: the packet's own, or that of the innermost tunnel that is looked into. */
static unsigned int flow_level(const struct filter *f, const struct headers *h)
{
	unsigned int level = h->count - 1;

	while (level > 0 && (f->tunnels >> h->ip[level].tunnel & 1) == 0)
		level--;
	return level;
}

static void cutoff_key_of(struct cutoff_key *key, const uint8_t *data, const struct ip_header *ip)
{
	const uint8_t *header = data + ip->ip_off;
	const uint8_t *ports = data + ip->payload_off;

	cutoff_key_make(key, ip->version, ip->protocol, header + (ip->version == 4 ? 12 : 8),
		header + (ip->version == 4 ? 16 : 24), ip->ports ? load16(ports) : 0,
		ip->ports ? load16(ports + 2) : 0);
}

/* False: it is of no flow. */
static bool find_flow(const struct filter *f, const struct filter_burst *b, unsigned int i,
	bool plain, struct cutoff_key *key)
{
	const struct rte_mbuf *m = b->pkts[i];
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t buf[EXPRESSION_LINEAR_MAX];
	struct ip_header ip;
	struct walked w;

	if (likely(plain && f->tunnels == 0 && common_ip(data, m->data_len, &ip))) {
		cutoff_key_of(key, data, &ip);
		return true;
	}
	walk(f, b, i, buf, &w);
	if (w.headers.count == 0)
		return false;
	cutoff_key_of(key, w.data, &w.headers.ip[flow_level(f, &w.headers)]);
	return true;
}

static void cut_behind(
	const struct filter *f, const struct filter_burst *b, unsigned int i, struct verdict *v)
{
	static const struct cut headers = {.snaplen = SNAPLEN_MAX, .headers = true};

	if (v->reasons != NULL)
		v->reasons[i].why = FILTER_BY_CUTOFF;
	if (f->after == FILTER_AFTER_HEADERS) {
		cut_packet(f, b->pkts[i], &headers, v, i);
		return;
	}
	v->kept &= ~bit(i);
	v->cutoff |= bit(i);
}

static void cut_off(const struct filter *f, struct cutoff *c, const struct filter_burst *b,
	uint64_t plain, struct verdict *v)
{
	struct cutoff_key keys[FILTER_BURST];
	uint32_t bytes[FILTER_BURST];
	uint64_t time_ns[FILTER_BURST], beyond;
	uint8_t places[FILTER_BURST];
	unsigned int n = 0;

	for (uint64_t rest = v->kept; rest != 0; rest &= rest - 1) {
		unsigned int i = rte_bsf64(rest);

		if (!find_flow(f, b, i, (plain & bit(i)) != 0, &keys[n]))
			continue;
		bytes[n] = b->wire_len != NULL ? b->wire_len[i] : b->pkts[i]->pkt_len;
		time_ns[n] = b->time_ns[i];
		places[n++] = (uint8_t)i;
	}
	beyond = cutoff_match(c, keys, bytes, time_ns, n);
	for (; beyond != 0; beyond &= beyond - 1)
		cut_behind(f, b, places[rte_bsf64(beyond)], v);
}

/* -- All of it -- */

static void note_all(const struct filter *f, const struct filter_burst *b, struct verdict *v)
{
	for (unsigned int i = 0; v->reasons != NULL && i < b->count; i++)
		note(v, i, f->expression == NULL ? FILTER_BY_ALL : FILTER_BY_EXPRESSION, 0, 0);
}

void filter_judge(const struct filter *f, struct filter_tables *t, const struct filter_burst *b,
	uint64_t wanted, struct verdict *ret)
{
	bool cuts_off = f->cuts_off && t != NULL;
	uint64_t plain = f->looks || cuts_off ? find_plain(f, b) : UINT64_MAX;
	uint64_t odd = f->looks ? wanted & ~plain : 0, kept;

	if (f->expression != NULL)
		odd |= wanted & find_short(b);
	kept = wanted & ~odd;

	ret->recut = 0;
	ret->cutoff = 0;
	note_all(f, b, ret);
	if (f->expression != NULL)
		kept &= expression_match(f->expression, b->pkts, b->count);
	if (f->table != NULL)
		kept = match_rules(f, t, b, kept, ret);
	if (unlikely(f->tunnels != 0))
		kept |= match_each(f, t, b, 1, wanted & ~odd & ~kept, ret);
	if (unlikely(odd != 0))
		kept |= match_each(f, t, b, 0, odd, ret);
	ret->kept = kept;
	if (cuts_off)
		cut_off(f, t->memory->cutoffs[b->queue], b, plain, ret);
}
