/*
 * Loads of packets at home: those of which the first byte lies at a known distance from the mbuf
 * and all others follow. A load is one instruction then, and what remains is the check that the
 * packet is long enough, which is left out where it is known.
 *
 * Only registers that a caller saves are used, so that the code has no prologue.
 */
#include "program_emit.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_mbuf.h>

enum {
	REG_PACKET = EBPF_REG_1,
	REG_X = EBPF_REG_2,
	REG_SCRATCH = EBPF_REG_4,
	REG_POINTER = EBPF_REG_5,
	LONG_MIN_INSNS = 100,
};

/* More of what fact.a_raw can be. */
enum {
	RAW_UNKNOWN = 254, /* no way there was seen yet */
	RAW_MIXED = 255,   /* not the same on all ways */
};

static bool is_packet_load(const struct insn *in)
{
	if (BPF_CLASS(in->code) == BPF_LD)
		return BPF_MODE(in->code) == BPF_ABS || BPF_MODE(in->code) == BPF_IND;
	return in->code == (BPF_LDX | BPF_MSH | BPF_B);
}

/*
 * Where the view's bytes from k on lie in the packet, or -ENOTSUP: on both sides of what the view leaves
 * out, or too far for an instruction's offset.
 */
static int32_t place(struct view v, uint32_t k, uint32_t bytes)
{
	if (k > INT16_MAX || (v.size != 0 && k < v.at && k + bytes > v.at))
		return -ENOTSUP;
	if (k >= v.at)
		k += v.size;
	return k + bytes + FLAT_DATA_AT <= INT16_MAX ? (int32_t)k : -ENOTSUP;
}

/* Bytes that a packet must have for a load at k to succeed, if with X = 0. */
static uint32_t end_of(const struct emitter *e, const struct insn *in)
{
	uint32_t bytes = load_bytes(BPF_SIZE(in->code));

	return (uint32_t)place(e->view, in->k, bytes) + bytes;
}

static bool fits(const struct emitter *e, const struct insn *in)
{
	if (!is_packet_load(in))
		return true;
	/* Where X + k is may be on this side of what is left out or on the other. */
	if (BPF_MODE(in->code) == BPF_IND && e->view.size != 0 && in->k < e->view.at)
		return false;
	return place(e->view, in->k, load_bytes(BPF_SIZE(in->code))) >= 0;
}

/* Whether A must be a number where in is reached, when it must (after) in what follows. */
static bool wants_number(const struct insn *in, bool after)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
		return false;
	case BPF_LDX:
	case BPF_STX:
		return after;
	case BPF_ALU:
		return after || in->code != (BPF_ALU | BPF_AND | BPF_K);
	case BPF_JMP:
		return after ||
		       (BPF_OP(in->code) != BPF_JA && in->code != (BPF_JMP | BPF_JEQ | BPF_K) &&
			       in->code != (BPF_JMP | BPF_JSET | BPF_K));
	case BPF_MISC:
		return BPF_MISCOP(in->code) == BPF_TAX;
	default: /* BPF_ST; BPF_RET, to which 0 is 0 */
		return BPF_CLASS(in->code) == BPF_ST;
	}
}

static void wants_find(struct emitter *e)
{
	for (uint32_t i = e->program->count; i-- > 0;) {
		const struct insn *in = &e->program->insns[i];
		unsigned int ways = insn_ways(in);
		bool after = false;

		while (ways-- > 0)
			after = after || e->facts[in->next[ways]].wants_number;
		e->facts[i].wants_number = wants_number(in, after);
	}
}

/* What a load leaves in A: where it is only compared with constants, or masked, its raw bytes. */
static uint8_t raw_after(const struct emitter *e, uint32_t at)
{
	uint32_t bytes = load_bytes(BPF_SIZE(e->program->insns[at].code));

	if (!is_packet_load(&e->program->insns[at]) || e->facts[at + 1].wants_number)
		return 0;
	return bytes == 1 ? 0 : (uint8_t)bytes;
}

/* What holds behind the instruction at at. */
static struct fact fact_after(const struct emitter *e, uint32_t at)
{
	const struct insn *in = &e->program->insns[at];
	struct fact f = e->facts[at];

	if (is_packet_load(in)) {
		f.length_min = RTE_MAX(f.length_min, end_of(e, in));
		f.scratch_left = BPF_MODE(in->code) == BPF_IND;
	} else if (BPF_CLASS(in->code) == BPF_JMP) {
		f.scratch_left = true;
	}
	if (BPF_CLASS(in->code) == BPF_LD)
		f.a_raw = raw_after(e, at);
	else if (BPF_CLASS(in->code) == BPF_LDX)
		f.x_small = BPF_MODE(in->code) == BPF_MSH ||
			    (BPF_MODE(in->code) == BPF_IMM && in->k <= UINT16_MAX);
	else if (in->code == (BPF_MISC | BPF_TAX))
		f.x_small = false;
	else if (in->code == (BPF_MISC | BPF_TXA))
		f.a_raw = 0;
	return f;
}

static void fact_join(struct fact *to, struct fact f)
{
	to->length_min = RTE_MIN(to->length_min, f.length_min);
	to->x_small = to->x_small && f.x_small;
	to->scratch_left = to->scratch_left || f.scratch_left;
	if (to->a_raw == RAW_UNKNOWN)
		to->a_raw = f.a_raw;
	else if (to->a_raw != f.a_raw)
		to->a_raw = RAW_MIXED;
}

/* Returns 0, or -EAGAIN where bytes of two orders meet the same constant. */
static int facts_find(struct emitter *e)
{
	for (uint32_t i = 0; i <= e->program->count; i++) {
		e->facts[i].length_min = UINT32_MAX;
		e->facts[i].x_small = true;
		e->facts[i].a_raw = RAW_UNKNOWN;
	}
	e->facts[0].length_min = FLAT_LENGTH_MIN;
	e->facts[0].a_raw = 0;
	for (uint32_t i = 0; i < e->program->count; i++) {
		const struct insn *in = &e->program->insns[i];
		unsigned int ways = e->reachable[i] ? insn_ways(in) : 0;
		unsigned int class = BPF_CLASS(in->code);

		if (e->facts[i].a_raw == RAW_MIXED && (class == BPF_ALU || class == BPF_JMP))
			return -EAGAIN;
		while (ways-- > 0)
			fact_join(&e->facts[in->next[ways]], fact_after(e, i));
	}
	return 0;
}

static bool is_long(const struct emitter *e)
{
	return e->program->count > LONG_MIN_INSNS;
}

static int flat_begin(struct emitter *e)
{
	uint32_t length = e->program->count;

	for (uint32_t i = 0; i < length; i++)
		if (e->reachable[i] && !fits(e, &e->program->insns[i]))
			return -ENOTSUP;
	e->facts = calloc((size_t)length + 1, sizeof(*e->facts));
	if (e->facts == NULL)
		return -ENOMEM;
	if (is_long(e)) {
		emit_copy(e, REG_SCRATCH, REG_PACKET);
		emit_copy(e, REG_POINTER, REG_PACKET);
	}
	wants_find(e);
	if (facts_find(e) == 0)
		return 0;
	for (uint32_t i = 0; i <= length; i++)
		e->facts[i].wants_number = true;
	return facts_find(e);
}

static void emit_check(struct emitter *e, uint32_t end)
{
	if (is_long(e) && e->facts[e->at].scratch_left)
		emit_copy(e, REG_SCRATCH, REG_PACKET);
	if (end <= e->facts[e->at].length_min)
		return;
	emit_load_field(e, BPF_H, REG_SCRATCH, offsetof(struct rte_mbuf, data_len));
	emit_reject(e, EBPF_JLT | BPF_K, REG_SCRATCH, 0, end);
}

static void emit_fetch(
	struct emitter *e, unsigned int size, unsigned int dst, unsigned int from, uint32_t k)
{
	uint32_t bytes = load_bytes(size);
	int32_t off = place(e->view, k, bytes) + FLAT_DATA_AT;

	emit(e, BPF_LDX | BPF_MEM | size, dst, from, 0)->off = (int16_t)off;
	if (dst == REG_A && bytes > 1 && raw_after(e, e->at) == 0)
		emit(e, BPF_ALU | EBPF_END | EBPF_TO_BE, dst, 0, bytes * 8);
}

static void flat_load_absolute(struct emitter *e, unsigned int size, uint32_t k)
{
	emit_check(e, end_of(e, &e->program->insns[e->at]));
	emit_fetch(e, size, REG_A, REG_PACKET, k);
}

static void flat_load_indirect(struct emitter *e, unsigned int size, uint32_t k)
{
	uint32_t end = end_of(e, &e->program->insns[e->at]);
	unsigned int x = REG_X;

	emit_check(e, end);
	emit_load_field(e, BPF_H, REG_SCRATCH, offsetof(struct rte_mbuf, data_len));
	emit(e, EBPF_ALU64 | BPF_SUB | BPF_K, REG_SCRATCH, 0, end);
	emit_reject(e, BPF_JGT | BPF_X, REG_X, REG_SCRATCH, 0);
	/* So X is below 65536 in any case; but the verifier does not see that. */
	if (!e->facts[e->at].x_small) {
		x = REG_SCRATCH;
		emit_copy(e, x, REG_X);
		emit(e, EBPF_ALU64 | BPF_AND | BPF_K, x, 0, UINT16_MAX);
	}
	emit_copy(e, REG_POINTER, REG_PACKET);
	emit(e, EBPF_ALU64 | BPF_ADD | BPF_X, REG_POINTER, x, 0);
	emit_fetch(e, size, REG_A, REG_POINTER, k);
}

static void flat_load_header_length(struct emitter *e, uint32_t k)
{
	emit_check(e, end_of(e, &e->program->insns[e->at]));
	emit_fetch(e, BPF_B, REG_X, REG_PACKET, k);
	/* In 64 bits, though 32 would do: of an "and" in 32 the verifier gets the bounds wrong. */
	emit(e, EBPF_ALU64 | BPF_AND | BPF_K, REG_X, 0, 0xf);
	emit(e, EBPF_ALU64 | BPF_LSH | BPF_K, REG_X, 0, 2);
}

const struct form program_flat_form = {
	.x = REG_X,
	.scratch = REG_SCRATCH,
	.packet = REG_PACKET,
	.begin = flat_begin,
	.load_absolute = flat_load_absolute,
	.load_indirect = flat_load_indirect,
	.load_header_length = flat_load_header_length,
};
