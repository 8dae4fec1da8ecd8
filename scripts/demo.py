# SPDX-License-Identifier: Apache-2.0
"""The steps of scripts/demo: the program's own commands, shown as one would type them. Python's standard library only.

    TUTTI_BIN   a program that is built already; without it the release build is made"""
import collections
import contextlib
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
JOBS = "config/examples/jobs.jsonl"
SECONDS = 120  # for one command
HAS_COLOURS = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Failed(Exception):
    pass


def bold(text):
    return f"\033[1m{text}\033[0m" if HAS_COLOURS else text


def build():
    if os.environ.get("TUTTI_BIN"):
        return os.environ["TUTTI_BIN"]
    start = time.monotonic()
    log = []
    print("building, which takes a minute the first time ...", flush=True)
    for args in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release"]):
        done = subprocess.run(args, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        log += done.stdout.splitlines()
        if done.returncode != 0:
            raise Failed("the build failed:\n" + "\n".join(log[-30:]))
    print(f"build/release/tutti is built: {time.monotonic() - start:.0f} s")
    return str(ROOT / "build/release/tutti")


class Dev:
    """`tutti dev` on free ports, in a session of its own: Ctrl-C reaches this script, which ends it."""

    def __init__(self, program, where):
        self.program, self.log = program, pathlib.Path(where) / "dev.log"
        with open(self.log, "w", encoding="utf-8") as out:
            self.p = subprocess.Popen([program, "dev", "--port", "0", "--sim-port", "0", "--admin-port", "0"], stdout=out,
                                      stderr=out, cwd=where, start_new_session=True)
        end = time.monotonic() + 30
        while "Try, in another terminal" not in self.text():
            if self.p.poll() is not None or time.monotonic() > end:
                raise Failed("tutti dev does not start:\n" + self.text())
            time.sleep(0.05)
        self.kafka = re.search(r"Kafka \(in memory\) +(\S+)", self.text())[1]
        self.sim = re.search(r"Models \(simulated\) +(\S+)", self.text())[1]

    def text(self):
        return self.log.read_text(encoding="utf-8", errors="replace")

    def run(self, *args, shown=None, codes=(0,), is_kept=False):
        """Runs a command of the program, shown as one would type it; returns its output, unless that is for the reader."""
        print(bold(f"\n$ {shown or 'tutti ' + shlex.join(args)}"), flush=True)
        done = subprocess.run([self.program, *args], cwd=ROOT, text=True, stdout=subprocess.PIPE if is_kept else None,
                              timeout=SECONDS, check=False)
        if done.returncode not in codes:
            raise Failed(f"exit code {done.returncode}: tutti {' '.join(args)}\n{done.stdout or ''}{self.text()}")
        return done.stdout

    def stop(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGINT)
        return self.p.wait(30)


def quantile(values, q):
    return f"{sorted(values)[min(len(values) - 1, int(len(values) * q))]:.0f}" if values else "-"


def show_models(lines):
    print(f"  {'model':<10}{'calls':>6}{'ok':>5}{'failed':>8}{'retries':>9}{'tokens in/out':>15}{'USD':>11}{'p50 ms':>8}{'p95 ms':>8}")
    by_model = collections.defaultdict(list)
    for line in lines:
        c = json.loads(line)
        by_model[c["request_model"]].append(c)
    for model, mine in sorted(by_model.items()):
        ok = [c["duration_ms"] for c in mine if c["status"] == "ok"]
        failed, again = sum(c["status"] == "error" for c in mine), sum(c["attempt"] > 1 for c in mine)
        tokens = "/".join(str(sum(c[k] or 0 for c in mine)) for k in ("input_tokens", "output_tokens"))
        cost = sum(c["cost_usd"] or 0 for c in mine)
        print(f"  {model:<10}{len(mine):>6}{len(ok):>5}{failed:>8}{again:>9}{tokens:>15}{cost:>11.6f}"
              f"{quantile(ok, 0.5):>8}{quantile(ok, 0.95):>8}")


def send_by_kcat(dev):
    """The line that the check refuses, past the check: any Kafka client may send. True: sent."""
    if shutil.which("kcat") is None:
        print("\n(kcat is not installed: any other Kafka client would do as well)")
        return False
    line = (ROOT / JOBS).read_text(encoding="utf-8").splitlines()[-1]
    print(bold(f"\n$ echo '{line}' | kcat -P -b {dev.kafka} -t tutti.jobs"))
    subprocess.run(["kcat", "-P", "-b", dev.kafka, "-t", "tutti.jobs"], input=line, text=True, check=True, timeout=SECONDS)
    return True


def show_dead_letter(dev, at):
    end = time.monotonic() + 30
    out = ""
    print(bold(f"\n$ tutti tail dlq --once {' '.join(at)}"), flush=True)
    while not out and time.monotonic() < end:
        out = subprocess.run([dev.program, "tail", "dlq", "--once", *at], text=True, stdout=subprocess.PIPE, timeout=SECONDS,
                             check=True).stdout
    if not out:
        raise Failed("no dead letter came")
    print(out, end="")


def run(dev):
    at = ["--brokers", dev.kafka]
    n_jobs = sum(1 for x in (ROOT / JOBS).read_text(encoding="utf-8").splitlines() if x.strip())
    dev.run("ask", "Name three colours", "-m", "sim/fast", "-m", "sim/smart", "--sim", dev.sim)
    # one line of the file is no job; two jobs are meant to be partial or to fail
    dev.run("submit", JOBS, "--skip-bad", "--wait", *at, codes=(0, 1))
    results = dev.run("tail", "results", "--once", *at, is_kept=True)
    print(results, end="", flush=True)
    if send_by_kcat(dev):
        show_dead_letter(dev, at)
    calls = dev.run("tail", "calls", "--json", "--once", *at, is_kept=True,
                    shown=f"tutti tail calls --json --once {' '.join(at)} | (a sum per model)")
    show_models(calls.splitlines())
    n = len(results.splitlines())
    if n != n_jobs - 1:
        raise Failed(f"{n} results of {n_jobs - 1} jobs")
    return n


def on_signal(number, frame):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # stopping is not to be interrupted
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(128 + number)


def main():
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    dev = None
    with tempfile.TemporaryDirectory(prefix="tutti-demo-") as where:
        try:
            program = build()
            dev = Dev(program, where)
            print(bold("$ tutti dev"))
            print(dev.text(), end="", flush=True)
            n = run(dev)
            code = dev.stop()
            print(f"\n{n} jobs answered; tutti dev ended with exit code {code}.")
            return 0 if code == 0 else 1
        except (Failed, OSError, subprocess.SubprocessError) as e:
            print(f"demo: {e}", file=sys.stderr)
            return 1
        finally:
            if dev is not None:
                with contextlib.suppress(subprocess.SubprocessError):
                    dev.stop()


if __name__ == "__main__":
    sys.exit(main())
