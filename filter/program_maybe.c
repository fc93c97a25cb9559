#include "program_maybe.h"

#include <string.h>

#include <pcap/pcap.h>

#include <rte_common.h>

#include "program_emit.h"

/*
 * Jumps go forward only. So the ways through a program are followed all at once, the one that is
 * least far first: when it comes to an instruction, all ways to it are there and are one from then
 * on, with what is known the same on all. libpcap's code has a handful open at a time.
 */
enum { OPEN_MAX = 64 };

enum {
	/* Bit k of state.known: word k of memory. */
	KNOWN_A = 1 << BPF_MEMWORDS,
	KNOWN_X = 2 << BPF_MEMWORDS,
	KNOWN_MEMORY = KNOWN_A - 1,
};

struct state {
	uint32_t at; /* the next instruction */
	uint32_t known;
	uint32_t a, x;
	uint32_t m[BPF_MEMWORDS];
};

struct explorer {
	const struct bpf_program *program;
	const struct sight *sight;
	bool all;         /* a match is not the end */
	bool over;        /* it may match: some way does, or nobody knows where it goes */
	struct state now; /* the least far of all ways */
	uint32_t nearest; /* where the next one is; UINT32_MAX: there is none */
	struct state open[OPEN_MAX]; /* the others, the farthest first */
	unsigned int open_count;
};

enum seen {
	SEEN_NOTHING, /* the packet ends before: the program rejects it */
	SEEN_UNKNOWN,
	SEEN_VALUE,
};

static inline uint32_t read_be(const uint8_t *p, uint32_t bytes)
{
	if (bytes == 4)
		return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	return bytes == 2 ? (uint32_t)p[0] << 8 | p[1] : p[0];
}

static uint8_t sight_byte(const struct sight *s, uint64_t off)
{
	return off < s->front_len ? s->front[off] : s->rest[off - s->front_len];
}

static __rte_noinline enum seen sight_read_elsewhere(
	const struct sight *s, uint64_t off, uint32_t bytes, uint32_t *ret_value)
{
	uint64_t end = off + bytes;

	if (s->rest != NULL && end > (uint64_t)s->front_len + s->rest_len)
		return SEEN_NOTHING;
	if (s->rest == NULL && end > s->front_len)
		return SEEN_UNKNOWN;
	if (off < (uint64_t)s->hole_at + s->hole_size && end > s->hole_at)
		return SEEN_UNKNOWN;
	*ret_value = 0;
	while (off < end)
		*ret_value = *ret_value << 8 | sight_byte(s, off++);
	return SEEN_VALUE;
}

static inline enum seen sight_read(
	const struct sight *s, uint64_t off, uint32_t bytes, uint32_t *ret_value)
{
	if (off < (uint64_t)s->hole_at + s->hole_size || off + bytes > s->front_len)
		return sight_read_elsewhere(s, off, bytes, ret_value);
	*ret_value = read_be(s->front + off, bytes);
	return SEEN_VALUE;
}

/* Few programs use memory, and it is most of a state. */
static inline void state_copy(struct state *to, const struct state *from)
{
	to->at = from->at;
	to->known = from->known;
	to->a = from->a;
	to->x = from->x;
	if ((from->known & KNOWN_MEMORY) != 0)
		memcpy(to->m, from->m, sizeof(to->m));
}

static void state_join(struct state *s, const struct state *other)
{
	s->known &= other->known;
	if (s->a != other->a)
		s->known &= ~(uint32_t)KNOWN_A;
	if (s->x != other->x)
		s->known &= ~(uint32_t)KNOWN_X;
	if ((s->known & KNOWN_MEMORY) == 0)
		return;
	for (uint32_t k = 0; k < BPF_MEMWORDS; k++)
		if ((s->known >> k & 1) != 0 && s->m[k] != other->m[k])
			s->known &= ~(1U << k);
}

static void end_with(struct explorer *e, bool value_known, uint32_t value)
{
	if (!e->all && (!value_known || value != 0))
		e->over = true;
}

/* The present way also goes on from at, later. */
static void open_add(struct explorer *e, uint32_t at)
{
	unsigned int i = e->open_count;

	while (i > 0 && e->open[i - 1].at < at)
		i--;
	if (i > 0 && e->open[i - 1].at == at) {
		state_join(&e->open[i - 1], &e->now);
		return;
	}
	if (e->open_count == OPEN_MAX) {
		e->over = true;
		return;
	}
	for (unsigned int j = e->open_count++; j > i; j--)
		state_copy(&e->open[j], &e->open[j - 1]);
	state_copy(&e->open[i], &e->now);
	e->open[i].at = at;
	e->nearest = e->open[e->open_count - 1].at;
}

/*
 * As open_add(), but most ways go to where a program ends, some by way of a jump of their own:
 * those end at once, so that they neither take room nor time.
 */
static void open_way(struct explorer *e, uint64_t at)
{
	const struct bpf_program *p = e->program;

	while (at < p->bf_len && p->bf_insns[at].code == (BPF_JMP | BPF_JA))
		at += 1 + (uint64_t)p->bf_insns[at].k;
	if (at >= p->bf_len)
		e->over = true;
	else if (p->bf_insns[at].code == (BPF_RET | BPF_K))
		end_with(e, true, p->bf_insns[at].k);
	else
		open_add(e, (uint32_t)at);
}

/* To the nearest way, when the present one has ended or come there or farther. False: none. */
static bool next_way(struct explorer *e, bool goes_on)
{
	if (e->open_count == 0)
		return goes_on;
	if (goes_on)
		open_add(e, e->now.at);
	state_copy(&e->now, &e->open[--e->open_count]);
	e->nearest = e->open_count > 0 ? e->open[e->open_count - 1].at : UINT32_MAX;
	return true;
}

static void set_a(struct state *s, bool known, uint32_t value)
{
	s->a = value;
	s->known = known ? s->known | KNOWN_A : s->known & ~(uint32_t)KNOWN_A;
}

static void set_x(struct state *s, bool known, uint32_t value)
{
	s->x = value;
	s->known = known ? s->known | KNOWN_X : s->known & ~(uint32_t)KNOWN_X;
}

/* In the functions that follow: false when the way ends here. */
static bool load_packet(struct explorer *e, uint64_t off, uint32_t bytes)
{
	uint32_t value = 0;
	enum seen seen = sight_read(e->sight, off, bytes, &value);

	set_a(&e->now, seen == SEEN_VALUE, value);
	return seen != SEEN_NOTHING;
}

static bool load_header_length(struct explorer *e, uint32_t k)
{
	uint32_t value = 0;
	enum seen seen = sight_read(e->sight, k, 1, &value);

	set_x(&e->now, seen == SEEN_VALUE, (value & 0xf) * 4);
	return seen != SEEN_NOTHING;
}

/* At X + k with X unknown: there or not, with any value. */
static bool load_somewhere(struct explorer *e)
{
	set_a(&e->now, false, 0);
	return true;
}

static bool run_load(struct explorer *e, const struct bpf_insn *in)
{
	void (*set)(struct state *, bool, uint32_t) = BPF_CLASS(in->code) == BPF_LD ? set_a : set_x;
	uint32_t bytes = load_bytes(BPF_SIZE(in->code)), k = in->k % BPF_MEMWORDS;
	struct state *s = &e->now;

	switch (BPF_MODE(in->code)) {
	case BPF_ABS:
		return load_packet(e, in->k, bytes);
	case BPF_IND:
		if ((s->known & KNOWN_X) == 0)
			return load_somewhere(e);
		return load_packet(e, (uint64_t)s->x + in->k, bytes);
	case BPF_MSH:
		return load_header_length(e, in->k);
	case BPF_LEN:
		set(s, e->sight->wire_len != UINT32_MAX, e->sight->wire_len);
		return true;
	case BPF_MEM:
		set(s, (s->known >> k & 1) != 0, s->m[k]);
		return true;
	default: /* BPF_IMM */
		set(s, true, in->k);
		return true;
	}
}

static void run_store(struct state *s, uint32_t k, bool known, uint32_t value)
{
	k %= BPF_MEMWORDS;
	s->m[k] = value;
	s->known = known ? s->known | 1U << k : s->known & ~(1U << k);
}

static uint32_t calculate(unsigned int op, uint32_t a, uint32_t value)
{
	switch (op) {
	case BPF_ADD:
		return a + value;
	case BPF_SUB:
		return a - value;
	case BPF_MUL:
		return a * value;
	case BPF_DIV:
		return a / value;
	case BPF_MOD:
		return a % value;
	case BPF_AND:
		return a & value;
	case BPF_OR:
		return a | value;
	case BPF_XOR:
		return a ^ value;
	case BPF_LSH:
		return value < 32 ? a << value : 0;
	case BPF_RSH:
		return value < 32 ? a >> value : 0;
	default: /* BPF_NEG */
		return 0 - a;
	}
}

static bool run_alu(struct state *s, const struct bpf_insn *in)
{
	bool by_x = BPF_SRC(in->code) == BPF_X;
	bool value_known = !by_x || (s->known & KNOWN_X) != 0;
	unsigned int op = BPF_OP(in->code);
	uint32_t value = by_x ? s->x : in->k;

	if (value_known && value == 0 && (op == BPF_DIV || op == BPF_MOD))
		return false;
	if (value_known && (s->known & KNOWN_A) != 0)
		s->a = calculate(op, s->a, value);
	else
		set_a(s, false, 0);
	return true;
}

static bool compare(unsigned int op, uint32_t a, uint32_t value)
{
	switch (op) {
	case BPF_JEQ:
		return a == value;
	case BPF_JGT:
		return a > value;
	case BPF_JGE:
		return a >= value;
	default: /* BPF_JSET */
		return (a & value) != 0;
	}
}

/* Both ways, the nearer first, so that none of them has to wait for the other one. */
static void run_fork(struct explorer *e, uint32_t yes, uint32_t no)
{
	if (yes != no)
		open_way(e, RTE_MAX(yes, no));
	e->now.at = RTE_MIN(yes, no);
}

static inline bool run_jump(struct explorer *e, const struct bpf_insn *in)
{
	bool by_x = BPF_SRC(in->code) == BPF_X;
	uint32_t needs = KNOWN_A | (by_x ? KNOWN_X : 0);
	struct state *s = &e->now;
	uint32_t next = s->at + 1;

	if (BPF_OP(in->code) == BPF_JA)
		s->at = in->k < e->program->bf_len ? next + in->k : UINT32_MAX;
	else if ((s->known & needs) != needs)
		run_fork(e, next + in->jt, next + in->jf);
	else if (compare(BPF_OP(in->code), s->a, by_x ? s->x : in->k))
		s->at = next + in->jt;
	else
		s->at = next + in->jf;
	if (s->at >= e->program->bf_len) /* so is a jump back */
		e->over = true;
	return true;
}

static bool run_return(struct explorer *e, const struct bpf_insn *in)
{
	if (BPF_RVAL(in->code) == BPF_K)
		end_with(e, true, in->k);
	else
		end_with(e, (e->now.known & KNOWN_A) != 0, e->now.a);
	return false;
}

static bool run_insn(struct explorer *e, const struct bpf_insn *in)
{
	struct state *s = &e->now;

	switch (BPF_CLASS(in->code)) {
	case BPF_JMP:
		return run_jump(e, in);
	case BPF_RET:
		return run_return(e, in);
	default:
		s->at++;
	}
	switch (BPF_CLASS(in->code)) {
	case BPF_LD:
	case BPF_LDX:
		return run_load(e, in);
	case BPF_ST:
		run_store(s, in->k, (s->known & KNOWN_A) != 0, s->a);
		return true;
	case BPF_STX:
		run_store(s, in->k, (s->known & KNOWN_X) != 0, s->x);
		return true;
	case BPF_ALU:
		return run_alu(s, in);
	default: /* BPF_MISC */
		if (BPF_MISCOP(in->code) == BPF_TAX)
			set_x(s, (s->known & KNOWN_A) != 0, s->a);
		else
			set_a(s, (s->known & KNOWN_X) != 0, s->x);
		return true;
	}
}

/* One body: with look the whole program is gone through, without it the first match is enough. */
static inline bool explore(const struct bpf_program *program, const struct sight *sight,
	program_look *look, const void *arg)
{
	struct explorer e; /* not cleared: open is large, and open_count says what of it is there */
	bool goes_on;

	/* What a program ends with does not go on, so that only a jump can lead outside. */
	if (program->bf_len == 0 ||
		BPF_CLASS(program->bf_insns[program->bf_len - 1].code) != BPF_RET)
		return true;
	e.program = program;
	e.sight = sight;
	e.all = look != NULL;
	e.over = false;
	e.now = (struct state){.known = KNOWN_A | KNOWN_X}; /* both 0 */
	e.nearest = UINT32_MAX;
	e.open_count = 0;
	do {
		if (look != NULL && look(arg, e.now.at, (e.now.known & KNOWN_X) != 0, e.now.x))
			return true;
		goes_on = run_insn(&e, &program->bf_insns[e.now.at]);
		if (e.over)
			return true;
	} while ((goes_on && e.now.at < e.nearest) || next_way(&e, goes_on));
	return false;
}

bool program_could_match(const struct bpf_program *program, const struct sight *sight)
{
	return explore(program, sight, NULL, NULL);
}

bool program_explore(const struct bpf_program *program, const struct sight *sight,
	program_look *look, const void *arg)
{
	return explore(program, sight, look, arg);
}
