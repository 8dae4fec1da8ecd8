/* SPDX-License-Identifier: Apache-2.0 */
/* The models that may be asked, compiled from the configuration; read-only once made, shared by all workers. A reload
 * makes another registry; the old ones stay as long as the process, since jobs in hand and attempts to be counted hold
 * models of theirs. */
#ifndef CORE_REGISTRY_H
#define CORE_REGISTRY_H

#include <stddef.h>
#include <stdint.h>

#include "core/outcome.h"
#include "seam/request.h"

struct arena;
struct model_metrics;
struct provider_ops;

/* Nano-dollars per million tokens; -1: unknown. */
struct price {
    int64_t input;
    int64_t output;
    int64_t cached_input; /* -1: as input */
};

enum { PROVIDER_KEYS_MAX = 16, MODEL_FALLBACKS_MAX = 8 };

struct provider_key {
    const char *secret; /* NULL: none is sent; never in a record or a log line */
    const char *id;     /* salted hash of the key, for the records; NULL without a key */
};

struct provider {
    const char *id;
    int index; /* place in registry.providers */
    const struct provider_ops *ops;
    const char *base_url;
    const struct provider_key *keys; /* keys[n_keys], n_keys >= 1 */
    int n_keys;
    const char *ca_file;                  /* NULL: system store */
    struct model_metrics *ad_hoc_metrics; /* of all models named as provider/vendor-id; NULL: not counted by name */
};

struct call_limits {
    int64_t connect_us;
    int64_t first_byte_us;
    int64_t idle_us;
    int64_t total_us;
};

struct model {
    const char *id; /* request_model in the records */
    int index;      /* place in its own registry's models; -1: made for one job out of `provider/vendor-id` */
    const struct provider *provider;
    const char *vendor_model;
    const char *const *aliases; /* aliases[n_aliases] */
    size_t n_aliases;
    int pools[PROVIDER_KEYS_MAX]; /* pools[provider->n_keys]: index for the limiter per key, the same in all
                                     registries of the process; -1: no limits */
    int64_t limit_rpm;            /* sum over the pools of its keys, for the statistics; 0: not limited */
    int64_t limit_tpm;
    struct price price;
    int64_t max_output_tokens;
    size_t max_answer_bytes;
    const struct request_param *params; /* params[n_params]: defaults, overlaid by the job's */
    size_t n_params;
    const char *const *drop_params; /* drop_params[n_drop_params]: names the model refuses */
    size_t n_drop_params;
    const struct model *fallbacks[MODEL_FALLBACKS_MAX]; /* fallbacks[n_fallbacks]: asked instead, in this order */
    int n_fallbacks;
    struct call_limits limits;
    struct model_metrics *metrics; /* where its calls are counted; NULL: among the others */
};

struct registry {
    const struct provider *providers; /* providers[n_providers] */
    size_t n_providers;
    const struct provider *default_provider; /* NULL: none */
    struct model ad_hoc;                     /* what a model of `provider/vendor-id` starts from: defaults, no limits */
    const struct model *models;              /* models[n_models] */
    size_t n_models;
    const char *const *default_models; /* default_models[n_default_models] */
    size_t n_default_models;
};

/* The model a job means by `name`: registry id, alias, `provider/vendor-id`, any model's vendor name (CONTRACTS 3).
 * NULL: none. */
const struct model *registry_find(const struct registry *r, struct text name);
/* The same, and where that finds none: `provider/vendor-id` of a configured provider, then the default provider, as a
 * model made in the arena (index -1, no limits, no price). NULL: none. */
const struct model *registry_resolve(const struct registry *r, struct text name, struct arena *a);
/* Tells base/metrics what the codes and reasons are called in the labels. Once, before any worker runs. */
void count_words(void);
/* Cost in nano-dollars of what the provider reported, rounded to nearest; -1 when price or usage is unknown. */
int64_t price_cost_nusd(const struct price *p, const struct usage *u);

#endif
