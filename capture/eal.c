/* DPDK's start and end, and the clock that all rx lcores read. */
#include "port.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_pci.h>

#include "wirespool/log.h"

enum {
	EAL_ARGS_MAX = 160,
	WARNINGS_MAX = 8,
	MBUF_BYTES = 2432, /* an mbuf of 2 KiB with all that its pool adds */
	PAGE_BYTES = 4096,
};

struct clock_base capture_clock;
static char warnings[WARNINGS_MAX][256];
static unsigned int warning_count;
static bool running;

void capture_warn(const char *format, ...)
{
	va_list args;

	if (warning_count == WARNINGS_MAX)
		return;
	va_start(args, format);
	(void)vsnprintf(warnings[warning_count++], sizeof(warnings[0]), format, args);
	va_end(args);
}

const char *capture_warning(unsigned int index)
{
	return index < warning_count ? warnings[index] : NULL;
}

/* EAL's arguments: it reorders and replaces argv, and may point into the texts for good. */
struct eal_args {
	char *texts[EAL_ARGS_MAX];
	char *argv[EAL_ARGS_MAX];
	int argc;
	int memory_arg;
};

static void add_arg(struct eal_args *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void add_arg(struct eal_args *a, const char *format, ...)
{
	va_list args;

	if (a->argc == EAL_ARGS_MAX - 1)
		return;
	va_start(args, format);
	if (vasprintf(&a->texts[a->argc], format, args) >= 0) {
		a->argv[a->argc] = a->texts[a->argc];
		a->argc++;
	}
	va_end(args);
}

/* "0@(0,2,3)": one EAL lcore, for control, on every CPU that the process may use. */
static void add_lcores(struct eal_args *a)
{
	char text[CPU_SETSIZE * 5] = "";
	size_t len = 0;
	cpu_set_t cpus;

	(void)sched_getaffinity(0, sizeof(cpus), &cpus);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			len += (size_t)snprintf(
				text + len, sizeof(text) - len, "%s%zu", len == 0 ? "" : ",", cpu);
	add_arg(a, "--lcores");
	add_arg(a, "0@(%s)", text);
}

static uint64_t read_number(const char *path)
{
	unsigned long long n = 0;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu", &n) != 1)
		n = 0;
	(void)fclose(f);
	return n;
}

static uint64_t free_huge_bytes(void)
{
	static const unsigned long sizes_kib[] = {2048, 1048576};
	uint64_t bytes = 0;
	char path[128];

	for (size_t i = 0; i < sizeof(sizes_kib) / sizeof(sizes_kib[0]); i++) {
		(void)snprintf(path, sizeof(path),
			"/sys/kernel/mm/hugepages/hugepages-%lukB/free_hugepages", sizes_kib[i]);
		bytes += read_number(path) * sizes_kib[i] * 1024;
	}
	return bytes;
}

/*
 * Huge pages if there are enough for all; DPDK cannot begin with some and go on with others. On
 * ordinary pages an mbuf must not cross from one to the next, so each takes a page.
 */
static void add_memory(struct eal_args *a, const struct capture_options *o)
{
	uint64_t huge_mib = ((o->memory_bytes + o->mbufs * MBUF_BYTES) >> 20) + 1;
	uint64_t page_mib = ((o->memory_bytes + o->mbufs * PAGE_BYTES) >> 20) + 1;
	uint64_t free_mib = free_huge_bytes() >> 20;
	bool huge = o->huge_pages && free_mib >= huge_mib;

	add_arg(a, "-m");
	a->memory_arg = a->argc;
	add_arg(a, "%llu", (unsigned long long)(huge ? huge_mib : page_mib));
	if (huge) {
		add_arg(a, "--in-memory");
		return;
	}
	/* In EAL's words: --in-memory is for huge pages only. */
	add_arg(a, "--no-shconf");
	add_arg(a, "--no-huge");
	if (o->huge_pages)
		capture_warn("huge pages: %llu MiB wanted, %llu MiB free; packets use ordinary "
			     "memory, which is slower",
			(unsigned long long)huge_mib, (unsigned long long)free_mib);
	else
		capture_warn("huge pages: turned off in the settings; packets use ordinary memory");
}

static void add_devices(struct eal_args *a, const struct capture_options *o)
{
	struct rte_pci_addr pci;
	bool any = false;

	for (unsigned int i = 0; i < o->device_count; i++) {
		if (rte_pci_addr_parse(o->devices[i], &pci) != 0)
			continue;
		add_arg(a, "-a");
		add_arg(a, "%s", o->devices[i]);
		any = true;
	}
	if (!any)
		add_arg(a, "--no-pci");
}

static uint64_t tsc_wall_pair(uint64_t *ret_tsc)
{
	uint64_t before = rte_rdtsc();
	uint64_t wall_ns = clock_wall_ns();
	uint64_t after = rte_rdtsc();

	*ret_tsc = before + (after - before) / 2;
	return wall_ns;
}

int capture_open(const struct capture_options *options, struct errbuf *err)
{
	static struct eal_args a;
	uint64_t tsc, wall_ns;
	int r;

	if (running)
		return fail_with(err, -EBUSY, "DPDK runs already in this process");
	add_arg(&a, "wirespool");
	add_lcores(&a);
	add_arg(&a, "--no-telemetry");
	add_arg(&a, "--log-level=%s",
		options->drivers_log != NULL ? options->drivers_log : "error");
	add_memory(&a, options);
	add_devices(&a, options);
	if (rte_eal_init(a.argc, a.argv) < 0)
		return fail_with(err, -EIO, "cannot start DPDK with %s MiB of memory: %s",
			a.texts[a.memory_arg], rte_strerror(rte_errno));
	r = rx_plan_init();
	if (r < 0)
		return fail_with(err, r, "no memory for the rx plan's readers");
	wall_ns = tsc_wall_pair(&tsc);
	clock_start(&capture_clock, tsc, wall_ns, rte_get_tsc_hz());
	if (clock_shift_ns() != 0)
		capture_warn("clock: moved by %lld s for a trial (WIRESPOOL_FAKE_TIME)",
			(long long)(clock_shift_ns() / (int64_t)1000000000));
	running = true;
	return 0;
}

void capture_close(void)
{
	if (!running)
		return;
	while (all_ports != NULL)
		port_close(all_ports);
	rx_plan_done();
	(void)rte_eal_cleanup();
	running = false;
}

int64_t capture_renew_clock(void)
{
	uint64_t tsc, wall_ns = tsc_wall_pair(&tsc);

	return clock_renew(&capture_clock, tsc, wall_ns, rte_get_tsc_hz());
}

uint64_t capture_now_ns(void)
{
	return clock_at(&capture_clock, rte_rdtsc());
}
