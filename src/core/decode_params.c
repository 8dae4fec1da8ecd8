/* SPDX-License-Identifier: Apache-2.0 */
/* The job keys `merge` and `params`. Parameters are checked for type and range here and travel as raw JSON. Pure but
 * for the arena. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "core/decode.h"

enum kind { NUMBER, INTEGER, STRING, STRINGS, OBJECT };

/* Names as OpenAI's API has them; each dialect renames what it must. */
static const struct param_rule {
    const char *name;
    enum kind kind;
    double min, max;
    const char *message;
} rules[] = {
    {"temperature", NUMBER, 0, 2, "temperature must be a number from 0 to 2"},
    {"top_p", NUMBER, 0, 1, "top_p must be a number from 0 to 1"},
    {"max_output_tokens", INTEGER, 1, 1e9, "max_output_tokens must be a positive integer"},
    {"stop", STRINGS, 0, 0, "stop must be a string or an array of strings"},
    {"seed", INTEGER, -9e15, 9e15, "seed must be an integer"},
    {"reasoning_effort", STRING, 0, 0, "reasoning_effort must be a string"},
    {"verbosity", STRING, 0, 0, "verbosity must be a string"},
    {"presence_penalty", NUMBER, -2, 2, "presence_penalty must be a number from -2 to 2"},
    {"frequency_penalty", NUMBER, -2, 2, "frequency_penalty must be a number from -2 to 2"},
    {"top_k", INTEGER, 1, 1e9, "top_k must be a positive integer"},
    {"logit_bias", OBJECT, 0, 0, "logit_bias must be an object"},
};

static bool check_strings(struct scan *s)
{
    struct text t;

    if (scan_peek(s) == SCAN_STRING)
        return scan_string(s, &t, NULL) == 0;
    if (scan_peek(s) != SCAN_ARRAY)
        return false;
    scan_enter_array(s);
    while (scan_next_item(s)) {
        if (scan_peek(s) != SCAN_STRING)
            return false;
        scan_string(s, &t, NULL);
    }
    return true;
}

static bool check_value(struct scan *s, const struct param_rule *r)
{
    struct text t;
    double number;
    int64_t integer;

    switch (r->kind) {
    case NUMBER:
        return scan_peek(s) == SCAN_NUMBER && scan_double(s, &number) == 0 && number >= r->min && number <= r->max;
    case INTEGER:
        return scan_peek(s) == SCAN_NUMBER && scan_int(s, &integer) == 0 && (double)integer >= r->min &&
               (double)integer <= r->max;
    case STRING:
        return scan_peek(s) == SCAN_STRING && scan_string(s, &t, NULL) == 0;
    case STRINGS:
        return check_strings(s);
    case OBJECT:
        return scan_peek(s) == SCAN_OBJECT && scan_skip(s, &t) == 0;
    }
    return false;
}

static const struct param_rule *find_rule(struct text name)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (text_is(name, rules[i].name))
            return &rules[i];
    return NULL;
}

static void fail_unknown(struct decode *d, struct text key)
{
    const char *words[ARRAY_LEN(rules)];

    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        words[i] = rules[i].name;
    decode_fail_word(d, decode_pointer(d, "/params", key), "unknown parameter", key, words, ARRAY_LEN(words), "");
}

static void read_param(struct decode *d, struct text key, struct request_param *out)
{
    const struct param_rule *r = find_rule(key);
    const char *begin;
    char pointer[128];
    struct scan probe;

    if (r == NULL) {
        fail_unknown(d, key);
        return;
    }
    snprintf(pointer, sizeof(pointer), "/params/%s", r->name);
    (void)scan_peek(&d->s); /* passes over white space */
    probe = d->s;
    begin = d->s.p;
    if (!check_value(&d->s, r)) {
        decode_fail(d, pointer, r->message);
        return;
    }
    for (int i = 0; i < d->spec->n_params; i++)
        if (text_equal(d->spec->params[i].name, key))
            decode_fail(d, pointer, "the parameter is given twice");
    if (strcmp(r->name, "max_output_tokens") == 0) {
        if (d->spec->max_output_tokens > 0)
            decode_fail(d, pointer, "the parameter is given twice");
        scan_int(&probe, &d->spec->max_output_tokens);
        return;
    }
    out->name = text_slice(r->name, strlen(r->name));
    out->json = text_slice(begin, (size_t)(d->s.p - begin));
    d->spec->n_params++;
}

void decode_params(struct decode *d)
{
    struct request_param *params;
    struct text key;

    if (!decode_is(d, SCAN_OBJECT, "/params", "params must be an object"))
        return;
    params = arena_zero(d->arena, sizeof(*params) * (ARRAY_LEN(rules) + 1));
    d->spec->params = params;
    scan_enter_object(&d->s);
    while (d->err->code == NULL && scan_next_key(&d->s, &key))
        read_param(d, key, &params[d->spec->n_params]);
}

const struct merge_ops *decode_find_merge(const struct env *env, const char *name)
{
    for (int i = 0; i < env->n_merges; i++)
        if (strcmp(env->merges[i]->name, name) == 0)
            return env->merges[i];
    return NULL;
}

static void set_merge(struct decode *d, struct text name, const char *pointer)
{
    const struct env *env = d->job->env;
    const char *words[32];
    size_t n = env->n_merges < 32 ? (size_t)env->n_merges : 32;

    d->spec->merge = decode_find_merge(env, text_decode(d->arena, name, NULL));
    if (d->spec->merge != NULL)
        return;
    for (size_t i = 0; i < n; i++)
        words[i] = env->merges[i]->name;
    decode_fail_word(d, pointer, "unknown merge", name, words, n, "");
}

void decode_merge(struct decode *d)
{
    struct text name = TEXT_NONE, key;

    if (scan_peek(&d->s) == SCAN_STRING) {
        scan_text(&d->s, d->arena, &name);
        set_merge(d, name, "/merge");
        return;
    }
    if (!decode_is(d, SCAN_OBJECT, "/merge", "merge must be a name or an object with a strategy"))
        return;
    scan_enter_object(&d->s);
    while (d->err->code == NULL && scan_next_key(&d->s, &key)) {
        if (!text_is(key, "strategy"))
            decode_fail(d, decode_pointer(d, "/merge", key), "unknown key in merge; known: strategy");
        else if (name.p != NULL)
            decode_fail(d, "/merge/strategy", "the key is given twice");
        else if (decode_is(d, SCAN_STRING, "/merge/strategy", "strategy must be a string"))
            scan_text(&d->s, d->arena, &name);
    }
    if (d->err->code == NULL && name.p == NULL)
        decode_fail(d, "/merge/strategy", "strategy is missing");
    else if (d->err->code == NULL)
        set_merge(d, name, "/merge/strategy");
}
