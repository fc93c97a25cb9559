#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/pcapng.h"

enum {
	TAIL_SLACK = 64, /* the wide copy in drain.c writes up to this far past a packet */
	PATH_MAX_BYTES = 4096,
};

/* Runs whose disk hangs with something of theirs that it may yet give back: they keep their memory. */
static struct run *left_to_disks;

/* The machine, for the section header. */
static const char *machine_name(char *buf, size_t size)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	buf[0] = '\0';
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, "model name", 10) != 0 || strchr(line, ':') == NULL)
			continue;
		line[strcspn(line, "\n")] = '\0';
		(void)snprintf(buf, size, "%s", strchr(line, ':') + 2);
		break;
	}
	if (f != NULL)
		(void)fclose(f);
	return buf;
}

static int add_face(struct run *r, const struct run_options *o, uint64_t from_ns)
{
	struct run_face *face = calloc(1, sizeof(*face));
	struct run_options with = *o;
	char machine[256];

	if (face == NULL)
		return -ENOMEM;
	if (with.hardware == NULL)
		with.hardware = machine_name(machine, sizeof(machine));
	face->from_ns = from_ns;
	face->header_bytes = encode_header_bytes(&with);
	face->header = aligned_alloc(PCAPNG_ALIGN, face->header_bytes);
	if (face->header == NULL) {
		free(face);
		return -ENOMEM;
	}
	encode_header(face->header, face->header_bytes, &with);
	face->older = atomic_load(&r->face);
	atomic_store_explicit(&r->face, face, memory_order_release);
	return 0;
}

static void copy_options(struct run *r, const struct run_options *o)
{
	(void)snprintf(r->id, sizeof(r->id), "%s", o->id);
	r->id_hash = run_id_hash(r->id);
	r->interface_count = o->interface_count;
	r->tail_bytes = (uint32_t)(o->interface_count * STATISTICS_BYTES +
				   sizeof(struct wirespool_end) + WIRESPOOL_PAD_MIN + TAIL_SLACK);
	memcpy(r->stripes, o->stripes, o->stripe_count * sizeof(r->stripes[0]));
	r->stripe_count = o->stripe_count;
	r->start_ns = o->start_ns;
	r->rotate_bytes = o->rotate_bytes;
	r->rotate_ns = o->rotate_ns;
	r->rotate_on_clock = o->rotate_on_clock;
	r->flush_ns = o->flush_ns;
	r->limited = o->limit_bytes != 0 || o->limit_pkts != 0;
	atomic_store(&r->pkts_left, o->limit_pkts != 0 ? (int64_t)o->limit_pkts : INT64_MAX / 2);
	atomic_store(&r->bytes_left, o->limit_bytes != 0 ? (int64_t)o->limit_bytes : INT64_MAX / 2);
}

static int check_options(const struct run_options *o, struct errbuf *err)
{
	if (strlen(o->id) >= RUN_ID_MAX)
		return fail_with(err, -EINVAL, "run '%s': its id is longer than %d bytes", o->id,
			RUN_ID_MAX - 1);
	if (o->stripe_count == 0 || o->stripe_count > RUN_STRIPES_MAX)
		return fail_with(err, -EINVAL, "run '%s': needs 1..%d stripes, got %u", o->id,
			RUN_STRIPES_MAX, o->stripe_count);
	if (o->interface_count == 0 || o->interface_count > RUN_INTERFACES_MAX)
		return fail_with(err, -EINVAL, "run '%s': needs 1..%d ports, got %u", o->id,
			RUN_INTERFACES_MAX, o->interface_count);
	return 0;
}

static void stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	free((void *)s->files);
	free(s->rings);
	free(s);
}

static struct stream *stream_new(struct run *r, const struct run_share *share)
{
	struct stream *s = aligned_alloc(64, (sizeof(*s) + 63) / 64 * 64);

	if (s == NULL)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->run = r;
	s->writer = share->writer;
	s->pool = writer_pool(share->writer);
	s->spool = writer_spool(share->writer);
	s->ring_count = share->ring_count;
	s->cut_ns = UINT64_MAX;
	s->rings = calloc(share->ring_count, sizeof(struct packet_ring *));
	s->files = calloc(RUN_FILES_KEPT, sizeof(*s->files));
	if (s->rings == NULL || s->files == NULL) {
		stream_free(s);
		return NULL;
	}
	memcpy(s->rings, share->rings, share->ring_count * sizeof(struct packet_ring *));
	s->rest_us = stream_rest_us(s);
	return s;
}

static int make_streams(struct run *r, const struct run_share shares[], unsigned int count)
{
	unsigned int rings = 0;

	for (unsigned int i = 0; i < count; i++)
		rings += shares[i].ring_count;
	r->rings = calloc(rings, sizeof(struct packet_ring *));
	if (r->rings == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		struct stream *s = stream_new(r, &shares[i]);

		if (s == NULL)
			return -ENOMEM;
		s->first = r->streams == NULL;
		s->next_in_run = r->streams;
		r->streams = s;
		memcpy(r->rings + r->ring_count, shares[i].rings,
			shares[i].ring_count * sizeof(struct packet_ring *));
		r->ring_count += shares[i].ring_count;
	}
	return 0;
}

int run_start(const struct run_options *options, const struct run_share shares[],
	unsigned int share_count, struct run **ret_run, struct errbuf *err)
{
	struct run *r;
	int error = check_options(options, err);

	if (error < 0)
		return error;
	r = aligned_alloc(64, (sizeof(*r) + 63) / 64 * 64);
	if (r == NULL)
		return fail_with(err, -ENOMEM, "run '%s': no memory", options->id);
	memset(r, 0, sizeof(*r));
	copy_options(r, options);
	if (add_face(r, options, 0) < 0 || make_streams(r, shares, share_count) < 0) {
		run_free(r);
		return fail_with(err, -ENOMEM, "run '%s': no memory", options->id);
	}
	for (struct stream *s = r->streams; s != NULL; s = s->next_in_run)
		writer_add_stream(s->writer, s);
	*ret_run = r;
	return 0;
}

int run_redescribe(
	struct run *r, const struct run_options *options, uint64_t from_ns, struct errbuf *err)
{
	if (add_face(r, options, from_ns) < 0)
		return fail_with(err, -ENOMEM, "run '%s': no memory", r->id);
	return 0;
}

void run_finish(struct run *r)
{
	/* F1: release, so that a writer that sees it sees all that the rings got before. */
	atomic_store_explicit(&r->finishing, true, memory_order_release);
}

void run_abandon(struct run *r)
{
	atomic_store_explicit(&r->abandoned, true, memory_order_release);
}

bool run_ended(const struct run *r)
{
	for (const struct stream *s = r->streams; s != NULL; s = s->next_in_run)
		if (!atomic_load_explicit(&s->ended, memory_order_acquire))
			return false;
	return true;
}

bool run_limit_reached(const struct run *r)
{
	return atomic_load_explicit(&r->limit_reached, memory_order_acquire);
}

void run_get_ledger(const struct run *r, struct run_ledger *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (const struct stream *s = r->streams; s != NULL; s = s->next_in_run) {
		ret->written_pkts += counter_get(&s->written_pkts);
		ret->written_bytes += counter_get(&s->written_bytes);
		ret->wire_bytes += counter_get(&s->wire_bytes);
		ret->lost_disk_pkts += counter_get(&s->lost_disk_pkts);
	}
	run_rings_ledger(r, ret);
}

uint64_t run_queued_bytes(const struct run *r)
{
	uint64_t bytes = 0;

	for (const struct stream *s = r->streams; s != NULL; s = s->next_in_run)
		bytes += counter_get(&s->queued_bytes);
	return bytes;
}

static int compare_entries(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The newest files of each stream, in the order of their numbers. *ret_entries is the caller's. */
static size_t collect_files(const struct run *r, uint64_t **ret_entries, uint64_t *ret_total)
{
	size_t streams = 0, n = 0;

	*ret_total = 0;
	for (const struct stream *s = r->streams; s != NULL; s = s->next_in_run)
		streams++;
	*ret_entries = calloc(streams * RUN_FILES_KEPT, sizeof(uint64_t));
	for (const struct stream *s = r->streams; s != NULL; s = s->next_in_run) {
		uint64_t count = counter_get(&s->files_count);
		uint64_t kept = count < RUN_FILES_KEPT ? count : RUN_FILES_KEPT;

		*ret_total += count;
		for (uint64_t i = 0; *ret_entries != NULL && i < kept; i++)
			(*ret_entries)[n++] =
				atomic_load_explicit(&s->files[i], memory_order_acquire);
	}
	if (*ret_entries != NULL)
		qsort(*ret_entries, n, sizeof(uint64_t), compare_entries);
	return n;
}

uint64_t run_files(
	const struct run *r, void (*each)(const char *path, bool sealed, void *arg), void *arg)
{
	uint64_t *entries, total;
	size_t n = collect_files(r, &entries, &total);

	for (size_t i = 0; each != NULL && i < n; i++) {
		const struct stripe *st = r->stripes[entries[i] >> 1 & 0x7fffffff];
		struct segment seg = {.run = r, .number = (uint32_t)(entries[i] >> 32)};
		bool sealed = (entries[i] & 1) != 0;
		char name[RUN_ID_MAX + 32], path[PATH_MAX_BYTES];

		segment_name(&seg, sealed, name, sizeof(name));
		(void)snprintf(path, sizeof(path), "%s/%s", st->path, name);
		each(path, sealed, arg);
	}
	free(entries);
	return total;
}

void run_free(struct run *r)
{
	struct stream *s, *next;

	if (r == NULL)
		return;
	if (atomic_load(&r->stuck)) {
		r->next_left = left_to_disks;
		left_to_disks = r;
		return;
	}
	for (s = r->streams; s != NULL; s = next) {
		next = s->next_in_run;
		stream_free(s);
	}
	for (const struct run_face *face = atomic_load(&r->face), *older; face != NULL;
		face = older) {
		older = face->older;
		free(face->header);
		free((void *)face);
	}
	free(r->rings);
	free(r);
}
