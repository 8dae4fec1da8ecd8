# SPDX-License-Identifier: Apache-2.0
"""`tutti submit` and `tutti tail` against a real broker and an exactly-once service: markers between records, aborted transactions and a
search by time are there, which the mock cluster of `tutti dev` lacks."""
import json
import os
import subprocess
import time

from confluent_kafka import Producer

from stack import SECRET, binary

ENV = {**os.environ, "SIM_KEY": SECRET}


def tutti(bed, *args, stdin=None):
    return subprocess.run([binary(), *map(str, args), "-c", bed.write_config("cli.yaml")], cwd=bed.where, input=stdin, text=True,
                          capture_output=True, timeout=120, env=ENV, check=False)


def test_submit_waits_and_tail_reads_what_was_committed(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {}})
    bed.start().wait_ready(partitions=4)
    lines = "".join(json.dumps({"custom_id": f"c{i}", "prompt": f"p{i}"}) + "\n" for i in range(40))
    r = tutti(bed, "submit", "-", "--wait", "--json", "--batch-id", "b", stdin=lines)
    assert r.returncode == 0, r
    said = json.loads(r.stdout)
    assert (said["sent"], said["ok"], said["cost_complete"]) == (40, 40, True)

    def tail(*args):
        r = tutti(bed, "tail", *args)
        assert r.returncode == 0, r
        return r.stdout.splitlines()

    results = [json.loads(x) for x in tail("results", "--once", "--json")]
    assert sorted(x["custom_id"] for x in results) == sorted(f"c{i}" for i in range(40))
    calls = [json.loads(x) for x in tail("calls", "--since", "1h", "--once", "--json")]
    assert sorted(x["event_id"] for x in calls) == sorted({x["event_id"] for x in calls}) and len(calls) == 40
    assert abs(sum(x["cost_usd"] for x in calls) - said["cost_usd"]) < 1e-6
    assert len(tail("results", "--once", "-n", "7")) == 7
    assert len(tail("results", "--once")) == 40


def test_tail_leaves_out_what_is_aborted_or_older(bed):
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    now = int(time.time() * 1000)
    p = Producer({"bootstrap.servers": bed.stack.brokers, "transactional.id": f"t-{bed.group}"})
    p.init_transactions(30)
    for name, age, commits in (("old", 7_200_000, True), ("aborted", 0, False), ("new", 0, True)):
        p.begin_transaction()
        for partition in range(4):
            p.produce(bed.topics["jobs"], value=json.dumps({"prompt": name}), partition=partition, timestamp=now - age)
        p.flush(30)
        (p.commit_transaction if commits else p.abort_transaction)(30)

    def seen(*args):
        return [json.loads(x)["prompt"] for x in tutti(bed, "tail", "jobs", "--once", "--json", *args).stdout.splitlines()]

    assert seen("--since", "1h") == ["new"] * 4
    assert sorted(seen()) == sorted(seen("--since", "all")) == ["new"] * 4 + ["old"] * 4
    assert seen("-n", "4") == ["new"] * 4


def test_a_topic_that_is_missing_is_told(bed):
    bed.create_topics()
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}}, kafka={"topics": {**bed.topics, "jobs": [bed.topics["jobs"]], "dead_letters": f"none-{bed.group}"}})
    r = tutti(bed, "tail", "dlq", "--once")
    assert r.returncode == 66 and f"has no topic none-{bed.group}" in r.stderr, r
