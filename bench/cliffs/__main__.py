"""The cliff hunter: small bare-metal guests over a grid of what guests do, Ringshift against QEMU's emulator.

usage: python3 bench/cliffs [--ringshift PROGRAM] [--rounds N] [--only WORDS] [--options "..."] [--json FILE]

Prints a line a point, the worst ratio first, and how many are above 1.5. Each point is one guest that
measures itself by its time-stamp counter; the two programs run it in turn, and medians are compared.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench/study"))
import nano  # noqa: E402

SOURCE = pathlib.Path(__file__).with_name("guest") / "cliff.asm"
MEMORY = "64M"
TIMEOUT_SECONDS = 120
CLIFF = 1.5
PRESENT, WRITABLE, USER, GLOBAL = 1, 2, 4, 0x100


def page_points():
    """Pages touched x CR3 loads x global or not x ring x writes x order in RAM."""
    grid = itertools.product((16, 256, 2048), (False, True), (False, True), ("kernel", "user"),
                             (False, True), (False, True))
    for pages, reload, is_global, ring, write, scatter in grid:
        if is_global and not reload:
            continue
        flags = PRESENT | WRITABLE | (USER if ring == "user" else 0) | (GLOBAL if is_global else 0)
        words = [f"PAGES={pages}", f"FLAGS={flags}"]
        words += [name for name, wanted in (("RELOAD", reload), ("GLOBAL", is_global), ("WRITE", write),
                                            ("SCATTER", scatter)) if wanted]
        if ring == "user":
            words.append("IN_RING=IN_USER")
        text = f"{ring} {'writes' if write else 'reads'} {pages} pages"
        text += ", scattered" if scatter else ""
        text += ", CR3 loaded each time" if reload else ""
        yield text + (", global" if is_global else ""), 1, words


def other_points():
    shapes = {1: "ES null", 2: "DS not flat", 3: "accesses by FS", 5: "ES loaded each time",
              7: "accesses by FS with a limit", 8: "reads by FS that is read-only",
              9: "accesses by FS that expands down"}
    for shape, what in shapes.items():
        yield f"user, {what}", 2, [f"SHAPE={shape}", "IN_RING=IN_USER"]
    for shape, what in {0: "plain accesses", 4: "DS not flat", 5: "ES loaded each time", 6: "ES null"}.items():
        yield f"kernel, {what}", 2, [f"SHAPE={shape}"]
    for ring in ("kernel", "user"):
        yield f"{ring}, ES loaded, the GDT in the user's pages", 2, \
            ["SHAPE=5", "GDT_OF_USER", f"IN_RING=IN_{ring.upper()}"]
    for mode, what in {1: "16-bit protected mode", 2: "real mode", 3: "virtual-8086 mode"}.items():
        yield f"loop in {what}", 3, [f"MODE={mode}"]
    kinds = {1: "calls and the stack", 2: "string instructions", 3: "REP MOVSW of 64",
             4: "32-bit operands", 5: "far calls", 6: "ES loaded", 7: "far pointers loaded"}
    for (kind, words), (mode, what) in itertools.product(kinds.items(), {1: "16-bit protected", 2: "real"}.items()):
        yield f"{what} mode, {words}", 3, [f"MODE={mode}", f"KIND={kind}"]
    yield "virtual-8086 mode, far calls", 3, ["MODE=3", "KIND=5"]
    yield "real mode, INT and IRET", 3, ["MODE=2", "KIND=9"]
    yield "real mode, far calls of 16 segments", 3, ["MODE=2", "KIND=8"]
    for pages in (4, 64, 256):
        yield f"functions on {pages} pages called in turn", 4, ["HOW=1", f"PAGES={pages}"]
    written = {2: "store beside the code of a page", 3: "operand patched, code run",
               4: "16 functions made anew and run", 5: "stores into the page of the storing code"}
    for how, what in written.items():
        yield what, 4, [f"HOW={how}"]
    modes = {1: "CR0.WP cleared and set around writes", 2: "CR0.TS set, cleared, FPU used",
             3: "CR4.PGE toggled", 4: "paging off and on", 5: "CR4.PSE toggled", 7: "LGDT, far jump",
             8: "LIDT", 9: "WBINVD", 10: "DR7 read and written", 11: "far calls in flat code"}
    for which, what in modes.items():
        yield what, 5, [f"WHICH={which}"]
    yield "INT and IRET, ring 3 to 0", 5, ["WHICH=6", "IN_RING=IN_USER"]
    ports = {0x80: "an empty port", 0x3fd: "the UART's status", 0x21: "the PIC's mask", 0x40: "the PIT",
             0x71: "the clock's data", 0x3da: "the VGA's status", 0x64: "the keyboard's status"}
    for port, what in ports.items():
        yield f"IN from {what}", 6, [f"PORT={port}"]
    for port, what in {0x80: "an empty port", 0x70: "the clock's index"}.items():
        yield f"OUT to {what}", 6, [f"PORT={port}", "IS_OUT"]
    yield "REP INSB of 64 from the UART's status", 6, ["PORT=0x3fd", "STRING_OF"]
    for text, what in {1: "written", 2: "read", 3: "added to"}.items():
        yield f"video memory {what}", 6, [f"TEXT={text}"]
    changes = {1: "entry written, INVLPG, page written", 2: "INVLPG, page read",
               3: "entry cleared, INVLPG, page faulted in", 4: "all entries written, CR3, all used",
               5: "two directories in turn, all used", 6: "A and D cleared, INVLPG, page written",
               7: "entry's W toggled, INVLPG, page read"}
    for how, what in changes.items():
        for pages in (1, 16, 256):
            yield f"{what}: {pages} pages", 7, [f"HOW={how}", f"PAGES={pages}"]
    strings = {1: "REP MOVSB", 2: "REP MOVSD", 3: "REP STOSB", 4: "REPE CMPSB", 5: "REPNE SCASB",
               6: "REP MOVSB downwards"}
    for what, name in strings.items():
        for count in (4, 64, 4096):
            yield f"{name} of {count} bytes", 8, [f"WHAT={what}", f"BYTES={count}"]


def commands(chosen, image):
    ours = [chosen.ringshift, "run", "--kernel", image, "--memory", MEMORY, *chosen.options.split()]
    theirs = ["qemu-system-i386", "-accel", "tcg", "-cpu", "max", "-nodefaults", "-vga", "std",
              "-display", "none", "-serial", "stdio", "-no-reboot", "-m", MEMORY, "-device",
              "isa-debug-exit,iobase=0xf4,iosize=4", "-kernel", image]
    return {"ringshift": ours, "tcg": theirs}


def cycles_of(command):
    """Cycles an operation, a value a repetition; [] if the guest did not come to its end in time."""
    try:
        text = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=TIMEOUT_SECONDS).stdout
    except subprocess.TimeoutExpired as late:
        text = late.stdout or b""
    lines = [line.split() for line in text.decode(errors="replace").splitlines()]
    return [int(line[3], 16) / int(line[2], 16) for line in lines
            if len(line) == 4 and line[0] == "cliff"]


def measure(chosen, point, folder):
    title, family, words = point
    image = folder / "cliff.bin"
    nano.assemble(SOURCE, image, f"-DFAMILY={family}", *(f"-D{word}" for word in words))
    found = {"ringshift": [], "tcg": []}
    for _ in range(chosen.rounds):
        for who, command in commands(chosen, image).items():
            found[who] += cycles_of(command)
    if not found["tcg"]:
        sys.exit(f"{title}: QEMU's emulator gave no result")
    theirs = statistics.median(found["tcg"])
    ours = statistics.median(found["ringshift"]) if found["ringshift"] else None
    return {"what": title, "ringshift": ours, "tcg": theirs,
            "ratio": ours / theirs if ours else float("inf")}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", default="", help="points whose title has these words")
    parser.add_argument("--options", default="", help="more options of `ringshift run`")
    parser.add_argument("--json", type=pathlib.Path)
    chosen = parser.parse_args()
    points = [point for point in (*page_points(), *other_points()) if chosen.only in point[0]]
    with tempfile.TemporaryDirectory() as name:
        rows = []
        for i, point in enumerate(points):
            rows.append(measure(chosen, point, pathlib.Path(name)))
            if sys.stderr.isatty():
                print(f"\r{i + 1} of {len(points)}", end="", file=sys.stderr)
    rows.sort(key=lambda row: -row["ratio"])
    print(f"{'cycles an operation':58}{'ringshift':>12}{'tcg':>12}{'ratio':>9}")
    for row in rows:
        ours = f"{row['ringshift']:12.1f}" if row["ringshift"] else f"{'no end':>12}"
        print(f"{row['what']:58}{ours}{row['tcg']:12.1f}{row['ratio']:9.2f}")
    above = sum(row["ratio"] > CLIFF for row in rows)
    print(f"{above} of {len(rows)} are above {CLIFF}")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
