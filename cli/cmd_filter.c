#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "find_program.h"
#include "options.h"
#include "subcommands.h"
#include "wirespool/log.h"

enum {
	KEY_RULES = 256,
	KEY_VLAN,
	KEY_FRAGMENTS,
	KEY_INNER,
	KEY_CUTOFF,
	KEY_AFTER,
	KEY_DUMP,
	KEY_BENCH,
	KEY_JSON,
};

/* filter/trial_options.c reads the same options. */
static const struct option_line lines[] = {
	{'f', "filter", "EXPR", "the filter: a tcpdump expression"},
	{KEY_RULES, "rules", "FILE", "the filter: rules, one per line; the first that matches"},
	{'s', "snaplen", "LENGTH", "bytes to store of each packet, as in record"},
	{KEY_VLAN, "vlan", "MEANING",
		"any (default): match behind VLAN tags, MPLS and PPPoE;\n"
		"strict: what tcpdump would match"},
	{KEY_FRAGMENTS, "fragments", "WHICH",
		"of the later ones: keep (default) what could match,\n"
		"follow the first one, literal what tcpdump would match"},
	{KEY_INNER, "inner", "LIST",
		"look into these tunnels, too: vxlan,gre,gtp-u,geneve,\n"
		"ipip"},
	{KEY_CUTOFF, "cutoff", "SIZE", "keep only the first bytes of each flow: 64KiB"},
	{KEY_AFTER, "after", "WHAT", "behind the cutoff: headers (default) or drop"},
	{'w', "write", "FILE", "write the packets kept, as they are cut, as pcap; - is stdout"},
	{KEY_DUMP, "dump", NULL, "show the expression's program instead; needs no FILE"},
	{KEY_BENCH, "bench", NULL, "measure instead how fast packets are judged"},
	{KEY_JSON, "json", NULL, "one object per packet, and one of the sums, for programs"},
	OPTION_LINE_HELP,
	OPTION_LINE_END,
};

static const struct usage usage = {
	.command = "filter",
	.operands = "[OPTION]... FILE",
	.about = "Tries a filter on a capture file (pcap or pcapng; - is stdin), without "
		 "recording:\n"
		 "one line per packet, whether it is kept, how much of it, by which rule and why; "
		 "at\n"
		 "the end the sums, on stderr.",
	.lines = lines,
};

struct wanted {
	bool cutoff, after, write, dump, bench, json;
	bool to_stdout; /* writes there */
};

static int check_wanted(const struct wanted *w, int argc, char *argv[])
{
	int operands = argc - optind;

	if (w->after && !w->cutoff)
		return options_fail(
			&usage, "--after says what follows --cutoff; give --cutoff SIZE");
	if (w->dump + w->bench + w->write > 1)
		return options_fail(&usage, "takes one of --write, --dump and --bench");
	if (w->json && (w->dump || w->to_stdout))
		return options_fail(&usage, "--json has no place on stdout beside %s",
			w->dump ? "the program of --dump" : "the packets of --write -");
	if (operands > 1)
		return options_fail(&usage, "takes one FILE, got also '%s'", argv[optind + 1]);
	if (operands == 0 && !w->dump)
		return options_fail(&usage, "needs a FILE: pcap or pcapng, or - for stdin");
	return EXIT_GOOD;
}

/* The filter sees DPDK and this command does not: a program of its own does the work. */
int cmd_filter(int argc, char *argv[])
{
	static const char name[] = "wirespool-filter";
	struct wanted wanted = {.cutoff = false};
	char program[PATH_MAX];
	int key, r;

	while ((key = options_next(&usage, argc, argv)) != OPTIONS_END) {
		if (key == OPTIONS_WRONG || key == OPTIONS_HELP)
			return options_exit(key);
		wanted.cutoff |= key == KEY_CUTOFF;
		wanted.after |= key == KEY_AFTER;
		if (key == 'w') {
			wanted.write = true;
			wanted.to_stdout = strcmp(optarg, "-") == 0;
		}
		wanted.dump |= key == KEY_DUMP;
		wanted.bench |= key == KEY_BENCH;
		wanted.json |= key == KEY_JSON;
	}
	r = check_wanted(&wanted, argc, argv);
	if (r == EXIT_GOOD)
		r = find_program(name, program, sizeof(program));
	if (r != EXIT_GOOD)
		return r;
	execv(program, argv);
	log_error("cannot run '%s': %s", program, strerror(errno));
	return EXIT_FAILED;
}
