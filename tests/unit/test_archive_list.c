/* rooms: archive common */
#include "archive_files.h"

#include <errno.h>

#include "suite_main.h"

static struct file_builder f;
static struct archive_segment *segments;
static size_t count;

static void setup(void)
{
	folder_setup();
	f = (struct file_builder){0};
	segments = NULL;
}

static void teardown(void)
{
	free(segments);
	builder_done(&f);
	folder_teardown();
}

static void list(void)
{
	struct errbuf err = {""};

	free(segments);
	ck_assert_int_eq(archive_list(test_folder, &segments, &count, &err), 0);
}

START_TEST(a_folder_that_is_not_there_is_an_error)
{
	struct errbuf err = {""};

	ck_assert_int_eq(archive_list(in_folder("none"), &segments, &count, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "none"));
	ck_assert_int_eq(archive_list(put_file("x", "", 0), &segments, &count, &err), -ENOTDIR);
}
END_TEST

START_TEST(foreign_files_are_passed_over)
{
	put_file("notes.txt", "x", 1);
	put_file("trace.pcapng", "x", 1);
	ck_assert_int_eq(mkfifo(in_folder(TEST_FINAL), 0600), 0);
	ck_assert_int_eq(symlink("/etc/passwd", in_folder(TEST_PART)), 0);
	ck_assert_int_eq(mkdir(in_folder(TEST_RUN "-00009.pcapng"), 0700), 0);
	list();
	ck_assert_uint_eq(count, 0);
}
END_TEST

START_TEST(what_cannot_be_read_is_listed_by_its_name)
{
	put_file(TEST_RUN "-00001.pcapng", "", 0);
	put_file(TEST_RUN "-00002.pcapng.part", "", 0);
	put_file(TEST_RUN "-00003.pcapng", "garbage", 7);
	build_bytes(&f, NULL, 20000);
	put_file(TEST_RUN "-00004.pcapng", f.bytes, f.len);
	put_file(TEST_RUN "-00005.pcapng.part", f.bytes, f.len);
	list();
	ck_assert_uint_eq(count, 5);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(segments[i].number, i + 1);
		ck_assert_uint_eq(segments[i].pkts, 0);
	}
	ck_assert_uint_eq(segments[2].file_bytes, 7);
}
END_TEST

START_TEST(an_end_block_of_another_run_is_not_believed)
{
	build_header(&f, 1);
	build_last_chunk(&f, 5);
	put_file("other-20261121T033000.123Z-00001.pcapng", f.bytes, f.len);
	list();
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(segments[0].pkts, 0);
}
END_TEST

START_TEST(a_sealed_file_says_its_totals)
{
	build_header(&f, 1);
	build_chunk(&f, 3);
	build_last_chunk(&f, 2);
	put_file(TEST_FINAL, f.bytes, f.len);
	list();
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(segments[0].path, in_folder(TEST_FINAL));
	ck_assert_str_eq(segments[0].recording, "of-fice");
	ck_assert(segments[0].sealed && !segments[0].recovered);
	ck_assert_uint_eq(segments[0].file_bytes, f.len);
	ck_assert_uint_eq(segments[0].pkts, 5);
	ck_assert_uint_eq(segments[0].captured_bytes, 500);
	ck_assert_uint_eq(segments[0].wire_bytes, 7500);
	ck_assert_uint_eq(segments[0].first_ns, TEST_T0);
	ck_assert_uint_eq(segments[0].last_ns, TEST_T0 + 4000);
}
END_TEST

START_TEST(a_part_is_counted_by_its_marks_over_a_hole_and_zeros)
{
	size_t hole;

	build_header(&f, 1);
	build_chunk(&f, 3);
	hole = f.len;
	build_chunk(&f, 4);
	memset(f.bytes + hole, 0, f.len - hole);
	build_chunk(&f, 5);
	build_bytes(&f, NULL, 3 << 20);
	put_file(TEST_PART, f.bytes, f.len);
	list();
	ck_assert_uint_eq(count, 1);
	ck_assert(!segments[0].sealed);
	ck_assert_uint_eq(segments[0].pkts, 8);
	ck_assert_uint_eq(segments[0].first_ns, TEST_T0);
	ck_assert_uint_eq(segments[0].last_ns, TEST_T0 + 11000);
}
END_TEST

START_TEST(the_order_is_run_then_number)
{
	static const char *const names[] = {
		"a-20261121T033000.123Z-00002.pcapng",
		"a-20261121T033000.123Z-100000.pcapng",
		"a-20261121T043000.123Z-00001.pcapng.part",
		"b-20261121T023000.123Z-00001.pcapng",
	};

	for (size_t i = 4; i-- > 0;)
		put_file(names[i], "", 0);
	list();
	ck_assert_uint_eq(count, 4);
	for (size_t i = 0; i < 4; i++)
		ck_assert_str_eq(segments[i].path, in_folder(names[i]));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("archive_list");
	TCase *tc = tcase_create("list");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_folder_that_is_not_there_is_an_error);
	tcase_add_test(tc, foreign_files_are_passed_over);
	tcase_add_test(tc, what_cannot_be_read_is_listed_by_its_name);
	tcase_add_test(tc, an_end_block_of_another_run_is_not_believed);
	tcase_add_test(tc, a_sealed_file_says_its_totals);
	tcase_add_test(tc, a_part_is_counted_by_its_marks_over_a_hole_and_zeros);
	tcase_add_test(tc, the_order_is_run_then_number);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
