"""A VNC client of the tests' own (RFC 6143): it asks for raw pixels, types and points."""

import contextlib
import pathlib
import random
import socket
import struct
import subprocess
import time

from harness import Failure, expect

RAW, HEXTILE, ZLIB, TIGHT = 0, 5, 6, 7
DESKTOP_SIZE = -223
ROM = pathlib.Path("/usr/share/seabios/vgabios-stdvga.bin")


def free_display():
    """N of a port 5900 + N that can be listened at: nobody does, nor has a moment ago."""
    for number in random.sample(range(100, 1000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 5900 + number))
            return number
    raise Failure("no port is free")


def font():
    """The 256 characters of 16 lines in the video BIOS, found by what they look like."""
    rom, lines = ROM.read_bytes(), 16
    block = rom.find(b"\xff" * lines)  # character 219, if the blank ones are where they should be
    while block >= 0:
        at = block - 219 * lines
        glyphs = [rom[at + i * lines:at + (i + 1) * lines] for i in range(256)] if at >= 0 else [b""]
        if all(glyphs[i % len(glyphs)] == bytes(lines) for i in (0, 32, 255)):
            return glyphs
        block = rom.find(b"\xff" * lines, block + 1)
    raise Failure("no font in the video BIOS")


def des_answer(challenge, password):
    """By openssl: the password's bits the other way round are the key."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode()[:8].ljust(8, b"\0"))
    return subprocess.run(["openssl", "enc", "-des-ecb", "-provider", "legacy", "-provider", "default",
                           "-nopad", "-K", key.hex()], input=challenge, capture_output=True,
                          check=True).stdout


class Client:
    """Connected and through the handshake; `where` is N, or the path of a socket."""

    def __init__(self, where, password=None, encodings=(RAW, DESKTOP_SIZE), timeout=30):
        if isinstance(where, int):
            self.socket = socket.create_connection(("127.0.0.1", 5900 + where), timeout=timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(where))
        expect(self.take(12) == b"RFB 003.008\n", "no greeting of RFB 3.8")
        self.socket.sendall(b"RFB 003.008\n")
        types = self.take(self.take(1)[0])
        expect(types == (b"\1" if password is None else b"\2"), f"security types {types}")
        self.socket.sendall(types)
        if password is not None:
            self.socket.sendall(des_answer(self.take(16), password))
        if self.take(4) != bytes(4):
            raise Failure(self.take(struct.unpack(">I", self.take(4))[0]).decode())
        self.socket.sendall(b"\1")
        self.width, self.height = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.name = self.take(struct.unpack(">I", self.take(4))[0]).decode()
        self.pixels = bytearray(self.width * self.height * 4)
        self.socket.sendall(struct.pack(">BBH", 2, 0, len(encodings)) +
                            b"".join(struct.pack(">i", each) for each in encodings))
        self.updates = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            expect(piece, "the server has closed the connection")
            data += piece
        return data

    def ask(self, incremental=True):
        self.socket.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def update(self):
        """Reads one update of raw rectangles."""
        kind, _, count = struct.unpack(">BBH", self.take(4))
        expect(kind == 0, f"message {kind} in place of an update")
        self.updates += 1
        for _ in range(count):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self.take(12))
            if encoding == DESKTOP_SIZE:
                self.width, self.height = width, height
                self.pixels = bytearray(width * height * 4)
                continue
            expect(encoding == RAW, f"encoding {encoding} was not asked for")
            data = self.take(width * height * 4)
            for line in range(height):
                at = ((y + line) * self.width + x) * 4
                self.pixels[at:at + width * 4] = data[line * width * 4:(line + 1) * width * 4]

    def pixel(self, x, y):
        at = (y * self.width + x) * 4
        return tuple(self.pixels[at:at + 3][::-1])

    def text(self, glyphs, columns, rows=1):
        """Returns the text in the first cells, as the font says."""
        known = {glyph: i for i, glyph in reversed(list(enumerate(glyphs)))} | {bytes(16): ord(" ")}
        lines = []
        for row in range(rows):
            line = b""
            for column in range(columns):
                paper = self.pixel(column * 8, row * 16)
                cell = bytes(sum((self.pixel(column * 8 + x, row * 16 + y) != paper) << (7 - x)
                                 for x in range(8)) for y in range(16))
                line += bytes([known.get(cell, 0)])
            lines.append(line.decode("latin-1").replace("\0", "?"))
        return "\n".join(lines)

    def wait_for(self, is_there, what, timeout=30):
        end = time.monotonic() + timeout
        self.ask(incremental=False)
        while True:
            self.socket.settimeout(max(0.1, end - time.monotonic()))
            try:
                self.update()
            except TimeoutError:
                raise Failure(f"the screen does not show {what}") from None
            if is_there():
                return
            expect(time.monotonic() < end, f"the screen does not show {what}")
            self.ask()

    def key(self, symbol, down):
        self.socket.sendall(struct.pack(">BBHI", 4, down, 0, symbol))

    def type(self, text):
        for character in text:
            self.key(ord(character), 1)
            self.key(ord(character), 0)

    def press(self, symbol):
        self.key(symbol, 1)
        self.key(symbol, 0)

    def point(self, x, y, buttons=0):
        self.socket.sendall(struct.pack(">BBHH", 5, buttons, x, y))
