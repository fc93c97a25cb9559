/* The control socket against clients that behave badly: none of them harms another. */
/* rooms: control common */
#include "control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <check.h>

#include "suite_main.h"
#include "wirespool/protocol.h"
#include "wirespool/units.h"

#define SECOND NS_PER_SEC

static struct control_socket *s;
static char folder[64], path[96];
static unsigned int answered;
static size_t answer_bytes; /* how long each answer is made */
static struct errbuf err;

static json_t *echo(const json_t *request, void *arg)
{
	json_t *answer;
	char *text;

	(void)arg;
	answered++;
	if (answer_bytes == 0)
		return json_pack("{s:b,s:O}", "ok", 1, "echo", request);
	text = malloc(answer_bytes + 1);
	ck_assert_ptr_nonnull(text);
	memset(text, 'x', answer_bytes);
	text[answer_bytes] = '\0';
	answer = json_pack("{s:b,s:s}", "ok", 1, "long", text);
	free(text);
	return answer;
}

static void set_up(void)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/test_socket.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/control.sock", folder);
	answered = 0;
	answer_bytes = 0;
	ck_assert_int_eq(socket_open(echo, NULL, &s, &err), 0);
}

static void tear_down(void)
{
	socket_close(s);
	(void)unlink(path);
	(void)rmdir(folder);
}

/* A client's end. */
static int adopted(void)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	ck_assert_int_eq(socket_adopt(s, ends[1], &err), 0);
	return ends[0];
}

static int dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	(void)close(fd);
	return -errno;
}

static void say(int fd, const char *text)
{
	ck_assert_int_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void serve(uint64_t now_ns)
{
	for (int i = 0; i < 100; i++)
		socket_serve(s, now_ns);
}

/* All that has come, at most 4 KiB of it kept; *ret_closed: and then the end. */
static const char *hear(int fd, bool *ret_closed)
{
	static char text[4096];
	size_t length = 0;
	ssize_t n;

	while ((n = recv(fd, text + length, sizeof(text) - 1 - length, 0)) > 0)
		length += (size_t)n;
	text[length] = '\0';
	if (ret_closed != NULL)
		*ret_closed = n == 0;
	return text;
}

static void expect(int fd, const char *part)
{
	const char *text = hear(fd, NULL);

	ck_assert_msg(strstr(text, part) != NULL, "'%s' is not in '%s'", part, text);
}

START_TEST(malformed_request_is_answered_and_the_connection_goes_on)
{
	int fd = adopted();

	say(fd, "{\"cmd\":\n");
	serve(SECOND);
	expect(fd, "\"ok\":false");
	say(fd, "[1,2]\n");
	serve(SECOND);
	expect(fd, "a request is a JSON object");
	say(fd, "{\"a\":1,\"a\":2}\n");
	serve(SECOND);
	expect(fd, "\"usage\":true");
	ck_assert_uint_eq(answered, 0);
	say(fd, "{\"cmd\":\"x\"}\n");
	serve(SECOND);
	expect(fd, "{\"ok\":true,\"echo\":{\"cmd\":\"x\"}}\n");
	(void)close(fd);
}
END_TEST

START_TEST(request_with_a_nul_or_bytes_that_are_no_utf8_is_an_error)
{
	int fd = adopted();

	ck_assert_int_eq(send(fd, "{\"a\":\"\0\"}\n", 10, 0), 10);
	say(fd, "{\"a\":\"\xff\xfe\"}\n");
	serve(SECOND);
	expect(fd, "\"ok\":false");
	ck_assert_uint_eq(answered, 0);
	ck_assert_uint_eq(socket_clients(s), 1);
	(void)close(fd);
}
END_TEST

START_TEST(request_that_is_too_long_is_answered_and_closed_and_no_other_notices)
{
	int rude = adopted(), polite = adopted();
	char *text = malloc(PROTOCOL_REQUEST_MAX);
	bool closed;

	memset(text, ' ', PROTOCOL_REQUEST_MAX);
	ck_assert_int_eq(send(rude, text, PROTOCOL_REQUEST_MAX, 0), PROTOCOL_REQUEST_MAX);
	say(polite, "{}\n");
	serve(SECOND);
	ck_assert_ptr_nonnull(strstr(hear(rude, &closed), "too long"));
	ck_assert(closed);
	expect(polite, "\"ok\":true");
	ck_assert_uint_eq(socket_clients(s), 1);
	free(text);
	(void)close(rude);
	(void)close(polite);
}
END_TEST

START_TEST(request_of_just_the_longest_length_is_taken)
{
	char *text = malloc(PROTOCOL_REQUEST_MAX);
	int fd = adopted();

	memset(text, ' ', PROTOCOL_REQUEST_MAX);
	memcpy(text, "{}", 2);
	text[PROTOCOL_REQUEST_MAX - 1] = '\n';
	ck_assert_int_eq(send(fd, text, PROTOCOL_REQUEST_MAX, 0), PROTOCOL_REQUEST_MAX);
	serve(SECOND);
	expect(fd, "\"ok\":true");
	free(text);
	(void)close(fd);
}
END_TEST

START_TEST(request_that_is_too_slow_is_answered_and_closed)
{
	int fd = adopted();
	bool closed;

	say(fd, "{\"cmd\"");
	serve(SECOND);
	socket_tick(s, (1 + PROTOCOL_REQUEST_SECONDS) * SECOND);
	ck_assert_str_eq(hear(fd, &closed), "");
	ck_assert(!closed);
	say(fd, ":"); /* one more byte buys no time */
	serve((1 + PROTOCOL_REQUEST_SECONDS) * SECOND);
	socket_tick(s, (1 + PROTOCOL_REQUEST_SECONDS) * SECOND + 1);
	ck_assert_ptr_nonnull(strstr(hear(fd, &closed), "too slow"));
	ck_assert(closed);
	(void)close(fd);
}
END_TEST

START_TEST(each_request_has_its_own_time)
{
	int fd = adopted();

	say(fd, "{\"a\":");
	serve(SECOND);
	say(fd, "1}\n{\"b\":");
	serve(PROTOCOL_REQUEST_SECONDS * SECOND);
	socket_tick(s, 2 * PROTOCOL_REQUEST_SECONDS * SECOND);
	say(fd, "2}\n");
	serve(2 * PROTOCOL_REQUEST_SECONDS * SECOND);
	expect(fd, "\"b\":2");
	(void)close(fd);
}
END_TEST

START_TEST(client_at_rest_between_requests_is_not_slow)
{
	int fd = adopted();

	say(fd, "{}\n");
	serve(SECOND);
	expect(fd, "\"ok\":true");
	socket_tick(s, 1000 * SECOND);
	say(fd, "{}\n");
	serve(1000 * SECOND);
	expect(fd, "\"ok\":true");
	(void)close(fd);
}
END_TEST

START_TEST(client_that_reads_nothing_gets_no_more_answers_and_is_dropped_in_the_end)
{
	int deaf = adopted(), other = adopted();

	answer_bytes = 1 << 20;
	for (int i = 0; i < 8; i++)
		say(deaf, "{}\n");
	serve(SECOND);
	ck_assert_uint_eq(answered, 1); /* one answer is more than it may leave unread */
	say(other, "{}\n");
	serve(SECOND);
	ck_assert_uint_eq(answered, 2);
	socket_tick(s, 2 * PROTOCOL_REQUEST_SECONDS * SECOND);
	ck_assert_uint_eq(socket_clients(s), 0);
	(void)close(deaf);
	(void)close(other);
}
END_TEST

START_TEST(answer_longer_than_may_pile_up_drops_the_client)
{
	int fd = adopted();

	answer_bytes = PROTOCOL_ANSWER_BYTES;
	say(fd, "{}\n");
	serve(SECOND);
	ck_assert_uint_eq(socket_clients(s), 0);
	(void)close(fd);
}
END_TEST

START_TEST(long_answer_arrives_whole_at_a_client_that_reads)
{
	size_t total = 0;
	char text[65536];
	int fd = adopted();
	ssize_t n;

	answer_bytes = 3 << 20;
	say(fd, "{}\n");
	for (int i = 0; i < 1000; i++) {
		socket_serve(s, SECOND);
		while ((n = recv(fd, text, sizeof(text), 0)) > 0)
			total += (size_t)n;
	}
	ck_assert_uint_eq(total, answer_bytes + strlen("{\"ok\":true,\"long\":\"\"}\n"));
	(void)close(fd);
}
END_TEST

START_TEST(many_requests_at_once_are_all_answered_in_order)
{
	char expected[96];
	int fd = adopted();
	char *all = calloc(1, 65536), *at = all;
	size_t length = 0;
	ssize_t n;

	for (int i = 0; i < 500; i++)
		at += snprintf(at, 64, "{\"n\":%d}\n", i);
	say(fd, all);
	memset(all, 0, 65536);
	for (int i = 0; i < 200; i++) {
		socket_serve(s, SECOND);
		while ((n = recv(fd, all + length, 65535 - length, 0)) > 0)
			length += (size_t)n;
	}
	at = all;
	for (int i = 0; i < 500; i++) {
		(void)snprintf(
			expected, sizeof(expected), "{\"ok\":true,\"echo\":{\"n\":%d}}\n", i);
		ck_assert_int_eq(strncmp(at, expected, strlen(expected)), 0);
		at += strlen(expected);
	}
	ck_assert_int_eq(*at, '\0');
	free(all);
	(void)close(fd);
}
END_TEST

START_TEST(client_that_says_no_more_still_gets_its_answer)
{
	int fd = adopted();
	bool closed;

	say(fd, "{}\n{\"cut");
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	serve(SECOND);
	ck_assert_ptr_nonnull(strstr(hear(fd, &closed), "\"ok\":true"));
	ck_assert(closed);
	ck_assert_uint_eq(socket_clients(s), 0);
	(void)close(fd);
}
END_TEST

START_TEST(client_that_is_gone_at_once_leaves_nothing_behind)
{
	int fd = adopted();

	say(fd, "{}\n");
	(void)close(fd);
	serve(SECOND);
	ck_assert_uint_eq(socket_clients(s), 0);
}
END_TEST

START_TEST(one_client_too_many_is_told_so_and_the_others_stay)
{
	int fds[PROTOCOL_CLIENTS_MAX], extra;
	bool closed;

	ck_assert_int_eq(socket_listen(s, path, NULL, &err), 0);
	for (int i = 0; i < PROTOCOL_CLIENTS_MAX; i++) {
		fds[i] = dial();
		ck_assert_int_ge(fds[i], 0);
		serve(SECOND);
	}
	extra = dial();
	serve(SECOND);
	ck_assert_ptr_nonnull(strstr(hear(extra, &closed), "too many connections"));
	ck_assert(closed);
	ck_assert_uint_eq(socket_clients(s), PROTOCOL_CLIENTS_MAX);
	say(fds[0], "{}\n");
	serve(SECOND);
	expect(fds[0], "\"ok\":true");
	(void)close(extra);
	for (int i = 0; i < PROTOCOL_CLIENTS_MAX; i++)
		(void)close(fds[i]);
}
END_TEST

START_TEST(client_that_says_nothing_makes_room_when_all_places_are_taken_and_no_other_does)
{
	int fds[PROTOCOL_CLIENTS_MAX], extra;
	uint64_t later = (2 + PROTOCOL_REQUEST_SECONDS) * SECOND;
	bool closed;

	ck_assert_int_eq(socket_listen(s, path, NULL, &err), 0);
	for (int i = 0; i < PROTOCOL_CLIENTS_MAX; i++) {
		fds[i] = dial();
		ck_assert_int_ge(fds[i], 0);
		serve(SECOND);
	}
	socket_tick(s, SECOND);
	for (int i = 0; i < PROTOCOL_CLIENTS_MAX; i++) {
		if (i != 7)
			say(fds[i], "{}\n");
	}
	serve(later);
	socket_tick(s, later);
	(void)hear(fds[7], &closed);
	ck_assert(closed);
	ck_assert_uint_eq(socket_clients(s), PROTOCOL_CLIENTS_MAX - 1);
	extra = dial();
	say(extra, "{}\n");
	serve(later);
	expect(extra, "\"ok\":true");
	socket_tick(s, later + SECOND); /* full again, but all of them have asked */
	ck_assert_uint_eq(socket_clients(s), PROTOCOL_CLIENTS_MAX);
	(void)close(extra);
	for (int i = 0; i < PROTOCOL_CLIENTS_MAX; i++)
		(void)close(fds[i]);
}
END_TEST

START_TEST(file_of_a_daemon_that_is_gone_is_replaced)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	(void)close(fd); /* the file stays, nobody answers */
	ck_assert_int_eq(socket_listen(s, path, NULL, &err), 0);
	fd = dial();
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}
END_TEST

START_TEST(file_of_a_daemon_that_answers_is_left_alone)
{
	struct control_socket *second;
	int fd;

	ck_assert_int_eq(socket_listen(s, path, NULL, &err), 0);
	ck_assert_int_eq(socket_open(echo, NULL, &second, &err), 0);
	ck_assert_int_eq(socket_listen(second, path, NULL, &err), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(err.text, path));
	socket_close(second);
	fd = dial();
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
}
END_TEST

START_TEST(file_that_is_no_socket_is_left_alone)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	(void)close(fd);
	ck_assert_int_eq(socket_listen(s, path, NULL, &err), -EEXIST);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(group_that_does_not_exist_leaves_no_file)
{
	ck_assert_int_eq(socket_listen(s, path, "no-such-group-here", &err), -ENOENT);
	ck_assert_ptr_nonnull(strstr(err.text, "no-such-group-here"));
	ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(file_has_mode_0660_and_goes_with_the_socket)
{
	struct stat st;

	ck_assert_int_eq(socket_listen(s, path, NULL, &err), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0660);
	socket_close(s);
	ck_assert_int_eq(access(path, F_OK), -1);
	ck_assert_int_eq(socket_open(echo, NULL, &s, &err), 0);
}
END_TEST

START_TEST(file_that_another_daemon_made_meanwhile_is_not_removed)
{
	char aside[128];
	int fd;

	(void)snprintf(aside, sizeof(aside), "%s.aside", path);
	ck_assert_int_eq(socket_listen(s, path, NULL, &err), 0);
	ck_assert_int_eq(rename(path, aside), 0);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	(void)close(fd);
	socket_close(s);
	ck_assert_int_eq(access(path, F_OK), 0);
	(void)unlink(aside);
	ck_assert_int_eq(socket_open(echo, NULL, &s, &err), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("socket");
	TCase *c = tcase_create("socket");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, malformed_request_is_answered_and_the_connection_goes_on);
	tcase_add_test(c, request_with_a_nul_or_bytes_that_are_no_utf8_is_an_error);
	tcase_add_test(c, request_that_is_too_long_is_answered_and_closed_and_no_other_notices);
	tcase_add_test(c, request_of_just_the_longest_length_is_taken);
	tcase_add_test(c, request_that_is_too_slow_is_answered_and_closed);
	tcase_add_test(c, each_request_has_its_own_time);
	tcase_add_test(c, client_at_rest_between_requests_is_not_slow);
	tcase_add_test(c, client_that_reads_nothing_gets_no_more_answers_and_is_dropped_in_the_end);
	tcase_add_test(c, answer_longer_than_may_pile_up_drops_the_client);
	tcase_add_test(c, long_answer_arrives_whole_at_a_client_that_reads);
	tcase_add_test(c, many_requests_at_once_are_all_answered_in_order);
	tcase_add_test(c, client_that_says_no_more_still_gets_its_answer);
	tcase_add_test(c, client_that_is_gone_at_once_leaves_nothing_behind);
	tcase_add_test(c, one_client_too_many_is_told_so_and_the_others_stay);
	tcase_add_test(
		c, client_that_says_nothing_makes_room_when_all_places_are_taken_and_no_other_does);
	tcase_add_test(c, file_of_a_daemon_that_is_gone_is_replaced);
	tcase_add_test(c, file_of_a_daemon_that_answers_is_left_alone);
	tcase_add_test(c, file_that_is_no_socket_is_left_alone);
	tcase_add_test(c, group_that_does_not_exist_leaves_no_file);
	tcase_add_test(c, file_has_mode_0660_and_goes_with_the_socket);
	tcase_add_test(c, file_that_another_daemon_made_meanwhile_is_not_removed);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
