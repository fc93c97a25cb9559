#pragma once
/*
 * Headers: where the IP headers of a packet lie, those inside tunnels too. Private to filter/.
 *
 * What is understood stands in wirespool/filter.h at headers_length(), which is the same walk.
 *
 * Each header says what follows it, but for two: a label of MPLS and a G-PDU of GTP-U. Behind
 * these, what begins as IP does is taken for IP. An Ethernet pseudowire is not understood: its
 * control word begins with 0, and so do the addresses of many frames without one.
 *
 * A UDP port is a weak sign of a tunnel. Its header must look right as well, and then what is in
 * it: most of other traffic on such a port fails at the first byte. No more can be known.
 */

#include <stdbool.h>
#include <stdint.h>

/* IP headers inside each other that are told. The walk ends behind one more. */
enum { HEADERS_IP_MAX = 4 };

#define NO_ETHERNET UINT32_MAX

enum tunnel {
	TUNNEL_NONE,
	TUNNEL_IPIP, /* either version in either */
	TUNNEL_GRE,
	TUNNEL_VXLAN,
	TUNNEL_GENEVE,
	TUNNEL_GTP_U,
};

/* One IP header of a packet, from the outermost on. */
struct ip_header {
	uint32_t ip_off;      /* where it begins */
	uint32_t payload_off; /* of what follows it and its options or extension headers; <= len */
	/*
	 * Of the Ethernet header in front of it in the same frame, or NO_ETHERNET. Tags, MPLS and
	 * PPPoE may lie between the two.
	 */
	uint32_t ether_off;
	uint32_t fragment_id; /* if fragment */
	uint8_t version;      /* 4, 6 */
	uint8_t protocol;     /* of the payload, a later fragment's too */
	uint8_t tunnel; /* enum tunnel: how it lies in the one before; the first: TUNNEL_NONE */
	bool fragment;  /* of a packet in fragments */
	bool later_fragment; /* not the first: its payload begins in the middle of something */
	/* TCP, UDP, UDP-Lite, SCTP, DCCP: source and destination port are there, at payload_off. */
	bool ports;
};

struct headers {
	uint32_t end; /* of the headers that are understood, <= len */
	unsigned int count;
	struct ip_header ip[HEADERS_IP_MAX];
};

/*
 * HOT PATH. Reads data[0..len-1] only, and of ip[] stores the first count only.
 *
 * An IP header is told when all of it is there, with IPv4's options. Extension headers are passed
 * over, and so is AH, in IPv4 too; one that is cut is the payload. A later fragment's payload is
 * of the protocol that the fragmented part begins with: AH or an extension header, where the
 * first fragment's payload is what follows that.
 *
 * False: the link type is not understood; end = len, count = 0.
 */
bool headers_walk(int linktype, const uint8_t *data, uint32_t len, struct headers *ret);
