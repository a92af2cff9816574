#!/usr/bin/env python3
"""How a guest's time goes under each --time: after stops by SIGSTOP and by a control program, with interrupts
off, saved and resumed, at another rate. A bare guest counts the ticks of three timers; kvmclock, which it reads
too, says what time it is for it. Where ticks are made up they agree with it to the tick; no host time is
compared but what passed between two questions at least and at most.

usage: time_test.py --ringshift PROGRAM [CASE...]
"""

import os
import signal
import subprocess
import sys
import time

from harness import EXIT_USAGE, HERE, Run, expect, parser, run_cases
from qmp_test import Client, ControlStage

TIMEOUT = 60
STOP = 2.5  # seconds: more than the second that usually is made up
PIT_HERTZ, RTC_HERTZ, APIC_HERTZ = 1193182 / 1193, 128, 100
GUEST_ENDS = 1
# Ticks that were under way at the time of the question, at both ends.
LEEWAY = 3


class TimeStage(ControlStage):
    def __init__(self, ringshift):
        super().__init__(ringshift)
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", "clocks",
                        f"{HERE}/time/clocks.asm"], cwd=self.path, check=True)
        (self.path / "clocks").chmod(0o644)

    def clocks(self, policy, *more):
        return ["run", "--kernel", str(self.path / "clocks"), "--memory", "16M", "--paravirt", "kvm",
                *(["--time", policy] if policy else []), *more]


class Reading:
    """Returns the guest's figures: ticks of its timers, its time in seconds, and the host's around
    it."""

    def __init__(self, words, begin, end):
        numbers = [int(word, 16) for word in words]
        self.pit, self.rtc, self.apic = numbers[:3]
        self.stamp = numbers[3] << 32 | numbers[4]
        self.went_back = numbers[5]
        self.begin, self.end = begin, end
        clock = numbers[6:14]
        stamp_then = clock[2] | clock[3] << 32
        system_time = clock[4] | clock[5] << 32
        shift = clock[7] & 0xFF
        shift -= 256 if shift > 127 else 0
        passed = self.stamp - stamp_then
        passed = passed << shift if shift >= 0 else passed >> -shift
        self.time = (system_time + (passed * clock[6] >> 32)) / 1e9


class Guest:
    def __init__(self, run):
        self.run = run
        self.at = run.wait_for("clocks run\n")

    def ask(self):
        begin = time.monotonic()
        self.run.type("t")
        start = self.run.wait_for("t ", self.at)
        self.at = self.run.wait_for("\n", start)
        line = self.run.console[start:self.at].decode()
        reading = Reading(line.split(), begin, time.monotonic())
        expect(reading.went_back == 0, "the time-stamp counter went back")
        return reading

    def end(self):
        self.run.type("e")
        expect(self.run.finish() == GUEST_ENDS, "the guest did not end well")


class Passed:
    """Between two readings: the guest's time, and ticks that lack against it (negative: too many)."""

    def __init__(self, first, last):
        self.time = last.time - first.time
        expect(self.time >= 0, f"the guest's clock went back by {-self.time} s")
        self.host_least, self.host_most = last.begin - first.end, last.end - first.begin
        self.lack = {"PIT": self.time * PIT_HERTZ - (last.pit - first.pit),
                     "RTC": self.time * RTC_HERTZ - (last.rtc - first.rtc),
                     "APIC": self.time * APIC_HERTZ - (last.apic - first.apic)}

    def __str__(self):
        lack = " ".join(f"{name} {ticks:.1f}" for name, ticks in self.lack.items())
        return f"{self.time:.3f} s of {self.host_least:.3f} to {self.host_most:.3f}; ticks that lack: {lack}"


def expect_time_of_the_host(passed, what):
    expect(passed.host_least * 0.999 <= passed.time <= passed.host_most * 1.001, f"{what}: not the host's time: {passed}")


def caught_up(guest, first, what, timers=("PIT", "RTC", "APIC")):
    """Asks until no tick lacks."""
    deadline = time.monotonic() + 20
    while True:
        passed = Passed(first, guest.ask())
        for timer in timers:
            expect(passed.lack[timer] >= -LEEWAY, f"{what}: too many ticks: {passed}")
        if all(passed.lack[timer] <= LEEWAY for timer in timers):
            return passed
        expect(time.monotonic() < deadline, f"{what}: ticks are not made up: {passed}")
        time.sleep(0.1)


HERTZ = {"PIT": PIT_HERTZ, "RTC": RTC_HERTZ, "APIC": APIC_HERTZ}


def few_lack(guest, first, what):
    """Where ticks merge, as many as a busy host makes late, but not those of a stop."""
    passed = Passed(first, guest.ask())
    for timer, lack in passed.lack.items():
        expect(-LEEWAY <= lack <= 0.4 * passed.time * HERTZ[timer] + 10, f"{what}: {passed}")
    return passed


def counted(guest, first, policy):
    """As many ticks as the policy promises."""
    return caught_up(guest, first, policy) if policy == "real" else few_lack(guest, first, policy)


def with_guest(options, policy, action, *more):
    with TimeStage(options.ringshift) as stage, Run(stage, stage.clocks(policy, *more), TIMEOUT, keyboard=True) as run:
        guest = Guest(run)
        action(guest, stage)
        guest.end()


def after_sigstop(options):
    """The host does not run the machine: its time passes under every policy."""
    def stopped(guest, _):
        first = guest.ask()
        os.kill(guest.run.process.pid, signal.SIGSTOP)
        time.sleep(STOP)
        os.kill(guest.run.process.pid, signal.SIGCONT)
        nonlocal passed
        passed = caught_up(guest, first, policy) if policy == "real" else Passed(first, guest.ask())
        print(f"  {policy or 'usual'}: {passed}")
        expect_time_of_the_host(passed, policy)
    for policy in ("real", "lazy", None):
        passed = None
        with_guest(options, policy, stopped)
        if policy == "lazy":
            expect(passed.lack["PIT"] >= 0.9 * STOP * PIT_HERTZ, f"lazy: late ticks were not dropped: {passed}")
            expect(passed.lack["APIC"] >= 0.9 * STOP * APIC_HERTZ, f"lazy: late ticks were not dropped: {passed}")
        if policy is None:
            expect(passed.lack["PIT"] >= 0.9 * (STOP - 1) * PIT_HERTZ, f"usual: more than a second is made up: {passed}")


def after_stop(options):
    """A control program stops the guest: its time stands or passes, as the policy says."""
    def stopped(guest, stage):
        with Client(path) as client:
            first = guest.ask()
            expect(client.ask("stop") == {}, "no stop")
            time.sleep(STOP)
            expect(client.ask("cont") == {}, "no cont")
            nonlocal passed
            passed = Passed(first, guest.ask()) if policy == "lazy" else counted(guest, first, policy)
        print(f"  {policy}: {passed}")
    for policy in ("real", "lazy", "usual"):
        passed = None
        with TimeStage(options.ringshift) as stage:
            path = stage.socket()
            arguments = stage.clocks(policy, "--qmp", f"unix:{path}")
            with Run(stage, arguments, TIMEOUT, keyboard=True) as run:
                guest = Guest(run)
                stopped(guest, stage)
                guest.end()
        if policy == "usual":
            expect(passed.time <= passed.host_most - STOP, f"usual: time passed while the guest stood: {passed}")
        else:
            expect_time_of_the_host(passed, policy)
        if policy == "lazy":
            expect(passed.lack["PIT"] >= 0.9 * STOP * PIT_HERTZ, f"lazy: late ticks were not dropped: {passed}")


def interrupts_off(options):
    """For a third of a second: ticks wait for the guest, or merge."""
    def held(guest, _):
        first = guest.ask()
        guest.run.type("i")
        guest.at = guest.run.wait_for("on again\n", guest.at)
        nonlocal passed
        passed = caught_up(guest, first, policy) if policy == "real" else Passed(first, guest.ask())
        print(f"  {policy}: {passed}")
    for policy in ("real", "usual"):
        passed = None
        with_guest(options, policy, held)
        if policy == "usual":
            expect(passed.lack["PIT"] >= 0.25 * PIT_HERTZ, f"usual: the request does not merge: {passed}")


def scaled(options):
    """Twice and half the host's time, of all clocks alike."""
    def measured(guest, _):
        if busy:
            guest.run.type("b")
        first = guest.ask()
        time.sleep(1)
        passed = counted(guest, first, policy)
        print(f"  {policy}: {passed}")
        least, most = passed.host_least * factor, passed.host_most * factor
        expect(least * 0.999 <= passed.time <= most * 1.001, f"{policy}: not {factor} times the host's: {passed}")
    for factor, busy in ((0.5, True), (2, False)):
        policy = f"scaled={factor}"
        with_guest(options, policy, measured)


def saved(options):
    """The guest's clock stands while it is a file, and no tick is lost by it."""
    for policy in ("real", "scaled=2"):
        with TimeStage(options.ringshift) as stage:
            path = str(stage.files / "saved")
            with Run(stage, stage.clocks(policy, "--save", path), TIMEOUT, keyboard=True) as run:
                first = Guest(run).ask()
                run.process.send_signal(signal.SIGUSR2)
                run.finish()
            with Run(stage, ["resume", path], TIMEOUT, keyboard=True) as run:
                guest = Guest.__new__(Guest)
                guest.run, guest.at = run, 0
                time.sleep(0.5)
                passed = counted(guest, first, policy)
                print(f"  {policy}: {passed}")
                guest.end()


def refused(options):
    with TimeStage(options.ringshift) as stage:
        for words, wanted in ((["--time", "sun"], "is none of usual, real, lazy, scaled=F, events"),
                              (["--time", "scaled=0"], "from 0.01 to 100"),
                              (["--time", "real", "--clock", "events"], "--time real"),
                              (["--time", "events", "--clock", "host"], "--time events"),
                              (["--time", "scaled=2", "--engine", "trap"], "--engine trap"),
                              (["--time", "real", "--record", "tape"], "--time real")):
            with Run(stage, ["run", "--kernel", str(stage.path / "clocks"), *words], TIMEOUT) as run:
                expect(run.finish() == EXIT_USAGE, f"{words}: no usage error")
                expect(wanted in run.errors(), f"{words}: {run.errors()}")


CASES = {case.__name__: case for case in (after_sigstop, after_stop, interrupts_off, scaled, saved, refused)}


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}")
    options = arguments.parse_args()
    wanted = options.cases or list(CASES)
    return run_cases([(name, lambda name=name: CASES[name](options)) for name in wanted])


if __name__ == "__main__":
    sys.exit(main())
