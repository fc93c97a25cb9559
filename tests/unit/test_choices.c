/* Choices: made at once or on a thread, and the one before stays until another is ready. */
/* rooms: control common dpdk */
#include "control/choices.h"

#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <check.h>
#include <pcap/pcap.h>

#include <rte_eal.h>

#include "suite_main.h"
#include "tests/eal_start.h"

enum { ETHERNET = 1, RAW_IP = 12, ANY_SOCKET = -1, WAIT_MS = 20000 };

static struct errbuf err;
static struct choices *cs;

/* Keys of a request, beside the name: "capture". */
static int want_of(const char *keys, int linktype)
{
	static const char *const none[] = {NULL};
	struct recording_settings r;
	json_t *request = json_loads(keys, 0, NULL);
	int e;

	ck_assert_ptr_nonnull(request);
	(void)json_object_set_new(request, "stripes", json_pack("[s]", "null:"));
	ck_assert_msg(recording_from_json(request, none, &r, &err) == 0, "%s", err.text);
	json_decref(request);
	e = choices_want(cs, &r, linktype, ANY_SOCKET, &err);
	recording_done(&r);
	return e;
}

static int want(const char *keys)
{
	return want_of(keys, ETHERNET);
}

static struct choice_state state_now(void)
{
	struct choice_state s;

	ck_assert(choices_state(cs, "capture", &s));
	return s;
}

static struct choice_state wait_made(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	for (int i = 0; i < WAIT_MS && state_now().pending; i++) {
		(void)nanosleep(&ms, NULL);
		choices_poll(cs);
	}
	ck_assert(!state_now().pending);
	return state_now();
}

static void set_up(void)
{
	ck_assert_int_eq(choices_new(&cs, &err), 0);
}

static void tear_down(void)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	for (int i = 0; i < WAIT_MS && !choices_idle(cs); i++)
		(void)nanosleep(&ms, NULL);
	ck_assert(choices_idle(cs));
	choices_free(cs);
}

#define RULES(rules) "{\"rules\": [" rules "]}"
#define KEEP_WEB     "\"keep tcp any any any 443 either way\""
#define DROP_ALL     "\"drop any any any any any\""

START_TEST(an_expression_is_ready_at_once)
{
	struct choice *c;

	ck_assert_ptr_null(choices_get(cs, "capture", ETHERNET));
	ck_assert_int_eq(want("{\"filter\": \"udp\", \"snaplen\": \"96\"}"), 0);
	ck_assert(!state_now().pending);
	c = choices_get(cs, "capture", ETHERNET);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->generation, 1);
	ck_assert_uint_eq(c->settings.cut.snaplen, 96);
	ck_assert_str_eq(c->text, "filter = \"udp\"; snaplen = \"96\"");
	choice_release(c);
}
END_TEST

START_TEST(the_same_again_is_no_new_generation)
{
	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	ck_assert_uint_eq(state_now().choice->generation, 1);
	ck_assert_int_eq(want("{\"filter\": \"tcp\"}"), 0);
	ck_assert_uint_eq(state_now().choice->generation, 2);
	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	ck_assert_uint_eq(state_now().choice->generation, 3);
}
END_TEST

START_TEST(a_recording_that_moves_to_ports_of_another_link_type_has_its_filter_made_anew)
{
	struct choice *c;

	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	ck_assert_int_eq(want_of("{\"filter\": \"udp\"}", RAW_IP), 0);
	ck_assert_uint_eq(state_now().choice->generation, 2);
	ck_assert_ptr_null(choices_get(cs, "capture", ETHERNET));
	c = choices_get(cs, "capture", RAW_IP);
	ck_assert_ptr_nonnull(c);
	choice_release(c);
	/* What is not ready yet does not let the one before judge packets that it does not understand. */
	ck_assert_int_eq(want_of(RULES(KEEP_WEB), ETHERNET), 0);
	ck_assert_ptr_null(choices_get(cs, "capture", ETHERNET));
	ck_assert_uint_eq(wait_made().choice->generation, 3);
}
END_TEST

START_TEST(rules_are_built_aside_while_the_choice_before_stays)
{
	struct choice *before;

	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	before = choices_get(cs, "capture", ETHERNET);
	ck_assert_int_eq(want(RULES(KEEP_WEB ", " DROP_ALL)), 0);
	/* Until it is polled, whatever the thread has done by now. */
	ck_assert(state_now().pending);
	ck_assert_ptr_eq(state_now().choice, before);
	ck_assert_uint_eq(wait_made().choice->generation, 2);
	ck_assert_ptr_null(state_now().error);
	ck_assert_ptr_ne(state_now().choice, before);
	/* Who has a share of the one before may go on with it. */
	ck_assert_str_eq(filter_engine(before->filter), "jit");
	choice_release(before);
}
END_TEST

START_TEST(what_cannot_be_made_leaves_the_choice_before_and_says_why)
{
	const struct choice *before;

	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	before = state_now().choice;
	/* Sensible on some link type, and so for the settings, but not on this one. */
	ck_assert_int_eq(want("{\"filter\": \"wlan type mgt\"}"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "wlan"));
	ck_assert_ptr_eq(state_now().choice, before);
	ck_assert_ptr_nonnull(strstr(state_now().error, "wlan"));
	/* On the thread as well. */
	ck_assert_int_eq(want("{\"filter\": \"wlan type mgt\", \"rules\": [" KEEP_WEB "]}"), 0);
	ck_assert_ptr_null(state_now().error);
	ck_assert_ptr_nonnull(strstr(wait_made().error, "wlan"));
	ck_assert_ptr_eq(state_now().choice, before);
	/* It is tried again when it is wanted again, and forgotten when something else is. */
	ck_assert_int_eq(want("{\"filter\": \"wlan type mgt\", \"rules\": [" KEEP_WEB "]}"), 0);
	ck_assert(state_now().pending);
	ck_assert_int_eq(want("{\"filter\": \"tcp\"}"), 0);
	ck_assert_ptr_null(state_now().error);
	ck_assert(!state_now().pending);
	ck_assert_uint_eq(state_now().choice->generation, 2);
	wait_made();
}
END_TEST

START_TEST(what_could_not_be_made_is_not_what_the_next_change_begins_with)
{
	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	ck_assert_int_eq(want("{\"filter\": \"wlan type mgt\", \"vlan\": \"strict\"}"), -EINVAL);
	ck_assert_str_eq(state_now().settings->filter, "udp");
	ck_assert_int_eq(state_now().settings->vlan, FILTER_VLAN_ANY);
	/* To want what is in force is no change, and nothing is wrong any more. */
	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	ck_assert_ptr_null(state_now().error);
	ck_assert_uint_eq(state_now().choice->generation, 1);
}
END_TEST

START_TEST(what_is_refused_gives_way_to_the_one_before)
{
	const struct errbuf why = {.text = "no memory for its tables"};

	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	ck_assert(!choices_refuse(cs, "capture", 1, &why));
	ck_assert_int_eq(want("{\"filter\": \"tcp\"}"), 0);
	ck_assert(!choices_refuse(cs, "capture", 1, &why));
	ck_assert(choices_refuse(cs, "capture", 2, &why));
	ck_assert_uint_eq(state_now().choice->generation, 1);
	ck_assert_str_eq(state_now().settings->filter, "udp");
	ck_assert_str_eq(state_now().error, why.text);
	ck_assert_int_eq(want("{\"filter\": \"tcp\"}"), 0);
	ck_assert_uint_eq(state_now().choice->generation, 3);
	ck_assert_ptr_null(state_now().error);
}
END_TEST

START_TEST(what_is_refused_gives_way_to_the_last_one_that_works)
{
	struct choice *works;

	ck_assert_int_eq(want("{\"snaplen\": \"100\"}"), 0);
	ck_assert_int_eq(want("{\"snaplen\": \"200\"}"), 0);
	works = choices_get(cs, "capture", ETHERNET);
	works->works = true;
	choice_release(works);
	ck_assert_int_eq(want("{\"snaplen\": \"300\"}"), 0);
	ck_assert_int_eq(want("{\"snaplen\": \"400\"}"), 0);
	(void)fail_with(&err, 0, "no memory");
	ck_assert(choices_refuse(cs, "capture", 4, &err));
	ck_assert_uint_eq(state_now().choice->generation, 2);
}
END_TEST

/* More of hosts than is compiled at once, as keys of a request. */
static const char *long_filter(void)
{
	static char keys[FILTER_LONG * 2];
	size_t used = (size_t)snprintf(keys, sizeof(keys), "{\"filter\": \"host 10.0.0.1");

	for (unsigned int i = 2; used < FILTER_LONG + 64; i++)
		used += (size_t)snprintf(
			keys + used, sizeof(keys) - used, " or host 10.0.%u.%u", i / 250, i % 250);
	(void)snprintf(keys + used, sizeof(keys) - used, "\"}");
	return keys;
}

START_TEST(a_long_expression_is_made_on_the_thread)
{
	const char *text;

	ck_assert_int_eq(want(long_filter()), 0);
	ck_assert(state_now().pending);
	ck_assert_uint_eq(wait_made().choice->generation, 1);
	text = state_now().choice->text;
	ck_assert_uint_lt(strlen(text), 500);
	ck_assert_str_eq(text + strlen(text) - 4, "...\"");
}
END_TEST

/* In place of libpcap's: of a long expression it comes to an end when the test lets it. */
static _Atomic bool holds_up;
static sem_t is_inside, may_go_on;

int pcap_compile(
	pcap_t *pcap, struct bpf_program *program, const char *text, int optimize, bpf_u_int32 mask)
{
	int (*of_libpcap)(pcap_t *, struct bpf_program *, const char *, int, bpf_u_int32) =
		(int (*)(pcap_t *, struct bpf_program *, const char *, int, bpf_u_int32))dlsym(
			RTLD_NEXT, "pcap_compile");

	if (holds_up && strlen(text) > FILTER_LONG) {
		(void)sem_post(&is_inside);
		(void)sem_wait(&may_go_on);
	}
	return of_libpcap(pcap, program, text, optimize, mask);
}

/* What is short is compiled by control itself, which must not wait for a maker. */
START_TEST(a_long_expression_holds_no_short_one_up)
{
	struct filter_options o = {.expression = "udp"};
	struct filter *f;

	ck_assert_int_eq(sem_init(&is_inside, 0, 0), 0);
	ck_assert_int_eq(sem_init(&may_go_on, 0, 0), 0);
	holds_up = true;
	ck_assert_int_eq(want(long_filter()), 0);
	(void)sem_wait(&is_inside);
	ck_assert_int_eq(filter_new(&o, ETHERNET, ANY_SOCKET, &f, &err), 0);
	filter_free(f);
	holds_up = false;
	(void)sem_post(&may_go_on);
	ck_assert_uint_eq(wait_made().choice->generation, 1);
}
END_TEST

START_TEST(what_is_overtaken_never_comes_into_force)
{
	const struct timespec ms = {.tv_nsec = 1000000};

	ck_assert_int_eq(want(RULES(KEEP_WEB)), 0);
	ck_assert_int_eq(want("{\"filter\": \"tcp\"}"), 0);
	for (int i = 0; i < WAIT_MS && !choices_idle(cs); i++)
		(void)nanosleep(&ms, NULL);
	ck_assert(choices_idle(cs));
	choices_poll(cs);
	ck_assert_uint_eq(state_now().choice->generation, 1);
	ck_assert_str_eq(state_now().choice->text, "filter = \"tcp\"");
}
END_TEST

START_TEST(recordings_that_are_gone_are_forgotten)
{
	const struct settings none = {.recording_count = 0};
	struct choice_state s;

	ck_assert_int_eq(want("{\"filter\": \"udp\"}"), 0);
	choices_keep(cs, &none);
	ck_assert(!choices_state(cs, "capture", &s));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("choices");
	TCase *c = tcase_create("choices");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, an_expression_is_ready_at_once);
	tcase_add_test(c, the_same_again_is_no_new_generation);
	tcase_add_test(
		c, a_recording_that_moves_to_ports_of_another_link_type_has_its_filter_made_anew);
	tcase_add_test(c, rules_are_built_aside_while_the_choice_before_stays);
	tcase_add_test(c, what_cannot_be_made_leaves_the_choice_before_and_says_why);
	tcase_add_test(c, what_could_not_be_made_is_not_what_the_next_change_begins_with);
	tcase_add_test(c, what_is_refused_gives_way_to_the_one_before);
	tcase_add_test(c, what_is_refused_gives_way_to_the_last_one_that_works);
	tcase_add_test(c, a_long_expression_is_made_on_the_thread);
	tcase_add_test(c, a_long_expression_holds_no_short_one_up);
	tcase_add_test(c, what_is_overtaken_never_comes_into_force);
	tcase_add_test(c, recordings_that_are_gone_are_forgotten);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	int r;

	if (!eal_start(256))
		return EXIT_FAILURE;
	r = suite_run_unforked(suite());
	(void)rte_eal_cleanup();
	return r;
}
