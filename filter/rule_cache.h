#pragma once
/*
 * Rule cache: what a rule table said of the flows that an rx lcore saw last.
 *
 * Most packets are of a flow that was there a moment ago. It is found here in one line of
 * memory; the table is asked for the others alone.
 *
 * Same     the result is that of rule_table_match(), but for a chance: a flow is known by a keyed hash of 63
 *          bits in its line. That a new one is taken for another has a chance of 6 in 2^63, and nobody
 *          can bring it about.
 * Table    a cache serves one table as long as it lives, and both families of keys.
 * Foreign  which flows share a line depends on a key that nobody knows. While most packets are of
 *          flows that are not known, the table alone is asked, but for one packet in 8 to 16.
 * Threads  a cache belongs to one thread; others may match with the table meanwhile.
 * Memory   rule_cache_memory_bytes() of DPDK's heap, 32 MiB: room for 3 million flows. Nothing is forgotten but for
 *          what comes in its place; of a million flows hardly one must give way to another of them.
 */

#include <stddef.h>
#include <stdint.h>

#include "flow_key.h"
#include "wirespool/errbuf.h"

struct rule_cache;
struct rule_table;

/*
 * Makes an empty cache on a NUMA node (or SOCKET_ID_ANY). On success *ret is the caller's. On
 * failure nothing is stored and err says why: -ENOMEM, or what getrandom(2) returned.
 */
int rule_cache_new(int socket_id, struct rule_cache **ret, struct errbuf *err);

/* The same of so many lines, a power of two, for tests: in few, flows meet. */
int rule_cache_new_lines(
	unsigned int lines, int socket_id, struct rule_cache **ret, struct errbuf *err);

void rule_cache_free(struct rule_cache *c);

/* What a cache takes. */
size_t rule_cache_memory_bytes(void);

/*
 * HOT PATH, once per burst, count <= FILTER_BURST, budget 10 ns a packet of a flow that is known.
 * Stores what rule_table_match() would; t is the same in each call.
 */
void rule_cache_match(struct rule_cache *c, const struct rule_table *t,
	const struct flow_key keys[], unsigned int count, uint32_t ret_rules[]);
