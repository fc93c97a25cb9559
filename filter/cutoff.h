#pragma once
/*
 * Cutoff: which packets lie beyond the first so many bytes of their flow. Private to filter/.
 *
 * A flow is both directions of a 5-tuple, whatever VLAN tags its packets have. Its bytes are those of the
 * wire, without FCS, from the first packet that the table saw. The packet that crosses the limit is
 * still within; each one after it is beyond.
 *
 * Aging    a flow that was silent for idle_ns is forgotten, and counts as new when it comes back.
 *          Its place is not swept up: whoever needs a place takes that of a flow which is forgotten.
 *          So nothing runs beside the packets, and no burst is held up by the others' past.
 * Full     a new flow that finds no place is within, whatever its size, and so are its packets until
 *          one finds a place: what is kept too much is counted, and nothing is cut that was not counted.
 * Who      a flow is known by a keyed hash of 64 bits in two of the buckets. That a new flow is
 *          taken for another one has a chance of 8 in 2^64, and nobody can bring it about.
 * Threads  one table per rx lcore; the counters may be read from any thread.
 * Memory   cutoff_new() allocates all, on the NUMA node asked for: cutoff_memory_bytes().
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_common.h>

#include "keyed_hash.h"
#include "wirespool/errbuf.h"

struct cutoff;

enum {
	CUTOFF_BURST = 64, /* packets per cutoff_match(), one bit each */
	CUTOFF_VERSION_SHIFT = 56,
};

/*
 * The same for both directions, whose ends are in an order of their own. Made by cutoff_key_make():
 *
 *	IPv4   | version, protocol, lower end | higher end |     0 |      0 |      0 |
 *	IPv6   | version, protocol, ports     | lower address      | higher address  |
 *
 * where an end of IPv4 is its address and its port.
 */
struct cutoff_key {
	uint64_t words[HASHED_WORDS];
};

struct cutoff_options {
	uint64_t limit_bytes; /* of each flow: 0..UINT32_MAX */
	uint32_t flows_max;   /* live at a time: 1..CUTOFF_FLOWS_MAX */
	uint64_t idle_ns;     /* 0: CUTOFF_IDLE_NS; at most CUTOFF_IDLE_MAX_NS */
	int socket_id;
};

#define CUTOFF_IDLE_NS     UINT64_C(60000000000)
#define CUTOFF_IDLE_MAX_NS UINT64_C(86400000000000)
enum { CUTOFF_FLOWS_MAX = 1 << 28 };

/*
 * A table with twice flows_max places or more, so that of flows_max flows one in 3000 at most
 * finds none. On success *ret_cutoff is the caller's, to be freed with cutoff_free() when its lcore
 * no longer matches with it. On failure nothing is stored: -EINVAL, -ENOMEM, or what getrandom(2) says.
 */
int cutoff_new(
	const struct cutoff_options *options, struct cutoff **ret_cutoff, struct errbuf *err);
void cutoff_free(struct cutoff *c);

/* What cutoff_new() takes of DPDK's memory: 32 to 64 bytes for each of flows_max. */
uint64_t cutoff_memory_bytes(uint32_t flows_max);

/*
 * HOT PATH, once per burst, budget 40 ns a packet with a million live flows; the first packet of a
 * flow costs more. Bit i of the result is set when packet i, of bytes[i] bytes at time_ns[i], lies
 * beyond its flow's limit; count <= CUTOFF_BURST. A time may be behind another one by less than
 * idle_ns. Times are kept in ticks of 67 ms: a flow is forgotten after idle_ns of silence, and
 * two ticks later at the latest.
 */
uint64_t cutoff_match(struct cutoff *c, const struct cutoff_key keys[], const uint32_t bytes[],
	const uint64_t time_ns[], unsigned int count);

/* Packets so far that lay beyond, and those that were kept because the table was full. */
uint64_t cutoff_beyond_pkts(const struct cutoff *c);
uint64_t cutoff_full_pkts(const struct cutoff *c);

static inline void cutoff_key_ipv4(struct cutoff_key *key, uint64_t kind, const uint8_t *source,
	const uint8_t *destination, uint16_t source_port, uint16_t destination_port)
{
	uint32_t from, to;
	uint64_t from_end, to_end;

	memcpy(&from, source, sizeof(from));
	memcpy(&to, destination, sizeof(to));
	from_end = (uint64_t)from << 16 | source_port;
	to_end = (uint64_t)to << 16 | destination_port;
	*key = (struct cutoff_key){{kind | RTE_MIN(from_end, to_end), RTE_MAX(from_end, to_end)}};
}

static inline void cutoff_key_ipv6(struct cutoff_key *key, uint64_t kind, const uint8_t *source,
	const uint8_t *destination, uint16_t source_port, uint16_t destination_port)
{
	uint64_t from[3] = {[2] = source_port}, to[3] = {[2] = destination_port}, swap;

	memcpy(from, source, 16);
	memcpy(to, destination, 16);
	swap = (from[0] > to[0]) | ((from[0] == to[0]) & (from[1] > to[1])) |
	       ((from[0] == to[0]) & (from[1] == to[1]) & (from[2] > to[2]));
	for (unsigned int i = 0; i < 3; i++) {
		uint64_t differ = (from[i] ^ to[i]) & (0 - swap);

		from[i] ^= differ;
		to[i] ^= differ;
	}
	*key = (struct cutoff_key){{kind | from[2] << 16 | to[2], from[0], from[1], to[0], to[1]}};
}

/*
 * HOT PATH. source and destination are addresses as they are in the packet (4 or 16 bytes), not
 * aligned; the ports as well. Which end comes first is no branch: it is the flip of a coin, and half
 * of such branches are predicted wrong.
 */
static inline void cutoff_key_make(struct cutoff_key *key, unsigned int version, uint8_t protocol,
	const uint8_t *source, const uint8_t *destination, uint16_t source_port,
	uint16_t destination_port)
{
	uint64_t kind = (uint64_t)version << CUTOFF_VERSION_SHIFT | (uint64_t)protocol << 48;

	if (likely(version == 4))
		cutoff_key_ipv4(key, kind, source, destination, source_port, destination_port);
	else
		cutoff_key_ipv6(key, kind, source, destination, source_port, destination_port);
}
