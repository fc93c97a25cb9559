/* rooms: common */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "suite_main.h"
#include "wirespool/clock.h"
#include "wirespool/units.h"

#define HZ    2600000000ULL
#define T0_NS 1700000000000000000ULL

static const uint64_t TICK_TSC = HZ / 10;
static const uint64_t TICK_NS = NS_PER_SEC / 10;

START_TEST(a_started_clock_counts_cycles_as_nanoseconds)
{
	struct clock_base c = {0};

	clock_start(&c, 1000, T0_NS, HZ);
	ck_assert_uint_eq(clock_at(&c, 1000), T0_NS);
	ck_assert_uint_eq(
		clock_at(&c, 500), T0_NS); /* a counter read before the base was renewed */
	ck_assert_uint_le(clock_at(&c, 1000 + HZ) - T0_NS, NS_PER_SEC);
	ck_assert_uint_ge(clock_at(&c, 1000 + HZ) - T0_NS, NS_PER_SEC - 1);
	/* A base left alone for an hour does not overflow. */
	ck_assert_uint_ge(clock_at(&c, 1000 + 3600 * HZ) - T0_NS, 3600 * NS_PER_SEC - 3600);
}
END_TEST

/* Renews every 100 ms while the wall clock differs from the counter by offset; never backwards. */
static int64_t run_ticks(struct clock_base *c, unsigned int ticks, int64_t offset_ns)
{
	uint64_t before_ns = clock_at(c, 1000);
	int64_t ahead_ns = 0;

	for (unsigned int i = 1; i <= ticks; i++) {
		uint64_t tsc = 1000 + i * TICK_TSC, now_ns;

		ahead_ns = clock_renew(
			c, tsc, (uint64_t)((int64_t)(T0_NS + i * TICK_NS) + offset_ns), HZ);
		now_ns = clock_at(c, tsc);
		ck_assert_uint_ge(now_ns, before_ns);
		before_ns = now_ns;
	}
	return ahead_ns;
}

START_TEST(a_small_error_is_slewed_away)
{
	struct clock_base c = {0};

	clock_start(&c, 1000, T0_NS, HZ);
	ck_assert_int_lt(llabs(run_ticks(&c, 100, 100000)), 2000);
}
END_TEST

START_TEST(a_wall_clock_set_back_is_approached_slowly_and_never_backwards)
{
	struct clock_base c = {0};
	int64_t ahead_ns;

	clock_start(&c, 1000, T0_NS, HZ);
	ahead_ns = run_ticks(&c, 100, -60 * (int64_t)NS_PER_SEC);
	/* 10 s at 10 % slower: 1 s of the 60 is made up. */
	ck_assert_int_gt(ahead_ns, 58 * (int64_t)NS_PER_SEC);
	ck_assert_int_lt(ahead_ns, 60 * (int64_t)NS_PER_SEC);
}
END_TEST

START_TEST(a_wall_clock_set_forward_is_jumped_to)
{
	struct clock_base c = {0};

	clock_start(&c, 1000, T0_NS, HZ);
	ck_assert_int_lt(llabs(run_ticks(&c, 2, 3600 * (int64_t)NS_PER_SEC)), 1000);
}
END_TEST

static struct clock_base shared;
static _Atomic int stop;

static void *keep_renewing(void *arg)
{
	uint64_t tsc = 1000, now_ns = T0_NS;

	(void)arg;
	while (!atomic_load(&stop)) {
		tsc += TICK_TSC;
		now_ns += TICK_NS;
		(void)clock_renew(&shared, tsc, now_ns, HZ);
	}
	return NULL;
}

START_TEST(a_reader_never_sees_half_of_a_base)
{
	pthread_t renewer;

	clock_start(&shared, 1000, T0_NS, HZ);
	ck_assert_int_eq(pthread_create(&renewer, NULL, keep_renewing, NULL), 0);
	for (unsigned int i = 0; i < 1000000; i++) {
		/* Before every base: its ns0, which lies on one line through all bases. */
		uint64_t ns = clock_at(&shared, 0);

		ck_assert_uint_le((ns - T0_NS + 5000) % TICK_NS, 10000);
	}
	atomic_store(&stop, 1);
	ck_assert_int_eq(pthread_join(renewer, NULL), 0);
}
END_TEST

START_TEST(the_environment_can_move_the_wall_clock)
{
	uint64_t want_ns = 1761440390ULL * NS_PER_SEC; /* 2025-10-26T00:59:50Z */

	ck_assert_int_eq(setenv("WIRESPOOL_FAKE_TIME", "2025-10-26T00:59:50Z", 1), 0);
	ck_assert_uint_ge(clock_wall_ns(), want_ns);
	ck_assert_uint_lt(clock_wall_ns(), want_ns + 60 * NS_PER_SEC);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("clock");
	TCase *c = tcase_create("clock");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_started_clock_counts_cycles_as_nanoseconds);
	tcase_add_test(c, a_small_error_is_slewed_away);
	tcase_add_test(c, a_wall_clock_set_back_is_approached_slowly_and_never_backwards);
	tcase_add_test(c, a_wall_clock_set_forward_is_jumped_to);
	tcase_add_test(c, a_reader_never_sees_half_of_a_base);
	tcase_add_test(c, the_environment_can_move_the_wall_clock);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
