#include "prefilter.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "prefilter_build.h"
#include "wirespool/capture.h"
#include "wirespool/errbuf.h"
#include "wirespool/rules.h"

#define PINS_FOLDER "/sys/fs/bpf"
static const char PINS_OURS[] = PINS_FOLDER "/wirespool";
static const char OBJECT[] = "prefilter.bpf.o";
static const char PROGRAM[] = "wirespool_xdp";

enum { TABLES, NETS, COUNTERS, SOCKETS, MAPS };
static const char *const MAP_NAMES[MAPS] = {"tables", "nets", "counters", "xsks_map"};

struct prefilter {
	int ifindex;
	char program[PATH_MAX];
	char pins[sizeof(PINS_OURS) + PORT_NAME_MAX];
	int pins_fd;    /* the folder, locked; -1: no pins */
	int maps[MAPS]; /* -1: not open */
	uint32_t slot;  /* of the rules in force */
	unsigned int rule_count;
	int cpus;
	struct prefilter_counters *of_cpus;
	struct prefilter_counters sum;  /* when they were read last */
	struct prefilter_counters base; /* when the rules in force were set */
	uint64_t rule_pkts[PREFILTER_RULES_MAX];
};

/* Before the driver */

/* The object lies beside the build's programs, or where it was installed to beside them. */
static int find_object(char *ret, size_t size, struct errbuf *why)
{
	static const char *const places[] = {"../capture/", "../" WIRESPOOL_LIBEXEC "/wirespool/"};
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return fail_with(why, -errno, "cannot read /proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	*(strrchr(self, '/') + 1) = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		int len = snprintf(ret, size, "%s%s%s", self, places[i], OBJECT);

		/* A comma would end the driver's argument. */
		if (len > 0 && (size_t)len < size && strchr(ret, ',') == NULL &&
			access(ret, R_OK) == 0)
			return 0;
	}
	return fail_with(why, -ENOENT,
		"there is no %s beside the program: was clang missing when "
		"it was built?",
		OBJECT);
}

static bool is_ours(uint32_t program_id)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(program_id);
	bool ours;

	if (fd < 0)
		return false;
	ours = bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && strcmp(info.name, PROGRAM) == 0;
	(void)close(fd);
	return ours;
}

/* The interface is claimed by us: a program of ours there is left over from a recorder that was killed. */
static int clear_interface(int ifindex, struct errbuf *why)
{
	uint32_t id = 0;
	int r = bpf_xdp_query_id(ifindex, 0, &id);

	if (r < 0)
		return fail_with(
			why, r, "cannot ask for the interface's XDP program: %s", strerror(-r));
	if (id == 0)
		return 0;
	if (!is_ours(id))
		return fail_with(
			why, -EBUSY, "there is another XDP program on the interface (`ip link`)");
	r = bpf_xdp_detach(ifindex, 0, NULL);
	return r == 0 ? 0
		      : fail_with(why, r, "cannot take an old XDP program off the interface: %s",
				strerror(-r));
}

/* The driver does not say why it failed, so the kernel is asked before. libbpf would print its log. */
static int try_object(const char *path, struct errbuf *why)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	int r = object == NULL ? -errno : bpf_object__load(object);

	bpf_object__close(object);
	(void)libbpf_set_print(print);
	return r == 0 ? 0 : fail_with(why, r, "the kernel refuses '%s': %s", path, strerror(-r));
}

int prefilter_new(int ifindex, const char *port, struct prefilter **ret, struct errbuf *why)
{
	struct prefilter *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL)
		return fail_with(why, -ENOMEM, "no memory");
	p->ifindex = ifindex;
	p->pins_fd = -1;
	p->slot = PREFILTER_NO_RULES;
	for (unsigned int i = 0; i < MAPS; i++)
		p->maps[i] = -1;
	(void)snprintf(p->pins, sizeof(p->pins), "%s/%s", PINS_OURS, port);
	/* bpffs takes no names with dots. */
	for (char *dot = p->pins; (dot = strchr(dot, '.')) != NULL;)
		*dot = '_';
	r = find_object(p->program, sizeof(p->program), why);
	if (r < 0)
		goto free_prefilter;
	r = try_object(p->program, why);
	if (r < 0)
		goto free_prefilter;
	r = clear_interface(ifindex, why);
	if (r < 0)
		goto free_prefilter;
	*ret = p;
	return 0;
free_prefilter:
	prefilter_free(p);
	return r;
}

const char *prefilter_program(const struct prefilter *p)
{
	return p->program;
}

/* After the driver */

/* Keeps the map if it is one of ours. */
static void take_map(struct prefilter *p, uint32_t id)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);

	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
		for (unsigned int i = 0; i < MAPS; i++)
			if (p->maps[i] < 0 && strcmp(info.name, MAP_NAMES[i]) == 0) {
				p->maps[i] = fd;
				return;
			}
	(void)close(fd);
}

static void take_maps(struct prefilter *p, int program_fd)
{
	uint32_t ids[MAPS];
	struct bpf_prog_info info = {.nr_map_ids = MAPS, .map_ids = (uintptr_t)ids};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(program_fd, &info, &len) != 0)
		return;
	for (unsigned int i = 0; i < info.nr_map_ids && i < MAPS; i++)
		take_map(p, ids[i]);
}

/* The driver keeps them to itself, but the kernel knows the interface's program, and its maps. */
static int find_maps(struct prefilter *p, struct errbuf *err)
{
	uint32_t id = 0;
	int fd = bpf_xdp_query_id(p->ifindex, 0, &id);

	if (fd == 0)
		fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return fail_with(
			err, fd, "cannot find the XDP program that was loaded: %s", strerror(-fd));
	take_maps(p, fd);
	(void)close(fd);
	for (unsigned int i = 0; i < MAPS; i++)
		if (p->maps[i] < 0)
			return fail_with(err, -ENOENT, "the XDP program that was loaded has no %s",
				MAP_NAMES[i]);
	return 0;
}

/* The folder of the port's pins, locked: while we live, no other recorder with a port of that name has it. */
static int claim_pins(const struct prefilter *p)
{
	struct statfs fs;
	int fd;

	if (statfs(PINS_FOLDER, &fs) < 0 || fs.f_type != BPF_FS_MAGIC)
		return -1;
	if ((mkdir(PINS_OURS, 0700) < 0 && errno != EEXIST) ||
		(mkdir(p->pins, 0700) < 0 && errno != EEXIST))
		return -1;
	fd = open(p->pins, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* Where the folder is ours. */
static void remove_pins(struct prefilter *p)
{
	char path[sizeof(p->pins) + 16];

	if (p->pins_fd < 0)
		return;
	for (unsigned int i = 0; i < MAPS; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", p->pins, MAP_NAMES[i]);
		(void)unlink(path);
	}
	(void)rmdir(p->pins);
	(void)rmdir(PINS_OURS); /* unless other ports have theirs there */
	(void)close(p->pins_fd);
	p->pins_fd = -1;
}

/* For bpftool and the like. Pins of a recorder that was killed are replaced. */
static bool make_pins(struct prefilter *p)
{
	char path[sizeof(p->pins) + 16];

	p->pins_fd = claim_pins(p);
	for (unsigned int i = 0; i < MAPS && p->pins_fd >= 0; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", p->pins, MAP_NAMES[i]);
		(void)unlink(path);
		if (bpf_obj_pin(p->maps[i], path) < 0)
			remove_pins(p);
	}
	return p->pins_fd >= 0;
}

int prefilter_attach(struct prefilter *p, bool *ret_pinned, struct errbuf *err)
{
	int r = find_maps(p, err);

	if (r < 0)
		return r;
	p->cpus = libbpf_num_possible_cpus();
	if (p->cpus < 0)
		return fail_with(
			err, p->cpus, "cannot tell the number of CPUs: %s", strerror(-p->cpus));
	p->of_cpus = calloc((size_t)p->cpus, sizeof(*p->of_cpus));
	if (p->of_cpus == NULL)
		return fail_with(err, -ENOMEM, "no memory for the counters of %d CPUs", p->cpus);
	*ret_pinned = make_pins(p);
	return 0;
}

void prefilter_free(struct prefilter *p)
{
	if (p == NULL)
		return;
	remove_pins(p);
	for (unsigned int i = 0; i < MAPS; i++)
		if (p->maps[i] >= 0)
			(void)close(p->maps[i]);
	free(p->of_cpus);
	free(p);
}

/* Counts */

static int read_counters(struct prefilter *p)
{
	enum { WORDS = sizeof(struct prefilter_counters) / sizeof(uint64_t) };
	const uint32_t first = 0;
	int r = bpf_map_lookup_elem(p->maps[COUNTERS], &first, p->of_cpus);

	if (r < 0)
		return r;
	memset(&p->sum, 0, sizeof(p->sum));
	for (int cpu = 0; cpu < p->cpus; cpu++) {
		const uint64_t *from = (const uint64_t *)&p->of_cpus[cpu];
		uint64_t *to = (uint64_t *)&p->sum;

		for (unsigned int i = 0; i < WORDS; i++)
			to[i] += from[i];
	}
	return 0;
}

int prefilter_get(struct prefilter *p, struct port_prefilter *ret)
{
	const uint64_t *now = p->sum.verdicts[p->slot], *base = p->base.verdicts[p->slot];
	int r = read_counters(p);

	if (r < 0)
		return r;
	for (unsigned int i = 0; i < p->rule_count; i++)
		p->rule_pkts[i] = p->sum.rules[p->slot][i] - p->base.rules[p->slot][i];
	*ret = (struct port_prefilter){
		.redirected_pkts = now[PREFILTER_REDIRECT] - base[PREFILTER_REDIRECT],
		.passed_pkts = now[PREFILTER_PASS] - base[PREFILTER_PASS],
		.dropped_pkts = now[PREFILTER_DROP] - base[PREFILTER_DROP],
		.rule_count = p->rule_count,
		.rule_pkts = p->rule_pkts,
	};
	return 0;
}

int prefilter_totals(struct prefilter *p, struct port_prefilter *ret)
{
	int r = read_counters(p);

	if (r < 0)
		return r;
	*ret = (struct port_prefilter){0};
	for (unsigned int slot = 0; slot <= PREFILTER_NO_RULES; slot++) {
		ret->redirected_pkts += p->sum.verdicts[slot][PREFILTER_REDIRECT];
		ret->passed_pkts += p->sum.verdicts[slot][PREFILTER_PASS];
		ret->dropped_pkts += p->sum.verdicts[slot][PREFILTER_DROP];
	}
	return 0;
}

/* Rules */

/* Puts a map into a place of a map of maps, which keeps it from then on. */
static int place_map(int maps_fd, uint32_t place, int fd)
{
	int r = bpf_map_update_elem(maps_fd, &place, &fd, BPF_ANY);

	(void)close(fd);
	return r;
}

static int place_nets(const struct prefilter *p, const struct prefilter_build *b)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
	int fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "nets", sizeof(struct prefilter_net),
		sizeof(struct prefilter_vector), PREFILTER_SIDES * PREFILTER_ROWS_MAX, &options);
	int r = 0;

	if (fd < 0)
		return fd;
	for (unsigned int i = 0; i < b->entry_count && r == 0; i++)
		r = bpf_map_update_elem(fd, &b->entries[i].net, &b->entries[i].rows, BPF_ANY);
	if (r == 0)
		return place_map(p->maps[NETS], b->table.slot, fd);
	(void)close(fd);
	return r;
}

/*
 * The one store that makes the rules those in force. The kernel returns from it when no program runs any more that
 * has seen the table before: then that one's slot can be used again.
 */
static int place_table(const struct prefilter *p, const struct prefilter_table *t)
{
	const uint32_t first = 0;
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "table", sizeof(uint32_t), sizeof(*t), 1, NULL);
	int r;

	if (fd < 0)
		return fd;
	r = bpf_map_update_elem(fd, &first, t, BPF_ANY);
	if (r == 0)
		return place_map(p->maps[TABLES], 0, fd);
	(void)close(fd);
	return r;
}

static int redirect_all(struct prefilter *p, struct errbuf *err)
{
	const uint32_t first = 0;
	int r = read_counters(p);

	if (r == 0 && p->slot != PREFILTER_NO_RULES)
		r = bpf_map_delete_elem(p->maps[TABLES], &first);
	if (r < 0)
		return fail_with(err, r, "cannot take the rules away: %s", strerror(-r));
	p->base = p->sum;
	p->slot = PREFILTER_NO_RULES;
	p->rule_count = 0;
	return 0;
}

int prefilter_set(struct prefilter *p, const struct rules *rules, struct errbuf *err)
{
	struct prefilter_build *b;
	int r;

	if (rules == NULL)
		return redirect_all(p, err);
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return fail_with(err, -ENOMEM, "%s: no memory for a prefilter", rules->name);
	r = prefilter_build(rules, p->slot == 0 ? 1 : 0, b, err);
	if (r < 0)
		goto free_build;
	r = place_nets(p, b);
	if (r == 0)
		r = read_counters(p);
	if (r == 0)
		r = place_table(p, &b->table);
	if (r < 0) {
		(void)fail_with(err, r, "%s: the kernel does not take the rules: %s", rules->name,
			strerror(-r));
		goto free_build;
	}
	/* Nobody has counted there since the rules before the last. */
	p->base = p->sum;
	p->slot = b->table.slot;
	p->rule_count = rules->count;
free_build:
	free(b);
	return r;
}
