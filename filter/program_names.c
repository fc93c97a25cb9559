#include "program_emit.h"

#include <stdlib.h>

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

static bool is_label_type(uint32_t k)
{
	return k == 0x8847 || k == 0x8848 || k == 0x8864;
}

static enum holds holds_after(const struct bpf_insn *in, enum holds a, uint32_t type_off)
{
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
		return in->code == (BPF_LD | BPF_H | BPF_ABS) && in->k == type_off ? HOLDS_TYPE
										   : HOLDS_OTHER;
	case BPF_ALU:
		return HOLDS_OTHER;
	case BPF_MISC:
		return BPF_MISCOP(in->code) == BPF_TXA ? HOLDS_OTHER : a;
	default:
		return a;
	}
}

static bool names_type(
	const struct bpf_program *program, uint32_t type_off, bool (*is_one)(uint32_t k))
{
	enum holds *states = calloc((size_t)program->bf_len + 1, sizeof(*states));
	bool found = false;

	/* Without memory the compile fails soon after; tcpdump's meaning is the safe answer. */
	if (states == NULL)
		return true;
	states[0] = HOLDS_OTHER;
	for (uint32_t i = 0; i < program->bf_len && !found; i++) {
		const struct bpf_insn *in = &program->bf_insns[i];
		enum holds a = holds_after(in, states[i], type_off);
		uint32_t next[2];
		unsigned int ways = classic_next(program, i, next);

		found = a == HOLDS_TYPE && in->code == (BPF_JMP | BPF_JEQ | BPF_K) && is_one(in->k);
		while (ways-- > 0)
			reach(&states[next[ways]], a);
	}
	free(states);
	return found;
}

bool program_names_vlan(const struct bpf_program *program, uint32_t type_off)
{
	return names_type(program, type_off, is_vlan_type);
}

bool program_names_labels(const struct bpf_program *program, uint32_t type_off)
{
	return names_type(program, type_off, is_label_type);
}
