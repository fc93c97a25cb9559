/*
 * Reads wirespool.conf along the table of settings and says every fault with its line.
 *
 * libconfig stops at the first fault of syntax; all else is looked at in one go. A value that is
 * wrong leaves its place empty, and checks that need it are left out, so that one
 * mistake is said once.
 */

#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libconfig.h>

#include "settings_check.h"
#include "settings_table.h"

#define TOO_LARGE "is too large for a number here"

enum { FILE_BYTES_MAX = 1 << 20, PATH_TEXT = 160 };

void loader_fault(struct loader *l, unsigned int line, const char *format, ...)
{
	struct fault_line *grown = realloc(l->faults, (l->fault_count + 1) * sizeof(*grown));
	char text[1024];
	va_list args;

	if (grown == NULL) {
		l->out_of_memory = true;
		return;
	}
	l->faults = grown;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* A fault is one line, whatever the file holds. */
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	grown[l->fault_count].line = line;
	grown[l->fault_count].text = strdup(text);
	if (grown[l->fault_count].text == NULL)
		l->out_of_memory = true;
	else
		l->fault_count++;
}

static int by_line(const void *a, const void *b)
{
	const struct fault_line *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Hands the faults over in the order of their lines. */
static void loader_done(struct loader *l, struct faults *faults)
{
	for (unsigned int i = 0; i < l->fault_count; i++)
		l->faults[i].order = i;
	if (l->fault_count > 0)
		qsort(l->faults, l->fault_count, sizeof(*l->faults), by_line);
	for (unsigned int i = 0; i < l->fault_count; i++) {
		faults_add(faults, "%s:%u: %s", l->file, l->faults[i].line, l->faults[i].text);
		free(l->faults[i].text);
	}
	if (l->out_of_memory)
		faults_add(faults, "%s: out of memory", l->file);
	free(l->faults);
}

static void add_origin(struct loader *l, const char *path, unsigned int line)
{
	struct settings *s = l->settings;
	struct setting_origin *grown = realloc(s->origins, (s->origin_count + 1) * sizeof(*grown));
	char *copy = strdup(path);

	if (grown != NULL)
		s->origins = grown;
	if (grown == NULL || copy == NULL) {
		l->out_of_memory = true;
		free(copy);
		return;
	}
	grown[s->origin_count++] = (struct setting_origin){.path = copy, .line = line};
}

/* One value */

static const char *type_name(const config_setting_t *c)
{
	switch (config_setting_type(c)) {
	case CONFIG_TYPE_INT:
	case CONFIG_TYPE_INT64:
		return "a number";
	case CONFIG_TYPE_FLOAT:
		return "a number with a point";
	case CONFIG_TYPE_STRING:
		return "text";
	case CONFIG_TYPE_BOOL:
		return "true or false";
	case CONFIG_TYPE_GROUP:
		return "a group {...}";
	case CONFIG_TYPE_ARRAY:
		return "an array [...]";
	default:
		return "a list (...)";
	}
}

static bool is_integer(const config_setting_t *c)
{
	return config_setting_type(c) == CONFIG_TYPE_INT ||
	       config_setting_type(c) == CONFIG_TYPE_INT64;
}

/* A plain number where text is due: the text that was meant. */
static void suggest_text(
	struct loader *l, const struct setting *s, const config_setting_t *c, const char *shown)
{
	long long n = config_setting_get_int64(c);
	const char *unit = "";

	if (s->type == SETTING_SIZE)
		unit = "B";
	if (s->type == SETTING_TIME || strcmp(s->path, "recordings[].windows[].length") == 0)
		unit = "s";
	loader_fault(l, config_setting_source_line(c),
		"%s: %lld is a number, text is due: try \"%lld%s\"", shown, n, n < 0 ? 0 : n, unit);
}

static void load_text(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base)
{
	unsigned int line = config_setting_source_line(c);
	struct errbuf err;

	if (config_setting_type(c) == CONFIG_TYPE_STRING) {
		if (setting_from_text(s, config_setting_get_string(c), base, &err) < 0)
			loader_fault(l, line, "%s: %s", shown, err.text);
	} else if (is_integer(c)) {
		suggest_text(l, s, c, shown);
	} else {
		loader_fault(l, line, "%s: is %s, must be text: %s", shown, type_name(c), s->rule);
	}
}

/* libconfig has wrapped a number of this line: its value is nobody's. */
static bool is_wrapped(const struct loader *l, unsigned int line)
{
	for (unsigned int i = 0; i < l->fault_count; i++)
		if (l->faults[i].line == line && strstr(l->faults[i].text, TOO_LARGE) != NULL)
			return true;
	return false;
}

static void load_number(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base)
{
	unsigned int line = config_setting_source_line(c);
	struct errbuf err;

	if (!is_integer(c))
		loader_fault(l, line, "%s: is %s, must be a number without quotes, %s", shown,
			type_name(c), s->rule);
	else if (setting_from_number(s, config_setting_get_int64(c), base, &err) < 0 &&
		 !is_wrapped(l, line))
		loader_fault(l, line, "%s: %s", shown, err.text);
}

static void load_bool(struct loader *l, const config_setting_t *c, const char *shown, bool *ret)
{
	if (config_setting_type(c) == CONFIG_TYPE_BOOL)
		*ret = config_setting_get_bool(c) != 0;
	else
		loader_fault(l, config_setting_source_line(c),
			"%s: is %s, must be true or false without quotes", shown, type_name(c));
}

/* A list of values, [..] or (..); false: it is none, and that was said. */
static bool is_value_list(
	struct loader *l, const struct setting *s, const config_setting_t *c, const char *shown)
{
	int length = config_setting_is_aggregate(c) ? config_setting_length(c) : 0;

	if (!config_setting_is_array(c) && !config_setting_is_list(c))
		loader_fault(l, config_setting_source_line(c),
			"%s: is %s, must be a list [...] of %s", shown, type_name(c), s->rule);
	else if (length < 1 || (uint64_t)length > s->max)
		loader_fault(l, config_setting_source_line(c), "%s: has %d items, must be %s",
			shown, length, s->rule);
	else
		return true;
	return false;
}

static void load_cpus(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base)
{
	int *cpus = (int *)((char *)base + s->offset);
	unsigned int *count = (unsigned int *)((char *)base + s->count_offset);

	if (!is_value_list(l, s, c, shown))
		return;
	for (int i = 0; i < config_setting_length(c); i++) {
		const config_setting_t *item = config_setting_get_elem(c, (unsigned int)i);
		unsigned int line = config_setting_source_line(item);
		long long cpu = config_setting_get_int64(item);

		if (!is_integer(item))
			loader_fault(l, line, "%s[%d]: is %s, must be the number of a CPU", shown,
				i, type_name(item));
		else if (cpu_check(l, line, shown, i, cpu))
			cpus[(*count)++] = (int)cpu;
	}
}

static void load_texts(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base)
{
	char ***texts = (char ***)((char *)base + s->offset);
	unsigned int *count = (unsigned int *)((char *)base + s->count_offset);

	if (!is_value_list(l, s, c, shown))
		return;
	*texts = calloc((size_t)config_setting_length(c), sizeof(**texts));
	for (int i = 0; *texts != NULL && i < config_setting_length(c); i++) {
		const config_setting_t *item = config_setting_get_elem(c, (unsigned int)i);
		const char *text = config_setting_get_string(item);

		/* Items that are wrong keep their place, as faults of later checks count items. */
		(*texts)[i] = strdup(text != NULL ? text : "");
		if ((*texts)[i] == NULL)
			break;
		*count = (unsigned int)i + 1;
		if (text == NULL || text[0] == '\0')
			loader_fault(l, config_setting_source_line(item),
				"%s[%d]: is %s, must be one of: %s", shown, i,
				text == NULL ? type_name(item) : "empty", s->rule);
	}
	if (*count < (unsigned int)config_setting_length(c))
		l->out_of_memory = true;
}

static void load_flags(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base)
{
	struct errbuf err;

	if (!is_value_list(l, s, c, shown))
		return;
	for (int i = 0; i < config_setting_length(c); i++) {
		const config_setting_t *item = config_setting_get_elem(c, (unsigned int)i);
		const char *text = config_setting_get_string(item);
		unsigned int line = config_setting_source_line(item);

		if (text == NULL)
			loader_fault(l, line, "%s[%d]: is %s, must be one of: %s", shown, i,
				type_name(item), s->rule);
		else if (setting_add_flag(s, text, base, &err) < 0)
			loader_fault(l, line, "%s[%d]: %s", shown, i, err.text);
	}
}

/* Groups */

static void load_member(struct loader *l, const struct setting *s, const config_setting_t *c,
	const char *shown, void *base)
{
	switch (s->type) {
	case SETTING_GROUP:
		load_group(l, s->path, c, shown, base);
		return;
	case SETTING_GROUPS:
		load_groups(l, s, c, shown, base);
		return;
	case SETTING_BOOL:
		load_bool(l, c, shown, (bool *)((char *)base + s->offset));
		break;
	case SETTING_NUMBER:
		load_number(l, s, c, shown, base);
		break;
	case SETTING_CPUS:
		load_cpus(l, s, c, shown, base);
		break;
	case SETTING_TEXTS:
		load_texts(l, s, c, shown, base);
		break;
	case SETTING_FLAGS:
		load_flags(l, s, c, shown, base);
		break;
	default:
		load_text(l, s, c, shown, base);
		break;
	}
	add_origin(l, shown, config_setting_source_line(c));
}

static void unknown_key(
	struct loader *l, const char *group, const config_setting_t *c, const char *shown)
{
	const char *name = config_setting_name(c);
	const char *near = setting_suggest(group, name);
	char known[512] = "";

	if (near != NULL) {
		loader_fault(l, config_setting_source_line(c),
			"%s: unknown setting, did you mean \"%s\"?", shown, near);
		return;
	}
	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		size_t used = strlen(known);

		if (strncmp(s->path, group, strlen(group)) == 0 &&
			strpbrk(s->path + strlen(group), ".[") == NULL)
			(void)snprintf(known + used, sizeof(known) - used, "%s%s",
				used > 0 ? ", " : "", s->path + strlen(group));
	}
	loader_fault(l, config_setting_source_line(c), "%s: unknown setting, there are: %s", shown,
		known);
}

void load_group(struct loader *l, const char *path, const config_setting_t *c, const char *shown,
	void *base)
{
	const char *dot = path[0] != '\0' ? "." : "";
	char member[PATH_TEXT], member_shown[PATH_TEXT];

	if (!config_setting_is_group(c)) {
		loader_fault(l, config_setting_source_line(c), "%s: is %s, must be a group {...}",
			shown, type_name(c));
		return;
	}
	for (int i = 0; i < config_setting_length(c); i++) {
		const config_setting_t *m = config_setting_get_elem(c, (unsigned int)i);
		const struct setting *s;

		(void)snprintf(member, sizeof(member), "%s%s%s", path, dot, config_setting_name(m));
		(void)snprintf(member_shown, sizeof(member_shown), "%s%s%s", shown, dot,
			config_setting_name(m));
		s = setting_find(member);
		if (s != NULL) {
			load_member(l, s, m, member_shown, base);
			continue;
		}
		(void)snprintf(member, sizeof(member), "%s%s", path, dot);
		unknown_key(l, member, m, member_shown);
	}
	(void)snprintf(member, sizeof(member), "%s%s", path, dot);
	for (const struct setting *s = SETTINGS; s->path != NULL; s++)
		if (s->required && strncmp(s->path, member, strlen(member)) == 0 &&
			strpbrk(s->path + strlen(member), ".[") == NULL &&
			config_setting_get_member(c, s->path + strlen(member)) == NULL)
			loader_fault(l, config_setting_source_line(c), "%s%s%s: is missing: %s",
				shown, dot, s->path + strlen(member), s->rule);
}

/* The file */

/* What libconfig 1.5 gets wrong without a word: whole numbers past 32 bits, and @include, whose
 * files it may end the process over. Strings and comments are passed over. */
static void scan(struct loader *l, const char *text)
{
	unsigned int line = 1;
	bool word = false; /* inside a name or a number with a point */

	for (const char *p = text; *p != '\0'; p++) {
		const char *start = p;
		char *end;
		long long n;

		if (*p == '"') {
			for (p++; *p != '\0' && *p != '"'; p++) {
				line += *p == '\n';
				p += *p == '\\' && p[1] != '\0' && p[1] != '\n';
			}
		} else if (*p == '#' || (*p == '/' && p[1] == '/')) {
			p += strcspn(p, "\n");
		} else if (*p == '/' && p[1] == '*') {
			p = strstr(p + 2, "*/");
			for (const char *q = start; q != p && *q != '\0'; q++)
				line += *q == '\n';
			p = p != NULL ? p + 1 : start + strlen(start);
		} else if (*p == '@') {
			loader_fault(l, line, "@include is not taken: the settings are one file");
			l->includes = true;
		} else if (isdigit((unsigned char)*p) && !word && strncasecmp(p, "0x", 2) != 0) {
			errno = 0;
			n = strtoll(p, &end, 10);
			if (*end != '.' && *end != 'e' && *end != 'E' && *end != 'L' &&
				(errno != 0 || n > INT_MAX))
				loader_fault(l, line,
					"%.*s is too large for a number here, it must be at most "
					"%d",
					(int)(end - start > 40 ? 40 : end - start), start, INT_MAX);
			p = end - 1;
		}
		word = isalnum((unsigned char)*start) || strchr("_.*-", *start) != NULL;
		if (*start == '-' || isspace((unsigned char)*start))
			word = false;
		if (*p == '\0')
			break;
		line += *p == '\n';
	}
}

/* The whole file as text, to free(). */
static int read_file(const char *path, char **ret_text, struct faults *faults)
{
	struct stat st;
	FILE *f = NULL;
	char *text = NULL;
	size_t length = 0;
	int r = -EINVAL;

	/* Not a directory: reading one makes libconfig end the process. */
	if (stat(path, &st) < 0 || (!S_ISDIR(st.st_mode) && (f = fopen(path, "re")) == NULL)) {
		r = -errno;
		faults_add(faults, "%s: cannot be read: %s", path, strerror(errno));
		return r;
	}
	if (f == NULL) {
		faults_add(faults, "%s: is a directory, must be a file", path);
		return -EISDIR;
	}
	text = malloc(FILE_BYTES_MAX + 2);
	if (text != NULL)
		length = fread(text, 1, FILE_BYTES_MAX + 1, f);
	if (text == NULL)
		faults_add(faults, "%s: out of memory", path);
	else if (ferror(f))
		faults_add(faults, "%s: cannot be read", path);
	else if (length > FILE_BYTES_MAX)
		faults_add(faults, "%s: is longer than 1 MiB", path);
	else if (memchr(text, '\0', length) != NULL)
		faults_add(faults, "%s: is not text, it has a byte of 0", path);
	else
		r = 0;
	(void)fclose(f);
	if (r < 0) {
		free(text);
		return r;
	}
	/* libconfig 1.5 takes a comment that no line end follows for a fault. */
	if (length > 0 && text[length - 1] != '\n')
		text[length++] = '\n';
	text[length] = '\0';
	*ret_text = text;
	return 0;
}

static void load_text_of_file(struct loader *l, const char *text)
{
	unsigned int line, lines = 0;
	config_t config;

	scan(l, text);
	if (l->includes)
		return;
	config_init(&config);
	if (config_read_string(&config, text) == CONFIG_TRUE) {
		load_group(l, "", config_root_setting(&config), "", l->settings);
		check_all(l, config_root_setting(&config));
	} else {
		/* What is missing at the end is said of the last line. */
		line = (unsigned int)config_error_line(&config);
		for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
			lines++;
		loader_fault(l, line > lines ? lines : line, "%s", config_error_text(&config));
	}
	config_destroy(&config);
}

int settings_load(const char *path, struct settings **ret_settings, struct faults *faults)
{
	struct loader l = {.file = path};
	char *text = NULL;
	int r;

	*ret_settings = NULL;
	r = read_file(path, &text, faults);
	if (r < 0)
		return r;
	l.settings = settings_new();
	if (l.settings != NULL)
		l.settings->path = strdup(path);
	if (l.settings != NULL && l.settings->path != NULL)
		load_text_of_file(&l, text);
	else
		l.out_of_memory = true;
	free(text);
	r = l.fault_count > 0 ? -EINVAL : 0;
	if (l.out_of_memory)
		r = -ENOMEM;
	loader_done(&l, faults);
	if (r < 0)
		settings_free(l.settings);
	else
		*ret_settings = l.settings;
	return r;
}
