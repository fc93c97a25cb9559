#include "filter_program.h"

#include <stdlib.h>

#include <pcap/pcap.h>

enum { LOOPS_MAX = 32 };

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
