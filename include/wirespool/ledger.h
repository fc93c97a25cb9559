#pragma once
/*
 * Ledger: the account of every packet. It balances at any time and at the end:
 *
 *   port   offered  = received + nic_missed + nic_no_mbuf + nic_error
 *   run    received = outside_window + filtered + cutoff + written
 *                     + lost_ring + lost_memory + lost_disk + in_ram
 *
 * A port's prefilter (AF_XDP) stands before that: what it passed to the kernel's stack or dropped was never
 * offered, and what it redirected is received, unless it was lost on the way (nic_missed). A NIC's drops only, and
 * is counted where its driver counts.
 *
 * in_ram is what lies between ring and disk at this instant; 0 at the end.
 * These are plain copies for reading; the live counters lie with whoever writes them.
 */

#include <stdint.h>

struct port_ledger {
	uint64_t offered_pkts;
	uint64_t received_pkts;
	uint64_t nic_missed_pkts;  /* the device had no free descriptor: the rx lcore was late */
	uint64_t nic_no_mbuf_pkts; /* the mbuf pool was empty */
	uint64_t nic_error_pkts;   /* damaged on the wire, or longer than the port takes */
	uint64_t prefilter_redirected_pkts; /* 0 where there is no prefilter, as the next two */
	uint64_t prefilter_passed_pkts;     /* to the kernel's stack: no rule names them */
	uint64_t prefilter_dropped_pkts;    /* by a drop rule */
};

struct run_ledger {
	uint64_t received_pkts; /* came in on the run's ports while the run was in the rx plan */
	uint64_t outside_window_pkts; /* before its start, after its end or over its limit */
	uint64_t filtered_pkts;       /* not wanted by its filter */
	uint64_t cutoff_pkts;         /* wanted, but behind their flow's cutoff, and not stored */
	uint64_t written_pkts;        /* their bytes are on the disk */
	uint64_t written_bytes;       /* captured bytes of those, without pcapng's own */
	uint64_t wire_bytes;          /* original bytes of those */
	uint64_t lost_ring_pkts;      /* the ring was full: the writer's CPU was late */
	uint64_t lost_memory_pkts;    /* no free chunk: the disks were late */
	uint64_t lost_disk_pkts;      /* no stripe took them */
};

static inline uint64_t run_ledger_lost(const struct run_ledger *l)
{
	return l->lost_ring_pkts + l->lost_memory_pkts + l->lost_disk_pkts;
}

static inline uint64_t run_ledger_in_ram(const struct run_ledger *l)
{
	uint64_t settled = l->outside_window_pkts + l->filtered_pkts + l->cutoff_pkts +
			   l->written_pkts + run_ledger_lost(l);

	return l->received_pkts > settled ? l->received_pkts - settled : 0;
}

static inline uint64_t port_ledger_lost(const struct port_ledger *l)
{
	return l->nic_missed_pkts + l->nic_no_mbuf_pkts + l->nic_error_pkts;
}
