#pragma once
/*
 * Capture files: what `verify` and `recover` mean by a directory among their operands.
 */

#include <stdbool.h>
#include <stddef.h>

/* True for "....part". */
bool capture_file_is_part(const char *path);

/*
 * Calls visit for path itself when it is not a directory; else for each *.pcapng and *.pcapng.part
 * directly in it, by name. Returns EXIT_GOOD, the last code of visit that was not, or EXIT_FAILED when the
 * directory cannot be read (said on stderr).
 */
int capture_files_visit(
	const char *path, int (*visit)(const char *path, void *context), void *context);
