/*
 * A run's choice (what it keeps) is exchanged while the run goes on: at one instant that is still to
 * come, told to the rx lcores by a plan that has both, and to the writers, who begin new files there.
 */
#include "runs_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"
#include "wirespool/units.h"

/* Time for a plan to reach the lcores, and for the writers to hear of it, long before it comes true. */
static const uint64_t AHEAD_NS = NS_PER_SEC / 4;
static const uint64_t MS = NS_PER_SEC / 1000;

void tables_free(struct filter_tables **tables, unsigned int count)
{
	for (unsigned int i = 0; tables != NULL && i < count; i++)
		filter_tables_free(tables[i]);
	free(tables);
}

int tables_new(const struct run_work *w, const struct choice *c, struct filter_tables ***ret,
	struct errbuf *err)
{
	struct filter_tables **tables = calloc(w->port_count, sizeof(*tables));
	struct port_info info;
	int r = 0;

	if (tables == NULL)
		return fail_with(err, -ENOMEM, "no memory for a filter's tables");
	for (unsigned int i = 0; r == 0 && i < w->port_count; i++) {
		port_get_info(w->ports[i], &info);
		r = filter_tables_new(&c->options, info.queues, info.socket_id,
			w->tables != NULL ? w->tables[i] : NULL, &tables[i], err);
	}
	if (r < 0)
		tables_free(tables, w->port_count);
	else
		*ret = tables;
	return r;
}

static void forget_next(struct run_work *w)
{
	tables_free(w->next_tables, w->port_count);
	choice_release(w->next);
	w->next_tables = NULL;
	w->next = NULL;
	for (unsigned int i = 0; i < w->port_count; i++)
		w->rules[i].switch_ns = UINT64_MAX;
}

/* c is the run's from here on, whatever comes of it. */
static int begin(struct runs *rs, struct recording_run *r, struct choice *c, uint64_t switch_ns,
	struct errbuf *err)
{
	struct run_work *w = r->work;
	int e;

	w->next = c;
	e = tables_new(w, c, &w->next_tables, err);
	if (e < 0) {
		forget_next(w);
		return e;
	}
	w->switch_ns = switch_ns;
	for (unsigned int i = 0; i < w->port_count; i++) {
		w->rules[i].switch_ns = w->switch_ns;
		w->rules[i].next = (struct rx_choice){
			.filter = c->filter, .tables = w->next_tables[i], .cut = c->settings.cut};
	}
	e = runs_publish(rs, err);
	if (e < 0) {
		forget_next(w);
		return e;
	}
	if (c->since_ns == 0)
		c->since_ns = w->switch_ns;
	if (run_redescribe_as(r, c, w->switch_ns, err) < 0)
		log_error("%s: its files do not say from when on its filter is another", err->text);
	return 0;
}

/* Its time has come, and that of packets which the kernel stamped before it. */
static void complete(struct runs *rs, struct recording_run *r)
{
	struct run_work *w = r->work;
	struct choice *before = w->choice;
	struct filter_tables **tables_before = w->tables;
	struct errbuf err;

	for (unsigned int i = 0; i < w->port_count; i++) {
		w->rules[i].now = w->rules[i].next;
		w->rules[i].switch_ns = UINT64_MAX;
	}
	/* Before the plan: prefilters go by it, and nobody wants what the one before kept. */
	w->choice = w->next;
	w->tables = w->next_tables;
	w->next = NULL;
	w->next_tables = NULL;
	if (runs_publish(rs, &err) < 0) {
		/* The plan with both goes on and means the same; both are kept until another is made. */
		w->next = w->choice;
		w->next_tables = w->tables;
		w->choice = before;
		w->tables = tables_before;
		rs->plan_stale = true;
		return;
	}
	tables_free(tables_before, w->port_count);
	choice_release(before);
	r->engine = filter_engine(w->choice->filter);
}

static void log_begin(const struct recording_run *r, const struct choice *c)
{
	char since[UNITS_TEXT];

	log_info("run %s: filter generation %u from %s on: %s", r->id, c->generation,
		utc_format(r->work->switch_ns, since), c->text[0] != '\0' ? c->text : "all");
}

static void follow_choice(struct runs *rs, struct recording_run *r, uint64_t switch_ns)
{
	struct run_work *w = r->work;
	struct choice *c = choices_get(rs->options.choices, r->recording);
	unsigned int generation;
	struct errbuf err;

	if (c == NULL || c->generation == w->choice->generation) {
		choice_release(c);
		return;
	}
	generation = c->generation;
	if (begin(rs, r, c, switch_ns, &err) == 0) {
		log_begin(r, c);
		return;
	}
	log_error("run %s: %s; the filter before goes on", r->id, err.text);
	(void)choices_refuse(rs->options.choices, r->recording, generation, &err);
}

bool runs_take_later(const struct runs *rs, const char *recording, const struct choice *c)
{
	for (unsigned int i = 0; i < rs->active_count; i++) {
		const struct recording_run *r = rs->active[i];
		const struct run_work *w = r->work;

		if (r->state <= RUN_LIVE && !w->leaving && !w->discarded && !w->made_up &&
			strcmp(r->recording, recording) == 0 && w->choice != c && w->next != c)
			return true;
	}
	return false;
}

void runs_exchange(struct runs *rs)
{
	uint64_t now_ns = capture_now_ns();
	/* The same for all runs; whole milliseconds, as the note in their files has it. */
	uint64_t switch_ns = (now_ns + AHEAD_NS) / MS * MS;

	for (unsigned int i = 0; i < rs->active_count; i++) {
		struct recording_run *r = rs->active[i];
		struct run_work *w = r->work;

		if (r->state > RUN_LIVE || w->leaving || w->discarded || w->choice == NULL)
			continue;
		if (w->next != NULL && now_ns >= w->switch_ns + RUNS_GRACE_NS)
			complete(rs, r);
		if (w->next == NULL && !w->made_up)
			follow_choice(rs, r, switch_ns);
	}
}
