#include "trial.h"

#include <stdio.h>
#include <stdlib.h>

#include "judge.h"
#include "wirespool/log.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

static const char as_tcpdump[] = "as to tcpdump";

static const char *of_fragments(const struct filter *f, unsigned int behind)
{
	bool ipv4 = (behind & EXPRESSION_BEHIND_FRAGMENTS_IPV4) != 0;
	bool ipv6 = (behind & EXPRESSION_BEHIND_FRAGMENTS_IPV6) != 0;

	if (f->follow)
		return "as their first one";
	if (ipv4 && ipv6)
		return "kept if they could match";
	if (ipv4 || ipv6)
		return ipv4 ? "of IPv4, kept if they could match"
			    : "of IPv6, kept if they could match";
	return as_tcpdump;
}

static void say_meaning(const struct filter *f)
{
	unsigned int behind = expression_behind(f->expression);
	bool tags = (behind & EXPRESSION_BEHIND_TAGS) != 0;
	bool labels = (behind & EXPRESSION_BEHIND_LABELS) != 0;

	log_info("behind VLAN tags: %s", tags ? "matches" : as_tcpdump);
	log_info("behind MPLS and PPPoE: %s", labels ? "matches" : as_tcpdump);
	log_info("later fragments: %s", of_fragments(f, behind));
}

static void say_rules(const struct rules *rules, const struct rule_table *table)
{
	log_info("rules: %u of %s, in %u part%s for IPv4, %u for IPv6", rules->count, rules->name,
		rule_table_parts(table, FLOW_IPV4),
		rule_table_parts(table, FLOW_IPV4) == 1 ? "" : "s",
		rule_table_parts(table, FLOW_IPV6));
}

int trial_dump(const struct trial *t)
{
	const struct filter *f = t->filter;
	char *text = filter_dump(f);
	char time[UNITS_TEXT];

	if (text != NULL)
		(void)fputs(text, stdout);
	free(text);
	log_info("engine: %s", filter_engine(f));
	if (f->expression != NULL)
		say_meaning(f);
	if (f->table != NULL)
		say_rules(t->options->rules, f->table);
	log_info("made in: %s", duration_format(t->build_ns, time));
	return TRIAL_GOOD;
}
