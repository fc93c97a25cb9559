#include "frames_write.h"

enum { AHEAD = 4 }; /* frames */

/* A line by the places of its words, which initialisers of vectors cannot say. */
union line {
	uint16_t word[CACHE_LINE / 2];
	words words;
};

static const union line INVERT = {
	.word = {[PLAIN_IP_SUM] = UINT16_MAX, [PLAIN_L4_SUM] = UINT16_MAX}};
static const union line ONLY_L4_SUM = {.word = {[PLAIN_L4_SUM] = UINT16_MAX}};
static const union line ONLY_SIZE = {.word = {
					     [PLAIN_IP_LENGTH] = UINT16_MAX,
					     [PLAIN_IP_SUM] = UINT16_MAX,
					     [PLAIN_L4_LENGTH] = UINT16_MAX,
					     [PLAIN_L4_SUM] = UINT16_MAX,
				     }};

/* Adds to one's complement sums, word by word. Pointers: not every CPU's calls can pass vectors. */
static HOT void add_words(words *sum, const words *more)
{
	*sum += *more;
	*sum -= (words)(*sum < *more); /* where true, all bits are set: adds 1 */
}

/* What of struct frames plain frames take: in registers, where no store into a frame can change it. */
struct plain {
	const uint8_t *template; /* of the next flow */
	const uint8_t *body;
	const struct size_words *sizes;
	uint16_t min_stored;
};

static HOT void write_plain(const struct plain *p, uint16_t len, const struct round *r,
	struct rte_mbuf *m, struct rte_mbuf *ahead, const bool one_size)
{
	uint8_t *d = mbuf_data(m);
	words sum, size, add = r->plain;

	if (!one_size) {
		memcpy(&size,
			(const uint8_t *)&p->sizes[len - p->min_stored] -
				SIZE_WORDS_FROM * sizeof(uint16_t),
			sizeof(size));
		size &= ONLY_SIZE.words;
		add_words(&add, &size);
	}
	memcpy(&sum, __builtin_assume_aligned(p->template, CACHE_LINE), sizeof(sum));
	add_words(&sum, &add);
	sum ^= INVERT.words;
	sum |= (words)(sum == 0) & ONLY_L4_SUM.words;
	memcpy(__builtin_assume_aligned(d, CACHE_LINE), &sum, sizeof(sum));
	write_body(p->body, d, mbuf_data(ahead), PLAIN_TEMPLATE, len);
	set_mbuf(m, len);
}

/* Frames of one round: flows from..from+n-1 send their packet of one number. */
static HOT void build_round(struct frames *f, const struct round *r, struct rte_mbuf *const pkts[],
	unsigned int n, const bool plain, const bool one_size)
{
	const uint32_t flow = f->next.flow;
	uint32_t at = f->next.at;
	struct plain p = {
		.template = f->templates + (size_t)flow * PLAIN_TEMPLATE,
		.body = f->body,
		.sizes = f->plain_sizes,
		.min_stored = f->min_stored,
	};

	for (unsigned int i = 0; i < n; i++) {
		uint16_t len = one_size ? p.min_stored : f->pattern[at];
		struct rte_mbuf *ahead = pkts[i + AHEAD < n ? i + AHEAD : i];

		if (plain)
			write_plain(&p, len, r, pkts[i], ahead, one_size);
		else
			write_any(f, flow + i, len, r, pkts[i], ahead);
		p.template += PLAIN_TEMPLATE;
		if (!one_size && ++at == f->pattern_len)
			at = 0;
	}
	f->next.flow = flow + n;
	f->next.at = at;
}

static HOT void build(struct frames *f, struct rte_mbuf *const pkts[], unsigned int n,
	const bool plain, const bool one_size)
{
	f->next.frame += n;
	while (n != 0) {
		unsigned int here = f->flows - f->next.flow;
		struct round r;

		round_make(&r, f->next.number);
		if (here > n)
			here = n;
		build_round(f, &r, pkts, here, plain, one_size);
		pkts += here;
		n -= here;
		if (f->next.flow == f->flows) {
			f->next.flow = 0;
			f->next.number++;
		}
	}
}

void frames_build(struct frames *f, uint64_t first, struct rte_mbuf *const pkts[], unsigned int n)
{
	if (unlikely(f->fragments != NULL)) {
		frames_fragments_build(f, first, pkts, n);
		return;
	}
	if (unlikely(first != f->next.frame)) {
		f->next.frame = first;
		f->next.number = first / f->flows;
		f->next.flow = (uint32_t)(first % f->flows);
		f->next.at = (uint32_t)(first % f->pattern_len);
	}
	if (f->plain && f->pattern_len == 1)
		build(f, pkts, n, true, true);
	else if (f->plain)
		build(f, pkts, n, true, false);
	else
		build(f, pkts, n, false, false);
}
