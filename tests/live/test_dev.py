# SPDX-License-Identifier: Apache-2.0
"""`tutti dev`, `ask`, `submit`, `tail` and `init` as a user runs them: the program itself, foreign Kafka clients beside it, no Kafka, no
Redis, no key. D-46: nothing simulated answers unless a sim model was named and its server runs."""
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
import uuid

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from stack import ROOT, Redis, binary, free_port, wait_until

ENV = {k: v for k, v in os.environ.items() if not k.startswith("TUTTI_") and not k.endswith("_API_KEY")}
ENV |= {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"}
JOBS = ROOT / "config/examples/jobs.jsonl"


def tutti(*args, cwd, stdin=None, env=None, seconds=120):
    """Runs a command to its end in a directory without a configuration."""
    return subprocess.run([binary(), *map(str, args)], cwd=cwd, input=stdin, text=True, capture_output=True, timeout=seconds,
                          env={**ENV, **(env or {})}, stdin=subprocess.DEVNULL if stdin is None else None, check=False)


class Dev:
    def __init__(self, where, *args):
        self.where = pathlib.Path(where)
        self.log = self.where / f"dev-{uuid.uuid4().hex[:6]}.log"
        with open(self.log, "wb") as out:
            self.p = subprocess.Popen([binary(), "dev", *map(str, args or ("--port", 0, "--sim-port", 0, "--admin-port", 0))],
                                      stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=where, env=ENV, start_new_session=True)
        try:
            wait_until("the banner", lambda: "tutti tail results" in self.text() or self.p.poll() is not None, 60)
            assert self.p.poll() is None, self.text()
            self.kafka = re.search(r"Kafka \(in memory\) +(127\.0\.0\.1:\d+)", self.text())[1]
            self.sim = re.search(r"Models \(simulated\) +(127\.0\.0\.1:\d+)", self.text())[1]
            self.admin = re.search(r"Status page +http://(\S+)/", self.text())[1]
        except BaseException:
            self.kill()
            raise

    def text(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        self.p.kill()
        self.p.wait()

    def stop(self, number=signal.SIGINT):
        if self.p.poll() is None:
            self.p.send_signal(number)
        return self.p.wait(60)


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    d = Dev(tmp_path_factory.mktemp("dev"))
    yield d
    code = d.stop()
    assert code == 0, d.text()
    assert "ERROR: AddressSanitizer" not in d.text() and "runtime error" not in d.text(), d.text()


def consume(brokers, topic, wanted, seconds=60):
    """Records of a topic from its beginning, until wanted(records)."""
    c = Consumer({"bootstrap.servers": brokers, "group.id": uuid.uuid4().hex, "enable.auto.commit": False,
                  "auto.offset.reset": "earliest"})
    parts = c.list_topics(topic, timeout=20).topics[topic].partitions
    c.assign([TopicPartition(topic, p, 0) for p in parts])
    out, end = [], time.monotonic() + seconds
    while not wanted(out) and time.monotonic() < end:
        out += [m for m in c.consume(100, 0.2) if m.error() is None]
    c.close()
    assert wanted(out), f"not within {seconds} s in {topic}: {[m.value() for m in out]}"
    return out


def result_of(brokers, job_id, seconds=60):
    found = consume(brokers, "tutti.results", lambda out: any(m.key() == job_id.encode() for m in out), seconds)
    return json.loads([m for m in found if m.key() == job_id.encode()][0].value())


# --- dev ---

def test_a_foreign_client_sends_a_job_and_reads_its_answer(dev):
    job = {"job_id": f"py-{uuid.uuid4().hex}", "prompt": "hi", "models": ["sim/fast", "sim-anthropic/sim/fast", "sim-gemini/sim/fast"]}
    p = Producer({"bootstrap.servers": dev.kafka, "enable.idempotence": True})
    p.produce("tutti.jobs", value=json.dumps(job), key=b"k", headers=[("a", b"b")])
    assert p.flush(30) == 0
    r = result_of(dev.kafka, job["job_id"])
    assert r["status"] == "ok" and r["models_ok"] == 3
    assert {a["provider"] for a in r["answers"]} == {"sim-openai", "sim-anthropic", "sim-gemini"}
    assert len({a["answer"] for a in r["answers"]}) == 1, "one model through three dialects says one thing"


def test_a_job_id_sent_twice_is_answered_once(dev):
    """dev has no Redis, but a journal in memory: a repeated id is dropped there, too."""
    job_id = f"twice-{uuid.uuid4().hex}"

    def duplicates():
        with urllib.request.urlopen(f"http://{dev.admin}/metrics", timeout=20) as r:
            return int(re.search(r"^tutti_jobs_duplicate_total (\d+)$", r.read().decode(), re.M)[1])

    before = duplicates()
    p = Producer({"bootstrap.servers": dev.kafka, "enable.idempotence": True})
    for part in (0, 1):
        p.produce("tutti.jobs", value=json.dumps({"job_id": job_id, "prompt": "hi", "models": ["sim/fast"]}), partition=part)
    assert p.flush(30) == 0
    wait_until("the duplicate", lambda: duplicates() == before + 1, 60)
    result_of(dev.kafka, job_id)
    last = f"last-{uuid.uuid4().hex}"
    for part in (0, 1):  # behind both in their partitions: what was to come of them is there
        p.produce("tutti.jobs", value=json.dumps({"job_id": f"{last}-{part}", "prompt": "hi", "models": ["sim/fast"]}), partition=part)
    assert p.flush(30) == 0
    found = consume(dev.kafka, "tutti.results", lambda out: {f"{last}-{i}".encode() for i in (0, 1)} <= {m.key() for m in out})
    assert [m.key() for m in found].count(job_id.encode()) == 1
    assert duplicates() == before + 1


def test_kcat_sends_and_reads_as_the_banner_says(dev):
    if shutil.which("kcat") is None:
        pytest.skip("kcat is not installed")
    assert f"kcat -P -b {dev.kafka} -t tutti.jobs" in dev.text()
    job_id = f"kcat-{uuid.uuid4().hex}"
    line = json.dumps({"job_id": job_id, "prompt": "hi", "models": ["sim/fast"]})
    subprocess.run(["kcat", "-P", "-b", dev.kafka, "-t", "tutti.jobs"], input=line, text=True, check=True, timeout=60)
    result_of(dev.kafka, job_id)
    out = subprocess.run(["kcat", "-C", "-e", "-q", "-b", dev.kafka, "-t", "tutti.results", "-o", "beginning"], text=True,
                         capture_output=True, check=True, timeout=60).stdout
    assert job_id in [json.loads(x)["job_id"] for x in out.splitlines()]


def test_taken_ports_are_replaced_or_refused(dev, tmp_path):
    """Usual ports that are taken give way to free ones; one that was asked for is refused."""
    held = []
    try:
        for port in (9092, 8089, 8088):
            s = socket.socket()
            held.append(s)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                s.listen(1)
            except OSError:
                pass  # somebody else's: taken all the same
        d = Dev(tmp_path, "--set", "log.level=info")
        try:
            ports = {int(x.split(":")[1]) for x in (d.kafka, d.sim, d.admin)}
            assert not ports & {9092, 8089, 8088} and len(ports) == 3
            assert f"--brokers {d.kafka}" in d.text() and f"--sim {d.sim}" in d.text()
            for port in ports:
                socket.create_connection(("127.0.0.1", port), 20).close()
        finally:
            code = d.stop(signal.SIGTERM)
        assert code == 0, d.text()
    finally:
        for s in held:
            s.close()
    for flag, at in (("--port", dev.kafka), ("--sim-port", dev.sim)):
        r = tutti("dev", flag, at.split(":")[1], "--admin-port", 0, cwd=tmp_path)
        assert r.returncode == 69 and "cannot listen" in r.stderr and len(r.stderr.splitlines()) == 1, r


def test_ctrl_c_ends_everything_and_leaves_nothing(tmp_path):
    d = Dev(tmp_path)
    ports = [int(x.split(":")[1]) for x in (d.kafka, d.sim, d.admin)]
    r = tutti("submit", "-", "--brokers", d.kafka, "--wait", cwd=tmp_path, stdin='{"prompt": "hi", "models": ["sim/fast"]}\n')
    assert r.returncode == 0, (r, d.text())
    assert d.stop(signal.SIGINT) == 0, d.text()
    # at least once: what is told at the end may count a record twice, never none
    assert re.search(r"Stopped\. 1 jobs, [1-9]\d* results, [1-9]\d* calls and 0 dead letters", d.text()), d.text()
    assert [p.name for p in tmp_path.iterdir()] == [d.log.name]
    for port in ports:
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 5)


def test_a_partition_that_fills_up_is_told(tmp_path):
    """5 MiB per partition are said, counted, and warned of at 80 % and when the oldest is dropped."""
    d = Dev(tmp_path)
    try:
        assert "5 MiB" in d.text() and "80 %" in d.text()
        p = Producer({"bootstrap.servers": d.kafka, "linger.ms": 50})
        line = b"x" * 100_000
        for _ in range(44):  # 4.4 MB: 84 %
            p.produce("tutti.control", value=line, partition=1)
        assert p.flush(60) == 0
        wait_until("the first warning", lambda: re.search(r'partition_nearly_full topic="?tutti.control"? part=1', d.text()), 60)
        assert "partition_full" not in d.text()
        for _ in range(12):
            p.produce("tutti.control", value=line, partition=1)
        assert p.flush(60) == 0
        wait_until("the second warning", lambda: re.search(r'partition_full topic="?tutti.control"? part=1', d.text()), 60)
    finally:
        assert d.stop() == 0, d.text()


# --- ask ---

def test_ask_shows_each_model_and_where_it_went_wrong(dev, tmp_path):
    r = tutti("ask", "Name three colours", "-m", "sim/fast", "-m", "sim/smart", "--sim", dev.sim, cwd=tmp_path)
    assert r.returncode == 0 and "2 of 2 answered" in r.stderr, r
    assert re.search(r"^sim/fast  \d+\.\d\d s  \$\d\.\d{6}$", r.stdout, re.M) and re.search(r"^sim/smart  ", r.stdout, re.M)
    assert "\033" not in r.stdout + r.stderr
    head, merged = r.stdout.split("\nmerged (concat)\n")  # last, as the job's default merge is
    answers = [re.search(rf"^{m}  .*\n(.*)$", head, re.M)[1] for m in ("sim/fast", "sim/smart")]
    assert all(a in merged for a in answers)
    r = tutti("ask", "hi", "-m", "sim/fast", "-m", "sim/smart", "--merge", "none", "--sim", dev.sim, cwd=tmp_path)
    assert r.returncode == 0 and "2 of 2 answered" in r.stderr and "merged" not in r.stdout, r
    r = tutti("ask", "-", "-m", "sim/fast", "--system", "be brief", "--sim", dev.sim, cwd=tmp_path, stdin="from a pipe\n")
    assert r.returncode == 0 and r.stdout.startswith("ANSWER sim/fast") and "sim/fast" in r.stderr, r
    r = tutti("ask", "[[sim: status=400 model=sim/flaky]]", "-m", "sim/fast", "-m", "sim/flaky", "--sim", dev.sim, cwd=tmp_path)
    assert r.returncode == 1 and "sim/flaky  failed" in r.stdout and "invalid_request" in r.stdout, r
    r = tutti("ask", "hi", "-m", "sim/fast", "-m", "sim/smart", "--merge", "vote", "--sim", dev.sim, cwd=tmp_path)
    assert r.returncode == 0 and r.stdout.index("sim/smart") < r.stdout.index("\nmerged (vote)"), r
    r = tutti("ask", "hi", "-m", "sim/fast", "--json", "--sim", dev.sim, cwd=tmp_path)
    assert json.loads(r.stdout)["answers"][0]["request_model"] == "sim/fast" and r.returncode == 0


def test_ask_ends_with_the_code_that_says_why(dev, tmp_path):
    cases = [
        (["hi", "-m", "sim/fast", "--sim", f"127.0.0.1:{free_port()}"], 69, "start 'tutti dev' in another terminal"),
        (["hi", "-m", "sim/fst", "--sim", dev.sim], 69, "unknown_model"),
        (["[[sim: status=401]]", "-m", "sim/fast", "--sim", dev.sim], 77, "auth"),
        (["hi"], 64, "name a model with -m"),
        ([], 64, "the prompt is empty"),
        (["hi", "-m", "sim/fast", "--merge", "vtoe", "--sim", dev.sim], 64, "did you mean 'vote'?"),
        (["hi", "--modl", "x"], 64, "did you mean '--model'?"),
    ]
    for args, code, text in cases:
        r = tutti("ask", *args, cwd=tmp_path)
        assert r.returncode == code and text in r.stderr, (args, r)


def test_ask_puts_answers_side_by_side_on_a_wide_terminal(dev, tmp_path):
    def on_terminal(columns, **env):
        primary, secondary = pty.openpty()
        subprocess.run(["stty", "cols", str(columns)], stdin=secondary, check=True)
        p = subprocess.Popen([binary(), "ask", "hi", "-m", "sim/fast", "-m", "sim/smart", "--sim", dev.sim], stdout=secondary,
                             stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=tmp_path, env={**ENV, "TERM": "xterm", **env})
        os.close(secondary)
        out = b""
        while True:
            try:
                block = os.read(primary, 65536)
            except OSError:
                break
            if not block:
                break
            out += block
        os.close(primary)
        assert p.wait(60) == 0
        return out.decode()

    wide = on_terminal(140)
    assert re.search(r"sim/fast .*sim/smart ", wide.splitlines()[0]) and "\033[1m" in wide
    narrow = on_terminal(60, NO_COLOR="1")
    assert not re.search(r"sim/fast .*sim/smart ", narrow) and "\033" not in narrow
    assert max(len(x) for x in narrow.splitlines()) <= 60


def test_no_answer_is_made_up(tmp_path):
    """D-46: without a sim server no sim model answers; without a key no real one is known; nothing is chosen by itself."""
    sim = f"127.0.0.1:{free_port()}"
    r = tutti("ask", "hi", "-m", "sim/fast", "-m", "other/gpt-4o-mini", "--sim", sim, "--json", cwd=tmp_path)
    assert r.returncode == 69
    answers = json.loads(r.stdout)["answers"]
    assert [a["answer"] for a in answers] == [None, None]
    assert [a["error_code"] for a in answers] == ["network", "unknown_model"]


def test_a_missing_key_is_named_before_anybody_is_asked(tmp_path):
    for model, variable in (("openai/gpt-4o", "OPENAI_API_KEY"), ("anthropic/x", "ANTHROPIC_API_KEY"), ("google/x", "GEMINI_API_KEY")):
        for env in ({}, {variable: ""}):
            r = tutti("ask", "hi", "-m", "sim/fast", "-m", model, "--json", cwd=tmp_path, env=env)
            assert (r.returncode, r.stdout) == (77, ""), r
            assert r.stderr == f"tutti ask: set {variable} to ask {model}, or name a configuration with -c\n"


def test_ask_says_when_the_limits_are_not_the_fleets(dev, tmp_path):
    """With a configuration the fleet's Redis keeps the limits; without it they hold for the call alone, which is said."""
    redis = Redis(tmp_path)
    try:
        config = {"redis": {"url": redis.url}, "providers": {"sim": {"api": "openai", "base_url": f"http://{dev.sim}/v1"}},
                  "models": {"m": {"provider": "sim", "name": "sim/fast", "limits": {"requests_per_minute": 600}}}}
        (tmp_path / "tutti.yaml").write_text(json.dumps(config))
        r = tutti("ask", "hi", "-m", "m", cwd=tmp_path)
        assert r.returncode == 0 and "Redis" not in r.stderr, r
        assert any(k.startswith(b"tutti:") for k in redis.client().keys("*"))
    finally:
        redis.kill()
    r = tutti("ask", "hi", "-m", "m", cwd=tmp_path)
    assert r.returncode == 0 and "Redis does not answer" in r.stderr, r


# --- submit and tail ---

def test_bad_lines_are_told_and_nothing_is_sent(dev, tmp_path):
    tag = uuid.uuid4().hex[:8]
    lines = [json.dumps({"job_id": f"{tag}-1", "prompt": "hi", "models": ["sim/fast"]}), '{"promt": "hi"}', "", "not json",
             json.dumps({"job_id": f"{tag}-1", "prompt": "again", "models": ["sim/fast"]}),
             json.dumps({"job_id": f"{tag}-2", "prompt": "hi", "models": ["sim/fast"], "merge": "vtoe"})]
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines) + "\n")
    r = tutti("submit", "jobs.jsonl", "--brokers", dev.kafka, cwd=tmp_path)
    assert r.returncode == 65 and r.stdout == "", r
    told = r.stderr.splitlines()
    assert told[0].startswith("jobs.jsonl:2: /promt: unknown key 'promt' (did you mean 'prompt'?)")
    assert told[1].startswith("jobs.jsonl:4: byte ")
    assert told[2].startswith("jobs.jsonl:5: /job_id: the job id of line 1 again")
    assert told[3].startswith("jobs.jsonl:6: /merge: ")
    assert told[4] == "tutti submit: 4 bad of 5 lines: nothing was sent; --skip-bad sends the others"
    r = tutti("submit", "jobs.jsonl", "--brokers", dev.kafka, "--skip-bad", "--wait", "--json", cwd=tmp_path)
    assert r.returncode == 1, r
    said = json.loads(r.stdout)
    assert (said["sent"], said["bad"], said["ok"], said["failed"]) == (1, 4, 1, 0)
    jobs = tutti("tail", "jobs", "--brokers", dev.kafka, "--once", "--json", cwd=tmp_path).stdout
    assert [json.loads(x)["job_id"] for x in jobs.splitlines() if tag in x] == [f"{tag}-1"]


def test_submit_waits_until_each_job_has_ended(dev, tmp_path):
    """Batch lines of the vendors go through as they are; codes 0 and 1 say how the jobs ended."""
    batch = f"b-{uuid.uuid4().hex[:8]}"
    lines = [{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions",
              "body": {"model": "sim/fast", "messages": [{"role": "user", "content": "hi"}]}},
             {"custom_id": "b", "params": {"model": "sim-anthropic/sim/fast", "max_tokens": 50,
                                           "messages": [{"role": "user", "content": "hi"}]}},
             {"custom_id": "c", "prompt": "short", "models": ["sim/fast"]}]
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    r = tutti("submit", "batch.jsonl", "--brokers", dev.kafka, "--batch-id", batch, "--wait", cwd=tmp_path)
    assert r.returncode == 0 and r.stdout.startswith(f"3 jobs sent to tutti.jobs at {dev.kafka}"), r
    assert re.search(r"^3/3  100%  ok 3  failed 0", r.stderr, re.M), r.stderr
    ids = {m.key().decode() for m in consume(dev.kafka, "tutti.results", lambda out: True)}
    keys = [m.key() for m in consume(dev.kafka, "tutti.jobs", lambda out: sum(batch.encode() in m.value() for m in out) == 3)
            if batch.encode() in m.value()]
    assert sorted(keys) == [b"a", b"b", b"c"], "keys are custom ids"
    out = tutti("tail", "results", "--brokers", dev.kafka, "--once", "--json", "--where", f"batch_id={batch}", cwd=tmp_path).stdout
    assert sorted(json.loads(x)["job_id"] for x in out.splitlines()) == [f"{batch}/{x}" for x in "abc"], ids
    r = tutti("submit", "-", "--brokers", dev.kafka, "--wait", cwd=tmp_path,
              stdin='{"prompt": "[[sim: status=400]]", "models": ["sim/fast"]}')
    assert r.returncode == 1 and "failed 1" in r.stderr, r
    r = tutti("submit", "nothing.jsonl", "--brokers", dev.kafka, cwd=tmp_path)
    assert r.returncode == 66 and "No such file" in r.stderr, r


def test_ctrl_c_stops_the_waiting_not_the_jobs(dev, tmp_path):
    job_id = f"late-{uuid.uuid4().hex[:8]}"
    line = json.dumps({"job_id": job_id, "prompt": "[[sim: latency=3s]]", "models": ["sim/fast"]})
    p = subprocess.Popen([binary(), "submit", "-", "--brokers", dev.kafka, "--wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=ENV)
    p.stdin.write(line)
    p.stdin.close()
    assert "1 job sent" in p.stdout.readline()
    p.send_signal(signal.SIGINT)
    assert p.wait(60) in (75, 0)
    p.stdout.close()
    p.stderr.close()
    assert result_of(dev.kafka, job_id)["status"] == "ok"


def test_tail_shows_what_was_where(dev, tmp_path):
    tag = uuid.uuid4().hex[:8]
    jobs = [{"job_id": f"{tag}-{i}", "prompt": "hi", "models": ["sim/fast"]} for i in range(5)]
    r = tutti("submit", "-", "--brokers", dev.kafka, "--wait", cwd=tmp_path, stdin="\n".join(map(json.dumps, jobs)))
    assert r.returncode == 0, r

    def tail(*args):
        return tutti("tail", *args, "--brokers", dev.kafka, cwd=tmp_path)

    lines = [x for x in tail("results", "--once").stdout.splitlines() if tag in x]
    assert len(lines) == 5 and all(re.match(rf"\d\d:\d\d:\d\d  {tag}-\d +ok +1/1 +\d+\.\d\d s  \$\d", x) for x in lines), lines
    assert "ANSWER sim/fast" in lines[0]
    lines = [x for x in tail("calls", "--since", "10m", "--once").stdout.splitlines() if tag in x]
    assert len(lines) == 5 and all("sim/fast" in x and "#1" in x and "tokens" in x for x in lines), lines
    assert len(tail("results", "--once", "-n", "2").stdout.splitlines()) == 2
    records = [json.loads(x) for x in tail("calls", "--once", "--json", "--where", f"job_id={tag}-3").stdout.splitlines()]
    assert [c["request_model"] for c in records] == ["sim/fast"]
    stats = [json.loads(x) for x in tail("model-stats", "--once", "--json").stdout.splitlines()]
    assert sum(s["calls_ok"] for s in stats if s["request_model"] == "sim/fast") >= 5
    assert "ok" in tail("model-stats", "--once").stdout
    r = tail("results", "--once", "--where", "statis=ok")
    assert r.returncode == 64 and "did you mean 'status'?" in r.stderr, r
    r = tail("resuts")
    assert r.returncode == 64 and "did you mean 'results'?" in r.stderr, r
    r = tail("results", "--since", "5")
    assert r.returncode == 64 and "10m" in r.stderr, r


def test_tail_since_leaves_out_what_is_older(dev, tmp_path):
    """By the record's time, also on a broker that cannot search by it."""
    tag = uuid.uuid4().hex[:8]
    now = int(time.time() * 1000)
    p = Producer({"bootstrap.servers": dev.kafka})
    for age, name in ((3_600_000, "old"), (1000, "new")):
        p.produce("tutti.jobs", value=json.dumps({"job_id": f"{tag}-{name}", "prompt": "hi", "models": ["sim/fast"]}), timestamp=now - age)
    assert p.flush(30) == 0

    def seen(since):
        out = tutti("tail", "jobs", "--since", since, "--once", "--json", "--brokers", dev.kafka, cwd=tmp_path).stdout
        return [json.loads(x)["job_id"] for x in out.splitlines() if tag in x]

    assert seen("10m") == [f"{tag}-new"]
    assert sorted(seen("2h")) == sorted(seen("all")) == [f"{tag}-new", f"{tag}-old"]


def test_tail_shows_dead_letters(dev, tmp_path):
    tag = uuid.uuid4().hex[:8]
    p = Producer({"bootstrap.servers": dev.kafka})
    p.produce("tutti.jobs", value=json.dumps({"promt": tag}).encode(), key=b"\xff\x00")
    p.produce("tutti.jobs", value=b'{"prompt": "\xff ' + tag.encode() + b'"}')
    assert p.flush(30) == 0
    consume(dev.kafka, "dlq.tutti.jobs", lambda out: sum(tag.encode() in (m.value() or b"") for m in out) == 2)
    r = tutti("tail", "dlq", "--once", "--brokers", dev.kafka, cwd=tmp_path)
    assert re.search(r"invalid_job +/promt: unknown key 'promt' \(did you mean 'prompt'\?\)", r.stdout) and "not_utf8" in r.stdout, r
    r = tutti("tail", "dlq", "--once", "--json", "--brokers", dev.kafka, cwd=tmp_path)
    found = {x["headers"]["dlq.error.code"]: x for x in map(json.loads, r.stdout.splitlines()) if tag in (x["value"] or "")}
    assert set(found) == {"invalid_job", "not_utf8"}, r
    assert json.loads(found["invalid_job"]["value"]) == {"promt": tag} and found["invalid_job"]["headers"]["dlq.error.pointer"] == "/promt"
    r = tutti("tail", "dlq", "--once", "--where", "dlq.error.code=not_utf8", "--brokers", dev.kafka, cwd=tmp_path)
    assert "not_utf8" in r.stdout and "invalid_job" not in r.stdout, r


def test_tail_follows_and_ends_quietly_with_its_reader(dev, tmp_path):
    p = subprocess.Popen([binary(), "tail", "results", "-n", "0", "--json", "--brokers", dev.kafka], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=ENV)
    try:
        job_id = None

        def line_came():  # sends until one is seen: the tail begins where the topic ends when it is ready
            nonlocal job_id
            job_id = f"follow-{uuid.uuid4().hex[:8]}"
            r = tutti("submit", "-", "--brokers", dev.kafka, "--wait", cwd=tmp_path,
                      stdin=json.dumps({"job_id": job_id, "prompt": "hi", "models": ["sim/fast"]}))
            assert r.returncode == 0, r
            return got.is_set()

        got, lines = threading.Event(), []

        def read():
            lines.append(p.stdout.readline())
            got.set()
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        wait_until("a line", line_came, 90)
        reader.join(20)
        assert json.loads(lines[0])["job_id"].startswith("follow-")
        p.stdout.close()  # as `| head -1` does; no further record is needed to notice
        assert p.wait(60) == 0 and p.stderr.read() == ""
    finally:
        p.kill()
        p.wait()
        p.stderr.close()


def test_no_kafka_is_said_in_one_line(tmp_path):
    port = free_port()
    for args in (["tail", "results", "--once"], ["submit", "-"]):
        r = tutti(*args, "--brokers", f"127.0.0.1:{port}", cwd=tmp_path, stdin='{"prompt": "hi", "models": ["sim/fast"]}')
        assert r.returncode == 69 and len(r.stderr.splitlines()) == 1 and "start 'tutti dev'" in r.stderr, r


# --- init ---

def test_init_writes_what_works_and_overwrites_nothing(tmp_path):
    r = tutti("init", "new", "--yes", cwd=tmp_path)
    assert r.returncode == 0 and "tutti config check -c new/tutti.yaml" in r.stdout, r
    assert (tmp_path / "new/tutti.yaml").read_text() == (ROOT / "config/tutti.yaml").read_text()
    r = tutti("config", "check", cwd=tmp_path / "new", env={"OPENAI_API_KEY": "sk-x"})
    assert r.returncode == 0, r
    r = tutti("submit", "jobs.jsonl", "--brokers", f"127.0.0.1:{free_port()}", "-c", "tutti.yaml", cwd=tmp_path / "new",
              env={"OPENAI_API_KEY": "sk-x"})
    assert r.returncode == 69 and "jobs.jsonl:" not in r.stderr, "its jobs are jobs of its configuration"
    (tmp_path / "new/tutti.yaml").unlink()
    (tmp_path / "new/jobs.jsonl").write_text("mine")
    r = tutti("init", "new", "--yes", cwd=tmp_path)
    assert r.returncode == 73 and "exists already" in r.stderr and not (tmp_path / "new/tutti.yaml").exists(), r
    assert (tmp_path / "new/jobs.jsonl").read_text() == "mine"


# --- the demo ---

def test_the_demo_ends_well(tmp_path):
    """All of scripts/demo behind its build: it shows results, a table per model, a dead letter, and ends with 0."""
    r = subprocess.run(["python3", "-B", "-u", ROOT / "scripts/demo.py"], text=True, capture_output=True, timeout=240, check=False,
                       cwd=tmp_path, env={**ENV, "TUTTI_BIN": os.environ.get("TUTTI_BIN", binary()), "NO_COLOR": "1"})
    assert r.returncode == 0, r.stdout + r.stderr
    assert "13 jobs answered; tutti dev ended with exit code 0." in r.stdout
    assert re.search(r"^  sim/fast +\d+ +\d+ ", r.stdout, re.M) and "not-enough        failed" in r.stdout
