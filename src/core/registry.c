/* SPDX-License-Identifier: Apache-2.0 */
/* Looks models up by every name a job may use, and prices what they reported. Pure; any thread. */
#include "core/registry.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { NAME_BYTES_MAX = 300 };

static bool is_alias(const struct model *m, struct text name)
{
    for (size_t i = 0; i < m->n_aliases; i++)
        if (text_is(name, m->aliases[i]))
            return true;
    return false;
}

/* `provider/vendor-id`; the vendor's id may hold slashes itself. Compared as decoded: PHP writes "openai\/gpt-4o". */
static bool is_qualified(const struct model *m, struct text name)
{
    char qualified[512];
    int n = snprintf(qualified, sizeof(qualified), "%s/%s", m->provider->id, m->vendor_model);

    return n > 0 && (size_t)n < sizeof(qualified) && text_is(name, qualified);
}

static bool is_id(const struct model *m, struct text name)
{
    return text_is(name, m->id);
}

static bool is_vendor_name(const struct model *m, struct text name)
{
    return text_is(name, m->vendor_model);
}

const struct model *registry_find(const struct registry *r, struct text name)
{
    static bool (*const tests[])(const struct model *, struct text) = {is_id, is_alias, is_qualified, is_vendor_name};

    for (size_t t = 0; t < sizeof(tests) / sizeof(tests[0]); t++)
        for (size_t i = 0; i < r->n_models; i++)
            if (tests[t](&r->models[i], name))
                return &r->models[i];
    return NULL;
}

static struct model *make_ad_hoc(const struct registry *r, const struct provider *p, struct text name, struct arena *a)
{
    struct model *m = arena_zero(a, sizeof(*m));

    *m = r->ad_hoc;
    m->provider = p;
    m->metrics = p->ad_hoc_metrics;
    m->vendor_model = text_decode(a, name, NULL);
    m->id = arena_printf(a, "%s/%s", p->id, m->vendor_model);
    for (int i = 0; i < p->n_keys; i++)
        m->pools[i] = -1;
    return m;
}

const struct model *registry_resolve(const struct registry *r, struct text name, struct arena *a)
{
    const struct model *m = registry_find(r, name);
    const char *plain, *slash;

    if (m != NULL || text_is_blank(name) || name.len > NAME_BYTES_MAX)
        return m;
    plain = text_decode(a, name, NULL);
    slash = strchr(plain, '/');
    for (size_t i = 0; slash != NULL && slash[1] != '\0' && i < r->n_providers; i++) {
        const struct provider *p = &r->providers[i];

        if (strlen(p->id) == (size_t)(slash - plain) && strncmp(p->id, plain, (size_t)(slash - plain)) == 0)
            return make_ad_hoc(r, p, text_of(slash + 1), a);
    }
    return r->default_provider != NULL ? make_ad_hoc(r, r->default_provider, text_of(plain), a) : NULL;
}

int64_t price_cost_nusd(const struct price *p, const struct usage *u)
{
    int64_t cached = u->cached_input_tokens > 0 ? u->cached_input_tokens : 0;
    int64_t cached_price = p->cached_input >= 0 ? p->cached_input : p->input;
    __int128 sum;

    if (p->input < 0 || p->output < 0 || u->input_tokens < 0 || u->output_tokens < 0)
        return -1;
    if (cached > u->input_tokens)
        cached = u->input_tokens;
    sum = (__int128)(u->input_tokens - cached) * p->input + (__int128)cached * cached_price +
          (__int128)u->output_tokens * p->output;
    sum = (sum + 500000) / 1000000;
    return sum <= INT64_MAX ? (int64_t)sum : -1;
}
