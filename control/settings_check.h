#pragma once
/*
 * The loader's state, shared by settings_load.c (what a file says) and settings_check.c
 * (whether it makes sense as a whole). Private to them.
 */

#include <stdbool.h>

#include <libconfig.h>

#include "settings.h"
#include "settings_table.h"

struct fault_line {
	unsigned int line;
	unsigned int order; /* in which it was found */
	char *text;
};

struct loader {
	const char *file;
	struct settings *settings;
	struct fault_line *faults;
	unsigned int fault_count;
	bool includes; /* the text has an @include: it must not reach libconfig */
	bool out_of_memory;
};

void loader_fault(struct loader *l, unsigned int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Loads the members of group c, which the table calls path and the user shown, into base. */
void load_group(struct loader *l, const char *path, const config_setting_t *c, const char *shown,
	void *base);

/* Loads a list of groups: ports, recordings, or the windows of the recording base. */
void load_groups(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base);

/* Says it and returns false when this process may not run on the CPU. */
bool cpu_check(struct loader *l, unsigned int line, const char *shown, int item, long long cpu);

/* All that takes more than one value to see. */
void check_all(struct loader *l, const config_setting_t *root);
