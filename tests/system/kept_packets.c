/*
 * What Wirespool's filters keep of a capture, for tcpdump.py, which asks tcpdump the same.
 *
 *     kept_packets FILE <EXPRESSIONS
 *
 * FILE is what libpcap reads; stdin has one expression a line. For each stdout has one line: "refused"
 * and why, or for each way to run it a name and the packets, "filter/home=0110...", 1: kept.
 * In literal mode: filters look behind no tags, and take fragments for what they are.
 */

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include <rte_mbuf.h>

#include "filter/expression.h"
#include "filter/filter_program.h"
#include "wirespool/filter.h"

/* Where the bytes of a packet lie: as rx drivers deliver it, elsewhere, and in pieces. */
enum place { PLACE_HOME, PLACE_AWAY, PLACE_PIECES, PLACES };

enum { PIECE_MAX = UINT16_MAX - RTE_PKTMBUF_HEADROOM };

static const char *const place_names[PLACES] = {"home", "away", "pieces"};

struct packets {
	struct rte_mbuf **at[PLACES];
	uint32_t *wire_len;
	bool whole; /* of all of them */
	size_t count;
};

static void *allocate(size_t bytes)
{
	void *p = NULL;

	if (posix_memalign(&p, RTE_CACHE_LINE_SIZE, bytes) != 0)
		errx(1, "no memory");
	return p;
}

/* An mbuf made by hand, without EAL. */
static struct rte_mbuf *piece_make(const uint8_t *data, uint32_t len, uint32_t shift)
{
	struct rte_mbuf *m = allocate(FLAT_DATA_AT + shift + len);

	memset(m, 0, sizeof(*m));
	m->buf_addr = m + 1;
	m->data_off = (uint16_t)(RTE_PKTMBUF_HEADROOM + shift);
	m->buf_len = (uint16_t)(m->data_off + len);
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	m->nb_segs = 1;
	memcpy((uint8_t *)(m + 1) + m->data_off, data, len);
	return m;
}

/* Cut twice, at places that differ from packet to packet: in headers first, then anywhere. */
static struct rte_mbuf *pieces_make(const uint8_t *data, uint32_t len, uint32_t number)
{
	uint32_t one = number * 13 % (RTE_MIN(len, 80U) + 1);
	uint32_t two = one + number * 31 % (len - one + 1);
	struct rte_mbuf *m = piece_make(data, one, 0);

	m->next = piece_make(data + one, two - one, 0);
	m->next->next = piece_make(data + two, len - two, 0);
	m->nb_segs = 3;
	m->pkt_len = len;
	return m;
}

static void packets_add(struct packets *p, const uint8_t *data, uint32_t len, uint32_t wire_len)
{
	size_t number = p->count++;

	if (len > PIECE_MAX - 1)
		errx(1, "packet %zu has %u bytes", number, len);
	for (unsigned int place = 0; place < PLACES; place++) {
		p->at[place] = reallocarray(p->at[place], p->count, sizeof(*p->at[place]));
		if (p->at[place] == NULL)
			errx(1, "no memory");
	}
	p->wire_len = reallocarray(p->wire_len, p->count, sizeof(*p->wire_len));
	if (p->wire_len == NULL)
		errx(1, "no memory");
	p->wire_len[number] = wire_len;
	p->whole = p->whole && wire_len == len;
	p->at[PLACE_HOME][number] = piece_make(data, len, 0);
	p->at[PLACE_AWAY][number] = piece_make(data, len, 1);
	p->at[PLACE_PIECES][number] = pieces_make(data, len, (uint32_t)number);
}

/* Returns the link type. */
static int packets_read(struct packets *p, const char *path)
{
	char said[PCAP_ERRBUF_SIZE];
	pcap_t *file = pcap_open_offline(path, said);
	struct pcap_pkthdr *header;
	const uint8_t *data;
	int linktype, r;

	if (file == NULL)
		errx(1, "%s", said);
	linktype = pcap_datalink(file);
	while ((r = pcap_next_ex(file, &header, &data)) == 1)
		packets_add(p, data, header->caplen, header->len);
	if (r != PCAP_ERROR_BREAK)
		errx(1, "%s: %s", path, pcap_geterr(file));
	pcap_close(file);
	return linktype;
}

static void packets_free(struct packets *p)
{
	for (unsigned int place = 0; place < PLACES; place++) {
		for (size_t i = 0; i < p->count; i++)
			for (struct rte_mbuf *m = p->at[place][i], *next; m != NULL; m = next) {
				next = m->next;
				free(m);
			}
		free(p->at[place]);
	}
	free(p->wire_len);
}

static void print_bits(const char *way, unsigned int place, const uint64_t *bits, size_t count)
{
	printf("%s/%s=", way, place_names[place]);
	for (size_t i = 0; i < count; i++)
		(void)putchar('0' + (int)(bits[i / FILTER_BURST] >> i % FILTER_BURST & 1));
	(void)putchar(' ');
}

/* As a recording does it; bits has room for all packets. */
static int print_filter(
	const char *expression, int linktype, const struct packets *p, uint64_t *bits)
{
	const struct filter_options options = {
		.expression = expression,
		.vlan = FILTER_VLAN_STRICT,
		.fragments = FILTER_FRAGMENTS_LITERAL,
	};
	struct filter *f = NULL;
	struct errbuf said = {""};

	if (filter_new(&options, linktype, -1, &f, &said) < 0) {
		printf("refused %s", said.text);
		return -EINVAL;
	}
	for (unsigned int place = 0; place < PLACES; place++) {
		for (size_t first = 0; first < p->count; first += FILTER_BURST) {
			struct filter_burst burst = {
				.pkts = p->at[place] + first, .wire_len = p->wire_len + first};
			struct verdict v = {.reasons = NULL};

			burst.count = (unsigned int)RTE_MIN(p->count - first, (size_t)FILTER_BURST);
			filter_judge(f, NULL, &burst, UINT64_MAX, &v);
			bits[first / FILTER_BURST] = v.kept;
		}
		print_bits("filter", place, bits, p->count);
	}
	filter_free(f);
	return 0;
}

/* By libpcap's interpreter, as where there is no native code. It is not told lengths on the wire. */
static void print_interpreted(
	const char *expression, int linktype, const struct packets *p, uint64_t *bits)
{
	struct expression *e = NULL;
	struct errbuf said = {""};

	if (expression_compile(
		    expression, linktype, EXPRESSION_LITERAL | EXPRESSION_INTERPRET, &e, &said) < 0)
		errx(1, "%s: interpreted it is refused: %s", expression, said.text);
	for (unsigned int place = 0; place < PLACES; place++) {
		for (size_t first = 0; first < p->count; first += EXPRESSION_BURST)
			bits[first / EXPRESSION_BURST] = expression_match(e, p->at[place] + first,
				(unsigned int)RTE_MIN(p->count - first, (size_t)EXPRESSION_BURST));
		print_bits("interpreted", place, bits, p->count);
	}
	expression_free(e);
}

int main(int argc, char **argv)
{
	struct packets packets = {.whole = true};
	char *line = NULL;
	size_t room = 0;
	uint64_t *bits;
	int linktype;

	if (argc != 2)
		errx(2, "usage: kept_packets FILE <EXPRESSIONS");
	linktype = packets_read(&packets, argv[1]);
	bits = calloc(packets.count / FILTER_BURST + 1, sizeof(*bits));
	if (bits == NULL)
		errx(1, "no memory");
	while (getline(&line, &room, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (print_filter(line, linktype, &packets, bits) == 0 && packets.whole)
			print_interpreted(line, linktype, &packets, bits);
		(void)putchar('\n');
	}
	free(line);
	free(bits);
	packets_free(&packets);
	return 0;
}
