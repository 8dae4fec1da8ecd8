# SPDX-License-Identifier: Apache-2.0
"""Several jobs topics in order of priority, and which Redis servers must be there at start."""
import time

import pytest
from confluent_kafka.admin import NewTopic

from stack import Redis, free_port


def test_topics_are_served_in_order_of_priority(bed):
    urgent = bed.topics["jobs"] + "-urgent"
    bed.create_topics(1)
    for f in bed.admin.create_topics([NewTopic(urgent, 1, 1)]).values():
        f.result(30)
    sim = bed.sim(["sim/a,latency=20ms"])
    bed.configure(models={"a": {}}, jobs={"max_in_flight": 1, "default_models": ["a"]})
    bed.config["kafka"]["topics"]["jobs"] = [urgent, bed.topics["jobs"]]
    low = bed.topics["jobs"]
    bed.send([{"prompt": f"JOB:low{i}"} for i in range(20)])
    bed.topics["jobs"] = urgent
    bed.send([{"prompt": f"JOB:urgent{i}"} for i in range(20)])
    bed.topics["jobs"] = low
    bed.tutti().wait_ready(60, 2)
    bed.results(40, 60)
    order = [r["job"] for r in sorted(sim.requests(), key=lambda r: r["t_us"])]
    # a low one may go first: its partition may be ready before the other
    ahead = [j for j in order[:order.index("urgent19")] if j.startswith("low")]
    assert len(order) == 40 and len(ahead) <= 3, order


@pytest.mark.timeout(120)
@pytest.mark.parametrize("dead", ["redis", "journal"])
def test_each_redis_that_is_needed_is_waited_for_and_no_other(bed, dead):
    """redis.url serves limits and the slot, journal.url the journal: without limits and with a slot of its own only the latter counts."""
    bed.create_topics(1)
    other = Redis(bed.where, port=free_port(), name="journal-redis")
    bed.processes.append(other)
    bed.sim(["sim/a"])
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    urls = {"redis": (nowhere, other.url), "journal": (bed.stack.redis.url, nowhere)}[dead]
    bed.configure(models={"a": {}}, redis={"url": urls[0]}, journal={"url": urls[1]})
    bed.send([{"prompt": "JOB:x"}])
    t = bed.tutti(slot="s0")
    if dead == "redis":
        bed.results(1, 60)
        assert t.stop() == 0
        return
    began = time.monotonic()
    assert t.p.wait(60) == 69, t.output()[-2000:]
    assert time.monotonic() - began > 25 and "redis_unreachable" in t.output()


@pytest.mark.parametrize("ttl,is_warned", [("auto", True), ("40d", False)])
def test_a_journal_shorter_than_the_topic_is_warned_of(bed, ttl, is_warned):
    for f in bed.admin.create_topics([NewTopic(bed.topics["jobs"], 1, 1, config={"retention.ms": str(30 * 86400 * 1000)})]).values():
        f.result(30)
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}}, journal={"ttl": ttl})
    t = bed.tutti(slot="s0").wait_ready(60)
    assert ("kafka_retention_long" in t.output()) == is_warned
    assert t.stop() == 0


@pytest.mark.timeout(120)
def test_no_slot_to_be_had_ends_with_69(bed):
    """The server of the slot answers and refuses writes; the journal's, which only had to be there, is closed again by then."""
    slots = Redis(bed.where, port=free_port(), name="slot-redis")
    bed.processes.append(slots)
    slots.client().config_set("maxmemory", "1")
    bed.create_topics(1)
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}}, redis={"url": slots.url}, journal={"url": bed.stack.redis.url})
    t = bed.tutti()
    assert t.p.wait(60) == 69, t.output()[-2000:]
    assert "slot_not_leased" in t.output() and "Sanitizer" not in t.output()
