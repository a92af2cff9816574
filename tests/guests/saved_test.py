#!/usr/bin/env python3
"""Machines saved at random moments and resumed in another process end as ones that were not.

A small guest that computes in both rings under a timer, with FPU and SSE state, and a Debian kernel
with its self-test; then files that are damaged or changed while a machine runs from them, many machines
that run from one, and saves that fail.
usage: saved_test.py --ringshift PROGRAM [--seed N] [CASE...]
"""

import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import time

from harness import (EXIT_POWER_OFF, EXIT_QUIT, EXIT_USAGE, HERE, Failure, Run, Stage, expect, guests_folder, parser,
                     run_cases)
from run_linux import check_self_test

TIMEOUT = 300
EXIT_DONE = 1  # the guest's `finish 0`
EXIT_HOST = 10  # monitor/host/exit_codes.h
# Rounds of the guest: each engine needs a second or two, or they would be over before a save.
ROUNDS = 12000
FEWER_ROUNDS = {"interpreted": 700, "under torture": 4000}

GUEST = """%include "guest.inc"
main:
  call make_page_tables
  mov esi, 0x400000
.user:
  mov eax, esi
  shr eax, 12
  or dword [PAGE_TABLES + eax * 4], 7
  add esi, 4096
  cmp esi, 0x420000
  jb .user
  user_page addr(work)
  user_page addr(user_stack)
  call enable_paging
  mov eax, cr4
  or eax, 0x600                  ; OSFXSR, OSXMMEXCPT
  mov cr4, eax
  mov ecx, 1000
  call start_timer
  fninit
  fldz
  pxor xmm0, xmm0
  mov eax, 0x01020304
  movd xmm1, eax
  mov dword [rounds], {rounds}
round:
  mov eax, work
  mov edx, user_stack + 4096
  call run_user
  sti
  fld1
  faddp
  paddd xmm0, xmm1
  mov edi, 0x400000
  mov ecx, 0x4000
.sum:
  add ebx, [edi]
  rol ebx, 5
  add edi, 4
  loop .sum
  mov eax, ebx
  call print_hex
  print 10
  dec dword [rounds]
  jnz round
  cli
  fistp dword [number]
  mov eax, [number]
  call print_hex
  movd eax, xmm0
  call print_hex
  print 10
  cmp dword [ticks], 0
  je .no_ticks
  say "end"
  finish 0
.no_ticks:
  fail "the timer has stopped"
rounds: dd 0
number: dd 0
align 4096
work:                            ; ring 3
  mov edi, 0x400000
  mov ecx, 0x4000
  mov edx, [edi]
.next:
  imul edx, edx, 1664525
  add edx, 1013904223
  add [edi], edx
  add edi, 4
  loop .next
  user_exit
align 4096
user_stack: times 4096 db 0
"""

ENGINES = {
    "translated": ["--user", "translate"],
    "as it comes": [],
    "direct": ["--user", "direct"],
    "interpreted": ["--engine", "interpret"],
    "under torture": ["--user", "translate", "--translator",
                      "arena=64K,unit-max=3,drop-every=11,verify-every=13,share-every=3"],
    "soft": ["--user", "translate", "--translator", "refuse-every=1"],
    "shared at random": ["--user", "translate", "--translator", "share-every=1,refuse-every=3,verify-every=50"],
    "with equal pages": ["--user", "translate", "--share-pages", "rate=1000000", "--translator", "verify-every=500"],
    "with equal pages, as it comes": ["--share-pages", "rate=1000000"],
    "with ACPI and HPET": ["--machine", "acpi=on,hpet=on"],
    "without APICs": ["--machine", "apic=off"],
}


def assemble(stage, engine=None):
    source, image = stage.path / "count.asm", stage.path / "count.bin"
    source.write_text(GUEST.format(rounds=FEWER_ROUNDS.get(engine, ROUNDS)))
    subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image, source], check=True)
    image.chmod(0o644)
    folder = stage.path / "saved"
    folder.mkdir()
    folder.chmod(0o777)
    return str(image)


def command(image, engine):
    return ["run", "--kernel", image, "--memory", "16M", "--no-reboot", *ENGINES[engine]]


def whole_run(stage, image, engine):
    with Run(stage, command(image, engine), TIMEOUT) as run:
        code = run.finish()
        if code == EXIT_USAGE and engine == "direct":
            return None  # not on this host
        expect(code == EXIT_DONE, f"exit code {code}: {run.text()[-200:]!r} {run.errors()!r}")
        return run.text()


def expects_save_requests(process):
    """Has it come so far that SIGUSR2 does not end it? On a busy host its start takes a while."""
    try:
        with open(f"/proc/{process.pid}/status") as status:
            caught = next(line for line in status if line.startswith("SigCgt:"))
    except (OSError, StopIteration):
        return False
    return int(caught.split()[1], 16) >> (signal.SIGUSR2 - 1) & 1 == 1


def save_once(run, saved, wait):
    """Waits, asks for a save, and returns whether the machine was still there to be saved."""
    wait(run)
    while run.process.poll() is None and not expects_save_requests(run.process):
        time.sleep(0.005)
    if run.process.poll() is None:
        run.process.send_signal(signal.SIGUSR2)
    code = run.finish()
    if code == EXIT_POWER_OFF and os.path.exists(saved) and "saved to" in run.errors():
        return True, code
    return False, code


def fingerprint(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def chain(stage, first, wait, most, timeout=TIMEOUT):
    """Saves a run and what it is resumed as, over and over. Its whole text, exit code, saves."""
    text, saves, words = "", 0, first
    while True:
        saved = str(stage.path / "saved" / f"m{saves}")
        with Run(stage, [*words, *(["--save", saved] if saves < most else [])], timeout) as run:
            if saves < most:
                was_saved, code = save_once(run, saved, wait)
            else:
                was_saved, code = False, run.finish()
            text += run.text()
            if not was_saved:
                return text, code, saves, run.errors()
        if saves:
            os.unlink(words[1])
        saves += 1
        words = ["resume", saved]


def saved_and_resumed(ringshift, engine, seed):
    with Stage(ringshift) as stage:
        image = assemble(stage, engine)
        wanted = whole_run(stage, image, engine)
        if wanted is None:
            return
        dice = random.Random(seed)

        def wait(run):
            for _ in range(dice.randrange(1, 60)):
                if not run.read_some():
                    return
            time.sleep(dice.random() * 0.02)

        text, code, saves, errors = chain(stage, command(image, engine), wait, most=6)
        expect(code == EXIT_DONE, f"exit code {code} after {saves} saves: {text[-200:]!r} {errors!r}")
        expect(saves > 0, "it was never saved")
        expect(text == wanted, f"other output after {saves} saves (seed {seed})")


def saved_debian(ringshift, flavour, more, seed):
    if not (guests_folder() / flavour / "vmlinuz").is_file():
        print(f"skipped: no {flavour}")
        return
    with Stage(ringshift) as stage:
        assemble(stage)
        words = ["run", *stage.linux(flavour), "--append",
                 "console=ttyS0 panic=-1 quiet ringshift.script=self-test", "--memory", "128M",
                 "--no-reboot", *more]
        dice = random.Random(seed)
        text, code, saves, errors = chain(
            stage, words, lambda run: time.sleep(dice.random() * 1.2), most=5, timeout=600)
        expect(code == EXIT_POWER_OFF, f"exit code {code} after {saves} saves: {text[-500:]!r} {errors}")
        expect(saves > 0, "it was never saved")
        check_self_test(text)


def one_saved(stage, image):
    saved = str(stage.path / "saved" / "one")
    with Run(stage, [*command(image, "translated"), "--save", saved], TIMEOUT) as run:
        was_saved, code = save_once(run, saved, lambda run: run.read_some())
        expect(was_saved, f"exit code {code}: {run.errors()!r}")
    return saved


def refused(stage, words, what):
    with Run(stage, words, TIMEOUT) as run:
        code = run.finish()
        errors = run.errors()
        expect(code == EXIT_USAGE, f"{what}: exit code {code}: {errors!r}")
        expect(errors.count("\n") == 1, f"{what}: not one line: {errors!r}")
        return errors


def resume_whole(saved):
    """All of it is compared with its checksums before the guest runs."""
    return ["resume", saved, "--verify-ram", "first"]


def place_of_ram(whole):
    """Where it begins in the file: docs/saved-state.md, "The file"."""
    words, state, _, _, grains = struct.unpack_from("<IQQII", whole, 12)
    return (56 + words + state + 16 * grains + 4095) & ~4095


def damaged_files(ringshift, seed):
    with Stage(ringshift) as stage:
        image = assemble(stage)
        saved = one_saved(stage, image)
        whole = open(saved, "rb").read()
        dice = random.Random(seed)
        for length in [0, 7, 8, 55, 56, 57, 4096, len(whole) - 1, len(whole) - 4097,
                       *(dice.randrange(len(whole)) for _ in range(5))]:
            refused(stage, ["resume", stage.write("short", whole[:length])], f"{length} bytes")
        ram = place_of_ram(whole)
        used = [place for place in range(len(whole)) if whole[place]]
        in_ram = [place for place in used if place >= ram]
        for place in [*range(0, 56, 5), *dice.sample(used, 10), *dice.sample(in_ram, 5)]:
            refused(stage, resume_whole(flipped(stage, whole, place, dice)), f"byte {place} flipped")
        refused(stage, ["resume", stage.write("none", b"#!/bin/sh\n" * 100)], "a script")
        refused(stage, ["resume", str(stage.path / "missing")], "a missing file")
        refused(stage, ["resume", "/dev/zero"], "a device")
        refused(stage, ["resume"], "no file")
        refused(stage, ["resume", saved, "--verify-ram", "never"], "no time to verify")
        refused(stage, ["resume", saved, "--cpu", "nx=off"], "another processor")
        # Not looked at before it runs: it is looked at before its end counts.
        for place in dice.sample(in_ram, 5):
            errors = stopped(stage, ["resume", flipped(stage, whole, place, dice)], lambda run: None)
            expect("its RAM is damaged" in errors, errors)
        with Run(stage, ["resume", saved, "--verify-ram", "off"], TIMEOUT) as run:
            expect(run.finish() == EXIT_DONE, f"not verified: {run.errors()!r}")


def flipped(stage, whole, place, dice):
    other = bytearray(whole)
    other[place] ^= 1 << dice.randrange(8)
    return stage.write("other", bytes(other))


def stopped(stage, words, action):
    """A run that ends with one line and exit code 10, after `action`. The line."""
    with Run(stage, words, TIMEOUT) as run:
        action(run)
        code, errors = run.finish(), run.errors()
        expect(code == EXIT_HOST, f"exit code {code}: {errors!r}")
        expect(errors.count("\n") == 1, f"not one line: {errors!r}")
        return errors


def changed_under_way(ringshift):
    """The file of a running machine is written to, cut short, or renamed and removed."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        saved = one_saved(stage, image)
        with open(saved, "rb") as file:
            whole = file.read()
        ram = place_of_ram(whole)

        def once_it_runs(action):
            def then(run):
                run.read_some()
                action()
            return then

        def write():
            with open(saved, "r+b") as file:
                file.seek(ram + 4096)
                file.write(b"hello")

        errors = stopped(stage, ["resume", saved], once_it_runs(write))
        expect("changed" in errors or "damaged" in errors, errors)
        for length in (ram, len(whole) - 4096, 0):
            with open(saved, "wb") as file:
                file.write(whole)
            for verify in ("first", "off"):
                with open(saved, "r+b") as file:
                    file.write(whole)
                errors = stopped(stage, ["resume", saved, "--verify-ram", verify],
                                 once_it_runs(lambda: os.truncate(saved, length)))
                expect("changed" in errors or "cut short" in errors, errors)
        with open(saved, "wb") as file:
            file.write(whole)
        with Run(stage, ["resume", saved], TIMEOUT) as run:
            run.read_some()
            os.rename(saved, saved + ".other")
            with open(saved, "wb") as file:
                file.write(b"another file")
            os.unlink(saved + ".other")
            code = run.finish()
            expect(code == EXIT_DONE, f"its name is not its bytes: {code}: {run.errors()!r}")


def replicas(ringshift):
    """Several machines that run from one file at the same time end like the first, which goes on."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        wanted = whole_run(stage, image, "translated")
        saved = one_saved(stage, image)
        before = fingerprint(saved)
        runs = [Run(stage, ["resume", saved], TIMEOUT) for _ in range(3)]
        try:
            for run in runs:
                code = run.finish()
                expect(code == EXIT_DONE, f"exit code {code}: {run.errors()!r}")
                expect(wanted.endswith(run.text()), "other output")
        finally:
            for run in runs:
                run.__exit__()
        with Run(stage, ["resume", saved], TIMEOUT) as run:
            run.read_some()
            run.terminate()
            code = run.finish()
            expect(code == EXIT_QUIT, f"exit code {code}: {run.errors()!r}")
        expect(fingerprint(saved) == before, "the file has been changed")


def saves_that_fail(ringshift):
    with Stage(ringshift) as stage:
        image = assemble(stage)
        words = command(image, "translated")
        wanted = whole_run(stage, image, "translated")
        for path, what in (("/proc/no/such", "no such folder"), ("/dev/full", "no room")):
            with Run(stage, [*words, "--save", path], TIMEOUT) as run:
                run.read_some()
                run.process.send_signal(signal.SIGUSR2)
                code = run.finish()
                expect(code == EXIT_DONE, f"{what}: exit code {code}: {run.errors()!r}")
                expect("the machine goes on" in run.errors(), f"{what}: {run.errors()!r}")
                expect(run.text() == wanted, f"{what}: other output")


def goes_on_after_a_save(ringshift):
    with Stage(ringshift) as stage:
        image = assemble(stage)
        wanted = whole_run(stage, image, "translated")
        saved = str(stage.path / "saved" / "one")
        with Run(stage, [*command(image, "translated"), "--save", saved + ",then=run"],
                 TIMEOUT) as run:
            run.read_some()
            run.process.send_signal(signal.SIGUSR2)
            code = run.finish()
            expect(code == EXIT_DONE, f"exit code {code}: {run.errors()!r}")
            expect(run.text() == wanted, "other output")
        with Run(stage, ["resume", saved], TIMEOUT) as run:
            code = run.finish()
            expect(code == EXIT_DONE, f"exit code {code}: {run.errors()!r}")
            expect(wanted.endswith(run.text()), "the resumed one prints something else")


def other_options(ringshift):
    """Saved at a text; then with its serial port somewhere else, and with disks that have changed."""
    with Stage(ringshift) as stage:
        image = assemble(stage)
        wanted = whole_run(stage, image, "translated")
        folder = stage.path / "saved"
        saved, disk, log = str(folder / "one"), folder / "disk", folder / "log"
        disk.write_bytes(b"disk" * 4096)
        disk.chmod(0o666)
        lines = wanted.splitlines(keepends=True)
        text = lines[len(lines) // 2].strip()
        with Run(stage, [*command(image, "translated"), "--hda", str(disk), "--save",
                         f"{saved},at={text}"], TIMEOUT) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF and "saved to" in run.errors(), f"{code}: {run.errors()!r}")
            begin = run.text()
            expect(text in begin and wanted.startswith(begin), f"not saved there: {begin[-100:]!r}")
        with Run(stage, ["resume", saved, "--serial", f"file:{log}"], TIMEOUT) as run:
            code = run.finish()
            expect(code == EXIT_DONE and run.text() == "", f"exit code {code}: {run.errors()!r}")
        expect(begin + log.read_text() == wanted, "other output in the file")
        moved = folder / "moved"
        moved.write_bytes(disk.read_bytes())
        moved.chmod(0o666)
        errors = refused(stage, ["resume", saved, "--hda", str(moved)], "a copy of another time")
        expect("--changed-disks" in errors, errors)
        status = disk.stat()
        os.utime(moved, ns=(status.st_atime_ns, status.st_mtime_ns))
        for more in (["--hda", str(moved)], ["--changed-disks"]):
            disk.write_bytes(b"DISK" * 4096)
            with Run(stage, ["resume", saved, *more], TIMEOUT) as run:
                code = run.finish()
                expect(code == EXIT_DONE, f"{more}: exit code {code}: {run.errors()!r}")
                expect(begin + run.text() == wanted, f"{more}: other output")
        refused(stage, ["resume", saved], "a disk that has been written to")
        disk.write_bytes(b"disk" * 5000)
        refused(stage, ["resume", saved, "--changed-disks"], "a disk of another size")


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("case", nargs="*", help="part of a case's name; default: all")
    chosen = arguments.parse_args()
    program, seed = chosen.ringshift, chosen.seed
    print(f"seed {seed}")
    cases = [(f"saved and resumed, {engine}",
              lambda engine=engine, n=n: saved_and_resumed(program, engine, seed + n))
             for n, engine in enumerate(ENGINES)]
    cases += [
        ("Debian", lambda: saved_debian(program, "linux-686", [], seed)),
        ("Debian that shares equal pages", lambda: saved_debian(
            program, "linux-686", ["--share-pages", "rate=200000", "--translator", "verify-every=50000"], seed + 2)),
        ("Debian with PAE and ACPI", lambda: saved_debian(
            program, "linux-686-pae", ["--machine", "acpi=on,hpet=on"], seed + 1)),
        ("damaged files", lambda: damaged_files(program, seed)),
        ("changed under way", lambda: changed_under_way(program)),
        ("replicas", lambda: replicas(program)),
        ("saves that fail", lambda: saves_that_fail(program)),
        ("goes on after a save", lambda: goes_on_after_a_save(program)),
        ("other options", lambda: other_options(program)),
    ]
    return 1 if run_cases([(name, case) for name, case in cases
                           if not chosen.case or any(part in name for part in chosen.case)]) else 0


if __name__ == "__main__":
    sys.exit(main())
