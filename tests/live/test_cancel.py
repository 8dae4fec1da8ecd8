# SPDX-License-Identifier: Apache-2.0
"""Commands on the control topic, written by `tutti cancel` and by a foreign client: sockets are closed, what was not begun never
is, every process hears them, also one that is started later."""
import json
import subprocess

import pytest
from confluent_kafka import Producer

from audit import finish, job, validator
from stack import binary, free_port, wait_until

pytestmark = pytest.mark.timeout(120)


def cancel(bed, *words):
    """Runs `tutti cancel`, gives its answer."""
    r = subprocess.run([binary(), "cancel", "-c", bed.write_config("cancel.yaml"), "--json", *words], capture_output=True, text=True,
                       timeout=60)
    assert r.returncode == 0, r.stderr
    answer = json.loads(r.stdout)
    assert answer["topic"] == bed.topics["control"]
    validator("control").validate(answer["value"])
    return answer


def produce(bed, *values):
    p = Producer({"bootstrap.servers": bed.stack.brokers})
    for v in values:
        p.produce(bed.topics["control"], key=b"k", value=v)
    assert p.flush(30) == 0


def is_cancelled(r):
    return (r["status"], r["error_code"], r["answer"]) == ("failed", "cancelled", None)


def test_cancel_closes_the_socket(bed):
    bed.create_topics()
    fast, slow = bed.sim(["sim/a,latency=20ms"]), bed.sim(["sim/b"])
    bed.configure(fast, models={"a": {}, "b": {"provider": "slow"}}, providers={
        "slow": {"api": "openai", "base_url": slow.url, "api_key": "sk-slow"}})
    t = bed.start().wait_ready()
    bed.send([job(f"j{i}", "[[sim: silence model=sim/b]]") for i in range(3)])
    wait_until("b is asked three times, a has answered", lambda: bed.established(t, slow) >= 3 and len(fast.requests()) == 3)
    for i in range(3):
        cancel(bed, f"j{i}")
    got = finish(bed, 3)
    assert all(is_cancelled(r) for r in got.results), got.results
    for r in got.results:
        a, b = sorted(r["answers"], key=lambda x: x["request_model"])
        assert a["status"] == "ok" and a["answer"] and (b["status"], b["error_code"]) == ("cancelled", "cancelled")
        assert r["calls_cancelled"] == 1 and r["cost_complete"] is False
    left = slow.requests()
    assert len(left) == 3 and all(x["gone"] and not x["paid"] for x in left), "the provider saw the client leave before it answered"
    assert "event=cancel_job" in t.output()


def test_a_process_that_starts_later_honours_it(bed):
    """Nobody runs when the command is written; it is read before any job begins."""
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {}}, workers=2)
    first = bed.start("first").wait_ready()
    assert first.stop() == 0
    bed.send([job("x"), job("y", batch_id="b1"), job("z", batch_id="b1"), job("w", run=1), job("free")])
    assert cancel(bed, "x")["value"] == {"command": "cancel_job", "job_id": "x"}
    assert cancel(bed, "--batch", "b1")["value"] == {"command": "cancel_batch", "batch_id": "b1"}
    cancel(bed, "w", "--run", "0")
    bed.start("second").wait_ready()
    wait_until("the first five", lambda: len(bed.read("results", 0.5)) >= 5)
    bed.send([job("z2", batch_id="b1"), job("x", run=1)])  # younger than the commands
    got = finish(bed, 7)
    ends = {(r["job_id"], r["run"]): is_cancelled(r) for r in got.results}
    assert ends == {("x", 0): True, ("y", 0): True, ("z", 0): True, ("w", 1): False, ("free", 0): False, ("z2", 0): False,
                    ("x", 1): False}
    assert len(got.requests) == 4, "nobody was asked for a cancelled job"


def place(t, *events):
    """Where in the log each event stands first."""
    out = t.output()
    return [out.index(f"event={e} ") for e in events]


def test_workers_start_behind_the_commands(bed):
    """However many they are: none of the jobs that the last ones mean is begun."""
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {}}, workers=2)
    produce(bed, *(b'{"command":"cancel_job","job_id":"n-%d"}' % i for i in range(3000)))
    bed.send([job(f"j{i}") for i in range(40)])
    produce(bed, *(b'{"command":"cancel_job","job_id":"j%d"}' % i for i in range(40)))
    t = bed.start()
    got = finish(bed, 40)
    assert all(is_cancelled(r) for r in got.results) and not got.requests
    read, starting = place(t, "control_read", "starting")
    assert read < starting and "commands=3040" in t.output()


def test_the_wait_for_commands_ends(bed):
    """Nothing answers at the brokers' address: the workers wait for the commands, and then no longer. A process that still waits
    ends when it is told to."""
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    nowhere = f"127.0.0.1:{free_port()}"
    t = bed.start("patient", brokers=nowhere)
    t.wait_log("event=starting")
    late, starting = place(t, "control_late", "starting")
    assert late < starting
    waiting = bed.start("stopped", brokers=nowhere)
    waiting.wait_log("event=control_unreadable")
    assert waiting.stop() == 0


def test_every_process_hears_it(bed):
    bed.create_topics()
    sim = bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    running = [bed.start(f"t{i}") for i in range(2)]
    wait_until("both have partitions", lambda: sorted(bed.members().values()) == [2, 2], 60)
    for p in range(4):
        bed.send([job(f"j{p}", "[[sim: silence]]", batch_id="all")], partition=p)
    wait_until("all are asked", lambda: sum(bed.established(t, sim) for t in running) >= 4)
    cancel(bed, "--batch", "all")
    got = finish(bed, 4)
    assert all(is_cancelled(r) for r in got.results) and len({r["worker_id"] for r in got.results}) == 2


def test_what_is_no_command_is_skipped(bed):
    bed.create_topics()
    sim = bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    t = bed.start().wait_ready()
    bed.send([job("x", "[[sim: silence]]")])
    wait_until("it is asked", lambda: bed.established(t, sim) >= 1)
    produce(bed, b"\xff\xfe", b"{}", b'{"command":"reboot"}', b'{"command":"cancel_job","job_id":"x","why":"?"}', b"[" * 100000, None,
            b'{"command":"cancel_job","job_id":"x"}')
    got = finish(bed, 1)
    assert is_cancelled(got.by_id["x"])
    assert t.output().count("event=control_record_refused") == 1, "said once a minute, not for each"


def test_cancel_without_kafka(bed):
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    bed.config["kafka"]["brokers"] = "127.0.0.1:1"
    r = subprocess.run([binary(), "cancel", "-c", bed.write_config(), "x"], capture_output=True, text=True, timeout=60)
    assert r.returncode == 69 and "127.0.0.1:1" in r.stderr and r.stdout == ""
