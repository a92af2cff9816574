#!/usr/bin/env python3
"""A backup follows a machine and takes over when that dies: what the outside has been answered is not lost, and
nothing is answered twice; and never do both of them live.

A small guest that answers each byte with a count of them and of its timer's ticks, killed at random moments (--seed
says which); the stream between the two cut, silent, damaged and from strangers; either side stopped by SIGTERM; and
a Debian kernel that serves a client over TCP, by a shell and by sqlite3, on a network that outlives both (replicated_server.py).
usage: replication_test.py --ringshift PROGRAM [--seed N] [--kills N] [CASE...]
"""

import os
import random
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from harness import EXIT_QUIT, EXIT_USAGE, HERE, Failure, Run, Stage, expect, parser, run_cases
from migration_test import EXIT_DONE, TIMEOUT, Qmp, free_port, wait_for_errors
from replicated_server import Database, Rows, served

EXIT_HOST, EXIT_DIVERGED = 10, 14
REPLY = 18  # eight digits of a count, eight of ticks, the byte, the end of the line

# q ends it, r resets it.
GUEST = """%include "guest.inc"
main:
  mov dx, 0x3fb
  mov al, 3
  out dx, al
  mov ecx, 1193
  call start_timer
  sti
.next:
  mov dx, 0x3fd
.wait:
  {wait}
  in al, dx
  test al, 1
  jz .wait
  mov dx, 0x3f8
  in al, dx
  cmp al, 'q'
  je .end
  cmp al, 'r'
  je .reset
  mov [byte_read], al
  inc dword [count]
  mov eax, [count]
  call print_hex
  mov eax, [ticks]
  call print_hex
  mov al, [byte_read]
  call print_character
  mov al, 10
  call print_character
  jmp .next
.end:
  say "end"
  finish 0
.reset:
  mov al, 0xfe
  out 0x64, al
  hlt
align 4
count: dd 0
byte_read: db 0
"""


def assemble(stage, halts=False):
    source, image = stage.path / "answer.asm", stage.path / "answer.bin"
    source.write_text(GUEST.format(wait="hlt" if halts else ""))
    subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image, source], check=True)
    image.chmod(0o644)
    return ["run", "--kernel", str(image), "--memory", "16M"]


class Proxy:
    """Between the two: what one says comes to the other, until it is cut, silent, or a bit of it is changed."""

    def __init__(self, here, there):
        self.there, self.silent, self.damage, self.sockets = there, False, None, []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(here)
        os.chmod(here, 0o777)
        self.listener.listen(1)
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        try:
            one, _ = self.listener.accept()
            other = socket.socket(socket.AF_UNIX)
            other.connect(self.there)
            self.sockets = [one, other]
            while True:
                ready, _, _ = select.select(self.sockets, [], [])
                for side in ready:
                    data = bytearray(side.recv(65536))
                    if not data:
                        return self.cut()
                    if self.silent:
                        continue
                    if self.damage is not None and self.damage[0] == (side is one):
                        place = self.damage[1] % len(data)
                        data[place] ^= 1 << self.damage[1] % 8
                        self.damage = None
                    (other if side is one else one).sendall(data)
        except (OSError, ValueError):
            return self.cut()

    def cut(self):
        for one in [self.listener, *self.sockets]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


class Pair:
    """A primary and its backup, and what they are given besides."""

    def __init__(self, stage, words, where="unix", timeout=1000, is_cut=False, more=((), ()), serial=True):
        self.folder = stage.path / f"pair{time.monotonic_ns()}"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.where = f"unix:{self.folder}/pair" if where == "unix" else f"tcp:127.0.0.1:{free_port()}"
        tie = ["--tie-breaker", str(self.folder / "tie")]
        port = [["--serial", f"unix:{self.folder}/{name}"] if serial else [] for name in ("p", "b")]
        self.backup = Run(stage, ["backup", self.where, *tie, *port[1], *more[1]], TIMEOUT)
        self.primary = self.proxy = None
        self.wait_until(lambda: where != "unix" or (self.folder / "pair").exists())
        if where != "unix":
            wait_for_errors(self.backup, "listens at")
        to = self.where
        if is_cut:
            to = f"unix:{self.folder}/proxy"
            self.proxy = Proxy(to[5:], str(self.folder / "pair"))
        self.primary = Run(stage, [*words, "--replicate-to", f"{to},timeout={timeout}", *tie, *port[0], *more[0]],
                           TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for run in (self.primary, self.backup):
            if run is not None:
                run.__exit__()
        if self.proxy is not None:
            self.proxy.cut()

    def wait_until(self, is_so):
        deadline = time.monotonic() + TIMEOUT
        while not is_so():
            expect(time.monotonic() < deadline and self.backup.process.poll() is None,
                   f"the backup: {self.backup.errors()!r}")
            time.sleep(0.002)

    def said(self):
        return f"primary: {self.primary.errors()!r} backup: {self.backup.errors()!r}"

    def client(self, rng):
        return Client(self, rng)


class Client:
    """Somebody outside: what was sent, and every byte that has been answered."""

    def __init__(self, pair, rng):
        self.pair, self.rng, self.sent, self.got = pair, rng, bytearray(), bytearray()
        self.other = self.connect("b")
        self.line = self.connect("p")

    def connect(self, name):
        deadline = time.monotonic() + TIMEOUT
        while True:
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(str(self.pair.folder / name))
            except OSError:
                line.close()
                expect(time.monotonic() < deadline, f"nobody listens at {name}: {self.pair.said()}")
                time.sleep(0.002)
                continue
            line.setblocking(False)
            return line

    def send(self, data):
        self.sent += data
        try:
            self.line.send(data)
        except OSError:
            pass  # it is sent again

    def read(self, wait):
        """Returns the bytes that have come; None: the other end has gone."""
        if not select.select([self.line], [], [], wait)[0]:
            return b""
        try:
            data = self.line.recv(65536)
        except OSError:
            data = b""
        self.got += data
        return data or None

    def talk(self, seconds, window=12):
        """For so long, or until the other end has gone: False then."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            room = window - (len(self.sent) - len(self.got) // REPLY)
            if room > 0:
                self.send(bytes(self.rng.choices(b"abcdefghijklm", k=self.rng.randint(1, room))))
            if self.read(min(left, 0.02)) is None:
                return False
        return True

    def drain(self):
        while self.read(1) is not None:
            pass

    def answered(self):
        """Waits until all has been answered."""
        deadline = time.monotonic() + TIMEOUT
        while len(self.got) < len(self.sent) * REPLY:
            expect(self.read(0.1) is not None and time.monotonic() < deadline,
                   f"{len(self.sent)} bytes sent, {len(self.got) / REPLY} answered: {self.pair.said()}")

    def take_over(self):
        """Goes on with the backup where the primary has left off. Returns when it had answered."""
        self.drain()
        wait_for_errors(self.pair.backup, "this machine goes on")
        told = re.search(r"has taken (\d+) bytes, and sends again from byte (\d+) on", self.pair.backup.errors())
        taken, again = (int(number) for number in told.groups())
        answered = len(self.got) // REPLY
        expect(answered <= taken <= len(self.sent), f"taken {taken}, sent {len(self.sent)}, answered {answered}")
        expect(again <= len(self.got), f"shown up to {again}, and here are {len(self.got)}")
        seen = bytes(self.got[again:])
        self.line, self.other = self.other, None
        rest = bytes(self.sent[taken:])
        del self.sent[taken:], self.got[again:]
        self.send(rest or b"z")
        while len(self.got) <= again + len(seen):
            expect(self.read(5) is not None, f"the backup has gone: {self.pair.said()}")
        at = time.monotonic()
        expect(bytes(self.got[again:again + len(seen)]) == seen, f"said {seen!r} before, now {self.got[again:]!r}")
        return at

    def check(self):
        """Each byte once, in its order, and time has not gone back."""
        before = 0
        for i, byte in enumerate(self.sent):
            line = bytes(self.got[i * REPLY:(i + 1) * REPLY])
            expect(len(line) == REPLY and line[-2:] == bytes([byte, 10]) and int(line[:8], 16) == i + 1,
                   f"byte {i}, {byte}, was answered {line!r}")
            expect(int(line[8:16], 16) >= before, f"ticks {before}, then {line!r}")
            before = int(line[8:16], 16)


def end(run, number, wanted, limit=None):
    """By a signal; and in time, as far as a busy host lets it."""
    begin = time.monotonic()
    run.process.send_signal(number)
    code = run.finish()
    took = time.monotonic() - begin
    expect(code == wanted, f"exit code {code}: {run.errors()!r}")
    expect(limit is None or took < 5 * limit, f"it took {took:.3f} s")
    return took


# Options in which a backup may differ from its primary: positions do not depend on them.
OTHERWISE = ((), ("--engine", "interpret"), ("--translator", "arena=256K,drop-every=50"), ())


def killed(program, seed, kills):
    """The primary, at any moment: from the first byte on, at work and idle; the backup has an engine of its own."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        took, slow = [], []
        for number in range(kills):
            words, engine = assemble(stage, halts=number % 2 == 1), OTHERWISE[number // 2 % 4]
            with Pair(stage, words, more=((), engine)) as pair:
                client = pair.client(rng)
                wait_for_errors(pair.backup, "follows a primary")
                client.talk(rng.choice((0, 0.002, 0.02, 0.1, 0.3)) * rng.random())
                at = time.monotonic()
                pair.primary.process.kill()
                try:
                    (slow if engine else took).append(client.take_over() - at)
                    client.talk(0.05)
                    client.answered()
                    client.check()
                except Failure as problem:
                    raise Failure(f"kill {number} of seed {seed}: {problem}; {pair.said()}") from None
                expect(pair.backup.errors().count("\n") == 2, pair.backup.errors())
                end(pair.backup, signal.SIGTERM, EXIT_QUIT)
        print(f"  {kills} kills: answers go on after {statistics.median(took) * 1000:.0f} ms, "
              f"at most {max(took) * 1000:.0f}; of a slower engine at most {max(slow, default=0) * 1000:.0f}")
        expect(statistics.median(took) < 0.5, f"took {sorted(took)}")


def backup_killed(program, seed):
    """The primary goes on, and says so; so it does when the backup is stopped and says nothing."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
            with Pair(stage, assemble(stage, halts=True), timeout=200) as pair:
                client = pair.client(rng)
                client.talk(0.1)
                pair.backup.process.send_signal(number)
                client.talk(0.1)
                client.answered()
                wait_for_errors(pair.primary, "the machine goes on without one")
                client.talk(0.1)
                client.answered()
                client.check()
                expect(pair.primary.errors().count("\n") == 1, pair.primary.errors())
                if number == signal.SIGSTOP:  # it wakes, and may not live
                    pair.backup.process.send_signal(signal.SIGCONT)
                    code = pair.backup.finish()
                    expect(code == EXIT_DIVERGED and "the other machine goes on" in pair.backup.errors(),
                           f"{code}: {pair.said()}")
                if number == signal.SIGTERM:
                    expect(pair.backup.finish() == EXIT_QUIT, pair.said())
                end(pair.primary, signal.SIGTERM, EXIT_QUIT)


def one_lives(pair, client, stranger=False):
    """Exactly one goes on and answers, the other has ended and says why."""
    primary, backup = "goes on without one", "this machine goes on"
    deadline = time.monotonic() + TIMEOUT
    while primary not in pair.primary.errors() and backup not in pair.backup.errors():
        expect(time.monotonic() < deadline, f"nobody goes on: {pair.said()}")
        client.talk(0.01)
    if primary in pair.primary.errors():
        code = pair.backup.finish()
        expect(code == EXIT_DIVERGED and backup not in pair.backup.errors(), f"{code}: {pair.said()}")
        expect(pair.backup.errors().count("\n") == 2, pair.said())
        winner = pair.primary
    else:
        code = pair.primary.finish()
        expect(code == EXIT_HOST and primary not in pair.primary.errors(), f"{code}: {pair.said()}")
        expect(pair.primary.errors().count("\n") == 1, pair.said())
        client.take_over()
        winner = pair.backup
    client.talk(0.05)
    client.answered()
    client.check()
    end(winner, signal.SIGTERM, EXIT_QUIT)
    return winner is pair.primary


def partitioned(program, seed, times):
    """The stream ends or is silent, or the primary is stopped, and wakes when it has been replaced."""
    rng, primaries = random.Random(seed), 0
    with Stage(program) as stage:
        for number in range(times):
            with Pair(stage, assemble(stage, halts=number % 2 == 0), timeout=200, is_cut=True) as pair:
                client = pair.client(rng)
                client.talk(0.2 * rng.random())
                how = number % 3
                try:
                    if how == 0:
                        pair.proxy.cut()
                    elif how == 1:
                        pair.proxy.silent = True
                    else:
                        pair.primary.process.send_signal(signal.SIGSTOP)
                        wait_for_errors(pair.backup, "this machine goes on")
                        pair.primary.process.send_signal(signal.SIGCONT)
                    primaries += one_lives(pair, client)
                except Failure as problem:
                    raise Failure(f"partition {number} of seed {seed}: {problem}") from None
        print(f"  {times} partitions: the primary went on in {primaries}")


def damaged(program, seed, times):
    """A bit of what either side says is another: one line, and one machine."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        for number in range(times):
            with Pair(stage, assemble(stage), timeout=200, is_cut=True) as pair:
                client = pair.client(rng)
                client.talk(0.1)
                pair.proxy.damage = (number % 2 == 0, rng.randrange(1 << 16))
                try:
                    one_lives(pair, client)
                except Failure as problem:
                    raise Failure(f"damage {number} of seed {seed}: {problem}") from None


def strangers(program, seed):
    """The first peer need not be a primary; over TCP a key is wanted."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        words = assemble(stage)
        key = stage.write("key", b"a secret that both sides have\n")
        other = stage.write("other", b"a secret that one side has\n")
        with Pair(stage, words, "tcp", more=(["--migration-key", other], ["--migration-key", key])) as pair:
            code = pair.primary.finish()
            expect(code == EXIT_USAGE and pair.primary.errors().count("\n") == 1
                   and "key" in pair.primary.errors(), f"{code}: {pair.said()}")
            wait_for_errors(pair.backup, "turned away")
            with socket.create_connection(("127.0.0.1", int(pair.where.rsplit(":", 1)[1]))) as stranger:
                stranger.sendall(rng.randbytes(100))
                stranger.settimeout(TIMEOUT)
                try:
                    while stranger.recv(1000):
                        pass
                except OSError:
                    pass
            expect(pair.backup.errors().count("turned away") == 2, pair.said())
            pair.primary = Run(stage, [*words, "--replicate-to", pair.where, "--migration-key", key, "--tie-breaker",
                                       str(pair.folder / "tie"), "--serial", f"unix:{pair.folder}/p"], TIMEOUT)
            client = pair.client(rng)
            client.talk(0.1)
            pair.primary.process.kill()
            client.take_over()
            client.talk(0.1)
            client.answered()
            client.check()


def terminated(program, seed):
    """SIGTERM ends the primary and with it the backup; or the backup alone."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        for stopped in (False, True):
            with Pair(stage, assemble(stage, halts=True), timeout=60000) as pair:
                client = pair.client(rng)
                client.talk(0.1)
                if stopped:
                    pair.backup.process.send_signal(signal.SIGSTOP)
                took = end(pair.primary, signal.SIGTERM, EXIT_QUIT, 0.2)
                if stopped:
                    pair.backup.process.send_signal(signal.SIGCONT)
                code = pair.backup.finish()
                expect(code == 0 and "has been ended, and so has its backup" in pair.backup.errors(),
                       f"{code}: {pair.said()}")
        with Pair(stage, assemble(stage)) as pair:
            client = pair.client(rng)
            client.talk(0.1)
            pair.primary.process.send_signal(signal.SIGSTOP)
            took = max(took, end(pair.backup, signal.SIGTERM, EXIT_QUIT, 0.2))
            pair.primary.process.send_signal(signal.SIGCONT)
            client.talk(0.1)
            client.answered()
            client.check()
        print(f"  at most {took * 1000:.0f} ms")


def at_consoles(program):
    """Each machine has its own terminal: what is typed at the backup's is the guest's when that has taken over."""
    with Stage(program) as stage:
        folder = stage.path / "pair"
        folder.mkdir()
        folder.chmod(0o777)
        tie = ["--tie-breaker", str(folder / "tie")]
        with Run(stage, ["backup", f"unix:{folder}/pair", *tie], TIMEOUT, keyboard=True) as backup:
            while not (folder / "pair").exists():
                time.sleep(0.002)
            words = [*assemble(stage), "--replicate-to", f"unix:{folder}/pair", *tie]
            with Run(stage, words, TIMEOUT, keyboard=True) as primary:
                primary.type("ab")
                primary.wait_for("b\n")
                backup.type("lost")
                time.sleep(0.1)  # it has been read
                primary.type("c")
                primary.wait_for("c\n")
                primary.process.kill()
            wait_for_errors(backup, "this machine goes on")
            backup.type("d")
            backup.wait_for("d\n")
            said = backup.text().splitlines()
            # Repeated output may begin within a line.
            expect(said[-1].startswith("00000004") and all(line[-1:] in ("", *"abc") for line in said[:-1]),
                   f"{said} {backup.errors()}")
            end(backup, signal.SIGTERM, EXIT_QUIT)


def guests_end(program, seed):
    """The guest ends by itself in both; after a reset they are as much a pair as before."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        words = assemble(stage)
        with Pair(stage, words) as pair:
            client = pair.client(rng)
            client.talk(0.1)
            client.answered()
            client.check()
            client.line.send(b"q")
            client.drain()
            expect(client.got.endswith(b"end\n"), f"{client.got[-40:]}")
            codes = pair.primary.finish(), pair.backup.finish()
            expect(codes == (EXIT_DONE, EXIT_DONE), f"{codes}: {pair.said()}")
            expect(client.other.recv(10) == b"", "the backup has shown something")
        with Pair(stage, words) as pair:
            client = pair.client(rng)
            client.talk(0.1)
            client.answered()
            client.check()
            client.line.send(b"r")
            time.sleep(0.3)
            lives = (len(client.got), len(client.sent) + 1)
            client.line.send(b"abc")
            while len(client.got) < lives[0] + 3 * REPLY:
                expect(client.read(5), f"no answer after a reset: {pair.said()}")
            expect(client.got[lives[0]:lives[0] + 8] == b"00000001", f"{client.got[lives[0]:]}")
            pair.primary.process.kill()
            client.drain()
            wait_for_errors(pair.backup, "this machine goes on")
            expect(f"has taken {lives[1] + 3} bytes" in pair.backup.errors(), pair.said())
            client.line = client.other
            client.line.send(b"d")
            begin = len(client.got)
            while not client.got[begin:].endswith(b"d\n"):
                expect(client.read(5), f"no answer after a reset: {pair.said()}")
            expect(bytes(client.got[-REPLY:-REPLY + 8]) == b"00000004", f"{client.got[begin:]}")


def controlled(program, seed):
    """A control program of each side: a stopped primary lives, a reset is the guest's on both, and nothing changes one alone."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        stage.path.chmod(0o777)
        sockets = [str(stage.path / name) for name in ("p.qmp", "b.qmp")]
        with Pair(stage, assemble(stage), more=[["--qmp", f"unix:{each}"] for each in sockets]) as pair:
            client = pair.client(rng)
            client.talk(0.1)
            client.answered()
            with Qmp(sockets[0]) as control:
                expect(control.answer("query-status")["return"]["status"] == "running", "the primary does not run")
                control.ask("stop")
                time.sleep(1.5)  # longer than what a silent primary is waited for
                expect(control.answer("query-status")["return"]["status"] == "paused", "the primary runs")
                control.ask("cont")
                answer = control.answer("send-key", keys=[{"type": "qcode", "data": "a"}])
                expect(answer is not None and "error" in answer, f"a key that the tape does not have: {answer}")
                client.talk(0.1)
                client.answered()
                lives = (len(client.got), len(client.sent))
                control.ask("system_reset")
                time.sleep(0.3)
                client.line.send(b"abc")
                while len(client.got) < lives[0] + 3 * REPLY:
                    expect(client.read(5), f"no answer after a reset: {pair.said()}")
                expect(client.got[lives[0]:lives[0] + 8] == b"00000001", f"{client.got[lives[0]:]}")
            pair.primary.process.kill()
            client.drain()
            wait_for_errors(pair.backup, "this machine goes on")
            expect(f"has taken {lives[1] + 3} bytes" in pair.backup.errors(), pair.said())
            with Qmp(sockets[1]) as control:
                expect(control.answer("query-status")["return"]["status"] == "running", "the backup does not run")
                control.ask("quit")
            code = pair.backup.finish()
            expect(code == EXIT_QUIT, f"{code}: {pair.said()}")


def bad_words(program):
    """Bad words are refused in one line, and nothing has happened."""
    with Stage(program) as stage:
        words = assemble(stage)
        tie = ["--tie-breaker", str(stage.path / "tie")]
        to = ["--replicate-to", f"unix:{stage.path}/nobody"]
        for bad in (["backup"], ["backup", "nowhere"], ["backup", "tcp:127.0.0.1:5"], ["backup", "unix:/no/such/folder"],
                    [*words, *to], [*words, *to, "--tie-breaker", "/no/such/file"], [*words, *to, *tie],
                    [*words, "--replicate-to", "tcp:127.0.0.1:5", *tie], [*words, "--replicate-to", "unix:x,timeout=5", *tie],
                    [*words, "--replicate-to", "unix:x,retries=5", *tie], [*words, *to, *tie, "--record", "x"],
                    [*words, *to, *tie, "--net", "user"], [*words, *to, *tie, "--serial", "file=x"],
                    [*words, *to, *tie, "--hda", "x.img"], [*words, *to, *tie, "--paused", "--qmp", "unix:x"],
                    [*words, *to, *tie, "--gdb", "tcp=:0"], [*words, *to, *tie, "--clock", "host", "--user", "direct"]):
            with Run(stage, bad, TIMEOUT) as run:
                code = run.finish()
                expect(code == EXIT_USAGE and run.errors().count("\n") == 1, f"{bad}: {code}: {run.errors()!r}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments.add_argument("--kills", type=int, default=24)
    arguments.add_argument("cases", nargs="*")
    chosen = arguments.parse_args()
    program, seed = chosen.ringshift, chosen.seed
    print(f"seed {seed}", flush=True)
    cases = {
        "kills": lambda: killed(program, seed, chosen.kills),
        "backup": lambda: backup_killed(program, seed),
        "partitions": lambda: partitioned(program, seed, 9),
        "damage": lambda: damaged(program, seed, 6),
        "strangers": lambda: strangers(program, seed),
        "terminated": lambda: terminated(program, seed),
        "consoles": lambda: at_consoles(program),
        "guest": lambda: guests_end(program, seed),
        "controlled": lambda: controlled(program, seed),
        "words": lambda: bad_words(program),
        "served": lambda: served(program, seed, Pair, Rows()),
        "database": lambda: served(program, seed, Pair, Database()),
    }
    return 1 if run_cases((name, cases[name]) for name in chosen.cases or cases) else 0


if __name__ == "__main__":
    sys.exit(main())
