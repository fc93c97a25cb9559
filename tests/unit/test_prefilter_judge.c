/*
 * What a recording's filter keeps, a prefilter lets come: from the rules of live recordings, by control/prefilters.c and
 * the tables made of them, to what the kernel's code makes of a packet; with doubles for the port.
 */
/* rooms: control capture filter common dpdk PkgConfig::libpcap */
#include "control/prefilters.h"

#include "judge_check.h"
#include "prefilter_check.h"

enum { RECORDINGS_MAX = 3, RULES_COUNT_MAX = 12, ROUNDS = 300, PACKETS = 300 };

struct port {
	const char *name;
};

static struct port port = {.name = "left"};
static struct port *const port_list[] = {&port};
static struct prefilter_build *build;
static bool redirects_all;

int port_set_prefilter(struct port *p, const struct rules *rules, struct errbuf *err)
{
	ck_assert_ptr_eq(p, &port);
	redirects_all = rules == NULL;
	memset(build, 0, sizeof(*build));
	return rules == NULL ? 0 : prefilter_build(rules, 0, build, err);
}

int port_get_prefilter(struct port *p, struct port_prefilter *ret)
{
	(void)p;
	*ret = (struct port_prefilter){.rule_count = 0};
	return 0;
}

/* -- Packets -- */

static void add_words(char words[WORDS_MAX], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_words(char words[WORDS_MAX], const char *format, ...)
{
	size_t used = strlen(words);
	va_list list;

	va_start(list, format);
	ck_assert_int_lt(
		vsnprintf(words + used, WORDS_MAX - used, format, list), (int)(WORDS_MAX - used));
	va_end(list);
}

static void add_ip(uint32_t *state, char words[WORDS_MAX], unsigned int family)
{
	const char *from = CHECK_ONE_OF(state, CHECK_HOSTS[family]);
	const char *to = CHECK_ONE_OF(state, CHECK_HOSTS[family]);

	add_words(words, " %s:%s>%s", family == 0 ? "ip" : "ip6", from, to);
	if (family == 0 && check_random(state, 6) == 0)
		add_words(words, " option");
}

/* Up to more of them than a prefilter looks behind; IPv4 has AH alone. */
static void add_extensions(uint32_t *state, char words[WORDS_MAX], unsigned int family)
{
	static const char *const kinds[] = {"hop", "routing", "dest", "ah"};
	unsigned int count = check_random(state, 3) == 0 ? check_random(state, 12) : 0;

	for (unsigned int i = 0; i < count; i++)
		add_words(words, " %s:%u", family == 0 ? "ah" : CHECK_ONE_OF(state, kinds),
			check_random(state, 3));
}

static void add_fragment(uint32_t *state, char words[WORDS_MAX])
{
	static const uint8_t protocols[] = {6, 17, 1, 51, 60};

	switch (check_random(state, 12)) {
	case 0:
		add_words(words, " first:7");
		break;
	case 1:
		add_words(words, " atomic:7");
		break;
	case 2:
		add_words(words, " later:7,%u", CHECK_ONE_OF(state, protocols));
		break;
	default:
		break;
	}
}

static void add_transport(uint32_t *state, char words[WORDS_MAX])
{
	static const char *const kinds[] = {"tcp", "tcp", "udp", "udp", "sctp"};
	static const char *const others[] = {"icmp", "icmp6", "gre ip udp:53>53", "ip tcp:80>80",
		"gre eth ip6 tcp:53>80", "end"};
	unsigned int from = CHECK_ONE_OF(state, CHECK_PORT_NUMBERS);

	if (check_random(state, 10) == 0)
		add_words(words, " end"); /* by the IP header what follows is padding */
	if (check_random(state, 5) == 0)
		add_words(words, " %s", CHECK_ONE_OF(state, others));
	else
		add_words(words, " %s:%u>%u", CHECK_ONE_OF(state, kinds), from,
			CHECK_ONE_OF(state, CHECK_PORT_NUMBERS));
}

/* Most are sound, some are cut or have a byte that is wrong. */
static void random_packet(uint32_t *state, struct packet *p)
{
	static const char *const fronts[] = {"eth", "eth", "eth", "eth", "eth q", "eth ad q",
		"eth q q q", "eth mpls", "eth q mpls mpls", "eth pppoe", "eth q pppoe", "eth eth"};
	unsigned int family = check_random(state, 2);
	char words[WORDS_MAX] = "";

	add_words(words, "%s", CHECK_ONE_OF(state, fronts));
	if (check_random(state, 20) == 0) {
		add_words(words, " arp +20");
	} else {
		add_ip(state, words, family);
		add_extensions(state, words, family);
		add_fragment(state, words);
		add_extensions(state, words, family);
		add_transport(state, words);
		add_words(words, " +20");
	}
	packet_build(p, words);
	if (check_random(state, 6) == 0)
		p->len = check_random(state, p->len);
	if (check_random(state, 6) == 0 && p->len > 12)
		p->data[12 + check_random(state, p->len - 12)] = (uint8_t)check_random(state, 256);
}

/* -- Recordings -- */

struct recording {
	struct rules *rules;
	struct filter *filter;
};

static void recording_open(struct recording *r, uint32_t *state)
{
	struct filter_options o = {.fragments = check_random(state, 2) == 0
							? FILTER_FRAGMENTS_LITERAL
							: FILTER_FRAGMENTS_KEEP};
	struct errbuf err;

	r->rules = check_random_rules(state, 1 + check_random(state, RULES_COUNT_MAX));
	ck_assert_ptr_nonnull(r->rules);
	o.rules = r->rules;
	ck_assert_msg(
		filter_new(&o, DLT_EN10MB, SOCKET_ID_ANY, &r->filter, &err) == 0, "%s", err.text);
}

static void recording_close(struct recording *r)
{
	filter_free(r->filter);
	rules_free(r->rules);
}

static bool recording_keeps(const struct recording *r, const struct packet *p)
{
	struct rte_mbuf *m = packet_put(0, p, PLACE_END);
	uint64_t time_ns = TEST_NS;
	struct filter_burst b = {.pkts = &m, .time_ns = &time_ns, .count = 1};
	struct verdict v = {.reasons = NULL};

	filter_judge(r->filter, NULL, &b, 1, &v);
	return v.kept != 0;
}

static void go_live(struct prefilters *ps, const struct recording list[], unsigned int count)
{
	prefilters_begin(ps);
	for (unsigned int i = 0; i < count; i++)
		prefilters_want(ps, &port, list[i].rules);
	prefilters_widen(ps);
	prefilters_narrow(ps);
	ck_assert(!redirects_all);
}

START_TEST(what_a_recording_keeps_is_redirected)
{
	const enum prefilter_mode mode = _i == 0 ? PREFILTER_STACK : PREFILTER_DROP_RULES;
	unsigned int kept = 0, left_out = 0;
	uint32_t state = 11 + (uint32_t)_i;
	struct prefilters *ps;
	struct errbuf err;

	ck_assert_int_eq(prefilters_new(port_list, &mode, 1, &ps, &err), 0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int count = 1 + check_random(&state, RECORDINGS_MAX);
		struct recording list[RECORDINGS_MAX];

		for (unsigned int i = 0; i < count; i++)
			recording_open(&list[i], &state);
		go_live(ps, list, count);
		for (unsigned int n = 0; n < PACKETS; n++) {
			struct packet p;
			uint32_t row;
			bool comes;

			random_packet(&state, &p);
			row = check_row(build, p.data, p.len);
			comes = prefilter_verdict_of(&build->table, row) == PREFILTER_REDIRECT;
			left_out += !comes;
			for (unsigned int i = 0; i < count; i++) {
				bool keeps = recording_keeps(&list[i], &p);

				kept += keeps;
				ck_assert_msg(comes || !keeps, "round %u, packet %u", round, n);
			}
		}
		for (unsigned int i = 0; i < count; i++)
			recording_close(&list[i]);
	}
	/* It is not by letting all come that nothing is missed, nor by keeping nothing. */
	ck_assert_uint_gt(kept, ROUNDS * PACKETS / 10);
	ck_assert_uint_gt(left_out, ROUNDS * PACKETS / 10);
	prefilters_free(ps);
}
END_TEST

static Suite *prefilter_judge_suite(void)
{
	Suite *s = suite_create("prefilter_judge");
	TCase *t = tcase_create("prefilter_judge");

	build = calloc(1, sizeof(*build));
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, what_a_recording_keeps_is_redirected, 0, 2);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	int r = judge_main(prefilter_judge_suite());

	free(build);
	return r;
}
