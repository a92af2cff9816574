# Shared by the set-up scripts; sourced, never run.
# Everything that is not source goes to one of two places: build/ in the tree, and this cache.

if [ -z "${HOME:-}" ] || [ ! -d "${HOME:-}" ]; then
  HOME=$(getent passwd "$(id -u)" | cut -d: -f6)
fi
RINGSHIFT_CACHE=${RINGSHIFT_CACHE:-${HOME:-/tmp}/.cache/ringshift}
export RINGSHIFT_CACHE

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}
