#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "settings_table.h"

struct settings *settings_new(void)
{
	struct settings *s = calloc(1, sizeof(*s));

	if (s != NULL && settings_preset(OWNER_SETTINGS, s) < 0) {
		settings_free(s);
		return NULL;
	}
	return s;
}

void settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	for (unsigned int i = 0; i < s->port_count; i++) {
		free(s->ports[i].name);
		free(s->ports[i].device);
	}
	for (unsigned int i = 0; i < s->recording_count; i++)
		recording_done(&s->recordings[i]);
	for (unsigned int i = 0; i < s->origin_count; i++)
		free(s->origins[i].path);
	free(s->ports);
	free(s->recordings);
	free(s->origins);
	free(s->path);
	free(s->socket);
	free(s->group);
	free(s);
}

struct recording_settings *settings_find_recording(const struct settings *s, const char *name)
{
	for (unsigned int i = 0; i < s->recording_count; i++)
		if (strcmp(s->recordings[i].name, name) == 0)
			return &s->recordings[i];
	return NULL;
}

struct port_settings *settings_find_port(const struct settings *s, const char *name)
{
	for (unsigned int i = 0; i < s->port_count; i++)
		if (strcmp(s->ports[i].name, name) == 0)
			return &s->ports[i];
	return NULL;
}

/* What needs a restart */

/* Says each value of an owner that takes effect at [start] only and is not the same in both. */
static void compare(enum setting_owner owner, const char *prefix, const void *old, const void *new,
	struct faults *ret_texts)
{
	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		const char *path = s->path;
		char *before, *after;

		if (s->reload || setting_is_group(s) || setting_owner(s) != owner)
			continue;
		if (owner == OWNER_PORT)
			path += strlen("ports[].");
		before = setting_to_text(s, old);
		after = setting_to_text(s, new);
		if (before != NULL && after != NULL && strcmp(before, after) != 0)
			faults_add(ret_texts, "%s%s: %s -> %s", prefix, path, before, after);
		free(before);
		free(after);
	}
}

void settings_needs_restart(
	const struct settings *old, const struct settings *new, struct faults *ret_texts)
{
	char prefix[SETTINGS_NAME_MAX + 16];

	compare(OWNER_SETTINGS, "", old, new, ret_texts);
	for (unsigned int i = 0; i < old->port_count; i++) {
		const struct port_settings *port = settings_find_port(new, old->ports[i].name);

		(void)snprintf(prefix, sizeof(prefix), "ports.%s.", old->ports[i].name);
		if (port == NULL)
			faults_add(ret_texts, "ports.%s: removed", old->ports[i].name);
		else
			compare(OWNER_PORT, prefix, &old->ports[i], port, ret_texts);
	}
	for (unsigned int i = 0; i < new->port_count; i++)
		if (settings_find_port(old, new->ports[i].name) == NULL)
			faults_add(ret_texts, "ports.%s: added", new->ports[i].name);
}

/* Printing */

static unsigned int line_of(const struct settings *s, const char *path)
{
	for (unsigned int i = 0; i < s->origin_count; i++)
		if (strcmp(s->origins[i].path, path) == 0)
			return s->origins[i].line;
	return 0;
}

/* All values of an owner; prefix stands for what the table calls pattern. */
static void print_values(const struct settings *s, enum setting_owner owner, const char *pattern,
	const char *prefix, const void *base)
{
	for (const struct setting *k = SETTINGS; k->path != NULL; k++) {
		char path[128], *value;
		unsigned int line;

		if (setting_is_group(k) || setting_owner(k) != owner)
			continue;
		(void)snprintf(path, sizeof(path), "%s%s", prefix, k->path + strlen(pattern));
		line = line_of(s, path);
		value = setting_to_text(k, base);
		if (line > 0)
			(void)printf("%s = %s  # %s:%u\n", path, value != NULL ? value : "",
				s->path, line);
		else
			(void)printf("%s = %s  # built-in\n", path, value != NULL ? value : "");
		free(value);
	}
}

void settings_print(const struct settings *s)
{
	char prefix[64];

	print_values(s, OWNER_SETTINGS, "", "", s);
	for (unsigned int i = 0; i < s->port_count; i++) {
		(void)snprintf(prefix, sizeof(prefix), "ports[%u].", i);
		print_values(s, OWNER_PORT, "ports[].", prefix, &s->ports[i]);
	}
	for (unsigned int i = 0; i < s->recording_count; i++) {
		const struct recording_settings *r = &s->recordings[i];

		(void)snprintf(prefix, sizeof(prefix), "recordings[%u].", i);
		print_values(s, OWNER_RECORDING, "recordings[].", prefix, r);
		for (unsigned int k = 0; k < r->window_count; k++) {
			(void)snprintf(prefix, sizeof(prefix), "recordings[%u].windows[%u].", i, k);
			print_values(s, OWNER_WINDOW, "recordings[].windows[].", prefix,
				window_get_rule(r->windows[k]));
		}
	}
}
