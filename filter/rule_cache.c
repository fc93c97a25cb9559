/*
 * A burst is gone through three times: its lines are asked for, so that they come from memory side by side; they
 * are looked at; then the table is asked for all misses at once.
 */
#include "rule_cache.h"

#include <errno.h>
#include <string.h>

#include <rte_common.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "keyed_hash.h"
#include "rule_table.h"
#include "wirespool/filter.h"
#include "wirespool/rules.h"

enum {
	LINES = 1 << 19,
	WAYS = 6,
	RULE_BITS = 21,
	/*
	 * Where few packets hit, the cache costs more than it saves. So hits are counted over a
	 * window of packets; if they are fewer than half, and hardly more than in the window before, as there would
	 * be while it learns flows that come again, the cache steps aside for 15 windows. What
	 * it knows stays true meanwhile, but flows may be others by then: the next window is held against none.
	 */
	WINDOW_PKTS = 1 << 14,
	WINDOW_HITS_MIN = WINDOW_PKTS / 2,
	WINDOW_HITS_MORE = WINDOW_PKTS / 256,
	ASIDE_PKTS = 15 * WINDOW_PKTS,
};

#define RULE_MASK ((unsigned __int128)(1 << RULE_BITS) - 1)

/* A flow may be in any place of its line. */
struct line {
	uint64_t flows[WAYS];    /* what they are known by; 0: nothing */
	unsigned __int128 rules; /* RULE_BITS of each, the first one lowest */
} __rte_cache_aligned;

_Static_assert(sizeof(struct line) == RTE_CACHE_LINE_SIZE, "one line each");
_Static_assert(sizeof(struct flow_key) == HASHED_BYTES, "the whole key is hashed");
_Static_assert(RULES_MAX < 1 << RULE_BITS, "there is room for a rule's number");
_Static_assert(128 / RULE_BITS >= WAYS, "there is room for all ways");

struct rule_cache {
	struct hash_secret secret;
	uint64_t line_mask;
	unsigned int turn; /* which of six goes next */
	unsigned int window_pkts;
	unsigned int window_hits;
	unsigned int last_hits;  /* of the window before */
	unsigned int aside_pkts; /* still to be asked of the table alone */
	struct line lines[];
};

/* What a flow is known by, and in which line. */
struct where {
	uint64_t flow;
	struct line *line;
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

/*
 * Where the flow of each key may be. Of those that are not of IPv6, no more than the first four bytes of each address
 * count.
 */
static inline void locate(struct rule_cache *c, const struct flow_key keys[], unsigned int count,
	struct where where[])
{
	const struct hash_secret secret = c->secret;

	for (unsigned int i = 0; i < count; i++) {
		const struct flow_key *k = &keys[i];
		struct hash128 hash;
		uint32_t src, dst;

		if (k->family == FLOW_IPV6) {
			hash = keyed_hash(&secret, k);
		} else {
			memcpy(&src, k->src, sizeof(src));
			memcpy(&dst, k->dst, sizeof(dst));
			hash = keyed_hash_two(&secret, k->first, (uint64_t)dst << 32 | src);
		}
		where[i] = (struct where){hash.low | 1, &c->lines[hash.high & c->line_mask]};
	}
}

/* Where in its line a flow is; WAYS: nowhere. No branch: nobody can predict it. */
static inline unsigned int find(const struct line *l, uint64_t flow)
{
	unsigned int found = WAYS;

	for (unsigned int way = 0; way < WAYS; way++)
		found = l->flows[way] == flow ? way : found;
	return found;
}

/* Of no way: 0. */
static inline uint32_t rule_at(const struct line *l, unsigned int way)
{
	return (uint32_t)(l->rules >> way * RULE_BITS & RULE_MASK);
}

/* The place of a flow that may be there already, by another packet of the burst; or a free one; or that of any. */
static inline unsigned int find_place(struct rule_cache *c, const struct where *w)
{
	unsigned int way = find(w->line, w->flow);

	if (way == WAYS)
		way = find(w->line, 0);
	return way == WAYS ? c->turn++ % WAYS : way;
}

static void remember(struct rule_cache *c, const struct where *w, uint32_t rule)
{
	unsigned int way = find_place(c, w), shift = way * RULE_BITS;

	w->line->flows[way] = w->flow;
	w->line->rules = (w->line->rules & ~(RULE_MASK << shift)) | (unsigned __int128)rule
									    << shift;
}

static void look_up(struct rule_cache *c, const struct rule_table *t, const struct flow_key keys[],
	unsigned int count, uint32_t ret_rules[])
{
	struct where where[FILTER_BURST];
	uint8_t missed[FILTER_BURST];
	unsigned int misses = 0;

	locate(c, keys, count, where);
	for (unsigned int i = 0; i < count; i++)
		rte_prefetch0(where[i].line);
	for (unsigned int i = 0; i < count; i++) {
		unsigned int way = find(where[i].line, where[i].flow);

		ret_rules[i] = rule_at(where[i].line, way);
		missed[misses] = (uint8_t)i;
		misses += way == WAYS;
	}
	c->window_pkts += count;
	c->window_hits += count - misses;
	if (misses == 0)
		return;
	rule_table_match_some(t, keys, missed, misses, ret_rules);
	for (unsigned int i = 0; i < misses; i++)
		remember(c, &where[missed[i]], ret_rules[missed[i]]);
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
	if (c->window_hits < WINDOW_HITS_MIN && c->window_hits < c->last_hits + WINDOW_HITS_MORE)
		c->aside_pkts = ASIDE_PKTS;
	c->last_hits = c->aside_pkts > 0 ? 0 : c->window_hits;
	c->window_pkts = c->window_hits = 0;
}
