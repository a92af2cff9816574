"""The cost of counting events and of recording, and the length of a tape: a Debian kernel boots, works and fetches a
file, with the host's clock, with its events counted, recorded, and replayed; user code is
translated in all of them.

Measured for each: the processor time of the whole run, as the median of rounds that are interleaved. Measured for
the tape: its bytes a thousand events and a second.
usage: python3 bench/tape [--ringshift PROGRAM] [--rounds N] [--guest NAME]...
"""

import argparse
import os
import pathlib
import random
import re
import shutil
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
from network_test import BY_DHCP, DRIVERS, MIB, UP, HostServer  # noqa: E402

FETCHED_BYTES = 32 * MIB
# boot: nothing but that. work: what a build does, many short programs that read, sort and pack files.
GUESTS = {
    "boot": ":",
    "idle": "sleep 10",
    "work": r"""
cd /tmp
for i in $(seq 1 150); do
  seq 1 400 | awk '{ print $1 * 7919 % 10007, "int value_" $1 ";" }' >part$i.c
  sort -n part$i.c | sed 's/int/long/' | gzip -1 >part$i.o
  grep -c value part$i.c >/dev/null
done
cat *.o | gunzip | md5sum
""",
    "network": UP.replace("@OPTIONS@", "") + BY_DHCP + r"""
wget -q -O - http://10.0.2.2:@HTTP@/large | md5sum
""",
}
WAYS = {"host": ["--user", "translate"], "events": ["--clock", "events,idle=wait"], "record": ["--record", "tape"]}


def timed(words, folder):
    """Seconds of the processor's and of the wall, and what the run has said."""
    began = time.monotonic()
    with open(folder / "said", "w+b") as said:
        process = subprocess.Popen([str(word) for word in words], cwd=folder, stdin=subprocess.DEVNULL, stdout=said,
                                   stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode(errors="replace")
    if process.returncode != 0 or "tape-bench: done" not in text:
        sys.exit(f"exit code {process.returncode}: {text[-2000:]}")
    return used.ru_utime + used.ru_stime, time.monotonic() - began, text


def measure(ringshift, guest, rounds, folder, port):
    script = GUESTS[guest].replace("@HTTP@", str(port)) + "\necho 'tape-bench: done'\n"
    stage = types.SimpleNamespace(path=folder, write=lambda name, content: (folder / name).write_bytes(content) and
                                  str(folder / name))
    drivers = DRIVERS["virtio"] if guest == "network" else ()
    line = [ringshift, "run", "--kernel", guest_file("linux-686/vmlinuz"), "--initrd", initrd_with(stage, drivers, script),
            "--memory", "192M", "--append", "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
            *(["--net", "user"] if guest == "network" else [])]
    processor = {way: [] for way in [*WAYS, "replay"]}
    for _ in range(rounds):
        for way, options in WAYS.items():
            used, wall, _ = timed([*line, *options], folder)
            processor[way].append(used)
        used, _, text = timed([ringshift, "replay", "tape"], folder)
        processor["replay"].append(used)
    medians = {way: statistics.median(times) for way, times in processor.items()}
    events = int(re.search(r"replayed to event (\d+)", text)[1])
    size = (folder / "tape/tape").stat().st_size
    print(f"{guest:>8}{medians['host']:8.2f} s" +
          "".join(f"{medians[way]:8.2f} s{100 * (medians[way] / medians['host'] - 1):+6.0f} %" for way in
                  ("events", "record", "replay")) +
          f"{events / 1e6:10.0f} M{size:11}{1000 * size / events:12.4f}{size / wall:12.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", type=pathlib.Path, default=ROOT / "build/release/ringshift")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--guest", action="append", choices=GUESTS, help="default: all")
    chosen = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringshift-tape-"))
    print("processor time; bytes of the tape; seconds of the wall\n"
          f"{'guest':>8}{'host':>10}{'events':>18}{'record':>18}{'replay':>18}{'events':>12}{'tape':>11}"
          f"{'B/1000 ev.':>12}{'B/s':>12}")
    try:
        with HostServer(random.Random(1).randbytes(FETCHED_BYTES)) as server:
            for guest in chosen.guest or GUESTS:
                measure(chosen.ringshift.resolve(), guest, chosen.rounds, folder, server.ports()["@HTTP@"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
