/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters in Gemini's words: generationConfig, and what stands beside it. A generationConfig that came with the job
 * is merged, its own members win; the limit on the answer is always the reserved one. What is left out is noted. No
 * state; any thread.
 * source  reference/providers.md 4.5; ai.google.dev, "OpenAI compatibility" (what reasoning_effort means) */
#include <string.h>

#include "base/check.h"
#include "provider/answer.h"
#include "provider/build.h"
#include "provider/gemini.h"

static const struct row {
    const char *ours;
    const char *theirs; /* NULL: this API has nothing of the kind */
} rows[] = {
    {"temperature", "temperature"},
    {"top_p", "topP"},
    {"top_k", "topK"},
    {"stop", "stopSequences"},
    {"seed", "seed"},
    {"presence_penalty", "presencePenalty"},
    {"frequency_penalty", "frequencyPenalty"},
    {"logit_bias", NULL},
    {"verbosity", NULL},
    {"min_p", NULL},
    {"repetition_penalty", NULL},
    {"parallel_tool_calls", NULL},
    {"user", NULL},
};

static const struct row *row_of(struct text name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (text_is(name, rows[i].ours))
            return &rows[i];
    return NULL;
}

/* Does a generationConfig have this member? */
static bool has_member(struct text object, struct text name)
{
    struct text key;
    struct scan s;

    scan_init(&s, object.p, object.len);
    if (object.p == NULL || !answer_enter_object(&s))
        return false;
    while (scan_next_key(&s, &key)) {
        if (text_equal(key, name))
            return true;
        (void)scan_skip(&s, NULL);
    }
    return false;
}

/* A parameter of ours that will be written under this name. */
static bool is_ours(const struct building *b, struct text theirs)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct request_param *p;

        if (rows[i].theirs == NULL || !text_is(theirs, rows[i].theirs))
            continue;
        p = build_own_param(b, rows[i].ours);
        return p != NULL && p->dialect == NULL && !build_is_refused(b, rows[i].ours);
    }
    return false;
}

/* The members of a generationConfig, but for those that are ours to say. An operator's (is_default) gives way to what
 * the job says in our words; no name may stand there twice. */
static void add_members(struct building *b, struct text object, bool is_default)
{
    struct text key;
    struct text value;
    struct scan s;

    scan_init(&s, object.p, object.len);
    if (object.p == NULL || !answer_enter_object(&s))
        return;
    while (scan_next_key(&s, &key)) {
        if (scan_skip(&s, &value) < 0)
            return;
        if (text_is(key, "maxOutputTokens"))
            continue;
        if (text_is(key, "candidateCount")) {
            if (!text_is(value, "1"))
                build_drop(b, key); /* several answers are several samples */
            continue;
        }
        if (is_default && is_ours(b, key))
            continue;
        jw_key_text(&b->w, key);
        jw_raw(&b->w, value);
    }
}

/* The thinking that an effort word means for this model, as a level (from Gemini 3) or a budget (2.5). */
static bool thinking_of(const char *model, struct text effort, const char **level, int64_t *budget)
{
    static const struct {
        const char *effort;
        const char *level;
        const char *level_of_pro;
        int64_t budget;
    } efforts[] = {
        {"none", NULL, NULL, 0},         {"minimal", "minimal", "low", 1024},
        {"low", "low", "low", 1024},     {"medium", "medium", "medium", 8192},
        {"high", "high", "high", 24576},
    };
    int version = model_version(model, "gemini-");
    bool is_pro = strstr(model, "pro") != NULL;

    *level = NULL;
    *budget = -1;
    if (strstr(model, "gemini-") == NULL || (version >= 0 && version < 205))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++) {
        if (!text_is(effort, efforts[i].effort))
            continue;
        if (version == 205)
            *budget = is_pro && efforts[i].budget == 0 ? -1 : efforts[i].budget; /* 2.5 Pro always thinks */
        else
            *level = is_pro ? efforts[i].level_of_pro : efforts[i].level;
        return *level != NULL || *budget >= 0;
    }
    return false;
}

static void add_effort(struct building *b, const struct request_param *p, struct text config)
{
    const char *level;
    int64_t budget;
    struct text effort;
    struct scan s;

    scan_init(&s, p->json.p, p->json.len);
    (void)answer_text(&s, b->a, &effort);
    if (has_member(config, TEXT_LIT("thinkingConfig")) || build_own_param(b, "thinkingConfig") != NULL ||
        !thinking_of(b->q->vendor_model, effort, &level, &budget)) {
        build_drop(b, p->name);
        return;
    }
    jw_key(&b->w, "thinkingConfig");
    jw_open(&b->w, '{');
    if (level != NULL)
        jw_kv_str(&b->w, "thinkingLevel", level);
    else
        jw_kv_int(&b->w, "thinkingBudget", budget);
    jw_close(&b->w, '}');
}

static void add_ours(struct building *b, const struct request_param *p, const struct row *row,
                     const struct request_param *config)
{
    if (row->theirs == NULL) {
        build_drop(b, p->name);
        return;
    }
    if (config != NULL && config->dialect != NULL && has_member(config->json, text_of(row->theirs)))
        return; /* said in Gemini's words already, by the job */
    jw_key(&b->w, row->theirs);
    if (strcmp(row->ours, "stop") == 0)
        build_write_strings(b, p->json);
    else
        jw_raw(&b->w, p->json);
}

/* Members of the request itself; any other name of an operator's is taken for one of generationConfig. */
static bool is_of_request(const struct request_param *p)
{
    static const char *const names[] = {"safetySettings", "cachedContent",     "labels", "toolConfig", "tools",
                                        "serviceTier",    "systemInstruction", "store"};

    return p->dialect != NULL || build_is_one_of(p->name, names, ARRAY_LEN(names));
}

/* What the request itself says already. */
static bool is_said(const struct building *b, struct text name)
{
    return text_is(name, "generationConfig") || text_is(name, "stream") ||
           (text_is(name, "tools") && b->q->tools.p != NULL) ||
           (text_is(name, "toolConfig") && b->q->tool_choice.p != NULL) ||
           (text_is(name, "systemInstruction") && build_has_system(b));
}

/* An operator's own name in generationConfig. */
static void add_native(struct building *b, const struct request_param *p, struct text config)
{
    if (text_is(p->name, "maxOutputTokens") || text_is(p->name, "candidateCount")) {
        build_drop(b, p->name); /* the limit is the reserved one, several answers are several samples */
        return;
    }
    if (is_ours(b, p->name) || has_member(config, p->name))
        return; /* said already, by the job or beside it */
    jw_key_text(&b->w, p->name);
    jw_raw(&b->w, p->json);
}

static void add_config(struct building *b, const struct request_param *own)
{
    struct text config = own != NULL ? own->json : TEXT_NONE;

    jw_key(&b->w, "generationConfig");
    jw_open(&b->w, '{');
    if (b->q->max_output_tokens > 0 && !build_is_refused(b, "max_output_tokens"))
        jw_kv_int(&b->w, "maxOutputTokens", b->q->max_output_tokens);
    else if (b->q->max_output_tokens > 0)
        build_drop(b, TEXT_LIT("max_output_tokens"));
    add_members(b, config, own != NULL && own->dialect == NULL);
    for (size_t i = 0; i < b->q->n_params; i++) {
        const struct request_param *p = &b->q->params[i];
        const struct row *row = row_of(p->name);

        if (p->dialect != NULL || !build_takes(b, p) || is_of_request(p) || is_said(b, p->name))
            continue;
        if (row != NULL)
            add_ours(b, p, row, own);
        else if (text_is(p->name, "reasoning_effort"))
            add_effort(b, p, config);
        else
            add_native(b, p, config);
    }
    jw_close(&b->w, '}');
}

void gemini_add_params(struct building *b)
{
    const struct request_param *config = build_own_param(b, "generationConfig");

    add_config(b, config != NULL && build_takes(b, config) ? config : NULL);
    for (size_t i = 0; i < b->q->n_params; i++) {
        const struct request_param *p = &b->q->params[i];

        if (!is_of_request(p) || !build_takes(b, p) || is_said(b, p->name))
            continue;
        jw_key_text(&b->w, p->name);
        jw_raw(&b->w, p->json);
    }
}
