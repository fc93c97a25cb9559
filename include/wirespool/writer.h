#pragma once
/*
 * Writer: takes packets out of rings and lays them on striped disks as pcapng files.
 *
 * Flow     drain -> pack -> spool -> write -> seal
 * Threads  a writer is one thread on one CPU; it drains, packs and submits, and never
 *          waits for a disk. Each stripe has a keeper thread that does what may
 *          block on its disk: open, preallocate, sync, truncate, rename. All
 *          functions here are control's, on one thread, and none of them waits for a disk.
 * Memory   chunks are allocated in writer_open() only, in huge pages where they are to be had.
 * Loss     lost_memory (no free chunk: the disks were late) and lost_disk (no stripe
 *          took the chunk), per run. Rings marked patient are left full instead.
 */

#include <stdbool.h>
#include <stdint.h>

#include "wirespool/errbuf.h"
#include "wirespool/ledger.h"

struct packet_ring;
struct run;
struct stripe;
struct writer;

enum {
	RUN_ID_MAX = 128,
	RUN_INTERFACES_MAX = 64,
	RUN_STRIPES_MAX = 64,
	RUN_FILES_KEPT = 4096,
	CHUNK_BYTES = 1 << 20,
};

struct writer_options {
	int cpu;                  /* -1: anywhere */
	int socket_id;            /* NUMA node of its chunks; -1: any */
	uint64_t memory_bytes;    /* of chunks: at least 8 MiB */
	unsigned int queue_depth; /* writes under way per stripe, 1..128 */
};

/* Starts a writer thread. -ENOMEM, -EPERM or -ENOSYS (no io_uring) with a sentence. */
int writer_open(
	const struct writer_options *options, struct writer **ret_writer, struct errbuf *err);

/* Stops the thread. Every run that was on it must have ended. */
void writer_close(struct writer *w);

struct writer_info {
	int cpu;
	uint64_t pkts;    /* taken out of rings since start */
	uint64_t busy_ns; /* with packets or chunks: busy_ns / pkts is what one costs */
	uint64_t chunks;
	uint64_t chunks_free;
	bool huge_pages;
	bool registered; /* buffers and files are registered with io_uring */
};

void writer_get_info(const struct writer *w, struct writer_info *ret);

/* What the writer had to do without; NULL past the last. */
const char *writer_warning(const struct writer *w, unsigned int index);

/* "null:" packs and throws away: it measures all but the disk. */
bool stripe_is_null(const char *path);

/*
 * Says whether a directory can be a stripe: it exists, is a directory, and files may be
 * made in it. Writes nothing, so that a disk that hangs holds up nobody. -ENOENT, -ENOTDIR,
 * -EACCES, -EROFS with a sentence.
 */
int stripe_check(const char *path, struct errbuf *err);

/*
 * The stripe of a directory, opened at the first call for it and shared by all that ask for the
 * same path after; each call is paired with one stripe_close(). Starts its keeper.
 */
int stripe_open(const char *path, struct stripe **ret_stripe, struct errbuf *err);
void stripe_close(struct stripe *s);

struct stripe_info {
	const char *path;       /* valid until stripe_close() */
	uint64_t queued_bytes;  /* in RAM, waiting for this disk */
	uint64_t written_bytes; /* since it was opened */
	uint64_t free_bytes;    /* on its file system; UINT64_MAX for null: */
	int error;              /* 0, or the negative errno that took it out of the set */
	bool direct;            /* O_DIRECT is in use */
};

void stripe_get_info(const struct stripe *s, struct stripe_info *ret);

struct run_interface {
	const char *name;        /* port */
	const char *description; /* device, driver and clock */
	const char *filter;      /* expression; NULL: none */
	uint64_t speed_bps;      /* 0: not known */
	uint8_t mac[6];
	bool has_mac;
};

struct run_options {
	const char *id; /* recording + "-" + UTC start; begins the names of its files */
	int linktype;   /* DLT of all interfaces */
	const struct run_interface *interfaces;
	unsigned int interface_count;
	struct stripe *const *stripes;
	unsigned int stripe_count;
	const char *hardware;  /* for the section header; NULL: the machine's own */
	const char *comment;   /* likewise; NULL: none */
	uint64_t start_ns;     /* for isb_starttime */
	uint64_t rotate_bytes; /* a segment ends before it passes this; 0: never */
	uint64_t rotate_ns;    /* ... or lasts longer; 0: never */
	bool rotate_on_clock;  /* cut at whole multiples of rotate_ns since midnight UTC */
	uint64_t flush_ns; /* a packet waits in RAM for no longer than this before it is queued */
	uint64_t limit_bytes; /* captured bytes to store; 0: no limit */
	uint64_t limit_pkts;  /* packets to store; 0: no limit */
};

/* The rings of a run that one writer drains. */
struct run_share {
	struct writer *writer;
	struct packet_ring *
		*rings; /* copied; the rings stay the caller's, in use until run_ended() */
	unsigned int ring_count;
};

/*
 * Starts a run on its writers. Copies all options; the stripes stay open until run_free().
 * On failure nothing was started and err says why.
 */
int run_start(const struct run_options *options, const struct run_share shares[],
	unsigned int share_count, struct run **ret_run, struct errbuf *err);

/*
 * From from_ns on, which is to come, packets are recorded by another filter: files that begin then have
 * headers made of these options, of which only names, descriptions, filters and comment may differ from
 * those of run_start(). A file that is being written ends with the last packet before. -ENOMEM.
 */
int run_redescribe(
	struct run *r, const struct run_options *options, uint64_t from_ns, struct errbuf *err);

/*
 * Nothing more will be put into the rings: pack what is there, write and seal. Returns at
 * once; run_ended() turns true when the last file is sealed or given up.
 */
void run_finish(struct run *r);

/* Waits no more for disks: what is not written yet is counted as lost_disk. After run_finish(). */
void run_abandon(struct run *r);

bool run_ended(const struct run *r);

/* The run has stored as much as its limits allow: time to run_finish() it. */
bool run_limit_reached(const struct run *r);

/* Adds what the writers and the rings counted; exact once run_ended(). */
void run_get_ledger(const struct run *r, struct run_ledger *ret);

/*
 * Finished files, of each writer the newest RUN_FILES_KEPT: a sealed one, or a ".part" that was
 * given up. The path is valid during the call back. Returns how many there were in all. each
 * may be NULL.
 */
uint64_t run_files(
	const struct run *r, void (*each)(const char *path, bool sealed, void *arg), void *arg);

/* Bytes in RAM that wait for disks. */
uint64_t run_queued_bytes(const struct run *r);

/* After run_ended() only. Rings and stripes stay the caller's. */
void run_free(struct run *r);
