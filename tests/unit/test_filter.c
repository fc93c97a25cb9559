/* Filters: what is kept, against libpcap's own bpf_filter(), and behind VLAN tags. */
/* rooms: filter common dpdk PkgConfig::libpcap */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <pcap/pcap.h>

#include <rte_mbuf.h>

#include "filter/expression.h"
#include "filter/filter_program.h"
#include "filter_check.h"
#include "suite_main.h"

/*
 * Packets lie between pages that no one may touch, every other one at the end of its room and
 * the rest at its start: native code that reads one byte too far is a crash, sanitizer or not.
 */
enum { PAGE = 4096, SEGMENTS = 3, PACKETS = 4000 };

/* Where a packet lies. At home is what has code of its own (filter_program.h), all else is near it. */
enum place {
	PLACE_ALONE,    /* its mbuf somewhere else */
	PLACE_HOME,     /* and the bytes behind its end are what would follow if it were not cut */
	PLACE_HOME_END, /* at the end of a page, but for what an mbuf's alignment leaves */
	PLACE_SHIFTED_1,
	PLACE_SHIFTED_64,
	PLACE_PRIVATE, /* behind an area of the application's, as a pool may have it */
	PLACES,
};

/* What expression_engine() says of what can be native code here. */
#if defined(RTE_ARCH_X86_64) || defined(RTE_ARCH_ARM64)
#define NATIVE "jit"
#else
#define NATIVE "interpreter"
#endif

enum { UNKNOWN = 2 }; /* neither kept nor not */

static unsigned int packet_count;
static uint8_t
	*rooms; /* EXPRESSION_BURST * SEGMENTS pages, a closed one before, between and behind */

static uint8_t *room_of(unsigned int index)
{
	return rooms + PAGE * (2 * (size_t)index + 1);
}

static void rooms_open(void)
{
	size_t count = EXPRESSION_BURST * SEGMENTS;

	rooms = mmap(NULL, PAGE * (2 * count + 1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(rooms, MAP_FAILED);
	for (unsigned int i = 0; i < count; i++)
		ck_assert_int_eq(mprotect(room_of(i), PAGE, PROT_READ | PROT_WRITE), 0);
}

/* An mbuf made by hand, without EAL: the fields that a reader of packets looks at. */
static struct rte_mbuf *segment_make(
	unsigned int slot, unsigned int segment, const uint8_t *data, uint32_t len)
{
	static struct rte_mbuf mbufs[EXPRESSION_BURST * SEGMENTS];
	unsigned int index = slot * SEGMENTS + segment;
	struct rte_mbuf *m = &mbufs[index];

	memset(m, 0, sizeof(*m));
	m->buf_addr = room_of(index);
	m->buf_len = PAGE;
	m->data_off = slot % 2 == 0 ? (uint16_t)(PAGE - len) : 0;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	m->nb_segs = 1;
	if (len > 0)
		memcpy((uint8_t *)m->buf_addr + m->data_off, data, len);
	return m;
}

static struct rte_mbuf *packet_make(unsigned int slot, const uint8_t *data, uint32_t len)
{
	return segment_make(slot, 0, data, len);
}

static struct rte_mbuf *packet_make_at(enum place place, unsigned int slot, const struct made *p)
{
	uint32_t area = place == PLACE_PRIVATE ? 64 : 0, start = 0;
	uint32_t shift = place == PLACE_SHIFTED_1 ? 1 : place == PLACE_SHIFTED_64 ? 64 : 0;
	struct rte_mbuf *m;

	if (place == PLACE_ALONE)
		return packet_make(slot, p->data, p->len);
	if (place == PLACE_HOME_END)
		start = RTE_ALIGN_FLOOR(PAGE - FLAT_DATA_AT - p->len, RTE_CACHE_LINE_SIZE);
	m = (struct rte_mbuf *)(room_of(slot * SEGMENTS) + start);
	memset(m, 0, sizeof(*m));
	m->buf_addr = (uint8_t *)(m + 1) + area;
	m->buf_len = (uint16_t)(PAGE - start - sizeof(*m) - area);
	m->data_off = (uint16_t)(RTE_PKTMBUF_HEADROOM + shift);
	m->data_len = (uint16_t)p->len;
	m->pkt_len = p->len;
	m->nb_segs = 1;
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), p->data,
		place == PLACE_HOME_END ? p->len : PACKET_MAX);
	if (place == PLACE_HOME_END) {
		uint8_t *end = rte_pktmbuf_mtod_offset(m, uint8_t *, p->len);

		memset(end, 0xff, (size_t)(room_of(slot * SEGMENTS) + PAGE - end));
	}
	return m;
}

/* The packet in three pieces, cut at one and two. */
static struct rte_mbuf *packet_make_cut(
	unsigned int slot, const uint8_t *data, uint32_t len, uint32_t one, uint32_t two)
{
	struct rte_mbuf *m = segment_make(slot, 0, data, one);

	m->next = segment_make(slot, 1, data + one, two - one);
	m->next->next = segment_make(slot, 2, data + two, len - two);
	m->nb_segs = 3;
	m->pkt_len = len;
	return m;
}

/* -- Packets: random, but of a structure that filters ask for -- */

static uint32_t random_port(void)
{
	static const uint16_t ports[] = {0, 22, 53, 53, 67, 80, 80, 123, 443, 1024, 1500, 2000,
		4789, 6081, 33024, 34984, 37120, 65535};

	return random_below(4) == 0 ? random_below(65536) : PICK(ports);
}

static uint32_t random_ipv4(void)
{
	static const uint32_t addresses[] = {0x0a000001, 0x0a000002, 0x0a000003, 0x0a000009,
		0x0a010003, 0x0a0100ff, 0xc0a80101, 0xc0a80102, 0xe0000001, 0xffffffff, 0x7f000001,
		0, 0x80000000, 0xfffffffc, 0xfffffffe, 0x7fffffff};

	return random_below(8) == 0 ? random_below(UINT32_MAX) : PICK(addresses);
}

static void put_tcp(struct made *p)
{
	static const uint8_t flags[] = {0x02, 0x12, 0x10, 0x18, 0x14, 0x11, 0xff, 0, 0x82, 0x7f};
	uint32_t words = random_below(3) == 0 ? 5 + random_below(11) : 5;

	put(p, 2, random_port());
	put(p, 2, random_port());
	put_random(p, 8);
	put(p, 1, words << 4);
	put(p, 1, PICK(flags));
	put_random(p, 6 + (words - 5) * 4);
	if (random_below(3) == 0)
		put(p, 4, random_below(2) == 0 ? 0x47455420 : 0x16030101);
	put_random(p, random_below(60));
}

static void put_udp(struct made *p)
{
	put(p, 2, random_port());
	put(p, 2, random_port());
	put_random(p, 4 + random_below(80));
}

static void put_ip(struct made *p, unsigned int depth);

static void put_transport(struct made *p, uint32_t protocol, unsigned int depth)
{
	static const uint8_t icmp_types[] = {0, 3, 8, 11, 128, 129, 135};

	switch (protocol) {
	case 6:
		put_tcp(p);
		break;
	case 17:
	case 132:
		put_udp(p);
		break;
	case 1:
	case 58:
		put(p, 1, PICK(icmp_types));
		put_random(p, 7 + random_below(40));
		break;
	case 4:
	case 41:
		if (depth < 3) {
			put_ip(p, depth + 1);
			break;
		}
		/* fallthrough */
	default:
		put_random(p, random_below(80));
	}
}

static const uint8_t protocols[] = {
	6, 6, 6, 17, 17, 17, 1, 58, 2, 4, 41, 47, 50, 51, 89, 103, 112, 132, 9, 0};

static void put_ipv4(struct made *p, unsigned int depth)
{
	static const uint8_t ttls[] = {0, 1, 4, 5, 31, 32, 33, 64, 64, 128, 255};
	uint32_t words = random_below(4) == 0 ? 5 + random_below(11) : 5,
		 protocol = PICK(protocols);
	uint32_t start = p->len, fragment = random_below(5) == 0 ? random_below(65536) : 0x4000;
	uint32_t total;

	put(p, 1, 0x40 | words);
	put(p, 1, random_below(3) == 0 ? 0xb8 : 0);
	put(p, 2, 0);
	put_random(p, 2);
	put(p, 2, random_below(8) == 0 ? 0x2000 : fragment);
	put(p, 1, PICK(ttls));
	put(p, 1, protocol);
	put_random(p, 2);
	put(p, 4, random_ipv4());
	put(p, 4, random_ipv4());
	put_random(p, (words - 5) * 4);
	put_transport(p, protocol, depth);
	total = p->len - start;
	p->data[start + 2] = (uint8_t)(total >> 8);
	p->data[start + 3] = (uint8_t)total;
}

static void put_ipv6_address(struct made *p)
{
	static const uint64_t prefixes[] = {0x20010db800000000, 0x20010db800000000,
		0xfe80000000000000, 0xff02000000000000, 0x0001000000000000, 0x20010db900000000};

	put(p, 8, PICK(prefixes));
	put(p, 8, 1 + random_below(3));
}

static void put_ipv6(struct made *p, unsigned int depth)
{
	static const uint8_t extensions[] = {0, 43, 44, 60, 51};
	uint32_t start = p->len, next = p->len + 6, protocol = PICK(protocols), total;
	unsigned int count = random_below(3) == 0 ? random_below(4) : 0;

	put(p, 4, 0x60000000);
	put(p, 2, 0);
	put(p, 1, 0);
	put(p, 1, random_below(2) == 0 ? 255 : 64);
	put_ipv6_address(p);
	put_ipv6_address(p);
	for (unsigned int i = 0; i < count; i++) {
		uint32_t words = random_below(3), extension = PICK(extensions);

		p->data[next] = (uint8_t)extension;
		next = p->len;
		put(p, 1, 0);
		put(p, 1, extension == 44 ? 0 : extension == 51 ? words * 2 : words);
		put_random(p, extension == 44 ? 6 : words * 8 + 6);
	}
	p->data[next] = (uint8_t)protocol;
	put_transport(p, protocol, depth);
	total = p->len - start - 40;
	p->data[start + 4] = (uint8_t)(total >> 8);
	p->data[start + 5] = (uint8_t)total;
}

static void put_ip(struct made *p, unsigned int depth)
{
	if (random_below(3) == 0)
		put_ipv6(p, depth);
	else
		put_ipv4(p, depth);
}

static void put_arp(struct made *p)
{
	put(p, 6, 0x000108000604);
	put(p, 2, 1 + random_below(4));
	put(p, 6, 0x020000000001);
	put(p, 4, random_ipv4());
	put(p, 6, 0x020000000002);
	put(p, 4, random_ipv4());
	put_random(p, 18);
}

static void put_mpls(struct made *p)
{
	static const uint32_t labels[] = {16, 1024, 100000, 3};
	unsigned int count = 1 + random_below(3);

	for (unsigned int i = 0; i < count; i++)
		put(p, 4, PICK(labels) << 12 | (i + 1 == count ? 0x100 : 0) | 64);
	put_ip(p, 1);
}

static void put_pppoe(struct made *p)
{
	bool six = random_below(2) == 0;

	put(p, 2, 0x1100);
	put(p, 2, random_below(2) == 0 ? 0x27 : 1);
	put(p, 2, 100);
	put(p, 2, six ? 0x57 : 0x21);
	if (six)
		put_ipv6(p, 1);
	else
		put_ipv4(p, 1);
}

static void put_ethernet(struct made *p)
{
	static const uint64_t macs[] = {0x020000000001, 0x020000000002, 0xffffffffffff,
		0x01005e000001, 0x0180c2000000, 0x333300000001, 0xab0000020000};
	static const uint16_t types[] = {0x0800, 0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806,
		0x8035, 0x8847, 0x8864, 0x8863, 0x88cc, 0x0026, 0x6003, 0x809b, 0x9000, 0x8137};
	static const uint16_t tags[] = {0x8100, 0x8100, 0x88a8, 0x9100};
	static const uint16_t ids[] = {5, 100, 200, 300};
	unsigned int count = random_below(3) == 0 ? 1 + random_below(3) : 0;
	uint32_t type = random_below(10) == 0 ? random_below(65536) : PICK(types);

	p->len = 0;
	put(p, 6, PICK(macs));
	put(p, 6, PICK(macs));
	while (count-- > 0) {
		put(p, 2, PICK(tags));
		put(p, 2, PICK(ids) | random_below(8) << 13);
	}
	put(p, 2, type);
	switch (type) {
	case 0x0800:
		put_ipv4(p, 0);
		break;
	case 0x86dd:
		put_ipv6(p, 0);
		break;
	case 0x0806:
	case 0x8035:
		put_arp(p);
		break;
	case 0x8847:
		put_mpls(p);
		break;
	case 0x8864:
		put_pppoe(p);
		break;
	default:
		put_random(p, random_below(100));
	}
	while (p->len < 60 && random_below(4) != 0)
		put(p, 1, 0);
}

/* Twenty packets at every length down to 0, then whole ones, then such with bytes turned over. */
static void packets_generate(void)
{
	struct made whole;

	random_state = 0x9e3779b97f4a7c15;
	packets = calloc(PACKETS, sizeof(*packets));
	ck_assert_ptr_nonnull(packets);
	for (unsigned int i = 0; i < 20; i++) {
		put_ethernet(&whole);
		for (uint32_t len = 0; len <= whole.len && packet_count < PACKETS / 2; len++) {
			packets[packet_count] = whole;
			packets[packet_count++].len = len;
		}
	}
	while (packet_count < PACKETS) {
		struct made *p = &packets[packet_count++];

		put_ethernet(p);
		if (random_below(5) == 0)
			p->data[random_below(p->len)] ^= (uint8_t)(1 << random_below(8));
		if (random_below(10) == 0)
			p->len = random_below(p->len);
	}
}

static void set_up(void)
{
	rooms_open();
	packets_generate();
	expressions_read();
}

static void tear_down(void)
{
	expressions_free();
	free(packets);
	packet_count = 0;
	(void)munmap(rooms, PAGE * (2 * (size_t)EXPRESSION_BURST * SEGMENTS + 1));
}

/* -- The other implementation -- */

static void reference_compile_how(
	const char *expression, int linktype, unsigned int how, struct bpf_program *ret)
{
	int optimize = (how & EXPRESSION_AS_LONG) == 0;
	pcap_t *pcap = pcap_open_dead(linktype, 262144);

	ck_assert_msg(pcap_compile(pcap, ret, expression, optimize, PCAP_NETMASK_UNKNOWN) == 0,
		"%s: %s", expression, pcap_geterr(pcap));
	pcap_close(pcap);
}

static void reference_compile(const char *expression, int linktype, struct bpf_program *ret)
{
	reference_compile_how(expression, linktype, 0, ret);
}

static bool is_tag_at(const uint8_t *p)
{
	return (p[0] == 0x81 && p[1] == 0) || (p[0] == 0x88 && p[1] == 0xa8) ||
	       (p[0] == 0x91 && p[1] == 0);
}

/* The packet without its first two tags at most, in a place of its own. */
static uint32_t tags_remove(const struct made *p, uint32_t type_off, uint8_t *ret_data)
{
	uint32_t len = p->len;

	memcpy(ret_data, p->data, len);
	for (int i = 0; i < 2 && len >= type_off + 2 && is_tag_at(ret_data + type_off); i++) {
		uint32_t behind = len < type_off + 4 ? len : type_off + 4;

		memmove(ret_data + type_off, ret_data + behind, len - behind);
		len -= behind - type_off;
	}
	return len;
}

static bool reference_match(
	const struct bpf_program *program, const struct made *p, uint32_t tags_off)
{
	uint8_t data[PACKET_MAX];
	uint32_t len = tags_off == 0 ? p->len : tags_remove(p, tags_off, data);

	return bpf_filter(program->bf_insns, tags_off == 0 ? p->data : data, p->len, len) != 0;
}

static struct expression *compile(const char *expression, int linktype, unsigned int how)
{
	struct expression *f = NULL;
	struct errbuf err = {""};
	int r = expression_compile(expression, linktype, how, &f, &err);

	ck_assert_msg(r == 0, "%s: %s", expression, err.text);
	return f;
}

static void assert_same_burst(enum place place, unsigned int first, const char *expression,
	const struct expression *f, const uint8_t *expected)
{
	unsigned int count = RTE_MIN(packet_count - first, (unsigned int)EXPRESSION_BURST);
	struct rte_mbuf *burst[EXPRESSION_BURST] = {NULL};
	uint64_t kept;

	for (unsigned int i = 0; i < count; i++)
		burst[i] = packet_make_at(place, i, &packets[first + i]);
	kept = expression_match(f, burst, count);
	for (unsigned int i = 0; i < count; i++)
		ck_assert_msg(
			expected[first + i] == UNKNOWN || (kept >> i & 1) == expected[first + i],
			"'%s' by %s: packet %u of %u bytes, place %d: %d, libpcap says %d",
			expression, expression_engine(f), first + i, packets[first + i].len,
			(int)place, (int)(kept >> i & 1), expected[first + i]);
}

static void assert_same(const char *expression, const struct expression *f,
	const struct bpf_program *program, uint32_t tags_off)
{
	/* libpcap itself may never come back from an authentication header. */
	bool chain = strstr(expression, "protochain") != NULL;
	uint8_t expected[PACKETS];

	for (unsigned int i = 0; i < packet_count; i++)
		expected[i] = chain && memchr(packets[i].data, 51, packets[i].len) != NULL
				      ? UNKNOWN
				      : reference_match(program, &packets[i], tags_off);
	for (unsigned int first = 0; first < packet_count; first += EXPRESSION_BURST) {
		if (first % (3 * EXPRESSION_BURST) == 0)
			assert_same_burst(PLACE_ALONE, first, expression, f, expected);
		assert_same_burst(PLACE_HOME, first, expression, f, expected);
		assert_same_burst(PLACE_HOME_END, first, expression, f, expected);
	}
	for (enum place place = PLACE_SHIFTED_1; place < PLACES; place++)
		for (unsigned int first = place; first < packet_count;
			first += 7 * EXPRESSION_BURST)
			assert_same_burst(place, first, expression, f, expected);
}

static bool says_vlan(const char *expression)
{
	return strstr(expression, "vlan") != NULL || strstr(expression, "0x8100") != NULL ||
	       strstr(expression, "0x88a8") != NULL;
}

static void compare_all(unsigned int how)
{
	for (unsigned int i = 0; i < expression_count; i++) {
		bool literal = (how & EXPRESSION_LITERAL) != 0 || says_vlan(expressions[i]);
		struct expression *f = compile(expressions[i], DLT_EN10MB, how);
		struct bpf_program program;

		reference_compile_how(expressions[i], DLT_EN10MB, how, &program);
		assert_same(expressions[i], f, &program, literal ? 0 : 12);
		pcap_freecode(&program);
		expression_free(f);
	}
}

static const uint8_t syn[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,       /* Ethernet */
	0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, /* IPv4 */
	0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0};   /* TCP, SYN */

static bool keeps_of_link(
	const char *expression, int linktype, unsigned int how, const uint8_t *data, uint32_t len)
{
	struct expression *f = compile(expression, linktype, how);
	bool kept = true;

	/* At the end of its room and at its start. */
	for (unsigned int slot = 0; slot < 2; slot++) {
		struct rte_mbuf *m = packet_make(slot, data, len);
		bool now = expression_match(f, &m, 1) == 1;

		if (slot == 1)
			ck_assert_int_eq(now, kept);
		kept = now;
	}
	expression_free(f);
	return kept;
}

static bool keeps(const char *expression, unsigned int how, const uint8_t *data, uint32_t len)
{
	return keeps_of_link(expression, DLT_EN10MB, how, data, len);
}

/* -- Failures -- */

static int compile_fails(const char *expression, int linktype, struct errbuf *err)
{
	struct expression *untouched = (struct expression *)&random_state, *f = untouched;
	int r = expression_compile(expression, linktype, 0, &f, err);

	ck_assert_int_lt(r, 0);
	ck_assert_ptr_eq(f, untouched);
	return r;
}

START_TEST(wrong_expression_says_what_libpcap_says_and_stores_nothing)
{
	struct errbuf err;

	ck_assert_int_eq(compile_fails("udp prot 53", DLT_EN10MB, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "udp prot 53"));
	ck_assert_ptr_nonnull(strstr(err.text, "syntax error"));
	ck_assert_int_eq(compile_fails("port 99999", DLT_EN10MB, NULL), -EINVAL);
}
END_TEST

START_TEST(what_libpcap_says_is_told_however_long_the_expression_is)
{
	struct errbuf err;
	char text[2000];

	memset(text, ' ', sizeof(text));
	memcpy(text, "udp", 3);
	(void)strcpy(text + sizeof(text) - 10, "prot 53");
	ck_assert_int_eq(compile_fails(text, DLT_EN10MB, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "filter 'udp "));
	ck_assert_ptr_nonnull(strstr(err.text, "...': "));
	ck_assert_ptr_nonnull(strstr(err.text, "syntax error"));
}
END_TEST

START_TEST(expression_that_can_match_nothing_is_an_error)
{
	struct errbuf err;

	ck_assert_int_eq(compile_fails("ip and arp", DLT_EN10MB, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "expression rejects all packets"));
}
END_TEST

START_TEST(link_type_without_the_protocol_is_an_error)
{
	struct errbuf err;

	ck_assert_int_eq(compile_fails("ether host 02:00:00:00:00:01", DLT_RAW, &err), -EINVAL);
	ck_assert_int_eq(compile_fails("tcp", 9999, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "9999"));
}
END_TEST

/* Compiled for a live capture they would look where only the kernel has something, and keep nothing. */
START_TEST(what_no_packet_tells_is_an_error)
{
	static const char *const texts[] = {"inbound", "not outbound", "ifindex 1"};
	struct errbuf err;

	for (size_t t = 0; t < RTE_DIM(texts); t++)
		ck_assert_int_eq(compile_fails(texts[t], DLT_EN10MB, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "ifindex not supported"));
}
END_TEST

static char *many_hosts(unsigned int count)
{
	char *text = malloc(count * 32 + 1), *end = text;

	for (unsigned int i = 0; i < count; i++)
		end += sprintf(end, "%shost 10.%u.%u.%u", i == 0 ? "" : " or ", i >> 14,
			i >> 7 & 127, 2 * (i & 127) + 1);
	return text;
}

/* -- The same as libpcap -- */

START_TEST(native_code_keeps_what_libpcap_keeps)
{
	compare_all(EXPRESSION_LITERAL);
}
END_TEST

START_TEST(interpreter_keeps_what_libpcap_keeps)
{
	compare_all(EXPRESSION_LITERAL | EXPRESSION_INTERPRET);
}
END_TEST

START_TEST(tagged_packet_is_kept_as_the_packet_without_its_tags)
{
	compare_all(0);
}
END_TEST

START_TEST(what_libpcap_did_not_optimize_keeps_the_same)
{
	compare_all(EXPRESSION_AS_LONG | EXPRESSION_LITERAL);
}
END_TEST

START_TEST(interpreter_looks_behind_tags_too)
{
	compare_all(EXPRESSION_INTERPRET);
}
END_TEST

static void compare_long(const char *text, const char *engine)
{
	struct expression *f = compile(text, DLT_EN10MB, 0);
	struct bpf_program program;
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 262144);

	ck_assert_str_eq(expression_engine(f), engine);
	ck_assert_int_eq(pcap_compile(pcap, &program, text, 0, PCAP_NETMASK_UNKNOWN), 0);
	assert_same("a long one", f, &program, 12);
	pcap_freecode(&program);
	pcap_close(pcap);
	expression_free(f);
}

/* Longer than what libpcap's optimizer is asked to work on. */
START_TEST(expression_of_many_hosts_keeps_what_libpcap_keeps)
{
	char *text = many_hosts(250);

	compare_long(text, "jit");
	free(text);
}
END_TEST

START_TEST(expression_too_long_for_native_code_is_interpreted)
{
	enum { TERMS = 1000, TERM_BYTES = 40 };
	char *text = malloc(TERMS * TERM_BYTES), *end = text;

	for (unsigned int i = 0; i < TERMS; i++)
		end += sprintf(end, "%sether[ether[11]:4] = %u", i == 0 ? "" : " or ", i);
	compare_long(text, "interpreter");
	free(text);
}
END_TEST

/* An authentication header that says that it is behind itself: libpcap goes round for ever. */
START_TEST(protochain_ends_on_a_header_that_points_at_itself)
{
	uint8_t data[sizeof(syn)];

	memcpy(data, syn, sizeof(syn));
	data[23] = 51;
	data[34] = 51;
	data[35] = 3;
	ck_assert(!keeps("ip protochain 6", 0, data, sizeof(data)));
	ck_assert(!keeps("ip protochain 6", EXPRESSION_INTERPRET, data, sizeof(data)));
	ck_assert(keeps("ip protochain 51", 0, data, sizeof(data)));
}
END_TEST

struct link {
	int linktype;
	const char *header; /* SLL's ends where the frame's own type follows */
	uint32_t header_bytes;
	uint32_t skip;     /* bytes of the Ethernet frame that it stands for */
	uint32_t tags_off; /* where a tag would be looked behind, or 0 */
};

static void packets_change_link(const struct link *l)
{
	for (unsigned int i = 0; i < packet_count; i++) {
		struct made *p = &packets[i];
		uint32_t rest = p->len < l->skip ? 0 : p->len - l->skip;

		memmove(p->data + l->header_bytes, p->data + l->skip, rest);
		memcpy(p->data, l->header, l->header_bytes);
		p->len = l->header_bytes + rest;
	}
}

START_TEST(other_link_types_keep_what_libpcap_keeps)
{
	static const struct link links[] = {
		{DLT_RAW, "", 0, 14, 0},
		{DLT_NULL, "\2\0\0\0", 4, 14, 0},
		{DLT_LOOP, "\0\0\0\2", 4, 14, 0},
		{DLT_LINUX_SLL, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0", 14, 12, 14},
	};
	static const char *const texts[] = {"ip", "ip6", "tcp port 80",
		"udp port 53 or net 10.1.0.0/16", "not ip", "host 10.0.0.1 or host 2001:db8::1",
		"icmp", "ip[12:4] = ip[16:4]", "tcp[tcpflags] & tcp-syn != 0", "greater 100",
		"ip6 protochain 17", "not tcp"};
	const struct link *l = &links[_i];

	packets_change_link(l);
	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++) {
		struct expression *f = compile(texts[t], l->linktype, 0);
		struct bpf_program program;

		reference_compile(texts[t], l->linktype, &program);
		assert_same(texts[t], f, &program, l->tags_off);
		pcap_freecode(&program);
		expression_free(f);
	}
}
END_TEST

/* Cut anywhere, also inside a field, and with segments of no bytes. */
START_TEST(packet_in_segments_is_kept_as_in_one_piece)
{
	for (unsigned int e = 0; e < expression_count; e++) {
		struct expression *f =
			compile(expressions[e], DLT_EN10MB, _i == 0 ? 0 : EXPRESSION_INTERPRET);

		for (unsigned int n = 0; n < 400; n++) {
			const struct made *p = &packets[packet_count - 1 - n];
			uint32_t one = random_below((p->len < 80 ? p->len : 80) + 1);
			uint32_t two = one + random_below(p->len - one + 1);
			struct rte_mbuf *whole = packet_make(n % 2, p->data, p->len);
			struct rte_mbuf *cut =
				packet_make_cut(2 + n % 2, p->data, p->len, one, two);

			ck_assert_msg(
				expression_match(f, &whole, 1) == expression_match(f, &cut, 1),
				"'%s': packet of %u bytes cut at %u and %u", expressions[e], p->len,
				one, two);
		}
		expression_free(f);
	}
}
END_TEST

/* -- What DPDK's own conversion gets wrong, each on its own -- */

START_TEST(bit_test_with_a_small_constant_is_right)
{
	unsigned int how = _i == 0 ? 0 : EXPRESSION_INTERPRET;

	ck_assert(keeps("tcp[tcpflags] & tcp-syn != 0", how, syn, sizeof(syn)));
	ck_assert(!keeps("tcp[tcpflags] & tcp-ack != 0", how, syn, sizeof(syn)));
	ck_assert(!keeps("tcp[tcpflags] & 0x7d != 0", how, syn, sizeof(syn)));
	ck_assert(!keeps("tcp[tcpflags] & 0x80 != 0", how, syn, sizeof(syn)));
}
END_TEST

/* The destination is the offset: sums that wrap, or that are negative as 32 bits. */
START_TEST(offset_made_by_the_packet_reads_nothing_outside)
{
	static const uint32_t offsets[] = {UINT32_MAX, UINT32_MAX - 1, UINT32_MAX - 3,
		UINT32_MAX - 13, UINT32_MAX - 14, UINT32_MAX - 17, UINT32_MAX - 4096, 1U << 31,
		INT32_MAX, INT32_MAX - 14, sizeof(syn), sizeof(syn) - 1, sizeof(syn) - 3};
	static const char *const texts[] = {"ether[ip[16:4]] >= 0", "ether[ip[16:4]:2] >= 0",
		"ether[ip[16:4]:4] >= 0", "ip[ip[16:4]] >= 0", "ip[ip[16:4]:4] >= 0",
		"tcp[ip[16:4]:4] >= 0", "ether[ip[16:4] + 1:4] >= 0", "ether[ip[16:4]:4] + 1 != 0"};
	unsigned int how = _i == 0 ? 0 : EXPRESSION_INTERPRET;

	for (size_t t = 0; t < sizeof(texts) / sizeof(texts[0]); t++)
		for (size_t o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++) {
			struct made p = {.len = sizeof(syn)};
			struct bpf_program program;

			memcpy(p.data, syn, sizeof(syn));
			p.len = 30;
			put(&p, 4, offsets[o]);
			p.len = sizeof(syn);
			reference_compile(texts[t], DLT_EN10MB, &program);
			ck_assert_msg(keeps(texts[t], how, p.data, p.len) ==
					      reference_match(&program, &p, 0),
				"%s at %u", texts[t], offsets[o]);
			pcap_freecode(&program);
		}
}
END_TEST

START_TEST(shift_by_32_or_more_gives_zero)
{
	unsigned int how = _i == 0 ? 0 : EXPRESSION_INTERPRET;

	/* The packet's TTL is 64, its id 1, and it says that it has 40 bytes. */
	ck_assert(keeps("1 << ip[8] = 0", how, syn, sizeof(syn)));
	ck_assert(keeps("ip[2:2] >> ip[8] = 0", how, syn, sizeof(syn)));
	ck_assert(keeps("ip[2:2] << ip[4:2] = 80", how, syn, sizeof(syn)));
}
END_TEST

START_TEST(division_by_zero_of_the_packet_rejects_it)
{
	unsigned int how = _i == 0 ? 0 : EXPRESSION_INTERPRET;

	ck_assert(!keeps("ip[2:2] / ip[1] >= 0", how, syn, sizeof(syn)));
	ck_assert(!keeps("not (ip[2:2] % ip[1] = 1)", how, syn, sizeof(syn)));
	ck_assert(keeps("ip[2:2] / ip[5] = 40", how, syn, sizeof(syn)));
}
END_TEST

/* -- Tags -- */

static uint32_t tag(const uint8_t *data, uint32_t len, const char *tags, uint8_t *ret_data)
{
	uint32_t bytes = (uint32_t)strlen(tags) * 4;

	memcpy(ret_data, data, 12);
	for (uint32_t i = 0; i < bytes; i += 4)
		memcpy(ret_data + 12 + i,
			tags[i / 4] == 'q' ? "\x81\x00\x00\x64" : "\x88\xa8\x00\x05", 4);
	memcpy(ret_data + 12 + bytes, data + 12, len - 12);
	return len + bytes;
}

START_TEST(one_or_two_tags_are_looked_behind_and_a_third_is_not)
{
	uint8_t data[PACKET_MAX];

	ck_assert(keeps("tcp port 80", 0, data, tag(syn, sizeof(syn), "", data)));
	ck_assert(keeps("tcp port 80", 0, data, tag(syn, sizeof(syn), "q", data)));
	ck_assert(keeps("tcp port 80", 0, data, tag(syn, sizeof(syn), "a", data)));
	ck_assert(keeps("tcp port 80", 0, data, tag(syn, sizeof(syn), "aq", data)));
	ck_assert(keeps("tcp port 80", 0, data, tag(syn, sizeof(syn), "qq", data)));
	ck_assert(!keeps("tcp port 80", 0, data, tag(syn, sizeof(syn), "aqq", data)));
	ck_assert(
		!keeps("tcp port 80", EXPRESSION_LITERAL, data, tag(syn, sizeof(syn), "q", data)));
}
END_TEST

START_TEST(what_is_not_wanted_is_not_wanted_behind_tags_either)
{
	uint8_t data[PACKET_MAX];

	ck_assert(!keeps("not port 80", 0, data, tag(syn, sizeof(syn), "q", data)));
	ck_assert(!keeps("not ip", 0, data, tag(syn, sizeof(syn), "aq", data)));
	ck_assert(keeps("not port 81", 0, data, tag(syn, sizeof(syn), "aq", data)));
}
END_TEST

START_TEST(mac_addresses_are_found_before_tags)
{
	uint8_t data[PACKET_MAX];
	uint32_t len = tag(syn, sizeof(syn), "aq", data);

	ck_assert(keeps("ether src 02:00:00:00:00:02 and tcp", 0, data, len));
	/* Fields half before the tags and half behind. */
	ck_assert(keeps("ether[10:4] = 0x00020800", 0, data, len));
	ck_assert(keeps("ether[11:2] = 0x0208", 0, data, len));
	ck_assert(keeps("ether[ip[1] + 10:4] = 0x00020800", 0, data, len));
}
END_TEST

START_TEST(length_is_that_of_the_packet_with_its_tags)
{
	uint8_t data[PACKET_MAX];
	uint32_t len = tag(syn, sizeof(syn), "aq", data);

	ck_assert_uint_eq(len, 62);
	ck_assert(keeps("tcp and greater 62", 0, data, len));
	ck_assert(!keeps("tcp and less 61", 0, data, len));
}
END_TEST

START_TEST(expression_that_names_vlan_means_what_tcpdump_means)
{
	uint8_t data[PACKET_MAX];
	uint32_t len = tag(syn, sizeof(syn), "q", data);

	ck_assert(keeps("vlan 100", 0, data, len));
	ck_assert(!keeps("not vlan", 0, data, len));
	ck_assert(keeps("vlan and tcp port 80", 0, data, len));
	ck_assert(!keeps("tcp port 80 or vlan 7", 0, data, len));
	ck_assert(keeps("ether proto 0x8100", 0, data, len));
	ck_assert(keeps("ether[12:2] = 0x8100 and ether[14:2] & 0xfff = 100", 0, data, len));
	ck_assert(!keeps("not vlan", 0, data, tag(syn, sizeof(syn), "aq", data)));
	ck_assert(keeps("not vlan", 0, syn, sizeof(syn)));
}
END_TEST

START_TEST(port_with_the_number_of_a_vlan_type_does_not_name_vlan)
{
	static const uint16_t ports[] = {0x8100, 0x88a8, 0x9100};
	uint8_t frame[sizeof(syn)], data[PACKET_MAX];
	char expression[64];

	for (size_t i = 0; i < 3; i++) {
		memcpy(frame, syn, sizeof(syn));
		frame[36] = (uint8_t)(ports[i] >> 8);
		frame[37] = (uint8_t)ports[i];
		(void)snprintf(expression, sizeof(expression), "ip and port %u or arp", ports[i]);
		ck_assert(keeps(expression, 0, data, tag(frame, sizeof(frame), "aq", data)));
	}
}
END_TEST

static struct made *capture_read(const char *name, unsigned int *ret_count)
{
	char path[4096], problem[PCAP_ERRBUF_SIZE];
	struct made *made = calloc(256, sizeof(*made));
	struct pcap_pkthdr *header;
	const u_char *data;
	unsigned int n = 0;
	pcap_t *pcap;

	(void)snprintf(path, sizeof(path), "%s/%s", TEST_DATA, name);
	pcap = pcap_open_offline(path, problem);
	ck_assert_msg(pcap != NULL, "%s", problem);
	while (pcap_next_ex(pcap, &header, &data) == 1) {
		ck_assert_uint_lt(n, 256);
		ck_assert_uint_le(header->caplen, PACKET_MAX);
		made[n].len = header->caplen;
		memcpy(made[n++].data, data, header->caplen);
	}
	pcap_close(pcap);
	*ret_count = n;
	return made;
}

/* tests/data/make_vlan_twins.py, by scapy: each packet plain, in 802.1Q, in 802.1ad + 802.1Q. */
START_TEST(twins_made_by_scapy_are_kept_together)
{
	unsigned int count, kept = 0;
	struct made *twins = capture_read("vlan_twins.pcap", &count);

	ck_assert_uint_gt(count, 0);
	ck_assert_uint_eq(count % 3, 0);
	for (unsigned int e = 0; e < expression_count; e++) {
		struct expression *f;

		if (says_vlan(expressions[e]) || strstr(expressions[e], "len") != NULL ||
			strstr(expressions[e], "less") != NULL ||
			strstr(expressions[e], "greater") != NULL)
			continue;
		f = compile(expressions[e], DLT_EN10MB, 0);
		for (unsigned int i = 0; i < count; i += 3) {
			struct rte_mbuf *burst[3];
			uint64_t bits;

			for (unsigned int t = 0; t < 3; t++)
				burst[t] = packet_make(t, twins[i + t].data, twins[i + t].len);
			bits = expression_match(f, burst, 3);
			ck_assert_msg(bits == 0 || bits == 7, "'%s', packets %u..: kept %x",
				expressions[e], i, (unsigned int)bits);
			kept += bits == 7;
		}
		expression_free(f);
	}
	ck_assert_uint_gt(kept, expression_count);
	free(twins);
}
END_TEST

/* -- Where libpcap alone would say something else than tcpdump -r, or nothing certain -- */

/* The systems with such headers have a number of their own each; Linux has another, and no such header. */
START_TEST(ipv6_behind_a_null_header_is_found_by_the_number_of_each_system)
{
	static const uint8_t numbers[] = {24, 28, 30};
	uint8_t data[60] = {[4] = 0x60};

	for (size_t n = 0; n < RTE_DIM(numbers); n++) {
		data[0] = numbers[n];
		ck_assert(keeps_of_link("ip6", DLT_NULL, 0, data, sizeof(data)));
		ck_assert(!keeps_of_link("not ip6", DLT_NULL, 0, data, sizeof(data)));
	}
	data[0] = 2;
	ck_assert(!keeps_of_link("ip6", DLT_NULL, 0, data, sizeof(data)));
}
END_TEST

START_TEST(ip_broadcast_is_all_ones_and_all_zeroes)
{
	uint8_t data[sizeof(syn)];

	memcpy(data, syn, sizeof(syn));
	ck_assert(!keeps("ip broadcast", 0, data, sizeof(data)));
	memset(data + 30, 0xff, 4);
	ck_assert(keeps("ip broadcast", 0, data, sizeof(data)));
	memset(data + 30, 0, 4);
	ck_assert(keeps("ip broadcast", 0, data, sizeof(data)));
	data[33] = 255;
	ck_assert(!keeps("ip broadcast", 0, data, sizeof(data)));
}
END_TEST

/* As if the header's length, which libpcap's program does not compute here, were 0: it would be kept. */
START_TEST(memory_that_libpcap_reads_unwritten_rejects)
{
	static const uint8_t data[60] = {[0] = 0x45, [1] = 2, [9] = 17, [22] = 0x17, [23] = 0xc1};
	struct expression *f = compile("geneve", DLT_PFLOG, 0);

	ck_assert_str_eq(expression_engine(f), NATIVE);
	expression_free(f);
	ck_assert(!keeps_of_link("geneve", DLT_PFLOG, 0, data, sizeof(data)));
	ck_assert(!keeps_of_link("geneve", DLT_PFLOG, EXPRESSION_INTERPRET, data, sizeof(data)));
}
END_TEST

/* -- Bursts -- */

START_TEST(empty_expression_keeps_all_and_says_so)
{
	struct rte_mbuf *burst[EXPRESSION_BURST];
	const char *const texts[] = {NULL, "", " \t"};

	for (unsigned int i = 0; i < EXPRESSION_BURST; i++)
		burst[i] = packet_make(i, syn, sizeof(syn));
	for (size_t t = 0; t < 3; t++) {
		struct expression *f = compile(texts[t], DLT_EN10MB, 0);

		ck_assert(expression_keeps_all(f));
		ck_assert_str_eq(expression_engine(f), "none");
		ck_assert_uint_eq(expression_match(f, burst, 0), 0);
		ck_assert_uint_eq(expression_match(f, burst, 3), 7);
		ck_assert_uint_eq(expression_match(f, burst, 63), UINT64_MAX >> 1);
		ck_assert_uint_eq(expression_match(f, burst, 64), UINT64_MAX);
		expression_free(f);
	}
	expression_free(NULL);
}
END_TEST

START_TEST(bit_i_is_packet_i_and_nothing_is_set_past_count)
{
	static const uint8_t other[60] = {0};
	struct expression *f = compile("tcp", DLT_EN10MB, 0);
	struct rte_mbuf *burst[EXPRESSION_BURST];
	uint64_t expected = 0x8000000180000005;

	for (unsigned int i = 0; i < EXPRESSION_BURST; i++)
		burst[i] = (expected >> i & 1) != 0 ? packet_make(i, syn, sizeof(syn))
						    : packet_make(i, other, sizeof(other));
	ck_assert(!expression_keeps_all(f));
	ck_assert_uint_eq(expression_match(f, burst, EXPRESSION_BURST), expected);
	ck_assert_uint_eq(expression_match(f, burst, 33), expected & 0x1ffffffff);
	ck_assert_uint_eq(expression_match(f, burst, 2), 1);
	ck_assert_uint_eq(expression_match(f, burst, 0), 0);
	expression_free(f);
}
END_TEST

START_TEST(engine_says_how_it_runs)
{
	struct expression *native = compile("tcp", DLT_EN10MB, 0);
	struct expression *interpreted = compile("tcp", DLT_EN10MB, EXPRESSION_INTERPRET);

	ck_assert_str_eq(expression_engine(native), NATIVE);
	ck_assert_str_eq(expression_engine(interpreted), "interpreter");
	expression_free(native);
	expression_free(interpreted);
}
END_TEST

static void add_tests(TCase *tc)
{
	tcase_add_test(tc, wrong_expression_says_what_libpcap_says_and_stores_nothing);
	tcase_add_test(tc, what_libpcap_says_is_told_however_long_the_expression_is);
	tcase_add_test(tc, expression_that_can_match_nothing_is_an_error);
	tcase_add_test(tc, link_type_without_the_protocol_is_an_error);
	tcase_add_test(tc, what_no_packet_tells_is_an_error);
	tcase_add_test(tc, ipv6_behind_a_null_header_is_found_by_the_number_of_each_system);
	tcase_add_test(tc, ip_broadcast_is_all_ones_and_all_zeroes);
	tcase_add_test(tc, memory_that_libpcap_reads_unwritten_rejects);
	tcase_add_test(tc, native_code_keeps_what_libpcap_keeps);
	tcase_add_test(tc, interpreter_keeps_what_libpcap_keeps);
	tcase_add_test(tc, tagged_packet_is_kept_as_the_packet_without_its_tags);
	tcase_add_test(tc, what_libpcap_did_not_optimize_keeps_the_same);
	tcase_add_test(tc, interpreter_looks_behind_tags_too);
	tcase_add_test(tc, expression_of_many_hosts_keeps_what_libpcap_keeps);
	tcase_add_test(tc, expression_too_long_for_native_code_is_interpreted);
	tcase_add_test(tc, protochain_ends_on_a_header_that_points_at_itself);
	tcase_add_loop_test(tc, other_link_types_keep_what_libpcap_keeps, 0, 4);
	tcase_add_loop_test(tc, packet_in_segments_is_kept_as_in_one_piece, 0, 2);
	tcase_add_loop_test(tc, bit_test_with_a_small_constant_is_right, 0, 2);
	tcase_add_loop_test(tc, offset_made_by_the_packet_reads_nothing_outside, 0, 2);
	tcase_add_loop_test(tc, shift_by_32_or_more_gives_zero, 0, 2);
	tcase_add_loop_test(tc, division_by_zero_of_the_packet_rejects_it, 0, 2);
	tcase_add_test(tc, one_or_two_tags_are_looked_behind_and_a_third_is_not);
	tcase_add_test(tc, what_is_not_wanted_is_not_wanted_behind_tags_either);
	tcase_add_test(tc, mac_addresses_are_found_before_tags);
	tcase_add_test(tc, length_is_that_of_the_packet_with_its_tags);
	tcase_add_test(tc, expression_that_names_vlan_means_what_tcpdump_means);
	tcase_add_test(tc, port_with_the_number_of_a_vlan_type_does_not_name_vlan);
	tcase_add_test(tc, twins_made_by_scapy_are_kept_together);
	tcase_add_test(tc, empty_expression_keeps_all_and_says_so);
	tcase_add_test(tc, bit_i_is_packet_i_and_nothing_is_set_past_count);
	tcase_add_test(tc, engine_says_how_it_runs);
}

int main(void)
{
	Suite *suite = suite_create("filter");
	TCase *tc = tcase_create("filter");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 200);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
