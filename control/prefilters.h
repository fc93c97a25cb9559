#pragma once
/*
 * Prefilters: what the device of a port may leave to others, because no live run on the port wants it.
 *
 * Where all live runs on a port have the same rules, these are the port's, its drop rules with them. Where
 * they have different ones, what any of them keeps comes. Where one has no rules, or looks into tunnels,
 * all comes. While no run is live nothing need come: all stays with the machine's own stack.
 *
 * Order    what is to come from now on comes before the runs need it; what nobody needs any more is
 *          left out after that.
 * Threads  control's only.
 */

#include "settings.h"
#include "wirespool/capture.h"
#include "wirespool/rules.h"

struct prefilters;

/* For ports whose devices can; modes: one per port. From here on nothing comes that no run wants. -ENOMEM. */
int prefilters_new(struct port *const ports[], const enum prefilter_mode modes[],
	unsigned int count, struct prefilters **ret, struct errbuf *err);
void prefilters_free(struct prefilters *ps);

/*
 * What runs want of a port, one call for each choice that is in force or to come, after prefilters_begin().
 * rules NULL: all packets. They must stay until prefilters_narrow().
 */
void prefilters_begin(struct prefilters *ps);
void prefilters_want(struct prefilters *ps, const struct port *p, const struct rules *rules);

/* Before the plan with these runs: what they want more than those before comes, too. */
void prefilters_widen(struct prefilters *ps);

/* After it: what they do not want comes no more. */
void prefilters_narrow(struct prefilters *ps);

/* Why more packets of a port come than its runs want, or fewer; NULL: neither. */
const char *prefilters_warning(const struct prefilters *ps, const struct port *p);

/* What a port's device goes by now; until the next change. NULL: all packets come. */
const struct rules *prefilters_rules(const struct prefilters *ps, const struct port *p);
