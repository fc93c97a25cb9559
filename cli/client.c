#include "client.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "wirespool/log.h"
#include "wirespool/protocol.h"
#include "wirespool/units.h"

enum { READ_BYTES = 65536, NS_PER_MS = 1000000 };

struct client {
	int fd;
	char *buf; /* what was received and not yet given out */
	size_t used;
	size_t scanned; /* of these, known to hold no newline */
	size_t size;
};

uint64_t client_timeout_ns(void)
{
	const char *text = getenv("WIRESPOOL_TIMEOUT_MS");
	uint64_t ms = 30000;

	if (text != NULL)
		(void)number_parse(text, "WIRESPOOL_TIMEOUT_MS", 1, 86400000, &ms, NULL);
	return ms * NS_PER_MS;
}

uint64_t client_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
}

int client_fd(const struct client *c)
{
	return c->fd;
}

int client_adopt(int fd, struct client **ret_client)
{
	struct client *c = calloc(1, sizeof(*c));
	int flags = fcntl(fd, F_GETFL);

	if (c == NULL || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		log_error("cannot set up the connection to wirespoold: %s", strerror(errno));
		free(c);
		close(fd);
		return EXIT_FAILED;
	}
	c->fd = fd;
	*ret_client = c;
	return EXIT_GOOD;
}

void client_close(struct client *c)
{
	if (c == NULL)
		return;
	close(c->fd);
	free(c->buf);
	free(c);
}

/* connect(2) that ends: a full backlog is EAGAIN on a Unix socket, and is asked again. */
static int connect_in_time(int fd, const struct sockaddr_un *address)
{
	uint64_t deadline_ns = client_now_ns() + client_timeout_ns();

	while (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (client_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		(void)poll(NULL, 0, 20);
	}
	return 0;
}

int client_open(struct client **ret_client)
{
	const char *path = options_socket();
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, r;

	if (strlen(path) >= sizeof(address.sun_path)) {
		log_error("socket path '%s' is too long: %zu characters at most", path,
			sizeof(address.sun_path) - 1);
		return EXIT_USAGE;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	r = fd < 0 ? -errno : connect_in_time(fd, &address);
	if (r < 0) {
		log_error("cannot reach wirespoold at '%s': %s; %s", path, strerror(-r),
			r == -EACCES ? "you must be root or in the socket's group"
				     : "is the service running? 'systemctl status wirespoold' "
				       "tells; -S names another socket");
		if (fd >= 0)
			close(fd);
		return EXIT_FAILED;
	}
	return client_adopt(fd, ret_client);
}

int client_send(struct client *c, const json_t *request)
{
	char *line = json_dumps(request, JSON_COMPACT);
	size_t length, sent = 0;
	ssize_t n;
	int r = 0;

	if (line == NULL)
		return -ENOMEM;
	length = strlen(line) + 1;
	line[length - 1] = '\n'; /* in the place of the NUL: the length is known from here on */
	if (length > PROTOCOL_REQUEST_MAX)
		r = -E2BIG;
	while (r == 0 && sent < length) {
		n = send(c->fd, line + sent, length - sent, MSG_NOSIGNAL);
		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd p = {.fd = c->fd, .events = POLLOUT};

			if (poll(&p, 1, (int)(client_timeout_ns() / NS_PER_MS)) == 0)
				r = -ETIMEDOUT;
		} else if (errno != EINTR) {
			r = errno == ECONNRESET ? -EPIPE : -errno;
		}
	}
	free(line);
	return r;
}

/* Turns the line of length bytes (its newline included) at the buffer's begin to an object. */
static int take_line(struct client *c, size_t length, json_t **ret_answer)
{
	json_t *answer = json_loadb(c->buf, length, 0, NULL);
	size_t shown = length - 1 < 60 ? length - 1 : 60;

	if (!json_is_object(answer)) {
		json_decref(answer);
		for (size_t i = 0; i < shown; i++)
			if (!isprint((unsigned char)c->buf[i]))
				c->buf[i] = '?';
		c->buf[shown] = '\0'; /* for client_explain() */
		return -EPROTO;
	}
	memmove(c->buf, c->buf + length, c->used - length);
	c->used -= length;
	c->scanned = 0;
	*ret_answer = answer;
	return 0;
}

static int grow(struct client *c)
{
	size_t size = 2 * c->size + READ_BYTES;
	char *buf;

	if (c->size > PROTOCOL_ANSWER_BYTES)
		return -EMSGSIZE;
	buf = realloc(c->buf, size);
	if (buf == NULL)
		return -ENOMEM;
	c->buf = buf;
	c->size = size;
	return 0;
}

int client_receive(struct client *c, json_t **ret_answer)
{
	for (;;) {
		char *end = NULL;
		ssize_t n;
		int r;

		if (c->used > c->scanned)
			end = memchr(c->buf + c->scanned, '\n', c->used - c->scanned);
		if (end != NULL)
			return take_line(c, (size_t)(end - c->buf) + 1, ret_answer);
		c->scanned = c->used;
		if (c->size - c->used < READ_BYTES) {
			r = grow(c);
			if (r < 0)
				return r;
		}
		n = recv(c->fd, c->buf + c->used, c->size - c->used, 0);
		if (n == 0)
			return -EPIPE;
		if (n > 0)
			c->used += (size_t)n;
		else if (errno != EINTR)
			return errno == ECONNRESET ? -EPIPE : -errno;
	}
}

int client_explain(const struct client *c, int error)
{
	char wait[UNITS_TEXT];

	switch (error) {
	case -EPIPE:
		log_error("wirespoold closed the connection before it answered");
		break;
	case -EPROTO:
		log_error("wirespoold's answer is not a JSON object: '%s'", c->buf);
		break;
	case -EMSGSIZE:
		log_error("wirespoold's answer is longer than %d bytes", PROTOCOL_ANSWER_BYTES);
		break;
	case -E2BIG:
		log_error("the request is longer than %d bytes", PROTOCOL_REQUEST_MAX);
		return EXIT_USAGE;
	case -ETIMEDOUT:
		log_error("wirespoold did not answer within %s",
			duration_format(client_timeout_ns(), wait));
		break;
	default:
		log_error("cannot talk to wirespoold: %s", strerror(-error));
	}
	return EXIT_FAILED;
}

int client_judge(const json_t *answer)
{
	const json_t *faults = json_object_get(answer, "faults");
	const char *text = answer_text(answer, "error", NULL);
	const json_t *fault;
	size_t i;

	if (json_is_true(json_object_get(answer, "ok")))
		return EXIT_GOOD;
	log_error("%s", text != NULL ? text : "wirespoold refused and did not say why");
	json_array_foreach(faults, i, fault)
	{
		/* the first may be in the sentence already */
		if (json_is_string(fault) &&
			(text == NULL || strstr(text, json_string_value(fault)) == NULL))
			log_error("%s", json_string_value(fault));
	}
	return json_is_true(json_object_get(answer, "usage")) ? EXIT_USAGE : EXIT_FAILED;
}

static int wait_answer(struct client *c, json_t **ret_answer)
{
	uint64_t deadline_ns = client_now_ns() + client_timeout_ns();
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	uint64_t now_ns;
	int r;

	while ((r = client_receive(c, ret_answer)) == -EAGAIN) {
		now_ns = client_now_ns();
		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		(void)poll(&p, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
	}
	return r;
}

int client_ask(struct client *c, json_t *request, json_t **ret_answer)
{
	json_t *answer = NULL;
	int r;

	r = request != NULL ? client_send(c, request) : -ENOMEM;
	json_decref(request);
	if (r == 0 || r == -EPIPE) /* one that closes may have said why before it did */
		r = wait_answer(c, &answer);
	if (r < 0)
		return client_explain(c, r);
	r = client_judge(answer);
	if (r == EXIT_GOOD)
		*ret_answer = answer;
	else
		json_decref(answer);
	return r;
}

int client_ask_once(json_t *request, json_t **ret_answer)
{
	struct client *c;
	int r = client_open(&c);

	if (r != EXIT_GOOD) {
		json_decref(request);
		return r;
	}
	r = client_ask(c, request, ret_answer);
	client_close(c);
	return r;
}

uint64_t answer_count(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) && json_integer_value(value) > 0
		       ? (uint64_t)json_integer_value(value)
		       : 0;
}

const char *answer_text(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : otherwise;
}
