/* SPDX-License-Identifier: Apache-2.0 */
/* The parts that all output records have in common. source: CONTRACTS 1, reference/interfaces.md 5.3 */
#include "core/record.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/mem.h"

enum {
    HEADERS_MAX = 12,
    COPIED_MAX = 1000, /* bytes of a header passed on: headers and key share the 4 KiB that limit() leaves for them */
};

#define YEAR_9999_MS   INT64_C(253402300799999)
#define DOUBLE_INT_MAX ((INT64_C(1) << 53) - 1)

/* `width` digits of `v`, ended at `p`. */
static char *put_digits(char *p, int width, int64_t v)
{
    for (int i = width - 1; i >= 0; i--) {
        p[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return p + width;
}

/* Written twice per record: strftime() and snprintf() took more than the whole rest of a record's headers. The date is
 * counted from March, so that the leap day is a year's last.
 * source  the proleptic Gregorian calendar: 146097 days in 400 years, 1970-01-01 is day 719468 after 0000-03-01 */
void record_timestamp(int64_t epoch_ms, char out[TIMESTAMP_CHARS + 1])
{
    int64_t ms = epoch_ms < 0 ? 0 : epoch_ms > YEAR_9999_MS ? YEAR_9999_MS : epoch_ms;
    int64_t s = ms / 1000, days = s / 86400 + 719468;
    int64_t era = days / 146097, day = days % 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t month;
    char *p = out;

    day -= 365 * year + year / 4 - year / 100; /* of the year */
    month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5; /* of the month */
    p = put_digits(p, 4, era * 400 + year + (month >= 10));
    *p++ = '-';
    p = put_digits(p, 2, month < 10 ? month + 3 : month - 9);
    *p++ = '-';
    p = put_digits(p, 2, day + 1);
    *p++ = 'T';
    p = put_digits(p, 2, s / 3600 % 24);
    *p++ = ':';
    p = put_digits(p, 2, s / 60 % 60);
    *p++ = ':';
    p = put_digits(p, 2, s % 60);
    *p++ = '.';
    p = put_digits(p, 3, ms % 1000);
    *p++ = 'Z';
    *p = '\0';
}

void record_event_id(const struct job *j, const char *kind, const struct call *c, const struct attempt *a, char out[37])
{
    char partition[BUF_I64_BYTES], offset[BUF_I64_BYTES], member[BUF_I64_BYTES], sample[BUF_I64_BYTES],
        ordinal[BUF_I64_BYTES], number[BUF_I64_BYTES];
    const char *parts[] = {j->env->group,
                           j->pos.topic,
                           buf_i64(partition, j->pos.partition),
                           buf_i64(offset, j->pos.offset),
                           kind,
                           c != NULL ? "answer" : "",
                           c != NULL ? buf_i64(member, c->member) : "",
                           c != NULL ? buf_i64(sample, c->sample) : "",
                           c != NULL ? "0" : "",
                           c != NULL ? buf_i64(ordinal, a->ordinal) : "",
                           c != NULL ? buf_i64(number, a->number) : ""};

    digest_uuid8(parts, ARRAY_LEN(parts), out);
}

void record_kv_count(struct json_write *w, const char *key, int64_t v)
{
    jw_kv_int_opt(w, key, v <= DOUBLE_INT_MAX ? v : -1);
}

void record_kv_number(struct json_write *w, const char *key, double v)
{
    char number[40];

    snprintf(number, sizeof(number), "%.9g", v);
    jw_kv_raw(w, key, text_of(number));
}

void record_kv_name(struct json_write *w, const char *key, struct text t)
{
    jw_kv_text(w, key, text_cut(t, FOREIGN_NAME_MAX));
}

void record_kv_cut(struct json_write *w, const char *key, struct text t, struct cutter *cut)
{
    char mark[CUT_LEAST];
    struct text part;
    struct buf b;

    if (t.len <= cut->cap) {
        jw_kv_text(w, key, t);
        return;
    }
    cut->has_cut = true;
    part = text_cut(t, cut->cap - CUT_LEAST);
    snprintf(mark, sizeof(mark), "\\n[... cut by tutti: %zu of %zu bytes left out]", t.len - part.len, t.len);
    buf_init(&b, 0);
    text_add_escaped(&b, part);
    buf_add_str(&b, mark);
    jw_kv_text(w, key, (struct text){.p = b.p, .len = b.len, .is_escaped = true});
    buf_done(&b);
}

void record_kv_time(struct json_write *w, int64_t ended_ms)
{
    char ts[TIMESTAMP_CHARS + 1];

    record_timestamp(ended_ms, ts);
    jw_kv_str(w, "ts", ts);
    jw_kv_int(w, "ts_ms", ended_ms);
}

void record_kv_job(struct json_write *w, const struct job *j)
{
    jw_kv_str(w, "job_id", j->spec.job_id);
    jw_kv_int(w, "run", j->spec.run);
    jw_kv_text(w, "batch_id", j->spec.batch_id);
    jw_kv_text(w, "custom_id", j->spec.custom_id);
    jw_kv_text(w, "tenant", j->spec.tenant);
}

const struct message_header *record_job_header(const struct job *j, const char *name)
{
    for (int i = 0; i < j->n_headers; i++)
        if (strcmp(j->headers[i].name, name) == 0 && j->headers[i].value != NULL)
            return &j->headers[i];
    return NULL;
}

/* The trace id inside a W3C traceparent: 00-<32 hex>-<16 hex>-<2 hex>. */
static struct text trace_id(const struct job *j)
{
    const struct message_header *h = record_job_header(j, "traceparent");

    if (h == NULL || h->value_len != 55 || h->value[2] != '-' || h->value[35] != '-')
        return TEXT_NONE;
    for (size_t i = 3; i < 35; i++)
        if (strchr("0123456789abcdef", h->value[i]) == NULL || h->value[i] == '\0')
            return TEXT_NONE;
    return text_slice(h->value + 3, 32);
}

void record_kv_origin(struct json_write *w, const struct job *j, struct text labels)
{
    jw_kv_str(w, "worker_id", j->env->worker_id);
    jw_kv_str(w, "build", j->env->build);
    jw_kv_text(w, "trace_id", trace_id(j));
    jw_kv_raw(w, "labels", labels);
}

void record_link(struct job *j, struct record *r)
{
    struct record **at = &j->pub.first;

    while (*at != NULL)
        at = &(*at)->next;
    *at = r;
    j->pub.bytes += r->key_len + r->value_len;
    for (int i = 0; i < r->n_headers; i++)
        j->pub.bytes += strlen(r->headers[i].name) + r->headers[i].value_len;
}

static void add_header(struct record *r, struct message_header *headers, const char *name, const char *value,
                       size_t len)
{
    headers[r->n_headers++] = (struct message_header){.name = name, .value = value, .value_len = len};
}

void record_add(struct job *j, enum output output, const char *type, const char *event_id, int64_t ended_ms,
                const struct buf *value)
{
    static const char *const copied[] = {"traceparent", "tracestate", "kafka_correlationId"};
    struct arena *a = j->arena;
    struct record *r = arena_zero(a, sizeof(*r));
    struct message_header *h = arena_zero(a, sizeof(*h) * HEADERS_MAX);
    char ts[TIMESTAMP_CHARS + 1];
    char *source = arena_join(a, "/tutti/", j->env->group, "/", j->env->worker_id, NULL);

    record_timestamp(ended_ms, ts);
    add_header(r, h, "content-type", "application/json", 16);
    add_header(r, h, "ce_specversion", "1.0", 3);
    add_header(r, h, "ce_id", arena_strdup(a, event_id), strlen(event_id));
    add_header(r, h, "ce_source", source, strlen(source));
    add_header(r, h, "ce_type", type, strlen(type));
    add_header(r, h, "ce_time", arena_strdup(a, ts), TIMESTAMP_CHARS);
    add_header(r, h, "ce_subject", j->spec.job_id, strlen(j->spec.job_id));
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        const struct message_header *from = record_job_header(j, copied[i]);

        if (from != NULL && from->value_len <= COPIED_MAX)
            add_header(r, h, copied[i], from->value, from->value_len);
    }
    r->headers = h;
    r->output = output;
    r->key = j->spec.job_id;
    r->key_len = strlen(j->spec.job_id);
    r->value = arena_copy(a, value->p, value->len);
    r->value_len = value->len;
    record_link(j, r);
}

const char *record_call_status(const struct outcome *o)
{
    if (o->fault == FAULT_NONE)
        return "ok";
    return o->fault == FAULT_CANCELLED ? "cancelled" : "error";
}
