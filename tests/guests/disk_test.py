#!/usr/bin/env python3
"""Debian's kernel with its own IDE drivers: what it reads and writes is what is in the image files.

direct: the kernel is entered directly, with disks. full: the host takes no more of what the guest
writes. grub: GRUB from a CD-ROM, driven by keys, boots
the kernel from an ext2 disk by way of the BIOS, with ACPI and PCI as Debian finds them.
usage: disk_test.py --ringshift PROGRAM [direct|full|grub]
"""

import hashlib
import os
import pathlib
import random
import re
import subprocess
import sys

from harness import (EXIT_POWER_OFF, HERE, SKIPPED, Run, Stage, expect, guest_file, guests_folder,
                     parser, run_cases)

sys.path.insert(0, str(HERE.parent / "setup"))

DRIVERS = ("ata_piix", "sd_mod", "sr_mod")
MIB = 1 << 20
SCRATCH_BYTES = 24 * MIB
WRITTEN_AT, WRITTEN_BYTES = 4 * MIB, 8 * MIB
SCRIPT = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9 10; do
  disk=$(ls /sys/bus/scsi/devices/0:0:@DRIVE@:0/block 2>/dev/null)
  [ -n "$disk" ] && [ -b /dev/$disk ] && break
  sleep 1
done
dmesg | grep -E 'ata[12]\.0[01]: (configured|ATA|ATAPI)'
echo "size $(cat /sys/block/$disk/size)"
echo "before $(md5sum </dev/$disk)"
yes ringshift | dd of=/dev/$disk bs=64k seek=64 count=128 iflag=fullblock conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "after $(md5sum </dev/$disk)"
echo "cdrom $(head -c 1048576 /dev/sr0 | md5sum)"
dmesg | grep -iE 'ata.*(error|failed|timeout|exception)|I/O error' && echo 'disk-test: errors'
echo 'disk-test: done'
"""


def module_files():
    tree = guests_folder() / "tree/linux-686/lib/modules"
    return {path.stem.replace("-", "_"): path for path in tree.rglob("*.ko")}


def load_order(files, drivers=DRIVERS):
    """The drivers and what they depend on, each after its own dependencies."""
    order = []

    def visit(name):
        if name in order:
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for other in depends.group(1).decode().split(",") if depends else ():
            if other:
                visit(other.replace("-", "_"))
        order.append(name)

    for driver in drivers:
        visit(driver)
    return order


def initrd_with(stage, drivers, text):
    """The guests' initial RAM disk and, over it, the drivers and a script to run, which finds their
    names at @MODULES@."""
    files = module_files()
    order = load_order(files, drivers)
    script = stage.write("script", text.replace("@MODULES@", " ".join(order)).encode())
    entries = "dir modules 755\n" + f"file etc/self-test.sh 755 {script}\n" + "".join(
        f"file modules/{name}.ko 644 {files[name]}\n" for name in order)
    added = stage.path / "added.gz"
    subprocess.run([sys.executable, str(HERE.parent / "setup/newc.py"), str(added)],
                   input=entries.encode(), check=True)
    return stage.write("initrd", guest_file("initramfs.cpio.gz").read_bytes() + added.read_bytes())


def initrd(stage, drive):
    """drive: 0 or 1, of the first channel. The kernel names disks in the order in which their probes,
    which run beside each other, happen to come through: sda may be either."""
    return initrd_with(stage, DRIVERS, SCRIPT.replace("@DRIVE@", str(drive)))


def md5(data):
    return hashlib.md5(data).hexdigest()


def check(text, scratch_path, before, cdrom):
    written = (b"ringshift\n" * (WRITTEN_BYTES // 10 + 1))[:WRITTEN_BYTES]
    after = before[:WRITTEN_AT] + written + before[WRITTEN_AT + WRITTEN_BYTES:]
    expect("disk-test: errors" not in text, "the guest's kernel reports errors")
    expect(f"size {SCRATCH_BYTES // 512}\n" in text, "the disk's size is wrong")
    expect(f"before {md5(before)}" in text, "what was read is not what is in the image")
    expect(f"after {md5(after)}" in text, "what was read back is not what was written")
    expect(f"cdrom {md5(cdrom[:MIB])}" in text, "the CD-ROM's content is wrong")
    expect("UDMA" in text, "the disk does not use DMA")
    expect(pathlib.Path(scratch_path).read_bytes() == after, "the image is not what was written")


def make_scratch(stage):
    before = random.Random(1).randbytes(SCRATCH_BYTES)
    path = stage.write("scratch.img", before)
    pathlib.Path(path).chmod(0o666)
    return path, before


def direct(ringshift):
    cdrom = guest_file("media/grub-rescue-cdrom.iso")
    with Stage(ringshift) as stage:
        scratch, before = make_scratch(stage)
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        options = ["run", "--kernel", kernel, "--initrd", initrd(stage, 0), "--memory", "192M",
                   "--append", "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                   "--hda", scratch, "--cdrom", stage.add(cdrom, "cdrom")]
        with Run(stage, options, timeout=300) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-2000:]} {run.errors()}")
            check(run.text(), scratch, before, cdrom.read_bytes())


def full(ringshift):
    """Part of what the guest writes is beyond the size that a file may have (the guest's memory is a
    file, too). It hears of an error, lives on, and what came before is in the image."""
    limit, image_bytes, seek = 224 * MIB, 256 * MIB, 220 * MIB
    script = SCRIPT.replace("@DRIVE@", "0").replace("seek=64", f"seek={seek >> 16}")
    with Stage(ringshift) as stage:
        image = pathlib.Path(stage.write("disk.img", b""))
        os.truncate(image, image_bytes)
        image.chmod(0o666)
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        options = ["run", "--kernel", kernel, "--initrd", initrd_with(stage, DRIVERS, script),
                   "--memory", "192M", "--append",
                   "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                   "--hda", str(image)]
        with Run(stage, options, timeout=300, under=("prlimit", f"--fsize={limit}")) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-2000:]} {run.errors()}")
            expect("I/O error" in run.text(), "the guest's kernel has seen no error")
            expect("disk-test: done" in run.text(), "the guest's script has not ended")
        with image.open("rb") as file:
            file.seek(seek)
            expect(file.read(10 * MIB // 4).startswith(b"ringshift\n" * 1000),
                   "what came before is not in the image")
            file.seek(limit)
            expect(not file.read(MIB).strip(b"\0"), "the host has taken what it should not")


def grub(ringshift):
    cdrom = guest_file("media/grub-rescue-cdrom.iso")
    # The BIOS keeps fifteen keys while GRUB loads: the next line waits until GRUB is back.
    keys = ("<until:Press enter>c<until:Minimal BASH>"
            "linux (hd0)/vmlinuz console=ttyS0 quiet ringshift.script=self-test<enter>"
            "echo one<enter><until:echo one>initrd (hd0)/initrd<enter>"
            "echo two<enter><until:echo two>boot<enter>")
    with Stage(ringshift) as stage:
        scratch, before = make_scratch(stage)
        content = stage.path / "content"
        content.mkdir()
        (content / "vmlinuz").write_bytes(guest_file("linux-686/vmlinuz").read_bytes())
        (content / "initrd").write_bytes(pathlib.Path(initrd(stage, 1)).read_bytes())
        disk = stage.path / "disk.img"
        subprocess.run(["mke2fs", "-q", "-t", "ext2", "-d", str(content), str(disk), "48M"],
                       check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
        disk.chmod(0o644)
        options = ["run", "--hda", f"{disk},snapshot=on", "--hdb", scratch, "--cdrom",
                   stage.add(cdrom, "cdrom"), "--boot", "d", "--memory", "192M", "--no-reboot",
                   "--type", keys, "--dump-screen"]
        with Run(stage, options, timeout=300) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-2000:]} {run.errors()}")
            check(run.text(), scratch, before, cdrom.read_bytes())


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE")
    chosen = arguments.parse_args()
    bios = pathlib.Path("/usr/share/seabios/bios-256k.bin")
    if not bios.exists() or not module_files():
        print(f"skipped: no {bios} or no modules in the cache")
        return SKIPPED
    cases = [("direct", direct), ("full", full), ("grub", grub)]
    return run_cases([(name, lambda case=case: case(chosen.ringshift)) for name, case in cases
                      if not chosen.cases or name in chosen.cases])


if __name__ == "__main__":
    sys.exit(main())
