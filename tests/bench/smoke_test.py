#!/usr/bin/env python3
"""The study runs to its end in a small extent, and its result has every row it should."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/study"))

import nano  # noqa: E402
from places import guests_folder  # noqa: E402


def run_study(ringshift, folder, *words):
    result = folder / "result.json"
    subprocess.run([sys.executable, str(ROOT / "bench/study"), "--ringshift", ringshift, "--quick",
                    "--json", str(result), *words], check=True)
    return json.loads(result.read_text())


def check_nano(ringshift, folder):
    known = run_study(ringshift, folder, "--part", "nano", "--only", "ringshift",
                      "--only", "interpret")
    rows = {row["name"]: row["values"] for row in known["rows"]}
    for name, *_ in nano.ROWS:
        for column in ("ringshift", "interpret"):
            values = rows[name].get(column, [])
            assert len(values) == 5, f"{name} on {column}: {values}"
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


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--ringshift", required=True)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        check_nano(arguments.ringshift, pathlib.Path(folder))
        check_workloads(arguments.ringshift, pathlib.Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
