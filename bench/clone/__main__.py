"""A machine is saved, resumed, cloned and moved: how long each takes by the size of its RAM, and how long it stands.

A Debian kernel with a shell, with RAM that has been filled to a half. Saved: from SIGUSR2 to the end of the process. Resumed and
cloned: from the start of the new process to its first instruction (as it says itself: --stats) and to its answer to a line
typed at the shell. Measures clones: for how long the machine stood, and when its memory of that moment was ready, for
the first clone and for one right after it. bench/migration measures moves. usage: python3
bench/clone [--ringshift PROGRAM] [--sizes 64,128,256,512,1024,2048] [--rounds N]
"""

import argparse
import json
import pathlib
import signal
import socket
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/study"), str(ROOT / "tests/guests")]
import console  # noqa: E402
from harness import guest_file  # noqa: E402

READY = "ringshift-guest: ready"
TIMEOUT = 600


class Qmp:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rw")
        self.file.readline()
        self.ask("qmp_capabilities")

    def ask(self, command):
        self.file.write(json.dumps({"execute": command}) + "\n")
        self.file.flush()
        for line in self.file:
            message = json.loads(line)
            if "return" in message or "error" in message:
                return message.get("return", message)
        raise console.Trouble("the machine has gone")

    def clone(self):
        # The machine may still be giving up what it shares with the one before.
        while "being made" in str(answer := self.ask("x-ringshift-clone")):
            time.sleep(0.01)
        if answer != {}:
            raise console.Trouble(f"refused: {answer}")
        while (now := self.ask("x-ringshift-query-clone"))["status"] not in ("ready", "failed"):
            time.sleep(0.002)
        return now

    def close(self):
        self.file.close()
        self.socket.close()


def begin(words, folder, name):
    """Milliseconds to the first instruction, and to an answer."""
    report = folder / f"stats-{name}"
    command = [str(word) for word in (*words, "--stats=json", "--stats-file", report)]
    with console.Session(command, folder, TIMEOUT) as session:
        session.type("echo he''re\n")
        session.wait_for("here")
        answered = session.now().wall
        session.process.send_signal(signal.SIGUSR1)
        for _ in range(500):
            time.sleep(0.02)
            if report.is_file() and report.read_text().endswith("}\n"):
                break
        start = json.loads(report.read_text())["time.start_s"]
    return start * 1000, answered * 1000


def one(ringshift, folder, megabytes):
    qmp_path, saved = folder / "qmp", folder / "saved"
    words = [ringshift, "run", "--kernel", guest_file("linux-686-pae/vmlinuz"), "--initrd",
             guest_file("initramfs.cpio.gz"), "--append", "console=ttyS0 quiet", "--memory", f"{megabytes}M",
             "--qmp", f"unix:{qmp_path}", "--save", saved]
    with console.Session([str(word) for word in words], folder, TIMEOUT) as session:
        session.wait_for(READY)
        session.type(f"dd if=/dev/urandom of=/tmp/s bs=1M count=8 2>/dev/null; mount -o remount,size=90% /tmp 2>/dev/null; "
                     f"for i in `seq {megabytes // 16 - 2}`; do cat /tmp/s; done >/tmp/f; echo fil''led\n")
        session.wait_for("filled")
        qmp = Qmp(qmp_path)
        first = qmp.clone()
        time.sleep(0.5)
        second = qmp.clone()
        qmp.close()
        cloned = begin([ringshift, "resume", second["file"]], folder, "clone")
        began = time.monotonic()
        session.process.send_signal(signal.SIGUSR2)
        session.process.wait()
        save = (time.monotonic() - began) * 1000
    resumed = begin([ringshift, "resume", saved], folder, "resume")
    saved.unlink()
    for file in folder.glob("stats-*"):
        file.unlink()
    return (save, *resumed, first["pause-us"] / 1000, first["total-time"], first["copied-bytes"] / 2**20,
            second["pause-us"] / 1000, second["total-time"], second["copied-bytes"] / 2**20, *cloned)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--sizes", default="64,128,256,512,1024,2048", help="MiB of RAM")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    heads = ("saved", "resumed", "answers", "stood", "ready", "MiB", "next stood", "ready", "MiB", "begun", "answers")
    with console.bench_folder("clone") as folder:
        print(f"{'MiB':>5}" + "".join(f"{head:>12}" for head in heads))
        for megabytes in (int(size) for size in chosen.sizes.split(",")):
            rounds = [one(chosen.ringshift, folder, megabytes) for _ in range(chosen.rounds)]
            columns = [statistics.median(column) for column in zip(*rounds)]
            print(f"{megabytes:5}" + "".join(f"{value:12.1f}" for value in columns), flush=True)


if __name__ == "__main__":
    main()
