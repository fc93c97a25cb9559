#pragma once
/*
 * XDP: what DPDK's driver net_af_xdp leaves unsaid: why it failed, and what it does not bring.
 */

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
