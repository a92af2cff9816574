#!/usr/bin/env python3
"""A whole Debian 12 system on a disk: GRUB, systemd, a login on the serial port, apt, power-off.

The disk is that of tests/setup/make_debian.sh; a copy is used, and checked by e2fsck afterwards.
usage: debian_test.py --ringshift PROGRAM [--timeout SECONDS] [-- MORE OPTIONS]
"""

import os
import resource
import subprocess
import sys

from harness import (EXIT_POWER_OFF, Failure, Run, Stage, expect, guest_file, parser, report,
                     strip_colours)

FILESYSTEM_AT = 1 << 20
PROMPT = "root@ringshift:~# "
# Words that no healthy run prints.
COMPLAINTS = ("I/O error", "BUG:", "Oops", "Call Trace", "unstable", "soft lockup", "emergency mode",
              "failed command", "nobody cared", "spurious 8259A")
MARKER = "written by the guest"


def tool(*words):
    """Runs one of e2fsprogs' programs; they are where only root's PATH looks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return subprocess.run(words, env=dict(os.environ, PATH=path), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


class Shell:
    """root's shell on the guest's serial port."""

    def __init__(self, run):
        self.run = run
        self.at = run.wait_for("ringshift login: ")
        run.type("root\n")
        self.at = run.wait_for("Password: ", self.at)
        run.type("ringshift\n")
        self.at = run.wait_for(PROMPT, self.at)
        # A line of its own for what a command prints.
        run.type("bind 'set enable-bracketed-paste off'\n")
        self.at = run.wait_for(PROMPT, self.at)

    def do(self, command):
        """Returns the command's output. Pre: it succeeds."""
        begin = self.at
        self.run.type(f"{command}; echo status=$?\n")
        self.at = self.run.wait_for("\nstatus=", begin)
        self.at = self.run.wait_for(PROMPT, self.at)
        text = self.run.console[begin:self.at].decode(errors="replace").replace("\r", "")
        text = strip_colours(text)
        expect("\nstatus=0\n" in text, f"{command} failed: {text}")
        return text


def use(run):
    shell = Shell(run)
    state = shell.do("systemctl is-system-running --wait || systemctl --no-pager --failed")
    expect("\nrunning\n" in state, f"the system is not up: {state}")
    shell.do("apt-get -q update")
    shell.do("apt-get -qy install hello")
    expect("\nHello, world!\n" in shell.do("hello"), "the installed program does not work")
    shell.do(f"echo {MARKER} >/root/marker")
    shell.do("dmesg --level=err,crit,alert,emerg")
    run.type("systemctl poweroff\n")


def check_disk(disk):
    where = f"{disk}?offset={FILESYSTEM_AT}"
    # -n: the journal is replayed in memory only; "clean" is what the superblock says.
    state = tool("dumpe2fs", "-h", where).stdout
    expect("Filesystem state:         clean" in state, f"not cleanly unmounted: {state}")
    expect("needs_recovery" not in state, "the journal is not empty")
    checked = tool("e2fsck", "-f", "-n", where)
    expect(checked.returncode == 0, f"e2fsck finds errors: {checked.stdout}")
    marker = tool("debugfs", "-R", "cat /root/marker", where).stdout
    expect(MARKER in marker, "what the guest wrote is not on the disk")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--timeout", type=int, default=900)
    arguments.add_argument("more", nargs="*", help="options for ringshift, after --")
    chosen = arguments.parse_args()
    image = guest_file("debian/disk.img")
    with Stage(chosen.ringshift) as stage:
        disk = stage.path / "disk.img"
        subprocess.run(["cp", "--sparse=always", image, disk], check=True)
        disk.chmod(0o666)
        options = ["run", "--hda", str(disk), "--memory", "512M", "--no-reboot", *chosen.more]
        with Run(stage, options, chosen.timeout, keyboard=True) as run:
            try:
                use(run)
                run.assert_unprivileged()
                code = run.finish()
                expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
                for complaint in COMPLAINTS:
                    expect(complaint not in run.text(), f"the kernel says: {complaint}")
                check_disk(disk)
                print(run.errors(), end="")
            except Failure as problem:
                report("debian", run, problem)
                return 1
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"debian: ok ({used.ru_utime + used.ru_stime:.0f} s of processor time)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
