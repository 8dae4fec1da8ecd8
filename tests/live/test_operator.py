# SPDX-License-Identifier: Apache-2.0
"""What an operator asks the command line about a running service: status, models ls, limits ls. Names carry the number of the defect
register (D-nn)."""
import json
import os
import re
import signal
import subprocess

import pytest

from audit import finish, job
from stack import SECRET, binary, wait_until

pytestmark = pytest.mark.timeout(180)


def tutti(*words, env=None):
    """Exit code, answer and complaints of one command."""
    p = subprocess.run([binary(), *map(str, words)], capture_output=True, text=True, timeout=60,
                       env={**os.environ, "SIM_KEY": SECRET, **(env or {})})
    assert "Sanitizer" not in p.stderr and SECRET not in p.stdout + p.stderr, p.stderr
    return p.returncode, p.stdout, p.stderr


def url_of(t):
    t.wait_log("event=admin_listening")
    return "http://" + re.search(r'event=admin_listening address="?([^"\s]+)', t.output()).group(1)


def hup(bed, t):
    n = len(re.findall("event=reloaded ", t.output()))
    bed.write_config(f"{t.name}.yaml")
    t.p.send_signal(signal.SIGHUP)
    t.wait_log("event=reloaded ", n=n + 1)


def test_d47_a_removed_key_makes_its_models_unavailable(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms"])
    bed.configure(models={"a": {"aliases": ["first"]}})
    bed.config["providers"]["far"] = {"api": "anthropic", "base_url": "https://127.0.0.1:1", "api_key": "${env:SIM_KEY}"}
    bed.config["models"]["far"] = {"provider": "far", "name": "far-1", "fallbacks": ["a"]}
    t = bed.start().wait_ready(partitions=4)
    bed.send([job("one", models=["first"])])
    wait_until("an answer", lambda: bed.sims[0].requests(), 60)
    path, url = bed.where / "tutti0.yaml", url_of(t)

    def models(*flags):
        code, out, _ = tutti("models", "ls", "--json", "-c", path, *flags)
        assert code == 0
        return {m["model"]: m for m in json.loads(out)["models"]}

    seen = wait_until("the answer is counted", lambda: (lambda m: m["a"]["last_outcome"] and m)(models("--url", url)), 30)
    a, far = seen["a"], seen["far"]
    assert (a["available"], a["last_outcome"], a["breaker"], a["calls_ok"]) == (True, "ok", "closed", 1)
    assert (far["available"], far["reason"], far["key_present"]) == (True, "configured, not asked yet", True)
    assert (far["dialect"], far["vendor_model"], far["fallbacks"]) == ("anthropic", "far-1", ["a"])

    del bed.config["providers"]["far"]["api_key"]
    hup(bed, t)
    for flags in (("--url", url), ()):  # by the service, and by the file alone
        seen = models(*flags)
        assert (seen["far"]["available"], seen["far"]["reason"]) == (False, "no API key is configured for the provider far"), flags
        assert seen["a"]["available"]
    code, out, _ = tutti("models", "ls", "-c", path, "--url", url)
    assert code == 0 and "far  NOT available: no API key is configured for the provider far\n" in out
    assert "2 models, 1 available, by the service at" in out
    finish(bed, 1)


def test_status_says_what_readyz_says(bed):
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms"])
    bed.configure(models={"a": {}})
    t = bed.start().wait_ready(partitions=4)
    url = url_of(t)
    wait_until("ready", lambda: tutti("status", "--quiet", "--url", url) == (0, "", ""), 60, 0.2)
    code, out, _ = tutti("status", "--url", url)
    assert code == 0 and out.startswith("Healthy.") and f"group {bed.group}" in out
    assert len(re.findall(rf"^{re.escape(bed.topics['jobs'])}/\d ", out, re.M)) == 4, out
    code, out, _ = tutti("status", "--json", "--url", url)
    assert code == 0 and json.loads(out)["state"] == "ready"
    bed.send([job("one")])
    finish(bed, 1)
    assert tutti("status", "--quiet", "--url", url) == (69, "", "")
    code, out, err = tutti("status", "--url", url)
    assert (code, out) == (69, "") and err.startswith(f"tutti status: no service at {url}: ")


def test_limits_by_the_service_and_by_redis(bed):
    """The same figures from both; looking takes nothing."""
    bed.create_topics()
    bed.sim(["sim/a,latency=10ms", "sim/b,latency=10ms"])
    bed.configure(models={"a": {"limits": {"requests_per_minute": 6000, "concurrency": 7}},
                          "b": {"limits": {"tokens_per_minute": 100000}}})
    t = bed.start().wait_ready(partitions=4)
    path, url = bed.where / "tutti0.yaml", url_of(t)
    code, out, err = tutti("limits", "ls", "--json", "-c", path)  # the port is a free one: nobody is asked, Redis is
    assert code == 0 and json.loads(out)["source"] == "redis" and "admin.listen has port 0" in err
    assert [p["known"] for p in json.loads(out)["limits"]] == [False, False]

    bed.send([job(f"j{i}", models=["a"]) for i in range(20)])
    wait_until("calls", lambda: len(bed.sims[0].requests()) == 20, 60)

    def pools(*flags):
        code, out, _ = tutti("limits", "ls", "--json", "-c", path, *flags)
        assert code == 0
        return json.loads(out)["source"], json.loads(out)["limits"]

    def settled():
        source, found = pools("--url", url)
        assert source == "service"
        return found[0]["known"] and found[0]["fleet_in_flight"] == 0 and found[0]["requests_available"] == 120 and found

    by_service = wait_until("the bucket is full again", settled, 60, 0.3)
    source, by_redis = pools()
    assert source == "redis"
    for mine, theirs in zip(by_service, by_redis):
        for key in ("pool", "provider", "models", "requests_per_minute", "tokens_per_minute", "concurrency", "requests_bucket",
                    "tokens_bucket", "known"):
            assert mine[key] == theirs[key], key
    assert by_redis[0]["requests_available"] == 120 and by_redis[0]["fleet_in_flight"] == 0
    code, out, _ = tutti("limits", "ls", "-c", path)
    assert code == 0 and "120 of 120" in out and "As Redis holds them" in out
    finish(bed, 20)
