#pragma once
/*
 * Private daemon: the wirespoold of one `wirespool record`, started as "wirespoold --private FD".
 *
 * Flow    its standard output and error go to a file in memory, not to us: it never waits for us
 *         to read, and a death is explained by its last words.
 * Signals it gets a process group of its own: Ctrl-C is for us, who then ask it to stop.
 * End     it ends by itself when the socket's other end is closed, whoever closed it and why.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct private_daemon {
	pid_t pid;  /* 0: there is none any more */
	int status; /* as waitpid(2) has it, once pid is 0 */
	int log_fd;
	off_t log_off; /* what was said up to here */
};

/*
 * Starts it. On EXIT_GOOD *ret_fd is our end of the socket pair, the caller's; else said on stderr.
 */
int private_daemon_start(struct private_daemon *d, int *ret_fd);

/* Passes on to stderr the whole lines that it logged since. */
void private_daemon_relay(struct private_daemon *d);

/*
 * Waits for its end, at most timeout_ns, then kills it: call when its socket is closed. Returns
 * true when it ended by itself.
 */
bool private_daemon_wait(struct private_daemon *d, unsigned long timeout_ns);

/* True when it ended with exit code 0, or 3 for losses. */
bool private_daemon_ended_well(const struct private_daemon *d);

/* "exit status 1" or "signal 11 (Segmentation fault)" */
void private_daemon_how(const struct private_daemon *d, char *buf, size_t size);

void private_daemon_done(struct private_daemon *d);
