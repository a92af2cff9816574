#!/usr/bin/env python3
"""Runs random guests: whatever they do, the monitor ends by its own stop or when it is told to.

Kinds: bytes (the image is noise), code (random instructions in both rings between random page
tables, going on after every exception), flips (our tiny guests with bits flipped). A run fails if
the monitor dies of a signal or of a CHECK, does not end when told to, or its own memory grows.
"""
import argparse
import concurrent.futures
import os
import pathlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time

GUESTS = pathlib.Path(__file__).resolve().parent.parent / "guests" / "asm"
HOSTILE = pathlib.Path(__file__).resolve().parent / "hostile.asm"
MEMORY_MIB = 16
OWN_MEMORY_LIMIT_KIB = 200 * 1024
SECONDS_TO_OBEY = 10
IMAGE_BASE = 0x100000
MULTIBOOT_MAGIC = 0x1BADB002

SWITCHES = [[], [], ["--translator", "refuse-every=3"], ["--translator", "verify-every=50"],
            ["--translator", "arena=64K,unit-max=3"],
            ["--translator", "drop-every=5,links=off"]]


def multiboot_header():
    flags = 0x10003
    return struct.pack("<8I", MULTIBOOT_MAGIC, flags, -(MULTIBOOT_MAGIC + flags) & 0xFFFFFFFF,
                       IMAGE_BASE, IMAGE_BASE, 0, 0, IMAGE_BASE + 32)


# Instructions that change how the machine works; EAX and EDX get values that matter to some.
SYSTEM = ["0f20c0", "0f22c0", "0f22d8", "0f22e0", "0f20e0", "0f06", "0f0138", "0f013b", "0f0113",
          "0f011b", "0f0103", "0f010b", "0f00d8", "0f00d0", "0f00c0", "0f00c8", "0f01e0", "0f01f0",
          "0f30", "0f32", "0f31", "0fa2", "0f09", "0f08", "0f21c0", "0f23c0", "0f23f8", "0f21f0",
          "fa", "fb", "9d", "9c", "cf", "cb", "ca0800", "c3", "c20400", "8ed8", "8ec0", "8ed0",
          "8ee0", "8ee8", "1f", "07", "17", "0fa1", "0fa9", "0fb2e0", "c500", "c400", "ec", "ee",
          "ed", "ef", "e460", "e421", "e620", "e643", "e640", "cd80", "cd21", "cc", "ce", "f1",
          "0f34", "0f35", "0f05", "0f0b", "f4", "9b", "dbe3", "d93e", "d926", "dd26", "0fae06",
          "0fae0e", "0fae16", "6c", "f36e", "c8ff0105", "c9", "60", "61", "669d", "66cf", "660fc7f0",
          "0fc70e", "f00fc70e", "63c1", "0f02c1", "0f03c1", "0f00e1", "0f00e9", "d7", "9a00000000",
          "ff1e", "ff2e", "ff16", "ff26"]
MOVES = [0xC000009C & 0xFFFFFFFF, 0x80010033, 0x33, 0x300000, 0x410, 0x6F0, 0x10, 0x23, 0x1B, 0x08,
         0xC0000080, 0x1B, 0x900, 0x174, 0x100000, 0x400000, 0x800000, 0x3FFFFF, 0xFFFFFFFF,
         0x80000000, 0x7FFFFFFF, 0xFFF, 0x1000, 0xB8000, 0xA0000, 0xFEC00000, 0xFEE00000]


def random_memory_operand(rng):
    base = rng.choice([0x03, 0x06, 0x07, 0x43, 0x46, 0x47, 0x83, 0x86, 0x87, 0x04, 0x44, 0x05])
    modrm = base | rng.randrange(8) << 3
    out = bytes([modrm])
    if modrm & 7 == 4:
        out += bytes([rng.randrange(256)])
    if modrm >> 6 == 1:
        out += bytes([rng.randrange(256)])
    elif modrm >> 6 == 2 or modrm & 0xC7 == 0x05:
        out += struct.pack("<I", rng.choice([rng.randrange(0x100000, 0xC00000),
                                             rng.randrange(-4096, 4096) & 0xFFFFFFFF,
                                             rng.randrange(1 << 32), 0x104000, 0x300000]))
    return out


def random_instruction(rng):
    kind = rng.randrange(100)
    prefix = b""
    if rng.randrange(12) == 0:
        prefix = bytes([rng.choice([0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x64, 0x65, 0x2E, 0x36, 0x26])])
    register = bytes([0xC0 | rng.randrange(64)])
    operand = register if rng.randrange(2) else random_memory_operand(rng)
    if kind < 35:
        opcode = rng.choice([*range(0, 4), *range(8, 12), *range(0x28, 0x2C), *range(0x30, 0x34),
                             *range(0x84, 0x8C), 0x8D, 0xD0, 0xD1, 0xD2, 0xD3, 0xF6, 0xF7, 0xFE,
                             0xFF, 0x88, 0x89, 0x8A, 0x8B])
        return prefix + bytes([opcode]) + operand + rng.randbytes(4 * (opcode in (0xF6, 0xF7)))
    if kind < 50:
        value = rng.choice([rng.choice(MOVES), rng.randrange(1 << 32), rng.randrange(0x1000000)])
        return bytes([0xB8 | rng.choice([0, 0, 1, 2, 3, 5, 6, 7])]) + struct.pack("<I", value)
    if kind < 65:
        return prefix + bytes.fromhex(rng.choice(SYSTEM))
    if kind < 75:
        return bytes([rng.choice([0xEB, 0x74, 0x75, 0x72, 0x7F, 0xE2, 0xE3]), rng.randrange(256)])
    if kind < 79:
        return bytes([rng.choice([0xE8, 0xE9])]) + struct.pack("<i", rng.randrange(-4096, 4096))
    if kind < 87:
        return prefix + bytes([0x0F, rng.randrange(256)]) + operand + rng.randbytes(1)
    if kind < 92:
        return prefix + bytes([0xD8 | rng.randrange(8)]) + operand
    if kind < 95:
        return rng.choice([b"", b"\xf3", b"\xf2"]) + bytes([rng.choice(
            [0xA4, 0xA5, 0xAA, 0xAB, 0xAC, 0xAD, 0xA6, 0xA7, 0xAE, 0xAF])])
    if kind < 98:
        return bytes([rng.choice([*range(0x50, 0x60), 0x68, 0x6A, 0x8F])]) + rng.randbytes(4)
    return rng.randbytes(rng.randrange(1, 16))


def random_tables(rng):
    def entry():
        frame = rng.choice([rng.randrange(0x400, 0x800), rng.randrange(0x100, 0x110),
                            rng.randrange(0x300, 0x306), rng.randrange(0, 0x1000),
                            rng.randrange(1 << 20), 0x400])
        return frame << 12 | rng.choice([0, 1, 3, 5, 7, 7, 7, 0x67, 0x103, 0x107, 0x87])
    same_as_linear = rng.randrange(2)
    return b"".join(struct.pack("<I", (0x400 + i) << 12 | 7 if same_as_linear and rng.randrange(4)
                                else entry()) for i in range(2048))


def assemble(source, image, folder, defines):
    subprocess.run(["nasm", "-f", "bin", "-I", str(GUESTS) + "/", "-I", str(folder) + "/",
                    *[f"-D{name}={value}" for name, value in defines.items()],
                    "-o", str(image), str(source)], check=True)


def make_guest(rng, image, folder, flippable):
    kind = rng.choice(["bytes", "code", "code", "code", "flips", "flips"])
    if kind == "bytes":
        image.write_bytes(multiboot_header() + rng.randbytes(rng.randrange(64, 65536)))
    elif kind == "flips":
        data = bytearray(rng.choice(flippable))
        for _ in range(rng.choice([1, 3, 10, 40])):
            # Mostly the guest's own code, behind the page-aligned common part.
            start = rng.choice([32, 0x2000, 0x2000, 0x2000])
            data[rng.randrange(min(start, len(data) - 1), len(data))] ^= 1 << rng.randrange(8)
        image.write_bytes(data)
    else:
        code = b""
        while len(code) < 0x4100:
            code += random_instruction(rng)
        (folder / "blob.bin").write_bytes(code[:0x4100] + rng.randbytes(0xF00))
        (folder / "tables.bin").write_bytes(random_tables(rng))
        assemble(HOSTILE, image, folder,
                 {"SEED": rng.randrange(1, 1 << 32), "ROUNDS": 20000,
                  "TIMER": rng.choice([0, 0, 1193, 300]), "PAGING": int(rng.randrange(4) > 0),
                  "CR4_BITS": rng.choice([0, 0x600, 0x6B0, 0x690, 0x604])})
    return kind


def own_memory_kib(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def run_one(ringshift, seed, seconds, flippable, keep):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        image = folder / "guest.bin"
        kind = make_guest(rng, image, folder, flippable)
        command = [ringshift, "run", "--kernel", str(image), "--memory", f"{MEMORY_MIB}M",
                   "--no-reboot", "--serial", "none", *rng.choice(SWITCHES)]
        with open(folder / "stderr", "wb") as errors:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=errors)
        problem, ended, largest = "", "by itself", 0
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            largest = max(largest, own_memory_kib(process.pid))
            time.sleep(0.01)
        if process.poll() is None:
            ended = "when told to"
            largest = max(largest, own_memory_kib(process.pid))
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(SECONDS_TO_OBEY)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                problem = f"did not end within {SECONDS_TO_OBEY} s of SIGTERM"
        code = process.returncode
        # On a busy host the monitor may not yet have got as far as its signal handlers.
        untimely = ended == "when told to" and code == -signal.SIGTERM
        known = code in (0, 4, 6, 8) or (code > 0 and code % 2 == 1)
        if not problem and not untimely and not known:
            problem = f"exit code {code}"
        if not problem and largest > OWN_MEMORY_LIMIT_KIB:
            problem = f"memory of its own: {largest} KiB"
        errors = (folder / "stderr").read_text("latin-1")[-1500:]
        if problem and keep:
            os.makedirs(keep, exist_ok=True)
            pathlib.Path(keep, f"{seed}.bin").write_bytes(image.read_bytes())
        return seed, kind, ended, code, problem, errors, command


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", required=True)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.3, help="until a guest is told to end")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="folder for the images that failed")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        flippable = []
        for source in sorted(GUESTS.glob("*.asm")):
            image = pathlib.Path(name) / "guest.bin"
            assemble(source, image, pathlib.Path(name), {})
            data = image.read_bytes()
            if struct.pack("<I", MULTIBOOT_MAGIC) in data[:64]:  # not those that boot from a disk
                flippable.append(data)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.runs)
    failures, tally = 0, {}
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for seed, kind, ended, code, problem, errors, command in pool.map(
                lambda seed: run_one(arguments.ringshift, seed, arguments.seconds, flippable,
                                     arguments.keep), seeds):
            what = (kind, ended, "debug exit" if code % 2 else f"code {code}")
            tally[what] = tally.get(what, 0) + 1
            if problem:
                failures += 1
                print(f"FAIL seed {seed} ({kind}): {problem}\n  {' '.join(command)}\n{errors}")
            elif code == 4:
                print(f"seed {seed} ({kind}): {errors.strip()}")
    for what, count in sorted(tally.items()):
        print(f"{count:6} {what[0]:6} ended {what[1]}, {what[2]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
