/* rooms: common */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "suite_main.h"
#include "wirespool/units.h"

static struct errbuf err;

static uint64_t size_of(const char *text)
{
	uint64_t bytes = 0;

	ck_assert_msg(size_parse(text, &bytes, &err) == 0, "%s", err.text);
	return bytes;
}

static uint64_t duration_of(const char *text)
{
	uint64_t ns = 0;

	ck_assert_msg(duration_parse(text, &ns, &err) == 0, "%s", err.text);
	return ns;
}

START_TEST(what_is_no_size_is_refused_with_its_text_and_a_better_one)
{
	static const char *const wrong[] = {"", "x", "64x", "-1", "1.", ".5", "64  MiB", "64 ",
		" 64", "64MiBB", "0x10", "1e3", "MiB"};
	uint64_t bytes = 7;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_msg(size_parse(wrong[i], &bytes, &err) == -EINVAL, "'%s'", wrong[i]);
		ck_assert_ptr_nonnull(strstr(err.text, wrong[i]));
		ck_assert_ptr_nonnull(strstr(err.text, "64MiB"));
	}
	ck_assert_uint_eq(bytes, 7);
}
END_TEST

START_TEST(a_size_past_64_bits_does_not_wrap)
{
	uint64_t bytes;

	ck_assert_int_eq(size_parse("18446744073709551616", &bytes, &err), -ERANGE);
	ck_assert_int_eq(size_parse("99999999TiB", &bytes, &err), -ERANGE);
}
END_TEST

START_TEST(sizes_have_binary_and_decimal_units)
{
	ck_assert_uint_eq(size_of("0"), 0);
	ck_assert_uint_eq(size_of("4096"), 4096);
	ck_assert_uint_eq(size_of("64KiB"), 65536);
	ck_assert_uint_eq(size_of("64k"), 64000);
	ck_assert_uint_eq(size_of("1.5GiB"), 1610612736);
	ck_assert_uint_eq(size_of("10MB"), 10000000);
	ck_assert_uint_eq(size_of("15TiB"), 15ULL << 40);
	ck_assert_uint_eq(size_of("20 KiB"), 20480);
}
END_TEST

START_TEST(a_time_without_a_unit_is_refused)
{
	uint64_t ns;

	ck_assert_int_eq(duration_parse("10", &ns, &err), -EINVAL);
	ck_assert_int_eq(duration_parse("10x", &ns, &err), -EINVAL);
	ck_assert_int_eq(duration_parse("1h30", &ns, &err), -EINVAL);
	ck_assert_int_eq(duration_parse("", &ns, &err), -EINVAL);
	ck_assert_int_eq(duration_parse("300000000d", &ns, &err), -ERANGE);
}
END_TEST

START_TEST(times_add_up_their_parts)
{
	ck_assert_uint_eq(duration_of("0"), 0);
	ck_assert_uint_eq(duration_of("500ms"), 500000000);
	ck_assert_uint_eq(duration_of("1h30m"), 5400 * NS_PER_SEC);
	ck_assert_uint_eq(duration_of("0.5s"), 500000000);
	ck_assert_uint_eq(duration_of("1d"), 86400 * NS_PER_SEC);
}
END_TEST

START_TEST(rates_take_the_usual_suffixes)
{
	uint64_t bps = 0;

	ck_assert_int_eq(rate_parse("40G", &bps, &err), 0);
	ck_assert_uint_eq(bps, 40000000000ULL);
	ck_assert_int_eq(rate_parse("2.5Gbit/s", &bps, &err), 0);
	ck_assert_uint_eq(bps, 2500000000ULL);
	ck_assert_int_eq(rate_parse("100Mbps", &bps, &err), 0);
	ck_assert_uint_eq(bps, 100000000ULL);
	ck_assert_int_eq(rate_parse("fast", &bps, &err), -EINVAL);
}
END_TEST

START_TEST(numbers_keep_their_range)
{
	uint64_t n = 5;

	ck_assert_int_eq(number_parse("65", "depth", 1, 64, &n, &err), -EINVAL);
	ck_assert_str_eq(err.text, "depth must be a whole number in 1..64, got \"65\"");
	ck_assert_int_eq(number_parse("-1", "depth", 0, 64, &n, &err), -EINVAL);
	ck_assert_int_eq(number_parse("64", "depth", 1, 64, &n, &err), 0);
	ck_assert_uint_eq(n, 64);
}
END_TEST

START_TEST(what_is_formatted_reads_well)
{
	char buf[UNITS_TEXT];

	ck_assert_str_eq(size_format(1023, buf), "1023 B");
	ck_assert_str_eq(size_format(1536, buf), "1.5 KiB");
	ck_assert_str_eq(size_format(UINT64_MAX, buf), "16.0 EiB");
	ck_assert_str_eq(size_format(1048500, buf), "1023.9 KiB");
	ck_assert_str_eq(size_format(1048575, buf), "1.0 MiB");
	ck_assert_str_eq(count_format(0, buf), "0");
	ck_assert_str_eq(count_format(1234567, buf), "1,234,567");
	ck_assert_str_eq(duration_format(5400 * NS_PER_SEC, buf), "1h30m");
	ck_assert_str_eq(duration_format(1500000000, buf), "1.5s");
	ck_assert_str_eq(rate_format(39.8e9, buf), "39.8 Gbit/s");
	ck_assert_str_eq(packet_rate_format(0.2, buf), "0 pkt/s");
	ck_assert_str_eq(packet_rate_format(999, buf), "999 pkt/s");
	ck_assert_str_eq(packet_rate_format(59.52e6, buf), "59.5 Mpkt/s");
	ck_assert_str_eq(packet_rate_format(999.6, buf), "1.0 kpkt/s");
	ck_assert_str_eq(byte_rate_format(5e9, buf), "5.0 GB/s");
	ck_assert_str_eq(byte_rate_format(999.94e6, buf), "999.9 MB/s");
	ck_assert_str_eq(byte_rate_format(999.96e6, buf), "1.0 GB/s");
	ck_assert_str_eq(utc_format(1700000000123000000ULL, buf), "2023-11-14T22:13:20.123Z");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("units");
	TCase *c = tcase_create("units");

	tcase_add_test(c, what_is_no_size_is_refused_with_its_text_and_a_better_one);
	tcase_add_test(c, a_size_past_64_bits_does_not_wrap);
	tcase_add_test(c, sizes_have_binary_and_decimal_units);
	tcase_add_test(c, a_time_without_a_unit_is_refused);
	tcase_add_test(c, times_add_up_their_parts);
	tcase_add_test(c, rates_take_the_usual_suffixes);
	tcase_add_test(c, numbers_keep_their_range);
	tcase_add_test(c, what_is_formatted_reads_well);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
