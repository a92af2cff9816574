#!/usr/bin/env python3
"""A Debian kernel that is entered directly, on a machine with ACPI and APICs: what it makes of the
tables, its clocks against the host's over a minute, power-off and reset by ACPI.

usage: acpi_test.py --ringshift PROGRAM [--seconds SECONDS]
"""

import re
import sys
import time

from harness import (EXIT_POWER_OFF, EXIT_RESET, Failure, Run, Stage, expect, parser, report)

PROMPT = "ringshift:/root# "
FOUND = ("ACPI: Interpreter enabled", "ACPI: Using IOAPIC for interrupt routing",
         "ACPI: PCI Root Bridge [PCI0]", "IOAPIC[0]: apic_id 1, version 17, address 0xfec00000",
         "hpet0: at MMIO 0xfed00000", "ACPI: PM-Timer IO Port: 0xb008",
         "Switched to clocksource tsc")
COMPLAINTS = ("unstable", "ACPI Error", "ACPI Warning", "ACPI BIOS", "firmware bug", "BIOS bug",
              "Oops", "Call Trace", "nobody cared", "spurious")
LARGEST_ERROR = 0.001


class Shell:
    """The shell on the guest's serial port."""

    def __init__(self, run):
        self.run = run
        self.at = run.wait_for(PROMPT)

    def do(self, command):
        begin = self.at
        self.run.type(command + "\n")
        self.at = self.run.wait_for(PROMPT, begin)
        return self.run.console[begin:self.at].decode(errors="replace").replace("\r", "")

    def clocks(self):
        """The guest's time and the host's at one moment: of several readings the quickest."""
        readings = []
        for _ in range(8):
            before = time.monotonic()
            text = self.do("cat /proc/uptime")
            after = time.monotonic()
            guest = float(re.search(r"^(\d+\.\d+) ", text, re.MULTILINE).group(1))
            readings.append((after - before, guest, (before + after) / 2))
        _, guest, host = min(readings)
        return guest, host


def check_clock(shell, seconds):
    source = shell.do("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
    expect("\ntsc\n" in source, f"the clock is not the time-stamp counter: {source}")
    guest_begin, host_begin = shell.clocks()
    time.sleep(seconds)
    guest_end, host_end = shell.clocks()
    guest, host = guest_end - guest_begin, host_end - host_begin
    print(f"{guest:.2f} s in the guest, {host:.2f} s on the host")
    # /proc/uptime counts hundredths.
    expect(abs(guest - host) <= LARGEST_ERROR * host + 0.01, "the guest's clock is wrong")


def check_messages(shell):
    messages = shell.do("dmesg")
    for line in FOUND:
        expect(line in messages, f"the kernel does not say: {line}")
    for complaint in COMPLAINTS:
        expect(complaint.lower() not in messages.lower(), f"the kernel says: {complaint}")
    lines = shell.do("cat /proc/interrupts")
    expect(re.search(r"\b4: +\d+ +IO-APIC +4-edge +ttyS0", lines), f"interrupts: {lines}")
    expect(re.search(r"LOC: +[1-9]", lines), f"the APIC's timer is silent: {lines}")


def boot(ringshift, judge, wanted):
    with Stage(ringshift) as stage:
        options = ["run", *stage.linux("linux-686"), "--append", "console=ttyS0 quiet",
                   "--no-reboot", "--memory", "192M", "--machine", "acpi=on"]
        with Run(stage, options, timeout=300, keyboard=True) as run:
            try:
                judge(Shell(run))
                code = run.finish()
                expect(code == wanted, f"exit code {code}, not {wanted}: {run.errors()}")
            except Failure as problem:
                report("acpi", run, problem)
                return False
    return True


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=60)
    chosen = arguments.parse_args()

    def power_off(shell):
        check_clock(shell, chosen.seconds)
        check_messages(shell)
        shell.run.type("poweroff -f\n")

    def reset(shell):
        shell.run.type("reboot -f\n")

    good = boot(chosen.ringshift, power_off, EXIT_POWER_OFF)
    good &= boot(chosen.ringshift, reset, EXIT_RESET)
    print("acpi: " + ("ok" if good else "FAILED"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
