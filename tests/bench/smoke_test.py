#!/usr/bin/env python3
"""The study runs to its end in a small extent, and its result has every row it should."""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/study"))

import nano  # noqa: E402
from places import guests_folder  # noqa: E402


def run_study(ringshift, folder, *words):
    result, page = folder / "result.json", folder / "page.html"
    subprocess.run([sys.executable, str(ROOT / "bench/study"), "--ringshift", ringshift, "--quick",
                    "--json", str(result), "--html", str(page), *words], check=True)
    assert "<svg" in page.read_text(), "no plots"
    return json.loads(result.read_text())


def check_nano(ringshift, folder):
    known = run_study(ringshift, folder, "--part", "nano", "--only", "ringshift",
                      "--only", "interpret")
    rows = {row["name"]: row["values"] for row in known["rows"]}
    for name, *_ in nano.ROWS:
        for column in ("ringshift", "interpret"):
            values = rows[name].get(column, [])
            assert len(values) == 3, f"{name} on {column}: {values}"
            assert all(value > 0 for value in values), f"{name} on {column}: {values}"
    assert known["counters"]["nano"]["ringshift"]["events.exceptions"] > 0


def check_workloads(ringshift, folder):
    if not (guests_folder() / "linux-686/vmlinuz").is_file():
        print("skipped: the workloads, without guests in the cache")
        return
    known = run_study(ringshift, folder, "--part", "macro", "--only", "ringshift", "--only",
                      "native", "--workload", "getpid", "--workload", "integer", "--no-fetch")
    rows = {row["name"]: row for row in known["rows"]}
    assert rows["start"]["values"]["ringshift"][0] > 0
    for name in ("getpid", "integer"):
        for column in known["columns"]:
            assert rows[name]["values"][column][0] > 0, f"{name} on {column}"
            assert rows[name]["wall"][column][0] > 0, f"{name} on {column}"
        assert rows[name]["counters"]["ringshift"], f"no counters of {name}"
    assert not [note for note in known["notes"] if "WRONG" in note], known["notes"]


def check_compare(ringshift, folder):
    result = folder / "compare.json"
    subprocess.run([sys.executable, str(ROOT / "bench/compare"), ringshift, ringshift, "--part",
                    "nano", "--rounds", "2", "--json", str(result)], check=True)
    rows = json.loads(result.read_text())["rows"]
    assert len(rows) == len(nano.ROWS), rows
    for row in rows:
        assert len(row["values"]["old"]) == len(row["values"]["new"]) == 2, row


def check_perf_map(ringshift, folder):
    image = nano.make_image(folder / "nano.bin", nano.CYCLES_OF_SLOW_MACHINES)
    with subprocess.Popen([ringshift, "run", "--kernel", str(image), "--memory", "32M",
                           "--no-reboot", "--perf-map"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:
        names = pathlib.Path(f"/tmp/perf-{process.pid}.map")
    try:
        lines = names.read_text().splitlines()
    finally:
        names.unlink(missing_ok=True)
    block = re.compile(r"[0-9a-f]+ [0-9a-f]+ (kernel|user) [0-9a-f]{8} (window|soft)"
                       r"( [imdrsx][0-9]+)+")
    stub = re.compile(r"[0-9a-f]+ [0-9a-f]+ stub [a-z_]+")
    for line in lines:
        assert block.fullmatch(line) or stub.fullmatch(line), line
    entry = f"kernel {int.from_bytes(image.read_bytes()[28:32], 'little'):08x} "
    assert any(entry in line for line in lines), f"no block at the guest's entry, '{entry}'"
    assert any(" user " in line for line in lines), "no user code"


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ringshift", required=True)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        check_nano(arguments.ringshift, pathlib.Path(folder))
        check_perf_map(arguments.ringshift, pathlib.Path(folder))
        check_compare(arguments.ringshift, pathlib.Path(folder))
        check_workloads(arguments.ringshift, pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
