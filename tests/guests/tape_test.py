#!/usr/bin/env python3
"""Recordings of a Debian kernel with a network and with disks that it writes: the replay shows the same without
either, byte by byte, and again and again.

debian, with --long only: a whole Debian 12 from its disk, which gets its address, answers ssh and runs apt.
usage: tape_test.py --ringshift PROGRAM [--replays N] [--long] [CASE...]
"""

import pathlib
import random
import shutil
import subprocess
import sys
import urllib.request

import debian_network_test
import share_test
from disk_test import DRIVERS as IDE_DRIVERS
from disk_test import initrd_with
from exact_test import EXIT_DIVERGED, folder_of, replay
from harness import EXIT_POWER_OFF, EXIT_USAGE, Run, Stage, expect, guest_file, parser, run_cases
from network_test import BY_DHCP, END, MIB, UP, HostServer, free_port, md5, words_for
from network_test import DRIVERS as CARD_DRIVERS

TIMEOUT = 300
DISK_BYTES = 8 * MIB

NETWORK = UP + BY_DHCP + r"""
ping -c 2 -w 10 10.0.2.2 | grep time=
echo "large $(wget -q -O - http://10.0.2.2:@HTTP@/large | md5sum)"
yes ringshift | head -c 3000000 >/tmp/www/file
httpd -p 80 -h /tmp/www
echo 'network-test: serving'
wget -q -O - http://10.0.2.2:@HTTP@/wait
cat /proc/net/dev /proc/interrupts /proc/uptime
""" + END

DISKS = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
find() {
  for i in 1 2 3 4 5 6 7 8 9 10; do
    disk=$(ls $1 2>/dev/null | head -1)
    [ -n "$disk" ] && [ -b /dev/$disk ] && return
    sleep 1
  done
  echo "no disk: $1"
}
for place in /sys/bus/scsi/devices/0:0:0:0/block /sys/bus/scsi/devices/0:0:1:0/block /sys/bus/virtio/devices/virtio0/block; do
  find $place
  echo "before $(md5sum </dev/$disk) discards $(cat /sys/block/$disk/queue/discard_max_bytes)"
  yes ringshift | dd of=/dev/$disk bs=64k seek=16 count=32 iflag=fullblock conv=fsync 2>/dev/null
  echo 3 >/proc/sys/vm/drop_caches
  echo "after $(md5sum </dev/$disk)"
done
cat /proc/interrupts /proc/diskstats
echo 'disk-test: done'
"""


def times(options, quick):
    """How often a recording is replayed that is beside the first one: so often, but in the long test."""
    return options.replays if options.long else quick


def recorded(stage, words, folder, while_it_runs=lambda run: None, keyboard=False):
    """Returns the console's output, and the digest of the end."""
    digest = pathlib.Path(stage.write("digest", b""))
    digest.chmod(0o666)
    with Run(stage, [*words, "--record", str(folder), "--digest", str(digest)], TIMEOUT, keyboard=keyboard) as run:
        while_it_runs(run)
        code = run.finish()
        expect(code == EXIT_POWER_OFF, f"the recorded run: {code}: {run.text()[-2000:]} {run.errors()}")
        expect("recording ends" not in run.errors(), f"the recorded run: {run.errors()}")
        return run.text(), digest.read_text()


def same_again(stage, folder, shown, *more, timeout=TIMEOUT):
    """A replay shows the same, and ends as the same machine."""
    digest = pathlib.Path(stage.write("replayed", b""))
    digest.chmod(0o666)
    text, code, errors = replay(stage, folder, "--verify", "--digest", str(digest), *more, timeout=timeout)
    expect(code == EXIT_POWER_OFF and "marks agree" in errors, f"replay {more}: {code}: {errors} {text[-500:]}")
    expect(text == shown[0], f"replay {more} shows something else: {text[-500:]!r}, recorded {shown[0][-500:]!r}")
    expect(digest.read_text() == shown[1], f"replay {more} ends as {digest.read_text()}, recorded {shown[1]}")
    return errors


def network(options, model):
    """Two ways of HTTP while it is recorded. The replay has neither server nor network."""
    content = random.Random(7).randbytes(6 * MIB)
    with Stage(options.ringshift) as stage:
        folder, port, fetched = folder_of(stage) / "network", free_port(), []
        with HostServer(content) as server:
            script = NETWORK.replace("@HTTP@", server.ports()["@HTTP@"])
            words = words_for(stage, script, f"user,model={model},hostfwd=tcp:127.0.0.1:{port}-:80",
                              CARD_DRIVERS[model])

            def fetch(run):
                run.wait_for("network-test: serving")
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/file", timeout=60) as answer:
                    fetched.append(answer.read())
                server.may_answer.set()

            shown = recorded(stage, words, folder, fetch)
        expect(f"large {md5(content)}" in shown[0] and "network-test: done" in shown[0],
               f"the network did not work: {shown[0][-2000:]}")
        expect(len(fetched[0]) == 3_000_000, f"the host got {len(fetched[0])} bytes")
        for i in range(options.replays if model == "virtio" else times(options, 1)):
            errors = same_again(stage, folder, shown, *(["--translator", "arena=4M"] if i == 1 else []))
        size = (folder / "tape").stat().st_size
        expect(size < 9 * MIB, f"the tape has {size} bytes")
        print(f"  {model}: {size} bytes, {errors.strip()}")


def disks(options):
    """Two written images, of IDE and of virtio, and a snapshot: a replay has them as they were, and writes none."""
    with Stage(options.ringshift) as stage:
        stage.path.chmod(0o777)
        images = {}
        for name in ("written.img", "snapshot.img", "virtio.img"):
            images[name] = pathlib.Path(stage.write(name, random.Random(name).randbytes(DISK_BYTES)))
            images[name].chmod(0o666)
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        words = ["run", "--kernel", kernel, "--initrd", initrd_with(stage, IDE_DRIVERS + ("virtio_pci", "virtio_blk"), DISKS),
                 "--memory", "192M", "--append", "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                 "--hda", str(images["written.img"]), "--hdb", f"{images['snapshot.img']},snapshot=on",
                 "--virtio-disk", str(images["virtio.img"])]
        befores = {name: md5(image.read_bytes()) for name, image in images.items()}
        folder = folder_of(stage) / "disks"
        shown = recorded(stage, words, folder)
        afters = {name: md5(image.read_bytes()) for name, image in images.items()}
        for name, before in befores.items():
            expect(f"before {before}" in shown[0], f"{name} was not read: {shown[0][-2000:]}")
            expect((before != afters[name]) == (name != "snapshot.img"), f"{name} was written, or was not")
        for i in range(times(options, 2)):
            same_again(stage, folder, shown, *(["--translator", "arena=4M"] if i == 1 else []))
        expect(afters == {name: md5(image.read_bytes()) for name, image in images.items()}, "a replay has written")
        # A file that is not kept has to be unchanged.
        images["snapshot.img"].write_bytes(bytes(DISK_BYTES))
        _, code, errors = replay(stage, folder)
        expect(code == EXIT_USAGE and "is not what it was" in errors, f"another image: {code}: {errors}")
        _, code, errors = replay(stage, folder, "--changed-disks")
        expect(code == EXIT_DIVERGED, f"another image, taken as it is: {code}: {errors}")


RESUMED = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
while [ ! -b /dev/sda ]; do sleep 1; done
yes before | dd of=/dev/sda bs=64k count=8 iflag=fullblock conv=fsync 2>/dev/null
echo 'tape-test: save'
sleep 2
cat /proc/uptime
echo 3 >/proc/sys/vm/drop_caches
md5sum </dev/sda
yes after | dd of=/dev/sda bs=64k seek=4 count=8 iflag=fullblock conv=fsync 2>/dev/null
read line </dev/console
echo "read $line"
echo 3 >/proc/sys/vm/drop_caches
md5sum </dev/sda
cat /proc/interrupts /proc/diskstats
echo 'tape-test: done'
"""


def resumed(options):
    """A machine that was saved, with a disk that it goes on writing: the recording has both as they were."""
    with Stage(options.ringshift) as stage:
        stage.path.chmod(0o777)
        disk = pathlib.Path(stage.write("disk.img", bytes(DISK_BYTES)))
        disk.chmod(0o666)
        saved = str(stage.path / "saved")
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        words = ["run", "--kernel", kernel, "--initrd", initrd_with(stage, IDE_DRIVERS, RESUMED), "--memory", "96M",
                 "--append", "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot", "--hda", str(disk),
                 "--clock", "events", "--save", f"{saved},at=tape-test: save"]
        with Run(stage, words, TIMEOUT) as run:
            run.finish()
            expect("tape-test: save" in run.text() and pathlib.Path(saved).exists(), f"not saved: {run.errors()}")
        folder = folder_of(stage) / "resumed"

        def answer(run):
            run.type("a line\n")

        shown = recorded(stage, ["resume", saved], folder, answer, keyboard=True)
        expect("read a line" in shown[0] and "tape-test: done" in shown[0], f"it has not gone on: {shown[0][-2000:]}")
        after = md5(disk.read_bytes())
        expect(after in shown[0], "it has written something else")
        pathlib.Path(saved).unlink()  # the recording has a copy
        for more in ([], ["--translator", "arena=4M"]):
            same_again(stage, folder, shown, *more)
        expect(after == md5(disk.read_bytes()), "a replay has written")


LIVES = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
while [ ! -b /dev/sda ]; do sleep 1; done
life=$(dd if=/dev/sda bs=1 count=1 2>/dev/null)
echo "tape-test: life $life"
cat /proc/uptime /proc/interrupts
echo $((life + 1)) | dd of=/dev/sda bs=512 conv=sync,fsync 2>/dev/null
[ $life -lt 3 ] && reboot -f
echo 'tape-test: done'
"""


def lives(options):
    """A guest that begins again, by a triple fault (and by its keyboard controller), and finds what it has written."""
    with Stage(options.ringshift) as stage:
        stage.path.chmod(0o777)
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        initrd = initrd_with(stage, IDE_DRIVERS, LIVES)
        for how in ("t", "k") if options.long else ("t",):
            disk = pathlib.Path(stage.write(f"disk-{how}.img", b"1" + bytes(DISK_BYTES - 1)))
            disk.chmod(0o666)
            words = ["run", "--kernel", kernel, "--initrd", initrd, "--memory", "96M", "--append",
                     f"console=ttyS0 quiet ringshift.script=self-test reboot={how}", "--hda", str(disk)]
            folder = folder_of(stage) / f"lives-{how}"
            shown = recorded(stage, words, folder)
            expect(all(f"tape-test: life {life}" in shown[0] for life in (1, 2, 3)) and "tape-test: done" in shown[0],
                   f"reboot={how}: not three lives: {shown[0][-2000:]}")
            errors = same_again(stage, folder, shown, "--translator", "arena=4M")
            print(f"  reboot={how}: {errors.strip()}")


def share(options):
    """A folder that the guest reads, writes and lists: a replay has neither the folder nor a server."""
    with Stage(options.ringshift) as stage:
        stage.path.chmod(0o777)
        shared, large = share_test.make_folder(stage)
        words = share_test.words(stage, share_test.WHOLE, f"{shared},tag=music", "music")
        folder = folder_of(stage) / "share"
        shown = recorded(stage, words, folder)
        for wanted in ("mounted\n", f"large {md5(large)}", "from the host\n", "from the guest\n", "unmounted\n"):
            expect(wanted in shown[0], f"without '{wanted}': {shown[0][-2000:]}")
        shutil.rmtree(shared)
        for more in ([], ["--translator", "arena=4M"]):
            errors = same_again(stage, folder, shown, *more)
        print(f"  {(folder / 'tape').stat().st_size} bytes, {errors.strip()}")


def debian(options):
    """GRUB, systemd and everything, with a written disk and a network."""
    image = guest_file("debian/disk.img")
    if shutil.which("ssh") is None:
        print("  no ssh")
        return
    with Stage(options.ringshift) as stage:
        stage.path.chmod(0o777)
        disk, served, digest = stage.path / "disk.img", stage.path / "served", stage.path / "digest"
        subprocess.run(["cp", "--sparse=always", image, disk], check=True)
        served.mkdir()
        digest.touch()
        for path in (disk, digest):
            path.chmod(0o666)
        folder, port = folder_of(stage) / "debian", free_port()
        words = ["run", "--hda", str(disk), "--memory", "512M", "--no-reboot", "--net",
                 f"user,model=e1000,hostfwd=tcp:127.0.0.1:{port}-:22", "--record", str(folder), "--digest", str(digest)]
        with Run(stage, words, 1500, keyboard=True) as run:
            debian_network_test.use(run, stage.path, served, port)
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
            shown = run.text(), digest.read_text()
        for i in range(min(options.replays, 3)):
            errors = same_again(stage, folder, shown, *(["--translator", "arena=16M"] if i == 1 else []),
                                timeout=1500)
        print(f"  {(folder / 'tape').stat().st_size} bytes, {errors.strip()}")


CASES = {"virtio": lambda options: network(options, "virtio"), "e1000": lambda options: network(options, "e1000"),
         "disks": disks, "resumed": resumed, "lives": lives, "share": share, "debian": debian}


if __name__ == "__main__":
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--replays", type=int, default=3, help="how many of each recording (default: 3)")
    arguments.add_argument("--long", action="store_true", help="the whole Debian, too")
    arguments.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    chosen = arguments.parse_args()
    sys.exit(run_cases([(name, lambda case=case: case(chosen)) for name, case in CASES.items()
                        if name in chosen.case or (not chosen.case and (chosen.long or name != "debian"))]))
