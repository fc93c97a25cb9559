/* What devices may leave out, by what live runs want; with doubles for capture. */
/* rooms: control filter common dpdk PkgConfig::libpcap */
#include "control/prefilters.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <check.h>

#include "suite_main.h"

struct port {
	const char *name;
	bool has_prefilter;
};

static struct errbuf err;
static struct port ports[2];
static struct port *const port_list[] = {&ports[0], &ports[1]};
static struct prefilters *ps;
static char history[4096]; /* what the first port was told, in order */
static int fail_set;
static int fail_all;        /* to let go of the rules before */
static unsigned int logged; /* lines */
static char log_text[512];  /* the last one */

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	(void)level;
	va_start(args, format);
	(void)vsnprintf(log_text, sizeof(log_text), format, args);
	va_end(args);
	logged++;
}

static void tell(const char *text)
{
	size_t used = strlen(history);

	(void)snprintf(history + used, sizeof(history) - used, "%s", text);
}

int port_set_prefilter(struct port *p, const struct rules *rules, struct errbuf *ret)
{
	static const char actions[] = {
		[RULE_DROP] = 'd', [RULE_KEEP] = 'k', [RULE_CUT] = 'c', [RULE_PASS] = 'p'};
	char text[16];

	ck_assert_ptr_eq(p, &ports[0]);
	if (rules != NULL && fail_set != 0)
		return fail_with(ret, fail_set, "%s: too many rules", rules->name);
	if (fail_all != 0) {
		tell("stuck ");
		return fail_with(ret, fail_all, "port 'left': still drops");
	}
	tell(rules == NULL ? "all" : "[");
	for (unsigned int i = 0; rules != NULL && i < rules->count; i++) {
		(void)snprintf(text, sizeof(text), "%c%u", actions[rules->list[i].action],
			rules->list[i].dst.ports.first);
		tell(text);
	}
	tell(rules == NULL ? " " : "] ");
	return 0;
}

int port_get_prefilter(struct port *p, struct port_prefilter *ret)
{
	*ret = (struct port_prefilter){.rule_count = 0};
	return p->has_prefilter ? 0 : -ENOTSUP;
}

static struct rules *rules_of(const char *text)
{
	struct rules *rules;

	ck_assert_msg(rules_parse_text(text, strlen(text), "x", &rules, &err) == 0, "%s", err.text);
	return rules;
}

#define WEB  "keep tcp any any any 443\n"
#define SSH  "drop tcp any any any 22\n"
#define DNS  "cut=headers udp any any any 53\n"
#define REST "drop any any any any any\n"

/* What the device is told when the live runs want these, each NULL-ended; "" for who wants all. */
static const char *told(const char *const wants[])
{
	struct rules *rules[SETTINGS_LIST_MAX] = {NULL};
	unsigned int count = 0;

	history[0] = '\0';
	prefilters_begin(ps);
	for (; wants[count] != NULL; count++) {
		if (wants[count][0] != '\0')
			rules[count] = rules_of(wants[count]);
		prefilters_want(ps, &ports[0], rules[count]);
		prefilters_want(ps, &ports[1], rules[count]);
	}
	prefilters_widen(ps);
	tell("| ");
	prefilters_narrow(ps);
	while (count-- > 0)
		rules_free(rules[count]);
	return history;
}

#define TOLD(...) told((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static void open_with(enum prefilter_mode mode)
{
	const enum prefilter_mode modes[] = {mode, PREFILTER_STACK};

	fail_set = fail_all = 0;
	logged = 0;
	history[0] = '\0';
	ports[0] = (struct port){.name = "left", .has_prefilter = true};
	ports[1] = (struct port){.name = "right"};
	prefilters_free(ps);
	ck_assert_int_eq(prefilters_new(port_list, modes, 2, &ps, &err), 0);
}

static void set_up(void)
{
	ps = NULL;
	open_with(PREFILTER_STACK);
}

static void tear_down(void)
{
	prefilters_free(ps);
}

START_TEST(without_a_live_run_nothing_need_come)
{
	ck_assert_str_eq(history, "[] ");
	ck_assert_str_eq(TOLD(), "| ");
	ck_assert_uint_eq(prefilters_rules(ps, &ports[0])->count, 0);
	ck_assert_ptr_null(prefilters_rules(ps, &ports[1]));
}
END_TEST

START_TEST(runs_of_the_same_rules_agree)
{
	ck_assert_str_eq(TOLD(WEB SSH DNS REST, WEB SSH DNS REST), "[k443c53] | [k443p22c53] ");
	ck_assert_str_eq(TOLD(WEB SSH DNS REST), "| ");
	ck_assert_str_eq(prefilters_rules(ps, &ports[0])->list[1].text, "drop tcp any any any 22");
	open_with(PREFILTER_DROP_RULES);
	ck_assert_str_eq(TOLD(WEB SSH DNS REST), "[k443c53] | [k443d22c53] ");
}
END_TEST

START_TEST(who_wants_all_gets_all_before_the_plan)
{
	(void)TOLD(WEB SSH);
	ck_assert_str_eq(TOLD(WEB SSH, ""), "all | ");
	ck_assert_ptr_null(prefilters_rules(ps, &ports[0]));
	ck_assert_str_eq(TOLD(WEB SSH), "| [k443p22] ");
}
END_TEST

START_TEST(different_rules_let_come_what_any_of_them_keeps)
{
	(void)TOLD(WEB SSH);
	ck_assert_str_eq(TOLD(WEB SSH, DNS REST), "[k443c53] | ");
	ck_assert_str_eq(TOLD(DNS), "[c53k443] | [c53] ");
}
END_TEST

START_TEST(no_packet_that_was_wanted_before_is_left_out_before_the_plan)
{
	(void)TOLD(WEB SSH);
	ck_assert_str_eq(TOLD(DNS), "[c53k443] | [c53] ");
	ck_assert_str_eq(TOLD(), "| [] ");
}
END_TEST

START_TEST(rules_that_both_lists_have_come_once)
{
	(void)TOLD(WEB);
	ck_assert_str_eq(TOLD(WEB, DNS), "[k443c53] | ");
	ck_assert_str_eq(TOLD(WEB SSH DNS), "| [k443p22c53] ");
	ck_assert_str_eq(TOLD(DNS SSH), "[c53k443] | [c53p22] ");
}
END_TEST

START_TEST(what_a_device_refuses_lets_all_come)
{
	(void)TOLD(WEB);
	fail_set = -E2BIG;
	ck_assert_str_eq(TOLD(DNS), "all | ");
	ck_assert_ptr_null(prefilters_rules(ps, &ports[0]));
	ck_assert_ptr_nonnull(strstr(prefilters_warning(ps, &ports[0]), "too many"));
	fail_set = 0;
	ck_assert_str_eq(TOLD(DNS), "| [c53] ");
	ck_assert_ptr_null(prefilters_warning(ps, &ports[0]));
}
END_TEST

START_TEST(what_goes_on_being_refused_is_logged_once_and_told_as_long_as_it_is_wanted)
{
	fail_set = -E2BIG;
	(void)TOLD(WEB);
	(void)TOLD(WEB);
	(void)TOLD(WEB);
	ck_assert_uint_eq(logged, 1);
	ck_assert_ptr_nonnull(prefilters_warning(ps, &ports[0]));
	(void)TOLD("");
	ck_assert_ptr_null(prefilters_warning(ps, &ports[0]));
	(void)TOLD(WEB);
	ck_assert_uint_eq(logged, 2);
}
END_TEST

START_TEST(a_device_that_keeps_to_its_rules_is_asked_again_and_told_of)
{
	(void)TOLD(WEB SSH);
	fail_all = -EIO;
	(void)TOLD("");
	ck_assert_ptr_nonnull(strstr(prefilters_warning(ps, &ports[0]), "still drops"));
	ck_assert_ptr_nonnull(strstr(log_text, "still drops"));
	ck_assert_ptr_null(strstr(log_text, "all packets come"));
	ck_assert_str_eq(TOLD(""), "stuck | stuck ");
	ck_assert_uint_eq(logged, 1);
	fail_all = 0;
	ck_assert_str_eq(TOLD(""), "all | ");
	ck_assert_ptr_null(prefilters_warning(ps, &ports[0]));
}
END_TEST

START_TEST(all_recordings_may_have_rules_of_their_own)
{
	static char texts[SETTINGS_LIST_MAX][64];
	const char *wants[SETTINGS_LIST_MAX + 1] = {NULL};

	for (unsigned int i = 0; i < SETTINGS_LIST_MAX; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "keep udp any any any %u\n", i + 1);
		wants[i] = texts[i];
	}
	ck_assert_ptr_null(strstr(told(wants), "all"));
}
END_TEST

START_TEST(a_port_that_is_off_or_cannot_is_left_alone)
{
	open_with(PREFILTER_OFF);
	ck_assert_str_eq(TOLD(WEB), "| ");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("prefilters");
	TCase *c = tcase_create("prefilters");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, without_a_live_run_nothing_need_come);
	tcase_add_test(c, runs_of_the_same_rules_agree);
	tcase_add_test(c, who_wants_all_gets_all_before_the_plan);
	tcase_add_test(c, different_rules_let_come_what_any_of_them_keeps);
	tcase_add_test(c, no_packet_that_was_wanted_before_is_left_out_before_the_plan);
	tcase_add_test(c, rules_that_both_lists_have_come_once);
	tcase_add_test(c, what_a_device_refuses_lets_all_come);
	tcase_add_test(
		c, what_goes_on_being_refused_is_logged_once_and_told_as_long_as_it_is_wanted);
	tcase_add_test(c, a_device_that_keeps_to_its_rules_is_asked_again_and_told_of);
	tcase_add_test(c, all_recordings_may_have_rules_of_their_own);
	tcase_add_test(c, a_port_that_is_off_or_cannot_is_left_alone);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return suite_run_unforked(suite());
}
