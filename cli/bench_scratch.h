#pragma once
/*
 * Bench scratch: the directory that `bench` makes inside a user's directory for the files that it
 * writes there, so that nothing else can be taken for its own and removed.
 */

#include <stdbool.h>
#include <stdint.h>

/* What is left free at any time, and what must be free to begin: files are preallocated, 1 GiB each. */
#define BENCH_RESERVE_BYTES (2ULL << 30)
#define BENCH_START_BYTES   (6ULL << 30)

struct bench_scratch {
	const char *dir; /* as the user named it */
	char *path;      /* DIR/wirespool-bench-XXXXXX; NULL: there is none */
};

/*
 * Makes it in dir, which must outlive it. EXIT_GOOD; or what is wrong with dir was said: EXIT_USAGE, or
 * EXIT_FAILED when it has not room enough.
 */
int bench_scratch_make(const char *dir, struct bench_scratch *ret);

/* Whether there is room to measure: EXIT_GOOD, or EXIT_FAILED, said. */
int bench_scratch_check_room(const struct bench_scratch *s);

/* Bytes that may still be written on its file system; 0 when that cannot be told. */
uint64_t bench_scratch_free_bytes(const struct bench_scratch *s);

/* True when both are on one file system. */
bool bench_scratch_shares(const struct bench_scratch *a, const struct bench_scratch *b);

/*
 * Removes the files in it and waits until the file system is done with that: what it would still
 * do about them is not to slow down the next measurement. Returns how long they were together.
 */
uint64_t bench_scratch_empty(const struct bench_scratch *s);

/* Removes it with the files in it; says what could not be removed. */
void bench_scratch_remove(struct bench_scratch *s);
