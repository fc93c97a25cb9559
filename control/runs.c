#include "runs.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recovery.h"
#include "runs_private.h"
#include "wirespool/log.h"

const char *run_state_name(enum run_state state)
{
	static const char *const names[] = {"armed", "live", "finishing", "ended"};

	return names[state];
}

int runs_new(const struct runs_options *options, struct runs **ret_runs, struct errbuf *err)
{
	struct runs *rs;
	int r;

	assert(options->writer_count > 0);
	rs = calloc(1, sizeof(*rs));
	if (rs == NULL)
		return fail_with(err, -ENOMEM, "no memory for the list of runs");
	rs->options = *options;
	r = recovery_new(&rs->recovery, err);
	if (r < 0) {
		free(rs);
		return r;
	}
	*ret_runs = rs;
	return 0;
}

void runs_free(struct runs *rs)
{
	if (rs == NULL)
		return;
	recovery_free(rs->recovery);
	for (unsigned int i = 0; i < rs->active_count; i++) {
		/* An rx lcore or a writer may hold on to these. */
		rs->active[i]->work = NULL;
		recording_run_free(rs->active[i]);
	}
	for (unsigned int i = 0; i < rs->ended_count; i++)
		recording_run_free(rs->ended[i]);
	watches_free(rs->watches, rs->watch_count);
	free(rs->active);
	free(rs->ended);
	free(rs);
}

int runs_list_reserve(struct recording_run ***list, unsigned int count)
{
	struct recording_run **grown = realloc(*list, (count + 1) * sizeof(**list));

	if (grown == NULL)
		return -ENOMEM;
	*list = grown;
	return 0;
}

void runs_list_remove(struct recording_run **list, unsigned int *count, unsigned int index)
{
	(*count)--;
	memmove(&list[index], &list[index + 1], (*count - index) * sizeof(*list));
}

/* A packet inside of a tunnel is no business of a prefilter. */
static const struct rules *rules_of(const struct choice *c)
{
	return c->options.inner != 0 ? NULL : c->options.rules;
}

static void want_packets(struct runs *rs)
{
	prefilters_begin(rs->options.prefilters);
	for (unsigned int i = 0; i < rs->active_count; i++) {
		const struct run_work *w = rs->active[i]->work;

		if (rs->active[i]->state > RUN_LIVE || w->leaving)
			continue;
		for (unsigned int k = 0; k < w->port_count; k++) {
			prefilters_want(rs->options.prefilters, w->ports[k], rules_of(w->choice));
			if (w->next != NULL)
				prefilters_want(
					rs->options.prefilters, w->ports[k], rules_of(w->next));
		}
	}
}

int runs_publish(struct runs *rs, struct errbuf *err)
{
	struct rx_rule *rules = NULL;
	unsigned int count = 0, most = 0;
	int r;

	for (unsigned int i = 0; i < rs->active_count; i++)
		most += rs->active[i]->work->port_count;
	if (most > 0) {
		rules = calloc(most, sizeof(*rules));
		if (rules == NULL)
			return fail_with(
				err, -ENOMEM, "no memory for an rx plan of %u rules", most);
	}
	for (unsigned int i = 0; i < rs->active_count; i++) {
		struct recording_run *run = rs->active[i];
		struct run_work *w = run->work;

		if (run->state > RUN_LIVE || w->leaving)
			continue;
		for (unsigned int k = 0; k < w->port_count; k++) {
			rules[count] = w->rules[k];
			rules[count].start_ns = run->start_ns;
			rules[count++].end_ns = run->end_ns;
		}
	}
	want_packets(rs);
	prefilters_widen(rs->options.prefilters);
	r = rx_plan_publish(rules, count, err);
	if (r == 0)
		prefilters_narrow(rs->options.prefilters);
	free(rules);
	return r;
}

int runs_trigger(struct runs *rs, const struct recording_settings *recording, uint64_t for_ns,
	bool made_up, const char **ret_id, struct errbuf *err)
{
	const struct run_span span = {.cause = RUN_BY_TRIGGER,
		.end_ns = RUN_NO_END,
		.most_ns = for_ns,
		.made_up = made_up};
	struct recording_run *r;
	int e;

	if (rs->closing)
		return fail_with(err, -ESHUTDOWN, "the daemon is stopping");
	e = runs_begin(rs, recording, &span, &r, err);
	if (e < 0)
		return e;
	*ret_id = r->id;
	return 0;
}

static bool ports_ended(const struct run_work *w)
{
	struct port_info info;

	for (unsigned int i = 0; i < w->port_count; i++) {
		port_get_info(w->ports[i], &info);
		if (!info.ended)
			return false;
	}
	return true;
}

void runs_end_at(struct runs *rs, struct recording_run *r, uint64_t now_ns)
{
	if (now_ns < r->start_ns)
		now_ns = r->start_ns; /* it never began: an empty span */
	if (r->end_ns > now_ns)
		r->end_ns = now_ns;
	rs->plan_stale = true;
}

static void judge(struct runs *rs, struct recording_run *r, uint64_t now_ns)
{
	struct run_work *w = r->work;

	if (r->state == RUN_ARMED && now_ns >= r->start_ns)
		r->state = RUN_LIVE;
	if (run_limit_reached(w->run) || (r->state == RUN_LIVE && ports_ended(w))) {
		runs_end_at(rs, r, now_ns);
		w->leaving = true;
	} else if (r->end_ns != RUN_NO_END && now_ns >= r->end_ns + w->grace_ns) {
		w->leaving = true;
		rs->plan_stale = true;
	} else if (r->end_ns <= r->start_ns) {
		w->leaving = true; /* stopped before it began */
	}
}

void runs_settle(struct runs *rs)
{
	uint64_t now_ns = capture_now_ns();
	struct errbuf err;

	for (unsigned int i = 0; i < rs->active_count; i++) {
		if (rs->active[i]->state <= RUN_LIVE)
			judge(rs, rs->active[i], now_ns);
	}
	if (!rs->plan_stale)
		return;
	if (runs_publish(rs, &err) < 0) {
		if (!rs->plan_failed) /* at each tick it would fill the log */
			log_error("%s; the plan before goes on, trying again", err.text);
		rs->plan_failed = true;
		return;
	}
	rs->plan_stale = rs->plan_failed = false;
	for (unsigned int i = 0; i < rs->active_count; i++) {
		struct recording_run *r = rs->active[i];

		if (r->state > RUN_LIVE || !r->work->leaving)
			continue;
		r->state = RUN_FINISHING;
		run_finish(r->work->run);
	}
}

void runs_tick(struct runs *rs)
{
	if (choices_poll(rs->options.choices))
		watches_hurry(rs);
	if (!rs->closing)
		watches_look(rs);
	runs_exchange(rs);
	runs_settle(rs);
	runs_collect(rs);
}

unsigned int runs_stop(struct runs *rs, const char *what,
	void (*each)(const struct recording_run *r, void *arg), void *arg)
{
	uint64_t now_ns = capture_now_ns();
	unsigned int n = 0;

	for (unsigned int i = 0; i < rs->active_count; i++) {
		struct recording_run *r = rs->active[i];

		if (r->state > RUN_LIVE)
			continue;
		if (what != NULL && strcmp(r->id, what) != 0 && strcmp(r->recording, what) != 0)
			continue;
		runs_end_at(rs, r, now_ns);
		n++;
		if (each != NULL)
			each(r, arg);
	}
	runs_settle(rs);
	return n;
}

void runs_close(struct runs *rs)
{
	rs->closing = true;
	(void)runs_stop(rs, NULL, NULL, NULL);
}

unsigned int runs_abandon(struct runs *rs)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < rs->active_count; i++) {
		struct recording_run *r = rs->active[i];

		if (r->state != RUN_FINISHING || r->work->abandoned)
			continue;
		runs_abandon_one(rs, r);
		n++;
	}
	return n;
}

const struct recording_run *runs_active(const struct runs *rs, unsigned int index)
{
	/* Runs that failed while they were made are at the end of no list that others see. */
	for (unsigned int i = 0; i < rs->active_count; i++) {
		if (rs->active[i]->work->discarded)
			continue;
		if (index-- == 0)
			return rs->active[i];
	}
	return NULL;
}

const struct recording_run *runs_ended(const struct runs *rs, unsigned int index)
{
	return index < rs->ended_count ? rs->ended[index] : NULL;
}

bool runs_all_ended(const struct runs *rs)
{
	return rs->active_count == 0;
}

uint64_t runs_forgotten(const struct runs *rs)
{
	return rs->forgotten;
}

bool runs_lost_any(const struct runs *rs)
{
	return rs->lost_any;
}

bool runs_live_in(const struct runs *rs, const char *recording, const struct occurrence *o)
{
	for (unsigned int i = 0; i < rs->active_count; i++) {
		const struct recording_run *r = rs->active[i];

		if (r->cause == RUN_BY_WINDOW && r->state <= RUN_LIVE && !r->work->discarded &&
			r->work->occurrence.start_ns == o->start_ns &&
			r->work->occurrence.end_ns == o->end_ns &&
			strcmp(r->recording, recording) == 0)
			return true;
	}
	return false;
}

static bool held_before(const struct runs *rs, unsigned int run, const struct stripe *s)
{
	for (unsigned int i = 0; i < run; i++) {
		for (unsigned int k = 0; k < rs->active[i]->work->stripe_count; k++) {
			if (rs->active[i]->work->stripes[k] == s)
				return true;
		}
	}
	return false;
}

void runs_stripes(
	const struct runs *rs, void (*each)(const struct stripe_info *info, void *arg), void *arg)
{
	struct stripe_info info;

	for (unsigned int i = 0; i < rs->active_count; i++) {
		const struct run_work *w = rs->active[i]->work;

		for (unsigned int k = 0; k < w->stripe_count; k++) {
			if (held_before(rs, i, w->stripes[k]))
				continue;
			stripe_get_info(w->stripes[k], &info);
			each(&info, arg);
		}
	}
}
