#!/usr/bin/env bash
# Fetches a small real database, sqlite3 with the libraries that it needs, from Debian's i386 archive into the cache
# of the guests. Network is used only for what is not in the cache yet.
#   $RINGSHIFT_CACHE/guests/tree/sqlite3 and the libraries' packages beside it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

stamp=$RINGSHIFT_CACHE/guests/database-versions
. ./archive.sh

if [ -s "$stamp" ]; then
  say "database: all in $guests"
  exit 0
fi
read_index
for package in libc6 libreadline8 libsqlite3-0 libtinfo6 sqlite3 zlib1g; do
  download "$package" || die "could not download $package for i386"
  unpack "$downloaded_deb" "$package"
  record "$package"
done
mv "$stamp.new" "$stamp"
say "database: unpacked in $guests"
