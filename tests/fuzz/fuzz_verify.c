/*
 * Fuzzes the readers of the archive with the bytes of a file: verify first, then recovery, whose result
 * must be without fault of form. Input: the file.
 */
/* rooms: archive common */

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wirespool/archive.h"
#include "wirespool/pcapng.h"

#define FUZZ_RUN "fuzz-20261121T033000.123Z"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void must(bool holds, const char *claim)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", claim);
	abort();
}

static void write_whole(int fd, const uint8_t *bytes, size_t len)
{
	must(fd >= 0, "a file can be made");
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);

		must(n > 0, "a file can be written");
		bytes += n;
		len -= (size_t)n;
	}
}

static void fuzz_verify(const uint8_t *bytes, size_t len)
{
	struct archive_report report;
	char path[64];
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	write_whole(fd, bytes, len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(archive_verify(path, &report, NULL) == 0, "a regular file can be verified");
	must(report.blocks <= len / 12, "no block is counted twice");
	close(fd);
}

/* No fuzzer finds a hash: every mark and end block is made one of the run that the file is named for. */
static void adopt(uint8_t *bytes, size_t len)
{
	uint64_t run_hash = run_id_hash(FUZZ_RUN);
	const uint32_t segment = 1;

	for (size_t off = 0; off + sizeof(struct wirespool_end) <= len; off += 4) {
		uint32_t words[3];

		memcpy(words, bytes + off, sizeof(words));
		if (words[0] != PCAPNG_WIRESPOOL)
			continue;
		if (words[2] == WIRESPOOL_CHUNK) {
			memcpy(bytes + off + offsetof(struct wirespool_chunk, run_hash), &run_hash,
				8);
			memcpy(bytes + off + offsetof(struct wirespool_chunk, segment), &segment,
				4);
		} else if (words[2] == WIRESPOOL_END) {
			memcpy(bytes + off + offsetof(struct wirespool_end, run_hash), &run_hash,
				8);
			memcpy(bytes + off + offsetof(struct wirespool_end, segment), &segment, 4);
		}
	}
}

static char folder[32];

static void remove_folder(void)
{
	(void)rmdir(folder);
}

static void fuzz_recover(const uint8_t *bytes, size_t len)
{
	char part[128], sealed[128];
	struct archive_segment *segments;
	struct recover_report recovered;
	struct archive_report report;
	size_t count;
	int fd, r;

	if (folder[0] == '\0') {
		strcpy(folder, "/dev/shm/fuzz-XXXXXX");
		must(mkdtemp(folder) != NULL, "a folder can be made");
		must(atexit(remove_folder) == 0, "it is taken away at the end");
	}
	snprintf(part, sizeof(part), "%s/" FUZZ_RUN "-00001.pcapng.part", folder);
	snprintf(sealed, sizeof(sealed), "%s/" FUZZ_RUN "-00001.pcapng", folder);
	fd = open(part, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	write_whole(fd, bytes, len);
	close(fd);
	must(archive_list(folder, &segments, &count, NULL) == 0 && count == 1, "it is listed");
	free(segments);
	r = archive_recover(part, &recovered, NULL);
	if (r == 0 && !recovered.removed) {
		must(access(part, F_OK) != 0, "no .part is left");
		must(archive_verify(sealed, &report, NULL) == 0, "it can be read");
		must(report.sealed, "it has an end block");
		must(report.pkts == recovered.pkts, "recovery and verify count the same");
	}
	(void)unlink(part);
	(void)unlink(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len + 1);

	must(copy != NULL, "there is memory");
	memcpy(copy, bytes, len);
	adopt(copy, len);
	fuzz_verify(copy, len);
	fuzz_recover(copy, len);
	free(copy);
	return 0;
}
