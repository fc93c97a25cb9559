#pragma once
/* What a path says of the file without a look into it. segment_parse_name() is in archive.h. */

#include <stdbool.h>

/* Behind the last slash. */
const char *path_base(const char *path);

/* Ends with ".part": being written, or left by a crash. */
bool path_is_part(const char *path);
