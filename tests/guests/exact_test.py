#!/usr/bin/env python3
"""Runs repeat to the bit where events are counted, and what comes from outside can be recorded and replayed.

usage: exact_test.py --ringshift PROGRAM [--guests N] [CASE...]
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import EXIT_POWER_OFF, EXIT_QUIT, EXIT_USAGE, HERE, Run, Stage, expect, parser, run_cases, \
    without_privilege
from run_asm import Expectation, assemble, media

TIMEOUT = 300
EXIT_DIVERGED = 14
READY = "ringshift-guest: ready"
PROMPT = "ringshift:/root# "

# Options that must not matter: how the guest is translated, and whether it is.
WAYS = {
    "translated": [],
    "interpreted": ["--engine", "interpret"],
    "in a small arena": ["--translator", "arena=64K"],
    "an instruction at a time": ["--translator", "unit-max=1"],
    "without links": ["--translator", "links=off,relocate=off"],
    "without callouts": ["--translator", "callouts=off"],
    "dropped": ["--translator", "drop-every=7,verify-every=11"],
    "refused": ["--translator", "refuse-every=3"],
}

# It clears an accessed bit without a flush, and goes on in that page: compared however few are.
CLEARS_ACCESSED = "memory_update_faults.asm"
# It stores pointers to its last x87 instruction.
X87_POINTERS = "x87_pointers.asm"


def digest_of(stage, arguments, name):
    """Returns a run's output, its end, and its digest."""
    path = pathlib.Path(stage.write(name, b""))
    path.chmod(0o666)
    with Run(stage, [*arguments, "--digest", str(path)], TIMEOUT) as run:
        code = run.finish()
        return run.text(), code, path.read_text().strip()


def guests(options):
    """Bare guests that take no host time: each way ends with the same events, registers and RAM."""
    compared = 0
    sources = sorted((HERE / "asm").glob("*.asm"))
    with Stage(options.ringshift) as stage, tempfile.TemporaryDirectory() as folder:
        chosen = {*sources[::max(1, len(sources) // options.guests)],
                  *(HERE / "asm" / name for name in (CLEARS_ACCESSED, X87_POINTERS))}
        for source in sorted(chosen):
            try:
                expected = Expectation(source)
            except SystemExit:
                continue
            if "events" in expected.skip or "--user" in expected.options:
                continue
            image = pathlib.Path(folder) / (source.stem + ".bin")
            assemble(source, image)
            expected_media = media(pathlib.Path(stage.add(image, image.name)), expected)
            line = ["run", *expected_media, "--memory", "32M", "--no-reboot", "--clock", "events", *expected.options]
            ends = {}
            for way, more in WAYS.items():
                if any(word.split("=")[0] in " ".join(more) for word in expected.skip):
                    continue
                ends[way] = digest_of(stage, line + more, "digest")
            first = ends["translated"]
            for way, end in ends.items():
                expect(end == first, f"{source.stem}, {way}: {end[1:]}, translated {first[1:]}")
            compared += len(ends)
    print(f"  {compared} runs")
    expect(compared > 20, f"only {compared} runs were compared")


def linux_line(stage, *more):
    return ["run", *stage.linux("linux-686"), "--memory", "96M", "--no-reboot", *more]


def debian(options):
    """A Debian kernel with all of the self-test: the same console, time stamps and all, the same digest."""
    words = ["--append", "console=ttyS0 panic=-1 ringshift.script=self-test", "--clock", "events"]
    with Stage(options.ringshift) as stage:
        first = digest_of(stage, linux_line(stage, *words), "digest")
        second = digest_of(stage, linux_line(stage, *words, "--translator", "arena=2M,unit-max=5"), "digest")
    expect("self-test: ok" in first[0] and first[1] == EXIT_POWER_OFF, f"no self-test: {first[0][-500:]}")
    expect(first[0] == second[0], "the console differs")
    expect(first[2] == second[2], f"digests {first[2]} and {second[2]}")
    print(f"  {first[2]}")


def folder_of(stage):
    """A folder that the unprivileged run may make its recording in."""
    path = stage.path / "recordings"
    path.mkdir(exist_ok=True)
    path.chmod(0o777)
    return path


COMMANDS = ["uname -a; cat /proc/uptime", "ls / | md5sum; date", "md5sum /bin/busybox", "cat /proc/interrupts"]


def record(stage, folder, commands=COMMANDS, end=True):
    """Types at a Debian guest; what the console has shown."""
    words = ["--append", "console=ttyS0 panic=-1 quiet", "--record", str(folder)]
    with Run(stage, linux_line(stage, *words), TIMEOUT, keyboard=True) as run:
        at = run.wait_for(PROMPT)
        for command in commands:
            run.type(command + "\n")
            at = run.wait_for(PROMPT, at)
            time.sleep(0.1)
        if not end:
            run.process.send_signal(signal.SIGKILL)
            run.process.wait()
            return run.text()
        run.type("\001x")
        expect(run.finish() == EXIT_QUIT, f"the recorded run ended with {run.process.returncode}: {run.errors()}")
        return run.text()


def replay(stage, folder, *more, timeout=TIMEOUT):
    with Run(stage, ["replay", str(folder), *more], timeout) as run:
        code = run.finish()
        return run.text(), code, run.errors()


def recording(options):
    """A replay shows what the recorded run has shown, whatever is translated how."""
    with Stage(options.ringshift) as stage:
        folder = folder_of(stage) / "first"
        shown = record(stage, folder)
        for more in [["--verify"], ["--verify", "--translator", "arena=4M"]]:
            text, code, errors = replay(stage, folder, *more)
            expect(code == EXIT_POWER_OFF, f"replay {more}: exit code {code}: {errors}")
            expect(text == shown, f"replay {more} shows something else: {text[-300:]!r}, recorded {shown[-300:]!r}")
            agree = re.search(r"replayed to event (\d+).*: (\d+) inputs, (\d+) marks agree", errors)
            expect(agree and int(agree[2]) >= len(COMMANDS), f"replay {more} says: {errors}")
        half = int(agree[1]) // 2
        text, code, errors = replay(stage, folder, "--until", str(half))
        expect(code == EXIT_POWER_OFF and shown.startswith(text), f"--until {half}: {code}, {errors}")
        reached = int(re.search(r"replayed to event (\d+)", errors)[1])
        expect(half <= reached < half + 10_000_000, f"--until {half} has stopped at {reached}")


def killed(options):
    """A recorder that was killed leaves a tape that replays to its last chunk."""
    with Stage(options.ringshift) as stage:
        folder = folder_of(stage) / "killed"
        shown = record(stage, folder, COMMANDS + ["sleep 5; echo later"], end=False)
        text, code, errors = replay(stage, folder, "--verify")
        expect(code == EXIT_POWER_OFF, f"exit code {code}: {errors}")
        expect(text and shown.startswith(text[:len(shown)]), f"shows something else: {text[-300:]!r}")


def saved_by_host_clock(stage):
    """A saved machine whose guest has measured the processor's own counter."""
    stage.path.chmod(0o777)
    saved = str(stage.path / "saved")
    with Run(stage, linux_line(stage, "--append", "console=ttyS0 quiet", "--save", f"{saved},after=1"), TIMEOUT) as run:
        run.finish()
    return saved


def refused(options):
    """Recordings that are damaged, or of other files; lines that cannot be recorded."""
    with Stage(options.ringshift) as stage:
        recordings = folder_of(stage)
        folder = recordings / "good"
        record(stage, folder, COMMANDS[:1])

        def changed(name, file, change):
            copy = recordings / name
            shutil.copytree(folder, copy)
            content = bytearray((copy / file).read_bytes())
            (copy / file).write_bytes(change(content))
            for each in copy.iterdir():
                each.chmod(0o644)
            copy.chmod(0o755)
            return replay(stage, copy)

        def flip(at):
            def change(content):
                content[at] ^= 0x55
                return content
            return change

        description = json.loads((folder / "run.json").read_text())
        other_kernel = dict(description, files={path: "0" * 16 for path in description["files"]})
        cases = [
            ("magic", "tape", flip(0), EXIT_USAGE, "it is no tape"),
            ("version", "tape", flip(8), EXIT_USAGE, "is of version"),
            ("chunk", "tape", flip(50), EXIT_DIVERGED, "chunk 0 is damaged"),
            ("none", "tape", lambda content: b"", EXIT_USAGE, "it is no tape"),
            ("words", "run.json", lambda content: b"{}", EXIT_USAGE, "does not describe a recording"),
            ("json", "run.json", lambda content: content[:20], EXIT_USAGE, "does not describe a recording"),
            ("kernel", "run.json", lambda content: json.dumps(other_kernel).encode(), EXIT_USAGE,
             "is not what it was"),
        ]
        for name, file, change, wanted, line in cases:
            _, code, errors = changed(name, file, change)
            expect(code == wanted and line in errors, f"{name}: exit code {code}: {errors}")
        refusals = [
            (["replay"], "needs the folder of a recording"),
            (["replay", str(recordings / "absent")], "cannot read"),
            (["replay", str(folder), "--until", "soon"], "not a number of events"),
            (linux_line(stage, "--record", str(recordings / "a"), "--hda", "nbd://127.0.0.1/"), "snapshot=on"),
            (linux_line(stage, "--record", str(recordings / "a"), "--gdb", "tcp=:0"), "--gdb"),
            (linux_line(stage, "--record", str(recordings / "a"), "--display", "web"), "--display web"),
            (["resume", saved_by_host_clock(stage), "--record", str(recordings / "a")], "by the host's clock"),
            (linux_line(stage, "--record", str(recordings / "a"), "--engine", "trap"), "--engine trap"),
            (linux_line(stage, "--clock", "events", "--user", "direct"), "--user direct"),
            (linux_line(stage, "--clock", "events", "--paravirt", "kvm"), "--paravirt"),
            (linux_line(stage, "--clock", "events", "--device", "virtio-rng"), "virtio-rng"),
            (linux_line(stage, "--clock", "events,ns=0"), "ns=1..1000000"),
            (linux_line(stage, "--clock", "sun"), "is none of host, events"),
        ]
        for arguments, line in refusals:
            with Run(stage, arguments, TIMEOUT) as run:
                code = run.finish()
                expect(code == EXIT_USAGE and line in run.errors(), f"{arguments}: {code}: {run.errors()}")


def idle(options):
    """Idle time that is waited for is the same time, and takes as long as the host's does."""
    words = ["--append", "console=ttyS0 panic=-1 quiet ringshift.script=self-test"]
    ends = {}
    with Stage(options.ringshift) as stage:
        for how in ("skip", "wait"):
            ends[how] = digest_of(stage, linux_line(stage, *words, "--clock", f"events,idle={how}"), "digest")
    expect(ends["skip"] == ends["wait"], f"skipped {ends['skip'][1:]}, waited {ends['wait'][1:]}")


CASES = {"guests": guests, "debian": debian, "recording": recording, "killed": killed, "refused": refused,
         "idle": idle}


if __name__ == "__main__":
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--guests", type=int, default=10, help="how many of the bare guests (default: 10)")
    arguments.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    chosen = arguments.parse_args()
    sys.exit(run_cases([(name, lambda case=case: case(chosen)) for name, case in CASES.items()
                        if not chosen.case or name in chosen.case]))
