#!/usr/bin/env python3
"""Runs clang-tidy over the project's sources, changed files first, within a time budget.

A file that passed is remembered by the digest of all it was made from (itself, the project headers
it includes, its command, .clang-tidy), so that the next run spends its time on the others. Files
the budget did not reach are counted, not failed.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("translator", "monitor", "shadowmmu", "devices")
# Path-sensitive, and so half a minute a file of the interpreter: on demand only.
ANALYZER = "clang-analyzer-core.*,clang-analyzer-cplusplus.*"
INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)


def digest(entry, contents, options):
    result = hashlib.sha256((ROOT / ".clang-tidy").read_bytes() + entry["command"].encode())
    result.update(" ".join(options).encode())
    seen, waiting = set(), [os.path.relpath(entry["file"], ROOT)]
    while waiting:
        name = waiting.pop()
        if name in seen or not (ROOT / name).is_file():
            continue
        seen.add(name)
        if name not in contents:
            contents[name] = (ROOT / name).read_bytes()
        result.update(name.encode() + b"\0" + contents[name])
        waiting += sorted(match.decode() for match in INCLUDE.findall(contents[name]))
    return result.hexdigest()


def changed_files():
    names = set()
    for command in (["git", "diff", "--name-only", "HEAD~1"],
                    ["git", "ls-files", "--others", "--exclude-standard"]):
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        names.update(answer.stdout.split())
    return names


def tidy(build, entry, deadline, options):
    left = deadline - time.monotonic()
    if left <= 1:
        return None
    try:
        answer = subprocess.run(["clang-tidy", "--quiet", *options, "-p", build, entry["file"]],
                                cwd=ROOT, capture_output=True, text=True, timeout=left,
                                check=False)
    except subprocess.TimeoutExpired:
        return None
    return answer.returncode == 0, answer.stdout


def pending_entries(build, stamps, options):
    contents = {}
    database = json.loads((ROOT / build / "compile_commands.json").read_text())
    entries = {}
    for entry in database:
        name = os.path.relpath(entry["file"], ROOT)
        if name.startswith(tuple(folder + "/" for folder in FOLDERS)):
            entries[name] = dict(entry, stamp=stamps / digest(entry, contents, options))
    changed = changed_files()
    pending = [name for name in sorted(entries) if not entries[name]["stamp"].exists()]
    pending.sort(key=lambda name: name not in changed)
    return len(entries), {name: entries[name] for name in pending}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/clang", help="has compile_commands.json")
    parser.add_argument("--budget", type=float, default=300, help="seconds")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--analyzer", action="store_true", help="also the clang static analyzer")
    arguments = parser.parse_args()
    options = ["--checks=" + ANALYZER] if arguments.analyzer else []
    cache = os.environ.get("RINGSHIFT_CACHE") or pathlib.Path.home() / ".cache/ringshift"
    stamps = pathlib.Path(cache) / "tidy"
    stamps.mkdir(parents=True, exist_ok=True)

    deadline = time.monotonic() + arguments.budget
    total, pending = pending_entries(arguments.build, stamps, options)
    failed, skipped = [], []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        answers = pool.map(lambda entry: tidy(arguments.build, entry, deadline, options),
                           pending.values())
        for name, answer in zip(pending, answers):
            if answer is None:
                skipped.append(name)
            elif answer[0]:
                pending[name]["stamp"].touch()
            else:
                failed.append(name)
                print(answer[1], end="")
    passed_now = len(pending) - len(failed) - len(skipped)
    print(f"clang-tidy: {total} files; {total - len(pending)} passed before, {passed_now} now, "
          f"{len(failed)} failed, {len(skipped)} not reached in {arguments.budget:g} s")
    for name in failed:
        print(f"failed: {name}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
