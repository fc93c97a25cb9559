#pragma once
/*
 * XDP: what DPDK's driver net_af_xdp leaves unsaid: why it failed, what it does not bring, and when
 * something has come.
 */

#include <stdbool.h>
#include <stdint.h>

struct burst;
struct errbuf;
struct source;

/* Before the driver is asked: -EPERM and the missing capabilities, if any is. */
int xdp_check_rights(const char *device, struct errbuf *err);

/*
 * Of the recorders of a network namespace one may have the interface. Before the driver is asked: when it
 * fails, and when it closes, it takes off whatever program is there. Returns a descriptor to close when the driver has
 * gone; a process that dies lets go of it. -EBUSY: another recorder has it.
 */
int xdp_claim(const char *device, int ifindex, struct errbuf *err);

/* Longest frame that fits an mbuf with so much room behind its headroom. */
uint32_t xdp_longest_frame(uint32_t room);

/* After the driver failed: -EIO, and what is known of the cause. fd: as in interface.h. */
int xdp_explain(const char *device, int ifindex, int fd, uint32_t longest, struct errbuf *err);

/* Warns of what will not come: frames that are too long, tags beside frames. */
void xdp_warn(struct source *s, int ifindex, int fd, uint32_t longest);

/* AF_XDP sockets of this process, ours or not. */
struct xdp_sockets {
	unsigned int count;
	int fds[256];
};

/*
 * Adds all AF_XDP sockets that there are now to known. Returns the one that was not among them, or -1
 * if it is not exactly one. The driver keeps its sockets to itself and the kernel does not say which queue one
 * is bound to, but the driver makes one with each queue: so this is asked after each.
 */
int xdp_new_socket(struct xdp_sockets *known);

/* What the socket lost because its ring was full, which the driver does not count. 0 if fd is -1. */
uint64_t xdp_ring_full_pkts(int fd);

/*
 * After the driver was removed: closes the socket that xdp_new_socket() returned. DPDK 22.11 miscounts, and keeps it
 * bound to its queue: the interface could not be opened again. fd may be -1.
 */
void xdp_close_socket(int fd);

/* How an rx lcore waits for its queue. */
struct xdp_waiter {
	int fd;        /* the queue's socket, the driver's own; -1: not found */
	bool promised; /* poll(2) said that something is there */
	uint32_t came; /* packets since it waited last: counted by whoever receives */
	uint64_t nap_ns;
	uint64_t nap_max_ns;
};

/* Takes no ownership of fd, but its busy polling away. */
void xdp_waiter_init(struct xdp_waiter *w, int fd);

/*
 * Packets bear the time of their coming, however late they are taken: naps may be longer, as far as the buffers
 * last that the kernel copies packets to. What a NIC brings by itself may come faster. link_fd: any socket.
 */
void xdp_waiter_have_stamps(struct xdp_waiter *w, int ifindex, int link_fd);

/* What time it was when XDP redirected a packet. */
struct xdp_clock {
	uint64_t offset_ns; /* what the recorder's clock is ahead of CLOCK_MONOTONIC, modulo 2^64 */
};

/* Now and then, as the recorder's clock follows the wall's: best at each wait. */
void xdp_clock_renew(struct xdp_clock *c);

/*
 * HOT PATH. Gives the n packets of b the times that the prefilter's program wrote in front of them. Returns how many
 * had none, because the interface's driver has no room there: they get the time of now.
 */
unsigned int xdp_read_stamps(const struct xdp_clock *c, struct burst *b, unsigned int n);

/*
 * Instead of receiving, at most max_ns: right behind packets a nap, so that the next come together, and else
 * until there is one. Without a socket always a nap.
 */
void xdp_wait(struct xdp_waiter *w, uint64_t max_ns);
