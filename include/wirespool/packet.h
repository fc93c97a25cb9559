#pragma once
/*
 * Packet and packet ring: how a packet goes from an rx lcore to a writer.
 *
 * One packet ring per (run, rx queue): single producer (the queue's rx lcore),
 * single consumer (the writer thread that the run was given for this queue).
 * Slots of 32 bytes are written and read in place.
 *
 * Copy break  a packet in one piece goes by value: its bytes follow in the next slots, and
 *             its mbuf stays with the rx lcore, in its cache, ready for the next packet.
 *             A jumbo frame, of which more than PACKET_COPY_MAX is stored, goes by reference.
 *             (docs/design.md says what was measured.)
 *
 *   | packet, mbuf NULL | bytes | bytes | packet, mbuf | packet, mbuf NULL | bytes ...
 *
 * Publishing  whole packets only: a consumer never sees a packet without its bytes.
 * Ownership   a slot owns one reference of its mbuf, from packet_ring_fill() on;
 *             the writer drops it once it has packed the bytes.
 * Order       within a ring times never decrease. seen_until_ns orders rings among
 *             each other: no packet older than it will come on this ring any more.
 * Loss        a full ring: the producer counts lost_ring_pkts and says in the next
 *             packet that does fit how many are missing before it.
 * Lines       each side works on lines of its own, and looks at the other's only when it
 *             has to: the producer when it is out of room, the consumer once per round. A line
 *             that goes to another CPU and back costs as much as ten packets. (rte_ring reads
 *             the other side's index with every call.)
 *
 * This is the one public header that shows DPDK.
 */

#include <stdatomic.h>
#include <stdbool.h>

#include <rte_mbuf.h>

#include "wirespool/counter.h"

struct packet {
	struct rte_mbuf *mbuf; /* NULL: the bytes follow in packet_slots() - 1 slots */
	uint64_t time_ns;
	uint32_t cap_len;  /* bytes to store, <= wire_len and <= the mbuf's pkt_len */
	uint32_t wire_len; /* bytes it had on the wire, without FCS */
	uint32_t missing;  /* packets lost since the packet before */
	uint32_t flags;    /* as pcapng's epb_flags; 0: nothing known */
};

enum {
	PACKET_SLOT = sizeof(struct packet),
	PACKET_COPY_MAX = 1536, /* stored bytes of what goes by value */
	PACKET_SLOTS_MAX = 1 + PACKET_COPY_MAX / PACKET_SLOT,
};

_Static_assert(sizeof(struct packet) == 32, "two packets per cache line");
_Static_assert(PACKET_COPY_MAX % PACKET_SLOT == 0, "whole slots");

/* How many slots a packet takes. */
static inline unsigned int packet_slots(const struct packet *p)
{
	return p->mbuf != NULL ? 1 : 1 + (p->cap_len + PACKET_SLOT - 1) / PACKET_SLOT;
}

/* The producer's own line: what the rx lcore counts for one run on one queue. */
struct packet_ring_in {
	counter received_pkts;
	counter outside_window_pkts;
	counter filtered_pkts;
	counter cutoff_pkts;
	counter lost_ring_pkts;
	uint64_t filled;     /* slots so far, published or not */
	uint64_t taken_seen; /* as taken was when it was looked at last */
	uint64_t missing;    /* lost since the last packet that fitted */
} __rte_cache_aligned;

/* What the producer tells the consumer. */
struct packet_ring_told {
	_Atomic uint64_t filled; /* slots that may be read */
	/* Released after the slots of a burst were published, so that a writer that
	 * acquires it first sees every older packet in the ring. Pairs with M1 in writer/drain.c. */
	_Atomic uint64_t seen_until_ns;
} __rte_cache_aligned;

/* What the consumer tells the producer. */
struct packet_ring_back {
	_Atomic uint64_t taken; /* slots that may be filled again */
} __rte_cache_aligned;

/* The consumer's own line: what the writer counts for one run on one queue. */
struct packet_ring_out {
	counter outside_window_pkts; /* over the run's limit */
	counter packed_pkts;
	counter lost_memory_pkts;
	uint64_t nic_lost_seen; /* the writer's own: of *nic_lost, what is in the file already */
	uint64_t missing;       /* the writer's own: lost since the last packet that was packed */
} __rte_cache_aligned;

struct packet_ring {
	/* Read-only after packet_ring_new() */
	struct packet *slots;
	uint64_t slot_count; /* a power of two */
	const counter
		*nic_lost; /* packets the port lost so far before any ring; NULL: not told here */
	uint64_t nic_lost_base; /* of those, from before this ring */
	uint32_t interface_id;  /* of the pcapng interface that is this ring's port */
	uint32_t queue;         /* rx queue on that port */
	bool patient;     /* the source waits: a packet here is never dropped for want of room */
	uint16_t rest_us; /* so long the writer may leave the ring alone */
	bool write_queue; /* the port has several queues: say in each packet which */

	struct packet_ring_in in;
	struct packet_ring_told told;
	struct packet_ring_back back;
	struct packet_ring_out out;
};

_Static_assert(sizeof(struct packet_ring_in) == RTE_CACHE_LINE_SIZE, "the rx lcore's own line");
_Static_assert(sizeof(struct packet_ring_told) == RTE_CACHE_LINE_SIZE, "a line that travels");
_Static_assert(sizeof(struct packet_ring_back) == RTE_CACHE_LINE_SIZE, "a line that travels");
_Static_assert(sizeof(struct packet_ring_out) == RTE_CACHE_LINE_SIZE, "the writer's own line");

/*
 * A ring of slots (a power of two) on NUMA node socket_id, empty, counters at 0.
 * Returns NULL when there is no memory. Free it when neither side uses it any
 * more; what still lies in it is freed with it.
 */
struct packet_ring *packet_ring_new(uint32_t slots, int socket_id);
void packet_ring_free(struct packet_ring *r);

static inline struct packet *packet_ring_slot(const struct packet_ring *r, uint64_t number)
{
	return &r->slots[number & (r->slot_count - 1)];
}

/* How many slots from number on lie behind one another in memory: up to the ring's end. */
static inline uint64_t packet_ring_run(const struct packet_ring *r, uint64_t number)
{
	return r->slot_count - (number & (r->slot_count - 1));
}

/* Producer. Slots that may be filled from number in.filled on; exact only when fewer than wanted. */
static inline uint64_t packet_ring_room(struct packet_ring *r, uint64_t wanted)
{
	uint64_t room = r->slot_count - (r->in.filled - r->in.taken_seen);

	if (room >= wanted)
		return room;
	/* R1: acquire pairs with packet_ring_release(): what was in the slots has been read. */
	r->in.taken_seen = atomic_load_explicit(&r->back.taken, memory_order_acquire);
	return r->slot_count - (r->in.filled - r->in.taken_seen);
}

/* Producer. The next slots are filled, or will be before they are published. */
static inline void packet_ring_fill(struct packet_ring *r, uint64_t slots)
{
	r->in.filled += slots;
}

/* Producer. All slots filled by now become the consumer's. */
static inline void packet_ring_publish(struct packet_ring *r)
{
	/* R2: release, so that a consumer that sees the number sees the slots. */
	atomic_store_explicit(&r->told.filled, r->in.filled, memory_order_release);
}

/* Consumer. Slots that may be read, from number *ret_first on. */
static inline uint64_t packet_ring_filled(const struct packet_ring *r, uint64_t *ret_first)
{
	*ret_first = atomic_load_explicit(&r->back.taken, memory_order_relaxed);
	/* Acquire pairs with R2. */
	return atomic_load_explicit(&r->told.filled, memory_order_acquire) - *ret_first;
}

/* Consumer. The first slots, read by now, may be filled again. */
static inline void packet_ring_release(struct packet_ring *r, uint64_t slots)
{
	uint64_t taken = atomic_load_explicit(&r->back.taken, memory_order_relaxed);

	atomic_store_explicit(&r->back.taken, taken + slots, memory_order_release);
}
