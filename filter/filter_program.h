#pragma once
/*
 * Program: from libpcap's classic BPF to the eBPF that DPDK runs. Private to filter/.
 *
 * The conversion is our own and not rte_bpf_convert(), because DPDK 22.11 runs what that
 * makes differently from libpcap, and not always safely (tests/unit/test_filter.c holds each):
 *  - it takes A for X in "ldb [x + k]" and "ld [x + k]", so that "tcp[tcpflags] & tcp-syn != 0"
 *    looks at the wrong byte;
 *  - its x86 JIT writes "test reg, imm" with a one-byte immediate that the CPU does not have, so
 *    that "ether[0] & 2 != 0" is broken machine code;
 *  - a load at an offset that the packet's own bytes make, as in "ether[ip[16:4]:4]", is checked
 *    by a sum that wraps, so that a foreign packet makes it read far outside and crash;
 *  - a shift by a register of 32 or more gives 0 in libpcap, and something else there;
 *  - it allocates in DPDK's heap, so that no filter could be compiled before EAL is up.
 * Whoever converts, the x86 JIT of 22.11 now and then makes jumps that go astray, so that "less 200 or
 * (port 53 and port 80) and not udp" was wrong, too; program.c keeps away from that.
 * What is converted here uses the instructions only that the JIT has right, with a check of
 * our own before each load whose offset is not a constant.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

struct bpf_program;
struct ebpf_insn;

/*
 * An instruction of a classic program, with jumps to anywhere behind it: next[0] is what follows,
 * or for a conditional jump where it goes when it is taken, next[1] when it is not.
 */
struct insn {
	uint16_t code;
	uint32_t k;
	uint32_t next[2]; /* the count of the program at most */
};

struct code {
	struct insn *insns;
	uint32_t count;
};

/*
 * A view of a packet with bytes left out: size bytes from offset at on are not there for the
 * program, what follows has moved up. So a frame is seen without its VLAN tags, and no byte is
 * copied. The length that "len", "less" and "greater" compare stays that of the packet.
 */
struct view {
	uint32_t at;
	uint32_t size; /* 0: the packet as it is */
};

/*
 * "protochain" makes libpcap jump back, for each header of a chain; and what it makes follows an
 * IPv4 authentication header to where the packet says, which can be that header again, so that
 * a foreign packet holds up whoever runs it, for ever. After this program has no loop: it is
 * there 32 times, each jump back goes on in the next, and a chain that is longer is rejected.
 * Returns 1 when there was a loop, 0 when there was none, or -ENOMEM.
 */
int program_unroll(struct bpf_program *program);

/*
 * libpcap 1.10 now and then makes a program that reads memory which it has not written: of "geneve" and
 * "pppoes" behind a link header of no fixed length (radiotap, PFLOG), and of what "geneve" is an alternative
 * to. What it answers depends on what lay there before. After this the program writes it first: an
 * offset at which no packet has anything, so that the packet is rejected, as it mostly is by
 * tcpdump. The program must have no loop. Returns 0 or -ENOMEM.
 */
int program_set_memory(struct bpf_program *program);

/*
 * A packet is at home when its bytes are all there, in one piece that begins FLAT_DATA_AT bytes
 * behind the start of its mbuf: what rx drivers deliver from a pool without private areas. A
 * program for such packets alone ("flat") reads each byte with one instruction. It is not to
 * be run on a packet of less than FLAT_LENGTH_MIN bytes, so that it need not check for those:
 * Ethernet, IPv6, as much as a host sends at least but for ARP.
 */
enum {
	FLAT_DATA_AT = sizeof(struct rte_mbuf) + RTE_PKTMBUF_HEADROOM,
	FLAT_LENGTH_MIN = 54,
};

/*
 * Takes over a classic program and leads each jump past the tests of which it is known on that way
 * how they end. libpcap's optimizer does so, too, and more, but takes too long over a long
 * program; without it each "or" asks again whether the packet is IPv4, and TCP, and so on.
 * *ret_code is the caller's, to be freed with code_free(). Returns 0 or -ENOMEM.
 */
int program_thread(const struct bpf_program *program, struct code *ret_code);
void code_free(struct code *code);

/*
 * DPDK's verifier goes every way through a program, step by step, and where two ways meet it
 * goes on from there twice: after n "or" of two tests each, 2^n times. (Later fixes of 22.11 leave out
 * what it remembers to have seen in the same state; but it remembers little.) So a program is
 * split, at instructions before which neither A nor X nor memory hold anything that is used later.
 * Each part is a program of its own: it returns 0 (reject), 1 (keep), or the number of the
 * part that goes on, always one that begins further behind. parts[PART_FIRST] is the beginning;
 * below that there are none. They are the caller's, to be freed with parts_free().
 * Returns 0, -ENOMEM, or -ENOTSUP: too many parts, or one is too long.
 */
enum {
	PART_FIRST = 1,
	PARTS_MAX = 512,        /* each takes about 0.1 ms to load, six times for a filter */
	PART_INSNS_MAX = 16384, /* the verifier takes 5 KB for a conditional jump, newer ones 15 */
};
int program_split(const struct code *program, struct code **ret_parts, uint32_t *ret_count);
void parts_free(struct code *parts, uint32_t count);

/*
 * The steps that the verifier takes to go every way through a converted program, if it
 * remembers nothing. INT32_MAX: so many or more.
 */
uint32_t program_steps(const struct ebpf_insn *insns, uint32_t count);

/*
 * Converts program for packets seen through view. *ret_insns is the caller's, to be freed with
 * free(). Returns 0, -ENOMEM, or -ENOTSUP for a program that DPDK cannot run: with a jump
 * back or one too far, or with an instruction that is not known.
 */
int program_convert(const struct code *program, struct view view, bool flat,
	struct ebpf_insn **ret_insns, uint32_t *ret_count);

/*
 * True when program compares the 16 bits at type_off with a VLAN's type (802.1Q, 802.1ad, the
 * older 0x9100): the expression speaks of tags itself, with "vlan" or in its own arithmetic.
 */
bool program_names_vlan(const struct bpf_program *program, uint32_t type_off);

/* The same of the types of MPLS and PPPoE sessions: "mpls", "pppoes". */
bool program_names_labels(const struct bpf_program *program, uint32_t type_off);
