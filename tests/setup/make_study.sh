#!/usr/bin/env bash
# Builds what the study (bench/study) runs in its Linux guests and on the host: the static i386
# program `workloads`, a compiler with headers and a source tree, and an initramfs with all of it.
# Without the packages of fetch_study.sh the compile is left out.
#   $RINGSHIFT_CACHE/guests/study/workloads, study/root, study/initramfs.cpio.gz
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

guests=$RINGSHIFT_CACHE/guests
study=$guests/study
parts=../../bench/study/guest
initramfs=$study/initramfs.cpio.gz
[ -s "$guests/busybox" ] || die "no busybox in the cache: run tests/setup/fetch_guests.sh first"

# With an x86-64 compiler this needs gcc-multilib.
make_workloads() {
  "${CC:-gcc}" -m32 -march=i686 -static -O2 -Wall -Wextra -Werror -o "$study/workloads.new" \
    $parts/workloads.c $parts/programs.c || die "cannot build i386 programs (Debian: gcc-multilib)"
  mv "$study/workloads.new" "$study/workloads"
}

# The compiler in a folder of its own, so that it works at any place, in a guest and on the host.
make_root() {
  rm -rf "$study/root" "$study/root.new"
  mkdir -p "$study/root.new/lib" "$study/root.new/usr/bin" "$study/root.new/usr/include"
  cp $parts/loop.sh "$study/root.new/"
  if [ -s "$guests/study-versions" ]; then
    local tree=$guests/tree root=$study/root.new library directory
    for library in ld-linux.so.2 libc.so.6 libdl.so.2 libm.so.6 libpthread.so.0; do
      cp -L "$tree/libc6/lib/i386-linux-gnu/$library" "$root/lib/"
    done
    cp -L "$tree/tcc/usr/bin/tcc" "$root/usr/bin/"
    cp -RL "$tree/tcc/usr/lib" "$root/usr/"
    cp -RL "$tree/libc6-dev/usr/include/." "$root/usr/include/"
    for directory in asm-generic linux i386-linux-gnu; do
      cp -RL "$tree/linux-libc-dev/usr/include/$directory" "$root/usr/include/"
    done
    cp -R "$guests/lua" "$root/lua"
  fi
  mv "$study/root.new" "$study/root"
}

entries() {
  local path applet
  for path in bin sbin usr usr/bin usr/sbin dev proc sys etc root tmp; do say "dir $path 755"; done
  say "node dev/console 600 5 1"
  say "node dev/null 666 1 3"
  say "node dev/ttyS0 600 4 64"
  say "file bin/busybox 755 $(readlink -f "$guests/busybox")"
  say "file bin/workloads 755 $study/workloads"
  say "file init 755 $parts/init"
  "$guests/busybox" --list-full 2>/dev/null | while read -r applet; do
    [ "$applet" = bin/busybox ] || say "link $applet /bin/busybox"
  done || true
  (cd "$study/root" && find . -type d -printf 'dir study/%P 755\n') | sed 's,study/ ,study ,'
  (cd "$study/root" && find . -type f -printf "file study/%P 755 $study/root/%P\n")
}

newer() { [ ! -s "$initramfs" ] || [ -n "$(find -L "$@" -newer "$initramfs" -print -quit)" ]; }
sources=("$parts" "$guests/busybox" newc.py make_study.sh)
[ ! -s "$guests/study-versions" ] || sources+=("$guests/study-versions")
if ! newer "${sources[@]}"; then
  say "study: $initramfs is up to date"
  exit 0
fi
mkdir -p "$study"
make_workloads
make_root
partial=$initramfs.$$
trap 'rm -f "$partial"' EXIT
entries | python3 newc.py "$partial"
mv "$partial" "$initramfs"
say "study: built $initramfs"
