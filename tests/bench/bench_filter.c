/*
 * What a filter costs on the rx lcore: ns per 64-byte packet (60 stored). Not part of ctest. Run it
 * alone and pinned:
 *   taskset -c 1 bench_filter ["expression" ["case" [runs]]]
 * Each figure is the median of so many runs, with the lowest and the highest beside it. With "case"
 * only those whose name contains it, as "flat, 0 tags, alike":
 *   flat         native code for packets at home
 *   general      native code for any packet
 *   interpreter  libpcap's
 * Instructions, without those of this program:
 *   valgrind --tool=callgrind --toggle-collect=expression_match bench_filter "tcp" "flat, 0" 1
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pcap/pcap.h>

#include <rte_mbuf.h>

#include "filter/expression.h"
#include "filter/filter_program.h"

enum {
	PACKETS = 4096,
	ROOMS = 128, /* few enough for the first cache, where the driver has just put them */
	RUNS = 101,
	RUNS_MAX = 10001,
	FRAME_BYTES = 60,
	ROUNDS = 16,
	ROOM_BYTES = 2240
};

/* As in a pool, an odd number of cache lines apart, so that they do not crowd the same sets. */
struct room {
	struct rte_mbuf mbuf;
	uint8_t buf[ROOM_BYTES];
};

static struct room *rooms;
static struct rte_mbuf *pkts[PACKETS];

/*
 * UDP of many flows. Mixed: a third from 10.1/16, a third to port 53, a third neither, so that no
 * branch predictor learns them. Else all from 10.1/16.
 */
static void packets_make(unsigned int tags, bool mixed)
{
	static const uint8_t head[] = {8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0};
	uint32_t random = 1;

	for (unsigned int i = 0; i < ROOMS; i++) {
		struct rte_mbuf *m = &rooms[i].mbuf;
		uint8_t *p = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, *q = p + 12;
		uint32_t kind;

		random = random * 1664525 + 1013904223;
		kind = mixed ? (random >> 20) % 3 : 0;
		memset(p, 0, FRAME_BYTES);
		for (unsigned int t = 0; t < tags; t++, q += 4)
			memcpy(q, "\x81\0\0\x64", 4);
		memcpy(q, head, sizeof(head));
		q += sizeof(head);
		memcpy(q, kind == 0 ? "\x0a\1\2\3" : "\x0a\2\2\3", 4);
		memcpy(q + 4, "\xc0\xa8\1\1", 4);
		memcpy(q + 8, "\x10\0", 2);
		memcpy(q + 10, kind == 1 ? "\0\x35" : "\1\xbb", 2);
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

static unsigned int run_count = RUNS;

/* Another order in each round: branch predictors learn thousands of packets by heart. */
static void packets_draw(void)
{
	static uint64_t random = 88172645463325252;

	for (unsigned int i = 0; i < PACKETS; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		pkts[i] = &rooms[(random >> 32) % ROOMS].mbuf;
	}
}

static double round_ns(const struct expression *f, uint64_t *kept)
{
	double start = now_ns();

	for (unsigned int i = 0; i < PACKETS; i += EXPRESSION_BURST)
		*kept += (uint64_t)__builtin_popcountll(
			expression_match(f, &pkts[i], EXPRESSION_BURST));
	return now_ns() - start;
}

static double median_run(const struct expression *f, double runs[], uint64_t *ret_kept)
{
	*ret_kept = 0;
	for (unsigned int run = 0; run < run_count; run++) {
		double ns = 0;

		for (unsigned int round = 0; round < ROUNDS; round++) {
			packets_draw();
			ns += round_ns(f, ret_kept);
		}
		runs[run] = ns / (ROUNDS * PACKETS);
	}
	qsort(runs, run_count, sizeof(runs[0]), compare_doubles);
	return runs[run_count / 2];
}

static void measure(
	const char *expression, unsigned int how, unsigned int tags, bool mixed, const char *wanted)
{
	static double runs[RUNS_MAX];
	struct expression *f;
	struct errbuf err;
	char name[64];
	uint64_t kept;
	double ns;

	if (expression_compile(expression, DLT_EN10MB, how, &f, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	(void)snprintf(name, sizeof(name), "%s, %u tags, %s%s",
		expression_flat_views(f) != 0              ? "flat"
		: strcmp(expression_engine(f), "jit") == 0 ? "general"
							   : expression_engine(f),
		tags, mixed ? "mixed" : "alike",
		(how & EXPRESSION_LITERAL) != 0 ? ", literal" : "");
	if (strstr(name, wanted) != NULL) {
		packets_make(tags, mixed);
		ns = median_run(f, runs, &kept);
		(void)printf("%-36s %6.2f ns/packet (%.2f..%.2f), %.0f %% kept\n", name, ns,
			runs[0], runs[run_count - 1],
			100.0 * (double)kept / ((double)run_count * ROUNDS * PACKETS));
	}
	expression_free(f);
}

int main(int argc, char **argv)
{
	static const unsigned int hows[] = {0, EXPRESSION_NOT_FLAT, EXPRESSION_INTERPRET};
	const char *expression = argc > 1 ? argv[1] : "udp port 53 or net 10.1.0.0/16";
	const char *wanted = argc > 2 ? argv[2] : "";

	if (argc > 3)
		run_count = (unsigned int)strtoul(argv[3], NULL, 10);
	rooms = aligned_alloc(RTE_CACHE_LINE_SIZE, ROOMS * sizeof(*rooms));
	if (rooms == NULL || run_count == 0 || run_count > RUNS_MAX)
		return EXIT_FAILURE;
	memset(rooms, 0, ROOMS * sizeof(*rooms));
	for (size_t i = 0; i < ROOMS; i++)
		rooms[i].mbuf.buf_addr = rooms[i].buf;
	(void)printf("%s\n", expression);
	for (unsigned int mixed = 0; mixed <= 1; mixed++)
		for (unsigned int tags = 0; tags <= 2; tags++)
			for (size_t h = 0; h < sizeof(hows) / sizeof(hows[0]); h++)
				measure(expression, hows[h], tags, mixed, wanted);
	measure(expression, EXPRESSION_LITERAL, 0, false, wanted);
	measure(expression, EXPRESSION_LITERAL, 0, true, wanted);
	free(rooms);
	return EXIT_SUCCESS;
}
