/* SPDX-License-Identifier: Apache-2.0 */
/* What the Redis journal's tests share: a real redis-server, journals on one loop, claims that are waited for. */
#ifndef TESTS_JOURNAL_BENCH_H
#define TESTS_JOURNAL_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "impl/journal_redis.h"
#include "unit/redis/redis_rig.h"
#include "unit/redis/redis_server.h"

/* One server, a plain connection beside the journals, and the loop they all run on. */
struct bench {
    struct redis_server server;
    struct rig rig;
    char url[64];
};

struct asked {
    struct claim c;
    struct bench *b;
    int n; /* answers */
};

static inline void bench_open(struct bench *b)
{
    server_init(&b->server);
    server_start(&b->server, NULL);
    rig_init(&b->rig);
    (void)snprintf(b->url, sizeof(b->url), "redis://127.0.0.1:%d", b->server.port);
    rig_open(&b->rig, b->url);
    assert_true(rig_wait(&b->rig, &b->rig.n_up, 1, 10000));
}

static inline void bench_close(struct bench *b)
{
    rig_done(&b->rig);
    server_done(&b->server);
}

/* Runs the loop for a while. */
static inline void run_ms(struct bench *b, int ms)
{
    int never = 0;

    (void)rig_wait(&b->rig, &never, 1, ms);
}

/* Runs the loop until is_down is `is_down`; true when it is. */
static inline bool wait_down(struct bench *b, const struct journal *j, bool is_down, int ms)
{
    for (; ms > 0 && j->is_down != is_down; ms -= 5)
        run_ms(b, 5);
    return j->is_down == is_down;
}

static inline struct journal *open_journal(struct bench *b, const char *slot, int64_t liveness_ms,
                                           const char *spool_dir)
{
    struct journal_redis_conf conf = {
        .group = "g", .slot = slot, .ttl_ms = 60000, .spool_dir = spool_dir, .liveness_ms = liveness_ms};
    struct journal *j;
    const char *why;

    CHECK(redis_conf_parse(b->url, &conf.redis, &why) == 0);
    j = journal_redis_new(b->rig.loop, &b->rig.rng, &conf);
    redis_conf_done(&conf.redis);
    return j;
}

/* A journal that is ready and past the grace of a server that has just started. */
static inline struct journal *ready_journal(struct bench *b, const char *slot, int64_t liveness_ms)
{
    struct journal *j = open_journal(b, slot, liveness_ms, NULL);

    assert_true(j->is_down);
    assert_true(wait_down(b, j, false, 10000));
    return j;
}

static inline const struct position *at(int64_t offset)
{
    static struct position p[4];
    static int next;

    next = (next + 1) % 4;
    p[next] = (struct position){.topic = "tutti.jobs", .partition = 3, .offset = offset};
    return &p[next];
}

static inline void on_claimed(struct claim *c, void *arg)
{
    struct asked *a = arg;

    (void)c;
    a->n++;
    loop_stop(a->b->rig.loop);
}

static inline void ask(struct bench *b, struct journal *j, int64_t offset, int digest, struct asked *a)
{
    *a = (struct asked){.b = b};
    a->c.pos = *at(offset);
    memset(a->c.digest, digest, sizeof(a->c.digest));
    a->c.arena = arena_new(4096);
    a->c.done = on_claimed;
    a->c.arg = a;
    j->ops->claim(j, &a->c);
    CHECK(a->n == 0);
}

static inline void ask_done(struct asked *a)
{
    arena_free(a->c.arena);
}

/* Claims, waits; the caller looks and calls ask_done(). */
static inline struct asked *claim(struct bench *b, struct journal *j, int64_t offset, int digest)
{
    static struct asked a;

    ask(b, j, offset, digest, &a);
    assert_true(rig_wait(&b->rig, &a.n, 1, 10000));
    assert_int_equal(a.n, 1);
    return &a;
}

static inline void expect_claim(struct bench *b, struct journal *j, int64_t offset, int digest,
                                enum claim_result result, int deliveries, int n_recalls)
{
    struct asked *a = claim(b, j, offset, digest);

    assert_int_equal(a->c.result, result);
    if (result == CLAIM_OURS) {
        assert_int_equal(a->c.deliveries, deliveries);
        assert_int_equal(a->c.n_recalls, n_recalls);
    }
    ask_done(a);
}

static inline void record(struct journal *j, int64_t offset, const char *key, int attempt, bool is_done,
                          const char *bytes, size_t len)
{
    struct recall r = {.call_key = key, .attempt = attempt, .is_done = is_done, .bytes = text_slice(bytes, len)};

    j->ops->record(j, at(offset), &r);
}

static inline const struct recall *find(const struct asked *a, const char *key, bool is_done, int attempt)
{
    for (int i = 0; i < a->c.n_recalls; i++) {
        const struct recall *r = &a->c.recalls[i];

        if (strcmp(r->call_key, key) == 0 && r->is_done == is_done && r->attempt == attempt)
            return r;
    }
    return NULL;
}

/* Bytes of all spool files in the server's directory, and how many files those are (NULL: not asked). */
static inline int64_t spool_bytes(const struct bench *b, int *out_n)
{
    DIR *dir = opendir(b->server.dir);
    const struct dirent *e;
    struct stat st;
    int64_t bytes = 0;
    int n = 0;

    CHECK(dir != NULL);
    while ((e = readdir(dir)) != NULL) {
        if (strncmp(e->d_name, "journal-", 8) != 0 || fstatat(dirfd(dir), e->d_name, &st, 0) < 0)
            continue;
        bytes += st.st_size;
        n++;
    }
    (void)closedir(dir);
    if (out_n != NULL)
        *out_n = n;
    return bytes;
}

static inline void on_stopped(void *arg)
{
    ++*(int *)arg;
}

static inline void stop(struct bench *b, struct journal *j, bool is_leaving)
{
    int n = 0;

    j->ops->stop(j, is_leaving, on_stopped, &n);
    for (int i = 0; i < 1000 && n == 0; i++)
        run_ms(b, 5);
    assert_int_equal(n, 1);
    j->ops->free(j);
}

#endif
