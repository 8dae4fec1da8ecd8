/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the provider request of a call. Pure but for the arena. Loop thread. */
#include "core/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "core/job.h"
#include "core/registry.h"

static bool is_named(const struct request_param *params, size_t n, struct text name)
{
    for (size_t i = 0; i < n; i++)
        if (text_equal(params[i].name, name))
            return true;
    return false;
}

/* The model's defaults that the job does not set, then the job's own. */
static void overlay_params(struct call *c, struct request *q)
{
    const struct job_spec *spec = &c->job->spec;
    const struct model *m = c->model;
    struct request_param *all = arena_alloc(c->job->arena, sizeof(*all) * (m->n_params + (size_t)spec->n_params + 1));
    size_t n = 0;

    for (size_t i = 0; i < m->n_params; i++)
        if (!is_named(spec->params, (size_t)spec->n_params, m->params[i].name))
            all[n++] = m->params[i];
    for (int i = 0; i < spec->n_params; i++)
        all[n++] = spec->params[i];
    q->params = all;
    q->n_params = n;
}

/* The same for every attempt of the call, in whatever process: a provider that knows the header serves it once. */
static const char *idempotency_key(struct call *c)
{
    const struct position *pos = &c->job->pos;
    char partition[16], offset[32];
    const char *parts[] = {c->job->env->group, pos->topic, partition, offset, c->key};
    char *out = arena_alloc(c->job->arena, UUID_CHARS + 1);

    snprintf(partition, sizeof(partition), "%d", pos->partition);
    snprintf(offset, sizeof(offset), "%lld", (long long)pos->offset);
    digest_uuid8(parts, sizeof(parts) / sizeof(parts[0]), out);
    return out;
}

int call_build_request(struct call *c)
{
    struct env *env = c->job->env;
    const struct model *m = c->model;
    const char *why = "the request cannot be built";
    struct chat_message *message = arena_zero(c->job->arena, sizeof(*message));
    struct message_part *part = arena_zero(c->job->arena, sizeof(*part));
    struct request q = {
        .base_url = m->provider->base_url,
        .vendor_model = m->vendor_model,
        .system = TEXT_NONE,
        .messages = message,
        .n_messages = 1,
        .tools = TEXT_NONE,
        .tool_choice = TEXT_NONE,
        .drop_params = m->drop_params,
        .n_drop_params = m->n_drop_params,
        .max_output_tokens = c->job->spec.max_output_tokens > 0 ? c->job->spec.max_output_tokens : m->max_output_tokens,
    };

    *part = (struct message_part){.kind = PART_TEXT, .text = c->job->spec.prompt};
    *message = (struct chat_message){
        .role = ROLE_USER, .parts = part, .n_parts = 1, .tool_calls = TEXT_NONE, .tool_call_id = TEXT_NONE};
    overlay_params(c, &q);
    q.idempotency_key = idempotency_key(c);
    if (m->provider->ops->build(&q, c->job->arena, &c->wire, &why) < 0) {
        call_end_unsent(c, FAULT_INVALID_REQUEST, "build", why);
        return -EINVAL;
    }
    if (m->provider->keys[c->key_slot].secret != NULL)
        m->provider->ops->sign(m->provider->keys[c->key_slot].secret, loop_wall_ms(env->loop), c->job->arena, &c->wire);
    /* a third of the bytes is an upper bound of the input's tokens for ordinary text (DESIGN 11) */
    c->estimate_tokens = (int64_t)(c->job->spec.prompt.len + 2) / 3 + q.max_output_tokens;
    c->is_built = true;
    return 0;
}
