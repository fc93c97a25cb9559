#include "segment_name.h"

#include <limits.h>
#include <string.h>

#include "wirespool/archive.h"

/* RECORDING-START-NUMBER.pcapng[.part]; read from its end, as a recording's name may hold dashes. */
enum { START_LEN = sizeof("20261121T033000.123Z") - 1, NUMBER_DIGITS_MIN = 5 };

static bool cut_suffix(const char *name, size_t *len, const char *suffix)
{
	size_t n = strlen(suffix);

	if (*len < n || memcmp(name + *len - n, suffix, n) != 0)
		return false;
	*len -= n;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool cut_number(const char *name, size_t *len, uint32_t *ret_number)
{
	size_t begin = *len;
	uint64_t number = 0;

	while (begin > 0 && is_digit(name[begin - 1]))
		begin--;
	if (*len - begin < NUMBER_DIGITS_MIN || *len - begin > 10 || begin == 0 ||
		name[begin - 1] != '-')
		return false;
	/* Zeros in front fill up to five digits and no further: one number, one name. */
	if (*len - begin > NUMBER_DIGITS_MIN && name[begin] == '0')
		return false;
	for (size_t i = begin; i < *len; i++)
		number = number * 10 + (uint64_t)(name[i] - '0');
	if (number > UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	*len = begin - 1;
	return true;
}

static int two_digits(const char *p)
{
	return (p[0] - '0') * 10 + (p[1] - '0');
}

static bool is_start(const char *p)
{
	static const char shape[] = "dddddddd"
				    "T"
				    "dddddd"
				    "."
				    "ddd"
				    "Z";

	for (size_t i = 0; i < START_LEN; i++) {
		if (shape[i] == 'd' ? !is_digit(p[i]) : p[i] != shape[i])
			return false;
	}
	return two_digits(p + 4) >= 1 && two_digits(p + 4) <= 12 && two_digits(p + 6) >= 1 &&
	       two_digits(p + 6) <= 31 && two_digits(p + 9) <= 23 && two_digits(p + 11) <= 59 &&
	       two_digits(p + 13) <= 60;
}

bool segment_parse_name(const char *name, struct archive_segment *ret)
{
	struct archive_segment s = {.sealed = true};
	size_t len = strlen(name);
	size_t run_len;

	if (strchr(name, '/') != NULL || name[0] == '.' || len > NAME_MAX)
		return false;
	if (cut_suffix(name, &len, ".part"))
		s.sealed = false;
	if (!cut_suffix(name, &len, ".pcapng") || !cut_number(name, &len, &s.number))
		return false;
	run_len = len;
	if (len < START_LEN + 2 || name[len - START_LEN - 1] != '-' ||
		!is_start(name + len - START_LEN))
		return false;
	if (run_len >= sizeof(s.run))
		return false;
	memcpy(s.run, name, run_len);
	memcpy(s.recording, name, run_len - START_LEN - 1);
	*ret = s;
	return true;
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash == NULL ? path : slash + 1;
}

bool path_is_part(const char *path)
{
	size_t len = strlen(path);

	return cut_suffix(path, &len, ".part");
}
