#!/usr/bin/env python3
"""Debian's virtio drivers, by the modern and by the legacy interface: what they read and write is
what is in the image files, a read-only disk is one, a snapshot leaves its image alone, and the entropy
device gives bytes. bios: SeaBIOS's own driver reads the disk for GRUB, which boots the kernel from it.
nbd: a qcow2 image behind a server forgets what is discarded.
saved: a machine that keeps reading and writing its disk is saved at random moments and resumed.

usage: virtio_test.py --ringshift PROGRAM [CASE...]
"""

import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

from disk_test import (MIB, SCRATCH_BYTES, WRITTEN_AT, WRITTEN_BYTES, initrd_with, make_scratch, md5,
                       module_files)
from harness import EXIT_POWER_OFF, SKIPPED, Run, Stage, expect, guest_file, parser, run_cases
from nbd_test import wait_for_socket
from saved_test import chain

DRIVERS = ("virtio_pci", "virtio_blk", "virtio_rng")
DISCARDED_AT, DISCARDED_BYTES = 16 * MIB, 3 * MIB
SCRIPT = r"""
for module in @MODULES@; do
  options=
  [ $module = virtio_pci ] && options=@OPTIONS@
  insmod /modules/$module.ko $options || echo "no $module"
done
echo "features $(cat /sys/block/vda/device/features)"
echo "serial $(cat /sys/block/vda/serial)"
echo "size $(cat /sys/block/vda/size)"
echo "before $(md5sum </dev/vda)"
yes ringshift | dd of=/dev/vda bs=64k seek=64 count=128 iflag=fullblock conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "after $(md5sum </dev/vda)"
blkdiscard -o @DISCARDED_AT@ -l @DISCARDED_BYTES@ /dev/vda && echo 'discarded'
echo "locked $(cat /sys/block/vdb/ro) $(md5sum </dev/vdb)"
yes other | dd of=/dev/vdc bs=64k count=16 iflag=fullblock conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "snapshot $(head -c 1048576 /dev/vdc | md5sum)"
echo "entropy $(cat /sys/class/misc/hw_random/rng_current)" \
  "$(dd if=/dev/hwrng bs=512 count=8 2>/dev/null | wc -c)"
grep virtio /proc/interrupts
dmesg | grep -iE 'virtio.*(error|failed|timeout)|I/O error' && echo 'virtio-test: errors'
echo 'virtio-test: done'
""".replace("@DISCARDED_AT@", str(DISCARDED_AT)).replace("@DISCARDED_BYTES@", str(DISCARDED_BYTES))


def bit(text, number):
    """Whether a feature was agreed on: the kernel prints a character for each, the lowest first."""
    return re.search(r"features ([01]+)", text).group(1)[number] == "1"


def linux(ringshift, options, legacy, more=()):
    with Stage(ringshift) as stage:
        scratch, before = make_scratch(stage)
        locked = stage.write("locked.img", before[:MIB])
        kept = stage.write("kept.img", before[:2 * MIB])
        pathlib.Path(locked).chmod(0o444)
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        ramdisk = initrd_with(stage, DRIVERS, SCRIPT.replace("@OPTIONS@", options))
        words = ["run", "--kernel", kernel, "--initrd", ramdisk, "--memory", "192M", "--append",
                 "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                 "--virtio-disk", scratch, "--virtio-disk", f"{locked},readonly=on",
                 "--virtio-disk", f"{kept},snapshot=on", "--device", "virtio-rng-pci", *more]
        with Run(stage, words, timeout=300) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-2000:]} {run.errors()}")
            text = run.text()
        written = (b"ringshift\n" * (WRITTEN_BYTES // 10 + 1))[:WRITTEN_BYTES]
        after = before[:WRITTEN_AT] + written + before[WRITTEN_AT + WRITTEN_BYTES:]
        expect("virtio-test: done" in text and "virtio-test: errors" not in text,
               f"the guest's kernel reports errors: {text[-2000:]}")
        expect("serial RSV0001" in text, f"the disk is another one: {text[-2000:]}")
        expect(f"size {SCRATCH_BYTES // 512}\n" in text, "the disk's size is wrong")
        expect(f"before {md5(before)}" in text, "what was read is not what is in the image")
        expect(f"after {md5(after)}" in text, "what was read back is not what was written")
        expect("\ndiscarded" in text, "nothing was discarded")
        # The host's file system may have no holes.
        hole = after[:DISCARDED_AT] + bytes(DISCARDED_BYTES) + after[DISCARDED_AT + DISCARDED_BYTES:]
        expect(pathlib.Path(scratch).read_bytes() in (after, hole), "the image is not what was written")
        expect(f"locked 1 {md5(before[:MIB])}" in text, "the read-only disk is not as it should be")
        other = (b"other\n" * (MIB // 6 + 1))[:MIB]
        expect(f"snapshot {md5(other)}" in text, "the snapshot has not what was written")
        expect(pathlib.Path(kept).read_bytes() == before[:2 * MIB], "a snapshot has written its image")
        expect("entropy virtio_rng.0 4096" in text, f"no entropy: {text[-1000:]}")
        expect(bit(text, 28) and bit(text, 29) and bit(text, 9), "features were not agreed on")
        expect(bit(text, 32) != legacy, "the driver's interface is the other one")


def saved(ringshift, seed):
    """Each round reads what the one before has written, from the disk, and writes something else."""
    rounds = 12
    script = ("for module in @MODULES@; do insmod /modules/$module.ko; done\n"
              f"for i in $(seq {rounds}); do\n"
              "  echo 3 >/proc/sys/vm/drop_caches\n"
              "  echo \"round $i $(md5sum </dev/vda)\"\n"
              "  yes $i | dd of=/dev/vda bs=1M count=8 iflag=fullblock conv=fsync 2>/dev/null\n"
              "done\n"
              "dmesg | grep -iE 'virtio.*(error|failed|timeout)|I/O error' &&\n"
              "  echo 'virtio-test: errors'\n")
    dice = random.Random(seed)
    with Stage(ringshift) as stage:
        scratch, content = make_scratch(stage)
        folder = stage.path / "saved"
        folder.mkdir()
        folder.chmod(0o777)
        ramdisk = initrd_with(stage, ("virtio_pci", "virtio_blk"), script)
        words = ["run", "--kernel", stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz"), "--initrd",
                 ramdisk, "--memory", "64M", "--append",
                 "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                 "--virtio-disk", scratch]
        text, code, saves, errors = chain(stage, words, lambda run: time.sleep(dice.random() * 3),
                                          most=5, timeout=300)
        expect(code == EXIT_POWER_OFF, f"exit code {code} after {saves} saves: {text[-500:]} {errors}")
        expect(saves > 0, f"it was never saved (seed {seed})")
        expect("virtio-test: errors" not in text, f"errors (seed {seed}): {text[-2000:]}")
        for number in range(1, rounds + 1):
            expect(f"round {number} {md5(content)}" in text,
                   f"round {number} reads something else (seed {seed})")
            line = f"{number}\n".encode()
            content = (line * (8 * MIB // len(line) + 1))[:8 * MIB] + content[8 * MIB:]
        expect(pathlib.Path(scratch).read_bytes() == content, "the image is not what was written")


def nbd(ringshift):
    script = ("for module in @MODULES@; do insmod /modules/$module.ko; done\n"
              f"blkdiscard -o {DISCARDED_AT} -l {DISCARDED_BYTES} /dev/vda && echo 'discarded'\n"
              "echo 3 >/proc/sys/vm/drop_caches\n"
              "echo \"disk $(md5sum </dev/vda)\"\n")
    with Stage(ringshift) as stage:
        stage.path.chmod(0o777)
        before = random.Random(4).randbytes(SCRATCH_BYTES)
        raw, image, where = (stage.path / name for name in ("raw", "disk.qcow2", "socket"))
        raw.write_bytes(before)
        subprocess.run(["qemu-img", "convert", "-q", "-O", "qcow2", raw, image], check=True)
        server = subprocess.Popen(["qemu-nbd", "--socket", where, "--format", "qcow2",
                                   "--discard=unmap", image])
        try:
            wait_for_socket(where)
            words = ["run", "--kernel", stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz"),
                     "--initrd", initrd_with(stage, ("virtio_pci", "virtio_blk"), script),
                     "--memory", "128M", "--append",
                     "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                     "--virtio-disk", f"nbd+unix:///?socket={where}"]
            with Run(stage, words, timeout=120) as run:
                code = run.finish()
                expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
                text = run.text()
        finally:
            server.kill()
            server.wait()
        hole = (before[:DISCARDED_AT] + bytes(DISCARDED_BYTES) +
                before[DISCARDED_AT + DISCARDED_BYTES:])
        expect("\ndiscarded" in text, f"nothing was discarded: {text[-1000:]}")
        expect(f"disk {md5(hole)}" in text, f"the server has kept it: {text[-1000:]}")


def bios(ringshift):
    keys = ("<until:Press enter>c<until:Minimal BASH>"
            "linux (hd0)/vmlinuz console=ttyS0 quiet ringshift.script=self-test<enter>"
            "echo one<enter><until:echo one>initrd (hd0)/initrd<enter>"
            "echo two<enter><until:echo two>boot<enter>")
    script = ("for module in @MODULES@; do insmod /modules/$module.ko; done\n"
              "echo \"disk $(md5sum </dev/vda)\"\n")
    with Stage(ringshift) as stage:
        content = stage.path / "content"
        content.mkdir()
        (content / "vmlinuz").write_bytes(guest_file("linux-686/vmlinuz").read_bytes())
        ramdisk = initrd_with(stage, ("virtio_pci", "virtio_blk"), script)
        (content / "initrd").write_bytes(pathlib.Path(ramdisk).read_bytes())
        disk = stage.path / "disk.img"
        subprocess.run(["mke2fs", "-q", "-t", "ext2", "-d", str(content), str(disk), "48M"],
                       check=True, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
        disk.chmod(0o644)
        words = ["run", "--virtio-disk", f"{disk},readonly=on", "--boot", "d", "--memory", "192M",
                 "--cdrom", stage.add(guest_file("media/grub-rescue-cdrom.iso"), "cdrom"),
                 "--no-reboot", "--type", keys, "--dump-screen"]
        with Run(stage, words, timeout=300) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-2000:]} {run.errors()}")
            expect(f"disk {md5(disk.read_bytes())}" in run.text(), f"another disk: {run.text()}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE")
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}")
    if not set(DRIVERS) <= set(module_files()):
        print("skipped: no modules in the cache")
        return SKIPPED
    cases = [("modern", lambda: linux(chosen.ringshift, "", False)),
             ("legacy", lambda: linux(chosen.ringshift, "force_legacy=1", True)),
             ("without_acpi", lambda: linux(chosen.ringshift, "", False,
                                            ("--machine", "acpi=off,apic=off"))),
             ("saved", lambda: saved(chosen.ringshift, chosen.seed))]
    if shutil.which("qemu-nbd"):
        cases.append(("nbd", lambda: nbd(chosen.ringshift)))
    if pathlib.Path("/usr/share/seabios/bios-256k.bin").exists():
        cases.append(("bios", lambda: bios(chosen.ringshift)))
    return run_cases([(name, case) for name, case in cases
                      if not chosen.cases or name in chosen.cases])


if __name__ == "__main__":
    sys.exit(main())
