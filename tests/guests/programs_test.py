#!/usr/bin/env python3
"""Runs tests/guests/programs in a Debian kernel, with user code run as --user says: what they print
is the same on every engine, and with --user direct or auto the processor itself has run them.

The programs are built for i386 here; without a compiler that can, the test is skipped.
"""

import json
import pathlib
import subprocess
import sys

from harness import (EXIT_POWER_OFF, HERE, SKIPPED, Failure, Run, Stage, expect, guest_file,
                     guests_folder, parser, report)

PROGRAMS = HERE / "programs"
NEWC = HERE.parent / "setup/newc.py"
LIBRARIES = ("ld-linux.so.2", "libc.so.6", "libm.so.6")
BUILD = ["gcc", "-m32", "-march=i686", "-msse2", "-O2", "-Wall", "-Wextra", "-Werror"]


def build(target, *more):
    command = [*BUILD, *more, "-o", str(target), str(PROGRAMS / "programs.c"), "-lm", "-lpthread"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        why = "no gcc"
    except subprocess.CalledProcessError as problem:
        expect("programs.c" not in problem.stderr, problem.stderr)
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


def check_output(text):
    wanted = (PROGRAMS / "expected").read_text()
    for linked, end in (("static", "programs: dynamic\n"), ("dynamic", "programs: end\n")):
        begin = f"programs: {linked}\n"
        expect(begin in text and end in text, f"the console does not show {begin}...{end}")
        printed = text.split(begin, 1)[1].split(end, 1)[0]
        expect(printed == wanted, f"{linked}: expected\n{wanted}printed\n{printed}")


def check_counters(user, counters):
    """What `user` promises has really been done, where the host can do it."""
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
                check_output(run.text())
                if "interpret" not in options.more:
                    check_counters(options.user, json.loads(statistics.read_text()))
            except Failure as problem:
                report(options.user, run, problem)
                return 1
    print(f"{options.user}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
