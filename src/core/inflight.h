/* SPDX-License-Identifier: Apache-2.0 */
/* How many calls of each model a worker has under way, and the most in each window of the statistics. One per worker;
 * loop thread. */
#ifndef CORE_INFLIGHT_H
#define CORE_INFLIGHT_H

#include <stdint.h>

struct inflight;
struct inflight_model;

enum {
    STATS_WINDOW_MS = 10000,
    INFLIGHT_WINDOWS = 32, /* remembered per model; a job that took longer than these is published without the figure */
    INFLIGHT_MODELS = 1024, /* jobs may name vendor models freely: more than these are not counted */
};

/* First millisecond of the window that an instant (epoch ms) belongs to. */
int64_t stats_window_ms(int64_t at_ms);

struct inflight *inflight_new(void);
void inflight_free(struct inflight *f);
/* A call of this model is sent now. The handle is for inflight_end(); it lives as long as `f`. NULL: not counted (`f`
 * is NULL, or there are too many models). provider, vendor_model  may be NULL */
struct inflight_model *inflight_begin(struct inflight *f, const char *provider, const char *request_model,
                                      const char *vendor_model, int64_t now_ms);
/* It has ended; NULL is fine. */
void inflight_end(struct inflight_model *m, int64_t now_ms);
/* The most that were under way at once in the window; 0: not known. */
int inflight_max(struct inflight *f, const char *provider, const char *request_model, const char *vendor_model,
                 int64_t window_ms, int64_t now_ms);

#endif
