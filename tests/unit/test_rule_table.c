/* rooms: filter common */
/*
 * Rule tables against a matcher that goes through the rules one by one, and that knows nothing of
 * classes, boxes and rte_acl.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "filter/flow_key.h"
#include "filter/rule_table.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/rules.h"

enum { KEYS = 10048, TEXT_BYTES = 16 << 20 };

/* What a packet is to both matchers. */
struct packet {
	unsigned int version; /* 4, 6, or 0: no IP */
	uint8_t protocol;
	enum flow_ports ports;
	uint16_t sport, dport;
	uint8_t src[16], dst[16];
};

static struct errbuf err;
static char *text;

/* The plain matcher */

static bool protocol_has_ports(int protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 ||
	       protocol == 136;
}

static bool net_has(const struct rule_net *n, unsigned int version, const uint8_t address[16])
{
	if (n->version == 0)
		return true;
	if (n->version != version)
		return false;
	for (unsigned int i = 0; i < n->length; i++)
		if (((n->address[i / 8] ^ address[i / 8]) >> (7 - i % 8) & 1) != 0)
			return false;
	return true;
}

static bool way_has(const struct rule *r, const struct rule_side *src, const struct rule_side *dst,
	const struct packet *p)
{
	bool ports = src->ports.first > 0 || src->ports.last < 65535 || dst->ports.first > 0 ||
		     dst->ports.last < 65535;

	if (!net_has(&src->net, p->version, p->src) || !net_has(&dst->net, p->version, p->dst))
		return false;
	if (!ports)
		return true;
	if (p->version == 0 || !protocol_has_ports(p->protocol) || p->ports == PORTS_NONE)
		return false;
	if (p->ports == PORTS_UNKNOWN)
		return r->action != RULE_DROP;
	return p->sport >= src->ports.first && p->sport <= src->ports.last &&
	       p->dport >= dst->ports.first && p->dport <= dst->ports.last;
}

static uint32_t plain_match(const struct rules *rules, const struct packet *p)
{
	for (unsigned int i = 0; i < rules->count; i++) {
		const struct rule *r = &rules->list[i];

		if (r->protocol >= 0 && (p->version == 0 || r->protocol != p->protocol))
			continue;
		if (way_has(r, &r->src, &r->dst, p) ||
			(r->either_way && way_has(r, &r->dst, &r->src, p)))
			return i + 1;
	}
	return 0;
}

static struct flow_key key_of(const struct packet *p)
{
	struct flow_key k = {
		.class = flow_class(p->protocol, p->ports),
		.family = p->version == 4   ? FLOW_IPV4
			  : p->version == 6 ? FLOW_IPV6
					    : FLOW_NO_IP,
		.sport = htons(p->sport),
		.dport = htons(p->dport),
	};

	memcpy(k.src, p->src, sizeof(k.src));
	memcpy(k.dst, p->dst, sizeof(k.dst));
	return k;
}

/* Tables from text */

static struct rules *rules_of(const char *lines)
{
	struct rules *r = NULL;

	ck_assert_msg(
		rules_parse_text(lines, strlen(lines), "rules", &r, &err) == 0, "%s", err.text);
	return r;
}

static struct rule_table *table_of(const struct rules *rules)
{
	struct rule_table *t = NULL;

	ck_assert_msg(rule_table_new(rules, SOCKET_ID_ANY, &t, &err) == 0, "%s", err.text);
	return t;
}

static struct rule_table *table_of_parts(const struct rules *rules, unsigned int part_key_bytes)
{
	struct rule_table *t = NULL;

	ck_assert_msg(rule_table_new_parts(rules, SOCKET_ID_ANY, part_key_bytes, &t, &err) == 0,
		"%s", err.text);
	ck_assert_uint_gt(rule_table_parts(t, FLOW_IPV4), 3);
	ck_assert_uint_gt(rule_table_parts(t, FLOW_IPV6), 3);
	return t;
}

/* The first rule of lines that matches one packet; both matchers agree on it. */
static uint32_t match(const char *lines, const struct packet *p)
{
	struct rules *rules = rules_of(lines);
	struct rule_table *t = table_of(rules);
	struct flow_key k = key_of(p);
	uint32_t found = 99, plain = plain_match(rules, p);

	rule_table_match(t, &k, 1, &found);
	ck_assert_msg(found == plain, "rule %u, going through them %u: %s", found, plain, lines);
	rule_table_free(t);
	rules_free(rules);
	return found;
}

static struct packet packet_of(const char *src, uint16_t sport, const char *dst, uint16_t dport)
{
	int family = strchr(src, ':') != NULL ? AF_INET6 : AF_INET;
	struct packet p = {.version = family == AF_INET ? 4 : 6,
		.protocol = IPPROTO_TCP,
		.ports = PORTS_KNOWN,
		.sport = sport,
		.dport = dport};

	ck_assert_int_eq(inet_pton(family, src, p.src), 1);
	ck_assert_int_eq(inet_pton(family, dst, p.dst), 1);
	return p;
}

START_TEST(first_match_wins)
{
	struct packet p = packet_of("10.1.2.3", 1000, "192.0.2.1", 443);

	ck_assert_uint_eq(match("keep any any any any any\ndrop any any any any any\n", &p), 1);
	ck_assert_uint_eq(match("drop tcp 10.0.0.0/8 any any 443\n"
				"keep tcp 10.1.2.3 1000 192.0.2.1 443\n",
				  &p),
		1);
	ck_assert_uint_eq(match("keep tcp 10.1.2.3 1000 192.0.2.1 443\n"
				"drop tcp 10.0.0.0/8 any any 443\n",
				  &p),
		1);
	ck_assert_uint_eq(match("keep udp any any any any\n"
				"keep tcp 10.2.0.0/16 any any any\n"
				"keep any any any any any\n"
				"keep tcp 10.1.2.3 1000 192.0.2.1 443\n",
				  &p),
		3);
}
END_TEST

START_TEST(no_rule_matches_is_none)
{
	struct packet p = packet_of("10.1.2.3", 1000, "192.0.2.1", 443);

	ck_assert_uint_eq(match("", &p), 0);
	ck_assert_uint_eq(match("keep udp any any any any\n", &p), 0);
	ck_assert_uint_eq(match("keep any 10.1.2.4 any any any\n", &p), 0);
	ck_assert_uint_eq(match("keep tcp any any any 444-65535\n", &p), 0);
	ck_assert_uint_eq(match("keep any ::/0 any any any\n", &p), 0);
}
END_TEST

START_TEST(either_way_matches_the_way_back_and_nothing_between)
{
	static const char rule[] = "keep tcp 10.0.0.0/8 any 192.0.2.0/24 443 either way\n";
	struct packet there = packet_of("10.1.2.3", 1000, "192.0.2.1", 443);
	struct packet back = packet_of("192.0.2.1", 443, "10.1.2.3", 1000);
	struct packet crossed = packet_of("192.0.2.1", 1000, "10.1.2.3", 443);

	ck_assert_uint_eq(match(rule, &there), 1);
	ck_assert_uint_eq(match(rule, &back), 1);
	ck_assert_uint_eq(match(rule, &crossed), 0);
	ck_assert_uint_eq(match("keep tcp 10.0.0.0/8 any 192.0.2.0/24 443\n", &back), 0);
}
END_TEST

START_TEST(any_net_is_both_families_and_a_whole_net_is_one)
{
	struct packet four = packet_of("10.1.2.3", 1000, "192.0.2.1", 443);
	struct packet six = packet_of("2001:db8::1", 1000, "2001:db8:ff::2", 443);

	ck_assert_uint_eq(match("keep tcp any any any 443\n", &four), 1);
	ck_assert_uint_eq(match("keep tcp any any any 443\n", &six), 1);
	ck_assert_uint_eq(match("keep tcp 0.0.0.0/0 any any 443\n", &four), 1);
	ck_assert_uint_eq(match("keep tcp 0.0.0.0/0 any any 443\n", &six), 0);
	ck_assert_uint_eq(match("keep tcp any any ::/0 443\n", &six), 1);
	ck_assert_uint_eq(match("keep tcp any any ::/0 443\n", &four), 0);
	ck_assert_uint_eq(match("keep any 2001:db8::/33 any 2001:db8:ff::2 any\n", &six), 1);
	ck_assert_uint_eq(match("keep any 2001:db8:8000::/33 any any any\n", &six), 0);
	/* The bits of an IPv4 address are not those of an IPv6 one. */
	ck_assert_uint_eq(match("keep any a01:203::/32 any any any\n", &four), 0);
}
END_TEST

START_TEST(unknown_ports_are_kept_by_who_could_want_them_and_dropped_by_nobody)
{
	struct packet p = packet_of("10.1.2.3", 0, "192.0.2.1", 0);

	p.ports = PORTS_UNKNOWN;
	ck_assert_uint_eq(match("keep tcp any any any 443\n", &p), 1);
	ck_assert_uint_eq(match("cut=headers any any 7 any any\n", &p), 1);
	ck_assert_uint_eq(match("keep tcp any any 10.1.2.3 443 either way\n", &p), 1);
	ck_assert_uint_eq(match("keep tcp any any 10.1.2.3 443\n", &p), 0);
	ck_assert_uint_eq(match("keep udp any any any 443\n", &p), 0);
	ck_assert_uint_eq(match("drop tcp any any any 443\n", &p), 0);
	/* Port 0 is none that is known. */
	ck_assert_uint_eq(match("drop tcp any 0 any 0\nkeep tcp any any any any\n", &p), 2);
	ck_assert_uint_eq(match("drop tcp any any any any\nkeep tcp any any any 443\n", &p), 1);
	ck_assert_uint_eq(match("drop tcp any any any 80\nkeep any any any any 443\n", &p), 2);
}
END_TEST

START_TEST(rules_with_ports_do_not_match_packets_without)
{
	struct packet p = packet_of("10.1.2.3", 0, "192.0.2.1", 0);

	p.ports = PORTS_NONE;
	ck_assert_uint_eq(match("keep tcp any any any 0-65534\n", &p), 0);
	ck_assert_uint_eq(match("keep tcp any any any 0-65535\n", &p), 1);
	ck_assert_uint_eq(match("keep tcp any any any any\n", &p), 1);
	p.protocol = IPPROTO_ICMP;
	for (p.ports = PORTS_NONE; p.ports <= PORTS_UNKNOWN; p.ports++) {
		ck_assert_uint_eq(match("keep any any any any 0\n", &p), 0);
		ck_assert_uint_eq(
			match("keep any any any any 0\nkeep icmp any any any any", &p), 2);
	}
}
END_TEST

START_TEST(without_ip_only_the_rule_for_everything_matches)
{
	struct packet p = {.version = 0};

	ck_assert_uint_eq(match("keep tcp any any any any\nkeep any any 1 any any\n"
				"keep any 0.0.0.0/0 any any any\nkeep any any any ::/0 any\n",
				  &p),
		0);
	ck_assert_uint_eq(
		match("keep 0 any any any any\nkeep any any any any any either way\n", &p), 2);
}
END_TEST

/* AH is looked behind. */
static bool can_be_named(unsigned int protocol)
{
	return protocol != IPPROTO_AH &&
	       (protocol < UNASSIGNED_FIRST || protocol > UNASSIGNED_LAST);
}

START_TEST(every_protocol_that_can_be_named_is_told_from_every_other)
{
	struct packet p = packet_of("10.1.2.3", 0, "192.0.2.1", 0);
	char *end = text;
	struct rules *rules;
	struct rule_table *t;

	for (unsigned int i = 0; i < 256; i++)
		if (can_be_named(i))
			end += sprintf(end, "keep %u any any any any\n", i);
	rules = rules_of(text);
	t = table_of(rules);
	for (unsigned int i = 0; i < 256; i++) {
		p.protocol = (uint8_t)i;
		for (p.ports = PORTS_NONE; p.ports <= PORTS_UNKNOWN; p.ports++) {
			struct flow_key k = key_of(&p);
			uint32_t found;

			rule_table_match(t, &k, 1, &found);
			ck_assert_uint_eq(found, plain_match(rules, &p));
			ck_assert_uint_eq(found == 0, !can_be_named(i));
		}
	}
	rule_table_free(t);
	rules_free(rules);
}
END_TEST

START_TEST(two_tables_live_side_by_side)
{
	struct packet p = packet_of("10.1.2.3", 1000, "192.0.2.1", 443);
	struct rules *one = rules_of("keep any 10.1.2.3 any any any\n");
	struct rules *two = rules_of("drop udp any 7 any any\nkeep any any any 192.0.2.1 any\n");
	struct rule_table *a = table_of(one), *b = table_of(two);
	struct flow_key k = key_of(&p);
	uint32_t found;

	rule_table_match(a, &k, 1, &found);
	ck_assert_uint_eq(found, 1);
	rule_table_match(b, &k, 1, &found);
	ck_assert_uint_eq(found, 2);
	rule_table_free(a);
	rule_table_match(b, &k, 1, &found);
	ck_assert_uint_eq(found, 2);
	rule_table_free(b);
	rule_table_free(NULL);
	rules_free(one);
	rules_free(two);
}
END_TEST

/* Many rules, drawn from few enough values that they overlap and that keys hit them */

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

static void draw_address(unsigned int version, uint8_t address[16])
{
	static const uint8_t starts[2][4] = {{10, 0, 0, 0}, {0x20, 1, 0xd, 0xb8}};

	for (unsigned int i = 0; i < 16; i++)
		address[i] = version == 6 || i < 4 ? (uint8_t)draw(256) : 0;
	if (draw(4) > 0) { /* near others */
		memcpy(address, starts[version == 6], version == 6 ? 4 : 1);
		address[version == 6 ? 4 : 1] &= 3;
		if (version == 6)
			memset(&address[5], 0, 8);
	}
}

static const char *draw_net(unsigned int version, char word[64])
{
	unsigned int bits = version == 4 ? 32 : 128, length = draw(3) > 0 ? bits : draw(bits + 1);
	uint8_t address[16];
	char right[INET6_ADDRSTRLEN];

	draw_address(version, address);
	for (unsigned int i = length; i < bits; i++)
		address[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
	(void)inet_ntop(version == 4 ? AF_INET : AF_INET6, address, right, sizeof(right));
	(void)snprintf(word, 64, "%s/%u", right, length);
	return word;
}

static const char *draw_ports(char word[64])
{
	uint32_t first = draw(65536);

	switch (draw(4)) {
	case 0:
		return "any";
	case 1:
		(void)snprintf(word, 64, "%u-%u", first, first + draw(65536 - first));
		return word;
	case 2:
		(void)snprintf(word, 64, "%u", first);
		return word;
	default:
		(void)snprintf(word, 64, "%u", draw(3) * 40);
		return word;
	}
}

/* One net at least, or else a port: what matches everything would hide all that is behind it. */
static char *draw_rule(char *end)
{
	static const char *const actions[] = {"keep", "drop", "cut=64"};
	static const char *const protocols[] = {"any", "tcp", "udp", "sctp", "icmp", "47", "255"};
	unsigned int protocol = draw(7), version = draw(3) > 0 ? 4 : 6, nets = draw(10);
	const char *words[] = {"any", "any", "any", "any"};
	char room[4][64];

	if (nets > 2)
		words[0] = draw_net(version, room[0]);
	if (nets > 5 || nets == 1 || nets == 2)
		words[2] = draw_net(version, room[2]);
	if (protocol < 4) {
		words[1] = draw_ports(room[1]);
		words[3] = draw_ports(room[3]);
	}
	if (nets == 0) {
		protocol %= 4;
		words[3] = "40";
	}
	return end + sprintf(end, "%s %s %s %s %s %s%s\n", actions[draw(3)], protocols[protocol],
			     words[0], words[1], words[2], words[3],
			     draw(2) > 0 ? " either way" : "");
}

/* Inside one side of a rule, more often than not. */
static void draw_side(
	const struct rule_side *of, unsigned int version, uint8_t address[16], uint16_t *port)
{
	draw_address(version, address);
	for (unsigned int i = 0; i < of->net.length; i++) {
		uint8_t bit = (uint8_t)(0x80 >> i % 8);

		address[i / 8] =
			(uint8_t)((address[i / 8] & ~bit) | (of->net.address[i / 8] & bit));
	}
	*port = (uint16_t)(of->ports.first +
			   draw((uint32_t)(of->ports.last - of->ports.first + 1)));
}

static struct packet draw_packet(const struct rules *rules)
{
	static const uint8_t protocols[] = {6, 17, 132, 1, 47, 255, 33, 99};
	const struct rule *r = &rules->list[draw(rules->count)];
	bool swap = draw(2) > 0;
	struct packet p = {.ports = (enum flow_ports)draw(3), .protocol = protocols[draw(8)]};

	if (r->protocol >= 0 && draw(4) > 0)
		p.protocol = (uint8_t)r->protocol;
	p.version = draw(2) > 0 ? 4 : 6;
	if (r->src.net.version != 0 || r->dst.net.version != 0)
		p.version = r->src.net.version | r->dst.net.version;
	if (draw(50) == 0)
		p.version = 0;
	if (draw(4) > 0)
		p.ports = PORTS_KNOWN;
	draw_side(swap ? &r->dst : &r->src, p.version, p.src, &p.sport);
	draw_side(swap ? &r->src : &r->dst, p.version, p.dst, &p.dport);
	return p;
}

/* Bursts of every length. */
static void compare(const struct rules *rules, const struct rule_table *t, unsigned int *hits,
	unsigned int *misses)
{
	struct packet packets[FILTER_BURST];
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];

	for (unsigned int i = 0; i < KEYS;) {
		unsigned int count = 1 + draw(FILTER_BURST);

		for (unsigned int k = 0; k < count; k++) {
			packets[k] = draw_packet(rules);
			keys[k] = key_of(&packets[k]);
		}
		rule_table_match(t, keys, count, found);
		for (unsigned int k = 0; k < count; k++) {
			uint32_t plain = plain_match(rules, &packets[k]);

			ck_assert_msg(found[k] == plain, "packet %u: rule %u, one by one %u (%s)",
				i + k, found[k], plain,
				plain > 0 ? rules->list[plain - 1].text : "none");
			*hits += plain > 0;
			*misses += plain == 0;
		}
		i += count;
	}
}

START_TEST(random_tables_match_as_going_through_them_does)
{
	static const struct {
		unsigned int rules, tables;
		unsigned int part_key_bytes; /* 0: as in use */
	} sizes[] = {{1, 50, 0}, {10, 20, 0}, {1000, 2, 0}, {1000, 2, 4096}, {10000, 1, 0}};
	unsigned int hits = 0, misses = 0;

	state = 88172645463325252;
	for (unsigned int i = 0; i < sizes[_i].tables; i++) {
		struct rules *rules;
		struct rule_table *t;
		char *end = text;

		for (unsigned int k = 0; k < sizes[_i].rules; k++)
			end = draw_rule(end);
		rules = rules_of(text);
		t = sizes[_i].part_key_bytes == 0 ? table_of(rules)
						  : table_of_parts(rules, sizes[_i].part_key_bytes);
		compare(rules, t, &hits, &misses);
		rule_table_free(t);
		rules_free(rules);
	}
	ck_assert_uint_gt(hits, sizes[_i].tables * KEYS / 5);
	ck_assert_uint_gt(misses, sizes[_i].tables * KEYS / 100);
}
END_TEST

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats stats = {0};

	(void)rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

START_TEST(table_that_fails_leaves_nothing_and_says_whose_rules)
{
	struct rules *rules;
	struct rule_table *t = NULL;
	size_t before = heap_bytes();
	char *end = text;

	for (unsigned int i = 0; i < 100; i++)
		end += sprintf(end, "keep any 10.0.0.%u any any any\n", i);
	rules = rules_of(text);
	/* Each box a part: too many. */
	ck_assert_int_eq(rule_table_new_parts(rules, SOCKET_ID_ANY, 1, &t, &err), -E2BIG);
	ck_assert_str_eq(err.text,
		"rules: cannot make a table of its 100 rules: they are too many for its parts");
	ck_assert_ptr_null(t);
	ck_assert_uint_eq(heap_bytes(), before);
	rule_table_free(table_of(rules));
	ck_assert_uint_eq(heap_bytes(), before);
	rules_free(rules);
}
END_TEST

/* In one trie, each of them would lie over all others: gigabytes. */
START_TEST(hosts_either_way_take_little_memory)
{
	size_t before = heap_bytes();
	struct rules *rules;
	struct rule_table *t;
	char *end = text;

	for (unsigned int i = 0; i < 20000; i++) {
		uint32_t a = i * 2654435761U;

		end += sprintf(end, "keep any %u.%u.%u.%u any any any either way\n", a >> 24,
			a >> 16 & 255, a >> 8 & 255, a & 255);
	}
	rules = rules_of(text);
	t = table_of(rules);
	ck_assert_uint_eq(rule_table_parts(t, FLOW_IPV4), 2);
	ck_assert_uint_eq(rule_table_parts(t, FLOW_IPV6), 0);
	ck_assert_uint_lt(heap_bytes() - before, 64 << 20);
	rule_table_free(t);
	rules_free(rules);
}
END_TEST

static Suite *rule_table_suite(void)
{
	Suite *s = suite_create("rule_table");
	TCase *t = tcase_create("rule_table");

	tcase_set_timeout(t, 200);
	tcase_add_test(t, first_match_wins);
	tcase_add_test(t, no_rule_matches_is_none);
	tcase_add_test(t, either_way_matches_the_way_back_and_nothing_between);
	tcase_add_test(t, any_net_is_both_families_and_a_whole_net_is_one);
	tcase_add_test(t, unknown_ports_are_kept_by_who_could_want_them_and_dropped_by_nobody);
	tcase_add_test(t, rules_with_ports_do_not_match_packets_without);
	tcase_add_test(t, without_ip_only_the_rule_for_everything_matches);
	tcase_add_test(t, every_protocol_that_can_be_named_is_told_from_every_other);
	tcase_add_test(t, two_tables_live_side_by_side);
	tcase_add_loop_test(t, random_tables_match_as_going_through_them_does, 0, 5);
	tcase_add_test(t, table_that_fails_leaves_nothing_and_says_whose_rules);
	tcase_add_test(t, hosts_either_way_take_little_memory);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	int r;

	text = malloc(TEXT_BYTES);
	if (text == NULL || !eal_start(512))
		return EXIT_FAILURE;
	r = suite_run_unforked(rule_table_suite());
	(void)rte_eal_cleanup();
	free(text);
	return r;
}
