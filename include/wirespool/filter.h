#pragma once
/*
 * Filter and cut: which packets a recording keeps, and how much of each.
 *
 * A filter is a tcpdump expression, compiled by libpcap and run as native code
 * where DPDK's JIT has the CPU and its verifier can bear the program, else interpreted
 * by libpcap. A cut is a number of bytes, or the end of the last header that is
 * understood plus some.
 *
 * Tags     an expression that does not speak of VLANs itself means the packet
 *          without its outer one or two tags (802.1Q, 802.1ad, 0x9100): "not port
 *          22" does not keep a tagged packet of port 22. "len", "less" and
 *          "greater" are still the length with the tags. With "vlan", or where the
 *          frame's type is compared with a tag's ("ether proto 0x8100"), it means
 *          what it means to tcpdump.
 *
 * Threads  a compiled filter is immutable: any number of lcores may match with it.
 * Memory   filter_compile() allocates all; matching allocates nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirespool/errbuf.h"

struct rte_mbuf;
struct filter;

enum { FILTER_BURST = 64 }; /* packets per filter_match(), one bit each */

/*
 * Compiles expression (NULL or "": keeps all) for packets of libpcap link type
 * linktype (DLT_EN10MB is 1). On success *ret_filter is the caller's, to be freed
 * with filter_free() when no lcore matches with it any more. On failure nothing is
 * stored, and err says what libpcap said: -EINVAL for an expression that is wrong
 * or can match nothing, -ENOMEM. Not safe from two threads at once, as pcap_compile() is not.
 */
int filter_compile(
	const char *expression, int linktype, struct filter **ret_filter, struct errbuf *err);
void filter_free(struct filter *f);

/* Keeps every packet: the caller may leave out filter_match(). */
bool filter_keeps_all(const struct filter *f);

/* "jit" or "interpreter" or "none" (keeps all): how it runs, for status. */
const char *filter_engine(const struct filter *f);

/*
 * HOT PATH, once per burst, budget 10 ns a packet. Bit i of the result is set when
 * pkts[i] is kept; count <= FILTER_BURST. The packets stay the caller's.
 */
uint64_t filter_match(const struct filter *f, struct rte_mbuf *const pkts[], unsigned int count);

struct cut {
	uint32_t snaplen; /* bytes to store at most */
	bool headers;     /* cut after the last header understood ... */
	uint32_t extra;   /* ... plus this many bytes */
};

enum { SNAPLEN_MAX = 262144 };

/* "0" and "262144": whole packets; "96"; "headers"; "headers+64". -EINVAL with a sentence. */
int cut_parse(const char *text, struct cut *ret_cut, struct errbuf *err);

/* True when every packet up to SNAPLEN_MAX is stored whole. */
static inline bool cut_keeps_all(const struct cut *c)
{
	return !c->headers && c->snaplen >= SNAPLEN_MAX;
}

/*
 * HOT PATH. Bytes of the headers that are understood at the front of a packet,
 * never more than len: Ethernet with VLAN, QinQ, MPLS and PPPoE, ARP, IPv4 with
 * options, IPv6 with extension headers, AH, ESP, TCP and DCCP with options, UDP,
 * UDP-Lite, SCTP, ICMP, ICMPv6, IGMP; and all of these again inside of tunnels: IP in
 * IP, GRE (NVGRE, ERSPAN I to III), VXLAN, Geneve, GTP-U. IP headers: up to five
 * inside each other. Reads data[0..len-1] only.
 * A link type other than Ethernet, raw IP, Linux cooked v1/v2 and null/loop is not
 * understood: len, so that nothing is cut that nobody looked at.
 */
uint32_t headers_length(int linktype, const uint8_t *data, uint32_t len);

/* HOT PATH. Bytes to store of a packet of len bytes, of which the first contiguous lie at data. */
static inline uint32_t cut_length(
	const struct cut *c, int linktype, const uint8_t *data, uint32_t contiguous, uint32_t len)
{
	uint32_t want = c->snaplen;

	if (c->headers) {
		uint32_t end = headers_length(linktype, data, contiguous);

		/* Headers up to the end of what was seen: of what follows nobody knows, so it stays. */
		end = end < contiguous ? end + c->extra : len;
		want = end < want ? end : want;
	}
	return want < len ? want : len;
}
