# SPDX-License-Identifier: Apache-2.0
"""The vendors' own Python packages, unmodified, against `tutti sim`: what they take for an answer, an error, a limit. Needs neither Kafka
nor Redis. A test asks through one small class per package, so that each row runs in all three dialects."""
import asyncio
import base64
import json
import types
import uuid

import anthropic
import httpx2
import openai
import pydantic
import pytest
from google import genai
from google.genai import errors as gemini_errors
from google.genai import types as gt

from stack import Sim, wait_until

pytestmark = pytest.mark.timeout(60)

KEY = "sk-sdk-0123456789"
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}, "required": ["city", "days"]}
MODELS = ["sim/a,latency=1ms", "sim/wait,latency=1ms,fail=1,fail_status=429,retry_after=800ms",
          "sim/flaky,latency=1ms,fail=1,fail_status=500", "sim/rpm,latency=1ms,rpm=1,window=900ms",
          "sim/limits,latency=1ms,rpm=50,tpm=100k,input_tpm=60k,output_tpm=40k", "sim/never,latency=1ms,tpm=10",
          "sim/narrow,latency=1ms,context=20", "sim/tok,latency=1ms,prompt_tokens=321,completion_tokens=123"]


class Weather(pydantic.BaseModel):
    city: str
    days: int


def prompt(text=""):
    """No two tests share one: attempts are counted per prompt."""
    return f"{text} {uuid.uuid4().hex}"


class OpenAI:
    name, finish = "openai", {"stop": "stop", "length": "length", "tool": "tool_calls"}
    image_tokens, Api, Limit, Server = 765, openai.APIStatusError, openai.RateLimitError, openai.InternalServerError

    def __init__(self, url, key=KEY):
        self.url, self.key = url, key
        self.client = openai.OpenAI(base_url=url, api_key=key, max_retries=0)

    def args(self, model, text, system=None, max_tokens=None, image=None, tools=(), force=None):
        content = [{"type": "text", "text": text}]
        if image:
            content.append({"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(image).decode()}})
        messages = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": content}]
        args = {"model": model, "messages": messages}
        if max_tokens:
            args["max_completion_tokens"] = max_tokens
        if tools:
            args["tools"] = [{"type": "function", "function": {"name": t, "parameters": SCHEMA}} for t in tools]
        if force:
            args["tool_choice"] = "required" if force is True else {"type": "function", "function": {"name": force}}
        return args

    def result(self, r):
        [choice] = r.choices
        m, call = choice.message, None
        if m.tool_calls:
            call = (m.tool_calls[0].function.name, json.loads(m.tool_calls[0].function.arguments))
        return types.SimpleNamespace(text=m.content, input=r.usage.prompt_tokens, output=r.usage.completion_tokens, call=call,
                                     finish=choice.finish_reason, refused=m.refusal, raw=r)

    def ask(self, model, text, retries=0, **kw):
        return self.result(self.client.with_options(max_retries=retries).chat.completions.create(**self.args(model, text, **kw)))

    async def ask_many(self, model, texts):
        async with openai.AsyncOpenAI(base_url=self.url, api_key=self.key) as c:
            return [self.result(r) for r in await asyncio.gather(*(c.chat.completions.create(**self.args(model, t)) for t in texts))]

    def stream(self, model, text, **kw):
        out = types.SimpleNamespace(text="", pieces=0, call=None, finish=None, output=None)
        for chunk in self.client.chat.completions.create(**self.args(model, text, **kw), stream=True, stream_options={"include_usage": True}):
            if chunk.usage:
                out.output = chunk.usage.completion_tokens
            for choice in chunk.choices:
                out.text += choice.delta.content or ""
                out.pieces += bool(choice.delta.content)
                out.finish = choice.finish_reason or out.finish
                for call in choice.delta.tool_calls or []:
                    out.call = (call.function.name, json.loads(call.function.arguments))
        return out

    def parsed(self, model, text):
        return self.client.chat.completions.parse(**self.args(model, text), response_format=Weather).choices[0].message.parsed

    def models(self):
        return [m.id for m in self.client.models.list()], self.client.models.retrieve("sim/a").id

    def headers(self, model, text):
        return self.client.chat.completions.with_raw_response.create(**self.args(model, text)).headers

    @staticmethod
    def body(e):
        return {"error": e.body}


class Anthropic:
    name, finish = "anthropic", {"stop": "end_turn", "length": "max_tokens", "tool": "tool_use"}
    image_tokens, Api, Limit, Server = 1600, anthropic.APIStatusError, anthropic.RateLimitError, anthropic.InternalServerError

    def __init__(self, url, key=KEY):
        self.url, self.key = url.removesuffix("/v1"), key
        self.client = anthropic.Anthropic(base_url=self.url, api_key=key, max_retries=0)

    def args(self, model, text, system=None, max_tokens=None, image=None, tools=(), force=None):
        content = [{"type": "text", "text": text}]
        if image:
            content.append({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": base64.b64encode(image).decode()}})
        args = {"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": max_tokens or 4096}
        if system:
            args["system"] = system
        if tools:
            args["tools"] = [{"name": t, "input_schema": SCHEMA} for t in tools]
        if force:
            args["tool_choice"] = {"type": "any"} if force is True else {"type": "tool", "name": force}
        return args

    def result(self, r):
        text = "".join(b.text for b in r.content if b.type == "text")
        calls = [(b.name, b.input) for b in r.content if b.type == "tool_use"]
        return types.SimpleNamespace(text=text, input=r.usage.input_tokens, output=r.usage.output_tokens, call=calls[0] if calls else None,
                                     finish=r.stop_reason, refused=r.stop_reason == "refusal", raw=r)

    def ask(self, model, text, retries=0, **kw):
        return self.result(self.client.with_options(max_retries=retries).messages.create(**self.args(model, text, **kw)))

    async def ask_many(self, model, texts):
        async with anthropic.AsyncAnthropic(base_url=self.url, api_key=self.key) as c:
            return [self.result(r) for r in await asyncio.gather(*(c.messages.create(**self.args(model, t)) for t in texts))]

    def stream(self, model, text, **kw):
        with self.client.messages.stream(**self.args(model, text, **kw)) as s:
            pieces = sum(e.type == "content_block_delta" for e in s)
            out = self.result(s.get_final_message())
        out.pieces = pieces
        return out

    def parsed(self, model, text):
        return self.client.messages.parse(**self.args(model, text), output_format=Weather).parsed_output

    def models(self):
        return [m.id for m in self.client.models.list()], self.client.models.retrieve("sim/a").id

    def headers(self, model, text):
        return self.client.messages.with_raw_response.create(**self.args(model, text)).headers

    @staticmethod
    def body(e):
        return e.body


class Gemini:
    name, finish = "gemini", {"stop": "STOP", "length": "MAX_TOKENS", "tool": "STOP"}
    image_tokens, Api, Limit, Server = 258, gemini_errors.APIError, gemini_errors.ClientError, gemini_errors.ServerError

    def __init__(self, url, key=KEY):
        self.url, self.key = url.removesuffix("/v1"), key
        self.client = genai.Client(api_key=key, http_options=gt.HttpOptions(base_url=self.url))

    def args(self, model, text, system=None, max_tokens=None, image=None, tools=(), force=None, retries=0):
        parts = [gt.Part.from_text(text=text)]
        if image:
            parts.append(gt.Part.from_bytes(data=image, mime_type="image/png"))
        config = gt.GenerateContentConfig(system_instruction=system, max_output_tokens=max_tokens)
        if tools:
            config.tools = [gt.Tool(function_declarations=[gt.FunctionDeclaration(name=t, parameters_json_schema=SCHEMA) for t in tools])]
        if force:
            names = None if force is True else [force]
            config.tool_config = gt.ToolConfig(function_calling_config=gt.FunctionCallingConfig(mode="ANY", allowed_function_names=names))
        if retries:
            config.http_options = gt.HttpOptions(retry_options=gt.HttpRetryOptions(attempts=1 + retries, initial_delay=0.9, jitter=0.1))
        return {"model": model, "contents": [gt.Content(role="user", parts=parts)], "config": config}

    def result(self, r):
        if not r.candidates:
            return types.SimpleNamespace(text=None, refused=r.prompt_feedback.block_reason, raw=r)
        call = r.function_calls[0] if r.function_calls else None
        return types.SimpleNamespace(text=None if call else r.text, input=r.usage_metadata.prompt_token_count,
                                     output=r.usage_metadata.candidates_token_count, call=(call.name, call.args) if call else None,
                                     finish=r.candidates[0].finish_reason.value, refused=None, raw=r)

    def ask(self, model, text, retries=0, **kw):
        return self.result(self.client.models.generate_content(**self.args(model, text, retries=retries, **kw)))

    async def ask_many(self, model, texts):
        async with genai.Client(api_key=self.key, http_options=gt.HttpOptions(base_url=self.url)).aio as c:
            return [self.result(r) for r in await asyncio.gather(*(c.models.generate_content(**self.args(model, t)) for t in texts))]

    def stream(self, model, text, **kw):
        out = types.SimpleNamespace(text="", pieces=0, call=None, finish=None, output=None)
        for chunk in self.client.models.generate_content_stream(**self.args(model, text, **kw)):
            if chunk.function_calls:
                out.call = (chunk.function_calls[0].name, chunk.function_calls[0].args)
            else:
                out.text += chunk.text or ""
            out.pieces += 1
            if chunk.candidates[0].finish_reason:
                out.finish = chunk.candidates[0].finish_reason.value
            out.output = chunk.usage_metadata.candidates_token_count
        return out

    def parsed(self, model, text):
        config = gt.GenerateContentConfig(response_mime_type="application/json", response_schema=Weather)
        return self.client.models.generate_content(model=model, contents=text, config=config).parsed

    def models(self):
        names = [m.name.removeprefix("models/") for m in self.client.models.list()]
        return names, self.client.models.get(model="sim/a").name.removeprefix("models/")

    def headers(self, model, text):
        return self.ask(model, text).raw.sdk_http_response.headers

    @staticmethod
    def body(e):
        return e.details


DIALECTS = [OpenAI, Anthropic, Gemini]


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    s = Sim(tmp_path_factory.mktemp("sim"), MODELS, "--api-key", KEY)
    yield s
    assert s.alive(), s.output()
    s.stop()
    assert "ERROR" not in s.output() and "runtime error" not in s.output(), s.output()


@pytest.fixture(params=DIALECTS, ids=[d.name for d in DIALECTS])
def sdk(sim, request):
    return request.param(sim.url)


def log_of(sim, tag, n):
    """The request log about JOB:tag, once it has n lines."""
    return wait_until(f"{n} log lines of {tag}", lambda: (x := [r for r in sim.requests() if r["job"] == tag]) and len(x) >= n and x, 30)


def test_text_usage_and_finish(sim, sdk):
    tag = uuid.uuid4().hex
    text = f"What is it? JOB:{tag}"
    r = sdk.ask("sim/a", text, max_tokens=1000)
    again = sdk.ask("sim/a", text, max_tokens=1000)
    assert r.text.startswith("ANSWER sim/a: ") and 250 <= len(r.text.encode()) <= 400
    assert r.text == again.text and r.finish == sdk.finish["stop"] and r.call is None
    assert r.input == -(-len(text) // 4) + 7 and r.output == 100
    first, second = log_of(sim, tag, 2)
    assert (first["dialect"], first["model"], first["decision"], first["status"]) == (sdk.name, "sim/a", "ok", 200)
    assert first["paid"] and first["prompt_tokens"] == r.input and first["completion_tokens"] == r.output
    assert [first["attempt"], second["attempt"]] == [1, 2]
    r = sdk.ask("sim/tok", text)
    assert (r.input, r.output) == (321, 123)


def test_the_same_text_in_every_dialect(sim):
    text = prompt()
    assert len({d(sim.url).ask("sim/a", text, system="be kind").text for d in DIALECTS}) == 1


def test_system_prompt_counts_and_is_read(sdk):
    text = prompt()
    plain, told = sdk.ask("sim/a", text), sdk.ask("sim/a", text, system="[[sim: answer=as the system says]]")
    assert told.text == "as the system says" and told.input > plain.input


def test_an_image_costs_tokens(sdk):
    text = prompt()
    assert sdk.ask("sim/a", text, image=PNG).input - sdk.ask("sim/a", text).input == sdk.image_tokens


def test_max_tokens_cut_the_answer(sdk):
    r = sdk.ask("sim/a", prompt(), max_tokens=9)
    assert r.finish == sdk.finish["length"] and r.output == 9 and len(r.text.encode()) <= 36


def test_tools_are_called_when_forced_or_ordered(sdk):
    sample = {"city": "simulated", "days": 7}
    assert sdk.ask("sim/a", prompt(), tools=["f", "g"]).call is None
    r = sdk.ask("sim/a", prompt(), tools=["f", "g"], force=True)
    assert r.call == ("f", sample) and r.finish == sdk.finish["tool"]
    assert sdk.ask("sim/a", prompt(), tools=["f", "g"], force="g").call == ("g", sample)
    assert sdk.ask("sim/a", prompt("[[sim: tool=g]]"), tools=["f", "g"]).call == ("g", sample)
    r = sdk.ask("sim/a", prompt('[[sim: tool answer={"city": "Rom", "days": 2}]]'), tools=["f"])
    assert r.call == ("f", {"city": "Rom", "days": 2})


def test_structured_output_fits_the_model(sdk):
    assert sdk.parsed("sim/a", prompt()) == Weather(city="simulated", days=7)


def test_thoughts_and_cached_tokens(sdk):
    text = prompt("[[sim: reasoning=20 cached=5 answer=yes]]")
    r = sdk.ask("sim/a", text)
    assert r.text == "yes"
    if sdk.name == "openai":
        u = r.raw.usage
        assert (u.completion_tokens, u.completion_tokens_details.reasoning_tokens, u.prompt_tokens_details.cached_tokens) == (21, 20, 5)
    elif sdk.name == "anthropic":
        u = r.raw.usage
        assert (u.output_tokens, u.cache_read_input_tokens, r.raw.content[0].type) == (21, 5, "thinking")
        assert u.input_tokens == -(-len(text) // 4) + 7 - 5
    else:
        u = r.raw.usage_metadata
        assert (u.candidates_token_count, u.thoughts_token_count, u.cached_content_token_count) == (1, 20, 5)
        assert u.total_token_count == u.prompt_token_count + 21


def test_refusals_are_answers(sdk):
    r = sdk.ask("sim/a", prompt("[[sim: refusal]]"))
    assert r.refused and not r.text


def test_streams_are_the_same_answer_in_pieces(sdk):
    text = prompt()
    whole, s = sdk.ask("sim/a", text), sdk.stream("sim/a", text)
    assert s.text == whole.text and s.pieces >= 4 and (s.finish, s.output) == (whole.finish, whole.output)
    s = sdk.stream("sim/a", prompt(), tools=["f"], force=True)
    assert s.call == ("f", {"city": "simulated", "days": 7}) and s.finish == sdk.finish["tool"]


def test_lists_and_counts(sdk):
    names, one = sdk.models()
    assert names == [m.split(",")[0] for m in MODELS] and one == "sim/a"
    if sdk.name == "anthropic":
        assert sdk.client.messages.count_tokens(model="sim/a", messages=[{"role": "user", "content": "12345678"}]).input_tokens == 9
    elif sdk.name == "gemini":
        assert sdk.client.models.count_tokens(model="sim/a", contents="12345678").total_tokens == 9


def test_many_at_once(sdk):
    texts = [prompt() for _ in range(60)]
    got = asyncio.run(sdk.ask_many("sim/a", texts))
    assert len({r.text for r in got}) == 60 and all(r.finish == sdk.finish["stop"] for r in got)


# What is raised: per dialect the package's own type, the status, and the word by which a program tells it from others.
ERRORS = {
    "status=500": [(openai.InternalServerError, 500, None), (anthropic.InternalServerError, 500, "api_error"),
                   (gemini_errors.ServerError, 500, "INTERNAL")],
    "e503": [(openai.InternalServerError, 503, "server_is_overloaded"), (anthropic.ServiceUnavailableError, 503, "api_error"),
             (gemini_errors.ServerError, 503, "UNAVAILABLE")],
    "overloaded": [(openai.InternalServerError, 503, "slow_down"), (anthropic.OverloadedError, 529, "overloaded_error"),
                   (gemini_errors.ServerError, 503, "UNAVAILABLE")],
    "e429": [(openai.RateLimitError, 429, "rate_limit_exceeded"), (anthropic.RateLimitError, 429, "rate_limit_error"),
             (gemini_errors.ClientError, 429, "RESOURCE_EXHAUSTED")],
    "quota": [(openai.RateLimitError, 429, "insufficient_quota"), (anthropic.BadRequestError, 400, "invalid_request_error"),
              (gemini_errors.ClientError, 429, "RESOURCE_EXHAUSTED")],
    "context": [(openai.BadRequestError, 400, "context_length_exceeded"), (anthropic.BadRequestError, 400, "invalid_request_error"),
                (gemini_errors.ClientError, 400, "INVALID_ARGUMENT")],
    "filter": [(openai.BadRequestError, 400, "content_filter"), (anthropic.BadRequestError, 400, "invalid_request_error"), None],
    "status=401": [(openai.AuthenticationError, 401, "invalid_api_key"), (anthropic.AuthenticationError, 401, "authentication_error"),
                   (gemini_errors.ClientError, 401, "UNAUTHENTICATED")],
    "status=402": [(openai.APIStatusError, 402, None), (anthropic.PaymentRequiredError, 402, "billing_error"),
                   (gemini_errors.ClientError, 402, "FAILED_PRECONDITION")],
    "status=403": [(openai.PermissionDeniedError, 403, "unsupported_country_region_territory"),
                   (anthropic.PermissionDeniedError, 403, "permission_error"), (gemini_errors.ClientError, 403, "PERMISSION_DENIED")],
    "status=404": [(openai.NotFoundError, 404, "model_not_found"), (anthropic.NotFoundError, 404, "not_found_error"),
                   (gemini_errors.ClientError, 404, "NOT_FOUND")],
    "status=409": [(openai.ConflictError, 409, None), (anthropic.ConflictError, 409, "conflict_error"), (gemini_errors.ClientError, 409, "ABORTED")],
    "status=413": [(openai.APIStatusError, 413, None), (anthropic.ContentTooLargeError, 413, "request_too_large"),
                   (gemini_errors.ClientError, 413, None)],
    "status=422": [(openai.UnprocessableEntityError, 422, None), (anthropic.UnprocessableEntityError, 422, "invalid_request_error"),
                   (gemini_errors.ClientError, 422, None)],
    "status=504": [(openai.InternalServerError, 504, None), (anthropic.GatewayTimeoutError, 504, "timeout_error"),
                   (gemini_errors.ServerError, 504, "DEADLINE_EXCEEDED")],
}


def code_of(sdk, e):
    return {"openai": lambda: e.code, "anthropic": lambda: e.body["error"]["type"], "gemini": lambda: e.status}[sdk.name]()


def status_of(e):
    return getattr(e, "status_code", None) or e.code


@pytest.mark.parametrize("order", ERRORS)
def test_ordered_errors_raise_the_packages_own_types(sdk, order):
    want = ERRORS[order][[d.name for d in DIALECTS].index(sdk.name)]
    if want is None:
        r = sdk.ask("sim/a", prompt(f"[[sim: {order}]]"))
        assert r.finish == "SAFETY" and not r.text
        return
    with pytest.raises(want[0]) as e:
        sdk.ask("sim/a", prompt(f"[[sim: {order}]]"))
    assert type(e.value) is want[0] and status_of(e.value) == want[1]
    if want[2]:
        assert code_of(sdk, e.value) == want[2]
    if sdk.name == "gemini" and order == "quota":
        [failure] = [d for d in e.value.details["error"]["details"] if d["@type"].endswith("QuotaFailure")]
        assert "PerDay" in failure["violations"][0]["quotaId"]
    if sdk.name != "gemini":
        assert e.value.request_id.startswith("req_sim")


def test_a_gateways_error_is_no_json(sdk):
    with pytest.raises(sdk.Server) as e:
        sdk.ask("sim/a", prompt("[[sim: status=503 plain]]"))
    assert status_of(e.value) == 503 and e.value.response.headers["content-type"] == "text/plain"


@pytest.mark.parametrize("key, want", [("sk-wrong-0123", [(openai.AuthenticationError, 401), (anthropic.AuthenticationError, 401),
                                                          (gemini_errors.ClientError, 400)])])
def test_a_wrong_key(sim, sdk, key, want):
    error, status = want[[d.name for d in DIALECTS].index(sdk.name)]
    wrong = type(sdk)(sim.url, key)
    for call in (lambda: wrong.ask("sim/a", prompt()), wrong.models):
        with pytest.raises(error) as e:
            call()
        assert type(e.value) is error and status_of(e.value) == status and key not in str(e.value)
    if sdk.name == "gemini":
        assert e.value.details["error"]["details"][0]["reason"] == "API_KEY_INVALID"


def test_no_such_model(sdk):
    with pytest.raises(sdk.Api) as e:
        sdk.ask("sim/none", prompt())
    assert status_of(e.value) == 404 and "sim/none" in str(e.value)


def test_longer_than_the_window(sdk):
    assert sdk.ask("sim/narrow", "short").text
    with pytest.raises(sdk.Api) as e:
        sdk.ask("sim/narrow", prompt("long " * 30))
    assert status_of(e.value) == 400 and "20" in str(e.value)


BAD = [
    ("/v1/chat/completions", {}, b'{"model":', 400, ("error", "type"), "invalid_request_error"),
    ("/v1/chat/completions", {}, b'{"messages":[{"role":"user","content":"x"}]}', 400, ("error", "message"), "you must provide a model parameter"),
    ("/v1/chat/completions", {}, b'{"model":"sim/a"}', 400, ("error", "code"), "missing_required_parameter"),
    ("/v1/messages", {"anthropic-version": "2023-06-01"}, b"{", 400, ("error", "type"), "invalid_request_error"),
    ("/v1/messages", {}, b'{"model":"sim/a","max_tokens":1,"messages":[{"role":"user","content":"x"}]}', 400, ("error", "message"),
     "anthropic-version: header is required"),
    ("/v1/messages", {"anthropic-version": "2023-06-01"}, b'{"model":"sim/a","messages":[{"role":"user","content":"x"}]}', 400,
     ("error", "message"), "max_tokens: Field required"),
    ("/v1beta/models/sim/a:generateContent", {}, b"[", 400, ("error", "status"), "INVALID_ARGUMENT"),
    ("/v1beta/models/sim/a:generateContent", {}, b'{"contents":[{"role":"user","parts":[{"text":"x"}]}],"messages":1}', 400,
     ("error", "details", 0, "@type"), "type.googleapis.com/google.rpc.BadRequest"),
    ("/v1beta/models/sim/a:generateContent", {}, b"{}", 400, ("error", "status"), "INVALID_ARGUMENT"),
]


@pytest.mark.parametrize("path, headers, body, status, at, want", BAD)
def test_bodies_no_package_would_send(sim, path, headers, body, status, at, want):
    auth = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "x-goog-api-key": KEY}
    r = httpx2.post(sim.url.removesuffix("/v1") + path, content=body, headers={**auth, **headers})
    value = r.json()
    for word in at:
        value = value[word]
    assert (r.status_code, value) == (status, want)


def test_without_a_key(sim):
    url = sim.url.removesuffix("/v1")
    got = [httpx2.post(url + path, json={}).status_code for path in ("/v1/chat/completions", "/v1/messages", "/v1beta/models/sim/a:generateContent")]
    assert got == [401, 401, 403]


@pytest.mark.parametrize("model", ["sim/wait", "sim/flaky"])
def test_the_packages_own_retries_succeed(sim, sdk, model):
    """One failure, then the answer; a retry-after is waited for (it is longer than the packages' own first delay)."""
    tag = uuid.uuid4().hex
    assert sdk.ask(model, f"JOB:{tag}", retries=2).text.startswith("ANSWER")
    first, second = log_of(sim, tag, 2)
    assert [first["status"], second["status"]] == [429 if model == "sim/wait" else 500, 200]
    assert [first["paid"], second["paid"]] == [False, True]
    if model == "sim/wait":
        assert (second["t_us"] - first["t_us"]) / 1e6 >= 0.8


def test_should_retry_false_ends_the_retries(sim, sdk):
    """google-genai does not know the header and would ask again."""
    tag = uuid.uuid4().hex
    with pytest.raises(sdk.Limit) as e:
        sdk.ask("sim/a", f"[[sim: e429 should_retry=false]] JOB:{tag}", retries=0 if sdk.name == "gemini" else 2)
    assert e.value.response.headers["x-should-retry"] == "false"
    assert len(log_of(sim, tag, 1)) == 1


def limited(sdk):
    """Asks until the limit refuses: on a slow machine a window may pass between two calls."""
    for _ in range(100):
        try:
            sdk.ask("sim/rpm", prompt())
        except sdk.Limit as e:
            return e
    raise AssertionError("never refused")


def test_a_limit_says_when_and_ends_then(sim, sdk):
    """One request per 900 ms: one that comes earlier is refused with the wait, the package's retry is let in."""
    e = limited(sdk)
    assert status_of(e) == 429
    if sdk.name == "openai":
        h = e.response.headers
        assert h["retry-after"] == "1" and h["x-ratelimit-remaining-requests"] == "0" and h["x-ratelimit-limit-requests"] == "1"
        assert h["x-ratelimit-reset-requests"].endswith("ms") and "Limit 1, Used 1, Requested 1" in str(e)
    elif sdk.name == "anthropic":
        h = e.response.headers
        assert h["retry-after"] == "1" and h["anthropic-ratelimit-requests-remaining"] == "0"
        assert h["anthropic-ratelimit-requests-reset"].endswith("Z")
    else:
        details = {d["@type"].rsplit(".", 1)[1]: d for d in e.details["error"]["details"]}
        assert details["QuotaFailure"]["violations"][0]["quotaId"] == "GenerateRequestsPerMinutePerProjectPerModel"
        assert 0 < float(details["RetryInfo"]["retryDelay"].removesuffix("s")) <= 0.9
        assert "retry-after" not in e.response.headers
    tag = uuid.uuid4().hex
    assert sdk.ask("sim/rpm", f"JOB:{tag}", retries=4).text
    wait_until("its line in the log", lambda: "ok" in [x["decision"] for x in log_of(sim, tag, 1)], 30)


def test_larger_than_the_limit_is_not_retried(sim, sdk):
    tag = uuid.uuid4().hex
    with pytest.raises(sdk.Limit) as e:
        sdk.ask("sim/never", f"JOB:{tag}", retries=0 if sdk.name == "gemini" else 2)
    assert status_of(e.value) == 429 and "retry-after" not in e.value.response.headers
    [line] = log_of(sim, tag, 1)
    assert line["decision"] == "over_tpm" and line["over_limit"]
    if sdk.name == "gemini":
        assert not [d for d in e.value.details["error"]["details"] if d["@type"].endswith("RetryInfo")]


def test_limits_are_told_with_every_answer(sdk):
    h = sdk.headers("sim/limits", prompt())
    if sdk.name == "openai":
        assert int(h["x-ratelimit-limit-requests"]) == 50 and 0 <= int(h["x-ratelimit-remaining-requests"]) < 50
        assert int(h["x-ratelimit-limit-tokens"]) == 100000 and int(h["x-ratelimit-remaining-tokens"]) < 100000
        assert h["x-ratelimit-reset-tokens"].endswith("s") and "openai-processing-ms" in h
    elif sdk.name == "anthropic":
        names = ("requests", "tokens", "input-tokens", "output-tokens")
        assert [int(h[f"anthropic-ratelimit-{d}-limit"]) for d in names] == [50, 100000, 60000, 40000]
        assert int(h["anthropic-ratelimit-output-tokens-remaining"]) < 40000
    else:
        assert not [name for name in h if "ratelimit" in name.lower()]
