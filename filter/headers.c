#include "wirespool/filter.h"

#include <pcap/dlt.h>

/*
 * The header walk: one layer after the other, each of which says what comes next and how far
 * its header reaches. No step goes back, each reads only what walk_take() has found to be
 * there, and there are LAYERS_MAX steps at most, so no packet can hold an lcore up.
 */
enum { LAYERS_MAX = 32 };

enum layer {
	LAYER_UNKNOWN_LINK,
	LAYER_END, /* not understood, or nothing more */
	LAYER_ETHERNET,
	LAYER_TYPE,     /* what walk.type says */
	LAYER_IP,       /* of the version that its first bits say */
	LAYER_PROTOCOL, /* what walk.protocol says */
};

struct walk {
	const uint8_t *data;
	uint32_t len; /* of data; less when an IP header says that its packet is shorter */
	uint32_t off; /* end of the headers understood so far, <= len */
	uint16_t type;
	uint8_t protocol;
	bool in_ipv6; /* protocol may be an extension header */
};

/* IANA's numbers; netinet/in.h has some of them only. */
enum {
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_TRANSPARENT_ETHERNET = 0x6558,
	TYPE_RARP = 0x8035,
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	TYPE_MPLS = 0x8847,
	TYPE_MPLS_UPSTREAM = 0x8848,
	TYPE_PPPOE_SESSION = 0x8864,
	TYPE_QINQ = 0x88a8,
	TYPE_QINQ_OLD = 0x9100,

	PROTOCOL_HOP_BY_HOP = 0,
	PROTOCOL_ICMP = 1,
	PROTOCOL_IGMP = 2,
	PROTOCOL_IPV4 = 4,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_IPV6 = 41,
	PROTOCOL_ROUTING = 43,
	PROTOCOL_FRAGMENT = 44,
	PROTOCOL_GRE = 47,
	PROTOCOL_ESP = 50,
	PROTOCOL_AH = 51,
	PROTOCOL_ICMPV6 = 58,
	PROTOCOL_DESTINATION = 60,
	PROTOCOL_SCTP = 132,
	PROTOCOL_MOBILITY = 135,
	PROTOCOL_UDP_LITE = 136,
	PROTOCOL_HIP = 139,
	PROTOCOL_SHIM6 = 140,

	PPP_IPV4 = 0x0021,
	PPP_IPV6 = 0x0057,
	PPP_MPLS = 0x0281,

	FAMILY_IPV4 = 2, /* AF_INET is the same everywhere, AF_INET6 is not */
	FAMILY_IPV6_LINUX = 10,
	FAMILY_IPV6_BSD = 24,
	FAMILY_IPV6_FREEBSD = 28,
	FAMILY_IPV6_DARWIN = 30,
};

static uint16_t read_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/*
 * The next bytes of the packet, which are then a header understood. NULL when they are not all
 * there: what is there of the header counts, and the walk is over.
 */
static const uint8_t *walk_take(struct walk *w, uint32_t bytes)
{
	const uint8_t *p = w->data + w->off;

	if (bytes > w->len - w->off) {
		w->off = w->len;
		return NULL;
	}
	w->off += bytes;
	return p;
}

/* The next bytes, of a header that is understood only if they look right. */
static const uint8_t *walk_peek(const struct walk *w, uint32_t bytes)
{
	return bytes <= w->len - w->off ? w->data + w->off : NULL;
}

/* An IP header says how long its packet is: what lies behind, as Ethernet's padding, is no header. */
static void walk_limit(struct walk *w, uint32_t start, uint32_t bytes)
{
	if (bytes < w->len - start)
		w->len = start + bytes;
}

static enum layer walk_type(struct walk *w, uint16_t type)
{
	w->type = type;
	return LAYER_TYPE;
}

static enum layer walk_protocol(struct walk *w, uint8_t protocol)
{
	w->protocol = protocol;
	return LAYER_PROTOCOL;
}

static enum layer walk_ethernet(struct walk *w)
{
	const uint8_t *p = walk_take(w, 14);

	return p == NULL ? LAYER_END : walk_type(w, read_be16(p + 12));
}

static enum layer walk_vlan(struct walk *w)
{
	const uint8_t *p = walk_take(w, 4);

	return p == NULL ? LAYER_END : walk_type(w, read_be16(p + 2));
}

/* A label does not say what is behind it: what begins as IP is taken for IP. */
static enum layer walk_mpls(struct walk *w)
{
	const uint8_t *p = walk_take(w, 4);
	bool bottom;

	if (p == NULL)
		return LAYER_END;
	bottom = (p[2] & 1) != 0;
	return bottom ? LAYER_IP : LAYER_TYPE;
}

/* PPP's protocol has one byte where the peers agreed to leave out a leading 0: then it is odd. */
static enum layer walk_ppp(struct walk *w)
{
	const uint8_t *first = walk_peek(w, 1), *p;
	bool is_short = first != NULL && (*first & 1) != 0;

	p = walk_take(w, is_short ? 1 : 2);
	if (p == NULL)
		return LAYER_END;
	switch (is_short ? p[0] : read_be16(p)) {
	case PPP_IPV4:
		return walk_type(w, TYPE_IPV4);
	case PPP_IPV6:
		return walk_type(w, TYPE_IPV6);
	case PPP_MPLS:
		return walk_type(w, TYPE_MPLS);
	default:
		return LAYER_END;
	}
}

static enum layer walk_pppoe(struct walk *w)
{
	return walk_take(w, 6) == NULL ? LAYER_END : walk_ppp(w);
}

static enum layer walk_arp(struct walk *w)
{
	const uint8_t *p = walk_take(w, 8);

	if (p != NULL)
		(void)walk_take(w, 2U * p[4] + 2U * p[5]);
	return LAYER_END;
}

static enum layer walk_ipv4(struct walk *w)
{
	uint32_t start = w->off;
	const uint8_t *p = walk_peek(w, 1);
	uint32_t bytes;

	if (p != NULL && (p[0] >> 4 != 4 || (p[0] & 0xf) < 5))
		return LAYER_END;
	p = walk_take(w, 20);
	if (p == NULL)
		return LAYER_END;
	bytes = (p[0] & 0xfU) * 4;
	/* A total length of 0 is that of a packet which the host's own NIC has yet to cut. */
	if (read_be16(p + 2) >= bytes)
		walk_limit(w, start, read_be16(p + 2));
	if (walk_take(w, bytes - 20) == NULL)
		return LAYER_END;
	w->in_ipv6 = false;
	/* Behind the header of a later fragment is the middle of something. */
	return (read_be16(p + 6) & 0x1fff) != 0 ? LAYER_END : walk_protocol(w, p[9]);
}

static enum layer walk_ipv6(struct walk *w)
{
	uint32_t start = w->off;
	const uint8_t *p = walk_peek(w, 1);

	if (p != NULL && p[0] >> 4 != 6)
		return LAYER_END;
	p = walk_take(w, 40);
	if (p == NULL)
		return LAYER_END;
	if (read_be16(p + 4) != 0) /* 0: a jumbogram */
		walk_limit(w, start, 40U + read_be16(p + 4));
	w->in_ipv6 = true;
	return walk_protocol(w, p[6]);
}

static enum layer walk_ip(struct walk *w)
{
	const uint8_t *p = walk_peek(w, 1);

	if (p == NULL)
		return LAYER_END;
	switch (p[0] >> 4) {
	case 4:
		return walk_ipv4(w);
	case 6:
		return walk_ipv6(w);
	default:
		return LAYER_END;
	}
}

/* Extension headers: the next header's number, the length in units of unit bytes. */
static enum layer walk_extension(struct walk *w, uint32_t unit, uint32_t more)
{
	const uint8_t *p = walk_take(w, 2);

	if (p == NULL || walk_take(w, (p[1] + more) * unit - 2) == NULL)
		return LAYER_END;
	return walk_protocol(w, p[0]);
}

static enum layer walk_fragment(struct walk *w)
{
	const uint8_t *p = walk_take(w, 8);

	if (p == NULL || (read_be16(p + 2) & 0xfff8) != 0)
		return LAYER_END;
	return walk_protocol(w, p[0]);
}

static enum layer walk_tcp(struct walk *w)
{
	const uint8_t *p = walk_take(w, 20);

	if (p != NULL && p[12] >> 4 > 5)
		(void)walk_take(w, ((uint32_t)p[12] >> 4) * 4 - 20);
	return LAYER_END;
}

/* RFC 1701, 2784, 2890; version 1 is PPTP's, RFC 2637, of which the header alone counts. */
static enum layer walk_gre(struct walk *w)
{
	const uint8_t *p = walk_take(w, 4);
	uint32_t more = 0;
	uint16_t flags;

	if (p == NULL)
		return LAYER_END;
	flags = read_be16(p);
	if ((flags & 7) > 1)
		return LAYER_END;
	if ((flags & 0xc000) != 0) /* checksum or routing: both fields are there */
		more += 4;
	if ((flags & 0x2000) != 0) /* key */
		more += 4;
	if ((flags & 0x1000) != 0) /* sequence number */
		more += 4;
	if ((flags & 0x0087) == 0x0081) /* acknowledgment number */
		more += 4;
	if (walk_take(w, more) == NULL)
		return LAYER_END;
	/* A source route of unknown length would follow. */
	if ((flags & 7) == 1 || (flags & 0x4000) != 0)
		return LAYER_END;
	return walk_type(w, read_be16(p + 2));
}

static enum layer walk_last(struct walk *w, uint32_t bytes)
{
	(void)walk_take(w, bytes);
	return LAYER_END;
}

static enum layer walk_by_type(struct walk *w)
{
	switch (w->type) {
	case TYPE_IPV4:
		return walk_ipv4(w);
	case TYPE_IPV6:
		return walk_ipv6(w);
	case TYPE_VLAN:
	case TYPE_QINQ:
	case TYPE_QINQ_OLD:
		return walk_vlan(w);
	case TYPE_MPLS:
	case TYPE_MPLS_UPSTREAM:
		return walk_mpls(w);
	case TYPE_PPPOE_SESSION:
		return walk_pppoe(w);
	case TYPE_TRANSPARENT_ETHERNET:
		return LAYER_ETHERNET;
	case TYPE_ARP:
	case TYPE_RARP:
		return walk_arp(w);
	default:
		return LAYER_END;
	}
}

static enum layer walk_by_ipv6_protocol(struct walk *w)
{
	switch (w->protocol) {
	case PROTOCOL_HOP_BY_HOP:
	case PROTOCOL_ROUTING:
	case PROTOCOL_DESTINATION:
	case PROTOCOL_MOBILITY:
	case PROTOCOL_HIP:
	case PROTOCOL_SHIM6:
		return walk_extension(w, 8, 1);
	case PROTOCOL_FRAGMENT:
		return walk_fragment(w);
	default:
		return LAYER_END;
	}
}

static enum layer walk_by_protocol(struct walk *w)
{
	switch (w->protocol) {
	case PROTOCOL_TCP:
		return walk_tcp(w);
	case PROTOCOL_UDP:
	case PROTOCOL_UDP_LITE:
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6:
	case PROTOCOL_IGMP:
	case PROTOCOL_ESP: /* what is behind is encrypted */
		return walk_last(w, 8);
	case PROTOCOL_SCTP:
		return walk_last(w, 12);
	case PROTOCOL_GRE:
		return walk_gre(w);
	case PROTOCOL_AH:
		return walk_extension(w, 4, 2);
	case PROTOCOL_IPV4:
		return walk_ipv4(w);
	case PROTOCOL_IPV6:
		return walk_ipv6(w);
	default:
		return w->in_ipv6 ? walk_by_ipv6_protocol(w) : LAYER_END;
	}
}

/* BSD's null and loop: an address family in the order of who wrote it, or in network order. */
static enum layer walk_family(struct walk *w)
{
	const uint8_t *p = walk_take(w, 4);

	if (p == NULL)
		return LAYER_END;
	switch (p[0] != 0 ? p[0] : p[3]) {
	case FAMILY_IPV4:
		return walk_type(w, TYPE_IPV4);
	case FAMILY_IPV6_LINUX:
	case FAMILY_IPV6_BSD:
	case FAMILY_IPV6_FREEBSD:
	case FAMILY_IPV6_DARWIN:
		return walk_type(w, TYPE_IPV6);
	default:
		return LAYER_END;
	}
}

static enum layer walk_cooked(struct walk *w, uint32_t bytes, uint32_t type_off)
{
	const uint8_t *p = walk_take(w, bytes);

	return p == NULL ? LAYER_END : walk_type(w, read_be16(p + type_off));
}

/* The first layer of a packet. */
static enum layer walk_link(struct walk *w, int linktype)
{
	enum { LINKTYPE_RAW = 101 }; /* in files; DLT_RAW is what libpcap makes of it */

	switch (linktype) {
	case DLT_EN10MB:
		return LAYER_ETHERNET;
	case DLT_RAW:
	case LINKTYPE_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
		return LAYER_IP;
	case DLT_LINUX_SLL:
		return walk_cooked(w, 16, 14);
	case DLT_LINUX_SLL2:
		return walk_cooked(w, 20, 0);
	case DLT_NULL:
	case DLT_LOOP:
		return walk_family(w);
	default:
		return LAYER_UNKNOWN_LINK;
	}
}

uint32_t headers_length(int linktype, const uint8_t *data, uint32_t len)
{
	struct walk w = {.data = data, .len = len};
	enum layer layer = walk_link(&w, linktype);

	if (layer == LAYER_UNKNOWN_LINK)
		return len;
	for (unsigned int i = 0; i < LAYERS_MAX && layer != LAYER_END; i++) {
		switch (layer) {
		case LAYER_ETHERNET:
			layer = walk_ethernet(&w);
			break;
		case LAYER_TYPE:
			layer = walk_by_type(&w);
			break;
		case LAYER_IP:
			layer = walk_ip(&w);
			break;
		default:
			layer = walk_by_protocol(&w);
			break;
		}
	}
	return w.off;
}
