#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "marks.h"
#include "segment_name.h"
#include "wirespool/archive.h"

/*
 * How far behind a chunk the next one is looked for in a file that is not sealed: more than a writer has
 * under way, less than a preallocated tail on a file system that cannot tell its holes.
 */
#define LIST_HOLE_MAX_BYTES (UINT64_C(64) << 20)

static void read_end(struct block_reader *r, uint64_t run_hash, struct archive_segment *s)
{
	struct wirespool_end end;

	if (s->file_bytes < sizeof(end) || !end_at(r, s->file_bytes - sizeof(end), &end) ||
		end.run_hash != run_hash || end.segment != s->number)
		return;
	s->recovered = end.recovered != 0;
	s->pkts = end.pkts;
	s->captured_bytes = end.captured_bytes;
	s->wire_bytes = end.wire_bytes;
	s->first_ns = end.first_ns;
	s->last_ns = end.last_ns;
	s->missing_pkts = end.missing_pkts;
}

/* Marks do not hold sums of bytes: those stay 0 until the file is sealed. */
static void read_marks(struct block_reader *r, uint64_t run_hash, struct archive_segment *s)
{
	struct mark_wanted wanted = {.run_hash = run_hash, .segment = s->number};
	struct wirespool_chunk m;
	uint64_t off = 0;

	while (mark_find(r, &wanted, off, off + LIST_HOLE_MAX_BYTES, &off, &m)) {
		s->pkts += m.pkts;
		if (s->first_ns == 0)
			s->first_ns = m.first_ns;
		if (m.last_ns != 0)
			s->last_ns = m.last_ns;
		if (m.sequence == UINT32_MAX)
			break;
		wanted.sequence_min = m.sequence + 1;
		wanted.pkts_before_min = m.pkts_before + m.pkts;
		off += m.chunk_bytes;
	}
}

/* False: not a regular file. What cannot be read leaves s as its path made it. */
static bool read_segment(int dir_fd, struct archive_segment *s)
{
	const char *name = path_base(s->path);
	struct block_reader r;
	struct stat st;
	int fd;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT || s->sealed)
			return errno != ENOENT;
		/* Sealed since the folder was read: the new name may or may not be shown to us. */
		s->path[strlen(s->path) - strlen(".part")] = '\0';
		s->sealed = true;
		return read_segment(dir_fd, s);
	}
	if (!S_ISREG(st.st_mode))
		return false;
	s->file_bytes = (uint64_t)st.st_size;
	fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return true;
	if (block_reader_init(&r, fd, s->file_bytes, BLOCK_WINDOW_SMALL) == 0) {
		if (s->sealed)
			read_end(&r, run_id_hash(s->run), s);
		else
			read_marks(&r, run_id_hash(s->run), s);
		block_reader_done(&r);
	}
	close(fd);
	return true;
}

static int compare_segments(const void *a, const void *b)
{
	const struct archive_segment *x = a, *y = b;
	int order = strcmp(x->run, y->run);

	if (order != 0)
		return order;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return strcmp(x->path, y->path);
}

/* A file that was sealed while the folder was read may have been met under both names. */
static size_t drop_doubles(struct archive_segment *list, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		if (kept > 0 && strcmp(list[kept - 1].path, list[i].path) == 0)
			continue;
		if (kept != i)
			list[kept] = list[i];
		kept++;
	}
	return kept;
}

struct segment_list {
	struct archive_segment *list;
	size_t count;
	size_t room;
};

/* A new element, as yet not counted; NULL without memory. */
static struct archive_segment *list_next(struct segment_list *l)
{
	if (l->count == l->room) {
		size_t room = l->room == 0 ? 64 : l->room * 2;
		struct archive_segment *list = realloc(l->list, room * sizeof(*list));

		if (list == NULL)
			return NULL;
		l->list = list;
		l->room = room;
	}
	return &l->list[l->count];
}

static int read_directory(DIR *dir, const char *directory, struct segment_list *l)
{
	const char *slash = directory[strlen(directory) - 1] == '/' ? "" : "/";

	for (;;) {
		struct archive_segment *s = list_next(l);
		struct dirent *entry;
		int n;

		if (s == NULL)
			return -ENOMEM;
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			return -errno;
		if (!segment_parse_name(entry->d_name, s))
			continue;
		n = snprintf(s->path, sizeof(s->path), "%s%s%s", directory, slash, entry->d_name);
		if (n < 0 || (size_t)n >= sizeof(s->path))
			return -ENAMETOOLONG;
		if (read_segment(dirfd(dir), s))
			l->count++;
	}
}

int archive_list(const char *directory, struct archive_segment **ret_segments, size_t *ret_count,
	struct errbuf *err)
{
	struct segment_list l = {0};
	DIR *dir = opendir(directory);
	int r;

	if (dir == NULL)
		return fail_with(
			err, -errno, "cannot open folder '%s': %s", directory, strerror(errno));
	r = read_directory(dir, directory, &l);
	closedir(dir);
	if (r < 0) {
		free(l.list);
		return fail_with(err, r, "cannot read folder '%s': %s", directory, strerror(-r));
	}
	if (l.count > 0)
		qsort(l.list, l.count, sizeof(*l.list), compare_segments);
	l.count = drop_doubles(l.list, l.count);
	*ret_segments = l.list;
	*ret_count = l.count;
	return 0;
}
