#include "runs_private.h"

#include <stdlib.h>
#include <string.h>

#include "recovery.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

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

static void log_left(const struct recording_run *r, const struct run_file *f)
{
	log_warn("run %s: %s was left as it is; the next start, or 'wirespool recover', seals it",
		r->id, f->path);
}

/* A file that its disk gave up on may have most of its chunks all the same. */
static void ask_for_recoveries(struct runs *rs, struct recording_run *r)
{
	struct run_work *w = r->work;

	for (unsigned int i = 0; i < r->files_kept; i++) {
		if (r->files[i].sealed)
			continue;
		/* A disk that nobody waits for any more would only be waited for here. */
		if (w->abandoned || recovery_ask(rs->recovery, r, r->files[i].path) < 0)
			log_left(r, &r->files[i]);
		else
			w->recoveries++;
	}
}

static void forget_file(struct recording_run *r, struct run_file *f)
{
	unsigned int after = r->files_kept - (unsigned int)(f - r->files) - 1;

	free(f->path);
	memmove(f, f + 1, after * sizeof(*f));
	r->files_kept--;
	r->files_count--;
}

static void note_recovered(
	struct recording_run *r, struct run_file *f, const struct recovered *done)
{
	const struct recover_report *report = &done->report;
	char *copy;

	if (done->error < 0) {
		log_error("run %s: %s is not sealed: %s", r->id, f->path, done->why.text);
		return;
	}
	if (report->removed) {
		log_warn("run %s: %s had no packet in it and was removed", r->id, f->path);
		forget_file(r, f);
		return;
	}
	log_warn("run %s: %s recovered: %llu packets kept, %llu missing", r->id,
		report->sealed_path, (unsigned long long)report->pkts,
		(unsigned long long)report->missing_pkts);
	f->sealed = true;
	copy = strdup(report->sealed_path);
	if (copy == NULL)
		return;
	free(f->path);
	f->path = copy;
}

/* Whose file it is; NULL: nobody's any more. */
static struct recording_run *find_owner(const struct runs *rs, const struct recovered *done)
{
	for (unsigned int i = 0; i < rs->active_count; i++) {
		if (rs->active[i] == done->owner)
			return rs->active[i];
	}
	return NULL;
}

static void take_recovered(struct runs *rs)
{
	struct recording_run *r;
	struct recovered done;

	while (recovery_take(rs->recovery, &done)) {
		r = find_owner(rs, &done);
		if (r == NULL)
			continue;
		r->work->recoveries--;
		for (unsigned int i = 0; i < r->files_kept; i++) {
			if (strcmp(r->files[i].path, done.path) == 0) {
				note_recovered(r, &r->files[i], &done);
				break;
			}
		}
	}
}

void runs_abandon_one(struct runs *rs, struct recording_run *r)
{
	struct run_work *w = r->work;

	w->abandoned = true;
	if (w->run != NULL) {
		run_abandon(w->run);
		return;
	}
	/* Its writers are done, only files come late. */
	recovery_forget(rs->recovery, r);
	w->recoveries = 0;
	for (unsigned int i = 0; i < r->files_kept; i++) {
		if (!r->files[i].sealed)
			log_left(r, &r->files[i]);
	}
}

static void log_end(const struct recording_run *r)
{
	const struct run_ledger *l = &r->ledger;
	char bytes[UNITS_TEXT], lasted[UNITS_TEXT];
	uint64_t lost = run_ledger_lost(l);

	log_line(lost > 0 ? LOG_WARN : LOG_INFO,
		"run %s: ended after %s: %llu packets received, %llu written (%s in %llu files), "
		"%llu filtered, %llu behind a cutoff, %llu outside its time, %llu lost (ring %llu, "
		"memory %llu, disk "
		"%llu)",
		r->id, duration_format(r->end_ns - r->start_ns, lasted),
		(unsigned long long)l->received_pkts, (unsigned long long)l->written_pkts,
		size_format(l->written_bytes, bytes), (unsigned long long)r->files_count,
		(unsigned long long)l->filtered_pkts, (unsigned long long)l->cutoff_pkts,
		(unsigned long long)l->outside_window_pkts, (unsigned long long)lost,
		(unsigned long long)l->lost_ring_pkts, (unsigned long long)l->lost_memory_pkts,
		(unsigned long long)l->lost_disk_pkts);
}

static void forget(struct runs *rs, struct recording_run *r)
{
	rs->forgotten++;
	recording_run_free(r);
}

/* Tables that a run parted with when its filter changed are not in it. */
static void count_tables(struct recording_run *r)
{
	struct filter_counts c;

	r->counts = (struct filter_counts){0};
	for (unsigned int i = 0; r->work->tables != NULL && i < r->work->port_count; i++) {
		if (r->work->tables[i] == NULL)
			continue;
		filter_tables_count(r->work->tables[i], &c);
		r->counts.beyond_pkts += c.beyond_pkts;
		r->counts.table_full_pkts += c.table_full_pkts;
		r->counts.first_unknown_pkts += c.first_unknown_pkts;
	}
}

/* The last file is sealed or given up: takes what the writers know, and lets go of them. */
static void part_with_writers(struct runs *rs, struct recording_run *r)
{
	r->queued_bytes = 0;
	run_get_ledger(r->work->run, &r->ledger);
	count_tables(r);
	if (run_ledger_lost(&r->ledger) > 0)
		rs->lost_any = true;
	r->files_count = run_files(r->work->run, keep_file, r);
	/* Before its files are recovered: a run that comes next opens a sick stripe anew. */
	run_work_release(r->work);
	ask_for_recoveries(rs, r);
}

/* The run at index has nothing more to wait for. */
static void end_run(struct runs *rs, unsigned int index)
{
	struct recording_run *r = rs->active[index];
	bool discarded = r->work->discarded;

	runs_list_remove(rs->active, &rs->active_count, index);
	run_work_free(r->work);
	r->work = NULL;
	r->state = RUN_ENDED;
	if (discarded) {
		recording_run_free(r);
		return;
	}
	log_end(r);
	if (runs_list_reserve(&rs->ended, rs->ended_count) < 0) {
		log_error("run %s: no memory to remember it", r->id);
		forget(rs, r);
		return;
	}
	rs->ended[rs->ended_count++] = r;
	if (rs->options.ended_kept > 0 && rs->ended_count > rs->options.ended_kept) {
		r = rs->ended[0];
		runs_list_remove(rs->ended, &rs->ended_count, 0);
		forget(rs, r);
	}
}

static void take_counts(struct recording_run *r)
{
	run_get_ledger(r->work->run, &r->ledger);
	count_tables(r);
	r->queued_bytes = run_queued_bytes(r->work->run);
	r->files_count = run_files(r->work->run, NULL, NULL);
	log_loss(r);
}

void runs_collect(struct runs *rs)
{
	struct recording_run *r;

	take_recovered(rs);
	for (unsigned int i = 0; i < rs->active_count;) {
		r = rs->active[i];
		if (r->state == RUN_FINISHING && r->work->run != NULL && run_ended(r->work->run))
			part_with_writers(rs, r);
		if (r->work->run != NULL) {
			take_counts(r);
		} else if (r->work->recoveries == 0) {
			end_run(rs, i);
			continue;
		}
		i++;
	}
}
