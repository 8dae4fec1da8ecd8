# SPDX-License-Identifier: Apache-2.0
"""The published schemas: valid JSON Schema, closed, and true of what the C encoders write. The records come from the
unit tests themselves: TUTTI_RECORD_TESTS names their programs (ctest does), joined by ':'."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import uuid

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "docs" / "schemas"
KINDS = ["result", "call", "dead-letter", "model-stats", "batch"]
FIELDS = 11


def load(name):
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def validator(kind):
    return jsonschema.Draft202012Validator(load(f"{kind}.schema.json"))


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    """{kind: [(file name, record)]} of all that the unit tests encode."""
    programs = os.environ.get("TUTTI_RECORD_TESTS")
    if not programs:
        pytest.skip("TUTTI_RECORD_TESTS is not set")
    directory = tmp_path_factory.mktemp("records")
    for program in programs.split(":"):
        subprocess.run([program], check=True, env=dict(os.environ, TUTTI_DUMP_RECORDS=str(directory)),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=50)
    found = {kind: [] for kind in KINDS}
    for path in sorted(directory.iterdir()):
        found[path.name.split(".")[-3]].append((path.name, json.loads(path.read_bytes().decode("utf-8"))))
    return found


def objects(schema):
    """Every subschema of type object."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_closed(kind):
    schema = load(f"{kind}.schema.json")
    jsonschema.Draft202012Validator.check_schema(schema)
    for o in objects(schema):
        assert "additionalProperties" in o
        if o["additionalProperties"] is False:
            assert sorted(o["required"]) == sorted(o["properties"])


@pytest.mark.parametrize("kind", KINDS)
def test_records_are_valid(records, kind):
    assert len(records[kind]) >= 5
    for name, record in records[kind]:
        errors = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in validator(kind).iter_errors(record)]
        assert not errors, name


@pytest.mark.parametrize("kind", ["result", "call", "model-stats", "batch"])
def test_integers_and_money(records, kind):
    def walk(value):
        if isinstance(value, dict):
            for v in value.values():
                walk(v)
        elif isinstance(value, list):
            for v in value:
                walk(v)
        elif isinstance(value, int):
            assert abs(value) < 2**53

    for _, record in records[kind]:
        walk(record)
        if record["cost_usd"] is not None:
            assert round(record["cost_usd"], 9) == record["cost_usd"]


# One change to a good record each; the schema must object.
BAD = {
    "result": [("status", "done"), ("schema_version", 2), ("event_id", "x"), ("ts_ms", -1), ("ts", "2026-11-22"),
               ("cost_usd", "0.1"), ("queue_ms", 1.5), ("labels", {"a": 1}), ("answers", None), ("job_id", None),
               ("degraded_reasons", ["odd"]), ("error_code", "odd"), ("input_tokens", 2**53), ("trace_id", "ABC"),
               ("another", 1)],
    "call": [("status", "partial"), ("operation", "ask"), ("throttle_reason", "tired"), ("breaker_state", None),
             ("finish_reason", "eos"), ("http_status", 0), ("attempt", 0), ("hedge", None), ("error_code", "unknown"),
             ("another", 1)],
    "dead-letter": [("key", 5), ("headers", {}), ("another", 1)],
    "model-stats": [("calls_total", None), ("cost_usd", "0"), ("breaker_state", "ajar"), ("inflight_max", -1),
                    ("duration_bucket_counts", [0] * 14), ("ttft_bucket_counts", None), ("request_model", None),
                    ("input_tokens", 2**53), ("window_start_at_ms", None), ("event_id", "x"), ("another", 1)],
    "batch": [("batch_id", None), ("assignment", "x"), ("jobs_total", 1.5), ("cost_complete", None), ("ts", "2026"),
              ("source_partition", -1), ("last_ended_at_ms", None), ("another", 1)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_schema_objects(records, kind):
    for key, value in BAD[kind]:
        record = dict(records[kind][0][1])
        record[key] = value
        assert not validator(kind).is_valid(record), key
    for key in list(records[kind][0][1]):
        record = dict(records[kind][0][1])
        del record[key]
        assert not validator(kind).is_valid(record), key


def event_id(fields):
    """CONTRACTS 1, written down a second time."""
    digest = bytearray(hashlib.sha256(b"\x1f".join(f.encode("utf-8") for f in fields)).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


def test_event_id_vectors():
    published = load("event_id.json")
    assert len(published["fields"]) == FIELDS
    for vector in published["vectors"]:
        assert len(vector["fields"]) == FIELDS
    vectors = published["vectors"]
    for kind in ("model_stats", "batches"):
        assert all(len(v["fields"]) == len(published[kind]["fields"]) for v in published[kind]["vectors"])
        vectors += published[kind]["vectors"]
    for vector in vectors:
        assert event_id(vector["fields"]) == vector["event_id"]
        assert uuid.UUID(vector["event_id"]).version == 8
        assert uuid.UUID(vector["event_id"]).variant == uuid.RFC_4122


def test_event_ids_of_records(records):
    for _, r in records["result"]:
        place = [r["source_topic"], str(r["source_partition"]), str(r["source_offset"])]
        assert r["event_id"] == event_id(["tutti", *place, "result"] + [""] * 6)
    for _, c in records["call"]:
        which = [c["stage"], str(c["member"]), str(c["sample"]), "0", "0", str(c["attempt"])]
        assert c["event_id"] == event_id(["tutti", "tutti.jobs", "3", "42", "call", *which])


def jobs(name):
    return json.loads((ROOT / "tests" / "data" / name).read_text(encoding="utf-8"))


def test_valid_jobs():
    """The decoder takes the same file: tests/unit/core/test_decode_shapes.c."""
    jsonschema.Draft202012Validator.check_schema(load("job.schema.json"))
    rows = jobs("valid_jobs.json")
    assert len(rows) >= 50
    for r in rows:
        assert [e.message for e in validator("job").iter_errors(r["job"])] == [], r["name"]


# What a schema cannot say, and the insides of batch lines, which are their vendors'.
BEYOND_SCHEMA = re.compile(
    r".*\btwice\b.*|run a fraction|seed a real|vars: .*|quorum above .*|samples of all models above 64|"
    r"attachments without a user's message|vote: regex (not closed|nested too deeply)|(openai|responses|anthropic|gemini) line: .*")


def test_invalid_jobs_are_refused_by_the_schema():
    refused = 0
    for r in jobs("invalid_jobs.json"):
        if r["code"] in ("invalid_job", "unsupported_version") and "value" in r and not BEYOND_SCHEMA.fullmatch(r["name"]):
            assert not validator("job").is_valid(json.loads(r["value"])), r["name"]
            refused += 1
    assert refused >= 100


def test_invalid_jobs_corpus():
    rows = json.loads((ROOT / "tests" / "data" / "invalid_jobs.json").read_text(encoding="utf-8"))
    assert len(rows) >= 30 and len({r["name"] for r in rows}) == len(rows)
    codes = load("dead-letter.schema.json")["properties"]["headers"]["properties"]["dlq.error.code"]["enum"]
    for r in rows:
        assert set(r) in ({"name", "value", "code", "pointer"}, {"name", "value_base64", "code", "pointer"})
        assert r["code"] in codes


@pytest.mark.parametrize("value, is_valid", [
    ({"command": "cancel_job", "job_id": "x"}, True),
    ({"command": "cancel_job", "job_id": "x", "run": 0}, True),
    ({"command": "cancel_job", "job_id": "x", "run": None, "batch_id": None}, True),
    ({"command": "cancel_batch", "batch_id": "b"}, True),
    ({}, False), ({"command": "cancel_job"}, False), ({"command": "cancel_job", "job_id": ""}, False),
    ({"command": "cancel_job", "job_id": "x" * 201}, False), ({"command": "cancel_job", "job_id": "x", "run": -1}, False),
    ({"command": "cancel_job", "job_id": "x", "batch_id": "b"}, False), ({"command": "cancel_batch", "job_id": "x"}, False),
    ({"command": "cancel_batch", "batch_id": "b", "run": 1}, False), ({"command": "pause", "job_id": "x"}, False),
    ({"command": "cancel_job", "job_id": "x", "another": 1}, False),
])
def test_commands(value, is_valid):
    """As tests/unit/core/test_cancel.c has it of the reader."""
    jsonschema.Draft202012Validator.check_schema(load("control.schema.json"))
    assert validator("control").is_valid(value) == is_valid
