#!/usr/bin/env python3
"""Boots a Debian kernel in ringshift and compares the guest's self-test with self-test.expected.

With --until the run is over when the console has shown that text instead.
usage: run_linux.py --ringshift PROGRAM --kernel linux-686 [options]
"""

import difflib
import sys

from harness import (EXIT_POWER_OFF, EXIT_QUIT, HERE, Failure, Run, Stage, expect, guest_file, parser,
                     report)

READY = "ringshift-guest: ready\n"
LAST = "self-test: ok\n"


def arguments():
    options = parser(__doc__)
    options.add_argument("--kernel", required=True, help="linux-686 or linux-686-pae")
    options.add_argument("--memory", default="128M")
    options.add_argument("--verbose-boot", action="store_true", help="boot without `quiet`")
    options.add_argument("--append", default="", help="more words for the kernel")
    options.add_argument("--expect", action="append", default=[], help="text the console must show")
    options.add_argument("--until", help="end (by SIGTERM) when the console has shown this")
    options.add_argument("--timeout", type=float, default=300)
    options.add_argument("more", nargs="*", help="more options for ringshift, after --")
    return options.parse_args()


def command(stage, options):
    words = ["console=ttyS0", "panic=-1"]
    if not options.verbose_boot:
        words.append("quiet")
    if not options.until:
        words.append("ringshift.script=self-test")
    return ["run", *stage.linux(options.kernel), "--append", " ".join(words + options.append.split()),
            "--memory", options.memory, "--no-reboot", *options.more]


def check_self_test(text):
    expect(READY in text, f"no line '{READY.strip()}'")
    answer = text.split(READY, 1)[1]
    expect(LAST in answer, f"no line '{LAST.strip()}'")
    answer = answer[:answer.index(LAST) + len(LAST)]
    wanted = (HERE / "self-test.expected").read_text()
    difference = difflib.unified_diff(wanted.splitlines(), answer.splitlines(), "expected", "guest",
                                      lineterm="", n=1)
    expect(answer == wanted, "the self-test differs\n" + "\n".join(difference))


def follow(run, options):
    run.read_some()
    run.assert_unprivileged()
    if options.until:
        run.wait_for(options.until)
        run.assert_unprivileged()
        run.terminate()
    code = run.finish()
    wanted_code = EXIT_QUIT if options.until else EXIT_POWER_OFF
    expect(code == wanted_code, f"exit code {code}, not {wanted_code}")
    text = run.text()
    for wanted in options.expect:
        expect(wanted in text, f"the console never shows: {wanted}")
    if not options.until:
        check_self_test(text)


def main():
    options = arguments()
    guest_file(f"{options.kernel}/vmlinuz")
    guest_file("initramfs.cpio.gz")
    with Stage(options.ringshift) as stage, Run(stage, command(stage, options),
                                                options.timeout) as run:
        try:
            follow(run, options)
        except Failure as problem:
            report(options.kernel, run, problem)
            return 1
    print(f"{options.kernel}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
