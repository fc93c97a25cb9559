#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "headers.h"
#include "wirespool/log.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

enum { WHYS = FILTER_BY_CUTOFF + 1 };

struct sums {
	uint64_t pkts;
	uint64_t kept;
	uint64_t cut;
	uint64_t dropped[WHYS];
	uint64_t bytes;
	uint64_t stored_bytes;
	uint64_t *by_rule; /* by the rule's number; NULL: no rules */
};

struct explain {
	const struct trial *trial;
	int linktype;
	bool silent; /* stdout is for the packets */
	pcap_dumper_t *out;
	struct sums sums;
	/* One burst */
	unsigned int count;
	struct trial_packet packets[FILTER_BURST];
	struct filter_reason reasons[FILTER_BURST];
	struct verdict verdict;
};

/* -- In words -- */

static const char *why_text(enum filter_why why, bool kept)
{
	switch (why) {
	case FILTER_BY_ALL:
		return "every packet is kept";
	case FILTER_BY_EXPRESSION:
		return kept ? "the expression matches" : "the expression does not match";
	case FILTER_BY_MAYBE:
		return "a later fragment that could match";
	case FILTER_BY_FIRST:
		return "as the first fragment of its datagram";
	case FILTER_BY_RULE:
		return NULL; /* the rule speaks for itself */
	case FILTER_BY_NO_RULE:
		return "no rule matches";
	case FILTER_BY_CUTOFF:
		return "behind its flow's cutoff";
	}
	return NULL;
}

static const char *tunnel_text(unsigned int tunnel)
{
	static const char *const names[] = {
		[TUNNEL_IPIP] = "IP in IP",
		[TUNNEL_GRE] = "GRE",
		[TUNNEL_VXLAN] = "VXLAN",
		[TUNNEL_GENEVE] = "Geneve",
		[TUNNEL_GTP_U] = "GTP-U",
	};

	return names[tunnel];
}

/* "; inside of GRE, VXLAN": from the outermost on. */
static void print_tunnels(const struct explain *e, const struct trial_packet *p, unsigned int level)
{
	struct headers headers;

	(void)headers_walk(e->linktype, p->data, p->captured, &headers);
	for (unsigned int i = 1; i <= level && i < headers.count; i++)
		printf("%s%s", i == 1 ? "; inside of " : ", ", tunnel_text(headers.ip[i].tunnel));
}

static void print_reason(const struct explain *e, unsigned int i, bool kept)
{
	const struct filter_reason *reason = &e->reasons[i];
	const struct rules *rules = e->trial->options->rules;
	const char *why = why_text(reason->why, kept);

	if (why != NULL)
		printf("%s", why);
	if (reason->rule > 0)
		printf("%s%s:%u: %s", why != NULL ? "; " : "", rules->name,
			rules->list[reason->rule - 1].line, rules->list[reason->rule - 1].text);
	print_tunnels(e, &e->packets[i], reason->level);
}

static void print_line(
	const struct explain *e, unsigned int i, bool kept, uint32_t stored, bool by_snaplen)
{
	const struct trial_packet *p = &e->packets[i];

	printf("%6llu  %-7s  %5u of %5u  ", (unsigned long long)e->sums.pkts,
		!kept                  ? "dropped"
		: stored < p->captured ? "cut"
				       : "kept",
		stored, p->captured);
	print_reason(e, i, kept);
	printf("%s\n", by_snaplen ? "; cut by --snaplen" : "");
}

/* -- Packet by packet -- */

static void write_packet(const struct explain *e, const struct trial_packet *p, uint32_t stored)
{
	const struct pcap_pkthdr header = {.ts = p->time, .caplen = stored, .len = p->wire};

	if (e->out != NULL)
		pcap_dump((u_char *)e->out, &header, p->data);
}

static void add_to_sums(struct explain *e, unsigned int i, bool kept, uint32_t stored)
{
	const struct filter_reason *reason = &e->reasons[i];
	struct sums *s = &e->sums;

	s->pkts++;
	s->kept += kept;
	s->cut += kept && stored < e->packets[i].captured;
	s->dropped[reason->why] += !kept;
	s->bytes += e->packets[i].captured;
	s->stored_bytes += stored;
	if (s->by_rule != NULL)
		s->by_rule[reason->rule]++;
}

static void explain_packet(struct explain *e, unsigned int i)
{
	const struct trial_packet *p = &e->packets[i];
	bool kept = (e->verdict.kept >> i & 1) != 0, by_snaplen;
	uint32_t most = (e->verdict.recut >> i & 1) != 0 ? e->verdict.most[i] : p->captured;
	uint32_t stored = cut_length(
		&e->trial->options->cut, e->linktype, p->data, p->mbuf->data_len, p->captured);

	by_snaplen = kept && stored < most;
	stored = !kept ? 0 : by_snaplen ? stored : most;
	add_to_sums(e, i, kept, stored);
	if (!e->silent)
		print_line(e, i, kept, stored, by_snaplen);
	if (kept)
		write_packet(e, p, stored);
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

/* -- The sums -- */

static void say_count(const char *what, uint64_t count)
{
	char text[UNITS_TEXT];

	if (count > 0)
		log_info("  %s: %s", what, count_format(count, text));
}

static void say_rules(const struct sums *s, const struct rules *rules)
{
	char text[UNITS_TEXT];

	for (unsigned int i = 0; s->by_rule != NULL && i < rules->count; i++)
		if (s->by_rule[i + 1] > 0)
			log_info("%s:%u: %s: %s", rules->name, rules->list[i].line,
				count_format(s->by_rule[i + 1], text), rules->list[i].text);
}

static void say_sums(const struct explain *e)
{
	static const struct {
		enum filter_why why;
		const char *text;
	} whys[] = {
		{FILTER_BY_EXPRESSION, "the expression does not match"},
		{FILTER_BY_FIRST, "as the first fragment of its datagram"},
		{FILTER_BY_RULE, "by a rule"},
		{FILTER_BY_NO_RULE, "no rule matches"},
		{FILTER_BY_CUTOFF, "behind its flow's cutoff"},
	};
	const struct sums *s = &e->sums;
	char a[UNITS_TEXT], b[UNITS_TEXT];
	struct filter_counts counts;

	log_info("packets: %s", count_format(s->pkts, a));
	log_info("kept: %s, %s of them cut", count_format(s->kept, a), count_format(s->cut, b));
	if (e->trial->tables != NULL) {
		filter_tables_count(e->trial->tables, &counts);
		say_count("later fragments without their first one", counts.first_unknown_pkts);
		say_count("whole, as their flow found no place", counts.table_full_pkts);
	}
	log_info("dropped: %s", count_format(s->pkts - s->kept, a));
	for (unsigned int i = 0; i < sizeof(whys) / sizeof(whys[0]); i++)
		say_count(whys[i].text, s->dropped[whys[i].why]);
	log_info("bytes: %s of %s", count_format(s->stored_bytes, a), count_format(s->bytes, b));
	say_rules(s, e->trial->options->rules);
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
		(void)fflush(stdout);
		say_sums(e);
	}
	free(e->sums.by_rule);
	free(e);
	return code;
}
