#!/usr/bin/env python3
"""A guest that runs code of its choice in the monitor still reaches nothing outside.

The program under test is not ringshift but tests/sandbox/hole_main.cpp: ringshift with a device that
runs guest bytes as host code. Each attempt is such bytes, in a run of its own. With the sandbox the
process must end with a line that names the call, or the call must be refused; without it the attempts
that any process may make succeed, which shows that they are real.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "guests"))
from harness import (SKIPPED, Run, Stage, expect, offers, parser, run_cases,  # noqa: E402
                     without_privilege)

TIMEOUT = 60
EXIT_INTERNAL = 134
EXIT_HOST = 10
EXIT_OF_GUEST = 1  # OUT 0xf4 of 0
SECRET = b"nobody has named this file\n"

GUEST = """
bits 32
org 0x100000
header:
  dd 0x1badb002, 1 << 16, -(0x1badb002 + (1 << 16)), header, header, 0, 0, entry
entry:
  mov dx, 0x5a0
  mov eax, payload
  out dx, eax
{after}
  mov al, 0
  out 0xf4, al
align 4096
payload:
bits 64
default rel
  push rbx
  push rbp
  push r12
{code}
  pop r12
  pop rbp
  pop rbx
  ret
{data}
  times 8192 db 0
"""


def call(number, *arguments):
    """A system call with these arguments, as NASM operands."""
    names = ["rdi", "rsi", "rdx", "r10", "r8", "r9"]
    lines = []
    for name, value in zip(names, arguments):
        text = str(value)
        lines.append(f"  lea {name}, {text}" if text.startswith("[") else f"  mov {name}, {text}")
    return "\n".join([*lines, f"  mov eax, {number}", "  syscall"])


DATA = """
secret: db "{secret}", 0
fresh: db "{fresh}", 0
shell: db "/bin/sh", 0
memory: db "/proc/self/mem", 0
empty: db 0
argv: dq 0, 0
how: dq 0, 0, 0
address: dw 2, 0x5000
  db 127, 0, 0, 1
  times 8 db 0
vector: dq space, 8
mask: dq -1
info: times 128 db 0
space: times 64 db 0
"""

AT_FDCWD = -100
# name -> (number, arguments). {victim}: a process of the same user; {monitor}: none yet.
CALLS = {
    "openat2": (437, [AT_FDCWD, "[secret]", "[how]", 24]),
    "creat": (85, ["[fresh]", 0o600]),
    "stat": (4, ["[secret]", "[info]"]),
    "access": (21, ["[secret]", 0]),
    "readlink": (89, ["[secret]", "[space]", 64]),
    "truncate": (76, ["[secret]", 0]),
    "unlink": (87, ["[secret]"]),
    "unlinkat": (263, [AT_FDCWD, "[secret]", 0]),
    "rename": (82, ["[secret]", "[fresh]"]),
    "link": (86, ["[secret]", "[fresh]"]),
    "symlink": (88, ["[secret]", "[fresh]"]),
    "mkdir": (83, ["[fresh]", 0o700]),
    "mknod": (133, ["[fresh]", 0o10600, 0]),
    "chmod": (90, ["[secret]", 0o777]),
    "chdir": (80, ["[shell]"]),
    "mount": (165, ["[shell]", "[shell]", "[shell]", 0, 0]),
    "inotify_init1": (294, [0]),
    "name_to_handle_at": (303, [AT_FDCWD, "[secret]", "[space]", "[info]", 0]),
    "socket": (41, [2, 1, 0]),
    "socket, UNIX": (41, [1, 1, 0]),
    "socketpair": (53, [1, 1, 0, "[space]"]),
    "connect": (42, [3, "[address]", 16]),
    "bind": (49, [3, "[address]", 16]),
    "listen": (50, [3, 1]),
    "execve": (59, ["[shell]", "[argv]", "[argv]"]),
    "execveat": (322, [AT_FDCWD, "[shell]", "[argv]", "[argv]", 0]),
    "fork": (57, []),
    "vfork": (58, []),
    "clone of a process": (56, [17, 0, 0, 0, 0]),
    "clone into a namespace": (56, [0x10000000 | 17, 0, 0, 0, 0]),
    "unshare": (272, [0x10000000]),
    "setns": (308, [0, 0]),
    "kill": (62, ["{victim}", 9]),
    "kill of everybody": (62, [-1, 0]),
    "tkill": (200, ["{victim}", 9]),
    "tgkill": (234, ["{victim}", "{victim}", 9]),
    "rt_sigqueueinfo": (129, ["{victim}", 9, "[info]"]),
    "rt_tgsigqueueinfo": (297, ["{victim}", "{victim}", 9, "[info]"]),
    "pidfd_open": (434, ["{victim}", 0]),
    "pidfd_send_signal": (424, [3, 9, 0, 0]),
    "pidfd_getfd": (438, [3, 0, 0]),
    "ptrace: attach": (101, [16, "{victim}", 0, 0]),
    "ptrace: seize": (101, [0x4206, "{victim}", 0, 0]),
    "ptrace: traceme": (101, [0, 0, 0, 0]),
    "ptrace: detach": (101, [17, "{victim}", 0, 0]),
    "ptrace: options": (101, [0x4200, "{victim}", 0, 0]),
    "ptrace: poke": (101, [5, "{victim}", "[space]", 0]),
    "ptrace: high bits": (101, ["0x100000010", "{victim}", 0, 0]),
    "process_vm_readv": (310, ["{victim}", "[vector]", 1, "[vector]", 1, 0]),
    "process_vm_writev": (311, ["{victim}", "[vector]", 1, "[vector]", 1, 0]),
    "process_madvise": (440, [3, "[vector]", 1, 0, 0]),
    "kcmp": (312, ["{victim}", "{victim}", 0, 0, 0]),
    "prlimit of another": (302, ["{victim}", 7, "[space]", 0]),
    "prlimit of our own": (302, [0, 7, "[space]", 0]),
    "setrlimit": (160, [4, "[space]"]),
    "sched_setaffinity of another": (203, ["{victim}", 8, "[mask]"]),
    "sched_setscheduler": (144, ["{victim}", 0, "[space]"]),
    "setpriority": (141, [0, "{victim}", 19]),
    "ioprio_set": (251, [1, "{victim}", 0]),
    "setpgid": (109, ["{victim}", 0]),
    "setsid": (112, []),
    "migrate_pages": (256, ["{victim}", 0, 0, 0]),
    "ioctl: typing on the terminal": (16, [0, 0x5412, "[space]"]),
    "ioctl: owner of signals": (16, [0, 0x8901, "[space]"]),
    "ioctl: high bits": (16, [0, "0x100005412", "[space]"]),
    "fcntl: owner of signals": (72, [0, 8, "{victim}"]),
    "setsockopt of a socket": (54, [3, 1, 2, "[space]", 4]),
    "prctl: tracer": (157, [0x59616D61, "{victim}", 0, 0, 0]),
    "prctl: dumpable": (157, [4, 0, 0, 0, 0]),
    "arch_prctl": (158, [0x1002, 0]),
    "modify_ldt": (154, [1, "[space]", 16]),
    "seccomp": (317, [0, 0, 0]),
    "another end for the end": (13, [31, "[space]", 0, 8]),
    "another end for the end, high bits": (13, ["0x10000001f", "[space]", 0, 8]),
    "prlimit of another, high bits": (302, ["0x100000001", 7, "[space]", 0]),
    "tgkill, high bits": (234, ["0x100000001", "{victim}", 9]),
    "io_uring_setup": (425, [1, "[info]"]),
    "io_setup": (206, [1, "[space]"]),
    "bpf": (321, [0, "[info]", 64]),
    "perf_event_open": (298, ["[info]", "{victim}", -1, -1, 0]),
    "userfaultfd": (323, [0]),
    "keyctl": (250, [0, 0, 0, 0, 0]),
    "add_key": (248, ["[shell]", "[shell]", 0, 0, 0]),
    "shmget": (29, [0, 4096, 0o1600]),
    "msgget": (68, [0, 0o1600]),
    "semget": (64, [0, 1, 0o1600]),
    "mq_open": (240, ["[shell]", 0, 0, 0]),
    "splice": (275, [0, 0, 1, 0, 1, 0]),
    "sendfile": (40, [1, 0, 0, 1]),
    "timerfd_create": (283, [0, 0]),
    "signalfd": (289, [-1, "[space]", 8, 0]),
    "personality": (135, [0]),
    "sethostname": (170, ["[shell]", 1]),
    "reboot": (169, [0, 0, 0, 0]),
    "swapon": (167, ["[shell]", 0]),
    "iopl": (172, [3]),
    "ioperm": (173, [0, 1, 1]),
    "init_module": (175, ["[space]", 8, "[empty]"]),
    "setuid": (105, [0]),
    "capset": (126, ["[space]", "[space]"]),
    "chroot": (161, ["[shell]"]),
    "a call that does not exist": (999, []),
}
# In the instruction set of 32 bits and with 32-bit pointers: other numbers for the same.
RAW = {
    "int 0x80: exit": "  mov eax, 1\n  xor ebx, ebx\n  int 0x80",
    "int 0x80: kill": "  mov eax, 37\n  mov ebx, {victim}\n  mov ecx, 9\n  int 0x80",
    "x32: openat": "  mov edi, -100\n  lea rsi, [secret]\n  xor edx, edx\n"
                   "  mov eax, 0x40000000 + 257\n  syscall",
}
# Calls that come back with an error: libraries try them and have another way, or the process named
# is none that we trace.
REFUSED = {
    "clone3": (435, ["[info]", 88], -38),
    "newfstatat": (262, [AT_FDCWD, "[secret]", "[info]", 0], -13),
    "statx": (332, [AT_FDCWD, "[secret]", 0, 0x7FF, "[info]"], -13),
    "ptrace: continue another's": (101, [7, "{victim}", 0, 9], -3),
    "ptrace: kill another's": (101, [8, "{victim}", 0, 0], -3),
    "ptrace: interrupt another's": (101, [0x4207, "{victim}", 0, 0], -3),
    "ptrace: peek at another's": (101, [2, "{victim}", "[space]", "[space]"], -3),
    "ptrace: registers of another": (101, [13, "{victim}", 0, "[info]"], -3),
}
# As these are, but the first time with a line.
OPENED = {
    "open": (2, ["[secret]", 0, 0]),
    "openat": (257, [AT_FDCWD, "[secret]", 0, 0]),
    "openat to write": (257, [AT_FDCWD, "[fresh]", 0o101, 0o600]),
    "openat of our own memory": (257, [AT_FDCWD, "[memory]", 2, 0]),
}
# The acts that any process of this user may do: with the sandbox off they succeed.
POSSIBLE = ["open", "openat", "openat to write", "stat", "readlink", "truncate", "unlink", "mkdir",
            "chmod", "socket", "socketpair", "fork", "kill", "tgkill", "ptrace: seize",
            "sched_setaffinity of another", "setpriority", "process_vm_readv", "shmget"]
POSSIBLE_FOR = {"readlink": -22, "process_vm_readv": -14}  # the right was there, the argument is bad
ALSO_AS_ROOT = ["open", "openat to write", "unlink", "socket", "execve", "fork", "kill",
                "ptrace: seize", "process_vm_writev", "mount", "reboot", "iopl", "setuid", "bpf"]


class Scene:
    """A folder with a secret, and a process of the same user that must stay as it is."""

    def __init__(self, stage, privileged=False):
        self.stage, self.privileged = stage, privileged
        self.prefix = [] if privileged else without_privilege()
        self.victim = subprocess.Popen([*self.prefix, "sleep", "3600"])
        self.folder = stage.path / f"scene-{self.victim.pid}"
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)
        self.secret = self.folder / "secret"
        self.fresh = self.folder / "fresh"
        subprocess.run([*self.prefix, "sh", "-c", 'cat > "$0"', str(self.secret)], input=SECRET,
                       check=True)
        self.limits = self.facts()

    def facts(self):
        folder = pathlib.Path(f"/proc/{self.victim.pid}")
        status = (folder / "status").read_text()
        kept = [line for line in status.splitlines()
                if line.split(":")[0] in ("TracerPid", "Cpus_allowed", "Seccomp", "SigPnd", "ShdPnd")]
        return kept, (folder / "limits").read_text()

    def check(self):
        expect(self.victim.poll() is None, "the victim has ended")
        expect(self.facts() == self.limits, f"the victim has changed: {self.facts()}")
        expect(self.secret.read_bytes() == SECRET, "the secret has changed")
        expect(self.secret.stat().st_mode & 0o777 != 0o777, "the secret's mode has changed")
        expect(not self.fresh.exists() and not self.fresh.is_symlink(), "a file has been made")

    def close(self):
        self.victim.kill()
        self.victim.wait()

    def image(self, code, after=""):
        source = GUEST.format(code=code, data=DATA, after=after)
        source = source.replace("{victim}", str(self.victim.pid))
        source = source.replace("{secret}", str(self.secret)).replace("{fresh}", str(self.fresh))
        path = self.stage.path / "attempt.asm"
        path.write_text(source)
        image = self.stage.path / "attempt.bin"
        subprocess.run(["nasm", "-f", "bin", "-o", str(image), str(path)], check=True)
        image.chmod(0o644)
        return str(image)

    def run(self, code, *options, after=""):
        arguments = ["run", "--kernel", self.image(code, after), "--memory", "16M", "--no-reboot",
                     *options]
        if self.privileged:
            done = subprocess.run([self.stage.ringshift, *arguments], stdin=subprocess.DEVNULL,
                                  capture_output=True, timeout=TIMEOUT, cwd=self.stage.path)
            return done.returncode, done.stderr.decode()
        with Run(self.stage, arguments, TIMEOUT) as run:
            code = run.finish()
            return code, run.errors()


def returned(errors):
    found = re.search(r"hole: (-?\d+)", errors)
    expect(found, f"the payload has not returned: {errors!r}")
    return int(found.group(1))


def case_stopped(scene, code, number):
    exit_code, errors = scene.run(code)
    said = re.fullmatch(r"ringshift: internal error: the sandbox stops system call (\d+)\n", errors)
    expect(said, f"exit code {exit_code}, not one line that names the call: {errors!r}")
    expect(number is None or int(said.group(1)) == number, f"names another call: {errors!r}")
    expect(exit_code == EXIT_INTERNAL, f"exit code {exit_code}")
    scene.check()


def case_refused(scene, code, error):
    exit_code, errors = scene.run(code)
    expect(returned(errors) == error, f"returned {returned(errors)}, not {error}")
    expect(exit_code == EXIT_OF_GUEST, f"exit code {exit_code}: {errors!r}")
    scene.check()


def case_opened(scene, code, number):
    exit_code, errors = scene.run(code)
    expect(errors == f"ringshift: the sandbox refuses to open a file: system call {number}\n"
                     "hole: -13\n", f"standard error has {errors!r}")
    expect(exit_code == EXIT_OF_GUEST, f"exit code {exit_code}")
    scene.check()


def case_possible(stage, name):
    """The same attempt without a sandbox."""
    scene = Scene(stage)
    try:
        number, arguments = (CALLS | OPENED)[name]
        code = call(number, *arguments)
        if name == "fork":  # the child ends at once
            code += "\n  test eax, eax\n  jnz .parent\n  mov eax, 60\n  xor edi, edi\n  syscall\n.parent:"
        _, errors = scene.run(code, "--sandbox", "off")
        value = returned(errors)
        wanted = POSSIBLE_FOR.get(name)
        expect(value == wanted if wanted else value >= 0, f"returned {value}")
    finally:
        scene.close()


def descriptors_with(lines):
    """`lines` for each descriptor ebx from 3 to 63."""
    return f"  mov ebx, 3\n.next:\n{lines}\n  inc ebx\n  cmp ebx, 64\n  jb .next\n  xor eax, eax"


def case_broker(scene, what, length, value, dump_works):
    """Nonsense on every socket there is; what was named is still opened, or nothing is."""
    picture = scene.folder / "screen.png"
    code = (f"  mov rax, {value}\n  mov [space], rax\n" + descriptors_with(
        call(44, "rbx", "[space]", length, 0x40, 0, 0)))
    exit_code, errors = scene.run(code, "--screendump", str(picture))
    wanted = EXIT_OF_GUEST if dump_works else EXIT_HOST  # the picture that cannot be written
    expect(exit_code == wanted, f"{what}: exit code {exit_code}: {errors!r}")
    expect(picture.exists() == dump_works, f"{what}: the picture is there: {picture.exists()}")
    scene.check()
    picture.unlink(missing_ok=True)


def case_nothing_leaks(scene):
    """Every descriptor is guest RAM, translated code, the console, or what we gave it."""
    with Run(scene.stage, ["run", "--kernel", scene.image("  xor eax, eax", after="  jmp $"),
                           "--memory", "16M"], TIMEOUT) as run:
        deadline = time.monotonic() + TIMEOUT
        while "hole:" not in run.errors():
            expect(time.monotonic() < deadline and run.process.poll() is None, run.errors())
            time.sleep(0.02)
        process = pathlib.Path(f"/proc/{run.process.pid}")
        for task in (process / "task").iterdir():
            status = (task / "status").read_text()
            expect("\nSeccomp:\t2" in status, f"thread {task.name} has no filter")
            expect("\nNoNewPrivs:\t1" in status, f"thread {task.name} may gain privileges")
        names = {}
        for number in (process / "fd").iterdir():
            names[int(number.name)] = os.readlink(number)
        strange = {number: name for number, name in names.items() if number > 2 and not re.match(
            r"/memfd:ringshift-|anon_inode:\[eventfd\]|socket:|/proc/\d+/smaps_rollup", name)}
        expect(not strange, f"open descriptors: {strange}")
        run.terminate()
        expect(run.finish() == 8, "SIGTERM does not end it as it should")


def case_no_process_stays(scene, number):
    """The broker ends with the monitor, however that ends."""
    with Run(scene.stage, ["run", "--kernel", scene.image("  xor eax, eax", after="  jmp $"),
                           "--memory", "16M"], TIMEOUT) as run:
        deadline = time.monotonic() + TIMEOUT
        while "hole:" not in run.errors():
            expect(time.monotonic() < deadline and run.process.poll() is None, run.errors())
            time.sleep(0.02)
        children = [int(child) for child in pathlib.Path(
            f"/proc/{run.process.pid}/task/{run.process.pid}/children").read_text().split()]
        expect(children, "no broker")
        run.process.send_signal(number)
        run.process.wait(TIMEOUT)
        deadline = time.monotonic() + TIMEOUT
        while any(pathlib.Path(f"/proc/{child}").exists() for child in children):
            expect(time.monotonic() < deadline, f"of {children} one lives on")
            time.sleep(0.02)


def attempts(scene, names):
    for name in names:
        number, arguments = (CALLS | OPENED)[name]
        case = case_opened if name in OPENED else case_stopped
        yield name, lambda number=number, arguments=arguments, case=case: case(
            scene, call(number, *arguments), number)


def all_cases(scene, stage):
    cases = list(attempts(scene, CALLS | OPENED))
    has_32_bit_calls = offers(stage.ringshift, "compatibility-mode")
    for name, code in RAW.items():
        if "int 0x80" in name and not has_32_bit_calls:
            continue  # the host's kernel has none
        cases.append((name, lambda code=code: case_stopped(scene, code, None)))
    for name, (number, arguments, error) in REFUSED.items():
        cases.append((name, lambda number=number, arguments=arguments, error=error: case_refused(
            scene, call(number, *arguments), error)))
    cases.append(("broker: a place beyond the list", lambda: case_broker(
        scene, "place", 4, "0x7fffffff", False)))
    cases.append(("broker: a negative place", lambda: case_broker(scene, "place", 4, -1, False)))
    cases.append(("broker: a long request", lambda: case_broker(scene, "length", 8, 0, False)))
    cases.append(("broker: a short request", lambda: case_broker(scene, "length", 3, 0, False)))
    cases.append(("what is open", lambda: case_nothing_leaks(scene)))
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT):
        cases.append((f"no process stays after signal {int(number)}",
                      lambda number=number: case_no_process_stays(scene, number)))
    for name in POSSIBLE:
        cases.append((f"{name}, without a sandbox", lambda name=name: case_possible(stage, name)))
    return cases


def main():
    options = parser(__doc__.splitlines()[0]).parse_args()
    with Stage(options.ringshift) as stage:
        if not offers(stage.ringshift, "sandbox-seccomp"):
            print("skipped: `doctor` says that this host, or this build, offers no sandbox-seccomp")
            return SKIPPED
        scene = Scene(stage)
        failed = 0
        try:
            failed += run_cases(all_cases(scene, stage))
        finally:
            scene.close()
        if os.geteuid() == 0:
            scene = Scene(stage, privileged=True)
            try:
                failed += run_cases([(f"{name}, as root", case)
                                     for name, case in attempts(scene, ALSO_AS_ROOT)])
            finally:
                scene.close()
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
