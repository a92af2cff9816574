"""A server in a Debian guest, its client, and the network between them, which outlives the guest's machine.

The client is a TCP of its own (RFC 9293) on the frames of `--net stream`: what it sends comes to each machine that is
on the wire, and it hears all of them. It knows of no machine: its connection has to go on by itself.
"""

import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from harness import EXIT_QUIT, HERE, Failure, Stage, expect, guests_folder
from network_test import DRIVERS, UP, words_for

TIMEOUT = 120
GUEST_MAC, OWN_MAC = bytes.fromhex("525400000001"), bytes.fromhex("525400000009")
GUEST_ADDRESS, OWN_ADDRESS = bytes([192, 168, 7, 1]), bytes([192, 168, 7, 9])
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

SERVER = UP + r"""
ip addr add 192.168.7.1/24 dev eth0
ip link set eth0 up
cat >/tmp/serve <<'END'
n=0
while read -r line; do
  n=$((n + 1))
  echo "$n $line" >>/tmp/rows
  echo "$n $line $(tail -n 1 /tmp/rows | md5sum | cut -c1-8)"
done
END
mkfifo /tmp/in /tmp/out
sh /tmp/serve </tmp/in >/tmp/out &
nc -l -p 81 >/tmp/in </tmp/out
sleep 1000
"""


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Wire:
    """Where machines plug their cables in."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        path.chmod(0o777)
        self.listener.listen(4)
        self.plugged = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in (self.listener, *self.plugged):
            one.close()

    def send(self, frame):
        for one in list(self.plugged):
            try:
                one.sendall(struct.pack(">I", len(frame)) + frame)
            except OSError:
                self.plugged.pop(one).clear()

    def frames(self, wait):
        ready, _, _ = select.select([self.listener, *self.plugged], [], [], wait)
        for one in ready:
            if one is self.listener:
                self.plugged[one.accept()[0]] = bytearray()
                continue
            try:
                data = one.recv(65536)
            except OSError:
                data = b""
            if not data:
                self.plugged.pop(one)
                one.close()
                continue
            buffer = self.plugged[one]
            buffer += data
            while len(buffer) >= 4 and len(buffer) >= 4 + (length := struct.unpack_from(">I", buffer)[0]):
                yield bytes(buffer[4:4 + length])
                del buffer[:4 + length]


class Connection:
    """One TCP connection to the guest's port 81."""

    AGAIN = 0.1  # seconds until what is not acknowledged is sent again

    def __init__(self, wire):
        self.wire, self.port, self.number = wire, 40000, 0
        self.begin()

    def begin(self):
        self.port += 1
        self.next, self.wanted = 1000, 0  # to send, to receive
        self.unheard, self.sent_at = b"", 0.0
        self.is_open, self.got = False, b""

    def send_segment(self, flags, data=b"", sequence=None):
        sequence = self.next if sequence is None else sequence
        options = b"\2\4\5\xb4" if flags & SYN else b""
        header = struct.pack(">HHIIBBHHH", self.port, 81, sequence % 2**32, self.wanted % 2**32,
                             (5 + len(options) // 4) << 4, flags, 60000, 0, 0) + options
        pseudo = OWN_ADDRESS + GUEST_ADDRESS + struct.pack(">BBH", 0, 6, len(header) + len(data))
        header = header[:16] + struct.pack(">H", checksum(pseudo + header + data)) + header[18:]
        self.number += 1
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(header) + len(data), self.number % 2**16, 0, 64, 6, 0)
        ip += OWN_ADDRESS + GUEST_ADDRESS
        ip = ip[:10] + struct.pack(">H", checksum(ip)) + ip[12:]
        self.wire.send((GUEST_MAC + OWN_MAC + b"\x08\0" + ip + header + data).ljust(60, b"\0"))

    def take_arp(self, frame):
        if frame[20:22] == b"\0\1" and frame[38:42] == OWN_ADDRESS:
            answer = b"\0\1\x08\0\6\4\0\2" + OWN_MAC + OWN_ADDRESS + frame[22:32]
            self.wire.send((frame[6:12] + OWN_MAC + b"\x08\6" + answer).ljust(60, b"\0"))

    def take(self, frame):
        if frame[12:14] == b"\x08\6":
            return self.take_arp(frame)
        if frame[12:14] != b"\x08\0" or frame[23] != 6 or frame[30:34] != OWN_ADDRESS:
            return None
        segment = frame[14 + (frame[14] & 15) * 4:14 + struct.unpack_from(">H", frame, 16)[0]]
        _, port, sequence, acknowledged, offset, flags = struct.unpack_from(">HHIIBB", segment)
        if port != self.port:
            return None
        if flags & RST:
            expect(not self.is_open, "the connection was reset")
            return self.begin()  # nobody listens yet
        if flags & SYN:
            self.wanted = sequence + 1
            if not self.is_open:
                self.is_open, self.next = True, self.next + 1
            return self.send_segment(ACK)
        expect(not flags & FIN, "the guest has closed the connection")
        heard = (acknowledged - self.next) % 2**32
        if 0 < heard <= len(self.unheard):
            self.next += heard
            self.unheard = self.unheard[heard:]
        data = segment[(offset >> 4) * 4:]
        if data:
            seen = (self.wanted - sequence) % 2**32
            if seen < len(data):
                self.got += data[seen:]
                self.wanted += len(data) - seen
            self.send_segment(ACK)
        return None

    def work(self, wait=0.01):
        for frame in self.wire.frames(wait):
            self.take(frame)
        if time.monotonic() - self.sent_at < self.AGAIN:
            return
        self.sent_at = time.monotonic()
        if not self.is_open:
            self.send_segment(SYN)
        elif self.unheard:
            self.send_segment(ACK | PSH, self.unheard)

    def connect(self, is_well):
        deadline = time.monotonic() + TIMEOUT
        while not self.is_open:
            expect(time.monotonic() < deadline and is_well(), "nobody answers at the guest's port")
            self.work()

    def ask(self, line):
        """The guest's answer."""
        self.unheard += line
        self.send_segment(ACK | PSH, self.unheard)
        self.sent_at = time.monotonic()
        deadline = time.monotonic() + TIMEOUT
        while b"\n" not in self.got:
            expect(time.monotonic() < deadline, f"no answer to {line}")
            self.work()
        answer, self.got = self.got.split(b"\n", 1)
        return answer


class Rows:
    """Entries that a shell keeps in a file."""

    script = SERVER

    def line(self, row):
        return row + b"\n"

    def answer(self, number, row):
        return b"%d %s " % (number, row)

    def check(self, connection, rows):
        pass

    def add_to(self, stage, initrd):
        pass


class Database(Rows):
    """Entries that sqlite3 keeps."""

    script = SERVER.replace("sh /tmp/serve </tmp/in", "(cat /tmp/begin /tmp/in) | sqlite3 /tmp/rows.db").replace(
        "mkfifo", "echo 'create table rows(number integer primary key autoincrement, text unique);' >/tmp/begin\nmkfifo")

    def line(self, row):
        return (b"insert into rows(text) values('%s'); select count(*), max(number), (select text from rows order by "
                b"number desc limit 1) from rows;\n" % row)

    def answer(self, number, row):
        return b"%d|%d|%s" % (number, number, row)

    def check(self, connection, rows):
        expect(connection.ask(b"pragma integrity_check;\n") == b"ok", "the database is damaged")
        all_of_them = connection.ask(b"select group_concat(text, ' ') from (select text from rows order by number);\n")
        expect(all_of_them.split() == rows, f"{len(rows)} rows were acknowledged, and there are {all_of_them}")

    def is_there(self):
        """Whether its packages are; says so if they are not."""
        if (guests_folder() / "tree/sqlite3").is_dir():
            return True
        print("  skipped: tests/setup/fetch_database.sh fetches what it needs")
        return False

    def add_to(self, stage, initrd):
        trees, files = guests_folder() / "tree", [""]
        for tree, name in (("libc6", "ld-linux.so.2"), ("libc6", "libc.so.6"), ("libc6", "libm.so.6"),
                           ("libsqlite3-0", "libsqlite3.so.0"), ("libreadline8", "libreadline.so.8"),
                           ("libtinfo6", "libtinfo.so.6"), ("zlib1g", "libz.so.1")):
            found = next((trees / tree).rglob(f"i386-linux-gnu/{name}")).resolve()
            files.append(f"file lib/{name} 755 {found}")
        files[0] = f"file bin/sqlite3 755 {trees / 'sqlite3/usr/bin/sqlite3'}"
        added = stage.path / "database.gz"
        subprocess.run([sys.executable, str(HERE.parent / "setup/newc.py"), str(added)], check=True,
                       input=("dir lib 755\n" + "\n".join(files) + "\n").encode())
        with open(initrd, "ab") as whole:
            whole.write(added.read_bytes())


def serve(pair, wire, rng, kind, asked=60):
    connection, rows = Connection(wire), []
    connection.connect(lambda: pair.primary.process.poll() is None)
    kill_at, before, longest = rng.randrange(5, asked - 20), 0.0, 0.0
    killer = threading.Timer(0.02 * rng.random(), pair.primary.process.kill)
    for number in range(1, asked + 1):
        rows.append(b"row%d" % rng.randrange(10**9))
        if number == kill_at:
            before, longest = longest, 0.0
            killer.start()
        begin = time.monotonic()
        answer = connection.ask(kind.line(rows[-1]))
        longest = max(longest, time.monotonic() - begin)
        expect(answer.startswith(kind.answer(number, rows[-1])), f"row {number}, {rows[-1]}, was answered {answer}")
    killer.join()
    expect("this machine goes on" in pair.backup.errors(), "nobody has taken over")
    kind.check(connection, rows)
    print(f"  killed at row {kill_at}: no answer took longer than {before * 1000:.0f} ms before, {longest * 1000:.0f} ms then")


def served(program, seed, make_pair, kind):
    """A client's rows are in the guest once each, whichever machine the guest is on."""
    rng = random.Random(seed)
    if isinstance(kind, Database) and not kind.is_there():
        return
    with Stage(program) as stage:
        stage.path.chmod(0o777)
        path = stage.path / "wire"
        words = words_for(stage, kind.script, f"stream,unix={path},mac=52:54:00:00:00:01", DRIVERS["virtio"])
        kind.add_to(stage, words[words.index("--initrd") + 1])
        with Wire(path) as wire, make_pair(stage, words, serial=False) as pair:
            try:
                serve(pair, wire, rng, kind)
            except Failure as problem:
                raise Failure(f"seed {seed}: {problem}: {pair.said()} {pair.primary.text()[-500:]}") from None
            pair.backup.process.send_signal(signal.SIGTERM)
            code = pair.backup.finish()
            expect(code == EXIT_QUIT, f"{code}: {pair.said()}")
