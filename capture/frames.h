#pragma once
/*
 * Frames: the traffic of one queue of the generator, as a function of a frame's number.
 *
 * Frame k of a queue belongs to the queue's flow k % F, is that flow's packet number
 * k / F, and has the k-th size of a pattern that repeats. So a frame that is lost is
 * skipped at no cost, and its number is missing from its flow. With fragments that is true of
 * datagrams instead of frames: datagram j is packet j / F of flow j % F, and takes one
 * frame or up to FRAGMENTS_MAX that follow each other, by a pattern that repeats.
 *
 * Flows    2c and 2c+1 are the two directions of conversation c; conversation c is on
 *          queue c % queues: what a NIC does with a symmetric hash.
 *            client 10.1.x.y or 2001:db8:1::n, port 49152 and up
 *            server 10.2.0.z or 2001:db8:2::z, port 9 (discard)
 *            a tunnel's ends: 10.3.0.1 and 10.3.0.2
 * Stamp    the first 16 bytes of the (inner) payload, where there is room for them: see
 *          struct frame_stamp; of fragments the first has it. The IPv4 identification is the
 *          number's low 16 bits in any case, the IPv6 fragment's its low 32.
 * Threads  made and freed by control, used by the queue's rx lcore alone.
 * Memory   all of it taken in frames_new().
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "wirespool/errbuf.h"

#define FRAME_STAMP_MAGIC 0x57535047U /* "WSPG" */

/* All big-endian. */
struct frame_stamp {
	uint32_t magic;
	uint32_t flow;
	uint64_t number; /* of the packet in its flow, from 0, without a gap */
} __attribute__((packed));

_Static_assert(sizeof(struct frame_stamp) == 16, "fits an IPv4/UDP frame of 64 bytes");

enum {
	FRAME_FCS_BYTES = 4,
	FRAME_GAP_BYTES = 20, /* preamble and gap: what a frame takes on the wire beside itself */
	FRAME_BYTES_MIN = 64, /* with FCS, as testers count */
	FRAME_BYTES_MAX = 9216,
	FRAGMENTS_MAX = 4, /* of a datagram */
	MPLS_LABELS_MAX = 8,
};

/* What carries the flows' packets, over IPv4: tags and labels are the outer frame's. */
enum frames_tunnel {
	TUNNEL_NONE,
	TUNNEL_VXLAN,
	TUNNEL_GENEVE,
	TUNNEL_GTP_U,
	TUNNEL_GRE,
	TUNNEL_IPIP,
};

struct frames_options {
	uint32_t flows; /* of all queues */
	uint32_t ipv6_percent;
	uint32_t tcp_percent;
	uint32_t vlan;        /* 0: no tag */
	uint32_t inner_vlan;  /* 0: one tag at most; else vlan is an 802.1ad tag before it */
	uint32_t mpls_labels; /* behind the tags */
	enum frames_tunnel tunnel;
	uint32_t fragment_percent; /* of the datagrams: without TCP and tunnel only */
	bool imix;                 /* else uniform in min_bytes..max_bytes */
	uint32_t min_bytes;
	uint32_t max_bytes;
	uint64_t seed; /* of the sizes */
};

struct frames;

/*
 * Bytes, with FCS, to which smaller sizes are lifted, so that the longest headers of these
 * flows and the stamp fit; 0: none are. IPv4 with no more than one tag is not lifted: it does
 * without the stamp.
 */
uint32_t frames_lift_bytes(const struct frames_options *o);

/* Of the longest frame, with FCS. */
uint32_t frames_longest_bytes(const struct frames_options *o);

/* Queues that get flows: fewer than there are when the conversations do not go round. */
unsigned int frames_busy_queues(const struct frames_options *o, unsigned int queues);

/* The frames of one queue. NULL: no memory. */
struct frames *frames_new(const struct frames_options *o, unsigned int queue, unsigned int queues);
void frames_free(struct frames *f);

/* How many frames are whole in so many bytes of wire, which never decrease from call to call. */
uint64_t frames_arrived(struct frames *f, uint64_t wire_bytes);

/* Bytes of wire after which the first n frames are whole. */
uint64_t frames_wire_bytes(const struct frames *f, uint64_t n);

/*
 * HOT PATH. Writes frames first..first+n-1 into n mbufs as they come out of their pool by
 * rte_mempool_get_bulk(): no need for rte_pktmbuf_reset(). Their data must be at FRAME_DATA_OFFSET
 * and have frames_room_bytes().
 */
void frames_build(struct frames *f, uint64_t first, struct rte_mbuf *const pkts[], unsigned int n);

/*
 * Where the data of such an mbuf is: known without a look at it, which may be in another core's
 * cache. So it is in every pool by rte_pktmbuf_pool_create() without private data.
 */
enum { FRAME_DATA_OFFSET = sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM };

/* Data room that a pool's mbufs need, headroom included: frames are written in whole cache lines. */
unsigned int frames_room_bytes(const struct frames_options *o);
