#!/usr/bin/env python3
"""run_suite.py on images made here: each way to end, each expectation, and a list that is wrong."""
import pathlib
import re
import subprocess
import sys
import tempfile

RUNNER = pathlib.Path(__file__).with_name("run_suite.py")
HEAD = """org 0x100000
bits 32
dd 0x1badb002, 0x10003, -(0x1badb002 + 0x10003)
dd 0x100000, 0x100000, 0, 0, 0x100020
"""
IMAGES = {
    # the register of the test device, then the exit port, as suites have it
    "good.flat": "mov dx, 0xe0\nmov eax, 0x12345678\nout dx, eax\nxor eax, eax\nin eax, dx\n"
                 "sub eax, 0x12345678\nmov dx, 0xf4\nout dx, eax\nhang: jmp hang",
    "deep/bad.flat": "mov al, 1\nout 0xf4, al\nhang: jmp hang",
    "late.flat": "hang: jmp hang",
    "off.flat": "cli\nhlt",
    "prints.elf": "mov dx, 0x3f8\nmov al, 'y'\nout dx, al\nmov al, 0\nout 0xf4, al\nhang: jmp hang",
    "no_image.flat": None,
    "not_mine.bin": "hang: jmp hang",
}


def make(folder):
    for name, code in IMAGES.items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        if code is None:
            target.write_bytes(b"nothing")
            continue
        source = folder / "source.asm"
        source.write_text(HEAD + code + "\n")
        subprocess.run(["nasm", "-f", "bin", "-o", target, source], check=True)


def run(ringshift, folder, text, *more):
    listed = folder / "list"
    listed.write_text(text)
    done = subprocess.run([sys.executable, RUNNER, "--ringshift", ringshift, "--images", folder,
                           "--list", listed, "--seconds", "3", "--output", folder / "said", *more],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def expect(condition, message):
    if not condition:
        raise SystemExit(message)


RIGHT = """# what each does
pass good.flat
fail deep/bad.flat       # says 1
fail late.flat
fail off.flat
pass prints.elf -- --memory 16M
skip no_image.flat       # is none
"""


def main():
    ringshift = sys.argv[sys.argv.index("--ringshift") + 1]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        make(folder)
        code, text = run(ringshift, folder, RIGHT, "--jobs", "2")
        expect(code == 0 and "5 as listed, 0 CHANGED, 0 new, 1 skipped, 0 missing" in text, text)
        expect("late.flat: no end after 3 s" in text and "bad.flat: exit port 1" in text, text)
        expect("off.flat: exit code 0" in text, text)
        printed = (folder / "said/prints.elf.txt").read_text()
        expect(re.search(r"^y$", printed, re.MULTILINE), f"the output that is kept: {printed}")
        short = RIGHT.replace("pass good.flat", "fail good.flat").replace("fail late.flat\n", "")
        short += "pass nowhere.flat\nskip nowhere_else.flat\n"
        code, text = run(ringshift, folder, short, "--write-list", str(folder / "new"))
        expect(code == 1 and re.search(r"pass good.flat: .*CHANGED", text), text)
        expect(re.search(r"fail late.flat: .*\(new\)", text), text)
        expect("missing nowhere.flat" in text and "1 missing" in text, text)
        written = (folder / "new").read_text().splitlines()
        expect("pass prints.elf -- --memory 16M" in written and "fail late.flat" in written,
               written)
        code, text = run(ringshift, folder, RIGHT.replace("fail deep", "pass deep"), "--pass", "1")
        expect(code == 1 and re.search(r"fail good.flat: .*CHANGED", text), text)
        expect(re.search(r"pass deep/bad.flat: .*as listed", text), text)
        code, text = run(ringshift, folder, RIGHT, "--", "--engine", "interpret")
        expect(code == 0, text)
        for wrong in ("perhaps good.flat", "pass", "pass good.flat --memory 1M",
                      "pass good.flat\nfail good.flat"):
            code, text = run(ringshift, folder, wrong)
            expect(code == 1 and "makes no sense" in text, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
