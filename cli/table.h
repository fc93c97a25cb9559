#pragma once
/*
 * Table: lines of text in columns as wide as their widest cell.
 *
 * Memory  cells are kept until table_print() or table_free(). When memory runs out, the table
 *         remembers and table_print() says so instead.
 */

#include <stdio.h>

struct table;

/* headings is ended by NULL and stays the caller's; one that begins with '>' is of a column of numbers. */
struct table *table_new(const char *const headings[]);

/* Fills the next cell: from left to right, line by line. */
void table_cell(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Prints heading and lines, each after indent, and frees t. Nothing at all without lines. */
void table_print(struct table *t, const char *indent);
