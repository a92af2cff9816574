"""Results as text: one table a part, in Markdown that also reads well in a terminal."""

import figures

MINE = "ringshift"
PARTS = (("nano", "Nanobenchmarks: cycles an operation"),
         ("macro", "Workloads: processor time an operation"),
         ("processes", "Live guest processes"),
         ("memory", "Guest memory"))
COUNTERS_SHOWN = 4


def cell(values):
    """The median, and how far the middle half of the samples is from it."""
    if not values:
        return "-"
    text = figures.number(figures.median(values))
    width = figures.spread(values)
    return text if width is None else f"{text} ±{100 * width:.0f}%"


def header_of(rows, columns):
    published = list(dict.fromkeys(name for row in rows for name in row.published))
    ratios = [f"{MINE}/{other}" for other in ("native", "tcg") if other in columns]
    return published, ["", "unit", *columns, *ratios,
                       *(f"{name} (published)" for name in published)]


def line_of(row, columns, published):
    mine = row.values.get(MINE)
    ratios = [figures.times(figures.ratio(mine, row.values.get(other)))
              for other in ("native", "tcg") if other in columns]
    return [row.title, row.unit, *(cell(row.values.get(name)) for name in columns), *ratios,
            *(figures.number(row.published.get(name)) for name in published)]


def explanation(row):
    """The counters that moved most, for each operation of the row."""
    most = sorted(row.counters.get(MINE, {}).items(), key=lambda item: -item[1])[:COUNTERS_SHOWN]
    return ", ".join(f"{name} {figures.number(value)}" for name, value in most)


def markdown(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for place, line in enumerate(lines):
        cells = [line[0].ljust(widths[0]), *(word.rjust(width)
                                             for word, width in zip(line[1:], widths[1:]))]
        text.append("| " + " | ".join(cells) + " |")
        if place == 0:
            text.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def part_text(results, part, title):
    rows = results.part(part)
    if not rows:
        return ""
    columns = results.columns_of(rows)
    published, header = header_of(rows, columns)
    lines = [header, *(line_of(row, columns, published) for row in rows)]
    text = f"## {title}\n\n{markdown(lines)}\n"
    explained = [[row.title, explanation(row)] for row in rows if row.counters.get(MINE)]
    if explained:
        text += (f"\nCounters of {MINE} for each operation:\n\n"
                 + markdown([["", "most frequent events"], *explained]) + "\n")
    return text


def text_of(results):
    parts = [results.machine, "", "Medians; ± is half the distance between the quartiles.", ""]
    parts += [text for part, title in PARTS if (text := part_text(results, part, title))]
    parts += [f"note: {note}" for note in results.notes]
    return "\n".join(parts) + "\n"
