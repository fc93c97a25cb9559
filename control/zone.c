#include "zone.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libical/ical.h>

enum { DAY_S = 86400 };

struct zone {
	char *name;
	icaltimezone *ical; /* libical's, not ours to free; NULL: UTC */
};

/* Where libical looks for the tz database, in its order (icaltz-util.c). */
static const char *const DATABASES[] = {
	"/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/etc/zoneinfo", "/usr/share/lib/zoneinfo"};

/* libical builds paths of what it is given: only names that stay inside the database reach it. */
static bool name_is_plain(const char *name)
{
	if (name[0] == '\0' || name[0] == '/' || strlen(name) > 64 || strstr(name, "..") != NULL)
		return false;
	for (const char *p = name; *p != '\0'; p++)
		if (!isalnum((unsigned char)*p) && strchr("/_+-", *p) == NULL)
			return false;
	return true;
}

static const char *database(void)
{
	char path[64];

	for (size_t i = 0; i < sizeof(DATABASES) / sizeof(DATABASES[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/zone.tab", DATABASES[i]);
		if (access(path, R_OK) == 0)
			return DATABASES[i];
	}
	return NULL;
}

/* "/usr/share/zoneinfo/Europe/Berlin" and "posix/Europe/Berlin" -> "Europe/Berlin" */
static const char *strip_database(const char *path)
{
	const char *inside = strstr(path, "/zoneinfo/");

	if (inside != NULL)
		path = inside + strlen("/zoneinfo/");
	return strncmp(path, "posix/", 6) == 0 ? path + 6 : path;
}

static bool read_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	bool got;

	if (f == NULL)
		return false;
	got = fgets(buf, (int)size, f) != NULL;
	(void)fclose(f);
	if (got)
		buf[strcspn(buf, "\n")] = '\0';
	return got && buf[0] != '\0';
}

/* The machine's own zone, as localtime(5) and tzset(3) have it. */
static int own_name(char *ret, size_t size, struct errbuf *err)
{
	const char *tz = getenv("TZ");
	char link[PATH_MAX];
	ssize_t len;

	if (tz != NULL && *tz == ':')
		tz++;
	if (tz != NULL && *tz != '\0' && strcmp(tz, "/etc/localtime") != 0) {
		(void)snprintf(ret, size, "%s", strip_database(tz));
		return 0;
	}
	len = readlink("/etc/localtime", link, sizeof(link) - 1);
	if (len > 0) {
		link[len] = '\0';
		(void)snprintf(ret, size, "%s", strip_database(link));
		return 0;
	}
	if (read_line("/etc/timezone", ret, size))
		return 0;
	if (access("/etc/localtime", F_OK) != 0) {
		(void)snprintf(ret, size, "UTC");
		return 0;
	}
	return fail_with(err, -ENOENT,
		"the machine's time zone has no name: /etc/localtime is no link and there is no "
		"/etc/timezone; say timezone = \"UTC\" or another");
}

static int find_ical(const char *name, icaltimezone **ret_ical, struct errbuf *err)
{
	char path[PATH_MAX + 64];
	const char *base;

	*ret_ical = NULL;
	if (strcmp(name, "UTC") == 0)
		return 0;
	if (!name_is_plain(name) || strncmp(name, "right/", 6) == 0 ||
		strncmp(name, "posix/", 6) == 0)
		return fail_with(err, -ENOENT,
			"\"%s\" is not a time zone, try \"Europe/Berlin\" or \"UTC\"", name);
	base = database();
	if (base == NULL)
		return fail_with(err, -ENOENT,
			"time zone \"%s\": this machine has no time zone database, install tzdata "
			"(only \"UTC\" does without)",
			name);
	/* Asked here, as libical says no more than that it failed. */
	(void)snprintf(path, sizeof(path), "%s/%s", base, name);
	if (access(path, R_OK) == 0)
		*ret_ical = icaltimezone_get_builtin_timezone(name);
	/* A file that is no zone has no component: it would count as UTC. */
	if (*ret_ical == NULL || (*ret_ical != icaltimezone_get_utc_timezone() &&
					 icaltimezone_get_component(*ret_ical) == NULL))
		return fail_with(err, -ENOENT,
			"\"%s\" is not a time zone of %s, try \"Europe/Berlin\" or \"UTC\"", name,
			base);
	return 0;
}

int zone_new(const char *name, struct zone **ret_zone, struct errbuf *err)
{
	char own[PATH_MAX];
	struct zone *z;
	int r;

	if (name == NULL) {
		r = own_name(own, sizeof(own), err);
		if (r < 0)
			return r;
		name = own;
	}
	z = calloc(1, sizeof(*z));
	if (z == NULL)
		return fail_with(err, -ENOMEM, "out of memory");
	r = find_ical(name, &z->ical, err);
	if (r == 0) {
		z->name = strdup(name);
		if (z->name == NULL)
			r = fail_with(err, -ENOMEM, "out of memory");
	}
	if (r < 0) {
		zone_free(z);
		return r;
	}
	*ret_zone = z;
	return 0;
}

void zone_free(struct zone *z)
{
	if (z == NULL)
		return;
	free(z->name);
	free(z);
}

const char *zone_name(const struct zone *z)
{
	return z->name;
}

int64_t zone_offset(const struct zone *z, int64_t instant)
{
	struct icaltimetype t;

	if (z->ical == NULL)
		return 0;
	t = icaltime_from_timet_with_zone((time_t)instant, 0, icaltimezone_get_utc_timezone());
	return icaltimezone_get_utc_offset_of_utc_time(z->ical, &t, NULL);
}

int64_t zone_instant(const struct zone *z, int64_t wall)
{
	/* No clock changes twice within two days, so these are the offsets before and after a change near wall. */
	int64_t before = zone_offset(z, wall - DAY_S);
	int64_t after = zone_offset(z, wall + DAY_S);
	int64_t low, high;

	/* Of an hour that comes twice the offset before the change gives the first. */
	if (zone_offset(z, wall - before) == before)
		return wall - before;
	if (zone_offset(z, wall - after) == after)
		return wall - after;

	/* In a gap: low is an instant before the change, high one after it. */
	low = wall - after;
	high = wall - before;
	while (high - low > 1) {
		int64_t middle = low + (high - low) / 2;

		if (zone_offset(z, middle) == before)
			low = middle;
		else
			high = middle;
	}
	return high;
}
