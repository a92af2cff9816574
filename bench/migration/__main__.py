"""A machine that moves to another process on this host: how long that takes, and how long its guest stands.

A Debian kernel with a shell, in machines of several sizes, moves over a UNIX socket: idle, with RAM that has been filled
once, and while a program writes into a part of it all the time. As query-migrate says it: bytes on the wire, rounds, the
rate at which RAM became dirty in the last round but one.
usage: python3 bench/migration [--ringshift PROGRAM] [--sizes 64,128,256,512,1024] [--rounds N]
"""

import argparse
import json
import pathlib
import re
import socket
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/study"), str(ROOT / "tests/guests")]
import console  # noqa: E402
from harness import guest_file  # noqa: E402

READY = "ringshift-guest: ready"
TIMEOUT = 300
MOVED = re.compile(r"has moved to \S+ \((\d+) ms, of which the guest stood (\d+)\)")
# The guest's work during the migration, and the line by which it says that it has begun.
GUESTS = {
    "idle": "echo go''es",
    "filled": "dd if=/dev/urandom of=/tmp/f bs=1M count={quarter} 2>/dev/null; echo go''es",
    "writing": "(while :; do dd if=/dev/zero of=/tmp/f bs=64k count=256 conv=notrunc 2>/dev/null; done) & echo go''es",
}


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command, **arguments):
        """None: the machine has ended."""
        try:
            self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            self.file.flush()
            for line in self.file:
                message = json.loads(line)
                if "return" in message or "error" in message:
                    return message.get("return", message)
        except OSError:
            pass
        return None


def move(ringshift, folder, megabytes, guest):
    where, qmp_path, log = folder / "move", folder / "qmp", folder / "errors"
    words = [ringshift, "run", "--kernel", guest_file("linux-686/vmlinuz"), "--initrd", guest_file("initramfs.cpio.gz"),
             "--append", "console=ttyS0 quiet", "--memory", f"{megabytes}M"]
    quoted = " ".join(f"'{word}'" for word in words)
    source = ["sh", "-c", f"exec {quoted} --migrate-to unix:{where} --qmp unix:{qmp_path} 2>'{log}'"]
    target = [*words, "--incoming", f"unix:{where}"]
    last = {}
    with console.Session(source, folder, TIMEOUT) as here:
        here.wait_for(READY)
        here.type(GUESTS[guest].format(quarter=megabytes // 4) + "\n")
        here.wait_for("goes")
        time.sleep(0.5)
        with console.Session([str(word) for word in target], folder, TIMEOUT) as there:
            while not where.exists():
                time.sleep(0.01)
            qmp = Qmp(qmp_path)
            answer = qmp.ask("migrate", uri=f"unix:{where}")
            if answer != {}:
                raise console.Trouble(f"refused: {answer}")
            while (now := qmp.ask("query-migrate")) is not None:
                last = now
                time.sleep(0.005)
            here.process.wait()
            found = MOVED.search(log.read_text())
            if not found:
                raise console.Trouble(f"not moved: {log.read_text()!r}")
            there.type("echo a''live\n")
            there.wait_for("alive")
    ram = last.get("ram", {})
    return (int(found[1]), int(found[2]), ram.get("transferred", 0) / 2**20, ram.get("dirty-sync-count", 0),
            ram.get("dirty-pages-rate", 0) * 4096 / 2**20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--sizes", default="64,128,256,512,1024", help="MiB of RAM")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with console.bench_folder("migration") as folder:
        print(f"{'MiB':>5}{'guest':>9}{'in all':>10}{'stood':>9}{'sent MiB':>10}{'rounds':>8}{'dirty MiB/s':>13}")
        for megabytes in (int(size) for size in chosen.sizes.split(",")):
            for guest in GUESTS:
                rounds = [move(chosen.ringshift, folder, megabytes, guest) for _ in range(chosen.rounds)]
                total, stood, sent, looks, dirty = (statistics.median(column) for column in zip(*rounds))
                print(f"{megabytes:5}{guest:>9}{total:7.0f} ms{stood:6.0f} ms{sent:10.1f}{looks:8.0f}{dirty:13.0f}",
                      flush=True)


if __name__ == "__main__":
    main()
