#pragma once
/*
 * What judging takes one packet at a time, for judge.c, which does most of a burst at once, and for
 * judge_odd.c. Private to filter/.
 */

#include <string.h>

#include <rte_mbuf.h>

#include "flow_key.h"
#include "judge.h"
#include "plain.h"

static inline uint64_t bit(unsigned int i)
{
	return 1ULL << i;
}

/* -- Looking -- */

static inline void key_of_ip(struct flow_key *key, const uint8_t *data, const struct ip_header *ip,
	enum flow_ports of_later)
{
	const uint8_t *header = data + ip->ip_off;
	enum flow_ports known = ip->ports            ? PORTS_KNOWN
				: ip->later_fragment ? of_later
						     : PORTS_NONE;
	enum flow_family family = ip->version == 4 ? FLOW_IPV4 : FLOW_IPV6;
	uint32_t ports = 0;

	if (ip->ports)
		memcpy(&ports, data + ip->payload_off, sizeof(ports));
	key->first = flow_key_first(flow_class(ip->protocol, known), family, ports);
	if (family == FLOW_IPV4) {
		memcpy(key->src, header + 12, 4);
		memcpy(key->dst, header + 16, 4);
	} else {
		memcpy(key->src, header + 8, 16);
		memcpy(key->dst, header + 24, 16);
	}
}

/* A packet of several segments, in one piece. Others are where they are. */
static inline void walk(const struct filter *f, const struct filter_burst *b, unsigned int i,
	uint8_t *buf, struct walked *ret)
{
	struct rte_mbuf *m = b->pkts[i];

	ret->mbuf = m;
	ret->len = RTE_MIN(m->pkt_len, (uint32_t)EXPRESSION_LINEAR_MAX);
	ret->wire_len = b->wire_len != NULL ? b->wire_len[i] : m->pkt_len;
	ret->data = rte_pktmbuf_mtod(m, const uint8_t *);
	if (unlikely(m->nb_segs > 1))
		ret->data = rte_pktmbuf_read(m, 0, ret->len, buf);
	(void)headers_walk(f->linktype, ret->data, ret->len, &ret->headers);
}

/* -- Deciding -- */

static inline void note(
	struct verdict *v, unsigned int i, enum filter_why why, uint32_t rule, unsigned int level)
{
	if (v->reasons != NULL)
		v->reasons[i] = (struct filter_reason){.why = why, .rule = rule, .level = level};
}

static inline void store_at_most(struct verdict *v, unsigned int i, uint32_t bytes)
{
	if ((v->recut & bit(i)) == 0 || bytes < v->most[i])
		v->most[i] = bytes;
	v->recut |= bit(i);
}

static inline void cut_packet(const struct filter *f, const struct rte_mbuf *m,
	const struct cut *cut, struct verdict *v, unsigned int i)
{
	store_at_most(v, i,
		cut_length(cut, f->linktype, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len,
			m->pkt_len));
}

static inline void find_rules(const struct filter *f, struct filter_tables *t, unsigned int queue,
	const struct flow_key keys[], unsigned int count, uint32_t ret_rules[])
{
	if (likely(t != NULL))
		rule_cache_match(t->caches[queue], f->table, keys, count, ret_rules);
	else
		rule_table_match(f->table, keys, count, ret_rules);
}

/* True when the rule keeps the packet. */
static inline bool apply_rule(const struct filter *f, const struct rte_mbuf *m, uint32_t rule,
	unsigned int level, struct verdict *v, unsigned int i)
{
	const struct rule_deed *deed = &f->deeds[rule];

	note(v, i, rule == 0 ? FILTER_BY_NO_RULE : FILTER_BY_RULE, rule, level);
	if (deed->action == RULE_CUT)
		cut_packet(f, m, &deed->cut, v, i);
	return deed->action != RULE_DROP;
}
