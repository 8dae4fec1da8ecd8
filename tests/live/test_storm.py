# SPDX-License-Identifier: Apache-2.0
"""The whole promise at scale, on the release build: 10,000 jobs x 3 models with 5 % errors of all kinds, calm and under kill -9; shared limits on
the simulator's clock. TUTTI_STORM_JOBS changes the size.

    python -m pytest tests/live/test_storm.py -s       prints the figures of the note
"""
import collections
import hashlib
import os
import time

import pytest

import stack as stack_module
from audit import one_terminal_record_each
from stack import ROOT, max_in_window, wait_until

JOBS = int(os.environ.get("TUTTI_STORM_JOBS", "10000"))
STORM_RPM = 9000 * JOBS // 10000  # of the three processes: a good minute of work whatever the size, longer than the kills
ERRORS = "e429=70,e500=90,e503=60,reset=80,truncate=60,silence=10,empty=60,bad_json=40,error200=30"  # of 10,000: 5 %


@pytest.fixture(autouse=True)
def release_build(monkeypatch):
    path = os.environ.get("TUTTI_RELEASE_BIN", str(ROOT / "build/release/tutti"))
    monkeypatch.setattr(stack_module, "binary", lambda: path)


def three_models(bed, rpm=None, latency="100ms"):
    bed.sim([f"sim/{m},latency={latency},p99=3,bytes=400,{ERRORS}" for m in "abc"])
    limits = {"limits": {"requests_per_minute": rpm}} if rpm else {}
    bed.configure(models={m: {"timeout": {"first_byte": "3s", "total": "10s"}, **limits} for m in "abc"})


def send_jobs(bed, n):
    bed.send([{"prompt": f"JOB:j{i} " + "Explain the trade-offs of the design below. " * 5} for i in range(n)])


def wait_results(bed, n, seconds):
    """Watches the committed offsets, which is cheaper than reading the results over and over."""
    bed.committed_everything(seconds=seconds)
    return one_terminal_record_each(bed, n)


def report(name, results, calls, seconds):
    status = collections.Counter(r["status"] for r in results)
    print(f"\n{name}: {len(results)} results {dict(status)}, {calls} requests at the simulator, {seconds:.1f} s")


def start_slot(bed, name, slot):
    """A process with a key of its slot's own, by which the simulator's log names the process behind each request. (Limits are shared per
    key, so each slot has its own.)"""
    return bed.tutti(name, env={"SIM_KEY": f"sk-storm-{slot}"}, slot=slot)


def key_id(slot):
    return hashlib.sha256(f"sk-storm-{slot}".encode()).hexdigest()[:12]


def is_lost(request, kills, grace_ms):
    """Its own process was killed while it was under way, or no more than the grace after its answer."""
    return any(request["key_id"] == key_id(slot) and request["t_ms"] <= dead_ms and kill_ms <= request["answered_ms"] + grace_ms
               for slot, kill_ms, dead_ms in kills)


def paid_again(requests, kills, grace_ms=50):
    """Calls whose answer had been handed over, and were asked and paid again though no kill of the process that had the answer explains
    it. kills: (slot, ms when the signal was sent, ms when the process was gone)."""
    by_call, bad = collections.defaultdict(list), []
    for r in requests:
        if r["paid"] and r["decision"] == "ok":
            by_call[r["idempotency_key"]].append(r)
    for key, rs in by_call.items():
        rs.sort(key=lambda r: r["t_ms"])
        for first, again in zip(rs, rs[1:]):
            if not is_lost(first, kills, grace_ms):
                after = [(slot, kill_ms - first["answered_ms"]) for slot, kill_ms, _ in kills if kill_ms > first["answered_ms"]]
                bad.append({"key": key, "by": first["key_id"], "answered_ms": first["answered_ms"], "next_kill_after_ms": after[:1],
                            "again_by": again["key_id"], "again_after_ms": again["t_ms"] - first["answered_ms"]})
    again = sum(len(v) - 1 for v in by_call.values())
    return bad, again


@pytest.mark.timeout(400)
def test_ten_thousand_jobs_end_once_each(bed):
    bed.create_topics(4)
    three_models(bed)
    bed.configure(models=bed.config["models"], jobs={"max_in_flight": 2000, "default_models": ["a", "b", "c"]})
    send_jobs(bed, JOBS)
    t0 = time.monotonic()
    for i in range(2):
        bed.tutti(f"tutti{i}", slot=f"s{i}")
    results = wait_results(bed, JOBS, 300)
    requests = bed.sims[0].requests()
    report("calm", results, len(requests), time.monotonic() - t0)
    assert len(results) == JOBS
    bad, again = paid_again(requests, [])
    assert not bad, bad[:5]
    for p in bed.processes[1:]:
        assert p.stop() == 0


@pytest.mark.timeout(600)
def test_kill_nine_storm(bed):
    bed.create_topics(6)
    three_models(bed, rpm=STORM_RPM // 3, latency="300ms")
    send_jobs(bed, JOBS)
    crews = [start_slot(bed, f"tutti{i}", f"s{i}") for i in range(3)]
    crews[0].wait_ready(60)
    kills = []
    t0 = time.monotonic()
    for k in range(10):
        time.sleep(5)  # the rhythm, not a wait for something
        victim = k % 3
        kill_ms = time.time() * 1000
        crews[victim].kill()
        kills.append((f"s{victim}", kill_ms, time.time() * 1000))
        crews[victim] = start_slot(bed, f"tutti{victim}-{k}", f"s{victim}")
    bed.committed_everything(partitions=6, seconds=400)
    results = one_terminal_record_each(bed, JOBS)
    requests = bed.sims[0].requests()
    report("storm", results, len(requests), time.monotonic() - t0)
    assert {r["key_id"] for r in requests} == {key_id(f"s{i}") for i in range(3)}, "each request names its process"
    bad, again = paid_again(requests, kills)
    for b in bad:
        print("paid again:", b)
    recalled = sum(r["calls_recalled"] for r in results)
    print(f"storm: {again} calls paid again in all (in flight at a kill), {len(bad)} that had been answered more than 50 ms before, "
          f"{recalled} answers recalled")
    assert not bad, bad[:5]
    for p in crews:
        assert p.stop() == 0


@pytest.mark.timeout(200)
def test_two_processes_share_one_limit(bed):
    rpm, jobs = 600, 700
    bed.create_topics(4)
    bed.sim([f"sim/a,latency=20ms,bytes=100,rpm={rpm}"])
    bed.configure(models={"a": {"limits": {"requests_per_minute": rpm}}})
    bed.send([{"prompt": f"JOB:j{i}"} for i in range(jobs)])
    for i in range(2):
        bed.tutti(f"tutti{i}", slot=f"s{i}").wait_ready(60)
    t0 = time.monotonic()
    wait_until("70 s of full load", lambda: time.monotonic() - t0 > 70, 80, 0.5)
    times = [r["t_us"] / 1e6 for r in bed.sims[0].requests()]
    most = max_in_window(times, 60)
    bucket, age = max(1, 0.02 * rpm), 0.5
    rate = (rpm - bucket) / (60 + age)
    full = [t for t in times if times[0] + 5 <= t < times[0] + 65]
    used = len(full) / rpm
    print(f"\nshared limit: most in any 60 s {most} of {rpm}; used {100 * used:.1f} % (ceiling {100 * rate * 60 / rpm:.1f} %)")
    assert most <= rpm
    for w in (0.5, 1, 2, 5, 10, 20, 30):
        assert max_in_window(times, w) <= bucket + rate * (w + age) + 1e-6, w
    assert not any(r["over_limit"] for r in bed.sims[0].requests())
