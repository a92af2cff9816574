#!/usr/bin/env python3
"""Different systems at once on one host: each passes its own test, and none shares anything with another.

Two Debian kernels with the self-test, GNU Mach, GRUB Invaders, a kernel of ours that forks and maps, memtest86+, and two
boot media in real mode (GRUB's floppy, iPXE), the quick ones several times. Meanwhile the host's own lists are read: no file that one machine may write is open or mapped in another one, no socket leads from one to another, and none has a
descriptor of another's. Two machines write all over disks of their own, and each finds what it has written. One of the machines
is ended by SIGKILL, and another one by SIGTERM: the others go on.
usage: systems_test.py --ringshift PROGRAM [--only NAME]...
"""

import argparse
import itertools
import os
import pathlib
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time

import kernel_build
import kernel_test
import media_test
import run_linux
import run_multiboot
from disk_test import MIB, initrd_with
from harness import EXIT_POWER_OFF, EXIT_QUIT, HERE, Failure, Run, Stage, expect, guest_file, guests_folder, parser

TIMEOUT = 900
MOST_PASSES, SLOW = 6, 60  # no other pass of what has taken so many seconds
OWN_DISK = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9; do [ -b /dev/sda ] && break; sleep 1; done
echo 'disk begins'
yes @NAME@ | dd of=/dev/sda bs=64k count=128 iflag=fullblock 2>/dev/null; sync; echo 3 >/proc/sys/vm/drop_caches
sleep 3
echo "mine $(dd if=/dev/sda bs=64k count=128 2>/dev/null | sort -u | tr '\n' ' ')"
"""


def linux(stage, flavour):
    words = argparse.Namespace(kernel=flavour, memory="96M", verbose_boot=False, append="", until=None, more=[])
    with Run(stage, run_linux.command(stage, words), TIMEOUT) as run:
        expect(run.finish() == EXIT_POWER_OFF, f"no power-off: {run.text()[-500:]}{run.errors()}")
        run_linux.check_self_test(run.text())


def disk_of_its_own(stage, name):
    image = stage.write("image", bytes(8 * MIB))
    os.chmod(image, 0o666)
    words = ["run", "--kernel", stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz"), "--memory", "96M", "--hda", image,
             "--initrd", initrd_with(stage, ("ata_piix", "sd_mod"), OWN_DISK.replace("@NAME@", name)),
             "--append", "console=ttyS0 panic=-1 quiet ringshift.script=self-test", "--no-reboot"]
    with Run(stage, words, TIMEOUT) as run:
        expect(run.finish() == EXIT_POWER_OFF, f"no power-off: {run.text()[-500:]}{run.errors()}")
        mine = re.search(r"^mine (.*)$", run.text(), re.MULTILINE)
        # The last line is cut by the end of the disk.
        expect(mine and name in mine[1] and all(name.startswith(word) for word in mine[1].split()),
               f"on its disk is something else: {run.text()[-500:]}")
    found = set(pathlib.Path(image).read_bytes().decode(errors="replace").split("\n"))
    expect(name in found and all(name.startswith(line) for line in found), "the image has something else")


def own_kernel(stage, kernels):
    images = {way: stage.add(path, path.name) for way, path in kernels.items()}
    for way in kernels:
        code, console, report = kernel_test.run(stage, images, way, "translate", 4)
        expect(code == kernel_test.EXIT_GOOD and report, f"{way} ends with {code}: {console[-400:]}")


def medium(stage, image, option, lines, seconds):
    media_test.shows(stage.ringshift, guests_folder() / image, option, lines, seconds)


def victim(stage, number):
    """Ended from outside while the others run; a machine that spins."""
    image = stage.write("spin", b"")
    source = stage.write("spin.asm", b'%include "guest.inc"\nmain:\n  say "spins"\n.next:\n  jmp .next\n')
    subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image, source], check=True)
    with Run(stage, ["run", "--kernel", image, "--memory", "16M"], TIMEOUT) as run:
        run.wait_for("spins")
        time.sleep(5)
        run.process.send_signal(number)
        code = run.finish()
        expect(code in (EXIT_QUIT, -number), f"ended with {code}")


def systems(kernels):
    """{name: (what is done on a stage of its own, what it needs of the cache)}"""
    cases = {flavour: (lambda stage, flavour=flavour: linux(stage, flavour), f"{flavour}/vmlinuz")
             for flavour in ("linux-686", "linux-686-pae")}
    cases["gnumach"] = (lambda stage: run_multiboot.check_gnumach(stage, []), "gnumach-image")
    cases["invaders"] = (lambda stage: run_multiboot.check_invaders(stage, []), "invaders-image")
    cases["kernel"] = (lambda stage: own_kernel(stage, kernels), None)
    cases["killed"] = (lambda stage: victim(stage, 9), None)
    cases["terminated"] = (lambda stage: victim(stage, 15), None)
    for name in ("disk-a", "disk-b"):
        cases[name] = (lambda stage, name=name: disk_of_its_own(stage, name), "linux-686/vmlinuz")
    if media_test.BIOS.exists():
        for name, image, option, lines, seconds in (*media_test.CASES, media_test.LONG_CASES[0]):
            if name in ("grub_floppy", "ipxe_cdrom", "memtest_kernel"):
                cases[name] = (lambda stage, words=(image, option, lines, seconds): medium(stage, *words), image)
    return cases


class Held:
    """The files and sockets of the processes of one stage, by the host's lists, which two machines must not share."""

    def __init__(self, folder):
        self.files, self.sockets, self.processes = {}, set(), 0
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if folder not in (process / "cmdline").read_bytes().decode(errors="replace"):
                    continue
                name = (process / "comm").read_text().strip()
                if not name.startswith("ringshift"):
                    continue
                self.processes += 1
                self._add_descriptors(process)
                self._add_mappings(process)
            except OSError:
                continue  # it has ended meanwhile

    def _add_descriptors(self, process):
        for link in (process / "fd").iterdir():
            try:
                status, target = link.stat(), os.readlink(link)
            except OSError:
                continue
            if stat.S_ISSOCK(status.st_mode):
                self.sockets.add(status.st_ino)
            elif target != "/dev/null" and not target.startswith("anon_inode:"):
                flags = int(re.search(r"flags:\s*(\d+)", (process / "fdinfo" / link.name).read_text())[1], 8)
                if flags & os.O_ACCMODE != os.O_RDONLY or stat.S_ISFIFO(status.st_mode):
                    self.files[(status.st_dev, status.st_ino)] = target

    def _add_mappings(self, process):
        for line in (process / "maps").read_text().splitlines():
            fields = line.split()
            if fields[1][1] == "w" and fields[1][3] == "s" and fields[4] != "0":
                self.files[(fields[3], fields[4])] = fields[-1]


class System:
    """One of them, on a thread and a stage of its own."""

    def __init__(self, program, name, case):
        self.program, self.name, self.case, self.problem = program, name, case, ""
        self.folder = ""
        self.thread = threading.Thread(target=self.work)

    def work(self):
        """Several times, so that the quick ones are there beside each other and beside the slow one."""
        began = time.monotonic()
        try:
            for number in range(MOST_PASSES):
                if number and time.monotonic() - began > SLOW:
                    return
                with Stage(self.program) as stage:
                    stage.path.chmod(0o777)
                    self.folder = str(stage.path)
                    self.case(stage)
        except Exception as problem:  # pylint: disable=broad-exception-caught
            self.problem = f"{type(problem).__name__}: {problem}"


def audit(running):
    """How many machines were looked at at once."""
    held = {system.name: Held(system.folder) for system in running if system.folder}
    held = {name: one for name, one in held.items() if one.processes}
    for (one, first), (other, second) in itertools.combinations(held.items(), 2):
        shared = {first.files[key] for key in first.files.keys() & second.files.keys()}
        expect(not shared, f"{one} and {other} share {shared}")
        expect(not first.sockets & second.sockets, f"{one} and {other} share a socket")
    return len(held)


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--only", action="append")
    chosen = arguments.parse_args()
    began, most, audits = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            known = systems(kernel_build.build(pathlib.Path(folder)))
        except kernel_build.CannotBuild as why:
            print(f"kernel: skipped: {why}")
            known = {name: case for name, case in systems({}).items() if name != "kernel"}
        all_of_them = []
        for name, (case, needed) in known.items():
            if chosen.only and name not in chosen.only:
                continue
            if needed and not (guests_folder() / needed).exists():
                print(f"{name}: skipped: no {needed}")
                continue
            all_of_them.append(System(chosen.ringshift, name, case))
        for system in all_of_them:
            system.thread.start()
        problem = ""
        while running := [system for system in all_of_them if system.thread.is_alive()]:
            try:
                most = max(most, audit(running))
                audits += 1
            except Failure as found:
                problem = problem or str(found)
            time.sleep(0.5)
    for system in all_of_them:
        print(f"{system.name}: {'FAILED: ' + system.problem if system.problem else 'ok'}")
    print(f"{len(all_of_them)} systems in {time.monotonic() - began:.0f} s, up to {most} at once; looked at {audits} times: "
          f"{problem or 'nothing is shared'}")
    return 1 if problem or any(system.problem for system in all_of_them) else 0


if __name__ == "__main__":
    sys.exit(main())
