#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every error code that the program can write has its place in docs/errors.md, once. usage: lint_errors.py [ROOT]"""
import os
import re
import sys

from lint_layers import sources

CODE = re.compile(r'"([a-z][a-z0-9_]*)"')
FAULT_ROW = re.compile(r"\[FAULT_\w+\] = \{" + CODE.pattern)
# where job and dead-letter codes come into the world: an expression with literals in it
WRITERS = [re.compile(p) for p in (r"error_code = ([^;]*);", r"\bdecode_fail_code\(\w+, ([^,;]*),", r"\bdead_letter\(\w+, ([^,;]*),")]
HEADING = re.compile(r"^### `?([a-z][a-z0-9_]*)`?$", re.M)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def written(root):
    """{code: path:line} of what the code writes, and complaints about writers that find nothing: they are out of date."""
    codes, idle = {}, [w.pattern for w in WRITERS]
    for m in FAULT_ROW.finditer(read(root, "src/core/outcome.c")):
        codes.setdefault(m[1], "src/core/outcome.c")
    for path in sources(root, "src/core", "src/engine"):
        text = read(root, path)
        for w in WRITERS:
            for m in w.finditer(text):
                for code in CODE.findall(m[1]):
                    codes.setdefault(code, f"{path}:{text.count(chr(10), 0, m.start()) + 1}")
                    if w.pattern in idle:
                        idle.remove(w.pattern)
    return codes, [f"tests/lint_errors.py: nothing looks like {p}" for p in idle]


def main(root):
    codes, problems = written(root)
    anchors = HEADING.findall(read(root, "docs/errors.md"))
    problems += [f"{where}: {code} has no heading in docs/errors.md" for code, where in sorted(codes.items())
                 if code not in anchors]
    problems += [f"docs/errors.md: {a} is there twice" for a in sorted(set(anchors)) if anchors.count(a) > 1]
    if not any(c in anchors for c in codes):
        problems.append("no code found at all")
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
