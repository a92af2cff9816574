#!/usr/bin/env bash
# Fetches what the study (bench/study) needs beyond the guests, from Debian's i386 archive into the
# same cache: User-mode Linux, the compiler tcc with the C library's headers, and a source tree for
# it to build (Lua's). Network is used only for what is not in the cache yet.
#   $RINGSHIFT_CACHE/guests/uml/linux, tree/tcc, tree/libc6, tree/libc6-dev, tree/linux-libc-dev, lua
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

stamp=$RINGSHIFT_CACHE/guests/study-versions
. ./archive.sh

fetch() {
  download "$1" || die "could not download $1 for i386"
  unpack "$downloaded_deb" "$1"
  record "$1"
}

fetch_sources() {
  download_source lua5.4 || die "could not download the source of lua5.4"
  rm -rf "$guests/lua" "$guests/lua.new"
  mkdir "$guests/lua.new"
  tar -xf "$downloaded_source" -C "$guests/lua.new" --strip-components=1
  mv "$guests/lua.new" "$guests/lua"
}

# Only the program; its modules are 100 MiB that no workload loads.
fetch_user_mode_linux() {
  download user-mode-linux || die "could not download user-mode-linux for i386"
  unpack "$downloaded_deb" uml
  rm -rf "$guests/tree/uml/usr/lib/uml"
  link_guest uml/linux "$guests/tree/uml/usr/bin/linux.uml"
  record user-mode-linux
}

if [ -s "$stamp" ]; then
  say "study: all in $guests"
  exit 0
fi
read_index
for package in tcc libc6 libc6-dev linux-libc-dev; do fetch "$package"; done
fetch_sources
fetch_user_mode_linux
mv "$stamp.new" "$stamp"
say "study: unpacked in $guests"
