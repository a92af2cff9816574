#!/usr/bin/env python3
"""SIGTERM and Ctrl-A x are answered within 200 ms, whatever guest, peer and terminal do.

Each case has something in the way: a guest that never lets go, somebody who does not read, a server
that does not answer. One answer in time out of three is enough (the host may be busy); none may take
longer than the hard limit.
usage: answered_test.py --ringshift PROGRAM [CASE...]
"""

import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tty

from harness import (EXIT_QUIT, Failure, Stage, expect, parser, run_cases, without_privilege)

HERE = pathlib.Path(__file__).resolve().parent
IN_TIME, HARD_LIMIT, TRIES = 0.2, 20, 3
UNTIL_READY = 60
EXIT_HOST = 10
QUIT_KEYS = b"\x01x"
BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")


def assemble(stage, name, *more):
    """A guest of answered/, as a file of the stage."""
    made = stage.path / f"{name}{''.join(more)}.bin"
    subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", *more, "-o", made,
                    f"{HERE}/answered/{name}.asm"], check=True)
    made.chmod(0o644)
    return made


def kernel(stage, name, *more):
    return ["--kernel", str(assemble(stage, name, *more)), "-m", "64M"]


def floppy(stage, name, *more):
    image = assemble(stage, name, *more)
    os.truncate(image, 1440 * 1024)
    image.chmod(0o666)
    return ["--fda", str(image), "-m", "1024M"]


class NbdServer:
    """A disk of 4 MiB that behaves as `mood` says once the handshake is over; 'mute' never begins."""

    def __init__(self, stage, mood):
        self.mood, self.path = mood, stage.path / f"{mood}.socket"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.path.chmod(0o666)
        self.listener.listen(8)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    @staticmethod
    def receive(peer, count):
        data = b""
        while len(data) < count:
            more = peer.recv(count - len(data))
            if not more:
                raise OSError
            data += more
        return data

    def greet(self, peer):
        peer.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        self.receive(peer, 4)
        option = 0
        while option != 7:  # GO
            _, option, length = struct.unpack(">QII", self.receive(peer, 16))
            self.receive(peer, length)
            replies = [(0x80000001, b"")]
            if option in (6, 7):
                replies = [(3, struct.pack(">HQH", 0, 4 << 20, 1 | 4)), (1, b"")]
            for kind, data in replies:
                peer.sendall(struct.pack(">QIII", 0x3e889045565a9, option, kind, len(data)) + data)

    def serve(self, peer):
        try:
            if self.mood == "mute":
                time.sleep(3600)
            self.greet(peer)
            for count in range(1 << 30):
                _, _, kind, handle, _, length = struct.unpack(">IHHQQI", self.receive(peer, 28))
                silent = self.mood == "silent" and count > 3
                if silent:
                    time.sleep(3600)
                if kind == 1:
                    self.receive(peer, length)
                peer.sendall(struct.pack(">IIQ", 0x67446698, 0, handle))
                for _ in range(length if kind == 0 else 0):
                    peer.sendall(b"z")
                    if self.mood == "trickling" and count > 3:
                        time.sleep(0.3)
        except OSError:
            pass

    def uri(self):
        return f"nbd+unix:///?socket={self.path}"


class Attempt:
    """One run. terminal: its streams are a pseudo-terminal; unread: nobody reads what it prints."""

    def __init__(self, stage, options, *, terminal=False, unread=False, errors_unread=False):
        self.master = self.keyboard = self.source = self.sink = None
        streams = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if terminal:
            self.master, slave = os.openpty()
            tty.setraw(slave)
            streams.update(stdin=slave, stdout=slave)
        else:
            reading, self.keyboard = os.pipe()
            streams.update(stdin=reading)
        self.process = subprocess.Popen(
            [*without_privilege(), stage.ringshift, "run", *options], cwd=stage.path,
            start_new_session=True, **streams)
        os.close(streams["stdin"])
        self.output, self.errors = b"", b""
        if not unread:
            self.read_on(self.master if terminal else self.process.stdout.fileno(), "output")
        if not errors_unread:
            self.read_on(self.process.stderr.fileno(), "errors")

    def read_on(self, descriptor, name):
        def read():
            while True:
                try:
                    data = os.read(descriptor, 65536)
                except OSError:
                    return
                if not data:
                    return
                setattr(self, name, (getattr(self, name) + data)[-65536:])
        threading.Thread(target=read, daemon=True).start()

    def wait_for_output(self):
        deadline = time.monotonic() + UNTIL_READY
        while not self.output:
            expect(self.process.poll() is None, f"ended early: {self.errors!r}")
            expect(time.monotonic() < deadline, "the guest says nothing")
            time.sleep(0.02)

    def type(self, keys):
        """All of them; a terminal or pipe that is full for long is a failure."""
        descriptor = self.keyboard if self.master is None else self.master
        os.set_blocking(descriptor, False)
        deadline = time.monotonic() + HARD_LIMIT
        while keys:
            try:
                keys = keys[os.write(descriptor, keys):]
            except BlockingIOError:
                expect(time.monotonic() < deadline, "the keys are not read")
                time.sleep(0.002)
        os.set_blocking(descriptor, True)

    def ask(self, how):
        """Asks for the end; returns how long that took, and the exit code."""
        begin = time.monotonic()
        if how == "keys":
            self.type(QUIT_KEYS)
        else:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(HARD_LIMIT)
        except subprocess.TimeoutExpired:
            raise Failure(f"no answer to {how} in {HARD_LIMIT} s") from None
        return time.monotonic() - begin, code

    def close(self):
        self.process.kill()
        self.process.wait()
        for descriptor in (self.master, self.keyboard):
            if descriptor is not None:
                os.close(descriptor)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def answers(stage, options, hows=("signal", "keys"), wanted=(EXIT_QUIT,), prepare=None, **streams):
    """prepare(attempt): what happens before the question; without it, the first output or a second."""
    for how in hows:
        times = []
        while len(times) < TRIES and (not times or min(times) > IN_TIME):
            attempt = Attempt(stage, options, **streams)
            try:
                if prepare is not None:
                    prepare(attempt)
                elif streams.get("unread"):
                    time.sleep(1)
                else:
                    attempt.wait_for_output()
                    time.sleep(0.3)
                expect(attempt.process.poll() is None, f"ended early: {attempt.errors!r}")
                taken, code = attempt.ask(how)
                expect(code in wanted, f"exit code {code} after {how}: {attempt.errors!r}")
                times.append(taken)
            finally:
                attempt.close()
        expect(min(times) <= IN_TIME, f"{how} answered in {[f'{t:.2f}' for t in times]} s")


def silent_for(seconds):
    return lambda attempt: time.sleep(seconds)


# ---- guests


def spinning(stage):
    answers(stage, kernel(stage, "spin"))
    answers(stage, kernel(stage, "spin", "-DMASKED"))
    answers(stage, [*kernel(stage, "spin", "-DMASKED"), "--engine", "interpret"])


def all_timers(stage):
    answers(stage, kernel(stage, "timers"))
    answers(stage, kernel(stage, "timers", "-DMASKED"))


def resetting(stage):
    answers(stage, kernel(stage, "reset"), prepare=silent_for(1))


def clearing_displays(stage):
    answers(stage, [*kernel(stage, "display_clears"), "--hda", disk(stage)])


def big_dma(stage):
    if not BIOS.is_file():
        print("no SeaBIOS here: not tried", flush=True)
        return
    answers(stage, floppy(stage, "big_dma"))
    answers(stage, floppy(stage, "big_dma", "-DSTRING"))


# ---- terminals and files


def stdout_that_nobody_reads(stage):
    answers(stage, kernel(stage, "chatter"), unread=True)
    answers(stage, kernel(stage, "chatter"), unread=True, terminal=True)


def screen_that_nobody_reads(stage):
    options = [*kernel(stage, "timers"), "--display", "text"]
    answers(stage, options, unread=True, terminal=True)


def help_that_nobody_reads(stage):
    answers(stage, kernel(stage, "chatter"), hows=("keys",), unread=True, terminal=True,
            prepare=lambda attempt: (time.sleep(1), attempt.type(b"\x01h" * 10)))


def prompt_that_nobody_reads(stage):
    answers(stage, kernel(stage, "chatter"), unread=True, terminal=True,
            prepare=lambda attempt: (time.sleep(1), attempt.type(b"\x01c"), time.sleep(0.3)))


def held_by_a_limit(stage):
    for user in ("translate", "auto"):
        answers(stage, [*kernel(stage, "spin"), "--limit", "cpu=1%", "--user", user], terminal=True,
                prepare=lambda attempt: (attempt.wait_for_output(), time.sleep(0.5)))


def pasted_input(stage):
    for count in (3_000, 100_000, 2_000_000):
        def paste(attempt, count=count):
            attempt.wait_for_output()
            attempt.type(b"y" * count)
        answers(stage, kernel(stage, "spin"), terminal=True, prepare=paste)
    def fill(attempt):
        attempt.wait_for_output()
        attempt.type(b"y" * 500_000)
    answers(stage, kernel(stage, "spin"), prepare=fill)


def trace_that_nobody_reads(stage):
    answers(stage, [*kernel(stage, "disk_reader"), "--hda", disk(stage), "--trace"],
            errors_unread=True, prepare=silent_for(1.5))


def fifos(stage):
    """Nobody ever opens the other end; then somebody does, and does not read."""
    fifo = stage.path / "fifo"
    os.mkfifo(fifo)
    fifo.chmod(0o666)
    for options in (["--serial", f"file={fifo}"], ["--stats-file", str(fifo)],
                    ["--firmware-log", str(fifo), "--hda", disk(stage)]):
        # Before the terminal is ours the signal's own action ends the program.
        answers(stage, [*kernel(stage, "chatter"), *options], hows=("signal",),
                wanted=(EXIT_QUIT, -signal.SIGTERM), prepare=silent_for(0.7))
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    answers(stage, [*kernel(stage, "chatter"), "--serial", f"file={fifo}"], hows=("signal",),
            wanted=(EXIT_QUIT, EXIT_HOST), prepare=silent_for(1))
    os.close(reader)
    fifo.unlink()


# ---- servers and debuggers


def disk(stage):
    image = stage.path / "disk.raw"
    if not image.exists():
        image.write_bytes(bytes(4 << 20))
        image.chmod(0o666)
    return str(image)


def disk_servers(stage):
    for mood in ("silent", "trickling"):
        server = NbdServer(stage, mood)
        for more in ((), ("-DWRITES",)):
            answers(stage, [*kernel(stage, "disk_reader", *more), "--hda", server.uri()],
                    prepare=silent_for(1.5))
    mute = NbdServer(stage, "mute")
    answers(stage, [*kernel(stage, "disk_reader"), "--hda", mute.uri()], hows=("signal",),
            wanted=(EXIT_QUIT, -signal.SIGTERM), prepare=silent_for(0.5))


def stopped_disk_server(stage):
    """A server that is stopped has the connection all the same."""
    where = stage.path / "stopped.socket"
    stage.path.chmod(0o777)
    command = ["qemu-nbd", "--persistent", "--format", "raw", "--socket", str(where), disk(stage)]
    server = subprocess.Popen(command)
    try:
        for _ in range(200):
            if where.exists():
                break
            time.sleep(0.05)
        where.chmod(0o666)

        def stop(attempt):
            os.kill(server.pid, signal.SIGCONT)
            attempt.wait_for_output()
            os.kill(server.pid, signal.SIGSTOP)
            time.sleep(0.5)
        answers(stage, [*kernel(stage, "disk_reader"), "--hda", f"nbd+unix:///?socket={where}"],
                prepare=stop)
    finally:
        server.kill()
        server.wait()


def debuggers(stage):
    where = stage.path / "gdb.socket"
    stage.path.chmod(0o777)
    options = [*kernel(stage, "spin"), "--gdb", f"unix={where}"]
    peers = []

    def connect(talk):
        peer = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + UNTIL_READY
        while peer.connect_ex(str(where)) != 0:
            expect(time.monotonic() < deadline, "nobody listens for a debugger")
            time.sleep(0.05)
        time.sleep(0.3)
        peers.append(peer)
        talk(peer)

    def flood(peer):
        """Asks for memory and does not read the answers."""
        peer.setblocking(False)
        packet = b"m100000,1000"
        whole = b"$" + packet + b"#%02x" % (sum(packet) & 0xff)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            try:
                peer.sendall(whole * 16)
            except OSError:
                time.sleep(0.02)

    answers(stage, [*options, "--paused"], prepare=silent_for(0.7))
    answers(stage, options, prepare=lambda attempt: connect(lambda peer: None))
    answers(stage, options, prepare=lambda attempt: connect(flood))


def main():
    options = parser(__doc__)
    options.add_argument("case", nargs="*")
    options = options.parse_args()
    cases = (spinning, all_timers, held_by_a_limit, resetting, clearing_displays, big_dma,
             stdout_that_nobody_reads, screen_that_nobody_reads, help_that_nobody_reads,
             prompt_that_nobody_reads, pasted_input, trace_that_nobody_reads, fifos, disk_servers,
             stopped_disk_server, debuggers)
    names = options.case or [case.__name__ for case in cases]
    with Stage(options.ringshift) as stage:
        failed = run_cases((case.__name__.replace("_", " "), lambda case=case: case(stage))
                           for case in cases if case.__name__ in names)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
