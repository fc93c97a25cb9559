#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blocks.h"
#include "chunk_rules.h"
#include "marks.h"
#include "segment_name.h"
#include "wirespool/archive.h"

struct verifier {
	struct block_reader r;
	struct archive_report *report;
	bool part;

	/* of the section */
	bool in_section;
	bool swapped;
	uint64_t section_off;
	uint64_t section_length; /* UINT64_MAX: not said */
	bool ours;
	struct block_interfaces interfaces;
	struct chunk_rules chunks;
};

static void add_fault(void *arg, uint64_t off, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add_fault(void *arg, uint64_t off, const char *format, ...)
{
	struct archive_report *report = arg;
	unsigned int i = report->fault_count;
	va_list args;

	if (report->fault_count < UINT_MAX)
		report->fault_count++;
	if (i >= ARCHIVE_FAULTS_MAX)
		return;
	report->faults[i].file_off = off;
	va_start(args, format);
	(void)vsnprintf(report->faults[i].text, sizeof(report->faults[i].text), format, args);
	va_end(args);
}

/* Wirespool's own rules for an interface: what libpcap and a nanosecond clock need. */
static void check_own_interface(struct verifier *v, const struct block_interface *itf)
{
	const struct block_interface *first = &v->interfaces.list[0];

	if (itf->snaplen != PCAPNG_SNAPLEN)
		add_fault(v->report, itf->off, "the interface's snaplen is %" PRIu32 ", not %d",
			itf->snaplen, PCAPNG_SNAPLEN);
	if (itf->linktype != first->linktype)
		add_fault(v->report, itf->off,
			"the interface's link type is %u, the first one's is %u", itf->linktype,
			first->linktype);
	if (itf->tsresol != 9)
		add_fault(v->report, itf->off, "the interface's times are not in nanoseconds");
}

static void finish_section(struct verifier *v, uint64_t off)
{
	struct archive_report *report = v->report;

	if (!v->in_section)
		return;
	if (v->section_length != UINT64_MAX && off > v->section_off &&
		v->section_off + v->section_length != off)
		add_fault(report, v->section_off,
			"the section header says that the section ends at %" PRIu64
			", not %" PRIu64,
			v->section_off + v->section_length, off);
	for (unsigned int i = 0; i < v->interfaces.count; i++) {
		const struct block_interface *itf = &v->interfaces.list[i];

		if (!itf->has_statistics)
			continue;
		report->has_statistics = true;
		report->ifrecv_pkts += itf->counters[ISB_COUNT_IFRECV];
		report->ifdrop_pkts += itf->counters[ISB_COUNT_IFDROP];
		report->filteraccept_pkts += itf->counters[ISB_COUNT_FILTERACCEPT];
		report->osdrop_pkts += itf->counters[ISB_COUNT_OSDROP];
		report->usrdeliv_pkts += itf->counters[ISB_COUNT_USRDELIV];
	}
	if (v->ours) {
		chunk_rules_finish(&v->chunks, off, v->part);
		report->recovered |= v->chunks.has_end && v->chunks.end.recovered != 0;
		report->missing_pkts += v->chunks.missing_pkts;
	}
	report->sealed = v->ours && v->chunks.has_end;
	v->in_section = false;
}

static void begin_section(struct verifier *v, const struct block *b)
{
	const uint8_t *p;

	finish_section(v, b->off);
	v->in_section = true;
	v->section_off = b->off;
	v->section_length = UINT64_MAX;
	v->ours = false;
	v->interfaces.count = 0;
	chunk_rules_begin(&v->chunks, b->off);
	p = b->length < 28 ? NULL : block_reader_bytes(&v->r, b->off, 24);
	if (p == NULL) {
		add_fault(v->report, b->off, "the section header is too short");
		return;
	}
	if (block_u16(p + 12, v->swapped) != 1)
		add_fault(v->report, b->off, "the format's major version is %u, not 1",
			block_u16(p + 12, v->swapped));
	v->section_length = block_u64(p + 16, v->swapped);
	/* It counts from behind the header. */
	if (v->section_length > UINT64_MAX - b->length)
		v->section_length = UINT64_MAX;
	else
		v->section_length += b->length;

	struct option_walk walk = {.r = &v->r,
		.off = b->off + 24,
		.end = b->off + b->length - 4,
		.swapped = v->swapped};
	struct block_option option;

	while (option_next(&walk, &option))
		;
	if (walk.broken != NULL)
		add_fault(v->report, b->off, "%s", walk.broken);
}

static int take_interface(struct verifier *v, const struct block *b)
{
	struct block_interface itf;
	const char *rule = interface_decode(&v->r, b, v->swapped, &itf);
	int error;

	if (rule != NULL) {
		add_fault(v->report, b->off, "%s", rule);
		/* It still has a number, which the packets behind it count on. */
		itf = (struct block_interface){
			.off = b->off, .tsresol = 9, .snaplen = PCAPNG_SNAPLEN};
	}
	error = interfaces_add(&v->interfaces, &itf);
	if (error == -E2BIG) {
		add_fault(v->report, b->off, "there are more than %d interfaces",
			BLOCK_INTERFACES_MAX);
		return 0;
	}
	if (error == 0) {
		v->report->interfaces++;
		if (v->ours && rule == NULL)
			check_own_interface(v, &itf);
	}
	return error;
}

static void take_packet(struct verifier *v, const struct block *b)
{
	struct archive_report *report = v->report;
	struct block_packet pkt;
	const char *rule = packet_decode(&v->r, b, v->swapped, &v->interfaces, &pkt);

	if (rule != NULL) {
		add_fault(report, b->off, "%s", rule);
		return;
	}
	if (pkt.cap_len > pkt.wire_len)
		add_fault(report, b->off,
			"captured length %" PRIu32 " is more than original length %" PRIu32,
			pkt.cap_len, pkt.wire_len);
	if (pkt.has_time) {
		if (report->first_ns == 0 || pkt.time_ns < report->first_ns)
			report->first_ns = pkt.time_ns;
		if (pkt.time_ns > report->last_ns)
			report->last_ns = pkt.time_ns;
	}
	report->pkts++;
	report->captured_bytes += pkt.cap_len;
	report->wire_bytes += pkt.wire_len;
	report->dropcount_pkts += pkt.dropcount_pkts;
	if (!v->ours)
		return;
	if (pkt.cap_len > v->interfaces.list[pkt.interface_id].snaplen)
		add_fault(report, b->off, "captured length %" PRIu32 " is more than the snaplen",
			pkt.cap_len);
	chunk_rules_packet(&v->chunks, b, &pkt);
}

static void take_own(struct verifier *v, const struct block *b)
{
	/* A local-use type is anybody's: it is ours where its kind says so. */
	if (!v->ours) {
		const uint8_t *p = b->length < WIRESPOOL_PAD_MIN
					   ? NULL
					   : block_reader_bytes(&v->r, b->off, 12);
		uint32_t kind = p == NULL || v->swapped ? 0 : block_u32(p + 8, false);

		if (kind != WIRESPOOL_CHUNK && kind != WIRESPOOL_PAD && kind != WIRESPOOL_END)
			return;
		v->ours = true;
		v->report->ours = true;
		for (unsigned int i = 0; i < v->interfaces.count; i++)
			check_own_interface(v, &v->interfaces.list[i]);
	}
	chunk_rules_own(&v->chunks, &v->r, b);
}

static int take_block(struct verifier *v, const struct block *b)
{
	const char *rule;

	v->report->blocks++;
	if (b->type == PCAPNG_SECTION_HEADER) {
		begin_section(v, b);
		return 0;
	}
	if (v->ours)
		chunk_rules_block(&v->chunks, b);
	switch (b->type) {
	case PCAPNG_INTERFACE:
		return take_interface(v, b);
	case PCAPNG_PACKET:
	case PCAPNG_SIMPLE_PACKET:
	case PCAPNG_OLD_PACKET:
		take_packet(v, b);
		break;
	case PCAPNG_STATISTICS:
		rule = statistics_decode(&v->r, b, v->swapped, &v->interfaces);
		if (rule != NULL)
			add_fault(v->report, b->off, "%s", rule);
		break;
	case PCAPNG_WIRESPOOL:
		take_own(v, b);
		break;
	default:
		break;
	}
	return 0;
}

/* After a block that cannot be: where the next chunk of ours begins, so that its faults are told too. */
static bool find_chunk_behind(struct verifier *v, uint64_t off, uint64_t *ret_off)
{
	const struct chunk_rules *c = &v->chunks;
	struct mark_wanted wanted = {
		.base_off = v->section_off,
		.run_hash = c->run_hash,
		.segment = c->segment,
		.sequence_min = (uint32_t)c->next_sequence,
		.pkts_before_min = c->pkts_before,
	};
	struct wirespool_chunk ignored;

	return v->ours && c->identified && !v->r.error && c->next_sequence <= UINT32_MAX &&
	       mark_find(&v->r, &wanted, off + 1, v->r.file_bytes, ret_off, &ignored);
}

static int walk_file(struct verifier *v)
{
	uint64_t off = 0;
	int error;

	if (v->r.file_bytes == 0)
		add_fault(v->report, 0, "the file is empty");
	while (off < v->r.file_bytes) {
		struct block b;
		const char *rule = block_at(&v->r, off, UINT64_MAX, &v->swapped, &b);

		if (v->r.error != 0)
			return v->r.error;
		if (rule == NULL && !v->in_section && b.type != PCAPNG_SECTION_HEADER)
			rule = "not a pcapng file: it does not begin with a section header";
		if (rule != NULL) {
			add_fault(v->report, off, "%s", rule);
			if (!find_chunk_behind(v, off, &off))
				break;
			continue;
		}
		error = take_block(v, &b);
		if (error == 0)
			error = v->r.error;
		if (error != 0)
			return error;
		off += b.length;
	}
	finish_section(v, v->r.file_bytes);
	return v->r.error;
}

static int open_regular(const char *path, int *ret_fd, uint64_t *ret_bytes, struct errbuf *err)
{
	/* O_NONBLOCK: a FIFO of that name must not hold us up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return fail_with(err, -errno, "cannot open '%s': %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return fail_with(err, -EINVAL, "'%s' is not a regular file", path);
	}
	*ret_fd = fd;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

int archive_verify(const char *path, struct archive_report *ret_report, struct errbuf *err)
{
	struct archive_report report = {0};
	struct verifier v = {.report = &report, .part = path_is_part(path)};
	struct archive_segment name;
	int fd = -1, r;

	r = open_regular(path, &fd, &report.file_bytes, err);
	if (r < 0)
		return r;
	r = block_reader_init(&v.r, fd, report.file_bytes, BLOCK_WINDOW);
	if (r < 0) {
		r = fail_with(err, r, "no memory to read '%s'", path);
		goto close_file;
	}
	v.chunks.fault = add_fault;
	v.chunks.arg = &report;
	if (segment_parse_name(path_base(path), &name)) {
		v.chunks.named = true;
		v.chunks.run_hash = run_id_hash(name.run);
		v.chunks.segment = name.number;
	}
	r = walk_file(&v);
	if (r < 0)
		r = fail_with(err, r, "cannot read '%s': %s", path, strerror(-r));
	else
		*ret_report = report;
	free(v.interfaces.list);
	block_reader_done(&v.r);
close_file:
	close(fd);
	return r;
}
