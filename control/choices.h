#pragma once
/*
 * Choices: what recordings keep, as filters that are made and ready.
 *
 * A recording's expression, rules and cut may change while its runs go on. Each change is a choice of its own,
 * with a number: its generation. A table of many rules takes up to minutes to build; that is done on a
 * thread, and the choice before stays until the new one is ready, or for good if it cannot be made.
 *
 * Flow     settings, "set" -> choices_want() -> made -> choices_get() by runs, old and new
 * Threads  control's only; the maker's own is behind it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "settings.h"
#include "wirespool/errbuf.h"
#include "wirespool/filter.h"

struct choices;

struct choice {
	struct filter *filter;
	struct recording_settings settings; /* that it was made of, a copy */
	struct filter_options options;      /* of these */
	int linktype;                       /* of the packets that it can judge */
	char *text; /* all that is asked, as in the settings; "" for nothing */
	unsigned int generation;
	uint64_t since_ns; /* when live runs took to it; 0: none did */
	bool works;        /* a run was able to take it */
	unsigned int references;
};

/*
 * Makes the choice of a recording for packets of linktype, now. On success *ret is the caller's,
 * to be given back with choice_release().
 */
int choice_make(const struct recording_settings *r, int linktype, int socket_id,
	struct choice **ret, struct errbuf *err);
struct choice *choice_share(struct choice *c);
void choice_release(struct choice *c); /* accepts NULL */

int choices_new(struct choices **ret, struct errbuf *err);

/* What is still being made then is left to the end of the process, and DPDK must be with it. */
void choices_free(struct choices *cs);

/* Nothing is being made, not even what was overtaken. */
bool choices_idle(const struct choices *cs);

/*
 * From now on recording r is to keep what its settings say, of packets of linktype. What takes a moment is made
 * now, rules later.
 * On failure the choice before stays, and choices_state() tells what err says.
 */
int choices_want(struct choices *cs, const struct recording_settings *r, int linktype,
	int socket_id, struct errbuf *err);

/* Forgets recordings that are not in s. */
void choices_keep(struct choices *cs, const struct settings *s);

/* Every 100 ms: takes what was made. True: there was something. */
bool choices_poll(struct choices *cs);

/*
 * The choice of that generation cannot be put to work, why says what is missing: the last one before it that
 * works, or else the first, is the newest again. False: there is none before, or another one is the newest by now.
 */
bool choices_refuse(struct choices *cs, const char *recording, unsigned int generation,
	const struct errbuf *why);

/*
 * The newest choice of a recording that is ready, as a share of the caller's. NULL: there is none, or it is
 * for packets of another linktype.
 */
struct choice *choices_get(struct choices *cs, const char *recording, int linktype);

struct choice_state {
	const struct choice *choice;               /* the newest; NULL: none yet */
	const struct recording_settings *settings; /* of what is being made, else of the newest */
	bool pending;                              /* that is being made */
	const char *error;                         /* why it could not be made; NULL: it could */
};

/* False: no such recording. */
bool choices_state(const struct choices *cs, const char *recording, struct choice_state *ret);
