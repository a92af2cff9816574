#!/usr/bin/env python3
"""Boot media of Debian packages, by way of SeaBIOS: what they are to show is on the text screen.

They come from the cache; what is not there is skipped.
usage: media_test.py --ringshift PROGRAM [CASE...]
"""

import pathlib
import sys
import time

from harness import EXIT_QUIT, Failure, Run, Stage, expect, guests_folder, parser, run_cases

BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")
GRUB_MENU = ("GNU GRUB  version", "Memtest86+", "Use the ↑ and ↓ keys")
# (name, image in the cache, its option, what the screen is to show, seconds until then)
CASES = (
    ("grub_cdrom", "media/grub-rescue-cdrom.iso", "--cdrom", GRUB_MENU, 12),
    ("grub_disk", "media/grub-rescue-cdrom.iso", "--hda", GRUB_MENU, 12),
    ("ipxe_cdrom", "media/ipxe.iso", "--cdrom",
     ("iPXE initialising devices...ok", "No more network devices"), 12),
)
TRIES = 5


def screen_after(stage, options, seconds):
    with Run(stage, ["run", *options, "--dump-screen", "--no-reboot"], timeout=seconds + 30) as run:
        time.sleep(seconds)
        run.assert_unprivileged()
        run.terminate()
        code = run.finish()
        expect(code == EXIT_QUIT, f"exit code {code} after SIGTERM, not {EXIT_QUIT}: {run.errors()}")
        return run.errors()


def shows(ringshift, image, option, lines, seconds):
    with Stage(ringshift) as stage:
        medium = stage.add(image, "medium") + (",readonly=on" if option == "--hda" else "")
        for attempt in range(TRIES):  # a busy host takes longer
            screen = screen_after(stage, [option, medium, "--memory", "128M"],
                                  seconds * (attempt + 1) / 2)
            if all(line in screen for line in lines):
                return
        raise Failure(f"the screen is without one of {lines}:\n{screen}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE")
    chosen = arguments.parse_args()
    cases = []
    for name, image, option, lines, seconds in CASES:
        path = guests_folder() / image
        if chosen.cases and name not in chosen.cases:
            continue
        if not BIOS.exists() or not path.exists():
            print(f"{name}: skipped: no {path if BIOS.exists() else BIOS}")
            continue
        cases.append((name, lambda path=path, option=option, lines=lines, seconds=seconds:
                      shows(chosen.ringshift, path, option, lines, seconds)))
    return run_cases(cases)


if __name__ == "__main__":
    sys.exit(main())
