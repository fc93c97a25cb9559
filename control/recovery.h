#pragma once
/*
 * Recovery: seals the files that a disk gave up on, one at a time, on a thread of its own, for a
 * file may be GiB long and its disk sick, and control has a tick to keep.
 *
 * Flow     recovery_ask() -> archive_recover() on the thread -> recovery_take()
 * Threads  all functions are control's, on one thread, and none waits for a disk. The thread
 *          starts with the first file, detached, and at a low priority: recording goes first.
 * Memory   one allocation per file that is asked for.
 */

#include <stdbool.h>

#include "wirespool/archive.h"
#include "wirespool/errbuf.h"

struct recovery;

/* -ENOMEM. */
int recovery_new(struct recovery **ret_recovery, struct errbuf *err);

/*
 * Accepts NULL. A file under way is not waited for: its thread frees the rest when it is done, or
 * ends with the process, which harms no file: archive_recover() can be repeated.
 */
void recovery_free(struct recovery *rc);

/*
 * Queues a file. owner is the caller's, to know it by, and never followed.
 * Returns 0, or nothing was queued: -ENOMEM, -ENAMETOOLONG, or the errno of a thread that could
 * not be started.
 */
int recovery_ask(struct recovery *rc, const void *owner, const char *path);

/* A file that the thread is done with. */
struct recovered {
	const void *owner; /* as it was given, like path */
	char path[4096];
	int error; /* of archive_recover(); why says more */
	struct errbuf why;
	struct recover_report report;
};

/* Takes the next one, in the order of asking. False: none is done. */
bool recovery_take(struct recovery *rc, struct recovered *ret);

/*
 * Takes back all that was asked for owner: recovery_take() will not speak of it. What waited stays
 * as it is; a file under way is sealed all the same.
 */
void recovery_forget(struct recovery *rc, const void *owner);
