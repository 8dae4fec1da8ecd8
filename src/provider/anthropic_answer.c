/* SPDX-License-Identifier: Apache-2.0 */
/* The Anthropic Messages dialect, receiving side: content blocks, stop reasons, usage, errors. Blocks of types it does
 * not know are passed over. No state; any thread.
 * source  reference/providers.md 4.4, 4.9, 4.10; wire-oddities.md 4, 7, 12, 19, 32, 36-39 */
#include "base/check.h"
#include "base/mem.h"
#include "provider/answer.h"
#include "provider/anthropic.h"
#include "provider/tools.h"

/* One content block, whatever its type; which keys it has tells little before its type is known. */
struct block {
    struct text type;
    struct text text;
    struct text thinking;
    struct tool_call call;
};

static void scan_block(struct reading *r, struct block *out)
{
    struct text key;

    *out = (struct block){TEXT_NONE, TEXT_NONE, TEXT_NONE, {TEXT_NONE, TEXT_NONE, TEXT_NONE, TEXT_NONE}};
    if (!answer_enter_object(&r->s))
        return;
    r->has_item = true;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "type"))
            (void)answer_text(&r->s, r->a, &out->type);
        else if (KEY_IS(key, "text"))
            (void)answer_text(&r->s, r->a, &out->text);
        else if (KEY_IS(key, "thinking"))
            (void)answer_text(&r->s, r->a, &out->thinking);
        else if (KEY_IS(key, "id"))
            (void)answer_text(&r->s, r->a, &out->call.id);
        else if (KEY_IS(key, "name"))
            (void)answer_text(&r->s, r->a, &out->call.name);
        else if (KEY_IS(key, "input"))
            (void)answer_raw(&r->s, r->a, &out->call.arguments);
        else
            (void)scan_skip(&r->s, NULL);
    }
}

static void scan_content(struct reading *r)
{
    struct text_join text;
    struct text_join thinking;
    struct tool_writer calls;
    struct block block;

    if (!answer_enter_array(&r->s))
        return;
    r->has_list = true;
    text_join_init(&text);
    text_join_init(&thinking);
    tool_writer_init(&calls);
    while (scan_next_item(&r->s)) {
        scan_block(r, &block);
        if (r->s.error != 0)
            break; /* half a block is none */
        if (text_is(block.type, "text"))
            text_join_add(&text, block.text);
        else if (text_is(block.type, "thinking"))
            text_join_add(&thinking, block.thinking);
        else if (text_is(block.type, "tool_use"))
            tool_writer_add(&calls, &block.call);
    }
    r->o->answer = text_join_end(&text, r->a);
    r->o->reasoning = text_join_end(&thinking, r->a);
    r->o->tool_calls = tool_writer_end(&calls, r->a);
}

/* The counts of one usage object as they stand, -1: absent. */
struct counts {
    int64_t input;
    int64_t cache_creation;
    int64_t cache_read;
    int64_t output;
    int64_t thinking;
};

static void scan_output_details(struct scan *s, struct counts *c)
{
    struct text key;

    if (!answer_enter_object(s))
        return;
    while (scan_next_key(s, &key)) {
        if (KEY_IS(key, "thinking_tokens"))
            (void)answer_count(s, &c->thinking);
        else
            (void)scan_skip(s, NULL);
    }
}

/* One member that a usage object and each of its iterations have alike; false: another one. */
static bool scan_count(struct scan *s, struct text key, struct counts *c)
{
    if (KEY_IS(key, "input_tokens"))
        (void)answer_count(s, &c->input);
    else if (KEY_IS(key, "output_tokens"))
        (void)answer_count(s, &c->output);
    else if (KEY_IS(key, "cache_creation_input_tokens"))
        (void)answer_count(s, &c->cache_creation);
    else if (KEY_IS(key, "cache_read_input_tokens"))
        (void)answer_count(s, &c->cache_read);
    else if (KEY_IS(key, "output_tokens_details"))
        scan_output_details(s, c);
    else
        return false;
    return true;
}

static void scan_iterations(struct scan *s, struct counts *sum)
{
    struct text key;

    if (!answer_enter_array(s))
        return;
    while (scan_next_item(s)) {
        struct counts one = {-1, -1, -1, -1, -1};

        if (!answer_enter_object(s))
            continue;
        while (scan_next_key(s, &key))
            if (!scan_count(s, key, &one))
                (void)scan_skip(s, NULL);
        sum->input = count_sum(sum->input, one.input);
        sum->cache_creation = count_sum(sum->cache_creation, one.cache_creation);
        sum->cache_read = count_sum(sum->cache_read, one.cache_read);
        sum->output = count_sum(sum->output, one.output);
        sum->thinking = count_sum(sum->thinking, one.thinking);
    }
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The iterations' sum is what was billed; the top level leaves compaction and advisors out. */
static void scan_usage(struct reading *r)
{
    struct counts sum = {-1, -1, -1, -1, -1};
    struct counts c = sum;
    struct usage u = USAGE_UNKNOWN;
    struct text key;

    if (!answer_enter_object(&r->s))
        return;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "iterations"))
            scan_iterations(&r->s, &sum);
        else if (!scan_count(&r->s, key, &c))
            (void)scan_skip(&r->s, NULL);
    }
    c.input = larger(c.input, sum.input);
    c.cache_creation = larger(c.cache_creation, sum.cache_creation);
    c.cache_read = larger(c.cache_read, sum.cache_read);
    if (c.input >= 0)
        u.input_tokens = count_sum(count_sum(c.input, c.cache_creation), c.cache_read);
    u.output_tokens = larger(c.output, sum.output);
    u.cached_input_tokens = c.cache_read;
    u.reasoning_tokens = larger(c.thinking, sum.thinking);
    usage_guard(&u);
    r->o->usage = u;
}

/* {"type": "refusal", "category": "...", "explanation": "..."} */
static void scan_stop_details(struct reading *r)
{
    struct text key;

    if (!answer_enter_object(&r->s))
        return;
    while (scan_next_key(&r->s, &key)) {
        if (KEY_IS(key, "explanation"))
            (void)answer_text(&r->s, r->a, &r->note);
        else
            (void)scan_skip(&r->s, NULL);
    }
}

static bool read_member(struct reading *r, struct text key)
{
    if (KEY_IS(key, "content"))
        scan_content(r);
    else if (KEY_IS(key, "usage"))
        scan_usage(r);
    else if (KEY_IS(key, "stop_reason"))
        (void)answer_text(&r->s, r->a, &r->o->raw_finish);
    else if (KEY_IS(key, "model"))
        (void)answer_text(&r->s, r->a, &r->o->response_model);
    else if (KEY_IS(key, "id"))
        (void)answer_text(&r->s, r->a, &r->id);
    else if (KEY_IS(key, "stop_details"))
        scan_stop_details(r);
    else
        return false;
    return true;
}

static const struct error_word words[] = {
    {"not_found_error", FAULT_MODEL_NOT_FOUND}, {"request_too_large", FAULT_INVALID_REQUEST},
    {"api_error", FAULT_PROVIDER_ERROR},        {"timeout_error", FAULT_PROVIDER_ERROR},
    {"conflict_error", FAULT_PROVIDER_ERROR},
};

static const struct answer_dialect dialect = {
    .read_member = read_member,
    .words = {words, ARRAY_LEN(words)},
    .no_list = "no_content",
    .empty_list = "empty_content",
};

void anthropic_finish(const struct transfer *t, int64_t wall_ms, struct arena *a, struct outcome *out)
{
    answer_finish(&dialect, t, wall_ms, a, out);
    /* What a refusing model wrote is no answer: it stands apart, as OpenAI has it. */
    if (out->fault == FAULT_NONE && out->answer.p != NULL && text_is(out->raw_finish, "refusal")) {
        out->refusal = out->answer;
        out->answer = TEXT_NONE;
    }
}
