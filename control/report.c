#include "report.h"

#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "wirespool/clock.h"
#include "wirespool/units.h"

static void put(json_t *object, const char *key, uint64_t n)
{
	/* A JSON integer has 63 bits here. */
	(void)json_object_set_new(
		object, key, json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n));
}

static void put_text(json_t *object, const char *key, const char *text)
{
	json_t *value = json_string(text);

	/* The name of a file may be any bytes but JSON is UTF-8. */
	(void)json_object_set_new(object, key, value != NULL ? value : json_string("(not UTF-8)"));
}

static void add_text(json_t *array, const char *text)
{
	json_t *value = json_string(text);

	(void)json_array_append_new(array, value != NULL ? value : json_string("(not UTF-8)"));
}

json_t *report_time(uint64_t time_ns)
{
	char text[UNITS_TEXT];

	return time_ns == RUN_NO_END ? json_null() : json_string(utc_format(time_ns, text));
}

static void put_port_ledger(json_t *o, const struct port *p)
{
	struct port_ledger l;

	port_get_ledger(p, &l);
	put(o, "offered_pkts", l.offered_pkts);
	put(o, "received_pkts", l.received_pkts);
	put(o, "nic_missed_pkts", l.nic_missed_pkts);
	put(o, "nic_no_mbuf_pkts", l.nic_no_mbuf_pkts);
	put(o, "nic_error_pkts", l.nic_error_pkts);
	if (l.prefilter_redirected_pkts + l.prefilter_passed_pkts + l.prefilter_dropped_pkts == 0)
		return;
	put(o, "prefilter_redirected_pkts", l.prefilter_redirected_pkts);
	put(o, "prefilter_passed_pkts", l.prefilter_passed_pkts);
	put(o, "prefilter_dropped_pkts", l.prefilter_dropped_pkts);
}

static json_t *port_warnings(const struct port_info *info)
{
	json_t *texts = json_array();

	for (unsigned int i = 0; i < PORT_WARNINGS_MAX && info->warnings[i] != NULL; i++)
		add_text(texts, info->warnings[i]);
	return texts;
}

static uint64_t longest_gap_ns(const struct port *p)
{
	struct port_info info;
	struct port_lcore l;
	uint64_t longest_ns = 0;

	port_get_info(p, &info);
	for (unsigned int q = 0; q < info.queues; q++) {
		port_get_lcore(p, q, &l);
		longest_ns = l.longest_gap_ns > longest_ns ? l.longest_gap_ns : longest_ns;
	}
	return longest_ns;
}

static void add_lcores(json_t *lcores, const struct port *p)
{
	struct port_info info;
	struct port_lcore l;

	port_get_info(p, &info);
	for (unsigned int q = 0; q < info.queues; q++) {
		json_t *o = json_object();

		port_get_lcore(p, q, &l);
		put_text(o, "port", info.name);
		put(o, "queue", q);
		(void)json_object_set_new(o, "cpu", json_integer(l.cpu));
		put(o, "pkts", l.pkts);
		put(o, "busy_ns", l.busy_ns);
		(void)json_array_append_new(lcores, o);
	}
}

static json_t *report_lcores(const struct daemon *d)
{
	json_t *lcores = json_array();

	for (unsigned int i = 0; d->machine != NULL && i < d->machine->port_count; i++)
		add_lcores(lcores, d->machine->ports[i]);
	return lcores;
}

static json_t *prefilter_rule(const char *text, uint64_t pkts)
{
	json_t *o = json_pack("{s:s}", "rule", text);

	if (pkts != PREFILTER_NOT_COUNTED)
		put(o, "pkts", pkts);
	return o;
}

/* What the device of a port leaves out, and what it goes by. Nothing where it takes all. */
static void put_prefilter(json_t *o, const struct daemon *d, struct port *p)
{
	const struct rules *rules = prefilters_rules(d->prefilters, p);
	struct port_prefilter counts;
	json_t *list;

	if (rules == NULL || port_get_prefilter(p, &counts) < 0)
		return;
	list = json_array();
	for (unsigned int i = 0; i < rules->count && i < counts.rule_count; i++)
		(void)json_array_append_new(
			list, prefilter_rule(rules->list[i].text, counts.rule_pkts[i]));
	(void)json_object_set_new(o, "prefilter_rules", list);
}

static json_t *status_port(const struct daemon *d, struct port *p)
{
	struct port_info info;
	json_t *o = json_object();

	port_get_info(p, &info);
	put_text(o, "name", info.name);
	put_text(o, "device", info.device);
	put_text(o, "driver", info.driver);
	put_text(o, "clock", info.clock);
	(void)json_object_set_new(o, "link_up", json_boolean(info.link_up));
	put(o, "link_bps", info.link_bps);
	put(o, "queues", info.queues);
	put(o, "descriptors", info.descriptors);
	(void)json_object_set_new(o, "patient", json_boolean(info.patient));
	(void)json_object_set_new(o, "ended", json_boolean(info.ended));
	put_port_ledger(o, p);
	put_prefilter(o, d, p);
	put(o, "longest_gap_ns", longest_gap_ns(p));
	(void)json_object_set_new(o, "warnings", port_warnings(&info));
	return o;
}

static void put_files(json_t *o, const struct recording_run *r)
{
	json_t *files = json_array();

	for (unsigned int i = 0; i < r->files_kept; i++)
		add_text(files, r->files[i].path);
	(void)json_object_set_new(o, "files", files);
}

/* What happened in tables; nothing where there are none. */
static void put_counts(json_t *o, const struct filter_counts *c)
{
	if (c->beyond_pkts > 0)
		put(o, "cutoff_beyond_pkts", c->beyond_pkts);
	if (c->table_full_pkts > 0)
		put(o, "cutoff_table_full_pkts", c->table_full_pkts);
	if (c->first_unknown_pkts > 0)
		put(o, "fragments_first_unknown_pkts", c->first_unknown_pkts);
}

json_t *report_run(const struct recording_run *r, bool with_files)
{
	const struct run_ledger *l = &r->ledger;
	json_t *o = json_object();

	put_text(o, "id", r->id);
	put_text(o, "recording", r->recording);
	put_text(o, "state", run_state_name(r->state));
	(void)json_object_set_new(o, "start", report_time(r->start_ns));
	(void)json_object_set_new(o, "end", report_time(r->end_ns));
	put(o, "received_pkts", l->received_pkts);
	put(o, "outside_window_pkts", l->outside_window_pkts);
	put(o, "filtered_pkts", l->filtered_pkts);
	put(o, "cutoff_pkts", l->cutoff_pkts);
	put(o, "written_pkts", l->written_pkts);
	put(o, "written_bytes", l->written_bytes);
	put(o, "wire_bytes", l->wire_bytes);
	put(o, "lost_ring_pkts", l->lost_ring_pkts);
	put(o, "lost_memory_pkts", l->lost_memory_pkts);
	put(o, "lost_disk_pkts", l->lost_disk_pkts);
	put_counts(o, &r->counts);
	if (!with_files || run_ledger_in_ram(l) > 0)
		put(o, "in_ram_pkts", run_ledger_in_ram(l));
	if (!with_files)
		put(o, "queued_bytes", r->queued_bytes);
	put(o, "files_count", r->files_count);
	if (with_files)
		put_files(o, r);
	return o;
}

/* "tsc" or "kernel", or both where ports differ. */
static const char *clock_name(const struct daemon *d)
{
	bool tsc = false, kernel = false;
	struct port_info info;

	for (unsigned int i = 0; d->machine != NULL && i < d->machine->port_count; i++) {
		port_get_info(d->machine->ports[i], &info);
		if (strcmp(info.clock, "kernel") == 0)
			kernel = true;
		else
			tsc = true;
	}
	return tsc && kernel ? "tsc, kernel" : kernel ? "kernel" : "tsc";
}

static void add_engine_warning(json_t *texts, const struct recording_run *r)
{
	if (strcmp(r->engine, "interpreter") == 0)
		(void)json_array_append_new(texts,
			json_sprintf(
				"run %s: its expression is interpreted, which is slow: there is "
				"no native code for it",
				r->id));
}

/* What a user would not expect of a recording's filter. */
static void add_filter_warnings(json_t *texts, const struct daemon *d)
{
	const struct recording_run *r;
	struct choice_state state;

	for (unsigned int i = 0; i < d->settings->recording_count; i++) {
		const char *name = d->settings->recordings[i].name;

		if (d->choices == NULL || !choices_state(d->choices, name, &state))
			continue;
		if (state.error != NULL)
			(void)json_array_append_new(
				texts, json_sprintf("recording '%s': %s", name, state.error));
	}
	for (unsigned int i = 0; d->prefilters != NULL && i < d->machine->port_count; i++) {
		const char *warning = prefilters_warning(d->prefilters, d->machine->ports[i]);

		if (warning != NULL)
			(void)json_array_append_new(texts, json_string(warning));
	}
	for (unsigned int i = 0; d->runs != NULL && (r = runs_active(d->runs, i)) != NULL; i++)
		add_engine_warning(texts, r);
	for (unsigned int i = 0; d->runs != NULL && (r = runs_ended(d->runs, i)) != NULL; i++)
		add_engine_warning(texts, r);
}

json_t *report_warnings(const struct daemon *d, bool with_ports)
{
	json_t *texts = json_array();
	struct port_info info;
	char text[UNITS_TEXT * 2], shift[UNITS_TEXT];
	const char *warning;
	int64_t shift_ns = clock_shift_ns();

	if (shift_ns != 0) {
		(void)snprintf(text, sizeof(text),
			"the clock is shifted by %s%s (WIRESPOOL_FAKE_TIME)",
			shift_ns < 0 ? "-" : "+",
			duration_format((uint64_t)(shift_ns < 0 ? -shift_ns : shift_ns), shift));
		add_text(texts, text);
	}
	if (d->machine == NULL)
		return texts;
	add_filter_warnings(texts, d);
	for (unsigned int i = 0; (warning = capture_warning(i)) != NULL; i++)
		add_text(texts, warning);
	for (unsigned int i = 0; with_ports && i < d->machine->port_count; i++) {
		port_get_info(d->machine->ports[i], &info);
		for (unsigned int k = 0; k < PORT_WARNINGS_MAX && info.warnings[k] != NULL; k++)
			(void)json_array_append_new(
				texts, json_sprintf("%s: %s", info.name, info.warnings[k]));
	}
	for (unsigned int i = 0; i < d->machine->writer_count; i++) {
		for (unsigned int k = 0;
			(warning = writer_warning(d->machine->writers[i], k)) != NULL; k++)
			(void)json_array_append_new(
				texts, json_sprintf("writer %u: %s", i, warning));
	}
	return texts;
}

static void add_once(json_t *paths, const char *path)
{
	json_t *other;
	size_t i;

	json_array_foreach(paths, i, other)
	{
		if (strcmp(json_string_value(other), path) == 0)
			return;
	}
	add_text(paths, path);
}

static void add_held_path(const struct stripe_info *info, void *arg)
{
	add_once(arg, info->path);
}

json_t *report_stripe_paths(const struct daemon *d)
{
	json_t *paths = json_array();

	for (unsigned int i = 0; i < d->settings->recording_count; i++) {
		const struct recording_settings *r = &d->settings->recordings[i];

		for (unsigned int k = 0; k < r->stripe_count; k++)
			add_once(paths, r->stripes[k]);
	}
	if (d->runs != NULL)
		runs_stripes(d->runs, add_held_path, paths);
	return paths;
}

static void add_held(const struct stripe_info *info, void *arg)
{
	json_t *o = json_object();

	put_text(o, "path", info->path);
	put(o, "queued_bytes", info->queued_bytes);
	put(o, "written_bytes", info->written_bytes);
	if (info->free_bytes == UINT64_MAX)
		(void)json_object_set_new(o, "free_bytes", json_null());
	else
		put(o, "free_bytes", info->free_bytes);
	(void)json_object_set_new(o, "direct", json_boolean(info->direct));
	(void)json_object_set_new(
		o, "error", info->error == 0 ? json_null() : json_string(strerror(-info->error)));
	(void)json_array_append_new(arg, o);
}

/* Stripes that runs hold are reported by their keepers, the others by their file system alone. */
static json_t *status_stripes(const struct daemon *d)
{
	json_t *paths = report_stripe_paths(d), *stripes = json_array(), *path, *held;
	struct stripe_info info;
	struct statvfs fs;
	size_t i, k;
	bool found;

	if (d->runs != NULL)
		runs_stripes(d->runs, add_held, stripes);
	json_array_foreach(paths, i, path)
	{
		found = false;
		json_array_foreach(stripes, k, held) found |=
			json_equal(json_object_get(held, "path"), path);
		if (found)
			continue;
		info = (struct stripe_info){
			.path = json_string_value(path), .free_bytes = UINT64_MAX};
		if (!stripe_is_null(info.path)) {
			if (statvfs(info.path, &fs) == 0)
				info.free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
			else
				info.error = -errno;
		}
		add_held(&info, stripes);
	}
	json_decref(paths);
	return stripes;
}

static json_t *report_writers(const struct daemon *d)
{
	json_t *writers = json_array(), *o;
	struct writer_info info;

	for (unsigned int i = 0; d->machine != NULL && i < d->machine->writer_count; i++) {
		writer_get_info(d->machine->writers[i], &info);
		o = json_object();
		(void)json_object_set_new(o, "cpu", json_integer(info.cpu));
		put(o, "pkts", info.pkts);
		put(o, "busy_ns", info.busy_ns);
		put(o, "chunks", info.chunks);
		put(o, "chunks_free", info.chunks_free);
		(void)json_object_set_new(o, "huge_pages", json_boolean(info.huge_pages));
		(void)json_object_set_new(o, "registered", json_boolean(info.registered));
		(void)json_array_append_new(writers, o);
	}
	return writers;
}

static json_t *texts_of(char *const texts[], unsigned int count)
{
	json_t *array = json_array();

	for (unsigned int i = 0; i < count; i++)
		add_text(array, texts[i]);
	return array;
}

static bool recording_live(const struct daemon *d, const char *name)
{
	const struct recording_run *r;

	for (unsigned int i = 0; d->runs != NULL && (r = runs_active(d->runs, i)) != NULL; i++) {
		if (r->state == RUN_LIVE && run_is_of(r, name))
			return true;
	}
	return false;
}

static json_t *status_filter(const struct daemon *d, const char *recording)
{
	struct choice_state state;
	bool later = false;
	json_t *o;

	if (d->choices == NULL || !choices_state(d->choices, recording, &state))
		return json_null();
	if (state.choice != NULL)
		later = runs_take_later(d->runs, recording, state.choice);
	o = json_object();
	put(o, "generation", state.choice != NULL ? state.choice->generation : 0);
	put_text(o, "text", state.choice != NULL ? state.choice->text : "");
	put_text(o, "engine", state.choice != NULL ? filter_engine(state.choice->filter) : "none");
	(void)json_object_set_new(o, "since",
		state.choice != NULL && state.choice->since_ns != 0
			? report_time(state.choice->since_ns)
			: json_null());
	(void)json_object_set_new(o, "pending", json_boolean(state.pending || later));
	(void)json_object_set_new(
		o, "error", state.error != NULL ? json_string(state.error) : json_null());
	return o;
}

static json_t *status_recordings(const struct daemon *d)
{
	static const char *const when[] = {
		[WHEN_TRIGGER] = "trigger", [WHEN_ALWAYS] = "always", [WHEN_WINDOWS] = "windows"};
	json_t *recordings = json_array(), *o;

	for (unsigned int i = 0; i < d->settings->recording_count; i++) {
		const struct recording_settings *r = &d->settings->recordings[i];

		o = json_object();
		put_text(o, "name", r->name);
		put_text(o, "when", when[r->when]);
		(void)json_object_set_new(o, "ports", texts_of(r->ports, r->port_count));
		(void)json_object_set_new(o, "stripes", texts_of(r->stripes, r->stripe_count));
		(void)json_object_set_new(o, "live", json_boolean(recording_live(d, r->name)));
		(void)json_object_set_new(o, "filter", status_filter(d, r->name));
		(void)json_array_append_new(recordings, o);
	}
	return recordings;
}

json_t *report_status(const struct daemon *d)
{
	json_t *o = json_object(), *ports = json_array(), *active = json_array(),
	       *ended = json_array();
	const struct recording_run *r;

	for (unsigned int i = 0; d->machine != NULL && i < d->machine->port_count; i++)
		(void)json_array_append_new(ports, status_port(d, d->machine->ports[i]));
	for (unsigned int i = 0; d->runs != NULL && (r = runs_active(d->runs, i)) != NULL; i++)
		(void)json_array_append_new(active, report_run(r, false));
	for (unsigned int i = 0; d->runs != NULL && (r = runs_ended(d->runs, i)) != NULL; i++)
		(void)json_array_append_new(ended, report_run(r, false));
	(void)json_object_set_new(o, "ok", json_true());
	put_text(o, "version", WIRESPOOL_VERSION);
	put(o, "pid", (uint64_t)getpid());
	(void)json_object_set_new(o, "uptime_s",
		json_real((double)(clock_monotonic_ns() - d->begun_ns) / (double)NS_PER_SEC));
	(void)json_object_set_new(o, "now", report_time(clock_wall_ns()));
	put_text(o, "clock", clock_name(d));
	(void)json_object_set_new(o, "ports", ports);
	(void)json_object_set_new(o, "runs", active);
	(void)json_object_set_new(o, "ended", ended);
	(void)json_object_set_new(o, "recordings", status_recordings(d));
	(void)json_object_set_new(o, "stripes", status_stripes(d));
	(void)json_object_set_new(o, "lcores", report_lcores(d));
	(void)json_object_set_new(o, "writers", report_writers(d));
	(void)json_object_set_new(o, "warnings", report_warnings(d, false));
	return o;
}

/* From the first start to the last end. */
static double duration_s(const struct daemon *d)
{
	uint64_t first_ns = UINT64_MAX, last_ns = 0;
	const struct recording_run *r;

	for (unsigned int i = 0; (r = runs_ended(d->runs, i)) != NULL; i++) {
		first_ns = r->start_ns < first_ns ? r->start_ns : first_ns;
		last_ns = r->end_ns > last_ns ? r->end_ns : last_ns;
	}
	return last_ns > first_ns ? (double)(last_ns - first_ns) / (double)NS_PER_SEC : 0;
}

json_t *report_summary(const struct daemon *d)
{
	json_t *o = json_object(), *ports = json_array(), *runs = json_array(), *port;
	const struct recording_run *r;
	struct port_info info;

	for (unsigned int i = 0; d->machine != NULL && i < d->machine->port_count; i++) {
		port_get_info(d->machine->ports[i], &info);
		port = json_object();
		put_text(port, "name", info.name);
		put_text(port, "device", info.device);
		put_port_ledger(port, d->machine->ports[i]);
		put(port, "longest_gap_ns", longest_gap_ns(d->machine->ports[i]));
		(void)json_array_append_new(ports, port);
	}
	for (unsigned int i = 0; d->runs != NULL && (r = runs_ended(d->runs, i)) != NULL; i++)
		(void)json_array_append_new(runs, report_run(r, true));
	/* Disks that were not waited for any more may leave some behind. */
	for (unsigned int i = 0; d->runs != NULL && (r = runs_active(d->runs, i)) != NULL; i++)
		(void)json_array_append_new(runs, report_run(r, true));
	(void)json_object_set_new(o, "duration_s", json_real(d->runs != NULL ? duration_s(d) : 0));
	put_text(o, "clock", clock_name(d));
	(void)json_object_set_new(o, "ports", ports);
	(void)json_object_set_new(o, "runs", runs);
	(void)json_object_set_new(o, "lcores", report_lcores(d));
	(void)json_object_set_new(o, "writers", report_writers(d));
	if (d->runs != NULL && runs_forgotten(d->runs) > 0)
		put(o, "runs_forgotten", runs_forgotten(d->runs));
	(void)json_object_set_new(o, "warnings", report_warnings(d, true));
	return o;
}
