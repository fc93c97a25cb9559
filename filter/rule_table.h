#pragma once
/*
 * Rule table: rules as a classifier (rte_acl), for lcores to match bursts with.
 *
 * Flow     rules_parse_file() -> rule_table_new() -> rule_table_match() on any number of lcores
 *          -> rule_table_free() when none of them has it any more
 * Threads  a table is immutable. New and free may be called from several threads at once, and while
 *          lcores match with other tables.
 * Memory   of DPDK's heap, which on ordinary pages is what EAL was given at its start: 1 to 5 MiB for
 *          1,000 rules, 90 to 410 MiB for 100,000, twice that while a new one is made. While it is
 *          built, a table takes up to 3 GiB from malloc() besides.
 * Time     up to 4 s for 10,000 rules, 5 s to 2 minutes for 100,000: build aside, then swap.
 */

#include <stdint.h>

#include "flow_key.h"
#include "wirespool/errbuf.h"

struct rules;
struct rule_table;

/*
 * Builds the table of rules, which need not be kept for it, on a NUMA node (or SOCKET_ID_ANY). EAL
 * must be up. On success *ret is the caller's. On failure nothing is stored and err says why:
 * -ENOMEM, -ERANGE (the rules overlap so much that a part would pass 512 MiB), -E2BIG (too many
 * parts), or what else rte_acl returned.
 */
int rule_table_new(
	const struct rules *rules, int socket_id, struct rule_table **ret, struct errbuf *err);

/* The same in parts of part_key_bytes, for tests: see PART_KEY_BYTES. */
int rule_table_new_parts(const struct rules *rules, int socket_id, unsigned int part_key_bytes,
	struct rule_table **ret, struct errbuf *err);

void rule_table_free(struct rule_table *t);

/* rte_acl's parts that a packet of this family is looked up in, one after the other: for status. */
unsigned int rule_table_parts(const struct rule_table *t, enum flow_family family);

/*
 * HOT PATH, once per burst, count <= FILTER_BURST, budget 25 ns a packet with 10,000 rules of
 * IPv4 in one part; each part is a look-up more. Stores for each key the number of the first rule
 * that matches, from 1; 0: none.
 */
void rule_table_match(const struct rule_table *t, const struct flow_key keys[], unsigned int count,
	uint32_t ret_rules[]);

/*
 * HOT PATH. The same of some keys only: keys[which[i]] and ret_rules[which[i]] for i < count; the
 * other ret_rules stay as they are.
 */
void rule_table_match_some(const struct rule_table *t, const struct flow_key keys[],
	const uint8_t which[], unsigned int count, uint32_t ret_rules[]);
