#include "svg_chart.h"

#include <math.h>
#include <stdbool.h>

/* All lengths are in the pixels of the picture at its own size. */
enum {
	WIDTH = 960,
	HEAD = 76,         /* title and subtitle */
	PANEL_HEAD = 44,   /* title of a panel, and room above it */
	PLOT_HEIGHT = 200, /* or as much as its legend takes */
	PANEL_FOOT = 46,   /* numbers and label of the x axis */
	FOOT = 12,
	LEFT = 76,
	PLOT_WIDTH = 600,
	LEGEND = LEFT + PLOT_WIDTH + 24,
	LEGEND_LINE = 34,
	TICKS = 5,
};

/*
 * The hues are Okabe and Ito's, which the colour-blind tell apart, darker on a light ground and
 * lighter on a dark one. No variables: viewers other than browsers do not know them.
 */
static const char STYLE[] =
	"<style>\n"
	"text{font-family:system-ui,-apple-system,'Segoe UI','DejaVu "
	"Sans',sans-serif;font-size:13px}\n"
	".title{font-size:20px;font-weight:600}.panel{font-size:15px;font-weight:600}\n"
	".faint{font-size:12px}.end{text-anchor:end}.middle{text-anchor:middle}\n"
	".curve{fill:none;stroke-width:2;stroke-linejoin:round}\n"
	".d1{stroke-dasharray:7 4}.d2{stroke-dasharray:2 3}\n"
	".ground{fill:#ffffff}text{fill:#1f2328}.faint{fill:#59636e}\n"
	".grid{stroke:#d8dee4}.axis{stroke:#59636e}\n"
	".c0{stroke:#0969b2}.c1{stroke:#c2500a}.c2{stroke:#0b7f5c}.c3{stroke:#a8478a}\n"
	".c4{stroke:#8a6a00}.c5{stroke:#6a737d}.c6{stroke:#6e4bc4}.c7{stroke:#b3261e}\n"
	"@media(prefers-color-scheme:dark){\n"
	".ground{fill:#0d1117}text{fill:#e6edf3}.faint{fill:#9198a1}\n"
	".grid{stroke:#2a3038}.axis{stroke:#9198a1}\n"
	".c0{stroke:#58a6ff}.c1{stroke:#ff9b57}.c2{stroke:#3fd3a1}.c3{stroke:#e8a0d0}\n"
	".c4{stroke:#e3c341}.c5{stroke:#b4bec8}.c6{stroke:#b79cff}.c7{stroke:#ff7b72}\n"
	"}\n"
	"</style>\n";

/* A length on an axis that people count in: 1, 2 or 5 times a power of ten. */
static double step_of(double max, unsigned int ticks)
{
	double rough = max / ticks, power = pow(10, floor(log10(rough)));

	if (rough <= power)
		return power;
	return (rough <= 2 * power ? 2 : rough <= 5 * power ? 5 : 10) * power;
}

struct axes {
	double x_max, y_max; /* whole steps for y, the last point for x */
	double x_step, y_step;
	double top, height;
};

static double at_x(const struct axes *a, double x)
{
	return LEFT + PLOT_WIDTH * x / a->x_max;
}

static double at_y(const struct axes *a, double y)
{
	return a->top + a->height * (1 - y / a->y_max);
}

static double height_of(const struct svg_panel *p)
{
	double legend = (double)p->count * LEGEND_LINE;

	return legend > PLOT_HEIGHT ? legend : PLOT_HEIGHT;
}

static struct axes axes_of(const struct svg_panel *p, double top)
{
	struct axes a = {.top = top, .height = height_of(p)};

	for (size_t s = 0; s < p->count; s++) {
		for (size_t i = 0; i < p->series[s].count; i++) {
			a.x_max = fmax(a.x_max, p->series[s].points[i].x);
			a.y_max = fmax(a.y_max, p->series[s].points[i].y);
		}
	}
	/* An empty panel has axes, too. */
	a.x_max = a.x_max > 0 ? a.x_max : 1;
	a.y_max = a.y_max > 0 ? a.y_max : 1;
	a.x_step = step_of(a.x_max, 2 * TICKS);
	a.y_step = step_of(a.y_max, TICKS);
	a.y_max = a.y_step * ceil(a.y_max / a.y_step);
	return a;
}

/* What XML does not allow in a text, and what would be markup. */
static void put_text(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '&')
			fputs("&amp;", out);
		else if ((unsigned char)*text < ' ' || *text == 0x7f)
			fputc('?', out);
		else
			fputc(*text, out);
	}
}

static void put_label(FILE *out, double x, double y, const char *class, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
	put_text(out, text);
	fputs("</text>\n", out);
}

static void put_line(FILE *out, const char *class, double x1, double y1, double x2, double y2)
{
	fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
		class, x1, y1, x2, y2);
}

static void put_axes(FILE *out, const struct svg_panel *p, const struct axes *a)
{
	double bottom = a->top + a->height;
	char number[32];

	for (unsigned int i = 0; i * a->y_step < a->y_max * 1.001; i++) {
		double y = at_y(a, i * a->y_step);

		put_line(out, i == 0 ? "axis" : "grid", LEFT, y, LEFT + PLOT_WIDTH, y);
		(void)snprintf(number, sizeof(number), "%g", i * a->y_step);
		put_label(out, LEFT - 8, y + 4, "faint end", number);
	}
	for (unsigned int i = 0; i * a->x_step < a->x_max * 1.001; i++) {
		double x = at_x(a, i * a->x_step);

		put_line(out, "axis", x, bottom, x, bottom + 4);
		(void)snprintf(number, sizeof(number), "%g", i * a->x_step);
		put_label(out, x, bottom + 18, "faint middle", number);
	}
	put_label(out, LEFT + PLOT_WIDTH / 2.0, bottom + 36, "faint middle", p->x_label);
	fprintf(out, "<text class=\"faint middle\" transform=\"translate(%d %.1f) rotate(-90)\">",
		LEFT - 54, a->top + a->height / 2);
	put_text(out, p->y_label);
	fputs("</text>\n", out);
}

static void put_stroke(FILE *out, const struct svg_series *s)
{
	fprintf(out, " class=\"curve d%u c%u\"", s->dash % SVG_DASHES, s->colour % SVG_COLOURS);
}

static void put_curve(FILE *out, const struct svg_series *s, const struct axes *a)
{
	fputs("<path", out);
	put_stroke(out, s);
	fputs(" d=\"", out);
	for (size_t i = 0; i < s->count; i++)
		fprintf(out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', at_x(a, s->points[i].x),
			at_y(a, s->points[i].y));
	fputs("\"><title>", out);
	put_text(out, s->name);
	fputs("</title></path>\n", out);
}

static void put_legend(FILE *out, const struct svg_series *s, double y)
{
	fputs("<line", out);
	put_stroke(out, s);
	fprintf(out, " x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\"/>\n", LEGEND, y, LEGEND + 26, y);
	put_label(out, LEGEND + 36, y + 4, "legend", s->name);
	put_label(out, LEGEND + 36, y + 19, "faint", s->note);
}

static void put_panel(FILE *out, const struct svg_panel *p, double top)
{
	struct axes a = axes_of(p, top + PANEL_HEAD);

	put_label(out, LEFT, top + PANEL_HEAD - 14, "panel", p->title);
	put_axes(out, p, &a);
	for (size_t i = 0; i < p->count; i++)
		put_curve(out, &p->series[i], &a);
	for (size_t i = 0; i < p->count; i++)
		put_legend(out, &p->series[i], a.top + 8 + (double)i * LEGEND_LINE);
}

void svg_chart_write(FILE *out, const struct svg_chart *chart)
{
	double height = HEAD + FOOT;

	for (size_t i = 0; i < chart->count; i++)
		height += PANEL_HEAD + height_of(&chart->panels[i]) + PANEL_FOOT;
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%.0f\" "
		"viewBox=\"0 0 %d %.0f\" role=\"img\">\n<title>",
		WIDTH, height, WIDTH, height);
	put_text(out, chart->title);
	fprintf(out, "</title>\n%s<rect class=\"ground\" width=\"100%%\" height=\"100%%\"/>\n",
		STYLE);
	put_label(out, LEFT, 36, "title", chart->title);
	put_label(out, LEFT, 58, "faint", chart->subtitle);
	height = HEAD;
	for (size_t i = 0; i < chart->count; i++) {
		put_panel(out, &chart->panels[i], height);
		height += PANEL_HEAD + height_of(&chart->panels[i]) + PANEL_FOOT;
	}
	fputs("</svg>\n", out);
}
