#!/usr/bin/env python3
"""The data that Linux is handed: command lines of several lengths, up to the longest that its
header allows, and an initial RAM disk of tens of megabytes, arrive as they were given; one byte
more is refused.
"""

import hashlib
import pathlib
import random
import re
import sys

from harness import EXIT_POWER_OFF, EXIT_USAGE, Run, Stage, expect, guest_file, parser, run_cases

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "setup"))
from newc import NewcArchive  # noqa: E402

TIMEOUT = 240
LONGEST = 2047
BIG = 24 << 20
SCRIPT = b"""echo length: $(wc -c < /proc/cmdline)
echo line: $(md5sum < /proc/cmdline)
echo end: $(tail -c 21 /proc/cmdline)
[ -e /big ] && echo big: $(md5sum < /big)
"""


def initrd(stage, big):
    """The guests' archive, and behind it another one, whose self-test is the script above."""
    archive = NewcArchive()
    archive.add_file("etc/self-test.sh", 0o755, SCRIPT)
    if big:
        archive.add_file("big", 0o644, big)
    more = archive.finish()
    content = guest_file("initramfs.cpio.gz").read_bytes()
    return stage.write("initrd", content + bytes(-len(content) % 4) + more)


def words(length):
    line = "console=ttyS0 quiet panic=-1 ringshift.script=self-test filler="
    return line + "x" * (length - len(line) - 20) + " the.end=0123456789a"


def md5(content):
    return hashlib.md5(content).hexdigest()


def command(kernel, disk, line):
    return ["run", "--kernel", kernel, "--initrd", disk, "--append", line, "--memory", "160M",
            "--no-reboot"]


def check(stage, kernel, length, big):
    line = words(length)
    expect(len(line) == length, "the test's own line is wrong")
    with Run(stage, command(kernel, initrd(stage, big), line), TIMEOUT) as run:
        code = run.finish()
        text = run.text()
        expect(code == EXIT_POWER_OFF, f"exit code {code}\n{text[-2000:]}\n{run.errors()}")
    found = dict(re.findall(r"^(length|line|end|big): (\S+)", text, re.MULTILINE))
    # The kernel prints a newline behind its command line.
    expect(found.get("length") == str(length + 1), f"{found}")
    expect(found.get("line") == md5(line.encode() + b"\n"), f"{found}")
    expect(found.get("end") == "the.end=0123456789a", f"{found}")
    expect(found.get("big") == (md5(big) if big else None), f"{found}")


def refuse(stage, kernel, length):
    with Run(stage, command(kernel, initrd(stage, b""), words(length)), TIMEOUT) as run:
        code = run.finish()
        expect(code == EXIT_USAGE, f"exit code {code}")
        expect("command line of 2047 bytes" in run.errors(), run.errors())


def main():
    options = parser(__doc__).parse_args()
    with Stage(options.ringshift) as stage:
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        big = random.Random(1).randbytes(BIG)
        cases = [
            ("a command line of 255", lambda: check(stage, kernel, 255, b"")),
            ("the longest, and a big initrd", lambda: check(stage, kernel, LONGEST, big)),
            ("a byte too long", lambda: refuse(stage, kernel, LONGEST + 1)),
        ]
        return 1 if run_cases(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
