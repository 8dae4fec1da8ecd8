# SPDX-License-Identifier: Apache-2.0
"""D-23: a producer that publishes the same job again, also around a kill -9, gets one result and pays one job's calls."""
import collections

import pytest

from audit import finish, job, journal_keys, paid_twice
from stack import wait_until

pytestmark = pytest.mark.timeout(120)


def copies(bed, jobs, n=5, partitions=4):
    """n copies of each job, in different partitions."""
    for k in range(n):
        bed.send(jobs, partition=k % partitions)


def answers_in_journal(bed):
    r = bed.stack.redis.client()
    return sum(any(f.startswith(b"D") for f in r.hkeys(k)) for k in journal_keys(bed))


def test_d23_five_copies_are_one_job(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms", "sim/b,latency=30ms"])
    bed.configure(models={"a": {}, "b": {}}, workers=2)
    t = bed.start().wait_ready(partitions=4)
    copies(bed, [job(f"j{i}") for i in range(40)])
    got = finish(bed, 40)
    assert {r["status"] for r in got.results} == {"ok"} and len(got.by_id) == 40
    asked = collections.Counter((x["job"], x["model"]) for x in got.requests)
    assert set(asked.values()) == {1} and len(asked) == 80, "one job's worth each"
    assert "event=job_duplicate" in t.output()


def test_d23_a_kill_between_answer_and_commit(bed):
    """One of two answers of each job is paid and journaled, nothing is committed: both processes die at once."""
    bed.create_topics()
    bed.sim(["sim/a,latency=50ms", "sim/b,latency=50ms"])
    bed.configure(models={"a": {}, "b": {}})
    running = [bed.start(f"first{i}", slot=f"s{i}") for i in range(2)]
    for t in running:
        t.wait_ready()
    wait_until("both processes have partitions", lambda: sorted(bed.members().values()) == [2, 2], 60)
    copies(bed, [job(f"j{i}", "[[sim: silence times=1 model=sim/b]]") for i in range(20)])
    wait_until("20 answers in the journal", lambda: answers_in_journal(bed) == 20, 60)
    for t in running:
        t.kill()
    for i in range(2):
        bed.start(f"second{i}", slot=f"s{i}")
    got = finish(bed, 20, same_requests=False)
    assert {(r["status"], r["calls_recalled"], r["models_ok"]) for r in got.results} == {("ok", 1, 2)} and len(got.by_id) == 20
    assert not paid_twice(got.requests)
    asked = collections.Counter((x["job"], x["model"]) for x in got.requests)
    assert all(n == (1 if model == "sim/a" else 2) for (_, model), n in asked.items()), "only what was in flight is asked again"


def test_a_next_run_is_another_job(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {}}, jobs={"dedupe": "10m"})
    bed.start().wait_ready()
    bed.send([job("x"), job("x"), job("x", run=1), job("x", run=1), {"prompt": "no id"}, {"prompt": "no id"}])
    got = finish(bed, 4)
    assert sorted((r["job_id"] == "x", r["run"]) for r in got.results) == [(False, 0), (False, 0), (True, 0), (True, 1)]


def test_without_dedupe_every_record_is_a_job(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {}}, jobs={"dedupe": "0s"})
    bed.start().wait_ready()
    bed.send([{"job_id": "x", "prompt": "again"} for _ in range(3)])
    results = bed.results(3)
    assert len(results) == 3 and {r["job_id"] for r in results} == {"x"}
