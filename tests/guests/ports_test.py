#!/usr/bin/env python3
"""Serial ports, debug console and virtio console at sockets and pseudo-terminals: both directions, one
peer after another, Telnet, a guest that resets, peers that flood, do not read or are not there.
"""

import os
import pathlib
import re
import select
import socket
import subprocess
import sys
import time

from disk_test import initrd_with
from harness import (EXIT_QUIT, EXIT_USAGE, HERE, Run, Stage, expect, guest_file, parser, run_cases)

TIMEOUT = 120
EXIT_DONE = 1  # the guest's `finish 0`
# Both serial ports give back what they are sent, in capital letters; the first one's 'r' resets the
# machine, 'p' prints without end, 'q' ends it.
ECHO_GUEST = """%include "guest.inc"

COM1 equ 0x3f8
COM2 equ 0x2f8

main:
  mov dx, COM1
  mov ecx, ready
  call tell
  mov dx, COM2
  mov ecx, ready
  call tell
.look:
  mov dx, COM1
  call echo
  mov dx, COM2
  call echo
  jmp .look

; The port at dx.
echo:
  add dx, 5
  in al, dx
  sub dx, 5
  test al, 1
  jz .done
  in al, dx
  cmp dx, COM1
  jne .say
  cmp al, 'q'
  je .end
  cmp al, 'r'
  je .reset
  cmp al, 'p'
  je .print
.say:
  cmp al, 'a'
  jb .out
  cmp al, 'z'
  ja .out
  sub al, 'a' - 'A'
.out:
  out dx, al
.done:
  ret
.end:
  finish 0
.reset:
  mov al, 0xfe
  out 0x64, al
  hlt
.print:
  mov al, 'x'
  out dx, al
  jmp .print

tell:
  mov al, [ecx]
  test al, al
  jz .done
  out dx, al
  inc ecx
  jmp tell
.done:
  ret

ready: db "ready", 10, 0
"""
READY = b"ready\n"
IAC, DONT, DO, WONT, WILL, ECHO, SGA, BINARY = 255, 254, 253, 252, 251, 1, 3, 0


class Peer:
    """The other end of a port: a socket or an open pseudo-terminal."""

    def __init__(self, descriptor, owner=None):
        self.descriptor = descriptor
        self.owner = owner
        self.heard = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.owner is not None:
            self.owner.close()
        else:
            os.close(self.descriptor)

    def say(self, data):
        os.write(self.descriptor, data)

    def hear(self, wanted, start=0):
        deadline = time.monotonic() + TIMEOUT
        while wanted not in self.heard[start:]:
            left = deadline - time.monotonic()
            expect(left > 0 and select.select([self.descriptor], [], [], left)[0],
                   f"no {wanted!r} after {self.heard[-500:]!r}")
            data = os.read(self.descriptor, 65536)
            expect(data, f"closed without {wanted!r}: {self.heard[-500:]!r}")
            self.heard += data
        return self.heard.index(wanted, start) + len(wanted)


def connect(run, where):
    """`where`: a path, or a port of 127.0.0.1."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        peer = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        try:
            peer.connect(where if isinstance(where, str) else ("127.0.0.1", where))
            return Peer(peer.fileno(), peer)
        except (ConnectionRefusedError, FileNotFoundError):
            peer.close()
            expect(run.process.poll() is None, f"ended: {run.errors()!r}")
            expect(time.monotonic() < deadline, "nobody listens")
            time.sleep(0.01)


def said(run, pattern):
    """Waits until standard error matches the pattern; returns its first group."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := re.search(pattern, run.errors())):
        expect(run.process.poll() is None, f"ended: {run.errors()!r}")
        expect(time.monotonic() < deadline, f"it says {run.errors()!r}")
        time.sleep(0.01)
    return found.group(1)


def echo_kernel(stage):
    image = stage.path / "port_echo"
    stage.path.chmod(0o777)  # sockets are made there
    subprocess.run(["nasm", "-f", "bin", "-I", f"{HERE}/asm/", "-o", image,
                    stage.write("port_echo.asm", ECHO_GUEST.encode())], check=True)
    image.chmod(0o644)
    return ["run", "--kernel", str(image), "--memory", "16M"]


def one_peer_after_another(ringshift):
    with Stage(ringshift) as stage:
        where = str(stage.path / "port")
        words = [*echo_kernel(stage), "--serial", f"unix:{where},wait=on"]
        with Run(stage, words, TIMEOUT) as run:
            said(run, r"(--serial: the machine waits for a peer at \S+/port)")
            with connect(run, where) as peer:
                peer.hear(READY)
                peer.say(b"abc")
                peer.hear(b"ABC")
            with connect(run, where) as peer:
                peer.say(b"dance\n")
                peer.hear(b"DANCE\n")
                peer.say(b"rest")  # it resets, and is the same machine to its peer
                peer.hear(READY, peer.hear(b"DANCE\n"))
                peer.say(b"again")
                peer.hear(b"AGAIN")
                peer.say(b"q")
                expect(run.finish() == EXIT_DONE, f"exit code: {run.errors()!r}")
        expect(not os.path.exists(where), "the socket's name is left")


def telnet(ringshift):
    with Stage(ringshift) as stage:
        words = [*echo_kernel(stage), "-serial", "telnet:127.0.0.1:0,server"]
        with Run(stage, words, TIMEOUT) as run:
            port = int(said(run, r"--serial: the machine waits for a peer at 127\.0\.0\.1:(\d+)"))
            with connect(run, port) as peer:
                end = peer.hear(READY)
                told = peer.heard[:end]
                for option in (ECHO, SGA, BINARY):
                    expect(bytes([IAC, WILL, option]) in told, f"it does not offer {option}: {told!r}")
                # The protocol's own bytes are answered, and the guest does not get them.
                peer.say(bytes([IAC, WILL, 31, IAC, DO, 24]) + b"a\r\0b" + bytes([IAC, IAC]) + b"c")
                peer.hear(b"A\rB" + bytes([IAC, IAC]) + b"C")
                expect(bytes([IAC, DONT, 31]) in peer.heard and bytes([IAC, WONT, 24]) in peer.heard,
                       f"what it cannot is not refused: {peer.heard!r}")
                # Words without end are passed over.
                peer.say(bytes([IAC, 250, 31]) + b"n" * 100_000 + bytes([IAC, 240]) + b"done")
                peer.hear(b"DONE")
                peer.say(b"q")
                expect(run.finish() == EXIT_DONE, f"exit code: {run.errors()!r}")


def pseudo_terminals(ringshift):
    with Stage(ringshift) as stage:
        words = [*echo_kernel(stage), "--serial", "pty", "--serial2", "pty"]
        with Run(stage, words, TIMEOUT) as run:
            paths = [said(run, rf"--{name}: char device redirected to (/dev/pts/\d+) \(label serial{i}\)")
                     for i, name in enumerate(("serial", "serial2"))]
            for _ in range(2):
                first, second = (Peer(os.open(path, os.O_RDWR | os.O_NOCTTY)) for path in paths)
                with first, second:
                    first.say(b"one")
                    first.hear(b"ONE")
                    second.say(b"two")
                    second.hear(b"TWO")
            with open(paths[0], "wb", buffering=0) as last:  # who closes has still been heard
                last.write(b"q")
            expect(run.finish() == EXIT_DONE, f"exit code: {run.errors()!r}")


def connected_to(ringshift):
    """server=off: the machine comes to us."""
    with Stage(ringshift) as stage, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        words = [*echo_kernel(stage), "-serial", f"tcp:127.0.0.1:{port}", "--debugcon", "none"]
        with Run(stage, words, TIMEOUT) as run:
            accepted, _ = listener.accept()
            with Peer(accepted.fileno(), accepted) as peer:
                peer.hear(READY)
                peer.say(b"q")
                expect(run.finish() == EXIT_DONE, f"exit code: {run.errors()!r}")


def found_again(ringshift):
    """reconnect=: nobody is there at first, and a peer that leaves is looked for."""
    with Stage(ringshift) as stage, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        words = [*echo_kernel(stage), "-serial", f"tcp:127.0.0.1:{port},reconnect-ms=50", "--debugcon", "none"]
        with Run(stage, words, TIMEOUT) as run:
            time.sleep(0.3)
            listener.listen(1)
            for say in (b"once", b"twice"):
                accepted, _ = listener.accept()
                with Peer(accepted.fileno(), accepted) as peer:
                    peer.say(say)
                    peer.hear(say.upper())
            accepted, _ = listener.accept()
            run.assert_unprivileged()
            with Peer(accepted.fileno(), accepted) as peer:
                peer.say(b"q")
                expect(run.finish() == EXIT_DONE, f"exit code: {run.errors()!r}")


def fifos_and_datagrams(ringshift):
    with Stage(ringshift) as stage, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.bind(("127.0.0.1", 0))
        ours.settimeout(TIMEOUT)
        fifo = stage.path / "fifo"
        for name in (f"{fifo}.in", f"{fifo}.out"):
            os.mkfifo(name)
            os.chmod(name, 0o666)
        words = [*echo_kernel(stage), "-serial", f"pipe:{fifo}", "-serial", f"udp:127.0.0.1:{ours.getsockname()[1]}",
                 "--debugcon", "none"]
        with Run(stage, words, TIMEOUT) as run:
            with Peer(os.open(f"{fifo}.out", os.O_RDONLY | os.O_NONBLOCK)) as peer:
                peer.hear(READY)
                first, machine = ours.recvfrom(4096)
                expect(first, "no datagram has come")
                ours.sendto(b"by datagram", machine)
                text = b""
                while b"BY DATAGRAM" not in text:
                    text += ours.recv(4096)
                for say in (b"one", b"two"):
                    with open(f"{fifo}.in", "wb", buffering=0) as said_by_us:
                        said_by_us.write(say)
                    peer.hear(say.upper())
                with open(f"{fifo}.in", "wb", buffering=0) as last:
                    last.write(b"q")
                expect(run.finish() == EXIT_DONE, f"exit code: {run.errors()!r}")


def answered(run):
    began = time.monotonic()
    run.terminate()
    expect(run.finish() == EXIT_QUIT, f"exit code after SIGTERM: {run.errors()!r}")
    return time.monotonic() - began


def bad_peers(ringshift):
    """Peers that flood, do not read, or leave in the middle: the machine can be ended whatever they do."""
    with Stage(ringshift) as stage:
        where = str(stage.path / "port")
        words = [*echo_kernel(stage), "--serial", f"unix:{where},wait=on"]
        for say in (b"p", b"e" * 200_000):
            with Run(stage, words, TIMEOUT) as run, connect(run, where) as peer:
                peer.hear(READY)
                peer.owner.setblocking(False)
                try:
                    while say:
                        say = say[peer.owner.send(say):]
                except BlockingIOError:
                    pass
                time.sleep(1)
                answered(run)
        with Run(stage, words, TIMEOUT) as run:
            for _ in range(200):
                with connect(run, where) as peer:
                    peer.say(b"e" * 3000)
            resident = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{run.process.pid}/status").read_text()).group(1))
            expect(resident < 300_000, f"{resident} KiB after visits that nobody reads")
            with connect(run, where) as peer:
                peer.say(b"q")
                answered(run) if run.process.poll() is None else None


def refuse(stage, words, wanted):
    with Run(stage, words, TIMEOUT) as run:
        expect(run.finish() == EXIT_USAGE, f"exit code of {words[-1]}: {run.errors()!r}")
        errors = run.errors()
        expect(wanted in errors and errors.count("\n") == 1, f"it says {errors!r}")


def what_cannot_be(ringshift):
    with Stage(ringshift) as stage, socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen(1)
        port = busy.getsockname()[1]
        kernel = echo_kernel(stage)
        refuse(stage, [*kernel, "--serial", f"tcp:127.0.0.1:{port}"],
               f"--serial: cannot listen at 127.0.0.1:{port}: Address already in use")
        refuse(stage, [*kernel, "--serial2", f"unix:{stage.path}/nobody,server=off"],
               "--serial2: cannot connect to")
        refuse(stage, [*kernel, "--debugcon", "unix:/nowhere/port"], "--debugcon: cannot listen at /nowhere/port")
        refuse(stage, [*kernel, "--serial", "tcp:some.host:1"], "is none of console, none")
        refuse(stage, [*kernel, "--serial", "tcp::1,color=on"], "is none of console, none")
        refuse(stage, [*kernel, "--serial", "tcp::1,reconnect=5"], "is none of console, none")
        refuse(stage, [*kernel, "--serial", "tcp::1,server=off,reconnect=x"], "is none of console, none")
        refuse(stage, [*kernel, "--serial", f"pipe:{stage.path}/none"],
               f"--serial: cannot open the FIFOs .in and .out of {stage.path}/none: No such file")
        refuse(stage, [*kernel, "-serial", "tcp::1,server=on,websocket=on"], "a port does not speak the WebSocket")
        refuse(stage, [*kernel, "--serial2", "console"], "--serial2: 'console' is none of none, file=PATH")
        refuse(stage, [*kernel, "--serial", "tcp::1", "--record", "tape"], "--record cannot be used with")


SCRIPT = """#!/bin/sh
for module in @MODULES@; do insmod /modules/$module.ko; done
exec 3<>/dev/hvc0 4<>/dev/ttyS1  # what is typed while nobody has a terminal open is lost
echo "ports: begin"
echo "printed on hvc0" >&3
read line <&3 && echo "read from hvc0: $line" >&4
read line <&4 && echo "read from ttyS1: $line"
"""
DRIVERS = ("virtio_pci", "virtio_console")


def linux_ports(ringshift):
    """Debian's own drivers: the console on a file, the second port and hvc0 at sockets."""
    with Stage(ringshift) as stage:
        stage.path.chmod(0o777)
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        ramdisk = initrd_with(stage, DRIVERS, SCRIPT)
        second, virtio = str(stage.path / "second"), str(stage.path / "virtio")
        words = ["run", "--kernel", kernel, "--initrd", ramdisk, "--append",
                 "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
                 "--serial2", f"unix:{second}", "--virtio-console", f"unix:{virtio}"]
        with Run(stage, words, TIMEOUT) as run, connect(run, second) as port, connect(run, virtio) as console:
            run.wait_for("ports: begin")
            console.hear(b"printed on hvc0")
            console.say(b"for the console\n")
            port.hear(b"read from hvc0: for the console")
            port.say(b"for the port\n")
            run.wait_for("read from ttyS1: for the port")
            run.terminate()
            run.finish()


def main():
    ringshift = parser(__doc__).parse_args().ringshift
    cases = (one_peer_after_another, telnet, pseudo_terminals, connected_to, found_again, fifos_and_datagrams,
             bad_peers, what_cannot_be, linux_ports)
    sys.exit(run_cases([(case.__name__, lambda case=case: case(ringshift)) for case in cases]))


if __name__ == "__main__":
    main()
