# SPDX-License-Identifier: Apache-2.0
"""The admin server of the running program: health that asks nobody, metrics that agree with the records, jobs in flight. Names carry the
number of the defect register (D-nn) where one exists."""
import collections
import http.client
import itertools
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.parse

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from audit import await_terminal, finish, job
from stack import ROOT, SECRET, wait_until

pytestmark = pytest.mark.timeout(180)
HEALTH = ("/livez", "/readyz", "/readyz?verbose", "/api/v1/status")


def address(t):
    t.wait_log("event=admin_listening")
    return re.search(r'event=admin_listening address="?([^"\s]+)', t.output()).group(1)


def ask(where, path, method="GET"):
    """Status, headers and text of one request."""
    c = http.client.HTTPConnection(where, timeout=30)
    c.request(method, path)
    r = c.getresponse()
    out = r.status, dict(r.getheaders()), r.read().decode()
    c.close()
    return out


def doc(where, path):
    status, headers, text = ask(where, path)
    assert headers["Content-Type"] == "application/json"
    d = json.loads(text)
    assert d["schema_version"] == 1
    return status, d


def model(where, name):
    return next(m for m in doc(where, "/api/v1/status")[1]["models"] if m["model"] == name)


CONTRACT = set("""
tutti_breaker_state tutti_build_info tutti_call_duration_seconds tutti_call_retries_total tutti_call_throttle_seconds_total
tutti_call_ttft_seconds tutti_calls_total tutti_config_last_reload_successful tutti_config_last_reload_timestamp_seconds
tutti_cost_usd_total tutti_dlq_total tutti_inflight_calls tutti_inflight_jobs tutti_job_duration_seconds
tutti_job_queue_age_seconds tutti_jobs_total tutti_kafka_consumer_lag_records tutti_kafka_oldest_unprocessed_age_seconds
tutti_kafka_produce_errors_total tutti_kafka_rebalances_total tutti_limit_available_ratio tutti_limit_capacity
tutti_limiter_degraded tutti_redis_errors_total tutti_redis_op_duration_seconds tutti_token_estimate_ratio
tutti_tokens_total
""".split())  # the names that dashboards are built on


def metrics(where):
    """{(name, labels): value} of the exposition."""
    out = {}
    for line in ask(where, "/metrics")[2].splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            key = name, frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            assert key not in out, line
            out[key] = float(value)
    return out


def total(all_metrics, name, **labels):
    return sum(v for (n, have), v in all_metrics.items() if n == name and set(labels.items()) <= have)


def start(bed, sims, models, **sections):
    bed.create_topics()
    bed.sim(sims)
    bed.configure(models=models, **sections)
    t = bed.start().wait_ready(partitions=4)
    return t, address(t)


def test_d10_d11_health_asks_nobody_and_waits_for_nobody(bed):
    t, where = start(bed, ["sim/a,silence=100%"], {"a": {"timeout": {"total": "60s"}}}, jobs={"deadline": "60s"},
                     shutdown={"grace": "2s"})
    wait_until("ready", lambda: ask(where, "/readyz")[0] == 200)
    for i in range(1000):
        assert ask(where, HEALTH[i % len(HEALTH)])[0] == 200
    assert bed.sims[0].requests() == []  # an idle service asks no provider, whoever asks it
    bed.send([job(f"j/{i}") for i in range(30)])
    wait_until("30 calls hang", lambda: model(where, "a")["calls_in_flight"] == 30)
    for path in HEALTH + ("/metrics", "/"):
        best = 9
        for _ in range(200):  # the machine may be busy; one quick answer shows that nothing is waited for
            t0 = time.monotonic()
            assert ask(where, path)[0] == 200
            best = min(best, time.monotonic() - t0)
            if best < 0.05:
                break
        assert best < 0.05, path

    status, d = doc(where, "/api/v1/inflight?limit=7")
    assert status == 200 and d["complete"] and len(d["jobs"]) == 7
    assert len(doc(where, "/api/v1/inflight")[1]["jobs"]) == 30
    status, d = doc(where, "/api/v1/jobs/" + urllib.parse.quote("j/3", safe=""))
    [j] = d["jobs"]
    assert (j["job_id"], j["step"], j["waiting"], j["topic"]) == ("j/3", "stage", "provider", bed.topics["jobs"])
    assert j["calls"] == [{"model": "a", "provider": "sim", "state": "sending", "waiting": "provider", "attempt": 1, "error_code": None}]
    assert 0 <= j["age_ms"] < 120000
    by_position = f"/api/v1/jobs/{j['topic']}/{j['partition']}/{j['offset']}"
    assert doc(where, by_position)[1]["jobs"][0]["job_id"] == "j/3"
    assert doc(where, "/api/v1/jobs/no-such-job")[0] == 404

    t.p.send_signal(signal.SIGTERM)  # while it drains it is alive and not ready
    wait_until("draining", lambda: ask(where, "/readyz")[0] == 503)
    assert "draining" in ask(where, "/readyz")[2] and ask(where, "/livez")[0] == 200
    assert t.p.wait(40) == 0


def test_metrics_agree_with_the_records(bed):
    """D-54: every attempt is counted with its end, and the page's ratio follows."""
    t, where = start(bed, ["sim/a,latency=20ms", "sim/b,latency=20ms"],
                     {"a": {"limits": {"requests_per_minute": 6000, "tokens_per_minute": "1M", "concurrency": 50}}, "b": {}},
                     retry={"attempts": 1})
    texts = ["", "[[sim: status=500 times=9]]", "[[sim: empty]]"]
    bed.send([job(f"j{i}", texts[i % 3], models=["a", "b"]) for i in range(60)] + ["no job"] * 3)
    await_terminal(bed, 63)
    m = wait_until("all are counted", lambda: (lambda m: m if total(m, "tutti_jobs_total") == 63 else None)(metrics(where)))
    text = ask(where, "/metrics")[2]
    state = {name: model(where, name) for name in "ab"}
    page = ask(where, "/")
    limits = doc(where, "/api/v1/limits")[1]["limits"]
    secrets = [SECRET in ask(where, p)[2] for p in ("/", "/metrics", "/api/v1/status", "/api/v1/limits")]
    got = finish(bed, 63)

    outcomes = collections.Counter(r["status"] for r in got.results)
    for outcome in ("ok", "partial", "failed"):
        assert total(m, "tutti_jobs_total", outcome=outcome) == outcomes[outcome]
    assert total(m, "tutti_jobs_total", outcome="dlq") == total(m, "tutti_dlq_total", error_code="not_json") == 3
    for name in "ab":
        calls = [c for c in got.calls if c["request_model"] == name]
        for code, n in collections.Counter(c["error_code"] for c in calls).items():
            outcome = "ok" if code is None else "error"
            assert total(m, "tutti_calls_total", model=name, outcome=outcome, error_code=code or "") == n
        ok = sum(c["status"] == "ok" for c in calls)
        assert 0 < ok < len(calls)
        assert total(m, "tutti_calls_total", model=name, provider="sim") == len(calls)
        assert total(m, "tutti_call_duration_seconds_count", model=name) == len(calls)
        assert total(m, "tutti_call_duration_seconds_bucket", model=name, le="+Inf") == len(calls)
        for key, direction in (("input_tokens", "input"), ("output_tokens", "output")):
            assert total(m, "tutti_tokens_total", model=name, direction=direction) == sum(c[key] or 0 for c in calls)
        assert abs(total(m, "tutti_cost_usd_total", model=name) - sum(c["cost_usd"] or 0 for c in calls)) < 1e-9
        assert state[name]["calls_total"] == len(calls) and state[name]["calls_ok"] == ok
        if state[name]["calls_last_minute"] == len(calls):  # else the machine was too slow for one minute
            assert abs(state[name]["error_ratio"] - (1 - ok / len(calls))) < 0.002
    assert total(m, "tutti_job_duration_seconds_count") == 63
    assert total(m, "tutti_limit_capacity", model="a", kind="rpm") == 6000
    assert total(m, "tutti_limit_capacity", model="b") == 0
    assert 0 <= total(m, "tutti_limit_available_ratio", model="a", kind="tpm") <= 1
    [pool] = limits
    assert pool["models"] == ["a"] and pool["known"] and pool["requests_per_minute"] == 6000 and pool["fleet_workers"] >= 1
    assert total(m, "tutti_build_info") == 1 and total(m, "process_open_fds") > 10
    assert total(m, "tutti_redis_op_duration_seconds_count", op="journal") > 0
    # prompts, keys, jobs: in no label and on no page
    assert not any(secrets) and "JOB:" not in text + page[2] and '"j1"' not in text
    assert page[0] == 200 and "script" not in page[2] and "Content-Security-Policy" in page[1]
    for word in ("Healthy", "Models", "Partitions", "provider_error", "empty_answer"):
        assert word in page[2]
    assert not CONTRACT - set(re.findall(r"^# TYPE (\w+)", text, re.M))
    assert set(re.findall(r'^tutti_kafka_produce_errors_total\{topic="(.+)"\} 0$', text, re.M)) == {
        bed.config["kafka"]["topics"][k] for k in ("results", "calls", "dead_letters", "model_stats", "batches")}
    page_of_docs = (ROOT / "docs/operations.md").read_text()
    assert not [n for n in re.findall(r"^# TYPE (\w+)", text, re.M) if f"| `{n}` |" not in page_of_docs]
    lint = subprocess.run([shutil.which("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (lint.returncode, lint.stderr) == (0, ""), lint


def test_d64_all_providers_failing_is_degraded(bed):
    t, where = start(bed, ["sim/a,e500=100%", "sim/b,e500=100%"], {"a": {}, "b": {}}, retry={"attempts": 1},
                     breaker={"failures": 0})
    wait_until("ready", lambda: ask(where, "/readyz")[2] == "ok\n")
    bed.send([job(f"j{i}") for i in range(10)])
    await_terminal(bed, 10)
    text = wait_until("degraded", lambda: (lambda s: s if s.startswith("degraded\n") else None)(ask(where, "/readyz")[2]))
    assert re.search(r"\[!\] providers: every provider fails: \d+ calls of the last minute, none answered, mostly provider_error", text)
    assert doc(where, "/api/v1/status")[1]["state"] == "degraded"
    t.wait_log("event=readiness state=degraded")
    got = finish(bed, 10)
    assert {r["status"] for r in got.results} == {"failed"}


def test_d47_a_missing_key_makes_a_model_unavailable(bed):
    """The key is taken away from one of two providers; the reason is what the last call said."""
    bed.create_topics()
    bed.sim(["sim/a"], "--api-key", SECRET)
    bed.configure(models={"a": {}, "b": {"provider": "keyless", "name": "sim/a"}}, retry={"attempts": 1})
    bed.config["providers"]["keyless"] = {"api": "openai", "base_url": bed.sims[0].url}
    where = address(bed.start().wait_ready(partitions=4))
    bed.send([job("one")])
    await_terminal(bed, 1)
    a, b = model(where, "a"), model(where, "b")
    assert a["available"] and a["key_present"] and a["last_outcome"] == "ok"
    assert not b["available"] and not b["key_present"] and b["last_outcome"] == "auth"
    assert b["reason"] == "the last call ended with auth" and b["configured"] and b["breaker"] == "closed"
    finish(bed, 1)


def test_lag_and_waiting_reasons(bed):
    """One call at a time: the rest of the partition is behind, and the jobs in hand say what they wait for."""
    t, where = start(bed, ["sim/a,latency=300ms"], {"a": {"limits": {"concurrency": 1}}}, jobs={"max_in_flight": 5})
    bed.send([job(f"j{i}") for i in range(30)])
    busy = wait_until("a backlog", lambda: (lambda d: d if (d["lag"] or 0) >= 8 and d["jobs_in_flight"] >= 4 and any(
        j["waiting"] == "concurrency" for j in d["slowest"]) else None)(doc(where, "/api/v1/status")[1]))
    assert "a is the bottleneck: all its concurrent calls are taken" in busy["verdict"]
    lags = [v for (n, _), v in metrics(where).items() if n == "tutti_kafka_consumer_lag_records"]
    assert len(lags) == 4 and 0 <= sum(lags) <= 30
    await_terminal(bed, 30)
    wait_until("nothing is behind", lambda: doc(where, "/api/v1/status")[1]["lag"] == 0)
    finish(bed, 30)


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_records_that_kafka_refuses_are_counted(bed, delivery):
    """The topic's limit is lowered while the service knows the old one: answers that leave together are refused, then sent one by one."""
    t, where = start(bed, ["sim/a,bytes=10000,latency=500ms"], {"a": {"max_output_tokens": 16000}}, kafka={"delivery": delivery})
    topic = bed.topics["results"]
    limit = ConfigEntry("max.message.bytes", "60000", incremental_operation=AlterConfigOpType.SET)
    for f in bed.admin.incremental_alter_configs([ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[limit])]).values():
        f.result(30)
    sent = itertools.count()

    def refused():
        assert t.alive(), t.output()
        bed.send([job(f"j{next(sent)}") for _ in range(50)])
        return total(metrics(where), "tutti_kafka_produce_errors_total", topic=topic) >= 1

    wait_until("a refused record", refused)
    n = next(sent)
    await_terminal(bed, n)
    assert total(metrics(where), "tutti_kafka_produce_errors_total", topic=bed.topics["calls"]) == 0
    if delivery == "exactly_once":
        finish(bed, n)
    else:  # what the producer was made anew for may be there twice
        assert t.stop() == 0, t.output()


def test_redis_away_is_degraded_and_alive(bed):
    from stack import Redis
    redis = Redis(bed.where, name="own-redis")
    bed.processes.append(redis)
    t, where = start(bed, ["sim/a"], {"a": {"limits": {"requests_per_minute": 600}}}, redis={"url": redis.url})
    wait_until("ready", lambda: ask(where, "/readyz")[2] == "ok\n")
    redis.kill()
    text = wait_until("degraded", lambda: (lambda s: s if s.startswith("degraded\n") else None)(ask(where, "/readyz?verbose")[2]))
    assert "[!] redis: away" in text or "[!] journal: away" in text
    assert ask(where, "/readyz")[0] == 200 and ask(where, "/livez")[0] == 200
    wait_until("the journal is down", lambda: metrics(where)["tutti_journal_down", frozenset()] == 1)


def test_methods_and_strange_requests(bed):
    t, where = start(bed, ["sim/a"], {"a": {}})
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, text = ask(where, "/livez", method)
        assert status == 405 and headers["Allow"] == "GET, HEAD" and json.loads(text)["error"]
    status, headers, text = ask(where, "/metrics", "HEAD")
    assert status == 200 and text == "" and int(headers["Content-Length"]) > 1000
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert ask(where, "/nothing")[0] == 404 and ask(where, "/" + "a" * 10000)[0] == 431
    assert t.stop() == 0


def test_the_address_is_taken(bed):
    """The supervisor tries again: the old process may only be on its way out."""
    t, where = start(bed, ["sim/a"], {"a": {}})
    bed.config["admin"] = {"listen": where}
    second = bed.start("second")
    assert second.p.wait(30) == 69
    assert re.search(r'level=error event=admin_listen_failed option=admin.listen address="' + re.escape(where), second.output())
    bed.config["admin"] = {"listen": "off"}
    third = bed.start("third")
    third.wait_log("event=starting")
    assert "admin_listening" not in third.output()
    assert third.stop() == 0 and t.stop() == 0


def test_no_log_line_shows_a_prompt(bed):
    """At the lowest level, with jobs that fail in every way; the lines about jobs name them."""
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}}, log={"level": "debug", "format": "json"}, retry={"attempts": 2})
    t = bed.start().wait_ready(partitions=4)
    words = ["", "[[sim: status=500 times=9]]", "[[sim: refusal]]", "[[sim: truncate times=9]]", "[[sim: empty]]", "[[sim: status=401 times=9]]"]
    bed.send([job(f"j{i}", f"XYZZY-PROMPT {w}") for i, w in enumerate(words)] + ['{"prompt": "XYZZY-PROMPT", "models": 3}', "XYZZY-PROMPT"])
    finish(bed, 8)
    lines = [x for x in t.output().splitlines() if x.strip()]
    events = [json.loads(x) for x in lines]
    assert {e["job"] for e in events if e["event"] == "job_ended"} == {f"j{i}" for i in range(len(words))}
    assert {e["job"] for e in events if e["event"] == "call_failed"} >= {"j1", "j3", "j5"}
    assert sum(e["event"] == "job_dead_letter" for e in events) == 2
    assert not [x for x in lines if "XYZZY" in x or SECRET in x]
