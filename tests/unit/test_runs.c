/* The life of runs, with doubles for capture, writers, archive and schedule. */
/* rooms: control common */
#include "control/runs.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "suite_main.h"
#include "wirespool/archive.h"
#include "wirespool/units.h"

#define SECOND NS_PER_SEC
#define NOON   1795435200000000000ULL /* 2026-11-23T12:00:00Z */

/* Doubles: each counts what is out, so that a test can say that nothing is. */

struct port {
	struct port_info info;
};

struct packet_ring {
	unsigned int queue;
	uint32_t interface_id;
};

struct stripe {
	const char *path;
};

struct writer {
	unsigned int rings;
};

struct run {
	char id[RUN_ID_MAX];
	bool finished, ended, limit, abandoned;
	uint64_t described_ns;
	struct run_ledger ledger;
	struct packet_ring *first;
};

struct window {
	struct occurrence occurrences[8];
	unsigned int count;
};

static struct {
	uint64_t now_ns;
	int filters, tables, stripes, rings, runs; /* handed out and not given back */
	struct choice *ready;  /* of all recordings; NULL: a new one for each that asks */
	struct choice *before; /* what is ready when that is refused */
	unsigned int refused;
	const struct rules *wants[64]; /* of the last plan; only compared */
	unsigned int want_count;
	uint64_t tables_take_ns;
	int fail_tables, fail_filter, fail_stripe, fail_ring_at, fail_run, fail_publish;
	unsigned int rings_made, runs_made, publishes;
	struct rx_rule plan[64];
	unsigned int plan_count;
	struct run *all[64];
	char files[4][64];
	bool sealed[4];
	unsigned int file_count;
	const char *fail_recover;                   /* a path */
	const char *empty_file;                     /* likewise */
	bool recover_slowly;                        /* each waits for slow_disk */
	_Atomic unsigned int recovering, recovered; /* begun, done */
} world;

static sem_t slow_disk;

uint64_t capture_now_ns(void)
{
	return world.now_ns;
}

void port_get_info(const struct port *p, struct port_info *ret)
{
	*ret = p->info;
}

struct packet_ring *port_ring_new(const struct port *p, unsigned int queue, uint32_t interface_id)
{
	struct packet_ring *r;

	(void)p;
	if (world.fail_ring_at > 0 && --world.fail_ring_at == 0)
		return NULL;
	r = malloc(sizeof(*r));
	*r = (struct packet_ring){.queue = queue, .interface_id = interface_id};
	world.rings++;
	world.rings_made++;
	return r;
}

static bool in_plan(const struct packet_ring *ring)
{
	for (unsigned int i = 0; i < world.plan_count; i++) {
		for (unsigned int q = 0; q < world.plan[i].port->info.queues; q++) {
			if (world.plan[i].rings[q] == ring)
				return true;
		}
	}
	return false;
}

void packet_ring_free(struct packet_ring *r)
{
	ck_assert_msg(!in_plan(r), "a ring was freed that rx lcores use");
	free(r);
	world.rings--;
}

int rx_plan_publish(const struct rx_rule rules[], unsigned int count, struct errbuf *err)
{
	if (world.fail_publish > 0) {
		world.fail_publish--;
		return fail_with(err, -ENOMEM, "no memory for a plan");
	}
	world.publishes++;
	for (unsigned int i = 0; i < count; i++)
		world.plan[i] = rules[i];
	world.plan_count = count;
	return 0;
}

/* Choices: of generation 1, until a test has another one ready. */

struct filter {
	unsigned int number;
};

static struct choice *choice_new(unsigned int generation)
{
	struct choice *c = calloc(1, sizeof(*c));

	c->filter = calloc(1, sizeof(struct filter));
	c->settings.cut = (struct cut){.snaplen = 96};
	c->text = strdup("");
	c->references = 1;
	c->generation = generation;
	world.filters++;
	return c;
}

int choice_make(const struct recording_settings *r, int linktype, int socket_id,
	struct choice **ret, struct errbuf *err)
{
	(void)r;
	(void)linktype;
	(void)socket_id;
	if (world.fail_filter)
		return fail_with(err, -EINVAL, "syntax error in filter");
	*ret = choice_new(0);
	return 0;
}

struct choice *choice_share(struct choice *c)
{
	c->references++;
	return c;
}

void choice_release(struct choice *c)
{
	if (c == NULL || --c->references > 0)
		return;
	for (unsigned int i = 0; i < world.plan_count; i++) {
		ck_assert_ptr_ne(world.plan[i].now.filter, c->filter);
		if (world.plan[i].switch_ns != UINT64_MAX)
			ck_assert_ptr_ne(world.plan[i].next.filter, c->filter);
	}
	free(c->filter);
	free(c->text);
	free(c);
	world.filters--;
}

int choices_want(struct choices *cs, const struct recording_settings *r, int linktype,
	int socket_id, struct errbuf *err)
{
	(void)cs;
	(void)r;
	(void)linktype;
	(void)socket_id;
	(void)err;
	return 0;
}

void choices_keep(struct choices *cs, const struct settings *s)
{
	(void)cs;
	(void)s;
}

bool choices_poll(struct choices *cs)
{
	(void)cs;
	return false;
}

struct choice *choices_get(struct choices *cs, const char *recording_name, int linktype)
{
	(void)cs;
	(void)linktype;
	(void)recording_name;
	if (world.fail_filter)
		return NULL;
	/* Who asks has a share; without one of the test's own nothing else holds it. */
	return world.ready != NULL ? choice_share(world.ready) : choice_new(1);
}

bool choices_state(const struct choices *cs, const char *recording_name, struct choice_state *ret)
{
	(void)cs;
	(void)recording_name;
	*ret = (struct choice_state){.error = "syntax error in filter"};
	return true;
}

bool choices_refuse(struct choices *cs, const char *recording_name, unsigned int generation,
	const struct errbuf *why)
{
	(void)cs;
	(void)recording_name;
	(void)why;
	ck_assert_uint_eq(world.ready->generation, generation);
	world.refused++;
	choice_release(world.ready);
	world.ready = world.before;
	world.before = NULL;
	return world.ready != NULL;
}

const char *filter_engine(const struct filter *f)
{
	(void)f;
	return "jit";
}

struct filter_tables {
	unsigned int queues;
	const struct filter_tables *before; /* only compared */
};

int filter_tables_new(const struct filter_options *options, unsigned int queues, int socket_id,
	const struct filter_tables *before, struct filter_tables **ret_tables, struct errbuf *err)
{
	(void)socket_id;
	*ret_tables = NULL;
	if (options->cutoff_bytes == 0)
		return 0;
	if (world.fail_tables > 0) {
		world.fail_tables--;
		return fail_with(err, -ENOMEM, "no memory for a cutoff");
	}
	world.now_ns += world.tables_take_ns;
	*ret_tables = calloc(1, sizeof(struct filter_tables));
	(*ret_tables)->queues = queues;
	(*ret_tables)->before = before;
	world.tables++;
	return 0;
}

void filter_tables_free(struct filter_tables *t)
{
	if (t == NULL)
		return;
	for (unsigned int i = 0; i < world.plan_count; i++) {
		ck_assert_ptr_ne(world.plan[i].now.tables, t);
		if (world.plan[i].switch_ns != UINT64_MAX)
			ck_assert_ptr_ne(world.plan[i].next.tables, t);
	}
	free(t);
	world.tables--;
	world.now_ns += world.tables_take_ns;
}

void filter_tables_count(const struct filter_tables *t, struct filter_counts *ret)
{
	*ret = (struct filter_counts){.beyond_pkts = t->queues};
}

/* Prefilters have a test of their own; here counts what runs want of them. */

void prefilters_begin(struct prefilters *ps)
{
	(void)ps;
	world.want_count = 0;
}

void prefilters_want(struct prefilters *ps, const struct port *p, const struct rules *rules)
{
	(void)ps;
	(void)p;
	world.wants[world.want_count++] = rules;
}

void prefilters_widen(struct prefilters *ps)
{
	(void)ps;
}

void prefilters_narrow(struct prefilters *ps)
{
	(void)ps;
}

int run_redescribe(
	struct run *r, const struct run_options *options, uint64_t from_ns, struct errbuf *err)
{
	(void)err;
	ck_assert_ptr_nonnull(options->comment);
	r->described_ns = from_ns;
	return 0;
}

int stripe_open(const char *path, struct stripe **ret_stripe, struct errbuf *err)
{
	if (world.fail_stripe > 0 && --world.fail_stripe == 0)
		return fail_with(err, -EROFS, "'%s' is read-only", path);
	*ret_stripe = malloc(sizeof(struct stripe));
	(*ret_stripe)->path = path;
	world.stripes++;
	return 0;
}

void stripe_close(struct stripe *st)
{
	free(st);
	world.stripes--;
}

void stripe_get_info(const struct stripe *st, struct stripe_info *ret)
{
	*ret = (struct stripe_info){.path = st->path};
}

int run_start(const struct run_options *options, const struct run_share shares[],
	unsigned int share_count, struct run **ret_run, struct errbuf *err)
{
	struct run *r;

	if (world.fail_run)
		return fail_with(err, -ENOMEM, "no chunk");
	ck_assert_uint_gt(share_count, 0);
	for (unsigned int i = 0; i < share_count; i++) {
		ck_assert_uint_gt(shares[i].ring_count, 0);
		shares[i].writer->rings += shares[i].ring_count;
	}
	r = calloc(1, sizeof(*r));
	(void)snprintf(r->id, sizeof(r->id), "%s", options->id);
	r->first = shares[0].rings[0];
	world.all[world.runs_made++] = r;
	world.runs++;
	*ret_run = r;
	return 0;
}

void run_finish(struct run *r)
{
	ck_assert_msg(!in_plan(r->first), "writers were told to finish while packets still come");
	ck_assert(!r->finished);
	r->finished = true;
}

void run_abandon(struct run *r)
{
	ck_assert(r->finished);
	r->abandoned = r->ended = true;
}

bool run_ended(const struct run *r)
{
	return r->ended;
}

bool run_limit_reached(const struct run *r)
{
	return r->limit;
}

void run_get_ledger(const struct run *r, struct run_ledger *ret)
{
	*ret = r->ledger;
}

uint64_t run_files(
	const struct run *r, void (*each)(const char *path, bool sealed, void *arg), void *arg)
{
	(void)r;
	for (unsigned int i = 0; each != NULL && i < world.file_count; i++)
		each(world.files[i], world.sealed[i], arg);
	return world.file_count;
}

uint64_t run_queued_bytes(const struct run *r)
{
	(void)r;
	return 0;
}

void run_free(struct run *r)
{
	ck_assert(r->ended);
	free(r);
	world.runs--;
}

/* On the thread of the recovery. */
int archive_recover(const char *path, struct recover_report *ret_report, struct errbuf *why)
{
	(void)atomic_fetch_add(&world.recovering, 1);
	if (world.recover_slowly)
		(void)sem_wait(&slow_disk);
	(void)atomic_fetch_add(&world.recovered, 1);
	if (world.fail_recover != NULL && strcmp(path, world.fail_recover) == 0)
		return fail_with(why, -EIO, "'%s' cannot be read", path);
	*ret_report = (struct recover_report){.pkts = 7};
	ret_report->removed = world.empty_file != NULL && strcmp(path, world.empty_file) == 0;
	if (!ret_report->removed)
		(void)snprintf(ret_report->sealed_path, sizeof(ret_report->sealed_path), "%.*s",
			(int)(strlen(path) - strlen(".part")), path);
	return 0;
}

int window_next(const struct window *w, uint64_t after_ns, struct occurrence *ret)
{
	for (unsigned int i = 0; i < w->count; i++) {
		if (w->occurrences[i].start_ns >= after_ns) {
			*ret = w->occurrences[i];
			return 0;
		}
	}
	return -ENOENT;
}

unsigned int window_open_at(
	const struct window *w, uint64_t now_ns, struct occurrence ret[], unsigned int max)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < w->count && n < max; i++) {
		if (w->occurrences[i].start_ns <= now_ns && now_ns < w->occurrences[i].end_ns)
			ret[n++] = w->occurrences[i];
	}
	return n;
}

static struct port ports[3];
static struct writer writers[2];
static struct port *port_list[] = {&ports[0], &ports[1], &ports[2]};
static struct writer *writer_list[] = {&writers[0], &writers[1]};
static struct window window;
static struct runs *rs;
static struct errbuf err;

static char left[] = "left", right[] = "right", raw[] = "raw", disk[] = "/disk", disk2[] = "/disk2";
static char *left_only[] = {left}, *left_right[] = {left, right}, *left_raw[] = {left, raw};
static char *left_left[] = {left, left}, *disks[] = {disk, disk2};
static struct window *windows[] = {&window};
static char office[] = "office", tcp[] = "tcp", v1[] = "v1", v2[] = "v2";

static struct recording_settings recording;
static struct settings settings;

static void set_port(unsigned int i, const char *name, int linktype, unsigned int queues)
{
	ports[i].info = (struct port_info){
		.clock = "tsc", .linktype = linktype, .queues = queues, .link_up = true};
	(void)snprintf(ports[i].info.name, sizeof(ports[i].info.name), "%s", name);
}

static void set_up_keeping(unsigned int ended_kept)
{
	const struct runs_options options = {
		.ports = port_list,
		.port_count = 3,
		.writers = writer_list,
		.writer_count = 2,
		.ended_kept = ended_kept,
	};

	memset(&world, 0, sizeof(world));
	(void)sem_init(&slow_disk, 0, 0);
	memset(writers, 0, sizeof(writers));
	memset(&window, 0, sizeof(window));
	world.now_ns = NOON;
	set_port(0, "left", 1, 2);
	set_port(1, "right", 1, 1);
	set_port(2, "raw", 101, 1);
	recording = (struct recording_settings){
		.name = office,
		.ports = left_only,
		.port_count = 1,
		.stripes = disks,
		.stripe_count = 2,
		.filter = tcp,
		.cut = {.snaplen = 96},
		.windows = windows,
		.window_count = 1,
		.fingerprint = v1,
	};
	settings = (struct settings){.recordings = &recording, .recording_count = 1};
	ck_assert_int_eq(runs_new(&options, &rs, &err), 0);
}

static void set_up(void)
{
	set_up_keeping(64);
}

static void nothing_is_held(void)
{
	ck_assert_int_eq(world.filters, 0);
	ck_assert_int_eq(world.stripes, 0);
	ck_assert_int_eq(world.rings, 0);
	ck_assert_int_eq(world.runs, 0);
	ck_assert_uint_eq(world.plan_count, 0);
}

static struct choice *make_ready(unsigned int generation, uint64_t cutoff_bytes)
{
	struct choice *c = choice_new(generation);

	c->options.cutoff_bytes = cutoff_bytes;
	world.ready = c;
	return c;
}

/* The test's own share of what is ready. */
static void release_ready(void)
{
	struct choice *c = world.ready;

	world.ready = NULL;
	choice_release(c);
}

/* Ends all that is live, and holds that nothing stays behind. */
static void tear_down(void)
{
	release_ready();
	runs_close(rs);
	world.now_ns += SECOND;
	runs_tick(rs);
	for (unsigned int i = 0; i < world.runs_made; i++) {
		if (runs_all_ended(rs))
			break;
		(void)runs_abandon(rs);
		runs_tick(rs);
	}
	ck_assert(runs_all_ended(rs));
	nothing_is_held();
	runs_free(rs);
}

static void tick_at(uint64_t now_ns)
{
	world.now_ns = now_ns;
	runs_tick(rs);
}

static const struct recording_run *trigger(uint64_t for_ns)
{
	const char *id;

	ck_assert_int_eq(runs_trigger(rs, &recording, for_ns, false, &id, &err), 0);
	for (unsigned int i = 0; runs_active(rs, i) != NULL; i++) {
		if (strcmp(runs_active(rs, i)->id, id) == 0)
			return runs_active(rs, i);
	}
	ck_abort_msg("the run has no place in the list");
}

static void one_window(uint64_t start_ns, uint64_t end_ns)
{
	recording.when = WHEN_WINDOWS;
	window.occurrences[window.count++] =
		(struct occurrence){.start_ns = start_ns, .end_ns = end_ns};
}

static void fails_and_holds_nothing(int error, const char *part)
{
	const char *id = NULL;

	ck_assert_int_eq(runs_trigger(rs, &recording, 0, false, &id, &err), error);
	ck_assert_msg(strstr(err.text, part) != NULL, "'%s' is not in '%s'", part, err.text);
	ck_assert_ptr_null(id);
	ck_assert_ptr_null(runs_active(rs, 0));
	ck_assert_uint_eq(world.publishes, 0);
	nothing_is_held();
}

START_TEST(filter_that_fails_leaves_nothing_behind)
{
	world.fail_filter = 1;
	fails_and_holds_nothing(-EINVAL, "syntax error");
}
END_TEST

START_TEST(second_stripe_that_fails_gives_back_the_first)
{
	world.fail_stripe = 2;
	fails_and_holds_nothing(-EROFS, "/disk2");
}
END_TEST

START_TEST(second_ring_without_memory_gives_back_the_first)
{
	world.fail_ring_at = 2;
	fails_and_holds_nothing(-ENOMEM, "queue 1");
	ck_assert_uint_eq(world.rings_made, 1);
}
END_TEST

START_TEST(writers_that_do_not_start_leave_nothing_behind)
{
	world.fail_run = 1;
	fails_and_holds_nothing(-ENOMEM, "no chunk");
}
END_TEST

START_TEST(port_that_is_not_open_is_named)
{
	static char nobody[] = "nobody";
	char *names[] = {nobody};

	recording.ports = names;
	fails_and_holds_nothing(-ENOENT, "'nobody'");
}
END_TEST

START_TEST(ports_of_different_link_type_do_not_make_one_recording)
{
	recording.ports = left_raw;
	recording.port_count = 2;
	fails_and_holds_nothing(-EINVAL, "link type");
}
END_TEST

START_TEST(port_named_twice_is_an_error)
{
	recording.ports = left_left;
	recording.port_count = 2;
	fails_and_holds_nothing(-EINVAL, "twice");
}
END_TEST

START_TEST(plan_that_cannot_be_published_lets_writers_finish_and_tells_nobody_of_the_run)
{
	const char *id;

	world.fail_publish = 1;
	ck_assert_int_eq(runs_trigger(rs, &recording, 0, false, &id, &err), -ENOMEM);
	ck_assert_ptr_null(runs_active(rs, 0));
	ck_assert(world.all[0]->finished);
	ck_assert(!runs_all_ended(rs));
	world.all[0]->ended = true;
	runs_tick(rs);
	ck_assert(runs_all_ended(rs));
	ck_assert_ptr_null(runs_ended(rs, 0));
	nothing_is_held();
}
END_TEST

START_TEST(run_that_cannot_leave_the_plan_stays_whole_until_it_can)
{
	const struct recording_run *r = trigger(10 * SECOND);

	world.fail_publish = 1;
	tick_at(NOON + 10 * SECOND);
	ck_assert_int_eq(r->state, RUN_LIVE);
	ck_assert(!world.all[0]->finished);
	tick_at(NOON + 10 * SECOND + 1);
	ck_assert_int_eq(r->state, RUN_FINISHING);
}
END_TEST

START_TEST(window_that_fails_to_open_is_tried_again_each_second_while_it_lasts)
{
	one_window(NOON, NOON + 3600 * SECOND);
	world.fail_filter = 1;
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	tick_at(NOON + SECOND);
	world.fail_filter = 0;
	tick_at(NOON + SECOND + SECOND / 2);
	ck_assert_ptr_null(runs_active(rs, 0)); /* not before its second */
	tick_at(NOON + 2 * SECOND);
	ck_assert_ptr_nonnull(runs_active(rs, 0));
	ck_assert_uint_eq(runs_active(rs, 0)->start_ns, NOON + 2 * SECOND);
	ck_assert_uint_eq(runs_active(rs, 0)->end_ns, NOON + 3600 * SECOND);
}
END_TEST

static void add_file(const char *path, bool sealed)
{
	(void)snprintf(world.files[world.file_count], sizeof(world.files[0]), "%s", path);
	world.sealed[world.file_count++] = sealed;
}

/* Until the first run is through; Check's time limit says when it never is. */
static const struct recording_run *wait_for_end(void)
{
	while (runs_ended(rs, 0) == NULL) {
		runs_tick(rs);
		(void)sched_yield();
	}
	return runs_ended(rs, 0);
}

/* A run whose writers are done, with two files that their disk gave up on. */
static const struct recording_run *run_with_given_up_files(void)
{
	const struct recording_run *r = trigger(SECOND);

	add_file("/disk/a.pcapng", true);
	add_file("/disk2/b.pcapng.part", false);
	add_file("/disk2/c.pcapng.part", false);
	tick_at(NOON + SECOND);
	ck_assert_uint_eq(world.recovered, 0);
	world.all[0]->ended = true;
	tick_at(NOON + 2 * SECOND);
	return r;
}

START_TEST(files_that_were_given_up_are_recovered_before_their_run_is_called_ended)
{
	const struct recording_run *r;

	(void)run_with_given_up_files();
	r = wait_for_end();
	ck_assert_uint_eq(world.recovered, 2);
	ck_assert_uint_eq(r->files_kept, 3);
	ck_assert_str_eq(r->files[1].path, "/disk2/b.pcapng");
	ck_assert_str_eq(r->files[2].path, "/disk2/c.pcapng");
	ck_assert(r->files[2].sealed);
}
END_TEST

START_TEST(file_that_cannot_be_recovered_keeps_its_name_and_ends_its_run_all_the_same)
{
	const struct recording_run *r;

	world.fail_recover = "/disk2/b.pcapng.part";
	(void)run_with_given_up_files();
	r = wait_for_end();
	ck_assert_str_eq(r->files[1].path, "/disk2/b.pcapng.part");
	ck_assert(!r->files[1].sealed);
	ck_assert_str_eq(r->files[2].path, "/disk2/c.pcapng");
}
END_TEST

START_TEST(file_that_recovery_removed_is_not_a_file_of_its_run)
{
	const struct recording_run *r;

	world.empty_file = "/disk2/b.pcapng.part";
	(void)run_with_given_up_files();
	r = wait_for_end();
	ck_assert_uint_eq(r->files_kept, 2);
	ck_assert_uint_eq(r->files_count, 2);
	ck_assert_str_eq(r->files[0].path, "/disk/a.pcapng");
	ck_assert_str_eq(r->files[1].path, "/disk2/c.pcapng");
}
END_TEST

START_TEST(recovery_that_takes_long_holds_up_no_tick_and_no_disk)
{
	const struct recording_run *r;

	world.recover_slowly = true;
	r = run_with_given_up_files();
	ck_assert_int_eq(r->state, RUN_FINISHING);
	nothing_is_held();
	world.file_count = 0;
	ck_assert_int_eq(trigger(0)->state, RUN_LIVE);
	tick_at(NOON + 3 * SECOND);
	ck_assert_int_eq(r->state, RUN_FINISHING);
	ck_assert(!runs_all_ended(rs));
	(void)sem_post(&slow_disk);
	(void)sem_post(&slow_disk);
	ck_assert_ptr_eq(wait_for_end(), r);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_LIVE);
}
END_TEST

START_TEST(recovery_is_waited_for_until_the_run_is_abandoned)
{
	world.recover_slowly = true;
	(void)run_with_given_up_files();
	runs_close(rs);
	while (world.recovering == 0)
		(void)sched_yield();
	runs_tick(rs);
	ck_assert(!runs_all_ended(rs));
	ck_assert_uint_eq(runs_abandon(rs), 1);
	ck_assert_uint_eq(runs_abandon(rs), 0);
	runs_tick(rs);
	ck_assert(runs_all_ended(rs));
	ck_assert_str_eq(runs_ended(rs, 0)->files[1].path, "/disk2/b.pcapng.part");
	(void)sem_post(&slow_disk);
	while (world.recovered == 0)
		(void)sched_yield();
	runs_tick(rs); /* what comes too late is for nobody */
	ck_assert_str_eq(runs_ended(rs, 0)->files[1].path, "/disk2/b.pcapng.part");
}
END_TEST

START_TEST(file_of_an_abandoned_run_is_not_waited_for)
{
	(void)trigger(0);
	add_file("/disk/a.pcapng.part", false);
	runs_close(rs);
	ck_assert_uint_eq(runs_abandon(rs), 1);
	ck_assert_uint_eq(runs_abandon(rs), 0);
	runs_tick(rs);
	ck_assert_uint_eq(world.recovered, 0);
	ck_assert_str_eq(runs_ended(rs, 0)->files[0].path, "/disk/a.pcapng.part");
}
END_TEST

START_TEST(plan_says_what_the_recording_says_for_each_port)
{
	const struct recording_run *r;

	recording.ports = left_right;
	recording.port_count = 2;
	r = trigger(10 * SECOND);
	ck_assert_int_eq(r->state, RUN_LIVE);
	ck_assert_uint_eq(world.plan_count, 2);
	ck_assert_ptr_eq(world.plan[1].port, &ports[1]);
	ck_assert_uint_eq(world.plan[1].start_ns, NOON);
	ck_assert_uint_eq(world.plan[1].end_ns, NOON + 10 * SECOND);
	ck_assert_uint_eq(world.plan[1].now.cut.snaplen, 96);
	ck_assert_uint_eq(world.plan[0].rings[1]->queue, 1);
	ck_assert_uint_eq(world.plan[0].rings[1]->interface_id, 0);
	ck_assert_uint_eq(world.plan[1].rings[0]->interface_id, 1);
}
END_TEST

START_TEST(rings_are_spread_over_writers_and_the_next_run_begins_with_the_next_writer)
{
	recording.ports = &left_right[1];
	(void)trigger(0);
	ck_assert_uint_eq(writers[0].rings, 1);
	ck_assert_uint_eq(writers[1].rings, 0);
	(void)trigger(0);
	ck_assert_uint_eq(writers[1].rings, 1);
	recording.ports = left_only;
	(void)trigger(0);
	ck_assert_uint_eq(writers[0].rings, 2);
	ck_assert_uint_eq(writers[1].rings, 2);
}
END_TEST

START_TEST(id_is_recording_and_utc_start_and_moves_on_when_it_is_taken)
{
	world.now_ns += 123456789;
	ck_assert_str_eq(trigger(0)->id, "office-20261123T120000.123Z");
	ck_assert_str_eq(trigger(0)->id, "office-20261123T120000.124Z");
}
END_TEST

START_TEST(limit_of_time_ends_a_run_that_would_last_longer)
{
	recording.limit_ns = 5 * SECOND;
	ck_assert_uint_eq(trigger(10 * SECOND)->end_ns, NOON + 5 * SECOND);
	ck_assert_uint_eq(trigger(3 * SECOND)->end_ns, NOON + 3 * SECOND);
	ck_assert_uint_eq(trigger(0)->end_ns, NOON + 5 * SECOND);
}
END_TEST

START_TEST(run_ends_when_its_limit_is_reached)
{
	const struct recording_run *r = trigger(0);

	world.all[0]->limit = true;
	tick_at(NOON + SECOND);
	ck_assert_int_eq(r->state, RUN_FINISHING);
	ck_assert_uint_eq(r->end_ns, NOON + SECOND);
	ck_assert_uint_eq(world.plan_count, 0);
}
END_TEST

START_TEST(run_ends_when_the_last_of_its_ports_ended)
{
	const struct recording_run *r;

	recording.ports = left_right;
	recording.port_count = 2;
	r = trigger(0);
	ports[0].info.ended = true;
	tick_at(NOON + SECOND);
	ck_assert_int_eq(r->state, RUN_LIVE);
	ports[1].info.ended = true;
	tick_at(NOON + 2 * SECOND);
	ck_assert_int_eq(r->state, RUN_FINISHING);
}
END_TEST

START_TEST(packets_that_the_kernel_stamped_are_waited_for_after_the_end)
{
	const struct recording_run *r;

	ports[0].info.clock = "kernel";
	r = trigger(SECOND);
	tick_at(NOON + SECOND + RUNS_GRACE_NS - 1);
	ck_assert_int_eq(r->state, RUN_LIVE);
	tick_at(NOON + SECOND + RUNS_GRACE_NS);
	ck_assert_int_eq(r->state, RUN_FINISHING);
	ck_assert_uint_eq(r->end_ns, NOON + SECOND);
}
END_TEST

START_TEST(stop_of_such_a_run_publishes_its_end_first)
{
	ports[0].info.clock = "kernel";
	(void)trigger(0);
	world.now_ns = NOON + SECOND;
	ck_assert_uint_eq(runs_stop(rs, "office", NULL, NULL), 1);
	ck_assert_uint_eq(world.plan_count, 1);
	ck_assert_uint_eq(world.plan[0].end_ns, NOON + SECOND);
}
END_TEST

START_TEST(stop_by_id_ends_that_run_alone)
{
	const struct recording_run *first = trigger(0), *second = trigger(0);

	ck_assert_uint_eq(runs_stop(rs, second->id, NULL, NULL), 1);
	ck_assert_int_eq(first->state, RUN_LIVE);
	ck_assert_int_eq(second->state, RUN_FINISHING);
	ck_assert_uint_eq(runs_stop(rs, "nobody", NULL, NULL), 0);
	ck_assert_uint_eq(runs_stop(rs, second->id, NULL, NULL), 0);
}
END_TEST

START_TEST(ledger_of_an_ended_run_is_the_writers_last_word)
{
	(void)trigger(SECOND);
	tick_at(NOON + SECOND);
	world.all[0]->ledger = (struct run_ledger){.received_pkts = 10, .written_pkts = 10};
	world.all[0]->ended = true;
	tick_at(NOON + 2 * SECOND);
	ck_assert_int_eq(runs_ended(rs, 0)->state, RUN_ENDED);
	ck_assert_uint_eq(runs_ended(rs, 0)->ledger.written_pkts, 10);
	ck_assert(!runs_lost_any(rs));
	nothing_is_held();
}
END_TEST

START_TEST(loss_is_remembered_when_its_run_is_forgotten)
{
	runs_free(rs);
	set_up_keeping(1);
	for (unsigned int i = 0; i < 2; i++) {
		(void)trigger(0);
		world.all[i]->ledger =
			(struct run_ledger){.received_pkts = 1, .lost_disk_pkts = i == 0};
		(void)runs_stop(rs, NULL, NULL, NULL);
		world.all[i]->ended = true;
		runs_tick(rs);
	}
	ck_assert_uint_eq(runs_ended(rs, 0)->ledger.lost_disk_pkts, 0);
	ck_assert_ptr_null(runs_ended(rs, 1));
	ck_assert_uint_eq(runs_forgotten(rs), 1);
	ck_assert(runs_lost_any(rs));
}
END_TEST

START_TEST(window_is_in_the_plan_half_a_second_before_its_start_with_its_exact_times)
{
	one_window(NOON + 60 * SECOND, NOON + 120 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	tick_at(NOON + 57 * SECOND);
	ck_assert_uint_eq(world.plan_count, 0);
	tick_at(NOON + 60 * SECOND - SECOND / 2);
	ck_assert_uint_eq(world.plan_count, 1);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_ARMED);
	ck_assert_uint_eq(world.plan[0].start_ns, NOON + 60 * SECOND);
	ck_assert_uint_eq(world.plan[0].end_ns, NOON + 120 * SECOND);
	tick_at(NOON + 60 * SECOND);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_LIVE);
	tick_at(NOON + 120 * SECOND);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_FINISHING);
	ck_assert_uint_eq(world.runs_made, 1);
}
END_TEST

START_TEST(daemon_started_inside_a_window_joins_it)
{
	one_window(NOON - 60 * SECOND, NOON + 60 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	ck_assert_uint_eq(runs_active(rs, 0)->start_ns, NOON);
	ck_assert_uint_eq(runs_active(rs, 0)->end_ns, NOON + 60 * SECOND);
	ck_assert(runs_live_in(rs, "office", &window.occurrences[0]));
}
END_TEST

START_TEST(overlapping_windows_are_two_runs_at_a_time)
{
	one_window(NOON + 10 * SECOND, NOON + 100 * SECOND);
	one_window(NOON + 20 * SECOND, NOON + 110 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	for (unsigned int i = 0; i <= 50; i++)
		tick_at(NOON + i * SECOND);
	ck_assert_uint_eq(world.runs_made, 2);
	ck_assert_uint_eq(world.plan_count, 2);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_LIVE);
	ck_assert_int_eq(runs_active(rs, 1)->state, RUN_LIVE);
}
END_TEST

START_TEST(window_whose_run_was_stopped_is_not_opened_again_also_after_a_reload)
{
	one_window(NOON, NOON + 1000 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	ck_assert_uint_eq(runs_stop(rs, "office", NULL, NULL), 1);
	tick_at(NOON + 100 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	tick_at(NOON + 200 * SECOND);
	ck_assert_uint_eq(world.runs_made, 1);
}
END_TEST

START_TEST(window_stopped_before_its_start_holds_nothing)
{
	one_window(NOON + SECOND, NOON + 1000 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_ARMED);
	ck_assert_uint_eq(runs_stop(rs, "office", NULL, NULL), 1);
	ck_assert_uint_eq(world.plan_count, 0);
	world.all[0]->ended = true;
	tick_at(NOON + 10 * SECOND);
	ck_assert_uint_eq(runs_ended(rs, 0)->end_ns, runs_ended(rs, 0)->start_ns);
	ck_assert_uint_eq(world.runs_made, 1);
}
END_TEST

START_TEST(clock_that_is_set_back_opens_no_window_twice)
{
	one_window(NOON, NOON + 10 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	tick_at(NOON + 10 * SECOND);
	tick_at(NOON + 5 * SECOND);
	tick_at(NOON + 100 * SECOND);
	ck_assert_uint_eq(world.runs_made, 1);
}
END_TEST

START_TEST(clock_that_is_set_back_into_a_window_opens_it_at_once)
{
	one_window(NOON, NOON + 10 * SECOND);
	world.now_ns = NOON + 86400 * SECOND;
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	tick_at(NOON + SECOND);
	ck_assert_uint_eq(world.runs_made, 1);
}
END_TEST

START_TEST(clock_that_jumps_into_a_window_opens_it_within_a_minute)
{
	one_window(NOON + 86400 * SECOND, NOON + 90000 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	tick_at(NOON + 86401 * SECOND);
	ck_assert_uint_eq(world.runs_made, 1);
	ck_assert_uint_eq(runs_active(rs, 0)->start_ns, NOON + 86401 * SECOND);
}
END_TEST

START_TEST(recording_of_always_is_one_run)
{
	recording.when = WHEN_ALWAYS;
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	for (unsigned int i = 0; i < 200; i++)
		tick_at(NOON + i * SECOND);
	ck_assert_uint_eq(world.runs_made, 1);
	ck_assert_uint_eq(runs_active(rs, 0)->end_ns, RUN_NO_END);
}
END_TEST

START_TEST(a_new_choice_takes_over_at_an_instant_to_come)
{
	struct choice *c;

	(void)trigger(0);
	c = make_ready(2, 0);
	tick_at(NOON + SECOND);
	ck_assert_ptr_ne(world.plan[0].now.filter, c->filter);
	ck_assert_ptr_eq(world.plan[0].next.filter, c->filter);
	ck_assert_uint_eq(world.plan[0].next.cut.snaplen, 96);
	ck_assert_uint_gt(world.plan[0].switch_ns, world.now_ns + SECOND / 10);
	ck_assert_uint_eq(world.all[0]->described_ns, world.plan[0].switch_ns);
	ck_assert_uint_eq(c->since_ns, world.plan[0].switch_ns);
	/* Packets with times from before may come for a while. */
	tick_at(world.plan[0].switch_ns);
	ck_assert_ptr_ne(world.plan[0].now.filter, c->filter);
	tick_at(world.now_ns + SECOND);
	ck_assert_ptr_eq(world.plan[0].now.filter, c->filter);
	ck_assert_uint_eq(world.plan[0].switch_ns, UINT64_MAX);
	ck_assert_int_eq(world.filters, 1);
	ck_assert_uint_eq(world.runs_made, 1);
}
END_TEST

START_TEST(a_new_choice_goes_on_from_what_the_one_before_remembers)
{
	struct filter_tables *t;

	(void)make_ready(1, 1000);
	(void)trigger(0);
	release_ready();
	t = world.plan[0].now.tables;
	ck_assert_ptr_nonnull(t);
	ck_assert_ptr_null(t->before);
	ck_assert_uint_eq(t->queues, 2);
	(void)make_ready(2, 1000);
	tick_at(NOON + SECOND);
	ck_assert_ptr_eq(world.plan[0].now.tables, t);
	ck_assert_ptr_eq(world.plan[0].next.tables->before, t);
	ck_assert_int_eq(world.tables, 2);
	tick_at(NOON + 3 * SECOND);
	ck_assert_int_eq(world.tables, 1);
	ck_assert_uint_eq(runs_active(rs, 0)->counts.beyond_pkts, 2);
}
END_TEST

START_TEST(the_instant_is_to_come_for_all_runs_though_tables_take_long_to_make_and_to_free)
{
	world.tables_take_ns = SECOND;
	(void)make_ready(1, 1000);
	(void)trigger(0);
	(void)trigger(0);
	for (unsigned int generation = 2; generation < 4; generation++) {
		release_ready();
		(void)make_ready(generation, 1000);
		tick_at(world.now_ns + SECOND); /* completes the exchange before as well */
		ck_assert_uint_gt(world.plan[0].switch_ns, world.now_ns);
		ck_assert_uint_eq(world.plan[0].switch_ns, world.plan[1].switch_ns);
		ck_assert_uint_eq(world.all[1]->described_ns, world.plan[1].switch_ns);
	}
}
END_TEST

START_TEST(a_choice_that_finds_no_plan_is_refused_and_the_one_before_goes_on)
{
	const struct filter *before;

	world.before = choice_new(1);
	world.ready = choice_share(world.before);
	(void)trigger(0);
	before = world.plan[0].now.filter;
	release_ready();
	(void)make_ready(2, 500);
	world.fail_publish = 1;
	tick_at(NOON + SECOND);
	ck_assert_uint_eq(world.refused, 1);
	ck_assert_ptr_eq(world.plan[0].now.filter, before);
	ck_assert_uint_eq(world.plan[0].switch_ns, UINT64_MAX);
	ck_assert_uint_eq(world.all[0]->described_ns, 0);
	ck_assert_int_eq(world.tables, 0);
	tick_at(NOON + 2 * SECOND);
	ck_assert_uint_eq(world.plan[0].switch_ns, UINT64_MAX);
	ck_assert_uint_eq(world.refused, 1);
}
END_TEST

START_TEST(a_plan_that_cannot_be_cleared_up_goes_on_and_means_the_same)
{
	struct choice *c;

	(void)trigger(0);
	c = make_ready(2, 500);
	tick_at(NOON + 2 * SECOND);
	world.fail_publish = 1;
	tick_at(NOON + 4 * SECOND);
	ck_assert_int_eq(world.filters, 2);
	tick_at(NOON + 5 * SECOND);
	ck_assert_int_eq(world.filters, 1);
	ck_assert_ptr_eq(world.plan[0].now.filter, c->filter);
}
END_TEST

START_TEST(a_choice_without_tables_is_refused_when_a_run_begins)
{
	world.before = choice_new(1);
	(void)make_ready(2, 500);
	world.fail_tables = 1;
	(void)trigger(0);
	ck_assert_uint_eq(world.refused, 1);
	ck_assert_ptr_eq(world.plan[0].now.filter, world.ready->filter);
	ck_assert_uint_eq(world.ready->generation, 1);
}
END_TEST

START_TEST(what_the_choice_before_wanted_of_a_port_is_not_wanted_after_the_exchange)
{
	static const struct rules first, second;

	make_ready(1, 0)->options.rules = &first;
	(void)trigger(0);
	ck_assert_uint_eq(world.want_count, 1);
	ck_assert_ptr_eq(world.wants[0], &first);
	release_ready();
	make_ready(2, 0)->options.rules = &second;
	tick_at(NOON + SECOND);
	ck_assert_uint_eq(world.want_count, 2);
	tick_at(NOON + 3 * SECOND);
	ck_assert_uint_eq(world.want_count, 1);
	ck_assert_ptr_eq(world.wants[0], &second);
}
END_TEST

START_TEST(a_run_that_ends_amid_an_exchange_holds_nothing)
{
	(void)trigger(0);
	(void)make_ready(2, 500);
	tick_at(NOON + SECOND);
	ck_assert_uint_ne(world.plan[0].switch_ns, UINT64_MAX);
}
END_TEST

START_TEST(a_made_up_recording_keeps_its_own_choice)
{
	const char *id;

	ck_assert_int_eq(runs_trigger(rs, &recording, 0, true, &id, &err), 0);
	(void)make_ready(2, 0);
	tick_at(NOON + SECOND);
	ck_assert_uint_eq(world.plan[0].switch_ns, UINT64_MAX);
	ck_assert_str_eq(runs_active(rs, 0)->recording, recording.name);
	ck_assert(!run_is_of(runs_active(rs, 0), recording.name));
}
END_TEST

START_TEST(reload_leaves_an_unchanged_recording_alone)
{
	struct recording_settings same = recording;
	struct settings newer = {.recordings = &same, .recording_count = 1};
	unsigned int publishes;

	same.when = recording.when = WHEN_ALWAYS;
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	publishes = world.publishes;
	ck_assert_int_eq(runs_follow(rs, &newer), 0);
	recording.name = NULL; /* the settings before are gone */
	tick_at(NOON + 100 * SECOND);
	ck_assert_uint_eq(world.runs_made, 1);
	ck_assert_uint_eq(world.publishes, publishes);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_LIVE);
}
END_TEST

START_TEST(reload_of_a_changed_recording_hands_over_at_one_instant)
{
	struct recording_settings changed = recording;
	struct settings newer = {.recordings = &changed, .recording_count = 1};

	recording.when = changed.when = WHEN_ALWAYS;
	changed.fingerprint = v2;
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	world.now_ns = NOON + 10 * SECOND;
	ck_assert_int_eq(runs_follow(rs, &newer), 0);
	ck_assert_uint_eq(world.plan_count, 2);
	ck_assert_uint_eq(world.plan[0].end_ns, NOON + 10 * SECOND + RUNS_HANDOVER_NS);
	ck_assert_uint_eq(world.plan[1].start_ns, world.plan[0].end_ns);
	ck_assert_uint_eq(world.plan[1].end_ns, RUN_NO_END);
	tick_at(NOON + 11 * SECOND);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_FINISHING);
	ck_assert_int_eq(runs_active(rs, 1)->state, RUN_LIVE);
	ck_assert_uint_eq(world.runs_made, 2);
}
END_TEST

START_TEST(reload_renews_a_triggered_run_for_the_rest_of_its_time)
{
	struct recording_settings changed = recording;
	struct settings newer = {.recordings = &changed, .recording_count = 1};

	changed.fingerprint = v2;
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	(void)trigger(100 * SECOND);
	world.now_ns = NOON + 10 * SECOND;
	ck_assert_int_eq(runs_follow(rs, &newer), 0);
	ck_assert_uint_eq(world.runs_made, 2);
	ck_assert_uint_eq(runs_active(rs, 1)->end_ns, NOON + 100 * SECOND);
}
END_TEST

START_TEST(reload_without_a_recording_ends_its_run_and_leaves_what_was_made_up)
{
	struct settings empty = {.recording_count = 0};
	const char *id;

	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	(void)trigger(0);
	ck_assert_int_eq(runs_trigger(rs, &recording, 0, true, &id, &err), 0);
	ck_assert_int_eq(runs_follow(rs, &empty), 0);
	ck_assert_int_eq(runs_active(rs, 0)->state, RUN_FINISHING);
	ck_assert_int_eq(runs_active(rs, 1)->state, RUN_LIVE);
}
END_TEST

START_TEST(nothing_opens_once_closed)
{
	const char *id;

	one_window(NOON + 10 * SECOND, NOON + 100 * SECOND);
	ck_assert_int_eq(runs_follow(rs, &settings), 0);
	runs_close(rs);
	tick_at(NOON + 20 * SECOND);
	ck_assert_uint_eq(world.runs_made, 0);
	ck_assert_int_eq(runs_trigger(rs, &recording, 0, false, &id, &err), -ESHUTDOWN);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runs");
	TCase *c = tcase_create("runs");

	tcase_add_checked_fixture(c, set_up, tear_down);
	tcase_add_test(c, filter_that_fails_leaves_nothing_behind);
	tcase_add_test(c, second_stripe_that_fails_gives_back_the_first);
	tcase_add_test(c, second_ring_without_memory_gives_back_the_first);
	tcase_add_test(c, writers_that_do_not_start_leave_nothing_behind);
	tcase_add_test(c, port_that_is_not_open_is_named);
	tcase_add_test(c, ports_of_different_link_type_do_not_make_one_recording);
	tcase_add_test(c, port_named_twice_is_an_error);
	tcase_add_test(
		c, plan_that_cannot_be_published_lets_writers_finish_and_tells_nobody_of_the_run);
	tcase_add_test(c, run_that_cannot_leave_the_plan_stays_whole_until_it_can);
	tcase_add_test(c, window_that_fails_to_open_is_tried_again_each_second_while_it_lasts);
	tcase_add_test(c, files_that_were_given_up_are_recovered_before_their_run_is_called_ended);
	tcase_add_test(
		c, file_that_cannot_be_recovered_keeps_its_name_and_ends_its_run_all_the_same);
	tcase_add_test(c, file_that_recovery_removed_is_not_a_file_of_its_run);
	tcase_add_test(c, recovery_that_takes_long_holds_up_no_tick_and_no_disk);
	tcase_add_test(c, recovery_is_waited_for_until_the_run_is_abandoned);
	tcase_add_test(c, file_of_an_abandoned_run_is_not_waited_for);
	tcase_add_test(c, plan_says_what_the_recording_says_for_each_port);
	tcase_add_test(
		c, rings_are_spread_over_writers_and_the_next_run_begins_with_the_next_writer);
	tcase_add_test(c, id_is_recording_and_utc_start_and_moves_on_when_it_is_taken);
	tcase_add_test(c, limit_of_time_ends_a_run_that_would_last_longer);
	tcase_add_test(c, run_ends_when_its_limit_is_reached);
	tcase_add_test(c, run_ends_when_the_last_of_its_ports_ended);
	tcase_add_test(c, packets_that_the_kernel_stamped_are_waited_for_after_the_end);
	tcase_add_test(c, stop_of_such_a_run_publishes_its_end_first);
	tcase_add_test(c, stop_by_id_ends_that_run_alone);
	tcase_add_test(c, ledger_of_an_ended_run_is_the_writers_last_word);
	tcase_add_test(c, loss_is_remembered_when_its_run_is_forgotten);
	tcase_add_test(
		c, window_is_in_the_plan_half_a_second_before_its_start_with_its_exact_times);
	tcase_add_test(c, daemon_started_inside_a_window_joins_it);
	tcase_add_test(c, overlapping_windows_are_two_runs_at_a_time);
	tcase_add_test(c, window_whose_run_was_stopped_is_not_opened_again_also_after_a_reload);
	tcase_add_test(c, window_stopped_before_its_start_holds_nothing);
	tcase_add_test(c, clock_that_is_set_back_opens_no_window_twice);
	tcase_add_test(c, clock_that_is_set_back_into_a_window_opens_it_at_once);
	tcase_add_test(c, clock_that_jumps_into_a_window_opens_it_within_a_minute);
	tcase_add_test(c, recording_of_always_is_one_run);
	tcase_add_test(c, a_new_choice_takes_over_at_an_instant_to_come);
	tcase_add_test(c, a_new_choice_goes_on_from_what_the_one_before_remembers);
	tcase_add_test(
		c, the_instant_is_to_come_for_all_runs_though_tables_take_long_to_make_and_to_free);
	tcase_add_test(c, a_choice_that_finds_no_plan_is_refused_and_the_one_before_goes_on);
	tcase_add_test(c, a_plan_that_cannot_be_cleared_up_goes_on_and_means_the_same);
	tcase_add_test(c, a_choice_without_tables_is_refused_when_a_run_begins);
	tcase_add_test(c, what_the_choice_before_wanted_of_a_port_is_not_wanted_after_the_exchange);
	tcase_add_test(c, a_run_that_ends_amid_an_exchange_holds_nothing);
	tcase_add_test(c, a_made_up_recording_keeps_its_own_choice);
	tcase_add_test(c, reload_leaves_an_unchanged_recording_alone);
	tcase_add_test(c, reload_of_a_changed_recording_hands_over_at_one_instant);
	tcase_add_test(c, reload_renews_a_triggered_run_for_the_rest_of_its_time);
	tcase_add_test(c, reload_without_a_recording_ends_its_run_and_leaves_what_was_made_up);
	tcase_add_test(c, nothing_opens_once_closed);
	suite_add_tcase(suite, c);
	return suite_run(suite);
}
