/* Filters that are long: lists of ports, hosts, nets and pairs, against libpcap's bpf_filter(). */
/* rooms: filter common dpdk PkgConfig::libpcap */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include <rte_bpf.h>
#include <rte_mbuf.h>

#include "filter/expression.h"
#include "filter/filter_program.h"
#include "random_numbers.h"
#include "suite_main.h"
#include "wirespool/filter.h"

/*
 * DPDK's verifier would take hours or for ever over most of these, if it got them as they are:
 * what fails here fails by the time-out.
 */

enum { PACKETS = 3000, FRAME_MAX = 128, TEXT_MAX = 65536 };

#if defined(RTE_ARCH_X86_64) || defined(RTE_ARCH_ARM64)
static const char native[] = "jit";
#else
static const char native[] = "interpreter";
#endif

struct room {
	struct rte_mbuf mbuf;
	uint8_t data[RTE_PKTMBUF_HEADROOM + FRAME_MAX];
};

static struct made {
	uint32_t len;
	uint32_t tags;
	uint8_t data[FRAME_MAX];
} packets[PACKETS];

static void put(struct made *p, unsigned int bytes, uint64_t value)
{
	while (bytes-- > 0)
		p->data[p->len++] = (uint8_t)(bytes > 7 ? 0 : value >> (8 * bytes));
}

/* -- Lists: term i is of port i, of a host or a net with i in its address -- */

static uint32_t address_of(uint32_t i)
{
	return 0x0a000001 + (i << 8);
}

static int put_term(char *end, const char *kind, unsigned int i)
{
	uint32_t a = address_of(i), b = a >> 16 & 255, c = a >> 8 & 255;

	if (strcmp(kind, "host") == 0)
		return sprintf(end, "host 10.%u.%u.1", b, c);
	if (strcmp(kind, "net") == 0)
		return sprintf(end, "net 10.%u.%u.0/24", b, c);
	if (strcmp(kind, "host6") == 0)
		return sprintf(end, "host 2001:db8::%x", i + 1);
	if (strcmp(kind, "pair") == 0)
		return sprintf(end, "(host 10.%u.%u.1 and port %u)", b, c, i + 1);
	if (strcmp(kind, "portrange") == 0)
		return sprintf(end, "portrange %u-%u", 4 * i + 1, 4 * i + 2);
	return sprintf(end, "%s %u", kind, i + 1);
}

/* count terms, of the kinds by turns. */
static char *list_make(const char *const kinds[], unsigned int count)
{
	char *text = malloc(TEXT_MAX), *end = text;
	unsigned int kind = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (i > 0)
			end += sprintf(end, " or ");
		end += put_term(end, kinds[kind], i);
		ck_assert_int_lt(end - text, TEXT_MAX - 100);
		kind = kinds[kind + 1] == NULL ? 0 : kind + 1;
	}
	return text;
}

/* -- Packets: of such ports and addresses, or next to them -- */

static uint32_t random_index(void)
{
	static const uint32_t below[] = {4, 40, 300, 1000};

	return random_below(below[random_below(4)]);
}

static void put_ports(struct made *p)
{
	put(p, 2, random_index());
	put(p, 2, random_below(2) == 0 ? 40000 + random_below(20000) : random_index());
	put(p, 8, random_below(UINT32_MAX));
}

static void put_ipv4(struct made *p)
{
	static const uint8_t protocols[] = {6, 6, 17, 17, 132, 1};
	uint32_t words = random_below(4) == 0 ? 5 + random_below(3) : 5;
	uint32_t fragment = random_below(6) == 0 ? 0x2000 | random_below(16) : 0x4000;

	put(p, 2, 0x4000 | words << 8);
	put(p, 4, 60 << 16);
	put(p, 2, fragment);
	put(p, 2, 64 << 8 | protocols[random_below(sizeof(protocols))]);
	put(p, 2, 0);
	put(p, 4, address_of(random_index()) + random_below(2));
	put(p, 4, address_of(random_index()) + random_below(2));
	put(p, words * 4 - 20, 0);
	put_ports(p);
}

static void put_ipv6(struct made *p)
{
	static const uint8_t protocols[] = {6, 17, 132, 58, 44};

	put(p, 4, 0x60000000);
	put(p, 4, 20 << 16 | (uint32_t)protocols[random_below(sizeof(protocols))] << 8 | 64);
	for (int i = 0; i < 2; i++) {
		put(p, 8, 0x20010db800000000);
		put(p, 8, random_index());
	}
	put_ports(p);
}

static void packet_make(struct made *p)
{
	static const uint16_t types[] = {
		0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x8035, 0x88cc};
	uint16_t type = types[random_below(sizeof(types) / sizeof(types[0]))];

	*p = (struct made){.tags = random_below(4) == 0 ? 1 + random_below(2) : 0};
	put(p, 12, 0);
	for (uint32_t i = 0; i < p->tags; i++)
		put(p, 4, i + 1 < p->tags ? 0x88a80005 : 0x81000064);
	put(p, 2, type);
	if (type == 0x0800) {
		put_ipv4(p);
	} else if (type == 0x86dd) {
		put_ipv6(p);
	} else {
		put(p, 14, 0);
		put(p, 4, address_of(random_index()));
		put(p, 6, 0);
		put(p, 4, address_of(random_index()));
	}
	while (p->len < 60)
		put(p, 1, 0);
	if (random_below(6) == 0)
		p->len = random_below(p->len + 1);
}

static void packets_make(void)
{
	for (unsigned int i = 0; i < PACKETS; i++)
		packet_make(&packets[i]);
}

/* -- What is kept -- */

static bool reference_keeps(const struct bpf_program *program, const struct made *p)
{
	uint8_t plain[FRAME_MAX];
	uint32_t gone = 0, len = p->len;

	/* A tag that is cut short is none that could be left out whole. */
	memcpy(plain, p->data, sizeof(plain));
	while (gone < p->tags && len >= 14) {
		uint32_t behind = RTE_MIN(len, 16U);

		memmove(plain + 12, plain + behind, len - behind);
		len -= behind - 12;
		gone++;
	}
	return bpf_filter(program->bf_insns, plain, p->len, len) != 0;
}

/* At home or, where cut is not 0, in two pieces that no rx driver would have put there. */
static bool keeps(const struct expression *f, const struct made *p, uint32_t cut)
{
	static struct room rooms[2];
	struct rte_mbuf *m = &rooms[0].mbuf;

	for (unsigned int i = 0; i < 2; i++) {
		rooms[i].mbuf = (struct rte_mbuf){
			.buf_addr = rooms[i].data, .data_off = RTE_PKTMBUF_HEADROOM, .nb_segs = 1};
		rooms[i].mbuf.buf_len = sizeof(rooms[i].data);
	}
	m->pkt_len = p->len;
	m->data_len = (uint16_t)(cut == 0 ? p->len : cut);
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), p->data, m->data_len);
	if (cut != 0) {
		m->nb_segs = 2;
		m->next = &rooms[1].mbuf;
		m->next->data_len = (uint16_t)(p->len - cut);
		memcpy(rte_pktmbuf_mtod(m->next, uint8_t *), p->data + cut, p->len - cut);
	}
	return expression_match(f, &m, 1) == 1;
}

/* As expression_compile() does it: of a packet that is cut short the optimizer may see less or more. */
static void reference_compile(const char *text, struct bpf_program *ret)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN_MAX);

	ck_assert_int_eq(pcap_compile(pcap, ret, text, 0, PCAP_NETMASK_UNKNOWN), 0);
	if (ret->bf_len <= OPTIMIZED_MAX) {
		pcap_freecode(ret);
		ck_assert_int_eq(pcap_compile(pcap, ret, text, 1, PCAP_NETMASK_UNKNOWN), 0);
	}
	pcap_close(pcap);
}

/* Returns how many were kept. */
static unsigned int assert_same(const char *text, const char *engine)
{
	struct bpf_program program;
	struct expression *f = NULL;
	struct errbuf err = {""};
	unsigned int kept = 0;

	ck_assert_msg(expression_compile(text, DLT_EN10MB, 0, &f, &err) == 0, "%s", err.text);
	ck_assert_msg(strcmp(expression_engine(f), engine) == 0, "%.60s...: %s", text,
		expression_engine(f));
	reference_compile(text, &program);
	for (unsigned int i = 0; i < PACKETS; i++) {
		const struct made *p = &packets[i];
		bool expected = reference_keeps(&program, p);

		kept += expected;
		ck_assert_msg(keeps(f, p, 0) == expected, "%.60s...: packet %u, libpcap says %d",
			text, i, expected);
		ck_assert_msg(p->len < 2 || keeps(f, p, 1 + random_below(p->len - 1)) == expected,
			"%.60s...: packet %u in pieces, libpcap says %d", text, i, expected);
	}
	pcap_freecode(&program);
	expression_free(f);
	return kept;
}

struct list {
	const char *kinds[4];
	unsigned int count;
};

/* On both sides of what libpcap's optimizer is asked to work on. */
static const struct list lists[] = {
	{{"port"}, 2},
	{{"port"}, 40},
	{{"port"}, 95},
	{{"port"}, 120},
	{{"port"}, 200},
	{{"tcp port"}, 300},
	{{"udp dst port"}, 600},
	{{"portrange"}, 120},
	{{"host"}, 100},
	{{"host"}, 400},
	{{"net"}, 300},
	{{"host6"}, 100},
	{{"pair"}, 3},
	{{"pair"}, 10},
	{{"pair"}, 20},
	{{"pair"}, 60},
	{{"pair"}, 120},
	{{"net", "port"}, 200},
	{{"host", "port", "net"}, 200},
	{{"host6", "pair", "portrange"}, 100},
};

START_TEST(long_list_is_native_code_and_keeps_what_libpcap_keeps)
{
	const struct list *l = &lists[_i];
	char *text = list_make(l->kinds, l->count);

	ck_assert_uint_gt(assert_same(text, native), 0);
	free(text);
}
END_TEST

START_TEST(all_but_a_long_list_is_kept_too)
{
	const char *const kinds[] = {"port", "host", NULL};
	char *list = list_make(kinds, 150), *text = malloc(TEXT_MAX);

	(void)sprintf(text, "ip and not (%s)", list);
	ck_assert_uint_gt(assert_same(text, native), 0);
	free(text);
	free(list);
}
END_TEST

/*
 * A load at an offset from the packet is, behind a tag, done byte by byte, each before the tag or behind
 * it: 16 ways a term, and no place to split.
 */
START_TEST(program_of_too_many_ways_is_interpreted)
{
	char *text = malloc(TEXT_MAX), *end = text;

	for (unsigned int i = 0; i < 500; i++)
		end += sprintf(end, "%sether[ether[11]:4] = %u", i == 0 ? "" : " or ", i);
	(void)assert_same(text, "interpreter");
	free(text);
}
END_TEST

/* count times: either skip one instruction or not. Each way is steps of its own behind it. */
static uint32_t steps_of_forks(uint32_t count)
{
	struct ebpf_insn *insns = calloc((size_t)count * 2 + 1, sizeof(*insns));
	uint32_t steps;

	for (uint32_t i = 0; i < count; i++) {
		insns[2 * i] = (struct ebpf_insn){.code = BPF_JMP | BPF_JEQ | BPF_K, .off = 1};
		insns[2 * i + 1] = (struct ebpf_insn){.code = BPF_ALU | EBPF_MOV | BPF_K};
	}
	insns[2 * (size_t)count].code = BPF_JMP | EBPF_EXIT;
	steps = program_steps(insns, 2 * count + 1);
	free(insns);
	return steps;
}

START_TEST(steps_are_those_of_each_way_and_end_at_a_limit)
{
	ck_assert_uint_eq(steps_of_forks(0), 1);
	ck_assert_uint_eq(steps_of_forks(1), 4);
	ck_assert_uint_eq(steps_of_forks(2), 10);
	ck_assert_uint_eq(steps_of_forks(10), 3 * 1024 - 2);
	ck_assert_uint_eq(steps_of_forks(40), INT32_MAX);
	ck_assert_uint_eq(steps_of_forks(5000), INT32_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filter_long");
	TCase *tc = tcase_create("filter_long");

	packets_make();
	tcase_set_timeout(tc, 200);
	tcase_add_loop_test(tc, long_list_is_native_code_and_keeps_what_libpcap_keeps, 0,
		(int)(sizeof(lists) / sizeof(lists[0])));
	tcase_add_test(tc, all_but_a_long_list_is_kept_too);
	tcase_add_test(tc, program_of_too_many_ways_is_interpreted);
	tcase_add_test(tc, steps_are_those_of_each_way_and_end_at_a_limit);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
