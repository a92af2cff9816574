#!/usr/bin/env python3
"""Under the sandbox, which is on unless somebody turns it off, everything works that worked before:
lives after resets, pictures, statistics, names for perf, files that are pipes or links, each engine.

Debuggers, servers of disks and snapshots have tests of their own (tests/guests/), under it too.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "guests"))
from harness import EXIT_QUIT, EXIT_USAGE, Run, Stage, expect, findings, offers, parser, run_cases  # noqa: E402

TIMEOUT = 60
LIVES = 4
EXIT_OF_GUEST = 1  # OUT 0xf4 of 0
PNG = b"\x89PNG\r\n\x1a\n"

# Prints its name, and "stale" if the life before has left something in RAM; then computes at CPL 3
# for a while where SPIN is set, and resets or ends.
GUEST = """
bits 32
org 0x100000
header:
  dd 0x1badb002, 1 << 16, -(0x1badb002 + (1 << 16)), header, header, 0, 0, entry
gdt: dq 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
table: dw 23
  dd gdt
entry:
  mov esp, stack
  lgdt [table]
  cmp dword [0x300000], 0
  mov dword [0x300000], 0x12345678
  mov esi, stale
  jne .print
  mov esi, name
.print:
  lodsb
  test al, al
  jz .printed
  mov dx, 0x3f8
  out dx, al
  jmp .print
.printed:
  mov dword [0xb8000], 0x07400741
  {end}
name: db "{name}", 10, 0
stale: db "stale", 10, 0
align 16
  times 4096 db 0
stack:
"""
ENDS = {"exit": "mov al, 0\n  out 0xf4, al", "reset": """rdtsc
  mov ebx, eax
.wait:
  rdtsc
  sub eax, ebx
  cmp eax, 100000000
  jb .wait
  mov al, 0xfe
  out 0x64, al
  jmp $""",
        "stay": "jmp $"}


def assemble(stage, name, end):
    source = stage.path / f"{name}.asm"
    source.write_text(GUEST.format(name=name, end=ENDS[end]))
    image = stage.path / f"{name}.bin"
    subprocess.run(["nasm", "-f", "bin", "-o", str(image), str(source)], check=True)
    image.chmod(0o644)
    return str(image)


def command(image, *options):
    return ["run", "--kernel", image, "--memory", "16M", *options]


def folder(stage, name):
    made = stage.path / name
    made.mkdir(mode=0o777)
    made.chmod(0o777)  # for the user of the run
    return made


def ends_well(run):
    code = run.finish()
    expect(code == EXIT_OF_GUEST, f"exit code {code}: {run.errors()!r}")
    expect(run.errors() == "", f"standard error has {run.errors()!r}")


def wait_for(condition, what):
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        expect(time.monotonic() < deadline, f"not in time: {what}")
        time.sleep(0.02)


def live_and_die(run, word):
    """Several lives, then the end from outside."""
    seen = 0
    for _ in range(LIVES):
        seen = run.wait_for(word + "\n", seen)
    run.terminate()
    expect(run.finish() == EXIT_QUIT, f"does not end as it should: {run.errors()!r}")
    expect("stale" not in run.text(), "a life has found what the one before had left")
    expect(run.errors() == "", run.errors())


def case_lives(stage, *options):
    with Run(stage, command(assemble(stage, "alive", "reset"), *options), TIMEOUT) as run:
        live_and_die(run, "alive")


def case_every_file(stage):
    """Each option that names a file to be written, over several lives."""
    made = folder(stage, "files")
    options = ["--screendump", str(made / "screen.png"), "--stats-file", str(made / "stats.json"),
               "--perf-map", "--firmware-log", str(made / "firmware"), "--hda",
               f"{disk(stage)},snapshot=on"]
    with Run(stage, command(assemble(stage, "alive", "reset"), *options), TIMEOUT) as run:
        live_and_die(run, "alive")
        names = pathlib.Path(f"/tmp/perf-{run.process.pid}.map")
        expect(names.exists() and " enter\n" in names.read_text(), "no names for perf")
        names.unlink()
    expect((made / "screen.png").read_bytes().startswith(PNG), "no picture")
    stats = json.loads((made / "stats.json").read_text())
    expect(stats["memory.monitor_mib"] > 0, "no figure for the monitor's memory")


def disk(stage):
    image = stage.path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    image.chmod(0o666)
    return image


def case_serial_file(stage):
    made = folder(stage, "serial")
    out = made / "out"
    with Run(stage, command(assemble(stage, "alive", "reset"), "--serial", f"file={out}"),
             TIMEOUT) as run:
        wait_for(lambda: out.exists() and out.read_text() == "alive\n", "what the guest prints")
        run.terminate()
        expect(run.finish() == EXIT_QUIT, run.errors())
        expect(out.read_text() in ("", "alive\n"), f"the file has {out.read_text()!r}")


def as_we_are(stage, *arguments, **streams):
    """Not by way of another user: under root, as root."""
    return subprocess.run([stage.ringshift, *arguments], stdin=subprocess.DEVNULL, timeout=TIMEOUT,
                          check=False, **streams)


def case_serial_is_our_output(stage):
    """A pipe, a file and a file that is behind a link: what the names mean is the run's, as before."""
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        arguments = command(assemble(stage, "printed", "exit"), "--serial", f"file={name}")
        done = as_we_are(stage, *arguments, capture_output=True)
        expect(done.stdout == b"printed\n" and done.stderr == b"",
               f"{name}: prints {done.stdout!r} {done.stderr!r}")
        with open(stage.path / "standard-output", "w+b") as file:
            done = as_we_are(stage, *arguments, stdout=file)
            file.seek(0)
            expect(file.read() == b"printed\n", f"{name}: a file has something else")


def case_serial_fifo(stage):
    pipe = folder(stage, "pipes") / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    image = assemble(stage, "piped", "exit")
    with Run(stage, command(image, "--serial", f"file={pipe}"), TIMEOUT) as run:
        ends_well(run)
    reader.join(TIMEOUT)
    expect(got == ["piped\n"], f"the reader has {got}")


def processes_of(word):
    """Those whose command line has it."""
    found = []
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in line.read_bytes().decode(errors="replace").split("\0"):
                found.append(int(line.parent.name))
        except OSError:  # it has gone since
            continue
    return found


def case_fifo_that_nobody_reads(stage):
    """The process that opens files waits for a reader; it ends with the monitor all the same."""
    pipe = folder(stage, "deaf") / "pipe"
    os.mkfifo(pipe)
    pipe.chmod(0o666)
    word = f"file={pipe}"
    for end in (signal.SIGTERM, signal.SIGKILL):
        run = subprocess.Popen([stage.ringshift, *command(assemble(stage, "deaf", "stay"), "--serial",
                                                          word)], stdin=subprocess.DEVNULL)
        wait_for(lambda: len(processes_of(word)) >= 2, "a process that opens files")
        time.sleep(0.3)  # it is waiting by then; if not, nothing is lost
        run.send_signal(end)
        run.wait(TIMEOUT)
        wait_for(lambda: not processes_of(word), f"end of all processes after {end.name}")


def case_relative_and_linked(stage):
    """Paths as they were typed: from our folder, through links, with every character."""
    image = pathlib.Path(assemble(stage, "linked", "exit"))
    strange = folder(stage, "a folder, with=signs")
    (strange / "link").symlink_to(image)
    for path in (image.name, f"./{image.name}", f"{strange.name}/link", f"{strange}/link"):
        with Run(stage, command(path), TIMEOUT) as run:
            ends_well(run)
            expect(run.text() == "linked\n", f"{path}: prints {run.text()!r}")


def case_kernel_replaced(stage):
    """A reset boots a kernel that was built anew meanwhile."""
    first, second = assemble(stage, "first", "reset"), assemble(stage, "second", "reset")
    kernel = stage.path / "kernel"
    shutil.copy(first, kernel)
    with Run(stage, command(str(kernel)), TIMEOUT) as run:
        run.wait_for("first\n")
        os.replace(second, kernel)
        live_and_die(run, "second")


def case_kernel_gone(stage):
    """At a reset: one line, and the end of the run."""
    kernel = stage.path / "gone"
    shutil.copy(assemble(stage, "there", "reset"), kernel)
    with Run(stage, command(str(kernel)), TIMEOUT) as run:
        run.wait_for("there\n")
        kernel.unlink()
        expect(run.finish() == EXIT_USAGE, "exit code")
        expect(re.fullmatch(r"ringshift: [^\n]*No such file[^\n]*\n", run.errors()), run.errors())


def case_module(stage):
    module = stage.write("module", b"content")
    image = assemble(stage, "modular", "reset")
    with Run(stage, command(image, "--module", f"{module} its arguments"), TIMEOUT) as run:
        live_and_die(run, "modular")


def case_debugger_socket(stage):
    """Debuggers come and go; the socket's name goes with the run."""
    path = folder(stage, "socket") / "gdb"
    with Run(stage, command(assemble(stage, "debugged", "stay"), "--gdb", f"unix={path}"),
             TIMEOUT) as run:
        run.wait_for("debugged\n")
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as gdb:
                gdb.settimeout(TIMEOUT)
                gdb.connect(str(path))
                gdb.sendall(b"$?#3f")
                expect(gdb.recv(100).startswith(b"+"), "no answer")
            wait_for(lambda: "gone without a word" in run.errors(), "the end of a session")
        run.terminate()
        expect(run.finish() == EXIT_QUIT, run.errors())
    expect(not path.exists(), "the socket's name is still there")


def case_signals(stage):
    """SIGUSR1 asks for statistics, again and again."""
    with Run(stage, command(assemble(stage, "asked", "stay"), "--stats=json"), TIMEOUT) as run:
        run.wait_for("asked\n")
        for number in range(1, 4):
            run.process.send_signal(10)
            wait_for(lambda: run.errors().count("memory.monitor_mib") == number, "statistics")
        run.terminate()
        expect(run.finish() == EXIT_QUIT, run.errors())


def case_whole_sandbox(stage):
    """`doctor` says what `require` finds."""
    whole = all(verdict == "ok" for name, verdict in findings(stage.ringshift).items()
                if name.startswith("sandbox-"))
    image = assemble(stage, "required", "exit")
    with Run(stage, command(image, "--sandbox", "require"), TIMEOUT) as run:
        code = run.finish()
        if whole:
            expect(code == EXIT_OF_GUEST and run.errors() == "", f"exit code {code}: {run.errors()}")
        else:
            expect(code == EXIT_USAGE, f"exit code {code}: {run.errors()}")
            expect(re.fullmatch(r"ringshift: --sandbox require: [^\n]+\n", run.errors()),
                   run.errors())


def case_as_we_are(stage):
    made = folder(stage, "ours")
    picture = made / "screen.png"
    done = as_we_are(stage, *command(assemble(stage, "ours", "exit"), "--screendump", str(picture),
                                     "--stats"), capture_output=True)
    expect(done.returncode == EXIT_OF_GUEST, f"exit code {done.returncode}: {done.stderr!r}")
    expect(done.stdout == b"ours\n" and b"memory" in done.stderr, f"prints {done.stdout!r}")
    expect(picture.read_bytes().startswith(PNG), "no picture")


def main():
    options = parser(__doc__.splitlines()[0]).parse_args()
    with Stage(options.ringshift) as stage:
        stage.path.chmod(0o755)
        # The trap engine runs 32-bit code on the processor.
        trap = [("--engine", "trap")] if offers(stage.ringshift, "compatibility-mode") else []
        cases = {f"lives {' '.join(how)}".strip(): lambda how=how: case_lives(stage, *how)
                 for how in ((), ("--sandbox", "off"), ("--engine", "interpret"),
                             *trap, ("--user", "translate"), ("--machine", "acpi=off"))}
        cases |= {name.removeprefix("case_").replace("_", " "): lambda case=case: case(stage)
                  for name, case in globals().items()
                  if name.startswith("case_") and name != "case_lives"}
        return 1 if run_cases(cases.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
