#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums the JUnit files of a directory. usage: test_summary.py DIR [BROKEN...]

Prints the failed tests by name, then "N passed, N failed". Each BROKEN is a step that failed without results of its
own (a build) and counts as one failure. Exits 1 when anything failed or nothing passed."""
import glob
import os
import sys
import xml.etree.ElementTree as xml


def read(path):
    """(passed, names of failed, names of skipped) of one file."""
    suite = os.path.splitext(os.path.basename(path))[0]
    passed, failed, skipped = 0, [], []
    for case in xml.parse(path).iter("testcase"):
        name = f"{suite}: {case.get('classname', '')}::{case.get('name')}"
        state = case.get("status", "run")  # ctest's own word; pytest writes none
        if state in ("fail", "notrun") or case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif state == "disabled" or case.find("skipped") is not None:
            skipped.append(name)
        else:
            passed += 1
    return passed, failed, skipped


def main(directory, broken):
    passed, failed, skipped = 0, list(broken), []
    for path in sorted(glob.glob(os.path.join(directory, "*.xml"))):
        try:
            p, f, s = read(path)
        except xml.ParseError as e:
            p, f, s = 0, [f"{path}: {e}"], []
        passed, failed, skipped = passed + p, failed + f, skipped + s
    for name in skipped:
        print("skipped", name)
    for name in failed:
        print("FAILED ", name)
    print(f"{passed} passed, {len(failed)} failed", flush=True)
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
