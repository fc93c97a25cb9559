/* What filter_judge() makes of fragments, and of packets in tunnels. */
/* rooms: filter common dpdk PkgConfig::libpcap */
#include "judge_check.h"

enum { FRAGMENT_PKTS = 6 };

/* -- Fragments -- */

/* Of each version: two fragments of one datagram, and the last one of another. */
static const char *const fragments[FRAGMENT_PKTS] = {
	"ip first:7 tcp:40000>22 +40",
	"ip later:7,6 +40",
	"ip:10.9.9.9>192.0.2.1 last:8,17 +40",
	"ip6 first:7 tcp:40000>22 +40",
	"ip6 later:7,6 +40",
	"ip6 last:8,17 +40",
};

/* By keep: '1' kept, 'm' as it may be, '0' not. */
static const struct meaning {
	const char *expression;
	const char *kept;
} fragment_meanings[] = {
	{"tcp port 22", "1m01m0"},
	{"tcp port 80", "0m00m0"},
	{"udp port 53", "00m00m"},
	{"port 53", "0mm0mm"},
	{"not port 22", "011011"}, /* to tcpdump as well: they have no such port */
	{"net 10.0.0.0/24 and port 80", "0m0000"},
	{"host 10.9.9.9 and port 53", "00m000"},
	{"host 2001:db8::1 and tcp port 22", "0001m0"},
	{"ip6 and portrange 1-30", "0001mm"},
	{"sctp port 22", "000000"},
	{"icmp", "000000"},
};

START_TEST(later_fragment_that_could_match_is_kept)
{
	const struct meaning *m = &fragment_meanings[_i];

	filter_open(&(struct filter_options){.expression = m->expression}, NULL);
	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		for (unsigned int i = 0; i < FRAGMENT_PKTS; i++) {
			const char *words = words_join(stacks[s], fragments[i]);
			struct judged j = judge_words(words);

			ck_assert_msg(j.kept == (m->kept[i] != '0'), "\"%s\": %s has kept %d",
				m->expression, words, j.kept);
			ck_assert_msg(j.reason.why == (m->kept[i] == 'm' ? FILTER_BY_MAYBE
									 : FILTER_BY_EXPRESSION),
				"\"%s\": %s: why %d", m->expression, words, (int)j.reason.why);
		}
	}
	filter_close();
}
END_TEST

START_TEST(expression_without_ports_keeps_later_fragments_for_sure)
{
	static const struct meaning sure[] = {{"net 10.0.0.0/24", "110000"}, {"tcp", "110110"},
		{"not tcp", "001001"}, {"ip6", "000111"}, {"not host 10.9.9.9", "110111"}};

	for (unsigned int m = 0; m < RTE_DIM(sure); m++) {
		filter_open(&(struct filter_options){.expression = sure[m].expression}, NULL);
		for (unsigned int s = 0; s < RTE_DIM(stacks); s++)
			for (unsigned int i = 0; i < FRAGMENT_PKTS; i++)
				check_keeps(words_join(stacks[s], fragments[i]),
					sure[m].kept[i] == '1');
	}
	filter_close();
}
END_TEST

/* Whether a packet of this kind, with any two ports of some, is what libpcap keeps. */
static bool could_match(const struct bpf_program *program, const char *front)
{
	static const unsigned int ports[] = {22, 53, 67, 80, 123, 443, 1024, 1500, 2000};
	char words[WORDS_MAX];
	bool could = false;

	for (unsigned int i = 0; !could && i < RTE_DIM(ports) * RTE_DIM(ports); i++) {
		struct packet p;

		(void)snprintf(words, sizeof(words), "eth %s:%u>%u +100", front,
			ports[i % RTE_DIM(ports)], ports[i / RTE_DIM(ports)]);
		packet_build(&p, words);
		could = libpcap_matches(program, &p);
	}
	return could;
}

START_TEST(nothing_that_could_match_is_lost)
{
	static const char *const others[] = {"vlan", "mpls", "pppoe", "len", "less", "greater",
		"ether", "link", "0x8", "proto", "ip[", "ip6["};
	static const struct {
		const char *whole;
		const char *later;
	} kinds[] = {{"ip tcp", "ip later:7,6 +40"}, {"ip udp", "ip later:7,17 +40"},
		{"ip sctp", "ip later:7,132 +40"},
		{"ip:10.0.0.2>10.0.0.1 tcp", "ip:10.0.0.2>10.0.0.1 later:7,6 +40"},
		{"ip6 tcp", "ip6 later:7,6 +40"}, {"ip6 udp", "ip6 later:7,17 +40"},
		/* The part that is in fragments begins with options, and then with anyone's ports. */
		{"ip6 tcp", "ip6 later:7,60 +40"}, {"ip6 udp", "ip6 later:7,60 +40"}};
	FILE *f = fopen(TEST_DATA "/filter_expressions.txt", "r");
	char expression[EXPRESSION_MAX];
	unsigned int count = 0;

	ck_assert_ptr_nonnull(f);
	while (expression_next(f, others, RTE_DIM(others), expression)) {
		struct bpf_program program;

		libpcap_compile(expression, &program);
		filter_open(&(struct filter_options){.expression = expression}, NULL);
		for (unsigned int k = 0; k < RTE_DIM(kinds); k++) {
			const char *words = words_join("eth q", kinds[k].later);

			if (!could_match(&program, kinds[k].whole))
				continue;
			count++;
			ck_assert_msg(judge_words(words).kept, "\"%s\": %s is not kept", expression,
				words);
		}
		pcap_freecode(&program);
	}
	ck_assert_uint_gt(count, 200);
	ck_assert_int_eq(fclose(f), 0);
	filter_close();
}
END_TEST

/* Behind tags that is what tcpdump would keep of the packet without them. */
START_TEST(literal_fragments_are_tcpdumps)
{
	struct filter_options o = {.fragments = FILTER_FRAGMENTS_LITERAL};
	struct packet p;

	for (unsigned int m = 0; m < RTE_DIM(fragment_meanings); m++) {
		o.expression = fragment_meanings[m].expression;
		filter_open(&o, NULL);
		for (unsigned int i = 0; i < FRAGMENT_PKTS; i++) {
			bool kept;

			packet_build(&p, words_join("eth", fragments[i]));
			kept = libpcap_keeps(o.expression, &p);
			for (unsigned int s = 0; s < RTE_DIM(stacks); s++)
				check_keeps(words_join(stacks[s], fragments[i]), kept);
		}
	}
	filter_close();
}
END_TEST

/* Of the IP version whose fragments it speaks of. */
START_TEST(expression_that_speaks_of_fragments_is_literal)
{
	static const char *const expressions[] = {"ip[6:2] & 0x1fff != 0", "ip[6:2] & 0x1fff = 0",
		"ip[6] & 0x20 != 0", "tcp port 22 and ip[6:2] & 0x1fff = 0",
		"tcp port 22 or ip[6:2] & 0x3fff != 0", "ip6[6] = 44",
		"udp port 22 or ip6[6] != 44"};

	for (unsigned int e = 0; e < RTE_DIM(expressions); e++) {
		struct filter_options o = {.expression = expressions[e]};
		unsigned int first = strstr(expressions[e], "ip6") == NULL ? 0 : FRAGMENT_PKTS / 2;

		for (o.fragments = FILTER_FRAGMENTS_KEEP; o.fragments <= FILTER_FRAGMENTS_LITERAL;
			o.fragments++) {
			filter_open(&o, NULL);
			for (unsigned int i = 0; i < FRAGMENT_PKTS / 2; i++)
				check_means_what_libpcap_means(
					expressions[e], words_join("eth", fragments[first + i]));
		}
	}
	filter_close();
}
END_TEST

static struct judged judge_on(const char *words, unsigned int queue, uint64_t time_ns)
{
	struct packet p;

	packet_build(&p, words);
	return judge_packet(&p, PLACE_HOME, queue, time_ns);
}

static void check_follows(const char *words, unsigned int queue, bool kept)
{
	struct judged j = judge_on(words, queue, TEST_NS);

	ck_assert_msg(j.kept == kept, "%s has kept %d", words, !kept);
	if (kept)
		ck_assert_int_eq(j.reason.why, FILTER_BY_FIRST);
}

static uint64_t unknown_pkts(void)
{
	struct filter_counts c;

	filter_tables_count(tables, &c);
	ck_assert_uint_eq(c.beyond_pkts, 0);
	ck_assert_uint_eq(c.table_full_pkts, 0);
	return c.first_unknown_pkts;
}

/* The first one on queue 0, the later ones on both. */
static void check_datagram(const char *front, const char *version, bool kept)
{
	unsigned int port = kept ? 22 : 80;
	char words[WORDS_MAX];

	(void)snprintf(
		words, sizeof(words), "%s %s first:9 tcp:40000>%u +40", front, version, port);
	ck_assert_int_eq(judge_on(words, 0, TEST_NS).kept, kept);
	(void)snprintf(words, sizeof(words), "%s %s later:9,6 +40", front, version);
	check_follows(words, 0, kept);
	check_follows(words, 1, kept);
	(void)snprintf(words, sizeof(words), "%s %s last:9,6 +40", front, version);
	check_follows(words, 1, kept);
}

START_TEST(later_fragments_follow_the_first_on_any_queue)
{
	const struct filter_options o = {
		.expression = "tcp port 22", .fragments = FILTER_FRAGMENTS_FOLLOW};

	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		filter_open(&o, NULL);
		ck_assert_ptr_nonnull(tables);
		check_datagram(stacks[s], "ip", false);
		check_datagram(stacks[s], "ip", true); /* the newest one counts */
		check_datagram(stacks[s], "ip6", true);
		check_datagram(stacks[s], "ip6", false);
		check_datagram(stacks[s], "ip6 hop", true);
		check_datagram(stacks[s], "ip:10.9.9.9>192.0.2.1", false);
		check_datagram(stacks[s], "ip option", true);
		ck_assert_uint_eq(unknown_pkts(), 0);
	}
	filter_close();
}
END_TEST

START_TEST(first_fragment_decides_in_rules_too)
{
	const struct filter_options o = {.fragments = FILTER_FRAGMENTS_FOLLOW};
	const char *rules = "keep tcp any any any 22\ndrop any any any any any\n";

	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		filter_open(&o, rules);
		check_datagram(stacks[s], "ip", false);
		check_datagram(stacks[s], "ip6", true);
	}
	filter_close();
}
END_TEST

START_TEST(fragment_whose_first_was_not_seen_is_kept_and_counted)
{
	const struct filter_options o = {
		.expression = "tcp port 22", .fragments = FILTER_FRAGMENTS_FOLLOW};

	filter_open(&o, NULL);
	/* Lost; then of another sender, another receiver, another number. */
	ck_assert(judge_on("eth ip later:9,6 +40", 0, TEST_NS).kept);
	ck_assert_uint_eq(unknown_pkts(), 1);
	ck_assert(!judge_on("eth ip first:9 tcp:40000>80 +40", 0, TEST_NS).kept);
	ck_assert(!judge_on("eth ip later:9,6 +40", 1, TEST_NS).kept);
	ck_assert_uint_eq(unknown_pkts(), 1);
	ck_assert(judge_on("eth ip later:10,6 +40", 1, TEST_NS).kept);
	ck_assert(judge_on("eth ip:10.0.0.2>192.0.2.1 later:9,6 +40", 1, TEST_NS).kept);
	ck_assert(judge_on("eth ip:10.0.0.1>192.0.2.2 later:9,6 +40", 1, TEST_NS).kept);
	ck_assert(judge_on("eth ip:192.0.2.1>10.0.0.1 later:9,6 +40", 1, TEST_NS).kept);
	ck_assert_uint_eq(unknown_pkts(), 5);
	/* Long ago. */
	ck_assert(judge_on("eth ip later:9,6 +40", 1, TEST_NS + 3600 * UINT64_C(1000000000)).kept);
	ck_assert_uint_eq(unknown_pkts(), 6);
	/* Of another protocol, which cannot match. */
	ck_assert(!judge_on("eth ip first:11 udp:40000>22 +40", 0, TEST_NS).kept);
	ck_assert(!judge_on("eth ip later:11,17 +40", 1, TEST_NS).kept);
	filter_close();
}
END_TEST

START_TEST(what_is_excluded_by_port_is_so_in_all_its_fragments)
{
	filter_open(&(struct filter_options){.expression = "not port 22",
			    .fragments = FILTER_FRAGMENTS_FOLLOW},
		NULL);
	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		ck_assert(
			!judge_on(words_join(stacks[s], "ip first:7 tcp:22>99"), 0, TEST_NS).kept);
		check_follows(words_join(stacks[s], "ip later:7,6 +40"), 1, false);
		ck_assert(judge_on(words_join(stacks[s], "ip6 first:7 udp:9>99"), 1, TEST_NS).kept);
		check_follows(words_join(stacks[s], "ip6 later:7,17 +40"), 0, true);
	}
	filter_close();
}
END_TEST

/* In one burst: the order in which they came. */
START_TEST(first_fragment_in_the_same_burst_counts_if_it_came_before)
{
	const struct filter_options o = {
		.expression = "tcp port 22", .fragments = FILTER_FRAGMENTS_FOLLOW};
	static const char *const words[] = {"eth ip later:1,6 +40", "eth ip first:1 tcp:1>80 +40",
		"eth ip later:1,6 +40", "eth q ip6 first:2 tcp:1>22", "eth q ip6 later:2,6 +40",
		"eth ip first:1 tcp:1>22 +40", "eth ip later:1,6 +40"};
	static const bool kept[] = {true, false, false, true, true, true, true};
	struct rte_mbuf *pkts[RTE_DIM(words)];
	struct judged j[RTE_DIM(words)];

	filter_open(&o, NULL);
	for (unsigned int i = 0; i < RTE_DIM(words); i++) {
		struct packet p;

		packet_build(&p, words[i]);
		pkts[i] = packet_put(i, &p, PLACE_HOME);
	}
	judge_burst(pkts, RTE_DIM(words), 0, TEST_NS, 0x7f, j);
	for (unsigned int i = 0; i < RTE_DIM(words); i++)
		ck_assert_msg(j[i].kept == kept[i], "%u", i);
	ck_assert_uint_eq(unknown_pkts(), 1);
	filter_close();
}
END_TEST

/* -- Tunnels -- */

static const struct tunnel_words {
	unsigned int bit;
	const char *words;
} tunnel_words[] = {
	{FILTER_INNER_IPIP, "ip"},
	{FILTER_INNER_IPIP, "ip6"},
	{FILTER_INNER_IPIP, "ip6 dest"},
	{FILTER_INNER_IPIP, "ip option"},
	{FILTER_INNER_GRE, "ip gre"},
	{FILTER_INNER_GRE, "ip6 gre"},
	{FILTER_INNER_GRE, "ip gre:key"},
	{FILTER_INNER_GRE, "ip gre eth"},
	{FILTER_INNER_GRE, "ip gre:key eth q"},
	{FILTER_INNER_VXLAN, "ip udp:50000>4789 vxlan eth"},
	{FILTER_INNER_VXLAN, "ip6 udp:50000>4789 vxlan eth"},
	{FILTER_INNER_VXLAN, "ip udp:50000>4789 vxlan eth q"},
	{FILTER_INNER_VXLAN, "ip udp:50000>4789 vxlan eth ad q"},
	{FILTER_INNER_GENEVE, "ip udp:50000>6081 geneve eth"},
	{FILTER_INNER_GENEVE, "ip6 udp:50000>6081 geneve:option eth q"},
	{FILTER_INNER_GTP_U, "ip udp:2152>2152 gtp-u"},
	{FILTER_INNER_GTP_U, "ip6 udp:2152>2152 gtp-u"},
	{FILTER_INNER_GTP_U, "ip udp:2152>2152 gtp-u:sequence"},
	{FILTER_INNER_GTP_U, "ip udp:2152>2152 gtp-u:extension"},
};

/* What is not kept is so for what it is itself. */
static void check_level(const char *words, bool kept, unsigned int level)
{
	struct judged j = judge_words(words);

	ck_assert_msg(j.kept == kept, "%s has kept %d", words, j.kept);
	ck_assert_msg(j.reason.level == level, "%s is judged by level %u", words, j.reason.level);
}

/* Port 22 inside of the tunnel, behind whatever is outside of it. */
static void check_tunnel(const struct tunnel_words *t, const char *expression, unsigned int inner,
	const char *rules, bool kept, unsigned int level)
{
	static const char *const insides[] = {"ip:10.1.1.1>10.1.1.2 tcp:40000>22 +8",
		"ip6:2001:db8:1::1>2001:db8:1::2 tcp:22>40000 +8", "ip6 hop dest tcp:40000>22",
		"ip option tcp:22>40000"};
	char words[WORDS_MAX];

	filter_open(&(struct filter_options){.expression = expression, .inner = inner}, rules);
	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		for (unsigned int i = 0; i < RTE_DIM(insides); i++) {
			(void)snprintf(
				words, sizeof(words), "%s %s %s", stacks[s], t->words, insides[i]);
			check_level(words, kept, level);
		}
	}
}

START_TEST(packet_inside_of_a_named_tunnel_is_kept)
{
	const struct tunnel_words *t = &tunnel_words[_i];

	check_tunnel(t, "tcp port 22", t->bit, NULL, true, 1);
	check_tunnel(t, "tcp port 22", ALL_TUNNELS & ~t->bit, NULL, false, 0);
	check_tunnel(t, "tcp port 22", 0, NULL, false, 0);
	check_tunnel(t, "udp port 9", t->bit, NULL, false, 0);
	/* It is the packet itself that is kept: no port of it is 22. */
	check_tunnel(t, "not port 22", t->bit, NULL, true, 0);
	check_tunnel(t, NULL, t->bit, "keep tcp any any any 22 either way\n", true, 1);
	check_tunnel(t, "tcp port 22", t->bit,
		"keep udp any any any any\nkeep tcp any any any 23\n", false, 0);
	check_tunnel(t, "ip or ip6", t->bit,
		"drop tcp any any any 22 either way\nkeep tcp any any any any\n", false, 0);
	filter_close();
}
END_TEST

START_TEST(fragments_inside_of_a_tunnel_are_fragments)
{
	char words[WORDS_MAX];
	const struct tunnel_words *t = &tunnel_words[_i];

	for (unsigned int i = 0; i < FRAGMENT_PKTS; i++) {
		/* Of UDP in UDP's tunnels: it may be of one more of them. */
		bool over_udp = (t->bit & (FILTER_INNER_IPIP | FILTER_INNER_GRE)) == 0;
		const char *tcp_22 = over_udp ? "1mm1mm" : "1m01m0";
		struct judged j;

		(void)snprintf(words, sizeof(words), "eth q %s %s", t->words, fragments[i]);
		filter_open(&(struct filter_options){.expression = "tcp port 22", .inner = t->bit},
			NULL);
		j = judge_words(words);
		ck_assert_msg(j.kept == (tcp_22[i] != '0'), "%s", words);
		if (j.kept)
			ck_assert_uint_eq(j.reason.level, 1);
		if (tcp_22[i] == 'm')
			ck_assert_int_eq(j.reason.why, FILTER_BY_MAYBE);
		filter_open(&(struct filter_options){.expression = "tcp port 22",
				    .fragments = FILTER_FRAGMENTS_LITERAL,
				    .inner = t->bit},
			NULL);
		check_keeps(words, strcmp(fragments[i], fragments[0]) == 0);
	}
	filter_open(&(struct filter_options){.expression = "tcp port 22",
			    .fragments = FILTER_FRAGMENTS_FOLLOW,
			    .inner = t->bit},
		NULL);
	(void)snprintf(words, sizeof(words), "eth q %s", t->words);
	check_datagram(words, "ip:10.1.1.1>10.1.1.2", false);
	check_datagram(words, "ip:10.1.1.1>10.1.1.2", true);
	check_datagram(words, "ip6:2001:db8:1::1>2001:db8:1::2", true);
	check_datagram(words, "ip6:2001:db8:1::1>2001:db8:1::2", false);
	ck_assert_uint_eq(unknown_pkts(), 0);
	filter_close();
}
END_TEST

/* A tunnel's packet in fragments: the first one has the headers inside, and the later ones follow it. */
START_TEST(later_fragments_of_a_tunnel_follow_the_first)
{
	const struct filter_options o = {.expression = "tcp port 22",
		.fragments = FILTER_FRAGMENTS_FOLLOW,
		.inner = FILTER_INNER_VXLAN};

	filter_open(&o, NULL);
	ck_assert(judge_on("eth ip first:3 udp:5>4789 vxlan eth ip tcp:1>22 +40", 0, TEST_NS).kept);
	check_follows("eth ip later:3,17 +40", 1, true);
	ck_assert(
		!judge_on("eth ip first:4 udp:5>4789 vxlan eth ip tcp:1>80 +40", 0, TEST_NS).kept);
	ck_assert(!judge_on("eth ip later:4,17 +40", 1, TEST_NS).kept);
	filter_close();
}
END_TEST

/* What is inside of it is in another fragment, and could match. */
START_TEST(later_fragment_that_could_be_of_a_named_tunnel_is_kept)
{
	static const struct {
		const char *words;
		unsigned int inner;
	} cases[] = {
		{"ip later:3,17 +40", FILTER_INNER_VXLAN},
		{"ip6 later:3,17 +40", FILTER_INNER_GENEVE},
		{"ip later:3,17 +40", FILTER_INNER_GTP_U},
		{"ip6 later:3,47 +40", FILTER_INNER_GRE},
		{"ip later:3,4 +40", FILTER_INNER_IPIP},
		{"ip6 later:3,41 +40", FILTER_INNER_IPIP},
		{"ip udp:5>4789 vxlan eth ip later:3,4 +40",
			FILTER_INNER_VXLAN | FILTER_INNER_IPIP},
	};

	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		struct filter_options o = {.expression = "tcp port 22", .inner = cases[i].inner};
		const char *words = words_join("eth q mpls", cases[i].words);

		filter_open(&o, NULL);
		ck_assert(judge_words(words).kept);
		ck_assert_int_eq(judge_words(words).reason.why, FILTER_BY_MAYBE);
		o.fragments = FILTER_FRAGMENTS_FOLLOW;
		filter_open(&o, "keep tcp any any any 22\n");
		ck_assert(judge_words(words).kept);
		ck_assert_uint_ge(unknown_pkts(), 1);
		o.fragments = FILTER_FRAGMENTS_LITERAL;
		filter_open(&o, NULL);
		check_keeps(words, false);
		o.fragments = FILTER_FRAGMENTS_KEEP;
		o.inner = ALL_TUNNELS & ~cases[i].inner;
		if (cases[i].inner == FILTER_INNER_GRE || cases[i].inner == FILTER_INNER_IPIP) {
			filter_open(&o, NULL);
			check_keeps(words, false);
		}
	}
	filter_close();
}
END_TEST

START_TEST(tunnels_in_tunnels_are_looked_into_if_all_are_named)
{
	static const struct {
		const char *words;
		unsigned int inner;
		unsigned int level; /* 0: not kept */
	} cases[] = {
		{"eth ip ip tcp:1>22", FILTER_INNER_IPIP, 1},
		{"eth ip ip6 ip tcp:1>22", FILTER_INNER_IPIP, 2},
		{"eth ip ip6 ip ip6 tcp:1>22", FILTER_INNER_IPIP, 3},
		{"eth ip gre ip6 tcp:1>22", FILTER_INNER_IPIP, 0},
		{"eth ip gre ip ip6 tcp:1>22", FILTER_INNER_IPIP | FILTER_INNER_GRE, 2},
		{"eth ip gre ip ip6 tcp:1>22", FILTER_INNER_GRE, 0},
		{"eth ip6 gre eth q ip udp:1>4789 vxlan eth ad q ip6 tcp:1>22",
			FILTER_INNER_GRE | FILTER_INNER_VXLAN, 2},
		{"eth q ip udp:2152>2152 gtp-u ip gre ip6 tcp:1>22",
			FILTER_INNER_GRE | FILTER_INNER_GTP_U, 2},
		{"eth ip udp:1>6081 geneve eth ip udp:1>4789 vxlan eth ip ip tcp:1>22",
			FILTER_INNER_GENEVE | FILTER_INNER_VXLAN | FILTER_INNER_IPIP, 3},
	};

	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		filter_open(&(struct filter_options){.expression = "tcp dst port 22",
				    .inner = cases[i].inner},
			NULL);
		check_level(cases[i].words, cases[i].level > 0, cases[i].level);
		filter_open(&(struct filter_options){.inner = cases[i].inner},
			"keep tcp any any any 22\n");
		check_level(cases[i].words, cases[i].level > 0, cases[i].level);
	}
	filter_close();
}
END_TEST

START_TEST(what_is_not_a_tunnel_is_not_looked_into)
{
	static const char *const packets[] = {
		"eth ip udp:50000>4790 vxlan eth ip tcp:1>22",
		"eth ip udp:50000>6080 geneve eth ip tcp:1>22",
		"eth ip udp:50000>2153 gtp-u ip tcp:1>22",
		"eth ip tcp:50000>4789 vxlan eth ip tcp:1>22",
		"eth ip later:7,17 vxlan eth ip tcp:1>22",
		"eth ip icmp ip tcp:1>22",
	};

	filter_open(&(struct filter_options){.expression = "tcp dst port 22",
			    .fragments = FILTER_FRAGMENTS_LITERAL,
			    .inner = ALL_TUNNELS},
		NULL);
	for (unsigned int i = 0; i < RTE_DIM(packets); i++)
		check_keeps(packets[i], false);
	filter_close();
}
END_TEST

START_TEST(links_without_ethernet_have_fragments_and_tunnels)
{
	static const struct {
		int linktype;
		const char *front;
	} links[] = {{DLT_RAW, ""}, {DLT_LINUX_SLL, "sll"}, {DLT_LINUX_SLL, "sll q"},
		{DLT_LINUX_SLL, "sll ad q"}};
	char words[WORDS_MAX];

	for (unsigned int l = 0; l < RTE_DIM(links); l++) {
		for (unsigned int m = 0; m < RTE_DIM(fragment_meanings); m++) {
			filter_open_for(links[l].linktype,
				&(struct filter_options){
					.expression = fragment_meanings[m].expression},
				NULL);
			for (unsigned int i = 0; i < FRAGMENT_PKTS; i++)
				check_keeps(words_join(links[l].front, fragments[i]),
					fragment_meanings[m].kept[i] != '0');
		}
		for (unsigned int t = 0; t < RTE_DIM(tunnel_words); t++) {
			filter_open_for(links[l].linktype,
				&(struct filter_options){
					.expression = "tcp port 22", .inner = tunnel_words[t].bit},
				NULL);
			(void)snprintf(words, sizeof(words), "%s %s ip6 hop tcp:1>22",
				links[l].front, tunnel_words[t].words);
			check_level(words, true, 1);
			filter_open_for(links[l].linktype,
				&(struct filter_options){.inner = tunnel_words[t].bit},
				"keep tcp any any any 22\n");
			check_level(words, true, 1);
		}
	}
	filter_close();
}
END_TEST

static Suite *judge_fragments_suite(void)
{
	Suite *s = suite_create("judge_fragments");
	TCase *t = tcase_create("judge_fragments");

	tcase_set_timeout(t, 200);
	tcase_add_loop_test(
		t, later_fragment_that_could_match_is_kept, 0, RTE_DIM(fragment_meanings));
	tcase_add_test(t, expression_without_ports_keeps_later_fragments_for_sure);
	tcase_add_test(t, nothing_that_could_match_is_lost);
	tcase_add_test(t, literal_fragments_are_tcpdumps);
	tcase_add_test(t, expression_that_speaks_of_fragments_is_literal);
	tcase_add_test(t, later_fragments_follow_the_first_on_any_queue);
	tcase_add_test(t, first_fragment_decides_in_rules_too);
	tcase_add_test(t, fragment_whose_first_was_not_seen_is_kept_and_counted);
	tcase_add_test(t, what_is_excluded_by_port_is_so_in_all_its_fragments);
	tcase_add_test(t, first_fragment_in_the_same_burst_counts_if_it_came_before);
	tcase_add_loop_test(t, packet_inside_of_a_named_tunnel_is_kept, 0, RTE_DIM(tunnel_words));
	tcase_add_loop_test(
		t, fragments_inside_of_a_tunnel_are_fragments, 0, RTE_DIM(tunnel_words));
	tcase_add_test(t, later_fragments_of_a_tunnel_follow_the_first);
	tcase_add_test(t, later_fragment_that_could_be_of_a_named_tunnel_is_kept);
	tcase_add_test(t, tunnels_in_tunnels_are_looked_into_if_all_are_named);
	tcase_add_test(t, what_is_not_a_tunnel_is_not_looked_into);
	tcase_add_test(t, links_without_ethernet_have_fragments_and_tunnels);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return judge_main(judge_fragments_suite());
}
