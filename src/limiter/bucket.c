/* SPDX-License-Identifier: Apache-2.0 */
/* Bucket arithmetic and the choice of B and r from a configured limit. Never reads a clock. Any thread. */
#include "limiter/bucket.h"

#include "seam/limiter.h"

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* (a * b) / c without overflow; the result must fit. */
static int64_t mul_div(int64_t a, int64_t b, int64_t c)
{
    return (int64_t)((__int128)a * b / c);
}

static int64_t rate_of(int64_t limit, int64_t cap, int64_t grant_age_us)
{
    int64_t rate = mul_div(limit * BUCKET_UNIT - cap, 1000000, BUCKET_WINDOW_US + grant_age_us);

    /* A limit of one per minute: B = L would leave r = 0. Units are whole, so a level that needs a little more than W +
     * J to return to 1 still keeps any two calls more than W apart. */
    if (rate <= 0)
        rate = mul_div(BUCKET_UNIT, 1000000, BUCKET_WINDOW_US + grant_age_us) - 1;
    return rate;
}

void pool_limits_of(struct pool_limits *out, const struct pool_conf *conf, int64_t grant_age_us)
{
    *out = (struct pool_limits){
        .concurrency = conf->concurrency, .slot_return_us = conf->slot_return_us, .grant_age_us = grant_age_us};
    if (out->slot_return_us <= 0)
        out->slot_return_us = INT64_C(130000000);
    if (conf->requests_per_minute > 0) {
        int64_t two_percent = mul_div(conf->requests_per_minute, BUCKET_UNIT, 50);

        out->req_cap = two_percent > BUCKET_UNIT ? two_percent : BUCKET_UNIT;
        out->req_rate = rate_of(conf->requests_per_minute, out->req_cap, grant_age_us);
    }
    if (conf->tokens_per_minute > 0) {
        int64_t limit = conf->tokens_per_minute;
        int64_t largest = conf->largest_call > 0 ? conf->largest_call : limit / 20;

        largest = min64(largest, limit - limit / 10);
        out->tok_cap = (largest > 0 ? largest : 1) * BUCKET_UNIT;
        out->tok_rate = rate_of(limit, out->tok_cap, grant_age_us);
    }
}

void bucket_refill(struct bucket *b, int64_t cap, int64_t rate, int64_t dt_us)
{
    __int128 sum = (__int128)rate * dt_us + b->rem;
    int64_t room = cap - b->held;

    if (sum / 1000000 >= (__int128)room - b->level) { /* also when the cap was lowered below the level */
        b->level = room;
        b->rem = 0;
        return;
    }
    b->level += (int64_t)(sum / 1000000);
    b->rem = (int64_t)(sum % 1000000);
}

int64_t bucket_wait_us(const struct bucket *b, int64_t rate, int64_t missing)
{
    __int128 need = (__int128)missing * 1000000 - b->rem;

    return (int64_t)((need + rate - 1) / rate);
}

void bucket_release(struct bucket *b, int64_t cap, int64_t released, int64_t refund)
{
    int64_t room;

    b->held -= released;
    room = cap - b->held - b->level;
    if (room > 0)
        b->level += min64(refund, room);
}
