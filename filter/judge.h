#pragma once
/* What filter.c makes and judge.c judges with. */

#include <stdint.h>

#include "cutoff.h"
#include "expression.h"
#include "fragments.h"
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
	bool looks;   /* something is asked of a packet that its plain look does not tell */
	bool labels;  /* looks behind MPLS and PPPoE */
	bool literal; /* fragments are what tcpdump takes them for */
	bool follow;
	unsigned int tunnels; /* 1 << enum tunnel */
	enum filter_after after;
};

struct filter_tables {
	struct fragments *fragments; /* NULL: not followed */
	unsigned int queues;
	struct cutoff *cutoffs[]; /* by queue; NULL: none */
};
