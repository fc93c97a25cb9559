#include "machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"
#include "wirespool/rules.h"

enum {
	RING_SLOTS = 262144, /* 8 MiB: 1.4 ms of a full 40G link, whatever its frames */
	SLOT_BYTES = 32,
	RUNS_AT_ONCE = 8,
	MEMORY_BESIDE = 64 << 20,
	RULE_BYTES = 4400,       /* of a table of rules: up to 4.1 KiB, measured */
	RULES_BESIDE = 64 << 20, /* of its parts, beside */
	CHOICES_AT_ONCE = 2,     /* one in force, one to come */
};

/* The next allowed CPU after cpu that is not in taken, in turn; -1: there is none. */
static int next_cpu(const cpu_set_t *allowed, const cpu_set_t *taken, int cpu)
{
	for (int i = 1; i <= CPU_SETSIZE; i++) {
		size_t next = (size_t)((cpu + i) % CPU_SETSIZE);

		if (CPU_ISSET(next, allowed) && !CPU_ISSET(next, taken))
			return (int)next;
	}
	return -1;
}

static void place_writers(const struct settings *s, const cpu_set_t *allowed, const cpu_set_t *said,
	struct placement *p)
{
	cpu_set_t nobody;

	p->writer_count = s->writer_cpu_count;
	memcpy(p->writer_cpus, s->writer_cpus, sizeof(p->writer_cpus));
	if (p->writer_count > 0)
		return;
	CPU_ZERO(&nobody);
	p->writer_count = 1;
	p->writer_cpus[0] = next_cpu(allowed, said, CPU_SETSIZE - 1);
	if (p->writer_cpus[0] < 0)
		p->writer_cpus[0] = next_cpu(allowed, &nobody, CPU_SETSIZE - 1);
}

int placement_new(const struct settings *s, const cpu_set_t *allowed, struct placement *ret)
{
	struct placement p = {0};
	cpu_set_t said, rx, nobody;
	int cpu = CPU_SETSIZE - 1, next;

	p.ports = calloc(s->port_count > 0 ? s->port_count : 1, sizeof(*p.ports));
	if (p.ports == NULL)
		return -ENOMEM;
	CPU_ZERO(&said);
	CPU_ZERO(&rx);
	CPU_ZERO(&nobody);
	for (unsigned int i = 0; i < s->port_count; i++) {
		p.ports[i].cpu_count = s->ports[i].cpu_count;
		memcpy(p.ports[i].cpus, s->ports[i].cpus, sizeof(p.ports[i].cpus));
		for (unsigned int k = 0; k < p.ports[i].cpu_count; k++) {
			if (p.ports[i].cpus[k] >= 0)
				CPU_SET((size_t)p.ports[i].cpus[k], &said);
		}
	}
	place_writers(s, allowed, &said, &p);
	for (unsigned int i = 0; i < p.writer_count; i++) {
		if (p.writer_cpus[i] >= 0)
			CPU_SET((size_t)p.writer_cpus[i], &said);
	}
	for (unsigned int i = 0; i < s->port_count; i++) {
		if (p.ports[i].cpu_count == 0) {
			next = next_cpu(allowed, &said, cpu);
			if (next < 0) /* all are spoken for: share */
				next = next_cpu(allowed, &nobody, cpu);
			p.ports[i].cpus[0] = next;
			p.ports[i].cpu_count = 1;
			cpu = next < 0 ? cpu : next;
		}
		for (unsigned int k = 0; k < p.ports[i].cpu_count; k++) {
			if (p.ports[i].cpus[k] >= 0)
				CPU_SET((size_t)p.ports[i].cpus[k], &rx);
		}
	}
	CPU_XOR(&p.control, allowed, &rx);
	CPU_AND(&p.control, &p.control, allowed);
	*ret = p;
	return 0;
}

void placement_done(struct placement *p)
{
	free(p->ports);
	p->ports = NULL;
}

static uint64_t queues_of(
	const struct settings *s, const struct placement *p, const struct recording_settings *r)
{
	uint64_t queues = 0;

	for (unsigned int i = 0; i < s->port_count; i++)
		for (unsigned int k = 0; k < r->port_count; k++)
			if (strcmp(s->ports[i].name, r->ports[k]) == 0)
				queues += p->ports[i].cpu_count;
	return queues;
}

/* What a recording's filters and their tables will take. */
static uint64_t filter_bytes(const struct recording_settings *r, uint64_t queues)
{
	struct filter_options options;
	uint64_t bytes;

	recording_filter_options(r, &options);
	bytes = filter_tables_bytes(&options, (unsigned int)queues);
	if (r->rule_set != NULL)
		bytes += RULES_BESIDE + (uint64_t)r->rule_set->count * RULE_BYTES;
	return bytes * CHOICES_AT_ONCE;
}

/* What the ports and the rings of some runs at a time will take of DPDK's memory. */
static void add_memory(
	const struct settings *s, const struct placement *p, struct capture_options *ret)
{
	ret->memory_bytes = MEMORY_BESIDE;
	for (unsigned int i = 0; i < s->port_count; i++) {
		uint64_t queues = p->ports[i].cpu_count;

		ret->mbufs += queues * port_mbufs(s->ports[i].descriptors);
		ret->memory_bytes += queues * RUNS_AT_ONCE * RING_SLOTS * SLOT_BYTES;
	}
	for (unsigned int i = 0; i < s->recording_count; i++)
		ret->memory_bytes +=
			filter_bytes(&s->recordings[i], queues_of(s, p, &s->recordings[i]));
}

static int start_dpdk(const struct settings *s, const struct placement *p, struct errbuf *err)
{
	const char **devices = calloc(s->port_count > 0 ? s->port_count : 1, sizeof(*devices));
	struct capture_options options = {
		.devices = devices,
		.device_count = s->port_count,
		.huge_pages = s->huge_pages,
	};
	int r;

	if (devices == NULL)
		return fail_with(err, -ENOMEM, "no memory for %u ports", s->port_count);
	for (unsigned int i = 0; i < s->port_count; i++)
		devices[i] = s->ports[i].device;
	add_memory(s, p, &options);
	r = capture_open(&options, err);
	free(devices);
	return r;
}

/* Until a run is live all stays with the machine's own stack, where it can: the writers may take long to open. */
static void take_nothing(struct port *p)
{
	static const struct rules none = {.count = 0};

	(void)port_set_prefilter(p, &none, NULL);
}

static int open_ports(
	const struct settings *s, const struct placement *p, struct machine *m, struct errbuf *err)
{
	int r;

	for (unsigned int i = 0; i < s->port_count; i++) {
		struct port_options options = {
			.name = s->ports[i].name,
			.device = s->ports[i].device,
			.cpu_count = p->ports[i].cpu_count,
			.descriptors = s->ports[i].descriptors,
			.ring_slots = RING_SLOTS,
			.frame_bytes = s->ports[i].frame_bytes,
			.promiscuous = s->ports[i].promiscuous,
		};

		memcpy(options.cpus, p->ports[i].cpus, sizeof(options.cpus));
		r = port_open(&options, &m->ports[i], err);
		if (r < 0)
			return r;
		m->port_count++;
		if (s->ports[i].prefilter != PREFILTER_OFF)
			take_nothing(m->ports[i]);
	}
	return 0;
}

/* The NUMA node of all ports, where they agree. */
static int common_socket(const struct machine *m)
{
	struct port_info info;
	int socket_id = -1;

	for (unsigned int i = 0; i < m->port_count; i++) {
		port_get_info(m->ports[i], &info);
		if (i > 0 && info.socket_id != socket_id)
			return -1;
		socket_id = info.socket_id;
	}
	return socket_id;
}

static int open_writers(
	const struct settings *s, const struct placement *p, struct machine *m, struct errbuf *err)
{
	int r;

	for (unsigned int i = 0; i < p->writer_count; i++) {
		const struct writer_options options = {
			.cpu = p->writer_cpus[i],
			.socket_id = common_socket(m),
			.memory_bytes = s->writer_memory_bytes,
			.queue_depth = s->writer_queue_depth,
		};

		r = writer_open(&options, &m->writers[i], err);
		if (r < 0)
			return r;
		m->writer_count++;
	}
	return 0;
}

static void close_all(struct machine *m)
{
	for (unsigned int i = 0; i < m->port_count; i++)
		port_close(m->ports[i]);
	for (unsigned int i = 0; i < m->writer_count; i++)
		writer_close(m->writers[i]);
	free(m->ports);
	free(m->writers);
	free(m);
}

int machine_open(const struct settings *s, struct machine **ret_machine, struct errbuf *err)
{
	struct placement p;
	struct machine *m;
	cpu_set_t allowed;
	int r;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return fail_with(err, -errno, "sched_getaffinity: %s", strerror(errno));
	m = calloc(1, sizeof(*m));
	if (m == NULL || placement_new(s, &allowed, &p) < 0) {
		free(m);
		return fail_with(err, -ENOMEM, "no memory for %u ports", s->port_count);
	}
	m->ports = calloc(s->port_count > 0 ? s->port_count : 1, sizeof(struct port *));
	m->writers = calloc(p.writer_count, sizeof(struct writer *));
	if (m->ports == NULL || m->writers == NULL) {
		r = fail_with(err, -ENOMEM, "no memory for %u ports", s->port_count);
		goto free_machine;
	}
	r = start_dpdk(s, &p, err);
	if (r < 0)
		goto free_machine;

	/* DPDK may have bound this thread to one CPU; threads made later inherit what we set. */
	if (sched_setaffinity(
		    0, sizeof(allowed), CPU_COUNT(&p.control) > 0 ? &p.control : &allowed) < 0)
		log_warn("cannot keep control off the CPUs of rx lcores: %s", strerror(errno));
	r = open_ports(s, &p, m, err);
	if (r == 0)
		r = open_writers(s, &p, m, err);
	if (r < 0)
		goto close_capture;
	placement_done(&p);
	*ret_machine = m;
	return 0;
close_capture:
	placement_done(&p);
	close_all(m);
	capture_close();
	return r;
free_machine:
	placement_done(&p);
	close_all(m);
	return r;
}

void machine_close(struct machine *m)
{
	if (m == NULL)
		return;
	close_all(m);
	capture_close();
}
