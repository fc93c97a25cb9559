#pragma once
/*
 * Bench chart: the rates of bench_run()'s report over time, as a picture.
 */

#include <stdio.h>

#include <jansson.h>

/* Writes an SVG file; whether that went well, out tells. 0 or -ENOMEM. */
int bench_chart_write(FILE *out, const json_t *report);
