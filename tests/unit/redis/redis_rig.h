/* SPDX-License-Identifier: Apache-2.0 */
/* A loop with one redis connection on it, and waiting for what it reports: callbacks only note and stop the loop. */
#ifndef TEST_REDIS_RIG_H
#define TEST_REDIS_RIG_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "loop.h"
#include "redis.h"

struct rig {
    struct loop *loop;
    struct rng rng;
    struct redis_conf conf;
    struct redis *redis;
    struct timer limit;
    bool is_late;
    int n_up, n_down, n_done;
    int n_done_at_down; /* n_done when down() came */
    char why[256];
};

/* One command's end, as the callback saw it. */
struct answer {
    struct rig *rig;
    int n; /* times called */
    int error;
    int place; /* its place among all answers, from 1 */
    enum redis_type type;
    int64_t i;
    size_t len, elements;
    char s[64];
};

__attribute__((unused)) static void rig_on_limit(void *arg)
{
    struct rig *r = arg;

    r->is_late = true;
    loop_stop(r->loop);
}

__attribute__((unused)) static void rig_init(struct rig *r)
{
    *r = (struct rig){.loop = loop_new()};
    rng_seed(&r->rng, 42);
    timer_init(&r->limit, rig_on_limit, r);
}

__attribute__((unused)) static void rig_on_up(void *arg)
{
    struct rig *r = arg;

    r->n_up++;
    loop_stop(r->loop);
}

__attribute__((unused)) static void rig_on_down(void *arg, const char *why)
{
    struct rig *r = arg;

    r->n_down++;
    r->n_done_at_down = r->n_done;
    (void)snprintf(r->why, sizeof(r->why), "%s", why);
    loop_stop(r->loop);
}

__attribute__((unused)) static void rig_open(struct rig *r, const char *url)
{
    static const struct redis_events events = {.up = rig_on_up, .down = rig_on_down};
    const char *why = NULL;

    CHECK(redis_conf_parse(url, &r->conf, &why) == 0);
    r->conf.name = "test";
    r->redis = redis_new(r->loop, &r->rng, &r->conf, &events, r);
}

__attribute__((unused)) static void rig_done(struct rig *r)
{
    timer_stop(r->loop, &r->limit);
    redis_free(r->redis);
    redis_conf_done(&r->conf);
    loop_free(r->loop);
}

/* Runs the loop until *counter reaches `value`, at most `ms`; true when it did. */
__attribute__((unused)) static bool rig_wait(struct rig *r, const int *counter, int value, int ms)
{
    r->is_late = false;
    timer_start(r->loop, &r->limit, loop_clock_us(r->loop) + ms * 1000LL);
    while (*counter < value && !r->is_late)
        loop_run(r->loop);
    timer_stop(r->loop, &r->limit);
    return *counter >= value;
}

__attribute__((unused)) static void rig_answer(void *arg, const struct redis_reply *reply, int error)
{
    struct answer *a = arg;

    a->n++;
    a->error = error;
    a->place = ++a->rig->n_done;
    if (reply != NULL) {
        a->type = reply->type;
        a->i = reply->i;
        a->len = reply->len;
        a->elements = reply->n;
        if (reply->s != NULL)
            (void)snprintf(a->s, sizeof(a->s), "%s", reply->s);
    }
    loop_stop(a->rig->loop);
}

/* Sends the words of `line` as one command. */
__attribute__((unused)) static int rig_send(struct rig *r, const char *line, int64_t timeout_us, struct answer *a)
{
    AUTO_FREE char *copy = mem_strdup(line);
    const char *argv[16];
    int argc = 0;
    char *rest = NULL;

    for (char *w = strtok_r(copy, " ", &rest); w != NULL && argc < 16; w = strtok_r(NULL, " ", &rest))
        argv[argc++] = w;
    if (a != NULL)
        *a = (struct answer){.rig = r};
    return redis_send(r->redis, argc, argv, NULL, timeout_us, a != NULL ? rig_answer : NULL, a);
}

/* Sends a command and waits for its answer. */
__attribute__((unused)) static struct answer rig_ask(struct rig *r, const char *line)
{
    struct answer a;

    if (rig_send(r, line, 0, &a) < 0)
        return (struct answer){.error = -ENOTCONN};
    (void)rig_wait(r, &a.n, 1, 5000);
    return a;
}

#endif
