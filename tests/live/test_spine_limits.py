# SPDX-License-Identifier: Apache-2.0
"""Limits that a fleet shares, by the simulator's own clock: what several processes send in any window, what a pause and an outage of
Redis stop, what waits for nobody. Names carry the number of the defect register (D-nn)."""
import time

import pytest

from audit import finish, job, paid_twice
from stack import Redis, free_port, wait_until

pytestmark = pytest.mark.timeout(150)

J = 0.5  # seconds a grant may age before its request is written


def arrivals(requests, model=None):
    return sorted(x["t_us"] / 1e6 for x in requests if model in (None, x["model"]))


def check_windows(requests, per_minute):
    """No window of any length w sees more than B + r (w + J) requests; returns requests per second. DESIGN 7"""
    times = arrivals(requests)
    b = max(1, 0.02 * per_minute)
    r = (per_minute - b) / (60 + J)
    for i, begin in enumerate(times):
        for j in range(i, len(times)):
            w = times[j] - begin
            assert j - i + 1 <= b + r * (w + J), f"{j - i + 1} requests within {w:.3f} s, {b + r * (w + J):.1f} are allowed"
    return len(times) / (times[-1] - times[0])


def sim_of(bed, per_minute, window_s=5, latency="50ms"):
    """The provider refuses too: what the promise allows in a window of its own, rounded down."""
    b = max(1, 0.02 * per_minute)
    most = int(b + (per_minute - b) / (60 + J) * (window_s + J))
    return bed.sim([f"sim/a,latency={latency},rpm={most},window={window_s}s"])


def test_d13_three_processes_share_one_limit(bed):
    bed.create_topics(6)
    sim_of(bed, 600)
    bed.configure(models={"a": {"limits": {"requests_per_minute": 600}}})
    for i in range(3):
        bed.start(f"tutti{i}")
    wait_until("all have partitions", lambda: len(bed.members()) == 3 and all(bed.members().values()), 40, 0.2)
    bed.send([job(f"j{i}") for i in range(200)])
    got = finish(bed, 200, partitions=6)
    assert {r["status"] for r in got.results} == {"ok"}
    assert len({c["worker_id"] for c in got.calls}) == 3, "all three took part"
    assert check_windows(got.requests, 600) > 0.9 * 600 / 60
    assert {c["throttle_reason"] for c in got.calls} >= {"rpm"}


def test_two_processes_keep_a_limit_through_a_crash_and_a_restart(bed):
    bed.create_topics()
    sim_of(bed, 600)
    bed.configure(models={"a": {"limits": {"requests_per_minute": 600}}})
    first, second = bed.start("tutti0"), bed.start("tutti1")
    first.wait_ready(), second.wait_ready()
    bed.send([job(f"j{i}") for i in range(150)])
    wait_until("calls under way", lambda: len(bed.sims[0].requests()) >= 40, 40)
    first.kill()
    bed.start("tutti2").wait_ready()
    wait_until("calls under way", lambda: len(bed.sims[0].requests()) >= 80, 40)
    assert second.stop() == 0
    got = finish(bed, 150, same_requests=False)
    assert {r["status"] for r in got.results} == {"ok"}
    check_windows(got.requests, 600)
    assert len(paid_twice(got.requests)) <= 40, "only what was under way at the kill may be paid again"


def test_d08_an_empty_bucket_delays_only_its_own_model(bed):
    bed.create_topics()
    bed.sim(["sim/scarce,latency=20ms", "sim/plenty,latency=20ms"])
    bed.configure(models={"scarce": {"limits": {"requests_per_minute": 60}}, "plenty": {"limits": {"requests_per_minute": 60000}}})
    bed.start().wait_ready()
    bed.send([job(f"scarce{i}", models=["scarce"]) for i in range(5)] + [job(f"plenty{i}", models=["plenty"]) for i in range(100)])
    got = finish(bed, 105)
    assert {r["status"] for r in got.results} == {"ok"}
    began = min(r["submitted_at_ms"] for r in got.results)
    plenty = max(r["ts_ms"] for r in got.results if r["job_id"].startswith("plenty")) - began
    scarce = sorted(r["ts_ms"] - began for r in got.results if r["job_id"].startswith("scarce"))
    assert plenty < 2500 and scarce[-1] > 3500, (plenty, scarce)


def test_d14_each_attempt_takes_a_permit(bed):
    """Two retries at one call per second: without permits of their own they would follow within 100 ms."""
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {"limits": {"requests_per_minute": 60}}})
    bed.start().wait_ready()
    bed.send([job("one", "[[sim: status=503 times=2]]")])
    got = finish(bed, 1)
    assert got.by_id["one"]["answers"][0]["attempts"] == 3
    times = arrivals(got.requests)
    assert len(times) == 3 and times[2] - times[0] >= 1.8, times
    assert sum(c["throttle_ms"] for c in got.calls) >= 1500


def test_d17_a_hint_to_wait_stops_the_whole_fleet(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {"limits": {"requests_per_minute": 3000}}})
    bed.start("tutti0"), bed.start("tutti1")
    wait_until("both have partitions", lambda: len(bed.members()) == 2 and all(bed.members().values()), 40, 0.2)
    bed.send([job(f"a{i}") for i in range(60)] + [job("x", "[[sim: status=429 retry_after=2 times=1]]")] +
             [job(f"b{i}") for i in range(140)])
    got = finish(bed, 201)
    assert {r["status"] for r in got.results} == {"ok"}
    assert len({c["worker_id"] for c in got.calls}) == 2
    x = arrivals([q for q in got.requests if q["job"] == "x"])
    # a quarter on top of the hint, which counts from the answer (20 ms) and was seen used up to 10 ms by the limiter's rhythm
    assert len(x) == 2 and 2.0 <= x[1] - x[0] <= 2.5 + 0.15, x
    early = [t - x[0] for t in arrivals(got.requests) if x[0] + J + 0.1 < t < x[0] + 1.95]
    assert not early, f"requests during the pause, seconds after the 429: {early}"
    assert any(t > x[0] + 1.95 for t in arrivals(got.requests)), "something had to wait"
    [first] = [c for c in got.calls if c["job_id"] == "x" and c["attempt"] == 1]
    assert (first["error_code"], first["retry_after_ms"]) == ("rate_limited", 2000)


@pytest.mark.parametrize("limits", [{"requests_per_minute": 1200}, None], ids=["limited", "unlimited"])
def test_d15_without_redis_nothing_is_paid_and_then_all_ends_well(bed, limits):
    """Redis is killed under load and comes back empty: no call starts after the last valid grant, no restart is needed."""
    redis = Redis(bed.where, port=free_port(), name="redis0")
    bed.processes.append(redis)
    bed.create_topics()
    bed.sim(["sim/a,latency=100ms"])
    bed.configure(models={"a": {"limits": limits} if limits else {}}, redis={"url": redis.url},
                  jobs={"max_in_flight": 4 if not limits else 500})
    t = bed.start().wait_ready()
    bed.send([job(f"j{i}") for i in range(200)])
    wait_until("calls under way", lambda: len(bed.sims[0].requests()) >= 30, 40, 0.02)
    redis.kill()
    killed = time.monotonic()
    await_quiet(bed.sims[0], 2.5)
    late = [x - killed for x in arrivals(bed.sims[0].requests()) if x > killed + J + 0.05]
    assert not late, f"calls started, seconds after the kill: {late}"
    assert len(bed.sims[0].requests()) < 200 and t.alive()
    back = Redis(bed.where, port=redis.port, name="redis1")
    bed.processes.append(back)
    got = finish(bed, 200, seconds=60, redis=back)
    assert {r["status"] for r in got.results} == {"ok"}
    assert not paid_twice(got.requests)
    if limits:
        check_windows(got.requests, limits["requests_per_minute"])


def await_quiet(sim, seconds):
    """Returns when the provider has heard nothing for so long."""
    n, since = -1, time.monotonic()

    def check():
        nonlocal n, since
        if len(sim.requests()) != n:
            n, since = len(sim.requests()), time.monotonic()
        return time.monotonic() - since > seconds
    wait_until("the provider hears nothing", check, 30, 0.05)


def test_tokens_and_concurrency_are_shared_too(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=300ms,concurrency=5,tpm=60000,window=60s,prompt_tokens=100,completion_tokens=100,bytes=400"])
    bed.configure(models={"a": {"limits": {"concurrency": 5, "tokens_per_minute": 60000}}})
    bed.start("tutti0"), bed.start("tutti1")
    wait_until("both have partitions", lambda: len(bed.members()) == 2 and all(bed.members().values()), 40, 0.2)
    bed.send([job(f"j{i}") for i in range(60)])
    got = finish(bed, 60)
    assert {r["status"] for r in got.results} == {"ok"}
    assert max(x["in_flight"] for x in got.requests) <= 5
    assert len({c["worker_id"] for c in got.calls}) == 2
