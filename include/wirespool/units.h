#pragma once
/*
 * Units: sizes, times and rates as text, the way users write and read them.
 *
 * Parsing takes the whole text or fails with -EINVAL (or -ERANGE past 64 bits)
 * and a sentence in err; *ret is stored on success only. One blank may stand between
 * a number and its unit. Formatting writes at most UNITS_TEXT bytes, the NUL included,
 * and returns its buffer.
 */

#include <stdint.h>

#include "wirespool/errbuf.h"

#define NS_PER_SEC 1000000000ULL

enum { UNITS_TEXT = 64 };

/* "4096", "64KiB", "1GiB" (powers of 1024), "10MB" (powers of 1000), B optional: "64k" is 64000. */
int size_parse(const char *text, uint64_t *ret_bytes, struct errbuf *err);

/* "10s", "500ms", "2h", "1h30m", "1d"; units ns us ms s m h d. A number needs its unit; "0" does not. */
int duration_parse(const char *text, uint64_t *ret_ns, struct errbuf *err);

/* "40G", "2.5G", "100M", "10k", also with "bit/s" or "bps" behind: bits per second. */
int rate_parse(const char *text, uint64_t *ret_bps, struct errbuf *err);

/* A non-negative whole number, decimal, within min..max; name is what the sentence calls it. */
int number_parse(const char *text, const char *name, uint64_t min, uint64_t max, uint64_t *ret,
	struct errbuf *err);

/* "1.5 GiB" */
char *size_format(uint64_t bytes, char buf[UNITS_TEXT]);

/* "1h30m", "10s", "1.5s" */
char *duration_format(uint64_t ns, char buf[UNITS_TEXT]);

/* "12,345,678" */
char *count_format(uint64_t n, char buf[UNITS_TEXT]);

/* "39.8 Gbit/s" */
char *rate_format(double bps, char buf[UNITS_TEXT]);

/* "59.5 Mpkt/s" */
char *packet_rate_format(double pps, char buf[UNITS_TEXT]);

/* "5.0 GB/s" */
char *byte_rate_format(double bytes_per_s, char buf[UNITS_TEXT]);

/* ns since the epoch -> "2026-11-21T03:30:00.123Z" */
char *utc_format(uint64_t time_ns, char buf[UNITS_TEXT]);
