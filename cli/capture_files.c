#include "capture_files.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "options.h"
#include "wirespool/log.h"

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

bool capture_file_is_part(const char *path)
{
	return ends_with(path, ".part");
}

static int is_capture(const struct dirent *entry)
{
	return ends_with(entry->d_name, ".pcapng") || ends_with(entry->d_name, ".pcapng.part");
}

int capture_files_visit(
	const char *path, int (*visit)(const char *path, void *context), void *context)
{
	const char *slash = ends_with(path, "/") ? "" : "/";
	struct dirent **entries;
	char file[PATH_MAX];
	int code = EXIT_GOOD;
	struct stat st;
	int n, r;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return visit(path, context);
	n = scandir(path, &entries, is_capture, alphasort);
	if (n < 0) {
		log_error("cannot read directory '%s': %s", path, strerror(errno));
		return EXIT_FAILED;
	}
	for (int i = 0; i < n; i++) {
		if (snprintf(file, sizeof(file), "%s%s%s", path, slash, entries[i]->d_name) <
			(int)sizeof(file)) {
			r = visit(file, context);
			code = r != EXIT_GOOD ? r : code;
		}
		free(entries[i]);
	}
	free(entries);
	return code;
}
