/* SPDX-License-Identifier: Apache-2.0 */
/* The table of dialects. A new one is its own file and two lines here. No state; any thread. */
#include "impl/provider.h"

#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "provider/anthropic.h"
#include "provider/gemini.h"
#include "provider/openai.h"

static const struct provider_ops *const dialects[] = {&openai_ops, &anthropic_ops, &gemini_ops};
static const char *const names[] = {"openai", "anthropic", "gemini", NULL};
static_assert(ARRAY_LEN(names) == ARRAY_LEN(dialects) + 1, "a name for every dialect");

const struct provider_ops *provider_find(const char *api)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++)
        if (strcmp(dialects[i]->name, api) == 0)
            return dialects[i];
    return NULL;
}

const char *const *provider_names(void)
{
    return names;
}
