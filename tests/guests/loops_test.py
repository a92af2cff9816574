#!/usr/bin/env python3
"""Loops that could go on for ever without a poll: SIGTERM ends each.

A guest runs round linear space, comes back by returns, or does one endless string instruction, in
ring 0 and in ring 3, under the engines and torture switches.
usage: loops_test.py --ringshift PROGRAM [CASE...]
"""

import subprocess
import sys
import time

from harness import EXIT_QUIT, HERE, Run, Stage, expect, offers_direct, parser, run_cases

TIMEOUT = 120

# Where the loop begins, where its bytes at the end of linear space do, these, and those at 0.
RING = {
    "falls over the end": (-4, -4, "90 90 90 90", "e9 f7 ff ff ff"),
    "branch not taken": (-2, -2, "75 00", "eb fc"),
    "LOOP not taken": (-7, -7, "b9 01 00 00 00 e2 fe", "eb f7"),
    "JECXZ over the end": (-7, -7, "b9 00 00 00 00 e3 00", "eb f7"),
    "jumps over the end": (-2, -2, "eb 00", "eb fc"),
    "calls over the end": (-5, -5, "e8 00 00 00 00", "58 eb f8"),
    "inlined call at the end": (-5, -16, "8b 04 24 c3 90 90 90 90 90 90 90 e8 f0 ff ff ff",
                                "eb f9"),
    "returns over the end": (-6, -6, "68 00 00 00 00 c3", "eb f8"),
    "callout at the end": (-2, -2, "0f a2", "eb fc"),
}
# Code of a page of its own; DATA is 4 MiB that may be read and written.
ELSEWHERE = {
    "repeats downwards": "code: mov ecx, 0x400000\nmov edi, DATA + 0x3fffff\nstd\nmov al, [edi]\n"
                         "repe scasb\njmp code",
    "repeats upwards": "code: mov ecx, 0x400000\nmov esi, DATA\ncld\nrep lodsb\njmp code",
    "returns from deep calls": "code: mov ecx, 1500\ncall deep\njmp code\n"
                               "deep: dec ecx\njz .up\ncall deep\n.up: ret",
    "returns in a circle": "code: push dword code\nret",
    "jumps in a circle": "code: mov eax, code\njmp eax",
    "calls in a circle": "code: call next\nnext: pop eax\njmp code",
}

ENGINES = {
    "translated": ["--user", "translate"],
    "interpreted": ["--engine", "interpret"],
    "direct": ["--user", "direct"],
    "links off": ["--user", "translate", "--translator", "links=off"],
    "unit-max=1": ["--user", "translate", "--translator", "unit-max=1"],
    "callouts off": ["--user", "translate", "--translator", "callouts=off"],
    "refused": ["--translator", "refuse-every=3"],
}

GUEST = """%include "guest.inc"
DATA equ VIRTUAL
RIGHTS equ P | W | ({user} * U)
main:
  call make_page_tables
  mov dword [PAGE_DIR + 0xffc], 0x304000 | P | W | U        ; the last of the four tables
  mov dword [PAGE_TABLES + 0x3000 + 0xffc], SPARE | RIGHTS  ; 0xfffff000 -> SPARE
  mov edi, PAGE_TABLES + 0x2000                             ; DATA, all of it one frame
  mov eax, (SPARE + 0x2000) | RIGHTS
  mov ecx, 1024
.data:
  stosd
  loop .data
  user_page USER_STACK - 0x1000
  user_page USER_STACK - 0x2000
  map addr(code), addr(code) | RIGHTS
  mov esi, high
  mov edi, SPARE + 0x1000 - (zero - high)
  mov ecx, zero - high
  rep movsb
  mov esi, zero
  mov edi, SPARE + 0x1000
  mov ecx, 64
  rep movsb
  map 0, (SPARE + 0x1000) | RIGHTS                          ; 0 -> SPARE + 0x1000
  call enable_paging
  say "in"
  mov eax, {entry}
%if {user}
  mov edx, USER_STACK
  call run_user
%else
  jmp eax
%endif
  fail "it came back"
align 4096
{code}
align 4096
high: db {high}
zero: db {zero}
times 64 nop
align 4096
"""


def as_db(text):
    return ", ".join("0x" + byte for byte in text.split())


def guest(shape, user):
    words = dict(user=user, entry="code", code="code: nop", high="0x90", zero="0x90")
    if shape in ELSEWHERE:
        words["code"] = ELSEWHERE[shape]
    else:
        starts, _, high, zero = RING[shape]
        words.update(entry=starts & 0xffffffff, high=as_db(high), zero=as_db(zero))
    return GUEST.format(**words)


def leave(ringshift, shape, user, engine):
    with Stage(ringshift) as stage:
        source, image = stage.path / "loop.asm", stage.path / "loop.bin"
        source.write_text(guest(shape, user))
        subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image, source], check=True)
        image.chmod(0o644)
        words = ["run", "--kernel", str(image), "--memory", "32M", "--no-reboot", *ENGINES[engine]]
        with Run(stage, words, TIMEOUT) as run:
            run.wait_for("in")
            time.sleep(0.15)  # until all is linked, and has perhaps got a window
            expect(run.process.poll() is None, f"it ended: {run.text()!r} {run.errors()!r}")
            run.terminate()
            code = run.finish()
            expect(code == EXIT_QUIT, f"exit code {code}: {run.text()!r} {run.errors()!r}")


def cases(ringshift):
    directly = offers_direct(ringshift)
    shapes = [*RING, *ELSEWHERE]
    for number, shape in enumerate(shapes):
        for user in (0, 1):
            for place, engine in enumerate(ENGINES):
                # All shapes under the first two; of the other engines each shape meets one.
                others = len(ENGINES) - 2
                if place >= 2 and (number + user) % others != place - 2:
                    continue
                if engine == "direct" and not directly:  # this host runs no 32-bit code
                    engine = "links off"
                name = f"{shape}, ring {3 * user}, {engine}"
                yield name, lambda s=shape, u=user, e=engine: leave(ringshift, s, u, e)


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("case", nargs="*", help="part of a case's name; default: all")
    chosen = arguments.parse_args()
    return 1 if run_cases([(name, case) for name, case in cases(chosen.ringshift)
                           if not chosen.case or any(part in name for part in chosen.case)]) else 0


if __name__ == "__main__":
    sys.exit(main())
