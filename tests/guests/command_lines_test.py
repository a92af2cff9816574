#!/usr/bin/env python3
"""Command lines that people type for QEMU, from Makefiles of courses, documentation and CI tools: each is
accepted and boots its guest, or refused in one line that says why.

The lines are as their sources have them, variables written out; the files that they name are made
here, of tiny guests. usage: command_lines_test.py --ringshift PROGRAM [TEXT OF A LINE...]
"""

import dataclasses
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

from harness import (EXIT_QUIT, EXIT_USAGE, HERE, Failure, Run, Stage, expect, guests_folder, parser,
                     run_cases, without_privilege)

TIMEOUT = 120
EXIT_OF_GUEST = 0x21 << 1 | 1
READY = "ringshift-guest: ready"


@dataclasses.dataclass
class Line:
    source: str
    line: str
    files: dict = dataclasses.field(default_factory=dict)  # name: kind
    refused: str = ""  # part of the reason; empty: the guest boots
    says: str = "booted\n"  # on standard output; None: anything
    writes: dict = dataclasses.field(default_factory=dict)  # file: what the guest puts there
    visited: int = 0  # a port of 127.0.0.1: the guest waits until somebody has come there
    hears: str = ""   # what the visitor is told there
    released: int = 0  # another: gdb lets the guest go there


XV6 = "mit-pdos/xv6-public, Makefile"
XV6_FILES = {"xv6.img": "disk", "fs.img": "data"}
XV6_DRIVES = ("-drive file=fs.img,index=1,media=disk,format=raw "
              "-drive file=xv6.img,index=0,media=disk,format=raw")
TUTORIAL = "cfenollosa/os-tutorial, 23-fixes/Makefile"
OSDEV = "OSDev wiki, 'Bare Bones'"
UNIT_TESTS = "kvm-unit-tests, x86/run"
FOUND = "a public Makefile or script found by its text"

LINES = [
    # ---- courses
    Line(XV6 + ", qemu with CPUS=1", f"-serial mon:stdio {XV6_DRIVES} -smp 1 -m 512", XV6_FILES),
    Line(XV6 + ", qemu-nox with CPUS=1", f"-nographic {XV6_DRIVES} -smp 1 -m 512", XV6_FILES),
    Line(XV6 + ", qemu", f"-serial mon:stdio {XV6_DRIVES} -smp 2 -m 512", XV6_FILES,
         refused="-smp 2: there is one processor"),
    Line(XV6 + ", qemu-memfs",
         "-drive file=xv6memfs.img,index=0,media=disk,format=raw -smp 2 -m 256",
         {"xv6memfs.img": "disk"}, refused="-smp 2: there is one processor"),
    Line("MIT 6.828, lab 1, 'make qemu'",
         "-drive file=obj/kern/kernel.img,index=0,media=disk,format=raw -serial mon:stdio "
         "-gdb tcp::26000 -D qemu.log", {"obj/kern/kernel.img": "disk"}),
    Line(TUTORIAL + ", run", "-fda os-image.bin", {"os-image.bin": "floppy"}),
    Line(TUTORIAL + ", debug", "-s -fda os-image.bin -d guest_errors,int",
         {"os-image.bin": "floppy"}, refused="-d int is not supported"),
    Line(OSDEV, "-cdrom myos.iso", {"myos.iso": "iso"}),
    Line(OSDEV, "-kernel myos.bin", {"myos.bin": "kernel"}),
    Line("'Writing a simple OS', a Makefile that runs GRUB's stage2 from a CD",
         "-cdrom output/os.iso -m 512 -monitor stdio", {"output/os.iso": "iso"}),
    Line(FOUND + ": a boot loader of a course", "-cpu pentium2 -m 1g -fda os.img -monitor stdio -device VGA",
         {"os.img": "floppy"}),
    Line(FOUND + ": xv6 with a scheduler", "-nographic -serial mon:stdio -hdb fs.img xv6.img -smp 1 -m 512",
         XV6_FILES),
    Line(FOUND + ": a kernel with a RAM disk of its own",
         "-kernel kernel.bin -hda hello_rust.tar -serial stdio",
         {"kernel.bin": "kernel", "hello_rust.tar": "data"}),
    Line(FOUND + ": a book on operating systems",
         "-hda ../run/hd.img -serial null -parallel stdio -no-reboot", {"hd.img": "disk"},
         refused="-parallel stdio: there is no parallel port"),
    Line(FOUND + ": a boot loader with long mode",
         "-hda image.bin --no-reboot --no-shutdown -m 32m -smp 2 -serial mon:stdio -D intlog.txt -d int",
         {"image.bin": "disk"}, refused="-smp 2: there is one processor"),
    # ---- hobby systems
    Line(FOUND + ": a disk's first sector on the terminal", "-nographic -drive file=babybs.bin,format=raw",
         {"babybs.bin": "sector"}),
    Line(FOUND + ": the smallest machine there is",
         "-cpu 486 -smp cpus=1 -boot order=c -m 8 -drive file=os.img,if=ide,index=0,media=disk,format=raw "
         "-no-acpi -no-hpet -nic none -serial none -parallel none", {"os.img": "disk"}, says=""),
    Line(FOUND + ": an older DOS",
         "-nodefaults -cpu 486 -machine accel=tcg -no-fd-bootchk -vga std -monitor vc -m 16 -fda corona.img",
         {"corona.img": "floppy"}, says=""),
    Line(FOUND + ": the same with less memory than fits",
         "-nodefaults -cpu 486 -machine accel=tcg -vga std -monitor vc -m 1 -fda corona.img",
         {"corona.img": "floppy"}, refused="1 is outside 4M..3584M"),
    Line(FOUND + ": a debug console", "-m 32 -debugcon stdio -fda build/main_floppy.img",
         {"build/main_floppy.img": "floppy"}, says=None),
    Line(FOUND + ": the debug console to a file",
         "-cdrom os.iso -nodefaults -vga std -no-reboot -debugcon file:info.log", {"os.iso": "iso"},
         says="", writes={"info.log": "on screen"}),
    Line(FOUND + ": serial port to a file", "-serial file:serial.log -cdrom myos.iso",
         {"myos.iso": "iso"}, says="", writes={"serial.log": "booted\n"}),
    Line(FOUND + ": boot menu", "-m 512M -boot menu=on -hda ./drive2 -cdrom ./Monix.iso -serial stdio",
         {"drive2": "disk", "Monix.iso": "iso"}),
    Line(FOUND + ": a floppy image by -drive",
         "-drive format=raw,file=build/disk.img,if=floppy -serial stdio -name Native",
         {"build/disk.img": "floppy"}),
    Line(FOUND + ": text screen on the terminal", "-curses -fda bin/baby_boot.bin",
         {"bin/baby_boot.bin": "floppy"}, says=None),
    Line(FOUND + ": exit code from the guest",
         "-m 128M -usb -device isa-debug-exit,iobase=0xF4,iosize=0x04 "
         "-drive format=raw,index=0,file=bin/image.img", {"bin/image.img": "disk"}),
    Line(FOUND + ": tests of a kernel, with a bench",
         "-kernel kernel.elf -append bench -display none -vga std -serial file:log "
         "-drive file=bench.img,format=raw,if=ide,index=0", {"kernel.elf": "kernel", "bench.img": "data"},
         says="", writes={"log": "booted\n"}),
    Line(FOUND + ": a translator with threads",
         "-cdrom output/os.iso -vga std -m 2G -smp 1 -accel tcg,thread=multi,tb-size=1024 -cpu max "
         "-rtc base=localtime -net none -display none", {"output/os.iso": "iso"}),
    # ---- CI tools and documentation
    Line(UNIT_TESTS + ", without pci-testdev",
         "-enable-kvm -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 -vnc none "
         "-serial stdio -kernel x86/msr.flat", {"x86/msr.flat": "kernel"}),
    Line(UNIT_TESTS, "-enable-kvm -device pc-testdev -device isa-debug-exit,iobase=0xf4,iosize=0x4 "
         "-vnc none -serial stdio -device pci-testdev -kernel x86/msr.flat", {"x86/msr.flat": "kernel"},
         refused="there is no device 'pci-testdev'"),
    Line("QEMU's documentation, 'Direct Linux Boot'",
         '-kernel bzImage -hda rootdisk.img -append "root=/dev/hda console=ttyS0" -nographic',
         {"bzImage": "kernel", "rootdisk.img": "data"}),
    Line("Linux, tools/testing/kunit: i386",
         "-nodefaults -m 1024 -kernel bzImage -append 'kunit.enable=1 console=ttyS0' -no-reboot "
         "-nographic -accel kvm -accel hvf -accel tcg -serial stdio",
         {"bzImage": "kernel"}),
    Line("the same with an initial RAM disk, to a shell",
         '-kernel bzImage -initrd root.cpio.gz -append "console=ttyS0 quiet" -nographic -no-reboot',
         {"bzImage": "linux", "root.cpio.gz": "initramfs"}, says=None),
    Line("buildroot, board/qemu/x86/readme.txt",
         '-M pc -kernel output/images/bzImage -drive file=output/images/rootfs.ext2,if=virtio,format=raw '
         '-append "rootwait root=/dev/vda console=tty1 console=ttyS0" -serial stdio '
         '-net nic,model=virtio -net user',
         {"output/images/bzImage": "kernel", "output/images/rootfs.ext2": "data"}),
    Line("the same without its network card",
         '-M pc -kernel output/images/bzImage -drive file=output/images/rootfs.ext2,if=virtio,format=raw '
         '-append "rootwait root=/dev/vda console=tty1 console=ttyS0" -serial stdio',
         {"output/images/bzImage": "kernel", "output/images/rootfs.ext2": "data"}),
    Line(FOUND + ": a kernel's tests, with a virtio disk",
         "-M pc -kernel kernel.elf -m 512M -display none -serial stdio -monitor none -no-reboot "
         "-device isa-debug-exit,iobase=0xf4,iosize=0x04 -drive if=none,format=raw,file=disk.img,id=d0 "
         "-device virtio-blk-pci,drive=d0,disable-modern=on",
         {"kernel.elf": "kernel", "disk.img": "data"}),
    Line(FOUND + ": an image on a virtio disk", "-m 256 -drive file=disk.img,if=virtio,format=raw -nographic",
         {"disk.img": "disk"}),
    Line("tldr-pages, qemu-system-i386", "-hda image_name.img -m 2048 -cdrom os_image.iso -boot d",
         {"image_name.img": "data", "os_image.iso": "iso"}),
    Line("tldr-pages, qemu-system-i386", "-hda image_name.img -m 2048 -nographic",
         {"image_name.img": "disk"}),
    Line(FOUND + ": two serial ports",
         "-machine pc,accel=tcg -cpu qemu64 -smp 1 -m 512 -display none -no-reboot -no-shutdown "
         "-device isa-debug-exit,iobase=0xf4,iosize=0x04 -serial file:serial_user.txt "
         "-serial file:serial_kernel.txt -hda disk.img", {"disk.img": "disk"}, says="",
         writes={"serial_user.txt": "booted\n", "serial_kernel.txt": ""}),
    Line(FOUND + ": an installed system in qcow2",
         "-m 512 -drive if=none,id=d0,format=qcow2,file=disk.qcow2 -device ide-hd,drive=d0,bus=ide.0 "
         "-display none -serial stdio", {"disk.qcow2": "qcow2"}),
    Line(FOUND + ": the same by its name", "-m 512 -snapshot -nographic disk.qcow2",
         {"disk.qcow2": "qcow2"}),
    Line(FOUND + ": a character device by its id",
         "-chardev stdio,id=char0,mux=on,logfile=serial.log,signal=off -serial chardev:char0 "
         "-mon chardev=char0 -hda disk.img", {"disk.img": "disk"},
         refused="-chardev: cannot use 'logfile"),
    Line(FOUND + ": the same without its log",
         "-chardev stdio,id=char0,mux=on,signal=off -serial chardev:char0 -mon chardev=char0 -hda disk.img",
         {"disk.img": "disk"}),
    Line(FOUND + ": the monitor's character device behind its use",
         "-mon chardev=c0 -serial chardev:c0 -chardev stdio,id=c0,mux=on -hda disk.img", {"disk.img": "disk"}),
    Line(FOUND + ": random numbers and a thread for the disk",
         "-object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0 "
         "-object iothread,id=io0 -drive if=none,id=d0,file=disk.img,format=raw "
         "-device virtio-blk-pci,drive=d0,iothread=io0 -nographic", {"disk.img": "disk"}),
    Line("QEMU's documentation, block device options: a node over a node",
         "-blockdev driver=file,node-name=f0,filename=disk.img -blockdev driver=raw,node-name=d0,file=f0 "
         "-device virtio-blk-pci,drive=d0 -nographic", {"disk.img": "disk"}),
    Line(FOUND + ": the same in one", "-device ide-hd,drive=d0 -serial stdio "
         "-blockdev raw,node-name=d0,file.driver=file,file.filename=disk.img", {"disk.img": "disk"}),
    Line("QEMU's documentation: something for the guest to find", "-fw_cfg name=opt/com.example/answer,string=42 "
         "-hda disk.img -nographic", {"disk.img": "disk"}),
    Line(FOUND + ": instructions are counted", "-icount shift=auto,sleep=off -hda disk.img -nographic",
         {"disk.img": "disk"}),
    Line(FOUND + ": memory with places for more", "-m size=64M,slots=2,maxmem=1G -hda disk.img -nographic",
         {"disk.img": "disk"}),
    # ---- not possible here
    Line(FOUND + ": a folder as a disk", "-hda fat:rw:out -nographic", refused="QEMU's fat: is not supported"),
    Line("QEMU's documentation: an image by HTTP", "-drive file=https://example.org/disk.img,if=virtio -nographic",
         refused="QEMU's https: is not supported"),
    Line(FOUND + ": a recorded run", "-icount shift=7,rr=record,rrfile=replay.bin -hda disk.img",
         {"disk.img": "disk"}, refused="recorded by --record FOLDER"),
    Line(FOUND + ": random numbers of a game's", "-object rng-egd,id=r,chardev=c -kernel k", {"k": "kernel"},
         refused="of objects there are rng-random, rng-builtin, iothread and filter-dump"),
    Line(FOUND + ": a network card",
         "-kernel os-multiboot.bin -serial stdio -netdev user,id=f1,hostfwd=tcp:127.0.0.1:8000-:8000 "
         "-device rtl8139,netdev=f1", {"os-multiboot.bin": "kernel"}, refused="there is no such network card; use virtio-net-pci, e1000 or ne2k_pci"),
    Line(FOUND + ": the same with a card that there is",
         "-kernel os-multiboot.bin -serial stdio -netdev user,id=f1 -device e1000,netdev=f1",
         {"os-multiboot.bin": "kernel"}),
    Line("QEMU's documentation: a card and a dump of its frames",
         "-kernel k -serial stdio -nic user,id=n1,model=virtio-net-pci,mac=52:54:00:11:22:33 "
         "-object filter-dump,id=f1,netdev=n1,file=dump.dat", {"k": "kernel"}),
    Line("QEMU's documentation: a tap", "-kernel k -nic tap,ifname=tap0", {"k": "kernel"},
         refused="it takes privileges"),
    Line(FOUND + ": a sound card", "-soundhw pcspk -fda os-image.bin", {"os-image.bin": "floppy"},
         refused="QEMU's -soundhw is not supported: there is no sound card"),
    Line(FOUND + ": VNC", "-hda memos-2.img -vnc :0", {"memos-2.img": "disk"}),
    Line(FOUND + ": a newer board", "-serial stdio -kernel kernel/skernel -enable-kvm -machine q35 "
         "-device intel-iommu -vga std", {"kernel/skernel": "kernel"},
         refused="-machine q35 is not supported"),
    Line(FOUND + ": a serial port on a socket",
         "-kernel build/eebos.bin -S -s -serial tcp::4444,server=on", {"build/eebos.bin": "kernel"},
         says="", visited=4444, hears="booted\n", released=1234),
    Line(FOUND + ": features of newer processors",
         "-cpu qemu64,+x2apic,+fsgsbase -m 512M -serial stdio -kernel k", {"k": "kernel"},
         refused="x2apic cannot be switched on"),
    Line(FOUND + ": a window", "-cdrom build/kernel.iso -boot d -m 512M -serial stdio -display gtk",
         {"build/kernel.iso": "iso"}, refused="-display gtk: there is no window"),
    Line(FOUND + ": a monitor on a socket", "-monitor telnet:127.0.0.1:2345,server -kernel k",
         {"k": "kernel"}, visited=2345),
    Line(FOUND + ": a monitor that is a pseudo-terminal", "-monitor pty -kernel k",
         {"k": "kernel"}, refused="-monitor pty"),
    Line(FOUND + ": QMP", "-qmp unix:/tmp/qmp.sock,server,nowait -kernel k", {"k": "kernel"}),
    Line(FOUND + ": QMP on the terminal", "-qmp stdio -kernel k", {"k": "kernel"},
         refused="QMP is spoken at a socket here"),
    Line(FOUND + ": less than a machine",
         "-drive format=raw,file=build/disk.img,if=floppy -m size=1M,maxmem=1M -serial stdio -name Native",
         {"build/disk.img": "floppy"}, refused="1M is outside 4M..3584M"),
]


def nasm(stage, name):
    made = stage.path / f"{name}.bin"
    subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", made,
                    f"{HERE}/command_lines/{name}.asm"], check=True)
    return made.read_bytes()


def descriptor(kind, *rest):
    return (bytes([kind]) + b"CD001\1" + b"".join(rest)).ljust(2048, b"\0")


def iso_image(sector):
    """A CD-ROM that boots `sector` without emulation (El Torito 1.0), and has no files."""
    entry = struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, 20)
    validation = struct.pack("<BBH24sHBB", 1, 0, 0, b"", 0, 0x55, 0xAA)
    total = sum(struct.unpack("<16H", validation)) & 0xFFFF
    validation = struct.pack("<BBH24sHBB", 1, 0, 0, b"", -total & 0xFFFF, 0x55, 0xAA)
    record = descriptor(0, b"EL TORITO SPECIFICATION".ljust(64, b"\0"), struct.pack("<I", 19))
    catalogue = (validation + entry).ljust(2048, b"\0")
    return (bytes(16 * 2048) + descriptor(1) + record + descriptor(255) + catalogue +
            sector.ljust(2048, b"\0")).ljust(64 * 2048, b"\0")


class Images:
    def __init__(self, stage):
        self.stage = stage
        sector = nasm(stage, "boot_sector")
        self.content = {
            "kernel": nasm(stage, "kernel"),
            "sector": sector,
            "disk": sector.ljust(1 << 20, b"\0"),
            "floppy": sector.ljust(1440 * 1024, b"\0"),
            "data": bytes(1 << 20),
            "iso": iso_image(sector),
        }

    def make(self, name, kind):
        """False: it is of the cache, and not there."""
        path = self.stage.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        cached = {"linux": "linux-686/vmlinuz", "initramfs": "initramfs.cpio.gz"}.get(kind)
        if cached is not None:
            if not (guests_folder() / cached).is_file():
                return False
            shutil.copyfile(guests_folder() / cached, path)
        elif kind == "qcow2":
            raw = self.stage.write("raw", self.content["disk"])
            subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, path],
                           check=True)
        else:
            path.write_bytes(self.content[kind])
        path.chmod(0o666)
        return True


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check_refused(run, line):
    code, errors = run.finish(), run.errors()
    expect(code == EXIT_USAGE, f"exit code {code}, not {EXIT_USAGE}: {errors!r}")
    expect(line.refused in errors, f"it says {errors!r}, not {line.refused!r}")
    expect(re.fullmatch(r"(ringshift: without effect here: [^\n]+\n)?ringshift: [^\n]+\n", errors),
           f"not one line: {errors!r}")


def check_linux(run):
    run.wait_for(READY)
    run.terminate()
    expect(run.finish() == EXIT_QUIT, f"exit code after SIGTERM: {run.errors()!r}")


def check_booted(stage, run, line):
    code, errors = run.finish(), run.errors()
    expect(code == EXIT_OF_GUEST, f"exit code {code}, not the guest's {EXIT_OF_GUEST}: {errors!r}")
    expect(re.fullmatch(r"(ringshift: without effect here: [^\n]+\n)?(ringshift: (gdb|vnc|--monitor|--serial)[^\n]*\n)*",
                        errors), f"it says {errors!r}")
    # Standard output without the debug console's lines, which are printed where the serial port's
    # are.
    shown = run.text().replace("on screen\n", "")
    expect(line.says is None or shown == line.says, f"standard output has {run.text()!r}")
    if line.says is None:
        expect("on screen" in run.text(), f"standard output has {run.text()!r}")
    for name, content in line.writes.items():
        found = (stage.path / name).read_text().replace("\r", "")
        expect(content in found and bool(content) == bool(found), f"{name} has {found!r}")


def check(stage, images, line):
    for name, kind in line.files.items():
        if not images.make(name, kind):
            print(f"no {kind} in the cache: not tried", flush=True)
            return
    for name in line.writes:
        (stage.path / name).unlink(missing_ok=True)
    words = [word.replace("tcp::26000", f"tcp::{free_port()}") for word in shlex.split(line.line)]
    with Run(stage, words, TIMEOUT) as run:
        if line.refused:
            check_refused(run, line)
        elif line.visited:
            with visitor(run, line.visited) as heard:
                if line.released:
                    with visitor(run, line.released) as gdb:
                        gdb.sendall(b"$c#63")
                        check_booted(stage, run, line)
                else:
                    check_booted(stage, run, line)
                told = heard.makefile("rb").read().decode().replace("\r", "") if line.hears else ""
                expect(told.replace("on screen\n", "") == line.hears, f"the visitor hears {told!r}")
        elif "linux" in line.files.values():
            check_linux(run)
        else:
            check_booted(stage, run, line)


def visitor(run, port):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        except ConnectionRefusedError:
            expect(run.process.poll() is None, f"ended: {run.errors()!r}")
            expect(time.monotonic() < run.deadline, "nobody listens")
            time.sleep(0.01)


# ---- what no line shows


def spinning_disk(stage, images, name="spin.img"):
    """A disk whose guest never ends."""
    images.make(name, "disk")
    (stage.path / name).write_bytes((b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    return name


def in_the_background(stage, images):
    disk, pid_file = spinning_disk(stage, images), stage.path / "run.pid"
    with Run(stage, ["-daemonize", "-pidfile", str(pid_file), "-display", "none", "-hda", disk],
             TIMEOUT) as run:
        expect(run.finish() == 0, f"no good start: {run.errors()!r}")
        process = int(pid_file.read_text())
        expect(os.path.exists(f"/proc/{process}"), "there is no such process")
        os.kill(process, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while pid_file.exists():
            expect(time.monotonic() < deadline, "the file with its number stays")
            time.sleep(0.05)
    with Run(stage, ["-daemonize", "-kernel", "nowhere"], TIMEOUT) as run:
        expect(run.finish() == EXIT_USAGE, "a run that cannot begin has begun")
        expect(run.errors().startswith("ringshift: nowhere: cannot be opened"), run.errors())
    with Run(stage, ["-daemonize", "-serial", "stdio", "-hda", disk], TIMEOUT) as run:
        expect(run.finish() == EXIT_USAGE and "no terminal" in run.errors(), run.errors())


def qemu_nbd_of(stage, name):
    found = subprocess.run(["pgrep", "-f", f"qemu-nbd .*{name}"], capture_output=True, check=False)
    return found.stdout.split()


def served_images(stage, images):
    """A process serves the image while the machine runs, and not after; what cannot be is one line."""
    name = "served-for-a-test.qcow2"
    images.make(name, "qcow2")
    raw = spinning_disk(stage, images)
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", stage.path / raw,
                    stage.path / name], check=True)
    (stage.path / name).chmod(0o666)
    for end, code in ((signal.SIGTERM, EXIT_QUIT), (signal.SIGKILL, -signal.SIGKILL)):
        with Run(stage, ["-hda", name, "-serial", "none", "-no-reboot"], TIMEOUT) as run:
            deadline = time.monotonic() + 20
            while not qemu_nbd_of(stage, name):
                expect(time.monotonic() < deadline and run.process.poll() is None,
                       f"no server: {run.errors()!r}")
                time.sleep(0.05)
            time.sleep(1)
            run.process.send_signal(end)
            expect(run.finish() == code, f"exit code {run.process.returncode}: {run.errors()!r}")
            deadline = time.monotonic() + 5
            while qemu_nbd_of(stage, name):
                expect(time.monotonic() < deadline, "the server outlives the machine")
                time.sleep(0.05)
    expect(not list(stage.path.glob("ringshift-*")), "a socket's folder is left")


def refuse(stage, words, wanted, under=()):
    command = [*without_privilege(), *under, stage.ringshift, *words]
    done = subprocess.run(command, cwd=stage.path, capture_output=True, text=True, check=False,
                          timeout=TIMEOUT)
    expect(done.returncode == EXIT_USAGE, f"exit code {done.returncode}: {done.stderr!r}")
    expect(wanted in done.stderr and done.stderr.count("\n") == 1, f"it says {done.stderr!r}")


def images_that_cannot_be_served(stage, images):
    images.make("good.qcow2", "qcow2")
    refuse(stage, ["-hda", "good.qcow2"], "is not installed (Debian: apt install qemu-utils)",
           ["env", "PATH=/nonexistent"])
    content = bytearray((stage.path / "good.qcow2").read_bytes())
    content[20:24] = b"\xff\xff\xff\xff"  # the size of a cluster
    stage.write("odd.qcow2", content)
    (stage.path / "odd.qcow2").chmod(0o666)
    refuse(stage, ["-hda", "odd.qcow2"], "ringshift: odd.qcow2: ")
    rests = stage.path / "rests.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "good.qcow2", rests],
                   check=True)
    rests.chmod(0o666)
    refuse(stage, ["-hda", "rests.qcow2"], "rests on another file; format=qcow2 follows it")
    with Run(stage, ["-drive", "file=rests.qcow2,format=qcow2", "-nographic"], TIMEOUT) as run:
        expect(run.finish() == EXIT_OF_GUEST, f"format=qcow2 does not follow: {run.errors()!r}")
    refuse(stage, ["-drive", "file=good.qcow2,format=vmdk"], "ringshift: good.qcow2: ")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("wanted", nargs="*", metavar="TEXT")
    options = arguments.parse_args()
    with Stage(options.ringshift) as stage:
        stage.path.chmod(0o777)
        os.environ["TMPDIR"] = str(stage.path)
        images = Images(stage)
        cases = [(f"{line.source}: {line.line}", lambda line=line: check(stage, images, line))
                 for line in LINES]
        cases += [("in the background", lambda: in_the_background(stage, images)),
                  ("served images", lambda: served_images(stage, images)),
                  ("images that cannot be served", lambda: images_that_cannot_be_served(stage, images))]
        wanted = options.wanted
        chosen = [case for case in cases if not wanted or any(text in case[0] for text in wanted)]
        return 1 if run_cases(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
