/* rooms: capture filter common dpdk */
/*
 * The prefilter in the kernel: two veth pairs, "wsp0" and "wsq0" here (recorded), "wsp1" and "wsq1" in a network
 * namespace of its own, with 10.9.0.1 and 10.9.0.2 on the first pair. Needs root, ip(8), AF_XDP and a kernel
 * with bpffs; without them it is skipped (exit code 77).
 */
#include "capture/source.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_mbuf.h>

#include "capture/port.h"
#include "capture/prefilter_build.h"
#include "own_network.h"
#include "prefilter_check.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/rules.h"

enum {
	MBUFS = 16383, /* the driver takes 2048 with each open, and does not give them back */
	PORTS = 2,
	ETH_FRAME_MIN = 14, /* that the kernel runs a program on */
	DISCARD_PORT = 9,
	ECHO_PORT = 7,
};

static const char *const DEVICES[PORTS] = {"af_xdp:wsp0", "af_xdp:wsq0"};
static const char *names[PORTS] = {"wsp0", "wsq.0"};
static struct rte_mempool *pools[PORTS];
static struct source src[PORTS];
static int far_fds[PORTS]; /* raw, bound to wsp1 and wsq1 */
static int far_udp;
static int near_listener, far_tcp = -1, near_tcp = -1;

/* Ports */

static int open_port(unsigned int port, struct errbuf *err)
{
	struct source_options so = {
		.name = names[port],
		.device = DEVICES[port],
		.queues = 1,
		.descriptors = port == 0 ? 2048 : 256, /* fewer than the kernel has buffers */
		.frame_bytes = 1518,
		.socket_id = -1,
		.pools = &pools[port],
	};

	memset(&src[port], 0, sizeof(src[port]));
	src[port].class = &xdp_class;
	return xdp_class.open(&src[port], &so, err);
}

static void set_rules(unsigned int port, const char *const lines[], unsigned int count)
{
	struct rules *rules = NULL;
	struct errbuf err = {0};

	ck_assert_msg(rules_parse_lines(lines, count, "test", &rules, &err) == 0, "%s", err.text);
	ck_assert_msg(xdp_class.set_prefilter(&src[port], rules, &err) == 0, "%s", err.text);
	rules_free(rules);
}

static void redirect_all(unsigned int port)
{
	struct errbuf err = {0};

	ck_assert_msg(xdp_class.set_prefilter(&src[port], NULL, &err) == 0, "%s", err.text);
}

static struct port_prefilter counts_of(unsigned int port)
{
	struct port_prefilter c;

	ck_assert_int_eq(xdp_class.get_prefilter(&src[port], &c), 0);
	return c;
}

static unsigned int receive(unsigned int port)
{
	struct burst b = {0};
	uint16_t n = xdp_class.receive(&src[port].queues[0], &b);

	rte_pktmbuf_free_bulk(b.pkts, n);
	return n;
}

static unsigned int receive_rest(unsigned int port)
{
	unsigned int all = 0, n;

	while ((n = receive(port)) != 0)
		all += n;
	return all;
}

/* Traffic */

static void send_udp(uint16_t to_port, unsigned int count)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(to_port)};
	char text[] = "a datagram";

	(void)inet_pton(AF_INET, "10.9.0.1", &to.sin_addr);
	for (unsigned int i = 0; i < count; i++)
		ck_assert_int_eq(sendto(far_udp, text, sizeof(text), 0,
					 (const struct sockaddr *)&to, sizeof(to)),
			sizeof(text));
}

/* A line there and back; without the kernel's stack in between it never ends, but for the test's limit. */
static void speak_tcp(void)
{
	char c = 'x';

	ck_assert_int_eq(send(far_tcp, &c, 1, 0), 1);
	ck_assert_int_eq(recv(near_tcp, &c, 1, 0), 1);
	ck_assert_int_eq(send(near_tcp, &c, 1, 0), 1);
	ck_assert_int_eq(recv(far_tcp, &c, 1, 0), 1);
}

/* Waits until rules have decided of so many. TCP may have something to say at any time: it passes. */
static struct port_prefilter await_decided(unsigned int port, uint64_t pkts)
{
	struct port_prefilter c = counts_of(port);

	while (c.redirected_pkts + c.dropped_pkts < pkts) {
		(void)sched_yield();
		c = counts_of(port);
	}
	return c;
}

static void await_dropped(uint64_t pkts)
{
	while (counts_of(0).dropped_pkts < pkts)
		(void)sched_yield();
	ck_assert_uint_eq(counts_of(0).dropped_pkts, pkts);
}

/* Other warnings are of veth. */
static bool warns(unsigned int port, const char *word)
{
	for (unsigned int i = 0; i < PORT_WARNINGS_MAX; i++)
		if (strstr(src[port].warnings[i], word) != NULL)
			return true;
	return false;
}

/* Tests */

START_TEST(it_is_there_and_redirects_all_at_first)
{
	for (unsigned int port = 0; port < PORTS; port++) {
		ck_assert(!warns(port, "prefilter"));
		ck_assert_str_eq(src[port].clock, "kernel");
		ck_assert_uint_eq(counts_of(port).rule_count, 0);
	}
	send_udp(DISCARD_PORT, 3);
	while (receive(0) == 0)
		;
	(void)receive_rest(0);
}
END_TEST

START_TEST(a_flood_is_dropped_in_the_kernel_while_a_tcp_session_lives_on)
{
	static const char *const lines[] = {
		"keep udp any any any 1000", "drop udp any any any 9", "drop tcp any any any 1000"};
	enum { BATCHES = 200, BATCH = 64 };
	struct port_prefilter c;
	unsigned int got = 0;

	set_rules(0, lines, 3);
	for (unsigned int i = 1; i <= BATCHES; i++) {
		send_udp(DISCARD_PORT, BATCH);
		speak_tcp();
		await_dropped((uint64_t)i * BATCH);
		got += receive_rest(0);
	}
	ck_assert_uint_eq(got, 0);
	send_udp(1000, 5);
	while (got < 5)
		got += receive(0);
	c = counts_of(0);
	ck_assert_uint_eq(c.rule_count, 3);
	ck_assert_uint_eq(c.redirected_pkts, 5);
	ck_assert_uint_eq(c.dropped_pkts, BATCHES * BATCH);
	ck_assert_uint_ge(c.passed_pkts, BATCHES); /* of TCP */
	ck_assert_uint_eq(c.rule_pkts[0], 5);
	ck_assert_uint_eq(c.rule_pkts[1], BATCHES * BATCH);
	ck_assert_uint_eq(c.rule_pkts[2], 0);
	redirect_all(0);
}
END_TEST

START_TEST(each_port_has_rules_of_its_own)
{
	static const char *const keep[] = {"keep udp any any any 9"};
	static const char *const drop[] = {"drop udp any any any 9"};
	static const uint8_t frame[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0,
		0, 0, 0, 64, 17, 0, 0, 10, 8, 0, 2, 10, 8, 0, 1, 0, 7, 0, 9, 0, 8, 0, 0};

	set_rules(0, keep, 1);
	set_rules(1, drop, 1);
	for (unsigned int port = 0; port < PORTS; port++)
		ck_assert_int_eq(send(far_fds[port], frame, sizeof(frame), 0), sizeof(frame));
	(void)await_decided(0, 1);
	(void)await_decided(1, 1);
	ck_assert_uint_eq(counts_of(0).redirected_pkts, 1);
	ck_assert_uint_eq(counts_of(0).dropped_pkts, 0);
	ck_assert_uint_eq(counts_of(1).redirected_pkts, 0);
	ck_assert_uint_eq(counts_of(1).dropped_pkts, 1);
	redirect_all(0);
	redirect_all(1);
	(void)receive_rest(0);
}
END_TEST

START_TEST(rules_that_are_refused_leave_those_before)
{
	static const char *const keep[] = {"keep udp any any any 9"};
	static const char *const all[] = {"drop any any any any any"};
	struct rules *rules = NULL;
	struct errbuf err;

	set_rules(0, keep, 1);
	send_udp(DISCARD_PORT, 1);
	(void)await_decided(0, 1);
	ck_assert_int_eq(rules_parse_lines(all, 1, "test", &rules, &err), 0);
	ck_assert_int_eq(xdp_class.set_prefilter(&src[0], rules, &err), -EINVAL);
	rules_free(rules);
	ck_assert_uint_eq(counts_of(0).rule_count, 1);
	ck_assert_uint_eq(counts_of(0).rule_pkts[0], 1);
	redirect_all(0);
	(void)receive_rest(0);
}
END_TEST

/* Runs the program that is on wsp0. */
static unsigned int verdict_of(int program_fd, const struct check_packet *p)
{
	struct xdp_md context = {
		.data_end = p->length,
		.ingress_ifindex = if_nametoindex("wsp0"),
		.rx_queue_index = 0,
	};
	uint8_t out[CHECK_FRAME_MAX + 256];
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = p->frame, .data_size_in = p->length,
		.data_out = out, .data_size_out = sizeof(out), .ctx_in = &context,
		.ctx_size_in = sizeof(context), .repeat = 1);

	ck_assert_int_eq(bpf_prog_test_run_opts(program_fd, &run), 0);
	return run.retval;
}

START_TEST(the_kernel_finds_what_a_linear_search_finds)
{
	static const unsigned int returned[] = {[PREFILTER_PASS] = XDP_PASS,
		[PREFILTER_REDIRECT] = XDP_REDIRECT,
		[PREFILTER_DROP] = XDP_DROP};
	uint64_t expected_pkts[PREFILTER_VERDICTS], by_rules;
	uint32_t state = 5, id = 0;
	struct port_prefilter c;
	struct check_packet p;
	int fd;

	ck_assert_int_eq(bpf_xdp_query_id((int)if_nametoindex("wsq0"), 0, &id), 0);
	fd = bpf_prog_get_fd_by_id(id);
	ck_assert_int_ge(fd, 0);
	for (unsigned int round = 0; round < 20; round++) {
		unsigned int count = round % 10 == 0 ? PREFILTER_RULES_MAX : 1 + 2 * round;
		struct rules *rules = check_random_rules(&state, count);
		struct errbuf err = {0};

		ck_assert_msg(xdp_class.set_prefilter(&src[1], rules, &err) == 0, "%s", err.text);
		memset(expected_pkts, 0, sizeof(expected_pkts));
		by_rules = 0;
		for (unsigned int i = 0; i < 300; i++) {
			enum prefilter_verdict expected;
			unsigned int rule;

			do {
				check_random_packet(&state, &p);
			} while (p.length < ETH_FRAME_MIN);
			expected = check_verdict(rules, &p, &rule);
			ck_assert_uint_eq(verdict_of(fd, &p), returned[expected]);
			expected_pkts[expected]++;
			by_rules += rule < count;
		}
		c = counts_of(1);
		/* Of the port without a session, whose packets would count, too. */
		ck_assert_uint_eq(c.redirected_pkts, expected_pkts[PREFILTER_REDIRECT]);
		ck_assert_uint_eq(c.dropped_pkts, expected_pkts[PREFILTER_DROP]);
		ck_assert_uint_eq(c.passed_pkts, expected_pkts[PREFILTER_PASS]);
		for (unsigned int i = 0; i < c.rule_count; i++)
			by_rules -= c.rule_pkts[i];
		ck_assert_uint_eq(by_rules, 0);
		rules_free(rules);
	}
	(void)close(fd);
	redirect_all(0);
}
END_TEST

/* Sends all the time to port 9, so that the rules change among its packets. */
static _Atomic bool enough;
static _Atomic uint64_t sent_pkts;

static void *send_until_enough(void *unused)
{
	static uint8_t frame[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 0, 0,
		0, 64, 17, 0, 0, 10, 8, 0, 2, 10, 8, 0, 1, 0, 7, 0, 9, 0, 8, 0, 0};

	while (!atomic_load(&enough))
		if (send(far_fds[1], frame, sizeof(frame), 0) == sizeof(frame))
			atomic_fetch_add(&sent_pkts, 1);
	return unused;
}

/*
 * Both lists keep the packet, one by its first row, one by its last; the first list's first row is a drop in
 * the second, and the second's last one there is none in the first. So part of one with part of the
 * other would drop or pass.
 */
START_TEST(while_rules_change_each_packet_is_judged_by_one_list)
{
	static const char *const first[] = {"keep udp 10.8.0.2 7 10.8.0.1 9"};
	static const char *const last[] = {"drop udp 10.8.0.2 8 10.8.0.1 9",
		"drop udp 10.8.0.3 7 10.8.0.1 9", "drop tcp 10.8.0.2 7 10.8.0.1 9",
		"drop udp 10.8.0.2 7 10.8.0.4 9", "keep udp 10.8.0.0/16 any 10.8.0.1 any"};
	enum { CHANGES = 100 };
	pthread_t sender;

	set_rules(1, first, 1);
	atomic_store(&enough, false);
	atomic_store(&sent_pkts, 0);
	ck_assert_int_eq(pthread_create(&sender, NULL, send_until_enough, NULL), 0);
	for (unsigned int i = 0; i < CHANGES; i++) {
		struct port_prefilter before, c;

		if (i % 2 == 0)
			set_rules(1, last, 5);
		else
			set_rules(1, first, 1);
		before = await_decided(1, 20);
		(void)receive_rest(1);
		c = counts_of(1);
		ck_assert_uint_eq(c.dropped_pkts, 0);
		ck_assert_uint_eq(c.passed_pkts, 0);
		ck_assert_uint_ge(c.redirected_pkts, before.redirected_pkts);
		for (unsigned int rule = 0; rule + 1 < c.rule_count; rule++)
			ck_assert_uint_eq(c.rule_pkts[rule], 0);
	}
	atomic_store(&enough, true);
	(void)pthread_join(sender, NULL);
	ck_assert_uint_eq(counts_of(1).rule_pkts[0], counts_of(1).redirected_pkts);
	redirect_all(1);
	(void)receive_rest(1);
}
END_TEST

START_TEST(counts_of_all_lists_add_up)
{
	static const char *const lines[] = {"keep udp any any any 9", "drop udp any any any 1000"};
	struct source_counts before = {0}, after = {0};

	(void)receive_rest(0);
	xdp_class.counts(&src[0], &before);
	set_rules(0, lines, 2);
	send_udp(DISCARD_PORT, 2);
	send_udp(1000, 3);
	(void)await_decided(0, 5);
	set_rules(0, lines + 1, 1);
	send_udp(1000, 4);
	(void)await_decided(0, 4);
	/* Counts begin anew with each list, though the third is where the first was. */
	set_rules(0, lines, 2);
	ck_assert_uint_eq(await_decided(0, 0).redirected_pkts, 0);
	ck_assert_uint_eq(counts_of(0).rule_pkts[1], 0);
	redirect_all(0);
	(void)receive_rest(0);
	xdp_class.counts(&src[0], &after);
	ck_assert_uint_ge(after.redirected_pkts - before.redirected_pkts, 2);
	ck_assert_uint_eq(after.dropped_pkts - before.dropped_pkts, 7);
}
END_TEST

START_TEST(what_is_redirected_is_received_or_missed)
{
	static const uint8_t frame[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	enum { PKTS = 600 };
	struct source_counts before = {0}, after = {0};
	unsigned int got = 0;

	(void)receive_rest(1);
	xdp_class.counts(&src[1], &before);
	for (unsigned int i = 0; i < PKTS; i++)
		ck_assert_int_eq(send(far_fds[1], frame, sizeof(frame), 0), sizeof(frame));
	do { /* some are between the program and the ring */
		got += receive_rest(1);
		xdp_class.counts(&src[1], &after);
	} while (got + after.missed_pkts - before.missed_pkts < PKTS);
	ck_assert_uint_ge(got, 256);
	ck_assert_uint_eq(got + after.missed_pkts - before.missed_pkts, PKTS);
	ck_assert_uint_eq(after.redirected_pkts - before.redirected_pkts, PKTS);
}
END_TEST

/*
 * Only those of the last quarter of the pool's memory are left, and what comes is kept: behind the 2048 that the
 * kernel has already, it is they that are received into.
 */
START_TEST(all_mbufs_of_the_pool_can_be_received_into)
{
	enum { PKTS = 3000 };
	static struct rte_mbuf *taken[MBUFS];
	unsigned int count = 0, kept = 0, got = 0;
	uintptr_t first = UINTPTR_MAX, last = 0;
	struct burst b = {0};

	while ((taken[count] = rte_pktmbuf_alloc(pools[0])) != NULL) {
		first = RTE_MIN(first, (uintptr_t)taken[count]);
		last = RTE_MAX(last, (uintptr_t)taken[count]);
		count++;
	}
	for (unsigned int i = 0; i < count; i++)
		if ((uintptr_t)taken[i] < last - (last - first) / 4)
			taken[kept++] = taken[i];
		else
			rte_pktmbuf_free(taken[i]);
	while (got < PKTS) {
		uint16_t n;

		send_udp(DISCARD_PORT, 1);
		n = xdp_class.receive(&src[0].queues[0], &b);
		for (unsigned int i = 0; i < n; i++)
			taken[kept++] = b.pkts[i];
		got += n;
	}
	rte_pktmbuf_free_bulk(taken, kept);
	(void)receive_rest(0);
}
END_TEST

/* What the far end sends is stamped when it comes, not when it is taken. */
START_TEST(a_packet_has_the_time_of_its_coming)
{
	uint64_t before_ns, after_ns;
	struct burst b = {0};
	uint16_t n;

	(void)receive_rest(0);
	xdp_class.wait(&src[0].queues[0], 1); /* now the two clocks are compared */
	before_ns = capture_now_ns();
	send_udp(DISCARD_PORT, 1);
	while ((n = xdp_class.receive(&src[0].queues[0], &b)) == 0)
		;
	after_ns = capture_now_ns();
	ck_assert(b.own_times);
	/* The two clocks are read one after the other, and the kernel's fast one may be a little behind. */
	ck_assert_uint_gt(b.time_ns[0], before_ns - 100 * 1000);
	ck_assert_uint_lt(b.time_ns[n - 1], after_ns + 100 * 1000);
	rte_pktmbuf_free_bulk(b.pkts, n);
	xdp_class.counts(&src[0], &(struct source_counts){0});
	ck_assert(!warns(0, "stamp"));
	while (xdp_class.receive(&src[0].queues[0], &b) != 0)
		rte_pktmbuf_free(b.pkts[0]);
	ck_assert(b.emptied);
	ck_assert_uint_gt(b.late_ns, 0); /* what is stamped now may come after this */
}
END_TEST

static bool has_pin(const char *name)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "/sys/fs/bpf/wirespool/%s", name);
	fd = bpf_obj_get(path);
	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

START_TEST(its_maps_are_pinned_while_the_port_is_open)
{
	struct errbuf err = {0};

	ck_assert(has_pin("wsp0/counters") && has_pin("wsp0/tables") && has_pin("wsp0/nets"));
	ck_assert(has_pin("wsq_0/counters"));
	xdp_class.close(&src[0]);
	ck_assert_int_ne(access("/sys/fs/bpf/wirespool/wsp0", F_OK), 0);
	ck_assert(has_pin("wsq_0/counters"));

	xdp_class.close(&src[1]);
	ck_assert_int_ne(access("/sys/fs/bpf/wirespool", F_OK), 0);
	for (unsigned int port = 0; port < PORTS; port++)
		ck_assert_msg(open_port(port, &err) == 0, "%s", err.text);
	ck_assert(has_pin("wsp0/counters"));
}
END_TEST

START_TEST(pins_are_of_who_had_the_name_first)
{
	struct errbuf err = {0};
	bool told, stay;

	xdp_class.close(&src[1]);
	names[1] = names[0];
	ck_assert_msg(open_port(1, &err) == 0, "%s", err.text);
	told = warns(1, "not pinned");
	xdp_class.close(&src[1]);
	stay = has_pin("wsp0/counters");
	names[1] = "wsq.0";
	ck_assert_msg(open_port(1, &err) == 0, "%s", err.text);
	ck_assert(told && stay);
}
END_TEST

/* As when a recorder is killed: its sockets leave the map, program and rules stay. */
static void take_socket_away(void)
{
	const uint32_t first = 0;
	int fd = bpf_obj_get("/sys/fs/bpf/wirespool/wsp0/xsks_map");

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bpf_map_delete_elem(fd, &first), 0);
	(void)close(fd);
}

START_TEST(without_a_socket_all_packets_pass)
{
	static const char *const lines[] = {"drop tcp any any any any"};
	struct errbuf err = {0};

	set_rules(0, lines, 1);
	take_socket_away();
	speak_tcp();
	ck_assert_uint_eq(counts_of(0).dropped_pkts, 0);
	xdp_class.close(&src[0]);
	ck_assert_msg(open_port(0, &err) == 0, "%s", err.text);
}
END_TEST

START_TEST(the_ledger_counts_while_a_run_is_live)
{
	static const char *const lines[] = {"keep udp any any any 9", "drop udp any any any 1000"};
	struct port port = {.name = "wsp0", .source = src[0]};
	struct port_ledger ledger;
	struct errbuf err;
	struct rules *rules;

	ck_assert_int_eq(rules_parse_lines(lines, 2, "test", &rules, &err), 0);
	ck_assert_int_eq(port_set_prefilter(&port, rules, &err), 0);
	rules_free(rules);
	send_udp(1000, 1);
	(void)await_decided(0, 1);
	port_set_live(&port, true);
	send_udp(DISCARD_PORT, 2);
	send_udp(1000, 3);
	send_udp(1001, 4);
	(void)await_decided(0, 6);
	while (counts_of(0).passed_pkts < 4)
		(void)sched_yield();
	port_set_live(&port, false);
	send_udp(1000, 5);
	(void)await_decided(0, 11);
	port_get_ledger(&port, &ledger);
	ck_assert_uint_eq(ledger.prefilter_redirected_pkts, 2);
	ck_assert_uint_eq(ledger.prefilter_dropped_pkts, 3);
	ck_assert_uint_ge(ledger.prefilter_passed_pkts, 4);
	ck_assert_uint_eq(ledger.offered_pkts, 0);
	ck_assert_int_eq(port_set_prefilter(&port, NULL, &err), 0);
	(void)receive_rest(0);
}
END_TEST

START_TEST(other_devices_have_none)
{
	struct port port = {.name = "g0", .source.class = &gen_class};
	struct port_prefilter c;
	struct errbuf err;

	ck_assert_int_eq(port_set_prefilter(&port, NULL, &err), -ENOTSUP);
	ck_assert_str_eq(err.text,
		"port 'g0': only NICs and devices of the kind af_xdp:IFACE have a prefilter");
	ck_assert_int_eq(port_get_prefilter(&port, &c), -ENOTSUP);
}
END_TEST

/* Leaves on wsp0 the program of a recorder that was killed. */
static void leave_program(void)
{
	char path[] = "../capture/prefilter.bpf.o";
	char self[256] = "", object[512];
	struct bpf_object *o;

	ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
	*strrchr(self, '/') = '\0';
	(void)snprintf(object, sizeof(object), "%s/%s", self, path);
	o = bpf_object__open_file(object, NULL);
	ck_assert_ptr_nonnull(o);
	ck_assert_int_eq(bpf_object__load(o), 0);
	ck_assert_int_eq(bpf_xdp_attach((int)if_nametoindex("wsp0"),
				 bpf_program__fd(bpf_object__next_program(o, NULL)), 0, NULL),
		0);
	bpf_object__close(o);
}

START_TEST(a_program_that_a_killed_recorder_left_is_replaced)
{
	struct errbuf err = {0};

	xdp_class.close(&src[0]);
	leave_program();
	ck_assert_msg(open_port(0, &err) == 0, "%s", err.text);
	ck_assert(!warns(0, "prefilter"));
	ck_assert_uint_eq(counts_of(0).rule_count, 0);
}
END_TEST

/* Puts a program on wsp0 that is not ours. Returns its descriptor. */
static int put_other_program(void)
{
	const struct bpf_insn pass[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "other", "GPL", pass, 2, NULL);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bpf_xdp_attach((int)if_nametoindex("wsp0"), fd, 0, NULL), 0);
	return fd;
}

START_TEST(another_s_program_stays_and_the_port_does_not_open)
{
	struct errbuf err = {0};
	uint32_t id = 0;
	int fd;

	xdp_class.close(&src[0]);
	fd = put_other_program();
	ck_assert_int_eq(open_port(0, &err), -EBUSY);
	ck_assert_str_eq(
		err.text, "af_xdp:wsp0: there is another XDP program on the interface (`ip link`)");
	ck_assert_int_eq(bpf_xdp_query_id((int)if_nametoindex("wsp0"), 0, &id), 0);
	ck_assert_uint_ne(id, 0);

	ck_assert_int_eq(bpf_xdp_detach((int)if_nametoindex("wsp0"), 0, NULL), 0);
	(void)close(fd);
	ck_assert_msg(open_port(0, &err) == 0, "%s", err.text);
}
END_TEST

static Suite *prefilter_suite(void)
{
	Suite *s = suite_create("prefilter_veth");
	TCase *t = tcase_create("prefilter_veth");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, it_is_there_and_redirects_all_at_first);
	tcase_add_test(t, a_flood_is_dropped_in_the_kernel_while_a_tcp_session_lives_on);
	tcase_add_test(t, each_port_has_rules_of_its_own);
	tcase_add_test(t, rules_that_are_refused_leave_those_before);
	tcase_add_test(t, the_kernel_finds_what_a_linear_search_finds);
	tcase_add_test(t, while_rules_change_each_packet_is_judged_by_one_list);
	tcase_add_test(t, counts_of_all_lists_add_up);
	tcase_add_test(t, what_is_redirected_is_received_or_missed);
	tcase_add_test(t, all_mbufs_of_the_pool_can_be_received_into);
	tcase_add_test(t, a_packet_has_the_time_of_its_coming);
	tcase_add_test(t, its_maps_are_pinned_while_the_port_is_open);
	tcase_add_test(t, pins_are_of_who_had_the_name_first);
	tcase_add_test(t, without_a_socket_all_packets_pass);
	tcase_add_test(t, the_ledger_counts_while_a_run_is_live);
	tcase_add_test(t, other_devices_have_none);
	tcase_add_test(t, a_program_that_a_killed_recorder_left_is_replaced);
	tcase_add_test(t, another_s_program_stays_and_the_port_does_not_open);
	suite_add_tcase(s, t);
	return s;
}

/* Network */

static bool new_namespace(int *ret_fd)
{
	if (!network_enter())
		return false;
	*ret_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return *ret_fd >= 0;
}

/*
 * In the far namespace: the pairs are made here, and one end of each goes to the process's other one. Neighbours are
 * known for good: an ARP that the recorder took would not be answered.
 */
static bool make_pairs(pid_t near)
{
	char command[768];

	(void)snprintf(command, sizeof(command),
		"ip link add wsp1 type veth peer name wsp0 netns %d && "
		"ip link add wsq1 type veth peer name wsq0 netns %d && "
		"ip link set wsp1 address 02:00:00:00:00:02 && "
		"ip address add 10.9.0.2/24 dev wsp1 && "
		"ip link set wsp1 up && ip link set wsq1 up && ip neighbour add 10.9.0.1 "
		"lladdr 02:00:00:00:00:01 nud permanent dev wsp1",
		(int)near, (int)near);
	return system(command) == 0;
}

static bool make_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(ECHO_PORT)};

	near_listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return near_listener >= 0 &&
	       bind(near_listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	       listen(near_listener, 1) == 0;
}

/* The TCP session is there before anything is recorded, as an operator's would be. */
static bool make_session(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(ECHO_PORT)};

	(void)inet_pton(AF_INET, "10.9.0.1", &to.sin_addr);
	if (connect(far_tcp, (struct sockaddr *)&to, sizeof(to)) < 0)
		return false;
	near_tcp = accept(near_listener, NULL, NULL);
	return near_tcp >= 0;
}

static bool make_far_end(pid_t near)
{
	if (!make_pairs(near))
		return false;
	far_fds[0] = raw_socket("wsp1");
	far_fds[1] = raw_socket("wsq1");
	far_udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	far_tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return far_fds[0] >= 0 && far_fds[1] >= 0 && far_udp >= 0 && far_tcp >= 0;
}

/* Sockets stay in the namespace that they were made in. Without bpffs mounted there are no pins. */
static bool make_network(void)
{
	int far = -1, near = -1;
	pid_t child;
	bool good;

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
		mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL) < 0 || !new_namespace(&far) ||
		!new_namespace(&near))
		return false;
	child = fork();
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	good = child > 0 && setns(far, CLONE_NEWNET) == 0 && make_far_end(child) &&
	       setns(near, CLONE_NEWNET) == 0 &&
	       system("ip link set wsp0 address 02:00:00:00:00:01 && "
		      "ip address add 10.9.0.1/24 dev wsp0 && "
		      "ip link set wsp0 up && ip link set wsq0 up && ip neighbour add 10.9.0.2 "
		      "lladdr 02:00:00:00:00:02 nud permanent dev wsp0") == 0 &&
	       make_listener() && make_session();
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	return good;
}

static bool open_ports(void)
{
	struct errbuf err;

	for (unsigned int port = 0; port < PORTS; port++) {
		char name[] = {'p', (char)('0' + port), '\0'};

		pools[port] =
			packed_pool_new(name, MBUFS, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
		if (pools[port] == NULL)
			return false;
		if (open_port(port, &err) < 0) {
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
		return suite_skip("root, namespaces, bpffs, ip(8) and veth interfaces");
	if (!eal_start(256))
		return EXIT_FAILURE;
	clock_start(&capture_clock, rte_rdtsc(), clock_wall_ns(), rte_get_tsc_hz());
	if (!open_ports())
		return EXIT_FAILURE;
	r = suite_run_unforked(prefilter_suite());
	for (unsigned int port = 0; port < PORTS; port++)
		xdp_class.close(&src[port]);
	(void)rte_eal_cleanup();
	return r;
}
