#include "runs_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wirespool/log.h"
#include "wirespool/units.h"

void run_work_release(struct run_work *w)
{
	if (w->run != NULL)
		run_free(w->run);
	for (unsigned int i = 0; i < w->ring_count; i++)
		packet_ring_free(w->rings[i]);
	for (unsigned int i = 0; i < w->stripe_count; i++)
		stripe_close(w->stripes[i]);
	tables_free(w->next_tables, w->port_count);
	tables_free(w->tables, w->port_count);
	choice_release(w->choice);
	choice_release(w->next);
	free(w->stripes);
	free(w->ports);
	free(w->rules);
	free(w->rings);
	free(w->writer_of_ring);
	w->run = NULL;
	w->choice = w->next = NULL;
	w->tables = w->next_tables = NULL;
	w->stripes = NULL;
	w->ports = NULL;
	w->rules = NULL;
	w->rings = NULL;
	w->writer_of_ring = NULL;
	w->ring_count = w->stripe_count = w->port_count = 0;
}

void run_work_free(struct run_work *w)
{
	if (w == NULL)
		return;
	run_work_release(w);
	free(w->fingerprint);
	free(w);
}

void recording_run_free(struct recording_run *r)
{
	if (r == NULL)
		return;
	run_work_free(r->work);
	for (unsigned int i = 0; i < r->files_kept; i++)
		free(r->files[i].path);
	free(r->files);
	free(r);
}

struct port *runs_find_port(const struct runs *rs, const char *name, struct port_info *ret_info)
{
	for (unsigned int i = 0; i < rs->options.port_count; i++) {
		port_get_info(rs->options.ports[i], ret_info);
		if (strcmp(ret_info->name, name) == 0)
			return rs->options.ports[i];
	}
	return NULL;
}

static int take_ports(const struct runs *rs, const struct recording_settings *recording,
	struct run_work *w, struct port_info infos[], struct errbuf *err)
{
	const char *name;

	if (recording->port_count == 0 || recording->port_count > RUN_INTERFACES_MAX)
		return fail_with(err, -EINVAL, "recording '%s' has %u ports, it must have 1 to %d",
			recording->name, recording->port_count, RUN_INTERFACES_MAX);
	w->ports = calloc(recording->port_count, sizeof(struct port *));
	w->rules = calloc(recording->port_count, sizeof(*w->rules));
	if (w->ports == NULL || w->rules == NULL)
		return fail_with(err, -ENOMEM, "no memory for recording '%s'", recording->name);
	for (unsigned int i = 0; i < recording->port_count; i++) {
		name = recording->ports[i];
		w->ports[i] = runs_find_port(rs, name, &infos[i]);
		if (w->ports[i] == NULL)
			return fail_with(err, -ENOENT,
				"recording '%s' names port '%s', which is not open",
				recording->name, name);
		for (unsigned int k = 0; k < i; k++) {
			if (w->ports[k] == w->ports[i])
				return fail_with(err, -EINVAL,
					"recording '%s' names port '%s' twice", recording->name,
					name);
		}
		if (infos[i].linktype != infos[0].linktype)
			return fail_with(err, -EINVAL,
				"recording '%s': port '%s' has link type %d, port '%s' has %d: "
				"one file holds one link type, make it two recordings",
				recording->name, infos[0].name, infos[0].linktype, name,
				infos[i].linktype);
		if (strcmp(infos[i].clock, "tsc") != 0)
			w->grace_ns = RUNS_GRACE_NS;
		w->port_count++;
	}
	return 0;
}

static int take_stripes(
	const struct recording_settings *recording, struct run_work *w, struct errbuf *err)
{
	int r;

	if (recording->stripe_count == 0 || recording->stripe_count > RUN_STRIPES_MAX)
		return fail_with(err, -EINVAL,
			"recording '%s' has %u stripes, it must have 1 to %d", recording->name,
			recording->stripe_count, RUN_STRIPES_MAX);
	w->stripes = calloc(recording->stripe_count, sizeof(struct stripe *));
	if (w->stripes == NULL)
		return fail_with(err, -ENOMEM, "no memory for recording '%s'", recording->name);
	for (unsigned int i = 0; i < recording->stripe_count; i++) {
		r = stripe_open(recording->stripes[i], &w->stripes[i], err);
		if (r < 0)
			return r;
		w->stripe_count++;
	}
	return 0;
}

static int make_rings(
	struct runs *rs, struct run_work *w, const struct port_info infos[], struct errbuf *err)
{
	unsigned int total = 0;

	for (unsigned int i = 0; i < w->port_count; i++)
		total += infos[i].queues;
	w->rings = calloc(total, sizeof(struct packet_ring *));
	w->writer_of_ring = calloc(total, sizeof(*w->writer_of_ring));
	if (w->rings == NULL || w->writer_of_ring == NULL)
		return fail_with(err, -ENOMEM, "no memory for %u rings", total);
	for (unsigned int i = 0; i < w->port_count; i++) {
		w->rules[i].rings = &w->rings[w->ring_count];
		for (unsigned int q = 0; q < infos[i].queues; q++) {
			struct packet_ring *ring = port_ring_new(w->ports[i], q, i);

			if (ring == NULL)
				return fail_with(err, -ENOMEM,
					"no memory for the ring of port '%s', queue %u",
					infos[i].name, q);
			w->writer_of_ring[w->ring_count] =
				(q + rs->made) % rs->options.writer_count;
			w->rings[w->ring_count++] = ring;
		}
	}
	return 0;
}

static bool id_taken(const struct runs *rs, const char *id)
{
	for (unsigned int i = 0; i < rs->active_count; i++) {
		if (strcmp(rs->active[i]->id, id) == 0)
			return true;
	}
	for (unsigned int i = 0; i < rs->ended_count; i++) {
		if (strcmp(rs->ended[i]->id, id) == 0)
			return true;
	}
	return false;
}

/* RECORDING-YYYYMMDDTHHMMSS.mmmZ; a taken one moves on by a millisecond. */
static void name_run(const struct runs *rs, struct recording_run *r)
{
	uint64_t ms = r->start_ns / 1000000;
	char text[32];
	struct tm tm;
	time_t s;

	do {
		s = (time_t)(ms / 1000);
		(void)gmtime_r(&s, &tm);
		(void)strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
		(void)snprintf(r->id, sizeof(r->id), "%s-%s.%03uZ", r->recording, text,
			(unsigned int)(ms % 1000));
		ms++;
	} while (id_taken(rs, r->id));
}

/* The rings of w, writer by writer, and run_start() with them. */
static int start_shares(
	const struct runs *rs, struct run_work *w, const struct run_options *o, struct errbuf *err)
{
	unsigned int count = 0, used = 0, writers = rs->options.writer_count;
	struct run_share *shares = calloc(writers, sizeof(*shares));
	struct packet_ring **rings = calloc(w->ring_count, sizeof(struct packet_ring *));
	int r;

	if (shares == NULL || rings == NULL) {
		r = fail_with(err, -ENOMEM, "no memory for run '%s'", o->id);
		goto free_arrays;
	}
	for (unsigned int k = 0; k < writers; k++) {
		struct run_share *share = &shares[count];

		share->writer = rs->options.writers[k];
		share->rings = &rings[used];
		for (unsigned int i = 0; i < w->ring_count; i++) {
			if (w->writer_of_ring[i] != k)
				continue;
			rings[used++] = w->rings[i];
			share->ring_count++;
		}
		count += share->ring_count > 0;
	}
	r = run_start(o, shares, count, &w->run, err);
free_arrays:
	free(shares);
	free(rings);
	return r;
}

/* What the files of a run say of it. */
struct description {
	struct run_options options;
	struct run_interface interfaces[RUN_INTERFACES_MAX];
	char names[RUN_INTERFACES_MAX][PORT_NAME_MAX];
	char descriptions[RUN_INTERFACES_MAX][384];
	char comment[1024];
};

/* from_ns: of a choice that comes while the run goes on; 0: it began with it. */
static const char *comment_on(struct description *d, const struct choice *c, uint64_t from_ns)
{
	char from[UNITS_TEXT], generation[64] = "";

	if (c->text[0] == '\0' && c->generation <= 1)
		return NULL;
	if (c->generation > 0) /* else it is made up, and cannot change */
		(void)snprintf(generation, sizeof(generation), " generation %u%s%s", c->generation,
			from_ns != 0 ? " from " : "",
			from_ns != 0 ? utc_format(from_ns, from) : "");
	(void)snprintf(d->comment, sizeof(d->comment), "filter%s: %s", generation,
		c->text[0] != '\0' ? c->text : "all packets");
	return d->comment;
}

static void describe(const struct recording_run *r, const struct choice *c, uint64_t from_ns,
	struct description *d)
{
	const struct run_work *w = r->work;
	struct port_info info = {.linktype = 0};

	for (unsigned int i = 0; i < w->port_count; i++) {
		port_get_info(w->ports[i], &info);
		(void)snprintf(d->names[i], sizeof(d->names[i]), "%s", info.name);
		(void)snprintf(d->descriptions[i], sizeof(d->descriptions[i]),
			"%s, driver %s, clock %s", info.device, info.driver, info.clock);
		d->interfaces[i] = (struct run_interface){
			.name = d->names[i],
			.description = d->descriptions[i],
			.filter = c->settings.filter,
			.speed_bps = info.link_bps,
			.has_mac = info.has_mac,
		};
		memcpy(d->interfaces[i].mac, info.mac, sizeof(info.mac));
	}
	d->options = (struct run_options){
		.id = r->id,
		.linktype = info.linktype,
		.interfaces = d->interfaces,
		.interface_count = w->port_count,
		.stripes = w->stripes,
		.stripe_count = w->stripe_count,
		.comment = comment_on(d, c, from_ns),
		.start_ns = r->start_ns,
	};
}

int run_redescribe_as(
	const struct recording_run *r, const struct choice *c, uint64_t from_ns, struct errbuf *err)
{
	struct description d;

	describe(r, c, from_ns, &d);
	return run_redescribe(r->work->run, &d.options, from_ns, err);
}

static int start_writing(const struct runs *rs, const struct recording_settings *recording,
	struct recording_run *r, struct errbuf *err)
{
	struct description d;

	describe(r, r->work->choice, 0, &d);
	d.options.rotate_bytes = recording->rotate_bytes;
	d.options.rotate_ns = recording->rotate_ns;
	d.options.rotate_on_clock = recording->rotate_on_clock;
	d.options.flush_ns = recording->flush_ns;
	d.options.limit_bytes = recording->limit_bytes;
	d.options.limit_pkts = recording->limit_pkts;
	return start_shares(rs, r->work, &d.options, err);
}

static struct recording_run *run_blank(const struct recording_settings *recording)
{
	struct recording_run *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	(void)snprintf(r->recording, sizeof(r->recording), "%s", recording->name);
	r->work = calloc(1, sizeof(*r->work));
	if (r->work == NULL)
		goto free_run;
	if (recording->fingerprint != NULL) {
		r->work->fingerprint = strdup(recording->fingerprint);
		if (r->work->fingerprint == NULL)
			goto free_run;
	}
	return r;
free_run:
	recording_run_free(r);
	return NULL;
}

static uint64_t end_within(uint64_t start_ns, uint64_t end_ns, uint64_t most_ns)
{
	return most_ns > 0 && most_ns < end_ns - start_ns ? start_ns + most_ns : end_ns;
}

/* What the run is to keep: made for it alone, or ready before. */
static int take_choice(const struct runs *rs, const struct recording_settings *recording,
	bool made_up, const struct port_info *info, struct run_work *w, struct errbuf *err)
{
	struct choice_state state;

	if (made_up)
		return choice_make(recording, info->linktype, info->socket_id, &w->choice, err);
	w->choice = choices_get(rs->options.choices, recording->name, info->linktype);
	if (w->choice != NULL)
		return 0;
	if (choices_state(rs->options.choices, recording->name, &state) && state.error != NULL)
		return fail_with(err, -EINVAL, "%s", state.error);
	return fail_with(
		err, -EBUSY, "the filter of recording '%s' is still being made", recording->name);
}

/* Of a choice whose tables are not to be had, the one before it is taken. */
static int take_tables(const struct runs *rs, const struct recording_settings *recording,
	struct run_work *w, struct errbuf *err)
{
	int e = tables_new(w, w->choice, &w->tables, err), linktype = w->choice->linktype;

	if (e == 0 || w->made_up ||
		!choices_refuse(rs->options.choices, recording->name, w->choice->generation, err))
		return e;
	log_error("recording '%s': %s; the filter before goes on", recording->name, err->text);
	choice_release(w->choice);
	w->choice = choices_get(rs->options.choices, recording->name, linktype);
	return w->choice != NULL ? tables_new(w, w->choice, &w->tables, err) : e;
}

/* All that a run needs, up to its writers. On failure work_free() undoes it. */
static int equip(struct runs *rs, const struct recording_settings *recording,
	struct recording_run *r, const struct run_span *span, struct errbuf *err)
{
	struct port_info infos[RUN_INTERFACES_MAX];
	struct run_work *w = r->work;
	uint64_t now_ns;
	int e;

	w->made_up = span->made_up;
	e = take_ports(rs, recording, w, infos, err);
	if (e == 0)
		e = take_choice(rs, recording, span->made_up, &infos[0], w, err);
	if (e == 0)
		e = take_tables(rs, recording, w, err);
	if (e == 0)
		r->engine = filter_engine(w->choice->filter);
	if (e == 0)
		e = take_stripes(recording, w, err);
	if (e == 0)
		e = make_rings(rs, w, infos, err);
	if (e < 0)
		return e;
	for (unsigned int i = 0; i < w->port_count; i++) {
		w->rules[i].port = w->ports[i];
		w->rules[i].now = (struct rx_choice){.filter = w->choice->filter,
			.tables = w->tables[i],
			.cut = w->choice->settings.cut};
		w->rules[i].switch_ns = UINT64_MAX;
	}

	/* Stripes and filters took their time: what begins now begins here. */
	now_ns = capture_now_ns();
	r->start_ns = span->start_ns > now_ns ? span->start_ns : now_ns;
	if (span->end_ns <= r->start_ns)
		return fail_with(
			err, -ETIME, "recording '%s' would end before it begins", recording->name);
	r->end_ns = end_within(r->start_ns, span->end_ns, span->most_ns);
	r->end_ns = end_within(r->start_ns, r->end_ns, recording->limit_ns);
	r->state = r->start_ns > now_ns ? RUN_ARMED : RUN_LIVE;
	name_run(rs, r);
	return start_writing(rs, recording, r, err);
}

int runs_begin(struct runs *rs, const struct recording_settings *recording,
	const struct run_span *span, struct recording_run **ret, struct errbuf *err)
{
	struct recording_run *r = run_blank(recording);
	char start_text[UNITS_TEXT];
	int e;

	/* Its place first: once its writers have started it cannot be dropped. */
	if (r == NULL || runs_list_reserve(&rs->active, rs->active_count) < 0) {
		recording_run_free(r);
		return fail_with(err, -ENOMEM, "no memory for a run of '%s'", recording->name);
	}
	r->cause = span->cause;
	e = equip(rs, recording, r, span, err);
	if (e < 0) {
		recording_run_free(r);
		return e;
	}
	rs->active[rs->active_count++] = r;
	e = runs_publish(rs, err);
	if (e < 0) {
		/* The writers have the rings already; runs_tick() frees them a moment from now. */
		r->work->discarded = true;
		r->state = RUN_FINISHING;
		run_finish(r->work->run);
		return e;
	}
	rs->made++;
	r->work->choice->works = true;
	if (r->state == RUN_ARMED)
		log_info("run %s: begins at %s", r->id, utc_format(r->start_ns, start_text));
	else
		log_info("run %s: begins", r->id);
	*ret = r;
	return 0;
}
