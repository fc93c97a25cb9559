/*
 * wirespool: the command. One table makes both the dispatch and the help.
 */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "subcommands.h"
#include "wirespool/log.h"

static int cmd_help(int argc, char *argv[]);

static const struct command {
	const char *name;
	int (*run)(int argc, char *argv[]);
	const char *help;
} commands[] = {
	{"record", cmd_record, "record from devices now; needs no settings and no daemon"},
	{"status", cmd_status, "show ports, runs, disks and losses of the daemon"},
	{"trigger", cmd_trigger, "start a run of a recording, or of one made up here"},
	{"set", cmd_set, "change filter or cut of a recording that is live"},
	{"stop", cmd_stop, "stop a run or a recording and show its account"},
	{"schedule", cmd_schedule, "show the next windows"},
	{"check", cmd_check, "read the settings and say every fault"},
	{"reload", cmd_reload, "have the daemon read its settings again"},
	{"list", cmd_list, "list runs and their files"},
	{"verify", cmd_verify, "read files from end to end and say every fault"},
	{"recover", cmd_recover, "seal what a crash left behind"},
	{"filter", cmd_filter, "try a filter on a capture file, and say why each packet is kept"},
	{"bench", cmd_bench, "measure what this machine can hold, without a NIC"},
	{"help", cmd_help, "show this help, or that of a command"},
	{NULL, NULL, NULL},
};

static const struct option_line lines[] = {
	OPTION_LINE_SOCKET,
	{'V', "version", NULL, "show the version"},
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static void print_commands(void)
{
	printf("\ncommands:\n");
	for (const struct command *c = commands; c->name != NULL; c++)
		printf("  %-10s %s\n", c->name, c->help);
	printf("\nEach command has --help. Exit: 0 good, 1 failed, 2 wrong usage or settings,\n"
	       "3 ended well but packets were lost.\n");
}

static const struct usage usage = {
	.command = NULL,
	.operands = "[-S PATH] COMMAND [OPTION]...",
	.about = "Records packets at line rate to striped disks, as pcapng files.",
	.lines = lines,
	.more = print_commands,
};

static const struct command *find_command(const char *name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static int cmd_help(int argc, char *argv[])
{
	char option[] = "--help";
	const struct command *command;

	if (argc > 2)
		return options_fail(&usage, "help takes one command, got also '%s'", argv[2]);
	if (argc < 2 || argv[1][0] == '-' || strcmp(argv[1], "help") == 0) {
		options_help(&usage);
		return EXIT_GOOD;
	}
	command = find_command(argv[1]);
	if (command == NULL)
		return options_fail(&usage, "unknown command '%s'", argv[1]);
	return command->run(2, (char *[]){argv[1], option, NULL});
}

static int dispatch(int argc, char *argv[])
{
	const struct command *command;

	if (argc == 0)
		return options_fail(&usage, "no command given");
	command = find_command(argv[0]);
	if (command == NULL)
		return options_fail(&usage, "unknown command '%s'", argv[0]);
	optind = 0; /* getopt_long begins anew, on the command's own words */
	return command->run(argc, argv);
}

/* What was lost on the way out (a full disk, say) must not look like success. */
static int close_stdout(int code)
{
	bool failed = ferror(stdout) != 0;

	if (fclose(stdout) == 0 && !failed)
		return code;
	log_error("cannot write to stdout: %s", strerror(errno));
	return code == EXIT_GOOD || code == EXIT_LOST ? EXIT_FAILED : code;
}

int main(int argc, char *argv[])
{
	int key = options_next(&usage, argc, argv);
	int code;

	if (key == OPTIONS_END) {
		code = dispatch(argc - optind, argv + optind);
	} else if (key == 'V') {
		puts("wirespool " WIRESPOOL_VERSION);
		code = EXIT_GOOD;
	} else {
		code = options_exit(key);
	}
	return close_stdout(code);
}
