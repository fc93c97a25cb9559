/*
 * What the flow cutoff and the fragment table cost on the rx lcore: ns per packet. Not part of ctest.
 * From the top of the tree, after a release build:
 *   cc -O3 -march=native -std=gnu17 -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API -I. -Iinclude \
 *      $(pkg-config --cflags libdpdk) -o bench_flows tests/bench/bench_flows.c \
 *      build/release/{filter/libfilter,common/libcommon}.a $(pkg-config --libs libdpdk libpcap)
 *   bench_flows [-n] [cutoff|fragments|hash]        -n: without huge pages
 * Run it alone, pinned, with 512 MiB of free huge pages.
 *
 * Each packet is of a flow drawn from all live ones, which is the worst order there is: no two
 * packets of a burst share a line of the cache. The keys are made before the clock runs, a run
 * at a time, as the packets that they come from are in the first cache when a burst is looked at.
 *
 *   within  no flow reaches its limit: each packet is counted, each line is written
 *   beyond  every flow is past its limit: lines are read only
 *   new     each packet is the first of its flow, and the table has room
 *   full    each packet is the first of its flow, and all places are taken
 *   first   fragments: the decision on a first fragment is remembered
 *   later   fragments: it is looked up
 *   hash    what rte_hash takes for "within": a burst is looked up at once, then counted
 *
 * Each figure is the median of RUNS runs of RUN_PKTS packets, with the lowest and the highest beside it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_memory.h>

#include "filter/cutoff.h"
#include "filter/fragments.h"

enum {
	RUNS = 1001,
	RUN_PKTS = 4096, /* less than a scheduler's slice: who is interrupted is not the median */

	PKT_BYTES = 60,
};

#define START_NS UINT64_C(1800000000000000000)

static const uint32_t LIVE[] = {1000, 10000, 100000, 1000000};

static struct cutoff_key flows[RUN_PKTS];
static struct fragment_key datagrams[RUN_PKTS];
static uint32_t bytes[RUN_PKTS];
static uint64_t times_ns[RUN_PKTS];

static double now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_runs(const char *what, uint32_t live, double runs[RUNS])
{
	qsort(runs, RUNS, sizeof(runs[0]), compare_doubles);
	(void)printf("%-10s %8u live %7.2f ns/packet (%.2f..%.2f)\n", what, live, runs[RUNS / 2],
		runs[0], runs[RUNS - 1]);
	(void)fflush(stdout);
}

static uint32_t draw(uint32_t below)
{
	static uint64_t random = 88172645463325252;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return (uint32_t)((random >> 32) * below >> 32);
}

static void flow_make(struct cutoff_key *key, uint32_t number)
{
	uint32_t source = 0x0a000000 + number, destination = 0xc0a80101;

	cutoff_key_make(key, 4, 6, (const uint8_t *)&source, (const uint8_t *)&destination,
		(uint16_t)(number * 7), 443);
}

static void flows_draw(uint32_t live)
{
	for (unsigned int i = 0; i < RUN_PKTS; i++)
		flow_make(&flows[i], draw(live));
}

/* The next flows, in turn. */
static void flows_next(uint32_t *number)
{
	for (unsigned int i = 0; i < RUN_PKTS; i++)
		flow_make(&flows[i], (*number)++);
}

static double cutoff_run(struct cutoff *c)
{
	double start = now_ns();

	for (unsigned int i = 0; i < RUN_PKTS; i += CUTOFF_BURST)
		(void)cutoff_match(c, &flows[i], &bytes[i], &times_ns[i], CUTOFF_BURST);
	return (now_ns() - start) / RUN_PKTS;
}

static struct cutoff *cutoff_open(uint32_t flows_max, uint64_t limit_bytes)
{
	struct cutoff_options o = {
		.limit_bytes = limit_bytes, .flows_max = flows_max, .socket_id = SOCKET_ID_ANY};
	struct cutoff *c;
	struct errbuf err;

	if (cutoff_new(&o, &c, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	return c;
}

/* All flows have a packet, so that all are live. */
static void cutoff_fill(struct cutoff *c, uint32_t live)
{
	for (uint32_t number = 0; number < live; number++) {
		flow_make(&flows[0], number);
		(void)cutoff_match(c, flows, bytes, times_ns, 1);
	}
}

static void measure_live(const char *what, uint32_t live, uint64_t limit_bytes)
{
	struct cutoff *c = cutoff_open(live, limit_bytes);
	static double runs[RUNS];

	cutoff_fill(c, live);
	for (int run = 0; run < RUNS; run++) {
		flows_draw(live);
		runs[run] = cutoff_run(c);
	}
	print_runs(what, live, runs);
	if (cutoff_full_pkts(c) != 0)
		(void)printf("%llu of %llu packets found no place\n",
			(unsigned long long)cutoff_full_pkts(c),
			(unsigned long long)live + RUNS * RUN_PKTS);
	cutoff_free(c);
}

/* before: flows that are live at the start. To be forgotten, when there is to be room for new ones. */
static void measure_new(const char *what, uint32_t live, uint32_t before, bool room)
{
	struct cutoff *c = cutoff_open(live, UINT32_MAX);
	static double runs[RUNS];
	uint32_t number = before;

	cutoff_fill(c, before);
	for (int run = 0; run < RUNS; run++) {
		for (unsigned int i = 0; i < RUN_PKTS; i++)
			times_ns[i] += room && number % live < RUN_PKTS ? 2 * CUTOFF_IDLE_NS : 0;
		flows_next(&number);
		runs[run] = cutoff_run(c);
	}
	print_runs(what, live, runs);
	cutoff_free(c);
}

static void measure_cutoff(void)
{
	(void)printf("cutoff, a table of %llu MiB for 1 M flows\n",
		(unsigned long long)(cutoff_memory_bytes(1000000) >> 20));
	for (size_t i = 0; i < sizeof(LIVE) / sizeof(LIVE[0]); i++) {
		measure_live("within", LIVE[i], UINT32_MAX);
		measure_live("beyond", LIVE[i], 0);
	}
	measure_new("new", 100000, 100000, true);
	measure_new("new", 1000000, 1000000, true);
	measure_new("full", 1000000, 6000000, false);
}

/* What is counted of a flow, at its place in rte_hash. */
static struct counted {
	uint32_t bytes, seen;
} counted[2 * 1048576];

static double hash_run(const struct rte_hash *h)
{
	double start = now_ns();

	for (unsigned int i = 0; i < RUN_PKTS; i += CUTOFF_BURST) {
		const void *keys[CUTOFF_BURST];
		int32_t places[CUTOFF_BURST];

		for (unsigned int k = 0; k < CUTOFF_BURST; k++)
			keys[k] = &flows[i + k];
		(void)rte_hash_lookup_bulk(h, keys, CUTOFF_BURST, places);
		for (unsigned int k = 0; k < CUTOFF_BURST; k++) {
			if (places[k] < 0)
				exit(EXIT_FAILURE);
			counted[places[k]].bytes += bytes[i + k];
			counted[places[k]].seen = (uint32_t)(times_ns[i + k] >> 26);
		}
	}
	return (now_ns() - start) / RUN_PKTS;
}

static void measure_hash(uint32_t live)
{
	const struct rte_hash_parameters p = {.name = "flows",
		.entries = 2 * live,
		.key_len = sizeof(struct cutoff_key),
		.socket_id = SOCKET_ID_ANY};
	struct rte_hash *h = rte_hash_create(&p);
	static double runs[RUNS];

	if (h == NULL)
		exit(EXIT_FAILURE);
	for (uint32_t number = 0; number < live; number++) {
		flow_make(&flows[0], number);
		if (rte_hash_add_key(h, &flows[0]) < 0)
			exit(EXIT_FAILURE);
	}
	for (int run = 0; run < RUNS; run++) {
		flows_draw(live);
		runs[run] = hash_run(h);
	}
	print_runs("hash", live, runs);
	rte_hash_free(h);
}

static void datagram_make(struct fragment_key *key, uint32_t number)
{
	uint32_t source = 0x0a000000 + number / 65536, destination = 0xc0a80101;

	fragment_key_make(key, 4, 17, (const uint8_t *)&source, (const uint8_t *)&destination,
		number % 65536);
}

static void datagrams_draw(uint32_t live)
{
	for (unsigned int i = 0; i < RUN_PKTS; i++)
		datagram_make(&datagrams[i], draw(live));
}

static void measure_fragments_of(uint32_t live)
{
	struct fragments_options o = {
		.datagrams_max = live, .queues = 1, .socket_id = SOCKET_ID_ANY};
	static double first_runs[RUNS], later_runs[RUNS];
	unsigned int kept = 0;
	struct fragments *f;
	struct errbuf err;
	double start;

	if (fragments_new(&o, &f, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	for (uint32_t number = 0; number < live; number++) {
		datagram_make(&datagrams[0], number);
		fragments_first(f, &datagrams[0], true, START_NS);
	}
	for (int run = 0; run < RUNS; run++) {
		datagrams_draw(live);
		start = now_ns();
		for (unsigned int i = 0; i < RUN_PKTS; i++)
			fragments_first(f, &datagrams[i], i % 2 == 0, START_NS);
		first_runs[run] = (now_ns() - start) / RUN_PKTS;
		datagrams_draw(live);
		start = now_ns();
		for (unsigned int i = 0; i < RUN_PKTS; i++)
			kept += fragments_later(f, 0, &datagrams[i], START_NS) == FRAGMENT_KEPT;
		later_runs[run] = (now_ns() - start) / RUN_PKTS;
	}
	print_runs("first", live, first_runs);
	print_runs("later", live, later_runs);
	if (kept == 0)
		exit(EXIT_FAILURE);
	fragments_free(f);
}

static void measure_fragments(void)
{
	(void)printf("fragments, a table of %llu KiB for 100,000 datagrams\n",
		(unsigned long long)(fragments_memory_bytes(100000, 1) >> 10));
	for (size_t i = 0; i < sizeof(LIVE) / sizeof(LIVE[0]); i++)
		measure_fragments_of(LIVE[i]);
}

int main(int argc, char **argv)
{
	char arg0[] = "bench_flows", in_memory[] = "--in-memory", no_huge[] = "--no-huge",
	     no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", m[] = "-m", mib[] = "512",
	     log[] = "--log-level=4";
	bool huge = argc < 2 || strcmp(argv[1], "-n") != 0;
	char *args[] = {arg0, huge ? in_memory : no_huge, no_pci, no_telemetry, m, mib, log, NULL};
	const char *only = argc > (huge ? 1 : 2) ? argv[huge ? 1 : 2] : "";

	if (rte_eal_init(7, args) < 0)
		return EXIT_FAILURE;
	for (unsigned int i = 0; i < RUN_PKTS; i++) {
		bytes[i] = PKT_BYTES;
		times_ns[i] = START_NS;
	}
	if (only[0] == '\0' || strcmp(only, "cutoff") == 0)
		measure_cutoff();
	if (only[0] == '\0' || strcmp(only, "fragments") == 0)
		measure_fragments();
	for (size_t i = 0; i < RTE_DIM(LIVE); i++)
		if (only[0] == '\0' || strcmp(only, "hash") == 0)
			measure_hash(LIVE[i]);
	(void)rte_eal_cleanup();
	return EXIT_SUCCESS;
}
