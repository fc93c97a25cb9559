/*
 * libFuzzer: the header walk over any bytes, as each link type that it understands.
 * clang -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/fuzz_headers.c filter/headers.c
 */

#include <stdlib.h>
#include <string.h>

#include <pcap/dlt.h>

#include "wirespool/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int linktypes[] = {
		DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL, DLT_LOOP, -1};

	if (size > UINT16_MAX)
		return 0;
	for (size_t i = 0; i < sizeof(linktypes) / sizeof(linktypes[0]); i++) {
		uint32_t len = (uint32_t)size, end = headers_length(linktypes[i], data, len);

		if (end > len)
			abort();
		/* With less of the packet there are no more headers than with all of it. */
		if (linktypes[i] >= 0 && headers_length(linktypes[i], data, len / 2) > end)
			abort();
	}
	return 0;
}
