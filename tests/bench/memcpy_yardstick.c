/*
 * The yardstick of line_rate: how fast one thread of this machine can copy the bytes that the
 * recorder stores, when it does nothing else.
 *
 *   memcpy_yardstick SECONDS MBUFS BYTES...
 *
 * It copies frames of BYTES stored bytes (several: mixed as often as each is named, in a random
 * order) out of MBUFS buffers that lie as far apart as a port's mbufs do, one after the other as the
 * rx lcore would fill them, to the end of the one before in a chunk of 1 MiB. `-o null:` gives a
 * full chunk back at once and the pool hands out the last one given: two chunks take turns there, so
 * they do here. Both are in huge pages if there are enough, as in the recorder.
 *
 * What it leaves out is what the recorder does besides: frames are made by another CPU, blocks have heads,
 * mbufs are taken and given back. What it has to bear and the recorder has not: each frame comes from a buffer
 * of its own, though most go to the writer by value (include/wirespool/packet.h), perhaps within a
 * cache that both CPUs share. So the recorder may pass the yardstick.
 *
 * Prints one JSON object. Its caller pins it and gives sound numbers.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
	CHUNK_BYTES = 1 << 20,
	CHUNKS = 2,
	/* struct rte_mbuf 128, headroom 128, room 2048; and 64 before each that the mempool keeps */
	HEAD_BYTES = 64 + 128 + 128,
	ROOM_BYTES = 2048,
	STRIDE_BYTES = HEAD_BYTES + ROOM_BYTES,
	HUGE_PAGE_BYTES = 2 << 20,
	SIZES_MAX = 64,
	PATTERN = 4096, /* sizes in a random order */
};

struct yardstick {
	uint8_t *mbufs;
	uint8_t *chunks;
	size_t mbuf_count;
	bool huge_pages;
	uint16_t sizes[PATTERN];
};

static double now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *map(size_t bytes, bool *huge_pages)
{
	size_t whole = (bytes + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
	int protection = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	void *p = mmap(NULL, whole, protection, flags | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED) {
		*huge_pages = false;
		p = mmap(NULL, whole, protection, flags, -1, 0);
	}
	if (p == MAP_FAILED) {
		(void)fprintf(stderr, "no memory for %zu bytes\n", bytes);
		exit(EXIT_FAILURE);
	}
	memset(p, 0x5a, whole);
	return p;
}

static void mix_sizes(struct yardstick *y, const uint16_t sizes[], unsigned int count)
{
	uint32_t random = 1;

	for (unsigned int i = 0; i < PATTERN; i++) {
		random = random * 1664525 + 1013904223;
		y->sizes[i] = sizes[(random >> 16) % count];
	}
}

/* Copies what fills one chunk; returns the bytes, and goes on at *ret_next of all frames. */
static size_t fill_chunk(const struct yardstick *y, uint8_t *chunk, uint64_t *ret_next)
{
	uint64_t next = *ret_next;
	size_t used = 0, mbuf = next % y->mbuf_count;

	for (;;) {
		uint16_t size = y->sizes[next % PATTERN];

		if (used + size > CHUNK_BYTES)
			break;
		memcpy(chunk + used, y->mbufs + mbuf * STRIDE_BYTES + HEAD_BYTES, size);
		used += size;
		next++;
		mbuf = mbuf + 1 == y->mbuf_count ? 0 : mbuf + 1;
	}
	*ret_next = next;
	return used;
}

static void copy_for(const struct yardstick *y, double seconds)
{
	uint64_t frames = 0, bytes = 0;
	double begun_s, passed_s = 0;

	for (unsigned int i = 0; i < CHUNKS; i++)
		(void)fill_chunk(y, y->chunks + (size_t)i * CHUNK_BYTES, &frames);
	frames = 0;
	begun_s = now_s();
	for (unsigned int chunk = 0; passed_s < seconds; chunk = (chunk + 1) % CHUNKS) {
		bytes += fill_chunk(y, y->chunks + (size_t)chunk * CHUNK_BYTES, &frames);
		passed_s = now_s() - begun_s;
	}
	(void)printf("{\"seconds\":%.6f,\"frames\":%llu,\"bytes\":%llu,\"huge_pages\":%s}\n",
		passed_s, (unsigned long long)frames, (unsigned long long)bytes,
		y->huge_pages ? "true" : "false");
}

int main(int argc, char **argv)
{
	struct yardstick y = {.huge_pages = true};
	unsigned int count = (unsigned int)argc - 3;
	uint16_t sizes[SIZES_MAX];

	if (argc < 4 || count > SIZES_MAX) {
		(void)fprintf(stderr, "usage: memcpy_yardstick SECONDS MBUFS BYTES...\n");
		return EXIT_FAILURE;
	}
	for (unsigned int i = 0; i < count; i++) {
		sizes[i] = (uint16_t)atoi(argv[3 + i]);
		if (sizes[i] == 0 || sizes[i] > ROOM_BYTES)
			return EXIT_FAILURE;
	}
	y.mbuf_count = (size_t)atoi(argv[2]);
	y.mbufs = map(y.mbuf_count * STRIDE_BYTES, &y.huge_pages);
	y.chunks = map((size_t)CHUNKS * CHUNK_BYTES, &y.huge_pages);
	mix_sizes(&y, sizes, count);
	copy_for(&y, atof(argv[1]));
	return EXIT_SUCCESS;
}
