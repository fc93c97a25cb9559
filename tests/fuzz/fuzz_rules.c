/*
 * libFuzzer: rules as anybody might write them. Nothing may crash or hang; a fault is one line, and
 * what was read is read again, alike, from the text that each rule keeps.
 */
/* rooms: filter common */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_again(const struct rule *r)
{
	struct rules *again;
	struct rule *twin;

	if (rules_parse_lines(&r->text, 1, "again", &again, NULL) < 0 || again->count != 1)
		abort();
	twin = again->list;
	if (twin->action != r->action || twin->protocol != r->protocol ||
		twin->either_way != r->either_way || strcmp(twin->text, r->text) != 0 ||
		memcmp(&twin->src, &r->src, sizeof(r->src)) != 0 ||
		memcmp(&twin->dst, &r->dst, sizeof(r->dst)) != 0)
		abort();
	rules_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rules *rules;
	struct errbuf err;

	if (rules_parse_text((const char *)data, size, "rules", &rules, &err) < 0) {
		if (err.text[0] == '\0' || strpbrk(err.text, "\r\n\x1b") != NULL)
			abort();
		return 0;
	}
	for (unsigned int i = 0; i < rules->count; i++)
		read_again(&rules->list[i]);
	rules_free(rules);
	return 0;
}
