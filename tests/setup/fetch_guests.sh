#!/usr/bin/env bash
# Fetches the guests (stock Debian i386 packages) into the cache and unpacks them there.
# Uses an apt state directory of its own, so neither root nor a change to the system is needed.
# Network is used only for what is not in the cache yet.
#   $RINGSHIFT_CACHE/guests/linux-686/vmlinuz, linux-686-pae/vmlinuz, busybox,
#   and where the archive has them invaders-image and gnumach-image (Multiboot).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. ./common.sh

guests=$RINGSHIFT_CACHE/guests
apt_root=$RINGSHIFT_CACHE/apt
debs=$RINGSHIFT_CACHE/debs
stamp=$guests/versions
required_files=(linux-686/vmlinuz linux-686-pae/vmlinuz busybox)

complete() {
  [ -s "$stamp" ] || return 1
  local file
  for file in "${required_files[@]}"; do
    [ -s "$guests/$file" ] || return 1
  done
  # The optional ones were either unpacked or noted as not in the archive.
  grep -q '^grub-invaders ' "$stamp" && grep -q '^gnumach-image-1.8-486 ' "$stamp"
}

# The host's sources without their architecture restriction, the host's keyrings and proxies.
write_apt_configuration() {
  rm -rf "$apt_root/etc"
  mkdir -p "$apt_root/etc/sources.list.d" "$apt_root/etc/preferences.d" \
    "$apt_root/state/lists/partial" "$apt_root/cache/archives/partial"
  : >"$apt_root/etc/sources.list"
  : >"$apt_root/status"
  local file name
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] || continue
    name=$(basename "$file" .list).list
    sed -E -e '/^[[:space:]]*deb-src/d' -e 's/arch=[^] ]*//' -e 's/\[[[:space:]]*\]//' "$file" \
      >"$apt_root/etc/sources.list.d/$name"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    sed -E -e '/^Architectures:/Id' -e 's/^(Types:.*)deb-src/\1/I' "$file" \
      >"$apt_root/etc/sources.list.d/$(basename "$file")"
  done
  cat >"$apt_root/apt.conf" <<CONF
APT::Architecture "i386";
#clear APT::Architectures;
APT::Architectures { "i386"; };
APT::Get::Assume-Yes "true";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "$apt_root/state";
Dir::State::status "$apt_root/status";
Dir::State::extended_states "$apt_root/state/extended_states";
Dir::Cache "$apt_root/cache";
Dir::Etc::sourcelist "$apt_root/etc/sources.list";
Dir::Etc::sourceparts "$apt_root/etc/sources.list.d";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "$apt_root/etc/preferences.d";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
CONF
  # Under root apt would drop to a user that cannot reach a cache in root's home.
  [ "$(id -u)" -ne 0 ] || say 'APT::Sandbox::User "root";' >>"$apt_root/apt.conf"
}

apt_get() { apt-get -qq -c "$apt_root/apt.conf" "$@"; }
apt_cache() { apt-cache -q -c "$apt_root/apt.conf" "$@"; }

# field_of PACKAGE FIELD: of the candidate version; empty when the archive does not have it.
field_of() {
  { apt_cache show --no-all-versions "$1" 2>/dev/null || true; } |
    awk -v field="$2:" '$1 == field && !seen { $1 = ""; sub(/^ /, ""); print; seen = 1 }'
}

# download PACKAGE: sets downloaded_deb. A file with the right digest is used as it is.
download() {
  local package=$1 digest name
  digest=$(field_of "$package" SHA256)
  name=$(basename "$(field_of "$package" Filename)")
  [ -n "$digest" ] && [ -n "$name" ] || return 1
  downloaded_deb=$debs/$name
  if [ -f "$downloaded_deb" ] && has_digest "$downloaded_deb" "$digest"; then
    return 0
  fi
  say "guests: downloading $package"
  rm -rf "$debs/incoming" "$downloaded_deb"
  mkdir -p "$debs/incoming"
  (cd "$debs/incoming" && apt_get download "$package") || return 1
  local arrived=("$debs"/incoming/*.deb)
  has_digest "${arrived[0]}" "$digest" || return 1
  mv "${arrived[0]}" "$downloaded_deb"
  rmdir "$debs/incoming"
}

has_digest() { printf '%s  %s\n' "$2" "$1" | sha256sum --status -c - 2>/dev/null; }

# unpack DEB NAME: into guests/tree/NAME, whole or not at all.
unpack() {
  local tree=$guests/tree/$2
  rm -rf "$tree" "$tree.new"
  mkdir -p "$tree.new"
  dpkg-deb -x "$1" "$tree.new"
  mv "$tree.new" "$tree"
}

# link_guest NAME-IN-GUESTS FILE: a stable name for one file of an unpacked tree.
link_guest() {
  [ -s "$2" ] || die "the package does not hold the file expected for $1 ($2)"
  mkdir -p "$(dirname "$guests/$1")"
  ln -sfn "$(realpath --relative-to="$(dirname "$guests/$1")" "$2")" "$guests/$1"
}

# install_image NAME-IN-GUESTS FILE: as link_guest, but a compressed image is stored unpacked, because
# unpacking is a boot loader's habit and not part of the Multiboot format.
install_image() {
  case $2 in
    *.gz) gunzip -c "$2" >"$guests/$1.new" && mv "$guests/$1.new" "$guests/$1" ;;
    *) link_guest "$1" "$2" ;;
  esac
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

record() { say "$1 $(field_of "$1" Version)" >>"$stamp.new"; }

if complete; then
  say "guests: all in $guests"
  exit 0
fi

mkdir -p "$guests/tree" "$debs"
write_apt_configuration
say "guests: reading the i386 package index"
# One index of several may be out of reach (or all of them, with what is needed in the cache).
apt_get update || warn "apt-get update reported a problem; going on with what there is"
: >"$stamp.new"
fetch_kernel 686
fetch_kernel 686-pae
fetch_busybox
fetch_optional grub-invaders invaders 'boot/*invaders*'
fetch_optional gnumach-image-1.8-486 gnumach 'boot/gnumach*'
mv "$stamp.new" "$stamp"
say "guests: unpacked in $guests"
