"""How soon a machine that was pickled answers: from the program's start to the answer of a web server in the guest.

A Debian kernel with busybox's httpd behind a forwarded port of the user network. Four ways to come to its answer:
a cold boot and a saved machine that is resumed, of Ringshift and of QEMU's emulator (-loadvm). Each way in turn; medians of
the time by the clock and of processor time. The saved files have been read once, so that they are in the host's memory.
usage: python3 bench/pickled [--ringshift PROGRAM] [--rounds N] [--memory 256M] [--card CARD]
"""

import argparse
import contextlib
import pathlib
import signal
import statistics
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench/study"), str(ROOT / "tests/guests"), str(ROOT / "tests/setup")]
import console  # noqa: E402
import disk_test  # noqa: E402
import emulator  # noqa: E402
from harness import guest_file  # noqa: E402
from network_test import DRIVERS, free_port  # noqa: E402

SCRIPT = """
for module in @MODULES@; do insmod /modules/$module.ko || echo "no $module"; done
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
mkdir -p /tmp/www
echo "the guest's own" >/tmp/www/index.html
httpd -p 80 -h /tmp/www
echo 'pickled: serving'
while :; do sleep 1000; done
"""
SERVING, ANSWER = "pickled: serving", b"the guest's own\n"
APPEND = "console=ttyS0 quiet ringshift.script=self-test"
QEMU_NAMES = {"virtio": "virtio-net-pci"}
TIMEOUT = 300
PATIENCE = 1  # seconds for one request


def initrd_with_server(folder, card):
    files = disk_test.module_files()
    order = disk_test.load_order(files, DRIVERS[card])
    script = folder / "script"
    script.write_text(SCRIPT.replace("@MODULES@", " ".join(order)))
    entries = f"dir modules 755\nfile etc/self-test.sh 755 {script}\n"
    entries += "".join(f"file modules/{name}.ko 644 {files[name]}\n" for name in order)
    added = folder / "added.gz"
    subprocess.run([sys.executable, ROOT / "tests/setup/newc.py", added], input=entries.encode(), check=True)
    initrd = folder / "initrd"
    initrd.write_bytes(guest_file("initramfs.cpio.gz").read_bytes() + added.read_bytes())
    return initrd


def ask_server(port):
    """Whether it has answered rightly."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
            return answer.read() == ANSWER
    except OSError:
        return False


class Ways:
    """{name: (the command, the line to wait for before the server is asked, or None)}, of machines that are there."""

    def __init__(self, chosen, folder, port):
        initrd = initrd_with_server(folder, chosen.card)
        card = f"{QEMU_NAMES.get(chosen.card, chosen.card)},netdev=n0"
        net = ("-netdev", f"user,id=n0,hostfwd=tcp:127.0.0.1:{port}-:80", "-device", card)
        cold = [chosen.ringshift, "run", "-kernel", guest_file("linux-686/vmlinuz"), "-initrd", initrd, "-append", APPEND,
                "-m", chosen.memory, *net]
        saved = folder / "saved"
        with self.start([*cold, "--save", saved], folder) as session:
            session.wait_for(SERVING)
            self.warm(port)
            session.process.send_signal(signal.SIGUSR2)
            session.process.wait()
        words = {"append": APPEND, "initrd": initrd, "net": net}
        picture = emulator.save(chosen.memory, folder, SERVING, TIMEOUT, lambda session: self.warm(port), **words)
        self.all = {"boot": (cold, SERVING), "resume": ([chosen.ringshift, "resume", saved], None),
                    "tcg, boot": (emulator.command(chosen.memory, picture, **words), SERVING),
                    "tcg, -loadvm": (emulator.command(chosen.memory, picture, "-loadvm", emulator.NAME, **words), None)}
        self.sizes = {"resume": saved.stat().st_blocks / 2048, "tcg, -loadvm": picture.stat().st_blocks / 2048}

    @staticmethod
    def start(command, folder):
        return console.Session([str(word) for word in command], folder, TIMEOUT)

    @staticmethod
    def warm(port):
        """The server has answered once before it is saved, as one that is in use has."""
        for _ in range(TIMEOUT):
            if ask_server(port):
                return
        raise console.Trouble("no answer from the guest's server")

    def measure(self, name, folder, port):
        """(seconds by the clock, processor time) from the start to the answer."""
        command, line = self.all[name]
        with self.start(command, folder) as session:
            with contextlib.suppress(console.Trouble):
                if line:
                    session.wait_for(line)
            while not ask_server(port):
                if session.process.poll() is not None or time.monotonic() - session.began > TIMEOUT:
                    raise console.Trouble(f"{name}: no answer; {session.last_words()}")
                time.sleep(0.002)
            return time.monotonic() - session.began, console.cpu_seconds_with_children(session.process.pid)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ringshift", default=str(ROOT / "build/release/ringshift"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--card", default="e1000", choices=sorted(DRIVERS))
    chosen = parser.parse_args()
    chosen.ringshift = str(pathlib.Path(chosen.ringshift).resolve())
    with console.bench_folder("pickled") as folder:
        port = free_port()
        ways = Ways(chosen, folder, port)
        runs = {name: [] for name in ways.all}
        for _ in range(chosen.rounds):
            for name, values in runs.items():
                values.append(ways.measure(name, folder, port))
        print(f"{'':14}{'answer after':>14}{'processor time':>16}{'MiB saved':>11}")
        for name, values in runs.items():
            wall, cpu = (statistics.median(each) for each in zip(*values))
            size = f"{ways.sizes[name]:.0f}" if name in ways.sizes else "-"
            print(f"{name:14}{wall * 1000:11,.0f} ms{cpu * 1000:13,.0f} ms{size:>11}")


if __name__ == "__main__":
    main()
