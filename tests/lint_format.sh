#!/bin/bash
# Every C file is as clang-format 14 leaves it (.clang-format). usage: lint_format.sh [ROOT]
cd "${1:-.}" || exit 1
find include src tests \( -name '*.c' -o -name '*.h' \) -print0 2>/dev/null | sort -z |
    xargs -0 -r -n 16 -P "$(nproc)" clang-format-14 --dry-run --Werror --ferror-limit=1
