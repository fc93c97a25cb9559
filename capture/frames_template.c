/*
 * Templates: the headers of each flow's frames, and where in the frame they are.
 *
 *   | Ethernet | tags | MPLS | outer IPv4 | UDP or GRE | tunnel | Ethernet | IP | UDP or TCP | stamp
 *                            '----------- with a tunnel, as far as it has them '
 */
#include "frames_layout.h"

#include <endian.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

enum {
	PORT_SERVER = 9,
	PORT_CLIENT = 49152,
	PORTS_CLIENT = 16384, /* from there on */
	CLIENT_HOSTS = 65534,
	SERVER_HOSTS = 250,
	MPLS_BYTES = 4,
	MPLS_FIRST_LABEL = 100,
	MPLS_BOTTOM = 1 << 8,
	GRE_BYTES = 4,
	TUNNEL_ID = 1, /* VNI, and the first TEID */
};

/* What lies between the outer and the inner IP header, besides the outer UDP header. */
static const struct {
	uint16_t bytes; /* of the tunnel's own header */
	uint16_t port;  /* 0: it is not over UDP */
	bool ethernet;  /* its payload is Ethernet, else IP */
} TUNNELS[] = {
	[TUNNEL_NONE] = {0, 0, false},
	[TUNNEL_VXLAN] = {8, 4789, true},
	[TUNNEL_GENEVE] = {8, 6081, true},
	[TUNNEL_GTP_U] = {8, 2152, false},
	[TUNNEL_GRE] = {GRE_BYTES, 0, false},
	[TUNNEL_IPIP] = {0, 0, false},
};

static uint16_t link_bytes(const struct frames_options *o)
{
	unsigned int tags = (o->vlan != 0 ? 1U : 0U) + (o->inner_vlan != 0 ? 1U : 0U);

	return (uint16_t)(RTE_ETHER_HDR_LEN + tags * RTE_VLAN_HLEN + o->mpls_labels * MPLS_BYTES);
}

struct shape shape_make(unsigned int kind, const struct frames_options *o)
{
	struct shape s = {.ip = link_bytes(o)};

	if (o->tunnel != TUNNEL_NONE) {
		s.outer_ip = s.ip;
		s.outer_l4 = (uint16_t)(s.outer_ip + sizeof(struct rte_ipv4_hdr));
		s.tunnel = s.outer_l4;
		if (TUNNELS[o->tunnel].port != 0)
			s.tunnel = (uint16_t)(s.tunnel + sizeof(struct rte_udp_hdr));
		s.ip = (uint16_t)(s.tunnel + TUNNELS[o->tunnel].bytes);
		if (TUNNELS[o->tunnel].ethernet)
			s.ip = (uint16_t)(s.ip + RTE_ETHER_HDR_LEN);
	}
	s.l4 = (uint16_t)(s.ip + (kind & SHAPE_IPV6 ? sizeof(struct rte_ipv6_hdr)
						    : sizeof(struct rte_ipv4_hdr)));
	s.payload = (uint16_t)(s.l4 + (kind & SHAPE_TCP ? sizeof(struct rte_tcp_hdr)
							: sizeof(struct rte_udp_hdr)));
	return s;
}

unsigned int kind_longest(const struct frames_options *o)
{
	return (o->ipv6_percent != 0 ? SHAPE_IPV6 : 0) | (o->tcp_percent != 0 ? SHAPE_TCP : 0);
}

static void write_ethernet(uint8_t *t, bool back, uint16_t type)
{
	static const uint8_t MACS[2][6] = {{0x02, 0, 0, 0, 0, 1}, {0x02, 0, 0, 0, 0, 2}};

	memcpy(t, MACS[!back], 6);
	memcpy(t + 6, MACS[back], 6);
	store16(t + 12, htobe16(type));
}

/* Ethernet, tags and labels before an IP header of this type. */
static void write_link(uint8_t *t, const struct frames_options *o, bool back, uint16_t type)
{
	uint8_t *at = t + 12;

	write_ethernet(t, back, type);
	if (o->inner_vlan != 0) {
		store16(at, htobe16(RTE_ETHER_TYPE_QINQ));
		store16(at + 2, htobe16((uint16_t)o->vlan));
		at += RTE_VLAN_HLEN;
	}
	if (o->vlan != 0) {
		store16(at, htobe16(RTE_ETHER_TYPE_VLAN));
		store16(at + 2, htobe16((uint16_t)(o->inner_vlan != 0 ? o->inner_vlan : o->vlan)));
		at += RTE_VLAN_HLEN;
	}
	store16(at, htobe16(o->mpls_labels != 0 ? RTE_ETHER_TYPE_MPLS : type));
	at += 2;
	for (uint32_t i = 0; i < o->mpls_labels; i++, at += MPLS_BYTES)
		store32(at, htobe32((MPLS_FIRST_LABEL + i) << 12 | 64U |
				    (i + 1 == o->mpls_labels ? MPLS_BOTTOM : 0)));
}

/* Both return the sum of the pseudo header without its length. */
static uint64_t write_ipv4(
	uint8_t *t, uint32_t client, uint32_t server, bool back, uint8_t protocol, uint16_t flags)
{
	struct rte_ipv4_hdr ip = {
		.version_ihl = RTE_IPV4_VHL_DEF,
		.fragment_offset = htobe16(flags),
		.time_to_live = 64,
		.next_proto_id = protocol,
		.src_addr = htobe32(back ? server : client),
		.dst_addr = htobe32(back ? client : server),
	};

	/* The flow's part of the sum; length and identification come with the frame. */
	ip.hdr_checksum = fold(sum_bytes((const uint8_t *)&ip, sizeof(ip)));
	memcpy(t, &ip, sizeof(ip));
	return sum_bytes((const uint8_t *)&ip.src_addr, 8) + htobe16(protocol);
}

static uint64_t write_ipv6(uint8_t *t, uint32_t conversation, bool back, uint8_t protocol)
{
	static const uint8_t NET[4] = {0x20, 0x01, 0x0d, 0xb8};
	uint8_t ends[2][16] = {{0}, {0}}; /* client, server */

	memcpy(ends[0], NET, sizeof(NET));
	ends[0][5] = 1;
	store32(ends[0] + 12, htobe32(conversation + 1));
	memcpy(ends[1], NET, sizeof(NET));
	ends[1][5] = 2;
	store32(ends[1] + 12, htobe32(conversation % SERVER_HOSTS + 1));

	store32(t, htobe32(0x60000000));
	t[6] = protocol;
	t[7] = 64;
	memcpy(t + 8, ends[back], 16);
	memcpy(t + 24, ends[!back], 16);
	return sum_bytes(t + 8, 32) + htobe16(protocol);
}

static void write_tunnel_header(uint8_t *t, enum frames_tunnel tunnel, uint32_t flow, uint16_t type)
{
	switch (tunnel) {
	case TUNNEL_VXLAN: /* RFC 7348: flag I, VNI */
		store32(t, htobe32(0x08000000));
		store32(t + 4, htobe32(TUNNEL_ID << 8));
		break;
	case TUNNEL_GENEVE: /* RFC 8926: no options, Ethernet, VNI */
		store32(t, htobe32(RTE_ETHER_TYPE_TEB));
		store32(t + 4, htobe32(TUNNEL_ID << 8));
		break;
	case TUNNEL_GTP_U: /* 3GPP TS 29.281: version 1, G-PDU, TEID; the length comes with the frame */
		store16(t, htobe16(0x30ff));
		store32(t + 4, htobe32(TUNNEL_ID + flow));
		break;
	case TUNNEL_GRE: /* RFC 2784, without a checksum */
		store16(t + 2, htobe16(type));
		break;
	case TUNNEL_IPIP:
	case TUNNEL_NONE:
		break;
	}
}

static uint8_t tunnel_protocol(enum frames_tunnel tunnel, bool ipv6)
{
	if (TUNNELS[tunnel].port != 0)
		return IPPROTO_UDP;
	if (tunnel == TUNNEL_GRE)
		return IPPROTO_GRE;
	return ipv6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
}

/*
 * The outer headers. Where the outer UDP has a checksum it goes over the whole inner frame, and costs
 * nothing: an IPv4 header with its checksum adds up to zero, and so does what is behind an IP
 * header with its pseudo header. What is left is that pseudo header, subtracted.
 */
static void write_outer(uint8_t *t, const struct shape *s, uint32_t flow, unsigned int kind,
	const struct frames_options *o, uint64_t inner_pseudo)
{
	bool back = flow % 2 != 0, ipv6 = kind & SHAPE_IPV6;
	uint16_t type = ipv6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	uint16_t port = TUNNELS[o->tunnel].port;
	uint64_t sum = write_ipv4(t + s->outer_ip, 0x0a030001, 0x0a030002, back,
		tunnel_protocol(o->tunnel, ipv6), RTE_IPV4_HDR_DF_FLAG);

	write_tunnel_header(t + s->tunnel, o->tunnel, flow, type);
	if (TUNNELS[o->tunnel].ethernet)
		write_ethernet(t + s->ip - RTE_ETHER_HDR_LEN, back, type);
	if (port == 0)
		return;
	/* VXLAN and Geneve tell flows apart by the source port, the same for both directions. */
	store16(t + s->outer_l4,
		o->tunnel == TUNNEL_GTP_U
			? htobe16(port)
			: htobe16((uint16_t)(PORT_CLIENT + flow / 2 % PORTS_CLIENT)));
	store16(t + s->outer_l4 + 2, htobe16(port));
	sum += sum_bytes(t + s->outer_l4, (size_t)(s->ip - s->outer_l4));
	sum += (uint16_t)~fold(inner_pseudo);
	if (ipv6)
		sum += sum_bytes(t + s->ip, sizeof(struct rte_ipv6_hdr));
	store16(t + s->outer_l4 + 6, fold(sum));
}

void template_write(struct frames *f, uint32_t index, uint32_t flow, unsigned int kind,
	const struct frames_options *o)
{
	uint8_t *t = f->templates + (size_t)index * f->template_bytes;
	const struct shape *s = &f->shapes[kind];
	uint16_t type = kind & SHAPE_IPV6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	uint8_t protocol = kind & SHAPE_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	uint32_t conversation = flow / 2;
	uint16_t client = (uint16_t)(PORT_CLIENT + conversation / CLIENT_HOSTS);
	bool back = flow % 2 != 0;
	struct frame_stamp stamp = {.magic = htobe32(FRAME_STAMP_MAGIC), .flow = htobe32(flow)};
	uint64_t pseudo, sum;

	memcpy(t, f->body, f->template_bytes);
	memset(t, 0, s->payload);
	write_link(t, o, back, o->tunnel != TUNNEL_NONE ? RTE_ETHER_TYPE_IPV4 : type);
	pseudo = kind & SHAPE_IPV6
			 ? write_ipv6(t + s->ip, conversation, back, protocol)
			 : write_ipv4(t + s->ip, 0x0a010001 + conversation % CLIENT_HOSTS,
				   0x0a020001 + conversation % SERVER_HOSTS, back, protocol, 0);
	if (o->tunnel != TUNNEL_NONE)
		write_outer(t, s, flow, kind, o, pseudo);
	store16(t + s->l4, htobe16(back ? PORT_SERVER : client));
	store16(t + s->l4 + 2, htobe16(back ? client : PORT_SERVER));
	if (kind & SHAPE_TCP) {
		store32(t + s->l4 + 8, htobe32(1)); /* acknowledgement */
		t[s->l4 + 12] = 5 << 4;
		t[s->l4 + 13] = RTE_TCP_ACK_FLAG | RTE_TCP_PSH_FLAG;
		store16(t + s->l4 + 14, htobe16(UINT16_MAX));
	}
	memcpy(t + s->payload, &stamp, sizeof(stamp));
	sum = pseudo + sum_bytes(t + s->l4, (size_t)(s->payload - s->l4));
	sum += sum_bytes((const uint8_t *)&stamp, sizeof(stamp));
	store16(t + s->l4 + (kind & SHAPE_TCP ? 16 : 6), fold(sum));
}
