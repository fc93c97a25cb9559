#include "trial.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

enum {
	SNAPLEN_MIN = 14,       /* as of a recording: less is no frame */
	CUTOFF_FLOWS = 1 << 18, /* at a time */
};

enum key {
	KEY_RULES = 256,
	KEY_VLAN,
	KEY_FRAGMENTS,
	KEY_INNER,
	KEY_CUTOFF,
	KEY_AFTER,
	KEY_DUMP,
	KEY_BENCH,
	KEY_JSON,
};

/* cli/cmd_filter.c shows the same options. */
static const struct option longs[] = {
	{"filter", required_argument, NULL, 'f'},
	{"rules", required_argument, NULL, KEY_RULES},
	{"snaplen", required_argument, NULL, 's'},
	{"vlan", required_argument, NULL, KEY_VLAN},
	{"fragments", required_argument, NULL, KEY_FRAGMENTS},
	{"inner", required_argument, NULL, KEY_INNER},
	{"cutoff", required_argument, NULL, KEY_CUTOFF},
	{"after", required_argument, NULL, KEY_AFTER},
	{"write", required_argument, NULL, 'w'},
	{"dump", no_argument, NULL, KEY_DUMP},
	{"bench", no_argument, NULL, KEY_BENCH},
	{"json", no_argument, NULL, KEY_JSON},
	{NULL, 0, NULL, 0},
};

/* Words that an option takes, each with its value; ended by NULL. */
struct word {
	const char *text;
	unsigned int value;
};

static const struct word vlans[] = {
	{"any", FILTER_VLAN_ANY},
	{"strict", FILTER_VLAN_STRICT},
	{NULL, 0},
};
static const struct word fragments[] = {
	{"keep", FILTER_FRAGMENTS_KEEP},
	{"follow", FILTER_FRAGMENTS_FOLLOW},
	{"literal", FILTER_FRAGMENTS_LITERAL},
	{NULL, 0},
};
static const struct word inners[] = {
	{"vxlan", FILTER_INNER_VXLAN},
	{"gre", FILTER_INNER_GRE},
	{"gtp-u", FILTER_INNER_GTP_U},
	{"geneve", FILTER_INNER_GENEVE},
	{"ipip", FILTER_INNER_IPIP},
	{NULL, 0},
};
static const struct word afters[] = {
	{"headers", FILTER_AFTER_HEADERS},
	{"drop", FILTER_AFTER_DROP},
	{NULL, 0},
};

static int wrong(const char *option, const char *text)
{
	(void)fprintf(
		stderr, "wirespool filter: %s: %s; see 'wirespool filter --help'\n", option, text);
	return TRIAL_USAGE;
}

static int word_parse(const char *option, const struct word *words, const char *text, size_t length,
	unsigned int *ret)
{
	char names[64] = "", sentence[256];

	for (const struct word *w = words; w->text != NULL; w++) {
		size_t used = strlen(names);

		if (strlen(w->text) == length && strncmp(text, w->text, length) == 0) {
			*ret = w->value;
			return TRIAL_GOOD;
		}
		(void)snprintf(
			names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "", w->text);
	}
	(void)snprintf(sentence, sizeof(sentence), "must be one of %s, got '%.*s'", names,
		(int)length, text);
	return wrong(option, sentence);
}

static int inner_parse(const char *list, unsigned int *ret)
{
	unsigned int bit;
	size_t length;
	int code;

	*ret = 0;
	for (;; list += length + 1) {
		length = strcspn(list, ",");
		code = word_parse("--inner", inners, list, length, &bit);
		if (code != TRIAL_GOOD)
			return code;
		*ret |= bit;
		if (list[length] == '\0')
			return TRIAL_GOOD;
	}
}

static int snaplen_parse(const char *text, struct cut *ret)
{
	struct errbuf err;

	if (cut_parse(text, ret, &err) < 0)
		return wrong("--snaplen", err.text);
	if (ret->headers || ret->snaplen >= SNAPLEN_MIN)
		return TRIAL_GOOD;
	(void)fail_with(&err, 0, "'%s' must be 0 (whole packets) or %d to %d", text, SNAPLEN_MIN,
		SNAPLEN_MAX);
	return wrong("--snaplen", err.text);
}

static int cutoff_parse(const char *text, uint64_t *ret)
{
	struct errbuf err;

	if (size_parse(text, ret, &err) < 0)
		return wrong("--cutoff", err.text);
	if (*ret > 0 && *ret <= UINT32_MAX)
		return TRIAL_GOOD;
	(void)fail_with(&err, 0, "'%s' must be more than 0 and less than 4GiB", text);
	return wrong("--cutoff", err.text);
}

static int rules_read(const char *path, struct trial_options *o)
{
	struct errbuf err;
	int r;

	rules_free(o->rules);
	o->rules = NULL;
	r = rules_parse_file(path, &o->rules, &err);
	o->filter.rules = o->rules;
	if (r == 0)
		return TRIAL_GOOD;
	log_error("%s", err.text);
	return r == -EINVAL ? TRIAL_USAGE : TRIAL_FAILED;
}

static int option_take(struct trial_options *o, int key, const char *argument)
{
	size_t length = argument != NULL ? strlen(argument) : 0;
	unsigned int word = 0;
	int code = TRIAL_GOOD;

	switch (key) {
	case 'f':
		o->filter.expression = argument;
		break;
	case KEY_RULES:
		return rules_read(argument, o);
	case 's':
		return snaplen_parse(argument, &o->cut);
	case KEY_VLAN:
		code = word_parse("--vlan", vlans, argument, length, &word);
		o->filter.vlan = word;
		break;
	case KEY_FRAGMENTS:
		code = word_parse("--fragments", fragments, argument, length, &word);
		o->filter.fragments = word;
		break;
	case KEY_INNER:
		return inner_parse(argument, &o->filter.inner);
	case KEY_CUTOFF:
		return cutoff_parse(argument, &o->filter.cutoff_bytes);
	case KEY_AFTER:
		code = word_parse("--after", afters, argument, length, &word);
		o->filter.after = word;
		break;
	case 'w':
		o->write = argument;
		break;
	case KEY_DUMP:
		o->dump = true;
		break;
	case KEY_BENCH:
		o->bench = true;
		break;
	case KEY_JSON:
		o->json = true;
		break;
	default:
		code = TRIAL_USAGE; /* getopt_long() has said it */
	}
	return code;
}

int trial_options_parse(struct trial_options *o, int argc, char *argv[])
{
	int key, code = TRIAL_GOOD;

	*o = (struct trial_options){
		.filter = {.cutoff_flows = CUTOFF_FLOWS},
		.cut = {.snaplen = SNAPLEN_MAX},
	};
	while (code == TRIAL_GOOD && (key = getopt_long(argc, argv, "f:s:w:", longs, NULL)) != -1)
		code = option_take(o, key, optarg);
	o->file = optind < argc ? argv[optind] : NULL;
	if (code == TRIAL_GOOD && o->file == NULL && !o->dump)
		code = wrong("FILE", "is missing");
	return code;
}

void trial_options_done(struct trial_options *o)
{
	rules_free(o->rules);
}
