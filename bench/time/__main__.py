"""How far a guest's clocks drift from the host's: python3 bench/time --ringshift build/release/ringshift

Machines under each --time share one host CPU and spin, four at once unless told otherwise. A bare guest counts the
ticks of three timers, which is all that a guest without a clock from its monitor knows, and reads kvmclock. Each is
set beside the host's clock. A question is asked often, and the quickest answer counts.
"""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/guests"))

from harness import Run, parser  # noqa: E402
from time_test import APIC_HERTZ, Guest, PIT_HERTZ, RTC_HERTZ, TimeStage  # noqa: E402

QUESTIONS = 20
CLOCKS = {"PIT": lambda reading: reading.pit / PIT_HERTZ, "RTC": lambda reading: reading.rtc / RTC_HERTZ,
          "APIC": lambda reading: reading.apic / APIC_HERTZ, "kvmclock": lambda reading: reading.time}


def answer(guest):
    """The reading whose moment is known best."""
    return min((guest.ask() for _ in range(QUESTIONS)), key=lambda reading: reading.end - reading.begin)


def factor(policy):
    return float(policy.partition("=")[2] or 1)


def drift(policy, first, last, clock):
    """In per cent of the host's time, and how sure that is."""
    passed = (clock(last) - clock(first)) / factor(policy)
    host = (last.begin + last.end - first.begin - first.end) / 2
    unsure = (last.end - last.begin + first.end - first.begin) / 2
    return 100 * (passed - host) / host, 100 * unsure / host


def measure(stage, policies, seconds):
    runs = [Run(stage, stage.clocks(policy), 600 + 2 * seconds, keyboard=True) for policy in policies]
    try:
        guests = [Guest(run) for run in runs]
        for guest in guests:
            guest.run.type("b")
        first = [answer(guest) for guest in guests]
        time.sleep(seconds)
        last = [answer(guest) for guest in guests]
    finally:
        for run in runs:
            run.__exit__()
    return [(policy, [drift(policy, begin, end, clock) for clock in CLOCKS.values()])
            for policy, begin, end in zip(policies, first, last)]


def main():
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--machines", type=int, default=4, help="on one host CPU (default 4)")
    options.add_argument("--policy", action="append", help="as --time has it; may be repeated")
    options = options.parse_args()
    policies = options.policy or ["usual", "real", "lazy", "scaled=0.5"]
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"{options.machines} machines on one CPU, {options.seconds:g} s; drift from the host's clock, in per cent\n")
    print(f"{'--time':12}" + "".join(f"{name:>18}" for name in CLOCKS), flush=True)
    with TimeStage(options.ringshift) as stage:
        while policies:
            now = (policies * options.machines)[:options.machines]
            for policy, drifts in measure(stage, now, options.seconds)[:len(policies)]:
                print(f"{policy:12}" + "".join(f"{value:+10.3f} ±{unsure:5.3f} " for value, unsure in drifts), flush=True)
            policies = policies[options.machines:]


if __name__ == "__main__":
    main()
