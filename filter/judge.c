/*
 * Judging a burst: which packets are kept, and how much of them.
 *
 *   sort    plain packets lie as libpcap's program expects (plain.h), all others are odd
 *   plain   the expression over all, then the rules over those that are left
 *   odd     one by one: header walk, then as the packet is to be seen
 *   inside  of tunnels, one by one, where the packet itself was not kept
 *   cutoff  over all that is kept so far
 */
#include "judge.h"

#include <pcap/dlt.h>

#include <rte_common.h>
#include <rte_mbuf.h>

#include "judge_parts.h"
#include "plain.h"

/* -- Plain packets -- */

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

/* -- Rules -- */

static inline void key_of_plain(
	const struct filter *f, const struct filter_burst *b, unsigned int i, struct flow_key *key)
{
	const struct rte_mbuf *m = b->pkts[i];
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint8_t buf[EXPRESSION_LINEAR_MAX];
	struct ip_header ip;
	struct walked w;
	uint32_t end;

	if (likely(plain_ip(data, m->data_len, &ip, &end))) {
		key_of_ip(key, data, &ip, PORTS_NONE);
		return;
	}
	walk(f, b, i, buf, &w);
	if (w.headers.count > 0)
		key_of_ip(key, w.data, &w.headers.ip[0], PORTS_NONE);
	else
		*key = (struct flow_key){.family = FLOW_NO_IP};
}

/* To keep or to drop is no branch: nobody can predict it. */
static inline uint64_t kept_by(const struct filter *f, uint64_t pkts, const uint32_t rules[])
{
	uint64_t kept = 0;
	unsigned int n = 0;

	for (uint64_t rest = pkts; rest != 0; rest &= rest - 1)
		kept |= (uint64_t)(f->deeds[rules[n++]].action != RULE_DROP) << rte_bsf64(rest);
	return kept;
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
	if (!f->rules_cut && v->reasons == NULL)
		return kept_by(f, pkts, rules);
	n = 0;
	for (uint64_t rest = pkts; rest != 0; rest &= rest - 1) {
		unsigned int i = rte_bsf64(rest);

		kept |= (uint64_t)apply_rule(f, b->pkts[i], rules[n++], 0, v, i) << i;
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

static inline void cutoff_key_of(
	struct cutoff_key *key, const uint8_t *data, const struct ip_header *ip)
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
	uint32_t end;

	if (likely(plain && f->tunnels == 0 && plain_ip(data, m->data_len, &ip, &end))) {
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
	v->recut &= ~bit(i); /* a rule may have cut it */
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
		kept |= judge_odd(f, t, b, 1, wanted & ~odd & ~kept, ret);
	if (unlikely(odd != 0))
		kept |= judge_odd(f, t, b, 0, odd, ret);
	ret->kept = kept;
	if (cuts_off)
		cut_off(f, t->memory->cutoffs[b->queue], b, plain, ret);
}
