/*
 * Any DPDK device: a NIC by PCI address, a kernel interface by AF_XDP, a virtual
 * device in EAL's own words.
 */
#include "flow_rules.h"
#include "interface.h"
#include "prefilter.h"
#include "source.h"
#include "xdp.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_flow.h>
#include <rte_malloc.h>
#include <rte_pci.h>

#include "wirespool/pcapng.h"

static const char XDP_PREFIX[] = "af_xdp:";
static const char VDEV_PREFIX[] = "vdev:";
static const char XDP_PROGRAM[] = "xdp_prog="; /* the driver's argument */
enum {
	CLOCK_PKTS = 65536, /* after so many the clock of stamps is renewed, if not before */
	XDP_LATE_NS = 10 * 1000 * 1000, /* a kernel stamps a batch of 64, then hands it over */
};
enum { DLT_ETHERNET = 1, RSS_KEY_MAX = 64, LINK_OVERHEAD = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN };

struct ethdev {
	uint16_t port_id;
	bool probed; /* by us: to be removed by us */
	int ifindex; /* of AF_XDP's interface; 0: another kind */
	int link_fd; /* to ask about it */
	int claim_fd;
	bool made_promiscuous;
	struct prefilter *prefilter;   /* of AF_XDP; NULL: DPDK's own program is there */
	struct flow_rules *flow_rules; /* of others; NULL: the driver takes none */
	bool warned_stamps;
	struct ethdev_queue {
		uint16_t port_id;
		uint16_t queue_id;
		struct source_queue *counters;
		/* Of AF_XDP */
		struct xdp_waiter waiter;
		bool has_stamps;
		struct xdp_clock clock;
		uint32_t since_renewed_pkts;
		counter unstamped_pkts;
	} queues[SOURCE_QUEUES_MAX];
};

static bool has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_pci(const char *device)
{
	struct rte_pci_addr pci;

	return rte_pci_addr_parse(device, &pci) == 0;
}

static bool ethdev_claims(const char *device)
{
	return is_pci(device) || has_prefix(device, VDEV_PREFIX);
}

static bool xdp_claims(const char *device)
{
	return has_prefix(device, XDP_PREFIX);
}

/* The interface of "af_xdp:eth0[,option...]"; false when it is empty or too long. */
static bool xdp_interface(const char *device, char ret[IF_NAMESIZE])
{
	const char *text = device + strlen(XDP_PREFIX);
	size_t len = strcspn(text, ",");

	if (len == 0 || len >= IF_NAMESIZE)
		return false;
	memcpy(ret, text, len);
	ret[len] = '\0';
	return true;
}

static int ethdev_check(const char *device, struct errbuf *err)
{
	char interface[IF_NAMESIZE];

	if (has_prefix(device, XDP_PREFIX)) {
		if (!xdp_interface(device, interface))
			return fail_with(err, -EINVAL,
				"'%s': af_xdp: needs an interface, as in af_xdp:eth0", device);
		if (if_nametoindex(interface) == 0)
			return fail_with(err, -ENODEV, "'%s': there is no interface '%s'", device,
				interface);
	}
	if (has_prefix(device, VDEV_PREFIX) && !has_prefix(device, "vdev:net_"))
		return fail_with(err, -EINVAL,
			"'%s': vdev: needs a DPDK device, as in vdev:net_null0", device);
	return 0;
}

static unsigned int ethdev_mbuf_room(const char *device)
{
	(void)device;
	return 0;
}

static int ethdev_socket_id(const char *device)
{
	char path[128];
	int node = -1;
	FILE *f;

	if (!is_pci(device))
		return -1;
	(void)snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/numa_node", device);
	f = fopen(path, "re");
	if (f == NULL)
		return -1;
	if (fscanf(f, "%d", &node) != 1)
		node = -1;
	(void)fclose(f);
	return node;
}

static void xdp_probe_text(
	const struct ethdev *e, const struct source_options *o, char *text, size_t size, char *name)
{
	char interface[IF_NAMESIZE];

	(void)xdp_interface(o->device, interface);
	(void)snprintf(name, RTE_ETH_NAME_MAX_LEN, "net_af_xdp_%s", interface);
	(void)snprintf(text, size, "%s,iface=%s,start_queue=0,queue_count=%u%s%s%s%s", name,
		interface, o->queues, strchrnul(o->device, ','), e->prefilter != NULL ? "," : "",
		e->prefilter != NULL ? XDP_PROGRAM : "",
		e->prefilter != NULL ? prefilter_program(e->prefilter) : "");
}

/* What rte_dev_probe() takes for the device, and the name its port will have. */
static void probe_text(
	const struct ethdev *e, const struct source_options *o, char *text, size_t size, char *name)
{
	if (has_prefix(o->device, XDP_PREFIX)) {
		xdp_probe_text(e, o, text, size, name);
		return;
	}
	if (has_prefix(o->device, VDEV_PREFIX))
		(void)snprintf(text, size, "%s", o->device + strlen(VDEV_PREFIX));
	else
		(void)snprintf(text, size, "%s", o->device);
	(void)snprintf(name, RTE_ETH_NAME_MAX_LEN, "%.*s", (int)strcspn(text, ","), text);
}

static uint32_t mbuf_room_of(const struct source_options *o)
{
	return rte_pktmbuf_data_room_size(o->pools[0]) - RTE_PKTMBUF_HEADROOM;
}

static int find_device(struct ethdev *e, const struct source_options *o, struct errbuf *err)
{
	char text[512 + PATH_MAX], name[RTE_ETH_NAME_MAX_LEN];
	int r;

	probe_text(e, o, text, sizeof(text), name);
	if (rte_eth_dev_get_port_by_name(name, &e->port_id) == 0) {
		if (!is_pci(o->device))
			return fail_with(err, -EBUSY, "device '%s' is in use already", o->device);
		return 0;
	}
	if (is_pci(o->device))
		return fail_with(err, -ENODEV,
			"no DPDK driver has '%s': is it there, and bound to vfio-pci? "
			"(dpdk-devbind.py --status)",
			o->device);
	r = rte_dev_probe(text);
	if (r < 0 && e->ifindex != 0)
		return xdp_explain(
			o->device, e->ifindex, e->link_fd, xdp_longest_frame(mbuf_room_of(o)), err);
	if (r < 0)
		return fail_with(err, r, "DPDK cannot make '%s': %s", o->device, strerror(-r));
	e->probed = true;
	if (rte_eth_dev_get_port_by_name(name, &e->port_id) != 0)
		return fail_with(
			err, -ENODEV, "DPDK made '%s' but it is no network device", o->device);
	return 0;
}

/*
 * Both directions of a flow on one queue: a Toeplitz key of one repeated 16-bit word hashes (a, b) as
 * (b, a), see Woo and Park, "Scalable TCP session monitoring with symmetric receive-side scaling", 2012.
 */
static void set_rss(struct source *s, struct rte_eth_conf *conf,
	const struct rte_eth_dev_info *info, unsigned int queues)
{
	static uint8_t key[RSS_KEY_MAX];
	const uint64_t wanted =
		RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP;

	if (queues == 1)
		return;
	for (size_t i = 0; i < sizeof(key); i += 2) {
		key[i] = 0x6d;
		key[i + 1] = 0x5a;
	}
	conf->rx_adv_conf.rss_conf.rss_hf = wanted & info->flow_type_rss_offloads;
	if (conf->rx_adv_conf.rss_conf.rss_hf == 0) {
		source_warn(
			s, "%s cannot spread flows over its %u queues (no RSS)", s->driver, queues);
		return;
	}
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	if (info->hash_key_size == 0 || info->hash_key_size > RSS_KEY_MAX) {
		source_warn(s,
			"%s takes no RSS key: the two directions of a flow may come on different "
			"queues",
			s->driver);
		return;
	}
	conf->rx_adv_conf.rss_conf.rss_key = key;
	conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
}

/* Drivers whose hash takes source and destination from places that no key makes equal. */
static bool needs_symmetric_rule(const char *driver)
{
	static const char *const names[] = {"net_i40e", "net_ice", "net_iavf"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(driver, names[i]) == 0)
			return true;
	return false;
}

static bool add_symmetric_rule(
	uint16_t port_id, enum rte_flow_item_type l3, enum rte_flow_item_type l4, uint64_t types)
{
	struct rte_flow_attr attr = {.ingress = 1};
	struct rte_flow_item pattern[] = {{.type = RTE_FLOW_ITEM_TYPE_ETH}, {.type = l3},
		{.type = l4}, {.type = RTE_FLOW_ITEM_TYPE_END}};
	struct rte_flow_action_rss rss = {
		.func = RTE_ETH_HASH_FUNCTION_SYMMETRIC_TOEPLITZ,
		.types = types,
	};
	struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_RSS, .conf = &rss},
		{.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_error error;

	return rte_flow_create(port_id, &attr, pattern, actions, &error) != NULL;
}

static void set_symmetric_mode(struct source *s, uint16_t port_id, uint64_t rss_hf)
{
	static const struct {
		enum rte_flow_item_type l3, l4;
		uint64_t types;
	} rules[] = {
		{RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_TCP, RTE_ETH_RSS_NONFRAG_IPV4_TCP},
		{RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_UDP, RTE_ETH_RSS_NONFRAG_IPV4_UDP},
		{RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_TCP, RTE_ETH_RSS_NONFRAG_IPV6_TCP},
		{RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_UDP, RTE_ETH_RSS_NONFRAG_IPV6_UDP},
		{RTE_FLOW_ITEM_TYPE_IPV4, RTE_FLOW_ITEM_TYPE_VOID, RTE_ETH_RSS_IPV4},
		{RTE_FLOW_ITEM_TYPE_IPV6, RTE_FLOW_ITEM_TYPE_VOID, RTE_ETH_RSS_IPV6},
	};
	unsigned int taken = 0;

	if (!needs_symmetric_rule(s->driver))
		return;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		if ((rules[i].types & rss_hf) != 0 &&
			add_symmetric_rule(port_id, rules[i].l3, rules[i].l4, rules[i].types))
			taken++;
	if (taken == 0)
		source_warn(s,
			"%s refused its symmetric hash: the two directions of a flow may come on "
			"different queues",
			s->driver);
}

static void set_frame_bytes(struct source *s, struct rte_eth_conf *conf,
	const struct rte_eth_dev_info *info, const struct source_options *o)
{
	uint32_t mtu = o->frame_bytes - LINK_OVERHEAD;
	uint32_t room = mbuf_room_of(o);

	/* What this driver says of itself holds for larger mbufs than ours. */
	if (has_prefix(o->device, XDP_PREFIX)) {
		conf->rxmode.mtu = RTE_MIN(mtu, xdp_longest_frame(room) - LINK_OVERHEAD);
		return;
	}
	if (info->max_mtu != 0 && mtu > info->max_mtu) {
		mtu = info->max_mtu;
		source_warn(s, "%s takes frames of up to %u bytes, not %u", s->driver,
			mtu + LINK_OVERHEAD, o->frame_bytes);
	}
	if (info->max_rx_pktlen != 0 && mtu + LINK_OVERHEAD > info->max_rx_pktlen) {
		mtu = info->max_rx_pktlen - LINK_OVERHEAD;
		source_warn(s, "%s takes frames of up to %u bytes, not %u", s->driver,
			info->max_rx_pktlen, o->frame_bytes);
	}
	if (mtu < info->min_mtu)
		mtu = info->min_mtu;
	conf->rxmode.mtu = mtu;
	if (mtu + LINK_OVERHEAD <= room)
		return;
	if (info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER)
		conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
}

static int set_queues(struct ethdev *e, struct source *s, const struct rte_eth_dev_info *info,
	const struct source_options *o, struct errbuf *err)
{
	uint16_t rx_desc = (uint16_t)RTE_MIN(o->descriptors, (uint32_t)UINT16_MAX);
	uint16_t tx_desc = 512;
	struct rte_eth_rxconf rxconf = info->default_rxconf;
	struct xdp_sockets known = {0};
	int r;

	r = rte_eth_dev_adjust_nb_rx_tx_desc(e->port_id, &rx_desc, &tx_desc);
	if (r < 0)
		return fail_with(
			err, r, "%s: %u descriptors: %s", o->device, o->descriptors, strerror(-r));
	if (rx_desc < o->descriptors)
		source_warn(
			s, "%s allows %u descriptors, not %u", s->driver, rx_desc, o->descriptors);
	s->descriptors = rx_desc;
	/* One queue that nobody empties must not stop the others. With AF_XDP it does not. */
	rxconf.rx_drop_en = e->ifindex == 0;
	if (e->ifindex != 0)
		(void)xdp_new_socket(&known); /* other ports' */
	for (uint16_t q = 0; q < o->queues; q++) {
		r = rte_eth_rx_queue_setup(
			e->port_id, q, rx_desc, (unsigned int)o->socket_id, &rxconf, o->pools[q]);
		if (r == -EINVAL && rxconf.rx_drop_en) {
			rxconf.rx_drop_en = 0;
			source_warn(s, "%s refuses drop_en: a full queue may hold up the others",
				s->driver);
			r = rte_eth_rx_queue_setup(e->port_id, q, rx_desc,
				(unsigned int)o->socket_id, &rxconf, o->pools[q]);
		}
		if (r < 0 && e->ifindex != 0)
			return xdp_explain(o->device, e->ifindex, e->link_fd,
				xdp_longest_frame(mbuf_room_of(o)), err);
		if (r < 0)
			return fail_with(err, r,
				"%s: cannot set up rx queue %u with %u descriptors: %s", o->device,
				q, rx_desc, strerror(-r));
		if (e->ifindex != 0)
			xdp_waiter_init(&e->queues[q].waiter, xdp_new_socket(&known));
	}
	/* We never send, but some drivers (vmxnet3) do not start without a tx queue. */
	if (info->max_tx_queues == 0)
		return 0;
	r = rte_eth_tx_queue_setup(e->port_id, 0, tx_desc, (unsigned int)o->socket_id, NULL);
	if (r < 0)
		return fail_with(
			err, r, "%s: cannot set up a tx queue: %s", o->device, strerror(-r));
	return 0;
}

static int configure(struct ethdev *e, struct source *s, const struct rte_eth_dev_info *info,
	const struct source_options *o, struct errbuf *err)
{
	struct rte_eth_conf conf = {0};
	uint16_t tx_queues = info->max_tx_queues > 0 ? 1 : 0;
	int r;

	if (o->queues > info->max_rx_queues)
		return fail_with(err, -EINVAL, "%s: %u lcores given, but it has %u rx queues",
			o->device, o->queues, info->max_rx_queues);
	set_rss(s, &conf, info, o->queues);
	set_frame_bytes(s, &conf, info, o);
	r = rte_eth_dev_configure(e->port_id, (uint16_t)o->queues, tx_queues, &conf);
	if (r < 0 && conf.rx_adv_conf.rss_conf.rss_key != NULL) {
		conf.rx_adv_conf.rss_conf.rss_key = NULL;
		conf.rx_adv_conf.rss_conf.rss_key_len = 0;
		r = rte_eth_dev_configure(e->port_id, (uint16_t)o->queues, tx_queues, &conf);
		if (r == 0)
			source_warn(s,
				"%s refused the symmetric RSS key: the two directions of a flow "
				"may "
				"come on different queues",
				s->driver);
	}
	if (r < 0)
		return fail_with(err, r, "%s: cannot configure %u queues, frames to %u bytes: %s",
			o->device, o->queues, o->frame_bytes, strerror(-r));
	r = set_queues(e, s, info, o, err);
	if (r < 0)
		return r;
	r = rte_eth_dev_start(e->port_id);
	if (r < 0)
		return fail_with(err, r, "%s: cannot start: %s", o->device, strerror(-r));
	if (o->queues > 1)
		set_symmetric_mode(s, e->port_id, conf.rx_adv_conf.rss_conf.rss_hf);
	return 0;
}

static void set_promiscuous(struct ethdev *e, struct source *s, bool on)
{
	/* AF_XDP's driver sets the flag of the interface, which stays when we are gone. */
	bool was = e->ifindex != 0 && interface_is_promiscuous(e->link_fd, e->ifindex);
	int r = on || was ? rte_eth_promiscuous_enable(e->port_id)
			  : rte_eth_promiscuous_disable(e->port_id);

	if (r < 0 && on && r != -ENOTSUP)
		source_warn(s, "%s refused promiscuous mode: %s", s->driver, strerror(-r));
	e->made_promiscuous = r == 0 && on && e->ifindex != 0 && !was;
}

static void close_interface(struct ethdev *e)
{
	prefilter_free(e->prefilter);
	if (e->ifindex == 0)
		return;
	(void)close(e->link_fd);
	(void)close(e->claim_fd);
}

static void ethdev_close(struct source *s)
{
	struct ethdev *e = s->state;
	struct rte_eth_dev_info info;

	flow_rules_free(e->flow_rules);
	if (e->made_promiscuous)
		(void)rte_eth_promiscuous_disable(e->port_id);
	(void)rte_eth_dev_stop(e->port_id);
	if (rte_eth_dev_info_get(e->port_id, &info) == 0 && e->probed)
		(void)rte_dev_remove(info.device); /* closes the port as well */
	else
		(void)rte_eth_dev_close(e->port_id);
	for (unsigned int q = 0; q < SOURCE_QUEUES_MAX && e->ifindex != 0; q++)
		xdp_close_socket(e->queues[q].waiter.fd);
	close_interface(e);
	rte_free(e);
}

/* Of AF_XDP's interface: what DPDK does not tell of it, the kernel does. */
static int open_interface(struct ethdev *e, const struct source_options *o, struct errbuf *err)
{
	char interface[IF_NAMESIZE];
	int r;

	if (!has_prefix(o->device, XDP_PREFIX))
		return 0;
	r = xdp_check_rights(o->device, err);
	if (r < 0)
		return r;
	(void)xdp_interface(o->device, interface);
	e->link_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (e->link_fd < 0)
		return fail_with(
			err, -errno, "%s: cannot open a socket: %s", o->device, strerror(errno));
	e->ifindex = (int)if_nametoindex(interface);
	if (e->ifindex == 0)
		r = fail_with(
			err, -ENODEV, "'%s': there is no interface '%s'", o->device, interface);
	else
		r = e->claim_fd = xdp_claim(o->device, e->ifindex, err);
	if (r >= 0)
		return 0;
	(void)close(e->link_fd);
	return r;
}

/* Before the driver is asked for the device. Its own program redirects everything, as ours does without rules. */
static int prepare_prefilter(
	struct ethdev *e, struct source *s, const struct source_options *o, struct errbuf *err)
{
	struct errbuf why;
	int r;

	if (e->ifindex == 0 || strstr(o->device, XDP_PROGRAM) != NULL)
		return 0;
	r = prefilter_new(e->ifindex, o->name, &e->prefilter, &why);
	/* The driver would take the other program off, if not now then when it closes. */
	if (r == -EBUSY)
		return fail_with(err, r, "%s: %s", o->device, why.text);
	if (r < 0)
		source_warn(s, "no prefilter, and times as exact as a burst is long: %s", why.text);
	return 0;
}

/* When the driver has its queues. */
static int attach_prefilter(
	struct ethdev *e, struct source *s, const struct source_options *o, struct errbuf *err)
{
	struct errbuf why;
	bool pinned;
	int r;

	if (e->prefilter == NULL)
		return 0;
	r = prefilter_attach(e->prefilter, &pinned, &why);
	if (r < 0)
		return fail_with(err, r, "%s: %s", o->device, why.text);
	if (!pinned)
		source_warn(s,
			"the prefilter's maps are not pinned: /sys/fs/bpf is not mounted, or not "
			"ours to write to, or another recorder has a port of this name");
	for (unsigned int q = 0; q < o->queues; q++) {
		e->queues[q].has_stamps = true;
		xdp_waiter_have_stamps(&e->queues[q].waiter, e->ifindex, e->link_fd);
		xdp_clock_renew(&e->queues[q].clock);
	}
	return 0;
}

/*
 * A driver that leaves its device to the kernel as well (mlx5, mlx4, tap) names the kernel's interface; net_failsafe
 * keeps to itself which of them it stands for. What a flow drops there, the kernel does not get either.
 */
static bool is_shared(const struct rte_eth_dev_info *info)
{
	return info->if_index != 0 || strcmp(info->driver_name, "net_failsafe") == 0;
}

/* When the device was started: some drivers forget flows as they start. */
static int prepare_flow_rules(struct ethdev *e, const struct rte_eth_dev_info *info,
	const struct source_options *o, struct errbuf *err)
{
	int r;

	if (e->ifindex != 0)
		return 0;
	r = flow_rules_new(e->port_id, o->name, is_shared(info), &e->flow_rules);
	if (r == -ENOMEM)
		return fail_with(err, r, "%s: no memory for flow rules", o->device);
	return 0;
}

/* An rx lcore that can wait for its queue need not spin. */
static bool can_wait(struct source *s, const struct ethdev *e)
{
	if (e->ifindex == 0)
		return false;
	for (unsigned int q = 0; q < s->queue_count; q++) {
		if (e->queues[q].waiter.fd >= 0)
			continue;
		source_warn(s,
			"AF_XDP's socket of queue %u was not found: while a run is live, its lcore "
			"takes a CPU whole",
			q);
		return false;
	}
	return true;
}

static int ethdev_open(struct source *s, const struct source_options *o, struct errbuf *err)
{
	struct rte_eth_dev_info info;
	struct rte_ether_addr mac;
	struct ethdev *e;
	int r;

	e = rte_zmalloc_socket("ethdev", sizeof(*e), RTE_CACHE_LINE_SIZE, o->socket_id);
	if (e == NULL)
		return fail_with(err, -ENOMEM, "%s: no memory", o->device);
	r = open_interface(e, o, err);
	if (r < 0)
		goto free_state;
	r = prepare_prefilter(e, s, o, err);
	if (r == 0)
		r = find_device(e, o, err);
	if (r < 0)
		goto close_interface;
	s->state = e;
	r = rte_eth_dev_info_get(e->port_id, &info);
	if (r < 0) {
		(void)fail_with(err, r, "%s: DPDK cannot describe it: %s", o->device, strerror(-r));
		goto close_device;
	}
	(void)snprintf(s->driver, sizeof(s->driver), "%s", info.driver_name);
	r = configure(e, s, &info, o, err);
	if (r == 0)
		r = attach_prefilter(e, s, o, err);
	if (r == 0)
		r = prepare_flow_rules(e, &info, o, err);
	if (r < 0)
		goto close_device;
	set_promiscuous(e, s, o->promiscuous);
	if (e->ifindex != 0)
		xdp_warn(s, e->ifindex, e->link_fd, xdp_longest_frame(mbuf_room_of(o)));
	if (rte_eth_macaddr_get(e->port_id, &mac) == 0) {
		memcpy(s->mac, mac.addr_bytes, sizeof(s->mac));
		s->has_mac = true;
	}
	for (unsigned int q = 0; q < o->queues; q++) {
		struct ethdev_queue *eq = &e->queues[q];

		eq->port_id = e->port_id;
		eq->queue_id = (uint16_t)q;
		eq->counters = &s->queues[q];
		s->queues[q].state = eq;
	}
	s->queue_count = o->queues;
	s->clock = e->prefilter != NULL ? "kernel" : "tsc";
	s->linktype = DLT_ETHERNET;
	s->flags = EPB_FLAG_INBOUND;
	s->busy_poll = !can_wait(s, e);
	return 0;
close_device:
	ethdev_close(s);
	return r;
close_interface:
	close_interface(e);
free_state:
	rte_free(e);
	return r;
}

/* Puts back the tags that the NIC took out of the frame, so that lengths and filters see them. */
static uint16_t restore_tags(struct source_queue *counters, struct rte_mbuf *pkts[], uint16_t n)
{
	uint16_t kept = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0 && rte_vlan_insert(&m) != 0) {
			rte_pktmbuf_free(m);
			counter_add(&counters->error_pkts, 1);
			continue;
		}
		pkts[kept++] = m;
	}
	return kept;
}

static uint16_t ethdev_receive(struct source_queue *q, struct burst *b)
{
	const struct ethdev_queue *eq = q->state;
	uint16_t n = rte_eth_rx_burst(eq->port_id, eq->queue_id, b->pkts, BURST_PKTS);
	uint64_t flags = 0;

	for (uint16_t i = 0; i < n; i++)
		flags |= b->pkts[i]->ol_flags;
	if (unlikely((flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0))
		n = restore_tags(q, b->pkts, n);
	return n;
}

static void renew_clock(struct ethdev_queue *eq)
{
	xdp_clock_renew(&eq->clock);
	eq->since_renewed_pkts = 0;
}

static uint16_t xdp_receive(struct source_queue *q, struct burst *b)
{
	struct ethdev_queue *eq = q->state;
	uint16_t n = ethdev_receive(q, b);

	eq->waiter.came += n;
	if (!eq->has_stamps)
		return n;
	b->own_times = true;
	b->emptied = n < BURST_PKTS;
	b->late_ns = XDP_LATE_NS;
	eq->since_renewed_pkts += n;
	if (eq->since_renewed_pkts > CLOCK_PKTS)
		renew_clock(eq);
	counter_add(&eq->unstamped_pkts, xdp_read_stamps(&eq->clock, b, n));
	return n;
}

static void xdp_wait_for(struct source_queue *q, uint64_t max_ns)
{
	struct ethdev_queue *eq = q->state;

	xdp_wait(&eq->waiter, max_ns);
	if (eq->has_stamps)
		renew_clock(eq);
}

static void ethdev_counts(struct source *s, struct source_counts *ret)
{
	const struct ethdev *e = s->state;
	struct rte_eth_stats stats;

	if (e->flow_rules != NULL)
		ret->dropped_pkts = flow_rules_dropped_pkts(e->flow_rules);
	if (rte_eth_stats_get(e->port_id, &stats) != 0)
		return;
	ret->missed_pkts = stats.imissed;
	ret->no_mbuf_pkts = stats.rx_nombuf;
	ret->error_pkts = stats.ierrors;
	for (unsigned int q = 0; q < s->queue_count; q++)
		ret->error_pkts += counter_get(&s->queues[q].error_pkts);
}

static void warn_stamps(struct ethdev *e, struct source *s)
{
	for (unsigned int q = 0; q < s->queue_count && !e->warned_stamps; q++) {
		if (counter_get(&e->queues[q].unstamped_pkts) == 0)
			continue;
		source_warn(s, "the interface's driver leaves no room for XDP to stamp packets: "
			       "times are as exact as a burst is long");
		s->clock = "tsc";
		e->warned_stamps = true;
	}
}

static void xdp_counts(struct source *s, struct source_counts *ret)
{
	struct ethdev *e = s->state;
	struct port_prefilter totals;

	ethdev_counts(s, ret);
	for (unsigned int q = 0; q < s->queue_count; q++)
		ret->missed_pkts += xdp_ring_full_pkts(e->queues[q].waiter.fd);
	warn_stamps(e, s);
	if (e->prefilter == NULL || prefilter_totals(e->prefilter, &totals) < 0)
		return;
	ret->redirected_pkts = totals.redirected_pkts;
	ret->passed_pkts = totals.passed_pkts;
	ret->dropped_pkts = totals.dropped_pkts;
}

static int xdp_set_prefilter(struct source *s, const struct rules *rules, struct errbuf *err)
{
	const struct ethdev *e = s->state;

	if (e->prefilter == NULL)
		return fail_with(err, -ENOTSUP, "the port has no prefilter: see its warnings");
	return prefilter_set(e->prefilter, rules, err);
}

static int xdp_get_prefilter(struct source *s, struct port_prefilter *ret)
{
	const struct ethdev *e = s->state;

	return e->prefilter == NULL ? -ENOTSUP : prefilter_get(e->prefilter, ret);
}

static int ethdev_set_prefilter(struct source *s, const struct rules *rules, struct errbuf *err)
{
	const struct ethdev *e = s->state;

	if (e->flow_rules == NULL)
		return fail_with(
			err, -ENOTSUP, "the port has no prefilter: %s takes no flows", s->driver);
	return flow_rules_set(e->flow_rules, rules, err);
}

static int ethdev_get_prefilter(struct source *s, struct port_prefilter *ret)
{
	const struct ethdev *e = s->state;

	if (e->flow_rules == NULL)
		return -ENOTSUP;
	flow_rules_get(e->flow_rules, ret);
	return 0;
}

static void ethdev_link(struct source *s, bool *ret_up, uint64_t *ret_bps)
{
	const struct ethdev *e = s->state;
	struct rte_eth_link link;

	/* DPDK's driver says "up" and 10 Gbit/s, always. */
	if (e->ifindex != 0) {
		*ret_up = interface_is_up(e->link_fd, e->ifindex);
		*ret_bps = interface_bps(e->link_fd, e->ifindex);
		return;
	}
	if (rte_eth_link_get_nowait(e->port_id, &link) != 0)
		return;
	*ret_up = link.link_status == RTE_ETH_LINK_UP;
	*ret_bps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed * 1000000ULL;
}

const struct source_class ethdev_class = {
	.claims = ethdev_claims,
	.check = ethdev_check,
	.mbuf_room = ethdev_mbuf_room,
	.socket_id = ethdev_socket_id,
	.open = ethdev_open,
	.close = ethdev_close,
	.receive = ethdev_receive,
	.counts = ethdev_counts,
	.set_prefilter = ethdev_set_prefilter,
	.get_prefilter = ethdev_get_prefilter,
	.link = ethdev_link,
};

const struct source_class xdp_class = {
	.claims = xdp_claims,
	.check = ethdev_check,
	.mbuf_room = ethdev_mbuf_room,
	.socket_id = ethdev_socket_id,
	.open = ethdev_open,
	.close = ethdev_close,
	.receive = xdp_receive,
	.wait = xdp_wait_for,
	.counts = xdp_counts,
	.set_prefilter = xdp_set_prefilter,
	.get_prefilter = xdp_get_prefilter,
	.link = ethdev_link,
};
