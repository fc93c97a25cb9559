/* Later fragments and extension headers: what could match is kept, and no more than that. */
/* rooms: filter common dpdk PkgConfig::libpcap */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "filter/expression.h"
#include "filter/filter_program.h"
#include "filter/program_maybe.h"
#include "filter_check.h"
#include "suite_main.h"

enum { PACKETS = 600, ETHERNET = 14 };

/* -- Packets: random, but of a structure that filters ask for -- */

static void put_ipv6_address(struct made *p, uint64_t host)
{
	put(p, 8, 0x20010db800000000);
	put(p, 8, host);
}

/* Ports, and what looks like TCP or ICMP behind them. */
static void put_payload(struct made *p)
{
	static const uint16_t ports[] = {22, 53, 53, 80, 80, 123, 443, 1024, 4789, 6081, 0x0800};

	put(p, 2, PICK(ports));
	put(p, 2, PICK(ports));
	put_random(p, 8);
	put(p, 1, 0x50);
	put(p, 1, random_below(2) == 0 ? 0x02 : random_below(256));
	put_random(p, 6 + random_below(60));
}

static const uint8_t protocols[] = {6, 6, 17, 17, 1, 58, 4, 41, 47, 50, 51, 132};

static void put_ipv4(struct made *p)
{
	static const uint32_t addresses[] = {0x0a000001, 0x0a000002, 0x0a010003, 0xc0a80101};
	uint32_t words = random_below(4) == 0 ? 5 + random_below(11) : 5;

	put(p, 1, 0x40 | words);
	put(p, 1, 0);
	put(p, 2, 60 + random_below(100));
	put_random(p, 2);
	put(p, 2, random_below(2) == 0 ? random_below(65536) : 0x4000);
	put(p, 1, 64);
	put(p, 1, PICK(protocols));
	put_random(p, 2);
	put(p, 4, PICK(addresses));
	put(p, 4, PICK(addresses));
	put_random(p, (words - 5) * 4);
	put_payload(p);
}

static void put_ipv6(struct made *p)
{
	static const uint8_t extensions[] = {0, 43, 44, 60, 51};
	bool extended = random_below(2) == 0;

	put(p, 4, 0x60000000);
	put(p, 2, 100);
	put(p, 1, extended ? PICK(extensions) : PICK(protocols));
	put(p, 1, 64);
	put_ipv6_address(p, 1 + random_below(3));
	put_ipv6_address(p, 1 + random_below(3));
	if (extended) {
		put(p, 2, (uint64_t)PICK(protocols) << 8);
		put_random(p, 6);
	}
	put_payload(p);
}

static void put_ethernet(struct made *p)
{
	static const uint64_t macs[] = {0x020000000001, 0x020000000002, 0xffffffffffff};
	static const uint16_t types[] = {0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x8847};
	static const uint16_t tags[] = {0x8100, 0x88a8};
	uint32_t type = random_below(10) == 0 ? random_below(65536) : PICK(types);

	p->len = 0;
	put(p, 6, PICK(macs));
	put(p, 6, PICK(macs));
	for (uint32_t count = random_below(8); count >= 6; count--) {
		put(p, 2, PICK(tags));
		put(p, 2, random_below(2) == 0 ? 100 : 200);
	}
	put(p, 2, type);
	if (type == 0x8847)
		put(p, 4, 1024 << 12 | 0x100 | 64);
	if (type == 0x0800 || type == 0x8847)
		put_ipv4(p);
	else if (type == 0x86dd)
		put_ipv6(p);
	else
		put_random(p, random_below(100));
}

static void packets_generate(void)
{
	packets = calloc(PACKETS, sizeof(*packets));
	ck_assert_ptr_nonnull(packets);
	for (unsigned int i = 0; i < PACKETS; i++) {
		put_ethernet(&packets[i]);
		if (random_below(5) == 0)
			packets[i].len = random_below(packets[i].len);
	}
}

static void set_up(void)
{
	packets_generate();
	expressions_read();
}

static void tear_down(void)
{
	expressions_free();
	free(packets);
}

static struct bpf_program compile(const char *expression, int linktype, bool optimize)
{
	pcap_t *pcap = pcap_open_dead(linktype, 262144);
	struct bpf_program program;

	ck_assert_msg(pcap_compile(pcap, &program, expression, optimize, PCAP_NETMASK_UNKNOWN) == 0,
		"%s: %s", expression, pcap_geterr(pcap));
	pcap_close(pcap);
	ck_assert_int_ge(program_unroll(&program), 0);
	return program;
}

static bool reference(const struct bpf_program *program, const struct made *p)
{
	return bpf_filter(program->bf_insns, p->data, p->len, p->len) != 0;
}

/* -- The exploration -- */

/* All of p is known; where front ends and rest begins makes no difference. */
static bool known_matches(const struct bpf_program *program, const struct made *p, uint32_t split)
{
	struct sight sight = {.front = p->data,
		.front_len = split,
		.rest = p->data + split,
		.rest_len = p->len - split,
		.wire_len = p->len};

	return program_could_match(program, &sight);
}

START_TEST(packet_all_known_matches_as_libpcap_says)
{
	for (unsigned int i = 0; i < 2 * expression_count; i++) {
		const char *text = expressions[i / 2];
		struct bpf_program program = compile(text, DLT_EN10MB, i % 2 == 0);

		for (unsigned int j = 0; j < PACKETS; j++) {
			const struct made *p = &packets[j];
			uint32_t split = j % 2 == 0 ? p->len : random_below(p->len + 1);

			ck_assert_msg(known_matches(&program, p, split) == reference(&program, p),
				"'%s': packet %u of %u bytes, in two at %u: libpcap says %d", text,
				j, p->len, split, reference(&program, p));
		}
		pcap_freecode(&program);
	}
}
END_TEST

/* What sight leaves open becomes something else: of another packet, random, all the same. */
static void fill(const struct sight *sight, struct made *p)
{
	const struct made *other = &packets[random_below(PACKETS)];
	uint32_t kind = random_below(4), same = random_below(256);

	p->len = random_below(3) == 0 ? PACKET_MAX : p->len;
	for (uint32_t i = 0; i < p->len; i++) {
		bool known = i < sight->front_len &&
			     (i < sight->hole_at || i - sight->hole_at >= sight->hole_size);

		if (!known && kind < 3)
			p->data[i] = (uint8_t)(kind == 0   ? other->data[i]
					       : kind == 1 ? random_below(256)
							   : same);
	}
}

START_TEST(packet_that_matches_with_some_filling_is_never_excluded)
{
	unsigned int matches = 0, excluded = 0;

	for (unsigned int i = 0; i < 2 * expression_count; i++) {
		const char *text = expressions[i / 2];
		struct bpf_program program = compile(text, DLT_EN10MB, i % 2 == 0);

		for (unsigned int j = 0; j < PACKETS; j++) {
			struct made p = packets[j];
			struct sight sight = {.front = packets[j].data,
				.front_len = random_below(RTE_MIN(p.len, 60U) + 1),
				.hole_at = random_below(60),
				.hole_size = random_below(3) == 0 ? random_below(8) : 0};

			fill(&sight, &p);
			sight.wire_len = random_below(2) == 0 ? p.len : UINT32_MAX;
			if (!reference(&program, &p)) {
				excluded += !program_could_match(&program, &sight);
				continue;
			}
			matches++;
			ck_assert_msg(program_could_match(&program, &sight),
				"'%s': packet %u of %u bytes, %u of them known, hole of %u at %u",
				text, j, p.len, sight.front_len, sight.hole_size, sight.hole_at);
		}
		pcap_freecode(&program);
	}
	/* Neither is for want of anything to find. */
	ck_assert_uint_gt(matches, 20000);
	ck_assert_uint_gt(excluded, 20000);
}
END_TEST

static bool could_match(struct bpf_insn *insns, unsigned int count)
{
	struct bpf_program program = {.bf_len = count, .bf_insns = insns};
	struct sight sight = {.wire_len = UINT32_MAX};

	return program_could_match(&program, &sight);
}

START_TEST(unknown_bytes_leave_known_what_does_not_depend_on_them)
{
	struct bpf_insn same[] = {/* 7 either way: does not match where it has to be 8 */
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 2),
		BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 7), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LDX | BPF_MEM, 3),
		BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 8, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 0)};

	ck_assert(!could_match(same, RTE_DIM(same)));
	same[4].k = 8;
	ck_assert(could_match(same, RTE_DIM(same)));
}
END_TEST

/* One way A, X and a word of memory are 7, on the other 8; load is asked whether it is value. */
static bool either_way_is(struct bpf_insn load, uint32_t value)
{
	struct bpf_insn insns[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 4), BPF_STMT(BPF_LD | BPF_IMM, 7),
		BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_JMP | BPF_JA, 3),
		BPF_STMT(BPF_LD | BPF_IMM, 8), BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_ST, 3),
		load, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 0)};

	return could_match(insns, RTE_DIM(insns));
}

START_TEST(what_differs_where_ways_meet_may_be_either)
{
	static const struct bpf_insn loads[] = {BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 0),
		BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_STMT(BPF_LD | BPF_MEM, 3)};

	for (size_t i = 0; i < RTE_DIM(loads); i++) {
		ck_assert(either_way_is(loads[i], 7));
		ck_assert(either_way_is(loads[i], 8));
	}
	ck_assert(!either_way_is((struct bpf_insn)BPF_STMT(BPF_LD | BPF_IMM, 9), 7));
}
END_TEST

START_TEST(result_that_is_not_known_may_be_a_match)
{
	struct bpf_insn insns[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), BPF_STMT(BPF_RET | BPF_A, 0)};

	ck_assert(could_match(insns, RTE_DIM(insns)));
	insns[0] = (struct bpf_insn)BPF_STMT(BPF_LD | BPF_IMM, 0);
	ck_assert(!could_match(insns, RTE_DIM(insns)));
}
END_TEST

START_TEST(division_by_what_may_be_zero_goes_on_and_by_zero_ends)
{
	struct bpf_insn divide[] = {BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 9), BPF_STMT(BPF_ALU | BPF_DIV | BPF_X, 0),
		BPF_STMT(BPF_RET | BPF_K, 1)};

	ck_assert(could_match(divide, RTE_DIM(divide)));
	divide[0] = (struct bpf_insn)BPF_STMT(BPF_LDX | BPF_IMM, 0);
	ck_assert(!could_match(divide, RTE_DIM(divide)));
}
END_TEST

/* Each of count jumps leads to a place of its own, and all of them to the end, which rejects. */
static bool many_ways_match(unsigned int count)
{
	struct bpf_insn insns[256];
	unsigned int n = 0;

	insns[n++] = (struct bpf_insn)BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0);
	for (unsigned int i = 0; i < count; i++)
		insns[n++] = (struct bpf_insn)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, i, (uint8_t)(count - 1), 0);
	for (unsigned int i = 0; i < count; i++)
		insns[n++] = (struct bpf_insn)BPF_STMT(BPF_LD | BPF_IMM, i);
	insns[n++] = (struct bpf_insn)BPF_STMT(BPF_RET | BPF_K, 0);
	return could_match(insns, n);
}

START_TEST(more_ways_at_once_than_there_is_room_for_may_match)
{
	ck_assert(!many_ways_match(64));
	ck_assert(many_ways_match(66));
}
END_TEST

START_TEST(program_that_leads_nowhere_ends_and_may_match)
{
	struct bpf_insn back[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_STMT(BPF_JMP | BPF_JA, 0xfffffffe), BPF_STMT(BPF_RET | BPF_K, 0)};
	struct bpf_insn out[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 9, 0), BPF_STMT(BPF_RET | BPF_K, 0)};

	ck_assert(could_match(back, RTE_DIM(back)));
	ck_assert(could_match(out, RTE_DIM(out)));
	out[1] = (struct bpf_insn)BPF_STMT(BPF_RET | BPF_K, 0);
	ck_assert(!could_match(out, 2));
	ck_assert(could_match(out, 1)); /* its end is missing */
}
END_TEST

/* -- Later fragments -- */

/* What a user has: literally, or in the view. Each in a block of its own, for ASan. */
static bool literal(const struct bpf_program *program, const struct made *p)
{
	uint8_t *data = malloc(p->len);
	bool kept;

	memcpy(data, p->data, p->len);
	kept = bpf_filter(program->bf_insns, data, p->len, p->len) != 0;
	free(data);
	return kept;
}

static bool maybe(
	const struct bpf_program *program, const struct made *p, const struct ip_place *ip)
{
	uint8_t *data = malloc(p->len);
	bool kept;

	memcpy(data, p->data, p->len);
	kept = maybe_matches(program, data, p->len, p->len, ip);
	free(data);
	return kept;
}

static void put_link(struct made *p, int linktype, unsigned int version)
{
	uint16_t type = version == 4 ? 0x0800 : 0x86dd;
	uint32_t family = version == 4 ? 2 : 10; /* in the host's order: libpcap compiles it so */

	p->len = 0;
	switch (linktype) {
	case DLT_EN10MB:
		put(p, 6, 0x020000000002);
		put(p, 6, 0x020000000001);
		put(p, 2, type);
		break;
	case DLT_LINUX_SLL:
		put(p, 8, 0x0000000100060200);
		put(p, 8, 0x0000000100000000 | type);
		break;
	case DLT_LINUX_SLL2:
		put(p, 8, (uint64_t)type << 48);
		put(p, 8, 0x0001000006020000);
		put(p, 4, 0x00010000);
		break;
	case DLT_NULL:
		memcpy(p->data, &family, sizeof(family));
		p->len = sizeof(family);
		break;
	default: /* DLT_RAW */
		break;
	}
}

/*
 * From 10.0.0.1 to 10.0.0.2 with 16 bytes that are not what they look like: ports 1 and 1. From
 * byte 3528 of the datagram on, or at its start.
 */
static struct ip_place make_ipv4(
	struct made *p, int linktype, uint32_t protocol, uint32_t words, bool later)
{
	struct ip_place ip = {.version = 4, .protocol = (uint8_t)protocol, .later_fragment = later};

	put_link(p, linktype, 4);
	ip.ip_off = p->len;
	put(p, 4, 0x40000024 | words << 24);
	put(p, 4, later ? 0x000121b9 : 0x00014000);
	put(p, 4, 0x40000000 | protocol << 16);
	put(p, 8, 0x0a0000010a000002);
	for (uint32_t i = 5; i < words; i++)
		put(p, 4, 0x01010101);
	ip.payload_off = p->len;
	put(p, 8, 0x0001000100010001);
	put(p, 8, 0x0001000100010001);
	return ip;
}

/* From 2001:db8::1 to 2001:db8::2, with headers of these numbers in front of the last of them. */
static struct ip_place make_ipv6(
	struct made *p, int linktype, const uint8_t *numbers, unsigned int count, bool later)
{
	struct ip_place ip = {.version = 6, .later_fragment = later};

	put_link(p, linktype, 6);
	ip.ip_off = p->len;
	put(p, 8, 0x6000000000180040 | (uint64_t)numbers[0] << 8);
	put_ipv6_address(p, 1);
	put_ipv6_address(p, 2);
	for (unsigned int i = 0; i + 1 < count; i++) {
		put(p, 1, numbers[i + 1]);
		switch (numbers[i]) {
		case 44: /* later: bytes from 1480 on, and more of them */
			put(p, 7, later ? 0x0005c900000001 : 0x00000100000001);
			break;
		case 51: /* its length in words of 4 bytes, less 2 */
			put(p, 1, 4);
			put_random(p, 22);
			break;
		case 60: /* 16 bytes */
			put(p, 1, 1);
			put_random(p, 14);
			break;
		default:
			put(p, 1, 0);
			put_random(p, 6);
		}
	}
	ip.protocol = numbers[count - 1];
	ip.payload_off = p->len;
	put(p, 8, 0x0001000100010001);
	put(p, 8, 0x0001000100010001);
	return ip;
}

static struct ip_place make_ipv6_fragment(struct made *p, int linktype, uint8_t protocol)
{
	const uint8_t numbers[] = {44, protocol};

	return make_ipv6(p, linktype, numbers, 2, true);
}

/* Later fragments, by letter: IPv4 of UDP, TCP, ICMP; IPv6 of UDP, TCP, and of what is not seen. */
static struct ip_place make_by_letter(struct made *p, int linktype, char letter)
{
	switch (letter) {
	case 'U':
		return make_ipv4(p, linktype, 17, 5, true);
	case 'T':
		return make_ipv4(p, linktype, 6, 15, true);
	case 'I':
		return make_ipv4(p, linktype, 1, 5, true);
	case 'u':
		return make_ipv6_fragment(p, linktype, 17);
	case 't':
		return make_ipv6_fragment(p, linktype, 6);
	default: /* 'o': destination options, and behind them anything */
		return make_ipv6_fragment(p, linktype, 60);
	}
}

static bool kept(const char *expression, int linktype, char letter, bool optimize)
{
	struct bpf_program program = compile(expression, linktype, optimize);
	struct made p;
	struct ip_place ip = make_by_letter(&p, linktype, letter);
	bool result = literal(&program, &p) || maybe(&program, &p, &ip);

	pcap_freecode(&program);
	return result;
}

static const struct {
	const char *expression;
	const char *kept; /* the letters of make_by_letter() */
} fragments[] = {
	/* protocols and ports */
	{"port 53", "UTuto"},
	{"udp port 53", "Uuo"},
	{"tcp port 80", "Tto"},
	{"tcp dst port 80", "Tto"},
	{"sctp port 80", "o"},
	{"portrange 1000-2000", "UTuto"},
	{"tcp portrange 80-443", "Tto"},
	{"ip and port 53", "UT"},
	{"ip6 and tcp port 80", "to"},
	{"udp", "Uuo"},
	{"tcp", "Tto"},
	{"icmp", "I"},
	{"icmp6", "o"},
	{"ip", "UTI"},
	{"ip6", "uto"},
	{"sctp", "o"},
	{"ip proto 17", "U"},
	{"ip6 proto 6", "to"},
	{"ip proto 47", ""},
	{"icmp[icmptype] = icmp-echo", "I"},
	{"icmp6[0] = 135", "o"},
	{"tcp[tcpflags] & tcp-syn != 0", "T"},
	{"tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0x47455420", "T"},
	{"udp[8:2] = 7", "U"},

	/* what is not wanted */
	{"not port 22", "UTIuto"},
	{"not tcp port 22", "UTIuto"},
	{"not udp", "TIto"},
	{"not tcp and not port 53", "UIuo"},
	{"tcp and not port 80", "Tto"},
	{"not (udp port 53 or host 10.0.0.1)", "uto"},
	{"not (tcp or port 53)", "UIuo"},

	/* addresses */
	{"host 10.0.0.1", "UTI"},
	{"host 10.0.0.3", ""},
	{"host 10.0.0.1 and udp port 53", "U"},
	{"host 10.0.0.3 and udp port 53", ""},
	{"src host 10.0.0.2 and port 53", ""},
	{"dst host 10.0.0.2 and port 53", "UT"},
	{"not host 10.0.0.1 and port 53", "uto"},
	{"net 10.0.0.0/24 and tcp port 80", "T"},
	{"net 10.1.0.0/16 and port 80", ""},
	{"udp port 53 or net 10.1.0.0/16", "Uuo"},
	{"udp port 53 or net 10.0.0.0/16", "UTIuo"},
	{"host 2001:db8::1", "uto"},
	{"host 2001:db8::3", ""},
	{"host 2001:db8::1 and tcp port 80", "to"},
	{"host 2001:db8::3 and port 80", ""},
	{"dst host 2001:db8::1 and port 80", ""},
	{"net 2001:db8::/32 and udp", "uo"},
	{"net 2001:db9::/32 and udp", ""},
	{"not net 2001:db8::/32 and port 53", "UT"},
	{"(host 10.0.0.1 or host 10.0.0.9) and (port 80 or port 443)", "UT"},
	{"(host 10.0.0.8 or host 10.0.0.9) and (port 80 or port 443)", ""},
	{"(tcp port 80 and host 10.0.0.9) or (udp port 53 and host 10.0.0.2)", "U"},

	/* lengths, and the bytes that are there */
	{"greater 1000 and port 53", ""},
	{"less 1000 and udp port 53", "Uuo"},
	{"ip[8] = 64 and udp port 53", "U"},
	{"ip[8] = 65 and udp port 53", ""},
	{"ip[12:4] = 0x0a000001 and tcp port 80", "T"},
	{"ip[20] = 1 and tcp port 80", "T"}, /* an option */
	{"ip[20] = 2 and tcp port 80", ""},
	{"ip6[7] = 64 and udp port 53", "uo"},
};

static void assert_fragments(int linktype, const char *expression, const char *letters)
{
	for (const char *all = "UTIuto"; *all != '\0'; all++)
		for (int optimize = 0; optimize < 2; optimize++)
			ck_assert_msg(kept(expression, linktype, *all, optimize != 0) ==
					      (strchr(letters, *all) != NULL),
				"'%s': fragment %c, link type %d, optimized %d", expression, *all,
				linktype, optimize);
}

START_TEST(fragment_is_kept_where_addresses_and_protocol_allow_it)
{
	for (size_t i = 0; i < RTE_DIM(fragments); i++)
		assert_fragments(DLT_EN10MB, fragments[i].expression, fragments[i].kept);
	assert_fragments(DLT_EN10MB, "ether host 02:00:00:00:00:01 and port 53", "UTuto");
	assert_fragments(DLT_EN10MB, "ether host 02:00:00:00:00:03 and port 53", "");
	assert_fragments(DLT_EN10MB, "ether multicast and port 53", "");
	assert_fragments(DLT_EN10MB, "arp", "");
}
END_TEST

START_TEST(fragment_is_kept_so_on_each_link_type)
{
	static const int linktypes[] = {DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL};

	for (size_t l = 0; l < RTE_DIM(linktypes); l++)
		for (size_t i = 0; i < RTE_DIM(fragments); i++)
			assert_fragments(linktypes[l], fragments[i].expression, fragments[i].kept);
}
END_TEST

START_TEST(fragment_behind_a_tag_is_found_where_the_expression_names_it)
{
	struct made p, tagged;
	struct ip_place ip = make_ipv4(&p, DLT_EN10MB, 17, 5, true);
	struct bpf_program port = compile("vlan 100 and udp port 53", DLT_EN10MB, true);
	struct bpf_program other = compile("vlan 101 and udp port 53", DLT_EN10MB, true);

	tagged.len = 12;
	memcpy(tagged.data, p.data, 12);
	put(&tagged, 4, 0x81000064);
	memcpy(tagged.data + tagged.len, p.data + 12, p.len - 12);
	tagged.len = p.len + 4;
	ip.ip_off += 4;
	ip.payload_off += 4;
	ck_assert(!literal(&port, &tagged));
	ck_assert(maybe(&port, &tagged, &ip));
	ck_assert(!maybe(&other, &tagged, &ip));
	pcap_freecode(&port);
	pcap_freecode(&other);
}
END_TEST

START_TEST(fragment_too_far_behind_is_left_to_the_program)
{
	struct bpf_program program = compile("udp port 53", DLT_EN10MB, true);
	struct made p;
	struct ip_place ip = make_ipv4(&p, DLT_EN10MB, 17, 5, true);

	ck_assert(maybe(&program, &p, &ip));
	memmove(p.data + 493, p.data + ip.ip_off, p.len - ip.ip_off);
	p.len += 493 - ip.ip_off;
	ip.payload_off += 493 - ip.ip_off;
	ip.ip_off = 493;
	ck_assert(!maybe(&program, &p, &ip));
	pcap_freecode(&program);
}
END_TEST

START_TEST(ipv4_that_is_no_later_fragment_is_left_to_the_program)
{
	struct bpf_program program = compile("ip", DLT_EN10MB, true);
	struct made p;
	struct ip_place ip = make_ipv4(&p, DLT_EN10MB, 17, 5, false);

	ck_assert(!maybe(&program, &p, &ip));
	ip = make_ipv4(&p, DLT_EN10MB, 17, 15, true);
	ck_assert(maybe(&program, &p, &ip));
	pcap_freecode(&program);
}
END_TEST

/* -- IPv6's extension headers -- */

static bool extended_matches(
	const char *expression, const struct made *p, const struct ip_place *ip)
{
	struct bpf_program program = compile(expression, DLT_EN10MB, true);
	bool matches = maybe(&program, p, ip);

	pcap_freecode(&program);
	return matches;
}

static void assert_found_behind(const uint8_t *numbers, unsigned int count)
{
	struct made p;
	struct ip_place ip = make_ipv6(&p, DLT_EN10MB, numbers, count, false);

	p.data[ip.payload_off + 1] = 53;
	ck_assert(extended_matches("udp port 53", &p, &ip));
	ck_assert(extended_matches("udp src port 53 and dst port 1", &p, &ip));
	ck_assert(extended_matches("ip6 and udp and host 2001:db8::1", &p, &ip));
	ck_assert(!extended_matches("udp dst port 53", &p, &ip));
	ck_assert(!extended_matches("tcp port 53", &p, &ip));
	ck_assert(!extended_matches("not port 53", &p, &ip));
	ck_assert(!extended_matches("udp port 53 and host 2001:db8::3", &p, &ip));
	ck_assert(extended_matches("less 200 and udp", &p, &ip));
}

START_TEST(transport_header_is_found_behind_extension_headers)
{
	static const uint8_t extensions[] = {0, 43, 44, 51, 60, 135, 139, 140};

	for (size_t i = 0; i < RTE_DIM(extensions); i++) {
		assert_found_behind((const uint8_t[]){extensions[i], 17}, 2);
		for (size_t j = 0; j < RTE_DIM(extensions); j++)
			assert_found_behind((const uint8_t[]){extensions[i], extensions[j], 17}, 3);
	}
	assert_found_behind((const uint8_t[]){0, 60, 43, 44, 51, 60, 17}, 7);
}
END_TEST

/* Byte for byte, whatever its length: the packet as if it had been sent without them. */
START_TEST(packet_behind_extension_headers_matches_as_it_would_without_them)
{
	static const uint8_t numbers[] = {0, 60, 17};

	for (unsigned int i = 0; i < expression_count; i++) {
		struct bpf_program program = compile(expressions[i], DLT_EN10MB, true);
		struct made p, plain;
		struct ip_place ip = make_ipv6(&p, DLT_EN10MB, numbers, 3, false);
		uint32_t gone = ip.payload_off - ETHERNET - 40, whole = p.len;

		for (p.len = ip.payload_off; p.len <= whole; p.len++) {
			plain = p;
			plain.data[ETHERNET + 6] = 17;
			memmove(plain.data + ETHERNET + 40, p.data + ip.payload_off,
				p.len - ip.payload_off);
			ck_assert_msg(maybe(&program, &p, &ip) ==
					      (bpf_filter(program.bf_insns, plain.data, p.len,
						       p.len - gone) != 0),
				"'%s': %u bytes", expressions[i], p.len);
		}
		pcap_freecode(&program);
	}
}
END_TEST

/* The header walk stops there, and says so by the protocol: an extension header's. */
START_TEST(extension_headers_cut_short_or_too_many_are_left_to_the_program)
{
	static const uint8_t endless[] = {0, 60, 44, 0, 0};
	struct made p;
	struct ip_place ip = make_ipv6(&p, DLT_EN10MB, endless, 5, false);

	ck_assert(!extended_matches("udp port 53", &p, &ip));
	ck_assert(!extended_matches("not udp port 53", &p, &ip));
	p.len = ip.payload_off;
	ck_assert(!extended_matches("udp port 53", &p, &ip));
	ip.payload_off = ip.ip_off + 40;
	p.len = ip.payload_off;
	ck_assert(!extended_matches("udp port 53", &p, &ip));
	/* Of a later fragment it does: the others may go on with UDP. */
	ip.later_fragment = true;
	ck_assert(extended_matches("udp port 53", &p, &ip));
	ck_assert(!extended_matches("udp port 53 and host 2001:db8::3", &p, &ip));
}
END_TEST

START_TEST(later_fragment_is_found_behind_extension_headers)
{
	static const uint8_t udp[] = {0, 43, 60, 44, 17};
	struct made p;
	struct ip_place ip = make_ipv6(&p, DLT_EN10MB, udp, 5, true);

	ck_assert(extended_matches("udp port 53", &p, &ip));
	ck_assert(extended_matches("not udp port 53", &p, &ip));
	ck_assert(!extended_matches("tcp port 53", &p, &ip));
	ck_assert(!extended_matches("udp port 53 and host 2001:db8::3", &p, &ip));
}
END_TEST

/* -- Expressions that speak of fragments -- */

static void assert_names(int linktype, const char *expression, bool ipv4, bool ipv6)
{
	struct bpf_program program = compile(expression, linktype, false);

	ck_assert_msg(program_names_fragments(&program, linktype, 4) == ipv4,
		"'%s', link type %d, IPv4", expression, linktype);
	ck_assert_msg(program_names_fragments(&program, linktype, 6) == ipv6,
		"'%s', link type %d, IPv6", expression, linktype);
	pcap_freecode(&program);
}

START_TEST(expression_that_speaks_of_fragments_is_seen)
{
	static const struct {
		const char *expression;
		bool ipv4, ipv6;
	} naming[] = {
		{"ip[6:2] & 0x1fff = 0", true, false},
		{"ip[6:2] & 0x3fff != 0", true, false},
		{"ip[6] & 0x20 != 0", true, false},
		{"ip[7] = 0", true, false},
		{"ip[4:4] & 0x1fff = 0", true, false},
		{"ip[5:2] & 0x3f = 0", true, false},
		{"port 53 and ip[6:2] & 0x1fff = 0", true, false},
		{"port 53 or (udp and ip[6:2] & 0x1fff != 0)", true, false},
		{"len > 100 and host 10.0.0.1 and ip[6:2] & 0x1fff = 0", true, false},
		{"ip[0] & 0xf > 5 and ip[6:2] & 0x1fff = 0", true, false},
		{"ip[12 / 2:2] & 0x1fff = 0", true, false},
		{"ip and ether[20:2] & 0x1fff != 0", true, false},
		/* The type behind tags is not looked at: both, then. */
		{"vlan and ip[6:2] & 0x1fff = 0", true, true},
		{"vlan and vlan and ip[6:2] & 0x1fff = 0", true, true},
		{"mpls and ip[6:2] & 0x1fff = 0", true, true},
		{"pppoes and ip[6:2] & 0x1fff = 0", true, true},
		{"ether[20:2] & 0x1fff != 0", true, true},
		{"ether[18:4] & 0x1fff != 0", true, true},
		{"ip6[6] = 44", false, true},
		{"ip6[4:4] & 0xff00 = 0x2c00", false, true},
		{"vlan and ip6[6] = 44", true, true},
		{"ip6 proto 44", false, true},
		{"not ip6 proto 44", false, true},
		{"ip6 proto 44 and ip6[42:2] & 0xfff8 = 0", false, true},
		{"ip6 proto 0", false, true},
		{"ip6 proto 43 or udp", false, true},
		{"ip6 proto 60", false, true},
		{"vlan and ip6 proto 44", false, true},
		{"ah", false, true},
		{"proto 44", false, true},
		{"ip6 protochain 17", false, true},
		{"ip6 protochain 44", false, true},
	};

	for (size_t i = 0; i < RTE_DIM(naming); i++)
		assert_names(DLT_EN10MB, naming[i].expression, naming[i].ipv4, naming[i].ipv6);
	for (size_t i = 0; i < RTE_DIM(naming); i++) {
		if (strstr(naming[i].expression, "ether[") != NULL ||
			strstr(naming[i].expression, "mpls") != NULL ||
			strstr(naming[i].expression, "pppoes") != NULL ||
			strstr(naming[i].expression, "vlan") != NULL)
			continue;
		assert_names(DLT_LINUX_SLL, naming[i].expression, naming[i].ipv4, naming[i].ipv6);
		assert_names(DLT_LINUX_SLL2, naming[i].expression, naming[i].ipv4, naming[i].ipv6);
	}
}
END_TEST

/* "(" first number second number ")", 250 times, with other numbers. */
static char *many_terms(const char *first, const char *second)
{
	char *text = malloc(250 * 64), *end = text;

	for (unsigned int i = 0; i < 250; i++)
		end += sprintf(end, "%s(%s%u%s%u)", i == 0 ? "" : " or ", first, i, second, i + 1);
	return text;
}

START_TEST(expression_that_does_not_is_not)
{
	static const char *const plain[] = {"ip[8] < 5", "ip[4:2] = 7", "ip[2:2] > 576",
		"ip6[7] = 255", "ip6[40] = 58", "ip6[4:2] > 20", "icmp6[6:2] = 0", "tcp[6:2] = 0",
		"udp[6:2] & 0x1fff = 0", "icmp[6:2] = 1", "tcp[((tcp[12:1] & 0xf0) >> 2):4] = 0",
		"vlan and udp port 53", "vlan and vlan and tcp port 80", "mpls and udp port 53",
		"pppoes and ip6 and udp port 53", "geneve and port 53", "ip proto 44",
		"ip proto 51", "ip protochain 6", "ip6 proto 17", "esp", "ether[12:2] = 0x0800",
		"less 100"};
	static const int linktypes[] = {
		DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL, DLT_LOOP};
	char *many;

	for (size_t i = 0; i < RTE_DIM(plain); i++)
		assert_names(DLT_EN10MB, plain[i], false, false);
	for (size_t l = 0; l < RTE_DIM(linktypes); l++)
		for (size_t i = 0; i < RTE_DIM(fragments); i++) {
			/* Where it is not known whether it is IPv4, "ip6[7]" may mean that. */
			bool either = strstr(fragments[i].expression, "ip6[7]") != NULL && l != 0 &&
				      l != 2 && l != 3;

			assert_names(linktypes[l], fragments[i].expression, either, false);
		}
	many = many_terms("udp port ", " and host 10.0.0.");
	assert_names(DLT_EN10MB, many, false, false);
	free(many);
	many = many_terms("tcp[4] = ", " and not net 10.");
	assert_names(DLT_EN10MB, many, false, false);
	free(many);
}
END_TEST

START_TEST(naming_is_seen_among_many_terms)
{
	char *many = many_terms("udp port ", " and host 10.0.0."), *text;

	ck_assert_int_gt(
		asprintf(&text, "%s or (host 10.0.0.9 and ip[6:2] & 0x1fff = 0)", many), 0);
	assert_names(DLT_EN10MB, text, true, false);
	free(text);
	ck_assert_int_gt(asprintf(&text, "%s or ip6 proto 44", many), 0);
	assert_names(DLT_EN10MB, text, false, true);
	free(text);
	free(many);
}
END_TEST

START_TEST(link_type_that_is_not_known_keeps_the_literal_meaning)
{
	assert_names(DLT_IEEE802_11, "udp port 53", true, true);
}
END_TEST

/* Where nothing is known of the type, both versions' bytes are the same ones. */
START_TEST(naming_without_a_type_field_is_for_both_versions)
{
	assert_names(DLT_RAW, "ip[6:2] & 0x1fff = 0", true, true);
	assert_names(DLT_NULL, "ip[6:2] & 0x1fff = 0", true, true);
	assert_names(DLT_RAW, "ip[0] & 0xf = 6 and ip[6:2] & 0x1fff = 0", true, true);
	assert_names(DLT_RAW, "ip6 proto 44", false, true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("maybe");
	TCase *all = tcase_create("all");

	suite_add_tcase(suite, all);
	tcase_add_checked_fixture(all, set_up, tear_down);
	tcase_set_timeout(all, 200);
	tcase_add_test(all, packet_all_known_matches_as_libpcap_says);
	tcase_add_test(all, packet_that_matches_with_some_filling_is_never_excluded);
	tcase_add_test(all, unknown_bytes_leave_known_what_does_not_depend_on_them);
	tcase_add_test(all, what_differs_where_ways_meet_may_be_either);
	tcase_add_test(all, result_that_is_not_known_may_be_a_match);
	tcase_add_test(all, division_by_what_may_be_zero_goes_on_and_by_zero_ends);
	tcase_add_test(all, more_ways_at_once_than_there_is_room_for_may_match);
	tcase_add_test(all, program_that_leads_nowhere_ends_and_may_match);
	tcase_add_test(all, fragment_is_kept_where_addresses_and_protocol_allow_it);
	tcase_add_test(all, fragment_is_kept_so_on_each_link_type);
	tcase_add_test(all, fragment_behind_a_tag_is_found_where_the_expression_names_it);
	tcase_add_test(all, fragment_too_far_behind_is_left_to_the_program);
	tcase_add_test(all, ipv4_that_is_no_later_fragment_is_left_to_the_program);
	tcase_add_test(all, transport_header_is_found_behind_extension_headers);
	tcase_add_test(all, packet_behind_extension_headers_matches_as_it_would_without_them);
	tcase_add_test(all, extension_headers_cut_short_or_too_many_are_left_to_the_program);
	tcase_add_test(all, later_fragment_is_found_behind_extension_headers);
	tcase_add_test(all, expression_that_speaks_of_fragments_is_seen);
	tcase_add_test(all, expression_that_does_not_is_not);
	tcase_add_test(all, naming_is_seen_among_many_terms);
	tcase_add_test(all, link_type_that_is_not_known_keeps_the_literal_meaning);
	tcase_add_test(all, naming_without_a_type_field_is_for_both_versions);
	return suite_run(suite);
}
