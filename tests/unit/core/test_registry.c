/* SPDX-License-Identifier: Apache-2.0 */
/* Finding models by every name a job may use, in the order of the contract, and making those that nobody configured;
 * prices to the nano-dollar. */
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"

enum { OPENAI, AZURE, HUB };
static const struct provider providers[] = {
    [OPENAI] = {.id = "openai", .index = OPENAI, .n_keys = 2},
    [AZURE] = {.id = "azure", .index = AZURE, .n_keys = 1},
    [HUB] = {.id = "open", .index = HUB, .n_keys = 1},
};

static const char *const chat_aliases[] = {"gpt", "claude-next"};
static const char *const mini_aliases[] = {"chat", "small", "shared"};
static const char *const last_aliases[] = {"shared", "gpt-4o"};

static const struct model models[] = {
    {.id = "chat", .provider = &providers[OPENAI], .vendor_model = "gpt-4o", .aliases = chat_aliases, .n_aliases = 2},
    {.id = "mini", .provider = &providers[AZURE], .vendor_model = "gpt-4o", .aliases = mini_aliases, .n_aliases = 3},
    {.id = "small", .provider = &providers[HUB], .vendor_model = "meta/llama-3", .aliases = NULL, .n_aliases = 0},
    {.id = "ai/x", .provider = &providers[OPENAI], .vendor_model = "mini", .aliases = last_aliases, .n_aliases = 2},
    {.id = "m\"q", .provider = &providers[HUB], .vendor_model = "z", .aliases = NULL, .n_aliases = 0},
};
static const struct registry registry = {.models = models, .n_models = ARRAY_LEN(models)};

static const struct {
    struct text name;
    int model; /* -1: none */
} names[] = {
    {TEXT_LIT("chat"), 0},              /* an id goes before mini's alias */
    {TEXT_LIT("small"), 2},             /* likewise */
    {TEXT_LIT("mini"), 1},              /* an id goes before a vendor's name */
    {TEXT_LIT("gpt"), 0},               /* alias */
    {TEXT_LIT("shared"), 1},            /* of two aliases the first model */
    {TEXT_LIT("gpt-4o"), 3},            /* an alias goes before the vendor's name of chat and mini */
    {TEXT_LIT("openai/gpt-4o"), 0},     /* provider/vendor-id */
    {TEXT_LIT("azure/gpt-4o"), 1},      /* the same name at another provider */
    {TEXT_LIT("open/meta/llama-3"), 2}, /* a vendor's id with a slash */
    {TEXT_LIT("openai/mini"), 3},
    {TEXT_LIT("meta/llama-3"), 2}, /* any model's vendor name */
    {TEXT_LIT("z"), 4},
    {TEXT_LIT("ai/x"), 3},
    {{.p = "openai\\/gpt-4o", .len = 14, .is_escaped = true}, 0}, /* as PHP writes it */
    {{.p = "ch\\u0061t", .len = 9, .is_escaped = true}, 0},
    {{.p = "m\\\"q", .len = 4, .is_escaped = true}, 4},
    {TEXT_LIT("m\\\"q"), -1}, /* plain: a backslash is one */
    {TEXT_LIT("Chat"), -1},   /* names are case-sensitive */
    {TEXT_LIT("chat "), -1},
    {TEXT_LIT("openai"), -1},
    {TEXT_LIT("openai/"), -1},
    {TEXT_LIT("/gpt-4o"), -1},
    {TEXT_LIT("openai/chat"), -1}, /* behind the slash stands the vendor's id, not ours */
    {TEXT_LIT("open/gpt-4o"), -1}, /* open has no such model; openai is another provider */
    {TEXT_LIT(""), -1},
    {{.p = NULL}, -1},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct model *m = registry_find(&registry, names[i].name);
        const struct model *wanted = names[i].model >= 0 ? &models[names[i].model] : NULL;

        if (m != wanted)
            fail_msg("row %zu: %s", i, m != NULL ? m->id : "none");
    }
}

static void test_long_name(void **state)
{
    static char name[5000];

    (void)state;
    memset(name, 'x', sizeof(name));
    memcpy(name, "openai/", 7);
    assert_null(registry_find(&registry, text_slice(name, sizeof(name))));
}

/* --- names that no model has --- */

enum { NONE = -1, NAME_BYTES = 300 };

static const struct {
    struct text name;
    int found;                 /* the configured model; NONE: none */
    int provider;              /* of the model made for it, without a default provider; NONE: none */
    const char *vendor;        /* what it is asked as there */
    const char *default_asked; /* what the default provider is asked for instead of none; NULL: still none */
} resolutions[] = {
    /* what is configured goes first, in registry_find()'s order, whatever the default provider is */
    {TEXT_LIT("chat"), 0, NONE, NULL, NULL},
    {TEXT_LIT("gpt"), 0, NONE, NULL, NULL},
    {TEXT_LIT("azure/gpt-4o"), 1, NONE, NULL, NULL},
    {TEXT_LIT("meta/llama-3"), 2, NONE, NULL, NULL},
    {TEXT_LIT("gpt-4o"), 3, NONE, NULL, NULL},
    {TEXT_LIT("ai/x"), 3, NONE, NULL, NULL},
    {TEXT_LIT("openai/mini"), 3, NONE, NULL, NULL}, /* configured: with its price and its limits */
    /* then the provider that is named, before the default one */
    {TEXT_LIT("openai/new-model"), NONE, OPENAI, "new-model", NULL},
    {TEXT_LIT("azure/new-model"), NONE, AZURE, "new-model", NULL},
    {TEXT_LIT("open/meta/llama-9"), NONE, HUB, "meta/llama-9", NULL},
    {TEXT_LIT("openai/chat"), NONE, OPENAI, "chat", NULL}, /* the vendor's chat, not ours */
    {TEXT_LIT("open//"), NONE, HUB, "/", NULL},
    {{.p = "openai\\/n\\u0065w", .len = 16, .is_escaped = true}, NONE, OPENAI, "new", NULL},
    /* then the default one, by the whole name */
    {TEXT_LIT("new-model"), NONE, NONE, NULL, "new-model"},
    {TEXT_LIT("Chat"), NONE, NONE, NULL, "Chat"},
    {TEXT_LIT("openai"), NONE, NONE, NULL, "openai"},
    {TEXT_LIT("openai/"), NONE, NONE, NULL, "openai/"},
    {TEXT_LIT("/gpt-4o"), NONE, NONE, NULL, "/gpt-4o"},
    {TEXT_LIT("opena/x"), NONE, NONE, NULL, "opena/x"}, /* neither open nor openai */
    {TEXT_LIT("nobody/x"), NONE, NONE, NULL, "nobody/x"},
    {{.p = "n\\u0065w", .len = 8, .is_escaped = true}, NONE, NONE, NULL, "new"},
    /* never */
    {TEXT_LIT(""), NONE, NONE, NULL, NULL},
    {TEXT_LIT(" \t"), NONE, NONE, NULL, NULL},
    {{.p = NULL}, NONE, NONE, NULL, NULL},
};

static void check_made(const char *row, const struct model *m, int provider, const char *vendor)
{
    char id[NAME_BYTES + 100];

    if (m == NULL)
        fail_msg("%s: none", row);
    snprintf(id, sizeof(id), "%s/%s", providers[provider].id, vendor);
    if (m->provider != &providers[provider] || strcmp(m->vendor_model, vendor) != 0 || strcmp(m->id, id) != 0)
        fail_msg("%s: %s at %s as %s", row, m->id, m->provider->id, m->vendor_model);
    assert_int_equal(m->index, -1);
    assert_int_equal(m->max_output_tokens, 77); /* what such models start from */
    assert_int_equal(m->price.input, -1);
    for (int k = 0; k < providers[provider].n_keys; k++)
        assert_int_equal(m->pools[k], -1);
}

static void check_resolution(size_t i, const struct registry *r, struct arena *a)
{
    const struct model *m = registry_resolve(r, resolutions[i].name, a);
    const char *asked = r->default_provider != NULL ? resolutions[i].default_asked : NULL;
    char row[32];

    snprintf(row, sizeof(row), "row %zu", i);
    if (resolutions[i].found != NONE)
        assert_ptr_equal(m, &models[resolutions[i].found]);
    else if (resolutions[i].provider != NONE)
        check_made(row, m, resolutions[i].provider, resolutions[i].vendor);
    else if (asked != NULL)
        check_made(row, m, HUB, asked);
    else if (m != NULL)
        fail_msg("%s: %s", row, m->id);
}

static struct registry with_providers(const struct provider *default_provider)
{
    return (struct registry){
        .models = models,
        .n_models = ARRAY_LEN(models),
        .providers = providers,
        .n_providers = ARRAY_LEN(providers),
        .default_provider = default_provider,
        .ad_hoc = {.index = -1, .price = {-1, -1, -1}, .max_output_tokens = 77},
    };
}

static void test_resolve(void **state)
{
    const struct registry without = with_providers(NULL), with = with_providers(&providers[HUB]);
    struct arena *a = arena_new(4096);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(resolutions); i++) {
        check_resolution(i, &without, a);
        check_resolution(i, &with, a);
    }
    arena_free(a);
}

static void test_resolve_long_names(void **state)
{
    const struct registry without = with_providers(NULL), with = with_providers(&providers[HUB]);
    struct arena *a = arena_new(4096);
    char name[NAME_BYTES + 2];

    (void)state;
    memset(name, 'x', sizeof(name));
    name[NAME_BYTES] = '\0';
    check_made("300 bytes", registry_resolve(&with, text_of(name), a), HUB, name);
    assert_null(registry_resolve(&without, text_of(name), a));
    assert_null(registry_resolve(&with, text_slice(name, NAME_BYTES + 1), a));
    memcpy(name, "openai/", 7);
    check_made("300 bytes", registry_resolve(&without, text_of(name), a), OPENAI, name + 7);
    assert_null(registry_resolve(&with, text_slice(name, NAME_BYTES + 1), a));
    arena_free(a);
}

/* Nano-dollars per million tokens: 2.50 USD is 2,500,000,000. */
#define USD(x) ((int64_t)((x)*1e9 + 0.5))

static const struct {
    struct price price;
    struct usage usage; /* input, output, cached, reasoning */
    int64_t nusd;
} costs[] = {
    {{USD(2.50), USD(10), USD(1.25)}, {1000, 500, -1, -1}, 7500000},
    {{USD(2.50), USD(10), USD(1.25)}, {1000, 500, 400, -1}, 7000000}, /* 600 * 2.5 + 400 * 1.25 + 500 * 10 */
    {{USD(2.50), USD(10), -1}, {1000, 500, 400, -1}, 7500000},        /* no price of its own: as input */
    {{USD(2.50), USD(10), 0}, {1000, 500, 400, -1}, 6500000},         /* free */
    {{USD(2.50), USD(10), USD(1.25)}, {1000, 500, 0, -1}, 7500000},
    {{USD(2.50), USD(10), USD(1.25)}, {100, 0, 900, -1}, 125000}, /* more cached than asked: all of it cached */
    {{USD(3), USD(15), -1}, {1, 0, -1, -1}, 3000},                /* one token */
    {{USD(0.15), USD(0.6), USD(0.075)}, {1, 1, 1, -1}, 675},
    {{USD(0.075), USD(0.3), -1}, {7, 3, -1, 3}, 1425}, /* reasoning is part of the output */
    {{1, 0, -1}, {499999, 0, -1, -1}, 0},              /* rounded to nearest */
    {{1, 0, -1}, {500000, 0, -1, -1}, 1},
    {{0, 0, -1}, {1000, 1000, -1, -1}, 0}, /* a price of nothing is known */
    {{USD(2.50), USD(10), -1}, {0, 0, -1, -1}, 0},
    {{USD(1000), USD(1000), -1}, {1000000000, 1000000000, -1, -1}, INT64_C(2000000000000000)},
    {{-1, USD(10), -1}, {1000, 500, -1, -1}, -1}, /* unknown stays unknown, never 0 */
    {{USD(2.50), -1, -1}, {1000, 0, -1, -1}, -1},
    {{USD(2.50), USD(10), -1}, {-1, 500, -1, -1}, -1},
    {{USD(2.50), USD(10), -1}, {1000, -1, -1, -1}, -1},
    {{USD(1000), USD(1000), -1}, {INT64_MAX, INT64_MAX, -1, -1}, -1}, /* no number that could be written */
};

static void test_costs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(costs); i++) {
        int64_t nusd = price_cost_nusd(&costs[i].price, &costs[i].usage);

        if (nusd != costs[i].nusd)
            fail_msg("row %zu: %lld", i, (long long)nusd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),   cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_resolve), cmocka_unit_test(test_resolve_long_names),
        cmocka_unit_test(test_costs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
