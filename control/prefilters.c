#include "prefilters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"

enum {
	WISHES_MAX = 2 * SETTINGS_LIST_MAX, /* of each recording, before an exchange and after */
	COMPARED_MAX = 1024,                /* rules: no device goes by more */
};

/* What is wanted of a device: all packets, or those of a list of rules. */
struct want {
	bool all;
	struct rules rules; /* list and count alone */
};

/* Of a port. */
struct use {
	struct port *port;
	enum prefilter_mode mode;
	struct want in_force;
	struct want wanted;
	unsigned int wish_count;
	const struct rules *wishes[WISHES_MAX]; /* all different */
	struct errbuf said;                     /* of the last refusal */
	bool stuck; /* the device may still leave out what it was told to let come */
};

struct prefilters {
	unsigned int count;
	struct use uses[];
};

/* -- Wants -- */

static void want_done(struct want *w)
{
	for (unsigned int i = 0; i < w->rules.count; i++)
		free((char *)w->rules.list[i].text);
	free(w->rules.list);
	*w = (struct want){.all = false};
}

static bool same_rule(const struct rule *a, const struct rule *b)
{
	return a->action == b->action && a->protocol == b->protocol &&
	       a->either_way == b->either_way && rule_side_is_equal(&a->src, &b->src) &&
	       rule_side_is_equal(&a->dst, &b->dst);
}

static bool same_rules(const struct rules *a, const struct rules *b)
{
	if (a->count != b->count)
		return false;
	for (unsigned int i = 0; i < a->count; i++)
		if (!same_rule(&a->list[i], &b->list[i]))
			return false;
	return true;
}

static bool same_want(const struct want *a, const struct want *b)
{
	return a->all == b->all && (a->all || same_rules(&a->rules, &b->rules));
}

static bool matches_all(const struct rule *r)
{
	return r->protocol == PROTOCOL_ANY && r->src.net.version == 0 && r->dst.net.version == 0 &&
	       !rule_has_ports(r);
}

static bool has_rule(const struct want *w, const struct rule *r)
{
	for (unsigned int i = 0; w->rules.count <= COMPARED_MAX && i < w->rules.count; i++)
		if (same_rule(&w->rules.list[i], r))
			return true;
	return false;
}

/*
 * Adds rules to a want, those that drop as dropped says, or not at all where it is RULE_KEEP: then rules have no
 * order, and each need be there but once. No memory: then all packets are wanted.
 */
static void want_add(struct want *w, const struct rules *rules, enum rule_action dropped)
{
	struct rule *grown;

	if (w->all)
		return;
	grown = reallocarray(
		w->rules.list, w->rules.count + rules->count + 1, sizeof(*w->rules.list));
	if (grown == NULL) {
		want_done(w);
		w->all = true;
		return;
	}
	w->rules.list = grown;
	for (unsigned int i = 0; i < rules->count; i++) {
		const struct rule *r = &rules->list[i];
		bool keeps = r->action == RULE_KEEP || r->action == RULE_CUT;

		if (!keeps && matches_all(r))
			return; /* what no rule keeps is not taken anyway */
		if (dropped == RULE_KEEP && (!keeps || has_rule(w, r)))
			continue;
		grown[w->rules.count] = *r;
		if (!keeps)
			grown[w->rules.count].action = dropped;
		grown[w->rules.count++].text = strdup(r->text != NULL ? r->text : "");
	}
}

static void want_make(struct want *w, const struct use *u, bool all)
{
	enum rule_action dropped = u->wish_count > 1                 ? RULE_KEEP
				   : u->mode == PREFILTER_DROP_RULES ? RULE_DROP
								     : RULE_PASS;

	*w = (struct want){.all = all};
	for (unsigned int i = 0; i < u->wish_count; i++)
		want_add(w, u->wishes[i], dropped);
}

/* What either of them wants. */
static void want_either(struct want *w, const struct want *a, const struct want *b)
{
	*w = (struct want){.all = a->all || b->all};
	want_add(w, &a->rules, RULE_KEEP);
	want_add(w, &b->rules, RULE_KEEP);
}

/* -- Ports -- */

static void say(struct use *u, const struct errbuf *why)
{
	struct errbuf said;

	(void)fail_with(
		&said, 0, "%s%s", u->stuck ? "" : "all packets come to the recorder: ", why->text);
	if (strcmp(said.text, u->said.text) != 0)
		log_warn("%s", said.text);
	u->said = said;
}

/* From here on w is in force, or all packets are. w is taken over. */
static void put_in_force(struct use *u, struct want *w)
{
	char name[PORT_NAME_MAX + 32] = "rules of its recordings";
	struct errbuf err;
	int r = 0;

	w->rules.name = name;
	if (u->stuck || !same_want(w, &u->in_force)) {
		r = port_set_prefilter(u->port, w->all ? NULL : &w->rules, &err);
		if (r == 0) {
			u->said.text[0] = '\0';
			u->stuck = false;
		}
	}
	w->rules.name = NULL;
	if (r < 0) {
		u->stuck = w->all || ((u->stuck || !u->in_force.all) &&
					     port_set_prefilter(u->port, NULL, &err) < 0);
		say(u, &err);
		want_done(w);
		w->all = true;
	}
	want_done(&u->in_force);
	u->in_force = *w;
}

int prefilters_new(struct port *const ports[], const enum prefilter_mode modes[],
	unsigned int count, struct prefilters **ret, struct errbuf *err)
{
	struct prefilters *ps = calloc(1, sizeof(*ps) + count * sizeof(ps->uses[0]));
	struct port_prefilter unused;

	if (ps == NULL)
		return fail_with(err, -ENOMEM, "no memory for %u ports", count);
	for (unsigned int i = 0; i < count; i++) {
		if (modes[i] == PREFILTER_OFF || port_get_prefilter(ports[i], &unused) < 0)
			continue;
		ps->uses[ps->count++] =
			(struct use){.port = ports[i], .mode = modes[i], .in_force.all = true};
	}
	prefilters_narrow(ps); /* no run is live yet */
	*ret = ps;
	return 0;
}

void prefilters_free(struct prefilters *ps)
{
	if (ps == NULL)
		return;
	for (unsigned int i = 0; i < ps->count; i++) {
		want_done(&ps->uses[i].in_force);
		want_done(&ps->uses[i].wanted);
	}
	free(ps);
}

void prefilters_begin(struct prefilters *ps)
{
	for (unsigned int i = 0; i < ps->count; i++) {
		want_done(&ps->uses[i].wanted);
		ps->uses[i].wish_count = 0;
	}
}

static void add_wish(struct use *u, const struct rules *rules)
{
	for (unsigned int i = 0; rules != NULL && i < u->wish_count; i++)
		if (same_rules(u->wishes[i], rules))
			return;
	if (rules == NULL || u->wish_count == WISHES_MAX)
		u->wanted.all = true;
	else
		u->wishes[u->wish_count++] = rules;
}

void prefilters_want(struct prefilters *ps, const struct port *p, const struct rules *rules)
{
	for (unsigned int i = 0; i < ps->count; i++)
		if (ps->uses[i].port == p)
			add_wish(&ps->uses[i], rules);
}

void prefilters_widen(struct prefilters *ps)
{
	struct want either;

	for (unsigned int i = 0; i < ps->count; i++) {
		struct use *u = &ps->uses[i];

		want_make(&u->wanted, u, u->wanted.all);
		if (!u->stuck && same_want(&u->wanted, &u->in_force))
			continue;
		want_either(&either, &u->wanted, &u->in_force);
		put_in_force(u, &either);
	}
}

void prefilters_narrow(struct prefilters *ps)
{
	for (unsigned int i = 0; i < ps->count; i++) {
		struct use *u = &ps->uses[i];

		if (u->wanted.all && !u->stuck)
			u->said.text[0] = '\0'; /* nobody asks for what was refused */
		put_in_force(u, &u->wanted);
		u->wanted = (struct want){.all = false};
	}
}

const struct rules *prefilters_rules(const struct prefilters *ps, const struct port *p)
{
	for (unsigned int i = 0; i < ps->count; i++)
		if (ps->uses[i].port == p && !ps->uses[i].in_force.all)
			return &ps->uses[i].in_force.rules;
	return NULL;
}

const char *prefilters_warning(const struct prefilters *ps, const struct port *p)
{
	for (unsigned int i = 0; i < ps->count; i++)
		if (ps->uses[i].port == p && ps->uses[i].said.text[0] != '\0')
			return ps->uses[i].said.text;
	return NULL;
}
