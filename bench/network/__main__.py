"""Network throughput in the guest, Ringshift's against QEMU's emulator, with one kernel, the same card and
the same user network: a TCP connection to a server on the host's loopback, each way, and round trips.

usage: python3 bench/network [--ringshift PROGRAM] [--rounds N] [--cards CARD,...]; the two run in turn,
medians are printed.
"""

import argparse
import pathlib
import re
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/guests"), str(ROOT / "tests/setup")]
import disk_test  # noqa: E402
from harness import guest_file  # noqa: E402
from network_test import DRIVERS  # noqa: E402

# Bytes each way, and round trips: some seconds of the slower one.
AMOUNTS = {"virtio": (256 << 20, 5000), "e1000": (64 << 20, 5000), "ne2k_pci": (16 << 20, 2000)}
QEMU_NAMES = {"virtio": "virtio-net-pci"}
SCRIPT = """
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
for i in 1 2 3 4 5 6 7 8 9 10; do ping -c 1 -w 1 10.0.2.2 >/dev/null && break; done
/modules/net 10.0.2.2 @PORT@ @BYTES@ @TRIPS@
"""
APPEND = "console=ttyS0 quiet ringshift.script=self-test"
LINE = re.compile(r"network-bench (\S+) ([0-9.]+) (MB/s|/s)")
BLOCK = bytes(1 << 18)


class Peer:
    """Does what the guest's program asks for (net.c)."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection):
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            what, amount = struct.unpack("<c3xI8x", connection.recv(16, socket.MSG_WAITALL))
            try:
                if what == b"r":
                    while amount > 0:
                        amount -= connection.send(BLOCK[:min(amount, len(BLOCK))])
                elif what == b"s":
                    while amount > 0:
                        amount -= len(connection.recv(min(amount, len(BLOCK))))
                    connection.sendall(b".")
                else:
                    while message := connection.recv(64, socket.MSG_WAITALL):
                        connection.sendall(message)
            except OSError:
                pass  # the guest has gone


def prepare(folder, card, port):
    """Kernel, and the initial RAM disk with drivers and program."""
    program = folder / "net"
    subprocess.run(["gcc", "-m32", "-O2", "-static", "-o", program,
                    pathlib.Path(__file__).with_name("net.c")], check=True)
    files = disk_test.module_files()
    order = disk_test.load_order(files, DRIVERS[card])
    amount, trips = AMOUNTS[card]
    script = folder / "script"
    script.write_text(SCRIPT.replace("@MODULES@", " ".join(order)).replace("@PORT@", str(port))
                      .replace("@BYTES@", str(amount)).replace("@TRIPS@", str(trips)))
    entries = (f"dir modules 755\nfile etc/self-test.sh 755 {script}\n"
               f"file modules/net 755 {program}\n")
    entries += "".join(f"file modules/{name}.ko 644 {files[name]}\n" for name in order)
    added = folder / "added.gz"
    subprocess.run([sys.executable, ROOT / "tests/setup/newc.py", added], input=entries.encode(),
                   check=True)
    initrd = folder / "initrd"
    initrd.write_bytes(guest_file("initramfs.cpio.gz").read_bytes() + added.read_bytes())
    return guest_file("linux-686/vmlinuz"), initrd


def commands(ringshift, kernel, initrd, card):
    guest = ["-kernel", kernel, "-initrd", initrd, "-append", APPEND, "-m", "256", "-no-reboot",
             "-netdev", "user,id=n0", "-device", f"{QEMU_NAMES.get(card, card)},netdev=n0"]
    return {"ringshift": [ringshift, *guest],
            "tcg": ["qemu-system-i386", "-accel", "tcg", "-cpu", "max", *guest, "-nographic",
                    "-monitor", "none", "-serial", "stdio"]}


def measure(chosen, card, folder):
    figures = {}
    what = commands(chosen.ringshift, *prepare(folder, card, Peer().port), card)
    for _ in range(chosen.rounds):
        for who, command in what.items():
            text = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  timeout=600).stdout.decode(errors="replace")
            if "network-bench done" not in text:
                sys.exit(f"{who}, {card}: no result: {text[-1000:]}")
            for test, rate, unit in LINE.findall(text):
                figures.setdefault((test, unit), {}).setdefault(who, []).append(float(rate))
    for (test, unit), rates in figures.items():
        ours, theirs = (statistics.median(rates[who]) for who in ("ringshift", "tcg"))
        print(f"{card + ' ' + test + ', ' + unit:28}{ours:12.1f}{theirs:12.1f}{ours / theirs:8.2f}",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cards", default=",".join(AMOUNTS))
    chosen = parser.parse_args()
    print(f"{'':28}{'ringshift':>12}{'tcg':>12}{'ratio':>8}")
    for card in chosen.cards.split(","):
        with tempfile.TemporaryDirectory() as name:
            measure(chosen, card, pathlib.Path(name))


if __name__ == "__main__":
    main()
