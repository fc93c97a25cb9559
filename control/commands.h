#pragma once
/*
 * Commands: what each request of wirespool/protocol.h does. One table of {cmd, function}; the
 * socket carries the lines, the daemon and its runs do the work.
 */

#include <jansson.h>

/* The socket_answer of the daemon: arg is its struct daemon. */
json_t *commands_answer(const json_t *request, void *arg);
