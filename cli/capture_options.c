#include "capture_options.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "wirespool/errbuf.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum kind {
	KIND_TEXT,
	KIND_PATH,
	KIND_LIST,   /* one item each time that it is given */
	KIND_COMMAS, /* all items at once */
	KIND_TIME,
	KIND_SIZE,
	KIND_COUNT,
	KIND_FLAG,
};
enum { CPU_MAX = 4095 };

/* Each option with its member of the request. */
static const struct member {
	int key;
	enum kind kind;
	const char *option;
	const char *name;
} members[] = {
	{'f', KIND_TEXT, "--filter", "filter"},
	{KEY_RULES, KIND_PATH, "--rules", "rules_file"},
	{KEY_VLAN, KIND_TEXT, "--vlan", "vlan"},
	{KEY_INNER, KIND_COMMAS, "--inner", "inner"},
	{KEY_FRAGMENTS, KIND_TEXT, "--fragments", "fragments"},
	{'s', KIND_TEXT, "--snaplen", "snaplen"},
	{KEY_CUTOFF, KIND_SIZE, "--cutoff", "cutoff"},
	{KEY_AFTER, KIND_TEXT, "--after", "after"},
	{'o', KIND_LIST, "--output", "stripes"},
	{KEY_FOR, KIND_TIME, "--for", "for"},
	{KEY_PACKETS, KIND_COUNT, "--packets", "packets"},
	{KEY_BYTES, KIND_SIZE, "--bytes", "bytes"},
	{KEY_ROTATE, KIND_SIZE, "--rotate", "rotate_bytes"},
	{KEY_EVERY, KIND_TIME, "--every", "rotate_every"},
	{KEY_ON_CLOCK, KIND_FLAG, "--on-clock", "rotate_on_clock"},
	{KEY_NAME, KIND_TEXT, "--name", "name"},
};

/* Whether the daemon will be able to read the value; 0 would mean "no limit" there. */
static int check_value(enum kind kind, const char *argument, uint64_t *ret, struct errbuf *err)
{
	int r = 0;

	*ret = 1;
	if (kind == KIND_TIME)
		r = duration_parse(argument, ret, err);
	else if (kind == KIND_SIZE)
		r = size_parse(argument, ret, err);
	else if (kind == KIND_COUNT)
		r = number_parse(argument, "N", 1, INT64_MAX, ret, err);
	if (r == 0 && *ret == 0)
		r = fail_with(err, -EINVAL, "'%s' is nothing: must be more than 0", argument);
	return r;
}

json_t *capture_commas(const char *text)
{
	json_t *list = json_array();
	size_t length;

	for (;; text += length + 1) {
		length = strcspn(text, ",");
		if (json_array_append_new(list, json_stringn(text, length)) != 0) {
			json_decref(list);
			return NULL;
		}
		if (text[length] == '\0')
			return list;
	}
}

int capture_path(const struct usage *usage, const char *option, const char *path, json_t **ret_text)
{
	char cwd[PATH_MAX];

	if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL)
		return options_fail(usage, "%s: '%s': the current directory is gone", option, path);
	*ret_text = path[0] == '/' ? json_string(path) : json_sprintf("%s/%s", cwd, path);
	if (*ret_text == NULL)
		return options_fail(usage, "%s: '%s' is not UTF-8 text", option, path);
	return EXIT_GOOD;
}

int capture_option(const struct usage *usage, int key, const char *argument, json_t *request)
{
	const struct member *m = members;
	struct errbuf err = {""};
	json_t *text;
	uint64_t value;
	int failed;

	while (m < members + sizeof(members) / sizeof(members[0]) && m->key != key)
		m++;
	assert(m < members + sizeof(members) / sizeof(members[0]));
	if (check_value(m->kind, argument, &value, &err) < 0)
		return options_fail(usage, "%s: %s", m->option, err.text);
	if (argument != NULL && argument[0] == '\0' && key != 'f')
		return options_fail(usage, "%s: must not be empty", m->option);
	if (m->kind == KIND_LIST) {
		json_t *list = json_object_get(request, m->name);

		if (list == NULL && json_object_set_new(request, m->name, json_array()) == 0)
			list = json_object_get(request, m->name);
		failed = json_array_append_new(list, json_string(argument));
	} else if (m->kind == KIND_PATH) {
		if (capture_path(usage, m->option, argument, &text) != EXIT_GOOD)
			return EXIT_USAGE;
		failed = json_object_set_new(request, m->name, text);
	} else if (m->kind == KIND_COMMAS) {
		failed = json_object_set_new(request, m->name, capture_commas(argument));
	} else if (m->kind == KIND_FLAG) {
		failed = json_object_set_new(request, m->name, json_true());
	} else if (m->kind == KIND_COUNT) {
		failed = json_object_set_new(request, m->name, json_integer((json_int_t)value));
	} else {
		failed = json_object_set_new(request, m->name, json_string(argument));
	}
	/* jansson takes only UTF-8; the other cause, no memory for a word, does not happen first here */
	if (failed != 0)
		return options_fail(usage, "%s: '%s' is not UTF-8 text", m->option, argument);
	return EXIT_GOOD;
}

int capture_options_check(const struct usage *usage, const json_t *request)
{
	if (json_object_get(request, "rotate_on_clock") != NULL &&
		json_object_get(request, "rotate_every") == NULL)
		return options_fail(usage, "--on-clock says how --every cuts; give --every TIME");
	if (json_object_get(request, "after") != NULL && json_object_get(request, "cutoff") == NULL)
		return options_fail(
			usage, "--after says what is behind --cutoff; give --cutoff SIZE");
	return EXIT_GOOD;
}

int capture_cpus(const struct usage *usage, const char *list, json_t *request)
{
	json_t *cpus = json_array();
	const char *at = list;
	unsigned long first, last;
	char *end;

	(void)json_object_set_new(request, "cpus", cpus);
	do {
		errno = 0;
		first = last = strtoul(at, &end, 10);
		if (*at < '0' || *at > '9')
			break;
		if (*end == '-') {
			at = end + 1;
			last = strtoul(at, &end, 10);
			if (*at < '0' || *at > '9')
				break;
		}
		if (errno != 0 || last > CPU_MAX || first > last)
			break;
		for (; first <= last; first++)
			(void)json_array_append_new(cpus, json_integer((json_int_t)first));
		if (*end == '\0')
			return EXIT_GOOD;
		at = end + 1;
	} while (*end == ',');
	return options_fail(usage,
		"--cpus: '%s' is not a list of CPUs: numbers up to %d and ranges, \"2,4-6\"", list,
		CPU_MAX);
}
