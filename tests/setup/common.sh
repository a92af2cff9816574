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

log_of() { printf 'build/logs/%s.log' "${1//[^a-z0-9-]/_}"; }

# step NAME COMMAND...: one line with the time it took. Output goes to log_of NAME, and to
# the terminal only when the command fails, whose status it returns. Pre: the working directory is
# the repository's root.
step() {
  local name=$1 begin end status=0 log
  shift
  mkdir -p build/logs
  log=$(log_of "$name")
  begin=$(date +%s%N)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  end=$(date +%s%N)
  [ ! -t 1 ] || printf '\r\033[K'
  if [ $status -eq 0 ]; then
    printf '%-28s ok      %6.1f s\n' "$name" "$(((end - begin) / 100000000))e-1"
  else
    printf '%-28s FAILED  %6.1f s (status %d; whole output in %s)\n' "$name" \
      "$(((end - begin) / 100000000))e-1" $status "$log"
    tail -n 80 "$log" | sed 's/^/  | /'
  fi
  return $status
}

# watch_build LOG: until it is killed, says how far the build that writes LOG is, and how long the rest
# will take if its parts are as long as those before: over and over in one line of a terminal, otherwise
# in a line each half minute.
watch_build() {
  local log=$1 begin=$SECONDS said=$SECONDS count total elapsed left
  while kill -0 $$ 2>/dev/null; do
    sleep 1
    count=$(grep -o '^\[[0-9]*/[0-9]*\]' "$log" 2>/dev/null | tail -n 1 | tr -d '[]') || true
    [ -n "$count" ] || continue
    total=${count#*/} count=${count%/*} elapsed=$((SECONDS - begin))
    left='a while'
    if [ "$count" -ge 10 ] && [ $elapsed -ge 5 ]; then
      left=$((elapsed * (total - count) / count))
      if [ $left -ge 90 ]; then left="$(((left + 30) / 60)) min"; else left="$left s"; fi
    fi
    if [ -t 1 ]; then
      printf '\r%-28s %3d of %3d, about %s left   ' build "$count" "$total" "$left"
    elif [ $((SECONDS - said)) -ge 30 ]; then
      said=$SECONDS
      printf '%-28s %3d of %3d, about %s left\n' build "$count" "$total" "$left"
    fi
  done
}

# step_of_build NAME COMMAND...: a step that shows how far it is.
step_of_build() {
  local status=0 watcher
  mkdir -p build/logs
  : >"$(log_of "$1")"
  watch_build "$(log_of "$1")" &
  watcher=$!
  step "$@" || status=$?
  kill $watcher 2>/dev/null
  wait $watcher 2>/dev/null || true
  return $status
}

# build PRESET [OPTION...]: configures and builds build/PRESET, through ccache where there is one. The
# options go to `cmake --build`.
build() {
  local preset=$1 launcher=()
  shift
  if command -v ccache >/dev/null; then
    export CCACHE_DIR=${CCACHE_DIR:-$RINGSHIFT_CACHE/ccache}
    # A checkout in another folder finds what this one has compiled.
    export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
    # The cache knows a source's included files from its last compilation, without preprocessing it
    # first.
    export CCACHE_DEPEND=1
    mkdir -p "$CCACHE_DIR"
    launcher=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  cmake --preset "$preset" "${launcher[@]}" && cmake --build --preset "$preset" -j "$(nproc)" "$@"
}
