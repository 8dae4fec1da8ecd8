/* SPDX-License-Identifier: Apache-2.0 */
/* Is this Redis fit to hold limits and a journal? Its own loop, run until the answers are there. Blocks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "impl/redis_probe.h"
#include "loop.h"
#include "redis.h"

enum { ASK_US = 2000000, WHOLE_US = 5000000, SKEW_US = 500000, LEAST_MAJOR = 7 };

struct probe {
    struct loop *loop;
    struct redis *redis;
    finding_fn found;
    void *arg;
    char why[128];
    bool is_up;
    int n_open; /* questions without an answer */
    struct timer limit;
};

static void answered(struct probe *p)
{
    if (--p->n_open == 0)
        loop_stop(p->loop);
}

/* "redis_version:7.0.15" in the reply of INFO server. */
static void on_info(void *arg, const struct redis_reply *reply, int error)
{
    static const char name[] = "redis_version:";
    struct probe *p = arg;
    const char *at = error == 0 && reply->type == REDIS_STR ? strstr(reply->s, name) : NULL;
    char what[64];

    if (at == NULL) {
        p->found(p->arg, FINDING_WARNING, "the server does not tell its version", "allow INFO to tutti's user");
    } else {
        const char *version = at + strlen(name);
        bool is_old = strtol(version, NULL, 10) < LEAST_MAJOR;

        (void)snprintf(what, sizeof(what), "version %.*s", (int)strcspn(version, "\r\n"), version);
        p->found(p->arg, is_old ? FINDING_FAILURE : FINDING_OK, what,
                 is_old ? "tutti needs Redis 7 or Valkey: FUNCTION is missing before" : NULL);
    }
    answered(p);
}

static void on_policy(void *arg, const struct redis_reply *reply, int error)
{
    struct probe *p = arg;
    char what[96];

    if (error != 0 || reply->type != REDIS_ARRAY || reply->n != 2) {
        p->found(p->arg, FINDING_WARNING, "maxmemory-policy is not told (CONFIG is not allowed)",
                 "see for yourself that it is noeviction");
    } else {
        bool is_right = strcmp(reply->element[1].s, "noeviction") == 0;

        (void)snprintf(what, sizeof(what), "maxmemory-policy %s", reply->element[1].s);
        p->found(p->arg, is_right ? FINDING_OK : FINDING_FAILURE, what,
                 is_right ? NULL : "CONFIG SET maxmemory-policy noeviction: what is evicted is paid for again");
    }
    answered(p);
}

static void on_time(void *arg, const struct redis_reply *reply, int error)
{
    struct probe *p = arg;
    struct timespec now;
    int64_t skew_us;
    char what[96];

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (error != 0 || reply->type != REDIS_ARRAY || reply->n != 2) {
        p->found(p->arg, FINDING_WARNING, "the server does not tell its time", "allow TIME to tutti's user");
    } else {
        skew_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 -
                  (strtoll(reply->element[0].s, NULL, 10) * 1000000 + strtoll(reply->element[1].s, NULL, 10));
        (void)snprintf(what, sizeof(what), "clock %+.0f ms from ours", -(double)skew_us / 1000);
        p->found(p->arg, llabs(skew_us) > SKEW_US ? FINDING_WARNING : FINDING_OK, what,
                 llabs(skew_us) > SKEW_US ? "run NTP on both; limits follow the server's clock, records ours" : NULL);
    }
    answered(p);
}

static void on_up(void *arg)
{
    static const char *const info[] = {"INFO", "server"};
    static const char *const policy[] = {"CONFIG", "GET", "maxmemory-policy"};
    static const char *const time_[] = {"TIME"};
    struct probe *p = arg;

    if (p->is_up)
        return;
    p->is_up = true;
    p->found(p->arg, FINDING_OK, "connected", NULL);
    p->n_open = 3;
    CHECK(redis_send(p->redis, 2, info, NULL, ASK_US, on_info, p) == 0);
    CHECK(redis_send(p->redis, 3, policy, NULL, ASK_US, on_policy, p) == 0);
    CHECK(redis_send(p->redis, 1, time_, NULL, ASK_US, on_time, p) == 0);
}

static void on_limit(void *arg)
{
    struct probe *p = arg;

    loop_stop(p->loop);
}

void redis_probe(const char *url, const char *ca_file, finding_fn found, void *arg)
{
    static const struct redis_events events = {.up = on_up};
    struct probe p = {.loop = loop_new(), .found = found, .arg = arg};
    struct redis_conf conf;
    struct rng rng;
    const char *why;

    CHECK(p.loop != NULL);
    if (redis_conf_parse(url, &conf, &why) < 0) {
        found(arg, FINDING_FAILURE, why, "see tutti config explain redis.url");
        loop_free(p.loop);
        return;
    }
    conf.ca_file = mem_strdup(ca_file);
    conf.name = "doctor";
    rng_seed(&rng, rng_entropy());
    timer_init(&p.limit, on_limit, &p);
    timer_start(p.loop, &p.limit, loop_now_us(p.loop) + WHOLE_US);
    p.redis = redis_new(p.loop, &rng, &conf, &events, &p);
    loop_run(p.loop);
    timer_stop(p.loop, &p.limit);
    if (!p.is_up)
        found(arg, FINDING_FAILURE, redis_is_refused(p.redis) ? "the log-in is refused" : "no connection within 5 s",
              redis_is_refused(p.redis) ? "check user and password in redis.url" : "check redis.url, and that it runs");
    else if (p.n_open > 0)
        found(arg, FINDING_FAILURE, "connected, but it does not answer", "see what it is busy with: SLOWLOG GET");
    redis_free(p.redis);
    redis_conf_done(&conf);
    loop_free(p.loop);
}
