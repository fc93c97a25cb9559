#include "wirespool/errbuf.h"

#include <stdarg.h>
#include <stdio.h>

int fail_with(struct errbuf *err, int error, const char *format, ...)
{
	va_list args;

	if (err != NULL) {
		va_start(args, format);
		(void)vsnprintf(err->text, sizeof(err->text), format, args);
		va_end(args);
	}
	return error;
}
