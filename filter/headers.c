#include "headers.h"

#include <pcap/dlt.h>

#include "plain.h"
#include "wirespool/filter.h"

/*
 * The header walk: one layer after the other, each of which says what comes next and how far
 * its header reaches. No step goes back, each reads only what walk_take() has found to be
 * there, and there are LAYERS_MAX steps at most, so no packet can hold an lcore up.
 */
enum { LAYERS_MAX = 32, GTP_EXTENSIONS_MAX = 8 };

enum layer {
	LAYER_UNKNOWN_LINK,
	LAYER_END, /* not understood, or nothing more */
	LAYER_ETHERNET,
	LAYER_TYPE,     /* what walk.type says */
	LAYER_IP,       /* of the version that its first bits say */
	LAYER_PROTOCOL, /* what walk.ip->protocol says */
};

struct walk {
	const uint8_t *data;
	uint32_t len;         /* of data; less when an IP header says that its packet is shorter */
	uint32_t off;         /* end of the headers understood so far, <= len */
	struct headers *ret;  /* NULL: where the headers end is all that is wanted */
	unsigned int count;   /* of IP headers so far */
	struct ip_header *ip; /* the last of them, in ret if there is one */
	uint32_t ether_off;   /* of the Ethernet header since then */
	uint16_t type;
	uint8_t tunnel; /* that was entered since then */
};

/* IANA's numbers; netinet/in.h has some of them only. */
enum {
	TYPE_IPV4 = 0x0800,
	TYPE_ARP = 0x0806,
	TYPE_ERSPAN_3 = 0x22eb,
	TYPE_TRANSPARENT_ETHERNET = 0x6558,
	TYPE_RARP = 0x8035,
	TYPE_VLAN = 0x8100,
	TYPE_IPV6 = 0x86dd,
	TYPE_MPLS = 0x8847,
	TYPE_MPLS_UPSTREAM = 0x8848,
	TYPE_PPPOE_SESSION = 0x8864,
	TYPE_QINQ = 0x88a8,
	TYPE_ERSPAN = 0x88be,
	TYPE_QINQ_OLD = 0x9100,

	PROTOCOL_HOP_BY_HOP = 0,
	PROTOCOL_ICMP = 1,
	PROTOCOL_IGMP = 2,
	PROTOCOL_IPV4 = 4,
	PROTOCOL_TCP = 6,
	PROTOCOL_UDP = 17,
	PROTOCOL_DCCP = 33,
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

	PORT_GTP_U = 2152,
	PORT_VXLAN = 4789,
	PORT_VXLAN_LINUX = 8472, /* before IANA had one; still the kernel's default */
	PORT_GENEVE = 6081,

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

/* What follows the IP header, or one that belongs to it: an extension header, AH. */
static enum layer walk_protocol(struct walk *w, uint8_t protocol)
{
	w->ip->payload_off = w->off;
	w->ip->protocol = protocol;
	/* Behind the headers of a later fragment is the middle of something. */
	return w->ip->later_fragment ? LAYER_END : LAYER_PROTOCOL;
}

/* The next IP header, of which its caller knows the rest. False: it is one too many. */
static bool walk_begin_ip(struct walk *w, uint32_t start, uint8_t version)
{
	if (w->count == HEADERS_IP_MAX)
		return false;
	if (w->ret != NULL)
		w->ip = &w->ret->ip[w->count];
	w->count++;
	w->ip->ip_off = start;
	w->ip->ether_off = w->ether_off;
	w->ip->version = version;
	w->ip->tunnel = w->tunnel;
	w->ip->fragment_id = 0;
	w->ip->fragment = false;
	w->ip->later_fragment = false;
	w->ip->ports = false;
	w->ether_off = NO_ETHERNET;
	return true;
}

static enum layer walk_ethernet(struct walk *w)
{
	uint32_t start = w->off;
	const uint8_t *p = walk_take(w, 14);

	if (p == NULL)
		return LAYER_END;
	w->ether_off = start;
	return walk_type(w, read_be16(p + 12));
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
	if (!walk_begin_ip(w, start, 4))
		return LAYER_END;
	w->ip->fragment_id = read_be16(p + 4);
	w->ip->fragment = (read_be16(p + 6) & 0x3fff) != 0; /* more fragments, offset */
	w->ip->later_fragment = (read_be16(p + 6) & 0x1fff) != 0;
	return walk_protocol(w, p[9]);
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
	return walk_begin_ip(w, start, 6) ? walk_protocol(w, p[6]) : LAYER_END;
}

static enum layer walk_ip(struct walk *w)
{
	const uint8_t *p = walk_peek(w, 1);

	if (p == NULL)
		return LAYER_END;
	switch (p[0] >> 4) {
	case 4:
		return walk_type(w, TYPE_IPV4);
	case 6:
		return walk_type(w, TYPE_IPV6);
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

	if (p == NULL)
		return LAYER_END;
	/* Else it is the only one, an atomic fragment of RFC 6946. */
	if ((read_be16(p + 2) & 0xfff9) != 0) {
		w->ip->fragment = true;
		w->ip->later_fragment = (read_be16(p + 2) & 0xfff8) != 0;
		w->ip->fragment_id = (uint32_t)read_be16(p + 4) << 16 | read_be16(p + 6);
	}
	return walk_protocol(w, p[0]);
}

/* As walk_take(), of a header that begins with a source and a destination port. */
static const uint8_t *walk_take_ports(struct walk *w, uint32_t bytes)
{
	w->ip->ports = walk_peek(w, 4) != NULL;
	return walk_take(w, bytes);
}

static enum layer walk_tcp(struct walk *w)
{
	const uint8_t *p = walk_take_ports(w, 20);

	if (p != NULL && p[12] >> 4 > 5)
		(void)walk_take(w, ((uint32_t)p[12] >> 4) * 4 - 20);
	return LAYER_END;
}

static enum layer walk_dccp(struct walk *w)
{
	const uint8_t *p = walk_take_ports(w, 12);

	if (p != NULL && p[4] > 3)
		(void)walk_take(w, p[4] * 4U - 12);
	return LAYER_END;
}

/* draft-foschiano-erspan: type I is an Ethernet frame as it is, II has a header in front of it. */
static enum layer walk_erspan(struct walk *w, bool sequence)
{
	const uint8_t *p = walk_peek(w, 1);

	if (!sequence)
		return LAYER_ETHERNET;
	if (p != NULL && p[0] >> 4 != 1)
		return LAYER_END;
	return walk_take(w, 8) == NULL ? LAYER_END : LAYER_ETHERNET;
}

/* The header of type III says whether 8 bytes more belong to it, and what is behind. */
static enum layer walk_erspan_3(struct walk *w)
{
	const uint8_t *p = walk_peek(w, 1);

	if (p != NULL && p[0] >> 4 != 2)
		return LAYER_END;
	p = walk_take(w, 12);
	if (p == NULL || ((p[11] & 1) != 0 && walk_take(w, 8) == NULL))
		return LAYER_END;
	switch (p[10] >> 2 & 0x1f) {
	case 0:
		return LAYER_ETHERNET;
	case 2:
		return LAYER_IP;
	default:
		return LAYER_END;
	}
}

static enum layer walk_gre_type(struct walk *w, uint16_t type, bool sequence)
{
	switch (type) {
	case TYPE_ERSPAN:
		return walk_erspan(w, sequence);
	case TYPE_ERSPAN_3:
		return walk_erspan_3(w);
	default:
		return walk_type(w, type);
	}
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
	w->tunnel = TUNNEL_GRE;
	return walk_gre_type(w, read_be16(p + 2), (flags & 0x1000) != 0);
}

/* Flag P: what follows is named (draft-ietf-nvo3-vxlan-gpe), so that it need not be a frame. */
static enum layer walk_vxlan_next(struct walk *w, const uint8_t *p)
{
	enum { NEXT_IPV4 = 1, NEXT_IPV6 = 2, NEXT_ETHERNET = 3 };

	if ((p[1] | p[2]) != 0 || p[3] < NEXT_IPV4 || p[3] > NEXT_ETHERNET)
		return LAYER_END;
	w->tunnel = TUNNEL_VXLAN;
	if (p[3] == NEXT_ETHERNET)
		return LAYER_ETHERNET;
	return walk_type(w, p[3] == NEXT_IPV4 ? TYPE_IPV4 : TYPE_IPV6);
}

/*
 * RFC 7348: flag I alone; or with flag G, then with a group policy in bytes that are reserved
 * else (draft-smith-vxlan-group-policy); or with flag P.
 */
static enum layer walk_vxlan(struct walk *w)
{
	enum { FLAGS_I = 0x08, FLAGS_IP = 0x0c };
	const uint8_t *p = walk_peek(w, 1);

	if (p != NULL && (p[0] & 0x7f) != FLAGS_I && p[0] != FLAGS_IP)
		return LAYER_END;
	p = walk_take(w, 8);
	if (p == NULL || p[7] != 0 || (p[0] == FLAGS_I && (p[1] | p[2] | p[3]) != 0))
		return LAYER_END;
	if (p[0] == FLAGS_IP)
		return walk_vxlan_next(w, p);
	w->tunnel = TUNNEL_VXLAN;
	return LAYER_ETHERNET;
}

/* RFC 8926. */
static enum layer walk_geneve(struct walk *w)
{
	const uint8_t *p = walk_peek(w, 1);

	if (p != NULL && p[0] >> 6 != 0)
		return LAYER_END;
	p = walk_take(w, 8);
	if (p == NULL || walk_take(w, (p[0] & 0x3fU) * 4) == NULL)
		return LAYER_END;
	w->tunnel = TUNNEL_GENEVE;
	return walk_type(w, read_be16(p + 2));
}

/* False: one is cut or cannot be right, or there are more than any sender has. */
static bool walk_gtp_extensions(struct walk *w, uint8_t type)
{
	for (unsigned int i = 0; i < GTP_EXTENSIONS_MAX && type != 0; i++) {
		const uint8_t *units = walk_peek(w, 1), *p;

		if (units == NULL || *units == 0)
			return false;
		p = walk_take(w, *units * 4U);
		if (p == NULL)
			return false;
		type = p[*units * 4U - 1];
	}
	return type == 0;
}

/* 3GPP TS 29.281, 5.1. A G-PDU does not say what is in it: what begins as IP is taken for IP. */
static enum layer walk_gtp_u(struct walk *w)
{
	enum { G_PDU = 255, EXTENSION = 4, OPTIONAL = 7 };
	const uint8_t *p = walk_peek(w, 1), *optional;

	if (p != NULL && (p[0] & 0xf0) != 0x30) /* version 1, not GTP' */
		return LAYER_END;
	p = walk_take(w, 8);
	if (p == NULL)
		return LAYER_END;
	/* One flag for each of three fields, which are all there with any of them. */
	if ((p[0] & OPTIONAL) != 0) {
		optional = walk_take(w, 4);
		if (optional == NULL)
			return LAYER_END;
		if ((p[0] & EXTENSION) != 0 && !walk_gtp_extensions(w, optional[3]))
			return LAYER_END;
	}
	if (p[1] != G_PDU)
		return LAYER_END;
	w->tunnel = TUNNEL_GTP_U;
	return LAYER_IP;
}

/* Receivers know a tunnel by the destination port: it is that of both directions. */
static enum tunnel udp_tunnel(const uint8_t *p)
{
	switch (read_be16(p + 2)) {
	case PORT_GTP_U:
		return TUNNEL_GTP_U;
	case PORT_VXLAN:
	case PORT_VXLAN_LINUX:
		return TUNNEL_VXLAN;
	case PORT_GENEVE:
		return TUNNEL_GENEVE;
	default:
		return TUNNEL_NONE;
	}
}

static enum layer walk_udp(struct walk *w)
{
	const uint8_t *p = walk_take_ports(w, 8);

	if (p == NULL)
		return LAYER_END;
	switch (udp_tunnel(p)) {
	case TUNNEL_GTP_U:
		return walk_gtp_u(w);
	case TUNNEL_VXLAN:
		return walk_vxlan(w);
	case TUNNEL_GENEVE:
		return walk_geneve(w);
	default:
		return LAYER_END;
	}
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
	switch (w->ip->protocol) {
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
	switch (w->ip->protocol) {
	case PROTOCOL_TCP:
		return walk_tcp(w);
	case PROTOCOL_UDP:
		return walk_udp(w);
	case PROTOCOL_DCCP:
		return walk_dccp(w);
	case PROTOCOL_UDP_LITE:
		(void)walk_take_ports(w, 8);
		return LAYER_END;
	case PROTOCOL_SCTP:
		(void)walk_take_ports(w, 12);
		return LAYER_END;
	case PROTOCOL_ICMP:
	case PROTOCOL_ICMPV6:
	case PROTOCOL_IGMP:
	case PROTOCOL_ESP: /* what is behind is encrypted */
		return walk_last(w, 8);
	case PROTOCOL_GRE:
		return walk_gre(w);
	case PROTOCOL_AH:
		return walk_extension(w, 4, 2);
	case PROTOCOL_IPV4:
		w->tunnel = TUNNEL_IPIP;
		return walk_type(w, TYPE_IPV4);
	case PROTOCOL_IPV6:
		w->tunnel = TUNNEL_IPIP;
		return walk_type(w, TYPE_IPV6);
	default:
		return w->ip->version == 6 ? walk_by_ipv6_protocol(w) : LAYER_END;
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

static inline bool walk_layers(struct walk *w, int linktype)
{
	enum layer layer = walk_link(w, linktype);

	if (layer == LAYER_UNKNOWN_LINK)
		return false;
	for (unsigned int i = 0; i < LAYERS_MAX && layer != LAYER_END; i++) {
		switch (layer) {
		case LAYER_ETHERNET:
			layer = walk_ethernet(w);
			break;
		case LAYER_TYPE:
			layer = walk_by_type(w);
			break;
		case LAYER_IP:
			layer = walk_ip(w);
			break;
		default:
			layer = walk_by_protocol(w);
			break;
		}
	}
	return true;
}

/*
 * Two copies of the whole walk, "flatten" is what makes them: its state is then in registers, and
 * what is told is not even stored in the copy that tells nothing.
 */
__attribute__((flatten)) bool headers_walk(
	int linktype, const uint8_t *data, uint32_t len, struct headers *ret)
{
	struct walk w = {.data = data, .len = len, .ret = ret, .ether_off = NO_ETHERNET};
	bool understood = walk_layers(&w, linktype);

	ret->end = understood ? w.off : len;
	ret->count = w.count;
	return understood;
}

/* The same of what most packets are, in much less time: TCP and UDP of plain packets. 0: walk. */
static inline uint32_t plain_length(const uint8_t *p, uint32_t len)
{
	struct ip_header ip;
	const uint8_t *payload;
	uint32_t end, bytes;

	if (len < PLAIN_BYTES || !is_plain(p) || !plain_ip(p, len, &ip, &end))
		return 0;
	payload = p + ip.payload_off;
	end = end < len ? end : len;
	if (ip.protocol == PROTOCOL_UDP && udp_tunnel(payload) == TUNNEL_NONE)
		bytes = 8;
	else if (ip.protocol == PROTOCOL_TCP && end - ip.payload_off >= 20 && payload[12] >> 4 >= 5)
		bytes = (payload[12] >> 4) * 4U;
	else
		return 0;
	return bytes <= end - ip.payload_off ? ip.payload_off + bytes : 0;
}

__attribute__((flatten)) uint32_t headers_length(int linktype, const uint8_t *data, uint32_t len)
{
	struct ip_header unused = {0};
	struct walk w = {.data = data, .len = len, .ip = &unused};
	uint32_t plain = linktype == DLT_EN10MB ? plain_length(data, len) : 0;

	if (plain > 0)
		return plain;
	return walk_layers(&w, linktype) ? w.off : len;
}
