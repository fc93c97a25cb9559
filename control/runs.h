#pragma once
/*
 * Runs: the times that recordings are live, from their opening to the last sealed file.
 *
 *   armed ------> live ------> finishing ------> ended
 *   in the plan,  its start    out of the plan;  every file sealed or given up;
 *   not begun     has come     writers work on   its ledger is final
 *
 * Flow     settings, schedule, triggers -> runs -> rx plan (capture) and run_start() (writer)
 * Threads  control's only. The plan is published by one store and waits for the rx lcores
 *          alone, never for a disk. Files that a disk gave up on are recovered on a thread of
 *          their own (recovery.h), while their run is finishing.
 * Time     capture_now_ns(), the clock that packets are stamped with. A window's run is in the plan
 *          RUNS_AHEAD_NS before its start, so that its files hold exactly start <= time < end.
 * Loss     none of its own. "No run begins half": what fails while a run is made undoes all of it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "choices.h"
#include "prefilters.h"
#include "settings.h"
#include "wirespool/capture.h"
#include "wirespool/errbuf.h"
#include "wirespool/ledger.h"
#include "wirespool/writer.h"

#define RUNS_AHEAD_NS    2000000000ULL /* before its start a window's run is made */
#define RUNS_HANDOVER_NS 500000000ULL  /* from a reload to when changed runs take over */
#define RUNS_GRACE_NS    250000000ULL /* after its end, packets that the kernel stamped still come */
#define RUN_NO_END       UINT64_MAX

enum { RUNS_ENDED_KEPT = 64 };

struct runs;

enum run_state { RUN_ARMED, RUN_LIVE, RUN_FINISHING, RUN_ENDED };
enum run_cause { RUN_BY_TRIGGER, RUN_BY_ALWAYS, RUN_BY_WINDOW };

struct run_file {
	char *path;
	bool sealed;
};

/* A run as others may see it; all of it belongs to struct runs. */
struct recording_run {
	char id[RUN_ID_MAX]; /* RECORDING-YYYYMMDDTHHMMSS.mmmZ */
	char recording[SETTINGS_NAME_MAX + 1];
	enum run_cause cause;
	enum run_state state;
	uint64_t start_ns;
	uint64_t end_ns; /* RUN_NO_END: until it is stopped. Once out of the plan: when that was */
	struct run_ledger ledger;    /* of the last runs_tick(); final once ended */
	uint64_t queued_bytes;       /* likewise */
	struct filter_counts counts; /* likewise */
	const char *engine;          /* how its expression runs: filter_engine() */
	uint64_t files_count;        /* finished ones */
	struct run_file *files;      /* once ended: the newest of them */
	unsigned int files_kept;

	struct run_work *work; /* what it holds while it is not ended; of runs_private.h */
};

struct runs_options {
	struct port *const *ports; /* all must outlive the runs, as the writers must */
	unsigned int port_count;
	struct writer *const *writers; /* at least one */
	unsigned int writer_count;
	struct choices *choices;       /* likewise */
	struct prefilters *prefilters; /* likewise */
	unsigned int ended_kept;       /* RUNS_ENDED_KEPT; 0: all */
};

int runs_new(const struct runs_options *options, struct runs **ret_runs, struct errbuf *err);

/*
 * Every run must have ended, or else (the disks are stuck) what writers and lcores may still use is
 * left to the end of the process.
 */
void runs_free(struct runs *rs);

/*
 * Follows the recordings of s, which must stay until the next call. A recording that is as it was
 * goes on untouched, also in a window whose run was stopped. One that is to keep something else has
 * that exchanged in its runs. One that changed otherwise has them ended
 * and, where they are still due, begun anew, without a gap between; one that is gone has them
 * ended. What was made up by a trigger goes on. -ENOMEM: the settings before go on being followed.
 */
int runs_follow(struct runs *rs, const struct settings *s);

/*
 * Begins a run of recording now, for for_ns (0: until stopped or a limit of the recording).
 * made_up: it is not of the settings, and a reload does not touch it. *ret_id stays until the run
 * is forgotten. -ENOENT: a port of it is not open. -EINVAL: filter, ports of different link types.
 * -ENOMEM, -ESHUTDOWN after runs_close(), or a stripe's error.
 */
int runs_trigger(struct runs *rs, const struct recording_settings *recording, uint64_t for_ns,
	bool made_up, const char **ret_id, struct errbuf *err);

/* The open port of that name; NULL: there is none. */
struct port *runs_find_port(const struct runs *rs, const char *name, struct port_info *ret_info);

/* Is r, armed or live, of that recording of the settings? What a trigger made up may be called the same. */
bool run_is_of(const struct recording_run *r, const char *recording);

/* Is there a live run of a recording that will take to c at a time that is not known yet? */
bool runs_take_later(const struct runs *rs, const char *recording, const struct choice *c);

/* Every 100 ms: opens windows, moves runs on. */
void runs_tick(struct runs *rs);

/*
 * Ends the runs that are called what, by id or recording, NULL: all; calls back with each.
 * Returns how many.
 */
unsigned int runs_stop(struct runs *rs, const char *what,
	void (*each)(const struct recording_run *r, void *arg), void *arg);

/* Nothing opens any more, all that is live ends. */
void runs_close(struct runs *rs);

/* Waits no more for disks, nor for recoveries. Returns how many runs were still finishing. */
unsigned int runs_abandon(struct runs *rs);

/*
 * Those that did not end yet, and those that did, in the order of their beginning and end; NULL
 * past the last.
 */
const struct recording_run *runs_active(const struct runs *rs, unsigned int index);
const struct recording_run *runs_ended(const struct runs *rs, unsigned int index);

bool runs_all_ended(const struct runs *rs);

/* How many ended runs were forgotten for the sake of memory. */
uint64_t runs_forgotten(const struct runs *rs);

/* True when a run lost packets, also one that was forgotten. */
bool runs_lost_any(const struct runs *rs);

/* True when the occurrence of a window of recording has a run that did not end. */
bool runs_live_in(const struct runs *rs, const char *recording, const struct occurrence *o);

/* Each stripe that a run holds, once; the info is valid during the call. */
void runs_stripes(
	const struct runs *rs, void (*each)(const struct stripe_info *info, void *arg), void *arg);

const char *run_state_name(enum run_state state);
