# SPDX-License-Identifier: Apache-2.0
"""The steps of scripts/demo. Everything it starts lives in a temporary directory and is stopped again, whatever happens."""
import collections
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

ROOT = pathlib.Path(__file__).resolve().parents[1]
JOBS = ROOT / "config/examples/jobs.jsonl"
CONFIG = ROOT / "config/examples/tutti.yaml"
TUTTI = ROOT / "build/release/tutti"
TOPICS = {"results": "tutti.results", "calls": "tutti.calls", "dead letters": "dlq.tutti.jobs"}
SECONDS = 60  # for all jobs together
COLOURS = {"bold": "1", "ok": "32", "partial": "33", "failed": "31", "dead letter": "31"}
HAS_COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Failed(Exception):
    """What went wrong, with the log to look at."""

    def __init__(self, what, log=None):
        tail = "" if log is None else "\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        super().__init__(what + tail)


def paint(text, how):
    return f"\033[{COLOURS[how]}m{text}\033[0m" if HAS_COLOURS and how in COLOURS else text


def say(what, text):
    print(f"  {what:<9}{text}")


def free_port():
    """The first of two free ports in a row: Kafka's listener and its controller's."""
    while True:
        with socket.socket() as a, socket.socket() as b:
            a.bind(("127.0.0.1", 0))
            port = a.getsockname()[1]
            try:
                b.bind(("127.0.0.1", port + 1))
                return port
            except (OSError, OverflowError):
                continue


class Stack:
    """The processes of the demo. Each has a session of its own, so that Ctrl-C reaches only this script, which stops them in order."""

    def __init__(self):
        self.where = pathlib.Path(tempfile.mkdtemp(prefix="tutti-demo-"))
        self.children, self.kafka_port = [], None

    def launch(self, name, args, env=None, stdout=None):
        log = self.where / f"{name}.log"
        with open(log, "ab") as out:
            p = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=stdout or out, stderr=out, cwd=ROOT,
                                 env={**os.environ, **(env or {})}, start_new_session=True)
        p.log, p.name = log, name
        self.children.append(p)
        return p

    def run(self, name, args):
        p = self.launch(name, args)
        if p.wait() != 0:
            raise Failed(f"{name} failed (exit {p.returncode}):", p.log)

    def start_kafka(self):
        self.kafka_port = free_port()
        return self.launch("kafka", [ROOT / "scripts/kafka.sh", "start", self.where / "kafka", self.kafka_port])

    def stop(self):
        for p in reversed(self.children):
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGTERM)  # with its compilers, or the Kafka that it was about to start
                try:
                    p.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(p.pid, signal.SIGKILL)
                    p.wait()
        if self.kafka_port is not None:
            subprocess.run([ROOT / "scripts/kafka.sh", "stop", self.where / "kafka", str(self.kafka_port)], check=False,
                           start_new_session=True)
        shutil.rmtree(self.where, ignore_errors=True)


def await_log(process, pattern, seconds):
    end = time.monotonic() + seconds
    while not re.search(pattern, process.log.read_text(errors="replace")):
        if process.poll() is not None:
            raise Failed(f"{process.name} ended with exit code {process.returncode}:", process.log)
        if time.monotonic() > end:
            raise Failed(f"{process.name} is not ready after {seconds} s:", process.log)
        time.sleep(0.05)


def build(stack):
    began = time.monotonic()
    stack.run("configure", ["cmake", "--preset", "release"])
    stack.run("build", ["cmake", "--build", "--preset", "release", "--target", "tutti"])
    version = subprocess.run([TUTTI, "version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    say("built", f"{TUTTI.relative_to(ROOT)} in {time.monotonic() - began:.0f} s: {version}")


def start(stack):
    """Kafka starts while the compiler works. Returns the brokers' address."""
    say("building", "tutti, and starting Kafka meanwhile (the first time both take a minute)")
    kafka = stack.start_kafka()
    build(stack)
    if kafka.wait() != 0:
        raise Failed("Kafka does not start:", kafka.log)
    brokers = f"127.0.0.1:{stack.kafka_port}"
    say("started", f"Kafka on {brokers}")
    port = free_port()
    redis = stack.launch("redis", ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", stack.where])
    await_log(redis, "Ready to accept connections", 10)
    say("started", f"Redis on 127.0.0.1:{port}")
    sim = stack.launch("sim", [TUTTI, "sim", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE)
    words = sim.stdout.readline().decode().split()
    if not words:
        raise Failed("the simulated providers do not start:", sim.log)
    say("started", f"simulated providers on {words[-1]}: sim/fast, sim/smart, sim/flaky")
    tutti = stack.launch("tutti", [TUTTI, "run", "-c", CONFIG], env={
        "DEMO_KAFKA": brokers, "DEMO_REDIS": f"redis://127.0.0.1:{port}/0", "DEMO_PROVIDER": words[-1],
        "XDG_STATE_HOME": str(stack.where), "TUTTI_LOG__FORMAT": "logfmt", "TUTTI_ADMIN__LISTEN": "127.0.0.1:0"})
    await_log(tutti, "event=partition_assigned", 45)
    say("started", f"tutti run -c {CONFIG.relative_to(ROOT)}")
    return brokers, tutti


def produce(brokers):
    lines = [x for x in JOBS.read_text().splitlines() if x.strip()]
    errors = []
    p = Producer({"bootstrap.servers": brokers, "log_level": 0})
    for line in lines:
        p.produce("tutti.jobs", value=line, key=json.loads(line).get("job_id"),
                  on_delivery=lambda e, m: errors.append(e) if e else None)
    if p.flush(20) > 0 or errors:
        raise Failed(f"Kafka does not take the jobs: {errors[:1]}")
    say("sent", f"{len(lines)} jobs of {JOBS.relative_to(ROOT)} to tutti.jobs")
    return len(lines)


def consume(brokers, n_jobs, tutti):
    """Reads the output topics, as every reader should, with read_committed, until each job has its terminal record."""
    c = Consumer({"bootstrap.servers": brokers, "group.id": "demo", "log_level": 0, "isolation.level": "read_committed",
                  "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    found = {}
    for kind, topic in TOPICS.items():
        for part in c.list_topics(topic, timeout=10).topics[topic].partitions:
            found[topic, part] = kind
    c.assign([TopicPartition(topic, part, 0) for topic, part in found])
    got = {kind: [] for kind in TOPICS}
    end = time.monotonic() + SECONDS

    def is_complete():
        calls = sum(json.loads(m.value())["calls_total"] for m in got["results"])
        return len(got["results"]) + len(got["dead letters"]) >= n_jobs and len(got["calls"]) >= calls

    while not is_complete() and time.monotonic() < end:
        if tutti.poll() is not None:
            raise Failed(f"tutti ended with exit code {tutti.returncode}:", tutti.log)
        for m in c.consume(100, 0.2):
            if m.error() is None:
                got[found[m.topic(), m.partition()]].append(m)
    c.close()
    say("read", ", ".join(f"{len(v)} {k if len(v) != 1 else k[:-1]}" for k, v in got.items()))
    return got


def usd(x):
    return "-" if x is None else f"{x:.6f}"


def show_answers(results):
    print(paint("\nanswers (tutti.results)", "bold"))
    print(f"  {'job':<14}{'status':<9}{'answered':<10}{'ms':>6}  {'USD':<10}answer")
    width = max(60, min(shutil.get_terminal_size((120, 24)).columns, 160)) - 54
    asked = [json.loads(x).get("job_id") for x in JOBS.read_text().splitlines()]
    for r in sorted(results, key=lambda r: asked.index(r["job_id"]) if r["job_id"] in asked else len(asked)):
        text = r["answer"]
        if text is None:
            good = [a["request_model"] for a in r["answers"] if a["answer"]]
            text = r["error_code"] if r["status"] == "failed" else f"({len(good)} apart: {', '.join(good)})"
        text = " ".join(text.split())
        text = text if len(text) <= width else text[:width - 3] + "..."
        models = f"{r['models_ok']}/{r['models_asked']}"
        status = paint(r["status"].ljust(9), r["status"])
        print(f"  {r['job_id']:<14}{status}{models:<10}{r['duration_ms']:>6}  {usd(r['cost_usd']):<10}{text}")


def quantile(values, q):
    return f"{sorted(values)[min(len(values) - 1, int(len(values) * q))]:.0f}" if values else "-"


def show_models(calls):
    print(paint("\nper model (tutti.calls, one record per attempt)", "bold"))
    print(f"  {'model':<8}{'calls':>6}{'ok':>5}{'failed':>8}{'retries':>9}{'tokens in/out':>15}{'USD':>11}"
          f"{'p50 ms':>8}{'p95 ms':>8}")
    by_model = collections.defaultdict(list)
    for c in calls:
        by_model[c["request_model"]].append(c)
    for model, mine in sorted(by_model.items()):
        ok = [c for c in mine if c["status"] == "ok"]
        tokens = "/".join(str(sum(c[k] or 0 for c in mine)) for k in ("input_tokens", "output_tokens"))
        times = [c["duration_ms"] for c in ok]
        failed, again = sum(c["status"] == "error" for c in mine), sum(c["attempt"] > 1 for c in mine)
        cost = usd(sum(c["cost_usd"] or 0 for c in mine))
        print(f"  {model:<8}{len(mine):>6}{len(ok):>5}{failed:>8}{again:>9}{tokens:>15}{cost:>11}"
              f"{quantile(times, 0.5):>8}{quantile(times, 0.95):>8}")


def show_dead_letters(messages):
    print(paint("\ndead letters (dlq.tutti.jobs)", "bold"))
    for m in messages:
        h = {k: (v or b"").decode("utf-8", "replace") for k, v in m.headers()}
        print(f"  {m.value().decode('utf-8', 'replace')}")
        print(f"  {paint(h['dlq.error.code'], 'dead letter')} at {h['dlq.error.pointer']}: {h['__dlq.errors.message']}")
        print(f"  see {h['dlq.docs']}")


def run(stack):
    brokers, tutti = start(stack)
    n_jobs = produce(brokers)
    got = consume(brokers, n_jobs, tutti)
    results = [json.loads(m.value()) for m in got["results"]]
    show_answers(results)
    show_models([json.loads(m.value()) for m in got["calls"]])
    show_dead_letters(got["dead letters"])
    tutti.terminate()
    code = tutti.wait(40)
    ends = collections.Counter(r["status"] for r in results) + collections.Counter({"dead letter": len(got["dead letters"])})
    n_ended = len(results) + len(got["dead letters"])
    print(f"\n{n_ended} of {n_jobs} jobs ended: {', '.join(f'{n} {k}' for k, n in ends.items() if n)}. tutti drained, exit code {code}.")
    return 0 if n_ended == n_jobs and code == 0 else 1


def on_signal(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # stopping is not to be interrupted
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main():
    print(paint("tutti demo", "bold"))
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    stack = Stack()
    try:
        return run(stack)
    except (Failed, OSError, KafkaException, subprocess.SubprocessError) as e:
        print(f"demo: {e}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        stack.stop()
        with contextlib.suppress(BrokenPipeError):  # scripts/demo | head
            say("stopped", "everything that was started")


if __name__ == "__main__":
    sys.exit(main())
