/* rooms: capture filter common */
/*
 * The prefilter's tables, looked up here by the code that the kernel runs. Its trie of nets is the kernel's: a
 * list stands for it.
 */
#include "capture/prefilter_build.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prefilter_check.h"
#include "suite_main.h"
#include "wirespool/errbuf.h"

static struct prefilter_build *build;

static void setup(void)
{
	build = calloc(1, sizeof(*build));
}

static void teardown(void)
{
	free(build);
}

static struct rules *rules_of(const char *const lines[], unsigned int count)
{
	struct rules *rules = NULL;
	struct errbuf err = {0};

	ck_assert_msg(rules_parse_lines(lines, count, "list", &rules, &err) == 0, "%s", err.text);
	return rules;
}

static void build_rules(const struct rules *rules)
{
	struct errbuf err = {0};

	memset(build, 0, sizeof(*build));
	ck_assert_msg(prefilter_build(rules, 1, build, &err) == 0, "%s", err.text);
	ck_assert_uint_eq(build->table.slot, 1);
}

static uint32_t first_row(const uint8_t *frame, unsigned int length)
{
	return check_row(build, frame, length);
}

static void compare(const struct rules *rules, const struct check_packet *p)
{
	uint32_t row = first_row(p->frame, p->length);
	unsigned int rule;
	enum prefilter_verdict verdict = check_verdict(rules, p, &rule);

	ck_assert_int_eq(prefilter_verdict_of(&build->table, row), verdict);
	if (row < PREFILTER_ROWS_MAX)
		ck_assert_uint_eq(build->table.rules[row], rule);
	else
		ck_assert_uint_eq(rule, rules->count);
}

START_TEST(the_first_rule_that_matches_decides)
{
	uint32_t state = 1;
	struct check_packet p;

	for (unsigned int round = 0; round < 60; round++) {
		/* Many lists of few rules, some that fill all words. */
		unsigned int count = round % 12 == 0 ? PREFILTER_RULES_MAX : 1 + round;
		struct rules *rules = check_random_rules(&state, count);

		ck_assert_ptr_nonnull(rules);
		for (unsigned int i = 0; i < count; i++)
			if (rules->list[i].action == RULE_DROP && round % 2 == 0)
				rules->list[i].action = RULE_PASS;
		build_rules(rules);
		for (unsigned int i = 0; i < 1000; i++) {
			check_random_packet(&state, &p);
			compare(rules, &p);
		}
		rules_free(rules);
	}
}
END_TEST

/* What the random ones seldom are: 512 rules, and only the last is the packet's, the other way round. */
START_TEST(the_last_of_512_rules_either_way_is_found)
{
	static const uint8_t frame[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0,
		0, 0, 0, 64, 17, 0, 0, 10, 0, 1, 255, 192, 0, 2, 1, 0, 9, 0, 7, 0, 8, 0, 0};
	char lines[PREFILTER_RULES_MAX][CHECK_LINE_MAX];
	const char *texts[PREFILTER_RULES_MAX];
	struct rules *rules;

	for (unsigned int i = 0; i < PREFILTER_RULES_MAX; i++) {
		(void)snprintf(lines[i], CHECK_LINE_MAX, "keep udp any 7 10.0.%u.%u 9 either way",
			i / 256, i % 256);
		texts[i] = lines[i];
	}
	rules = rules_of(texts, PREFILTER_RULES_MAX);
	build_rules(rules);
	ck_assert_uint_eq(build->table.words, PREFILTER_WORDS);
	ck_assert_uint_eq(
		build->table.rules[first_row(frame, sizeof(frame))], PREFILTER_RULES_MAX - 1);
	/* Its ports are cut off: any could keep it. */
	ck_assert_uint_eq(
		build->table.rules[first_row(frame, sizeof(frame) - 5)], PREFILTER_RULES_MAX - 1);
	/* The header is. */
	ck_assert_uint_eq(first_row(frame, 14 + 19), PREFILTER_ANY_ROW);
	rules_free(rules);
}
END_TEST

START_TEST(what_cannot_be_judged_comes_only_where_a_rule_keeps)
{
	static const uint8_t mpls[60] = {[12] = 0x88, [13] = 0x47};
	static const char *const lines[] = {"drop udp any any any 9", "keep udp any any any 53"};

	for (unsigned int count = 0; count <= 2; count++) {
		struct rules *rules = rules_of(lines, count);
		uint32_t row;

		build_rules(rules);
		row = first_row(mpls, sizeof(mpls));
		ck_assert_int_eq(prefilter_verdict_of(&build->table, row),
			count == 2 ? PREFILTER_REDIRECT : PREFILTER_PASS);
		rules_free(rules);
	}
}
END_TEST

START_TEST(cut_frames_are_never_read_behind_their_end)
{
	uint32_t state = 2;
	struct rules *rules = check_random_rules(&state, 20);
	struct check_packet p;

	build_rules(rules);
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int length;
		uint8_t *exact;

		check_random_packet(&state, &p);
		length = check_random(&state, p.length + 1);
		exact = malloc(length + 1);
		memcpy(exact + 1, p.frame, length);
		(void)first_row(exact + 1, length); /* AddressSanitizer looks */
		free(exact);
	}
	rules_free(rules);
}
END_TEST

START_TEST(more_than_512_rules_are_refused)
{
	uint32_t state = 3;
	struct rules *rules = check_random_rules(&state, PREFILTER_RULES_MAX + 1);
	struct errbuf err = {0};

	ck_assert_int_eq(prefilter_build(rules, 0, build, &err), -E2BIG);
	ck_assert_str_eq(err.text, "random: a prefilter takes up to 512 rules, not 513");
	rules_free(rules);
}
END_TEST

START_TEST(a_rule_that_drops_everything_is_refused)
{
	static const char *const lines[][2] = {
		{"keep tcp any any any 443", "drop any any any any any"},
		{"keep tcp any any any 443", "drop any 0.0.0.0/0 any any any either way"},
		{"keep tcp any any any 443", "drop any ::/0 0-65535 ::/0 any"},
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct rules *rules = rules_of(lines[i], 2);
		struct errbuf err = {0};

		ck_assert_int_eq(prefilter_build(rules, 0, build, &err), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "list, rule 2: 'drop any "));
		ck_assert_ptr_nonnull(strstr(err.text, "would cut the machine itself off"));
		rules_free(rules);
	}
}
END_TEST

START_TEST(a_rule_that_drops_a_protocol_or_net_is_taken)
{
	static const char *const lines[] = {"drop udp any any any any",
		"drop any 10.0.0.0/8 any any any", "drop any any any any 1-65535"};
	struct rules *rules = rules_of(lines, 3);

	build_rules(rules);
	rules_free(rules);
}
END_TEST

static Suite *prefilter_suite(void)
{
	Suite *s = suite_create("prefilter");
	TCase *t = tcase_create("prefilter");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, the_first_rule_that_matches_decides);
	tcase_add_test(t, the_last_of_512_rules_either_way_is_found);
	tcase_add_test(t, what_cannot_be_judged_comes_only_where_a_rule_keeps);
	tcase_add_test(t, cut_frames_are_never_read_behind_their_end);
	tcase_add_test(t, more_than_512_rules_are_refused);
	tcase_add_test(t, a_rule_that_drops_everything_is_refused);
	tcase_add_test(t, a_rule_that_drops_a_protocol_or_net_is_taken);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return suite_run(prefilter_suite());
}
