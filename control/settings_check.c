#include "settings_check.h"

#include <grp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "zone.h"

enum { PATH_TEXT = 160, CPUS_MAX = 4096 };

/* The line of a value ("ports.[0].device"), else that of the group it should be in. */
static unsigned int line_at(const config_setting_t *root, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static unsigned int line_at(const config_setting_t *root, const char *format, ...)
{
	char path[PATH_TEXT], *dot;
	const config_setting_t *c;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	while ((c = config_setting_lookup((config_setting_t *)root, path)) == NULL &&
		(dot = strrchr(path, '.')) != NULL)
		*dot = '\0';
	return c != NULL ? config_setting_source_line(c) : 0;
}

/* CPUs */

/* As the process was started: a thread that has placed itself since may use less. */
static const cpu_set_t *allowed_cpus(void)
{
	static cpu_set_t *set;
	size_t size = CPU_ALLOC_SIZE(CPUS_MAX);

	if (set != NULL)
		return set;
	set = CPU_ALLOC(CPUS_MAX);
	if (set == NULL)
		return NULL;
	CPU_ZERO_S(size, set);
	if (sched_getaffinity(0, size, set) < 0)
		memset(set, 0xff, size);
	return set;
}

bool cpu_check(struct loader *l, unsigned int line, const char *shown, int item, long long cpu)
{
	const cpu_set_t *set = allowed_cpus();
	long there = sysconf(_SC_NPROCESSORS_CONF);

	if (cpu < 0 || cpu >= there || cpu >= CPUS_MAX)
		loader_fault(l, line, "%s[%d]: there is no CPU %lld, must be 0 to %ld", shown, item,
			cpu, there - 1);
	else if (set != NULL && !CPU_ISSET_S((size_t)cpu, CPU_ALLOC_SIZE(CPUS_MAX), set))
		loader_fault(l, line, "%s[%d]: CPU %lld is offline or not allowed to this process",
			shown, item, cpu);
	else
		return true;
	return false;
}

/* Lists of groups */

/* The rule of a window with all but one of its values replaced by ones that are good. */
static int probe(const struct window_rule *rule, const char *what, struct errbuf *err)
{
	struct window_rule r = {
		.days = "daily", .start = "08:00", .length = "1h", .timezone = "UTC"};
	struct window *w;
	int e;

	if (strcmp(what, "days") == 0)
		r.days = rule->days;
	if (strcmp(what, "length") == 0)
		r.length = rule->length;
	if (strcmp(what, "start") == 0)
		r.start = rule->start;
	if (strcmp(what, "rrule") == 0 || (strcmp(what, "start") == 0 && rule->rrule != NULL)) {
		r.days = NULL;
		r.rrule = strcmp(what, "rrule") == 0 ? rule->rrule : "FREQ=DAILY";
	}
	e = window_new(&r, &w, err);
	if (e == 0)
		window_free(w);
	return e;
}

/* Says what is wrong with each value of a window by itself. */
static bool window_values_check(struct loader *l, const struct window_rule *rule,
	const config_setting_t *c, const char *shown)
{
	const struct {
		const char *what, *value;
	} values[] = {{"days", rule->days}, {"rrule", rule->rrule}, {"start", rule->start},
		{"length", rule->length}};
	struct zone *zone;
	const char *text;
	struct errbuf err;
	bool good = true;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		if (values[i].value == NULL || probe(rule, values[i].what, &err) == 0)
			continue;
		text = err.text;
		if (strncmp(text, values[i].what, strlen(values[i].what)) == 0)
			text += strlen(values[i].what) + 1; /* the path says it already */
		loader_fault(l, line_at(c, "%s", values[i].what), "%s.%s: %s", shown,
			values[i].what, text);
		good = false;
	}
	if (zone_new(rule->timezone, &zone, &err) == 0) {
		zone_free(zone);
		return good;
	}
	loader_fault(l, line_at(c, "timezone"), "%s.timezone: %s", shown, err.text);
	return false;
}

static void load_window(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, struct recording_settings *r)
{
	unsigned int faults = l->fault_count;
	struct window_rule rule = {0};
	char path[PATH_TEXT];
	struct errbuf err;

	(void)snprintf(path, sizeof(path), "%s[]", s->path);
	load_group(l, path, c, shown, &rule);
	if (config_setting_is_group(c)) {
		if ((config_setting_get_member(c, "days") == NULL) ==
			(config_setting_get_member(c, "rrule") == NULL))
			loader_fault(l, config_setting_source_line(c),
				"%s: must have either days or rrule", shown);
		if (window_values_check(l, &rule, c, shown) && l->fault_count == faults) {
			if (window_new(&rule, &r->windows[r->window_count], &err) == 0)
				r->window_count++;
			else
				loader_fault(l, config_setting_source_line(c), "%s: %s", shown,
					err.text);
		}
	}
	free((char *)rule.days);
	free((char *)rule.start);
	free((char *)rule.length);
	free((char *)rule.timezone);
	free((char *)rule.rrule);
}

static void load_port(struct loader *l, const config_setting_t *c, const char *shown)
{
	struct port_settings *p = &l->settings->ports[l->settings->port_count++];

	p->line = (int)config_setting_source_line(c);
	if (settings_preset(OWNER_PORT, p) < 0)
		l->out_of_memory = true;
	load_group(l, "ports[]", c, shown, p);
}

static void load_recording(struct loader *l, const config_setting_t *c, const char *shown)
{
	struct recording_settings *r = &l->settings->recordings[l->settings->recording_count++];

	r->line = (int)config_setting_source_line(c);
	if (settings_preset(OWNER_RECORDING, r) < 0)
		l->out_of_memory = true;
	load_group(l, "recordings[]", c, shown, r);
}

void load_groups(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base)
{
	enum setting_owner owner = setting_owner(s);
	bool is_port = strcmp(s->path, "ports") == 0;
	size_t item = sizeof(struct window *);
	char item_shown[PATH_TEXT];
	void *items;
	int n = config_setting_is_list(c) ? config_setting_length(c) : -1;

	if (n < 0 || (uint64_t)n > s->max) {
		loader_fault(l, config_setting_source_line(c),
			"%s: must be a list ( {...}, {...} ) of at most %llu groups", shown,
			(unsigned long long)s->max);
		return;
	}
	if (owner == OWNER_SETTINGS)
		item = is_port ? sizeof(struct port_settings) : sizeof(struct recording_settings);
	items = calloc(n > 0 ? (size_t)n : 1, item);
	if (items == NULL) {
		l->out_of_memory = true;
		return;
	}
	*(void **)((char *)base + s->offset) = items;
	for (int i = 0; i < n; i++) {
		const config_setting_t *e = config_setting_get_elem(c, (unsigned int)i);

		(void)snprintf(item_shown, sizeof(item_shown), "%s[%d]", shown, i);
		if (owner == OWNER_RECORDING)
			load_window(l, s, e, item_shown, base);
		else if (is_port)
			load_port(l, e, item_shown);
		else
			load_recording(l, e, item_shown);
	}
}

/* Ports */

/* What two texts of one device have in common; gen: and pcap: can be there any number of times. */
static const char *device_key(const char *device)
{
	if (strncmp(device, "gen:", 4) == 0 || strncmp(device, "pcap:", 5) == 0)
		return NULL;
	if (strncmp(device, "af_xdp:", 7) == 0)
		return device + 7;
	/* 0000:3b:00.0 is 3b:00.0 of the first PCI domain. */
	return strncmp(device, "0000:", 5) == 0 ? device + 5 : device;
}

static void check_port_names(struct loader *l, const config_setting_t *root, unsigned int i)
{
	const struct port_settings *p = &l->settings->ports[i];
	const char *key = p->device != NULL ? device_key(p->device) : NULL, *other;
	struct errbuf err;

	if (p->name != NULL && name_check(p->name, &err) < 0)
		loader_fault(
			l, line_at(root, "ports.[%u].name", i), "ports[%u].name: %s", i, err.text);
	if (p->device != NULL && device_check(p->device, &err) < 0)
		loader_fault(l, line_at(root, "ports.[%u].device", i), "ports[%u].device: %s", i,
			err.text);
	for (unsigned int k = 0; k < i; k++) {
		const struct port_settings *q = &l->settings->ports[k];

		if (p->name != NULL && q->name != NULL && strcmp(p->name, q->name) == 0)
			loader_fault(l, line_at(root, "ports.[%u].name", i),
				"ports[%u].name: \"%s\" is the name of ports[%u] too", i, p->name,
				k);
		other = q->device != NULL ? device_key(q->device) : NULL;
		if (key != NULL && other != NULL && strcasecmp(key, other) == 0)
			loader_fault(l, line_at(root, "ports.[%u].device", i),
				"ports[%u].device: \"%s\" is the device of ports[%u] too", i,
				p->device, k);
	}
}

/* A CPU that receives does so for one port. Several queues of it may share one: port_open() warns. */
static void check_port_cpus(struct loader *l, const config_setting_t *root, unsigned int i)
{
	const struct port_settings *p = &l->settings->ports[i];

	for (unsigned int c = 0; c < p->cpu_count; c++)
		for (unsigned int k = 0; k < i; k++) {
			const struct port_settings *q = &l->settings->ports[k];

			for (unsigned int d = 0; d < q->cpu_count; d++)
				if (q->cpus[d] == p->cpus[c])
					loader_fault(l, line_at(root, "ports.[%u].lcores", i),
						"ports[%u].lcores: CPU %d is given twice, here and "
						"in ports[%u]",
						i, p->cpus[c], k);
		}
}

/* Recordings */

struct report {
	struct loader *l;
	const config_setting_t *root;
	unsigned int recording;
};

/* recording_check() names the setting; here it gets its place in the file. */
static void report_fault(void *arg, const char *path, int item, const char *text)
{
	const struct report *rep = arg;
	const char *member = path + strlen("recordings[].");
	char index[16] = "", place[16] = "", every[64];

	/* An every that is there but wrong was said already. */
	(void)snprintf(every, sizeof(every), "recordings.[%u].rotate.every", rep->recording);
	if (strcmp(member, "rotate.on_clock") == 0 &&
		config_setting_lookup((config_setting_t *)rep->root, every) != NULL)
		return;
	if (item >= 0) {
		(void)snprintf(index, sizeof(index), "[%d]", item);
		(void)snprintf(place, sizeof(place), ".[%d]", item);
	}
	loader_fault(rep->l,
		line_at(rep->root, "recordings.[%u].%s%s", rep->recording, member, place),
		"recordings[%u].%s%s: %s", rep->recording, member, index, text);
}

static const struct port_settings *port_named(const struct settings *s, const char *name)
{
	for (unsigned int i = 0; i < s->port_count; i++)
		if (s->ports[i].name != NULL && strcmp(s->ports[i].name, name) == 0)
			return &s->ports[i];
	return NULL;
}

/* Returns whether one of the ports is a file, whose packets may be other than Ethernet. */
static bool check_recording_ports(struct report *rep, const struct recording_settings *r)
{
	const struct settings *s = rep->l->settings;
	bool any_file = false;
	struct errbuf err;

	for (unsigned int i = 0; i < r->port_count; i++) {
		const struct port_settings *p = port_named(s, r->ports[i]);

		if (p == NULL && r->ports[i][0] != '\0') {
			(void)fail_with(&err, 0, "no port is called \"%.64s\"", r->ports[i]);
			report_fault(rep, "recordings[].ports", (int)i, err.text);
		}
		for (unsigned int k = 0; p != NULL && k < i; k++)
			if (strcmp(r->ports[k], r->ports[i]) == 0) {
				(void)fail_with(&err, 0, "\"%.64s\" is there twice", r->ports[i]);
				report_fault(rep, "recordings[].ports", (int)i, err.text);
			}
		any_file = any_file ||
			   (p != NULL && p->device != NULL && strncmp(p->device, "pcap:", 5) == 0);
	}
	return any_file;
}

/* Windows and when = "windows" go together. */
static void check_when(
	struct report *rep, const config_setting_t *c, const struct recording_settings *r)
{
	const config_setting_t *windows = config_setting_get_member(c, "windows");
	const config_setting_t *when = config_setting_get_member(c, "when");
	const char *text = when != NULL ? config_setting_get_string(when) : NULL;

	if (r->when == WHEN_WINDOWS) {
		if (windows == NULL ||
			(config_setting_is_list(windows) && config_setting_length(windows) == 0))
			report_fault(rep, "recordings[].when", -1,
				"\"windows\" needs windows = ( {...} )");
		return;
	}
	/* A when that is there but wrong was said already. */
	if (windows != NULL &&
		(when == NULL || (text != NULL && (strcmp(text, "always") == 0 ||
							  strcmp(text, "trigger") == 0))))
		report_fault(rep, "recordings[].windows", -1, "needs when = \"windows\"");
}

/* Without a cutoff nothing is behind it: somebody forgot one. */
static void check_after(struct report *rep, const config_setting_t *c)
{
	if (config_setting_get_member(c, "after") != NULL &&
		config_setting_get_member(c, "cutoff") == NULL)
		report_fault(rep, "recordings[].after", -1, AFTER_NEEDS_CUTOFF);
}

static void check_recording(struct report *rep, struct recording_settings *r)
{
	struct settings *s = rep->l->settings;
	const config_setting_t *list = config_setting_get_member(rep->root, "recordings");
	const config_setting_t *c = config_setting_get_elem(list, rep->recording);
	bool any_file = check_recording_ports(rep, r);
	struct errbuf err;

	if (!config_setting_is_group(c))
		return;
	recording_check(r, any_file, report_fault, rep);
	for (unsigned int i = 0; i < rep->recording && r->name != NULL; i++) {
		if (s->recordings[i].name == NULL || strcmp(s->recordings[i].name, r->name) != 0)
			continue;
		(void)fail_with(&err, 0, "\"%s\" is the name of recordings[%u] too", r->name, i);
		report_fault(rep, "recordings[].name", -1, err.text);
	}
	for (unsigned int i = 0; i < r->stripe_count; i++)
		if (r->stripes[i][0] != '/' && r->stripes[i][0] != '\0' &&
			strcmp(r->stripes[i], "null:") != 0) {
			(void)fail_with(&err, 0, "\"%s\" must be an absolute path", r->stripes[i]);
			report_fault(rep, "recordings[].stripes", (int)i, err.text);
		}
	check_when(rep, c, r);
	check_after(rep, c);
	if (recording_seal(r) < 0)
		rep->l->out_of_memory = true;
}

/* The daemon */

static void check_control(struct loader *l, const config_setting_t *root)
{
	const struct settings *s = l->settings;
	const size_t longest = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (s->socket != NULL && (s->socket[0] != '/' || strlen(s->socket) > longest))
		loader_fault(l, line_at(root, "control.socket"),
			"control.socket: \"%s\" must be %s", s->socket,
			setting_find("control.socket")->rule);
	if (s->group != NULL && getgrnam(s->group) == NULL)
		loader_fault(l, line_at(root, "control.group"),
			"control.group: \"%s\" is not a group of this machine", s->group);
	for (unsigned int i = 0; i < s->writer_cpu_count; i++)
		for (unsigned int k = 0; k < i; k++)
			if (s->writer_cpus[i] == s->writer_cpus[k])
				loader_fault(l, line_at(root, "writers.cpus"),
					"writers.cpus: CPU %d is given twice", s->writer_cpus[i]);
}

void check_all(struct loader *l, const config_setting_t *root)
{
	struct report rep = {.l = l, .root = root};

	check_control(l, root);
	for (unsigned int i = 0; i < l->settings->port_count; i++) {
		check_port_names(l, root, i);
		check_port_cpus(l, root, i);
	}
	for (unsigned int i = 0; i < l->settings->recording_count; i++) {
		rep.recording = i;
		check_recording(&rep, &l->settings->recordings[i]);
	}
}
