#!/usr/bin/env python3
"""./demo's build shows how far it is and what is left, in a terminal, and ends as the build did."""

import pathlib
import pty
import os
import re
import sys
import tempfile

from support import ROOT, expect

# A build of 20 parts, half a second each.
SCRIPT = """set -euo pipefail
. {common}
fake() {{ for i in $(seq 1 20); do echo "[$i/20] Building"; sleep 0.5; done; return {status}; }}
step_of_build fake fake
echo went on
"""


def run(folder, status):
    script = SCRIPT.format(common=ROOT / "tests/setup/common.sh", status=status)
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvp("bash", ["bash", "-c", script])
    shown = b""
    try:
        while more := os.read(terminal, 65536):
            shown += more
    except OSError:  # the terminal's other end is closed
        pass
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    with tempfile.TemporaryDirectory(prefix="ringshift-progress-") as name:
        shown, status = run(pathlib.Path(name), 0)
        expect(status == 0 and "went on" in shown, f"exit code {status}: {shown}")
        seen = [int(at) for at in re.findall(r"(\d+) of  20, about \d+ s left", shown)]
        expect(len(seen) >= 2, f"no estimate: {shown}")
        expect(sorted(seen) == seen and seen[0] < seen[-1], f"it does not go on: {seen}")
        shown, status = run(pathlib.Path(name), 3)
        expect(status == 3 and "FAILED" in shown and "went on" not in shown, f"exit code {status}: {shown}")
    print(f"{len(seen)} estimates")
    return 0


if __name__ == "__main__":
    sys.exit(main())
