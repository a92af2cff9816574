#!/usr/bin/env python3
"""Assembles one tiny guest of tests/guests/asm and runs it under each torture switch.

The head of the guest says what to expect:
    ; exit: 0            value it writes to port 0xf4, or a word of EXIT_CODES
    ; options: --cpu nx=on           more options of `ringshift run` (optional)
    ; boot: floppy                   or disk: it is a boot sector, and there is a BIOS (optional)
    ; cdrom: 60                      sectors of a CD-ROM in the drive (optional)
    ; skip: drop-every=7: reason     a variant it cannot pass, and why (optional)
    ; counters direct: direct.escapes=3          what the statistics show in a variant (optional;
                                                 NAME>0 for any number but zero)
    ; serial:
    ;   exact text, line by line
or, where that is long,
    ; serial: in a file              GUEST.expected, beside it
"""
import argparse
import difflib
import json
import operator
import pathlib
import re
import subprocess
import sys
import tempfile

EXIT_USAGE = 2  # of ringshift: the host cannot do what is asked
EXIT_CODES = {"power-off": 0, "unimplemented": 4, "reset": 6}

VARIANTS = {
    "default": [],
    "interpret": ["--engine", "interpret"],
    "direct": ["--user", "direct,cpuid=sweep"],  # on every host
    "direct-faulting": ["--user", "direct,cpuid=fault"],  # where CPUID can be made to fault
    "arena=64K": ["--translator", "arena=64K"],
    "unit-max=1": ["--translator", "unit-max=1"],
    "links=off": ["--translator", "links=off"],
    "callouts=off": ["--translator", "callouts=off"],
    "drop-every=7": ["--translator", "drop-every=7"],
    "verify-every=1": ["--translator", "verify-every=1"],
    "refuse-every=1": ["--translator", "refuse-every=1"],
    "refuse-every=3": ["--translator", "refuse-every=3,verify-every=7"],
    "share-every=5": ["--translator", "share-every=5,verify-every=50"],
    "direct-shared": ["--user", "direct,cpuid=sweep", "--translator",
                      "share-every=7,verify-every=60"],
    "events": ["--clock", "events"],
    "trace": ["--shadow", "trace", "--translator", "verify-every=5"],
    "trace-shared": ["--shadow", "trace", "--user", "direct,cpuid=sweep", "--translator",
                     "share-every=5,refuse-every=7,verify-every=50"],
    "tlb": ["--shadow", "tlb"],
    "all": ["--translator", "arena=64K,unit-max=2,links=off,drop-every=3,verify-every=5"],
}


class Expectation:
    def __init__(self, source):
        self.exit_code, self.options, self.skip = None, [], {}
        self.serial, self.counters = "", {}
        self.boot, self.cdrom_sectors = "kernel", 0
        in_serial = False
        for line in source.read_text().splitlines():
            if not line.startswith(";"):
                break
            if in_serial and (line.startswith(";   ") or line == ";"):
                self.serial += line[4:] + "\n"
            elif line.startswith("; exit:"):
                value = line.split(":", 1)[1].strip()
                self.exit_code = EXIT_CODES.get(value)
                if self.exit_code is None:
                    self.exit_code = (int(value, 0) << 1 | 1) & 0xFF
            elif line.startswith("; options:"):
                self.options += line.split(":", 1)[1].split()
            elif line.startswith("; boot:"):
                self.boot = line.split(":", 1)[1].strip()
            elif line.startswith("; cdrom:"):
                self.cdrom_sectors = int(line.split(":", 1)[1])
            elif line.startswith("; skip:"):
                variant, reason = line.split(":", 1)[1].strip().split(":", 1)
                self.skip[variant] = reason.strip()
            elif line.startswith("; counters "):
                variant, wanted = line.removeprefix("; counters ").split(":", 1)
                self.counters.setdefault(variant, []).extend(wanted.split())
            elif line == "; serial: in a file":
                self.serial = source.with_suffix(".expected").read_text()
            elif line.startswith("; serial:"):
                in_serial = True
        if self.exit_code is None:
            raise SystemExit("no '; exit:' line at the head of the guest")


def assemble(source, image):
    subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", str(source.parent) + "/",
                    "-o", str(image), str(source)], check=True)


def check_counters(wanted, path):
    """Returns those of `wanted`, NAME=NUMBER or NAME>NUMBER each, that the statistics do not
    show."""
    counters = json.loads(path.read_text())
    for each in wanted:
        name, relation, number = re.fullmatch(r"([a-z_.]+)([=>])(\d+)", each).groups()
        holds = operator.eq if relation == "=" else operator.gt
        if not holds(counters[name], int(number)):
            yield f"counter {name} is {counters[name]}, expected {relation} {number}"


def media(image, expected):
    """The options that put the guest, and what it needs, where it finds them."""
    options = [{"kernel": "--kernel", "floppy": "--fda", "disk": "--hda"}[expected.boot], str(image)]
    if expected.cdrom_sectors:
        disc = image.with_suffix(".iso")
        content = bytearray(expected.cdrom_sectors * 2048)
        content[16 * 2048:16 * 2048 + 6] = b"\1CD001"  # a volume descriptor
        disc.write_bytes(content)
        options += ["--cdrom", str(disc)]
    return options


def run(ringshift, image, variant, expected, seconds):
    wanted = expected.counters.get(variant, [])
    statistics = image.with_suffix(".json")
    command = [ringshift, "run", *media(image, expected), "--memory", "32M", "--no-reboot",
               *VARIANTS[variant], *expected.options]
    if wanted:
        command += ["--stats=json", "--stats-file", str(statistics)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=seconds)
    except subprocess.TimeoutExpired as late:
        return f"no end after {seconds} s; printed {late.stdout!r}"
    serial = done.stdout.decode("latin-1").replace("\r", "")
    problems = []
    if done.returncode != expected.exit_code:
        problems.append(f"exit code {done.returncode}, expected {expected.exit_code}")
    if serial != expected.serial:
        problems += difflib.unified_diff(expected.serial.splitlines(), serial.splitlines(),
                                         "expected", "printed", lineterm="")
    if wanted:
        problems += check_counters(wanted, statistics)
    if problems and done.stderr:
        problems.append(done.stderr.decode("latin-1")[-2000:])
    return "\n".join(problems)


def runs_user_code_directly(ringshift, folder, variant):
    """Whether this host can, in this way; prints why not."""
    source = pathlib.Path(folder) / "halt.asm"
    source.write_text("org 0x100000\ndd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)\n"
                      "dd 0x100000, 0x100000, 0, 0, 0x100020\nbits 32\nmov al, 0\nout 0xf4, al\n")
    image = source.with_suffix(".bin")
    assemble(source, image)
    done = subprocess.run([ringshift, "run", "--kernel", str(image), "--memory", "32M",
                           *VARIANTS[variant]], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60)
    if done.returncode == EXIT_USAGE:
        print(f"skip {variant}: {done.stderr.decode().strip()}")
    return done.returncode != EXIT_USAGE


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", required=True)
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="default: all")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("guest", type=pathlib.Path, nargs="+")
    arguments = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        variants = arguments.variant or list(VARIANTS)
        for variant in ("direct", "direct-faulting", "direct-shared"):
            if variant in variants and not runs_user_code_directly(arguments.ringshift, folder,
                                                                   variant):
                variants.remove(variant)
        for source in arguments.guest:
            expected = Expectation(source)
            image = pathlib.Path(folder) / (source.stem + ".bin")
            assemble(source, image)
            for variant in variants:
                if variant in expected.skip:
                    print(f"skip {source.stem} {variant}: {expected.skip[variant]}")
                    continue
                problem = run(arguments.ringshift, image, variant, expected, arguments.seconds)
                print(f"{'FAIL' if problem else 'pass'} {source.stem} {variant}")
                if problem:
                    failures += 1
                    print(problem)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
