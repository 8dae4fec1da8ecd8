/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters in Anthropic's words, and what its models are known to refuse. What is left out is always noted. No state;
 * any thread.
 * source  reference/providers.md 4.4; platform.claude.com, "effort" and the migration guides (which model takes what)
 */
#include <string.h>

#include "base/check.h"
#include "provider/answer.h"
#include "provider/anthropic.h"
#include "provider/build.h"

static const struct row {
    const char *ours;
    const char *theirs; /* NULL: this API has nothing of the kind */
    bool is_sampling;
} rows[] = {
    {"temperature", "temperature", true},
    {"top_p", "top_p", true},
    {"top_k", "top_k", true},
    {"stop", "stop_sequences", false},
    {"seed", NULL, false},
    {"presence_penalty", NULL, false},
    {"frequency_penalty", NULL, false},
    {"logit_bias", NULL, false},
    {"verbosity", NULL, false},
    {"min_p", NULL, false},
    {"repetition_penalty", NULL, false},
    {"parallel_tool_calls", NULL, false},
    {"user", NULL, false},
};

static const struct row *row_of(struct text name)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (text_is(name, rows[i].ours))
            return &rows[i];
    return NULL;
}

/* Effort words a model takes: none before Opus 4.5, max from 4.6, xhigh from 4.7; a name without a version is trusted
 * to take all. */
static bool takes_effort(const char *model, struct text effort)
{
    int version = model_version(model, "claude-");
    bool is_known = build_is_one_of(effort, (const char *const[]){"low", "medium", "high"}, 3) ||
                    (text_is(effort, "max") && (version < 0 || version >= 406)) ||
                    (text_is(effort, "xhigh") && (version < 0 || version >= 407));

    if (version == 405)
        return is_known && strstr(model, "opus") != NULL;
    return is_known && (version < 0 || version >= 406);
}

static void add_effort(struct building *b, const struct request_param *p)
{
    struct text effort;
    struct scan s;

    scan_init(&s, p->json.p, p->json.len);
    (void)answer_text(&s, b->a, &effort);
    if (!takes_effort(b->q->vendor_model, effort) || build_own_param(b, "output_config") != NULL) {
        build_drop(b, p->name);
        return;
    }
    jw_key(&b->w, "output_config");
    jw_open(&b->w, '{');
    jw_kv_text(&b->w, "effort", effort);
    jw_close(&b->w, '}');
}

/* Above 1, where this API's temperature ends and OpenAI's does not? */
static bool is_too_hot(const struct request_param *p)
{
    double temperature = 0;
    struct scan s;

    scan_init(&s, p->json.p, p->json.len);
    return scan_double(&s, &temperature) == 0 && temperature > 1;
}

/* After Claude Opus 4.6 sampling is gone; from 4.1 on temperature and top_p exclude each other: temperature stays. */
static bool is_refused(struct building *b, const struct request_param *p, const struct row *row)
{
    int version = model_version(b->q->vendor_model, "claude-");

    if (row->theirs == NULL || (row->is_sampling && version > 406))
        return true;
    if (strcmp(row->ours, "temperature") == 0)
        return is_too_hot(p);
    return strcmp(row->ours, "top_p") == 0 && version >= 401 && build_own_param(b, "temperature") != NULL &&
           !build_is_refused(b, "temperature");
}

/* A string or a list of them, without the blank ones, which the API refuses. */
static void add_stops(struct building *b, const struct request_param *p)
{
    struct text word;
    struct scan s;
    bool is_list;

    scan_init(&s, p->json.p, p->json.len);
    is_list = scan_peek(&s) == SCAN_ARRAY && scan_enter_array(&s) == 0;
    jw_key(&b->w, "stop_sequences");
    jw_open(&b->w, '[');
    while (!is_list || scan_next_item(&s)) {
        (void)answer_text(&s, b->a, &word);
        if (text_is_blank(word))
            build_drop(b, p->name);
        else
            jw_text(&b->w, word);
        if (!is_list)
            break;
    }
    jw_close(&b->w, ']');
}

static void add_ours(struct building *b, const struct request_param *p, const struct row *row)
{
    const struct request_param *theirs = build_own_param(b, row->theirs != NULL ? row->theirs : row->ours);

    if (is_refused(b, p, row)) {
        build_drop(b, p->name);
    } else if (strcmp(row->ours, "stop") == 0) {
        if (theirs == NULL || theirs->dialect == NULL) /* else the job said it in Anthropic's words */
            add_stops(b, p);
    } else {
        jw_key(&b->w, row->theirs);
        jw_raw(&b->w, p->json);
    }
}

/* What the request itself says, or how the answer travels. */
static bool is_said(const struct building *b, struct text name)
{
    const struct request_param *stop = build_own_param(b, "stop");

    if (text_is(name, "stop_sequences") && stop != NULL && stop->dialect == NULL && !build_is_refused(b, "stop"))
        return build_own_param(b, "stop_sequences")->dialect == NULL; /* an operator's gives way to the job's */
    return text_is(name, "stream") || (text_is(name, "tools") && b->q->tools.p != NULL) ||
           (text_is(name, "tool_choice") && b->q->tool_choice.p != NULL);
}

void anthropic_add_params(struct building *b)
{
    for (size_t i = 0; i < b->q->n_params; i++) {
        const struct request_param *p = &b->q->params[i];
        const struct row *row;

        if (!build_takes(b, p) || is_said(b, p->name))
            continue;
        row = p->dialect == NULL ? row_of(p->name) : NULL;
        if (row != NULL) {
            add_ours(b, p, row);
        } else if (p->dialect == NULL && text_is(p->name, "reasoning_effort")) {
            add_effort(b, p);
        } else if (text_is(p->name, "system") && build_has_system(b)) {
            build_drop(b, p->name);
        } else {
            jw_key_text(&b->w, p->name);
            jw_raw(&b->w, p->json);
        }
    }
}
