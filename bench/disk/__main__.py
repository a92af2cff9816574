"""Disk throughput in the guest, Ringshift's against QEMU's emulator, with one image and one kernel.

usage: python3 bench/disk [--ringshift PROGRAM] [--rounds N] [--drive ide|virtio]; the two run in turn,
medians are printed.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/guests"), str(ROOT / "tests/setup")]
import disk_test  # noqa: E402
from harness import guest_file  # noqa: E402

IMAGE_MIB = 128
SCRIPT = disk_test.SCRIPT.split("dmesg |")[0] + "/modules/disk /dev/$disk\n"
VIRTIO_SCRIPT = """
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/vda ] && break; sleep 1; done
/modules/disk /dev/vda
"""
APPEND = "console=ttyS0 quiet ringshift.script=self-test"
LINE = re.compile(r"disk-bench (\S+) ([0-9.]+) MB/s ([0-9.]+) requests/s")


def prepare(folder, drive):
    """Kernel, initial RAM disk with drivers and program, and an image."""
    program = folder / "disk"
    subprocess.run(["gcc", "-m32", "-O2", "-static", "-o", program,
                    pathlib.Path(__file__).with_name("disk.c")], check=True)
    files = disk_test.module_files()
    is_virtio = drive == "virtio"
    order = disk_test.load_order(files, ("virtio_pci", "virtio_blk") if is_virtio else disk_test.DRIVERS)
    script = folder / "script"
    script.write_text((VIRTIO_SCRIPT if is_virtio else SCRIPT).replace("@MODULES@", " ".join(order)).replace("@DRIVE@", "0"))
    entries = (f"dir modules 755\nfile etc/self-test.sh 755 {script}\n"
               f"file modules/disk 755 {program}\n")
    entries += "".join(f"file modules/{name}.ko 644 {files[name]}\n" for name in order)
    added = folder / "added.gz"
    subprocess.run([sys.executable, ROOT / "tests/setup/newc.py", added], input=entries.encode(),
                   check=True)
    initrd = folder / "initrd"
    initrd.write_bytes(guest_file("initramfs.cpio.gz").read_bytes() + added.read_bytes())
    image = folder / "disk.img"
    image.write_bytes(b"\xa5" * (IMAGE_MIB << 20))
    return guest_file("linux-686/vmlinuz"), initrd, image


def commands(ringshift, kernel, initrd, image, drive):
    guest = ["-kernel", kernel, "-initrd", initrd, "-append", APPEND, "-m", "256", "-no-reboot"]
    drive = f"file={image},format=raw,if={drive},cache=writeback"
    return {"ringshift": [ringshift, *guest, "-drive", drive],
            "tcg": ["qemu-system-i386", "-accel", "tcg", "-cpu", "max", *guest, "-nographic",
                    "-net", "none", "-monitor", "none", "-serial", "stdio", "-drive", drive]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--drive", choices=("ide", "virtio"), default="ide")
    chosen = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        what = commands(chosen.ringshift, *prepare(pathlib.Path(name), chosen.drive), chosen.drive)
        for _ in range(chosen.rounds):
            for who, command in what.items():
                text = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      timeout=600).stdout.decode(errors="replace")
                if "disk-bench done" not in text:
                    sys.exit(f"{who}: no result: {text[-1000:]}")
                for test, rate, _ in LINE.findall(text):
                    figures.setdefault(test, {}).setdefault(who, []).append(float(rate))
    print(f"{'MB/s':18}{'ringshift':>12}{'tcg':>12}{'ratio':>8}")
    for test, rates in figures.items():
        ours, theirs = (statistics.median(rates[who]) for who in ("ringshift", "tcg"))
        print(f"{test:18}{ours:12.1f}{theirs:12.1f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
