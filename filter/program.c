#include "filter_program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include <rte_bpf.h>
#include <rte_mbuf.h>

/*
 * Registers. Loads clobber R1..R5, so what must live across them is in R6..R9.
 * A and X are 32-bit values, always zero-extended: each 64-bit comparison of the two,
 * which is all that eBPF has here, is then libpcap's unsigned 32-bit one.
 */
enum {
	REG_A = EBPF_REG_0,
	REG_SCRATCH = EBPF_REG_1, /* until the next load */
	REG_PACKET = EBPF_REG_6,  /* DPDK's loads expect the mbuf here */
	REG_X = EBPF_REG_7,
	REG_TMP = EBPF_REG_8,
	REG_OFFSET = EBPF_REG_9,
	REG_STACK = EBPF_REG_10,
};

enum { NO_TARGET = -1, LOOPS_MAX = 32 };

struct emitter {
	const struct bpf_program *program;
	struct view view;
	struct ebpf_insn *insns;
	int *targets; /* the classic instruction that the jump at the same index goes to */
	uint32_t *
		starts; /* where each classic instruction begins; one more: where all rejects end */
	uint32_t count;
	uint32_t room;
	bool rejects; /* some instruction jumps to the common "return 0" */
	bool no_memory;
};

static struct ebpf_insn *emit(
	struct emitter *e, unsigned int code, unsigned int dst, unsigned int src, uint32_t imm)
{
	static struct ebpf_insn nowhere;
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
			return &nowhere;
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

static void emit_set(struct emitter *e, unsigned int dst, uint32_t value)
{
	emit(e, BPF_ALU | EBPF_MOV | BPF_K, dst, 0, value);
}

static void emit_copy(struct emitter *e, unsigned int dst, unsigned int src)
{
	emit(e, EBPF_ALU64 | EBPF_MOV | BPF_X, dst, src, 0);
}

static void emit_load_length(struct emitter *e, unsigned int dst)
{
	struct ebpf_insn *insn = emit(e, BPF_LDX | BPF_MEM | BPF_W, dst, REG_PACKET, 0);

	insn->off = offsetof(struct rte_mbuf, pkt_len);
}

/* A jump to the classic instruction target; its offset is known when all are emitted. */
static void emit_jump(struct emitter *e, unsigned int op, unsigned int dst, unsigned int src,
	uint32_t imm, uint32_t target)
{
	emit(e, BPF_JMP | op, dst, src, imm);
	if (!e->no_memory)
		e->targets[e->count - 1] = (int)target;
}

static void emit_reject(
	struct emitter *e, unsigned int op, unsigned int dst, unsigned int src, uint32_t imm)
{
	emit_jump(e, op, dst, src, imm, e->program->bf_len);
	e->rejects = true;
}

static uint32_t load_bytes(unsigned int size)
{
	return size == BPF_W ? 4 : size == BPF_H ? 2 : 1;
}

/* A = the bytes at view offset REG_OFFSET, one by one, each where the view has it. */
static void emit_load_bytewise(struct emitter *e, uint32_t bytes)
{
	emit_set(e, REG_TMP, 0);
	for (uint32_t i = 0; i < bytes; i++) {
		struct ebpf_insn *below;

		emit_copy(e, EBPF_REG_3, REG_OFFSET);
		below = emit(e, BPF_JMP | EBPF_JLT | BPF_K, REG_OFFSET, 0, e->view.at);
		below->off = 1;
		emit(e, EBPF_ALU64 | BPF_ADD | BPF_K, EBPF_REG_3, 0, e->view.size);
		emit_load_length(e, REG_SCRATCH);
		emit_reject(e, BPF_JGE | BPF_X, EBPF_REG_3, REG_SCRATCH, 0);
		emit(e, BPF_LD | BPF_IND | BPF_B, 0, EBPF_REG_3, 0);
		emit(e, BPF_ALU | BPF_LSH | BPF_K, REG_TMP, 0, 8);
		emit(e, BPF_ALU | BPF_OR | BPF_X, REG_TMP, REG_A, 0);
		emit(e, EBPF_ALU64 | BPF_ADD | BPF_K, REG_OFFSET, 0, 1);
	}
	emit_copy(e, REG_A, REG_TMP);
}

/* No packet is so long: the load always fails, in libpcap as here. */
static void emit_load_nowhere(struct emitter *e)
{
	/* A condition that always holds: the verifier refuses code after a plain jump. */
	emit_set(e, REG_A, 0);
	emit_reject(e, BPF_JEQ | BPF_K, REG_A, 0, 0);
}

static void emit_load_absolute(struct emitter *e, unsigned int size, uint32_t k)
{
	uint32_t bytes = load_bytes(size);
	struct view v = e->view;

	if (k > INT32_MAX - v.size) {
		emit_load_nowhere(e);
	} else if (v.size == 0 || k + bytes <= v.at) {
		emit(e, BPF_LD | BPF_ABS | size, 0, 0, k);
	} else if (k >= v.at) {
		emit(e, BPF_LD | BPF_ABS | size, 0, 0, k + v.size);
	} else {
		emit_set(e, REG_OFFSET, k);
		emit_load_bytewise(e, bytes);
	}
}

static void emit_load_indirect(struct emitter *e, unsigned int size, uint32_t k)
{
	struct view v = e->view;

	if (k > INT32_MAX - v.size) {
		emit_load_nowhere(e);
		return;
	}
	emit_copy(e, REG_OFFSET, REG_X);
	if (v.size != 0 && k < v.at) {
		emit(e, EBPF_ALU64 | BPF_ADD | BPF_K, REG_OFFSET, 0, k);
		emit_load_bytewise(e, load_bytes(size));
		return;
	}
	/* The sum has 64 bits, so it does not wrap; below the packet's length it is an offset
	 * that DPDK's own check, in 32 bits, gets right. */
	emit(e, EBPF_ALU64 | BPF_ADD | BPF_K, REG_OFFSET, 0, k + v.size);
	emit_load_length(e, REG_SCRATCH);
	emit_reject(e, BPF_JGE | BPF_X, REG_OFFSET, REG_SCRATCH, 0);
	emit(e, BPF_LD | BPF_IND | size, 0, REG_OFFSET, 0);
}

/* X = 4 * (byte at k & 0xf): the length of an IPv4 header. A stays. */
static void emit_load_header_length(struct emitter *e, uint32_t k)
{
	emit_copy(e, REG_X, REG_A);
	emit_load_absolute(e, BPF_B, k);
	emit(e, BPF_ALU | BPF_AND | BPF_K, REG_A, 0, 0xf);
	emit(e, BPF_ALU | BPF_LSH | BPF_K, REG_A, 0, 2);
	emit_copy(e, REG_TMP, REG_A);
	emit_copy(e, REG_A, REG_X);
	emit_copy(e, REG_X, REG_TMP);
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

static void emit_shift(struct emitter *e, const struct bpf_insn *in)
{
	if (BPF_SRC(in->code) == BPF_K) {
		if (in->k > 31)
			emit_set(e, REG_A, 0);
		else
			emit(e, in->code, REG_A, 0, in->k);
		return;
	}
	emit(e, BPF_JMP | EBPF_JLT | BPF_K, REG_X, 0, 32)->off = 2;
	emit_set(e, REG_A, 0);
	emit(e, BPF_JMP | BPF_JA, 0, 0, 0)->off = 1;
	emit(e, in->code, REG_A, REG_X, 0);
}

static int emit_alu(struct emitter *e, const struct bpf_insn *in)
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
			emit_reject(e, BPF_JEQ | BPF_K, REG_X, 0, 0);
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
	emit(e, in->code, REG_A, by_x ? REG_X : 0, by_x ? 0 : in->k);
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

static int emit_branch(struct emitter *e, const struct bpf_insn *in, uint32_t at)
{
	unsigned int op = BPF_OP(in->code);
	uint32_t yes = at + 1 + in->jt, no = at + 1 + in->jf;
	unsigned int src = BPF_SRC(in->code), reg = src == BPF_X ? REG_X : 0;
	uint32_t imm = src == BPF_X ? 0 : in->k;

	if (op == BPF_JA) {
		if (in->k != 0)
			emit_jump(e, BPF_JA, 0, 0, 0, at + 1 + in->k);
		return 0;
	}
	if (op != BPF_JEQ && op != BPF_JGT && op != BPF_JGE && op != BPF_JSET)
		return -EINVAL;
	if (yes == no) {
		if (in->jt != 0)
			emit_jump(e, BPF_JA, 0, 0, 0, yes);
		return 0;
	}
	/* An immediate would be sign-extended; and the JIT's JSET has no right immediate at all. */
	if (src == BPF_K && (imm > INT32_MAX || op == BPF_JSET)) {
		emit_set(e, REG_SCRATCH, imm);
		src = BPF_X;
		reg = REG_SCRATCH;
		imm = 0;
	}
	if (in->jt == 0 && jump_inverse(op) >= 0) {
		emit_jump(e, (unsigned int)jump_inverse(op) | src, REG_A, reg, imm, no);
		return 0;
	}
	emit_jump(e, op | src, REG_A, reg, imm, yes);
	if (in->jf != 0)
		emit_jump(e, BPF_JA, 0, 0, 0, no);
	return 0;
}

static int emit_load(struct emitter *e, const struct bpf_insn *in)
{
	unsigned int dst = BPF_CLASS(in->code) == BPF_LD ? REG_A : REG_X;
	unsigned int size = BPF_SIZE(in->code);

	if (dst == REG_A && BPF_MODE(in->code) == BPF_ABS && size != EBPF_DW)
		emit_load_absolute(e, size, in->k);
	else if (dst == REG_A && BPF_MODE(in->code) == BPF_IND && size != EBPF_DW)
		emit_load_indirect(e, size, in->k);
	else if (in->code == (BPF_LDX | BPF_MSH | BPF_B))
		emit_load_header_length(e, in->k);
	else if (BPF_MODE(in->code) == BPF_IMM)
		emit_set(e, dst, in->k);
	else if (BPF_MODE(in->code) == BPF_LEN)
		emit_load_length(e, dst);
	else if (BPF_MODE(in->code) == BPF_MEM)
		emit_recall(e, dst, in->k);
	else
		return -EINVAL;
	return 0;
}

static int emit_insn(struct emitter *e, const struct bpf_insn *in, uint32_t at)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
	case BPF_LDX:
		return emit_load(e, in);
	case BPF_ST:
		emit_store(e, REG_A, in->k);
		return 0;
	case BPF_STX:
		emit_store(e, REG_X, in->k);
		return 0;
	case BPF_ALU:
		return emit_alu(e, in);
	case BPF_JMP:
		return emit_branch(e, in, at);
	case BPF_RET:
		if (BPF_RVAL(in->code) == BPF_K)
			emit_set(e, REG_A, in->k);
		emit(e, BPF_JMP | EBPF_EXIT, 0, 0, 0);
		return 0;
	default: /* BPF_MISC */
		if (BPF_MISCOP(in->code) == BPF_TAX)
			emit_copy(e, REG_X, REG_A);
		else
			emit_copy(e, REG_A, REG_X);
		return 0;
	}
}

/*
 * Which instructions can come to be run: DPDK refuses a program with others in it. Jumps go
 * forward only here, so one pass has seen every way to an instruction.
 */
static bool *reachable_find(const struct bpf_program *program)
{
	uint32_t length = program->bf_len;
	bool *reachable = calloc((size_t)length + 1, sizeof(*reachable));

	if (reachable == NULL)
		return NULL;
	reachable[0] = true;
	for (uint32_t i = 0; i < length; i++) {
		const struct bpf_insn *in = &program->bf_insns[i];

		if (!reachable[i] || BPF_CLASS(in->code) == BPF_RET)
			continue;
		if (BPF_CLASS(in->code) != BPF_JMP) {
			reachable[i + 1] = true;
		} else if (BPF_OP(in->code) == BPF_JA) {
			if (in->k < length - i)
				reachable[i + 1 + in->k] = true;
		} else {
			reachable[RTE_MIN(length, i + 1 + in->jt)] = true;
			reachable[RTE_MIN(length, i + 1 + in->jf)] = true;
		}
	}
	return reachable;
}

static int emit_all(struct emitter *e, const bool *reachable)
{
	uint32_t length = e->program->bf_len;

	emit_copy(e, REG_PACKET, EBPF_REG_1);
	emit_set(e, REG_A, 0);
	emit_set(e, REG_X, 0);
	for (uint32_t i = 0; i < length; i++) {
		e->starts[i] = e->count;
		if (reachable[i] && emit_insn(e, &e->program->bf_insns[i], i) < 0)
			return -ENOTSUP;
	}
	e->starts[length] = e->count;
	if (e->rejects) {
		emit_set(e, REG_A, 0);
		emit(e, BPF_JMP | EBPF_EXIT, 0, 0, 0);
	}
	return e->no_memory ? -ENOMEM : 0;
}

/* DPDK takes no jump further than 16 bits say. */
static int resolve_jumps(struct emitter *e)
{
	for (uint32_t i = 0; i < e->count; i++) {
		int64_t off;

		if (e->targets[i] == NO_TARGET)
			continue;
		if ((uint32_t)e->targets[i] > e->program->bf_len)
			return -ENOTSUP;
		off = (int64_t)e->starts[e->targets[i]] - i - 1;
		if (off < 0 || off > INT16_MAX)
			return -ENOTSUP;
		e->insns[i].off = (int16_t)off;
	}
	return 0;
}

int program_convert(const struct bpf_program *program, struct view view,
	struct ebpf_insn **ret_insns, uint32_t *ret_count)
{
	struct emitter e = {.program = program, .view = view};
	bool *reachable = reachable_find(program);
	int r = -ENOMEM;

	e.starts = calloc((size_t)program->bf_len + 1, sizeof(*e.starts));
	if (e.starts != NULL && reachable != NULL)
		r = emit_all(&e, reachable);
	if (r == 0)
		r = resolve_jumps(&e);
	free(reachable);
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

static bool jumps_back(const struct bpf_insn *in)
{
	return in->code == (BPF_JMP | BPF_JA) && in->k > INT32_MAX;
}

int program_unroll(struct bpf_program *program)
{
	uint32_t length = program->bf_len;
	struct bpf_insn *copies;
	bool loops = false;

	for (uint32_t i = 0; i < length; i++)
		loops = loops || jumps_back(&program->bf_insns[i]);
	if (!loops)
		return 0;
	copies = calloc((size_t)length * LOOPS_MAX, sizeof(*copies));
	if (copies == NULL)
		return -ENOMEM;
	for (uint32_t c = 0; c < LOOPS_MAX; c++)
		for (uint32_t i = 0; i < length; i++) {
			struct bpf_insn *in = &copies[c * length + i];

			*in = program->bf_insns[i];
			if (!jumps_back(in))
				continue;
			if (c + 1 < LOOPS_MAX)
				in->k += length; /* to the same place in the next copy */
			else
				*in = (struct bpf_insn){.code = BPF_RET | BPF_K};
		}
	free(program->bf_insns);
	program->bf_insns = copies;
	program->bf_len = length * LOOPS_MAX;
	return 1;
}

/* What A holds when an instruction is reached, as far as it matters here. */
enum holds {
	HOLDS_NOTHING_YET, /* not reached */
	HOLDS_TYPE,        /* the 16 bits at type_off, on some way here at least */
	HOLDS_OTHER,
};

static void reach(enum holds *state, enum holds a)
{
	if (*state != HOLDS_TYPE)
		*state = a;
}

static bool is_vlan_type(uint32_t k)
{
	return k == 0x8100 || k == 0x88a8 || k == 0x9100;
}

bool program_names_vlan(const struct bpf_program *program, uint32_t type_off)
{
	enum holds *states = calloc((size_t)program->bf_len + 1, sizeof(*states));
	bool found = false;

	/* Without memory the compile fails soon after; tcpdump's meaning is the safe answer. */
	if (states == NULL)
		return true;
	states[0] = HOLDS_OTHER;
	/* Classic programs jump forward only: one pass has seen every way to an instruction. */
	for (uint32_t i = 0; i < program->bf_len && !found; i++) {
		const struct bpf_insn *in = &program->bf_insns[i];
		enum holds a = states[i];

		switch (BPF_CLASS(in->code)) {
		case BPF_JMP:
			if (BPF_OP(in->code) == BPF_JA) {
				if (in->k < program->bf_len - i)
					reach(&states[i + 1 + in->k], a);
				continue;
			}
			found = a == HOLDS_TYPE && in->code == (BPF_JMP | BPF_JEQ | BPF_K) &&
				is_vlan_type(in->k);
			if (i + 1U + in->jt <= program->bf_len)
				reach(&states[i + 1 + in->jt], a);
			if (i + 1U + in->jf <= program->bf_len)
				reach(&states[i + 1 + in->jf], a);
			continue;
		case BPF_RET:
			continue;
		case BPF_LD:
			a = in->code == (BPF_LD | BPF_H | BPF_ABS) && in->k == type_off
				    ? HOLDS_TYPE
				    : HOLDS_OTHER;
			break;
		case BPF_ALU:
			a = HOLDS_OTHER;
			break;
		case BPF_MISC:
			a = BPF_MISCOP(in->code) == BPF_TXA ? HOLDS_OTHER : a;
			break;
		default:
			break;
		}
		reach(&states[i + 1], a);
	}
	free(states);
	return found;
}
