#include "private_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "find_program.h"
#include "options.h"
#include "wirespool/log.h"

extern char **environ;

enum { CHILD_FD = 3, WAIT_MS = 10 };

static int spawn(const char *program, int socket_fd, int log_fd, pid_t *ret_pid)
{
	char name[] = "wirespoold", option[] = "--private", fd_text[16];
	char *argv[] = {name, option, fd_text, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, all;
	int r;

	(void)snprintf(fd_text, sizeof(fd_text), "%d", CHILD_FD);
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attr);
	if (r != 0)
		goto destroy_actions;
	/* The socket first: 0..2 may be what it is now, if we were started without them. */
	r = posix_spawn_file_actions_adddup2(&actions, socket_fd, CHILD_FD);
	r = r ? r : posix_spawn_file_actions_adddup2(&actions, log_fd, STDOUT_FILENO);
	r = r ? r : posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	r = r ? r
	      : posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	/* What we block and ignore is not its business. */
	r = r ? r : posix_spawnattr_setsigmask(&attr, &none);
	r = r ? r : posix_spawnattr_setsigdefault(&attr, &all);
	r = r ? r : posix_spawnattr_setpgroup(&attr, 0);
	r = r ? r
	      : posix_spawnattr_setflags(&attr,
			POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	r = r ? r : posix_spawn(ret_pid, program, &actions, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
destroy_actions:
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

/* A descriptor that none of the child's 0..3 can overwrite before it is used. */
static int above_child_fds(int fd)
{
	int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, CHILD_FD + 1);

	if (fd >= 0)
		close(fd);
	return moved;
}

int private_daemon_start(struct private_daemon *d, int *ret_fd)
{
	char program[PATH_MAX];
	int ends[2] = {-1, -1};
	int r;

	*d = (struct private_daemon){.log_fd = -1};
	r = find_program("wirespoold", program, sizeof(program));
	if (r != EXIT_GOOD)
		return r;
	d->log_fd = above_child_fds(memfd_create("wirespoold log", MFD_CLOEXEC));
	if (d->log_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
		log_error("cannot start wirespoold: %s", strerror(errno));
		return EXIT_FAILED;
	}
	ends[1] = above_child_fds(ends[1]);
	r = ends[1] < 0 ? -errno : spawn(program, ends[1], d->log_fd, &d->pid);
	if (ends[1] >= 0)
		close(ends[1]);
	if (r < 0) {
		d->pid = 0;
		close(ends[0]);
		log_error("cannot run '%s': %s", program, strerror(-r));
		return EXIT_FAILED;
	}
	*ret_fd = ends[0];
	return EXIT_GOOD;
}

void private_daemon_relay(struct private_daemon *d)
{
	char buf[4096];
	char *end;
	ssize_t n;

	while ((n = pread(d->log_fd, buf, sizeof(buf), d->log_off)) > 0) {
		/* a line that is not whole waits, unless it fills the buffer */
		end = memrchr(buf, '\n', (size_t)n);
		if (end == NULL && n < (ssize_t)sizeof(buf))
			return;
		n = end != NULL ? end - buf + 1 : n;
		(void)fwrite(buf, 1, (size_t)n, stderr);
		d->log_off += n;
	}
}

bool private_daemon_wait(struct private_daemon *d, unsigned long timeout_ns)
{
	uint64_t deadline_ns = client_now_ns() + timeout_ns;
	bool by_itself = true;
	pid_t pid;

	while (d->pid != 0) {
		pid = waitpid(d->pid, &d->status, by_itself ? WNOHANG : 0);
		if (pid == d->pid || (pid < 0 && errno != EINTR)) {
			d->pid = 0;
		} else if (pid == 0 && client_now_ns() >= deadline_ns) {
			(void)kill(d->pid, SIGKILL);
			by_itself = false;
		} else {
			(void)poll(NULL, 0, WAIT_MS);
		}
	}
	return by_itself;
}

bool private_daemon_ended_well(const struct private_daemon *d)
{
	return WIFEXITED(d->status) &&
	       (WEXITSTATUS(d->status) == EXIT_GOOD || WEXITSTATUS(d->status) == EXIT_LOST);
}

void private_daemon_how(const struct private_daemon *d, char *buf, size_t size)
{
	if (WIFSIGNALED(d->status))
		(void)snprintf(buf, size, "signal %d (%s)", WTERMSIG(d->status),
			strsignal(WTERMSIG(d->status)));
	else
		(void)snprintf(buf, size, "exit status %d", WEXITSTATUS(d->status));
}

void private_daemon_done(struct private_daemon *d)
{
	if (d->log_fd >= 0)
		close(d->log_fd);
	d->log_fd = -1;
}
