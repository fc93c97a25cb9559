#pragma once
/*
 * Prefilter build: from rules to what the XDP program looks packets up in. Pure: no kernel is asked.
 */

#include "prefilter_match.h"
#include "wirespool/errbuf.h"

struct rules;

/* The rows that are content with a net. */
struct prefilter_entry {
	struct prefilter_net net;
	struct prefilter_vector rows;
};

struct prefilter_build {
	struct prefilter_table table;
	unsigned int entry_count;
	struct prefilter_entry entries[PREFILTER_SIDES * PREFILTER_ROWS_MAX];
};

/*
 * Fills *ret, which the caller has set to zero, with the rules. On failure err says why:
 * -E2BIG (more than PREFILTER_RULES_MAX), -EINVAL (a rule that drops all IP packets, those for the machine
 * itself too).
 */
int prefilter_build(
	const struct rules *rules, uint32_t slot, struct prefilter_build *ret, struct errbuf *err);
