/*
 * A capture file as a port: pcap and pcapng, read by libpcap, packet for packet with its bytes and
 * its lengths, at the pace of its times or as fast as it is taken.
 *
 * The file is read on the rx lcore, through a large stdio buffer: a disk that stalls delays the
 * replay and loses nothing, as the source is patient.
 */
#include "source.h"

#include <errno.h>
#include <math.h>
#include <pcap/pcap.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rte_branch_prediction.h>
#include <rte_cycles.h>

#include "wirespool/log.h"
#include "wirespool/pcapng.h"
#include "wirespool/units.h"

static const char PREFIX[] = "pcap:";
/* The year 2242, and 285 years: far from where nanoseconds in 64 bits wrap. */
static const uint64_t SECONDS_MAX = 1ULL << 33,
		      OFFSET_MAX_NS = 9ULL * 1000 * 1000 * 1000 * NS_PER_SEC;

enum { FILE_BUFFER_BYTES = 1 << 20, NAME_TEXT_MAX = 64 };

struct replay_options {
	char *path;
	double speed; /* 0: max */
	bool loop;
};

struct replay {
	/* Read-only after open() */
	struct replay_options options;
	struct rte_mempool *pool;
	char name[NAME_TEXT_MAX];
	uint64_t hz;

	/* The rx lcore's, from open() on */
	pcap_t *file;
	char *buffer; /* of file's stream */
	bool ended;
	bool pending; /* header and data are of a packet that was not handed out yet */
	const struct pcap_pkthdr *header;
	const uint8_t *data;
	bool started;
	uint64_t start_tsc;
	uint64_t idle_tsc;     /* since when no run is live; 0: one is */
	uint64_t last_file_ns; /* time of the packet before, as the file has it */
	uint64_t offset_ns;    /* of the pending packet from the first: the sum of all gaps */
	uint64_t due_ns;       /* the same at our speed */
	uint64_t pkts;
	uint64_t pass_pkts; /* of this time through the file */
	bool pass_begun;
	struct errbuf fault; /* why the file ended early */

	/* Set by the rx lcore behind fault; control turns it into a warning of the port. */
	_Atomic bool faulty;
	bool warned; /* control's */
};

static bool replay_claims(const char *device)
{
	return strncmp(device, PREFIX, strlen(PREFIX)) == 0;
}

static int parse_speed(const char *text, double *ret, struct errbuf *err)
{
	char *end;
	double speed;

	if (strcmp(text, "max") == 0) {
		*ret = 0;
		return 0;
	}
	speed = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(speed) || speed < 1e-6 || speed > 1e6)
		return fail_with(err, -EINVAL,
			"pcap: speed must be 'max' or a factor of 0.000001..1000000, got '%s'",
			text);
	*ret = speed;
	return 0;
}

/* Takes options from the text's end as long as there are any: the file's name may have commas. */
static int take_options(char *path, struct replay_options *o, struct errbuf *err)
{
	char *comma;
	int r;

	while ((comma = strrchr(path, ',')) != NULL) {
		if (strcmp(comma + 1, "loop") == 0) {
			o->loop = true;
		} else if (strncmp(comma + 1, "speed=", strlen("speed=")) == 0) {
			r = parse_speed(comma + 1 + strlen("speed="), &o->speed, err);
			if (r < 0)
				return r;
		} else {
			break;
		}
		*comma = '\0';
	}
	return 0;
}

static int parse(const char *device, struct replay_options *ret, struct errbuf *err)
{
	struct replay_options o = {.speed = 1};
	int r;

	o.path = strdup(device + strlen(PREFIX));
	if (o.path == NULL)
		return fail_with(err, -ENOMEM, "pcap: no memory");
	r = take_options(o.path, &o, err);
	if (r == 0 && o.path[0] == '\0')
		r = fail_with(err, -EINVAL, "pcap: '%s' names no file", device);
	if (r < 0) {
		free(o.path);
		return r;
	}
	*ret = o;
	return 0;
}

/* buffer: FILE_BUFFER_BYTES, which must live as long as the file; NULL: the usual small one. */
static int open_file(const char *path, char *buffer, pcap_t **ret, struct errbuf *err)
{
	char text[PCAP_ERRBUF_SIZE] = "";
	FILE *f = fopen(path, "rbe");
	pcap_t *p;

	if (f == NULL) {
		int error = -errno;

		return fail_with(err, error, "cannot open '%s': %s", path, strerror(-error));
	}
	if (buffer != NULL)
		(void)setvbuf(f, buffer, _IOFBF, FILE_BUFFER_BYTES);
	p = pcap_fopen_offline_with_tstamp_precision(f, PCAP_TSTAMP_PRECISION_NANO, text);
	if (p == NULL) {
		(void)fclose(f);
		return fail_with(err, -EINVAL, "cannot read '%s': %s", path, text);
	}
	/* pcap has 26 bits for it, what we write has 16. */
	if (pcap_datalink(p) > UINT16_MAX) {
		int linktype = pcap_datalink(p);

		pcap_close(p);
		return fail_with(err, -EINVAL,
			"cannot replay '%s': link type %d does not fit pcapng, which has 0..65535",
			path, linktype);
	}
	*ret = p;
	return 0;
}

static int replay_check(const char *device, struct errbuf *err)
{
	struct replay_options o;
	struct stat st;
	pcap_t *p;
	int r;

	r = parse(device, &o, err);
	if (r < 0)
		return r;
	/* An rx lcore must not wait for whoever fills a pipe. */
	if (stat(o.path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		r = fail_with(
			err, -EINVAL, "cannot replay '%s': it must be a regular file", o.path);
	} else {
		r = open_file(o.path, NULL, &p, err);
		if (r == 0)
			pcap_close(p);
	}
	free(o.path);
	return r;
}

static unsigned int replay_mbuf_room(const char *device)
{
	(void)device;
	return 0;
}

static int replay_socket_id(const char *device)
{
	(void)device;
	return -1;
}

static void free_replay(struct replay *p)
{
	if (p == NULL)
		return;
	if (p->file != NULL)
		pcap_close(p->file);
	free(p->buffer);
	free(p->options.path);
	free(p);
}

static int open_replay(const struct source_options *so, struct replay **ret, struct errbuf *err)
{
	struct replay *p = calloc(1, sizeof(*p));
	int r;

	if (p == NULL)
		return fail_with(err, -ENOMEM, "pcap: no memory");
	r = parse(so->device, &p->options, err);
	if (r < 0)
		goto free_all;
	p->buffer = malloc(FILE_BUFFER_BYTES);
	if (p->buffer == NULL) {
		r = fail_with(err, -ENOMEM, "pcap: no memory for '%s'", p->options.path);
		goto free_all;
	}
	r = open_file(p->options.path, p->buffer, &p->file, err);
	if (r < 0)
		goto free_all;
	p->pool = so->pools[0];
	p->hz = rte_get_tsc_hz();
	(void)snprintf(p->name, sizeof(p->name), "%s", so->name);
	*ret = p;
	return 0;
free_all:
	free_replay(p);
	return r;
}

static int replay_open(struct source *s, const struct source_options *options, struct errbuf *err)
{
	struct replay *p = NULL;
	int r;

	if (options->queues != 1)
		return fail_with(err, -EINVAL,
			"'%s' has one queue, so its port must have one lcore, got %u",
			options->device, options->queues);
	r = open_replay(options, &p, err);
	if (r < 0)
		return r;
	s->state = p;
	s->queues[0].state = p;
	s->queue_count = 1;
	(void)snprintf(s->driver, sizeof(s->driver), "pcap");
	s->clock = "tsc";
	s->linktype = pcap_datalink(p->file);
	s->descriptors = options->descriptors;
	s->patient = true;
	return 0;
}

static void replay_close(struct source *s)
{
	free_replay(s->state);
	s->state = NULL;
}

/* The file ends before its end: who records from it must learn that. */
static void end_early(struct replay *p, const char *why)
{
	(void)fail_with(&p->fault, -EIO, "'%s': %s; the %llu packets before it are good",
		p->options.path, why, (unsigned long long)p->pkts);
	log_warn("port %s: %s", p->name, p->fault.text);
	/* Pairs with the acquire in replay_counts(). */
	atomic_store_explicit(&p->faulty, true, memory_order_release);
}

/* The end of the file or of what can be read of it. With loop: from the start again. */
static void end_pass(struct replay *p, int status)
{
	struct errbuf err;

	if (status != PCAP_ERROR_BREAK)
		end_early(p, pcap_geterr(p->file));
	/* A pass that brought nothing would be followed by others like it for ever. */
	if (status != PCAP_ERROR_BREAK || !p->options.loop || p->pass_pkts == 0) {
		p->ended = true;
		return;
	}
	pcap_close(p->file);
	p->file = NULL;
	if (open_file(p->options.path, p->buffer, &p->file, &err) < 0) {
		end_early(p, err.text);
		p->ended = true;
	}
	p->pass_pkts = 0;
	p->pass_begun = false;
}

/* When the packet is due after the first. Steps back in time count as no gap. */
static void set_due(struct replay *p, const struct pcap_pkthdr *header)
{
	/* With nanosecond precision tv_usec has nanoseconds. Seconds may be anything in a bad file. */
	uint64_t s = header->ts.tv_sec < 0 ? 0 : RTE_MIN((uint64_t)header->ts.tv_sec, SECONDS_MAX);
	uint64_t ns = s * NS_PER_SEC + (uint64_t)header->ts.tv_usec;
	double due_ns;

	if (p->pass_begun && ns > p->last_file_ns)
		p->offset_ns += RTE_MIN(ns - p->last_file_ns, OFFSET_MAX_NS - p->offset_ns);
	p->pass_begun = true;
	p->last_file_ns = ns;
	due_ns = p->options.speed > 0 ? (double)p->offset_ns / p->options.speed : 0;
	p->due_ns = due_ns < (double)OFFSET_MAX_NS ? (uint64_t)due_ns : OFFSET_MAX_NS;
}

/* Makes the file's next packet the pending one; false at the end. */
static bool fetch(struct source_queue *q, struct replay *p)
{
	struct pcap_pkthdr *header;

	while (!p->pending && !p->ended) {
		int status = pcap_next_ex(p->file, &header, &p->data);

		if (unlikely(status != 1)) {
			end_pass(p, status);
			continue;
		}
		p->header = header;
		set_due(p, header);
		if (unlikely(header->caplen > PCAPNG_SNAPLEN)) {
			counter_add(&q->error_pkts, 1);
			continue;
		}
		p->pending = true;
		p->pass_pkts++;
	}
	return p->pending;
}

/* How long this replay has run; at full speed nobody asks. */
static uint64_t passed_ns(struct replay *p)
{
	uint64_t now = rte_rdtsc();

	if (!p->started) {
		p->started = true;
		p->start_tsc = now;
	}
	if (p->idle_tsc != 0) {
		p->start_tsc += now - p->idle_tsc;
		p->idle_tsc = 0;
	}
	return (uint64_t)((unsigned __int128)(now - p->start_tsc) * NS_PER_SEC / p->hz);
}

static uint16_t replay_receive(struct source_queue *q, struct burst *b)
{
	struct replay *p = q->state;
	uint64_t now_ns = p->options.speed > 0 ? passed_ns(p) : 0;
	uint16_t n = 0;

	b->own_times = b->own_flags = false;
	b->own_lengths = true;
	while (n < BURST_PKTS && fetch(q, p) && p->due_ns <= now_ns) {
		struct rte_mbuf *m = mbuf_from_bytes(p->pool, p->data, p->header->caplen);

		if (unlikely(m == NULL))
			break;
		b->pkts[n] = m;
		/* Some files claim packets that are shorter than what is there of them. */
		b->wire_len[n] = RTE_MAX(p->header->len, p->header->caplen);
		p->pending = false;
		p->pkts++;
		n++;
	}
	return n;
}

/* The file is not read on while nobody records from it. */
static void replay_idle(struct source_queue *q)
{
	struct replay *p = q->state;

	if (p->started && p->idle_tsc == 0)
		p->idle_tsc = rte_rdtsc();
}

static void replay_wait(struct source_queue *q, uint64_t max_ns)
{
	struct replay *p = q->state;
	uint64_t now_ns = passed_ns(p);
	uint64_t ns = p->pending && p->due_ns > now_ns ? p->due_ns - now_ns : max_ns;
	struct timespec t;

	if (ns > max_ns)
		ns = max_ns;
	t = (struct timespec){
		.tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC)};
	(void)nanosleep(&t, NULL);
}

static bool replay_ended(const struct source_queue *q)
{
	const struct replay *p = q->state;

	return p->ended;
}

static void replay_counts(struct source *s, struct source_counts *ret)
{
	struct replay *p = s->state;

	/* Pairs with the release in end_early(). */
	if (!p->warned && atomic_load_explicit(&p->faulty, memory_order_acquire)) {
		p->warned = true;
		source_warn(s, "%s", p->fault.text);
	}
	memset(ret, 0, sizeof(*ret));
	ret->error_pkts = counter_get(&s->queues[0].error_pkts);
}

const struct source_class replay_class = {
	.claims = replay_claims,
	.check = replay_check,
	.mbuf_room = replay_mbuf_room,
	.socket_id = replay_socket_id,
	.open = replay_open,
	.close = replay_close,
	.receive = replay_receive,
	.idle = replay_idle,
	.wait = replay_wait,
	.ended = replay_ended,
	.counts = replay_counts,
};
