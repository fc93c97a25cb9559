/*
 * The XDP program of AF_XDP ports. It runs in the kernel, where a driver has taken a packet and nobody else
 * has seen it yet. Without rules all packets go to the recorder, as with DPDK's own program; with
 * rules those that a rule keeps do, or could keep if more of them were looked at; those of a drop rule end
 * here, and all others, ARP among them, go to the kernel's stack as if nobody recorded.
 *
 * DPDK's driver loads it (the only program of its object) and puts its sockets into xsks_map;
 * prefilter.c fills the other maps. Where there is no socket, because the recorder has died or has not all
 * queues, all packets pass.
 *
 * A table and its nets are made aside, and both come by the one store of the table into "tables": each
 * packet is judged by the rules before or by those after, never by some of both.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "prefilter_match.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64); /* SOURCE_QUEUES_MAX */
	__type(key, uint32_t);
	__type(value, uint32_t);
} xsks_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_ARRAY);
			__uint(max_entries, 1);
			__uint(key_size, sizeof(uint32_t));
			__uint(value_size, sizeof(struct prefilter_table));
		});
} tables SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, PREFILTER_SLOTS);
	__type(key, uint32_t);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LPM_TRIE);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, 2 * PREFILTER_ROWS_MAX);
			__uint(key_size, sizeof(struct prefilter_net));
			__uint(value_size, sizeof(struct prefilter_vector));
		});
} nets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, uint32_t);
	__type(value, struct prefilter_counters);
} counters SEC(".maps");

/* The table in force; NULL: there are no rules. */
static __always_inline const struct prefilter_table *table_now(void)
{
	const uint32_t first = 0;
	void *table = bpf_map_lookup_elem(&tables, &first);

	return table == NULL ? NULL : bpf_map_lookup_elem(table, &first);
}

/* The first row that matches the packet, PREFILTER_NO_ROW or PREFILTER_ANY_ROW. */
static __always_inline uint32_t find_row(const struct xdp_md *ctx, const struct prefilter_table *t)
{
	const uint8_t *data = (const void *)(long)ctx->data;
	const uint8_t *end = (const void *)(long)ctx->data_end;
	struct prefilter_vector *src = NULL, *dst = NULL;
	struct prefilter_key k = {0};
	enum prefilter_kind kind = prefilter_parse(data, end, &k);
	void *trie;

	if (kind != PREFILTER_IP)
		return kind == PREFILTER_OTHER ? t->other_row : PREFILTER_ANY_ROW;
	trie = bpf_map_lookup_elem(&nets, &t->slot);
	if (trie != NULL) {
		src = bpf_map_lookup_elem(trie, &k.net[PREFILTER_SRC]);
		dst = bpf_map_lookup_elem(trie, &k.net[PREFILTER_DST]);
	}
	return prefilter_first_row(t, &k, src, dst);
}

static __always_inline enum prefilter_verdict judge(
	const struct xdp_md *ctx, const struct prefilter_table *t, struct prefilter_counters *c)
{
	uint32_t row = find_row(ctx, t), slot = t->slot;
	enum prefilter_verdict verdict = prefilter_verdict_of(t, row);
	uint32_t rule = row < PREFILTER_ROWS_MAX ? t->rules[row] : PREFILTER_RULES_MAX;

	/* It always is, but for the kernel's verifier. */
	if (slot >= PREFILTER_SLOTS || verdict >= PREFILTER_VERDICTS)
		return PREFILTER_PASS;
	c->verdicts[slot][verdict]++;
	if (rule < PREFILTER_RULES_MAX)
		c->rules[slot][rule]++;
	return verdict;
}

/* Where a driver has no room for it, the recorder reads its own clock. */
static __always_inline void stamp(struct xdp_md *ctx)
{
	struct prefilter_stamp *s;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*s)) != 0)
		return;
	s = (void *)(long)ctx->data_meta;
	if ((const void *)(s + 1) > (const void *)(long)ctx->data)
		return;
	s->magic = PREFILTER_STAMP_MAGIC;
	s->monotonic_ns = bpf_ktime_get_ns();
}

SEC("xdp")
int wirespool_xdp(struct xdp_md *ctx)
{
	uint32_t queue = ctx->rx_queue_index;
	const uint32_t first = 0;
	enum prefilter_verdict verdict = PREFILTER_REDIRECT;
	const struct prefilter_table *t = table_now();
	struct prefilter_counters *c = bpf_map_lookup_elem(&counters, &first);

	if (c == NULL || bpf_map_lookup_elem(&xsks_map, &queue) == NULL)
		return XDP_PASS;
	if (t != NULL)
		verdict = judge(ctx, t, c);
	else
		c->verdicts[PREFILTER_NO_RULES][PREFILTER_REDIRECT]++;
	if (verdict == PREFILTER_DROP)
		return XDP_DROP;
	if (verdict != PREFILTER_REDIRECT)
		return XDP_PASS;
	stamp(ctx);
	return (int)bpf_redirect_map(&xsks_map, queue, XDP_PASS);
}

/* The kernel asks for it. All that is called here is open to any. */
const char program_license[] SEC("license") = "Dual BSD/GPL";
