#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Links between the Markdown pages lead somewhere, anchors included. usage: lint_docs.py [ROOT]"""
import glob
import os
import re
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.M)
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def anchors(text):
    """The anchors that GitHub and GitLab make of the headings."""
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in HEADING.findall(FENCE.sub("", text))}


def main(root):
    problems = []
    pages = sorted(glob.glob(os.path.join(root, "*.md")) + glob.glob(os.path.join(root, "docs", "**", "*.md"), recursive=True))
    for page in pages:
        text = FENCE.sub("", read(page))
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            path = os.path.join(os.path.dirname(page), path) if path else page
            if not os.path.exists(path):
                problems.append(f"{os.path.relpath(page, root)}: {target} does not exist")
            elif anchor and anchor not in anchors(read(path)):
                problems.append(f"{os.path.relpath(page, root)}: {target} has no such heading")
    print(*problems, sep="\n")
    return 1 if problems or not pages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
