/* SPDX-License-Identifier: Apache-2.0 */
/* A decoded job as one JSON object, so that tables of shapes can be compared with what is expected of them. Only what
 * is there is written. Header only; one thread. */
#ifndef UNIT_SPEC_DUMP_H
#define UNIT_SPEC_DUMP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "core/job.h"
#include "core/registry.h"

static const char *const spec_defaults[] = {"chatgpt", "claude"};

struct spec_rig {
    struct registry registry;
    struct env env;
    struct job j;
    struct job_error err;
};

static inline void spec_start(struct spec_rig *r)
{
    memset(r, 0, sizeof(*r));
    r->registry = (struct registry){.default_models = spec_defaults, .n_default_models = 2};
    r->env = (struct env){.registry = &r->registry, .max_bytes = 1 << 20};
    r->env.merges = merge_all(&r->env.n_merges);
    r->j = (struct job){.env = &r->env, .arena = arena_new(4096)};
    r->j.pos = (struct position){.topic = "tutti.jobs", .partition = 3, .offset = 42};
}

static inline void spec_stop(struct spec_rig *r)
{
    arena_free(r->j.arena);
}

static inline int spec_decode(struct spec_rig *r, const char *value)
{
    r->j.value_len = strlen(value);
    r->j.value = arena_copy(r->j.arena, value, r->j.value_len);
    return job_decode(&r->j, &r->err);
}

static inline json_t *spec_text(struct spec_rig *r, struct text t)
{
    size_t len;
    const char *p = text_decode(r->j.arena, t, &len);

    return json_stringn(p, len);
}

/* The key only when the text is there. */
static inline void spec_put(struct spec_rig *r, json_t *to, const char *key, struct text t)
{
    if (t.p != NULL)
        json_object_set_new(to, key, spec_text(r, t));
}

static inline void spec_put_raw(json_t *to, const char *key, struct text t)
{
    json_error_t why;
    json_t *v;

    if (t.p == NULL)
        return;
    v = json_loadb(t.p, t.len, JSON_DECODE_ANY, &why);
    if (v == NULL)
        fail_msg("%s is not JSON: %.*s", key, (int)t.len, t.p);
    json_object_set_new(to, key, v);
}

/* {"temperature": 1, "openai:logprobs": true} */
static inline void spec_put_params(json_t *to, const struct request_param *params, int n, int64_t limit)
{
    json_t *all = json_object();
    char name[200];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "%s%s%.*s", params[i].dialect != NULL ? params[i].dialect : "",
                 params[i].dialect != NULL ? ":" : "", (int)params[i].name.len, params[i].name.p);
        spec_put_raw(all, name, params[i].json);
    }
    if (limit > 0)
        json_object_set_new(all, "max_output_tokens", json_integer(limit));
    if (json_object_size(all) > 0)
        json_object_set(to, "params", all);
    json_decref(all);
}

static inline json_t *spec_messages(struct spec_rig *r)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    json_t *all = json_array();

    for (int i = 0; i < r->j.spec.n_messages; i++) {
        const struct chat_message *m = &r->j.spec.messages[i];
        json_t *one = json_object(), *parts = json_array();

        json_object_set_new(one, "role", json_string(roles[m->role]));
        for (int p = 0; p < m->n_parts; p++) {
            json_t *part = json_object();

            json_object_set_new(part, m->parts[p].kind == PART_TEXT ? "text" : "image", spec_text(r, m->parts[p].text));
            json_array_append_new(parts, part);
        }
        json_object_set_new(one, "parts", parts);
        spec_put_raw(one, "tool_calls", m->tool_calls);
        spec_put(r, one, "tool_call_id", m->tool_call_id);
        json_array_append_new(all, one);
    }
    return all;
}

static inline json_t *spec_members(struct spec_rig *r)
{
    json_t *all = json_array();

    for (int i = 0; i < r->j.spec.n_members; i++) {
        const struct job_member *m = &r->j.spec.members[i];
        json_t *one = json_object();

        json_object_set_new(one, "model", spec_text(r, m->name));
        if (m->samples != 1)
            json_object_set_new(one, "samples", json_integer(m->samples));
        if (m->weight < 1 || m->weight > 1)
            json_object_set_new(one, "weight", json_real(m->weight));
        spec_put(r, one, "system", m->system);
        spec_put_params(one, m->params, m->n_params, m->max_output_tokens);
        json_array_append_new(all, one);
    }
    return all;
}

static inline json_t *spec_dump(struct spec_rig *r)
{
    const struct job_spec *spec = &r->j.spec;
    json_t *out = json_object();

    json_object_set_new(out, "messages", spec_messages(r));
    if (spec->n_members > 0)
        json_object_set_new(out, "models", spec_members(r));
    spec_put(r, out, "system", spec->system);
    spec_put_raw(out, "tools", spec->tools);
    spec_put_raw(out, "tool_choice", spec->tool_choice);
    spec_put_params(out, spec->params, spec->n_params, spec->max_output_tokens);
    spec_put(r, out, "custom_id", spec->custom_id);
    spec_put(r, out, "tenant", spec->tenant);
    if (spec->detail != DETAIL_FULL)
        json_object_set_new(out, "detail", json_integer(spec->detail));
    if (spec->output_format != FORMAT_AS_IS)
        json_object_set_new(out, "output_format", json_integer(spec->output_format));
    if (spec->n_dropped > 0) {
        json_t *dropped = json_array();

        for (int i = 0; i < spec->n_dropped; i++)
            json_array_append_new(dropped, spec_text(r, spec->dropped[i]));
        json_object_set_new(out, "dropped", dropped);
    }
    if (spec->is_input_truncated)
        json_object_set_new(out, "truncated", json_true());
    return out;
}

struct spec_row {
    const char *job;
    const char *spec; /* as spec_dump() writes it */
};

static inline void spec_check(const struct spec_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct spec_rig r;
        json_error_t why;
        json_t *wanted = json_loads(rows[i].spec, 0, &why), *is;

        if (wanted == NULL)
            fail_msg("row %zu: %s at %d of what is wanted", i, why.text, why.position);
        spec_start(&r);
        if (spec_decode(&r, rows[i].job) < 0)
            fail_msg("row %zu: %s: %s", i, r.err.pointer, r.err.message);
        is = spec_dump(&r);
        if (!json_equal(is, wanted)) {
            char *text = json_dumps(is, JSON_COMPACT | JSON_SORT_KEYS);

            fail_msg("row %zu is %s", i, text);
        }
        json_decref(is);
        json_decref(wanted);
        spec_stop(&r);
    }
}

#endif
