/* SPDX-License-Identifier: Apache-2.0 */
/* The process-wide counters, gauges and histograms of the tables: relaxed atomics, and the pieces of their text
 * exposition. Never allocates except into the caller's buffer. Any thread. */
#include "base/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/metrics_internal.h"

#define KIND_COUNTER "counter"
#define KIND_GAUGE   "gauge"

struct row {
    const char *name;
    const char *labels;
    const char *kind;
    const char *help;
};

static const struct row rows[] = {
#define X(id, name, labels, kind, help) {name, labels, KIND_##kind, help},
    METRICS(X)
#undef X
};
static_assert(ARRAY_LEN(rows) == METRIC_MAX, "one row per metric");

struct hist_row {
    const char *name;
    const char *labels;
    int64_t first_us;
    const char *help;
};

static const struct hist_row hist_rows[] = {
#define X(id, name, labels, first_us, help) {name, labels, first_us, help},
    HISTOGRAMS(X)
#undef X
};
static_assert(ARRAY_LEN(hist_rows) == HISTOGRAM_MAX, "one row per histogram");

static _Atomic int64_t values[METRIC_MAX];
static struct metric_hist hists[HISTOGRAM_MAX];

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

void metric_hist_add(struct metric_hist *h, int64_t first_us, int64_t value_us)
{
    int k = 0;

    while (k < METRIC_BUCKETS - 1 && value_us > first_us << k)
        k++;
    atomic_fetch_add_explicit(&h->counts[k], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&h->sum_us, value_us, memory_order_relaxed);
}

void metric_observe(enum histogram h, int64_t value_us)
{
    CHECK((unsigned)h < HISTOGRAM_MAX);
    if (value_us >= 0)
        metric_hist_add(&hists[h], hist_rows[h].first_us, value_us);
}

void metrics_print_head(struct buf *out, const char *name, const char *kind, const char *help)
{
    /* A help text is our own: it holds no backslash and no line feed, which the format would want escaped. */
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

void metrics_print_label(struct buf *out, const char *name, const char *value, bool is_first)
{
    if (!is_first)
        buf_add_char(out, ',');
    buf_add_str(out, name);
    buf_add_str(out, "=\"");
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\n') {
            buf_add_str(out, "\\n");
            continue;
        }
        if (*p == '\\' || *p == '"')
            buf_add_char(out, '\\');
        buf_add_char(out, *p);
    }
    buf_add_char(out, '"');
}

void metrics_print_decimal(struct buf *out, int64_t value, int decimals)
{
    uint64_t magnitude = value < 0 ? -(uint64_t)value : (uint64_t)value, unit = 1;
    char fraction[24];
    size_t len = (size_t)decimals;

    for (int i = 0; i < decimals; i++)
        unit *= 10;
    if (value < 0)
        buf_add_char(out, '-');
    buf_printf(out, "%" PRIu64, magnitude / unit);
    if (magnitude % unit == 0)
        return;
    for (uint64_t rest = magnitude % unit, i = 0; i < (uint64_t)decimals; i++, rest /= 10)
        fraction[decimals - 1 - (int)i] = (char)('0' + rest % 10);
    while (fraction[len - 1] == '0')
        len--;
    buf_add_char(out, '.');
    buf_add(out, fraction, len);
}

static void print_series(struct buf *out, const char *name, const char *suffix, const char *labels, const char *le)
{
    bool has_any = *labels != '\0' || le != NULL;

    buf_printf(out, "%s%s%s%s", name, suffix, has_any ? "{" : "", labels);
    if (le != NULL)
        buf_printf(out, "%sle=\"%s\"", *labels != '\0' ? "," : "", le);
    buf_add_str(out, has_any ? "} " : " ");
}

void metrics_print_hist(struct buf *out, const char *name, const char *labels, int64_t first_us,
                        const struct metric_hist *h)
{
    int64_t total = 0;

    for (int k = 0; k < METRIC_BUCKETS; k++) {
        char edge[32] = "+Inf";

        if (k < METRIC_BUCKETS - 1) {
            struct buf b;

            buf_init(&b, 0);
            metrics_print_decimal(&b, first_us << k, 6);
            CHECK(b.len < sizeof(edge));
            memcpy(edge, b.p, b.len + 1);
            buf_done(&b);
        }
        total += atomic_load_explicit(&h->counts[k], memory_order_relaxed);
        print_series(out, name, "_bucket", labels, edge);
        buf_add_i64(out, total);
        buf_add_char(out, '\n');
    }
    print_series(out, name, "_sum", labels, NULL);
    metrics_print_decimal(out, atomic_load_explicit(&h->sum_us, memory_order_relaxed), 6);
    buf_add_char(out, '\n');
    print_series(out, name, "_count", labels, NULL);
    buf_add_i64(out, total); /* not a counter of its own: it must equal the last bucket */
    buf_add_char(out, '\n');
}

void metrics_print(struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];

        if (i == 0 || strcmp(rows[i - 1].name, row->name) != 0)
            metrics_print_head(out, row->name, row->kind, row->help);
        print_series(out, row->name, "", row->labels, NULL);
        buf_add_i64(out, metric_get((enum metric)i));
        buf_add_char(out, '\n');
    }
    for (size_t i = 0; i < ARRAY_LEN(hist_rows); i++) {
        const struct hist_row *row = &hist_rows[i];

        if (i == 0 || strcmp(hist_rows[i - 1].name, row->name) != 0)
            metrics_print_head(out, row->name, "histogram", row->help);
        metrics_print_hist(out, row->name, row->labels, row->first_us, &hists[i]);
    }
    metrics_print_models(out);
}
