#include "runs_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"
#include "wirespool/units.h"

enum {
	OPEN_AT_ONCE_MAX = 16, /* occurrences of one window that overlap */
	RETRY_SECONDS = 1,
	LOOK_SECONDS = 60, /* a schedule is computed again at least so often: clocks jump */
};

/* A recording that opens by itself, and what it has opened already. */
struct watch {
	const struct recording_settings *recording;
	char *fingerprint;
	struct occurrence *opened; /* had their run; kept until some time after their end */
	unsigned int opened_count;
	uint64_t not_before_ns; /* the runs before a reload last until then */
	uint64_t looked_ns;
	uint64_t due_ns;                                     /* nothing opens before */
	char failure[sizeof(((struct errbuf *)NULL)->text)]; /* logged last; "" when it opened */
};

void watches_free(struct watch *watches, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		free(watches[i].fingerprint);
		free(watches[i].opened);
	}
	free(watches);
}

static bool opened_already(const struct watch *w, const struct occurrence *o)
{
	for (unsigned int i = 0; i < w->opened_count; i++) {
		if (w->opened[i].start_ns == o->start_ns && w->opened[i].end_ns == o->end_ns)
			return true;
	}
	return false;
}

/* Remembers an occurrence, and forgets those that a clock set back could hardly bring again. */
static int remember(struct watch *w, const struct occurrence *o, uint64_t now_ns)
{
	const uint64_t long_ago_ns = 3600 * NS_PER_SEC;
	struct occurrence *grown;
	unsigned int kept = 0;

	for (unsigned int i = 0; i < w->opened_count; i++) {
		if (w->opened[i].end_ns > now_ns || now_ns - w->opened[i].end_ns < long_ago_ns)
			w->opened[kept++] = w->opened[i];
	}
	w->opened_count = kept;
	grown = realloc(w->opened, (kept + 1) * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	w->opened = grown;
	w->opened[w->opened_count++] = *o;
	return 0;
}

/* Opens an occurrence unless it was opened before. False: not now, try again. */
static bool open_occurrence(struct runs *rs, struct watch *w, const struct occurrence *o)
{
	const struct run_span span = {
		.cause = w->recording->when == WHEN_ALWAYS ? RUN_BY_ALWAYS : RUN_BY_WINDOW,
		.start_ns = o->start_ns > w->not_before_ns ? o->start_ns : w->not_before_ns,
		.end_ns = o->end_ns,
	};
	struct recording_run *r;
	struct errbuf err;
	int e;

	if (opened_already(w, o) || o->end_ns <= w->not_before_ns)
		return true;
	/* Remembered first: what cannot be remembered would be opened again and again. */
	if (remember(w, o, capture_now_ns()) < 0)
		return false;
	e = runs_begin(rs, w->recording, &span, &r, &err);
	if (e == 0) {
		r->work->occurrence = *o;
		w->failure[0] = '\0';
		return true;
	}
	w->opened_count--;
	if (strcmp(w->failure, err.text) != 0 && e == -EBUSY)
		log_info("recording '%s' begins when its filter is ready", w->recording->name);
	else if (strcmp(w->failure, err.text) != 0)
		log_error("recording '%s' does not begin: %s; trying again each second",
			w->recording->name, err.text);
	(void)snprintf(w->failure, sizeof(w->failure), "%s", err.text);
	return false;
}

/* One window: what is open, and what opens soon. Returns when to look again. */
static uint64_t look_at_window(
	struct runs *rs, struct watch *w, const struct window *window, uint64_t now_ns)
{
	struct occurrence open[OPEN_AT_ONCE_MAX], next;
	uint64_t after_ns = now_ns + 1, retry_ns = now_ns + RETRY_SECONDS * NS_PER_SEC;
	bool all = true;
	unsigned int n;

	n = window_open_at(window, now_ns, open, OPEN_AT_ONCE_MAX);
	for (unsigned int i = 0; i < n; i++)
		all &= open_occurrence(rs, w, &open[i]);
	for (n = 0; n < OPEN_AT_ONCE_MAX; n++) {
		if (window_next(window, after_ns, &next) < 0)
			return all ? UINT64_MAX : retry_ns;
		if (next.start_ns > now_ns + RUNS_AHEAD_NS)
			return all ? next.start_ns - RUNS_AHEAD_NS : retry_ns;
		all &= open_occurrence(rs, w, &next);
		after_ns = next.start_ns + 1;
	}
	return retry_ns;
}

static void look_at_watch(struct runs *rs, struct watch *w, uint64_t now_ns)
{
	const struct occurrence always = {.start_ns = 0, .end_ns = RUN_NO_END};
	uint64_t due_ns = now_ns + LOOK_SECONDS * NS_PER_SEC, window_ns;

	w->looked_ns = now_ns;
	if (w->recording->when == WHEN_ALWAYS && !open_occurrence(rs, w, &always))
		due_ns = now_ns + RETRY_SECONDS * NS_PER_SEC;
	for (unsigned int i = 0;
		w->recording->when == WHEN_WINDOWS && i < w->recording->window_count; i++) {
		window_ns = look_at_window(rs, w, w->recording->windows[i], now_ns);
		if (window_ns < due_ns)
			due_ns = window_ns;
	}
	w->due_ns = due_ns;
}

void watches_look(struct runs *rs)
{
	uint64_t now_ns = capture_now_ns();
	struct watch *w;

	for (unsigned int i = 0; i < rs->watch_count; i++) {
		w = &rs->watches[i];
		if (now_ns >= w->due_ns || now_ns < w->looked_ns)
			look_at_watch(rs, w, now_ns);
	}
}

void watches_hurry(struct runs *rs)
{
	for (unsigned int i = 0; i < rs->watch_count; i++)
		rs->watches[i].due_ns = 0;
}

static struct watch *find_watch(const struct runs *rs, const struct recording_settings *recording)
{
	for (unsigned int i = 0; i < rs->watch_count; i++) {
		if (strcmp(rs->watches[i].recording->name, recording->name) == 0 &&
			strcmp(rs->watches[i].fingerprint, recording->fingerprint) == 0)
			return &rs->watches[i];
	}
	return NULL;
}

static const struct recording_settings *find_recording(const struct settings *s, const char *name)
{
	for (unsigned int i = 0; i < s->recording_count; i++) {
		if (strcmp(s->recordings[i].name, name) == 0)
			return &s->recordings[i];
	}
	return NULL;
}

static bool is_live(const struct runs *rs, const char *recording)
{
	for (unsigned int i = 0; i < rs->active_count; i++) {
		if (rs->active[i]->state <= RUN_LIVE && !rs->active[i]->work->made_up &&
			strcmp(rs->active[i]->recording, recording) == 0)
			return true;
	}
	return false;
}

static int make_watches(struct runs *rs, const struct settings *s, uint64_t handover_ns,
	struct watch **ret, unsigned int *ret_count)
{
	unsigned int count = s->recording_count;
	struct watch *watches = calloc(count > 0 ? count : 1, sizeof(*watches));
	struct watch *old;

	if (watches == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		watches[i].recording = &s->recordings[i];
		if (is_live(rs, s->recordings[i].name))
			watches[i].not_before_ns = handover_ns;
		watches[i].fingerprint = strdup(s->recordings[i].fingerprint);
		if (watches[i].fingerprint == NULL) {
			watches_free(watches, count);
			return -ENOMEM;
		}
	}
	for (unsigned int i = 0; i < count; i++) {
		old = find_watch(rs, &s->recordings[i]);
		if (old == NULL)
			continue;
		watches[i].opened = old->opened;
		watches[i].opened_count = old->opened_count;
		watches[i].not_before_ns = old->not_before_ns;
		old->opened = NULL;
	}
	*ret = watches;
	*ret_count = count;
	return 0;
}

/* A trigger's run goes on under the new rule for as long as it would have under the old one. */
static void renew(struct runs *rs, const struct recording_settings *recording,
	const struct recording_run *old, uint64_t start_ns, uint64_t end_ns)
{
	const struct run_span span = {
		.cause = RUN_BY_TRIGGER, .start_ns = start_ns, .end_ns = end_ns};
	struct recording_run *r;
	struct errbuf err;

	if (end_ns <= start_ns)
		return;
	if (runs_begin(rs, recording, &span, &r, &err) < 0)
		log_error(
			"run %s ended by the reload and was not begun anew: %s", old->id, err.text);
}

/* The link type of a recording's ports is known since they are open. */
static void want_choices(struct runs *rs, const struct settings *s)
{
	struct errbuf err;

	choices_keep(rs->options.choices, s);
	for (unsigned int i = 0; i < s->recording_count; i++) {
		const struct recording_settings *r = &s->recordings[i];
		struct port_info info;

		if (runs_find_port(rs, r->ports[0], &info) != NULL &&
			choices_want(rs->options.choices, r, info.linktype, info.socket_id, &err) <
				0)
			log_error("recording '%s': %s", r->name, err.text);
	}
}

int runs_follow(struct runs *rs, const struct settings *s)
{
	uint64_t now_ns = capture_now_ns(), handover_ns = now_ns + RUNS_HANDOVER_NS, end_ns;
	unsigned int active_count = rs->active_count, watch_count;
	const struct recording_settings *recording;
	struct recording_run *r;
	struct watch *watches;

	if (make_watches(rs, s, handover_ns, &watches, &watch_count) < 0)
		return -ENOMEM;
	watches_free(rs->watches, rs->watch_count);
	rs->watches = watches;
	rs->watch_count = watch_count;
	want_choices(rs, s);
	for (unsigned int i = 0; i < active_count; i++) {
		r = rs->active[i];
		if (r->state > RUN_LIVE || r->work->made_up)
			continue;
		recording = find_recording(s, r->recording);
		if (recording == NULL) {
			log_info("run %s: its recording is gone from the settings", r->id);
			runs_end_at(rs, r, now_ns);
			continue;
		}
		if (strcmp(r->work->fingerprint, recording->fingerprint) == 0)
			continue;
		log_info("run %s: its recording changed", r->id);
		end_ns = r->end_ns;
		runs_end_at(rs, r, handover_ns);
		if (r->cause == RUN_BY_TRIGGER)
			renew(rs, recording, r, handover_ns, end_ns);
	}
	runs_tick(rs);
	return 0;
}
