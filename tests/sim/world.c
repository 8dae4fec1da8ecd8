/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated fleet. */
#include "sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "impl/provider.h"

static const char *const ids[WORLD_MODELS] = {"a", "b", "c", "d"};
static const char *const vendor_names[WORLD_MODELS] = {"m-a", "m-b", "m-c", "m-d"};
static const char *const defaults[] = {"a", "b", "c"};

void world_init(struct world *w, uint64_t seed, int n_partitions)
{
    memset(w, 0, sizeof(*w));
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    w->seed = seed;
    rng_seed(&w->rng, seed);
    w->loop = loop_new_sim(1760000000000);
    w->topics = mem_topics_new(n_partitions);
    w->store = journal_store_new();
    w->limits = limiter_store_new();
    w->n_partitions = n_partitions;
    w->gap = -1;
    w->retry = (struct retry_conf){.attempts = 4, .base_us = 500000, .cap_us = 20000000};
    w->deadline_us = 300000000;
    w->worker = (struct worker_conf){.max_in_flight = 2000, .grace_us = 25000000};
    w->key = (struct provider_key){"sk-test", "k1"};
    w->provider = (struct provider){
        .id = "prov", .ops = provider_find("openai"), .base_url = "http://sim/v1", .keys = &w->key, .n_keys = 1};
    for (int i = 0; i < WORLD_MODELS; i++)
        w->models[i] = (struct model){.id = ids[i],
                                      .provider = &w->provider,
                                      .vendor_model = vendor_names[i],
                                      .index = i,
                                      .pools = {-1},
                                      .price = {2500000000, 10000000000, -1},
                                      .max_output_tokens = 100,
                                      .max_answer_bytes = 1 << 20,
                                      .limits = {5000000, 60000000, 30000000, 120000000}};
    w->registry = (struct registry){.providers = &w->provider,
                                    .n_providers = 1,
                                    .models = w->models,
                                    .n_models = WORLD_MODELS,
                                    .default_models = defaults,
                                    .n_default_models = 3};
}

static void on_stopped(void *arg, int exit_code)
{
    struct crew *c = arg;

    c->is_stopped = true;
    c->exit_code = exit_code;
}

struct crew *world_add_worker(struct world *w, int first, int n)
{
    struct crew *c = NULL;
    struct env env;
    struct broker_mem_conf conf;

    for (int i = 0; i < WORLD_WORKERS_MAX && c == NULL; i++)
        if (w->crews[i].worker == NULL)
            c = &w->crews[i];
    CHECK(c != NULL);
    memset(c, 0, sizeof(*c));
    c->world = w;
    c->index = (int)(c - w->crews);
    rng_seed(&c->rng, rng_u64(&w->rng));
    snprintf(c->incarnation, sizeof(c->incarnation), "w%d/%d", c->index, ++w->n_incarnations);
    conf = (struct broker_mem_conf){.topics = w->topics,
                                    .topic = "tutti.jobs",
                                    .first_partition = first,
                                    .n_partitions = n,
                                    .commit_interval_us = 200000,
                                    .commit_took_us = 20000,
                                    .abort_per_mille = w->abort_per_mille,
                                    .limit = w->limit,
                                    .rng = &c->rng};
    c->http = script_http_new(w->loop, &w->ledger);
    c->limiter = limiter_mem_new(w->loop, &c->rng, w->pools, w->n_pools, 0, w->limits);
    c->health = health_new(w->loop, c->limiter, &w->registry, &w->breaker);
    c->journal = journal_mem_new(w->loop, w->store, c->incarnation, 500);
    journal_mem_set_write_us(c->journal, w->journal_write_us);
    c->broker = broker_mem_new(w->loop, &conf);
    memset(&env, 0, sizeof(env));
    env = (struct env){.loop = w->loop,
                       .rng = &c->rng,
                       .registry = &w->registry,
                       .http = c->http,
                       .limiter = c->limiter,
                       .journal = c->journal,
                       .broker = c->broker,
                       .health = c->health,
                       .retry = w->retry,
                       .deadline_us = w->deadline_us,
                       .dedupe_us = w->dedupe_us,
                       .max_bytes = 1 << 20,
                       .max_deliveries = 10,
                       .group = "tutti",
                       .worker_id = "w",
                       .build = "test"};
    env.merges = merge_all(&env.n_merges);
    c->worker = worker_new(&env, &w->worker, on_stopped, c);
    CHECK(worker_start(c->worker) == 0);
    return c;
}

void world_crash(struct crew *c)
{
    if (c->worker == NULL)
        return;
    worker_free(c->worker);
    c->broker->ops->free(c->broker);
    c->limiter->ops->free(c->limiter);
    health_free(c->health);
    c->journal->ops->free(c->journal);
    c->http->ops->free(c->http);
    journal_store_kill(c->world->store, c->incarnation);
    c->worker = NULL;
}

void world_done(struct world *w)
{
    for (int i = 0; i < WORLD_WORKERS_MAX; i++)
        world_crash(&w->crews[i]);
    limiter_store_free(w->limits);
    journal_store_free(w->store);
    mem_topics_free(w->topics);
    ledger_done(&w->ledger);
    mem_free(w->appended);
    loop_free(w->loop);
}

int64_t world_append(struct world *w, int partition, const struct message *m)
{
    int gap = w->gap >= 0 ? w->gap : (int)rng_below(&w->rng, 3) == 0 ? 2 : 0;
    struct appended *a;

    if (w->n_appended == w->cap_appended) {
        w->cap_appended = w->cap_appended == 0 ? 256 : w->cap_appended * 2;
        w->appended = mem_resize(w->appended, sizeof(*w->appended) * (size_t)w->cap_appended);
    }
    a = &w->appended[w->n_appended++];
    *a = (struct appended){.partition = partition, .offset = mem_topics_append(w->topics, partition, m, gap)};
    return a->offset;
}

int64_t world_job(struct world *w, int partition, const char *fmt, ...)
{
    char value[8192];
    struct message m;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    m = (struct message){
        .ts_ms = loop_wall_ms(w->loop), .key = "k", .key_len = 1, .value = value, .value_len = strlen(value)};
    return world_append(w, partition, &m);
}

static void on_limit(void *arg)
{
    loop_stop(arg);
}

void world_run(struct world *w, int64_t us)
{
    struct timer t;

    timer_init(&t, on_limit, w->loop);
    timer_start(w->loop, &t, loop_now_us(w->loop) + us);
    loop_run(w->loop);
    timer_stop(w->loop, &t);
}

static bool is_done(const struct world *w)
{
    const char *metadata;

    for (int p = 0; p < w->n_partitions; p++)
        if (mem_topics_position(w->topics, p, &metadata) < mem_topics_high(w->topics, p))
            return false;
    return true;
}

bool world_run_until_done(struct world *w, int64_t us)
{
    int64_t end = loop_now_us(w->loop) + us;

    while (!is_done(w) && loop_now_us(w->loop) < end)
        world_run(w, 100000);
    return is_done(w);
}

bool world_leave(struct crew *c)
{
    worker_drain(c->worker);
    for (int i = 0; i < 600 && !c->is_stopped; i++)
        world_run(c->world, 100000);
    if (!c->is_stopped)
        return false;
    world_crash(c); /* nothing but its memory is left */
    return true;
}

bool world_take_away(struct crew *c, int partition, bool is_lost)
{
    broker_mem_revoke(c->broker, partition, is_lost);
    for (int i = 0; i < 600 && broker_mem_owns(c->broker, partition); i++)
        world_run(c->world, 100000);
    return !broker_mem_owns(c->broker, partition);
}

static bool is_source(const json_t *r, int partition, int64_t offset)
{
    return json_integer_value(json_object_get(r, "source_partition")) == partition &&
           json_integer_value(json_object_get(r, "source_offset")) == offset;
}

json_t *world_result(const struct world *w, int partition, int64_t offset)
{
    int n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n; i++) {
        json_t *r;

        if (records[i].output != OUT_RESULTS)
            continue;
        r = json_loadb(records[i].value, records[i].value_len, JSON_REJECT_DUPLICATES, NULL);
        CHECK(r != NULL);
        if (is_source(r, partition, offset))
            return r;
        json_decref(r);
    }
    return NULL;
}

/* Dead letters name their source in headers. */
static bool is_dead_source(const struct mem_record *r, int partition, int64_t offset)
{
    char p[24], o[24];
    int hits = 0;

    snprintf(p, sizeof(p), "%d", partition);
    snprintf(o, sizeof(o), "%lld", (long long)offset);
    for (int i = 0; i < r->n_headers; i++) {
        const struct message_header *h = &r->headers[i];

        hits += strcmp(h->name, "__dlq.errors.partition") == 0 && strcmp(h->value, p) == 0;
        hits += strcmp(h->name, "__dlq.errors.offset") == 0 && strcmp(h->value, o) == 0;
    }
    return hits == 2;
}

int world_count(const struct world *w, enum output o, int partition, int64_t offset)
{
    int n, count = 0;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < n; i++) {
        json_t *r;

        if (records[i].output != o)
            continue;
        if (partition < 0) {
            count++;
            continue;
        }
        if (o == OUT_DEAD_LETTERS) {
            count += is_dead_source(&records[i], partition, offset);
            continue;
        }
        r = json_loadb(records[i].value, records[i].value_len, 0, NULL);
        count += is_source(r, partition, offset);
        json_decref(r);
    }
    return count;
}

/* An appended record with what was found for it. */
struct ending {
    struct appended source;
    int n;
};

static int by_source(const void *a, const void *b)
{
    const struct appended *x = a, *y = b;

    if (x->partition != y->partition)
        return x->partition < y->partition ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static struct appended read_result(const struct mem_record *r, struct tally *t)
{
    json_t *root = json_loadb(r->value, r->value_len, JSON_REJECT_DUPLICATES, NULL);
    const char *status = json_string_value(json_object_get(root, "status"));
    struct appended source = {.partition = (int)json_integer_value(json_object_get(root, "source_partition")),
                              .offset = json_integer_value(json_object_get(root, "source_offset"))};

    CHECK(status != NULL);
    t->ok += strcmp(status, "ok") == 0;
    t->partial += strcmp(status, "partial") == 0;
    t->failed += strcmp(status, "failed") == 0;
    json_decref(root);
    return source;
}

static struct appended read_dead_letter(const struct mem_record *r, struct tally *t)
{
    struct appended source = {.partition = -1};

    t->dead++;
    for (int i = 0; i < r->n_headers; i++) {
        const struct message_header *h = &r->headers[i];

        if (strcmp(h->name, "__dlq.errors.partition") == 0)
            source.partition = (int)strtol(h->value, NULL, 10);
        else if (strcmp(h->name, "__dlq.errors.offset") == 0)
            source.offset = strtoll(h->value, NULL, 10);
        else if (strcmp(h->name, "dlq.error.code") == 0)
            t->crash_loops += strcmp(h->value, "crash_loop") == 0;
    }
    return source;
}

struct tally world_tally(const struct world *w)
{
    struct ending *endings = mem_zero(sizeof(*endings) * (size_t)(w->n_appended + 1));
    struct tally t = {.ok = 0};
    int n;
    const struct mem_record *records = mem_topics_records(w->topics, &n);

    for (int i = 0; i < w->n_appended; i++)
        endings[i].source = w->appended[i];
    qsort(endings, (size_t)w->n_appended, sizeof(*endings), by_source);
    for (int i = 0; i < n; i++) {
        struct appended source;
        struct ending *e;

        if (records[i].output != OUT_RESULTS && records[i].output != OUT_DEAD_LETTERS)
            continue;
        source = records[i].output == OUT_RESULTS ? read_result(&records[i], &t) : read_dead_letter(&records[i], &t);
        e = bsearch(&source, endings, (size_t)w->n_appended, sizeof(*endings), by_source);
        if (e != NULL)
            e->n++;
        else
            t.strays++;
    }
    for (int i = 0; i < w->n_appended; i++) {
        t.missing += endings[i].n == 0;
        t.doubled += endings[i].n > 1;
    }
    mem_free(endings);
    return t;
}

static bool is_of_pool(const struct world *w, const struct entry *e, int pool)
{
    for (int i = 0; i < WORLD_MODELS; i++)
        if (strcmp(w->models[i].vendor_model, e->model) == 0)
            return w->models[i].pools[0] == pool;
    return false;
}

int world_max_in_window(const struct world *w, int pool, int64_t us)
{
    const struct ledger *g = &w->ledger;
    int most = 0, from = 0, count = 0;

    for (int i = 0; i < g->n; i++) {
        if (!is_of_pool(w, &g->entries[i], pool))
            continue;
        count++;
        while (g->entries[from].at_us <= g->entries[i].at_us - us) {
            count -= is_of_pool(w, &g->entries[from], pool);
            from++;
        }
        if (count > most)
            most = count;
    }
    return most;
}
