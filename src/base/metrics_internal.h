/* SPDX-License-Identifier: Apache-2.0 */
/* What metrics.c (the tables) and metrics_model.c (the blocks per model) share. */
#ifndef BASE_METRICS_INTERNAL_H
#define BASE_METRICS_INTERNAL_H

#include "base/metrics.h"

/* One labelled histogram; labels without braces, "" for none. */
void metrics_print_hist(struct buf *out, const char *name, const char *labels, int64_t first_us,
                        const struct metric_hist *h);
/* The families of the models, the dead letters and the topics. */
void metrics_print_models(struct buf *out);

#endif
