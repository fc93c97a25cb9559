/*
 * wirespool-filter: a filter tried on a capture file. `wirespool filter` runs it.
 */
#include "trial.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>

#include "wirespool/clock.h"
#include "wirespool/log.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

/* More than was seen to be needed: what is not used is not touched. */
enum { MEMORY_MIB_MIN = 32, RULE_BYTES = 10 << 10 };

/* Rules and tables lie in DPDK's memory. An expression alone does without, and so starts at once. */
static bool needs_dpdk(const struct filter_options *o)
{
	return o->rules != NULL || filter_tables_bytes(o, 1) > 0;
}

/* Ordinary memory, no device, and the CPUs that we have: nothing of the machine is taken. */
static int start_dpdk(const struct filter_options *o, struct errbuf *err)
{
	uint64_t rules = o->rules != NULL ? o->rules->count : 0;
	uint64_t bytes = 2 * filter_tables_bytes(o, 1) + rules * RULE_BYTES;
	char name[] = "wirespool-filter", no_huge[] = "--no-huge", no_shconf[] = "--no-shconf",
	     no_pci[] = "--no-pci", no_telemetry[] = "--no-telemetry", log[] = "--log-level=error",
	     m[] = "-m", mib[24], lcores[] = "--lcores", lcore[24];
	char *argv[] = {
		name, no_huge, no_shconf, no_pci, no_telemetry, log, m, mib, lcores, lcore, NULL};
	cpu_set_t cpus;
	int r;

	(void)snprintf(
		mib, sizeof(mib), "%llu", (unsigned long long)(MEMORY_MIB_MIN + (bytes >> 20)));
	(void)snprintf(lcore, sizeof(lcore), "0@%d", sched_getcpu());
	(void)sched_getaffinity(0, sizeof(cpus), &cpus);
	r = rte_eal_init(sizeof(argv) / sizeof(argv[0]) - 1, argv);
	if (r < 0)
		return fail_with(err, -EIO, "cannot start DPDK with %s MiB of memory: %s", mib,
			rte_strerror(rte_errno));
	/* EAL has pinned us to one. */
	(void)sched_setaffinity(0, sizeof(cpus), &cpus);
	return 0;
}

static int make_filter(struct trial *t, struct errbuf *err)
{
	const struct filter_options *o = &t->options->filter;
	int linktype = t->source != NULL ? pcap_datalink(t->source->pcap) : DLT_EN10MB;
	uint64_t start_ns = clock_monotonic_ns();
	int r = filter_new(o, linktype, -1, &t->filter, err);

	t->build_ns = clock_monotonic_ns() - start_ns;
	return r < 0 ? r : filter_tables_new(o, 1, -1, NULL, &t->tables, err);
}

static int run(struct trial *t)
{
	if (t->options->dump)
		return trial_dump(t);
	return t->options->bench ? trial_bench(t) : trial_explain(t);
}

/* With a source or, to dump alone, without. */
static int try_filter(const struct trial_options *o, struct trial_source *source)
{
	struct trial t = {.options = o, .source = source};
	bool dpdk = needs_dpdk(&o->filter);
	struct errbuf err = {""};
	int code, r;

	r = dpdk ? start_dpdk(&o->filter, &err) : 0;
	if (r < 0) {
		log_error("%s", err.text);
		return TRIAL_FAILED;
	}
	r = make_filter(&t, &err);
	if (r < 0) {
		log_error("%s", err.text);
		code = r == -EINVAL ? TRIAL_USAGE : TRIAL_FAILED;
	} else {
		code = run(&t);
	}
	filter_tables_free(t.tables);
	filter_free(t.filter);
	if (dpdk)
		(void)rte_eal_cleanup();
	return code;
}

static int open_and_try(const struct trial_options *o)
{
	struct trial_source source;
	struct errbuf err;
	int code;

	if (o->file == NULL)
		return try_filter(o, NULL);
	if (trial_source_open(&source, o->file, &err) < 0) {
		log_error("%s", err.text);
		return TRIAL_FAILED;
	}
	code = try_filter(o, &source);
	trial_source_close(&source);
	return code;
}

int main(int argc, char *argv[])
{
	struct trial_options o;
	int code = trial_options_parse(&o, argc, argv);
	bool failed;

	if (code == TRIAL_GOOD)
		code = open_and_try(&o);
	trial_options_done(&o);
	/* What was lost on the way out (a full disk, say) must not look like success. */
	failed = ferror(stdout) != 0;
	if (fclose(stdout) == 0 && !failed)
		return code;
	log_error("cannot write to stdout: %s", strerror(errno));
	return code == TRIAL_GOOD ? TRIAL_FAILED : code;
}
