#pragma once
/* What filter.c makes, and judge.c and judge_odd.c judge with. Private to filter/. */

#include <stdint.h>

#include "cutoff.h"
#include "expression.h"
#include "fragments.h"
#include "rule_cache.h"
#include "rule_table.h"
#include "wirespool/filter.h"
#include "wirespool/rules.h"

/* What a rule does. */
struct rule_deed {
	enum rule_action action;
	struct cut cut;
};

struct filter {
	struct expression *expression; /* NULL: keeps all */
	struct rule_table *table;      /* NULL: no rules */
	struct rule_deed *deeds;       /* by the rule's number; 0: dropped */
	int linktype;
	bool keeps_all;
	bool rules_cut; /* some rule does */
	bool looks;     /* something is asked of a packet that its plain look does not tell */
	bool labels;    /* looks behind MPLS and PPPoE */
	bool literal;   /* fragments are what tcpdump takes them for */
	bool follow;
	bool cuts_off;
	unsigned int tunnels; /* 1 << enum tunnel */
	enum filter_after after;
};

/* What packets have brought so far; filters that follow one another share it. */
struct memory {
	unsigned int references;
	struct fragments *fragments; /* NULL: not followed */
	uint64_t cutoff_bytes;       /* of each flow; 0: no cutoff */
	uint32_t cutoff_flows;
	unsigned int queues;
	struct cutoff *cutoffs[]; /* by queue */
};

struct filter_tables {
	struct memory *memory; /* NULL: none */
	unsigned int queues;
	struct rule_cache *caches[]; /* by queue; NULL: no rules */
};

/*
 * Of pkts, those that are kept when each is looked at closely, from level on: 0 the packet itself, 1 what is
 * in its tunnels.
 */
uint64_t judge_odd(const struct filter *f, struct filter_tables *t, const struct filter_burst *b,
	unsigned int level, uint64_t pkts, struct verdict *v);
