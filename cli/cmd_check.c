#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "find_program.h"
#include "options.h"
#include "subcommands.h"
#include "wirespool/log.h"

enum { KEY_PRINT = 256 };

static const struct option_line lines[] = {
	{'c', "config", "FILE", "the settings; default /etc/wirespool/wirespool.conf"},
	{KEY_PRINT, "print", NULL, "print each setting with its value and where it came from"},
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "check",
	.operands = "[OPTION]...",
	.about = "Reads the settings as the daemon would, starts nothing, and says every fault "
		 "with\n"
		 "its file and line. Exits with 2 when there is one.",
	.lines = lines,
};

int cmd_check(int argc, char *argv[])
{
	char file[PATH_MAX] = "/etc/wirespool/wirespool.conf";
	char program[PATH_MAX];
	char name[] = "wirespoold", check[] = "--check", config[] = "-c",
	     print_option[] = "--print";
	char *daemon_argv[] = {name, check, config, file, NULL, NULL};
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key == KEY_PRINT)
			daemon_argv[4] = print_option;
		else if (key != 'c')
			return options_exit(key);
		else if (snprintf(file, sizeof(file), "%s", optarg) >= (int)sizeof(file))
			return options_fail(
				&usage, "--config: longer than %zu bytes", sizeof(file) - 1);
	}
	r = options_no_operands(&usage, argc, argv);
	if (r == EXIT_GOOD)
		r = find_program("wirespoold", program, sizeof(program));
	if (r != EXIT_GOOD)
		return r;
	execv(program, daemon_argv);
	log_error("cannot run '%s': %s", program, strerror(errno));
	return EXIT_FAILED;
}
