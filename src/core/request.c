/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the provider request of a call. Pure but for the arena. Loop thread. */
#include "core/request.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/mem.h"
#include "core/job.h"
#include "core/registry.h"

enum { IMAGE_TOKENS = 1000 /* what one image is reserved with, whatever its size */ };

struct param_list {
    const struct request_param *items;
    size_t n;
};

static bool is_named(struct param_list list, struct text name)
{
    for (size_t i = 0; i < list.n; i++)
        if (text_equal(list.items[i].name, name))
            return true;
    return false;
}

/* The model's defaults, under the job's own, under those the job has for this model. */
static void overlay_params(const struct call *c, struct request *q)
{
    const struct job_spec *spec = &c->job->spec;
    const struct job_member *member = &c->job->members[c->member];
    const struct param_list layers[] = {{c->model->params, c->model->n_params},
                                        {spec->params, (size_t)spec->n_params},
                                        {member->params, (size_t)member->n_params}};
    struct request_param *all =
        arena_alloc(c->job->arena, sizeof(*all) * (layers[0].n + layers[1].n + layers[2].n + 1));
    size_t n = 0;

    for (size_t l = 0; l < 3; l++)
        for (size_t i = 0; i < layers[l].n; i++) {
            bool is_hidden = false;

            for (size_t above = l + 1; above < 3; above++)
                is_hidden |= is_named(layers[above], layers[l].items[i].name);
            if (!is_hidden)
                all[n++] = layers[l].items[i];
        }
    q->params = all;
    q->n_params = n;
}

static int64_t max_output_tokens(const struct call *c)
{
    const struct job_member *member = &c->job->members[c->member];

    if (member->max_output_tokens > 0)
        return member->max_output_tokens;
    return c->job->spec.max_output_tokens > 0 ? c->job->spec.max_output_tokens : c->model->max_output_tokens;
}

/* The same for every attempt of the call, in whatever process: a provider that knows the header serves it once. */
static const char *idempotency_key(const struct call *c)
{
    const struct position *pos = &c->job->pos;
    char partition[BUF_I64_BYTES], offset[BUF_I64_BYTES];
    const char *parts[] = {c->job->env->group, pos->topic, buf_i64(partition, pos->partition),
                           buf_i64(offset, pos->offset), c->key};
    char *out = arena_alloc(c->job->arena, UUID_CHARS + 1);

    digest_uuid8(parts, sizeof(parts) / sizeof(parts[0]), out);
    return out;
}

/* A third of the bytes is an upper bound of the input's tokens for ordinary text (DESIGN 11). */
static int64_t estimate_input(const struct request *q)
{
    size_t bytes = q->system.len + q->tools.len;
    int64_t images = 0;

    for (int i = 0; i < q->n_messages; i++) {
        const struct chat_message *m = &q->messages[i];

        bytes += m->tool_calls.len;
        for (int p = 0; p < m->n_parts; p++) {
            images += m->parts[p].kind == PART_IMAGE;
            bytes += m->parts[p].kind == PART_IMAGE ? 0 : m->parts[p].text.len;
        }
    }
    return (int64_t)(bytes + 2) / 3 + images * IMAGE_TOKENS;
}

static struct request request_of(const struct call *c)
{
    const struct job_spec *spec = &c->job->spec;
    const struct model *m = c->model;
    struct text system = c->job->members[c->member].system;
    struct request q = {
        .base_url = m->provider->base_url,
        .vendor_model = m->vendor_model,
        .system = system.p != NULL ? system : spec->system,
        .messages = spec->messages,
        .n_messages = spec->n_messages,
        .tools = spec->tools,
        .tool_choice = spec->tool_choice,
        .drop_params = m->drop_params,
        .n_drop_params = m->n_drop_params,
        .max_output_tokens = max_output_tokens(c),
        .idempotency_key = idempotency_key(c),
    };

    overlay_params(c, &q);
    return q;
}

int call_build_request(struct call *c)
{
    struct env *env = c->job->env;
    const struct provider *p = c->model->provider;
    struct request q = request_of(c);
    const char *why = "the request cannot be built";

    if (p->ops->build(&q, c->job->arena, &c->wire, &why) < 0) {
        call_end_unsent(c, FAULT_INVALID_REQUEST, "build", why);
        return -EINVAL;
    }
    if (p->keys[c->key_slot].secret != NULL)
        p->ops->sign(p->keys[c->key_slot].secret, loop_wall_ms(env->loop), c->job->arena, &c->wire);
    c->estimate_tokens = estimate_input(&q) + q.max_output_tokens;
    c->is_built = true;
    return 0;
}

/* An answer out of the journal has no request in this process: it is built again, for who answered, only to see what it
 * left out. */
static bool has_dropped(struct call *c)
{
    const struct model *served;
    const char *why;

    if (c->model == NULL || list_is_empty(&c->attempts))
        return false;
    served = call_served(c, c->outcome);
    if (!c->is_built || (served != NULL && served != c->model)) {
        struct request q;

        c->model = served != NULL ? served : c->model;
        q = request_of(c);
        if (c->model->provider->ops->build(&q, c->job->arena, &c->wire, &why) < 0)
            c->wire.n_dropped = 0;
    }
    return c->wire.n_dropped > 0;
}

void job_note_input(struct job *j)
{
    if (j->spec.is_input_truncated)
        j->degraded |= DEGRADED_INPUT_TRUNCATED;
    if (j->spec.n_dropped > 0)
        j->degraded |= DEGRADED_PARAM_DROPPED;
    for (int i = 0; i < j->n_calls; i++)
        if (has_dropped(&j->calls[i]))
            j->degraded |= DEGRADED_PARAM_DROPPED;
}
