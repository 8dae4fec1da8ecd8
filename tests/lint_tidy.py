#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy 14 over the files of src/. usage: lint_tidy.py BUILD_DIR [ROOT]

A file that passed is remembered by the hash of all that its verdict rests on (clang-tidy, its configuration, the
command, the file and every header of ours that it includes), in ${XDG_CACHE_HOME:-~/.cache}/tutti/tidy."""
import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys
import time

from lint_layers import includes, resolve

TOOL = "clang-tidy-14"
KEEP_SECONDS = 30 * 86400


def closure(root, path):
    """The file and every file of ours that it includes, directly or not."""
    seen, todo = set(), [path]
    while todo:
        p = todo.pop()
        if p not in seen:
            seen.add(p)
            todo += filter(None, (resolve(root, p, name) for _, bracket, name in includes(root, p) if bracket == '"'))
    return sorted(seen)


def key(root, path, command, version):
    h = hashlib.sha256(f"{version}\0{command}".replace(root, "").encode())
    for p in [".clang-tidy", *closure(root, path)]:
        with open(os.path.join(root, p), "rb") as f:
            h.update(b"\0" + p.encode() + b"\0" + f.read())
    return h.hexdigest()


def check(root, build, path, mark):
    """clang-tidy's findings in the file, "" when it passed."""
    if os.path.exists(mark):
        os.utime(mark)
        return ""
    run = subprocess.run([TOOL, "-p", build, "--quiet", "--extra-arg=-Wno-unknown-warning-option", path], cwd=root,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if run.returncode == 0:
        with open(mark, "w", encoding="ascii"):
            return ""
    return run.stdout or run.stderr


def forget_old(cache):
    for entry in os.scandir(cache):
        if entry.stat().st_mtime < time.time() - KEEP_SECONDS:
            os.unlink(entry.path)


def main(build, root):
    root, build = os.path.realpath(root), os.path.realpath(build)
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tutti", "tidy")
    os.makedirs(cache, exist_ok=True)
    version = subprocess.run([TOOL, "--version"], capture_output=True, text=True, check=True).stdout
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as f:
        commands = {os.path.relpath(c["file"], root): c["command"] for c in json.load(f)}
    files = sorted(p for p in commands if p.startswith("src/"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(check, root, build, p, os.path.join(cache, key(root, p, commands[p], version)))
                for p in files]
    found = [text for text in (j.result() for j in jobs) if text]
    forget_old(cache)
    print(*found, sep="\n")
    print(f"clang-tidy: {len(files)} files, {len(found)} with findings")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "."))
