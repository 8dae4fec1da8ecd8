/* SPDX-License-Identifier: Apache-2.0 */
/* Adds up the committed records of a world as somebody would who has only them, and compares. */
#include "sim/sums.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <uthash.h>

#include "base/check.h"
#include "base/mem.h"

enum { BUCKETS = 15 };

enum {
    N_TOTAL,
    N_OK,
    N_FAILED,
    N_CANCELLED,
    N_RATE_LIMITED,
    N_RETRIES,
    N_CACHE_HITS,
    N_RECALLED,
    N_UNPRICED,
    N_INPUT,
    N_OUTPUT,
    N_CACHED,
    N_REASONING,
    N_COST, /* nano-dollars */
    N_THROTTLE,
    N_DURATION,
    N_DURATION_BUCKETS,
    N_TTFT_BUCKETS = N_DURATION_BUCKETS + BUCKETS,
    N_MAX = N_TTFT_BUCKETS + BUCKETS,
};

/* Everything of one (window, provider, model). */
struct cell {
    char key[160];
    int64_t n[N_MAX];
    bool has[N_MAX]; /* something was known */
    int64_t duration_max;
    UT_hash_handle hh;
};

static const char *str(const json_t *r, const char *key)
{
    const char *s = json_string_value(json_object_get(r, key));

    return s != NULL ? s : "-";
}

static struct cell *cell_of(struct cell **cells, long long window, const json_t *r)
{
    char key[160];
    struct cell *c;

    snprintf(key, sizeof(key), "%lld %s %s %s", window, str(r, "provider"), str(r, "request_model"),
             str(r, "vendor_model"));
    HASH_FIND_STR(*cells, key, c);
    if (c == NULL) {
        c = mem_zero(sizeof(*c));
        memcpy(c->key, key, sizeof(key));
        HASH_ADD_STR(*cells, key, c);
    }
    return c;
}

static void free_cells(struct cell **cells)
{
    struct cell *c, *next;

    HASH_ITER(hh, *cells, c, next)
    {
        HASH_DEL(*cells, c);
        mem_free(c);
    }
}

static void add(struct cell *c, int i, int64_t v)
{
    c->n[i] += v;
    c->has[i] = true;
}

/* A member that may be null. */
static void add_field(struct cell *c, int i, const json_t *r, const char *key)
{
    const json_t *v = json_object_get(r, key);

    CHECK(v != NULL);
    if (json_is_integer(v))
        add(c, i, json_integer_value(v));
}

int64_t sums_nano_usd(const json_t *r)
{
    return llround(json_number_value(json_object_get(r, "cost_usd")) * 1e9);
}

static void add_cost(struct cell *c, const json_t *r)
{
    if (!json_is_null(json_object_get(r, "cost_usd")))
        add(c, N_COST, sums_nano_usd(r));
}

static void add_to_bucket(struct cell *c, int first, const json_t *r, const char *key)
{
    const json_t *v = json_object_get(r, key);
    double edge_s = 0.01;
    int i = 0;

    if (!json_is_integer(v))
        return;
    while (i < BUCKETS - 1 && (double)json_integer_value(v) / 1000 > edge_s + 1e-9) {
        edge_s *= 2;
        i++;
    }
    add(c, first + i, 1);
}

/* What somebody would compute who has only the call records. */
static void fold_call(struct cell **cells, const json_t *r)
{
    long long ts = json_integer_value(json_object_get(r, "ts_ms"));
    struct cell *c = cell_of(cells, ts - ts % 10000, r);
    bool has_cost = !json_is_null(json_object_get(r, "cost_usd"));
    bool has_usage = !json_is_null(json_object_get(r, "input_tokens"));
    int64_t duration = json_integer_value(json_object_get(r, "duration_ms"));

    add(c, N_TOTAL, 1);
    add(c, N_OK, strcmp(str(r, "status"), "ok") == 0);
    add(c, N_FAILED, strcmp(str(r, "status"), "error") == 0);
    add(c, N_CANCELLED, strcmp(str(r, "status"), "cancelled") == 0);
    add(c, N_RATE_LIMITED, strcmp(str(r, "error_code"), "rate_limited") == 0);
    add(c, N_RETRIES, json_integer_value(json_object_get(r, "attempt")) > 1);
    add(c, N_CACHE_HITS, json_is_true(json_object_get(r, "cache_hit")));
    add(c, N_RECALLED, json_is_true(json_object_get(r, "recalled")));
    add(c, N_UNPRICED, !has_cost && (has_usage || strcmp(str(r, "status"), "ok") == 0));
    add_field(c, N_INPUT, r, "input_tokens");
    add_field(c, N_OUTPUT, r, "output_tokens");
    add_field(c, N_CACHED, r, "cached_input_tokens");
    add_field(c, N_REASONING, r, "reasoning_tokens");
    add_cost(c, r);
    add_field(c, N_THROTTLE, r, "throttle_ms");
    add_field(c, N_DURATION, r, "duration_ms");
    add_to_bucket(c, N_DURATION_BUCKETS, r, "duration_ms");
    add_to_bucket(c, N_TTFT_BUCKETS, r, "ttft_ms");
    c->duration_max = duration > c->duration_max ? duration : c->duration_max;
}

static void fold_stats(struct cell **cells, const json_t *r)
{
    static const char *const keys[] = {[N_TOTAL] = "calls_total",          [N_OK] = "calls_ok",
                                       [N_FAILED] = "calls_failed",        [N_CANCELLED] = "cancelled",
                                       [N_RATE_LIMITED] = "rate_limited",  [N_RETRIES] = "retries",
                                       [N_CACHE_HITS] = "cache_hits",      [N_RECALLED] = "recalled",
                                       [N_UNPRICED] = "calls_unpriced",    [N_INPUT] = "input_tokens",
                                       [N_OUTPUT] = "output_tokens",       [N_CACHED] = "cached_input_tokens",
                                       [N_REASONING] = "reasoning_tokens", [N_COST] = NULL,
                                       [N_THROTTLE] = "throttle_ms",       [N_DURATION] = "duration_ms_sum"};
    long long window = json_integer_value(json_object_get(r, "window_start_at_ms"));
    struct cell *c = cell_of(cells, window, r);
    int64_t max = json_integer_value(json_object_get(r, "duration_ms_max"));
    const json_t *durations = json_object_get(r, "duration_bucket_counts");
    const json_t *ttfts = json_object_get(r, "ttft_bucket_counts");

    assert_int_equal(json_integer_value(json_object_get(r, "window_end_at_ms")), window + 10000);
    assert_in_range(json_integer_value(json_object_get(r, "ts_ms")), window, window + 9999);
    for (int i = 0; i <= N_DURATION; i++)
        if (keys[i] != NULL)
            add_field(c, i, r, keys[i]);
    add_cost(c, r);
    assert_int_equal(json_array_size(durations), BUCKETS);
    assert_int_equal(json_array_size(ttfts), BUCKETS);
    for (size_t i = 0; i < BUCKETS; i++) {
        add(c, N_DURATION_BUCKETS + (int)i, json_integer_value(json_array_get(durations, i)));
        add(c, N_TTFT_BUCKETS + (int)i, json_integer_value(json_array_get(ttfts, i)));
    }
    c->duration_max = max > c->duration_max ? max : c->duration_max;
}

json_t *sums_parse(const struct mem_record *r)
{
    json_t *root = json_loadb(r->value, r->value_len, JSON_REJECT_DUPLICATES, NULL);

    CHECK(root != NULL);
    return root;
}

/* Every counter of every window and model; returns the number of attempts. */
int64_t sums_check_models(const struct world *w)
{
    struct cell *calls = NULL, *stats = NULL, *c, *next;
    int n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);
    int64_t total = 0;

    for (int i = 0; i < n; i++) {
        json_t *r;

        if (records[i].output != OUT_CALLS && records[i].output != OUT_MODEL_STATS)
            continue;
        r = sums_parse(&records[i]);
        if (records[i].output == OUT_CALLS)
            fold_call(&calls, r);
        else
            fold_stats(&stats, r);
        json_decref(r);
    }
    assert_int_equal(HASH_COUNT(calls), HASH_COUNT(stats));
    HASH_ITER(hh, calls, c, next)
    {
        struct cell *s;

        HASH_FIND_STR(stats, c->key, s);
        if (s == NULL)
            fail_msg("seed %llu: no statistics of %s", (unsigned long long)w->seed, c->key);
        for (int i = 0; i < N_MAX; i++)
            if (s->n[i] != c->n[i] || (i >= N_INPUT && i <= N_COST && s->has[i] != c->has[i]))
                fail_msg("seed %llu: %s, counter %d: calls %lld, statistics %lld", (unsigned long long)w->seed, c->key,
                         i, (long long)c->n[i], (long long)s->n[i]);
        assert_int_equal(s->duration_max, c->duration_max);
        total += c->n[N_TOTAL];
    }
    free_cells(&calls);
    free_cells(&stats);
    return total;
}

/* --- batches of jobs --- */

enum { B_JOBS, B_OK, B_PARTIAL, B_FAILED, B_CALLS, B_CALLS_OK, B_CALLS_FAILED, B_INPUT, B_OUTPUT, B_MAX };

static const char *const batch_keys[B_MAX] = {"jobs_total",   "jobs_ok",      "jobs_partial",
                                              "jobs_failed",  "calls_total",  "calls_ok",
                                              "calls_failed", "input_tokens", "output_tokens"};

struct batch {
    int64_t n[B_MAX];
    int64_t cost, first, last;
    bool is_cost_incomplete;
};

/* The last record of a key is all that compaction keeps. */
struct line {
    char key[200];
    json_t *record;
    UT_hash_handle hh;
};

static struct batch *batch_of(struct batch *all, const json_t *r)
{
    const char *id = str(r, "batch_id");

    CHECK(id[0] == 'b' && id[1] >= '0' && id[1] < '0' + SUMS_BATCHES && id[2] == '\0');
    return &all[id[1] - '0'];
}

static void join(struct batch *b, const json_t *r, int64_t first, int64_t last)
{
    b->cost += json_is_null(json_object_get(r, "cost_usd")) ? 0 : sums_nano_usd(r);
    b->is_cost_incomplete |= json_is_false(json_object_get(r, "cost_complete"));
    b->first = b->first == 0 || first < b->first ? first : b->first;
    b->last = last > b->last ? last : b->last;
}

static void fold_result(struct batch *all, const json_t *r)
{
    struct batch *b;
    int64_t ts = json_integer_value(json_object_get(r, "ts_ms"));

    if (json_is_null(json_object_get(r, "batch_id")))
        return;
    b = batch_of(all, r);
    b->n[B_JOBS]++;
    b->n[B_OK] += strcmp(str(r, "status"), "ok") == 0;
    b->n[B_PARTIAL] += strcmp(str(r, "status"), "partial") == 0;
    b->n[B_FAILED] += strcmp(str(r, "status"), "failed") == 0;
    for (int i = B_CALLS; i < B_MAX; i++)
        b->n[i] += json_integer_value(json_object_get(r, batch_keys[i]));
    join(b, r, ts, ts);
}

static void keep_line(struct line **lines, const struct mem_record *record, json_t *r)
{
    char key[200], wanted[200];
    struct line *l;

    snprintf(key, sizeof(key), "%.*s", (int)record->key_len, record->key);
    snprintf(wanted, sizeof(wanted), "%s/%lld/%s", str(r, "batch_id"),
             (long long)json_integer_value(json_object_get(r, "source_partition")), str(r, "assignment"));
    assert_string_equal(key, wanted);
    HASH_FIND_STR(*lines, key, l);
    if (l == NULL) {
        l = mem_zero(sizeof(*l));
        memcpy(l->key, key, sizeof(key));
        HASH_ADD_STR(*lines, key, l);
    } else { /* cumulative: never less than before */
        assert_true(json_integer_value(json_object_get(r, "jobs_total")) >
                    json_integer_value(json_object_get(l->record, "jobs_total")));
        json_decref(l->record);
    }
    l->record = r;
}

/* The last record of each key, added up over the keys of a batch, says what its results say. */
int sums_check_batches(const struct world *w)
{
    struct batch wanted[SUMS_BATCHES] = {0}, got[SUMS_BATCHES] = {0};
    struct line *lines = NULL, *l, *next;
    int n, n_lines;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n; i++) {
        json_t *r;

        if (records[i].output != OUT_RESULTS && records[i].output != OUT_BATCHES)
            continue;
        r = sums_parse(&records[i]);
        if (records[i].output == OUT_BATCHES) {
            keep_line(&lines, &records[i], r);
            continue;
        }
        fold_result(wanted, r);
        json_decref(r);
    }
    n_lines = (int)HASH_COUNT(lines);
    HASH_ITER(hh, lines, l, next)
    {
        struct batch *b = batch_of(got, l->record);

        for (int i = 0; i < B_MAX; i++)
            b->n[i] += json_integer_value(json_object_get(l->record, batch_keys[i]));
        join(b, l->record, json_integer_value(json_object_get(l->record, "first_ended_at_ms")),
             json_integer_value(json_object_get(l->record, "last_ended_at_ms")));
        HASH_DEL(lines, l);
        json_decref(l->record);
        mem_free(l);
    }
    for (int i = 0; i < SUMS_BATCHES; i++) {
        for (int k = 0; k < B_MAX; k++)
            if (got[i].n[k] != wanted[i].n[k])
                fail_msg("seed %llu: batch b%d, %s: results %lld, progress %lld", (unsigned long long)w->seed, i,
                         batch_keys[k], (long long)wanted[i].n[k], (long long)got[i].n[k]);
        assert_int_equal(got[i].cost, wanted[i].cost);
        assert_int_equal(got[i].first, wanted[i].first);
        assert_int_equal(got[i].last, wanted[i].last);
        assert_int_equal(got[i].is_cost_incomplete, wanted[i].is_cost_incomplete);
    }
    return n_lines;
}
