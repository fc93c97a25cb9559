#pragma once
/*
 * Source: what a port receives from. One class per kind of device: ethdev.c (every DPDK
 * device), afpacket.c (a kernel interface), gen.c (the generator), replay.c (a capture file).
 *
 * Flow     port.c opens a source with one mbuf pool per queue; each queue's rx lcore
 *          (rx.c) calls receive() and owns the mbufs that it gets.
 * Threads  receive(), wait() and ended() of a queue: its rx lcore only. All else: control.
 *          Counts are counters, one writer each.
 * Memory   a source allocates in open(); receive() takes mbufs from its queue's pool only.
 */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "wirespool/capture.h"
#include "wirespool/counter.h"
#include "wirespool/errbuf.h"

enum { BURST_PKTS = 64, SOURCE_QUEUES_MAX = PORT_LCORES_MAX };

/* What one receive() brought. Only the arrays that are said to be filled are read. */
struct burst {
	struct rte_mbuf *pkts[BURST_PKTS];
	uint64_t time_ns[BURST_PKTS]; /* with own_times: ns since the epoch; else stamped by rx.c */
	uint32_t wire_len[BURST_PKTS]; /* with own_lengths; else the mbuf's pkt_len */
	uint32_t flags[BURST_PKTS];    /* with own_flags: epb_flags; else the source's flags */
	bool own_times;
	bool emptied;     /* with own_times: nothing older is waiting in the source */
	uint64_t late_ns; /* with emptied: so far behind now all packets have come */
	bool own_lengths;
	bool own_flags;
};

struct source_options {
	const char *name;   /* of the port, for messages */
	const char *device; /* whole text, its prefix included */
	unsigned int queues;
	uint32_t descriptors; /* wanted; the source writes what it took into source.descriptors */
	uint32_t frame_bytes; /* longest frame to take, FCS included */
	bool promiscuous;
	int socket_id;
	struct rte_mempool *const *pools; /* one per queue; port.c frees them after close() */
};

struct source_queue {
	void *state; /* the source's own, handed to receive() and so on */

	/* Counted by the rx lcore inside receive(), read by control. */
	counter missed_pkts;
	counter no_mbuf_pkts;
	counter error_pkts;
} __rte_cache_aligned;

struct source {
	const struct source_class *class;
	void *state; /* the source's own */
	struct source_queue queues[SOURCE_QUEUES_MAX];
	unsigned int queue_count;
	char driver[64];
	const char *clock; /* "tsc" or "kernel" */
	int linktype;      /* libpcap's DLT */
	uint32_t flags;    /* epb_flags of every packet, where known */
	uint32_t descriptors;
	uint8_t mac[6];
	bool has_mac;
	bool patient;   /* receive() may be left uncalled: nothing is lost by waiting */
	bool busy_poll; /* true: spin while a run is live; false: wait() when there is nothing */
	char warnings[PORT_WARNINGS_MAX][256]; /* what could not be had; "" past the last */
};

/* Adds a line to s->warnings; past the last place it is left out. */
void source_warn(struct source *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct source_counts {
	uint64_t missed_pkts; /* since open() */
	uint64_t no_mbuf_pkts;
	uint64_t error_pkts;
	uint64_t redirected_pkts; /* by a prefilter, as the next two */
	uint64_t passed_pkts;
	uint64_t dropped_pkts;
};

struct source_class {
	/* True when the text is of this kind; ethdev.c and afpacket.c are asked last. */
	bool (*claims)(const char *device);

	/* The text alone: options parse, files can be read, interfaces exist. Touches nothing. */
	int (*check)(const char *device, struct errbuf *err);

	/* Data room wanted of an mbuf, without headroom; 0: the usual 2048. And mbufs that the source itself holds. */
	unsigned int (*mbuf_room)(const char *device);

	/* NUMA node of the device, or -1. */
	int (*socket_id)(const char *device);

	/*
	 * Opens and starts. Fills *s (zeroed by the caller, class set). On failure it has undone
	 * everything and err says what, the value and the rule.
	 */
	int (*open)(struct source *s, const struct source_options *options, struct errbuf *err);
	void (*close)(struct source *s);

	/*
	 * HOT PATH. Up to BURST_PKTS packets, never waiting. The caller owns the mbufs. An mbuf's
	 * pkt_len is what is there of the packet; VLAN tags are in the frame.
	 * Counts what it could not take in the queue's counters.
	 */
	uint16_t (*receive)(struct source_queue *q, struct burst *b);

	/*
	 * No run is live: instead of receive(), as often. For sources that make packets, so that time
	 * stands still for them and none is made for nobody. NULL: receive() is called all the time
	 * and what comes is thrown away, as a NIC's descriptors must be emptied.
	 */
	void (*idle)(struct source_queue *q);

	/* Sleeps until something may have come, at most max_ns; NULL: the caller sleeps by itself. */
	void (*wait)(struct source_queue *q, uint64_t max_ns);

	/* True once receive() will never bring anything again; NULL: never. */
	bool (*ended)(const struct source_queue *q);

	/* Totals of all queues and of what only the device knows. May make a system call. */
	void (*counts)(struct source *s, struct source_counts *ret);

	/* As port_set_prefilter() and port_get_prefilter(); NULL: there is no such kind of source. */
	int (*set_prefilter)(struct source *s, const struct rules *rules, struct errbuf *err);
	int (*get_prefilter)(struct source *s, struct port_prefilter *ret);

	/* Link state and speed (0: not known); NULL: always up. */
	void (*link)(struct source *s, bool *ret_up, uint64_t *ret_bps);
};

extern const struct source_class ethdev_class, xdp_class, afpacket_class, gen_class, replay_class;

/*
 * A packet of len bytes as one mbuf or a chain of them from pool. NULL when the pool is empty:
 * then none is taken. Shared by the sources that copy.
 */
struct rte_mbuf *mbuf_from_bytes(struct rte_mempool *pool, const void *data, uint32_t len);
