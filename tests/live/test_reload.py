# SPDX-License-Identifier: Apache-2.0
"""SIGHUP while jobs stream through: the new configuration holds, a bad one changes nothing, and no job and no call is lost or paid twice.
The provider's own log says which limit was kept."""
import http.client
import json
import re
import signal
import time

import pytest

from audit import finish, job, paid_twice
from stack import wait_until

pytestmark = pytest.mark.timeout(240)

J = 0.5  # seconds a grant may age before its request is written


def metric(t, name):
    where = re.search(r'event=admin_listening address="?([^"\s]+)', t.output()).group(1)
    c = http.client.HTTPConnection(where, timeout=30)
    c.request("GET", "/metrics")
    text = c.getresponse().read().decode()
    c.close()
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def hup(bed, processes, event, text=None):
    """Writes what bed.config says (or `text`) for each process, tells it, and waits until it has said `event` once more."""
    for t in processes:
        before = len(re.findall(f"event={event} ", t.output()))
        path = bed.write_config(f"{t.name}.yaml")
        if text is not None:
            path.write_text(text)
        t.p.send_signal(signal.SIGHUP)
        t.wait_log(f"event={event} ", n=before + 1)


def share(bed, both):
    """Waits until both processes have partitions."""
    for t in both:
        t.wait_ready()
    wait_until("both have partitions", lambda: len(bed.members()) == 2 and all(bed.members().values()), 60, 0.2)


def arrivals(bed, model):
    return sorted(x["t_us"] / 1e6 for x in bed.sims[0].requests() if x["model"] == f"sim/{model}")


def check_windows(times, per_minute):
    """No window of any length w sees more than B + r (w + J) requests. DESIGN 7"""
    b = max(1, 0.02 * per_minute)
    r = (per_minute - b) / (60 + J)
    for i, begin in enumerate(times):
        for j in range(i, len(times)):
            most = b + r * (times[j] - begin + J)
            assert j - i + 1 <= most, f"{j - i + 1} requests within {times[j] - begin:.3f} s, {most:.1f} are allowed"


def models(limit, gone=True, new=False):
    out = {"a": {"limits": {"requests_per_minute": limit}}}
    if gone:
        out["gone"] = {"limits": {"concurrency": 4}, "aliases": ["old-name"]}
    if new:
        out["new"] = {"price": {"input": "1", "output": "1"}, "limits": {"concurrency": 50}}
    return out


def test_reload_under_load_loses_nothing(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=200ms", "sim/gone,latency=1500ms", "sim/new,latency=50ms"])
    bed.configure(models=models(1200))
    both = [bed.start(f"tutti{i}") for i in range(2)]
    share(bed, both)

    # at 20 a second; a fifth fails at first, so that there are retries on both sides of each reload
    bed.send([job(f"a{i}", "[[sim: status=503 times=1]]" if i % 5 == 0 else "", models=["a"]) for i in range(250)])
    bed.send([job(f"gone{i}", models=["old-name" if i % 2 else "gone"]) for i in range(24)])
    bed.send([job(f"early{i}", models=["new"]) for i in range(5)])
    wait_until("calls of both models", lambda: len(arrivals(bed, "a")) > 40 and len(arrivals(bed, "gone")) >= 6, 60)

    # half the limit; one model goes while calls of it are under way and wait, another one comes
    bed.configure(models=models(600, gone=False, new=True), jobs={"default_models": ["a"]}, log={"level": "debug"})
    hup(bed, both, "reloaded")
    for t in both:
        changed = re.search(r'event=reloaded .*changed="([^"]*)"', t.output()).group(1).split(",")
        assert set(changed) == {"jobs.default_models", "log.level", "models.a.limits.requests_per_minute", "models.gone (gone)",
                                "models.new (new)"}
    settled = arrivals(bed, "a")[-1] + 1.0
    bed.send([job(f"new{i}", models=["new"]) for i in range(30)])
    bed.send([job(f"late{i}", models=["gone"]) for i in range(5)])
    wait_until("calls under the new limit", lambda: len([x for x in arrivals(bed, "a") if x > settled]) > 50, 60)

    # a broken file: what holds, holds on
    hup(bed, both, "reload_failed", '{"models": {"a": {"provider": "sim", "nam": "x"}}, "jobz": 1}')
    for t in both:
        assert 'event=reload_failed file=' in t.output() and "problems=" in t.output()
        assert "unknown key 'nam' in models.a (did you mean 'name'?)" in t.output() and "unknown key 'jobz'" in t.output()
        assert metric(t, "tutti_config_last_reload_successful") == 0
    n = len(arrivals(bed, "a"))
    wait_until("calls go on", lambda: len(arrivals(bed, "a")) > n + 15, 60)

    # as it was, but for a limit that lets the rest go at once
    under_half = [x for x in arrivals(bed, "a") if x > settled]
    bed.configure(models=models(12000), jobs={"default_models": ["a"]})
    began = time.time()
    hup(bed, both, "reloaded")
    assert all(metric(t, "tutti_config_last_reload_successful") == 1 for t in both)
    assert all(metric(t, "tutti_config_last_reload_timestamp_seconds") >= int(began) for t in both)
    bed.send([job(f"again{i}", models=["gone"]) for i in range(4)])

    n_jobs = 250 + 24 + 5 + 30 + 5 + 4
    got = finish(bed, n_jobs, seconds=90)
    assert paid_twice(got.requests) == []
    check_windows(under_half, 600)
    want = {"a": "ok", "gone": "ok", "new": "ok", "again": "ok", "early": "failed", "late": "failed"}
    for r in got.results:
        assert r["status"] == want[re.match(r"[a-z]+", r["job_id"]).group()], r
    assert {r["error_code"] for r in got.results} == {None, "unknown_model"}
    assert {c["request_model"] for c in got.calls} == {"a", "gone", "new"}
    assert len({c["worker_id"] for c in got.calls}) == 2, "both took part"


def test_what_needs_a_restart_keeps_its_value(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms"])
    bed.configure(models={"a": {}})
    t = bed.start().wait_ready(partitions=4)
    c = bed.configure(models={"a": {"price": {"input": "5", "output": "20"}}}, workers=3, admin={"listen": "127.0.0.1:1"})
    c["kafka"]["commit_interval"] = "9s"
    hup(bed, [t], "reloaded")
    assert 'event=reload_needs_restart keys="kafka.commit_interval,admin.listen,workers"' in t.output()
    assert 'changed="models.a.price.input,models.a.price.output"' in t.output()
    bed.send([job("one")])
    got = finish(bed, 1, seconds=60)
    [call] = got.calls
    cost = call["input_tokens"] * 5 + call["output_tokens"] * 20
    assert abs(call["cost_usd"] * 1e6 - cost) < 1e-3, call


def test_limits_come_to_a_service_that_had_none(bed):
    """Nothing needed Redis at the start; now it holds the limits of the fleet."""
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms"])
    bed.configure(models={"a": {}}, journal={"enabled": False})
    both = [bed.start(f"tutti{i}", slot=f"s{i}") for i in range(2)]
    share(bed, both)
    assert all("redis_up" not in t.output() for t in both)
    bed.config["models"]["a"]["limits"] = {"requests_per_minute": 1200}
    for i, t in enumerate(both):
        path = bed.write_config(f"{t.name}.yaml", slot=f"s{i}")
        t.p.send_signal(signal.SIGHUP)
        t.wait_log('event=reloaded .*models.a.limits.requests_per_minute')
        assert json.loads(path.read_text())["models"]["a"]["limits"]
        t.wait_log("event=redis_up name=limiter")
    bed.send([job(f"j{i}") for i in range(80)])
    got = finish(bed, 80)
    assert {r["status"] for r in got.results} == {"ok"}
    check_windows(arrivals(bed, "a"), 1200)
    assert len({c["worker_id"] for c in got.calls}) == 2
