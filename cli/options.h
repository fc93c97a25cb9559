#pragma once
/*
 * Options: what the subcommands of `wirespool` share in reading their command lines.
 *
 * A subcommand lists its options once, in a table; getopt_long, the one line that a wrong
 * option gets, and --help all follow it. -h and -S are handled here for everybody.
 */

#include <stdbool.h>

enum exit_code {
	EXIT_GOOD = 0,
	EXIT_FAILED = 1, /* at run time */
	EXIT_USAGE = 2,  /* wrong usage or settings */
	EXIT_LOST = 3,   /* ended well, but packets were lost */
};

struct option_line {
	int key;              /* the short option's letter, or above 255 for one without */
	const char *name;     /* long option, without "--" */
	const char *argument; /* what --help calls it; NULL: takes none */
	const char *help;
};

struct usage {
	const char *command;             /* NULL: `wirespool` itself */
	const char *operands;            /* "[OPTION]... DEVICE..." */
	const char *about;               /* what it does, in whole sentences, for --help */
	const struct option_line *lines; /* ended by a key of 0 */
	void (*more)(void);              /* prints what follows in --help; NULL: nothing */
};

enum {
	OPTIONS_END = -1,   /* operands begin at argv[optind] */
	OPTIONS_WRONG = -2, /* said so on stderr */
	OPTIONS_HELP = -3,  /* help was printed */
};

#define OPTION_LINE_SOCKET                                                                         \
	{                                                                                          \
		'S', "socket", "PATH",                                                             \
			"control socket of the daemon; default $WIRESPOOL_SOCKET,\n"               \
			"else /run/wirespool/control.sock"                                         \
	}
#define OPTION_LINE_HELP                                                                           \
	{                                                                                          \
		'h', "help", 0, "show this help"                                                   \
	}
#define OPTION_LINE_END                                                                            \
	{                                                                                          \
		0, 0, 0, 0                                                                         \
	}

/* The next option's key, its argument in optarg, or one of the values above. */
int options_next(const struct usage *usage, int argc, char *argv[]);

/* The exit code that belongs to OPTIONS_HELP or OPTIONS_WRONG. */
int options_exit(int key);

/* Prints help as --help does. */
void options_help(const struct usage *usage);

/*
 * Says "wirespool COMMAND: ..." on stderr, points to --help, and returns EXIT_USAGE.
 */
int options_fail(const struct usage *usage, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* EXIT_GOOD when no operand is left, else options_fail(). */
int options_no_operands(const struct usage *usage, int argc, char *argv[]);

/* The control socket: -S, else $WIRESPOOL_SOCKET, else PROTOCOL_SOCKET. */
const char *options_socket(void);
