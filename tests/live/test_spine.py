# SPDX-License-Identifier: Apache-2.0
"""One job's way through the real program: what is asked, tried again, merged, refused. Names carry the number of the defect register
(D-nn) where one exists. Every test ends in audit.finish(), which checks what must hold always."""
import base64
import json
import socket
import subprocess
import time

import pytest

from audit import await_terminal, finish, job
from stack import ROOT, binary, free_port

pytestmark = pytest.mark.timeout(120)


def arrivals(requests, model=None):
    return sorted(x["t_us"] / 1e6 for x in requests if model in (None, x["model"]))


def test_d01_the_models_of_a_job_are_asked_in_parallel(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=2s,meter=m", "sim/b,latency=2s,meter=m", "sim/c,latency=2s,meter=m"])
    bed.configure(models={"a": {}, "b": {}, "c": {}})
    bed.start().wait_ready()
    bed.send([job("one")])
    got = finish(bed, 1)
    assert got.results[0]["status"] == "ok"
    assert 2000 <= got.results[0]["duration_ms"] < 2500
    assert sorted(x["in_flight"] for x in got.requests) == [1, 2, 3]
    assert [a["request_model"] for a in got.results[0]["answers"]] == ["a", "b", "c"]


def test_d02_the_deadline_of_a_job_ends_it(bed):
    """Its own, from the record's timestamp; the service's, from the first permit."""
    bed.create_topics()
    bed.sim(["sim/a,silence=100%"])
    bed.configure(models={"a": {}}, jobs={"deadline": "5s"})
    bed.start().wait_ready()
    bed.send([job("own", deadline_ms=3000), job("service")])
    got = finish(bed, 2)
    for name, ms in (("own", 3000), ("service", 5000)):
        r = got.by_id[name]
        assert (r["status"], r["error_code"], r["answer"]) == ("failed", "deadline_exceeded", None), r
        assert r["cost_complete"] is False
    own, service = got.by_id["own"], got.by_id["service"]
    assert 3000 <= own["ts_ms"] - own["submitted_at_ms"] <= 3300
    assert 5000 <= service["duration_ms"] <= 5300
    assert all(x["gone"] for x in got.requests), "the connections are closed"


def test_d02_a_call_longer_than_its_job_is_refused(bed):
    bed.config = {"providers": {"x": {"api": "openai", "base_url": "http://127.0.0.1:1/v1"}},
                  "models": {"a": {"provider": "x", "timeout": {"total": "40s"}}}, "jobs": {"deadline": "30s"}, "kafka": {}}
    r = subprocess.run([binary(), "run", "-c", bed.write_config()], capture_output=True, text=True, timeout=20)
    assert r.returncode == 78
    assert "timeout.total" in r.stderr and "deadline" in r.stderr


def test_d03_each_way_not_to_answer_has_its_word(bed):
    """Refused, never accepted, silent, dripping, stalled: each ends at its own limit with its own error_detail."""
    full = socket.socket()  # a backlog that is full: further connections are never accepted
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(4)]
    for s in fillers:
        s.setblocking(False)
        s.connect_ex(full.getsockname())
    bed.create_topics()
    sim = bed.sim(["sim/silent,silence=100%", "sim/drip,drip=100%,bytes=400", "sim/stall,bytes=400"])
    limits = {"connect": "1s", "first_byte": "1500ms", "idle": "2s", "total": "4s"}
    wanted = {"refused": ("network", "connect_refused", 0, 1000), "unaccepted": ("timeout", "connect_timeout", 1000, 1500),
              "silent": ("timeout", "first_byte_timeout", 1500, 2000), "stall": ("timeout", "idle_timeout", 2000, 2600),
              "drip": ("timeout", "total_timeout", 4000, 4500)}
    bed.configure(sim, models={m: {"timeout": limits} for m in wanted}, retry={"attempts": 1}, providers={
        "dead": {"api": "openai", "base_url": f"http://127.0.0.1:{free_port()}/v1"},
        "full": {"api": "openai", "base_url": f"http://127.0.0.1:{full.getsockname()[1]}/v1"}})
    bed.config["models"]["refused"]["provider"] = "dead"
    bed.config["models"]["unaccepted"]["provider"] = "full"
    bed.start().wait_ready()
    bed.send([job(m, "[[sim: stall=60s model=sim/stall]]", models=[m]) for m in wanted])
    got = finish(bed, len(wanted), same_requests=False)
    for m, (code, detail, least_ms, most_ms) in wanted.items():
        [call] = [c for c in got.calls if c["request_model"] == m]
        assert (call["error_code"], call["error_detail"]) == (code, detail)
        assert least_ms <= got.by_id[m]["duration_ms"] <= most_ms, (m, got.by_id[m]["duration_ms"])
        assert got.by_id[m]["status"] == "failed" and got.by_id[m]["answers"][0]["error_code"] == code
    for s in [full, *fillers]:
        s.close()


def test_d05_a_thousand_calls_that_never_end_leave_nothing_behind(bed, release):
    """1,000 jobs whose provider never answers end at their limit; descriptors return within a second, memory does not grow."""
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms", "sim/silent,silence=100%"])
    limits = {"first_byte": "2s", "total": "2s"}
    bed.configure(models={"a": {}, "silent": {"timeout": limits}}, retry={"attempts": 1}, jobs={"max_in_flight": 2000})
    t = bed.start(program=release).wait_ready()
    bed.send([job("first", models=["a"])])
    await_terminal(bed, 1)
    fds, rss = [t.n_fds()], []
    most = fds[0] + 2 * (1000 // 64 + 1)  # libcurl's multi handles stay, one per 64 connections at the peak, each with a pair of its own
    for n in (1, 2, 3):
        bed.send([job(f"{n}/{i}", models=["silent"]) for i in range(1000)])
        await_terminal(bed, 1 + 1000 * n)
        end = time.monotonic() + 1.0
        while t.n_fds() > most and time.monotonic() < end:
            time.sleep(0.02)
        fds.append(t.n_fds())
        rss.append(t.rss_kb())
    assert max(fds) <= most and fds[3] <= fds[1] + 2, f"descriptors before and after each thousand: {fds}"
    got = finish(bed, 3001)
    late = [r["duration_ms"] for r in got.results if r["job_id"] != "first" and not 2000 <= r["duration_ms"] <= 3000]
    assert not late, late[:10]
    assert {r["status"] for r in got.results} == {"ok", "failed"}
    assert sum(x["gone"] for x in got.requests) == 3000
    if release:
        assert rss[2] <= rss[1] * 1.05 + 2048, f"resident kB after each thousand: {rss}"


def test_d06_finished_answers_survive_a_timeout(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=200ms", "sim/b,latency=200ms", "sim/c,silence=100%"])
    bed.configure(models={"a": {}, "b": {}, "c": {"timeout": {"total": "1500ms"}}}, retry={"attempts": 1})
    bed.start().wait_ready()
    bed.send([job("call"), job("deadline", deadline_ms=1000)])
    got = finish(bed, 2)
    for name, code in (("call", "timeout"), ("deadline", "deadline_exceeded")):
        r = got.by_id[name]
        assert (r["status"], r["error_code"], r["models_ok"]) == ("partial", None, 2), r
        assert [a["error_code"] for a in r["answers"]] == [None, None, code]
        assert "## a\n\nANSWER sim/a" in r["answer"] and "## b\n\nANSWER sim/b" in r["answer"] and "## c" not in r["answer"]
        assert set(r["degraded_reasons"]) & {"model_failed", "stage_timeout"}


def test_d07_a_stalled_answer_delays_nobody_else(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=50ms"])
    bed.configure(models={"a": {}})
    bed.start().wait_ready()
    bed.send([job("stalled", "[[sim: stall=5s]]")])
    bed.send([job(f"j{i}") for i in range(50)])
    got = finish(bed, 51)
    assert got.by_id["stalled"]["status"] == "ok" and got.by_id["stalled"]["duration_ms"] >= 5000
    others = sorted(r["duration_ms"] for r in got.results if r["job_id"] != "stalled")
    assert others[int(len(others) * 0.95)] < 300, others[-5:]
    assert max(r["ts_ms"] for r in got.results if r["job_id"] != "stalled") < got.by_id["stalled"]["ts_ms"]


def test_d16_transient_faults_are_tried_again(bed):
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    bed.start().wait_ready()
    bed.send([job("e503", "[[sim: status=503 times=2]]"), job("reset", "[[sim: reset times=1]]"), job("e401", "[[sim: status=401]]"),
              job("e500", "[[sim: status=500]]")])
    got = finish(bed, 4)
    calls = {name: sorted((c for c in got.calls if c["job_id"] == name), key=lambda c: c["attempt"]) for name in got.by_id}
    r = got.by_id["e503"]
    assert (r["status"], r["answers"][0]["attempts"], r["retries"]) == ("ok", 3, 2)
    assert [(c["attempt"], c["http_status"], c["is_final"]) for c in calls["e503"]] == [(1, 503, False), (2, 503, False), (3, 200, True)]
    assert [c["error_detail"] for c in calls["reset"]] == ["connection_reset", None] and got.by_id["reset"]["status"] == "ok"
    assert [c["error_code"] for c in calls["e401"]] == ["auth"]
    assert [c["error_code"] for c in calls["e500"]] == ["provider_error"] * 4
    assert all(got.by_id[n]["status"] == "failed" for n in ("e401", "e500"))
    assert got.by_id["e500"]["error_retryable"] and not got.by_id["e401"]["error_retryable"]


def test_d25_no_answer_is_no_success(bed):
    bed.create_topics()
    bed.sim([f"sim/{m},empty=100%" for m in "abc"])
    bed.configure(models={"a": {}, "b": {}, "c": {}})
    bed.start().wait_ready()
    bed.send([job("empty"), job("unknown", models=["nobody", "nothing"]), job("half", models=["a", "nobody"])])
    got = finish(bed, 3)
    r = got.by_id["empty"]
    assert (r["status"], r["error_code"], r["answer"], r["models_ok"]) == ("failed", "quorum_not_met", None, 0)
    assert [a["error_code"] for a in r["answers"]] == ["empty_answer"] * 3 and not any(a["answer"] for a in r["answers"])
    r = got.by_id["unknown"]
    assert (r["status"], r["error_code"], r["calls_total"]) == ("failed", "unknown_model", 0)
    assert [a["error_code"] for a in got.by_id["half"]["answers"]] == ["empty_answer", "unknown_model"]


def test_d26_errors_are_no_answers_and_answers_no_errors(bed):
    bed.create_topics()
    bed.sim(["sim/a", "sim/b", "sim/c"])
    bed.configure(models={"a": {}, "b": {}, "c": {}}, retry={"attempts": 2})
    bed.start().wait_ready()
    text = "Error: is only a word; {\"error\": \"too\"} \\n \u00e9\U0001f600"
    bed.send([job("x", f"[[sim: status=500 model=sim/a]] [[sim: answer={text}]]"), job("y", "[[sim: error200 model=sim/b]]")])
    got = finish(bed, 2)
    r = got.by_id["x"]
    assert (r["status"], r["models_ok"], r["degraded_reasons"]) == ("partial", 2, ["model_failed"])
    assert r["answers"][0]["answer"] is None and r["answers"][0]["error_code"] == "provider_error"
    assert [a["answer"] for a in r["answers"][1:]] == [text, text], "byte for byte"
    assert r["answer"] == f"## b\n\n{text}\n\n## c\n\n{text}"
    r = got.by_id["y"]
    assert r["answers"][1]["status"] != "ok" and r["answers"][1]["answer"] is None and "simulated provider" not in r["answer"]


def test_first_takes_the_quickest_and_closes_the_others(bed):
    bed.create_topics()
    bed.sim(["sim/slow,silence=100%", "sim/quick,latency=100ms"])
    bed.configure(models={"slow": {}, "quick": {}})
    bed.start().wait_ready()
    bed.send([job("one", merge="first")])
    got = finish(bed, 1)
    r = got.results[0]
    assert (r["status"], r["winner"], r["calls_cancelled"], r["strategy"]) == ("ok", "quick", 1, "first")
    assert r["duration_ms"] < 1000 and r["answer"].startswith("ANSWER sim/quick")
    assert [x["gone"] for x in got.requests if x["model"] == "sim/slow"] == [True]
    assert r["cost_complete"] is False, "what was cancelled may be billed"


def test_d49_what_is_no_job_is_a_dead_letter_and_stops_nothing(bed):
    """Every kind of invalid record of the corpus between good ones: all in the dead-letter topic, byte for byte, with code and place."""
    corpus = json.loads((ROOT / "tests/data/invalid_jobs.json").read_text())
    assert len(corpus) >= 30
    bad = [(base64.b64decode(x["value_base64"]) if "value_base64" in x else x["value"].encode(), x["code"], x["pointer"], x["name"])
           for x in corpus]
    bad += [(None, "empty_value", "", "tombstone"), (json.dumps({"prompt": "x" * 70000}).encode(), "too_large", "", "too large")]
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms"])
    bed.configure(models={"a": {}}, jobs={"max_bytes": "64KiB"})
    bed.start().wait_ready()
    for i, (value, _, _, _) in enumerate(bad):
        bed.send([value, job(f"good{i}")], key=f"\x00{i}", headers=[("mine", b"\x00\xff"), ("traceparent", None)])
    got = finish(bed, 2 * len(bad))
    assert sorted(r["job_id"] for r in got.results) == sorted(f"good{i}" for i in range(len(bad)))
    assert {r["status"] for r in got.results} == {"ok"}
    by_key = {m.key(): m for m in got.dead}
    wrong = []
    for i, (value, code, pointer, name) in enumerate(bad):
        m = by_key[f"\x00{i}".encode()]
        h = {k: v.decode() for k, v in m.headers()[2:]}
        assert m.value() == value and m.headers()[:2] == [("mine", b"\x00\xff"), ("traceparent", None)], name
        assert h["dlq.docs"].endswith(f"#{code}") and h["__dlq.errors.message"], name
        if (h["dlq.error.code"], h["dlq.error.pointer"]) != (code, pointer):
            wrong.append((name, h["dlq.error.code"], h["dlq.error.pointer"], code, pointer))
    assert not wrong


def test_a_backlog_does_not_expire(bed):
    """1,000 jobs that are older than ten minutes, which no deadline of the service's would survive."""
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {"timeout": {"total": "20s"}}}, jobs={"deadline": "30s"})
    old_ms = int(time.time() * 1000) - 11 * 60 * 1000
    bed.send([job(f"j{i}") for i in range(1000)], timestamp=old_ms)
    bed.start().wait_ready()
    got = finish(bed, 1000)
    assert {r["status"] for r in got.results} == {"ok"}
    assert all(r["submitted_at_ms"] == old_ms and r["queue_ms"] > 600000 for r in got.results)
