#include "runs.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wirespool/archive.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum {
	OPEN_AT_ONCE_MAX = 16, /* occurrences of one window that overlap */
	RETRY_SECONDS = 1,
	LOOK_SECONDS = 60, /* a schedule is computed again at least so often: clocks jump */
};

/* What a run holds until its files are sealed. */
struct run_work {
	struct run *run; /* the writers' side of it; NULL before run_start() */
	struct filter *filter;
	struct cut cut;
	char *filter_text;
	char *fingerprint;            /* of the recording that it was made of */
	struct occurrence occurrence; /* of the window */
	bool made_up;
	bool leaving; /* to be out of the next plan */
	bool abandoned;
	bool discarded; /* failed while it was made: nobody hears of it */
	uint64_t grace_ns;
	uint64_t lost_logged_pkts;
	struct stripe **stripes;
	unsigned int stripe_count;
	struct port **ports;
	struct rx_rule *rules; /* one per port; their rings lie in rings */
	unsigned int port_count;
	struct packet_ring **rings;
	unsigned int *writer_of_ring;
	unsigned int ring_count;
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

struct runs {
	struct runs_options options;
	struct recording_run **active;
	unsigned int active_count;
	struct recording_run **ended;
	unsigned int ended_count;
	uint64_t forgotten;
	unsigned int made; /* spreads the rings of one-queue ports over the writers */
	struct watch *watches;
	unsigned int watch_count;
	bool plan_stale;
	bool closing;
	bool lost_any;
};

const char *run_state_name(enum run_state state)
{
	static const char *const names[] = {"armed", "live", "finishing", "ended"};

	return names[state];
}

int runs_new(const struct runs_options *options, struct runs **ret_runs, struct errbuf *err)
{
	struct runs *rs;

	assert(options->writer_count > 0);
	rs = calloc(1, sizeof(*rs));
	if (rs == NULL)
		return fail_with(err, -ENOMEM, "no memory for the list of runs");
	rs->options = *options;
	*ret_runs = rs;
	return 0;
}

/* Makes room for one more pointer at the end of a list. */
static int list_reserve(struct recording_run ***list, unsigned int count)
{
	struct recording_run **grown = realloc(*list, (count + 1) * sizeof(**list));

	if (grown == NULL)
		return -ENOMEM;
	*list = grown;
	return 0;
}

static void list_remove(struct recording_run **list, unsigned int *count, unsigned int index)
{
	(*count)--;
	memmove(&list[index], &list[index + 1], (*count - index) * sizeof(*list));
}

/* Gives back what a run held. It must be out of the plan, and its writers done with it. */
static void work_free(struct run_work *w)
{
	if (w == NULL)
		return;
	if (w->run != NULL)
		run_free(w->run);
	for (unsigned int i = 0; i < w->ring_count; i++)
		packet_ring_free(w->rings[i]);
	for (unsigned int i = 0; i < w->stripe_count; i++)
		stripe_close(w->stripes[i]);
	if (w->filter != NULL)
		filter_free(w->filter);
	free(w->filter_text);
	free(w->fingerprint);
	free(w->stripes);
	free(w->ports);
	free(w->rules);
	free(w->rings);
	free(w->writer_of_ring);
	free(w);
}

static void recording_run_free(struct recording_run *r)
{
	if (r == NULL)
		return;
	work_free(r->work);
	for (unsigned int i = 0; i < r->files_kept; i++)
		free(r->files[i].path);
	free(r->files);
	free(r);
}

static void watches_free(struct watch *watches, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		free(watches[i].fingerprint);
		free(watches[i].opened);
	}
	free(watches);
}

void runs_free(struct runs *rs)
{
	if (rs == NULL)
		return;
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

/* ---- making a run ---- */

static struct port *find_port(const struct runs *rs, const char *name, struct port_info *ret_info)
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
		w->ports[i] = find_port(rs, name, &infos[i]);
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

static int start_writing(const struct runs *rs, const struct recording_settings *recording,
	struct recording_run *r, const struct port_info infos[], struct errbuf *err)
{
	struct run_interface interfaces[RUN_INTERFACES_MAX] = {0};
	char descriptions[RUN_INTERFACES_MAX][384];
	struct run_work *w = r->work;
	struct run_options o = {
		.id = r->id,
		.linktype = infos[0].linktype,
		.interfaces = interfaces,
		.interface_count = w->port_count,
		.stripes = w->stripes,
		.stripe_count = w->stripe_count,
		.start_ns = r->start_ns,
		.rotate_bytes = recording->rotate_bytes,
		.rotate_ns = recording->rotate_ns,
		.rotate_on_clock = recording->rotate_on_clock,
		.flush_ns = recording->flush_ns,
		.limit_bytes = recording->limit_bytes,
		.limit_pkts = recording->limit_pkts,
	};

	for (unsigned int i = 0; i < w->port_count; i++) {
		(void)snprintf(descriptions[i], sizeof(descriptions[i]), "%s, driver %s, clock %s",
			infos[i].device, infos[i].driver, infos[i].clock);
		interfaces[i] = (struct run_interface){
			.name = infos[i].name,
			.description = descriptions[i],
			.filter = w->filter_text,
			.speed_bps = infos[i].link_bps,
			.has_mac = infos[i].has_mac,
		};
		memcpy(interfaces[i].mac, infos[i].mac, sizeof(interfaces[i].mac));
	}
	return start_shares(rs, w, &o, err);
}

/* The plan of all runs that are armed or live and not leaving. */
static int publish(struct runs *rs, struct errbuf *err)
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
	r = rx_plan_publish(rules, count, err);
	free(rules);
	return r;
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
	r->work->cut = recording->cut;
	if (recording->filter != NULL) {
		r->work->filter_text = strdup(recording->filter);
		if (r->work->filter_text == NULL)
			goto free_run;
	}
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

/* What is asked of a new run. */
struct span {
	enum run_cause cause;
	uint64_t start_ns; /* 0, or any time that has passed: now */
	uint64_t end_ns;
	uint64_t most_ns; /* at most so long; 0: no limit */
};

static uint64_t end_within(uint64_t start_ns, uint64_t end_ns, uint64_t most_ns)
{
	return most_ns > 0 && most_ns < end_ns - start_ns ? start_ns + most_ns : end_ns;
}

/* All that a run needs, up to its writers. On failure work_free() undoes it. */
static int equip(struct runs *rs, const struct recording_settings *recording,
	struct recording_run *r, const struct span *span, struct errbuf *err)
{
	struct port_info infos[RUN_INTERFACES_MAX];
	struct run_work *w = r->work;
	uint64_t now_ns;
	int e;

	e = take_ports(rs, recording, w, infos, err);
	if (e == 0)
		e = filter_compile(recording->filter, infos[0].linktype, &w->filter, err);
	if (e == 0)
		e = take_stripes(recording, w, err);
	if (e == 0)
		e = make_rings(rs, w, infos, err);
	if (e < 0)
		return e;
	for (unsigned int i = 0; i < w->port_count; i++) {
		w->rules[i].port = w->ports[i];
		w->rules[i].filter = w->filter;
		w->rules[i].cut = w->cut;
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
	return start_writing(rs, recording, r, infos, err);
}

/*
 * Makes a run and puts it into the plan. On failure there is no trace of it, but for writers that
 * were started and end by themselves.
 */
static int begin(struct runs *rs, const struct recording_settings *recording,
	const struct span *span, struct recording_run **ret, struct errbuf *err)
{
	struct recording_run *r = run_blank(recording);
	char start_text[UNITS_TEXT];
	int e;

	/* Its place first: once its writers have started it cannot be dropped. */
	if (r == NULL || list_reserve(&rs->active, rs->active_count) < 0) {
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
	e = publish(rs, err);
	if (e < 0) {
		/* The writers have the rings already; runs_tick() frees them a moment from now. */
		r->work->discarded = true;
		r->state = RUN_FINISHING;
		run_finish(r->work->run);
		return e;
	}
	rs->made++;
	if (r->state == RUN_ARMED)
		log_info("run %s: begins at %s", r->id, utc_format(r->start_ns, start_text));
	else
		log_info("run %s: begins", r->id);
	*ret = r;
	return 0;
}

int runs_trigger(struct runs *rs, const struct recording_settings *recording, uint64_t for_ns,
	bool made_up, const char **ret_id, struct errbuf *err)
{
	const struct span span = {.cause = RUN_BY_TRIGGER, .end_ns = RUN_NO_END, .most_ns = for_ns};
	struct recording_run *r;
	int e;

	if (rs->closing)
		return fail_with(err, -ESHUTDOWN, "the daemon is stopping");
	e = begin(rs, recording, &span, &r, err);
	if (e < 0)
		return e;
	r->work->made_up = made_up;
	*ret_id = r->id;
	return 0;
}

/* ---- from live to ended ---- */

static void log_loss(struct recording_run *r)
{
	uint64_t lost = run_ledger_lost(&r->ledger);

	/* Each doubling, so that a long loss fills no log. */
	if (lost <= r->work->lost_logged_pkts * 2)
		return;
	r->work->lost_logged_pkts = lost;
	log_warn("run %s: loses packets: %llu so far (ring %llu, memory %llu, disk %llu)", r->id,
		(unsigned long long)lost, (unsigned long long)r->ledger.lost_ring_pkts,
		(unsigned long long)r->ledger.lost_memory_pkts,
		(unsigned long long)r->ledger.lost_disk_pkts);
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

/* Sets the end of a run to now, if it is not over anyway. */
static void end_now(struct runs *rs, struct recording_run *r, uint64_t now_ns)
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
		end_now(rs, r, now_ns);
		w->leaving = true;
	} else if (r->end_ns != RUN_NO_END && now_ns >= r->end_ns + w->grace_ns) {
		w->leaving = true;
		rs->plan_stale = true;
	} else if (r->end_ns <= r->start_ns) {
		w->leaving = true; /* stopped before it began */
	}
}

/* Publishes what changed, and lets writers finish what is out of the plan. */
static void settle(struct runs *rs)
{
	uint64_t now_ns = capture_now_ns();
	struct errbuf err;

	for (unsigned int i = 0; i < rs->active_count; i++) {
		if (rs->active[i]->state <= RUN_LIVE)
			judge(rs, rs->active[i], now_ns);
	}
	if (!rs->plan_stale)
		return;
	if (publish(rs, &err) < 0) {
		log_error("%s; trying again", err.text); /* the old plan goes on meanwhile */
		return;
	}
	rs->plan_stale = false;
	for (unsigned int i = 0; i < rs->active_count; i++) {
		struct recording_run *r = rs->active[i];

		if (r->state > RUN_LIVE || !r->work->leaving)
			continue;
		r->state = RUN_FINISHING;
		run_finish(r->work->run);
	}
}

static void keep_file(const char *path, bool sealed, void *arg)
{
	struct recording_run *r = arg;
	struct run_file *grown;
	char *copy = strdup(path);

	grown = realloc(r->files, (r->files_kept + 1) * sizeof(*grown));
	if (grown != NULL)
		r->files = grown;
	if (grown == NULL || copy == NULL) {
		log_error("run %s: no memory to remember the file %s", r->id, path);
		free(copy);
		return;
	}
	r->files[r->files_kept++] = (struct run_file){.path = copy, .sealed = sealed};
}

/* A file that its disk gave up on may have most of its chunks all the same. */
static void recover_file(struct recording_run *r, struct run_file *f)
{
	struct recover_report report;
	struct errbuf err;
	char *copy;

	if (archive_recover(f->path, &report, &err) < 0) {
		log_error("run %s: %s is not sealed: %s", r->id, f->path, err.text);
		return;
	}
	if (report.removed) {
		log_warn("run %s: %s had no packet in it and was removed", r->id, f->path);
		return;
	}
	log_warn("run %s: %s recovered: %llu packets kept, %llu missing", r->id, report.sealed_path,
		(unsigned long long)report.pkts, (unsigned long long)report.missing_pkts);
	copy = strdup(report.sealed_path);
	if (copy == NULL)
		return;
	free(f->path);
	f->path = copy;
	f->sealed = true;
}

static void recover_files(struct recording_run *r, bool abandoned)
{
	for (unsigned int i = 0; i < r->files_kept; i++) {
		if (r->files[i].sealed)
			continue;
		/* A disk that nobody waits for any more would only be waited for here. */
		if (abandoned)
			log_warn("run %s: %s was left as it is; the next start, or 'wirespool "
				 "recover', seals it",
				r->id, r->files[i].path);
		else
			recover_file(r, &r->files[i]);
	}
}

static void log_end(const struct recording_run *r)
{
	const struct run_ledger *l = &r->ledger;
	char bytes[UNITS_TEXT], lasted[UNITS_TEXT];
	uint64_t lost = run_ledger_lost(l);

	log_line(lost > 0 ? LOG_WARN : LOG_INFO,
		"run %s: ended after %s: %llu packets received, %llu written (%s in %llu files), "
		"%llu filtered, %llu outside its time, %llu lost (ring %llu, memory %llu, disk "
		"%llu)",
		r->id, duration_format(r->end_ns - r->start_ns, lasted),
		(unsigned long long)l->received_pkts, (unsigned long long)l->written_pkts,
		size_format(l->written_bytes, bytes), (unsigned long long)r->files_count,
		(unsigned long long)l->filtered_pkts, (unsigned long long)l->outside_window_pkts,
		(unsigned long long)lost, (unsigned long long)l->lost_ring_pkts,
		(unsigned long long)l->lost_memory_pkts, (unsigned long long)l->lost_disk_pkts);
}

static void forget(struct runs *rs, struct recording_run *r)
{
	rs->forgotten++;
	recording_run_free(r);
}

/* The run at index sealed its last file. */
static void end_run(struct runs *rs, unsigned int index)
{
	struct recording_run *r = rs->active[index];
	bool abandoned = r->work->abandoned, discarded = r->work->discarded;

	list_remove(rs->active, &rs->active_count, index);
	r->queued_bytes = 0;
	run_get_ledger(r->work->run, &r->ledger);
	if (run_ledger_lost(&r->ledger) > 0)
		rs->lost_any = true;
	r->files_count = run_files(r->work->run, keep_file, r);
	work_free(r->work);
	r->work = NULL;
	r->state = RUN_ENDED;
	recover_files(r, abandoned);
	if (discarded) {
		recording_run_free(r);
		return;
	}
	log_end(r);
	if (list_reserve(&rs->ended, rs->ended_count) < 0) {
		log_error("run %s: no memory to remember it", r->id);
		forget(rs, r);
		return;
	}
	rs->ended[rs->ended_count++] = r;
	if (rs->options.ended_kept > 0 && rs->ended_count > rs->options.ended_kept) {
		r = rs->ended[0];
		list_remove(rs->ended, &rs->ended_count, 0);
		forget(rs, r);
	}
}

static void count_file(const char *path, bool sealed, void *arg)
{
	(void)path, (void)sealed, (void)arg;
}

static void look_at_runs(struct runs *rs)
{
	struct recording_run *r;

	for (unsigned int i = 0; i < rs->active_count;) {
		r = rs->active[i];
		if (r->state == RUN_FINISHING && run_ended(r->work->run)) {
			end_run(rs, i);
			continue;
		}
		run_get_ledger(r->work->run, &r->ledger);
		r->queued_bytes = run_queued_bytes(r->work->run);
		r->files_count = run_files(r->work->run, count_file, NULL);
		log_loss(r);
		i++;
	}
}

/* ---- what opens by itself ---- */

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
	const struct span span = {
		.cause = w->recording->when == WHEN_ALWAYS ? RUN_BY_ALWAYS : RUN_BY_WINDOW,
		.start_ns = o->start_ns > w->not_before_ns ? o->start_ns : w->not_before_ns,
		.end_ns = o->end_ns,
	};
	struct recording_run *r;
	struct errbuf err;

	if (opened_already(w, o) || o->end_ns <= w->not_before_ns)
		return true;
	/* Remembered first: what cannot be remembered would be opened again and again. */
	if (remember(w, o, capture_now_ns()) < 0)
		return false;
	if (begin(rs, w->recording, &span, &r, &err) == 0) {
		r->work->occurrence = *o;
		w->failure[0] = '\0';
		return true;
	}
	w->opened_count--;
	if (strcmp(w->failure, err.text) != 0)
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

static void look_at_schedule(struct runs *rs)
{
	uint64_t now_ns = capture_now_ns();
	struct watch *w;

	for (unsigned int i = 0; i < rs->watch_count; i++) {
		w = &rs->watches[i];
		if (now_ns >= w->due_ns || now_ns < w->looked_ns)
			look_at_watch(rs, w, now_ns);
	}
}

void runs_tick(struct runs *rs)
{
	if (!rs->closing)
		look_at_schedule(rs);
	settle(rs);
	look_at_runs(rs);
}

/* ---- new settings ---- */

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
	const struct span span = {.cause = RUN_BY_TRIGGER, .start_ns = start_ns, .end_ns = end_ns};
	struct recording_run *r;
	struct errbuf err;

	if (end_ns <= start_ns)
		return;
	if (begin(rs, recording, &span, &r, &err) < 0)
		log_error(
			"run %s ended by the reload and was not begun anew: %s", old->id, err.text);
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
	for (unsigned int i = 0; i < active_count; i++) {
		r = rs->active[i];
		if (r->state > RUN_LIVE || r->work->made_up)
			continue;
		recording = find_recording(s, r->recording);
		if (recording == NULL) {
			log_info("run %s: its recording is gone from the settings", r->id);
			end_now(rs, r, now_ns);
			continue;
		}
		if (strcmp(r->work->fingerprint, recording->fingerprint) == 0)
			continue;
		log_info("run %s: its recording changed", r->id);
		end_ns = r->end_ns;
		end_now(rs, r, handover_ns);
		if (r->cause == RUN_BY_TRIGGER)
			renew(rs, recording, r, handover_ns, end_ns);
	}
	runs_tick(rs);
	return 0;
}

/* ---- from outside ---- */

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
		end_now(rs, r, now_ns);
		n++;
		if (each != NULL)
			each(r, arg);
	}
	settle(rs);
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
		r->work->abandoned = true;
		run_abandon(r->work->run);
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
