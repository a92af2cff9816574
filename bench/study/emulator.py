"""QEMU's emulator with a guest whose state is saved, and machines that begin from it."""

import contextlib
import socket
import subprocess
import time

from console import Session, Trouble
from harness import guest_file

NAME = "booted"  # of the state in the picture


def command(memory, picture, *more, append="console=ttyS0 quiet", initrd=None, net=("-net", "none")):
    """A Debian kernel under TCG on its serial console; `picture` is the qcow2 file that holds saved states.

    `memory` is what -m takes.
    """
    return ["qemu-system-i386", "-accel", "tcg", "-cpu", "max", "-m", memory, "-display", "none", *net, "-serial", "stdio",
            "-no-reboot", "-kernel", guest_file("linux-686/vmlinuz"), "-initrd", initrd or guest_file("initramfs.cpio.gz"),
            "-append", append, "-drive", f"if=none,id=states,format=qcow2,file={picture}", *more]


def save(memory, folder, ready, timeout, prepare=lambda session: None, **words):
    """A picture with a machine's state in it, taken when the guest had said `ready` and `prepare` was through."""
    picture, monitor = folder / "emulated.qcow2", folder / "emulated.monitor"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", picture, "64M"], check=True)
    listens = ("-monitor", f"unix:{monitor},server=on,wait=off")
    with Session([str(word) for word in command(memory, picture, *listens, **words)], folder, timeout) as session:
        session.wait_for(ready)
        prepare(session)
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as control:
            control.connect(str(monitor))
            control.settimeout(timeout)
            control.sendall(f"savevm {NAME}\nquit\n".encode())
            while control.recv(4096):
                pass
        session.process.wait()
    if NAME not in subprocess.run(["qemu-img", "snapshot", "-l", picture], capture_output=True, text=True).stdout:
        raise Trouble("QEMU saved no state")
    return picture
