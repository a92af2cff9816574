#!/usr/bin/env python3
"""Debian's drivers of small virtual devices: what the guest puts into its balloon and what it reports
as free is the host's again; a panic ends the run; a watchdog that nobody feeds resets the guest, and
one that is fed does not; hvc0 prints into a file.

usage: events_test.py --ringshift PROGRAM [CASE...]
"""

import pathlib
import re
import sys
import time

from disk_test import initrd_with, module_files
from harness import EXIT_POWER_OFF, EXIT_RESET, EXIT_USAGE, SKIPPED, Run, Stage, expect, guest_file, parser, run_cases
from qmp_test import Client

EXIT_PANIC = 12
MIB = 1 << 20
MEMORY, BALLOON, USED = 256, 96, 64
DRIVERS = ("virtio_pci", "virtio_balloon", "pvpanic_pci", "i6300esb", "virtio_console")
BEGIN = "for module in @MODULES@; do insmod /modules/$module.ko @OPTIONS@|| echo \"no $module\"; done\n"
# The bytes written are not zeros: pages of zeros take no memory to begin with.
BALLOON_SCRIPT = BEGIN + r"""
fill() { yes ringshift | dd of=/tmp/fill bs=64k iflag=fullblock count=$((16 * @USED@)) 2>/dev/null; }
fill
echo 'events-test: filled'
read go </dev/ttyS0
rm /tmp/fill
echo 3 >/proc/sys/vm/drop_caches
echo 'events-test: free'
read go </dev/ttyS0
fill
sum=$(md5sum </tmp/fill)
[ "$sum" = "$(md5sum </tmp/fill)" ] && echo 'events-test: same'
rm /tmp/fill
dmesg | grep -E '[Bb]alloon.*(error|failed|timeout)|BUG:|Oops' && echo 'events-test: errors'
echo 'events-test: done'
"""
PANIC_SCRIPT = BEGIN + "echo 'events-test: now'\necho c >/proc/sysrq-trigger\nsleep 60\n"
WATCHDOG_SCRIPT = BEGIN + r"""
exec 3>/dev/watchdog
i=0
while [ $i -lt 5 ]; do echo x >&3; sleep 1; i=$((i + 1)); done
echo 'events-test: fed'
sleep 60
echo 'events-test: alive'
"""
CONSOLE_SCRIPT = BEGIN + r"""
i=0
while [ $i -lt 2000 ]; do echo "line $i of hvc0"; i=$((i + 1)); done >/dev/hvc0
echo 'events-test: done'
"""


def words(stage, drivers, script, *more, options=""):
    kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
    text = script.replace("@OPTIONS@", options).replace("@USED@", str(USED))
    return ["run", "--kernel", kernel, "--initrd", initrd_with(stage, drivers, text), "--append",
            "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot", *more]


def resident(run):
    """Bytes of guest RAM that the host has memory for: the memfd is shared memory."""
    status = pathlib.Path(f"/proc/{run.process.pid}/status").read_text()
    return int(re.search(r"RssShmem:\s+(\d+) kB", status).group(1)) << 10


def wait_below(run, most, what):
    deadline = time.monotonic() + 60
    while resident(run) > most:
        expect(time.monotonic() < deadline, f"{what}: {resident(run) // MIB} MiB are resident")
        time.sleep(0.2)


def balloon(ringshift):
    with Stage(ringshift) as stage:
        pathlib.Path(stage.path).chmod(0o777)
        path = str(pathlib.Path(stage.path) / "qmp")
        line = words(stage, ("virtio_pci", "virtio_balloon"), BALLOON_SCRIPT, "--memory",
                     f"{MEMORY}M", "--device", "virtio-balloon-pci", "--qmp", f"unix:{path}")
        with Run(stage, line, timeout=180, keyboard=True) as run, Client(path) as client:
            run.wait_for("events-test: filled")
            filled = resident(run)
            expect(filled > USED * MIB, f"only {filled // MIB} MiB are resident")
            expect(client.ask("query-balloon") == {"actual": MEMORY * MIB}, "it begins otherwise")
            run.type("\n")
            run.wait_for("events-test: free")
            wait_below(run, filled - USED * MIB // 2, "free pages are not given back")
            reported = resident(run)
            client.ask("balloon", value=BALLOON * MIB)
            deadline = time.monotonic() + 60
            while client.ask("query-balloon")["actual"] > (BALLOON + 16) * MIB:
                expect(time.monotonic() < deadline, f"{client.ask('query-balloon')}")
                time.sleep(0.2)
            wait_below(run, min(reported, BALLOON * MIB), "the balloon's pages are not given back")
            while "free_mem" not in (told := client.ask("x-ringshift-query-balloon")):
                expect(time.monotonic() < deadline, "the guest tells nothing of its memory")
                time.sleep(0.2)
            expect(0 < told["free_mem"] < told["total_mem"] <= MEMORY * MIB, f"{told}")
            client.ask("balloon", value=MEMORY * MIB)
            while client.ask("query-balloon")["actual"] != MEMORY * MIB:
                expect(time.monotonic() < deadline + 60, f"{client.ask('query-balloon')}")
                time.sleep(0.2)
            expect(any(event["event"] == "BALLOON_CHANGE" for event in client.events), "no event")
            run.type("\n")
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-1000:]} {run.errors()}")
            expect("events-test: same" in run.text() and "events-test: errors" not in run.text(),
                   f"memory is not what it was: {run.text()[-1000:]}")


def panic(ringshift):
    with Stage(ringshift) as stage:
        line = words(stage, ("pvpanic_pci",), PANIC_SCRIPT, "--memory", "96M", "--device",
                     "pvpanic-pci")
        with Run(stage, line, timeout=60) as run:
            code = run.finish()
            expect("events-test: now" in run.text(), f"no panic: {run.text()[-1000:]}")
            expect(code == EXIT_PANIC, f"exit code {code}: {run.text()[-1000:]} {run.errors()}")
            expect(run.errors().count("the guest's kernel has panicked") == 1, run.errors())
        with Run(stage, ["test", "--timeout", "60", *line[1:]], timeout=90) as run:
            code = run.finish()
            expect(code == 125 and "the guest's kernel has panicked" in run.errors(),
                   f"exit code {code}: {run.errors()}")


def watchdog(ringshift):
    with Stage(ringshift) as stage:
        line = words(stage, ("i6300esb",), WATCHDOG_SCRIPT, "--memory", "96M", "--device",
                     "i6300esb", options="heartbeat=3 ")
        with Run(stage, line, timeout=60) as run:
            code = run.finish()
            expect("events-test: fed" in run.text() and "events-test: alive" not in run.text(),
                   f"it ran out too early or not at all: {run.text()[-1000:]} {run.errors()}")
            expect(code == EXIT_RESET, f"exit code {code}: {run.errors()}")
            expect(run.errors().count("the guest's watchdog has run out (reset)") == 1, run.errors())
        with Run(stage, [*line, "--action", "watchdog=poweroff"], timeout=60) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")


def console(ringshift):
    with Stage(ringshift) as stage:
        pathlib.Path(stage.path).chmod(0o777)
        file = pathlib.Path(stage.path) / "hvc0"
        line = words(stage, ("virtio_pci", "virtio_console"), CONSOLE_SCRIPT, "--memory", "96M",
                     "--virtio-console", f"file={file}")
        with Run(stage, line, timeout=60) as run:
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-1000:]} {run.errors()}")
        wanted = "".join(f"line {i} of hvc0\n" for i in range(2000))
        expect(file.read_text().replace("\r", "") == wanted, "hvc0's lines are others")


def refused(ringshift):
    with Stage(ringshift) as stage:
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        for more, says in ((["--action", "watchdog=inject-nmi"], "inject-nmi is not supported"),
                           (["--action", "panic=dance"], "cannot use 'panic=dance'"),
                           (["--device", "pvpanic,ioport=0x10000"], "cannot use 'ioport=0x10000'"),
                           (["--device", "virtio-balloon-pci,free-page-reporting=maybe"],
                            "cannot use"),
                           (["--device", "i6300esb", "--device", "i6300esb"], "want the same place"),
                           (["--virtio-console", "moon"], "'moon' is none of"),
                           (["--virtio-console", "console", "--serial", "console"],
                            "the terminal is somebody else's")):
            with Run(stage, ["run", "--kernel", kernel, *more], timeout=20) as run:
                code = run.finish()
                told = run.errors()
                expect(code == EXIT_USAGE and says in told and told.count("\n") == 1,
                       f"{more}: exit code {code}: {told}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE")
    chosen = arguments.parse_args()
    if not set(DRIVERS) <= set(module_files()):
        print("skipped: no modules in the cache")
        return SKIPPED
    cases = {"balloon": balloon, "panic": panic, "watchdog": watchdog, "console": console,
             "refused": refused}
    return run_cases([(name, lambda case=case: case(chosen.ringshift))
                      for name, case in cases.items() if not chosen.cases or name in chosen.cases])


if __name__ == "__main__":
    sys.exit(main())
