#!/usr/bin/env python3
"""Runs tests/guests/programs in a Debian kernel, with user code run as --user says: what they print
is the same on every engine, and with --user direct or auto the processor itself has run them.
The output of `fpu` is compared with its output on the host itself.

The programs are built for i386 here; without a compiler that can, the test is skipped.
"""

import difflib
import json
import pathlib
import subprocess
import sys

from harness import (EXIT_POWER_OFF, HERE, SKIPPED, Failure, Run, Stage, expect, guest_file, offers_direct,
                     guests_folder, parser, report)

PROGRAMS = HERE / "programs"
NEWC = HERE.parent / "setup/newc.py"
LIBRARIES = ("ld-linux.so.2", "libc.so.6", "libm.so.6")
BUILD = ["gcc", "-m32", "-march=i686", "-msse2", "-O2", "-Wall", "-Wextra", "-Werror"]


# Code with addresses of its own, and locals that outlive a longjmp.
ODD = ["-static", "-no-pie", "-fno-pic", "-O1", "-Wno-missing-field-initializers"]


def build(target, *more, source="programs.c"):
    command = [*BUILD, *more, "-o", str(target), str(PROGRAMS / source), "-lm", "-lpthread"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        why = "no gcc"
    except subprocess.CalledProcessError as problem:
        expect(source not in problem.stderr, problem.stderr)
        why = problem.stderr.strip().splitlines()[-1]
    else:
        return str(target)
    print(f"skipped: cannot build programs for i386 (Debian: gcc-multilib): {why}")
    sys.exit(SKIPPED)


def library(name):
    """The guest's C library: Debian's i386 package where it has been fetched, or the compiler's."""
    fetched = guests_folder() / "tree/libc6/lib/i386-linux-gnu" / name
    if fetched.is_file():
        return str(fetched.resolve())
    found = subprocess.run(["gcc", "-m32", f"-print-file-name={name}"], check=True,
                           capture_output=True, text=True).stdout.strip()
    return str(pathlib.Path(found).resolve())


def make_initramfs(stage):
    entries = [f"dir {name} 755" for name in ("bin", "lib", "dev", "proc", "tmp")]
    entries += ["node dev/console 600 5 1", "node dev/null 666 1 3",
                f"file bin/busybox 755 {guest_file('busybox').resolve()}",
                f"file init 755 {PROGRAMS / 'init'}",
                f"file bin/programs-static 755 {build(stage.path / 'static', '-static')}",
                f"file bin/programs-dynamic 755 {build(stage.path / 'dynamic', '-no-pie')}"]
    for name in ("faults", "fpu"):
        entries.append(f"file bin/{name} 755 "
                       f"{build(stage.path / name, *ODD, source=name + '.c')}")
    entries += [f"file lib/{name} 755 {library(name)}" for name in LIBRARIES]
    output = stage.path / "programs.cpio.gz"
    subprocess.run([sys.executable, str(NEWC), str(output)], input="\n".join(entries) + "\n",
                   text=True, check=True)
    output.chmod(0o644)
    return str(output)


def arguments():
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--kernel", default="linux-686")
    options.add_argument("--user", default="auto", choices=("auto", "direct", "translate"))
    options.add_argument("--timeout", type=float, default=280)
    options.add_argument("more", nargs="*", help="more options for ringshift, after --")
    return options.parse_args()


def on_the_host(program):
    """Returns its output here; None where the host does not run i386 programs."""
    try:
        return subprocess.run([str(program)], check=True, capture_output=True, text=True,
                              timeout=60).stdout
    except OSError as problem:
        print(f"note: not compared with the host: {problem}")
        return None


def check_output(text, fpu):
    programs = (PROGRAMS / "expected").read_text()
    wanted = {"static": programs, "dynamic": programs,
              "faults": (PROGRAMS / "faults.expected").read_text(), "fpu": fpu}
    names = [*wanted, "end"]
    for name, following in zip(names, names[1:]):
        begin, end = f"programs: {name}\n", f"programs: {following}\n"
        expect(begin in text and end in text, f"the console does not show {begin}...{end}")
        printed = text.split(begin, 1)[1].split(end, 1)[0]
        if wanted[name] is None or printed == wanted[name]:
            continue
        expect(False, f"{name}:\n" + "\n".join(difflib.unified_diff(
            wanted[name].splitlines(), printed.splitlines(), "expected", "printed", lineterm="")))


def check_counters(user, counters):
    """The promises of `user` were really kept, where the host can keep them."""
    slices = counters["direct.slices"]
    if user == "auto" and counters["direct.offered"] == 0:
        print("note: this host has no direct execution (ringshift doctor)")
        expect(slices == 0, f"{slices} direct slices on a host without direct execution")
    elif user == "translate":
        expect(slices == 0, f"{slices} direct slices with --user translate")
    else:
        expect(slices > 0, "nothing ran directly")
        expect(counters["direct.escapes"] == 0, "user code is said to have escaped")
        expect(user != "auto" or counters["direct.promotions"] > 0, "no promotion")


def main():
    options = arguments()
    kernel = guest_file(f"{options.kernel}/vmlinuz")
    with Stage(options.ringshift) as stage:
        if options.user == "direct" and not offers_direct(stage.ringshift):
            print("skipped: user code cannot run directly here (ringshift doctor)")
            return SKIPPED
        statistics = stage.path / "counters"
        statistics.touch()
        statistics.chmod(0o666)
        command = ["run", "--kernel", stage.add(kernel, "vmlinuz"), "--initrd",
                   make_initramfs(stage), "--append", "console=ttyS0 quiet panic=-1", "--memory",
                   "128M", "--no-reboot", "--user", options.user, "--stats=json", "--stats-file",
                   str(statistics), *options.more]
        with Run(stage, command, options.timeout) as run:
            try:
                run.read_some()
                run.assert_unprivileged()
                code = run.finish()
                expect(code == EXIT_POWER_OFF, f"exit code {code}")
                check_output(run.text(), on_the_host(stage.path / "fpu"))
                if "interpret" not in options.more:
                    check_counters(options.user, json.loads(statistics.read_text()))
            except Failure as problem:
                report(options.user, run, problem)
                return 1
    print(f"{options.user}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
