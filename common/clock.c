#include "wirespool/clock.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "wirespool/units.h"

/* How the clock comes to meet the wall clock; see the header. */
static const int64_t JUMP_NS = (int64_t)NS_PER_SEC;    /* behind by more: jump */
static const int64_t SLEW_LIMIT_NS = 50 * 1000 * 1000; /* ahead by more: slow down hard */
static const uint64_t HORIZON_NS = NS_PER_SEC;         /* an error is worked off in this time */
static const uint64_t SLEW_PPM = 500;
static const uint64_t SLEW_HARD_PPM = 100 * 1000;

static uint64_t true_mult(uint64_t hz)
{
	return (uint64_t)(((unsigned __int128)NS_PER_SEC << CLOCK_SHIFT) / hz);
}

static void base_store(struct clock_base *c, uint64_t tsc0, uint64_t ns0, uint64_t mult)
{
	uint32_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);

	atomic_store_explicit(&c->seq, seq + 1, memory_order_relaxed);
	/* Each release makes the odd seq visible before its word. */
	atomic_store_explicit(&c->tsc0, tsc0, memory_order_release);
	atomic_store_explicit(&c->ns0, ns0, memory_order_release);
	atomic_store_explicit(&c->mult, mult, memory_order_release);
	atomic_store_explicit(&c->seq, seq + 2, memory_order_release);
}

void clock_start(struct clock_base *c, uint64_t tsc, uint64_t now_ns, uint64_t hz)
{
	base_store(c, tsc, now_ns, true_mult(hz));
}

/* The rate that works an error off within the horizon, as far as the limits let it. */
static uint64_t slewed_mult(uint64_t mult, int64_t ahead_ns)
{
	uint64_t off_ns = (uint64_t)(ahead_ns < 0 ? -ahead_ns : ahead_ns);
	uint64_t limit_ppm = ahead_ns > SLEW_LIMIT_NS ? SLEW_HARD_PPM : SLEW_PPM;
	uint64_t ppm = off_ns * 1000 / (HORIZON_NS / 1000);
	uint64_t delta;

	if (ppm > limit_ppm)
		ppm = limit_ppm;
	delta = (uint64_t)((unsigned __int128)mult * ppm / 1000000);
	return ahead_ns > 0 ? mult - delta : mult + delta;
}

int64_t clock_renew(struct clock_base *c, uint64_t tsc, uint64_t now_ns, uint64_t hz)
{
	uint64_t ours_ns = clock_at(c, tsc);
	int64_t ahead_ns = (int64_t)(ours_ns - now_ns);

	if (ahead_ns < -JUMP_NS)
		base_store(c, tsc, now_ns, true_mult(hz));
	else
		base_store(c, tsc, ours_ns, slewed_mult(true_mult(hz), ahead_ns));
	return ahead_ns;
}

static uint64_t realtime_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

int64_t clock_shift_ns(void)
{
	static bool asked;
	static int64_t shift_ns;
	struct tm tm = {0};
	const char *text;
	const char *end;

	if (asked)
		return shift_ns;
	asked = true;
	text = getenv("WIRESPOOL_FAKE_TIME");
	if (text == NULL)
		return 0;
	end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (end != NULL && *end == '\0')
		shift_ns = (int64_t)((uint64_t)timegm(&tm) * NS_PER_SEC - realtime_ns());
	return shift_ns;
}

uint64_t clock_monotonic_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_wall_ns(void)
{
	uint64_t shift_ns = (uint64_t)clock_shift_ns();

	return realtime_ns() + shift_ns;
}
