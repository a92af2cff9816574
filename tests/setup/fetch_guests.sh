#!/usr/bin/env bash
# Fetches the guests (stock Debian i386 packages) into the cache and unpacks them there.
# Uses an apt state directory of its own, so neither root nor a change to the system is needed.
# Network is used only for what is not in the cache yet.
#   $RINGSHIFT_CACHE/guests/linux-686/vmlinuz, linux-686-pae/vmlinuz, busybox,
#   and where the archive has them invaders-image and gnumach-image (Multiboot), and boot media:
#   media/grub-rescue-cdrom.iso, media/grub-rescue-floppy.img, media/memtest86+.iso, media/ipxe.iso.
# usage: fetch_guests.sh [--kernel FLAVOUR]
#   --kernel 686 | 686-pae  that kernel and busybox only, which ./demo runs
set -euo pipefail
flavour=
case ${1-} in
  '') ;;
  --kernel) flavour=${2:?a flavour} ;;
  *) echo "unknown argument $1" >&2 && exit 1 ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh
. ./archive.sh

stamp=$guests/versions
required_files=(linux-686/vmlinuz linux-686-pae/vmlinuz busybox)

complete() {
  [ -s "$stamp" ] || return 1
  local file
  for file in "${required_files[@]}"; do
    [ -s "$guests/$file" ] || return 1
  done
  # The optional ones were either unpacked or noted as not in the archive.
  local package
  for package in grub-invaders gnumach-image-1.8-486 grub-rescue-pc memtest86+ ipxe; do
    grep -q "^$package " "$stamp" || return 1
  done
}

# linux-image-686 only depends on the package of the current version.
kernel_package() {
  field_of "$1" Depends | tr ',' '\n' |
    sed -nE '0,/linux-image-[0-9]/s/^ *(linux-image-[0-9][^ ]*).*/\1/p'
}

fetch_kernel() {
  local flavour=$1 package
  package=$(kernel_package "linux-image-$flavour")
  [ -n "$package" ] || die "the i386 archive has no linux-image-$flavour (is the network there?)"
  download "$package" || die "could not download $package"
  unpack "$downloaded_deb" "linux-$flavour"
  local kernel=("$guests/tree/linux-$flavour"/boot/vmlinuz-*)
  link_guest "linux-$flavour/vmlinuz" "${kernel[0]}"
  record "$package"
}

fetch_busybox() {
  download busybox-static || die "could not download busybox-static for i386"
  unpack "$downloaded_deb" busybox-static
  local tree=$guests/tree/busybox-static
  if [ -e "$tree/bin/busybox" ]; then
    link_guest busybox "$tree/bin/busybox"
  else
    link_guest busybox "$tree/usr/bin/busybox"
  fi
  record busybox-static
}

# fetch_optional PACKAGE NAME GLOB: guests that are good to have; absence is noted, not an error.
fetch_optional() {
  if [ -z "$(field_of "$1" Filename)" ]; then
    warn "$1 is not in the i386 archive"
    say "$1 not-in-archive" >>"$stamp.new"
  elif download "$1"; then
    unpack "$downloaded_deb" "$2"
    local file
    file=$(find "$guests/tree/$2" -path "$guests/tree/$2/$3" -type f -print -quit)
    install_image "$2-image" "${file:-$3}"
    record "$1"
  else
    warn "could not download $1; will be tried again next time"
  fi
}

# fetch_medium PACKAGE [NAME FILE]...: boot media of one package, each under media/NAME.
fetch_medium() {
  local package=$1
  shift
  if [ -z "$(field_of "$package" Filename)" ]; then
    warn "$package is not in the i386 archive"
    say "$package not-in-archive" >>"$stamp.new"
  elif download "$package"; then
    unpack "$downloaded_deb" "$package"
    while [ $# -ge 2 ]; do
      link_guest "media/$1" "$guests/tree/$package/$2"
      shift 2
    done
    record "$package"
  else
    warn "could not download $package; will be tried again next time"
  fi
}


if complete; then
  say "guests: all in $guests"
  exit 0
fi
if [ -n "$flavour" ]; then
  if [ -s "$guests/linux-$flavour/vmlinuz" ] && [ -s "$guests/busybox" ]; then
    say "guests: linux-$flavour and busybox are in $guests"
    exit 0
  fi
  read_index
  fetch_kernel "$flavour"
  fetch_busybox
  rm -f "$stamp.new"
  say "guests: linux-$flavour and busybox unpacked in $guests"
  exit 0
fi

read_index
fetch_kernel 686
fetch_kernel 686-pae
fetch_busybox
fetch_optional grub-invaders invaders 'boot/*invaders*'
fetch_optional gnumach-image-1.8-486 gnumach 'boot/gnumach*'
fetch_medium grub-rescue-pc grub-rescue-cdrom.iso usr/lib/grub-rescue/grub-rescue-cdrom.iso \
  grub-rescue-floppy.img usr/lib/grub-rescue/grub-rescue-floppy.img
fetch_medium memtest86+ memtest86+.iso usr/lib/memtest86+/memtest86+ia32.iso
fetch_medium ipxe ipxe.iso usr/lib/ipxe/ipxe.iso
mv "$stamp.new" "$stamp"
say "guests: unpacked in $guests"
