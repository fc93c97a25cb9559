#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "report.h"
#include "wirespool/clock.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

enum {
	SCHEDULE_DEFAULT = 10,
	SCHEDULE_MAX = 10000,
	OPEN_AT_ONCE_MAX = 64,
	RULES_AT_ONCE_MAX = 1000, /* built at once on control's thread: some 0.1 s */
	/* Of ports that no settings file speaks of; what the device does not allow is clamped. */
	RECORD_DESCRIPTORS = 4096,
	RECORD_FRAME_BYTES = 9216,
};

/* An error of a function that was called with what the request said: is the request to blame? */
static json_t *answer_failure(int error, const struct errbuf *err)
{
	bool usage = error == -EINVAL || error == -ENOENT || error == -ERANGE ||
		     error == -ENOTDIR || error == -ENODEV;

	return socket_error(usage, "%s", err->text);
}

/* NULL when no key is there that the command does not know. */
static json_t *unknown_key(const json_t *request, const char *const known[])
{
	const char *key;
	json_t *value;
	unsigned int i;

	json_object_foreach((json_t *)request, key, value)
	{
		for (i = 0; known[i] != NULL && strcmp(known[i], key) != 0; i++)
			;
		if (known[i] == NULL)
			return socket_error(true, "unknown key '%s'", key);
	}
	return NULL;
}

/* 0 when the key is not there. */
static int get_duration(
	const json_t *request, const char *key, uint64_t *ret_ns, struct errbuf *err)
{
	const json_t *value = json_object_get(request, key);
	struct errbuf why;

	*ret_ns = 0;
	if (value == NULL)
		return 0;
	if (!json_is_string(value))
		return fail_with(err, -EINVAL, "'%s' is a time as text, \"10s\"", key);
	if (duration_parse(json_string_value(value), ret_ns, &why) < 0)
		return fail_with(err, -EINVAL, "'%s': %s", key, why.text);
	if (*ret_ns == 0)
		return fail_with(err, -EINVAL, "'%s' must be more than 0", key);
	return 0;
}

static json_t *cmd_status(struct daemon *d, const json_t *request)
{
	json_t *wrong = unknown_key(request, (const char *const[]){"cmd", NULL});

	if (wrong != NULL)
		return wrong;
	if (d->runs != NULL)
		runs_tick(d->runs); /* the counts of now, as those of the ports are */
	return report_status(d);
}

static json_t *answer_run(const char *id)
{
	return json_pack("{s:b,s:s}", "ok", 1, "run", id);
}

static json_t *trigger_configured(struct daemon *d, const json_t *request)
{
	static const char *const known[] = {"cmd", "recording", "for", NULL};
	const char *name = json_string_value(json_object_get(request, "recording"));
	const struct recording_settings *recording;
	json_t *wrong = unknown_key(request, known);
	struct errbuf err;
	uint64_t for_ns;
	const char *id;
	int r;

	if (wrong != NULL)
		return wrong;
	if (name == NULL)
		return socket_error(true, "'recording' is the name of a recording, as text");
	recording = settings_find_recording(d->settings, name);
	if (recording == NULL)
		return socket_error(true, "no recording is called '%s'", name);
	r = get_duration(request, "for", &for_ns, &err);
	if (r == 0)
		r = runs_trigger(d->runs, recording, for_ns, false, &id, &err);
	return r < 0 ? answer_failure(r, &err) : answer_run(id);
}

static bool holds_others_up(const struct recording_settings *r)
{
	return (r->filter != NULL && strlen(r->filter) > FILTER_LONG) ||
	       (r->rule_set != NULL && r->rule_set->count > RULES_AT_ONCE_MAX);
}

/*
 * Begins a recording that the request describes; keys of the command itself are taken out
 * before.
 */
static int trigger_made_up(
	struct daemon *d, const json_t *description, const char **ret_id, struct errbuf *err)
{
	static const char *const none[] = {NULL};
	struct recording_settings recording;
	uint64_t for_ns;
	int r;

	r = get_duration(description, "for", &for_ns, err);
	if (r == 0)
		r = recording_from_json(description, none, &recording, err);
	if (r < 0)
		return r;
	if (holds_others_up(&recording)) {
		recording_done(&recording);
		return fail_with(err, -EINVAL,
			"a filter of more than %d bytes or %d rules takes too long to make while "
			"others record: it can be that of a recording in the settings",
			FILTER_LONG, RULES_AT_ONCE_MAX);
	}
	r = runs_trigger(d->runs, &recording, for_ns, true, ret_id, err);
	recording_done(&recording);
	return r;
}

static json_t *cmd_trigger(struct daemon *d, const json_t *request)
{
	struct errbuf err;
	json_t *description;
	const char *id;
	int r;

	if (d->private)
		return socket_error(true, "a private daemon knows 'record', not 'trigger'");
	if (json_object_get(request, "recording") != NULL)
		return trigger_configured(d, request);
	description = json_copy((json_t *)request);
	(void)json_object_del(description, "cmd");
	r = trigger_made_up(d, description, &id, &err);
	json_decref(description);
	return r < 0 ? answer_failure(r, &err) : answer_run(id);
}

static void add_id(const struct recording_run *r, void *arg)
{
	(void)json_array_append_new(arg, json_string(r->id));
}

static json_t *cmd_stop(struct daemon *d, const json_t *request)
{
	static const char *const known[] = {"cmd", "what", NULL};
	const char *what = json_string_value(json_object_get(request, "what"));
	json_t *wrong = unknown_key(request, known), *ids;

	if (wrong != NULL)
		return wrong;
	if (what == NULL)
		return socket_error(true, "'what' is a run or a recording, as text");
	ids = json_array();
	if (d->runs == NULL || runs_stop(d->runs, what, add_id, ids) == 0) {
		json_decref(ids);
		return socket_error(true,
			"no run is live that is called '%s', or is of a recording '%s'", what,
			what);
	}
	return json_pack("{s:b,s:o}", "ok", 1, "runs", ids);
}

struct opening {
	const struct recording_settings *recording;
	const struct window *window;
	struct occurrence when;
};

struct openings {
	struct opening *items;
	unsigned int count;
	unsigned int most; /* the earliest so many are kept */
};

/*
 * Puts an opening in its place by start; the last falls out when there are too many. False: it
 * came too late.
 */
static bool keep_opening(struct openings *o, const struct opening *item)
{
	unsigned int i = o->count;

	while (i > 0 && o->items[i - 1].when.start_ns > item->when.start_ns)
		i--;
	if (i == o->most)
		return false;
	if (o->count == o->most)
		o->count--;
	memmove(&o->items[i + 1], &o->items[i], (o->count - i) * sizeof(*item));
	o->items[i] = *item;
	o->count++;
	return true;
}

static void keep_window(struct openings *o, const struct recording_settings *recording,
	const struct window *window, uint64_t now_ns)
{
	struct occurrence open[OPEN_AT_ONCE_MAX];
	struct opening item = {.recording = recording, .window = window};
	uint64_t after_ns = now_ns + 1;
	unsigned int n;

	n = window_open_at(window, now_ns, open, OPEN_AT_ONCE_MAX);
	for (unsigned int i = 0; i < n; i++) {
		item.when = open[i];
		(void)keep_opening(o, &item);
	}
	for (unsigned int i = 0; i < o->most; i++) {
		if (window_next(window, after_ns, &item.when) < 0 || !keep_opening(o, &item))
			return;
		after_ns = item.when.start_ns + 1;
	}
}

static json_t *describe_opening(const struct daemon *d, const struct opening *o)
{
	char start_local[64], end_local[64];

	window_local_time(o->window, o->when.start_ns, start_local, sizeof(start_local));
	window_local_time(o->window, o->when.end_ns, end_local, sizeof(end_local));
	return json_pack("{s:s,s:o,s:o,s:s,s:s,s:s,s:b}", "recording", o->recording->name, "start",
		report_time(o->when.start_ns), "end", report_time(o->when.end_ns), "start_local",
		start_local, "end_local", end_local, "timezone", window_timezone(o->window), "live",
		d->runs != NULL && runs_live_in(d->runs, o->recording->name, &o->when));
}

static json_t *cmd_schedule(struct daemon *d, const json_t *request)
{
	static const char *const known[] = {"cmd", "next", NULL};
	json_t *wrong = unknown_key(request, known), *windows;
	const json_t *next = json_object_get(request, "next");
	json_int_t most = next != NULL ? json_integer_value(next) : SCHEDULE_DEFAULT;
	struct openings o = {0};

	if (wrong != NULL)
		return wrong;
	if (most < 1 || most > SCHEDULE_MAX)
		return socket_error(true, "'next' is a whole number, 1 to %d", SCHEDULE_MAX);
	o.most = (unsigned int)most;
	o.items = calloc(o.most + 1, sizeof(*o.items));
	if (o.items == NULL)
		return socket_error(false, "no memory for %u windows", o.most);
	for (unsigned int i = 0; i < d->settings->recording_count; i++) {
		const struct recording_settings *r = &d->settings->recordings[i];

		for (unsigned int k = 0; r->when == WHEN_WINDOWS && k < r->window_count; k++)
			keep_window(&o, r, r->windows[k], clock_wall_ns());
	}
	windows = json_array();
	for (unsigned int i = 0; i < o.count; i++)
		(void)json_array_append_new(windows, describe_opening(d, &o.items[i]));
	free(o.items);
	return json_pack("{s:b,s:o}", "ok", 1, "windows", windows);
}

static json_t *cmd_reload(struct daemon *d, const json_t *request)
{
	json_t *wrong = unknown_key(request, (const char *const[]){"cmd", NULL});
	json_t *applied, *needs_restart, *answer, *texts;
	struct faults faults = {0};
	int r;

	if (wrong != NULL)
		return wrong;
	if (d->private)
		return socket_error(true, "a private daemon has no settings to reload");
	applied = json_array();
	needs_restart = json_array();
	r = daemon_reload(d, applied, needs_restart, &faults);
	if (r == 0) {
		answer = json_pack("{s:b,s:o,s:o}", "ok", 1, "applied", applied, "needs_restart",
			needs_restart);
	} else {
		json_decref(applied);
		json_decref(needs_restart);
		answer = socket_error(true, "the settings were not changed: %s",
			faults.count > 0 ? faults.texts[0] : strerror(-r));
		texts = json_array();
		for (unsigned int i = 0; i < faults.count; i++)
			(void)json_array_append_new(texts, json_string(faults.texts[i]));
		(void)json_object_set_new(answer, "faults", texts);
	}
	faults_free(&faults);
	return answer;
}

/* The recording as it was wanted last, changed as the request says. */
static int change_recording(
	struct daemon *d, const char *name, const json_t *request, struct errbuf *err)
{
	static const char *const known[] = {"cmd", "recording", NULL};
	struct recording_settings changed;
	struct choice_state state;
	struct port_info info;
	int r;

	if (!choices_state(d->choices, name, &state))
		return fail_with(err, -ENOENT, "no port of recording '%s' is open", name);
	if (recording_copy(state.settings, &changed) < 0)
		return fail_with(err, -ENOMEM, "no memory for recording '%s'", name);
	r = recording_change(request, known, &changed, err);
	if (r == 0 && runs_find_port(d->runs, changed.ports[0], &info) == NULL)
		r = fail_with(err, -ENOENT, "port '%s' is not open", changed.ports[0]);
	if (r == 0)
		r = choices_want(d->choices, &changed, info.linktype, info.socket_id, err);
	recording_done(&changed);
	return r;
}

static json_t *cmd_set(struct daemon *d, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "recording"));
	const struct recording_run *run;
	struct choice_state state;
	struct errbuf err;
	json_t *ids;
	int r;

	if (name == NULL)
		return socket_error(true, "'recording' is the name of a recording, as text");
	if (d->private || settings_find_recording(d->settings, name) == NULL)
		return socket_error(true, "no recording is called '%s'", name);
	r = change_recording(d, name, request, &err);
	if (r < 0)
		return answer_failure(r, &err);
	runs_tick(d->runs);
	(void)choices_state(d->choices, name, &state);
	if (state.error != NULL) /* no live run could take to it */
		return socket_error(false, "%s; the filter before goes on", state.error);
	ids = json_array();
	for (unsigned int i = 0; (run = runs_active(d->runs, i)) != NULL; i++)
		if (run_is_of(run, name))
			add_id(run, ids);
	return json_pack("{s:b,s:s,s:I,s:o,s:o,s:b}", "ok", 1, "recording", name, "generation",
		(json_int_t)(state.choice != NULL ? state.choice->generation : 0), "since",
		state.choice != NULL && state.choice->since_ns != 0
			? report_time(state.choice->since_ns)
			: json_null(),
		"runs", ids, "pending",
		state.pending ||
			(state.choice != NULL && runs_take_later(d->runs, name, state.choice)));
}

static json_t *cmd_stripes(struct daemon *d, const json_t *request)
{
	json_t *wrong = unknown_key(request, (const char *const[]){"cmd", NULL});

	return wrong != NULL ? wrong
			     : json_pack("{s:b,s:o}", "ok", 1, "stripes", report_stripe_paths(d));
}

static json_t *cmd_summary(struct daemon *d, const json_t *request)
{
	json_t *wrong = unknown_key(request, (const char *const[]){"cmd", NULL});

	if (wrong != NULL)
		return wrong;
	/* Before anything was recorded nothing is done. */
	if (d->runs == NULL || !runs_all_ended(d->runs) || runs_ended(d->runs, 0) == NULL)
		return json_pack("{s:b,s:b}", "ok", 1, "done", 0);
	return json_pack("{s:b,s:b,s:o}", "ok", 1, "done", 1, "summary", report_summary(d));
}

static json_t *cmd_abandon(struct daemon *d, const json_t *request)
{
	json_t *wrong = unknown_key(request, (const char *const[]){"cmd", NULL});

	if (wrong != NULL)
		return wrong;
	daemon_abandon(d);
	return json_pack("{s:b}", "ok", 1);
}

/*
 * "pcap:/a/b.pcap,loop" -> "pcap0"; "eth0" and PCI addresses as they are. The ports before say
 * which number is next.
 */
static char *port_name(const struct settings *s, const char *device)
{
	static const char *const numbered[] = {"gen", "pcap", "vdev"};
	unsigned int same = 0;
	char *name = NULL;
	size_t length;

	if (strncmp(device, "af_xdp:", 7) == 0)
		return asprintf(&name, "xdp-%.*s", PORT_NAME_MAX - 5, device + 7) < 0 ? NULL : name;
	for (size_t i = 0; i < sizeof(numbered) / sizeof(numbered[0]); i++) {
		length = strlen(numbered[i]);
		if (strncmp(device, numbered[i], length) != 0 || device[length] != ':')
			continue;
		for (unsigned int k = 0; k < s->port_count; k++)
			same += strncmp(s->ports[k].device, device, length + 1) == 0;
		return asprintf(&name, "%s%u", numbered[i], same) < 0 ? NULL : name;
	}
	return strndup(device, PORT_NAME_MAX - 1);
}

static int add_port(struct settings *s, const char *device, struct errbuf *err)
{
	struct port_settings *p = &s->ports[s->port_count];
	int r;

	r = device_check(device, err);
	if (r < 0)
		return r;
	for (unsigned int i = 0; i < s->port_count; i++) {
		/* A generator or a file can be there twice; a device cannot. */
		if (strcmp(s->ports[i].device, device) == 0 && strncmp(device, "gen:", 4) != 0 &&
			strncmp(device, "pcap:", 5) != 0)
			return fail_with(err, -EINVAL, "device '%s' is named twice", device);
	}
	*p = (struct port_settings){
		.name = port_name(s, device),
		.device = strdup(device),
		.descriptors = RECORD_DESCRIPTORS,
		.frame_bytes = RECORD_FRAME_BYTES,
		.promiscuous = true,
		.prefilter = PREFILTER_STACK,
	};
	s->port_count++; /* from here on settings_free() frees its texts */
	if (p->name == NULL || p->device == NULL)
		return fail_with(err, -ENOMEM, "no memory for device '%s'", device);
	return 0;
}

/* CPUs go to the ports in turn, so that each has its share. */
static int share_cpus(struct settings *s, const json_t *cpus, struct errbuf *err)
{
	struct port_settings *p;
	const json_t *cpu;
	size_t i;

	if (cpus == NULL)
		return 0;
	if (!json_is_array(cpus) || json_array_size(cpus) < s->port_count)
		return fail_with(err, -EINVAL,
			"'cpus' is a list of CPU numbers, one for each device at least (%u)",
			s->port_count);
	json_array_foreach(cpus, i, cpu)
	{
		if (!json_is_integer(cpu) || json_integer_value(cpu) < 0 ||
			json_integer_value(cpu) >= CPU_SETSIZE)
			return fail_with(err, -EINVAL, "'cpus': a CPU is a number, 0 to %d",
				CPU_SETSIZE - 1);
		p = &s->ports[i % s->port_count];
		if (p->cpu_count == PORT_LCORES_MAX)
			return fail_with(
				err, -EINVAL, "'cpus': %d for one device at most", PORT_LCORES_MAX);
		p->cpus[p->cpu_count++] = (int)json_integer_value(cpu);
	}
	return 0;
}

/* Settings as if a file had named these devices. */
static int settings_of_devices(const json_t *request, struct settings **ret, struct errbuf *err)
{
	const json_t *devices = json_object_get(request, "devices"), *device;
	struct settings *s;
	int r = 0;
	size_t i;

	if (!json_is_array(devices) || json_array_size(devices) == 0 ||
		json_array_size(devices) > SETTINGS_LIST_MAX)
		return fail_with(err, -EINVAL, "'devices' is a list of 1 to %d devices, as texts",
			SETTINGS_LIST_MAX);
	s = settings_new();
	if (s == NULL)
		return fail_with(err, -ENOMEM, "no memory for settings");
	s->ports = calloc(json_array_size(devices), sizeof(*s->ports));
	if (s->ports == NULL)
		r = fail_with(err, -ENOMEM, "no memory for %zu devices", json_array_size(devices));
	json_array_foreach(devices, i, device)
	{
		if (r < 0)
			break;
		if (json_is_string(device))
			r = add_port(s, json_string_value(device), err);
		else
			r = fail_with(err, -EINVAL, "'devices': a device is a text");
	}
	if (r == 0)
		r = share_cpus(s, json_object_get(request, "cpus"), err);
	if (r < 0)
		settings_free(s);
	else
		*ret = s;
	return r;
}

/* What is to be recorded, as in a trigger, with the ports that devices became. */
static json_t *description_of(const json_t *request, const struct settings *s)
{
	json_t *description = json_copy((json_t *)request), *ports = json_array();

	(void)json_object_del(description, "cmd");
	(void)json_object_del(description, "devices");
	(void)json_object_del(description, "cpus");
	for (unsigned int i = 0; i < s->port_count; i++)
		(void)json_array_append_new(ports, json_string(s->ports[i].name));
	(void)json_object_set_new(description, "ports", ports);
	return description;
}

/* The one recording of a private daemon: all that can be wrong with it shows before a device is touched. */
static int take_description(
	const json_t *description, struct settings *s, uint64_t *ret_for_ns, struct errbuf *err)
{
	static const char *const none[] = {NULL};
	int r;

	s->recordings = calloc(1, sizeof(*s->recordings));
	if (s->recordings == NULL)
		return fail_with(err, -ENOMEM, "no memory for a recording");
	r = get_duration(description, "for", ret_for_ns, err);
	if (r == 0)
		r = recording_from_json(description, none, &s->recordings[0], err);
	if (r == 0)
		s->recording_count = 1;
	return r;
}

static json_t *cmd_record(struct daemon *d, const json_t *request)
{
	struct settings *s = NULL;
	struct errbuf err;
	json_t *description;
	uint64_t for_ns;
	const char *id;
	int r;

	if (!d->private)
		return socket_error(
			true, "'record' is for private daemons; this one knows 'trigger'");
	if (d->machine != NULL)
		return socket_error(true, "a private daemon records once");
	r = settings_of_devices(request, &s, &err);
	if (r < 0)
		return answer_failure(r, &err);
	description = description_of(request, s);
	r = take_description(description, s, &for_ns, &err);
	json_decref(description);
	if (r == 0)
		r = daemon_equip(d, s, &err);
	if (r < 0)
		settings_free(s);
	else
		r = runs_trigger(d->runs, &s->recordings[0], for_ns, true, &id, &err);
	return r < 0 ? answer_failure(r, &err) : answer_run(id);
}

static const struct {
	const char *cmd;
	json_t *(*function)(struct daemon *d, const json_t *request);
} commands[] = {
	{"status", cmd_status},
	{"trigger", cmd_trigger},
	{"stop", cmd_stop},
	{"set", cmd_set},
	{"schedule", cmd_schedule},
	{"reload", cmd_reload},
	{"stripes", cmd_stripes},
	{"record", cmd_record},
	{"summary", cmd_summary},
	{"abandon", cmd_abandon},
};

json_t *commands_answer(const json_t *request, void *arg)
{
	const char *cmd = json_string_value(json_object_get(request, "cmd"));

	if (cmd == NULL)
		return socket_error(true, "a request needs a \"cmd\", as text");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(commands[i].cmd, cmd) == 0)
			return commands[i].function(arg, request);
	}
	return socket_error(true, "unknown command '%s'", cmd);
}
