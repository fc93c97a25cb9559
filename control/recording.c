#include "settings_table.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"
#include "wirespool/writer.h"

int name_check(const char *name, struct errbuf *err)
{
	size_t length = strlen(name);
	bool good = length >= 1 && length < SETTINGS_NAME_MAX && name[0] != '-' && name[0] != '.';

	for (size_t i = 0; good && i < length; i++)
		good = isalnum((unsigned char)name[i]) || strchr("_.-", name[i]) != NULL;
	if (good)
		return 0;
	return fail_with(err, -EINVAL,
		"\"%s\" is not a name: 1 to 31 of A-Z a-z 0-9 _ . -, not beginning with - or .",
		name);
}

enum { ETHERNET = 1, RADIOTAP = 127 };

/* What a file may hold instead of Ethernet: raw IP, Linux cooked v1 and v2, loop, Wi-Fi. */
static const int OTHER_LINKTYPES[] = {12, 113, 276, 0, RADIOTAP};

static int filter_check(const char *filter, bool any_linktype, struct errbuf *err)
{
	/* libpcap refuses nothing as impossible on Wi-Fi: ask only for what makes sense there alone. */
	bool wifi = strstr(filter, "wlan") != NULL || strstr(filter, "type ") != NULL;
	const struct filter_options o = {.expression = filter};
	struct filter *f;
	int r = filter_new(&o, ETHERNET, -1, &f, err);

	/* The port compiles it again with the link type that it turns out to have. */
	for (size_t i = 0; r == -EINVAL && any_linktype &&
			   i < sizeof(OTHER_LINKTYPES) / sizeof(OTHER_LINKTYPES[0]);
		i++)
		if ((OTHER_LINKTYPES[i] != RADIOTAP || wifi) &&
			filter_new(&o, OTHER_LINKTYPES[i], -1, &f, NULL) == 0)
			r = 0;
	if (r == 0)
		filter_free(f);
	return r;
}

static void rules_check(struct recording_settings *r, recording_report *report, void *arg)
{
	static const char list[] = "recordings[].rules", file[] = "recordings[].rules_file";
	struct errbuf err;
	int e = 0;

	if (r->rules_file != NULL && r->rule_count > 0)
		e = fail_with(&err, -EINVAL, "not together with rules_file: give one of the two");
	else if (r->rules_file != NULL && r->rules_file[0] != '/')
		e = fail_with(&err, -EINVAL, "\"%s\" must be an absolute path", r->rules_file);
	else if (r->rules_file != NULL)
		e = rules_parse_file(r->rules_file, &r->rule_set, &err);
	else if (r->rule_count > 0)
		e = rules_parse_lines((const char *const *)r->rules, r->rule_count,
			r->name ?: "rules", &r->rule_set, &err);
	if (e < 0)
		report(arg, r->rule_count > 0 ? list : file, -1, err.text);
	else if (r->rule_set != NULL && rules_drop_all(r->rule_set))
		log_warn("recording '%s': none of its rules keeps a packet, so nothing is recorded",
			r->name ?: "");
}

static void stripes_check(struct recording_settings *r, recording_report *report, void *arg)
{
	static const char path[] = "recordings[].stripes";
	char *resolved[SETTINGS_LIST_MAX] = {NULL};
	struct errbuf err;

	for (unsigned int i = 0; i < r->stripe_count && i < SETTINGS_LIST_MAX; i++) {
		const char *stripe = r->stripes[i];

		/* "/data0", "/data0/" and a link to it are one. */
		if (!stripe_is_null(stripe))
			resolved[i] = realpath(stripe, NULL);
		for (unsigned int k = 0; k < i; k++) {
			if (strcmp(resolved[k] ?: r->stripes[k], resolved[i] ?: stripe) != 0)
				continue;
			(void)fail_with(&err, 0, "\"%s\" is there twice", stripe);
			report(arg, path, (int)i, err.text);
			break;
		}
		if (stripe[0] != '\0' && !stripe_is_null(stripe) && stripe_check(stripe, &err) < 0)
			report(arg, path, (int)i, err.text);
	}
	for (unsigned int i = 0; i < SETTINGS_LIST_MAX; i++)
		free(resolved[i]);
}

void recording_check(
	struct recording_settings *r, bool any_linktype, recording_report *report, void *arg)
{
	struct errbuf err;

	if (r->name != NULL && name_check(r->name, &err) < 0)
		report(arg, "recordings[].name", -1, err.text);
	if (r->filter != NULL && r->filter[strspn(r->filter, " \t\n")] == '\0') {
		free(r->filter);
		r->filter = NULL;
	}
	if (r->filter != NULL && filter_check(r->filter, any_linktype, &err) < 0)
		report(arg, "recordings[].filter", -1, err.text);
	rules_check(r, report, arg);
	if (r->snaplen != NULL && cut_parse(r->snaplen, &r->cut, &err) < 0)
		report(arg, "recordings[].snaplen", -1, err.text);
	else if (r->snaplen != NULL && !r->cut.headers && r->cut.snaplen < 14) {
		(void)fail_with(&err, 0, "\"%s\" must be \"0\" (whole packets) or 14 to %d",
			r->snaplen, SNAPLEN_MAX);
		report(arg, "recordings[].snaplen", -1, err.text);
	}
	if (r->rotate_on_clock && r->rotate_ns == 0)
		report(arg, "recordings[].rotate.on_clock", -1,
			"true needs every, try every = \"5m\"");
	if (r->rotate_on_clock && r->rotate_ns > 86400 * NS_PER_SEC)
		report(arg, "recordings[].rotate.every", -1, "must be at most 24h with on_clock");
	stripes_check(r, report, arg);
}

/* FNV-1a of the rules as they are written, without comments. */
static uint64_t rules_hash(const struct rules *rules)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (unsigned int i = 0; i < rules->count; i++) {
		const char *p = rules->list[i].text;

		do
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3;
		while (*p++ != '\0');
	}
	return hash;
}

/* Every value of an owner that takes effect in live runs, or every one that does not. */
static void write_values(FILE *f, enum setting_owner owner, bool live, const void *base)
{
	char *value;

	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		if (setting_owner(s) != owner || setting_is_group(s) || s->live != live)
			continue;
		value = setting_to_text(s, base);
		(void)fprintf(f, "%s=%s\n", s->path, value != NULL ? value : "");
		free(value);
	}
}

static int fingerprint_make(const struct recording_settings *r, bool live, char **ret)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return -ENOMEM;
	write_values(f, OWNER_RECORDING, live, r);
	for (unsigned int i = 0; i < r->window_count; i++)
		write_values(f, OWNER_WINDOW, live, window_get_rule(r->windows[i]));
	if (live && r->rule_set != NULL)
		(void)fprintf(f, "%u rules %016" PRIx64 "\n", r->rule_set->count,
			rules_hash(r->rule_set));
	if (fclose(f) != 0) {
		free(text);
		return -ENOMEM;
	}
	free(*ret);
	*ret = text;
	return 0;
}

int recording_seal(struct recording_settings *r)
{
	int e = fingerprint_make(r, false, &r->fingerprint);

	return e < 0 ? e : fingerprint_make(r, true, &r->filter_print);
}

/* Copies */

static bool copy_text(const char *from, char **ret)
{
	*ret = from != NULL ? strdup(from) : NULL;
	return from == NULL || *ret != NULL;
}

static bool copy_texts(char *const from[], unsigned int count, char ***ret, unsigned int *ret_count)
{
	*ret = calloc(count > 0 ? count : 1, sizeof(**ret));
	if (*ret == NULL)
		return false;
	for (; *ret_count < count; (*ret_count)++)
		if (!copy_text(from[*ret_count], &(*ret)[*ret_count]))
			return false;
	return true;
}

static bool copy_windows(const struct recording_settings *from, struct recording_settings *to)
{
	to->windows = calloc(from->window_count > 0 ? from->window_count : 1, sizeof(*to->windows));
	if (to->windows == NULL)
		return false;
	for (; to->window_count < from->window_count; to->window_count++)
		if (window_new(window_get_rule(from->windows[to->window_count]),
			    &to->windows[to->window_count], NULL) < 0)
			return false;
	return true;
}

/* Parses anew what was parsed, each rule on its line: the file may say something else by now. */
static bool copy_rules_of_file(const struct rules *from, struct rules **ret)
{
	unsigned int line = 1;
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int r;

	if (f == NULL)
		return false;
	for (unsigned int i = 0; i < from->count; i++) {
		for (; line < from->list[i].line; line++)
			(void)fputc('\n', f);
		(void)fputs(from->list[i].text, f);
	}
	r = fclose(f) == 0 ? rules_parse_text(text, size, from->name, ret, NULL) : -ENOMEM;
	free(text);
	return r == 0;
}

static bool copy_rule_set(const struct recording_settings *from, struct rules **ret)
{
	if (from->rule_set == NULL)
		return true;
	if (from->rule_count == 0)
		return copy_rules_of_file(from->rule_set, ret);
	return rules_parse_lines((const char *const *)from->rules, from->rule_count,
		       from->rule_set->name, ret, NULL) == 0;
}

int recording_copy(const struct recording_settings *from, struct recording_settings *ret)
{
	struct recording_settings to = *from;

	to.name = to.filter = to.rules_file = to.snaplen = to.fingerprint = to.filter_print = NULL;
	to.ports = to.stripes = to.rules = NULL;
	to.rule_set = NULL;
	to.windows = NULL;
	to.port_count = to.stripe_count = to.rule_count = to.window_count = 0;
	if (copy_text(from->name, &to.name) && copy_text(from->filter, &to.filter) &&
		copy_text(from->rules_file, &to.rules_file) &&
		copy_text(from->snaplen, &to.snaplen) &&
		copy_text(from->fingerprint, &to.fingerprint) &&
		copy_text(from->filter_print, &to.filter_print) &&
		copy_texts(from->ports, from->port_count, &to.ports, &to.port_count) &&
		copy_texts(from->stripes, from->stripe_count, &to.stripes, &to.stripe_count) &&
		copy_texts(from->rules, from->rule_count, &to.rules, &to.rule_count) &&
		copy_rule_set(from, &to.rule_set) && copy_windows(from, &to)) {
		*ret = to;
		return 0;
	}
	recording_done(&to);
	return -ENOMEM;
}

void recording_done(struct recording_settings *r)
{
	if (r == NULL)
		return;
	for (unsigned int i = 0; i < r->port_count; i++)
		free(r->ports[i]);
	for (unsigned int i = 0; i < r->stripe_count; i++)
		free(r->stripes[i]);
	for (unsigned int i = 0; i < r->rule_count; i++)
		free(r->rules[i]);
	for (unsigned int i = 0; i < r->window_count; i++)
		window_free(r->windows[i]);
	free(r->ports);
	free(r->stripes);
	free(r->rules);
	free(r->windows);
	rules_free(r->rule_set);
	free(r->name);
	free(r->filter);
	free(r->rules_file);
	free(r->snaplen);
	free(r->fingerprint);
	free(r->filter_print);
	*r = (struct recording_settings){0};
}

/* Requests */

static const struct {
	const char *key;
	const char *path;
} REQUEST_KEYS[] = {
	{"name", "recordings[].name"},
	{"ports", "recordings[].ports"},
	{"stripes", "recordings[].stripes"},
	{"filter", "recordings[].filter"},
	{"rules_file", "recordings[].rules_file"},
	{"rules", "recordings[].rules"},
	{"vlan", "recordings[].vlan"},
	{"inner", "recordings[].inner"},
	{"fragments", "recordings[].fragments"},
	{"snaplen", "recordings[].snaplen"},
	{"cutoff", "recordings[].cutoff"},
	{"after", "recordings[].after"},
	{"cutoff_flows", "recordings[].cutoff_flows"},
	{"for", "recordings[].limit.time"},
	{"bytes", "recordings[].limit.bytes"},
	{"packets", "recordings[].limit.packets"},
	{"rotate_bytes", "recordings[].rotate.bytes"},
	{"rotate_every", "recordings[].rotate.every"},
	{"rotate_on_clock", "recordings[].rotate.on_clock"},
	{"flush", "recordings[].flush"},
};

enum { REQUEST_KEY_COUNT = sizeof(REQUEST_KEYS) / sizeof(REQUEST_KEYS[0]) };

static const char *request_key_of(const char *path)
{
	for (size_t i = 0; i < REQUEST_KEY_COUNT; i++)
		if (strcmp(REQUEST_KEYS[i].path, path) == 0)
			return REQUEST_KEYS[i].key;
	return path;
}

static int texts_from_json(const struct setting *s, const json_t *value,
	struct recording_settings *r, struct errbuf *err)
{
	size_t count = json_array_size(value);
	char ***place = (char ***)((char *)r + s->offset);
	unsigned int *stored = (unsigned int *)((char *)r + s->count_offset);

	if (!json_is_array(value) || count < 1 || count > s->max)
		return fail_with(err, -EINVAL, "must be a list of %s", s->rule);
	*place = calloc(count, sizeof(**place));
	if (*place == NULL)
		return fail_with(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_array_get(value, i);

		if (!json_is_string(item) || json_string_length(item) == 0)
			return fail_with(err, -EINVAL, "must be a list of %s", s->rule);
		(*place)[i] = strdup(json_string_value(item));
		if ((*place)[i] == NULL)
			return fail_with(err, -ENOMEM, "out of memory");
		(*stored)++;
	}
	return 0;
}

static int flags_from_json(const struct setting *s, const json_t *value,
	struct recording_settings *r, struct errbuf *err)
{
	const json_t *item;
	size_t i;
	int e;

	if (json_array_size(value) == 0)
		return fail_with(err, -EINVAL, "must be a list of %s", s->rule);
	json_array_foreach(value, i, item)
	{
		if (!json_is_string(item))
			return fail_with(err, -EINVAL, "must be a list of %s", s->rule);
		e = setting_add_flag(s, json_string_value(item), r, err);
		if (e < 0)
			return e;
	}
	return 0;
}

static int value_from_json(const struct setting *s, const json_t *value,
	struct recording_settings *r, struct errbuf *err)
{
	char number[32];

	if (s->type == SETTING_TEXTS)
		return texts_from_json(s, value, r, err);
	if (s->type == SETTING_FLAGS)
		return flags_from_json(s, value, r, err);
	if (s->type == SETTING_NUMBER) {
		if (!json_is_integer(value))
			return fail_with(err, -EINVAL, "must be a number, %s", s->rule);
		return setting_from_number(s, json_integer_value(value), r, err);
	}
	if (s->type == SETTING_BOOL) {
		if (!json_is_boolean(value))
			return fail_with(err, -EINVAL, "must be true or false");
		return setting_from_text(s, json_is_true(value) ? "true" : "false", r, err);
	}
	if (s->type == SETTING_COUNT && json_is_integer(value)) {
		(void)snprintf(
			number, sizeof(number), "%lld", (long long)json_integer_value(value));
		return setting_from_text(s, number, r, err);
	}
	if (!json_is_string(value))
		return fail_with(err, -EINVAL, "must be text: %s", s->rule);
	return setting_from_text(s, json_string_value(value), r, err);
}

static bool is_listed(const char *const list[], const char *key)
{
	for (; list != NULL && *list != NULL; list++)
		if (strcmp(*list, key) == 0)
			return true;
	return false;
}

static int key_from_json(const char *key, const json_t *value, const char *const also_known[],
	struct recording_settings *r, struct errbuf *err)
{
	struct errbuf why;
	int e;

	for (size_t i = 0; i < REQUEST_KEY_COUNT; i++) {
		if (strcmp(key, REQUEST_KEYS[i].key) != 0)
			continue;
		e = value_from_json(setting_find(REQUEST_KEYS[i].path), value, r, &why);
		if (e < 0)
			return fail_with(err, e, "%s: %.480s", key, why.text);
		return 0;
	}
	if (is_listed(also_known, key))
		return 0;
	return fail_with(err, -EINVAL, "%.64s: unknown key", key);
}

struct first_fault {
	struct errbuf *err;
	bool found;
};

static void keep_first(void *arg, const char *path, int item, const char *text)
{
	struct first_fault *first = arg;

	(void)item;
	if (!first->found)
		(void)fail_with(first->err, 0, "%s: %.480s", request_key_of(path), text);
	first->found = true;
}

int recording_from_json(const json_t *request, const char *const also_known[],
	struct recording_settings *ret, struct errbuf *err)
{
	struct recording_settings made = {.when = WHEN_TRIGGER};
	struct first_fault first = {.err = err};
	const json_t *value;
	const char *key;
	int r;

	if (!json_is_object(request))
		return fail_with(err, -EINVAL, "a request must be an object");
	r = settings_preset(OWNER_RECORDING, &made);
	if (r == 0)
		r = setting_from_text(setting_find("recordings[].name"), "capture", &made, err);
	json_object_foreach((json_t *)request, key, value)
	{
		if (r == 0)
			r = key_from_json(key, value, also_known, &made, err);
	}
	if (r == 0 && made.stripe_count == 0)
		r = fail_with(err, -EINVAL, "stripes: is missing");
	if (r == 0 && json_object_get(request, "after") != NULL && made.cutoff_bytes == 0)
		r = fail_with(err, -EINVAL, "after: " AFTER_NEEDS_CUTOFF);
	if (r == 0) {
		recording_check(&made, true, keep_first, &first);
		r = first.found ? -EINVAL : recording_seal(&made);
	}
	if (r < 0) {
		if (r == -ENOMEM)
			(void)fail_with(err, r, "out of memory");
		recording_done(&made);
		return r;
	}
	*ret = made;
	return 0;
}
