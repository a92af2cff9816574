# Debian's i386 archive, from an apt state directory of our own; sourced, never run.
# Pre: common.sh, and the script has set `stamp`, the list of what it has unpacked.

guests=$RINGSHIFT_CACHE/guests
apt_root=$RINGSHIFT_CACHE/apt
debs=$RINGSHIFT_CACHE/debs

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
    sed -E -e '/^[[:space:]]*deb-src/d' -e 's/arch=[^] ]*//' -e 's/\[[[:space:]]*\]//' "$file" |
      sed -E 'p; s/^([[:space:]]*)deb /\1deb-src /' >"$apt_root/etc/sources.list.d/$name"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] || continue
    sed -E -e '/^Architectures:/Id' -e 's/^Types:.*/Types: deb deb-src/I' "$file" \
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

record() { say "$1 $(field_of "$1" Version)" >>"$stamp.new"; }

read_index() {
  mkdir -p "$guests/tree" "$debs"
  write_apt_configuration
  say "guests: reading the i386 package index"
  # One index of several may be out of reach (or all of them, with what is needed in the cache).
  apt_get update || warn "apt-get update reported a problem; going on with what there is"
  : >"$stamp.new"
}

# download_source PACKAGE: sets downloaded_source, the archive of its authors, by its digest.
download_source() {
  local digest name
  read -r digest name < <(apt_cache showsrc "$1" | awk '
    /^Checksums-Sha256:/ { listed = 1; next }
    listed && / .*\.orig\.tar\./ && !/\.asc$/ && !seen { print $1, $3; seen = 1 }
    /^[^ ]/ { listed = 0 }') || true
  [ -n "${name:-}" ] || return 1
  downloaded_source=$debs/$name
  [ -f "$downloaded_source" ] && has_digest "$downloaded_source" "$digest" && return 0
  say "guests: downloading the source of $1"
  rm -rf "$debs/incoming" "$downloaded_source"
  mkdir -p "$debs/incoming"
  (cd "$debs/incoming" && apt_get source --download-only "$1") || return 1
  has_digest "$debs/incoming/$name" "$digest" || return 1
  mv "$debs/incoming/$name" "$downloaded_source"
  rm -r "$debs/incoming"
}
