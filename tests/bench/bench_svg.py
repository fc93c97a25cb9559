"""Line charts as SVG files of their own: no script, no font from elsewhere, and a ground of their own, so
that they can be read on any page; colours follow the reader's light or dark scheme."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 148, 64, 84
TEXT_HEIGHT = 15
STYLE = """
svg { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --grid: #d9dee3;
  --c0: #0b62c4; --c1: #c2410c; --c2: #15803d; --c3: #7e22ce; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #0d1117; --ink: #f0f6fc; --faint: #9198a1; --grid: #2b323b;
    --c0: #58a6ff; --c1: #fb923c; --c2: #4ade80; --c3: #d8a4ff; } }
text { font: 12px system-ui, "DejaVu Sans", sans-serif; fill: var(--faint); }
.title { font-size: 15px; font-weight: 600; fill: var(--ink); }
.label { fill: var(--ink); }
.halo { stroke: var(--ground); }
.grid { stroke: var(--grid); stroke-width: 1; }
.axis { fill: none; stroke: var(--faint); stroke-width: 1; }
.reference { fill: none; stroke: var(--faint); stroke-width: 1.25; stroke-dasharray: 5 4; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.whisker { stroke-width: 1.25; }
"""
# Some renderers know neither variables nor media queries: the light colours stand in attributes, too.
LIGHT = ("#0b62c4", "#c2410c", "#15803d", "#7e22ce")
GROUND, INK, FAINT, GRID = "#ffffff", "#1f2328", "#59636e", "#d9dee3"
HALO = f' paint-order="stroke" stroke="{GROUND}" stroke-width="4"'


def nice_ticks(top):
    """0 and up in steps of 1, 2, 2.5 or 5 times a power of ten; four to eight of them."""
    power = 10 ** math.floor(math.log10(top / 4))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if top / (factor * power) <= 6.5)
    return [i * step for i in range(math.ceil(top / step) + 1)]


def place_labels(wanted, low, high):
    """Moves labels apart that would lie on each other, as little as they need. Returns their heights."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed = [0.0] * len(wanted)
    at = low - TEXT_HEIGHT
    for i in order:
        at = placed[i] = max(wanted[i], at + TEXT_HEIGHT)
    at = high + TEXT_HEIGHT
    for i in reversed(order):
        at = placed[i] = min(placed[i], at - TEXT_HEIGHT)
    return placed


class Chart:
    """
    series: [{"name", "points": [{"x", "median", "low", "high"}...]}], references: [{"name", "points": [(x, y)...]}].
    xs are all x that have a tick; scale is "log" or "ordinal".
    """

    def __init__(self, title, subtitle, x_label, y_label, xs, scale="log", names=None):
        self.title, self.subtitle, self.x_label, self.y_label = title, subtitle, x_label, y_label
        self.xs, self.scale = xs, scale
        self.names = names or {x: f"{x}" for x in xs}
        self.series = []
        self.references = []
        self.out = []

    def x(self, x):
        if self.scale == "ordinal":
            share = self.xs.index(x) / max(1, len(self.xs) - 1)
        else:
            share = math.log(x / self.xs[0]) / max(1e-9, math.log(self.xs[-1] / self.xs[0]))
        return LEFT + 12 + share * (WIDTH - LEFT - RIGHT - 24)

    def y(self, y):
        return HEIGHT - BOTTOM - y / self.top * (HEIGHT - TOP - BOTTOM)

    def put(self, text):
        self.out.append(text)

    def text(self, x, y, text, kind="", anchor="start", more=""):
        fill = INK if kind else FAINT
        kind = f' class="{kind}"' if kind else ""
        self.put(f'<text x="{x:.1f}" y="{y:.1f}"{kind} fill="{fill}" text-anchor="{anchor}"{more}>{escape(text)}</text>')

    def axes(self):
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        self.text(16, 26, self.title, "title")
        self.text(16, 44, self.subtitle)
        for tick in self.ticks:
            y = self.y(tick)
            self.put(f'<path class="grid" stroke="{GRID}" d="M{LEFT} {y:.1f}H{right}"/>')
            self.text(LEFT - 8, y + 4, f"{tick:g}", anchor="end")
        self.put(f'<path class="axis" stroke="{FAINT}" d="M{LEFT} {bottom}H{right}"/>')
        for x in self.xs:
            self.put(f'<path class="axis" stroke="{FAINT}" d="M{self.x(x):.1f} {bottom}v5"/>')
            self.text(self.x(x), bottom + 19, self.names[x], anchor="middle")
        self.text((LEFT + right) / 2, bottom + 40, self.x_label, anchor="middle")
        middle = (TOP + bottom) / 2
        self.text(18, middle, self.y_label, anchor="middle", more=f' transform="rotate(-90 18 {middle:.1f})"')

    def reference(self, reference):
        path = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in reference["points"])
        self.put(f'<polyline class="reference" clip-path="url(#plot)" fill="none" stroke="{FAINT}"'
                 f' stroke-dasharray="5 4" points="{path}"/>')

    def line(self, i, series):
        colour = f'stroke="{LIGHT[i]}" style="stroke: var(--c{i})"'
        path = " ".join(f"{self.x(p['x']):.1f},{self.y(p['median']):.1f}" for p in series["points"])
        self.put(f'<polyline class="line" fill="none" stroke-width="2" {colour} points="{path}"/>')
        for p in series["points"]:
            x, y = self.x(p["x"]), self.y(p["median"])
            self.put(f'<path class="whisker" {colour} d="M{x:.1f} {self.y(p["low"]):.1f}V{self.y(p["high"]):.1f}"/>')
            self.put(self.mark(i, x, y, f"{series['name']}, {self.names[p['x']]}: {p['median']:.3g}"))

    @staticmethod
    def mark(i, x, y, tip):
        """A shape for each series: colours alone do not tell them apart for everybody."""
        shape = (
            f"M{x - 4:.1f} {y:.1f}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z",
            f"M{x - 4:.1f} {y - 4:.1f}h8v8h-8Z",
            f"M{x:.1f} {y - 5:.1f}l5 9h-10Z",
            f"M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5Z",
        )[i]
        return (f'<path fill="{LIGHT[i]}" style="fill: var(--c{i}); stroke: var(--ground)" d="{shape}">'
                f"<title>{escape(tip)}</title></path>")

    def labels(self):
        """At the ends of the lines; a short stroke leads to a label that had to move."""
        ends = []
        for i, s in enumerate(self.series):
            x, y = s["points"][-1]["x"], s["points"][-1]["median"]
            if x == self.xs[-1]:
                ends.append((s["name"], x, y, i))
            else:  # ends early: beside its last point
                self.text(self.x(x) + 10, self.y(y) - 8, s["name"], "label halo", more=HALO)
        ends += [(r["name"], r["points"][-1][0], r["points"][-1][1], None) for r in self.references]
        wanted = [self.y(min(y, self.top)) for _, _, y, _ in ends]
        for (name, x, _, i), at, placed in zip(ends, wanted, place_labels(wanted, TOP, HEIGHT - BOTTOM)):
            colour = FAINT if i is None else LIGHT[i]
            style = "" if i is None else f' style="stroke: var(--c{i})"'
            self.put(f'<path class="axis" fill="none" stroke="{colour}"{style} d="M{self.x(x) + 8:.1f} {at:.1f}'
                     f'L{WIDTH - RIGHT + 2:.1f} {placed:.1f}h8"/>')
            self.text(WIDTH - RIGHT + 15, placed + 4, name, "label" if i is not None else "")

    def svg(self, footer):
        """A reference that lies far above everything does not squeeze the rest: it is clipped."""
        highest = max(p["high"] for s in self.series for p in s["points"])
        inside = [y for r in self.references for _, y in r["points"] if y <= 1.6 * highest]
        self.ticks = nice_ticks(max([highest * 1.03, *inside]))
        self.top = self.ticks[-1]
        self.out = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
            f' role="img"><title>{escape(self.title)}</title><style>{STYLE}</style>',
            f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}"'
            f' height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{GROUND}" style="fill: var(--ground)"/>',
        ]
        self.axes()
        for reference in self.references:
            self.reference(reference)
        for i, series in enumerate(self.series):
            self.line(i, series)
        self.labels()
        self.text(16, HEIGHT - 14, footer)
        return "\n".join(self.out) + "\n</svg>\n"
