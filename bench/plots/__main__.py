"""The output of bench/clone, bench/migration and bench/replicas as one page with a plot of each column.

Each FILE is the standard output of one of them. Both axes of a plot are logarithmic but for the first column, whose values
are apart by the same distance each. A column of words (idle, filled, writing) makes a line of each word. A value that
was not measured is "-", and no point.
usage: python3 bench/plots FILE... --html PAGE
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/study"))
import pictures  # noqa: E402
from page import STYLES, table_of  # noqa: E402

VALUE = re.compile(r"(-?[\d.]+)( ms)?$|-$")


class Row:
    """The arguments for pictures.line_plot() from a study's row."""

    def __init__(self, title, unit):
        self.title, self.unit, self.values = title, unit, {}


def read_table(text):
    """The heads and the rows of the first table: lines with as many words as its head has."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    for place, heads in enumerate(lines):
        if heads[0] in ("MiB", "machines") and len(heads) > 2:
            return heads, [row for row in lines[place + 1:] if len(row) == len(heads)]
    raise ValueError("no table: not the output of a benchmark of clones, migration or replicas")


def plots_of(heads, rows):
    """(caption, rows, names) of each column of numbers."""
    words = [place for place in range(1, len(heads)) if not all(VALUE.match(row[place]) for row in rows)]
    firsts = list(dict.fromkeys(row[0] for row in rows))
    for place in range(1, len(heads)):
        if place in words:
            continue
        unit = "ms" if any(row[place].endswith(" ms") for row in rows) else ""
        plotted = {first: Row(f"{heads[0]} {first}", unit or heads[place]) for first in firsts}
        for row in rows:
            name = " ".join(row[word] for word in words) or heads[place]
            value = VALUE.match(row[place])[1]
            plotted[row[0]].values[name] = [float(value)] if value else []
        names = list(dict.fromkeys(name for row in plotted.values() for name in row.values))
        yield heads[place], list(plotted.values()), names


def section(name, text):
    heads, rows = read_table(text)
    drawn = "".join(pictures.key_of(names) + pictures.line_plot(plotted, names, f"{caption}, by {heads[0]}")
                    for caption, plotted, names in plots_of(heads, rows))
    return f"<h2>{pictures.escape(name)}</h2>{table_of([heads, *rows])}{drawn}"


def page_of(tables):
    style = "".join(path.read_text() for path in STYLES)
    body = "".join(section(name, text) for name, text in tables)
    return ('<!doctype html><html lang="en"><meta charset="utf-8"><title>Machines that are saved, cloned and moved</title>'
            f"<style>{style}</style><h1>Machines that are saved, cloned and moved</h1>{body}</html>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, nargs="+")
    parser.add_argument("--html", type=pathlib.Path, required=True, help="the page to write")
    chosen = parser.parse_args()
    try:
        page = page_of([(path.stem, path.read_text()) for path in chosen.file])
    except (OSError, ValueError) as problem:
        sys.exit(str(problem))
    chosen.html.write_text(page)


if __name__ == "__main__":
    main()
