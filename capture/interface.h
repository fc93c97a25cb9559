#pragma once
/*
 * Interface: what the kernel says of a network interface, asked for by its index, as it may be
 * renamed. fd is any socket of the interface's network namespace. No capability is needed.
 */

#include <stdbool.h>
#include <stdint.h>

struct ifreq;

/* ioctl() with the interface's name of now put into ifr. Returns 0 or negative errno, -ENODEV when it is gone. */
int interface_ask(int fd, int ifindex, unsigned long request, struct ifreq *ifr);

/* Whether packets can come now; false also when it is gone. */
bool interface_is_up(int fd, int ifindex);

/* Speed of its link in bit/s; 0: not known. */
uint64_t interface_bps(int fd, int ifindex);

/* Whether it was set so for itself, by `ip link set ... promisc on` and the like. */
bool interface_is_promiscuous(int fd, int ifindex);

/* Its mtu; 0: it is gone. */
unsigned int interface_mtu(int fd, int ifindex);
