/*
 * What a rule table costs: ns per packet on the rx lcore, seconds to build, and memory. Not part of
 * ctest. From the top of the tree, after a release build, then alone and pinned:
 *   cc -O3 -march=native -std=gnu17 -D_GNU_SOURCE -DALLOW_EXPERIMENTAL_API -I. -Iinclude \
 *      $(pkg-config --cflags libdpdk) -o bench_rules tests/bench/bench_rules.c \
 *      build/release/{filter/libfilter,common/libcommon}.a $(pkg-config --libs libdpdk libpcap)
 *   taskset -c 1 bench_rules ["table" [rules [runs]]]
 * Each figure is the median of so many runs, with the lowest and the highest beside it. Included is
 * that the key of each packet is copied to where the next burst looks for it; not included is the
 * walk through the headers. With "table" only those whose name begins so, with rules only this many:
 *   services     tcp to a net's port, either way: what a site serves
 *   one way      the same without "either way"
 *   hosts        all of a host, either way: a list of suspects
 *   flows        protocol, both hosts and ports, either way
 *   mixed        nets of 16 to 32 bits on one side or both, some ports, some ranges of them
 * Flows: as many different ones as bench_rules says, half of them of some rule, in any order.
 *
 *   taskset -c 1 bench_rules cache ["table" [rules [runs]]]
 * What a rule cache saves. One line each, with tabs between its fields, which the first line names:
 *   uniform      packets are of any of the flows
 *   zipf         the n-th flow comes 1/n as often as the first
 *   strangers    hardly a flow comes twice
 * Only the look-up of a burst is timed, by the CPU's counter; the keys are in the first cache, where the
 * walk through the headers leaves them. Runs with and without the cache take turns. Each figure is their
 * median, with the quarters below and above it behind it.
 */

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>

#include "filter/flow_key.h"
#include "filter/rule_cache.h"
#include "filter/rule_table.h"
#include "wirespool/rules.h"

enum {
	FLOWS = 1024,
	FLOWS_MAX = 1000000,
	PACKETS = 4096,
	ROUNDS = 16,
	RUNS = 21,
	RUNS_MAX = 10001,
	RULE_BYTES = 200,
	/* Of the cache: */
	DRAWN_PKTS = 1000000, /* of each popularity, gone through again and again */
	RUN_PKTS = 1 << 18,   /* as long as it takes a cache to step aside and look again */
	WARM_PKTS = 1 << 22,
};

static struct flow_key flows[FLOWS_MAX];
static uint16_t order[PACKETS];
static unsigned int run_count = RUNS;
static uint64_t state = 88172645463325252;

static uint32_t draw(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % below;
}

/* Rules */

static const char *net(unsigned int bits, bool ipv6)
{
	static char words[2][64];
	static unsigned int turn;
	char *word = words[turn++ % 2];
	uint32_t a = draw(UINT32_MAX) & (uint32_t)(UINT64_MAX << (32 - bits));

	if (ipv6) /* the bits of a site's nets, and of hosts in the last word */
		(void)snprintf(word, 64, "2001:db8:%x:%x::%s/%u", a >> 16,
			bits == 32 ? a & 0xffff : a & 0xff00, bits == 32 ? "1" : "",
			bits == 32 ? 128 : bits + 32);
	else
		(void)snprintf(word, 64, "%u.%u.%u.%u/%u", a >> 24, a >> 16 & 255, a >> 8 & 255,
			a & 255, bits);
	return word;
}

static unsigned int port(void)
{
	static const unsigned int known[] = {22, 25, 53, 80, 123, 443, 3306, 8080};

	return draw(4) > 0 ? known[draw(8)] : draw(65536);
}

static void rule_service(char *line, bool ipv6)
{
	(void)snprintf(line, RULE_BYTES, "keep tcp any any %s %u either way\n",
		net(24 + 8 * draw(2), ipv6), port());
}

static void rule_one_way(char *line, bool ipv6)
{
	(void)snprintf(
		line, RULE_BYTES, "keep tcp any any %s %u\n", net(24 + 8 * draw(2), ipv6), port());
}

static void rule_host(char *line, bool ipv6)
{
	(void)snprintf(line, RULE_BYTES, "keep any %s any any any either way\n", net(32, ipv6));
}

static void rule_flow(char *line, bool ipv6)
{
	const char *src = net(32, ipv6), *dst = net(32, ipv6);

	(void)snprintf(line, RULE_BYTES, "keep %s %s %u %s %u either way\n",
		draw(2) > 0 ? "tcp" : "udp", src, draw(65536), dst, port());
}

static void rule_mixed(char *line, bool ipv6)
{
	const char *src = net(16 + 8 * draw(3), ipv6), *dst = net(16 + 8 * draw(3), ipv6);
	unsigned int first = draw(65536), sides = draw(4);
	char ports[32] = "any";

	if (draw(3) > 0)
		(void)snprintf(ports, sizeof(ports), "%u", port());
	else if (draw(2) > 0)
		(void)snprintf(ports, sizeof(ports), "%u-65535", first);
	(void)snprintf(line, RULE_BYTES, "%s %s %s any %s %s%s\n", draw(2) > 0 ? "keep" : "drop",
		draw(2) > 0 ? "tcp" : "udp", sides == 0 ? "any" : src, sides == 1 ? "any" : dst,
		ports, draw(2) > 0 ? " either way" : "");
}

static struct rules *rules_draw(
	void (*draw_rule)(char *line, bool ipv6), unsigned int count, bool ipv6)
{
	char *text = malloc((size_t)count * RULE_BYTES + 1), *end = text;
	struct rules *rules;
	struct errbuf err;

	if (text == NULL)
		exit(EXIT_FAILURE);
	for (unsigned int i = 0; i < count; i++, end += strlen(end))
		draw_rule(end, ipv6);
	if (rules_parse_text(text, (size_t)(end - text), "drawn", &rules, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	free(text);
	return rules;
}

/* Packets */

static void side_draw(const struct rule_side *of, uint8_t address[16], uint16_t *ret_port)
{
	for (unsigned int i = 0; i < 16; i++) {
		uint8_t mask = i * 8 + 8 <= of->net.length ? 0 : 0xff;

		address[i] = (uint8_t)(of->net.address[i] | (draw(256) & mask));
	}
	*ret_port =
		htons((uint16_t)(of->ports.first + draw(1U + of->ports.last - of->ports.first)));
}

static void flows_draw(const struct rules *rules, bool ipv6, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		const struct rule *r = &rules->list[draw(rules->count)];
		struct flow_key *k = &flows[i];
		bool back = r->either_way && draw(2) > 0;

		side_draw(back ? &r->dst : &r->src, k->src, &k->sport);
		side_draw(back ? &r->src : &r->dst, k->dst, &k->dport);
		if (draw(2) > 0)
			k->src[draw(ipv6 ? 8 : 4)] ^= 0x55;
		if (!ipv6) {
			memset(&k->src[4], 0, 12);
			memset(&k->dst[4], 0, 12);
		}
		k->family = ipv6 ? FLOW_IPV6 : FLOW_IPV4;
		k->class = flow_class(r->protocol == 17 ? 17 : 6, PORTS_KNOWN);
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

static double round_ns(const struct rule_table *t, uint64_t *hits)
{
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];
	double start;

	/* Another order in each round: branch predictors learn thousands of packets by heart. */
	for (unsigned int i = 0; i < PACKETS; i++)
		order[i] = (uint16_t)draw(FLOWS);
	start = now_ns();
	for (unsigned int i = 0; i < PACKETS; i += FILTER_BURST) {
		for (unsigned int k = 0; k < FILTER_BURST; k++)
			keys[k] = flows[order[i + k]];
		rule_table_match(t, keys, FILTER_BURST, found);
		for (unsigned int k = 0; k < FILTER_BURST; k++)
			*hits += found[k] > 0;
	}
	return now_ns() - start;
}

static void match_measure(const struct rule_table *t)
{
	static double runs[RUNS_MAX];
	uint64_t hits = 0;

	for (unsigned int run = 0; run < run_count; run++) {
		runs[run] = 0;
		for (unsigned int round = 0; round < ROUNDS; round++)
			runs[run] += round_ns(t, &hits);
		runs[run] /= ROUNDS * PACKETS;
	}
	qsort(runs, run_count, sizeof(runs[0]), compare_doubles);
	(void)printf("%6.1f (%.1f..%.1f) ns/packet, %.0f %% match\n", runs[run_count / 2], runs[0],
		runs[run_count - 1], 100.0 * (double)hits / ((double)run_count * ROUNDS * PACKETS));
}

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats stats = {0};

	(void)rte_malloc_get_socket_stats(0, &stats);
	return stats.heap_allocsz_bytes;
}

static void measure(
	const char *name, void (*draw_rule)(char *line, bool ipv6), bool ipv6, unsigned int count)
{
	struct rules *rules = rules_draw(draw_rule, count, ipv6);
	size_t before = heap_bytes();
	double start = now_ns();
	struct rule_table *t;
	struct errbuf err;

	(void)printf("%-9s IPv%c %6u rules: ", name, ipv6 ? '6' : '4', count);
	(void)fflush(stdout);
	if (rule_table_new(rules, SOCKET_ID_ANY, &t, &err) < 0) {
		(void)printf("%s\n", err.text);
	} else {
		(void)printf("%6.2f s, %4zu MiB, %u parts, ", (now_ns() - start) / 1e9,
			(heap_bytes() - before) >> 20,
			rule_table_parts(t, ipv6 ? FLOW_IPV6 : FLOW_IPV4));
		flows_draw(rules, ipv6, FLOWS);
		match_measure(t);
		rule_table_free(t);
	}
	rules_free(rules);
}

/* With a cache and without */

/* Which flow each packet is of. */
static uint32_t drawn[DRAWN_PKTS];

static void uniform_draw(unsigned int flow_count)
{
	for (unsigned int i = 0; i < DRAWN_PKTS; i++)
		drawn[i] = draw(flow_count);
}

/* The n-th flow comes 1/n as often as the first: Zipf's law. */
static void zipf_draw(unsigned int flow_count)
{
	static double sums[FLOWS_MAX];
	double sum = 0;

	for (unsigned int i = 0; i < flow_count; i++)
		sums[i] = sum += 1.0 / (i + 1);
	for (unsigned int i = 0; i < DRAWN_PKTS; i++) {
		double wanted = sum * draw(UINT32_MAX) / UINT32_MAX;
		unsigned int low = 0, high = flow_count - 1;

		while (low < high) {
			unsigned int middle = (low + high) / 2;

			if (sums[middle] < wanted)
				low = middle + 1;
			else
				high = middle;
		}
		drawn[i] = low;
	}
}

/*
 * ns per packet of count packets from drawn[*at] on. c: NULL: without a cache. strangers: each of a
 * port of its own, so that hardly one flow comes twice.
 */
static double packets_ns(struct rule_cache *c, const struct rule_table *t, unsigned int *at,
	unsigned int count, bool strangers)
{
	struct flow_key keys[FILTER_BURST];
	uint32_t found[FILTER_BURST];
	uint64_t cycles = 0, start;

	for (unsigned int i = 0; i < count; i += FILTER_BURST) {
		for (unsigned int k = 0; k < FILTER_BURST; k++)
			keys[k] = flows[drawn[(*at)++ % DRAWN_PKTS]];
		for (unsigned int k = 0; k < FILTER_BURST && strangers; k++)
			keys[k].sport = (uint16_t)draw(65536);
		start = rte_rdtsc_precise();
		if (c != NULL)
			rule_cache_match(c, t, keys, FILTER_BURST, found);
		else
			rule_table_match(t, keys, FILTER_BURST, found);
		cycles += rte_rdtsc_precise() - start;
	}
	return (double)cycles * 1e9 / (double)rte_get_tsc_hz() / count;
}

static void print_quarters(double runs[])
{
	qsort(runs, run_count, sizeof(runs[0]), compare_doubles);
	(void)printf("\t%.1f\t%.1f\t%.1f", runs[run_count / 2], runs[run_count / 4],
		runs[run_count * 3 / 4]);
}

static void cache_measure(const struct rule_table *t, bool strangers)
{
	static double without[RUNS_MAX], with[RUNS_MAX];
	struct rule_cache *c;
	unsigned int at = 0;
	struct errbuf err;

	if (rule_cache_new(SOCKET_ID_ANY, &c, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	(void)packets_ns(c, t, &at, WARM_PKTS, strangers);
	for (unsigned int run = 0; run < run_count; run++) {
		without[run] = packets_ns(NULL, t, &at, RUN_PKTS, strangers);
		with[run] = packets_ns(c, t, &at, RUN_PKTS, strangers);
	}
	print_quarters(without);
	print_quarters(with);
	(void)printf("\n");
	(void)fflush(stdout);
	rule_cache_free(c);
}

static void cache_measure_rules(
	const char *name, void (*draw_rule)(char *line, bool ipv6), bool ipv6, unsigned int count)
{
	static const struct {
		const char *name;
		void (*draw)(unsigned int flow_count);
		unsigned int flows_from;
	} popularities[] = {{"uniform", uniform_draw, 1000}, {"zipf", zipf_draw, 1000},
		{"strangers", uniform_draw, FLOWS_MAX}};
	struct rules *rules = rules_draw(draw_rule, count, ipv6);
	struct rule_table *t;
	struct errbuf err;

	if (rule_table_new(rules, SOCKET_ID_ANY, &t, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	flows_draw(rules, ipv6, FLOWS_MAX);
	for (unsigned int flow_count = 1000; flow_count <= FLOWS_MAX; flow_count *= 10)
		for (size_t i = 0; i < 3 && popularities[i].flows_from <= flow_count; i++) {
			popularities[i].draw(flow_count);
			(void)printf("%s\tIPv%c\t%u\t%u\t%s", name, ipv6 ? '6' : '4', count,
				flow_count, popularities[i].name);
			cache_measure(t, i == 2);
		}
	rule_table_free(t);
	rules_free(rules);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*draw_rule)(char *line, bool ipv6);
	} tables[] = {{"services", rule_service}, {"one way", rule_one_way}, {"hosts", rule_host},
		{"flows", rule_flow}, {"mixed", rule_mixed}};
	char arg0[] = "bench_rules", no_huge[] = "--no-huge", no_shconf[] = "--no-shconf",
	     no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", m[] = "-m", mib[] = "2048",
	     quiet[] = "--log-level=error";
	char *eal[] = {arg0, no_huge, no_shconf, no_pci, no_telemetry, m, mib, quiet, NULL};
	bool cache = argc > 1 && strcmp(argv[1], "cache") == 0;
	const char *wanted;
	unsigned long only;

	argc -= cache;
	argv += cache;
	wanted = argc > 1 ? argv[1] : "";
	only = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	if (argc > 3)
		run_count = (unsigned int)strtoul(argv[3], NULL, 10);
	if (run_count == 0 || run_count > RUNS_MAX || rte_eal_init(8, eal) < 0)
		return EXIT_FAILURE;
	if (cache)
		(void)printf("table\tfamily\trules\tflows\tpopularity\ttable_ns\ttable_ns_25"
			     "\ttable_ns_75\tcache_ns\tcache_ns_25\tcache_ns_75\n");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strncmp(tables[i].name, wanted, strlen(wanted)) != 0)
			continue;
		for (unsigned int ipv6 = 0; ipv6 <= 1; ipv6++)
			for (unsigned int count = cache ? 1 : 10; count <= RULES_MAX; count *= 10)
				if (only == 0 || only == count)
					(cache ? cache_measure_rules : measure)(tables[i].name,
						tables[i].draw_rule, ipv6 > 0, count);
	}
	(void)rte_eal_cleanup();
	return EXIT_SUCCESS;
}
