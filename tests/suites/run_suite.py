#!/usr/bin/env python3
"""Runs the test images of an outside suite and compares how each ends with a list.

The list has one line an image: what is expected of it, its name below the folder, and options.
    pass realmode.flat
    fail emulator.flat       # why it fails
    skip taskswitch.flat     # why it is not run
    pass msr.flat -- --memory 256M --cpu model=core
An image passes if it ends by the exit port with a value that --pass names. An image that the list
does not name is run and reported as new; a named one that is not there is missing. The exit status
is 0 if every image ended as the list says and none is missing. usage: run_suite.py --ringshift
PROGRAM --images FOLDER --list FILE [-- more options for ringshift]
"""
import argparse
import concurrent.futures
import pathlib
import shlex
import subprocess
import sys
import time

EXPECTATIONS = ("pass", "fail", "skip")


class Entry:
    def __init__(self, expected, name, options=()):
        self.expected, self.name, self.options = expected, name, list(options)


def read_list(text):
    """{name: Entry}; a line that makes no sense ends it."""
    entries = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = shlex.split(line, comments=True)
        if not words:
            continue
        name = words[1] if len(words) > 1 else ""
        if (words[0] not in EXPECTATIONS or not name or name in entries or
                (len(words) > 2 and words[2] != "--")):
            raise SystemExit(f"line {number} of the list makes no sense: {line}")
        entries[name] = Entry(words[0], name, words[3:])
    return entries


def images_in(folder, patterns):
    return sorted(str(path.relative_to(folder)) for pattern in patterns
                  for path in folder.rglob(pattern) if path.is_file())


class Outcome:
    def __init__(self, status, detail, seconds, output):
        self.status, self.detail, self.seconds, self.output = status, detail, seconds, output


def run_image(arguments, entry):
    path = arguments.images / entry.name
    command = [arguments.ringshift, "run", "--kernel", str(path), "--no-reboot",
               "-device", "pc-testdev", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x4",
               *arguments.more, *entry.options]
    begin = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=arguments.seconds)
        code, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        code, output = None, late.stdout or b""
    seconds = time.monotonic() - begin
    text = output.decode("latin-1").replace("\r", "")
    if code is None:
        return Outcome("fail", f"no end after {arguments.seconds:g} s", seconds, text)
    if code >= 0 and code & 1:
        value = code >> 1
        status = "pass" if value in arguments.passing else "fail"
        return Outcome(status, f"exit port {value}", seconds, text)
    return Outcome("fail", f"exit code {code}", seconds, text)


def verdict(entry, outcome):
    if entry.expected is None:
        return "new"
    return "as listed" if outcome.status == entry.expected else "CHANGED"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog=__doc__.partition("\n\n")[2])
    parser.add_argument("--ringshift", required=True)
    parser.add_argument("--images", required=True, type=pathlib.Path, help="folder of images")
    parser.add_argument("--list", required=True, type=pathlib.Path, help="what is expected")
    parser.add_argument("--pattern", action="append",
                        help="which files are images (default *.flat and *.elf); may be repeated")
    parser.add_argument("--pass", dest="passing", type=int, action="append",
                        help="value at the exit port that means success (default 0)")
    parser.add_argument("--seconds", type=float, default=90, help="for one image (default 90)")
    parser.add_argument("--jobs", type=int, default=1, help="images at once (default 1)")
    parser.add_argument("--output", type=pathlib.Path, help="a folder for what each image prints")
    parser.add_argument("--write-list", type=pathlib.Path,
                        help="write there the list that would agree with this run")
    parser.add_argument("more", nargs="*", help="more options for ringshift, after --")
    arguments = parser.parse_args()
    arguments.passing = arguments.passing or [0]
    entries = read_list(arguments.list.read_text())
    found = images_in(arguments.images, arguments.pattern or ["*.flat", "*.elf"])
    wanted = [entries.get(name, Entry(None, name)) for name in found]
    missing = [name for name in entries if name not in found and entries[name].expected != "skip"]
    counts = {"as listed": 0, "CHANGED": 0, "new": 0, "skipped": 0}
    lines = []
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        pending = [(entry, None if entry.expected == "skip" else
                    pool.submit(run_image, arguments, entry)) for entry in wanted]
        for entry, future in pending:
            if future is None:
                counts["skipped"] += 1
                print(f"skip {entry.name}", flush=True)
                lines.append(f"skip {entry.name}")
                continue
            outcome = future.result()
            judged = verdict(entry, outcome)
            counts[judged] += 1
            print(f"{outcome.status} {entry.name}: {outcome.detail}, {outcome.seconds:.1f} s "
                  f"({judged})", flush=True)
            options = f" -- {shlex.join(entry.options)}" if entry.options else ""
            lines.append(f"{outcome.status} {entry.name}{options}")
            if arguments.output:
                target = arguments.output / (entry.name + ".txt")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(outcome.output)
            if judged == "CHANGED" and outcome.status == "fail":
                print(outcome.output[-1500:])
    for name in missing:
        print(f"missing {name}")
    if arguments.write_list:
        arguments.write_list.write_text("\n".join(lines) + "\n")
    print(", ".join(f"{count} {name}" for name, count in counts.items()) +
          f", {len(missing)} missing")
    return 1 if counts["CHANGED"] or counts["new"] or missing else 0


if __name__ == "__main__":
    sys.exit(main())
