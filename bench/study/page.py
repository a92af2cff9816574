"""Results as one HTML page that needs nothing else: what they come to, then charts, then tables.

The style is the laboratory's with some of its own; both, and the script, are files. Pure functions.
"""

import json
import pathlib

import figures
import pictures
import summary
import table
import workloads
from pictures import escape
from places import ROOT

HERE = pathlib.Path(__file__).resolve().parent
STYLES = (ROOT / "monitor/lab/pages/style.css", HERE / "pages/study.css")
SCRIPT = HERE / "pages/study.js"
PROGRAMS = ("pack", "compile", "shell")
CHANCE = 0.05  # of a difference that is none


def group_of(row):
    if row.name in workloads.COMPUTING:
        return "Computing"
    if row.name in PROGRAMS:
        return "Programs"
    return "The guest's kernel"


def counters_with(rows, column, prefix):
    """{title: {event: amount}} of the counters of a kind; the prefix is left out of the names."""
    found = {}
    for row in rows:
        parts = {name[len(prefix):]: value for name, value in row.counters.get(column, {}).items()
                 if name.startswith(prefix)}
        if parts:
            found[row.title] = parts
    return found


def table_of(lines):
    head, *body = lines
    cells = "".join(f'<th{" class=n" if place else ""}>{escape(word)}</th>' for place, word in enumerate(head))
    rows = "".join("<tr>" + "".join(f'<td{" class=n" if place else ""}>{escape(word)}</td>'
                                    for place, word in enumerate(line)) + "</tr>" for line in body)
    return f'<div class="scroll" tabindex="0"><table><tr>{cells}</tr>{rows}</table></div>'


def ends_of(title, pairs):
    rows = "".join(f"<li><span>{escape(row.title)}</span><b>{figures.times(ratio)}</b></li>" for ratio, row in pairs)
    return f"<h3>{title}</h3><ol>{rows}</ol>"


def card_of(results, peer, second):
    found = summary.of_peer(results, peer)
    if not found:
        return ""
    part, pairs = next(iter(found.items()))
    mean = summary.geometric_mean([ratio for ratio, _ in pairs])
    said = f"geometric mean of {len(pairs)}, {figures.times(pairs[0][0])} to {figures.times(pairs[-1][0])}"
    others = "; ".join(f"{title.split(':')[0]}: {figures.times(summary.geometric_mean([r for r, _ in found[name]]))}"
                       for name, title in table.PARTS if name in found and name != part)
    if second:
        pairs_of_second = summary.of_peer(second, peer).get(part)
        if pairs_of_second:
            before = figures.times(summary.geometric_mean([ratio for ratio, _ in pairs_of_second]))
            said += f"; in the other study {before}"
    low, high = pairs[:summary.SHOWN], pairs[summary.SHOWN:][-summary.SHOWN:]
    return (f'<section class="card" data-peer="{escape(peer)}"><h2>against {escape(peer)}</h2>'
            f'<p class="big">{figures.times(mean)}</p><p>{said}{"; " + others if others else ""}</p>'
            f'{ends_of("Best", low)}{ends_of("Worst", reversed(high)) if high else ""}</section>')


def first_screen(results, second):
    parts = [f'<p class="lead">{escape(summary.sentence(results))}</p>']
    for study, whose in ((results, ""), (second, "The other study: ")):
        loud = summary.warning(study.machine) if study else ""
        if loud:
            parts.append(f'<p class="warning" role="note">{whose}{escape(loud)}</p>')
    parts.append(f'<p class="machine">{escape(results.machine)}</p>')
    if second:
        parts.append(f'<p class="machine">The other study, in hollow dots: {escape(second.machine)}</p>')
    cards = "".join(card_of(results, peer, second) for peer in summary.peers(results))
    parts.append(f'<div class="cards">{cards}</div>')
    parts.append('<p class="faint">Times ours over theirs: below 1x is faster. Medians of processor time; charts show '
                 "the middle half of the samples as a line through the dot. Compare within this page only.</p>")
    return "".join(parts)


def charts_of(results, second, part, rows, columns):
    if part in ("processes", "memory"):
        chosen = {}
        for row in rows:
            chosen.setdefault(row.title.rsplit(":", 1)[0], []).append(row)
        return [pictures.line_plot(group, results.columns_of(group), title) for title, group in chosen.items()]
    others = {row.name: row for row in second.part(part)} if second else {}
    if part == "nano":
        halves = (("Cycles; the papers' on their machines", [row for row in rows if row.published]),
                  ("Cycles", [row for row in rows if not row.published]))
        return [pictures.dot_plot(half, columns, title, None, others) for title, half in halves]
    base = next((name for name in ("native", "tcg") if name in columns), None)
    charts, groups = [], {}
    for row in rows:
        if base and row.values.get(base):
            groups.setdefault(group_of(row), []).append(row)
    names = [name for name in columns if name != base]
    for title, group in groups.items():
        charts.append(pictures.dot_plot(group, names, f"{title}: times {base}", base, others))
    return charts


def on_demand(rows, part):
    """The explanation of the figures, closed until it is asked for."""
    charts = pictures.share_plot(counters_with(rows, table.MINE, "exits."), f"Exits of {table.MINE} by reason")
    if part == "macro":
        charts += pictures.share_plot({row.title: row.time[table.MINE] for row in rows if row.time.get(table.MINE)},
                                      f"Where the processor time of {table.MINE} went")
    explained = [[row.title, table.explanation(row)] for row in rows if row.counters.get(table.MINE)]
    if not explained and not charts:
        return ""
    text = table_of([["", f"counters of {table.MINE} for each operation"], *explained]) if explained else ""
    return f'<details class="counters"><summary>Counters</summary><div class="charts">{charts}</div>{text}</details>'


def changes(results, second):
    """The rows of both studies, in the column that is ours."""
    lines = []
    for row in results.rows.values():
        other = second.rows.get((row.part, row.name))
        mine, theirs = row.values.get(table.MINE), other.values.get(table.MINE) if other else None
        if not mine or not theirs:
            continue
        ratio, chance = figures.ratio(mine, theirs), figures.significance(mine, theirs)
        word = "" if chance >= CHANCE else "less" if ratio < 1 else "more"
        lines.append([row.title, row.unit, table.cell(theirs), table.cell(mine), figures.times(ratio), word])
    if not lines:
        return ""
    return ('<h2 id="two">Two studies</h2><p>"less" and "more" where a rank test finds a chance below 5 %. Times of two '
            "hosts differ by the hosts, too; the cards' ratios do so less.</p>" +
            table_of([["", "unit", "the other", "this", "this/other", ""], *lines]))


def page_of(results, second=None):
    style = "".join(path.read_text() for path in STYLES)
    parts = ["<!DOCTYPE html>", '<html lang="en"><head><meta charset="utf-8"/>',
             '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
             '<link rel="icon" href="data:,"/>',
             f"<title>Ringshift: comparison study</title><style>{style}</style></head>", "<body>",
             "<h1>Ringshift: comparison study</h1>", first_screen(results, second)]
    shown = [(part, title, results.part(part)) for part, title in table.PARTS if results.part(part)]
    parts.append("<nav>" + "".join(f'<a href="#{part}">{escape(title.split(":")[0])}</a>'
                                   for part, title, _ in shown) + ('<a href="#two">Two studies</a>' if second else "") +
                 "</nav>")
    for part, title, rows in shown:
        columns = results.columns_of(rows)
        published, header = table.header_of(rows, columns)
        charts = "".join(charts_of(results, second, part, rows, columns))
        values = table_of([header, *(table.line_of(row, columns, published) for row in rows)])
        parts.append(f'<h2 id="{part}">{escape(title)}</h2>'
                     f'{pictures.key_of([*columns, *pictures.published_names(rows)])}<div class="charts">{charts}</div>'
                     f'<details class="values"><summary>All values</summary>{values}</details>{on_demand(rows, part)}')
    if second:
        parts.append(changes(results, second))
    parts += [f'<p class="faint">{escape(note)}</p>' for note in results.notes]
    every = json.dumps(results.to_json()).replace("<", "\\u003c")
    parts.append(f'<script type="application/json" id="results">{every}</script><script>{SCRIPT.read_text()}</script>')
    return "\n".join(parts) + "\n</body></html>\n"
