/*
 * Packets per second: all packets of the file lie in memory, and are judged in bursts over and over.
 * A round is long enough for the clock to be no part of it; what is told is the median round.
 */
#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_mbuf.h>

#include "wirespool/clock.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum { ROUNDS = 9 };
static const uint64_t ROUND_NS = NS_PER_SEC / 10;

/* Of pkts, the first count are the file's; up to a whole burst they begin again. */
struct bench {
	const struct trial *trial;
	size_t count;
	size_t room;
	struct trial_packet *packets;
	struct rte_mbuf **pkts;
	uint64_t *time_ns;
	uint32_t *wire_len;
	uint64_t bytes;
};

static int add_packet(struct bench *b, const struct trial_packet *p, struct errbuf *err)
{
	struct trial_packet *packets = b->packets;

	if (b->count == b->room) {
		b->room = 2 * b->room + FILTER_BURST;
		packets = reallocarray(packets, b->room, sizeof(*packets));
		if (packets == NULL)
			return fail_with(err, -ENOMEM, "no memory for %zu packets", b->room);
		b->packets = packets;
	}
	packets[b->count++] = *p;
	b->bytes += p->captured;
	return 0;
}

static int read_all(struct bench *b, struct errbuf *err)
{
	struct trial_packet p;
	int r;

	while ((r = trial_source_next(b->trial->source, &p, err)) == 1) {
		r = add_packet(b, &p, err);
		if (r < 0) {
			trial_packet_free(&p);
			return r;
		}
	}
	if (r == 0 && b->count == 0)
		r = fail_with(err, -ENODATA, "'%s' has no packets", b->trial->source->name);
	return r;
}

static size_t whole_bursts(const struct bench *b)
{
	return (b->count + FILTER_BURST - 1) / FILTER_BURST * FILTER_BURST;
}

static int lay_out(struct bench *b, struct errbuf *err)
{
	size_t total = whole_bursts(b);

	b->pkts = calloc(total, sizeof(struct rte_mbuf *));
	b->time_ns = calloc(total, sizeof(*b->time_ns));
	b->wire_len = calloc(total, sizeof(*b->wire_len));
	if (b->pkts == NULL || b->time_ns == NULL || b->wire_len == NULL)
		return fail_with(err, -ENOMEM, "no memory for %zu packets", total);
	for (size_t i = 0; i < total; i++) {
		b->pkts[i] = b->packets[i % b->count].mbuf;
		b->time_ns[i] = b->packets[i % b->count].time_ns;
		b->wire_len[i] = b->packets[i % b->count].wire;
	}
	return 0;
}

/* Returns how many of the packets are kept. */
static uint64_t judge_all(const struct bench *b, size_t total)
{
	struct verdict verdict = {.reasons = NULL};
	uint64_t kept = 0;

	for (size_t at = 0; at < total; at += FILTER_BURST) {
		unsigned int n =
			total - at < FILTER_BURST ? (unsigned int)(total - at) : FILTER_BURST;
		const struct filter_burst burst = {.pkts = &b->pkts[at],
			.time_ns = &b->time_ns[at],
			.wire_len = &b->wire_len[at],
			.count = n};

		filter_judge(b->trial->filter, b->trial->tables, &burst,
			UINT64_MAX >> (FILTER_BURST - n), &verdict);
		kept += (uint64_t)__builtin_popcountll(verdict.kept);
	}
	return kept;
}

static uint64_t round_ns(const struct bench *b, uint64_t passes)
{
	uint64_t start_ns = clock_monotonic_ns();

	for (uint64_t i = 0; i < passes; i++)
		(void)judge_all(b, whole_bursts(b));
	return clock_monotonic_ns() - start_ns;
}

static int compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct figures {
	double ns, ns_min, ns_max; /* per packet: the median round, the fastest and the slowest */
	uint64_t kept;
};

static void print_text(const struct bench *b, const struct figures *f)
{
	char count[UNITS_TEXT], size[UNITS_TEXT], rate[UNITS_TEXT];

	printf("engine      %s\n", filter_engine(b->trial->filter));
	printf("packets     %s, %s\n", count_format(b->count, count), size_format(b->bytes, size));
	printf("kept        %.1f %%\n", 100 * (double)f->kept / (double)b->count);
	printf("rate        %s\n", packet_rate_format(1e9 / f->ns, rate));
	printf("per packet  %.2f ns, median of %d rounds of %.2f to %.2f ns\n", f->ns, ROUNDS,
		f->ns_min, f->ns_max);
	log_info("of one CPU of this machine, for the filter alone; the packets lie in its caches "
		 "as far as they fit");
	if (b->trial->tables != NULL)
		log_info("flows and datagrams are remembered from round to round; 'kept' is of the "
			 "first");
}

static void print_json(const struct bench *b, const struct figures *f)
{
	trial_print_object(json_pack("{s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:i}", "engine",
		filter_engine(b->trial->filter), "pkts", (json_int_t)b->count, "bytes",
		(json_int_t)b->bytes, "kept_pkts", (json_int_t)f->kept, "pkts_per_s", 1e9 / f->ns,
		"ns_per_pkt", f->ns, "ns_per_pkt_min", f->ns_min, "ns_per_pkt_max", f->ns_max,
		"rounds", ROUNDS));
}

static void measure(const struct bench *b)
{
	uint64_t passes = 1, rounds[ROUNDS];
	struct figures f = {.kept = judge_all(b, b->count)};
	double pkts;

	while (round_ns(b, passes) < ROUND_NS)
		passes *= 2;
	for (unsigned int i = 0; i < ROUNDS; i++)
		rounds[i] = round_ns(b, passes);
	qsort(rounds, ROUNDS, sizeof(rounds[0]), compare_times);
	pkts = (double)passes * (double)whole_bursts(b);
	f.ns = (double)rounds[ROUNDS / 2] / pkts;
	f.ns_min = (double)rounds[0] / pkts;
	f.ns_max = (double)rounds[ROUNDS - 1] / pkts;
	if (b->trial->options->json)
		print_json(b, &f);
	else
		print_text(b, &f);
}

int trial_bench(struct trial *t)
{
	struct bench b = {.trial = t};
	struct errbuf err;
	int r;

	r = read_all(&b, &err);
	if (r == 0)
		r = lay_out(&b, &err);
	if (r == 0)
		measure(&b);
	else
		log_error("%s", err.text);
	for (size_t i = 0; i < b.count; i++)
		trial_packet_free(&b.packets[i]);
	free(b.packets);
	free(b.pkts);
	free(b.time_ns);
	free(b.wire_len);
	return r == 0 ? TRIAL_GOOD : TRIAL_FAILED;
}
