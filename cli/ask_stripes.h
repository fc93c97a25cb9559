#pragma once
/*
 * The directories that `list` and `recover` read when none are named.
 */

#include <jansson.h>

/*
 * Asks the daemon for its stripes. EXIT_GOOD: *ret_directories is an array of texts, the caller's.
 * Else said on stderr, with the way out: name the directories.
 */
int ask_stripes(json_t **ret_directories);
