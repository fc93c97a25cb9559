/* rooms: archive common */
#include "archive_files.h"

#include <errno.h>

#include "suite_main.h"

static struct file_builder f;
static struct archive_report report;

static void setup(void)
{
	folder_setup();
	f = (struct file_builder){0};
}

static void teardown(void)
{
	builder_done(&f);
	folder_teardown();
}

static void verify_as(const char *name)
{
	struct errbuf err = {""};

	ck_assert_int_eq(archive_verify(put_file(name, f.bytes, f.len), &report, &err), 0);
}

static void assert_fault(uint64_t off, const char *part_of_text)
{
	unsigned int n =
		report.fault_count < ARCHIVE_FAULTS_MAX ? report.fault_count : ARCHIVE_FAULTS_MAX;

	for (unsigned int i = 0; i < n; i++) {
		if (report.faults[i].file_off == off &&
			strstr(report.faults[i].text, part_of_text) != NULL)
			return;
	}
	ck_abort_msg("no fault at %llu with '%s'; %u faults, the first at %llu: '%s'",
		(unsigned long long)off, part_of_text, report.fault_count,
		(unsigned long long)report.faults[0].file_off, report.faults[0].text);
}

static void assert_only_fault(uint64_t off, const char *part_of_text)
{
	assert_fault(off, part_of_text);
	ck_assert_msg(report.fault_count == 1, "also: at %llu: '%s'",
		(unsigned long long)report.faults[1].file_off, report.faults[1].text);
}

static void assert_no_fault(void)
{
	ck_assert_msg(report.fault_count == 0, "at %llu: %s",
		(unsigned long long)report.faults[0].file_off, report.faults[0].text);
}

/* A sealed segment of three chunks: 3, 4 and 2 packets. */
static void build_segment(void)
{
	build_header(&f, 1);
	build_chunk(&f, 3);
	build_chunk(&f, 4);
	build_last_chunk(&f, 2);
}

static void put_u32_at(size_t off, uint32_t v)
{
	memcpy(f.bytes + off, &v, sizeof(v));
}

static size_t mark_off(unsigned int chunk)
{
	return (size_t)PCAPNG_ALIGN * (1 + chunk);
}

/* ---- what cannot be read ---- */

START_TEST(a_file_that_is_not_there_is_an_error)
{
	struct errbuf err = {""};

	ck_assert_int_eq(archive_verify(in_folder("none"), &report, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "none"));
}
END_TEST

START_TEST(a_folder_or_a_fifo_is_an_error_and_does_not_block)
{
	struct errbuf err = {""};

	ck_assert_int_eq(archive_verify(test_folder, &report, &err), -EINVAL);
	ck_assert_int_eq(mkfifo(in_folder("fifo"), 0600), 0);
	ck_assert_int_eq(archive_verify(in_folder("fifo"), &report, &err), -EINVAL);
}
END_TEST

START_TEST(an_empty_file_and_a_foreign_one_are_faults)
{
	verify_as("x.pcapng");
	assert_only_fault(0, "empty");
	build_bytes(&f, "\xd4\xc3\xb2\xa1 this is no pcapng file at all..", 36);
	verify_as("x.pcapng");
	ck_assert_uint_eq(report.fault_count, 1);
	ck_assert_uint_eq(report.pkts, 0);
}
END_TEST

/* ---- blocks ---- */

START_TEST(a_file_cut_at_any_byte_has_a_fault)
{
	build_segment();
	for (size_t len = 0; len < f.len; len++) {
		size_t whole = f.len;

		/* All of the tail, and samples of the rest. */
		if (len < f.len - 400 && len % 97 != 0)
			continue;
		f.len = len;
		verify_as(TEST_FINAL);
		ck_assert_msg(report.fault_count > 0, "cut at %zu is not found", len);
		f.len = whole;
	}
}
END_TEST

START_TEST(any_changed_word_of_marks_and_end_block_is_found)
{
	size_t begins[] = {mark_off(0), mark_off(1), mark_off(2), 0};

	build_segment();
	begins[3] = f.len - sizeof(struct wirespool_end);
	for (size_t i = 0; i < 4; i++) {
		for (size_t word = 0;
			word < (i < 3 ? sizeof(f.mark) : sizeof(struct wirespool_end)); word += 4) {
			f.bytes[begins[i] + word] ^= 4;
			verify_as(TEST_FINAL);
			ck_assert_msg(report.fault_count > 0, "word %zu of %zu", word, begins[i]);
			f.bytes[begins[i] + word] ^= 4;
		}
	}
	verify_as(TEST_FINAL);
	assert_no_fault();
}
END_TEST

START_TEST(lengths_that_cannot_be_are_told_with_their_offset)
{
	size_t packet;

	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, 0, 6);
	packet = f.len;
	build_packet_raw(&f, 0, 1, 60, 60, 0);
	put_u32_at(packet + 4, 8);
	verify_as("x.pcapng");
	assert_only_fault(packet, "less than 12");
	put_u32_at(packet + 4, 93);
	verify_as("x.pcapng");
	assert_only_fault(packet, "multiple of 4");
	put_u32_at(packet + 4, 0xfffffffc);
	verify_as("x.pcapng");
	assert_only_fault(packet, "ends behind");
	put_u32_at(packet + 4, 88);
	verify_as("x.pcapng");
	assert_only_fault(packet, "two lengths differ");
}
END_TEST

START_TEST(packets_that_cannot_be_are_told_with_their_offset)
{
	size_t packet;

	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, 0, 6);
	packet = f.len;
	build_packet_raw(&f, 0, 1, 60, 60, 0);
	put_u32_at(packet + 20, 61);
	verify_as("x.pcapng");
	assert_only_fault(packet, "captured");
	put_u32_at(packet + 20, 60);
	put_u32_at(packet + 24, 59);
	verify_as("x.pcapng");
	assert_only_fault(packet, "more than original length 59");
	put_u32_at(packet + 24, 60);
	put_u32_at(packet + 8, 1);
	verify_as("x.pcapng");
	assert_only_fault(packet, "not described");
	put_u32_at(packet + 8, 0);
	put_u32_at(packet + 20, 0xfffffffd);
	verify_as("x.pcapng");
	assert_only_fault(packet, "behind their block");
}
END_TEST

START_TEST(an_option_that_leaves_its_block_or_has_a_wrong_length_is_told)
{
	size_t packet, option;

	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, 0, 6);
	packet = f.len;
	build_packet_raw(&f, 0, 1, 60, 60, 5);
	option = packet + 28 + 60;
	verify_as("x.pcapng");
	assert_no_fault();
	ck_assert_uint_eq(report.dropcount_pkts, 5);
	put_u32_at(option, EPB_DROPCOUNT | 40 << 16);
	verify_as("x.pcapng");
	assert_only_fault(packet, "behind its block");
	put_u32_at(option, EPB_DROPCOUNT | 4 << 16);
	verify_as("x.pcapng");
	assert_only_fault(packet, "fixed length");
}
END_TEST

/* ---- our own rules ---- */

START_TEST(a_sealed_segment_is_without_fault_and_counted)
{
	build_segment();
	verify_as(TEST_FINAL);
	assert_no_fault();
	ck_assert(report.ours && report.sealed && !report.recovered);
	ck_assert_uint_eq(report.pkts, 9);
	ck_assert_uint_eq(report.captured_bytes, 900);
	ck_assert_uint_eq(report.wire_bytes, 13500);
	ck_assert_uint_eq(report.first_ns, TEST_T0);
	ck_assert_uint_eq(report.last_ns, TEST_T0 + 8000);
	ck_assert_uint_eq(report.interfaces, 1);
	ck_assert(report.has_statistics);
	ck_assert_uint_eq(report.ifrecv_pkts, 1000);
	ck_assert_uint_eq(report.ifdrop_pkts, 10);
	ck_assert_uint_eq(report.filteraccept_pkts, 900);
	ck_assert_uint_eq(report.osdrop_pkts, 20);
	ck_assert_uint_eq(report.usrdeliv_pkts, 880);
	ck_assert_uint_eq(report.file_bytes, f.len);
	assert_others_read(in_folder(TEST_FINAL), 9);
}
END_TEST

START_TEST(times_that_go_back_are_told)
{
	size_t packet;

	build_header(&f, 1);
	chunk_begin(&f);
	build_packet(&f, TEST_T0 + 5, 60, 60);
	packet = f.len;
	build_packet(&f, TEST_T0 + 4, 60, 60);
	chunk_finish(&f);
	build_last_chunk(&f, 0);
	verify_as(TEST_FINAL);
	assert_fault(packet, "goes back by 1 ns");
}
END_TEST

START_TEST(interfaces_must_share_link_type_snaplen_and_nanoseconds)
{
	size_t second, third, fourth;

	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, PCAPNG_SNAPLEN, 9);
	second = f.len;
	build_interface(&f, 101, PCAPNG_SNAPLEN, 9);
	third = f.len;
	build_interface(&f, 1, 0, 9);
	fourth = f.len;
	build_interface(&f, 1, PCAPNG_SNAPLEN, 6);
	build_to_boundary(&f);
	build_last_chunk(&f, 1);
	verify_as(TEST_FINAL);
	assert_fault(second, "link type is 101");
	assert_fault(third, "snaplen is 0");
	assert_fault(fourth, "nanoseconds");
	ck_assert_uint_eq(report.fault_count, 3);
}
END_TEST

START_TEST(a_missing_chunk_is_told_unless_recovery_accounts_for_it)
{
	struct wirespool_end end;
	size_t end_off;

	build_segment();
	end_off = f.len - sizeof(end);
	memset(f.bytes + mark_off(1), 0, PCAPNG_ALIGN);
	f.len = mark_off(1);
	build_padding(&f, PCAPNG_ALIGN);
	f.len = end_off + sizeof(end);
	verify_as(TEST_FINAL);
	assert_fault(mark_off(1), "padding between chunks");
	memcpy(&end, f.bytes + end_off, sizeof(end));
	end.recovered = 1;
	end.missing_pkts = 4;
	end.pkts = 5;
	end.captured_bytes = 500;
	end.wire_bytes = 7500;
	memcpy(f.bytes + end_off, &end, sizeof(end));
	verify_as(TEST_FINAL);
	assert_no_fault();
	ck_assert(report.recovered);
	ck_assert_uint_eq(report.missing_pkts, 4);
	end.missing_pkts = 3;
	memcpy(f.bytes + end_off, &end, sizeof(end));
	verify_as(TEST_FINAL);
	assert_only_fault(end_off, "missing packets 3");
}
END_TEST

START_TEST(a_damaged_chunk_does_not_hide_the_faults_behind_it)
{
	build_segment();
	put_u32_at(mark_off(0) + sizeof(f.mark) + 4, 8);
	put_u32_at(mark_off(2) + sizeof(f.mark) + 8, 7);
	verify_as(TEST_FINAL);
	assert_fault(mark_off(0) + sizeof(f.mark), "less than 12");
	assert_fault(mark_off(2) + sizeof(f.mark), "not described");
}
END_TEST

START_TEST(a_file_of_another_run_under_our_name_is_told)
{
	build_segment();
	verify_as("other-20261121T033000.123Z-00001.pcapng");
	assert_fault(mark_off(0), "another run");
	verify_as(TEST_RUN "-00002.pcapng");
	assert_fault(mark_off(0), "segment 1, not 2");
	verify_as("renamed-by-its-user.pcapng");
	assert_no_fault();
}
END_TEST

START_TEST(a_block_behind_the_end_block_is_told)
{
	size_t off;

	build_segment();
	off = f.len;
	build_padding(&f, 16);
	verify_as(TEST_FINAL);
	assert_fault(off, "follows the end block");
}
END_TEST

START_TEST(padding_that_is_not_zeros_is_told)
{
	build_segment();
	f.bytes[mark_off(1) - 8] = 1;
	verify_as(TEST_FINAL);
	assert_only_fault(mark_off(0) + sizeof(f.mark) + 3 * 132, "not zeros");
}
END_TEST

START_TEST(no_end_block_is_a_fault_except_in_a_part)
{
	build_header(&f, 1);
	build_chunk(&f, 3);
	verify_as(TEST_FINAL);
	assert_only_fault(f.len, "never sealed");
	verify_as(TEST_PART);
	assert_no_fault();
	ck_assert(report.ours && !report.sealed);
}
END_TEST

/* ---- files of other tools ---- */

START_TEST(a_big_endian_file_is_read)
{
	static const uint64_t counters[5] = {11, 12, 13, 14, 15};

	f.big_endian = true;
	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, 65535, 6);
	build_packet_raw(&f, 0, 1795231800123456ULL, 60, 1514, 3);
	build_statistics(&f, 0, 1795231800123456ULL, counters);
	verify_as("x.pcapng");
	assert_no_fault();
	ck_assert(!report.ours && !report.sealed);
	ck_assert_uint_eq(report.pkts, 1);
	ck_assert_uint_eq(report.wire_bytes, 1514);
	ck_assert_uint_eq(report.first_ns, 1795231800123456000ULL);
	ck_assert_uint_eq(report.dropcount_pkts, 3);
	ck_assert_uint_eq(report.ifrecv_pkts, 11);
	ck_assert_uint_eq(report.usrdeliv_pkts, 15);
	assert_others_read(in_folder("x.pcapng"), 1);
}
END_TEST

START_TEST(sections_of_either_byte_order_may_follow_each_other)
{
	size_t begin;

	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, 65535, 6);
	build_packet_raw(&f, 0, 1000, 60, 60, 0);
	begin = f.len;
	f.big_endian = true;
	build_section(&f, 20 + 92);
	build_interface(&f, 101, 0, 6);
	build_packet_raw(&f, 0, 2000, 60, 60, 0);
	verify_as("x.pcapng");
	assert_no_fault();
	ck_assert_uint_eq(report.pkts, 2);
	ck_assert_uint_eq(report.interfaces, 2);
	ck_assert_uint_eq(report.last_ns, 2000000);
	f.bytes[begin + 23] = 4;
	verify_as("x.pcapng");
	assert_only_fault(begin, "section ends at");
}
END_TEST

START_TEST(our_files_joined_by_cat_are_without_fault)
{
	size_t len;

	build_segment();
	len = f.len;
	build_bytes(&f, NULL, len);
	memcpy(f.bytes + len, f.bytes, len);
	verify_as("joined.pcapng");
	assert_no_fault();
	ck_assert(report.sealed);
	ck_assert_uint_eq(report.pkts, 18);
	ck_assert_uint_eq(report.ifrecv_pkts, 2000);
}
END_TEST

START_TEST(simple_old_unknown_and_name_blocks_are_taken)
{
	size_t off;

	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, 64, 6);
	off = block_begin(&f, 3); /* simple packet: cut by the snaplen */
	build_u32(&f, 1000);
	build_bytes(&f, NULL, 64);
	block_finish(&f, off);
	off = block_begin(&f, 2); /* old packet */
	build_uint(&f, 0, 2);
	build_uint(&f, 7, 2);
	build_uint(&f, 0, 4);
	build_uint(&f, 5000, 4);
	build_u32(&f, 3);
	build_u32(&f, 9);
	build_bytes(&f, NULL, 4);
	block_finish(&f, off);
	off = block_begin(&f, 4); /* name resolution: its end of records */
	build_u32(&f, 0);
	block_finish(&f, off);
	off = block_begin(&f, 0x8000cafe);
	block_finish(&f, off);
	verify_as("x.pcapng");
	assert_no_fault();
	ck_assert_uint_eq(report.pkts, 2);
	ck_assert_uint_eq(report.captured_bytes, 67);
	ck_assert_uint_eq(report.wire_bytes, 1009);
	ck_assert_uint_eq(report.dropcount_pkts, 7);
	ck_assert_uint_eq(report.last_ns, 5000000);
	ck_assert_uint_eq(report.blocks, 6);
}
END_TEST

START_TEST(times_of_every_resolution_become_nanoseconds)
{
	static const struct {
		uint8_t tsresol;
		uint64_t time, ns;
	} cases[] = {
		{0, 5, 5000000000ULL},
		{3, 1234, 1234000000ULL},
		{9, 1234, 1234},
		{12, 1234000, 1234},
		{127, UINT64_MAX, 0},
		{0x80, 7, 7000000000ULL},
		{0x80 | 20, 1 << 19, 500000000ULL},
		{0xff, UINT64_MAX, 0},
		{0, UINT64_MAX, UINT64_MAX},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f.len = 0;
		build_section(&f, UINT64_MAX);
		build_interface(&f, 1, 0, cases[i].tsresol);
		build_packet_raw(&f, 0, cases[i].time, 60, 60, 0);
		verify_as("x.pcapng");
		assert_no_fault();
		ck_assert_uint_eq(report.last_ns, cases[i].ns);
	}
}
END_TEST

START_TEST(a_block_longer_than_the_window_is_taken)
{
	size_t off;

	build_section(&f, UINT64_MAX);
	build_interface(&f, 1, 0, 6);
	off = block_begin(&f, 0x0000000a); /* secrets */
	build_bytes(&f, NULL, 9 << 20);
	block_finish(&f, off);
	build_packet_raw(&f, 0, 1, 5 << 20, 5 << 20, 2);
	build_packet_raw(&f, 0, 1, 60, 60, 0);
	verify_as("x.pcapng");
	assert_no_fault();
	ck_assert_uint_eq(report.pkts, 2);
	ck_assert_uint_eq(report.dropcount_pkts, 2);
}
END_TEST

START_TEST(more_faults_than_fit_are_counted)
{
	build_section(&f, UINT64_MAX);
	for (unsigned int i = 0; i < 100; i++)
		build_packet_raw(&f, 0, 1, 60, 60, 0);
	verify_as("x.pcapng");
	ck_assert_uint_eq(report.fault_count, 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verify");
	TCase *tc = tcase_create("verify");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_file_that_is_not_there_is_an_error);
	tcase_add_test(tc, a_folder_or_a_fifo_is_an_error_and_does_not_block);
	tcase_add_test(tc, an_empty_file_and_a_foreign_one_are_faults);
	tcase_add_test(tc, a_file_cut_at_any_byte_has_a_fault);
	tcase_add_test(tc, any_changed_word_of_marks_and_end_block_is_found);
	tcase_add_test(tc, lengths_that_cannot_be_are_told_with_their_offset);
	tcase_add_test(tc, packets_that_cannot_be_are_told_with_their_offset);
	tcase_add_test(tc, an_option_that_leaves_its_block_or_has_a_wrong_length_is_told);
	tcase_add_test(tc, a_sealed_segment_is_without_fault_and_counted);
	tcase_add_test(tc, times_that_go_back_are_told);
	tcase_add_test(tc, interfaces_must_share_link_type_snaplen_and_nanoseconds);
	tcase_add_test(tc, a_missing_chunk_is_told_unless_recovery_accounts_for_it);
	tcase_add_test(tc, a_damaged_chunk_does_not_hide_the_faults_behind_it);
	tcase_add_test(tc, a_file_of_another_run_under_our_name_is_told);
	tcase_add_test(tc, a_block_behind_the_end_block_is_told);
	tcase_add_test(tc, padding_that_is_not_zeros_is_told);
	tcase_add_test(tc, no_end_block_is_a_fault_except_in_a_part);
	tcase_add_test(tc, a_big_endian_file_is_read);
	tcase_add_test(tc, sections_of_either_byte_order_may_follow_each_other);
	tcase_add_test(tc, our_files_joined_by_cat_are_without_fault);
	tcase_add_test(tc, simple_old_unknown_and_name_blocks_are_taken);
	tcase_add_test(tc, times_of_every_resolution_become_nanoseconds);
	tcase_add_test(tc, a_block_longer_than_the_window_is_taken);
	tcase_add_test(tc, more_faults_than_fit_are_counted);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
