# SPDX-License-Identifier: Apache-2.0
"""Jobs in all shapes through the running program and a provider of each dialect, which refuses fields it does not know: batch lines
unchanged, messages, images, tools, samples, votes, attachments, jobs.unknown_keys. Every test ends in audit.finish()."""
import hashlib
import json

import pytest

from audit import finish, job

pytestmark = pytest.mark.timeout(180)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ALL = ["a", "b", "c"]


@pytest.fixture
def three(bed):
    """Models a, b and c behind OpenAI's, Anthropic's and Gemini's dialect."""
    bed.create_topics()
    sim = bed.sim([f"sim/{m},latency=20ms" for m in ALL])
    key = "${env:SIM_KEY:-sk-sim}"
    bed.providers = {"sim": {"api": "openai", "base_url": sim.url, "api_key": key},
                     "anth": {"api": "anthropic", "base_url": sim.url.removesuffix("/v1"), "api_key": key},
                     "gem": {"api": "gemini", "base_url": sim.url.removesuffix("/v1"), "api_key": key}}
    bed.models = {"a": {}, "b": {"provider": "anth"}, "c": {"provider": "gem"}}
    bed.configure(models=bed.models, providers=bed.providers)
    return bed


def tool(name):
    return {"type": "function", "function": {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}}}


def lines():
    """Batch lines in the shape of each vendor's documentation, sent to models of all three."""
    beside = {"models": ALL, "merge": "none"}
    chat = {"model": "sim/a", "max_completion_tokens": 50, "temperature": 0.5, "n": 1, "stream": True, "response_format": {"type": "text"},
            "messages": [{"role": "developer", "content": "Be brief"},
                         {"role": "user", "content": [{"type": "text", "text": "JOB:chat what is it?"},
                                                      {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}]}]}
    responses = {"model": "sim/a", "instructions": "Be brief", "max_output_tokens": 50, "store": False, "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "JOB:responses add"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{\"a\":1}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4"}],
        "tools": [{"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}]}
    anthropic = {"model": "sim/b", "max_tokens": 50, "system": [{"type": "text", "text": "Be brief", "cache_control": {"type": "ephemeral"}}],
                 "stop_sequences": ["END"], "metadata": {"user_id": "u"},
                 "messages": [{"role": "user", "content": "JOB:anthropic add"},
                              {"role": "assistant", "content": [{"type": "text", "text": "Well"},
                                                                {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}]},
                              {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "4"}]}],
                 "tools": [{"name": "add", "input_schema": {"type": "object", "properties": {}}}]}
    gemini = {"contents": [{"role": "user", "parts": [{"text": "JOB:gemini add"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}]},
                           {"role": "model", "parts": [{"functionCall": {"name": "add", "args": {"a": 1}}}]},
                           {"role": "user", "parts": [{"functionResponse": {"name": "add", "response": {"sum": 4}}}]}],
              "systemInstruction": {"parts": [{"text": "Be brief"}]},
              "generationConfig": {"maxOutputTokens": 50, "temperature": 0.5, "candidateCount": 1},
              "tools": [{"functionDeclarations": [{"name": "add", "parametersJsonSchema": {"type": "object", "properties": {}}}]}]}
    return {"chat": {"custom_id": "chat", "method": "POST", "url": "/v1/chat/completions", "body": chat, **beside},
            "responses": {"custom_id": "responses", "method": "POST", "url": "/v1/responses", "body": responses, **beside},
            "anthropic": {"custom_id": "anthropic", "params": anthropic, **beside},
            "gemini": {"key": "gemini", "request": gemini, **beside}}


def test_batch_lines_of_each_vendor_are_answered_by_all(three):
    """And without our keys beside them they are answered by the model they name, or the default ones."""
    named = {name: {k: v for k, v in line.items() if k not in ("models", "merge")} for name, line in lines().items()}
    three.start().wait_ready()
    three.send(list(lines().values()) + [{**line, "batch_id": "as-it-was"} for line in named.values()])
    got = finish(three, 8)
    assert {r["status"] for r in got.results} == {"ok"}, [(r["custom_id"], r["answers"]) for r in got.results if r["status"] != "ok"]
    for name in lines():
        r = next(x for x in got.results if x["custom_id"] == name and x["batch_id"] is None)
        assert [a["request_model"] for a in r["answers"]] == ALL
        assert all(a["answer"] for a in r["answers"]), r["answers"]
        own = got.by_id[f"as-it-was/{name}"]
        assert [a["request_model"] for a in own["answers"]] == {"gemini": ALL, "anthropic": ["b"]}.get(name, ["a"])
    dropped = {x["custom_id"]: {a["request_model"]: set(a["dropped_params"]) for a in x["answers"]}
               for x in got.results if x["batch_id"] is None}
    assert dropped["chat"]["a"] == set() and dropped["chat"]["b"] == {"response_format"}
    assert dropped["anthropic"]["b"] == {"cache_control"} and "metadata" in dropped["anthropic"]["c"]
    assert all("param_dropped" in x["degraded_reasons"] for x in got.results if x["custom_id"] in ("chat", "anthropic") and not x["batch_id"])


def test_messages_tools_and_detail(three):
    three.start().wait_ready()
    talk = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "JOB:talk one"},
            {"role": "assistant", "content": "two"}, {"role": "user", "content": "JOB:talk three"}]
    three.send([{"job_id": "talk", "messages": talk, "models": ALL, "tenant": "acme"},
                {"job_id": "call", "prompt": "JOB:call", "models": ALL, "merge": "none", "tools": [tool("add")], "tool_choice": "required"},
                job("final", models=ALL, detail="final", output_format="json"),
                job("prompt", models=["a"], system="Be brief", detail="full_with_prompt"),
                job("attached", models=["a"], attachments=[{"name": "n", "text": "x" * 8001}])])
    got = finish(three, 5)
    assert {r["job_id"]: r["status"] for r in got.results} == {"talk": "ok", "call": "ok", "final": "ok", "prompt": "ok", "attached": "partial"}
    assert got.by_id["talk"]["tenant"] == "acme" and {c["tenant"] for c in got.calls if c["job_id"] == "talk"} == {"acme"}
    for a in got.by_id["call"]["answers"]:
        assert [t["function"]["name"] for t in a["tool_calls"]] == ["add"] and a["finish_reason"] == "tool_calls", a
    final = got.by_id["final"]
    assert [a["answer"] for a in final["answers"]] == [None] * 3 and json.loads(final["answer"])["answer"].startswith("## a")
    assert got.by_id["prompt"]["prompt"].startswith("## system\n\nBe brief\n\n## user\n\nJOB:prompt")
    assert got.by_id["attached"]["degraded_reasons"] == ["input_truncated"]


def test_samples_vote(three):
    """Seven samples in three dialects; each is a call of its own for the provider, the records and the price."""
    three.start().wait_ready()
    text = "[[sim: model=sim/b answer=I say 41]] [[sim: model=sim/c answer=it is 42.0]] [[sim: model=sim/a answer=**42**]]"
    vote = {"strategy": "vote", "extract": "number"}
    three.send([job("v", text, merge=vote, models=[{"model": "a", "samples": 2}, {"model": "b", "samples": 4}, {"model": "c", "weight": 2.5}]),
                job("none", "[[sim: answer=no idea]]", merge=vote, models=ALL)])
    got = finish(three, 2)
    v = got.by_id["v"]
    assert (v["status"], v["winner"], v["answer"], v["models_asked"], v["calls_total"]) == ("ok", "c", "it is 42.0", 3, 7)
    assert abs(v["agreement"] - 4.5 / 8.5) < 1e-6
    assert [(a["member"], a["sample"], a["vote"], a["votes"]) for a in v["answers"]] == [
        (0, 0, "42", 4.5), (0, 1, "42", 4.5), (1, 0, "41", 4), (1, 1, "41", 4), (1, 2, "41", 4), (1, 3, "41", 4), (2, 0, "42", 4.5)]
    assert sorted((c["member"], c["sample"]) for c in got.calls if c["job_id"] == "v") == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0)]
    none = got.by_id["none"]
    assert (none["status"], none["error_code"], none["answer"]) == ("failed", "merge_failed", None)
    assert [a["answer"] for a in none["answers"]] == ["no idea"] * 3


def test_vars_are_filled_in_before_anything_is_asked(three):
    three.start().wait_ready()
    value = 'a "q" \u00e9\n{{what}}'
    three.send([job("filled", "\t[[sim: answer={{ what }}]] {{text}} {{", models=ALL, merge="none", detail="full_with_prompt",
                    vars={"what": "forty-two", "text": value}),
                job("plain", "{{what}}", models=["a"], detail="full_with_prompt"),
                job("unbound", "{{waht}}", models=ALL, vars={"what": "x"})])
    got = finish(three, 3)
    filled, prompt = got.by_id["filled"], f"JOB:filled \t[[sim: answer=forty-two]] {value} {{{{"
    assert [a["answer"] for a in filled["answers"]] == ["forty-two"] * 3
    assert filled["prompt"] == prompt and filled["prompt_sha256"] == hashlib.sha256(prompt.encode()).hexdigest()
    assert got.by_id["plain"]["prompt"] == "JOB:plain {{what}}"
    headers = {k: v.decode() for k, v in got.dead[0].headers()}
    assert (headers["dlq.error.code"], headers["dlq.error.pointer"]) == ("invalid_job", "/prompt") and len(got.dead) == 1
    assert "vars has no 'waht' (did you mean 'what'?)" in headers["__dlq.errors.message"]


def test_unknown_keys_can_be_left_out(three):
    three.configure(models=three.models, providers=three.providers, jobs={"unknown_keys": "warn"})
    t = three.start().wait_ready()
    three.send([job("j", models=["a"], promt="x", params={"temprature": 1})])
    got = finish(three, 1)
    r = got.by_id["j"]
    assert r["status"] == "ok" and r["answers"][0]["dropped_params"] == ["promt", "temprature"] and r["degraded_reasons"] == ["param_dropped"]
    assert "job_unknown_key" in t.output() and "temprature" not in t.output()
