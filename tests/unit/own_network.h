#pragma once
/* For the tests that make interfaces: a network namespace of their own, and frames sent in it. */

#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * This process leaves its network namespace for a new one. False: it is not root, or cannot. No IPv6: its router and
 * neighbour messages would come between ours.
 */
static inline bool network_enter(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 &&
	       system("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6; "
		      "ip link set lo up") == 0;
}

/* A socket whose frames go out by the interface; -1 without one. */
static inline int raw_socket(const char *interface)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	address.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}
