#pragma once
/*
 * Blocks: a bounded reader of pcapng blocks over a file descriptor.
 *
 * Flow     file -> window (pread) -> block heads, packets, options
 * Memory   one window, allocated in block_reader_init(); no block is ever copied or held whole.
 * Trust    none: every length is compared with the file's size before it is used. No mmap: a mapped
 *          file that shrinks while it is read is a SIGBUS, a short pread is an error to report.
 *
 * Functions that judge bytes return NULL when they are sound, else the rule that they break as a
 * sentence. They also do so when the file could not be read; block_reader.error then tells.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirespool/pcapng.h"

enum {
	BLOCK_MIN = 12, /* type, length, length again */
	BLOCK_WINDOW = 4 << 20,
	BLOCK_WINDOW_SMALL = 4096,
};

/* Blocks of the format that Wirespool reads but does not write. */
enum { PCAPNG_OLD_PACKET = 2, PCAPNG_SIMPLE_PACKET = 3 };

struct block_reader {
	int fd;
	uint64_t file_bytes;
	uint8_t *window;
	size_t window_bytes;
	uint64_t held_off;
	size_t held_bytes;
	int error; /* 0, or what pread failed with: sticky */
};

/* The descriptor stays the caller's. 0 or -ENOMEM. */
int block_reader_init(struct block_reader *r, int fd, uint64_t file_bytes, size_t window_bytes);
void block_reader_done(struct block_reader *r);

/*
 * len bytes of the file at off, valid until the next call. NULL when they are not all in the file,
 * are more than the window holds, or could not be read (r->error).
 */
const uint8_t *block_reader_bytes(struct block_reader *r, uint64_t off, size_t len);

uint16_t block_u16(const uint8_t *p, bool swapped);
uint32_t block_u32(const uint8_t *p, bool swapped);
uint64_t block_u64(const uint8_t *p, bool swapped);

struct block {
	uint64_t off;
	uint32_t type;
	uint32_t length;
};

/*
 * The block at off, which must end at limit or before. A section header changes *swapped to
 * the byte order of its section. Stores *ret on success only.
 */
const char *block_at(
	struct block_reader *r, uint64_t off, uint64_t limit, bool *swapped, struct block *ret);

struct block_option {
	uint16_t code;
	uint16_t length;
	uint64_t off; /* of its value */
};

struct option_walk {
	struct block_reader *r;
	uint64_t off;
	uint64_t end;
	bool swapped;
	const char *broken; /* the rule, when the walk ended for that */
};

/* The next option; false at the end of the list. */
bool option_next(struct option_walk *walk, struct block_option *ret);

/* Value of an option that must have this length; false (and walk->broken) when it has another. */
bool option_u32(struct option_walk *walk, const struct block_option *option, uint32_t *ret);
bool option_u64(struct option_walk *walk, const struct block_option *option, uint64_t *ret);

enum isb_counter {
	ISB_COUNT_IFRECV,
	ISB_COUNT_IFDROP,
	ISB_COUNT_FILTERACCEPT,
	ISB_COUNT_OSDROP,
	ISB_COUNT_USRDELIV,
	ISB_COUNTERS,
};

struct block_interface {
	uint64_t off;
	uint32_t snaplen;
	uint16_t linktype;
	uint8_t tsresol;
	int64_t tsoffset_s;
	/* of its last statistics block */
	bool has_statistics;
	uint32_t has_counter; /* bit per isb_counter */
	uint64_t counters[ISB_COUNTERS];
	uint64_t statistics_time; /* raw, in the units of tsresol */
	bool has_starttime;
	bool has_endtime;
	uint64_t starttime;
	uint64_t endtime;
};

const char *interface_decode(
	struct block_reader *r, const struct block *b, bool swapped, struct block_interface *ret);

/* Nanoseconds since the epoch of a time in the interface's units; 0 and UINT64_MAX are the ends. */
uint64_t interface_time_ns(const struct block_interface *itf, uint64_t raw);

struct block_interfaces {
	struct block_interface *list;
	unsigned int count;
	unsigned int room;
};

enum { BLOCK_INTERFACES_MAX = 65536 };

/* 0, -ENOMEM, or -E2BIG past BLOCK_INTERFACES_MAX. */
int interfaces_add(struct block_interfaces *all, const struct block_interface *itf);

struct block_packet {
	uint32_t interface_id;
	uint32_t cap_len;
	uint32_t wire_len;
	bool has_time; /* a simple packet has none */
	uint64_t time_ns;
	uint64_t dropcount_pkts;
};

static inline bool block_is_packet(uint32_t type)
{
	return type == PCAPNG_PACKET || type == PCAPNG_SIMPLE_PACKET || type == PCAPNG_OLD_PACKET;
}

/* An enhanced, simple or old packet block. */
const char *packet_decode(struct block_reader *r, const struct block *b, bool swapped,
	const struct block_interfaces *all, struct block_packet *ret);

/* An interface statistics block; its values go to its interface in all. */
const char *statistics_decode(
	struct block_reader *r, const struct block *b, bool swapped, struct block_interfaces *all);
