#pragma once
/*
 * Bench table: the report of bench_run() as text for people, on stdout.
 */

#include <jansson.h>

void bench_table_print(const json_t *report);
