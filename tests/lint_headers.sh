#!/bin/bash
# Every header compiles alone. usage: lint_headers.sh [ROOT]
cd "${1:-.}" || exit 1
find include src -name '*.h' -print0 2>/dev/null | sort -z |
    xargs -0 -r -n 16 -P "$(nproc)" cc -fsyntax-only -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude -Isrc -x c
