/* rooms: control */
/* Holds etc/wirespool.conf and docs/wirespool.conf.5 against the table of settings. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/settings_table.h"
#include "suite_main.h"

#define CONF TEST_DATA "/../../etc/wirespool.conf"
#define MAN  TEST_DATA "/../../docs/wirespool.conf.5"

enum { TEXT_MAX = 65536 };

static void read_text(const char *path, char text[TEXT_MAX])
{
	FILE *f = fopen(path, "re");
	size_t n;

	ck_assert_msg(f != NULL, "cannot open %s", path);
	n = fread(text, 1, TEXT_MAX - 1, f);
	ck_assert_uint_lt(n, TEXT_MAX - 1);
	text[n] = '\0';
	(void)fclose(f);
}

/* Line breaks, comment signs and runs of blanks become one blank; mdoc's escapes what they stand for. */
static void flatten(char *text)
{
	char *out = text;

	for (const char *p = text; *p != '\0'; p++) {
		if (strncmp(p, "\\(dq", 4) == 0) {
			*out++ = '"';
			p += 3;
		} else if (*p == '\\' && (p[1] == '-' || p[1] == '&')) {
			if (p[1] == '-')
				*out++ = '-';
			p++;
		} else if (*p == '\n' || *p == '\t' || *p == ' ' || *p == '#') {
			if (out > text && out[-1] != ' ')
				*out++ = ' ';
		} else {
			*out++ = *p;
		}
	}
	*out = '\0';
}

static const char *when_of(const struct setting *s)
{
	if (s->live)
		return "live";
	return s->reload ? "reload" : "start";
}

/* The default as the file has it: text in quotes. */
static const char *default_of(const struct setting *s, char buf[128])
{
	bool bare = s->type == SETTING_BOOL || s->type == SETTING_NUMBER;

	if (s->preset == NULL)
		return s->required ? "none, must be given" : "none";
	(void)snprintf(buf, 128, bare ? "%s" : "\"%s\"", s->preset);
	return buf;
}

START_TEST(the_table_agrees_with_itself)
{
	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		ck_assert_ptr_nonnull(s->help);
		ck_assert_msg(setting_is_group(s) || s->rule != NULL, "%s has no rule", s->path);
		ck_assert_msg(s->preset == NULL || !s->required, "%s", s->path);
		ck_assert_msg(setting_find(s->path) == s, "%s is there twice", s->path);
		ck_assert_msg(!s->live || s->reload, "%s", s->path);
	}
}
END_TEST

START_TEST(the_file_has_each_setting_with_when_default_help_and_rule)
{
	static char text[TEXT_MAX];
	char want[1024], preset[128];

	read_text(CONF, text);
	flatten(text);
	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		const char *dot = strrchr(s->path, '.');

		if (setting_is_group(s))
			(void)snprintf(want, sizeof(want), "%s", s->help);
		else
			(void)snprintf(want, sizeof(want),
				" %s [%s] default: %s %s Rule: %s. %s = ", s->path, when_of(s),
				default_of(s, preset), s->help, s->rule, dot + 1);
		ck_assert_msg(strstr(text, want) != NULL, "%s does not say:\n%s", CONF, want);
	}
}
END_TEST

START_TEST(the_manual_has_each_setting_with_when_default_help_and_rule)
{
	static char text[TEXT_MAX];
	char want[1024], preset[128];

	read_text(MAN, text);
	flatten(text);
	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		const char *when = when_of(s);

		if (s->type == SETTING_GROUP && setting_owner(s) == OWNER_SETTINGS)
			continue; /* named in the section's first line */
		if (setting_is_group(s))
			(void)snprintf(want, sizeof(want), " .It Ic %s %s .Bq %s ", s->path,
				s->help, when);
		else
			(void)snprintf(want, sizeof(want),
				" .It Ic %s %s .Pp Rule: %s. Default: %s. .Bq %s ", s->path,
				s->help, s->rule, default_of(s, preset), when);
		ck_assert_msg(strstr(text, want) != NULL, "%s does not say:\n%s", MAN, want);
	}
}
END_TEST

/* Counts how often the manual and the file name settings, so that none is there that the table has not. */
START_TEST(neither_names_a_setting_that_is_not_there)
{
	static char text[TEXT_MAX];
	char path[128];

	read_text(MAN, text);
	for (const char *p = text; (p = strstr(p, "\n.It Ic ")) != NULL; p++) {
		ck_assert_int_eq(sscanf(p, "\n.It Ic %127[^\n]", path), 1);
		ck_assert_msg(setting_find(path) != NULL, "%s has %s", MAN, path);
	}
	read_text(CONF, text);
	for (const char *p = text; (p = strstr(p, "  default: ")) != NULL; p++) {
		const char *start = p;

		while (start > text && strchr("\n\t", start[-1]) == NULL)
			start--;
		ck_assert_int_eq(sscanf(start, "# %127s", path), 1);
		ck_assert_msg(setting_find(path) != NULL, "%s has %s", CONF, path);
	}
}
END_TEST

/* Loads text from a file of its own. */
static struct settings *must_load(const char *text)
{
	char name[] = "/tmp/wirespool-conf-XXXXXX";
	struct faults faults = {0};
	struct settings *s = NULL;
	int fd = mkstemp(name);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	(void)close(fd);
	(void)settings_load(name, &s, &faults);
	(void)unlink(name);
	ck_assert_msg(s != NULL, "%s", faults.count > 0 ? faults.texts[0] : "no fault");
	faults_free(&faults);
	return s;
}

START_TEST(the_file_as_it_is_shipped_changes_nothing)
{
	static char text[TEXT_MAX];
	struct settings *s;

	read_text(CONF, text);
	s = must_load(text);
	ck_assert_uint_eq(s->origin_count, 0);
	settings_free(s);
}
END_TEST

/* Takes away a "#" at a line's start, unless a blank follows: then it is prose. */
static void uncomment(char *text)
{
	bool line_start = true;
	char *out = text;

	for (const char *p = text; *p != '\0'; p++) {
		if (line_start && *p == '#' && p[1] != ' ') {
			line_start = false;
			continue;
		}
		line_start = *p == '\n' || (line_start && *p == '\t');
		*out++ = *p;
	}
	*out = '\0';
}

static void replace(char text[TEXT_MAX], const char *from, const char *to)
{
	char *place = strstr(text, from);
	char rest[TEXT_MAX];

	ck_assert_msg(place != NULL, "no %s", from);
	(void)snprintf(rest, sizeof(rest), "%s", place + strlen(from));
	(void)snprintf(place, (size_t)(text + TEXT_MAX - place), "%s%s", to, rest);
}

START_TEST(the_file_without_its_comment_signs_sets_every_setting)
{
	static char text[TEXT_MAX];
	struct settings *s;

	read_text(CONF, text);
	uncomment(text);
	/* What hangs on the machine. */
	replace(text, "\"/data0\", \"/data1\"", "\"null:\"");
	replace(text, "\"/data0\"", "\"null:\"");
	replace(text, "/etc/wirespool/office.rules", TEST_DATA "/office.rules");
	replace(text, "\"eth0\"", "\"lo\"");
	replace(text, "\"wireshark\"", "\"root\"");
	replace(text, "cpus = [1];", "cpus = [0];");
	s = must_load(text);
	for (const struct setting *k = SETTINGS; k->path != NULL; k++) {
		char path[128] = "";
		bool set = false;

		/* "a[].b" -> "a[0].b"; the second window of the example has the rrule, the second
		 * recording the list of rules. */
		for (const char *p = k->path; *p != '\0'; p++) {
			size_t n = strlen(path);

			(void)snprintf(path + n, sizeof(path) - n, "%c%s", *p,
				*p != '['                                                  ? ""
				: strcmp(p, "[].rrule") == 0 || strcmp(p, "[].rules") == 0 ? "1"
											   : "0");
		}
		for (unsigned int i = 0; i < s->origin_count; i++)
			set = set || strcmp(s->origins[i].path, path) == 0;
		ck_assert_msg(set || setting_is_group(k), "%s is not set", path);
	}
	settings_free(s);
}
END_TEST

/* Values that the file shows of settings with a default outside its examples are that default. */
START_TEST(what_the_file_shows_of_the_daemon_are_the_defaults)
{
	static char text[TEXT_MAX];
	struct settings *s, *built_in = settings_new();

	read_text(CONF, text);
	uncomment(text);
	ck_assert_ptr_nonnull(built_in);
	*strstr(text, "\nports: (") = '\0';
	replace(text, "\"wireshark\"", "\"root\"");
	replace(text, "cpus = [1];", "cpus = [0];");
	s = must_load(text);
	for (const struct setting *k = SETTINGS; k->path != NULL; k++) {
		char *shown, *preset;

		if (setting_is_group(k) || setting_owner(k) != OWNER_SETTINGS || k->preset == NULL)
			continue;
		shown = setting_to_text(k, s);
		preset = setting_to_text(k, built_in);
		ck_assert_str_eq(shown, preset);
		free(shown);
		free(preset);
	}
	settings_free(built_in);
	settings_free(s);
}
END_TEST

START_TEST(a_value_as_text_is_read_back_as_the_same)
{
	static const char *const times[] = {"1500us", "90s", "1h30m", "60s", "48h", "1ms"};
	static const char *const sizes[] = {"8388609", "10GB", "64MiB", "1TiB", "100000KiB"};
	const struct setting *time = setting_find("recordings[].limit.time");
	const struct setting *size = setting_find("recordings[].limit.bytes");
	struct recording_settings a = {0}, b = {0};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		char *text;

		ck_assert_int_eq(setting_from_text(time, times[i], &a, NULL), 0);
		text = setting_to_text(time, &a);
		text[strlen(text) - 1] = '\0';
		ck_assert_int_eq(setting_from_text(time, text + 1, &b, NULL), 0);
		ck_assert_uint_eq(a.limit_ns, b.limit_ns);
		free(text);
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *text;

		ck_assert_int_eq(setting_from_text(size, sizes[i], &a, NULL), 0);
		text = setting_to_text(size, &a);
		text[strlen(text) - 1] = '\0';
		ck_assert_int_eq(setting_from_text(size, text + 1, &b, NULL), 0);
		ck_assert_uint_eq(a.limit_bytes, b.limit_bytes);
		free(text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("settings_texts");
	TCase *tc = tcase_create("texts");

	tcase_add_test(tc, the_table_agrees_with_itself);
	tcase_add_test(tc, the_file_has_each_setting_with_when_default_help_and_rule);
	tcase_add_test(tc, the_manual_has_each_setting_with_when_default_help_and_rule);
	tcase_add_test(tc, neither_names_a_setting_that_is_not_there);
	tcase_add_test(tc, the_file_as_it_is_shipped_changes_nothing);
	tcase_add_test(tc, the_file_without_its_comment_signs_sets_every_setting);
	tcase_add_test(tc, what_the_file_shows_of_the_daemon_are_the_defaults);
	tcase_add_test(tc, a_value_as_text_is_read_back_as_the_same);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
