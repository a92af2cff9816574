#!/usr/bin/env python3
"""bash and zsh complete command lines by the scripts that the program prints: in a terminal, by TAB.

usage: completion_test.py --ringshift PROGRAM bash|zsh
"""

import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from support import expect, need, output, parser

# The line typed before TAB -> the line after it.
LINES = {
    "ringshift doc": "ringshift doctor ",
    "ringshift run --kern": "ringshift run --kernel ",
    "ringshift run --engine int": "ringshift run --engine interpret ",
    "ringshift run --engine=int": "ringshift run --engine=interpret ",
    "ringshift run --kernel bz": "ringshift run --kernel bzImage-of-a-test ",
    "ringshift run --kernel=bz": "ringshift run --kernel=bzImage-of-a-test ",
    "ringshift run --display vn": "ringshift run --display vnc=",
    "ringshift run --cpu model=pen": "ringshift run --cpu model=pentium3 ",
    "ringshift -enable-k": "ringshift -enable-kvm ",
    "ringshift -fw_c": "ringshift -fw_cfg ",
    "ringshift -kernel bz": "ringshift -kernel bzImage-of-a-test ",
    "ringshift --verify-r": "ringshift --verify-ram ",
    "ringshift lab cens": "ringshift lab census ",
    "ringshift lab census --js": "ringshift lab census --json ",
    "ringshift lab census bz": "ringshift lab census bzImage-of-a-test ",
    "ringshift test --juni": "ringshift test --junit ",
    "ringshift test --initr": "ringshift test --initrd ",
    "ringshift resume bz": "ringshift resume bzImage-of-a-test ",
    "ringshift resume x --verify-ram la": "ringshift resume x --verify-ram later ",
    "ringshift translate --style so": "ringshift translate --style soft ",
}
# zsh puts "=" behind an option with a value, and takes it away when a blank is typed.
OF_ZSH = {
    "ringshift run --kern": "ringshift run --kernel=",
    "ringshift --verify-r": "ringshift --verify-ram=",
    "ringshift test --juni": "ringshift test --junit=",
    "ringshift test --initr": "ringshift test --initrd=",
}
# QEMU's words that are refused are not offered, nor is what is hidden.
NOT_COMPLETED = ("ringshift -pfla", "ringshift descr", "ringshift run --no-such-option")


class Shell:
    """A shell in a terminal; a key shows the line that is being edited."""

    def __init__(self, command, folder, set_up):
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.chdir(folder)
            environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(folder),
                           "INPUTRC": "/dev/null", "LC_ALL": "C.UTF-8"}
            os.execvpe(command[0], command, environment)
        self.seen = ""
        for line in set_up:
            self.type(line + "\n")
        self.type("printf '%s\\n' rea''dy\n")
        self.wait_for("ready\r\n")

    def type(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, pattern, seconds=30):
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = deadline - time.monotonic()
            expect(left > 0 and select.select([self.terminal], [], [], left)[0],
                   f"no {pattern} within {seconds} s; seen:\n{self.seen[-2000:]}")
            self.seen += os.read(self.terminal, 65536).decode(errors="replace")
        self.seen = self.seen[found.end():]
        return found

    def completed(self, line):
        self.type(f"{line}\t\x18\x0c")  # TAB, then Ctrl-X Ctrl-L: shows the line and empties it
        return self.wait_for(r"<line:([^>\r\n]*)>").group(1)

    def end(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.terminal)


def bash(folder):
    set_up = ["PS1='$ '; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'",
              "show() { printf '<line:%s>\\n' \"$READLINE_LINE\"; READLINE_LINE=; READLINE_POINT=0; }",
              "bind -x '\"\\C-x\\C-l\": show'", f"source {folder}/ringshift.bash"]
    return Shell(["bash", "--norc", "--noprofile", "-i"], folder, set_up)


def zsh(folder):
    set_up = ["PS1='$ '; unsetopt beep prompt_sp; zstyle ':completion:*' menu no; bindkey -e",
              f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -d {folder}/dump",
              "show() { print -r -- \"<line:$BUFFER>\"; BUFFER=; }",
              "zle -N show; bindkey '^X^L' show"]
    return Shell(["zsh", "-f", "-i"], folder, set_up)


def check(shell, lines):
    for typed, wanted in lines.items():
        got = shell.completed(typed)
        expect(got == wanted, f"'{typed}' was completed to '{got}', not '{wanted}'")
    for typed in NOT_COMPLETED:
        got = shell.completed(typed)
        expect(got == typed, f"'{typed}' was completed to '{got}'")


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("shell", choices=("bash", "zsh"))
    arguments = arguments.parse_args()
    need(arguments.shell)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringshift-completion-"))
    shell = None
    try:
        script = output([arguments.ringshift, "describe", arguments.shell])
        name = {"bash": "ringshift.bash", "zsh": "_ringshift"}[arguments.shell]
        (folder / name).write_text(script)
        subprocess.run([arguments.shell, "-n", folder / name], check=True)
        (folder / "bzImage-of-a-test").touch()
        shell = {"bash": bash, "zsh": zsh}[arguments.shell](folder)
        check(shell, {**LINES, **OF_ZSH} if arguments.shell == "zsh" else LINES)
    finally:
        if shell is not None:
            shell.end()
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(LINES)} lines were completed, {len(NOT_COMPLETED)} were not")
    return 0


if __name__ == "__main__":
    sys.exit(main())
