#pragma once
/*
 * Fragments: what was decided about the first fragment of a datagram, for the later ones. Private to filter/.
 *
 * Only a first fragment has ports, so only there can a filter say what was meant; the later ones follow it.
 * One table per recording and port, shared by the port's rx lcores: RSS spreads by addresses and ports,
 * so later fragments come in on other queues than the first.
 *
 * Order    a later fragment that comes before its first one, or whose first one was lost, or
 *          which another lcore handles in the same instant, is unknown: the caller keeps it.
 * Newest   a datagram is known by its addresses, protocol and IP identification. A sender uses the 16
 *          bits of IPv4's again, often sooner than in expire_ns: the newest first fragment says.
 * Full     a new datagram takes the place of the oldest of eight: the table never fills and is never
 *          swept. The later fragments of what was overwritten are unknown.
 * Who      a keyed hash: 43 bits of it in one of the buckets, so that a new datagram is taken for one
 *          of the eight there with a chance of 8 in 2^43, and nobody can bring it about.
 * Threads  first and later from any number of lcores at once, without a lock; a queue's counter has its
 *          lcore as its one writer. new and free with nobody else at the table.
 * Memory   fragments_new() allocates all, on the NUMA node asked for: fragments_memory_bytes().
 */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "wirespool/errbuf.h"

struct fragments;

/* Not the same for both directions: each numbers its own datagrams. Made by fragment_key_make(). */
struct fragment_key {
	uint8_t source[16]; /* IPv4: the first 4 bytes, the rest 0 */
	uint8_t destination[16];
	uint32_t id;      /* as in the packet; IPv4: 16 bits */
	uint8_t version;  /* 4, 6 */
	uint8_t protocol; /* IPv4 only; IPv6 tells datagrams apart without it: 0 */
	uint16_t zero;
};

_Static_assert(sizeof(struct fragment_key) == 40, "no byte that nobody sets");

struct fragments_options {
	uint32_t datagrams_max; /* remembered at a time: 1..FRAGMENTS_DATAGRAMS_MAX */
	unsigned int queues;    /* that use the table, from 0 on: at least 1 */
	uint64_t expire_ns;     /* 0: FRAGMENTS_EXPIRE_NS; at most FRAGMENTS_EXPIRE_MAX_NS */
	int socket_id;
};

/* As long as Linux waits for the rest of a datagram. */
#define FRAGMENTS_EXPIRE_NS     UINT64_C(30000000000)
#define FRAGMENTS_EXPIRE_MAX_NS UINT64_C(3600000000000)
enum { FRAGMENTS_DATAGRAMS_MAX = 1 << 28 };

enum fragment_decision { FRAGMENT_KEPT, FRAGMENT_DROPPED, FRAGMENT_UNKNOWN };

/*
 * On success *ret_fragments is the caller's, to be freed with fragments_free(). On failure nothing is
 * stored: -EINVAL, -ENOMEM, or what getrandom(2) says.
 */
int fragments_new(const struct fragments_options *options, struct fragments **ret_fragments,
	struct errbuf *err);
void fragments_free(struct fragments *f);

/* What fragments_new() takes of DPDK's memory: 16 to 32 bytes a datagram, a line a queue. */
uint64_t fragments_memory_bytes(uint32_t datagrams_max, unsigned int queues);

/*
 * HOT PATH, for first fragments only. Remembers whether the one of datagram key, seen at time_ns,
 * was kept.
 */
void fragments_first(
	struct fragments *f, const struct fragment_key *key, bool kept, uint64_t time_ns);

/*
 * HOT PATH, for later fragments only. What was decided about the first one, if that was not longer
 * than expire_ns ago, before or after: the queues' times are not the same. Times are kept in ticks of 268 ms, so
 * it may be remembered for two ticks more. Writes to no line that another queue reads.
 */
enum fragment_decision fragments_later(
	struct fragments *f, unsigned int queue, const struct fragment_key *key, uint64_t time_ns);

/* Later fragments so far, of all queues, that were unknown. */
uint64_t fragments_unknown_pkts(const struct fragments *f);

/* HOT PATH. The addresses as they are in the packet (4 or 16 bytes), not aligned. */
static inline void fragment_key_make(struct fragment_key *key, unsigned int version,
	uint8_t protocol, const uint8_t *source, const uint8_t *destination, uint32_t id)
{
	*key = (struct fragment_key){.id = id, .version = (uint8_t)version};
	memcpy(key->source, source, version == 4 ? 4 : 16);
	memcpy(key->destination, destination, version == 4 ? 4 : 16);
	/* RFC 8200, 4.5: of IPv6, fragments of one datagram may name different next headers. */
	key->protocol = version == 4 ? protocol : 0;
}
