#pragma once
/*
 * Record session: one `wirespool record`, or one measurement of `wirespool bench`, from its
 * private daemon's start to the summary.
 *
 * Flow     record -> status, summary (4 times a second, or as a watcher says) -> summary done
 *          SIGINT, SIGTERM, SIGHUP -> stop, the second one -> abandon
 * Threads  one. Signals come through a file descriptor, so that no wait misses one.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "progress.h"

/*
 * Who follows a session in place of the terminal: the line of progress is theirs to draw, and the
 * warnings, which are in the summary too, theirs to say.
 */
struct session_watcher {
	uint64_t every_ns; /* between two looks */
	/* At each status; false: that is enough, the recording is stopped. */
	bool (*look)(const json_t *status, struct progress *progress, void *context);
	void *context;
	bool interrupted; /* set by the session: a signal ended it */
};

/*
 * Starts a private daemon, sends it request (taken over in any case), and waits for the end.
 * watcher may be NULL. EXIT_GOOD: *ret_summary is the caller's. Else what failed was said;
 * *ret_started tells whether the recording had begun.
 */
int record_session(json_t *request, bool verbose, struct session_watcher *watcher,
	bool *ret_started, json_t **ret_summary);

/*
 * From here on the signals that end a session do nothing else: one that comes between two sessions
 * ends the next. A session does this by itself.
 */
void record_session_hold_signals(void);
