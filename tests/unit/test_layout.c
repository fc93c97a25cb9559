/* rooms: capture writer common filter */
/*
 * What lies in which cache line. A line that two CPUs write, or that one writes while the other reads it
 * for every burst, costs as much as ten packets each time it goes from one to the other; nothing
 * else would show it but the benchmarks. Looked at where the structures really are: an alignment is
 * worth nothing in memory that does not keep it. (packet.h has more, as _Static_assert.)
 */
#include <check.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "capture/port.h"
#include "suite_main.h"
#include "wirespool/capture.h"
#include "wirespool/packet.h"
#include "wirespool/writer.h"
#include "writer/run.h"

enum { LINE = RTE_CACHE_LINE_SIZE, SLOTS = 8192, QUEUES = 2 };

static struct errbuf err;

static uintptr_t line_of(const volatile void *p)
{
	return (uintptr_t)p / LINE;
}

static bool begins_line(const volatile void *p)
{
	return (uintptr_t)p % LINE == 0;
}

#define ck_assert_one_line(first, last) ck_assert_uint_eq(line_of(&(first)), line_of(&(last)))
#define ck_assert_apart(a, b)           ck_assert_uint_ne(line_of(&(a)), line_of(&(b)))

START_TEST(each_side_of_a_packet_ring_writes_lines_of_its_own)
{
	struct packet_ring *r = packet_ring_new(SLOTS, SOCKET_ID_ANY);

	ck_assert_ptr_nonnull(r);
	/* Read by both sides for every burst, written by none. */
	ck_assert(begins_line(&r->slots));
	ck_assert_one_line(r->slots, r->write_queue);
	/* The rx lcore's own, what it tells, what it is told, the writer's own. */
	ck_assert(begins_line(&r->in) && begins_line(&r->told));
	ck_assert(begins_line(&r->back) && begins_line(&r->out));
	ck_assert_one_line(r->in.received_pkts, r->in.missing);
	ck_assert_one_line(r->told.filled, r->told.seen_until_ns);
	ck_assert_one_line(r->out.outside_window_pkts, r->out.missing);
	ck_assert_apart(r->in, r->told);
	ck_assert_apart(r->told, r->back);
	ck_assert_apart(r->back, r->out);
	packet_ring_free(r);
}
END_TEST

/* Streaming stores fill whole lines: with two slots in each, none is written in two goes by one packet. */
START_TEST(no_slot_of_a_packet_ring_crosses_a_line)
{
	struct packet_ring *r = packet_ring_new(SLOTS, SOCKET_ID_ANY);

	ck_assert_ptr_nonnull(r);
	ck_assert(begins_line(packet_ring_slot(r, 0)));
	for (uint64_t i = 0; i < SLOTS; i += 2) {
		ck_assert(begins_line(packet_ring_slot(r, i)));
		ck_assert_one_line(*packet_ring_slot(r, i), *packet_ring_slot(r, i + 1));
	}
	packet_ring_free(r);
}
END_TEST

static struct port *port;

static void port_begin(void)
{
	struct port_options o = {.name = "left",
		.device = "gen:rate=max,size=64",
		.cpus = {-1, -1},
		.cpu_count = QUEUES,
		.descriptors = 512,
		.ring_slots = SLOTS,
		.frame_bytes = 1518};

	ck_assert_msg(port_open(&o, &port, &err) == 0, "%s", err.text);
}

static void port_end(void)
{
	(void)rx_plan_publish(NULL, 0, &err);
	port_close(port);
}

START_TEST(an_rx_lcore_writes_one_line_and_nobody_else_does)
{
	for (unsigned int i = 0; i < QUEUES; i++) {
		const struct rx_queue *q = port->queues[i];
		const struct source_queue *s = q->source;

		/* What it looks at for every burst; control writes `stop` once. */
		ck_assert(begins_line(&q->port));
		ck_assert_one_line(q->port, q->started);
		/* What it writes for every burst. */
		ck_assert(begins_line(&q->received_pkts));
		ck_assert_one_line(q->received_pkts, q->last_pkts);
		ck_assert(sizeof(*q) == 2 * LINE);
		/* Its part of the source, beside those of other lcores. */
		ck_assert(begins_line(s));
		ck_assert_one_line(s->state, s->error_pkts);
		ck_assert(begins_line(s->state));
	}
	ck_assert_apart(*port->queues[0]->source, *port->queues[1]->source);
}
END_TEST

START_TEST(a_rule_is_one_line)
{
	struct packet_ring *of_queue[QUEUES] = {
		port_ring_new(port, 0, 0), port_ring_new(port, 1, 0)};
	struct rx_rule rule = {.port = port,
		.end_ns = UINT64_MAX,
		.now = {.cut = {.snaplen = SNAPLEN_MAX}},
		.switch_ns = UINT64_MAX,
		.rings = of_queue};
	const struct rx_entry *first;

	ck_assert_int_eq(rx_plan_publish(&rule, 1, &err), 0);
	first = rx_plan_now()->lists[port->queues[0]->index].entries;
	ck_assert(begins_line(first));
	ck_assert_one_line(first->start_ns, first->whole);
	ck_assert_int_eq(rx_plan_publish(NULL, 0, &err), 0);
	for (unsigned int i = 0; i < QUEUES; i++)
		packet_ring_free(of_queue[i]);
}
END_TEST

/* Each array is walked from its start; the four flags are looked at together. */
START_TEST(the_arrays_of_a_burst_are_whole_lines)
{
	ck_assert_uint_eq(offsetof(struct burst, time_ns) % LINE, 0);
	ck_assert_uint_eq(offsetof(struct burst, wire_len) % LINE, 0);
	ck_assert_uint_eq(offsetof(struct burst, flags) % LINE, 0);
	ck_assert_uint_eq(offsetof(struct burst, own_times) % LINE, 0);
	ck_assert_uint_le(sizeof(struct burst) - offsetof(struct burst, own_times), LINE);
}
END_TEST

/* A run of two writers into nothing. */
static struct writer *writers[2];
static struct packet_ring *rings[2];
static struct stripe *stripe;
static struct run *run;

static void run_begin(void)
{
	const struct writer_options wo = {
		.cpu = -1, .socket_id = -1, .memory_bytes = 8 << 20, .queue_depth = 8};
	const struct run_interface interface = {.name = "left"};
	const struct run_options ro = {.id = "layout",
		.linktype = 1,
		.interfaces = &interface,
		.interface_count = 1,
		.stripes = &stripe,
		.stripe_count = 1,
		.flush_ns = 1000000};
	struct run_share shares[2];

	ck_assert_msg(stripe_open("null:", &stripe, &err) == 0, "%s", err.text);
	for (unsigned int i = 0; i < 2; i++) {
		rings[i] = packet_ring_new(SLOTS, SOCKET_ID_ANY);
		ck_assert_ptr_nonnull(rings[i]);
		ck_assert_msg(writer_open(&wo, &writers[i], &err) == 0, "%s", err.text);
		shares[i] = (struct run_share){
			.writer = writers[i], .rings = &rings[i], .ring_count = 1};
	}
	ck_assert_msg(run_start(&ro, shares, 2, &run, &err) == 0, "%s", err.text);
}

static void run_end(void)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	run_finish(run);
	while (!run_ended(run))
		(void)nanosleep(&moment, NULL);
	run_free(run);
	for (unsigned int i = 0; i < 2; i++) {
		writer_close(writers[i]);
		packet_ring_free(rings[i]);
	}
	stripe_close(stripe);
}

START_TEST(what_packing_touches_of_a_stream_is_one_line)
{
	for (const struct stream *s = run->streams; s != NULL; s = s->next_in_run) {
		ck_assert(begins_line(s));
		ck_assert_one_line(s->run, s->spool);
		ck_assert(begins_line(&s->chunk));
		ck_assert_one_line(s->chunk, s->held);
		/* Control reads these at any time. */
		ck_assert(begins_line(&s->written_pkts));
		ck_assert_one_line(s->written_pkts, s->ended);
		ck_assert_uint_eq(sizeof(*s) % LINE, 0);
	}
}
END_TEST

/* What all writers of a run read for each packet is on no line that one of them writes. */
START_TEST(writers_of_a_run_and_of_a_stripe_write_one_line_of_it)
{
	ck_assert(begins_line(run));
	ck_assert(begins_line(&run->next_segment));
	ck_assert_one_line(run->next_segment, run->stuck);
	ck_assert_apart(run->limited, run->next_segment);
	ck_assert(begins_line(stripe));
	ck_assert_one_line(stripe->path, stripe->open);
	ck_assert(begins_line(&stripe->queued_bytes));
	ck_assert_one_line(stripe->queued_bytes, stripe->direct);
}
END_TEST

/* The rest, from begun_ns on, is touched twice in a chunk's life. */
START_TEST(what_packing_writes_of_a_chunk_is_no_longer_than_a_line)
{
	ck_assert_uint_eq(offsetof(struct chunk, data), 0);
	ck_assert_uint_le(offsetof(struct chunk, last_ns) + sizeof(uint64_t), LINE);
}
END_TEST

int main(void)
{
	struct capture_options o = {
		.mbufs = QUEUES * port_mbufs(512), .memory_bytes = 64 << 20, .huge_pages = false};
	Suite *suite = suite_create("layout");
	TCase *alone = tcase_create("alone");
	TCase *with_port = tcase_create("with_port");
	TCase *with_run = tcase_create("with_run");
	int r;

	if (capture_open(&o, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	tcase_add_test(alone, each_side_of_a_packet_ring_writes_lines_of_its_own);
	tcase_add_test(alone, no_slot_of_a_packet_ring_crosses_a_line);
	tcase_add_test(alone, the_arrays_of_a_burst_are_whole_lines);
	tcase_add_test(alone, what_packing_writes_of_a_chunk_is_no_longer_than_a_line);
	suite_add_tcase(suite, alone);

	tcase_add_checked_fixture(with_port, port_begin, port_end);
	tcase_add_test(with_port, an_rx_lcore_writes_one_line_and_nobody_else_does);
	tcase_add_test(with_port, a_rule_is_one_line);
	suite_add_tcase(suite, with_port);

	tcase_add_checked_fixture(with_run, run_begin, run_end);
	tcase_add_test(with_run, what_packing_touches_of_a_stream_is_one_line);
	tcase_add_test(with_run, writers_of_a_run_and_of_a_stripe_write_one_line_of_it);
	suite_add_tcase(suite, with_run);

	r = suite_run_unforked(suite);
	capture_close();
	return r;
}
