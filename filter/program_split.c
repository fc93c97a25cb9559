#include "filter_program.h"

#include <errno.h>
#include <stdlib.h>

#include "program_emit.h"

enum {
	PART_STEPS = 600, /* where so many steps follow, a part begins as soon as it can */
	STEPS_MANY = INT32_MAX,
};

/* Bits of what is live; below these the words of memory. */
static const uint32_t LIVE_A = 1U << BPF_MEMWORDS, LIVE_X = 2U << BPF_MEMWORDS;

static uint32_t live_word(const struct insn *in)
{
	return 1U << in->k % BPF_MEMWORDS;
}

/* What of A, X and memory is used before it is set, at in when that is so (after) behind it. */
static uint32_t live_before(const struct insn *in, uint32_t after)
{
	uint32_t x = BPF_SRC(in->code) == BPF_X ? LIVE_X : 0;
	uint32_t word = BPF_MODE(in->code) == BPF_MEM ? live_word(in) : 0;

	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
		return (after & ~LIVE_A) | word | (BPF_MODE(in->code) == BPF_IND ? LIVE_X : 0);
	case BPF_LDX:
		return (after & ~LIVE_X) | word;
	case BPF_ST:
		return (after & ~live_word(in)) | LIVE_A;
	case BPF_STX:
		return (after & ~live_word(in)) | LIVE_X;
	case BPF_ALU:
		return after | LIVE_A | x;
	case BPF_JMP:
		return BPF_OP(in->code) == BPF_JA ? after : after | LIVE_A | x;
	case BPF_RET:
		return BPF_RVAL(in->code) == BPF_K ? 0 : LIVE_A;
	default: /* BPF_MISC */
		return BPF_MISCOP(in->code) == BPF_TAX ? (after & ~LIVE_X) | LIVE_A
						       : (after & ~LIVE_A) | LIVE_X;
	}
}

/*
 * Numbers the instructions at which a part begins, from PART_FIRST on; 0 for all others. From the
 * end back, so that what is behind an instruction is known, when it comes there.
 */
static int parts_number(const struct code *whole, uint32_t *numbers, uint32_t *ret_count)
{
	uint32_t length = whole->count, number = PART_FIRST;
	uint32_t *live = calloc((size_t)length + 1, sizeof(*live));
	uint64_t *steps = calloc((size_t)length + 1, sizeof(*steps));

	for (uint32_t i = length; live != NULL && steps != NULL && i-- > 0;) {
		const struct insn *in = &whole->insns[i];
		unsigned int ways = insn_ways(in);
		uint32_t after = 0;

		steps[i] = 1;
		while (ways-- > 0) {
			after |= live[in->next[ways]];
			steps[i] = RTE_MIN(steps[i] + steps[in->next[ways]], (uint64_t)STEPS_MANY);
		}
		live[i] = live_before(in, after);
		if (i == 0) {
			numbers[i] = PART_FIRST;
		} else if (steps[i] >= PART_STEPS && live[i] == 0) {
			numbers[i] = ++number;
			steps[i] = 1;
		}
	}
	*ret_count = number + 1;
	number = live == NULL || steps == NULL;
	free(live);
	free(steps);
	return number ? -ENOMEM : 0;
}

/* The instructions of one part while it is collected. */
struct collection {
	const struct code *whole;
	const uint32_t *numbers;
	uint32_t *places; /* of each instruction of the whole: where it is in insns, plus 1, or 0 */
	uint32_t *insns;  /* of the part, as indexes into the whole */
	uint32_t count;
};

static int compare_indexes(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void collect(struct collection *c, uint32_t i)
{
	if (i < c->whole->count && c->places[i] == 0) {
		c->insns[c->count++] = i;
		c->places[i] = c->count;
	}
}

/* The instructions that are reached from begin before another part begins, and those beginnings. */
static void part_collect(struct collection *c, uint32_t begin)
{
	c->count = 0;
	collect(c, begin);
	for (uint32_t at = 0; at < c->count; at++) {
		uint32_t i = c->insns[at];
		const struct insn *in = &c->whole->insns[i];
		unsigned int ways = c->numbers[i] == 0 || i == begin ? insn_ways(in) : 0;

		while (ways-- > 0)
			collect(c, in->next[ways]);
	}
	qsort(c->insns, c->count, sizeof(*c->insns), compare_indexes);
	for (uint32_t at = 0; at < c->count; at++)
		c->places[c->insns[at]] = at + 1;
}

/* The part as a program of its own, which ends with the number of the part that goes on. */
static int part_copy(const struct collection *c, uint32_t begin, struct code *ret_part)
{
	struct insn *insns = calloc(c->count, sizeof(*insns));

	if (insns == NULL)
		return -ENOMEM;
	for (uint32_t at = 0; at < c->count; at++) {
		uint32_t i = c->insns[at];
		struct insn *in = &insns[at];

		*in = c->whole->insns[i];
		if (in->code == (BPF_RET | BPF_K))
			in->k = in->k != 0;
		if (i != begin && c->numbers[i] != 0)
			*in = (struct insn){.code = BPF_RET | BPF_K, .k = c->numbers[i]};
		for (unsigned int way = 0; way < insn_ways(in); way++)
			in->next[way] = in->next[way] < c->whole->count
						? c->places[in->next[way]] - 1
						: c->count;
	}
	*ret_part = (struct code){.insns = insns, .count = c->count};
	return 0;
}

static int parts_make(struct collection *c, struct code *parts)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < c->whole->count; i++) {
		if (c->numbers[i] == 0)
			continue;
		part_collect(c, i);
		r = c->count > PART_INSNS_MAX ? -ENOTSUP : part_copy(c, i, &parts[c->numbers[i]]);
		for (uint32_t at = 0; at < c->count; at++)
			c->places[c->insns[at]] = 0;
	}
	return r;
}

int program_split(const struct code *program, struct code **ret_parts, uint32_t *ret_count)
{
	size_t length = (size_t)program->count + 1;
	uint32_t *numbers = calloc(length, sizeof(*numbers));
	struct collection c = {
		.whole = program,
		.numbers = numbers,
		.places = calloc(length, sizeof(*c.places)),
		.insns = calloc(length, sizeof(*c.insns)),
	};
	struct code *parts = NULL;
	uint32_t count = 0;
	int r = -ENOMEM;

	if (numbers != NULL && c.places != NULL && c.insns != NULL)
		r = parts_number(program, numbers, &count);
	if (r == 0 && count > PARTS_MAX)
		r = -ENOTSUP;
	if (r == 0) {
		parts = calloc(count, sizeof(*parts));
		r = parts == NULL ? -ENOMEM : parts_make(&c, parts);
	}
	if (r < 0) {
		parts_free(parts, count);
	} else {
		*ret_parts = parts;
		*ret_count = count;
	}
	free(c.insns);
	free(c.places);
	free(numbers);
	return r;
}

void parts_free(struct code *parts, uint32_t count)
{
	for (uint32_t number = 0; parts != NULL && number < count; number++)
		code_free(&parts[number]);
	free(parts);
}

/* From the end back: the steps from each instruction on. */
uint32_t program_steps(const struct ebpf_insn *insns, uint32_t count)
{
	uint64_t *steps = calloc((size_t)count + 1, sizeof(*steps));
	uint32_t all = STEPS_MANY;

	if (steps == NULL)
		return STEPS_MANY;
	for (uint32_t i = count; i-- > 0;) {
		bool jumps = BPF_CLASS(insns[i].code) == BPF_JMP;
		unsigned int op = BPF_OP(insns[i].code);
		uint64_t sum = 1;

		if (!jumps || (op != EBPF_EXIT && op != BPF_JA))
			sum += steps[i + 1];
		if (jumps && op != EBPF_EXIT)
			sum += steps[i + 1 + (uint16_t)insns[i].off];
		steps[i] = RTE_MIN(sum, (uint64_t)STEPS_MANY);
	}
	if (count > 0)
		all = (uint32_t)steps[0];
	free(steps);
	return all;
}
