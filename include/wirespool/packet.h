#pragma once
/*
 * Packet and packet ring: how a packet goes from an rx lcore to a writer.
 *
 * One packet ring per (run, rx queue): single producer (the queue's rx lcore),
 * single consumer (the writer thread that the run was given for this queue).
 * Slots are written and read in place (rte_ring's zero-copy calls), 32 bytes each.
 *
 * Ownership  a slot owns one reference of its mbuf, from the enqueue's finish on;
 *            the writer drops it once it has packed the bytes.
 * Order      within a ring times never decrease. seen_until_ns orders rings among
 *            each other: no packet older than it will come on this ring any more.
 * Loss       a full ring: the producer counts lost_ring_pkts and says in the next
 *            slot that does fit how many are missing before it.
 *
 * This is the one public header that shows DPDK.
 */

#include <stdbool.h>

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "wirespool/counter.h"

struct packet {
	struct rte_mbuf *mbuf;
	uint64_t time_ns;
	uint32_t cap_len;  /* bytes to store, <= wire_len and <= the mbuf's pkt_len */
	uint32_t wire_len; /* bytes it had on the wire, without FCS */
	uint32_t missing;  /* packets lost since the slot before */
	uint32_t flags;    /* as pcapng's epb_flags; 0: nothing known */
};

_Static_assert(sizeof(struct packet) == 32, "two packets per cache line");

/* What the rx lcore counts for one run on one queue. */
struct packet_ring_in {
	counter received_pkts;
	counter outside_window_pkts;
	counter filtered_pkts;
	counter lost_ring_pkts;
	/* Released after the slots of a burst were made visible, so that a writer that
	 * acquires it sees every older packet in the ring. Pairs with M1 in writer/drain.c. */
	_Atomic uint64_t seen_until_ns;
	uint32_t missing; /* lost since the last slot that fitted; the producer's own */
} __rte_cache_aligned;

/* What the writer counts for one run on one queue. */
struct packet_ring_out {
	counter outside_window_pkts; /* over the run's limit */
	counter packed_pkts;
	counter lost_memory_pkts;
	uint64_t nic_lost_seen; /* the writer's own: of *nic_lost, what is in the file already */
	uint64_t missing;       /* the writer's own: lost since the last packet that was packed */
} __rte_cache_aligned;

struct packet_ring {
	/* Read-only after packet_ring_new() */
	struct rte_ring *slots;
	const counter
		*nic_lost; /* packets the port lost so far before any ring; NULL: not told here */
	uint64_t nic_lost_base; /* of those, from before this ring */
	uint32_t interface_id;  /* of the pcapng interface that is this ring's port */
	uint32_t queue;         /* rx queue on that port */
	bool patient;     /* the source waits: a packet here is never dropped for want of room */
	bool write_queue; /* the port has several queues: say in each packet which */

	struct packet_ring_in in;
	struct packet_ring_out out;
};

_Static_assert(sizeof(struct packet_ring_in) == RTE_CACHE_LINE_SIZE, "the rx lcore's own line");
_Static_assert(sizeof(struct packet_ring_out) == RTE_CACHE_LINE_SIZE, "the writer's own line");

/*
 * A ring of slots (a power of two) on NUMA node socket_id, empty, counters at 0.
 * Returns NULL when there is no memory. Free it when neither side uses it any
 * more; what still lies in it is freed with it.
 */
struct packet_ring *packet_ring_new(uint32_t slots, int socket_id);
void packet_ring_free(struct packet_ring *r);
