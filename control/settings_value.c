#include "settings_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/units.h"

static void *at(void *base, size_t offset)
{
	return (char *)base + offset;
}

static const void *const_at(const void *base, size_t offset)
{
	return (const char *)base + offset;
}

static int out_of_range(const struct setting *s, const char *text, struct errbuf *err)
{
	return fail_with(err, -EINVAL, "\"%s\" must be %s", text, s->rule);
}

static int choice_from_text(
	const struct setting *s, const char *text, void *base, struct errbuf *err)
{
	for (int i = 0; s->choices[i] != NULL; i++) {
		if (strcmp(s->choices[i], text) != 0)
			continue;
		*(int *)at(base, s->offset) = i;
		return 0;
	}
	return out_of_range(s, text, err);
}

static int text_from_text(const struct setting *s, const char *text, void *base, struct errbuf *err)
{
	char **place = at(base, s->offset);
	char *copy = strdup(text);

	if (copy == NULL)
		return fail_with(err, -ENOMEM, "out of memory");
	free(*place);
	*place = copy;
	return 0;
}

int setting_from_number(const struct setting *s, int64_t number, void *base, struct errbuf *err)
{
	if (number < (int64_t)s->min || number > (int64_t)s->max)
		return fail_with(err, -EINVAL, "%" PRId64 " must be %s", number, s->rule);
	*(uint32_t *)at(base, s->offset) = (uint32_t)number;
	return 0;
}

int setting_add_flag(const struct setting *s, const char *text, void *base, struct errbuf *err)
{
	unsigned int *flags = at(base, s->offset), flag = 1;

	for (unsigned int i = 0; s->choices[i] != NULL; i++, flag <<= 1) {
		if (strcmp(s->choices[i], text) != 0)
			continue;
		if ((*flags & flag) != 0)
			return fail_with(err, -EINVAL, "\"%s\" is there twice", text);
		*flags |= flag;
		return 0;
	}
	return fail_with(err, -EINVAL, "\"%s\" is not one of: %s", text, s->rule);
}

int setting_from_text(const struct setting *s, const char *text, void *base, struct errbuf *err)
{
	uint64_t value = 0;
	int r = 0;

	switch (s->type) {
	case SETTING_TEXT:
		return text_from_text(s, text, base, err);
	case SETTING_CHOICE:
		return choice_from_text(s, text, base, err);
	case SETTING_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return out_of_range(s, text, err);
		*(bool *)at(base, s->offset) = text[0] == 't';
		return 0;
	case SETTING_SIZE:
		r = size_parse(text, &value, err);
		break;
	case SETTING_TIME:
		r = duration_parse(text, &value, err);
		break;
	case SETTING_COUNT:
	case SETTING_NUMBER:
		if (number_parse(text, "", s->min, s->max, &value, NULL) < 0)
			return out_of_range(s, text, err);
		break;
	case SETTING_GROUP:
	case SETTING_GROUPS:
	case SETTING_CPUS:
	case SETTING_TEXTS:
	case SETTING_FLAGS:
		return fail_with(err, -EINVAL, "is not one value");
	}
	if (r < 0)
		return r;
	if (value < s->min || value > s->max)
		return out_of_range(s, text, err);
	if (s->type == SETTING_NUMBER)
		*(uint32_t *)at(base, s->offset) = (uint32_t)value;
	else
		*(uint64_t *)at(base, s->offset) = value;
	return 0;
}

/* Exact, and read back as the same: units.h's own texts are rounded, for people. */
static char *scaled_text(uint64_t value, const uint64_t factors[], const char *const names[])
{
	unsigned int i = 0;
	char *text;

	while (factors[i] > 1 && value % factors[i] != 0)
		i++;
	if (asprintf(&text, "\"%" PRIu64 "%s\"", value / factors[i], names[i]) < 0)
		return NULL;
	return text;
}

static char *size_text(uint64_t bytes)
{
	static const uint64_t factors[] = {1ULL << 40, 1ULL << 30, 1ULL << 20, 1ULL << 10, 1};
	static const char *const names[] = {"TiB", "GiB", "MiB", "KiB", "B"};

	return scaled_text(bytes, factors, names);
}

static char *time_text(uint64_t ns)
{
	static const uint64_t factors[] = {
		3600 * NS_PER_SEC, 60 * NS_PER_SEC, NS_PER_SEC, NS_PER_SEC / 1000, 1000, 1};
	static const char *const names[] = {"h", "m", "s", "ms", "us", "ns"};

	if (ns == 0)
		return strdup("\"0\"");
	/* People say 60s. */
	return ns == 60 * NS_PER_SEC ? strdup("\"60s\"") : scaled_text(ns, factors, names);
}

/* In quotes, as libconfig reads it back. */
static char *quoted_text(const char *text)
{
	char *quoted = malloc(strlen(text) * 4 + 3);
	char *out = quoted;

	if (quoted == NULL)
		return NULL;
	*out++ = '"';
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < ' ') {
			out += sprintf(out, "\\x%02x", (unsigned int)(unsigned char)*text);
			continue;
		}
		if (*text == '"' || *text == '\\')
			*out++ = '\\';
		*out++ = *text;
	}
	*out++ = '"';
	*out = '\0';
	return quoted;
}

static char *list_text(const struct setting *s, const void *base)
{
	unsigned int count = *(const unsigned int *)const_at(base, s->count_offset);
	char *text = NULL, *item;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return NULL;
	(void)fputc('[', f);
	for (unsigned int i = 0; i < count; i++) {
		(void)fputs(i == 0 ? "" : ", ", f);
		if (s->type == SETTING_CPUS) {
			(void)fprintf(f, "%d", ((const int *)const_at(base, s->offset))[i]);
			continue;
		}
		item = quoted_text((*(char *const *const *)const_at(base, s->offset))[i]);
		(void)fputs(item != NULL ? item : "", f);
		free(item);
	}
	(void)fputc(']', f);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static char *flags_text(const struct setting *s, unsigned int flags)
{
	const char *between = "[";
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (f == NULL)
		return NULL;
	for (unsigned int i = 0; s->choices[i] != NULL; i++) {
		if ((flags & (1U << i)) == 0)
			continue;
		(void)fprintf(f, "%s\"%s\"", between, s->choices[i]);
		between = ", ";
	}
	(void)fputc(']', f);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

char *setting_to_text(const struct setting *s, const void *base)
{
	const void *place = const_at(base, s->offset);
	const char *text;
	char *made;

	switch (s->type) {
	case SETTING_GROUP:
	case SETTING_GROUPS:
		break;
	case SETTING_BOOL:
		return strdup(*(const bool *)place ? "true" : "false");
	case SETTING_NUMBER:
		return asprintf(&made, "%" PRIu32, *(const uint32_t *)place) < 0 ? NULL : made;
	case SETTING_COUNT:
		if (*(const uint64_t *)place == 0)
			break;
		return asprintf(&made, "\"%" PRIu64 "\"", *(const uint64_t *)place) < 0 ? NULL
											: made;
	case SETTING_SIZE:
		if (*(const uint64_t *)place == 0 && s->min > 0)
			break;
		return size_text(*(const uint64_t *)place);
	case SETTING_TIME:
		if (*(const uint64_t *)place == 0 && s->min > 0)
			break;
		return time_text(*(const uint64_t *)place);
	case SETTING_TEXT:
		text = *(const char *const *)place;
		if (text == NULL)
			break;
		return quoted_text(text);
	case SETTING_CHOICE:
		return quoted_text(s->choices[*(const int *)place]);
	case SETTING_CPUS:
	case SETTING_TEXTS:
		if (*(const unsigned int *)const_at(base, s->count_offset) == 0)
			break;
		return list_text(s, base);
	case SETTING_FLAGS:
		if (*(const unsigned int *)place == 0)
			break;
		return flags_text(s, *(const unsigned int *)place);
	}
	return strdup("none");
}

int settings_preset(enum setting_owner owner, void *base)
{
	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		int r;

		if (s->preset == NULL || setting_owner(s) != owner)
			continue;
		r = setting_from_text(s, s->preset, base, NULL);
		if (r < 0)
			return r;
	}
	return 0;
}
