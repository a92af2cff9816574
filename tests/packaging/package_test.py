#!/usr/bin/env python3
"""The build can be installed: by cmake, and as a Debian package, which runs and can be removed.

usage: package_test.py --ringshift PROGRAM --build FOLDER install|debian|plain
  install  cmake --install into a folder
  debian   CPack makes a package; dpkg installs and removes it in a root of its own, or where it may
           not, the package is unpacked; its program boots a guest of ten bytes
  plain    a configuration without our presets needs no GoogleTest, and takes no warning for an error
"""

import gzip
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

from support import ROOT, expect, need, output, parser, skip

MADE = ("installed/ringshift.1", "installed/ringshift.bash", "installed/_ringshift")


def boots(ringshift, folder):
    """A Multiboot image that writes 0x21 to the debug-exit port."""
    flags, base = 0x10000, 0x100000
    magic = 0x1badb002
    header = struct.pack("<8I", magic, flags, -(magic + flags) & 0xffffffff, base, base, 0, 0, base + 32)
    image = folder / "guest"
    image.write_bytes(header + bytes.fromhex("b821000000 e6f4 f4 ebfd"))
    done = subprocess.run([ringshift, "run", "--kernel", image], check=False, timeout=60,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    expect(done.returncode == 0x21 << 1 | 1, f"the guest: {done.returncode}: {done.stderr}")


def check_tree(usr, zsh, licence, manual):
    for name in ("bin/ringshift", "share/bash-completion/completions/ringshift", f"share/zsh/{zsh}/_ringshift",
                 f"share/man/man1/{manual}", f"share/doc/ringshift/{licence}", "share/doc/ringshift/README.md",
                 "share/doc/ringshift/docs/usage.md", "lib/systemd/user/ringshift.service"):
        expect((usr / name).is_file(), f"{name} is not installed")
    expect("#compdef ringshift" in (usr / f"share/zsh/{zsh}/_ringshift").read_text(), "zsh's script")
    # README's links lead to pages that are installed with it.
    readme = (usr / "share/doc/ringshift/README.md").read_text()
    for link in re.findall(r"\]\((docs/[^)#]+)", readme):
        expect((usr / "share/doc/ringshift" / link).exists(), f"README.md leads to {link}")


def check_install(build, folder):
    output(["cmake", "--install", build, "--prefix", "/usr/local"],
           env={**os.environ, "DESTDIR": str(folder / "root")})
    usr = folder / "root/usr/local"
    check_tree(usr, "site-functions", "LICENSE", "ringshift.1")
    names = {str(path.relative_to(usr)) for path in usr.rglob("*") if path.is_file()}
    strange = {name for name in names if not re.match(r"bin/ringshift$|share/(doc|man|zsh|bash-completion)/|"
                                                r"lib/systemd/user/ringshift.service$", name)}
    expect(not strange, f"installed as well: {strange}")
    boots(usr / "bin/ringshift", folder)
    print(f"{len(names)} files were installed")


def check_fields(package):
    fields = dict(line.split(": ", 1) for line in output(["dpkg-deb", "-f", package]).splitlines()
                  if re.match(r"[A-Z][\w-]*: ", line))
    for library in ("libc6 (>= ", "libstdc++6 (>= ", "libnbd0", "libslirp0", "libseccomp2", "libwebsockets", "libtelnet2"):
        expect(library in fields["Depends"], f"Depends: {fields['Depends']} lacks {library}")
    expect("gtest" not in fields["Depends"] and "benchmark" not in fields["Depends"], fields["Depends"])
    for name, pattern in (("Package", "ringshift$"), ("Section", "otherosfs$"), ("Priority", "optional$"),
                          ("Maintainer", r".+ <\S+@\S+>$"), ("Architecture", "amd64$"),
                          ("Recommends", ".*seabios"), ("Description", "virtual machine for 32-bit")):
        expect(re.match(pattern, fields.get(name, "")), f"{name}: {fields.get(name)}")
    return fields


class ScratchRoot:
    """A root directory of its own, with a database of packages."""

    def __init__(self, folder):
        self.path = folder / "root"
        for name in ("info", "updates"):
            (self.path / "var/lib/dpkg" / name).mkdir(parents=True)
        (self.path / "var/lib/dpkg/status").touch()

    def dpkg(self, *words):
        # Its dependencies are the host's: they are not in this root.
        command = ["dpkg", f"--root={self.path}", "--force-depends", "--force-not-root", *words]
        path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
        return subprocess.run(command, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, env={**os.environ, "PATH": path})

    def files(self):
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*")
                if path.is_file() and "var/lib/dpkg" not in str(path) and "var/log" not in str(path)}


def check_debian(build, folder):
    need("cpack", "dpkg", "dpkg-deb", "dpkg-shlibdeps", "gzip")
    output(["cpack", "-G", "DEB", "--config", build / "CPackConfig.cmake", "-B", folder / "packages"], cwd=folder)
    package, = (folder / "packages").glob("ringshift_*.deb")
    fields = check_fields(package)
    for name in output(["dpkg-deb", "-c", package]).splitlines():
        expect("root/root" in name and "w" not in name.split()[0][5:], f"owner or rights: {name}")
    root = ScratchRoot(folder)
    done = root.dpkg("--install", str(package))
    is_dpkgs = done.returncode == 0
    if not is_dpkgs:
        expect(os.geteuid() != 0, f"dpkg cannot install it:\n{done.stdout}{done.stderr}")
        print("dpkg needs root to install; the package is unpacked instead")
        output(["dpkg-deb", "-x", package, root.path])
    usr = root.path / "usr"
    check_tree(usr, "vendor-completions", "copyright", "ringshift.1.gz")
    page = gzip.decompress((usr / "share/man/man1/ringshift.1.gz").read_bytes()).decode()
    expect(page.startswith(".TH RINGSHIFT 1"), "the manual page")
    expect(fields["Version"] in output([usr / "bin/ringshift", "--version"]), "another version")
    boots(usr / "bin/ringshift", folder)
    if is_dpkgs:
        expect("install ok installed" in (root.path / "var/lib/dpkg/status").read_text(), "its status")
        done = root.dpkg("--purge", "ringshift")
        expect(done.returncode == 0, f"it cannot be removed: {done.stderr}")
        expect(not root.files(), f"removing it leaves {root.files()}")
    print(f"{package.name}, {package.stat().st_size >> 10} KiB: "
          f"{'installed, ran, removed' if is_dpkgs else 'unpacked, ran'}")


def check_plain(folder):
    need("cmake", "ninja")
    absent = [f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in ("GTest", "benchmark", "Python3")]
    output(["cmake", "-S", ROOT, "-B", folder / "plain", "-G", "Ninja", *absent])
    commands = json.loads((folder / "plain/compile_commands.json").read_text())
    expect(len(commands) > 200, f"{len(commands)} sources")
    for command in commands:
        expect("-Werror" not in command["command"], f"-Werror for {command['file']}")
        expect(not command["file"].startswith((f"{ROOT}/tests", f"{ROOT}/bench")), command["file"])
    expect("monitor/main.cpp" in output(["ninja", "-C", folder / "plain", "-t", "commands", "ringshift"]), "no program")
    print(f"{len(commands)} sources, no tests, no -Werror")


def main():
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--build", required=True, type=pathlib.Path)
    arguments.add_argument("part", choices=("install", "debian", "plain"))
    arguments = arguments.parse_args()
    missing = [name for name in MADE if not (arguments.build / name).exists()]
    if missing and arguments.part != "plain":
        skip(f"{missing[0]} is not built (cmake --build of everything makes it)")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ringshift-package-"))
    try:
        if arguments.part == "install":
            check_install(arguments.build, folder)
        elif arguments.part == "debian":
            check_debian(arguments.build, folder)
        else:
            check_plain(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
