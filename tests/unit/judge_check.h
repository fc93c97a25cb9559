#pragma once
/*
 * What the tests of filter_judge() share: packets laid where a read too far is a crash, judged there, and
 * libpcap asked about them.
 */

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <pcap/pcap.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "judge_packets.h"
#include "suite_main.h"
#include "tests/eal_start.h"
#include "wirespool/filter.h"
#include "wirespool/rules.h"

enum { PAGE = 4096, PIECES = 3, EXPRESSION_MAX = 4096 };

#define TEST_NS UINT64_C(1800000000000000000)

enum {
	ALL_TUNNELS = FILTER_INNER_IPIP | FILTER_INNER_GRE | FILTER_INNER_VXLAN |
		      FILTER_INNER_GENEVE | FILTER_INNER_GTP_U
};

/* -- Where packets lie: between pages that no one may touch -- */

enum place {
	PLACE_END,   /* at the end of its room, its mbuf somewhere else */
	PLACE_START, /* at the very start of its room */
	PLACE_HOME,  /* where drivers put it, with what looks like more of it behind */
	PLACE_HOME_END,
	PLACE_SHIFTED,
	PLACE_PIECES, /* three segments */
	PLACES,
};

static uint8_t *judge_rooms;

static inline uint8_t *room_of(unsigned int index)
{
	return judge_rooms + PAGE * (2 * (size_t)index + 1);
}

static inline bool rooms_open(void)
{
	unsigned int count = FILTER_BURST * PIECES;

	judge_rooms = mmap(NULL, PAGE * (2 * (size_t)count + 1), PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; judge_rooms != MAP_FAILED && i < count; i++)
		if (mprotect(room_of(i), PAGE, PROT_READ | PROT_WRITE) != 0)
			return false;
	return judge_rooms != MAP_FAILED;
}

static inline struct rte_mbuf *piece_put(
	unsigned int index, bool at_end, const uint8_t *data, uint32_t len)
{
	static struct rte_mbuf mbufs[FILTER_BURST * PIECES];
	struct rte_mbuf *m = &mbufs[index];

	memset(m, 0, sizeof(*m));
	memset(room_of(index), 0xff, PAGE);
	m->buf_addr = room_of(index);
	m->buf_len = PAGE;
	m->data_off = at_end ? (uint16_t)(PAGE - len) : 0;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	m->nb_segs = 1;
	m->refcnt = 1;
	memcpy((uint8_t *)m->buf_addr + m->data_off, data, len);
	return m;
}

static inline struct rte_mbuf *pieces_put(unsigned int slot, const struct packet *p)
{
	uint32_t one = p->len / 3, two = p->len / 2;
	struct rte_mbuf *m = piece_put(slot * PIECES, true, p->data, one);

	m->next = piece_put(slot * PIECES + 1, true, p->data + one, two - one);
	m->next->next = piece_put(slot * PIECES + 2, true, p->data + two, p->len - two);
	m->nb_segs = 3;
	m->pkt_len = p->len;
	return m;
}

static inline struct rte_mbuf *home_put(unsigned int slot, const struct packet *p, enum place place)
{
	uint32_t at = sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM;
	uint32_t start = place == PLACE_HOME_END
				 ? RTE_ALIGN_FLOOR(PAGE - at - p->len, RTE_CACHE_LINE_SIZE)
				 : 0;
	uint8_t *room = room_of(slot * PIECES);
	struct rte_mbuf *m = (struct rte_mbuf *)(room + start);

	memset(room, 0xff, PAGE);
	memset(m, 0, sizeof(*m));
	m->buf_addr = m + 1;
	m->buf_len = (uint16_t)(PAGE - start - sizeof(*m));
	m->data_off = RTE_PKTMBUF_HEADROOM + (place == PLACE_SHIFTED);
	m->data_len = (uint16_t)p->len;
	m->pkt_len = p->len;
	m->nb_segs = 1;
	m->refcnt = 1;
	/* The whole of it: what was cut off a packet is still there, and counts for nothing. */
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), p->data,
		place == PLACE_HOME_END ? p->len : sizeof(p->data));
	return m;
}

static inline struct rte_mbuf *packet_put(
	unsigned int slot, const struct packet *p, enum place place)
{
	if (place == PLACE_PIECES)
		return pieces_put(slot, p);
	if (place == PLACE_END || place == PLACE_START)
		return piece_put(slot * PIECES, place == PLACE_END, p->data, p->len);
	return home_put(slot, p, place);
}

/* -- Judging -- */

struct judged {
	bool kept;
	bool cutoff;
	uint32_t stored; /* bytes */
	struct filter_reason reason;
};

static struct filter *filter;
static struct filter_tables *tables;

static inline void filter_close(void)
{
	filter_tables_free(tables);
	tables = NULL;
	filter_free(filter);
	filter = NULL;
}

static inline struct rules *rules_open(const char *text)
{
	struct rules *rules = NULL;
	struct errbuf err;

	if (text != NULL)
		ck_assert_msg(rules_parse_text(text, strlen(text), "rules", &rules, &err) == 0,
			"%s", err.text);
	return rules;
}

static inline void filter_open_for(
	int linktype, const struct filter_options *options, const char *rules_text)
{
	struct filter_options o = *options;
	struct rules *rules = rules_open(rules_text);
	struct errbuf err;

	filter_close();
	o.rules = rules;
	ck_assert_msg(filter_new(&o, linktype, SOCKET_ID_ANY, &filter, &err) == 0, "%s: %s",
		o.expression, err.text);
	ck_assert_msg(
		filter_tables_new(&o, 2, SOCKET_ID_ANY, NULL, &tables, &err) == 0, "%s", err.text);
	rules_free(rules);
}

static inline void filter_open(const struct filter_options *options, const char *rules_text)
{
	filter_open_for(DLT_EN10MB, options, rules_text);
}

/* What the verdict says of packet i. */
static inline struct judged judged_of(
	const struct verdict *v, unsigned int i, uint32_t len, uint64_t wanted)
{
	struct judged j = {.kept = v->kept >> i & 1, .cutoff = v->cutoff >> i & 1};
	bool recut = v->recut >> i & 1;

	ck_assert(wanted >> i & 1 || (!j.kept && !j.cutoff && !recut));
	ck_assert(!(j.kept && j.cutoff));
	ck_assert(j.kept || !recut);
	j.stored = !j.kept ? 0 : recut ? RTE_MIN(v->most[i], len) : len;
	if (v->reasons != NULL && (wanted >> i & 1))
		j.reason = v->reasons[i];
	return j;
}

/* As rx lcores judge: no reasons are wanted. */
static bool reasons_unwanted;

static inline void judge_burst(struct rte_mbuf *const pkts[], unsigned int count,
	unsigned int queue, uint64_t time_ns, uint64_t wanted, struct judged ret[])
{
	struct filter_reason reasons[FILTER_BURST];
	uint64_t times_ns[FILTER_BURST];
	struct filter_burst b = {.pkts = pkts, .time_ns = times_ns, .count = count, .queue = queue};
	struct verdict v;

	/* Nothing is taken for told that was not stored. */
	memset(&v, 0xee, sizeof(v));
	memset(reasons, 0xee, sizeof(reasons));
	v.reasons = reasons_unwanted ? NULL : reasons;
	for (unsigned int i = 0; i < count; i++)
		times_ns[i] = time_ns;
	filter_judge(filter, tables, &b, wanted, &v);
	if (count < FILTER_BURST)
		ck_assert_uint_eq((v.kept | v.cutoff | v.recut) >> count, 0);
	for (unsigned int i = 0; i < count; i++)
		ret[i] = judged_of(&v, i, pkts[i]->pkt_len, wanted);
}

static inline bool judged_equal(const struct judged *a, const struct judged *b)
{
	return a->kept == b->kept && a->cutoff == b->cutoff && a->stored == b->stored &&
	       a->reason.why == b->reason.why && a->reason.rule == b->reason.rule &&
	       a->reason.level == b->reason.level;
}

static inline void judged_assert_equal(
	const struct judged *a, const struct judged *b, const char *what, unsigned int number)
{
	ck_assert_msg(judged_equal(a, b),
		"%s, %u: kept %d cutoff %d stored %u why %d rule %u level %u, "
		"and kept %d cutoff %d stored %u why %d rule %u level %u",
		what, number, a->kept, a->cutoff, a->stored, (int)a->reason.why, a->reason.rule,
		a->reason.level, b->kept, b->cutoff, b->stored, (int)b->reason.why, b->reason.rule,
		b->reason.level);
}

static inline struct judged judge_packet(
	const struct packet *p, enum place place, unsigned int queue, uint64_t time_ns)
{
	struct rte_mbuf *m = packet_put(0, p, place);
	struct judged j;

	judge_burst(&m, 1, queue, time_ns, 1, &j);
	return j;
}

/* In all places alike, where nothing is remembered of a packet. */
static inline struct judged judge_words(const char *words)
{
	struct packet p;
	struct judged first, other;

	packet_build(&p, words);
	first = judge_packet(&p, PLACE_END, 0, TEST_NS);
	for (enum place place = PLACE_START; tables == NULL && place < PLACES; place++) {
		other = judge_packet(&p, place, 0, TEST_NS);
		judged_assert_equal(&other, &first, words, place);
	}
	return first;
}

static inline void check_keeps(const char *words, bool kept)
{
	ck_assert_msg(judge_words(words).kept == kept, "%s has kept %d", words, !kept);
}

/* -- What several tests ask -- */

/* In front of IP, in Ethernet: what an expression does not speak of hides nothing. */
static const char *const stacks[] = {
	"eth",
	"eth q",
	"eth ad",
	"eth 9100",
	"eth ad q",
	"eth q q",
	"eth mpls",
	"eth mpls mpls",
	"eth mpls mpls mpls",
	"eth pppoe",
	"eth q mpls",
	"eth q mpls mpls",
	"eth ad q mpls mpls mpls",
	"eth q pppoe",
	"eth ad q pppoe",
};

static inline const char *words_join(const char *front, const char *back)
{
	static char words[WORDS_MAX];

	(void)snprintf(words, sizeof(words), "%s %s", front, back);
	return words;
}

static inline void libpcap_compile(const char *expression, struct bpf_program *ret)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN_MAX);

	ck_assert_msg(pcap_compile(pcap, ret, expression, 1, PCAP_NETMASK_UNKNOWN) == 0, "%s: %s",
		expression, pcap_geterr(pcap));
	pcap_close(pcap);
}

static inline bool libpcap_matches(const struct bpf_program *program, const struct packet *p)
{
	struct pcap_pkthdr header = {.caplen = p->len, .len = p->len};

	return pcap_offline_filter(program, &header, p->data) != 0;
}

/* tcpdump's literal meaning, of the very bytes. */
static inline bool libpcap_keeps(const char *expression, const struct packet *p)
{
	struct bpf_program program;
	bool kept;

	libpcap_compile(expression, &program);
	kept = libpcap_matches(&program, p);
	pcap_freecode(&program);
	return kept;
}

static inline void check_means_what_libpcap_means(const char *expression, const char *words)
{
	struct packet p;
	bool kept;

	packet_build(&p, words);
	kept = libpcap_keeps(expression, &p);
	ck_assert_msg(judge_words(words).kept == kept, "\"%s\": %s has kept %d", expression, words,
		!kept);
}

/*
 * The next expression of the list that all filter tests share, but for those with one of words: they
 * speak of what is around the IP header. False at the end.
 */
static inline bool expression_next(
	FILE *f, const char *const words[], unsigned int count, char text[EXPRESSION_MAX])
{
	while (fgets(text, EXPRESSION_MAX, f) != NULL) {
		bool skip = text[0] == '#' || text[0] == '\n';

		text[strcspn(text, "\n")] = '\0';
		for (unsigned int i = 0; !skip && i < count; i++)
			skip = strstr(text, words[i]) != NULL;
		if (!skip)
			return true;
	}
	return false;
}

static inline int judge_main(Suite *suite)
{
	int r;

	if (!eal_start(512) || !rooms_open())
		return EXIT_FAILURE;
	r = suite_run_unforked(suite);
	filter_close();
	(void)rte_eal_cleanup();
	return r;
}
