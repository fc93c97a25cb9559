#include "settings_table.h"

#include <limits.h>
#include <string.h>

#include "wirespool/protocol.h"
#include "wirespool/rules.h"
#include "wirespool/units.h"

#define MIB (1ULL << 20)
#define TIB (1ULL << 40)
#define MS  (NS_PER_SEC / 1000)
#define DAY (86400 * NS_PER_SEC)

static const char *const LOG_LEVELS[] = {"error", "warn", "info", "debug", NULL};
static const char *const PREFILTERS[] = {"off", "stack", "drop", NULL};
static const char *const WHENS[] = {"trigger", "always", "windows", NULL};
static const char *const VLANS[] = {"any", "strict", NULL};
static const char *const FRAGMENTS[] = {"keep", "follow", "literal", NULL};
static const char *const AFTERS[] = {"headers", "drop", NULL};
static const char *const TUNNELS[] = {"ipip", "gre", "vxlan", "geneve", "gtp-u", NULL};

/* The choices are stored as these enums, in this order. */
_Static_assert(LOG_ERROR == 0 && LOG_WARN == 1 && LOG_INFO == 2 && LOG_DEBUG == 3, "LOG_LEVELS");
_Static_assert(PREFILTER_OFF == 0 && PREFILTER_STACK == 1 && PREFILTER_DROP_RULES == 2 &&
		       sizeof(enum prefilter_mode) == sizeof(int),
	"PREFILTERS");
_Static_assert(WHEN_TRIGGER == 0 && WHEN_ALWAYS == 1 && WHEN_WINDOWS == 2, "WHENS");
_Static_assert(FILTER_VLAN_ANY == 0 && FILTER_VLAN_STRICT == 1, "VLANS");
_Static_assert(
	FILTER_FRAGMENTS_KEEP == 0 && FILTER_FRAGMENTS_FOLLOW == 1 && FILTER_FRAGMENTS_LITERAL == 2,
	"FRAGMENTS");
_Static_assert(FILTER_AFTER_HEADERS == 0 && FILTER_AFTER_DROP == 1, "AFTERS");
_Static_assert(sizeof(enum when) == sizeof(int) && sizeof(enum log_level) == sizeof(int), "");
_Static_assert(sizeof(enum filter_vlan) == sizeof(int) &&
		       sizeof(enum filter_fragments) == sizeof(int) &&
		       sizeof(enum filter_after) == sizeof(int),
	"");
/* These as bits. */
_Static_assert(FILTER_INNER_IPIP == 1 && FILTER_INNER_GRE == 2 && FILTER_INNER_VXLAN == 4 &&
		       FILTER_INNER_GENEVE == 8 && FILTER_INNER_GTP_U == 16,
	"TUNNELS");

/* What takes effect in live runs does so at a reload. */
#define LIVE                 .reload = true, .live = true
#define IN(member)           .offset = offsetof(struct settings, member)
#define IN_PORT(member)      .offset = offsetof(struct port_settings, member)
#define IN_RECORDING(member) .offset = offsetof(struct recording_settings, member)
#define IN_WINDOW(member)    .offset = offsetof(struct window_rule, member)

/* clang-format off: a table reads by its columns */
const struct setting SETTINGS[] = {
	{"control", SETTING_GROUP, .help = "The daemon and its control socket."},
	{"control.socket", SETTING_TEXT, .preset = PROTOCOL_SOCKET, IN(socket),
		.rule = "an absolute path of at most 107 bytes",
		.help = "Where wirespool(1) reaches the daemon."},
	{"control.group", SETTING_TEXT, IN(group), .rule = "a group of this machine",
		.help = "Whose members may use the control socket, beside its owner. Without it "
			"the socket keeps the daemon's group."},
	{"control.stop_timeout", SETTING_TIME, .reload = true, .preset = "60s", IN(stop_timeout_ns),
		.max = DAY, .rule = "0 to 24h",
		.help = "How long the daemon waits for the disks when it is stopped. What is not "
			"on them then is counted as lost."},
	{"control.log_level", SETTING_CHOICE, .reload = true, .preset = "info",
		.choices = LOG_LEVELS, IN(log_level),
		.rule = "\"error\", \"warn\", \"info\" or \"debug\"",
		.help = "What the daemon writes to its log: this and what is worse."},

	{"memory", SETTING_GROUP, .help = "Memory of ports, rings and chunks."},
	{"memory.huge_pages", SETTING_BOOL, .preset = "true", IN(huge_pages),
		.rule = "true or false",
		.help = "Use huge pages if there are enough of them. Without them packets take "
			"ordinary memory, which is slower; a warning says so."},

	{"writers", SETTING_GROUP, .help = "The threads that pack packets and write them."},
	{"writers.cpus", SETTING_CPUS, IN(writer_cpus),
		.count_offset = offsetof(struct settings, writer_cpu_count),
		.max = SETTINGS_LIST_MAX, .rule = "1 to 64 CPUs that the daemon may use, each once",
		.help = "One writer thread on each of these CPUs. Without it there is one writer, "
			"on a CPU of the daemon's choice."},
	{"writers.memory", SETTING_SIZE, .preset = "256MiB", IN(writer_memory_bytes),
		.min = 8 * MIB, .max = 16 * TIB, .rule = "8MiB to 16TiB",
		.help = "Packed packets that each writer holds in memory while the disks are late. "
			"More of it bridges longer pauses of the disks."},
	{"writers.queue_depth", SETTING_NUMBER, .preset = "64", IN(writer_queue_depth), .min = 1,
		.max = 128, .rule = "1 to 128",
		.help = "Writes of 1 MiB under way at a time, for each writer and stripe."},

	{"ports", SETTING_GROUPS, .max = SETTINGS_LIST_MAX, IN(ports),
		.count_offset = offsetof(struct settings, port_count),
		.help = "Where packets come from. At most 64."},
	{"ports[].name", SETTING_TEXT, .required = true, IN_PORT(name),
		.rule = "1 to 31 of A-Z a-z 0-9 _ . -, not beginning with - or .; each name once",
		.help = "What recordings call the port."},
	{"ports[].device", SETTING_TEXT, .required = true, IN_PORT(device),
		.rule = "a device, and no device twice",
		.help = "A PCI address (0000:3b:00.0), a kernel interface (eth0 or af_xdp:eth0), "
			"pcap:FILE, gen:OPTIONS or vdev:net_...; see wirespool(1)."},
	{"ports[].lcores", SETTING_CPUS, IN_PORT(cpus),
		.count_offset = offsetof(struct port_settings, cpu_count), .max = PORT_LCORES_MAX,
		.rule = "1 to 64 CPUs that the daemon may use, none of them in two ports",
		.help = "CPUs that receive, with a queue of the device each; one that is there "
			"twice "
			"has two queues, in turns. Without it one is placed by the daemon."},
	{"ports[].descriptors", SETTING_NUMBER, .preset = "4096", IN_PORT(descriptors), .min = 64,
		.max = 32768, .rule = "64 to 32768",
		.help = "Packets that the device can hold ready in each queue. What is too much "
			"for the device is lowered, with a warning."},
	{"ports[].frame_bytes", SETTING_NUMBER, .preset = "9216", IN_PORT(frame_bytes), .min = 64,
		.max = 65535, .rule = "64 to 65535",
		.help = "The longest frame to receive, its checksum included."},
	{"ports[].promiscuous", SETTING_BOOL, .preset = "true", IN_PORT(promiscuous),
		.rule = "true or false", .help = "Receive what is addressed to others, too."},
	{"ports[].prefilter", SETTING_CHOICE, .preset = "stack", .choices = PREFILTERS,
		IN_PORT(prefilter), .rule = "\"off\", \"stack\" or \"drop\"",
		.help = "Of an af_xdp: device, where packets go that the rules of no live "
			"recording "
			"keep: to the recorder, which filters them; to the machine's own network "
			"stack, as if nobody recorded; or there too, but for those of a drop rule, "
			"which are dropped in the kernel, for everyone. A NIC drops those of drop "
			"rules itself, as far as its driver can, unless this is \"off\"; one that "
			"the kernel uses as well (mlx5) if it is \"drop\"."},

	{"recordings", SETTING_GROUPS, .reload = true, .max = SETTINGS_LIST_MAX, IN(recordings),
		.count_offset = offsetof(struct settings, recording_count),
		.help = "What is recorded, when and where to. At most 64."},
	{"recordings[].name", SETTING_TEXT, .required = true, .reload = true, IN_RECORDING(name),
		.rule = "1 to 31 of A-Z a-z 0-9 _ . -, not beginning with - or .; each name once",
		.help = "What the recording is called. Names of its files begin with it."},
	{"recordings[].ports", SETTING_TEXTS, .required = true, .reload = true, IN_RECORDING(ports),
		.count_offset = offsetof(struct recording_settings, port_count),
		.max = SETTINGS_LIST_MAX, .rule = "1 to 64 names of ports, each once",
		.help = "The ports to record from."},
	{"recordings[].filter", SETTING_TEXT, LIVE, IN_RECORDING(filter),
		.rule = "an expression of pcap-filter(7)",
		.help = "Which packets to keep. Without it all are kept."},
	{"recordings[].rules_file", SETTING_TEXT, LIVE, IN_RECORDING(rules_file),
		.rule = "an absolute path; not together with rules",
		.help = "A file of rules, one on each line. The first that matches a packet says "
			"whether to keep it, and how much of it; what none matches is dropped."},
	{"recordings[].rules", SETTING_TEXTS, LIVE, IN_RECORDING(rules),
		.count_offset = offsetof(struct recording_settings, rule_count), .max = RULES_MAX,
		.rule = "1 to 100000 rules; not together with rules_file",
		.help = "The same rules as a list."},
	{"recordings[].vlan", SETTING_CHOICE, LIVE, .preset = "any", .choices = VLANS,
		IN_RECORDING(vlan), .rule = "\"any\" or \"strict\"",
		.help = "Whether an expression also finds its packets behind VLAN tags, MPLS "
			"labels and PPPoE, or means of them just what it means to tcpdump."},
	{"recordings[].inner", SETTING_FLAGS, LIVE, IN_RECORDING(inner), .choices = TUNNELS,
		.max = sizeof(TUNNELS) / sizeof(TUNNELS[0]) - 1,
		.rule = "1 to 5 of \"ipip\", \"gre\", \"vxlan\", \"geneve\" and \"gtp-u\", each "
			"once",
		.help = "Tunnels in which the packet inside is looked at as well."},
	{"recordings[].fragments", SETTING_CHOICE, LIVE, .preset = "keep", .choices = FRAGMENTS,
		IN_RECORDING(fragments), .rule = "\"keep\", \"follow\" or \"literal\"",
		.help = "Which fragments that are not the first of their datagram, and so have no "
			"ports, are kept: those that could match; those whose first fragment was "
			"kept, or was not seen; or those that tcpdump would keep."},
	{"recordings[].snaplen", SETTING_TEXT, LIVE, .preset = "262144", IN_RECORDING(snaplen),
		.rule = "\"0\", \"14\" to \"262144\", \"headers\" or \"headers+N\"",
		.help = "How much of each packet to store: bytes, or all headers that are "
			"understood and N bytes after them. \"0\" and \"262144\" store whole "
			"packets."},
	{"recordings[].cutoff", SETTING_SIZE, LIVE, IN_RECORDING(cutoff_bytes), .min = 1,
		.max = UINT32_MAX, .rule = "1 to 4294967295 bytes",
		.help = "How much of each flow, both directions together, is kept from its "
			"beginning. Without it all is."},
	{"recordings[].after", SETTING_CHOICE, LIVE, .preset = "headers", .choices = AFTERS,
		IN_RECORDING(after), .rule = "\"headers\" or \"drop\"; needs cutoff",
		.help = "What is stored of a flow behind its cutoff: the headers of its packets, "
			"or nothing."},
	{"recordings[].cutoff_flows", SETTING_NUMBER, LIVE, .preset = "1000000",
		IN_RECORDING(cutoff_flows), .min = 1024, .max = 268435456,
		.rule = "1024 to 268435456",
		.help = "How many flows at a time each queue remembers for a cutoff. Each takes "
			"32 to 64 bytes of memory; what finds no place is kept."},
	{"recordings[].stripes", SETTING_TEXTS, .required = true, .reload = true,
		IN_RECORDING(stripes),
		.count_offset = offsetof(struct recording_settings, stripe_count),
		.max = SETTINGS_LIST_MAX,
		.rule = "1 to 64 directories that can be written, as absolute paths, each once; or "
			"\"null:\"",
		.help = "Where the files go, one directory on each disk. \"null:\" packs and "
			"throws away."},
	{"recordings[].when", SETTING_CHOICE, .reload = true, .preset = "trigger", .choices = WHENS,
		IN_RECORDING(when), .rule = "\"trigger\", \"always\" or \"windows\"",
		.help = "On demand only (wirespool trigger), all the time, or in windows. Every "
			"recording can be triggered."},
	{"recordings[].windows", SETTING_GROUPS, .reload = true, IN_RECORDING(windows),
		.count_offset = offsetof(struct recording_settings, window_count),
		.max = SETTINGS_LIST_MAX,
		.help = "When the recording is live, with when = \"windows\" and only then. They "
			"may overlap. At most 64."},
	{"recordings[].windows[].days", SETTING_TEXT, .reload = true, IN_WINDOW(days),
		.rule = "\"daily\", or days and ranges of days: \"mon-fri\", \"sat,sun\"; not "
			"together with rrule",
		.help = "The days on which the window opens."},
	{"recordings[].windows[].rrule", SETTING_TEXT, .reload = true, IN_WINDOW(rrule),
		.rule = "a recurrence rule of RFC 5545 that opens at least once, FREQ=MINUTELY to "
			"YEARLY; not together with days",
		.help = "What days cannot say, such as FREQ=MONTHLY;BYDAY=-1FR for the last Friday "
			"of each month."},
	{"recordings[].windows[].start", SETTING_TEXT, .required = true, .reload = true,
		IN_WINDOW(start),
		.rule = "\"HH:MM\" or \"HH:MM:SS\"; with rrule also \"YYYY-MM-DDTHH:MM:SS\"",
		.help = "When it opens, on the clocks of its time zone. With rrule it is DTSTART, "
			"from which INTERVAL and COUNT count; a time alone counts from "
			"2000-01-01."},
	{"recordings[].windows[].length", SETTING_TEXT, .required = true, .reload = true,
		IN_WINDOW(length), .rule = "1s to 366d",
		.help = "How long it stays open, as elapsed time."},
	{"recordings[].windows[].timezone", SETTING_TEXT, .reload = true, IN_WINDOW(timezone),
		.rule = "a name of the IANA time zone database",
		.help = "Whose clocks say when it opens. Without it the machine's own time zone."},
	{"recordings[].rotate", SETTING_GROUP, .reload = true,
		.help = "When a file ends and the next begins."},
	{"recordings[].rotate.bytes", SETTING_SIZE, .reload = true, .preset = "1GiB",
		IN_RECORDING(rotate_bytes), .min = 2 * MIB, .max = 16 * TIB,
		.rule = "2MiB to 16TiB", .help = "A file ends before it gets longer than this."},
	{"recordings[].rotate.every", SETTING_TIME, .reload = true, IN_RECORDING(rotate_ns),
		.min = NS_PER_SEC, .max = 366 * DAY,
		.rule = "1s to 366d; with on_clock at most 24h",
		.help = "A file ends when it covers this much time."},
	{"recordings[].rotate.on_clock", SETTING_BOOL, .reload = true, .preset = "false",
		IN_RECORDING(rotate_on_clock), .rule = "true or false; true needs every",
		.help = "Cut at whole multiples of every since midnight UTC: every = \"5m\" cuts "
			"at :00, :05 and so on."},
	{"recordings[].limit", SETTING_GROUP, .reload = true,
		.help = "When a run ends by itself. Without limits it does not."},
	{"recordings[].limit.bytes", SETTING_SIZE, .reload = true, IN_RECORDING(limit_bytes),
		.min = 1, .max = INT64_MAX, .rule = "more than 0",
		.help = "... when it has stored this much of packets."},
	{"recordings[].limit.time", SETTING_TIME, .reload = true, IN_RECORDING(limit_ns), .min = MS,
		.max = 3660 * DAY, .rule = "1ms to 3660d",
		.help = "... when it has been live for so long."},
	{"recordings[].limit.packets", SETTING_COUNT, .reload = true, IN_RECORDING(limit_pkts),
		.min = 1, .max = INT64_MAX, .rule = "a number more than 0, as text",
		.help = "... when it has stored so many packets."},
	{"recordings[].flush", SETTING_TIME, .reload = true, .preset = "1s", IN_RECORDING(flush_ns),
		.min = 10 * MS, .max = 60 * NS_PER_SEC, .rule = "10ms to 60s",
		.help = "A packet waits in memory for no longer than this before it is on its way "
			"to the disk."},
	{.path = NULL},
};
/* clang-format on */

const struct setting *setting_find(const char *path)
{
	for (const struct setting *s = SETTINGS; s->path != NULL; s++)
		if (strcmp(s->path, path) == 0)
			return s;
	return NULL;
}

enum setting_owner setting_owner(const struct setting *s)
{
	if (strncmp(s->path, "ports[].", 8) == 0)
		return OWNER_PORT;
	if (strncmp(s->path, "recordings[].windows[].", 23) == 0)
		return OWNER_WINDOW;
	return strncmp(s->path, "recordings[].", 13) == 0 ? OWNER_RECORDING : OWNER_SETTINGS;
}

bool setting_is_group(const struct setting *s)
{
	return s->type == SETTING_GROUP || s->type == SETTING_GROUPS;
}

/* Edits that make b of a: letters added, left out, changed. Names are short. */
static unsigned int edit_distance(const char *a, const char *b)
{
	enum { LONGEST = 32 };
	unsigned int row[LONGEST + 1];
	size_t b_length = strlen(b);

	if (strlen(a) > LONGEST || b_length > LONGEST)
		return UINT_MAX;
	for (unsigned int i = 0; i <= b_length; i++)
		row[i] = i;
	for (unsigned int i = 0; a[i] != '\0'; i++) {
		unsigned int diagonal = row[0];

		row[0] = i + 1;
		for (unsigned int k = 0; k < b_length; k++) {
			unsigned int least = diagonal + (a[i] != b[k]);

			diagonal = row[k + 1];
			if (row[k + 1] + 1 < least)
				least = row[k + 1] + 1;
			if (row[k] + 1 < least)
				least = row[k] + 1;
			row[k + 1] = least;
		}
	}
	return row[b_length];
}

const char *setting_suggest(const char *group, const char *name)
{
	size_t length = strlen(group);
	unsigned int best = (unsigned int)strlen(name) / 3 + 1;
	const char *found = NULL;

	for (const struct setting *s = SETTINGS; s->path != NULL; s++) {
		const char *known = s->path + length;
		unsigned int distance;

		if (strncmp(s->path, group, length) != 0 || strpbrk(known, ".[") != NULL)
			continue;
		distance = edit_distance(name, known);
		if (distance <= best) {
			best = distance == 0 ? 0 : distance - 1;
			found = known;
		}
	}
	return found;
}
