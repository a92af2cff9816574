#!/usr/bin/env python3
"""Two builds of ringshift, interleaved: which figures differ, and by how much.

A, B, B, A, ... in each round; a rank test with no assumption about the distribution says which
differences are more than chance.
usage: python3 bench/compare OLD NEW [--rounds 8] [--part nano|macro] [--json FILE]
"""

import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/study"))

import engines as columns  # noqa: E402
import figures  # noqa: E402
import machine  # noqa: E402
import macro  # noqa: E402
import nano  # noqa: E402
import table  # noqa: E402
import workloads  # noqa: E402
from console import Trouble  # noqa: E402
from places import Stage, guests_folder  # noqa: E402
from results import Results  # noqa: E402

OLD, NEW = "old", "new"
PARTS = ("nano", "macro")
DEFAULT_CHANCE = 0.05
SECONDS = 0.2


def arguments():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="bench/compare")
    options.add_argument("old", type=pathlib.Path, help="a program `ringshift`")
    options.add_argument("new", type=pathlib.Path, help="another one")
    options.add_argument("--rounds", type=int, default=8)
    options.add_argument("--part", action="append", choices=PARTS, help="default: all")
    options.add_argument("--workload", action="append", metavar="NAME", help="default: all",
                         choices=[workload.name for workload in workloads.ALL])
    options.add_argument("--boots", type=int, default=2, help="times that the guests are started")
    options.add_argument("--chance", type=float, default=DEFAULT_CHANCE,
                         help="of a difference by chance, below which it is called one")
    options.add_argument("--kernel", default="linux-686")
    options.add_argument("--memory", default="256M")
    options.add_argument("--timeout", type=float, default=600)
    options.add_argument("--options-old", default="", help="more options of `ringshift run`")
    options.add_argument("--options-new", default="")
    options.add_argument("--json", type=pathlib.Path)
    result = options.parse_args()
    for program in (result.old, result.new):
        if not program.is_file():
            options.error(f"no program at {program}")
    return result


def verdict_of(row, chance):
    """(ratio new/old, chance, word) of a row; the word is empty where nothing can be said."""
    old, new = row.values.get(OLD, []), row.values.get(NEW, [])
    ratio, found = figures.ratio(new, old), figures.significance(old, new)
    if ratio is None or found >= chance:
        return ratio, found, ""
    return ratio, found, "slower" if ratio > 1 else "faster"


def text_of(results, chance):
    lines = [["", "unit", OLD, NEW, "new/old", "chance", ""]]
    for row in results.rows.values():
        if not row.values.get(OLD) or not row.values.get(NEW):
            continue
        ratio, found, word = verdict_of(row, chance)
        lines.append([row.title, row.unit, table.cell(row.values[OLD]), table.cell(row.values[NEW]),
                      figures.times(ratio), f"{found:.4f}", word])
    notes = "".join(f"note: {note}\n" for note in results.notes)
    tested = len(lines) - 1
    return (f"{results.machine}\n\n{table.markdown(lines)}\n\n"
            f"{tested} rows at {chance:g}: expect {tested * chance:.1f} to differ by chance alone\n"
            f"{notes}")


def in_turn(pair, number):
    """Old first, then new first: what the first one leaves behind meets both."""
    return pair if number % 2 == 0 else pair[::-1]


def compare_nano(options, pair, results):
    titles = {name: title for name, title, *_ in nano.ROWS}
    for number in range(options.rounds):
        for engine in in_turn(pair, number):
            for name, values in engine.nano().items():
                row = results.row("nano", name, titles.get(name, name), "cycles")
                results.add(row, engine.name, [min(values)])


def compare_macro(options, context, pair, results):
    kernel = context.stage.add(guests_folder() / options.kernel / "vmlinuz", "vmlinuz")
    initrd = context.stage.add(guests_folder() / "study/initramfs.cpio.gz", "study.cpio.gz")
    chosen = [workload for workload in workloads.ALL
              if not options.workload or workload.name in options.workload]
    for number in range(options.boots):
        with macro.MacroRun(context, in_turn(pair, number), results, SECONDS,
                            lambda text: print(text, file=sys.stderr, flush=True)) as run:
            run.boot_all(kernel, initrd)
            run.run(chosen, -(-options.rounds // options.boots))


def main():
    options = arguments()
    with Stage(options.old) as stage:
        context = columns.Context(stage, options.kernel, options.memory, options.timeout, "max")
        context.cycles_a_second = machine.cycles_a_second_by_kernel()
        new = stage.add(options.new, "ringshift-new", 0o755)
        pair = [columns.Ringshift(OLD, context, options.options_old.split()),
                columns.Ringshift(NEW, context, options.options_new.split(), new)]
        results = Results(machine.line(options.kernel, options.memory, context.cycles_a_second))
        results.columns = [OLD, NEW]
        parts = options.part or PARTS
        try:
            if "nano" in parts:
                compare_nano(options, pair, results)
            if "macro" in parts:
                compare_macro(options, context, pair, results)
        except Trouble as trouble:
            results.note(str(trouble))
    print(text_of(results, options.chance))
    if options.json:
        options.json.write_text(json.dumps(results.to_json(), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
