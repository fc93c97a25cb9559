#pragma once
/*
 * Packets from words, for the tests of filter_judge(): the headers from the outside in, as in
 * "eth q ip tcp:40000>22 +20". Each one tells the one before what it is, and lengths are set when all
 * are there.
 */

#include <arpa/inet.h>
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>

enum { PACKET_MAX = 1600, LENGTHS_MAX = 8, WORDS_MAX = 256 };

struct packet {
	uint32_t len;
	uint8_t data[PACKET_MAX];
};

enum next { NEXT_UNSAID, NEXT_ETHER, NEXT_IP, NEXT_PPP, NEXT_MPLS };

struct length_field {
	uint32_t at;    /* of 16 bits */
	uint32_t start; /* of what it counts */
};

struct building {
	struct packet *p;
	enum next next; /* how the last header says what follows ... */
	uint32_t next_at;
	uint32_t ip_at;
	unsigned int version;
	struct length_field lengths[LENGTHS_MAX];
	unsigned int length_count;
};

static inline void put(struct building *b, unsigned int bytes, uint64_t value)
{
	while (bytes-- > 0)
		b->p->data[b->p->len++] = (uint8_t)(value >> (8 * bytes));
}

static inline void put_at(struct packet *p, uint32_t at, unsigned int bytes, uint64_t value)
{
	while (bytes-- > 0)
		p->data[at++] = (uint8_t)(value >> (8 * bytes));
}

static inline void follows(struct building *b, enum next next, uint32_t at)
{
	b->next = next;
	b->next_at = at;
}

static inline void count_from(struct building *b, uint32_t at, uint32_t start)
{
	ck_assert_uint_lt(b->length_count, LENGTHS_MAX);
	b->lengths[b->length_count++] = (struct length_field){at, start};
}

static inline void put_addresses(struct building *b, int family, const char *arguments)
{
	unsigned int bytes = family == AF_INET ? 4 : 16;
	char from[64], to[64];

	ck_assert_int_eq(sscanf(arguments, "%63[^>]>%63s", from, to), 2);
	ck_assert_int_eq(inet_pton(family, from, b->p->data + b->p->len), 1);
	ck_assert_int_eq(inet_pton(family, to, b->p->data + b->p->len + bytes), 1);
	b->p->len += 2 * bytes;
}

static inline void put_ports(struct building *b, const char *arguments)
{
	unsigned int from, to;

	ck_assert_int_eq(sscanf(arguments, "%u>%u", &from, &to), 2);
	put(b, 2, from);
	put(b, 2, to);
}

static inline void put_eth(struct building *b, const char *arguments)
{
	(void)arguments;
	put(b, 6, 0x020000000002);
	put(b, 6, 0x020000000001);
	follows(b, NEXT_ETHER, b->p->len);
	put(b, 2, 0);
}

/* Linux cooked: to us, of Ethernet. */
static inline void put_sll(struct building *b, const char *arguments)
{
	(void)arguments;
	put(b, 6, 0x000000010006);
	put(b, 8, 0x0200000000010000);
	follows(b, NEXT_ETHER, b->p->len);
	put(b, 2, 0);
}

static inline void put_tag(struct building *b, const char *arguments)
{
	put(b, 2, *arguments == '\0' ? 5 : (unsigned int)atoi(arguments));
	follows(b, NEXT_ETHER, b->p->len);
	put(b, 2, 0);
}

static inline void put_mpls(struct building *b, const char *arguments)
{
	(void)arguments;
	if (b->next == NEXT_MPLS) /* the one before is not the last */
		b->p->data[b->p->len - 2] &= 0xfe;
	put(b, 4, 0x00010140);
	follows(b, NEXT_MPLS, 0);
}

static inline void put_pppoe(struct building *b, const char *arguments)
{
	(void)arguments;
	put(b, 4, 0x11000007);
	count_from(b, b->p->len, b->p->len + 2);
	put(b, 2, 0);
	follows(b, NEXT_PPP, b->p->len);
	put(b, 2, 0);
}

static inline void put_arp(struct building *b, const char *arguments)
{
	(void)arguments;
	put(b, 8, 0x0001080006040001);
	put(b, 6, 0x020000000001);
	put(b, 4, 0x0a000001);
	put(b, 6, 0);
	put(b, 4, 0xc0000201);
	follows(b, NEXT_UNSAID, 0);
}

static inline void put_ip(struct building *b, const char *arguments)
{
	b->ip_at = b->p->len;
	b->version = 4;
	put(b, 2, 0x4500);
	count_from(b, b->p->len, b->ip_at);
	put(b, 6, 0);
	put(b, 4, 0x40000000);
	put_addresses(b, AF_INET, *arguments == '\0' ? "10.0.0.1>192.0.2.1" : arguments);
	follows(b, NEXT_IP, b->ip_at + 9);
}

/* A word more of options. */
static inline void put_option(struct building *b, const char *arguments)
{
	(void)arguments;
	b->p->data[b->ip_at]++;
	put(b, 4, 0x01010100);
}

static inline void put_ip6(struct building *b, const char *arguments)
{
	b->ip_at = b->p->len;
	b->version = 6;
	put(b, 4, 0x60000000);
	count_from(b, b->p->len, b->p->len + 36);
	put(b, 4, 0x0040);
	put_addresses(b, AF_INET6, *arguments == '\0' ? "2001:db8::1>2001:db8::2" : arguments);
	follows(b, NEXT_IP, b->ip_at + 6);
}

static inline void put_header_of_units(struct building *b, const char *arguments, unsigned int unit)
{
	unsigned int units = (unsigned int)atoi(arguments);

	follows(b, NEXT_IP, b->p->len);
	put(b, 1, 0);
	put(b, 1, units);
	put(b, 6, 0);
	while (units-- > 0)
		put(b, unit, 0);
}

/*
 * Any extension header but the fragment header: padding, and of a routing header no segments left. "dest:1": 8
 * bytes longer.
 */
static inline void put_extension(struct building *b, const char *arguments)
{
	put_header_of_units(b, arguments, 8);
}

/* "ah:1": 4 bytes longer. */
static inline void put_ah(struct building *b, const char *arguments)
{
	put_header_of_units(b, arguments, 4);
}

static inline void put_fragment(
	struct building *b, unsigned int id, unsigned int eighths, bool more, unsigned int protocol)
{
	if (b->version == 4) {
		put_at(b->p, b->ip_at + 4, 2, id);
		put_at(b->p, b->ip_at + 6, 2, eighths | (more ? 0x2000U : 0));
		b->p->data[b->ip_at + 9] = (uint8_t)protocol;
		return;
	}
	b->p->data[b->next_at] = 44;
	follows(b, NEXT_IP, b->p->len);
	put(b, 2, protocol << 8);
	put(b, 2, eighths << 3 | more);
	put(b, 4, id);
}

static inline void put_first(struct building *b, const char *arguments)
{
	put_fragment(b, (unsigned int)atoi(arguments), 0, true, 0);
}

static inline void put_atomic(struct building *b, const char *arguments)
{
	put_fragment(b, (unsigned int)atoi(arguments), 0, false, 0);
}

static inline void put_rest(struct building *b, const char *arguments, bool more)
{
	unsigned int id, protocol;

	ck_assert_int_eq(sscanf(arguments, "%u,%u", &id, &protocol), 2);
	put_fragment(b, id, 180, more, protocol);
	follows(b, NEXT_UNSAID, 0);
}

static inline void put_later(struct building *b, const char *arguments)
{
	put_rest(b, arguments, true);
}

static inline void put_last(struct building *b, const char *arguments)
{
	put_rest(b, arguments, false);
}

static inline void put_tcp(struct building *b, const char *arguments)
{
	put_ports(b, arguments);
	put(b, 8, 0);
	put(b, 8, 0x5018040000000000);
	follows(b, NEXT_UNSAID, 0);
}

static inline void put_udp(struct building *b, const char *arguments)
{
	put_ports(b, arguments);
	count_from(b, b->p->len, b->p->len - 4);
	put(b, 4, 0);
	follows(b, NEXT_UNSAID, 0);
}

static inline void put_sctp(struct building *b, const char *arguments)
{
	put_ports(b, arguments);
	put(b, 8, 0);
	follows(b, NEXT_UNSAID, 0);
}

static inline void put_icmp(struct building *b, const char *arguments)
{
	put(b, 8, *arguments == '6' ? UINT64_C(128) << 56 : UINT64_C(8) << 56);
	follows(b, NEXT_UNSAID, 0);
}

/* "gre:key": with key and sequence number. */
static inline void put_gre(struct building *b, const char *arguments)
{
	put(b, 2, *arguments == '\0' ? 0 : 0x3000);
	follows(b, NEXT_ETHER, b->p->len);
	put(b, 2, 0);
	if (*arguments != '\0')
		put(b, 8, 0x0000000700000001);
}

static inline void put_vxlan(struct building *b, const char *arguments)
{
	(void)arguments;
	put(b, 8, 0x0800000000000700);
	follows(b, NEXT_UNSAID, 0);
}

/* "geneve:option": with 8 bytes of options. */
static inline void put_geneve(struct building *b, const char *arguments)
{
	bool option = *arguments != '\0';

	put(b, 2, option ? 0x0200 : 0);
	follows(b, NEXT_ETHER, b->p->len);
	put(b, 2, 0);
	put(b, 4, 0x700);
	if (option)
		put(b, 8, 0x0102030100000000);
}

/* "gtp-u:sequence": with a sequence number; "gtp-u:extension": with an extension header as well. */
static inline void put_gtp_u(struct building *b, const char *arguments)
{
	bool extension = *arguments == 'e';

	put(b, 2, extension ? 0x36ff : *arguments == 's' ? 0x32ff : 0x30ff);
	count_from(b, b->p->len, b->p->len + 6);
	put(b, 6, 0x700);
	if (*arguments != '\0')
		put(b, 4, extension ? 0x00010085 : 0x00010000);
	if (extension)
		put(b, 4, 0x01100900);
	follows(b, NEXT_UNSAID, 0);
}

/* "of:6": says that TCP follows, where it does not. */
static inline void put_of(struct building *b, const char *arguments)
{
	b->p->data[b->next_at] = (uint8_t)atoi(arguments);
}

static inline void set_lengths(struct building *b)
{
	for (unsigned int i = 0; i < b->length_count; i++)
		put_at(b->p, b->lengths[i].at, 2, b->p->len - b->lengths[i].start);
	b->length_count = 0;
}

/* What follows is padding. */
static inline void put_end(struct building *b, const char *arguments)
{
	(void)arguments;
	set_lengths(b);
}

/* Each header: how the one before says that it follows. */
struct header_word {
	const char *name;
	void (*put)(struct building *b, const char *arguments);
	uint16_t ether;
	int16_t ip; /* -1: never behind IP */
	uint16_t ppp;
};

static const struct header_word header_words[] = {
	{"eth", put_eth, 0x6558, -1, 0},
	{"sll", put_sll, 0, -1, 0},
	{"q", put_tag, 0x8100, -1, 0},
	{"ad", put_tag, 0x88a8, -1, 0},
	{"9100", put_tag, 0x9100, -1, 0},
	{"mpls", put_mpls, 0x8847, -1, 0},
	{"pppoe", put_pppoe, 0x8864, -1, 0},
	{"arp", put_arp, 0x0806, -1, 0},
	{"ip", put_ip, 0x0800, 4, 0x0021},
	{"ip6", put_ip6, 0x86dd, 41, 0x0057},
	{"hop", put_extension, 0, 0, 0},
	{"routing", put_extension, 0, 43, 0},
	{"dest", put_extension, 0, 60, 0},
	{"ah", put_ah, 0, 51, 0},
	{"tcp", put_tcp, 0, 6, 0},
	{"udp", put_udp, 0, 17, 0},
	{"sctp", put_sctp, 0, 132, 0},
	{"icmp", put_icmp, 0, 1, 0},
	{"icmp6", put_icmp, 0, 58, 0},
	{"gre", put_gre, 0, 47, 0},
	{"vxlan", put_vxlan, 0, -1, 0},
	{"geneve", put_geneve, 0, -1, 0},
	{"gtp-u", put_gtp_u, 0, -1, 0},
	/* They belong to the header before them. */
	{"option", put_option, 0, -1, 0},
	{"of", put_of, 0, -1, 0},
	{"end", put_end, 0, -1, 0},
	{"first", put_first, 0, -1, 0},
	{"atomic", put_atomic, 0, -1, 0},
	{"later", put_later, 0, -1, 0},
	{"last", put_last, 0, -1, 0},
};

static inline void say_next(struct building *b, const struct header_word *w)
{
	if (b->next == NEXT_ETHER && w->ether != 0)
		put_at(b->p, b->next_at, 2, w->ether);
	else if (b->next == NEXT_PPP && w->ppp != 0)
		put_at(b->p, b->next_at, 2, w->ppp);
	else if (b->next == NEXT_IP && w->ip >= 0)
		b->p->data[b->next_at] = (uint8_t)w->ip;
}

static inline void put_word(struct building *b, char *word)
{
	char *arguments = strchr(word, ':');

	if (word[0] == '+') {
		/* Whoever takes this for ports sees 22. */
		for (int i = 0; i < atoi(word); i++)
			put(b, 1, i % 2 == 0 ? 0 : 22);
		return;
	}
	if (arguments == NULL)
		arguments = word + strlen(word);
	else
		*arguments++ = '\0';
	for (unsigned int i = 0; i < RTE_DIM(header_words); i++)
		if (strcmp(header_words[i].name, word) == 0) {
			say_next(b, &header_words[i]);
			header_words[i].put(b, strcmp(word, "icmp6") == 0 ? "6" : arguments);
			return;
		}
	ck_abort_msg("no header is called %s", word);
}

static inline void packet_build(struct packet *p, const char *words)
{
	struct building b = {.p = p};
	char copy[WORDS_MAX], *rest = NULL;

	ck_assert_uint_lt(strlen(words), sizeof(copy));
	strcpy(copy, words);
	memset(p, 0, sizeof(*p));
	for (char *w = strtok_r(copy, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest))
		put_word(&b, w);
	set_lengths(&b);
	ck_assert_uint_le(p->len, PACKET_MAX);
}
