#include "xdp.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "interface.h"
#include "source.h"
#include "wirespool/errbuf.h"

enum {
	KERNEL_HEADROOM = 256, /* XDP_PACKET_HEADROOM, which the kernel keeps before each frame */
	TAG_BYTES = 4,
};

static bool has_capability(unsigned int capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	/* Cannot be asked: then let the kernel decide. */
	if (syscall(SYS_capget, &header, data) != 0)
		return true;
	return (data[capability / 32].effective >> capability % 32 & 1) != 0;
}

/*
 * CAP_SYS_ADMIN is what libxdp's look-up of its program by number takes; CAP_BPF and
 * CAP_PERFMON are not enough for it.
 */
int xdp_check_rights(const char *device, struct errbuf *err)
{
	static const struct {
		unsigned int capability;
		const char *name;
	} needed[] = {
		{CAP_NET_RAW, "CAP_NET_RAW"},
		{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
		{CAP_SYS_ADMIN, "CAP_SYS_ADMIN"},
	};
	char missing[64] = "";
	size_t len = 0;

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!has_capability(needed[i].capability))
			len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s%s",
				len > 0 ? ", " : "", needed[i].name);
	return len == 0 ? 0
			: fail_with(err, -EPERM,
				  "%s: not permitted: AF_XDP takes the capabilities %s", device,
				  missing);
}

static bool memory_is_limited(void)
{
	struct rlimit limit;

	return !has_capability(CAP_IPC_LOCK) && getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
	       limit.rlim_cur != RLIM_INFINITY;
}

uint32_t xdp_longest_frame(uint32_t room)
{
	return room - KERNEL_HEADROOM;
}

/* The driver says -EINVAL or -EPERM of whatever it was; that is no news to anybody. */
int xdp_explain(const char *device, int ifindex, int fd, uint32_t longest, struct errbuf *err)
{
	unsigned int mtu = interface_mtu(fd, ifindex);

	if (mtu + ETHER_HDR_LEN > longest)
		return fail_with(err, -EIO,
			"%s: AF_XDP takes frames of up to %u bytes, and the driver refuses it with "
			"an mtu of %u: set 1500, also at the other end of a veth, or record the "
			"interface without af_xdp:",
			device, longest, mtu);
	return fail_with(err, -EIO,
		"%s: AF_XDP cannot be set up: is there another XDP program on the interface (`ip "
		"link`), has it fewer queues than lcores are given, is the mtu of a veth's other "
		"end large%s? The log has the driver's words",
		device,
		memory_is_limited() ? ", is locked memory limited (`ulimit -l`; CAP_IPC_LOCK "
				      "lifts it)"
				    : "");
}

static bool driver_is(int fd, int ifindex, const char *name)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq ifr = {.ifr_ifindex = 0};

	ifr.ifr_data = (void *)&info;
	return interface_ask(fd, ifindex, SIOCETHTOOL, &ifr) == 0 && strcmp(info.driver, name) == 0;
}

static bool strips_tags(int fd, int ifindex)
{
	struct ethtool_value flags = {.cmd = ETHTOOL_GFLAGS};
	struct ifreq ifr = {.ifr_ifindex = 0};

	ifr.ifr_data = (void *)&flags;
	return interface_ask(fd, ifindex, SIOCETHTOOL, &ifr) == 0 &&
	       (flags.data & ETH_FLAG_RXVLAN) != 0;
}

/* Where a tag is not in the frame but beside it, in the descriptor, XDP does not hand it on. */
static void warn_tags(struct source *s, int ifindex, int fd)
{
	if (driver_is(fd, ifindex, "veth"))
		source_warn(s,
			"VLAN tags that the other end's kernel keeps beside the frame are lost; "
			"`ethtool -K PEER txvlan off tx-vlan-stag-hw-insert off` there keeps them "
			"in it");
	else if (strips_tags(fd, ifindex))
		source_warn(s,
			"the interface takes VLAN tags out of the frames, and AF_XDP loses them; "
			"`ethtool -K IFACE rxvlan off` keeps them");
}

void xdp_warn(struct source *s, int ifindex, int fd, uint32_t longest)
{
	unsigned int mtu = interface_mtu(fd, ifindex);

	if (mtu + ETHER_HDR_LEN + TAG_BYTES > longest)
		source_warn(s,
			"AF_XDP takes frames of up to %u bytes, and the mtu is %u: longer ones are "
			"lost, and counted as missed",
			longest, mtu);
	warn_tags(s, ifindex, fd);
}
