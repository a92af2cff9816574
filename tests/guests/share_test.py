#!/usr/bin/env python3
"""Debian's own 9p driver and a folder of the host's: it is mounted, listed, read, written, and large
files have the right sums both ways; a read-only one refuses all writes; a machine with the folder
mounted is not saved, and one without is; a server that dies leaves errors, and the machine lives.

usage: share_test.py --ringshift PROGRAM [CASE...]
"""

import hashlib
import os
import pathlib
import random
import re
import signal
import sys

from disk_test import initrd_with, module_files
from harness import (EXIT_POWER_OFF, EXIT_USAGE, SKIPPED, Run, Stage, expect, guest_file, parser,
                     run_cases)

MIB = 1 << 20
LARGE_BYTES = 32 * MIB
DRIVERS = ("virtio_pci", "9pnet_virtio", "9p")
BEGIN = r"""
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
mkdir -p /share
mount_it() { mount -t 9p -o trans=virtio,version=9p2000.L,msize=65536 @TAG@ /share; }
"""
END = r"""
dmesg | grep -iE '(9p|virtio).*(error|failed|timeout)' && echo 'share-test: errors'
echo 'share-test: done'
"""
WHOLE = BEGIN + r"""
mount_it && echo 'mounted'
echo "listed $(ls /share | tr '\n' ' ')"
echo "large $(md5sum </share/large)"
cat /share/folder/note
mkdir /share/made
echo 'from the guest' >/share/made/note
mv /share/made/note /share/made/letter
ln -s letter /share/made/link
cat /share/made/link
chmod 750 /share/made/letter
dd if=/dev/urandom of=/tmp/own bs=1M count=16 2>/dev/null
cp /tmp/own /share/own && sync
echo "own $(md5sum </tmp/own)"
rm /share/folder/note && rmdir /share/folder
umount /share && echo 'unmounted'
""" + END
LOCKED = BEGIN + r"""
mount_it && echo 'mounted'
echo "large $(md5sum </share/large)"
echo x >/share/new && echo 'written'
echo x >>/share/large && echo 'appended'
mkdir /share/made && echo 'made'
rm /share/large && echo 'removed'
chmod 777 /share/large && echo 'changed'
mv /share/large /share/larger && echo 'moved'
echo "large $(md5sum </share/large)"
umount /share
echo 'share-test: done'
"""
SAVED = BEGIN + r"""
mount_it && cat /share/note
echo 'share-test: mounted'
while [ ! -e /share/go ]; do sleep 1; done
umount /share
echo 'share-test: unmounted'
i=0
while [ $i -lt 5 ]; do sleep 1; i=$((i + 1)); done
mount_it && cat /share/note
""" + END
KILLED = BEGIN + r"""
mount_it && cat /share/note
echo 'share-test: mounted'
while cat /share/note >/dev/null 2>&1; do sleep 1; done
cat /share/note 2>&1
echo 'share-test: done'
"""


def md5(data):
    return hashlib.md5(data).hexdigest()


def words(stage, script, share, tag="share"):
    kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
    text = script.replace("@TAG@", tag)
    return ["run", "--kernel", kernel, "--initrd", initrd_with(stage, DRIVERS, text), "--memory",
            "128M", "--append", "console=ttyS0 quiet ringshift.script=self-test", "--no-reboot",
            "--share", share]


def make_folder(stage):
    folder = pathlib.Path(stage.path) / "shared"
    (folder / "folder").mkdir(parents=True)
    large = random.Random(9).randbytes(LARGE_BYTES)
    (folder / "large").write_bytes(large)
    (folder / "folder/note").write_text("from the host\n")
    (folder / "note").write_text("a note\n")
    for path in (folder, folder / "folder"):
        path.chmod(0o777)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666)
    return folder, large


def finish(run):
    code = run.finish()
    expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-2000:]} {run.errors()}")
    text = run.text()
    expect("share-test: done" in text and "share-test: errors" not in text,
           f"the guest's script: {text[-2000:]}")
    return text


def whole(ringshift):
    with Stage(ringshift) as stage:
        folder, large = make_folder(stage)
        with Run(stage, words(stage, WHOLE, f"{folder},tag=music", "music"), timeout=120) as run:
            text = finish(run)
        for wanted in ("mounted\n", "listed folder large note", f"large {md5(large)}",
                       "from the host\n", "from the guest\n", "unmounted\n"):
            expect(wanted in text, f"without '{wanted}': {text[-2000:]}")
        own = (folder / "own").read_bytes()
        expect(len(own) == 16 * MIB and f"own {md5(own)}" in text, "the guest's file is another one")
        letter = folder / "made/letter"
        expect(letter.read_text() == "from the guest\n", "the guest's letter is another one")
        expect(letter.stat().st_mode & 0o777 == 0o750, "its mode is another one")
        expect(os.readlink(folder / "made/link") == "letter", "the guest's link leads elsewhere")
        expect(not (folder / "folder").exists(), "a folder that the guest removed is there")


def locked(ringshift):
    with Stage(ringshift) as stage:
        folder, large = make_folder(stage)
        before = (folder / "large").stat()
        with Run(stage, words(stage, LOCKED, f"{folder},readonly"), timeout=120) as run:
            text = finish(run)
        expect(text.count(f"large {md5(large)}") == 2, f"what was read is wrong: {text[-2000:]}")
        for word in ("written", "appended", "made", "removed", "changed", "moved"):
            expect(not re.search(f"^{word}$", text, re.MULTILINE), f"the guest could: {word}")
        after = (folder / "large").stat()
        expect((folder / "large").read_bytes() == large and before.st_mode == after.st_mode
               and sorted(os.listdir(folder)) == ["folder", "large", "note"], "the folder has changed")


def saved(ringshift):
    with Stage(ringshift) as stage:
        folder, _ = make_folder(stage)
        state = str(pathlib.Path(stage.path) / "state")
        pathlib.Path(stage.path).chmod(0o777)
        line = [*words(stage, SAVED, str(folder)), "--save", state]
        with Run(stage, line, timeout=120) as run:
            run.wait_for("share-test: mounted")
            run.process.send_signal(signal.SIGUSR2)
            while "unmount it in the guest" not in run.errors():
                expect(run.process.poll() is None, f"ended: {run.errors()}")
                run.deadline -= 0.1
                expect(run.deadline > 0, "no word of the save")
                signal.sigtimedwait([], 0.1)
            (folder / "go").touch()
            run.wait_for("share-test: unmounted")
            run.process.send_signal(signal.SIGUSR2)
            code = run.finish()
            expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
        with Run(stage, ["resume", state], timeout=120) as run:
            expect("a note" in finish(run), f"not mounted again: {run.text()[-2000:]}")


def children_of(process):
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        name, rest = text[text.index("(") + 1:].rsplit(")", 1)
        if name == "diod" and int(rest.split()[1]) == process.pid:
            found.append(int(path.parent.name))
    return found


def killed(ringshift):
    with Stage(ringshift) as stage:
        folder, _ = make_folder(stage)
        with Run(stage, words(stage, KILLED, str(folder)), timeout=120) as run:
            run.wait_for("share-test: mounted")
            servers = children_of(run.process)
            expect(len(servers) == 1, f"servers: {servers}")
            os.kill(servers[0], signal.SIGKILL)
            text = finish(run)
            expect("Input/output error" in text or "I/O error" in text, f"no error: {text[-500:]}")
            expect(run.errors().count("the server of the shared folder (diod) has ended") == 1,
                   f"not one line: {run.errors()}")


def refused(ringshift):
    with Stage(ringshift) as stage:
        kernel = stage.add(guest_file("linux-686/vmlinuz"), "vmlinuz")
        for share, line in (("/nowhere/at/all", "--share: /nowhere/at/all: No such file or directory"),
                            (kernel, "is not a folder"), ("/", "the root itself cannot be shared"),
                            ("x,tag=a/b", "cannot use 'tag=a/b'")):
            with Run(stage, ["run", "--kernel", kernel, "--share", share], timeout=20) as run:
                expect(run.finish() == EXIT_USAGE, f"{share} is not refused")
                expect(line in run.errors() and run.errors().count("\n") == 1,
                       f"{share}: {run.errors()}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE")
    chosen = arguments.parse_args()
    if not pathlib.Path("/usr/sbin/diod").exists() or not {"9p", "9pnet_virtio"} <= set(module_files()):
        print("skipped: no diod, or no modules in the cache")
        return SKIPPED
    cases = {"whole": whole, "locked": locked, "saved": saved, "killed": killed, "refused": refused}
    return run_cases([(name, lambda case=case: case(chosen.ringshift))
                      for name, case in cases.items() if not chosen.cases or name in chosen.cases])


if __name__ == "__main__":
    sys.exit(main())
