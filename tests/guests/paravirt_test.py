#!/usr/bin/env python3
"""A Debian kernel that is shown a hypervisor it knows: it takes the interface up, its clock goes as the
host's, it survives a save, and steal time is what the host says.

usage: paravirt_test.py --ringshift PROGRAM
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from harness import EXIT_POWER_OFF, Run, Stage, expect, guest_file, parser, run_cases

PROMPT = "ringshift:/root# "
TIMEOUT = 200
COMPLAINTS = ("unstable", "Oops", "Call Trace", "unchecked MSR access", "went backwards", "skewed")
# The host may be busy: a guest's clock is read when the host lets it answer.
LARGEST_ERROR = 0.03


class Shell:
    """The shell on the guest's serial port."""

    def __init__(self, run, at=None):
        self.run = run
        self.at = run.wait_for(PROMPT) if at is None else at

    def do(self, command):
        begin = self.at
        self.run.type(command + "\n")
        self.at = self.run.wait_for(PROMPT, begin)
        return self.run.console[begin:self.at].decode(errors="replace").replace("\r", "")

    def uptime(self):
        """The guest's time, and the host's at that moment, from the quickest of some readings."""
        readings = []
        for _ in range(6):
            before = time.monotonic()
            text = self.do("cat /proc/uptime")
            after = time.monotonic()
            readings.append((after - before, float(re.search(r"^(\d+\.\d+) ", text, re.MULTILINE).group(1)),
                             (before + after) / 2))
        _, guest, host = min(readings)
        return guest, host

    def steal(self):
        """Hundredths of a second, of /proc/stat."""
        return int(self.do("head -n 1 /proc/stat").split("cpu  ", 1)[1].split()[7])


def command(stage, paravirt, words=""):
    return ["run", *stage.linux("linux-686"), "--append", f"console=ttyS0 panic=-1 {words}", "--memory", "96M",
            "--no-reboot", "--paravirt", paravirt]


def check_clock(shell, seconds=3):
    guest_begin, host_begin = shell.uptime()
    time.sleep(seconds)
    guest_end, host_end = shell.uptime()
    guest, host = guest_end - guest_begin, host_end - host_begin
    expect(abs(guest - host) <= LARGEST_ERROR * host + 0.02,
           f"{guest:.2f} s in the guest are {host:.2f} s on the host")


def check_date(shell):
    told = int(re.search(r"^(\d{9,})$", shell.do("date +%s"), re.MULTILINE).group(1))
    expect(abs(told - time.time()) < 10, f"the guest's date is {told}")


def check_log(shell, wanted):
    log = shell.do("dmesg")
    for text in wanted:
        expect(text in log, f"the kernel never says: {text}\n{log[-3000:]}")
    for text in COMPLAINTS:
        expect(text not in log, f"the kernel says: {text}")


def check_steal(shell, run):
    """Somebody else has the vCPU's host CPU: the guest is told, and no more than is true."""
    cpu = min(os.sched_getaffinity(0))
    schedstat = pathlib.Path(f"/proc/{run.process.pid}/schedstat")
    if not schedstat.exists():
        print("  this host counts no run delay")
        return
    before, waited = shell.steal(), int(schedstat.read_text().split()[1])
    shell.do("while :; do :; done &")
    os.sched_setaffinity(run.process.pid, {cpu})
    rivals = [subprocess.Popen(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"]) for _ in range(2)]
    try:
        time.sleep(2)
    finally:
        for rival in rivals:
            rival.kill()
            rival.wait()
    told = (shell.steal() - before) / 100
    waited = (int(schedstat.read_text().split()[1]) - waited) / 1e9
    shell.do("kill %1")
    # Time that the kernel had not accounted for at the first reading is in the second.
    expect(told <= 1.2 * waited + 0.3, f"{told:.2f} s stolen, and the host says {waited:.2f} s")
    if waited > 0.5:
        expect(told >= 0.5 * waited, f"only {told:.2f} s stolen, and the host says {waited:.2f} s")
    print(f"  stolen: {told:.2f} s, by the host {waited:.2f} s")


def kvm(ringshift):
    with Stage(ringshift) as stage, Run(stage, [*command(stage, "kvm", "clocksource=kvm-clock"), "--user", "translate"],
                                        TIMEOUT, keyboard=True) as run:
        shell = Shell(run)
        check_log(shell, ("Hypervisor detected: KVM", "kvm-clock: Using msrs 4b564d01 and 4b564d00",
                          "clocksource: Switched to clocksource kvm-clock"))
        check_clock(shell)
        check_date(shell)
        check_steal(shell, run)
        run.type("poweroff -f\n")
        expect(run.finish() == EXIT_POWER_OFF, "no power-off")


def vmware(ringshift):
    with Stage(ringshift) as stage, Run(stage, command(stage, "vmware"), TIMEOUT, keyboard=True) as run:
        shell = Shell(run)
        check_log(shell, ("Hypervisor detected: VMware", "vmware: TSC freq read from hypervisor",
                          "vmware: Host bus clock speed read from hypervisor : 25000000 Hz"))
        check_clock(shell)
        run.type("poweroff -f\n")
        expect(run.finish() == EXIT_POWER_OFF, "no power-off")


def saved(ringshift):
    """The clock goes on where it was, not where the host's is."""
    with Stage(ringshift) as stage:
        folder = stage.path / "saved"
        folder.mkdir()
        folder.chmod(0o777)
        file = str(folder / "machine")
        with Run(stage, [*command(stage, "kvm", "clocksource=kvm-clock"), "--save", file], TIMEOUT,
                 keyboard=True) as run:
            shell = Shell(run)
            before, _ = shell.uptime()
            run.process.send_signal(signal.SIGUSR2)
            expect(run.finish() == 0, f"not saved: {run.errors()}")
        time.sleep(2)
        with Run(stage, ["resume", file], TIMEOUT, keyboard=True) as run:
            began = time.monotonic()
            run.type("\n")
            shell = Shell(run)
            after, _ = shell.uptime()
            passed = time.monotonic() - began
            expect(before <= after <= before + passed + 0.5,
                   f"the clock was at {before} and is at {after}, {passed:.2f} s after")
            check_clock(shell)
            check_log(shell, ())
            run.type("poweroff -f\n")
            expect(run.finish() == EXIT_POWER_OFF, "no power-off")


def main():
    ringshift = parser(__doc__).parse_args().ringshift
    guest_file("linux-686/vmlinuz")
    guest_file("initramfs.cpio.gz")
    return run_cases([(case.__name__, lambda case=case: case(ringshift)) for case in (kvm, vmware, saved)])


if __name__ == "__main__":
    sys.exit(main())
