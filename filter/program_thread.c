#include "filter_program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "program_emit.h"

/*
 * A test is a load at a constant offset and the comparison with a constant right behind it. The
 * packet does not change, so that it ends each time as it did before. Of the tests of a program
 * the most frequent are followed, each as a bit: in a list of any length these are the questions after the
 * protocol. A port or an address is asked for once or a few times.
 */
enum { FOLLOWED_MAX = 64, LOOKS_PER_INSN = 64 };

/* What is compared in whole: no padding. */
struct key {
	uint32_t load_k;
	uint32_t jump_k;
	uint16_t load_code;
	uint16_t jump_code;
};

struct test {
	struct key key;
	uint32_t at; /* of the load; the jump is the next */
	uint32_t count;
};

/* What is known before an instruction, whichever way led there. */
struct known {
	uint64_t yes; /* bits of tests */
	uint64_t no;
	bool reached;
};

struct threading {
	struct code code;
	struct known *known;
	uint8_t *follow; /* of an instruction that begins a test: its bit plus 1 */
	struct key keys[FOLLOWED_MAX];
	uint64_t looks_left; /* so that no program takes long */
};

static int code_copy(const struct bpf_program *program, struct code *ret_code)
{
	ret_code->count = program->bf_len;
	ret_code->insns = calloc((size_t)program->bf_len + 1, sizeof(*ret_code->insns));
	if (ret_code->insns == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < program->bf_len; i++) {
		struct insn *in = &ret_code->insns[i];

		in->code = program->bf_insns[i].code;
		in->k = program->bf_insns[i].k;
		(void)classic_next(program, i, in->next);
	}
	/* What runs behind the end is rejected. */
	ret_code->insns[program->bf_len].code = BPF_RET | BPF_K;
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct key));
}

static int compare_counts(const void *a, const void *b)
{
	const struct test *x = a, *y = b;

	return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
				    : memcmp(&x->key, &y->key, sizeof(x->key));
}

/* The tests into which no jump leads between load and comparison. Returns how many. */
static uint32_t tests_find(const struct code *code, struct test *tests)
{
	uint8_t *is_target = calloc((size_t)code->count + 1, 1);
	uint32_t count = 0;

	if (is_target == NULL)
		return 0;
	for (uint32_t i = 0; i < code->count; i++)
		for (unsigned int way = 0; way < 2; way++)
			if (BPF_CLASS(code->insns[i].code) == BPF_JMP)
				is_target[code->insns[i].next[way]] = 1;
	for (uint32_t i = 0; i + 1 < code->count; i++) {
		const struct insn *load = &code->insns[i], *jump = load + 1;

		if (BPF_CLASS(load->code) != BPF_LD || BPF_MODE(load->code) != BPF_ABS ||
			!is_branch(jump) || BPF_SRC(jump->code) != BPF_K || is_target[i + 1])
			continue;
		tests[count].key = (struct key){load->k, jump->k, load->code, jump->code};
		tests[count++].at = i;
	}
	free(is_target);
	return count;
}

static void tests_count(struct test *tests, uint32_t count)
{
	qsort(tests, count, sizeof(*tests), compare_keys);
	for (uint32_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && compare_keys(&tests[i], &tests[end]) == 0; end++)
			;
		for (uint32_t same = i; same < end; same++)
			tests[same].count = end - i;
	}
	qsort(tests, count, sizeof(*tests), compare_counts);
}

static int tests_follow(struct threading *t)
{
	struct test *tests = calloc((size_t)t->code.count + 1, sizeof(*tests));
	uint8_t bit = 0;
	uint32_t count;

	if (tests == NULL)
		return -ENOMEM;
	count = tests_find(&t->code, tests);
	tests_count(tests, count);
	for (uint32_t i = 0; i < count; i++) {
		if (i == 0 || compare_keys(&tests[i], &tests[i - 1]) != 0)
			bit++;
		if (bit > FOLLOWED_MAX)
			break;
		t->keys[bit - 1] = tests[i].key;
		t->follow[tests[i].at] = bit;
	}
	free(tests);
	return 0;
}

/* A test has ended: a value that equals one constant does not equal the others. */
static void learn(const struct threading *t, struct known *known, uint8_t bit, bool yes)
{
	const struct key *key = &t->keys[bit - 1];

	if (yes)
		known->yes |= 1ULL << (bit - 1);
	else
		known->no |= 1ULL << (bit - 1);
	if (!yes || key->jump_code != (BPF_JMP | BPF_JEQ | BPF_K))
		return;
	for (unsigned int i = 0; i < FOLLOWED_MAX; i++)
		if (t->keys[i].load_code == key->load_code && t->keys[i].load_k == key->load_k &&
			t->keys[i].jump_code == key->jump_code && t->keys[i].jump_k != key->jump_k)
			known->no |= 1ULL << i;
}

/* What A holds is not used at i and behind it. */
static bool a_is_dead(const struct code *code, uint32_t i)
{
	while (BPF_CLASS(code->insns[i].code) == BPF_LDX)
		i++;
	return BPF_CLASS(code->insns[i].code) == BPF_LD || code->insns[i].code == (BPF_RET | BPF_K);
}

/*
 * Where a jump to i may go at once. It passes loads of A only that have succeeded on this way before,
 * with the same offset; so where A is not used any more, nothing is missing.
 */
static uint32_t lead(struct threading *t, uint32_t i, const struct known *known)
{
	uint32_t there = i;

	for (; t->looks_left > 0; t->looks_left--) {
		const struct insn *in = &t->code.insns[i];
		uint64_t bit = t->follow[i] == 0 ? 0 : 1ULL << (t->follow[i] - 1);

		if (in->code == (BPF_JMP | BPF_JA))
			i = in->next[0];
		else if ((known->yes & bit) != 0)
			i = in[1].next[0];
		else if ((known->no & bit) != 0)
			i = in[1].next[1];
		else
			break;
		if (a_is_dead(&t->code, i))
			there = i;
	}
	return there;
}

static void join(struct known *to, const struct known *from)
{
	to->yes = to->reached ? to->yes & from->yes : from->yes;
	to->no = to->reached ? to->no & from->no : from->no;
	to->reached = true;
}

static void thread_insn(struct threading *t, uint32_t i)
{
	struct insn *in = &t->code.insns[i];

	for (unsigned int way = 0; way < insn_ways(in); way++) {
		struct known known = t->known[i];

		if (is_branch(in) && i > 0 && t->follow[i - 1] != 0)
			learn(t, &known, t->follow[i - 1], way == 0);
		if (BPF_CLASS(in->code) == BPF_JMP)
			in->next[way] = lead(t, in->next[way], &known);
		join(&t->known[in->next[way]], &known);
	}
}

int program_thread(const struct bpf_program *program, struct code *ret_code)
{
	size_t length = (size_t)program->bf_len + 1;
	struct threading t = {
		.known = calloc(length, sizeof(*t.known)),
		.follow = calloc(length, sizeof(*t.follow)),
		.looks_left = LOOKS_PER_INSN * length,
	};
	int r = code_copy(program, &t.code);

	if (t.known == NULL || t.follow == NULL)
		r = -ENOMEM;
	if (r == 0)
		r = tests_follow(&t);
	if (r == 0)
		t.known[0].reached = true;
	for (uint32_t i = 0; r == 0 && i < t.code.count; i++) {
		if (t.known[i].reached)
			thread_insn(&t, i);
		else /* never run */
			t.code.insns[i] = (struct insn){.code = BPF_RET | BPF_K};
	}
	free(t.known);
	free(t.follow);
	if (r < 0)
		code_free(&t.code);
	else
		*ret_code = t.code;
	return r;
}

void code_free(struct code *code)
{
	free(code->insns);
	code->insns = NULL;
}
