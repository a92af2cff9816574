#!/usr/bin/env python3
"""`ringshift test`: commands in a Debian kernel's shell, guests that end by themselves, reports, time that
is over; the same as a container's root in a user namespace.

usage: ci_test.py --ringshift PROGRAM [CASE...]
"""

import subprocess
import sys
import time
import xml.etree.ElementTree

from harness import (EXIT_USAGE, HERE, Stage, expect, guests_folder, parser, run_cases,
                     without_privilege)

TIMEOUT = 240
EXIT_TIMEOUT, EXIT_NO_RESULT = 124, 125


class TestStage(Stage):
    """A stage where an unprivileged user may write reports, with tiny guests."""

    def __init__(self, ringshift):
        super().__init__(ringshift)
        self.path.chmod(0o777)
        self.assemble("lines", f"{HERE}/console/lines.asm")
        (self.path / "seven.asm").write_text('%include "guest.inc"\nmain:\n  say "seven"\n  finish 7\n')
        self.assemble("seven", str(self.path / "seven.asm"))
        (self.path / "forever.asm").write_text('%include "guest.inc"\nmain:\n  say "on"\n  jmp $\n')
        self.assemble("forever", str(self.path / "forever.asm"))

    def assemble(self, name, source):
        subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", "-o", name, source],
                       cwd=self.path, check=True)
        (self.path / name).chmod(0o644)

    def test(self, *words, under=()):
        return subprocess.run([*without_privilege(), *under, self.ringshift, "test", *words],
                              cwd=self.path, capture_output=True, text=True, check=False,
                              timeout=TIMEOUT, stdin=subprocess.DEVNULL, errors="replace")


def ends(stage):
    """Without commands: the guest's own end."""
    done = stage.test("--kernel", "lines", "-m", "16M")
    expect((done.returncode, done.stdout) == (0, "one\ntwo\nthree\n"), f"{done}")
    done = stage.test("-kernel", "seven", "-m", "16", "--junit=report.xml")
    expect((done.returncode, done.stdout) == (7, "seven\n"), f"{done}")
    suite = xml.etree.ElementTree.parse(stage.path / "report.xml").getroot()
    expect((suite.get("tests"), suite.get("failures")) == ("1", "1"), "the report's counts")
    expect(suite.find("testcase/failure").get("message") == "exit code 7", "the report's reason")
    expect(suite.find("testcase/system-out").text == "seven\n", "the report's output")


def limits(stage):
    begin = time.monotonic()
    done = stage.test("--kernel", "forever", "-m", "16M", "--timeout", "2")
    expect(done.returncode == EXIT_TIMEOUT and "no end within 2 seconds" in done.stderr, f"{done}")
    expect(time.monotonic() - begin < 60, "it goes on")
    done = stage.test("--kernel", "forever", "-m", "16M", "--timeout", "2", "--run", "true")
    expect(done.returncode == EXIT_TIMEOUT and "(--ready)" in done.stderr and "\non" in done.stderr,
           f"{done}")
    done = stage.test("--kernel", "lines", "-m", "16M", "--run", "true")
    expect(done.returncode == EXIT_NO_RESULT and "the machine ended" in done.stderr, f"{done}")


def wrong_lines(stage):
    for words, wanted in ((("--kernel", "nowhere"), "nowhere"), (("--timeout", "x"), "--timeout"),
                          (("--ready", "[", "--kernel", "lines"), "--ready"), (("--run",), "--run"),
                          (("--script", "nowhere"), "--script"), (("--no-such-option",), "no-such")):
        done = stage.test(*words)
        expect(done.returncode == EXIT_USAGE and wanted in done.stderr, f"{words}: {done}")
        expect(not done.stdout, f"{words}: {done.stdout!r}")
    done = stage.test("--help")
    expect(done.returncode == 0 and "--junit" in done.stdout, f"{done}")


def linux(stage):
    return [*stage.linux("linux-686"), "--append", "console=ttyS0", "--timeout", str(TIMEOUT - 20)]


def commands(stage):
    guest = linux(stage)
    done = stage.test(*guest, "--run", "echo 'one \"two\" $HOME'; printf three", "--run", "uname -s",
                      "--run", "cat; exit 3", "--run", "echo not run", "--junit", "commands.xml")
    expect(done.returncode == 3, f"{done}")
    expect(done.stdout == 'one "two" $HOME\nthreeLinux\n', f"{done.stdout!r}")
    suite = xml.etree.ElementTree.parse(stage.path / "commands.xml").getroot()
    cases = [(case.get("name"), case.find("failure") is None) for case in suite]
    expect([good for _, good in cases] == [True, True, False], f"the report has {cases}")


def scripts(stage):
    guest = linux(stage)
    script = "set -e\nfor n in 1 2 3; do\n  echo \"line $n\"\ndone\necho 'ringshift-exit' 9\n"
    stage.write("good.sh", (script + "head -c 3000 /dev/zero | tr '\\0' x\necho\n").encode())
    done = stage.test(*guest, "--script", "good.sh")
    wanted = "line 1\nline 2\nline 3\nringshift-exit 9\n" + "x" * 3000 + "\n"
    expect((done.returncode, done.stdout) == (0, wanted), f"{done}")
    stage.write("bad.sh", b"echo begin\nif true; then\n")
    done = stage.test(*guest, "--script", "bad.sh")
    expect(done.returncode == 2, f"a script that is none: {done}")


def container(stage):
    """As root in a user namespace, with its own processes, as a container's runtime makes it."""
    under = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--net")
    tried = subprocess.run([*without_privilege(), *under, "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        print("this host makes no user namespaces: no container is tried")
        return
    done = stage.test(*linux(stage), "--run", "id -u; exit 5", under=under)
    expect((done.returncode, done.stdout) == (5, "0\n"), f"{done}")


CASES = {"ends": ends, "limits": limits, "wrong-lines": wrong_lines}
CASES_OF_LINUX = {"commands": commands, "scripts": scripts, "container": container}


def main():
    options = parser(__doc__)
    options.add_argument("cases", nargs="*")
    arguments = options.parse_args()
    cases = dict(CASES)
    if (guests_folder() / "linux-686/vmlinuz").is_file() and (
            guests_folder() / "initramfs.cpio.gz").is_file():
        cases.update(CASES_OF_LINUX)
    with TestStage(arguments.ringshift) as stage:
        return run_cases([(name, lambda case=cases[name]: case(stage))
                          for name in arguments.cases or cases])


if __name__ == "__main__":
    sys.exit(main())
