#include "expression.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <pcap/pcap.h>

#include <rte_bpf.h>
#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "filter_program.h"
#include "plain.h"
#include "program_maybe.h"
#include "wirespool/filter.h"

enum {
	TAG_BYTES = 4,
	TAGS_MAX = 2,        /* looked behind: 802.1Q, and 802.1Q in 802.1ad */
	STEPS_MAX = 1500000, /* of DPDK's verifier: 0.05 to 0.1 us each */
	CODE_ALIGN = 64,
	NETMASK_OF_FILE = 0,               /* tcpdump's: "ip broadcast" is all ones or all zeroes */
	FLAT_REACH = 2 * (UINT16_MAX + 1), /* from an mbuf's start; DPDK's verifier asks */
	NO_TAGS = 0, /* no link type has its type field at 0 and the payload right behind it */
	LINK_HEADER_MAX = 20,
	IPV6_NEXT_HEADER = 6,
	TEXT_SHOWN = 200, /* bytes of an expression in a sentence, before what is wrong with it */
};

/*
 * The expression, for packets with so many tags left out. What has no native code is run by
 * libpcap: on another CPU, where the system lets no memory become executable (systemd's
 * MemoryDenyWriteExecute), when DPDK's verifier would take too long over the program, or when
 * that had a loop: unrolled it is such a one. DPDK's own interpreter would be one more thing to be
 * right.
 */
struct native {
	uint64_t (*run)(void *mbuf); /* the first part. NULL: there is none */
	struct part *parts;          /* by their numbers (program_split()) */
	uint32_t count;
	void *code; /* of all parts */
	size_t code_bytes;
};

struct part {
	uint64_t (*run)(void *mbuf); /* 1: kept, 0: not, else the number of the part that goes on */
	struct rte_bpf *bpf;         /* while it is loaded */
};

struct program {
	struct view view;
	struct native general; /* any packet; without it libpcap interprets */
	struct native flat;    /* packets at home */
};

struct expression {
	/* Of packets at home, by the number of their tags. Without one: the general program. */
	uint64_t (*at_home[TAGS_MAX + 1])(void *mbuf);
	uint32_t home_length_min; /* UINT32_MAX: no packet counts as at home */
	/* Where the type field that may name a tag is, or NO_TAGS: programs[0] for all. */
	uint32_t type_off;
	bool keeps_all;
	bool names_labels;       /* MPLS or PPPoE */
	bool names_fragments[2]; /* of IPv4, IPv6: or what else is hidden from it there */
	const struct link *link; /* NULL: not understood */
	struct program programs[TAGS_MAX + 1];
	struct bpf_program classic;
};

static void native_done(struct native *n)
{
	for (uint32_t number = 0; number < n->count; number++)
		rte_bpf_destroy(n->parts[number].bpf);
	free(n->parts);
	if (n->code != NULL)
		(void)munmap(n->code, n->code_bytes);
	*n = (struct native){.run = NULL};
}

/* Returns 0, -ENOMEM, or -ENOTSUP when there is no native code for it. */
static int part_load(
	struct part *p, const struct code *code, struct view view, bool flat, uint32_t *steps_left)
{
	struct rte_bpf_prm prm = {
		.prog_arg =
			{
				.type = flat ? RTE_BPF_ARG_PTR : RTE_BPF_ARG_PTR_MBUF,
				.size = flat ? FLAT_REACH : sizeof(struct rte_mbuf),
				.buf_size = flat ? 0 : RTE_MBUF_DEFAULT_BUF_SIZE,
			},
	};
	struct rte_bpf_jit jit = {0};
	struct ebpf_insn *insns;
	uint32_t steps;
	int r;

	r = program_convert(code, view, flat, &insns, &prm.nb_ins);
	if (r < 0)
		return r;
	prm.ins = insns;
	steps = program_steps(insns, prm.nb_ins);
	rte_errno = ENOTSUP;
	if (steps <= *steps_left && prm.nb_ins <= PART_INSNS_MAX)
		p->bpf = rte_bpf_load(&prm);
	free(insns);
	if (p->bpf == NULL)
		return rte_errno == ENOMEM ? -ENOMEM : -ENOTSUP;
	*steps_left -= steps;
	if (rte_bpf_get_jit(p->bpf, &jit) == 0)
		p->run = jit.func;
	return p->run != NULL ? 0 : -ENOTSUP;
}

/*
 * DPDK gives each part pages of its own, which begin in the same lines of a cache, so that a few
 * parts push each other out. This moves them together. It may, because the JIT's jumps are relative, and
 * its calls to addresses that it loads whole.
 */
static int native_gather(struct native *n)
{
	struct rte_bpf_jit jit;
	uint8_t *code;
	size_t at = 0;

	for (uint32_t number = PART_FIRST; number < n->count; number++) {
		(void)rte_bpf_get_jit(n->parts[number].bpf, &jit);
		n->code_bytes += RTE_ALIGN_CEIL(jit.sz, CODE_ALIGN);
	}
	code = mmap(
		NULL, n->code_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		return -ENOMEM;
	n->code = code;
	for (uint32_t number = PART_FIRST; number < n->count; number++) {
		struct part *p = &n->parts[number];

		(void)rte_bpf_get_jit(p->bpf, &jit);
		memcpy(code + at, (const void *)jit.func, jit.sz);
		p->run = (uint64_t(*)(void *))(code + at);
		at += RTE_ALIGN_CEIL(jit.sz, CODE_ALIGN);
		rte_bpf_destroy(p->bpf);
		p->bpf = NULL;
	}
	return mprotect(code, n->code_bytes, PROT_READ | PROT_EXEC) == 0 ? 0 : -ENOTSUP;
}

static int native_load(
	struct native *n, const struct code *parts, uint32_t count, struct view view, bool flat)
{
	uint32_t steps_left = STEPS_MAX;
	int r = 0;

	n->parts = calloc(count, sizeof(*n->parts));
	if (n->parts == NULL)
		return -ENOMEM;
	n->count = count;
	for (uint32_t number = PART_FIRST; r == 0 && number < count; number++)
		r = part_load(&n->parts[number], &parts[number], view, flat, &steps_left);
	if (r == 0)
		r = native_gather(n);
	if (r == 0)
		n->run = n->parts[PART_FIRST].run;
	else
		native_done(n);
	return r == -ENOTSUP ? 0 : r;
}

/*
 * Where the 16 bits of the type are that a tag puts itself in front of, so that leaving out
 * TAG_BYTES from there on gives the packet without its outermost tag.
 */
static uint32_t linktype_type_off(int linktype)
{
	switch (linktype) {
	case DLT_EN10MB:
		return 12;
	case DLT_LINUX_SLL:
		return 14;
	default:
		return NO_TAGS;
	}
}

/* What of it is seen only before libpcap's optimizer. */
static void find_names(
	struct expression *e, const struct bpf_program *unoptimized, int linktype, unsigned int how)
{
	for (unsigned int i = 0; i < 2; i++)
		e->names_fragments[i] =
			(how & EXPRESSION_WHOLE) != 0 ||
			program_names_fragments(unoptimized, linktype, i == 0 ? 4 : 6);
}

/*
 * A capture file without packets: an expression means what "tcpdump -r" means by it. To a live capture,
 * as pcap_open_dead() gives one, libpcap allows "inbound" and "ifindex", which look where only the
 * kernel has something; and behind a null or loopback header it takes for IPv6 what this machine's
 * number of it is, and not those of the systems that have such headers.
 */
static pcap_t *capture_file_open(int linktype)
{
	struct pcap_file_header header = {
		.magic = 0xa1b2c3d4,
		.version_major = PCAP_VERSION_MAJOR,
		.version_minor = PCAP_VERSION_MINOR,
		.snaplen = SNAPLEN_MAX,
		.linktype = (bpf_u_int32)linktype,
	};
	FILE *file = fmemopen(&header, sizeof(header), "r");
	char said[PCAP_ERRBUF_SIZE];
	pcap_t *pcap;

	if (file == NULL)
		return NULL;
	pcap = pcap_fopen_offline(file, said); /* has read the header, and owns file from now on */
	if (pcap == NULL)
		(void)fclose(file);
	return pcap;
}

/*
 * libpcap's optimizer takes a time that grows with the cube of the program: 200 hosts 0.4 s,
 * 1000 hosts 50 s. A program that would hold control up is left as it is: it means the same.
 * Returns 1 when the program had a loop, else 0 or the error.
 */
static int classic_compile(
	struct expression *e, const char *text, int linktype, unsigned int how, struct errbuf *err)
{
	pcap_t *pcap = capture_file_open(linktype);
	bool optimize;
	int r, loop;

	if (pcap == NULL)
		return fail_with(err, -ENOMEM, "no memory to compile a filter");
	r = pcap_compile(pcap, &e->classic, text, 0, NETMASK_OF_FILE);
	if (r != 0)
		goto refused;
	optimize = e->classic.bf_len <= OPTIMIZED_MAX && (how & EXPRESSION_AS_LONG) == 0;
	loop = program_unroll(&e->classic);
	if (loop < 0)
		goto no_memory;
	find_names(e, &e->classic, linktype, how);
	if (optimize) {
		pcap_freecode(&e->classic);
		r = pcap_compile(pcap, &e->classic, text, 1, NETMASK_OF_FILE);
		if (r != 0)
			goto refused;
		loop = program_unroll(&e->classic);
		if (loop < 0)
			goto no_memory;
	}
	r = program_set_memory(&e->classic);
	if (r < 0)
		goto no_memory;
	pcap_close(pcap);
	return loop;
refused:
	r = fail_with(err, -EINVAL, "filter '%.*s%s': %s", TEXT_SHOWN, text,
		strlen(text) > TEXT_SHOWN ? "..." : "", pcap_geterr(pcap));
	pcap_close(pcap);
	return r;
no_memory:
	pcap_close(pcap);
	return fail_with(err, -ENOMEM, "no memory for the filter's program");
}

static unsigned int views_count(const struct expression *e)
{
	return e->type_off == NO_TAGS ? 1 : TAGS_MAX + 1;
}

static int views_load(
	struct expression *e, unsigned int how, const struct code *parts, uint32_t count)
{
	bool all_native = true;

	for (unsigned int tags = 0; tags < views_count(e); tags++) {
		struct program *p = &e->programs[tags];
		int r = 0;

		p->view = (struct view){.at = e->type_off, .size = tags * TAG_BYTES};
		if ((how & EXPRESSION_INTERPRET) == 0)
			r = native_load(&p->general, parts, count, p->view, false);
		if (r == 0 && p->general.run != NULL && (how & EXPRESSION_NOT_FLAT) == 0)
			r = native_load(&p->flat, parts, count, p->view, true);
		if (r < 0)
			return r;
		e->at_home[tags] = p->flat.run != NULL ? p->flat.run : p->general.run;
		all_native = all_native && e->at_home[tags] != NULL;
	}
	e->home_length_min = all_native ? FLAT_LENGTH_MIN : UINT32_MAX;
	return 0;
}

static int expression_load(struct expression *e, unsigned int how, struct errbuf *err)
{
	struct code code = {.count = 0}, *parts = NULL;
	uint32_t count = 0;
	int r = 0;

	if ((how & EXPRESSION_INTERPRET) == 0)
		r = program_thread(&e->classic, &code);
	if (r == 0 && (how & EXPRESSION_INTERPRET) == 0)
		r = program_split(&code, &parts, &count);
	if (r == -ENOTSUP) {
		how |= EXPRESSION_INTERPRET;
		r = 0;
	}
	if (r == 0)
		r = views_load(e, how, parts, count);
	parts_free(parts, count);
	code_free(&code);
	return r < 0 ? fail_with(err, r, "no memory for the filter's program") : 0;
}

static bool classic_keeps_all(const struct bpf_program *classic)
{
	const struct bpf_insn *first = classic->bf_insns;

	return classic->bf_len == 1 && first->code == (BPF_RET | BPF_K) && first->k != 0;
}

int expression_compile(const char *text, int linktype, unsigned int how, struct expression **ret,
	struct errbuf *err)
{
	struct expression *e;
	int r;

	e = calloc(1, sizeof(*e));
	if (e == NULL)
		return fail_with(err, -ENOMEM, "no memory for a filter");
	r = classic_compile(e, text, linktype, how, err);
	if (r < 0)
		goto free_expression;
	if (r == 1)
		how |= EXPRESSION_INTERPRET;
	e->keeps_all = classic_keeps_all(&e->classic);
	e->link = link_find(linktype);
	e->type_off = linktype_type_off(linktype);
	e->names_labels = e->type_off != NO_TAGS && program_names_labels(&e->classic, e->type_off);
	if ((how & EXPRESSION_LITERAL) != 0 ||
		(e->type_off != NO_TAGS && program_names_vlan(&e->classic, e->type_off)))
		e->type_off = NO_TAGS;
	r = 0;
	if (!e->keeps_all)
		r = expression_load(e, how, err);
	if (r < 0)
		goto free_expression;
	*ret = e;
	return 0;
free_expression:
	expression_free(e);
	return r;
}

void expression_free(struct expression *e)
{
	if (e == NULL)
		return;
	for (unsigned int tags = 0; tags <= TAGS_MAX; tags++) {
		native_done(&e->programs[tags].flat);
		native_done(&e->programs[tags].general);
	}
	pcap_freecode(&e->classic);
	free(e);
}

bool expression_keeps_all(const struct expression *e)
{
	return e->keeps_all;
}

unsigned int expression_behind(const struct expression *e)
{
	unsigned int behind = 0;

	if (e->type_off != NO_TAGS)
		behind |= EXPRESSION_BEHIND_TAGS;
	if (e->type_off != NO_TAGS && !e->names_labels)
		behind |= EXPRESSION_BEHIND_LABELS;
	if (!e->names_fragments[0])
		behind |= EXPRESSION_BEHIND_FRAGMENTS_IPV4;
	if (!e->names_fragments[1])
		behind |= EXPRESSION_BEHIND_FRAGMENTS_IPV6;
	return behind;
}

bool expression_names_fragments(const struct expression *e, unsigned int version)
{
	return e->names_fragments[version == 6];
}

const char *expression_engine(const struct expression *e)
{
	if (e->keeps_all)
		return "none";
	for (unsigned int tags = 0; tags < views_count(e); tags++)
		if (e->programs[tags].general.run == NULL)
			return "interpreter";
	return "jit";
}

char *expression_dump(const struct expression *e)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	for (unsigned int i = 0; f != NULL && i < e->classic.bf_len; i++)
		(void)fprintf(f, "%s\n", bpf_image(&e->classic.bf_insns[i], (int)i));
	if (f != NULL && fclose(f) != 0) {
		free(text);
		text = NULL;
	}
	return text;
}

unsigned int expression_flat_views(const struct expression *e)
{
	unsigned int count = 0;

	for (unsigned int tags = 0; tags <= TAGS_MAX; tags++)
		count += e->programs[tags].flat.run != NULL;
	return count;
}

static bool is_tag(const struct rte_mbuf *m, uint32_t off)
{
	rte_be16_t buf, type;
	const void *p = rte_pktmbuf_read(m, off, sizeof(buf), &buf);

	if (p == NULL)
		return false;
	memcpy(&type, p, sizeof(type));
	return is_tag_type(type);
}

static inline unsigned int tags_count(const struct rte_mbuf *m, uint32_t type_off)
{
	if (!is_tag(m, type_off))
		return 0;
	return is_tag(m, type_off + TAG_BYTES) ? 2 : 1;
}

static uint32_t gather(const struct rte_mbuf *m, uint32_t off, uint32_t len, uint8_t *buf)
{
	const void *p = rte_pktmbuf_read(m, off, len, buf);

	if (p != buf && len > 0)
		memcpy(buf, p, len);
	return len;
}

/*
 * The packet as view shows it, in one piece: where it is, or copied to buf, and of that never more than
 * room. Only the interpreter needs this.
 */
static const uint8_t *linearize(
	const struct rte_mbuf *m, struct view view, uint8_t *buf, uint32_t room, uint32_t *ret_len)
{
	uint32_t behind = view.at + view.size, len = m->pkt_len;

	if (view.size == 0 && m->data_len == len) {
		*ret_len = len;
		return rte_pktmbuf_mtod(m, const uint8_t *);
	}
	if (view.size == 0) {
		*ret_len = gather(m, 0, RTE_MIN(len, room), buf);
		return buf;
	}
	*ret_len = gather(m, 0, view.at, buf);
	if (len > behind) /* else the tag itself is cut short */
		*ret_len += gather(m, behind, RTE_MIN(len - behind, room - view.at), buf + view.at);
	return buf;
}

static inline bool interpret(const struct program *p, const struct bpf_program *classic,
	const struct rte_mbuf *m, uint8_t *buf, uint32_t room)
{
	uint32_t len;
	const uint8_t *data = linearize(m, p->view, buf, room, &len);

	return bpf_filter(classic->bf_insns, data, m->pkt_len, len) != 0;
}

/* What offloads put together, and some replayed files have. No port delivers more than SNAPLEN_MAX. */
static __rte_noinline bool interpret_long(
	const struct program *p, const struct bpf_program *classic, const struct rte_mbuf *m)
{
	uint8_t buf[SNAPLEN_MAX];

	return interpret(p, classic, m, buf, sizeof(buf));
}

static __rte_noinline bool program_interpret(
	const struct program *p, const struct bpf_program *classic, const struct rte_mbuf *m)
{
	uint8_t buf[EXPRESSION_LINEAR_MAX];

	if (unlikely(m->pkt_len > sizeof(buf)))
		return interpret_long(p, classic, m);
	return interpret(p, classic, m, buf, sizeof(buf));
}

/* What the other parts say of a packet, the first having said that number goes on. */
static __rte_noinline uint64_t native_go_on(
	const struct native *n, uint64_t number, struct rte_mbuf *m)
{
	while (number > 1)
		number = n->parts[number].run(m);
	return number;
}

static __rte_noinline uint64_t match_away(const struct expression *e, struct rte_mbuf *m)
{
	unsigned int tags = e->type_off == NO_TAGS ? 0 : tags_count(m, e->type_off);
	const struct program *p = &e->programs[tags];

	if (p->general.run == NULL)
		return program_interpret(p, &e->classic, m);
	return native_go_on(&p->general, p->general.run(m), m);
}

static inline bool is_home(const struct rte_mbuf *m, uint32_t length_min)
{
	uintptr_t data = (uintptr_t)m->buf_addr + m->data_off;

	return ((data - FLAT_DATA_AT - (uintptr_t)m) | (m->pkt_len ^ m->data_len)) == 0 &&
	       m->data_len >= length_min;
}

/* Of a packet at home, which has bytes enough for the types of all tags that are looked behind. */
static inline unsigned int tags_at_home(const struct rte_mbuf *m, uint32_t type_off)
{
	const uint8_t *p = (const uint8_t *)m + FLAT_DATA_AT + type_off;
	rte_be16_t type;

	memcpy(&type, p, sizeof(type));
	if (likely(!is_tag_type(type)))
		return 0;
	memcpy(&type, p + TAG_BYTES, sizeof(type));
	return is_tag_type(type) ? 2 : 1;
}

static inline uint64_t match_home(const struct expression *e, struct rte_mbuf *m)
{
	unsigned int tags = e->type_off == NO_TAGS ? 0 : tags_at_home(m, e->type_off);
	uint64_t kept = e->at_home[tags](m);
	const struct program *p = &e->programs[tags];

	if (likely(kept <= 1))
		return kept;
	return native_go_on(p->flat.run != NULL ? &p->flat : &p->general, kept, m);
}

uint64_t expression_match(
	const struct expression *e, struct rte_mbuf *const pkts[], unsigned int count)
{
	uint64_t keep = 0;

	if (e->keeps_all)
		return count < EXPRESSION_BURST ? (1ULL << count) - 1 : UINT64_MAX;
	for (unsigned int i = count; i-- > 0;) {
		struct rte_mbuf *m = pkts[i];

		keep = keep << 1 | (likely(is_home(m, e->home_length_min)) ? match_home(e, m)
									   : match_away(e, m));
	}
	return keep;
}

/* -- Packets at which the header walk has looked -- */

/* A packet made up for a program, at home. */
struct scratch {
	struct rte_mbuf mbuf;
	uint8_t headroom[RTE_PKTMBUF_HEADROOM];
	uint8_t data[LINK_HEADER_MAX + EXPRESSION_LINEAR_MAX];
};

_Static_assert(offsetof(struct scratch, data) == FLAT_DATA_AT, "at home");

static bool scratch_matches(const struct expression *e, struct scratch *s)
{
	const struct native *n = &e->programs[0].flat;

	if (n->run == NULL || s->mbuf.data_len < FLAT_LENGTH_MIN)
		return bpf_filter(e->classic.bf_insns, s->data, s->mbuf.pkt_len,
			       s->mbuf.data_len) != 0;
	return native_go_on(n, n->run(&s->mbuf), &s->mbuf) != 0;
}

static uint16_t read_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* Is there nothing but tags between the link header and that of IP? */
static bool only_tags(
	const struct expression *e, const struct walked *w, const struct ip_header *ip)
{
	uint32_t off = ip->ether_off != NO_ETHERNET ? ip->ether_off + 12 : e->type_off;

	while (off + 2 < ip->ip_off && is_tag_type(rte_cpu_to_be_16(read_be16(w->data + off))))
		off += TAG_BYTES;
	return off + 2 == ip->ip_off;
}

/* Of the frame that its header lies in, whether what is in front of that stays as it is. */
static bool front_stays(const struct expression *e, const struct walked *w, unsigned int level)
{
	const struct ip_header *ip = &w->headers.ip[level];

	if (level > 0 && (ip->ether_off == NO_ETHERNET || e->link->linktype != DLT_EN10MB))
		return false;
	return e->type_off == NO_TAGS || (e->names_labels && !only_tags(e, w, ip));
}

/* The link header that ip has in the scratch packet. Returns its length. */
static uint32_t front_make(const struct expression *e, const struct walked *w,
	const struct ip_header *ip, uint8_t *front)
{
	const struct link *l = e->link;
	uint32_t from =
		ip->ether_off != NO_ETHERNET && l->linktype == DLT_EN10MB ? ip->ether_off : 0;

	memcpy(front, w->data + from, l->header_len);
	if (l->has_type) {
		front[l->type_off] = ip->version == 4 ? 0x08 : 0x86;
		front[l->type_off + 1] = ip->version == 4 ? 0x00 : 0xdd;
	}
	return l->header_len;
}

/* The packet as it is to be seen, and where its IP header is then. */
static void scratch_make(struct scratch *s, const struct expression *e, const struct walked *w,
	unsigned int level, struct ip_place *ret_place)
{
	const struct ip_header *ip = &w->headers.ip[level];
	uint32_t from = ip->ip_off, front;

	if (front_stays(e, w, level)) {
		from = level > 0 ? ip->ether_off : 0;
		front = 0;
	} else {
		front = front_make(e, w, ip, s->data);
	}
	s->mbuf.data_len = (uint16_t)(w->len - from);
	memcpy(s->data + front, w->data + from, s->mbuf.data_len);
	s->mbuf.data_len = (uint16_t)(s->mbuf.data_len + front);
	s->mbuf.pkt_len = w->wire_len;
	*ret_place = (struct ip_place){
		.ip_off = ip->ip_off - from + front,
		.payload_off = ip->payload_off - from + front,
		.version = ip->version,
		.protocol = ip->protocol,
		.later_fragment = ip->later_fragment,
	};
}

enum expression_answer expression_match_ip(
	const struct expression *e, const struct walked *w, unsigned int level)
{
	const struct ip_header *ip = &w->headers.ip[level];
	struct scratch s; /* what is not written is not read */
	struct ip_place place;
	bool chain;

	scratch_make(&s, e, w, level, &place);
	chain = ip->version == 6 && s.data[place.ip_off + IPV6_NEXT_HEADER] != ip->protocol &&
		!is_extension(ip->protocol);
	if (e->names_fragments[ip->version == 6] || (!chain && !ip->later_fragment))
		return scratch_matches(e, &s) ? EXPRESSION_YES : EXPRESSION_NO;
	/* In place of the program's own answer: "not port 22" is not to keep SSH behind a chain. */
	if (!ip->later_fragment)
		return maybe_matches(&e->classic, s.data, s.mbuf.data_len, s.mbuf.pkt_len, &place)
			       ? EXPRESSION_YES
			       : EXPRESSION_NO;
	if (scratch_matches(e, &s))
		return EXPRESSION_YES;
	return maybe_matches(&e->classic, s.data, s.mbuf.data_len, s.mbuf.pkt_len, &place)
		       ? EXPRESSION_MAYBE
		       : EXPRESSION_NO;
}

bool expression_match_other(const struct expression *e, const struct walked *w)
{
	struct scratch s;
	uint32_t front, tags;

	if (w->wire_len == w->mbuf->pkt_len)
		return expression_match(e, &w->mbuf, 1) != 0;
	tags = e->type_off == NO_TAGS ? 0 : TAG_BYTES * tags_count(w->mbuf, e->type_off);
	front = RTE_MIN(e->type_off, w->len);
	tags = RTE_MIN(tags, w->len - front);
	memcpy(s.data, w->data, front);
	memcpy(s.data + front, w->data + front + tags, w->len - front - tags);
	s.mbuf.data_len = (uint16_t)(w->len - tags);
	s.mbuf.pkt_len = w->wire_len;
	return scratch_matches(e, &s);
}
