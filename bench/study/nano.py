"""The nanobenchmarks: the guest is assembled, run on each engine, and its lines are read."""

import subprocess

from console import Trouble
from places import ROOT

SOURCE = ROOT / "bench/study/guest/nano.asm"
BOOT_SECTOR = ROOT / "bench/study/guest/boot_sector.asm"
INCLUDE = ROOT / "tests/guests/asm"
FLOPPY_BYTES = 1440 * 1024
# A repetition of this many cycles is 27 ms for a machine of 15 million instructions a second whose
# counter counts those.
CYCLES_OF_SLOW_MACHINES = 400000

# Name in the guest, what it is, VMware's binary translator and the processor itself
# (Adams and Agesen, ASPLOS 2006: cycles of a 3.8 GHz Pentium 4).
ROWS = (
    ("syscall", "SYSENTER and SYSEXIT", 2240, 240),
    ("int80", "INT 0x80 and IRET", None, None),
    ("in", "IN from port 0x80", 215, 3209),
    ("out", "OUT to port 0x80", None, None),
    ("cr0wr", "MOV CR0, TS set and cleared", 35, 145),
    ("cr2wr", "MOV CR2", 35, 145),
    ("callret", "CALL and RET", 51, 11),
    ("icallret", "CALL by register and RET", None, None),
    ("pgfault", "true page fault, ring 3", 3927, 1093),
    ("divzero", "divide fault, ring 3", 3223, 889),
    ("ptemod", "write of a page-table entry", 391, 1),
    ("remap", "entry written, INVLPG, page used", None, None),
    ("invlpg", "INVLPG", None, None),
    ("invlpg+use", "INVLPG, page used", None, None),
    ("cr3+use", "MOV CR3 to another space, page used", None, None),
    ("pushfpopf", "PUSHF and POPF", None, None),
    ("clisti", "CLI and STI", None, None),
    ("iret", "IRET to the same ring, three pushes", None, None),
    ("movseg", "MOV ES", None, None),
    ("mmio", "read of video memory", None, None),
    ("cpuid", "CPUID", None, None),
    ("rdtsc", "RDTSC", None, None),
    ("smc", "store into code, the code run", None, None),
    ("hlt", "lateness of the wake-up from HLT", None, None),
    ("loop", "DEC and JNZ: what is in every figure", None, None),
)
# The seven of the paper; its "cr8wr" writes a register that 32-bit code cannot name.
SEVEN = ("syscall", "in", "cr0wr", "cr2wr", "callret", "pgfault", "divzero", "ptemod")


def assemble(source, target, *words):
    subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{INCLUDE}/", "-I", f"{SOURCE.parent}/",
                    "-o", str(target), *words, str(source)], check=True)
    target.chmod(0o644)


def make_image(target, enough_cycles=None):
    words = [f"-DENOUGH_CYCLES={enough_cycles}"] if enough_cycles else []
    assemble(SOURCE, target, *words)
    return target


def make_floppy(target):
    """The same guest behind a boot sector, for machines that start from a BIOS."""
    image = make_image(target.with_suffix(".image"), CYCLES_OF_SLOW_MACHINES).read_bytes()
    sectors = -(-len(image) // 512)
    assemble(BOOT_SECTOR, target, f"-DIMAGE_SECTORS={sectors}")
    content = target.read_bytes() + image
    target.write_bytes(content.ljust(FLOPPY_BYTES, b"\0"))
    return target


def parse(text):
    """(name, operations, cycles) of a result line, or None."""
    words = text.split()
    if len(words) != 4 or words[0] != "nano":
        return None
    try:
        operations, cycles = int(words[2], 16), int(words[3], 16)
    except ValueError:
        return None
    return (words[1], operations, cycles) if operations else None


def collect(lines):
    """By the guest's own counter: {name: [cycles an operation]}."""
    result = {}
    for line in lines:
        found = parse(line.text)
        if found:
            result.setdefault(found[0], []).append(found[2] / found[1])
    return result


def collect_from_outside(lines, cycles_a_second):
    """For machines whose counter is not time: a repetition is what passes between two lines.

    The first repetition of a row comes after the search for its length and is left out; so are lines
    that were read together, because we were late.
    """
    result, before = {}, None
    for line in lines:
        found = parse(line.text)
        if found and before and before[0] == found[0]:
            seconds = line.began.cpu - before[1].ended.cpu
            if seconds > 0:
                result.setdefault(found[0], []).append(seconds * cycles_a_second / found[1])
        before = (found[0], line) if found else None
    result.pop("hlt", None)  # its time is the machine's imagination
    return result


def lines_of(session):
    """To the guest's last line. Rows that a guest skips are not in the result."""
    lines = []
    while True:
        line = session.line()
        if line is None:
            raise Trouble(f"ended early; {session.last_words()}")
        if line.text.startswith("nano done"):
            return lines
        lines.append(line)
