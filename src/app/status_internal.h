/* SPDX-License-Identifier: Apache-2.0 */
/* What status.c (what is kept), status_view.c (rows) and status_checks.c (readiness, verdict) share. */
#ifndef APP_STATUS_INTERNAL_H
#define APP_STATUS_INTERNAL_H

#include "app/status.h"

enum { STATUS_SAMPLES = (int)(STATUS_WINDOW_US / STATUS_SAMPLE_US) + 1 };

/* The counters of one model at one time. */
struct model_sample {
    int64_t calls[METRIC_CODES_MAX];
    int64_t buckets[METRIC_BUCKETS];
    int64_t cost_nusd;
};

struct sample {
    int64_t at_us;
    int64_t jobs[4]; /* ok, partial, failed, dead letters */
    int64_t lag;     /* -1: unknown */
    int n_blocks;
    struct model_sample models[METRIC_MODELS_MAX + 1]; /* models[n_blocks]; the last place is that of (other, other) */
};

enum { STATUS_OTHER = METRIC_MODELS_MAX };

struct status {
    const struct wiring *wiring;
    enum phase_of_life life;
    char slot[64];
    int64_t started_ms;
    int n_workers;
    struct report **reports; /* reports[n_workers] */
    int64_t *silent_us;      /* silent_us[n_workers] */
    struct sample *samples;  /* samples[STATUS_SAMPLES], a ring */
    int n_samples;           /* ever taken */
    bool is_failing;         /* the last window in which attempts ended had no good one */
};

/* Now less the oldest sample of the window. */
struct window_view {
    double seconds;
    struct sample *now; /* of the arena */
    const struct sample *then;
};

void status_read_counters(const struct status *s, struct sample *out, int64_t now_us);
int64_t status_lag(const struct status *s);
/* The wiring's model among the blocks, -1: none. */
int status_block_of(const char *provider, const char *model);
/* All zero for a block that was made after the sample. */
const struct model_sample *status_sample_of(const struct sample *s, int block);

/* status_checks.c: fills checks, level and verdict. */
void status_judge(struct status_view *v, struct status *s, const struct window_view *win);

#endif
