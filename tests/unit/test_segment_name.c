/* rooms: archive common */
#include "wirespool/archive.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "suite_main.h"

#define START "20261121T033000.123Z"

START_TEST(names_that_are_not_ours_are_refused)
{
	static const char *const names[] = {
		"",
		".",
		"a.pcapng",
		"office-" START ".pcapng",
		"office-" START "-1.pcapng",
		"office-" START "-0001.pcapng",
		"office-" START "-00001.pcap",
		"office-" START "-00001.pcapng.tmp",
		"office-" START "-00001.pcapng.part.part",
		"office-" START "-00001",
		"office-" START "-0x001.pcapng",
		"office-" START "-000001.pcapng",
		"office-" START "-4294967296.pcapng",
		"office-" START "-99999999999.pcapng",
		"office" START "-00001.pcapng",
		"-" START "-00001.pcapng",
		START "-00001.pcapng",
		"office-20261321T033000.123Z-00001.pcapng",
		"office-20260021T033000.123Z-00001.pcapng",
		"office-20261132T033000.123Z-00001.pcapng",
		"office-20261121T243000.123Z-00001.pcapng",
		"office-20261121T036000.123Z-00001.pcapng",
		"office-20261121T033061.123Z-00001.pcapng",
		"office-20261121T033000,123Z-00001.pcapng",
		"office-20261121T033000.123-00001.pcapng",
		"office-2026112aT033000.123Z-00001.pcapng",
		"folder/office-" START "-00001.pcapng",
		".office-" START "-00001.pcapng",
	};
	struct archive_segment s = {.number = 77};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		ck_assert_msg(!segment_parse_name(names[i], &s), "taken: '%s'", names[i]);
	ck_assert_uint_eq(s.number, 77);
}
END_TEST

START_TEST(a_name_longer_than_a_run_id_may_be_is_refused)
{
	char name[ARCHIVE_RUN_ID_MAX + 64];
	struct archive_segment s;

	/* 127 bytes of run fit with their NUL, 128 do not. */
	for (unsigned int run_len = 127; run_len <= 128; run_len++) {
		unsigned int n = run_len - (unsigned int)strlen("-" START);

		memset(name, 'a', n);
		strcpy(name + n, "-" START "-00001.pcapng");
		ck_assert_int_eq(segment_parse_name(name, &s), run_len == 127);
	}
	ck_assert_uint_eq(strlen(s.run), 127);
}
END_TEST

START_TEST(a_sealed_name_is_split)
{
	struct archive_segment s;

	ck_assert(segment_parse_name("office-" START "-00001.pcapng", &s));
	ck_assert_str_eq(s.recording, "office");
	ck_assert_str_eq(s.run, "office-" START);
	ck_assert_uint_eq(s.number, 1);
	ck_assert(s.sealed);
	ck_assert_uint_eq(s.pkts, 0);
}
END_TEST

START_TEST(a_part_is_not_sealed)
{
	struct archive_segment s;

	ck_assert(segment_parse_name("office-" START "-00012.pcapng.part", &s));
	ck_assert_uint_eq(s.number, 12);
	ck_assert(!s.sealed);
}
END_TEST

START_TEST(a_recording_may_hold_dashes_dots_and_another_start)
{
	struct archive_segment s;

	ck_assert(segment_parse_name("a-b--" START "-00002.pcapng-" START "-00003.pcapng", &s));
	ck_assert_str_eq(s.recording, "a-b--" START "-00002.pcapng");
	ck_assert_uint_eq(s.number, 3);
}
END_TEST

START_TEST(numbers_grow_beyond_five_digits)
{
	struct archive_segment s;

	ck_assert(segment_parse_name("a-" START "-100000.pcapng", &s));
	ck_assert_uint_eq(s.number, 100000);
	ck_assert(segment_parse_name("a-" START "-4294967295.pcapng", &s));
	ck_assert_uint_eq(s.number, UINT32_MAX);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("segment_name");
	TCase *tc = tcase_create("names");

	tcase_add_test(tc, names_that_are_not_ours_are_refused);
	tcase_add_test(tc, a_name_longer_than_a_run_id_may_be_is_refused);
	tcase_add_test(tc, a_sealed_name_is_split);
	tcase_add_test(tc, a_part_is_not_sealed);
	tcase_add_test(tc, a_recording_may_hold_dashes_dots_and_another_start);
	tcase_add_test(tc, numbers_grow_beyond_five_digits);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
