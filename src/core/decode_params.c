/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of models: checked for type and range here, and on their way as raw JSON. Those that a batch line has
 * beside ours go unchecked to its own dialect. Pure but for the arena. */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/decode.h"

enum kind { NUMBER, INTEGER, STRING, STRINGS, OBJECT, BOOLEAN };

/* Names as OpenAI's API has them; each dialect renames what it must, and tells what it does not know. */
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
    {"repetition_penalty", NUMBER, 0, 10, "repetition_penalty must be a number from 0 to 10"},
    {"top_k", INTEGER, 1, 1e9, "top_k must be a positive integer"},
    {"min_p", NUMBER, 0, 1, "min_p must be a number from 0 to 1"},
    {"logit_bias", OBJECT, 0, 0, "logit_bias must be an object"},
    {"parallel_tool_calls", BOOLEAN, 0, 0, "parallel_tool_calls must be true or false"},
    {"user", STRING, 0, 0, "user must be a string"},
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
    enum scan_type type = scan_peek(s);
    struct text t;
    double number;
    int64_t integer;

    switch (r->kind) {
    case NUMBER:
        return type == SCAN_NUMBER && scan_double(s, &number) == 0 && number >= r->min && number <= r->max;
    case INTEGER:
        return type == SCAN_NUMBER && scan_int(s, &integer) == 0 && (double)integer >= r->min &&
               (double)integer <= r->max;
    case STRING:
        return type == SCAN_STRING && scan_string(s, &t, NULL) == 0;
    case STRINGS:
        return check_strings(s);
    case OBJECT:
        return type == SCAN_OBJECT && scan_skip(s, &t) == 0;
    case BOOLEAN:
        return (type == SCAN_TRUE || type == SCAN_FALSE) && scan_skip(s, &t) == 0;
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

static bool is_given(const struct param_set *set, const char *name)
{
    for (int i = 0; i < set->n; i++)
        if (text_is(set->items[i].name, name))
            return true;
    return false;
}

static void append(struct decode *d, struct param_set *to, const char *name, struct text json, const char *dialect)
{
    to->items = decode_grow(d, to->items, to->n, &to->cap, sizeof(*to->items));
    to->items[to->n++] = (struct request_param){.name = text_of(name), .json = json, .dialect = dialect};
}

void decode_param(struct decode *d, const char *name, struct param_set *out)
{
    const struct param_rule *r = find_rule(text_of(name));
    struct scan probe;
    const char *begin;

    CHECK(r != NULL);
    if (scan_peek(&d->s) == SCAN_NULL) {
        scan_skip(&d->s, NULL);
        return;
    }
    probe = d->s;
    begin = d->s.p;
    if (!check_value(&d->s, r)) {
        decode_fail(d, r->message);
    } else if (strcmp(name, "max_output_tokens") == 0) {
        if (out->max_output_tokens > 0)
            decode_fail(d, "the parameter is given twice");
        scan_int(&probe, &out->max_output_tokens);
    } else if (is_given(out, r->name)) {
        decode_fail(d, "the parameter is given twice");
    } else {
        append(d, out, r->name, text_slice(begin, (size_t)(d->s.p - begin)), NULL);
    }
}

void decode_add_param(struct decode *d, const char *name, struct text json, const char *dialect)
{
    if (is_given(&d->params, name))
        decode_fail_at(d, name, "the parameter is given twice");
    append(d, &d->params, name, json, dialect);
}

void decode_foreign_param(struct decode *d, struct text key, void *unused)
{
    const char *name = decode_word(d, key, 100);

    (void)unused;
    if (scan_peek(&d->s) == SCAN_NULL)
        scan_skip(&d->s, NULL);
    else if (name[0] == '\0')
        decode_fail_at(d, name, "unknown key ''");
    else
        decode_add_param(d, name, decode_raw(d), d->dialect);
}

/* All that params may hold, as if each were a known key of a table. */
static void read_param(struct decode *d, struct text key, void *out)
{
    const struct param_rule *r = find_rule(key);
    const struct decode_path *here = d->path;
    struct decode_path below = {.up = here, .key = r != NULL ? r->name : decode_word(d, key, 100)};
    const char *words[ARRAY_LEN(rules)];

    if (r == NULL && decode_leaves_out(d, below.key))
        return;
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        words[i] = rules[i].name;
    d->path = &below;
    if (r != NULL)
        decode_param(d, r->name, out);
    else
        decode_fail_word(d, "unknown parameter", key, words, ARRAY_LEN(words), "");
    d->path = here;
}

void decode_params(struct decode *d, void *out_params)
{
    static const struct decode_table params = {.unknown = read_param};

    decode_object(d, &params, out_params);
}
