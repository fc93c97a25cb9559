/*
 * libFuzzer: what could match of which not all is seen, for any program and any packet.
 *
 * The bytes: how many instructions, those, where things are in the packet, the packet.
 */
/* rooms: filter common dpdk PkgConfig::libpcap */

#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "filter/program_maybe.h"

enum { INSNS_MAX = 200, PLACE_BYTES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What libpcap runs: bpf_validate() lets more pass, on which bpf_filter() aborts. */
static const uint16_t codes[] = {BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_H | BPF_ABS,
	BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_W | BPF_IND, BPF_LD | BPF_H | BPF_IND,
	BPF_LD | BPF_B | BPF_IND, BPF_LD | BPF_W | BPF_LEN, BPF_LD | BPF_IMM, BPF_LD | BPF_MEM,
	BPF_LDX | BPF_W | BPF_LEN, BPF_LDX | BPF_MSH | BPF_B, BPF_LDX | BPF_IMM, BPF_LDX | BPF_MEM,
	BPF_ST, BPF_STX, BPF_JMP | BPF_JA, BPF_JMP | BPF_JGT | BPF_K, BPF_JMP | BPF_JGE | BPF_K,
	BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JSET | BPF_K, BPF_JMP | BPF_JGT | BPF_X,
	BPF_JMP | BPF_JGE | BPF_X, BPF_JMP | BPF_JEQ | BPF_X, BPF_JMP | BPF_JSET | BPF_X,
	BPF_ALU | BPF_ADD | BPF_X, BPF_ALU | BPF_SUB | BPF_X, BPF_ALU | BPF_MUL | BPF_X,
	BPF_ALU | BPF_DIV | BPF_X, BPF_ALU | BPF_MOD | BPF_X, BPF_ALU | BPF_AND | BPF_X,
	BPF_ALU | BPF_OR | BPF_X, BPF_ALU | BPF_XOR | BPF_X, BPF_ALU | BPF_LSH | BPF_X,
	BPF_ALU | BPF_RSH | BPF_X, BPF_ALU | BPF_ADD | BPF_K, BPF_ALU | BPF_SUB | BPF_K,
	BPF_ALU | BPF_MUL | BPF_K, BPF_ALU | BPF_DIV | BPF_K, BPF_ALU | BPF_MOD | BPF_K,
	BPF_ALU | BPF_AND | BPF_K, BPF_ALU | BPF_OR | BPF_K, BPF_ALU | BPF_XOR | BPF_K,
	BPF_ALU | BPF_LSH | BPF_K, BPF_ALU | BPF_RSH | BPF_K, BPF_ALU | BPF_NEG, BPF_MISC | BPF_TAX,
	BPF_MISC | BPF_TXA, BPF_RET | BPF_K, BPF_RET | BPF_A};

/* Makes of p what libpcap has defined: no other code, no jump back, no shift by 32 or more. */
static void define(struct bpf_program *p)
{
	enum { CODES = sizeof(codes) / sizeof(codes[0]) };

	for (uint32_t i = 0; i < p->bf_len; i++) {
		struct bpf_insn *in = &p->bf_insns[i];
		bool found = false;

		for (unsigned int j = 0; j < CODES; j++)
			found = found || in->code == codes[j];
		if (!found)
			in->code = codes[in->code % CODES];
		if (in->code == (BPF_JMP | BPF_JA) ||
			(BPF_CLASS(in->code) == BPF_ALU && BPF_SRC(in->code) == BPF_K &&
				(BPF_OP(in->code) == BPF_LSH || BPF_OP(in->code) == BPF_RSH)))
			in->k %= 32;
	}
}

/* All known: as libpcap says. Less known, or other bytes in its stead: never less than that. */
static void check_sights(const struct bpf_program *p, const uint8_t *data, uint32_t len,
	uint32_t known, uint32_t hole_at, uint32_t hole_size)
{
	struct sight whole = {.front = data,
		.front_len = known,
		.rest = data + known,
		.rest_len = len - known,
		.wire_len = len};
	struct sight some = {.front = data, .front_len = known, .wire_len = len};
	bool matches = bpf_filter(p->bf_insns, data, len, len) != 0;

	some.hole_at = hole_at;
	some.hole_size = hole_size;
	if (program_could_match(p, &whole) != matches)
		abort();
	if (matches && !program_could_match(p, &some))
		abort();
}

/* A place as the header walk may tell it, and any protocol. */
static void check_views(
	const struct bpf_program *p, const uint8_t *data, uint32_t len, const uint8_t *place)
{
	struct ip_place ip = {.ip_off = place[0] * 3U, .protocol = place[1]};
	uint32_t end;

	if (ip.ip_off >= len)
		return;
	ip.version = (place[2] & 1) != 0 ? 4 : 6;
	ip.later_fragment = (place[2] & 2) != 0;
	end = ip.ip_off + (ip.version == 6 ? 40 : (data[ip.ip_off] & 0xf) * 4U);
	ip.payload_off = end + place[3];
	if (end - ip.ip_off >= 20 && ip.payload_off <= len)
		(void)maybe_matches(p, data, len, len, &ip);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int linktypes[] = {DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2};
	struct bpf_insn insns[BPF_MEMWORDS + INSNS_MAX];
	struct bpf_program p = {.bf_insns = insns};
	const uint8_t *place;
	uint32_t count, len;

	if (size < 1 || data[0] > INSNS_MAX || size < 1 + data[0] * sizeof(*insns) + PLACE_BYTES)
		return 0;
	count = data[0];
	for (uint32_t i = 0; i < BPF_MEMWORDS; i++)
		insns[i] = (struct bpf_insn)BPF_STMT(BPF_ST, i);
	memcpy(&insns[BPF_MEMWORDS], data + 1, count * sizeof(*insns));
	p.bf_len = BPF_MEMWORDS + count;
	place = data + 1 + count * sizeof(*insns);
	data = place + PLACE_BYTES;
	len = (uint32_t)(size - 1 - count * sizeof(*insns) - PLACE_BYTES);
	if (bpf_validate(insns, (int)p.bf_len))
		check_views(&p, data, len, place);
	for (size_t i = 0; i < sizeof(linktypes) / sizeof(linktypes[0]); i++) {
		(void)program_names_fragments(&p, linktypes[i], 4);
		(void)program_names_fragments(&p, linktypes[i], 6);
	}
	define(&p);
	if (bpf_validate(insns, (int)p.bf_len))
		check_sights(&p, data, len, place[4] <= len ? place[4] : len, place[5], place[6]);
	return 0;
}
