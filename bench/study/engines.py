"""The columns of the study: what runs the guests, each as one class with the same few functions.

`absent()` says why a column is left out; `nano()` runs the bare-metal guest to its end;
`boot(...)` is a Session of a Linux guest that reads commands at its console.
"""

import contextlib
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import time

import nano
from console import Session
from places import guests_folder, offers_direct, without_privilege

QEMU = "qemu-system-i386"
BOCHS = "bochs-bin"
BIOS = pathlib.Path("/usr/share/bochs/BIOS-bochs-latest")
VGA_BIOS = pathlib.Path("/usr/share/bochs/VGABIOS-lgpl-latest")
REPORT_SECONDS = 5
KERNEL_WORDS = "console=ttyS0 quiet panic=-1"


class Engine:
    title = ""
    runs_linux = True
    runs_nano = True

    def __init__(self, name, context):
        self.name, self.context = name, context

    def absent(self):
        return None

    def counters(self):
        """The program's own counts of the last run; {} if it does not count."""
        return {}

    def running_counters(self, session):
        """The same while it runs."""
        del session
        return {}

    def remove(self):
        """Removes files that a boot has left outside the staged files."""


class Context:
    """Needed by all engines: the staged files, sizes and limits of this run of the study."""

    def __init__(self, stage, kernel, memory, timeout, tcg_cpu):
        self.stage, self.kernel, self.memory = stage, kernel, memory
        self.timeout, self.tcg_cpu = timeout, tcg_cpu
        self.cycles_a_second = None
        self.out = stage.path / "out"
        self.out.mkdir()
        self.out.chmod(0o777)
        self.nano_image = nano.make_image(stage.path / "nano.bin")


class Ringshift(Engine):
    def __init__(self, name, context, words=(), program=None):
        super().__init__(name, context)
        self.words = list(words)
        self.program = program or context.stage.ringshift
        self.figures = context.out / f"{re.sub('[^a-z0-9]', '-', name)}.json"
        self.title = "ringshift run " + " ".join(self.words) if words else "ringshift run"

    def absent(self):
        if "--user" in self.words and "--user" not in self._help():
            return "this build has no --user"
        if "interpret" in self.words:
            self.runs_linux = False
        if "--shadow" in self.words and "--shadow" not in self._help():
            return "this build has no --shadow"
        if "--user" in self.words and not offers_direct(self.program):
            return "user code cannot run directly on this host: it would be another name for ringshift or translate"
        return None

    def _help(self):
        return subprocess.run([self.program, "run", "--help"], capture_output=True, text=True,
                              check=False).stdout

    def _command(self, memory, *words):
        self.figures.unlink(missing_ok=True)
        return [*without_privilege(), self.program, "run", "--memory", memory, "--no-reboot",
                "--stats=json", "--stats-file", str(self.figures), *self.words, *words]

    def nano(self):
        command = self._command("32M", "--kernel", str(self.context.nano_image))
        with Session(command, self.context.stage.path, self.context.timeout) as session:
            result = nano.collect(nano.lines_of(session))
            session.process.wait(20)
        return result

    def boot(self, kernel, initrd, memory=None):
        return Session(self._command(memory or self.context.memory, "--kernel", kernel, "--initrd",
                                     initrd, "--append", KERNEL_WORDS),
                       self.context.stage.path, self.context.timeout)

    def counters(self):
        try:
            return json.loads(self.figures.read_text())
        except (OSError, ValueError):
            return {}

    def running_counters(self, session):
        """SIGUSR1 makes it write them anew; a file that is half written is no JSON."""
        if self.figures.is_file():
            os.truncate(self.figures, 0)
        session.process.send_signal(signal.SIGUSR1)
        until = time.monotonic() + REPORT_SECONDS
        while time.monotonic() < until:
            time.sleep(0.002)
            found = self.counters()
            if found:
                return found
        return {}


class Tcg(Engine):
    def absent(self):
        self.title = f"{QEMU} -accel tcg -cpu {self.context.tcg_cpu}"
        return None if shutil.which(QEMU) else f"no {QEMU} on PATH (Debian: qemu-system-x86)"

    def _command(self, memory, *words):
        return [*without_privilege(), QEMU, "-accel", "tcg", "-cpu", self.context.tcg_cpu,
                "-nodefaults", "-vga", "std", "-display", "none", "-serial", "stdio", "-no-reboot",
                "-m", memory, *words]

    def nano(self):
        command = self._command("32M", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                                "-kernel", str(self.context.nano_image))
        with Session(command, self.context.stage.path, self.context.timeout) as session:
            return nano.collect(nano.lines_of(session))

    def boot(self, kernel, initrd, memory=None):
        return Session(self._command(memory or self.context.memory, "-kernel", kernel, "-initrd",
                                     initrd, "-append", KERNEL_WORDS),
                       self.context.stage.path, self.context.timeout)


class Bochs(Engine):
    """Starts from a BIOS, so it runs the floppy of the bare-metal guest only.

    Its time-stamp counter counts instructions, so its figures are taken from outside.
    """
    title = "Bochs"
    runs_linux = False

    def absent(self):
        if not shutil.which(BOCHS):
            return f"no {BOCHS} on PATH (Debian: bochs, bochs-term)"
        if not (BIOS.is_file() and VGA_BIOS.is_file()):
            return "no BIOS for it (Debian: bochsbios, vgabios)"
        if not self.context.cycles_a_second:
            return "the host's cycles a second are not known, and its own counter is not time"
        return None

    def _prepare(self):
        out = self.context.out
        floppy, serial = nano.make_floppy(out / "floppy.img"), out / "bochs.serial"
        floppy.chmod(0o666)
        serial.unlink(missing_ok=True)
        os.mkfifo(serial)
        serial.chmod(0o666)
        commands = out / "bochs.commands"
        commands.write_text("c\n")  # Debian's build begins in its debugger
        configuration = out / "bochs.configuration"
        configuration.write_text(f"""display_library: term
romimage: file={BIOS}
vgaromimage: file={VGA_BIOS}
megs: 32
floppya: 1_44={floppy}, status=inserted
boot: floppy
com1: enabled=1, mode=file, dev={serial}
log: {out / "bochs.log"}
panic: action=fatal
error: action=report
""")
        return serial, [*without_privilege(), BOCHS, "-q", "-f", str(configuration), "-rc",
                        str(commands)]

    def nano(self):
        serial, command = self._prepare()
        screen, terminal = pty.openpty()
        console = os.open(serial, os.O_RDWR | os.O_NONBLOCK)
        try:
            with Session(command, self.context.stage.path, self.context.timeout,
                         dict(os.environ, TERM="xterm"), console, terminal) as session, \
                    _drained(screen):
                return nano.collect_from_outside(nano.lines_of(session),
                                                 self.context.cycles_a_second)
        finally:
            for descriptor in (screen, terminal, console):
                os.close(descriptor)


@contextlib.contextmanager
def _drained(descriptor):
    """Reads the output of a terminal program meanwhile, which would block otherwise."""
    with subprocess.Popen(["cat"], stdin=descriptor, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as drain:
        try:
            yield
        finally:
            drain.kill()


class UserModeLinux(Engine):
    """A kernel ported to Linux's own system calls; i386, from the guests' cache."""
    title = "User-mode Linux (a ported guest)"
    runs_nano = False

    def absent(self):
        program = guests_folder() / "uml/linux"
        if not program.is_file():
            return f"no {program} (tests/setup/fetch_study.sh)"
        self.program = self.context.stage.add(program, "uml-linux", 0o755)
        try:
            works = subprocess.run([self.program, "--version"], capture_output=True,
                                   timeout=20, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            works = False
        return None if works else "its program does not run here"

    def boot(self, kernel, initrd, memory=None):
        del kernel
        folder = str(self.context.out)
        words = [f"mem={memory or self.context.memory}", f"initrd={initrd}", "con=null",
                 "con0=fd:0,fd:1", "quiet", "panic=-1", f"uml_dir={folder}"]
        return Session([*without_privilege(), self.program, *words], folder, self.context.timeout,
                       {"HOME": folder, "TMPDIR": folder, "PATH": os.environ["PATH"]})


NAMES = ("ringshift", "direct", "translate", "shadow-trace", "shadow-tlb", "interpret", "tcg", "uml",
         "bochs", "native")


def all_engines(context, bochs=True):
    """Every column there could be, in the order of the table."""
    engines = [Ringshift("ringshift", context),
               Ringshift("direct", context, ["--user", "direct"]),
               Ringshift("translate", context, ["--user", "translate"]),
               Ringshift("shadow-trace", context, ["--shadow", "trace"]),
               Ringshift("shadow-tlb", context, ["--shadow", "tlb"]),
               Ringshift("interpret", context, ["--engine", "interpret"]),
               Tcg("tcg", context), UserModeLinux("uml", context)]
    return engines + ([Bochs("bochs", context)] if bochs else [])
