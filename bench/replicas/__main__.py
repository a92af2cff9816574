"""Many machines from one saved machine: how soon each runs, and how much memory each adds to the host.

A Debian kernel with a shell is booted once and saved. Then 1, 2, 4 ... machines are resumed from the file, one
after the other, and all of them stay. Measured for each: the time from its start to its first instruction (as
the program says it: --stats) and to its answer to a line typed at the shell. Measured for all: the
memory they have added, which is their proportional set sizes (/proc/PID/smaps_rollup), where what
several have mapped counts once; divided by their number. Once as they are after the answer, once
after each has done the same work (reads all its files, sorts, starts 200 programs, writes so many
MiB and removes half of them), and once more some seconds after that: by then machines with
--share-pages have given back what is equal to the base's. At last all of them count in a loop of
their shells for some seconds: what they have counted together in a second, and how fairly, as
Jain's index (1: all alike, 1/N: one has had everything). Each row is measured without and with
--share-pages, and, with --tcg, for as many of QEMU's emulator, each started by -loadvm from a copy
of the same guest's saved state; what QEMU does not say stands as "-". usage: python3 bench/replicas
[--ringshift PROGRAM] [--memory 256M] [--most 8] [--write MIB] [--rounds N] [--tcg] [--rate N]
[--wait SECONDS] [--user HOW] [--seconds S]
"""

import argparse
import json
import pathlib
import shutil
import signal
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/study"), str(ROOT / "tests/guests")]
import console  # noqa: E402
import emulator  # noqa: E402
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
    session.type(line)
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
    """A machine that was not booted, and has answered. Owns its session."""

    def __init__(self, command, folder):
        self.session = console.Session([str(word) for word in command], folder, TIMEOUT)
        self.session.__enter__()
        ask(self.session, "echo he''re", "here")
        self.answered = self.session.now().wall

    def work(self, mebibytes):
        """Work as any user might do it; half of the files written are removed again."""
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
        """The program's own figures: the seconds to its first instruction, pages copied, pages given
        back."""
        self.session.__exit__()
        return None, None, None


class Ours(Replica):
    def __init__(self, ringshift, saved, folder, number, more):
        self.report = folder / f"stats-{number}"
        self.report.unlink(missing_ok=True)
        super().__init__((ringshift, "resume", saved, "--stats=json", "--stats-file", self.report, *more), folder)

    def end(self):
        self.session.process.send_signal(signal.SIGUSR1)
        for _ in range(200):
            time.sleep(0.02)
            if self.report.is_file() and self.report.read_text().endswith("}\n"):
                break
        figures = json.loads(self.report.read_text())
        super().end()
        given_back = sum(figures[f"memory.pages_{how}"] for how in ("joined", "joined_elsewhere", "zeroed"))
        return figures["time.start_s"], figures["memory.pages_copied"], given_back


class Emulated(Replica):
    def __init__(self, saved, folder, number, memory):
        own = folder / f"emulated-{number}.qcow2"
        shutil.copyfile(saved, own)
        super().__init__(emulator.command(memory, own, "-loadvm", emulator.NAME), folder)


def jain(shares):
    """The fairness with which a whole was shared: 1 is fair (Jain, Chiu, Hawe 1984)."""
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


def row(chosen, machines):
    fresh = memory_of(machines)
    for machine in machines:
        machine.work(chosen.write)
    worked = memory_of(machines)
    time.sleep(chosen.wait)
    rested = memory_of(machines)
    answers = [machine.answered for machine in machines]
    turns, fairness = count_together(machines, chosen.seconds)
    starts, copied, given_back = zip(*(machine.end() for machine in machines))
    return (middle(starts, 1000), statistics.median(answers) * 1000, fresh, worked, rested,
            middle(copied, 1 / 256), middle(given_back, 1 / 256), turns, fairness)


def middle(values, factor=1.0):
    """The median, or None of what is not known."""
    return None if None in values else statistics.median(values) * factor


def show(value, width, form, unit=""):
    return f"{'-' if value is None else format(value, form) + unit:>{width}}"


def print_row(count, how, rounds):
    start, answer, fresh, worked, rested, copied, back, turns, fair = (middle(each) for each in zip(*rounds))
    print(f"{count:8}{how:>9}{show(start, 19, '.1f', ' ms')}{show(answer, 11, '.0f', ' ms')}{fresh:10.1f}{worked:10.1f}"
          f"{rested:13.1f}{show(copied, 10, '.1f')}{show(back, 12, '.1f')}{turns:16.0f}{fair:7.3f}", flush=True)


def measure(chosen, folder):
    saved = save(chosen.ringshift, chosen.memory, folder)

    def ours(share):
        more = ("--share-pages", share, "--user", chosen.user)
        return lambda number: Ours(chosen.ringshift, saved, folder, number, more)

    ways = {"apart": ours("off"), "sharing": ours(f"rate={chosen.rate}")}
    if chosen.tcg:
        picture = emulator.save(chosen.memory, folder, READY, TIMEOUT)
        ways["tcg"] = lambda number: Emulated(picture, folder, number, chosen.memory)
    print(f"{'machines':>8}{'how':>9}{'first instruction':>19}{'answer':>11}{'MiB each':>10}"
          f"{'worked':>10}{f'{chosen.wait:g} s later':>13}{'copied':>10}{'given back':>12}{'turns a second':>16}{'Jain':>7}")
    count = 1
    while count <= chosen.most:
        for how, make in ways.items():
            print_row(count, how, [row(chosen, [make(number) for number in range(count)]) for _ in range(chosen.rounds)])
        count *= 2


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
    parser.add_argument("--tcg", action="store_true", help="QEMU's emulator, too")
    chosen = parser.parse_args()
    chosen.ringshift = str(pathlib.Path(chosen.ringshift).resolve())
    with console.bench_folder("replicas") as folder:
        measure(chosen, folder)


if __name__ == "__main__":
    main()
