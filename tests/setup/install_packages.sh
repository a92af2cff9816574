#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, if any of them is missing.
# Touches nothing (no root, no network) when all are there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

# build: compilers, tools and libraries; check: style, sanitizers, tests; qemu is for comparison only.
packages=(
  g++ cmake ninja-build ccache
  libzydis-dev libasmjit-dev libboost-dev libfmt-dev libcli11-dev nlohmann-json3-dev
  libseccomp-dev libpng-dev libnbd-dev libslirp-dev libxxhash-dev nettle-dev libwebsockets-dev libgtest-dev libbenchmark-dev
  zlib1g-dev libbz2-dev liblzma-dev liblz4-dev libzstd-dev
  clang clang-format clang-tidy libclang-rt-14-dev
  seabios
  nasm cpio python3 ca-certificates util-linux gdb qemu-utils diod syslinux dosfstools mtools chromium
  openssl xvfb xdotool tigervnc-viewer vncsnapshot
  mmdebstrap arch-test fakeroot fdisk e2fsprogs dpkg-dev grub-pc-bin grub-common
  qemu-system-x86 bochs bochs-term bochsbios vgabios gcc-multilib
)

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  say "packages: all ${#packages[@]} are installed"
  exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
  as_root=(env DEBIAN_FRONTEND=noninteractive)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
else
  die "these packages are missing and need root (or sudo) to install:
  apt-get install --no-install-recommends ${missing[*]}"
fi

say "packages: installing ${missing[*]}"
# One index of several may be out of reach and the packages still be found: the install decides.
"${as_root[@]}" apt-get update -qq || warn "apt-get update reported a problem; going on"
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" ||
  die "apt-get could not install: ${missing[*]}"
