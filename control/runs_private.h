#pragma once
/*
 * What the files of the runs share; no other file includes this.
 *
 *   watch.c     opens what opens by itself, and follows new settings
 *   run_open.c  makes a run: all of it, or none
 *   runs.c      armed -> live -> finishing, and with it the rx plan; stop; views for others
 *   exchange.c  what a run keeps, exchanged while it goes on
 *   run_end.c   finishing -> ended: the last counts, files that disks gave up on, the log
 *
 * Threads  control's only. What others do meanwhile is asked for at each tick, never waited for.
 */

#include <stdbool.h>
#include <stdint.h>

#include "runs.h"

struct recovery;
struct watch;

/* What a run holds until its writers are done with it, and what is known of it alone here. */
struct run_work {
	struct run *run; /* the writers' side of it; NULL before run_start() and when it ended */
	struct choice *choice;
	struct filter_tables **tables; /* the choice's, one per port */
	struct choice *next;           /* from switch_ns on; NULL: none is to come */
	struct filter_tables **next_tables;
	uint64_t switch_ns;
	bool next_told;               /* lcores and writers know of next */
	char *fingerprint;            /* of the recording that it was made of */
	struct occurrence occurrence; /* of the window */
	bool made_up;
	bool leaving; /* to be out of the next plan */
	bool abandoned;
	bool discarded; /* failed while it was made: nobody hears of it */
	uint64_t grace_ns;
	uint64_t lost_logged_pkts;
	unsigned int recoveries; /* of its files, that did not come back yet */
	struct stripe **stripes;
	unsigned int stripe_count;
	struct port **ports;
	struct rx_rule *rules; /* one per port; their rings lie in rings */
	unsigned int port_count;
	struct packet_ring **rings;
	unsigned int *writer_of_ring;
	unsigned int ring_count;
};

struct runs {
	struct runs_options options;
	struct recording_run **active;
	unsigned int active_count;
	struct recording_run **ended;
	unsigned int ended_count;
	uint64_t forgotten;
	unsigned int made; /* spreads the rings of one-queue ports over the writers */
	struct watch *watches;
	unsigned int watch_count;
	struct recovery *recovery; /* its owners are runs of active */
	bool plan_stale;
	bool plan_failed; /* to publish, when it was tried last */
	bool closing;
	bool lost_any;
};

/* What is asked of a new run. */
struct run_span {
	enum run_cause cause;
	uint64_t start_ns; /* 0, or any time that has passed: now */
	uint64_t end_ns;
	uint64_t most_ns; /* at most so long; 0: no limit */
	bool made_up;     /* of a recording that is not in the settings */
};

/*
 * Makes a run and puts it into the plan. *ret belongs to rs. On failure there is no trace of it,
 * but for writers that were started already and end by themselves: a run that is discarded.
 */
int runs_begin(struct runs *rs, const struct recording_settings *recording,
	const struct run_span *span, struct recording_run **ret, struct errbuf *err);

/*
 * Gives back what the run held of writers, stripes and capture, or of as much as it got. It must
 * be out of the plan, and its writers done with it.
 */
void run_work_release(struct run_work *w);

/* Releases what is left as well. Accepts NULL. */
void run_work_free(struct run_work *w);

/* With its work, where it has any. Accepts NULL. */
void recording_run_free(struct recording_run *r);

/* Publishes the plan of all runs that are armed or live and not leaving. -ENOMEM: the old stays. */
int runs_publish(struct runs *rs, struct errbuf *err);

/* Sets the end of a run to now_ns, if it is not over before; runs_settle() makes it true. */
void runs_end_at(struct runs *rs, struct recording_run *r, uint64_t now_ns);

/* Tables for a choice, one per port of w, that go on from those which w has. */
int tables_new(const struct run_work *w, const struct choice *c, struct filter_tables ***ret,
	struct errbuf *err);
void tables_free(struct filter_tables **tables, unsigned int count);

/* Tells the writers of a run what its files are to say from from_ns on. */
int run_redescribe_as(const struct recording_run *r, const struct choice *c, uint64_t from_ns,
	struct errbuf *err);

/* Begins and completes exchanges of what live runs keep. */
void runs_exchange(struct runs *rs);

/* Publishes what changed, and lets writers finish what is out of the plan. */
void runs_settle(struct runs *rs);

/* Takes the counts of all runs, and ends those whose last file is sealed or given up. */
void runs_collect(struct runs *rs);

/* A run that is finishing waits no more for disks. */
void runs_abandon_one(struct runs *rs, struct recording_run *r);

/* Opens what is due. */
void watches_look(struct runs *rs);

/* What could not open before may now. */
void watches_hurry(struct runs *rs);
void watches_free(struct watch *watches, unsigned int count);

/* Makes room for one more pointer at the end of a list. -ENOMEM. */
int runs_list_reserve(struct recording_run ***list, unsigned int count);
void runs_list_remove(struct recording_run **list, unsigned int *count, unsigned int index);
