/* SPDX-License-Identifier: Apache-2.0 */
/* What health.c (breakers) and health_keys.c share. Loop thread. */
#ifndef CORE_HEALTH_INTERNAL_H
#define CORE_HEALTH_INTERNAL_H

#include "core/health.h"
#include "core/registry.h"
#include "loop.h"
#include "seam/limiter.h"

enum { BREAKER_NAME_CHARS = 36 };

/* The breaker of a model, found by its id: indexes change with the configuration. */
struct breaker {
    struct list link; /* health->breakers; lives as long as the health */
    struct health *health;
    char *model_id;
    struct model_metrics *metrics;
    char name[BREAKER_NAME_CHARS + 1]; /* the fleet's: a digest of endpoint, vendor name and id */
    enum breaker_state state;
    int failures;     /* in a row, while closed */
    int64_t until_us; /* while open: nobody asks for the probe before this */
    struct list waiting;
    struct list passed; /* let through, not sent yet */
    struct gate *prober;
    bool has_leave;         /* the fleet's one try is ours, and `prober` makes it: half open */
    int64_t leave_until_us; /* the others wait for it until then */
    int64_t probe_us;       /* longest time a probe may take */
    bool is_asking;
    struct probe probe;
    struct timer timer;
    int64_t paused_until_us[PROVIDER_KEYS_MAX]; /* pools of this model, by key */
    int next_key;                               /* slot whose turn it is */
};

struct key_state {
    char *id; /* of the key, so that a new configuration's slots are not mixed up */
    int64_t rests_until_us;
};

struct provider_state {
    char *id;
    int n_keys;
    int next; /* slot whose turn it is, for models without a breaker */
    struct key_state keys[PROVIDER_KEYS_MAX];
};

struct health {
    struct loop *loop;
    struct limiter *limiter;
    struct health_conf conf;
    struct list breakers;
    struct breaker **by_index; /* by_index[n_models]: of the current registry */
    int n_models;
    struct provider_state *providers; /* providers[n_providers] */
    int n_providers;
    struct list told; /* gates whose moved() is due */
    struct wake wake;
};

/* NULL: not tracked. */
struct breaker *health_breaker_of(const struct health *h, const struct model *m);
/* moved() becomes due. */
void health_tell(struct breaker *b, struct gate *g);
/* Forgets all keys and takes up those of the registry. */
void health_keys_init(struct health *h, const struct registry *r);
void health_keys_done(struct health *h);

#endif
