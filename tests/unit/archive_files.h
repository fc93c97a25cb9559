#pragma once
/*
 * Builds capture files by hand, byte for byte, apart from the code that they test: what a writer lays
 * down, what a crash leaves of it, and what other tools write.
 */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wirespool/archive.h"
#include "wirespool/pcapng.h"

#define TEST_RUN   "of-fice-20261121T033000.123Z"
#define TEST_PART  TEST_RUN "-00001.pcapng.part"
#define TEST_FINAL TEST_RUN "-00001.pcapng"
#define TEST_T0    1795231800123000000ULL /* 2026-11-21T03:30:00.123Z */

struct file_builder {
	uint8_t *bytes;
	size_t len;
	size_t room;
	bool big_endian;

	/* of the segment */
	uint32_t sequence;
	size_t chunk_off;
	struct wirespool_chunk mark;
	uint64_t pkts;
	uint64_t captured_bytes;
	uint64_t wire_bytes;
	uint64_t first_ns;
	uint64_t last_ns;
};

static inline void build_bytes(struct file_builder *f, const void *bytes, size_t len)
{
	if (f->len + len > f->room) {
		f->room = (f->len + len) * 2;
		f->bytes = realloc(f->bytes, f->room);
		ck_assert_ptr_nonnull(f->bytes);
	}
	if (bytes == NULL)
		memset(f->bytes + f->len, 0, len);
	else if (len > 0)
		memcpy(f->bytes + f->len, bytes, len);
	f->len += len;
}

static inline void build_uint(struct file_builder *f, uint64_t v, size_t len)
{
	uint8_t bytes[8];

	for (size_t i = 0; i < len; i++)
		bytes[f->big_endian ? len - 1 - i : i] = (uint8_t)(v >> (8 * i));
	build_bytes(f, bytes, len);
}

static inline void build_u32(struct file_builder *f, uint32_t v)
{
	build_uint(f, v, 4);
}

static inline size_t block_begin(struct file_builder *f, uint32_t type)
{
	size_t off = f->len;

	build_u32(f, type);
	build_u32(f, 0);
	return off;
}

static inline void block_finish(struct file_builder *f, size_t off)
{
	uint32_t length = (uint32_t)(f->len - off + 4);
	size_t end;

	build_u32(f, length);
	end = f->len;
	f->len = off + 4;
	build_u32(f, length);
	f->len = end;
}

static inline void build_option(struct file_builder *f, uint16_t code, const void *v, uint16_t len)
{
	build_uint(f, code, 2);
	build_uint(f, len, 2);
	build_bytes(f, v, len);
	build_bytes(f, NULL, (size_t)(-len & 3));
}

static inline void build_option_uint(
	struct file_builder *f, uint16_t code, uint64_t v, uint16_t len)
{
	build_uint(f, code, 2);
	build_uint(f, len, 2);
	build_uint(f, v, len);
	build_bytes(f, NULL, (size_t)(-len & 3));
}

static inline void build_section(struct file_builder *f, uint64_t section_length)
{
	size_t off = block_begin(f, PCAPNG_SECTION_HEADER);

	build_u32(f, PCAPNG_BYTE_ORDER_MAGIC);
	build_uint(f, 1, 2);
	build_uint(f, 0, 2);
	build_uint(f, section_length, 8);
	build_option(f, SHB_USERAPPL, "test", 4);
	build_u32(f, OPT_END);
	block_finish(f, off);
}

static inline void build_interface(
	struct file_builder *f, uint16_t linktype, uint32_t snaplen, uint8_t tsresol)
{
	size_t off = block_begin(f, PCAPNG_INTERFACE);

	build_uint(f, linktype, 2);
	build_uint(f, 0, 2);
	build_u32(f, snaplen);
	if (tsresol != 6) {
		build_option_uint(f, IF_TSRESOL, tsresol, 1);
		build_u32(f, OPT_END);
	}
	block_finish(f, off);
}

static inline void build_padding(struct file_builder *f, size_t len)
{
	size_t off = block_begin(f, PCAPNG_WIRESPOOL);

	build_u32(f, WIRESPOOL_PAD);
	build_bytes(f, NULL, len - WIRESPOOL_PAD_MIN);
	block_finish(f, off);
}

static inline void build_to_boundary(struct file_builder *f)
{
	size_t left = (PCAPNG_ALIGN - f->len % PCAPNG_ALIGN) % PCAPNG_ALIGN;

	if (left == 0)
		return;
	build_padding(f, left < WIRESPOOL_PAD_MIN ? left + PCAPNG_ALIGN : left);
}

static inline void build_packet_raw(struct file_builder *f, uint32_t interface_id, uint64_t time,
	uint32_t cap_len, uint32_t wire_len, uint64_t dropcount)
{
	/* An Ethernet frame of an experimental type, so that no dissector has a word to say. */
	static const uint8_t ethernet[14] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	size_t off = block_begin(f, PCAPNG_PACKET);
	size_t head = cap_len < sizeof(ethernet) ? cap_len : sizeof(ethernet);

	build_u32(f, interface_id);
	build_u32(f, (uint32_t)(time >> 32));
	build_u32(f, (uint32_t)time);
	build_u32(f, cap_len);
	build_u32(f, wire_len);
	build_bytes(f, ethernet, head);
	for (size_t i = head; i < cap_len; i++)
		build_uint(f, i & 0xff, 1);
	build_bytes(f, NULL, (size_t)(-cap_len & 3));
	if (dropcount != 0) {
		build_option_uint(f, EPB_DROPCOUNT, dropcount, 8);
		build_u32(f, OPT_END);
	}
	block_finish(f, off);
}

static inline void build_statistics(
	struct file_builder *f, uint32_t interface_id, uint64_t time, const uint64_t counters[5])
{
	size_t off = block_begin(f, PCAPNG_STATISTICS);

	build_u32(f, interface_id);
	build_u32(f, (uint32_t)(time >> 32));
	build_u32(f, (uint32_t)time);
	for (uint16_t i = 0; i < 5; i++)
		build_option_uint(f, (uint16_t)(ISB_IFRECV + i), counters[i], 8);
	build_u32(f, OPT_END);
	block_finish(f, off);
}

static inline void build_header(struct file_builder *f, unsigned int interfaces)
{
	build_section(f, UINT64_MAX);
	for (unsigned int i = 0; i < interfaces; i++)
		build_interface(f, 1, PCAPNG_SNAPLEN, 9);
	build_to_boundary(f);
}

static inline void chunk_begin(struct file_builder *f)
{
	f->chunk_off = f->len;
	f->mark = (struct wirespool_chunk){
		.type = PCAPNG_WIRESPOOL,
		.length = sizeof(f->mark),
		.kind = WIRESPOOL_CHUNK,
		.run_hash = run_id_hash(TEST_RUN),
		.segment = 1,
		.sequence = f->sequence++,
		.pkts_before = f->pkts,
		.length_again = sizeof(f->mark),
	};
	build_bytes(f, &f->mark, sizeof(f->mark));
}

static inline void build_packet(
	struct file_builder *f, uint64_t time, uint32_t cap_len, uint32_t wire_len)
{
	build_packet_raw(f, 0, time, cap_len, wire_len, 0);
	if (f->pkts == 0)
		f->first_ns = time;
	if (f->mark.pkts == 0)
		f->mark.first_ns = time;
	f->mark.last_ns = f->last_ns = time;
	f->mark.pkts++;
	f->pkts++;
	f->captured_bytes += cap_len;
	f->wire_bytes += wire_len;
}

static inline void chunk_seal(struct file_builder *f)
{
	f->mark.chunk_bytes = (uint32_t)(f->len - f->chunk_off);
	memcpy(f->bytes + f->chunk_off, &f->mark, sizeof(f->mark));
}

static inline void chunk_finish(struct file_builder *f)
{
	build_to_boundary(f);
	chunk_seal(f);
}

/* A chunk of packets of 100 bytes, 1 us apart. */
static inline void build_chunk(struct file_builder *f, unsigned int pkts)
{
	chunk_begin(f);
	for (unsigned int i = 0; i < pkts; i++)
		build_packet(f, TEST_T0 + f->pkts * 1000, 100, 1500);
	chunk_finish(f);
}

static inline struct wirespool_end build_totals(const struct file_builder *f)
{
	return (struct wirespool_end){
		.type = PCAPNG_WIRESPOOL,
		.length = sizeof(struct wirespool_end),
		.kind = WIRESPOOL_END,
		.segment = 1,
		.run_hash = run_id_hash(TEST_RUN),
		.pkts = f->pkts,
		.captured_bytes = f->captured_bytes,
		.wire_bytes = f->wire_bytes,
		.first_ns = f->first_ns,
		.last_ns = f->last_ns,
		.length_again = sizeof(struct wirespool_end),
	};
}

/* The last chunk: a few packets, statistics of one interface, end block. */
static inline void build_last_chunk(struct file_builder *f, unsigned int pkts)
{
	static const uint64_t counters[5] = {1000, 10, 900, 20, 880};
	struct wirespool_end end;

	chunk_begin(f);
	for (unsigned int i = 0; i < pkts; i++)
		build_packet(f, TEST_T0 + f->pkts * 1000, 100, 1500);
	build_statistics(f, 0, f->last_ns, counters);
	end = build_totals(f);
	build_bytes(f, &end, sizeof(end));
	chunk_seal(f);
}

static inline void builder_done(struct file_builder *f)
{
	free(f->bytes);
	*f = (struct file_builder){0};
}

/* ---- a folder of the test's own ---- */

static char test_folder[64];

static inline void folder_setup(void)
{
	strcpy(test_folder, "/tmp/wirespool-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(test_folder));
}

static inline void folder_teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", test_folder);
	ck_assert_int_eq(system(command), 0);
}

static inline const char *in_folder(const char *name)
{
	static char paths[4][256];
	static unsigned int next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", test_folder, name);
	return path;
}

static inline const char *put_file(const char *name, const void *bytes, size_t len)
{
	const char *path = in_folder(name);
	FILE *file = fopen(path, "w");

	ck_assert_ptr_nonnull(file);
	if (len > 0)
		ck_assert_uint_eq(fwrite(bytes, 1, len, file), len);
	ck_assert_int_eq(fclose(file), 0);
	return path;
}

static inline bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static inline uint64_t size_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

/* What a command says to stdout, up to size - 1 bytes; returns its lines. It must succeed. */
static inline long run_command(const char *command, char *said, size_t size)
{
	char line[4096];
	long lines = 0;
	FILE *out = popen(command, "r");

	ck_assert_ptr_nonnull(out);
	said[0] = '\0';
	while (fgets(line, sizeof(line), out) != NULL) {
		if (line[0] != '\t') /* tcpdump shows the bytes of what it does not know */
			lines++;
		strncat(said, line, size - strlen(said) - 1);
	}
	ck_assert_msg(pclose(out) == 0, "failed: %s", command);
	return lines;
}

/* Three other readers take the file without complaint, and find this many packets. */
static inline void assert_others_read(const char *path, long pkts)
{
	char command[1024], said[4096];
	const char *tab;

	snprintf(command, sizeof(command), "tshark -r '%s' 2>/dev/null", path);
	ck_assert_int_eq(run_command(command, said, sizeof(said)), pkts);
	snprintf(command, sizeof(command), "tcpdump -nn -r '%s' 2>/dev/null", path);
	ck_assert_int_eq(run_command(command, said, sizeof(said)), pkts);
	snprintf(command, sizeof(command), "capinfos -TrMc '%s' 2>/dev/null", path);
	(void)run_command(command, said, sizeof(said));
	tab = strchr(said, '\t');
	ck_assert_ptr_nonnull(tab);
	ck_assert_int_eq(strtol(tab + 1, NULL, 10), pkts);
}
