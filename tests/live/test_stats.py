# SPDX-License-Identifier: Apache-2.0
"""Statistics and progress of batches through the real Kafka, read by an independent client with read_committed. That every published sum
is the sum of the records it is about is part of audit.finish(), and so of every live test; here it has to hold through kills."""
import json
import re
import subprocess
import time

import pytest
from confluent_kafka.admin import ConfigResource

from audit import finish, fold_calls, fold_stats, job, journal_keys, read_to_end
from stack import ROOT, Tutti, binary, wait_until

pytestmark = pytest.mark.timeout(180)


def dones(bed):
    """Answers that the journal holds."""
    r = bed.stack.redis.client()
    return sum(sum(f.startswith(b"D") for f in r.hkeys(k)) for k in journal_keys(bed))


def test_d54_d57_sums_agree_through_kill_9_and_rebalance(bed):
    """Two processes, one of which is killed with answers in the journal that no batch has published, then replaced; the other leaves."""
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms", "sim/b,latency=150ms,errors=15%", "sim/c,latency=10ms,reset=5%"])
    bed.configure(models={"a": {"limits": {"requests_per_minute": 6000}}, "b": {}, "c": {"price": {}}}, jobs={"max_in_flight": 40})
    first = bed.start("tutti0", slot="s0").wait_ready()
    second = bed.start("tutti1", slot="s1").wait_ready()
    bed.send([job(f"j{i}", merge="first" if i % 5 == 0 else "concat", **({"batch_id": f"night-{i % 3}"} if i % 4 else {}))
              for i in range(600)])
    wait_until("answers that nobody has published", lambda: dones(bed) > 5, 60)
    first.kill()
    bed.start("tutti2", slot="s0").wait_ready()
    wait_until("more of them", lambda: dones(bed) > 5, 60)
    assert second.stop() == 0
    got = finish(bed, 600, seconds=150, same_requests=False)
    total = sum(s["calls_total"] for s in got.stats)
    assert total == len(got.calls) and 0 < sum(s["calls_ok"] for s in got.stats) < total
    cost = sum(s["cost_usd"] or 0 for s in got.stats)
    assert cost > 0 and abs(cost - sum(r["cost_usd"] or 0 for r in got.results)) < 1e-6
    unpriced = {s["request_model"]: s for s in got.stats if s["calls_unpriced"]}
    assert set(unpriced) == {"c"} and all(s["cost_usd"] is None for s in got.stats if s["request_model"] == "c")
    assert {s["limit_rpm"] for s in got.stats if s["request_model"] == "a"} == {6000}
    assert all(s["limit_rpm"] is None for s in got.stats if s["request_model"] != "a")
    assert len({b["assignment"].split("-")[0] for b in got.batches}) >= 2, "counted by several processes"
    assert len({s["worker_id"] for s in got.stats}) == 2 and max(s["inflight_max"] for s in got.stats) > 1


def test_d57_a_recalled_answer_is_counted_once(bed):
    """kill -9 between the two answers of each job: the first is in the statistics of the process that publishes it, at its cost."""
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms", "sim/b,latency=20ms"])
    bed.configure(models={"a": {}, "b": {}})
    t = bed.start("tutti0", slot="s0").wait_ready()
    bed.send([job(f"j{i}", "[[sim: silence times=1 model=sim/b]]", batch_id="b") for i in range(20)])
    wait_until("20 answers in the journal", lambda: dones(bed) == 20, 60)
    t.kill()
    bed.start("tutti1", slot="s0").wait_ready()
    got = finish(bed, 20, same_requests=False)
    assert sum(s["recalled"] for s in got.stats) == 20 == sum(s["recalled"] for s in got.stats if s["request_model"] == "a")
    paid = sum(x["paid"] for x in got.requests)
    assert paid == 40 == sum(s["calls_ok"] for s in got.stats)
    assert sum(s["cost_usd"] for s in got.stats) == pytest.approx(sum(r["cost_usd"] for r in got.results), abs=1e-9)


def test_d54_three_failures_of_ten(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {}}, retry={"attempts": 1})
    bed.start().wait_ready()
    bed.send([job(f"j{i}", "[[sim: status=500]]" if i < 3 else "", batch_id="b") for i in range(10)])
    got = finish(bed, 10)
    n = {k: sum(s[k] for s in got.stats) for k in ("calls_total", "calls_ok", "calls_failed")}
    assert n == {"calls_total": 10, "calls_ok": 7, "calls_failed": 3}
    last = {m.key(): json.loads(m.value()) for m in got.raw["batches"]}
    assert sum(b["jobs_total"] for b in last.values()) == 10 and sum(b["jobs_failed"] for b in last.values()) == 3


def test_d59_each_request_has_its_record(bed):
    """finish() holds the call records against the provider's log; the statistics count the same, retries and hedging aside."""
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms,errors=30%", "sim/b,latency=10ms"])
    bed.configure(models={"a": {}, "b": {}})
    bed.start().wait_ready()
    bed.send([job(f"j{i}") for i in range(100)])
    got = finish(bed, 100)
    assert sum(s["calls_total"] for s in got.stats) == len(got.requests) > 200
    assert sum(s["retries"] for s in got.stats) == len(got.requests) - 200
    assert sum(sum(s["duration_bucket_counts"]) for s in got.stats) == len(got.requests)


def test_at_least_once_tells_the_same(bed):
    """After a kill calls may come twice, with the same event_id, and what was told of them too: never less."""
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms", "sim/b,latency=30ms,errors=10%"])
    bed.configure(models={"a": {}, "b": {}}, kafka={"delivery": "at_least_once"}, jobs={"max_in_flight": 20})
    t = bed.start(slot="s0").wait_ready()
    bed.send([job(f"j{i}", batch_id="b") for i in range(300)])
    wait_until("answers that nobody has published", lambda: dones(bed) > 3, 60)
    t.kill()
    bed.start("tutti1", slot="s0").wait_ready()
    bed.committed_everything()
    for p in bed.processes:
        if isinstance(p, Tutti) and p.alive():
            assert p.stop() == 0, p.output()[-3000:]
    calls = {c["event_id"]: c for c in (json.loads(m.value()) for m in read_to_end(bed, "calls"))}
    stats = [json.loads(m.value()) for m in read_to_end(bed, "model_stats")]
    once, told = fold_calls(calls.values()), fold_stats(stats)
    assert sum(r["calls_total"] for r in once.values()) == len(calls) >= 600
    short = {k: (row, told.get(k)) for k, row in once.items() if told.get(k, {}).get("calls_total", 0) < row["calls_total"]}
    assert not short
    assert len({s["event_id"] for s in stats}) == len(stats)


def test_topics_are_made_as_they_are_read(bed):
    """tutti.batches keeps the last record of a key; the others keep what the broker's defaults say."""
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    bed.start().wait_ready()
    bed.send([job("one", batch_id="b")])
    got = finish(bed, 1)
    names = {t: bed.topics[t] for t in ("model_stats", "batches")}
    asked = {ConfigResource(ConfigResource.Type.TOPIC, name): t for t, name in names.items()}
    policy = {asked[r]: f.result(30)["cleanup.policy"].value for r, f in bed.admin.describe_configs(list(asked)).items()}
    assert policy == {"batches": "compact", "model_stats": "delete"}
    [stats], [batch] = got.raw["model_stats"], got.raw["batches"]
    for m, kind in ((stats, "tutti.model-stats.v1"), (batch, "tutti.batch.v1")):
        h, v = dict(m.headers()), json.loads(m.value())
        assert h["ce_type"] == kind.encode() and h["ce_id"] == v["event_id"].encode() and h["content-type"] == b"application/json"
        assert h["ce_subject"] == m.key() and h["ce_time"] == v["ts"].encode()


def test_d48_the_build_in_the_records_is_the_commit(bed):
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    bed.start().wait_ready()
    bed.send([job("one", batch_id="b")])
    got = finish(bed, 1)
    version = json.loads(subprocess.run([binary(), "version", "--json"], capture_output=True, text=True, check=True).stdout)
    assert {r["build"] for r in got.results + got.calls + got.stats + got.batches} == {version["commit"]}
    commit = re.fullmatch(r"([0-9a-f]{12})(-dirty)?", version["commit"])
    if commit is None or not (ROOT / ".git").exists():
        assert version["commit"] == "unknown", "built from an archive"
        return
    full = subprocess.run(["git", "-C", ROOT, "rev-parse", f"{commit[1]}^{{commit}}"], capture_output=True, text=True, check=True).stdout
    assert full.startswith(commit[1])


def test_d52_a_failure_carries_no_answer(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms", "sim/b,latency=10ms"])
    bed.configure(models={"a": {}, "b": {}}, retry={"attempts": 1})
    bed.start().wait_ready()
    ways = ["status=500", "status=401", "empty", "reset", "bad_json", "status=429"]
    bed.send([job(f"all/{i}", f"[[sim: {w}]]") for i, w in enumerate(ways)] +
             [job(f"one/{i}", f"[[sim: {w} model=sim/a]]", quorum=2) for i, w in enumerate(ways)] + [job("good")])
    got = finish(bed, 2 * len(ways) + 1)
    assert got.by_id["good"]["status"] == "ok" and got.by_id["good"]["answer"]
    for i in range(len(ways)):
        for name in ("all", "one"):
            r = got.by_id[f"{name}/{i}"]
            assert (r["status"], r["answer"], r["winner"], r["error_code"]) == ("failed", None, None, "quorum_not_met"), (ways[i], r)
        assert not any(a["answer"] for a in got.by_id[f"all/{i}"]["answers"]), ways[i]


def test_d55_usage_is_the_providers(bed):
    """123 and 45 tokens as the provider says, whatever the texts' lengths are; nothing is estimated."""
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms,prompt_tokens=123,completion_tokens=45"])
    bed.configure(models={"a": {}})
    bed.start().wait_ready()
    bed.send([job(f"j{i}", "word " * i, batch_id="b") for i in range(20)])
    got = finish(bed, 20)
    for c in got.calls:
        assert (c["input_tokens"], c["output_tokens"], c["usage_estimated"]) == (123, 45, False)
        assert c["cost_usd"] == round(123 * 2.5e-6 + 45 * 10e-6, 9)
    assert all((r["input_tokens"], r["output_tokens"]) == (123, 45) for r in got.results)
    assert sum(s["input_tokens"] for s in got.stats) == 20 * 123 and sum(s["output_tokens"] for s in got.stats) == 20 * 45


def test_a_batch_is_followed_while_it_runs(bed):
    """Progress is visible before the end, and never goes back."""
    bed.create_topics()
    bed.sim(["sim/a,latency=200ms"])
    bed.configure(models={"a": {}}, jobs={"max_in_flight": 20})
    bed.start().wait_ready()
    bed.send([job(f"j{i}", batch_id="night") for i in range(200)])
    seen = bed.read("batches", 60, lambda r: len(r) >= 5)
    assert len(seen) >= 5
    got = finish(bed, 200)
    by_key = {}
    for b in got.batches:
        key = (b["source_partition"], b["assignment"])
        assert b["jobs_total"] > by_key.get(key, 0)
        by_key[key] = b["jobs_total"]
    assert sum(by_key.values()) == 200
    began = min(b["first_ended_at_ms"] for b in got.batches)
    assert began == min(r["ts_ms"] for r in got.results) and time.time() * 1000 > began
