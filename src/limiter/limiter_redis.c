/* SPDX-License-Identifier: Apache-2.0 */
/* The limiter over Redis: writes a pool's tick as one FCALL, reads its answer, loads the function where it is missing.
 * Grants nothing while Redis is away. Its own connection; never blocks. Loop thread only. source:
 * reference/rate-limits.md 4.3, 4.6 */
#include "impl/limiter_redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "limiter/limiter_core.h"
#include "limiter/tick_lua.h"
#include "redis.h"

enum {
    TICK_TIMEOUT_US = 250000,
    LOAD_TIMEOUT_US = 2000000,
    ERROR_DELAY_US = 250000, /* before a refused tick goes again */
    LOG_PERIOD_US = 10000000,
    FIXED_ARGS = 27, /* FCALL, function, 2, two keys, and the 22 arguments before the costs */
    KEY_MAX = 192,
    NUMBER_MAX = BUF_I64_BYTES,
};

struct limiter_redis {
    struct limiter_core core; /* first */
    struct redis *redis;      /* NULL: there has been no pool yet */
    struct redis_conf conf;   /* ours; to connect with the first pool */
    int64_t tick_timeout_us;
    char worker[17]; /* this incarnation: 64 random bits, not from the seeded generator */
    bool is_counted; /* in METRIC_LIMITER_DOWN */
    bool is_loading; /* FUNCTION LOAD is under way */
    int64_t logged_us;
};

/* One command's words; numbers are printed into `text`. */
struct words {
    int n;
    const char *argv[FIXED_ARGS + TICK_MAX];
    size_t len[FIXED_ARGS + TICK_MAX];
    char text[FIXED_ARGS + TICK_MAX][NUMBER_MAX];
};

static void count_down(struct limiter_redis *r, bool is_down)
{
    if (r->is_counted != is_down)
        metric_add(METRIC_LIMITER_DOWN, is_down ? 1 : -1);
    r->is_counted = is_down;
}

static void add_word(struct words *w, const char *s)
{
    w->argv[w->n] = s;
    w->len[w->n++] = strlen(s);
}

static void add_number(struct words *w, int64_t value)
{
    add_word(w, buf_i64(w->text[w->n], value));
}

/* A server that answers but does not do its work counts as away. q: the pool, NULL: all. */
static void note_refusal(struct limiter_redis *r, const char *event, const struct pool_queue *q, const char *why)
{
    count_down(r, true);
    if (log_is_due(&r->logged_us, loop_now_us(r->core.loop), LOG_PERIOD_US))
        log_event(LOG_ERROR, event, "pool=%s why=\"%s\"", q != NULL ? q->id : "all", why);
}

/* Ticks that found the function missing wait for this. */
static void on_loaded(void *arg, const struct redis_reply *reply, int error)
{
    struct limiter_redis *r = arg;

    (void)error; /* the connection is lost: the next tick finds the function missing again */
    r->is_loading = false;
    if (reply == NULL)
        return;
    if (reply->type == REDIS_ERROR && strstr(reply->s, "already exists") == NULL) {
        note_refusal(r, "limiter_function_refused", NULL, reply->s);
        return; /* the ticks go again after a while */
    }
    log_event(LOG_INFO, "limiter_function_loaded", "name=%s", TICK_FUNCTION);
    for (int i = 0; i < r->core.n_pools; i++) {
        r->core.pools[i]->not_before_us = 0;
        limiter_core_kick(&r->core, r->core.pools[i]);
    }
}

static void load_function(struct limiter_redis *r)
{
    const char *const argv[] = {"FUNCTION", "LOAD", TICK_LUA};

    if (!r->is_loading)
        r->is_loading = redis_send(r->redis, 3, argv, NULL, LOAD_TIMEOUT_US, on_loaded, r) == 0;
}

/* The server refused the tick: out of memory, loading, no permission, no function. Nothing was granted. */
static void on_refused(struct limiter_redis *r, struct pool_queue *q, const char *why)
{
    if (strstr(why, "Function not found") != NULL)
        load_function(r);
    else
        note_refusal(r, "limiter_tick_refused", q, why);
    limiter_core_lost(&r->core, q, ERROR_DELAY_US);
}

static void on_answer(void *arg, const struct redis_reply *reply, int error)
{
    struct pool_queue *q = arg;
    struct limiter_redis *r = (struct limiter_redis *)q->core;
    struct tick_answer answer;
    int64_t figures[TICK_ANSWER_LEN];

    if (reply == NULL) {
        (void)error; /* it may have run or not: the same number asks again */
        limiter_core_lost(&r->core, q, 0);
        return;
    }
    if (reply->type == REDIS_ERROR) {
        on_refused(r, q, reply->s);
        return;
    }
    if (reply->type != REDIS_ARRAY || reply->n != TICK_ANSWER_LEN) {
        on_refused(r, q, "not an answer to a tick");
        return;
    }
    for (size_t i = 0; i < reply->n; i++)
        figures[i] = reply->element[i].i;
    memcpy(&answer, figures, sizeof(answer));
    if (answer.granted < 0 || answer.granted > q->n_sent || answer.why < 0 || answer.why > THROTTLE_FAIRNESS) {
        on_refused(r, q, "an impossible answer to a tick");
        return;
    }
    count_down(r, false);
    limiter_core_answer(&r->core, q, &answer);
}

static int send_tick(struct limiter_core *c, struct pool_queue *q)
{
    struct limiter_redis *r = (struct limiter_redis *)c;
    const struct tick_ask *ask = &q->ask;
    const struct pool_limits *lim = &q->limits;
    char state[KEY_MAX], workers[KEY_MAX];
    struct words w;

    w.n = 0;
    (void)snprintf(state, sizeof(state), "tutti:{%s}:s", q->id);
    (void)snprintf(workers, sizeof(workers), "tutti:{%s}:i", q->id);
    add_word(&w, "FCALL");
    add_word(&w, TICK_FUNCTION);
    add_word(&w, "2");
    add_word(&w, state);
    add_word(&w, workers);
    add_word(&w, "1"); /* contract */
    add_word(&w, "");  /* clock: the server's */
    add_word(&w, r->worker);
    add_word(&w, redis_server_id(r->redis));
    add_number(&w, ask->seq);
    add_number(&w, ask->is_drain);
    add_number(&w, ask->is_known);
    add_number(&w, lim->req_cap);
    add_number(&w, lim->req_rate);
    add_number(&w, lim->tok_cap);
    add_number(&w, lim->tok_rate);
    add_number(&w, lim->concurrency);
    add_number(&w, lim->slot_return_us);
    add_number(&w, ask->hgen);
    add_number(&w, ask->released);
    add_number(&w, ask->refund);
    add_number(&w, ask->excess);
    add_number(&w, ask->in_flight);
    add_number(&w, ask->pause_us);
    add_number(&w, ask->backlog);
    add_word(&w, "0"); /* not a test's pool */
    add_number(&w, lim->grant_age_us);
    CHECK(w.n == FIXED_ARGS);
    for (int i = 0; i < ask->n; i++)
        add_number(&w, ask->cost[i]);
    return redis_send(r->redis, w.n, w.argv, w.len, r->tick_timeout_us, on_answer, q);
}

/* A try of the fleet is one key: "try" while somebody tries, then how it went. */
static const char *const probe_words[] = {[PROBE_ASK] = "try", [PROBE_GOOD] = "good", [PROBE_BAD] = "bad"};

/* Without an answer, and with one that is not understood, this worker counts as alone: a model must come back also
 * while the server is away. */
static void on_probe(void *arg, const struct redis_reply *reply, int error)
{
    struct probe *p = arg;
    struct limiter_redis *r = (struct limiter_redis *)p->limiter;
    enum probe_answer answer = PROBE_YOURS;

    (void)error;
    if (reply != NULL && reply->type == REDIS_STR && strcmp(reply->s, probe_words[PROBE_ASK]) == 0)
        answer = PROBE_OTHERS;
    else if (reply != NULL && reply->type == REDIS_STR && strcmp(reply->s, probe_words[PROBE_GOOD]) == 0)
        answer = PROBE_WAS_GOOD;
    else if (reply != NULL && reply->type == REDIS_STR && strcmp(reply->s, probe_words[PROBE_BAD]) == 0)
        answer = PROBE_WAS_BAD;
    limiter_core_answer_probe(&r->core, p, answer);
}

static void redis_limiter_probe(struct limiter *l, struct probe *p)
{
    struct limiter_redis *r = (struct limiter_redis *)l;
    char key[KEY_MAX], ttl_ms[NUMBER_MAX];
    const char *argv[] = {"SET", key, probe_words[p->word], "PX", ttl_ms, "NX", "GET"};
    bool is_question = p->word == PROBE_ASK;

    (void)snprintf(key, sizeof(key), "tutti:{probe:%s}", p->name);
    (void)snprintf(ttl_ms, sizeof(ttl_ms), "%" PRId64, (p->ttl_us + 999) / 1000);
    p->limiter = l;
    if (r->redis == NULL) { /* nothing is shared yet */
        if (is_question)
            limiter_core_answer_probe(&r->core, p, PROBE_YOURS);
        return;
    }
    if (redis_send(r->redis, is_question ? 7 : 5, argv, NULL, r->tick_timeout_us, is_question ? on_probe : NULL,
                   is_question ? p : NULL) < 0 &&
        is_question)
        limiter_core_answer_probe(&r->core, p, PROBE_YOURS);
}

static void on_up(void *arg)
{
    struct limiter_redis *r = arg;

    count_down(r, false);
    limiter_core_set_up(&r->core, true);
}

static void on_down(void *arg, const char *why)
{
    struct limiter_redis *r = arg;

    (void)why; /* the connection logs it */
    count_down(r, true);
    limiter_core_set_up(&r->core, false);
}

static const struct redis_events redis_events = {.up = on_up, .down = on_down};

/* A service without limits needs no server. */
static void connect_for_pools(struct limiter_redis *r)
{
    if (r->redis != NULL || r->core.n_pools == 0)
        return;
    count_down(r, true);
    r->redis = redis_new(r->core.loop, r->core.rng, &r->conf, &redis_events, r);
}

static void check_ids(const struct pool_conf *pools, int n_pools)
{
    for (int i = 0; i < n_pools; i++)
        CHECK(strlen(pools[i].id) < KEY_MAX - sizeof("tutti:{}:s"));
}

static void redis_limiter_configure(struct limiter *l, const struct pool_conf *pools, int n_pools)
{
    struct limiter_redis *r = (struct limiter_redis *)l;

    check_ids(pools, n_pools);
    limiter_core_configure(l, pools, n_pools);
    connect_for_pools(r);
}

static void redis_limiter_free(struct limiter *l)
{
    struct limiter_redis *r = (struct limiter_redis *)l;

    if (r == NULL)
        return;
    redis_free(r->redis);
    redis_conf_done(&r->conf);
    count_down(r, false);
    limiter_core_done(&r->core);
    mem_free(r);
}

static const struct limiter_ops redis_ops = {
    .name = "redis",
    .request = limiter_core_request,
    .cancel = limiter_core_cancel,
    .settle = limiter_core_settle,
    .pause = limiter_core_pause,
    .probe = redis_limiter_probe,
    .configure = redis_limiter_configure,
    .stop = limiter_core_stop,
    .free = redis_limiter_free,
};

struct limiter *limiter_redis_new(struct loop *loop, struct rng *rng, const struct limiter_redis_conf *conf)
{
    struct limiter_redis *r = mem_zero(sizeof(*r));

    check_ids(conf->pools, conf->n_pools);
    (void)snprintf(r->worker, sizeof(r->worker), "%016" PRIx64, rng_entropy());
    r->tick_timeout_us = conf->tick_timeout_us > 0 ? conf->tick_timeout_us : TICK_TIMEOUT_US;
    /* The core first: its end-of-turn hook must run before the connection's, so that all pools' ticks are in one write.
     */
    limiter_core_init(&r->core, &redis_ops, loop, rng, conf->pools, conf->n_pools, conf->grant_age_us);
    r->core.send = send_tick;
    redis_conf_copy(&r->conf, conf->redis);
    connect_for_pools(r);
    return &r->core.api;
}
