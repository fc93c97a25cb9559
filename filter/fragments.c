#include "fragments.h"

#include <errno.h>

#include <rte_malloc.h>

#include "keyed_hash.h"
#include "wirespool/counter.h"

/*
 * A word is all that is known of a datagram, so that it is read and written as a whole:
 *
 *    63                             21 20                  1   0
 *   | what it is known by, never 0    | tick, 2^28 ns each | kept |       0: nothing
 *
 * 20 bits of ticks go round in 78 hours: a word that nobody overwrote comes to life again then, for as long as it lived.
 */
enum {
	WORDS = 8, /* per bucket */
	KEPT_BITS = 1,
	TICK_BITS = 20,
	TICK_SHIFT = 28,
	TICK_MASK = (1 << TICK_BITS) - 1,
	NAME_SHIFT = KEPT_BITS + TICK_BITS,
	TRIES = 64,
};

/*
 * All loads and stores of words are relaxed: no other data hangs on them. What lcores see of
 * each other is the word or what was there before, never half of it.
 */
struct bucket {
	_Atomic uint64_t words[WORDS];
} __rte_cache_aligned;

_Static_assert(sizeof(struct bucket) == RTE_CACHE_LINE_SIZE, "one line each");

struct queue {
	counter unknown_pkts;
} __rte_cache_aligned;

/* Read-only after fragments_new(), but for what the pointers show. */
struct fragments {
	struct bucket *buckets;
	uint64_t bucket_mask;
	uint64_t expire_ticks;
	struct hash_secret secret;
	struct queue *queues;
	unsigned int queue_count;
};

/* A datagram at an instant. */
struct mark {
	struct bucket *bucket;
	uint64_t name;
	uint64_t tick;
};

static uint64_t bucket_count(uint32_t datagrams_max)
{
	uint64_t wanted = (2 * (uint64_t)datagrams_max + WORDS - 1) / WORDS, count = 1;

	while (count < wanted)
		count *= 2;
	return count;
}

uint64_t fragments_memory_bytes(uint32_t datagrams_max, unsigned int queues)
{
	return sizeof(struct fragments) + bucket_count(datagrams_max) * sizeof(struct bucket) +
	       queues * sizeof(struct queue);
}

static int check_options(const struct fragments_options *o, struct errbuf *err)
{
	if (o->datagrams_max == 0 || o->datagrams_max > FRAGMENTS_DATAGRAMS_MAX)
		return fail_with(err, -EINVAL,
			"the datagrams of a fragment table must be 1..%d, got %u",
			FRAGMENTS_DATAGRAMS_MAX, o->datagrams_max);
	if (o->queues == 0)
		return fail_with(err, -EINVAL, "a fragment table must have a queue");
	if (o->expire_ns > FRAGMENTS_EXPIRE_MAX_NS)
		return fail_with(err, -EINVAL,
			"fragments must expire after an hour at most, got %llu s",
			(unsigned long long)(o->expire_ns / 1000000000));
	return 0;
}

int fragments_new(const struct fragments_options *options, struct fragments **ret_fragments,
	struct errbuf *err)
{
	uint64_t expire_ns = options->expire_ns != 0 ? options->expire_ns : FRAGMENTS_EXPIRE_NS;
	uint64_t buckets = bucket_count(options->datagrams_max);
	struct fragments *f;
	int r;

	r = check_options(options, err);
	if (r < 0)
		return r;
	f = rte_zmalloc_socket("fragments", sizeof(*f), RTE_CACHE_LINE_SIZE, options->socket_id);
	if (f == NULL)
		return fail_with(err, -ENOMEM, "no memory for a fragment table");
	r = hash_secret_draw(&f->secret);
	if (r < 0) {
		(void)fail_with(err, r, "no random key for a fragment table: %s", strerror(-r));
		goto free_fragments;
	}
	f->buckets = rte_zmalloc_socket("fragment_buckets", buckets * sizeof(struct bucket),
		RTE_CACHE_LINE_SIZE, options->socket_id);
	f->queues = rte_zmalloc_socket("fragment_queues", options->queues * sizeof(struct queue),
		RTE_CACHE_LINE_SIZE, options->socket_id);
	if (f->buckets == NULL || f->queues == NULL) {
		r = fail_with(err, -ENOMEM, "no memory for a fragment table of %u datagrams",
			options->datagrams_max);
		goto free_fragments;
	}
	f->queue_count = options->queues;
	f->bucket_mask = buckets - 1;
	f->expire_ticks = (expire_ns + (1 << TICK_SHIFT) - 1) >> TICK_SHIFT;
	*ret_fragments = f;
	return 0;
free_fragments:
	fragments_free(f);
	return r;
}

void fragments_free(struct fragments *f)
{
	if (f == NULL)
		return;
	rte_free(f->buckets);
	rte_free(f->queues);
	rte_free(f);
}

uint64_t fragments_unknown_pkts(const struct fragments *f)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < f->queue_count; i++)
		sum += counter_get(&f->queues[i].unknown_pkts);
	return sum;
}

static inline struct mark mark_of(
	const struct fragments *f, const struct fragment_key *key, uint64_t time_ns)
{
	struct hash128 hash = keyed_hash(&f->secret, key);
	uint64_t name = hash.low >> NAME_SHIFT;

	return (struct mark){
		.bucket = &f->buckets[hash.high & f->bucket_mask],
		.name = name + (name == 0),
		.tick = time_ns >> TICK_SHIFT,
	};
}

/*
 * 0 for a word from expire_ticks ahead, as another lcore's clock may be, up to twice expire_ticks
 * for one that is as far behind, and more for all that have expired.
 */
static inline uint64_t word_age(const struct fragments *f, uint64_t word, uint64_t tick)
{
	return (tick - (word >> KEPT_BITS) + f->expire_ticks) & TICK_MASK;
}

static inline bool is_live(const struct fragments *f, uint64_t word, uint64_t tick)
{
	return word_age(f, word, tick) <= 2 * f->expire_ticks;
}

/* All words of a bucket, each as it was at one instant of its own. */
static inline void load_words(const struct bucket *b, uint64_t words[WORDS])
{
	for (unsigned int i = 0; i < WORDS; i++)
		words[i] = atomic_load_explicit(&b->words[i], memory_order_relaxed);
}

/* The first word of a name, live or not; WORDS when there is none. */
static inline unsigned int find_name(const uint64_t words[WORDS], uint64_t name)
{
	unsigned int found = 1U << WORDS;

	for (unsigned int i = 0; i < WORDS; i++)
		found |= (unsigned int)(words[i] >> NAME_SHIFT == name) << i;
	return (unsigned int)__builtin_ctz(found);
}

/* An empty word, else the one that was written longest ago. */
static unsigned int find_oldest(
	const struct fragments *f, const uint64_t words[WORDS], uint64_t tick)
{
	unsigned int oldest = 0;
	uint64_t oldest_age = 0;

	for (unsigned int i = 0; i < WORDS; i++) {
		uint64_t age = words[i] == 0 ? UINT64_MAX : word_age(f, words[i], tick);

		if (age > oldest_age) {
			oldest = i;
			oldest_age = age;
		}
	}
	return oldest;
}

void fragments_first(
	struct fragments *f, const struct fragment_key *key, bool kept, uint64_t time_ns)
{
	struct mark m = mark_of(f, key, time_ns);
	uint64_t word = m.name << NAME_SHIFT | (m.tick & TICK_MASK) << KEPT_BITS | kept;

	/*
	 * Compared, so that two lcores that chose the same word do not both take it: the loser looks
	 * again and finds the next. When it has lost so often, the datagram stays unknown.
	 */
	for (unsigned int i = 0; i < TRIES; i++) {
		uint64_t words[WORDS], old;
		unsigned int chosen;

		load_words(m.bucket, words);
		chosen = find_name(words, m.name);
		if (chosen == WORDS)
			chosen = find_oldest(f, words, m.tick);
		old = words[chosen];
		if (old == word || atomic_compare_exchange_strong_explicit(&m.bucket->words[chosen],
					   &old, word, memory_order_relaxed, memory_order_relaxed))
			return;
	}
}

enum fragment_decision fragments_later(
	struct fragments *f, unsigned int queue, const struct fragment_key *key, uint64_t time_ns)
{
	struct mark m = mark_of(f, key, time_ns);
	uint64_t words[WORDS];
	unsigned int found;

	load_words(m.bucket, words);
	found = find_name(words, m.name);
	if (found < WORDS && is_live(f, words[found], m.tick))
		return (words[found] & 1) != 0 ? FRAGMENT_KEPT : FRAGMENT_DROPPED;
	counter_add(&f->queues[queue].unknown_pkts, 1);
	return FRAGMENT_UNKNOWN;
}
