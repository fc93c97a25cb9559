/* Cuts: the text of a snaplen, and how many bytes of a packet it stores. */
/* rooms: filter common PkgConfig::libpcap */

#include <check.h>
#include <errno.h>
#include <string.h>

#include <pcap/pcap.h>

#include "suite_main.h"
#include "wirespool/filter.h"

/* Ethernet, IPv4, UDP: 42 bytes of headers. */
static const uint8_t packet[100] = {
	[12] = 8, [14] = 0x45, [17] = 86, [23] = 17, [39] = 66, [42] = 1};

START_TEST(wrong_text_is_an_error_that_names_it_and_stores_nothing)
{
	static const char *const texts[] = {"", " ", "-1", "+1", "262145", "4294967296",
		"99999999999999999999", "96KiB", "96 ", " 96", "1e3", "0x60", "header", "Headers",
		"headers ", "headers+", "headers+-1", "headers+ 1", "headers+x", "headers+262145",
		"headers-1", "headers64", "headers+1+1", "all"};
	const struct cut before = {.snaplen = 7, .headers = true, .extra = 9};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct cut cut = before;
		struct errbuf err = {""};

		ck_assert_msg(cut_parse(texts[i], &cut, &err) == -EINVAL, "\"%s\"", texts[i]);
		ck_assert_uint_gt(strlen(err.text), 0);
		ck_assert_uint_eq(cut.snaplen, before.snaplen);
		ck_assert_uint_eq(cut.extra, before.extra);
		ck_assert_int_eq(cut_parse(texts[i], &cut, NULL), -EINVAL);
	}
}
END_TEST

START_TEST(error_says_the_value_and_the_rule)
{
	struct cut cut;
	struct errbuf err;

	ck_assert_int_eq(cut_parse("all", &cut, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "\"all\""));
	ck_assert_ptr_nonnull(strstr(err.text, "headers+N"));
	ck_assert_int_eq(cut_parse("262145", &cut, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "262144"));
}
END_TEST

static uint32_t stored(const char *text, int linktype, uint32_t contiguous, uint32_t len)
{
	struct errbuf err = {""};
	struct cut cut;

	ck_assert_msg(cut_parse(text, &cut, &err) == 0, "%s", err.text);
	return cut_length(&cut, linktype, packet, contiguous, len);
}

START_TEST(zero_and_the_maximum_keep_all)
{
	struct cut cut;

	ck_assert_int_eq(cut_parse("0", &cut, NULL), 0);
	ck_assert(cut_keeps_all(&cut));
	ck_assert_int_eq(cut_parse("262144", &cut, NULL), 0);
	ck_assert(cut_keeps_all(&cut));
	ck_assert_int_eq(cut_parse("262143", &cut, NULL), 0);
	ck_assert(!cut_keeps_all(&cut));
	ck_assert_int_eq(cut_parse("headers+262144", &cut, NULL), 0);
	ck_assert(!cut_keeps_all(&cut));
	ck_assert_uint_eq(stored("0", DLT_EN10MB, 100, 100), 100);
}
END_TEST

START_TEST(number_cuts_there_and_never_makes_a_packet_longer)
{
	ck_assert_uint_eq(stored("96", DLT_EN10MB, 100, 100), 96);
	ck_assert_uint_eq(stored("1", DLT_EN10MB, 100, 100), 1);
	ck_assert_uint_eq(stored("101", DLT_EN10MB, 100, 100), 100);
	ck_assert_uint_eq(stored("96", DLT_EN10MB, 0, 0), 0);
	ck_assert_uint_eq(stored("96", DLT_EN10MB, 50, 100), 96);
}
END_TEST

START_TEST(headers_cut_behind_the_headers_plus_n)
{
	ck_assert_uint_eq(stored("headers", DLT_EN10MB, 100, 100), 42);
	ck_assert_uint_eq(stored("headers+0", DLT_EN10MB, 100, 100), 42);
	ck_assert_uint_eq(stored("headers+8", DLT_EN10MB, 100, 100), 50);
	ck_assert_uint_eq(stored("headers+58", DLT_EN10MB, 100, 100), 100);
	ck_assert_uint_eq(stored("headers+262144", DLT_EN10MB, 100, 100), 100);
	ck_assert_uint_eq(stored("headers", DLT_EN10MB, 20, 20), 20);
	ck_assert_uint_eq(stored("headers", DLT_EN10MB, 0, 0), 0);
}
END_TEST

START_TEST(headers_of_an_unknown_link_cut_nothing)
{
	ck_assert_uint_eq(stored("headers", DLT_IEEE802_11, 100, 100), 100);
	/* Nor where the packet goes on in segments that the walk did not see. */
	ck_assert_uint_eq(stored("headers", DLT_IEEE802_11, 60, 100), 100);
	ck_assert_uint_eq(stored("headers", DLT_EN10MB, 40, 100), 100);
	ck_assert_uint_eq(stored("headers", DLT_EN10MB, 60, 100), 42);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cut");
	TCase *tc = tcase_create("cut");

	tcase_add_test(tc, wrong_text_is_an_error_that_names_it_and_stores_nothing);
	tcase_add_test(tc, error_says_the_value_and_the_rule);
	tcase_add_test(tc, zero_and_the_maximum_keep_all);
	tcase_add_test(tc, number_cuts_there_and_never_makes_a_packet_longer);
	tcase_add_test(tc, headers_cut_behind_the_headers_plus_n);
	tcase_add_test(tc, headers_of_an_unknown_link_cut_nothing);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
