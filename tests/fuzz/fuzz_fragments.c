/*
 * libFuzzer: the fragment table against a list of datagrams that forgets nothing.
 *
 * The bytes: how large the table is, how long it remembers, when it begins, then operations of three
 * bytes each: what and on which queue, of which datagram, and how much later or a little earlier.
 */
/* rooms: filter common dpdk */

#include <stdlib.h>

#include <rte_memory.h>

#include "filter/fragments.h"
#include "tests/eal_start.h"
#include "tests/same_keys.h"

enum {
	DATAGRAMS = 64,
	QUEUES = 4,
	OPTION_BYTES = 3,
	OPERATION_BYTES = 3,
	OPERATIONS_MAX = 1000, /* ticks must not go all the way round */
	WORDS = 8,             /* of a bucket: so many datagrams are remembered whatever comes */
};

#define TICK_NS  (UINT64_C(1) << 28)
#define ROUND_NS (TICK_NS << 20)

/* What is known of a datagram's first fragment. */
struct listed {
	bool known, kept;
	uint64_t first_ns;
	/*
	 * Others that may have the places in its bucket: those with a first fragment since its own, or
	 * one that bears no earlier time; one bit each. And it may have lost its place as expired.
	 */
	uint64_t rivals;
	bool was_far;
};

struct list {
	struct listed datagrams[DATAGRAMS];
	uint64_t expire_ns;
	uint64_t unknown_pkts;
};

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(eal_start(64));
	return 0;
}

static struct fragment_key datagram_number(unsigned int number)
{
	unsigned int version = (number & 1) != 0 ? 6 : 4;
	uint8_t source[16] = {10, [15] = number & 4}, destination[16] = {10};
	struct fragment_key key;

	source[3] = number & 4;
	/* Where IPv4's protocol tells datagrams apart, IPv6 needs another address. */
	destination[15] = number & 2;
	fragment_key_make(&key, version, (number & 2) != 0 ? 6 : 17, source, destination,
		0x10000 * (version == 6) + number / 8);
	return key;
}

static uint64_t apart_ns(uint64_t a, uint64_t b)
{
	return a > b ? a - b : b - a;
}

static void list_first(struct list *list, unsigned int number, bool kept, uint64_t time_ns)
{
	struct listed *l = &list->datagrams[number];

	*l = (struct listed){.known = true, .kept = kept, .first_ns = time_ns};
	for (unsigned int i = 0; i < DATAGRAMS; i++) {
		struct listed *other = &list->datagrams[i];

		if (i == number || !other->known)
			continue;
		if (other->first_ns / TICK_NS >= time_ns / TICK_NS)
			l->rivals |= UINT64_C(1) << i;
		other->rivals |= UINT64_C(1) << number;
		if (apart_ns(other->first_ns, time_ns) > list->expire_ns)
			other->was_far = true;
	}
}

/* What is told must be true; and what must be known is told. */
static void list_check(
	struct list *list, unsigned int number, enum fragment_decision said, uint64_t time_ns)
{
	const struct listed *l = &list->datagrams[number];
	uint64_t age_ns = apart_ns(l->first_ns, time_ns);

	if (said != FRAGMENT_UNKNOWN) {
		must(l->known && age_ns < list->expire_ns + 2 * TICK_NS);
		must(said == (l->kept ? FRAGMENT_KEPT : FRAGMENT_DROPPED));
		return;
	}
	list->unknown_pkts++;
	must(!l->known || age_ns > list->expire_ns || l->was_far ||
		__builtin_popcountll(l->rivals) >= WORDS);
}

/* A step is up to twice as long as a first fragment is remembered; back, a quarter of that. */
static uint64_t step(uint64_t time_ns, uint8_t byte, uint64_t expire_ns)
{
	if (byte < 192)
		return time_ns + expire_ns * byte / 96;
	return time_ns - expire_ns * (256U - byte) / 128;
}

static void operate(
	struct fragments *table, struct list *list, const uint8_t *operation, uint64_t time_ns)
{
	unsigned int number = operation[1] % DATAGRAMS;
	struct fragment_key key = datagram_number(number);
	bool kept = (operation[0] & 1) != 0;

	if ((operation[0] & 2) != 0) {
		list_check(list, number,
			fragments_later(table, operation[0] / 4 % QUEUES, &key, time_ns), time_ns);
		return;
	}
	fragments_first(table, &key, kept, time_ns);
	list_first(list, number, kept, time_ns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct list list = {.unknown_pkts = 0};
	struct fragments_options o = {.queues = QUEUES, .socket_id = SOCKET_ID_ANY};
	struct fragments *table;
	uint64_t time_ns;

	if (size < OPTION_BYTES || size > OPTION_BYTES + OPERATIONS_MAX * OPERATION_BYTES)
		return 0;
	o.datagrams_max = 1 + data[0] % 16;
	o.expire_ns = data[1] * UINT64_C(123456789);
	list.expire_ns = o.expire_ns != 0 ? o.expire_ns : FRAGMENTS_EXPIRE_NS;
	/* Some time before the ticks go round, or behind it. */
	time_ns = 6000 * ROUND_NS - UINT64_C(200000000000) + data[2] * UINT64_C(1000000000);
	must(fragments_new(&o, &table, NULL) == 0);
	for (size_t at = OPTION_BYTES; at + OPERATION_BYTES <= size; at += OPERATION_BYTES) {
		time_ns = step(time_ns, data[at + 2], list.expire_ns);
		operate(table, &list, data + at, time_ns);
	}
	must(fragments_unknown_pkts(table) == list.unknown_pkts);
	fragments_free(table);
	return 0;
}
