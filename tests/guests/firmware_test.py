#!/usr/bin/env python3
"""Debian's SeaBIOS, unmodified, finds its machine and says so on the screen and in its log.

The test is skipped where the package seabios is not installed.
usage: firmware_test.py --ringshift PROGRAM
"""

import pathlib
import sys
import time

from harness import EXIT_QUIT, SKIPPED, Run, Stage, expect, parser, run_cases

BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")
NO_MEDIUM = "No bootable device."
LOG_LINES = (
    "Running on QEMU (i440fx)",
    "QEMU fw_cfg DMA interface supported",
    "qemu/e820: addr 0x0000000000000000 len 0x0000000004000000 [RAM]",
    "PIIX3/PIIX4 init: elcr=00 0c",
    "Using pmtimer, ioport 0xb008",
    "ACPI DSDT=",
    "VBE DISPI: bdf 00:02.0, bar 0",
    "PS2 keyboard initialized",
)


def wait_for_log(path, text, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if path.exists() and text in path.read_text(errors="replace"):
            return
        time.sleep(0.1)
    expect(False, f"the firmware's log is without: {text}")


def boots_nothing(ringshift, more):
    with Stage(ringshift) as stage:
        stage.path.chmod(0o777)  # the log is written by the unprivileged run
        log = stage.path / "firmware.log"
        options = ["run", "--bios", str(BIOS), "--memory", "64M", "--firmware-log", str(log),
                   "--dump-screen", "--no-reboot", *more]
        with Run(stage, options, timeout=60) as run:
            wait_for_log(log, NO_MEDIUM, 50)
            run.assert_unprivileged()
            run.terminate()
            code = run.finish()
            expect(code == EXIT_QUIT, f"exit code {code} after SIGTERM, not {EXIT_QUIT}")
            screen = run.errors()
            text = log.read_text(errors="replace")
        for line in LOG_LINES:
            expect(line in text, f"the firmware's log is without: {line}")
        expect("SeaBIOS (version" in screen, "the screen is without the BIOS's name")
        expect(NO_MEDIUM in screen, f"the screen is without: {NO_MEDIUM}")


def main():
    ringshift = parser(__doc__).parse_args().ringshift
    if not BIOS.exists():
        print(f"skipped: no {BIOS} (Debian package seabios)")
        return SKIPPED
    return run_cases([
        ("boots_nothing", lambda: boots_nothing(ringshift, [])),
        ("boots_nothing_interpreted", lambda: boots_nothing(ringshift, ["--engine", "interpret"])),
        ("boots_nothing_small_arena", lambda: boots_nothing(
            ringshift, ["--translator", "arena=64K,verify-every=50"])),
    ])


if __name__ == "__main__":
    sys.exit(main())
