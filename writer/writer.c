#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "run.h"
#include "spool.h"
#include "wirespool/clock.h"

enum {
	BUSY_ROUND = 256, /* packets of a round after which the next follows at once */
	WARNINGS_MAX = 4,
	PAUSE_MIN_NS = 1000,
	BELL_SECONDS = 10,
	SPOOL_DEPTH_MAX = 128,
};

static const uint64_t HOUSEKEEP_NS = 5 * 1000 * 1000;

struct writer {
	/* Read-only once the thread runs, but for the pool, which is the thread's */
	int cpu;
	struct chunk_pool pool;
	struct spool *spool;
	pthread_t thread;
	char warnings[WARNINGS_MAX][256];
	unsigned int warning_count;

	/* Written by control */
	_Atomic(struct stream *) inbox __attribute__((aligned(64)));
	_Atomic bool stop;
	sem_t bell; /* rung after each of the two: a writer without streams waits for it */

	/* The thread's */
	struct stream *streams __attribute__((aligned(64)));
	uint64_t housekept_ns;
	uint64_t pause_ns;

	/* Written by the thread, read by control */
	counter pkts __attribute__((aligned(64)));
	counter busy_ns;
};

_Static_assert(offsetof(struct writer, bell) + sizeof(sem_t) - offsetof(struct writer, inbox) <= 64,
	"a writer looks at one line of control's in each round");

struct chunk_pool *writer_pool(struct writer *w)
{
	return &w->pool;
}

struct spool *writer_spool(struct writer *w)
{
	return w->spool;
}

void writer_add_stream(struct writer *w, struct stream *s)
{
	s->next = atomic_load_explicit(&w->inbox, memory_order_relaxed);
	/* W1: release, so that the writer that takes the stream sees all of it. */
	while (!atomic_compare_exchange_weak_explicit(
		&w->inbox, &s->next, s, memory_order_release, memory_order_relaxed))
		;
	(void)sem_post(&w->bell);
}

/* Acquire pairs with W1 in writer_add_stream(). */
static void take_inbox(struct writer *w)
{
	struct stream *s, *next;

	if (atomic_load_explicit(&w->inbox, memory_order_relaxed) == NULL)
		return;
	for (s = atomic_exchange_explicit(&w->inbox, NULL, memory_order_acquire); s != NULL;
		s = next) {
		next = s->next;
		s->next = w->streams;
		w->streams = s;
	}
}

static void housekeep(struct writer *w, uint64_t now_ns)
{
	struct stream **at = &w->streams;

	w->housekept_ns = now_ns;
	while (*at != NULL) {
		struct stream *s = *at;
		struct stream *next = s->next;

		/* Once it has ended, control may free it: not a look more. */
		if (stream_housekeep(s, now_ns))
			*at = next;
		else
			at = &s->next;
	}
}

/* No stream, nothing to look after: until control rings. */
static void wait_for_bell(struct writer *w)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += BELL_SECONDS;
	(void)sem_clockwait(&w->bell, CLOCK_MONOTONIC, &until);
}

/* As long as the ring that fills first can be left alone. */
static uint64_t rest_max_ns(const struct writer *w)
{
	uint64_t us = UINT16_MAX;

	for (const struct stream *s = w->streams; s != NULL; s = s->next)
		us = s->rest_us < us ? s->rest_us : us;
	return us != 0 ? us * 1000 : PAUSE_MIN_NS;
}

/*
 * Little moved: sleeps longer each time, and shorter again for each busy round between. So the pause settles
 * where it brings about one round of packets: to wake up costs more than to pack a few. Disks have room for as long.
 */
static void rest(struct writer *w)
{
	uint64_t max_ns = rest_max_ns(w);
	struct timespec t = {.tv_nsec = (long)(w->pause_ns < max_ns ? w->pause_ns : max_ns)};

	w->pause_ns = w->pause_ns * 2 < max_ns ? w->pause_ns * 2 : max_ns;
	if (w->streams == NULL)
		wait_for_bell(w);
	else
		(void)nanosleep(&t, NULL);
}

/* One round over all streams and disks. Returns how many packets and chunks it moved. */
static unsigned int turn(struct writer *w)
{
	unsigned int pkts = 0;

	take_inbox(w);
	for (struct stream *s = w->streams; s != NULL; s = s->next)
		pkts += stream_drain(s);
	counter_add(&w->pkts, pkts);
	return pkts + spool_run(w->spool, w->streams);
}

/* HOT PATH. Drain, pack, submit, reap; housekeeping every few ms. */
static void *writer_main(void *arg)
{
	struct writer *w = arg;
	uint64_t began_ns, now_ns;

	(void)pthread_setname_np(pthread_self(), "writer");
	(void)prctl(PR_SET_TIMERSLACK, 1UL); /* a pause of 1 us is not to last 50 */
	drain_thread_enter();
	began_ns = clock_monotonic_ns();
	while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
		unsigned int moved = turn(w);

		now_ns = clock_monotonic_ns();
		if (moved != 0)
			counter_add(&w->busy_ns, now_ns - began_ns);
		if (now_ns - w->housekept_ns >= HOUSEKEEP_NS)
			housekeep(w, now_ns);
		/* A few packets a round are no reason to hurry: the next pause brings no more. */
		if (moved < BUSY_ROUND) {
			rest(w);
			now_ns = clock_monotonic_ns();
		} else {
			w->pause_ns =
				w->pause_ns / 2 > PAUSE_MIN_NS ? w->pause_ns / 2 : PAUSE_MIN_NS;
		}
		began_ns = now_ns;
	}
	drain_thread_leave();
	return NULL;
}

static void warn(struct writer *w, const char *text)
{
	if (w->warning_count < WARNINGS_MAX)
		(void)snprintf(w->warnings[w->warning_count++], sizeof(w->warnings[0]), "%s", text);
}

static void say_what_is_missing(struct writer *w)
{
	if (!w->pool.huge_pages)
		warn(w, "chunks: not enough free huge pages; ordinary memory is used");
	if (!spool_registered(w->spool))
		warn(w, "io_uring: the kernel would not pin the chunks or take the files (memlock "
			"limit?); each write pins its own pages, which is slower");
}

static int start_thread(struct writer *w, struct errbuf *err)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int r;

	(void)pthread_attr_init(&attr);
	if (w->cpu >= 0) {
		CPU_ZERO(&cpus);
		CPU_SET((size_t)w->cpu, &cpus);
		(void)pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	}
	r = -pthread_create(&w->thread, &attr, writer_main, w);
	(void)pthread_attr_destroy(&attr);
	if (r < 0)
		return fail_with(
			err, r, "cannot start a writer on CPU %d: %s", w->cpu, strerror(-r));
	return 0;
}

int writer_open(
	const struct writer_options *options, struct writer **ret_writer, struct errbuf *err)
{
	struct writer *w;
	int r;

	if (options->queue_depth == 0 || options->queue_depth > SPOOL_DEPTH_MAX)
		return fail_with(err, -EINVAL, "a writer's queue_depth must be 1..%d, got %u",
			SPOOL_DEPTH_MAX, options->queue_depth);
	w = aligned_alloc(64, (sizeof(*w) + 63) / 64 * 64);
	if (w == NULL)
		return fail_with(err, -ENOMEM, "no memory for a writer");
	memset(w, 0, sizeof(*w));
	w->cpu = options->cpu;
	w->pause_ns = PAUSE_MIN_NS;
	(void)sem_init(&w->bell, 0, 0);
	r = chunk_pool_open(&w->pool, options->memory_bytes, options->socket_id, err);
	if (r < 0)
		goto free_writer;
	r = spool_open(&w->pool, options->queue_depth, &w->spool, err);
	if (r < 0)
		goto close_pool;
	say_what_is_missing(w);
	r = start_thread(w, err);
	if (r < 0)
		goto close_spool;
	*ret_writer = w;
	return 0;
close_spool:
	spool_close(w->spool);
close_pool:
	chunk_pool_close(&w->pool);
free_writer:
	free(w);
	return r;
}

void writer_close(struct writer *w)
{
	if (w == NULL)
		return;
	atomic_store_explicit(&w->stop, true, memory_order_relaxed);
	(void)sem_post(&w->bell);
	(void)pthread_join(w->thread, NULL);
	/* What a hung disk still has under way points into the pool: both stay until the process ends. */
	if (spool_in_flight(w->spool) != 0)
		return;
	spool_close(w->spool);
	chunk_pool_close(&w->pool);
	free(w);
}

void writer_get_info(const struct writer *w, struct writer_info *ret)
{
	ret->cpu = w->cpu;
	ret->pkts = counter_get(&w->pkts);
	ret->busy_ns = counter_get(&w->busy_ns);
	ret->chunks = w->pool.count;
	ret->chunks_free = counter_get(&w->pool.free_count);
	ret->huge_pages = w->pool.huge_pages;
	ret->registered = spool_registered(w->spool);
}

const char *writer_warning(const struct writer *w, unsigned int index)
{
	return index < w->warning_count ? w->warnings[index] : NULL;
}
