/* The IP headers of a packet and of what its tunnels carry, in packets made by hand. */
/* rooms: filter common PkgConfig::libpcap */

#include <pcap/pcap.h>

#include "headers_check.h"
#include "suite_main.h"

/*
 * Headers, byte for byte. IP's length of 0 (IPv4: unknown, IPv6: a jumbogram) sets no end to what
 * is behind.
 */
#define ETHERNET(type) 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, (type) >> 8, (type)&0xff /* 14 */
#define IPV4_FRAGMENT(protocol, off)                                                               \
	0x45, 0, 0, 0, 0xab, 0xcd, (off) >> 8, (off)&0xff, 64, protocol, 0, 0, /* id 0xabcd */     \
		10, 0, 0, 1, 10, 0, 0, 2                                       /* 20 */
#define IPV4(protocol) IPV4_FRAGMENT(protocol, 0)
#define IPV6(next)                                                                                 \
	0x60, 0, 0, 0, 0, 0, next, 64, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,     \
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 /* 40 */
#define UDP(port)    0x1e, 0x61, (port) >> 8, (port)&0xff, 0, 0, 0, 0  /* 8 */
#define TCP          0x1e, 0x61, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0 /* 20 */
#define PAYLOAD      0xa5, 0xa5, 0xa5, 0xa5, 0xa5, 0xa5
#define BYTES(...)   (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})
#define OUTER        "ip4@14 none ether@0 "
#define OUTER_IN_UDP OUTER "17@34 ports"

struct made {
	const char *name;
	const uint8_t *data;
	uint32_t len;
	uint32_t end;
	const char *ip;
};

static const struct made understood[] = {
	{"IPv4 with options",
		BYTES(ETHERNET(0x0800), 0x46, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0,
			0, 2, 1, 1, 1, 0, TCP, PAYLOAD),
		58, OUTER "6@38 ports"},
	{"IPv4 in IPv4 in IPv6",
		BYTES(ETHERNET(0x86dd), IPV6(4), IPV4(4), IPV4(17), UDP(53), PAYLOAD), 102,
		"ip6@14 none ether@0 4@54, ip4@54 ipip ether@- 4@74, ip4@74 ipip ether@- 17@94 "
		"ports"},
	{"IPv6 in IPv4", BYTES(ETHERNET(0x0800), IPV4(41), IPV6(6), TCP, PAYLOAD), 94,
		OUTER "41@34, ip6@34 ipip ether@- 6@74 ports"},
	{"NVGRE: a key, Ethernet",
		BYTES(ETHERNET(0x0800), IPV4(47), 0x20, 0, 0x65, 0x58, 0, 0x12, 0x34, 0,
			ETHERNET(0x8100), 0, 5, 0x08, 0, IPV4(6), TCP, PAYLOAD),
		100, OUTER "47@34, ip4@60 gre ether@42 6@80 ports"},
	{"GRE: checksum, key, sequence number, MPLS",
		BYTES(ETHERNET(0x0800), IPV4(47), 0xb0, 0, 0x88, 0x47, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0,
			0, 6, 0, 1, 1, 64, IPV6(17), UDP(53), PAYLOAD),
		102, OUTER "47@34, ip6@54 gre ether@- 17@94 ports"},
	{"GRE of PPTP",
		BYTES(ETHERNET(0x0800), IPV4(47), 0x30, 1, 0x88, 0x0b, 0, 6, 0, 1, 0, 0, 0, 1,
			PAYLOAD),
		46, OUTER "47@34"},
	{"ERSPAN I",
		BYTES(ETHERNET(0x0800), IPV4(47), 0, 0, 0x88, 0xbe, ETHERNET(0x0800), IPV4(17),
			UDP(53), PAYLOAD),
		80, OUTER "47@34, ip4@52 gre ether@38 17@72 ports"},
	{"ERSPAN II",
		BYTES(ETHERNET(0x0800), IPV4(47), 0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0, 3, 0,
			0, 0, 7, ETHERNET(0x0800), IPV4(6), TCP, PAYLOAD),
		104, OUTER "47@34, ip4@64 gre ether@50 6@84 ports"},
	{"ERSPAN III with what the platform adds",
		BYTES(ETHERNET(0x0800), IPV4(47), 0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0, 3, 0,
			0, 0, 9, 0, 0, 0x00, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, ETHERNET(0x86dd),
			IPV6(6), TCP, PAYLOAD),
		136, OUTER "47@34, ip6@76 gre ether@62 6@116 ports"},
	{"ERSPAN III with IP",
		BYTES(ETHERNET(0x0800), IPV4(47), 0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0, 3, 0,
			0, 0, 9, 0, 0, 0x08, 0x00, IPV4(6), TCP, PAYLOAD),
		94, OUTER "47@34, ip4@54 gre ether@- 6@74 ports"},
	{"VXLAN",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(4789), 0x08, 0, 0, 0, 0, 0, 5, 0,
			ETHERNET(0x0800), IPV4(17), UDP(53), PAYLOAD),
		92, OUTER_IN_UDP ", ip4@64 vxlan ether@50 17@84 ports"},
	{"VXLAN with a group policy, in VXLAN",
		BYTES(ETHERNET(0x86dd), IPV6(17), UDP(4789), 0x88, 0x08, 0, 9, 0, 0, 5, 0,
			ETHERNET(0x0800), IPV4(17), UDP(4789), 0x08, 0, 0, 0, 0, 0, 6, 0,
			ETHERNET(0x86dd), IPV6(58), 128, 0, 0, 0, 0, 1, 0, 2, PAYLOAD),
		182,
		"ip6@14 none ether@0 17@54 ports, ip4@84 vxlan ether@70 17@104 ports, "
		"ip6@134 vxlan ether@120 58@174"},
	{"Geneve with options, Ethernet",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(6081), 0x02, 0x40, 0x65, 0x58, 0, 0, 5, 0, 1,
			2, 0x80, 1, 9, 9, 9, 9, ETHERNET(0x0800), IPV4(6), TCP, PAYLOAD),
		112, OUTER_IN_UDP ", ip4@72 geneve ether@58 6@92 ports"},
	{"Geneve with IPv6",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(6081), 0, 0, 0x86, 0xdd, 0, 0, 5, 0, IPV6(6),
			TCP, PAYLOAD),
		110, OUTER_IN_UDP ", ip6@50 geneve ether@- 6@90 ports"},
	{"GTP-U",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(2152), 0x30, 255, 0, 46, 0, 0, 0, 5, IPV4(6),
			TCP, PAYLOAD),
		90, OUTER_IN_UDP ", ip4@50 gtp-u ether@- 6@70 ports"},
	{"GTP-U with a number, what is behind it unused, and the spare bit",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(2152), 0x3a, 255, 0, 50, 0, 0, 0, 5, 0, 1,
			0xff, 0x85, IPV6(6), TCP, PAYLOAD),
		114, OUTER_IN_UDP ", ip6@54 gtp-u ether@- 6@94 ports"},
	{"GTP-U with extension headers of 4 and 8 bytes",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(2152), 0x34, 255, 0, 62, 0, 0, 0, 5, 0, 0, 0,
			0xc0, 1, 0, 1, 0x85, 2, 0x10, 9, 7, 0, 0, 0, 0, IPV4(17), UDP(53), PAYLOAD),
		94, OUTER_IN_UDP ", ip4@66 gtp-u ether@- 17@86 ports"},
	{"GTP-U end marker with an extension header",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(2152), 0x34, 254, 0, 8, 0, 0, 0, 5, 0, 0, 0,
			0x85, 1, 0x10, 9, 0, IPV4(6), TCP, PAYLOAD),
		58, OUTER_IN_UDP},
	{"GTP-U with what is not IP",
		BYTES(ETHERNET(0x0800), IPV4(17), UDP(2152), 0x30, 255, 0, 6, 0, 0, 0, 5, PAYLOAD),
		50, OUTER_IN_UDP},
	{"AH in IPv4",
		BYTES(ETHERNET(0x0800), IPV4(51), 6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, TCP, PAYLOAD),
		66, OUTER "6@46 ports"},
	{"ESP", BYTES(ETHERNET(0x0800), IPV4(50), 0, 0, 0, 1, 0, 0, 0, 2, PAYLOAD), 42,
		OUTER "50@34"},
	{"SCTP",
		BYTES(ETHERNET(0x0800), IPV4(132), 0x1e, 0x61, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0,
			PAYLOAD),
		46, OUTER "132@34 ports"},
	{"DCCP with options",
		BYTES(ETHERNET(0x0800), IPV4(33), 0x1e, 0x61, 0, 80, 5, 0, 0, 0, 5, 0, 0, 1, 0, 0,
			0, 2, 1, 1, 1, 1, PAYLOAD),
		54, OUTER "33@34 ports"},
	{"UDP-Lite, whose port is no tunnel's",
		BYTES(ETHERNET(0x0800), IPV4(136), UDP(4789), 0x08, 0, 0, 0, 0, 0, 5, 0, PAYLOAD),
		42, OUTER "136@34 ports"},
	{"ICMP, which quotes an IP header",
		BYTES(ETHERNET(0x0800), IPV4(1), 3, 3, 0, 0, 0, 0, 0, 0, IPV4(17), UDP(53)), 42,
		OUTER "1@34"},
	{"first fragment of IPv4",
		BYTES(ETHERNET(0x0800), IPV4_FRAGMENT(17, 0x2000), UDP(53), PAYLOAD), 42,
		OUTER "17@34 ports first 0xabcd"},
	{"middle fragment of IPv4", BYTES(ETHERNET(0x0800), IPV4_FRAGMENT(17, 0x2001), UDP(53)), 34,
		OUTER "17@34 later 0xabcd"},
	{"last fragment of IPv4", BYTES(ETHERNET(0x0800), IPV4_FRAGMENT(6, 0x1fff), TCP), 34,
		OUTER "6@34 later 0xabcd"},
	{"IPv4 that must not be fragmented", BYTES(ETHERNET(0x0800), IPV4_FRAGMENT(6, 0x4000), TCP),
		54, OUTER "6@34 ports"},
	{"first fragment of a tunnel",
		BYTES(ETHERNET(0x0800), IPV4_FRAGMENT(17, 0x2000), UDP(4789), 0x08, 0, 0, 0, 0, 0,
			5, 0, ETHERNET(0x0800), IPV4(6), TCP),
		104, OUTER_IN_UDP " first 0xabcd, ip4@64 vxlan ether@50 6@84 ports"},
	{"fragment inside a tunnel",
		BYTES(ETHERNET(0x0800), IPV4(47), 0, 0, 8, 0, IPV4_FRAGMENT(17, 0x00b9), PAYLOAD),
		58, OUTER "47@34, ip4@38 gre ether@- 17@58 later 0xabcd"},
	{"first fragment of IPv6 with options behind",
		BYTES(ETHERNET(0x86dd), IPV6(0), 44, 0, 1, 4, 0, 0, 0, 0, 60, 0, 0, 1, 0x89, 0xab,
			0xcd, 0xef, 17, 0, 1, 4, 0, 0, 0, 0, UDP(53), PAYLOAD),
		86, "ip6@14 none ether@0 17@78 ports first 0x89abcdef"},
	{"later fragment of IPv6",
		BYTES(ETHERNET(0x86dd), IPV6(44), 17, 0, 0, 8, 0x89, 0xab, 0xcd, 0xef, UDP(53)), 62,
		"ip6@14 none ether@0 17@62 later 0x89abcdef"},
	{"atomic fragment of IPv6",
		BYTES(ETHERNET(0x86dd), IPV6(44), 17, 0, 0, 0, 0x89, 0xab, 0xcd, 0xef, UDP(53),
			PAYLOAD),
		70, "ip6@14 none ether@0 17@62 ports"},
	{"IPv4, which has no extension headers, in IPv6, which has",
		BYTES(ETHERNET(0x86dd), IPV6(4), IPV4(60), 17, 0, 1, 4, 0, 0, 0, 0, UDP(53)), 74,
		"ip6@14 none ether@0 4@54, ip4@54 ipip ether@- 60@74"},
	{"nothing behind IPv6", BYTES(ETHERNET(0x86dd), IPV6(59), PAYLOAD), 54,
		"ip6@14 none ether@0 59@54"},
	{"PPPoE", BYTES(ETHERNET(0x8864), 0x11, 0, 0, 1, 0, 42, 0, 0x57, IPV6(6), TCP, PAYLOAD), 82,
		"ip6@22 none ether@0 6@62 ports"},
	{"two labels of MPLS",
		BYTES(ETHERNET(0x8847), 0, 1, 0, 64, 0, 1, 0x11, 64, IPV4(6), TCP, PAYLOAD), 62,
		"ip4@22 none ether@0 6@42 ports"},
	{"what is no IP", BYTES(ETHERNET(0x88b5), PAYLOAD), 14, ""},
};

START_TEST(ip_headers_are_told_from_the_outermost_on)
{
	for (size_t i = 0; i < sizeof(understood) / sizeof(understood[0]); i++) {
		const struct made *m = &understood[i];
		char text[HEADERS_TEXT];
		struct headers h;

		ck_assert(headers_walk_copy(DLT_EN10MB, m->data, m->len, &h));
		headers_describe(&h, text);
		ck_assert_msg(strcmp(text, m->ip) == 0, "%s:\n%s\nnot\n%s", m->name, text, m->ip);
		ck_assert_msg(h.end == m->end, "%s: end %u, not %u", m->name, h.end, m->end);
	}
}
END_TEST

START_TEST(packet_cut_anywhere_tells_no_more_than_is_there)
{
	for (size_t i = 0; i < sizeof(understood) / sizeof(understood[0]); i++)
		headers_check_each_length(
			understood[i].name, DLT_EN10MB, understood[i].data, understood[i].len);
}
END_TEST

/* A packet that is understood, with one byte at off that makes it another. */
struct altered {
	const char *name;
	uint32_t off;
	uint8_t byte;
	uint32_t end;
};

static void check_only_outer(const struct made *m, const struct altered *altered, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct altered *a = &altered[i];
		uint8_t data[256];
		struct headers h;

		memcpy(data, m->data, m->len);
		data[a->off] = a->byte;
		ck_assert(headers_walk_copy(DLT_EN10MB, data, m->len, &h));
		ck_assert_msg(h.count == 1, "%s, %s: %u IP headers", m->name, a->name, h.count);
		ck_assert_msg(h.end == a->end, "%s, %s: end %u", m->name, a->name, h.end);
		headers_check_each_length(a->name, DLT_EN10MB, data, m->len);
	}
}

static const struct made *find_made(const char *name)
{
	for (size_t i = 0; i < sizeof(understood) / sizeof(understood[0]); i++)
		if (strcmp(understood[i].name, name) == 0)
			return &understood[i];
	ck_abort_msg("no packet \"%s\"", name);
}

#define CHECK_ONLY_OUTER(name, altered)                                                            \
	check_only_outer(find_made(name), altered, sizeof(altered) / sizeof((altered)[0]))

START_TEST(other_traffic_on_a_tunnels_port_is_no_tunnel)
{
	static const struct altered vxlan[] = {
		{"another port", 37, 0xb4, 42},
		{"no VNI", 42, 0x00, 42},
		{"flag P, of VXLAN-GPE, and no next protocol", 42, 0x0c, 50},
		{"a reserved flag", 42, 0x48, 42},
		{"a reserved byte", 43, 0x01, 50},
		{"the last reserved byte", 49, 0x01, 50},
		{"Ethernet of another type", 62, 0x09, 64},
		{"not the IP that the type says", 64, 0x65, 64},
	};
	static const struct altered geneve[] = {
		{"version 1", 42, 0x42, 42},
		{"another type", 45, 0x59, 58},
	};
	static const struct altered gtp[] = {
		{"version 2", 42, 0x50, 42},
		{"GTP'", 42, 0x20, 42},
		{"a request for an echo", 43, 1, 50},
	};
	static const struct altered extensions[] = {
		{"a length of 0", 54, 0, 54},
		{"a length beyond the packet", 54, 99, 100},
	};
	static const struct altered erspan_2[] = {{"version 2", 42, 0x20, 42}};
	static const struct altered erspan_3[] = {
		{"version 1", 42, 0x10, 42},
		{"frames of another kind", 52, 0x04, 54},
	};

	CHECK_ONLY_OUTER("VXLAN", vxlan);
	CHECK_ONLY_OUTER("Geneve with options, Ethernet", geneve);
	CHECK_ONLY_OUTER("GTP-U", gtp);
	CHECK_ONLY_OUTER("GTP-U with extension headers of 4 and 8 bytes", extensions);
	CHECK_ONLY_OUTER("ERSPAN II", erspan_2);
	CHECK_ONLY_OUTER("ERSPAN III with IP", erspan_3);
}
END_TEST

START_TEST(port_of_the_sender_makes_no_tunnel)
{
	static const uint8_t data[] = {ETHERNET(0x0800), IPV4(17), 4789 >> 8, 4789 & 0xff, 0, 53, 0,
		0, 0, 0, 0x08, 0, 0, 0, 0, 0, 5, 0, ETHERNET(0x0800), IPV4(6), TCP};
	struct headers h;

	ck_assert(headers_walk_copy(DLT_EN10MB, data, sizeof(data), &h));
	ck_assert_uint_eq(h.count, 1);
	ck_assert_uint_eq(h.end, 42);
}
END_TEST

/* A pseudowire with a control word, which many an Ethernet frame without one looks like. */
START_TEST(label_with_what_is_not_ip_ends_the_walk)
{
	static const uint8_t data[] = {
		ETHERNET(0x8847), 0, 1, 1, 64, 0, 0, 0, 0, ETHERNET(0x0800), IPV4(6), TCP};
	struct headers h;

	ck_assert(headers_walk_copy(DLT_EN10MB, data, sizeof(data), &h));
	ck_assert_uint_eq(h.count, 0);
	ck_assert_uint_eq(h.end, 18);
}
END_TEST

/* IP says that UDP's header is the end: behind is padding, whatever it looks like. */
START_TEST(nothing_is_told_behind_the_end_of_the_packet_around_it)
{
	uint8_t data[] = {ETHERNET(0x0800), IPV4(17), UDP(4789), 0x08, 0, 0, 0, 0, 0, 5, 0,
		ETHERNET(0x0800), IPV4(6), TCP};
	struct headers h;

	data[17] = 20 + 8;
	ck_assert(headers_walk_copy(DLT_EN10MB, data, sizeof(data), &h));
	ck_assert_uint_eq(h.count, 1);
	ck_assert_uint_eq(h.end, 42);
	ck_assert(h.ip[0].ports);
	data[17] = 20 + 3; /* three bytes are no ports */
	ck_assert(headers_walk_copy(DLT_EN10MB, data, sizeof(data), &h));
	ck_assert_uint_eq(h.end, 37);
	ck_assert(!h.ip[0].ports);
	data[17] = 20 + 8 + 8 + 14 + 20; /* the inner packet's headers end with IP's */
	data[67] = 200;                  /* though it says that there are 200 bytes */
	ck_assert(headers_walk_copy(DLT_EN10MB, data, sizeof(data), &h));
	ck_assert_uint_eq(h.count, 2);
	ck_assert_uint_eq(h.end, 84);
	ck_assert_uint_eq(h.ip[1].payload_off, 84);
	ck_assert(!h.ip[1].ports);
}
END_TEST

START_TEST(one_ip_header_too_many_ends_the_walk)
{
	static const uint8_t data[] = {
		IPV4(4), IPV4(4), IPV4(4), IPV4(4), IPV4(4), IPV4(17), UDP(53)};
	struct headers h;

	ck_assert(headers_walk_copy(DLT_RAW, data, sizeof(data), &h));
	ck_assert_uint_eq(h.count, HEADERS_IP_MAX);
	ck_assert_uint_eq(h.ip[3].ip_off, 60);
	ck_assert_uint_eq(h.ip[3].payload_off, 80);
	ck_assert_uint_eq(h.end, 100);
	headers_check_each_length("six of IP", DLT_RAW, data, sizeof(data));
}
END_TEST

/* 3GPP sets no limit, but no sender has so many: the walk must come back soon. */
START_TEST(endless_extension_headers_end)
{
	uint8_t data[1500] = {
		ETHERNET(0x0800), IPV4(17), UDP(2152), 0x34, 255, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0x85};
	struct headers h;

	for (uint32_t i = 54; i + 4 <= sizeof(data); i += 4) {
		data[i] = 1;
		data[i + 3] = 0x85;
	}
	data[54 + 8 * 4] = 0x45; /* where the walk ends it must not see IP */
	ck_assert(headers_walk_copy(DLT_EN10MB, data, sizeof(data), &h));
	ck_assert_uint_eq(h.count, 1);
	ck_assert_uint_eq(h.end, 54 + 8 * 4);
}
END_TEST

START_TEST(extension_header_that_is_cut_is_the_payload)
{
	static const uint8_t data[] = {IPV6(60), 43, 0, 1, 4, 0, 0, 0, 0, 6, 2, 4, 0};
	char text[HEADERS_TEXT];
	struct headers h;

	ck_assert(headers_walk_copy(DLT_RAW, data, sizeof(data), &h));
	headers_describe(&h, text);
	ck_assert_str_eq(text, "ip6@0 none ether@- 43@48");
	ck_assert_uint_eq(h.end, sizeof(data));
}
END_TEST

START_TEST(links_without_ethernet_have_no_ethernet_header)
{
	static const uint8_t data[] = {0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 0x08, 0, IPV4(17),
		UDP(4789), 0x08, 0, 0, 0, 0, 0, 5, 0, ETHERNET(0x0800), IPV4(6), TCP};
	char text[HEADERS_TEXT];
	struct headers h;

	ck_assert(headers_walk_copy(DLT_LINUX_SLL, data, sizeof(data), &h));
	headers_describe(&h, text);
	ck_assert_str_eq(text, "ip4@16 none ether@- 17@36 ports, ip4@66 vxlan ether@52 6@86 ports");
	ck_assert(headers_walk_copy(DLT_RAW, data + 16, sizeof(data) - 16, &h));
	headers_describe(&h, text);
	ck_assert_str_eq(text, "ip4@0 none ether@- 17@20 ports, ip4@50 vxlan ether@36 6@70 ports");
}
END_TEST

START_TEST(unknown_link_type_tells_nothing)
{
	static const uint8_t data[] = {ETHERNET(0x0800), IPV4(6), TCP};
	struct headers h;

	ck_assert(!headers_walk_copy(DLT_IEEE802_11, data, sizeof(data), &h));
	ck_assert_uint_eq(h.count, 0);
	ck_assert_uint_eq(h.end, sizeof(data));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("headers_ip");
	TCase *tc = tcase_create("headers_ip");

	tcase_add_test(tc, ip_headers_are_told_from_the_outermost_on);
	tcase_add_test(tc, packet_cut_anywhere_tells_no_more_than_is_there);
	tcase_add_test(tc, other_traffic_on_a_tunnels_port_is_no_tunnel);
	tcase_add_test(tc, port_of_the_sender_makes_no_tunnel);
	tcase_add_test(tc, label_with_what_is_not_ip_ends_the_walk);
	tcase_add_test(tc, nothing_is_told_behind_the_end_of_the_packet_around_it);
	tcase_add_test(tc, one_ip_header_too_many_ends_the_walk);
	tcase_add_test(tc, endless_extension_headers_end);
	tcase_add_test(tc, extension_header_that_is_cut_is_the_payload);
	tcase_add_test(tc, links_without_ethernet_have_no_ethernet_header);
	tcase_add_test(tc, unknown_link_type_tells_nothing);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
