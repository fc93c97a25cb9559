#pragma once
/* What the tests of the header walk share: what it tells as text, and packets cut short. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter/headers.h"
#include "wirespool/filter.h"

enum { HEADERS_TEXT = 512 };

/*
 * One after the other as "ip4@14 none ether@0 17@34 ports first 0x1": version and place, tunnel,
 * Ethernet header or "-", protocol and place of the payload, ports if there, which fragment of what.
 */
static inline void headers_describe(const struct headers *h, char text[HEADERS_TEXT])
{
	static const char *const tunnels[] = {[TUNNEL_NONE] = "none",
		[TUNNEL_IPIP] = "ipip",
		[TUNNEL_GRE] = "gre",
		[TUNNEL_VXLAN] = "vxlan",
		[TUNNEL_GENEVE] = "geneve",
		[TUNNEL_GTP_U] = "gtp-u"};
	FILE *out = fmemopen(text, HEADERS_TEXT, "w");

	ck_assert_ptr_nonnull(out);
	for (unsigned int i = 0; i < h->count; i++) {
		const struct ip_header *ip = &h->ip[i];

		(void)fprintf(out, "%sip%u@%u %s ether@", i == 0 ? "" : ", ", ip->version,
			ip->ip_off, tunnels[ip->tunnel]);
		if (ip->ether_off == NO_ETHERNET)
			(void)fputs("-", out);
		else
			(void)fprintf(out, "%u", ip->ether_off);
		(void)fprintf(
			out, " %u@%u%s", ip->protocol, ip->payload_off, ip->ports ? " ports" : "");
		if (ip->fragment)
			(void)fprintf(out, " %s 0x%x", ip->later_fragment ? "later" : "first",
				ip->fragment_id);
		else
			ck_assert(!ip->later_fragment);
	}
	(void)fputc('\0', out);
	ck_assert_int_eq(fclose(out), 0);
}

/* The walk on a copy that has len bytes and not one more: a sanitizer sees the first too many. */
static inline bool headers_walk_copy(
	int linktype, const uint8_t *data, uint32_t len, struct headers *ret)
{
	uint8_t *copy = malloc(len == 0 ? 1 : len);
	const uint8_t *first = len == 0 ? copy + 1 : copy;
	bool understood;

	memcpy(copy, data, len);
	memset(ret, 0xee, sizeof(*ret)); /* nothing is taken for told that was not stored */
	understood = headers_walk(linktype, first, len, ret);
	ck_assert_uint_eq(headers_length(linktype, first, len), ret->end);
	free(copy);
	return understood;
}

/* What holds of the first len bytes of a packet of which whole is told. */
static inline void headers_check_cut(
	const char *name, const struct headers *whole, const struct headers *cut, uint32_t len)
{
	ck_assert_msg(cut->end <= len && cut->end <= whole->end, "%s cut to %u", name, len);
	ck_assert_msg(cut->count <= whole->count, "%s cut to %u", name, len);
	for (unsigned int i = 0; i < whole->count; i++) {
		const struct ip_header *a = &whole->ip[i], *b = &cut->ip[i];

		if (i >= cut->count) {
			ck_assert_msg(a->payload_off > len, "%s cut to %u: none", name, len);
			continue;
		}
		ck_assert_msg(b->ip_off < b->payload_off && b->payload_off <= len &&
				      b->payload_off <= a->payload_off,
			"%s cut to %u: payload at %u", name, len, b->payload_off);
		ck_assert_msg(b->ports == (a->ports && a->payload_off + 4 <= len),
			"%s cut to %u: ports", name, len);
		ck_assert_msg(a->ip_off == b->ip_off && a->ether_off == b->ether_off &&
				      a->version == b->version && a->tunnel == b->tunnel,
			"%s cut to %u: another header", name, len);
		if (a->payload_off <= len)
			ck_assert_msg(a->payload_off == b->payload_off &&
					      a->protocol == b->protocol &&
					      a->fragment == b->fragment &&
					      a->later_fragment == b->later_fragment &&
					      a->fragment_id == b->fragment_id,
				"%s cut to %u: another payload", name, len);
	}
}

static inline void headers_check_each_length(
	const char *name, int linktype, const uint8_t *data, uint32_t len)
{
	struct headers whole, cut;
	uint32_t end = 0;

	ck_assert(headers_walk_copy(linktype, data, len, &whole));
	for (uint32_t n = 0; n <= len; n++) {
		ck_assert(headers_walk_copy(linktype, data, n, &cut));
		headers_check_cut(name, &whole, &cut, n);
		ck_assert_msg(cut.end >= end, "%s cut to %u: less than before", name, n);
		end = cut.end;
	}
}
