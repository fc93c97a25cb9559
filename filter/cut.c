#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "wirespool/filter.h"
#include "wirespool/units.h"

static const char headers_word[] = "headers";

static int headers_parse(const char *rest, uint32_t *ret_extra, struct errbuf *err)
{
	uint64_t extra = 0;
	int r;

	if (rest[0] != '\0') {
		r = number_parse(
			rest + 1, "the bytes after the headers", 0, SNAPLEN_MAX, &extra, err);
		if (r < 0)
			return -EINVAL;
	}
	*ret_extra = (uint32_t)extra;
	return 0;
}

int cut_parse(const char *text, struct cut *ret_cut, struct errbuf *err)
{
	size_t word = strlen(headers_word);
	struct cut cut = {.snaplen = SNAPLEN_MAX};
	uint64_t snaplen;

	if (strncmp(text, headers_word, word) == 0 && (text[word] == '\0' || text[word] == '+')) {
		cut.headers = true;
		if (headers_parse(text + word, &cut.extra, err) < 0)
			return -EINVAL;
	} else if (isdigit((unsigned char)text[0])) {
		if (number_parse(text, "snaplen", 0, SNAPLEN_MAX, &snaplen, err) < 0)
			return -EINVAL;
		if (snaplen != 0)
			cut.snaplen = (uint32_t)snaplen;
	} else {
		return fail_with(err, -EINVAL,
			"snaplen must be a number of bytes 0..%d, \"headers\" or \"headers+N\", "
			"got \"%s\"",
			SNAPLEN_MAX, text);
	}
	*ret_cut = cut;
	return 0;
}
