/* SPDX-License-Identifier: Apache-2.0 */
/* The process-wide counters and gauges: one relaxed atomic per row of METRICS, and their text exposition. Never
 * allocates except into the caller's buffer. Any thread. */
#include "base/metrics.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/check.h"

#define KIND_COUNTER "counter"
#define KIND_GAUGE   "gauge"

struct row {
    const char *name;
    const char *kind;
    const char *help;
};

static const struct row rows[] = {
#define X(id, name, kind, help) {name, KIND_##kind, help},
    METRICS(X)
#undef X
};
static_assert(ARRAY_LEN(rows) == METRIC_MAX, "one row per metric");

static _Atomic int64_t values[METRIC_MAX];

void metric_add(enum metric m, int64_t n)
{
    CHECK((unsigned)m < METRIC_MAX);
    atomic_fetch_add_explicit(&values[m], n, memory_order_relaxed);
}

void metric_set(enum metric m, int64_t value)
{
    CHECK((unsigned)m < METRIC_MAX);
    atomic_store_explicit(&values[m], value, memory_order_relaxed);
}

int64_t metric_get(enum metric m)
{
    CHECK((unsigned)m < METRIC_MAX);
    return atomic_load_explicit(&values[m], memory_order_relaxed);
}

void metrics_print(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];

        /* A help text is our own: it holds no backslash and no line feed, which the format would want escaped. */
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", row->name, row->help, row->name, row->kind, row->name);
        buf_add_i64(out, metric_get((enum metric)i));
        buf_add_char(out, '\n');
    }
}
