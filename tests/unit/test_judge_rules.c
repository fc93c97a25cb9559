/* What filter_judge() makes of rules and their cuts, and of the cutoff. */
/* rooms: filter common dpdk PkgConfig::libpcap */
#include "judge_check.h"

static const char *const fronts[] = {
	"eth", "eth q", "eth ad q", "eth mpls", "eth q mpls mpls mpls", "eth pppoe", "eth q pppoe"};

static void check_judged(
	const char *words, bool kept, enum filter_why why, uint32_t rule, uint32_t stored)
{
	struct judged j = judge_words(words),
		      expected = {
			      .kept = kept, .stored = stored, .reason = {.why = why, .rule = rule}};

	judged_assert_equal(&j, &expected, words, 0);
}

static uint32_t length_of(const char *words)
{
	struct packet p;

	packet_build(&p, words);
	return p.len;
}

static uint32_t headers_of(const char *words)
{
	struct packet p;

	packet_build(&p, words);
	return headers_length(1, p.data, p.len);
}

/* -- Rules -- */

static const char rules_text[] = "drop tcp 10.0.0.66 any any any\n"
				 "keep tcp any any 192.0.2.0/24 22 either way\n"
				 "cut=70 udp any any any 53\n"
				 "keep any 2001:db8::/32 any any any\n"
				 "drop icmp any any any any\n"
				 "cut=64 any 10.0.0.0/8 any any any\n";

static const struct ruled {
	const char *words;
	bool kept;
	uint32_t rule;
	uint32_t most;
} ruled[] = {
	{"ip tcp:40000>22 +100", true, 2, SNAPLEN_MAX},
	{"ip:192.0.2.7>172.16.0.1 tcp:22>40000 +100", true, 2, SNAPLEN_MAX},
	{"ip:172.16.0.1>192.0.2.7 tcp:22>40000 +100", false, 0, 0},
	{"ip:10.0.0.66>192.0.2.1 tcp:40000>22 +100", false, 1, 0},
	{"ip:192.0.2.1>10.0.0.66 tcp:22>40000 +100", true, 2, SNAPLEN_MAX},
	{"ip:10.0.0.66>192.0.2.1 udp:40000>22 +100", true, 6, 64},
	{"ip:172.16.0.1>172.16.0.2 udp:5>53 +100", true, 3, 70},
	{"ip:172.16.0.1>172.16.0.2 udp:53>5 +100", false, 0, 0},
	{"ip6 udp:5>53 +100", true, 3, 70},
	{"ip6 udp:5>54 +100", true, 4, SNAPLEN_MAX},
	{"ip6 icmp6 +100", true, 4, SNAPLEN_MAX},
	{"ip6:2001:db9::1>2001:db8::1 tcp:1>22 +100", false, 0, 0},
	{"ip icmp +100", false, 5, 0},
	{"ip tcp:40000>23 +100", true, 6, 64},
	{"ip sctp:1>2 +100", true, 6, 64},
};

static void check_ruled(const char *words, const struct ruled *r)
{
	check_judged(words, r->kept, r->rule == 0 ? FILTER_BY_NO_RULE : FILTER_BY_RULE, r->rule,
		RTE_MIN(r->most, length_of(words)));
}

START_TEST(first_rule_that_matches_decides_behind_whatever)
{
	char words[WORDS_MAX];

	filter_open(&(struct filter_options){.vlan = (enum filter_vlan)_i}, rules_text);
	for (unsigned int f = 0; f < RTE_DIM(fronts); f++) {
		/* Without an expression nothing is strict. */
		for (unsigned int i = 0; i < RTE_DIM(ruled); i++) {
			(void)snprintf(words, sizeof(words), "%s %s", fronts[f], ruled[i].words);
			check_ruled(words, &ruled[i]);
		}
	}
	filter_close();
}
END_TEST

START_TEST(what_expression_and_rules_both_keep_is_kept)
{
	static const char *const expressions[] = {"tcp", "not tcp", "ip6", "port 22"};
	char words[WORDS_MAX];

	for (unsigned int e = 0; e < RTE_DIM(expressions); e++) {
		bool kept[RTE_DIM(ruled)];

		for (unsigned int i = 0; i < RTE_DIM(ruled); i++) {
			(void)snprintf(words, sizeof(words), "eth %s", ruled[i].words);
			filter_open(&(struct filter_options){.expression = expressions[e]}, NULL);
			kept[i] = judge_words(words).kept;
		}
		filter_open(&(struct filter_options){.expression = expressions[e]}, rules_text);
		for (unsigned int f = 0; f < RTE_DIM(fronts); f++) {
			for (unsigned int i = 0; i < RTE_DIM(ruled); i++) {
				(void)snprintf(
					words, sizeof(words), "%s %s", fronts[f], ruled[i].words);
				if (kept[i])
					check_ruled(words, &ruled[i]);
				else
					check_judged(words, false, FILTER_BY_EXPRESSION, 0, 0);
			}
		}
	}
	filter_close();
}
END_TEST

START_TEST(rule_cuts_a_packet_to_its_length_or_its_headers)
{
	static const char whole[] = "eth ip tcp:1>1 +100", tagged[] = "eth q ip6 hop tcp:1>2 +100",
			  tunnel[] = "eth ip udp:1>4789 vxlan eth q ip6 tcp:1>2 +100";

	filter_open(&(struct filter_options){0}, "cut=headers any any any any any\n");
	ck_assert_uint_eq(
		judge_packet(&(struct packet){.len = 0}, PLACE_END, 0, TEST_NS).stored, 0);
	filter_open(&(struct filter_options){0},
		"cut=0 tcp any 1 any 1\ncut=headers tcp any any any 2\ncut=headers+10 tcp any any "
		"any "
		"3\ncut=headers+1000 tcp any any any 4\ncut=96 tcp any any any 5\n"
		"cut=headers udp any any any any");
	check_judged(whole, true, FILTER_BY_RULE, 1, length_of(whole));
	check_judged("eth ip tcp:1>5 +100", true, FILTER_BY_RULE, 5, 96);
	check_judged("eth ip tcp:1>5 +10", true, FILTER_BY_RULE, 5, 64);
	/* Of several segments the first may end before the headers do: then nothing is cut. */
	for (enum place place = PLACE_END; place < PLACE_PIECES; place++) {
		struct packet p;

		packet_build(&p, "eth ip tcp:1>2 +100");
		ck_assert_uint_eq(judge_packet(&p, place, 0, TEST_NS).stored, 54);
		packet_build(&p, "eth mpls ip tcp:1>3 +100");
		ck_assert_uint_eq(judge_packet(&p, place, 0, TEST_NS).stored, 68);
		packet_build(&p, "eth ip tcp:1>4 +100");
		ck_assert_uint_eq(judge_packet(&p, place, 0, TEST_NS).stored, 154);
		packet_build(&p, tagged);
		ck_assert_uint_eq(judge_packet(&p, place, 0, TEST_NS).stored, headers_of(tagged));
		packet_build(&p, tunnel);
		ck_assert_uint_eq(judge_packet(&p, place, 0, TEST_NS).stored, headers_of(tunnel));
	}
	ck_assert_uint_eq(headers_of(tagged), length_of(tagged) - 100);
	ck_assert_uint_eq(headers_of(tunnel), length_of(tunnel) - 100);
	filter_close();
}
END_TEST

START_TEST(rule_that_matches_in_a_tunnel_cuts_the_packet)
{
	filter_open(&(struct filter_options){.inner = FILTER_INNER_GRE},
		"cut=80 tcp any any any 22\ndrop any any any any any\n");
	ck_assert_uint_eq(judge_words("eth ip gre ip tcp:1>22 +100").stored, 80);
	ck_assert_uint_eq(judge_words("eth ip gre ip tcp:1>22 +100").reason.rule, 1);
	ck_assert_uint_eq(judge_words("eth ip gre ip tcp:1>22 +100").reason.level, 1);
	ck_assert(!judge_words("eth ip gre ip tcp:1>23 +100").kept);
	ck_assert(!judge_words("eth ip ip tcp:1>22 +100").kept);
	filter_close();
}
END_TEST

START_TEST(what_is_not_ip_is_matched_by_the_rule_for_everything_alone)
{
	static const char *const packets[] = {
		"eth arp", "eth q arp", "eth ad q arp", "eth +46", "eth q +46", "eth"};

	filter_open(&(struct filter_options){0}, "keep any 0.0.0.0/0 any any any\n"
						 "keep any ::/0 any any any\n"
						 "keep any any 1-65535 any any\n");
	for (unsigned int i = 0; i < RTE_DIM(packets); i++)
		check_judged(packets[i], false, FILTER_BY_NO_RULE, 0, 0);
	filter_open(&(struct filter_options){0}, "keep tcp any any any any\n"
						 "cut=20 any any any any any\n");
	for (unsigned int i = 0; i < RTE_DIM(packets); i++)
		check_judged(
			packets[i], true, FILTER_BY_RULE, 2, RTE_MIN(20U, length_of(packets[i])));
	filter_close();
}
END_TEST

/* Short frames are padded: to those who take padding for ports, these have 22. */
START_TEST(padding_is_not_taken_for_ports)
{
	static const char *const packets[] = {"eth ip of:6 end +40", "eth q ip of:17 +2 end +40",
		"eth ip6 of:6 +2 end +20", "eth mpls ip of:6 end +40", "eth ip option of:6 end +40",
		"eth ip6 hop of:17 +2 end +40"};

	filter_open(
		&(struct filter_options){0}, "keep tcp any any any 22\nkeep udp any any any 22\n");
	for (unsigned int i = 0; i < RTE_DIM(packets); i++)
		check_judged(packets[i], false, FILTER_BY_NO_RULE, 0, 0);
	filter_close();
}
END_TEST

START_TEST(later_fragment_matches_rules_that_could_keep_it)
{
	static const struct {
		const char *words;
		uint32_t keep_rule; /* 0: not kept */
		uint32_t literal_rule;
	} cases[] = {
		{"ip first:7 tcp:1>22 +40", 1, 1},
		{"ip first:7 tcp:1>80 +40", 3, 3},
		{"ip later:7,6 +40", 1, 3},
		{"ip6 later:7,6 +40", 1, 3},
		{"ip6 first:7 tcp:1>22 +40", 1, 1},
		/* Nobody is dropped for a port that is not known. */
		{"ip last:7,17 +40", 4, 4},
		{"ip first:7 udp:1>53 +40", 2, 2},
		{"ip later:7,132 +40", 0, 0},
		/* It begins with options or AH; of what is behind them the first one tells. */
		{"ip6 last:7,60 +40", 1, 0},
		{"ip later:7,51 +40", 1, 0},
	};
	const char *rules = "cut=70 tcp any any any 22\ndrop udp any any any 53\n"
			    "keep tcp any any any any\nkeep udp any any any any\n";
	char words[WORDS_MAX];

	for (unsigned int f = 0; f < RTE_DIM(fronts); f++) {
		for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
			struct judged j;

			(void)snprintf(words, sizeof(words), "%s %s", fronts[f], cases[i].words);
			filter_open(&(struct filter_options){0}, rules);
			j = judge_words(words);
			ck_assert_msg(j.reason.rule == cases[i].keep_rule, "%s: %u", words,
				j.reason.rule);
			ck_assert(j.kept == (j.reason.rule != 0 && j.reason.rule != 2));
			filter_open(&(struct filter_options){.fragments = FILTER_FRAGMENTS_LITERAL},
				rules);
			j = judge_words(words);
			ck_assert_msg(j.reason.rule == cases[i].literal_rule, "%s: %u", words,
				j.reason.rule);
		}
	}
	filter_close();
}
END_TEST

/* -- Cutoff -- */

static uint64_t beyond_pkts, full_pkts;

static struct judged judge_flow(const char *words, unsigned int queue)
{
	struct packet p;

	packet_build(&p, words);
	return judge_packet(&p, PLACE_HOME, queue, TEST_NS);
}

static void check_whole(const char *words)
{
	struct judged j = judge_flow(words, 0);

	ck_assert_msg(
		j.kept && !j.cutoff && j.stored == length_of(words), "%s: %u", words, j.stored);
	ck_assert_int_ne(j.reason.why, FILTER_BY_CUTOFF);
}

static void check_cut(const char *words, uint32_t stored)
{
	struct judged j = judge_flow(words, 0);

	ck_assert_msg(j.kept && !j.cutoff && j.stored == stored, "%s: %u", words, j.stored);
	ck_assert_int_eq(j.reason.why, FILTER_BY_CUTOFF);
}

static void check_cut_off(const char *words)
{
	struct judged j = judge_flow(words, 0);

	ck_assert_msg(!j.kept && j.cutoff, "%s", words);
	ck_assert_int_eq(j.reason.why, FILTER_BY_CUTOFF);
}

static void read_counts(void)
{
	struct filter_counts c;

	filter_tables_count(tables, &c);
	beyond_pkts = c.beyond_pkts;
	full_pkts = c.table_full_pkts;
}

static struct filter_options cutoff_options(uint64_t bytes, enum filter_after after)
{
	return (struct filter_options){.cutoff_bytes = bytes, .cutoff_flows = 1000, .after = after};
}

START_TEST(packet_that_crosses_the_limit_is_whole_and_the_next_is_cut)
{
	struct filter_options o = cutoff_options(200, FILTER_AFTER_HEADERS);

	/* 154 bytes each: the second one has byte 200. */
	for (unsigned int f = 0; f < RTE_DIM(fronts); f++) {
		char words[WORDS_MAX];

		(void)snprintf(words, sizeof(words), "%s ip tcp:1>2 +100", fronts[f]);
		o.after = FILTER_AFTER_HEADERS;
		filter_open(&o, NULL);
		check_whole(words);
		check_whole(words);
		check_cut(words, length_of(words) - 100);
		check_cut(words, length_of(words) - 100);
		o.after = FILTER_AFTER_DROP;
		filter_open(&o, NULL);
		check_whole(words);
		check_whole(words);
		check_cut_off(words);
		read_counts();
		ck_assert_uint_eq(beyond_pkts, 1);
		ck_assert_uint_eq(full_pkts, 0);
	}
	/* Exactly the limit: what follows is behind it. */
	o.cutoff_bytes = 154;
	filter_open(&o, NULL);
	check_whole("eth ip tcp:1>2 +100");
	check_cut_off("eth ip tcp:1>2 +100");
	filter_close();
}
END_TEST

START_TEST(flow_is_both_directions_whatever_its_tags)
{
	static const char *const tags[] = {
		"eth ad q", "eth mpls mpls", "eth pppoe", "eth q pppoe", "eth 9100", "eth"};
	struct filter_options o = cutoff_options(400, FILTER_AFTER_DROP);
	char words[WORDS_MAX];

	filter_open(&o, NULL);
	check_whole("eth ip:10.0.0.1>192.0.2.1 tcp:40000>443 +200");
	check_whole("eth q:7 ip:192.0.2.1>10.0.0.1 tcp:443>40000 +200");
	for (unsigned int i = 0; i < RTE_DIM(tags); i++) {
		(void)snprintf(
			words, sizeof(words), "%s ip:192.0.2.1>10.0.0.1 tcp:443>40000 +2", tags[i]);
		check_cut_off(words);
	}
	check_whole("eth q ip6 hop dest udp:40000>443 +400");
	check_cut_off("eth ip6:2001:db8::2>2001:db8::1 udp:443>40000");
	check_whole("eth q ip option icmp +400");
	check_cut_off("eth ip:192.0.2.1>10.0.0.1 icmp +2");
	filter_close();
}
END_TEST

START_TEST(flows_are_told_apart)
{
	static const char *const flows[] = {"eth ip:10.0.0.1>192.0.2.1 tcp:40000>443 +200",
		"eth ip:10.0.0.1>192.0.2.1 tcp:443>40000 +200",
		"eth ip:10.0.0.1>192.0.2.1 tcp:40001>443 +200",
		"eth ip:10.0.0.1>192.0.2.1 udp:40000>443 +200",
		"eth ip:10.0.0.1>192.0.2.1 sctp:40000>443 +200",
		"eth ip:10.0.0.2>192.0.2.1 tcp:40000>443 +200", "eth ip6 tcp:40000>443 +200",
		"eth ip6:2001:db8::1>2001:db8::3 tcp:40000>443 +200",
		"eth ip:10.0.0.1>192.0.2.1 icmp +200"};
	struct filter_options o = cutoff_options(200, FILTER_AFTER_DROP);

	filter_open(&o, NULL);
	for (unsigned int i = 0; i < RTE_DIM(flows); i++)
		check_whole(flows[i]);
	for (unsigned int i = 0; i < RTE_DIM(flows); i++)
		check_cut_off(flows[i]);
	/* Each queue has flows of its own. */
	for (unsigned int i = 0; i < RTE_DIM(flows); i++) {
		ck_assert(judge_flow(flows[i], 1).kept);
		ck_assert(judge_flow(flows[i], 1).cutoff);
	}
	read_counts();
	ck_assert_uint_eq(beyond_pkts, 2 * RTE_DIM(flows));
	filter_close();
}
END_TEST

START_TEST(what_is_not_ip_is_never_cut)
{
	struct filter_options o = cutoff_options(1, FILTER_AFTER_DROP);

	filter_open(&o, NULL);
	for (int i = 0; i < 3; i++) {
		check_whole("eth arp");
		check_whole("eth q arp");
		check_whole("eth +1000");
		if (i == 0)
			check_whole("eth ip tcp:1>2");
		else
			check_cut_off("eth ip tcp:1>2");
	}
	filter_close();
}
END_TEST

START_TEST(bytes_are_those_of_the_wire_if_they_are_known)
{
	struct filter_options o = cutoff_options(1000, FILTER_AFTER_DROP);
	uint64_t times_ns[3] = {TEST_NS, TEST_NS, TEST_NS};
	uint32_t wire[3] = {999, 1, 60};
	struct filter_burst b = {.time_ns = times_ns, .wire_len = wire, .count = 3};
	struct rte_mbuf *pkts[3];
	struct packet p;
	struct verdict v = {0};

	packet_build(&p, "eth ip tcp:1>2");
	for (unsigned int i = 0; i < 3; i++)
		pkts[i] = packet_put(i, &p, PLACE_HOME);
	b.pkts = pkts;
	filter_open(&o, NULL);
	filter_judge(filter, tables, &b, 7, &v);
	ck_assert_uint_eq(v.kept, 3);
	ck_assert_uint_eq(v.cutoff, 4);
	ck_assert_uint_eq(v.recut, 0);
	filter_close();
}
END_TEST

START_TEST(flow_inside_of_a_named_tunnel_counts)
{
	static const char *const tunnels[] = {"eth ip gre", "eth q ip6 udp:1>4789 vxlan eth ad q",
		"eth ip", "eth mpls ip udp:2152>2152 gtp-u", "eth ip udp:1>6081 geneve eth",
		"eth ip gre eth ip udp:1>4789 vxlan eth"};
	struct filter_options o = cutoff_options(200, FILTER_AFTER_DROP);
	char one[WORDS_MAX], back[WORDS_MAX], two[WORDS_MAX];

	for (unsigned int i = 0; i < RTE_DIM(tunnels); i++) {
		(void)snprintf(one, sizeof(one), "%s ip6 tcp:1>2 +200", tunnels[i]);
		(void)snprintf(back, sizeof(back), "%s ip6:2001:db8::2>2001:db8::1 tcp:2>1 +200",
			tunnels[i]);
		(void)snprintf(two, sizeof(two), "%s ip6 tcp:1>3 +200", tunnels[i]);
		o.inner = ALL_TUNNELS;
		filter_open(&o, NULL);
		check_whole(one);
		check_cut_off(back);
		check_whole(two);
		/* Inside of the tunnel or not. */
		check_cut_off("eth q ip6 tcp:1>2 +200");
		o.inner = 0;
		filter_open(&o, NULL);
		check_whole(one);
		check_cut_off(two);
		check_whole("eth q ip6 tcp:1>2 +200");
	}
	filter_close();
}
END_TEST

START_TEST(cutoff_and_rule_cut_as_much_as_either)
{
	struct filter_options o = cutoff_options(200, FILTER_AFTER_HEADERS);

	filter_open(&o, "cut=100 tcp any any any 1\ncut=20 tcp any any any 2\n"
			"drop tcp any any any 3\nkeep any any any any any\n");
	ck_assert_uint_eq(judge_flow("eth ip tcp:9>1 +200", 0).stored, 100);
	check_cut("eth ip tcp:9>1 +200", 54);
	ck_assert_uint_eq(judge_flow("eth ip tcp:9>2 +200", 0).stored, 20);
	check_cut("eth ip tcp:9>2 +200", 20);
	for (int i = 0; i < 3; i++) {
		struct judged j = judge_flow("eth ip tcp:9>3 +200", 0);

		/* What a rule drops, the cutoff does not. */
		ck_assert(!j.kept && !j.cutoff);
		ck_assert_int_eq(j.reason.why, FILTER_BY_RULE);
		ck_assert_uint_eq(j.reason.rule, 3);
	}
	read_counts();
	ck_assert_uint_eq(beyond_pkts, 2);
	o.after = FILTER_AFTER_DROP;
	filter_open(&o, "cut=100 any any any any any\n");
	ck_assert_uint_eq(judge_flow("eth ip tcp:9>1 +200", 0).stored, 100);
	check_cut_off("eth ip tcp:9>1 +200");
	filter_close();
}
END_TEST

START_TEST(full_table_keeps_packets_whole_and_counts_them)
{
	enum { FLOWS = 300 };
	struct filter_options o = cutoff_options(10, FILTER_AFTER_DROP);
	unsigned int whole = 0;
	char words[WORDS_MAX];

	o.cutoff_flows = 8;
	filter_open(&o, NULL);
	for (unsigned int i = 0; i < FLOWS; i++) {
		(void)snprintf(words, sizeof(words), "eth ip tcp:%u>443 +20", 1000 + i);
		check_whole(words);
	}
	read_counts();
	ck_assert_uint_ge(full_pkts, FLOWS - 32);
	ck_assert_uint_le(full_pkts, FLOWS - 8);
	for (unsigned int i = 0; i < FLOWS; i++) {
		(void)snprintf(words, sizeof(words), "eth ip tcp:%u>443 +20", 1000 + i);
		whole += judge_flow(words, 0).kept;
	}
	ck_assert_uint_eq(whole, full_pkts);
	ck_assert_uint_eq(beyond_pkts, 0);
	read_counts();
	ck_assert_uint_eq(full_pkts, 2 * whole);
	ck_assert_uint_eq(beyond_pkts, FLOWS - whole);
	filter_close();
}
END_TEST

START_TEST(tables_go_on_with_another_filter)
{
	struct filter_options o = cutoff_options(200, FILTER_AFTER_DROP);
	struct filter_tables *kept;

	o.fragments = FILTER_FRAGMENTS_FOLLOW;
	o.expression = "tcp or udp port 2";
	filter_open(&o, NULL);
	check_whole("eth ip tcp:1>2 +200");
	check_whole("eth ip first:7 udp:1>2");
	kept = tables;
	tables = NULL;
	o.expression = "tcp or udp port 3";
	filter_open(&o, NULL);
	filter_tables_free(tables);
	tables = kept;
	check_cut_off("eth ip tcp:1>2 +200");
	ck_assert_int_eq(judge_flow("eth ip later:7,17", 0).reason.why, FILTER_BY_FIRST);
	filter_close();
}
END_TEST

START_TEST(packets_that_are_not_wanted_change_nothing)
{
	struct filter_options o = cutoff_options(200, FILTER_AFTER_HEADERS);
	static const char *const words[] = {"eth ip tcp:1>2 +200", "eth ip first:7 udp:1>80 +200",
		"eth mpls ip6 tcp:1>2 +200", "eth ip udp:1>4789 vxlan eth ip tcp:1>2 +200",
		"eth ip later:9,17 +200", "eth q arp"};
	struct rte_mbuf *pkts[RTE_DIM(words)];
	struct judged j[RTE_DIM(words)];
	struct filter_counts c;

	o.expression = "tcp or udp port 53 or arp";
	o.fragments = FILTER_FRAGMENTS_FOLLOW;
	o.inner = FILTER_INNER_VXLAN;
	filter_open(&o, "keep any any any any any\n");
	for (unsigned int i = 0; i < RTE_DIM(words); i++) {
		struct packet p;

		packet_build(&p, words[i]);
		pkts[i] = packet_put(i, &p, PLACE_HOME);
	}
	for (int i = 0; i < 3; i++)
		judge_burst(pkts, RTE_DIM(words), 0, TEST_NS, 1U << 5, j);
	ck_assert(j[5].kept);
	judge_burst(pkts, RTE_DIM(words), 0, TEST_NS, 0, j);
	filter_tables_count(tables, &c);
	ck_assert_uint_eq(c.beyond_pkts + c.table_full_pkts + c.first_unknown_pkts, 0);
	for (unsigned int i = 0; i < RTE_DIM(words); i++)
		if (i != 1 && i != 3)
			check_whole(words[i]);
	/* Its first one was dropped unseen: nobody knows. */
	ck_assert_int_ne(judge_flow("eth ip later:7,17 +200", 0).reason.why, FILTER_BY_FIRST);
	filter_close();
}
END_TEST

START_TEST(links_without_ethernet_have_rules_and_flows_too)
{
	static const struct {
		int linktype;
		const char *front;
	} links[] = {{12, ""}, {113, "sll"}, {113, "sll q"}};
	struct filter_options o = cutoff_options(400, FILTER_AFTER_DROP);
	char words[WORDS_MAX];

	for (unsigned int l = 0; l < RTE_DIM(links); l++) {
		filter_open_for(links[l].linktype, &(struct filter_options){0}, rules_text);
		for (unsigned int i = 0; i < RTE_DIM(ruled); i++) {
			(void)snprintf(
				words, sizeof(words), "%s %s", links[l].front, ruled[i].words);
			check_ruled(words, &ruled[i]);
		}
		filter_open_for(links[l].linktype, &o, NULL);
		(void)snprintf(words, sizeof(words), "%s ip6 dest tcp:1>2 +400", links[l].front);
		check_whole(words);
		check_cut_off(words);
	}
	filter_close();
}
END_TEST

static Suite *judge_rules_suite(void)
{
	Suite *s = suite_create("judge_rules");
	TCase *t = tcase_create("judge_rules");

	tcase_set_timeout(t, 200);
	tcase_add_loop_test(t, first_rule_that_matches_decides_behind_whatever, FILTER_VLAN_ANY,
		FILTER_VLAN_STRICT + 1);
	tcase_add_test(t, what_expression_and_rules_both_keep_is_kept);
	tcase_add_test(t, rule_cuts_a_packet_to_its_length_or_its_headers);
	tcase_add_test(t, rule_that_matches_in_a_tunnel_cuts_the_packet);
	tcase_add_test(t, what_is_not_ip_is_matched_by_the_rule_for_everything_alone);
	tcase_add_test(t, padding_is_not_taken_for_ports);
	tcase_add_test(t, later_fragment_matches_rules_that_could_keep_it);
	tcase_add_test(t, packet_that_crosses_the_limit_is_whole_and_the_next_is_cut);
	tcase_add_test(t, flow_is_both_directions_whatever_its_tags);
	tcase_add_test(t, flows_are_told_apart);
	tcase_add_test(t, what_is_not_ip_is_never_cut);
	tcase_add_test(t, bytes_are_those_of_the_wire_if_they_are_known);
	tcase_add_test(t, flow_inside_of_a_named_tunnel_counts);
	tcase_add_test(t, cutoff_and_rule_cut_as_much_as_either);
	tcase_add_test(t, full_table_keeps_packets_whole_and_counts_them);
	tcase_add_test(t, tables_go_on_with_another_filter);
	tcase_add_test(t, packets_that_are_not_wanted_change_nothing);
	tcase_add_test(t, links_without_ethernet_have_rules_and_flows_too);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return judge_main(judge_rules_suite());
}
