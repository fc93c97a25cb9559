#pragma once
/* Numbers that look random and are the same in each run (xorshift64). */

#include <stdint.h>

static uint64_t random_state = 0x9e3779b97f4a7c15;

static inline uint32_t random_below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20) % n;
}

#define PICK(array) (array)[random_below(sizeof(array) / sizeof((array)[0]))]
