"""Builds the kernel in tests/guests/kernel, in both ways, with the host's compiler."""

import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parent / "kernel"
FLAGS = ["-m32", "-march=i686", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic", "-no-pie",
         "-mgeneral-regs-only", "-fno-stack-protector", "-fcf-protection=none", "-fno-asynchronous-unwind-tables",
         "-nostdlib", "-static", "-Wl,--build-id=none", "-Wl,-z,noexecstack", "-Wl,--no-warn-rwx-segments"]
WAYS = ("native", "paravirtual")


class CannotBuild(Exception):
    """The host's compiler makes no code for i386."""


def _make(folder, target, script, *sources):
    command = ["gcc", *FLAGS, f"-I{folder}", f"-Wa,-I{folder}", "-o", str(folder / target), f"-Wl,-T,{SOURCE / script}",
               *(source if source.startswith("-") else str(SOURCE / source) for source in sources)]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        raise RuntimeError(made.stderr)


def build(folder):
    """{way: path of the kernel}, in `folder`."""
    try:
        subprocess.run(["gcc", *FLAGS, "-x", "c", "-c", "-", "-o", str(folder / "probe.o")], input="int probe;\n",
                       check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as problem:
        raise CannotBuild(str(problem)) from problem
    _make(folder, "user.elf", "user.ld", "user.c")
    subprocess.run(["objcopy", "-O", "binary", str(folder / "user.elf"), str(folder / "user.bin")], check=True)
    for way in WAYS:
        more = ["-DPARAVIRTUAL"] if way == "paravirtual" else []
        _make(folder, f"kernel-{way}", "kernel.ld", "entry.S", "kernel.c", "memory.c", f"{way}.c", *more)
    return {way: folder / f"kernel-{way}" for way in WAYS}
