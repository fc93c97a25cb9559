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

enum { ETHERNET = 1, RADIOTAP = 127, VALUE_SHOWN = 400 };

/* What a file may hold instead of Ethernet: raw IP, Linux cooked v1 and v2, Wi-Fi. */
static const int OTHER_LINKTYPES[] = {12, 113, 276, RADIOTAP};

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

	if (r->rule_set != NULL)
		return; /* a change that leaves the rules as they were read */
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
	if (r->filter != NULL && strlen(r->filter) > FILTER_LONGEST) {
		(void)fail_with(&err, 0,
			"has %zu bytes, at most %d: give its hosts, nets and ports as rules",
			strlen(r->filter), FILTER_LONGEST);
		report(arg, "recordings[].filter", -1, err.text);
	} else if (r->filter != NULL && strlen(r->filter) <= FILTER_LONG &&
		   filter_check(r->filter, any_linktype, &err) < 0) {
		report(arg, "recordings[].filter", -1, err.text);
	}
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

/* What its values ask for */

void recording_filter_options(const struct recording_settings *r, struct filter_options *ret)
{
	*ret = (struct filter_options){
		.expression = r->filter,
		.rules = r->rule_set,
		.vlan = r->vlan,
		.fragments = r->fragments,
		.inner = r->inner,
		.cutoff_bytes = r->cutoff_bytes,
		.after = r->after,
		.cutoff_flows = r->cutoff_flows,
	};
}

static bool is_preset(const struct setting *s, const char *value)
{
	char quoted[64];

	if (s->preset == NULL)
		return strcmp(value, "none") == 0;
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", s->preset);
	return strcmp(value, s->preset) == 0 || strcmp(value, quoted) == 0;
}

char *recording_filter_text(const struct recording_settings *r)
{
	char *text = NULL, *value;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return NULL;
	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		const char *name = s->path + strlen("recordings[].");

		if (setting_owner(s) != OWNER_RECORDING || !s->live)
			continue;
		value = setting_to_text(s, r);
		if (value != NULL && !is_preset(s, value)) {
			const char *shown = s->type == SETTING_TEXTS ? "a list" : value;

			(void)fprintf(f, "%s%s = %.*s%s", ftell(f) > 0 ? "; " : "", name,
				VALUE_SHOWN, shown, strlen(shown) > VALUE_SHOWN ? "...\"" : "");
			if (strncmp(name, "rules", strlen("rules")) == 0 && r->rule_set != NULL)
				(void)fprintf(f, " (%u rules)", r->rule_set->count);
		}
		free(value);
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}
