#include "interface.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>

int interface_ask(int fd, int ifindex, unsigned long request, struct ifreq *ifr)
{
	void *data = ifr->ifr_data;

	ifr->ifr_ifindex = ifindex;
	if (ioctl(fd, SIOCGIFNAME, ifr) < 0)
		return -errno;
	if (request == SIOCETHTOOL)
		ifr->ifr_data = data;
	return ioctl(fd, request, ifr) < 0 ? -errno : 0;
}

/*
 * IFF_RUNNING is up to a second behind the link: the kernel renews it no more often. The driver's
 * own word is of now; for one that has none (dummy) the flag must do.
 */
bool interface_is_up(int fd, int ifindex)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
	struct ifreq ifr = {.ifr_ifindex = 0};
	short flags;

	if (interface_ask(fd, ifindex, SIOCGIFFLAGS, &ifr) < 0)
		return false;
	flags = ifr.ifr_flags;
	ifr.ifr_data = (void *)&link;
	if (interface_ask(fd, ifindex, SIOCETHTOOL, &ifr) < 0)
		link.data = (flags & IFF_RUNNING) != 0;
	return (flags & IFF_UP) != 0 && link.data != 0;
}

uint64_t interface_bps(int fd, int ifindex)
{
	struct ethtool_cmd command = {.cmd = ETHTOOL_GSET};
	struct ifreq ifr = {.ifr_ifindex = 0};
	uint32_t mbps;

	ifr.ifr_data = (void *)&command;
	if (interface_ask(fd, ifindex, SIOCETHTOOL, &ifr) < 0)
		return 0;
	/* Not by ethtool_cmd_speed(): it shifts a signed 0xffff, "not known", by 16. */
	mbps = (uint32_t)command.speed_hi << 16 | command.speed;
	return mbps == (uint32_t)SPEED_UNKNOWN || mbps == UINT16_MAX ? 0 : mbps * 1000000ULL;
}

bool interface_is_promiscuous(int fd, int ifindex)
{
	struct ifreq ifr = {.ifr_ifindex = 0};

	return interface_ask(fd, ifindex, SIOCGIFFLAGS, &ifr) == 0 &&
	       (ifr.ifr_flags & IFF_PROMISC) != 0;
}

unsigned int interface_mtu(int fd, int ifindex)
{
	struct ifreq ifr = {.ifr_ifindex = 0};

	return interface_ask(fd, ifindex, SIOCGIFMTU, &ifr) < 0 ? 0 : (unsigned int)ifr.ifr_mtu;
}
