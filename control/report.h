#pragma once
/*
 * Report: what the daemon knows, as JSON: the answer to "status" and the end summary. The keys
 * are those of wirespool/protocol.h; programs read them, so none is ever renamed.
 *
 * Each function returns a new reference, or NULL without memory.
 */

#include "daemon.h"
#include "runs.h"

#include <jansson.h>

json_t *report_status(const struct daemon *d);

/*
 * {"duration_s","clock","ports":[...],"runs":[...],"warnings":[...]}; runs are those that are
 * remembered, with "runs_forgotten" where there were more.
 */
json_t *report_summary(const struct daemon *d);

/* One run, as in status; with_files adds "files":[PATH...]. */
json_t *report_run(const struct recording_run *r, bool with_files);

/* "2026-11-21T03:30:00.000Z", or null for RUN_NO_END. */
json_t *report_time(uint64_t time_ns);

/*
 * What could not be had, and what is used instead; with_ports: also theirs, which status says
 * of each port.
 */
json_t *report_warnings(const struct daemon *d, bool with_ports);

/* The directories of all recordings, each once. */
json_t *report_stripe_paths(const struct daemon *d);
