/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a provider's API keys to use: in turn, and not those that rest. A key is named in the log by its id, never
 * by itself. Loop thread. */
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "core/health_internal.h"
#include "core/outcome.h"

#define SECOND INT64_C(1000000)

#define KEY_REST_US     (600 * SECOND)   /* a refused key, and a quota without a hint */
#define KEY_REST_MAX_US (86400 * SECOND) /* a hint beyond this is not believed */

static struct provider_state *state_of(const struct health *h, const struct provider *p)
{
    if (h == NULL || p->index < 0 || p->index >= h->n_providers || strcmp(h->providers[p->index].id, p->id) != 0)
        return NULL;
    return &h->providers[p->index];
}

static struct key_state *key_of(const struct health *h, const struct provider *p, int slot)
{
    struct provider_state *s = state_of(h, p);
    const char *id = p->keys[slot].id;

    if (s == NULL || slot >= s->n_keys || id == NULL || s->keys[slot].id == NULL || strcmp(s->keys[slot].id, id) != 0)
        return NULL;
    return &s->keys[slot];
}

void health_keys_init(struct health *h, const struct registry *r)
{
    h->n_providers = (int)r->n_providers;
    h->providers = mem_zero(sizeof(*h->providers) * (r->n_providers + 1));
    for (size_t i = 0; i < r->n_providers; i++) {
        const struct provider *p = &r->providers[i];
        struct provider_state *s = &h->providers[i];

        s->id = mem_strdup(p->id);
        s->n_keys = p->n_keys;
        for (int k = 0; k < p->n_keys; k++)
            s->keys[k].id = p->keys[k].id != NULL ? mem_strdup(p->keys[k].id) : NULL;
    }
}

void health_keys_done(struct health *h)
{
    for (int i = 0; i < h->n_providers; i++) {
        for (int k = 0; k < h->providers[i].n_keys; k++)
            mem_free(h->providers[i].keys[k].id);
        mem_free(h->providers[i].id);
    }
    mem_free(h->providers);
    h->providers = NULL;
    h->n_providers = 0;
}

static int64_t rests_until_us(const struct health *h, const struct model *m, int slot)
{
    const struct key_state *k = key_of(h, m->provider, slot);

    return k != NULL && k->rests_until_us > loop_now_us(h->loop) ? k->rests_until_us : 0;
}

/* What this worker was told, and what the pool was told by any of the fleet. */
static int64_t paused_until_us(const struct health *h, const struct model *m, int slot)
{
    const struct breaker *b = health_breaker_of(h, m);
    int64_t until_us = b != NULL ? b->paused_until_us[slot] : 0;
    int pool = m->pools[slot];

    if (h == NULL)
        return 0;
    if (h->limiter != NULL && pool >= 0 && pool < h->limiter->n_views &&
        h->limiter->views[pool].pause_until_us > until_us)
        until_us = h->limiter->views[pool].pause_until_us;
    return until_us > loop_now_us(h->loop) ? until_us : 0;
}

bool health_key_is_ready(const struct health *h, const struct model *m, int slot)
{
    return rests_until_us(h, m, slot) == 0 && paused_until_us(h, m, slot) == 0;
}

int64_t health_key_wait_us(const struct health *h, const struct model *m, unsigned tried)
{
    int64_t wait_us = -1;

    for (int slot = 0; slot < m->provider->n_keys; slot++) {
        int64_t until_us = paused_until_us(h, m, slot), us = until_us > 0 ? until_us - loop_now_us(h->loop) : 0;

        if (!(tried & 1U << slot) && rests_until_us(h, m, slot) == 0 && (wait_us < 0 || us < wait_us))
            wait_us = us;
    }
    return wait_us;
}

/* Each model has its own turns: with common ones, models that are always asked together would share the keys out
 * between them. NULL: none are kept. */
static int *turn_of(const struct health *h, const struct model *m)
{
    struct breaker *b = health_breaker_of(h, m);
    struct provider_state *s = state_of(h, m->provider);

    return b != NULL ? &b->next_key : s != NULL ? &s->next : NULL;
}

int health_pick_key(struct health *h, const struct model *m, unsigned tried)
{
    int *turn = turn_of(h, m);
    int n = m->provider->n_keys, best = -1, first = turn != NULL ? *turn % n : 0;
    int64_t best_rest = 0, best_pause = 0;

    for (int i = 0; i < n; i++) {
        int slot = (first + i) % n;
        int64_t rest, pause;

        if (tried & 1U << slot)
            continue;
        rest = rests_until_us(h, m, slot);
        pause = paused_until_us(h, m, slot);
        if (best < 0 || rest < best_rest || (rest == best_rest && pause < best_pause)) {
            best = slot;
            best_rest = rest;
            best_pause = pause;
        }
    }
    if (turn != NULL && best >= 0)
        *turn = (best + 1) % n;
    return best;
}

/* Who waits for a permit with this key would wait out its pause, or ask in vain. */
static void call_back(struct health *h, const struct provider *p, int slot)
{
    LIST_EACH (it, &h->breakers) {
        struct breaker *b = LIST_ENTRY(it, struct breaker, link);

        LIST_EACH_SAFE (at, &b->passed) {
            struct gate *g = LIST_ENTRY(at, struct gate, link);

            if (g->model->provider == p && g->key_slot == slot && !health_key_is_ready(h, g->model, slot) &&
                health_key_wait_us(h, g->model, 1U << slot) == 0)
                health_tell(b, g);
        }
    }
}

/* Puts the key aside, for every model of its provider. */
static void let_rest(struct health *h, const struct model *m, struct key_state *k, const struct outcome *o)
{
    int64_t rest_us = KEY_REST_US;

    if (o->fault == FAULT_QUOTA_EXHAUSTED && o->retry_after_us > 0)
        rest_us = o->retry_after_us < KEY_REST_MAX_US ? o->retry_after_us : KEY_REST_MAX_US;
    if (k->rests_until_us > loop_now_us(h->loop)) /* known: calls that were under way find it too */
        return;
    k->rests_until_us = loop_now_us(h->loop) + rest_us;
    metric_add(METRIC_KEYS_RESTED, 1);
    log_event(LOG_WARN, "key_rests", "provider=\"%s\" key_id=%s model=\"%s\" fault=%s rest_ms=%lld", m->provider->id,
              k->id, m->id, fault_code(o->fault), (long long)(rest_us / 1000));
}

void health_note_key(struct health *h, const struct model *m, int slot, const struct outcome *o, int64_t pause_us)
{
    struct breaker *b = health_breaker_of(h, m);
    struct key_state *k = key_of(h, m->provider, slot);

    if (b != NULL && pause_us > 0)
        b->paused_until_us[slot] = loop_now_us(h->loop) + pause_us;
    /* a single key has no substitute: each call finds out by itself, as the provider's state may have changed */
    if (h == NULL || m->provider->n_keys < 2)
        return;
    if (k != NULL && (o->fault == FAULT_AUTH || o->fault == FAULT_QUOTA_EXHAUSTED))
        let_rest(h, m, k, o);
    if (!health_key_is_ready(h, m, slot))
        call_back(h, m->provider, slot);
}
