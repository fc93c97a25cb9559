#include "judge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FOLLOWED_DATAGRAMS = 1 << 16 };

static unsigned int tunnels_of(unsigned int inner)
{
	static const struct {
		unsigned int inner, tunnel;
	} pairs[] = {
		{FILTER_INNER_IPIP, TUNNEL_IPIP},
		{FILTER_INNER_GRE, TUNNEL_GRE},
		{FILTER_INNER_VXLAN, TUNNEL_VXLAN},
		{FILTER_INNER_GENEVE, TUNNEL_GENEVE},
		{FILTER_INNER_GTP_U, TUNNEL_GTP_U},
	};
	unsigned int tunnels = 0;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if ((inner & pairs[i].inner) != 0)
			tunnels |= 1U << pairs[i].tunnel;
	return tunnels;
}

static int compile(struct filter *f, const struct filter_options *o, struct errbuf *err)
{
	unsigned int how = (o->vlan == FILTER_VLAN_STRICT ? EXPRESSION_LITERAL : 0) |
			   (o->fragments == FILTER_FRAGMENTS_LITERAL ? EXPRESSION_WHOLE : 0);
	int r;

	if (o->expression == NULL || o->expression[0] == '\0')
		return 0;
	r = expression_compile(o->expression, f->linktype, how, &f->expression, err);
	if (r == 0 && expression_keeps_all(f->expression)) {
		expression_free(f->expression);
		f->expression = NULL;
	}
	return r;
}

static int take_rules(
	struct filter *f, const struct rules *rules, int socket_id, struct errbuf *err)
{
	if (rules == NULL)
		return 0;
	f->deeds = calloc((size_t)rules->count + 1, sizeof(*f->deeds));
	if (f->deeds == NULL)
		return fail_with(err, -ENOMEM, "no memory for %u rules", rules->count);
	f->deeds[0].action = RULE_DROP;
	for (unsigned int i = 0; i < rules->count; i++) {
		const struct rule *r = &rules->list[i];

		f->deeds[i + 1] = (struct rule_deed){.action = r->action, .cut = r->cut};
		f->rules_cut |= r->action == RULE_CUT;
	}
	return rule_table_new(rules, socket_id, &f->table, err);
}

int filter_new(const struct filter_options *options, int linktype, int socket_id,
	struct filter **ret_filter, struct errbuf *err)
{
	struct filter *f = calloc(1, sizeof(*f));
	int r;

	if (f == NULL)
		return fail_with(err, -ENOMEM, "no memory for a filter");
	f->linktype = linktype;
	f->labels = options->vlan == FILTER_VLAN_ANY;
	f->literal = options->fragments == FILTER_FRAGMENTS_LITERAL;
	f->follow = options->fragments == FILTER_FRAGMENTS_FOLLOW;
	f->cuts_off = options->cutoff_bytes > 0;
	f->tunnels = tunnels_of(options->inner);
	f->after = options->after;
	r = compile(f, options, err);
	if (r == 0)
		r = take_rules(f, options->rules, socket_id, err);
	if (r < 0) {
		filter_free(f);
		return r;
	}
	f->looks = f->table != NULL || (f->expression != NULL && (f->labels || !f->literal));
	f->keeps_all = f->expression == NULL && f->table == NULL && options->cutoff_bytes == 0;
	*ret_filter = f;
	return 0;
}

void filter_free(struct filter *f)
{
	if (f == NULL)
		return;
	expression_free(f->expression);
	rule_table_free(f->table);
	free(f->deeds);
	free(f);
}

bool filter_keeps_all(const struct filter *f)
{
	return f->keeps_all;
}

const char *filter_engine(const struct filter *f)
{
	return f->expression == NULL ? "none" : expression_engine(f->expression);
}

char *filter_dump(const struct filter *f)
{
	return f->expression == NULL ? NULL : expression_dump(f->expression);
}

/* -- Tables -- */

static bool follows(const struct filter_options *o)
{
	return o->fragments == FILTER_FRAGMENTS_FOLLOW;
}

static void memory_release(struct memory *m)
{
	if (m == NULL || --m->references > 0)
		return;
	for (unsigned int q = 0; q < m->queues; q++)
		cutoff_free(m->cutoffs[q]);
	fragments_free(m->fragments);
	free(m);
}

static bool memory_serves(
	const struct memory *m, const struct filter_options *o, unsigned int queues)
{
	return m != NULL && m->queues == queues && (m->fragments != NULL) == follows(o) &&
	       m->cutoff_bytes == o->cutoff_bytes &&
	       (o->cutoff_bytes == 0 || m->cutoff_flows == o->cutoff_flows);
}

static int memory_new(const struct filter_options *o, unsigned int queues, int socket_id,
	struct memory **ret, struct errbuf *err)
{
	const struct fragments_options fragments = {
		.datagrams_max = FOLLOWED_DATAGRAMS, .queues = queues, .socket_id = socket_id};
	const struct cutoff_options cutoff = {.limit_bytes = o->cutoff_bytes,
		.flows_max = o->cutoff_flows,
		.socket_id = socket_id};
	struct memory *m = calloc(1, sizeof(*m) + queues * sizeof(struct cutoff *));
	int r = 0;

	if (m == NULL)
		return fail_with(err, -ENOMEM, "no memory for a filter's tables");
	m->references = 1;
	m->queues = queues;
	m->cutoff_bytes = o->cutoff_bytes;
	m->cutoff_flows = o->cutoff_flows;
	if (follows(o))
		r = fragments_new(&fragments, &m->fragments, err);
	for (unsigned int q = 0; r == 0 && o->cutoff_bytes > 0 && q < queues; q++)
		r = cutoff_new(&cutoff, &m->cutoffs[q], err);
	if (r < 0)
		memory_release(m);
	else
		*ret = m;
	return r;
}

static int take_memory(struct filter_tables *t, const struct filter_options *o, int socket_id,
	const struct filter_tables *before, struct errbuf *err)
{
	if (!follows(o) && o->cutoff_bytes == 0)
		return 0;
	if (before == NULL || !memory_serves(before->memory, o, t->queues))
		return memory_new(o, t->queues, socket_id, &t->memory, err);
	t->memory = before->memory;
	t->memory->references++;
	return 0;
}

static int make_caches(struct filter_tables *t, int socket_id, struct errbuf *err)
{
	int r = 0;

	for (unsigned int q = 0; r == 0 && q < t->queues; q++)
		r = rule_cache_new(socket_id, &t->caches[q], err);
	return r;
}

int filter_tables_new(const struct filter_options *options, unsigned int queues, int socket_id,
	const struct filter_tables *before, struct filter_tables **ret_tables, struct errbuf *err)
{
	struct filter_tables *t;
	int r;

	*ret_tables = NULL;
	if (!follows(options) && options->cutoff_bytes == 0 && options->rules == NULL)
		return 0;
	t = calloc(1, sizeof(*t) + queues * sizeof(struct rule_cache *));
	if (t == NULL)
		return fail_with(err, -ENOMEM, "no memory for a filter's tables");
	t->queues = queues;
	r = take_memory(t, options, socket_id, before, err);
	if (r == 0 && options->rules != NULL)
		r = make_caches(t, socket_id, err);
	if (r < 0)
		filter_tables_free(t);
	else
		*ret_tables = t;
	return r;
}

void filter_tables_free(struct filter_tables *t)
{
	if (t == NULL)
		return;
	for (unsigned int q = 0; q < t->queues; q++)
		rule_cache_free(t->caches[q]);
	memory_release(t->memory);
	free(t);
}

uint64_t filter_tables_bytes(const struct filter_options *options, unsigned int queues)
{
	uint64_t bytes = 0;

	if (follows(options))
		bytes += fragments_memory_bytes(FOLLOWED_DATAGRAMS, queues);
	if (options->cutoff_bytes > 0)
		bytes += queues * cutoff_memory_bytes(options->cutoff_flows);
	if (options->rules != NULL)
		bytes += queues * rule_cache_memory_bytes();
	return bytes;
}

void filter_tables_count(const struct filter_tables *t, struct filter_counts *ret)
{
	const struct memory *m = t->memory;

	*ret = (struct filter_counts){0};
	if (m == NULL)
		return;
	if (m->fragments != NULL)
		ret->first_unknown_pkts = fragments_unknown_pkts(m->fragments);
	for (unsigned int q = 0; q < m->queues; q++) {
		if (m->cutoffs[q] == NULL)
			continue;
		ret->beyond_pkts += cutoff_beyond_pkts(m->cutoffs[q]);
		ret->table_full_pkts += cutoff_full_pkts(m->cutoffs[q]);
	}
}
