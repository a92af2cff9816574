#!/usr/bin/env python3
"""The kernel of tests/guests/kernel, built for a bare processor and for Ringshift's interface.

Both end alike wherever the monitor is right. Under trap-and-emulate the one that does not know goes wrong, and the one that
calls its monitor is right.
usage: kernel_test.py --ringshift PROGRAM
"""

import json
import signal
import sys

import kernel_build
from harness import EXIT_QUIT, SKIPPED, Run, Stage, expect, offers, parser, run_cases

EXIT_GOOD, EXIT_PANIC = 1, 3  # what the kernel writes to the debug-exit port is 0, or 1
TIMEOUT = 120
NAMES = ("checksum", "forks", "programs", "copies", "refused", "frames", "cycles")


def words(kernel, way, engine, rounds, *more):
    known = ["--paravirt", "ringshift"] if way == "paravirtual" else []
    return ["run", "--kernel", kernel, "--append", f"rounds={rounds}", "--memory", "32M", "--no-reboot",
            "--engine", engine, *known, *more]


def report_of(console):
    """Returns the kernel's counts at its end; nothing if it did not come to it."""
    lines = [line.split() for line in console.decode(errors="replace").replace("\r", "").splitlines()]
    found = {line[0]: int(line[1], 16) for line in lines if len(line) == 2 and line[0] in NAMES}
    return found if set(found) == set(NAMES) else None


def run(stage, kernels, way, engine, rounds=1, *more):
    with Run(stage, words(kernels[way], way, engine, rounds, *more), TIMEOUT) as machine:
        code = machine.finish()
        return code, machine.console, report_of(machine.console)


def work_of(report):
    return {name: value for name, value in report.items() if name != "cycles"}


def ends_alike(ringshift, kernels):
    with Stage(ringshift) as stage:
        staged = {way: stage.add(path, path.name) for way, path in kernels.items()}
        seen = []
        for way in kernels:
            for engine in ("interpret", "translate"):
                code, console, report = run(stage, staged, way, engine)
                expect(code == EXIT_GOOD and report, f"{way} on {engine} ends with {code}: {console[-400:]}")
                seen.append((way, engine, work_of(report)))
        for way, engine, work in seen:
            expect(work == seen[0][2], f"{way} on {engine}: {work}, and not {seen[0][2]}")
        expect(seen[0][2]["refused"] == 2 and seen[0][2]["forks"] == 14, f"{seen[0]}")


def deprivileged(ringshift, kernels):
    if not offers(ringshift, "compatibility-mode"):
        print("  deprivileged code does not run on this host")
        return
    with Stage(ringshift) as stage:
        staged = {way: stage.add(path, path.name) for way, path in kernels.items()}
        _, _, right = run(stage, staged, "native", "translate")
        code, console, report = run(stage, staged, "paravirtual", "trap")
        expect(code == EXIT_GOOD and report, f"the one that knows ends with {code}: {console[-400:]}")
        expect(work_of(report) == work_of(right), f"it computes {report}, and not {right}")
        code, console, report = run(stage, staged, "native", "trap")
        expect(code != EXIT_GOOD and report is None, f"the one that does not know is right: {report}")
        expect(b"the clock does not tick" in console and code == EXIT_PANIC, f"{code}: {console[-400:]}")


def saved(ringshift, kernels):
    """Timer, clock, events and registered tables go on where they were."""
    with Stage(ringshift) as stage:
        staged = {way: stage.add(path, path.name) for way, path in kernels.items()}
        folder = stage.path / "saved"
        folder.mkdir()
        folder.chmod(0o777)
        file = str(folder / "machine")
        rounds = 24
        _, _, right = run(stage, staged, "native", "translate", rounds)
        with Run(stage, words(staged["paravirtual"], "paravirtual", "translate", rounds, "--save", file),
                 TIMEOUT) as machine:
            machine.wait_for("begun")
            machine.process.send_signal(signal.SIGUSR2)
            code = machine.finish()
            expect(code == 0 and b"checksum" not in machine.console, f"not saved: {code} {machine.errors()}")
        with Run(stage, ["resume", file], TIMEOUT) as machine:
            code = machine.finish()
            report = report_of(b"".join((machine.console,)))
            expect(code == EXIT_GOOD and report, f"{code}: {machine.console[-400:]} {machine.errors()}")
            expect(work_of(report) == work_of(right), f"{report}, and not {right}")


def batches(ringshift, kernels):
    """Many entries of page tables are one call, and a kernel that calls leaves translated code less often."""
    with Stage(ringshift) as stage:
        staged = {way: stage.add(path, path.name) for way, path in kernels.items()}
        folder = stage.path / "statistics"
        folder.mkdir()
        folder.chmod(0o777)
        counters = {}
        for way in kernels:
            file = folder / way
            run(stage, staged, way, "translate", 4, "--stats=json", "--stats-file", str(file))
            counters[way] = json.loads(file.read_text())
        knows = counters["paravirtual"]
        expect(knows["paravirt.table_entries"] > 2 * knows["paravirt.calls"], f"{knows['paravirt.table_entries']} entries "
               f"in {knows['paravirt.calls']} calls")
        expect(knows["callouts.all"] < counters["native"]["callouts.all"], "it calls no less often")


def without(ringshift, kernels):
    """A kernel that knows finds out that there is nobody."""
    with Stage(ringshift) as stage:
        kernel = stage.add(kernels["paravirtual"], "kernel")
        line = [word for word in words(kernel, "paravirtual", "translate", 1) if word not in ("--paravirt", "ringshift")]
        with Run(stage, line, TIMEOUT) as machine:
            code = machine.finish()
            expect(code == EXIT_PANIC and b"panic" in machine.console, f"{code}: {machine.console[-400:]}")
            expect(code != EXIT_QUIT, "it hangs")


def main():
    ringshift = parser(__doc__).parse_args().ringshift
    with Stage(ringshift) as stage:
        try:
            kernels = kernel_build.build(stage.path)
        except kernel_build.CannotBuild as problem:
            print(f"skipped: cannot build for i386: {problem}")
            return SKIPPED
        cases = (ends_alike, deprivileged, saved, batches, without)
        return run_cases([(case.__name__, lambda case=case: case(ringshift, kernels)) for case in cases])


if __name__ == "__main__":
    sys.exit(main())
