#include "daemon.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "commands.h"
#include "report.h"
#include "wirespool/archive.h"
#include "wirespool/clock.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum {
	TICK_MS = 100,
	TICKS_PER_SECOND = 1000 / TICK_MS,
	STATUS_SECONDS = 5,
	/* How long the start may take for a file that is recovered, and for its bytes. */
	RECOVER_USEC = 120000000,
	RECOVER_BYTES_PER_USEC = 20,
	EXIT_LOST = 3,
	EXIT_SETTINGS = 2,
};

static const uint64_t LEAVE_STUCK_NS = 5 * NS_PER_SEC;    /* after disks were abandoned */
static const uint64_t CLIENT_LEAVES_NS = 10 * NS_PER_SEC; /* a private client fetches its summary */

/* Seals what a crash left on a stripe, before anything new is written there. */
static void recover_stripe(const char *path, int *wait_ms)
{
	struct archive_segment *segments;
	struct recover_report report;
	struct errbuf err;
	size_t count;
	int r;

	if (stripe_is_null(path))
		return;
	if (archive_list(path, &segments, &count, &err) < 0) {
		log_error("stripe %s: cannot look for files to recover: %s", path, err.text);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (segments[i].sealed)
			continue;
		/* A file of many GiB may take longer than systemd gives the start. */
		(void)sd_notifyf(0, "STATUS=Recovering %s\nEXTEND_TIMEOUT_USEC=%llu",
			segments[i].path,
			(unsigned long long)(RECOVER_USEC +
					     segments[i].file_bytes / RECOVER_BYTES_PER_USEC));
		r = archive_recover_within(segments[i].path, wait_ms, &report, &err);
		if (r == -EBUSY)
			log_info("%s: left alone, somebody writes it", segments[i].path);
		else if (r < 0)
			log_error("%s: not recovered: %s", segments[i].path, err.text);
		else if (report.removed)
			log_warn("%s: had no packet in it and was removed", segments[i].path);
		else
			log_warn("%s: recovered: %llu packets kept, %llu missing",
				report.sealed_path, (unsigned long long)report.pkts,
				(unsigned long long)report.missing_pkts);
	}
	free(segments);
}

static void recover_stripes(const struct daemon *d)
{
	json_t *paths = report_stripe_paths(d), *path;
	int wait_ms = RECOVER_WAIT_MS;
	size_t i;

	json_array_foreach(paths, i, path) recover_stripe(json_string_value(path), &wait_ms);
	json_decref(paths);
}

static void log_warnings(const struct daemon *d)
{
	json_t *warnings = report_warnings(d, true), *warning;
	size_t i;

	json_array_foreach(warnings, i, warning) log_warn("%s", json_string_value(warning));
	json_decref(warnings);
}

static int open_prefilters(
	struct daemon *d, const struct settings *s, const struct machine *m, struct errbuf *err)
{
	enum prefilter_mode modes[SETTINGS_LIST_MAX];

	for (unsigned int i = 0; i < m->port_count; i++)
		modes[i] = s->ports[i].prefilter;
	return prefilters_new(m->ports, modes, m->port_count, &d->prefilters, err);
}

int daemon_equip(struct daemon *d, struct settings *s, struct errbuf *err)
{
	struct runs_options options = {.ended_kept = d->private ? 0 : RUNS_ENDED_KEPT};
	struct machine *m;
	int r;

	r = machine_open(s, &m, err);
	if (r < 0)
		return r;
	options.ports = m->ports;
	options.port_count = m->port_count;
	options.writers = m->writers;
	options.writer_count = m->writer_count;
	(void)capture_renew_clock();
	r = choices_new(&d->choices, err);
	options.choices = d->choices;
	if (r == 0)
		r = open_prefilters(d, s, m, err);
	options.prefilters = d->prefilters;
	if (r == 0)
		r = runs_new(&options, &d->runs, err);
	if (r < 0) {
		machine_close(m);
		return r;
	}
	d->machine = m;
	if (d->settings != s)
		settings_free(d->settings);
	d->settings = d->started = s;
	log_warnings(d);
	return 0;
}

static void print_faults(const struct faults *faults, const char *path, int error)
{
	for (unsigned int i = 0; i < faults->count; i++)
		(void)fprintf(stderr, "%s\n", faults->texts[i]);
	if (faults->count == 0)
		(void)fprintf(stderr, "%s: %s\n", path, strerror(-error));
}

static int start_with_settings(struct daemon *d)
{
	struct faults faults = {0};
	struct settings *s;
	struct errbuf err;
	int r;

	r = settings_load(d->settings_path, &s, &faults);
	if (r < 0)
		print_faults(&faults, d->settings_path, r);
	faults_free(&faults);
	if (r < 0)
		return EXIT_SETTINGS;
	d->settings = s;
	if (!d->verbose)
		log_set_level(s->log_level);

	/* The socket first: who holds it holds stripes and ports as well. It is served later. */
	r = socket_listen(d->socket, s->socket, s->group, &err);
	if (r == 0) {
		recover_stripes(d);
		r = daemon_equip(d, s, &err);
	}
	if (r == 0 && runs_follow(d->runs, s) < 0)
		r = fail_with(&err, -ENOMEM, "no memory for the recordings");
	if (r < 0) {
		log_error("%s", err.text);
		return EXIT_FAILURE;
	}
	log_info("wirespoold %s: %u ports, %u writers, %u recordings; listening on %s",
		WIRESPOOL_VERSION, d->machine->port_count, d->machine->writer_count,
		s->recording_count, s->socket);
	return EXIT_SUCCESS;
}

static void say(json_t *texts, const char *name, const char *what)
{
	log_info("reload: recording '%s' %s", name, what);
	(void)json_array_append_new(texts, json_sprintf("recording '%s' %s", name, what));
}

/* Is what a recording keeps other than what it was to keep last, by the file or by "set"? */
static bool keeps_other(const struct daemon *d, const struct recording_settings *r)
{
	struct choice_state state;

	return !choices_state(d->choices, r->name, &state) ||
	       strcmp(state.settings->filter_print, r->filter_print) != 0;
}

static void compare_recordings(const struct daemon *d, const struct settings *new, json_t *applied)
{
	const struct settings *old = d->settings;
	const struct recording_settings *other;

	for (unsigned int i = 0; i < new->recording_count; i++) {
		other = settings_find_recording(old, new->recordings[i].name);
		if (other == NULL)
			say(applied, new->recordings[i].name, "added");
		else if (strcmp(other->fingerprint, new->recordings[i].fingerprint) != 0 ||
			 keeps_other(d, &new->recordings[i]))
			say(applied, new->recordings[i].name, "changed");
	}
	for (unsigned int i = 0; i < old->recording_count; i++) {
		if (settings_find_recording(new, old->recordings[i].name) == NULL)
			say(applied, old->recordings[i].name, "removed");
	}
}

static void compare_others(const struct settings *old, const struct settings *new, json_t *applied)
{
	char from[UNITS_TEXT], to[UNITS_TEXT];

	if (old->log_level != new->log_level)
		(void)json_array_append_new(
			applied, json_sprintf("log level: %d -> %d", (int)old->log_level,
					 (int)new->log_level));
	if (old->stop_timeout_ns != new->stop_timeout_ns)
		(void)json_array_append_new(
			applied, json_sprintf("control.stop_timeout: %s -> %s",
					 duration_format(old->stop_timeout_ns, from),
					 duration_format(new->stop_timeout_ns, to)));
}

int daemon_reload(struct daemon *d, json_t *applied, json_t *needs_restart, struct faults *faults)
{
	struct faults restart = {0};
	struct settings *s;
	int r;

	if (d->stopping) {
		faults_add(faults, "the daemon is stopping");
		return -ESHUTDOWN;
	}
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)(clock_monotonic_ns() / 1000));
	r = settings_load(d->settings_path, &s, faults);
	if (r == 0) {
		compare_recordings(d, s, applied); /* before they are followed */
		r = runs_follow(d->runs, s);
		if (r < 0)
			settings_free(s);
	}
	if (r == 0) {
		settings_needs_restart(d->started, s, &restart);
		for (unsigned int i = 0; i < restart.count; i++) {
			log_warn("reload: needs a restart: %s", restart.texts[i]);
			(void)json_array_append_new(needs_restart, json_string(restart.texts[i]));
		}
		compare_others(d->settings, s, applied);
		if (!d->verbose)
			log_set_level(s->log_level);
		if (d->settings != d->started)
			settings_free(d->settings);
		d->settings = s;
	}
	for (unsigned int i = 0; r < 0 && i < faults->count; i++)
		log_error("reload: %s", faults->texts[i]);
	faults_free(&restart);
	(void)sd_notify(0, "READY=1");
	return r;
}

static void reload_by_signal(struct daemon *d)
{
	json_t *applied = json_array(), *needs_restart = json_array();
	struct faults faults = {0};

	if (d->private || daemon_reload(d, applied, needs_restart, &faults) < 0)
		log_warn("SIGHUP: nothing was changed");
	faults_free(&faults);
	json_decref(applied);
	json_decref(needs_restart);
}

void daemon_stop(struct daemon *d)
{
	if (d->stopping)
		return;
	d->stopping = true;
	d->stop_at_ns = clock_monotonic_ns() + d->settings->stop_timeout_ns;
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Sealing files");
	log_info("stopping: sealing what is under way");
	if (d->runs != NULL)
		runs_close(d->runs);
}

void daemon_abandon(struct daemon *d)
{
	if (d->runs == NULL)
		return;
	if (d->private || d->stopping)
		d->asked_to_abandon = true; /* also what finishes a moment from now */
	(void)runs_abandon(d->runs);
}

static void take_signals(struct daemon *d, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reload_by_signal(d);
		} else if (!d->stopping) {
			daemon_stop(d);
		} else {
			log_warn("told to stop again: waiting no more for the disks");
			daemon_abandon(d);
		}
	}
}

/* True when there is nothing left to wait for. */
static bool may_leave(struct daemon *d, uint64_t now_ns)
{
	if (!d->stopping)
		return false;
	if (d->runs != NULL && !runs_all_ended(d->runs)) {
		if (now_ns >= d->stop_at_ns && !d->asked_to_abandon) {
			log_error("the disks did not take everything in time: waiting no more");
			daemon_abandon(d);
		}
		if (!d->asked_to_abandon)
			return false;
		(void)runs_abandon(d->runs);
		if (d->leave_at_ns == 0)
			d->leave_at_ns = now_ns + LEAVE_STUCK_NS;
		return now_ns >= d->leave_at_ns;
	}
	if (d->all_ended_ns == 0)
		d->all_ended_ns = now_ns;
	/* A client that is still there wants its summary. */
	return !d->private || socket_clients(d->socket) == 0 ||
	       now_ns - d->all_ended_ns > CLIENT_LEAVES_NS;
}

static void notify_status(const struct daemon *d)
{
	uint64_t written_pkts = 0, lost_pkts = 0;
	const struct recording_run *r;
	char written[UNITS_TEXT], lost[UNITS_TEXT];
	unsigned int live = 0;

	for (unsigned int i = 0; (r = runs_active(d->runs, i)) != NULL; i++) {
		live += r->state == RUN_LIVE;
		written_pkts += r->ledger.written_pkts;
		lost_pkts += run_ledger_lost(&r->ledger);
	}
	(void)sd_notifyf(0, "STATUS=%u runs live; %s packets written, %s lost", live,
		count_format(written_pkts, written), count_format(lost_pkts, lost));
}

static void each_second(struct daemon *d)
{
	for (unsigned int i = 0; d->machine != NULL && i < d->machine->port_count; i++)
		port_refresh(d->machine->ports[i]);
	(void)sd_notify(0, "WATCHDOG=1");
	if (d->stopping)
		(void)sd_notify(0, "EXTEND_TIMEOUT_USEC=10000000");
	else if (d->runs != NULL && d->ticks % (STATUS_SECONDS * TICKS_PER_SECOND) == 0)
		notify_status(d);
}

static void tick(struct daemon *d, uint64_t now_ns)
{
	if (d->machine != NULL)
		(void)capture_renew_clock();
	if (d->runs != NULL)
		runs_tick(d->runs);
	if (d->asked_to_abandon)
		(void)runs_abandon(d->runs);
	if (d->ticks % TICKS_PER_SECOND == 0)
		each_second(d);
	d->ticks++;
	socket_tick(d->socket, now_ns);
}

static void loop(struct daemon *d, int signal_fd, int timer_fd)
{
	struct pollfd fds[] = {
		{.fd = signal_fd, .events = POLLIN},
		{.fd = timer_fd, .events = POLLIN},
		{.fd = socket_fd(d->socket), .events = POLLIN},
	};
	uint64_t ticks, now_ns = clock_monotonic_ns();

	while (!may_leave(d, now_ns)) {
		(void)poll(fds, sizeof(fds) / sizeof(fds[0]), -1);
		now_ns = clock_monotonic_ns();
		if (read(timer_fd, &ticks, sizeof(ticks)) == (ssize_t)sizeof(ticks))
			tick(d, now_ns);
		take_signals(d, signal_fd);
		socket_serve(d->socket, now_ns);
		if (d->private && socket_clients(d->socket) == 0)
			daemon_stop(d);
	}
}

static int open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	/* Before any thread starts, so that none of them takes a signal. */
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_timer(void)
{
	const struct itimerspec every = {
		.it_interval.tv_nsec = TICK_MS * 1000000L, .it_value.tv_nsec = TICK_MS * 1000000L};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd >= 0)
		(void)timerfd_settime(fd, 0, &every, NULL);
	return fd;
}

static bool lost_any(const struct daemon *d)
{
	const struct recording_run *r;
	struct port_ledger l;

	if (d->machine == NULL)
		return false;
	if (runs_lost_any(d->runs))
		return true;
	for (unsigned int i = 0; (r = runs_active(d->runs, i)) != NULL; i++) {
		if (run_ledger_lost(&r->ledger) > 0 || run_ledger_in_ram(&r->ledger) > 0)
			return true;
	}
	for (unsigned int i = 0; i < d->machine->port_count; i++) {
		port_get_ledger(d->machine->ports[i], &l);
		if (port_ledger_lost(&l) > 0)
			return true;
	}
	return false;
}

static void print_summary(const struct daemon *d)
{
	json_t *summary = report_summary(d);

	if (summary != NULL) {
		(void)json_dumpf(summary, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
		(void)fflush(stdout);
	}
	json_decref(summary);
}

static int finish(struct daemon *d)
{
	int code = lost_any(d) ? EXIT_LOST : EXIT_SUCCESS;

	if (!d->private)
		print_summary(d);
	return code;
}

static void done(struct daemon *d)
{
	bool stuck = d->runs != NULL && !runs_all_ended(d->runs);

	socket_close(d->socket);
	runs_free(d->runs);
	stuck |= d->choices != NULL && !choices_idle(d->choices);
	choices_free(d->choices);
	prefilters_free(d->prefilters);
	/* Writers that a disk does not let go of cannot be joined: they end with the process. */
	if (!stuck)
		machine_close(d->machine);
	if (d->started != d->settings)
		settings_free(d->started);
	settings_free(d->settings);
}

/* As systemd.exec(5) says: $JOURNAL_STREAM alone is also there in what a service's children run. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

int daemon_run(const struct daemon_options *options)
{
	struct daemon d = {
		.settings_path = options->settings_path,
		.private = options->private_fd >= 0,
		.verbose = options->verbose,
		.begun_ns = clock_monotonic_ns(),
	};
	int signal_fd = open_signals(), timer_fd = open_timer(), code = EXIT_SUCCESS;
	struct errbuf err;
	int r;

	if (stderr_is_journal())
		log_use_journal();
	if (options->verbose)
		log_set_level(LOG_DEBUG);
	if (signal_fd < 0 || timer_fd < 0) {
		log_error("signalfd or timerfd: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	r = socket_open(commands_answer, &d, &d.socket, &err);
	if (r == 0 && d.private) {
		d.settings = settings_new();
		r = d.settings == NULL ? fail_with(&err, -ENOMEM, "no memory for settings")
				       : socket_adopt(d.socket, options->private_fd, &err);
	}
	if (r < 0) {
		log_error("%s", err.text);
		code = EXIT_FAILURE;
	} else if (!d.private) {
		code = start_with_settings(&d);
	}
	if (code == EXIT_SUCCESS) {
		(void)sd_notify(0, "READY=1");
		loop(&d, signal_fd, timer_fd);
		code = finish(&d);
	}
	done(&d);
	(void)close(signal_fd);
	(void)close(timer_fd);
	return code;
}
