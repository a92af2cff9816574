#!/usr/bin/env python3
"""Boot media of Debian packages, by way of SeaBIOS: what they are to show is on the text screen.

They come from the cache; what is not there is skipped.
usage: media_test.py --ringshift PROGRAM [--long] [CASE...]
"""

import pathlib
import struct
import sys
import time

from harness import (EXIT_QUIT, EXIT_RESET, Failure, Run, Stage, expect, guest_file, guests_folder,
                     parser, run_cases)

BIOS = pathlib.Path("/usr/share/seabios/bios-256k.bin")
GRUB_MENU = ("GNU GRUB  version", "Memtest86+", "Use the ↑ and ↓ keys")
LONG_CASES = (
    ("memtest_kernel", "tree/memtest86+/boot/memtest86+ia32.bin", "--kernel",
     ("Memtest86+ v", "Pass:  1        Errors: 0"), 900),
    ("memtest", "media/memtest86+.iso", "--cdrom", ("Memtest86+ v", "Pass:  1        Errors: 0"), 900),
    ("syslinux_hdt", "media/syslinux.img", "--hda",
     ("Hardware Detection Tool", "PCI Devices( 5)", "Switch to CLI"), 40),
)
# (name, image in the cache, its option, what the screen is to show, seconds until then)
CASES = (
    ("grub_cdrom", "media/grub-rescue-cdrom.iso", "--cdrom", GRUB_MENU, 12),
    ("grub_floppy", "media/grub-rescue-floppy.img", "--fda", GRUB_MENU, 12),
    ("grub_disk", "media/grub-rescue-cdrom.iso", "--hda", GRUB_MENU, 12),
    ("ipxe_cdrom", "media/ipxe.iso", "--cdrom",
     ("iPXE initialising devices...ok", "No more network devices"), 12),
)
TRIES = 5


def screen_after(stage, options, seconds):
    with Run(stage, ["run", *options, "--dump-screen", "--no-reboot"], timeout=seconds + 30) as run:
        time.sleep(seconds)
        run.assert_unprivileged()
        run.terminate()
        code = run.finish()
        expect(code == EXIT_QUIT, f"exit code {code} after SIGTERM, not {EXIT_QUIT}: {run.errors()}")
        return run.errors()


def shows(ringshift, image, option, lines, seconds):
    with Stage(ringshift) as stage:
        is_disk = option in ("--fda", "--hda")
        medium = stage.add(image, "medium") + (",readonly=on" if is_disk else "")
        for attempt in range(TRIES):  # a busy host takes longer
            screen = screen_after(stage, [option, medium, "--memory", "64M"],
                                  seconds * (attempt + 1) / 2)
            if all(line in screen for line in lines):
                return
        raise Failure(f"the screen is without one of {lines}:\n{screen}")


def drives_grub(ringshift):
    """Keys from the command line choose GRUB's prompt; it answers there, on the serial port and in
    a graphics mode, of which there is a picture."""
    keys = ("<until:Press enter>c<until:Minimal BASH>serial --unit=0<enter>"
            "terminal_output serial console<enter>echo The root is $root<enter>"
            "<until:The root is hd>insmod vbe<enter>insmod videotest<enter>videotest 800x600x32<enter>")
    with Stage(ringshift) as stage:
        stage.path.chmod(0o777)
        picture = stage.path / "screen.png"
        medium = stage.add(guest_file("media/grub-rescue-cdrom.iso"), "medium")
        options = ["run", "--cdrom", medium, "--memory", "128M", "--no-reboot", "--type", keys,
                   "--screendump", str(picture)]
        with Run(stage, options, timeout=120) as run:
            run.wait_for("The root is hd")
            time.sleep(20)
            run.terminate()
            code = run.finish()
            expect(code == EXIT_QUIT, f"exit code {code} after SIGTERM: {run.errors()}")
        header = picture.read_bytes()[:24]
        expect(header[:8] == b"\x89PNG\r\n\x1a\n", "the picture is no PNG")
        size = struct.unpack(">II", header[16:24])
        expect(size == (800, 600), f"the picture is {size}, not 800 x 600")


def u_boot(ringshift):
    """U-Boot's own ROM in the BIOS's place, to its prompt on the serial port; it resets by 0xcf9."""
    with Stage(ringshift) as stage:
        options = ["run", "--bios", stage.add(guest_file("media/u-boot.rom"), "rom"),
                   "--memory", "256M", "--no-reboot"]
        with Run(stage, options, timeout=120, keyboard=True) as run:
            at = run.wait_for("Hit any key to stop autoboot")
            run.type("\n")
            at = run.wait_for("=> ", at)
            run.type("pci\n")
            at = run.wait_for("01.03   0x8086     0x7113", at)
            run.type("reset\n")
            expect(run.finish() == EXIT_RESET, f"no reset: {run.errors()}")


def installer(ringshift):
    """Debian's installer on the serial port, as far as its first question."""
    with Stage(ringshift) as stage:
        options = ["run", "--kernel", stage.add(guest_file("media/installer-linux"), "linux"),
                   "--initrd", stage.add(guest_file("media/installer-initrd.gz"), "initrd"),
                   "--append", "console=ttyS0 DEBIAN_FRONTEND=text", "--memory", "512M",
                   "--no-reboot"]
        with Run(stage, options, timeout=900, keyboard=True) as run:
            at = run.wait_for("Select a language")
            run.wait_for("Choose the language to be used for the installation", at)
            run.wait_for("English", at)


LONG_FUNCTIONS = (("u_boot", u_boot, "media/u-boot.rom"),
                  ("installer", installer, "media/installer-linux"))


def main():
    arguments = parser(__doc__)
    arguments.add_argument("cases", nargs="*", metavar="CASE")
    arguments.add_argument("--long", action="store_true", help="what takes minutes")
    chosen = arguments.parse_args()
    cases = []
    for name, image, option, lines, seconds in LONG_CASES if chosen.long else CASES:
        path = guests_folder() / image
        if chosen.cases and name not in chosen.cases:
            continue
        if not BIOS.exists() or not path.exists():
            print(f"{name}: skipped: no {path if BIOS.exists() else BIOS}")
            continue
        cases.append((name, lambda path=path, option=option, lines=lines, seconds=seconds:
                      shows(chosen.ringshift, path, option, lines, seconds)))
    for name, function, image in LONG_FUNCTIONS if chosen.long else ():
        if (not chosen.cases or name in chosen.cases) and (guests_folder() / image).exists():
            cases.append((name, lambda function=function: function(chosen.ringshift)))
    if BIOS.exists() and not chosen.long and (not chosen.cases or "grub_keys" in chosen.cases):
        cases.append(("grub_keys", lambda: drives_grub(chosen.ringshift)))
    return run_cases(cases)


if __name__ == "__main__":
    sys.exit(main())
