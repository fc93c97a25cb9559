#include "wirespool/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct unit {
	const char *name;
	uint64_t factor;
};

static const struct unit SIZE_UNITS[] = {{"", 1}, {"B", 1}, {"k", 1000}, {"K", 1000}, {"kB", 1000},
	{"KB", 1000}, {"M", 1000000}, {"MB", 1000000}, {"G", 1000000000}, {"GB", 1000000000},
	{"T", 1000000000000}, {"TB", 1000000000000}, {"Ki", 1ULL << 10}, {"KiB", 1ULL << 10},
	{"Mi", 1ULL << 20}, {"MiB", 1ULL << 20}, {"Gi", 1ULL << 30}, {"GiB", 1ULL << 30},
	{"Ti", 1ULL << 40}, {"TiB", 1ULL << 40}, {NULL, 0}};

static const struct unit TIME_UNITS[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000},
	{"s", NS_PER_SEC}, {"m", 60 * NS_PER_SEC}, {"min", 60 * NS_PER_SEC},
	{"h", 3600 * NS_PER_SEC}, {"d", 86400 * NS_PER_SEC}, {NULL, 0}};

static const struct unit RATE_UNITS[] = {{"", 1}, {"k", 1000}, {"K", 1000}, {"M", 1000000},
	{"G", 1000000000}, {"T", 1000000000000}, {NULL, 0}};

/*
 * Reads "NUMBER UNIT" at text, the unit ending at a digit or the text's end. Stores where it stopped.
 * A decimal fraction is taken exactly, as whole units of the smallest size.
 */
static int scaled_parse(
	const char *text, const struct unit units[], uint64_t *ret, const char **end)
{
	uint64_t whole = 0, fraction = 0, fraction_unit = 1;
	const struct unit *u;
	const char *p = text;
	unsigned __int128 sum;
	size_t len;

	if (!isdigit((unsigned char)*p))
		return -EINVAL;
	for (; isdigit((unsigned char)*p); p++) {
		if (whole > (UINT64_MAX - 9) / 10)
			return -ERANGE;
		whole = whole * 10 + (uint64_t)(*p - '0');
	}
	if (*p == '.') {
		if (!isdigit((unsigned char)p[1]))
			return -EINVAL;
		for (p++; isdigit((unsigned char)*p); p++) {
			if (fraction_unit >= NS_PER_SEC)
				continue; /* digits past the ninth do not count */
			fraction = fraction * 10 + (uint64_t)(*p - '0');
			fraction_unit *= 10;
		}
	}
	if (*p == ' ' && isalpha((unsigned char)p[1]))
		p++;
	len = strcspn(p, "0123456789");
	for (u = units; u->name != NULL; u++)
		if (strlen(u->name) == len && strncmp(u->name, p, len) == 0)
			break;
	if (u->name == NULL)
		return -EINVAL;
	sum = (unsigned __int128)whole * u->factor +
	      (unsigned __int128)fraction * u->factor / fraction_unit;
	if (sum > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)sum;
	*end = p + len;
	return 0;
}

static int range_fault(struct errbuf *err, const char *text)
{
	return fail_with(err, -ERANGE, "\"%s\" is too large: it does not fit in 64 bits", text);
}

int size_parse(const char *text, uint64_t *ret_bytes, struct errbuf *err)
{
	const char *end;
	uint64_t bytes;
	int r = scaled_parse(text, SIZE_UNITS, &bytes, &end);

	if (r == -ERANGE)
		return range_fault(err, text);
	if (r < 0 || *end != '\0')
		return fail_with(err, -EINVAL, "\"%s\" is not a size, try \"64MiB\"", text);
	*ret_bytes = bytes;
	return 0;
}

int duration_parse(const char *text, uint64_t *ret_ns, struct errbuf *err)
{
	uint64_t sum_ns = 0, part_ns;
	const char *p = text;

	if (strcmp(text, "0") == 0) {
		*ret_ns = 0;
		return 0;
	}
	do {
		int r = scaled_parse(p, TIME_UNITS, &part_ns, &p);

		if (r == -ERANGE || (r == 0 && part_ns > UINT64_MAX - sum_ns))
			return range_fault(err, text);
		if (r < 0)
			return fail_with(err, -EINVAL,
				"\"%s\" is not a time, try \"10s\", \"500ms\", \"1h30m\"", text);
		sum_ns += part_ns;
	} while (*p != '\0');
	*ret_ns = sum_ns;
	return 0;
}

int rate_parse(const char *text, uint64_t *ret_bps, struct errbuf *err)
{
	static const char *const suffixes[] = {"bit/s", "bps", ""};
	char number[UNITS_TEXT];
	const char *end;
	uint64_t bps;
	size_t len = strlen(text);
	int r;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		size_t tail = strlen(suffixes[i]);

		if (len >= tail && strcmp(text + len - tail, suffixes[i]) == 0) {
			len -= tail;
			break;
		}
	}
	if (len >= sizeof(number))
		return fail_with(err, -EINVAL, "\"%s\" is not a rate, try \"40G\"", text);
	memcpy(number, text, len);
	number[len] = '\0';
	r = scaled_parse(number, RATE_UNITS, &bps, &end);
	if (r == -ERANGE)
		return range_fault(err, text);
	if (r < 0 || *end != '\0')
		return fail_with(err, -EINVAL, "\"%s\" is not a rate, try \"40G\"", text);
	*ret_bps = bps;
	return 0;
}

int number_parse(const char *text, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
	struct errbuf *err)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || n < min || n > max)
		return fail_with(err, -EINVAL,
			"%s must be a whole number in %" PRIu64 "..%" PRIu64 ", got \"%s\"", name,
			min, max, text);
	*ret = n;
	return 0;
}

char *size_format(uint64_t bytes, char buf[UNITS_TEXT])
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned int i = 0;

	/* What would be rounded up to 1024 is one of the next unit. */
	for (; value >= (i == 0 ? 1024 : 1023.95) && i + 1 < sizeof(names) / sizeof(names[0]); i++)
		value /= 1024;
	if (i == 0)
		(void)snprintf(buf, UNITS_TEXT, "%" PRIu64 " B", bytes);
	else
		(void)snprintf(buf, UNITS_TEXT, "%.1f %s", value, names[i]);
	return buf;
}

char *duration_format(uint64_t ns, char buf[UNITS_TEXT])
{
	uint64_t s = ns / NS_PER_SEC;
	uint64_t ms = ns / 1000000 % 1000;

	if (ns != 0 && ns < 1000)
		(void)snprintf(buf, UNITS_TEXT, "%" PRIu64 "ns", ns);
	else if (ns != 0 && ns < 1000000)
		(void)snprintf(buf, UNITS_TEXT, "%" PRIu64 "us", ns / 1000);
	else if (s == 0 && ns != 0)
		(void)snprintf(buf, UNITS_TEXT, "%" PRIu64 "ms", ms);
	else if (s < 60 && ms != 0)
		(void)snprintf(buf, UNITS_TEXT, "%" PRIu64 ".%" PRIu64 "s", s, ms / 100);
	else if (s < 60)
		(void)snprintf(buf, UNITS_TEXT, "%" PRIu64 "s", s);
	else if (s < 3600)
		(void)snprintf(buf, UNITS_TEXT,
			s % 60 ? "%" PRIu64 "m%" PRIu64 "s" : "%" PRIu64 "m", s / 60, s % 60);
	else
		(void)snprintf(buf, UNITS_TEXT,
			s / 60 % 60 ? "%" PRIu64 "h%" PRIu64 "m" : "%" PRIu64 "h", s / 3600,
			s / 60 % 60);
	return buf;
}

char *count_format(uint64_t n, char buf[UNITS_TEXT])
{
	char digits[UNITS_TEXT];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n);
	char *out = buf;

	for (size_t i = 0; i < len; i++) {
		if (i != 0 && (len - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return buf;
}

static char *per_second_format(double n, const char *unit, char buf[UNITS_TEXT])
{
	static const char *const prefixes[] = {"", "k", "M", "G", "T"};
	unsigned int i = 0;

	/* As above. */
	for (; n >= (i == 0 ? 999.5 : 999.95) && i + 1 < sizeof(prefixes) / sizeof(prefixes[0]);
		i++)
		n /= 1000;
	(void)snprintf(
		buf, UNITS_TEXT, i == 0 ? "%.0f %s%s/s" : "%.1f %s%s/s", n, prefixes[i], unit);
	return buf;
}

char *rate_format(double bps, char buf[UNITS_TEXT])
{
	return per_second_format(bps, "bit", buf);
}

char *packet_rate_format(double pps, char buf[UNITS_TEXT])
{
	return per_second_format(pps, "pkt", buf);
}

char *byte_rate_format(double bytes_per_s, char buf[UNITS_TEXT])
{
	return per_second_format(bytes_per_s, "B", buf);
}

char *utc_format(uint64_t time_ns, char buf[UNITS_TEXT])
{
	time_t s = (time_t)(time_ns / NS_PER_SEC);
	struct tm tm;
	size_t len;

	(void)gmtime_r(&s, &tm);
	len = strftime(buf, UNITS_TEXT, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(buf + len, UNITS_TEXT - len, ".%03uZ",
		(unsigned int)(time_ns % NS_PER_SEC / 1000000));
	return buf;
}
