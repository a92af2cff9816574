"""How close a limit of the processor's time is kept: python3 bench/limit --ringshift build/release/ringshift

A Debian guest works under several limits, in several ways; the host's count of its processor time is set beside each
limit, with what it waited for the host, which is no fault of the limit's.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/guests"))

from harness import Run, Stage, guest_file, parser  # noqa: E402
from limit_test import WORK, command, share  # noqa: E402
from paravirt_test import Shell  # noqa: E402


def measure(stage, percent, seconds):
    """(what, used, waited), in per cent of a host CPU."""
    rows = []
    with Run(stage, command(stage, percent, "--user", "translate"), 600 + 20 * seconds, keyboard=True) as run:
        shell = Shell(run)
        shell.do("set +m; exec 2>/dev/null")
        for what, work in WORK.items():
            shell.do(f"({work}) >/dev/null & job=$!")
            rows.append((what, *share(run, seconds)))
            shell.do("kill -9 $job; wait")
    return rows


def main():
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=10)
    options.add_argument("--percent", type=int, action="append", help="a limit; may be repeated")
    options = options.parse_args()
    guest_file("linux-686/vmlinuz")
    print(f"{'limit':>6} {'used':>7} {'waited':>7}  work")
    with Stage(options.ringshift) as stage:
        for percent in options.percent or (10, 25, 50, 75):
            for what, used, waited in measure(stage, percent, options.seconds):
                print(f"{percent:5} % {used:5.2f} % {waited:5.1f} %  {what}", flush=True)


if __name__ == "__main__":
    main()
