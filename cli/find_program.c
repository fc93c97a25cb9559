#include "find_program.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options.h"
#include "wirespool/log.h"

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* True when "folder/between" + name is a program and fits. */
static bool try_folder(const char *folder, size_t length, const char *between, const char *name,
	char *ret, unsigned long size)
{
	int n = snprintf(ret, size, "%.*s/%s%s", (int)length, folder, between, name);

	return n > 0 && (unsigned long)n < size && is_program(ret);
}

int find_program(const char *name, char *ret, unsigned long size)
{
	static const char *const betweens[] = {
		"", "../control/", "../filter/", "../sbin/", "../libexec/wirespool/"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	const char *path = getenv("PATH");
	size_t length;

	if (n < 0) {
		log_error("cannot read /proc/self/exe: %s", strerror(errno));
		return EXIT_FAILED;
	}
	self[n] = '\0';
	length = (size_t)(strrchr(self, '/') - self);
	for (unsigned int i = 0; i < sizeof(betweens) / sizeof(betweens[0]); i++)
		if (try_folder(self, length, betweens[i], name, ret, size))
			return EXIT_GOOD;
	/* An empty part of PATH is the current directory; no program is taken from there. */
	for (; path != NULL && path[0] != '\0'; path += path[0] == ':') {
		length = strcspn(path, ":");
		if (length > 0 && try_folder(path, length, "", name, ret, size))
			return EXIT_GOOD;
		path += length;
	}
	log_error(
		"cannot find the program %s: not in '%.*s', not in ../control, ../filter, ../sbin "
		"or ../libexec/wirespool from there, not on PATH",
		name, (int)(strrchr(self, '/') - self), self);
	return EXIT_FAILED;
}
