# SPDX-License-Identifier: Apache-2.0
"""What must hold at the end of every live test, whatever it did: each record of the jobs topic has exactly one result or dead letter,
records agree with their schemas and with each other (calls with results, calls with the provider's log), the processes end with 0 and
without a word from a sanitizer, the provider's key is nowhere, the journal is empty."""
import base64
import collections
import json
import time
import types
import uuid

import jsonschema
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from stack import ROOT, SECRET, Tutti, wait_until

SAMPLE = 150  # records of a topic that are held against their schema; validation takes milliseconds each


def validator(name):
    schema = json.loads((ROOT / "docs/schemas" / f"{name}.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


def consumer(bed, isolation="read_committed", **config):
    return Consumer({"bootstrap.servers": bed.stack.brokers, "group.id": f"audit-{uuid.uuid4().hex}", "enable.auto.commit": False,
                     "isolation.level": isolation, "auto.offset.reset": "earliest", **config})


def assign_all(bed, c, topics):
    found = []
    for t in topics:
        name = bed.topics[t]
        parts = wait_until(f"topic {name}", lambda: c.list_topics(name, timeout=5).topics[name].partitions, 30)
        found += [TopicPartition(name, p, OFFSET_BEGINNING) for p in parts]
    c.assign(found)
    return len(found)


def read_to_end(bed, topic, isolation="read_committed"):
    """The messages that are there now."""
    c = consumer(bed, isolation, **{"enable.partition.eof": True})
    left, out = assign_all(bed, c, [topic]), []
    while left > 0:
        for m in c.consume(500, 0.05):  # returns when that many are there or the time is over
            if m.error() is None:
                out.append(m)
            else:
                assert m.error().code() == KafkaError._PARTITION_EOF, m.error()
                left -= 1
    c.close()
    return out


def await_terminal(bed, n, seconds=60):
    """Waits until n results and dead letters are there."""
    c = consumer(bed)
    assign_all(bed, c, ["results", "dead_letters"])
    seen, end = 0, time.monotonic() + seconds
    while seen < n and time.monotonic() < end:
        seen += sum(m.error() is None for m in c.consume(500, 0.1))
    c.close()
    if seen < n:
        tails = "\n".join(f"--- {p.name} ({p.p.poll()})\n{p.output()[-2500:]}" for p in bed.processes if isinstance(p, Tutti))
        raise AssertionError(f"{seen} of {n} terminal records after {seconds} s\n{tails}")


def check_ends(results, dead, n):
    """Each of the n records of the jobs topic has one result or one dead letter, and not both."""
    ends = collections.Counter((r["source_partition"], r["source_offset"]) for r in results)
    for m in dead:
        h = dict(m.headers())
        ends[int(h["__dlq.errors.partition"]), int(h["__dlq.errors.offset"])] += 1
    twice = [k for k, times in ends.items() if times > 1]
    assert not twice, f"{len(twice)} records have more than one terminal record, e.g. {twice[:5]}"
    assert len(ends) == n, f"{len(ends)} of {n} records have a terminal record"


def one_terminal_record_each(bed, n, seconds=30):
    """Both topics, read to their ends, hold one terminal record of each of the n records; returns the results."""
    await_terminal(bed, n, seconds)  # the commit that the caller saw may be ahead of these topics' own markers
    results = [json.loads(m.value()) for m in read_to_end(bed, "results")]
    check_ends(results, read_to_end(bed, "dead_letters"), n)
    return results


def job(tag, text="", **keys):
    """A job that the simulator's log knows by its tag."""
    return {"job_id": tag, "prompt": f"JOB:{tag} {text}", **keys}


def check_schemas(got):
    for name, values in (("result", got.results), ("call", got.calls), ("model-stats", got.stats), ("batch", got.batches)):
        v = validator(name)
        for value in values[:SAMPLE]:
            v.validate(value)
    v = validator("dead-letter")
    for m in got.dead[:SAMPLE]:
        text = [base64.b64encode(x).decode() if x is not None else None for x in (m.key(), m.value())]
        v.validate({"key": text[0], "value": text[1], "headers": {k: (x or b"").decode("utf-8", "replace") for k, x in m.headers()}})


def check_sums(got):
    """Each result agrees with its call records."""
    calls = collections.defaultdict(list)
    for c in got.calls:
        calls[c["job_id"], c["run"]].append(c)
    for r in got.results:
        mine = calls.pop((r["job_id"], r["run"]), [])
        assert r["calls_total"] == len(mine), (r, mine)
        assert r["calls_ok"] == sum(c["status"] == "ok" for c in mine), (r, mine)
        assert r["calls_recalled"] == sum(c["recalled"] for c in mine), (r, mine)
        for key in ("input_tokens", "output_tokens"):
            assert (r[key] or 0) == sum(c[key] or 0 for c in mine), (key, r, mine)
        costs = [c["cost_usd"] for c in mine if c["cost_usd"] is not None]
        assert abs((r["cost_usd"] or 0) - sum(costs)) < 1e-9, (r, mine)
        assert (r["answer"] is None) or r["status"] != "failed", r
    assert not calls, f"call records without a result: {list(calls)[:3]}"


def nano(usd):
    return round((usd or 0) * 1e9)


def bucket(ms):
    edges = [10 * 2**i for i in range(14)]
    return next((i for i, edge in enumerate(edges) if ms <= edge), len(edges))


def fold_calls(calls):
    """What an analyst computes who has only the call records: sums per window, provider and model."""
    out = collections.defaultdict(collections.Counter)
    for c in calls:
        row = out[c["ts_ms"] // 10000 * 10000, c["provider"], c["request_model"], c["vendor_model"]]
        row.update({"calls_total": 1, "calls_ok": c["status"] == "ok", "calls_failed": c["status"] == "error",
                    "cancelled": c["status"] == "cancelled", "rate_limited": c["error_code"] == "rate_limited",
                    "retries": c["attempt"] > 1, "cache_hits": c["cache_hit"], "recalled": c["recalled"], "cost": nano(c["cost_usd"]),
                    "calls_unpriced": c["cost_usd"] is None and (c["status"] == "ok" or c["input_tokens"] is not None),
                    "throttle_ms": c["throttle_ms"] or 0, "duration_ms_sum": c["duration_ms"] or 0})
        row.update({k: c[k] or 0 for k in ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")})
        row.update({f"{k}{bucket(c[f'{k}_ms'])}": 1 for k in ("duration", "ttft") if c[f"{k}_ms"] is not None})
    return {k: +row for k, row in out.items()}  # without zeros


def fold_stats(stats):
    out = collections.defaultdict(collections.Counter)
    for s in stats:
        row = out[s["window_start_at_ms"], s["provider"], s["request_model"], s["vendor_model"]]
        row.update({k: s[k] or 0 for k in ("calls_total", "calls_ok", "calls_failed", "cancelled", "rate_limited", "retries", "cache_hits",
                                           "recalled", "calls_unpriced", "throttle_ms", "duration_ms_sum", "input_tokens",
                                           "output_tokens", "cached_input_tokens", "reasoning_tokens")})
        row["cost"] += nano(s["cost_usd"])
        for kind in ("duration", "ttft"):
            row.update({f"{kind}{i}": n for i, n in enumerate(s[f"{kind}_bucket_counts"])})
    return {k: +row for k, row in out.items()}


def fold_batches(results):
    out = collections.defaultdict(collections.Counter)
    for r in results:
        if r["batch_id"] is not None:
            row = out[r["batch_id"], r["source_partition"]]
            row.update({"jobs_total": 1, f"jobs_{r['status']}": 1, "cost": nano(r["cost_usd"])})
            row.update({k: r[k] or 0 for k in ("calls_total", "calls_ok", "calls_failed", "input_tokens", "output_tokens")})
    return {k: +row for k, row in out.items()}


def fold_progress(messages):
    """The last record per key, as compaction leaves it, added up over the keys of a batch."""
    last, out = {m.key(): json.loads(m.value()) for m in messages}, collections.defaultdict(collections.Counter)
    for key, b in last.items():
        assert key.decode() == f"{b['batch_id']}/{b['source_partition']}/{b['assignment']}"
        row = out[b["batch_id"], b["source_partition"]]
        row.update({k: b[k] or 0 for k in ("jobs_total", "jobs_ok", "jobs_partial", "jobs_failed", "calls_total", "calls_ok",
                                           "calls_failed", "input_tokens", "output_tokens")})
        row["cost"] += nano(b["cost_usd"])
    return {k: +row for k, row in out.items()}


def check_statistics(got):
    """The published sums are those of the records they are about."""
    assert fold_stats(got.stats) == fold_calls(got.calls)
    assert fold_progress(got.raw["batches"]) == fold_batches(got.results)
    assert all(m.key().decode() == f"{s['provider'] or ''}/{s['request_model']}" for m, s in zip(got.raw["model_stats"], got.stats))


def check_processes(bed):
    for p in bed.processes:
        if isinstance(p, Tutti):
            text = p.output()
            for word in ("Sanitizer", "runtime error:", SECRET):
                assert word not in text, f"{p.name}: {word}\n{text[-6000:]}"


def journal_keys(bed, redis=None):
    client = redis() if callable(redis) else (redis or bed.stack.redis).client()
    return list(client.scan_iter(match=f"tutti:j:{{{bed.group}/*", count=1000))


def finish(bed, n, seconds=60, partitions=4, same_requests=True, redis=None):
    """Waits for the n records' ends, stops what runs, audits everything and returns results (by job id: .by_id), calls, dead letters
    and the providers' requests. redis: where the journal is (or what makes its client), if not in the stack's."""
    running = [p for p in bed.processes if isinstance(p, Tutti) and p.alive()]
    await_terminal(bed, n, seconds)
    bed.committed_everything(partitions)
    for p in running:
        assert p.stop() == 0, p.output()[-6000:]
    check_processes(bed)
    raw = {t: read_to_end(bed, t) for t in ("results", "calls", "dead_letters", "model_stats", "batches")}
    for messages in raw.values():
        assert not any(SECRET.encode() in (m.value() or b"") or SECRET in repr(m.headers()) for m in messages)
    got = types.SimpleNamespace(results=[json.loads(m.value()) for m in raw["results"]],
                                calls=[json.loads(m.value()) for m in raw["calls"]], dead=raw["dead_letters"], raw=raw,
                                stats=[json.loads(m.value()) for m in raw["model_stats"]],
                                batches=[json.loads(m.value()) for m in raw["batches"]],
                                requests=[x for s in bed.sims for x in s.requests()])
    got.by_id = {r["job_id"]: r for r in got.results}
    check_ends(got.results, got.dead, n)
    ids = collections.Counter(x["event_id"] for x in got.results + got.calls + got.stats + got.batches)
    assert not [i for i, k in ids.items() if k > 1]
    assert all(m.key() == json.loads(m.value())["job_id"].encode() for m in raw["results"] + raw["calls"])
    check_schemas(got)
    check_sums(got)
    check_statistics(got)
    assert not any(x["over_limit"] for x in got.requests)
    if same_requests:
        sent = sum(not c["recalled"] for c in got.calls)
        assert sent == len(got.requests), f"{sent} call records, {len(got.requests)} requests at the provider"
    assert journal_keys(bed, redis) == []
    return got


def paid_twice(requests):
    paid = collections.Counter((x["job"], x["model"]) for x in requests if x["paid"])
    return [k for k, n in paid.items() if n > 1]
