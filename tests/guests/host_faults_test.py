#!/usr/bin/env python3
"""The host's acts against us: signals, closed descriptors, limits, full files.

The terminal is given back at every end; a refusal of the host is one line and a documented exit
code; no output is lost without a word.
usage: host_faults_test.py --ringshift PROGRAM [CASE...]
"""

import os
import resource
import signal
import subprocess
import sys
import termios
import time

from answered_test import EXIT_HOST, disk, kernel
from harness import (EXIT_QUIT, EXIT_RESET, EXIT_USAGE, Stage, expect, parser, run_cases,
                     without_privilege)

TIMEOUT = 60
SAID = 21 << 1 | 1  # what printer.asm and stub_writer.asm end with


def command(stage, options):
    return [*without_privilege(), stage.ringshift, "run", *options]


def run(stage, options, **more):
    more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
            "timeout": TIMEOUT, "cwd": stage.path, **more}
    return subprocess.run(command(stage, options), **more)


def expect_one_line(done, code, about):
    lines = done.stderr.decode(errors="replace").splitlines()
    expect(done.returncode == code, f"{about}: exit code {done.returncode}, not {code}: {lines}")
    expect(len(lines) == 1 and lines[0].startswith("ringshift: "), f"{about}: says {lines}")


class OnTerminal:
    """A run on a pseudo-terminal that becomes raw; whose modes are looked at afterwards."""

    def __init__(self, stage, options):
        self.master, self.slave = os.openpty()
        os.fchmod(self.slave, 0o666)
        self.before = termios.tcgetattr(self.slave)
        reading, writing = os.pipe()
        self.errors = reading
        self.process = subprocess.Popen(command(stage, options), cwd=stage.path, stdin=self.slave,
                                        stdout=self.slave, stderr=writing, start_new_session=True)
        os.close(writing)
        self.wait_for_modes(lambda modes: modes != self.before, "the terminal never becomes raw")

    def wait_for_modes(self, condition, complaint):
        deadline = time.monotonic() + TIMEOUT
        while not condition(termios.tcgetattr(self.slave)):
            expect(time.monotonic() < deadline, complaint)
            time.sleep(0.02)

    def expect_end(self, about, wanted):
        code = self.process.wait(TIMEOUT)
        expect(code == wanted, f"{about}: exit code {code}, not {wanted}")
        expect(termios.tcgetattr(self.slave) == self.before, f"{about}: the terminal stays raw")

    def close(self):
        self.process.kill()
        self.process.wait()
        for descriptor in (self.master, self.slave, self.errors):
            if descriptor is not None:
                os.close(descriptor)


def signals_give_the_terminal_back(stage):
    quits = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    ends = (signal.SIGQUIT, signal.SIGABRT, signal.SIGALRM, signal.SIGXCPU, signal.SIGPIPE,
            signal.SIGUSR2, signal.SIGPROF, signal.SIGVTALRM, signal.SIGIO, signal.SIGPWR,
            signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
    for number in (*quits, *ends):
        on = OnTerminal(stage, kernel(stage, "spin"))
        try:
            on.process.send_signal(number)
            on.expect_end(number.name, EXIT_QUIT if number in quits else -number)
        finally:
            on.close()


def a_gone_reader_of_errors(stage):
    on = OnTerminal(stage, [*kernel(stage, "disk_reader"), "--hda", disk(stage), "--trace"])
    try:
        os.read(on.errors, 100)
        os.close(on.errors)
        on.errors = None
        on.expect_end("standard error without a reader", -signal.SIGPIPE)
    finally:
        on.close()


def stop_and_go_on(stage):
    on = OnTerminal(stage, kernel(stage, "spin"))
    try:
        on.process.send_signal(signal.SIGTSTP)
        on.wait_for_modes(lambda modes: modes == on.before, "a stop leaves the terminal raw")
        on.process.send_signal(signal.SIGCONT)
        on.wait_for_modes(lambda modes: modes != on.before, "going on does not take the terminal")
        on.process.terminate()
        on.expect_end("after a stop", EXIT_QUIT)
    finally:
        on.close()


def wait_until_caught(process, number):
    """Until the program has a handler for the signal."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            caught = next(line.split()[1] for line in status if line.startswith("SigCgt"))
        if int(caught, 16) >> (number - 1) & 1:
            return
        time.sleep(0.02)
    expect(False, f"{number} is never handled")


def between_two_lives(stage):
    """Reset after reset: whenever it comes, it is the same end."""
    options = kernel(stage, "reset")
    for i in range(12):
        process = subprocess.Popen(command(stage, options), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_until_caught(process, signal.SIGTERM)
        time.sleep(0.1 + 0.013 * i)
        process.terminate()
        _, said = process.communicate(timeout=TIMEOUT)
        expect(process.returncode == EXIT_QUIT, f"exit code {process.returncode}: {said!r}")
    done = run(stage, [*options, "--no-reboot"])
    expect(done.returncode == EXIT_RESET, f"--no-reboot: exit code {done.returncode}")


# ---- descriptors


def closed_descriptors(stage):
    image = stage.path / "untouched.raw"
    image.write_bytes(bytes(1 << 20))
    image.chmod(0o666)
    options = [*kernel(stage, "stub_writer"), "--hda", str(image)]
    for closed in ("<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- 2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *command(stage, options)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT)
        expect(done.returncode == SAID, f"{closed}: exit code {done.returncode}: {done.stderr!r}")
        expect(not image.read_bytes().strip(b"\0"), f"{closed}: output is in the disk image")
        if ">&-" not in closed.replace("2>&-", ""):
            expect(b"\x0f\x05" in done.stdout, f"{closed}: output is lost")


def our_own_descriptors(stage):
    """None below 3, none that a program started by us would have, and none of the code's."""
    process = subprocess.Popen(command(stage, [*kernel(stage, "spin"), "--hda", disk(stage)]),
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        process.stdout.read(1)
        for name in os.listdir(f"/proc/{process.pid}/fd"):
            target = os.readlink(f"/proc/{process.pid}/fd/{name}")
            expect("ringshift-code" not in target, f"descriptor {name} reaches generated code")
            with open(f"/proc/{process.pid}/fdinfo/{name}", encoding="ascii") as facts:
                flags = next(int(line.split()[1], 8) for line in facts if line.startswith("flags"))
            expect(int(name) < 3 or flags & os.O_CLOEXEC, f"{target} would be inherited")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---- what cannot be written


def full_files(stage):
    printer = kernel(stage, "printer")
    with open("/dev/full", "wb") as full:
        for options, streams in ((["--serial", "file=/dev/full"], {}),
                                 (["--stats-file", "/dev/full"], {}),
                                 (["--screendump", "/dev/full"], {}),
                                 ([], {"stdout": full})):
            expect_one_line(run(stage, [*printer, *options], **streams), EXIT_HOST, options)
        done = subprocess.run([stage.ringshift, "doctor"], stdout=full, stderr=subprocess.PIPE,
                              timeout=TIMEOUT)
        expect_one_line(done, EXIT_HOST, "doctor")
    done = run(stage, printer)
    expect(done.returncode == SAID and not done.stderr, f"{done.returncode} {done.stderr!r}")


def gone_reader_of_output(stage):
    """That is no failure: who has seen enough closes the pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    done = run(stage, kernel(stage, "printer"), stdout=writing)
    os.close(writing)
    expect(done.returncode == SAID and not done.stderr, f"{done.returncode} {done.stderr!r}")


# ---- limits


def limited(stage, options, limit, value):
    def lower():
        resource.setrlimit(limit, (value, value))
    return run(stage, options, preexec_fn=lower)


def file_limits(stage):
    options = [*kernel(stage, "printer"), "--hda", disk(stage)]
    for value in (0, 65536):
        expect_one_line(limited(stage, options, resource.RLIMIT_FSIZE, value), EXIT_USAGE,
                        f"file size {value}")
    good = 0
    for value in range(3, 24):
        done = limited(stage, options, resource.RLIMIT_NOFILE, value)
        if done.returncode == SAID:
            good += 1
        elif b"shared libraries" not in done.stderr and not done.stderr.startswith(b"setpriv"):
            expect_one_line(done, EXIT_USAGE, f"{value} descriptors")
    expect(good > 0, "23 descriptors are not enough")


def memory_limits(stage):
    """One line and exit code 2 at the start, 10 once the guest runs; or it has enough."""
    options = kernel(stage, "printer")
    for limit, values in ((resource.RLIMIT_AS, (48, 128, 512, 2048, 12400, 13000, 20000)),
                          (resource.RLIMIT_DATA, (1, 4, 8, 16, 64))):
        for value in values:
            done = limited(stage, options, limit, value << 20)
            loads = b"shared libraries" not in done.stderr and done.returncode != 127
            if loads and done.returncode != SAID:
                wanted = EXIT_HOST if done.returncode == EXIT_HOST else EXIT_USAGE
                expect_one_line(done, wanted, f"limit {limit} of {value} MiB")


def other_limits(stage):
    options = kernel(stage, "printer")
    for limit, values in ((resource.RLIMIT_MEMLOCK, (0,)), (resource.RLIMIT_CORE, (0,)),
                          (resource.RLIMIT_STACK, (1 << 18, 1 << 20, 1 << 40)),
                          (resource.RLIMIT_SIGPENDING, (0, 1)), (resource.RLIMIT_NPROC, (0, 1))):
        for value in values:
            hard = resource.getrlimit(limit)[1]
            if hard != resource.RLIM_INFINITY and value > hard:
                continue
            done = limited(stage, options, limit, value)
            if done.returncode != SAID and b"setpriv" not in done.stderr:
                expect_one_line(done, EXIT_USAGE, f"limit {limit} of {value}")


def main():
    options = parser(__doc__)
    options.add_argument("case", nargs="*")
    options = options.parse_args()
    cases = (signals_give_the_terminal_back, a_gone_reader_of_errors, stop_and_go_on,
             between_two_lives, closed_descriptors, our_own_descriptors, full_files,
             gone_reader_of_output, file_limits, memory_limits, other_limits)
    names = options.case or [case.__name__ for case in cases]
    with Stage(options.ringshift) as stage:
        failed = run_cases((case.__name__.replace("_", " "), lambda case=case: case(stage))
                           for case in cases if case.__name__ in names)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
