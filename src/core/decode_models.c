/* SPDX-License-Identifier: Apache-2.0 */
/* The job key `models`: who is asked, how often, with what weight and parameters of its own. Pure but for the arena. */
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "core/decode.h"
#include "core/registry.h"

#define WEIGHT_MAX 1e6

static const char no_name[] = "the model's name is empty";

static void read_name(struct decode *d, void *out)
{
    struct job_member *m = out;

    decode_text(d, &m->name);
    if (text_is_blank(m->name))
        decode_fail(d, no_name);
}

static void read_weight(struct decode *d, void *out)
{
    struct job_member *m = out;

    if (scan_peek(&d->s) != SCAN_NUMBER || scan_double(&d->s, &m->weight) < 0 || !(m->weight > 0) ||
        m->weight > WEIGHT_MAX)
        decode_fail(d, "weight must be a number above 0, at most 1000000");
}

static void read_samples(struct decode *d, void *out)
{
    struct job_member *m = out;

    m->samples = (int)decode_int(d, 1, JOB_MODELS_MAX, "samples must be an integer from 1 to 64");
}

static void read_params(struct decode *d, void *out)
{
    struct job_member *m = out;
    struct param_set set = {.max_output_tokens = -1};

    decode_params(d, &set);
    m->params = set.items;
    m->n_params = set.n;
    m->max_output_tokens = set.max_output_tokens;
}

static void read_system(struct decode *d, void *out)
{
    struct job_member *m = out;

    decode_system(d, &m->system);
}

static struct job_member *add_member(struct decode *d, int *cap)
{
    struct job_spec *spec = d->spec;
    struct job_member *members = decode_grow(d, (void *)spec->members, spec->n_members, cap, sizeof(*members));

    spec->members = members;
    members[spec->n_members] = (struct job_member){.samples = 1, .weight = 1, .max_output_tokens = -1};
    return &members[spec->n_members++];
}

static void read_member(struct decode *d, void *cap)
{
    static const struct decode_key keys[] = {DECODE_KEY("model", read_name), DECODE_KEY("weight", read_weight),
                                             DECODE_KEY("samples", read_samples), DECODE_KEY("params", read_params),
                                             DECODE_KEY("system", read_system)};
    static const struct decode_table table = DECODE_TABLE(keys, .unknown = NULL);
    struct job_member *m;

    if (d->spec->n_members == JOB_MODELS_MAX) {
        decode_fail(d, "more than 64 models");
        return;
    }
    m = add_member(d, cap);
    if (scan_peek(&d->s) == SCAN_STRING) {
        read_name(d, m);
    } else if (scan_peek(&d->s) == SCAN_OBJECT) {
        decode_object(d, &table, m);
        if (m->name.p == NULL)
            decode_fail_at(d, "model", "model, the name, is missing");
    } else {
        decode_fail(d, "a model must be given by its name, a string, or as {\"model\": name, ...}");
    }
}

void decode_models(struct decode *d, void *unused)
{
    int cap = 0;

    (void)unused;
    if (!decode_is(d, SCAN_ARRAY, "models must be an array of names"))
        return;
    if (decode_items(d, read_member, &cap) == 0)
        decode_fail(d, "models is empty; leave it out for jobs.default_models");
}

void decode_line_model(struct decode *d, void *unused)
{
    (void)unused;
    decode_text(d, &d->model);
    if (text_is_blank(d->model))
        decode_fail(d, no_name);
}

void decode_line_samples(struct decode *d, void *unused)
{
    (void)unused;
    d->samples = decode_int(d, 1, JOB_MODELS_MAX, "must be an integer from 1 to 64");
}

/* A batch line names at most one model; several samples need members to say so, the default ones too. */
static void add_line_members(struct decode *d)
{
    const struct registry *r = d->job->env->registry;
    int cap = 0;

    if (d->spec->n_members == 0 && d->model.p != NULL)
        add_member(d, &cap)->name = d->model;
    if (d->spec->n_members == 0 && d->samples > 1)
        for (size_t i = 0; i < r->n_default_models && i < JOB_MODELS_MAX; i++)
            add_member(d, &cap)->name = text_of(r->default_models[i]);
    for (int i = 0; i < d->spec->n_members; i++) {
        struct job_member *m = (struct job_member *)&d->spec->members[i]; /* ours until the end */

        if (m->samples == 1)
            m->samples = (int)d->samples;
    }
}

void decode_finish_models(struct decode *d)
{
    struct job_spec *spec = d->spec;
    const struct registry *r = d->job->env->registry;
    int n = 0;

    if (decode_has_failed(d))
        return;
    add_line_members(d);
    for (int i = 0; i < spec->n_members; i++)
        n += spec->members[i].samples;
    if (n > JOB_MODELS_MAX)
        decode_fail_at(d, "models", "more than 64 calls: the samples of all models count");
    if (spec->n_members == 0)
        n = r->n_default_models < JOB_MODELS_MAX + 1 ? (int)r->n_default_models : JOB_MODELS_MAX + 1;
    if (n == 0)
        decode_fail_at(d, "models", "models is missing and jobs.default_models is empty");
    else if (n > JOB_MODELS_MAX)
        decode_fail_at(d, "models", "models is missing and jobs.default_models has more than 64");
    else if (spec->quorum > n)
        decode_fail_at(d, "quorum", "quorum is larger than the number of answers asked for");
    if (spec->merge == NULL)
        spec->merge = decode_find_merge(d->job->env, n == 1 ? "none" : "concat");
}
