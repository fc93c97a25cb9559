/* libFuzzer: the header walk over any bytes, as each link type that it understands. */
/* rooms: filter common */

#include <stdlib.h>
#include <string.h>

#include <pcap/dlt.h>

#include "filter/headers.h"
#include "wirespool/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_headers(const struct headers *h, uint32_t len)
{
	uint32_t before = 0;

	must(h->end <= len && h->count <= HEADERS_IP_MAX);
	for (unsigned int i = 0; i < h->count; i++) {
		const struct ip_header *ip = &h->ip[i];

		must(ip->ip_off >= before && ip->ip_off < ip->payload_off);
		must(ip->payload_off <= h->end);
		must(!ip->ports || (ip->payload_off + 4 <= h->end && !ip->later_fragment));
		must(ip->fragment || !ip->later_fragment);
		must(ip->version == 4 || ip->version == 6);
		must((ip->tunnel == TUNNEL_NONE) == (i == 0) && ip->tunnel <= TUNNEL_GTP_U);
		must(ip->ether_off == NO_ETHERNET ||
			(ip->ether_off >= before && ip->ether_off + 14 <= ip->ip_off));
		before = ip->payload_off;
	}
}

/* A copy of its own length: a sanitizer sees the first byte too many. */
static bool walk_copy(int linktype, const uint8_t *data, uint32_t len, struct headers *ret)
{
	uint8_t *copy = malloc(len == 0 ? 1 : len);
	bool understood;

	must(copy != NULL);
	memcpy(copy, data, len);
	memset(ret, 0xee, sizeof(*ret));
	understood = headers_walk(linktype, copy, len, ret);
	check_headers(ret, len);
	must(headers_length(linktype, copy, len) == ret->end);
	free(copy);
	return understood;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int linktypes[] = {
		DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL, DLT_LOOP, -1};
	uint32_t len = (uint32_t)size;
	struct headers whole, half;

	if (size > UINT16_MAX)
		return 0;
	for (size_t i = 0; i < sizeof(linktypes) / sizeof(linktypes[0]); i++) {
		if (!walk_copy(linktypes[i], data, len, &whole)) {
			must(linktypes[i] < 0 && whole.end == len && whole.count == 0);
			continue;
		}
		/* With less of the packet there are no more headers than with all of it. */
		must(walk_copy(linktypes[i], data, len / 2, &half));
		must(half.end <= whole.end && half.count <= whole.count);
	}
	return 0;
}
