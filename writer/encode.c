#include "encode.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

enum { OPTION_TEXT_MAX = 1024, OPTION_BYTES_MAX = UINT16_MAX };

static uint8_t *put_u16(uint8_t *at, uint16_t v)
{
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static uint8_t *put_u32(uint8_t *at, uint32_t v)
{
	memcpy(at, &v, sizeof(v));
	return at + sizeof(v);
}

static size_t padded(size_t n)
{
	return (n + 3) & ~(size_t)3;
}

static uint8_t *put_option(uint8_t *at, uint16_t code, const void *value, size_t len)
{
	at = put_u16(at, code);
	at = put_u16(at, (uint16_t)len);
	memset(at, 0, padded(len));
	memcpy(at, value, len);
	return at + padded(len);
}

static uint8_t *put_text(uint8_t *at, uint16_t code, const char *text)
{
	return text == NULL || text[0] == '\0'
		       ? at
		       : put_option(at, code, text, strnlen(text, OPTION_TEXT_MAX));
}

/* Cut, it would be another expression: what no option can hold is left out. */
static size_t filter_option_bytes(const char *expression)
{
	size_t len = expression == NULL ? 0 : strlen(expression);

	return len == 0 || len >= OPTION_BYTES_MAX ? 0 : 4 + padded(1 + len);
}

static uint8_t *put_filter(uint8_t *at, const char *expression)
{
	size_t bytes = filter_option_bytes(expression);

	if (bytes == 0)
		return at;
	memset(at, 0, bytes); /* the value's first byte: a libpcap expression follows */
	(void)put_u16(put_u16(at, IF_FILTER), (uint16_t)(1 + strlen(expression)));
	memcpy(at + 5, expression, strlen(expression));
	return at + bytes;
}

/* Two 32-bit halves, the upper one first: the format's own way with times in options. */
static uint8_t *put_time_option(uint8_t *at, uint16_t code, uint64_t time_ns)
{
	uint32_t halves[2] = {(uint32_t)(time_ns >> 32), (uint32_t)time_ns};

	return put_option(at, code, halves, sizeof(halves));
}

/*
 * Files number link types as libpcap does in memory, except these: their DLT_ values differ
 * between operating systems, those in files must not (libpcap, pcap-common.c).
 */
static uint16_t linktype_in_files(int dlt)
{
	enum { DLT, LINKTYPE, PAIR };
	static const uint16_t DIFFERENT[][PAIR] = {
		{11, 100}, /* ATM_RFC1483 */
		{12, 101}, /* RAW */
		{15, 102}, /* SLIP_BSDOS */
		{16, 103}, /* PPP_BSDOS */
		{19, 106}, /* ATM_CLIP */
	};

	for (size_t i = 0; i < sizeof(DIFFERENT) / sizeof(DIFFERENT[0]); i++) {
		if (DIFFERENT[i][DLT] == dlt)
			return DIFFERENT[i][LINKTYPE];
	}
	return (uint16_t)dlt;
}

/* Ends a block that began at start: option end, both lengths. */
static uint8_t *end_block(uint8_t *start, uint8_t *at)
{
	uint32_t bytes;

	at = put_u32(at, OPT_END);
	bytes = (uint32_t)(at - start) + 4;
	(void)put_u32(start + 4, bytes);
	return put_u32(at, bytes);
}

static uint8_t *put_section_header(uint8_t *at, const struct run_options *o)
{
	uint8_t *start = at;
	struct utsname uts;
	char os[OPTION_TEXT_MAX] = "Linux";

	if (uname(&uts) == 0)
		(void)snprintf(os, sizeof(os), "%.64s %.128s", uts.sysname, uts.release);
	at = put_u32(at, PCAPNG_SECTION_HEADER) + 4;
	at = put_u32(at, PCAPNG_BYTE_ORDER_MAGIC);
	at = put_u16(at, 1);
	at = put_u16(at, 0);
	memset(at, 0xff, 8); /* length of the section: not said */
	at += 8;
	at = put_text(at, OPT_COMMENT, o->comment);
	at = put_text(at, SHB_HARDWARE, o->hardware);
	at = put_text(at, SHB_OS, os);
	at = put_text(at, SHB_USERAPPL, "Wirespool " WIRESPOOL_VERSION);
	return end_block(start, at);
}

static uint8_t *put_interface(uint8_t *at, uint16_t linktype, const struct run_interface *i)
{
	const uint8_t nanoseconds = 9;
	uint8_t *start = at;

	at = put_u32(at, PCAPNG_INTERFACE) + 4;
	at = put_u16(at, linktype);
	at = put_u16(at, 0);
	at = put_u32(at, PCAPNG_SNAPLEN);
	at = put_text(at, IF_NAME, i->name);
	at = put_text(at, IF_DESCRIPTION, i->description);
	if (i->has_mac)
		at = put_option(at, IF_MACADDR, i->mac, sizeof(i->mac));
	if (i->speed_bps != 0)
		at = put_option(at, IF_SPEED, &i->speed_bps, sizeof(i->speed_bps));
	at = put_option(at, IF_TSRESOL, &nanoseconds, 1);
	at = put_filter(at, i->filter);
	return end_block(start, at);
}

static size_t text_option_bytes(const char *text)
{
	return text == NULL ? 0 : 4 + padded(strnlen(text, OPTION_TEXT_MAX) + 1);
}

size_t encode_header_bytes(const struct run_options *o)
{
	size_t bytes = 1024 + text_option_bytes(o->hardware) + text_option_bytes(o->comment) +
		       WIRESPOOL_PAD_MIN;

	for (unsigned int i = 0; i < o->interface_count; i++) {
		const struct run_interface *f = &o->interfaces[i];

		bytes += 128 + text_option_bytes(f->name) + text_option_bytes(f->description) +
			 filter_option_bytes(f->filter);
	}
	return (bytes + PCAPNG_ALIGN - 1) / PCAPNG_ALIGN * PCAPNG_ALIGN;
}

void encode_header(uint8_t *to, size_t bytes, const struct run_options *o)
{
	uint8_t *at = put_section_header(to, o);
	uint32_t rest;

	for (unsigned int i = 0; i < o->interface_count; i++)
		at = put_interface(at, linktype_in_files(o->linktype), &o->interfaces[i]);
	rest = (uint32_t)(bytes - (size_t)(at - to));
	memset(at, 0, rest);
	at = put_u32(at, PCAPNG_WIRESPOOL);
	at = put_u32(at, rest);
	(void)put_u32(at, WIRESPOOL_PAD);
	(void)put_u32(to + bytes - 4, rest);
}

uint32_t encode_statistics(uint8_t *to, uint32_t interface_id, const struct interface_statistics *s)
{
	uint8_t *at = put_u32(to, PCAPNG_STATISTICS) + 4;

	at = put_u32(at, interface_id);
	at = put_u32(at, (uint32_t)(s->now_ns >> 32));
	at = put_u32(at, (uint32_t)s->now_ns);
	at = put_time_option(at, ISB_STARTTIME, s->start_ns);
	at = put_time_option(at, ISB_ENDTIME, s->now_ns);
	at = put_option(at, ISB_IFRECV, &s->ifrecv_pkts, 8);
	at = put_option(at, ISB_IFDROP, &s->ifdrop_pkts, 8);
	at = put_option(at, ISB_FILTERACCEPT, &s->filteraccept_pkts, 8);
	at = put_option(at, ISB_OSDROP, &s->osdrop_pkts, 8);
	at = put_option(at, ISB_USRDELIV, &s->usrdeliv_pkts, 8);
	return (uint32_t)(end_block(to, at) - to);
}

uint32_t encode_padding(uint8_t *to, uint64_t off)
{
	uint32_t bytes = (uint32_t)(-off & (PCAPNG_ALIGN - 1));

	if (bytes == 0)
		return 0;
	if (bytes < WIRESPOOL_PAD_MIN)
		bytes += PCAPNG_ALIGN;
	memset(to, 0, bytes);
	(void)put_u32(to, PCAPNG_WIRESPOOL);
	(void)put_u32(to + 4, bytes);
	(void)put_u32(to + 8, WIRESPOOL_PAD);
	(void)put_u32(to + bytes - 4, bytes);
	return bytes;
}
