#include "options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/protocol.h"

enum { LINES_MAX = 32 };

static const char *socket_path;

const char *options_socket(void)
{
	const char *path = socket_path;

	if (path == NULL)
		path = getenv("WIRESPOOL_SOCKET");
	return path != NULL && path[0] != '\0' ? path : PROTOCOL_SOCKET;
}

static const struct option_line *find_line(const struct usage *usage, int key)
{
	for (const struct option_line *line = usage->lines; line->key != 0; line++)
		if (line->key == key)
			return line;
	return NULL;
}

int options_fail(const struct usage *usage, const char *format, ...)
{
	const char *command = usage->command;
	va_list args;

	fprintf(stderr, "wirespool%s%s: ", command ? " " : "", command ? command : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; see 'wirespool%s%s --help'\n", command ? " " : "",
		command ? command : "");
	return EXIT_USAGE;
}

int options_no_operands(const struct usage *usage, int argc, char *argv[])
{
	if (optind < argc)
		return options_fail(usage, "takes no operands, got '%s'", argv[optind]);
	return EXIT_GOOD;
}

static void print_indented(const char *text, int column)
{
	for (; *text != '\0'; text++) {
		putchar(*text);
		if (*text == '\n')
			printf("%*s", column, "");
	}
	putchar('\n');
}

void options_help(const struct usage *usage)
{
	enum { HELP_COLUMN = 26 };
	char text[128];
	int used;

	printf("usage: wirespool%s%s %s\n\n%s\n\n", usage->command ? " " : "",
		usage->command ? usage->command : "", usage->operands, usage->about);
	for (const struct option_line *line = usage->lines; line->key != 0; line++) {
		if (line->key < 256)
			used = snprintf(text, sizeof(text), "  -%c, --%s", line->key, line->name);
		else
			used = snprintf(text, sizeof(text), "      --%s", line->name);
		if (line->argument != NULL)
			used += snprintf(
				text + used, sizeof(text) - (size_t)used, " %s", line->argument);
		if (used > HELP_COLUMN - 2)
			printf("%s\n%*s", text, HELP_COLUMN, "");
		else
			printf("%-*s", HELP_COLUMN, text);
		print_indented(line->help, HELP_COLUMN);
	}
	if (usage->more != NULL)
		usage->more();
}

/* What getopt_long found wrong, as one line. word is the argument that it stumbled over. */
static void say_wrong(const struct usage *usage, int c, const char *word)
{
	const struct option_line *line = find_line(usage, optopt);
	bool is_long = strncmp(word, "--", 2) == 0;

	if (c == ':' && line != NULL)
		options_fail(
			usage, "option '--%s' needs an argument, %s", line->name, line->argument);
	else if (is_long && optopt != 0 && line != NULL)
		options_fail(usage, "option '--%s' takes no argument, got '%s'", line->name, word);
	else if (is_long)
		options_fail(usage, "unknown or ambiguous option '%s'", word);
	else
		options_fail(usage, "unknown option '-%c'", optopt);
}

int options_next(const struct usage *usage, int argc, char *argv[])
{
	struct option longs[LINES_MAX + 1] = {0};
	/* '+': `wirespool` itself stops at the subcommand; ':': a missing argument is told apart */
	char shorts[3 * LINES_MAX + 3];
	size_t used = 0;
	int count = 0;
	int c;

	if (usage->command == NULL)
		shorts[used++] = '+';
	shorts[used++] = ':';
	for (const struct option_line *line = usage->lines; line->key != 0; line++) {
		if (count == LINES_MAX)
			break;
		longs[count++] = (struct option){line->name,
			line->argument ? required_argument : no_argument, NULL, line->key};
		if (line->key >= 256)
			continue;
		shorts[used++] = (char)line->key;
		if (line->argument != NULL)
			shorts[used++] = ':';
	}
	shorts[used] = '\0';

	opterr = 0;
	for (;;) {
		c = getopt_long(argc, argv, shorts, longs, NULL);
		if (c == 'S' && find_line(usage, 'S') != NULL) {
			socket_path = optarg;
			continue;
		}
		if (c == 'h') {
			options_help(usage);
			return OPTIONS_HELP;
		}
		if (c == '?' || c == ':') {
			say_wrong(usage, c, argv[optind - 1]);
			return OPTIONS_WRONG;
		}
		return c == -1 ? OPTIONS_END : c;
	}
}

int options_exit(int key)
{
	return key == OPTIONS_HELP ? EXIT_GOOD : EXIT_USAGE;
}
