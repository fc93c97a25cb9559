/*
 * Rules as boxes: a class of packets, two nets and two ranges of ports. A rule is one to four of
 * them: two where it means either way, and twice as many where it keeps packets of unknown ports.
 *
 * rte_acl walks a trie, byte after byte of the key, that it makes of the boxes. A box that is wide
 * in the second address lies over all that the trie has there, under every first address that it
 * meets; a thousand hosts "either way" in one trie took 1.6 GB and 7 s to build. So boxes of a kind
 * share a trie, with the narrower address first:
 *
 *	SRC_FIRST, DST_FIRST	one address is narrower than the other, or as narrow
 *	WIDE			neither says much: the ports decide
 *
 * and what asks for neither address nor port is in no trie, but in a table by class.
 */
#include "rule_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_acl.h>
#include <rte_common.h>
#include <rte_errno.h>

#include "wirespool/rules.h"

enum {
	CLASSES = 256,
	BOXES_OF_RULE = 4,
	FIELDS_MAX = 11, /* class, four words of each address, two ports */
	PARTS_MAX = 20,
	/* So few share one trie whatever their kind: it stays small, and one look-up does. */
	SMALL_BOXES = 64,
	/* A net of fewer bits is wide. */
	WIDE_BITS_IPV4 = 8,
	WIDE_BITS_IPV6 = 16,
	/* Bytes of keys that the boxes of a part may pin down: each takes malloc() up to 1.4 KB. */
	PART_KEY_BYTES = 1 << 20,
	PART_BYTES_MAX = 512 << 20, /* of the trie, built */
};

enum kind { SRC_FIRST, DST_FIRST, WIDE, KINDS };

struct rule_table {
	/* The first rule that asks for neither address nor port; 0: none. */
	uint32_t by_class[FLOW_FAMILIES][CLASSES];
	unsigned int part_count[FLOW_FAMILIES];
	struct rte_acl_ctx *parts[FLOW_FAMILIES][PARTS_MAX];
};

struct box {
	uint8_t class;
	uint8_t class_mask;
	struct rule_side src;
	struct rule_side dst;
	uint32_t rule; /* number, from 1 */
};

struct builder {
	struct rule_table *table;
	const struct rules *rules;
	enum flow_family family;
	int socket_id;
	unsigned int part_key_bytes;
	struct box *boxes;
	unsigned int count;
};

static const struct port_range any_ports = {.first = 0, .last = UINT16_MAX};

/* From rules to boxes */

static void box_set_class(struct box *b, const struct rule *r, enum flow_ports ports)
{
	const uint8_t ports_bits = 3U << CLASS_PORTS_SHIFT;
	uint8_t of_protocol = r->protocol == PROTOCOL_ANY ? CLASS_PORTS : flow_classes[r->protocol];

	b->class = of_protocol;
	b->class_mask = 0xff;
	if (r->protocol == PROTOCOL_ANY)
		b->class_mask = CLASS_PORTS | ports_bits; /* any of those that have ports */
	if (rule_has_ports(r)) {
		b->class |= (uint8_t)((unsigned int)ports << CLASS_PORTS_SHIFT);
	} else if (r->protocol == PROTOCOL_ANY) {
		b->class = b->class_mask = 0;
	} else if (of_protocol >= CLASS_PORTS) {
		b->class_mask = (uint8_t)~ports_bits; /* whatever is known of them */
	}
}

/* The boxes of a rule in one direction. */
static unsigned int boxes_of_way(struct box boxes[2], const struct rule *r, uint32_t number,
	const struct rule_side *src, const struct rule_side *dst)
{
	boxes[0] = (struct box){.src = *src, .dst = *dst, .rule = number};
	box_set_class(&boxes[0], r, PORTS_KNOWN);
	if (!rule_has_ports(r) || r->action == RULE_DROP)
		return 1;
	/* A fragment that could be of this rule is kept. */
	boxes[1] = boxes[0];
	boxes[1].src.ports = boxes[1].dst.ports = any_ports;
	box_set_class(&boxes[1], r, PORTS_UNKNOWN);
	return 2;
}

static unsigned int boxes_of_rule(
	struct box boxes[BOXES_OF_RULE], const struct rule *r, uint32_t number)
{
	unsigned int count = boxes_of_way(boxes, r, number, &r->src, &r->dst);

	if (r->either_way)
		count += boxes_of_way(&boxes[count], r, number, &r->dst, &r->src);
	return count;
}

static bool rule_is_of(const struct rule *r, enum flow_family family)
{
	static const uint8_t versions[FLOW_FAMILIES] = {[FLOW_IPV4] = 4, [FLOW_IPV6] = 6};
	uint8_t src = r->src.net.version, dst = r->dst.net.version;

	if (family == FLOW_NO_IP)
		return r->protocol == PROTOCOL_ANY && src == 0 && dst == 0 && !rule_has_ports(r);
	return (src == 0 || src == versions[family]) && (dst == 0 || dst == versions[family]);
}

static bool box_is_by_class(const struct box *b)
{
	return b->src.net.length == 0 && b->dst.net.length == 0 &&
	       port_range_is_any(b->src.ports) && port_range_is_any(b->dst.ports);
}

static void add_by_class(uint32_t by_class[CLASSES], const struct box *b)
{
	for (unsigned int class = 0; class < CLASSES; class ++)
		if ((class & b->class_mask) == b->class && by_class[class] == 0)
			by_class[class] = b->rule;
}

/* Up to the first rule that matches all packets: those behind it never decide. */
static void boxes_collect(struct builder *b)
{
	uint32_t *by_class = b->table->by_class[b->family];

	for (unsigned int i = 0; i < b->rules->count; i++) {
		const struct rule *r = &b->rules->list[i];
		struct box boxes[BOXES_OF_RULE];
		unsigned int count;

		if (!rule_is_of(r, b->family))
			continue;
		count = boxes_of_rule(boxes, r, i + 1);
		for (unsigned int k = 0; k < count; k++) {
			if (box_is_by_class(&boxes[k]))
				add_by_class(by_class, &boxes[k]);
			else
				b->boxes[b->count++] = boxes[k];
			if (box_is_by_class(&boxes[k]) && boxes[k].class_mask == 0)
				return;
		}
	}
}

/* From boxes to rte_acl */

static enum kind box_kind(const struct builder *b, const struct box *box)
{
	unsigned int wide = b->family == FLOW_IPV4 ? WIDE_BITS_IPV4 : WIDE_BITS_IPV6;
	unsigned int src = box->src.net.length, dst = box->dst.net.length;

	if (b->count <= SMALL_BOXES)
		return SRC_FIRST;
	if (src < wide && dst < wide)
		return WIDE;
	return src >= dst ? SRC_FIRST : DST_FIRST;
}

static unsigned int box_key_bytes(const struct box *b)
{
	return (b->src.net.length + 7U) / 8 + (b->dst.net.length + 7U) / 8 +
	       (port_range_is_any(b->src.ports) ? 0 : 2) +
	       (port_range_is_any(b->dst.ports) ? 0 : 2);
}

static unsigned int address_words(enum flow_family family)
{
	return family == FLOW_IPV4 ? 1 : 4;
}

static void add_field(
	struct rte_acl_config *c, uint8_t type, uint8_t size, uint8_t input, size_t offset)
{
	c->defs[c->num_fields] = (struct rte_acl_field_def){
		.type = type,
		.size = size,
		.field_index = (uint8_t)c->num_fields,
		.input_index = input,
		.offset = (uint32_t)offset,
	};
	c->num_fields++;
}

/* Where rte_acl finds in a key what box_fields() puts into a rule, in the same order. */
static struct rte_acl_config config_of(enum flow_family family, enum kind kind)
{
	size_t src = offsetof(struct flow_key, src), dst = offsetof(struct flow_key, dst);
	size_t first = kind == DST_FIRST ? dst : src, second = kind == DST_FIRST ? src : dst;
	unsigned int words = address_words(family);
	struct rte_acl_config c = {.num_categories = 1, .max_size = PART_BYTES_MAX};
	uint8_t input = 0;

	add_field(&c, RTE_ACL_FIELD_TYPE_BITMASK, 1, input++, offsetof(struct flow_key, class));
	for (unsigned int i = 0; i < words; i++)
		add_field(&c, RTE_ACL_FIELD_TYPE_MASK, 4, input++, first + i * 4);
	for (unsigned int i = 0; i < words; i++)
		add_field(&c, RTE_ACL_FIELD_TYPE_MASK, 4, input++, second + i * 4);
	add_field(&c, RTE_ACL_FIELD_TYPE_RANGE, 2, input, offsetof(struct flow_key, sport));
	add_field(&c, RTE_ACL_FIELD_TYPE_RANGE, 2, input, offsetof(struct flow_key, dport));
	return c;
}

RTE_ACL_RULE_DEF(acl_rule, FIELDS_MAX);

static struct rte_acl_field *net_fields(
	struct rte_acl_field *f, const struct rule_net *net, unsigned int words)
{
	for (unsigned int i = 0; i < words; i++, f++) {
		unsigned int bits = net->length > i * 32 ? net->length - i * 32 : 0;
		uint32_t word;

		memcpy(&word, &net->address[i * 4], sizeof(word));
		f->value.u32 = ntohl(word);
		f->mask_range.u32 = RTE_MIN(bits, 32U);
	}
	return f;
}

static struct rte_acl_field *ports_field(struct rte_acl_field *f, struct port_range ports)
{
	f->value.u16 = ports.first;
	f->mask_range.u16 = ports.last;
	return f + 1;
}

static void box_fields(
	const struct builder *b, const struct box *box, enum kind kind, struct acl_rule *ret)
{
	const struct rule_net *first = kind == DST_FIRST ? &box->dst.net : &box->src.net;
	const struct rule_net *second = kind == DST_FIRST ? &box->src.net : &box->dst.net;
	unsigned int words = address_words(b->family);
	struct rte_acl_field *f = ret->field;

	memset(ret, 0, sizeof(*ret));
	ret->data.category_mask = 1;
	ret->data.priority = (int32_t)(RULES_MAX + 1 - box->rule); /* first match wins */
	ret->data.userdata = box->rule;
	f->value.u8 = box->class;
	f->mask_range.u8 = box->class_mask;
	f = net_fields(f + 1, first, words);
	f = net_fields(f, second, words);
	f = ports_field(f, box->src.ports);
	(void)ports_field(f, box->dst.ports);
}

/* An rte_acl for so many boxes. rte_acl_create() finds another of the same name: each has its own. */
static struct rte_acl_ctx *context_new(
	const struct builder *b, const struct rte_acl_config *config, unsigned int count)
{
	static atomic_uint last;
	char name[RTE_ACL_NAMESIZE];
	struct rte_acl_param param = {
		.name = name,
		.socket_id = b->socket_id,
		.rule_size = (uint32_t)RTE_ACL_RULE_SZ(config->num_fields),
		.max_rule_num = count,
	};

	(void)snprintf(name, sizeof(name), "rules%u", atomic_fetch_add(&last, 1));
	return rte_acl_create(&param);
}

/* Builds the boxes of a kind among from..to-1, of which there are count. */
static int part_build(const struct builder *b, enum kind kind, unsigned int from, unsigned int to,
	unsigned int count)
{
	struct rule_table *t = b->table;
	struct rte_acl_config config = config_of(b->family, kind);
	struct rte_acl_ctx *ctx;
	struct acl_rule rule;
	int r = 0;

	if (t->part_count[b->family] == PARTS_MAX)
		return -E2BIG;
	ctx = context_new(b, &config, count);
	if (ctx == NULL)
		return -ENOMEM;
	t->parts[b->family][t->part_count[b->family]++] = ctx; /* freed with the table */
	for (unsigned int i = from; i < to && r == 0; i++) {
		if (box_kind(b, &b->boxes[i]) != kind)
			continue;
		box_fields(b, &b->boxes[i], kind, &rule);
		r = rte_acl_add_rules(ctx, (const struct rte_acl_rule *)&rule, 1);
	}
	return r == 0 ? rte_acl_build(ctx, &config) : r;
}

/* As many parts as it takes to build each with memory that a recorder can spare. */
static int kind_build(const struct builder *b, enum kind kind)
{
	unsigned int from = 0, count = 0, bytes = 0;
	int r = 0;

	for (unsigned int i = 0; i < b->count && r == 0; i++) {
		if (box_kind(b, &b->boxes[i]) != kind)
			continue;
		bytes += box_key_bytes(&b->boxes[i]);
		count++;
		if (bytes < b->part_key_bytes)
			continue;
		r = part_build(b, kind, from, i + 1, count);
		from = i + 1;
		count = bytes = 0;
	}
	if (r == 0 && count > 0)
		r = part_build(b, kind, from, b->count, count);
	return r;
}

static int family_build(struct builder *b, enum flow_family family)
{
	int r = 0;

	b->family = family;
	b->count = 0;
	boxes_collect(b);
	for (enum kind kind = 0; kind < KINDS && r == 0; kind++)
		r = kind_build(b, kind);
	return r;
}

static const char *failure(int r)
{
	if (r == -E2BIG)
		return "they are too many for its parts";
	if (r == -ERANGE)
		return "they overlap too much";
	return strerror(-r);
}

int rule_table_new_parts(const struct rules *rules, int socket_id, unsigned int part_key_bytes,
	struct rule_table **ret, struct errbuf *err)
{
	struct builder b = {
		.rules = rules, .socket_id = socket_id, .part_key_bytes = part_key_bytes};
	int r;

	b.table = calloc(1, sizeof(*b.table));
	b.boxes = calloc(BOXES_OF_RULE * ((size_t)rules->count + 1), sizeof(*b.boxes));
	r = b.table != NULL && b.boxes != NULL ? 0 : -ENOMEM;
	for (enum flow_family family = 0; family < FLOW_FAMILIES && r == 0; family++)
		r = family_build(&b, family);
	free(b.boxes);
	if (r < 0) {
		rule_table_free(b.table);
		return fail_with(err, r, "%s: cannot make a table of its %u rules: %s", rules->name,
			rules->count, failure(r));
	}
	*ret = b.table;
	return 0;
}

int rule_table_new(
	const struct rules *rules, int socket_id, struct rule_table **ret, struct errbuf *err)
{
	return rule_table_new_parts(rules, socket_id, PART_KEY_BYTES, ret, err);
}

void rule_table_free(struct rule_table *t)
{
	if (t == NULL)
		return;
	for (unsigned int family = 0; family < FLOW_FAMILIES; family++)
		for (unsigned int i = 0; i < t->part_count[family]; i++)
			rte_acl_free(t->parts[family][i]);
	free(t);
}

unsigned int rule_table_parts(const struct rule_table *t, enum flow_family family)
{
	return t->part_count[family];
}

/* Matching */

struct lane {
	unsigned int count;
	const uint8_t *keys[FILTER_BURST];
	uint8_t at[FILTER_BURST]; /* which key of the burst that is */
};

/* The lower number of a rule, where 0 is none. */
static inline uint32_t first_rule(uint32_t a, uint32_t b)
{
	return RTE_MIN(a - 1, b - 1) + 1;
}

/* which: the keys to look at; NULL: all. */
static inline void match(const struct rule_table *t, const struct flow_key keys[],
	const uint8_t which[], unsigned int count, uint32_t ret_rules[])
{
	uint32_t found[FILTER_BURST];
	struct lane lanes[FLOW_FAMILIES];

	for (unsigned int family = 0; family < FLOW_FAMILIES; family++)
		lanes[family].count = 0;
	for (unsigned int i = 0; i < count; i++) {
		unsigned int at = which == NULL ? i : which[i];
		const struct flow_key *k = &keys[at];
		struct lane *l = &lanes[k->family];

		ret_rules[at] = t->by_class[k->family][k->class];
		l->keys[l->count] = (const uint8_t *)k;
		l->at[l->count++] = (uint8_t)at;
	}
	for (unsigned int family = FLOW_IPV4; family < FLOW_FAMILIES; family++) {
		struct lane *l = &lanes[family];

		for (unsigned int i = 0; l->count > 0 && i < t->part_count[family]; i++) {
			(void)rte_acl_classify(t->parts[family][i], l->keys, found, l->count, 1);
			for (unsigned int k = 0; k < l->count; k++)
				ret_rules[l->at[k]] = first_rule(ret_rules[l->at[k]], found[k]);
		}
	}
}

void rule_table_match(const struct rule_table *t, const struct flow_key keys[], unsigned int count,
	uint32_t ret_rules[])
{
	match(t, keys, NULL, count, ret_rules);
}

void rule_table_match_some(const struct rule_table *t, const struct flow_key keys[],
	const uint8_t which[], unsigned int count, uint32_t ret_rules[])
{
	match(t, keys, which, count, ret_rules);
}
