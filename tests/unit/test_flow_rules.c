/* rooms: capture filter common dpdk */
/*
 * Which drop rules a NIC carries out, with a double for the NIC: rte_flow's four calls, as drivers answer them.
 */
#include "capture/flow_rules.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_flow.h>
#include <rte_mbuf.h>

#include "capture/flow_choice.h"
#include "capture/port.h"
#include "prefilter_check.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/capture.h"
#include "wirespool/log.h"

/* -- The NIC -- */

struct rte_flow {
	struct rte_flow_item items[4];
	struct rte_flow_item_ipv4 v4[2]; /* spec and mask */
	struct rte_flow_item_ipv6 v6[2];
	struct rte_flow_item_udp l4[2];
	bool counts;
	uint64_t hits;
};

static struct nic {
	uint16_t port_id;
	bool no_flows;     /* the driver has never heard of them */
	bool no_count;     /* nor of counting them */
	bool no_protocol;  /* refuses the protocol's number beside an L4 item */
	bool own_protocol; /* wants it there */
	bool looks_behind; /* VLAN tags and extension headers */
	bool keeps_flows;  /* destroys none */
	unsigned int room;
	unsigned int count;
	struct rte_flow *flows[FLOWS_MAX];
	void (*changed)(void);
} nic;

static char said[256];

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	ck_assert_int_eq(level, LOG_INFO);
	va_start(args, format);
	(void)vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

static bool says_protocol(const struct rte_flow_item *ip)
{
	if (ip->mask == NULL)
		return false;
	if (ip->type == RTE_FLOW_ITEM_TYPE_IPV4)
		return ((const struct rte_flow_item_ipv4 *)ip->mask)->hdr.next_proto_id != 0;
	return ((const struct rte_flow_item_ipv6 *)ip->mask)->hdr.proto != 0;
}

int rte_flow_validate(uint16_t port_id, const struct rte_flow_attr *attr,
	const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
	struct rte_flow_error *error)
{
	bool has_l4 = pattern[1].type != RTE_FLOW_ITEM_TYPE_END &&
		      pattern[2].type != RTE_FLOW_ITEM_TYPE_END;

	(void)error;
	ck_assert_uint_eq(port_id, nic.port_id);
	ck_assert(attr->ingress && !attr->egress && !attr->transfer);
	ck_assert_int_eq(pattern[0].type, RTE_FLOW_ITEM_TYPE_ETH);
	if (nic.no_flows)
		return -ENOSYS;
	if (nic.no_count && actions[0].type == RTE_FLOW_ACTION_TYPE_COUNT)
		return -ENOTSUP;
	if (has_l4 && nic.no_protocol && says_protocol(&pattern[1]))
		return -EINVAL;
	if (has_l4 && nic.own_protocol && !says_protocol(&pattern[1]))
		return -EINVAL;
	return 0;
}

/* What an item points to is the caller's, and gone when it returns. */
static void copy_item(struct rte_flow_item *item, void *spec, size_t size)
{
	ck_assert_int_eq(item->spec == NULL, item->mask == NULL);
	ck_assert_ptr_null(item->last);
	if (item->spec == NULL)
		return;
	memcpy(spec, item->spec, size);
	memcpy((char *)spec + size, item->mask, size);
	item->spec = spec;
	item->mask = (char *)spec + size;
}

struct rte_flow *rte_flow_create(uint16_t port_id, const struct rte_flow_attr *attr,
	const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
	struct rte_flow_error *error)
{
	struct rte_flow *f;

	if (rte_flow_validate(port_id, attr, pattern, actions, error) != 0 || nic.count >= nic.room)
		return NULL;
	f = calloc(1, sizeof(*f));
	memcpy(f->items, pattern, sizeof(f->items));
	if (f->items[1].type == RTE_FLOW_ITEM_TYPE_IPV4)
		copy_item(&f->items[1], f->v4, sizeof(f->v4[0]));
	else
		copy_item(&f->items[1], f->v6, sizeof(f->v6[0]));
	copy_item(&f->items[2], f->l4, sizeof(f->l4[0]));
	f->counts = actions[0].type == RTE_FLOW_ACTION_TYPE_COUNT;
	ck_assert_int_eq(actions[f->counts].type, RTE_FLOW_ACTION_TYPE_DROP);
	nic.flows[nic.count++] = f;
	if (nic.changed != NULL)
		nic.changed();
	return f;
}

int rte_flow_destroy(uint16_t port_id, struct rte_flow *flow, struct rte_flow_error *error)
{
	unsigned int i = 0;

	ck_assert_uint_eq(port_id, nic.port_id);
	error->message = "it is stuck";
	if (nic.keeps_flows)
		return -EIO;
	while (nic.flows[i] != flow)
		ck_assert_uint_lt(++i, nic.count);
	nic.flows[i] = nic.flows[--nic.count];
	free(flow);
	if (nic.changed != NULL)
		nic.changed();
	return 0;
}

int rte_flow_query(uint16_t port_id, struct rte_flow *flow, const struct rte_flow_action *action,
	void *data, struct rte_flow_error *error)
{
	struct rte_flow_query_count *query = data;

	(void)error;
	ck_assert_uint_eq(port_id, nic.port_id);
	ck_assert_int_eq(action->type, RTE_FLOW_ACTION_TYPE_COUNT);
	ck_assert(flow->counts);
	query->hits_set = 1;
	query->hits = flow->hits;
	return 0;
}

static bool bytes_match(const void *field, const void *spec, const void *mask, size_t size)
{
	const uint8_t *f = field, *s = spec, *m = mask;

	for (size_t i = 0; i < size; i++)
		if (((f[i] ^ s[i]) & m[i]) != 0)
			return false;
	return true;
}

/* The number that the NIC finds in the IP header. */
static uint8_t protocol_seen(const struct check_packet *p)
{
	bool hidden = p->version == 6 && (p->extensions != 0 || p->later_fragment);

	return hidden && !nic.looks_behind ? 44 : p->protocol;
}

static bool ipv4_matches(const struct rte_flow *f, const struct check_packet *p)
{
	const struct rte_flow_item_ipv4 *v = f->v4;
	uint8_t protocol = protocol_seen(p);

	return p->version == 4 &&
	       bytes_match(p->address[0], &v[0].hdr.src_addr, &v[1].hdr.src_addr, 4) &&
	       bytes_match(p->address[1], &v[0].hdr.dst_addr, &v[1].hdr.dst_addr, 4) &&
	       bytes_match(&protocol, &v[0].hdr.next_proto_id, &v[1].hdr.next_proto_id, 1);
}

static bool ipv6_matches(const struct rte_flow *f, const struct check_packet *p)
{
	const struct rte_flow_item_ipv6 *v = f->v6;
	uint8_t protocol = protocol_seen(p);

	return p->version == 6 &&
	       bytes_match(p->address[0], v[0].hdr.src_addr, v[1].hdr.src_addr, 16) &&
	       bytes_match(p->address[1], v[0].hdr.dst_addr, v[1].hdr.dst_addr, 16) &&
	       bytes_match(&protocol, &v[0].hdr.proto, &v[1].hdr.proto, 1);
}

static bool l4_matches(const struct rte_flow *f, const struct check_packet *p)
{
	static const uint8_t protocols[] = {[RTE_FLOW_ITEM_TYPE_UDP] = 17,
		[RTE_FLOW_ITEM_TYPE_TCP] = 6,
		[RTE_FLOW_ITEM_TYPE_SCTP] = 132};
	rte_be16_t sport = htons(p->port[0]), dport = htons(p->port[1]);

	if (f->items[2].type == RTE_FLOW_ITEM_TYPE_END)
		return true;
	ck_assert_uint_lt(f->items[2].type, sizeof(protocols));
	return !p->later_fragment && protocol_seen(p) == protocols[f->items[2].type] &&
	       bytes_match(&sport, &f->l4[0].hdr.src_port, &f->l4[1].hdr.src_port, 2) &&
	       bytes_match(&dport, &f->l4[0].hdr.dst_port, &f->l4[1].hdr.dst_port, 2);
}

/* The flow that drops the packet; NULL: none. */
static struct rte_flow *nic_drops(const struct check_packet *p)
{
	if (p->tags != 0 && !nic.looks_behind)
		return NULL;
	for (unsigned int i = 0; i < nic.count; i++) {
		struct rte_flow *f = nic.flows[i];

		if ((f->items[1].type == RTE_FLOW_ITEM_TYPE_IPV4 ? ipv4_matches(f, p)
								 : ipv6_matches(f, p)) &&
			l4_matches(f, p))
			return f;
	}
	return NULL;
}

/* -- The rules -- */

static struct flow_rules *flows;
static struct rules *parsed;
static struct errbuf err;

static void open_nic(bool shared)
{
	flow_rules_free(flows);
	flows = NULL;
	ck_assert_int_eq(flow_rules_new(7, "left", shared, &flows), 0);
}

static void set_up(void)
{
	nic = (struct nic){.port_id = 7, .room = FLOWS_MAX};
	said[0] = '\0';
	parsed = NULL;
	open_nic(false);
}

static void tear_down(void)
{
	nic.keeps_flows = false;
	nic.changed = NULL;
	flow_rules_free(flows);
	flows = NULL;
	ck_assert_uint_eq(nic.count, 0);
	rules_free(parsed);
}

static struct rules *parse(const char *text)
{
	struct rules *rules;

	ck_assert_msg(rules_parse_text(text, strlen(text), "x", &rules, &err) == 0, "%s", err.text);
	return rules;
}

/* The number of flows that the NIC has then. */
static unsigned int set_to(const char *text)
{
	rules_free(parsed);
	parsed = parse(text);
	ck_assert_msg(flow_rules_set(flows, parsed, &err) == 0, "%s", err.text);
	return nic.count;
}

static unsigned int set_passing(const char *text)
{
	rules_free(parsed);
	parsed = parse(text);
	for (unsigned int i = 0; i < parsed->count; i++)
		if (parsed->list[i].action == RULE_DROP)
			parsed->list[i].action = RULE_PASS;
	ck_assert_int_eq(flow_rules_set(flows, parsed, &err), 0);
	return nic.count;
}

static struct check_packet packet_to(uint8_t version, uint8_t protocol, uint16_t port)
{
	return (struct check_packet){.version = version, .protocol = protocol, .port = {1, port}};
}

static bool drops_to(uint8_t version, uint8_t protocol, uint16_t port)
{
	struct check_packet p = packet_to(version, protocol, port);

	return nic_drops(&p) != NULL;
}

static void send_to(uint8_t protocol, uint16_t port, unsigned int count)
{
	struct check_packet p = packet_to(4, protocol, port);

	nic_drops(&p)->hits += count;
}

enum { TCP = 6, UDP = 17, SCTP = 132 };

/* -- Tests -- */

/* A packet that no rule names is not kept either. */
static bool keeps(const struct rules *rules, const struct check_packet *p)
{
	unsigned int rule;

	(void)check_verdict(rules, p, &rule);
	return p->version == 0 ||
	       (rule < rules->count && (rules->list[rule].action == RULE_KEEP ||
					       rules->list[rule].action == RULE_CUT));
}

START_TEST(what_the_nic_drops_no_rule_keeps)
{
	uint32_t state = 11;
	unsigned int dropped = 0, kept = 0;
	struct check_packet p;

	for (unsigned int round = 0; round < 300; round++) {
		parsed = check_random_rules(&state, 1 + round % 12);
		nic.looks_behind = round % 2 == 0;
		nic.no_protocol = round % 3 == 1;
		nic.own_protocol = round % 3 == 2;
		ck_assert_int_eq(flow_rules_set(flows, parsed, &err), 0);
		for (unsigned int i = 0; i < 500; i++) {
			/* Of a packet that lies about its length a NIC may see ports that are none. */
			do {
				check_random_packet(&state, &p);
			} while (p.ends_early || p.unjudged);
			ck_assert(nic_drops(&p) == NULL || !keeps(parsed, &p));
			dropped += nic_drops(&p) != NULL;
			kept += keeps(parsed, &p);
		}
		rules_free(parsed);
	}
	parsed = NULL;
	ck_assert_uint_gt(dropped, 300);
	ck_assert_uint_gt(kept, 10000);
}
END_TEST

START_TEST(a_rule_is_dropped_in_both_families_and_directions)
{
	ck_assert_uint_eq(set_to("drop tcp any any any 22"), 2);
	ck_assert(drops_to(4, TCP, 22) && drops_to(6, TCP, 22));
	ck_assert(!drops_to(4, TCP, 23) && !drops_to(4, UDP, 22));
	ck_assert_uint_eq(set_to("drop tcp any any any 22 either way"), 4);
	ck_assert_uint_eq(set_to("drop tcp any 22 any 22 either way"), 2);
	ck_assert_uint_eq(set_to("drop tcp 10.0.0.0/8 any any 22"), 1);
	ck_assert_uint_eq(set_to("drop tcp any any 2001:db8::/33 22"), 1);
	ck_assert_uint_eq(set_to("drop icmp any any any any"), 2);
	ck_assert_uint_eq(set_to("drop any any any 10.0.0.0/8 any"), 1);
	ck_assert_uint_eq(set_to("drop any any any 10.0.0.0/8 22"), 3);
	ck_assert(!drops_to(4, 33, 22)); /* DCCP has ports, but no item */
}
END_TEST

START_TEST(a_rule_behind_a_keep_rule_of_its_packets_stays_with_the_recorder)
{
	ck_assert_uint_eq(
		set_to("keep tcp any any 10.0.0.0/8 any\ndrop tcp any any 10.1.0.0/16 22"), 0);
	ck_assert_uint_eq(
		set_to("keep tcp any any 10.1.0.0/16 any\ndrop tcp any any 10.0.0.0/8 22"), 0);
	ck_assert_uint_eq(set_to("cut=64 tcp any any any 22\ndrop tcp any any 10.0.0.0/8 any"), 0);
	ck_assert_uint_eq(set_to("keep any any any any 22\ndrop tcp any any any 20-30"), 0);
	ck_assert_uint_eq(set_to("keep 60 any any any any\ndrop tcp any any any 22"), 0);

	ck_assert_uint_eq(
		set_to("keep tcp any any 10.0.0.0/8 any\ndrop tcp any any 11.0.0.0/8 22"), 1);
	ck_assert_uint_eq(set_to("keep udp any any any 22\ndrop tcp any any 10.0.0.0/8 22"), 1);
	ck_assert_uint_eq(set_to("keep tcp any any any 23-99\ndrop tcp any any 10.0.0.0/8 22"), 1);
	ck_assert_uint_eq(set_to("drop tcp any any 10.0.0.0/8 22\nkeep tcp any any any 22"), 1);
	ck_assert_uint_eq(set_to("keep tcp any any 2001:db8::/32 22\ndrop tcp any any any 22"), 1);
}
END_TEST

START_TEST(directions_are_looked_at_one_by_one)
{
	ck_assert_uint_eq(set_to("keep tcp 10.0.0.1 any any any\ndrop tcp 10.0.0.0/8 any "
				 "11.0.0.0/8 any either way"),
		1);
	ck_assert_uint_eq(set_to("keep tcp 10.0.0.1 any any any either way\ndrop tcp 10.0.0.0/8 "
				 "any 11.0.0.0/8 any either way"),
		0);
	ck_assert_uint_eq(set_to("keep tcp 10.0.0.1 any 11.0.0.1 any either way\ndrop tcp 11.0.0.1 "
				 "any any any"),
		0);
}
END_TEST

START_TEST(later_fragments_are_left_to_rules_without_ports)
{
	struct check_packet p = packet_to(4, UDP, 53);

	p.later_fragment = true;
	(void)set_to("drop udp any any any 53");
	ck_assert_ptr_null(nic_drops(&p));
	(void)set_to("drop any any any 0.0.0.0/0 any");
	ck_assert_ptr_nonnull(nic_drops(&p));
}
END_TEST

START_TEST(port_ranges_become_masks_where_they_are_few)
{
	ck_assert_uint_eq(set_to("drop udp any any 10.0.0.0/8 0-1023"), 1);
	ck_assert_uint_eq(set_to("drop udp any any 0.0.0.0/0 1024-65535"), 6);
	ck_assert(!drops_to(4, UDP, 1023) && drops_to(4, UDP, 1024) && drops_to(4, UDP, 65535));
	ck_assert_uint_eq(set_to("drop udp any any 0.0.0.0/0 50-60"), 4);
	for (uint16_t port = 40; port < 70; port++)
		ck_assert_int_eq(drops_to(4, UDP, port), 50 <= port && port <= 60);
	ck_assert_uint_eq(set_to("drop udp any 50-60 10.0.0.0/8 2-5"), 8);
	ck_assert_uint_eq(set_to("drop udp any 50-60 10.0.0.0/8 1-6"), 0);
	ck_assert_uint_eq(set_to("drop udp any any 10.0.0.0/8 1-65534"), 0);
}
END_TEST

START_TEST(extension_headers_are_no_protocols_to_a_nic)
{
	ck_assert_uint_eq(set_to("drop 44 any any any any\ndrop 0 any any any any"), 0);
	ck_assert_uint_eq(set_to("drop 47 any any 10.0.0.0/8 any"), 1);
}
END_TEST

START_TEST(rules_far_behind_stay_with_the_recorder)
{
	static char text[(FLOW_RULES_MAX + 2) * 32];
	size_t used = 0;

	for (unsigned int i = 0; i < FLOW_RULES_MAX - 1; i++)
		used += (size_t)sprintf(text + used, "keep tcp any any 10.0.0.0/8 22\n");
	(void)sprintf(
		text + used, "drop tcp any any 11.0.0.0/8 22\ndrop tcp any any 12.0.0.0/8 22");
	ck_assert_uint_eq(set_to(text), 1);
	ck_assert_str_eq(said, "port left: 1 of 2 drop rules are in the NIC");
}
END_TEST

START_TEST(what_is_to_pass_is_dropped_by_a_nic_of_our_own_only)
{
	ck_assert_uint_eq(set_passing("drop tcp any any 10.0.0.0/8 22"), 1);
	open_nic(true);
	ck_assert_uint_eq(set_passing("drop tcp any any 10.0.0.0/8 22"), 0);
	ck_assert_uint_eq(set_to("drop tcp any any 10.0.0.0/8 22"), 1);
	ck_assert_uint_eq(set_to("drop any 0.0.0.0/0 any any any"), 0);
	open_nic(false);
	ck_assert_uint_eq(set_to("drop any 0.0.0.0/0 any any any"), 1);
}
END_TEST

START_TEST(what_the_driver_refuses_is_no_fault_and_said_once)
{
	struct port_prefilter c;

	nic.room = 1;
	ck_assert_uint_eq(set_to("drop tcp any any 10.0.0.0/8 22\nkeep tcp any any any 80\ndrop "
				 "udp any any 10.0.0.0/8 53"),
		1);
	ck_assert_str_eq(said, "port left: 1 of 2 drop rules are in the NIC");
	said[0] = '\0';
	ck_assert_int_eq(flow_rules_set(flows, NULL, &err), 0);
	ck_assert_int_eq(flow_rules_set(flows, parsed, &err), 0);
	ck_assert_str_eq(said, "");
	flow_rules_get(flows, &c);
	ck_assert_uint_eq(c.rule_count, 3);
	ck_assert_uint_eq(c.rule_pkts[0], 0);
	ck_assert_uint_eq(c.rule_pkts[1], PREFILTER_NOT_COUNTED);
	ck_assert_uint_eq(c.rule_pkts[2], PREFILTER_NOT_COUNTED);
	nic.room = 0;
	ck_assert_uint_eq(set_to("drop sctp any any any any"), 0);
	ck_assert_str_eq(said, "port left: 0 of 1 drop rules are in the NIC");
}
END_TEST

START_TEST(counts_begin_anew_with_each_list_and_totals_go_on)
{
	struct port_prefilter c;

	(void)set_to("drop tcp any any any 22\ndrop udp any any any 53");
	send_to(TCP, 22, 3);
	send_to(UDP, 53, 4);
	flow_rules_get(flows, &c);
	ck_assert_uint_eq(c.rule_pkts[0], 3);
	ck_assert_uint_eq(c.rule_pkts[1], 4);
	ck_assert_uint_eq(c.dropped_pkts, 7);
	(void)set_to("drop udp any any any 53\nkeep tcp any any any 80");
	flow_rules_get(flows, &c);
	ck_assert_uint_eq(c.rule_count, 2);
	ck_assert_uint_eq(c.rule_pkts[0], 0);
	ck_assert_uint_eq(c.rule_pkts[1], PREFILTER_NOT_COUNTED);
	ck_assert_uint_eq(flow_rules_dropped_pkts(flows), 7);
	send_to(UDP, 53, 5);
	flow_rules_get(flows, &c);
	ck_assert_uint_eq(c.dropped_pkts, 5);
	ck_assert_uint_eq(flow_rules_dropped_pkts(flows), 12);
}
END_TEST

START_TEST(a_driver_that_does_not_count_drops_all_the_same)
{
	struct port_prefilter c;

	nic.no_count = true;
	ck_assert_uint_eq(set_to("drop tcp any any any 22"), 2);
	flow_rules_get(flows, &c);
	ck_assert_uint_eq(c.rule_pkts[0], PREFILTER_NOT_COUNTED);
	ck_assert_uint_eq(c.dropped_pkts, 0);
	ck_assert_uint_eq(flow_rules_dropped_pkts(flows), 0);
}
END_TEST

/* Of the lists before and after a change. */
static struct rules *lists[2];
static unsigned int change_count;

static void look_who_drops(void)
{
	bool kept[2] = {false};
	uint32_t state = 3;
	struct check_packet p;

	change_count++;
	for (unsigned int i = 0; i < 300; i++) {
		check_random_packet(&state, &p);
		for (unsigned int k = 0; k < 2 && nic_drops(&p) != NULL; k++)
			kept[k] |= keeps(lists[k], &p);
	}
	ck_assert(!kept[0] || !kept[1]);
}

START_TEST(while_rules_change_one_list_does_not_keep_what_is_dropped)
{
	uint32_t state = 7;

	lists[1] = check_random_rules(&state, 5);
	ck_assert_int_eq(flow_rules_set(flows, lists[1], &err), 0);
	nic.changed = look_who_drops;
	change_count = 0;
	for (unsigned int round = 0; round < 100; round++) {
		lists[0] = lists[1];
		lists[1] = check_random_rules(&state, 1 + round % 8);
		ck_assert_int_eq(flow_rules_set(flows, lists[1], &err), 0);
		rules_free(lists[0]);
	}
	ck_assert_uint_gt(change_count, 100);
	nic.changed = NULL;
	rules_free(lists[1]);
}
END_TEST

START_TEST(flows_that_go_make_room_for_those_that_come)
{
	nic.room = 1;
	ck_assert_uint_eq(set_to("drop tcp any any 10.0.0.0/8 22"), 1);
	ck_assert_uint_eq(set_to("drop tcp any any 0.0.0.0/0 23"), 1);
	ck_assert(drops_to(4, TCP, 23));
}
END_TEST

START_TEST(a_flow_that_both_lists_have_stays_where_it_is)
{
	struct rte_flow *stays;

	(void)set_to("drop tcp any any 10.0.0.0/8 22\ndrop udp any any 10.0.0.0/8 53");
	stays = nic.flows[1];
	ck_assert_uint_eq(
		set_to("drop udp any any 10.0.0.0/8 53\ndrop tcp any any 10.0.0.0/8 23"), 2);
	ck_assert(nic.flows[0] == stays || nic.flows[1] == stays);
	ck_assert(!drops_to(4, TCP, 22));
}
END_TEST

START_TEST(a_flow_that_does_not_go_is_told_of_and_tried_again)
{
	(void)set_to("drop tcp any any 10.0.0.0/8 22");
	nic.keeps_flows = true;
	ck_assert_int_eq(flow_rules_set(flows, NULL, &err), -EIO);
	ck_assert_str_eq(err.text,
		"port 'left': the NIC still drops by a rule that is no longer wanted: it is stuck");
	ck_assert_uint_eq(nic.count, 1);
	nic.keeps_flows = false;
	ck_assert_int_eq(flow_rules_set(flows, NULL, &err), 0);
	ck_assert_uint_eq(nic.count, 0);
}
END_TEST

START_TEST(a_closed_port_leaves_no_flow)
{
	ck_assert_uint_eq(set_to("drop tcp any any any 22"), 2);
	flow_rules_free(flows);
	flows = NULL;
	ck_assert_uint_eq(nic.count, 0);
}
END_TEST

START_TEST(a_driver_without_flows_has_no_prefilter)
{
	struct flow_rules *unused;

	nic.no_flows = true;
	ck_assert_int_eq(flow_rules_new(7, "left", false, &unused), -ENOTSUP);
}
END_TEST

/* A device of DPDK's, for which the double speaks. */
START_TEST(a_port_has_its_nic_drop_and_counts_that)
{
	static struct port port = {.name = "left", .source.class = &ethdev_class};
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"pool", 1023, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	const struct source_options options = {.name = "left",
		.device = "vdev:net_null0",
		.queues = 1,
		.descriptors = 256,
		.frame_bytes = 1518,
		.socket_id = -1,
		.pools = &pool};
	struct port_prefilter c;
	struct port_ledger ledger;

	nic.port_id = 0;
	ck_assert_int_eq(ethdev_class.open(&port.source, &options, &err), 0);
	parsed = parse("drop tcp any any any 22");
	parsed->list[0].action = RULE_PASS; /* nobody else has the device */
	ck_assert_int_eq(port_set_prefilter(&port, parsed, &err), 0);
	send_to(TCP, 22, 2);
	port_set_live(&port, true);
	send_to(TCP, 22, 3);
	port_set_live(&port, false);
	port_get_ledger(&port, &ledger);
	ck_assert_uint_eq(ledger.prefilter_dropped_pkts, 3);
	ck_assert_uint_eq(ledger.offered_pkts, 0);
	ck_assert_int_eq(port_get_prefilter(&port, &c), 0);
	ck_assert_uint_eq(c.rule_pkts[0], 5);
	ethdev_class.close(&port.source);
	ck_assert_uint_eq(nic.count, 0);
	rte_mempool_free(pool);
	nic.port_id = 7;
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("flow_rules");
	TCase *c = tcase_create("flow_rules");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, what_the_nic_drops_no_rule_keeps);
	tcase_add_test(c, a_rule_is_dropped_in_both_families_and_directions);
	tcase_add_test(c, a_rule_behind_a_keep_rule_of_its_packets_stays_with_the_recorder);
	tcase_add_test(c, directions_are_looked_at_one_by_one);
	tcase_add_test(c, later_fragments_are_left_to_rules_without_ports);
	tcase_add_test(c, port_ranges_become_masks_where_they_are_few);
	tcase_add_test(c, extension_headers_are_no_protocols_to_a_nic);
	tcase_add_test(c, rules_far_behind_stay_with_the_recorder);
	tcase_add_test(c, what_is_to_pass_is_dropped_by_a_nic_of_our_own_only);
	tcase_add_test(c, what_the_driver_refuses_is_no_fault_and_said_once);
	tcase_add_test(c, counts_begin_anew_with_each_list_and_totals_go_on);
	tcase_add_test(c, a_driver_that_does_not_count_drops_all_the_same);
	tcase_add_test(c, while_rules_change_one_list_does_not_keep_what_is_dropped);
	tcase_add_test(c, flows_that_go_make_room_for_those_that_come);
	tcase_add_test(c, a_flow_that_both_lists_have_stays_where_it_is);
	tcase_add_test(c, a_flow_that_does_not_go_is_told_of_and_tried_again);
	tcase_add_test(c, a_closed_port_leaves_no_flow);
	tcase_add_test(c, a_driver_without_flows_has_no_prefilter);
	tcase_add_test(c, a_port_has_its_nic_drop_and_counts_that);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	int r;

	if (!eal_start(64))
		return EXIT_FAILURE;
	r = suite_run_unforked(suite());
	(void)rte_eal_cleanup();
	return r;
}
