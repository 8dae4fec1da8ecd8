/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the state that tick_lua.h keeps: HMGET and HGETALL, never the function. Blocks; its own loop. */
#include "impl/limiter_look.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "limiter/bucket.h"
#include "limiter/meter.h"
#include "loop.h"
#include "redis.h"
#include "seam/limiter.h"

enum { WHOLE_US = 5000000, ASK_US = 4000000, KEY_BYTES = 192, AGE_US = 500000 };

struct look;

struct pool {
    struct look *look;
    const struct pool_conf *conf;
    struct pool_limits limits;
    struct pool_look *out;
};

struct look {
    struct loop *loop;
    struct redis *redis;
    struct timer limit;
    struct pool *pools; /* pools[n] */
    int n;
    int n_open; /* questions without an answer */
    bool was_asked;
    bool is_lost;   /* one was not answered */
    int64_t now_us; /* the server's clock */
    char refusal[128];
};

static void answered(struct look *l, const struct redis_reply *reply, enum redis_type wanted)
{
    if (reply == NULL)
        l->is_lost = true;
    else if (reply->type == REDIS_ERROR)
        (void)snprintf(l->refusal, sizeof(l->refusal), "%.120s", reply->s);
    else if (reply->type != wanted)
        (void)snprintf(l->refusal, sizeof(l->refusal), "not the answer of a Redis");
    if (--l->n_open == 0)
        loop_stop(l->loop);
}

static int64_t number(const struct redis_reply *r)
{
    return r->s != NULL ? strtoll(r->s, NULL, 10) : 0; /* the function writes integers, as 1.5e12 never */
}

/* First, so that the others can count from it. */
static void on_time(void *arg, const struct redis_reply *reply, int error)
{
    struct look *l = arg;

    (void)error;
    if (reply != NULL && reply->type == REDIS_ARRAY && reply->n == 2)
        l->now_us = number(&reply->element[0]) * 1000000 + number(&reply->element[1]);
    answered(l, reply, REDIS_ARRAY);
}

enum { T, REQ, REQ_REM, TOK, TOK_REM, HELD, PAUSE, FIELDS_MAX };
static const char *const fields[FIELDS_MAX] = {"t", "req", "req_rem", "tok", "tok_rem", "held", "pause"};

static void on_state(void *arg, const struct redis_reply *reply, int error)
{
    struct pool *p = arg;
    struct pool_look *out = p->out;
    struct bucket req = {0}, tok = {0};
    int64_t dt_us;

    (void)error;
    if (reply != NULL && reply->type == REDIS_ARRAY && reply->n == FIELDS_MAX && reply->element[T].s != NULL) {
        const struct redis_reply *v = reply->element;

        dt_us = p->look->now_us > number(&v[T]) ? p->look->now_us - number(&v[T]) : 0;
        req = (struct bucket){.level = number(&v[REQ]), .rem = number(&v[REQ_REM])};
        tok = (struct bucket){.level = number(&v[TOK]), .rem = number(&v[TOK_REM]), .held = number(&v[HELD])};
        if (p->limits.req_cap > 0)
            bucket_refill(&req, p->limits.req_cap, p->limits.req_rate, dt_us);
        if (p->limits.tok_cap > 0)
            bucket_refill(&tok, p->limits.tok_cap, p->limits.tok_rate, dt_us);
        out->is_known = true;
        out->req_level = req.level / BUCKET_UNIT;
        out->tok_level = tok.level / BUCKET_UNIT;
        out->tok_held = tok.held / BUCKET_UNIT;
        out->pause_us = number(&v[PAUSE]) > p->look->now_us ? number(&v[PAUSE]) - p->look->now_us : 0;
    }
    answered(p->look, reply, REDIS_ARRAY);
}

/* "seq seen in_flight held generation waiting ...": print_record() of the function. */
static void add_worker(struct pool *p, const char *record)
{
    long long seq, seen, in_flight, held, generation, waiting;
    int64_t age_us;

    if (sscanf(record, "%lld %lld %lld %lld %lld %lld", &seq, &seen, &in_flight, &held, &generation, &waiting) != 6)
        return;
    age_us = p->look->now_us - seen;
    if (age_us <= p->limits.slot_return_us)
        p->out->in_flight += in_flight;
    if (age_us <= METER_LIVE_US)
        p->out->workers++;
    if (age_us <= METER_WAIT_US && waiting > 0)
        p->out->waiting++;
}

static void on_workers(void *arg, const struct redis_reply *reply, int error)
{
    struct pool *p = arg;

    (void)error;
    for (size_t i = 1; reply != NULL && reply->type == REDIS_ARRAY && i < reply->n; i += 2)
        if (reply->element[i].s != NULL)
            add_worker(p, reply->element[i].s);
    answered(p->look, reply, REDIS_ARRAY);
}

static void ask(struct look *l, int argc, const char *const *argv, redis_done done, void *arg)
{
    l->n_open++;
    if (redis_send(l->redis, argc, argv, NULL, ASK_US, done, arg) < 0)
        answered(l, NULL, REDIS_NIL);
}

static void on_up(void *arg)
{
    static const char *const time_[] = {"TIME"};
    struct look *l = arg;
    char key[KEY_BYTES];

    if (l->was_asked)
        return;
    l->was_asked = true;
    ask(l, 1, time_, on_time, l);
    for (int i = 0; i < l->n; i++) {
        const char *state[2 + FIELDS_MAX] = {"HMGET", key};
        const char *workers[] = {"HGETALL", key};

        memcpy(&state[2], fields, sizeof(fields));
        (void)snprintf(key, sizeof(key), "tutti:{%s}:s", l->pools[i].conf->id);
        ask(l, 2 + FIELDS_MAX, state, on_state, &l->pools[i]);
        (void)snprintf(key, sizeof(key), "tutti:{%s}:i", l->pools[i].conf->id);
        ask(l, 2, workers, on_workers, &l->pools[i]);
    }
}

static void on_limit(void *arg)
{
    struct look *l = arg;

    loop_stop(l->loop);
}

static int verdict(const struct look *l, char *why, size_t size)
{
    if (!l->was_asked)
        (void)snprintf(why, size, "%s", redis_is_refused(l->redis) ? "the log-in is refused" : "no connection");
    else if (*l->refusal != '\0')
        (void)snprintf(why, size, "%s", l->refusal);
    else if (l->n_open > 0 || l->is_lost)
        (void)snprintf(why, size, "connected, but it does not answer");
    else
        return 0;
    return l->was_asked ? -EPROTO : -ENOTCONN;
}

static void read_all(struct look *l, const struct redis_conf *conf)
{
    static const struct redis_events events = {.up = on_up};
    struct rng rng;

    rng_seed(&rng, rng_entropy());
    timer_init(&l->limit, on_limit, l);
    timer_start(l->loop, &l->limit, loop_now_us(l->loop) + WHOLE_US);
    l->redis = redis_new(l->loop, &rng, conf, &events, l);
    loop_run(l->loop);
    timer_stop(l->loop, &l->limit);
}

int limiter_look(const char *url, const char *ca_file, const struct pool_conf *pools, int n, struct pool_look *out,
                 char *why, size_t size)
{
    struct look l = {.n = n};
    struct redis_conf conf;
    const char *text;
    int r;

    if (redis_conf_parse(url, &conf, &text) < 0) {
        (void)snprintf(why, size, "%s", text);
        return -EINVAL;
    }
    conf.ca_file = mem_strdup(ca_file);
    conf.name = "look";
    l.loop = loop_new();
    CHECK(l.loop != NULL);
    l.pools = mem_zero(sizeof(*l.pools) * (size_t)(n + 1));
    memset(out, 0, sizeof(*out) * (size_t)n);
    for (int i = 0; i < n; i++) {
        CHECK(strlen(pools[i].id) < KEY_BYTES - sizeof("tutti:{}:s"));
        l.pools[i] = (struct pool){.look = &l, .conf = &pools[i], .out = &out[i]};
        pool_limits_of(&l.pools[i].limits, &pools[i], AGE_US);
        out[i].req_bucket = l.pools[i].limits.req_cap / BUCKET_UNIT;
        out[i].tok_bucket = l.pools[i].limits.tok_cap / BUCKET_UNIT;
    }
    read_all(&l, &conf);
    r = verdict(&l, why, size);
    redis_free(l.redis);
    redis_conf_done(&conf);
    loop_free(l.loop);
    mem_free(l.pools);
    return r;
}
