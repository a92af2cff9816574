#!/usr/bin/env python3
"""Boots the Multiboot guests and compares what they show with what other machines show.

gnumach: the lines of gnumach.expected come in this order on the serial port; the kernel then panics
for want of a bootstrap module and resets. invaders: the text screen is one of invaders.expected.
usage: run_multiboot.py --ringshift PROGRAM gnumach|invaders [more options for ringshift, after --]
"""

import hashlib
import re
import sys
import time

from harness import (EXIT_QUIT, EXIT_RESET, HERE, Failure, Run, Stage, expect, guest_file, parser,
                     strip_colours)

ROWS = 25
# The demonstration moves on while it is looked at; a screen may be caught half drawn.
INVADERS_PATIENCE_SECONDS = (1, 2, 3, 1.5, 2.5, 4, 6)
SHIP = "                                       / \\"
CLOCK = re.compile(r"^RTC time is 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$", re.MULTILINE)


def lines_of(text):
    """Progress lines overwrite each other with carriage returns; each is a line here."""
    return [line for line in re.split(r"[\r\n]+", strip_colours(text)) if line]


def check_gnumach(stage, more):
    image = stage.add(guest_file("gnumach-image"), "gnumach")
    options = ["run", "--kernel", image, "--append", "console=com0", "--no-reboot", *more]
    with Run(stage, options, timeout=120) as run:
        run.read_some()
        run.assert_unprivileged()
        code = run.finish()
        shown = lines_of(run.console.decode(errors="replace"))
        at = 0
        for wanted in (HERE / "gnumach.expected").read_text().splitlines():
            expect(wanted in shown[at:], f"the console does not show, or not in order: {wanted}")
            at = shown.index(wanted, at) + 1
        expect(CLOCK.search("\n".join(shown)), "no line with the clock's time")
        expect(code == EXIT_RESET, f"exit code {code}, not {EXIT_RESET}")


def screen_after(stage, image, seconds, more):
    options = ["run", "--kernel", image, "--dump-screen", "--no-reboot", *more]
    with Run(stage, options, timeout=60) as run:
        time.sleep(seconds)
        run.assert_unprivileged()
        run.terminate()
        code = run.finish()
        expect(code == EXIT_QUIT, f"exit code {code} after SIGTERM, not {EXIT_QUIT}")
        rows = [row.rstrip() for row in run.errors().split("\n")]
        expect(len(rows) >= ROWS, f"the screen has {len(rows)} lines, not {ROWS}")
        return rows[:ROWS]


def check_invaders(stage, more):
    image = stage.add(guest_file("invaders-image"), "invaders")
    expected = [line for line in (HERE / "invaders.expected").read_text().splitlines()
                if not line.startswith("#")]
    for seconds in INVADERS_PATIENCE_SECONDS:
        rows = screen_after(stage, image, seconds, more)
        digest = hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]
        if digest in expected:
            expect(rows[ROWS - 1] == SHIP, "the last line is not the ship's")
            print(f"after {seconds} s: screen {expected.index(digest)} of {len(expected)}")
            return
    raise Failure("none of the screens is a known one; the last was\n" + "\n".join(rows))


def main():
    options = parser(__doc__)
    options.add_argument("guest", choices=("gnumach", "invaders"))
    options.add_argument("more", nargs="*", help="more options for ringshift, after --")
    options = options.parse_args()
    guest_file(f"{options.guest}-image")
    check = check_gnumach if options.guest == "gnumach" else check_invaders
    with Stage(options.ringshift) as stage:
        try:
            check(stage, options.more)
        except Failure as problem:
            print(f"{options.guest}: FAILED: {problem}")
            return 1
    print(f"{options.guest}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
