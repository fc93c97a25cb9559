#pragma once
/*
 * How a frame is made: what frames.c, frames_template.c and frames_fragment.c make ready, and
 * frames_build.c and frames_fragment.c write.
 *
 *   | Ethernet | tags, tunnel | IPv4 or IPv6 | UDP or TCP | stamp | body ...
 *   0                                                     payload
 *   |<--------- template, a number of cache lines --------->|<- body, same for all ->|
 *
 * Each flow has a template in which all but lengths, number and checksums is ready. Where
 * a checksum belongs, the template holds the one's complement sum of what never changes in
 * that flow, so that the frame's checksum is that plus what does change: the length and
 * the body, summed beforehand for every size, and the number, the same for a whole round of
 * flows. (RFC 1071: such a sum may be taken in any order, and in either byte order.)
 *
 * Plain frames (IPv4/UDP without a tag) have all of that in their first 64 bytes, one cache line,
 * and are made by one addition to all of its 16-bit words at once, with the carry brought round:
 *
 *   template     addresses ...  0       0   sum of flow     0         sum of flow   flow   0
 *   + round      0              0       id  id              0         number's sum  0      number
 *   + size       0              length  0   length          length    body's sum    0      0
 *   = line       addresses ...  length  id  sum of header   length    sum of all    flow   number
 *
 * after which the two sums are inverted. Words of the template that are not zero but for the sums
 * get nothing added, so that no carry touches them. Plain frames of a single size have `size` in
 * their templates.
 */

#include <stdint.h>
#include <string.h>

#include "frames.h"

enum {
	CACHE_LINE = 64,
	STAMP_BYTES = sizeof(struct frame_stamp),
	BODY_BYTES = FRAME_BYTES_MAX + CACHE_LINE,
	SHAPES = 4, /* v4/UDP, v4/TCP, v6/UDP, v6/TCP */
	PLAIN = 0,  /* v4/UDP */
	SHAPE_TCP = 1,
	SHAPE_IPV6 = 2,
	PLAIN_TEMPLATE = CACHE_LINE,
	TEMPLATE_MAX = 4 * CACHE_LINE,
	IPV6_FRAGMENT_BYTES = 8, /* the extension header of a fragment */
};

/* The 16-bit words of a cache line; compilers make of it what the CPU has, AVX-512 or less. */
typedef uint16_t words __attribute__((vector_size(CACHE_LINE)));

/* Where things are in the frames of a kind. */
struct shape {
	uint16_t outer_ip; /* with a tunnel, else 0 */
	uint16_t outer_l4; /* its UDP header, if it has one */
	uint16_t tunnel;   /* its own header */
	uint16_t ip;
	uint16_t l4;
	uint16_t payload;
};

/* Places in plain frames, counted in words. */
enum {
	PLAIN_IP_LENGTH = 8,
	PLAIN_ID = 9,
	PLAIN_IP_SUM = 12,
	PLAIN_L4_LENGTH = 19,
	PLAIN_L4_SUM = 20,
	PLAIN_NUMBER = 25, /* four */
};

/* What depends on a frame's size. */
struct size_info {
	uint16_t ip_length; /* as the IP header wants it, big-endian */
	uint16_t l4_length; /* big-endian */
	uint16_t sum;       /* of the body and the lengths in the pseudo and UDP headers */
	uint16_t stamped;
};

/*
 * The line `size` of plain frames, without its beginning and end, which are zero: those bytes are the
 * neighbours' in the table, and are masked out.
 */
struct size_words {
	uint16_t word[16];
};
enum { SIZE_WORDS_FROM = 8 };
_Static_assert(SIZE_WORDS_FROM <= (int)PLAIN_IP_LENGTH && (int)PLAIN_L4_SUM < SIZE_WORDS_FROM + 16,
	"all that depends on the size");

/* Which datagram of a period a frame carries, and which of how many fragments of it. */
struct fragment {
	uint16_t datagram;
	uint8_t index;
	uint8_t count; /* 1: the datagram is whole */
};

/* Where in the flows, the numbers and the sizes the next frame is. */
struct cursor {
	uint64_t frame;
	uint64_t number;
	uint32_t flow;
	uint32_t at;       /* in the pattern */
	uint32_t fragment; /* in the fragments */
};

struct frames {
	/* Read-only after frames_new() */
	uint32_t flows; /* of this queue */
	uint32_t template_bytes;
	uint8_t *templates;
	uint8_t *shape_of; /* each flow's */
	struct shape shapes[SHAPES];
	struct size_info
		*sizes[SHAPES]; /* by stored bytes - min_stored; NULL: no flow has the shape */
	struct size_words *plain_sizes; /* the same; one before the first and one past the last */
	uint32_t pattern_len;
	uint16_t *pattern;    /* stored bytes of each frame of a period */
	uint32_t *wire_after; /* wire bytes from the period's start to the frame's end */
	uint32_t period_bytes;
	uint16_t min_stored;
	uint16_t max_stored;
	bool plain;    /* all flows are v4/UDP without a tag: offsets are known to the compiler */
	uint8_t *body; /* by position in the frame */
	enum frames_tunnel tunnel;
	struct fragment *fragments; /* of each frame of a period; NULL: all datagrams are whole */
	uint32_t fragment_count;
	uint32_t *body_sums; /* of the body's first words; with fragments */

	/* The rx lcore's */
	struct cursor next;
	uint64_t periods; /* whole ones that arrived */
	uint64_t periods_bytes;
	uint32_t arrived_at; /* frames of the period now that arrived */
};

static inline uint16_t fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static inline uint64_t sum_bytes(const uint8_t *data, size_t len)
{
	uint64_t sum = 0;
	uint16_t word;

	for (; len >= 2; data += 2, len -= 2) {
		memcpy(&word, data, 2);
		sum += word;
	}
	if (len != 0) {
		word = 0;
		memcpy(&word, data, 1);
		sum += word;
	}
	return sum;
}

static inline uint16_t load16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static inline void store16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, sizeof(v));
}

static inline void store32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
}

static inline void store64(uint8_t *at, uint64_t v)
{
	memcpy(at, &v, sizeof(v));
}

/* frames.c. Splitmix64: the same numbers from the same state. */
uint64_t frames_random(uint64_t *state);

/* frames_template.c. The longest kind of frame that there is with these options. */
unsigned int kind_longest(const struct frames_options *o);
struct shape shape_make(unsigned int kind, const struct frames_options *o);

/* Writes the template of a flow to its place, index of those of the queue. */
void template_write(struct frames *f, uint32_t index, uint32_t flow, unsigned int kind,
	const struct frames_options *o);

/* frames_fragment.c. Returns 0, or -1: no memory. */
int frames_fragments_make(struct frames *f, uint32_t percent, uint64_t seed);
void frames_fragments_free(struct frames *f);

/* frames_build() for frames with fragments among them. */
void frames_fragments_build(
	struct frames *f, uint64_t first, struct rte_mbuf *const pkts[], unsigned int n);
