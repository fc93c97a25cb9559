/* rooms: capture writer archive common PkgConfig::libpcap */
/*
 * From rings to sealed files: the writer room at work on real mbufs and a real directory,
 * read back by archive_verify() and by capinfos and tshark.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <pcap/pcap.h>

#include <rte_lcore.h>
#include <rte_mbuf.h>

#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/archive.h"
#include "wirespool/packet.h"
#include "wirespool/pcapng.h"
#include "wirespool/units.h"
#include "wirespool/writer.h"

#define START_NS 1700000000000000000ULL

enum { SLOTS = 4096, RINGS_MAX = 4, WAIT_SECONDS = 60 };

static struct rte_mempool *pool;
static struct errbuf err;

struct rig {
	char dirs[4][64];
	unsigned int dir_count;
	struct stripe *stripes[4];
	struct writer *writer;
	struct packet_ring *rings[RINGS_MAX];
	unsigned int ring_count;
	struct run *run;
};

static void pause_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

static void rig_open(struct rig *g, unsigned int dirs, unsigned int rings, uint64_t memory_mib)
{
	struct writer_options wo = {
		.cpu = -1, .socket_id = -1, .memory_bytes = memory_mib << 20, .queue_depth = 8};

	memset(g, 0, sizeof(*g));
	for (g->dir_count = 0; g->dir_count < dirs; g->dir_count++) {
		(void)strcpy(g->dirs[g->dir_count], "/tmp/wirespool-test-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(g->dirs[g->dir_count]));
		ck_assert_int_eq(
			stripe_open(g->dirs[g->dir_count], &g->stripes[g->dir_count], &err), 0);
	}
	ck_assert_msg(writer_open(&wo, &g->writer, &err) == 0, "%s", err.text);
	for (g->ring_count = 0; g->ring_count < rings; g->ring_count++) {
		g->rings[g->ring_count] = packet_ring_new(SLOTS, SOCKET_ID_ANY);
		ck_assert_ptr_nonnull(g->rings[g->ring_count]);
		g->rings[g->ring_count]->queue = g->ring_count;
		g->rings[g->ring_count]->write_queue = rings > 1;
		g->rings[g->ring_count]->patient = true;
	}
}

static struct run_options rig_options(const struct rig *g)
{
	static const struct run_interface interface = {.name = "left", .description = "test"};
	struct run_options o = {
		.id = "test-20231114T221320.000Z",
		.linktype = 1,
		.interfaces = &interface,
		.interface_count = 1,
		.stripes = g->stripes,
		.stripe_count = g->dir_count,
		.start_ns = START_NS,
		.flush_ns = NS_PER_SEC,
		.rotate_bytes = 64 << 20,
	};

	return o;
}

static void rig_start(struct rig *g, const struct run_options *o)
{
	struct run_share share = {
		.writer = g->writer, .rings = g->rings, .ring_count = g->ring_count};

	ck_assert_msg(run_start(o, &share, 1, &g->run, &err) == 0, "%s", err.text);
}

static struct rte_mbuf *mbuf_of(uint64_t time_ns, uint32_t cap_len)
{
	struct rte_mbuf *m = NULL;
	char *to;

	for (int tries = 0; m == NULL && tries < WAIT_SECONDS * 1000; tries++) {
		m = rte_pktmbuf_alloc(pool);
		if (m == NULL)
			pause_ms(1);
	}
	ck_assert_ptr_nonnull(m);
	to = rte_pktmbuf_append(m, (uint16_t)cap_len);
	for (uint32_t k = 0; k < cap_len; k++)
		to[k] = (char)(time_ns + k / PACKET_SLOT);
	return m;
}

/*
 * By value if its time is even, else by reference: files must not show which. Byte k has the
 * value (time_ns + k / PACKET_SLOT) % 256.
 */
static void put_bytes(struct packet_ring *r, uint64_t time_ns, uint32_t cap_len, uint32_t wire_len,
	uint32_t missing)
{
	const struct packet p = {.mbuf = time_ns % 2 == 0 && cap_len <= PACKET_COPY_MAX
						 ? NULL
						 : mbuf_of(time_ns, cap_len),
		.time_ns = time_ns,
		.cap_len = cap_len,
		.wire_len = wire_len,
		.missing = missing};

	counter_add(&r->in.received_pkts, 1);
	for (int tries = 0; tries < WAIT_SECONDS * 1000; tries++) {
		if (packet_ring_room(r, packet_slots(&p)) >= packet_slots(&p)) {
			*packet_ring_slot(r, r->in.filled) = p;
			for (unsigned int i = 1; i < packet_slots(&p); i++)
				memset(packet_ring_slot(r, r->in.filled + i),
					(int)((time_ns + i - 1) & 0xff), PACKET_SLOT);
			packet_ring_fill(r, packet_slots(&p));
			packet_ring_publish(r);
			atomic_store(&r->told.seen_until_ns, time_ns);
			return;
		}
		pause_ms(1);
	}
	ck_abort_msg("the writer does not empty the ring");
}

static void wait_empty(const struct packet_ring *r)
{
	uint64_t first;

	while (packet_ring_filled(r, &first) != 0)
		pause_ms(1);
}

static void put(struct packet_ring *r, uint64_t time_ns)
{
	put_bytes(r, time_ns, 60, 60, 0);
}

static void rig_finish(struct rig *g)
{
	run_finish(g->run);
	for (int i = 0; i < WAIT_SECONDS * 1000 && !run_ended(g->run); i++)
		pause_ms(1);
	ck_assert(run_ended(g->run));
}

static void remove_directory(const char *path)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
	ck_assert_int_eq(system(command), 0);
}

static void rig_close(struct rig *g)
{
	run_free(g->run);
	writer_close(g->writer);
	for (unsigned int i = 0; i < g->ring_count; i++)
		packet_ring_free(g->rings[i]);
	for (unsigned int i = 0; i < g->dir_count; i++) {
		stripe_close(g->stripes[i]);
		remove_directory(g->dirs[i]);
	}
	/* Every mbuf came back, whatever became of its packet. */
	ck_assert_uint_eq(rte_mempool_in_use_count(pool), 0);
}

struct totals {
	unsigned int sealed;
	unsigned int parts;
	uint64_t pkts;
	uint64_t dropcount_pkts;
	struct archive_report last;
};

static void add_file(const char *path, bool sealed, void *arg)
{
	struct totals *t = arg;

	if (!sealed) {
		t->parts++;
		return;
	}
	t->sealed++;
	ck_assert_msg(archive_verify(path, &t->last, &err) == 0, "%s", err.text);
	ck_assert_msg(t->last.fault_count == 0, "%s: %s", path, t->last.faults[0].text);
	ck_assert(t->last.sealed);
	t->pkts += t->last.pkts;
	t->dropcount_pkts += t->last.dropcount_pkts;
}

static struct totals read_back(const struct rig *g)
{
	struct totals t = {0};

	(void)run_files(g->run, add_file, &t);
	return t;
}

static uint64_t ledger_sum(const struct run_ledger *l)
{
	return l->outside_window_pkts + l->filtered_pkts + l->written_pkts + run_ledger_lost(l);
}

static void first_path(const char *path, bool sealed, void *arg)
{
	char *first = arg;

	(void)sealed;
	if (first[0] == '\0')
		(void)snprintf(first, 256, "%s", path);
}

/* What another program says of the run's first file, $FILE. */
static void ask(const struct rig *g, const char *command, char *answer, int size)
{
	char path[256] = "";
	FILE *f;

	(void)run_files(g->run, first_path, path);
	ck_assert_int_eq(setenv("FILE", path, 1), 0);
	f = popen(command, "re");
	ck_assert_ptr_nonnull(f);
	answer[0] = '\0';
	ck_assert_ptr_nonnull(fgets(answer, size, f));
	answer[strcspn(answer, "\n")] = '\0';
	ck_assert_int_eq(pclose(f), 0);
}

START_TEST(a_missing_directory_is_no_stripe)
{
	struct stripe *s;

	ck_assert_int_eq(stripe_open("/nonexistent/stripe", &s, &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/stripe"));
	ck_assert_int_eq(stripe_check("/etc/passwd", &err), -ENOTDIR);
}
END_TEST

START_TEST(a_writer_refuses_too_little_memory_and_a_wrong_depth)
{
	struct writer_options o = {
		.cpu = -1, .socket_id = -1, .memory_bytes = 1 << 20, .queue_depth = 8};
	struct writer *w;

	ck_assert_int_eq(writer_open(&o, &w, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "at least 8 MiB"));
	o.memory_bytes = 16 << 20;
	o.queue_depth = 0;
	ck_assert_int_eq(writer_open(&o, &w, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "1..128"));
}
END_TEST

START_TEST(a_run_without_packets_leaves_one_valid_empty_file)
{
	struct run_options o;
	struct totals t;
	struct rig g;

	rig_open(&g, 2, 1, 16);
	o = rig_options(&g);
	rig_start(&g, &o);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.sealed, 1);
	ck_assert_uint_eq(t.pkts, 0);
	ck_assert(t.last.has_statistics);
	rig_close(&g);
}
END_TEST

START_TEST(every_packet_is_in_the_file_as_other_readers_find_it)
{
	struct run_options o;
	struct run_ledger l;
	struct totals t;
	char text[256];
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 1000; i++)
		put_bytes(g.rings[0], START_NS + i, i % 200, i % 200 + i % 3, 0);
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.written_pkts, 1000);
	ck_assert_uint_eq(l.received_pkts, ledger_sum(&l));
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, 1000);
	ck_assert_uint_eq(t.last.usrdeliv_pkts, 1000);
	ask(&g, "capinfos -c -M -T -r \"$FILE\" 2>/dev/null | cut -f2", text, sizeof(text));
	ck_assert_str_eq(text, "1000");
	ask(&g,
		"tshark -r \"$FILE\" -T fields -e frame.time_epoch -e frame.cap_len -e frame.len "
		"-Y "
		"'frame.number==200' 2>/dev/null",
		text, sizeof(text));
	ck_assert_str_eq(text, "1700000000.000000199\t199\t200");
	rig_close(&g);
}
END_TEST

/* The ring is filled several times over, so packets lie on both sides of its end, too. */
START_TEST(every_byte_is_in_the_file_as_libpcap_reads_it)
{
	char path[256] = "", message[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *h;
	struct run_options o;
	const uint8_t *data;
	unsigned int i = 0;
	struct rig g;
	pcap_t *file;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	rig_start(&g, &o);
	for (; i < 1000; i++)
		put_bytes(g.rings[0], START_NS + i, (i * 37) % 1600, 1600, 0);
	rig_finish(&g);
	(void)run_files(g.run, first_path, path);
	file = pcap_open_offline(path, message);
	ck_assert_msg(file != NULL, "%s", message);
	for (i = 0; pcap_next_ex(file, &h, &data) == 1; i++) {
		ck_assert_uint_eq(h->caplen, (i * 37) % 1600);
		for (uint32_t k = 0; k < h->caplen; k++)
			ck_assert_msg(data[k] == (uint8_t)(START_NS + i + k / PACKET_SLOT),
				"packet %u, byte %u: %u", i, k, data[k]);
	}
	ck_assert_uint_eq(i, 1000);
	pcap_close(file);
	rig_close(&g);
}
END_TEST

START_TEST(a_file_on_disk_has_its_part_name_until_it_is_sealed)
{
	struct archive_segment *list;
	struct run_options o;
	struct rig g;
	size_t n = 0;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	o.flush_ns = 10 * 1000 * 1000;
	rig_start(&g, &o);
	put(g.rings[0], START_NS);
	for (int i = 0; i < WAIT_SECONDS * 100 && n == 0; i++) {
		pause_ms(10);
		ck_assert_int_eq(archive_list(g.dirs[0], &list, &n, &err), 0);
		if (n == 1)
			ck_assert(!list[0].sealed);
		free(list);
	}
	ck_assert_uint_eq(n, 1);
	rig_finish(&g);
	ck_assert_int_eq(archive_list(g.dirs[0], &list, &n, &err), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert(list[0].sealed);
	ck_assert_uint_eq(list[0].pkts, 1);
	free(list);
	rig_close(&g);
}
END_TEST

START_TEST(rotation_by_bytes_never_passes_the_limit)
{
	struct run_options o;
	struct totals t;
	struct rig g;

	rig_open(&g, 2, 1, 32);
	o = rig_options(&g);
	o.rotate_bytes = 3 << 20;
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 12000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, 12000);
	ck_assert_uint_ge(t.sealed, 6);
	ck_assert_uint_le(t.last.file_bytes, 3 << 20);
	rig_close(&g);
}
END_TEST

START_TEST(rotation_on_the_clock_cuts_between_packets_at_the_boundary)
{
	struct run_options o;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	o.rotate_ns = 60 * NS_PER_SEC;
	o.rotate_on_clock = true;
	rig_start(&g, &o);
	/* 22:13:20 UTC, so 22:14:00 is 40 s later. */
	put(g.rings[0], START_NS);
	put(g.rings[0], START_NS + 40 * NS_PER_SEC - 1);
	put(g.rings[0], START_NS + 40 * NS_PER_SEC);
	put(g.rings[0], START_NS + 41 * NS_PER_SEC);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.sealed, 2);
	ck_assert_uint_eq(t.last.pkts, 2);
	ck_assert_uint_eq(t.last.first_ns, START_NS + 40 * NS_PER_SEC);
	rig_close(&g);
}
END_TEST

START_TEST(a_quiet_run_is_cut_on_time_without_a_packet)
{
	struct run_options o;
	struct totals t = {0};
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	o.rotate_ns = NS_PER_SEC;
	rig_start(&g, &o);
	put(g.rings[0], START_NS);
	atomic_store(&g.rings[0]->told.seen_until_ns, START_NS + 2 * NS_PER_SEC);
	for (int i = 0; i < WAIT_SECONDS * 100 && t.sealed == 0; i++) {
		pause_ms(10);
		t = read_back(&g);
	}
	ck_assert_uint_eq(t.sealed, 1);
	rig_finish(&g);
	rig_close(&g);
}
END_TEST

static void find_text(const char *path, bool sealed, void *arg)
{
	const char *text = arg;
	char bytes[PCAPNG_ALIGN];
	FILE *f = fopen(path, "re");

	ck_assert(sealed);
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fread(bytes, 1, sizeof(bytes), f), sizeof(bytes));
	(void)fclose(f);
	ck_assert_ptr_nonnull(memmem(bytes, sizeof(bytes), text, strlen(text)));
}

static void find_text_in_second(const char *path, bool sealed, void *arg)
{
	if (strstr(path, "-00002") != NULL)
		find_text(path, sealed, arg);
	else
		find_text(path, sealed, "first words");
}

START_TEST(a_long_filter_is_in_the_file_as_a_whole)
{
	struct run_interface interface = {.name = "left"};
	char filter[4096], text[sizeof(filter) + 64];
	struct run_options o;
	struct totals t;
	size_t used = 0;
	struct rig g;

	for (unsigned int i = 1; used + 32 < sizeof(filter); i++)
		used += (size_t)snprintf(
			filter + used, sizeof(filter) - used, "%sport %u", i > 1 ? " or " : "", i);
	interface.filter = filter;
	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	o.interfaces = &interface;
	rig_start(&g, &o);
	put(g.rings[0], START_NS);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, 1);
	ask(&g, "capinfos \"$FILE\" 2>/dev/null | sed -n 's/.*Filter string = //p'", text,
		sizeof(text));
	ck_assert_msg(strcmp(text, filter) == 0, "%.100s... of %zu bytes", text, strlen(text));
	rig_close(&g);
}
END_TEST

START_TEST(a_run_that_is_described_anew_begins_a_new_file_at_that_time)
{
	struct run_options o;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 2, 16);
	o = rig_options(&g);
	o.comment = "first words";
	rig_start(&g, &o);
	put(g.rings[0], START_NS);
	o.comment = "then others";
	ck_assert_int_eq(run_redescribe(g.run, &o, START_NS + 10, &err), 0);
	put(g.rings[0], START_NS + 9);
	put(g.rings[1], START_NS + 10);
	put(g.rings[0], START_NS + 11);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.sealed, 2);
	ck_assert_uint_eq(t.last.pkts, 2);
	ck_assert_uint_eq(t.last.first_ns, START_NS + 10);
	(void)run_files(g.run, find_text_in_second, (void *)"then others");
	rig_close(&g);
}
END_TEST

START_TEST(a_writer_that_hears_late_of_two_descriptions_begins_a_file_for_each)
{
	struct run_options o;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	rig_start(&g, &o);
	ck_assert_int_eq(run_redescribe(g.run, &o, START_NS + 10, &err), 0);
	ck_assert_int_eq(run_redescribe(g.run, &o, START_NS + 20, &err), 0);
	put(g.rings[0], START_NS);
	put(g.rings[0], START_NS + 10);
	put(g.rings[0], START_NS + 19);
	put(g.rings[0], START_NS + 20);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.sealed, 3);
	ck_assert_uint_eq(t.pkts, 4);
	rig_close(&g);
}
END_TEST

START_TEST(packets_of_many_rings_are_in_the_order_of_time)
{
	struct run_options o;
	struct totals t;
	char text[256];
	struct rig g;

	rig_open(&g, 1, 3, 16);
	o = rig_options(&g);
	rig_start(&g, &o);
	/* Ring 2 runs ahead, ring 0 lags: only what none can precede may be packed. */
	for (unsigned int i = 0; i < 900; i++)
		put(g.rings[2], START_NS + 3 * i);
	for (unsigned int i = 0; i < 900; i++)
		put(g.rings[1], START_NS + 3 * i + 1);
	pause_ms(50);
	for (unsigned int i = 0; i < 900; i++)
		put(g.rings[0], START_NS + 3 * i + 2);
	for (unsigned int i = 0; i < 3; i++)
		atomic_store(&g.rings[i]->told.seen_until_ns, START_NS + 3000);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, 2700);
	ck_assert_uint_eq(t.sealed, 1);
	ask(&g,
		"tshark -r \"$FILE\" -T fields -e frame.time_epoch 2>/dev/null | sort -c && echo "
		"sorted",
		text, sizeof(text));
	ck_assert_str_eq(text, "sorted");
	rig_close(&g);
}
END_TEST

START_TEST(a_run_ends_though_one_of_its_rings_fell_silent_earlier)
{
	struct run_options o;
	struct rig g;

	rig_open(&g, 1, 2, 16);
	o = rig_options(&g);
	rig_start(&g, &o);
	put(g.rings[1], START_NS);
	for (unsigned int i = 1; i < 100; i++)
		put(g.rings[0], START_NS + i); /* nobody will say more of ring 1 */
	rig_finish(&g);
	ck_assert_uint_eq(read_back(&g).pkts, 100);
	rig_close(&g);
}
END_TEST

START_TEST(rings_that_fill_up_beside_a_silent_one_are_still_merged)
{
	struct run_options o;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 3, 16);
	o = rig_options(&g);
	g.rings[0]->patient = g.rings[1]->patient = false;
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 5000; i++) {
		put(g.rings[0], START_NS + 2 * i);
		put(g.rings[1], START_NS + 2 * i + 1);
	}
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, 10000);
	ck_assert_uint_le(t.sealed, 3);
	rig_close(&g);
}
END_TEST

START_TEST(a_packet_that_comes_too_late_begins_a_new_file)
{
	struct run_options o;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	rig_start(&g, &o);
	put(g.rings[0], START_NS + 100);
	put(g.rings[0], START_NS + 50);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.sealed, 2);
	ck_assert_uint_eq(t.pkts, 2);
	rig_close(&g);
}
END_TEST

START_TEST(a_hole_is_told_on_the_packet_after_it)
{
	struct run_options o;
	struct totals t;
	counter nic_lost = 0;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	g.rings[0]->nic_lost = &nic_lost;
	rig_start(&g, &o);
	put(g.rings[0], START_NS);
	put_bytes(g.rings[0], START_NS + 1, 60, 60, 7);
	while (counter_get(&g.rings[0]->out.packed_pkts) < 2)
		pause_ms(1);
	counter_set(&nic_lost, 5);
	put(g.rings[0], START_NS + 2);
	rig_finish(&g);
	t = read_back(&g);
	ck_assert_uint_eq(t.dropcount_pkts, 12);
	rig_close(&g);
}
END_TEST

START_TEST(limits_store_exactly_as_many_packets)
{
	struct run_options o;
	struct run_ledger l;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	o.limit_pkts = 100;
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 150; i++)
		put(g.rings[0], START_NS + i);
	rig_finish(&g);
	ck_assert(run_limit_reached(g.run));
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.written_pkts, 100);
	ck_assert_uint_eq(l.outside_window_pkts, 50);
	ck_assert_uint_eq(read_back(&g).pkts, 100);
	rig_close(&g);
}
END_TEST

START_TEST(null_counts_and_stores_nothing)
{
	struct run_ledger l;
	struct run_options o;
	struct rig g;

	rig_open(&g, 0, 1, 16);
	ck_assert_int_eq(stripe_open("null:", &g.stripes[0], &err), 0);
	o = rig_options(&g);
	o.stripe_count = 1;
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 10000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.written_pkts, 10000);
	ck_assert_uint_eq(run_files(g.run, NULL, NULL), 0);
	stripe_close(g.stripes[0]);
	rig_close(&g);
}
END_TEST

START_TEST(a_directory_that_vanishes_sends_its_packets_to_the_other_stripe)
{
	struct stripe_info info;
	struct run_options o;
	struct run_ledger l;
	struct totals t;
	struct rig g;

	rig_open(&g, 2, 1, 32);
	o = rig_options(&g);
	o.rotate_bytes = 3 << 20;
	ck_assert_int_eq(rmdir(g.dirs[0]), 0);
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 12000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	rig_finish(&g);
	stripe_get_info(g.stripes[0], &info);
	ck_assert_int_eq(info.error, -ENOENT);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.lost_disk_pkts, 0);
	ck_assert_uint_eq(l.written_pkts, 12000);
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, 12000);
	rig_close(&g);
}
END_TEST

START_TEST(without_any_stripe_left_each_packet_is_lost_disk)
{
	struct run_options o;
	struct run_ledger l;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	o = rig_options(&g);
	ck_assert_int_eq(rmdir(g.dirs[0]), 0);
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 5000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.written_pkts, 0);
	ck_assert_uint_eq(l.lost_disk_pkts, 5000);
	ck_assert_uint_eq(l.received_pkts, ledger_sum(&l));
	rig_close(&g);
}
END_TEST

static void shell(const char *command)
{
	ck_assert_msg(system(command) == 0, "%s", command);
}

/*
 * Gives stripe 0 a file system of its own in $DIR, made by command; the stripe is opened again on
 * it. These tests need root, loop devices and mkfs: without them they fail, they do not pass.
 */
static void mount_on_first(struct rig *g, const char *command)
{
	ck_assert_int_eq(setenv("DIR", g->dirs[0], 1), 0);
	stripe_close(g->stripes[0]);
	shell(command);
	ck_assert_int_eq(stripe_open(g->dirs[0], &g->stripes[0], &err), 0);
}

static void unmount_first(struct rig *g)
{
	stripe_close(g->stripes[0]);
	ck_assert_int_eq(setenv("DIR", g->dirs[0], 1), 0);
	shell("umount -l \"$DIR\"; rm -f \"$DIR.img\"");
	ck_assert_int_eq(stripe_open(g->dirs[0], &g->stripes[0], &err), 0);
}

static const char MOUNT_EXT4[] = "truncate -s 256M \"$DIR.img\" && mkfs.ext4 -q \"$DIR.img\" && "
				 "mount -o loop \"$DIR.img\" \"$DIR\"";

START_TEST(a_full_disk_hands_over_to_the_other_and_the_part_is_recoverable)
{
	struct recover_report rec;
	struct archive_segment *list;
	struct run_options o;
	struct run_ledger l;
	struct totals t;
	struct rig g;
	size_t n;

	rig_open(&g, 2, 1, 32);
	mount_on_first(&g, "mount -t tmpfs -o size=5m none \"$DIR\"");
	o = rig_options(&g);
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 20000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.lost_disk_pkts, 0);
	ck_assert_uint_eq(l.written_pkts, 20000);
	t = read_back(&g);
	ck_assert_uint_eq(t.parts, 1);
	ck_assert_int_eq(archive_list(g.dirs[0], &list, &n, &err), 0);
	ck_assert_uint_eq(n, 1);
	/* The end block needs a page that the full disk does not have. */
	shell("mount -o remount,size=6m \"$DIR\"");
	ck_assert_msg(archive_recover(list[0].path, &rec, &err) == 0, "%s", err.text);
	free(list);
	ck_assert_uint_eq(t.pkts + rec.pkts, 20000);
	unmount_first(&g);
	rig_close(&g);
}
END_TEST

START_TEST(space_that_a_file_takes_ahead_leaves_room_for_the_next)
{
	struct run_options o;
	struct run_ledger l;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	mount_on_first(&g, MOUNT_EXT4);
	o = rig_options(&g);
	o.rotate_bytes = 0;
	rig_start(&g, &o);
	put(g.rings[0], START_NS);
	ck_assert_int_eq(run_redescribe(g.run, &o, START_NS + 10, &err), 0);
	put(g.rings[0], START_NS + 10);
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.lost_disk_pkts, 0);
	t = read_back(&g);
	ck_assert_uint_eq(t.sealed, 2);
	ck_assert_uint_eq(t.pkts, 2);
	unmount_first(&g);
	rig_close(&g);
}
END_TEST

START_TEST(a_hung_disk_slows_no_other)
{
	struct run_options o;
	struct run_ledger l;
	struct rig g;

	rig_open(&g, 2, 1, 32);
	mount_on_first(&g, MOUNT_EXT4);
	o = rig_options(&g);
	o.rotate_bytes = 3 << 20;
	shell("fsfreeze -f \"$DIR\"");
	ck_assert_int_eq(stripe_check(g.dirs[0], &err), 0); /* and comes back */
	rig_start(&g, &o);
	/* Far more than fits in RAM: it goes through only if the other disk takes it. */
	for (unsigned int i = 0; i < 60000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	shell("fsfreeze -u \"$DIR\"");
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.written_pkts, 60000);
	ck_assert_uint_eq(read_back(&g).pkts, 60000);
	unmount_first(&g);
	rig_close(&g);
}
END_TEST

START_TEST(a_hung_disk_alone_costs_lost_memory_and_each_hole_is_told)
{
	struct run_options o;
	struct run_ledger l;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 1, 8);
	mount_on_first(&g, MOUNT_EXT4);
	o = rig_options(&g);
	g.rings[0]->patient = false;
	shell("fsfreeze -f \"$DIR\"");
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 20000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	wait_empty(g.rings[0]);
	shell("fsfreeze -u \"$DIR\"");
	run_get_ledger(g.run, &l);
	ck_assert_uint_gt(l.lost_memory_pkts, 0);
	for (int i = 0; i < WAIT_SECONDS * 1000 && run_queued_bytes(g.run) != 0; i++)
		pause_ms(1);
	put(g.rings[0], START_NS + 20000); /* there is room again: it tells of the hole */
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.received_pkts, ledger_sum(&l));
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, l.written_pkts);
	ck_assert_uint_eq(t.dropcount_pkts, l.lost_memory_pkts);
	ck_assert_uint_eq(t.last.osdrop_pkts, l.lost_memory_pkts);
	unmount_first(&g);
	rig_close(&g);
}
END_TEST

START_TEST(losses_behind_the_last_packet_are_told_by_the_last_file)
{
	struct run_options o;
	struct run_ledger l;
	struct totals t;
	struct rig g;

	rig_open(&g, 1, 1, 8);
	mount_on_first(&g, MOUNT_EXT4);
	o = rig_options(&g);
	o.rotate_bytes = 2 << 20; /* a file per chunk: none is open when memory runs out */
	g.rings[0]->patient = false;
	shell("fsfreeze -f \"$DIR\"");
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 20000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	wait_empty(g.rings[0]);
	shell("fsfreeze -u \"$DIR\"");
	rig_finish(&g);
	run_get_ledger(g.run, &l);
	ck_assert_uint_gt(l.lost_memory_pkts, 0);
	ck_assert_uint_eq(l.received_pkts, ledger_sum(&l));
	t = read_back(&g);
	ck_assert_uint_eq(t.pkts, l.written_pkts);
	ck_assert_uint_eq(t.last.osdrop_pkts, l.lost_memory_pkts);
	ck_assert_uint_eq(t.last.usrdeliv_pkts, l.written_pkts);
	unmount_first(&g);
	rig_close(&g);
}
END_TEST

START_TEST(an_abandoned_run_ends_without_its_disk_and_counts_lost_disk)
{
	struct run_options o;
	struct run_ledger l;
	struct rig g;

	rig_open(&g, 1, 1, 16);
	mount_on_first(&g, MOUNT_EXT4);
	o = rig_options(&g);
	shell("fsfreeze -f \"$DIR\"");
	rig_start(&g, &o);
	for (unsigned int i = 0; i < 3000; i++)
		put_bytes(g.rings[0], START_NS + i, 1500, 1500, 0);
	run_finish(g.run);
	pause_ms(200);
	ck_assert(!run_ended(g.run));
	run_abandon(g.run);
	for (int i = 0; i < WAIT_SECONDS * 1000 && !run_ended(g.run); i++)
		pause_ms(1);
	ck_assert(run_ended(g.run));
	run_get_ledger(g.run, &l);
	ck_assert_uint_eq(l.lost_disk_pkts, 3000);
	ck_assert_uint_eq(l.received_pkts, ledger_sum(&l));
	shell("fsfreeze -u \"$DIR\"");
	pause_ms(500);
	unmount_first(&g);
	rig_close(&g);
}
END_TEST

static void eal_open(void)
{
	ck_assert(eal_start(128));
	pool = rte_pktmbuf_pool_create(
		"pkts", 16383, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	ck_assert_ptr_nonnull(pool);
}

int main(void)
{
	Suite *suite = suite_create("writer");
	TCase *c = tcase_create("writer");

	tcase_set_timeout(c, 120);
	tcase_add_unchecked_fixture(c, eal_open, NULL);
	tcase_add_test(c, a_missing_directory_is_no_stripe);
	tcase_add_test(c, a_writer_refuses_too_little_memory_and_a_wrong_depth);
	tcase_add_test(c, a_run_without_packets_leaves_one_valid_empty_file);
	tcase_add_test(c, every_packet_is_in_the_file_as_other_readers_find_it);
	tcase_add_test(c, every_byte_is_in_the_file_as_libpcap_reads_it);
	tcase_add_test(c, a_file_on_disk_has_its_part_name_until_it_is_sealed);
	tcase_add_test(c, rotation_by_bytes_never_passes_the_limit);
	tcase_add_test(c, rotation_on_the_clock_cuts_between_packets_at_the_boundary);
	tcase_add_test(c, a_quiet_run_is_cut_on_time_without_a_packet);
	tcase_add_test(c, a_long_filter_is_in_the_file_as_a_whole);
	tcase_add_test(c, a_run_that_is_described_anew_begins_a_new_file_at_that_time);
	tcase_add_test(c, a_writer_that_hears_late_of_two_descriptions_begins_a_file_for_each);
	tcase_add_test(c, packets_of_many_rings_are_in_the_order_of_time);
	tcase_add_test(c, a_run_ends_though_one_of_its_rings_fell_silent_earlier);
	tcase_add_test(c, rings_that_fill_up_beside_a_silent_one_are_still_merged);
	tcase_add_test(c, a_packet_that_comes_too_late_begins_a_new_file);
	tcase_add_test(c, a_hole_is_told_on_the_packet_after_it);
	tcase_add_test(c, limits_store_exactly_as_many_packets);
	tcase_add_test(c, null_counts_and_stores_nothing);
	tcase_add_test(c, a_directory_that_vanishes_sends_its_packets_to_the_other_stripe);
	tcase_add_test(c, without_any_stripe_left_each_packet_is_lost_disk);
	tcase_add_test(c, a_full_disk_hands_over_to_the_other_and_the_part_is_recoverable);
	tcase_add_test(c, space_that_a_file_takes_ahead_leaves_room_for_the_next);
	tcase_add_test(c, a_hung_disk_slows_no_other);
	tcase_add_test(c, a_hung_disk_alone_costs_lost_memory_and_each_hole_is_told);
	tcase_add_test(c, losses_behind_the_last_packet_are_told_by_the_last_file);
	tcase_add_test(c, an_abandoned_run_ends_without_its_disk_and_counts_lost_disk);
	suite_add_tcase(suite, c);
	return suite_run_unforked(suite);
}
