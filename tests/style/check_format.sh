#!/usr/bin/env bash
# Every C++ source has the layout .clang-format gives it. --fix rewrites them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mode=(--dry-run -Werror)
[ "${1:-}" != --fix ] || mode=(-i)
find translator monitor shadowmmu devices tests bench \
  \( -name '*.cpp' -o -name '*.h' -o -name '*.c' \) -print0 |
  xargs -0 --no-run-if-empty clang-format "${mode[@]}"
