#pragma once
/*
 * The options of the generator that say what its frames are, as text: NAME=VALUE. Those that say when
 * they come are in gen.c.
 */

#include "frames.h"

#define FRAMES_OPTION_NAMES "size, flows, ipv6, tcp, vlan, mpls, tunnel, fragments, seed"

enum { OPTION_TEXT_MAX = 64 };

/* 1000 flows of IMIX, IPv4 and UDP without a tag. */
void frames_options_init(struct frames_options *o);

/* Sets one option. Returns 0; -ENOENT: no such option, err is as it was; -EINVAL: err says the rule. */
int frames_options_set(
	struct frames_options *o, const char *key, const char *value, struct errbuf *err);

/* All of them together: 0, or -EINVAL and err says which two do not go together. */
int frames_options_check(const struct frames_options *o, struct errbuf *err);

/* "gen: KEY must be RULE, got 'VALUE'": returns -EINVAL. */
int option_wrong(struct errbuf *err, const char *key, const char *value, const char *rule);
