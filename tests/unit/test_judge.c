/* What filter_judge() makes of an expression: behind tags, of fragments, in tunnels, on other links. */
/* rooms: filter common dpdk PkgConfig::libpcap */
#include "judge_check.h"

enum { INNERS = 7 };

static const char *const inners[INNERS] = {
	"ip tcp:40000>22 +20",
	"ip tcp:40000>80 +20",
	"ip:10.9.9.9>192.0.2.1 udp:5000>53 +20",
	"ip6 tcp:40000>22 +20",
	"ip6 udp:5000>1500 +20",
	"ip icmp +30",
	"ip6 icmp6 +30",
};

/* Which of the inner packets are meant, '1' each. */
static const struct meaning {
	const char *expression;
	const char *kept;
} meanings[] = {
	{"tcp port 22", "1001000"},
	{"not port 22", "0110111"},
	{"not tcp port 22 and not udp port 53", "0100111"},
	{"net 10.0.0.0/24", "1100010"},
	{"src net 10.0.0.0/8 and not icmp", "1110000"},
	{"not net 10.0.0.0/24", "0011101"},
	{"ip6", "0001101"},
	{"not ip6", "1110010"},
	{"ip", "1110010"},
	{"udp portrange 1000-2000", "0000100"},
	{"dst portrange 50-90", "0110000"},
	{"ip6 and dst port 22", "0001000"},
	{"host 2001:db8::1 and not tcp", "0000101"},
	{"icmp or icmp6", "0000011"},
	{"ip[8] = 64 and ip[9] = 17", "0010000"},
	{"tcp[tcpflags] & tcp-push != 0 and ip", "1100000"},
	{"port 22 or udp", "1011100"},
};

static void check_expression_keeps(const char *expression, const char *words, bool kept)
{
	struct judged j = judge_words(words);

	ck_assert_msg(j.kept == kept, "\"%s\": %s has kept %d", expression, words, !kept);
	ck_assert_int_eq(j.reason.why, FILTER_BY_EXPRESSION);
	ck_assert_uint_eq(j.reason.level, 0);
	ck_assert_uint_eq(j.reason.rule, 0);
	ck_assert(!j.cutoff);
}

START_TEST(tags_labels_and_pppoe_hide_nothing)
{
	const struct meaning *m = &meanings[_i];

	filter_open(&(struct filter_options){.expression = m->expression}, NULL);
	ck_assert_ptr_null(tables);
	for (unsigned int s = 0; s < RTE_DIM(stacks); s++)
		for (unsigned int i = 0; i < INNERS; i++)
			check_expression_keeps(
				m->expression, words_join(stacks[s], inners[i]), m->kept[i] == '1');
	filter_close();
}
END_TEST

/* The packet without its tags is what libpcap is asked about. */
static void check_same_behind_tags(const char *expression)
{
	static const char *const more[] = {"ip option tcp:443>2000 +30", "ip sctp:80>22",
		"ip:10.0.0.3>255.255.255.255 udp:67>68 +30", "ip:10.0.0.1>224.0.0.1 udp:1>2 +100"};
	struct bpf_program program;
	struct packet p;

	libpcap_compile(expression, &program);
	filter_open(&(struct filter_options){.expression = expression}, NULL);
	for (unsigned int i = 0; i < INNERS + RTE_DIM(more); i++) {
		const char *inner = i < INNERS ? inners[i] : more[i - INNERS];
		bool kept;

		packet_build(&p, words_join("eth", inner));
		kept = libpcap_matches(&program, &p);
		for (unsigned int s = 0; s < RTE_DIM(stacks); s++)
			check_expression_keeps(expression, words_join(stacks[s], inner), kept);
	}
	pcap_freecode(&program);
}

START_TEST(all_that_can_be_asked_of_ip_is_asked_behind_tags)
{
	static const char *const others[] = {"vlan", "mpls", "pppoe", "len", "less", "greater",
		"ether", "link", "0x8", "protochain"};
	FILE *f = fopen(TEST_DATA "/filter_expressions.txt", "r");
	char expression[EXPRESSION_MAX];
	unsigned int count = 0;

	ck_assert_ptr_nonnull(f);
	for (; expression_next(f, others, RTE_DIM(others), expression); count++)
		check_same_behind_tags(expression);
	ck_assert_uint_gt(count, 150);
	ck_assert_int_eq(fclose(f), 0);
	filter_close();
}
END_TEST

START_TEST(other_options_do_not_change_what_an_expression_means_behind_tags)
{
	const struct meaning *m = &meanings[_i];

	filter_open(&(struct filter_options){.expression = m->expression,
			    .fragments = FILTER_FRAGMENTS_FOLLOW,
			    .inner = ALL_TUNNELS,
			    .cutoff_bytes = 1 << 20,
			    .cutoff_flows = 1000},
		"keep any any any any any\n");
	ck_assert_ptr_nonnull(tables);
	for (unsigned int s = 0; s < RTE_DIM(stacks); s++)
		for (unsigned int i = 0; i < INNERS; i++)
			check_keeps(words_join(stacks[s], inners[i]), m->kept[i] == '1');
	filter_close();
}
END_TEST

/* What is no IP is looked for behind tags as well. */
START_TEST(arp_behind_tags_is_arp)
{
	static const char *const packets[] = {"eth arp", "eth q arp", "eth ad arp", "eth ad q arp"};

	for (unsigned int i = 0; i < RTE_DIM(packets); i++) {
		filter_open(&(struct filter_options){.expression = "arp"}, NULL);
		check_keeps(packets[i], true);
		filter_open(&(struct filter_options){.expression = "not arp"}, NULL);
		check_keeps(packets[i], false);
		filter_open(&(struct filter_options){.expression = "arp host 192.0.2.1"}, NULL);
		check_keeps(packets[i], true);
		filter_open(&(struct filter_options){.expression = "not port 22"}, NULL);
		check_keeps(packets[i], true);
	}
	filter_close();
}
END_TEST

START_TEST(addresses_of_ethernet_are_found_and_length_is_with_tags)
{
	filter_open(&(struct filter_options){.expression = "ether src 02:00:00:00:00:01 and ip6"},
		NULL);
	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		check_keeps(words_join(stacks[s], "ip6 tcp:1>2"), true);
		check_keeps(words_join(stacks[s], "ip tcp:1>2"), false);
	}
	/* Two bytes of 100 are the tags. */
	filter_open(&(struct filter_options){.expression = "len = 100 and tcp port 22"}, NULL);
	check_keeps("eth ad q ip tcp:40000>22 +38", true);
	check_keeps("eth q mpls ip tcp:40000>22 +38", true);
	check_keeps("eth pppoe ip tcp:40000>22 +38", true);
	check_keeps("eth ip tcp:40000>22 +38", false);
	filter_open(&(struct filter_options){.expression = "greater 100 and not port 80"}, NULL);
	check_keeps("eth q ip tcp:40000>22 +42", true);
	check_keeps("eth q ip tcp:40000>22 +41", false);
	filter_close();
}
END_TEST

static void check_literal(const char *expression, enum filter_vlan vlan)
{
	struct filter_options o = {.expression = expression, .vlan = vlan};

	filter_open(&o, NULL);
	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		for (unsigned int i = 0; i < INNERS; i++)
			check_means_what_libpcap_means(
				expression, words_join(stacks[s], inners[i]));
	}
	check_means_what_libpcap_means(expression, "eth arp");
	check_means_what_libpcap_means(expression, "eth q arp");
	filter_close();
}

START_TEST(strict_is_the_literal_meaning)
{
	check_literal(meanings[_i].expression, FILTER_VLAN_STRICT);
}
END_TEST

START_TEST(expression_that_names_tags_is_literal)
{
	static const char *const expressions[] = {"vlan", "vlan 5", "vlan 6", "not vlan",
		"vlan and tcp port 22", "tcp port 22 or (vlan and port 22)",
		"vlan and vlan and ip6", "mpls", "mpls and ip6", "not mpls",
		"mpls and mpls and port 22", "pppoes", "pppoes and tcp port 22", "not pppoes",
		"ether proto 0x8100", "ether proto 0x88a8", "not ether proto 0x8847",
		"ether proto 0x8864", "ether[12:2] = 0x8100"};

	for (unsigned int i = 0; i < RTE_DIM(expressions); i++)
		check_literal(expressions[i], FILTER_VLAN_ANY);
}
END_TEST

/* -- Extension headers -- */

START_TEST(extension_headers_are_walked)
{
	static const char *const extensions[] = {"hop", "routing", "dest", "hop dest routing dest",
		"hop routing", "atomic:7", "hop atomic:7 dest"};
	char words[WORDS_MAX];

	for (unsigned int s = 0; s < RTE_DIM(stacks); s++) {
		for (unsigned int i = 0; i < RTE_DIM(extensions); i++) {
			(void)snprintf(words, sizeof(words), "%s ip6 %s tcp:40000>22 +8", stacks[s],
				extensions[i]);
			filter_open(&(struct filter_options){.expression = "tcp port 22"}, NULL);
			check_keeps(words, true);
			filter_open(&(struct filter_options){.expression = "not port 22"}, NULL);
			check_keeps(words, false);
			filter_open(&(struct filter_options){.expression = "tcp"}, NULL);
			check_keeps(words, true);
			filter_open(&(struct filter_options){.expression = "udp portrange 1-65535"},
				NULL);
			check_keeps(words, false);
		}
	}
	filter_close();
}
END_TEST

/* An mbuf of one piece, as of a port with jumbo frames or of a capture of segments that were put together. */
static bool long_chain_is_kept(unsigned int headers)
{
	enum { ETHERNET = 14, IPV6 = 40, EXTENSION = 2048, PORTS = 4, DESTINATION_OPTIONS = 60 };
	uint32_t len = ETHERNET + IPV6 + headers * EXTENSION + PORTS;
	uint8_t *data = calloc(1, len);
	struct rte_mbuf m = {.buf_addr = data, .nb_segs = 1, .pkt_len = len}, *pkt = &m;
	struct judged j;

	ck_assert_ptr_nonnull(data);
	m.buf_len = m.data_len = (uint16_t)len;
	data[12] = 0x86;
	data[13] = 0xdd;
	data[ETHERNET] = 0x60;
	data[ETHERNET + 4] = (uint8_t)((len - ETHERNET - IPV6) >> 8);
	data[ETHERNET + 5] = (uint8_t)(len - ETHERNET - IPV6);
	data[ETHERNET + 6] = DESTINATION_OPTIONS;
	for (unsigned int i = 0; i < headers; i++) {
		uint8_t *extension = data + ETHERNET + IPV6 + i * EXTENSION;

		extension[0] = i + 1 < headers ? DESTINATION_OPTIONS : IPPROTO_UDP;
		extension[1] = EXTENSION / 8 - 1;
	}
	data[len - 1] = 53;
	judge_burst(&pkt, 1, 0, TEST_NS, 1, &j);
	free(data);
	return j.kept;
}

START_TEST(extension_headers_longer_than_what_is_looked_at_end_there)
{
	filter_open(&(struct filter_options){.expression = "udp port 53"}, NULL);
	ck_assert(long_chain_is_kept(1));
	ck_assert(long_chain_is_kept(7));
	ck_assert(!long_chain_is_kept(28));
	filter_close();
}
END_TEST

START_TEST(literal_fragments_leave_extension_headers_alone)
{
	static const char *const packets[] = {"eth ip6 hop tcp:40000>22", "eth ip6 dest udp:1>22",
		"eth ip6 hop dest routing dest tcp:40000>22", "eth ip6 tcp:40000>22"};
	struct filter_options o = {.fragments = FILTER_FRAGMENTS_LITERAL};

	for (unsigned int m = 0; m < RTE_DIM(meanings); m++) {
		o.expression = meanings[m].expression;
		filter_open(&o, NULL);
		for (unsigned int i = 0; i < RTE_DIM(packets); i++)
			check_means_what_libpcap_means(o.expression, packets[i]);
	}
	filter_close();
}
END_TEST

/* -- Other links -- */

START_TEST(links_without_ethernet_are_understood)
{
	static const struct {
		int linktype;
		const char *front;
	} links[] = {{DLT_RAW, ""}, {DLT_LINUX_SLL, "sll"}, {DLT_LINUX_SLL, "sll q"},
		{DLT_LINUX_SLL, "sll ad q"}};

	for (unsigned int l = 0; l < RTE_DIM(links); l++) {
		for (unsigned int m = 0; m < RTE_DIM(meanings); m++) {
			filter_open_for(links[l].linktype,
				&(struct filter_options){.expression = meanings[m].expression},
				NULL);
			for (unsigned int i = 0; i < INNERS; i++)
				check_expression_keeps(meanings[m].expression,
					words_join(links[l].front, inners[i]),
					meanings[m].kept[i] == '1');
		}
	}
	filter_close();
}
END_TEST

/* -- Packets that end early -- */

/* Kept or not: literal meaning is libpcap's at any length, and a place changes nothing. */
static void check_cut_short(const struct packet *p, const char *expression)
{
	bool literal = expression != NULL;

	for (uint32_t len = 1; len <= p->len; len++) {
		struct packet cut = *p;
		struct judged at_end, other;

		cut.len = len;
		at_end = judge_packet(&cut, PLACE_END, 0, TEST_NS);
		for (enum place place = PLACE_START; place < PLACES; place++) {
			other = judge_packet(&cut, place, 0, TEST_NS);
			judged_assert_equal(&other, &at_end, "cut to", len);
		}
		if (literal)
			ck_assert_msg(at_end.kept == libpcap_keeps(expression, &cut),
				"\"%s\", cut to %u", expression, len);
	}
}

START_TEST(packets_cut_anywhere_are_judged_by_what_is_there)
{
	static const char *const packets[] = {"eth ip6 hop dest tcp:40000>22",
		"eth ad q mpls mpls ip option tcp:40000>22", "eth q pppoe ip6 later:7,6 +8",
		"eth q ip udp:1>4789 vxlan eth q ip6 hop tcp:1>22",
		"eth ip6 udp:1>6081 geneve:option eth ip first:7 tcp:1>22",
		"eth mpls ip udp:2152>2152 gtp-u:sequence ip gre:key ip6 tcp:1>22", "eth q arp"};
	static const char *const expressions[] = {
		"tcp port 22", "not port 22", "ip6", "net 10.0.0.0/8", "vlan and port 22"};
	struct packet p;

	for (unsigned int i = 0; i < RTE_DIM(packets); i++) {
		packet_build(&p, packets[i]);
		for (unsigned int e = 0; e < RTE_DIM(expressions); e++) {
			struct filter_options o = {
				.expression = expressions[e], .inner = ALL_TUNNELS};

			filter_open(&o, NULL);
			check_cut_short(&p, NULL);
			o = (struct filter_options){.expression = expressions[e],
				.vlan = FILTER_VLAN_STRICT,
				.fragments = FILTER_FRAGMENTS_LITERAL};
			filter_open(&o, NULL);
			check_cut_short(&p, expressions[e]);
		}
		filter_open(&(struct filter_options){.inner = ALL_TUNNELS},
			"keep tcp any any any 22\ncut=headers any any any ::/0 any\n"
			"cut=40 any any any 192.0.2.1 any\n");
		check_cut_short(&p, NULL);
	}
	filter_close();
}
END_TEST

/* What lies behind the end that IP tells is no packet in a tunnel. */
START_TEST(padding_is_not_looked_into)
{
	filter_open(
		&(struct filter_options){.expression = "tcp port 22", .inner = ALL_TUNNELS}, NULL);
	check_keeps("eth ip end ip tcp:1>22", false);
	check_keeps("eth ip6 gre end ip tcp:1>22", false);
	check_keeps("eth ip udp:1>4789 end vxlan eth ip tcp:1>22", false);
	check_keeps("eth ip udp:1>4789 vxlan eth ip tcp:1>22 end +20", true);
	filter_close();
}
END_TEST

START_TEST(filter_that_asks_nothing_keeps_all_and_says_so)
{
	struct filter_options o = {0};
	struct judged j;

	filter_open(&o, NULL);
	ck_assert(filter_keeps_all(filter));
	ck_assert_str_eq(filter_engine(filter), "none");
	ck_assert_ptr_null(filter_dump(filter));
	ck_assert_ptr_null(tables);
	ck_assert_uint_eq(filter_tables_bytes(&o, 4), 0);
	j = judge_words("eth q arp");
	ck_assert(j.kept);
	ck_assert_int_eq(j.reason.why, FILTER_BY_ALL);
	ck_assert_uint_eq(j.stored, 46);
	o.expression = "";
	filter_open(&o, NULL);
	ck_assert(filter_keeps_all(filter));
	o.expression = "ip";
	filter_open(&o, NULL);
	ck_assert(!filter_keeps_all(filter));
	o.expression = NULL;
	filter_open(&o, "drop any any any any any\n");
	ck_assert(!filter_keeps_all(filter));
	o.cutoff_bytes = 1000;
	o.cutoff_flows = 100;
	filter_open(&o, NULL);
	ck_assert(!filter_keeps_all(filter));
	ck_assert_ptr_nonnull(tables);
	ck_assert_uint_gt(filter_tables_bytes(&o, 4), filter_tables_bytes(&o, 1));
	filter_close();
}
END_TEST

START_TEST(wrong_expression_makes_no_filter)
{
	static const char *const wrong[] = {"tcp porrt 22", "ip and ip6 and arp", "port 99999"};
	struct filter *untouched = (struct filter *)&wrong, *f = untouched;
	struct errbuf err;

	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		struct filter_options o = {.expression = wrong[i]};

		err.text[0] = '\0';
		ck_assert_int_eq(filter_new(&o, 1, SOCKET_ID_ANY, &f, &err), -EINVAL);
		ck_assert_ptr_eq(f, untouched);
		ck_assert_uint_gt(strlen(err.text), 0);
	}
}
END_TEST

static Suite *judge_suite(void)
{
	Suite *s = suite_create("judge");
	TCase *t = tcase_create("judge");

	tcase_set_timeout(t, 200);
	tcase_add_loop_test(t, tags_labels_and_pppoe_hide_nothing, 0, RTE_DIM(meanings));
	tcase_add_loop_test(t, other_options_do_not_change_what_an_expression_means_behind_tags, 0,
		RTE_DIM(meanings));
	tcase_add_test(t, all_that_can_be_asked_of_ip_is_asked_behind_tags);
	tcase_add_test(t, arp_behind_tags_is_arp);
	tcase_add_test(t, addresses_of_ethernet_are_found_and_length_is_with_tags);
	tcase_add_loop_test(t, strict_is_the_literal_meaning, 0, RTE_DIM(meanings));
	tcase_add_test(t, expression_that_names_tags_is_literal);
	tcase_add_test(t, extension_headers_are_walked);
	tcase_add_test(t, extension_headers_longer_than_what_is_looked_at_end_there);
	tcase_add_test(t, literal_fragments_leave_extension_headers_alone);
	tcase_add_test(t, links_without_ethernet_are_understood);
	tcase_add_test(t, packets_cut_anywhere_are_judged_by_what_is_there);
	tcase_add_test(t, padding_is_not_looked_into);
	tcase_add_test(t, filter_that_asks_nothing_keeps_all_and_says_so);
	tcase_add_test(t, wrong_expression_makes_no_filter);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return judge_main(judge_suite());
}
