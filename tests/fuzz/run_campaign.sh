#!/usr/bin/env bash
# Fuzzes one target for some time, beginning with its corpus, and says what came of it.
# usage: tests/fuzz/run_campaign.sh TARGET SECONDS [--merge] [LIBFUZZER OPTION...]
#   --merge  afterwards, the smallest set of small inputs that reaches as much becomes the corpus
# Inputs that fail are stored in build/fuzz/found. To run one again:
#   build/fuzz/tests/fuzz_TARGET FILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

usage() {
  sed -n '2,6s/^# \{0,1\}//p' tests/fuzz/run_campaign.sh >&2
  exit 2
}
[ $# -ge 2 ] || usage
target=$1 seconds=$2
shift 2
merge=no
if [ "${1:-}" = --merge ]; then
  merge=yes
  shift
fi
corpus=tests/fuzz/corpus/$target
[ -d "$corpus" ] || usage
most_bytes=512

[ -f build/fuzz/build.ninja ] || cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "fuzz_$target"
work=build/fuzz/work/$target
mkdir -p "$work" build/fuzz/found
# Everything is given back at once: a board is large, and a late use of freed memory is seen anyway.
export ASAN_OPTIONS=quarantine_size_mb=16:${ASAN_OPTIONS:-}
driver=build/fuzz/tests/fuzz_$target
limits=(-max_len=2048 -timeout=20 -rss_limit_mb=1536 -malloc_limit_mb=300)
# A machine takes SIGALRM as it takes every signal that would end its process: no alarms then. The
# target bounds each run by itself.
[ "$target" != guest ] || limits+=(-timeout=0)

status=0
nice -n 19 "$driver" "${limits[@]}" -max_total_time="$seconds" -len_control=20 \
  -print_final_stats=1 -artifact_prefix="build/fuzz/found/$target-" "$@" "$work" "$corpus" ||
  status=$?
if [ $merge = yes ] && [ $status -eq 0 ]; then
  kept=build/fuzz/work/$target.kept
  rm -rf "$kept"
  mkdir "$kept"
  nice -n 19 "$driver" "${limits[@]}" -max_len=$most_bytes -merge=1 "$kept" "$corpus" "$work"
  printf '%s: %s inputs of at most %s bytes are in %s\n' "$target" \
    "$(find "$kept" -type f | wc -l)" $most_bytes "$kept"
fi
exit $status
