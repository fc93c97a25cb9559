#include "settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void faults_add(struct faults *f, const char *format, ...)
{
	char **texts = realloc(f->texts, (f->count + 1) * sizeof(*texts));
	va_list args;
	char *text;
	int n;

	if (texts == NULL)
		return;
	f->texts = texts;
	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n >= 0)
		f->texts[f->count++] = text;
}

void faults_free(struct faults *f)
{
	for (unsigned int i = 0; i < f->count; i++)
		free(f->texts[i]);
	free(f->texts);
	*f = (struct faults){0};
}
