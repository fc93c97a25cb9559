#pragma once
/*
 * Daemon: the one control thread. Signals, the tick, the control socket, and systemd.
 *
 * Flow     signalfd, timerfd (100 ms), control socket -> runs, reload, answers
 * Threads  this one only; rx lcores and writers never wait for it.
 * Modes    with a settings file: recordings of their own accord, a socket in the file
 *          system. Private: one connection, one recording, made up by a request; ends
 *          when the connection does.
 */

#include <stdbool.h>
#include <stdint.h>

#include "machine.h"
#include "runs.h"
#include "settings.h"
#include "socket.h"
#include "wirespool/errbuf.h"

struct daemon {
	const char *settings_path;
	bool private;
	bool verbose;
	struct settings *started;      /* what ports, writers and the socket were opened with */
	struct settings *settings;     /* the newest; may be the same */
	struct machine *machine;       /* NULL in a private daemon that was not asked yet */
	struct choices *choices;       /* likewise */
	struct prefilters *prefilters; /* likewise */
	struct runs *runs;             /* likewise */
	struct control_socket *socket;
	uint64_t begun_ns; /* CLOCK_MONOTONIC, as those below */
	bool stopping;
	bool asked_to_abandon;
	uint64_t stop_at_ns;   /* wait for disks until then */
	uint64_t leave_at_ns;  /* wait for abandoned disks until then; 0: not abandoned yet */
	uint64_t all_ended_ns; /* 0: not yet */
	unsigned int ticks;
};

struct daemon_options {
	const char *settings_path; /* NULL with private_fd */
	int private_fd;            /* -1: none */
	bool verbose;
};

/*
 * Runs until it is told to stop. Returns the exit code: 0, 1 failed to start, 2 wrong settings,
 * 3 packets were lost. stdout gets the end summary, one line of JSON, unless private.
 */
int daemon_run(const struct daemon_options *options);

/*
 * Loads the settings file again and applies what can be applied; texts (a JSON array each) say
 * what was, and what needs a restart. On failure the settings before stay, and faults, if any, say
 * why: -EINVAL, -ENOMEM, -ESHUTDOWN.
 */
int daemon_reload(struct daemon *d, json_t *applied, json_t *needs_restart, struct faults *faults);

/* Opens the machine of s and gets ready for runs. On success the daemon owns s. */
int daemon_equip(struct daemon *d, struct settings *s, struct errbuf *err);

/* Begins to stop, as SIGTERM does. */
void daemon_stop(struct daemon *d);

/* Waits no more for disks. */
void daemon_abandon(struct daemon *d);
