#include "stripe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "run.h"
#include "wirespool/log.h"
#include "wirespool/pcapng.h"

enum {
	FILE_MODE = 0640,
	LOOK_MS = 1000,   /* how often a keeper syncs its files and looks at its free space */
	QUIT_SECONDS = 5, /* how long a hung disk holds up the end of the process */
	PREALLOCATE_MAX = 1 << 30,
	PREALLOCATE_SHARE = 16,
};

/* A stripe that was full is taken back when this much is free again. */
static const uint64_t REVIVE_BYTES = 1ULL << 30;

struct request {
	struct segment *segment;
	uint64_t what; /* enum keeper_request */
};

static struct stripe *all_stripes;
static struct stripe *left_to_disks; /* until the process ends */

bool stripe_is_null(const char *path)
{
	return strcmp(path, "null:") == 0;
}

void segment_name(const struct segment *s, bool sealed, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s-%05u.pcapng%s", s->run->id, s->number, sealed ? "" : ".part");
}

void stripe_fail(struct stripe *s, int error)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&s->error, &none, error))
		log_error("stripe '%s': %s; it is out of the set", s->path, strerror(-error));
}

bool stripe_ask(struct segment *s, enum keeper_request request)
{
	struct request r = {.segment = s, .what = request};
	int before = atomic_load_explicit(&s->state, memory_order_relaxed);

	/* The state first: once written, the keeper may change it at any time. A message is smaller than
	 * PIPE_BUF: all of it goes in or none. */
	atomic_store_explicit(&s->state, request == KEEPER_OPEN ? SEGMENT_OPENING : SEGMENT_SEALING,
		memory_order_release);
	if (write(s->stripe->requests[1], &r, sizeof(r)) == sizeof(r))
		return true;
	atomic_store_explicit(&s->state, before, memory_order_release);
	return false;
}

static int write_header(int fd, const struct run_face *face)
{
	size_t done = 0;

	while (done < face->header_bytes) {
		ssize_t n = pwrite(fd, face->header + done, face->header_bytes - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

/*
 * Space is taken in one piece before it is needed, and the file's size with it: writes that make a
 * file longer are put off to a kernel thread one by one. A file system that cannot is no failure. Never more than a
 * share of what is free: others begin before this one ends, and what ext4 cannot give as a whole it gives in part.
 */
static void preallocate(int fd, const struct run *run)
{
	uint64_t bytes = run->rotate_bytes, share = 0;
	struct statvfs v;

	if (fstatvfs(fd, &v) == 0)
		share = (uint64_t)v.f_bavail / PREALLOCATE_SHARE * v.f_frsize;
	if (bytes == 0 || bytes > PREALLOCATE_MAX)
		bytes = PREALLOCATE_MAX;
	if (bytes > share)
		bytes = share;
	(void)fallocate(fd, 0, 0, (off_t)bytes);
}

static int open_file(struct stripe *st, const char *name, bool direct)
{
	int flags = O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | (direct ? O_DIRECT : 0);
	int fd = openat(st->dir_fd, name, flags, FILE_MODE);

	return fd < 0 ? -errno : fd;
}

static bool no_direct(int error)
{
	return error == -EINVAL || error == -EOPNOTSUPP;
}

static int open_with_header(struct stripe *st, struct segment *s, const char *name, bool direct)
{
	int fd = open_file(st, name, direct);
	int r;

	if (fd < 0)
		return fd;
	(void)flock(fd, LOCK_EX | LOCK_NB);
	preallocate(fd, s->run);
	r = write_header(fd, s->face);
	if (r == 0)
		return fd;
	(void)close(fd);
	(void)unlinkat(st->dir_fd, name, 0);
	return r;
}

static void keep_open(struct stripe *st, struct segment *s)
{
	bool direct = atomic_load(&st->direct);
	char name[NAME_MAX + 1];
	int fd;

	segment_name(s, false, name, sizeof(name));
	fd = open_with_header(st, s, name, direct);
	if (direct && no_direct(fd)) {
		(void)unlinkat(st->dir_fd, name, 0);
		fd = open_with_header(st, s, name, false);
		if (fd >= 0) {
			atomic_store(&st->direct, false);
			log_warn("stripe '%s': its file system has no O_DIRECT; writes go through "
				 "the page cache",
				st->path);
		}
	}
	if (fd < 0) {
		s->error = fd;
		stripe_fail(st, fd);
		atomic_store_explicit(&s->state, SEGMENT_FAILED, memory_order_release);
		return;
	}
	s->fd = fd;
	s->next_open = st->open;
	st->open = s;
	atomic_store_explicit(&s->state, SEGMENT_OPEN, memory_order_release);
}

static int seal_file(struct stripe *st, struct segment *s)
{
	char part[NAME_MAX + 1], name[NAME_MAX + 1];

	if (s->sync_error != 0)
		return s->sync_error;
	if (ftruncate(s->fd, (off_t)s->file_bytes) < 0 || fsync(s->fd) < 0)
		return -errno;
	segment_name(s, false, part, sizeof(part));
	segment_name(s, true, name, sizeof(name));
	if (renameat(st->dir_fd, part, st->dir_fd, name) < 0)
		return -errno;
	/* The new name itself is on disk once its directory is. */
	if (fsync(st->dir_fd) < 0)
		return -errno;
	return 0;
}

/*
 * A write that failed may have brought part of its chunk to disk, and the chunk is on another
 * stripe now: without its mark, recovery does not find it a second time.
 */
static void wipe_marks(const struct segment *s)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	for (unsigned int i = 0; i < s->void_count; i++)
		if (fallocate(s->fd, punch, (off_t)s->void_offs[i], PCAPNG_ALIGN) < 0)
			log_warn("stripe '%s': segment %u may repeat packets that another has: %s",
				s->stripe->path, s->number, strerror(errno));
}

static void keep_seal(struct stripe *st, struct segment *s, bool seal)
{
	int r = seal ? seal_file(st, s) : -ECANCELED;
	struct segment **at = &st->open;

	while (*at != s)
		at = &(*at)->next_open;
	*at = s->next_open;
	wipe_marks(s);
	(void)close(s->fd);
	s->error = r;
	if (r < 0 && seal)
		stripe_fail(st, r);
	atomic_store_explicit(
		&s->state, r == 0 ? SEGMENT_SEALED : SEGMENT_LEFT, memory_order_release);
}

static void look_at_space(struct stripe *st)
{
	struct statvfs v;
	uint64_t free_bytes;
	int full = -ENOSPC;

	if (fstatvfs(st->dir_fd, &v) < 0)
		return;
	free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	atomic_store(&st->free_bytes, free_bytes);
	if (free_bytes >= REVIVE_BYTES && atomic_compare_exchange_strong(&st->error, &full, 0))
		log_info("stripe '%s': has room again; it is back in the set", st->path);
}

/* So that a power cut takes no more than the last second: sizes and extents are on disk, too. */
static void sync_open(const struct stripe *st)
{
	for (struct segment *s = st->open; s != NULL; s = s->next_open)
		if (fdatasync(s->fd) < 0 && s->sync_error == 0)
			s->sync_error = -errno; /* seal_file() ends with it */
}

static uint64_t monotonic_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *keeper_main(void *arg)
{
	struct stripe *st = arg;
	struct pollfd p = {.fd = st->requests[0], .events = POLLIN};
	uint64_t look_ms = 0, now_ms;
	struct request r;

	(void)pthread_setname_np(pthread_self(), "keeper");
	for (;;) {
		now_ms = monotonic_ms();
		if (now_ms >= look_ms) {
			sync_open(st);
			look_at_space(st);
			look_ms = now_ms + LOOK_MS;
			now_ms = monotonic_ms();
		}
		/* A request that came in between must not put the look off by another second. */
		if (poll(&p, 1, now_ms < look_ms ? (int)(look_ms - now_ms) : 0) <= 0)
			continue;
		if (read(st->requests[0], &r, sizeof(r)) != sizeof(r) || r.what == KEEPER_QUIT)
			return NULL;
		if (r.what == KEEPER_OPEN)
			keep_open(st, r.segment);
		else
			keep_seal(st, r.segment, r.what == KEEPER_SEAL);
	}
}

int stripe_check(const char *path, struct errbuf *err)
{
	struct stat st;

	if (stripe_is_null(path))
		return 0;
	if (stat(path, &st) < 0)
		return fail_with(err, -errno, "stripe '%s': %s; it must be a directory that exists",
			path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return fail_with(err, -ENOTDIR, "stripe '%s' is not a directory", path);
	/* Asked, not tried: control comes by here, and a disk that hangs must not hold it up. */
	if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0)
		return fail_with(err, -errno, "stripe '%s': cannot make files in it: %s", path,
			strerror(errno));
	return 0;
}

static struct stripe *find_stripe(const char *path)
{
	struct stripe *s;

	for (s = all_stripes; s != NULL; s = s->next)
		if (strcmp(s->path, path) == 0)
			return s;
	return NULL;
}

static int open_directory(struct stripe *s, struct errbuf *err)
{
	s->dir_fd = open(s->path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (s->dir_fd < 0)
		return fail_with(
			err, -errno, "cannot open stripe '%s': %s", s->path, strerror(errno));
	look_at_space(s);
	return 0;
}

static int start_keeper(struct stripe *s, struct errbuf *err)
{
	int r;

	if (pipe2(s->requests, O_CLOEXEC) < 0)
		return fail_with(err, -errno, "stripe '%s': no pipe: %s", s->path, strerror(errno));
	/* The writer's end must not block; the keeper's may. */
	(void)fcntl(s->requests[1], F_SETFL, O_NONBLOCK);
	r = -pthread_create(&s->keeper, NULL, keeper_main, s);
	if (r < 0) {
		(void)close(s->requests[0]);
		(void)close(s->requests[1]);
		return fail_with(
			err, r, "stripe '%s': cannot start its thread: %s", s->path, strerror(-r));
	}
	return 0;
}

int stripe_open(const char *path, struct stripe **ret_stripe, struct errbuf *err)
{
	struct stripe *s = find_stripe(path);
	int r;

	if (s != NULL) {
		s->references++;
		*ret_stripe = s;
		return 0;
	}
	r = stripe_check(path, err);
	if (r < 0)
		return r;
	s = aligned_alloc(64, sizeof(*s));
	if (s == NULL)
		return fail_with(err, -ENOMEM, "stripe '%s': no memory", path);
	memset(s, 0, sizeof(*s));
	s->dir_fd = -1;
	s->references = 1;
	s->null = stripe_is_null(path);
	atomic_store(&s->direct, !s->null);
	atomic_store(&s->free_bytes, UINT64_MAX);
	s->path = strdup(path);
	if (s->path == NULL) {
		r = fail_with(err, -ENOMEM, "stripe '%s': no memory", path);
		goto free_stripe;
	}
	if (!s->null) {
		r = open_directory(s, err);
		if (r < 0)
			goto free_stripe;
		r = start_keeper(s, err);
		if (r < 0)
			goto close_directory;
	}
	s->next = all_stripes;
	all_stripes = s;
	*ret_stripe = s;
	return 0;
close_directory:
	(void)close(s->dir_fd);
free_stripe:
	free(s->path);
	free(s);
	return r;
}

/* False when the keeper hangs on its disk: it keeps the stripe's memory. */
static bool stop_keeper(struct stripe *s)
{
	struct request quit = {.what = KEEPER_QUIT};
	struct timespec until;

	(void)fcntl(s->requests[1], F_SETFL, 0);
	if (write(s->requests[1], &quit, sizeof(quit)) < 0)
		return false;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += QUIT_SECONDS;
	if (pthread_clockjoin_np(s->keeper, NULL, CLOCK_MONOTONIC, &until) != 0) {
		log_error("stripe '%s': its disk does not answer; left to itself", s->path);
		(void)pthread_detach(s->keeper);
		return false;
	}
	(void)close(s->requests[0]);
	(void)close(s->requests[1]);
	return true;
}

void stripe_close(struct stripe *s)
{
	struct stripe **at = &all_stripes;

	if (s == NULL || --s->references > 0)
		return;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (!s->null) {
		if (!stop_keeper(s))
			return;
		(void)close(s->dir_fd);
	}
	/* Writes of an abandoned run that its disk has not given back yet are still counted here. */
	if (atomic_load(&s->in_flight) != 0 || atomic_load(&s->queued_bytes) != 0) {
		s->next = left_to_disks;
		left_to_disks = s;
		return;
	}
	free(s->path);
	free(s);
}

void stripe_get_info(const struct stripe *s, struct stripe_info *ret)
{
	ret->path = s->path;
	ret->queued_bytes = atomic_load(&s->queued_bytes);
	ret->written_bytes = atomic_load(&s->written_bytes);
	ret->free_bytes = atomic_load(&s->free_bytes);
	ret->error = atomic_load(&s->error);
	ret->direct = atomic_load(&s->direct);
}
