#pragma once
/*
 * Capture options: what `record` and `trigger --port` have in common to say about a run that
 * no settings file describes. They become members of the request to the daemon.
 */

#include <stdbool.h>

#include <jansson.h>

#include "options.h"

enum {
	KEY_RULES = 256,
	KEY_VLAN,
	KEY_INNER,
	KEY_FRAGMENTS,
	KEY_CUTOFF,
	KEY_AFTER,
	KEY_FOR,
	KEY_PACKETS,
	KEY_BYTES,
	KEY_ROTATE,
	KEY_EVERY,
	KEY_ON_CLOCK,
	KEY_NAME,
	KEY_CAPTURE_END, /* keys of one subcommand alone begin here */
};

#define OPTION_LINES_CAPTURE                                                                       \
	{'f', "filter", "EXPR", "keep only what this tcpdump expression matches"},                 \
		{KEY_RULES, "rules", "FILE", "keep and cut as this file of rules says"},           \
		{KEY_VLAN, "vlan", "any|strict",                                                   \
			"EXPR also finds packets behind VLAN tags, MPLS and PPPoE\n"               \
			"(any, the default), or is taken literally"},                              \
		{KEY_INNER, "inner", "TUNNEL[,TUNNEL]...",                                         \
			"look inside these, too: vxlan, gre, gtp-u, geneve, ipip"},                \
		{KEY_FRAGMENTS, "fragments", "keep|follow|literal",                                \
			"later fragments: keep those that could match (default);\n"                \
			"follow the first one; or take EXPR literally"},                           \
		{'s', "snaplen", "LENGTH",                                                         \
			"bytes to store of each packet: a number, or headers,\n"                   \
			"or headers+N; default whole packets"},                                    \
		{KEY_CUTOFF, "cutoff", "SIZE", "keep this much of each flow: '20 KiB'"},           \
		{KEY_AFTER, "after", "headers|drop",                                               \
			"behind --cutoff: store headers (default), or nothing"},                   \
		{'o', "output", "DIR",                                                             \
			"directory for the files, one per disk; may be given\n"                    \
			"again; null: throws the packets away"},                                   \
		{KEY_FOR, "for", "TIME", "end after this time: 10s, 5m, 2h, 1h30m"},               \
		{KEY_PACKETS, "packets", "N", "end after this many packets were kept"},            \
		{KEY_BYTES, "bytes", "SIZE", "end after this many bytes were kept: 500MB, 10GiB"}, \
		{KEY_ROTATE, "rotate", "SIZE", "begin a new file after this size"},                \
		{KEY_EVERY, "every", "TIME", "begin a new file after this time"},                  \
		{KEY_ON_CLOCK, "on-clock", NULL,                                                   \
			"with --every: on the clock (5m cuts at :00, :05, ...)"},                  \
	{                                                                                          \
		KEY_NAME, "name", "NAME", "name of the run, and so of its files"                   \
	}

/*
 * Takes one of the options above into request. EXIT_GOOD or EXIT_USAGE (said, with the value and
 * the rule). Other keys are our own mistake.
 */
int capture_option(const struct usage *usage, int key, const char *argument, json_t *request);

/* After the last option: what only the whole can tell. EXIT_GOOD or EXIT_USAGE. */
int capture_options_check(const struct usage *usage, const json_t *request);

/* "vxlan,gre" as a list. NULL: it is not UTF-8 text. */
json_t *capture_commas(const char *text);

/*
 * A file's name as absolute text, as the daemon's current directory is not ours. EXIT_GOOD or
 * EXIT_USAGE (said, of this option).
 */
int capture_path(
	const struct usage *usage, const char *option, const char *path, json_t **ret_text);

/* --cpus of `record` and `bench`: "2,4-6" as "cpus":[2,4,5,6]. EXIT_GOOD or EXIT_USAGE. */
int capture_cpus(const struct usage *usage, const char *list, json_t *request);
