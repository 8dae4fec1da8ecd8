/* SPDX-License-Identifier: Apache-2.0 */
/* The offset window: single steps by table, then random partitions (gaps, crashes, any order of ends) against a naive
 * model that keeps every offset in a list. */
#include "core/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/rng.h"

enum { LOG_MAX = 400, METADATA_CHARS = 4096 };

/* --- steps: 'o' open, 'c' close; every row says what open returns and where the base is afterwards --- */

static const struct step {
    char what;
    int64_t offset;
    int r;
    int64_t base;
    int64_t n_open;
} steps[] = {
    {'o', 100, 0, 100, 1},
    {'o', 101, 0, 100, 2},
    {'o', 101, -EINVAL, 100, 2}, /* delivered before */
    {'o', 99, -EINVAL, 100, 2},  /* below the base */
    {'c', 101, 0, 100, 1},
    {'o', 105, 0, 100, 2}, /* a gap */
    {'c', 100, 0, 105, 1}, /* over 101 and the gap */
    {'o', 105 + WINDOW_SPAN, -ENOSPC, 105, 1},
    {'o', 105 + WINDOW_SPAN - 1, 0, 105, 2},
    {'o', 105 + WINDOW_SPAN, -ENOSPC, 105, 2},
    {'c', 105, 0, 105 + WINDOW_SPAN - 1, 1},
    {'o', 105 + WINDOW_SPAN, 0, 105 + WINDOW_SPAN - 1, 2}, /* held before, fits now */
    {'c', 105 + WINDOW_SPAN, 0, 105 + WINDOW_SPAN - 1, 1},
    {'c', 105 + WINDOW_SPAN - 1, 0, 106 + WINDOW_SPAN, 0}, /* nothing open: behind the last one delivered */
    {'o', 10 * WINDOW_SPAN, 0, 10 * WINDOW_SPAN, 1},       /* a gap longer than the span */
    {'c', 10 * WINDOW_SPAN, 0, 10 * WINDOW_SPAN + 1, 0},
};

static void test_steps(void **state)
{
    static struct window w;

    (void)state;
    window_init(&w, 100);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        const struct step *s = &steps[i];

        print_message("step %zu: %c %lld\n", i, s->what, (long long)s->offset);
        if (s->what == 'o')
            assert_int_equal(window_open(&w, s->offset), s->r);
        else
            window_close(&w, s->offset);
        assert_int_equal(w.base, s->base);
        assert_int_equal(w.n_open, s->n_open);
    }
}

static void test_room(void **state)
{
    static struct window w;

    (void)state;
    window_init(&w, 7);
    assert_true(window_has_room(&w));
    for (int64_t i = 0; i < WINDOW_SPAN; i++)
        assert_int_equal(window_open(&w, 7 + i), 0);
    assert_false(window_has_room(&w));
    for (int64_t i = 1; i < WINDOW_SPAN; i++)
        window_close(&w, 7 + i);
    assert_false(window_has_room(&w)); /* one slow job holds the partition */
    window_close(&w, 7);
    assert_true(window_has_room(&w));
    assert_int_equal(w.base, 7 + WINDOW_SPAN);
}

/* --- metadata --- */

static void position(const struct window *w, int64_t *base, struct buf *b)
{
    buf_clear(b);
    window_position(w, base, b);
}

/* All but the first finished: the longest map there is. */
static void test_longest_metadata(void **state)
{
    static const int64_t starts[] = {0, 1, 63, 64, 12345, INT64_C(9000000000000)};
    static struct window w, again;
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (size_t k = 0; k < ARRAY_LEN(starts); k++) {
        int64_t base;

        window_init(&w, starts[k]);
        for (int64_t i = 0; i < WINDOW_SPAN; i++)
            window_open(&w, starts[k] + i);
        for (int64_t i = 1; i < WINDOW_SPAN; i++)
            window_close(&w, starts[k] + i);
        position(&w, &base, &b);
        assert_int_equal(base, starts[k]);
        assert_in_range(b.len, 2700, METADATA_CHARS);
        window_init(&again, base);
        assert_int_equal(window_load(&again, b.p, base + WINDOW_SPAN), 0);
        assert_int_equal(window_open(&again, base), 0);
        for (int64_t i = 1; i < WINDOW_SPAN; i++)
            assert_int_equal(window_open(&again, base + i), 1);
        window_close(&again, base);
        assert_int_equal(again.base, base + WINDOW_SPAN);
    }
    buf_done(&b);
}

static void test_no_metadata_without_bits(void **state)
{
    static struct window w;
    struct buf b;
    int64_t base = 0;

    (void)state;
    buf_init(&b, 0);
    window_init(&w, 5);
    window_open(&w, 5);
    window_open(&w, 6);
    position(&w, &base, &b);
    assert_int_equal(base, 5);
    assert_int_equal(b.len, 0);
    window_close(&w, 5);
    window_close(&w, 6);
    position(&w, &base, &b);
    assert_int_equal(base, 7);
    assert_int_equal(b.len, 0);
    assert_int_equal(window_load(&w, "", -1), 0);
    buf_done(&b);
}

/* The window 10..., with 11 and 13 finished. */
static void sample(struct buf *b)
{
    static struct window w;
    int64_t base;

    window_init(&w, 10);
    for (int64_t i = 10; i < 16; i++)
        window_open(&w, i);
    window_close(&w, 11);
    window_close(&w, 13);
    buf_init(b, 0);
    window_position(&w, &base, b);
}

static void assert_refused(const char *metadata, int64_t base, int64_t high)
{
    static struct window w;

    window_init(&w, base);
    if (window_load(&w, metadata, high) != -EINVAL)
        fail_msg("taken: %s at %lld", metadata, (long long)base);
    for (int64_t i = 0; i < 16; i++) /* and the window stayed empty */
        assert_int_equal(window_open(&w, base + i), 0);
}

static void test_refused(void **state)
{
    static const char *const foreign[] = {
        "1", "1A", "1AAAA", "0AAAAAAAA", "2CgsRLFsm", "{\"v\":1}", "AQAAAAAAAA==", "bG9jYWw", " ", "1 ", "\xff\xfe",
    };
    static struct window w;
    struct buf b;

    (void)state;
    sample(&b);
    window_init(&w, 10);
    assert_int_equal(window_load(&w, b.p, -1), 0);
    window_init(&w, 10);
    assert_int_equal(window_load(&w, b.p, 14), 0); /* offset 13 is below the high watermark */
    assert_refused(b.p, 10, 13);
    assert_refused(b.p, 10, 0);
    assert_refused(b.p, 9, -1);
    assert_refused(b.p, 11, -1);
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        assert_refused(foreign[i], 10, -1);
    for (size_t i = 0; i < b.len; i++)
        for (unsigned bit = 0; bit < 7; bit++) {
            b.p[i] = (char)(b.p[i] ^ (1 << bit));
            if (b.p[i] != '\0')
                assert_refused(b.p, 10, -1);
            b.p[i] = (char)(b.p[i] ^ (1 << bit));
        }
    b.p[b.len - 1] = '\0';
    assert_refused(b.p, 10, -1);
    buf_done(&b);
}

/* One finished offset at every interesting distance: none is lost or moved on the way. */
static void test_single_bits(void **state)
{
    static const int64_t distances[] = {1, 7, 8, 63, 64, 65, 127, 128, 129, 8192, WINDOW_SPAN - 65, WINDOW_SPAN - 1};
    static const int64_t bases[] = {0, 1, 63, 64, 100, 16384, 16385};
    static struct window w, again;
    struct buf b;

    (void)state;
    buf_init(&b, 0);
    for (size_t i = 0; i < ARRAY_LEN(bases); i++)
        for (size_t k = 0; k < ARRAY_LEN(distances); k++) {
            int64_t base;

            window_init(&w, bases[i]);
            window_open(&w, bases[i]);
            window_open(&w, bases[i] + distances[k]);
            window_close(&w, bases[i] + distances[k]);
            position(&w, &base, &b);
            window_init(&again, base);
            assert_int_equal(window_load(&again, b.p, -1), 0);
            assert_int_equal(window_open(&again, base), 0);
            if (distances[k] > 1)
                assert_int_equal(window_open(&again, base + distances[k] - 1), 0);
            assert_int_equal(window_open(&again, base + distances[k]), 1);
            if (distances[k] < WINDOW_SPAN - 1)
                assert_int_equal(window_open(&again, base + distances[k] + 1), 0);
        }
    buf_done(&b);
}

/* The finished offsets of a commit may be gone (retention) when the partition goes on one span later: their bits must
 * not stand for offsets that share their place in the ring. Taken for finished, a job would be lost. */
static void test_bits_of_offsets_that_are_gone(void **state)
{
    static struct window w;
    struct buf b;

    (void)state;
    sample(&b);
    for (int64_t offset = 10 + WINDOW_SPAN; offset < 20 + WINDOW_SPAN; offset++) {
        window_init(&w, 10);
        assert_int_equal(window_load(&w, b.p, -1), 0);
        assert_int_equal(window_open(&w, offset), 0);
        for (int64_t more = offset + 1; more < 30 + WINDOW_SPAN; more++)
            assert_int_equal(window_open(&w, more), 0);
    }
    buf_done(&b);
}

/* More bytes than the span has bits for, with a checksum that is right. */
static void test_too_long(void **state)
{
    uint8_t bytes[8 + WINDOW_SPAN / 8 + 1 + 4] = {0};
    char text[METADATA_CHARS] = "1";
    size_t len = sizeof(bytes) - 4;
    uint32_t crc;

    (void)state;
    bytes[7] = 10;
    bytes[len - 1] = 1;
    crc = digest_crc32c(bytes, len);
    for (int i = 0; i < 4; i++)
        bytes[len + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    digest_base64url(bytes + 8, sizeof(bytes) - 8, text + 1);
    assert_refused(text, 10, -1);
}

/* --- the model --- */

struct entry {
    int64_t offset;
    bool is_done;
    bool is_open;
};

struct model {
    struct entry log[LOG_MAX];
    int n;
    int next; /* index of the next one to deliver */
    int64_t start;
    struct window w;
    int64_t committed;
    int opened_twice; /* finished before and handed out again: must never happen */
};

static void make_log(struct model *m, struct rng *rng)
{
    int64_t offset = rng_between(rng, 0, 100000);

    memset(m, 0, sizeof(*m));
    m->n = (int)rng_between(rng, 1, LOG_MAX);
    m->start = offset;
    for (int i = 0; i < m->n; i++) {
        m->log[i].offset = offset;
        offset += 1 + (rng_below(rng, 4) == 0 ? rng_between(rng, 0, 300) : 0) +
                  (rng_below(rng, 40) == 0 ? rng_between(rng, 0, 3 * WINDOW_SPAN) : 0);
    }
    window_init(&m->w, m->start);
}

static int64_t end_of_log(const struct model *m)
{
    return m->log[m->n - 1].offset + 1;
}

/* Lowest open offset, or the place behind the last one delivered (after a start, no lower than that). */
static int64_t model_base(const struct model *m)
{
    int64_t behind = m->next > 0 ? m->log[m->next - 1].offset + 1 : m->start;

    for (int i = 0; i < m->next; i++)
        if (m->log[i].is_open)
            return m->log[i].offset;
    return behind > m->start ? behind : m->start;
}

static int count_open(const struct model *m)
{
    int n = 0;

    for (int i = 0; i < m->next; i++)
        n += m->log[i].is_open;
    return n;
}

static void deliver(struct model *m)
{
    struct entry *e = &m->log[m->next];
    bool is_too_far = count_open(m) > 0 && e->offset - model_base(m) >= WINDOW_SPAN;
    int r;

    if (m->next == m->n)
        return;
    r = window_open(&m->w, e->offset);
    if (is_too_far) {
        assert_int_equal(r, -ENOSPC);
        return;
    }
    assert_int_equal(r, e->is_done ? 1 : 0);
    m->next++;
    e->is_open = r == 0;
}

static void finish_one(struct model *m, struct rng *rng)
{
    int nth = count_open(m);

    if (nth == 0)
        return;
    nth = (int)rng_below(rng, (uint64_t)nth);
    for (int i = 0; i < m->next; i++)
        if (m->log[i].is_open && nth-- == 0) {
            m->log[i].is_open = false;
            m->opened_twice += m->log[i].is_done;
            m->log[i].is_done = true;
            window_close(&m->w, m->log[i].offset);
            return;
        }
}

/* Commits, and goes on as another worker that knows nothing but the commit. */
static void crash(struct model *m, struct buf *b)
{
    int64_t base;

    position(&m->w, &base, b);
    assert_int_equal(base, model_base(m));
    assert_true(base >= m->committed);
    assert_true(b->len <= METADATA_CHARS);
    for (size_t i = 0; i < b->len; i++)
        assert_in_range(b->p[i], 0x21, 0x7e);
    for (int i = 0; i < m->n; i++) { /* nothing unfinished is left behind */
        assert_true(m->log[i].offset >= base || m->log[i].is_done);
        m->log[i].is_open = false;
    }
    m->committed = m->start = base;
    memset(&m->w, 0x5a, sizeof(m->w));
    window_init(&m->w, base);
    assert_int_equal(window_load(&m->w, b->len > 0 ? b->p : "", end_of_log(m)), 0);
    m->next = 0;
    while (m->next < m->n && m->log[m->next].offset < base)
        m->next++;
}

static void check(const struct model *m, int64_t *base)
{
    assert_int_equal(m->w.base, model_base(m));
    assert_int_equal(m->w.n_open, count_open(m));
    assert_true(m->w.base >= *base);
    *base = m->w.base;
}

static void run_model(uint64_t seed)
{
    static struct model m;
    struct rng rng;
    struct buf b;
    int64_t base = 0;
    unsigned share;

    buf_init(&b, 0);
    rng_seed(&rng, seed);
    make_log(&m, &rng);
    share = (unsigned)rng_between(&rng, 30, 90);
    for (int i = 0; i < 3 * LOG_MAX; i++) {
        unsigned dice = (unsigned)rng_below(&rng, 100);

        if (rng_below(&rng, 150) == 0)
            crash(&m, &b);
        else if (dice < share)
            deliver(&m);
        else
            finish_one(&m, &rng);
        check(&m, &base);
    }
    crash(&m, &b);
    while (m.next < m.n || count_open(&m) > 0) {
        deliver(&m);
        finish_one(&m, &rng);
        check(&m, &base);
    }
    assert_int_equal(m.w.base, end_of_log(&m));
    assert_int_equal(m.opened_twice, 0);
    for (int i = 0; i < m.n; i++)
        assert_true(m.log[i].is_done);
    buf_done(&b);
}

static void test_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_model(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_longest_metadata),
        cmocka_unit_test(test_no_metadata_without_bits),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_single_bits),
        cmocka_unit_test(test_bits_of_offsets_that_are_gone),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
