#pragma once
/*
 * The table of settings, and how a value of it is read from and written as text.
 *
 * Private to settings*.c and recording.c; tests hold etc/wirespool.conf and wirespool.conf(5)
 * against it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "settings.h"
#include "wirespool/errbuf.h"

enum setting_type {
	SETTING_GROUP,  /* { ... } */
	SETTING_GROUPS, /* ( { ... }, ... ) */
	SETTING_BOOL,   /* bool */
	SETTING_NUMBER, /* uint32_t */
	SETTING_COUNT,  /* uint64_t, as text: "1000000" */
	SETTING_SIZE,   /* uint64_t, as text: "64MiB" */
	SETTING_TIME,   /* uint64_t ns, as text: "10s" */
	SETTING_TEXT,   /* char * */
	SETTING_CHOICE, /* an enum: the choice's place in choices */
	SETTING_CPUS,   /* int[] and how many */
	SETTING_TEXTS,  /* char ** and how many */
	SETTING_FLAGS,  /* unsigned int: a bit for each of choices that the list has */
};

/* What a setting is part of, and so what its offsets count from. */
enum setting_owner {
	OWNER_SETTINGS,  /* struct settings */
	OWNER_PORT,      /* struct port_settings: "ports[]." */
	OWNER_RECORDING, /* struct recording_settings: "recordings[]." */
	OWNER_WINDOW,    /* struct window_rule: "recordings[].windows[]." */
};

struct setting {
	const char *path; /* "recordings[].rotate.bytes" */
	enum setting_type type;
	bool required;
	bool reload;        /* takes effect at [reload]; else at [start] */
	bool live;          /* and that also in runs that are [live] */
	const char *preset; /* the default as one would write it, without quotes; NULL: none */
	const char *rule;   /* "2MiB to 16TiB" */
	const char *help;
	size_t offset;
	size_t count_offset;        /* CPUS, TEXTS */
	uint64_t min;               /* NUMBER, COUNT, SIZE, TIME */
	uint64_t max;               /* also the longest list */
	const char *const *choices; /* NULL-ended */
};

/* Ended by a path of NULL. A group comes before what is in it. */
extern const struct setting SETTINGS[];

const struct setting *setting_find(const char *path);
enum setting_owner setting_owner(const struct setting *s);
bool setting_is_group(const struct setting *s);

/* Stores a value of type BOOL to CHOICE into base, which is of the setting's owner; a text there before is
 * freed. -EINVAL and a sentence with value and rule. */
int setting_from_text(const struct setting *s, const char *text, void *base, struct errbuf *err);

/* The same for NUMBER, already read. */
int setting_from_number(const struct setting *s, int64_t number, void *base, struct errbuf *err);

/* The same for one item of FLAGS, each once. */
int setting_add_flag(const struct setting *s, const char *text, void *base, struct errbuf *err);

/*
 * The value as it would be written in the file, to free(); "none" for what is not set. NULL: no
 * memory.
 */
char *setting_to_text(const struct setting *s, const void *base);

/* Writes the defaults of an owner into base. */
int settings_preset(enum setting_owner owner, void *base);

/*
 * The known name nearest to name among those in the group of path ("control.", "" at the top);
 * NULL: none is near.
 */
const char *setting_suggest(const char *group, const char *name);

/* A file's line of a value that it sets, for settings_print(). */
struct setting_origin {
	char *path; /* "recordings[0].rotate.bytes" */
	unsigned int line;
};

/*
 * Checks what a recording's own values can say without the rest of the file, and works out what hangs on
 * them: name, filter, rules (rule_set must be NULL before), snaplen to cut, stripes, clock. Says each
 * fault to report with the setting's path ("recordings[].filter") and the item in a list (-1: none).
 * Rules that keep no packet are no fault: the log gets a warning.
 * any_linktype: the packets may be other than Ethernet.
 */
typedef void recording_report(void *arg, const char *path, int item, const char *text);
void recording_check(
	struct recording_settings *r, bool any_linktype, recording_report *report, void *arg);

/* Works out fingerprint and filter_print, when all else is set. -ENOMEM. */
int recording_seal(struct recording_settings *r);

/* Whether after was given is seen only in the file or request: its default is a value, too. */
#define AFTER_NEEDS_CUTOFF "needs a cutoff, try cutoff = \"20 KiB\""

/* "must be 1 to 31 of A-Z a-z 0-9 _ . -, not beginning with - or ." */
int name_check(const char *name, struct errbuf *err);
