/* That filter_judge() judges a burst of all kinds of packets as it would each of them alone. */
/* rooms: filter common dpdk PkgConfig::libpcap */
#include "judge_check.h"
#include "random_numbers.h"

#define HOUR_NS (UINT64_C(3600) * 1000000000)

static const char rules_text[] = "drop tcp 10.0.0.66 any any any\n"
				 "keep tcp any any 192.0.2.0/24 22 either way\n"
				 "cut=70 udp any any any 53\n"
				 "keep any 2001:db8::/32 any any any\n"
				 "drop icmp any any any any\n"
				 "cut=64 any 10.0.0.0/8 any any any\n";

static const char *const kinds[] = {
	"eth ip tcp:1>22 +60",
	"eth ip tcp:1>443 +400",
	"eth ip:192.0.2.1>10.0.0.1 tcp:443>1 +400",
	"eth ip:10.9.9.9>192.0.2.1 udp:5>53 +80",
	"eth ip6 tcp:1>22 +60",
	"eth ip6 udp:5>1500 +60",
	"eth ip icmp +60",
	"eth arp",
	"eth +46",
	"eth ip tcp:1>22",
	"eth q ip tcp:1>22 +60",
	"eth q arp",
	"eth ad q ip6 udp:5>53 +60",
	"eth q q q ip tcp:1>22 +60",
	"eth mpls ip tcp:1>22 +60",
	"eth q mpls mpls mpls ip6 tcp:1>443 +60",
	"eth pppoe ip udp:5>53 +60",
	"eth q pppoe ip6 tcp:1>22",
	"eth ip option tcp:1>22 +60",
	"eth ip6 hop dest tcp:1>22 +60",
	"eth q ip6 routing udp:5>53 +60",
	"eth ip first:1 tcp:1>22 +60",
	"eth ip first:1 tcp:1>80 +60",
	"eth ip later:1,6 +60",
	"eth q ip6 first:2 udp:5>53 +60",
	"eth ip6 first:2 udp:5>80 +60",
	"eth ip6 later:2,17 +60",
	"eth mpls ip later:1,6 +60",
	"eth ip last:3,17 +60",
	"eth ip last:1,6 +60",
	"eth ip udp:5>4789 vxlan eth ip tcp:1>22 +60",
	"eth ip udp:5>4789 vxlan eth q ip6 first:4 tcp:1>443 +60",
	"eth ip udp:5>4789 vxlan eth q ip6 later:4,6 +60",
	"eth ip first:5 udp:5>4789 vxlan eth ip tcp:1>22 +60",
	"eth ip first:5 udp:5>4789 vxlan eth ip tcp:1>80 +60",
	"eth ip later:5,17 +60",
	"eth q ip gre ip6 hop tcp:1>22 +60",
	"eth ip6 ip gre:key eth ip udp:5>53 +60",
	"eth ip udp:2152>2152 gtp-u:sequence ip tcp:1>443 +60",
	"eth ip6 udp:5>6081 geneve:option eth ip6 tcp:1>22 +60",
};

static const struct {
	struct filter_options options;
	const char *rules;
} mixes[] = {
	{{.expression = "tcp port 22"}, NULL},
	{{.expression = "not port 22", .inner = ALL_TUNNELS}, NULL},
	{{.expression = "net 10.0.0.0/24 or udp portrange 1000-2000",
		 .fragments = FILTER_FRAGMENTS_LITERAL},
		NULL},
	{{.expression = "vlan and port 22"}, NULL},
	{{.expression = "tcp port 22", .vlan = FILTER_VLAN_STRICT}, NULL},
	{{.inner = ALL_TUNNELS}, rules_text},
	{{.expression = "tcp or arp", .inner = FILTER_INNER_VXLAN | FILTER_INNER_IPIP},
		"cut=headers tcp any any any 22\nkeep any any any any any\n"},
	{{.expression = "port 22 or port 53",
		 .fragments = FILTER_FRAGMENTS_FOLLOW,
		 .inner = ALL_TUNNELS},
		NULL},
	{{.fragments = FILTER_FRAGMENTS_FOLLOW}, rules_text},
	{{.cutoff_bytes = 2000, .cutoff_flows = 1000}, NULL},
	{{.cutoff_bytes = 2000,
		 .cutoff_flows = 1000,
		 .after = FILTER_AFTER_DROP,
		 .inner = ALL_TUNNELS},
		rules_text},
	{{.expression = "not port 80",
		 .fragments = FILTER_FRAGMENTS_FOLLOW,
		 .inner = FILTER_INNER_VXLAN,
		 .cutoff_bytes = 3000,
		 .cutoff_flows = 1000},
		"drop icmp any any any any\ncut=60 tcp any any any 22\nkeep any any any any any\n"},
};

struct drawn {
	struct packet packets[FILTER_BURST];
	enum place places[FILTER_BURST];
	unsigned int count;
	uint64_t wanted;
};

/* Some are cut short, where that may be in the midst of a header. */
static void burst_draw(struct drawn *d)
{
	d->count = 1 + random_below(FILTER_BURST);
	d->wanted = 0;
	for (unsigned int i = 0; i < d->count; i++) {
		packet_build(&d->packets[i], kinds[random_below(RTE_DIM(kinds))]);
		if (random_below(8) == 0)
			d->packets[i].len = 14 + random_below(d->packets[i].len - 13);
		d->places[i] = (enum place)random_below(PLACES);
		d->wanted |= (uint64_t)(random_below(8) != 0) << i;
	}
}

static void judge_together(const struct drawn *d, uint64_t time_ns, struct judged ret[])
{
	struct rte_mbuf *pkts[FILTER_BURST];

	for (unsigned int i = 0; i < d->count; i++)
		pkts[i] = packet_put(i, &d->packets[i], d->places[i]);
	judge_burst(pkts, d->count, 0, time_ns, d->wanted, ret);
}

static void judge_one_by_one(const struct drawn *d, uint64_t time_ns, struct judged ret[])
{
	for (unsigned int i = 0; i < d->count; i++) {
		struct rte_mbuf *m = packet_put(i, &d->packets[i], d->places[i]);

		judge_burst(&m, 1, 0, time_ns, d->wanted >> i & 1, &ret[i]);
	}
}

static void judge_without_reasons(const struct drawn *d, uint64_t time_ns, struct judged ret[])
{
	reasons_unwanted = true;
	judge_together(d, time_ns, ret);
	reasons_unwanted = false;
}

static void tables_swap(struct filter_tables **other)
{
	struct filter_tables *t = tables;

	tables = *other;
	*other = t;
}

static void check_equal(const struct drawn *d, const struct judged together[],
	const struct judged alone[], struct judged unexplained[], unsigned int burst)
{
	for (unsigned int i = 0; i < d->count; i++) {
		if ((d->wanted >> i & 1) == 0)
			continue;
		judged_assert_equal(&together[i], &alone[i], "burst", burst);
		unexplained[i].reason = together[i].reason;
		judged_assert_equal(&together[i], &unexplained[i], "without reasons, burst", burst);
	}
}

/* With tables of their own, which come to the same. */
START_TEST(packet_in_a_burst_is_judged_as_it_is_alone)
{
	struct filter_options o = mixes[_i].options;
	struct judged together[FILTER_BURST], alone[FILTER_BURST], unexplained[FILTER_BURST];
	struct filter_counts counts[2];
	struct filter_tables *other, *third;
	static struct drawn d;
	struct rules *rules = rules_open(mixes[_i].rules);
	struct errbuf err;

	filter_open(&o, mixes[_i].rules);
	o.rules = rules;
	ck_assert_int_eq(filter_tables_new(&o, 1, SOCKET_ID_ANY, NULL, &other, &err), 0);
	ck_assert_int_eq(filter_tables_new(&o, 1, SOCKET_ID_ANY, NULL, &third, &err), 0);
	random_state = 88172645463325252;
	for (unsigned int burst = 0; burst < 150; burst++) {
		/* All that was remembered is forgotten now and then. */
		uint64_t time_ns = TEST_NS + burst / 10 * HOUR_NS + burst;

		burst_draw(&d);
		judge_together(&d, time_ns, together);
		tables_swap(&other);
		judge_one_by_one(&d, time_ns, alone);
		tables_swap(&other);
		tables_swap(&third);
		judge_without_reasons(&d, time_ns, unexplained);
		tables_swap(&third);
		check_equal(&d, together, alone, unexplained, burst);
	}
	if (tables != NULL) {
		filter_tables_count(tables, &counts[0]);
		filter_tables_count(other, &counts[1]);
		ck_assert_mem_eq(&counts[0], &counts[1], sizeof(counts[0]));
	}
	filter_tables_free(third);
	filter_tables_free(other);
	rules_free(rules);
	filter_close();
}
END_TEST

static Suite *judge_burst_suite(void)
{
	Suite *s = suite_create("judge_burst");
	TCase *t = tcase_create("judge_burst");

	tcase_set_timeout(t, 200);
	tcase_add_loop_test(t, packet_in_a_burst_is_judged_as_it_is_alone, 0, RTE_DIM(mixes));
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return judge_main(judge_burst_suite());
}
