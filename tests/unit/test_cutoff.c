/* The flow cutoff against a list of flows; aging, a full table, both directions. */
/* rooms: filter common */
#include "filter/cutoff.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "suite_main.h"
#include "tests/eal_start.h"
#include "tests/same_keys.h"
#include "wirespool/units.h"

enum {
	LIST_FLOWS = 500,
	LIST_PACKETS = 400000,
	LIST_LIMIT = 20000,
	HEAP_OVERHEAD = 512, /* of DPDK's heap, for two elements */
};

#define START_NS (1800000000 * NS_PER_SEC)
#define IDLE_NS  (10 * NS_PER_SEC)
#define TICK_NS  (UINT64_C(1) << 26)

static struct cutoff *table;
static struct errbuf err;
static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)((random_state >> 33) % below);
}

static void open_table(uint64_t limit_bytes, uint32_t flows_max)
{
	struct cutoff_options o = {.limit_bytes = limit_bytes,
		.flows_max = flows_max,
		.idle_ns = IDLE_NS,
		.socket_id = SOCKET_ID_ANY};

	ck_assert_msg(cutoff_new(&o, &table, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
	random_state = 1;
	getrandom_error = 0;
	table = NULL;
}

static void tear_down(void)
{
	cutoff_free(table);
}

/* A flow of IPv4 and TCP, for tests that do not care which. */
static struct cutoff_key flow_number(uint32_t number)
{
	const uint8_t server[4] = {10, 0, 0, 1};
	struct cutoff_key key;
	uint8_t client[4];

	memcpy(client, &number, sizeof(client));
	cutoff_key_make(&key, 4, 6, client, server, 40000, 443);
	return key;
}

static bool is_beyond(struct cutoff_key key, uint32_t bytes, uint64_t time_ns)
{
	return cutoff_match(table, &key, &bytes, &time_ns, 1) != 0;
}

/* What a person would do: a list of flows, looked through from the top. */
struct listed {
	uint8_t version, protocol;
	uint8_t address[2][16];
	uint16_t port[2];
	uint64_t bytes, seen_ns;
	bool known;
};

static struct listed list[LIST_FLOWS];

/* Flows that have much in common: few addresses, few ports. */
static void list_draw(struct listed *l)
{
	memset(l, 0, sizeof(*l));
	l->version = draw(2) == 0 ? 4 : 6;
	l->protocol = draw(2) == 0 ? 6 : 17;
	for (int end = 0; end < 2; end++) {
		l->address[end][0] = 10;
		l->address[end][3] = (uint8_t)draw(4);
		if (l->version == 6)
			l->address[end][draw(16)] ^= (uint8_t)draw(3);
		l->port[end] = (uint16_t)draw(8);
	}
}

static bool end_is(const struct listed *a, int i, const struct listed *b, int j)
{
	return memcmp(a->address[i], b->address[j], 16) == 0 && a->port[i] == b->port[j];
}

static bool same_flow(const struct listed *a, const struct listed *b)
{
	if (a->version != b->version || a->protocol != b->protocol)
		return false;
	return (end_is(a, 0, b, 0) && end_is(a, 1, b, 1)) ||
	       (end_is(a, 0, b, 1) && end_is(a, 1, b, 0));
}

static void list_fill(void)
{
	unsigned int drawn = 0;

	for (int i = 0; i < LIST_FLOWS;) {
		int j = 0;

		ck_assert_uint_lt(drawn++, 100 * LIST_FLOWS);
		list_draw(&list[i]);
		while (!same_flow(&list[j], &list[i]))
			j++;
		i += j == i;
	}
}

static struct cutoff_key key_of(const struct listed *l, int from)
{
	struct cutoff_key key;

	memset(&key, 0xaa, sizeof(key));
	cutoff_key_make(&key, l->version, l->protocol, l->address[from], l->address[!from],
		l->port[from], l->port[!from]);
	return key;
}

/* Silent between what is never forgotten and what always is. */
static bool in_doubt(const struct listed *l, uint64_t time_ns)
{
	return l->known && time_ns - l->seen_ns > IDLE_NS &&
	       time_ns - l->seen_ns < IDLE_NS + 2 * TICK_NS;
}

static bool list_match(struct listed *l, uint32_t bytes, uint64_t time_ns)
{
	bool beyond;

	if (!l->known || time_ns - l->seen_ns > IDLE_NS)
		l->bytes = 0;
	beyond = l->bytes >= LIST_LIMIT;
	l->bytes += bytes;
	l->seen_ns = time_ns;
	l->known = true;
	return beyond;
}

START_TEST(beyond_is_what_a_list_of_flows_says)
{
	uint64_t time_ns = START_NS, beyond = 0, forgotten = 0;
	struct cutoff_key keys[CUTOFF_BURST];
	uint32_t bytes[CUTOFF_BURST];
	uint64_t times_ns[CUTOFF_BURST];

	open_table(LIST_LIMIT, 2 * LIST_FLOWS);
	list_fill();
	for (uint32_t pkts = 0; pkts < LIST_PACKETS;) {
		unsigned int wanted = draw(CUTOFF_BURST + 1), count = 0;
		uint32_t among = draw(4) == 0 ? 3 : LIST_FLOWS;
		uint64_t expected = 0;

		/* Long silences at times, so that some flows are forgotten and some are not. */
		time_ns += draw(200) == 0 ? draw(15) * NS_PER_SEC : 0;
		for (unsigned int i = 0; i < wanted; i++) {
			struct listed *l = &list[draw(among)];

			time_ns += draw(1000000);
			if (in_doubt(l, time_ns))
				continue;
			forgotten += l->known && time_ns - l->seen_ns > IDLE_NS;
			keys[count] = key_of(l, (int)draw(2));
			bytes[count] = 60 + draw(1455);
			times_ns[count] = time_ns;
			expected |= (uint64_t)list_match(l, bytes[count], time_ns) << count;
			count++;
		}
		ck_assert_uint_eq(cutoff_match(table, keys, bytes, times_ns, count), expected);
		beyond += (uint64_t)__builtin_popcountll(expected);
		pkts += count;
	}
	ck_assert_uint_eq(cutoff_beyond_pkts(table), beyond);
	ck_assert_uint_eq(cutoff_full_pkts(table), 0);
	ck_assert_uint_gt(beyond, LIST_PACKETS / 10);
	ck_assert_uint_lt(beyond, LIST_PACKETS - LIST_PACKETS / 10);
	ck_assert_uint_gt(forgotten, 1000);
}
END_TEST

START_TEST(packet_that_crosses_the_limit_is_within_and_the_next_is_beyond)
{
	struct cutoff_key keys[] = {flow_number(1), flow_number(1), flow_number(1), flow_number(2)};
	uint64_t times_ns[] = {START_NS, START_NS, START_NS, START_NS};
	uint32_t bytes[] = {99, 1, 1, 1000};

	open_table(100, 100);
	ck_assert_uint_eq(cutoff_match(table, keys, bytes, times_ns, 4), 4);
	bytes[0] = 0; /* a packet without bytes is beyond as well */
	ck_assert_uint_eq(cutoff_match(table, keys, bytes, times_ns, 1), 1);
	ck_assert(is_beyond(flow_number(2), 60, START_NS));
	ck_assert_uint_eq(cutoff_beyond_pkts(table), 3);
	ck_assert_uint_eq(cutoff_match(table, keys, bytes, times_ns, 0), 0);
}
END_TEST

START_TEST(limit_of_nothing_has_every_packet_beyond)
{
	open_table(0, 100);
	ck_assert(is_beyond(flow_number(1), 60, START_NS));
}
END_TEST

START_TEST(greatest_limit_is_reached_and_never_passed_back)
{
	open_table(UINT32_MAX, 100);
	for (int i = 0; i < 2; i++)
		ck_assert(!is_beyond(flow_number(1), UINT32_C(1) << 31, START_NS));
	for (int i = 0; i < 3; i++)
		ck_assert(is_beyond(flow_number(1), UINT32_C(1) << 31, START_NS));
}
END_TEST

START_TEST(both_directions_are_one_flow_and_nothing_else_is)
{
	const uint8_t a[16] = {10, 0, 0, 1}, b[16] = {10, 0, 0, 2}, c[16] = {10, 0, 0, 1, [15] = 1};
	struct cutoff_key key, other;

	/* Whatever lay in it before. */
	memset(&other, 0xaa, sizeof(other));
	memset(&key, 0x55, sizeof(key));
	cutoff_key_make(&key, 4, 6, a, b, 1, 2);
	cutoff_key_make(&other, 4, 6, b, a, 2, 1);
	ck_assert_mem_eq(&key, &other, sizeof(key));
	cutoff_key_make(&other, 4, 6, a, b, 2, 1);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	cutoff_key_make(&other, 4, 17, a, b, 1, 2);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	cutoff_key_make(&other, 6, 6, a, b, 1, 2);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	/* The ports alone tell the ends of a host that talks to itself. */
	cutoff_key_make(&key, 4, 6, a, a, 1, 2);
	cutoff_key_make(&other, 4, 6, a, a, 2, 1);
	ck_assert_mem_eq(&key, &other, sizeof(key));
	/* Of IPv6 every byte counts, of IPv4 what is behind the address does not. */
	cutoff_key_make(&key, 6, 6, a, c, 1, 2);
	cutoff_key_make(&other, 6, 6, c, a, 2, 1);
	ck_assert_mem_eq(&key, &other, sizeof(key));
	cutoff_key_make(&other, 6, 6, a, a, 1, 2);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	cutoff_key_make(&key, 4, 6, a, b, 1, 2);
	cutoff_key_make(&other, 4, 6, c, b, 1, 2);
	ck_assert_mem_eq(&key, &other, sizeof(key));
}
END_TEST

START_TEST(flow_that_was_silent_is_new_and_one_that_spoke_is_not)
{
	uint64_t time_ns = START_NS;

	open_table(100, 100);
	ck_assert(!is_beyond(flow_number(1), 100, time_ns));
	for (uint64_t i = 0; i < 100; i++) {
		time_ns += IDLE_NS - i;
		ck_assert(is_beyond(flow_number(1), 100, time_ns));
	}
	time_ns += IDLE_NS + 2 * TICK_NS;
	ck_assert(!is_beyond(flow_number(1), 100, time_ns));
	ck_assert(is_beyond(flow_number(1), 100, time_ns));
}
END_TEST

/* Times of kernel interfaces are of each packet, and several CPUs give them. */
START_TEST(time_that_goes_back_a_little_forgets_nothing)
{
	open_table(100, 100);
	ck_assert(!is_beyond(flow_number(1), 100, START_NS));
	ck_assert(is_beyond(flow_number(1), 100, START_NS - NS_PER_SEC));
	ck_assert(is_beyond(flow_number(1), 100, START_NS));
}
END_TEST

/* At tick 0, before and after it: the ticks go round, and an empty place is no flow of that time. */
START_TEST(ticks_that_go_round_change_nothing)
{
	uint64_t round_ns = TICK_NS << 32, start_ns = round_ns - 19 * NS_PER_SEC;

	open_table(100, 100);
	for (uint32_t i = 1; i < 40; i++) {
		ck_assert(!is_beyond(flow_number(i), 100, start_ns + i * NS_PER_SEC));
		if (i > 5)
			ck_assert(is_beyond(flow_number(i - 5), 100, start_ns + i * NS_PER_SEC));
	}
	ck_assert(is_beyond(flow_number(39), 100, round_ns + 20 * NS_PER_SEC));
	ck_assert(!is_beyond(flow_number(1), 100, round_ns + 20 * NS_PER_SEC));
	ck_assert_uint_eq(cutoff_full_pkts(table), 0);
}
END_TEST

START_TEST(full_table_keeps_new_flows_whole_and_counts_their_packets)
{
	enum { FLOWS = 1000, PKTS = 10, PLACES = 8 };
	struct cutoff_key keys[PKTS];
	uint32_t bytes[PKTS];
	uint64_t times_ns[PKTS];
	bool full[FLOWS];
	unsigned int fulls = 0;

	open_table(100, 4);
	for (uint32_t i = 0; i < FLOWS; i++) {
		uint64_t before = cutoff_full_pkts(table);

		ck_assert(!is_beyond(flow_number(i), 100, START_NS));
		full[i] = cutoff_full_pkts(table) > before;
		fulls += full[i];
	}
	ck_assert_uint_eq(cutoff_full_pkts(table), fulls);
	ck_assert_uint_eq(fulls, FLOWS - PLACES);
	for (uint32_t i = 0; i < FLOWS; i++) {
		for (int pkt = 0; pkt < PKTS; pkt++) {
			keys[pkt] = flow_number(i);
			bytes[pkt] = 100;
			times_ns[pkt] = START_NS;
		}
		ck_assert_uint_eq(cutoff_match(table, keys, bytes, times_ns, PKTS),
			full[i] ? 0 : (1 << PKTS) - 1);
	}
	ck_assert_uint_eq(cutoff_full_pkts(table), fulls * (1 + PKTS));
	ck_assert_uint_eq(cutoff_beyond_pkts(table), (FLOWS - fulls) * PKTS);
}
END_TEST

/* Eight places, four flows at a time: wherever they go, they never fill it. */
START_TEST(places_of_silent_flows_are_taken_again)
{
	uint64_t time_ns = START_NS;

	open_table(100, 4);
	for (uint32_t i = 0; i < 100000; i++) {
		if (i % 4 == 0)
			time_ns += IDLE_NS + 2 * TICK_NS;
		ck_assert(!is_beyond(flow_number(i), 100, time_ns));
		ck_assert(is_beyond(flow_number(i), 100, time_ns));
	}
	ck_assert_uint_eq(cutoff_full_pkts(table), 0);
}
END_TEST

/* As many places as the header says, at the most that a table of this size may be filled. */
START_TEST(nearly_all_of_the_flows_asked_for_find_a_place)
{
	enum { FLOWS = 1 << 18 };
	uint64_t within = 0;

	open_table(1, FLOWS);
	for (uint32_t i = 0; i < FLOWS; i++)
		ck_assert(!is_beyond(flow_number(i), 100, START_NS));
	ck_assert_uint_lt(cutoff_full_pkts(table), FLOWS / 2000);
	for (uint32_t i = 0; i < FLOWS; i++)
		within += !is_beyond(flow_number(i), 100, START_NS);
	ck_assert_uint_lt(within, FLOWS / 2000);
}
END_TEST

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats s;

	ck_assert_int_eq(rte_malloc_get_socket_stats(0, &s), 0);
	return s.heap_allocsz_bytes;
}

START_TEST(memory_is_what_is_said_and_comes_back)
{
	size_t before = heap_bytes(), taken;

	open_table(100, 100000);
	taken = heap_bytes() - before;
	ck_assert_uint_ge(taken, cutoff_memory_bytes(100000));
	ck_assert_uint_le(taken, cutoff_memory_bytes(100000) + HEAP_OVERHEAD);
	/* 32 to 64 bytes a flow, whatever the number. */
	for (uint32_t n = 1000; n < 1U << 28; n = n * 3 / 2) {
		ck_assert_uint_ge(cutoff_memory_bytes(n), 32 * (uint64_t)n);
		ck_assert_uint_le(cutoff_memory_bytes(n), 64 * (uint64_t)n + 512);
	}
	cutoff_free(table);
	table = NULL;
	ck_assert_uint_eq(heap_bytes(), before);
}
END_TEST

static void check_refused(struct cutoff_options o, int error, const char *word)
{
	struct cutoff *c = (struct cutoff *)&o;
	size_t before = heap_bytes();

	err.text[0] = '\0';
	ck_assert_int_eq(cutoff_new(&o, &c, &err), error);
	ck_assert_ptr_eq(c, (struct cutoff *)&o);
	ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);
	ck_assert_uint_eq(heap_bytes(), before);
}

START_TEST(what_cannot_be_had_is_refused_and_leaves_nothing)
{
	const struct cutoff_options good = {
		.limit_bytes = 1, .flows_max = 100, .socket_id = SOCKET_ID_ANY};
	struct cutoff_options o = good;

	o.limit_bytes = UINT64_C(1) << 32;
	check_refused(o, -EINVAL, "4294967296");
	o = good;
	o.flows_max = 0;
	check_refused(o, -EINVAL, "got 0");
	o.flows_max = CUTOFF_FLOWS_MAX + 1;
	check_refused(o, -EINVAL, "268435457");
	o = good;
	o.idle_ns = CUTOFF_IDLE_MAX_NS + 1;
	check_refused(o, -EINVAL, "86400");
	o = good;
	o.flows_max = CUTOFF_FLOWS_MAX;
	check_refused(o, -ENOMEM, "8193 MiB");
	getrandom_error = ENOSYS;
	check_refused(good, -ENOSYS, "random");
	cutoff_free(NULL);
}
END_TEST

static Suite *cutoff_suite(void)
{
	Suite *s = suite_create("cutoff");
	TCase *t = tcase_create("cutoff");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, beyond_is_what_a_list_of_flows_says);
	tcase_add_test(t, packet_that_crosses_the_limit_is_within_and_the_next_is_beyond);
	tcase_add_test(t, limit_of_nothing_has_every_packet_beyond);
	tcase_add_test(t, greatest_limit_is_reached_and_never_passed_back);
	tcase_add_test(t, both_directions_are_one_flow_and_nothing_else_is);
	tcase_add_test(t, flow_that_was_silent_is_new_and_one_that_spoke_is_not);
	tcase_add_test(t, time_that_goes_back_a_little_forgets_nothing);
	tcase_add_test(t, ticks_that_go_round_change_nothing);
	tcase_add_test(t, full_table_keeps_new_flows_whole_and_counts_their_packets);
	tcase_add_test(t, places_of_silent_flows_are_taken_again);
	tcase_add_test(t, nearly_all_of_the_flows_asked_for_find_a_place);
	tcase_add_test(t, memory_is_what_is_said_and_comes_back);
	tcase_add_test(t, what_cannot_be_had_is_refused_and_leaves_nothing);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	int r;

	if (!eal_start(64))
		return EXIT_FAILURE;
	r = suite_run_unforked(cutoff_suite());
	(void)rte_eal_cleanup();
	return r;
}
