#!/usr/bin/env python3
"""A person at the terminal: the guest's shell, the escape keys, and a terminal left as it was found.

Boots a Debian kernel on a pseudo-terminal, in the usual spelling of other programs too.
usage: terminal_test.py --ringshift PROGRAM
"""

import os
import signal
import sys
import termios
import time

from harness import (EXIT_POWER_OFF, EXIT_QUIT, EXIT_RESET, Failure, Run, Stage, expect, guest_file,
                     parser, report, run_cases)

TIMEOUT = 240
FLAVOUR = "linux-686"
READY = "ringshift-guest: ready"
PROMPT = "ringshift:/root# "
CTRL_A = b"\x01"
CTRL_C = b"\x03"
# termios.tcgetattr's fields
LOCAL_MODES = 3


class Terminal:
    """A pseudo-terminal with a run of ringshift on it."""

    def __init__(self, stage, arguments):
        self.master, self.slave = os.openpty()
        self.before = termios.tcgetattr(self.slave)
        os.fchmod(self.slave, 0o666)
        self.run = Run(stage, arguments, TIMEOUT, terminal=self.slave)
        self.run.source = self.master
        self.at = 0

    def __enter__(self):
        return self

    def __exit__(self, kind, problem, _):
        if isinstance(problem, Failure):
            report("terminal", self.run, problem)
        self.run.__exit__()
        os.close(self.slave)
        os.close(self.master)

    def type(self, keys):
        os.write(self.master, keys if isinstance(keys, bytes) else keys.encode())

    def wait_for(self, text):
        self.at = self.run.wait_for(text, self.at)

    def boot(self):
        self.wait_for(READY)
        self.run.assert_unprivileged()
        modes = termios.tcgetattr(self.slave)
        expect(not modes[LOCAL_MODES] & (termios.ICANON | termios.ECHO | termios.ISIG),
               "the terminal is not raw while the guest runs")
        self.wait_for(PROMPT)

    def expect_end(self, wanted):
        """The master must be read while the program ends, or its last output blocks it."""
        while self.run.process.poll() is None:
            expect(time.monotonic() < self.run.deadline, "does not end")
            os.set_blocking(self.master, False)
            try:
                self.run.console += os.read(self.master, 65536)
            except BlockingIOError:
                time.sleep(0.05)
            os.set_blocking(self.master, True)
        code = self.run.process.returncode
        expect(code == wanted, f"exit code {code}, not {wanted}: {self.run.errors()!r}")
        expect(termios.tcgetattr(self.slave) == self.before, "the terminal's modes are not restored")


def boot_options(stage, *more):
    return ["run", *stage.linux(FLAVOUR), "--append", "console=ttyS0 quiet", *more]


def shell_keys_and_quit(stage):
    with Terminal(stage, boot_options(stage)) as terminal:
        terminal.boot()
        terminal.type("echo $((6*7))\r")
        terminal.wait_for("\n42\r")
        terminal.wait_for(PROMPT)
        # Ctrl-C is the guest's.
        terminal.type("sleep 1000\r")
        terminal.wait_for("sleep 1000\r")
        time.sleep(0.5)
        terminal.type(CTRL_C)
        terminal.wait_for(PROMPT)
        terminal.type(CTRL_A + b"h")
        for line in ("Ctrl-A h", "Ctrl-A x", "Ctrl-A a"):
            terminal.wait_for(line)
        terminal.type(CTRL_A + b"x")
        terminal.expect_end(EXIT_QUIT)


def termination_signals(stage):
    for number in (signal.SIGTERM, signal.SIGHUP):
        with Terminal(stage, boot_options(stage)) as terminal:
            terminal.boot()
            terminal.run.process.send_signal(number)
            terminal.expect_end(EXIT_QUIT)


def quit_while_booting(stage):
    with Terminal(stage, ["run", *stage.linux(FLAVOUR), "--append", "console=ttyS0"]) as terminal:
        terminal.wait_for("Linux version")
        terminal.type(CTRL_A + b"x")
        terminal.expect_end(EXIT_QUIT)


def power_off(stage):
    with Terminal(stage, boot_options(stage)) as terminal:
        terminal.boot()
        terminal.type("poweroff -f\r")
        terminal.expect_end(EXIT_POWER_OFF)


def reset_ends(stage):
    with Terminal(stage, boot_options(stage, "--no-reboot")) as terminal:
        terminal.boot()
        terminal.type("reboot -f\r")
        terminal.expect_end(EXIT_RESET)


def reset_boots_again(stage):
    with Terminal(stage, boot_options(stage)) as terminal:
        terminal.boot()
        terminal.type("reboot -f\r")
        terminal.boot()
        terminal.type("echo $((6*7))\r")
        terminal.wait_for("\n42\r")
        terminal.type(CTRL_A + b"x")
        terminal.expect_end(EXIT_QUIT)


def usual_spelling(stage):
    options = [argument.replace("--", "-", 1) for argument in stage.linux(FLAVOUR)]
    options += ["-append", "console=ttyS0 quiet", "-m", "96", "-nographic", "-serial", "mon:stdio",
                "-no-reboot"]
    with Terminal(stage, options) as terminal:
        terminal.boot()
        terminal.type("grep MemT /proc/meminfo\r")
        terminal.wait_for("MemTotal:")
        begin = terminal.at
        terminal.wait_for(" kB")
        mebibytes = int(terminal.run.console[begin:terminal.at].split()[0]) // 1024
        expect(60 <= mebibytes < 96, f"the guest has {mebibytes} MiB with -m 96")
        terminal.type("reboot -f\r")
        terminal.expect_end(EXIT_RESET)


def main():
    options = parser(__doc__).parse_args()
    guest_file(f"{FLAVOUR}/vmlinuz")
    guest_file("initramfs.cpio.gz")
    cases = (shell_keys_and_quit, termination_signals, quit_while_booting, power_off, reset_ends,
             reset_boots_again, usual_spelling)
    with Stage(options.ringshift) as stage:
        failed = run_cases((case.__name__.replace("_", " "), lambda case=case: case(stage))
                           for case in cases)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
