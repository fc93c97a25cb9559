/* rooms: capture common dpdk */
/*
 * The generator's frames as another program reads them: written into a file by libpcap, taken apart by
 * tshark, which knows nothing of how they were made.
 */
#include "capture/source.h"

#include <check.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pcap/pcap.h>

#include <rte_eal.h>
#include <rte_mbuf.h>

#include "capture/frames_options.h"
#include "suite_main.h"
#include "tests/eal_start.h"

enum {
	MBUFS = 1023,
	FRAMES = 1000,
	FLOWS_MAX = 64,
	STORED_MAX = 2048,
	LINE_MAX_BYTES = 20000,
};

/*
 * What a reader must not find. Sequence numbers are not analysed: both sides of a TCP flow talk at once here,
 * and acknowledge nothing.
 */
#define FAULT                                                                                      \
	"_ws.malformed || _ws.expert.severity >= 4194304 || ip.checksum.status == 0"               \
	" || udp.checksum.status == 0 || tcp.checksum.status == 0 || ip.fragment.error"            \
	" || ip.fragment.overlap || ipv6.fragment.error || ipv6.fragment.overlap"
#define TSHARK                                                                                     \
	"tshark -n -r %s -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE"                     \
	" -o tcp.check_checksum:TRUE -o tcp.analyze_sequence_numbers:FALSE"                        \
	" -o ip.defragment:TRUE -o ipv6.defragment:TRUE %s 2>/dev/null"

static struct rte_mempool *pool;
static char pcap_path[] = "/tmp/test_frames.XXXXXX";

/* One queue of frames with these options, without the generator's clock. */
static struct frames *must_make(const char *options, struct frames_options *ret)
{
	char text[256];
	struct errbuf err = {""};
	struct frames *f;

	frames_options_init(ret);
	ret->flows = FLOWS_MAX;
	(void)snprintf(text, sizeof(text), "%s", options);
	for (char *at = text, *part; (part = strsep(&at, ",")) != NULL;) {
		char *value = strchr(part, '=');

		ck_assert_ptr_nonnull(value);
		*value = '\0';
		ck_assert_msg(frames_options_set(ret, part, value + 1, &err) == 0, "%s", err.text);
	}
	ck_assert_msg(frames_options_check(ret, &err) == 0, "%s", err.text);
	f = frames_new(ret, 0, 1);
	ck_assert_ptr_nonnull(f);
	return f;
}

struct stored {
	uint32_t len;
	uint8_t data[STORED_MAX];
};

/* Builds n frames from first on, burst by burst, and copies them. */
static void build(struct frames *f, uint64_t first, struct stored *ret, unsigned int n)
{
	struct rte_mbuf *pkts[BURST_PKTS];

	for (unsigned int done = 0; done < n;) {
		unsigned int here = n - done < BURST_PKTS ? n - done : BURST_PKTS;

		ck_assert_int_eq(rte_mempool_get_bulk(pool, (void **)pkts, here), 0);
		frames_build(f, first + done, pkts, here);
		for (unsigned int i = 0; i < here; i++, done++) {
			ck_assert_uint_le(pkts[i]->pkt_len, STORED_MAX);
			ret[done].len = pkts[i]->pkt_len;
			memcpy(ret[done].data, rte_pktmbuf_mtod(pkts[i], const uint8_t *),
				pkts[i]->pkt_len);
		}
		rte_pktmbuf_free_bulk(pkts, here);
	}
}

static void write_pcap(const struct stored *frames, unsigned int n)
{
	pcap_t *p = pcap_open_dead(DLT_EN10MB, 262144);
	pcap_dumper_t *d = pcap_dump_open(p, pcap_path);

	ck_assert_ptr_nonnull(d);
	for (unsigned int i = 0; i < n; i++) {
		const struct pcap_pkthdr h = {
			.ts = {.tv_sec = 1700000000, .tv_usec = (suseconds_t)i},
			.caplen = frames[i].len,
			.len = frames[i].len,
		};

		pcap_dump((u_char *)d, &h, frames[i].data);
	}
	pcap_dump_close(d);
	pcap_close(p);
}

static FILE *tshark(const char *more)
{
	char command[2048];
	FILE *out;

	ck_assert_int_lt(
		snprintf(command, sizeof(command), TSHARK, pcap_path, more), (int)sizeof(command));
	out = popen(command, "r");
	ck_assert_ptr_nonnull(out);
	return out;
}

/* How many frames a display filter keeps. */
static unsigned int count_matching(const char *filter)
{
	char more[1024], line[256];
	unsigned int n = 0;
	FILE *out;

	(void)snprintf(more, sizeof(more), "-T fields -e frame.number -Y '%s'", filter);
	out = tshark(more);
	while (fgets(line, sizeof(line), out) != NULL)
		n++;
	ck_assert_msg(pclose(out) == 0, "tshark refuses '%s'", filter);
	return n;
}

static struct stored frames[FRAMES];

/* Failure paths */

static const char *const REFUSED[][2] = {
	{"vlan=0.5", "4094"},
	{"vlan=5.0", "4094"},
	{"vlan=5.4095", "4094"},
	{"vlan=1.2.3", "4094"},
	{"vlan=.2", "4094"},
	{"vlan=2.", "4094"},
	{"mpls=0", "1..8"},
	{"mpls=9", "1..8"},
	{"tunnel=none", "vxlan, geneve, gtp-u, gre, ipip"},
	{"tunnel=VXLAN", "vxlan, geneve, gtp-u, gre, ipip"},
	{"tunnel=", "vxlan, geneve, gtp-u, gre, ipip"},
	{"fragments=101", "0..100"},
	{"fragments=some", "0..100"},
	{"fragments=10,tcp=50", "fragments=10 does not go with tcp=50"},
	{"tcp=1,fragments=100", "fragments=100 does not go with tcp=1"},
	{"fragments=10,tunnel=gre", "fragments=10 does not go with tunnel"},
	{"tunnel=ipip,fragments=1", "fragments=1 does not go with tunnel"},
};

START_TEST(wrong_option_or_pair_of_them_is_refused_with_the_rule)
{
	char device[256];
	struct errbuf err = {""};

	(void)snprintf(device, sizeof(device), "gen:%s", REFUSED[_i][0]);
	ck_assert_int_eq(gen_class.check(device, &err), -EINVAL);
	ck_assert_msg(strstr(err.text, REFUSED[_i][1]) != NULL, "%s: %s", device, err.text);
}
END_TEST

static const char *const ACCEPTED[] = {
	"gen:vlan=4094.1,mpls=8,tunnel=gtp-u,ipv6=50,tcp=50",
	"gen:fragments=0,tcp=50,tunnel=vxlan",
	"gen:fragments=100,vlan=1.2,mpls=1,ipv6=50",
};

START_TEST(options_that_go_together_are_accepted)
{
	struct errbuf err = {""};

	ck_assert_msg(gen_class.check(ACCEPTED[_i], &err) == 0, "%s", err.text);
}
END_TEST

/* The reading below would find what it is to find. */
START_TEST(reader_finds_a_wrong_byte_in_any_header_or_payload)
{
	struct frames_options o;
	struct frames *f = must_make("size=128,tunnel=geneve", &o);

	build(f, 0, frames, 1);
	frames_free(f);
	/* From the outer IP header on: no checksum of this file covers the outer MACs. */
	for (unsigned int at = 14; at < frames[0].len; at += 7) {
		frames[0].data[at] ^= 0x40;
		write_pcap(frames, 1);
		ck_assert_msg(count_matching(FAULT) == 1, "byte %u", at);
		frames[0].data[at] ^= 0x40;
	}
}
END_TEST

/* What another program reads */

static const struct {
	const char *options;
	const char *all;  /* what tshark must see in every frame */
	const char *none; /* and in none */
} KINDS[] = {
	{"size=64", "ip.checksum.status == 1 && udp.checksum.status == 1 && frame.len == 60",
		"vlan || mpls || eth.trailer"},
	{"size=64-1518,vlan=100", "vlan.id == 100 && udp.checksum.status == 1", "ieee8021ad"},
	{"size=64-1518,vlan=100.200",
		"eth.type == 0x88a8 && ieee8021ad.id == 100 && vlan.id == 200 &&"
		" udp.checksum.status == 1",
		"eth.trailer"},
	{"size=64-1518,mpls=3,ipv6=50,tcp=50",
		"mpls.label == 100 && mpls.label == 102 && (udp.checksum.status == 1 ||"
		" tcp.checksum.status == 1)",
		"mpls.label == 103"},
	{"size=IMIX,vlan=4094.1,mpls=8,ipv6=50,tcp=50",
		"mpls.label == 107 && mpls.bottom == 1 && (udp.checksum.status == 1 ||"
		" tcp.checksum.status == 1)",
		"gre"},
	{"size=64-1518,tunnel=vxlan,ipv6=50,tcp=50",
		"vxlan.vni == 1 && ip.src == 10.3.0.0/24 && udp.checksum.status == 3 &&"
		" (udp.checksum.status == 1 || tcp.checksum.status == 1)",
		"eth.trailer"},
	{"size=64-1518,tunnel=geneve,ipv6=50,tcp=50",
		"geneve.vni == 1 && ip.src == 10.3.0.0/24 && udp.checksum.status == 1",
		"eth.trailer"},
	{"size=64-1518,tunnel=geneve", "geneve.vni == 1 && count(udp) == 2",
		"udp.checksum.status != 1"},
	{"size=64-1518,tunnel=gtp-u,ipv6=50,tcp=50",
		"gtp.message == 0xff && gtp.teid >= 1 && udp.checksum.status == 1", "eth.trailer"},
	{"size=64-1518,tunnel=gre,ipv6=50,tcp=50",
		"gre.proto && ip.proto == 47 && (udp.checksum.status == 1 ||"
		" tcp.checksum.status == 1)",
		"eth.trailer"},
	{"size=64-1518,tunnel=ipip,ipv6=50,tcp=50",
		"(ip.proto == 4 || ip.proto == 41) && (udp.checksum.status == 1 ||"
		" tcp.checksum.status == 1)",
		"eth.trailer"},
	{"size=64,tunnel=gre,vlan=7,mpls=2", "gre && vlan.id == 7 && mpls.bottom == 1 && udp",
		"tcp"},
};

START_TEST(frames_are_what_was_asked_for_and_without_a_fault)
{
	struct frames_options o;
	struct frames *f = must_make(KINDS[_i].options, &o);

	build(f, 0, frames, FRAMES);
	frames_free(f);
	write_pcap(frames, FRAMES);
	ck_assert_uint_eq(count_matching(FAULT), 0);
	ck_assert_uint_eq(count_matching(KINDS[_i].all), FRAMES);
	ck_assert_uint_eq(count_matching(KINDS[_i].none), 0);
}
END_TEST

/* Fragments */

/* A datagram as tshark has it, whole or put together again; in the frame of its last piece. */
struct datagram {
	unsigned int frame;
	unsigned int pieces; /* 1: it came whole */
	uint32_t flow;
	uint64_t number;
};

static unsigned int read_datagrams(struct datagram *ret, unsigned int room)
{
	static char line[LINE_MAX_BYTES];
	FILE *out = tshark("-T fields -E separator=, -e frame.number -e ip.fragment.count"
			   " -e ipv6.fragment.count -e udp.payload -Y udp.checksum.status==1");
	unsigned int n = 0;

	while (fgets(line, sizeof(line), out) != NULL) {
		unsigned int frame = 0, pieces4 = 0, pieces6 = 0, magic = 0;
		char *field[4], *at = line;

		ck_assert_uint_lt(n, room);
		for (unsigned int i = 0; i < 4; i++) {
			field[i] = strsep(&at, ",\n");
			ck_assert_ptr_nonnull(field[i]);
		}
		frame = (unsigned int)strtoul(field[0], NULL, 10);
		pieces4 = (unsigned int)strtoul(field[1], NULL, 10);
		pieces6 = (unsigned int)strtoul(field[2], NULL, 10);
		ret[n] = (struct datagram){.frame = frame, .pieces = pieces4 + pieces6};
		if (ret[n].pieces == 0)
			ret[n].pieces = 1;
		ck_assert_int_eq(sscanf(field[3], "%8x%8" SCNx32 "%16" SCNx64, &magic, &ret[n].flow,
					 &ret[n].number),
			3);
		ck_assert_uint_eq(magic, FRAME_STAMP_MAGIC);
		n++;
	}
	ck_assert_int_eq(pclose(out), 0);
	return n;
}

static const struct {
	const char *options;
	uint32_t percent;
	const char *piece; /* what each piece, and no other frame, looks like */
} IN_PIECES[] = {
	{"size=64-1518,fragments=30", 30, "ip.flags.mf == 1 || ip.frag_offset > 0"},
	{"size=64,fragments=100", 100, "ip.flags.mf == 1 || ip.frag_offset > 0"},
	{"size=IMIX,fragments=50,vlan=100.200", 50, "ip.flags.mf == 1 || ip.frag_offset > 0"},
	{"size=65-99,fragments=60,ipv6=100", 60, "ipv6.fraghdr"},
	{"size=64-1518,fragments=50,ipv6=50,mpls=2,vlan=5", 50,
		"ip.flags.mf == 1 || ip.frag_offset > 0 || ipv6.fraghdr"},
	{"size=1518,fragments=1,seed=4", 1, "ip.flags.mf == 1 || ip.frag_offset > 0"},
	{"size=64-1518,fragments=0", 0, "ip.flags.mf == 1 || ip.frag_offset > 0"},
};

START_TEST(datagrams_in_pieces_are_put_together_and_none_is_missing)
{
	static struct datagram read[FRAMES];
	struct frames_options o;
	struct frames *f = must_make(IN_PIECES[_i].options, &o);
	unsigned int n, frame = 0, pieces = 0, broken = 0;

	build(f, 0, frames, FRAMES);
	frames_free(f);
	write_pcap(frames, FRAMES);
	ck_assert_uint_eq(count_matching(FAULT), 0);
	n = read_datagrams(read, FRAMES);
	for (unsigned int j = 0; j < n; j++) {
		/* Datagram j is packet j / F of flow j % F, and its pieces follow each other. */
		ck_assert_uint_eq(read[j].flow, j % FLOWS_MAX);
		ck_assert_uint_eq(read[j].number, j / FLOWS_MAX);
		frame += read[j].pieces;
		ck_assert_uint_eq(read[j].frame, frame);
		if (read[j].pieces > 1) {
			pieces += read[j].pieces;
			broken++;
		}
	}
	/* The last may lack pieces that would be frames to come. */
	ck_assert_uint_lt(FRAMES - frame, FRAGMENTS_MAX);
	ck_assert_uint_eq(count_matching(IN_PIECES[_i].piece), pieces + FRAMES - frame);
	ck_assert_uint_le(broken, n * IN_PIECES[_i].percent / 100 + n / 20);
	ck_assert_uint_ge(broken + n / 20, n * IN_PIECES[_i].percent / 100);
	if (IN_PIECES[_i].percent != 0)
		ck_assert_uint_gt(broken, 0);
}
END_TEST

/* What the pieces are counted by: IPv4 without a tag. */
static bool is_first_piece(const struct stored *s)
{
	return s->data[20] == 0x20 && s->data[21] == 0;
}

static bool is_later_piece(const struct stored *s)
{
	return (s->data[20] & 0x1f) != 0 || s->data[21] != 0;
}

START_TEST(share_in_pieces_is_exact_over_a_period_of_2003_datagrams)
{
	struct frames_options o;
	struct frames *f = must_make("size=64-1518,fragments=30,seed=3", &o);
	unsigned int datagrams = 0, broken = 0, counts[FRAGMENTS_MAX + 1] = {0}, run = 0;

	for (uint64_t k = 0; datagrams <= 2003; k++) {
		build(f, k, frames, 1);
		if (is_later_piece(&frames[0])) {
			run++;
			continue;
		}
		counts[run]++;
		run = is_first_piece(&frames[0]) ? 1 : 0;
		if (++datagrams <= 2003)
			broken += is_first_piece(&frames[0]);
	}
	frames_free(f);
	ck_assert_uint_eq(broken, 2003 * 30 / 100);
	/* In 2, 3 and 4 pieces, about a third each. */
	for (unsigned int n = 2; n <= FRAGMENTS_MAX; n++)
		ck_assert_uint_gt(counts[n], broken / 4);
	ck_assert_uint_eq(counts[1], 0);
}
END_TEST

START_TEST(frames_in_pieces_have_the_sizes_of_the_pattern)
{
	static struct stored whole[FRAMES];
	struct frames_options o;
	struct frames *f = must_make("size=IMIX,fragments=100,seed=8", &o);
	struct frames *same = must_make("size=IMIX,seed=8", &o);

	build(f, 0, frames, FRAMES);
	build(same, 0, whole, FRAMES);
	for (unsigned int k = 0; k < FRAMES; k++)
		ck_assert_uint_eq(frames[k].len, whole[k].len);
	frames_free(f);
	frames_free(same);
}
END_TEST

/* Lost frames are skipped: what is behind a hole must be what it would have been without. */
static const char *const REACHED[] = {
	"size=64",
	"size=IMIX",
	"size=64-1518,ipv6=50,tcp=50",
	"size=64-1518,tunnel=gtp-u,ipv6=50,tcp=50",
	"size=IMIX,fragments=40,ipv6=50",
	"size=64,fragments=100",
};

START_TEST(frame_is_the_same_however_it_is_reached)
{
	struct frames_options o;
	struct frames *f = must_make(REACHED[_i], &o), *jumping = must_make(REACHED[_i], &o);
	static struct stored some[8];

	build(f, 0, frames, FRAMES);
	for (unsigned int i = 0; i < FRAMES; i++) {
		unsigned int first = i * 617 % FRAMES, n = 1 + i % 7;

		if (first + n > FRAMES)
			n = FRAMES - first;
		build(jumping, first, some, n);
		for (unsigned int k = 0; k < n; k++) {
			ck_assert_uint_eq(some[k].len, frames[first + k].len);
			ck_assert_mem_eq(some[k].data, frames[first + k].data, some[k].len);
		}
	}
	frames_free(f);
	frames_free(jumping);
}
END_TEST

static Suite *frames_suite(void)
{
	Suite *s = suite_create("frames");
	TCase *t = tcase_create("frames");

	tcase_set_timeout(t, 100);
	tcase_add_loop_test(t, wrong_option_or_pair_of_them_is_refused_with_the_rule, 0,
		sizeof(REFUSED) / sizeof(REFUSED[0]));
	tcase_add_loop_test(t, options_that_go_together_are_accepted, 0,
		sizeof(ACCEPTED) / sizeof(ACCEPTED[0]));
	tcase_add_test(t, reader_finds_a_wrong_byte_in_any_header_or_payload);
	tcase_add_loop_test(t, frames_are_what_was_asked_for_and_without_a_fault, 0,
		sizeof(KINDS) / sizeof(KINDS[0]));
	tcase_add_loop_test(t, datagrams_in_pieces_are_put_together_and_none_is_missing, 0,
		sizeof(IN_PIECES) / sizeof(IN_PIECES[0]));
	tcase_add_test(t, share_in_pieces_is_exact_over_a_period_of_2003_datagrams);
	tcase_add_test(t, frames_in_pieces_have_the_sizes_of_the_pattern);
	tcase_add_loop_test(t, frame_is_the_same_however_it_is_reached, 0,
		sizeof(REACHED) / sizeof(REACHED[0]));
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	int r, fd;

	if (system("tshark --version >/dev/null 2>&1") != 0)
		return suite_skip("tshark");
	fd = mkstemp(pcap_path);
	if (fd < 0 || !eal_start(64))
		return EXIT_FAILURE;
	(void)close(fd);
	pool = rte_pktmbuf_pool_create(
		"frames", MBUFS, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL)
		return EXIT_FAILURE;
	r = suite_run_unforked(frames_suite());
	(void)unlink(pcap_path);
	(void)rte_eal_cleanup();
	return r;
}
