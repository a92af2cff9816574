"""The cost of a backup: the processor time and the wall of a Debian kernel's run, alone and as one of a pair; and how
long an answer takes on a serial port.

The guests of bench/tape that need no network boot, idle and work by the host's clock (user code translated), with their events counted,
recorded, and replicated to a backup on this host; of that one the backup's processor time is beside. A bare guest answers each
byte; the client sends the next one when it has the answer. The median of rounds that are interleaved.
usage: python3 bench/replication [--ringshift PROGRAM] [--rounds N] [--guest NAME]...
"""

import argparse
import os
import pathlib
import runpy
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import types

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/guests")]
from disk_test import initrd_with  # noqa: E402
from harness import guest_file  # noqa: E402
from replication_test import REPLY, assemble  # noqa: E402

TAPE = runpy.run_path(str(ROOT / "bench/tape/__main__.py"), run_name="tape")
GUESTS = {name: TAPE["GUESTS"][name] for name in ("boot", "idle", "work")}
WAYS = {"host": ["--user", "translate"], "events": ["--clock", "events,idle=wait"], "record": ["--record", "tape"],
        "pair": ["--replicate-to", "unix:pair", "--tie-breaker", "tie"]}
ANSWERS = 300


def await_path(path):
    while not path.exists():
        time.sleep(0.002)


def backup(ringshift, folder, *more):
    process = subprocess.Popen([ringshift, "backup", "unix:pair", "--tie-breaker", "tie", *more], cwd=folder,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_path(folder / "pair")
    return process


def runs(ringshift, guest, rounds, folder):
    script = GUESTS[guest] + "\necho 'tape-bench: done'\n"
    stage = types.SimpleNamespace(path=folder, write=lambda name, content: (folder / name).write_bytes(content) and
                                  str(folder / name))
    line = [ringshift, "run", "--kernel", guest_file("linux-686/vmlinuz"), "--initrd", initrd_with(stage, (), script),
            "--memory", "192M", "--append", "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot"]
    used, walls, follower = ({way: [] for way in WAYS} for _ in range(3))
    for _ in range(rounds):
        for way, options in WAYS.items():
            other = backup(ringshift, folder) if way == "pair" else None
            processor, wall, _ = TAPE["timed"]([*line, *options], folder)
            used[way].append(processor)
            walls[way].append(wall)
            if other is not None:
                _, status, usage = os.wait4(other.pid, 0)
                other.returncode = os.waitstatus_to_exitcode(status)
                if other.returncode != 0:
                    sys.exit(f"the backup's exit code is {other.returncode}")
                follower[way].append(usage.ru_utime + usage.ru_stime)
    print(f"{guest:>8}" + "".join(f"{statistics.median(used[way]):8.2f} {statistics.median(walls[way]):7.2f}" for way in WAYS) +
          f"{statistics.median(follower['pair']):9.2f}", flush=True)


def connect(line, path):
    while True:
        try:
            return line.connect(path)
        except ConnectionRefusedError:  # it is bound, and does not listen yet
            time.sleep(0.002)


def answers(words, folder):
    """Milliseconds of each answer, and one process that has to be ended."""
    process = subprocess.Popen([*words, "--serial", "unix:port"], cwd=folder, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    await_path(folder / "port")
    times = []
    with socket.socket(socket.AF_UNIX) as line:
        connect(line, str(folder / "port"))
        for _ in range(ANSWERS):
            begin, left = time.monotonic(), REPLY
            line.sendall(b"a")
            while left:
                left -= len(line.recv(left))
            times.append(1000 * (time.monotonic() - begin))
    process.terminate()
    process.wait()
    return times


def latency(ringshift, rounds, folder):
    stage = types.SimpleNamespace(path=folder)
    for halts in (False, True):
        words = [ringshift, *assemble(stage, halts=halts)]
        times = {way: [] for way in ("host", "events", "pair")}
        for _ in range(rounds):
            for way, found in times.items():
                other = backup(ringshift, folder, "--serial", "none") if way == "pair" else None
                found += answers([*words, *WAYS[way]], folder)
                if other is not None:
                    other.wait()
        print(f"a guest that {'halts' if halts else 'polls'}: " +
              ", ".join(f"{way} {statistics.median(found):.3f} ms (99 %: {sorted(found)[len(found) * 99 // 100]:.3f})"
                        for way, found in times.items()), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", type=pathlib.Path, default=ROOT / "build/release/ringshift")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guest", action="append", choices=GUESTS, help="default: all")
    chosen = parser.parse_args()
    program = chosen.ringshift.resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringshift-replication-"))
    try:
        print("seconds of the processor and of the wall; of the backup's processor\n" +
              f"{'guest':>8}" + "".join(f"{way:>16}" for way in WAYS) + f"{'backup':>9}")
        for guest in chosen.guest or GUESTS:
            runs(program, guest, chosen.rounds, folder)
        latency(program, chosen.rounds, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
