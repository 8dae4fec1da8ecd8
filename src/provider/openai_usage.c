/* SPDX-License-Identifier: Apache-2.0 */
/* Token counts of the OpenAI-compatible family in our terms: input includes what came from a cache, output includes
 * reasoning. Never guesses from texts: what is absent stays unknown. No state; any thread.
 * source  reference/providers.md 4.9; wire-oddities.md 16-18, 22-25 */
#include "base/check.h"
#include "provider/answer.h"
#include "provider/openai.h"

/* The counts as they stand, -1: absent. */
struct counts {
    int64_t prompt;
    int64_t completion;
    int64_t total;
    int64_t cached;
    int64_t reasoning;
    int64_t audio; /* of the prompt */
};

static void keep_larger(int64_t *v, int64_t other)
{
    if (other > *v)
        *v = other;
}

static int scan_details(struct scan *s, struct counts *c, bool is_prompt)
{
    struct text key;

    if (scan_peek(s) != SCAN_OBJECT)
        return scan_skip(s, NULL); /* null at OpenRouter, vLLM, Azure */
    (void)scan_enter_object(s);
    while (scan_next_key(s, &key)) {
        int64_t v = -1;

        (void)answer_count(s, &v); /* the error stays in the scan */
        if (is_prompt && KEY_IS(key, "cached_tokens"))
            keep_larger(&c->cached, v);
        else if (is_prompt && KEY_IS(key, "audio_tokens"))
            keep_larger(&c->audio, v);
        else if (!is_prompt && KEY_IS(key, "reasoning_tokens"))
            keep_larger(&c->reasoning, v);
    }
    return s->error;
}

static int64_t *count_of(struct counts *c, struct text key)
{
    static const struct {
        struct text key;
        size_t offset;
    } rows[] = {
        {TEXT_LIT("prompt_tokens"), offsetof(struct counts, prompt)},
        {TEXT_LIT("completion_tokens"), offsetof(struct counts, completion)},
        {TEXT_LIT("total_tokens"), offsetof(struct counts, total)},
        {TEXT_LIT("input_tokens"), offsetof(struct counts, prompt)},
        {TEXT_LIT("output_tokens"), offsetof(struct counts, completion)},
        {TEXT_LIT("prompt_cache_hit_tokens"), offsetof(struct counts, cached)},
        {TEXT_LIT("cached_tokens"), offsetof(struct counts, cached)},
        {TEXT_LIT("num_cached_tokens"), offsetof(struct counts, cached)},
        {TEXT_LIT("cache_read_input_tokens"), offsetof(struct counts, cached)},
        {TEXT_LIT("reasoning_tokens"), offsetof(struct counts, reasoning)},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (text_equal(key, rows[i].key))
            return (int64_t *)((char *)c + rows[i].offset);
    return NULL;
}

/* Whether reasoning is part of the completion or stands beside it only the total tells. */
static struct usage normalise(const struct counts *c)
{
    struct usage u = {c->prompt, c->completion, c->cached, c->reasoning};
    int64_t both = c->prompt + c->completion;
    bool is_summed = c->prompt >= 0 && c->completion >= 0 && c->total > both;

    if (c->completion >= 0 && c->reasoning > 0 &&
        ((is_summed && c->total == both + c->reasoning) || c->reasoning > c->completion)) {
        u.output_tokens += c->reasoning; /* xAI; Vercel's gateway and OpenRouter */
    } else if (is_summed && c->audio > 0 && c->total == both + c->audio) {
        u.input_tokens += c->audio; /* Mistral audio */
    } else if (is_summed && c->cached > 0 && c->total == both + c->cached) {
        u.input_tokens += c->cached; /* beside the prompt, as at Anthropic behind a gateway */
    } else if (is_summed && c->reasoning < 0) {
        u.reasoning_tokens = c->total - both; /* Gemini's OpenAI surface: thoughts only in the total */
        u.output_tokens += u.reasoning_tokens;
    } else if (c->completion < 0 && c->prompt >= 0 && c->total >= c->prompt) {
        u.output_tokens = c->total - c->prompt;
    }
    usage_guard(&u);
    return u;
}

int openai_usage_scan(struct scan *s, struct usage *out)
{
    struct counts c = {-1, -1, -1, -1, -1, -1};
    struct text key;

    if (scan_peek(s) != SCAN_OBJECT)
        return scan_skip(s, NULL);
    (void)scan_enter_object(s);
    while (scan_next_key(s, &key)) {
        int64_t *count = count_of(&c, key);
        int64_t v = -1;

        if (KEY_IS(key, "prompt_tokens_details") || KEY_IS(key, "input_tokens_details")) {
            (void)scan_details(s, &c, true);
        } else if (KEY_IS(key, "completion_tokens_details") || KEY_IS(key, "output_tokens_details")) {
            (void)scan_details(s, &c, false);
        } else if (count != NULL) {
            (void)answer_count(s, &v);
            keep_larger(count, v);
        } else {
            (void)scan_skip(s, NULL);
        }
    }
    if (s->error == 0)
        *out = normalise(&c);
    return s->error;
}
