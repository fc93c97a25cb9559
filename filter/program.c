#include "program_emit.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_byteorder.h>
#include <rte_mbuf.h>

enum { NO_TARGET = -1, LEAD_IN = 24 };

struct ebpf_insn *emit(
	struct emitter *e, unsigned int code, unsigned int dst, unsigned int src, uint32_t imm)
{
	struct ebpf_insn *insn;

	if (e->count == e->room) {
		uint32_t room = e->room * 2 + 64;
		struct ebpf_insn *insns = reallocarray(e->insns, room, sizeof(*insns));
		int *targets;

		if (insns != NULL)
			e->insns = insns;
		targets = reallocarray(e->targets, room, sizeof(*targets));
		if (targets != NULL)
			e->targets = targets;
		if (insns == NULL || targets == NULL) {
			e->no_memory = true;
			return &e->nowhere;
		}
		e->room = room;
	}
	e->targets[e->count] = NO_TARGET;
	insn = &e->insns[e->count++];
	*insn = (struct ebpf_insn){.code = (uint8_t)code, .imm = (int32_t)imm};
	insn->dst_reg = dst & 0xf;
	insn->src_reg = src & 0xf;
	return insn;
}

void emit_set(struct emitter *e, unsigned int dst, uint32_t value)
{
	emit(e, BPF_ALU | EBPF_MOV | BPF_K, dst, 0, value);
}

void emit_copy(struct emitter *e, unsigned int dst, unsigned int src)
{
	emit(e, EBPF_ALU64 | EBPF_MOV | BPF_X, dst, src, 0);
}

void emit_load_field(struct emitter *e, unsigned int size, unsigned int dst, size_t off)
{
	emit(e, BPF_LDX | BPF_MEM | size, dst, e->form->packet, 0)->off = (int16_t)off;
}

/* A jump to the classic instruction target; its offset is known when all are emitted. */
static void emit_jump(struct emitter *e, unsigned int op, unsigned int dst, unsigned int src,
	uint32_t imm, uint32_t target)
{
	emit(e, BPF_JMP | op, dst, src, imm);
	if (!e->no_memory)
		e->targets[e->count - 1] = (int)target;
}

void emit_reject(
	struct emitter *e, unsigned int op, unsigned int dst, unsigned int src, uint32_t imm)
{
	emit_jump(e, op, dst, src, imm, e->program->count);
	e->rejects = true;
}

/* Each word of classic memory has 8 bytes of the stack: the verifier thinks in those. */
static int16_t memory_offset(uint32_t k)
{
	return (int16_t)((int32_t)(k % BPF_MEMWORDS) * 8 - BPF_MEMWORDS * 8);
}

static void emit_store(struct emitter *e, unsigned int src, uint32_t k)
{
	emit(e, BPF_STX | BPF_MEM | EBPF_DW, REG_STACK, src, 0)->off = memory_offset(k);
}

static void emit_recall(struct emitter *e, unsigned int dst, uint32_t k)
{
	emit(e, BPF_LDX | BPF_MEM | EBPF_DW, dst, REG_STACK, 0)->off = memory_offset(k);
}

/* The constant k, as the bytes lie that A has just now. */
static uint32_t constant_for_a(const struct emitter *e, uint32_t k)
{
	unsigned int raw = e->facts == NULL ? 0 : e->facts[e->at].a_raw;

	if (raw == 2)
		return (k & 0xffff0000) | rte_cpu_to_be_16((uint16_t)k);
	return raw == 4 ? rte_cpu_to_be_32(k) : k;
}

static void emit_shift(struct emitter *e, const struct insn *in)
{
	unsigned int x = e->form->x;

	if (BPF_SRC(in->code) == BPF_K) {
		if (in->k > 31)
			emit_set(e, REG_A, 0);
		else
			emit(e, in->code, REG_A, 0, in->k);
		return;
	}
	emit(e, BPF_JMP | EBPF_JLT | BPF_K, x, 0, 32)->off = 2;
	emit_set(e, REG_A, 0);
	emit(e, BPF_JMP | BPF_JA, 0, 0, 0)->off = 1;
	emit(e, in->code, REG_A, x, 0);
}

static int emit_alu(struct emitter *e, const struct insn *in)
{
	bool by_x = BPF_SRC(in->code) == BPF_X;

	switch (BPF_OP(in->code)) {
	case BPF_LSH:
	case BPF_RSH:
		emit_shift(e, in);
		return 0;
	case BPF_DIV:
	case BPF_MOD:
		if (by_x)
			emit_reject(e, BPF_JEQ | BPF_K, e->form->x, 0, 0);
		else if (in->k == 0)
			return -EINVAL;
		break;
	case BPF_NEG:
		emit(e, BPF_ALU | BPF_NEG, REG_A, 0, 0);
		return 0;
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		break;
	default:
		return -EINVAL;
	}
	emit(e, in->code, REG_A, by_x ? e->form->x : 0, by_x ? 0 : constant_for_a(e, in->k));
	return 0;
}

/* The jump that is taken when op is not, or -1. */
static int jump_inverse(unsigned int op)
{
	switch (op) {
	case BPF_JEQ:
		return EBPF_JNE;
	case BPF_JGT:
		return EBPF_JLE;
	case BPF_JGE:
		return EBPF_JLT;
	default:
		return -1;
	}
}

/*
 * An immediate is sign-extended, which a bit test does not mind; but of that the JIT gets
 * immediates wrong that fit a byte.
 */
static bool has_immediate(unsigned int op, uint32_t imm)
{
	return op == BPF_JSET ? (int32_t)imm != (int8_t)imm : imm <= INT32_MAX;
}

static int emit_branch(struct emitter *e, const struct insn *in)
{
	unsigned int op = BPF_OP(in->code), src = BPF_SRC(in->code), reg = 0;
	uint32_t yes = in->next[0], no = in->next[1], imm = 0;

	if (op == BPF_JA || yes == no) {
		if (yes != e->at + 1)
			emit_jump(e, BPF_JA, 0, 0, 0, yes);
		return 0;
	}
	if (op != BPF_JEQ && op != BPF_JGT && op != BPF_JGE && op != BPF_JSET)
		return -EINVAL;
	if (src == BPF_X)
		reg = e->form->x;
	else
		imm = constant_for_a(e, in->k);
	if (src == BPF_K && !has_immediate(op, imm)) {
		reg = e->form->scratch;
		emit_set(e, reg, imm);
		src = BPF_X;
		imm = 0;
	}
	if (yes == e->at + 1 && jump_inverse(op) >= 0) {
		emit_jump(e, (unsigned int)jump_inverse(op) | src, REG_A, reg, imm, no);
		return 0;
	}
	emit_jump(e, op | src, REG_A, reg, imm, yes);
	if (no != e->at + 1)
		emit_jump(e, BPF_JA, 0, 0, 0, no);
	return 0;
}

static int emit_load(struct emitter *e, const struct insn *in)
{
	const struct form *form = e->form;
	unsigned int dst = BPF_CLASS(in->code) == BPF_LD ? REG_A : form->x;
	unsigned int size = BPF_SIZE(in->code);

	if (dst == REG_A && BPF_MODE(in->code) == BPF_ABS && size != EBPF_DW)
		form->load_absolute(e, size, in->k);
	else if (dst == REG_A && BPF_MODE(in->code) == BPF_IND && size != EBPF_DW)
		form->load_indirect(e, size, in->k);
	else if (in->code == (BPF_LDX | BPF_MSH | BPF_B))
		form->load_header_length(e, in->k);
	else if (BPF_MODE(in->code) == BPF_IMM)
		emit_set(e, dst, in->k);
	else if (BPF_MODE(in->code) == BPF_LEN)
		emit_load_field(e, BPF_W, dst, offsetof(struct rte_mbuf, pkt_len));
	else if (BPF_MODE(in->code) == BPF_MEM)
		emit_recall(e, dst, in->k);
	else
		return -EINVAL;
	return 0;
}

static void emit_return(struct emitter *e, const struct insn *in)
{
	if (BPF_RVAL(in->code) != BPF_K)
		emit_reject(e, BPF_JEQ | BPF_K, REG_A, 0, 0);
	emit_set(e, REG_A, BPF_RVAL(in->code) != BPF_K ? 1 : in->k);
	emit_jump(e, BPF_JA, 0, 0, 0, e->program->count + 1);
}

static int emit_insn(struct emitter *e, const struct insn *in)
{
	unsigned int x = e->form->x;

	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
	case BPF_LDX:
		return emit_load(e, in);
	case BPF_ST:
		emit_store(e, REG_A, in->k);
		return 0;
	case BPF_STX:
		emit_store(e, x, in->k);
		return 0;
	case BPF_ALU:
		return emit_alu(e, in);
	case BPF_JMP:
		return emit_branch(e, in);
	case BPF_RET:
		emit_return(e, in);
		return 0;
	default: /* BPF_MISC */
		if (BPF_MISCOP(in->code) == BPF_TAX)
			emit_copy(e, x, REG_A);
		else
			emit_copy(e, REG_A, x);
		return 0;
	}
}

/* Which instructions can come to be run: DPDK refuses a program with others in it. */
static bool *reachable_find(const struct code *program)
{
	bool *reachable = calloc((size_t)program->count + 1, sizeof(*reachable));

	if (reachable == NULL)
		return NULL;
	reachable[0] = true;
	for (uint32_t i = 0; i < program->count; i++) {
		const struct insn *in = &program->insns[i];
		unsigned int ways = reachable[i] ? insn_ways(in) : 0;

		while (ways-- > 0)
			reachable[in->next[ways]] = true;
	}
	return reachable;
}

/*
 * The x86 JIT writes the code again and again, with ever shorter jumps, until its length is the same
 * twice. So it may be by chance while some jumps shrink and others grow, or the prologue does, and
 * what is run then jumps astray. These jumps, of which none is ever run, all shrink the
 * second time, by more than a prologue can grow; and they set the others far off at first.
 */
static void emit_lead_in(struct emitter *e)
{
	emit_set(e, REG_A, 0);
	emit(e, BPF_JMP | BPF_JEQ | BPF_K, REG_A, 0, 0)->off = LEAD_IN;
	for (unsigned int i = 0; i < LEAD_IN; i++)
		emit(e, BPF_JMP | BPF_JA, 0, 0, 0);
}

static int emit_all(struct emitter *e)
{
	uint32_t length = e->program->count;
	int r;

	emit_lead_in(e);
	r = e->form->begin(e);
	if (r < 0)
		return r;
	emit_set(e, e->form->x, 0);
	for (e->at = 0; e->at < length; e->at++) {
		e->starts[e->at] = e->count;
		if (e->reachable[e->at] && emit_insn(e, &e->program->insns[e->at]) < 0)
			return -ENOTSUP;
	}
	e->starts[length] = e->count;
	if (e->rejects)
		emit_set(e, REG_A, 0);
	/* The only one: of a second the JIT makes a jump back, and those of 127 and 128 bytes wrong. */
	e->starts[length + 1] = e->count;
	emit(e, BPF_JMP | EBPF_EXIT, 0, 0, 0);
	return e->no_memory ? -ENOMEM : 0;
}

/* DPDK takes no jump further than 16 bits say. */
static int resolve_jumps(struct emitter *e)
{
	for (uint32_t i = 0; i < e->count; i++) {
		int64_t off;

		if (e->targets[i] == NO_TARGET)
			continue;
		off = (int64_t)e->starts[e->targets[i]] - i - 1;
		if (off < 0 || off > INT16_MAX)
			return -ENOTSUP;
		e->insns[i].off = (int16_t)off;
	}
	return 0;
}

int program_convert(const struct code *program, struct view view, bool flat,
	struct ebpf_insn **ret_insns, uint32_t *ret_count)
{
	bool *reachable = reachable_find(program);
	struct emitter e = {
		.form = flat ? &program_flat_form : &program_mbuf_form,
		.program = program,
		.reachable = reachable,
		.view = view,
	};
	int r = -ENOMEM;

	e.starts = calloc((size_t)program->count + 2, sizeof(*e.starts));
	if (e.starts != NULL && reachable != NULL)
		r = emit_all(&e);
	if (r == 0)
		r = resolve_jumps(&e);
	free(reachable);
	free(e.facts);
	free(e.starts);
	free(e.targets);
	if (r < 0) {
		free(e.insns);
		return r;
	}
	*ret_insns = e.insns;
	*ret_count = e.count;
	return 0;
}
