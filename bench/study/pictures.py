"""The study's charts as SVG, coloured by the page's style. Pure functions."""

import html
import math

import figures
import summary

WIDTH, LABEL, VALUE, ROW = 700, 292, 62, 19
KNOWN = ("ringshift", "direct", "translate", "shadow-trace", "shadow-tlb", "interpret", "tcg", "uml",
         "bochs", "native")
SPARE = ("paper-a", "paper-b")  # for columns that the style does not know
SHARES = ("ringshift", "uml", "tcg", "translate", "bochs", "direct", "paper-a", "interpret", "native")
MOST_REASONS = 8


def escape(value):
    return html.escape(str(value), quote=True)


def colour_of(name, place=0):
    return f"--c:var(--{name if name in KNOWN else SPARE[place % len(SPARE)]})"


def key_of(names):
    return '<div class="key">' + "".join(
        f'<button type="button" aria-pressed="true" data-column="{escape(name)}" style="{colour_of(name, place)}">'
        f"<i></i>{escape(name)}</button>" for place, name in enumerate(names)) + "</div>"


def text_at(x, y, text, anchor="start", kind=""):
    kind = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def figure(caption, height, parts, key=""):  # key: of the shares; columns have one for all charts
    drawn = (f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(caption)}">'
             f'{"".join(parts)}</svg>')
    return f'<figure><figcaption>{escape(caption)}</figcaption>{key}<div class="scroll">{drawn}</div></figure>'


class LogScale:
    """From the least to the greatest value, with some room, over the width between labels and values."""

    def __init__(self, values):
        low, high = math.log10(min(values)), math.log10(max(values))
        room = max(0.04 * (high - low), 0.03)
        self.low, self.high = low - room, high + room

    def x(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return LABEL + share * (WIDTH - LABEL - VALUE)

    def grid(self, height, suffix=""):
        ticks = ticks_between(10 ** self.low, 10 ** self.high)
        if len(ticks) > 9:
            ticks = [tick for tick in ticks if math.log10(tick) % 1 < 1e-9 or math.log10(tick) % 1 > 1 - 1e-9]
        for tick in ticks:
            x, kind = self.x(tick), ' class="one"' if tick == 1 and suffix else ""
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="{height:.0f}"{kind}/>'
            yield text_at(x, 13, f"{tick:g}{suffix}", "middle", "tick")


def ticks_between(low, high):
    """1, 2, 5, 10, 20, ... between the two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0 ** power for power in powers for step in (1, 2, 5)
            if low <= step * 10.0 ** power <= high]


def mark(scale, y, name, place, middle, ends, said, is_second=False):
    """A dot at the median, and the middle half of the samples as a line through it."""
    drawn, about = "", f'data-c="{escape(name)}" style="{colour_of(name, place)}"'
    if ends:
        left, right = scale.x(ends[0]), scale.x(ends[1])
        drawn = f'<line class="whisker" {about} x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    radius = 5 if name == summary.MINE else 3.6
    kind = "mark second" if is_second else "mark"
    return drawn + (f'<circle class="{kind}" {about} cx="{scale.x(middle):.1f}" cy="{y:.1f}" r="{radius}">'
                    f"<title>{escape(said)}</title></circle>")


def points(row, names, base):
    """[(name, median, ends)] of the columns, over the median of the base if there is one."""
    unit = figures.median(row.values.get(base) or []) if base else 1
    for name in names:
        values = row.values.get(name) or []
        middle = figures.median(values)
        if unit and middle and middle > 0:
            yield name, middle / unit, [end / unit for end in figures.quartiles(values) if end > 0]


def published_names(rows):
    return list(dict.fromkeys(name for row in rows for name in row.published))


def dot_plot(rows, names, caption, base=None, second=None):
    """Rows of dots on one logarithmic scale: medians, or medians over those of the column `base`.

    second: rows of another study by name, as hollow dots, each over its own base.
    """
    second = second or {}
    lines = []
    for row in rows:
        found = [(*point, False) for point in points(row, names, base)]
        if found and row.name in second:
            found += [(*point, True) for point in points(second[row.name], names, base)]
        published = [(name, value, (), False) for name, value in row.published.items() if not base and value]
        if found:
            lines.append((row, found + published))
    if not lines:
        return ""
    suffix = "x" if base else ""
    every = [value for _, found in lines for _, middle, ends, _ in found for value in (middle, *ends)]
    scale = LogScale(every + ([1] if base else []))
    order = [*names, *published_names(rows)]
    parts, height = [], 24 + ROW * len(lines)
    for place, (row, found) in enumerate(lines):
        y = 24 + ROW * place + ROW / 2
        if place % 2 == 0:
            parts.append(f'<rect class="band" x="0" y="{y - ROW / 2:.1f}" width="{WIDTH}" height="{ROW}"/>')
    parts += scale.grid(height, suffix)
    for place, (row, found) in enumerate(lines):
        y = 24 + ROW * place + ROW / 2
        parts.append(text_at(LABEL - 12, y + 4, row.title, "end"))
        for name, middle, ends, is_second in sorted(found, key=lambda point: point[0] == summary.MINE):
            unit = suffix or f" {row.unit}"
            whose = f"{name}, the other study" if is_second else name
            parts.append(mark(scale, y, name, order.index(name), middle, ends,
                              f"{row.title}, {whose}: {figures.number(middle)}{unit}", is_second))
        mine = next((middle for name, middle, _, is_second in found if name == summary.MINE and not is_second), None)
        if mine:
            parts.append(text_at(WIDTH - 2, y + 4, f"{figures.number(mine)}{suffix}", "end"))
    return figure(caption, height + 2, parts)


def line_plot(rows, names, caption):
    """Median of each column over the rows, in their order; both axes logarithmic."""
    lines = {name: [(place, figures.median(row.values.get(name) or [])) for place, row in enumerate(rows)]
             for name in names}
    known = [value for line in lines.values() for _, value in line if value]
    if len(rows) < 2 or not known:
        return ""
    low, high = math.log10(min(known) / 1.3), math.log10(max(known) * 1.3)
    height, left, right = 190, 70, 30

    def at(place, value):
        return (left + place * (WIDTH - left - right) / (len(rows) - 1),
                height - 30 - (math.log10(value) - low) / (high - low) * (height - 45))

    parts = [text_at(at(place, 10 ** low)[0], height - 10, row.title.split()[-1], "middle", "tick")
             for place, row in enumerate(rows)]
    for value in ticks_between(10 ** low, 10 ** high):
        y = at(0, value)[1]
        parts.append(f'<line x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text_at(left - 8, y + 4, f"{value:g}", "end", "tick"))
    for order, (name, line) in enumerate(lines.items()):
        about = f'data-c="{escape(name)}" style="{colour_of(name, order)}"'
        placed = [(*at(place, value), value) for place, value in line if value]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in placed)
        parts.append(f'<polyline class="line" {about} points="{path}"/>')
        parts += [f'<circle class="mark" {about} cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{escape(name)}: '
                  f"{figures.number(value)}</title></circle>" for x, y, value in placed]
    return figure(f"{caption} ({rows[0].unit})", height, parts)


def share_plot(shares, caption, names=None):
    """One stacked bar for each entry of {title: {name: amount}}: what makes up the whole."""
    totals = {}
    for parts in shares.values():
        for name, value in parts.items():
            totals[name] = totals.get(name, 0) + value / (sum(parts.values()) or 1)
    order = names or sorted(totals, key=lambda name: -totals[name])[:MOST_REASONS]
    drawn, y = [], 4
    for title, parts in shares.items():
        whole, x = sum(parts.values()), LABEL
        if not whole:
            continue
        drawn.append(text_at(LABEL - 12, y + 11, title, "end"))
        rest = whole - sum(parts.get(name, 0) for name in order)
        for place, name in enumerate([*order, "others"]):
            value = rest if name == "others" else parts.get(name, 0)
            width = (WIDTH - LABEL - 10) * value / whole
            if width > 0.05:
                drawn.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="13" style="fill:var(--c);'
                             f'{colour_of(SHARES[place % len(SHARES)])}"><title>{escape(title)}: {escape(name)} '
                             f"{100 * value / whole:.1f}%</title></rect>")
            x += width
        y += ROW
    if not drawn:
        return ""
    key = '<div class="parts">' + "".join(
        f'<span style="{colour_of(SHARES[place % len(SHARES)])}"><i></i>{escape(name)}</span>'
        for place, name in enumerate([*order, "others"])) + "</div>"
    return figure(caption, y + 4, drawn, key)
