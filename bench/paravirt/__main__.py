"""The same work of a small kernel, as on a bare processor and by calls of its monitor, on each engine.

The kernel is that of tests/guests/kernel, built in both ways from one source: forks, programs, page tables, ticks. For each:
how often guest code gave way to the monitor, cycles by the kernel's own time-stamp counter, waiting included, and the seconds of
processor time that the whole run took; medians of some rounds, which take turns. On the engine `trap` the kernel that does not know goes wrong.
usage: python3 bench/paravirt [--ringshift PROGRAM] [--work N] [--rounds N] [--engine NAME]
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/guests")]
import kernel_build  # noqa: E402
from kernel_test import EXIT_GOOD, report_of, words  # noqa: E402

ENGINES = ("translate", "trap", "interpret")
LEFT = ("unlinked", "indirect", "interpret", "soft_miss", "host_fault", "event_window", "ensure_fpu", "direct_fault",
        "direct_stop", "trap")


def entries(counters):
    """A callout that then leaves is one."""
    return counters["callouts.all"] + sum(counters[f"exits.{name}"] for name in LEFT)


def processor_time():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def one(ringshift, folder, kernels, way, engine, work):
    file = folder / "statistics"
    line = [str(ringshift), *words(str(kernels[way]), way, engine, work, "--stats=json", "--stats-file", str(file))]
    began = processor_time()
    done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    seconds = processor_time() - began
    report = report_of(done.stdout)
    if done.returncode != EXIT_GOOD or report is None:
        return None
    counters = json.loads(file.read_text())
    return (entries(counters), counters["paravirt.calls"], counters["paravirt.table_entries"], report["cycles"] / 1024,
            seconds), report["checksum"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--work", type=int, default=20, help="rounds of the kernel's own work, of 14 processes each")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", action="append", choices=ENGINES, help="may be repeated; default: all")
    chosen = parser.parse_args()
    rows = [(way, engine) for engine in chosen.engine or ENGINES for way in kernel_build.WAYS]
    checksums = set()
    with tempfile.TemporaryDirectory(prefix="ringshift-paravirt-") as name:
        folder = pathlib.Path(name)
        kernels = kernel_build.build(folder)
        found = {row: [] for row in rows}
        for _ in range(chosen.rounds):
            for row in rows:
                result = one(chosen.ringshift, folder, kernels, *row, chosen.work)
                if result is not None:
                    found[row].append(result[0])
                    checksums.add(result[1])
    heads = ("to the monitor", "calls", "table entries", "Mcycles", "seconds")
    print(f"{'engine':<10} {'kernel':<12}" + "".join(f"{head:>16}" for head in heads))
    for (way, engine), values in found.items():
        figures = [statistics.median(column) for column in zip(*values)]
        text = "".join(f"{value:16.{0 if i < 3 else 2}f}" for i, value in enumerate(figures)) if figures else "           wrong"
        print(f"{engine:<10} {way:<12}{text}")
    print("all compute the same" if len(checksums) == 1 else f"they compute different things: {checksums}")
    return 0 if len(checksums) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
