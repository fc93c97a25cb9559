#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_common.h>
#include <rte_mbuf.h>

#include "filter_program.h"
#include "wirespool/units.h"

/* As much as an mbuf of the recorder's pools holds; more is in mbufs behind it. */
enum { SEGMENT_BYTES = RTE_MBUF_DEFAULT_DATAROOM };

_Static_assert(SNAPLEN_MAX / SEGMENT_BYTES < UINT16_MAX, "segments are counted in 16 bits");

int trial_source_open(struct trial_source *s, const char *path, struct errbuf *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	char text[PCAP_ERRBUF_SIZE] = "";
	FILE *f = is_stdin ? stdin : fopen(path, "rbe");

	*s = (struct trial_source){.name = is_stdin ? "stdin" : path};
	if (f == NULL) {
		int error = -errno;

		return fail_with(err, error, "cannot open '%s': %s", path, strerror(-error));
	}
	s->pcap = pcap_fopen_offline_with_tstamp_precision(f, PCAP_TSTAMP_PRECISION_NANO, text);
	if (s->pcap != NULL)
		return 0;
	if (!is_stdin)
		(void)fclose(f);
	return fail_with(err, -EIO, "cannot read '%s': %s", s->name, text);
}

void trial_source_close(struct trial_source *s)
{
	if (s->pcap != NULL)
		pcap_close(s->pcap);
	s->pcap = NULL;
}

/* One piece of memory: the first mbuf with its headroom, all bytes, the other mbufs. */
static struct rte_mbuf *mbuf_make(const uint8_t *data, uint32_t len)
{
	uint32_t segments = len <= SEGMENT_BYTES ? 1 : (len - 1) / SEGMENT_BYTES + 1;
	size_t others_at = RTE_ALIGN_CEIL(FLAT_DATA_AT + (size_t)len, RTE_CACHE_LINE_SIZE);
	size_t size = others_at + (segments - 1) * sizeof(struct rte_mbuf);
	struct rte_mbuf *first = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	struct rte_mbuf *others;

	if (first == NULL)
		return NULL;
	memset(first, 0, FLAT_DATA_AT);
	if (len > 0)
		memcpy((uint8_t *)first + FLAT_DATA_AT, data, len);
	others = (struct rte_mbuf *)((uint8_t *)first + others_at);
	for (uint32_t i = 0; i < segments; i++) {
		struct rte_mbuf *m = i == 0 ? first : &others[i - 1];

		if (i > 0)
			memset(m, 0, sizeof(*m));
		m->buf_addr = (uint8_t *)(first + 1) + i * SEGMENT_BYTES;
		m->data_off = RTE_PKTMBUF_HEADROOM;
		m->data_len = (uint16_t)RTE_MIN(len - i * SEGMENT_BYTES, (uint32_t)SEGMENT_BYTES);
		m->next = i + 1 < segments ? &others[i] : NULL;
	}
	first->pkt_len = len;
	first->nb_segs = (uint16_t)segments;
	return first;
}

int trial_source_next(struct trial_source *s, struct trial_packet *ret, struct errbuf *err)
{
	struct pcap_pkthdr *header;
	const uint8_t *data;
	int status = pcap_next_ex(s->pcap, &header, &data);
	struct rte_mbuf *m;

	if (status == PCAP_ERROR_BREAK)
		return 0;
	if (status != 1)
		return fail_with(err, -EIO, "'%s': %s; the %llu packets before it are good",
			s->name, pcap_geterr(s->pcap), (unsigned long long)s->pkts);
	if (header->caplen > SNAPLEN_MAX)
		return fail_with(err, -EIO, "'%s': packet %llu has %u bytes, more than %d", s->name,
			(unsigned long long)s->pkts + 1, header->caplen, SNAPLEN_MAX);
	m = mbuf_make(data, header->caplen);
	if (m == NULL)
		return fail_with(
			err, -ENOMEM, "no memory for packet %llu", (unsigned long long)s->pkts + 1);
	s->pkts++;
	*ret = (struct trial_packet){
		.mbuf = m,
		.data = rte_pktmbuf_mtod(m, const uint8_t *),
		.time = header->ts,
		.time_ns = (uint64_t)header->ts.tv_sec * NS_PER_SEC + (uint64_t)header->ts.tv_usec,
		.captured = header->caplen,
		/* Some files claim packets that are shorter than what is there of them. */
		.wire = RTE_MAX(header->len, header->caplen),
	};
	return 1;
}

void trial_packet_free(struct trial_packet *p)
{
	free(p->mbuf);
	p->mbuf = NULL;
}
