# SPDX-License-Identifier: Apache-2.0
"""The real stack of the live tests: Kafka, Redis, simulated providers and tutti processes on free ports of 127.0.0.1, in a temporary
directory, stopped by pid. Also what the tests ask of it: jobs in, records out (by two independent clients), the simulator's log.

    TUTTI_BIN    the program under test  [build/asan/tutti, else build/dev/tutti]
    TUTTI_KAFKA  host:port of a broker that runs already
"""
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import uuid

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ROOT = pathlib.Path(__file__).resolve().parents[2]


SECRET = "sk-live-0123456789abcdef"


def binary():
    if os.environ.get("TUTTI_BIN"):
        return os.environ["TUTTI_BIN"]
    for preset in ("release", "asan", "dev"):
        path = ROOT / "build" / preset / "tutti"
        if path.exists():
            return str(path)
    raise RuntimeError("build the program first: cmake --preset release && cmake --build --preset release")


def free_port(n=1):
    """The first of n free ports in a row, below the range that the kernel hands out."""
    while True:
        port = random.randrange(20000, 32000)
        try:
            for i in range(n):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port + i))
            return port
        except OSError:
            continue


def wait_until(what, check, seconds=30, every=0.05):
    """Polls an outside state that has no event to wait for."""
    end = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(every)


class Process:
    """A child whose output goes to a file; always ended."""

    def __init__(self, where, name, args, env=None, stdout_pipe=False):
        self.name, self.log_path = name, pathlib.Path(where) / f"{name}.log"
        self.log = open(self.log_path, "ab")
        self.p = subprocess.Popen([str(a) for a in args], stdout=subprocess.PIPE if stdout_pipe else self.log, stderr=self.log,
                                  env={**os.environ, **(env or {})}, text=stdout_pipe)

    @property
    def pid(self):
        return self.p.pid

    def alive(self):
        return self.p.poll() is None

    def kill(self):
        if self.alive():
            self.p.send_signal(signal.SIGKILL)
        self.p.wait()

    def stop(self, seconds=40):
        if self.alive():
            self.p.send_signal(signal.SIGTERM)
        code = self.p.wait(seconds)
        return code

    def output(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, seconds=30, n=1):
        def check():
            if len(re.findall(pattern, self.output())) >= n:
                return True
            assert self.alive(), f"{self.name} ended with {self.p.poll()}: {self.output()[-3000:]}"
            return False
        wait_until(f"{pattern!r} in {self.log_path}", check, seconds)


class Redis(Process):
    def __init__(self, where, *args, port=None, name="redis"):
        self.port = port or free_port()
        base = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", where,
                "--maxmemory-policy", "noeviction"]
        super().__init__(where, name, base + list(args))
        self.url = f"redis://127.0.0.1:{self.port}/0"
        wait_until("redis answers", lambda: self._ping(), 10)

    def _ping(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 0.2):
                return True
        except OSError:
            return False

    def client(self):
        import redis
        return redis.Redis(port=self.port)


class Sim(Process):
    """The simulated providers. models: list of "name,latency=..." words."""

    def __init__(self, where, models, *args, name="sim", port=0):
        self.requests_path = pathlib.Path(where) / f"{name}-requests.jsonl"
        flags = [x for m in models for x in ("--model", m)]
        super().__init__(where, name, [binary(), "sim", "--listen", f"127.0.0.1:{port}", "--log", self.requests_path, *args, *flags],
                         stdout_pipe=True)
        line = self.p.stdout.readline()
        assert line.startswith("listening on "), self.output()
        self.url = line.split()[-1]

    def requests(self):
        if not self.requests_path.exists():
            return []
        return [json.loads(x) for x in self.requests_path.read_text().splitlines() if x.endswith("}")]


class Tutti(Process):
    def __init__(self, bed, name, config_path, env=None, program=None):
        self.bed = bed
        env = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
               "XDG_STATE_HOME": str(bed.where / "state"), **(env or {})}
        super().__init__(bed.where, name, [program or binary(), "run", "-c", config_path], env=env)

    def wait_ready(self, seconds=40, partitions=1):
        self.wait_log("partition_assigned", seconds, partitions)
        return self

    def rss_kb(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def n_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Bed:
    """One test's topics, group, configuration and processes."""

    def __init__(self, stack, where):
        self.stack, self.where = stack, pathlib.Path(where)
        tag = uuid.uuid4().hex[:8]
        self.group = f"g-{tag}"
        self.topics = {k: f"{v}-{tag}" for k, v in
                       {"jobs": "jobs", "results": "results", "calls": "calls", "dead_letters": "dlq.jobs",
                        "model_stats": "model-stats", "batches": "batches", "control": "control"}.items()}
        self.processes = []
        self.sims = []
        self.config = {}
        self.admin = AdminClient({"bootstrap.servers": stack.brokers})

    # --- set up
    def create_topics(self, partitions=4, **config):
        new = [NewTopic(self.topics["jobs"], partitions, 1)] + [
            NewTopic(self.topics[t], 2, 1, config={k: str(v) for k, v in config.items()}) for t in ("results", "calls", "dead_letters")]
        for f in self.admin.create_topics(new).values():
            f.result(30)

    def sim(self, models, *args, **kw):
        kw.setdefault("name", f"sim{len(self.sims)}")
        s = Sim(self.where, models, *args, **kw)
        self.processes.append(s)
        self.sims.append(s)
        return s

    def configure(self, sim=None, models=None, **over):
        """A configuration as a dict; models: id -> overrides. Sections given in `over` are merged one level deep."""
        sim = sim or self.sims[0]
        c = {
            "kafka": {"brokers": self.stack.brokers, "group": self.group, "commit_interval": "100ms",
                      "topics": {k: [v] if k == "jobs" else v for k, v in self.topics.items()}},
            "redis": {"url": self.stack.redis.url},
            "providers": {"sim": {"api": "openai", "base_url": sim.url, "api_key": "${env:SIM_KEY:-sk-sim}"}},
            "models": {},
            "jobs": {"default_models": list(models or {}), "max_in_flight": 500},
            "retry": {"base": "50ms", "cap": "2s"},
            "breaker": {"failures": 0},  # most tests script more failures than that
            "log": {"level": "info", "format": "logfmt"},
            "admin": {"listen": "127.0.0.1:0"},
            "workers": 1,
        }
        for mid, m in (models or {}).items():
            c["models"][mid] = {"provider": "sim", "name": f"sim/{mid}", "max_output_tokens": 100,
                                "price": {"input": "2.50", "output": "10.00"}, **m}
        for section, values in over.items():
            if isinstance(values, dict):
                c.setdefault(section, {}).update(values)
            else:
                c[section] = values
        self.config = c
        return c

    def write_config(self, name="tutti.yaml", **kafka):
        c = json.loads(json.dumps(self.config))
        c["kafka"].update(kafka)
        path = self.where / name
        path.write_text(json.dumps(c, indent=2))  # JSON is YAML
        return path

    def tutti(self, name="tutti0", env=None, program=None, **kafka):
        p = Tutti(self, name, self.write_config(f"{name}.yaml", **kafka), env, program)
        self.processes.append(p)
        return p

    def start(self, name="tutti0", program=None, env=None, **kafka):
        """As tutti(), with the provider's key that no record and no log may show."""
        return self.tutti(name, {"SIM_KEY": SECRET, **(env or {})}, program, **kafka)

    # --- jobs in
    def send(self, jobs, partition=None, key=None, timestamp=0, headers=None):
        """jobs: dicts, strings or bytes. Returns when the broker has them all."""
        p = Producer({"bootstrap.servers": self.stack.brokers, "linger.ms": 5})
        errors = []
        for i, j in enumerate(jobs):
            value = j if isinstance(j, (bytes, type(None))) else (j if isinstance(j, str) else json.dumps(j)).encode()
            kw = {"partition": partition} if partition is not None else {}
            p.produce(self.topics["jobs"], value=value, key=key if key is not None else f"k{i}", timestamp=timestamp, headers=headers,
                      on_delivery=lambda e, m: errors.append(e) if e else None, **kw)
            p.poll(0)
        assert p.flush(60) == 0 and not errors, errors

    # --- records out
    def read(self, topic, seconds=60, until=None, isolation="read_committed"):
        """All records of an output topic; polls until until(records) or the time is over. Each: dict with value, key, headers."""
        c = Consumer({"bootstrap.servers": self.stack.brokers, "group.id": f"r-{uuid.uuid4().hex}", "isolation.level": isolation,
                      "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        name = self.topics.get(topic, topic)
        wait_until(f"topic {name}", lambda: name in c.list_topics(timeout=5).topics and
                   c.list_topics(name, timeout=5).topics[name].partitions, 30)
        parts = c.list_topics(name, timeout=10).topics[name].partitions
        c.assign([TopicPartition(name, p, 0) for p in parts])
        out, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            for m in c.consume(500, 0.2):
                if m.error():
                    continue
                out.append({"value": json.loads(m.value()) if m.value() and topic != "dead_letters" else m.value(), "key": m.key(),
                            "headers": m.headers() or [], "partition": m.partition(), "offset": m.offset()})
            if until and until(out):
                break
        c.close()
        return out

    def read_to_end(self, topic, isolation="read_committed"):
        """The values of what an output topic holds now, as JSON."""
        c = Consumer({"bootstrap.servers": self.stack.brokers, "group.id": f"r-{uuid.uuid4().hex}", "isolation.level": isolation,
                      "enable.auto.commit": False, "enable.partition.eof": True})
        name = self.topics[topic]
        open_parts = set(c.list_topics(name, timeout=10).topics[name].partitions)
        c.assign([TopicPartition(name, p, 0) for p in open_parts])
        out, end = [], time.monotonic() + 60
        while open_parts:
            assert time.monotonic() < end, f"no end of {name}"
            for m in c.consume(500, 0.2):
                if m.error() and m.error().code() == KafkaError._PARTITION_EOF:
                    open_parts.discard(m.partition())
                elif not m.error():
                    out.append(json.loads(m.value()))
        c.close()
        return out

    def results(self, n, seconds=60, extra=0.5):
        """Waits for n results, then a little longer for what should not come."""
        out = self.read("results", seconds, lambda r: len(r) >= n)
        assert len(out) >= n, f"{len(out)} of {n} results"
        if extra:
            out = self.read("results", extra + 1.0, lambda r: False)
        return [r["value"] for r in out]

    @staticmethod
    def established(process, sim):
        """Connections of the process to the simulated providers."""
        port = int(sim.url.split(":")[2].split("/")[0])
        lines = pathlib.Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
        return sum(x.split()[2] == f"0100007F:{port:04X}" and x.split()[3] == "01" for x in lines)

    def members(self):
        """Partitions of each member of the group: {member id: n}."""
        try:
            d = self.admin.describe_consumer_groups([self.group])[self.group].result(10)
        except KafkaException:  # the coordinator's topic is only being made
            return {}
        return {m.member_id: len(m.assignment.topic_partitions) for m in d.members}

    def committed_everything(self, partitions=4, seconds=60):
        """Waits until the group's commits have reached the end of the jobs topic."""
        c = Consumer({"bootstrap.servers": self.stack.brokers, "group.id": self.group, "enable.auto.commit": False})

        def check():
            parts = [TopicPartition(self.topics["jobs"], p) for p in range(partitions)]
            try:
                committed = c.committed(parts, timeout=10)
            except KafkaException:  # the coordinator's topic is only being made
                return False
            for tp in committed:
                low, high = c.get_watermark_offsets(TopicPartition(self.topics["jobs"], tp.partition), timeout=5)
                if high > 0 and tp.offset < high:
                    return False
            return True
        try:
            wait_until("all offsets committed", check, seconds, every=0.3)
        finally:
            c.close()

    def close(self):
        for p in self.processes:
            if p.alive():
                p.kill()


class Stack:
    """The servers of a session."""

    def __init__(self, where):
        self.where = pathlib.Path(where)
        self.kafka_dir = None
        if os.environ.get("TUTTI_KAFKA"):
            self.brokers = os.environ["TUTTI_KAFKA"]
        else:
            self.kafka_dir, self.kafka_port = self.where / "kafka", free_port(3)
            subprocess.run([ROOT / "scripts/kafka.sh", "start", self.kafka_dir, str(self.kafka_port)], check=True)
            self.brokers = f"127.0.0.1:{self.kafka_port}"
        self.redis = Redis(self.where)

    def close(self):
        self.redis.kill()
        if self.kafka_dir:
            subprocess.run([ROOT / "scripts/kafka.sh", "stop", self.kafka_dir, str(self.kafka_port)], check=False)


def max_in_window(times_s, window_s):
    """Most arrivals in any half-open window of this length: exact sweep."""
    times, best, start = sorted(times_s), 0, 0
    for i, t in enumerate(times):
        while times[start] <= t - window_s:
            start += 1
        best = max(best, i - start + 1)
    return best
