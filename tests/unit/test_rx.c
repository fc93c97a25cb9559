/* rooms: capture common filter */
/*
 * The rx lcores at work on the built-in generator: plans, windows, references, the ledger.
 */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "capture/frames.h"
#include "suite_main.h"
#include "wirespool/capture.h"
#include "wirespool/packet.h"
#include "wirespool/units.h"

enum { SLOTS = 8192, WAIT_MS = 60000 };

static struct errbuf err;

static void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

static struct port *open_port(const char *device, unsigned int queues)
{
	struct port_options o = {.name = "left",
		.device = device,
		.cpu_count = queues,
		.descriptors = 1024,
		.ring_slots = SLOTS,
		.frame_bytes = 9216};
	struct port *p = NULL;

	for (unsigned int i = 0; i < queues; i++)
		o.cpus[i] = -1;
	ck_assert_msg(port_open(&o, &p, &err) == 0, "%s", err.text);
	return p;
}

static struct rx_rule rule_of(struct port *p, struct packet_ring **rings, const struct filter *f)
{
	struct rx_rule r = {.port = p,
		.end_ns = UINT64_MAX,
		.now = {.filter = f, .cut = {.snaplen = SNAPLEN_MAX}},
		.switch_ns = UINT64_MAX,
		.rings = rings};

	return r;
}

static void publish(const struct rx_rule *rules, unsigned int count)
{
	ck_assert_msg(rx_plan_publish(rules, count, &err) == 0, "%s", err.text);
}

static void wait_received(const struct packet_ring *r, uint64_t pkts)
{
	for (int i = 0; i < WAIT_MS && counter_get(&r->in.received_pkts) < pkts; i++)
		pause_ms(1);
	ck_assert_uint_ge(counter_get(&r->in.received_pkts), pkts);
}

static uint64_t packets_in(const struct packet_ring *r)
{
	uint64_t first, slots = packet_ring_filled(r, &first), pkts = 0;

	for (uint64_t i = 0; i < slots; pkts++)
		i += packet_slots(packet_ring_slot(r, first + i));
	return pkts;
}

/* The ring's next packet and, of one by value, its bytes. False: there is none. */
static bool take(struct packet_ring *r, struct packet *ret, uint8_t bytes[PACKET_COPY_MAX])
{
	uint64_t first, slots = packet_ring_filled(r, &first);

	if (slots == 0)
		return false;
	*ret = *packet_ring_slot(r, first);
	ck_assert_uint_le(packet_slots(ret), slots);
	for (unsigned int i = 1; i < packet_slots(ret); i++)
		memcpy(bytes + (i - 1) * PACKET_SLOT, packet_ring_slot(r, first + i), PACKET_SLOT);
	packet_ring_release(r, packet_slots(ret));
	return true;
}

static void check_balance_of(const struct packet_ring *r, uint64_t taken)
{
	ck_assert_uint_eq(counter_get(&r->in.received_pkts),
		counter_get(&r->in.outside_window_pkts) + counter_get(&r->in.filtered_pkts) +
			counter_get(&r->in.cutoff_pkts) + counter_get(&r->in.lost_ring_pkts) +
			packets_in(r) + taken);
}

static void check_balance(const struct packet_ring *r)
{
	check_balance_of(r, 0);
}

/* Of an IPv4/UDP frame of the generator. */
static uint64_t number_in(const uint8_t *frame)
{
	struct frame_stamp stamp;

	memcpy(&stamp, frame + 42, sizeof(stamp));
	ck_assert_uint_eq(be32toh(stamp.magic), FRAME_STAMP_MAGIC);
	return be64toh(stamp.number);
}

START_TEST(a_device_that_does_not_exist_or_is_no_device_is_refused)
{
	struct port_options o = {.name = "left",
		.cpu_count = 1,
		.cpus = {-1},
		.descriptors = 512,
		.ring_slots = SLOTS,
		.frame_bytes = 9216};
	struct port *p;

	o.device = "nosuch0";
	ck_assert_int_eq(port_open(&o, &p, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "nosuch0"));
	o.device = "0000:ff:1f.7";
	ck_assert_int_eq(port_open(&o, &p, &err), -ENODEV);
	ck_assert_ptr_nonnull(strstr(err.text, "vfio-pci"));
	o.device = "vdev:net_nosuch0";
	ck_assert_int_lt(port_open(&o, &p, &err), 0);
	o.device = "gen:size=12";
	ck_assert_int_eq(port_open(&o, &p, &err), -EINVAL);
	o.device = "gen:";
	o.ring_slots = 1000;
	ck_assert_int_eq(port_open(&o, &p, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "power of two"));
}
END_TEST

START_TEST(a_device_is_one_port_only)
{
	struct port_options o = {.name = "right",
		.device = "vdev:net_null7",
		.cpu_count = 1,
		.cpus = {-1},
		.descriptors = 512,
		.ring_slots = SLOTS,
		.frame_bytes = 9216};
	struct port *first = open_port("vdev:net_null7", 1), *second;

	ck_assert_int_eq(port_open(&o, &second, &err), -EBUSY);
	ck_assert_ptr_nonnull(strstr(err.text, "left"));
	port_close(first);
}
END_TEST

START_TEST(a_writer_may_rest_for_a_quarter_of_what_fills_a_ring_at_the_links_speed)
{
	static const struct {
		const char *device;
		unsigned int rest_us;
	} cases[] = {
		{"gen:rate=100M", 1000},
		{"gen:rate=10G", SLOTS * PACKET_SLOT * 8ULL / 10000 / 4},
		{"gen:rate=40G", SLOTS * PACKET_SLOT * 8ULL / 40000 / 4},
		{"gen:rate=max", SLOTS * PACKET_SLOT * 8ULL / 100000 / 4},
	};

	for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct port *p = open_port(cases[i].device, 1);
		struct packet_ring *ring = port_ring_new(p, 0, 0);

		ck_assert_uint_eq(ring->rest_us, cases[i].rest_us);
		packet_ring_free(ring);
		port_close(p);
	}
}
END_TEST

START_TEST(a_source_that_makes_packets_makes_none_before_a_run)
{
	struct port *p = open_port("gen:rate=100M,size=64,count=1000", 1);
	struct packet_ring *ring = port_ring_new(p, 0, 0);
	struct rx_rule rule = rule_of(p, &ring, NULL);
	struct port_ledger l;

	pause_ms(50);
	publish(&rule, 1);
	wait_received(ring, 1000);
	port_refresh(p);
	port_get_ledger(p, &l);
	ck_assert_uint_eq(l.received_pkts, 1000);
	ck_assert_uint_eq(l.offered_pkts, 1000);
	publish(NULL, 0);
	check_balance(ring);
	packet_ring_free(ring);
	port_close(p);
}
END_TEST

START_TEST(a_patient_source_waits_for_a_full_ring_and_loses_nothing)
{
	/* Sizes that put packets across the ring's end at every place. */
	struct port *p = open_port("gen:rate=max,size=64-1518,flows=1,count=50000", 1);
	struct packet_ring *ring = port_ring_new(p, 0, 0);
	struct rx_rule rule = rule_of(p, &ring, NULL);
	uint8_t bytes[PACKET_COPY_MAX];
	struct port_info info;
	struct packet slot;
	uint64_t taken = 0, last_ns = 0;

	publish(&rule, 1);
	pause_ms(20);
	ck_assert_uint_eq(counter_get(&ring->in.lost_ring_pkts), 0);
	for (int i = 0; i < WAIT_MS && taken < 50000; i++) {
		while (take(ring, &slot, bytes)) {
			ck_assert_uint_ge(slot.time_ns, last_ns);
			ck_assert_uint_eq(slot.wire_len, slot.cap_len);
			ck_assert_uint_eq(slot.missing, 0);
			ck_assert_ptr_null(slot.mbuf);
			ck_assert_uint_eq(number_in(bytes), taken);
			/* The IPv4 length says where the frame ends. */
			ck_assert_int_eq(bytes[16] << 8 | bytes[17], (int)slot.cap_len - 14);
			last_ns = slot.time_ns;
			taken++;
		}
		pause_ms(1);
	}
	ck_assert_uint_eq(taken, 50000);
	do {
		pause_ms(1);
		port_get_info(p, &info);
	} while (!info.ended);
	publish(NULL, 0);
	packet_ring_free(ring);
	port_close(p);
}
END_TEST

START_TEST(a_full_ring_of_an_impatient_source_loses_and_the_next_slot_says_how_many)
{
	struct port *p = open_port("vdev:net_null3,size=64", 1);
	struct packet_ring *ring = port_ring_new(p, 0, 0);
	struct rx_rule rule = rule_of(p, &ring, NULL);
	uint8_t bytes[PACKET_COPY_MAX];
	uint64_t missing = 0, lost;
	struct packet slot;

	publish(&rule, 1);
	wait_received(ring, SLOTS + 1000);
	publish(NULL, 0);
	check_balance(ring);
	lost = counter_get(&ring->in.lost_ring_pkts);
	ck_assert_uint_gt(lost, 0);
	for (int i = 0; i < 1000; i++) {
		ck_assert(take(ring, &slot, bytes));
		missing += slot.missing;
	}
	publish(&rule, 1);
	while (take(ring, &slot, bytes) && missing == 0)
		missing += slot.missing;
	ck_assert_uint_ge(missing, lost > 0 ? 1 : 0);
	publish(NULL, 0);
	packet_ring_free(ring);
	port_close(p);
}
END_TEST

static struct filter *filter_of(const char *expression)
{
	const struct filter_options o = {.expression = expression};
	struct filter *f;

	ck_assert_msg(filter_new(&o, 1, -1, &f, &err) == 0, "%s", err.text);
	return f;
}

START_TEST(a_jumbo_frame_that_two_rules_keep_is_one_mbuf_with_two_references)
{
	struct port *p = open_port("gen:rate=max,size=9000,count=1000,flows=10", 1);
	struct packet_ring *rings[4] = {port_ring_new(p, 0, 0), port_ring_new(p, 0, 0),
		port_ring_new(p, 0, 0), port_ring_new(p, 0, 0)};
	uint8_t bytes[PACKET_COPY_MAX];
	struct filter *all = filter_of("ip"), *none = filter_of("arp");
	struct rx_rule rules[4];
	struct packet a, b, c;

	rules[0] = rule_of(p, &rings[0], all);
	rules[1] = rule_of(p, &rings[1], NULL);
	rules[1].now.cut.snaplen = 4000;
	rules[2] = rule_of(p, &rings[2], none);
	rules[3] = rule_of(p, &rings[3], NULL);
	rules[3].now.cut.snaplen = 90;
	publish(rules, 4);
	wait_received(rings[2], 1000);
	publish(NULL, 0);
	for (int i = 0; i < 4; i++)
		check_balance(rings[i]);
	ck_assert_uint_eq(packets_in(rings[0]), 1000);
	ck_assert_uint_eq(packets_in(rings[1]), 1000);
	ck_assert_uint_eq(counter_get(&rings[2]->in.filtered_pkts), 1000);
	for (int i = 0; i < 1000; i++) {
		ck_assert(take(rings[0], &a, bytes));
		ck_assert(take(rings[1], &b, bytes));
		ck_assert(take(rings[3], &c, bytes));
		ck_assert_ptr_nonnull(a.mbuf);
		ck_assert_ptr_eq(a.mbuf, b.mbuf);
		ck_assert_uint_eq(rte_mbuf_refcnt_read(a.mbuf), 2);
		ck_assert_uint_eq(a.cap_len, 8996);
		ck_assert_uint_eq(b.cap_len, 4000);
		ck_assert_uint_eq(b.wire_len, 8996);
		/* Of which little is wanted goes by value, whatever becomes of the frame. */
		ck_assert_ptr_null(c.mbuf);
		ck_assert_uint_eq(c.cap_len, 90);
		ck_assert_mem_eq(bytes, rte_pktmbuf_mtod(a.mbuf, uint8_t *), 90);
		rte_pktmbuf_free(a.mbuf);
		rte_pktmbuf_free(b.mbuf);
	}
	for (int i = 0; i < 4; i++)
		packet_ring_free(rings[i]);
	filter_free(all);
	filter_free(none);
	port_close(p);
}
END_TEST

static uint8_t extern_bytes[4096];

static void nothing_to_free(void *addr, void *opaque)
{
	(void)addr;
	(void)opaque;
}

/* As a NIC that puts packets side by side into large buffers: the bytes are not in the mbuf. */
static void send_external(struct rte_ring *to, struct rte_mempool *pool, unsigned int count)
{
	uint16_t room = sizeof(extern_bytes);
	struct rte_mbuf_ext_shared_info *shared =
		rte_pktmbuf_ext_shinfo_init_helper(extern_bytes, &room, nothing_to_free, NULL);

	ck_assert_ptr_nonnull(shared);
	rte_mbuf_ext_refcnt_set(shared, (uint16_t)count);
	for (unsigned int i = 0; i < count; i++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

		ck_assert_ptr_nonnull(m);
		rte_pktmbuf_attach_extbuf(m, extern_bytes, 0, room, shared);
		ck_assert_ptr_nonnull(rte_pktmbuf_append(m, 2000));
		ck_assert_int_eq(rte_ring_enqueue(to, m), 0);
	}
}

START_TEST(what_one_rule_has_no_room_for_is_there_for_the_next)
{
	struct port *p = open_port("vdev:net_ring5", 1);
	struct packet_ring *rings[2] = {port_ring_new(p, 0, 0), port_ring_new(p, 0, 0)};
	struct rte_mempool *pool = rte_pktmbuf_pool_create("extern", 511, 0, 0, 256, SOCKET_ID_ANY);
	struct rte_ring *wire = rte_ring_lookup("ETH_RXTX0_net_ring5");
	uint8_t bytes[PACKET_COPY_MAX];
	struct rx_rule rules[2];
	struct packet slot;

	ck_assert_ptr_nonnull(pool);
	ck_assert_ptr_nonnull(wire);
	memset(extern_bytes, 'x', 2000);
	rules[0] = rule_of(p, &rings[0], NULL);
	rules[0].now.cut.snaplen = PACKET_COPY_MAX;
	publish(rules, 1);
	send_external(wire, pool, SLOTS / PACKET_SLOTS_MAX + 1);
	wait_received(rings[0], SLOTS / PACKET_SLOTS_MAX + 1);
	rules[0] = rule_of(p, &rings[0], NULL);
	rules[1] = rule_of(p, &rings[1], NULL);
	rules[1].now.cut.snaplen = 60;
	publish(rules, 2);
	send_external(wire, pool, 100);
	wait_received(rings[1], 100);
	publish(NULL, 0);
	check_balance(rings[0]);
	check_balance(rings[1]);
	ck_assert_uint_gt(counter_get(&rings[0]->in.lost_ring_pkts), 1);
	for (int i = 0; i < 100; i++) {
		ck_assert(take(rings[1], &slot, bytes));
		ck_assert_mem_eq(bytes, extern_bytes, 60);
	}
	packet_ring_free(rings[0]);
	packet_ring_free(rings[1]);
	ck_assert_uint_eq(rte_mempool_in_use_count(pool), 0);
	port_close(p);
	rte_mempool_free(pool);
}
END_TEST

START_TEST(a_ring_that_is_freed_gives_back_what_lies_in_it)
{
	struct port *p = open_port("gen:rate=max,size=1518-9000,count=1000", 1);
	struct packet_ring *ring = port_ring_new(p, 0, 0);
	struct rx_rule rule = rule_of(p, &ring, NULL);
	const struct rte_mempool *pool = NULL;
	unsigned int idle;
	uint64_t first, slots;

	publish(&rule, 1);
	wait_received(ring, 1000);
	publish(NULL, 0);
	slots = packet_ring_filled(ring, &first);
	for (uint64_t i = 0; i < slots; i += packet_slots(packet_ring_slot(ring, first + i)))
		if (packet_ring_slot(ring, first + i)->mbuf != NULL)
			pool = packet_ring_slot(ring, first + i)->mbuf->pool;
	ck_assert_ptr_nonnull(pool);
	idle = rte_mempool_avail_count(pool);
	packet_ring_free(ring);
	ck_assert_uint_gt(rte_mempool_avail_count(pool), idle + 900);
	port_close(p);
}
END_TEST

START_TEST(a_choice_is_exchanged_at_one_instant_on_all_queues)
{
	struct port *p = open_port("gen:rate=400M,size=64,flows=64", 2);
	struct packet_ring *rings[2] = {port_ring_new(p, 0, 0), port_ring_new(p, 1, 0)};
	struct filter *even = filter_of("udp[1] & 1 = 0"), *odd = filter_of("udp[1] & 1 = 1");
	struct rx_rule rule = rule_of(p, rings, even);
	uint64_t before = 0, after = 0, taken[2] = {0};
	uint8_t bytes[PACKET_COPY_MAX];
	struct packet slot;

	rule.next = (struct rx_choice){.filter = odd, .cut = {.snaplen = 50}};
	publish(&rule, 1);
	wait_received(rings[0], 1);
	wait_received(rings[1], 1);
	rule.switch_ns = capture_now_ns() + NS_PER_SEC / 50;
	publish(&rule, 1);
	while (before == 0 || after < 1000) {
		for (int q = 0; q < 2; q++) {
			for (int i = 0; i < 1000 && take(rings[q], &slot, bytes); i++) {
				bool late = slot.time_ns >= rule.switch_ns;

				ck_assert_uint_eq(bytes[35] & 1, late);
				ck_assert_uint_eq(slot.cap_len, late ? 50 : 60);
				before += !late;
				after += late;
				taken[q]++;
			}
		}
	}
	publish(NULL, 0);
	for (int q = 0; q < 2; q++) {
		check_balance_of(rings[q], taken[q]);
		ck_assert_uint_gt(counter_get(&rings[q]->in.filtered_pkts), 0);
		packet_ring_free(rings[q]);
	}
	filter_free(even);
	filter_free(odd);
	port_close(p);
}
END_TEST

START_TEST(what_lies_behind_a_cutoff_has_an_account_of_its_own)
{
	const struct filter_options o = {
		.cutoff_bytes = 600, .after = FILTER_AFTER_DROP, .cutoff_flows = 4096};
	struct port *p = open_port("gen:rate=max,size=64,flows=10,count=1000", 1);
	struct packet_ring *ring = port_ring_new(p, 0, 0);
	struct rx_rule rule = rule_of(p, &ring, NULL);
	struct filter_tables *tables;
	struct filter_counts counts;
	struct filter *f;

	ck_assert_msg(filter_new(&o, 1, -1, &f, &err) == 0, "%s", err.text);
	ck_assert_msg(filter_tables_new(&o, 1, -1, NULL, &tables, &err) == 0, "%s", err.text);
	rule.now.filter = f;
	rule.now.tables = tables;
	publish(&rule, 1);
	wait_received(ring, 1000);
	publish(NULL, 0);
	check_balance(ring);
	/* 10 packets of 60 bytes are 600 bytes; every other flow is the one before it, back. */
	ck_assert_uint_eq(packets_in(ring), 50);
	ck_assert_uint_eq(counter_get(&ring->in.cutoff_pkts), 950);
	ck_assert_uint_eq(counter_get(&ring->in.filtered_pkts), 0);
	filter_tables_count(tables, &counts);
	ck_assert_uint_eq(counts.beyond_pkts, 950);
	packet_ring_free(ring);
	filter_tables_free(tables);
	filter_free(f);
	port_close(p);
}
END_TEST

START_TEST(a_window_keeps_start_and_leaves_out_end)
{
	struct port *p = open_port("gen:rate=200M,size=64", 1);
	struct packet_ring *ring = port_ring_new(p, 0, 0);
	struct rx_rule rule = rule_of(p, &ring, NULL);
	uint8_t bytes[PACKET_COPY_MAX];
	uint64_t kept = 0;
	struct packet slot;

	rule.start_ns = capture_now_ns() + NS_PER_SEC / 50;
	rule.end_ns = rule.start_ns + NS_PER_SEC / 50;
	publish(&rule, 1);
	while (capture_now_ns() < rule.end_ns + NS_PER_SEC / 50)
		pause_ms(1);
	publish(NULL, 0);
	check_balance(ring);
	while (take(ring, &slot, bytes)) {
		ck_assert_uint_ge(slot.time_ns, rule.start_ns);
		ck_assert_uint_lt(slot.time_ns, rule.end_ns);
		kept++;
	}
	ck_assert_uint_gt(kept, 0);
	ck_assert_uint_gt(counter_get(&ring->in.outside_window_pkts), 0);
	packet_ring_free(ring);
	port_close(p);
}
END_TEST

START_TEST(plans_change_under_load_and_nothing_is_lost_or_counted_twice)
{
	struct port *p = open_port("gen:rate=max,size=64", 2);
	uint64_t received = 0;
	struct port_ledger l;

	for (int round = 0; round < 50; round++) {
		struct packet_ring *rings[2] = {port_ring_new(p, 0, 0), port_ring_new(p, 1, 0)};
		struct rx_rule rule = rule_of(p, rings, NULL);

		publish(&rule, 1);
		wait_received(rings[0], 64);
		wait_received(rings[1], 64);
		publish(NULL, 0);
		for (int q = 0; q < 2; q++) {
			check_balance(rings[q]);
			received += counter_get(&rings[q]->in.received_pkts);
			packet_ring_free(rings[q]);
		}
	}
	port_get_ledger(p, &l);
	ck_assert_uint_eq(l.received_pkts, received);
	ck_assert_uint_eq(l.offered_pkts, received);
	port_close(p);
}
END_TEST

static void capture_begin(void)
{
	struct capture_options o = {
		.mbufs = 400000, .memory_bytes = 128 << 20, .huge_pages = false};

	ck_assert_msg(capture_open(&o, &err) == 0, "%s", err.text);
	ck_assert_ptr_nonnull(capture_warning(0));
}

int main(void)
{
	Suite *suite = suite_create("rx");
	TCase *c = tcase_create("rx");

	tcase_add_unchecked_fixture(c, capture_begin, capture_close);
	tcase_add_test(c, a_device_that_does_not_exist_or_is_no_device_is_refused);
	tcase_add_test(c, a_device_is_one_port_only);
	tcase_add_test(c, a_writer_may_rest_for_a_quarter_of_what_fills_a_ring_at_the_links_speed);
	tcase_add_test(c, a_source_that_makes_packets_makes_none_before_a_run);
	tcase_add_test(c, a_patient_source_waits_for_a_full_ring_and_loses_nothing);
	tcase_add_test(c, a_full_ring_of_an_impatient_source_loses_and_the_next_slot_says_how_many);
	tcase_add_test(c, a_jumbo_frame_that_two_rules_keep_is_one_mbuf_with_two_references);
	tcase_add_test(c, what_one_rule_has_no_room_for_is_there_for_the_next);
	tcase_add_test(c, a_ring_that_is_freed_gives_back_what_lies_in_it);
	tcase_add_test(c, a_choice_is_exchanged_at_one_instant_on_all_queues);
	tcase_add_test(c, what_lies_behind_a_cutoff_has_an_account_of_its_own);
	tcase_add_test(c, a_window_keeps_start_and_leaves_out_end);
	tcase_add_test(c, plans_change_under_load_and_nothing_is_lost_or_counted_twice);
	suite_add_tcase(suite, c);
	return suite_run_unforked(suite);
}
