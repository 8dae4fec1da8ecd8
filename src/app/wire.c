/* SPDX-License-Identifier: Apache-2.0 */
/* Names to implementations. */
#include "app/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/build_id.h"
#include "app/config.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "impl/broker_kafka.h"
#include "impl/broker_mem.h"
#include "impl/http_curl.h"
#include "impl/journal_mem.h"
#include "impl/journal_redis.h"
#include "impl/limiter_mem.h"
#include "impl/limiter_redis.h"
#include "impl/provider.h"
#include "redis.h"

enum {
    MAX_DELIVERIES = 10,
    POOL_ID_HEX = 16,
    KEY_ID_HEX = 12,
    MEMORY_RECORD_BYTES = 64 * 1024 * 1024,
    AD_HOC_OUTPUT_TOKENS = 1024, /* the defaults of models.* in the option table; a test holds them equal */
    AD_HOC_ANSWER_BYTES = 1024 * 1024,
    AD_HOC_TOTAL_US = 120 * 1000 * 1000,
};

#define SECOND INT64_C(1000000)
#define DAY    (INT64_C(24) * 3600 * SECOND)

/* A digest that tells keys apart and gives none away. */
static const char *digest_id(struct arena *a, const char *const *parts, size_t n, size_t hex_chars)
{
    char joined[2048], hex[DIGEST_HEX + 1];
    uint8_t digest[DIGEST_BYTES];
    size_t len = 0;

    for (size_t i = 0; i < n && len < sizeof(joined); i++)
        len += (size_t)snprintf(joined + len, sizeof(joined) - len, "%s\x1f", parts[i] != NULL ? parts[i] : "");
    digest_sha256(joined, len < sizeof(joined) ? len : sizeof(joined), digest);
    digest_hex(digest, sizeof(digest), hex);
    return arena_copy(a, hex, hex_chars);
}

/* One key at least: a provider without any has one that says nothing. */
static const struct provider_key *make_keys(struct wiring *w, const struct config_provider *p, int *out_n)
{
    size_t n = p->api_keys.n > 0 ? p->api_keys.n : 1;
    struct provider_key *keys = arena_zero(w->arena, sizeof(*keys) * n);

    for (size_t i = 0; i < n; i++) {
        const char *secret = p->api_keys.n > 0 ? p->api_keys.items[i] : p->api_key;
        const char *parts[] = {"tutti key", p->name, secret};

        keys[i].secret = secret;
        keys[i].id = secret != NULL ? digest_id(w->arena, parts, ARRAY_LEN(parts), KEY_ID_HEX) : NULL;
    }
    *out_n = (int)n;
    return keys;
}

static void make_providers(struct wiring *w, struct provider *out)
{
    for (size_t i = 0; i < w->config->n_providers; i++) {
        const struct config_provider *p = &w->config->providers[i];

        out[i] = (struct provider){.id = p->name,
                                   .index = (int)i,
                                   .ops = provider_find(p->api_name),
                                   .base_url = p->base_url,
                                   .ca_file = p->ca_file,
                                   .ad_hoc_metrics = metrics_model(p->name, "other")};
        out[i].keys = make_keys(w, p, &out[i].n_keys);
        CHECK(out[i].ops != NULL); /* the option table lists the dialects */
    }
}

static const struct request_param *make_params(struct wiring *w, const struct config_map *map)
{
    struct request_param *params = arena_zero(w->arena, sizeof(*params) * (map->n + 1));

    for (size_t i = 0; i < map->n; i++)
        params[i] = (struct request_param){.name = text_of(map->pairs[i].name), .json = text_of(map->pairs[i].value)};
    return params;
}

static bool has_limits(const struct config_model *m)
{
    return m->limits.requests_per_minute > 0 || m->limits.tokens_per_minute > 0 || m->limits.concurrency > 0;
}

/* A pool is a meter at a provider: (provider, key, vendor name). Models that share one share its pool. */
static int add_pool(struct wiring *w, struct pool_conf *pools, bool *is_taken, const struct config_model *m,
                    const char *key)
{
    const char *parts[] = {m->provider->name, m->provider->base_url, key, m->name};
    const char *id;
    int i = 0;

    if (!has_limits(m))
        return -1;
    id = digest_id(w->arena, parts, ARRAY_LEN(parts), POOL_ID_HEX);
    while (i < w->n_pools && strcmp(pools[i].id, id) != 0)
        i++;
    if (i == w->n_pools)
        w->n_pools++;
    else
        id = pools[i].id;
    if (is_taken[i])
        return i;
    is_taken[i] = true; /* the first model of a pool says its limits, also of one of an older configuration */
    pools[i] = (struct pool_conf){.id = id,
                                  .requests_per_minute = m->limits.requests_per_minute,
                                  .tokens_per_minute = m->limits.tokens_per_minute,
                                  .concurrency = m->limits.concurrency,
                                  .largest_call = m->limits.largest_call,
                                  .slot_return_us = 10 * SECOND + m->timeout.total_us};
    return i;
}

/* What all its keys together may do. A key without a limit has them all without. */
static void sum_limits(struct model *m, const struct pool_conf *pools)
{
    bool has_rpm = true, has_tpm = true;

    for (int k = 0; k < m->provider->n_keys; k++) {
        const struct pool_conf *p = m->pools[k] >= 0 ? &pools[m->pools[k]] : NULL;
        bool is_known = false; /* the same key twice is one meter */

        for (int i = 0; i < k; i++)
            is_known = is_known || m->pools[i] == m->pools[k];
        has_rpm = has_rpm && p != NULL && p->requests_per_minute > 0;
        has_tpm = has_tpm && p != NULL && p->tokens_per_minute > 0;
        m->limit_rpm += p != NULL && !is_known ? p->requests_per_minute : 0;
        m->limit_tpm += p != NULL && !is_known ? p->tokens_per_minute : 0;
    }
    m->limit_rpm = has_rpm ? m->limit_rpm : 0;
    m->limit_tpm = has_tpm ? m->limit_tpm : 0;
}

/* The check has seen that every name is a model's. */
static void link_fallbacks(struct wiring *w, struct model *models)
{
    for (size_t i = 0; i < w->config->n_models; i++) {
        const struct config_list *names = &w->config->models[i].fallbacks;

        for (size_t k = 0; k < names->n; k++) {
            const struct model *m = registry_find(&w->registry, text_of(names->items[k]));

            CHECK(m != NULL);
            models[i].fallbacks[models[i].n_fallbacks++] = m;
        }
    }
}

/* What the option table gives a model that names nothing but its provider. */
static struct model ad_hoc_model(const struct config *c)
{
    int64_t total = AD_HOC_TOTAL_US < c->jobs.deadline_us ? AD_HOC_TOTAL_US : c->jobs.deadline_us;

    return (struct model){.index = -1,
                          .price = {-1, -1, -1},
                          .max_output_tokens = AD_HOC_OUTPUT_TOKENS,
                          .max_answer_bytes = AD_HOC_ANSWER_BYTES,
                          .limits = {.connect_us = 5 * SECOND < total ? 5 * SECOND : total,
                                     .first_byte_us = 60 * SECOND < total ? 60 * SECOND : total,
                                     .idle_us = 30 * SECOND < total ? 30 * SECOND : total,
                                     .total_us = total}};
}

static void make_models(struct wiring *w, const struct provider *providers, const struct wiring *before)
{
    const struct config *c = w->config;
    struct model *models = arena_zero(w->arena, sizeof(*models) * c->n_models);
    size_t room = c->n_models * PROVIDER_KEYS_MAX + (before != NULL ? (size_t)before->n_pools : 0);
    struct pool_conf *pools = arena_zero(w->arena, sizeof(*pools) * room);
    bool *is_taken = arena_zero(w->arena, sizeof(*is_taken) * room);

    if (before != NULL && before->n_pools > 0) {
        memcpy(pools, before->pools, sizeof(*pools) * (size_t)before->n_pools);
        w->n_pools = before->n_pools;
    }

    for (size_t i = 0; i < c->n_models; i++) {
        const struct config_model *m = &c->models[i];

        models[i] = (struct model){
            .id = m->id,
            .index = (int)i,
            .provider = &providers[m->provider - c->providers],
            .vendor_model = m->name,
            .metrics = metrics_model(m->provider->name, m->id),
            .aliases = m->aliases.items,
            .n_aliases = m->aliases.n,
            .price = {m->price.input, m->price.output, m->price.cached_input},
            .max_output_tokens = m->max_output_tokens,
            .max_answer_bytes = (size_t)m->max_answer_bytes,
            .params = make_params(w, &m->params),
            .n_params = m->params.n,
            .drop_params = m->drop_params.items,
            .n_drop_params = m->drop_params.n,
            .limits = {m->timeout.connect_us, m->timeout.first_byte_us, m->timeout.idle_us, m->timeout.total_us}};
        for (int k = 0; k < models[i].provider->n_keys; k++)
            models[i].pools[k] = add_pool(w, pools, is_taken, m, models[i].provider->keys[k].secret);
        sum_limits(&models[i], pools);
    }
    w->pools = pools;
    w->registry = (struct registry){.providers = providers,
                                    .n_providers = c->n_providers,
                                    .ad_hoc = ad_hoc_model(c),
                                    .models = models,
                                    .n_models = c->n_models,
                                    .default_models = c->jobs.default_models.items,
                                    .n_default_models = c->jobs.default_models.n};
    for (size_t i = 0; i < c->n_providers; i++)
        if (c->jobs.default_provider != NULL && strcmp(c->jobs.default_provider, providers[i].id) == 0)
            w->registry.default_provider = &providers[i];
    link_fallbacks(w, models);
}

void wiring_init_after(struct wiring *w, const struct config *config, const struct wiring *before)
{
    struct provider *providers;

    memset(w, 0, sizeof(*w));
    w->config = config;
    w->arena = arena_new(4096);
    providers = arena_zero(w->arena, sizeof(*providers) * (config->n_providers + 1));
    make_providers(w, providers);
    make_models(w, providers, before);
    if (w->n_pools > 0 || config->kafka.slot == NULL)
        w->redis_urls[w->n_redis_urls++] = config->redis.url; /* first: it leases the slot */
    if (config->journal.is_enabled && (w->n_redis_urls == 0 || strcmp(config->journal.url, config->redis.url) != 0))
        w->redis_urls[w->n_redis_urls++] = config->journal.url;
}

void wiring_init(struct wiring *w, const struct config *config)
{
    wiring_init_after(w, config, NULL);
}

void wiring_done(struct wiring *w)
{
    arena_free(w->arena);
    memset(w, 0, sizeof(*w));
}

static struct broker *make_broker(struct crew *c, const struct wiring *w, const char *slot, int index)
{
    static const enum kafka_start starts[] = {
        [CONFIG_START_EARLIEST] = KAFKA_START_EARLIEST, [CONFIG_START_LATEST] = KAFKA_START_LATEST};
    static const enum kafka_on_gap gaps[] = {
        [CONFIG_GAP_CONTINUE] = KAFKA_GAP_CONTINUE, [CONFIG_GAP_STOP] = KAFKA_GAP_STOP};
    static const enum kafka_delivery deliveries[] = {
        [CONFIG_EXACTLY_ONCE] = KAFKA_EXACTLY_ONCE, [CONFIG_AT_LEAST_ONCE] = KAFKA_AT_LEAST_ONCE};
    const struct config_kafka *k = &w->config->kafka;

    c->kafka = (struct kafka_conf){.brokers = k->brokers,
                                   .group = k->group,
                                   .topics = k->jobs.items,
                                   .n_topics = (int)k->jobs.n,
                                   .outputs = {[OUT_RESULTS] = k->results,
                                               [OUT_CALLS] = k->calls,
                                               [OUT_DEAD_LETTERS] = k->dead_letters,
                                               [OUT_MODEL_STATS] = k->model_stats,
                                               [OUT_BATCHES] = k->batches},
                                   .start = starts[k->start],
                                   .on_gap = gaps[k->on_gap],
                                   .delivery = deliveries[k->delivery],
                                   .commit_interval_us = k->commit_interval_us,
                                   .prefetch_bytes = k->prefetch_bytes,
                                   .long_retention_us =
                                       w->config->journal.is_enabled && w->config->journal.ttl_us == 0 ? 7 * DAY : 0,
                                   .slot = slot,
                                   .worker = index,
                                   .is_mock = w->has_mock_kafka,
                                   .properties = c->properties,
                                   .n_properties = (int)k->properties.n};
    for (size_t i = 0; i < k->properties.n; i++)
        c->properties[i] = (struct kafka_property){k->properties.pairs[i].name, k->properties.pairs[i].value};
    return broker_kafka_new(c->loop, &c->kafka);
}

/* One partition, committed at once: there is one job and nobody to share a batch with. */
static struct broker *make_memory_broker(struct crew *c, const struct wiring *w)
{
    const struct broker_mem_conf conf = {.topics = w->memory,
                                         .topic = w->config->kafka.jobs.items[0],
                                         .n_partitions = 1,
                                         .limit = MEMORY_RECORD_BYTES,
                                         .rng = &c->rng};

    return broker_mem_new(c->loop, &conf);
}

static int parse_redis(struct redis_conf *out, const char *url, const char *ca_file, const char *name)
{
    const char *why;

    if (redis_conf_parse(url, out, &why) < 0) {
        log_event(LOG_ERROR, "redis_url", "of=\"%s\" why=\"%s\"", name, why);
        return -EINVAL;
    }
    out->ca_file = mem_strdup(ca_file);
    out->name = name;
    return 0;
}

/* Where answers wait that Redis could not take: the service manager's state directory, the usual one, or the user's. */
static const char *spool_dir(char *out, size_t size)
{
    const char *state = getenv("STATE_DIRECTORY"), *home = getenv("XDG_STATE_HOME");

    if (state != NULL && *state != '\0')
        snprintf(out, size, "%s", state);
    else if (access("/var/lib/tutti", W_OK) == 0)
        snprintf(out, size, "/var/lib/tutti");
    else if (home != NULL && *home != '\0')
        snprintf(out, size, "%s/tutti", home);
    else
        snprintf(out, size, "%s/.local/state/tutti", getenv("HOME") != NULL ? getenv("HOME") : "/tmp");
    for (char *slash = strchr(out + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(out, 0700);
        *slash = '/';
    }
    (void)mkdir(out, 0700); /* the test below says whether it is usable */
    return access(out, W_OK) == 0 ? out : NULL;
}

static int make_journal(struct crew *c, const struct wiring *w)
{
    const struct config *config = w->config;
    struct journal_redis_conf conf = {
        .group = config->kafka.group, .slot = c->name, .ttl_ms = config->journal.ttl_us / 1000};
    char dir[512];

    if (w->has_memory_journal) {
        c->journal = journal_mem_new(c->loop, NULL, c->name, 0);
        return 0;
    }
    if (!config->journal.is_enabled)
        return 0;
    if (parse_redis(&conf.redis, config->journal.url, config->redis.ca_file, "journal") < 0)
        return -EINVAL;
    conf.spool_dir = spool_dir(dir, sizeof(dir));
    if (conf.spool_dir == NULL)
        log_event(LOG_WARN, "no_spool",
                  "dir=\"%s\" why=\"not writable: answers that Redis cannot take are kept in memory only\"", dir);
    c->journal = journal_redis_new(c->loop, &c->rng, &conf);
    redis_conf_done(&conf.redis);
    return 0;
}

static int make_limiter(struct crew *c, const struct wiring *w)
{
    struct redis_conf redis;
    struct limiter_redis_conf conf = {.redis = &redis, .pools = w->pools, .n_pools = w->n_pools};

    if (w->has_local_limits) {
        c->limiter = limiter_mem_new(c->loop, &c->rng, w->pools, w->n_pools, 0, NULL);
        return 0;
    }
    if (parse_redis(&redis, w->config->redis.url, w->config->redis.ca_file, "limiter") < 0)
        return -EINVAL;
    c->limiter = limiter_redis_new(c->loop, &c->rng, &conf);
    redis_conf_done(&redis);
    return 0;
}

static struct worker_reload settings_of(const struct wiring *w)
{
    const struct config *c = w->config;

    return (struct worker_reload){
        .registry = &w->registry,
        .pools = w->pools,
        .n_pools = w->n_pools,
        .breaker = {.failures = (int)c->breaker.failures, .open_us = c->breaker.open_us},
        .retry = {.attempts = (int)c->retry.attempts, .base_us = c->retry.base_us, .cap_us = c->retry.cap_us},
        .deadline_us = c->jobs.deadline_us,
        .dedupe_us = c->jobs.dedupe_us,
        .max_bytes = (size_t)c->jobs.max_bytes,
        .is_lenient = c->jobs.unknown_keys == CONFIG_UNKNOWN_WARN,
        .max_in_flight = (int)c->jobs.max_in_flight,
        .grace_us = c->shutdown_grace_us};
}

static struct env make_env(struct crew *c, const struct wiring *w, const struct worker_reload *settings)
{
    struct env env = {.loop = c->loop,
                      .rng = &c->rng,
                      .registry = settings->registry,
                      .http = c->http,
                      .limiter = c->limiter,
                      .journal = c->journal,
                      .broker = c->broker,
                      .health = c->health,
                      .retry = settings->retry,
                      .deadline_us = settings->deadline_us,
                      .dedupe_us = settings->dedupe_us,
                      .max_bytes = settings->max_bytes,
                      .is_lenient = settings->is_lenient,
                      .max_deliveries = MAX_DELIVERIES,
                      .group = w->config->kafka.group,
                      .worker_id = c->name,
                      .build = build_commit};

    env.merges = merge_all(&env.n_merges);
    return env;
}

int crew_init(struct crew *c, const struct wiring *w, struct loop *loop, const char *slot, int index,
              worker_stopped stopped, void *arg)
{
    static const struct http_curl_conf http_conf = {.user_agent = "tutti"};
    const struct worker_reload settings = settings_of(w);
    const struct worker_conf conf = {.topics = w->config->kafka.jobs.items,
                                     .n_topics = (int)w->config->kafka.jobs.n,
                                     .max_in_flight = settings.max_in_flight,
                                     .grace_us = settings.grace_us};
    struct env env;

    memset(c, 0, sizeof(*c));
    c->loop = loop;
    rng_seed(&c->rng, rng_entropy());
    snprintf(c->name, sizeof(c->name), "%s.%d", slot, index);
    c->properties = mem_zero(sizeof(*c->properties) * (w->config->kafka.properties.n + 1));
    if (make_journal(c, w) < 0 || make_limiter(c, w) < 0)
        return -EINVAL;
    c->http = http_curl_new(loop, &http_conf);
    c->broker = w->memory != NULL ? make_memory_broker(c, w) : make_broker(c, w, slot, index);
    if (c->http == NULL || c->broker == NULL)
        return -EINVAL;
    c->health = health_new(loop, c->limiter, settings.registry, &settings.breaker);
    env = make_env(c, w, &settings);
    c->worker = worker_new(&env, &conf, stopped, arg);
    return 0;
}

void crew_reload(struct crew *c, const struct wiring *w)
{
    const struct worker_reload settings = settings_of(w);

    if (c->worker != NULL)
        worker_reload(c->worker, &settings);
}

void crew_done(struct crew *c)
{
    worker_free(c->worker);
    if (c->broker != NULL)
        c->broker->ops->free(c->broker);
    if (c->http != NULL)
        c->http->ops->free(c->http);
    if (c->limiter != NULL)
        c->limiter->ops->free(c->limiter);
    health_free(c->health); /* after the limiter, which may hold a question of it */
    if (c->journal != NULL)
        c->journal->ops->free(c->journal);
    mem_free(c->properties);
    memset(c, 0, sizeof(*c));
}
