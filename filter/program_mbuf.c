/*
 * Loads of any packet, in segments or not, by DPDK's own loads of mbufs. They clobber R1..R5, so
 * what must live across them is in R6..R9.
 */
#include "program_emit.h"

#include <rte_mbuf.h>

enum {
	REG_SCRATCH = EBPF_REG_1,
	REG_END = EBPF_REG_3,
	REG_PACKET = EBPF_REG_6, /* DPDK's loads expect the mbuf here */
	REG_X = EBPF_REG_7,
	REG_TMP = EBPF_REG_8,
	REG_OFFSET = EBPF_REG_9,
};

static int mbuf_begin(struct emitter *e)
{
	emit_copy(e, REG_PACKET, EBPF_REG_1);
	return 0;
}

static void emit_load_length(struct emitter *e)
{
	emit_load_field(e, BPF_W, REG_SCRATCH, offsetof(struct rte_mbuf, pkt_len));
}

/* A = the bytes at view offset REG_OFFSET, one by one, each where the view has it. */
static void emit_load_bytewise(struct emitter *e, uint32_t bytes)
{
	emit_set(e, REG_TMP, 0);
	for (uint32_t i = 0; i < bytes; i++) {
		struct ebpf_insn *below;

		emit_copy(e, REG_END, REG_OFFSET);
		below = emit(e, BPF_JMP | EBPF_JLT | BPF_K, REG_OFFSET, 0, e->view.at);
		below->off = 1;
		emit(e, EBPF_ALU64 | BPF_ADD | BPF_K, REG_END, 0, e->view.size);
		emit_load_length(e);
		emit_reject(e, BPF_JGE | BPF_X, REG_END, REG_SCRATCH, 0);
		emit(e, BPF_LD | BPF_IND | BPF_B, 0, REG_END, 0);
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

static void mbuf_load_absolute(struct emitter *e, unsigned int size, uint32_t k)
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

static void mbuf_load_indirect(struct emitter *e, unsigned int size, uint32_t k)
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
	emit_load_length(e);
	emit_reject(e, BPF_JGE | BPF_X, REG_OFFSET, REG_SCRATCH, 0);
	emit(e, BPF_LD | BPF_IND | size, 0, REG_OFFSET, 0);
}

/* X = 4 * (byte at k & 0xf): the length of an IPv4 header. A stays. */
static void mbuf_load_header_length(struct emitter *e, uint32_t k)
{
	emit_copy(e, REG_X, REG_A);
	mbuf_load_absolute(e, BPF_B, k);
	emit(e, BPF_ALU | BPF_AND | BPF_K, REG_A, 0, 0xf);
	emit(e, BPF_ALU | BPF_LSH | BPF_K, REG_A, 0, 2);
	emit_copy(e, REG_TMP, REG_A);
	emit_copy(e, REG_A, REG_X);
	emit_copy(e, REG_X, REG_TMP);
}

const struct form program_mbuf_form = {
	.x = REG_X,
	.scratch = REG_SCRATCH,
	.packet = REG_PACKET,
	.begin = mbuf_begin,
	.load_absolute = mbuf_load_absolute,
	.load_indirect = mbuf_load_indirect,
	.load_header_length = mbuf_load_header_length,
};
