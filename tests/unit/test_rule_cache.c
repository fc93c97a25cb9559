/* rooms: filter common */
/*
 * Rule caches against the tables that they stand before. That a cache answers by itself is seen by
 * asking it with another table than the one that it was filled from, which nobody else may do.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "filter/flow_key.h"
#include "filter/rule_cache.h"
#include "filter/rule_table.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/rules.h"

enum {
	RULES = 300,
	RULE_BYTES = 256,
	WORDS = 6, /* that addresses are made of: IPv4's pair is one, each of IPv6's is two */
	PORTS = 3,
	PKTS = 300000,
};

static struct errbuf err;

/* Each thread draws for itself. */
static _Thread_local uint64_t state = 88172645463325252;

static uint32_t draw(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

/* Tables and caches */

static struct rule_table *table_of(const char *lines)
{
	struct rules *rules = NULL;
	struct rule_table *t = NULL;

	ck_assert_msg(
		rules_parse_text(lines, strlen(lines), "rules", &rules, &err) == 0, "%s", err.text);
	ck_assert_msg(rule_table_new(rules, SOCKET_ID_ANY, &t, &err) == 0, "%s", err.text);
	rules_free(rules);
	return t;
}

static struct rule_cache *cache_of_lines(unsigned int lines)
{
	struct rule_cache *c = NULL;

	ck_assert_msg(rule_cache_new_lines(lines, SOCKET_ID_ANY, &c, &err) == 0, "%s", err.text);
	return c;
}

static struct rule_cache *cache_new(void)
{
	struct rule_cache *c = NULL;

	ck_assert_msg(rule_cache_new(SOCKET_ID_ANY, &c, &err) == 0, "%s", err.text);
	return c;
}

/* Rules and keys of few words, so that many keys are nearly the same and no two rules match alike */

static uint64_t word(unsigned int i)
{
	return 0x0a0000010a000002 + i * UINT64_C(0x0000000100000001);
}

static void draw_ipv6(uint8_t address[16])
{
	uint64_t words[2] = {word(draw(WORDS)), word(draw(WORDS))};

	memcpy(address, words, sizeof(words));
}

static const char *draw_net(char text[64], bool ipv6)
{
	uint64_t pair = word(draw(WORDS));
	uint8_t a[16];
	char *end = text;

	draw_ipv6(a);
	if (!ipv6) {
		memcpy(a, draw(2) > 0 ? (char *)&pair : (char *)&pair + 4, 4);
		(void)snprintf(text, 64, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
		return text;
	}
	for (unsigned int i = 0; i < 16; i += 2)
		end += sprintf(end, "%s%x", i > 0 ? ":" : "", a[i] << 8 | a[i + 1]);
	return text;
}

static struct rule_table *table_draw(void)
{
	static const char *const protocols[] = {"any", "tcp", "udp", "icmp"};
	char *text = malloc((size_t)RULES * RULE_BYTES), *end = text, src[64], dst[64];
	struct rule_table *t;

	ck_assert_ptr_nonnull(text);
	for (unsigned int i = 0; i < RULES; i++) {
		unsigned int protocol = draw(4), sides = 1 + draw(3);
		bool ipv6 = draw(3) > 0, ports = protocol < 3 && draw(2) > 0;
		char port[8] = "any";

		(void)draw_net(src, ipv6);
		(void)draw_net(dst, ipv6);
		if (ports)
			(void)snprintf(port, sizeof(port), "%u", 1 + draw(PORTS));
		end += sprintf(end, "%s %s %s %s %s any%s\n", draw(2) > 0 ? "keep" : "drop",
			protocols[protocol], (sides & 1) != 0 ? src : "any", port,
			(sides & 2) != 0 ? dst : "any", draw(4) == 0 ? " either way" : "");
	}
	(void)sprintf(end, "keep any any any any any\n");
	t = table_of(text);
	free(text);
	return t;
}

/* What does not count of a key is not always zero. */
static struct flow_key draw_key(void)
{
	static const uint8_t protocols[] = {6, 17, 1, 0};
	struct flow_key k = {.family = (uint8_t)draw(FLOW_FAMILIES)};
	uint64_t pair = word(draw(WORDS));

	k.class = flow_class(protocols[draw(4)], (enum flow_ports)draw(3));
	k.sport = htons((uint16_t)(1 + draw(PORTS)));
	k.dport = htons((uint16_t)(1 + draw(PORTS)));
	draw_ipv6(k.src);
	draw_ipv6(k.dst);
	if (k.family == FLOW_IPV4) {
		memcpy(k.src, &pair, 4);
		memcpy(k.dst, (char *)&pair + 4, 4);
	}
	if (draw(16) == 0)
		memset(k.zero, (int)draw(256), sizeof(k.zero));
	return k;
}

/* The same but for one piece. */
static struct flow_key near_key(struct flow_key k)
{
	struct flow_key other = draw_key();
	uint64_t piece = word(draw(WORDS));

	switch (draw(4)) {
	case 0:
		k.class = other.class;
		break;
	case 1:
		k.sport = other.sport;
		break;
	case 2:
		k.dport = other.dport;
		break;
	default:
		memcpy((uint8_t *)&k + offsetof(struct flow_key, src) + draw(4) * sizeof(piece),
			&piece, sizeof(piece));
	}
	return k;
}

/* The next burst, of any length: one key comes often. It may be near the one of the last burst. */
static void burst_next(struct flow_key keys[FILTER_BURST], unsigned int *ret_count)
{
	unsigned int often = draw(8);

	*ret_count = 1 + draw(FILTER_BURST);
	keys[0] = draw(4) > 0 ? near_key(keys[0]) : draw_key();
	for (unsigned int i = 1; i < *ret_count; i++)
		keys[i] = draw(8) < often ? keys[0] : draw(2) > 0 ? near_key(keys[0]) : draw_key();
}

/* How many of PKTS packets the cache and the table do not agree on. */
static unsigned int count_differences(struct rule_cache *c, const struct rule_table *t)
{
	struct flow_key keys[FILTER_BURST] = {{.family = FLOW_NO_IP}};
	uint32_t cached[FILTER_BURST], plain[FILTER_BURST];
	unsigned int count, differences = 0;

	for (unsigned int i = 0; i < PKTS; i += count) {
		burst_next(keys, &count);
		memset(cached, 0xff, sizeof(cached));
		rule_cache_match(c, t, keys, count, cached);
		rule_table_match(t, keys, count, plain);
		for (unsigned int k = 0; k < count; k++)
			differences += cached[k] != plain[k];
		for (unsigned int k = count; k < FILTER_BURST; k++)
			differences += cached[k] != UINT32_MAX;
	}
	return differences;
}

/* In one line everything meets everything; in four, a quarter; in 65,536 most have their own. */
START_TEST(any_keys_match_as_the_table_does)
{
	static const unsigned int lines[] = {1, 4, 64, 1 << 16};
	struct rule_table *t = table_draw();
	struct rule_cache *c = cache_of_lines(lines[_i]);

	ck_assert_uint_eq(count_differences(c, t), 0);
	rule_cache_free(c);
	rule_table_free(t);
}
END_TEST

/* The key of nobody: all bytes are zero, as a fresh cache's memory is. */
START_TEST(empty_cache_knows_no_key)
{
	struct rule_table *t = table_of("keep any any any any any\n");
	struct rule_cache *c = cache_new();
	struct flow_key keys[FLOW_FAMILIES] = {
		{.family = FLOW_NO_IP}, {.family = FLOW_IPV4}, {.family = FLOW_IPV6}};
	uint32_t found[FLOW_FAMILIES] = {9, 9, 9};

	rule_cache_match(c, t, keys, 0, found);
	ck_assert_uint_eq(found[0], 9);
	rule_cache_match(c, t, keys, FLOW_FAMILIES, found);
	for (unsigned int i = 0; i < FLOW_FAMILIES; i++)
		ck_assert_uint_eq(found[i], 1);
	rule_cache_free(c);
	rule_table_free(t);
}
END_TEST

/* Two tables that never say the same, to tell who was asked. */
struct pair {
	struct rule_table *one, *two;
	struct rule_cache *c;
};

static struct pair pair_new(void)
{
	return (struct pair){.one = table_of("keep any any any any any\n"),
		.two = table_of("keep 255 any any any any\nkeep any any any any any\n"),
		.c = cache_new()};
}

static void pair_free(struct pair *p)
{
	rule_cache_free(p->c);
	rule_table_free(p->one);
	rule_table_free(p->two);
}

static struct flow_key numbered_key(enum flow_family family, uint32_t number)
{
	struct flow_key k = {.family = (uint8_t)family, .class = flow_class(6, PORTS_KNOWN)};

	memcpy(k.src, &number, sizeof(number));
	return k;
}

/* True when the cache answers by itself for a key that it was just asked for. */
static bool answers(struct pair *p, const struct flow_key *k)
{
	uint32_t found = 0;

	rule_cache_match(p->c, p->one, k, 1, &found);
	ck_assert_uint_eq(found, 1);
	rule_cache_match(p->c, p->two, k, 1, &found);
	return found == 1;
}

START_TEST(known_flow_is_not_asked_of_the_table)
{
	struct pair p = pair_new();

	for (enum flow_family family = 0; family < FLOW_FAMILIES; family++) {
		struct flow_key k = numbered_key(family, 7);

		ck_assert(answers(&p, &k));
	}
	pair_free(&p);
}
END_TEST

START_TEST(line_holds_six_flows_of_either_family)
{
	struct pair p = pair_new();
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];

	rule_cache_free(p.c);
	p.c = cache_of_lines(1);
	/* One of them often in the first burst, which must not cost the others their places. */
	for (unsigned int i = 0; i < FILTER_BURST; i++)
		keys[i] = i < 5 ? numbered_key(i % 2 > 0 ? FLOW_IPV6 : FLOW_IPV4, i)
				: numbered_key(FLOW_IPV6, 5);
	rule_cache_match(p.c, p.one, keys, FILTER_BURST, found);
	rule_cache_match(p.c, p.two, keys, FILTER_BURST, found);
	for (unsigned int i = 0; i < FILTER_BURST; i++)
		ck_assert_uint_eq(found[i], 1);
	pair_free(&p);
}
END_TEST

/* The last of as many rules as there may be; those before it never match. */
static struct rule_table *table_of_the_most_rules(void)
{
	static const char never[] = "drop 255 any any any any\n",
			  last[] = "keep any any any any any\n";
	char *text = malloc(RULES_MAX * sizeof(never)), *end = text;
	struct rule_table *t;

	ck_assert_ptr_nonnull(text);
	for (unsigned int i = 1; i < RULES_MAX; i++)
		end = stpcpy(end, never);
	(void)stpcpy(end, last);
	t = table_of(text);
	free(text);
	return t;
}

START_TEST(highest_number_of_a_rule_is_known_in_every_place)
{
	struct rule_table *most = table_of_the_most_rules(),
			  *one = table_of("keep any any any any any\n");
	struct rule_cache *c = cache_of_lines(1);

	for (uint32_t i = 0; i < 6; i++) {
		struct flow_key k = numbered_key(FLOW_IPV4, i);
		uint32_t found;

		rule_cache_match(c, i % 2 > 0 ? most : one, &k, 1, &found);
		ck_assert_uint_eq(found, i % 2 > 0 ? RULES_MAX : 1);
	}
	for (uint32_t i = 0; i < 6; i++) {
		struct flow_key k = numbered_key(FLOW_IPV4, i);
		uint32_t found;

		rule_cache_match(c, i % 2 > 0 ? one : most, &k, 1, &found);
		ck_assert_uint_eq(found, i % 2 > 0 ? RULES_MAX : 1);
	}
	rule_cache_free(c);
	rule_table_free(one);
	rule_table_free(most);
}
END_TEST

/* How many of so many flows the cache answers for by itself. */
static unsigned int count_known(struct pair *p, uint32_t flows)
{
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST], known = 0;

	for (uint32_t i = 0; i < flows; i += FILTER_BURST) {
		for (uint32_t k = 0; k < FILTER_BURST; k++)
			keys[k] = numbered_key(FLOW_IPV4, i + k);
		rule_cache_match(p->c, p->two, keys, FILTER_BURST, found);
		for (uint32_t k = 0; k < FILTER_BURST; k++)
			known += found[k] == 1;
	}
	return known;
}

/* Half as many flows as there are places: fewer than 4 % of them are too many for their lines. */
START_TEST(flow_takes_a_free_place_before_that_of_another)
{
	enum { LINES = 4096, FLOWS = LINES * 3 };
	struct pair p = pair_new();
	struct flow_key k;
	uint32_t found;

	rule_cache_free(p.c);
	p.c = cache_of_lines(LINES);
	for (uint32_t i = 0; i < FLOWS; i++) {
		k = numbered_key(FLOW_IPV4, i);
		rule_cache_match(p.c, p.one, &k, 1, &found);
	}
	ck_assert_uint_ge(count_known(&p, FLOWS), FLOWS * 95 / 100);
	pair_free(&p);
}
END_TEST

START_TEST(misses_alone_are_asked_of_the_table)
{
	struct pair p = pair_new();
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];

	for (unsigned int i = 0; i < FILTER_BURST; i++)
		keys[i] = numbered_key(i % 2 > 0 ? FLOW_IPV6 : FLOW_IPV4, i % 5);
	rule_cache_match(p.c, p.one, keys, 2, found);
	rule_cache_match(p.c, p.two, keys, FILTER_BURST, found);
	for (unsigned int i = 0; i < FILTER_BURST; i++)
		ck_assert_uint_eq(found[i], i % 10 < 2 ? 1 : 2);
	pair_free(&p);
}
END_TEST

/* Each of flows in turn, so often. */
static void flows_come(struct pair *p, uint32_t first, uint32_t count, unsigned int times)
{
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];

	for (uint32_t i = 0; i < count; i += FILTER_BURST) {
		for (uint32_t k = 0; k < FILTER_BURST; k++)
			keys[k] = numbered_key(FLOW_IPV4, first + i + k);
		for (unsigned int n = 0; n < times; n++)
			rule_cache_match(p->c, p->one, keys, FILTER_BURST, found);
	}
}

/* The flows before have been there twice each, so the cache did not step aside. None of them comes again. */
START_TEST(full_cache_makes_room_for_flows_that_come)
{
	enum { LINES = 2048, FLOWS = LINES * 2, ROUNDS = 20 };
	struct pair p = pair_new();

	rule_cache_free(p.c);
	p.c = cache_of_lines(LINES);
	flows_come(&p, FLOWS, LINES * 64, 2);
	for (unsigned int i = 0; i < ROUNDS; i++)
		flows_come(&p, 0, FLOWS, 1);
	ck_assert_uint_ge(count_known(&p, FLOWS), FLOWS * 98 / 100);
	pair_free(&p);
}
END_TEST

/* Packets of ever new flows, in bursts. */
static void strangers_come(struct pair *p, uint32_t *number, unsigned int count)
{
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];

	for (unsigned int i = 0; i < count; i += FILTER_BURST) {
		for (unsigned int k = 0; k < FILTER_BURST; k++)
			keys[k] = numbered_key(FLOW_IPV4, (*number)++);
		rule_cache_match(p->c, p->one, keys, FILTER_BURST, found);
		for (unsigned int k = 0; k < FILTER_BURST; k++)
			ck_assert_uint_eq(found[k], 1);
	}
}

START_TEST(cache_steps_aside_when_strangers_come_and_looks_again)
{
	struct pair p = pair_new();
	struct flow_key k = numbered_key(FLOW_IPV6, 7);
	uint32_t number = 0;

	for (unsigned int i = 0; i < 1 << 16; i++)
		ck_assert(answers(&p, &k));
	strangers_come(&p, &number, 1 << 16);
	ck_assert(!answers(&p, &k));
	for (unsigned int i = 0; i < 64 && !answers(&p, &k); i++)
		strangers_come(&p, &number, 1 << 13);
	ck_assert(answers(&p, &k));
	pair_free(&p);
}
END_TEST

enum { SHORT_FLOWS = 20032, SHORT_PKTS = 5 };

/* Packets of flows that end after five of them, of which so many are live; among them, in percent, those of flows of one. */
static void short_flows_come(struct pair *p, uint32_t live[], uint8_t seen[], uint32_t *number,
	unsigned int count, unsigned int strangers)
{
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];

	for (unsigned int i = 0; i < count; i += FILTER_BURST) {
		for (unsigned int k = 0; k < FILTER_BURST; k++) {
			uint32_t flow = draw(SHORT_FLOWS);

			if (draw(100) < strangers) {
				keys[k] = numbered_key(FLOW_IPV4, (*number)++);
				continue;
			}
			keys[k] = numbered_key(FLOW_IPV4, live[flow]);
			if (++seen[flow] == SHORT_PKTS) {
				live[flow] = (*number)++;
				seen[flow] = 0;
			}
		}
		rule_cache_match(p->c, p->one, keys, FILTER_BURST, found);
	}
}

/* Four in five packets are of known flows; then for a while less than half; then as before. */
START_TEST(cache_comes_back_to_short_flows_after_a_slump)
{
	static uint32_t live[SHORT_FLOWS];
	static uint8_t seen[SHORT_FLOWS];
	struct pair p = pair_new();
	struct flow_key k = numbered_key(FLOW_IPV6, 7);
	uint32_t number = SHORT_FLOWS;
	unsigned int there = 0;

	for (uint32_t i = 0; i < SHORT_FLOWS; i++) {
		live[i] = i;
		seen[i] = (uint8_t)draw(SHORT_PKTS);
	}
	short_flows_come(&p, live, seen, &number, 1 << 18, 0);
	ck_assert(answers(&p, &k));
	short_flows_come(&p, live, seen, &number, 1 << 15, 60);
	for (unsigned int i = 0; i < 64; i++) {
		short_flows_come(&p, live, seen, &number, 1 << 15, 0);
		there += answers(&p, &k);
	}
	ck_assert_uint_ge(there, 50);
	pair_free(&p);
}
END_TEST

/*
 * Of 300,000 flows that all come as often, hardly one comes twice among the first packets. All but one in twenty
 * have come after three times as many.
 */
START_TEST(cache_learns_flows_that_come_again_but_seldom)
{
	enum { FLOWS = 300032 };
	struct pair p = pair_new();
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];

	for (uint32_t i = 0; i < 3 * FLOWS; i += FILTER_BURST) {
		for (unsigned int k = 0; k < FILTER_BURST; k++)
			keys[k] = numbered_key(FLOW_IPV4, draw(FLOWS));
		rule_cache_match(p.c, p.one, keys, FILTER_BURST, found);
	}
	ck_assert_uint_ge(count_known(&p, FLOWS), FLOWS / 10 * 8);
	pair_free(&p);
}
END_TEST

/* Half of the packets and a few more, that are of known flows, are worth a cache. */
START_TEST(cache_stays_where_most_packets_are_of_known_flows)
{
	struct pair p = pair_new();
	struct flow_key keys[FILTER_BURST], k = numbered_key(FLOW_IPV6, 7);
	uint32_t found[FILTER_BURST], number = 0;

	for (unsigned int i = 0; i < 1 << 14; i++) {
		for (unsigned int n = 0; n < FILTER_BURST; n++)
			keys[n] = n < 36 ? k : numbered_key(FLOW_IPV4, number++);
		rule_cache_match(p.c, p.one, keys, FILTER_BURST, found);
		if (i % 16 == 0)
			ck_assert(answers(&p, &k));
	}
	pair_free(&p);
}
END_TEST

struct lcore {
	struct rule_cache *c;
	const struct rule_table *t;
	uint64_t seed;
	unsigned int differences;
};

static void *lcore_run(void *arg)
{
	struct lcore *l = arg;

	state = l->seed;
	l->differences = count_differences(l->c, l->t);
	return NULL;
}

START_TEST(two_threads_share_a_table_with_a_cache_each)
{
	struct rule_table *t = table_draw();
	struct lcore lcores[2];
	pthread_t threads[2];

	for (unsigned int i = 0; i < 2; i++) {
		lcores[i] = (struct lcore){.c = cache_new(), .t = t, .seed = 7 + i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, lcore_run, &lcores[i]), 0);
	}
	for (unsigned int i = 0; i < 2; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert_uint_eq(lcores[i].differences, 0);
		rule_cache_free(lcores[i].c);
	}
	rule_table_free(t);
}
END_TEST

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats stats = {0};

	(void)rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

START_TEST(cache_takes_the_memory_that_it_says)
{
	size_t before = heap_bytes();
	struct rule_cache *c = cache_new();

	ck_assert_uint_ge(heap_bytes() - before, rule_cache_memory_bytes());
	ck_assert_uint_le(heap_bytes() - before, rule_cache_memory_bytes() + 1024);
	rule_cache_free(c);
	ck_assert_uint_eq(heap_bytes(), before);
	rule_cache_free(NULL);
}
END_TEST

START_TEST(cache_without_memory_says_how_much_it_wanted)
{
	struct rule_cache *c = NULL;
	size_t before = heap_bytes();

	ck_assert_int_eq(rule_cache_new_lines(1 << 30, SOCKET_ID_ANY, &c, &err), -ENOMEM);
	ck_assert_str_eq(err.text, "no memory for a rule cache of 67108864 KiB");
	ck_assert_ptr_null(c);
	ck_assert_uint_eq(heap_bytes(), before);
}
END_TEST

static Suite *rule_cache_suite(void)
{
	Suite *s = suite_create("rule_cache");
	TCase *t = tcase_create("rule_cache");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, any_keys_match_as_the_table_does, 0, 4);
	tcase_add_test(t, empty_cache_knows_no_key);
	tcase_add_test(t, known_flow_is_not_asked_of_the_table);
	tcase_add_test(t, line_holds_six_flows_of_either_family);
	tcase_add_test(t, highest_number_of_a_rule_is_known_in_every_place);
	tcase_add_test(t, flow_takes_a_free_place_before_that_of_another);
	tcase_add_test(t, full_cache_makes_room_for_flows_that_come);
	tcase_add_test(t, misses_alone_are_asked_of_the_table);
	tcase_add_test(t, cache_steps_aside_when_strangers_come_and_looks_again);
	tcase_add_test(t, cache_comes_back_to_short_flows_after_a_slump);
	tcase_add_test(t, cache_learns_flows_that_come_again_but_seldom);
	tcase_add_test(t, cache_stays_where_most_packets_are_of_known_flows);
	tcase_add_test(t, two_threads_share_a_table_with_a_cache_each);
	tcase_add_test(t, cache_takes_the_memory_that_it_says);
	tcase_add_test(t, cache_without_memory_says_how_much_it_wanted);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	int r;

	if (!eal_start(256))
		return EXIT_FAILURE;
	r = suite_run_unforked(rule_cache_suite());
	(void)rte_eal_cleanup();
	return r;
}
