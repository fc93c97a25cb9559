#pragma once
/*
 * Record session: one `wirespool record`, from its private daemon's start to the summary.
 *
 * Flow     record -> status, summary (4 times a second) -> summary done
 *          SIGINT, SIGTERM, SIGHUP -> stop, the second one -> abandon
 * Threads  one. Signals come through a file descriptor, so that no wait misses one.
 */

#include <stdbool.h>

#include <jansson.h>

/*
 * Starts a private daemon, sends it request (taken over in any case), and waits for the end.
 * EXIT_GOOD: *ret_summary is the caller's. Else what failed was said; *ret_started tells whether
 * the recording had begun.
 */
int record_session(json_t *request, bool verbose, bool *ret_started, json_t **ret_summary);
