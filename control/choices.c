#include "choices.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "wirespool/clock.h"
#include "wirespool/log.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

enum { MAKER_NICE = 19 };

/* A recording, and what is known of its choices. */
struct wish {
	struct wish *next;
	struct recording_settings settings; /* wanted last */
	int linktype;                       /* likewise */
	struct choice *choice;              /* NULL: none was ever made */
	struct choice *before;              /* the last that works, or the first; NULL: none */
	unsigned int made;                  /* generations so far */
	struct errbuf error;                /* "" when the last one could be made */
	struct job *job;                    /* NULL: none is under way */
};

/* One choice being made, by a thread of its own. */
struct job {
	pthread_t thread;
	struct recording_settings settings;
	int linktype;
	int socket_id;
	uint64_t begun_ns;
	/* Set by the thread; done with release */
	struct choice *made;
	struct errbuf error;
	_Atomic bool done;
	struct job *next; /* among those that nobody waits for any more */
};

struct choices {
	struct wish *wishes;
	struct job *left;
};

int choice_make(const struct recording_settings *r, int linktype, int socket_id,
	struct choice **ret, struct errbuf *err)
{
	struct choice *c = calloc(1, sizeof(*c));
	int e;

	if (c == NULL)
		return fail_with(err, -ENOMEM, "no memory for a filter");
	c->references = 1;
	c->linktype = linktype;
	e = recording_copy(r, &c->settings);
	if (e == 0)
		c->text = recording_filter_text(r);
	if (e < 0 || c->text == NULL) {
		choice_release(c);
		return fail_with(err, -ENOMEM, "no memory for a filter");
	}
	recording_filter_options(&c->settings, &c->options);
	e = filter_new(&c->options, linktype, socket_id, &c->filter, err);
	if (e < 0)
		choice_release(c);
	else
		*ret = c;
	return e;
}

struct choice *choice_share(struct choice *c)
{
	c->references++;
	return c;
}

void choice_release(struct choice *c)
{
	if (c == NULL || --c->references > 0)
		return;
	if (c->filter != NULL)
		filter_free(c->filter);
	recording_done(&c->settings);
	free(c->text);
	free(c);
}

int choices_new(struct choices **ret, struct errbuf *err)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret != NULL ? 0 : fail_with(err, -ENOMEM, "no memory for filters");
}

/* -- The maker -- */

static void *job_run(void *arg)
{
	struct job *j = arg;

	(void)pthread_setname_np(pthread_self(), "filter");
	/* Of this thread alone, as Linux has it: writers may share its CPU. */
	(void)setpriority(PRIO_PROCESS, 0, MAKER_NICE);
	if (choice_make(&j->settings, j->linktype, j->socket_id, &j->made, &j->error) < 0)
		j->made = NULL;
	/* Release pairs with the acquire in job_is_done(). */
	atomic_store_explicit(&j->done, true, memory_order_release);
	return NULL;
}

static bool job_is_done(const struct job *j)
{
	return atomic_load_explicit(&j->done, memory_order_acquire);
}

/* Waits for its thread. */
static void job_free(struct job *j)
{
	(void)pthread_join(j->thread, NULL);
	choice_release(j->made);
	recording_done(&j->settings);
	free(j);
}

static int job_new(const struct recording_settings *r, int linktype, int socket_id,
	struct job **ret, struct errbuf *err)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL || recording_copy(r, &j->settings) < 0) {
		free(j);
		return fail_with(err, -ENOMEM, "no memory for a filter");
	}
	j->linktype = linktype;
	j->socket_id = socket_id;
	j->begun_ns = clock_monotonic_ns();
	if (pthread_create(&j->thread, NULL, job_run, j) != 0) {
		recording_done(&j->settings);
		free(j);
		return fail_with(err, -EAGAIN, "no thread to make a filter on");
	}
	*ret = j;
	return 0;
}

static void leave_job(struct choices *cs, struct wish *w)
{
	if (w->job == NULL)
		return;
	w->job->next = cs->left;
	cs->left = w->job;
	w->job = NULL;
}

/* -- Wishes -- */

static struct wish *find_wish(const struct choices *cs, const char *recording)
{
	struct wish *w = cs->wishes;

	while (w != NULL && strcmp(w->settings.name, recording) != 0)
		w = w->next;
	return w;
}

static void wish_free(struct choices *cs, struct wish *w)
{
	leave_job(cs, w);
	choice_release(w->choice);
	choice_release(w->before);
	recording_done(&w->settings);
	free(w);
}

void choices_free(struct choices *cs)
{
	struct wish *w;
	struct job *j;

	if (cs == NULL)
		return;
	while ((w = cs->wishes) != NULL) {
		cs->wishes = w->next;
		wish_free(cs, w);
	}
	while ((j = cs->left) != NULL) {
		cs->left = j->next;
		if (job_is_done(j))
			job_free(j);
	}
	free(cs);
}

bool choices_idle(const struct choices *cs)
{
	for (const struct wish *w = cs->wishes; w != NULL; w = w->next)
		if (w->job != NULL && !job_is_done(w->job))
			return false;
	for (const struct job *j = cs->left; j != NULL; j = j->next)
		if (!job_is_done(j))
			return false;
	return true;
}

static void take_choice(struct wish *w, struct choice *made)
{
	if (w->before == NULL || w->choice->works) {
		choice_release(w->before);
		w->before = w->choice;
	} else {
		choice_release(w->choice); /* nobody knows whether it could be gone back to */
	}
	w->choice = made;
	made->generation = ++w->made;
	w->error.text[0] = '\0';
}

static struct wish *add_wish(struct choices *cs)
{
	struct wish *w = calloc(1, sizeof(*w));

	if (w != NULL) {
		w->next = cs->wishes;
		cs->wishes = w;
	}
	return w;
}

/* What is to be, as far as it could be made. */
static const struct recording_settings *settings_now(const struct wish *w)
{
	if (w->job != NULL || w->choice == NULL)
		return &w->settings;
	return &w->choice->settings;
}

static int linktype_now(const struct wish *w)
{
	return w->job != NULL || w->choice == NULL ? w->linktype : w->choice->linktype;
}

static bool same_print(const struct recording_settings *a, const struct recording_settings *b)
{
	return strcmp(a->filter_print ?: "", b->filter_print ?: "") == 0;
}

/* What would hold control up is made on a thread. */
static bool takes_long(const struct recording_settings *r)
{
	return r->rule_set != NULL || (r->filter != NULL && strlen(r->filter) > FILTER_LONG);
}

static int begin_making(struct wish *w, int linktype, int socket_id, struct errbuf *err)
{
	const struct recording_settings *r = &w->settings;
	struct choice *made;
	int e;

	if (takes_long(r)) {
		e = job_new(r, linktype, socket_id, &w->job, err);
		if (e == 0)
			log_info("recording '%s': making a filter of %zu bytes and %u rules",
				r->name, r->filter != NULL ? strlen(r->filter) : 0,
				r->rule_set != NULL ? r->rule_set->count : 0);
		return e;
	}
	e = choice_make(r, linktype, socket_id, &made, err);
	if (e == 0)
		take_choice(w, made);
	return e;
}

int choices_want(struct choices *cs, const struct recording_settings *r, int linktype,
	int socket_id, struct errbuf *err)
{
	struct wish *w = find_wish(cs, r->name);
	struct recording_settings copy;
	int e;

	if (w != NULL && same_print(settings_now(w), r) && linktype_now(w) == linktype &&
		(w->choice != NULL || w->error.text[0] == '\0')) {
		w->error.text[0] = '\0';
		return 0;
	}
	if (recording_copy(r, &copy) < 0)
		return fail_with(err, -ENOMEM, "no memory for a filter");
	if (w == NULL)
		w = add_wish(cs);
	if (w == NULL) {
		recording_done(&copy);
		return fail_with(err, -ENOMEM, "no memory for a filter");
	}
	leave_job(cs, w);
	recording_done(&w->settings);
	w->settings = copy;
	w->linktype = linktype;
	w->error.text[0] = '\0';
	e = begin_making(w, linktype, socket_id, &w->error);
	if (e < 0)
		return fail_with(err, e, "%s", w->error.text);
	return 0;
}

void choices_keep(struct choices *cs, const struct settings *s)
{
	struct wish **link = &cs->wishes, *w;

	while ((w = *link) != NULL) {
		if (settings_find_recording(s, w->settings.name) != NULL) {
			link = &w->next;
			continue;
		}
		*link = w->next;
		wish_free(cs, w);
	}
}

static void take_job(struct wish *w)
{
	char took[UNITS_TEXT];
	struct job *j = w->job;

	w->job = NULL;
	if (j->made != NULL) {
		take_choice(w, j->made);
		j->made = NULL;
		log_info("recording '%s': its filter is ready after %s", w->settings.name,
			duration_format(clock_monotonic_ns() - j->begun_ns, took));
	} else {
		w->error = j->error;
		log_error("recording '%s': %s; %s", w->settings.name, j->error.text,
			w->choice != NULL ? "the filter before goes on" : "it cannot begin");
	}
	job_free(j);
}

bool choices_poll(struct choices *cs)
{
	struct job **link = &cs->left, *j;
	bool any = false;

	for (struct wish *w = cs->wishes; w != NULL; w = w->next) {
		if (w->job == NULL || !job_is_done(w->job))
			continue;
		take_job(w);
		any = true;
	}
	while ((j = *link) != NULL) {
		if (!job_is_done(j)) {
			link = &j->next;
			continue;
		}
		*link = j->next;
		job_free(j);
	}
	return any;
}

bool choices_refuse(struct choices *cs, const char *recording, unsigned int generation,
	const struct errbuf *why)
{
	struct wish *w = find_wish(cs, recording);

	if (w == NULL || w->before == NULL || w->choice->generation != generation)
		return false;
	choice_release(w->choice);
	w->choice = w->before;
	w->before = NULL;
	w->error = *why;
	return true;
}

struct choice *choices_get(struct choices *cs, const char *recording, int linktype)
{
	const struct wish *w = find_wish(cs, recording);

	if (w == NULL || w->choice == NULL || w->choice->linktype != linktype)
		return NULL;
	return choice_share(w->choice);
}

bool choices_state(const struct choices *cs, const char *recording, struct choice_state *ret)
{
	const struct wish *w = find_wish(cs, recording);

	if (w == NULL)
		return false;
	*ret = (struct choice_state){
		.choice = w->choice,
		.settings = settings_now(w),
		.pending = w->job != NULL,
		.error = w->error.text[0] != '\0' ? w->error.text : NULL,
	};
	return true;
}
