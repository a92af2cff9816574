#!/usr/bin/env python3
"""A machine moves to another process before all of its memory does: what the guest touches comes when it is
touched, and either side's end is the machine's.

A small guest that writes and adds up 12 MiB again and again, with all engines, and a Debian kernel with its
self-test; with either side killed, stopped by SIGTERM, or gone in the middle of it.
usage: postcopy_test.py --ringshift PROGRAM [--seed N] [--kills N] [CASE...]
"""

import random
import signal
import subprocess
import sys
import time

from harness import EXIT_POWER_OFF, EXIT_QUIT, HERE, Stage, expect, parser, run_cases
from migration_test import EXIT_DONE, Pair, Qmp, TIMEOUT, debian, wait_for_errors, whole_run

EXIT_IN_TWO = 16

# Each line is a count and the sum of 12 MiB, which have been written page by page in an order that
# neighbours do not follow: page tables, code and data are asked for far from each other.
GUEST = """%include "guest.inc"
main:
  call make_page_tables
  mov ecx, 2048  ; 8 MiB more, where EDI and EAX are now
.map:
  stosd
  add eax, 0x1000
  loop .map
  call enable_paging
  mov edi, 0x400000
  mov ecx, 0x300000
.fill:
  mov [edi], ecx
  add edi, 4
  dec ecx
  jnz .fill
  say "ready"
round:
  xor ebx, ebx
  xor esi, esi
.page:
  imul edx, esi, 1021
  and edx, 0xfff
  cmp edx, {pages}
  jae .next
  shl edx, 12
  add edx, 0x400000
  mov ecx, 1024
.word:
  mov eax, [edx]
  add ebx, eax
  rol ebx, 3
  imul eax, eax, 1664525
  add eax, [count]
  mov [edx], eax
  add edx, 4
  dec ecx
  jnz .word
.next:
  inc esi
  cmp esi, 4096
  jb .page
  inc dword [count]
  mov eax, [count]
  call print_hex
  mov eax, ebx
  call print_hex
  print 10
  cmp dword [count], {rounds}
  jb round
  say "end"
  finish 0
align 8
count: dd 0
"""


def summing(stage, rounds, more=(), seconds=0.8, pages=3072):
    """A guest that is still at it when it is moved, however fast the host; and what it says in all."""
    source, image = stage.path / "sum.asm", stage.path / "sum.bin"
    while True:
        source.write_text(GUEST.format(rounds=rounds, pages=pages))
        subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image, source], check=True)
        image.chmod(0o644)
        words = ["run", "--kernel", str(image), "--memory", "17M", "--no-reboot", *more]
        begin = time.monotonic()
        wanted = whole_run(stage, words)
        took = time.monotonic() - begin
        if took >= seconds:
            return words, wanted
        rounds = 1 + int(rounds * max(1.5, 1.2 * seconds / took))


def begin(pair, qmp, rounds=0, bandwidth=None, stops=False):
    pair.wait_for_target()
    pair.source.wait_for("ready")
    if stops:
        qmp.ask("stop")  # it asks for nothing then, and the rest takes its time
    if bandwidth is not None:
        qmp.ask("migrate-set-parameters", max_bandwidth=bandwidth, downtime_limit=0)
    qmp.ask("migrate", uri=pair.where, postcopy=rounds)


def finish(pair, wanted):
    code = pair.target.finish()
    expect(code == EXIT_DONE, f"target: exit code {code}: {pair.target.errors()!r} {pair.source.errors()!r}")
    code = pair.source.finish()
    expect(code == EXIT_POWER_OFF and "has moved to" in pair.source.errors(),
           f"source: exit code {code}: {pair.source.errors()!r}")
    expect("comes while it runs" in pair.target.errors(), f"all came before: {pair.target.errors()!r}")
    expect(pair.lines() == wanted, f"other output: {pair.lines()[-300:]!r}")


def moved(program, where, more, rounds=0, sums=20):
    with Stage(program) as stage:
        words, wanted = summing(stage, sums, more)
        with Pair(stage, words, where) as pair, Qmp(pair.qmp_path) as qmp:
            begin(pair, qmp, rounds, (4 if rounds == 0 else 48) << 20)
            qmp.wait_for_status("postcopy-active", "completed")
            qmp.answer("migrate-set-parameters", max_bandwidth=0)
            finish(pair, wanted)


def slow(program):
    """A grain that is asked for does not wait for the rest, which may be sent at 64 KiB a second
    only."""
    with Stage(program) as stage:
        words, wanted = summing(stage, 20)
        with Pair(stage, words) as pair, Qmp(pair.qmp_path) as qmp:
            begin(pair, qmp, 0, 65536)
            finish(pair, wanted)
            expect("arrived (0 pieces" not in pair.target.errors(), pair.target.errors())


def by_prompt(program):
    """Asked for while RAM is copied; refused where it makes no sense."""
    with Stage(program) as stage:
        words, wanted = summing(stage, 30)
        with Pair(stage, words) as pair, Qmp(pair.qmp_path) as qmp:
            pair.wait_for_target()
            pair.source.wait_for("ready")
            qmp.refuses("migrate-start-postcopy")
            qmp.refuses("migrate", uri=pair.where, postcopy=-1)
            qmp.refuses("migrate", uri=pair.where, postcopy=1001)
            qmp.ask("migrate-set-parameters", max_bandwidth=1 << 20, downtime_limit=0)
            text = qmp.ask("human-monitor-command", command_line=f"migrate -d {pair.where} postcopy=9")
            expect(text == "", text)
            qmp.wait_for_status("active")
            text = qmp.ask("human-monitor-command", command_line="migrate_start_postcopy")
            expect(text == "", text)
            if qmp.wait_for_status("postcopy-active", "completed") is not None:
                answer = qmp.answer("migrate_cancel")
                expect(answer is None or "too late" in answer.get("error", {}).get("desc", ""), answer)
            qmp.answer("migrate-set-parameters", max_bandwidth=0)
            finish(pair, wanted)


def guest_ends(program):
    """The guest powers off while memory is on its way: both sides end well."""
    with Stage(program) as stage:
        words, wanted = summing(stage, 1000, pages=64)
        with Pair(stage, words) as pair, Qmp(pair.qmp_path) as qmp:
            begin(pair, qmp, 0, 65536)
            finish(pair, wanted)
            expect("all of its memory" not in pair.target.errors(), pair.target.errors())


def saves_wait(program):
    """A machine whose memory is not all there is not saved, and not moved on."""
    with Stage(program) as stage:
        words, wanted = summing(stage, 60)
        with Pair(stage, words) as pair, Qmp(pair.qmp_path) as qmp:
            pair.target.__exit__()
            other_path, further = str(pair.folder / "other"), f"unix:{pair.folder}/further"
            pair.target = type(pair.source)(stage, [*words, "--incoming", pair.where, "--qmp", f"unix:{other_path}",
                                                    "--control-folder", pair.folder, "--migrate-to", further], TIMEOUT)
            pair.wait_for_target()
            pair.source.wait_for("ready")
            qmp.ask("stop")
            qmp.ask("migrate-set-parameters", max_bandwidth=65536)
            qmp.ask("migrate", uri=pair.where, postcopy=0)
            wait_for_errors(pair.target, "comes while it runs")
            with Qmp(other_path) as other:
                expect("memory has arrived" in other.refuses("migrate", uri=further), "moved on")
                expect("memory has arrived" in other.refuses("x-ringshift-clone"), "cloned")
                text = other.ask("human-monitor-command", command_line=f"ringshift-save saved")
                expect("memory has arrived" in text, text)
                text = other.ask("human-monitor-command", command_line="xp /1xw 0x400000")
                expect("0x" in text and "0x00000000" not in text.split(":")[-1], f"a debugger sees {text}")
                other.ask("cont")
                finish(pair, wanted)


def killed(program, seed, number):
    """One side is killed while memory is on its way: the other side stops, says so, and its exit code
    does."""
    dice = random.Random(seed)
    with Stage(program) as stage:
        words, _ = summing(stage, 40)
        lost = 0
        for i in range(2 * number):
            kill_source, stops = i % 2 == 0, i % 4 < 2
            with Pair(stage, words, dice.choice(("unix", "tcp"))) as pair, Qmp(pair.qmp_path) as qmp:
                begin(pair, qmp, 0, 1 << 20, stops)
                wait_for_errors(pair.target, "comes while it runs")
                time.sleep(dice.random() * (0.5 if stops else 0.05))
                victim, other = ((pair.source, pair.target) if kill_source else (pair.target, pair.source))
                victim.process.kill()
                code = other.finish()
                where = f"killed the {'source' if kill_source else 'target'}: {code}: {other.errors()!r}"
                has_all = "all of its memory" in pair.target.errors() or "has moved to" in pair.source.errors()
                if has_all and not stops:
                    expect(code == (EXIT_DONE if kill_source else EXIT_POWER_OFF), where)
                    continue
                lost += 1
                expect(code == EXIT_IN_TWO and "whole on neither side" in other.errors(), where)
                expect(sum("neither side" in line for line in other.errors().split("\n")) == 1, where)
        print(f"  {2 * number} kills: {lost} machines lost, the others had all")


def ended(program):
    """SIGTERM ends the target at once, also while it waits for a page that does not come; the source, too."""
    with Stage(program) as stage:
        words, _ = summing(stage, 40)
        with Pair(stage, words) as pair, Qmp(pair.qmp_path) as qmp:
            begin(pair, qmp, 0, 1 << 20)
            wait_for_errors(pair.target, "comes while it runs")
            pair.source.process.send_signal(signal.SIGSTOP)
            time.sleep(0.1)
            start = time.monotonic()
            pair.target.terminate()
            code = pair.target.finish()
            took = time.monotonic() - start
            expect(code == EXIT_QUIT and took < 1, f"target: {code} after {took}: {pair.target.errors()!r}")
            pair.source.process.send_signal(signal.SIGCONT)
            code = pair.source.finish()
            expect(code in (EXIT_POWER_OFF, EXIT_IN_TWO), f"source: {code}: {pair.source.errors()!r}")
        with Pair(stage, words) as pair, Qmp(pair.qmp_path) as qmp:
            begin(pair, qmp, 0, 1 << 20)
            wait_for_errors(pair.target, "comes while it runs")
            pair.source.terminate()
            code = pair.source.finish()
            expect(code == EXIT_QUIT and "ends with it" in pair.source.errors(), f"{code}: {pair.source.errors()!r}")
            code = pair.target.finish()
            expect(code == EXIT_IN_TWO, f"target: {code}: {pair.target.errors()!r}")


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--seed", type=int, default=int(time.time()))
    arguments.add_argument("--kills", type=int, default=2, help="of each side")
    arguments.add_argument("case", nargs="*", help="part of a case's name; default: all")
    chosen = arguments.parse_args()
    program, seed = chosen.ringshift, chosen.seed
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    print(f"seed {seed}")
    cases = [
        ("over UNIX", lambda: moved(program, "unix", [])),
        ("over TCP after a round, translated", lambda: moved(program, "tcp", ["--user", "translate"], 1)),
        ("interpreted", lambda: moved(program, "unix", ["--engine", "interpret"], sums=3)),
        ("under torture", lambda: moved(program, "unix", [
            "--user", "translate", "--translator", "share-every=1,refuse-every=3,verify-every=50"])),
        ("slow", lambda: slow(program)),
        ("by the prompt", lambda: by_prompt(program)),
        ("the guest ends", lambda: guest_ends(program)),
        ("saves wait", lambda: saves_wait(program)),
        ("killed", lambda: killed(program, seed, chosen.kills)),
        ("ended", lambda: ended(program)),
        ("Debian", lambda: debian(program, "linux-686", "unix", [], postcopy=0)),
        ("Debian with PAE, paravirtual", lambda: debian(
            program, "linux-686-pae", "unix", ["--paravirt", "kvm"], postcopy=0)),
    ]
    return 1 if run_cases([(name, case) for name, case in cases
                           if not chosen.case or any(part in name for part in chosen.case)]) else 0


if __name__ == "__main__":
    sys.exit(main())
