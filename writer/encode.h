#pragma once
/*
 * Encode: the pcapng blocks that are not packets, written to memory. Cold: once per
 * segment or per second. Each returns the block's bytes; the caller has made room.
 */

#include <stddef.h>
#include <stdint.h>

#include "wirespool/pcapng.h"
#include "wirespool/writer.h"

/* Section header, one interface description each, padding: a multiple of PCAPNG_ALIGN. */
size_t encode_header_bytes(const struct run_options *o);
void encode_header(uint8_t *to, size_t bytes, const struct run_options *o);

struct interface_statistics {
	uint64_t start_ns;
	uint64_t now_ns;
	uint64_t ifrecv_pkts;
	uint64_t ifdrop_pkts;
	uint64_t filteraccept_pkts;
	uint64_t osdrop_pkts;
	uint64_t usrdeliv_pkts;
};

enum { STATISTICS_BYTES = 24 + 2 * 12 + 5 * 12 + 4 };

uint32_t encode_statistics(
	uint8_t *to, uint32_t interface_id, const struct interface_statistics *s);

/* A padding block that makes off a multiple of PCAPNG_ALIGN again; 0 when it is one. */
uint32_t encode_padding(uint8_t *to, uint64_t off);
