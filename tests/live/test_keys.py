# SPDX-License-Identifier: Apache-2.0
"""What a key of the configuration changes in the running program, for the keys that no other live test turns: each is set to what its
default would not do. Every test ends in audit.finish()."""
import json
import time

import pytest

from audit import assign_all, consumer, finish, job, journal_keys
from stack import free_port, wait_until

pytestmark = pytest.mark.timeout(90)


def start(bed, sim="sim/a", model=None, kw=None, **sections):
    """Topics, one simulated model and a process that has its partitions."""
    bed.create_topics()
    bed.sim([sim])
    bed.configure(models={"a": model or {}}, **sections)
    return bed.start(**(kw or {})).wait_ready(partitions=4)


def gaps_s(requests):
    times = sorted(x["t_us"] / 1e6 for x in requests)
    return [b - a for a, b in zip(times, times[1:])]


def test_journal_enabled_false_needs_no_redis(bed):
    """With a slot of its own and no limits; nobody listens at redis.url."""
    t = start(bed, kw={"slot": "s0"}, journal={"enabled": False}, redis={"url": f"redis://127.0.0.1:{free_port()}/0"})
    bed.send([job(f"j{i}", "[[sim: status=503 times=1]]" if i % 2 else "") for i in range(20)])
    got = finish(bed, 20)
    assert {r["status"] for r in got.results} == {"ok"}
    assert "redis" not in t.output() and "journal" not in t.output()


@pytest.mark.parametrize("ttl, least_s, most_s", [("1h", 3590, 3600), ("auto", 86400, 30 * 86400)])
def test_journal_ttl_is_how_long_an_answer_is_kept(bed, ttl, least_s, most_s):
    """Looked at while one answer of the job is in the journal and the other under way."""
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms", "sim/b,latency=1500ms"])
    bed.configure(models={"a": {}, "b": {}}, journal={"ttl": ttl})
    bed.start().wait_ready(partitions=4)
    bed.send([job("one")])
    r = bed.stack.redis.client()
    [left_ms] = wait_until("an answer in the journal", lambda: [
        r.pttl(k) for k in journal_keys(bed) if any(f.startswith(b"D") for f in r.hkeys(k))], 20, 0.02)
    assert least_s * 1000 < left_ms <= most_s * 1000
    finish(bed, 1)


def test_kafka_start_latest_skips_what_is_there(bed):
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    for p in range(4):
        bed.send([job(f"old{p}/{i}") for i in range(5)], partition=p)
    bed.start(start="latest").wait_ready(partitions=4)
    for p in range(4):
        bed.send([job(f"new{p}")], partition=p)
    got = finish(bed, 4)
    assert set(got.by_id) == {f"new{p}" for p in range(4)} and {x["job"] for x in got.requests} == set(got.by_id)


@pytest.mark.parametrize("model, text, code, detail, n_requests", [
    ({"max_answer_bytes": "8KiB", "max_output_tokens": 9000}, "", "bad_response", "too_large", 1),
    ({"limits": {"tokens_per_minute": 60000, "largest_call": 500}}, "long " * 400, "over_pool", None, 0),
    ({}, "[[sim: status=500]]", "provider_error", None, 1),
], ids=["models.max_answer_bytes", "limits.largest_call", "retry.attempts"])
def test_what_ends_a_call(bed, model, text, code, detail, n_requests):
    """One job is over the mark and fails after its only attempt, or with none; the other is not. (The simulator keeps to max_tokens.)"""
    start(bed, sim="sim/a,bytes=10000", model=model, retry={"attempts": 1})
    bed.send([job("over", text), job("below", "[[sim: answer=short]]")])
    got = finish(bed, 2)
    assert (got.by_id["below"]["status"], got.by_id["below"]["answer"]) == ("ok", "short")
    [answer] = got.by_id["over"]["answers"]
    assert (got.by_id["over"]["status"], answer["status"], answer["error_code"]) == ("failed", "error", code)
    calls = [(c["error_code"], c["error_detail"]) for c in got.calls if c["job_id"] == "over"]
    assert len(calls) == n_requests and all(c == code and detail in (None, d) for c, d in calls), calls
    assert sum(x["job"] == "over" for x in got.requests) == n_requests


def test_retry_cap_is_the_longest_back_off(bed):
    """Five retries: without the cap the last alone would wait 800 ms or more."""
    start(bed, retry={"attempts": 6, "base": "100ms", "cap": "100ms"})
    bed.send([job("one", "[[sim: status=503 times=5]]")])
    got = finish(bed, 1)
    assert (got.by_id["one"]["status"], got.by_id["one"]["retries"]) == ("ok", 5)
    gaps = gaps_s(got.requests)
    assert len(gaps) == 5 and 0.05 <= min(gaps) and max(gaps) < 0.4, gaps


def test_log_format_json_makes_every_line_an_object(bed):
    t = start(bed, log={"format": "json", "level": "debug"})
    bed.send([job("one", "[[sim: status=503 times=1]]"), "{no job"])
    finish(bed, 2)
    lines = [json.loads(x) for x in t.output().splitlines()]
    assert {"partition_assigned", "draining"} <= {x["event"] for x in lines}
    assert all(isinstance(x, dict) and x["level"] in ("debug", "info", "warn", "error") for x in lines)


def test_shutdown_grace_is_how_long_a_silent_provider_is_waited_for(bed):
    t = start(bed, shutdown={"grace": "1s"})
    bed.send([job("one", "[[sim: silence times=1]]")])
    wait_until("the call is under way", lambda: bed.established(t, bed.sims[0]) == 1, 20)
    began = time.monotonic()
    assert t.stop() == 0, t.output()[-3000:]
    assert 0.9 < time.monotonic() - began < 3.0
    bed.start("tutti1")
    assert finish(bed, 1, same_requests=False).by_id["one"]["status"] == "ok", "the next process has it"


def test_kafka_prefetch_bytes_below_the_size_of_a_record(bed):
    start(bed, sim="sim/a,latency=10ms", kw={"prefetch_bytes": "16KiB"})
    bed.send([job(f"j{i}", "x" * size) for i, size in enumerate([1000, 20000, 100000, 700000] * 10)])
    assert {r["status"] for r in finish(bed, 40).results} == {"ok"}


@pytest.mark.parametrize("interval, least_s, most_s", [("2s", 1.8, 3.5), ("10ms", 0, 1.0)])
def test_kafka_commit_interval_is_how_long_a_result_waits_for_others(bed, interval, least_s, most_s):
    """From the job's end to where a reader of committed records sees it."""
    start(bed, kw={"commit_interval": interval})
    c = consumer(bed)
    assign_all(bed, c, ["results"])
    bed.send([job("one")])
    m = wait_until("the result", lambda: c.poll(0.05), 20, 0)
    waited_s = time.time() - json.loads(m.value())["ts_ms"] / 1000
    c.close()
    assert least_s <= waited_s <= most_s, waited_s
    finish(bed, 1)
