#!/usr/bin/env bash
# Every C++ source has the layout .clang-format gives it. --fix rewrites those that have not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

sources() {
  find translator monitor shadowmmu devices tests bench \
    \( -name '*.cpp' -o -name '*.h' -o -name '*.c' \) -print0
}

if [ "${1:-}" = --fix ]; then
  sources | xargs -0 --no-run-if-empty clang-format -i
  exit 0
fi
# The details are what --fix does; the names are enough here.
wrong=$(sources | xargs -0 --no-run-if-empty clang-format --dry-run -Werror 2>&1 |
  sed -nE 's/^([^ :]+):[0-9]+:[0-9]+: error: .*/\1/p' | sort -u || true)
if [ -n "$wrong" ]; then
  printf '%s: not laid out by .clang-format\n' $wrong
  echo 'run tests/style/check_format.sh --fix'
  exit 1
fi
