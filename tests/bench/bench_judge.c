/*
 * What a filter costs on the rx lcore, all of it: ns per packet that filter_judge() takes. Not part of ctest;
 * filter_cost builds it, runs it and draws what it says.
 *   bench_judge [-n] GROUP ROUNDS RULES        -n: without huge pages
 * GROUP: expression, cutoff, rules, together. RULES: tables of rules up to so many, a power of ten.
 *
 * A trial is a filter and its packets: as a driver leaves them in the mbufs of a pool of 512, which come
 * round as in an rx queue. Before each burst of 64 its frames are written anew, so the first cache
 * has them when the clock begins; a NIC leaves them in the last one, and what it takes to fetch them is
 * in none of these figures, as whoever looks at a packet first pays for that. Which flow a packet is of is
 * drawn anew, too: branch predictors would learn an order by heart. What a flow looks like is made from its number:
 * a list of a million would take the caches and the address translation from the filter's own tables.
 *
 * Time is that of the calls alone, by the CPU's counter, less what it takes to read the counter twice. A
 * call that takes longer than STOPPED_NS was stopped by the kernel or the hypervisor and does not count;
 * how many there were is said. Trials take turns: one round of each, then the next of each. At the
 * beginning of its turn a trial judges as many packets untimed as bring back to the caches what is
 * its own. For each a line of JSON with the ns per packet of each round.
 */

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/dlt.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include "wirespool/filter.h"
#include "wirespool/rules.h"

enum {
	POOL = 512,
	ROOM_BYTES = 2240, /* as in a pool, an odd number of cache lines apart */
	FRAME_MIN = 60,
	FRAME_MAX = 128,
	RUN_PKTS = 1 << 18,    /* as long as it takes a rule cache to step aside and look again */
	WARM_MAX = 1 << 19,    /* lines of the last cache */
	SETTLE_PKTS = 1 << 23, /* until a rule cache knows its flows, or that it cannot */
	RANKS = 1 << 20,       /* drawn by Zipf's law, gone through again and again */
	STOPPED_NS = 200000,   /* 3 us a packet: no filter here takes that long */
	FLOWS_MAX = 1000000,
	FEW_FLOWS = 10000,
	DEAD_FLOWS = 1 << 21,
	TRIALS_MAX = 256,
	ROUNDS_MAX = 1001,
	RULE_BYTES = 100,
	NAME_BYTES = 80,
};

#define START_NS   UINT64_C(1800000000000000000)
#define AGO_NS     UINT64_C(3600000000000)
#define EXPRESSION "udp port 53 or net 10.1.0.0/16"

/* -- Frames -- */

enum kind {
	IPV4,
	TAGGED, /* 802.1Q */
	IPV6,
	LATER_FRAGMENT, /* IPv4, without ports */
	MPLS,           /* one label, IPv4 */
	VXLAN,          /* UDP over IPv4, and in it Ethernet and IPv4 */
	KINDS,
};

struct flow {
	uint8_t src[16]; /* of IPv4 the first four bytes */
	uint8_t dst[16];
	uint16_t sport; /* in network order */
	uint16_t dport;
	uint8_t protocol;
	uint8_t kind;
};

/* What flows have in common; the rest is made from their numbers. */
struct flows {
	enum kind kind;
	uint8_t protocol;
	unsigned int matching;       /* percent, of EXPRESSION */
	unsigned int later;          /* percent that come in later fragments only */
	const struct served *served; /* what rules name; NULL: no rules */
	uint32_t served_count;
};

/* A net and its port. */
struct served {
	uint8_t net[16];
	uint8_t bytes; /* of the net */
	uint16_t port;
};

struct room {
	struct rte_mbuf mbuf;
	uint8_t buf[ROOM_BYTES];
};

static struct room *rooms;

/* A frame without addresses, ports and protocol. */
static struct frame {
	uint8_t bytes[FRAME_MAX];
	uint16_t length;
	uint16_t ip_off;
	bool is_ipv6;
	bool has_ports;
} frames[KINDS];

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_ipv4(uint8_t *ip, size_t room, bool later_fragment)
{
	memcpy(ip, "\x45\0\0\0\0\1\0\0\x40\x11\0\0", 12);
	put16(ip + 2, room);
	put16(ip + 6, later_fragment ? 185 : 0);
	put16(ip + 24, room - 20); /* of UDP */
	ip[32] = 0x50;             /* of TCP: a header of 20 bytes */
}

static void put_ipv6(uint8_t *ip, size_t room)
{
	ip[0] = 0x60;
	put16(ip + 4, room - 40);
	put16(ip + 44, room - 40);
	ip[7] = 64;
	ip[52] = 0x50;
}

/* What stands before the IP header of a kind; its length is returned. */
static uint16_t put_front(uint8_t *p, enum kind kind)
{
	static const uint8_t outer[] = {192, 0, 2, 1, 192, 0, 2, 2, 0xc0, 0, 0x12, 0xb5};

	memcpy(p + 12, kind == IPV6 ? "\x86\xdd" : "\x08\0", 2);
	if (kind == TAGGED) {
		memcpy(p + 12, "\x81\0\0\x64\x08\0", 6);
		return 18;
	}
	if (kind == MPLS) {
		memcpy(p + 12, "\x88\x47\0\1\1\x40", 6);
		return 18;
	}
	if (kind != VXLAN)
		return 14;
	put_ipv4(p + 14, 104 - 14, false);
	memcpy(p + 26, outer, sizeof(outer));
	p[42] = 8; /* there is a network's number */
	memcpy(p + 62, "\x08\0", 2);
	return 64;
}

static void frames_make(void)
{
	for (enum kind kind = 0; kind < KINDS; kind++) {
		struct frame *f = &frames[kind];
		size_t headers = kind == IPV6 ? 60 : 40, length;

		f->ip_off = put_front(f->bytes, kind);
		length = f->ip_off + headers;
		f->length = (uint16_t)(length < FRAME_MIN ? FRAME_MIN : length);
		f->is_ipv6 = kind == IPV6;
		f->has_ports = kind != LATER_FRAGMENT;
		if (f->is_ipv6)
			put_ipv6(f->bytes + f->ip_off, f->length - f->ip_off);
		else
			put_ipv4(f->bytes + f->ip_off, f->length - f->ip_off,
				kind == LATER_FRAGMENT);
	}
}

static void frame_write(struct rte_mbuf *m, const struct flow *flow)
{
	const struct frame *f = &frames[flow->kind];
	uint8_t *p = (uint8_t *)m->buf_addr + RTE_PKTMBUF_HEADROOM, *ip = p + f->ip_off;
	size_t address = f->is_ipv6 ? 16 : 4, addresses = f->is_ipv6 ? 8 : 12;

	m->data_off = RTE_PKTMBUF_HEADROOM;
	m->nb_segs = 1;
	m->data_len = f->length;
	m->pkt_len = f->length;
	memcpy(p, f->bytes, FRAME_MAX);
	ip[f->is_ipv6 ? 6 : 9] = flow->protocol;
	memcpy(ip + addresses, flow->src, address);
	memcpy(ip + addresses + address, flow->dst, address);
	if (!f->has_ports)
		return;
	memcpy(ip + addresses + 2 * address, &flow->sport, 2);
	memcpy(ip + addresses + 2 * address + 2, &flow->dport, 2);
}

/* -- Flows -- */

/* SplitMix64 (Steele, Lea and Flood, 2014): as good from any state on. */
static uint32_t draw_from(uint64_t *state, uint32_t below)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	z ^= z >> 31;
	return (uint32_t)((z >> 32) * below >> 32);
}

static uint32_t draw(uint32_t below)
{
	static uint64_t state;

	return draw_from(&state, below);
}

static void *allocate(size_t count, size_t bytes)
{
	void *p = calloc(count, bytes);

	if (p == NULL)
		exit(EXIT_FAILURE);
	return p;
}

static void address_draw(uint64_t *state, uint8_t address[16])
{
	for (unsigned int i = 0; i < 16; i += 4) {
		uint32_t word = draw_from(state, UINT32_MAX);

		memcpy(address + i, &word, sizeof(word));
	}
}

/*
 * A flow of no rule: matching percent of them are what EXPRESSION keeps, by its last test. The others are
 * from 11/8 to 192/8; of IPv6 they are of port 53, or not.
 */
static void flow_make_free(const struct flows *all, uint64_t *state, struct flow *f)
{
	bool matches = draw_from(state, 100) < all->matching, ipv6 = all->kind == IPV6;

	f->src[0] = matches && !ipv6 ? 10 : 11;
	f->src[1] = matches ? 1 : f->src[1];
	f->dst[0] = 192;
	f->dport = htons(matches && ipv6 ? 53 : 443);
	if (draw_from(state, 100) < all->later)
		f->kind = LATER_FRAGMENT;
}

/* To what a rule names or from there; half of them are of no rule by one address. */
static void flow_make_ruled(const struct flows *all, uint64_t *state, struct flow *f)
{
	const struct served *s = &all->served[draw_from(state, all->served_count)];
	bool back = draw_from(state, 2) > 0;
	uint8_t *served = back ? f->src : f->dst;

	memcpy(served, s->net, s->bytes);
	served[draw_from(state, all->kind == IPV6 ? 7 : 3)] ^= draw_from(state, 2) > 0 ? 0x55 : 0;
	f->dport = back ? f->sport : htons(s->port);
	f->sport = back ? htons(s->port) : f->sport;
}

/* Always the same of a number. */
static void flow_make(const struct flows *all, uint32_t number, struct flow *f)
{
	uint64_t state = (uint64_t)number << 32;

	address_draw(&state, f->src);
	address_draw(&state, f->dst);
	f->sport = htons((uint16_t)(1024 + draw_from(&state, 64512)));
	f->protocol = all->protocol;
	f->kind = (uint8_t)all->kind;
	if (all->served != NULL)
		flow_make_ruled(all, &state, f);
	else
		flow_make_free(all, &state, f);
}

/* The n-th flow comes 1/n as often as the first. Returns which flow each packet is of. */
static uint32_t *zipf_draw(uint32_t flow_count)
{
	uint32_t *ranks = allocate(RANKS, sizeof(*ranks));
	double *sums = allocate(flow_count, sizeof(*sums)), sum = 0;

	for (uint32_t i = 0; i < flow_count; i++)
		sums[i] = sum += 1.0 / (i + 1);
	for (uint32_t i = 0; i < RANKS; i++) {
		double wanted = sum * draw(UINT32_MAX) / UINT32_MAX;
		uint32_t low = 0, high = flow_count - 1;

		while (low < high) {
			uint32_t middle = (low + high) / 2;

			if (sums[middle] < wanted)
				low = middle + 1;
			else
				high = middle;
		}
		ranks[i] = low;
	}
	free(sums);
	return ranks;
}

/* -- Rules: tcp to a net's port, either way, as what a site serves -- */

static void rule_draw(char *line, bool ipv6)
{
	static const unsigned int known[] = {22, 25, 53, 80, 123, 443, 3306, 8080};
	unsigned int port = draw(4) > 0 ? known[draw(8)] : draw(65536);
	bool host = draw(2) > 0;
	uint32_t a = draw(UINT32_MAX) & (host ? UINT32_MAX : 0xffffff00);
	char net[64];

	if (ipv6)
		(void)snprintf(net, sizeof(net), "2001:db8:%x:%x::%s", a >> 16, a & 0xffff,
			host ? "1/128" : "/56");
	else
		(void)snprintf(net, sizeof(net), "%u.%u.%u.%u/%u", a >> 24, a >> 16 & 255,
			a >> 8 & 255, a & 255, host ? 32 : 24);
	(void)snprintf(line, RULE_BYTES, "keep tcp any any %s %u either way\n", net, port);
}

static struct rules *rules_draw(uint32_t count, bool ipv6)
{
	char *text = allocate(count, RULE_BYTES), *end = text;
	struct rules *rules;
	struct errbuf err;

	for (uint32_t i = 0; i < count; i++, end += strlen(end))
		rule_draw(end, ipv6);
	if (rules_parse_text(text, (size_t)(end - text), "drawn", &rules, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		exit(EXIT_FAILURE);
	}
	free(text);
	return rules;
}

static struct flows flows_of_rules(const struct rules *rules, bool ipv6)
{
	struct served *served = allocate(rules->count, sizeof(*served));

	for (uint32_t i = 0; i < rules->count; i++) {
		const struct rule_side *dst = &rules->list[i].dst;

		served[i].bytes = dst->net.length / 8;
		served[i].port = dst->ports.first;
		memcpy(served[i].net, dst->net.address, sizeof(served[i].net));
	}
	return (struct flows){.kind = ipv6 ? IPV6 : IPV4,
		.protocol = 6,
		.served = served,
		.served_count = rules->count};
}

/* -- Trials -- */

struct trial {
	char name[NAME_BYTES];
	const char *group, *popularity;
	uint32_t rule_count, flow_count;
	struct flows flows;
	const uint32_t *ranks; /* NULL: each flow as often as any other */
	uint32_t rank;
	bool ipv6;
	struct filter *filter; /* NULL: none, as for a recording without one */
	struct filter_tables *tables;
	double rounds_ns[ROUNDS_MAX];
	uint64_t kept_pkts, judged_pkts, stopped_bursts;
};

static struct trial *trials[TRIALS_MAX];
static unsigned int trial_count;
static uint64_t times_ns[FILTER_BURST];

static void times_set(uint64_t time_ns)
{
	for (unsigned int i = 0; i < FILTER_BURST; i++)
		times_ns[i] = time_ns;
}

/* The next burst of the pool, of these flows. */
static void burst_write(
	struct rte_mbuf *pkts[], const struct flows *flows, const uint32_t numbers[])
{
	static unsigned int turn;

	for (unsigned int i = 0; i < FILTER_BURST; i++) {
		struct flow flow;

		flow_make(flows, numbers[i], &flow);
		pkts[i] = &rooms[turn++ % POOL].mbuf;
		frame_write(pkts[i], &flow);
	}
}

static void numbers_draw(struct trial *t, uint32_t numbers[])
{
	for (unsigned int i = 0; i < FILTER_BURST; i++)
		numbers[i] = t->ranks != NULL ? t->ranks[t->rank++ % RANKS] : draw(t->flow_count);
}

/* As rx.c calls it. */
static __rte_noinline void judge(
	const struct trial *t, struct rte_mbuf *const pkts[], struct verdict *ret)
{
	const struct filter_burst b = {.pkts = pkts, .time_ns = times_ns, .count = FILTER_BURST};

	if (t->filter != NULL) {
		filter_judge(t->filter, t->tables, &b, UINT64_MAX, ret);
	} else {
		ret->kept = UINT64_MAX;
		ret->cutoff = ret->recut = 0;
	}
}

/*
 * As in a recorder that has been there for some time, there are flows in the tables that do not come again: two
 * thirds of the rule cache's places. A cache that finds none of them would step aside, so each comes twice.
 */
static void trial_age(struct trial *t)
{
	struct verdict v = {.reasons = NULL};
	struct rte_mbuf *pkts[FILTER_BURST];
	uint32_t numbers[FILTER_BURST];

	times_set(START_NS - AGO_NS);
	for (uint32_t first = 0; first < DEAD_FLOWS; first += FILTER_BURST) {
		for (uint32_t i = 0; i < FILTER_BURST; i++)
			numbers[i] = FLOWS_MAX + first + i;
		burst_write(pkts, &t->flows, numbers);
		judge(t, pkts, &v);
		judge(t, pkts, &v);
	}
	times_set(START_NS);
}

/* Each flow has been seen, so that all are live. */
static void trial_fill(struct trial *t)
{
	struct verdict v = {.reasons = NULL};
	struct rte_mbuf *pkts[FILTER_BURST];
	uint32_t numbers[FILTER_BURST];

	for (uint32_t first = 0; first < t->flow_count; first += FILTER_BURST) {
		for (uint32_t i = 0; i < FILTER_BURST; i++)
			numbers[i] = (first + i) % t->flow_count;
		burst_write(pkts, &t->flows, numbers);
		judge(t, pkts, &v);
	}
}

/* Cycles of so many packets, those of stopped bursts left out. */
static uint64_t run_cycles(struct trial *t, uint32_t count, uint64_t *ret_pkts)
{
	uint64_t stopped = STOPPED_NS * (rte_get_tsc_hz() / 1000000) / 1000, cycles = 0;
	struct verdict v = {.reasons = NULL};
	struct rte_mbuf *pkts[FILTER_BURST];
	uint32_t numbers[FILTER_BURST];

	*ret_pkts = 0;
	for (uint32_t i = 0; i < count; i += FILTER_BURST) {
		uint64_t start, took;

		numbers_draw(t, numbers);
		burst_write(pkts, &t->flows, numbers);
		start = rte_rdtsc_precise();
		judge(t, pkts, &v);
		took = rte_rdtsc_precise() - start;
		t->kept_pkts += (uint64_t)__builtin_popcountll(v.kept);
		t->judged_pkts += FILTER_BURST;
		t->stopped_bursts += took > stopped;
		cycles += took > stopped ? 0 : took;
		*ret_pkts += took > stopped ? 0 : FILTER_BURST;
	}
	return cycles;
}

/* What it takes to read the counter twice with nothing between. */
static double empty_cycles(void)
{
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < RUN_PKTS / FILTER_BURST; i++) {
		uint64_t start = rte_rdtsc_precise(), took = rte_rdtsc_precise() - start;

		least = RTE_MIN(least, took);
	}
	return (double)least;
}

static void trial_run(struct trial *t, unsigned int round)
{
	double empty = empty_cycles() / FILTER_BURST;
	uint64_t cycles, pkts;

	(void)run_cycles(t, RTE_MIN(2 * t->flow_count, (uint32_t)WARM_MAX), &pkts);
	cycles = run_cycles(t, RUN_PKTS, &pkts);
	t->rounds_ns[round] = ((double)cycles / (double)RTE_MAX(pkts, 1U) - empty) * 1e9 /
			      (double)rte_get_tsc_hz();
}

static void trial_print(const struct trial *t, unsigned int rounds)
{
	(void)printf("{\"group\":\"%s\",\"name\":\"%s\",\"ip\":%d,\"rules\":%u,\"flows\":%u,"
		     "\"popularity\":\"%s\",\"kept_percent\":%.1f,\"stopped_percent\":%.3f,"
		     "\"rounds_ns\":[",
		t->group, t->name, t->ipv6 ? 6 : 4, t->rule_count, t->flow_count, t->popularity,
		100.0 * (double)t->kept_pkts / (double)t->judged_pkts,
		100.0 * (double)t->stopped_bursts * FILTER_BURST / (double)t->judged_pkts);
	for (unsigned int round = 0; round < rounds; round++)
		(void)printf("%s%.3f", round > 0 ? "," : "", t->rounds_ns[round]);
	(void)printf("]}\n");
}

static void give_up(const struct errbuf *err)
{
	(void)fprintf(stderr, "%s\n", err->text);
	exit(EXIT_FAILURE);
}

static struct filter *filter_of(const struct filter_options *options)
{
	struct filter *f;
	struct errbuf err;

	if (filter_new(options, DLT_EN10MB, SOCKET_ID_ANY, &f, &err) < 0)
		give_up(&err);
	return f;
}

/* A copy of what is set in t, with tables of its own. options: its filter's; NULL: it has none. */
static void trial_add(const struct trial *t, const char *name, const struct filter_options *options)
{
	struct trial *added = allocate(1, sizeof(*added));
	struct errbuf err;
	uint64_t pkts;

	if (trial_count == TRIALS_MAX)
		exit(EXIT_FAILURE);
	*added = *t;
	(void)snprintf(added->name, sizeof(added->name), "%s", name);
	added->popularity = t->ranks != NULL ? "zipf" : "uniform";
	if (options != NULL &&
		filter_tables_new(options, 1, SOCKET_ID_ANY, NULL, &added->tables, &err) < 0)
		give_up(&err);
	trial_age(added);
	trial_fill(added);
	(void)run_cycles(added, SETTLE_PKTS, &pkts);
	added->kept_pkts = added->judged_pkts = added->stopped_bursts = 0;
	trials[trial_count++] = added;
}

/* -- Groups -- */

static void expression_add(
	const char *name, struct flows flows, const struct filter_options *options)
{
	const struct trial t = {.group = "expression",
		.flow_count = FEW_FLOWS,
		.flows = flows,
		.ipv6 = flows.kind == IPV6,
		.filter = options != NULL ? filter_of(options) : NULL};

	trial_add(&t, name, options);
}

static const char *hosts_text(void)
{
	static char text[2000];
	size_t at = 0;

	for (unsigned int i = 0; i < 50; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%shost 192.0.2.%u",
			i == 0 ? "" : " or ", i + 1);
	return text;
}

static void add_expressions(void)
{
	const struct filter_options plain = {.expression = EXPRESSION};
	const struct filter_options literal = {.expression = EXPRESSION,
		.vlan = FILTER_VLAN_STRICT,
		.fragments = FILTER_FRAGMENTS_LITERAL};
	const struct filter_options follow = {
		.expression = EXPRESSION, .fragments = FILTER_FRAGMENTS_FOLLOW};
	const struct filter_options inner = {.expression = EXPRESSION, .inner = FILTER_INNER_VXLAN};
	const struct filter_options tcp = {.expression = "tcp"};
	const struct filter_options hosts = {.expression = hosts_text()};
	const struct flows none = {.kind = IPV4, .protocol = 17};
	const struct flows half = {.kind = IPV4, .protocol = 17, .matching = 50};
	const struct flows all = {.kind = IPV4, .protocol = 17, .matching = 100};
	struct flows fragments = half, kind = half;

	expression_add("no filter", half, NULL);
	expression_add("none match", none, &plain);
	expression_add("all match", all, &plain);
	expression_add("half match", half, &plain);
	expression_add("none match, literal", none, &literal);
	expression_add("all match, literal", all, &literal);
	expression_add("half match, literal", half, &literal);
	kind.kind = TAGGED;
	expression_add("half match, tagged", kind, &plain);
	kind.kind = IPV6;
	expression_add("half match, IPv6", kind, &plain);
	fragments.later = 10;
	expression_add("half match, 10 % later fragments", fragments, &plain);
	expression_add("half match, 10 % later fragments, follow", fragments, &follow);
	kind.kind = MPLS;
	expression_add("half match, all MPLS", kind, &plain);
	kind.kind = VXLAN;
	expression_add("half match, inside of VXLAN", kind, &inner);
	expression_add("tcp, none match", none, &tcp);
	expression_add("50 hosts, none match", none, &hosts);
}

static const uint32_t LIVE[] = {1000, 10000, 100000, FLOWS_MAX};

static void add_cutoff(const char *name, uint64_t bytes, enum filter_after after)
{
	for (size_t i = 0; i < RTE_DIM(LIVE); i++) {
		const struct filter_options o = {
			.cutoff_bytes = bytes, .after = after, .cutoff_flows = LIVE[i]};
		const struct trial t = {.group = "cutoff",
			.flow_count = LIVE[i],
			.flows = {.kind = IPV4, .protocol = 6, .matching = 50},
			.filter = filter_of(&o)};

		trial_add(&t, name, &o);
	}
}

static void add_cutoffs(void)
{
	add_cutoff("within", UINT32_MAX, FILTER_AFTER_DROP);
	add_cutoff("beyond, dropped", 1, FILTER_AFTER_DROP);
	add_cutoff("beyond, headers", 1, FILTER_AFTER_HEADERS);
}

static void add_rules_of(uint32_t count, bool ipv6, uint32_t *const ranks[])
{
	struct rules *rules = rules_draw(count, ipv6);
	const struct filter_options o = {.rules = rules};
	struct trial t = {.group = "rules",
		.rule_count = count,
		.flows = flows_of_rules(rules, ipv6),
		.ipv6 = ipv6,
		.filter = filter_of(&o)};

	for (size_t i = 0; i < RTE_DIM(LIVE); i++) {
		t.flow_count = LIVE[i];
		t.ranks = NULL;
		trial_add(&t, "rules", &o);
		t.ranks = ranks[i];
		trial_add(&t, "rules", &o);
	}
	rules_free(rules);
}

static void add_rules(uint32_t rules_max)
{
	uint32_t *ranks[RTE_DIM(LIVE)];

	for (size_t i = 0; i < RTE_DIM(LIVE); i++)
		ranks[i] = zipf_draw(LIVE[i]);
	for (uint32_t count = 1; count <= rules_max; count *= 10)
		for (unsigned int ipv6 = 0; ipv6 <= 1; ipv6++)
			add_rules_of(count, ipv6 > 0, ranks);
}

/* The expression keeps nearly all and the rules keep half. */
static void add_together(void)
{
	struct rules *rules = rules_draw(10000, false);
	struct filter_options o = {.expression = "not (" EXPRESSION ")",
		.rules = rules,
		.cutoff_bytes = UINT32_MAX,
		.cutoff_flows = FLOWS_MAX};
	struct trial t = {.group = "together",
		.rule_count = 10000,
		.flows = flows_of_rules(rules, false),
		.filter = filter_of(&o)};

	for (size_t i = 0; i < RTE_DIM(LIVE); i++) {
		t.flow_count = o.cutoff_flows = LIVE[i];
		trial_add(&t, "expression, rules, cutoff", &o);
	}
	rules_free(rules);
}

static bool add_group(const char *group, uint32_t rules_max)
{
	if (strcmp(group, "expression") == 0)
		add_expressions();
	else if (strcmp(group, "cutoff") == 0)
		add_cutoffs();
	else if (strcmp(group, "rules") == 0)
		add_rules(rules_max);
	else if (strcmp(group, "together") == 0)
		add_together();
	else
		return false;
	return true;
}

static void pool_make(void)
{
	rooms = rte_zmalloc("rooms", POOL * sizeof(*rooms), RTE_CACHE_LINE_SIZE);
	if (rooms == NULL)
		exit(EXIT_FAILURE);
	for (unsigned int i = 0; i < POOL; i++)
		rooms[i].mbuf.buf_addr = rooms[i].buf;
}

/* What it took stays the kernel's to free. */
int main(int argc, char **argv)
{
	bool huge = argc < 2 || strcmp(argv[1], "-n") != 0;
	char arg0[] = "bench_judge", in_memory[] = "--in-memory", no_huge[] = "--no-huge",
	     no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", log[] = "--log-level=4",
	     m[] = "-m", mib[] = "5120";
	char *args[] = {arg0, huge ? in_memory : no_huge, no_pci, no_telemetry, log, m, mib, NULL};
	unsigned long rounds, rules_max;

	argc -= !huge;
	argv += !huge;
	rounds = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	rules_max = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	if (rounds == 0 || rounds > ROUNDS_MAX || rules_max > RULES_MAX ||
		rte_eal_init(huge ? 5 : 7, args) < 0)
		return EXIT_FAILURE;
	times_set(START_NS);
	frames_make();
	pool_make();
	if (!add_group(argv[1], (uint32_t)rules_max))
		return EXIT_FAILURE;
	for (unsigned int round = 0; round < rounds; round++)
		for (unsigned int i = 0; i < trial_count; i++)
			trial_run(trials[i], round);
	for (unsigned int i = 0; i < trial_count; i++)
		trial_print(trials[i], (unsigned int)rounds);
	return EXIT_SUCCESS;
}
