#!/usr/bin/env python3
"""iPXE, from Debian's CD-ROM and by way of SeaBIOS, finds each network card with its own drivers, gets
an address and the name of a script by DHCP, and boots Debian's kernel over HTTP.

usage: ipxe_test.py --ringshift PROGRAM [CARD...]
"""

import functools
import http.server
import pathlib
import sys
import threading

from disk_test import initrd_with
from harness import EXIT_POWER_OFF, Run, Stage, expect, guest_file, parser, run_cases

CARDS = ("virtio", "e1000", "ne2k_pci")
SCRIPT = """#!ipxe
kernel http://10.0.2.2:@PORT@/vmlinuz console=ttyS0 quiet ringshift.script=self-test initrd=initrd
initrd http://10.0.2.2:@PORT@/initrd
boot
"""


class Served:
    """A folder, by HTTP on the host's loopback; what was asked for is kept."""

    def __init__(self, folder):
        self.paths = []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                outer.paths.append(self.path)

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                                    functools.partial(Handler, directory=str(folder)))
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def boots(ringshift, card):
    with Stage(ringshift) as stage:
        folder = stage.path / "served"
        folder.mkdir()
        (folder / "vmlinuz").write_bytes(guest_file("linux-686/vmlinuz").read_bytes())
        made = initrd_with(stage, (), "echo \"ipxe-test: $(cat /proc/cmdline)\"\n")
        (folder / "initrd").write_bytes(pathlib.Path(made).read_bytes())
        with Served(folder) as served:
            (folder / "boot.ipxe").write_text(SCRIPT.replace("@PORT@", str(served.port)))
            net = f"user,model={card},bootfile=http://10.0.2.2:{served.port}/boot.ipxe"
            words = ["run", "--cdrom", stage.add(guest_file("media/ipxe.iso"), "ipxe.iso"), "--memory",
                     "192M", "--net", net, "--no-reboot", "--dump-screen"]
            with Run(stage, words, timeout=240) as run:
                run.wait_for("ipxe-test: ")
                run.assert_unprivileged()
                code = run.finish()
                expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.text()[-2000:]} {run.errors()}")
                expect("initrd=initrd" in run.text(), f"another command line: {run.text()[-2000:]}")
            expect(served.paths == ["/boot.ipxe", "/vmlinuz", "/initrd"], f"asked for: {served.paths}")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cards", nargs="*", metavar="CARD")
    chosen = arguments.parse_args()
    return run_cases([(card, lambda card=card: boots(chosen.ringshift, card)) for card in CARDS
                      if not chosen.cards or card in chosen.cards])


if __name__ == "__main__":
    sys.exit(main())
