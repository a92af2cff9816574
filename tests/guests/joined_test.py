#!/usr/bin/env python3
"""A machine that runs is given a backup, and after a takeover the next one: what the outside has been answered is not
lost, and nothing is answered twice; and never do two of them live.

The guest of replication_test.py, through generations of machines, whose backups are killed, and join again, while
somebody talks to it; either side killed, stopped, cut off and damaged while one joins; and a Debian kernel that is
given its backup in the middle of its work.
usage: joined_test.py --ringshift PROGRAM [--seed N] [--times N] [CASE...]
"""

import os
import pathlib
import random
import re
import signal
import statistics
import sys
import threading
import time

from harness import EXIT_QUIT, EXIT_USAGE, Failure, Run, Stage, expect, guests_folder, parser, run_cases
from disk_test import DRIVERS as IDE_DRIVERS
from migration_test import TIMEOUT, free_port, wait_for_errors
from replicated_server import Connection, Database, Rows, Wire
from network_test import DRIVERS, words_for
from replication_test import EXIT_DIVERGED, EXIT_HOST, OTHERWISE, Client, Proxy, assemble, end

GIVEN, FOLLOWS, LIVES = "the machine has a backup", "follows a primary that ran before", "this machine goes on"
# How long an answer may take while a backup joins: docs/replication.md, and some more for a busy host.
LONGEST = 2.0


class Chain:
    """A machine, the backup that it has at the moment, and all before."""

    def __init__(self, stage, words, timeout=1000, serial=True, more=()):
        self.stage, self.timeout, self.serial = stage, timeout, serial
        self.folder = stage.path / f"chain{time.monotonic_ns()}"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        self.number, self.runs, self.backup, self.proxy = 0, [], None, None
        self.primary = self.begin([*words, *more])

    def begin(self, words):
        """Each one looks for its own backup at a place of its own."""
        own = [*words, "--tie-breaker", str(self.folder / "tie"), "--replicate-to",
               f"unix:{self.folder}/place{self.number},timeout={self.timeout},reconnect=1"]
        if self.serial:
            own += ["--serial", f"unix:{self.folder}/serial{self.number}"]
        run = Run(self.stage, own, TIMEOUT)
        self.runs.append(run)
        return run

    def place(self):
        """Returns the backup of the machine that lives."""
        return f"{self.folder}/place{self.runs.index(self.primary)}"

    def add(self, more=(), is_cut=False):
        """A backup; it waits to be found."""
        self.number += 1
        place = self.place()
        own = place + ("behind" if is_cut else "")
        self.backup = self.begin(["backup", f"unix:{own}", *more])
        if is_cut:
            self.wait_until(lambda: os.path.exists(own))
            self.proxy = Proxy(place, own)

    def wait_until(self, is_so, meanwhile=lambda: time.sleep(0.002)):
        deadline = time.monotonic() + TIMEOUT
        while not is_so():
            expect(time.monotonic() < deadline and self.backup.process.poll() is None, f"it does not come: {self.said()}")
            meanwhile()

    def wait_until_found(self, meanwhile):
        """The backup listens no more: somebody has come."""
        own = self.place() + ("behind" if self.proxy is not None else "")
        self.wait_until(lambda: os.path.exists(own) or os.path.exists(f"{self.folder}/serial{self.number}"), meanwhile)
        self.wait_until(lambda: not os.path.exists(own), meanwhile)

    def wait_until_given(self, client=None):
        self.wait_until(lambda: FOLLOWS in self.backup.errors(),
                        (lambda: client.talk(0.01)) if client is not None else lambda: time.sleep(0.01))
        wait_for_errors(self.primary, GIVEN)

    def take_over(self):
        self.primary, self.backup = self.backup, None

    def give_up_backup(self):
        if self.proxy is not None:
            self.proxy.cut()
            self.proxy = None
            os.unlink(self.place())
        self.backup.process.kill()
        self.backup.process.wait()
        self.backup = None

    def said(self):
        texts = [f"{name}: {run.errors()!r}" for name, run in
                 (("lives", self.primary), ("backup", self.backup)) if run is not None]
        return " ".join(texts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.proxy is not None:
            self.proxy.cut()
        for run in self.runs:
            run.__exit__()


class Caller(Client):
    """Somebody who talks to whichever machine lives."""

    def __init__(self, chain, rng):
        self.pair, self.rng, self.sent, self.got, self.other = chain, rng, bytearray(), bytearray(), None
        self.line = self.connect("serial0")

    def follow(self):
        """The backup has joined: its port is there."""
        self.other = self.connect(f"serial{self.pair.number}")

    def take_over(self):
        at = super().take_over()
        self.pair.take_over()
        return at

    def longest(self, seconds):
        """Asks for so many seconds; returns the longest time of an answer."""
        until, longest = time.monotonic() + seconds, 0.0
        while time.monotonic() < until:
            begin = time.monotonic()
            self.talk(0.001, window=1)
            self.answered()
            longest = max(longest, time.monotonic() - begin)
        return longest


def pause_of(run):
    return float(re.findall(r"the guest stood for ([\d.]+) ms", run.errors())[-1])


def generations(program, seed, times):
    """Each machine is given a backup while it works, loses it or not, and is killed."""
    rng = random.Random(seed)
    with Stage(program) as stage, Chain(stage, assemble(stage, halts=True)) as chain:
        client, took = Caller(chain, rng), []
        client.talk(0.1)
        for number in range(times):
            try:
                if rng.random() < 0.3:  # one that goes before it is of use
                    chain.add()
                    chain.wait_until_given(client)
                    chain.give_up_backup()
                    wait_for_errors(chain.primary, "goes on without one")
                    client.talk(0.05)
                    client.answered()
                chain.add(OTHERWISE[number % 4] if number % 4 != 1 else ())
                chain.wait_until_given(client)
                client.follow()
                client.talk(0.3 * rng.random())
                at = time.monotonic()
                chain.primary.process.kill()
                took.append(client.take_over() - at)
                client.talk(0.05)
                client.answered()
                client.check()
            except Failure as problem:
                raise Failure(f"generation {number} of seed {seed}: {problem}; {chain.said()}") from None
        print(f"  {times} generations: answers go on after at most {max(took) * 1000:.0f} ms")
        end(chain.primary, signal.SIGTERM, EXIT_QUIT)


def slow_backup(program, seed):
    """One that is slower than its primary, which works all the time, is waited for."""
    rng = random.Random(seed)
    with Stage(program) as stage, Chain(stage, assemble(stage)) as chain:
        client = Caller(chain, rng)
        client.talk(0.1)
        chain.add(("--engine", "interpret"))
        begin = time.monotonic()
        chain.wait_until_given(client)
        client.follow()
        print(f"  an interpreter has caught up after {time.monotonic() - begin:.1f} s")
        chain.primary.process.kill()
        client.take_over()
        client.answered()
        client.check()


def killed_while_joining(program, seed, times):
    """Either side, at any moment: the primary goes on, or the backup, if it was one by then."""
    rng, lived = random.Random(seed), 0
    with Stage(program) as stage:
        for number in range(times):
            with Chain(stage, assemble(stage, halts=number % 2 == 0)) as chain:
                client = Caller(chain, rng)
                client.talk(0.05)
                chain.add()
                chain.wait_until_found(lambda: client.talk(0.002))
                if rng.random() < 0.8:  # who is there later may miss what is said first
                    client.follow()
                    client.talk(rng.choice((0.01, 0.05, 0.2, 0.4)) * rng.random())
                try:
                    if number % 3 == 0:
                        client.other = None
                        chain.give_up_backup()
                        client.talk(0.05)
                    else:
                        chain.primary.process.kill()
                        lived += after_primary(chain, client)
                        if chain.backup is not None:
                            continue
                    client.answered()
                    client.check()
                except Failure as problem:
                    raise Failure(f"kill {number} of seed {seed}: {problem}; {chain.said()}") from None
    print(f"  {times} kills: the backup took over in {lived}")


def after_primary(chain, client):
    """It has been killed. True: the backup lives."""
    client.drain()
    deadline = time.monotonic() + TIMEOUT
    while chain.backup.process.poll() is None and LIVES not in chain.backup.errors():
        expect(time.monotonic() < deadline, f"it neither lives nor ends: {chain.said()}")
        time.sleep(0.005)
    said = chain.backup.errors()
    if chain.backup.process.poll() is not None:
        expect(chain.backup.process.returncode in (EXIT_DIVERGED, EXIT_USAGE) and LIVES not in said and FOLLOWS not in said
               and said.count("\n") == 1, f"{chain.backup.process.returncode}: {said!r}")
        return False
    expect(FOLLOWS in said, f"one that was no backup lives: {said!r}")
    if client.other is None:
        return True
    client.take_over()
    return True


def one_of_two(chain, client):
    """A pair has lost each other, and the primary has gone."""
    code = chain.primary.finish()
    expect(code == EXIT_HOST and LIVES in chain.backup.errors(), f"{code}: {chain.said()}")
    if client.other is not None:
        client.take_over()
        client.answered()
        client.check()
    print("  one had joined before, and lives")


def bad_peers(program, seed, times):
    """The stream damaged, cut and silent, and a backup that is stopped, while it joins: the guest goes on."""
    rng, longest = random.Random(seed), 0.0
    with Stage(program) as stage, Chain(stage, assemble(stage, halts=True), timeout=200) as chain:
        client = Caller(chain, rng)
        for number in range(times):
            how = ("damage", "cut", "silence", "stop")[number % 4]
            chain.add(is_cut=how != "stop")
            try:
                chain.wait_until_found(lambda: client.talk(0.005))
                client.follow()
                longest = max(longest, client.longest(0.03 * rng.random()))
                if how == "damage":
                    chain.proxy.damage = (number % 8 < 4, rng.randrange(1 << 16))
                elif how == "cut":
                    chain.proxy.cut()
                elif how == "silence":
                    chain.proxy.silent = True
                else:
                    chain.backup.process.send_signal(signal.SIGSTOP)
                longest = max(longest, client.longest(0.5))
                given = GIVEN in chain.primary.errors()
                if given and LIVES in chain.backup.errors():
                    return one_of_two(chain, client)
                client.other = None
                chain.give_up_backup()
                longest = max(longest, client.longest(0.1))
                client.check()
                expect(LIVES not in chain.runs[-1].errors(), f"two live: {chain.runs[-1].errors()!r}")
            except Failure as problem:
                if GIVEN in chain.primary.errors() and chain.backup is not None:
                    return one_of_two(chain, client)  # it had joined before
                raise Failure(f"{how}, {number} of seed {seed}: {problem}; {chain.said()}") from None
            if given or chain.primary.process.poll() is not None:
                break
        print(f"  no answer took longer than {longest * 1000:.0f} ms")
        expect(longest < LONGEST, f"the guest stood for {longest:.2f} s")
        chain.add()
        chain.wait_until_given(client)
        client.follow()
        chain.primary.process.kill()
        client.take_over()
        client.answered()
        client.check()


def keys(program, seed):
    """Over TCP the backup has to have the key; the primary says so once, and goes on looking."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        key = stage.write("key", b"a secret that both sides have\n")
        other = stage.write("other", b"a secret that one side has\n")
        where = f"tcp:127.0.0.1:{free_port()}"
        with Chain(stage, assemble(stage), more=()) as chain:
            chain.primary.process.kill()
            tie = ["--tie-breaker", str(chain.folder / "tie2")]
            primary = Run(stage, [*assemble(stage), *tie, "--migration-key", key, "--replicate-to", f"{where},reconnect=1",
                                  "--serial", f"unix:{chain.folder}/s"], TIMEOUT)
            chain.runs.append(primary)
            chain.primary = primary
            client = Caller.__new__(Caller)
            client.pair, client.rng, client.sent, client.got, client.other = chain, rng, bytearray(), bytearray(), None
            client.line = client.connect("s")
            wait_for_errors(primary, "the machine has no backup")
            stranger = Run(stage, ["backup", where, *tie, "--migration-key", other, "--serial", f"unix:{chain.folder}/t"],
                           TIMEOUT)
            chain.runs.append(stranger)
            wait_for_errors(stranger, "turned away")
            client.talk(0.1)
            client.answered()
            stranger.process.kill()
            stranger.process.wait()
            chain.backup = Run(stage, ["backup", where, *tie, "--migration-key", key, "--serial",
                                       f"unix:{chain.folder}/u"], TIMEOUT)
            chain.runs.append(chain.backup)
            chain.wait_until_given(client)
            client.other = client.connect("u")
            primary.process.kill()
            client.take_over()
            client.answered()
            client.check()


def first_backup(program, seed):
    """A pair that has begun together is joined by another; one that stops and wakes may not live."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        words = assemble(stage, halts=True)
        with Chain(stage, words, timeout=200) as chain:
            client = Caller(chain, rng)
            chain.add()
            chain.wait_until_given(client)
            stopped = chain.backup
            stopped.process.send_signal(signal.SIGSTOP)
            wait_for_errors(chain.primary, "goes on without one")
            chain.add()
            chain.wait_until_given(client)
            stopped.process.send_signal(signal.SIGCONT)
            code = stopped.finish()
            expect(code == EXIT_DIVERGED and "belongs to another pair" in stopped.errors(), f"{code}: {stopped.errors()!r}")
            client.follow()
            was = chain.primary
            was.process.send_signal(signal.SIGSTOP)
            wait_for_errors(chain.backup, LIVES)
            client.line.close()
            chain.primary, chain.backup = chain.backup, None
            chain.add()
            chain.wait_until_given()
            was.process.send_signal(signal.SIGCONT)  # two generations later
            code = was.finish()
            expect(code == EXIT_HOST and "belongs to another pair" in was.errors(), f"{code}: {was.errors()!r}")
            end(chain.primary, signal.SIGTERM, EXIT_QUIT)
            code = chain.backup.finish()
            expect(code == 0 and "has been ended" in chain.backup.errors(), f"{code}: {chain.said()}")


WORK = """
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
while [ ! -b /dev/sda ]; do sleep 1; done
i=0
while [ $i -lt 40 ]; do
  i=$((i + 1))
  seq 1 4000 | sort -r | md5sum >/tmp/s$i
  cat /tmp/s* | md5sum >>/tmp/all
  yes $i | dd of=/dev/sda bs=4k seek=$i count=1 iflag=fullblock conv=fsync 2>/dev/null
done
md5sum /tmp/all /dev/sda
poweroff -f
"""


def same_to_the_end(program, seed):
    """A Debian kernel that is at work, also on a disk, is given a backup: both have the same registers and RAM at its end."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        engine = rng.choice(((), ("--translator", "arena=4M")))
        digests = [pathlib.Path(stage.write(f"digest{number}", b"")) for number in range(2)]
        for digest in digests:
            digest.chmod(0o666)
        disk = pathlib.Path(stage.write("disk.img", bytes(1 << 20)))
        words = [*words_for(stage, WORK, "none", IDE_DRIVERS), "--hda", f"{disk},snapshot=on"]
        with Chain(stage, words, more=("--digest", str(digests[0])), serial=False) as chain:
            time.sleep(0.5 + 2 * rng.random())
            chain.add(("--digest", str(digests[1]), *engine))
            chain.wait_until_given()
            pause = pause_of(chain.primary)
            codes = chain.primary.finish(), chain.backup.finish()
            expect(codes == (0, 0), f"{codes}: {chain.said()}")
            one, other = (digest.read_text() for digest in digests)
            expect(one == other, f"{one!r}, and the backup {other!r}")
            print(f"  the guest stood for {pause} ms")


class Conversation:
    """A client's connection to the guest's server, its rows, and how long the longest answer took at what time."""

    def __init__(self, chain, wire, rng, kind):
        self.chain, self.rng, self.kind, self.rows = chain, rng, kind, []
        self.longest = {"alone": 0.0, "joining": 0.0, "taking over": []}
        self.connection = Connection(wire)
        self.connection.connect(lambda: chain.primary.process.poll() is None)

    def ask(self):
        """Seconds until the answer to the next row."""
        self.rows.append(b"row%d.%d" % (len(self.rows), self.rng.randrange(10**9)))
        begin = time.monotonic()
        answer = self.connection.ask(self.kind.line(self.rows[-1]))
        expect(answer.startswith(self.kind.answer(len(self.rows), self.rows[-1])),
               f"row {len(self.rows)}, {self.rows[-1]}, was answered {answer}")
        return time.monotonic() - begin

    def ask_while(self, what, rows):
        self.longest[what] = max(self.longest[what], *(self.ask() for _ in rows))

    def joining(self):
        while GIVEN not in self.chain.primary.errors():
            expect(self.chain.backup.process.poll() is None, self.chain.said())
            yield

    def generation(self):
        """A backup comes, and the primary is killed within the time of some rows."""
        self.ask_while("alone", range(5))
        self.chain.add()
        self.ask_while("joining", self.joining())
        pause = pause_of(self.chain.primary)
        killer = threading.Timer(0.2 * self.rng.random(), self.chain.primary.process.kill)
        killer.start()
        longest = 0.0
        while killer.is_alive():
            longest = max(longest, self.ask())
        self.chain.take_over()
        self.longest["taking over"].append(max(longest, *(self.ask() for _ in range(5))))
        return pause


def in_a_conversation(program, seed, kind, times):
    """A client's rows are in the guest once each, whichever machine it is on: so often it gets another one."""
    rng = random.Random(seed)
    if isinstance(kind, Database) and not kind.is_there():
        return
    with Stage(program) as stage:
        stage.path.chmod(0o777)
        path = stage.path / "wire"
        words = words_for(stage, kind.script, f"stream,unix={path},mac=52:54:00:00:00:01", DRIVERS["virtio"])
        kind.add_to(stage, words[words.index("--initrd") + 1])
        with Wire(path) as wire, Chain(stage, words, serial=False) as chain:
            talk = Conversation(chain, wire, rng, kind)
            pauses = [talk.generation() for _ in range(times)]
            kind.check(talk.connection, talk.rows)
            overs = talk.longest["taking over"]
            print(f"  {times} takeovers, {len(talk.rows)} rows; the guest stood for {statistics.median(pauses):.0f} ms, at most "
                  f"{max(pauses):.0f}; the longest answer alone {talk.longest['alone'] * 1000:.0f} ms, while one joined "
                  f"{talk.longest['joining'] * 1000:.0f}, taking over {statistics.median(overs) * 1000:.0f}, at most "
                  f"{max(overs) * 1000:.0f} ms")
            expect(talk.longest["joining"] < LONGEST, f"{talk.longest}")


def resumed(program, seed):
    """A machine that was saved, and goes on, is given a backup."""
    rng = random.Random(seed)
    with Stage(program) as stage:
        stage.path.chmod(0o777)
        saved = stage.path / "saved"
        with Run(stage, [*assemble(stage, halts=True), "--clock", "events,idle=wait", "--serial", "none",
                         "--save", f"{saved},after=1"], TIMEOUT) as run:
            run.finish()
        with Chain(stage, ["resume", str(saved)]) as chain:
            client = Caller(chain, rng)
            client.talk(0.1)
            chain.add()
            chain.wait_until_given(client)
            client.follow()
            chain.primary.process.kill()
            client.take_over()
            client.talk(0.05)
            client.answered()
            client.check()


def bad_words(program):
    with Stage(program) as stage:
        words = [*assemble(stage), "--tie-breaker", str(stage.path / "tie")]
        for bad in ("reconnect=0", "reconnect=x", "reconnect=3601", "reconnect", "again=1"):
            with Run(stage, [*words, "--replicate-to", f"unix:x,{bad}"], TIMEOUT) as run:
                code = run.finish()
                expect(code == EXIT_USAGE and run.errors().count("\n") == 1, f"{bad}: {code}: {run.errors()!r}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    arguments.add_argument("--times", type=int, default=8)
    arguments.add_argument("cases", nargs="*")
    chosen = arguments.parse_args()
    program, seed, times = chosen.ringshift, chosen.seed, chosen.times
    print(f"seed {seed}", flush=True)
    guests_folder()
    cases = {
        "generations": lambda: generations(program, seed, 10),
        "kills": lambda: killed_while_joining(program, seed, times),
        "peers": lambda: bad_peers(program, seed, 8),
        "slow": lambda: slow_backup(program, seed),
        "keys": lambda: keys(program, seed),
        "first": lambda: first_backup(program, seed),
        "resumed": lambda: resumed(program, seed),
        "same": lambda: same_to_the_end(program, seed),
        "conversation": lambda: in_a_conversation(program, seed, Rows(), times // 4),
        "database": lambda: in_a_conversation(program, seed, Database(), times // 4),
        "words": lambda: bad_words(program),
    }
    return 1 if run_cases((name, cases[name]) for name in chosen.cases or cases) else 0


if __name__ == "__main__":
    sys.exit(main())
