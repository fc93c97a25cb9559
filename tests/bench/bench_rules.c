/*
 * What a rule table costs: ns per packet on the rx lcore, seconds to build, and memory. Not part of
 * ctest. Run it alone and pinned:
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
 */

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_eal.h>
#include <rte_malloc.h>

#include "filter/flow_key.h"
#include "filter/rule_table.h"
#include "wirespool/rules.h"

enum { FLOWS = 1024, PACKETS = 4096, ROUNDS = 16, RUNS = 21, RUNS_MAX = 10001, RULE_BYTES = 200 };

static struct flow_key flows[FLOWS];
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

static void flows_draw(const struct rules *rules, bool ipv6)
{
	for (unsigned int i = 0; i < FLOWS; i++) {
		const struct rule *r = &rules->list[draw(rules->count)];
		struct flow_key *k = &flows[i];
		bool back = r->either_way && draw(2) > 0;

		side_draw(back ? &r->dst : &r->src, k->src, &k->sport);
		side_draw(back ? &r->src : &r->dst, k->dst, &k->dport);
		if (draw(2) > 0)
			k->src[draw(ipv6 ? 8 : 4)] ^= 0x55;
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
		flows_draw(rules, ipv6);
		match_measure(t);
		rule_table_free(t);
	}
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
	const char *wanted = argc > 1 ? argv[1] : "";
	unsigned long only = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

	if (argc > 3)
		run_count = (unsigned int)strtoul(argv[3], NULL, 10);
	if (run_count == 0 || run_count > RUNS_MAX || rte_eal_init(8, eal) < 0)
		return EXIT_FAILURE;
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (strncmp(tables[i].name, wanted, strlen(wanted)) != 0)
			continue;
		for (unsigned int ipv6 = 0; ipv6 <= 1; ipv6++)
			for (unsigned int count = 10; count <= RULES_MAX; count *= 10)
				if (only == 0 || only == count)
					measure(tables[i].name, tables[i].draw_rule, ipv6 > 0,
						count);
	}
	(void)rte_eal_cleanup();
	return EXIT_SUCCESS;
}
