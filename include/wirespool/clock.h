#pragma once
/*
 * Clock: the counter of the CPU (TSC) turned to nanoseconds since the epoch.
 *
 * Flow     control renews the base from CLOCK_REALTIME every 100 ms; every rx
 *          lcore turns its counter to time by one multiply and shift per burst.
 * Threads  one renews (control), any number read. The base is a seqlock: readers
 *          never wait for control for longer than it takes to store four words.
 * Order    Never backwards: a wall clock that was set back is approached by
 *          running slower (at most 10 %), one that is a little off by slewing
 *          (at most 500 ppm); one that is ahead by more than 1 s is jumped to.
 */

#include <stdatomic.h>
#include <stdint.h>

struct clock_base {
	_Atomic uint32_t seq; /* odd while control writes */
	_Atomic uint64_t tsc0;
	_Atomic uint64_t ns0;
	_Atomic uint64_t mult;
};

enum { CLOCK_SHIFT = 32 };

/* ns that tsc cycles last; 128 bits, as a base may be seconds old. */
static inline uint64_t clock_scale(uint64_t cycles, uint64_t mult)
{
	return (uint64_t)(((unsigned __int128)cycles * mult) >> CLOCK_SHIFT);
}

/* HOT PATH, once per burst: the time at counter value tsc. */
static inline uint64_t clock_at(const struct clock_base *c, uint64_t tsc)
{
	uint32_t seq;
	uint64_t tsc0, ns0, mult;

	do {
		/* Each acquire pairs with the release stores of base_store() in clock.c: the words
		 * are of this base or a newer one, and the second look at seq tells which. */
		seq = atomic_load_explicit(&c->seq, memory_order_acquire);
		tsc0 = atomic_load_explicit(&c->tsc0, memory_order_acquire);
		ns0 = atomic_load_explicit(&c->ns0, memory_order_acquire);
		mult = atomic_load_explicit(&c->mult, memory_order_acquire);
	} while ((seq & 1) || atomic_load_explicit(&c->seq, memory_order_relaxed) != seq);
	return tsc <= tsc0 ? ns0 : ns0 + clock_scale(tsc - tsc0, mult);
}

/* Sets the base: at tsc it was now_ns, and hz cycles make a second. */
void clock_start(struct clock_base *c, uint64_t tsc, uint64_t now_ns, uint64_t hz);

/*
 * Renews the base from one more pair of counter and wall clock, so that times go
 * on where they are and come to meet the wall clock within about a second.
 * Returns by how much our time was ahead of the wall clock, in ns (negative: behind).
 */
int64_t clock_renew(struct clock_base *c, uint64_t tsc, uint64_t now_ns, uint64_t hz);

/*
 * The wall clock: CLOCK_REALTIME in ns since the epoch, moved by what the
 * environment variable WIRESPOOL_FAKE_TIME ("2026-10-25T00:59:50Z") says the time
 * was when the process first asked. For trials of schedules; never for recording
 * evidence, so the shift is reported by clock_shift_ns() and named in status.
 */
uint64_t clock_wall_ns(void);

/* For spans: it does not jump when the wall clock is set. */
uint64_t clock_monotonic_ns(void);

/* How far WIRESPOOL_FAKE_TIME moved the wall clock; 0: not at all. */
int64_t clock_shift_ns(void);
