#include "wirespool/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <pcap/pcap.h>

#include <rte_bpf.h>
#include <rte_byteorder.h>
#include <rte_errno.h>
#include <rte_mbuf.h>

#include "filter_program.h"

enum {
	TAG_BYTES = 4,
	TAGS_MAX = 2,        /* looked behind: 802.1Q, and 802.1Q in 802.1ad */
	STEPS_MAX = 1500000, /* of DPDK's verifier: 0.05 to 0.1 us each */
	CODE_ALIGN = 64,
	LINEAR_MAX = 16384,                /* more than any frame has */
	FLAT_REACH = 2 * (UINT16_MAX + 1), /* from an mbuf's start; DPDK's verifier asks */
	NO_TAGS = 0, /* no link type has its type field at 0 and the payload right behind it */
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

struct filter {
	/* Of packets at home, by the number of their tags. Without one: the general program. */
	uint64_t (*at_home[TAGS_MAX + 1])(void *mbuf);
	uint32_t home_length_min; /* UINT32_MAX: no packet counts as at home */
	/* Where the type field that may name a tag is, or NO_TAGS: programs[0] for all. */
	uint32_t type_off;
	bool keeps_all;
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

/*
 * libpcap's optimizer takes a time that grows with the cube of the program: 200 hosts 0.4 s,
 * 1000 hosts 50 s. A program that would hold control up is left as it is: it means the same.
 * Returns 1 when the program had a loop, else 0 or the error.
 */
static int classic_compile(const char *expression, int linktype, unsigned int how,
	struct bpf_program *ret_classic, struct errbuf *err)
{
	pcap_t *pcap = pcap_open_dead(linktype, SNAPLEN_MAX);
	bool optimize;
	int r;

	if (pcap == NULL)
		return fail_with(err, -ENOMEM, "no memory to compile the filter '%s'", expression);
	r = pcap_compile(pcap, ret_classic, expression, 0, PCAP_NETMASK_UNKNOWN);
	optimize = r == 0 && ret_classic->bf_len <= OPTIMIZED_MAX && (how & FILTER_AS_LONG) == 0;
	if (optimize) {
		pcap_freecode(ret_classic);
		r = pcap_compile(pcap, ret_classic, expression, 1, PCAP_NETMASK_UNKNOWN);
	}
	if (r != 0)
		r = fail_with(err, -EINVAL, "filter '%s': %s", expression, pcap_geterr(pcap));
	pcap_close(pcap);
	if (r == 0) {
		r = program_unroll(ret_classic);
		if (r < 0)
			(void)fail_with(err, r, "no memory for the filter's program");
	}
	return r;
}

static unsigned int views_count(const struct filter *f)
{
	return f->type_off == NO_TAGS ? 1 : TAGS_MAX + 1;
}

static int views_load(struct filter *f, unsigned int how, const struct code *parts, uint32_t count)
{
	bool all_native = true;

	for (unsigned int tags = 0; tags < views_count(f); tags++) {
		struct program *p = &f->programs[tags];
		int r = 0;

		p->view = (struct view){.at = f->type_off, .size = tags * TAG_BYTES};
		if ((how & FILTER_INTERPRET) == 0)
			r = native_load(&p->general, parts, count, p->view, false);
		if (r == 0 && p->general.run != NULL && (how & FILTER_NOT_FLAT) == 0)
			r = native_load(&p->flat, parts, count, p->view, true);
		if (r < 0)
			return r;
		f->at_home[tags] = p->flat.run != NULL ? p->flat.run : p->general.run;
		all_native = all_native && f->at_home[tags] != NULL;
	}
	f->home_length_min = all_native ? FLAT_LENGTH_MIN : UINT32_MAX;
	return 0;
}

static int filter_load(struct filter *f, unsigned int how, struct errbuf *err)
{
	struct code code = {.count = 0}, *parts = NULL;
	uint32_t count = 0;
	int r = 0;

	if ((how & FILTER_INTERPRET) == 0)
		r = program_thread(&f->classic, &code);
	if (r == 0 && (how & FILTER_INTERPRET) == 0)
		r = program_split(&code, &parts, &count);
	if (r == -ENOTSUP) {
		how |= FILTER_INTERPRET;
		r = 0;
	}
	if (r == 0)
		r = views_load(f, how, parts, count);
	parts_free(parts, count);
	code_free(&code);
	return r < 0 ? fail_with(err, r, "no memory for the filter's program") : 0;
}

static bool classic_keeps_all(const struct bpf_program *classic)
{
	const struct bpf_insn *first = classic->bf_insns;

	return classic->bf_len == 1 && first->code == (BPF_RET | BPF_K) && first->k != 0;
}

int filter_compile_how(const char *expression, int linktype, unsigned int how,
	struct filter **ret_filter, struct errbuf *err)
{
	struct filter *f;
	int r;

	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return fail_with(err, -ENOMEM, "no memory for a filter");
	if (expression == NULL || expression[0] == '\0') {
		f->keeps_all = true;
		*ret_filter = f;
		return 0;
	}
	r = classic_compile(expression, linktype, how, &f->classic, err);
	if (r < 0)
		goto free_filter;
	if (r == 1)
		how |= FILTER_INTERPRET;
	f->keeps_all = classic_keeps_all(&f->classic);
	f->type_off = linktype_type_off(linktype);
	if ((how & FILTER_LITERAL) != 0 ||
		(f->type_off != NO_TAGS && program_names_vlan(&f->classic, f->type_off)))
		f->type_off = NO_TAGS;
	r = 0;
	if (!f->keeps_all)
		r = filter_load(f, how, err);
	if (r < 0)
		goto free_filter;
	*ret_filter = f;
	return 0;
free_filter:
	filter_free(f);
	return r;
}

int filter_compile(
	const char *expression, int linktype, struct filter **ret_filter, struct errbuf *err)
{
	return filter_compile_how(expression, linktype, 0, ret_filter, err);
}

void filter_free(struct filter *f)
{
	if (f == NULL)
		return;
	for (unsigned int tags = 0; tags <= TAGS_MAX; tags++) {
		native_done(&f->programs[tags].flat);
		native_done(&f->programs[tags].general);
	}
	pcap_freecode(&f->classic);
	free(f);
}

bool filter_keeps_all(const struct filter *f)
{
	return f->keeps_all;
}

const char *filter_engine(const struct filter *f)
{
	if (f->keeps_all)
		return "none";
	for (unsigned int tags = 0; tags < views_count(f); tags++)
		if (f->programs[tags].general.run == NULL)
			return "interpreter";
	return "jit";
}

unsigned int filter_flat_views(const struct filter *f)
{
	unsigned int count = 0;

	for (unsigned int tags = 0; tags <= TAGS_MAX; tags++)
		count += f->programs[tags].flat.run != NULL;
	return count;
}

static inline bool is_tag_type(rte_be16_t type)
{
	return type == RTE_BE16(0x8100) || type == RTE_BE16(0x88a8) || type == RTE_BE16(0x9100);
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
 * The packet as view shows it, in one piece, and never more than LINEAR_MAX of what is not in one
 * already: where it is, or copied to buf. Only the interpreter needs this.
 */
static const uint8_t *linearize(
	const struct rte_mbuf *m, struct view view, uint8_t *buf, uint32_t *ret_len)
{
	uint32_t behind = view.at + view.size, len = m->pkt_len;

	if (view.size == 0 && m->data_len == len) {
		*ret_len = len;
		return rte_pktmbuf_mtod(m, const uint8_t *);
	}
	if (view.size == 0) {
		*ret_len = gather(m, 0, RTE_MIN(len, (uint32_t)LINEAR_MAX), buf);
		return buf;
	}
	*ret_len = gather(m, 0, view.at, buf);
	if (len > behind) /* else the tag itself is cut short */
		*ret_len += gather(
			m, behind, RTE_MIN(len - behind, LINEAR_MAX - view.at), buf + view.at);
	return buf;
}

static __rte_noinline bool program_interpret(
	const struct program *p, const struct bpf_program *classic, const struct rte_mbuf *m)
{
	uint8_t buf[LINEAR_MAX];
	uint32_t len;
	const uint8_t *data = linearize(m, p->view, buf, &len);

	return bpf_filter(classic->bf_insns, data, m->pkt_len, len) != 0;
}

/* What the other parts say of a packet, the first having said that number goes on. */
static __rte_noinline uint64_t native_go_on(
	const struct native *n, uint64_t number, struct rte_mbuf *m)
{
	while (number > 1)
		number = n->parts[number].run(m);
	return number;
}

static __rte_noinline uint64_t match_away(const struct filter *f, struct rte_mbuf *m)
{
	unsigned int tags = f->type_off == NO_TAGS ? 0 : tags_count(m, f->type_off);
	const struct program *p = &f->programs[tags];

	if (p->general.run == NULL)
		return program_interpret(p, &f->classic, m);
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

static inline uint64_t match_home(const struct filter *f, struct rte_mbuf *m)
{
	unsigned int tags = f->type_off == NO_TAGS ? 0 : tags_at_home(m, f->type_off);
	uint64_t kept = f->at_home[tags](m);
	const struct program *p = &f->programs[tags];

	if (likely(kept <= 1))
		return kept;
	return native_go_on(p->flat.run != NULL ? &p->flat : &p->general, kept, m);
}

uint64_t filter_match(const struct filter *f, struct rte_mbuf *const pkts[], unsigned int count)
{
	uint64_t keep = 0;

	if (f->keeps_all)
		return count < FILTER_BURST ? (1ULL << count) - 1 : UINT64_MAX;
	for (unsigned int i = count; i-- > 0;) {
		struct rte_mbuf *m = pkts[i];

		keep = keep << 1 | (likely(is_home(m, f->home_length_min)) ? match_home(f, m)
									   : match_away(f, m));
	}
	return keep;
}
