#pragma once
/*
 * Archive: reads back what writers laid on the stripes. Needs neither DPDK nor a daemon.
 *
 * Threads  no function shares state with another call; any thread.
 * Trust    files are foreign bytes: every length is checked before it is used.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirespool/errbuf.h"

enum { ARCHIVE_RUN_ID_MAX = 128 };

/* One segment file, as its name, header, chunk marks and end block tell. */
struct archive_segment {
	char path[4096];
	char run[ARCHIVE_RUN_ID_MAX]; /* "office-20261121T033000.000Z" */
	char recording[ARCHIVE_RUN_ID_MAX];
	uint32_t number;
	bool sealed;    /* false: a .part, being written or left by a crash */
	bool recovered; /* sealed by recovery */
	uint64_t file_bytes;
	uint64_t pkts;
	uint64_t captured_bytes;
	uint64_t wire_bytes;
	uint64_t first_ns; /* 0 without packets */
	uint64_t last_ns;
	uint64_t missing_pkts;
};

/*
 * Splits "RECORDING-START-NUMBER.pcapng[.part]" (no folder before it). False: not a name of ours.
 */
bool segment_parse_name(const char *name, struct archive_segment *ret);

/*
 * Every segment file of Wirespool directly in directory, in the order of run and number. *ret_segments is the
 * caller's, to free(). Files that are not ours are passed over; one of ours that cannot be read is
 * listed with what is known from its name. -ENOENT and so on for the directory itself.
 */
int archive_list(const char *directory, struct archive_segment **ret_segments, size_t *ret_count,
	struct errbuf *err);

/* One fault of a file: where, and what rule it breaks. */
struct archive_fault {
	uint64_t file_off;
	char text[256];
};

enum { ARCHIVE_FAULTS_MAX = 16 };

struct archive_report {
	uint64_t file_bytes;
	uint64_t blocks;
	uint64_t pkts;
	uint64_t captured_bytes;
	uint64_t wire_bytes;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t dropcount_pkts; /* sum of epb_dropcount */
	unsigned int interfaces;
	/* of the last statistics block of each interface, added */
	bool has_statistics;
	uint64_t ifrecv_pkts, ifdrop_pkts, filteraccept_pkts, osdrop_pkts, usrdeliv_pkts;
	bool ours;   /* written by Wirespool: chunks and end block are checked as well */
	bool sealed; /* has an end block */
	bool recovered;
	uint64_t missing_pkts;
	unsigned int fault_count; /* may be more than fit */
	struct archive_fault faults[ARCHIVE_FAULTS_MAX];
};

/*
 * Reads a pcapng file (anybody's; one section or several) from end to end and checks every rule of docs/format.md: block
 * lengths, captured <= original <= ..., interfaces that exist and share link type and snaplen, times
 * that never decrease, chunk marks that agree with their chunks, an end block that agrees with the whole.
 * Returns 0 when the file was read (faults are in the report), else a negative errno for a file
 * that cannot be read at all.
 */
int archive_verify(const char *path, struct archive_report *ret_report, struct errbuf *err);

struct recover_report {
	char sealed_path[4096]; /* name it has now */
	uint64_t pkts;          /* that are in the sealed file */
	uint64_t missing_pkts;  /* in holes between chunks: counted exactly by the marks */
	uint64_t hole_bytes;    /* filled with padding blocks */
	uint64_t cut_bytes;     /* behind the last whole block: preallocated or torn */
	bool removed;           /* there was not even a header in it: the file was removed */
};

/*
 * Seals a .part file that a crash, a power cut or a failed disk left behind: keeps every whole block,
 * fills holes with padding blocks, cuts the torn tail, adds statistics and end blocks, syncs and renames.
 * Safe to repeat after a crash of its own. Must not be called on a file that a live writer has open (-EBUSY,
 * told by the lock that writers hold: flock(LOCK_EX)).
 */
int archive_recover(const char *path, struct recover_report *ret_report, struct errbuf *err);

/* How long a killed process may hold its files: the kernel lets go of them a moment after it has gone. */
enum { RECOVER_WAIT_MS = 3000 };

/*
 * As archive_recover(), but waits for a lock to go, at most *wait_ms; lowers *wait_ms by what it
 * took, so that all files of a start together wait no longer than that.
 */
int archive_recover_within(
	const char *path, int *wait_ms, struct recover_report *ret_report, struct errbuf *err);
