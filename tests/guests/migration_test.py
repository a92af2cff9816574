#!/usr/bin/env python3
"""A machine moves to another process while it runs: nothing is lost, and exactly one runs at the end.

A small guest that counts and adds up what it writes, and a Debian kernel with its self-test; over UNIX
sockets and TCP, with and without a key; cancelled, refused, with a disk, and with either side killed
at random moments.
usage: migration_test.py --ringshift PROGRAM [--seed N] [--kills N] [CASE...]
"""

import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import time

from disk_test import initrd_with
from harness import (EXIT_POWER_OFF, EXIT_QUIT, EXIT_USAGE, HERE, Failure, Run, Stage, expect, guests_folder, parser,
                     run_cases)
from run_linux import check_self_test

TIMEOUT = 120
LEAST_SECONDS = 1.5
EXIT_DONE = 1  # the guest's `finish 0`

# Each line is a count and the sum of what 2 MiB, which change all the time, have then; the clock is
# looked at, too: it never goes backwards.
GUEST = """%include "guest.inc"
main:
  call make_page_tables
  call enable_paging
  mov ecx, 1000
  call start_timer
  sti
  rdtsc
  mov [before], eax
  mov [before + 4], edx
round:
  mov edi, 0x400000
  mov ecx, 0x80000
  mov eax, [count]
  xor ebx, ebx
.next:
  imul eax, eax, 1664525
  add eax, 1013904223
  add [edi], eax
  add ebx, [edi]
  rol ebx, 5
  add edi, 4
  loop .next
  rdtsc
  cmp edx, [before + 4]
  jb .backwards
  ja .forwards
  cmp eax, [before]
  jb .backwards
.forwards:
  mov [before], eax
  mov [before + 4], edx
  inc dword [count]
  mov eax, [count]
  call print_hex
  mov eax, ebx
  call print_hex
  print 10
  cmp dword [count], {rounds}
  jb round
  cmp dword [ticks], 0
  je .no_ticks
  say "end"
  finish 0
.no_ticks:
  fail "the timer has stopped"
.backwards:
  fail "the clock goes backwards"
align 8
before: dd 0, 0
count: dd 0
"""


class Qmp:
    """A client of a machine's control socket."""

    def __init__(self, path, timeout=TIMEOUT):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise Failure(f"nobody listens at {path}") from None
                time.sleep(0.01)
        self.file = self.socket.makefile("rw")
        self.events = []
        self.file.readline()
        self.ask("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def message(self):
        try:
            line = self.file.readline()
        except OSError:
            line = ""
        return json.loads(line) if line.strip() else None

    def answer(self, command, **arguments):
        """Returns the answer; None: the machine has ended."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            self.file.write(json.dumps(request) + "\n")
            self.file.flush()
        except OSError:
            return None
        while True:
            message = self.message()
            if message is None or "event" not in message:
                return message
            self.events.append(message)

    def ask(self, command, **arguments):
        message = self.answer(command, **arguments)
        expect(message is not None and "return" in message, f"{command}: {message}")
        return message["return"]

    def refuses(self, command, **arguments):
        message = self.answer(command, **arguments)
        expect(message is not None and "error" in message, f"{command} was not refused: {message}")
        return message["error"]["desc"]

    def statuses(self):
        return [event["data"]["status"] for event in self.events if event["event"] == "MIGRATION"]

    def wait_for_status(self, *wanted):
        """Until the migration has one of these, or the machine has ended: None then."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            message = self.answer("query-migrate")
            if message is None:
                return None
            status = message["return"].get("status")
            if status in wanted:
                return message["return"]
            time.sleep(0.002)
        raise Failure(f"the migration is {status}, not {wanted}")


class Pair:
    """The two sides: how they are started, and what they say."""

    def __init__(self, stage, words, where="unix", more_source=(), more_target=()):
        self.folder = stage.path / f"pair{time.monotonic_ns()}"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.where = f"unix:{self.folder}/move" if where == "unix" else f"tcp:127.0.0.1:{free_port()}"
        self.qmp_path = str(self.folder / "qmp")
        self.source = Run(stage, [*words, "--qmp", f"unix:{self.qmp_path}", "--migrate-to", self.where,
                                  *more_source], TIMEOUT)
        self.target = Run(stage, [*words, "--incoming", self.where, *more_target], TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.source.__exit__()
        self.target.__exit__()

    def wait_for_target(self):
        wait_for_errors(self.target, "--incoming: waits at")

    def lines(self):
        """Returns the output of both, in its order: the one goes on where the other has stopped."""
        return self.source.text() + self.target.text()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for_errors(run, text):
    deadline = time.monotonic() + TIMEOUT
    while text not in run.errors():
        expect(time.monotonic() < deadline and run.process.poll() is None,
               f"never said '{text}': {run.errors()!r}")
        time.sleep(0.005)


def assemble(stage, rounds):
    source, image = stage.path / "count.asm", stage.path / "count.bin"
    source.write_text(GUEST.format(rounds=rounds))
    subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image, source], check=True)
    image.chmod(0o644)
    return ["run", "--kernel", str(image), "--memory", "16M", "--no-reboot"]


def whole_run(stage, words):
    with Run(stage, words, TIMEOUT) as run:
        code = run.finish()
        expect(code == EXIT_DONE, f"exit code {code}: {run.text()[-200:]!r} {run.errors()!r}")
        return run.text()


def counting(stage, rounds, more=()):
    """A guest that is still at it when it is moved, however fast the host; and what it says in all."""
    while True:
        words = [*assemble(stage, rounds), *more]
        begin = time.monotonic()
        wanted = whole_run(stage, words)
        took = time.monotonic() - begin
        if took >= LEAST_SECONDS:
            return words, wanted
        rounds = 1 + int(rounds * max(1.5, 1.2 * LEAST_SECONDS / took))


def move(pair, qmp, wait=0.05, **how):
    pair.wait_for_target()
    pair.source.read_some()
    time.sleep(wait)
    qmp.ask("migrate", uri=pair.where, **how)


def moved(stage, words, wanted, where, more_source=(), more_target=(), under=None):
    with Pair(stage, words, where, more_source, more_target) as pair, Qmp(pair.qmp_path) as qmp:
        if under is not None:
            qmp.ask("migrate-set-parameters", **under)
        move(pair, qmp)
        code = pair.source.finish()
        expect(code == EXIT_POWER_OFF and "has moved to" in pair.source.errors(),
               f"source: exit code {code}: {pair.source.errors()!r}")
        while (message := qmp.message()) is not None:
            qmp.events.append(message)
        expect(qmp.statuses() == ["setup", "active", "device", "completed"], f"{qmp.statuses()}")
        code = pair.target.finish()
        expect(code == EXIT_DONE, f"target: exit code {code}: {pair.target.errors()!r}")
        expect(pair.lines() == wanted, f"other output: {pair.lines()[-300:]!r}")
        return pair.source.errors()


def over(program, where, engine):
    with Stage(program) as stage:
        words, wanted = counting(stage, 60, engine)
        moved(stage, words, wanted, where)


def limited(program):
    """Not faster than it may go."""
    with Stage(program) as stage:
        words, wanted = counting(stage, 120)
        begin = time.monotonic()
        moved(stage, words, wanted, "unix", under={"max_bandwidth": 8 << 20, "downtime_limit": 300})
        expect(time.monotonic() - begin > 0.3, "3 MiB took no time at 8 MiB a second")


def keyed(program):
    with Stage(program) as stage:
        words, wanted = counting(stage, 60)
        key = stage.write("key", b"a secret that both sides have\n")
        other = stage.write("other", b"a secret that one side has\n")
        moved(stage, words, wanted, "tcp", ["--migration-key", key], ["--migration-key", key])
        for of_source, of_target, why in ((other, key, "another key"), (None, key, "wants a key"),
                                          (key, None, "has no key")):
            option = [["--migration-key", file] if file else [] for file in (of_source, of_target)]
            with Pair(stage, words, "tcp", *option) as pair, Qmp(pair.qmp_path) as qmp:
                move(pair, qmp)
                now = qmp.wait_for_status("failed")
                expect(why in now["error-desc"], now)
                wait_for_errors(pair.target, "turned away")
                expect(pair.target.process.poll() is None, "a stranger has ended the target")
                code = pair.source.finish()
                expect(code == EXIT_DONE and pair.source.text() == wanted,
                       f"source: {code}: {pair.source.errors()!r}")


def refused(program):
    """The target is another machine: it ends, the source goes on."""
    with Stage(program) as stage:
        words, wanted = counting(stage, 100)
        for more, why in ((["--memory", "32M"], "of memory"), (["--cpu", "model=pentium3"], "made otherwise"),
                          (["--machine", "apic=off"], "made otherwise")):
            targets = [word for word in words if not (more[0] == "--memory" and word in ("--memory", "16M"))]
            with Pair(stage, targets, "unix") as pair:
                pair.source.__exit__()
                pathlib.Path(pair.qmp_path).unlink(missing_ok=True)
                pair.target.__exit__()
                pair.source = Run(stage, [*words, "--qmp", f"unix:{pair.qmp_path}", "--migrate-to",
                                          pair.where], TIMEOUT)
                pair.target = Run(stage, [*targets, "--incoming", pair.where, *more], TIMEOUT)
                with Qmp(pair.qmp_path) as qmp:
                    move(pair, qmp)
                    now = qmp.wait_for_status("failed")
                    expect("refuses" in now["error-desc"] and why in now["error-desc"], now)
                    code = pair.target.finish()
                    expect(code == EXIT_USAGE and why in pair.target.errors(),
                           f"target: {code}: {pair.target.errors()!r}")
                    expect(pair.target.errors().count("\n") == 2, f"not one line: {pair.target.errors()!r}")
                    code = pair.source.finish()
                    expect(code == EXIT_DONE and pair.source.text() == wanted,
                           f"source: {code}: {pair.source.errors()!r}")


def bad_words(program):
    """Bad words are refused in one line, and nothing has happened."""
    with Stage(program) as stage:
        words = assemble(stage, 3)
        key, short = stage.write("key", b"k" * 32), stage.write("short", b"short\n")
        for more in (["--incoming", "nowhere"], ["--incoming", "tcp:10.1.1.1:5"], ["--migrate-to", "tcp:x:5"],
                     ["--migrate-to", "tcp:10.1.1.1:5"], ["--migration-key", short], ["--incoming", "fd:77"],
                     ["--migration-key", "/no/such"], ["--incoming", "unix:/no/such/folder"],
                     ["--incoming", "tcp:127.0.0.1:99999"], ["--incoming", "fd:1"]):
            with Run(stage, [*words, *more], TIMEOUT) as run:
                code = run.finish()
                expect(code == EXIT_USAGE and run.errors().count("\n") == 1, f"{more}: {code}: {run.errors()!r}")
        with Run(stage, [*words, "--migration-key", key, "--migrate-to", "tcp:10.1.1.1:5"], TIMEOUT) as run:
            expect(run.finish() == EXIT_DONE, run.errors())
        words = assemble(stage, 100000)
        nobody = f"unix:{stage.path}/nobody"
        qmp_path = str(stage.path / "sockets")
        os.mkdir(qmp_path)
        os.chmod(qmp_path, 0o777)
        qmp_path += "/qmp"
        with Run(stage, [*words, "--qmp", f"unix:{qmp_path}", "--migrate-to", nobody], TIMEOUT) as run, \
                Qmp(qmp_path) as qmp:
            expect("--migrate-to" in qmp.refuses("migrate", uri="unix:/somewhere/else"), "not named")
            expect("cannot connect" in qmp.refuses("migrate", uri=nobody), "nobody is there")
            qmp.refuses("migrate_cancel")
            qmp.refuses("migrate-set-parameters", max_bandwidth=5)
            qmp.refuses("migrate-set-parameters", downtime_limit=100000)
            expect(qmp.ask("query-migrate") == {}, "a migration")
            qmp.ask("migrate-set-parameters", max_bandwidth=1 << 20, downtime_limit=77)
            expect(qmp.ask("query-migrate-parameters") == {"max-bandwidth": 1 << 20, "downtime-limit": 77}, "")
            text = qmp.ask("human-monitor-command", command_line="migrate_set_parameter max-bandwidth 2M")
            expect(text == "", text)
            expect("2097152" in qmp.ask("human-monitor-command", command_line="info migrate_parameters"), "")
            qmp.ask("quit")
            expect(run.finish() == EXIT_QUIT, run.errors())


def cancelled(program):
    """And moved after that, all the same."""
    with Stage(program) as stage:
        words, wanted = counting(stage, 150)
        with Pair(stage, words, "unix") as pair, Qmp(pair.qmp_path) as qmp:
            qmp.ask("migrate-set-parameters", max_bandwidth=1 << 20, downtime_limit=1)
            move(pair, qmp)
            qmp.wait_for_status("active")
            qmp.refuses("migrate", uri=pair.where)
            expect("active" in qmp.ask("human-monitor-command", command_line="info migrate"), "no figures")
            time.sleep(0.1)
            now = qmp.ask("query-migrate")
            expect(now["ram"]["remaining"] > 0 and now["ram"]["transferred"] > 0, now)
            qmp.ask("migrate_cancel")
            expect(qmp.wait_for_status("cancelled") is not None, "")
            code = pair.target.finish()
            expect(code == EXIT_USAGE and "has gone" in pair.target.errors(), f"{code}: {pair.target.errors()!r}")
            pair.target.__exit__()
            pair.target = Run(stage, [*words, "--incoming", pair.where], TIMEOUT)
            qmp.ask("migrate-set-parameters", max_bandwidth=0, downtime_limit=100)
            move(pair, qmp)
            code = pair.source.finish()
            expect(code == EXIT_POWER_OFF, f"source: {code}: {pair.source.errors()!r}")
            code = pair.target.finish()
            expect(code == EXIT_DONE and pair.lines() == wanted, f"target: {code}: {pair.target.errors()!r}")


def stopped(program):
    """A guest that somebody has stopped stands on the other side, too."""
    with Stage(program) as stage:
        words, wanted = counting(stage, 60)
        with Pair(stage, words, "unix", (), []) as pair, Qmp(pair.qmp_path) as qmp:
            other_path = str(pair.folder / "other")
            pair.target.__exit__()
            pair.target = Run(stage, [*words, "--incoming", pair.where, "--qmp", f"unix:{other_path}"], TIMEOUT)
            pair.wait_for_target()
            pair.source.read_some()
            qmp.ask("stop")
            qmp.ask("migrate", uri=pair.where)
            expect(pair.source.finish() == EXIT_POWER_OFF, pair.source.errors())
            with Qmp(other_path) as other:
                expect(other.ask("query-status")["status"] == "paused", "it runs")
                other.ask("cont")
                expect(pair.target.finish() == EXIT_DONE, pair.target.errors())
            expect(pair.lines() == wanted, "other output")


def never_began(target):
    """Whether a target still waits: a peer that had come has gone before it said its name."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and target.process.poll() is None:
        if "turned away" in target.errors():
            return True
        if "has arrived" in target.errors():
            return False
        time.sleep(0.01)
    return False


def kills(program, seed, number):
    """Either side is killed, at any moment: one machine goes on, and has lost nothing."""
    dice = random.Random(seed)
    with Stage(program) as stage:
        words, wanted = counting(stage, 40)
        ends = {"here": 0, "there": 0}
        for i in range(2 * number):
            kill_source = i % 2 == 0
            with Pair(stage, words, dice.choice(("unix", "tcp"))) as pair, Qmp(pair.qmp_path) as qmp:
                move(pair, qmp, wait=dice.random() * 0.02)
                time.sleep(dice.choice((0.002, 0.01, 0.06)) * dice.random())
                victim, other = ((pair.source, pair.target) if kill_source else (pair.target, pair.source))
                victim.process.kill()
                victim.finish()
                if kill_source and never_began(pair.target):
                    pair.target.terminate()
                    expect(pair.target.finish() == EXIT_QUIT, pair.target.errors())
                    ends["here"] += 1
                    continue
                code = other.finish()
                has_arrived = "has arrived" in pair.target.errors()
                has_left = "has moved to" in pair.source.errors()
                where = f"killed the {'source' if kill_source else 'target'}: {code}, " \
                    f"{pair.source.errors()!r}, {pair.target.errors()!r}"
                if kill_source and not has_arrived:
                    # Before the last word: the machine has ended with its process.
                    expect(code == EXIT_USAGE and "has gone" in pair.target.errors() and not has_left, where)
                elif kill_source:
                    expect(code == EXIT_DONE, where)
                    expect(pair.lines() == wanted or wanted.endswith(pair.target.text()), where)
                elif has_left:
                    expect(code == EXIT_POWER_OFF, where)  # it was the target's, and ended with it
                else:
                    expect(code == EXIT_DONE and pair.source.text() == wanted and not has_arrived, where)
                ends["there" if has_arrived or has_left else "here"] += 1
        print(f"  {2 * number} kills: {ends}")


DISK_SCRIPT = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sda ] && break; sleep 1; done
dd if=/dev/urandom of=/dev/sda bs=64k count=32 conv=fsync 2>/dev/null
echo "before $(md5sum </dev/sda)"
echo 'disk-test: moving'
sleep 4
dd if=/dev/urandom of=/dev/sda bs=64k seek=32 count=1 conv=fsync 2>/dev/null
dd if=/dev/zero of=/dev/sda bs=64k seek=32 count=1 conv=fsync 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
echo "after $(md5sum </dev/sda)"
dmesg | grep -iE 'ata.*(error|failed|timeout|exception)|I/O error' && echo 'disk-test: errors'
echo 'disk-test: done'
"""


def with_disk(program, snapshot):
    """A guest's disk goes with it: the image itself, and the writes that no image has."""
    for file in ("linux-686/vmlinuz", "tree/linux-686/lib/modules"):
        if not (guests_folder() / file).exists():
            print(f"skipped: no {file}")
            return
    with Stage(program) as stage:
        disk = stage.path / "disk"
        disk.write_bytes(bytes(4 << 20))
        disk.chmod(0o666)
        kernel = stage.linux("linux-686")[:2]
        words = ["run", *kernel, "--initrd", initrd_with(stage, ("ata_piix", "sd_mod"), DISK_SCRIPT), "--append",
                 "console=ttyS0 panic=-1 quiet ringshift.script=self-test", "--memory", "96M",
                 "--no-reboot", "--hda", f"{disk},snapshot={snapshot}"]
        with Pair(stage, words, "unix") as pair, Qmp(pair.qmp_path) as qmp:
            pair.source.wait_for("disk-test: moving")
            pair.wait_for_target()
            qmp.ask("migrate", uri=pair.where)
            code = pair.source.finish()
            expect(code == EXIT_POWER_OFF and "has moved to" in pair.source.errors(),
                   f"source: {code}: {pair.source.errors()!r}")
            code = pair.target.finish()
            expect(code == EXIT_POWER_OFF, f"target: {code}: {pair.target.errors()!r}")
            text = pair.lines()
            sums = [line.split()[1] for line in text.split("\n") if line.startswith(("before ", "after "))]
            expect(len(sums) == 2 and sums[0] == sums[1], f"other bytes on the disk: {text[-500:]!r}")
            expect("disk-test: errors" not in text and "disk-test: done" in text, text[-500:])
        expect((disk.read_bytes() == bytes(4 << 20)) == (snapshot == "on"), "the image is not as it should be")


def debian(program, flavour, where, more, **how):
    """The self-test in a machine that is moved meanwhile; how: more of QMP's migrate."""
    if not (guests_folder() / flavour / "vmlinuz").is_file():
        print(f"skipped: no {flavour}")
        return
    with Stage(program) as stage:
        words = ["run", *stage.linux(flavour), "--append",
                 "console=ttyS0 panic=-1 quiet ringshift.script=self-test", "--memory", "128M",
                 "--no-reboot", *more]
        with Pair(stage, words, where) as pair, Qmp(pair.qmp_path) as qmp:
            move(pair, qmp, wait=0.8, **how)
            code = pair.source.finish()
            expect(code == EXIT_POWER_OFF and "has moved to" in pair.source.errors(),
                   f"source: exit code {code}: {pair.source.errors()!r}")
            code = pair.target.finish()
            expect(code == EXIT_POWER_OFF, f"target: {code}: {pair.target.errors()!r}")
            for side in (pair.source, pair.target):
                print("  " + side.errors().strip().split("\n")[-1])
            check_self_test(pair.lines())


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--kills", type=int, default=4, help="of each side")
    arguments.add_argument("case", nargs="*", help="part of a case's name; default: all")
    chosen = arguments.parse_args()
    program, seed = chosen.ringshift, chosen.seed
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    print(f"seed {seed}")
    cases = [
        ("over UNIX", lambda: over(program, "unix", [])),
        ("over TCP, translated", lambda: over(program, "tcp", ["--user", "translate"])),
        ("under torture", lambda: over(program, "unix", [
            "--user", "translate", "--translator", "share-every=1,refuse-every=3,verify-every=50"])),
        ("limited", lambda: limited(program)),
        ("with a key", lambda: keyed(program)),
        ("refused", lambda: refused(program)),
        ("bad words", lambda: bad_words(program)),
        ("cancelled", lambda: cancelled(program)),
        ("stopped", lambda: stopped(program)),
        ("kills", lambda: kills(program, seed, chosen.kills)),
        ("with a disk", lambda: with_disk(program, "off")),
        ("with an overlay", lambda: with_disk(program, "on")),
        ("Debian", lambda: debian(program, "linux-686", "unix", [])),
        ("Debian with PAE and ACPI", lambda: debian(program, "linux-686-pae", "tcp",
                                                    ["--machine", "acpi=on,hpet=on"])),
    ]
    return 1 if run_cases([(name, case) for name, case in cases
                           if not chosen.case or any(part in name for part in chosen.case)]) else 0


if __name__ == "__main__":
    sys.exit(main())
