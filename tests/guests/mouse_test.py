#!/usr/bin/env python3
"""Debian's PS/2 mouse driver: finds a wheel mouse, and hears of what --type does with it.

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
    return run_cases([("moves", lambda: moves(chosen.ringshift))])


if __name__ == "__main__":
    sys.exit(main())
