#include "xdp.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/if_xdp.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "interface.h"
#include "port.h"
#include "prefilter_match.h"
#include "source.h"
#include "wirespool/clock.h"
#include "wirespool/errbuf.h"
#include "wirespool/units.h"

enum {
	KERNEL_HEADROOM = 256, /* XDP_PACKET_HEADROOM, which the kernel keeps before each frame */
	TAG_BYTES = 4,
	NAP_PKTS = 256, /* to come in a nap; the driver gives the kernel 2048 buffers to fill */
	NAP_MIN_NS = 1000,
	NAP_MAX_NS = 100 * 1000, /* packets are stamped after it; 10 GbE at 64 bytes brings 1488 */
	NAP_COPIED_MAX_NS =
		250 * 1000, /* 2048 in it are 8 million a second: no kernel copies so many */
	NAP_VETH_MAX_NS = 500 * 1000, /* nor does it bring half of them through a veth pair */
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

int xdp_claim(const char *device, int ifindex, struct errbuf *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int len, r;

	if (fd < 0)
		return fail_with(
			err, -errno, "%s: cannot open a socket: %s", device, strerror(errno));
	len = snprintf(
		address.sun_path + 1, sizeof(address.sun_path) - 1, "wirespool/af_xdp/%d", ifindex);
	if (bind(fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
		return fd;
	r = errno == EADDRINUSE
		    ? fail_with(err, -EBUSY, "%s: a recorder has the interface already", device)
		    : fail_with(err, -errno, "%s: cannot claim it: %s", device, strerror(errno));
	(void)close(fd);
	return r;
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

static bool is_xdp_socket(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_XDP;
}

static bool is_known(const struct xdp_sockets *known, int fd)
{
	for (unsigned int i = 0; i < known->count; i++)
		if (known->fds[i] == fd)
			return true;
	return false;
}

int xdp_new_socket(struct xdp_sockets *known)
{
	const unsigned int before = known->count;
	DIR *fds = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (fds == NULL)
		return -1;
	while ((entry = readdir(fds)) != NULL) {
		int fd = atoi(entry->d_name); /* 0 of "." and ".." does no harm */

		if (known->count == sizeof(known->fds) / sizeof(known->fds[0]))
			break;
		if (is_xdp_socket(fd) && !is_known(known, fd))
			known->fds[known->count++] = fd;
	}
	(void)closedir(fds);
	return known->count == before + 1 ? known->fds[before] : -1;
}

uint64_t xdp_ring_full_pkts(int fd)
{
	struct xdp_statistics statistics = {0};
	socklen_t len = sizeof(statistics);

	return getsockopt(fd, SOL_XDP, XDP_STATISTICS, &statistics, &len) == 0
		       ? statistics.rx_ring_full
		       : 0;
}

void xdp_close_socket(int fd)
{
	if (fd >= 0 && is_xdp_socket(fd))
		(void)close(fd);
}

/*
 * The driver lets the kernel poll the interface in each empty receive, on our CPU. That is for who spins; for
 * one that sleeps, interrupts are to go on as they do.
 */
void xdp_waiter_init(struct xdp_waiter *w, int fd)
{
	const int no = 0;

	*w = (struct xdp_waiter){.fd = fd, .nap_ns = NAP_MIN_NS, .nap_max_ns = NAP_MAX_NS};
	(void)setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &no, sizeof(no));
	(void)setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &no, sizeof(no));
}

void xdp_waiter_have_stamps(struct xdp_waiter *w, int ifindex, int link_fd)
{
	struct xdp_options options = {0};
	socklen_t len = sizeof(options);

	if (driver_is(link_fd, ifindex, "veth"))
		w->nap_max_ns = NAP_VETH_MAX_NS;
	else if (getsockopt(w->fd, SOL_XDP, XDP_OPTIONS, &options, &len) == 0 &&
		 (options.flags & XDP_OPTIONS_ZEROCOPY) == 0)
		w->nap_max_ns = NAP_COPIED_MAX_NS;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};
}

/* The longer, the fewer wake-ups, which is what thin traffic costs; dense traffic halves it. */
static void nap(struct xdp_waiter *w, uint64_t max_ns)
{
	struct timespec t;

	if (w->came > NAP_PKTS)
		w->nap_ns = w->nap_ns / 2 > NAP_MIN_NS ? w->nap_ns / 2 : NAP_MIN_NS;
	else
		w->nap_ns = w->nap_ns * 2 < w->nap_max_ns ? w->nap_ns * 2 : w->nap_max_ns;
	w->came = 0;
	w->promised = false;
	t = timespec_of(w->nap_ns < max_ns ? w->nap_ns : max_ns);
	(void)nanosleep(&t, NULL);
}

void xdp_wait(struct xdp_waiter *w, uint64_t max_ns)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	struct timespec t = timespec_of(max_ns);

	/* Promised, and nothing came: there are no mbufs, or there is no interface any more. */
	if (w->fd < 0 || w->came != 0 || w->promised)
		nap(w, max_ns);
	else
		w->promised = ppoll(&p, 1, &t, NULL) > 0;
}

static uint64_t capture_clock_ns(void)
{
	return clock_at(&capture_clock, rte_rdtsc());
}

/* One clock between two looks at the other. If that took long, it was held up there: then once more. */
void xdp_clock_renew(struct xdp_clock *c)
{
	enum { TRIES = 3, QUICK_NS = 1000 };
	uint64_t best_ns = UINT64_MAX;

	for (unsigned int i = 0; i < TRIES && best_ns > QUICK_NS; i++) {
		uint64_t before = clock_monotonic_ns();
		uint64_t now = capture_clock_ns();
		uint64_t took_ns = clock_monotonic_ns() - before;

		if (took_ns < best_ns)
			c->offset_ns = now - before - took_ns / 2;
		best_ns = took_ns < best_ns ? took_ns : best_ns;
	}
}

unsigned int xdp_read_stamps(const struct xdp_clock *c, struct burst *b, unsigned int n)
{
	unsigned int without = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t *at =
			rte_pktmbuf_mtod(b->pkts[i], uint8_t *) - sizeof(struct prefilter_stamp);
		struct prefilter_stamp s;

		memcpy(&s, at, sizeof(s));
		if (likely(s.magic == PREFILTER_STAMP_MAGIC)) {
			b->time_ns[i] = s.monotonic_ns + c->offset_ns;
			memset(at, 0, sizeof(s.magic)); /* the next one here may have none */
		} else {
			b->time_ns[i] = capture_clock_ns();
			without++;
		}
	}
	return without;
}
