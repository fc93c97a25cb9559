#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "wirespool/log.h"
#include "wirespool/rules.h"

struct explain {
	const struct trial *trial;
	int linktype;
	bool silent; /* stdout is for the packets */
	pcap_dumper_t *out;
	struct trial_sums sums;
	/* One burst */
	unsigned int count;
	struct trial_packet packets[FILTER_BURST];
	struct filter_reason reasons[FILTER_BURST];
	struct verdict verdict;
};

/* -- Packet by packet -- */

static void write_packet(const struct explain *e, const struct trial_packet *p, uint32_t stored)
{
	const struct pcap_pkthdr header = {.ts = p->time, .caplen = stored, .len = p->wire};

	if (e->out != NULL)
		pcap_dump((u_char *)e->out, &header, p->data);
}

static void add_to_sums(struct trial_sums *s, const struct trial_result *r)
{
	s->pkts++;
	s->kept += r->kept;
	s->cut += r->kept && r->stored < r->packet->captured;
	s->dropped[r->reason.why] += !r->kept;
	s->bytes += r->packet->captured;
	s->stored_bytes += r->stored;
	if (s->by_rule != NULL)
		s->by_rule[r->reason.rule]++;
}

static void explain_packet(struct explain *e, unsigned int i)
{
	const struct trial_packet *p = &e->packets[i];
	uint32_t most = (e->verdict.recut >> i & 1) != 0 ? e->verdict.most[i] : p->captured;
	uint32_t stored = cut_length(
		&e->trial->options->cut, e->linktype, p->data, p->mbuf->data_len, p->captured);
	struct trial_result r = {
		.number = e->sums.pkts + 1,
		.packet = p,
		.kept = (e->verdict.kept >> i & 1) != 0,
		.reason = e->reasons[i],
	};

	r.by_snaplen = r.kept && stored < most;
	r.stored = !r.kept ? 0 : RTE_MIN(stored, most);
	add_to_sums(&e->sums, &r);
	if (e->trial->options->json)
		trial_print_json(e->trial, &r);
	else if (!e->silent)
		trial_print_text(e->trial, &r);
	if (r.kept)
		write_packet(e, p, r.stored);
}

static void explain_burst(struct explain *e)
{
	struct rte_mbuf *pkts[FILTER_BURST];
	uint64_t time_ns[FILTER_BURST];
	uint32_t wire[FILTER_BURST];
	const struct filter_burst burst = {
		.pkts = pkts, .time_ns = time_ns, .wire_len = wire, .count = e->count};

	for (unsigned int i = 0; i < e->count; i++) {
		pkts[i] = e->packets[i].mbuf;
		time_ns[i] = e->packets[i].time_ns;
		wire[i] = e->packets[i].wire;
	}
	e->verdict.reasons = e->reasons;
	filter_judge(e->trial->filter, e->trial->tables, &burst,
		UINT64_MAX >> (FILTER_BURST - e->count), &e->verdict);
	for (unsigned int i = 0; i < e->count; i++) {
		explain_packet(e, i);
		trial_packet_free(&e->packets[i]);
	}
	e->count = 0;
}

static int explain_all(struct explain *e)
{
	struct errbuf err;
	int r;

	do {
		r = trial_source_next(e->trial->source, &e->packets[e->count], &err);
		e->count += r == 1;
		if (e->count == FILTER_BURST || (r != 1 && e->count > 0))
			explain_burst(e);
	} while (r == 1);
	if (r == 0)
		return TRIAL_GOOD;
	log_error("%s", err.text);
	return TRIAL_FAILED;
}

/* -- The file of packets kept -- */

static int open_out(struct explain *e)
{
	const char *path = e->trial->options->write;

	if (path == NULL)
		return TRIAL_GOOD;
	e->silent = strcmp(path, "-") == 0;
	e->out = pcap_dump_open(e->trial->source->pcap, path);
	if (e->out != NULL)
		return TRIAL_GOOD;
	log_error("cannot write: %s", pcap_geterr(e->trial->source->pcap));
	return TRIAL_FAILED;
}

static int close_out(struct explain *e)
{
	int error = 0;

	if (e->out == NULL)
		return TRIAL_GOOD;
	if (pcap_dump_flush(e->out) < 0 || ferror(pcap_dump_file(e->out)) != 0)
		error = errno != 0 ? errno : EIO;
	/* That of stdout is closed, and looked at, in main(). */
	if (!e->silent)
		pcap_dump_close(e->out);
	if (error == 0)
		return TRIAL_GOOD;
	log_error("cannot write '%s': %s", e->trial->options->write, strerror(error));
	return TRIAL_FAILED;
}

int trial_explain(struct trial *t)
{
	struct explain *e = calloc(1, sizeof(*e));
	const struct rules *rules = t->options->rules;
	int code, closed;

	if (e != NULL && rules != NULL)
		e->sums.by_rule = calloc((size_t)rules->count + 1, sizeof(uint64_t));
	if (e == NULL || (rules != NULL && e->sums.by_rule == NULL)) {
		free(e);
		log_error("no memory for the sums");
		return TRIAL_FAILED;
	}
	e->trial = t;
	e->linktype = pcap_datalink(t->source->pcap);
	code = open_out(e);
	if (code == TRIAL_GOOD) {
		code = explain_all(e);
		closed = close_out(e);
		code = closed != TRIAL_GOOD ? closed : code;
		if (t->options->json)
			trial_print_json_sums(t, &e->sums);
		(void)fflush(stdout);
		if (!t->options->json)
			trial_say_sums(t, &e->sums);
	}
	free(e->sums.by_rule);
	free(e);
	return code;
}
