#include "trial.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "headers.h"
#include "wirespool/log.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

enum { DIGITS = 9 }; /* of numbers in JSON */

/* -- Words -- */

static const char *why_text(enum filter_why why, bool kept)
{
	switch (why) {
	case FILTER_BY_ALL:
		return "every packet is kept";
	case FILTER_BY_EXPRESSION:
		return kept ? "the expression matches" : "the expression does not match";
	case FILTER_BY_MAYBE:
		return "a later fragment that could match";
	case FILTER_BY_FIRST:
		return "as the first fragment of its datagram";
	case FILTER_BY_RULE:
		return NULL; /* the rule speaks for itself */
	case FILTER_BY_NO_RULE:
		return "no rule matches";
	case FILTER_BY_CUTOFF:
		return "behind its flow's cutoff";
	}
	return NULL;
}

static const char *tunnel_text(unsigned int tunnel)
{
	static const char *const names[] = {
		[TUNNEL_IPIP] = "IP in IP",
		[TUNNEL_GRE] = "GRE",
		[TUNNEL_VXLAN] = "VXLAN",
		[TUNNEL_GENEVE] = "Geneve",
		[TUNNEL_GTP_U] = "GTP-U",
	};

	return names[tunnel];
}

/* The tunnels that r's reason lies in, from the outermost on. Returns how many. */
static unsigned int find_tunnels(
	const struct trial *t, const struct trial_result *r, const char *ret[FILTER_LEVELS])
{
	const struct trial_packet *p = r->packet;
	struct headers headers;
	unsigned int count = 0;

	(void)headers_walk(pcap_datalink(t->source->pcap), p->data, p->captured, &headers);
	for (unsigned int i = 1; i <= r->reason.level && i < headers.count; i++)
		ret[count++] = tunnel_text(headers.ip[i].tunnel);
	return count;
}

static const char *verdict_text(const struct trial_result *r)
{
	if (!r->kept)
		return "dropped";
	return r->stored < r->packet->captured ? "cut" : "kept";
}

static const struct rule *rule_of(const struct trial *t, const struct trial_result *r)
{
	return r->reason.rule > 0 ? &t->options->rules->list[r->reason.rule - 1] : NULL;
}

/* -- For people -- */

static void print_reason(const struct trial *t, const struct trial_result *r)
{
	const char *why = why_text(r->reason.why, r->kept), *tunnels[FILTER_LEVELS];
	const struct rule *rule = rule_of(t, r);
	unsigned int count = find_tunnels(t, r, tunnels);

	if (why != NULL)
		printf("%s", why);
	if (rule != NULL)
		printf("%s%s:%u: %s", why != NULL ? "; " : "", t->options->rules->name, rule->line,
			rule->text);
	for (unsigned int i = 0; i < count; i++)
		printf("%s%s", i == 0 ? "; inside of " : ", ", tunnels[i]);
}

void trial_print_text(const struct trial *t, const struct trial_result *r)
{
	printf("%6llu  %-7s  %5u of %5u  ", (unsigned long long)r->number, verdict_text(r),
		r->stored, r->packet->captured);
	print_reason(t, r);
	printf("%s\n", r->by_snaplen ? "; cut by --snaplen" : "");
}

static void say_count(const char *what, uint64_t count)
{
	char text[UNITS_TEXT];

	if (count > 0)
		log_info("  %s: %s", what, count_format(count, text));
}

static void say_rules(const struct trial_sums *s, const struct rules *rules)
{
	char text[UNITS_TEXT];

	for (unsigned int i = 0; s->by_rule != NULL && i < rules->count; i++)
		if (s->by_rule[i + 1] > 0)
			log_info("%s:%u: %s: %s", rules->name, rules->list[i].line,
				count_format(s->by_rule[i + 1], text), rules->list[i].text);
}

void trial_say_sums(const struct trial *t, const struct trial_sums *s)
{
	static const struct {
		enum filter_why why;
		const char *text;
	} whys[] = {
		{FILTER_BY_EXPRESSION, "the expression does not match"},
		{FILTER_BY_FIRST, "as the first fragment of its datagram"},
		{FILTER_BY_RULE, "by a rule"},
		{FILTER_BY_NO_RULE, "no rule matches"},
		{FILTER_BY_CUTOFF, "behind its flow's cutoff"},
	};
	char a[UNITS_TEXT], b[UNITS_TEXT];
	struct filter_counts counts;

	log_info("packets: %s", count_format(s->pkts, a));
	log_info("kept: %s, %s of them cut", count_format(s->kept, a), count_format(s->cut, b));
	if (t->tables != NULL) {
		filter_tables_count(t->tables, &counts);
		say_count("later fragments without their first one", counts.first_unknown_pkts);
		say_count("whole, as their flow found no place", counts.table_full_pkts);
	}
	log_info("dropped: %s", count_format(s->pkts - s->kept, a));
	for (unsigned int i = 0; i < sizeof(whys) / sizeof(whys[0]); i++)
		say_count(whys[i].text, s->dropped[whys[i].why]);
	log_info("bytes: %s of %s", count_format(s->stored_bytes, a), count_format(s->bytes, b));
	say_rules(s, t->options->rules);
}

/* -- For programs -- */

void trial_print_object(json_t *object)
{
	(void)json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
	(void)fputc('\n', stdout);
	json_decref(object);
}

static const char *why_word(enum filter_why why)
{
	static const char *const words[TRIAL_WHYS] = {
		[FILTER_BY_ALL] = "all",
		[FILTER_BY_EXPRESSION] = "expression",
		[FILTER_BY_MAYBE] = "could_match",
		[FILTER_BY_FIRST] = "first_fragment",
		[FILTER_BY_RULE] = "rule",
		[FILTER_BY_NO_RULE] = "no_rule",
		[FILTER_BY_CUTOFF] = "cutoff",
	};

	return words[why];
}

static json_t *rule_object(const struct rule *rule)
{
	return rule != NULL
		       ? json_pack("{s:I,s:s}", "line", (json_int_t)rule->line, "text", rule->text)
		       : json_null();
}

void trial_print_json(const struct trial *t, const struct trial_result *r)
{
	const char *tunnels[FILTER_LEVELS];
	unsigned int count = find_tunnels(t, r, tunnels);
	json_t *inside = json_array();

	for (unsigned int i = 0; i < count; i++)
		(void)json_array_append_new(inside, json_string(tunnels[i]));
	trial_print_object(json_pack("{s:I,s:s,s:I,s:I,s:I,s:s,s:b,s:o,s:o}", "packet",
		(json_int_t)r->number, "verdict", verdict_text(r), "stored_bytes",
		(json_int_t)r->stored, "captured_bytes", (json_int_t)r->packet->captured,
		"wire_bytes", (json_int_t)r->packet->wire, "why", why_word(r->reason.why),
		"cut_by_snaplen", r->by_snaplen, "rule", rule_object(rule_of(t, r)), "inside_of",
		inside));
}

static json_t *rules_array(const struct trial_sums *s, const struct rules *rules)
{
	json_t *array = json_array();

	for (unsigned int i = 0; s->by_rule != NULL && i < rules->count; i++) {
		json_t *object = rule_object(&rules->list[i]);

		(void)json_object_set_new(
			object, "pkts", json_integer((json_int_t)s->by_rule[i + 1]));
		(void)json_array_append_new(array, object);
	}
	return array;
}

void trial_print_json_sums(const struct trial *t, const struct trial_sums *s)
{
	struct filter_counts counts = {0};

	if (t->tables != NULL)
		filter_tables_count(t->tables, &counts);
	trial_print_object(json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "pkts",
		(json_int_t)s->pkts, "kept_pkts", (json_int_t)s->kept, "cut_pkts",
		(json_int_t)s->cut, "dropped_pkts", (json_int_t)(s->pkts - s->kept),
		"first_unknown_pkts", (json_int_t)counts.first_unknown_pkts, "table_full_pkts",
		(json_int_t)counts.table_full_pkts, "captured_bytes", (json_int_t)s->bytes,
		"stored_bytes", (json_int_t)s->stored_bytes, "rules",
		rules_array(s, t->options->rules)));
}
