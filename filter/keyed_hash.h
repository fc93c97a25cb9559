#pragma once
/*
 * Keyed hash: of which flow or datagram a packet is, as 128 bits. Private to filter/.
 *
 * The tables behind it do not hold what they know a flow by, only this hash of it: a place then
 * takes a few bytes, and many share a cache line. So two must not meet that are not the same,
 * neither by chance nor because somebody sends what meets: a CRC or a Toeplitz hash can be made
 * to meet under every key, as both are linear.
 *
 * It is NH, the core of UMAC (RFC 4418), on words of 64 bits: for any two inputs, at most one key in
 * 2^64 makes their sums meet. The sum is spread over both halves of the result by one more
 * multiplication with a key for each.
 */

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>

enum { HASHED_WORDS = 5, HASHED_BYTES = 40 };

struct hash_secret {
	uint64_t words[10];
	unsigned __int128 of_zeros; /* what a zero in each word but the first two adds to the sum */
};

struct hash128 {
	uint64_t low, high;
};

static inline unsigned __int128 hash_product(uint64_t a, uint64_t b)
{
	return (unsigned __int128)a * b;
}

static inline uint64_t hash_fold(unsigned __int128 product)
{
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* A key that nobody knows. Returns 0 or -errno. */
static inline int hash_secret_draw(struct hash_secret *secret)
{
	const uint64_t *s = secret->words;
	ssize_t got = getrandom(secret->words, sizeof(secret->words), 0);

	if (got < 0)
		return -errno;
	if (got != sizeof(secret->words))
		return -EIO;
	secret->of_zeros = hash_product(s[2], s[3]) + hash_product(s[4], s[5]);
	return 0;
}

static inline struct hash128 hash_spread(const struct hash_secret *secret, unsigned __int128 sum)
{
	const uint64_t *s = secret->words;
	uint64_t low = (uint64_t)sum, high = (uint64_t)(sum >> 64);

	return (struct hash128){
		.low = hash_fold(hash_product(low + s[6], high + s[7])),
		.high = hash_fold(hash_product(low + s[8], high + s[9])),
	};
}

/* HOT PATH, five multiplications. data is HASHED_BYTES long. */
static inline struct hash128 keyed_hash(const struct hash_secret *secret, const void *data)
{
	const uint64_t *s = secret->words;
	uint64_t w[HASHED_WORDS];

	memcpy(w, data, sizeof(w));
	return hash_spread(secret, hash_product(w[0] + s[0], w[1] + s[1]) +
					   hash_product(w[2] + s[2], w[3] + s[3]) +
					   hash_product(w[4] + s[4], s[5]));
}

/* HOT PATH, three multiplications. The same of two words and zeros behind them. */
static inline struct hash128 keyed_hash_two(
	const struct hash_secret *secret, uint64_t first, uint64_t second)
{
	const uint64_t *s = secret->words;

	return hash_spread(secret, hash_product(first + s[0], second + s[1]) + secret->of_zeros);
}
