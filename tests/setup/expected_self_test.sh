#!/usr/bin/env bash
# Writes tests/guests/self-test.expected anew, by running the guests' self-test on this host's
# processor and kernel with the same i386 busybox. Needs a host kernel that runs i386 programs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

busybox=$(readlink -f "$RINGSHIFT_CACHE/guests/busybox")
applets=$(mktemp -d)
trap 'rm -rf "$applets"' EXIT
for applet in $("$busybox" --list); do ln -s "$busybox" "$applets/$applet"; done
PATH=$applets "$busybox" sh ../guests/initramfs/self-test.sh >"$applets/output"
[ "$("$busybox" tail -n 1 "$applets/output")" = 'self-test: ok' ] || die "the self-test did not end"
cp "$applets/output" ../guests/self-test.expected
