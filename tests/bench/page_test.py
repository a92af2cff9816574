#!/usr/bin/env python3
"""The study's page in headless Chromium: its first screen, what it shows against its data, and how it looks.

Opened in light at 1,600 and 1,000 pixels and in dark at 400, clicked through and looked at as the
laboratory's pages are (tests/lab/pages_test.py). Skipped where there is no Chromium.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/study"), str(ROOT / "tests/lab")]

import nano  # noqa: E402
import page  # noqa: E402
import workloads  # noqa: E402
from pages_test import BROWSERS, DARK, LIGHT, SKIPPED, look  # noqa: E402
from results import Results  # noqa: E402

TALLEST = 3000  # pixels, at 1,600 wide
COLUMNS = ("ringshift", "direct", "translate", "tcg", "native")

USE = """
  const {rows} = study.data, ours = 'ringshift';
  const median = values => { const sorted = [...values].sort((a, b) => a - b), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2; };
  const times = value => (value < 0.095 ? value.toFixed(3) : value < 10 ? value.toFixed(2) : value.toFixed(1)) + 'x';
  const cards = [...document.querySelectorAll('.card')];
  expect(cards.map(card => card.dataset.peer).join() === 'tcg,native', 'a card for each peer');
  for (const card of cards) {
    const pairs = rows.filter(row => row.part === 'macro' && row.unit !== '%' && row.values[card.dataset.peer])
        .map(row => [median(row.values[ours]) / median(row.values[card.dataset.peer]), row.title])
        .sort((a, b) => a[0] - b[0]);
    const mean = Math.exp(pairs.reduce((sum, [ratio]) => sum + Math.log(ratio), 0) / pairs.length);
    const shownMean = card.querySelector('.big').textContent;
    expect(shownMean === times(mean), `${card.dataset.peer}: ${shownMean}, not ${times(mean)}`);
    const lines = [...card.querySelectorAll('li')].map(item => item.textContent);
    const wanted = [...pairs.slice(0, 3), ...pairs.slice(-3).reverse()].map(([ratio, title]) => title + times(ratio));
    expect(lines.join() === wanted.join(), `${card.dataset.peer}: ${lines.join()} and not ${wanted.join()}`);
  }
  expect((document.querySelector('.warning') !== null) === LOUD, 'the warning of the load');
  expect(cards[0].getBoundingClientRect().top < 900, 'the cards are not on the first screen');
  if (innerWidth === 1600) {
    expect(document.documentElement.scrollHeight <= TALLEST, `${document.documentElement.scrollHeight} pixels high`);
  }
  const details = [...document.querySelectorAll('details')];
  expect(details.every(each => !each.open), 'tables and counters are open');
  const marks = [...document.querySelectorAll('circle[data-c="tcg"]')];
  expect(marks.length > 20 && marks.every(shown), `${marks.length} dots of tcg`);
  const [first, second] = document.querySelectorAll('button[data-column="tcg"]');
  click(first);
  expect(!marks.some(shown) && second.getAttribute('aria-pressed') === 'false', 'tcg is not taken off');
  expect([...document.querySelectorAll('circle[data-c="native"]')].every(shown), 'native went with it');
  click(second);
  expect(marks.every(shown), 'tcg does not come back');
  for (const each of details) each.open = true;
  for (const row of rows) {
    for (const [column, values] of Object.entries(row.values)) {
      const cells = [...document.querySelectorAll('td')].filter(cell => cell.textContent === row.title)
          .map(cell => cell.parentElement.textContent);
      const value = median(values), digits = value >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
      expect(cells.some(text => text.includes(digits)), `${row.title}, ${column}: ${digits} is not in the table`);
    }
  }
"""


def study(load, factor=1.0):
    """A study with every row there can be: figures that are made up, and the same each time."""
    results = Results(f"Some Processor <X>; 2,600 million cycles a second; 2 CPUs; load {load} 0.1 0.1; commit abc")
    results.columns = list(COLUMNS)
    rows = [("nano", name, title, "cycles", {"vmware 2006": vmware, "pentium 4": native} if vmware else {})
            for name, title, vmware, native in nano.ROWS]
    rows += [("macro", "start", "start to the first process's shell", "s", {}), ("macro", "idle", "idle at a prompt", "%", {})]
    rows += [("macro", work.name, work.title, work.unit, {}) for work in workloads.ALL]
    rows += [("processes", f"live-{count}", f"turn of one of the live processes: {count}", "us", {})
             for count in (1, 2, 4, 8)]
    rows += [("memory", f"touch-{size}", f"first touch of a page, MiB: {size}", "ns", {}) for size in (64, 128, 256)]
    for place, (part, name, title, unit, published) in enumerate(rows):
        row = results.row(part, name, title, unit, published)
        for order, column in enumerate(COLUMNS):
            if part == "nano" and column in ("direct", "native"):
                continue
            middle = (1.31 + 7 * place % 23) * (1 + (order * 5 + place * order) % 11) * factor
            # Three digits each, so that the table's rounding is not in question.
            results.add(row, column, [float(f"{middle * share:.3g}") for share in (0.94, 1, 1.07)])
        row.counters["ringshift"] = {"exits.interpret": 3.0 + place, "exits.unlinked": 1.5, "soft.misses": 7.0}
        row.time["ringshift"] = {"translated code": 0.4, "translation": 0.1, "the host's kernel": 0.3}
    results.note("left out: bochs: not there")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=pathlib.Path, help="write the pages into that folder, too")
    arguments = parser.parse_args()
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("skipped: no Chromium")
        return SKIPPED
    loud, quiet = study(1.7), study(0.2, 1.2)
    pages = {"one": (page.page_of(loud), True), "two": (page.page_of(quiet, loud), True),
             "quiet": (page.page_of(quiet), False)}
    views = {"one": ((LIGHT, 1600), (DARK, 400)), "two": ((LIGHT, 1000),), "quiet": ((DARK, 1600),)}
    problems = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for title, (text, is_loud) in pages.items():
            if arguments.keep:
                (arguments.keep / f"{title}.html").write_text(text)
            for scheme, width in views[title]:
                use = USE.replace("LOUD", str(is_loud).lower()).replace("TALLEST", str(TALLEST))
                seen = look(browser, folder, text, scheme, width, use)
                where = f"{title}, {'light' if scheme == LIGHT else 'dark'}, {width} pixels"
                if seen["texts"] < 100 or seen["width"] != width or (seen["paper"] > 0.5) != (scheme == LIGHT):
                    problems.append(f"{where}: {seen}")
                problems += [f"{where}: {fault} ({seen['count']} in all)" for fault in seen["faults"]]
        faults = look(browser, folder, pages["one"][0].replace('class="big">', 'class="big">1'), LIGHT, 1000,
                      USE.replace("LOUD", "true").replace("TALLEST", str(TALLEST)))["faults"]
        if not any("not" in fault for fault in faults):
            problems.append("a wrong figure is not found")
    print("\n".join(problems) or f"pass {len(pages)} pages")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
