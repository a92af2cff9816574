"""Many machines from one saved machine: how soon each runs, and how much memory each adds to the host.

A Debian kernel with a shell is booted once and saved. Then 1, 2, 4 ... machines are resumed from the file, one
after the other, and all of them stay. Of each: the time from its start to its first instruction (as the program
says it: --stats) and to its answer to a line typed at the shell. Of all: the memory they have added, which is their
proportional set sizes (/proc/PID/smaps_rollup), where what several have mapped counts once; divided by
their number. Once as they are after the answer, once after each has done the same work (reads all its files, sorts,
starts 200 programs, writes so many MiB and removes half of them), and once more some seconds after that: by then machines
with --share-pages have given back what is equal to the base's. At last all of them count in a loop of their shells for some
seconds: what they have counted together in a second, and how fairly, as Jain's index (1: all alike, 1/N: one has had everything).
Each row is measured without and with --share-pages.
usage: python3 bench/replicas [--ringshift PROGRAM] [--memory 256M] [--most 8] [--write MIB] [--rounds N]
                              [--rate N] [--wait SECONDS] [--user HOW] [--seconds S]
"""

import argparse
import json
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/study"), str(ROOT / "tests/guests")]
import console  # noqa: E402
from harness import guest_file  # noqa: E402

READY = "ringshift-guest: ready"
TIMEOUT = 300


def family(leader):
    """The process and its children."""
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    members = {leader}
    while more := {child for child, parent in parents.items() if parent in members} - members:
        members |= more
    return members


def proportional_set(leader):
    """MiB of memory; what is shared is counted in parts."""
    total = 0
    for pid in family(leader):
        try:
            lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def ask(session, line, answer):
    """Types a line at the guest's shell, and waits for a line of its own."""
    session.type(line + "\n")
    session.wait_for(answer)


def save(ringshift, memory, folder):
    """A booted machine's file, and how long the boot and the save took."""
    saved = folder / "booted"
    command = [ringshift, "run", "--kernel", guest_file("linux-686/vmlinuz"), "--initrd",
               guest_file("initramfs.cpio.gz"), "--append", "console=ttyS0 quiet", "--memory", memory,
               "--save", saved]
    with console.Session([str(word) for word in command], folder, TIMEOUT) as session:
        session.wait_for(READY)
        ask(session, "echo boo''ted", "booted")
        booted = session.now().wall
        began = time.monotonic()
        session.process.send_signal(signal.SIGUSR2)
        session.process.wait()
        took = time.monotonic() - began
    used = saved.stat().st_blocks / 2048
    print(f"booted in {booted:.2f} s; saved in {took:.2f} s: {used:.0f} MiB on the medium of "
          f"{saved.stat().st_size / 2**20:.0f}")
    return saved


class Replica:
    """One resumed machine that has answered. Owns its session."""

    def __init__(self, ringshift, saved, folder, number, more):
        self.report = folder / f"stats-{number}"
        self.report.unlink(missing_ok=True)
        self.session = console.Session(
            [str(word) for word in (ringshift, "resume", saved, "--stats=json", "--stats-file", self.report, *more)],
            folder, TIMEOUT)
        self.session.__enter__()
        ask(self.session, "echo he''re", "here")
        self.answered = self.session.now().wall

    def work(self, mebibytes):
        """What any user might do; half of what it writes is removed again."""
        half = max(mebibytes // 2, 1)
        ask(self.session, f"find / -xdev -type f | xargs cat 2>/dev/null | md5sum >/tmp/sum; seq 1 20000 | sort -r >/tmp/s; "
            f"i=0; while [ $i -lt 200 ]; do ls / >/dev/null; i=$((i+1)); done; "
            f"dd if=/dev/urandom of=/tmp/a bs=1M count={half} 2>/dev/null; "
            f"dd if=/dev/urandom of=/tmp/b bs=1M count={half} 2>/dev/null; rm /tmp/b; echo wor''ked", "worked")

    def begin_work(self):
        self.session.type("(i=0; trap 'echo di''d $i; exit' TERM; while :; do i=$((i+1)); done) & job=$!")
        self.began = time.monotonic()

    def end_work(self):
        """Turns of the loop in a second."""
        self.session.type("kill $job")
        passed = time.monotonic() - self.began
        return int(self.session.wait_for("did ").text.partition("did ")[2].split()[0]) / passed

    def end(self):
        """The seconds to its first instruction, as it says itself."""
        self.session.process.send_signal(signal.SIGUSR1)
        for _ in range(200):
            time.sleep(0.02)
            if self.report.is_file() and self.report.read_text().endswith("}\n"):
                break
        figures = json.loads(self.report.read_text())
        self.session.__exit__()
        given_back = sum(figures[f"memory.pages_{how}"] for how in ("joined", "joined_elsewhere", "zeroed"))
        return figures["time.start_s"], figures["memory.pages_copied"], given_back


def jain(shares):
    """Of how a whole was shared: 1 is fair (Jain, Chiu, Hawe 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0


def count_together(machines, seconds):
    """Turns in a second of all together, and how fair that was."""
    for machine in machines:
        machine.begin_work()
    time.sleep(seconds)
    turns = [machine.end_work() for machine in machines]
    return sum(turns), jain(turns)


def memory_of(machines):
    return sum(proportional_set(machine.session.process.pid) for machine in machines) / len(machines)


def row(chosen, saved, folder, count, more):
    machines = [Replica(chosen.ringshift, saved, folder, number, more) for number in range(count)]
    fresh = memory_of(machines)
    for machine in machines:
        machine.work(chosen.write)
    worked = memory_of(machines)
    time.sleep(chosen.wait)
    rested = memory_of(machines)
    answers = [machine.answered for machine in machines]
    turns, fairness = count_together(machines, chosen.seconds)
    starts, copied, given_back = zip(*(machine.end() for machine in machines))
    return (statistics.median(starts) * 1000, statistics.median(answers) * 1000, fresh, worked, rested,
            statistics.median(copied) / 256, statistics.median(given_back) / 256, turns, fairness)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--most", type=int, default=8, help="replicas at the same time")
    parser.add_argument("--write", type=int, default=8, metavar="MIB", help="what each writes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=20000, help="of --share-pages: pages looked at a second")
    parser.add_argument("--wait", type=float, default=10, metavar="SECONDS", help="from the work to the last figure")
    parser.add_argument("--user", default="auto", help="how user code runs")
    parser.add_argument("--seconds", type=float, default=3, help="for which all of them work")
    chosen = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringshift-replicas-"))
    try:
        saved = save(chosen.ringshift, chosen.memory, folder)
        print(f"{'machines':>8}{'shares':>8}{'first instruction':>19}{'answer':>11}{'MiB each':>10}"
              f"{'worked':>10}{f'{chosen.wait:g} s later':>13}{'copied':>10}{'given back':>12}{'turns a second':>16}{'Jain':>7}")
        count = 1
        while count <= chosen.most:
            for share in ("off", f"rate={chosen.rate}"):
                more = ("--share-pages", share, "--user", chosen.user)
                rounds = [row(chosen, saved, folder, count, more) for _ in range(chosen.rounds)]
                start, answer, fresh, worked, rested, copied, back, turns, fair = (
                    statistics.median(each) for each in zip(*rounds))
                print(f"{count:8}{share.split('=')[0]:>8}{start:16.1f} ms{answer:8.0f} ms{fresh:10.1f}{worked:10.1f}"
                      f"{rested:13.1f}{copied:10.1f}{back:12.1f}{turns:16,.0f}{fair:7.3f}", flush=True)
            count *= 2
    except console.Trouble as trouble:
        sys.exit(str(trouble))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
