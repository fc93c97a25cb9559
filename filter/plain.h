#pragma once
/*
 * Plain packets: IP right behind Ethernet and up to two tags, no fragment, no extension header; or no IP. So
 * are most packets, and so libpcap's programs expect them. What the header walk would tell of one stands here,
 * in a tenth of the time. Private to filter/.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>

#include "flow_key.h"
#include "headers.h"
#include "program_maybe.h"

/* Ethernet and IPv6, or the front of it behind tags: of less nothing is told. */
enum { PLAIN_BYTES = 54 };

static inline uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The types of VLAN tags that are looked behind. */
static inline bool is_tag_type(rte_be16_t type)
{
	return type == RTE_BE16(0x8100) || type == RTE_BE16(0x88a8) || type == RTE_BE16(0x9100);
}

/* MPLS, PPPoE. */
static inline bool is_label_type(rte_be16_t type)
{
	return type == RTE_BE16(0x8847) || type == RTE_BE16(0x8848) || type == RTE_BE16(0x8864);
}

/* Of an Ethernet frame with PLAIN_BYTES at least: its type behind up to two tags, and where that ends. */
static inline rte_be16_t plain_type(const uint8_t *p, uint32_t *ret_off)
{
	enum { TAG_BYTES = 4, TAGS_MAX = 2 };
	rte_be16_t type = load16(p + 12);
	uint32_t off = 14;

	/* Of most packets one question is enough. */
	if (unlikely(type != RTE_BE16(0x0800)))
		for (unsigned int tags = 0; tags < TAGS_MAX && is_tag_type(type); tags++) {
			type = load16(p + off + 2);
			off += TAG_BYTES;
		}
	*ret_off = off;
	return type;
}

/* An Ethernet frame with PLAIN_BYTES at least. */
static inline bool is_plain(const uint8_t *p)
{
	enum { IPV4_FRAGMENT = 6, IPV6_NEXT_HEADER = 6 }; /* places in the headers */
	uint32_t off;
	rte_be16_t type = plain_type(p, &off);

	if (likely(type == RTE_BE16(0x0800))) /* more fragments, offset */
		return (load16(p + off + IPV4_FRAGMENT) & RTE_BE16(0x3fff)) == 0;
	if (type == RTE_BE16(0x86dd))
		return !is_extension(p[off + IPV6_NEXT_HEADER]);
	return !is_label_type(type) && !is_tag_type(type);
}

/*
 * The IP header of a plain packet, if it is one of the common kind, with all four bytes of its ports; its
 * fragment_id, tunnel and ether_off are not stored. len is what lies at p, PLAIN_BYTES at least. *ret_end is
 * where the IP packet ends by what its header says, which may be behind len. False: the header walk tells.
 */
static inline bool plain_ip(const uint8_t *p, uint32_t len, struct ip_header *ip, uint32_t *ret_end)
{
	uint32_t off, end;
	rte_be16_t type = plain_type(p, &off);
	bool has_ports;

	if (type == RTE_BE16(0x0800) && p[off] == 0x45) {
		ip->version = 4;
		ip->protocol = p[off + 9];
		ip->payload_off = off + 20;
		end = off + rte_be_to_cpu_16(load16(p + off + 2));
	} else if (type == RTE_BE16(0x86dd) && p[off] >> 4 == 6) {
		ip->version = 6;
		ip->protocol = p[off + 6];
		ip->payload_off = off + 40;
		end = off + 40 + rte_be_to_cpu_16(load16(p + off + 4));
	} else {
		return false;
	}
	has_ports = flow_classes[ip->protocol] >= CLASS_PORTS;
	if (!has_ports && ip->protocol != IPPROTO_ICMP && ip->protocol != IPPROTO_ICMPV6)
		return false;
	if (end < ip->payload_off + 4 || len < ip->payload_off + 4)
		return false;
	ip->ip_off = off;
	ip->fragment = ip->later_fragment = false;
	ip->ports = has_ports;
	*ret_end = end;
	return true;
}
