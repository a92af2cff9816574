#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, if any of them is missing.
# Touches nothing (no root, no network) when all are there.
# usage: install_packages.sh [--program]
#   --program  only what ./demo needs: to build the program, and to make its guests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

# To build the program and the guests of ./demo.
packages=(
  g++ cmake ninja-build git python3
  libzydis-dev libasmjit-dev libboost-dev libfmt-dev libcli11-dev nlohmann-json3-dev libtomlplusplus-dev
  libseccomp-dev libpng-dev libnbd-dev libslirp-dev libxxhash-dev nettle-dev libwebsockets-dev libtelnet-dev
  zlib1g-dev libbz2-dev liblzma-dev liblz4-dev libzstd-dev
  cpio ca-certificates util-linux seabios
)
# To check it: style, sanitizers, tests. The last line is for comparison only.
checked_with=(
  ccache libgtest-dev libbenchmark-dev
  clang clang-format clang-tidy libclang-rt-14-dev
  nasm gdb qemu-utils diod syslinux dosfstools mtools chromium
  openssl openssh-client xvfb xdotool tigervnc-viewer vncsnapshot
  mmdebstrap arch-test fakeroot fdisk e2fsprogs dpkg-dev grub-pc-bin grub-common
  man-db groff-base bash-completion zsh
  qemu-system-x86 bochs bochs-term bochsbios vgabios gcc-multilib
)
case ${1-} in
  --program) ;;
  '') packages+=("${checked_with[@]}") ;;
  *) die "unknown argument $1" ;;
esac

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
