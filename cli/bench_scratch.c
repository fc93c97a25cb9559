#include "bench_scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "capture_files.h"
#include "options.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

static int check_directory(const char *dir)
{
	struct stat st;

	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
		return EXIT_GOOD;
	if (strncmp(dir, "null:", 5) == 0)
		log_error("'null:' is no disk; what is not written is measured without -o");
	else if (errno == ENOENT)
		log_error(
			"directory '%s' does not exist; -o takes one on the disk to measure", dir);
	else
		log_error("'%s' is no directory that can be read", dir);
	return EXIT_USAGE;
}

int bench_scratch_check_room(const struct bench_scratch *s)
{
	uint64_t free_bytes = bench_scratch_free_bytes(s);
	char has[UNITS_TEXT], needs[UNITS_TEXT];

	if (free_bytes >= BENCH_START_BYTES)
		return EXIT_GOOD;
	log_error("'%s' has %s free; to measure a disk takes %s at least", s->dir,
		size_format(free_bytes, has), size_format(BENCH_START_BYTES, needs));
	return EXIT_FAILED;
}

int bench_scratch_make(const char *dir, struct bench_scratch *ret)
{
	struct bench_scratch s = {.dir = dir};
	int r = check_directory(dir);

	if (r != EXIT_GOOD)
		return r;
	if (asprintf(&s.path, "%s/wirespool-bench-XXXXXX", dir) < 0) {
		log_error("out of memory");
		return EXIT_FAILED;
	}
	if (mkdtemp(s.path) == NULL) {
		r = errno == ENOSPC ? EXIT_FAILED : EXIT_USAGE;
		log_error("cannot make a directory in '%s': %s", dir, strerror(errno));
		free(s.path);
		return r;
	}
	r = bench_scratch_check_room(&s);
	if (r != EXIT_GOOD)
		bench_scratch_remove(&s);
	else
		*ret = s;
	return r;
}

uint64_t bench_scratch_free_bytes(const struct bench_scratch *s)
{
	struct statvfs v;

	return statvfs(s->path, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}

bool bench_scratch_shares(const struct bench_scratch *a, const struct bench_scratch *b)
{
	struct stat first, second;

	return stat(a->path, &first) == 0 && stat(b->path, &second) == 0 &&
	       first.st_dev == second.st_dev;
}

static int remove_file(const char *path, void *context)
{
	uint64_t *bytes = context;
	struct stat st;

	if (lstat(path, &st) == 0 && unlink(path) == 0)
		*bytes += (uint64_t)st.st_size;
	return EXIT_GOOD;
}

uint64_t bench_scratch_empty(const struct bench_scratch *s)
{
	uint64_t bytes = 0;
	int fd;

	(void)capture_files_visit(s->path, remove_file, &bytes);
	fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)syncfs(fd);
		(void)close(fd);
	}
	return bytes;
}

void bench_scratch_remove(struct bench_scratch *s)
{
	uint64_t bytes = 0;

	if (s->path == NULL)
		return;
	(void)capture_files_visit(s->path, remove_file, &bytes);
	if (rmdir(s->path) < 0)
		log_warn("cannot remove '%s': %s", s->path, strerror(errno));
	free(s->path);
	s->path = NULL;
}
