#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the layers: who may include what, no include cycle, no clock or dice where a run must replay.

usage: lint_layers.py [ROOT]   The tables below are those of docs/architecture.md; cmake/Modules.cmake holds the same for
the linker. A directory, library or system header that is not in a table is an error: add it with thought."""
import os
import re
import sys

SEAMS = {"broker", "http", "limiter", "journal", "provider", "merge"}
BELOW = {"loop", "base"}

# layer -> layers of ours it may include (its own always)
OURS = {
    "base": set(),
    "loop": {"base"},
    "seam": BELOW,  # core types by forward declaration only
    "outcome": {"seam", "base"},  # the words of the seams' headers (ends, reasons), which are plain data
    "core": {"seam", "outcome"} | BELOW,
    "engine": {"core", "seam", "outcome"} | BELOW,
    "redis": BELOW,
    "broker": {"seam", "outcome"} | BELOW,
    "http": {"seam", "outcome"} | BELOW,
    "limiter": {"seam", "outcome", "redis"} | BELOW,
    "journal": {"seam", "outcome", "redis"} | BELOW,
    "provider": {"seam", "outcome"} | BELOW,
    "merge": {"seam", "outcome", "base"},
    "sim": BELOW,
    "app": None,  # the composition root sees everything
    "cli": None,
    "main": None,
}

# An adapter sees its own seam only. provider builds what http carries, out of plain data.
OWN_SEAM = {s: {f"seam/{s}.h"} for s in SEAMS}
OWN_SEAM["provider"] |= {"seam/request.h", "seam/http.h"}

# library -> layers that may include it
LIBRARIES = {
    r"jansson\.h": {"base", "core", "sim", "app", "cli"},
    r"openssl/(evp|sha|opensslv)\.h": {"base", "redis"},  # base: digests
    r"openssl/.*": {"redis"},
    r"event2/.*": {"loop", "redis", "sim", "app"},
    r"librdkafka/.*": {"broker"},
    r"curl/.*": {"http"},
    r"hiredis/.*": {"redis"},
    r"zlib\.h": {"journal"},
    r"pcre2\.h": {"merge"},
    r"libfyaml\.h": {"app"},
    r"ut(hash|list)\.h": set(OURS),
}

# the system's headers, and who may not have them
SYSTEM = re.compile(
    r"(assert|ctype|dirent|emmintrin|errno|fcntl|fnmatch|getopt|glob|grp|ifaddrs|inttypes|limits|locale|math|netdb|poll|"
    r"pthread|pwd|sched|semaphore|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|"
    r"strings|syslog|sysexits|termios|threads|time|unistd|wchar|"
    r"(arpa|linux|net|netinet|sys)/\w+)\.h")
PURE = {"core", "outcome", "engine", "merge", "provider"}
NOT_PURE = re.compile(r"(arpa|net|netinet)/.*|sys/(socket|epoll|timerfd|eventfd|select|ioctl)\.h|"
                      r"(netdb|poll|pthread|semaphore|threads|fcntl)\.h")
CALLS_NOT_PURE = re.compile(
    r"(?<![\w.>])(time|clock|clock_gettime|rand|random|drand48|getrandom|srand|srandom|socket|connect|open|fopen)\s*\(")

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
COMMENT_OR_STRING = re.compile(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_of(text):
    """The text without comments, strings and characters; line numbers stay."""
    return COMMENT_OR_STRING.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def sources(root, *tops):
    """Paths (relative, /) of the C files under the named directories."""
    for top in tops:
        for directory, names, files in os.walk(os.path.join(root, top)):
            names.sort()
            for f in sorted(files):
                if f.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(directory, f), root)


def layer_of(path):
    """The layer of a file, None when it belongs to none."""
    part = path.split("/")
    if path == "src/main.c":
        return "main"
    if part[0] == "include" and len(part) == 2:
        return {"slot.h": "redis"}.get(part[1], part[1][:-2])  # loop.h, redis.h, sim.h
    if part[0] == "include" and part[1] == "impl":
        return re.match(r"[a-z]+", part[2])[0] if len(part) == 3 else None
    if part[0] in ("include", "src") and part[1] == "core" and part[-1].startswith("outcome"):
        return "outcome"
    if part[0] == "src" and len(part) > 3:
        return None
    return part[1] if part[0] in ("include", "src") and len(part) > 2 else None


def resolve(root, path, name):
    """The file of ours that an include names, or None."""
    for base in (os.path.dirname(path), "include", "src", "tests"):
        candidate = os.path.normpath(os.path.join(base, name))
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    return None


def includes(root, path):
    """[(line, bracket, name)] of a file."""
    with open(os.path.join(root, path), encoding="utf-8") as f:
        text = f.read()
    return [(text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in INCLUDE.finditer(text)]


def check_include(root, path, layer, bracket, name):
    """Why this include is wrong, or None."""
    if bracket == '"':
        target = resolve(root, path, name)
        if target is None:
            return f'"{name}" is no file of ours'
        theirs = layer_of(target)
        if OURS[layer] is None or theirs == layer:
            return None
        if theirs not in OURS[layer]:
            return f"{layer} may not include {theirs} ({name})"
        if theirs == "seam" and layer in SEAMS and name not in OWN_SEAM[layer]:
            return f"{layer} may not include another one's seam ({name})"
        return None
    for pattern, users in LIBRARIES.items():
        if re.fullmatch(pattern, name):
            return None if layer in users else f"{layer} may not use <{name}>"
    if not SYSTEM.fullmatch(name):
        return f"<{name}> is in no table of tests/lint_layers.py"
    if layer in PURE and NOT_PURE.fullmatch(name):
        return f"{layer} does no I/O and has no threads: not <{name}>"
    return None


def check_calls(root, path, layer):
    if layer not in PURE:
        return
    with open(os.path.join(root, path), encoding="utf-8") as f:
        code = code_of(f.read())
    for m in CALLS_NOT_PURE.finditer(code):
        yield code.count("\n", 0, m.start()) + 1, f"{layer} may not call {m[1]}(): runs must replay, and do no I/O"


def cycles(graph):
    """Each cycle of the graph once, as a list of files (depth first; grey nodes are on the path)."""
    state, path, found = {}, [], []

    def visit(node):
        state[node] = "grey"
        path.append(node)
        for target in graph.get(node, ()):
            if state.get(target) == "grey":
                found.append(path[path.index(target):] + [target])
            elif target not in state:
                visit(target)
        path.pop()
        state[node] = "black"

    for node in sorted(graph):
        if node not in state:
            visit(node)
    return found


def main(root):
    problems, graph = [], {}
    for path in sources(root, "include", "src", "tests"):
        found = includes(root, path)
        targets = [resolve(root, path, name) for _, bracket, name in found if bracket == '"']
        graph[path] = [t for t in targets if t is not None]
        if path.startswith("tests/"):
            continue
        layer = layer_of(path)
        if layer not in OURS:
            problems.append(f"{path}: belongs to no layer")
            continue
        for line, bracket, name in found:
            why = check_include(root, path, layer, bracket, name)
            if why:
                problems.append(f"{path}:{line}: {why}")
        problems += [f"{path}:{line}: {why}" for line, why in check_calls(root, path, layer)]
    problems += ["include cycle: " + " > ".join(c) for c in cycles(graph)]
    print(*problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
