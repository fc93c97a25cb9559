/* rooms: capture filter common dpdk */
/*
 * Drop rules at real drivers: net_tap, whose flows are the kernel's (tc flower), and net_null, which has none. A
 * kernel without flower refuses each flow when it is made: then all packets come. Needs root, ip(8), tc(8) and
 * /dev/net/tun; without them it is skipped (exit code 77).
 */
#include "capture/source.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdarg.h>
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
#include "wirespool/log.h"
#include "wirespool/rules.h"

enum {
	MBUFS = 4095,
	DROPPED = 53,
	KEPT = 80,
	LAST = 1000,  /* behind the others: when it has come, they have, or never will */
	PORT_AT = 36, /* in the frame */
};

static struct rte_mempool *pool;
static struct source tap;
static int raw = -1;
static char said[256];

void log_line(enum log_level level, const char *format, ...)
{
	va_list args;

	(void)level;
	va_start(args, format);
	(void)vsnprintf(said, sizeof(said), format, args);
	va_end(args);
}

static int open_device(struct source *s, const char *device, struct errbuf *err)
{
	struct source_options so = {
		.name = "left",
		.device = device,
		.queues = 1,
		.descriptors = 256,
		.frame_bytes = 1518,
		.socket_id = -1,
		.pools = &pool,
	};

	memset(s, 0, sizeof(*s));
	s->class = &ethdev_class;
	return ethdev_class.open(s, &so, err);
}

static void set_rule(const char *line, enum rule_action action)
{
	struct rules *rules = NULL;
	struct errbuf err = {0};

	ck_assert_msg(rules_parse_lines(&line, 1, "test", &rules, &err) == 0, "%s", err.text);
	rules->list[0].action = action;
	ck_assert_msg(ethdev_class.set_prefilter(&tap, rules, &err) == 0, "%s", err.text);
	rules_free(rules);
}

/* The driver hangs its flows on the tap's way out of the kernel. */
static bool kernel_has_flow(void)
{
	return system("tc filter show dev wst0 parent 1: 2>&1 | grep -q flower") == 0;
}

static void send_udp(uint16_t port)
{
	uint8_t frame[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64,
		17, 0, 0, 10, 8, 0, 2, 10, 8, 0, 1, 0, 7, (uint8_t)(port >> 8), (uint8_t)port, 0, 8,
		0, 0};

	ck_assert_int_eq(send(raw, frame, sizeof(frame), 0), sizeof(frame));
}

/* What comes of one packet to each port, as "dropped kept". */
static void count_what_comes(unsigned int *ret_dropped, unsigned int *ret_kept)
{
	unsigned int came[UINT16_MAX + 1] = {0};

	send_udp(DROPPED);
	send_udp(KEPT);
	send_udp(LAST);
	while (came[LAST] == 0) {
		struct burst b = {0};
		uint16_t n = ethdev_class.receive(&tap.queues[0], &b);

		for (unsigned int i = 0; i < n; i++) {
			const uint8_t *frame = rte_pktmbuf_mtod(b.pkts[i], const uint8_t *);

			came[frame[PORT_AT] << 8 | frame[PORT_AT + 1]]++;
		}
		rte_pktmbuf_free_bulk(b.pkts, n);
	}
	*ret_dropped = came[DROPPED];
	*ret_kept = came[KEPT];
}

START_TEST(what_no_drop_rule_names_comes_and_the_rest_as_the_kernel_can)
{
	unsigned int dropped, kept;

	count_what_comes(&dropped, &kept);
	ck_assert_uint_eq(dropped, 1);
	ck_assert_uint_eq(kept, 1);
	set_rule("drop udp any any any 53", RULE_DROP);
	count_what_comes(&dropped, &kept);
	ck_assert_uint_eq(dropped, kernel_has_flow() ? 0 : 1);
	ck_assert_uint_eq(kept, 1);
	ck_assert_int_eq(ethdev_class.set_prefilter(&tap, NULL, NULL), 0);
	count_what_comes(&dropped, &kept);
	ck_assert_uint_eq(dropped, 1);
	ck_assert_uint_eq(kept, 1);
}
END_TEST

START_TEST(what_the_kernel_may_want_is_not_dropped)
{
	set_rule("drop sctp any any any any", RULE_PASS);
	ck_assert_str_eq(said, "");
	set_rule("drop sctp any any any any", RULE_DROP);
	ck_assert_str_eq(said, "port left: 0 of 1 drop rules are in the NIC");
}
END_TEST

START_TEST(what_the_driver_does_not_count_is_not_counted)
{
	struct source_counts totals = {0};
	struct port_prefilter c;

	set_rule("drop udp any any any 53", RULE_DROP);
	ck_assert_int_eq(ethdev_class.get_prefilter(&tap, &c), 0);
	ck_assert_uint_eq(c.rule_count, 1);
	ck_assert_uint_eq(c.rule_pkts[0], PREFILTER_NOT_COUNTED);
	ethdev_class.counts(&tap, &totals);
	ck_assert_uint_eq(totals.dropped_pkts, 0);
}
END_TEST

START_TEST(a_driver_without_flows_has_no_prefilter)
{
	struct source s;
	struct port_prefilter c;
	struct errbuf err;

	ck_assert_msg(open_device(&s, "vdev:net_null0", &err) == 0, "%s", err.text);
	ck_assert_int_eq(ethdev_class.get_prefilter(&s, &c), -ENOTSUP);
	ck_assert_int_eq(ethdev_class.set_prefilter(&s, NULL, &err), -ENOTSUP);
	ck_assert_str_eq(err.text, "the port has no prefilter: net_null takes no flows");
	ethdev_class.close(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("flow_tap");
	TCase *c = tcase_create("flow_tap");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, what_the_kernel_may_want_is_not_dropped);
	tcase_add_test(c, what_no_drop_rule_names_comes_and_the_rest_as_the_kernel_can);
	tcase_add_test(c, what_the_driver_does_not_count_is_not_counted);
	tcase_add_test(c, a_driver_without_flows_has_no_prefilter);
	suite_add_tcase(s, c);
	return s;
}

/* The kernel's end of the tap sends what the driver receives. */
static bool open_tap(void)
{
	struct errbuf err;

	pool = rte_pktmbuf_pool_create(
		"pool", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL)
		return false;
	if (open_device(&tap, "vdev:net_tap0,iface=wst0", &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return false;
	}
	raw = raw_socket("wst0");
	return raw >= 0;
}

int main(void)
{
	int r;

	if (access("/dev/net/tun", R_OK | W_OK) < 0 || !network_enter())
		return suite_skip("root, namespaces, ip(8), tc(8) and /dev/net/tun");
	if (!eal_start(64) || !open_tap())
		return EXIT_FAILURE;
	r = suite_run_unforked(suite());
	ethdev_class.close(&tap);
	(void)rte_eal_cleanup();
	return r;
}
