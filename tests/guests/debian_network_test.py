#!/usr/bin/env python3
"""A whole Debian 12 on a network: an address by DHCP, ssh from the host by a forwarded port, and apt
from a repository that the host serves by HTTP.

The disk is that of tests/setup/make_debian.sh; a copy is used.
usage: debian_network_test.py --ringshift PROGRAM [--model CARD] [--timeout SECONDS]
"""

import shutil
import subprocess
import sys

from debian_test import Shell
from harness import EXIT_POWER_OFF, SKIPPED, Failure, Run, Stage, expect, guest_file, parser, report
from ipxe_test import Served
from network_test import free_port


class Ssh:
    """OpenSSH's client, with a key of its own, at the forwarded port."""

    def __init__(self, folder, port):
        self.key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.words = ["ssh", "-i", str(self.key), "-p", str(port), "-o", "BatchMode=yes", "-o",
                      "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder / 'known'}",
                      "-o", "ConnectTimeout=60", "root@127.0.0.1"]

    def do(self, command, content=b""):
        done = subprocess.run([*self.words, command], input=content, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=240, check=False)
        expect(done.returncode == 0, f"ssh: {command}: {done.stderr.decode(errors='replace')}")
        return done.stdout


def use(run, folder, served_folder, port):
    shell = Shell(run)
    card = "$(ls /sys/class/net | grep -v '^lo$' | head -1)"
    shell.do(f"dhclient -1 {card}")
    expect("10.0.2.15" in shell.do(f"ip addr show dev {card}"), "no address")
    ssh = Ssh(folder, port)
    public = ssh.key.with_suffix(".pub").read_text().strip()
    shell.do(f"mkdir -p /root/.ssh && chmod 700 /root/.ssh && echo '{public}' >/root/.ssh/authorized_keys")
    shell.do("ssh-keygen -A >/dev/null && mkdir -p /run/sshd && systemctl restart ssh")
    expect(ssh.do("uname -m; id -un").split() == [b"i686", b"root"], "not the guest's shell")
    content = bytes(range(256)) * 4096
    expect(ssh.do("cat", content) == content, "a megabyte each way is another one")
    # The host serves what the guest had on its disk.
    for name in ssh.do("ls /srv/repo").decode().split():
        (served_folder / name).write_bytes(ssh.do(f"cat /srv/repo/{name}"))
    ssh.do("rm -r /srv/repo")
    with Served(served_folder) as served:
        ssh.do(f"echo 'deb [trusted=yes] http://10.0.2.2:{served.port}/ ./' >/etc/apt/sources.list")
        ssh.do("apt-get -q update && apt-get -qy install hello")
        expect(ssh.do("hello") == b"Hello, world!\n", "the installed program does not work")
        expect(any(path.endswith(".deb") for path in served.paths), f"asked for: {served.paths}")
    expect(b"eth" not in ssh.do("dmesg --level=err,crit,alert,emerg"), "the card's driver complains")
    run.type("systemctl poweroff\n")


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="virtio")
    arguments.add_argument("--timeout", type=int, default=900)
    chosen = arguments.parse_args()
    image = guest_file("debian/disk.img")
    if shutil.which("ssh") is None:
        print("skipped: no ssh")
        return SKIPPED
    with Stage(chosen.ringshift) as stage:
        disk, served = stage.path / "disk.img", stage.path / "served"
        subprocess.run(["cp", "--sparse=always", image, disk], check=True)
        disk.chmod(0o666)
        served.mkdir()
        port = free_port()
        net = f"user,model={chosen.model},hostfwd=tcp:127.0.0.1:{port}-:22"
        words = ["run", "--hda", str(disk), "--memory", "512M", "--no-reboot", "--net", net]
        with Run(stage, words, chosen.timeout, keyboard=True) as run:
            try:
                use(run, stage.path, served, port)
                run.assert_unprivileged()
                code = run.finish()
                expect(code == EXIT_POWER_OFF, f"exit code {code}: {run.errors()}")
            except Failure as problem:
                report("debian on a network", run, problem)
                return 1
    print("debian on a network: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
