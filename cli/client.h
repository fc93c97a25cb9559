#pragma once
/*
 * Client: one connection to the daemon's control socket (wirespool/protocol.h).
 *
 * Threads  one per client.
 * Trust    the daemon may be gone, hang or answer garbage: every wait ends, after 30 s
 *          or what WIRESPOOL_TIMEOUT_MS says, and every answer is checked to be an object.
 * Errors   this is where a command ends, so functions that return an exit code have said on
 *          stderr what failed; the others return a negative errno and say nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct client;

/* Connects to options_socket(). EXIT_GOOD, EXIT_FAILED or EXIT_USAGE. */
int client_open(struct client **ret_client);

/* Takes over a connected socket; on failure it is closed. */
int client_adopt(int fd, struct client **ret_client);

void client_close(struct client *c);
int client_fd(const struct client *c);

/* How long an answer may take, in ns. */
uint64_t client_timeout_ns(void);

/* CLOCK_MONOTONIC in ns: for waiting only. */
uint64_t client_now_ns(void);

/*
 * Asks and waits for the answer. request is taken over in any case (NULL: out of memory).
 * On EXIT_GOOD, *ret_answer is the caller's and says "ok":true. A refusal is said with all
 * its faults and is EXIT_USAGE or EXIT_FAILED, as the daemon tells.
 */
int client_ask(struct client *c, json_t *request, json_t **ret_answer);

/* client_open(), client_ask(), client_close(). */
int client_ask_once(json_t *request, json_t **ret_answer);

/* The same in parts, for who cannot wait here. */

/* Sends a request; it stays the caller's. 0, -E2BIG over PROTOCOL_REQUEST_MAX, or what send(2) says. */
int client_send(struct client *c, const json_t *request);

/*
 * Reads what there is, without waiting. 0: *ret_answer is a whole answer, the caller's. -EAGAIN: not
 * yet whole; -EPIPE: closed by the daemon; -EPROTO: not an object; -EMSGSIZE; -ENOMEM.
 */
int client_receive(struct client *c, json_t **ret_answer);

/* Says on stderr what the error of client_send() or client_receive() means; returns the exit code. */
int client_explain(const struct client *c, int error);

/* EXIT_GOOD for an answer that says "ok":true; else says the refusal and returns its exit code. */
int client_judge(const json_t *answer);

/* Members of an answer, for showing: 0 or otherwise when they are not there or of another type. */
uint64_t answer_count(const json_t *object, const char *key);
const char *answer_text(const json_t *object, const char *key, const char *otherwise);
