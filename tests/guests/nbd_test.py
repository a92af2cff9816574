#!/usr/bin/env python3
"""Disks behind NBD servers: qcow2 by qemu-nbd, servers that fail, vanish, fall silent or talk nonsense.

Debian's IDE drivers read and write; what they wrote is looked up in the image by another program.
usage: nbd_test.py --ringshift PROGRAM [CASE...]
"""

import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

from disk_test import SCRATCH_BYTES, check, initrd, module_files
from harness import (EXIT_POWER_OFF, EXIT_USAGE, SKIPPED, Run, Stage, expect, guest_file, parser,
                     run_cases)

HERE = pathlib.Path(__file__).resolve().parent
NBD_MAGIC, OPTION_MAGIC, REPLY_MAGIC = 0x4e42444d41474943, 0x49484156454f5054, 0x3e889045565a9
SIMPLE_REPLY, REQUEST = 0x67446698, 0x25609513
READ, WRITE, DISCONNECT, FLUSH = range(4)


def wait_for_socket(path):
    for _ in range(100):
        if path.exists():
            path.chmod(0o666)
            return
        time.sleep(0.05)
    expect(False, f"no server at {path}")


def options(stage, uri, text="ringshift.script=self-test"):
    kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
    return ["run", "--kernel", kernel, "--initrd", initrd(stage, 0), "--memory", "192M",
            "--append", f"console=ttyS0 quiet {text}", "--no-reboot", "--hda", uri]


def qcow2(ringshift):
    cdrom = guest_file("media/grub-rescue-cdrom.iso")
    with Stage(ringshift) as stage:
        before = random.Random(2).randbytes(SCRATCH_BYTES)
        raw, image = stage.path / "raw", stage.path / "disk.qcow2"
        raw.write_bytes(before)
        subprocess.run(["qemu-img", "convert", "-q", "-O", "qcow2", raw, image], check=True)
        where = stage.path / "socket"
        stage.path.chmod(0o777)
        server = subprocess.Popen(["qemu-nbd", "--socket", where, "--format", "qcow2", image])
        try:
            wait_for_socket(where)
            words = options(stage, f"nbd+unix:///?socket={where}")
            with Run(stage, [*words, "--cdrom", stage.add(cdrom, "cdrom")], timeout=300) as run:
                code = run.finish()
                expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
                server.wait(30)
                subprocess.run(["qemu-img", "convert", "-q", "-O", "raw", image, raw], check=True)
                check(run.text(), raw, before, cdrom.read_bytes())
        finally:
            server.kill()
            server.wait()


class Server(threading.Thread):
    """A server of zeros on a UNIX socket that misbehaves as told, after so many requests."""

    def __init__(self, path, fault, after=0, garbage=b""):
        super().__init__(daemon=True)
        self.fault, self.after, self.garbage = fault, after, garbage
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        path.chmod(0o666)
        self.listener.listen(1)
        self.flushed = self.failed = 0
        self.start()

    def receive(self, count):
        data = b""
        while len(data) < count:
            more = self.client.recv(count - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def negotiate(self):
        self.client.sendall(struct.pack(">QQH", NBD_MAGIC, OPTION_MAGIC, 3))
        self.receive(4)
        while True:
            _, option, length = struct.unpack(">QII", self.receive(16))
            self.receive(length)
            if option == 7:  # GO
                info = struct.pack(">HQH", 0, SCRATCH_BYTES, 1 | 4)  # has flags, flush
                self.client.sendall(struct.pack(">QIII", REPLY_MAGIC, option, 3, len(info)) + info)
                self.client.sendall(struct.pack(">QIII", REPLY_MAGIC, option, 1, 0))
                return
            self.client.sendall(struct.pack(">QIII", REPLY_MAGIC, option, 0x80000001, 0))

    def serve(self):
        count = 0
        while True:
            _, _, kind, handle, _, length = struct.unpack(">IHHQQI", self.receive(28))
            if kind == DISCONNECT:
                return
            if kind == WRITE:
                self.receive(length)
            count += 1
            failing = count > self.after
            if failing and self.fault == "vanish":
                return
            if failing and self.fault == "silence":
                time.sleep(3600)
            if failing and self.fault == "late":
                time.sleep(1)
            if failing and self.fault == "garbage":
                self.client.sendall(self.garbage)
                return
            error = 28 if failing and self.fault == "full" and kind == WRITE else 0  # ENOSPC
            self.failed += error != 0
            self.flushed += kind == FLUSH
            self.client.sendall(struct.pack(">IIQ", SIMPLE_REPLY, error, handle))
            if kind == READ and error == 0:
                self.client.sendall(bytes(length))

    def run(self):
        try:
            self.client, _ = self.listener.accept()
            if self.fault == "greeting":
                self.client.sendall(self.garbage)
                time.sleep(1)
                return
            self.negotiate()
            self.serve()
        except OSError:
            pass
        finally:
            self.client.close()


def with_server(ringshift, judge, **how):
    with Stage(ringshift) as stage:
        stage.path.chmod(0o777)
        where = stage.path / "socket"
        server = Server(where, **how)
        with Run(stage, options(stage, f"nbd+unix:///?socket={where}"), timeout=300) as run:
            code = run.finish()
            judge(run, code, server)


def guest_lives_on(run, code, message):
    """The guest hears of errors and powers off by itself; we say why once."""
    expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
    expect("I/O error" in run.text(), "the guest's kernel has seen no error")
    expect("disk-test: done" in run.text(), "the guest's script has not ended")
    expect(run.errors().count("the guest gets errors from here on") == (1 if message else 0),
           f"said: {run.errors()}")
    expect(message in run.errors(), f"said: {run.errors()}")


def vanished(ringshift):
    def judge(run, code, _):
        guest_lives_on(run, code, "nbd+unix://")
    with_server(ringshift, judge, fault="vanish", after=40)


def full(ringshift):
    def judge(run, code, server):
        guest_lives_on(run, code, "")
        expect(server.failed > 0 and server.flushed > 0, "nothing was refused, or flushed")
    with_server(ringshift, judge, fault="full", after=0)


def nonsense(ringshift):
    noise = random.Random(3)
    def judge(run, code, _):
        guest_lives_on(run, code, "nbd+unix://")
    for garbage in (noise.randbytes(4096), struct.pack(">IIQ", SIMPLE_REPLY, 0, 12345)):
        with_server(ringshift, judge, fault="garbage", after=20, garbage=garbage)


def greeting(ringshift):
    """An address without a server that can be used is one line and exit code 2."""
    noise = random.Random(4)
    cases = [noise.randbytes(count) for count in (1, 8, 18, 400)]
    cases.append(struct.pack(">QQH", NBD_MAGIC, OPTION_MAGIC, 0xffff) + noise.randbytes(64))
    cases.append(struct.pack(">QQQH", NBD_MAGIC, 0x420281861253, 0, 1) + bytes(126))

    def judge(run, code, _):
        expect(code == EXIT_USAGE, f"exit code {code}: {run.errors()}")
        lines = run.errors().strip().split("\n")
        expect(len(lines) == 1 and lines[0].startswith("ringshift: nbd"), f"said: {lines}")
    for garbage in cases:
        with_server(ringshift, judge, fault="greeting", garbage=garbage)


def beside(ringshift):
    """The guest runs on while its disk waits for the server: its timer ticks, and the drive is busy."""
    with Stage(ringshift) as stage:
        stage.path.chmod(0o777)
        where, kernel = stage.path / "socket", stage.path / "kernel"
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", kernel,
                        HERE / "answered/waits_for_disk.asm"], check=True)
        kernel.chmod(0o644)
        for engine in ("translate", "interpret"):
            server = Server(where, fault="late")
            words = ["run", "--kernel", kernel, "--memory", "32M", "--engine", engine, "--hda",
                     f"nbd+unix:///?socket={where}"]
            with Run(stage, words, timeout=120) as run:
                code = run.finish()
                expect(code == 1, f"exit code {code}: {run.errors()}")  # the guest's 0
                said = run.text().split()
            expect(said[:2] == ["busy", "done"] and int(said[2], 16) >= 200, f"the guest said {said}")
            server.join(30)
            where.unlink()


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE")
    chosen = arguments.parse_args()
    if not shutil.which("qemu-nbd") or not module_files():
        print("skipped: no qemu-nbd or no modules in the cache")
        return SKIPPED
    cases = [("qcow2", qcow2), ("vanished", vanished), ("full", full), ("nonsense", nonsense),
             ("greeting", greeting), ("beside", beside)]
    return run_cases([(name, lambda case=case: case(chosen.ringshift)) for name, case in cases
                      if not chosen.cases or name in chosen.cases])


if __name__ == "__main__":
    sys.exit(main())
