#!/usr/bin/env bash
# Builds the initramfs the Linux guests boot: a static i386 busybox, an /init and the self-test.
# usage: make_initramfs.sh [OUTPUT]     default: $RINGSHIFT_CACHE/guests/initramfs.cpio.gz
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

output=${1:-$RINGSHIFT_CACHE/guests/initramfs.cpio.gz}
busybox=$RINGSHIFT_CACHE/guests/busybox
parts=../guests/initramfs
[ -s "$busybox" ] || die "no busybox in the cache: run tests/setup/fetch_guests.sh first"

newer_than_output() { [ ! -s "$output" ] || [ -n "$(find -L "$@" -newer "$output" -print -quit)" ]; }
if ! newer_than_output "$busybox" "$parts" newc.py make_initramfs.sh; then
  say "initramfs: $output is up to date"
  exit 0
fi

entries() {
  local directory applet
  for directory in bin sbin usr usr/bin usr/sbin dev proc sys etc root tmp; do
    say "dir $directory 755"
  done
  say "node dev/console 600 5 1"
  say "node dev/null 666 1 3"
  say "node dev/ttyS0 600 4 64"
  say "file bin/busybox 755 $busybox"
  say "file init 755 $parts/init"
  say "file etc/self-test.sh 755 $parts/self-test.sh"
  # A host that cannot run i386 programs leaves the applets to /init, which makes them at boot.
  "$busybox" --list-full 2>/dev/null | while read -r applet; do
    [ "$applet" = bin/busybox ] || say "link $applet /bin/busybox"
  done || true
}

mkdir -p "$(dirname "$output")"
partial=$output.$$
trap 'rm -f "$partial"' EXIT
entries | python3 newc.py "$partial"
mv "$partial" "$output"
say "initramfs: built $output"
