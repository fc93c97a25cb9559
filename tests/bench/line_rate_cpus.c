/*
 * How far apart two CPUs are at this moment, and how long they stand still.
 *
 *   line_rate_cpus CPU CPU MILLISECONDS REACH_US
 *
 * The rx lcore and the writer hand each other cache lines. Where a hypervisor moves virtual CPUs
 * between caches and sockets, the same program is several times slower from one second to the next, and
 * no counter of the guest says so. This does: two threads pass a cache line back and forth, and nothing else.
 *
 * Prints one JSON object: the median round trip; the longest one, which is a stall of a CPU
 * (preempted by the hypervisor or by another program); and by how much in all stalls were longer
 * than REACH_US, the time that a ring of descriptors bridges: so long no program could have
 * received anything.
 */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_BYTES = 256, BATCH = 16, COUNTED_NS = 1 << 16 };

static const uint64_t NS_PER_SEC = 1000000000, END = UINT64_MAX;

/* Each on a line of its own, and away from the pairs of lines that are fetched together. */
static _Alignas(LINE_BYTES) _Atomic uint64_t ping;
static _Alignas(LINE_BYTES) _Atomic uint64_t pong;

static uint64_t batches_of[COUNTED_NS]; /* how many batches took so many ns; the last: or more */

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) == 0)
		return;
	(void)fprintf(stderr, "CPU %d: %s\n", cpu, strerror(errno));
	exit(EXIT_FAILURE);
}

static void *answer(void *arg)
{
	uint64_t asked, answered = 0;

	pin(*(const int *)arg);
	while ((asked = atomic_load_explicit(&ping, memory_order_relaxed)) != END) {
		if (asked == answered)
			continue;
		answered = asked;
		atomic_store_explicit(&pong, answered, memory_order_relaxed);
	}
	return NULL;
}

static void ask(uint64_t question)
{
	atomic_store_explicit(&ping, question, memory_order_relaxed);
	while (atomic_load_explicit(&pong, memory_order_relaxed) != question)
		;
}

static double median_ns(uint64_t batches)
{
	uint64_t passed = 0;
	unsigned int ns = 0;

	while ((passed += batches_of[ns]) * 2 < batches)
		ns++;
	return (double)ns / BATCH;
}

static void measure(uint64_t lasting_ns, uint64_t reach_ns)
{
	uint64_t question = 0, batches = 0, longest_ns = 0, excess_ns = 0;
	uint64_t begun_ns, last_ns, took_ns;

	ask(++question); /* the other thread is there */
	begun_ns = last_ns = now_ns();
	while (last_ns - begun_ns < lasting_ns) {
		for (unsigned int i = 0; i < BATCH; i++)
			ask(++question);
		took_ns = now_ns() - last_ns;
		last_ns += took_ns;
		batches++;
		batches_of[took_ns < COUNTED_NS ? took_ns : COUNTED_NS - 1]++;
		if (took_ns > longest_ns)
			longest_ns = took_ns;
		if (took_ns > reach_ns)
			excess_ns += took_ns - reach_ns;
	}
	(void)printf(
		"{\"round_trip_ns\":%.1f,\"longest_stall_us\":%.1f,\"beyond_reach_us\":%.1f}\n",
		median_ns(batches), (double)longest_ns / 1e3, (double)excess_ns / 1e3);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int cpus[2];

	if (argc != 5) {
		(void)fprintf(stderr, "usage: line_rate_cpus CPU CPU MILLISECONDS REACH_US\n");
		return EXIT_FAILURE;
	}
	cpus[0] = atoi(argv[1]);
	cpus[1] = atoi(argv[2]);
	pin(cpus[0]);
	if (pthread_create(&thread, NULL, answer, &cpus[1]) != 0)
		return EXIT_FAILURE;
	measure((uint64_t)atoll(argv[3]) * (NS_PER_SEC / 1000), (uint64_t)atoll(argv[4]) * 1000);
	atomic_store_explicit(&ping, END, memory_order_relaxed);
	(void)pthread_join(thread, NULL);
	return EXIT_SUCCESS;
}
