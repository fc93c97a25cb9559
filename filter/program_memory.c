#include "program_emit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NOWHERE = INT32_MAX }; /* and what a program adds to it does not wrap */

static bool reads_memory(const struct bpf_insn *in)
{
	return in->code == (BPF_LD | BPF_MEM) || in->code == (BPF_LDX | BPF_MEM);
}

static bool writes_memory(const struct bpf_insn *in)
{
	return in->code == BPF_ST || in->code == BPF_STX;
}

static uint32_t bit_of(const struct bpf_insn *in)
{
	return 1U << in->k % BPF_MEMWORDS;
}

/* A bit for each word that is read where it has not been written on all ways there. */
static int find_unset(const struct bpf_program *program, uint32_t *ret_unset)
{
	uint32_t *written = malloc(((size_t)program->bf_len + 1) * sizeof(*written));

	if (written == NULL)
		return -ENOMEM;
	/* All that is not reached: what leads there takes away. */
	memset(written, 0xff, ((size_t)program->bf_len + 1) * sizeof(*written));
	written[0] = 0;
	*ret_unset = 0;
	for (uint32_t i = 0; i < program->bf_len; i++) {
		const struct bpf_insn *in = &program->bf_insns[i];
		uint32_t next[2];
		unsigned int ways = classic_next(program, i, next);

		if (reads_memory(in))
			*ret_unset |= bit_of(in) & ~written[i];
		if (writes_memory(in))
			written[i] |= bit_of(in);
		while (ways-- > 0)
			written[next[ways]] &= written[i];
	}
	free(written);
	return 0;
}

int program_set_memory(struct bpf_program *program)
{
	struct bpf_insn *insns;
	uint32_t unset, at = 0;
	int r;

	r = find_unset(program, &unset);
	if (r < 0 || unset == 0)
		return r;
	insns = calloc((size_t)program->bf_len + BPF_MEMWORDS + 2, sizeof(*insns));
	if (insns == NULL)
		return -ENOMEM;
	insns[at++] = (struct bpf_insn){.code = BPF_LD | BPF_IMM, .k = NOWHERE};
	for (uint32_t word = 0; word < BPF_MEMWORDS; word++)
		if ((unset >> word & 1) != 0)
			insns[at++] = (struct bpf_insn){.code = BPF_ST, .k = word};
	insns[at++] = (struct bpf_insn){.code = BPF_LD | BPF_IMM}; /* as it begins */
	memcpy(insns + at, program->bf_insns, program->bf_len * sizeof(*insns));
	free(program->bf_insns);
	program->bf_insns = insns;
	program->bf_len += at;
	return 0;
}
