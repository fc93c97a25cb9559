#pragma once
/* What tests of filters share: packets put together field by field, and the expressions of tests/data. */

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random_numbers.h"

enum { PACKET_MAX = 2048, EXPRESSIONS_MAX = 512 };

struct made {
	uint32_t len;
	uint8_t data[PACKET_MAX];
};

static struct made *packets;
static char *expressions[EXPRESSIONS_MAX];
static unsigned int expression_count;

static inline void put(struct made *p, unsigned int bytes, uint64_t value)
{
	while (bytes-- > 0)
		p->data[p->len++] = (uint8_t)(value >> (8 * bytes));
}

static inline void put_random(struct made *p, unsigned int bytes)
{
	while (bytes-- > 0)
		put(p, 1, random_below(4) == 0 ? 0 : random_below(256));
}

static inline void expressions_read(void)
{
	FILE *f = fopen(TEST_DATA "/filter_expressions.txt", "re");
	char line[1024];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0' || line[0] == '#')
			continue;
		ck_assert_uint_lt(expression_count, EXPRESSIONS_MAX);
		expressions[expression_count++] = strdup(line);
	}
	(void)fclose(f);
	ck_assert_uint_ge(expression_count, 150);
}

static inline void expressions_free(void)
{
	while (expression_count > 0)
		free(expressions[--expression_count]);
}
