#include "program_maybe.h"

#include <string.h>

#include <pcap/pcap.h>

#include "program_emit.h"

enum {
	FRONT_MAX = 512, /* link header, tags and labels, IP header */
	IPV6_HEADER = 40,
	AT_OFFSET = 6,      /* in IPv4's header: flags and fragment offset, 2 bytes */
	AT_NEXT_HEADER = 6, /* in IPv6's header */
	FRAGMENT_HEADER = 44,
	TAGGED_MAX =
		40, /* behind tags and labels, IP's header is less than so far from its place */
};

const struct link *link_find(int linktype)
{
	static const struct link links[] = {
		{DLT_EN10MB, 14, 12, true},
		{DLT_LINUX_SLL, 16, 14, true},
		{DLT_LINUX_SLL2, 20, 0, true},
		{DLT_RAW, .header_len = 0},
		{DLT_IPV4, .header_len = 0},
		{DLT_IPV6, .header_len = 0},
		{DLT_NULL, .header_len = 4},
		{DLT_LOOP, .header_len = 4},
	};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (links[i].linktype == linktype)
			return &links[i];
	return NULL;
}

/* What is looked for: the field of this version's header, at its place or, if tagged, behind it. */
struct naming {
	const struct bpf_program *program;
	uint32_t ip_off;
	bool tagged;
	bool ipv6;
};

/* Whether an expression that says "ip[0]" or "ether[0]" loads from k on. */
static bool is_base(const struct naming *n, uint32_t k)
{
	if (!n->tagged)
		return k <= n->ip_off;
	return k > n->ip_off && k - n->ip_off < TAGGED_MAX && (k - n->ip_off) % 4 == 0;
}

/* "ip[6:2]" is "x = 6; load 2 bytes at x + 14". */
static bool loads_field(const struct naming *n, const struct bpf_insn *in, uint32_t x)
{
	uint32_t base = n->tagged ? in->k : n->ip_off;
	uint64_t off = (uint64_t)x + in->k, first = base + AT_OFFSET;
	uint64_t end = first + (n->ipv6 ? 1 : 2);

	return is_base(n, in->k) && off < end && off + load_bytes(BPF_SIZE(in->code)) > first;
}

/* The load of IPv6's next header before insn, over which a chain of comparisons may lie. */
static const struct bpf_insn *next_header_load(const struct naming *n, uint32_t insn)
{
	const struct bpf_insn *in = &n->program->bf_insns[insn];

	do {
		if (insn-- == 0)
			return NULL;
		in--;
	} while (in->code == (BPF_JMP | BPF_JEQ | BPF_K) || in->code == (BPF_LDX | BPF_IMM));
	if (in->code != (BPF_LD | BPF_B | BPF_ABS) || in->k < AT_NEXT_HEADER)
		return NULL;
	if (n->tagged ? !is_base(n, in->k - AT_NEXT_HEADER) : in->k != n->ip_off + AT_NEXT_HEADER)
		return NULL;
	return in;
}

/*
 * "ip6 proto 44" compares the next header with 44. So does each "udp", but goes on with what
 * the fragment header has for next header: that is no naming.
 */
static bool compares_extension(const struct naming *n, uint32_t insn)
{
	const struct bpf_insn *in = &n->program->bf_insns[insn], *load;

	if (in->code != (BPF_JMP | BPF_JEQ | BPF_K) || !is_extension(in->k))
		return false;
	load = next_header_load(n, insn);
	if (load == NULL)
		return false;
	return in->k != FRAGMENT_HEADER || in->jt != 0 || insn + 1 >= n->program->bf_len ||
	       in[1].code != (BPF_LD | BPF_B | BPF_ABS) ||
	       in[1].k != load->k - AT_NEXT_HEADER + IPV6_HEADER;
}

static bool names_here(const void *arg, uint32_t insn, bool x_known, uint32_t x)
{
	const struct naming *n = arg;
	const struct bpf_insn *in = &n->program->bf_insns[insn];

	if (BPF_CLASS(in->code) == BPF_LD && BPF_MODE(in->code) == BPF_IND)
		return x_known && loads_field(n, in, x);
	return n->ipv6 && compares_extension(n, insn);
}

/* True when some packet of which nothing but the type is known leads to such an instruction. */
static bool names_in(const struct naming *n, const struct link *link)
{
	uint8_t front[16] = {0};
	struct sight sight = {.front = front, .wire_len = UINT32_MAX};

	if (link->has_type && !n->tagged) {
		front[link->type_off] = n->ipv6 ? 0x86 : 0x08;
		front[link->type_off + 1] = n->ipv6 ? 0xdd : 0x00;
		sight.front_len = link->type_off + 2;
		sight.hole_size = link->type_off;
	}
	return program_explore(n->program, &sight, names_here, n);
}

bool program_names_fragments(
	const struct bpf_program *unoptimized, int linktype, unsigned int version)
{
	const struct link *link = link_find(linktype);
	struct naming n = {.program = unoptimized, .ipv6 = version == 6};

	if (link == NULL)
		return true;
	n.ip_off = link->header_len;
	if (names_in(&n, link))
		return true;
	n.tagged = true;
	return names_in(&n, link);
}

/* -- The view -- */

static uint32_t header_length(const uint8_t *header, uint8_t version)
{
	return version == 4 ? (header[0] & 0xfU) * 4 : IPV6_HEADER;
}

/* The header, as that of a datagram that was not cut and has no extension headers. */
static void header_change(uint8_t *header, const struct ip_place *ip)
{
	if (ip->version == 4) {
		header[AT_OFFSET] &= 0xe0;
		header[AT_OFFSET + 1] = 0;
	} else {
		header[AT_NEXT_HEADER] = ip->protocol;
	}
}

bool maybe_matches(const struct bpf_program *program, const uint8_t *data, uint32_t len,
	uint32_t wire_len, const struct ip_place *ip)
{
	bool more_headers = ip->version == 6 && is_extension(ip->protocol);
	uint32_t header_end = ip->ip_off + header_length(data + ip->ip_off, ip->version);
	uint8_t front[FRONT_MAX];
	struct sight sight = {.front = front, .front_len = header_end, .wire_len = wire_len};

	if (header_end > FRONT_MAX)
		return false;
	if (!ip->later_fragment && (more_headers || ip->version == 4))
		return false;
	memcpy(front, data, header_end);
	header_change(front + ip->ip_off, ip);
	if (!ip->later_fragment) {
		sight.rest = data + ip->payload_off;
		sight.rest_len = len - ip->payload_off;
	} else if (more_headers) {
		/* The fragments before it have the rest of the chain, and so the protocol. */
		sight.hole_at = ip->ip_off + AT_NEXT_HEADER;
		sight.hole_size = 1;
	}
	return program_could_match(program, &sight);
}
