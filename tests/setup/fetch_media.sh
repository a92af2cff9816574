#!/usr/bin/env bash
# Fetches what only the long tests boot, into the cache: Debian's installer, U-Boot's ROM, and
# SYSLINUX with its hardware detection tool on a disk of its own. As fetch_guests.sh otherwise.
#   $RINGSHIFT_CACHE/guests/media/installer-linux, installer-initrd.gz, u-boot.rom, syslinux.img
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh
. ./archive.sh
PATH=$PATH:/usr/sbin:/sbin

stamp=$guests/versions-media
wanted=(installer-linux installer-initrd.gz u-boot.rom syslinux.img)

complete() {
  [ -s "$stamp" ] || return 1
  local name
  for name in "${wanted[@]}"; do
    [ -s "$guests/media/$name" ] || return 1
  done
}

# fetch PACKAGE: into guests/tree/PACKAGE.
fetch() {
  download "$1" || die "could not download $1"
  unpack "$downloaded_deb" "$1"
  record "$1"
}

# A FAT file system with SYSLINUX in its boot sector, which starts HDT in its text mode.
make_syslinux() {
  local modules=$guests/tree/syslinux-common/usr/lib/syslinux/modules/bios image
  image=$guests/media/syslinux.img
  truncate -s 16M "$image.new"
  mkfs.fat -F 16 "$image.new" >/dev/null
  syslinux --install "$image.new"
  printf 'default hdt\nserial 0 115200\nlabel hdt\n  com32 hdt.c32\n' >"$image.cfg"
  mcopy -i "$image.new" "$image.cfg" ::syslinux.cfg
  mcopy -i "$image.new" "$modules"/{hdt,libcom32,libgpl,libmenu,libutil}.c32 ::
  rm "$image.cfg"
  mv "$image.new" "$image"
}

if complete; then
  say "media: all in $guests/media"
  exit 0
fi
for program in syslinux mkfs.fat mcopy; do
  command -v "$program" >/dev/null || die "media: needs $program (tests/setup/install_packages.sh)"
done
mkdir -p "$guests/media"
read_index
fetch debian-installer-12-netboot-i386
text=$guests/tree/debian-installer-12-netboot-i386/usr/lib/debian-installer/images/12/i386/text
link_guest media/installer-linux "$text/debian-installer/i386/linux"
link_guest media/installer-initrd.gz "$text/debian-installer/i386/initrd.gz"
fetch u-boot-qemu
link_guest media/u-boot.rom "$guests/tree/u-boot-qemu/usr/lib/u-boot/qemu-x86/u-boot.rom"
fetch syslinux-common
make_syslinux
mv "$stamp.new" "$stamp"
say "media: unpacked in $guests/media"
