#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "settings.h"
#include "wirespool/units.h"

enum { EXIT_USAGE = 2, KEY_CHECK = 256, KEY_PRINT, KEY_PRIVATE, KEY_VERSION, KEY_HELP };

static const char default_path[] = "/etc/wirespool/wirespool.conf";

static const char help[] =
	"Usage: wirespoold [-v] [-c FILE] [--check [--print]]\n"
	"Records packets as the settings file says, until told to stop.\n"
	"\n"
	"  -c, --config FILE  settings, instead of /etc/wirespool/wirespool.conf\n"
	"      --check        read the settings, say every fault, and exit\n"
	"      --print        with --check: each setting, its value, where it is from\n"
	"  -v, --verbose      log more\n"
	"      --private FD   serve the one connection FD and end with it; this is how\n"
	"                     'wirespool record' starts a daemon of its own\n"
	"      --version      print the version and exit\n"
	"      --help         print this and exit\n"
	"\n"
	"SIGTERM and SIGINT seal all files and print the end summary; a second one waits\n"
	"no more for the disks. SIGHUP reads the settings again.\n"
	"Exit status: 0 good, 1 failed, 2 wrong usage or settings, 3 packets were lost.\n";

static int check(const char *path, bool print)
{
	struct faults faults = {0};
	struct settings *s;
	int r;

	r = settings_load(path, &s, &faults);
	for (unsigned int i = 0; i < faults.count; i++)
		(void)fprintf(stderr, "%s\n", faults.texts[i]);
	if (r < 0 && faults.count == 0)
		(void)fprintf(stderr, "%s: %s\n", path, strerror(-r));
	faults_free(&faults);
	if (r < 0)
		return EXIT_USAGE;
	if (print)
		settings_print(s);
	settings_free(s);
	return EXIT_SUCCESS;
}

static int wrong_usage(const char *text, const char *argument)
{
	(void)fprintf(stderr, "wirespoold: %s%s; see wirespoold --help\n", text, argument);
	return EXIT_USAGE;
}

static int take_private(const char *text, int *ret_fd)
{
	struct errbuf err;
	uint64_t fd;
	int flags;

	if (number_parse(text, "--private", 0, INT_MAX, &fd, &err) < 0)
		return wrong_usage(err.text, "");
	flags = fcntl((int)fd, F_GETFD);
	if (flags < 0 || fcntl((int)fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return wrong_usage("--private: not an open file descriptor: ", text);
	*ret_fd = (int)fd;
	return 0;
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, KEY_CHECK},
		{"print", no_argument, NULL, KEY_PRINT},
		{"private", required_argument, NULL, KEY_PRIVATE},
		{"verbose", no_argument, NULL, 'v'},
		{"version", no_argument, NULL, KEY_VERSION},
		{"help", no_argument, NULL, KEY_HELP},
		{NULL, 0, NULL, 0},
	};
	struct daemon_options o = {.private_fd = -1};
	bool only_check = false, print = false;
	int key, r;

	while ((key = getopt_long(argc, argv, "c:v", options, NULL)) != -1) {
		switch (key) {
		case 'c':
			o.settings_path = optarg;
			break;
		case 'v':
			o.verbose = true;
			break;
		case KEY_CHECK:
			only_check = true;
			break;
		case KEY_PRINT:
			print = true;
			break;
		case KEY_PRIVATE:
			r = take_private(optarg, &o.private_fd);
			if (r != 0)
				return r;
			break;
		case KEY_VERSION:
			(void)printf("wirespoold %s\n", WIRESPOOL_VERSION);
			return EXIT_SUCCESS;
		case KEY_HELP:
			(void)fputs(help, stdout);
			return EXIT_SUCCESS;
		default:
			return EXIT_USAGE; /* getopt said what is wrong */
		}
	}
	if (optind < argc)
		return wrong_usage("unexpected argument: ", argv[optind]);
	if (print && !only_check)
		return wrong_usage("--print goes with --check", "");
	if (o.private_fd >= 0 && (only_check || o.settings_path != NULL))
		return wrong_usage("--private goes without settings", "");
	if (o.private_fd < 0 && o.settings_path == NULL)
		o.settings_path = default_path;

	/* Threads that hang on a dead disk must not keep the process: no clean-up after this. */
	exit(only_check ? check(o.settings_path, print) : daemon_run(&o));
}
