/* SPDX-License-Identifier: Apache-2.0 */
/* What the main thread keeps about the workers: their newest reports, how long they have been silent, and samples of
 * the process's counters over the last minute. Main thread. */
#include "app/status.h"

#include <stdio.h>
#include <string.h>

#include "app/status_internal.h"
#include "app/wire.h"
#include "base/check.h"
#include "base/mem.h"

struct status *status_new(const struct wiring *w, int n_workers, int64_t now_us, int64_t wall_ms)
{
    struct status *s = mem_zero(sizeof(*s));

    s->wiring = w;
    s->started_ms = wall_ms;
    s->n_workers = n_workers;
    s->reports = mem_zero(sizeof(struct report *) * (size_t)n_workers);
    s->silent_us = mem_zero(sizeof(*s->silent_us) * (size_t)n_workers);
    s->samples = mem_zero(sizeof(*s->samples) * STATUS_SAMPLES);
    status_tick(s, now_us); /* what happens from now on counts */
    return s;
}

void status_free(struct status *s)
{
    if (s == NULL)
        return;
    for (int i = 0; i < s->n_workers; i++)
        report_free(s->reports[i]);
    mem_free(s->reports);
    mem_free(s->silent_us);
    mem_free(s->samples);
    mem_free(s);
}

void status_set_wiring(struct status *s, const struct wiring *w)
{
    s->wiring = w;
}

void status_set_life(struct status *s, enum phase_of_life life)
{
    s->life = life;
}

void status_set_slot(struct status *s, const char *slot)
{
    (void)snprintf(s->slot, sizeof(s->slot), "%s", slot);
}

void status_take_report(struct status *s, int worker, struct report *r)
{
    CHECK(worker >= 0 && worker < s->n_workers);
    report_free(s->reports[worker]);
    s->reports[worker] = r;
}

void status_set_silence(struct status *s, int worker, int64_t silent_us)
{
    CHECK(worker >= 0 && worker < s->n_workers);
    s->silent_us[worker] = silent_us;
}

int64_t status_lag(const struct status *s)
{
    int64_t lag = 0;
    bool is_known = false;

    for (int i = 0; i < s->n_workers; i++) {
        const struct report *r = s->reports[i];

        for (int k = 0; r != NULL && k < r->n_parts; k++) {
            is_known |= r->parts[k].lag >= 0;
            lag += r->parts[k].lag >= 0 ? r->parts[k].lag : 0;
        }
    }
    return is_known ? lag : -1;
}

static int64_t get(const _Atomic int64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void read_model(struct model_sample *out, const struct model_metrics *m)
{
    for (int k = 0; k < METRIC_CODES_MAX; k++)
        out->calls[k] = get(&m->calls[k]);
    for (int k = 0; k < METRIC_BUCKETS; k++)
        out->buckets[k] = get(&m->duration.counts[k]);
    out->cost_nusd = get(&m->cost_nusd);
}

void status_read_counters(const struct status *s, struct sample *out, int64_t now_us)
{
    static const enum metric outcomes[] = {METRIC_JOBS_OK, METRIC_JOBS_PARTIAL, METRIC_JOBS_FAILED,
                                           METRIC_DEAD_LETTERS};
    struct model_metrics *all[METRIC_MODELS_MAX + 1];

    out->at_us = now_us;
    out->lag = status_lag(s);
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++)
        out->jobs[i] = metric_get(outcomes[i]);
    out->n_blocks = metrics_models(all) - 1;
    for (int i = 0; i <= out->n_blocks; i++)
        read_model(&out->models[i < out->n_blocks ? i : STATUS_OTHER], all[i]);
}

const struct model_sample *status_sample_of(const struct sample *s, int block)
{
    static const struct model_sample nothing;

    return block == STATUS_OTHER || block < s->n_blocks ? &s->models[block] : &nothing;
}

int status_block_of(const char *provider, const char *model)
{
    struct model_metrics *all[METRIC_MODELS_MAX + 1];
    int n = metrics_models(all) - 1;

    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->model, model) == 0 && strcmp(all[i]->provider, provider) == 0)
            return i;
    return -1;
}

void status_tick(struct status *s, int64_t now_us)
{
    const struct sample *last = &s->samples[(s->n_samples + STATUS_SAMPLES - 1) % STATUS_SAMPLES];

    if (s->n_samples > 0 && now_us - last->at_us < STATUS_SAMPLE_US)
        return;
    status_read_counters(s, &s->samples[s->n_samples % STATUS_SAMPLES], now_us);
    s->n_samples++;
}
