#pragma once
/*
 * Settings: /etc/wirespool/wirespool.conf (libconfig) turned to checked values.
 *
 * One table of settings (settings.c) says of each its name, type, default, rule, whether it
 * takes effect at [start], at [reload] or in runs that are [live], and its line of help; the
 * loader and `--print-settings` follow it, and tests hold etc/wirespool.conf and
 * wirespool.conf(5) against it.
 *
 * Threads  control's only. A struct settings is not changed after it was loaded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schedule.h"
#include "wirespool/capture.h"
#include "wirespool/errbuf.h"
#include "wirespool/filter.h"
#include "wirespool/log.h"

#include <jansson.h>

enum { SETTINGS_NAME_MAX = 32, SETTINGS_LIST_MAX = 64 };

/*
 * Bytes of an expression. libpcap's compiler takes a time that grows with the square of it, at 4 KiB some
 * 0.5 s: what is longer is not compiled on control's thread. At the most it takes minutes.
 */
enum { FILTER_LONG = 4096, FILTER_LONGEST = 65536 };

/* What becomes of packets that no recording's rules keep, where a port's device can tell. */
enum prefilter_mode {
	PREFILTER_OFF,       /* they come, too, and are filtered here */
	PREFILTER_STACK,     /* they are left to the machine's own stack */
	PREFILTER_DROP_RULES /* the same, but those of a drop rule are dropped */
};

enum when { WHEN_TRIGGER, WHEN_ALWAYS, WHEN_WINDOWS };

struct rules;

struct port_settings {
	char *name;
	char *device;
	int cpus[PORT_LCORES_MAX];
	unsigned int cpu_count; /* 0: not said; control places its one rx lcore */
	uint32_t descriptors;
	uint32_t frame_bytes;
	bool promiscuous;
	enum prefilter_mode prefilter;
	int line;
};

struct recording_settings {
	char *name;
	char **ports;
	unsigned int port_count;
	char **stripes;
	unsigned int stripe_count;
	char *filter;     /* NULL: keep all */
	char *rules_file; /* NULL: none */
	char **rules;     /* the same as a list: only one of the two */
	unsigned int rule_count;
	struct rules *rule_set; /* as it was parsed; NULL: none */
	enum filter_vlan vlan;
	unsigned int inner; /* bits of enum filter_inner */
	enum filter_fragments fragments;
	char *snaplen; /* as written */
	struct cut cut;
	uint64_t cutoff_bytes; /* of each flow; 0: none */
	enum filter_after after;
	uint32_t cutoff_flows; /* remembered per queue at a time */
	uint64_t limit_bytes;  /* 0: none, also below */
	uint64_t limit_ns;
	uint64_t limit_pkts;
	uint64_t rotate_bytes;
	uint64_t rotate_ns;
	bool rotate_on_clock;
	uint64_t flush_ns;
	enum when when;
	struct window **windows;
	unsigned int window_count;
	/* Values as text: two recordings whose texts are both equal need no change. */
	char *filter_print; /* those that take effect in runs that are live, and a hash of the rules */
	char *fingerprint; /* all others */
	int line;
};

struct setting_origin;

struct settings {
	char *path;
	struct setting_origin *origins; /* for settings_print() */
	unsigned int origin_count;
	char *socket;    /* control.socket */
	char *group;     /* control.group; NULL: leave it */
	bool huge_pages; /* memory.huge_pages */
	enum log_level log_level;
	uint64_t stop_timeout_ns; /* control.stop_timeout: at SIGTERM, wait for disks this long */
	int writer_cpus[SETTINGS_LIST_MAX];
	unsigned int writer_cpu_count; /* 0: not said; control places one writer */
	uint64_t writer_memory_bytes;  /* of chunks, of each writer */
	unsigned int writer_queue_depth;
	struct port_settings *ports;
	unsigned int port_count;
	struct recording_settings *recordings;
	unsigned int recording_count;
};

/* Every fault of a file, in the order of its lines: "wirespool.conf:12: recordings[0].snaplen: "64x" is not ..." */
struct faults {
	char **texts;
	unsigned int count;
};

void faults_add(struct faults *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
void faults_free(struct faults *f);

/*
 * Loads and checks a file: syntax, unknown and badly typed keys, ranges, names used twice,
 * ports that recordings name but nobody defines, a device used twice, filters (libpcap), rules, cuts,
 * windows, time zones, stripes (a directory that can be written), devices (their text). Finds all faults
 * in one go. On success *ret_settings is the caller's; on failure it is NULL and faults holds at
 * least one line. Returns 0 or -EINVAL (-ENOENT and so on when the file cannot be read).
 */
int settings_load(const char *path, struct settings **ret_settings, struct faults *faults);

/* Built-in defaults: no ports, no recordings. */
struct settings *settings_new(void);
void settings_free(struct settings *s);

/*
 * A recording made up in a request of the control socket: keys "name" (default "capture"), "ports", "stripes", "filter",
 * "rules_file", "rules", "vlan", "inner", "fragments", "snaplen", "cutoff", "after", "cutoff_flows", "for", "bytes", "packets", "rotate_bytes",
 * "rotate_every", "rotate_on_clock", "flush"; texts with units as in the file, "cutoff_flows" a number, "packets" a number or text. Ports are not
 * looked up here and may be left out. Filters, rules, cuts and stripes are checked as in a file. Unknown keys are errors, except those in
 * also_known (NULL-ended). On success the recording is the caller's, to recording_done() it.
 */
int recording_from_json(const json_t *request, const char *const also_known[],
	struct recording_settings *ret, struct errbuf *err);

/*
 * Changes what a recording keeps: those of the keys above that take effect in live runs, but "rules"; null takes a
 * value away. Rules stay as they were read, unless the change has a "rules_file". On failure r is to be thrown away.
 */
int recording_change(const json_t *request, const char *const also_known[],
	struct recording_settings *r, struct errbuf *err);

/* What its values ask for; expression and rules stay r's. */
void recording_filter_options(const struct recording_settings *r, struct filter_options *ret);

/* "filter = "udp"; snaplen = "headers"": what is other than by itself, to free(). NULL: no memory. */
char *recording_filter_text(const struct recording_settings *r);

/* Deep copy; NULL-safe free of its insides. */
int recording_copy(const struct recording_settings *from, struct recording_settings *ret);
void recording_done(struct recording_settings *r);

struct recording_settings *settings_find_recording(const struct settings *s, const char *name);
struct port_settings *settings_find_port(const struct settings *s, const char *name);

/*
 * What differs between the running settings and new ones and cannot be changed without a
 * restart (ports, writers, memory, socket, group), as a list of texts "ports.left.descriptors: 4096 -> 512".
 */
void settings_needs_restart(
	const struct settings *old, const struct settings *new, struct faults *ret_texts);

/* Each setting with its value and where it came from (built-in or file:line), to stdout: `check --print`. */
void settings_print(const struct settings *s);
