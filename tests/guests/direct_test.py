#!/usr/bin/env python3
"""User code run directly: the same memory in the end as on the other engines; its process or the
monitor killed from outside; a host that gives no process, no descriptor or no mapping.

Skipped where the host cannot run user code directly.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from harness import (EXIT_QUIT, HERE, SKIPPED, Run, Stage, expect, parser, run_cases,
                     without_privilege)

GUESTS = HERE / "direct"
EXIT_OF_GUEST = 1  # OUT 0xf4 of 0
EXIT_HOST = 10
TIMEOUT = 120
ENGINES = {"interpret": ["--engine", "interpret"], "translate": ["--user", "translate"],
           "auto": [], "direct": ["--user", "direct"]}


def assemble(stage, name, *more):
    image = stage.path / f"{name}{''.join(more)}.bin"
    subprocess.run(["nasm", "-f", "bin", "-Werror", f"-I{GUESTS}/", *more, "-o", str(image),
                    str(GUESTS / f"{name}.asm")], check=True)
    image.chmod(0o644)
    return str(image)


def start(stage, image, engine):
    return Run(stage, ["run", "--kernel", image, "--memory", "32M", "--no-reboot",
                       *ENGINES[engine]], TIMEOUT)


def user_processes(monitor):
    """The sandboxed processes of one monitor: its children of that name."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:  # it has gone since
            continue
        if "Name:\tringshift-user\n" in text and f"\nPPid:\t{monitor}\n" in text:
            found.append(int(status.parent.name))
    return sorted(found)


def fields_of(process):
    """/proc/PID/stat from the state on; a process that has gone has none."""
    try:
        return pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def is_running(process):
    return fields_of(process)[:1] == ["R"]


def has_computed(process):
    """For a tenth of a second: it is past the many mappings of its beginning."""
    fields = fields_of(process)
    return len(fields) > 11 and int(fields[11]) >= 10


def exists(process):
    fields = fields_of(process)
    return bool(fields) and fields[0] not in "ZX"


def wait_until(condition, what):
    deadline = time.monotonic() + 30
    while not condition():
        expect(time.monotonic() < deadline, f"not in time: {what}")
        time.sleep(0.02)


def computing(run):
    """Waits until guest code runs directly; returns the process it runs in."""
    run.wait_for("computing")
    found = []

    def the_second_runs():  # the first is the one that they are forked from
        found[:] = user_processes(run.process.pid)
        return len(found) >= 2 and is_running(found[-1]) and has_computed(found[-1])
    wait_until(the_second_runs, "a process that runs user code")
    return found[-1]


def one_line(run):
    lines = run.errors().splitlines()
    expect(len(lines) == 1, f"{len(lines)} lines on standard error: {lines}")
    return lines[0]


def case_differential(stage):
    printed = {}
    image = assemble(stage, "differential")
    for engine in ENGINES:
        with start(stage, image, engine) as run:
            code = run.finish()
            expect(code == EXIT_OF_GUEST, f"{engine}: exit code {code}: {run.errors()}")
            printed[engine] = run.text()
    expect(re.fullmatch(r"bytes handed out [0-9a-f]{8} sum [0-9a-f]{8}\n", printed["interpret"]),
           f"printed {printed['interpret']!r}")
    for engine, text in printed.items():
        expect(text == printed["interpret"], f"{engine} differs: {printed}")


def case_process_killed(stage):
    with start(stage, assemble(stage, "spinning"), "direct") as run:
        os.kill(computing(run), signal.SIGKILL)
        code = run.finish()
        expect(code == EXIT_HOST, f"exit code {code}")
        expect("killed from outside" in one_line(run), run.errors())
        wait_until(lambda: not user_processes(run.process.pid), "end of all its processes")


def case_stray_signals(stage):
    """Signals from somebody else are none of the guest's business."""
    with start(stage, assemble(stage, "spinning"), "direct") as run:
        process = computing(run)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGTRAP, signal.SIGUSR1,
                       signal.SIGSTOP, signal.SIGCONT, signal.SIGFPE):
            os.kill(process, number)
            time.sleep(0.05)
            expect(run.process.poll() is None, f"ended by signal {number} to its process")
        wait_until(lambda: is_running(process), "guest code running on")
        run.terminate()
        expect(run.finish() == EXIT_QUIT, "SIGTERM does not end it as it should")


def case_monitor_killed(stage):
    with start(stage, assemble(stage, "spinning"), "direct") as run:
        computing(run)
        processes = user_processes(run.process.pid)
        expect(len(processes) >= 2, f"processes {processes}: not the template and one more")
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
        wait_until(lambda: not any(exists(each) for each in processes), "end of its processes")


def case_mapping_refused(stage):
    """No room for one more mapping: the code goes on translated, and one line says why."""
    with start(stage, assemble(stage, "spinning", "-DBOUNDED=400"), "direct") as run:
        process = computing(run)
        subprocess.run([*without_privilege(), "prlimit", "--pid", str(process), "--as=4096:4096"],
                       check=True)
        code = run.finish()
        expect(code == EXIT_OF_GUEST, f"exit code {code}")
        expect("done" in run.text(), "the guest has not gone on")
        line = one_line(run)
        expect("refused a mapping" in line and "translated" in line, line)


def main():
    options = parser(__doc__.splitlines()[0]).parse_args()
    with Stage(options.ringshift) as stage:
        with start(stage, assemble(stage, "spinning", "-DBOUNDED=1"), "direct") as run:
            run.finish()
            if "--user direct: " in run.errors():
                print(f"skipped: {run.errors().strip()}")
                return SKIPPED
        cases = {"differential": case_differential, "process killed": case_process_killed,
                 "stray signals": case_stray_signals, "monitor killed": case_monitor_killed,
                 "mapping refused": case_mapping_refused}
        return 1 if run_cases([(name, lambda case=case: case(stage))
                               for name, case in cases.items()]) else 0


if __name__ == "__main__":
    sys.exit(main())
