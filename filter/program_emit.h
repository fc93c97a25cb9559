#pragma once
/*
 * What the conversions of a classic program share. Private to filter/program*.c.
 *
 * A form is a way to read a packet: program_mbuf.c has that for any packet, program_flat.c that
 * for packets at home. All else, from arithmetic to jumps, is the same for both (program.c).
 */

#include <stdbool.h>
#include <stdint.h>

#include <pcap/pcap.h>

#include <rte_bpf.h>

#include "filter_program.h"

struct emitter;

enum {
	REG_A = EBPF_REG_0,
	REG_STACK = EBPF_REG_10,
};

/*
 * A and X are 32-bit values, always zero-extended: each 64-bit comparison of the two, which is
 * all that eBPF has here, is then libpcap's unsigned 32-bit one. A may have its bytes as they lie
 * in the packet where the facts say so.
 */
struct form {
	unsigned int x;
	unsigned int scratch; /* until the next load of the packet */
	unsigned int packet;  /* the mbuf */

	/* What is wanted before the first instruction; 0 or an error. */
	int (*begin)(struct emitter *e);
	/* A = size bytes at k; A = size bytes at X + k; X = 4 * (byte at k & 0xf), and A stays. */
	void (*load_absolute)(struct emitter *e, unsigned int size, uint32_t k);
	void (*load_indirect)(struct emitter *e, unsigned int size, uint32_t k);
	void (*load_header_length)(struct emitter *e, uint32_t k);
};

/* What holds before an instruction, whichever way led there. */
struct fact {
	uint32_t length_min; /* the packet has as many bytes at least */
	bool x_small;        /* DPDK's verifier knows that X is below 65536 */
	bool scratch_left;   /* something lies in the scratch register on some way here */
	/* A is so many bytes in the order in which they lie in the packet. 0: a number. */
	uint8_t a_raw;
	bool wants_number; /* what follows takes A for a number, whichever it is */
};

struct emitter {
	const struct form *form;
	const struct code *program;
	const bool *reachable;
	struct view view;
	struct fact *facts; /* of each classic instruction, or NULL */
	uint32_t at;        /* the classic instruction that is being converted */
	struct ebpf_insn *insns;
	int *targets; /* the classic instruction that the jump at the same index goes to */
	uint32_t *
		starts; /* where each classic instruction begins; then all rejects, then the exit */
	uint32_t count;
	uint32_t room;
	bool rejects; /* some instruction jumps to the common "return 0" */
	bool no_memory;
	struct ebpf_insn nowhere; /* what is emitted then */
};

extern const struct form program_mbuf_form;
extern const struct form program_flat_form;

struct ebpf_insn *emit(
	struct emitter *e, unsigned int code, unsigned int dst, unsigned int src, uint32_t imm);
void emit_set(struct emitter *e, unsigned int dst, uint32_t value);
void emit_copy(struct emitter *e, unsigned int dst, unsigned int src);
/* dst = size bytes of the mbuf itself, at off. */
void emit_load_field(struct emitter *e, unsigned int size, unsigned int dst, size_t off);
/* A jump to the common "return 0". */
void emit_reject(
	struct emitter *e, unsigned int op, unsigned int dst, unsigned int src, uint32_t imm);

static inline uint32_t load_bytes(unsigned int size)
{
	return size == BPF_W ? 4 : size == BPF_H ? 2 : 1;
}

static inline bool is_branch(const struct insn *in)
{
	return BPF_CLASS(in->code) == BPF_JMP && BPF_OP(in->code) != BPF_JA;
}

/*
 * How many of in's next[] may follow it: 0 to 2. Jumps go forward only, so one pass over a program
 * has seen every way to an instruction when it comes there.
 */
static inline unsigned int insn_ways(const struct insn *in)
{
	return BPF_CLASS(in->code) == BPF_RET ? 0 : is_branch(in) ? 2 : 1;
}

/* The same of instruction i of what libpcap made. None is behind the program's end by more than one. */
static inline unsigned int classic_next(
	const struct bpf_program *program, uint32_t i, uint32_t ret_next[2])
{
	const struct bpf_insn *in = &program->bf_insns[i];
	uint32_t length = program->bf_len;

	ret_next[0] = i + 1;
	ret_next[1] = i + 1;
	if (BPF_CLASS(in->code) == BPF_RET)
		return 0;
	if (BPF_CLASS(in->code) != BPF_JMP)
		return 1;
	if (BPF_OP(in->code) == BPF_JA) {
		ret_next[0] += RTE_MIN(in->k, length - i - 1);
		return 1;
	}
	ret_next[0] = RTE_MIN(length, i + 1 + in->jt);
	ret_next[1] = RTE_MIN(length, i + 1 + in->jf);
	return 2;
}
