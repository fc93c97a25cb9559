/* Where threads go when the settings say nothing. */
/* rooms: control common */
#include "control/machine.h"

#include <check.h>

#include "suite_main.h"

static struct port_settings ports[3];
static struct settings settings;
static struct placement p;

static void place(unsigned int port_count, unsigned int allowed_count)
{
	cpu_set_t allowed;

	CPU_ZERO(&allowed);
	for (unsigned int i = 0; i < allowed_count; i++)
		CPU_SET(4 + i, &allowed);
	settings.ports = ports;
	settings.port_count = port_count;
	ck_assert_int_eq(placement_new(&settings, &allowed, &p), 0);
}

static void tear_down(void)
{
	placement_done(&p);
}

START_TEST(one_cpu_is_shared_by_all)
{
	place(2, 1);
	ck_assert_int_eq(p.writer_cpus[0], 4);
	ck_assert_int_eq(p.ports[0].cpus[0], 4);
	ck_assert_int_eq(p.ports[1].cpus[0], 4);
	ck_assert_int_eq(CPU_COUNT(&p.control), 0);
}
END_TEST

START_TEST(of_two_cpus_the_first_writes_and_the_second_receives)
{
	place(2, 2);
	ck_assert_uint_eq(p.writer_count, 1);
	ck_assert_int_eq(p.writer_cpus[0], 4);
	ck_assert_int_eq(p.ports[0].cpus[0], 5);
	ck_assert_int_eq(p.ports[1].cpus[0], 5);
	ck_assert_int_eq(CPU_COUNT(&p.control), 1);
	ck_assert(CPU_ISSET(4, &p.control));
}
END_TEST

START_TEST(ports_take_the_other_cpus_in_turn)
{
	place(3, 3);
	ck_assert_int_eq(p.ports[0].cpus[0], 5);
	ck_assert_int_eq(p.ports[1].cpus[0], 6);
	ck_assert_int_eq(p.ports[2].cpus[0], 5);
}
END_TEST

START_TEST(cpus_that_the_settings_give_are_left_to_whom_they_are_given)
{
	ports[1].cpus[0] = 4;
	ports[1].cpus[1] = 5;
	ports[1].cpu_count = 2;
	place(2, 4);
	ck_assert_uint_eq(p.ports[1].cpu_count, 2);
	ck_assert_int_eq(p.ports[1].cpus[0], 4);
	ck_assert_int_eq(p.writer_cpus[0], 6);
	ck_assert_int_eq(p.ports[0].cpus[0], 7);
	ck_assert_int_eq(CPU_COUNT(&p.control), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("machine");
	TCase *c = tcase_create("machine");

	tcase_add_checked_fixture(c, NULL, tear_down);
	tcase_add_test(c, one_cpu_is_shared_by_all);
	tcase_add_test(c, of_two_cpus_the_first_writes_and_the_second_receives);
	tcase_add_test(c, ports_take_the_other_cpus_in_turn);
	tcase_add_test(c, cpus_that_the_settings_give_are_left_to_whom_they_are_given);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
