#include "frames_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "wirespool/units.h"

enum { FLOWS_DEFAULT = 1000, FLOWS_MAX = 1 << 20, VLAN_MAX = 4094 };

void frames_options_init(struct frames_options *o)
{
	*o = (struct frames_options){.flows = FLOWS_DEFAULT,
		.imix = true,
		.min_bytes = 64,
		.max_bytes = 1518,
		.seed = 1};
}

int option_wrong(struct errbuf *err, const char *key, const char *value, const char *rule)
{
	return fail_with(err, -EINVAL, "gen: %s must be %s, got '%s'", key, rule, value);
}

/* "LOW" or "LOW<between>HIGH", two numbers. Without a second one *ret_high is as it was. */
static int parse_pair(const char *value, char between, uint64_t max, uint64_t *ret_low,
	uint64_t *ret_high, uint64_t min)
{
	const char *at = strchr(value, between);
	char low[OPTION_TEXT_MAX];

	(void)snprintf(low, sizeof(low), "%.*s",
		(int)(at == NULL ? strlen(value) : (size_t)(at - value)), value);
	if (number_parse(low, "", min, max, ret_low, NULL) < 0)
		return -EINVAL;
	if (at == NULL)
		return 0;
	return number_parse(at + 1, "", min, max, ret_high, NULL);
}

static int parse_size(struct frames_options *o, const char *value, struct errbuf *err)
{
	static const char RULE[] =
		"a size of 64..9216 bytes with FCS, two as in 64-1518, or 'IMIX'";
	uint64_t min = 0, max = 0;

	if (strcmp(value, "IMIX") == 0 || strcmp(value, "imix") == 0) {
		o->imix = true;
		o->min_bytes = 64;
		o->max_bytes = 1518;
		return 0;
	}
	if (parse_pair(value, '-', FRAME_BYTES_MAX, &min, &max, FRAME_BYTES_MIN) < 0)
		return option_wrong(err, "size", value, RULE);
	if (max == 0)
		max = min;
	if (max < min)
		return option_wrong(err, "size", value, RULE);
	o->imix = false;
	o->min_bytes = (uint32_t)min;
	o->max_bytes = (uint32_t)max;
	return 0;
}

static int parse_vlan(struct frames_options *o, const char *value, struct errbuf *err)
{
	uint64_t vlan = 0, inner = 0;

	if (parse_pair(value, '.', VLAN_MAX, &vlan, &inner, 1) < 0)
		return option_wrong(err, "vlan", value,
			"an id in 1..4094, or two as in 100.200: an 802.1ad tag and one in it");
	o->vlan = (uint32_t)vlan;
	o->inner_vlan = (uint32_t)inner;
	return 0;
}

static int parse_tunnel(struct frames_options *o, const char *value, struct errbuf *err)
{
	static const struct {
		const char *name;
		enum frames_tunnel tunnel;
	} NAMES[] = {{"vxlan", TUNNEL_VXLAN}, {"geneve", TUNNEL_GENEVE}, {"gtp-u", TUNNEL_GTP_U},
		{"gre", TUNNEL_GRE}, {"ipip", TUNNEL_IPIP}};

	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		if (strcmp(value, NAMES[i].name) == 0) {
			o->tunnel = NAMES[i].tunnel;
			return 0;
		}
	}
	return option_wrong(err, "tunnel", value, "one of vxlan, geneve, gtp-u, gre, ipip");
}

/* Options that are one whole number. */
static int parse_number(
	struct frames_options *o, const char *key, const char *value, struct errbuf *err)
{
	const struct {
		const char *key;
		uint64_t min, max;
		uint32_t *small;
		uint64_t *big;
	} numbers[] = {
		{"flows", 1, FLOWS_MAX, &o->flows, NULL},
		{"ipv6", 0, 100, &o->ipv6_percent, NULL},
		{"tcp", 0, 100, &o->tcp_percent, NULL},
		{"mpls", 1, MPLS_LABELS_MAX, &o->mpls_labels, NULL},
		{"fragments", 0, 100, &o->fragment_percent, NULL},
		{"seed", 0, UINT64_MAX, NULL, &o->seed},
	};
	char rule[OPTION_TEXT_MAX];
	uint64_t n;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (strcmp(key, numbers[i].key) != 0)
			continue;
		if (number_parse(value, key, numbers[i].min, numbers[i].max, &n, NULL) < 0) {
			(void)snprintf(rule, sizeof(rule),
				"a whole number in %" PRIu64 "..%" PRIu64, numbers[i].min,
				numbers[i].max);
			return option_wrong(err, key, value, rule);
		}
		if (numbers[i].small != NULL)
			*numbers[i].small = (uint32_t)n;
		else
			*numbers[i].big = n;
		return 0;
	}
	return -ENOENT;
}

int frames_options_set(
	struct frames_options *o, const char *key, const char *value, struct errbuf *err)
{
	if (strcmp(key, "size") == 0)
		return parse_size(o, value, err);
	if (strcmp(key, "vlan") == 0)
		return parse_vlan(o, value, err);
	if (strcmp(key, "tunnel") == 0)
		return parse_tunnel(o, value, err);
	return parse_number(o, key, value, err);
}

int frames_options_check(const struct frames_options *o, struct errbuf *err)
{
	if (o->fragment_percent == 0)
		return 0;
	if (o->tcp_percent != 0)
		return fail_with(err, -EINVAL,
			"gen: fragments=%" PRIu32 " does not go with tcp=%" PRIu32
			": only UDP datagrams are sent as fragments",
			o->fragment_percent, o->tcp_percent);
	if (o->tunnel != TUNNEL_NONE)
		return fail_with(err, -EINVAL,
			"gen: fragments=%" PRIu32
			" does not go with tunnel: what is in a tunnel is sent whole",
			o->fragment_percent);
	return 0;
}
