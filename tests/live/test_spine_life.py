# SPDX-License-Identifier: Apache-2.0
"""The life of the process: signals, crashes, modes of delivery, exit codes, secrets, and what independent clients read."""
import json
import pathlib
import re
import subprocess
import time

import pytest
import redis
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition

from audit import finish, job, journal_keys, paid_twice, read_to_end
from stack import SECRET, Redis, binary, free_port, wait_until

pytestmark = pytest.mark.timeout(120)


def many_requests(bed, n):
    wait_until(f"{n} requests", lambda: len(bed.sims[0].requests()) >= n, 40, 0.02)


def test_sigterm_under_load_drains_and_nothing_is_paid_again(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=300ms,p99=3", "sim/b,latency=100ms"])
    bed.configure(models={"a": {}, "b": {}}, jobs={"max_in_flight": 60})
    t = bed.start().wait_ready()
    bed.send([job(f"j{i}") for i in range(400)])
    many_requests(bed, 150)
    began = time.monotonic()
    assert t.stop() == 0
    assert time.monotonic() - began < 10
    assert len(read_to_end(bed, "results")) < 400, "it was to be under load"
    bed.start("tutti1").wait_ready()
    got = finish(bed, 400)
    assert {r["status"] for r in got.results} == {"ok"}
    assert not paid_twice(got.requests) and not any(x["gone"] for x in got.requests)
    assert not any(c["recalled"] for c in got.calls)


def test_a_second_sigterm_ends_at_once(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=50ms"])
    bed.configure(models={"a": {}})
    t = bed.start().wait_ready()
    bed.send([job(f"j{i}", "[[sim: silence times=1]]") for i in range(10)])
    wait_until("calls under way", lambda: bed.established(t, bed.sims[0]) >= 10, 20)
    t.p.terminate()
    t.wait_log("event=draining")
    began = time.monotonic()
    t.p.terminate()
    assert t.p.wait(10) == 75 and time.monotonic() - began < 1.0
    bed.start("tutti1")
    got = finish(bed, 10, same_requests=False)
    assert {r["status"] for r in got.results} == {"ok"} and not paid_twice(got.requests)


def test_an_answer_paid_before_a_crash_is_recalled(bed):
    """kill -9 between the two answers of each job: the first is taken from the journal, at its cost, the second asked again."""
    bed.create_topics()
    bed.sim(["sim/a,latency=50ms", "sim/b,latency=50ms"])
    bed.configure(models={"a": {}, "b": {}})
    t = bed.start(slot="s1").wait_ready()
    bed.send([job(f"j{i}", "[[sim: silence times=1 model=sim/b]]") for i in range(20)])
    r = bed.stack.redis.client()
    wait_until("20 answers in the journal", lambda: sum(any(f.startswith(b"D") for f in r.hkeys(k)) for k in journal_keys(bed)) == 20)
    t.kill()
    bed.start("tutti1", slot="s1").wait_ready()
    got = finish(bed, 20, same_requests=False)
    assert {(r["status"], r["calls_recalled"], r["models_ok"]) for r in got.results} == {("ok", 1, 2)}
    recalled = [c for c in got.calls if c["recalled"]]
    assert len(recalled) == 20 and {c["request_model"] for c in recalled} == {"a"}
    assert all(c["cost_usd"] > 0 and c["status"] == "ok" for c in recalled)
    paid = [(x["job"], x["model"]) for x in got.requests if x["paid"]]
    assert len(paid) == len(set(paid)) == 40, "each answer was paid for once"


def test_at_least_once_delivers_everything(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms", "sim/b,latency=30ms,errors=10%"])
    bed.configure(models={"a": {}, "b": {}}, kafka={"delivery": "at_least_once"})
    bed.start().wait_ready()
    bed.send([job(f"j{i}") for i in range(300)] + ["{no job"])
    got = finish(bed, 301)
    assert len(got.results) == 300 and len(got.dead) == 1


def test_two_workers_in_one_process_share_the_work(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms", "sim/b,latency=30ms,errors=10%"])
    bed.configure(models={"a": {}, "b": {"limits": {"requests_per_minute": 60000}}}, workers=2)
    bed.start().wait_ready(partitions=4)
    wait_until("both workers have partitions", lambda: sorted(bed.members().values()) == [2, 2], 60)
    bed.send([job(f"j{i}") for i in range(300)] + ["{no job"])
    got = finish(bed, 301)
    workers = {r["worker_id"] for r in got.results}
    assert len(workers) == 2 and len({w.rsplit(".", 1)[0] for w in workers}) == 1, workers


def test_missing_topics_are_made(bed):
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    t = bed.start().wait_ready()
    bed.send([job("one")])
    got = finish(bed, 1, partitions=len(bed.admin.list_topics(timeout=10).topics[bed.topics["jobs"]].partitions))
    assert got.by_id["one"]["status"] == "ok" and t.output().count("kafka_topic_created") >= 1


def make_certificate(where):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-keyout", where / "key.pem", "-out", where / "cert.pem", "-subj", "/CN=redis", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return where / "cert.pem", where / "key.pem"


def test_rediss_with_a_password(bed):
    cert, key = make_certificate(bed.where)
    port = free_port()
    server = Redis(bed.where, "--port", 0, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients",
                   "no", "--requirepass", "pass-word-1", port=port, name="rediss")
    bed.processes.append(server)
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {"limits": {"requests_per_minute": 6000}}},
                  redis={"url": f"rediss://:${{env:REDIS_PASSWORD}}@127.0.0.1:{port}/0", "ca_file": "cert.pem"})
    t = bed.start(env={"REDIS_PASSWORD": "pass-word-1"}).wait_ready()
    bed.send([job(f"j{i}") for i in range(50)])
    client = redis.Redis("127.0.0.1", port, password="pass-word-1", ssl=True, ssl_ca_certs=str(cert))
    got = finish(bed, 50, redis=lambda: client)
    assert {r["status"] for r in got.results} == {"ok"}
    assert {k.split(b":")[1][:1] for k in client.keys("tutti:*")}, "it was really this Redis"
    assert "pass-word-1" not in t.output()


def test_d61_the_key_is_nowhere(bed):
    """Not in records and logs (finish() looks there), not in Redis, not in the command line, not even at debug level or when the provider
    quotes it."""
    bed.create_topics()
    bed.sim(["sim/a"], "--api-key", SECRET)
    (bed.where / "key.txt").write_text(SECRET + "\n")
    bed.configure(models={"a": {}, "wrong": {}}, log={"level": "debug", "format": "logfmt"}, providers={
        "other": {"api": "openai", "base_url": bed.sims[0].url, "api_key": "sk-wrong-fedcba9876543210"}})
    bed.config["providers"]["sim"]["api_key"] = "${file:key.txt}"
    bed.config["models"]["wrong"].update(provider="other", name="sim/a")
    t = bed.tutti().wait_ready()
    bed.send([job(f"j{i}", "[[sim: latency=300ms]]", quorum=1) for i in range(5)])
    r = bed.stack.redis.client()
    wait_until("the journal knows them", lambda: journal_keys(bed))
    assert not any(SECRET.encode() in (r.dump(k) or b"") for k in r.keys("tutti:*"))
    for name in ("cmdline", "environ", "comm"):
        assert SECRET not in pathlib.Path(f"/proc/{t.pid}/{name}").read_text()
    got = finish(bed, 5)
    assert {r["status"] for r in got.results} == {"partial"}
    [(ok, _), (bad, code)] = sorted({(c["key_id"], c["error_code"]) for c in got.calls}, key=lambda x: x[1] or "")
    assert re.fullmatch("[0-9a-f]{12}", ok) and ok != bad and code == "auth"
    everything = t.output() + "".join(repr((m.value(), m.headers())) for t in got.raw.values() for m in t)
    assert "fedcba9876543210" not in everything


def test_kafka_python_reads_the_results(bed):
    """An independent client: read committed, headers, what the job's own headers and labels became."""
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    bed.start().wait_ready()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    bed.send([job("one", labels={"team": "x"}, metadata={"n": [1, {"a": None}]}, batch_id="b", custom_id="c")],
             headers=[("traceparent", trace.encode()), ("kafka_correlationId", b"\x00\x01\xff"), ("other", b"stays behind")])
    bed.send([{"prompt": "from ce_id"}], headers=[("ce_id", b"event-7")])
    finish(bed, 2)
    c = KafkaConsumer(bootstrap_servers=bed.stack.brokers, isolation_level="read_committed", enable_auto_commit=False,
                      auto_offset_reset="earliest", consumer_timeout_ms=2000)
    c.assign([KafkaTopicPartition(bed.topics["results"], p) for p in c.partitions_for_topic(bed.topics["results"])])
    records = {m.key: m for m in c}
    c.close()
    assert set(records) == {b"one", b"event-7"}
    m = records[b"one"]
    r, h = json.loads(m.value), dict(m.headers)
    assert (r["labels"], r["job_metadata"], r["batch_id"], r["custom_id"]) == ({"team": "x"}, {"n": [1, {"a": None}]}, "b", "c")
    assert h["content-type"].decode().startswith("application/json") and h["ce_specversion"] == b"1.0"
    assert (h["ce_id"].decode(), h["ce_type"], h["ce_subject"]) == (r["event_id"], b"tutti.result.v1", b"one")
    assert h["ce_source"].decode() == f"/tutti/{bed.group}/{r['worker_id']}" and h["ce_time"].decode() == r["ts"]
    assert (h["traceparent"].decode(), h["kafka_correlationId"]) == (trace, b"\x00\x01\xff") and "other" not in h
    assert r["trace_id"] == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("change, words", [
    ({"kafka": {"broker": "x"}}, ["'broker'", "brokers"]),
    ({"providers": {"sim": {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "${env:NO_SUCH_VARIABLE}"}}},
     ["NO_SUCH_VARIABLE"]),
    ({"models": {"a": {"provider": "nobody"}}}, ["nobody"]),
    ({"kafka": {"properties": {"no.such.property": 1}}}, ["no.such.property"]),
], ids=["unknown key", "missing secret", "unknown provider", "unknown property"])
def test_a_wrong_configuration_is_refused(bed, change, words):
    bed.config = {"kafka": {}, "providers": {"sim": {"api": "openai", "base_url": "http://127.0.0.1:1/v1"}},
                  "models": {"a": {"provider": "sim"}}, **change}
    r = subprocess.run([binary(), "run", "-c", bed.write_config()], capture_output=True, text=True, timeout=20)
    assert r.returncode == 78 and all(w in r.stderr for w in words), r.stderr
    assert re.search(r"tutti\.yaml:\d+:\d+", r.stderr), "with the place"


def test_nobody_there_at_start(bed):
    """Kafka or Redis that cannot be reached, exit 69 after 30 s; a Redis that wants another password: 77. (Slow: all at the same time.)"""
    port, nowhere = free_port(), free_port()
    bed.processes.append(Redis(bed.where, "--requirepass", "right", port=port, name="redis0"))
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    expected = {bed.start("no-kafka", brokers=f"127.0.0.1:{nowhere}"): f"127.0.0.1:{nowhere}"}
    for name, url, word in (("no-redis", f"redis://127.0.0.1:{nowhere}/0", "redis_unreachable"),
                            ("no-password", f"redis://:pass-word-2@127.0.0.1:{port}/0", "WRONGPASS")):
        bed.config["redis"]["url"] = url
        expected[bed.start(name)] = word
    end = time.monotonic() + 50
    for p, word in expected.items():
        assert p.p.wait(max(1, end - time.monotonic())) == (77 if word == "WRONGPASS" else 69), p.output()[-2000:]
        assert word in p.output() and "pass-word-2" not in p.output()


def test_sigterm_before_it_is_ready_ends_it(bed):
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    t = bed.start("t", brokers=f"127.0.0.1:{free_port()}")
    t.wait_log("event=starting")
    t.p.terminate()
    assert t.p.wait(20) == 0, t.output()
