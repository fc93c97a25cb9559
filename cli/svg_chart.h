#pragma once
/*
 * SVG chart: curves over a common axis, in panels one below the other, as an SVG file of its own: no
 * script, no font, nothing from elsewhere; its colours follow the reader's light or dark scheme.
 *
 * Names  any UTF-8 text; what XML cannot hold is replaced.
 */

#include <stddef.h>
#include <stdio.h>

struct svg_point {
	double x, y; /* neither is negative */
};

enum { SVG_COLOURS = 8, SVG_DASHES = 3 };

struct svg_series {
	const char *name;               /* in the legend */
	const char *note;               /* behind it, as "2.3 GB/s" */
	unsigned int colour;            /* one of SVG_COLOURS; further ones begin anew */
	unsigned int dash;              /* 0: solid, 1: dashed, 2: dotted */
	const struct svg_point *points; /* x never decreases */
	size_t count;
};

struct svg_panel {
	const char *title;
	const char *x_label; /* with its unit */
	const char *y_label;
	const struct svg_series *series;
	size_t count;
};

struct svg_chart {
	const char *title;
	const char *subtitle;
	const struct svg_panel *panels;
	size_t count;
};

/* Both axes begin at 0. Whether it was written, out tells: ferror(3), fclose(3). */
void svg_chart_write(FILE *out, const struct svg_chart *chart);
