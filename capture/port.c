#include "port.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>

#include "wirespool/log.h"
#include "wirespool/units.h"

static const uint64_t FASTEST_BPS = 100ULL * 1000 * 1000 * 1000;

enum {
	POOL_CACHE = 512,
	MBUF_ROOM = 2048,
	REST_MAX_US = 1000,    /* of a writer: longer ones save next to nothing more */
	RING_SLOTS_MIN = 8192, /* two bursts of the longest packets that go by value */
	MBUFS_REFERRED = 8192, /* jumbo frames on their way to writers, and what they are made of */
};

static_assert(RING_SLOTS_MIN >= 2 * BURST_PKTS * PACKET_SLOTS_MAX, "a burst finds room");

struct port *all_ports;
static struct rx_queue *queue_slots[RX_QUEUES_MAX];

static const struct source_class *const CLASSES[] = {
	&gen_class, &replay_class, &xdp_class, &ethdev_class, &afpacket_class};

static const struct source_class *class_of(const char *device)
{
	for (size_t i = 0; i < sizeof(CLASSES) / sizeof(CLASSES[0]); i++)
		if (CLASSES[i]->claims(device))
			return CLASSES[i];
	return NULL;
}

static int unknown_device(const char *device, struct errbuf *err)
{
	return fail_with(err, -EINVAL,
		"'%s' is no device: it must be a PCI address (0000:3b:00.0), an interface (eth0), "
		"af_xdp:IFACE, pcap:FILE, gen:OPTIONS or vdev:net_...",
		device);
}

int device_check(const char *device, struct errbuf *err)
{
	const struct source_class *class = class_of(device);

	return class == NULL ? unknown_device(device, err) : class->check(device, err);
}

void source_warn(struct source *s, const char *format, ...)
{
	va_list args;

	for (unsigned int i = 0; i < PORT_WARNINGS_MAX; i++) {
		if (s->warnings[i][0] != '\0')
			continue;
		va_start(args, format);
		(void)vsnprintf(s->warnings[i], sizeof(s->warnings[i]), format, args);
		va_end(args);
		return;
	}
}

/*
 * mbufs live from the device's descriptors to the hand-over, those of jumbo frames to the far end
 * of a ring: enough for both, for the bursts on the way and for what mempool caches keep.
 */
unsigned int port_mbufs(uint32_t descriptors)
{
	return descriptors + MBUFS_REFERRED + 2 * POOL_CACHE + 2 * BURST_PKTS;
}

struct rte_mempool *packed_pool_new(
	const char *name, unsigned int mbufs, uint16_t room, int socket_id)
{
	struct rte_pktmbuf_pool_private mbuf_sizes = {.mbuf_data_room_size = room};
	struct rte_mempool *mp =
		rte_mempool_create_empty(name, mbufs, (unsigned int)sizeof(struct rte_mbuf) + room,
			POOL_CACHE, sizeof(mbuf_sizes), socket_id, RTE_MEMPOOL_F_NO_IOVA_CONTIG);

	if (mp == NULL)
		return NULL;
	rte_pktmbuf_pool_init(mp, &mbuf_sizes);
	if (rte_mempool_set_ops_byname(mp, rte_mbuf_best_mempool_ops(), NULL) < 0 ||
		rte_mempool_populate_default(mp) < 0) {
		rte_mempool_free(mp);
		return NULL;
	}
	(void)rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
	return mp;
}

static struct rte_mempool *pool_new(
	const struct port *p, const char *name, unsigned int mbufs, uint16_t room)
{
	if (p->source.class == &xdp_class)
		return packed_pool_new(name, mbufs, room, p->socket_id);
	return rte_pktmbuf_pool_create(name, mbufs, POOL_CACHE, 0, room, p->socket_id);
}

static int make_pools(struct port *p, const struct port_options *o, struct errbuf *err)
{
	unsigned int room = p->source.class->mbuf_room(o->device);
	unsigned int mbufs = port_mbufs(o->descriptors);
	static unsigned int serial; /* DPDK wants names that no pool had before */
	char name[RTE_MEMPOOL_NAMESIZE];

	if (room == 0)
		room = MBUF_ROOM;
	for (unsigned int q = 0; q < o->cpu_count; q++) {
		(void)snprintf(name, sizeof(name), "rx-pool-%u", serial++);
		p->pools[q] = pool_new(p, name, mbufs, (uint16_t)(room + RTE_PKTMBUF_HEADROOM));
		if (p->pools[q] == NULL)
			return fail_with(err, -ENOMEM,
				"port '%s' queue %u: no memory for %u mbufs of %u bytes: %s",
				o->name, q, mbufs, room, rte_strerror(rte_errno));
	}
	return 0;
}

static void free_pools(struct port *p)
{
	for (unsigned int q = 0; q < SOURCE_QUEUES_MAX; q++)
		rte_mempool_free(p->pools[q]);
}

static int claim_slot(struct rx_queue *q)
{
	for (unsigned int i = 0; i < RX_QUEUES_MAX; i++) {
		if (queue_slots[i] != NULL)
			continue;
		queue_slots[i] = q;
		q->index = i;
		return 0;
	}
	return -ENOSPC;
}

static int start_queue(struct port *p, unsigned int i, int cpu, struct errbuf *err)
{
	struct rx_queue *q =
		rte_zmalloc_socket("rx_queue", sizeof(*q), RTE_CACHE_LINE_SIZE, p->socket_id);
	int r;

	if (q == NULL)
		return fail_with(err, -ENOMEM, "port '%s': no memory for queue %u", p->name, i);
	q->port = p;
	q->class = p->source.class;
	q->source = &p->source.queues[i];
	q->of = &p->source;
	q->pool = p->pools[i];
	q->cpu = cpu;
	r = claim_slot(q);
	if (r < 0) {
		rte_free(q);
		return fail_with(
			err, r, "port '%s': more than %d rx queues in all", p->name, RX_QUEUES_MAX);
	}
	r = rx_queue_start(q, err);
	if (r < 0) {
		queue_slots[q->index] = NULL;
		rte_free(q);
		return r;
	}
	p->queues[p->queue_count++] = q;
	return 0;
}

static void stop_queues(struct port *p)
{
	while (p->queue_count > 0) {
		struct rx_queue *q = p->queues[--p->queue_count];

		rx_queue_stop(q);
		queue_slots[q->index] = NULL;
		rte_free(q);
	}
}

static int open_source(struct port *p, const struct port_options *o, struct errbuf *err)
{
	struct source_options so = {
		.name = o->name,
		.device = o->device,
		.queues = o->cpu_count,
		.descriptors = o->descriptors,
		.frame_bytes = o->frame_bytes,
		.promiscuous = o->promiscuous,
		.socket_id = p->socket_id,
		.pools = p->pools,
	};

	return p->source.class->open(&p->source, &so, err);
}

static int check_options(const struct port_options *o, struct errbuf *err)
{
	if (o->cpu_count == 0 || o->cpu_count > PORT_LCORES_MAX)
		return fail_with(err, -EINVAL, "port '%s': lcores must be 1..%d, got %u", o->name,
			PORT_LCORES_MAX, o->cpu_count);
	if (o->ring_slots < RING_SLOTS_MIN || (o->ring_slots & (o->ring_slots - 1)) != 0)
		return fail_with(err, -EINVAL,
			"port '%s': ring slots must be a power of two, at least %d, got %u",
			o->name, RING_SLOTS_MIN, o->ring_slots);
	for (const struct port *p = all_ports; p != NULL; p = p->next)
		if (strcmp(p->device, o->device) == 0 && strncmp(o->device, "gen:", 4) != 0 &&
			strncmp(o->device, "pcap:", 5) != 0)
			return fail_with(err, -EBUSY,
				"device '%s' of port '%s' is port '%s' already", o->device, o->name,
				p->name);
	return 0;
}

/* They share what a CPU can do, and one that has just been held up for another may come too late. */
static void warn_shared_cpus(struct port *p, const struct port_options *o)
{
	for (unsigned int i = 0; i < o->cpu_count; i++) {
		unsigned int before = 0, all = 0;

		for (unsigned int k = 0; k < o->cpu_count; k++) {
			all += o->cpus[k] == o->cpus[i];
			before += k < i && o->cpus[k] == o->cpus[i];
		}
		if (o->cpus[i] >= 0 && all > 1 && before == 0)
			source_warn(&p->source, "CPU %d has %u rx lcores: they take turns",
				o->cpus[i], all);
	}
}

int port_open(const struct port_options *options, struct port **ret_port, struct errbuf *err)
{
	struct port *p;
	int r;

	r = check_options(options, err);
	if (r < 0)
		return r;
	r = device_check(options->device, err);
	if (r < 0)
		return r;
	p = rte_zmalloc("port", sizeof(*p), RTE_CACHE_LINE_SIZE);
	if (p == NULL)
		return fail_with(err, -ENOMEM, "port '%s': no memory", options->name);
	(void)snprintf(p->name, sizeof(p->name), "%s", options->name);
	(void)snprintf(p->device, sizeof(p->device), "%s", options->device);
	p->source.class = class_of(options->device);
	p->ring_slots = options->ring_slots;
	p->socket_id = p->source.class->socket_id(options->device);
	if (p->socket_id < 0)
		p->socket_id = SOCKET_ID_ANY;
	p->was_up = true;
	r = make_pools(p, options, err);
	if (r < 0)
		goto free_port;
	r = open_source(p, options, err);
	if (r < 0)
		goto free_port;
	for (unsigned int i = 0; i < options->cpu_count; i++) {
		r = start_queue(p, i, options->cpus[i], err);
		if (r < 0)
			goto stop_port;
	}
	warn_shared_cpus(p, options);
	p->next = all_ports;
	all_ports = p;
	port_refresh(p);
	*ret_port = p;
	return 0;
stop_port:
	stop_queues(p);
	p->source.class->close(&p->source);
free_port:
	free_pools(p);
	rte_free(p);
	return r;
}

void port_close(struct port *p)
{
	struct port **at = &all_ports;

	if (p == NULL)
		return;
	while (*at != NULL && *at != p)
		at = &(*at)->next;
	if (*at == p)
		*at = p->next;
	stop_queues(p);
	p->source.class->close(&p->source);
	free_pools(p);
	rte_free(p);
}

void port_get_info(const struct port *p, struct port_info *ret)
{
	const struct source *s = &p->source;
	unsigned int i;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->name, p->name, sizeof(ret->name));
	memcpy(ret->device, p->device, sizeof(ret->device));
	memcpy(ret->driver, s->driver, sizeof(ret->driver));
	ret->clock = s->clock;
	memcpy(ret->mac, s->mac, sizeof(ret->mac));
	ret->has_mac = s->has_mac;
	ret->link_up = p->was_up;
	ret->link_bps = p->link_bps;
	ret->linktype = s->linktype;
	ret->socket_id = p->socket_id;
	ret->queues = p->queue_count;
	ret->descriptors = s->descriptors;
	ret->patient = s->patient;
	ret->ended = true;
	for (i = 0; i < p->queue_count; i++)
		if (!atomic_load_explicit(&p->queues[i]->ended, memory_order_acquire))
			ret->ended = false;
	for (i = 0; i < PORT_WARNINGS_MAX; i++)
		ret->warnings[i] = s->warnings[i][0] != '\0' ? s->warnings[i] : NULL;
}

/* What the device did since it was looked at last; counted only while a run is live on the port. */
static void settle_counts(struct port *p)
{
	struct source_counts now = p->seen; /* stays, where the device does not answer */

	p->source.class->counts(&p->source, &now);
	if (p->live) {
		p->ledger.nic_missed_pkts += now.missed_pkts - p->seen.missed_pkts;
		p->ledger.nic_no_mbuf_pkts += now.no_mbuf_pkts - p->seen.no_mbuf_pkts;
		p->ledger.nic_error_pkts += now.error_pkts - p->seen.error_pkts;
		p->ledger.prefilter_redirected_pkts +=
			now.redirected_pkts - p->seen.redirected_pkts;
		p->ledger.prefilter_passed_pkts += now.passed_pkts - p->seen.passed_pkts;
		p->ledger.prefilter_dropped_pkts += now.dropped_pkts - p->seen.dropped_pkts;
		counter_set(&p->nic_lost, port_ledger_lost(&p->ledger));
	}
	p->seen = now;
}

void port_set_live(struct port *p, bool live)
{
	if (p->live == live)
		return;
	settle_counts(p);
	p->live = live;
}

void port_get_ledger(const struct port *p, struct port_ledger *ret)
{
	*ret = p->ledger;
	ret->received_pkts = 0;
	for (unsigned int i = 0; i < p->queue_count; i++)
		ret->received_pkts += counter_get(&p->queues[i]->received_pkts);
	ret->offered_pkts = ret->received_pkts + port_ledger_lost(ret);
}

int port_set_prefilter(struct port *p, const struct rules *rules, struct errbuf *err)
{
	if (p->source.class->set_prefilter == NULL)
		return fail_with(err, -ENOTSUP,
			"port '%s': only NICs and devices of the kind af_xdp:IFACE have a "
			"prefilter",
			p->name);
	return p->source.class->set_prefilter(&p->source, rules, err);
}

int port_get_prefilter(struct port *p, struct port_prefilter *ret)
{
	if (p->source.class->get_prefilter == NULL)
		return -ENOTSUP;
	return p->source.class->get_prefilter(&p->source, ret);
}

void port_refresh(struct port *p)
{
	uint64_t bps = 0;
	char rate[UNITS_TEXT];
	bool up = true;

	settle_counts(p);
	if (p->source.class->link != NULL)
		p->source.class->link(&p->source, &up, &bps);
	if (up != p->was_up) {
		if (up && bps != 0)
			log_info("port %s: link up, %s", p->name, rate_format((double)bps, rate));
		else if (up)
			log_info("port %s: link up", p->name);
		else
			log_warn("port %s: link down", p->name);
	}
	p->was_up = up;
	p->link_bps = bps;
}

void port_get_lcore(const struct port *p, unsigned int queue, struct port_lcore *ret)
{
	const struct rx_queue *q = p->queues[queue];
	uint64_t mult = atomic_load_explicit(&capture_clock.mult, memory_order_relaxed);

	ret->cpu = q->cpu;
	ret->pkts = counter_get(&q->received_pkts);
	ret->busy_ns = clock_scale(counter_get(&q->busy_cycles), mult);
	ret->longest_gap_ns = clock_scale(counter_get(&q->longest_gap_cycles), mult);
}

/*
 * A quarter of the time in which a full link fills a ring. A link whose speed is not known is as fast as any
 * that one queue can take.
 */
static uint16_t rest_us(const struct port *p)
{
	uint64_t bps = p->link_bps != 0 ? p->link_bps : FASTEST_BPS;
	uint64_t fill_us = (uint64_t)p->ring_slots * PACKET_SLOT * 8 * 1000000 / bps;

	return (uint16_t)RTE_MIN(fill_us / 4, (uint64_t)REST_MAX_US);
}

struct packet_ring *port_ring_new(const struct port *p, unsigned int queue, uint32_t interface_id)
{
	struct packet_ring *r = packet_ring_new(p->ring_slots, p->socket_id);

	if (r == NULL)
		return NULL;
	/* A NIC does not say for which queue: its losses are told with the first. */
	if (queue == 0) {
		r->nic_lost = &p->nic_lost;
		r->nic_lost_base = counter_get(&p->nic_lost);
		r->out.nic_lost_seen = r->nic_lost_base;
	}
	r->interface_id = interface_id;
	r->queue = queue;
	r->rest_us = rest_us(p);
	r->patient = p->source.patient;
	r->write_queue = p->queue_count > 1;
	return r;
}
