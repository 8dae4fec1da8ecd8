# SPDX-License-Identifier: Apache-2.0
"""What tests/bench/run measures, one function per figure. Each starts its own topics, simulated provider and program, and returns
numbers; nothing here prints or judges."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/live"))
from confluent_kafka import Producer  # noqa: E402
from stack import Bed, wait_until  # noqa: E402

PROMPT = "Explain the trade-offs of the design below. " * 23
MODELS = "abc"
LIMITS = {"requests_per_minute": 10000000, "tokens_per_minute": 900000000, "concurrency": 20000}
VARIANTS = {
    "tutti": {},
    "at_least_once": {"kafka": {"delivery": "at_least_once"}},
    "journal off": {"journal": {"enabled": False}},
    "limits off": {"limits": False},
}


def build_bare(where):
    exe = where / "bare_client"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libcurl", "jansson"], capture_output=True, text=True, check=True)
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", exe, ROOT / "tests/bench/bare_client.c", *flags.stdout.split(), "-lpthread"],
                   check=True)
    return exe


def bare(exe, bed, seconds, rate=0):
    cmd = [exe, f"{bed.sims[0].url}/chat/completions", "1", "96", str(seconds), str(rate)]
    out = subprocess.run(cmd, capture_output=True, text=True, check=True).stdout
    return {k: float(v) for k, v in re.findall(r"(\w+)=([0-9.]+)", out)}


def cpu_s(pid):
    """CPU of all threads to the nanosecond; /proc/PID/stat counts in ticks of 10 ms."""
    total = 0
    for t in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((t / "schedstat").read_text().split()[0])
        except OSError:  # a thread that has just ended
            continue
    return total / 1e9


class Calls:
    """Counts the requests that a simulated provider has logged: only what is new, and none as JSON."""

    def __init__(self, bed):
        self.path, self.file, self.n = bed.sims[0].requests_path, None, 0

    def count(self):
        if self.file is None and self.path.exists():
            self.file = open(self.path, "rb")
        while self.file and (chunk := self.file.read(1 << 20)):
            self.n += chunk.count(b"\n")
        return self.n


class Case:
    """Topics, one simulated provider, a configuration. `over` is one of VARIANTS with what the measurement adds."""

    def __init__(self, stack, where, size, over=None, latency="20ms", models=MODELS, partitions=4, jobs=None):
        over = dict(over or {})
        limits = {} if over.pop("limits", True) is False else {"limits": LIMITS}
        where.mkdir()
        self.bed = bed = Bed(stack, where)
        bed.create_topics(partitions)
        bed.sim([f"m-{m},latency={latency},bytes={size}" for m in models])
        bed.configure(models={m: {"name": f"m-{m}", "max_output_tokens": 2000, **limits} for m in models},
                      jobs={"max_in_flight": 500, **(jobs or {})}, **over)
        del bed.config["kafka"]["commit_interval"]  # the product's own
        self.partitions = partitions
        self.calls = Calls(bed)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bed.close()

    def start(self):
        return self.bed.tutti("tutti", slot="bench").wait_ready(60)

    def send_all(self, jobs):
        self.bed.send([{"prompt": f"JOB:j{i}; {PROMPT}"} for i in range(jobs)])

    def send_at(self, rate, seconds):
        """Jobs at a steady rate; returns how many."""
        p = Producer({"bootstrap.servers": self.bed.stack.brokers, "linger.ms": 0})
        t0, n = time.monotonic(), 0
        while (t := time.monotonic() - t0) < seconds:
            while n < t * rate:
                p.produce(self.bed.topics["jobs"], json.dumps({"prompt": f"JOB:j{n}; {PROMPT}"}).encode(), key=f"k{n}")
                n += 1
            p.poll(0)
            time.sleep(0.0005)
        p.flush(30)
        return n

    def drain(self, seconds=600):
        self.bed.committed_everything(self.partitions, seconds)


def busy(stack, where, exe, size, over, jobs, bare_s, profile=None):
    """Jobs sent beforehand; from the assignment to the last commit. The bare client runs right before, on the same provider."""
    with Case(stack, where, size, over) as case:
        floor = bare(exe, case.bed, bare_s)
        before = case.calls.count()
        case.send_all(jobs)
        p = case.start()
        c0, t0 = cpu_s(p.pid), time.monotonic()
        perf = None
        if profile:
            perf = subprocess.Popen(["perf", "record", "-q", "-g", "-F", "499", "-o", profile, "-p", str(p.pid)])
        case.drain()
        c1, t1, rss = cpu_s(p.pid), time.monotonic(), p.rss_kb()
        if perf:
            perf.send_signal(2)
            perf.wait()
        p.stop()
        n = case.calls.count() - before
    return {"bare_us": floor["cpu_us_call"], "bare_s": floor["calls_s"], "bare_mb": floor["maxrss_kb"] / 1024,
            "us": (c1 - c0) * 1e6 / n, "per_s": n / (t1 - t0), "mb": rss / 1024}


def steady(stack, where, exe, size, over, seconds, calls_s=200):
    """A modest rate: what a wake-up costs. The window begins when the program has been at it for two seconds."""
    with Case(stack, where, size, over) as case:
        floor = bare(exe, case.bed, seconds, calls_s)
        p = case.start()
        case.send_at(calls_s / len(MODELS), 2)
        c0, t0 = cpu_s(p.pid), time.monotonic()
        n = case.send_at(calls_s / len(MODELS), seconds) * len(MODELS)
        c1, t1 = cpu_s(p.pid), time.monotonic()
        case.drain()
        p.stop()
    return {"bare_us": floor["cpu_us_call"], "us": (c1 - c0) * 1e6 / n, "per_s": n / (t1 - t0)}


def quantiles(values):
    values = sorted(values)
    return values[len(values) // 2], values[min(len(values) - 1, int(len(values) * 0.99))]


def latency(stack, where, size, seconds, jobs_s=200):
    """Per job, from its records. started_at_ms: the first permit; ts_ms: all calls over, the moment the answer is merged, before the
    commit. `inside` = ts_ms - started_at_ms - the duration_ms of its slowest call. `whole` counts from submitted_at_ms, the
    producer's own clock, so it holds Kafka's way in, the claim and the permit too. In whole milliseconds, as the records are."""
    with Case(stack, where, size) as case:
        p = case.start()
        case.send_at(jobs_s, 2)
        mark_ms = time.time() * 1000
        n = case.send_at(jobs_s, seconds)
        case.drain()
        p.stop()
        slowest = {}
        for c in case.bed.read_to_end("calls"):
            slowest[c["job_id"]] = max(slowest.get(c["job_id"], 0), c["duration_ms"])
        results = [r for r in case.bed.read_to_end("results") if r["submitted_at_ms"] >= mark_ms]
    assert n * 0.9 <= len(results) and all(r["status"] == "ok" for r in results)
    return {"inside": quantiles([r["ts_ms"] - r["started_at_ms"] - slowest[r["job_id"]] for r in results]),
            "whole": quantiles([r["ts_ms"] - r["submitted_at_ms"] - slowest[r["job_id"]] for r in results]), "jobs": len(results)}


def in_flight(stack, where, n, latency_s):
    """Resident memory with n calls under way at once, one model, a job each, as many jobs again waiting; 12 partitions."""
    with Case(stack, where, 400, latency=f"{latency_s}s", models="a", partitions=12, jobs={"max_in_flight": n}) as case:
        case.send_all(2 * n)
        p = case.bed.tutti("tutti", slot="bench")
        wait_until(f"{n} calls under way", lambda: case.bed.established(p, case.bed.sims[0]) >= n, 120)
        mb = max(p.rss_kb() for _ in range(5)) / 1024
        p.kill()
    return mb


def growth(stack, where, jobs):
    """One run over many jobs of one call: CPU per job and memory in an early and in the last stretch of a tenth."""
    span, marks = jobs // 10, []
    with Case(stack, where, 400, latency="5ms", models="a") as case:
        case.send_all(jobs)
        p = case.start()
        for at in (jobs // 100, jobs // 100 + span, jobs - span, jobs):
            wait_until(f"{at} jobs", lambda: case.calls.count() >= at, 900, every=0.01)
            marks.append((case.calls.n, cpu_s(p.pid), p.rss_kb() / 1024))
        case.drain()
        p.stop()

    def us_per_job(begin, end):  # on a stalled machine two marks may be seen at once: then from the start
        begin = begin if begin[0] < end[0] else (0, 0, 0)
        return (end[1] - begin[1]) * 1e6 / (end[0] - begin[0])
    return {"early_us": us_per_job(*marks[:2]), "late_us": us_per_job(*marks[2:]),
            "early_mb": marks[0][2], "late_mb": marks[3][2], "early_at": jobs // 100, "late_at": jobs}


def profile_text(path):
    cmd = ["perf", "report", "-i", path, "--stdio", "--no-children", "-g", "none", "--percent-limit", "0.7"]
    parts = [subprocess.run([*cmd, "--sort", s], capture_output=True, text=True, check=False).stdout for s in ("comm,dso", "dso,symbol")]
    return "\n".join(x for x in "".join(parts).splitlines() if x and not x.startswith("#"))


def median(rows, key):
    return statistics.median(r[key] for r in rows)


def n_cores():
    return len(os.sched_getaffinity(0))
