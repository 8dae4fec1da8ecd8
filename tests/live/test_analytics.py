# SPDX-License-Identifier: Apache-2.0
"""The analyst's view: the tables that `tutti schema` prints are executed, in ClickHouse (chdb, with its Kafka engine, against the
real broker) and in DuckDB (over the output of `tutti tail`), and their totals are those of the records."""
import decimal
import json
import subprocess
import sys
import textwrap
from collections import defaultdict

import duckdb
import pytest

from audit import job
from stack import binary

pytestmark = pytest.mark.timeout(240)

JOBS = 200
KINDS = {"results": "results", "calls": "calls", "model-stats": "model_stats"}


def usd(v):
    return decimal.Decimal(str(v if v is not None else 0))


@pytest.fixture(name="done")
def _done(bed):
    """A service that has answered JOBS jobs, some of them badly; gives the records."""
    bed.create_topics()
    bed.sim(["sim/good,latency=5ms", "sim/odd,latency=5ms,errors=20%", "sim/free,latency=5ms"])
    bed.configure(models={"good": {}, "odd": {}, "free": {"price": {}}})
    service = bed.start().wait_ready()
    bed.send([job(f"j{i}", labels={"team": f"t{i % 3}", "it's": 'a "quote"'}, metadata={"row": i}) for i in range(JOBS)])
    bed.results(JOBS, extra=0)
    bed.committed_everything()
    assert service.stop() == 0
    return {kind: bed.read_to_end(topic) for kind, topic in KINDS.items()}


def ddl(bed, kind, form, *flags):
    r = subprocess.run([binary(), "schema", kind, "--as", form, *flags], capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stderr
    return r.stdout


def facts(records):
    """What both engines are asked for, from the records themselves."""
    calls = records["calls"]
    cost = defaultdict(decimal.Decimal)
    for c in calls:
        cost[c["request_model"]] += usd(c["cost_usd"])
    stats = defaultdict(lambda: [0, 0, decimal.Decimal(0)])
    for s in records["model-stats"]:
        row = stats[s["request_model"]]
        row[0] += s["calls_total"]
        row[1] += s["input_tokens"] or 0
        row[2] += usd(s["cost_usd"])
    return {
        "calls": len(calls),
        "ok": sum(c["status"] == "ok" for c in calls),
        "unpriced": sum(c["cost_usd"] is None for c in calls),
        "cost": dict(cost),
        "results": len(records["results"]),
        "answers": sum(len(r["answers"]) for r in records["results"]),
        "t0": sum(r["labels"]["team"] == "t0" for r in records["results"]),
        "rows": sum(r["job_metadata"]["row"] for r in records["results"]),
        "stats": {m: tuple(v) for m, v in stats.items()},
        "slow": sum(sum(s["duration_bucket_counts"]) for s in records["model-stats"]),
    }


# chdb in a process of its own: it holds threads and memory until it ends
CLICKHOUSE = textwrap.dedent("""
    import json, sys, time
    from chdb import session
    ddl, expected, path = json.load(sys.stdin)
    s = session.Session(path)
    s.query("CREATE DATABASE llm")
    for text in ddl:
        for statement in text.split(";\\n"):
            if statement.strip():
                s.query(statement)
    def rows(q):
        return [json.loads(x) for x in str(s.query(q, "JSONCompactEachRow")).splitlines()]
    end = time.monotonic() + 120
    while True:  # the engine's own consumers have no event to wait for
        n = [rows(f"SELECT count() FROM llm.{t} FINAL")[0][0] for t in expected]
        if [int(x) for x in n] == list(expected.values()) or time.monotonic() > end:
            break
        time.sleep(0.5)
    print(json.dumps({
        "counts": [int(x) for x in n],
        "errors": rows("SELECT error, raw FROM llm.calls_errors UNION ALL SELECT error, raw FROM llm.results_errors "
                       "UNION ALL SELECT error, raw FROM llm.model_stats_errors"),
        "ok": rows("SELECT countIf(status = 'ok'), countIf(cost_usd IS NULL) FROM llm.calls FINAL")[0],
        "cost": rows("SELECT request_model, toString(sum(cost_usd)) FROM llm.calls FINAL GROUP BY 1"),
        "answers": rows("SELECT count() FROM llm.results FINAL ARRAY JOIN answers")[0][0],
        "t0": rows("SELECT countIf(labels['team'] = 't0'), sum(JSONExtractInt(job_metadata, 'row')) FROM llm.results FINAL")[0],
        "stats": rows("SELECT request_model, sum(calls_total), sum(input_tokens), toString(sum(cost_usd)) "
                      "FROM llm.model_stats FINAL GROUP BY 1"),
        "slow": rows("SELECT arraySum(sumForEach(duration_bucket_counts)) FROM llm.model_stats FINAL")[0][0],
        "ts": rows("SELECT max(abs(toUnixTimestamp64Milli(ts) - ts_ms)) FROM llm.calls")[0][0],
    }))
""")


def test_clickhouse_reads_the_topics(bed, done, tmp_path):
    expected = {table: len(done[kind]) for kind, table in KINDS.items()}
    texts = [ddl(bed, kind, "clickhouse", "--brokers", bed.stack.brokers, "--topic", bed.topics[topic])
             for kind, topic in KINDS.items()]
    # the reader's group is named after the table: one of this test's own
    texts = [t.replace("'clickhouse-", f"'{bed.group}-clickhouse-") for t in texts]
    r = subprocess.run([sys.executable, "-c", CLICKHOUSE], input=json.dumps([texts, expected, str(tmp_path / "chdb")]),
                       capture_output=True, text=True, check=False, timeout=200)
    assert r.returncode == 0, r.stderr[-3000:]
    got, want = json.loads(r.stdout.splitlines()[-1]), facts(done)
    assert got["errors"] == []
    assert got["counts"] == list(expected.values())
    assert [int(x) for x in got["ok"]] == [want["ok"], want["unpriced"]]
    assert {m: usd(v) for m, v in got["cost"] if usd(v)} == {m: v for m, v in want["cost"].items() if v}
    assert int(got["answers"]) == want["answers"]
    assert [int(x) for x in got["t0"]] == [want["t0"], want["rows"]]
    assert {m: (int(n), int(i or 0), usd(c)) for m, n, i, c in got["stats"]} == want["stats"]
    assert int(got["slow"]) == want["slow"]
    assert int(got["ts"]) == 0


def test_duckdb_reads_the_output_of_tail(bed, done, tmp_path):
    """The README's way: tutti tail KIND --json --since 1h --once, and a view with typed columns over it."""
    db, want = duckdb.connect(), facts(done)
    for kind, table in KINDS.items():
        path = tmp_path / f"{table}.jsonl"
        with open(path, "wb") as out:
            r = subprocess.run([binary(), "tail", kind, "--json", "--since", "1h", "--once", "-c", bed.write_config()], stdout=out,
                               stderr=subprocess.PIPE, check=False, timeout=60)
        assert r.returncode == 0, r.stderr
        assert len(path.read_text().splitlines()) == len(done[kind])
        db.execute(ddl(bed, kind, "duckdb", "--file", str(path)))
    types = dict(row[:2] for row in db.execute("DESCRIBE calls").fetchall())
    assert types["cost_usd"] == "DECIMAL(18,9)" and types["ts"] == "TIMESTAMP WITH TIME ZONE" and types["is_final"] == "BOOLEAN"

    def one(q):
        return db.execute(q).fetchone()
    assert one("SELECT count(*), count(*) FILTER (status = 'ok'), count(*) FILTER (cost_usd IS NULL) FROM calls") == (
        want["calls"], want["ok"], want["unpriced"])
    cost = dict(db.execute("SELECT request_model, sum(cost_usd) FROM calls GROUP BY 1").fetchall())
    assert {m: v for m, v in cost.items() if v} == {m: v for m, v in want["cost"].items() if v}
    assert one("SELECT count(*) FROM (SELECT unnest(answers) FROM results)")[0] == want["answers"]
    assert one("SELECT count(*) FILTER (labels['team'] = 't0'), sum((job_metadata->>'row')::int) FROM results") == (
        want["t0"], want["rows"])
    stats = db.execute("SELECT request_model, sum(calls_total), sum(input_tokens), coalesce(sum(cost_usd), 0) FROM model_stats "
                       "GROUP BY 1").fetchall()
    assert {m: (n, i or 0, c) for m, n, i, c in stats} == want["stats"]
    assert want["calls"] == sum(n for n, _, _ in want["stats"].values()), "the statistics count every call record"
