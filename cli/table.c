#include "table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "wirespool/log.h"

enum { COLUMNS_MAX = 16 };

struct table {
	const char *const *headings;
	unsigned int columns;
	bool failed;
	char **cells;
	size_t count;
	size_t size;
};

struct table *table_new(const char *const headings[])
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->headings = headings;
	while (t->columns < COLUMNS_MAX && headings[t->columns] != NULL)
		t->columns++;
	return t;
}

void table_cell(struct table *t, const char *format, ...)
{
	va_list args;
	char **cells;

	if (t == NULL || t->failed)
		return;
	if (t->count == t->size) {
		cells = reallocarray(t->cells, 2 * t->size + 64, sizeof(*cells));
		if (cells == NULL) {
			t->failed = true;
			return;
		}
		t->cells = cells;
		t->size = 2 * t->size + 64;
	}
	va_start(args, format);
	if (vasprintf(&t->cells[t->count], format, args) < 0)
		t->failed = true;
	else
		t->count++;
	va_end(args);
}

static void print_line(
	const struct table *t, const char *const cells[], const size_t widths[], const char *indent)
{
	fputs(indent, stdout);
	for (unsigned int i = 0; i < t->columns; i++) {
		const char *gap = i + 1 < t->columns ? "  " : "\n";
		const char *cell =
			cells[i][0] == '>' && cells == t->headings ? cells[i] + 1 : cells[i];

		if (t->headings[i][0] == '>')
			printf("%*s%s", (int)widths[i], cell, gap);
		else if (i + 1 == t->columns)
			printf("%s%s", cell, gap);
		else
			printf("%-*s%s", (int)widths[i], cell, gap);
	}
}

void table_print(struct table *t, const char *indent)
{
	size_t widths[COLUMNS_MAX];

	if (t == NULL || t->failed) {
		log_error("out of memory");
	} else if (t->count >= t->columns) {
		for (unsigned int i = 0; i < t->columns; i++) {
			widths[i] = strlen(t->headings[i] + (t->headings[i][0] == '>'));
			for (size_t at = i; at < t->count; at += t->columns)
				if (strlen(t->cells[at]) > widths[i])
					widths[i] = strlen(t->cells[at]);
		}
		print_line(t, t->headings, widths, indent);
		for (size_t at = 0; at + t->columns <= t->count; at += t->columns)
			print_line(t, (const char *const *)t->cells + at, widths, indent);
	}
	for (size_t at = 0; t != NULL && at < t->count; at++)
		free(t->cells[at]);
	if (t != NULL)
		free(t->cells);
	free(t);
}
