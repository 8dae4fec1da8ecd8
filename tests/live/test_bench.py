# SPDX-License-Identifier: Apache-2.0
"""The bench runs and prints every row. What it measures is noise on a busy machine: only that it is something is asserted."""
import os
import pathlib
import re
import subprocess

import pytest

pytestmark = pytest.mark.timeout(600)

RUN = pathlib.Path(__file__).resolve().parents[2] / "tests/bench/run"
VARIANTS = ["bare client", "tutti", "at_least_once", "journal off", "limits off"]
ROWS = {
    "CPU per call, as fast as it goes": [f"400 B, {v}" for v in VARIANTS] + [f"4000 B, {v}" for v in VARIANTS[:2]],
    "CPU per call, 200 calls/s": [f"{n} B, {v}" for n in (400, 4000) for v in VARIANTS[:2]],
    "Added latency per job": ["from the first permit", "from the producer's clock"],
    "Memory with calls in flight": ["20 in flight", "50 in flight", "100 in flight"],
    "Growth over one run": ["from job 50", "up to job 5,000"],
}


def test_every_row_is_printed(stack, release):
    if release is None:
        pytest.skip("build/release/tutti is not built")
    env = {**os.environ, "TUTTI_BIN": release, "TUTTI_KAFKA": stack.brokers}
    r = subprocess.run([RUN, "--quick"], capture_output=True, text=True, env=env, timeout=500, check=False)
    assert r.returncode == 0, r.stdout + r.stderr[-3000:]
    at = 0
    for title, names in ROWS.items():
        at = r.stdout.index(title, at)
        for name in names:
            row = re.search(rf"^  {re.escape(name)} +([-0-9. ]+)$", r.stdout[at:], re.M)
            assert row, f"{title}: {name} is missing in\n{r.stdout}"
            values = [float(x) for x in row.group(1).split()]
            assert "latency" in title or all(x > 0 for x in values), row.group(0)
    marks = r.stdout[r.stdout.index("\nMarks"):]
    assert len(re.findall(r"^  (?:met|MISSED) ", marks, re.M)) == 5, marks
