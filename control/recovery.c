#include "recovery.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>

enum { RECOVERY_NICE = 19 };

struct job {
	STAILQ_ENTRY(job) next;
	bool forgotten;
	struct recovered result;
};

STAILQ_HEAD(job_list, job);

struct recovery {
	bool started; /* control's alone */

	pthread_mutex_t lock; /* of all below; held for moments, never over a file */
	pthread_cond_t changed;
	struct job_list waiting;
	struct job *under_way; /* the thread's to write to, but for forgotten */
	struct job_list done;
	bool closing;
};

static void free_jobs(struct job_list *jobs)
{
	struct job *j;

	while ((j = STAILQ_FIRST(jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(jobs, next);
		free(j);
	}
}

static void destroy(struct recovery *rc)
{
	free_jobs(&rc->waiting);
	free_jobs(&rc->done);
	(void)pthread_cond_destroy(&rc->changed);
	(void)pthread_mutex_destroy(&rc->lock);
	free(rc);
}

int recovery_new(struct recovery **ret_recovery, struct errbuf *err)
{
	struct recovery *rc = calloc(1, sizeof(*rc));

	if (rc == NULL)
		return fail_with(err, -ENOMEM, "no memory for the recovery of files");
	STAILQ_INIT(&rc->waiting);
	STAILQ_INIT(&rc->done);
	(void)pthread_mutex_init(&rc->lock, NULL);
	(void)pthread_cond_init(&rc->changed, NULL);
	*ret_recovery = rc;
	return 0;
}

/* The next file; NULL: there will be none. The lock is held. */
static struct job *next_job(struct recovery *rc)
{
	struct job *j;

	while (STAILQ_EMPTY(&rc->waiting) && !rc->closing)
		(void)pthread_cond_wait(&rc->changed, &rc->lock);
	if (rc->closing)
		return NULL;
	j = STAILQ_FIRST(&rc->waiting);
	STAILQ_REMOVE_HEAD(&rc->waiting, next);
	return j;
}

static void *work(void *arg)
{
	struct recovery *rc = arg;
	struct job *j;

	(void)pthread_setname_np(pthread_self(), "recovery");
	/* On Linux a thread has a nice value of its own, and 0 means the calling one. */
	(void)setpriority(PRIO_PROCESS, 0, RECOVERY_NICE);
	(void)pthread_mutex_lock(&rc->lock);
	while ((j = next_job(rc)) != NULL) {
		rc->under_way = j;
		(void)pthread_mutex_unlock(&rc->lock);
		j->result.error =
			archive_recover(j->result.path, &j->result.report, &j->result.why);
		(void)pthread_mutex_lock(&rc->lock);
		rc->under_way = NULL;
		if (j->forgotten)
			free(j);
		else
			STAILQ_INSERT_TAIL(&rc->done, j, next);
	}
	(void)pthread_mutex_unlock(&rc->lock);
	destroy(rc); /* closing is the last that control does with it */
	return NULL;
}

static int start_thread(struct recovery *rc)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (rc->started)
		return 0;
	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, work, rc);
	(void)pthread_attr_destroy(&attr);
	rc->started = r == 0;
	return -r;
}

void recovery_free(struct recovery *rc)
{
	if (rc == NULL)
		return;
	if (!rc->started) {
		destroy(rc);
		return;
	}
	(void)pthread_mutex_lock(&rc->lock);
	rc->closing = true;
	(void)pthread_cond_signal(&rc->changed);
	(void)pthread_mutex_unlock(&rc->lock);
}

int recovery_ask(struct recovery *rc, const void *owner, const char *path)
{
	size_t path_bytes = strlen(path) + 1;
	struct job *j;
	int r;

	if (path_bytes > sizeof(j->result.path))
		return -ENAMETOOLONG;
	j = calloc(1, sizeof(*j));
	if (j == NULL)
		return -ENOMEM;
	j->result.owner = owner;
	memcpy(j->result.path, path, path_bytes);
	r = start_thread(rc);
	if (r < 0) {
		free(j);
		return r;
	}
	(void)pthread_mutex_lock(&rc->lock);
	STAILQ_INSERT_TAIL(&rc->waiting, j, next);
	(void)pthread_cond_signal(&rc->changed);
	(void)pthread_mutex_unlock(&rc->lock);
	return 0;
}

bool recovery_take(struct recovery *rc, struct recovered *ret)
{
	struct job *j;

	if (!rc->started)
		return false;
	(void)pthread_mutex_lock(&rc->lock);
	j = STAILQ_FIRST(&rc->done);
	if (j != NULL)
		STAILQ_REMOVE_HEAD(&rc->done, next);
	(void)pthread_mutex_unlock(&rc->lock);
	if (j == NULL)
		return false;
	*ret = j->result;
	free(j);
	return true;
}

static void forget_in(struct job_list *jobs, const void *owner)
{
	struct job_list kept = STAILQ_HEAD_INITIALIZER(kept);
	struct job *j;

	while ((j = STAILQ_FIRST(jobs)) != NULL) {
		STAILQ_REMOVE_HEAD(jobs, next);
		if (j->result.owner == owner)
			free(j);
		else
			STAILQ_INSERT_TAIL(&kept, j, next);
	}
	STAILQ_CONCAT(jobs, &kept);
}

void recovery_forget(struct recovery *rc, const void *owner)
{
	(void)pthread_mutex_lock(&rc->lock);
	forget_in(&rc->waiting, owner);
	forget_in(&rc->done, owner);
	if (rc->under_way != NULL && rc->under_way->result.owner == owner)
		rc->under_way->forgotten = true;
	(void)pthread_mutex_unlock(&rc->lock);
}
