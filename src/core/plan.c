/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles models + merge into the calls of the one stage. Pure but for the arena. Loop thread. */
#include "base/mem.h"
#include "core/job.h"
#include "core/registry.h"

void job_plan_named(struct job *j, const struct text *names, int n)
{
    j->calls = arena_zero(j->arena, sizeof(*j->calls) * (size_t)n);
    j->n_calls = n;
    j->n_over = 0;
    for (int i = 0; i < n; i++)
        call_init(&j->calls[i], j, i, names[i], registry_resolve(j->env->registry, names[i], j->arena));
    j->quorum = j->spec.quorum > 0 ? j->spec.quorum : j->spec.merge->default_quorum_max;
    if (j->quorum > n)
        j->quorum = n;
}

void job_plan(struct job *j)
{
    const struct registry *r = j->env->registry;
    struct text *names = j->spec.models;
    int n = j->spec.n_models;

    if (n == 0) {
        n = (int)r->n_default_models;
        names = arena_alloc(j->arena, sizeof(*names) * (size_t)n);
        for (int i = 0; i < n; i++)
            names[i] = text_of(r->default_models[i]);
    }
    job_plan_named(j, names, n);
}

struct stage_view job_stage_view(struct job *j)
{
    const char **names = arena_alloc(j->arena, sizeof(*names) * (size_t)j->n_calls);
    const struct outcome **outcomes = arena_alloc(j->arena, sizeof(*outcomes) * (size_t)j->n_calls);

    for (int i = 0; i < j->n_calls; i++) {
        struct call *c = &j->calls[i];

        names[i] = c->model != NULL ? c->model->id : text_decode(j->arena, c->name, NULL);
        outcomes[i] = c->outcome;
    }
    return (struct stage_view){.n = j->n_calls, .names = names, .outcomes = outcomes, .quorum = j->quorum};
}
