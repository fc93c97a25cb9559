#pragma once
/*
 * XDP: what DPDK's driver net_af_xdp leaves unsaid: why it failed, what it does not bring, and when
 * something has come.
 */

#include <stdbool.h>
#include <stdint.h>

struct errbuf;
struct source;

/* Before the driver is asked: -EPERM and the missing capabilities, if any is. */
int xdp_check_rights(const char *device, struct errbuf *err);

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

/* How an rx lcore waits for its queue. */
struct xdp_waiter {
	int fd;        /* the queue's socket, the driver's own; -1: not found */
	bool promised; /* poll(2) said that something is there */
	uint32_t came; /* packets since it waited last: counted by whoever receives */
	uint64_t nap_ns;
};

/* Takes no ownership of fd, but its busy polling away. */
void xdp_waiter_init(struct xdp_waiter *w, int fd);

/*
 * Instead of receiving, at most max_ns: right behind packets a nap, so that the next come together, and else
 * until there is one. Without a socket always a nap.
 */
void xdp_wait(struct xdp_waiter *w, uint64_t max_ns);
