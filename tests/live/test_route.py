# SPDX-License-Identifier: Apache-2.0
"""Whom a call asks, in the running program: the breaker that holds back a failing model (breaker.failures, breaker.open_for), the keys
of a provider in turn (providers.*.api_keys), the models asked instead (models.*.fallbacks). Every test ends in audit.finish()."""
import pytest

from audit import await_terminal, finish, job

pytestmark = pytest.mark.timeout(120)

KEYS = ["sk-live-one-0123456789", "sk-live-two-0123456789", "sk-live-three-0123456789"]


def test_an_open_breaker_is_probed_once(bed):
    """Three failures open it; ten jobs wait for one probe, which takes 300 ms. Limits make it ask Redis for the fleet's one try."""
    bed.create_topics()
    bed.sim(["sim/a,latency=300ms"])
    bed.configure(models={"a": {"limits": {"requests_per_minute": 6000}}}, retry={"attempts": 1},
                  breaker={"failures": 3, "open_for": "2s"}, workers=1)
    t = bed.start().wait_ready(partitions=4)
    bed.send([job(f"bad{i}", "[[sim: status=500]]") for i in range(3)])
    await_terminal(bed, 3)
    t.wait_log("breaker_open")
    bed.send([job(f"j{i}") for i in range(10)])
    got = finish(bed, 13)
    assert all(got.by_id[f"j{i}"]["status"] == "ok" for i in range(10))  # an outage is lag
    times = sorted(x["t_us"] / 1e6 for x in got.requests)
    assert len(times) == 13
    assert times[3] - times[2] >= 1.9
    assert times[4] - times[3] >= 0.25  # nobody went before the probe's answer
    assert sorted(c["breaker_state"] for c in got.calls) == ["closed"] * 12 + ["half_open"]
    assert [c["throttle_reason"] for c in got.calls if c["breaker_state"] == "half_open"] == ["breaker"]
    assert t.output().count("breaker_open ") == 1 and t.output().count("breaker_closed ") == 1


def test_api_keys_take_turns_and_a_refused_one_rests(bed):
    bed.create_topics()
    sim = bed.sim(["sim/a"], "--api-key", ",".join(KEYS[1:]))
    bed.configure(models={"a": {}}, providers={"sim": {"api": "openai", "base_url": sim.url, "api_keys": KEYS}}, workers=1)
    t = bed.start().wait_ready(partitions=4)
    bed.send([job("first0"), job("first1"), job("first2")])
    await_terminal(bed, 3)
    t.wait_log("key_rests")
    bed.send([job(f"j{i}") for i in range(40)])
    got = finish(bed, 43)
    assert {r["status"] for r in got.results} == {"ok"}
    used = [c["key_id"] for c in got.calls if c["status"] == "ok"]
    assert len(set(used)) == 2 and all(used.count(k) >= 15 for k in set(used))
    refused = [c for c in got.calls if c["status"] == "error"]
    assert {c["error_code"] for c in refused} == {"auth"} and {c["job_id"][:5] for c in refused} == {"first"}
    assert len({c["key_id"] for c in refused} | set(used)) == 3
    everything = t.output() + "".join(m.value().decode() for ms in got.raw.values() for m in ms if m.value())
    assert not any(k in everything for k in KEYS)


def test_fallbacks_are_asked_when_a_model_gives_up(bed):
    bed.create_topics()
    bed.sim(["sim/a", "sim/b"])
    bed.configure(models={"a": {"fallbacks": ["b"]}, "b": {"price": {"input": 1, "output": 1}}}, jobs={"default_models": ["a"]})
    bed.start().wait_ready(partitions=4)
    bed.send([job(f"j{i}", "[[sim: status=404 model=sim/a]]") for i in range(10)] + [job(f"k{i}") for i in range(10)])
    got = finish(bed, 20)
    for i in range(10):
        r, plain = got.by_id[f"j{i}"], got.by_id[f"k{i}"]
        assert (r["status"], r["degraded_reasons"]) == ("ok", ["stage_fallback"])
        [a] = r["answers"]
        assert (a["request_model"], a["served_model"], a["vendor_model"], a["fallback_index"]) == ("a", "b", "sim/b", 1)
        assert (plain["status"], plain["degraded_reasons"]) == ("ok", [])
        assert plain["answers"][0]["served_model"] == "a"
    calls = [(c["served_model"], c["fallback_index"], c["attempt"], c["is_final"]) for c in got.calls if c["job_id"] == "j0"]
    assert sorted(calls) == [("a", 0, 1, False), ("b", 1, 1, True)]
