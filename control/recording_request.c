/* A recording, or a change of one, as a request of the control socket describes it. */
#include "settings_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/rules.h"

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

/* Takes a value away: what it is by itself is there again. */
static int value_unset(const struct setting *s, struct recording_settings *r, struct errbuf *err)
{
	void *place = (char *)r + s->offset;

	if (s->type == SETTING_FLAGS)
		*(unsigned int *)place = 0;
	else if (s->type == SETTING_SIZE && s->preset == NULL)
		*(uint64_t *)place = 0;
	else if (s->preset != NULL)
		return setting_from_text(s, s->preset, r, err);
	else {
		free(*(char **)place);
		*(char **)place = NULL;
	}
	return 0;
}

static int change_value(
	const char *key, const json_t *value, struct recording_settings *r, struct errbuf *err)
{
	const struct setting *s = NULL;

	for (size_t i = 0; i < REQUEST_KEY_COUNT; i++)
		if (strcmp(key, REQUEST_KEYS[i].key) == 0)
			s = setting_find(REQUEST_KEYS[i].path);
	/* A list of rules is not for a change: it is not there as a list but once. */
	if (s == NULL || !s->live || s->type == SETTING_TEXTS)
		return fail_with(err, -EINVAL, "%.64s: cannot be changed in a live run", key);
	if (json_is_null(value))
		return value_unset(s, r, err);
	if (s->type == SETTING_FLAGS)
		(void)value_unset(s, r, err);
	return key_from_json(key, value, NULL, r, err);
}

/* A rules_file takes the place of what was read before, and of a list. */
static void drop_rules(struct recording_settings *r)
{
	rules_free(r->rule_set);
	r->rule_set = NULL;
	for (unsigned int i = 0; i < r->rule_count; i++)
		free(r->rules[i]);
	free(r->rules);
	r->rules = NULL;
	r->rule_count = 0;
}

int recording_change(const json_t *request, const char *const also_known[],
	struct recording_settings *r, struct errbuf *err)
{
	struct first_fault first = {.err = err};
	const json_t *value, *after = json_object_get(request, "after");
	const char *key;
	int e = 0;

	if (json_object_get(request, "rules_file") != NULL)
		drop_rules(r);
	json_object_foreach((json_t *)request, key, value)
	{
		if (e == 0 && !is_listed(also_known, key))
			e = change_value(key, value, r, err);
	}
	if (e < 0)
		return e;
	if (after != NULL && !json_is_null(after) && r->cutoff_bytes == 0)
		return fail_with(err, -EINVAL, "after: " AFTER_NEEDS_CUTOFF);
	recording_check(r, true, keep_first, &first);
	if (first.found)
		return -EINVAL;
	return recording_seal(r) < 0 ? fail_with(err, -ENOMEM, "out of memory") : 0;
}
