/* rooms: archive common */
#include "archive_files.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include "suite_main.h"

static struct file_builder f;
static struct recover_report recovered;
static struct archive_report report;

/* pwrite() of this program: a disk that dies at a chosen write, having taken half of it. */
static int writes_until_death = -1;
static bool disk_full;

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t off)
{
	if (writes_until_death == 0) {
		if (disk_full) {
			errno = ENOSPC;
			return -1;
		}
		if (len > 1) {
			(void)syscall(SYS_pwrite64, fd, bytes, len / 2, off);
		}
		errno = EIO;
		return -1;
	}
	if (writes_until_death > 0)
		writes_until_death--;
	return syscall(SYS_pwrite64, fd, bytes, len, off);
}

static void setup(void)
{
	folder_setup();
	f = (struct file_builder){0};
	writes_until_death = -1;
	disk_full = false;
}

static void teardown(void)
{
	builder_done(&f);
	folder_teardown();
}

static int recover(void)
{
	struct errbuf err = {""};
	int r = archive_recover(in_folder(TEST_PART), &recovered, &err);

	ck_assert(r == 0 || strstr(err.text, TEST_PART) != NULL);
	return r;
}

/* The one claim of all that follow: what recovery seals is a valid file, to us and to others. */
static void assert_sealed(uint64_t pkts, uint64_t missing)
{
	struct errbuf err = {""};
	const char *path = in_folder(TEST_FINAL);

	ck_assert(!exists(in_folder(TEST_PART)));
	ck_assert_int_eq(archive_verify(path, &report, &err), 0);
	ck_assert_msg(report.fault_count == 0, "at %llu: %s",
		(unsigned long long)report.faults[0].file_off, report.faults[0].text);
	ck_assert(report.ours && report.sealed);
	ck_assert_uint_eq(report.pkts, pkts);
	ck_assert_uint_eq(report.missing_pkts, missing);
	assert_others_read(path, (long)pkts);
}

static void recover_to(uint64_t pkts, uint64_t missing)
{
	put_file(TEST_PART, f.bytes, f.len);
	ck_assert_int_eq(recover(), 0);
	ck_assert(!recovered.removed);
	ck_assert_str_eq(recovered.sealed_path, in_folder(TEST_FINAL));
	ck_assert_uint_eq(recovered.pkts, pkts);
	ck_assert_uint_eq(recovered.missing_pkts, missing);
	assert_sealed(pkts, missing);
}

static void zero(size_t begin, size_t end)
{
	memset(f.bytes + begin, 0, end - begin);
}

/* Header of 4 KiB, then chunks of 10, 20, 30 and 40 packets; *ret_offs where each begins. */
static void build_four_chunks(size_t ret_offs[5])
{
	build_header(&f, 2);
	for (unsigned int i = 0; i < 4; i++) {
		ret_offs[i] = f.len;
		build_chunk(&f, (i + 1) * 10);
	}
	ret_offs[4] = f.len;
}

/* ---- what must not be touched ---- */

START_TEST(names_that_are_not_parts_of_ours_are_refused)
{
	static const char *const names[] = {TEST_FINAL, "x.pcapng.part", "x"};
	struct errbuf err = {""};

	for (size_t i = 0; i < 3; i++) {
		const char *path = put_file(names[i], "x", 1);

		ck_assert_int_eq(archive_recover(path, &recovered, &err), -EINVAL);
		ck_assert(exists(path));
	}
	ck_assert_int_eq(recover(), -ENOENT);
}
END_TEST

START_TEST(a_file_that_a_writer_has_locked_is_left_alone)
{
	size_t offs[5];
	int fd;

	build_four_chunks(offs);
	put_file(TEST_PART, f.bytes, f.len);
	fd = open(in_folder(TEST_PART), O_RDWR);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	ck_assert_int_eq(recover(), -EBUSY);
	ck_assert_uint_eq(size_of(in_folder(TEST_PART)), f.len);
	close(fd);
	ck_assert_int_eq(recover(), 0);
}
END_TEST

START_TEST(a_sealed_file_of_that_name_is_never_replaced)
{
	size_t offs[5];

	build_four_chunks(offs);
	put_file(TEST_PART, f.bytes, f.len);
	put_file(TEST_FINAL, "precious", 8);
	ck_assert_int_eq(recover(), -EEXIST);
	ck_assert_uint_eq(size_of(in_folder(TEST_FINAL)), 8);
	ck_assert_uint_eq(size_of(in_folder(TEST_PART)), f.len);
}
END_TEST

START_TEST(a_symlink_or_folder_of_that_name_is_refused)
{
	put_file("victim", "precious", 8);
	ck_assert_int_eq(symlink("victim", in_folder(TEST_PART)), 0);
	ck_assert_int_eq(recover(), -ELOOP);
	ck_assert_int_eq(unlink(in_folder(TEST_PART)), 0);
	ck_assert_int_eq(mkdir(in_folder(TEST_PART), 0700), 0);
	ck_assert_int_lt(recover(), 0);
	ck_assert_uint_eq(size_of(in_folder("victim")), 8);
}
END_TEST

START_TEST(a_file_that_is_not_pcapng_is_left_as_it_is)
{
	build_bytes(&f, "no header of ours, but perhaps dear to somebody", 44);
	put_file(TEST_PART, f.bytes, f.len);
	ck_assert_int_eq(recover(), -EBADMSG);
	ck_assert_uint_eq(size_of(in_folder(TEST_PART)), 44);
}
END_TEST

START_TEST(a_file_of_another_run_is_left_as_it_is)
{
	static const char other[] = "other-20261121T033000.123Z-00001.pcapng.part";
	struct errbuf err = {""};
	size_t offs[5];

	build_four_chunks(offs);
	zero(offs[0], offs[1]);
	put_file(other, f.bytes, f.len);
	ck_assert_int_eq(archive_recover(in_folder(other), &recovered, &err), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(err.text, "another run"));
	ck_assert_uint_eq(size_of(in_folder(other)), f.len);
}
END_TEST

START_TEST(chunks_without_a_header_are_left_as_they_are)
{
	size_t offs[5];

	build_four_chunks(offs);
	zero(0, offs[0]);
	put_file(TEST_PART, f.bytes, f.len);
	ck_assert_int_eq(recover(), -EBADMSG);
	ck_assert_uint_eq(size_of(in_folder(TEST_PART)), f.len);
}
END_TEST

START_TEST(a_full_disk_is_an_error_and_the_part_stays)
{
	size_t offs[5];

	build_four_chunks(offs);
	put_file(TEST_PART, f.bytes, f.len);
	writes_until_death = 0;
	disk_full = true;
	ck_assert_int_eq(recover(), -ENOSPC);
	ck_assert(exists(in_folder(TEST_PART)) && !exists(in_folder(TEST_FINAL)));
}
END_TEST

/* ---- what is removed ---- */

START_TEST(a_file_without_a_header_is_removed)
{
	put_file(TEST_PART, "", 0);
	ck_assert_int_eq(recover(), 0);
	ck_assert(recovered.removed);
	ck_assert(!exists(in_folder(TEST_PART)) && !exists(in_folder(TEST_FINAL)));
	build_bytes(&f, NULL, 2 << 20);
	put_file(TEST_PART, f.bytes, f.len);
	ck_assert_int_eq(recover(), 0);
	ck_assert(recovered.removed);
	ck_assert(!exists(in_folder(TEST_PART)) && !exists(in_folder(TEST_FINAL)));
}
END_TEST

/* ---- what is sealed ---- */

START_TEST(a_header_alone_becomes_a_file_without_packets)
{
	build_header(&f, 1);
	recover_to(0, 0);
	ck_assert(report.recovered);
}
END_TEST

START_TEST(whole_chunks_are_all_kept)
{
	size_t offs[5];

	build_four_chunks(offs);
	recover_to(100, 0);
	ck_assert(report.recovered);
	ck_assert_uint_eq(recovered.hole_bytes, 0);
	ck_assert_uint_eq(recovered.cut_bytes, 0);
	ck_assert_uint_eq(report.last_ns, TEST_T0 + 99 * 1000);
}
END_TEST

START_TEST(a_preallocated_tail_is_cut)
{
	size_t offs[5];

	build_four_chunks(offs);
	put_file(TEST_PART, f.bytes, f.len);
	ck_assert_int_eq(truncate(in_folder(TEST_PART), (off_t)8 << 30), 0);
	ck_assert_int_eq(recover(), 0);
	ck_assert_uint_eq(recovered.cut_bytes, (8ULL << 30) - f.len);
	assert_sealed(100, 0);
	ck_assert_uint_lt(report.file_bytes, f.len + PCAPNG_ALIGN);
}
END_TEST

START_TEST(a_hole_is_filled_and_its_packets_are_counted_as_missing)
{
	size_t offs[5];

	build_four_chunks(offs);
	zero(offs[1], offs[3]);
	recover_to(50, 50);
	ck_assert_uint_eq(recovered.hole_bytes, offs[3] - offs[1]);
	ck_assert(report.recovered);
}
END_TEST

START_TEST(a_hole_at_the_begin_is_filled)
{
	size_t offs[5];

	build_four_chunks(offs);
	zero(offs[0], offs[1]);
	recover_to(90, 10);
}
END_TEST

START_TEST(a_hole_beyond_16_mib_stays_readable_to_libpcap)
{
	build_header(&f, 1);
	build_chunk(&f, 3);
	for (unsigned int i = 0; i < 20; i++) {
		chunk_begin(&f);
		build_packet(&f, TEST_T0 + f.pkts * 1000, 60, 60);
		build_padding(&f, (1 << 20) - (f.len - f.chunk_off));
		chunk_seal(&f);
	}
	zero(f.len - (20 << 20), f.len);
	build_chunk(&f, 4);
	recover_to(7, 20);
	ck_assert_uint_eq(recovered.hole_bytes, 20 << 20);
}
END_TEST

START_TEST(old_bytes_in_a_hole_are_overwritten_by_zeros)
{
	size_t offs[5];

	build_four_chunks(offs);
	memset(f.bytes + offs[1], 0xee, offs[2] - offs[1]);
	recover_to(80, 20);
}
END_TEST

/* Every length of the last chunk, in steps of sectors and around the ends of blocks. */
START_TEST(a_chunk_torn_anywhere_keeps_its_whole_packets)
{
	size_t offs[5], whole;

	build_four_chunks(offs);
	whole = f.len;
	for (size_t torn = offs[3]; torn < offs[4]; torn += 44) {
		struct errbuf err = {""};
		uint64_t kept = 0;

		f.len = 0;
		f.sequence = 0;
		f.pkts = f.captured_bytes = f.wire_bytes = 0;
		build_four_chunks(offs);
		ck_assert_uint_eq(f.len, whole);
		zero(torn, f.len);
		if (torn >= offs[3] + sizeof(f.mark))
			kept = (torn - offs[3] - sizeof(f.mark)) / 132;
		if (kept > 40)
			kept = 40;
		(void)unlink(in_folder(TEST_FINAL));
		put_file(TEST_PART, f.bytes, f.len);
		ck_assert_int_eq(recover(), 0);
		/* A torn last byte may have been zero anyway: at most one more. */
		ck_assert_uint_ge(recovered.pkts, 60 + kept);
		ck_assert_uint_le(recovered.pkts, 60 + kept + 1);
		ck_assert_int_eq(archive_verify(in_folder(TEST_FINAL), &report, &err), 0);
		ck_assert_msg(report.fault_count == 0, "torn at %zu: at %llu: %s", torn,
			(unsigned long long)report.faults[0].file_off, report.faults[0].text);
		ck_assert_uint_eq(report.pkts, recovered.pkts);
		ck_assert_uint_eq(report.missing_pkts, recovered.missing_pkts);
		/* The last chunk's mark says how many there were, if there is one. */
		if (recovered.pkts > 60)
			ck_assert_uint_eq(recovered.missing_pkts, 100 - recovered.pkts);
	}
	assert_others_read(in_folder(TEST_FINAL), (long)report.pkts);
}
END_TEST

START_TEST(a_chunk_torn_in_the_middle_of_the_file_is_padded_up_to_the_next)
{
	size_t offs[5];

	build_four_chunks(offs);
	zero(offs[1] + sizeof(f.mark) + 5 * 132 + 60, offs[2]);
	recover_to(85, 15);
	ck_assert_uint_eq(recovered.hole_bytes, offs[2] - (offs[1] + sizeof(f.mark) + 5 * 132));
}
END_TEST

START_TEST(a_file_that_ends_inside_a_block_is_sealed)
{
	size_t offs[5];

	build_four_chunks(offs);
	f.len = offs[3] + sizeof(f.mark) + 7 * 132 + 13;
	recover_to(67, 33);
	ck_assert_uint_eq(recovered.cut_bytes, 13);
}
END_TEST

START_TEST(a_gap_too_small_for_padding_costs_the_packet_before_it)
{
	size_t gap;

	build_header(&f, 1);
	chunk_begin(&f);
	build_packet(&f, TEST_T0, 60, 60);
	/* 8 bytes are left to the boundary behind this one. */
	build_packet(&f, TEST_T0 + 1000,
		(uint32_t)(2 * PCAPNG_ALIGN - f.len - sizeof(struct pcapng_packet) - 4 - 8), 5000);
	gap = f.len;
	build_bytes(&f, NULL, 8);
	chunk_seal(&f);
	ck_assert_uint_eq(f.len - gap, 8);
	build_chunk(&f, 3);
	recover_to(4, 1);
}
END_TEST

START_TEST(stale_chunks_of_an_earlier_run_are_not_taken)
{
	struct wirespool_chunk stale;
	size_t offs[5];

	build_four_chunks(offs);
	memcpy(&stale, f.bytes + offs[3], sizeof(stale));
	stale.run_hash++;
	memcpy(f.bytes + offs[3], &stale, sizeof(stale));
	recover_to(60, 0);
}
END_TEST

START_TEST(a_chunk_of_a_lower_sequence_is_not_taken)
{
	size_t offs[5];

	build_four_chunks(offs);
	ck_assert_uint_ge(offs[4] - offs[3], offs[1] - offs[0]);
	memset(f.bytes + offs[3], 0, offs[4] - offs[3]);
	memcpy(f.bytes + offs[3], f.bytes + offs[0], offs[1] - offs[0]);
	recover_to(60, 0);
}
END_TEST

START_TEST(statistics_carry_over_to_the_tail)
{
	static const uint64_t counters[5] = {1000, 10, 900, 20, 880};
	char command[512], said[4096];

	build_header(&f, 2);
	chunk_begin(&f);
	build_packet(&f, TEST_T0, 60, 60);
	build_statistics(&f, 1, TEST_T0, counters);
	chunk_finish(&f);
	recover_to(1, 0);
	ck_assert_uint_eq(report.ifrecv_pkts, 1000);
	ck_assert_uint_eq(report.osdrop_pkts, 20);
	ck_assert_uint_eq(report.usrdeliv_pkts, 880);
	snprintf(command, sizeof(command), "strings '%s'", in_folder(TEST_FINAL));
	(void)run_command(command, said, sizeof(said));
	ck_assert_ptr_nonnull(
		strstr(said, "recovered after an interruption: counters of the last"));
	ck_assert_ptr_nonnull(strstr(said, "recovered after an interruption: counters are lost"));
}
END_TEST

START_TEST(a_file_that_lacked_only_its_rename_stays_as_its_writer_made_it)
{
	char *before;
	FILE *file;

	build_header(&f, 1);
	build_chunk(&f, 5);
	build_last_chunk(&f, 2);
	before = malloc(f.len);
	memcpy(before, f.bytes, f.len);
	build_bytes(&f, NULL, 100000);
	recover_to(7, 0);
	ck_assert(!report.recovered);
	ck_assert_uint_eq(recovered.cut_bytes, 100000);
	ck_assert_uint_eq(report.file_bytes, f.len - 100000);
	file = fopen(in_folder(TEST_FINAL), "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fread(f.bytes, 1, f.len, file), report.file_bytes);
	fclose(file);
	ck_assert_mem_eq(before, f.bytes, report.file_bytes);
	free(before);
}
END_TEST

START_TEST(an_end_block_that_counts_a_lost_chunk_is_corrected)
{
	size_t hole;

	build_header(&f, 1);
	build_chunk(&f, 5);
	hole = f.len;
	build_chunk(&f, 6);
	zero(hole, f.len);
	build_last_chunk(&f, 2);
	recover_to(7, 6);
	ck_assert(report.recovered);
}
END_TEST

START_TEST(recovery_that_dies_at_any_write_is_finished_by_the_next)
{
	int death = 0;

	for (;; death++) {
		size_t offs[5];
		int r;

		f.len = 0;
		f.sequence = 0;
		f.pkts = f.captured_bytes = f.wire_bytes = 0;
		build_four_chunks(offs);
		/* A torn chunk, a hole with old bytes in it, a torn last chunk. */
		zero(offs[0] + 900, offs[1]);
		memset(f.bytes + offs[2], 0xee, offs[3] - offs[2]);
		zero(offs[3] + 3000, offs[4]);
		put_file(TEST_PART, f.bytes, f.len);
		writes_until_death = death;
		r = recover();
		writes_until_death = -1;
		if (r == 0)
			break;
		ck_assert_int_eq(r, -EIO);
		ck_assert(!exists(in_folder(TEST_FINAL)));
		ck_assert_int_eq(recover(), 0);
		assert_sealed(6 + 20 + 22, 4 + 30 + 18);
		ck_assert_int_eq(unlink(in_folder(TEST_FINAL)), 0);
	}
	assert_sealed(6 + 20 + 22, 4 + 30 + 18);
	ck_assert_int_ge(death, 7);
}
END_TEST

START_TEST(recovery_that_dies_while_it_corrects_an_end_block_is_finished_by_the_next)
{
	size_t hole;

	build_header(&f, 1);
	hole = f.len;
	build_chunk(&f, 6);
	zero(hole, f.len);
	build_last_chunk(&f, 2);
	/* Two writes of padding, then the end block. */
	put_file(TEST_PART, f.bytes, f.len);
	writes_until_death = 2;
	ck_assert_int_eq(recover(), -EIO);
	writes_until_death = -1;
	ck_assert_int_eq(recover(), 0);
	assert_sealed(2, 6);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("recover");
	TCase *tc = tcase_create("recover");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 100);
	tcase_add_test(tc, names_that_are_not_parts_of_ours_are_refused);
	tcase_add_test(tc, a_file_that_a_writer_has_locked_is_left_alone);
	tcase_add_test(tc, a_sealed_file_of_that_name_is_never_replaced);
	tcase_add_test(tc, a_symlink_or_folder_of_that_name_is_refused);
	tcase_add_test(tc, a_file_that_is_not_pcapng_is_left_as_it_is);
	tcase_add_test(tc, a_file_of_another_run_is_left_as_it_is);
	tcase_add_test(tc, chunks_without_a_header_are_left_as_they_are);
	tcase_add_test(tc, a_full_disk_is_an_error_and_the_part_stays);
	tcase_add_test(tc, a_file_without_a_header_is_removed);
	tcase_add_test(tc, a_header_alone_becomes_a_file_without_packets);
	tcase_add_test(tc, whole_chunks_are_all_kept);
	tcase_add_test(tc, a_preallocated_tail_is_cut);
	tcase_add_test(tc, a_hole_is_filled_and_its_packets_are_counted_as_missing);
	tcase_add_test(tc, a_hole_at_the_begin_is_filled);
	tcase_add_test(tc, a_hole_beyond_16_mib_stays_readable_to_libpcap);
	tcase_add_test(tc, old_bytes_in_a_hole_are_overwritten_by_zeros);
	tcase_add_test(tc, a_chunk_torn_anywhere_keeps_its_whole_packets);
	tcase_add_test(tc, a_chunk_torn_in_the_middle_of_the_file_is_padded_up_to_the_next);
	tcase_add_test(tc, a_file_that_ends_inside_a_block_is_sealed);
	tcase_add_test(tc, a_gap_too_small_for_padding_costs_the_packet_before_it);
	tcase_add_test(tc, stale_chunks_of_an_earlier_run_are_not_taken);
	tcase_add_test(tc, a_chunk_of_a_lower_sequence_is_not_taken);
	tcase_add_test(tc, statistics_carry_over_to_the_tail);
	tcase_add_test(tc, a_file_that_lacked_only_its_rename_stays_as_its_writer_made_it);
	tcase_add_test(tc, an_end_block_that_counts_a_lost_chunk_is_corrected);
	tcase_add_test(tc, recovery_that_dies_at_any_write_is_finished_by_the_next);
	tcase_add_test(
		tc, recovery_that_dies_while_it_corrects_an_end_block_is_finished_by_the_next);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
