#pragma once
/*
 * The pcapng format as Wirespool writes it. docs/format.md is the long form.
 * Source: IETF draft-ietf-opsawg-pcapng. All fields little-endian, as the
 * section's byte-order magic says.
 *
 * A segment file:
 *
 *   | section header, interfaces, padding | chunk | chunk | ... | last chunk, cut short |
 *   0                                     4 KiB * n
 *
 * A chunk is whole blocks, begins with a mark block and ends on a 4 KiB boundary with a
 * padding block if need be; the last chunk of a sealed file ends with statistics blocks and an
 * end block, without padding. Mark, padding and end are blocks of a local-use type (most
 * significant bit set), which libpcap and Wireshark pass over. (A Custom Block, which
 * would be the other way, is listed by tshark 4.0 as if it were a packet.)
 */

#include <assert.h>
#include <stdint.h>

#define PCAPNG_BYTE_ORDER_MAGIC 0x1A2B3C4DU

enum {
	PCAPNG_SECTION_HEADER = 0x0A0D0D0A,
	PCAPNG_INTERFACE = 1,
	PCAPNG_STATISTICS = 5,
	PCAPNG_PACKET = 6,
};

#define PCAPNG_WIRESPOOL 0x80575350U /* 0x80, "WSP" */

enum pcapng_option {
	OPT_END = 0,
	OPT_COMMENT = 1,
	SHB_HARDWARE = 2,
	SHB_OS = 3,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_MACADDR = 6,
	IF_SPEED = 8,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	EPB_FLAGS = 2,
	EPB_DROPCOUNT = 4,
	EPB_QUEUE = 6,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	ISB_FILTERACCEPT = 6,
	ISB_OSDROP = 7,
	ISB_USRDELIV = 8,
};

enum {
	PCAPNG_SNAPLEN = 262144,
	PCAPNG_ALIGN = 4096, /* chunks begin and end on multiples of this */
	EPB_FLAG_INBOUND = 1,
	EPB_FLAG_OUTBOUND = 2,
};

/* Enhanced packet block up to the packet's bytes; then bytes, padding to 4, options, length again. */
struct pcapng_packet {
	uint32_t type;
	uint32_t length;
	uint32_t interface_id;
	uint32_t time_high; /* ns since the epoch, upper 32 bits */
	uint32_t time_low;
	uint32_t cap_len;
	uint32_t wire_len;
};

static_assert(sizeof(struct pcapng_packet) == 28, "as the format has it");

enum wirespool_kind {
	WIRESPOOL_CHUNK = 0x4b4e4843, /* "CHNK": first block of every chunk */
	WIRESPOOL_PAD = 0x20444150,   /* "PAD ": nothing; body is zeros */
	WIRESPOOL_END = 0x20444e45,   /* "END ": last block of a sealed file */
};

/* First block of every chunk: enough to find, count and check chunks without reading packets. */
struct wirespool_chunk {
	uint32_t type;        /* PCAPNG_WIRESPOOL */
	uint32_t length;      /* sizeof(struct wirespool_chunk) */
	uint32_t kind;        /* WIRESPOOL_CHUNK */
	uint32_t chunk_bytes; /* this block and padding included */
	uint64_t run_hash;    /* of the run's id, FNV-1a 64: no stale chunk is taken for ours */
	uint32_t segment;     /* number in the run */
	uint32_t sequence;    /* of the chunk in the segment, from 0 */
	uint64_t pkts_before; /* in this segment */
	uint32_t pkts;        /* in this chunk */
	uint32_t reserved;
	uint64_t first_ns; /* of its first and last packet; 0 without any */
	uint64_t last_ns;
	uint32_t reserved2;
	uint32_t length_again;
};

static_assert(sizeof(struct wirespool_chunk) == 72, "no holes");

/* Last block of a sealed file: its totals, found at the file's size - sizeof. */
struct wirespool_end {
	uint32_t type;
	uint32_t length;
	uint32_t kind; /* WIRESPOOL_END */
	uint32_t segment;
	uint64_t run_hash;
	uint64_t pkts;
	uint64_t captured_bytes; /* sum of cap_len */
	uint64_t wire_bytes;     /* sum of wire_len */
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t missing_pkts; /* known to be missing inside this file: holes that recovery found */
	uint32_t recovered;    /* 1: sealed by recovery, not by the writer */
	uint32_t length_again;
};

static_assert(sizeof(struct wirespool_end) == 80, "no holes");

/* A padding block is 16 bytes at least: type, length, WIRESPOOL_PAD, length again. */
enum { WIRESPOOL_PAD_MIN = 16 };

/* FNV-1a, 64 bits, of a run's id (http://www.isthe.com/chongo/tech/comp/fnv/). */
static inline uint64_t run_id_hash(const char *id)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *id != '\0'; id++)
		h = (h ^ (uint8_t)*id) * 0x100000001b3ULL;
	return h;
}
