#pragma once
/*
 * Capture: ports, their rx lcores, and the rx plan that says what to do with a packet.
 *
 * Flow     NIC queue -> stamp -> match -> cut -> packet rings      one rx lcore per queue
 * Threads  every function here is control's, on one thread. Rx lcores are this
 *          room's own: they take no lock and wait for nobody but a patient source's ring.
 * Memory   allocated in capture_open(), port_open() and rx_plan_*(), on the port's NUMA
 *          node; none while packets flow.
 * Loss     nic_missed, nic_no_mbuf, nic_error per port; lost_ring per ring. A patient
 *          source (gen: with rate=max, pcap: with speed=max) waits instead.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wirespool/clock.h"
#include "wirespool/errbuf.h"
#include "wirespool/filter.h"
#include "wirespool/ledger.h"

struct packet_ring;
struct port;
struct rules;
struct rx_plan;

enum { PORT_NAME_MAX = 32, PORT_LCORES_MAX = 64, PORT_WARNINGS_MAX = 8 };

struct capture_options {
	const char *const *devices; /* of all ports, to know which PCI addresses EAL may touch */
	unsigned int device_count;
	uint64_t mbufs;          /* of all ports together: port_mbufs() per queue of each */
	uint64_t memory_bytes;   /* of what else they need, rings above all */
	bool huge_pages;         /* use them if there are enough; false: never */
	const char *drivers_log; /* DPDK's own log level: "error", "debug", ...; NULL: "error" */
};

/* mbufs that a port with so many descriptors will make, per queue. */
unsigned int port_mbufs(uint32_t descriptors);

/* Starts DPDK. Once per process. Warnings say what could not be had (huge pages). */
int capture_open(const struct capture_options *options, struct errbuf *err);

/* Stops and closes all ports and DPDK. */
void capture_close(void);

/* What was not to be had at the start and what is used instead; NULL past the last. */
const char *capture_warning(unsigned int index);

/* The clock of all rx lcores; control renews it by capture_renew_clock() every 100 ms.
 * Returns how far it was ahead of the wall clock, in ns. */
int64_t capture_renew_clock(void);
uint64_t capture_now_ns(void);

/* Checks the text of a device without touching it: its kind is known and its options parse. */
int device_check(const char *device, struct errbuf *err);

struct port_options {
	const char *name;
	const char *
		device; /* as in docs: 0000:3b:00.0, eth0, af_xdp:eth0, pcap:..., gen:..., vdev:... */
	int cpus[PORT_LCORES_MAX]; /* one rx lcore, and so one rx queue, each; -1: anywhere */
	unsigned int cpu_count;    /* >= 1 */
	uint32_t descriptors;      /* wanted per queue; clamped to what the device allows */
	uint32_t ring_slots;       /* of 32 bytes, per run and queue; a power of two, >= 8192 */
	uint32_t frame_bytes;      /* longest frame to take, with FCS: 9216 */
	bool promiscuous;
};

struct port_info {
	char name[PORT_NAME_MAX];
	char device[256];
	char driver[64];
	const char *clock; /* "tsc" (once per burst) or "kernel" (per packet) */
	uint8_t mac[6];
	bool has_mac;
	bool link_up;
	uint64_t link_bps; /* 0: not known */
	int linktype;      /* libpcap's DLT */
	int socket_id;
	unsigned int queues;
	uint32_t descriptors;
	bool patient; /* the source waits for us; nothing is ever lost */
	bool ended;   /* the source has no more packets and the last was handed over */
	const char *warnings[PORT_WARNINGS_MAX]; /* valid until port_close(); NULL past the last */
};

/*
 * Opens a device, sets it up and starts its rx lcores, which throw away what comes
 * until a plan names the port. On failure nothing is left behind and err names the
 * device, the value and the rule: -ENODEV no such device, -EBUSY used already,
 * -EINVAL options that are wrong, -EPERM, -ENOMEM.
 */
int port_open(const struct port_options *options, struct port **ret_port, struct errbuf *err);
void port_close(struct port *p);

void port_get_info(const struct port *p, struct port_info *ret);

/* Counts since the port was first in a plan; what comes while no run is live is not counted. */
void port_get_ledger(const struct port *p, struct port_ledger *ret);

/* Once a second, from control: follows the link (logs its changes) and reads the device's counters. */
void port_refresh(struct port *p);

/* One rx lcore's work since start. */
struct port_lcore {
	int cpu; /* -1: anywhere */
	uint64_t pkts;
	uint64_t busy_ns; /* with packets: busy_ns / pkts is what one costs, reception included */
	uint64_t longest_gap_ns; /* between two polls: what the descriptors had to bridge */
};

void port_get_lcore(const struct port *p, unsigned int queue, struct port_lcore *ret);

/*
 * Lets rules (wirespool/rules.h) decide which packets of an AF_XDP port the recorder gets, before they
 * cost it anything: those of a keep or cut rule. Those of a drop rule are dropped, in the kernel, those of
 * RULE_PASS are not taken. What no rule names stays with the kernel's stack, as if nobody recorded: unlike in a
 * recording's rules that is the end of the list. What is not IP is named by rules that ask for nothing. A packet
 * of which too little is seen comes if any rule could keep it: a later fragment, whose ports are not known, by
 * that rule; one with IP behind MPLS, PPPoE or a third tag, with more than eight extension headers, or with
 * a header that is cut by none. NULL: all packets are redirected, as at the start.
 *
 * A NIC (any DPDK device whose driver takes flows) drops itself what drop and RULE_PASS rules drop, as far as
 * it can: those before which no keep or cut rule names any of the same packets, and which its driver takes. All
 * else comes to the recorder, what no rule names as well, so its own rules decide as ever. How many of the
 * rules the NIC has is logged. Where the kernel receives from the same NIC (mlx5, tap), what is dropped is taken from
 * the kernel, too: there RULE_PASS stays with the recorder. While rules change, no packet is dropped that both
 * lists keep.
 *
 * From one packet to the next the new rules are in force; the rules need not be kept. On failure those
 * before stay, and err says why: -ENOTSUP (the port has no prefilter), -E2BIG (more than 512 rules), -EINVAL (a
 * rule that drops all of IP), -ENOMEM; of NICs only -ENOTSUP, or that of a driver that does not let a flow go.
 */
int port_set_prefilter(struct port *p, const struct rules *rules, struct errbuf *err);

/* Of a rule for which the device has no count: it is the recorder's, or the driver does not count. */
#define PREFILTER_NOT_COUNTED UINT64_MAX

/* What became of the packets since these rules are in force; what comes while no run is live, too. */
struct port_prefilter {
	uint64_t redirected_pkts; /* 0 of NICs, as the next */
	uint64_t passed_pkts;
	uint64_t dropped_pkts;   /* of NICs, by flows that their driver counts */
	unsigned int rule_count; /* 0: there are no rules */
	const uint64_t *
		rule_pkts; /* of each rule that decided; or PREFILTER_NOT_COUNTED; valid until the port is asked again */
};

/* Returns 0, -ENOTSUP (the port has no prefilter), or the kernel's error. */
int port_get_prefilter(struct port *p, struct port_prefilter *ret);

/*
 * A ring for a run on queue of p, on p's NUMA node. The caller owns it and frees it with
 * packet_ring_free() once it is out of every plan and its writer is done with it.
 */
struct packet_ring *port_ring_new(const struct port *p, unsigned int queue, uint32_t interface_id);
void packet_ring_free(struct packet_ring *r); /* as in packet.h, for who may not see DPDK */

/* What a run asks of its packets on one port. */
struct rx_choice {
	const struct filter *filter;  /* NULL: keeps all */
	struct filter_tables *tables; /* the filter's for this port; NULL: it needs none */
	struct cut cut;
};

/*
 * One run on one port. rings: one per queue of the port, all of them kept by the caller. The choice is
 * exchanged while the run goes on by a plan with both: packets from switch_ns on are judged by the next one,
 * on all queues alike. So no packet is matched by half of each, if switch_ns is still to come when
 * the plan is published.
 */
struct rx_rule {
	struct port *port;
	uint64_t start_ns; /* packets with start <= time < end */
	uint64_t end_ns;
	struct rx_choice now;
	struct rx_choice next;
	uint64_t switch_ns; /* UINT64_MAX: never */
	struct packet_ring **rings;
};

/*
 * Makes rules the plan of all rx lcores, with one atomic store, and frees the plan before
 * it when every lcore has passed a quiescent state: when this returns, no lcore uses the
 * old plan's filters and rings any more. Rules are copied. Rings and filters stay the
 * caller's. On -ENOMEM the old plan stays.
 */
int rx_plan_publish(const struct rx_rule rules[], unsigned int count, struct errbuf *err);
