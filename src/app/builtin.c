/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the built-in configuration. Pure. */
#include "app/builtin.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"

const struct builtin_model builtin_models[BUILTIN_MODELS] = {
    {"sim/fast", "latency=120ms,bytes=120", "120 ms", "aliases: [fast], price: {input: 0.15, output: 0.60}"},
    {"sim/smart", "latency=900ms,bytes=240", "900 ms", "aliases: [smart], price: {input: 2.50, output: 10.00}"},
    {"sim/flaky", "latency=150ms,bytes=120,errors=20%,rpm=120", "20 % errors, 120 requests/min",
     "aliases: [flaky], price: {input: 0.50, output: 1.50}, limits: {requests_per_minute: 120}"},
};

/* Providers that people have keys for: the variables their own SDKs read. */
static const struct {
    const char *variable;
    const char *entry;
} real[] = {
    {"OPENAI_API_KEY", "openai: {api: openai, base_url: \"https://api.openai.com/v1\""},
    {"ANTHROPIC_API_KEY", "anthropic: {api: anthropic, base_url: \"https://api.anthropic.com\""},
    {"GEMINI_API_KEY", "google: {api: gemini, base_url: \"https://generativelanguage.googleapis.com\""},
};

static bool is_set(const char *const *env, const char *name)
{
    size_t len = strlen(name);

    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=' && (*env)[len + 1] != '\0')
            return true;
    return false;
}

const char *builtin_missing_key(const struct builtin *b, const char *model)
{
    size_t len = strcspn(model, "/");

    for (size_t i = 0; model[len] == '/' && i < ARRAY_LEN(real); i++)
        if (strncmp(real[i].entry, model, len) == 0 && real[i].entry[len] == ':' && !is_set(b->env, real[i].variable))
            return real[i].variable;
    return NULL;
}

void builtin_write(const struct builtin *b, struct buf *out)
{
    buf_printf(out, "kafka: {brokers: \"%s\", group: tutti-dev, slot: dev, delivery: at_least_once}\n", b->brokers);
    buf_add_str(out, "providers:\n");
    buf_printf(out, "  sim-openai: {api: openai, base_url: \"http://%s/v1\"}\n", b->sim);
    buf_printf(out, "  sim-anthropic: {api: anthropic, base_url: \"http://%s\"}\n", b->sim);
    buf_printf(out, "  sim-gemini: {api: gemini, base_url: \"http://%s\"}\n", b->sim);
    for (size_t i = 0; i < ARRAY_LEN(real); i++)
        if (is_set(b->env, real[i].variable))
            buf_printf(out, "  %s, api_key: \"${env:%s}\"}\n", real[i].entry, real[i].variable);
    buf_add_str(out, "models:\n");
    for (size_t i = 0; i < BUILTIN_MODELS; i++)
        buf_printf(out, "  %s: {provider: sim-openai, %s}\n", builtin_models[i].name, builtin_models[i].more);
    buf_add_str(out, "jobs: {default_models: [sim/fast, sim/smart], deadline: 2m}\n"
                     "retry: {base: 200ms}\n"
                     "breaker: {open_for: 3s}\n"
                     "shutdown: {grace: 2s}\n"
                     "log: {level: warn}\n"
                     "workers: 1\n");
}
