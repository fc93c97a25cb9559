/*
 * Judging odd packets, one by one: those that libpcap's program takes for what they are not
 * (fragments, chains of extension headers, what lies behind labels), and those inside of tunnels.
 *
 *   level 0   the packet itself, without its tags and labels
 *   level 1.. the packets inside of its tunnels, from the outermost on
 */
#include <netinet/in.h>
#include <string.h>

#include <rte_common.h>

#include "judge.h"
#include "judge_parts.h"
#include "program_maybe.h"

/* One packet being judged. */
struct judging {
	const struct filter *f;
	struct filter_tables *t;
	unsigned int queue;
	uint64_t time_ns;
	struct verdict *v;
	unsigned int i; /* its place in the burst */
	struct walked w;
};

static const struct ip_header *header_at(const struct judging *j, unsigned int level)
{
	return level < j->w.headers.count ? &j->w.headers.ip[level] : NULL;
}

/* The packet itself, and those in tunnels that are named. */
static bool is_looked_at(const struct judging *j, unsigned int level)
{
	return level == 0 || (j->f->tunnels >> j->w.headers.ip[level].tunnel & 1) != 0;
}

/* The expression speaks of fragments itself: it means what it means to tcpdump. */
static bool names_fragments(const struct filter *f, const struct ip_header *ip)
{
	return f->expression != NULL && expression_names_fragments(f->expression, ip->version);
}

/* -- Expression and rules -- */

static bool match_expression(const struct judging *j, unsigned int level, enum filter_why *why)
{
	const struct expression *e = j->f->expression;
	enum expression_answer answer;

	*why = e == NULL ? FILTER_BY_ALL : FILTER_BY_EXPRESSION;
	if (e == NULL)
		return true;
	if (header_at(j, level) == NULL)
		return expression_match_other(e, &j->w);
	answer = expression_match_ip(e, &j->w, level);
	if (answer == EXPRESSION_MAYBE)
		*why = FILTER_BY_MAYBE;
	return answer != EXPRESSION_NO;
}

/*
 * Of a later fragment whose datagram begins with an extension header or AH: what follows that is in the
 * first one. The rule that keeps it as one of the protocols that rules mostly name, if there is one.
 */
static uint32_t rule_behind_extension(const struct filter *f, const struct flow_key *own)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_DCCP,
		IPPROTO_UDPLITE, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_ESP};
	enum { PROTOCOLS = sizeof(protocols) };
	struct flow_key keys[PROTOCOLS + 1];
	uint32_t rules[PROTOCOLS + 1];

	for (unsigned int n = 0; n <= PROTOCOLS; n++) {
		keys[n] = *own;
		if (n > 0)
			keys[n].class = flow_class(protocols[n - 1], PORTS_UNKNOWN);
	}
	rule_table_match(f->table, keys, PROTOCOLS + 1, rules);
	for (unsigned int n = 0; n <= PROTOCOLS; n++)
		if (f->deeds[rules[n]].action != RULE_DROP)
			return rules[n];
	return rules[0];
}

static bool match_rule(const struct judging *j, unsigned int level)
{
	const struct ip_header *ip = header_at(j, level);
	struct flow_key key = {.family = FLOW_NO_IP};
	uint32_t rule;

	if (ip != NULL)
		key_of_ip(&key, j->w.data, ip, j->f->literal ? PORTS_NONE : PORTS_UNKNOWN);
	if (ip != NULL && ip->later_fragment && is_extension(ip->protocol) && !j->f->literal)
		rule = rule_behind_extension(j->f, &key);
	else
		find_rules(j->f, j->t, j->queue, &key, 1, &rule);
	return apply_rule(j->f, j->w.mbuf, rule, level, j->v, j->i);
}

static bool match_here(const struct judging *j, unsigned int level)
{
	enum filter_why why;
	bool kept = match_expression(j, level, &why);

	note(j->v, j->i, why, 0, level);
	return kept && (j->f->table == NULL || match_rule(j, level));
}

/* -- Fragments -- */

static void fragment_key_of(
	struct fragment_key *key, const uint8_t *data, const struct ip_header *ip)
{
	const uint8_t *header = data + ip->ip_off;
	bool is_ipv4 = ip->version == 4;

	/* IPv4's own protocol: of a first fragment the walk may be past an AH. */
	fragment_key_make(key, ip->version, is_ipv4 ? header[9] : 0, header + (is_ipv4 ? 12 : 8),
		header + (is_ipv4 ? 16 : 24), ip->fragment_id);
}

/* The first fragment decides for the others. */
static bool follows(const struct judging *j, const struct ip_header *ip)
{
	return j->f->follow && j->t != NULL && ip->fragment && !names_fragments(j->f, ip);
}

/* What was decided about the first fragment, if the others follow it. */
static enum fragment_decision first_of(const struct judging *j, const struct ip_header *ip)
{
	struct fragment_key key;

	if (!follows(j, ip))
		return FRAGMENT_UNKNOWN;
	fragment_key_of(&key, j->w.data, ip);
	return fragments_later(j->t->memory->fragments, j->queue, &key, j->time_ns);
}

/* It may be of a packet in a tunnel that is looked into, and that one could be kept. */
static bool could_carry(const struct filter *f, const struct ip_header *ip)
{
	unsigned int carried = 0;

	if (ip->protocol == IPPROTO_UDP)
		carried = 1U << TUNNEL_VXLAN | 1U << TUNNEL_GENEVE | 1U << TUNNEL_GTP_U;
	else if (ip->protocol == IPPROTO_GRE)
		carried = 1U << TUNNEL_GRE;
	else if (ip->protocol == IPPROTO_IPIP || ip->protocol == IPPROTO_IPV6)
		carried = 1U << TUNNEL_IPIP;
	return !f->literal && (f->tunnels & carried) != 0 && !names_fragments(f, ip);
}

/*
 * What became of a first fragment. One that is kept for what is inside of it decides so for the later
 * ones, too, which do not show it.
 */
static void remember(const struct judging *j, unsigned int levels, bool kept)
{
	for (unsigned int level = 0; level < levels; level++) {
		const struct ip_header *ip = &j->w.headers.ip[level];
		struct fragment_key key;

		if (ip->later_fragment || !is_looked_at(j, level) || !follows(j, ip))
			continue;
		fragment_key_of(&key, j->w.data, ip);
		fragments_first(j->t->memory->fragments, &key, kept, j->time_ns);
	}
}

/* -- Levels -- */

/* The filter's answer to the packet as it is at level; of later fragments that of the first, if it is known. */
static bool match_level(const struct judging *j, unsigned int level)
{
	const struct ip_header *ip = header_at(j, level);
	enum fragment_decision first;
	bool kept;

	if (ip == NULL || !ip->later_fragment)
		return match_here(j, level);
	first = first_of(j, ip);
	/* Also of one that is kept anyway: a rule may cut it. */
	kept = first != FRAGMENT_DROPPED && match_here(j, level);
	if (first != FRAGMENT_UNKNOWN) {
		note(j->v, j->i, FILTER_BY_FIRST, 0, level);
		return first == FRAGMENT_KEPT;
	}
	if (!kept && could_carry(j->f, ip)) {
		note(j->v, j->i, FILTER_BY_MAYBE, 0, level);
		return true;
	}
	return kept;
}

/* From level on. */
static bool match_from(const struct judging *j, unsigned int level)
{
	struct filter_reason outer = {.why = FILTER_BY_EXPRESSION};
	bool kept = false;

	if (level == 0)
		kept = match_level(j, level++);
	if (j->v->reasons != NULL)
		outer = j->v->reasons[j->i];
	for (; !kept && level < j->w.headers.count; level++)
		kept = is_looked_at(j, level) && match_level(j, level);
	remember(j, RTE_MIN(level, j->w.headers.count), kept);
	/* What the packet itself was not kept for tells more than what was inside of it. */
	if (!kept && j->v->reasons != NULL)
		j->v->reasons[j->i] = outer;
	return kept;
}

uint64_t judge_odd(const struct filter *f, struct filter_tables *t, const struct filter_burst *b,
	unsigned int level, uint64_t pkts, struct verdict *v)
{
	struct judging j = {.f = f, .t = t, .queue = b->queue, .v = v};
	uint8_t buf[EXPRESSION_LINEAR_MAX];
	uint64_t kept = 0;

	for (; pkts != 0; pkts &= pkts - 1) {
		j.i = rte_bsf64(pkts);
		j.time_ns = b->time_ns != NULL ? b->time_ns[j.i] : 0;
		walk(f, b, j.i, buf, &j.w);
		if (match_from(&j, level))
			kept |= bit(j.i);
	}
	return kept;
}
