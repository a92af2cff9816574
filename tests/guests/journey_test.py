#!/usr/bin/env python3
"""A Debian kernel at work is saved and resumed, moved and cloned, many times in a row, and notices nothing.

The guest sorts, packs and starts programs, writes to an ext4 file system on a disk, reads it back past the page cache,
and keeps one checksum of all of that, which is computed here, too. A second process of it looks at its clocks. At the
end its file system is checked by e2fsck, and its kernel must have complained of nothing. `disk`: the image is written
to, and the machine is saved and moved. `clones`: the disk is a snapshot, and the machine is cloned, too; the clone goes
on. `killed`: a machine with a disk is moved, and one of the two sides is killed at some moment of that.
usage: journey_test.py --ringshift PROGRAM [--steps N] [--kills N] [--seed N] [CASE...]
"""

import hashlib
import os
import random
import re
import signal
import sys
import time

from debian_test import tool
from disk_test import initrd_with
from harness import EXIT_POWER_OFF, Run, Stage, expect, guests_folder, parser, run_cases
from migration_test import Qmp
from saved_test import expects_save_requests

TIMEOUT = 120  # of one process
DRIVERS = ("ata_piix", "sd_mod", "ext4", "crc32c_generic")
LINES, FILES, LOOKED_AT_EVERY = 1500, 8, 4
DISK_BYTES = 24 << 20
SCRIPT = f"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sda ] && break; sleep 1; done
mkdir -p /mnt; mount -t ext4 /dev/sda /mnt || echo 'journey: no file system'
(read word </dev/console; touch /tmp/stop) &
(last=0; date=0
while [ ! -f /tmp/stop ]; do
  read up rest </proc/uptime; now=${{up%.*}}${{up#*.}}; today=$(date +%s)
  [ $now -lt $last ] && echo "journey: uptime goes from $last to $now"
  [ $today -lt $date ] && echo "journey: the date goes from $date to $today"
  last=$now; date=$today; usleep 50000
done) &
echo 'journey: begins'
round=0; sum=none
while [ ! -f /tmp/stop ]; do
  file=/mnt/$((round % {FILES})); last=$((round + {LINES}))
  seq $round $last | sort -r >$file
  for i in 1 2 3 4 5 6 7 8; do expr $round + $i >/dev/null; done
  own=$(gzip <$file | gunzip | md5sum)
  if [ $((round % {LOOKED_AT_EVERY})) = 0 ]; then sync; echo 3 >/proc/sys/vm/drop_caches; fi
  sum=$(echo "$sum $own $(md5sum <$file)" | md5sum)
  echo "round $round $sum"
  round=$((round + 1))
done
umount /mnt
complaints='unstable|skew|I/O error|EXT4-fs (error|warning)|BUG:|Oops|lockup|exception|stall'
# Linux does not compare its clocks where reading one took long, as on a host with much to do: it says so, and goes on.
dmesg | grep -v 'clock-skew test skipped' | grep -E "$complaints" && dmesg | tail -n 20 && echo 'journey: complaints'
echo 'journey: ends'
"""


def sums():
    """The guest's checksums, round by round."""
    total, number = "none", 0
    while True:
        text = "".join(f"{line}\n" for line in sorted(map(str, range(number, number + LINES + 1)), reverse=True))
        own = hashlib.md5(text.encode()).hexdigest() + "  -"
        total = hashlib.md5(f"{total} {own} {own}\n".encode()).hexdigest() + "  -"
        yield total
        number += 1


class Journey:
    """The machine, wherever it is, and all that it has said. Owns: its process."""

    def __init__(self, stage, words, seed):
        self.stage, self.words, self.dice = stage, words, random.Random(seed)
        self.folder = stage.path / "journey"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.texts, self.number = [], 0
        self.run = None
        self.start(words)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.run.__exit__()

    def name(self, what):
        return str(self.folder / f"{what}{self.number}")

    def start(self, words, more=()):
        """A process that has the machine from here on. The one before has ended."""
        if self.run is not None:
            self.texts.append(self.run.text())
            self.run.__exit__()
        self.number += 1
        self.run = Run(self.stage, [*words, *self.outside(), *more], TIMEOUT, keyboard=True)

    def outside(self):
        return ["--save", self.name("saved"), "--qmp", f"unix:{self.name('qmp')}",
                "--migrate-to", f"unix:{self.name('move')}"]

    def works(self, rounds=1):
        """Waits until the guest has come so far, and a little more."""
        place = 0
        for _ in range(rounds + 1):
            place = self.run.wait_for("round ", place)
        time.sleep(self.dice.random() * 0.1)

    def save(self):
        while not expects_save_requests(self.run.process):
            time.sleep(0.005)
        saved = self.name("saved")
        self.run.process.send_signal(signal.SIGUSR2)
        code = self.run.finish()
        expect(code == EXIT_POWER_OFF and "saved to" in self.run.errors(), f"save: {code}: {self.run.errors()!r}")
        before = self.number
        self.start(["resume", saved])
        self.run.wait_for("round ")  # by then it has its file open
        os.unlink(saved)
        expect(self.number == before + 1, "")

    def move(self):
        old, where, qmp = self.run, f"unix:{self.name('move')}", self.name("qmp")
        self.number += 1
        target = Run(self.stage, [*self.words, *self.outside(), "--incoming", where], TIMEOUT, keyboard=True)
        try:
            while "waits at" not in target.errors():
                expect(target.process.poll() is None, f"target: {target.errors()!r}")
                time.sleep(0.005)
            with Qmp(qmp) as control:
                control.ask("migrate", uri=where)
                code = old.finish()
            expect(code == EXIT_POWER_OFF and "has moved to" in old.errors(), f"source: {code}: {old.errors()!r}")
        except BaseException:
            target.__exit__()
            raise
        self.texts.append(old.text())
        old.__exit__()
        self.run = target

    def clone(self):
        """The clone goes on; the one that it comes from ends."""
        old, qmp = self.run, self.name("qmp")
        self.number += 1
        child = Run(self.stage, ["clone", qmp, *self.outside()], TIMEOUT, keyboard=True)
        self.run = child
        child.read_some()
        old.process.kill()
        old.finish()
        self.texts.append(old.text())
        old.__exit__()

    def finish(self):
        self.run.type("stop\n")
        code = self.run.finish()
        self.texts.append(self.run.text())
        expect(code == EXIT_POWER_OFF, f"exit code {code}: {self.run.text()[-500:]!r} {self.run.errors()!r}")
        return self.texts


def check(texts, steps):
    text = "\n".join(texts)
    for complaint in re.findall(r"journey: (?!begins|ends).*|no \w+$", text, re.MULTILINE):
        expect(False, f"{complaint}: {text[-1500:]}")
    expect("journey: ends" in text, f"no end: {text[-500:]!r}")
    seen = {int(number): total for number, total in re.findall(r"^round (\d+) ([0-9a-f]{32}  -)$", text, re.MULTILINE)}
    missing = max(seen) + 1 - min(seen) - len(seen)  # lines that were cut in two
    expect(len(seen) >= steps and missing <= 2 * steps, f"{len(seen)} rounds, {missing} missing")
    for number, total in enumerate(sums()):
        if number > max(seen):
            return len(seen)
        expect(seen.get(number, total) == total, f"round {number}: another checksum after {steps} steps")


def has_modules():
    if (guests_folder() / "tree/linux-686/lib/modules").exists():
        return True
    print("skipped: no modules")
    return False


def make_disk(stage):
    disk = stage.path / "disk"
    disk.write_bytes(bytes(DISK_BYTES))
    made = tool("mkfs.ext4", "-q", str(disk))
    expect(made.returncode == 0, f"mkfs.ext4: {made.stdout}")
    disk.chmod(0o666)
    return disk


def guest(stage, disk):
    """The words of its machine."""
    return ["run", *stage.linux("linux-686")[:2], "--initrd", initrd_with(stage, DRIVERS, SCRIPT), "--append",
            "console=ttyS0 panic=-1 quiet ringshift.script=self-test", "--memory", "128M", "--no-reboot",
            "--hda", str(disk)]


def journey(ringshift, seed, steps, disk_options, ways, more):
    if not has_modules():
        return
    with Stage(ringshift) as stage:
        disk = make_disk(stage)
        words = [*guest(stage, f"{disk}{disk_options}"), *more]
        begun = time.monotonic()
        with Journey(stage, words, seed) as machine:
            machine.run.wait_for("journey: begins")
            taken = {way: 0 for way in ways}
            for _ in range(steps):
                machine.works()
                way = machine.dice.choice(ways)
                taken[way] += 1
                getattr(machine, way)()
            machine.works()
            rounds = check(machine.finish(), steps)
        print(f"  {taken}, {rounds} rounds, {(time.monotonic() - begun) / max(steps, 1):.2f} s each")
        if "snapshot" not in disk_options:
            checked = tool("e2fsck", "-f", "-n", str(disk))
            expect(checked.returncode == 0, f"e2fsck finds errors: {checked.stdout}")


def killed_once(stage, saved, words, disk, dice, kill_source):
    """Whether somebody was left who had the machine: then nothing is lost."""
    folder = stage.path / f"killed{time.monotonic_ns()}"
    folder.mkdir()
    folder.chmod(0o777)
    where, qmp = f"unix:{folder}/move", f"{folder}/qmp"
    with Run(stage, [*words, "--incoming", where], TIMEOUT, keyboard=True) as target, \
            Run(stage, ["resume", saved, "--hda", str(disk), "--changed-disks", "--qmp", f"unix:{qmp}", "--migrate-to",
                        where], TIMEOUT, keyboard=True) as source:
        source.wait_for("round ")
        while "waits at" not in target.errors():
            time.sleep(0.005)
        with Qmp(qmp) as control:
            control.ask("migrate", uri=where)
            time.sleep(dice.choice((0.05, 0.3, 0.8)) * dice.random())
            (source if kill_source else target).process.kill()
        if kill_source:
            source.finish()
            while not any(text in target.errors() for text in ("has arrived", "has gone", "turned away")):
                expect(target.process.poll() is None, target.errors())
                time.sleep(0.005)
            heir = target if "has arrived" in target.errors() else None
        else:
            target.finish()
            while not any(text in source.errors() for text in ("has moved to", "goes on here")):
                expect(source.process.poll() is None and "stands here" not in source.errors(), source.errors())
                time.sleep(0.005)
            heir = source if "goes on here" in source.errors() else None
        if heir is None:
            return False
        heir.wait_for("round ")
        heir.type("stop\n")
        code = heir.finish()
        expect(code == EXIT_POWER_OFF, f"{code}: {heir.text()[-300:]!r} {heir.errors()!r}")
        check([source.text() + target.text() if heir is target else source.text()], 1)
        return True


def killed(ringshift, seed, number):
    if not has_modules():
        return
    with Stage(ringshift) as stage:
        disk, dice = make_disk(stage), random.Random(seed)
        words = guest(stage, disk)
        with Journey(stage, words, seed) as machine:
            machine.works()
            machine.run.process.send_signal(signal.SIGUSR2)
            expect(machine.run.finish() == EXIT_POWER_OFF, machine.run.errors())
            saved = machine.name("saved")
        before, left = disk.read_bytes(), 0
        for i in range(2 * number):
            disk.write_bytes(before)
            has_heir = killed_once(stage, saved, words, disk, dice, i % 2 == 0)
            left += has_heir
            # Without one it is as if the power had failed: the journal is replayed.
            checked = tool("e2fsck", "-f", "-n" if has_heir else "-p", str(disk))
            expect(checked.returncode in ((0,) if has_heir else (0, 1)), f"e2fsck: {checked.stdout}")
        print(f"  {2 * number} kills: {left} times one has gone on")


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--steps", type=int, default=4, help="of each case")
    arguments.add_argument("--kills", type=int, default=2, help="of each side")
    arguments.add_argument("case", nargs="*", help="part of a case's name; default: all")
    chosen = arguments.parse_args()
    print(f"seed {chosen.seed}")

    def case(number, disk_options, ways, more=()):
        return lambda: journey(chosen.ringshift, chosen.seed + number, chosen.steps, disk_options, ways, more)

    cases = [
        ("disk", case(0, "", ("save", "move"))),
        ("clones that share equal pages", case(1, ",snapshot=on", ("save", "move", "clone"),
                                               ("--share-pages", "rate=20000"))),
        ("killed", lambda: killed(chosen.ringshift, chosen.seed, chosen.kills)),
    ]
    return 1 if run_cases([(name, each) for name, each in cases
                           if not chosen.case or any(part in name for part in chosen.case)]) else 0


if __name__ == "__main__":
    sys.exit(main())
