/* rooms: capture common dpdk */
/*
 * AF_XDP, in a network namespace of its own: two veth pairs, "wsx0" and "wsy0" (captured), "wsx1" and
 * "wsy1" (the other ends). Needs root, ip(8) and AF_XDP; without them it is skipped (exit code 77).
 */
#include "capture/source.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "own_network.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/units.h"

enum { MBUFS = 8191, PORTS = 2, FRAME_BYTES = 60 };

/* A wait that does not end with a packet is ended by the test's time limit. */
static const uint64_t FOREVER_NS = 24ULL * 3600 * NS_PER_SEC;

static struct rte_mempool *pools[PORTS];
static struct source
	src[PORTS];        /* both open all the time: a port is not to find the other's socket */
static int far_fds[PORTS]; /* what is sent by them comes in on wsx0 and wsy0 */

static bool open_source(unsigned int port, struct errbuf *err)
{
	static const char *const DEVICES[] = {"af_xdp:wsx0", "af_xdp:wsy0"};
	struct source_options so = {
		.name = "t0",
		.device = DEVICES[port],
		.queues = 1,
		.descriptors = 1024,
		.frame_bytes = 1518,
		.socket_id = -1,
		.pools = &pools[port],
	};

	src[port].class = &xdp_class;
	return xdp_class.open(&src[port], &so, err) == 0;
}

static void send_number(unsigned int port, uint8_t number)
{
	/* Of a type for experiments. */
	uint8_t frame[FRAME_BYTES] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, number};

	ck_assert_int_eq(send(far_fds[port], frame, sizeof(frame), 0), FRAME_BYTES);
}

/* How many came; the number in the last of them. */
static unsigned int receive(unsigned int port, uint8_t *ret_number)
{
	struct burst b;
	uint16_t n = xdp_class.receive(&src[port].queues[0], &b);

	if (n != 0)
		*ret_number = rte_pktmbuf_mtod(b.pkts[n - 1], const uint8_t *)[14];
	rte_pktmbuf_free_bulk(b.pkts, n);
	return n;
}

/* Waits without end: of two waits one is a nap at most, the other sleeps until there is a packet. */
static void expect_number(unsigned int port, uint8_t number)
{
	uint8_t got = 0;
	unsigned int n;

	do {
		xdp_class.wait(&src[port].queues[0], FOREVER_NS);
		xdp_class.wait(&src[port].queues[0], FOREVER_NS);
	} while ((n = receive(port, &got)) == 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(got, number);
}

START_TEST(an_rx_lcore_waits_and_does_not_spin)
{
	for (unsigned int port = 0; port < PORTS; port++) {
		ck_assert_str_eq(src[port].driver, "net_af_xdp");
		ck_assert(!src[port].busy_poll);
	}
}
END_TEST

START_TEST(each_port_is_woken_by_its_own_packets)
{
	for (uint8_t number = 1; number < 20; number++)
		for (unsigned int port = 0; port < PORTS; port++) {
			send_number(port, number);
			expect_number(port, number);
		}
}
END_TEST

START_TEST(right_behind_a_packet_it_naps_and_does_not_wait_for_another)
{
	uint8_t number;

	send_number(0, 1);
	expect_number(0, 1);
	xdp_class.wait(&src[0].queues[0], FOREVER_NS);
	ck_assert_uint_eq(receive(0, &number), 0);
}
END_TEST

/* With it the kernel would poll the interface on the rx lcore's CPU, in each empty receive. */
START_TEST(busy_polling_is_off)
{
	unsigned int sockets = 0;

	for (int fd = 0; fd < 1024; fd++) {
		int domain = 0, busy = -1, preferred = -1;
		socklen_t len = sizeof(int);

		if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_XDP)
			continue;
		sockets++;
		ck_assert_int_eq(getsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &busy, &len), 0);
		ck_assert_int_eq(
			getsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &preferred, &len), 0);
		ck_assert_int_eq(busy, 0);
		ck_assert_int_eq(preferred, 0);
	}
	ck_assert_uint_eq(sockets, PORTS);
}
END_TEST

static Suite *xdp_suite(void)
{
	Suite *s = suite_create("xdp");
	TCase *t = tcase_create("xdp");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, an_rx_lcore_waits_and_does_not_spin);
	tcase_add_test(t, each_port_is_woken_by_its_own_packets);
	tcase_add_test(t, right_behind_a_packet_it_naps_and_does_not_wait_for_another);
	tcase_add_test(t, busy_polling_is_off);
	suite_add_tcase(s, t);
	return s;
}

static bool make_network(void)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || !network_enter())
		return false;
	(void)close(fd);
	if (system("ip link add wsx0 type veth peer name wsx1 && "
		   "ip link add wsy0 type veth peer name wsy1 && "
		   "for i in wsx0 wsx1 wsy0 wsy1; do ip link set $i up || exit 1; done") != 0)
		return false;
	far_fds[0] = raw_socket("wsx1");
	far_fds[1] = raw_socket("wsy1");
	return far_fds[0] >= 0 && far_fds[1] >= 0;
}

static bool open_sources(void)
{
	struct errbuf err;

	for (unsigned int port = 0; port < PORTS; port++) {
		char name[] = {'p', (char)('0' + port), '\0'};

		pools[port] = rte_pktmbuf_pool_create(
			name, MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
		if (pools[port] == NULL)
			return false;
		if (!open_source(port, &err)) {
			(void)fprintf(stderr, "%s\n", err.text);
			return false;
		}
	}
	return true;
}

/* net_af_xdp of DPDK 22.11 forgets 80 bytes of libxdp's at its close, and never closes its program's object. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:xsk_umem__create\nleak:libbpf.so";
}

int main(void)
{
	int r;

	if (!make_network())
		return suite_skip("root, network namespaces, ip(8) and AF_XDP sockets");
	if (!eal_start(256) || !open_sources())
		return EXIT_FAILURE;
	r = suite_run_unforked(xdp_suite());
	for (unsigned int port = 0; port < PORTS; port++)
		xdp_class.close(&src[port]);
	(void)rte_eal_cleanup();
	return r;
}
