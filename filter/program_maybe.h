#pragma once
/*
 * Maybe: could a program keep a packet of which not all is seen? Private to filter/.
 *
 * Ports are in the first fragment of a datagram only, and libpcap's code for "udp port 53" looks
 * at the fragment offset itself and rejects all others; in IPv6 it takes an extension header for
 * the transport header. What the user meant is the datagram. So a later fragment is looked at
 * as if it were the first one, with the bytes behind its IP header unknown, and is kept where some
 * content of those could match: a program is not run but explored, both ways where it asks
 * for what is not known. An expression that speaks of fragments itself keeps tcpdump's meaning.
 *
 * Threads  no state of its own: any number of lcores, each on its stack (some 6 KiB).
 * Memory   nothing is allocated.
 */

#include <stdbool.h>
#include <stdint.h>

struct bpf_program;

/* A link type: how long its header is, and where in it the 16 bits of the type are. */
struct link {
	int linktype;
	uint32_t header_len;
	uint32_t type_off;
	bool has_type;
};

/* NULL: not understood. */
const struct link *link_find(int linktype);

/* The numbers of what may be between IPv6's header and the transport header. */
static inline bool is_extension(uint32_t number)
{
	static const uint64_t words[4] = {
		1ULL << 0 | 1ULL << 43 | 1ULL << 44 | 1ULL << 51 | 1ULL << 60, /* 44: fragment */
		0, 1ULL << (135 - 128) | 1ULL << (139 - 128) | 1ULL << (140 - 128), 0};

	return number <= UINT8_MAX && (words[number / 64] >> number % 64 & 1) != 0;
}

/*
 * A packet as a program is to see it: front, then rest. What is not known of it has any value, and
 * of an unknown rest there is as much as the program asks for.
 */
struct sight {
	const uint8_t *front;
	uint32_t front_len;
	uint32_t hole_at; /* hole_size bytes of front from here on are not known */
	uint32_t hole_size;
	const uint8_t *rest; /* NULL: not known */
	uint32_t rest_len;
	uint32_t wire_len; /* what "len", "less" and "greater" compare. UINT32_MAX: not known */
};

/*
 * HOT PATH, for later fragments. True when program may return other than 0 for a packet that sight
 * is of: never false where some content of what is not known makes it do so, and where all is
 * known it is what bpf_filter() says. It may be true without need, as what one instruction finds
 * out about an unknown value is forgotten at the next. Reads nothing outside of sight, and passes
 * each instruction once at most, whatever program is.
 */
bool program_could_match(const struct bpf_program *program, const struct sight *sight);

/*
 * For whoever looks at what instructions are asked for: calls look for each that some packet of
 * sight comes to, with X where it is the same for all of them. True as soon as look is, or when
 * there are more ways at once than there is room for.
 */
typedef bool program_look(const void *arg, uint32_t insn, bool x_known, uint32_t x);
bool program_explore(const struct bpf_program *program, const struct sight *sight,
	program_look *look, const void *arg);

/*
 * True when the expression speaks of fragments itself, or of what the view below hides: of bytes 6
 * and 7 of the IPv4 header (flags, offset), of byte 6 of IPv6's (next header), in arithmetic with
 * constant offsets; or of an extension header's number ("ip6 proto 44", "ah", "ip6 protochain 6").
 * version is 4 or 6; where the type that tells them apart is not known, as on raw IP and behind
 * tags, bytes 6 and 7 count for both.
 *
 * The program must be as pcap_compile() makes it without its optimizer, and unrolled: there
 * arithmetic loads bytes by an index, and "port" does not. Also true, which is the safe answer,
 * for a linktype that is not known.
 */
bool program_names_fragments(
	const struct bpf_program *unoptimized, int linktype, unsigned int version);

/*
 * Where the outermost IP header of a packet is, and what the header walk found behind it. The
 * header is there with its options, and ip_off + its length <= payload_off <= len.
 */
struct ip_place {
	uint32_t ip_off;
	uint32_t payload_off; /* of what follows it and its options or extension headers */
	uint8_t version;      /* 4, 6 */
	uint8_t protocol; /* of the payload; an extension header's where the chain does not end */
	bool later_fragment;
};

/*
 * HOT PATH, for IP packets that program, run on the packet as it is, takes for what they are not:
 *  - a later fragment: could it match if it were the first? Keep it when this or the
 *    program itself says so.
 *  - IPv6 with extension headers before the transport header: does it match without them? This
 *    is the answer in place of the program's own, as behind tags: "not port 22" shall not keep SSH.
 * False where there is no such view: IPv4 that is no later fragment, a chain of extension headers
 * that is cut short or too long, an IP header too far behind.
 * Not to be asked where program_names_fragments() of the expression and version is true.
 */
bool maybe_matches(const struct bpf_program *program, const uint8_t *data, uint32_t len,
	uint32_t wire_len, const struct ip_place *ip);
