#include "blocks.h"

#include <byteswap.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"\"swapped\" means big-endian; Wirespool writes and runs little-endian");

int block_reader_init(struct block_reader *r, int fd, uint64_t file_bytes, size_t window_bytes)
{
	*r = (struct block_reader){
		.fd = fd, .file_bytes = file_bytes, .window_bytes = window_bytes};
	r->window = malloc(window_bytes);
	return r->window == NULL ? -ENOMEM : 0;
}

void block_reader_done(struct block_reader *r)
{
	free(r->window);
	r->window = NULL;
}

static bool reader_fill(struct block_reader *r, uint64_t off, size_t need)
{
	size_t got = 0;

	r->held_off = off;
	r->held_bytes = 0;
	while (got < need) {
		ssize_t n =
			pread(r->fd, r->window + got, r->window_bytes - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			/* The end, before file_bytes: someone has cut the file while it is read. */
			r->error = n < 0 ? -errno : -EIO;
			return false;
		}
		got += (size_t)n;
	}
	r->held_bytes = got;
	return true;
}

const uint8_t *block_reader_bytes(struct block_reader *r, uint64_t off, size_t len)
{
	if (r->error != 0 || off > r->file_bytes || len > r->file_bytes - off ||
		len > r->window_bytes)
		return NULL;
	if ((off < r->held_off || off + len > r->held_off + r->held_bytes) &&
		!reader_fill(r, off, len))
		return NULL;
	return r->window + (off - r->held_off);
}

uint16_t block_u16(const uint8_t *p, bool swapped)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return swapped ? bswap_16(v) : v;
}

uint32_t block_u32(const uint8_t *p, bool swapped)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return swapped ? bswap_32(v) : v;
}

uint64_t block_u64(const uint8_t *p, bool swapped)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return swapped ? bswap_64(v) : v;
}

static const char *section_order(struct block_reader *r, uint64_t off, bool *ret_swapped)
{
	const uint8_t *p = block_reader_bytes(r, off, 12);

	if (p == NULL)
		return "the section header is cut short";
	if (block_u32(p + 8, false) == PCAPNG_BYTE_ORDER_MAGIC)
		*ret_swapped = false;
	else if (block_u32(p + 8, true) == PCAPNG_BYTE_ORDER_MAGIC)
		*ret_swapped = true;
	else
		return "the section header's byte-order magic is not 1a2b3c4d";
	return NULL;
}

const char *block_at(
	struct block_reader *r, uint64_t off, uint64_t limit, bool *swapped, struct block *ret)
{
	struct block b = {.off = off};
	bool order = *swapped;
	const uint8_t *p;

	if (limit > r->file_bytes)
		limit = r->file_bytes;
	if (off > limit || limit - off < BLOCK_MIN)
		return "fewer bytes than a block's 12 are left";
	p = block_reader_bytes(r, off, 8);
	if (p == NULL)
		return "cannot be read";
	/* The type of a section header reads the same in both byte orders. */
	if (block_u32(p, false) == PCAPNG_SECTION_HEADER) {
		const char *rule = section_order(r, off, &order);

		if (rule != NULL)
			return rule;
		p = block_reader_bytes(r, off, 8);
		if (p == NULL)
			return "cannot be read";
	}
	b.type = block_u32(p, order);
	b.length = block_u32(p + 4, order);
	if (b.length < BLOCK_MIN)
		return "the block length is less than 12";
	if (b.length % 4 != 0)
		return "the block length is not a multiple of 4";
	if (b.length > limit - off)
		return "the block ends behind the bytes that are there for it";
	/* Fetched together with the block where the window holds it: its bytes come next. */
	p = block_reader_bytes(r, off, b.length);
	if (p != NULL)
		p += b.length - 4;
	else
		p = block_reader_bytes(r, off + b.length - 4, 4);
	if (p == NULL)
		return "cannot be read";
	if (block_u32(p, order) != b.length)
		return "the block's two lengths differ";
	*swapped = order;
	*ret = b;
	return NULL;
}

static uint64_t align4(uint64_t n)
{
	return (n + 3) & ~UINT64_C(3);
}

bool option_next(struct option_walk *walk, struct block_option *ret)
{
	struct block_option option;
	const uint8_t *p;

	if (walk->off >= walk->end || walk->broken != NULL)
		return false;
	p = walk->end - walk->off < 4 ? NULL : block_reader_bytes(walk->r, walk->off, 4);
	if (p == NULL) {
		walk->broken = "an option is cut short";
		return false;
	}
	option.code = block_u16(p, walk->swapped);
	option.length = block_u16(p + 2, walk->swapped);
	option.off = walk->off + 4;
	if (option.code == OPT_END) {
		if (option.length != 0)
			walk->broken = "the end of options has a length";
		walk->off = walk->end;
		return false;
	}
	if (align4(option.length) > walk->end - option.off) {
		walk->broken = "an option ends behind its block";
		return false;
	}
	walk->off = option.off + align4(option.length);
	*ret = option;
	return true;
}

static const uint8_t *option_value(
	struct option_walk *walk, const struct block_option *option, size_t len)
{
	const uint8_t *p =
		option->length == len ? block_reader_bytes(walk->r, option->off, len) : NULL;

	if (p == NULL)
		walk->broken = "an option of fixed length has another";
	return p;
}

bool option_u32(struct option_walk *walk, const struct block_option *option, uint32_t *ret)
{
	const uint8_t *p = option_value(walk, option, 4);

	if (p == NULL)
		return false;
	*ret = block_u32(p, walk->swapped);
	return true;
}

bool option_u64(struct option_walk *walk, const struct block_option *option, uint64_t *ret)
{
	const uint8_t *p = option_value(walk, option, 8);

	if (p == NULL)
		return false;
	*ret = block_u64(p, walk->swapped);
	return true;
}

static struct option_walk options_of(
	struct block_reader *r, const struct block *b, uint64_t off, bool swapped)
{
	return (struct option_walk){
		.r = r, .off = off, .end = b->off + b->length - 4, .swapped = swapped};
}

const char *interface_decode(
	struct block_reader *r, const struct block *b, bool swapped, struct block_interface *ret)
{
	enum { TSRESOL = 9, TSOFFSET = 14, HEAD = 16 };
	struct block_interface itf = {.off = b->off, .tsresol = 6};
	struct option_walk walk = options_of(r, b, b->off + HEAD, swapped);
	struct block_option option;
	const uint8_t *p = b->length < HEAD + 4 ? NULL : block_reader_bytes(r, b->off, HEAD);

	if (p == NULL)
		return "the interface description is too short";
	itf.linktype = block_u16(p + 8, swapped);
	itf.snaplen = block_u32(p + 12, swapped);
	while (option_next(&walk, &option)) {
		uint64_t offset;

		if (option.code == TSRESOL) {
			p = option_value(&walk, &option, 1);
			if (p != NULL)
				itf.tsresol = *p;
		} else if (option.code == TSOFFSET && option_u64(&walk, &option, &offset)) {
			itf.tsoffset_s = (int64_t)offset;
		}
	}
	if (walk.broken != NULL)
		return walk.broken;
	*ret = itf;
	return NULL;
}

uint64_t interface_time_ns(const struct block_interface *itf, uint64_t raw)
{
	const __int128 ns_per_s = 1000000000;
	unsigned int exponent = itf->tsresol & 0x7f;
	__int128 ns;

	if (itf->tsresol & 0x80) {
		ns = ((__int128)raw * ns_per_s) >> exponent;
	} else {
		ns = raw;
		for (; exponent < 9; exponent++)
			ns *= 10;
		for (; exponent > 9 && ns > 0; exponent--)
			ns /= 10;
	}
	ns += (__int128)itf->tsoffset_s * ns_per_s;
	if (ns < 0)
		return 0;
	return ns > (__int128)UINT64_MAX ? UINT64_MAX : (uint64_t)ns;
}

int interfaces_add(struct block_interfaces *all, const struct block_interface *itf)
{
	if (all->count == BLOCK_INTERFACES_MAX)
		return -E2BIG;
	if (all->count == all->room) {
		unsigned int room = all->room == 0 ? 8 : all->room * 2;
		struct block_interface *list = realloc(all->list, room * sizeof(*list));

		if (list == NULL)
			return -ENOMEM;
		all->list = list;
		all->room = room;
	}
	all->list[all->count++] = *itf;
	return 0;
}

/* A simple packet holds the first snaplen bytes of interface 0's packet, and no time. */
static const char *simple_packet_decode(struct block_reader *r, const struct block *b, bool swapped,
	const struct block_interfaces *all, struct block_packet *ret)
{
	struct block_packet pkt = {0};
	const uint8_t *p = b->length < 16 ? NULL : block_reader_bytes(r, b->off, 12);

	if (p == NULL)
		return "the packet block is too short";
	if (all->count == 0)
		return "the packet is of an interface that is not described";
	pkt.wire_len = block_u32(p + 8, swapped);
	pkt.cap_len = pkt.wire_len;
	if (all->list[0].snaplen != 0 && pkt.cap_len > all->list[0].snaplen)
		pkt.cap_len = all->list[0].snaplen;
	if (pkt.cap_len > b->length - 16)
		return "the captured bytes end behind their block";
	*ret = pkt;
	return NULL;
}

static const char *packet_options(struct block_reader *r, const struct block *b, uint64_t off,
	bool swapped, struct block_packet *pkt)
{
	struct option_walk walk = options_of(r, b, off, swapped);
	struct block_option option;
	uint32_t ignored;

	while (option_next(&walk, &option)) {
		bool enhanced = b->type == PCAPNG_PACKET;

		if (option.code == EPB_FLAGS || (enhanced && option.code == EPB_QUEUE))
			(void)option_u32(&walk, &option, &ignored);
		else if (enhanced && option.code == EPB_DROPCOUNT)
			(void)option_u64(&walk, &option, &pkt->dropcount_pkts);
	}
	return walk.broken;
}

const char *packet_decode(struct block_reader *r, const struct block *b, bool swapped,
	const struct block_interfaces *all, struct block_packet *ret)
{
	enum { HEAD = sizeof(struct pcapng_packet) };
	struct block_packet pkt = {.has_time = true};
	const uint8_t *p;
	uint64_t raw, body;

	if (b->type == PCAPNG_SIMPLE_PACKET)
		return simple_packet_decode(r, b, swapped, all, ret);
	p = b->length < HEAD + 4 ? NULL : block_reader_bytes(r, b->off, HEAD);
	if (p == NULL)
		return "the packet block is too short";
	if (b->type == PCAPNG_OLD_PACKET) {
		uint16_t drops = block_u16(p + 10, swapped);

		pkt.interface_id = block_u16(p + 8, swapped);
		pkt.dropcount_pkts = drops == UINT16_MAX ? 0 : drops;
	} else {
		pkt.interface_id = block_u32(p + 8, swapped);
	}
	raw = (uint64_t)block_u32(p + 12, swapped) << 32 | block_u32(p + 16, swapped);
	pkt.cap_len = block_u32(p + 20, swapped);
	pkt.wire_len = block_u32(p + 24, swapped);
	body = align4(pkt.cap_len);
	if (body > b->length - HEAD - 4)
		return "the captured bytes end behind their block";
	if (pkt.interface_id >= all->count)
		return "the packet is of an interface that is not described";
	pkt.time_ns = interface_time_ns(&all->list[pkt.interface_id], raw);
	if (body != b->length - HEAD - 4) {
		const char *rule = packet_options(r, b, b->off + HEAD + body, swapped, &pkt);

		if (rule != NULL)
			return rule;
	}
	*ret = pkt;
	return NULL;
}

static const char *statistics_options(
	struct block_reader *r, const struct block *b, bool swapped, struct block_interface *itf)
{
	struct option_walk walk = options_of(r, b, b->off + 20, swapped);
	struct block_option option;

	while (option_next(&walk, &option)) {
		uint64_t value;

		if (option.code < ISB_STARTTIME || option.code > ISB_USRDELIV)
			continue;
		if (!option_u64(&walk, &option, &value))
			break;
		/* Times are stored as the blocks store theirs: upper half first. */
		if (option.code == ISB_STARTTIME || option.code == ISB_ENDTIME) {
			value = swapped ? value : value >> 32 | value << 32;
			if (option.code == ISB_STARTTIME) {
				itf->has_starttime = true;
				itf->starttime = value;
			} else {
				itf->has_endtime = true;
				itf->endtime = value;
			}
			continue;
		}
		itf->counters[option.code - ISB_IFRECV] = value;
		itf->has_counter |= 1U << (option.code - ISB_IFRECV);
	}
	return walk.broken;
}

const char *statistics_decode(
	struct block_reader *r, const struct block *b, bool swapped, struct block_interfaces *all)
{
	const uint8_t *p = b->length < 24 ? NULL : block_reader_bytes(r, b->off, 20);
	struct block_interface itf;
	const char *rule;
	uint32_t id;

	if (p == NULL)
		return "the statistics block is too short";
	id = block_u32(p + 8, swapped);
	if (id >= all->count)
		return "the statistics are of an interface that is not described";
	itf = all->list[id];
	itf.statistics_time =
		(uint64_t)block_u32(p + 12, swapped) << 32 | block_u32(p + 16, swapped);
	itf.has_counter = 0;
	memset(itf.counters, 0, sizeof(itf.counters));
	itf.has_starttime = false;
	itf.has_endtime = false;
	itf.has_statistics = true;
	rule = statistics_options(r, b, swapped, &itf);
	if (rule != NULL)
		return rule;
	all->list[id] = itf;
	return NULL;
}
