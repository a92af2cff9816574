#!/usr/bin/env python3
"""Machines that are cloned while they run: both sides go on, and end as one that was not cloned.

The small guest of saved_test.py, which computes in both rings under a timer, with all engines; a Debian
kernel with its self-test; disks; clones of clones; what is refused; and a guest that resets after it was
resumed or cloned. How long the guests have stood is printed, and not judged.
usage: clone_test.py --ringshift PROGRAM [--seed N] [CASE...]
"""

import os
import random
import signal
import subprocess
import sys
import time

from disk_test import initrd_with
from harness import (EXIT_POWER_OFF, EXIT_QUIT, EXIT_USAGE, HERE, Run, Stage, expect, guests_folder, parser, run_cases)
from migration_test import Qmp
from run_linux import LAST, READY, check_self_test
from saved_test import ENGINES, EXIT_DONE, assemble, command, save_once, whole_run

TIMEOUT = 300
OVER = ("ready", "failed")


class Cloned:
    """A machine with a QMP socket, and the clones that are made of it."""

    def __init__(self, stage, words):
        self.stage = stage
        self.folder = stage.path / f"clones{time.monotonic_ns()}"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.socket = str(self.folder / "qmp")
        self.source = Run(stage, [*words, "--qmp", f"unix:{self.socket}"], TIMEOUT)
        self.clones = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for run in (self.source, *self.clones):
            run.__exit__()

    def wait_for_socket(self):
        deadline = time.monotonic() + TIMEOUT
        while not os.path.exists(self.socket):
            expect(time.monotonic() < deadline and self.source.process.poll() is None, self.source.errors())
            time.sleep(0.002)

    def clone(self, *more, of=None):
        self.wait_for_socket()
        self.clones.append(Run(self.stage, ["clone", of or self.socket, *more], TIMEOUT))
        return self.clones[-1]

    def prepare(self, **arguments):
        """Without a clone that is begun at once: what has become of it."""
        self.wait_for_socket()
        with Qmp(self.socket) as qmp:
            qmp.ask("x-ringshift-clone", **arguments)
            while (now := qmp.ask("x-ringshift-query-clone"))["status"] not in OVER:
                time.sleep(0.002)
            return now

    def figures(self):
        with Qmp(self.socket) as qmp:
            return qmp.ask("x-ringshift-query-clone")


def ends_like(run, wanted, what):
    """A clone's output is the rest of the whole."""
    code = run.finish()
    expect(code == EXIT_DONE, f"{what}: exit code {code}: {run.text()[-200:]!r} {run.errors()!r}")
    expect(wanted.endswith(run.text()), f"{what}: other output: {run.text()[:200]!r}")


def cloned(ringshift, engine, seed):
    """At random moments, some of them at once after another."""
    with Stage(ringshift) as stage:
        image = assemble(stage, engine)
        wanted = whole_run(stage, image, engine)
        if wanted is None:
            return
        dice = random.Random(seed)
        stood, number = [], 0
        with Cloned(stage, command(image, engine)) as all_of_them:
            for _ in range(3):
                for _ in range(dice.randrange(1, 30)):
                    all_of_them.source.read_some()
                time.sleep(dice.random() * 0.02)
                if all_of_them.source.process.poll() is not None:
                    break
                all_of_them.clone()
            code = all_of_them.source.finish()
            expect(code == EXIT_DONE, f"source: exit code {code}: {all_of_them.source.errors()!r}")
            expect(all_of_them.source.text() == wanted, f"the source has other output (seed {seed})")
            for run in all_of_them.clones:
                code = run.finish()
                if code == EXIT_USAGE:  # the source has ended before
                    expect(run.errors().count("\n") == 1, f"not one line: {run.errors()!r}")
                    continue
                ends_like(run, wanted, f"a clone (seed {seed})")
                number += 1
            expect(number > 0, "nothing was cloned")


def figures(ringshift):
    """Pages that are shared, and pages that an earlier clone has had already."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        wanted = whole_run(stage, image, "translated")
        with Cloned(stage, command(image, "translated")) as machines:
            machines.source.read_some()
            now = machines.prepare()
            print(f"  the guest has stood {now['pause-us']} us; {now['copied-bytes'] >> 10} KiB copied")
            expect(now["status"] == "ready" and now["copied-bytes"] > 0, now)
            deadline = time.monotonic() + TIMEOUT
            while machines.figures()["shared-bytes"] == 0:
                expect(time.monotonic() < deadline, "nothing is shared")
                time.sleep(0.01)
            machines.clone()
            machines.clone()
            for run in machines.clones:
                run.read_some()
            now = machines.figures()
            print(f"  the next: {now['pause-us']} us, {now['copied-bytes'] >> 10} KiB copied, "
                  f"{now['earlier-bytes'] >> 10} KiB from before")
            expect(now["earlier-bytes"] > 0, now)
            for run in machines.clones:
                ends_like(run, wanted, "a clone")
            expect(machines.source.finish() == EXIT_DONE and machines.source.text() == wanted, "the source")


def many(ringshift, seed):
    """More clones than a machine may have bases; and clones of clones, whose ancestors have ended."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        words = command(image, "shared at random")
        wanted = whole_run(stage, image, "translated")
        with Cloned(stage, words) as machines:
            machines.source.read_some()
            for _ in range(20):
                if machines.source.process.poll() is None:
                    machines.prepare()
            first = str(machines.folder / "first")
            run = machines.clone("--qmp", f"unix:{first}")
            for generation in range(3):
                run.read_some()
                socket = str(machines.folder / f"g{generation}")
                child = machines.clone("--qmp", f"unix:{socket}", of=first)
                child.read_some()
                run.process.kill()
                run.finish()
                expect(wanted.find(run.text()) >= 0, "other output")
                machines.clones.remove(run)
                run.__exit__()
                run, first = child, socket
            ends_like(run, wanted, "a clone of a clone of a clone")


def resumed(ringshift):
    """A machine that runs from a saved one's file, and is saved itself after it was cloned."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        wanted = whole_run(stage, image, "translated")
        saved, again = (str(stage.path / "saved" / name) for name in ("one", "two"))
        with Run(stage, [*command(image, "translated"), "--save", saved], TIMEOUT) as run:
            was_saved, _ = save_once(run, saved, lambda run: run.read_some())
            expect(was_saved, run.errors())
        with Cloned(stage, ["resume", saved, "--save", again]) as machines:
            machines.source.read_some()
            machines.clone().read_some()
            was_saved, code = save_once(machines.source, again, lambda run: None)
            ends_like(machines.clones[0], wanted, "a clone of a resumed machine")
            if not was_saved:
                expect(code == EXIT_DONE, machines.source.errors())
                return
        with Run(stage, ["resume", again], TIMEOUT) as run:
            ends_like(run, wanted, "one that was saved after it was cloned")


def ends_like_self_test(text):
    """A clone's output is the rest of the output that was to come."""
    if READY in text:
        check_self_test(text)
        return
    expect(LAST in text, f"no line '{LAST.strip()}': {text[-300:]!r}")
    answer = text[:text.index(LAST) + len(LAST)]
    expect((HERE / "self-test.expected").read_text().endswith(answer), f"other output: {answer[:300]!r}")


def debian(ringshift, flavour, more, seed):
    if not (guests_folder() / flavour / "vmlinuz").is_file():
        print(f"skipped: no {flavour}")
        return
    with Stage(ringshift) as stage:
        words = ["run", *stage.linux(flavour), "--append", "console=ttyS0 panic=-1 quiet ringshift.script=self-test",
                 "--memory", "256M", "--no-reboot", *more]
        dice = random.Random(seed)
        with Cloned(stage, words) as machines:
            machines.source.wait_for("ringshift")
            for _ in range(2):
                time.sleep(dice.random() * 1.5)
                if machines.source.process.poll() is None:
                    now = machines.prepare()
                    print(f"  the guest has stood {now['pause-us']} us; {now['copied-bytes'] >> 20} MiB copied "
                          f"in {now['total-time']} ms, {now['grains-by-writes']} parts for writes")
                    machines.clones.append(Run(stage, ["resume", now["file"]], TIMEOUT))
                    machines.clones[-1].read_some()
            code = machines.source.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {machines.source.text()[-500:]!r}")
            check_self_test(machines.source.text())
            expect(machines.clones, "it was never cloned")
            for run in machines.clones:
                code = run.finish()
                expect(code == EXIT_POWER_OFF, f"a clone: {code}: {run.text()[-500:]!r} {run.errors()!r}")
                ends_like_self_test(run.text())


DISK_SCRIPT = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sda ] && break; sleep 1; done
dd if=/dev/urandom of=/dev/sda bs=64k count=16 conv=fsync 2>/dev/null
echo "before $(md5sum </dev/sda)"
echo 'disk-test: now'
sleep 3
echo "kept $(md5sum </dev/sda)"
dd if=/dev/urandom of=/dev/sda bs=64k count=16 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "after $(md5sum </dev/sda)"
dmesg | grep -iE 'ata.*(error|failed|timeout|exception)|I/O error' && echo 'disk-test: errors'
echo 'disk-test: done'
"""


def sum_in(text, name):
    found = [line.split()[1] for line in text.splitlines() if line.startswith(name + " ")]
    expect(len(found) == 1, f"no sum '{name}': {text[-400:]!r}")
    return found[0]


def with_disk(ringshift, how):
    """The image stays as it was at the moment; what each side writes from then on is its own."""
    for file in ("linux-686/vmlinuz", "tree/linux-686/lib/modules"):
        if not (guests_folder() / file).exists():
            print(f"skipped: no {file}")
            return
    with Stage(ringshift) as stage:
        folder = stage.path / "disks"
        folder.mkdir()
        folder.chmod(0o777)
        disk = folder / "disk"
        disk.write_bytes(bytes(1 << 20))
        disk.chmod(0o666)
        words = ["run", *stage.linux("linux-686")[:2], "--initrd",
                 initrd_with(stage, ("ata_piix", "sd_mod"), DISK_SCRIPT), "--append",
                 "console=ttyS0 panic=-1 quiet ringshift.script=self-test", "--memory", "128M", "--no-reboot",
                 "--hda", f"{disk}{how}"]
        with Cloned(stage, words) as machines:
            machines.source.wait_for("disk-test: now")
            if not how:
                run = machines.clone()
                expect(run.finish() == EXIT_USAGE and "disks=freeze" in run.errors(), run.errors())
                expect(run.errors().count("\n") == 1, f"not one line: {run.errors()!r}")
            run = machines.clone(*([] if how else ["--freeze-disks"]))
            for each in (machines.source, run):
                code = each.finish()
                expect(code == EXIT_POWER_OFF, f"exit code {code}: {each.text()[-300:]!r} {each.errors()!r}")
                expect("disk-test: errors" not in each.text(), each.text()[-500:])
            here, there = machines.source.text(), run.text()
            before = sum_in(here, "before")
            expect(sum_in(here, "kept") == before and sum_in(there, "kept") == before, "the disk has changed")
            expect(sum_in(here, "after") != before and sum_in(there, "after") != before, "nothing was written")
            expect(sum_in(here, "after") != sum_in(there, "after"), "one disk for both")


def refused(ringshift):
    """In one line each, and the machine goes on."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        wanted = whole_run(stage, image, "translated")
        for words in (["clone"], ["clone", "/no/such/socket"], ["clone", image], ["clone", "-m"]):
            with Run(stage, words, TIMEOUT) as run:
                code = run.finish()
                expect(code == EXIT_USAGE and run.errors().count("\n") == 1, f"{words}: {code}: {run.errors()!r}")
        with Cloned(stage, command(image, "translated")) as machines:
            run = machines.clone("--memory", "32M")
            code = run.finish()
            expect(code == EXIT_USAGE and "another size" in run.errors(), f"{code}: {run.errors()!r}")
            now = machines.prepare()
            with Qmp(machines.socket) as qmp:
                qmp.refuses("x-ringshift-clone", disks="burn")
                qmp.ask("stop")
                text = qmp.ask("human-monitor-command", command_line="info clone")
                expect(now["file"] in text, text)
                expect(qmp.ask("human-monitor-command", command_line="clone") == "", "the prompt's clone")
                while (again := qmp.ask("x-ringshift-query-clone"))["status"] not in OVER:
                    time.sleep(0.002)
                expect(again["status"] == "ready", again)
                qmp.ask("cont")
            with Run(stage, ["resume", again["file"]], TIMEOUT) as run:
                ends_like(run, wanted, "a clone of one that stands")
            expect(machines.source.finish() == EXIT_DONE and machines.source.text() == wanted, "the source")
        with Run(stage, ["resume", again["file"]], TIMEOUT) as run:
            code = run.finish()
            expect(code == EXIT_USAGE and run.errors().count("\n") == 1, f"its source has ended: {run.errors()!r}")


# Counts, and then resets the machine by its keyboard controller. RAM must be zeros then.
RESETTING = """%include "guest.inc"
main:
  cmp dword [0x600000], 0
  jne .was_there
  cmp dword [0x700ffc], 0
  jne .was_there
  say "begins"
  mov edi, 0x600000
  mov ecx, 0x40400
  mov eax, 0x5a5a5a5a
  rep stosd
  mov ecx, 40
.line:
  mov edx, 4000000
.wait:
  dec edx
  jnz .wait
  mov eax, ecx
  call print_hex
  print 10
  loop .line
  say "resets"
  mov al, 0xfe
  out 0x64, al
.forever:
  jmp .forever
.was_there:
  fail "RAM has been something before"
"""


def reset_after(ringshift, how):
    """A resumed or cloned machine gives its base up when it resets: RAM is zeros, and it boots again."""
    with Stage(ringshift) as stage:
        source, image = stage.path / "reset.asm", stage.path / "reset.bin"
        source.write_text(RESETTING)
        subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image, source], check=True)
        image.chmod(0o644)
        folder = stage.path / "saved"
        folder.mkdir()
        folder.chmod(0o777)
        saved = str(folder / "one")
        words = ["run", "--kernel", str(image), "--memory", "16M"]

        def lives(run, begins):
            run.wait_for("resets")
            place = run.text().index("resets")
            run.wait_for("begins", place)
            run.wait_for("resets", place + len("resets"))
            run.terminate()
            expect(run.finish() == EXIT_QUIT, f"{run.text()[-200:]!r} {run.errors()!r}")
            expect(run.text().startswith("begins") == begins, run.text()[:100])

        if how == "resumed":
            with Run(stage, [*words, "--save", saved], TIMEOUT) as run:
                was_saved, code = save_once(run, saved, lambda run: run.wait_for("begins"))
                expect(was_saved, f"{code}: {run.errors()!r}")
            with Run(stage, ["resume", saved, "--save", saved + "2"], TIMEOUT) as run:
                lives(run, False)
            return
        with Cloned(stage, words) as machines:
            machines.source.wait_for("begins")
            run = machines.clone()
            lives(run, False)
            lives(machines.source, True)


def ended(ringshift, seed):
    """Either side ends at any moment of a clone: the other one goes on, and nobody hangs."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        wanted = whole_run(stage, image, "translated")
        dice = random.Random(seed)
        for _ in range(6):
            with Cloned(stage, command(image, "translated")) as machines:
                machines.source.read_some()
                run = machines.clone()
                time.sleep(dice.random() * 0.06)
                victim, other = (machines.source, run) if dice.random() < 0.5 else (run, machines.source)
                victim.process.send_signal(dice.choice((signal.SIGKILL, signal.SIGTERM)))
                victim.finish()
                code = other.finish()
                if other is run and code == EXIT_USAGE:
                    expect(run.errors().count("\n") == 1, f"not one line: {run.errors()!r}")
                    continue
                expect(code == EXIT_DONE and wanted.endswith(other.text()), f"{code}: {other.errors()!r}")


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("case", nargs="*", help="part of a case's name; default: all")
    chosen = arguments.parse_args()
    program, seed = chosen.ringshift, chosen.seed
    print(f"seed {seed}")
    cases = [(f"cloned, {engine}", lambda engine=engine, n=n: cloned(program, engine, seed + n))
             for n, engine in enumerate(ENGINES)]
    cases += [
        ("figures", lambda: figures(program)),
        ("many, and clones of clones", lambda: many(program, seed)),
        ("a resumed machine", lambda: resumed(program)),
        ("Debian", lambda: debian(program, "linux-686", [], seed)),
        ("Debian with PAE and ACPI", lambda: debian(
            program, "linux-686-pae", ["--machine", "acpi=on,hpet=on"], seed + 1)),
        ("a disk", lambda: with_disk(program, "")),
        ("a disk's snapshot", lambda: with_disk(program, ",snapshot=on")),
        ("refused", lambda: refused(program)),
        ("reset after it was resumed", lambda: reset_after(program, "resumed")),
        ("reset after it was cloned", lambda: reset_after(program, "cloned")),
        ("ended", lambda: ended(program, seed)),
    ]
    return 1 if run_cases([(name, case) for name, case in cases
                           if not chosen.case or any(part in name for part in chosen.case)]) else 0


if __name__ == "__main__":
    sys.exit(main())
