#pragma once
/*
 * Flow key: what rule tables look at of a packet, laid out so that rte_acl reads it in place.
 *
 * Who walks the headers fills in a key per packet; any number of tables match it then.
 */

#include <stdint.h>

enum flow_family { FLOW_NO_IP, FLOW_IPV4, FLOW_IPV6, FLOW_FAMILIES };

/* What is known of a packet's ports. */
enum flow_ports {
	PORTS_NONE,    /* there are none: rules with ports do not match */
	PORTS_KNOWN,   /* sport and dport are they */
	PORTS_UNKNOWN, /* in another fragment: could be any that a rule keeps or cuts */
};

/*
 * rte_acl wants one byte first and then groups of four, and addresses and ports are such groups. So
 * the protocol and what is known of its ports share one byte, the class:
 *
 *	0xe0 | flow_ports << 3 | 0..4   the five protocols that have ports
 *	0x00..0xdf                      the others, in one class each but for 224..252, which IANA
 *	                                has assigned to nobody: they share one
 */
enum {
	CLASS_PORTS = 0xe0,
	CLASS_PORTS_SHIFT = 3,
	CLASS_UNASSIGNED = 6, /* free, as are 17, 33, 132 and 136: these protocols have ports */
	UNASSIGNED_FIRST = 224,
	UNASSIGNED_LAST = 252,
};

extern const uint8_t flow_classes[256]; /* by protocol, with PORTS_NONE */

/* Addresses and ports are in network order, as in the packet. */
struct flow_key {
	union {
		struct {
			uint8_t class;  /* flow_class() */
			uint8_t family; /* enum flow_family; of FLOW_NO_IP nothing else counts */
			uint8_t zero[2];
			uint16_t sport;
			uint16_t dport;
		};
		/* All of these: what is written in pieces is not soon read as a whole. */
		uint64_t first;
	};
	uint8_t src[16]; /* of IPv4 the first four bytes */
	uint8_t dst[16];
};

/* What first is; ports: both, as in the packet. */
static inline uint64_t flow_key_first(uint8_t class, enum flow_family family, uint32_t ports)
{
	return class | (uint64_t)family << 8 | (uint64_t)ports << 32;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "first is made so");

/* HOT PATH. ports does not count where the protocol has none. */
static inline uint8_t flow_class(uint8_t protocol, enum flow_ports ports)
{
	uint8_t class = flow_classes[protocol];

	return class < CLASS_PORTS ? class
				   : (uint8_t)(class | (unsigned)ports << CLASS_PORTS_SHIFT);
}
