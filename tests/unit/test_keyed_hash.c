/* rooms: filter common */
#include <check.h>
#include <string.h>

#include "filter/keyed_hash.h"
#include "suite_main.h"

static uint64_t state = 88172645463325252;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

START_TEST(two_words_are_hashed_as_five_with_zeros_behind)
{
	for (unsigned int i = 0; i < 1000; i++) {
		uint64_t words[HASHED_WORDS] = {draw(), draw()};
		struct hash128 five, two;
		struct hash_secret s;

		ck_assert_int_eq(hash_secret_draw(&s), 0);
		five = keyed_hash(&s, words);
		two = keyed_hash_two(&s, words[0], words[1]);
		ck_assert_mem_eq(&five, &two, sizeof(five));
	}
}
END_TEST

/* Each bit of the input, and another key, changes both halves. */
START_TEST(every_bit_and_the_key_count)
{
	struct hash_secret s, other;

	ck_assert_int_eq(hash_secret_draw(&s), 0);
	ck_assert_int_eq(hash_secret_draw(&other), 0);
	for (unsigned int bit = 0; bit < 8 * HASHED_BYTES; bit++) {
		uint64_t words[HASHED_WORDS];
		struct hash128 before, after, foreign;

		for (unsigned int i = 0; i < HASHED_WORDS; i++)
			words[i] = draw();
		before = keyed_hash(&s, words);
		foreign = keyed_hash(&other, words);
		words[bit / 64] ^= 1ULL << bit % 64;
		after = keyed_hash(&s, words);
		ck_assert(before.low != after.low && before.high != after.high);
		ck_assert(before.low != foreign.low && before.high != foreign.high);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keyed_hash");
	TCase *t = tcase_create("keyed_hash");

	tcase_add_test(t, two_words_are_hashed_as_five_with_zeros_behind);
	tcase_add_test(t, every_bit_and_the_key_count);
	suite_add_tcase(s, t);
	return suite_run(s);
}
