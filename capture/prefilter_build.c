#include "prefilter_build.h"

#include <errno.h>
#include <string.h>

#include "wirespool/rules.h"

/* A rule in one direction. */
struct row {
	const struct rule *rule;
	const struct rule_side *sides[PREFILTER_SIDES];
};

struct rows {
	unsigned int count;
	struct row list[PREFILTER_ROWS_MAX];
};

static const uint8_t VERSIONS[PREFILTER_FAMILIES] = {[PREFILTER_IPV4] = 4, [PREFILTER_IPV6] = 6};

static void vector_add(struct prefilter_vector *v, unsigned int row)
{
	v->words[row / 64] |= 1ULL << row % 64;
}

static bool drops_all_of_ip(const struct rule *r)
{
	return r->action == RULE_DROP && r->protocol == PROTOCOL_ANY && r->src.net.length == 0 &&
	       r->dst.net.length == 0 && !rule_has_ports(r);
}

static enum prefilter_verdict verdict_of(enum rule_action action)
{
	if (action == RULE_DROP)
		return PREFILTER_DROP;
	return action == RULE_PASS ? PREFILTER_PASS : PREFILTER_REDIRECT;
}

/* Packets that are not IP match it, too. */
static bool asks_for_nothing(const struct rule *r)
{
	return r->protocol == PROTOCOL_ANY && r->src.net.version == 0 && r->dst.net.version == 0 &&
	       !rule_has_ports(r);
}

static int check_rules(const struct rules *rules, struct errbuf *err)
{
	if (rules->count > PREFILTER_RULES_MAX)
		return fail_with(err, -E2BIG, "%s: a prefilter takes up to %d rules, not %u",
			rules->name, PREFILTER_RULES_MAX, rules->count);
	for (unsigned int i = 0; i < rules->count; i++)
		if (drops_all_of_ip(&rules->list[i]))
			return fail_with(err, -EINVAL,
				"%s, rule %u: '%s' in a prefilter would cut the machine itself "
				"off; "
				"what no rule names is not recorded anyway",
				rules->name, rules->list[i].line, rules->list[i].text);
	return 0;
}

static void add_row(struct rows *rows, struct prefilter_table *t, unsigned int number,
	const struct rule *r, const struct rule_side *src, const struct rule_side *dst)
{
	t->rules[rows->count] = (uint16_t)number;
	t->verdicts[rows->count] = (uint8_t)verdict_of(r->action);
	t->redirects |= verdict_of(r->action) == PREFILTER_REDIRECT;
	if (t->other_row == PREFILTER_NO_ROW && asks_for_nothing(r))
		t->other_row = rows->count;
	rows->list[rows->count++] = (struct row){.rule = r, .sides = {src, dst}};
}

static void make_rows(const struct rules *rules, struct rows *rows, struct prefilter_table *t)
{
	t->other_row = PREFILTER_NO_ROW;
	for (unsigned int i = 0; i < rules->count; i++) {
		const struct rule *r = &rules->list[i];

		add_row(rows, t, i, r, &r->src, &r->dst);
		if (r->either_way && !rule_side_is_equal(&r->src, &r->dst))
			add_row(rows, t, i, r, &r->dst, &r->src);
	}
	t->words = (rows->count + 63) / 64;
}

/* Rows that ask for ports are content with protocols that have some. */
static void fill_protocols(const struct rows *rows, struct prefilter_table *t)
{
	for (unsigned int i = 0; i < rows->count; i++) {
		const struct rule *r = rows->list[i].rule;

		for (unsigned int p = 0; p < 256; p++)
			if ((r->protocol == PROTOCOL_ANY || r->protocol == (int)p) &&
				(!rule_has_ports(r) || prefilter_has_ports((uint8_t)p)))
				vector_add(&t->protocols[p], i);
		vector_add(&t->without_ports, i);
		if (!rule_has_ports(r) || verdict_of(r->action) == PREFILTER_REDIRECT)
			vector_add(&t->unknown_ports, i);
	}
}

/* A class begins at each port where a row begins or ends to be content. */
static void fill_ports(const struct rows *rows, struct prefilter_table *t, enum prefilter_side side)
{
	bool begins[UINT16_MAX + 2] = {true};
	unsigned int class = 0;

	for (unsigned int i = 0; i < rows->count; i++) {
		struct port_range range = rows->list[i].sides[side]->ports;

		begins[range.first] = true;
		begins[range.last + 1] = true;
	}
	for (unsigned int port = 0; port <= UINT16_MAX; port++) {
		class += port != 0 && begins[port];
		t->classes[side][port] = (uint16_t) class;
		for (unsigned int i = 0; begins[port] && i < rows->count; i++) {
			struct port_range range = rows->list[i].sides[side]->ports;

			if (range.first <= port && port <= range.last)
				vector_add(&t->ports[side][class], i);
		}
	}
}

static bool prefix_is_equal(const uint8_t a[16], const uint8_t b[16], unsigned int bits)
{
	uint8_t mask = (uint8_t)(0xff00 >> bits % 8);

	return memcmp(a, b, bits / 8) == 0 &&
	       (bits % 8 == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

/* True when all of inner lies in outer. */
static bool net_contains(const struct rule_net *outer, const struct rule_net *inner)
{
	return outer->version == 0 ||
	       (outer->version == inner->version && outer->length <= inner->length &&
		       prefix_is_equal(outer->address, inner->address, outer->length));
}

static void fill_net(const struct rows *rows, enum prefilter_side side, const struct rule_net *net,
	struct prefilter_vector *v)
{
	for (unsigned int i = 0; i < rows->count; i++)
		if (net_contains(&rows->list[i].sides[side]->net, net))
			vector_add(v, i);
}

static bool has_entry(const struct prefilter_build *b, const struct prefilter_net *net)
{
	for (unsigned int i = 0; i < b->entry_count; i++)
		if (memcmp(&b->entries[i].net, net, sizeof(*net)) == 0)
			return true;
	return false;
}

static void add_entry(struct prefilter_build *b, const struct rows *rows, enum prefilter_side side,
	const struct rule_net *net)
{
	struct prefilter_net key = {
		.length = PREFILTER_NET_BITS + net->length,
		.side = (uint8_t)side,
		.family = net->version == 4 ? PREFILTER_IPV4 : PREFILTER_IPV6,
	};
	struct prefilter_entry *e = &b->entries[b->entry_count];

	memcpy(key.address, net->address, sizeof(key.address));
	if (has_entry(b, &key))
		return;
	e->net = key;
	fill_net(rows, side, net, &e->rows);
	b->entry_count++;
}

static void fill_nets(struct prefilter_build *b, const struct rows *rows, enum prefilter_side side)
{
	for (unsigned int f = 0; f < PREFILTER_FAMILIES; f++) {
		const struct rule_net all = {.version = VERSIONS[f]};

		fill_net(rows, side, &all, &b->table.outside[side][f]);
	}
	for (unsigned int i = 0; i < rows->count; i++)
		if (rows->list[i].sides[side]->net.length != 0)
			add_entry(b, rows, side, &rows->list[i].sides[side]->net);
}

int prefilter_build(
	const struct rules *rules, uint32_t slot, struct prefilter_build *ret, struct errbuf *err)
{
	struct rows rows = {0};
	int r = check_rules(rules, err);

	if (r < 0)
		return r;
	ret->table.slot = slot;
	make_rows(rules, &rows, &ret->table);
	fill_protocols(&rows, &ret->table);
	for (enum prefilter_side side = 0; side < PREFILTER_SIDES; side++) {
		fill_ports(&rows, &ret->table, side);
		fill_nets(ret, &rows, side);
	}
	return 0;
}
