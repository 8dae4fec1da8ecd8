/* SPDX-License-Identifier: Apache-2.0 */
/* The job key `merge`: a name, or an object of which the strategy itself knows and checks the other keys. Pure but for
 * the arena. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/decode.h"

enum { KEYS_MAX = 8 };

const struct merge_ops *decode_find_merge(const struct env *env, const char *name)
{
    for (int i = 0; i < env->n_merges; i++)
        if (strcmp(env->merges[i]->name, name) == 0)
            return env->merges[i];
    return NULL;
}

static void set_merge(struct decode *d, void *name_text)
{
    const struct env *env = d->job->env;
    const struct text *name = name_text;
    const char *words[32];
    size_t n = env->n_merges < 32 ? (size_t)env->n_merges : 32;

    d->spec->merge = decode_find_merge(env, text_decode(d->arena, *name, NULL));
    if (d->spec->merge != NULL)
        return;
    for (size_t i = 0; i < n; i++)
        words[i] = env->merges[i]->name;
    decode_fail_word(d, "unknown merge", *name, words, n, "");
}

static void read_strategy(struct decode *d, void *name_text)
{
    decode_text(d, name_text);
    if (!decode_has_failed(d))
        set_merge(d, name_text);
}

static const struct decode_key any_keys[] = {DECODE_KEY("strategy", decode_skip), DECODE_KEY("extract", decode_skip)};
static const struct decode_table any_table = DECODE_TABLE(any_keys, .unknown = NULL);

/* First the strategy, wherever it stands, since it says which other keys there are. */
static void find_strategy(struct decode *d, struct text *name)
{
    static const struct decode_key keys[] = {DECODE_KEY("strategy", read_strategy)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = decode_pass_over);

    struct scan again = d->s;

    decode_object(d, &table, name);
    if (name->p != NULL || decode_has_failed(d))
        return;
    d->s = again;
    decode_object(d, &any_table, NULL); /* a misspelled key is the better thing to name */
    decode_fail_at(d, "strategy", "strategy is missing");
}

/* Are there only keys of the strategy's, each once? */
static void check_keys(struct decode *d)
{
    struct decode_key keys[KEYS_MAX] = {DECODE_KEY("strategy", decode_skip)};
    struct decode_table table = {.keys = keys, .n = 1};
    const struct merge_ops *m = d->spec->merge;

    for (size_t i = 0; m->keys != NULL && m->keys[i] != NULL; i++) {
        CHECK(table.n < KEYS_MAX);
        keys[table.n++] = (struct decode_key)DECODE_KEY(m->keys[i], decode_skip);
    }
    table.hint = arena_printf(d->arena, " of merge %s", m->name);
    decode_object(d, &table, NULL);
}

static void fail_below(struct decode *d, const struct merge_error *why)
{
    struct job_error *e = d->err;
    size_t n;

    decode_fail(d, why->message);
    n = strlen(e->pointer);
    snprintf(e->pointer + n, sizeof(e->pointer) - n, "%s", why->pointer);
}

void decode_merge(struct decode *d, void *unused)
{
    struct text name = TEXT_NONE;
    struct merge_error why;
    struct scan again;

    (void)unused;
    if (scan_peek(&d->s) == SCAN_STRING) {
        read_strategy(d, &name);
        return;
    }
    if (!decode_is(d, SCAN_OBJECT, "merge must be a name or an object with a strategy"))
        return;
    again = d->s;
    find_strategy(d, &name);
    if (decode_has_failed(d))
        return;
    d->s = again;
    check_keys(d);
    if (decode_has_failed(d))
        return;
    d->s = again;
    scan_skip(&d->s, &d->spec->merge_conf);
    if (d->spec->merge->check != NULL && d->spec->merge->check(d->spec->merge_conf, d->arena, &why) < 0)
        fail_below(d, &why);
}
