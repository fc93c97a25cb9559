/*
 * What a filter costs on the rx lcore: ns per 64-byte packet (60 stored), native code against
 * the interpreter, plain and tagged packets. Not part of ctest. Run it alone and pinned:
 *   taskset -c 1 bench_filter ["expression"]
 * Each figure is the median of RUNS runs, with the lowest and the highest beside it.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pcap/pcap.h>

#include <rte_mbuf.h>

#include "filter/filter_program.h"
#include "wirespool/filter.h"

enum { PACKETS = 4096, RUNS = 101, FRAME_BYTES = 60, ROOM_BYTES = 2176, ROUNDS = 16 };

static struct rte_mbuf *pkts[PACKETS];

/*
 * UDP of many flows: a third from 10.1/16, a third to port 53, a third neither, so mixed that no
 * branch predictor learns them.
 */
static void packets_make(unsigned int tags)
{
	static const uint8_t head[] = {8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0};
	uint32_t random = 1;

	for (unsigned int i = 0; i < PACKETS; i++) {
		struct rte_mbuf *m = pkts[i];
		uint8_t *p = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, *q = p + 12;

		random = random * 1664525 + 1013904223;
		memset(p, 0, FRAME_BYTES);
		for (unsigned int t = 0; t < tags; t++, q += 4)
			memcpy(q, "\x81\0\0\x64", 4);
		memcpy(q, head, sizeof(head));
		q += sizeof(head);
		memcpy(q, (random >> 20) % 3 == 0 ? "\x0a\1\2\3" : "\x0a\2\2\3", 4);
		memcpy(q + 4, "\xc0\xa8\1\1", 4);
		memcpy(q + 8, "\x10\0", 2);
		memcpy(q + 10, (random >> 20) % 3 == 1 ? "\0\x35" : "\1\xbb", 2);
		m->data_off = RTE_PKTMBUF_HEADROOM;
		m->data_len = FRAME_BYTES;
		m->pkt_len = FRAME_BYTES;
		m->nb_segs = 1;
	}
}

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

static void measure(const char *expression, unsigned int how, unsigned int tags)
{
	double runs[RUNS];
	struct errbuf err;
	struct filter *f;
	uint64_t kept = 0;

	if (filter_compile_how(expression, DLT_EN10MB, how, &f, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	packets_make(tags);
	for (unsigned int run = 0; run < RUNS; run++) {
		double start = now_ns();

		for (unsigned int round = 0; round < ROUNDS; round++)
			for (unsigned int i = 0; i < PACKETS; i += FILTER_BURST)
				kept += (uint64_t)__builtin_popcountll(
					filter_match(f, &pkts[i], FILTER_BURST));
		runs[run] = (now_ns() - start) / (ROUNDS * PACKETS);
	}
	qsort(runs, RUNS, sizeof(runs[0]), compare_doubles);
	(void)printf("%-11s %u tags: %6.2f ns/packet (%.2f..%.2f), %.0f %% kept\n",
		filter_engine(f), tags, runs[RUNS / 2], runs[0], runs[RUNS - 1],
		100.0 * (double)kept / ((double)RUNS * ROUNDS * PACKETS));
	filter_free(f);
}

int main(int argc, char **argv)
{
	const char *expression = argc > 1 ? argv[1] : "udp port 53 or net 10.1.0.0/16";
	struct rte_mbuf *mbufs = aligned_alloc(RTE_CACHE_LINE_SIZE, PACKETS * sizeof(*mbufs));
	uint8_t *rooms = aligned_alloc(RTE_CACHE_LINE_SIZE, (size_t)PACKETS * ROOM_BYTES);

	if (mbufs == NULL || rooms == NULL)
		return EXIT_FAILURE;
	memset(mbufs, 0, PACKETS * sizeof(*mbufs));
	for (size_t i = 0; i < PACKETS; i++) {
		pkts[i] = &mbufs[i];
		pkts[i]->buf_addr = rooms + i * ROOM_BYTES;
	}
	(void)printf("%s\n", expression);
	for (unsigned int tags = 0; tags <= 2; tags++) {
		measure(expression, 0, tags);
		measure(expression, FILTER_INTERPRET, tags);
	}
	measure(expression, FILTER_LITERAL, 0);
	free(rooms);
	free(mbufs);
	return EXIT_SUCCESS;
}
