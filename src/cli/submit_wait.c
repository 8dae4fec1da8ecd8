/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs are told by their place in Kafka, which results and dead letters both name. Main thread. */
#include "cli/submit_wait.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "impl/broker_client.h"

enum { LIVE_MS = 200, PLAIN_MS = 10000 };

static int compare(const void *a, const void *b)
{
    const struct submitted *x = a, *y = b;

    if (x->partition != y->partition)
        return x->partition < y->partition ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

void submit_wait_begin(struct submit_wait *w, int64_t now_ms)
{
    qsort(w->jobs, w->n, sizeof(*w->jobs), compare);
    w->is_cost_complete = true;
    w->begun_ms = w->told_ms = now_ms;
}

/* False: none of ours, or known already (at-least-once delivery). */
static bool tick_off(struct submit_wait *w, int64_t partition, int64_t offset)
{
    const struct submitted key = {.partition = (int32_t)partition, .offset = offset};
    struct submitted *job = bsearch(&key, w->jobs, w->n, sizeof(*w->jobs), compare);

    if (job == NULL || job->is_over)
        return false;
    job->is_over = true;
    w->n_over++;
    return true;
}

static void take_result(struct submit_wait *w, const struct message *m)
{
    json_t *r = json_loadb(m->value != NULL ? m->value : "", m->value_len, 0, NULL);
    const char *topic = json_string_value(json_object_get(r, "source_topic"));
    const char *status = json_string_value(json_object_get(r, "status"));
    const json_t *cost = json_object_get(r, "cost_usd");

    if (topic != NULL && status != NULL && strcmp(topic, w->jobs_topic) == 0 &&
        tick_off(w, json_integer_value(json_object_get(r, "source_partition")),
                 json_integer_value(json_object_get(r, "source_offset")))) {
        w->ok += strcmp(status, "ok") == 0;
        w->partial += strcmp(status, "partial") == 0;
        w->failed += strcmp(status, "failed") == 0;
        w->cost_usd += json_number_value(cost);
        if (!json_is_number(cost) || !json_is_true(json_object_get(r, "cost_complete")))
            w->is_cost_complete = false;
    }
    json_decref(r);
}

static bool get_header(const struct message *m, const char *name, char *out, size_t size)
{
    for (int i = 0; i < m->n_headers; i++) {
        const struct message_header *h = &m->headers[i];

        if (strcmp(h->name, name) != 0 || h->value == NULL || h->value_len >= size)
            continue;
        memcpy(out, h->value, h->value_len);
        out[h->value_len] = '\0';
        return true;
    }
    return false;
}

static void take_dead_letter(struct submit_wait *w, const struct message *m)
{
    char topic[256], partition[32], offset[32];

    if (get_header(m, "__dlq.errors.topic", topic, sizeof(topic)) && strcmp(topic, w->jobs_topic) == 0 &&
        get_header(m, "__dlq.errors.partition", partition, sizeof(partition)) &&
        get_header(m, "__dlq.errors.offset", offset, sizeof(offset)) &&
        tick_off(w, strtoll(partition, NULL, 10), strtoll(offset, NULL, 10)))
        w->dead++;
}

void submit_wait_take(struct submit_wait *w, const struct kafka_read *r, bool is_dead_letter)
{
    if (is_dead_letter)
        take_dead_letter(w, &r->message);
    else
        take_result(w, &r->message);
}

static void print_state(const struct submit_wait *w, int64_t now_ms)
{
    double seconds = (double)(now_ms - w->begun_ms) / 1000;
    double rate = seconds > 0 ? (double)w->n_over / seconds : 0;

    (void)fprintf(w->err, "%zu/%zu  %zu%%  ok %zu", w->n_over, w->n, w->n == 0 ? 100 : w->n_over * 100 / w->n, w->ok);
    if (w->partial > 0)
        (void)fprintf(w->err, "  partial %zu", w->partial);
    (void)fprintf(w->err, "  failed %zu", w->failed);
    if (w->dead > 0)
        (void)fprintf(w->err, "  dead letters %zu", w->dead);
    (void)fprintf(w->err, "  %.1f/s  $%.6f%s", rate, w->cost_usd, w->is_cost_complete ? "" : " at least");
    if (rate > 0 && w->n_over < w->n)
        (void)fprintf(w->err, "  ETA %.0fs", (double)(w->n - w->n_over) / rate);
}

void submit_wait_tell(struct submit_wait *w, int64_t now_ms)
{
    if (now_ms - w->told_ms < (w->width > 0 ? LIVE_MS : PLAIN_MS))
        return;
    w->told_ms = now_ms;
    if (w->width > 0)
        (void)fprintf(w->err, "\r\033[K");
    print_state(w, now_ms);
    (void)fprintf(w->err, w->width > 0 ? "" : "\n");
    (void)fflush(w->err);
}

void submit_wait_end(struct submit_wait *w, int64_t now_ms)
{
    if (w->width > 0)
        (void)fprintf(w->err, "\r\033[K");
    print_state(w, now_ms);
    (void)fprintf(w->err, "\n");
}
