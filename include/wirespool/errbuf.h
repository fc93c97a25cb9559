#pragma once
/*
 * Errbuf: one sentence for a human, beside the negative errno for the program.
 *
 * Set-up functions take a struct errbuf and, when they fail, leave in it what
 * failed, the value and the rule. Functions of the packets' way never use it.
 */

struct errbuf {
	char text[512];
};

/*
 * Writes the sentence to err (NULL: nowhere) and returns error, so that a
 * failing function ends with "return fail_with(err, -EINVAL, ...)".
 * A sentence that is too long is cut; it always ends with a NUL.
 */
int fail_with(struct errbuf *err, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
