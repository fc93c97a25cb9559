/*
 * libFuzzer: packets are judged in a burst, wherever they lie and whatever is remembered of those
 * before, as each of them is alone; and alone by an expression as libpcap judges them.
 *
 * The bytes: which filter, what else is asked of it, then the packets: of each its length, where it
 * lies, how long after the one before it came and how much was cut off, itself.
 */
/* rooms: filter common dpdk PkgConfig::libpcap */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include <rte_mbuf.h>

#include "filter/filter_program.h"
#include "filter/headers.h"
#include "filter/judge.h"
#include "tests/eal_start.h"
#include "tests/same_keys.h"
#include "wirespool/filter.h"
#include "wirespool/rules.h"

static const char *const expressions[] = {
	"",
	"tcp",
	"udp",
	"port 53",
	"not port 22",
	"host 10.0.0.1 or net 2001:db8::/32",
	"ip6",
	"arp or icmp or icmp6",
	"tcp[tcpflags] & tcp-syn != 0",
	"udp[8:4] != 0 or ip6[6] = 44",
	"ip[6:2] & 0x1fff != 0",
	"vlan and udp",
	"mpls and tcp",
	"pppoes and ip",
	"less 80 or ether[0] & 1 != 0",
	"ip6 protochain 17",
};

static const char *const rule_texts[] = {
	"keep tcp any any any 443 either way\n"
	"cut=headers udp any any any any\n"
	"cut=64 any 10.0.0.0/8 any any any\n",
	"drop tcp any any any 22-80\n"
	"cut=headers+8 any 2001:db8::/32 any any any either way\n"
	"keep any any any any any\n",
	"cut=20 gre any any any any\n"
	"keep sctp 10.0.0.1 any 10.0.0.2 any\n"
	"drop icmp any any any any\n"
	"keep udp any 1024-65535 any any\n",
};

/* The last one is not understood. */
static const int linktypes[] = {DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_PPP};

enum {
	EXPRESSIONS = sizeof(expressions) / sizeof(expressions[0]),
	RULE_TEXTS = sizeof(rule_texts) / sizeof(rule_texts[0]),
	LINKTYPES = sizeof(linktypes) / sizeof(linktypes[0]),
	KEY_BYTES = 4,
	OPTION_BYTES = KEY_BYTES + 1,
	PACKET_BYTES = 3, /* in front of each */
	ALL_THE_REST = 255,
	LENGTH_MAX = UINT16_MAX - RTE_PKTMBUF_HEADROOM - 1, /* of one piece */
	FILTERS_MAX = 509,
	CUTOFF_FLOWS = 4,
	WITH_REASONS = 0x20, /* in the byte of the tunnels */
	WITH_WIRE_LENGTHS = 0x40,
	CACHE_LINES = 2,
	ROUNDS = 2, /* in the second, all is known already */
};

enum place { PLACE_AWAY, PLACE_HOME, PLACE_SHIFTED, PLACE_PIECES, PLACES };

/* A filter takes longer to make than many bursts to judge, so they are kept until others need their place. */
struct made {
	bool tried;
	uint8_t key[KEY_BYTES];
	struct filter *filter; /* NULL: refused */
};

struct burst {
	struct rte_mbuf *pkts[FILTER_BURST];
	/* The same bytes, in one piece; and in some, so that the header walk looks at them. */
	struct rte_mbuf *alone[FILTER_BURST], *pieces[FILTER_BURST];
	uint64_t time_ns[FILTER_BURST];
	uint32_t wire_len[FILTER_BURST];
	unsigned int count;
};

static struct rules *rules[RULE_TEXTS];
static struct made filters[FILTERS_MAX];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(eal_start(256));
	for (unsigned int i = 0; i < RULE_TEXTS; i++)
		must(rules_parse_text(
			     rule_texts[i], strlen(rule_texts[i]), "rules", &rules[i], NULL) == 0);
	return 0;
}

/* -- Filters -- */

static const uint8_t radix[KEY_BYTES] = {
	EXPRESSIONS, LINKTYPES * 2 * 3, (RULE_TEXTS + 1) * 3, 1 << 5};

static int linktype_of(const uint8_t key[KEY_BYTES])
{
	return linktypes[key[1] % LINKTYPES];
}

static struct filter_options options_of(const uint8_t key[KEY_BYTES])
{
	static const enum filter_fragments fragments[] = {
		FILTER_FRAGMENTS_KEEP, FILTER_FRAGMENTS_FOLLOW, FILTER_FRAGMENTS_LITERAL};
	unsigned int rule_text = key[2] % (RULE_TEXTS + 1), cutoff = key[2] / (RULE_TEXTS + 1);

	return (struct filter_options){
		.expression = expressions[key[0]],
		.rules = rule_text > 0 ? rules[rule_text - 1] : NULL,
		.vlan = key[1] / LINKTYPES % 2 == 0 ? FILTER_VLAN_ANY : FILTER_VLAN_STRICT,
		.fragments = fragments[key[1] / LINKTYPES / 2],
		.inner = key[3],
		.cutoff_bytes = cutoff * 50,
		.after = cutoff == 1 ? FILTER_AFTER_HEADERS : FILTER_AFTER_DROP,
		.cutoff_flows = CUTOFF_FLOWS,
	};
}

/* NULL: there is no such filter, as "vlan" of raw IP. */
static const struct filter *filter_find(
	const uint8_t key[KEY_BYTES], const struct filter_options *options)
{
	uint32_t number = 0;
	struct errbuf err = {.text = ""};
	struct made *m;
	int r;

	for (unsigned int i = 0; i < KEY_BYTES; i++)
		number = number * radix[i] + key[i];
	m = &filters[number % FILTERS_MAX];
	if (m->tried && memcmp(m->key, key, sizeof(m->key)) == 0)
		return m->filter;
	filter_free(m->filter);
	m->filter = NULL;
	r = filter_new(options, linktype_of(key), SOCKET_ID_ANY, &m->filter, &err);
	must(r == 0 || (r == -EINVAL && m->filter == NULL && err.text[0] != '\0'));
	m->tried = true;
	memcpy(m->key, key, sizeof(m->key));
	return m->filter;
}

/* As filter_tables_new(), but with a small cache of rules: in that flows meet, and it is soon made. */
static struct filter_tables *tables_new(const struct filter_options *options)
{
	struct filter_options others = *options;
	struct filter_tables *t;

	others.rules = NULL;
	must(filter_tables_new(&others, 1, SOCKET_ID_ANY, NULL, &t, NULL) == 0);
	if (options->rules == NULL)
		return t;
	if (t == NULL) {
		t = calloc(1, sizeof(*t) + sizeof(t->caches[0]));
		must(t != NULL);
		t->queues = 1;
	}
	must(rule_cache_new_lines(CACHE_LINES, SOCKET_ID_ANY, &t->caches[0], NULL) == 0);
	return t;
}

/* -- Packets: each piece in a block of its own length, so that a sanitizer sees the first byte too many -- */

static void *block_new(size_t size)
{
	void *block;

	must(posix_memalign(&block, RTE_CACHE_LINE_SIZE, size) == 0);
	return block;
}

/* Its bytes begin so many bytes behind the mbuf, in the same block, or in another. */
static struct rte_mbuf *piece_new(const uint8_t *data, uint32_t len, bool same, uint32_t headroom)
{
	uint32_t own = same ? sizeof(struct rte_mbuf) : 0;
	uint8_t *block = block_new(own + headroom + len);
	struct rte_mbuf *m = same ? (struct rte_mbuf *)block : block_new(sizeof(*m));

	memset(m, 0, sizeof(*m));
	m->buf_addr = block + own;
	m->buf_len = (uint16_t)(headroom + len);
	m->data_off = (uint16_t)headroom;
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	m->nb_segs = 1;
	memset(m->buf_addr, 0xff, headroom);
	memcpy(rte_pktmbuf_mtod(m, uint8_t *), data, len);
	return m;
}

static struct rte_mbuf *packet_in_pieces(const uint8_t *data, uint32_t len, uint32_t one)
{
	uint32_t two = one + (len - one) / 2;
	struct rte_mbuf *m = piece_new(data, one, false, 0);

	m->next = piece_new(data + one, two - one, false, 0);
	m->next->next = piece_new(data + two, len - two, false, 0);
	m->nb_segs = 3;
	m->pkt_len = len;
	return m;
}

/* where: the place, and for pieces how long the first one is. */
static struct rte_mbuf *packet_new(const uint8_t *data, uint32_t len, uint8_t where)
{
	switch ((enum place)(where % PLACES)) {
	case PLACE_HOME:
		return piece_new(data, len, true, RTE_PKTMBUF_HEADROOM);
	case PLACE_SHIFTED:
		return piece_new(data, len, true, RTE_PKTMBUF_HEADROOM + 1);
	case PLACE_PIECES:
		return packet_in_pieces(data, len, len * (where / PLACES) / (256 / PLACES));
	default:
		return piece_new(data, len, false, 0);
	}
}

static void packet_free(struct rte_mbuf *m)
{
	while (m != NULL) {
		struct rte_mbuf *next = m->next;

		if (m->buf_addr != (void *)(m + 1))
			free(m->buf_addr);
		free(m);
		m = next;
	}
}

static void burst_read(struct burst *b, bool cut, const uint8_t *data, size_t size)
{
	uint64_t time_ns = UINT64_C(1800000000000000000);

	b->count = 0;
	while (size >= PACKET_BYTES && b->count < FILTER_BURST) {
		uint32_t asked = data[0] < ALL_THE_REST ? data[0] : LENGTH_MAX;
		uint32_t len = RTE_MIN(asked, (uint32_t)(size - PACKET_BYTES));
		const uint8_t *bytes = data + PACKET_BYTES;

		time_ns += data[2] % 64 * UINT64_C(500000000);
		b->time_ns[b->count] = time_ns;
		b->wire_len[b->count] = len + (cut ? data[2] / 64 * 40U : 0);
		b->alone[b->count] = piece_new(bytes, len, false, 0);
		b->pieces[b->count] = packet_in_pieces(bytes, len, len / 8);
		b->pkts[b->count++] = packet_new(bytes, len, data[1]);
		data += PACKET_BYTES + len;
		size -= PACKET_BYTES + len;
	}
}

static void burst_free(struct burst *b)
{
	for (unsigned int i = 0; i < b->count; i++) {
		packet_free(b->pkts[i]);
		packet_free(b->alone[i]);
		packet_free(b->pieces[i]);
	}
}

/* -- What is said of them -- */

static bool is_literal(const uint8_t key[KEY_BYTES])
{
	const struct filter_options o = options_of(key);

	return o.expression[0] != '\0' && o.rules == NULL && o.inner == 0 &&
	       o.vlan == FILTER_VLAN_STRICT && o.fragments == FILTER_FRAGMENTS_LITERAL &&
	       strstr(o.expression, "protochain") == NULL; /* libpcap may go round for ever */
}

static bool libpcap_keeps(const uint8_t key[KEY_BYTES], const struct rte_mbuf *m, uint32_t wire_len)
{
	static struct bpf_program programs[LINKTYPES][EXPRESSIONS];
	struct bpf_program *p = &programs[key[1] % LINKTYPES][key[0]];

	if (p->bf_insns == NULL) {
		pcap_t *pcap = pcap_open_dead(linktype_of(key), SNAPLEN_MAX);

		must(pcap != NULL);
		must(pcap_compile(pcap, p, expressions[key[0]], 1, 0) == 0);
		pcap_close(pcap);
	}
	return bpf_filter(p->bf_insns, rte_pktmbuf_mtod(m, const uint8_t *), wire_len,
		       m->data_len) != 0;
}

static bool has_later_fragment(int linktype, const struct rte_mbuf *m)
{
	struct headers h;
	bool found = false;

	(void)headers_walk(linktype, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &h);
	for (unsigned int i = 0; i < h.count; i++)
		found = found || h.ip[i].later_fragment;
	return found;
}

static void check_reason(const struct filter_reason *r, const struct verdict *v, unsigned int i,
	const struct filter_options *o)
{
	bool kept = (v->kept >> i & 1) != 0, cutoff = (v->cutoff >> i & 1) != 0;

	must(r->level < FILTER_LEVELS);
	must(r->rule <= (o->rules != NULL ? o->rules->count : 0));
	must((r->why != FILTER_BY_ALL && r->why != FILTER_BY_MAYBE) || kept);
	must(r->why != FILTER_BY_NO_RULE || !kept);
	must(!cutoff || r->why == FILTER_BY_CUTOFF);
}

/* A packet's verdict in the burst, and with nothing remembered. */
static void check_packet(const struct filter_options *o, const struct burst *b, unsigned int i,
	const struct verdict *v, const struct verdict *alone)
{
	bool kept = (v->kept >> i & 1) != 0, cutoff = (v->cutoff >> i & 1) != 0;
	bool recut = (v->recut >> i & 1) != 0, in_pieces = b->pkts[i]->nb_segs > 1;
	bool may_cut_more = o->cutoff_bytes > 0 && o->after == FILTER_AFTER_HEADERS;

	must((kept || cutoff) == ((alone->kept & 1) != 0));
	if (!kept)
		return;
	must(!recut || v->most[i] <= b->pkts[i]->pkt_len);
	must(recut == ((alone->recut & 1) != 0) || (recut && may_cut_more));
	/* Of headers in several pieces more may be stored than they are. */
	if (recut && !may_cut_more)
		must(in_pieces ? v->most[i] >= alone->most[0] : v->most[i] == alone->most[0]);
}

/* As packet i of the burst came, but alone, laid out as m. */
static bool judge_alone(const struct filter *f, const struct burst *b, unsigned int i,
	struct rte_mbuf *m, struct verdict *ret)
{
	struct filter_burst one = {
		.pkts = &m, .time_ns = &b->time_ns[i], .wire_len = &b->wire_len[i], .count = 1};

	ret->reasons = NULL;
	filter_judge(f, NULL, &one, 1, ret);
	return (ret->kept & 1) != 0;
}

static void check_burst(const struct filter *f, const uint8_t key[KEY_BYTES], const struct burst *b,
	uint64_t wanted, const struct verdict *v)
{
	struct filter_options o = options_of(key);
	struct verdict alone, pieces;

	must((v->recut & v->cutoff) == 0);
	must((v->kept & ~wanted) == 0 && (v->cutoff & (~wanted | v->kept)) == 0);
	must(v->cutoff == 0 || (o.cutoff_bytes > 0 && o.after == FILTER_AFTER_DROP));
	for (unsigned int i = 0; i < b->count; i++) {
		bool kept = judge_alone(f, b, i, b->alone[i], &alone);

		must(kept == judge_alone(f, b, i, b->pieces[i], &pieces));
		if (is_literal(key))
			must(kept == libpcap_keeps(key, b->alone[i], b->wire_len[i]));
		if ((wanted >> i & 1) == 0)
			continue;
		if (v->reasons != NULL)
			check_reason(&v->reasons[i], v, i, &o);
		/* These follow what is remembered of their first one. */
		if (o.fragments != FILTER_FRAGMENTS_FOLLOW ||
			!has_later_fragment(linktype_of(key), b->alone[i]))
			check_packet(&o, b, i, v, &alone);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct filter_reason reasons[FILTER_BURST];
	struct filter_burst all;
	struct filter_tables *tables;
	struct filter_options options;
	const struct filter *f;
	uint8_t key[KEY_BYTES];
	struct verdict v;
	uint64_t wanted;
	struct burst b;
	bool cut;

	if (size < OPTION_BYTES)
		return 0;
	for (unsigned int i = 0; i < KEY_BYTES; i++)
		key[i] = data[i] % radix[i];
	options = options_of(key);
	f = filter_find(key, &options);
	if (f == NULL)
		return 0;
	v.reasons = (data[3] & WITH_REASONS) != 0 ? reasons : NULL;
	tables = tables_new(&options);
	cut = (data[3] & WITH_WIRE_LENGTHS) != 0;
	burst_read(&b, cut, data + OPTION_BYTES, size - OPTION_BYTES);
	all = (struct filter_burst){.pkts = b.pkts,
		.time_ns = b.time_ns,
		.wire_len = cut ? b.wire_len : NULL,
		.count = b.count};
	wanted = data[KEY_BYTES] * UINT64_C(0x0101010101010101);
	wanted &= b.count < FILTER_BURST ? (UINT64_C(1) << b.count) - 1 : UINT64_MAX;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		filter_judge(f, tables, &all, wanted, &v);
		check_burst(f, key, &b, wanted, &v);
	}
	burst_free(&b);
	filter_tables_free(tables);
	return 0;
}
