/* rooms: capture common dpdk */
#include "capture/source.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "capture/frames.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/pcapng.h"

enum { QUEUES_MAX = 4, MBUFS = 2047, FLOWS_SEEN_MAX = 4096 };

static struct rte_mempool *pools[QUEUES_MAX];
static struct source src;

static int open_gen(const char *device, unsigned int queues, uint32_t descriptors)
{
	struct source_options so = {
		.name = "t0",
		.device = device,
		.queues = queues,
		.descriptors = descriptors,
		.frame_bytes = 9216,
		.socket_id = -1,
		.pools = pools,
	};
	struct errbuf err = {""};
	int r;

	memset(&src, 0, sizeof(src));
	src.class = &gen_class;
	r = gen_class.open(&src, &so, &err);
	if (r < 0)
		ck_assert_msg(err.text[0] != '\0', "an error says why");
	return r;
}

static void must_open(const char *device, unsigned int queues, uint32_t descriptors)
{
	int r = open_gen(device, queues, descriptors);

	ck_assert_msg(r == 0, "'%s': %d", device, r);
}

static uint16_t receive(unsigned int queue, struct burst *b)
{
	return gen_class.receive(&src.queues[queue], b);
}

static uint64_t missed(void)
{
	struct source_counts c;

	gen_class.counts(&src, &c);
	return c.missed_pkts;
}

/* What a reader sees of a frame. */
struct seen {
	unsigned int ip_version;
	uint8_t protocol;
	bool stamped;
	uint32_t flow;
	uint64_t number;
	uint16_t id;
	uint16_t vlan;
	const uint8_t *ip;
};

/* Reads a frame with DPDK's own structures and checks its lengths and checksums with DPDK's own code. */
static void read_frame(const struct rte_mbuf *m, struct seen *ret)
{
	const uint8_t *d = rte_pktmbuf_mtod(m, const uint8_t *);
	const uint8_t *end = d + m->data_len, *l4, *payload;
	uint16_t type;
	struct frame_stamp stamp;

	memset(ret, 0, sizeof(*ret));
	ck_assert_uint_eq(m->nb_segs, 1);
	ck_assert_uint_eq(m->pkt_len, m->data_len);
	memcpy(&type, d + 12, 2);
	d += 14;
	if (type == htobe16(RTE_ETHER_TYPE_VLAN)) {
		memcpy(&ret->vlan, d, 2);
		ret->vlan = be16toh(ret->vlan);
		memcpy(&type, d + 2, 2);
		d += 4;
	}
	ret->ip = d;
	if (type == htobe16(RTE_ETHER_TYPE_IPV4)) {
		struct rte_ipv4_hdr ip;

		memcpy(&ip, d, sizeof(ip));
		ret->ip_version = 4;
		ret->protocol = ip.next_proto_id;
		ret->id = be16toh(ip.packet_id);
		ck_assert_uint_eq(be16toh(ip.total_length), (unsigned int)(end - d));
		ck_assert_uint_eq(rte_raw_cksum(&ip, sizeof(ip)), 0xffff);
		l4 = d + sizeof(ip);
		ck_assert_int_eq(rte_ipv4_udptcp_cksum_verify((const void *)d, l4), 0);
	} else {
		struct rte_ipv6_hdr ip;

		ck_assert_uint_eq(type, htobe16(RTE_ETHER_TYPE_IPV6));
		memcpy(&ip, d, sizeof(ip));
		ret->ip_version = 6;
		ret->protocol = ip.proto;
		l4 = d + sizeof(ip);
		ck_assert_uint_eq(be16toh(ip.payload_len), (unsigned int)(end - l4));
		ck_assert_int_eq(rte_ipv6_udptcp_cksum_verify((const void *)d, l4), 0);
	}
	if (ret->protocol == IPPROTO_UDP) {
		struct rte_udp_hdr udp;

		memcpy(&udp, l4, sizeof(udp));
		ck_assert_uint_eq(be16toh(udp.dgram_len), (unsigned int)(end - l4));
		ck_assert_uint_ne(udp.dgram_cksum, 0);
		payload = l4 + sizeof(udp);
	} else {
		ck_assert_uint_eq(ret->protocol, IPPROTO_TCP);
		payload = l4 + sizeof(struct rte_tcp_hdr);
	}
	ck_assert_msg(payload <= end, "headers are in the frame");
	if (end - payload < (ptrdiff_t)sizeof(stamp))
		return;
	memcpy(&stamp, payload, sizeof(stamp));
	ck_assert_uint_eq(be32toh(stamp.magic), FRAME_STAMP_MAGIC);
	ret->stamped = true;
	ret->flow = be32toh(stamp.flow);
	ret->number = be64toh(stamp.number);
}

/* Failure paths */

static const char *const WRONG[] = {
	"gen:rate=fast",
	"gen:rate=0",
	"gen:rate=",
	"gen:rate=2T",
	"gen:size=63",
	"gen:size=9217",
	"gen:size=1518-64",
	"gen:size=64-",
	"gen:size=64-1518-9000",
	"gen:size=big",
	"gen:flows=0",
	"gen:flows=1048577",
	"gen:flows=-1",
	"gen:ipv6=101",
	"gen:tcp=50%",
	"gen:vlan=0",
	"gen:vlan=4095",
	"gen:count=0",
	"gen:speed=1G",
	"gen:max",
	"gen:rate=max,,size=64",
	"gen:RATE=max",
};

START_TEST(wrong_option_is_refused_with_its_value)
{
	struct errbuf err = {""};
	const char *value = strchr(WRONG[_i], '=');

	ck_assert(gen_class.claims(WRONG[_i]));
	ck_assert_int_eq(gen_class.check(WRONG[_i], &err), -EINVAL);
	ck_assert_msg(err.text[0] != '\0', "%s", WRONG[_i]);
	if (value != NULL && strchr(WRONG[_i], ',') == NULL && strcmp(WRONG[_i], "gen:speed=1G") &&
		strcmp(WRONG[_i], "gen:RATE=max"))
		ck_assert_msg(strstr(err.text, value + 1) != NULL, "%s: %s", WRONG[_i], err.text);
}
END_TEST

START_TEST(frame_longer_than_the_port_takes_is_refused)
{
	struct source_options so = {
		.device = "gen:size=64-9000",
		.queues = 1,
		.descriptors = 64,
		.frame_bytes = 1518,
		.pools = pools,
	};
	struct errbuf err;

	memset(&src, 0, sizeof(src));
	ck_assert_int_eq(gen_class.open(&src, &so, &err), -EINVAL);
	ck_assert_ptr_null(src.state);
}
END_TEST

START_TEST(frame_longer_than_its_mbuf_is_refused)
{
	ck_assert_uint_ge(gen_class.mbuf_room("gen:size=9216"), 9216);
	ck_assert_int_eq(open_gen("gen:size=9216", 1, 64), -EINVAL);
}
END_TEST

START_TEST(mbufs_with_private_data_are_refused)
{
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"private", 63, 0, 64, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	struct source_options so = {
		.device = "gen:size=64",
		.queues = 1,
		.descriptors = 64,
		.frame_bytes = 1518,
		.pools = &pool,
	};
	struct errbuf err = {""};

	ck_assert_ptr_nonnull(pool);
	memset(&src, 0, sizeof(src));
	ck_assert_int_eq(gen_class.open(&src, &so, &err), -EINVAL);
	ck_assert_ptr_null(src.state);
	ck_assert_ptr_nonnull(strstr(err.text, "private"));
	rte_mempool_free(pool);
}
END_TEST

/* 2048 bytes are a whole number of cache lines; 2049 are written as 2112. */
START_TEST(room_for_whole_cache_lines_is_asked_for)
{
	ck_assert_uint_eq(gen_class.mbuf_room("gen:size=2048"), 0);
	ck_assert_uint_eq(gen_class.mbuf_room("gen:size=2049"), 2112);
	must_open("gen:size=2048", 1, 64);
	gen_class.close(&src);
	ck_assert_int_eq(open_gen("gen:size=2049", 1, 64), -EINVAL);
}
END_TEST

START_TEST(empty_pool_at_max_is_a_pause_and_no_loss)
{
	static struct rte_mbuf *held[MBUFS];
	struct burst b;
	struct seen seen;
	unsigned int all = 0;

	must_open("gen:rate=max,size=64,flows=1", 1, 64);
	ck_assert_int_eq(rte_pktmbuf_alloc_bulk(pools[0], held, MBUFS - 10), 0);
	for (unsigned int i = 0; i < 8; i++) {
		uint16_t n = receive(0, &b);

		for (unsigned int k = 0; k < n; k++) {
			read_frame(b.pkts[k], &seen);
			ck_assert_uint_eq(seen.number, all + k);
			held[MBUFS - 10 + all + k] = b.pkts[k];
		}
		all += n;
	}
	ck_assert_uint_eq(all, 10);
	ck_assert_uint_eq(receive(0, &b), 0);
	ck_assert(!gen_class.ended(&src.queues[0]));
	rte_pktmbuf_free_bulk(held, MBUFS);
	ck_assert_uint_eq(receive(0, &b), BURST_PKTS);
	read_frame(b.pkts[0], &seen);
	ck_assert_uint_eq(seen.number, 10);
	rte_pktmbuf_free_bulk(b.pkts, BURST_PKTS);
	ck_assert_uint_eq(missed(), 0);
	gen_class.close(&src);
}
END_TEST

/* A link that brings more than is taken: frames built, and holes in the numbers, are what was offered. */
static void overflow(const char *device, uint64_t count, bool starve)
{
	static struct rte_mbuf *held[MBUFS];
	struct source_counts c;
	struct burst b;
	struct seen seen;
	uint64_t next = 0, holes = 0, built = 0;

	must_open(device, 1, 64);
	if (starve)
		ck_assert_int_eq(rte_pktmbuf_alloc_bulk(pools[0], held, MBUFS), 0);
	while (!gen_class.ended(&src.queues[0])) {
		uint16_t n = receive(0, &b);

		for (unsigned int k = 0; k < n; k++) {
			read_frame(b.pkts[k], &seen);
			ck_assert_uint_ge(seen.number, next);
			holes += seen.number - next;
			next = seen.number + 1;
		}
		built += n;
		rte_pktmbuf_free_bulk(b.pkts, n);
		gen_class.counts(&src, &c);
		if (starve && c.no_mbuf_pkts + c.missed_pkts != 0) {
			rte_pktmbuf_free_bulk(held, MBUFS);
			starve = false;
		}
		rte_delay_us_block(100);
	}
	gen_class.counts(&src, &c);
	ck_assert_uint_eq(built + c.missed_pkts + c.no_mbuf_pkts, count);
	/* What was lost after the last frame that was built is a hole without an end. */
	holes += count - next;
	ck_assert_uint_eq(holes, c.missed_pkts + c.no_mbuf_pkts);
	ck_assert_uint_gt(holes, 0);
	ck_assert_uint_gt(built, 64);
	gen_class.close(&src);
}

START_TEST(full_ring_counts_as_missed_what_the_numbers_lack)
{
	overflow("gen:rate=10G,size=64,flows=1,count=1000000", 1000000, false);
	ck_assert_uint_gt(counter_get(&src.queues[0].missed_pkts), 0);
	ck_assert_uint_eq(counter_get(&src.queues[0].no_mbuf_pkts), 0);
}
END_TEST

START_TEST(full_ring_of_mixed_sizes_counts_as_missed_what_the_numbers_lack)
{
	overflow("gen:rate=10G,size=IMIX,flows=1,count=300000", 300000, false);
	ck_assert_uint_gt(counter_get(&src.queues[0].missed_pkts), 0);
}
END_TEST

START_TEST(ring_full_for_want_of_mbufs_is_counted_apart)
{
	overflow("gen:rate=10G,size=64,flows=1,count=1000000", 1000000, true);
	ck_assert_uint_gt(counter_get(&src.queues[0].no_mbuf_pkts), 0);
}
END_TEST

/* What it makes */

static const char *const KINDS[] = {
	"gen:rate=max,size=64,count=5000",
	"gen:rate=max,size=1518,count=5000",
	"gen:rate=max,size=64-1518,count=20000,flows=7",
	"gen:rate=max,size=IMIX,count=20000,flows=1",
	"gen:rate=max,size=64,tcp=50,count=5000",
	"gen:rate=max,size=64-90,tcp=50,vlan=7,count=5000",
	"gen:rate=max,size=64,ipv6=100,count=5000",
	"gen:rate=max,size=64-200,ipv6=50,tcp=50,vlan=4094,count=20000",
	"gen:rate=max,size=65-71,count=200000,flows=3",
	"gen:rate=max,size=2047,flows=1048576,count=5000,tcp=1",
	"gen:rate=max,size=64,count=300000,flows=1",
	"gen:rate=max,size=64-130,count=300000,flows=2,seed=7",
};

START_TEST(every_frame_has_right_lengths_and_checksums_and_none_is_missing)
{
	static uint64_t next[FLOWS_SEEN_MAX];
	struct burst b;
	uint64_t all = 0, count = strtoull(strstr(KINDS[_i], "count=") + 6, NULL, 10);
	bool unread = false;
	struct seen seen;
	uint16_t n;

	memset(next, 0, sizeof(next));
	must_open(KINDS[_i], 1, 64);
	while ((n = receive(0, &b)) != 0) {
		for (unsigned int k = 0; k < n; k++) {
			read_frame(b.pkts[k], &seen);
			/* Where some have no room for a stamp, they are missing from what is read. */
			if (!seen.stamped)
				unread = true;
			if (!seen.stamped || seen.flow >= FLOWS_SEEN_MAX)
				continue;
			ck_assert_uint_ge(seen.number, next[seen.flow]);
			if (!unread)
				ck_assert_uint_eq(seen.number, next[seen.flow]);
			next[seen.flow] = seen.number + 1;
		}
		all += n;
		rte_pktmbuf_free_bulk(b.pkts, n);
	}
	ck_assert_uint_eq(all, count);
	ck_assert(gen_class.ended(&src.queues[0]));
	gen_class.close(&src);
}
END_TEST

START_TEST(frame_of_64_bytes_stores_60_and_carries_its_number)
{
	struct burst b;
	struct seen seen;

	must_open("gen:rate=max,size=64,flows=2", 1, 64);
	ck_assert_uint_eq(receive(0, &b), BURST_PKTS);
	for (unsigned int k = 0; k < BURST_PKTS; k++) {
		read_frame(b.pkts[k], &seen);
		ck_assert_uint_eq(b.pkts[k]->pkt_len, 60);
		ck_assert(seen.stamped);
		ck_assert_uint_eq(seen.flow, k % 2);
		ck_assert_uint_eq(seen.number, k / 2);
		ck_assert_uint_eq(seen.id, k / 2);
	}
	rte_pktmbuf_free_bulk(b.pkts, BURST_PKTS);
	gen_class.close(&src);
}
END_TEST

START_TEST(two_flows_of_a_conversation_are_each_others_way_back)
{
	struct burst b;
	struct seen there, back;

	must_open("gen:rate=max,size=64,flows=2", 1, 64);
	ck_assert_uint_eq(receive(0, &b), BURST_PKTS);
	read_frame(b.pkts[0], &there);
	read_frame(b.pkts[1], &back);
	ck_assert_mem_eq(there.ip + 12, back.ip + 16, 4);
	ck_assert_mem_eq(there.ip + 16, back.ip + 12, 4);
	ck_assert_mem_eq(there.ip + 20, back.ip + 22, 2);
	ck_assert_mem_eq(there.ip + 22, back.ip + 20, 2);
	rte_pktmbuf_free_bulk(b.pkts, BURST_PKTS);
	gen_class.close(&src);
}
END_TEST

START_TEST(imix_is_7_of_64_to_4_of_594_to_1_of_1518)
{
	unsigned int small = 0, middle = 0, big = 0;
	struct burst b;
	uint16_t n;

	must_open("gen:rate=max,size=IMIX,count=43080", 1, 64); /* ten periods of the pattern */
	while ((n = receive(0, &b)) != 0) {
		for (unsigned int k = 0; k < n; k++) {
			uint32_t len = b.pkts[k]->pkt_len;

			small += len == 60;
			middle += len == 590;
			big += len == 1514;
		}
		rte_pktmbuf_free_bulk(b.pkts, n);
	}
	ck_assert_uint_eq(small, 43080 / 12 * 7);
	ck_assert_uint_eq(middle, 43080 / 12 * 4);
	ck_assert_uint_eq(big, 43080 / 12);
	gen_class.close(&src);
}
END_TEST

START_TEST(shares_of_ipv6_and_tcp_are_kept_and_independent)
{
	unsigned int kinds[2][2] = {{0}};
	struct burst b;
	struct seen seen;
	uint16_t n;

	must_open("gen:rate=max,size=128,flows=800,ipv6=25,tcp=50,count=800,vlan=5", 1, 64);
	while ((n = receive(0, &b)) != 0) {
		for (unsigned int k = 0; k < n; k++) {
			read_frame(b.pkts[k], &seen);
			ck_assert_uint_eq(seen.vlan, 5);
			kinds[seen.ip_version == 6][seen.protocol == IPPROTO_TCP]++;
		}
		rte_pktmbuf_free_bulk(b.pkts, n);
	}
	ck_assert_uint_eq(kinds[1][0], 100);
	ck_assert_uint_eq(kinds[1][1], 100);
	ck_assert_uint_eq(kinds[0][0], 300);
	ck_assert_uint_eq(kinds[0][1], 300);
	gen_class.close(&src);
}
END_TEST

START_TEST(ipv6_lifts_small_frames_and_says_so)
{
	struct burst b;
	struct seen seen;

	must_open("gen:rate=max,size=64,ipv6=100,tcp=100", 1, 64);
	ck_assert_ptr_nonnull(strstr(src.warnings[0], "94"));
	ck_assert_uint_eq(receive(0, &b), BURST_PKTS);
	read_frame(b.pkts[0], &seen);
	ck_assert(seen.stamped);
	ck_assert_uint_eq(b.pkts[0]->pkt_len, 90);
	rte_pktmbuf_free_bulk(b.pkts, BURST_PKTS);
	gen_class.close(&src);
}
END_TEST

START_TEST(queues_share_count_exactly_and_conversations_whole)
{
	static uint64_t next[FLOWS_SEEN_MAX];
	uint64_t all = 0, per_queue[QUEUES_MAX] = {0};
	struct burst b;
	struct seen seen;
	uint16_t n;

	memset(next, 0, sizeof(next));
	must_open("gen:rate=max,size=64,flows=101,count=10003", 3, 64);
	for (unsigned int q = 0; q < 3; q++)
		while ((n = receive(q, &b)) != 0) {
			for (unsigned int k = 0; k < n; k++) {
				read_frame(b.pkts[k], &seen);
				ck_assert_uint_lt(seen.flow, 101);
				ck_assert_uint_eq(seen.flow / 2 % 3, q);
				ck_assert_uint_eq(seen.number, next[seen.flow]++);
			}
			per_queue[q] += n;
			all += n;
			rte_pktmbuf_free_bulk(b.pkts, n);
		}
	ck_assert_uint_eq(all, 10003);
	ck_assert_uint_eq(per_queue[0], 3335);
	ck_assert_uint_eq(per_queue[2], 3334);
	gen_class.close(&src);
}
END_TEST

START_TEST(queue_without_a_conversation_ends_at_once_and_the_rest_has_all)
{
	uint64_t all = 0;
	struct burst b;
	uint16_t n;

	must_open("gen:rate=max,size=64,flows=1,count=1000", 2, 64);
	ck_assert(src.warnings[0][0] != '\0');
	ck_assert(gen_class.ended(&src.queues[1]));
	ck_assert_uint_eq(receive(1, &b), 0);
	while ((n = receive(0, &b)) != 0) {
		all += n;
		rte_pktmbuf_free_bulk(b.pkts, n);
	}
	ck_assert_uint_eq(all, 1000);
	gen_class.close(&src);
}
END_TEST

START_TEST(same_seed_makes_the_same_sizes_and_another_does_not)
{
	static const char *const DEVICES[] = {"gen:rate=max,size=64-1518,seed=5",
		"gen:rate=max,size=64-1518,seed=5", "gen:rate=max,size=64-1518,seed=6"};
	uint32_t len[3][BURST_PKTS];
	struct burst b;

	for (unsigned int i = 0; i < 3; i++) {
		must_open(DEVICES[i], 1, 64);
		ck_assert_uint_eq(receive(0, &b), BURST_PKTS);
		for (unsigned int k = 0; k < BURST_PKTS; k++)
			len[i][k] = b.pkts[k]->pkt_len;
		rte_pktmbuf_free_bulk(b.pkts, BURST_PKTS);
		gen_class.close(&src);
	}
	ck_assert_mem_eq(len[0], len[1], sizeof(len[0]));
	ck_assert_mem_ne(len[0], len[2], sizeof(len[0]));
}
END_TEST

START_TEST(port_is_described_and_patient_only_at_max)
{
	uint64_t bps = 0;
	bool up = false;

	must_open("gen:rate=2.5G", 1, 1 << 20);
	gen_class.link(&src, &up, &bps);
	ck_assert(up);
	ck_assert_uint_eq(bps, 2500000000);
	ck_assert(!src.patient);
	ck_assert(src.busy_poll);
	ck_assert_int_eq(src.linktype, 1);
	ck_assert_uint_eq(src.flags, EPB_FLAG_INBOUND);
	ck_assert_uint_eq(src.descriptors, 65536);
	ck_assert_str_eq(src.clock, "tsc");
	gen_class.close(&src);
	must_open("gen:rate=100M", 1, 4096);
	ck_assert(!src.busy_poll);
	gen_class.close(&src);
	must_open("gen:rate=max", 1, 4096);
	ck_assert(src.patient);
	ck_assert(!src.busy_poll);
	gen_class.close(&src);
}
END_TEST

/* The arithmetic of arrival, on its own: no clock. */
START_TEST(frame_arrives_with_its_last_bit_and_not_before)
{
	struct frames_options o = {.flows = 3, .min_bytes = 64, .max_bytes = 1518, .seed = 9};
	struct frames *f = frames_new(&o, 0, 1), *same = frames_new(&o, 0, 1);

	for (uint64_t n = 1; n < 40000; n++) {
		uint64_t bytes = frames_wire_bytes(same, n);

		ck_assert_uint_eq(frames_arrived(f, bytes - 1), n - 1);
		ck_assert_uint_eq(frames_arrived(f, bytes), n);
	}
	for (uint64_t n = 50000; n < 5000000; n += 33331)
		ck_assert_uint_eq(frames_arrived(f, frames_wire_bytes(same, n)), n);
	frames_free(f);
	frames_free(same);
	frames_free(NULL);
}
END_TEST

static Suite *gen_suite(void)
{
	Suite *s = suite_create("gen");
	TCase *t = tcase_create("gen");

	tcase_set_timeout(t, 100);
	tcase_add_loop_test(
		t, wrong_option_is_refused_with_its_value, 0, sizeof(WRONG) / sizeof(WRONG[0]));
	tcase_add_test(t, frame_longer_than_the_port_takes_is_refused);
	tcase_add_test(t, frame_longer_than_its_mbuf_is_refused);
	tcase_add_test(t, mbufs_with_private_data_are_refused);
	tcase_add_test(t, room_for_whole_cache_lines_is_asked_for);
	tcase_add_test(t, empty_pool_at_max_is_a_pause_and_no_loss);
	tcase_add_test(t, full_ring_counts_as_missed_what_the_numbers_lack);
	tcase_add_test(t, full_ring_of_mixed_sizes_counts_as_missed_what_the_numbers_lack);
	tcase_add_test(t, ring_full_for_want_of_mbufs_is_counted_apart);
	tcase_add_loop_test(t, every_frame_has_right_lengths_and_checksums_and_none_is_missing, 0,
		sizeof(KINDS) / sizeof(KINDS[0]));
	tcase_add_test(t, frame_of_64_bytes_stores_60_and_carries_its_number);
	tcase_add_test(t, two_flows_of_a_conversation_are_each_others_way_back);
	tcase_add_test(t, imix_is_7_of_64_to_4_of_594_to_1_of_1518);
	tcase_add_test(t, shares_of_ipv6_and_tcp_are_kept_and_independent);
	tcase_add_test(t, ipv6_lifts_small_frames_and_says_so);
	tcase_add_test(t, queues_share_count_exactly_and_conversations_whole);
	tcase_add_test(t, queue_without_a_conversation_ends_at_once_and_the_rest_has_all);
	tcase_add_test(t, same_seed_makes_the_same_sizes_and_another_does_not);
	tcase_add_test(t, port_is_described_and_patient_only_at_max);
	tcase_add_test(t, frame_arrives_with_its_last_bit_and_not_before);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	int r;

	if (!eal_start(256))
		return EXIT_FAILURE;
	for (unsigned int q = 0; q < QUEUES_MAX; q++) {
		char name[] = {'p', (char)('0' + q), '\0'};

		pools[q] = rte_pktmbuf_pool_create(
			name, MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
		if (pools[q] == NULL)
			return EXIT_FAILURE;
	}
	r = suite_run_unforked(gen_suite());
	(void)rte_eal_cleanup();
	return r;
}
