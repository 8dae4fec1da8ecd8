/* SPDX-License-Identifier: Apache-2.0 */
/* Finding models by every name a job may use, in the order of the contract; prices to the nano-dollar. */
#include "core/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/check.h"
#include "base/text.h"

static const struct provider openai = {.id = "openai"};
static const struct provider azure = {.id = "azure"};
static const struct provider hub = {.id = "open"};

static const char *const chat_aliases[] = {"gpt", "claude-next"};
static const char *const mini_aliases[] = {"chat", "small", "shared"};
static const char *const last_aliases[] = {"shared", "gpt-4o"};

static const struct model models[] = {
    {.id = "chat", .provider = &openai, .vendor_model = "gpt-4o", .aliases = chat_aliases, .n_aliases = 2},
    {.id = "mini", .provider = &azure, .vendor_model = "gpt-4o", .aliases = mini_aliases, .n_aliases = 3},
    {.id = "small", .provider = &hub, .vendor_model = "meta/llama-3", .aliases = NULL, .n_aliases = 0},
    {.id = "ai/x", .provider = &openai, .vendor_model = "mini", .aliases = last_aliases, .n_aliases = 2},
    {.id = "m\"q", .provider = &hub, .vendor_model = "z", .aliases = NULL, .n_aliases = 0},
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
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_costs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
