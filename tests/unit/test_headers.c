/* The header walk: where headers end, against scapy, and never past what is there. */
/* rooms: filter common PkgConfig::libpcap */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "headers_check.h"
#include "suite_main.h"

enum { PACKETS_MAX = 128 };

struct sample {
	uint8_t *data; /* on the heap, as long as it is: a sanitizer sees the first byte too many */
	uint32_t len;
	uint32_t headers;
	char layers[256];
	char ip[HEADERS_TEXT]; /* as headers_describe() has it */
};

static struct sample samples[PACKETS_MAX];
static unsigned int sample_count;

/* tests/data/make_headers.py: packets in headers.pcap, what scapy says of each in headers.txt. */
static void set_up(void)
{
	char problem[PCAP_ERRBUF_SIZE], line[1024];
	pcap_t *pcap = pcap_open_offline(TEST_DATA "/headers.pcap", problem);
	FILE *text = fopen(TEST_DATA "/headers.txt", "re");
	struct pcap_pkthdr *header;
	const u_char *data;

	ck_assert_msg(pcap != NULL, "%s", problem);
	ck_assert_ptr_nonnull(text);
	while (fgets(line, sizeof(line), text) != NULL) {
		struct sample *s = &samples[sample_count];

		if (line[0] == '#')
			continue;
		ck_assert_uint_lt(sample_count, PACKETS_MAX);
		s->ip[0] = '\0';
		ck_assert_int_ge(
			sscanf(line, "%u %255s %511[^\n]", &s->headers, s->layers, s->ip), 2);
		ck_assert_int_eq(pcap_next_ex(pcap, &header, &data), 1);
		s->len = header->caplen;
		s->data = malloc(s->len);
		memcpy(s->data, data, s->len);
		sample_count++;
	}
	ck_assert_uint_gt(sample_count, 30);
	pcap_close(pcap);
	(void)fclose(text);
}

static void tear_down(void)
{
	while (sample_count > 0)
		free(samples[--sample_count].data);
}

static uint32_t walk_copy(int linktype, const uint8_t *data, uint32_t len)
{
	struct headers h;

	(void)headers_walk_copy(linktype, data, len, &h);
	return h.end;
}

START_TEST(packet_cut_short_has_the_headers_that_are_there)
{
	for (unsigned int i = 0; i < sample_count; i++) {
		const struct sample *s = &samples[i];

		for (uint32_t len = 0; len <= s->len; len++) {
			uint32_t end = walk_copy(DLT_EN10MB, s->data, len);

			ck_assert_msg(end == (len < s->headers ? len : s->headers),
				"%s cut to %u: %u", s->layers, len, end);
		}
	}
}
END_TEST

START_TEST(any_byte_turned_over_ends_within_the_packet)
{
	for (unsigned int i = 0; i < sample_count; i++)
		for (uint32_t at = 12; at < samples[i].len * 8; at++) {
			uint8_t *byte = &samples[i].data[at / 8];
			uint8_t bit = (uint8_t)(1U << at % 8);

			*byte ^= bit;
			ck_assert_uint_le(walk_copy(DLT_EN10MB, samples[i].data, samples[i].len),
				samples[i].len);
			*byte ^= bit;
		}
}
END_TEST

START_TEST(ip_headers_lie_where_scapy_says)
{
	for (unsigned int i = 0; i < sample_count; i++) {
		const struct sample *s = &samples[i];
		char text[HEADERS_TEXT];
		struct headers h;

		ck_assert(headers_walk_copy(DLT_EN10MB, s->data, s->len, &h));
		headers_describe(&h, text);
		ck_assert_msg(strcmp(text, s->ip) == 0, "%s:\n%s\nscapy says\n%s", s->layers, text,
			s->ip);
	}
}
END_TEST

START_TEST(packet_cut_short_tells_of_the_ip_headers_that_are_there)
{
	for (unsigned int i = 0; i < sample_count; i++)
		headers_check_each_length(
			samples[i].layers, DLT_EN10MB, samples[i].data, samples[i].len);
}
END_TEST

START_TEST(headers_end_where_scapy_says)
{
	for (unsigned int i = 0; i < sample_count; i++) {
		const struct sample *s = &samples[i];
		uint32_t end = headers_length(DLT_EN10MB, s->data, s->len);

		ck_assert_msg(
			end == s->headers, "%s: %u, scapy says %u", s->layers, end, s->headers);
	}
}
END_TEST

/* The same packets under other links: each has its IP packet at 14. */
START_TEST(other_links_find_the_same_end)
{
	static const struct {
		int linktype;
		uint32_t bytes;
		const char *header;
	} links[] = {
		{DLT_RAW, 0, ""},
		{DLT_IPV4, 0, ""},
		{101, 0, ""},
		{DLT_NULL, 4, "\2\0\0\0"},
		{DLT_NULL, 4, "\0\0\0\2"},
		{DLT_LOOP, 4, "\0\0\0\2"},
		{DLT_LINUX_SLL, 16, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\0"},
		{DLT_LINUX_SLL2, 20, "\x08\0\0\0\0\0\0\2\0\1\0\6\2\0\0\0\0\1\0\0"},
	};

	for (size_t l = 0; l < sizeof(links) / sizeof(links[0]); l++)
		for (unsigned int i = 0; i < sample_count; i++) {
			const struct sample *s = &samples[i];
			uint8_t data[512];
			uint32_t len = links[l].bytes + s->len - 14;

			if (strncmp(s->layers, "Ethernet/IP/", 12) != 0)
				continue;
			memcpy(data, links[l].header, links[l].bytes);
			memcpy(data + links[l].bytes, s->data + 14, s->len - 14);
			ck_assert_msg(walk_copy(links[l].linktype, data, len) ==
					      s->headers - 14 + links[l].bytes,
				"%s under link type %d", s->layers, links[l].linktype);
		}
}
END_TEST

START_TEST(ipv6_is_found_under_every_number_of_its_family)
{
	static const uint8_t families[] = {10, 24, 28, 30};
	uint8_t data[44] = {0};

	data[4] = 0x60;
	data[10] = 59;
	for (size_t i = 0; i < sizeof(families); i++) {
		data[0] = families[i];
		data[3] = 0;
		ck_assert_uint_eq(headers_length(DLT_NULL, data, sizeof(data)), 44);
		data[0] = 0;
		data[3] = families[i];
		ck_assert_uint_eq(headers_length(DLT_LOOP, data, sizeof(data)), 44);
	}
	data[3] = 99;
	ck_assert_uint_eq(headers_length(DLT_LOOP, data, sizeof(data)), 4);
}
END_TEST

START_TEST(unknown_link_type_is_all_headers)
{
	static const uint8_t data[100] = {0};

	ck_assert_uint_eq(headers_length(DLT_IEEE802_11, data, 100), 100);
	ck_assert_uint_eq(headers_length(-1, data, 100), 100);
	ck_assert_uint_eq(headers_length(DLT_USB_LINUX, data, 0), 0);
}
END_TEST

START_TEST(padding_behind_a_short_ip_packet_is_no_header)
{
	/* IP says that it has 28 bytes, but its TCP header would need 20 more than the 8 left. */
	uint8_t data[60] = {[12] = 8, [14] = 0x45, [17] = 28, [23] = 6, [46] = 0xf0};

	ck_assert_uint_eq(headers_length(DLT_EN10MB, data, sizeof(data)), 42);
	/* A total length of 0: not known, so what is there counts. */
	data[17] = 0;
	ck_assert_uint_eq(headers_length(DLT_EN10MB, data, sizeof(data)), 60);
}
END_TEST

START_TEST(header_that_cannot_be_right_is_not_understood)
{
	uint8_t data[60] = {[12] = 8, [14] = 0x44};

	ck_assert_uint_eq(headers_length(DLT_EN10MB, data, sizeof(data)), 14); /* 16 bytes of IP */
	data[14] = 0x65;
	ck_assert_uint_eq(headers_length(DLT_EN10MB, data, sizeof(data)), 14); /* version 6 */
	data[12] = 0x86;
	data[13] = 0xdd;
	data[14] = 0x45;
	ck_assert_uint_eq(headers_length(DLT_EN10MB, data, sizeof(data)), 14);
}
END_TEST

/* 65535 bytes of tags, and of tunnels in tunnels: the walk must come back soon. */
START_TEST(endless_layers_end)
{
	uint32_t len = 65535;
	uint8_t *data = malloc(len);

	for (uint32_t i = 0; i < len; i++)
		data[i] = i % 4 == 0 ? 0x81 : 0;
	ck_assert_uint_le(headers_length(DLT_EN10MB, data, len), 14 + 4 * 32);
	memset(data, 0, len);
	for (uint32_t i = 0; i + 20 <= len; i += 20) {
		data[i] = 0x45;
		data[i + 9] = 4;
	}
	ck_assert_uint_le(headers_length(DLT_RAW, data, len), 20 * 32);
	free(data);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("headers");
	TCase *tc = tcase_create("headers");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, packet_cut_short_has_the_headers_that_are_there);
	tcase_add_test(tc, any_byte_turned_over_ends_within_the_packet);
	tcase_add_test(tc, headers_end_where_scapy_says);
	tcase_add_test(tc, ip_headers_lie_where_scapy_says);
	tcase_add_test(tc, packet_cut_short_tells_of_the_ip_headers_that_are_there);
	tcase_add_test(tc, other_links_find_the_same_end);
	tcase_add_test(tc, ipv6_is_found_under_every_number_of_its_family);
	tcase_add_test(tc, unknown_link_type_is_all_headers);
	tcase_add_test(tc, padding_behind_a_short_ip_packet_is_no_header);
	tcase_add_test(tc, header_that_cannot_be_right_is_not_understood);
	tcase_add_test(tc, endless_layers_end);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
