/* rooms: capture common dpdk */
/*
 * In a network namespace of its own: a veth pair "wsp0" (captured) and "wsp1" (the other end), and
 * loopback. Needs root and ip(8); without them it is skipped (exit code 77).
 */
#include "capture/source.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "own_network.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/clock.h"
#include "wirespool/pcapng.h"
#include "wirespool/units.h"

enum { MBUFS = 16383, QUEUES_MAX = 2, FRAME_MAX = 70000, TRIES = 3000 };

static struct rte_mempool *pools[QUEUES_MAX];
static struct source src;
static uint8_t frame[FRAME_MAX], copy[FRAME_MAX];
static int near_fd, far_fd; /* what is sent by them goes out of wsp0 and wsp1 */

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int run(const char *format, ...)
{
	char command[256];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

static int open_on(
	const char *device, unsigned int queues, uint32_t descriptors, struct errbuf *err)
{
	struct source_options so = {
		.name = "t0",
		.device = device,
		.queues = queues,
		.descriptors = descriptors,
		.frame_bytes = 9216,
		.promiscuous = true,
		.socket_id = -1,
		.pools = pools,
	};

	memset(&src, 0, sizeof(src));
	err->text[0] = '\0';
	src.class = &afpacket_class;
	return afpacket_class.open(&src, &so, err);
}

static void must_open(const char *device, unsigned int queues)
{
	struct errbuf err;

	ck_assert_msg(open_on(device, queues, 1024, &err) == 0, "%s", err.text);
}

static void send_bytes(int fd, uint32_t len)
{
	ck_assert_int_eq(send(fd, frame, len, 0), (ssize_t)len);
}

/* An Ethernet frame of a type for experiments, with a number in it. */
static void make_frame(uint32_t number)
{
	static const uint8_t HEAD[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 7 + number);
	memcpy(frame, HEAD, sizeof(HEAD));
	memcpy(frame + sizeof(HEAD), &number, sizeof(number));
}

/* What came on a queue, one after the other, however it was split into bursts. */
struct taken {
	struct rte_mbuf *m;
	uint64_t time_ns;
	uint32_t wire_len;
	uint32_t flags;
};

/* Waits until count packets came, or long enough to be sure that they will not. */
static unsigned int receive(unsigned int queue, struct taken *ret, unsigned int count)
{
	struct source_queue *q = &src.queues[queue];
	unsigned int all = 0;
	struct burst b;

	for (unsigned int tries = 0; all < count && tries < TRIES; tries++) {
		uint16_t n = afpacket_class.receive(q, &b);

		ck_assert(b.own_times && b.own_lengths && b.own_flags);
		for (unsigned int i = 0; i < n; i++) {
			ck_assert_uint_lt(all, count);
			ret[all++] = (struct taken){.m = b.pkts[i],
				.time_ns = b.time_ns[i],
				.wire_len = b.wire_len[i],
				.flags = b.flags[i]};
		}
		if (n == 0)
			afpacket_class.wait(q, 1000000);
	}
	return all;
}

/* Nothing more than what the test expected came: no stray, no second copy. */
static void expect_nothing(unsigned int queue)
{
	struct burst b;

	for (unsigned int i = 0; i < 30; i++) {
		ck_assert_uint_eq(afpacket_class.receive(&src.queues[queue], &b), 0);
		afpacket_class.wait(&src.queues[queue], 1000000);
	}
}

static void check_packet(const struct taken *t, uint32_t len, uint32_t flags)
{
	ck_assert_uint_eq(t->m->pkt_len, len);
	ck_assert_uint_eq(t->wire_len, len);
	ck_assert_uint_eq(t->flags, flags);
	rte_mbuf_sanity_check(t->m, 1);
	ck_assert_mem_eq(rte_pktmbuf_read(t->m, 0, len, copy), frame, len);
	rte_pktmbuf_free(t->m);
}

static struct source_counts counts(void)
{
	struct source_counts c;

	afpacket_class.counts(&src, &c);
	return c;
}

/* Failure paths */

START_TEST(interface_that_is_not_there_is_refused)
{
	struct errbuf err;

	ck_assert(afpacket_class.claims("wsp9"));
	ck_assert(!afpacket_class.claims("0000:3b:00.0"));
	ck_assert(!afpacket_class.claims(""));
	ck_assert_int_eq(afpacket_class.check("wsp9", &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "wsp9"));
	ck_assert_int_eq(open_on("wsp9", 1, 1024, &err), -ENODEV);
	ck_assert_int_eq(afpacket_class.check("a-name-that-is-too-long", &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "15"));
}
END_TEST

START_TEST(without_the_capability_the_error_names_it)
{
	struct errbuf err;
	int r;

	ck_assert_int_eq(seteuid(65534), 0);
	r = open_on("wsp0", 1, 1024, &err);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(r, -EPERM);
	ck_assert_ptr_nonnull(strstr(err.text, "CAP_NET_RAW"));
	ck_assert_ptr_null(src.state);
}
END_TEST

/* A tun interface; its hardware type may be set to any. Packets written to it come in on it. */
static int make_tun(int type)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	(void)snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "wtun");
	ck_assert_int_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
	if (type >= 0)
		ck_assert_int_eq(ioctl(fd, TUNSETLINK, type), 0);
	ck_assert_int_eq(run("ip link set wtun up"), 0);
	return fd;
}

START_TEST(interface_of_another_kind_is_refused_with_its_number)
{
	struct errbuf err;
	int fd = make_tun(ARPHRD_IEEE80211_RADIOTAP);

	ck_assert_int_eq(open_on("wtun", 1, 1024, &err), -EPROTONOSUPPORT);
	ck_assert_ptr_nonnull(strstr(err.text, "803"));
	(void)close(fd);
}
END_TEST

START_TEST(what_the_kernel_dropped_is_counted_and_adds_up)
{
	const unsigned int sent = 2000;
	static struct taken t[2000];
	struct source_counts first, c;
	unsigned int n;

	must_open("wsp0", 1); /* 4 MiB of ring */
	make_frame(1);
	for (unsigned int i = 0; i < sent; i++)
		send_bytes(far_fd, 9000);
	n = receive(0, t, sent);
	first = counts();
	ck_assert_uint_gt(first.missed_pkts, 0);
	ck_assert_uint_gt(n, 0);
	ck_assert_uint_eq(n + first.missed_pkts, sent);
	for (unsigned int i = 0; i < n; i++)
		check_packet(&t[i], 9000, EPB_FLAG_INBOUND);
	/* The kernel's counter began again; ours goes on. */
	c = counts();
	ck_assert_uint_eq(c.missed_pkts, first.missed_pkts);
	ck_assert_uint_eq(c.no_mbuf_pkts + c.error_pkts, 0);
	send_bytes(far_fd, 60);
	ck_assert_uint_eq(receive(0, t, 1), 1);
	check_packet(&t[0], 60, EPB_FLAG_INBOUND);
	afpacket_class.close(&src);
}
END_TEST

START_TEST(empty_pool_leaves_packets_with_the_kernel)
{
	static struct rte_mbuf *held[MBUFS];
	struct taken t[10];
	struct burst b;

	must_open("wsp0", 1);
	ck_assert_int_eq(rte_pktmbuf_alloc_bulk(pools[0], held, MBUFS - 2), 0);
	make_frame(2);
	for (unsigned int i = 0; i < 10; i++)
		send_bytes(far_fd, 9000); /* five mbufs each */
	for (unsigned int i = 0; i < 30; i++) {
		ck_assert_uint_eq(afpacket_class.receive(&src.queues[0], &b), 0);
		afpacket_class.wait(&src.queues[0], 1000000);
	}
	ck_assert_uint_eq(rte_mempool_avail_count(pools[0]), 2);
	rte_pktmbuf_free_bulk(held, MBUFS - 2);
	ck_assert_uint_eq(receive(0, t, 10), 10);
	for (unsigned int i = 0; i < 10; i++)
		check_packet(&t[i], 9000, EPB_FLAG_INBOUND);
	ck_assert_uint_eq(counts().missed_pkts, 0);
	afpacket_class.close(&src);
}
END_TEST

START_TEST(interface_that_goes_down_and_up_again_goes_on)
{
	uint64_t bps;
	struct taken t;
	bool up;

	must_open("wsp0", 1);
	afpacket_class.link(&src, &up, &bps);
	ck_assert(up);
	ck_assert_uint_eq(bps, 10000000000); /* what veth says of itself */
	ck_assert_int_eq(run("ip link set wsp0 down"), 0);
	afpacket_class.link(&src, &up, &bps);
	ck_assert(!up);
	expect_nothing(0);
	ck_assert_int_eq(run("ip link set wsp0 up"), 0);
	make_frame(3);
	for (unsigned int i = 0; i < 100; i++) {
		afpacket_class.link(&src, &up, &bps);
		if (up)
			break;
		(void)usleep(10000);
	}
	ck_assert(up);
	send_bytes(far_fd, 100);
	ck_assert_uint_eq(receive(0, &t, 1), 1);
	check_packet(&t, 100, EPB_FLAG_INBOUND);
	afpacket_class.close(&src);
}
END_TEST

START_TEST(interface_that_is_down_at_the_start_is_said)
{
	struct taken t;
	struct errbuf err;

	ck_assert_int_eq(run("ip link add wdown type veth peer name wdown1"), 0);
	for (unsigned int queues = 1; queues <= 2; queues++) {
		ck_assert_msg(open_on("wdown", queues, 1024, &err) == 0, "%s", err.text);
		ck_assert_ptr_nonnull(strstr(src.warnings[0], "down"));
		if (queues == 1) {
			int fd;

			ck_assert_int_eq(run("ip link set wdown up"), 0);
			ck_assert_int_eq(run("ip link set wdown1 up"), 0);
			fd = raw_socket("wdown1");
			make_frame(4);
			send_bytes(fd, 60);
			ck_assert_uint_eq(receive(0, &t, 1), 1);
			check_packet(&t, 60, EPB_FLAG_INBOUND);
			(void)close(fd);
			ck_assert_int_eq(run("ip link set wdown down"), 0);
		}
		afpacket_class.close(&src);
	}
	ck_assert_int_eq(run("ip link del wdown"), 0);
}
END_TEST

START_TEST(interface_that_disappears_harms_nothing)
{
	uint64_t bps;
	bool up;

	ck_assert_int_eq(run("ip link add wgone type veth peer name wgone1"), 0);
	ck_assert_int_eq(run("ip link set wgone up"), 0);
	ck_assert_int_eq(run("ip link set wgone1 up"), 0);
	must_open("wgone", 1);
	ck_assert_int_eq(run("ip link del wgone"), 0);
	expect_nothing(0);
	afpacket_class.link(&src, &up, &bps);
	ck_assert(!up);
	ck_assert_uint_eq(bps, 0);
	ck_assert_uint_eq(counts().missed_pkts, 0);
	afpacket_class.close(&src);
}
END_TEST

/* What it gives */

START_TEST(port_is_described)
{
	must_open("wsp0", 1);
	ck_assert_str_eq(src.driver, "af_packet");
	ck_assert_str_eq(src.clock, "kernel");
	ck_assert_int_eq(src.linktype, 1);
	ck_assert(src.has_mac);
	ck_assert(!src.patient);
	ck_assert(!src.busy_poll);
	ck_assert_str_eq(src.warnings[0], "");
	afpacket_class.close(&src);
}
END_TEST

START_TEST(frames_come_byte_for_byte_in_order_with_times)
{
	static const uint32_t LENGTHS[] = {60, 14, 61, 1514, 2048, 2049, 9000, 9014, 64, 1000};
	const unsigned int count = sizeof(LENGTHS) / sizeof(LENGTHS[0]);
	struct taken t[10];
	uint64_t before, after, last = 0;

	make_frame(99);
	send_bytes(far_fd, 60); /* before: nobody's */
	must_open("wsp0", 1);
	before = clock_wall_ns();
	for (unsigned int i = 0; i < count; i++) {
		make_frame(i);
		send_bytes(far_fd, LENGTHS[i]);
	}
	ck_assert_uint_eq(receive(0, t, count), count);
	after = clock_wall_ns();
	for (unsigned int i = 0; i < count; i++) {
		ck_assert_uint_ge(t[i].time_ns, before);
		ck_assert_uint_le(t[i].time_ns, after);
		ck_assert_uint_ge(t[i].time_ns, last);
		last = t[i].time_ns;
		make_frame(i);
		check_packet(&t[i], LENGTHS[i], EPB_FLAG_INBOUND);
	}
	expect_nothing(0);
	afpacket_class.close(&src);
}
END_TEST

START_TEST(what_goes_out_is_seen_and_marked)
{
	struct taken t[2];

	must_open("wsp0", 1);
	make_frame(5);
	send_bytes(near_fd, 200);
	send_bytes(far_fd, 200);
	ck_assert_uint_eq(receive(0, t, 2), 2);
	check_packet(&t[0], 200, EPB_FLAG_OUTBOUND);
	check_packet(&t[1], 200, EPB_FLAG_INBOUND);
	expect_nothing(0);
	afpacket_class.close(&src);
}
END_TEST

START_TEST(vlan_tags_come_back_as_they_were_and_count_in_the_length)
{
	/* 802.1Q; 802.1ad; 802.1Q in 802.1ad; 802.1Q in 802.1Q; priority and DEI bits */
	static const uint16_t TAGS[][2][2] = {
		{{0x8100, 5}, {0, 0}},
		{{0x88a8, 100}, {0, 0}},
		{{0x88a8, 100}, {0x8100, 200}},
		{{0x8100, 4094}, {0x8100, 1}},
		{{0x8100, 0xf005}, {0, 0}},
		{{0x8100, 0}, {0, 0}},
	};
	struct taken t;

	must_open("wsp0", 1);
	for (size_t i = 0; i < sizeof(TAGS) / sizeof(TAGS[0]); i++) {
		for (unsigned int back = 0; back < 2; back++) {
			uint32_t len = 100;

			make_frame(6);
			for (unsigned int k = 2; k-- > 0;) {
				uint16_t tag[2] = {htons(TAGS[i][k][0]), htons(TAGS[i][k][1])};

				if (TAGS[i][k][0] == 0)
					continue;
				memmove(frame + 16, frame + 12, 200);
				memcpy(frame + 12, tag, sizeof(tag));
				len += 4;
			}
			send_bytes(back ? near_fd : far_fd, len);
			ck_assert_uint_eq(receive(0, &t, 1), 1);
			check_packet(&t, len, back ? EPB_FLAG_OUTBOUND : EPB_FLAG_INBOUND);
		}
	}
	afpacket_class.close(&src);
}
END_TEST

/* UDP over IPv4 between two hosts and ports. */
static uint32_t make_udp(unsigned int flow, bool back, uint32_t number)
{
	static const uint8_t HEAD[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46, 0,
		0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 0, 10, 9, 1, 0, 0, 0, 0, 0, 0, 26, 0, 0};

	memset(frame, 0, 60);
	memcpy(frame, HEAD, sizeof(HEAD));
	frame[29] = back ? 1 : (uint8_t)flow;
	frame[28] = back;
	frame[33] = back ? (uint8_t)flow : 1;
	frame[32] = !back;
	frame[34] = frame[36] = 0x10;
	frame[back ? 37 : 35] = (uint8_t)flow;
	memcpy(frame + 42, &flow, 4);
	memcpy(frame + 46, &number, 4);
	return 60;
}

START_TEST(queues_share_packets_once_each_and_keep_both_directions_together)
{
	enum { FLOWS = 63, PER_FLOW = 4 }; /* odd: taking turns would part flows */
	unsigned int queue_of[FLOWS], seen[FLOWS] = {0}, per_queue[2] = {0};
	struct burst b;

	must_open("wsp0", 2);
	for (uint32_t i = 0; i < PER_FLOW; i++)
		for (unsigned int flow = 0; flow < FLOWS; flow++)
			send_bytes(far_fd, make_udp(flow + 2, i % 2, i));
	for (unsigned int tries = 0; tries < 60; tries++)
		for (unsigned int q = 0; q < 2; q++) {
			uint16_t n = afpacket_class.receive(&src.queues[q], &b);

			for (unsigned int k = 0; k < n; k++) {
				uint32_t flow, number;
				const uint8_t *d = rte_pktmbuf_mtod(b.pkts[k], uint8_t *);

				memcpy(&flow, d + 42, 4);
				memcpy(&number, d + 46, 4);
				flow -= 2;
				ck_assert_uint_lt(flow, FLOWS);
				ck_assert_uint_eq(number, seen[flow]++);
				if (number == 0)
					queue_of[flow] = q;
				ck_assert_uint_eq(queue_of[flow], q);
			}
			per_queue[q] += n;
			rte_pktmbuf_free_bulk(b.pkts, n);
			afpacket_class.wait(&src.queues[q], 1000000);
		}
	for (unsigned int flow = 0; flow < FLOWS; flow++)
		ck_assert_uint_eq(seen[flow], PER_FLOW);
	ck_assert_uint_gt(per_queue[0], 0);
	ck_assert_uint_gt(per_queue[1], 0);
	ck_assert_uint_eq(counts().missed_pkts, 0);
	afpacket_class.close(&src);
}
END_TEST

START_TEST(loopback_gives_each_packet_once_and_large_ones_whole)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct taken t[2];

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must_open("lo", 1);
	make_frame(7);
	ck_assert_int_eq(sendto(fd, frame, 60000, 0, (struct sockaddr *)&to, sizeof(to)), 60000);
	/* The datagram, and the answer that nobody listens. */
	ck_assert_uint_eq(receive(0, t, 2), 2);
	ck_assert_uint_eq(t[0].wire_len, 60042);
	ck_assert_uint_eq(t[0].m->pkt_len, 60042);
	ck_assert_uint_gt(t[0].m->nb_segs, 1);
	ck_assert_uint_eq(t[0].flags, EPB_FLAG_INBOUND);
	ck_assert_mem_eq(rte_pktmbuf_read(t[0].m, 42, 60000, copy), frame, 60000);
	rte_pktmbuf_free(t[0].m);
	rte_pktmbuf_free(t[1].m);
	expect_nothing(0);
	ck_assert_uint_eq(counts().missed_pkts, 0);
	afpacket_class.close(&src);
	(void)close(fd);
}
END_TEST

START_TEST(tun_gives_ip_packets_without_a_link_header)
{
	struct taken t;
	int fd = make_tun(-1);

	must_open("wtun", 1);
	ck_assert_int_eq(src.linktype, 12);
	ck_assert(!src.has_mac);
	(void)make_udp(2, false, 0);
	memmove(frame, frame + 14, 46);
	ck_assert_int_eq(write(fd, frame, 46), 46);
	ck_assert_uint_eq(receive(0, &t, 1), 1);
	check_packet(&t, 46, EPB_FLAG_INBOUND);
	afpacket_class.close(&src);
	(void)close(fd);
}
END_TEST

static Suite *afpacket_suite(void)
{
	bool have_tun = access("/dev/net/tun", R_OK | W_OK) == 0;
	Suite *s = suite_create("afpacket");
	TCase *t = tcase_create("afpacket");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, interface_that_is_not_there_is_refused);
	tcase_add_test(t, without_the_capability_the_error_names_it);
	if (have_tun)
		tcase_add_test(t, interface_of_another_kind_is_refused_with_its_number);
	tcase_add_test(t, what_the_kernel_dropped_is_counted_and_adds_up);
	tcase_add_test(t, empty_pool_leaves_packets_with_the_kernel);
	tcase_add_test(t, interface_that_goes_down_and_up_again_goes_on);
	tcase_add_test(t, interface_that_is_down_at_the_start_is_said);
	tcase_add_test(t, interface_that_disappears_harms_nothing);
	tcase_add_test(t, port_is_described);
	tcase_add_test(t, frames_come_byte_for_byte_in_order_with_times);
	tcase_add_test(t, what_goes_out_is_seen_and_marked);
	tcase_add_test(t, vlan_tags_come_back_as_they_were_and_count_in_the_length);
	tcase_add_test(t, queues_share_packets_once_each_and_keep_both_directions_together);
	tcase_add_test(t, loopback_gives_each_packet_once_and_large_ones_whole);
	if (have_tun)
		tcase_add_test(t, tun_gives_ip_packets_without_a_link_header);
	else
		(void)fprintf(stderr, "left out: two tests that need /dev/net/tun\n");
	suite_add_tcase(s, t);
	return s;
}

static bool make_network(void)
{
	if (!network_enter() ||
		run("ip link add wsp0 mtu 9000 type veth peer name wsp1 mtu 9000 && "
		    "ip link set wsp0 up && ip link set wsp1 up") != 0)
		return false;
	near_fd = raw_socket("wsp0");
	far_fd = raw_socket("wsp1");
	return near_fd >= 0 && far_fd >= 0;
}

int main(void)
{
	int r;

	if (!make_network())
		return suite_skip("root, network namespaces and ip(8)");
	if (!eal_start(256))
		return EXIT_FAILURE;
	for (unsigned int q = 0; q < QUEUES_MAX; q++) {
		char name[] = {'p', (char)('0' + q), '\0'};

		pools[q] = rte_pktmbuf_pool_create(
			name, MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
		if (pools[q] == NULL)
			return EXIT_FAILURE;
	}
	r = suite_run_unforked(afpacket_suite());
	(void)rte_eal_cleanup();
	return r;
}
