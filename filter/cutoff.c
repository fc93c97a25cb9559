#include "cutoff.h"

#include <errno.h>

#include <rte_malloc.h>
#include <rte_prefetch.h>

#include "wirespool/counter.h"

enum {
	PLACES = 4,      /* per bucket */
	TICK_SHIFT = 26, /* a tick is 2^26 ns, 67 ms: 32 bits of them go round in nine years */
};

/*
 * A line of the cache. Each flow may be in either of two buckets: so half of all places can be taken
 * before one new flow in 3000 finds both full.
 */
struct bucket {
	uint64_t flows[PLACES]; /* what they are known by */
	uint32_t bytes[PLACES]; /* so far, up to UINT32_MAX */
	uint32_t seen[PLACES];  /* tick of the last packet; 0: there was none */
} __rte_cache_aligned;

_Static_assert(sizeof(struct bucket) == RTE_CACHE_LINE_SIZE, "one line each");

struct cutoff {
	/* Read-only after cutoff_new() */
	struct bucket *buckets;
	uint64_t bucket_mask;
	uint32_t limit_bytes;
	uint32_t idle_ticks;
	struct hash_secret secret;

	/* The rx lcore's own line */
	counter beyond_pkts __rte_cache_aligned;
	counter full_pkts;
};

struct place {
	struct bucket *bucket;
	unsigned int number; /* PLACES: none */
};

/* Where a flow may be, and what it is known by there. */
struct whereabouts {
	uint64_t flow;
	struct bucket *first, *second;
};

static uint64_t bucket_count(uint32_t flows_max)
{
	uint64_t wanted = (2 * (uint64_t)flows_max + PLACES - 1) / PLACES, count = 1;

	while (count < wanted)
		count *= 2;
	return count;
}

uint64_t cutoff_memory_bytes(uint32_t flows_max)
{
	return sizeof(struct cutoff) + bucket_count(flows_max) * sizeof(struct bucket);
}

static int check_options(const struct cutoff_options *o, struct errbuf *err)
{
	if (o->limit_bytes > UINT32_MAX)
		return fail_with(err, -EINVAL, "a flow's cutoff must be 0..%u bytes, got %llu",
			UINT32_MAX, (unsigned long long)o->limit_bytes);
	if (o->flows_max == 0 || o->flows_max > CUTOFF_FLOWS_MAX)
		return fail_with(err, -EINVAL, "the flows of a cutoff must be 1..%d, got %u",
			CUTOFF_FLOWS_MAX, o->flows_max);
	if (o->idle_ns > CUTOFF_IDLE_MAX_NS)
		return fail_with(err, -EINVAL,
			"a silent flow must be forgotten after a day at most, got %llu s",
			(unsigned long long)(o->idle_ns / 1000000000));
	return 0;
}

int cutoff_new(const struct cutoff_options *options, struct cutoff **ret_cutoff, struct errbuf *err)
{
	uint64_t idle_ns = options->idle_ns != 0 ? options->idle_ns : CUTOFF_IDLE_NS;
	uint64_t buckets = bucket_count(options->flows_max);
	struct cutoff *c;
	int r;

	r = check_options(options, err);
	if (r < 0)
		return r;
	c = rte_zmalloc_socket("cutoff", sizeof(*c), RTE_CACHE_LINE_SIZE, options->socket_id);
	if (c == NULL)
		return fail_with(err, -ENOMEM, "no memory for a cutoff");
	r = hash_secret_draw(&c->secret);
	if (r < 0) {
		(void)fail_with(err, r, "no random key for a cutoff: %s", strerror(-r));
		goto free_cutoff;
	}
	c->buckets = rte_zmalloc_socket("cutoff_buckets", buckets * sizeof(struct bucket),
		RTE_CACHE_LINE_SIZE, options->socket_id);
	if (c->buckets == NULL) {
		r = fail_with(err, -ENOMEM, "no memory for a cutoff of %u flows: %llu MiB wanted",
			options->flows_max,
			(unsigned long long)(buckets * sizeof(struct bucket) >> 20) + 1);
		goto free_cutoff;
	}
	c->bucket_mask = buckets - 1;
	c->limit_bytes = (uint32_t)options->limit_bytes;
	c->idle_ticks = (uint32_t)((idle_ns + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT);
	*ret_cutoff = c;
	return 0;
free_cutoff:
	rte_free(c);
	return r;
}

void cutoff_free(struct cutoff *c)
{
	if (c == NULL)
		return;
	rte_free(c->buckets);
	rte_free(c);
}

uint64_t cutoff_beyond_pkts(const struct cutoff *c)
{
	return counter_get(&c->beyond_pkts);
}

uint64_t cutoff_full_pkts(const struct cutoff *c)
{
	return counter_get(&c->full_pkts);
}

static inline struct whereabouts locate(
	const struct cutoff *c, const struct hash_secret *secret, const struct cutoff_key *key)
{
	const uint64_t *w = key->words;
	struct hash128 hash = w[0] >> CUTOFF_VERSION_SHIFT == 4 ? keyed_hash_two(secret, w[0], w[1])
								: keyed_hash(secret, w);

	return (struct whereabouts){
		.flow = hash.low,
		.first = &c->buckets[hash.high & c->bucket_mask],
		.second = &c->buckets[hash.high >> 32 & c->bucket_mask],
	};
}

/* 0 is left for "never". */
static inline uint32_t tick_at(uint64_t time_ns)
{
	uint32_t tick = (uint32_t)(time_ns >> TICK_SHIFT);

	return tick + (tick == 0);
}

/* Seen within idle_ticks of now, before or after. */
static inline bool is_live(
	const struct cutoff *c, const struct bucket *b, unsigned int i, uint32_t now)
{
	return b->seen[i] != 0 && now - b->seen[i] + c->idle_ticks <= 2 * c->idle_ticks;
}

/* The place of a flow, live or not; PLACES when it is not there. */
static inline unsigned int find_flow(const struct bucket *b, uint64_t flow)
{
	unsigned int found = 1U << PLACES;

	for (unsigned int i = 0; i < PLACES; i++)
		found |= (unsigned int)(b->flows[i] == flow) << i;
	return (unsigned int)__builtin_ctz(found);
}

/* Which places of a bucket a new flow may take, one bit each. */
static inline unsigned int find_free(const struct cutoff *c, const struct bucket *b, uint32_t now)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < PLACES; i++)
		found |= (unsigned int)!is_live(c, b, i, now) << i;
	return found;
}

/*
 * The bucket that a new flow goes to. Nine of ten go to their first one at no cost for how full
 * the table can get, if it is left alone when it has one place left and the second has more.
 * What the place still says is of a silent flow, as which count_packet() sees the new one, too.
 */
static struct place take_place(const struct cutoff *c, const struct whereabouts *w, uint32_t now)
{
	unsigned int first = find_free(c, w->first, now), second = find_free(c, w->second, now);
	int first_count = __builtin_popcount(first), second_count = __builtin_popcount(second);
	bool to_first = first_count > 1 || first_count >= second_count;
	struct place p = {to_first ? w->first : w->second, PLACES};

	if ((first | second) == 0)
		return p;
	p.number = (unsigned int)__builtin_ctz(to_first ? first : second);
	p.bucket->flows[p.number] = w->flow;
	return p;
}

static struct place find_place(const struct cutoff *c, const struct whereabouts *w, uint32_t now)
{
	struct place p = {w->first, find_flow(w->first, w->flow)};

	if (p.number == PLACES)
		p = (struct place){w->second, find_flow(w->second, w->flow)};
	return p.number == PLACES ? take_place(c, w, now) : p;
}

/* What does not change is not written: a line that stays clean need not go back to memory. */
static inline bool count_packet(
	const struct cutoff *c, const struct place *p, uint32_t bytes, uint32_t now)
{
	uint32_t *counted = &p->bucket->bytes[p->number], *seen = &p->bucket->seen[p->number];
	uint32_t sum;

	if (*seen != now) {
		if (!is_live(c, p->bucket, p->number, now))
			*counted = 0;
		*seen = now;
	}
	if (*counted >= c->limit_bytes)
		return true;
	sum = *counted + bytes;
	*counted = sum < bytes ? UINT32_MAX : sum;
	return false;
}

/*
 * Most buckets are in no cache. So all first ones of a burst are asked for before one is looked at, one right
 * behind the other: a prefetch waits for the translation of its address, and only prefetches that are near each other
 * wait at once. Then the second ones are, of those packets alone whose flows were not in the first. A flow's
 * packets stay in order, as all of them are in the one group or in the other.
 */
uint64_t cutoff_match(struct cutoff *c, const struct cutoff_key keys[], const uint32_t bytes[],
	const uint64_t time_ns[], unsigned int count)
{
	const struct hash_secret secret = c->secret;
	uint64_t beyond = 0, rest = 0, full = 0;
	struct whereabouts w[CUTOFF_BURST];

	for (unsigned int i = 0; i < count; i++)
		w[i] = locate(c, &secret, &keys[i]);
	for (unsigned int i = 0; i < count; i++)
		rte_prefetch0(w[i].first);
	for (unsigned int i = 0; i < count; i++) {
		struct place p = {w[i].first, find_flow(w[i].first, w[i].flow)};

		if (p.number == PLACES) {
			rest |= 1ULL << i;
			rte_prefetch0(w[i].second);
			continue;
		}
		beyond |= (uint64_t)count_packet(c, &p, bytes[i], tick_at(time_ns[i])) << i;
	}
	for (; rest != 0; rest &= rest - 1) {
		unsigned int i = (unsigned int)__builtin_ctzll(rest);
		struct place p = find_place(c, &w[i], tick_at(time_ns[i]));

		if (p.number == PLACES)
			full++;
		else
			beyond |= (uint64_t)count_packet(c, &p, bytes[i], tick_at(time_ns[i])) << i;
	}
	counter_add(&c->beyond_pkts, (uint64_t)__builtin_popcountll(beyond));
	counter_add(&c->full_pkts, full);
	return beyond;
}
