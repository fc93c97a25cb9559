#include "chunk_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "marks.h"

#define FAULT(c, off, ...) ((c)->fault((c)->arg, (off), __VA_ARGS__))

void chunk_rules_begin(struct chunk_rules *c, uint64_t section_off)
{
	*c = (struct chunk_rules){
		.fault = c->fault,
		.arg = c->arg,
		.named = c->named,
		.identified = c->named,
		.run_hash = c->named ? c->run_hash : 0,
		.segment = c->named ? c->segment : 0,
		.base_off = section_off,
	};
}

static void note_hole(struct chunk_rules *c, uint64_t off, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void note_hole(struct chunk_rules *c, uint64_t off, const char *format, ...)
{
	va_list args;

	if (c->has_hole)
		return;
	c->has_hole = true;
	c->hole_off = off;
	va_start(args, format);
	(void)vsnprintf(c->hole_text, sizeof(c->hole_text), format, args);
	va_end(args);
}

/* The open chunk's packets are all read: they are what its mark says. */
static void close_chunk(struct chunk_rules *c, uint64_t off)
{
	const struct wirespool_chunk *m = &c->mark;
	uint64_t end = c->mark_off + m->chunk_bytes;

	c->open = false;
	if (off < end)
		note_hole(c, off, "the chunk at %" PRIu64 " says it ends at %" PRIu64, c->mark_off,
			end);
	if (c->chunk_pkts > m->pkts) {
		FAULT(c, c->mark_off,
			"the chunk mark says %" PRIu32 " packets, the chunk has %" PRIu64, m->pkts,
			c->chunk_pkts);
		return;
	}
	if (c->chunk_pkts < m->pkts) {
		c->missing_pkts += m->pkts - c->chunk_pkts;
		note_hole(c, c->mark_off,
			"the chunk mark says %" PRIu32 " packets, the chunk has %" PRIu64, m->pkts,
			c->chunk_pkts);
	}
	if (c->chunk_pkts > 0 && c->chunk_first_ns != m->first_ns)
		FAULT(c, c->mark_off, "the chunk mark's first time is not its first packet's");
	if (c->chunk_pkts == m->pkts && c->chunk_pkts > 0 && c->chunk_last_ns != m->last_ns)
		FAULT(c, c->mark_off, "the chunk mark's last time is not its last packet's");
	if (m->pkts == 0 && (m->first_ns != 0 || m->last_ns != 0))
		FAULT(c, c->mark_off, "the chunk mark has times but no packets");
}

void chunk_rules_block(struct chunk_rules *c, const struct block *b)
{
	uint64_t end = c->mark_off + c->mark.chunk_bytes;

	if (c->has_end && c->end_off + sizeof(c->end) == b->off)
		FAULT(c, b->off, "a block follows the end block");
	if (!c->open)
		return;
	if (b->off >= end)
		close_chunk(c, b->off);
	else if (b->off + b->length > end)
		note_hole(
			c, b->off, "the block ends behind its chunk, which ends at %" PRIu64, end);
}

void chunk_rules_packet(
	struct chunk_rules *c, const struct block *b, const struct block_packet *pkt)
{
	if (!c->open)
		FAULT(c, b->off, "the packet is in no chunk");
	if (pkt->time_ns < c->last_ns)
		FAULT(c, b->off, "the time goes back by %" PRIu64 " ns from the packet before",
			c->last_ns - pkt->time_ns);
	if (c->pkts == 0)
		c->first_ns = pkt->time_ns;
	if (c->chunk_pkts == 0)
		c->chunk_first_ns = pkt->time_ns;
	c->last_ns = pkt->time_ns;
	c->chunk_last_ns = pkt->time_ns;
	c->pkts++;
	c->chunk_pkts++;
	c->captured_bytes += pkt->cap_len;
	c->wire_bytes += pkt->wire_len;
}

static void check_identity(struct chunk_rules *c, uint64_t off, uint64_t run_hash, uint32_t segment)
{
	if (!c->identified) {
		c->identified = true;
		c->run_hash = run_hash;
		c->segment = segment;
		return;
	}
	if (run_hash != c->run_hash)
		FAULT(c, off, "it is of another run than %s",
			c->named ? "the file's name says" : "the first chunk");
	if (segment != c->segment)
		FAULT(c, off, "it is of segment %" PRIu32 ", not %" PRIu32, segment, c->segment);
}

static void chunk_begins(
	struct chunk_rules *c, const struct block *b, const struct wirespool_chunk *m)
{
	if (c->open)
		close_chunk(c, b->off);
	if ((b->off - c->base_off) % PCAPNG_ALIGN != 0)
		FAULT(c, b->off, "the chunk does not begin on a multiple of %d", PCAPNG_ALIGN);
	check_identity(c, b->off, m->run_hash, m->segment);
	if (m->sequence < c->next_sequence)
		FAULT(c, b->off, "the chunk's sequence is %" PRIu32 ", not %" PRIu64, m->sequence,
			c->next_sequence);
	else if (m->sequence > c->next_sequence)
		note_hole(c, b->off, "the chunk's sequence is %" PRIu32 ", not %" PRIu64,
			m->sequence, c->next_sequence);
	if (m->pkts_before < c->pkts_before) {
		FAULT(c, b->off, "the chunk mark says %" PRIu64 " packets before it, not %" PRIu64,
			m->pkts_before, c->pkts_before);
	} else if (m->pkts_before > c->pkts_before) {
		c->missing_pkts += m->pkts_before - c->pkts_before;
		note_hole(c, b->off,
			"the chunk mark says %" PRIu64 " packets before it, not %" PRIu64,
			m->pkts_before, c->pkts_before);
	}
	if (m->reserved != 0 || m->reserved2 != 0)
		FAULT(c, b->off, "reserved fields of the chunk mark are not 0");
	c->next_sequence = (uint64_t)m->sequence + 1;
	c->pkts_before = m->pkts_before + m->pkts;
	c->mark = *m;
	c->mark_off = b->off;
	c->chunk_pkts = 0;
	c->open = true;
}

static void check_padding(struct chunk_rules *c, struct block_reader *r, const struct block *b)
{
	enum { HEAD = 12, SLICE = 4096 };
	uint64_t off = b->off + HEAD;
	uint64_t end = b->off + b->length - 4;

	/* Before the first chunk it fills the header; later, outside a chunk, a hole. */
	if (!c->open && c->next_sequence != 0)
		note_hole(c, b->off, "padding between chunks");
	while (off < end) {
		size_t n = end - off < SLICE ? (size_t)(end - off) : SLICE;
		const uint8_t *p = block_reader_bytes(r, off, n);

		if (p == NULL)
			return;
		if (p[0] != 0 || memcmp(p, p + 1, n - 1) != 0) {
			FAULT(c, b->off, "the padding is not zeros");
			return;
		}
		off += n;
	}
}

static void section_ends(
	struct chunk_rules *c, const struct block *b, const struct wirespool_end *e)
{
	if (c->has_end)
		FAULT(c, b->off, "there is more than one end block");
	if (!c->open)
		FAULT(c, b->off, "the end block is in no chunk");
	else if (c->mark_off + c->mark.chunk_bytes != b->off + b->length)
		FAULT(c, b->off,
			"the last chunk says it ends at %" PRIu64 ", not with the end block",
			c->mark_off + c->mark.chunk_bytes);
	if (c->open)
		close_chunk(c, c->mark_off + c->mark.chunk_bytes);
	check_identity(c, b->off, e->run_hash, e->segment);
	c->has_end = true;
	c->end_off = b->off;
	c->end = *e;
}

void chunk_rules_own(struct chunk_rules *c, struct block_reader *r, const struct block *b)
{
	const uint8_t *p = b->length < WIRESPOOL_PAD_MIN
				   ? NULL
				   : block_reader_bytes(r, b->off, WIRESPOOL_PAD_MIN);
	struct wirespool_chunk m;
	struct wirespool_end e;

	if (p == NULL) {
		FAULT(c, b->off, "the block of Wirespool's own is too short");
		return;
	}
	switch (block_u32(p + 8, false)) {
	case WIRESPOOL_CHUNK:
		p = b->length == sizeof(m) ? block_reader_bytes(r, b->off, sizeof(m)) : NULL;
		if (p == NULL || !mark_decode(p, &m))
			FAULT(c, b->off, "the chunk mark is malformed");
		else
			chunk_begins(c, b, &m);
		break;
	case WIRESPOOL_PAD:
		check_padding(c, r, b);
		break;
	case WIRESPOOL_END:
		if (end_at(r, b->off, &e))
			section_ends(c, b, &e);
		else
			FAULT(c, b->off, "the end block is malformed");
		break;
	default:
		FAULT(c, b->off, "the block of Wirespool's own is of an unknown kind");
	}
}

static void check_total(struct chunk_rules *c, const char *what, uint64_t said, uint64_t found)
{
	if (said != found)
		FAULT(c, c->end_off, "the end block says %s %" PRIu64 ", the file has %" PRIu64,
			what, said, found);
}

void chunk_rules_finish(struct chunk_rules *c, uint64_t off, bool part)
{
	if (c->open)
		close_chunk(c, off);
	if (c->has_hole && (!c->has_end || c->end.recovered == 0))
		FAULT(c, c->hole_off, "%s", c->hole_text);
	if (!c->has_end) {
		if (!part)
			FAULT(c, off, "there is no end block: the file was never sealed");
		return;
	}
	check_total(c, "packets", c->end.pkts, c->pkts);
	check_total(c, "captured bytes", c->end.captured_bytes, c->captured_bytes);
	check_total(c, "wire bytes", c->end.wire_bytes, c->wire_bytes);
	check_total(c, "first time", c->end.first_ns, c->first_ns);
	check_total(c, "last time", c->end.last_ns, c->last_ns);
	check_total(c, "missing packets", c->end.missing_pkts, c->missing_pkts);
	if (c->end.recovered > 1)
		FAULT(c, c->end_off, "the end block's recovered is neither 0 nor 1");
}
