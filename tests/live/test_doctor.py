# SPDX-License-Identifier: Apache-2.0
"""`tutti doctor` beside servers that are right, wrong and away: it names each with what to do, and asks no model."""
import json
import subprocess

import pytest

from stack import Redis, binary, free_port

pytestmark = pytest.mark.timeout(120)


def doctor(bed, *flags):
    r = subprocess.run([binary(), "doctor", "-c", bed.write_config(), *flags], capture_output=True, text=True, timeout=90, check=False)
    return r.returncode, r.stdout, r.stderr


def test_all_is_well(bed):
    bed.create_topics()
    sim = bed.sim(["sim/a"])
    bed.configure(models={"a": {}}, journal={"ttl": "30d"})
    code, out, err = doctor(bed)
    assert code == 0, out + err
    assert f"topic {bed.topics['jobs']}: 4 partitions" in out and "maxmemory-policy noeviction" in out
    assert f"topic {bed.topics['control']} does not exist yet" in out
    assert "failed" not in out.replace("0 failed", "") and " warnings, 0 failed" in out
    assert sim.requests() == [], "a health check is never a call"


def test_each_trouble_has_its_fix(bed, tmp_path):
    bed.create_topics(**{"max.message.bytes": 100000})
    evicting = Redis(tmp_path, "--maxmemory-policy", "allkeys-lru", name="evicting")
    bed.processes.append(evicting)
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}}, redis={"url": evicting.url}, journal={"url": "redis://127.0.0.1:1/0"})
    bed.config["providers"]["sim"]["base_url"] = f"http://127.0.0.1:{free_port()}/v1"
    code, out, _ = doctor(bed, "--json")
    assert code == 69
    found = {(f["subject"], f["result"]): f for f in json.loads(out)["findings"]}
    assert "noeviction" in found["redis", "failed"]["fix"]
    assert "no connection" in found["journal", "failed"]["what"]
    assert "base_url" in found["provider sim", "failed"]["fix"]
    texts = [f["what"] for f in json.loads(out)["findings"] if f["result"] == "warning"]
    assert any("100000 bytes" in t for t in texts) and not any("failed" in t for t in texts)


def test_kafka_is_away(bed):
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}}, kafka={"brokers": f"127.0.0.1:{free_port()}"})
    code, out, _ = doctor(bed)
    assert code == 69 and "kafka.brokers" in out and "refused" in out
