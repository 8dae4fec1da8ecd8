/* SPDX-License-Identifier: Apache-2.0 */
/* The five limits of a transfer on one timer: connect, first byte, idle gap, total and the absolute deadline. The timer
 * is moved only to an earlier time; bytes just note when they came, and a timer that rings too early is set anew. Never
 * touches libcurl but to take back a transfer whose limit is hit. Loop thread. */
#include "http/http_internal.h"

static void keep_first(int64_t due_us, enum transfer_end end, int64_t *first_us, enum transfer_end *out_end)
{
    if (due_us < *first_us) {
        *first_us = due_us;
        *out_end = end;
    }
}

int64_t flight_due_us(const struct flight *f, enum transfer_end *out_end)
{
    const struct transfer *t = f->t;
    int64_t first_us = INT64_MAX;

    if (f->phase == FLIGHT_CONNECTING && t->connect_us > 0)
        keep_first(f->since_us + t->connect_us, TRANSFER_CONNECT_TIMEOUT, &first_us, out_end);
    if (f->phase == FLIGHT_WAITING && t->first_byte_us > 0)
        keep_first(f->since_us + t->first_byte_us, TRANSFER_FIRST_BYTE_TIMEOUT, &first_us, out_end);
    if (f->phase == FLIGHT_READING && t->idle_us > 0)
        keep_first(f->since_us + t->idle_us, TRANSFER_IDLE_TIMEOUT, &first_us, out_end);
    if (t->total_us > 0)
        keep_first(f->started_us + t->total_us, TRANSFER_TOTAL_TIMEOUT, &first_us, out_end);
    if (t->deadline_us > 0)
        keep_first(t->deadline_us, TRANSFER_DEADLINE, &first_us, out_end);
    return first_us;
}

static void on_timer(void *arg)
{
    struct flight *f = arg;
    struct http_curl *h = f->origin->http;
    enum transfer_end end = TRANSFER_OK;
    int64_t due_us = flight_due_us(f, &end);

    if (due_us == INT64_MAX)
        return;
    if (due_us > loop_now_us(h->loop)) {
        timer_start(h->loop, &f->timer, due_us);
        return;
    }
    flight_report(f, CURLE_OK, end);
    shard_remove(f);
    http_finish(f, end);
    http_deliver(h);
}

void flight_timer_init(struct flight *f)
{
    timer_init(&f->timer, on_timer, f);
}

void flight_enter(struct flight *f, enum flight_phase phase, int64_t now_us)
{
    enum transfer_end end;
    int64_t due_us;

    f->phase = phase;
    f->since_us = now_us;
    due_us = flight_due_us(f, &end);
    if (due_us == INT64_MAX)
        return;
    if (!timer_is_running(&f->timer) || due_us < f->timer.deadline_us)
        timer_start(f->origin->http->loop, &f->timer, due_us);
}
