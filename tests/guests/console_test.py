#!/usr/bin/env python3
"""Input and output as people meet them: input given before the guest listens, lines ended by LF alone on
a terminal, the text screen's last page.

usage: console_test.py --ringshift PROGRAM
"""

import os
import subprocess
import sys
import time

from harness import (EXIT_POWER_OFF, HERE, Run, Stage, expect, guests_folder, parser, run_cases,
                     without_privilege)

TIMEOUT = 120
TYPED = "first line\nsecond, and longer than the sixteen bytes of a FIFO\nend\n"
EXIT_OF_GUEST = 1  # it ends by way of port 0xf4, with 0


def assemble(stage, name, *more):
    made = stage.path / f"{name}{''.join(more)}.bin"
    subprocess.run(["nasm", "-f", "bin", "-Werror", "-I", f"{HERE}/asm/", *more, "-o", made,
                    f"{HERE}/console/{name}.asm"], check=True)
    made.chmod(0o644)
    return str(made)


def early_input(stage, *more):
    """All of it is there before the guest has set its port up, and is not lost to that."""
    with Run(stage, ["run", "--kernel", assemble(stage, "late_listener", *more)], TIMEOUT,
             keyboard=True) as run:
        run.type(TYPED)
        code = run.finish()
        expect(code == EXIT_OF_GUEST, f"exit code {code}: {run.errors()!r}")
        expect(run.text() == "listening\n" + TYPED, f"it has heard {run.text()!r}")


def early_input_of_linux(stage):
    options = ["run", *stage.linux("linux-686"), "--append", "console=ttyS0 quiet"]
    with Run(stage, options, TIMEOUT, keyboard=True) as run:
        run.type("echo answer $((6*7))\npoweroff -f\n")
        code = run.finish()
        expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()!r}")
        expect("answer 42\n" in run.text(), f"it has heard {run.text()[-500:]!r}")


class Output:
    """A run whose standard output and error each are a pseudo-terminal or a pipe."""

    def __init__(self, stage, arguments, terminal):
        self.master, slave = os.openpty()
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, terminal: slave}
        if terminal == "stdout":  # what makes the terminal raw is that it is the input
            streams["stdin"] = slave
        process = subprocess.Popen([*without_privilege(), stage.ringshift, *arguments],
                                   cwd=stage.path, start_new_session=True,
                                   **{"stdin": subprocess.DEVNULL, **streams})
        os.close(slave)
        self.text = self.read(time.monotonic() + TIMEOUT)
        pipe = process.stderr if terminal == "stdout" else process.stdout
        self.other = pipe.read()
        self.code = process.wait(TIMEOUT)
        os.close(self.master)

    def read(self, deadline):
        text = b""
        while time.monotonic() < deadline:
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the last user has gone
                return text
            text += data
        return text


def no_stairs(stage):
    """A raw terminal that got LF as it is would go on below, and not at the line's beginning."""
    run = Output(stage, ["run", "--kernel", assemble(stage, "lines")], "stdout")
    expect(run.code == EXIT_OF_GUEST, f"exit code {run.code}")
    expect(run.text == b"one\r\ntwo\r\nthree\r\n", f"the terminal got {run.text!r}")


def last_page(stage):
    """Where nobody has seen the screen, and somebody can see it at the end."""
    kernel = ["run", "--kernel", assemble(stage, "lines")]
    shown = Output(stage, kernel, "stderr")
    expect(b"\r\nwritten to the screen\r\n" in shown.text, f"it says {shown.text!r}")
    expect(shown.text.count(b"--display text") == 1, f"no hint, or two, in {shown.text!r}")
    expect(shown.other == b"one\ntwo\nthree\n", f"standard output has {shown.other!r}")
    for more in (["--display", "none"], ["--screendump", "/dev/null"]):
        hidden = Output(stage, [*kernel, *more], "stderr")
        expect(hidden.text == b"", f"with {more} it says {hidden.text!r}")
    once = Output(stage, [*kernel, "--dump-screen"], "stderr")
    expect(once.text.count(b"written to the screen") == 1, f"--dump-screen says {once.text!r}")
    with Run(stage, kernel, TIMEOUT) as run:
        run.finish()
        expect(run.errors() == "", f"a file gets {run.errors()!r}")


def blank_page(stage):
    """A guest that has written nothing there leaves nothing."""
    shown = Output(stage, ["run", "--kernel", assemble(stage, "late_listener", "-DSILENT")], "stderr")
    expect(shown.code == EXIT_OF_GUEST and shown.text == b"", f"it says {shown.text!r}")


def main():
    options = parser(__doc__).parse_args()
    with Stage(options.ringshift) as stage:
        cases = [("input before the guest listens", lambda: early_input(stage)),
                 ("input before the guest polls", lambda: early_input(stage, "-DPOLLS")),
                 ("no stairs", lambda: no_stairs(stage)),
                 ("last page", lambda: last_page(stage)),
                 ("blank page", lambda: blank_page(stage))]
        if (guests_folder() / "linux-686/vmlinuz").is_file():
            cases.append(("input before Linux listens", lambda: early_input_of_linux(stage)))
        return 1 if run_cases(cases) else 0


if __name__ == "__main__":
    sys.exit(main())
