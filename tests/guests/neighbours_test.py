#!/usr/bin/env python3
"""Machines on one host CPU: one that attacks leaves its neighbour a fair share, and never gets more than its limit.

A manager has two machines, both on one host CPU. One computes. The other only computes, too, or forks without end, fills its
memory, takes interrupts as fast as its timer can send them, floods its network, its console, its disk. `fair`: neither has
a limit, and the attacker's processes, all together with their keeper, use no more processor time than the neighbour's.
`limited`: the attacker has 30 % of the CPU, whatever its processes are. Processor time is the host's own count, so that others'
work on the host says nothing; what the neighbour computes for it is printed, and must not fall by much.
usage: neighbours_test.py --ringshift PROGRAM [--seconds S] [--attack NAME]... [CASE...]
"""

import os
import pathlib
import subprocess
import sys
import time

from disk_test import MIB, initrd_with
from harness import HERE, NOBODY, expect, guest_file, parser, run_cases
from limit_test import groups_sessions, session_time
from manager_test import Managed, wait_for

LIMIT, MOST_ABOVE = 30, 3  # per cent of one CPU
MOST_OVER_FAIR = 1.1
LEAST_WORK = 0.5  # of what a second of processor time brings beside one that only computes: caches are shared
TURNS = 50_000
VICTIM = f"""
i=0
while :; do i=$((i+1)); [ $((i % {TURNS})) = 0 ] && echo "turns $i"; done
"""
ATTACK = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sda ] && break; sleep 1; done
ip link set lo up; ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
bomb() { bomb & bomb & wait; }
echo 'attack begins'
case "$(cat /proc/cmdline)" in
  *attack=computing*) while :; do :; done ;;
  *attack=forks*) while :; do bomb 2>/dev/null & sleep 0.2; done ;;
  *attack=memory*) while :; do dd if=/dev/urandom of=/tmp/full bs=64k 2>/dev/null; done ;;
  *attack=packets*) while :; do dd if=/dev/zero bs=1400 count=100000 2>/dev/null | nc -u -w 1 10.0.2.2 9; done ;;
  *attack=console*) while :; do cat /proc/kallsyms; done ;;
  *attack=disk*) while :; do dd if=/dev/zero of=/dev/sda bs=64k 2>/dev/null; dd if=/dev/sda of=/dev/null bs=64k 2>/dev/null; done ;;
esac
"""
# 24,000 interrupts of the interval timer a second, and nothing else.
STORM = """%include "guest.inc"
main:
  say "attack begins"
  mov ecx, 50
  call start_timer
  sti
.next:
  hlt
  jmp .next
"""
ATTACKS = ("computing", "forks", "memory", "interrupts", "packets", "console", "disk")
DRIVERS = ("ata_piix", "sd_mod", "e1000")
MACHINES = """\
[machine.neighbour]
kernel = "vmlinuz"
initrd = "neighbour.initrd"
append = "console=ttyS0 quiet ringshift.script=self-test"
memory = "64M"

[machine.attacker]
{guest}
memory = "128M"
{limit}
"""
LINUX = """\
kernel = "vmlinuz"
initrd = "attacker.initrd"
append = "console=ttyS0 quiet ringshift.script=self-test attack={attack}"
hda = "scratch"
net = "user,model=e1000"
"""


class Neighbours(Managed):
    """A stage with both guests."""

    def __init__(self, ringshift):
        super().__init__(ringshift, "")
        self.cpu = max(os.sched_getaffinity(0))
        self.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        for name, drivers, script in (("neighbour", (), VICTIM), ("attacker", DRIVERS, ATTACK)):
            made = pathlib.Path(initrd_with(self, drivers, script))
            made.rename(self.path / f"{name}.initrd")
        source = self.write("storm.asm", STORM.encode())
        subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", self.path / "storm", source], check=True)
        (self.path / "storm").chmod(0o644)
        with open(self.path / "scratch", "wb") as scratch:
            scratch.truncate(64 * MIB)
        if os.geteuid() == 0:
            os.chown(self.path / "scratch", NOBODY, NOBODY)

    def line(self, command, *arguments):
        return ["taskset", "-c", str(self.cpu), *super().line(command, *arguments)]

    def begin(self, attack, limit):
        guest = 'kernel = "storm"' if attack == "interrupts" else LINUX.format(attack=attack)
        self.write("machines.toml", MACHINES.format(guest=guest, limit=limit).encode())
        self.do("up", "machines.toml")
        wait_for("the neighbour's work", lambda: "turns" in self.do("logs", "neighbour"))
        wait_for("the attack", lambda: "attack begins" in self.do("logs", "attacker"))

    def sessions(self):
        """{machine: its session}, which its keeper leads."""
        return {name: os.getsid(machine["process"]) for name, machine in self.machines().items()}


def turns_in(text):
    return int(text.rpartition("turns ")[2].split()[0])


def measure(stage, attack, seconds, limit=""):
    """(processor time of the neighbour, of the attacker, the neighbour's turns, seconds that have passed)."""
    stage.begin(attack, limit)
    sessions = stage.sessions()
    expect(len(set(sessions.values())) == 2, f"the machines share a session: {sessions}")

    def now():
        return (session_time(sessions["neighbour"]), session_time(sessions["attacker"]),
                turns_in(stage.do("logs", "neighbour")), time.monotonic())

    time.sleep(1)
    before = now()
    time.sleep(seconds)
    passed = [after - first for after, first in zip(now(), before)]
    expect(stage.machines()["attacker"]["state"] == "up", f"the attacker has ended: {stage.machines()}")
    stage.do("kill", "attacker", "neighbour")
    return passed


def attacked(options, limit, check):
    with Neighbours(options.ringshift) as stage:
        usual = None
        for attack in options.attack or ATTACKS:
            own, others, turns, passed = measure(stage, attack, options.seconds, limit)
            rate = turns / max(own, 0.01)
            usual = usual or rate
            print(f"  {attack}: the neighbour had {100 * own / passed:.1f} % of the CPU, the attacker {100 * others / passed:.1f} %; "
                  f"{turns / passed:,.0f} turns a second, {rate / usual:.2f} of the first for its time", flush=True)
            check(attack, own, others, passed)
            expect(rate >= LEAST_WORK * usual, f"{attack}: the neighbour computes less in its time: {rate / usual:.2f}")
        stage.do("down")


def fair(options):
    def check(attack, own, others, passed):
        expect(others <= own * MOST_OVER_FAIR, f"{attack}: the attacker has had {others / own:.2f} of the neighbour's time")

    if not groups_sessions():
        print("  the host groups no processes by sessions: not measured")
        return
    attacked(options, "", check)


def limited(options):
    def check(attack, own, others, passed):
        expect(100 * others / passed <= LIMIT + MOST_ABOVE, f"{attack}: {100 * others / passed:.1f} % of the CPU")

    attacked(options, f'limit = "cpu={LIMIT}%"', check)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--seconds", type=float, default=4)
    arguments.add_argument("--attack", action="append", choices=ATTACKS)
    arguments.add_argument("cases", nargs="*")
    chosen = arguments.parse_args()
    cases = {"fair": lambda: fair(chosen), "limited": lambda: limited(chosen)}
    return 1 if run_cases((name, cases[name]) for name in chosen.cases or cases) else 0


if __name__ == "__main__":
    sys.exit(main())
