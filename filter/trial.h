#pragma once
/*
 * Trial: a filter tried on the packets of a capture file. Private to the program wirespool-filter,
 * which is the work of `wirespool filter`.
 *
 *   wirespool_filter.c   start, DPDK, end
 *   trial_options.c      the command line
 *   trial_source.c       capture file -> packets in mbufs, as rx drivers deliver them
 *   trial_explain.c      what becomes of each packet, and why; the packets kept as a file
 *   trial_print.c        the same, for people and for programs
 *   trial_dump.c         the program, and what it means
 *   trial_bench.c        packets per second
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>
#include <pcap/pcap.h>

#include "wirespool/errbuf.h"
#include "wirespool/filter.h"

/* Those of wirespool(1). */
enum trial_exit { TRIAL_GOOD, TRIAL_FAILED, TRIAL_USAGE };

struct trial_options {
	struct filter_options filter;
	struct rules *rules; /* the same as filter.rules; NULL: none */
	struct cut cut;
	const char *write; /* a file, or "-"; NULL: none */
	const char *file;  /* to read, or "-"; NULL: none, with dump alone */
	bool dump;
	bool bench;
	bool json; /* not with dump, nor when packets are written to stdout */
};

/*
 * Reads the command line, of which `wirespool` has checked that there is no unknown option, and the file of
 * rules. TRIAL_GOOD, else what was wrong was said. In either case trial_options_done() ends it.
 */
int trial_options_parse(struct trial_options *o, int argc, char *argv[]);
void trial_options_done(struct trial_options *o);

struct trial {
	const struct trial_options *options;
	struct trial_source *source; /* NULL: none, with dump alone */
	struct filter *filter;
	struct filter_tables *tables; /* NULL: nothing to remember */
	uint64_t build_ns;            /* that making the filter took */
};

struct trial_source {
	const char *name;
	pcap_t *pcap;
	uint64_t pkts; /* read so far */
};

/* 0, or negative and why in err. */
int trial_source_open(struct trial_source *s, const char *path, struct errbuf *err);
void trial_source_close(struct trial_source *s);

struct trial_packet {
	struct rte_mbuf *mbuf;
	const uint8_t *data; /* all its bytes, in one piece */
	struct timeval time; /* tv_usec has nanoseconds */
	uint64_t time_ns;
	uint32_t captured; /* bytes at data */
	uint32_t wire;
};

/*
 * 1: *ret is the caller's, to be freed with trial_packet_free(). 0: there are no more. Negative: why
 * not, in err.
 */
int trial_source_next(struct trial_source *s, struct trial_packet *ret, struct errbuf *err);
void trial_packet_free(struct trial_packet *p);

/* What became of a packet. */
struct trial_result {
	uint64_t number; /* in its file, from 1 */
	const struct trial_packet *packet;
	struct filter_reason reason;
	uint32_t stored; /* bytes; 0: it is not kept */
	bool kept;
	bool by_snaplen; /* what cut it */
};

enum { TRIAL_WHYS = FILTER_BY_CUTOFF + 1 };

struct trial_sums {
	uint64_t pkts;
	uint64_t kept;
	uint64_t cut; /* of those kept */
	uint64_t dropped[TRIAL_WHYS];
	uint64_t bytes;
	uint64_t stored_bytes;
	uint64_t *by_rule; /* by the rule's number; NULL: no rules */
};

/* One line on stdout. */
void trial_print_text(const struct trial *t, const struct trial_result *r);
void trial_print_json(const struct trial *t, const struct trial_result *r);
void trial_print_json_sums(const struct trial *t, const struct trial_sums *s);
void trial_print_object(json_t *object); /* which it takes over */

/* On stderr. */
void trial_say_sums(const struct trial *t, const struct trial_sums *s);

/* Each returns an enum trial_exit. */
int trial_explain(struct trial *t);
int trial_dump(const struct trial *t);
int trial_bench(struct trial *t);
