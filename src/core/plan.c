/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles models + merge into the calls of the one stage: each member as often as it has samples. Pure but for the
 * arena. Loop thread. */
#include "base/check.h"
#include "base/mem.h"
#include "core/job.h"
#include "core/registry.h"

/* What the merge sees of each call; only the outcomes change later. */
static void prepare_view(struct job *j)
{
    const char **names = arena_alloc(j->arena, sizeof(*names) * (size_t)j->n_calls);
    double *weights = arena_alloc(j->arena, sizeof(*weights) * (size_t)j->n_calls);

    for (int i = 0; i < j->n_calls; i++) {
        const struct call *c = &j->calls[i];

        names[i] = c->model != NULL ? c->model->id : text_decode(j->arena, c->name, NULL);
        weights[i] = j->members[c->member].weight;
    }
    j->view = (struct stage_view){
        .n = j->n_calls,
        .names = names,
        .outcomes = arena_zero(j->arena, sizeof(*j->view.outcomes) * (size_t)j->n_calls),
        .weights = weights,
        .quorum = j->quorum,
        .conf = j->spec.merge_conf,
    };
}

void job_plan_members(struct job *j, const struct job_member *members, int n)
{
    int n_calls = 0;

    for (int i = 0; i < n; i++)
        n_calls += members[i].samples;
    CHECK(n_calls >= 1 && n_calls <= JOB_MODELS_MAX);
    j->members = members;
    j->n_members = n;
    j->calls = arena_zero(j->arena, sizeof(*j->calls) * (size_t)n_calls);
    j->n_calls = 0;
    j->n_over = 0;
    for (int i = 0; i < n; i++) {
        const struct model *model = registry_resolve(j->env->registry, members[i].name, j->arena);

        for (int sample = 0; sample < members[i].samples; sample++)
            call_init(&j->calls[j->n_calls++], j, i, sample, members[i].name, model);
    }
    j->quorum = j->spec.quorum > 0 ? j->spec.quorum : j->spec.merge->default_quorum_max;
    if (j->quorum > n_calls)
        j->quorum = n_calls;
    prepare_view(j);
}

void job_plan(struct job *j)
{
    const struct registry *r = j->env->registry;
    int n = (int)r->n_default_models;
    struct job_member *members;

    if (j->spec.n_members > 0) {
        job_plan_members(j, j->spec.members, j->spec.n_members);
        return;
    }
    members = arena_zero(j->arena, sizeof(*members) * (size_t)n);
    for (int i = 0; i < n; i++)
        members[i] = (struct job_member){
            .name = text_of(r->default_models[i]), .samples = 1, .weight = 1, .max_output_tokens = -1};
    job_plan_members(j, members, n);
}

const struct stage_view *job_stage_view(struct job *j)
{
    const struct outcome **outcomes = (const struct outcome **)j->view.outcomes;

    for (int i = 0; i < j->n_calls; i++)
        outcomes[i] = j->calls[i].outcome;
    return &j->view;
}
