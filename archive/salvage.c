#include "salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "marks.h"

int salvage_init(
	struct salvage *s, int fd, uint64_t file_bytes, uint64_t run_hash, uint32_t segment)
{
	*s = (struct salvage){.run_hash = run_hash, .segment = segment};
	return block_reader_init(&s->r, fd, file_bytes, BLOCK_WINDOW);
}

void salvage_done(struct salvage *s)
{
	block_reader_done(&s->r);
	free(s->interfaces.list);
	free(s->gaps);
}

static int add_gap(struct salvage *s, uint64_t off, uint64_t end)
{
	if (off == end)
		return 0;
	if (s->gap_count == s->gap_room) {
		size_t room = s->gap_room == 0 ? 16 : s->gap_room * 2;
		struct salvage_gap *gaps = realloc(s->gaps, room * sizeof(*gaps));

		if (gaps == NULL)
			return -ENOMEM;
		s->gaps = gaps;
		s->gap_room = room;
	}
	s->gaps[s->gap_count++] = (struct salvage_gap){.off = off, .end = end};
	return 0;
}

static bool is_our_order(struct salvage *s)
{
	const uint8_t *p = block_reader_bytes(&s->r, 0, 28);

	return p != NULL && block_u32(p, false) == PCAPNG_SECTION_HEADER &&
	       block_u32(p + 8, false) == PCAPNG_BYTE_ORDER_MAGIC && block_u16(p + 12, false) == 1;
}

/* Blocks of the header up to *ret_end; true when packets can follow: a section and an interface. */
static int scan_header(struct salvage *s, bool *ret_whole, uint64_t *ret_end)
{
	uint64_t off = 0;
	bool swapped = false;
	struct block b;

	*ret_whole = false;
	if (s->r.file_bytes < 28 || !is_our_order(s))
		return s->r.error;
	while (block_at(&s->r, off, UINT64_MAX, &swapped, &b) == NULL) {
		const uint8_t *p;

		if ((b.type == PCAPNG_SECTION_HEADER) != (off == 0) || block_is_packet(b.type) ||
			b.type == PCAPNG_STATISTICS)
			break;
		if (b.type == PCAPNG_WIRESPOOL) {
			p = block_reader_bytes(&s->r, off, BLOCK_MIN);
			if (p == NULL || block_u32(p + 8, false) != WIRESPOOL_PAD)
				break;
		} else if (b.type == PCAPNG_INTERFACE) {
			struct block_interface itf;
			int error;

			if (interface_decode(&s->r, &b, swapped, &itf) != NULL)
				break;
			error = interfaces_add(&s->interfaces, &itf);
			if (error != 0)
				return error;
		}
		off += b.length;
	}
	*ret_whole = s->interfaces.count > 0;
	*ret_end = off;
	return s->r.error;
}

static bool take_packet(struct salvage *s, const struct block *b)
{
	struct block_packet pkt;

	if (packet_decode(&s->r, b, false, &s->interfaces, &pkt) != NULL ||
		pkt.cap_len > pkt.wire_len)
		return false;
	if (s->totals.pkts == 0)
		s->totals.first_ns = pkt.time_ns;
	s->totals.last_ns = pkt.time_ns;
	s->totals.pkts++;
	s->totals.captured_bytes += pkt.cap_len;
	s->totals.wire_bytes += pkt.wire_len;
	return true;
}

static bool take_own(struct salvage *s, const struct block *b)
{
	const uint8_t *p = block_reader_bytes(&s->r, b->off, BLOCK_MIN);
	uint32_t kind = p == NULL ? 0 : block_u32(p + 8, false);

	if (kind == WIRESPOOL_PAD)
		return b->length >= WIRESPOOL_PAD_MIN;
	if (kind != WIRESPOOL_END || !end_at(&s->r, b->off, &s->end))
		return false;
	s->has_end = s->end.run_hash == s->run_hash && s->end.segment == s->segment;
	return s->has_end;
}

/* Is this block, whose frame is sound, one that a writer puts into a chunk? */
static bool take_block(struct salvage *s, const struct block *b)
{
	struct block_interface itf;

	switch (b->type) {
	case PCAPNG_PACKET:
		return take_packet(s, b);
	case PCAPNG_STATISTICS:
		return statistics_decode(&s->r, b, false, &s->interfaces) == NULL;
	case PCAPNG_WIRESPOOL:
		return take_own(s, b);
	case PCAPNG_INTERFACE:
		return interface_decode(&s->r, b, false, &itf) == NULL &&
		       interfaces_add(&s->interfaces, &itf) == 0;
	default:
		/* Whatever else a later version may put there: its two lengths agree. */
		return b->type != PCAPNG_SECTION_HEADER && !block_is_packet(b->type);
	}
}

/* Keeps the whole blocks of a chunk, from its mark on. */
static int scan_chunk(struct salvage *s, uint64_t off, const struct wirespool_chunk *m)
{
	uint64_t end = off + m->chunk_bytes;
	uint64_t pkts = s->totals.pkts;
	bool swapped = false;
	struct block b;

	off += sizeof(*m);
	s->undo_off = off;
	s->undo_totals = s->totals;
	while (off < end && !s->has_end && block_at(&s->r, off, end, &swapped, &b) == NULL) {
		struct salvage_totals before = s->totals;

		if (!take_block(s, &b))
			break;
		s->undo_off = off;
		s->undo_totals = before;
		off += b.length;
	}
	s->kept_end = off;
	s->next_sequence = (uint64_t)m->sequence + 1;
	s->missing_pkts += m->pkts_before - s->pkts_before;
	s->pkts_before = m->pkts_before + m->pkts;
	pkts = s->totals.pkts - pkts;
	if (pkts < m->pkts)
		s->missing_pkts += m->pkts - pkts;
	return s->r.error;
}

/*
 * The gap from the last whole block to end. Marks lie on multiples of 4096 and a torn block begins
 * anywhere, so 4, 8 or 12 bytes may be left, too few for a padding block.
 */
static int close_gap(struct salvage *s, uint64_t end)
{
	uint64_t gap = end - s->kept_end;

	if (gap > 0 && gap < WIRESPOOL_PAD_MIN) {
		s->missing_pkts += s->totals.pkts - s->undo_totals.pkts;
		s->totals = s->undo_totals;
		s->kept_end = s->undo_off;
	}
	s->hole_bytes += end - s->kept_end;
	return add_gap(s, s->kept_end, end);
}

static int scan_chunks(struct salvage *s)
{
	struct wirespool_chunk m;
	uint64_t off;
	int error;

	while (!s->has_end && s->next_sequence <= UINT32_MAX) {
		struct mark_wanted wanted = {
			.run_hash = s->run_hash,
			.segment = s->segment,
			.sequence_min = (uint32_t)s->next_sequence,
			.pkts_before_min = s->pkts_before,
		};

		if (!mark_find(&s->r, &wanted, s->kept_end, UINT64_MAX, &off, &m))
			break;
		error = close_gap(s, off);
		if (error == 0)
			error = scan_chunk(s, off, &m);
		if (error != 0)
			return error;
	}
	return s->r.error;
}

static bool is_zeros(struct salvage *s, uint64_t len)
{
	const uint8_t *p = block_reader_bytes(&s->r, 0, len);

	return len == 0 || (p != NULL && p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* A renamed file, or one of another disk: not one of its chunks is of the run that its name says. */
static bool has_foreign_chunks_only(struct salvage *s)
{
	struct mark_wanted any = {.of_any_run = true};
	struct wirespool_chunk m;
	uint64_t off;

	return s->next_sequence == 0 && mark_find(&s->r, &any, 0, UINT64_MAX, &off, &m);
}

/* No header that packets could follow: nothing to keep, unless there is more than a crash leaves. */
static int judge_headless(struct salvage *s, struct errbuf *err)
{
	struct mark_wanted wanted = {.run_hash = s->run_hash, .segment = s->segment};
	uint64_t len = s->r.file_bytes < PCAPNG_ALIGN ? s->r.file_bytes : PCAPNG_ALIGN;
	struct wirespool_chunk m;
	uint64_t off;

	if (!is_zeros(s, len) && !is_our_order(s)) {
		if (s->r.error != 0)
			return s->r.error;
		return fail_with(
			err, -EBADMSG, "it does not begin with a pcapng header; left as it is");
	}
	if (mark_find(&s->r, &wanted, 0, UINT64_MAX, &off, &m))
		return fail_with(err, -EBADMSG,
			"its header is lost, but there are chunks from offset %" PRIu64
			" on; left as it is",
			off);
	s->empty = true;
	return s->r.error;
}

/* The tail is a chunk of its own, so it begins where a chunk can. */
static int plan_tail(struct salvage *s, struct errbuf *err)
{
	int r = s->r.error;

	if (r == 0 && !s->has_end) {
		if (s->next_sequence > UINT32_MAX)
			return fail_with(
				err, -EBADMSG, "its chunks are numbered to the end; left as it is");
		s->tail_off = mark_align(0, s->kept_end);
		if (s->tail_off != s->kept_end && s->tail_off - s->kept_end < WIRESPOOL_PAD_MIN)
			s->tail_off += PCAPNG_ALIGN;
		r = add_gap(s, s->kept_end, s->tail_off);
	}
	return r < 0 ? fail_with(err, r, "%s", strerror(-r)) : 0;
}

int salvage_scan(struct salvage *s, struct errbuf *err)
{
	bool whole;
	int r;

	r = scan_header(s, &whole, &s->kept_end);
	if (r < 0)
		return fail_with(err, r, "%s", strerror(-r));
	if (!whole)
		return judge_headless(s, err);
	/* In a torn header the gap may be too small for padding; an interface is not given up. */
	if (mark_align(0, s->kept_end) - s->kept_end < WIRESPOOL_PAD_MIN &&
		mark_align(0, s->kept_end) != s->kept_end)
		return fail_with(err, -EBADMSG, "its header is damaged; left as it is");
	r = scan_chunks(s);
	if (r < 0)
		return fail_with(err, r, "%s", strerror(-r));
	if (has_foreign_chunks_only(s))
		return fail_with(err, -EBADMSG,
			"its chunks are of another run or segment than its name says; left as it "
			"is");
	return plan_tail(s, err);
}
