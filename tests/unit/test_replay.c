/* rooms: capture common dpdk */
#include "capture/source.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "suite_main.h"
#include "tests/eal_start.h"

enum { MBUFS = 1023, LINKTYPE_ETHERNET = 1, LINKTYPE_USBPCAP = 249, PACKET_MAX = 300000 };

static struct rte_mempool *pool;
static struct source src;
static char dir[] = "/tmp/test_replay.XXXXXX";
static char path[256], device[512];
static uint8_t data[PACKET_MAX];

/* Capture files, written byte by byte: no libpcap on this side. */

static FILE *file_new(const char *name)
{
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wbe");
	ck_assert_ptr_nonnull(f);
	return f;
}

static void put(FILE *f, const void *bytes, size_t len)
{
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
}

static void put32(FILE *f, uint32_t v)
{
	put(f, &v, sizeof(v));
}

/* https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html, nanoseconds */
static FILE *pcap_new(const char *name, uint32_t snaplen, uint32_t linktype)
{
	FILE *f = file_new(name);

	put32(f, 0xa1b23c4d);
	put32(f, 2 | 4 << 16);
	put32(f, 0);
	put32(f, 0);
	put32(f, snaplen);
	put32(f, linktype);
	return f;
}

static void pcap_put(FILE *f, uint32_t s, uint32_t ns, uint32_t cap_len, uint32_t wire_len)
{
	put32(f, s);
	put32(f, ns);
	put32(f, cap_len);
	put32(f, wire_len);
	put(f, data, cap_len);
}

static int open_replay(const char *options, unsigned int queues, struct errbuf *err)
{
	struct source_options so = {
		.name = "t0",
		.device = device,
		.queues = queues,
		.descriptors = 4096,
		.frame_bytes = 9216,
		.socket_id = -1,
		.pools = &pool,
	};

	(void)snprintf(device, sizeof(device), "pcap:%s%s", path, options);
	memset(&src, 0, sizeof(src));
	src.class = &replay_class;
	err->text[0] = '\0';
	return replay_class.open(&src, &so, err);
}

static void must_open(const char *options)
{
	struct errbuf err;

	ck_assert_msg(open_replay(options, 1, &err) == 0, "%s", err.text);
}

static uint16_t receive(struct burst *b)
{
	uint16_t n = replay_class.receive(&src.queues[0], b);

	ck_assert(b->own_lengths);
	ck_assert(!b->own_times);
	return n;
}

static void check_bytes(const struct rte_mbuf *m, uint32_t len)
{
	static uint8_t copy[PACKET_MAX];
	const void *seen = rte_pktmbuf_read(m, 0, len, copy);

	ck_assert_uint_eq(m->pkt_len, len);
	rte_mbuf_sanity_check(m, 1);
	if (len == 0)
		return;
	ck_assert_ptr_nonnull(seen);
	ck_assert_mem_eq(seen, data, len);
}

/* Failure paths */

START_TEST(missing_file_is_refused_by_name)
{
	struct errbuf err;

	(void)snprintf(path, sizeof(path), "%s/nothing.pcap", dir);
	ck_assert_int_eq(open_replay("", 1, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	ck_assert_int_eq(replay_class.check(device, &err), -ENOENT);
}
END_TEST

START_TEST(what_is_no_capture_is_refused_in_libpcaps_words)
{
	struct errbuf err;
	FILE *f = file_new("text.pcap");

	(void)fputs("this is a text and no capture file at all\n", f);
	(void)fclose(f);
	ck_assert_int_eq(open_replay("", 1, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "unknown file format"));
	ck_assert_int_eq(replay_class.check(device, &err), -EINVAL);
	(void)fclose(file_new("empty.pcap"));
	ck_assert_int_eq(open_replay("", 1, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "truncated"));
	(void)snprintf(path, sizeof(path), "%s", dir);
	ck_assert_int_lt(open_replay("", 1, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "directory"));
}
END_TEST

START_TEST(wrong_option_is_refused_with_its_value)
{
	static const char *const WRONG[] = {
		",speed=fast", ",speed=0", ",speed=-1", ",speed=", ",speed=nan", ",loop,speed=1x"};
	struct errbuf err;

	(void)fclose(pcap_new("a.pcap", 65535, LINKTYPE_ETHERNET));
	for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
		ck_assert_int_eq(open_replay(WRONG[i], 1, &err), -EINVAL);
		ck_assert_ptr_nonnull(strstr(err.text, "speed must be"));
		ck_assert_int_eq(replay_class.check(device, &err), -EINVAL);
	}
	ck_assert_int_eq(replay_class.check("pcap:", &err), -EINVAL);
	ck_assert_int_eq(replay_class.check("pcap:,loop", &err), -EINVAL);
}
END_TEST

START_TEST(more_than_one_queue_is_refused)
{
	struct errbuf err;

	(void)fclose(pcap_new("a.pcap", 65535, LINKTYPE_ETHERNET));
	ck_assert_int_eq(open_replay("", 2, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "one lcore"));
}
END_TEST

START_TEST(truncated_file_gives_what_is_whole_and_ends)
{
	FILE *f = pcap_new("cut.pcap", 65535, LINKTYPE_ETHERNET);
	struct burst b;

	pcap_put(f, 1, 0, 60, 60);
	pcap_put(f, 1, 0, 1000, 1000);
	pcap_put(f, 1, 0, 500, 500);
	(void)fflush(f);
	ck_assert_int_eq(ftruncate(fileno(f), 24 + 16 + 60 + 16 + 1000 + 16 + 499), 0);
	(void)fclose(f);
	must_open(",speed=max,loop");
	ck_assert_uint_eq(receive(&b), 2);
	check_bytes(b.pkts[0], 60);
	check_bytes(b.pkts[1], 1000);
	rte_pktmbuf_free_bulk(b.pkts, 2);
	ck_assert(replay_class.ended(&src.queues[0]));
	ck_assert_uint_eq(receive(&b), 0);
	replay_class.close(&src);
}
END_TEST

START_TEST(file_that_ends_early_is_one_warning_of_the_port)
{
	FILE *f = pcap_new("torn.pcap", 65535, LINKTYPE_ETHERNET);
	struct source_counts counts;
	struct burst b;

	pcap_put(f, 1, 0, 60, 60);
	pcap_put(f, 1, 0, 60, 60);
	(void)fflush(f);
	ck_assert_int_eq(ftruncate(fileno(f), 24 + 16 + 60 + 16 + 59), 0);
	(void)fclose(f);
	must_open(",speed=max");
	replay_class.counts(&src, &counts);
	ck_assert_str_eq(src.warnings[0], "");
	ck_assert_uint_eq(receive(&b), 1);
	rte_pktmbuf_free(b.pkts[0]);
	replay_class.counts(&src, &counts);
	replay_class.counts(&src, &counts);
	ck_assert_ptr_nonnull(strstr(src.warnings[0], path));
	ck_assert_ptr_nonnull(strstr(src.warnings[0], "the 1 packets before it are good"));
	ck_assert_str_eq(src.warnings[1], "");
	replay_class.close(&src);
}
END_TEST

START_TEST(link_type_that_pcapng_cannot_say_is_refused)
{
	struct errbuf err;

	(void)fclose(pcap_new("wide.pcap", 65535, 0x10001));
	ck_assert_int_eq(open_replay("", 1, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "link type 65537 does not fit pcapng"));
	ck_assert_int_eq(replay_class.check(device, &err), -EINVAL);
}
END_TEST

START_TEST(empty_pool_delays_and_loses_nothing)
{
	static struct rte_mbuf *held[MBUFS];
	FILE *f = pcap_new("pool.pcap", 65535, LINKTYPE_ETHERNET);
	struct burst b;

	for (unsigned int i = 0; i < 10; i++)
		pcap_put(f, 1, 0, 5000 + i, 5000 + i);
	(void)fclose(f);
	must_open(",speed=max");
	/* One whole packet of three mbufs fits, the second does not. */
	ck_assert_int_eq(rte_pktmbuf_alloc_bulk(pool, held, MBUFS - 5), 0);
	ck_assert_uint_eq(receive(&b), 1);
	check_bytes(b.pkts[0], 5000);
	ck_assert_uint_eq(rte_mempool_avail_count(pool), 2);
	ck_assert(!replay_class.ended(&src.queues[0]));
	rte_pktmbuf_free(b.pkts[0]);
	rte_pktmbuf_free_bulk(held, MBUFS - 5);
	ck_assert_uint_eq(receive(&b), 9);
	for (unsigned int i = 0; i < 9; i++)
		check_bytes(b.pkts[i], 5001 + i);
	rte_pktmbuf_free_bulk(b.pkts, 9);
	ck_assert(replay_class.ended(&src.queues[0]));
	ck_assert_uint_eq(rte_mempool_avail_count(pool), MBUFS);
	replay_class.close(&src);
}
END_TEST

START_TEST(frame_longer_than_a_segment_may_hold_is_counted_as_error)
{
	FILE *f = pcap_new("long.pcap", 1 << 20, LINKTYPE_USBPCAP);
	struct source_counts c;
	struct burst b;

	pcap_put(f, 1, 0, 262145, 262145);
	pcap_put(f, 1, 0, 262144, 300000);
	pcap_put(f, 1, 0, 300000, 300000);
	(void)fclose(f);
	must_open(",speed=max");
	ck_assert_int_eq(src.linktype, LINKTYPE_USBPCAP);
	ck_assert_uint_eq(receive(&b), 1);
	check_bytes(b.pkts[0], 262144);
	ck_assert_uint_eq(b.wire_len[0], 300000);
	rte_pktmbuf_free(b.pkts[0]);
	replay_class.counts(&src, &c);
	ck_assert_uint_eq(c.error_pkts, 2);
	ck_assert(replay_class.ended(&src.queues[0]));
	replay_class.close(&src);
}
END_TEST

START_TEST(loop_over_nothing_that_can_be_taken_ends)
{
	FILE *f;
	struct burst b;

	(void)fclose(pcap_new("none.pcap", 65535, LINKTYPE_ETHERNET));
	must_open(",speed=max,loop");
	ck_assert_uint_eq(receive(&b), 0);
	ck_assert(replay_class.ended(&src.queues[0]));
	replay_class.close(&src);
	f = pcap_new("long.pcap", 1 << 20, LINKTYPE_USBPCAP);
	pcap_put(f, 1, 0, 300000, 300000);
	(void)fclose(f);
	must_open(",speed=max,loop");
	ck_assert_uint_eq(receive(&b), 0);
	ck_assert(replay_class.ended(&src.queues[0]));
	replay_class.close(&src);
}
END_TEST

/* What it gives */

START_TEST(frames_come_byte_for_byte_with_both_lengths)
{
	static const uint32_t CAP[] = {60, 0, 1, 14, 2048, 2049, 9000, 65535, 100, 64};
	static const uint32_t WIRE[] = {60, 0, 1, 60, 2048, 9000, 9000, 65535, 0, 63};
	const unsigned int count = sizeof(CAP) / sizeof(CAP[0]);
	FILE *f = pcap_new("all.pcap", 65535, LINKTYPE_ETHERNET);
	struct burst b;

	for (unsigned int i = 0; i < count; i++)
		pcap_put(f, i, 0, CAP[i], WIRE[i]);
	(void)fclose(f);
	must_open(",speed=max");
	ck_assert_int_eq(src.linktype, LINKTYPE_ETHERNET);
	ck_assert(src.patient);
	ck_assert_uint_eq(receive(&b), count);
	for (unsigned int i = 0; i < count; i++) {
		check_bytes(b.pkts[i], CAP[i]);
		ck_assert_uint_eq(b.wire_len[i], WIRE[i] < CAP[i] ? CAP[i] : WIRE[i]);
	}
	rte_pktmbuf_free_bulk(b.pkts, count);
	ck_assert(replay_class.ended(&src.queues[0]));
	ck_assert_uint_eq(rte_mempool_avail_count(pool), MBUFS);
	replay_class.close(&src);
}
END_TEST

START_TEST(pcapng_is_read_too)
{
	FILE *f = file_new("a.pcapng");
	struct burst b;

	put32(f, 0x0a0d0d0a); /* section: length 28, version 1.0, length not known */
	put32(f, 28);
	put32(f, 0x1a2b3c4d);
	put32(f, 1);
	put32(f, UINT32_MAX);
	put32(f, UINT32_MAX);
	put32(f, 28);
	put32(f, 1); /* interface: link type 1, snaplen 0 (none) */
	put32(f, 20);
	put32(f, LINKTYPE_ETHERNET);
	put32(f, 0);
	put32(f, 20);
	put32(f, 6); /* packet of 64 bytes out of 1500 */
	put32(f, 32 + 64);
	put32(f, 0);
	put32(f, 0);
	put32(f, 0);
	put32(f, 64);
	put32(f, 1500);
	put(f, data, 64);
	put32(f, 32 + 64);
	(void)fclose(f);
	must_open("");
	ck_assert_uint_eq(receive(&b), 1);
	check_bytes(b.pkts[0], 64);
	ck_assert_uint_eq(b.wire_len[0], 1500);
	rte_pktmbuf_free(b.pkts[0]);
	replay_class.close(&src);
}
END_TEST

START_TEST(commas_belong_to_the_name_unless_they_begin_an_option)
{
	FILE *f = pcap_new("a,b,loops,speed.pcap", 65535, LINKTYPE_ETHERNET);
	struct burst b;

	pcap_put(f, 1, 0, 60, 60);
	(void)fclose(f);
	must_open(",loop,speed=max");
	ck_assert_uint_eq(receive(&b), BURST_PKTS);
	rte_pktmbuf_free_bulk(b.pkts, BURST_PKTS);
	replay_class.close(&src);
	must_open("");
	ck_assert_uint_eq(receive(&b), 1);
	rte_pktmbuf_free(b.pkts[0]);
	replay_class.close(&src);
}
END_TEST

/* Four packets: one at once, one an hour later, two that are older than the one before. */
static void make_gaps(void)
{
	FILE *f = pcap_new("gaps.pcap", 65535, LINKTYPE_ETHERNET);

	pcap_put(f, 1000, 0, 60, 60);
	pcap_put(f, 1000, 0, 61, 61);
	pcap_put(f, 4600, 0, 62, 62);
	pcap_put(f, 1000, 999999999, 63, 63);
	pcap_put(f, 1000, 5, 64, 64);
	(void)fclose(f);
}

START_TEST(by_default_gaps_are_as_in_the_file)
{
	struct burst b;

	make_gaps();
	must_open("");
	ck_assert(!src.busy_poll);
	ck_assert_uint_eq(receive(&b), 2);
	rte_pktmbuf_free_bulk(b.pkts, 2);
	ck_assert_uint_eq(receive(&b), 0);
	ck_assert(!replay_class.ended(&src.queues[0]));
	replay_class.wait(&src.queues[0], 1000);
	replay_class.close(&src);
}
END_TEST

START_TEST(speed_divides_gaps_and_steps_back_are_none)
{
	struct burst b;
	unsigned int all = 2;

	make_gaps();
	must_open(",speed=100000"); /* the hour becomes 36 ms */
	ck_assert_uint_eq(receive(&b), 2);
	rte_pktmbuf_free_bulk(b.pkts, 2);
	while (!replay_class.ended(&src.queues[0])) {
		uint16_t n = receive(&b);

		/* The last three are due at the same time. */
		ck_assert(n == 0 || n == 3);
		all += n;
		rte_pktmbuf_free_bulk(b.pkts, n);
		if (n == 0)
			replay_class.wait(&src.queues[0], 1000000);
	}
	ck_assert_uint_eq(all, 5);
	replay_class.close(&src);
}
END_TEST

START_TEST(at_max_speed_times_do_not_matter)
{
	struct burst b;

	make_gaps();
	must_open(",speed=max");
	ck_assert(src.patient);
	ck_assert_uint_eq(receive(&b), 5);
	for (unsigned int i = 0; i < 5; i++)
		check_bytes(b.pkts[i], 60 + i);
	rte_pktmbuf_free_bulk(b.pkts, 5);
	replay_class.close(&src);
}
END_TEST

START_TEST(times_that_no_clock_can_have_do_no_harm)
{
	FILE *f = pcap_new("times.pcap", 65535, LINKTYPE_ETHERNET);
	struct burst b;

	pcap_put(f, 0, 0, 60, 60);
	pcap_put(f, UINT32_MAX, UINT32_MAX, 60, 60);
	pcap_put(f, 0, 0, 60, 60);
	pcap_put(f, UINT32_MAX, UINT32_MAX, 60, 60);
	(void)fclose(f);
	must_open(",speed=0.000001");
	ck_assert_uint_eq(receive(&b), 1);
	rte_pktmbuf_free(b.pkts[0]);
	ck_assert_uint_eq(receive(&b), 0);
	replay_class.close(&src);
}
END_TEST

static void make_data(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13);
}

static Suite *replay_suite(void)
{
	Suite *s = suite_create("replay");
	TCase *t = tcase_create("replay");

	tcase_add_test(t, missing_file_is_refused_by_name);
	tcase_add_test(t, what_is_no_capture_is_refused_in_libpcaps_words);
	tcase_add_test(t, wrong_option_is_refused_with_its_value);
	tcase_add_test(t, more_than_one_queue_is_refused);
	tcase_add_test(t, truncated_file_gives_what_is_whole_and_ends);
	tcase_add_test(t, file_that_ends_early_is_one_warning_of_the_port);
	tcase_add_test(t, link_type_that_pcapng_cannot_say_is_refused);
	tcase_add_test(t, empty_pool_delays_and_loses_nothing);
	tcase_add_test(t, frame_longer_than_a_segment_may_hold_is_counted_as_error);
	tcase_add_test(t, loop_over_nothing_that_can_be_taken_ends);
	tcase_add_test(t, frames_come_byte_for_byte_with_both_lengths);
	tcase_add_test(t, pcapng_is_read_too);
	tcase_add_test(t, commas_belong_to_the_name_unless_they_begin_an_option);
	tcase_add_test(t, by_default_gaps_are_as_in_the_file);
	tcase_add_test(t, speed_divides_gaps_and_steps_back_are_none);
	tcase_add_test(t, at_max_speed_times_do_not_matter);
	tcase_add_test(t, times_that_no_clock_can_have_do_no_harm);
	suite_add_tcase(s, t);
	return s;
}

static void remove_dir(void)
{
	char command[300];

	(void)snprintf(command, sizeof(command), "rm -r '%s'", dir);
	if (system(command) != 0)
		(void)fprintf(stderr, "cannot remove '%s'\n", dir);
}

int main(void)
{
	int r;

	if (!eal_start(256) || mkdtemp(dir) == NULL)
		return EXIT_FAILURE;
	pool = rte_pktmbuf_pool_create("p", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL)
		return EXIT_FAILURE;
	make_data();
	r = suite_run_unforked(replay_suite());
	remove_dir();
	(void)rte_eal_cleanup();
	return r;
}
