#include "marks.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool mark_decode(const uint8_t bytes[sizeof(struct wirespool_chunk)], struct wirespool_chunk *ret)
{
	struct wirespool_chunk m;

	memcpy(&m, bytes, sizeof(m));
	if (m.type != PCAPNG_WIRESPOOL || m.kind != WIRESPOOL_CHUNK || m.length != sizeof(m) ||
		m.length_again != sizeof(m))
		return false;
	if (m.chunk_bytes % 4 != 0 || m.chunk_bytes < sizeof(m) ||
		m.pkts_before > UINT64_MAX - m.pkts)
		return false;
	*ret = m;
	return true;
}

static bool mark_is_wanted(const struct wirespool_chunk *m, const struct mark_wanted *wanted)
{
	if (!wanted->of_any_run &&
		(m->run_hash != wanted->run_hash || m->segment != wanted->segment))
		return false;
	return m->sequence >= wanted->sequence_min && m->pkts_before >= wanted->pkts_before_min;
}

/* Where data goes on at off or behind; off itself where the file system cannot tell. */
static uint64_t skip_hole(const struct block_reader *r, uint64_t off)
{
	off_t data = lseek(r->fd, (off_t)off, SEEK_DATA);

	if (data >= 0)
		return (uint64_t)data;
	return errno == ENXIO ? r->file_bytes : off;
}

bool mark_find(struct block_reader *r, const struct mark_wanted *wanted, uint64_t from,
	uint64_t until, uint64_t *ret_off, struct wirespool_chunk *ret)
{
	enum { HOLE_STEP = 64 * PCAPNG_ALIGN };
	uint64_t off = mark_align(wanted->base_off, from);
	uint64_t hole_asked = 0;

	if (until > r->file_bytes)
		until = r->file_bytes;
	while (off < until && until - off >= sizeof(*ret)) {
		const uint8_t *p = block_reader_bytes(r, off, sizeof(*ret));
		struct wirespool_chunk m;

		if (p == NULL)
			return false;
		if (mark_decode(p, &m) && mark_is_wanted(&m, wanted)) {
			*ret_off = off;
			*ret = m;
			return true;
		}
		off += PCAPNG_ALIGN;
		/* A preallocated tail may be gigabytes of zeros that nobody needs to read. */
		if (block_u32(p, false) == 0 && off >= hole_asked) {
			off = mark_align(wanted->base_off,
				skip_hole(r, off) & ~(uint64_t)(PCAPNG_ALIGN - 1));
			hole_asked = off + HOLE_STEP;
		}
	}
	return false;
}

bool end_at(struct block_reader *r, uint64_t off, struct wirespool_end *ret)
{
	struct wirespool_end e;
	const uint8_t *p = block_reader_bytes(r, off, sizeof(e));

	if (p == NULL)
		return false;
	memcpy(&e, p, sizeof(e));
	if (e.type != PCAPNG_WIRESPOOL || e.kind != WIRESPOOL_END || e.length != sizeof(e) ||
		e.length_again != sizeof(e))
		return false;
	*ret = e;
	return true;
}
