#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what clang-format and clang-tidy do not: sizes, banned functions, how a file opens. usage: lint_style.py [ROOT]"""
import os
import re
import sys

from lint_layers import code_of, sources

FILE_LINES = 500
FUNCTION_LINES = 80
COLUMNS = 120
NESTING = 4

BANNED = {
    "strcpy": "use buf_* or text_*", "strcat": "use buf_*", "sprintf": "use snprintf() or buf_addf()",
    "vsprintf": "use vsnprintf()", "gets": "no", "strtok": "keeps state; walk the text",
    "atoi": "no errors; use units_* or strtoll()", "atol": "no errors", "atof": "no errors",
    "gettimeofday": "time comes from the loop", "usleep": "nothing sleeps", "sleep": "nothing sleeps",
    "nanosleep": "nothing sleeps", "alloca": "unbounded stack",
}
ALLOCATORS = {f: "memory comes from base/mem.h" for f in
              ("malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf", "vasprintf")}

# path (or directory/) -> {function: why it is right there}
ALLOWED = {
    "src/base/mem.c": {f: "the one place that asks the system for memory" for f in ALLOCATORS},
    "src/app/sim_file.c": {"free": "libfyaml hands out text from malloc()"},
    "tests/": {f: "peers and rigs own memory outside any job; the sanitizers watch it" for f in ALLOCATORS},
    "tests/unit/http/": {"nanosleep": "peers that answer late, and a resolver that is slow, are what is tested"},
}

WORD = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(sorted({**BANNED, **ALLOCATORS}, key=len, reverse=True)))
TOO_DEEP = re.compile(r" {%d,}(\} )?(if|else|for|while|do|switch)\b" % (4 * (NESTING + 1)))
TODO = re.compile(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\):)")


def is_allowed(path, function):
    return any(function in table and (path == where or where.endswith("/") and path.startswith(where))
               for where, table in ALLOWED.items())


def check_lines(lines):
    if not lines or lines[0] != "/* SPDX-License-Identifier: Apache-2.0 */":
        yield 1, "the first line is not the SPDX line"
    elif len(lines) < 2 or not lines[1].startswith("/* "):
        yield 2, "no paragraph that says what the file does"
    if len(lines) > FILE_LINES:
        yield len(lines), f"{len(lines)} lines, the limit is {FILE_LINES}"
    for n, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            yield n, f"{len(line)} columns, the limit is {COLUMNS}"
        if "\t" in line:
            yield n, "a tab"
        if line != line.rstrip():
            yield n, "blanks at the end"
        if TODO.search(line):
            yield n, "a TODO has a number: TODO(#123):"


def check_functions(code):
    """Bodies as clang-format leaves them: from a lone { in the first column to the next }, indented by 4."""
    began = 0
    for n, line in enumerate(code.split("\n"), 1):
        if began > 0 and TOO_DEEP.match(line):
            yield n, f"nested more than {NESTING} deep"
        if line == "{":
            began = n
        elif line.rstrip() == "}" and began > 0:
            if n - began - 1 > FUNCTION_LINES:
                yield began, f"a function of {n - began - 1} lines, the limit is {FUNCTION_LINES}"
            began = 0


def check_words(path, code):
    for m in WORD.finditer(code):
        if not is_allowed(path, m[1]):
            yield code.count("\n", 0, m.start()) + 1, f"{m[1]}(): {({**BANNED, **ALLOCATORS})[m[1]]}"
    m = re.search(r"(?<!:)//", code)
    if m:
        yield code.count("\n", 0, m.start()) + 1, "comments are /* */"


def main(root):
    problems = []
    for path in sources(root, "include", "src", "tests"):
        with open(os.path.join(root, path), encoding="utf-8") as f:
            text = f.read()
        if not text.endswith("\n"):
            problems.append(f"{path}: no newline at the end")
        code = code_of(text)
        found = [*check_lines(text.split("\n")[:-1]), *check_functions(code), *check_words(path, code)]
        problems += [f"{path}:{line}: {why}" for line, why in sorted(found)]
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
