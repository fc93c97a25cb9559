#include "socket.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "wirespool/protocol.h"
#include "wirespool/units.h"

enum {
	LINES_PER_PASS = 16,     /* of one client, before the others have their turn */
	ANSWERS_AHEAD = 1 << 18, /* bytes that a client may leave unread and still ask on */
	EVENTS_PER_PASS = 32,
};

struct client {
	int fd;
	uint32_t events; /* that epoll watches */
	char *in;        /* PROTOCOL_REQUEST_MAX bytes */
	size_t in_bytes;
	uint64_t begun_ns; /* when the line that is not whole yet began; 0: there is none */
	uint64_t heard_ns; /* when it said something last; 0: it came since the last tick */
	char *out;
	size_t out_off; /* up to here it was sent */
	size_t out_bytes;
	size_t out_room;
	uint64_t stuck_ns; /* when bytes were taken last while some wait; 0: none wait */
	bool ended;        /* it sends no more */
	bool closing;      /* hear no more; close when it has read its answers */
};

struct control_socket {
	socket_answer *answer;
	void *arg;
	int epoll_fd;
	int listen_fd;
	bool deaf; /* out of file descriptors: accept again at the next tick */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	ino_t inode; /* of the file at path; another one is another daemon's */
	struct client *clients[PROTOCOL_CLIENTS_MAX];
};

json_t *socket_error(bool usage, const char *format, ...)
{
	char text[1024];
	json_t *answer;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	answer = json_pack("{s:b,s:s,s:b}", "ok", 0, "error", text, "usage", usage);
	if (answer == NULL) /* JSON has no way to carry it */
		answer = json_pack("{s:b,s:s,s:b}", "ok", 0, "error",
			"failed, for a reason that is not UTF-8", "usage", usage);
	return answer;
}

int socket_open(
	socket_answer *answer, void *arg, struct control_socket **ret_socket, struct errbuf *err)
{
	struct control_socket *s = calloc(1, sizeof(*s));
	int r;

	if (s == NULL)
		return fail_with(err, -ENOMEM, "no memory for the control socket");
	s->answer = answer;
	s->arg = arg;
	s->listen_fd = -1;
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0) {
		r = fail_with(err, -errno, "epoll_create1: %s", strerror(errno));
		free(s);
		return r;
	}
	*ret_socket = s;
	return 0;
}

static void drop(struct control_socket *s, struct client *c)
{
	for (unsigned int i = 0; i < PROTOCOL_CLIENTS_MAX; i++) {
		if (s->clients[i] == c)
			s->clients[i] = NULL;
	}
	(void)close(c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

void socket_close(struct control_socket *s)
{
	struct stat st;

	if (s == NULL)
		return;
	for (unsigned int i = 0; i < PROTOCOL_CLIENTS_MAX; i++) {
		if (s->clients[i] != NULL)
			drop(s, s->clients[i]);
	}
	if (s->listen_fd >= 0) {
		if (lstat(s->path, &st) == 0 && st.st_ino == s->inode)
			(void)unlink(s->path);
		(void)close(s->listen_fd);
	}
	(void)close(s->epoll_fd);
	free(s);
}

int socket_fd(const struct control_socket *s)
{
	return s->epoll_fd;
}

unsigned int socket_clients(const struct control_socket *s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < PROTOCOL_CLIENTS_MAX; i++)
		n += s->clients[i] != NULL;
	return n;
}

/* Removes the file of a daemon that is gone. */
static int remove_stale(const struct sockaddr_un *address, struct errbuf *err)
{
	struct stat st;
	int fd, r = 0;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0
				       : fail_with(err, -errno, "cannot look at '%s': %s",
						 address->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail_with(err, -EEXIST, "'%s' exists and is no socket", address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_with(err, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		r = fail_with(
			err, -EADDRINUSE, "a daemon answers on '%s' already", address->sun_path);
	else if (errno != ECONNREFUSED && errno != ENOENT)
		r = fail_with(err, -errno, "cannot tell whether a daemon answers on '%s': %s",
			address->sun_path, strerror(errno));
	else if (unlink(address->sun_path) < 0 && errno != ENOENT)
		r = fail_with(
			err, -errno, "cannot replace '%s': %s", address->sun_path, strerror(errno));
	(void)close(fd);
	return r;
}

/* The folder of path, where it is missing: /run is empty after each boot. */
static void make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	char *slash;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return;
	*slash = '\0';
	(void)mkdir(folder, 0755); /* what fails here fails again in bind(), with the path in it */
}

static int give_to_group(const char *path, const char *group, struct errbuf *err)
{
	struct group *g;

	if (group != NULL) {
		errno = 0;
		g = getgrnam(group);
		if (g == NULL)
			return fail_with(err, -ENOENT, "no such group: '%s'", group);
		if (chown(path, (uid_t)-1, g->gr_gid) < 0)
			return fail_with(err, -errno, "cannot give '%s' to group '%s': %s", path,
				group, strerror(errno));
	}
	if (chmod(path, 0660) < 0)
		return fail_with(err, -errno, "cannot set the mode of '%s' to 0660: %s", path,
			strerror(errno));
	return 0;
}

int socket_listen(struct control_socket *s, const char *path, const char *group, struct errbuf *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	struct stat st;
	mode_t mask;
	int fd, r;

	assert(s->listen_fd < 0);
	if (strlen(path) >= sizeof(address.sun_path))
		return fail_with(err, -ENAMETOOLONG,
			"the path of a socket has %zu characters at most, '%s' has %zu",
			sizeof(address.sun_path) - 1, path, strlen(path));
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	make_folder(path);
	r = remove_stale(&address, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_with(err, -errno, "socket: %s", strerror(errno));

	/* Closed to all until its group is set. */
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r < 0) {
		(void)fail_with(err, r, "cannot make the socket '%s': %s", path, strerror(-r));
		goto close_fd;
	}
	r = give_to_group(path, group, err);
	if (r < 0)
		goto remove_file;
	if (lstat(path, &st) < 0 || listen(fd, PROTOCOL_CLIENTS_MAX) < 0 ||
		epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		r = fail_with(err, -errno, "cannot listen on '%s': %s", path, strerror(errno));
		goto remove_file;
	}
	(void)snprintf(s->path, sizeof(s->path), "%s", path);
	s->inode = st.st_ino;
	s->listen_fd = fd;
	return 0;
remove_file:
	(void)unlink(path);
close_fd:
	(void)close(fd);
	return r;
}

int socket_adopt(struct control_socket *s, int fd, struct errbuf *err)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct client *c;
	unsigned int place;
	int r;

	for (place = 0; place < PROTOCOL_CLIENTS_MAX && s->clients[place] != NULL; place++)
		;
	if (place == PROTOCOL_CLIENTS_MAX)
		return fail_with(err, -EUSERS,
			"too many connections: %u are open, the most there may be",
			PROTOCOL_CLIENTS_MAX);
	c = calloc(1, sizeof(*c));
	if (c != NULL)
		c->in = malloc(PROTOCOL_REQUEST_MAX);
	if (c == NULL || c->in == NULL) {
		r = fail_with(err, -ENOMEM, "no memory for a connection");
		goto free_client;
	}
	c->fd = fd;
	c->events = EPOLLIN;
	event.data.ptr = c;
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		r = fail_with(err, -errno, "cannot watch a connection: %s", strerror(errno));
		goto free_client;
	}
	s->clients[place] = c;
	return 0;
free_client:
	if (c != NULL)
		free(c->in);
	free(c);
	return r;
}

static size_t out_waiting(const struct client *c)
{
	return c->out_bytes - c->out_off;
}

/* Keeps a line for the client. False when it let too much pile up. Takes the reference. */
static bool put_answer(struct client *c, json_t *answer, uint64_t now_ns)
{
	size_t text_bytes = 0, wanted;
	char *text = NULL, *out;
	bool done = false;

	if (answer != NULL)
		text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	if (text == NULL)
		return false;
	text_bytes = strlen(text);
	if (out_waiting(c) + text_bytes + 1 > PROTOCOL_ANSWER_BYTES)
		goto free_text;
	if (c->out_off > 0) {
		memmove(c->out, c->out + c->out_off, out_waiting(c));
		c->out_bytes -= c->out_off;
		c->out_off = 0;
	}
	wanted = c->out_bytes + text_bytes + 1;
	if (wanted > c->out_room) {
		out = realloc(c->out, wanted * 2);
		if (out == NULL)
			goto free_text;
		c->out = out;
		c->out_room = wanted * 2;
	}
	memcpy(c->out + c->out_bytes, text, text_bytes);
	c->out[c->out_bytes + text_bytes] = '\n';
	c->out_bytes = wanted;
	if (c->stuck_ns == 0)
		c->stuck_ns = now_ns;
	done = true;
free_text:
	free(text);
	return done;
}

static json_t *answer_line(struct control_socket *s, const char *line, size_t bytes)
{
	json_error_t e;
	json_t *request, *answer;

	request = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &e);
	if (request == NULL)
		return socket_error(true, "not JSON: column %d: %s", e.column, e.text);
	if (json_is_object(request))
		answer = s->answer(request, s->arg);
	else
		answer = socket_error(true, "a request is a JSON object, {\"cmd\":...}");
	json_decref(request);
	return answer;
}

/* Answers the whole lines that are there, some at a time. False: drop the client. */
static bool answer_lines(struct control_socket *s, struct client *c, uint64_t now_ns)
{
	unsigned int n;
	char *newline;
	size_t line_bytes;

	for (n = 0; n < LINES_PER_PASS && out_waiting(c) < ANSWERS_AHEAD; n++) {
		newline = memchr(c->in, '\n', c->in_bytes);
		if (newline == NULL)
			break;
		line_bytes = (size_t)(newline - c->in) + 1;
		if (!put_answer(c, answer_line(s, c->in, line_bytes - 1), now_ns))
			return false;
		c->in_bytes -= line_bytes;
		memmove(c->in, newline + 1, c->in_bytes);
		c->begun_ns = 0; /* the time of the next line counts from now on */
	}
	return true;
}

static bool line_waits(const struct client *c)
{
	return memchr(c->in, '\n', c->in_bytes) != NULL;
}

/* What lies in the buffer is not a whole line: is it still on its way? False: drop the client. */
static bool judge_rest(struct client *c, uint64_t now_ns)
{
	json_t *answer = NULL;

	if (line_waits(c) || c->in_bytes == 0) {
		c->begun_ns = 0; /* we are late, not the client */
		return true;
	}
	if (c->begun_ns == 0)
		c->begun_ns = now_ns;
	if (c->in_bytes == PROTOCOL_REQUEST_MAX)
		answer = socket_error(true,
			"the request is too long: %d bytes at most, its newline included",
			PROTOCOL_REQUEST_MAX);
	else if (c->ended)
		answer = socket_error(true, "the request does not end with a newline");
	else if (now_ns - c->begun_ns > PROTOCOL_REQUEST_SECONDS * NS_PER_SEC)
		answer = socket_error(true, "the request is too slow: it must be whole within %d s",
			PROTOCOL_REQUEST_SECONDS);
	else
		return true;
	c->closing = true;
	c->in_bytes = 0;
	return put_answer(c, answer, now_ns);
}

/* False: the client is gone. */
static bool send_answers(struct client *c, uint64_t now_ns)
{
	ssize_t n;

	while (out_waiting(c) > 0) {
		n = send(c->fd, c->out + c->out_off, out_waiting(c), MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK;
		c->out_off += (size_t)n;
		c->stuck_ns = now_ns;
	}
	c->out_off = c->out_bytes = 0;
	c->stuck_ns = 0;
	return true;
}

/* False: the connection broke. */
static bool receive(struct client *c, uint64_t now_ns)
{
	ssize_t n;

	if (c->ended || c->closing || c->in_bytes == PROTOCOL_REQUEST_MAX)
		return true;
	n = recv(c->fd, c->in + c->in_bytes, PROTOCOL_REQUEST_MAX - c->in_bytes, MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
	if (n == 0)
		c->ended = true;
	c->in_bytes += (size_t)n;
	c->heard_ns = now_ns;
	return true;
}

static bool watch(struct control_socket *s, struct client *c)
{
	struct epoll_event event = {.data.ptr = c};
	bool reads = out_waiting(c) < ANSWERS_AHEAD;

	if (!c->ended && !c->closing && reads && c->in_bytes < PROTOCOL_REQUEST_MAX)
		event.events |= EPOLLIN;
	/* Lines that had to wait for their turn need no news from the client to go on. */
	if (out_waiting(c) > 0 || line_waits(c))
		event.events |= EPOLLOUT;
	if (event.events == c->events)
		return true;
	c->events = event.events;
	return epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) == 0;
}

static void serve_client(struct control_socket *s, struct client *c, uint64_t now_ns)
{
	if (!answer_lines(s, c, now_ns) || !judge_rest(c, now_ns) || !send_answers(c, now_ns) ||
		((c->ended || c->closing) && out_waiting(c) == 0 && !line_waits(c)) || !watch(s, c))
		drop(s, c);
}

static void refuse(int fd, const char *reason)
{
	json_t *answer = socket_error(false, "%s", reason);
	char *text = json_dumps(answer, JSON_COMPACT);
	char line[256];
	int n;

	if (text != NULL) {
		n = snprintf(line, sizeof(line), "%s\n", text);
		if (n > 0 && (size_t)n < sizeof(line))
			(void)send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	}
	free(text);
	json_decref(answer);
	(void)close(fd);
}

static void accept_clients(struct control_socket *s)
{
	struct errbuf err;
	int fd;

	for (unsigned int n = 0; n < EVENTS_PER_PASS; n++) {
		fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			/* Left in epoll, a connection that cannot be accepted would wake us
			 * for ever. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
				errno == ENOBUFS)
				s->deaf = epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd,
						  NULL) == 0;
			return;
		}
		if (socket_adopt(s, fd, &err) < 0)
			refuse(fd, err.text);
	}
}

void socket_serve(struct control_socket *s, uint64_t now_ns)
{
	struct epoll_event events[EVENTS_PER_PASS];
	struct client *c;
	int n;

	n = epoll_wait(s->epoll_fd, events, EVENTS_PER_PASS, 0);
	for (int i = 0; i < n; i++) {
		c = events[i].data.ptr;
		if (c == NULL)
			accept_clients(s);
		else if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) &&
			 !receive(c, now_ns))
			drop(s, c);
		else
			serve_client(s, c, now_ns);
	}
}

/*
 * When every place is taken, who has said nothing for longer than a request may take makes room for
 * the next one. Not done in accept_clients(): events of the same pass may still be its.
 */
static void drop_silent(struct control_socket *s, uint64_t now_ns)
{
	struct client *longest = NULL, *c;

	for (unsigned int i = 0; i < PROTOCOL_CLIENTS_MAX; i++) {
		c = s->clients[i];
		if (c == NULL)
			return;
		if (out_waiting(c) == 0 && (longest == NULL || c->heard_ns < longest->heard_ns))
			longest = c;
	}
	if (longest != NULL && now_ns - longest->heard_ns > PROTOCOL_REQUEST_SECONDS * NS_PER_SEC)
		drop(s, longest);
}

void socket_tick(struct control_socket *s, uint64_t now_ns)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	struct client *c;

	if (s->deaf)
		s->deaf = epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &event) < 0;
	for (unsigned int i = 0; i < PROTOCOL_CLIENTS_MAX; i++) {
		c = s->clients[i];
		if (c == NULL)
			continue;
		if (c->heard_ns == 0)
			c->heard_ns = now_ns;
		if (c->stuck_ns != 0 &&
			now_ns - c->stuck_ns > PROTOCOL_REQUEST_SECONDS * NS_PER_SEC)
			drop(s, c);
		else if (c->begun_ns != 0)
			serve_client(s, c, now_ns);
	}
	drop_silent(s, now_ns);
}
