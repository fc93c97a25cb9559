/*
 * A kernel interface by AF_PACKET: the kernel copies packets into a ring of blocks that we map
 * (TPACKET_V3), we copy them on into mbufs.
 *
 *   |<---------------- block, 1 MiB ----------------->|<------- block ------->| ...
 *   | head | header, address, packet | header ...     |
 *      |       tpacket3_hdr, sockaddr_ll
 *      +-- block_status: the kernel's, or ours until all of its packets were copied
 *
 * https://docs.kernel.org/networking/packet_mmap.html
 *
 * Not DPDK's net_af_packet, which in 22.11 does not ask the kernel for what it dropped, cuts
 * at its frame size without a word, puts every VLAN tag back as 802.1Q, and knows no
 * direction and no time.
 */
#include "interface.h"
#include "source.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_branch_prediction.h>

#include "wirespool/clock.h"
#include "wirespool/log.h"
#include "wirespool/pcapng.h"
#include "wirespool/units.h"

enum {
	DLT_ETHERNET = 1,
	DLT_RAW_IP = 12,
	BLOCK_BYTES = 1 << 20, /* takes a GSO packet of any size whole */
	BLOCKS_MIN = 4,
	BLOCKS_MAX = 1024,
	RETIRE_MS =
		8, /* a block is given to us half full after this: our latency when traffic is thin */
	ADDRESS_BYTES = 12,
	TAG_BYTES = 4,
	STARVED_NS = 100000,
	DOWN_NS = 10000000,
	LATE_NS = 100 * 1000 * 1000, /* a packet comes with its block */
};

struct afpacket_queue {
	/* Read-only after open() */
	int fd;
	uint8_t *ring;
	unsigned int block_count;
	struct rte_mempool *pool;
	int64_t shift_ns;
	bool is_loopback;
	bool is_ethernet;
	const char *name;

	/* The rx lcore's */
	unsigned int block;                /* the next to be ours, or of which packets are left */
	uint32_t pkts_left;                /* in it */
	const struct tpacket3_hdr *packet; /* the next of them */
	uint64_t last_ns;
	bool starved;
	bool said_down;
} __rte_cache_aligned;

struct afpacket {
	char name[IF_NAMESIZE];
	int ifindex;
	bool is_loopback;
	struct afpacket_queue queues[SOURCE_QUEUES_MAX];
};

/* All other kinds of device have a colon in them, and no interface has. */
static bool afpacket_claims(const char *device)
{
	return device[0] != '\0' && strpbrk(device, ":/ ") == NULL;
}

static int no_interface(const char *device, struct errbuf *err)
{
	return fail_with(err, -ENODEV, "there is no interface '%s'", device);
}

static int afpacket_check(const char *device, struct errbuf *err)
{
	if (strlen(device) >= IF_NAMESIZE)
		return fail_with(err, -EINVAL,
			"'%s' is no interface: their names have at most %d characters", device,
			IF_NAMESIZE - 1);
	return if_nametoindex(device) == 0 ? no_interface(device, err) : 0;
}

static unsigned int afpacket_mbuf_room(const char *device)
{
	(void)device;
	return 0;
}

/* Sysfs would know, but not in another network namespace than it was mounted in. */
static int afpacket_socket_id(const char *device)
{
	(void)device;
	return -1;
}

static int failed(struct errbuf *err, const char *device, const char *what)
{
	int error = -errno;

	return fail_with(err, error, "interface '%s': cannot %s: %s%s", device, what,
		strerror(-error),
		error == -EPERM || error == -EACCES ? " (it takes the capability CAP_NET_RAW)"
						    : "");
}

static int set_option(int fd, int option, const void *value, socklen_t len)
{
	return setsockopt(fd, SOL_PACKET, option, value, len);
}

/* Nothing passes until open_gate(): what comes while the socket is being set up is nobody's. */
static int close_gate(int fd)
{
	struct sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog program = {.len = 1, .filter = &none};

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

static int open_gate(int fd)
{
	int unused = 0;

	return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused));
}

/* As many blocks as are wanted, or as the kernel has memory for: half of them, half of those... */
static int make_ring(struct afpacket_queue *q, unsigned int wanted)
{
	struct tpacket_req3 req = {
		.tp_block_size = BLOCK_BYTES,
		.tp_frame_size = TPACKET_ALIGNMENT << 7,
		.tp_retire_blk_tov = RETIRE_MS,
	};
	void *ring;

	for (q->block_count = wanted; q->block_count >= BLOCKS_MIN; q->block_count /= 2) {
		req.tp_block_nr = q->block_count;
		req.tp_frame_nr = req.tp_block_nr * (req.tp_block_size / req.tp_frame_size);
		if (set_option(q->fd, PACKET_RX_RING, &req, sizeof(req)) == 0)
			break;
		if (errno != ENOMEM)
			return -1;
	}
	if (q->block_count < BLOCKS_MIN)
		return -1;
	ring = mmap(NULL, (size_t)q->block_count * BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		q->fd, 0);
	if (ring == MAP_FAILED)
		return -1;
	q->ring = ring;
	return 0;
}

static int bind_socket(const struct afpacket_queue *q, int ifindex)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htobe16(ETH_P_ALL),
		.sll_ifindex = ifindex,
	};

	return bind(q->fd, (const struct sockaddr *)&address, sizeof(address));
}

static int open_queue(
	struct afpacket *a, struct afpacket_queue *q, unsigned int blocks, struct errbuf *err)
{
	int version = TPACKET_V3, yes = 1;

	/* Protocol 0: it receives nothing before it is bound. */
	q->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (q->fd < 0)
		return failed(err, a->name, "open a packet socket");
	if (set_option(q->fd, PACKET_VERSION, &version, sizeof(version)) < 0)
		return failed(err, a->name, "use TPACKET_V3");
	/* On loopback each packet passes twice, out and in. Where the kernel cannot leave one of
	 * them out (before 4.20), receive() does. */
	if (q->is_loopback)
		(void)set_option(q->fd, PACKET_IGNORE_OUTGOING, &yes, sizeof(yes));
	if (close_gate(q->fd) < 0)
		return failed(err, a->name, "set a socket filter");
	if (make_ring(q, blocks) < 0)
		return failed(err, a->name, "make a packet ring");
	if (bind_socket(q, a->ifindex) < 0)
		return failed(err, a->name, "bind to it");
	return 0;
}

static void close_queues(struct afpacket *a)
{
	for (unsigned int i = 0; i < SOURCE_QUEUES_MAX; i++) {
		struct afpacket_queue *q = &a->queues[i];

		if (q->ring != NULL)
			(void)munmap(q->ring, (size_t)q->block_count * BLOCK_BYTES);
		if (q->fd >= 0)
			(void)close(q->fd);
	}
	free(a);
}

/*
 * The kernel's flow hash is the same for both directions. Fragments go by addresses alone:
 * they are not put together.
 */
static int join_fanout(struct afpacket *a, unsigned int queues, struct errbuf *err)
{
	int request = (PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID) << 16;
	socklen_t len = sizeof(request);

	for (unsigned int i = 0; i < queues; i++) {
		int fd = a->queues[i].fd;

		if (set_option(fd, PACKET_FANOUT, &request, sizeof(request)) < 0)
			return failed(err, a->name, "share it among queues");
		if (i != 0)
			continue;
		/* The first socket gets a number that no other group has; the others join by it. */
		if (getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &request, &len) < 0)
			return failed(err, a->name, "share it among queues");
		request = (request & UINT16_MAX) | PACKET_FANOUT_HASH << 16;
	}
	return 0;
}

/* Lets packets in, on all queues, once all is set up. */
static int begin(struct afpacket *a, const struct source_options *so, struct errbuf *err)
{
	struct packet_mreq promiscuous = {.mr_ifindex = a->ifindex, .mr_type = PACKET_MR_PROMISC};
	struct tpacket_stats_v3 stats;
	socklen_t len = sizeof(stats);
	int r;

	if (so->promiscuous && set_option(a->queues[0].fd, PACKET_ADD_MEMBERSHIP, &promiscuous,
				       sizeof(promiscuous)) < 0)
		return failed(err, a->name, "make it promiscuous");
	if (so->queues > 1) {
		r = join_fanout(a, so->queues, err);
		if (r < 0)
			return r;
	}
	for (unsigned int i = 0; i < so->queues; i++) {
		/* Reading sets them to zero. */
		(void)getsockopt(a->queues[i].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
		if (open_gate(a->queues[i].fd) < 0)
			return failed(err, a->name, "remove a socket filter");
	}
	return 0;
}

/* What kind of interface it is, by a socket that takes no capability. */
static int find_interface(struct source *s, struct afpacket *a, struct errbuf *err)
{
	struct ifreq ifr = {.ifr_ifindex = 0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r, type;

	if (fd < 0)
		return failed(err, a->name, "open a socket");
	a->ifindex = (int)if_nametoindex(a->name);
	r = a->ifindex == 0 ? -ENODEV : interface_ask(fd, a->ifindex, SIOCGIFHWADDR, &ifr);
	(void)close(fd);
	if (r < 0)
		return no_interface(a->name, err);
	type = ifr.ifr_hwaddr.sa_family;
	switch (type) {
	case ARPHRD_ETHER:
		s->has_mac = true;
		memcpy(s->mac, ifr.ifr_hwaddr.sa_data, sizeof(s->mac));
		s->linktype = DLT_ETHERNET;
		return 0;
	case ARPHRD_LOOPBACK:
		a->is_loopback = true;
		s->linktype = DLT_ETHERNET;
		return 0;
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
		s->linktype = DLT_RAW_IP;
		return 0;
	default:
		return fail_with(err, -EPROTONOSUPPORT,
			"interface '%s' is of hardware type %d; Ethernet (1), loopback (772) and "
			"raw IP (65534, 519) are known",
			a->name, type);
	}
}

static unsigned int blocks_for(uint32_t descriptors)
{
	uint64_t blocks = (uint64_t)descriptors * 2048 / BLOCK_BYTES;

	return blocks < BLOCKS_MIN   ? BLOCKS_MIN
	       : blocks > BLOCKS_MAX ? BLOCKS_MAX
				     : (unsigned int)blocks;
}

static int open_queues(
	struct source *s, struct afpacket *a, const struct source_options *so, struct errbuf *err)
{
	unsigned int wanted = blocks_for(so->descriptors);
	int r;

	for (unsigned int i = 0; i < so->queues; i++) {
		struct afpacket_queue *q = &a->queues[i];

		q->is_loopback = a->is_loopback;
		q->is_ethernet = s->linktype == DLT_ETHERNET;
		q->pool = so->pools[i];
		q->shift_ns = clock_shift_ns();
		q->name = a->name;
		r = open_queue(a, q, wanted, err);
		if (r < 0)
			return r;
		if (q->block_count < wanted)
			source_warn(s,
				"queue %u: the kernel has memory for %u MiB of packets, not for "
				"%u MiB",
				i, q->block_count, wanted);
		s->queues[i].state = q;
	}
	return begin(a, so, err);
}

static int afpacket_open(struct source *s, const struct source_options *options, struct errbuf *err)
{
	struct afpacket *a;
	int r;

	r = afpacket_check(options->device, err);
	if (r < 0)
		return r;
	if (options->queues == 0 || options->queues > SOURCE_QUEUES_MAX)
		return fail_with(err, -EINVAL, "interface '%s': queues must be 1..%d, got %u",
			options->device, SOURCE_QUEUES_MAX, options->queues);
	a = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*a), RTE_CACHE_LINE_SIZE));
	if (a == NULL)
		return fail_with(err, -ENOMEM, "interface '%s': no memory", options->device);
	memset(a, 0, sizeof(*a));
	for (unsigned int i = 0; i < SOURCE_QUEUES_MAX; i++)
		a->queues[i].fd = -1;
	(void)snprintf(a->name, sizeof(a->name), "%s", options->device);
	r = find_interface(s, a, err);
	if (r == 0)
		r = open_queues(s, a, options, err);
	if (r < 0) {
		close_queues(a);
		return r;
	}
	s->state = a;
	s->queue_count = options->queues;
	(void)snprintf(s->driver, sizeof(s->driver), "af_packet");
	s->clock = "kernel";
	s->descriptors = a->queues[0].block_count * (BLOCK_BYTES / 2048);
	if (!interface_is_up(a->queues[0].fd, a->ifindex))
		source_warn(s, "interface '%s' is down: nothing comes until it is up", a->name);
	return 0;
}

static void afpacket_close(struct source *s)
{
	if (s->state != NULL)
		close_queues(s->state);
	s->state = NULL;
}

static struct tpacket_block_desc *block_of(const struct afpacket_queue *q)
{
	return (struct tpacket_block_desc *)(void *)(q->ring + (size_t)q->block * BLOCK_BYTES);
}

static inline void release_block(struct afpacket_queue *q)
{
	/* Every byte of it was copied before the kernel may write there again. */
	__atomic_store_n(&block_of(q)->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	q->block = q->block + 1 == q->block_count ? 0 : q->block + 1;
}

/* True when there is a packet: of the block that is ours, or of the next that the kernel closed. */
static inline bool have_packet(struct afpacket_queue *q)
{
	while (q->pkts_left == 0) {
		struct tpacket_block_desc *block = block_of(q);

		/* Pairs with the kernel's barrier in prb_flush_block(): packets, then status. */
		if (!(__atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE) &
			    TP_STATUS_USER))
			return false;
		q->pkts_left = block->hdr.bh1.num_pkts;
		q->packet =
			(const void *)((const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt);
		if (unlikely(q->pkts_left == 0))
			release_block(q);
	}
	return true;
}

static inline void next_packet(struct afpacket_queue *q)
{
	q->packet = (const void *)((const uint8_t *)q->packet + q->packet->tp_next_offset);
	if (--q->pkts_left == 0)
		release_block(q);
}

static inline const struct sockaddr_ll *address_of(const struct tpacket3_hdr *h)
{
	return (const void *)((const uint8_t *)h +
			      RTE_ALIGN(sizeof(*h), (size_t)TPACKET_ALIGNMENT));
}

/* The tag that the kernel took out of the frame goes back to where it was, as what it was.
 * False: there is no frame around it. */
static inline bool insert_tag(struct rte_mbuf *m, const struct tpacket3_hdr *h)
{
	bool known = h->tp_status & TP_STATUS_VLAN_TPID_VALID;
	uint16_t tag[2] = {htobe16(known ? h->hv1.tp_vlan_tpid : (uint16_t)ETH_P_8021Q),
		htobe16((uint16_t)h->hv1.tp_vlan_tci)};
	uint8_t *d;

	if (unlikely(m->data_len < ADDRESS_BYTES))
		return false;
	d = (uint8_t *)rte_pktmbuf_prepend(m, TAG_BYTES);
	if (unlikely(d == NULL))
		return false;
	memmove(d, d + TAG_BYTES, ADDRESS_BYTES);
	memcpy(d + ADDRESS_BYTES, tag, sizeof(tag));
	return true;
}

static inline uint64_t time_of(struct afpacket_queue *q, const struct tpacket3_hdr *h)
{
	uint64_t ns = (uint64_t)h->tp_sec * NS_PER_SEC + h->tp_nsec + (uint64_t)q->shift_ns;

	/* CPUs stamp packets before they take turns at the ring. */
	if (ns < q->last_ns)
		ns = q->last_ns;
	q->last_ns = ns;
	return ns;
}

/* Copies a packet to place n of the burst; false when there is no mbuf. */
static inline bool take(struct afpacket_queue *q, struct burst *b, unsigned int n)
{
	const struct tpacket3_hdr *h = q->packet;
	uint32_t len = h->tp_snaplen;
	struct rte_mbuf *m;

	/* Only of GSO packets that are larger than any file may hold; the tag has to fit, too. */
	if (unlikely(len > PCAPNG_SNAPLEN - TAG_BYTES))
		len = PCAPNG_SNAPLEN - TAG_BYTES;
	m = mbuf_from_bytes(q->pool, (const uint8_t *)h + h->tp_mac, len);
	if (unlikely(m == NULL)) {
		q->starved = true;
		return false;
	}
	b->pkts[n] = m;
	b->time_ns[n] = time_of(q, h);
	b->wire_len[n] = h->tp_len;
	b->flags[n] = address_of(h)->sll_pkttype == PACKET_OUTGOING ? EPB_FLAG_OUTBOUND
								    : EPB_FLAG_INBOUND;
	if ((h->tp_status & TP_STATUS_VLAN_VALID) && q->is_ethernet && insert_tag(m, h))
		b->wire_len[n] += TAG_BYTES;
	return true;
}

static uint16_t afpacket_receive(struct source_queue *sq, struct burst *b)
{
	struct afpacket_queue *q = sq->state;
	uint16_t n = 0;

	b->own_times = b->own_lengths = b->own_flags = true;
	q->starved = false;
	while (n < BURST_PKTS && have_packet(q)) {
		bool again =
			q->is_loopback && address_of(q->packet)->sll_pkttype == PACKET_OUTGOING;

		if (likely(!again)) {
			if (unlikely(!take(q, b, n)))
				break;
			n++;
		}
		next_packet(q);
	}
	b->emptied = n < BURST_PKTS && !q->starved;
	b->late_ns = LATE_NS;
	return n;
}

static void sleep_ns(uint64_t ns)
{
	struct timespec t = {
		.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};

	(void)nanosleep(&t, NULL);
}

/* The interface went down or away. It may come up again, and then packets come as before. */
static void note_error(struct afpacket_queue *q)
{
	int error = 0;
	socklen_t len = sizeof(error);

	/* Reading it clears it, so that poll() sleeps again. */
	(void)getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error != 0 && !q->said_down)
		log_warn("interface %s: %s; waiting for it", q->name, strerror(error));
	q->said_down = true;
}

static void afpacket_wait(struct source_queue *sq, uint64_t max_ns)
{
	struct afpacket_queue *q = sq->state;
	struct pollfd p = {.fd = q->fd, .events = POLLIN};
	struct timespec t = {
		.tv_sec = (time_t)(max_ns / NS_PER_SEC), .tv_nsec = (long)(max_ns % NS_PER_SEC)};

	/* There are packets, but no mbufs: poll() would return at once. */
	if (q->starved) {
		sleep_ns(max_ns < STARVED_NS ? max_ns : STARVED_NS);
		return;
	}
	if (ppoll(&p, 1, &t, NULL) <= 0)
		return;
	if (p.revents & POLLERR) {
		note_error(q);
		sleep_ns(max_ns < DOWN_NS ? max_ns : DOWN_NS);
	} else {
		q->said_down = false;
	}
}

/* The kernel's counters begin again at each look; ours go on. */
static void afpacket_counts(struct source *s, struct source_counts *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < s->queue_count; i++) {
		const struct afpacket_queue *q = s->queues[i].state;
		struct tpacket_stats_v3 stats = {0};
		socklen_t len = sizeof(stats);

		if (getsockopt(q->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
			counter_add(&s->queues[i].missed_pkts, stats.tp_drops);
		ret->missed_pkts += counter_get(&s->queues[i].missed_pkts);
	}
}

static void afpacket_link(struct source *s, bool *ret_up, uint64_t *ret_bps)
{
	const struct afpacket *a = s->state;

	*ret_up = interface_is_up(a->queues[0].fd, a->ifindex);
	*ret_bps = interface_bps(a->queues[0].fd, a->ifindex);
}

const struct source_class afpacket_class = {
	.claims = afpacket_claims,
	.check = afpacket_check,
	.mbuf_room = afpacket_mbuf_room,
	.socket_id = afpacket_socket_id,
	.open = afpacket_open,
	.close = afpacket_close,
	.receive = afpacket_receive,
	.wait = afpacket_wait,
	.counts = afpacket_counts,
	.link = afpacket_link,
};
