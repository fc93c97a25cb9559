/*
 * What the generator costs on the rx lcore: ns per frame inside gen_class.receive(), which takes
 * the mbufs and builds the frames. Not part of ctest. From the top of the tree, after a release build:
 *   cc -O3 -march=native -std=gnu17 -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API -I. -Iinclude \
 *      $(pkg-config --cflags libdpdk) -o bench_frames tests/bench/bench_frames.c \
 *      build/release/{capture/libcapture,filter/libfilter,common/libcommon}.a \
 *      $(pkg-config --libs libdpdk libpcap)
 *   bench_frames [-n] [DEVICE...]        -n: without huge pages
 * Run it alone, on two CPUs of one socket.
 *
 *   warm  each burst is freed at once: the same 64 mbufs come again, all in the cache. So it is for
 *         frames that the recorder takes by value.
 *   cold  another core copies each frame and frees its mbuf: a pool of COLD_MBUFS goes round as
 *         a FIFO, and each mbuf comes back from that core's cache. So it is for frames that go by
 *         reference, as the long ones do.
 *
 * Each figure is the median of RUNS runs, with the lowest and the highest beside it. `loop` is the
 * whole turn of the loop, with the free or the hand-over.
 */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <rte_prefetch.h>
#include <rte_ring.h>

#include "capture/frames.h"
#include "capture/source.h"

enum {
	RUNS = 51,
	RUN_FRAMES = 1 << 16,
	WARM_MBUFS = 4095,
	COLD_MBUFS = 12000,
	CACHE = 512,
	ROOM = 2048 + RTE_PKTMBUF_HEADROOM,
	SLOTS = 8192,
	CHUNK_BYTES = 1 << 20,
	RX_CPU = 1,
	READER_CPU = 0,
};

struct reader {
	struct rte_ring *slots;
	_Atomic bool stop;
};

static const char *const DEVICES[] = {
	"gen:rate=max,size=64",
	"gen:rate=max,size=IMIX",
	"gen:rate=max,size=64-1518",
	"gen:rate=max,size=1518",
	"gen:rate=max,size=128,ipv6=25,tcp=50",
};

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static size_t copy_lines(uint8_t *to, const struct rte_mbuf *m)
{
	const uint8_t *from = rte_pktmbuf_mtod(m, const uint8_t *);
	size_t at;

	for (at = 0; at < m->data_len; at += RTE_CACHE_LINE_SIZE)
		memcpy(to + at, from + at, RTE_CACHE_LINE_SIZE);
	return at;
}

/* The writer's part in it: every byte is read, and the mbufs go back in bulk. */
static void *read_frames(void *arg)
{
	struct reader *r = arg;
	uint8_t *chunk = malloc(CHUNK_BYTES + ROOM);
	struct rte_mbuf *pkts[BURST_PKTS];
	size_t at = 0;

	pin(READER_CPU);
	(void)rte_thread_register();
	while (chunk != NULL && !atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		unsigned int n = rte_ring_dequeue_burst(r->slots, (void **)pkts, BURST_PKTS, NULL);

		for (unsigned int i = 0; i < n; i++) {
			rte_prefetch0(pkts[i]);
			rte_prefetch0((uint8_t *)pkts[i] + FRAME_DATA_OFFSET);
		}
		for (unsigned int i = 0; i < n; i++)
			at = (at + copy_lines(chunk + at, pkts[i])) % CHUNK_BYTES;
		rte_pktmbuf_free_bulk(pkts, n);
	}
	rte_thread_unregister();
	free(chunk);
	return NULL;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_runs(const char *what, double runs[RUNS])
{
	qsort(runs, RUNS, sizeof(runs[0]), compare_doubles);
	(void)printf("  %s %6.2f (%.2f..%.2f)", what, runs[RUNS / 2], runs[0], runs[RUNS - 1]);
}

/* What the rx lcore does with a burst: hand over to the reader, or free when there is none. */
static void pass_on(struct reader *r, struct rte_mbuf **pkts, unsigned int n)
{
	if (r == NULL) {
		rte_pktmbuf_free_bulk(pkts, n);
		return;
	}
	while (n != 0) {
		unsigned int done = rte_ring_enqueue_burst(r->slots, (void **)pkts, n, NULL);

		pkts += done;
		n -= done;
	}
}

static void measure(struct source *src, struct reader *r)
{
	double in[RUNS], loop[RUNS], ns = 1e9 / (double)rte_get_tsc_hz();
	struct burst b;

	for (int run = -2; run < RUNS; run++) {
		uint64_t frames = 0, inside = 0, start = rte_rdtsc();

		while (frames < RUN_FRAMES) {
			uint64_t before, after;
			unsigned int n;

			/* The rings' room first, as for every patient source. */
			while (r != NULL && rte_ring_free_count(r->slots) < BURST_PKTS)
				rte_pause();
			before = rte_rdtsc();
			n = src->class->receive(&src->queues[0], &b);
			after = rte_rdtsc();
			if (n == 0)
				continue;
			inside += after - before;
			frames += n;
			pass_on(r, b.pkts, n);
		}
		if (run < 0)
			continue;
		in[run] = (double)inside * ns / (double)frames;
		loop[run] = (double)(rte_rdtsc() - start) * ns / (double)frames;
	}
	print_runs("receive", in);
	print_runs("loop", loop);
	(void)printf("\n");
}

static int measure_device(const char *device, unsigned int mbufs, struct reader *r)
{
	struct rte_mempool *pool =
		rte_pktmbuf_pool_create("bench", mbufs, CACHE, 0, ROOM, SOCKET_ID_ANY);
	struct source_options so = {
		.name = "bench",
		.device = device,
		.queues = 1,
		.descriptors = 4096,
		.frame_bytes = 9216,
		.socket_id = -1,
		.pools = &pool,
	};
	struct source src = {.class = &gen_class};
	struct errbuf err = {"no memory"};
	pthread_t thread;

	if (pool == NULL || gen_class.open(&src, &so, &err) < 0) {
		(void)fprintf(stderr, "%s: %s\n", device, err.text);
		return -1;
	}
	(void)printf("%-38s %s", device, r == NULL ? "warm" : "cold");
	if (r != NULL) {
		atomic_store(&r->stop, false);
		if (pthread_create(&thread, NULL, read_frames, r) != 0)
			return -1;
	}
	measure(&src, r);
	if (r != NULL) {
		while (!rte_ring_empty(r->slots))
			rte_pause();
		atomic_store(&r->stop, true);
		(void)pthread_join(thread, NULL);
	}
	gen_class.close(&src);
	if (rte_mempool_avail_count(pool) != mbufs) {
		(void)fprintf(stderr, "%s: mbufs are missing\n", device);
		return -1;
	}
	rte_mempool_free(pool);
	return 0;
}

int main(int argc, char **argv)
{
	char arg0[] = "bench_frames", in_memory[] = "--in-memory", no_huge[] = "--no-huge",
	     no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", m[] = "-m", mib[] = "128",
	     log[] = "--log-level=4";
	bool huge = argc < 2 || strcmp(argv[1], "-n") != 0;
	char *args[] = {arg0, huge ? in_memory : no_huge, no_pci, no_telemetry, m, mib, log, NULL};
	const char *const *devices = DEVICES;
	size_t count = sizeof(DEVICES) / sizeof(DEVICES[0]);
	struct reader r;

	if (argc > (huge ? 1 : 2)) {
		devices = (const char *const *)argv + (huge ? 1 : 2);
		count = (size_t)(argc - (huge ? 1 : 2));
	}
	if (rte_eal_init(7, args) < 0)
		return EXIT_FAILURE;
	r.slots = rte_ring_create("bench", SLOTS, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
	if (r.slots == NULL)
		return EXIT_FAILURE;
	pin(RX_CPU);
	for (size_t i = 0; i < count; i++)
		if (measure_device(devices[i], WARM_MBUFS, NULL) < 0 ||
			measure_device(devices[i], COLD_MBUFS, &r) < 0)
			return EXIT_FAILURE;
	rte_ring_free(r.slots);
	(void)rte_eal_cleanup();
	return EXIT_SUCCESS;
}
