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

static void refuse(struct runs *rs, struct recording_run *r, const struct errbuf *why)
{
	unsigned int generation = r->work->next->generation;

	forget_next(r->work);
	log_error("run %s: %s; the filter before goes on", r->id, why->text);
	(void)choices_refuse(rs->options.choices, r->recording, generation, why);
}

/* Takes what the run is to keep next, and makes its tables. True: it is ready, and nobody knows of it yet. */
static bool prepare(struct runs *rs, struct recording_run *r)
{
	struct run_work *w = r->work;
	struct choice *c = choices_get(rs->options.choices, r->recording, w->choice->linktype);
	struct errbuf err;

	if (c == NULL || c->generation == w->choice->generation) {
		choice_release(c);
		return false;
	}
	w->next = c;
	w->next_told = false;
	if (tables_new(w, c, &w->next_tables, &err) < 0) {
		refuse(rs, r, &err);
		return false;
	}
	return true;
}

static bool is_prepared(const struct recording_run *r)
{
	return r->work->next != NULL && !r->work->next_told;
}

static void name_instant(struct run_work *w, uint64_t switch_ns)
{
	w->switch_ns = switch_ns;
	for (unsigned int i = 0; i < w->port_count; i++) {
		w->rules[i].switch_ns = switch_ns;
		w->rules[i].next = (struct rx_choice){.filter = w->next->filter,
			.tables = w->next_tables[i],
			.cut = w->next->settings.cut};
	}
}

/* The lcores have it in their plan; now the writers. */
static void tell_writers(struct recording_run *r)
{
	struct run_work *w = r->work;
	struct choice *c = w->next;
	char since[UNITS_TEXT];
	struct errbuf err;

	w->next_told = c->works = true;
	if (c->since_ns == 0)
		c->since_ns = w->switch_ns;
	if (run_redescribe_as(r, c, w->switch_ns, &err) < 0)
		log_error("%s: its files do not say from when on its filter is another", err.text);
	log_info("run %s: filter generation %u from %s on: %s", r->id, c->generation,
		utc_format(w->switch_ns, since), c->text[0] != '\0' ? c->text : "all");
}

/*
 * All that were prepared, at one instant, in whole milliseconds, as the note in their files has it. It is named
 * last: to make tables, and to free those of an exchange before, may take longer than it is ahead.
 */
static void begin_prepared(struct runs *rs)
{
	uint64_t switch_ns = (capture_now_ns() + AHEAD_NS) / MS * MS;
	struct errbuf err;
	int e;

	for (unsigned int i = 0; i < rs->active_count; i++)
		if (is_prepared(rs->active[i]))
			name_instant(rs->active[i]->work, switch_ns);
	e = runs_publish(rs, &err);
	for (unsigned int i = 0; i < rs->active_count; i++) {
		if (!is_prepared(rs->active[i]))
			continue;
		if (e < 0)
			refuse(rs, rs->active[i], &err);
		else
			tell_writers(rs->active[i]);
	}
}

bool run_is_of(const struct recording_run *r, const char *recording)
{
	return r->state <= RUN_LIVE && !r->work->made_up && strcmp(r->recording, recording) == 0;
}

bool runs_take_later(const struct runs *rs, const char *recording, const struct choice *c)
{
	for (unsigned int i = 0; i < rs->active_count; i++) {
		const struct recording_run *r = rs->active[i];
		const struct run_work *w = r->work;

		if (run_is_of(r, recording) && !w->leaving && !w->discarded && w->choice != c &&
			w->next != c)
			return true;
	}
	return false;
}

void runs_exchange(struct runs *rs)
{
	uint64_t now_ns = capture_now_ns();
	bool prepared = false;

	for (unsigned int i = 0; i < rs->active_count; i++) {
		struct recording_run *r = rs->active[i];
		struct run_work *w = r->work;

		if (r->state > RUN_LIVE || w->leaving || w->discarded || w->choice == NULL)
			continue;
		if (w->next != NULL && now_ns >= w->switch_ns + RUNS_GRACE_NS)
			complete(rs, r);
		if (w->next == NULL && !w->made_up && prepare(rs, r))
			prepared = true;
	}
	if (prepared)
		begin_prepared(rs);
}
