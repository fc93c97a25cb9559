/*
 * Recovery writes in an order that may stop anywhere and be begun again:
 *
 *   padding over the gaps -> tail -> truncate -> fsync -> rename -> fsync of the folder
 *
 * Until the rename the file is a .part, and whatever part of the writes is on the disk, scanning
 * it again finds the same packets: no mark and no packet is ever changed.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "salvage.h"
#include "segment_name.h"
#include "wirespool/archive.h"

/* libpcap refuses blocks over 16 MiB. */
enum { PADDING_BYTES_MAX = 1 << 20, LOCKED_STEP_MS = 20 };

/* A statistics block of the tail: 24 bytes, a comment, two times, five counters, end of options. */
enum { COMMENT_MAX = 160, STATISTICS_MAX = 24 + 4 + COMMENT_MAX + 7 * 12 + 4 };

static int write_all(int fd, const uint8_t *bytes, size_t len, uint64_t off)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		bytes += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

/* Bytes of the file at off; behind its end they are the zeros that they will be. */
static int read_padded(int fd, uint8_t *bytes, size_t len, uint64_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, bytes + got, len - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	memset(bytes + got, 0, len - got);
	return 0;
}

/*
 * One padding block. Where its body is zeros already, which is how a hole is found, only its ends are
 * written: on a full disk there may be no room for more.
 */
static int write_padding(int fd, uint8_t *bytes, uint32_t len, uint64_t off)
{
	const uint32_t head[3] = {PCAPNG_WIRESPOOL, len, WIRESPOOL_PAD};
	int r = read_padded(fd, bytes, len, off);

	if (r < 0)
		return r;
	if (len > WIRESPOOL_PAD_MIN &&
		(bytes[12] != 0 || memcmp(bytes + 12, bytes + 13, len - 17) != 0)) {
		memset(bytes, 0, len);
		r = write_all(fd, bytes, len, off);
		if (r < 0)
			return r;
	}
	r = write_all(fd, (const uint8_t *)&len, sizeof(len), off + len - sizeof(len));
	return r < 0 ? r : write_all(fd, (const uint8_t *)head, sizeof(head), off);
}

static int fill_gaps(const struct salvage *s)
{
	uint8_t *bytes = s->gap_count == 0 ? NULL : malloc(PADDING_BYTES_MAX);
	int r = 0;

	if (s->gap_count > 0 && bytes == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->gap_count && r == 0; i++) {
		uint64_t off = s->gaps[i].off;

		while (off < s->gaps[i].end && r == 0) {
			uint64_t left = s->gaps[i].end - off;
			uint64_t len = left < PADDING_BYTES_MAX ? left : PADDING_BYTES_MAX;

			if (left != len && left - len < WIRESPOOL_PAD_MIN)
				len -= WIRESPOOL_PAD_MIN;
			r = write_padding(s->r.fd, bytes, (uint32_t)len, off);
			off += len;
		}
	}
	free(bytes);
	return r;
}

struct tail {
	uint8_t *bytes;
	size_t len;
};

static void put(struct tail *t, const void *bytes, size_t len)
{
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

static void put_u32(struct tail *t, uint32_t v)
{
	put(t, &v, sizeof(v));
}

static void put_option(struct tail *t, uint16_t code, const void *value, uint16_t len)
{
	static const uint8_t zeros[4];

	put(t, &code, sizeof(code));
	put(t, &len, sizeof(len));
	put(t, value, len);
	put(t, zeros, (size_t)(-len & 3));
}

static void put_time_option(struct tail *t, uint16_t code, uint64_t time)
{
	const uint32_t halves[2] = {(uint32_t)(time >> 32), (uint32_t)time};

	put_option(t, code, halves, sizeof(halves));
}

/* The counters that the last statistics block before the interruption knew. */
static void put_statistics(struct tail *t, const struct salvage *s, uint32_t id)
{
	const struct block_interface *itf = &s->interfaces.list[id];
	uint64_t time = itf->statistics_time;
	size_t begin = t->len;
	char comment[COMMENT_MAX];
	uint32_t length;
	int n;

	if (itf->tsresol == 9 && time < s->totals.last_ns)
		time = s->totals.last_ns;
	n = snprintf(comment, sizeof(comment),
		"recovered after an interruption: %s; missing between chunks: %" PRIu64 " packets",
		itf->has_counter ? "counters of the last statistics before it"
				 : "counters are lost",
		s->missing_pkts);
	put_u32(t, PCAPNG_STATISTICS);
	put_u32(t, 0);
	put_u32(t, id);
	put_u32(t, (uint32_t)(time >> 32));
	put_u32(t, (uint32_t)time);
	put_option(t, OPT_COMMENT, comment, (uint16_t)n);
	if (itf->has_starttime)
		put_time_option(t, ISB_STARTTIME, itf->starttime);
	if (itf->has_endtime)
		put_time_option(t, ISB_ENDTIME, itf->endtime);
	for (unsigned int i = 0; i < ISB_COUNTERS; i++) {
		if (itf->has_counter & (1U << i))
			put_option(t, (uint16_t)(ISB_IFRECV + i), &itf->counters[i],
				sizeof(itf->counters[i]));
	}
	put_u32(t, OPT_END);
	length = (uint32_t)(t->len - begin + 4);
	put_u32(t, length);
	memcpy(t->bytes + begin + 4, &length, sizeof(length));
}

static struct wirespool_end make_end(const struct salvage *s)
{
	return (struct wirespool_end){
		.type = PCAPNG_WIRESPOOL,
		.length = sizeof(struct wirespool_end),
		.kind = WIRESPOOL_END,
		.segment = s->segment,
		.run_hash = s->run_hash,
		.pkts = s->totals.pkts,
		.captured_bytes = s->totals.captured_bytes,
		.wire_bytes = s->totals.wire_bytes,
		.first_ns = s->totals.first_ns,
		.last_ns = s->totals.last_ns,
		.missing_pkts = s->missing_pkts,
		.recovered = 1,
		.length_again = sizeof(struct wirespool_end),
	};
}

/* The tail is a chunk as all others are: mark, statistics, end block. */
static int write_tail(const struct salvage *s, uint64_t *ret_end)
{
	struct wirespool_end end = make_end(s);
	struct wirespool_chunk mark = {
		.type = PCAPNG_WIRESPOOL,
		.length = sizeof(mark),
		.kind = WIRESPOOL_CHUNK,
		.run_hash = s->run_hash,
		.segment = s->segment,
		.sequence = (uint32_t)s->next_sequence,
		.pkts_before = s->pkts_before,
		.length_again = sizeof(mark),
	};
	struct tail t = {.bytes = malloc(sizeof(mark) + sizeof(end) +
					 (size_t)s->interfaces.count * STATISTICS_MAX)};
	int r;

	if (t.bytes == NULL)
		return -ENOMEM;
	put(&t, &mark, sizeof(mark));
	for (uint32_t i = 0; i < s->interfaces.count; i++)
		put_statistics(&t, s, i);
	put(&t, &end, sizeof(end));
	mark.chunk_bytes = (uint32_t)t.len;
	memcpy(t.bytes, &mark, sizeof(mark));
	r = write_all(s->r.fd, t.bytes, t.len, s->tail_off);
	*ret_end = s->tail_off + t.len;
	free(t.bytes);
	return r;
}

/*
 * The file has an end block: the writer's, or ours of a recovery that did not come to its end. It stays
 * as it is when it tells the truth; a chunk that never reached the disk makes it wrong.
 */
static int correct_end(const struct salvage *s, uint64_t *ret_end)
{
	struct wirespool_end end = make_end(s);

	*ret_end = s->kept_end;
	end.recovered = s->missing_pkts == 0 && s->gap_count == 0 ? s->end.recovered : 1;
	if (memcmp(&end, &s->end, sizeof(end)) == 0)
		return 0;
	end.recovered = 1;
	return write_all(s->r.fd, (const uint8_t *)&end, sizeof(end), s->kept_end - sizeof(end));
}

static int write_plan(const struct salvage *s)
{
	uint64_t end = 0;
	int r;

	r = fill_gaps(s);
	if (r == 0)
		r = s->has_end ? correct_end(s, &end) : write_tail(s, &end);
	if (r < 0)
		return r;
	if (ftruncate(s->r.fd, (off_t)end) < 0 || fsync(s->r.fd) < 0)
		return -errno;
	return 0;
}

static int sync_folder_of(const char *path)
{
	const char *base = path_base(path);
	char folder[4096] = ".";
	int fd, r = 0;

	if (base != path)
		(void)snprintf(folder, sizeof(folder), "%.*s", (int)(base - path), path);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		r = -errno;
	close(fd);
	return r;
}

/* Never onto a file that is there: it may be the only copy of other packets. */
static int rename_sealed(const char *path, const char *sealed_path)
{
	if (renameat2(AT_FDCWD, path, AT_FDCWD, sealed_path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	/* A file system without RENAME_NOREPLACE: a hard link replaces nothing either. */
	if (link(path, sealed_path) < 0 || unlink(path) < 0)
		return -errno;
	return 0;
}

/* Opens and locks; -EBUSY while a writer, or another recovery, has it. */
static int open_part(const char *path, int *ret_fd, uint64_t *ret_bytes, struct errbuf *err)
{
	struct stat st, now;
	int r, fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return fail_with(err, -errno, "%s", strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		r = fail_with(err, -EINVAL, "it is not a regular file");
		goto close_file;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = fail_with(err, errno == EWOULDBLOCK ? -EBUSY : -errno, "%s",
			errno == EWOULDBLOCK ? "a writer has it open" : strerror(errno));
		goto close_file;
	}
	/* Its writer may have sealed it between our open and our lock. */
	if (fstat(fd, &st) < 0 || lstat(path, &now) < 0 || st.st_ino != now.st_ino ||
		st.st_dev != now.st_dev) {
		r = fail_with(err, -ENOENT, "it was sealed or removed just now");
		goto close_file;
	}
	*ret_fd = fd;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
close_file:
	close(fd);
	return r;
}

static int seal(
	const char *path, struct salvage *s, struct recover_report *report, struct errbuf *err)
{
	struct stat st;
	int r;

	if (lstat(report->sealed_path, &st) == 0)
		return fail_with(err, -EEXIST, "'%s' is there already", report->sealed_path);
	r = salvage_scan(s, err);
	if (r < 0)
		return r;
	report->removed = s->empty;
	if (s->empty) {
		report->cut_bytes = s->r.file_bytes;
		report->sealed_path[0] = '\0';
		r = unlink(path) < 0 ? -errno : 0;
	} else {
		report->pkts = s->totals.pkts;
		report->missing_pkts = s->missing_pkts;
		report->hole_bytes = s->hole_bytes;
		if (s->r.file_bytes > s->kept_end)
			report->cut_bytes = s->r.file_bytes - s->kept_end;
		r = write_plan(s);
		if (r == 0)
			r = rename_sealed(path, report->sealed_path);
	}
	if (r == 0)
		r = sync_folder_of(path);
	return r < 0 ? fail_with(err, r, "%s", strerror(-r)) : 0;
}

int archive_recover(const char *path, struct recover_report *ret_report, struct errbuf *err)
{
	struct recover_report report = {0};
	struct archive_segment name;
	struct salvage s;
	struct errbuf why = {0};
	size_t len = strlen(path);
	uint64_t file_bytes = 0;
	int fd = -1, r;

	if (!segment_parse_name(path_base(path), &name) || name.sealed)
		return fail_with(err, -EINVAL,
			"cannot recover '%s': its name is not RECORDING-START-NUMBER.pcapng.part",
			path);
	if (len >= sizeof(report.sealed_path))
		return fail_with(err, -ENAMETOOLONG, "cannot recover '%s': path too long", path);
	memcpy(report.sealed_path, path, len - strlen(".part"));
	r = open_part(path, &fd, &file_bytes, &why);
	if (r < 0)
		goto say_why;
	r = salvage_init(&s, fd, file_bytes, run_id_hash(name.run), name.number);
	if (r < 0)
		(void)fail_with(&why, r, "%s", strerror(-r));
	else
		r = seal(path, &s, &report, &why);
	salvage_done(&s);
	close(fd);
say_why:
	if (r < 0)
		return fail_with(err, r, "cannot recover '%s': %s", path, why.text);
	*ret_report = report;
	return 0;
}

int archive_recover_within(
	const char *path, int *wait_ms, struct recover_report *ret_report, struct errbuf *err)
{
	int r = archive_recover(path, ret_report, err);

	for (; r == -EBUSY && *wait_ms > 0; *wait_ms -= LOCKED_STEP_MS) {
		(void)poll(NULL, 0, LOCKED_STEP_MS);
		r = archive_recover(path, ret_report, err);
	}
	return r;
}
