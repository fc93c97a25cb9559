#pragma once
/*
 * getrandom() in place of libc's: the same keys each time, so that what fails once fails again. Fails itself while
 * getrandom_error is not 0.
 */

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

static int getrandom_error;

ssize_t getrandom(void *buffer, size_t size, unsigned int flags)
{
	uint8_t *bytes = buffer;

	(void)flags;
	if (getrandom_error != 0) {
		errno = getrandom_error;
		return -1;
	}
	for (size_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 167 + i / 7 * 59 + 13);
	return (ssize_t)size;
}
