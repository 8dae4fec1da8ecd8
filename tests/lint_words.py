#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every word, phrase, status and key prefix by which src/provider judges an error stands in a test of it.
usage: lint_words.py [ROOT]"""
import glob
import os
import re
import sys

TESTS = "tests/unit/provider"
COMMENT = re.compile(r"/\*.*?\*/", re.S)
LITERAL = r'"(?:[^"\\\n]|\\.)*"'
LITERALS = re.compile(rf"{LITERAL}(?:\s+{LITERAL})*")
# A word or a status fits as a whole, a phrase or a prefix as a beginning of one: it is a part of what is sent.
WORD, PART, STATUS = r"(?<![a-z0-9_]){}(?![a-z0-9_])", r"(?<![a-z0-9_]){}", r"\b{},"
TABLES = [  # file, what a row of the table looks like, how a test holds it
    ("src/provider/error_words.c", re.compile(r'\{"([^"]+)",\s*FAULT_'), WORD),
    ("src/provider/error_words.c", re.compile(r'\{"([^"]+)",\s*ON_'), PART),
    ("src/provider/anthropic_answer.c", re.compile(r'\{"([^"]+)",\s*FAULT_'), WORD),
    ("src/provider/gemini_answer.c", re.compile(r'\{"([^"]+)",\s*FAULT_'), WORD),
    ("src/provider/error_class.c", re.compile(r"\{(\d{3}), \{FAULT_"), STATUS),
    ("src/provider/error_class.c", re.compile(r"\bmarks\[\] = \{([^}]*)\}"), PART),
]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return f.read()


def texts_of(source):
    """What the string literals of a C file say, in lower case; neighbours are one."""
    for m in LITERALS.finditer(COMMENT.sub(" ", source)):
        yield "".join(s[1:-1] for s in re.findall(LITERAL, m[0])).replace('\\"', '"').lower()


def main(root):
    sources = [read(root, os.path.relpath(p, root)) for p in sorted(glob.glob(os.path.join(root, TESTS, "*.[ch]")))]
    said = "\n".join(t for s in sources for t in texts_of(s))
    numbers = "\n".join(re.sub(LITERAL, '""', COMMENT.sub(" ", s)) for s in sources)
    problems = []
    for path, row, how in TABLES:
        source = COMMENT.sub(" ", read(root, path))
        found = [w for m in row.finditer(source) for w in (re.findall(r'"([^"]+)"', m[1]) or [m[1]])]
        if not found:
            problems.append(f"tests/lint_words.py: nothing in {path} looks like {row.pattern}")
        problems += [f"{path}: no test in {TESTS} says {w}" for w in found
                     if not re.search(how.format(re.escape(w.lower())), numbers if how is STATUS else said)]
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
