#include "record_session.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "client.h"
#include "options.h"
#include "private_daemon.h"
#include "progress.h"
#include "wirespool/log.h"
#include "wirespool/units.h"

enum { GOING_ON = -1, START_TIMEOUTS = 4, NS_PER_MS = 1000000 };
static const uint64_t TICK_NS = NS_PER_SEC / 4;

/* One request is under way at a time; the answer belongs to it. */
enum asked { ASKED_NOTHING, ASKED_RECORD, ASKED_STATUS, ASKED_SUMMARY, ASKED_STOP, ASKED_ABANDON };

struct session {
	struct client *client;
	struct private_daemon daemon;
	int signal_fd;
	bool verbose;
	struct session_watcher *watcher; /* may be NULL */
	bool started;
	bool seen_enough; /* says the watcher */
	bool stop_sent;
	bool abandon_sent;
	bool summary_due; /* comes right after a status */
	unsigned int signals;
	enum asked asked;
	uint64_t asked_ns;
	uint64_t tick_ns; /* when the next status is due */
	json_t *run;
	json_t *said;  /* warnings, as keys */
	json_t *links; /* of the ports at the last status; NULL before the first */
	json_t *summary;
	struct progress progress;
};

/* Each warning once, however often the daemon repeats it. */
static void say_warnings(struct session *s, const json_t *warnings, const char *port)
{
	const json_t *warning;
	char text[1024];
	size_t i;

	if (s->watcher != NULL)
		return;
	json_array_foreach(warnings, i, warning)
	{
		if (!json_is_string(warning))
			continue;
		(void)snprintf(text, sizeof(text), "%s%s%s", port, port[0] ? ": " : "",
			json_string_value(warning));
		if (json_object_get(s->said, text) != NULL)
			continue;
		(void)json_object_set_new_nocheck(s->said, text, json_true());
		/* The daemon's log began with them. */
		if (s->verbose && s->links == NULL)
			continue;
		progress_clear(&s->progress);
		log_warn("%s", text);
	}
}

/* Links that went down or came back since the status before; with -v the daemon's log says it. */
static void say_links(struct session *s, const json_t *ports)
{
	json_t *links = json_object();
	const json_t *port;
	size_t i;

	json_array_foreach(ports, i, port)
	{
		const char *name = answer_text(port, "name", "?");
		json_t *now = json_object_get(port, "link_up");
		const json_t *before = json_object_get(s->links, name);

		(void)json_object_set_nocheck(links, name, now);
		if (before == NULL || json_equal(before, now) || s->verbose)
			continue;
		progress_clear(&s->progress);
		log_warn("%s: link %s", name, json_is_true(now) ? "up again" : "down");
	}
	json_decref(s->links);
	s->links = links;
}

static void take_status(struct session *s, const json_t *status)
{
	const json_t *port;
	size_t i;

	s->summary_due = true;
	if (s->watcher != NULL) {
		if (!s->watcher->look(status, &s->progress, s->watcher->context))
			s->seen_enough = true;
		return;
	}
	say_warnings(s, json_object_get(status, "warnings"), "");
	json_array_foreach(json_object_get(status, "ports"), i, port)
		say_warnings(s, json_object_get(port, "warnings"), answer_text(port, "name", "?"));
	say_links(s, json_object_get(status, "ports"));
	if (s->verbose && s->daemon.log_fd >= 0) {
		progress_clear(&s->progress);
		private_daemon_relay(&s->daemon);
	}
	progress_show(&s->progress, status, client_now_ns());
}

static int take_summary(struct session *s, const json_t *answer)
{
	json_t *summary = json_object_get(answer, "summary");

	if (!json_is_true(json_object_get(answer, "done")))
		return GOING_ON;
	if (!json_is_object(summary)) {
		log_error("wirespoold says that it is done, and gives no summary");
		return EXIT_FAILED;
	}
	s->summary = json_incref(summary);
	say_warnings(s, json_object_get(summary, "warnings"), "");
	return EXIT_GOOD;
}

static int take_answer(struct session *s, const json_t *answer)
{
	enum asked asked = s->asked;
	int r;

	s->asked = ASKED_NOTHING;
	/* A run that ended by itself cannot be stopped any more; that is no failure. */
	if (asked == ASKED_STOP || asked == ASKED_ABANDON)
		return GOING_ON;
	if (!json_is_true(json_object_get(answer, "ok")))
		progress_clear(&s->progress);
	r = client_judge(answer);
	if (r != EXIT_GOOD)
		return r;
	switch (asked) {
	case ASKED_RECORD:
		s->started = true;
		s->run = json_incref(json_object_get(answer, "run"));
		s->tick_ns = client_now_ns();
		progress_start(&s->progress, s->verbose, s->tick_ns);
		break;
	case ASKED_STATUS:
		take_status(s, answer);
		break;
	case ASKED_SUMMARY:
		return take_summary(s, answer);
	default:
		break;
	}
	return GOING_ON;
}

/* request is taken over. */
static int ask(struct session *s, enum asked asked, json_t *request)
{
	int r = request != NULL ? client_send(s->client, request) : -ENOMEM;

	json_decref(request);
	s->asked = asked;
	s->asked_ns = client_now_ns();
	/* One that has closed may have answered before; reading tells. */
	return r == 0 || r == -EPIPE ? GOING_ON : client_explain(s->client, r);
}

/* The next request, if one is due and none is under way. */
static int ask_next(struct session *s)
{
	if (s->asked != ASKED_NOTHING || !s->started)
		return GOING_ON;
	if ((s->signals > 0 || s->seen_enough) && !s->stop_sent) {
		s->stop_sent = true;
		return ask(s, ASKED_STOP, json_pack("{s:s, s:O}", "cmd", "stop", "what", s->run));
	}
	if (s->signals > 1 && !s->abandon_sent) {
		s->abandon_sent = true;
		return ask(s, ASKED_ABANDON, json_pack("{s:s}", "cmd", "abandon"));
	}
	if (s->summary_due) {
		s->summary_due = false;
		return ask(s, ASKED_SUMMARY, json_pack("{s:s}", "cmd", "summary"));
	}
	if (client_now_ns() >= s->tick_ns) {
		s->tick_ns = client_now_ns() + (s->watcher ? s->watcher->every_ns : TICK_NS);
		return ask(s, ASKED_STATUS, json_pack("{s:s}", "cmd", "status"));
	}
	return GOING_ON;
}

/* Bringing devices up and clearing gigabytes of huge pages takes its time. */
static uint64_t answer_due_ns(const struct session *s)
{
	return s->asked_ns + (s->started ? 1 : START_TIMEOUTS) * client_timeout_ns();
}

/* When the next thing must happen if nobody says anything. */
static int poll_ms(const struct session *s)
{
	uint64_t now_ns = client_now_ns();
	uint64_t due_ns = s->asked != ASKED_NOTHING ? answer_due_ns(s) : s->tick_ns;

	return due_ns <= now_ns ? 0 : (int)((due_ns - now_ns) / NS_PER_MS) + 1;
}

static int take_signals(struct session *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->signals++;
	if (s->signals > 1 && !s->started) {
		log_error("interrupted before the recording began");
		return EXIT_FAILED;
	}
	return GOING_ON;
}

/* The daemon is gone: its last words say why better than we could. */
static int say_death(struct session *s)
{
	char how[128];

	progress_clear(&s->progress);
	(void)private_daemon_wait(&s->daemon, client_timeout_ns());
	private_daemon_relay(&s->daemon);
	private_daemon_how(&s->daemon, how, sizeof(how));
	log_error("wirespoold ended unexpectedly with %s%s", how,
		s->started ? "; 'wirespool recover DIR' seals what it left" : "");
	return EXIT_FAILED;
}

static int take_answers(struct session *s)
{
	json_t *answer;
	int r;

	while ((r = client_receive(s->client, &answer)) == 0) {
		r = take_answer(s, answer);
		json_decref(answer);
		if (r != GOING_ON)
			return r;
	}
	if (r == -EPIPE)
		return say_death(s);
	if (r != -EAGAIN) {
		progress_clear(&s->progress);
		return client_explain(s->client, r);
	}
	if (s->asked != ASKED_NOTHING && client_now_ns() >= answer_due_ns(s)) {
		progress_clear(&s->progress);
		return client_explain(s->client, -ETIMEDOUT);
	}
	return GOING_ON;
}

static int run_session(struct session *s, json_t *request)
{
	struct pollfd fds[] = {
		{.fd = client_fd(s->client), .events = POLLIN},
		{.fd = s->signal_fd, .events = POLLIN},
	};
	int r = ask(s, ASKED_RECORD, request);

	while (r == GOING_ON) {
		(void)poll(fds, 2, poll_ms(s));
		r = take_signals(s);
		if (r == GOING_ON)
			r = take_answers(s);
		if (r == GOING_ON)
			r = ask_next(s);
	}
	progress_clear(&s->progress);
	return r;
}

/* The signals that end a session. SIGHUP that is ignored (nohup) stays so, as in tcpdump. */
static void ending_signals(sigset_t *ret)
{
	struct sigaction hangup;

	(void)sigemptyset(ret);
	(void)sigaddset(ret, SIGINT);
	(void)sigaddset(ret, SIGTERM);
	if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
		(void)sigaddset(ret, SIGHUP);
}

/*
 * SIGPIPE must not end a recording. SIGINT is ignored in what a script starts with '&', and an
 * ignored signal never comes to a signalfd.
 */
void record_session_hold_signals(void)
{
	sigset_t set;

	ending_signals(&set);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
}

static int catch_signals(void)
{
	sigset_t set;

	record_session_hold_signals();
	ending_signals(&set);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Closing the socket ends the daemon, whatever it was at. */
static int end_daemon(struct session *s, int code)
{
	bool by_itself;
	char how[128];

	client_close(s->client);
	if (s->daemon.pid == 0)
		return code;
	by_itself = private_daemon_wait(&s->daemon, client_timeout_ns());
	if (s->verbose)
		private_daemon_relay(&s->daemon);
	if (code != EXIT_GOOD || (by_itself && private_daemon_ended_well(&s->daemon)))
		return code;
	if (!s->verbose)
		private_daemon_relay(&s->daemon);
	private_daemon_how(&s->daemon, how, sizeof(how));
	log_error("wirespoold gave its summary, but ended with %s", how);
	return EXIT_FAILED;
}

int record_session(json_t *request, bool verbose, struct session_watcher *watcher,
	bool *ret_started, json_t **ret_summary)
{
	struct session s = {
		.signal_fd = -1, .verbose = verbose, .watcher = watcher, .said = json_object()};
	int fd, r;

	r = private_daemon_start(&s.daemon, &fd);
	if (r == EXIT_GOOD)
		r = client_adopt(fd, &s.client);
	if (r == EXIT_GOOD) {
		s.signal_fd = catch_signals();
		r = run_session(&s, request);
		r = end_daemon(&s, r);
		close(s.signal_fd);
	} else {
		json_decref(request);
	}
	private_daemon_done(&s.daemon);
	*ret_started = s.started;
	if (watcher != NULL)
		watcher->interrupted = s.signals > 0;
	if (r == EXIT_GOOD)
		*ret_summary = json_incref(s.summary);
	json_decref(s.summary);
	json_decref(s.run);
	json_decref(s.said);
	json_decref(s.links);
	return r;
}
