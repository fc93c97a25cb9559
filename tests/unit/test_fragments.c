/* The fragment table against a list of datagrams; expiry, overwriting, many lcores at once. */
/* rooms: filter common */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "suite_main.h"
#include "tests/eal_start.h"
#include "tests/same_keys.h"
#include "wirespool/units.h"

/*
 * The table's own source, with a gap just before it takes a word: what another lcore does in it is
 * then the same in each run. Threads meet there once in 100,000 times.
 */
static _Thread_local void (*in_the_gap)(void);

static bool take_word(_Atomic uint64_t *word, uint64_t *old, uint64_t taken)
{
	void (*other_lcore)(void) = in_the_gap;

	in_the_gap = NULL;
	if (other_lcore != NULL)
		other_lcore();
	return atomic_compare_exchange_strong_explicit(
		word, old, taken, memory_order_relaxed, memory_order_relaxed);
}

#undef atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong_explicit(word, old, taken, yes, no)                         \
	take_word(word, old, taken)
#include "filter/fragments.c"

enum {
	LIST_DATAGRAMS = 500,
	LIST_PACKETS = 400000,
	THREADS = 2, /* each on a CPU of its own, where there are two */
	QUEUES = THREADS,
	BUCKET = 8,
	HEAP_OVERHEAD = 1024, /* of DPDK's heap, for three elements */
};

#define START_NS (1800000000 * NS_PER_SEC)
#define TICK_NS  (UINT64_C(1) << 28)

static struct fragments *table;
static struct errbuf err;
static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)((random_state >> 33) % below);
}

static void open_table(uint32_t datagrams_max)
{
	struct fragments_options o = {
		.datagrams_max = datagrams_max, .queues = QUEUES, .socket_id = SOCKET_ID_ANY};

	ck_assert_msg(fragments_new(&o, &table, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
	random_state = 1;
	getrandom_error = 0;
	table = NULL;
}

static void tear_down(void)
{
	fragments_free(table);
}

/* A datagram of IPv4 and UDP, for tests that do not care which. */
static struct fragment_key datagram_number(uint32_t number)
{
	const uint8_t server[4] = {10, 0, 0, 1};
	struct fragment_key key;
	uint8_t client[4] = {10, 0, (uint8_t)(number >> 24), (uint8_t)(number >> 16)};

	fragment_key_make(&key, 4, 17, client, server, number & 0xffff);
	return key;
}

static void first(uint32_t number, bool kept, uint64_t time_ns)
{
	struct fragment_key key = datagram_number(number);

	fragments_first(table, &key, kept, time_ns);
}

static enum fragment_decision later(uint32_t number, uint64_t time_ns)
{
	struct fragment_key key = datagram_number(number);

	return fragments_later(table, 0, &key, time_ns);
}

/* What a person would do: a list of datagrams. */
struct listed {
	struct fragment_key key;
	uint64_t first_ns;
	bool known, kept;
};

static struct listed list[LIST_DATAGRAMS];

/* Datagrams that have much in common: few addresses, few numbers. */
static void list_draw(struct listed *l)
{
	uint8_t source[16] = {10, 0, 0, (uint8_t)draw(3)}, destination[16] = {10, 0, 0, 1};

	source[15] = (uint8_t)draw(2);
	memset(l, 0, sizeof(*l));
	memset(&l->key, 0xaa, sizeof(l->key));
	fragment_key_make(&l->key, draw(2) == 0 ? 4 : 6, draw(2) == 0 ? 6 : 17, source, destination,
		draw(100));
}

static void list_fill(void)
{
	unsigned int drawn = 0;

	for (int i = 0; i < LIST_DATAGRAMS;) {
		int j = 0;

		ck_assert_uint_lt(drawn++, 100 * LIST_DATAGRAMS);
		list_draw(&list[i]);
		while (memcmp(&list[j].key, &list[i].key, sizeof(list[i].key)) != 0)
			j++;
		i += j == i;
	}
}

static enum fragment_decision list_later(const struct listed *l, uint64_t time_ns)
{
	if (!l->known || time_ns - l->first_ns > FRAGMENTS_EXPIRE_NS)
		return FRAGMENT_UNKNOWN;
	return l->kept ? FRAGMENT_KEPT : FRAGMENT_DROPPED;
}

START_TEST(later_fragments_follow_as_a_list_of_datagrams_says)
{
	uint64_t time_ns = START_NS, said[FRAGMENT_UNKNOWN + 1] = {0};

	open_table(4 * LIST_DATAGRAMS);
	list_fill();
	for (int i = 0; i < LIST_PACKETS; i++) {
		struct listed *l = &list[draw(LIST_DATAGRAMS)];
		enum fragment_decision expected;

		/* 50 ms a packet, 25 s from one of a datagram to the next. */
		time_ns += draw(100) * 1000000;
		if (draw(3) == 0) {
			l->known = true;
			l->kept = draw(2) == 0;
			l->first_ns = time_ns;
			fragments_first(table, &l->key, l->kept, time_ns);
			continue;
		}
		/* Between what is never forgotten and what always is. */
		if (l->known && time_ns - l->first_ns > FRAGMENTS_EXPIRE_NS &&
			time_ns - l->first_ns < FRAGMENTS_EXPIRE_NS + 2 * TICK_NS)
			continue;
		expected = list_later(l, time_ns);
		ck_assert_int_eq(fragments_later(table, draw(QUEUES), &l->key, time_ns), expected);
		said[expected]++;
	}
	ck_assert_uint_eq(fragments_unknown_pkts(table), said[FRAGMENT_UNKNOWN]);
	for (int i = 0; i <= FRAGMENT_UNKNOWN; i++)
		ck_assert_uint_gt(said[i], LIST_PACKETS / 10);
}
END_TEST

START_TEST(fragment_before_its_first_is_unknown_and_is_counted_for_its_queue)
{
	struct fragment_key key = datagram_number(1);

	open_table(100);
	for (unsigned int queue = 0; queue < QUEUES; queue++)
		ck_assert_int_eq(fragments_later(table, queue, &key, START_NS), FRAGMENT_UNKNOWN);
	ck_assert_uint_eq(fragments_unknown_pkts(table), QUEUES);
	first(1, false, START_NS);
	ck_assert_int_eq(fragments_later(table, 1, &key, START_NS), FRAGMENT_DROPPED);
	first(1, true, START_NS);
	ck_assert_int_eq(fragments_later(table, 1, &key, START_NS), FRAGMENT_KEPT);
	ck_assert_uint_eq(fragments_unknown_pkts(table), QUEUES);
}
END_TEST

START_TEST(datagram_is_its_addresses_protocol_and_number)
{
	const uint8_t a[16] = {10, 0, 0, 1}, b[16] = {10, 0, 0, 2}, c[16] = {10, 0, 0, 1, [15] = 1};
	struct fragment_key key, other;

	/* Whatever lay in it before. */
	memset(&other, 0xaa, sizeof(other));
	memset(&key, 0x55, sizeof(key));
	fragment_key_make(&key, 4, 17, a, b, 7);
	fragment_key_make(&other, 4, 17, c, b, 7);
	ck_assert_mem_eq(&key, &other, sizeof(key));
	fragment_key_make(&other, 4, 17, b, a, 7);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	fragment_key_make(&other, 4, 6, a, b, 7);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	fragment_key_make(&other, 4, 17, a, b, 8);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	fragment_key_make(&other, 6, 17, a, b, 7);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	/* The later fragments of IPv6 may name another next header than the first. */
	fragment_key_make(&key, 6, 17, a, c, 0x10007);
	fragment_key_make(&other, 6, 60, a, c, 0x10007);
	ck_assert_mem_eq(&key, &other, sizeof(key));
	fragment_key_make(&other, 6, 17, a, a, 0x10007);
	ck_assert_mem_ne(&key, &other, sizeof(key));
	fragment_key_make(&other, 6, 17, a, c, 7);
	ck_assert_mem_ne(&key, &other, sizeof(key));
}
END_TEST

/* At any tick, as they go round: 78 hours are 2^20 of them. */
START_TEST(decision_expires_and_clocks_of_other_lcores_may_be_apart)
{
	open_table(100);
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t time_ns = (TICK_NS << 20) * (i % 2) + i / 2 * NS_PER_SEC;

		first(1, false, time_ns);
		ck_assert_int_eq(later(1, time_ns), FRAGMENT_DROPPED);
		ck_assert_int_eq(later(1, time_ns + FRAGMENTS_EXPIRE_NS), FRAGMENT_DROPPED);
		ck_assert_int_eq(
			later(1, time_ns + FRAGMENTS_EXPIRE_NS + 2 * TICK_NS), FRAGMENT_UNKNOWN);
		if (time_ns >= FRAGMENTS_EXPIRE_NS)
			ck_assert_int_eq(later(1, time_ns - NS_PER_SEC), FRAGMENT_DROPPED);
	}
}
END_TEST

/*
 * 8 words in all: 9 datagrams are one too many, and the oldest goes, wherever it lies. From
 * tick 0 on, where an empty word would look as new as any.
 */
START_TEST(new_datagram_takes_the_place_of_the_oldest_of_eight)
{
	uint64_t time_ns = 0;

	open_table(4);
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t oldest = i < BUCKET ? 0 : i - BUCKET + 1;

		first(i, i % 3 == 0, time_ns);
		if (oldest > 0)
			ck_assert_int_eq(later(oldest - 1, time_ns), FRAGMENT_UNKNOWN);
		for (uint32_t j = oldest; j <= i; j++)
			ck_assert_int_eq(
				later(j, time_ns), j % 3 == 0 ? FRAGMENT_KEPT : FRAGMENT_DROPPED);
		time_ns += TICK_NS;
	}
	ck_assert_uint_eq(fragments_unknown_pkts(table), 1000 - BUCKET);
}
END_TEST

/* The one whose fragments still come is not the oldest any more. */
START_TEST(datagram_seen_again_moves_to_the_newest)
{
	uint64_t time_ns = START_NS;

	open_table(4);
	for (uint32_t i = 0; i < 1000; i++) {
		first(0, true, time_ns);
		first(1 + i, false, time_ns + TICK_NS);
		ck_assert_int_eq(later(0, time_ns + TICK_NS), FRAGMENT_KEPT);
		time_ns += 2 * TICK_NS;
	}
}
END_TEST

static void first_of_another_lcore(void)
{
	first(1000, false, START_NS);
}

/* Into an empty table, and into one that is full. */
START_TEST(word_that_another_lcore_took_in_the_meantime_is_not_written_over)
{
	for (uint32_t i = 0; i < 2 * BUCKET; i++) {
		open_table(4);
		for (uint32_t j = 0; j < i; j++)
			first(j, true, START_NS - NS_PER_SEC);
		in_the_gap = first_of_another_lcore;
		first(i, true, START_NS);
		ck_assert_ptr_null(in_the_gap);
		ck_assert_int_eq(later(i, START_NS), FRAGMENT_KEPT);
		ck_assert_int_eq(later(1000, START_NS), FRAGMENT_DROPPED);
		tear_down();
	}
	table = NULL;
}
END_TEST

static _Atomic unsigned int arrived;

/* All at once, within the time that a line takes from one CPU to the other: who sleeps never collides. */
static void meet(unsigned int round)
{
	(void)atomic_fetch_add(&arrived, 1);
	for (unsigned int spins = 0; atomic_load(&arrived) < round * THREADS; spins++)
		if (spins > 1000)
			sched_yield();
}

static void run_threads(void *(*work)(void *))
{
	pthread_t threads[THREADS];

	atomic_store(&arrived, 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, (void *)i), 0);
	for (int i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
}

enum { ROUNDS = 30000, OWN = BUCKET / THREADS };

static _Atomic uint64_t wrong;

/* Datagrams of each thread's own, new in each round; one or the other begins a little later. */
static void *write_own(void *arg)
{
	uint32_t thread = (uint32_t)(uintptr_t)arg;

	for (unsigned int round = 1; round <= ROUNDS; round++) {
		uint64_t time_ns = START_NS + round * 3 * FRAGMENTS_EXPIRE_NS;
		struct fragment_key keys[OWN];

		for (uint32_t i = 0; i < OWN; i++)
			keys[i] = datagram_number((round * THREADS + thread) * OWN + i);
		meet(2 * round - 1);
		for (unsigned int i = 0; round % 2 == thread && i < round / 2 % 16; i++)
			atomic_signal_fence(memory_order_seq_cst);
		for (uint32_t i = 0; i < OWN; i++)
			fragments_first(table, &keys[i], (round + i) % 2 == 0, time_ns);
		meet(2 * round);
		for (uint32_t i = 0; i < OWN; i++)
			wrong += fragments_later(table, thread, &keys[i], time_ns) !=
				 ((round + i) % 2 == 0 ? FRAGMENT_KEPT : FRAGMENT_DROPPED);
	}
	return NULL;
}

/* 8 words, 8 datagrams: each has room, as the words of the round before have expired. */
START_TEST(no_thread_loses_what_it_wrote_to_another_while_there_is_room)
{
	open_table(4);
	atomic_store(&wrong, 0);
	run_threads(write_own);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	ck_assert_uint_eq(fragments_unknown_pkts(table), 0);
}
END_TEST

enum { SHARED = 64, SHARED_PACKETS = 200000 };

static _Atomic uint64_t known;

/* All write and look up the same ones; what is said of each is always the same. */
static void *write_shared(void *arg)
{
	uint32_t thread = (uint32_t)(uintptr_t)arg, random = thread + 1;
	uint64_t found = 0;

	for (int i = 0; i < SHARED_PACKETS; i++) {
		struct fragment_key key;
		enum fragment_decision said;
		uint32_t number;

		random = random * 1664525 + 1013904223;
		number = (random >> 16) % SHARED;
		key = datagram_number(number);
		if ((random >> 30) == 0)
			fragments_first(table, &key, number % 2 == 0, START_NS + (random >> 8));
		said = fragments_later(table, thread, &key, START_NS);
		wrong += said == (number % 2 == 0 ? FRAGMENT_DROPPED : FRAGMENT_KEPT);
		found += said != FRAGMENT_UNKNOWN;
	}
	(void)atomic_fetch_add(&known, found);
	return NULL;
}

/* 16 words for 64 datagrams: they are overwritten all the time, and never mixed up. */
START_TEST(what_is_overwritten_by_many_threads_is_unknown_and_never_wrong)
{
	open_table(8);
	atomic_store(&wrong, 0);
	atomic_store(&known, 0);
	run_threads(write_shared);
	ck_assert_uint_eq(atomic_load(&wrong), 0);
	ck_assert_uint_gt(atomic_load(&known), 0);
	ck_assert_uint_eq(fragments_unknown_pkts(table) + atomic_load(&known),
		(uint64_t)THREADS * SHARED_PACKETS);
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

	open_table(100000);
	taken = heap_bytes() - before;
	ck_assert_uint_ge(taken, fragments_memory_bytes(100000, QUEUES));
	ck_assert_uint_le(taken, fragments_memory_bytes(100000, QUEUES) + HEAP_OVERHEAD);
	/* 16 to 32 bytes a datagram, whatever the number. */
	for (uint32_t n = 1000; n < 1U << 28; n = n * 3 / 2) {
		ck_assert_uint_ge(fragments_memory_bytes(n, 1), 16 * (uint64_t)n);
		ck_assert_uint_le(fragments_memory_bytes(n, 1), 32 * (uint64_t)n + 512);
	}
	fragments_free(table);
	table = NULL;
	ck_assert_uint_eq(heap_bytes(), before);
}
END_TEST

static void check_refused(struct fragments_options o, int error, const char *word)
{
	struct fragments *f = (struct fragments *)&o;
	size_t before = heap_bytes();

	err.text[0] = '\0';
	ck_assert_int_eq(fragments_new(&o, &f, &err), error);
	ck_assert_ptr_eq(f, (struct fragments *)&o);
	ck_assert_msg(strstr(err.text, word) != NULL, "%s", err.text);
	ck_assert_uint_eq(heap_bytes(), before);
}

START_TEST(what_cannot_be_had_is_refused_and_leaves_nothing)
{
	const struct fragments_options good = {
		.datagrams_max = 100, .queues = 1, .socket_id = SOCKET_ID_ANY};
	struct fragments_options o = good;

	o.datagrams_max = 0;
	check_refused(o, -EINVAL, "got 0");
	o.datagrams_max = FRAGMENTS_DATAGRAMS_MAX + 1;
	check_refused(o, -EINVAL, "268435457");
	o.datagrams_max = FRAGMENTS_DATAGRAMS_MAX;
	check_refused(o, -ENOMEM, "268435456");
	o = good;
	o.queues = 0;
	check_refused(o, -EINVAL, "queue");
	o = good;
	o.expire_ns = FRAGMENTS_EXPIRE_MAX_NS + NS_PER_SEC;
	check_refused(o, -EINVAL, "3601");
	getrandom_error = ENOSYS;
	check_refused(good, -ENOSYS, "random");
	fragments_free(NULL);
}
END_TEST

static Suite *fragments_suite(void)
{
	Suite *s = suite_create("fragments");
	TCase *t = tcase_create("fragments");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, later_fragments_follow_as_a_list_of_datagrams_says);
	tcase_add_test(t, fragment_before_its_first_is_unknown_and_is_counted_for_its_queue);
	tcase_add_test(t, datagram_is_its_addresses_protocol_and_number);
	tcase_add_test(t, decision_expires_and_clocks_of_other_lcores_may_be_apart);
	tcase_add_test(t, new_datagram_takes_the_place_of_the_oldest_of_eight);
	tcase_add_test(t, datagram_seen_again_moves_to_the_newest);
	tcase_add_test(t, word_that_another_lcore_took_in_the_meantime_is_not_written_over);
	tcase_add_test(t, no_thread_loses_what_it_wrote_to_another_while_there_is_room);
	tcase_add_test(t, what_is_overwritten_by_many_threads_is_unknown_and_never_wrong);
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
	r = suite_run_unforked(fragments_suite());
	(void)rte_eal_cleanup();
	return r;
}
