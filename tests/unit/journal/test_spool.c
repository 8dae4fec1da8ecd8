/* SPDX-License-Identifier: Apache-2.0 */
/* The spool file: what was appended comes back, a torn end does not spoil the rest, clearing, two processes, retained
 * writes in their packed form. */
#include "journal/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "journal/retain.h"
#include "loop.h"

struct bench {
    struct loop *loop;
    struct timer limit;
    char dir[64], path[96];
    struct spool *spool;
    struct buf read; /* records, each followed by '|' */
    int n_loaded, n_idle, n_failed;
};

static void on_record(void *arg, struct spool *from, const char *bytes, size_t len)
{
    struct bench *b = arg;

    (void)from;
    buf_add(&b->read, bytes, len);
    buf_add_char(&b->read, '|');
}

static void on_loaded(void *arg)
{
    struct bench *b = arg;

    b->n_loaded++;
}

static void on_idle(void *arg)
{
    struct bench *b = arg;

    b->n_idle++;
    loop_stop(b->loop);
}

static void on_failed(void *arg)
{
    struct bench *b = arg;

    b->n_failed++;
}

static void on_limit(void *arg)
{
    struct bench *b = arg;

    loop_stop(b->loop);
}

static void wait_idle(struct bench *b)
{
    int before = b->n_idle;

    timer_start(b->loop, &b->limit, loop_clock_us(b->loop) + 5000000);
    loop_run(b->loop);
    timer_stop(b->loop, &b->limit);
    assert_int_equal(b->n_idle, before + 1);
    assert_true(spool_is_idle(b->spool));
}

static const struct spool_events events = {on_record, on_loaded, on_idle, on_failed};

static void settle_all(struct bench *b)
{
    while (spool_has_records(b->spool))
        spool_settle(b->spool);
}

static void open_spool(struct bench *b)
{

    buf_clear(&b->read);
    b->n_loaded = 0;
    b->spool = spool_new(b->loop, b->path, SPOOL_OWN, &events, b);
    assert_int_equal(b->n_loaded, 0);
    wait_idle(b);
    assert_int_equal(b->n_loaded, 1);
}

static void bench_open(struct bench *b)
{
    *b = (struct bench){.loop = loop_new()};
    timer_init(&b->limit, on_limit, b);
    buf_init(&b->read, 0);
    (void)snprintf(b->dir, sizeof(b->dir), "/tmp/tutti-spool-XXXXXX");
    CHECK(mkdtemp(b->dir) != NULL);
    (void)snprintf(b->path, sizeof(b->path), "%s/x.spool", b->dir);
    open_spool(b);
    assert_string_equal(b->read.p != NULL ? b->read.p : "", "");
}

static void bench_close(struct bench *b)
{
    spool_free(b->spool);
    buf_done(&b->read);
    (void)unlink(b->path);
    (void)rmdir(b->dir);
    loop_free(b->loop);
}

static long size_of(const struct bench *b)
{
    struct stat st;

    return stat(b->path, &st) == 0 ? (long)st.st_size : -1;
}

static void run_ms(struct bench *b, int ms)
{
    timer_start(b->loop, &b->limit, loop_clock_us(b->loop) + ms * 1000);
    loop_run(b->loop);
    timer_stop(b->loop, &b->limit);
}

static void wait_size(struct bench *b, long size)
{
    for (int i = 0; i < 1000 && (size_of(b) != size || !spool_is_idle(b->spool)); i++)
        run_ms(b, 5);
    assert_int_equal(size_of(b), size);
}

static void reopen(struct bench *b)
{
    spool_free(b->spool);
    open_spool(b);
}

static void test_comes_back(void **state)
{
    struct bench b;

    (void)state;
    bench_open(&b);
    spool_append(b.spool, "one", 3);
    spool_append(b.spool, "", 0);
    assert_false(spool_is_idle(b.spool));
    spool_append(b.spool, "three\0\n", 7);
    wait_idle(&b);
    assert_true(spool_has_records(b.spool));
    reopen(&b);
    assert_int_equal(b.read.len, 13);
    assert_memory_equal(b.read.p, "one||three\0\n|", 13);
    spool_append(b.spool, "four", 4);
    wait_idle(&b);
    reopen(&b);
    assert_int_equal(b.read.len, 18);
    settle_all(&b);
    spool_append(b.spool, "five", 4);
    wait_idle(&b);
    reopen(&b);
    assert_string_equal(b.read.p, "five|");
    settle_all(&b);
    wait_idle(&b);
    assert_int_equal(size_of(&b), 0);
    bench_close(&b);
}

/* Cut at every byte: whole records before the cut come back, and what is appended later, too. */
static void test_torn_end(void **state)
{
    enum { RECORD = 8 + 5 };
    struct bench b;

    (void)state;
    bench_open(&b);
    for (int cut = 0; cut <= 2 * RECORD; cut++) {
        const char *expected = cut < RECORD ? "after|" : cut < 2 * RECORD ? "first|after|" : "first|secon|after|";

        settle_all(&b);
        spool_append(b.spool, "first", 5);
        spool_append(b.spool, "secon", 5);
        wait_idle(&b);
        assert_int_equal(truncate(b.path, cut), 0);
        reopen(&b);
        spool_append(b.spool, "after", 5);
        wait_idle(&b);
        reopen(&b);
        assert_string_equal(b.read.p, expected);
    }
    bench_close(&b);
}

static void test_damage(void **state)
{
    struct bench b;
    FILE *f;

    (void)state;
    bench_open(&b);
    spool_append(b.spool, "first", 5);
    spool_append(b.spool, "secon", 5);
    wait_idle(&b);
    f = fopen(b.path, "r+");
    assert_non_null(f);
    (void)fseek(f, 8 + 5 + 8 + 2, SEEK_SET);
    (void)fputc('X', f);
    (void)fclose(f);
    reopen(&b);
    assert_string_equal(b.read.p, "first|");
    bench_close(&b);
}

/* What is appended while another has the file is kept until it lets go. */
static void test_held_by_another(void **state)
{
    struct bench b;
    struct spool *first;

    (void)state;
    bench_open(&b);
    first = b.spool;
    b.spool = spool_new(b.loop, b.path, SPOOL_OWN, &events, &b);
    b.n_loaded = 0;
    spool_append(b.spool, "x", 1);
    wait_idle(&b);
    assert_int_equal(size_of(&b), 0);
    assert_int_equal(b.n_loaded, 0); /* it may be replaying our records */
    assert_true(spool_is_idle(b.spool));
    spool_free(first);
    wait_size(&b, 9);
    assert_int_equal(b.n_loaded, 1);
    assert_int_equal(b.n_failed, 0);
    reopen(&b);
    assert_string_equal(b.read.p, "x|");
    bench_close(&b);
}

/* One of a dead process: removed with its last record, left alone while somebody has it, and never made. */
static void test_found(void **state)
{
    struct bench b;
    struct spool *owner;

    (void)state;
    bench_open(&b);
    spool_append(b.spool, "one", 3);
    spool_append(b.spool, "two", 3);
    wait_idle(&b);
    owner = b.spool;
    b.n_loaded = 0;
    b.spool = spool_new(b.loop, b.path, SPOOL_FOUND, &events, &b);
    wait_idle(&b);
    assert_int_equal(b.n_loaded, 1);
    assert_false(spool_has_records(b.spool));
    spool_free(b.spool);
    spool_free(owner);
    b.spool = spool_new(b.loop, b.path, SPOOL_FOUND, &events, &b);
    wait_idle(&b);
    assert_string_equal(b.read.p, "one|two|");
    spool_settle(b.spool);
    run_ms(&b, 20);
    assert_true(size_of(&b) > 0);
    spool_settle(b.spool);
    wait_size(&b, -1);
    spool_free(b.spool);
    b.spool = spool_new(b.loop, b.path, SPOOL_FOUND, &events, &b);
    wait_idle(&b);
    assert_int_equal(size_of(&b), -1);
    assert_int_equal(b.n_failed, 0);
    bench_close(&b);
}

/* A full disk: tried again until there is room, each record once, in order. */
static void test_failed_write_is_repeated(void **state)
{
    enum { RECORD = 8 + 5 };
    struct bench b;
    struct rlimit old, small;
    int64_t failures = metric_get(METRIC_SPOOL_FAILURES);

    (void)state;
    bench_open(&b);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = RECORD + 3, .rlim_max = old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    spool_append(b.spool, "first", 5);
    wait_idle(&b);
    spool_append(b.spool, "secon", 5);
    wait_idle(&b);
    assert_int_equal(b.n_failed, 1);
    assert_int_equal(metric_get(METRIC_SPOOL_FAILURES), failures + 1);
    assert_int_equal(size_of(&b), RECORD + 3);
    spool_append(b.spool, "third", 5);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    wait_size(&b, 3 * RECORD);
    reopen(&b);
    assert_string_equal(b.read.p, "first|secon|third|");
    bench_close(&b);
}

static void test_packed_writes(void **state)
{
    struct write *w = write_new(WRITE_RECORD), *copy;
    const char *argv[WRITE_ARGS_MAX];
    size_t len[WRITE_ARGS_MAX];
    struct buf b;
    struct rng rng;

    (void)state;
    buf_init(&b, 0);
    write_add(w, "key", 3);
    write_add(w, "", 0);
    write_add(w, "a\0b", 3);
    write_add(w, "value", 5);
    write_encode(w, &b);
    copy = write_decode(b.p, b.len);
    assert_non_null(copy);
    assert_int_equal(write_args(copy, argv, len), 4);
    assert_int_equal(len[1], 0);
    assert_int_equal(len[2], 3);
    assert_memory_equal(argv[2], "a\0b", 3);
    assert_memory_equal(argv[3], "value", 5);
    write_free(copy);
    for (size_t n = 0; n < b.len; n++) {
        char *cut = mem_strndup(b.p, n);

        assert_null(write_decode(cut, n));
        mem_free(cut);
    }
    rng_seed(&rng, 3);
    for (int i = 0; i < 20000; i++) { /* whatever a file may hold: no crash */
        char *bad = mem_strndup(b.p, b.len);

        bad[rng_below(&rng, b.len)] = (char)rng_u64(&rng);
        bad[rng_below(&rng, b.len)] = (char)rng_u64(&rng);
        write_free(write_decode(bad, b.len));
        mem_free(bad);
    }
    write_free(w);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),    cmocka_unit_test(test_torn_end),
        cmocka_unit_test(test_damage),        cmocka_unit_test(test_held_by_another),
        cmocka_unit_test(test_found),         cmocka_unit_test(test_failed_write_is_repeated),
        cmocka_unit_test(test_packed_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
