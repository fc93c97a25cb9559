/*
 * Sends the frames of a capture file, round and round, at a rate that it holds, and says how many of
 * them the kernel took. For tests/bench/peers, which builds it:
 *
 *   cc -O2 -o peers_sender peers_sender.c -lpcap
 *   peers_sender [-r PACKETS_PER_SECOND] INTERFACE FILE PACKETS
 *
 * Without -r it sends as fast as the kernel takes them. It prints one line:
 *
 *   PACKETS BYTES SECONDS CPU_SECONDS REFUSED
 *
 * PACKETS are those that the kernel took; what it refuses for want of memory is sent again, and
 * counted in REFUSED. It waits for its next frame awake, but lets others run: it is meant to have a
 * CPU to itself, on which the kernel then also does the receiver's part of a veth pair.
 */
#include <errno.h>
#include <limits.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <pcap/pcap.h>

enum {
	BURST_PKTS = 32,
	FRAMES_MAX = 1 << 20,
	SNAPLEN_MAX = 262144,
};

/* Frames one behind the other, and once more the first BURST_PKTS: a burst never has to turn round. */
struct frames {
	struct mmsghdr *messages;
	struct iovec *places;
	unsigned int count;
};

struct tally {
	uint64_t pkts;
	uint64_t bytes;
	uint64_t refused;
};

static void fail(const char *what, const char *why)
{
	(void)fprintf(stderr, "peers_sender: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void *must_have(void *memory)
{
	if (memory == NULL)
		fail("frames", "no memory");
	return memory;
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void frames_index(struct frames *f)
{
	size_t n = f->count + BURST_PKTS;

	f->places = must_have(realloc(f->places, n * sizeof(*f->places)));
	f->messages = must_have(calloc(n, sizeof(*f->messages)));
	for (size_t i = 0; i < n; i++) {
		if (i >= f->count)
			f->places[i] = f->places[i - f->count];
		f->messages[i].msg_hdr.msg_iov = &f->places[i];
		f->messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void frames_load(struct frames *f, const char *path)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	pcap_t *file = pcap_open_offline(path, why);
	struct pcap_pkthdr *head;
	const unsigned char *bytes;

	if (file == NULL)
		fail(path, why);
	if (pcap_datalink(file) != DLT_EN10MB)
		fail(path, "not of Ethernet");
	f->places = must_have(calloc(FRAMES_MAX, sizeof(*f->places)));
	while (f->count < FRAMES_MAX && pcap_next_ex(file, &head, &bytes) == 1) {
		struct iovec *place = &f->places[f->count];

		if (head->caplen == 0 || head->caplen > SNAPLEN_MAX)
			continue;
		place->iov_base = must_have(malloc(head->caplen));
		place->iov_len = head->caplen;
		memcpy(place->iov_base, bytes, head->caplen);
		f->count++;
	}
	pcap_close(file);
	if (f->count == 0)
		fail(path, "no frames");
	frames_index(f);
}

static int open_interface(const char *name)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int yes = 1, fd;

	if (address.sll_ifindex == 0)
		fail(name, strerror(errno));
	/* Protocol 0: it receives nothing. */
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail(name, strerror(errno));
	/* Straight to the driver: a queue between would take frames and drop them. */
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof(yes)) < 0)
		fail("PACKET_QDISC_BYPASS", strerror(errno));
	return fd;
}

/* How many frames are to go now: what is due, a burst at most. */
static unsigned int due(const struct tally *t, uint64_t wanted, double rate, double begun)
{
	uint64_t until = wanted, n;

	if (rate > 0) {
		double now = (seconds(CLOCK_MONOTONIC) - begun) * rate;

		if (now < (double)wanted)
			until = (uint64_t)now;
	}
	n = until > t->pkts ? until - t->pkts : 0;
	return n < BURST_PKTS ? (unsigned int)n : BURST_PKTS;
}

static void send_burst(int fd, struct frames *f, unsigned int n, struct tally *t)
{
	unsigned int at = (unsigned int)(t->pkts % f->count);
	int sent = sendmmsg(fd, &f->messages[at], n, 0);

	if (sent < 0) {
		if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
			fail("sendmmsg", strerror(errno));
		t->refused++;
		(void)sched_yield();
		return;
	}
	for (unsigned int i = 0; i < (unsigned int)sent; i++)
		t->bytes += f->places[at + i].iov_len;
	t->pkts += (unsigned int)sent;
}

static void send_all(int fd, struct frames *f, uint64_t wanted, double rate, struct tally *t)
{
	double begun = seconds(CLOCK_MONOTONIC);

	while (t->pkts < wanted) {
		unsigned int n = due(t, wanted, rate, begun);

		if (n == 0)
			(void)sched_yield();
		else
			send_burst(fd, f, n, t);
	}
}

static double number(const char *text)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end != '\0' || !(n > 0))
		fail(text, "is no number above 0");
	return n;
}

int main(int argc, char **argv)
{
	struct frames frames = {0};
	struct tally tally = {0};
	double rate = 0, begun, cpu;
	uint64_t wanted;
	int option, fd;

	while ((option = getopt(argc, argv, "r:")) != -1) {
		if (option != 'r')
			return 2;
		rate = number(optarg);
	}
	if (argc - optind != 3) {
		(void)fprintf(stderr, "usage: peers_sender [-r RATE] INTERFACE FILE PACKETS\n");
		return 2;
	}
	wanted = (uint64_t)number(argv[optind + 2]);
	frames_load(&frames, argv[optind + 1]);
	fd = open_interface(argv[optind]);
	begun = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	send_all(fd, &frames, wanted, rate, &tally);
	(void)printf("%llu %llu %.6f %.6f %llu\n", (unsigned long long)tally.pkts,
		(unsigned long long)tally.bytes, seconds(CLOCK_MONOTONIC) - begun,
		seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, (unsigned long long)tally.refused);
	return EXIT_SUCCESS;
}
