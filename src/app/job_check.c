/* SPDX-License-Identifier: Apache-2.0 */
/* A job that is decoded and thrown away, over an environment that can do nothing else. Main thread. */
#include "app/job_check.h"

#include <string.h>

#include "app/config.h"
#include "app/wire.h"
#include "base/mem.h"
#include "core/registry.h"
#include "seam/merge.h"

struct job_check {
    struct wiring wiring;
    struct env env;
    struct arena *arena; /* of the record looked at last */
};

struct job_check *job_check_new(const struct config *config)
{
    struct job_check *c = mem_zero(sizeof(*c));

    wiring_init(&c->wiring, config);
    c->env = (struct env){.registry = &c->wiring.registry, .max_bytes = (size_t)config->jobs.max_bytes};
    c->env.merges = merge_all(&c->env.n_merges);
    return c;
}

void job_check_free(struct job_check *c)
{
    if (c == NULL)
        return;
    arena_free(c->arena);
    wiring_done(&c->wiring);
    mem_free(c);
}

void job_check_look(struct job_check *c, const char *value, size_t len, struct job_seen *out)
{
    struct job *j;

    memset(out, 0, sizeof(*out));
    arena_free(c->arena);
    c->arena = arena_new(4096);
    j = arena_zero(c->arena, sizeof(*j));
    *j = (struct job){.env = &c->env, .arena = c->arena, .value = arena_copy(c->arena, value, len), .value_len = len};
    j->pos.topic = c->wiring.config->kafka.jobs.items[0];
    if (job_decode(j, &out->error) < 0)
        return;
    if (j->spec.custom_id.p != NULL)
        out->custom_id = text_decode(c->arena, j->spec.custom_id, NULL);
    if (j->spec.has_own_id)
        out->own_id = arena_printf(c->arena, "%s %lld", j->spec.job_id, (long long)j->spec.run);
    for (int i = 0; i < j->spec.n_members && out->strange == NULL; i++)
        if (registry_resolve(&c->wiring.registry, j->spec.members[i].name, c->arena) == NULL)
            out->strange = text_decode(c->arena, j->spec.members[i].name, NULL);
}
