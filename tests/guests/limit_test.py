#!/usr/bin/env python3
"""A limit of the processor's time is kept by guests that spin, call their kernel, start programs or sleep, and
a guest that is held is told of what it did not get. (answered_test.py: it answers SIGTERM and Ctrl-A x.)

Processor time is the host's own count of the process and its children; wall time says only how long.
usage: limit_test.py --ringshift PROGRAM [--seconds SECONDS] [--percent PERCENT]
"""

import contextlib
import json
import os
import pathlib
import sys
import time

from harness import EXIT_QUIT, EXIT_USAGE, NOBODY, Run, Stage, expect, guest_file, parser, run_cases
from disk_test import DRIVERS as IDE_DRIVERS, MIB, initrd_with
from migration_test import Qmp, assemble
from paravirt_test import Shell

TIMEOUT = 200
# The host is noisy, and a short measurement has a window's worth of leeway.
MOST_ABOVE = 3.0
MOST_BELOW = 8.0


def process_stats():
    """(process, its fields of proc(5)'s stat from the state on) of each process of the host."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(stat.parent.name), stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue


def processor_time(process):
    """Seconds, of the process with all of its threads, and of its children that live."""
    return sum(int(fields[11]) + int(fields[12]) for number, fields in process_stats()
               if process in (number, int(fields[1]))) / os.sysconf("SC_CLK_TCK")


def session_time(session):
    """Seconds, of all processes of a session that live and of the children that they have waited for."""
    return sum(sum(map(int, fields[11:15])) for _, fields in process_stats()
               if int(fields[3]) == session) / os.sysconf("SC_CLK_TCK")


def waited(process):
    schedstat = pathlib.Path(f"/proc/{process}/schedstat")
    return int(schedstat.read_text().split()[1]) / 1e9 if schedstat.exists() else 0


def command(stage, percent, *more):
    return ["run", *stage.linux("linux-686"), "--append", "console=ttyS0 panic=-1 quiet", "--memory", "96M",
            "--no-reboot", "--limit", f"cpu={percent}%", *more]


def share(run, seconds):
    """Returns the shares of one host CPU that the run has used meanwhile, and that it has waited
    for, in per cent."""
    begin, used, late = time.monotonic(), processor_time(run.process.pid), waited(run.process.pid)
    time.sleep(seconds)
    passed = time.monotonic() - begin
    return (100 * (processor_time(run.process.pid) - used) / passed,
            100 * (waited(run.process.pid) - late) / passed)


def check_share(run, what, options, is_translated=True):
    """The time that processes of user code wait for the host is not known, and may be all that is
    missing."""
    used, late = share(run, options.seconds)
    limit = options.percent
    print(f"  {what}: {used:.1f} %, waited for the host {late:.1f} %")
    expect(used <= limit + MOST_ABOVE, f"{what}: {used:.1f} % of a CPU, the limit is {limit} %")
    expect(not is_translated or used >= limit - MOST_BELOW - late,
           f"{what}: only {used:.1f} % of a CPU, {limit} % are free")
    return used, late


WORK = {
    "spinning in ring 3": "while :; do :; done",
    "calling the kernel": "dd if=/dev/zero of=/dev/null bs=1 count=1000000000",
    "starting programs": "while :; do /bin/busybox true; done",
}


def limited(options):
    with Stage(options.ringshift) as stage:
        statistics = pathlib.Path(stage.write("statistics", b""))
        statistics.chmod(0o666)
        arguments = command(stage, options.percent, "--paravirt", "kvm", "--stats=json", "--stats-file", str(statistics),
                            "--user", "translate")
        with Run(stage, arguments, TIMEOUT, keyboard=True) as run:
            shell = Shell(run)
            shell.do("set +m; exec 2>/dev/null")
            held_at_least = 0
            for what, work in WORK.items():
                shell.do(f"({work}) >/dev/null & job=$!")
                stolen = shell.steal()
                used, late = check_share(run, what, options)
                missing = (1 - used / 100) * options.seconds
                held_at_least += (1 - used / 100 - late / 100) * options.seconds
                stolen = (shell.steal() - stolen) / 100
                expect(stolen >= 0.6 * missing, f"{what}: told of {stolen:.2f} s, {missing:.2f} s are missing")
                shell.do("kill -9 $job; wait")
            time.sleep(0.3)
            used, _ = share(run, 2)
            expect(used <= 10, f"sleeping: {used:.1f} % of a CPU")
            run.terminate()
            expect(run.finish() == EXIT_QUIT, "no quit")
            held = json.loads(statistics.read_text())["time.held_s"]
            expect(held >= 0.5 * held_at_least, f"--stats says {held} s, {held_at_least:.2f} s are missing")


def limited_direct(options):
    """The processes of user code count, too."""
    with Stage(options.ringshift) as stage, Run(stage, command(stage, options.percent), TIMEOUT, keyboard=True) as run:
        shell = Shell(run)
        shell.do("set +m; exec 2>/dev/null")
        shell.do(f"({WORK['spinning in ring 3']}) >/dev/null &")
        check_share(run, "spinning, as it comes", options, is_translated=False)
        run.terminate()
        expect(run.finish() == EXIT_QUIT, "no quit")


READS = """#!/bin/sh
for module in @MODULES@; do insmod /modules/$module.ko; done
for i in 1 2 3 4 5; do [ -b /dev/sda ] && [ -b /dev/vda ] && break; sleep 1; done
for disk in vda sda; do
  echo "$disk begins"
  dd if=/dev/$disk of=/dev/null bs=64k count=48 2>/dev/null || echo "no $disk"
  echo "$disk ends"
done
"""
DISK_RATE = 2 * MIB


def limited_disk(options):
    """3 MiB of a virtio disk, and of an IDE disk by DMA, take a second and a half each at 2 MiB a second."""
    with Stage(options.ringshift) as stage:
        image = stage.write("image", bytes(8 * MIB))
        ramdisk = initrd_with(stage, ("virtio_pci", "virtio_blk", *IDE_DRIVERS), READS)
        arguments = ["run", "--kernel", stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz"), "--initrd", ramdisk,
                     "--append", "console=ttyS0 panic=-1 quiet ringshift.script=self-test", "--memory", "96M",
                     "--no-reboot", "--limit", "disk=2M,memory=256M", "--virtio-disk", image + ",readonly=on",
                     "--hda", image + ",readonly=on"]
        with Run(stage, arguments, TIMEOUT) as run:
            for disk in ("vda", "sda"):
                run.wait_for(f"{disk} begins")
                begin = time.monotonic()
                run.wait_for(f"{disk} ends")
                passed = time.monotonic() - begin
                print(f"  {disk}: 3 MiB in {passed:.2f} s")
                expect(f"no {disk}" not in run.text(), f"{disk} was not read: {run.text()[-500:]}")
                least = (3 * MIB - 2 * DISK_RATE / 10 - 2 * 128 * 1024) / DISK_RATE
                expect(passed >= least, f"{disk}: 3 MiB in {passed:.2f} s, {least:.2f} s are the least")
            run.terminate()
            run.finish()


def limited_memory(options):
    """A limit that is too small is one line; a monitor that is refused memory ends in one."""
    with Stage(options.ringshift) as stage:
        with Run(stage, [*command(stage, 100)[:-1], "memory=128M"], TIMEOUT) as run:
            expect(run.finish() == EXIT_USAGE, "128M is enough for 96M and a monitor")
            expect("memory=128M is too little: 96M of guest RAM, 16M for translated code and 96M" in run.errors(),
                   run.errors())


def minimum_memory(options):
    """A minimum that cannot be is one line; one that can be is there from the start, and no balloon goes below it."""
    with Stage(options.ringshift) as stage:
        words = assemble(stage, 100_000)  # of 16 MiB
        for minimum, why in (("17M", "memory-min=17M is more than the guest has"), ("0", "cannot use")):
            with Run(stage, [*words, "--limit", f"memory-min={minimum}"], TIMEOUT) as run:
                expect(run.finish() == EXIT_USAGE and why in run.errors(), run.errors())
                expect(run.errors().count("\n") == 1, run.errors())
        folder = stage.path / "sockets"
        folder.mkdir()
        folder.chmod(0o777)
        with Run(stage, [*words, "--limit", "memory-min=12M", "--device", "virtio-balloon-pci", "--qmp",
                         f"unix:{folder}/qmp"], TIMEOUT) as run, Qmp(f"{folder}/qmp") as qmp:
            expect("memory-min=12M" in qmp.refuses("balloon", value=11 * MIB), "a balloon below it")
            qmp.ask("balloon", value=12 * MIB)
            taken = bytes_of_ram(run.process.pid)
            expect(taken is None or taken >= 12 * MIB, f"the host has given {taken} bytes")
            run.terminate()
            run.finish()


def bytes_of_ram(process):
    """That the host keeps for guest RAM; None: it does not say."""
    try:
        for file in pathlib.Path(f"/proc/{process}/fd").iterdir():
            if "ringshift-ram" in os.readlink(file):
                return file.stat().st_blocks * 512
    except OSError:
        pass
    return None


def group_to_use():
    """A control group given to those who run machines, where version 2 is mounted with the processor's controller
    and we may make one."""
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " not in line:
            continue
        mount = pathlib.Path(line.split()[4])
        group = mount / f"ringshift-test-{os.getpid()}"
        try:
            if "cpu" not in (mount / "cgroup.subtree_control").read_text().split():
                continue
            group.mkdir()
            for part in (group, *(group / f"cgroup.{name}" for name in ("procs", "subtree_control", "threads"))):
                os.chown(part, NOBODY, NOBODY)
        except OSError:
            continue
        return group
    return None


def control_group(options):
    """All threads are held together in a group of the machine's own; one that cannot be used is refused in a line."""
    with Stage(options.ringshift) as stage:
        arguments = command(stage, options.percent)
        place = arguments.index("--limit") + 1
        for folder in ("/nowhere", str(stage.path)):
            words = list(arguments)
            words[place] += f",group={folder}"
            with Run(stage, words, TIMEOUT) as run:
                expect(run.finish() == EXIT_USAGE and run.errors().count("\n") == 1, run.errors())
                expect("--limit: " in run.errors() and folder in run.errors(), run.errors())
        group = group_to_use()
        if group is None:
            print("  no control group can be made here")
            return
        try:
            enter = ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "-"]
            with Run(stage, arguments, TIMEOUT, keyboard=True, before=enter) as run:
                shell = Shell(run)
                own = pathlib.Path(f"/proc/{run.process.pid}/cgroup").read_text()
                expect(f"{group.name}/ringshift-{run.process.pid}" in own, own)
                shell.do("(while :; do :; done) >/dev/null 2>&1 &")
                check_share(run, "spinning in a group", options)
                begin = time.monotonic()
                run.terminate()
                expect(run.finish() == EXIT_QUIT and time.monotonic() - begin < 5, "no answer to SIGTERM")
        finally:
            for folder in [*group.glob("ringshift-*"), group]:
                folder.rmdir()


def groups_sessions():
    """Does the host weigh sessions against each other?"""
    file = pathlib.Path("/proc/sys/kernel/sched_autogroup_enabled")
    return file.exists() and file.read_text().strip() == "1"


SHARES = {25: 1 / 7, 50: 2 / 7, 100: 4 / 7}  # of one CPU, which all three want


def shared(options):
    """Three machines in sessions of their own on one CPU, their user code as it comes, run directly where the host can."""
    if not groups_sessions():
        print("  the host groups no processes by sessions")
        return
    with Stage(options.ringshift) as stage, contextlib.ExitStack() as runs:
        machines = {}
        for shares in SHARES:
            words = command(stage, 100)
            words[words.index("--limit") + 1] = f"shares={shares}"
            machines[shares] = runs.enter_context(
                Run(stage, words, TIMEOUT, keyboard=True, under=["taskset", "-c", str(max(os.sched_getaffinity(0)))]))
        for run in machines.values():
            shell = Shell(run)
            shell.do(f"set +m; ({WORK['spinning in ring 3']}) >/dev/null 2>&1 &")
        time.sleep(2)
        before = {shares: session_time(run.process.pid) for shares, run in machines.items()}
        time.sleep(2 * options.seconds)
        used = {shares: session_time(run.process.pid) - before[shares] for shares, run in machines.items()}
        for shares, fair in SHARES.items():
            part = used[shares] / sum(used.values())
            print(f"  shares={shares}: {100 * part:.1f} %, {100 * fair:.1f} % are fair")
            expect(abs(part - fair) < 0.05, f"shares={shares} had {100 * part:.1f} %")


def main():
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--percent", type=int, default=30)
    options = options.parse_args()
    guest_file("linux-686/vmlinuz")
    guest_file("initramfs.cpio.gz")
    return run_cases([(case.__name__, lambda case=case: case(options))
                      for case in (limited, limited_direct, limited_disk, limited_memory, minimum_memory, shared, control_group)])


if __name__ == "__main__":
    sys.exit(main())
