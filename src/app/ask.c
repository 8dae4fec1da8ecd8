/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one job in memory: worker up, job in, record out, worker drained. No journal: a crash forgets the answer
 * with the process that wanted it. Main thread. */
#include "app/ask.h"

#include <string.h>

#include "app/config.h"
#include "app/wire.h"
#include "base/check.h"
#include "base/mem.h"
#include "impl/broker_mem.h"
#include "loop.h"
#include "redis.h"

enum { REACH_US = 1000000, EXIT_CONFIG = 78, EXIT_INTERNAL = 70 };

struct ask {
    struct loop *loop;
    struct wiring wiring;
    struct crew crew;
    struct mem_topics *topics;
    struct hook hook;
    struct timer timer;
    struct ask_answer *out;
    bool is_draining;
};

/* --- is Redis there? --- */

static void stop_loop(void *arg)
{
    loop_stop(arg);
}

static bool reach_redis(struct loop *loop, const struct config *config)
{
    static const struct redis_events events = {.up = stop_loop};
    struct redis_conf conf;
    struct redis *redis;
    struct timer timer;
    struct rng rng;
    const char *why;
    bool is_up;

    if (redis_conf_parse(config->redis.url, &conf, &why) < 0)
        return false;
    conf.ca_file = mem_strdup(config->redis.ca_file);
    conf.name = "ask";
    rng_seed(&rng, rng_entropy());
    timer_init(&timer, stop_loop, loop);
    timer_start(loop, &timer, loop_now_us(loop) + REACH_US);
    redis = redis_new(loop, &rng, &conf, &events, loop);
    loop_run(loop);
    is_up = redis_is_up(redis);
    timer_stop(loop, &timer);
    redis_free(redis);
    redis_conf_done(&conf);
    return is_up;
}

/* --- the job --- */

static char *header(const struct mem_record *r, const char *name)
{
    for (int i = 0; i < r->n_headers; i++)
        if (strcmp(r->headers[i].name, name) == 0 && r->headers[i].value != NULL)
            return mem_strndup(r->headers[i].value, r->headers[i].value_len);
    return mem_strdup("");
}

static void take_record(struct ask_answer *out, const struct mem_record *r)
{
    if (r->output == OUT_RESULTS) {
        out->result = mem_strndup(r->value, r->value_len);
    } else if (r->output == OUT_DEAD_LETTERS) {
        out->code = header(r, "dlq.error.code");
        out->pointer = header(r, "dlq.error.pointer");
        out->message = header(r, "__dlq.errors.message");
    }
}

static void on_turn(void *arg)
{
    struct ask *a = arg;
    int n;
    const struct mem_record *records = mem_topics_records(a->topics, &n);

    if (a->is_draining || n == 0)
        return;
    for (int i = 0; i < n; i++)
        take_record(a->out, &records[i]);
    a->is_draining = true;
    worker_drain(a->crew.worker);
}

static void on_stopped(void *arg, int exit_code)
{
    struct ask *a = arg;

    a->out->exit_code = a->out->result == NULL && a->out->code == NULL && exit_code == 0 ? EXIT_INTERNAL : exit_code;
    loop_stop(a->loop);
}

static void run_job(struct ask *a, const char *job, size_t len)
{
    const struct message m = {.ts_ms = loop_wall_ms(a->loop), .value = job, .value_len = len};

    if (crew_init(&a->crew, &a->wiring, a->loop, "ask", 0, on_stopped, a) < 0) {
        a->out->exit_code = EXIT_CONFIG;
    } else {
        (void)mem_topics_append(a->topics, 0, &m, 0);
        a->hook = (struct hook){.fn = on_turn, .arg = a};
        list_init(&a->hook.link);
        loop_add_hook(a->loop, &a->hook);
        if (worker_start(a->crew.worker) == 0)
            loop_run(a->loop);
        loop_del_hook(&a->hook);
    }
    crew_done(&a->crew);
}

void ask_run(const struct config *config, const char *job, size_t len, bool wants_redis, struct ask_answer *out)
{
    struct config mine = *config; /* nothing of it is Kafka's or the journal's here */
    struct ask a = {.loop = loop_new(), .out = out};

    memset(out, 0, sizeof(*out));
    CHECK(a.loop != NULL);
    mine.journal.is_enabled = false;
    wiring_init(&a.wiring, &mine);
    a.topics = mem_topics_new(1);
    a.wiring.memory = a.topics;
    a.wiring.has_local_limits = a.wiring.n_pools > 0 && (!wants_redis || !reach_redis(a.loop, &mine));
    out->has_local_limits = wants_redis && a.wiring.has_local_limits;
    run_job(&a, job, len);
    mem_topics_free(a.topics);
    wiring_done(&a.wiring);
    loop_free(a.loop);
}

void ask_answer_done(struct ask_answer *a)
{
    mem_free(a->result);
    mem_free(a->code);
    mem_free(a->pointer);
    mem_free(a->message);
    memset(a, 0, sizeof(*a));
}
