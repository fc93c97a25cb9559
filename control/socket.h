#pragma once
/*
 * Socket: the listening socket and its clients, as lines of JSON. Knows nothing of commands.
 *
 * Flow     bytes -> line -> JSON object -> answer() -> JSON object -> line -> bytes
 * Threads  control's only. No call waits: what a client does not read yet is kept for it.
 * Limits   those of wirespool/protocol.h. A request that is malformed is answered; one that is
 *          too long or too slow is answered and its connection closed; a client that reads
 *          no answers gets no further ones, and is dropped when it does not go on.
 *          None of this touches another client. When PROTOCOL_CLIENTS_MAX are there, who has
 *          said nothing for PROTOCOL_REQUEST_SECONDS loses its place.
 *
 * The loop polls socket_fd() for reading, calls socket_serve() when it is ready, and socket_tick()
 * every now and then. Times are the caller's, of any clock that does not jump.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wirespool/errbuf.h"

#include <jansson.h>

struct control_socket;

/* The request is borrowed; the answer is a new reference, an object. NULL: out of memory. */
typedef json_t *socket_answer(const json_t *request, void *arg);

/* A socket without a place in the file system and, yet, without clients. -ENOMEM and so on. */
int socket_open(
	socket_answer *answer, void *arg, struct control_socket **ret_socket, struct errbuf *err);

/*
 * Listens at path, mode 0660, of group (NULL: as it comes). A file left there by a daemon
 * that is gone is replaced. -EADDRINUSE: a daemon answers there. -EEXIST: something that is
 * no socket lies there. -ENOENT: no such group, or no folder and none could be made.
 * On failure nothing is left behind and the socket can be used on.
 */
int socket_listen(
	struct control_socket *s, const char *path, const char *group, struct errbuf *err);

/*
 * Takes a connection that exists already. On success the socket owns fd, on failure the caller
 * does.
 */
int socket_adopt(struct control_socket *s, int fd, struct errbuf *err);

/* Closes all clients at once, and removes the file if it is still the one we made. */
void socket_close(struct control_socket *s);

int socket_fd(const struct control_socket *s);
void socket_serve(struct control_socket *s, uint64_t now_ns);
void socket_tick(struct control_socket *s, uint64_t now_ns);
unsigned int socket_clients(const struct control_socket *s);

/* {"ok":false,"error":text,"usage":usage}: as every request that fails is answered. */
json_t *socket_error(bool usage, const char *format, ...) __attribute__((format(printf, 2, 3)));
