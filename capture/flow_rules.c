#include "flow_rules.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_flow.h>

#include "flow_choice.h"
#include "wirespool/capture.h"
#include "wirespool/errbuf.h"
#include "wirespool/log.h"

/* What the NIC carries out. */
struct nic_flow {
	struct flow_match match;
	struct rte_flow *handle;
	unsigned int rule; /* of the list now, the first that has it */
	bool wanted;       /* by the list now */
	bool counts;
	uint64_t pkts;        /* dropped since it was created, when the NIC was asked last */
	uint64_t before_pkts; /* of these, before the list now */
};

struct flow_rules {
	uint16_t port_id;
	char port[PORT_NAME_MAX];
	bool shared;
	unsigned int rule_count;
	unsigned int drop_rules; /* in the list now, and of these those in the NIC */
	unsigned int taken_rules;
	unsigned int count;
	struct nic_flow flows[FLOWS_MAX];
	uint64_t gone_pkts; /* of flows that are no more */
	uint64_t rule_pkts[FLOW_RULES_MAX];
	struct flow_choice choice; /* of flow_rules_set(), too large for its stack */
};

/* -- The driver's words -- */

/*
 * IPv4's and IPv6's headers are told apart by the item, L4 ones too: some drivers want the protocol's number beside
 * an L4 item, others refuse it there. An item without spec matches every header of its kind. A tag is not
 * spoken of: whether the NIC looks behind it is the driver's to say, and it may.
 */
struct pattern {
	struct rte_flow_item items[4];
	union {
		struct rte_flow_item_ipv4 v4;
		struct rte_flow_item_ipv6 v6;
	} ip, ip_mask;
	union {
		struct rte_flow_item_tcp tcp;
		struct rte_flow_item_udp udp;
		struct rte_flow_item_sctp sctp;
	} l4, l4_mask;
};

static void fill_net(const struct rule_net *net, void *address, void *mask)
{
	uint8_t *bytes = mask;

	for (unsigned int bit = 0; bit < net->length; bit++)
		bytes[bit / 8] = (uint8_t)(bytes[bit / 8] | 0x80 >> bit % 8);
	memcpy(address, net->address, (net->length + 7U) / 8);
}

static void fill_ip(struct pattern *p, const struct flow_match *m, bool with_protocol)
{
	struct rte_flow_item *item = &p->items[1];

	if (m->version == 4) {
		item->type = RTE_FLOW_ITEM_TYPE_IPV4;
		fill_net(&m->src, &p->ip.v4.hdr.src_addr, &p->ip_mask.v4.hdr.src_addr);
		fill_net(&m->dst, &p->ip.v4.hdr.dst_addr, &p->ip_mask.v4.hdr.dst_addr);
	} else {
		item->type = RTE_FLOW_ITEM_TYPE_IPV6;
		fill_net(&m->src, p->ip.v6.hdr.src_addr, p->ip_mask.v6.hdr.src_addr);
		fill_net(&m->dst, p->ip.v6.hdr.dst_addr, p->ip_mask.v6.hdr.dst_addr);
	}
	if (with_protocol && m->version == 4) {
		p->ip.v4.hdr.next_proto_id = (uint8_t)m->protocol;
		p->ip_mask.v4.hdr.next_proto_id = 0xff;
	} else if (with_protocol) {
		p->ip.v6.hdr.proto = (uint8_t)m->protocol;
		p->ip_mask.v6.hdr.proto = 0xff;
	}
	if (!with_protocol && m->src.length == 0 && m->dst.length == 0)
		return;
	item->spec = &p->ip;
	item->mask = &p->ip_mask;
}

static enum rte_flow_item_type l4_type(int protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return RTE_FLOW_ITEM_TYPE_TCP;
	case IPPROTO_UDP:
		return RTE_FLOW_ITEM_TYPE_UDP;
	case IPPROTO_SCTP:
		return RTE_FLOW_ITEM_TYPE_SCTP;
	default:
		return RTE_FLOW_ITEM_TYPE_END;
	}
}

/* All three begin with the two ports, so one stands for all. */
static void fill_l4(struct pattern *p, const struct flow_match *m)
{
	struct rte_flow_item *item = &p->items[2];

	item->type = l4_type(m->protocol);
	if (m->sport.mask == 0 && m->dport.mask == 0)
		return;
	p->l4.udp.hdr.src_port = htons(m->sport.value);
	p->l4.udp.hdr.dst_port = htons(m->dport.value);
	p->l4_mask.udp.hdr.src_port = htons(m->sport.mask);
	p->l4_mask.udp.hdr.dst_port = htons(m->dport.mask);
	item->spec = &p->l4;
	item->mask = &p->l4_mask;
}

static void fill_pattern(struct pattern *p, const struct flow_match *m, bool with_protocol)
{
	memset(p, 0, sizeof(*p)); /* END is 0 */
	p->items[0].type = RTE_FLOW_ITEM_TYPE_ETH;
	fill_ip(p, m, with_protocol);
	fill_l4(p, m);
}

static struct rte_flow *try_flow(
	uint16_t port_id, const struct flow_match *m, bool with_protocol, bool counts)
{
	const struct rte_flow_attr attr = {.ingress = 1};
	const struct rte_flow_action_count count = {0};
	const struct rte_flow_action counted[] = {
		{.type = RTE_FLOW_ACTION_TYPE_COUNT, .conf = &count},
		{.type = RTE_FLOW_ACTION_TYPE_DROP}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	const struct rte_flow_action *actions = counts ? counted : counted + 1;
	struct rte_flow_error error;
	struct pattern p;

	fill_pattern(&p, m, with_protocol);
	if (rte_flow_validate(port_id, &attr, p.items, actions, &error) != 0)
		return NULL;
	return rte_flow_create(port_id, &attr, p.items, actions, &error);
}

/* In the words that the driver takes; counted, if it counts at all. */
static void create_flow(struct flow_rules *f, const struct flow_match *m, unsigned int rule)
{
	bool has_l4 = l4_type(m->protocol) != RTE_FLOW_ITEM_TYPE_END;
	bool has_protocol = m->protocol != PROTOCOL_ANY;
	struct nic_flow *flow = &f->flows[f->count];

	*flow = (struct nic_flow){.match = *m, .rule = rule, .wanted = true};
	for (unsigned int i = 0; i < 4 && flow->handle == NULL; i++) {
		bool with_protocol = i % 2 == 1;

		if (with_protocol ? !has_protocol : has_protocol && !has_l4)
			continue;
		flow->counts = i < 2;
		flow->handle = try_flow(f->port_id, m, with_protocol, flow->counts);
	}
	f->count += flow->handle != NULL;
}

static void query_flow(const struct flow_rules *f, struct nic_flow *flow)
{
	const struct rte_flow_action count[] = {
		{.type = RTE_FLOW_ACTION_TYPE_COUNT}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_query_count query = {0};
	struct rte_flow_error error;

	if (flow->counts && rte_flow_query(f->port_id, flow->handle, count, &query, &error) == 0 &&
		query.hits_set)
		flow->pkts = query.hits;
}

/* -- From one list to the next -- */

static struct nic_flow *find_flow(struct flow_rules *f, const struct flow_match *m)
{
	for (unsigned int i = 0; i < f->count; i++)
		if (flow_match_is_equal(&f->flows[i].match, m))
			return &f->flows[i];
	return NULL;
}

/* Tells those that stay. Packets count anew with each list. */
static void mark_wanted(struct flow_rules *f)
{
	for (unsigned int i = 0; i < f->count; i++) {
		query_flow(f, &f->flows[i]);
		f->flows[i].wanted = false;
		f->flows[i].before_pkts = f->flows[i].pkts;
	}
	for (unsigned int i = 0; i < f->choice.count; i++) {
		struct nic_flow *flow = find_flow(f, &f->choice.list[i]);

		if (flow == NULL || flow->wanted)
			continue;
		flow->wanted = true;
		flow->rule = f->choice.rules[i];
	}
}

static int destroy_unwanted(struct flow_rules *f, struct errbuf *err)
{
	struct rte_flow_error error = {0};
	unsigned int kept = 0;
	int r, failed = 0;

	for (unsigned int i = 0; i < f->count; i++) {
		struct nic_flow *flow = &f->flows[i];

		r = flow->wanted ? 1 : rte_flow_destroy(f->port_id, flow->handle, &error);
		if (r < 0)
			failed = fail_with(err, r,
				"port '%s': the NIC still drops by a rule that is no longer "
				"wanted: %s",
				f->port, error.message != NULL ? error.message : strerror(-r));
		if (r == 0)
			f->gone_pkts += flow->pkts;
		else
			f->flows[kept++] = *flow;
	}
	f->count = kept;
	return failed;
}

static void create_missing(struct flow_rules *f)
{
	for (unsigned int i = 0; i < f->choice.count && f->count < FLOWS_MAX; i++)
		if (find_flow(f, &f->choice.list[i]) == NULL)
			create_flow(f, &f->choice.list[i], f->choice.rules[i]);
}

/* Of these, a rule is in the NIC if any of its flows is. */
static unsigned int count_taken(struct flow_rules *f)
{
	bool taken[FLOW_RULES_MAX] = {false};
	unsigned int count = 0;

	for (unsigned int i = 0; i < f->choice.count; i++)
		if (!taken[f->choice.rules[i]] && find_flow(f, &f->choice.list[i]) != NULL) {
			taken[f->choice.rules[i]] = true;
			count++;
		}
	return count;
}

static void tell_taken(struct flow_rules *f)
{
	unsigned int taken = count_taken(f);

	if (f->choice.drop_rules != 0 &&
		(taken != f->taken_rules || f->choice.drop_rules != f->drop_rules))
		log_info("port %s: %u of %u drop rules are in the NIC", f->port, taken,
			f->choice.drop_rules);
	if (f->choice.drop_rules == 0)
		return; /* a pause between the same rules is not told of */
	f->taken_rules = taken;
	f->drop_rules = f->choice.drop_rules;
}

int flow_rules_set(struct flow_rules *f, const struct rules *rules, struct errbuf *err)
{
	static const struct rules none = {.count = 0};
	int r;

	flow_choose(rules != NULL ? rules : &none, f->shared, &f->choice);
	mark_wanted(f);
	r = destroy_unwanted(f, err);
	if (r < 0)
		return r;
	create_missing(f);
	f->rule_count = rules != NULL ? RTE_MIN(rules->count, (unsigned int)FLOW_RULES_MAX) : 0;
	tell_taken(f);
	return 0;
}

void flow_rules_get(struct flow_rules *f, struct port_prefilter *ret)
{
	*ret = (struct port_prefilter){.rule_count = f->rule_count, .rule_pkts = f->rule_pkts};
	for (unsigned int i = 0; i < f->rule_count; i++)
		f->rule_pkts[i] = PREFILTER_NOT_COUNTED;
	for (unsigned int i = 0; i < f->count; i++) {
		struct nic_flow *flow = &f->flows[i];
		uint64_t *pkts = &f->rule_pkts[flow->rule];

		if (!flow->counts || !flow->wanted)
			continue;
		query_flow(f, flow);
		if (*pkts == PREFILTER_NOT_COUNTED)
			*pkts = 0;
		*pkts += flow->pkts - flow->before_pkts;
		ret->dropped_pkts += flow->pkts - flow->before_pkts;
	}
}

uint64_t flow_rules_dropped_pkts(struct flow_rules *f)
{
	uint64_t pkts = f->gone_pkts;

	for (unsigned int i = 0; i < f->count; i++) {
		query_flow(f, &f->flows[i]);
		pkts += f->flows[i].pkts;
	}
	return pkts;
}

/* A driver that knows flows finds a fault with this one at most. */
static bool driver_knows_flows(uint16_t port_id)
{
	const struct rte_flow_attr attr = {.ingress = 1};
	const struct rte_flow_item pattern[] = {
		{.type = RTE_FLOW_ITEM_TYPE_ETH}, {.type = RTE_FLOW_ITEM_TYPE_END}};
	const struct rte_flow_action actions[] = {
		{.type = RTE_FLOW_ACTION_TYPE_DROP}, {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_error error;

	return rte_flow_validate(port_id, &attr, pattern, actions, &error) != -ENOSYS;
}

int flow_rules_new(uint16_t port_id, const char *port, bool shared, struct flow_rules **ret)
{
	struct flow_rules *f;

	if (!driver_knows_flows(port_id))
		return -ENOTSUP;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	f->port_id = port_id;
	f->shared = shared;
	(void)snprintf(f->port, sizeof(f->port), "%s", port);
	*ret = f;
	return 0;
}

void flow_rules_free(struct flow_rules *f)
{
	if (f == NULL)
		return;
	(void)flow_rules_set(f, NULL, NULL);
	free(f);
}
