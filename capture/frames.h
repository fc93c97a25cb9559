#pragma once
/*
 * Frames: the traffic of one queue of the generator, as a function of a frame's number.
 *
 * Frame k of a queue belongs to the queue's flow k % F, is that flow's packet number
 * k / F, and has the k-th size of a pattern that repeats. So a frame that is lost is
 * skipped at no cost, and its number is missing from its flow.
 *
 * Flows    2c and 2c+1 are the two directions of conversation c; conversation c is on
 *          queue c % queues: what a NIC does with a symmetric hash.
 *            client 10.1.x.y or 2001:db8:1::n, port 49152 and up
 *            server 10.2.0.z or 2001:db8:2::z, port 9 (discard)
 * Stamp    the first 16 bytes of the payload, where there is room for them: see
 *          struct frame_stamp. The IPv4 identification is the number's low 16 bits in
 *          any case.
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
};

struct frames_options {
	uint32_t flows; /* of all queues */
	uint32_t ipv6_percent;
	uint32_t tcp_percent;
	uint32_t vlan; /* 0: no tag */
	bool imix;     /* else uniform in min_bytes..max_bytes */
	uint32_t min_bytes;
	uint32_t max_bytes;
	uint64_t seed; /* of the sizes */
};

struct frames;

/*
 * Bytes, with FCS, to which smaller sizes are lifted, so that the longest headers of these
 * flows and the stamp fit; 0: none are. Only IPv6 lifts; IPv4 does without the stamp.
 */
uint32_t frames_lift_bytes(const struct frames_options *o);

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
 * rte_mempool_get_bulk(): no need for rte_pktmbuf_reset(). Each must have room for its
 * frame and for FRAME_ROOM_MIN bytes.
 */
void frames_build(struct frames *f, uint64_t first, struct rte_mbuf *const pkts[], unsigned int n);

enum { FRAME_ROOM_MIN = 128 }; /* templates are copied whole, past the end of a short frame */
