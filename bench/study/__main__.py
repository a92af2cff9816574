#!/usr/bin/env python3
"""The comparison study: ringshift's engines, other virtual machines and the host, side by side.

usage: python3 bench/study [--quick] [--json FILE] [--html FILE]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import engines as columns  # noqa: E402
import guests  # noqa: E402
import machine  # noqa: E402
import macro  # noqa: E402
import nano  # noqa: E402
import page  # noqa: E402
import scale  # noqa: E402
import table  # noqa: E402
import workloads  # noqa: E402
from console import Trouble  # noqa: E402
from places import ROOT, Stage, guests_folder  # noqa: E402
from results import Results  # noqa: E402

PARTS = ("nano", "macro", "processes", "memory")
NANO_ROUNDS = 3  # at least: they are short
QUICK_SECONDS, FULL_SECONDS = 0.2, 0.8  # processor time of one run of a workload


def arguments():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="bench/study")
    options.add_argument("--ringshift", type=pathlib.Path, default=ROOT / "build/release/ringshift")
    options.add_argument("--quick", action="store_true",
                         help="one round, short runs: most of the time is the guests' starts; says at the end what it took")
    options.add_argument("--rounds", type=int, help="instead of 5, or 1 with --quick")
    options.add_argument("--guests", type=int, default=1,
                         help="so often all guests are booted anew, with all rounds in each: the memory they get "
                         "is chance, and a chase through it shows that")
    options.add_argument("--part", action="append", choices=PARTS, help="default: all")
    names = [workload.name for workload in workloads.ALL]
    options.add_argument("--workload", action="append", metavar="NAME", choices=names,
                         help=f"may be repeated; default: all of {', '.join(names)}")
    options.add_argument("--no-fetch", dest="fetch", action="store_false",
                         help="use what is in the cache, touch no network")
    options.add_argument("--only", action="append", metavar="COLUMN", choices=columns.NAMES,
                         help=f"may be repeated; default: all of {', '.join(columns.NAMES)}")
    options.add_argument("--kernel", default="linux-686", help="linux-686 or linux-686-pae")
    options.add_argument("--memory", default="256M")
    options.add_argument("--tcg-cpu", default="max", help="the processor QEMU is to imitate")
    options.add_argument("--timeout", type=float, default=600, help="seconds for one guest")
    options.add_argument("--json", type=pathlib.Path, help="every value goes there")
    options.add_argument("--html", "--page", type=pathlib.Path, help="charts and tables as one self-contained page")
    options.add_argument("--from-json", type=pathlib.Path, help="measure nothing, show that again")
    options.add_argument("--over", type=pathlib.Path, metavar="JSON",
                         help="another study, laid over this one in the page: another host, another commit")
    result = options.parse_args()
    result.rounds = result.rounds or (1 if result.quick else 5)
    for path in (result.from_json, result.over):
        if path and not path.is_file():
            options.error(f"no study at {path}")
    if not result.from_json and not result.ringshift.is_file():
        options.error(f"no program at {result.ringshift}: build it, or say --ringshift")
    return result


def taking_part(options, context, results):
    chosen = []
    for engine in [*columns.all_engines(context), guests.Native(context)]:
        if options.only and engine.name not in options.only:
            continue
        reason = engine.absent()
        if reason:
            results.note(f"left out: {engine.name}: {reason}")
        else:
            chosen.append(engine)
    results.columns = [engine.name for engine in chosen]
    return chosen


def progress(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def measure_nano(options, engines, results):
    titles = {name: (title, {"vmware 2006": vmware, "pentium 4": native} if vmware else {})
              for name, title, vmware, native in nano.ROWS}
    for name, (title, published) in titles.items():
        results.row("nano", name, title, "cycles", published)
    rounds = max(NANO_ROUNDS, options.rounds)
    for number in range(rounds):
        for engine in engines:
            if not engine.runs_nano or (engine.name == "bochs" and number >= options.rounds):
                continue  # it is slow, and its figures hardly vary
            progress(f"nanobenchmarks, round {number + 1} of {rounds}: {engine.name}")
            try:
                found = engine.nano()
            except Trouble as trouble:
                results.note(f"nanobenchmarks on {engine.name}: {trouble}")
                continue
            for name, values in found.items():
                # The guest's clock counts waiting for a processor: the least of a run has none.
                results.add(results.row("nano", name, *titles.get(name, (name, {}))[:1],
                                        "cycles"), engine.name, [min(values)])
            if engine.counters():
                results.counters.setdefault("nano", {})[engine.name] = engine.counters()


def prepare(options):
    """The guests' files; what is in the cache is not fetched again."""
    scripts = ["fetch_guests.sh", "fetch_study.sh"] if options.fetch else []
    for script in [*scripts, "make_study.sh"]:
        done = subprocess.run([ROOT / "tests/setup" / script], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            yield f"{script}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}"


def measure_guests(options, parts, context, engines, results):
    stage = context.stage
    study = guests_folder() / "study/initramfs.cpio.gz"
    kernel = guests_folder() / options.kernel / "vmlinuz"
    if not study.is_file() or not kernel.is_file():
        results.note(f"left out: what needs Linux guests: no {kernel} or no {study}")
        return
    seconds = QUICK_SECONDS if options.quick else FULL_SECONDS
    chosen = [workload for workload in workloads.ALL
              if not options.workload or workload.name in options.workload]
    staged = stage.add(kernel, "vmlinuz"), stage.add(study, "study.cpio.gz")
    for _ in range(options.guests):
        with macro.MacroRun(context, engines, results, seconds, progress) as run:
            if "macro" in parts or "processes" in parts:
                run.boot_all(*staged)
            if "macro" in parts:
                run.idle()
                run.run(chosen, options.rounds)
            if "processes" in parts:
                scale.measure_processes(run, options.rounds, options.quick)
    if "memory" in parts:
        scale.measure_memory(context, engines, results, *staged, options.quick, progress)


def read(path):
    return Results.from_json(json.loads(path.read_text()))


def show(options, results):
    print(table.text_of(results))
    if options.json:
        options.json.write_text(json.dumps(results.to_json(), indent=1) + "\n")
    if options.html:
        second = read(options.over) if options.over else None
        options.html.write_text(page.page_of(results, second))


def main():
    options = arguments()
    if options.from_json:
        show(options, read(options.from_json))
        return 0
    parts = options.part or PARTS
    began = time.monotonic()
    with Stage(options.ringshift) as stage:
        context = columns.Context(stage, options.kernel, options.memory, options.timeout,
                                  options.tcg_cpu)
        context.cycles_a_second = machine.cycles_a_second_by_kernel()
        results = Results(machine.line(options.kernel, options.memory, context.cycles_a_second),
                          {"rounds": options.rounds, "quick": options.quick})
        engines = taking_part(options, context, results)
        for problem in prepare(options) if set(parts) != {"nano"} else ():
            results.note(problem)
        if "nano" in parts:
            measure_nano(options, engines, results)
        if set(parts) != {"nano"}:
            measure_guests(options, parts, context, engines, results)
    show(options, results)
    progress(f"the study took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
