#!/usr/bin/env python3
"""Debian's PS/2 drivers: one finds a wheel mouse, and hears of what --type does with it; the other takes
keys in each scan code set, two of them without the controller's translation.

usage: mouse_test.py --ringshift PROGRAM
"""

import sys

from disk_test import initrd_with, module_files
from harness import (EXIT_POWER_OFF, SKIPPED, Run, Stage, expect, guest_file, parser, run_cases)

SCRIPT = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -c /dev/input/mice ] && grep -q Mouse /proc/bus/input/devices && break; sleep 1; done
grep Mouse /proc/bus/input/devices
exec 3</dev/input/mice
echo 'mouse ready' >/dev/tty1
echo "moved $(dd bs=3 count=3 <&3 2>/dev/null | hexdump -v -e '9/1 "%02x "')"
"""

KEYS_SCRIPT = r"""
echo "set $(cat /sys/bus/serio/devices/*/set 2>/dev/null)"
echo 'keyboard ready' >/dev/tty1
read -r line </dev/tty1
echo "typed $line"
"""


def types(ringshift, words, scan_code_set):
    with Stage(ringshift) as stage:
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        options = ["run", "--kernel", kernel,
                   "--initrd", initrd_with(stage, ("psmouse",), KEYS_SCRIPT),
                   "--append", f"console=ttyS0 quiet ringshift.script=self-test {words}",
                   "--no-reboot", "--memory", "128M",
                   "--type", "<until:keyboard ready>Set 3x<left><f1><backspace>: it's/<enter>"]
        with Run(stage, options, timeout=120) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
            expect(f"set {scan_code_set}" in run.text(), f"another set: {run.text()}")
            expect("typed Set 3x^[[D^[[[: it's/" in run.text().replace("\x1b", "^["),
                   f"typed: {run.text()}")


def moves(ringshift):
    with Stage(ringshift) as stage:
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        options = ["run", "--kernel", kernel, "--initrd", initrd_with(stage, ("psmouse",), SCRIPT),
                   "--append", "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                   "--memory", "128M", "--type", "<until:mouse ready><move:5,-3><press><release>"]
        with Run(stage, options, timeout=120) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
            expect('Name="ImPS/2 Generic Wheel Mouse"' in run.text(), f"no mouse: {run.text()}")
            expect("moved 28 05 fd 09 00 00 08 00 00" in run.text(), f"moved: {run.text()}")


def main():
    chosen = parser(__doc__).parse_args()
    if not module_files():
        print("skipped: no modules in the cache")
        return SKIPPED
    return run_cases([
        ("moves", lambda: moves(chosen.ringshift)),
        ("types translated", lambda: types(chosen.ringshift, "", 2)),
        ("types in set 3",
         lambda: types(chosen.ringshift, "i8042.direct=1 atkbd.set=3", 3)),
    ])


if __name__ == "__main__":
    sys.exit(main())
