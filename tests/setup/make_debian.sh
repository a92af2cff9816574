#!/usr/bin/env bash
# Makes a whole Debian 12 system for i386 on a disk image, into the cache: systemd, ssh, apt with a small
# repository of its own, a stock kernel and initial RAM disk, GRUB in the boot sector.
# Neither root nor a loop device is needed. Takes minutes; does nothing if the image is there.
#   $RINGSHIFT_CACHE/guests/debian/disk.img, and vmlinuz, initrd.img as they are on it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh
PATH=$PATH:/usr/sbin:/sbin

folder=$RINGSHIFT_CACHE/guests/debian
stamp=$(sha256sum make_debian.sh | cut -d' ' -f1)
suite=bookworm
mirror=${RINGSHIFT_MIRROR:-http://deb.debian.org/debian}
image_mib=1536

if [ -s "$folder/disk.img" ] && [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ]; then
  say "debian: $folder/disk.img is there"
  exit 0
fi
for program in mmdebstrap fakeroot mke2fs sfdisk grub-mkimage dpkg-scanpackages; do
  command -v "$program" >/dev/null || die "debian: needs $program (tests/setup/install_packages.sh)"
done

mkdir -p "$folder"
work=$(mktemp -d "$folder/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

# A package that is not installed, for apt to install without a network.
mkdir "$work/repo"

make_tree() {
  local options=()
  # Root in a container may neither mount nor drop to the user that apt would drop to.
  [ "$(id -u)" -ne 0 ] || options+=(--aptopt='APT::Sandbox::User "root"')
  mmdebstrap --architectures=i386 --variant=important "${options[@]}" \
    --include=linux-image-686,initramfs-tools,systemd-sysv,dbus,ifupdown,isc-dhcp-client,openssh-server \
    --customize-hook='echo root:ringshift | chroot "$1" chpasswd' \
    --customize-hook='mkdir -p "$1/srv/repo" && chroot "$1" sh -c "cd /srv/repo && apt-get download hello"' \
    --customize-hook='cp "$1"/srv/repo/*.deb '"$work/repo" \
    "$suite" "$work/root.tar" "$mirror"
}

# Run by fakeroot: who owns what is as in the archive.
make_filesystem() {
  local tree=$work/tree
  mkdir "$tree"
  tar -C "$tree" --exclude='./dev/*' -xf "$work/root.tar"
  (cd "$work/repo" && dpkg-scanpackages --multiversion . /dev/null >Packages 2>/dev/null)
  cp "$work/repo"/* "$tree/srv/repo/"
  say 'deb [trusted=yes] file:/srv/repo ./' >"$tree/etc/apt/sources.list"
  rm -f "$tree"/etc/apt/sources.list.d/* "$tree"/var/lib/apt/lists/*Packages "$tree"/var/lib/apt/lists/*Release
  say ringshift >"$tree/etc/hostname"
  say 'LABEL=root / ext4 errors=remount-ro 0 1' >"$tree/etc/fstab"
  mkdir -p "$tree/boot/grub"
  cat >"$tree/boot/grub/grub.cfg" <<'CONF'
serial --unit=0 --speed=115200
terminal_output console serial
echo "GRUB loads Debian"
linux /vmlinuz root=LABEL=root ro console=ttyS0
initrd /initrd.img
boot
CONF
  cp "$tree"/boot/vmlinuz-* "$work/vmlinuz"
  cp "$tree"/boot/initrd.img-* "$work/initrd.img"
  mke2fs -q -t ext4 -L root -d "$tree" -E offset=1048576 "$work/disk.img" "$((image_mib - 1))M"
}

# The boot sector finds the rest of GRUB in the sectors after it, where GRUB's own installer, which
# wants a real disk, would put it.
install_grub() {
  local grub=/usr/lib/grub/i386-pc
  grub-mkimage -O i386-pc -p '(hd0,msdos1)/boot/grub' -o "$work/core.img" \
    biosdisk part_msdos ext2 linux normal configfile serial terminal echo boot reboot halt ls
  [ "$(stat -c %s "$work/core.img")" -lt $((2047 * 512)) ] || die "debian: GRUB does not fit"
  say '2048,,83,*' | sfdisk -q "$work/disk.img"
  dd if="$grub/boot.img" of="$work/disk.img" bs=1 count=440 conv=notrunc status=none
  dd if="$work/core.img" of="$work/disk.img" bs=512 seek=1 conv=notrunc status=none
}

make_tree
truncate -s "${image_mib}M" "$work/disk.img"
# dash, which fakeroot is, passes no functions on.
fakeroot bash -euo pipefail -c "$(declare -f say make_filesystem)
work=$work image_mib=$image_mib
make_filesystem"
install_grub
mv "$work/vmlinuz" "$work/initrd.img" "$work/disk.img" "$folder/"
say "$stamp" >"$folder/stamp"
say "debian: made $folder/disk.img"
