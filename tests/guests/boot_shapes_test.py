#!/usr/bin/env python3
"""Multiboot images of many shapes around one payload: where a header may be, what it may ask for,
how segments may lie, and what the kernel is told: state, memory, command line, modules, screen.
"""

import pathlib
import struct
import subprocess
import sys
import tempfile

from harness import EXIT_USAGE, HERE, Run, Stage, expect, parser, run_cases

TIMEOUT = 60
MAGIC = 0x1BADB002
HAS_ADDRESSES = 1 << 16
WANTS_VIDEO = 4
DEBUG_EXIT_0 = 1
BSS = 0x2400 + 0x100
GRAPHICS, TEXT = 0, 1


def payload(origin):
    with tempfile.TemporaryDirectory() as folder:
        binary = pathlib.Path(folder) / "payload"
        subprocess.run(["nasm", "-f", "bin", f"-DORG={origin}", "-o", binary,
                        HERE / "boot_information.asm"], check=True)
        return binary.read_bytes()


def header(flags, *fields, off_by=0):
    return struct.pack(f"<{3 + len(fields)}I", MAGIC, flags,
                       (off_by - MAGIC - flags) & 0xFFFFFFFF, *fields)


def flat(before=0, junk=0, flags=3, base=0x100000, load_end=None, bss_end=None, video=()):
    """Placed by the header's addresses; `before` bytes lie between the start and the header."""
    at = base + before
    length = (32 + 4 * len(video) + 15) & ~15
    code = payload(at + length)
    if load_end is None:
        load_end = at + length + len(code)
    if bss_end is None:
        bss_end = load_end + BSS
    head = header(flags | HAS_ADDRESSES, at, base, load_end, bss_end, at + length, *video)
    return b"\xcc" * (junk + before) + head.ljust(length, b"\0") + code


def elf(flags=3, base=0x100000, virtual=None, entry_is_virtual=True, video=(), offset=0x1000,
        off_by=0, bits=32, machine=3, kind=2):
    virtual = base if virtual is None else virtual
    head = header(flags, *([0] * 5 if video else []), *video, off_by=off_by)
    length = (len(head) + 15) & ~15
    body = head.ljust(length, b"\0") + payload(base + length)
    entry = (virtual if entry_is_virtual else base) + length
    if bits == 32:
        file = b"\x7fELF\1\1\1".ljust(16, b"\0") + struct.pack(
            "<HHIIIIIHHHHHH", kind, machine, 1, entry, 52, 0, 0, 52, 32, 1, 0, 0, 0)
        file += struct.pack("<8I", 1, offset, virtual, base, len(body), len(body) + BSS, 7, 0x1000)
    else:
        file = b"\x7fELF\2\1\1".ljust(16, b"\0") + struct.pack(
            "<HHIQQQIHHHHHH", kind, 62, 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        file += struct.pack("<IIQQQQQQ", 1, 7, offset, virtual, base, len(body), len(body) + BSS,
                            0x1000)
    return file.ljust(offset, b"\0") + body


def with_headers_segment(image):
    """A second segment in front: the file's headers on the page below, as linkers put them there."""
    image = bytearray(image)
    image[44:46] = struct.pack("<H", 2)
    image[84:116] = struct.pack("<8I", 1, 0, 0xFF000, 0xFF000, 116, 116, 4, 0x1000)
    return bytes(image)


def screen(width, height, bits):
    size = width * ((bits + 7) // 8)
    kind = 0 if bits == 8 else 0x100
    return [f"V 41534556 {height << 16 | width:08X} {bits:08X} FD000000",
            f"F FD000000 {size:08X} {width:08X} {height:08X} {kind | bits:08X} 00FF8040"]


TEXT_SCREEN = ["F 000B8000 000000A0 00000050 00000019 00000210 00FF8040"]
GOOD = {  # name: (image, what it says of its screen)
    "by addresses": (flat(), TEXT_SCREEN),
    "by addresses, no load end": (flat(load_end=0, bss_end=0x110000), TEXT_SCREEN),
    "header at the end of 8 KiB": (flat(before=8192 - 32), TEXT_SCREEN),
    "header's twelve bytes at the end of 8 KiB": (flat(before=8192 - 12), TEXT_SCREEN),
    "something in front of what is loaded": (flat(junk=4096, before=64), TEXT_SCREEN),
    "at 1.5 MiB": (flat(base=0x180000), TEXT_SCREEN),
    "wishes that may be left alone": (flat(flags=3 | 0x60000), TEXT_SCREEN),
    "no demands": (flat(flags=0), TEXT_SCREEN),
    "in conventional memory": (flat(base=0x10000), TEXT_SCREEN),
    "text": (flat(flags=7, video=(TEXT, 80, 25, 0)), TEXT_SCREEN),
    "graphics": (flat(flags=7, video=(GRAPHICS, 1024, 768, 32)), screen(1024, 768, 32)),
    "any graphics": (flat(flags=7, video=(GRAPHICS, 0, 0, 0)), screen(1024, 768, 32)),
    "ELF": (elf(), TEXT_SCREEN),
    "ELF, linked high": (elf(virtual=0xC0100000), TEXT_SCREEN),
    "ELF, linked high, entry as loaded":
        (elf(virtual=0xC0100000, entry_is_virtual=False), TEXT_SCREEN),
    "ELF, text": (elf(flags=7, video=(TEXT, 80, 25, 0)), TEXT_SCREEN),
    "ELF, graphics": (elf(flags=7, video=(GRAPHICS, 800, 600, 32)), screen(800, 600, 32)),
    "ELF, 24 bits": (elf(flags=7, video=(GRAPHICS, 640, 480, 24)), screen(640, 480, 24)),
    "ELF, 16 bits": (elf(flags=7, video=(GRAPHICS, 640, 480, 16)), screen(640, 480, 16)),
    "ELF, 8 bits": (elf(flags=7, video=(GRAPHICS, 320, 200, 8)), screen(320, 200, 8)),
    "ELF at no boundary": (elf(offset=0x1014, base=0x100014), TEXT_SCREEN),
    "ELF without demands": (elf(flags=0), TEXT_SCREEN),
    "ELF at 16 MiB": (elf(base=0x1000000), TEXT_SCREEN),
    "ELF near the end of memory": (elf(base=0x3F00000), TEXT_SCREEN),
    "ELF with its headers below 1 MiB": (with_headers_segment(elf()), TEXT_SCREEN),
}
NO_SUCH_SCREEN = {
    "too wide": (GRAPHICS, 9000, 768, 32),
    "more than there is memory": (GRAPHICS, 2560, 1600, 64),
    "planes": (GRAPHICS, 640, 480, 4),
}
REFUSED = {
    "demand that is unknown": (flat(flags=0xB), "demands something unknown"),
    "sum that is not zero": (elf(off_by=1), "without a Multiboot header"),
    "ELF of 64 bits": (elf(bits=64), "64-bit ELF file"),
    "ELF beyond memory": (elf(base=0x5000000), "does not fit"),
    "ELF that is shared": (elf(kind=3), "not an executable one"),
    "ELF over the board's tables": (elf(base=0xF0000), "are not free"),
    "ELF over the screen": (elf(base=0xB8000), "are not free"),
}


def lines_of(stage, image, more, notices=0):
    with Run(stage, ["run", "--kernel", image, "--memory", "64M", *more], TIMEOUT) as run:
        code = run.finish()
        expect(code == DEBUG_EXIT_0, f"exit code {code}: {run.errors()!r}")
        said = [line for line in run.errors().splitlines() if "asks for graphics" in line]
        expect(len(said) == notices, f"on standard error: {run.errors()!r}")
        return run.text().splitlines()


def check(stage, content, of_the_screen, more=(), notices=0):
    image = stage.write("image", content)
    flags = 0x1A4D if of_the_screen[0].startswith("V") else 0x124D
    wanted = ["S 2BADB002 00000011 00000002 00000000 00000000",
              f"I {flags:08X} 0000027F 0000FC00", f"C{image} first second", *of_the_screen, "QQEMU"]
    for engine in ("translate", "interpret"):
        shown = lines_of(stage, image,
                         ["--append", "first second", "--engine", engine, *more], notices)
        # A kernel in an odd place begins with other flags of its own arithmetic.
        shown[0] = shown[0][:21] + wanted[0][21:29] + shown[0][29:]
        expect(shown == wanted, f"{engine}: {shown} and not {wanted}")


def check_modules(stage):
    image = stage.write("image", flat())
    empty, full = stage.write("empty", b""), stage.write("full", b"x" * 5000)
    shown = lines_of(stage, image, ["--module", f"{empty} a b", "--module", full,
                                    "--module", f"{empty}"])
    expect(f"C{image}" in shown, f"no command line but the image's name: {shown}")
    modules = [line for line in shown if line.startswith("M")]
    expect(modules == ["M 00000000 00000000 a b", "M 00000000 00001388 ", "M 00000000 00000000 "],
           f"modules {modules}")


def refuse(stage, content, problem):
    image = stage.write("image", content)
    with Run(stage, ["run", "--kernel", image, "--memory", "64M"], TIMEOUT) as run:
        code = run.finish()
        expect(code == EXIT_USAGE, f"exit code {code}")
        expect(f"ringshift: {image}: " in run.errors() and problem in run.errors(),
               f"it says {run.errors()!r}")


def main():
    options = parser(__doc__).parse_args()
    with Stage(options.ringshift) as stage:
        cases = [("modules", lambda: check_modules(stage))]
        for name, (content, text) in GOOD.items():
            cases.append((name, lambda content=content, text=text: check(stage, content, text)))
        for name, video in NO_SUCH_SCREEN.items():
            cases.append((f"graphics that there are not: {name}",
                          lambda video=video: check(stage, flat(flags=7, video=video), TEXT_SCREEN,
                                                    notices=1)))
        cases.append(("graphics without a display",
                      lambda: check(stage, flat(flags=7, video=(GRAPHICS, 640, 480, 32)),
                                    TEXT_SCREEN, ["--machine", "acpi=off"], notices=1)))
        for name, (content, problem) in REFUSED.items():
            cases.append((name, lambda content=content, problem=problem:
                          refuse(stage, content, problem)))
        return 1 if run_cases(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
