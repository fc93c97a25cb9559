#include "frames_layout.h"

#include <endian.h>
#include <stdlib.h>

enum {
	/* Prime (times 12 for IMIX), so that no usual number of flows beats with it and gives
	 * a flow always the same sizes. */
	RANGE_PATTERN = 8191,
	IMIX_PATTERN = 12 * 359,
};

uint64_t frames_random(uint64_t *state)
{
	/* splitmix64, https://prng.di.unimi.it/splitmix64.c */
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

uint32_t frames_lift_bytes(const struct frames_options *o)
{
	struct shape s = shape_make(kind_longest(o), o);
	uint32_t fragment =
		o->fragment_percent != 0 && o->ipv6_percent != 0 ? IPV6_FRAGMENT_BYTES : 0;

	if (o->ipv6_percent == 0 && o->inner_vlan == 0 && o->mpls_labels == 0 &&
		o->tunnel == TUNNEL_NONE && o->fragment_percent == 0)
		return 0;
	return (uint32_t)s.payload + fragment + STAMP_BYTES + FRAME_FCS_BYTES;
}

uint32_t frames_longest_bytes(const struct frames_options *o)
{
	uint32_t lift = frames_lift_bytes(o);

	return o->max_bytes < lift ? lift : o->max_bytes;
}

unsigned int frames_room_bytes(const struct frames_options *o)
{
	uint32_t longest = frames_longest_bytes(o);
	uint32_t most = longest < TEMPLATE_MAX ? TEMPLATE_MAX : longest;

	return RTE_PKTMBUF_HEADROOM + RTE_ALIGN(most, (uint32_t)CACHE_LINE);
}

unsigned int frames_busy_queues(const struct frames_options *o, unsigned int queues)
{
	uint32_t conversations = o->flows / 2 + o->flows % 2;

	return conversations < queues ? conversations : queues;
}

/* True for percent of 100 numbers, evenly spread. */
static bool is_share(uint32_t n, uint32_t percent)
{
	return ((uint64_t)n + 1) * percent / 100 != (uint64_t)n * percent / 100;
}

/* IPv6 and TCP are spread apart from each other: both at 50 % make four kinds, not two. */
static unsigned int kind_of(const struct frames_options *o, uint32_t conversation)
{
	uint32_t v6_before = (uint32_t)((uint64_t)conversation * o->ipv6_percent / 100);

	if (is_share(conversation, o->ipv6_percent))
		return SHAPE_IPV6 | (is_share(v6_before, o->tcp_percent) ? SHAPE_TCP : 0);
	return is_share(conversation - v6_before, o->tcp_percent) ? SHAPE_TCP : 0;
}

/* Plain frames of a single size have its lengths in their templates already, and in their sums. */
static void add_size(uint8_t *t, const struct size_words *size)
{
	for (unsigned int i = 0; i < 16; i++) {
		uint8_t *word = t + 2 * (SIZE_WORDS_FROM + i);

		store16(word, fold((uint64_t)load16(word) + size->word[i]));
	}
}

static int make_plain_sizes(struct frames *f)
{
	size_t count = (size_t)(f->max_stored - f->min_stored + 1);
	struct size_words *all = calloc(count + 2, sizeof(*all));

	if (all == NULL)
		return -1;
	f->plain_sizes = all + 1;
	for (size_t n = 0; n < count; n++) {
		const struct size_info *i = &f->sizes[PLAIN][n];
		uint16_t *word = f->plain_sizes[n].word;

		word[PLAIN_IP_LENGTH - SIZE_WORDS_FROM] = i->ip_length;
		word[PLAIN_IP_SUM - SIZE_WORDS_FROM] = i->ip_length;
		word[PLAIN_L4_LENGTH - SIZE_WORDS_FROM] = i->l4_length;
		word[PLAIN_L4_SUM - SIZE_WORDS_FROM] = i->sum;
	}
	return 0;
}

/* Sums over the body between any two positions come from sums over its beginning. */
static int make_sizes(struct frames *f, unsigned int kind)
{
	const struct shape *s = &f->shapes[kind];
	struct size_info *sizes;

	if (f->sizes[kind] != NULL)
		return 0;
	sizes = calloc((size_t)(f->max_stored - f->min_stored + 1), sizeof(*sizes));
	if (sizes == NULL)
		return -1;
	for (uint32_t len = f->min_stored; len <= f->max_stored; len++) {
		struct size_info *i = &sizes[len - f->min_stored];
		uint16_t l4_len = (uint16_t)(len - s->l4);
		bool stamped = len >= (uint32_t)(s->payload + STAMP_BYTES);
		uint32_t from = (uint32_t)(s->payload + (stamped ? STAMP_BYTES : 0));

		i->l4_length = htobe16(l4_len);
		i->ip_length = kind & SHAPE_IPV6 ? i->l4_length : htobe16((uint16_t)(len - s->ip));
		i->stamped = stamped;
		i->sum = fold(sum_bytes(f->body + from, len - from) +
			      (kind & SHAPE_TCP ? 1ULL : 2ULL) * i->l4_length);
	}
	f->sizes[kind] = sizes;
	return f->plain ? make_plain_sizes(f) : 0;
}

static void fill_imix(uint16_t *pattern, uint32_t lift, uint64_t seed)
{
	for (uint32_t i = 0; i < IMIX_PATTERN; i++) {
		uint32_t bytes = i % 12 < 7 ? 64 : i % 12 < 11 ? 594 : 1518;

		pattern[i] = (uint16_t)((bytes < lift ? lift : bytes) - FRAME_FCS_BYTES);
	}
	for (uint32_t i = IMIX_PATTERN - 1; i > 0; i--) {
		uint32_t other = (uint32_t)(frames_random(&seed) % (i + 1));
		uint16_t swap = pattern[i];

		pattern[i] = pattern[other];
		pattern[other] = swap;
	}
}

static int make_pattern(struct frames *f, const struct frames_options *o)
{
	uint32_t lift = frames_lift_bytes(o);
	uint64_t seed = o->seed;
	uint32_t wire = 0;

	f->pattern_len = o->imix ? IMIX_PATTERN : o->min_bytes == o->max_bytes ? 1 : RANGE_PATTERN;
	f->pattern = calloc(f->pattern_len, sizeof(*f->pattern));
	f->wire_after = calloc(f->pattern_len, sizeof(*f->wire_after));
	if (f->pattern == NULL || f->wire_after == NULL)
		return -1;
	if (o->imix)
		fill_imix(f->pattern, lift, seed);
	for (uint32_t i = 0; i < f->pattern_len; i++) {
		uint32_t span = o->max_bytes - o->min_bytes + 1;

		if (!o->imix) {
			uint32_t bytes = o->min_bytes + (uint32_t)(frames_random(&seed) % span);

			f->pattern[i] = (uint16_t)((bytes < lift ? lift : bytes) - FRAME_FCS_BYTES);
		}
		wire += (uint32_t)f->pattern[i] + FRAME_FCS_BYTES + FRAME_GAP_BYTES;
		f->wire_after[i] = wire;
	}
	f->period_bytes = wire;
	return 0;
}

static uint8_t *make_body(uint64_t seed)
{
	uint8_t *body = aligned_alloc(CACHE_LINE, BODY_BYTES);

	if (body == NULL)
		return NULL;
	for (size_t i = 0; i < BODY_BYTES; i += 8)
		store64(body + i, frames_random(&seed));
	return body;
}

static int make_flows(
	struct frames *f, const struct frames_options *o, unsigned int queue, unsigned int queues)
{
	uint32_t index = 0;

	for (uint32_t c = queue; c < o->flows / 2 + o->flows % 2; c += queues) {
		unsigned int kind = kind_of(o, c);

		if (make_sizes(f, kind) < 0)
			return -1;
		for (uint32_t flow = 2 * c; flow < 2 * c + 2 && flow < o->flows; flow++) {
			f->shape_of[index] = (uint8_t)kind;
			template_write(f, index, flow, kind, o);
			if (f->plain && f->pattern_len == 1)
				add_size(f->templates + (size_t)index * f->template_bytes,
					f->plain_sizes);
			index++;
		}
	}
	return 0;
}

static uint32_t count_flows(const struct frames_options *o, unsigned int queue, unsigned int queues)
{
	uint32_t n = 0;

	for (uint32_t c = queue; c < o->flows / 2 + o->flows % 2; c += queues)
		n += 2 * c + 1 < o->flows ? 2 : 1;
	return n;
}

static bool is_plain(const struct frames_options *o)
{
	return kind_longest(o) == PLAIN && o->vlan == 0 && o->mpls_labels == 0 &&
	       o->tunnel == TUNNEL_NONE && o->fragment_percent == 0;
}

struct frames *frames_new(const struct frames_options *o, unsigned int queue, unsigned int queues)
{
	struct frames *f = aligned_alloc(CACHE_LINE, (sizeof(*f) + 63) & ~63UL);

	if (f == NULL)
		return NULL;
	memset(f, 0, sizeof(*f));
	for (unsigned int k = 0; k < SHAPES; k++)
		f->shapes[k] = shape_make(k, o);
	f->plain = is_plain(o);
	f->tunnel = o->tunnel;
	f->flows = count_flows(o, queue, queues);
	f->template_bytes = RTE_ALIGN(
		(uint32_t)f->shapes[kind_longest(o)].payload + STAMP_BYTES, (uint32_t)CACHE_LINE);
	/* Not from DPDK's memory, which without huge pages is what was planned for mbufs. */
	f->templates = aligned_alloc(CACHE_LINE, ((size_t)f->flows + 1) * f->template_bytes);
	f->shape_of = calloc((size_t)f->flows + 1, 1);
	f->body = make_body(o->seed ^ FRAME_STAMP_MAGIC);
	if (f->templates == NULL || f->shape_of == NULL || f->body == NULL ||
		make_pattern(f, o) < 0)
		goto free_frames;
	f->min_stored = UINT16_MAX;
	for (uint32_t i = 0; i < f->pattern_len; i++) {
		if (f->pattern[i] < f->min_stored)
			f->min_stored = f->pattern[i];
		if (f->pattern[i] > f->max_stored)
			f->max_stored = f->pattern[i];
	}
	if (make_flows(f, o, queue, queues) < 0)
		goto free_frames;
	if (o->fragment_percent != 0 && frames_fragments_make(f, o->fragment_percent, o->seed) < 0)
		goto free_frames;
	return f;
free_frames:
	frames_free(f);
	return NULL;
}

void frames_free(struct frames *f)
{
	if (f == NULL)
		return;
	for (unsigned int k = 0; k < SHAPES; k++)
		free(f->sizes[k]);
	if (f->plain_sizes != NULL)
		free(f->plain_sizes - 1);
	frames_fragments_free(f);
	free(f->wire_after);
	free(f->pattern);
	free(f->body);
	free(f->shape_of);
	free(f->templates);
	free(f);
}

/* How many of the period's frames end within so many bytes of it; at least `from` do. */
static uint32_t arrived_in_period(const struct frames *f, uint64_t bytes, uint32_t from)
{
	uint32_t to = f->pattern_len;

	/* Mostly the answer is near; after a stall it is anywhere. */
	for (uint32_t i = 0; i < 64; i++, from++)
		if (from == to || f->wire_after[from] > bytes)
			return from;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (f->wire_after[middle] <= bytes)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

uint64_t frames_arrived(struct frames *f, uint64_t wire_bytes)
{
	uint64_t bytes = wire_bytes - f->periods_bytes;

	if (bytes >= f->period_bytes) {
		uint64_t whole = bytes / f->period_bytes;

		f->periods += whole;
		f->periods_bytes += whole * f->period_bytes;
		f->arrived_at = 0;
		bytes -= whole * f->period_bytes;
	}
	if (f->pattern_len == 1)
		return f->periods;
	f->arrived_at = arrived_in_period(f, bytes, f->arrived_at);
	return f->periods * f->pattern_len + f->arrived_at;
}

uint64_t frames_wire_bytes(const struct frames *f, uint64_t n)
{
	uint32_t rest = (uint32_t)(n % f->pattern_len);

	return n / f->pattern_len * f->period_bytes + (rest == 0 ? 0 : f->wire_after[rest - 1]);
}
