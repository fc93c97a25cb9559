/*
 * A key has a line by its hash. A line holds four keys of IPv4, the newest in the place of any, or
 * one of IPv6:
 *
 *	IPv4, no IP  | name | name | name | name | addresses | addresses | addresses | addresses |
 *	IPv6         | name | none | none | none | source                | destination           |
 *
 * A name is the first word of a key, with the number of its rule in the bits that are zero there:
 *
 *	 63   48 47   32 31  10 9      8 7     0
 *	| dport | sport | rule | family | class |
 *
 * A burst is gone through twice, so that the lines of its keys come from memory side by side; then
 * the table is asked for all misses at once.
 */
#include "rule_cache.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "keyed_hash.h"
#include "rule_table.h"
#include "wirespool/filter.h"
#include "wirespool/rules.h"

enum {
	LINES = 1 << 18,
	WAYS = 4,
	FAMILY_SHIFT = 8,
	FAMILY_MASK = 3,
	RULE_SHIFT = 10,
	RULE_BITS = 22,
	/*
	 * Where few packets hit, the cache costs more than it saves. So hits are counted over a
	 * window of packets; if they are fewer than half, the cache steps aside for 15 windows. What
	 * it knows stays true meanwhile, and the next window begins with it.
	 */
	WINDOW_PKTS = 1 << 14,
	WINDOW_HITS_MIN = WINDOW_PKTS / 2,
	ASIDE_PKTS = 15 * WINDOW_PKTS,
};

#define RULE_MASK (((UINT64_C(1) << RULE_BITS) - 1) << RULE_SHIFT)
#define NO_NAME   ((uint64_t)FLOW_FAMILIES << FAMILY_SHIFT)

struct line {
	uint64_t words[2 * WAYS];
} __rte_cache_aligned;

_Static_assert(sizeof(struct line) == RTE_CACHE_LINE_SIZE, "one line each");
_Static_assert(sizeof(struct flow_key) == HASHED_BYTES, "the whole key is hashed");
_Static_assert(offsetof(struct flow_key, dst) == offsetof(struct flow_key, src) + 16,
	"both are copied at once");
_Static_assert(RULES_MAX < 1 << RULE_BITS, "a name has room for a rule");
_Static_assert((int)FLOW_FAMILIES <= FAMILY_MASK, "a name has room for a family, and for none");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the name is drawn so");

struct rule_cache {
	struct hash_secret secret;
	uint64_t line_mask;
	unsigned int turn; /* which of four goes next */
	unsigned int window_pkts;
	unsigned int window_hits;
	unsigned int aside_pkts; /* still to be asked of the table alone */
	struct line lines[];
};

static size_t memory_bytes(unsigned int lines)
{
	return sizeof(struct rule_cache) + lines * sizeof(struct line);
}

int rule_cache_new_lines(
	unsigned int lines, int socket_id, struct rule_cache **ret, struct errbuf *err)
{
	struct rule_cache *c;
	int r;

	c = rte_zmalloc_socket("rule_cache", memory_bytes(lines), RTE_CACHE_LINE_SIZE, socket_id);
	if (c == NULL)
		return fail_with(err, -ENOMEM, "no memory for a rule cache of %zu KiB",
			memory_bytes(lines) >> 10);
	r = hash_secret_draw(&c->secret);
	if (r < 0) {
		rte_free(c);
		return fail_with(err, r, "no random key for a rule cache: %s", strerror(-r));
	}
	c->line_mask = lines - 1;
	for (unsigned int i = 0; i < lines; i++)
		for (unsigned int way = 0; way < WAYS; way++)
			c->lines[i].words[way] = NO_NAME;
	*ret = c;
	return 0;
}

int rule_cache_new(int socket_id, struct rule_cache **ret, struct errbuf *err)
{
	return rule_cache_new_lines(LINES, socket_id, ret, err);
}

void rule_cache_free(struct rule_cache *c)
{
	rte_free(c);
}

size_t rule_cache_memory_bytes(void)
{
	return memory_bytes(LINES);
}

static inline uint64_t name_of(const struct flow_key *k)
{
	uint64_t word;

	memcpy(&word, k, sizeof(word));
	return word & ~RULE_MASK;
}

/* Both addresses of IPv4 in a word. */
static inline uint64_t addresses_of(const struct flow_key *k)
{
	uint32_t src, dst;

	memcpy(&src, k->src, sizeof(src));
	memcpy(&dst, k->dst, sizeof(dst));
	return (uint64_t)dst << 32 | src;
}

/* Two keys that meet here cost time and nothing else. */
static inline struct line *line_of(struct rule_cache *c, const struct flow_key *k)
{
	const uint64_t *s = c->secret.words;
	uint64_t hash;

	if (k->family == FLOW_IPV6)
		hash = keyed_hash(&c->secret, k).low;
	else
		hash = hash_fold(hash_product(name_of(k) + s[0], addresses_of(k) + s[1]));
	return &c->lines[hash & c->line_mask];
}

/* 0 where a line has that name. */
static inline uint64_t name_differs(const struct line *l, unsigned int way, uint64_t name)
{
	return (l->words[way] & ~RULE_MASK) ^ name;
}

static inline unsigned int find_ipv4(const struct line *l, const struct flow_key *k)
{
	uint64_t name = name_of(k), addresses = addresses_of(k);
	unsigned int found = 1U << WAYS;

	for (unsigned int way = 0; way < WAYS; way++) {
		uint64_t differ = name_differs(l, way, name);

		differ |= l->words[WAYS + way] ^ addresses;
		found |= (unsigned int)(differ == 0) << way;
	}
	return (unsigned int)__builtin_ctz(found);
}

static inline unsigned int find_ipv6(const struct line *l, const struct flow_key *k)
{
	uint64_t differ = name_differs(l, 0, name_of(k)), w[WAYS];

	memcpy(w, k->src, sizeof(w));
	for (unsigned int i = 0; i < WAYS; i++)
		differ |= l->words[WAYS + i] ^ w[i];
	return differ == 0 ? 0 : WAYS;
}

/* Where in its line a key is; WAYS: nowhere. */
static inline unsigned int find(const struct line *l, const struct flow_key *k)
{
	return k->family == FLOW_IPV6 ? find_ipv6(l, k) : find_ipv4(l, k);
}

static void remember_ipv4(
	struct rule_cache *c, struct line *l, const struct flow_key *k, uint64_t word)
{
	unsigned int way = find_ipv4(l, k); /* another packet of the burst may have brought it */

	if (way == WAYS)
		way = c->turn++ % WAYS;
	/* The name of IPv6 has to go with the first part of its addresses that goes. */
	if ((l->words[0] >> FAMILY_SHIFT & FAMILY_MASK) == FLOW_IPV6)
		way = 0;
	l->words[way] = word;
	l->words[WAYS + way] = addresses_of(k);
}

static void remember_ipv6(struct line *l, const struct flow_key *k, uint64_t word)
{
	l->words[0] = word;
	for (unsigned int way = 1; way < WAYS; way++)
		l->words[way] = NO_NAME;
	memcpy(&l->words[WAYS], k->src, sizeof(k->src) + sizeof(k->dst));
}

static void remember(struct rule_cache *c, struct line *l, const struct flow_key *k, uint32_t rule)
{
	uint64_t word = name_of(k) | (uint64_t)rule << RULE_SHIFT;

	if (k->family == FLOW_IPV6)
		remember_ipv6(l, k, word);
	else
		remember_ipv4(c, l, k, word);
}

static void look_up(struct rule_cache *c, const struct rule_table *t, const struct flow_key keys[],
	unsigned int count, uint32_t ret_rules[])
{
	struct line *lines[FILTER_BURST];
	uint8_t missed[FILTER_BURST];
	unsigned int misses = 0;

	for (unsigned int i = 0; i < count; i++) {
		lines[i] = line_of(c, &keys[i]);
		rte_prefetch0(lines[i]);
	}
	for (unsigned int i = 0; i < count; i++) {
		unsigned int way = find(lines[i], &keys[i]);

		/* Of a miss that is any word of the line, until the table says better. */
		ret_rules[i] = (uint32_t)((lines[i]->words[way] & RULE_MASK) >> RULE_SHIFT);
		missed[misses] = (uint8_t)i;
		misses += way == WAYS;
	}
	c->window_pkts += count;
	c->window_hits += count - misses;
	if (misses == 0)
		return;
	rule_table_match_some(t, keys, missed, misses, ret_rules);
	for (unsigned int i = 0; i < misses; i++)
		remember(c, lines[missed[i]], &keys[missed[i]], ret_rules[missed[i]]);
}

void rule_cache_match(struct rule_cache *c, const struct rule_table *t,
	const struct flow_key keys[], unsigned int count, uint32_t ret_rules[])
{
	if (c->aside_pkts > 0) {
		c->aside_pkts -= RTE_MIN(c->aside_pkts, count);
		rule_table_match(t, keys, count, ret_rules);
		return;
	}
	look_up(c, t, keys, count, ret_rules);
	if (c->window_pkts < WINDOW_PKTS)
		return;
	if (c->window_hits < WINDOW_HITS_MIN)
		c->aside_pkts = ASIDE_PKTS;
	c->window_pkts = c->window_hits = 0;
}
