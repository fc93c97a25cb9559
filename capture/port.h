#pragma once
/*
 * Port and rx queue, inside the capture room: port.c makes them, rx.c runs them, plan.c
 * says what they do.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "source.h"
#include "wirespool/capture.h"
#include "wirespool/packet.h"

enum { RX_QUEUES_MAX = 128, RX_RULES_MAX = 64 };

/* One rx lcore and its queue. */
struct rx_queue {
	/* Read-only once the thread runs */
	struct port *port;
	const struct source_class *class;
	struct source_queue *source;
	const struct source *of;
	struct rte_mempool *pool;
	unsigned int index; /* among all queues of all ports: its place in a plan, its RCU id */
	int cpu;            /* -1: anywhere */
	pthread_t thread;
	_Atomic bool stop;
	_Atomic int started; /* 0 not yet, 1 runs, negative errno */

	/* Written by the rx lcore */
	counter received_pkts __rte_cache_aligned;
	counter longest_gap_cycles; /* of the TSC, between two polls without a rest */
	counter busy_cycles;        /* from polls that brought packets to the next */
	_Atomic bool ended;
	uint64_t last_ns;       /* no packet to come will be older */
	uint64_t last_tsc;      /* of the poll before; 0: it rested since */
	unsigned int last_pkts; /* that it brought */
} __rte_cache_aligned;

struct port {
	char name[PORT_NAME_MAX];
	char device[256];
	struct source source;
	struct rte_mempool *pools[SOURCE_QUEUES_MAX];
	struct rx_queue *queues[SOURCE_QUEUES_MAX];
	unsigned int queue_count;
	int socket_id;
	uint32_t ring_slots;

	/* Control's own */
	bool live; /* in the plan */
	bool was_up;
	uint64_t link_bps;
	struct source_counts seen; /* the source's counts when they were looked at last */
	struct port_ledger ledger; /* nic_* and prefilter_* while live */
	counter nic_lost;          /* their sum, for the writers */
	struct port *next;
};

/*
 * port.c: mbufs for a queue of AF_XDP, one right behind the other. net_af_xdp of DPDK 22.11 reckons with that, and
 * tells the kernel of so much memory as they take then. Of mbufs that leave the ends of pages free, as ordinary
 * pools do for devices that know physical addresses, the kernel refuses the last, and each that it refuses is lost.
 */
struct rte_mempool *packed_pool_new(
	const char *name, unsigned int mbufs, uint16_t room, int socket_id);

/* port.c: a port comes into the plan or leaves it. What its device loses is counted in between only. */
void port_set_live(struct port *p, bool live);
extern struct port *all_ports;

/* rx.c */
int rx_queue_start(struct rx_queue *q, struct errbuf *err);
void rx_queue_stop(struct rx_queue *q);

/* plan.c: what rx lcores do with a burst. */
struct rx_entry {
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t switch_ns; /* from here on next is what counts */
	struct packet_ring *ring;
	const struct filter *filter; /* NULL: keeps all */
	struct cut cut;
	int linktype;
	uint16_t queue; /* of the port */
	bool whole;     /* neither cut takes anything away */

	/* Not looked at for most bursts */
	struct filter_tables *tables __rte_cache_aligned;
	struct rx_choice next;
} __rte_cache_aligned;

struct rx_list {
	unsigned int count;
	struct rx_entry *entries;
};

struct rx_plan {
	struct rx_list lists[RX_QUEUES_MAX]; /* by rx_queue.index */
};

/* The plan now; rx lcores load it once per burst. Acquire pairs with P1 in rx_plan_publish(). */
const struct rx_plan *rx_plan_now(void);
void rx_plan_enter(unsigned int index);     /* this lcore will look at plans */
void rx_plan_quiescent(unsigned int index); /* it holds none now */
void rx_plan_leave(unsigned int index);
int rx_plan_init(void);
void rx_plan_done(void);

/* eal.c */
extern struct clock_base capture_clock;
void capture_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
