#!/usr/bin/env python3
"""Command lines and images that make no sense: exit code 2, one line on standard error, at once.

Needs no guest images: everything is refused before a guest runs.
"""

import re
import struct
import sys

from harness import EXIT_USAGE, Run, Stage, expect, parser, run_cases

TIMEOUT = 30
MULTIBOOT_MAGIC = 0x1BADB002
MULTIBOOT_HAS_ADDRESSES = 1 << 16
MEMORY_64M = 64 << 20


def multiboot_header(flags, *fields):
    return struct.pack(f"<III{len(fields)}I", MULTIBOOT_MAGIC, flags,
                       -(MULTIBOOT_MAGIC + flags) & 0xFFFFFFFF, *fields)


def elf32_multiboot(entry, physical, offset, file_size, memory_size, machine=3):
    """A Multiboot ELF image for i386 of one segment; the segment's bytes are not there."""
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, machine, 1, entry, 52, 0, 0,
                         52, 32, 1, 0, 0, 0)
    segment = struct.pack("<8I", 1, offset, physical, physical, file_size, memory_size, 7, 4096)
    return header + segment + multiboot_header(0)


def bzimage(setup_sectors=4, total=8192, version=0x020F, loadflags=1):
    image = bytearray(total)
    image[0x1F1] = setup_sectors
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = struct.pack("<H", version)
    image[0x211] = loadflags
    return bytes(image)


# A PE header of an ARM64 kernel image (arch/arm64 boots as an EFI program).
ARM64_PE = (b"MZ" + bytes(54) + b"ARM\x64" + struct.pack("<I", 64) + b"PE\0\0" +
            struct.pack("<HH", 0xAA64, 2) + bytes(4096))
ARM64_ELF = (struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 183, 1, 0x400000, 64, 0, 0,
                         64, 56, 0, 0, 0, 0) + bytes(4096))
IMAGES = {
    "empty": b"",
    "one byte": b"M",
    "a text": b"This is not a kernel.\n" * 1000,
    "all zeros": bytes(1 << 20),
    "ELF magic alone": b"\x7fELF",
    "ELF for ARM64": ARM64_ELF,
    "PE for ARM64": ARM64_PE,
    "Multiboot ELF for another processor": elf32_multiboot(0x100000, 0x100000, 0, 16, 16, 40),
    "Multiboot ELF, segment beyond the file": elf32_multiboot(0x100000, 0x100000, 0, 1 << 20, 1 << 20),
    "Multiboot ELF, segment beyond memory": elf32_multiboot(0x100000, 0xFFFFF000, 0, 16, 0x10000),
    "Multiboot ELF, larger in the file than in memory":
        elf32_multiboot(0x100000, 0x100000, 0, 96, 16),
    "Multiboot ELF, segment larger than memory":
        elf32_multiboot(0x100000, 0x100000, 0, 16, MEMORY_64M),
    "Multiboot by addresses, backwards": multiboot_header(
        MULTIBOOT_HAS_ADDRESSES, 0x200000, 0x300000, 0x100000, 0x100000, 0x200000),
    "Multiboot by addresses, beyond memory": multiboot_header(
        MULTIBOOT_HAS_ADDRESSES, 0xFFF00000, 0xFFF00000, 0, 0, 0xFFF00000) + bytes(8192),
    "Linux header cut": bzimage()[:0x208],
    "Linux setup only": bzimage()[:0x600],
    "Linux with more setup than file": bzimage(setup_sectors=200),
    "Linux zImage": bzimage(loadflags=0),
    "Linux of old boot protocol": bzimage(version=0x0100),
}
MEMORY = ["", "0", "1K", "100T", "-5", "abc", "64MB", "4097M", "99999999999999999999", "size=",
          "64M,slots=2", "0x1000", "1.5G", " 64M"]
OPTIONS = {
    "unknown option": ["--no-such-option"],
    "unknown short option": ["-Z"],
    "word too many": ["surplus"],
    "unknown processor item": ["--cpu", "no-such-item=on"],
    "bad processor value": ["--cpu", "pae=perhaps"],
    "unknown processor model": ["--cpu", "model=z80"],
    "empty processor item": ["--cpu", ""],
    "unknown translator item": ["--translator", "no-such-item=1"],
    "arena too small": ["--translator", "arena=1"],
    "arena too large": ["--translator", "arena=100T"],
    "unit of nothing": ["--translator", "unit-max=0"],
    "negative number": ["--translator", "drop-every=-1"],
    "unknown engine": ["--engine", "turbo"],
    "unknown statistics": ["--stats=xml"],
    "unknown serial target": ["--serial", "pigeon"],
    "debugger nowhere": ["--gdb", "carrier=pigeon"],
    "debugger at a port beyond": ["--gdb", "tcp=:65536"],
    "debugger at nobody's address": ["--gdb", "tcp=999.0.0.1:1"],
    "debugger at somebody else's address": ["--gdb", "tcp=192.0.2.1:1"],
    "debugger where no socket can be": ["--gdb", "unix=/nonexistent/x"],
    "paused for ever": ["--paused", "--serial", "none"],
    "unknown sandbox": ["--sandbox", "sand"],
    "serial file without name": ["--serial", "file="],
    "serial file that cannot be": ["--serial", "file=/nonexistent/x"],
    "serial file that is a directory": ["--serial", "file=/"],
    "module without file": ["--module"],
    "module that is not there": ["--module", "/nonexistent/module"],
    "module that is a directory": ["--module", "/"],
    "module without name": ["--module", ""],
    "option without value": ["--append"],
    "disk that is not there": ["--hda", "/nonexistent/disk"],
    "disk that is a directory": ["--hda", "/"],
    "virtio disk that is not there": ["--virtio-disk", "/nonexistent/disk"],
    "virtio disk that is a directory": ["--virtio-disk", "/"],
    "virtio disk without a name": ["--virtio-disk", ""],
    "entropy device twice": ["--device", "virtio-rng-pci", "--device", "virtio-rng-pci"],
    "entropy device with an item": ["--device", "virtio-rng-pci,rng=x"],
    "disk that is no file": ["--hda", "/dev/null,snapshot=on"],
    "CD-ROM that is not there": ["--cdrom", "/nonexistent/cd,snapshot=on"],
    "display that is none": ["--display", "hologram"],
    "key that is none": ["--type", "<nokey>"],
    "boot order of nothing": ["--boot", "x"],
    "device that is none": ["--device", "toaster"],
    "device that is none, spelled as elsewhere": ["-device", "toaster"],
    "device without a name": ["--device", ""],
    "device with an item it has not": ["--device", "pc-testdev,speed=high"],
    "device at no port": ["-device", "isa-debug-exit,iobase=0x10000"],
    "device of no ports": ["-device", "isa-debug-exit,iobase=0xf4,iosize=0"],
    "device twice in one place": ["-device", "pc-testdev", "-device", "pc-testdev"],
}


def good_image():
    """A Multiboot image that would run: HLT with interrupts off."""
    start = 0x100000
    header = multiboot_header(MULTIBOOT_HAS_ADDRESSES, start, start, start + 64, start + 64,
                              start + 32)
    return header + b"\xfa\xf4".ljust(64 - len(header), b"\xf4")


def refuse(stage, arguments):
    with Run(stage, arguments, TIMEOUT) as run:
        code = run.finish()
        errors = run.errors()
        expect(code == EXIT_USAGE, f"exit code {code}, not {EXIT_USAGE}: {errors!r}")
        expect(re.fullmatch(r"ringshift: [^\n]+\n", errors), f"not one line: {errors!r}")
        expect(run.text() == "", f"standard output has {run.text()!r}")


def accept(stage, arguments):
    with Run(stage, arguments, TIMEOUT) as run:
        code = run.finish()
        expect(code == 0, f"the good image ends with exit code {code}: {run.errors()!r}")


def command_lines(stage):
    """(what is wrong, arguments) for everything that must be refused."""
    good = stage.write("good", good_image())
    for name, content in IMAGES.items():
        image = stage.write("image-" + re.sub(r"\W+", "-", name), content)
        yield name, ["run", "--memory", "64M", "--kernel", image]
    large = stage.path / "large"
    with open(large, "wb") as file:
        file.truncate(1 << 40)  # sparse: far more than the guest's memory, and than ours
    large.chmod(0o644)
    yield "image of a terabyte", ["run", "--kernel", str(large)]
    yield "initrd for a Multiboot kernel", ["run", "--kernel", good, "--initrd", good]
    yield "module of a terabyte", ["run", "--kernel", good, "--module", str(large)]
    yield "missing image", ["run", "--kernel", "/nonexistent/kernel"]
    yield "directory as image", ["run", "--kernel", str(stage.path)]
    yield "device as image", ["run", "--kernel", "/dev/null"]
    yield "endless device as image", ["run", "--kernel", "/dev/zero"]
    yield "program for this host", ["run", "--kernel", "/bin/true"]
    yield "unreadable image", ["run", "--kernel", "/proc/1/mem"]
    yield "kernel and BIOS", ["run", "--kernel", good, "--bios", good]
    yield "BIOS of a strange size", ["run", "--bios", good]
    yield "missing BIOS", ["run", "--bios", "/nonexistent/bios"]
    yield "endless BIOS", ["run", "--bios", "/dev/zero"]
    yield "no image", ["run"]
    yield "disk smaller than a sector", ["run", "--hda", stage.write("tiny", b"x")]
    disk = stage.write("disk", bytes(512))
    yield "nine virtio disks", ["run", *["--virtio-disk", disk + ",readonly=on"] * 9]
    yield "boot menu that is neither", ["run", "--bios", "/dev/null", "--boot", "menu=perhaps"]
    yield "no command", []
    yield "unknown command", ["frobnicate"]
    for memory in MEMORY:
        yield f"memory of {memory!r}", ["run", "--kernel", good, f"--memory={memory}"]
    for name, arguments in OPTIONS.items():
        yield name, ["run", "--kernel", good, *arguments]


def main():
    options = parser(__doc__).parse_args()
    with Stage(options.ringshift) as stage:
        good = stage.write("good", good_image())
        cases = [("good image", lambda: accept(stage, ["run", "--kernel", good]))]
        for name, arguments in command_lines(stage):
            cases.append((name, lambda arguments=arguments: refuse(stage, arguments)))
        return 1 if run_cases(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
