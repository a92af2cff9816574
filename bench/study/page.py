"""Results as one HTML page that needs nothing else: tables, and plots drawn as SVG. Pure functions."""

import html
import json
import math

import figures
import table

COLOURS = {"ringshift": "#1c6e8c", "direct": "#3fa7a0", "translate": "#7cb518", "interpret": "#b8b8b8",
           "tcg": "#d1495b", "bochs": "#8d6a9f", "uml": "#edae49", "native": "#444444"}
OTHER_COLOURS = ("#5f0f40", "#0f4c5c", "#e36414")
WIDTH, LABEL, VALUE, BAR, GAP = 940, 300, 70, 13, 10
MOST_REASONS = 8
STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1240px; margin: 2em auto; padding: 0 1em;
       color: #222; background: #fff; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-size: 13px; margin: 1em 0; }
td, th { padding: 2px 9px; text-align: right; border-bottom: 1px solid #e4e4e4; white-space: nowrap; }
td:first-child, th:first-child { text-align: left; } th { background: #f4f4f4; }
figure { margin: 1.2em 0; } figcaption { font-weight: 600; margin-bottom: .4em; }
.machine, .note { color: #555; font-size: 13px; } .scroll { overflow-x: auto; }
.key span { display: inline-block; margin-right: 1.2em; font-size: 13px; }
.key i { display: inline-block; width: 11px; height: 11px; margin-right: 5px; }
svg text { font: 12px system-ui, sans-serif; fill: #222; }
"""


def escape(value):
    return html.escape(str(value), quote=True)


def colour_of(name, place=0):
    return COLOURS.get(name, OTHER_COLOURS[place % len(OTHER_COLOURS)])


def key_of(names):
    return '<div class="key">' + "".join(
        f'<span><i style="background:{colour_of(name, place)}"></i>{escape(name)}</span>'
        for place, name in enumerate(names)) + "</div>"


def text_at(x, y, text, anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def bar_at(x, y, width, colour, title):
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{BAR - 2}" '
            f'fill="{colour}"><title>{escape(title)}</title></rect>')


def svg(height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" role="img">{"".join(parts)}</svg>')


class LogScale:
    """From 10^low to 10^high over the width between labels and values."""

    def __init__(self, values):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)

    def x(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return LABEL + share * (WIDTH - LABEL - VALUE)

    def grid(self, height):
        for power in range(self.low, self.high + 1):
            x = self.x(10 ** power)
            colour = "#888" if power == 0 else "#ddd"
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="18" y2="{height:.0f}" stroke="{colour}"/>'
            yield text_at(x, 12, f"{10.0 ** power:g}", "middle")


def bar_plot(groups, names, caption, base, text):
    """Bars for each (title, [(name, value)]) on a logarithmic scale, all beginning at `base`."""
    groups = [(title, [(name, value) for name, value in found if value and value > 0])
              for title, found in groups]
    groups = [(title, found) for title, found in groups if found]
    if not groups:
        return ""
    scale = LogScale([value for _, found in groups for _, value in found] + [base])
    parts, y = [], 24
    for title, found in groups:
        parts.append(text_at(LABEL - 10, y + len(found) * BAR / 2 + 4, title, "end"))
        for name, value in found:
            left, right = sorted((scale.x(base), scale.x(value)))
            parts.append(bar_at(left, y, right - left, colour_of(name, names.index(name)),
                                f"{title}, {name}: {text(value)}"))
            parts.append(text_at(right + 4, y + BAR - 3, text(value)))
            y += BAR
        y += GAP
    grid = list(scale.grid(y))
    return (f"<figure><figcaption>{escape(caption)}</figcaption>{key_of(names)}"
            f"{svg(y + 4, grid + parts)}</figure>")


def ratio_plot(rows, names, base):
    """Columns over the column `base`; a bar to the left of 1 is faster than it, to the right slower."""
    groups = [(row.title, [(name, figures.ratio(row.values.get(name), row.values.get(base)))
                           for name in names]) for row in rows]
    return bar_plot(groups, names, f"Times {base}; left of 1 is faster", 1, figures.times)


def cycle_plot(rows, columns):
    published = list(dict.fromkeys(name for row in rows for name in row.published))
    names = [*columns, *published]
    groups = [(row.title, [(name, figures.median(row.values.get(name) or []))
                           for name in columns] + list(row.published.items())) for row in rows]
    return bar_plot(groups, names, "Cycles an operation (the papers' on their machines)", 1,
                    figures.number)


def share_plot(shares, caption, names=None):
    """One stacked bar for each entry of {title: {name: amount}}: what makes up the whole."""
    totals = {}
    for parts in shares.values():
        for name, value in parts.items():
            totals[name] = totals.get(name, 0) + value / (sum(parts.values()) or 1)
    order = names or sorted(totals, key=lambda name: -totals[name])[:MOST_REASONS]
    palette = ["#1c6e8c", "#edae49", "#d1495b", "#66a182", "#8d6a9f", "#3d405b", "#e07a5f", "#aaaaaa",
               "#222222"]
    drawn, y = [], 4
    for title, parts in shares.items():
        whole, x = sum(parts.values()), LABEL
        if not whole:
            continue
        drawn.append(text_at(LABEL - 10, y + 12, title, "end"))
        rest = whole - sum(parts.get(name, 0) for name in order)
        for place, name in enumerate([*order, "others"]):
            value = rest if name == "others" else parts.get(name, 0)
            width = (WIDTH - LABEL - 10) * value / whole
            if width > 0.05:
                drawn.append(bar_at(x, y, width, palette[place % len(palette)],
                                    f"{title}: {name} {100 * value / whole:.1f}%"))
            x += width
        y += BAR + 6
    if not drawn:
        return ""
    key = '<div class="key">' + "".join(
        f'<span><i style="background:{palette[place % len(palette)]}"></i>{escape(name)}</span>'
        for place, name in enumerate([*order, "others"])) + "</div>"
    return f"<figure><figcaption>{escape(caption)}</figcaption>{key}{svg(y + 4, drawn)}</figure>"


def counters_with(rows, column, prefix):
    """{title: {event: amount}} of the counters of a kind; the prefix is left out of the names."""
    found = {}
    for row in rows:
        parts = {name[len(prefix):]: value for name, value in row.counters.get(column, {}).items()
                 if name.startswith(prefix)}
        if parts:
            found[row.title] = parts
    return found


def ticks_between(low, high):
    """1, 2, 5, 10, 20, ... between the two."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0 ** power for power in powers for step in (1, 2, 5)
            if low <= step * 10.0 ** power <= high]


def line_plot(rows, names, caption):
    """Median of each column over the rows, in their order; both axes logarithmic."""
    points = {name: [(row, figures.median(row.values.get(name) or [])) for row in rows]
              for name in names}
    known = [value for line in points.values() for _, value in line if value]
    if len(rows) < 2 or not known:
        return ""
    low, high = math.log10(min(known) / 1.3), math.log10(max(known) * 1.3)
    height, left, right = 260, 70, 40

    def place(number, value):
        return (left + number * (WIDTH - left - right) / (len(rows) - 1),
                height - 30 - (math.log10(value) - low) / (high - low) * (height - 50))

    parts = [text_at(place(number, 10 ** low)[0], height - 8, row.title.split()[-1], "middle")
             for number, row in enumerate(rows)]
    for value in ticks_between(10 ** low, 10 ** high):
        y = place(0, value)[1]
        parts.append(f'<line x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}" '
                     'stroke="#ddd"/>')
        parts.append(text_at(left - 8, y + 4, f"{value:g}", "end"))
    for order, (name, line) in enumerate(points.items()):
        at = [(*place(number, value), value) for number, (_, value) in enumerate(line) if value]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in at)
        colour = colour_of(name, order)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"><title>{escape(name)}: '
                  f'{figures.number(value)}</title></circle>' for x, y, value in at]
    return (f"<figure><figcaption>{escape(caption)} ({escape(rows[0].unit)})</figcaption>"
            f"{key_of(names)}{svg(height, parts)}</figure>")


def table_of(lines):
    head, *body = lines
    cells = "".join(f"<th>{escape(word)}</th>" for word in head)
    rows = "".join("<tr>" + "".join(f"<td>{escape(word)}</td>" for word in line) + "</tr>"
                   for line in body)
    return f'<div class="scroll"><table><tr>{cells}</tr>{rows}</table></div>'


def plots_of(results, part, rows, columns):
    others = [name for name in columns if name != "interpret"]
    if part in ("processes", "memory"):
        chosen = {}
        for row in rows:
            chosen.setdefault(row.title.rsplit(":", 1)[0], []).append(row)
        return "".join(line_plot(group, results.columns_of(group), title)
                       for title, group in chosen.items())
    plots = cycle_plot(rows, columns) if part == "nano" else ""
    for base in ("native", "tcg"):
        if base in columns:
            compared = [name for name in others if name not in (base, "native")]
            plots += ratio_plot(rows, compared, base)
    plots += share_plot(counters_with(rows, table.MINE, "exits."),
                        f"Exits of {table.MINE} by reason")
    if part == "macro":
        plots += share_plot({row.title: row.time[table.MINE] for row in rows
                             if row.time.get(table.MINE)},
                            f"Where the processor time of {table.MINE} went")
    return plots


def page_of(results):
    parts = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8"/>',
             "<title>Ringshift: comparison study</title>", f"<style>{STYLE}</style></head><body>",
             "<h1>Ringshift: comparison study</h1>",
             f'<p class="machine">{escape(results.machine)}</p>',
             "<p>Medians; ± is half the distance between the quartiles. Compare by ratio, within "
             "this page only.</p>"]
    for part, title in table.PARTS:
        rows = results.part(part)
        if not rows:
            continue
        columns = results.columns_of(rows)
        published, header = table.header_of(rows, columns)
        parts.append(f"<h2>{escape(title)}</h2>")
        parts.append(plots_of(results, part, rows, columns))
        parts.append(table_of([header, *(table.line_of(row, columns, published) for row in rows)]))
        explained = [[row.title, table.explanation(row)] for row in rows
                     if row.counters.get(table.MINE)]
        if explained:
            parts.append(table_of([["", f"counters of {table.MINE} for each operation"],
                                   *explained]))
    parts += [f'<p class="note">{escape(note)}</p>' for note in results.notes]
    every = json.dumps(results.to_json()).replace("<", "\\u003c")
    parts.append(f'<script type="application/json" id="results">{every}</script></body></html>')
    return "\n".join(parts) + "\n"
