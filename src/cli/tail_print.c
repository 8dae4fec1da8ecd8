/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of `tutti tail`. What comes from outside loses its control characters. Main thread. */
#include "cli/tail_print.h"

#include <string.h>
#include <time.h>

#include "base/json_write.h"
#include "base/mem.h"
#include "cli/term.h"
#include "impl/broker_client.h"

enum { WORD_BYTES = 512, LINE_BYTES = 2048 };

static const char *text_at(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s != NULL ? s : "";
}

static long long int_at(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static void add_time(struct buf *out, const struct kafka_read *r)
{
    time_t seconds = (time_t)(r->message.ts_ms / 1000);
    struct tm tm;
    char text[16];

    (void)localtime_r(&seconds, &tm);
    (void)strftime(text, sizeof(text), "%H:%M:%S", &tm);
    buf_add_str(out, text);
}

/* A word from outside in a column of `columns`; longer ones push the rest. */
static void add_word(struct buf *out, const char *s, int columns)
{
    char word[WORD_BYTES];
    int used;

    term_snippet(word, sizeof(word), s, strlen(s), 100);
    used = term_columns(word, strlen(word));
    buf_add_str(out, "  ");
    buf_add_str(out, word);
    for (; used < columns; used++)
        buf_add_char(out, ' ');
}

static void add_status(struct buf *out, const char *status, int columns, const struct tail_look *look)
{
    bool is_bad = strcmp(status, "failed") == 0 || strcmp(status, "error") == 0;
    const char *color = strcmp(status, "ok") == 0 ? "\033[32m" : is_bad ? "\033[31m" : "\033[33m";

    buf_add_str(out, look->has_color ? color : "");
    add_word(out, status, columns);
    buf_add_str(out, look->has_color ? "\033[0m" : "");
}

static void add_cost(struct buf *out, const json_t *record)
{
    const json_t *cost = json_object_get(record, "cost_usd");

    if (json_is_number(cost))
        buf_printf(out, "  $%-9.6f", json_number_value(cost));
    else
        buf_printf(out, "  %-10s", "-");
}

/* What is left of the line, then its end. begin: where the line begins in `out`. */
static void add_rest(struct buf *out, size_t begin, const char *s, size_t len, const struct tail_look *look)
{
    int used = term_columns(out->p + begin, out->len - begin) + 2 - (look->has_color ? 9 : 0);
    int columns = look->width - used;
    char rest[LINE_BYTES];

    if (columns >= 10 && len > 0) {
        term_snippet(rest, sizeof(rest), s, len, columns);
        buf_printf(out, "  %s", rest);
    }
    while (out->len > begin && out->p[out->len - 1] == ' ')
        out->len--;
    buf_add_char(out, '\n');
}

/* The result's text: the answer, else what kept it away, else who answered apart. */
static void add_answer(struct buf *out, size_t begin, const json_t *value, const struct tail_look *look)
{
    const char *answer = text_at(value, "answer"), *code = text_at(value, "error_code");
    const json_t *answers = json_object_get(value, "answers");
    char text[LINE_BYTES];

    if (*answer == '\0' && *code != '\0')
        (void)snprintf(text, sizeof(text), "%s: %s", code, text_at(value, "error_message"));
    else if (*answer == '\0')
        (void)snprintf(text, sizeof(text), "(%zu answers apart) %s", json_array_size(answers),
                       text_at(json_array_get(answers, 0), "answer"));
    if (*answer == '\0')
        answer = text;
    while (strncmp(answer, "## ", 3) == 0) { /* of concat: the text below says more */
        answer += strcspn(answer, "\n");
        answer += strspn(answer, "\n");
    }
    add_rest(out, begin, answer, strlen(answer), look);
}

void tail_line_result(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look)
{
    size_t begin = out->len;
    char models[32];

    add_time(out, r);
    add_word(out, text_at(value, "job_id"), 16);
    add_status(out, text_at(value, "status"), 7, look);
    (void)snprintf(models, sizeof(models), "%lld/%lld", int_at(value, "models_ok"), int_at(value, "models_asked"));
    buf_printf(out, "  %-5s  %7.2f s", models, (double)int_at(value, "duration_ms") / 1000);
    add_cost(out, value);
    add_answer(out, begin, value, look);
}

void tail_line_call(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look)
{
    size_t begin = out->len;
    char text[WORD_BYTES];

    add_time(out, r);
    add_word(out, text_at(value, "job_id"), 16);
    add_word(out, text_at(value, "request_model"), 12);
    (void)snprintf(text, sizeof(text), "#%lld", int_at(value, "attempt"));
    add_word(out, text, 2);
    add_status(out, text_at(value, "status"), 9, look);
    buf_printf(out, "  %6.0f ms", json_number_value(json_object_get(value, "duration_ms")));
    (void)snprintf(text, sizeof(text), "%lld/%lld tokens", int_at(value, "input_tokens"),
                   int_at(value, "output_tokens"));
    add_word(out, text, 16);
    add_cost(out, value);
    (void)snprintf(text, sizeof(text), "%s", text_at(value, "error_code"));
    if (int_at(value, "http_status") > 0 && *text != '\0')
        (void)snprintf(text, sizeof(text), "%s (HTTP %lld)", text_at(value, "error_code"),
                       int_at(value, "http_status"));
    add_rest(out, begin, text, strlen(text), look);
}

void tail_line_stats(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look)
{
    size_t begin = out->len;
    char text[WORD_BYTES];
    long long calls = int_at(value, "calls_total");

    add_time(out, r);
    add_word(out, text_at(value, "request_model"), 12);
    (void)snprintf(text, sizeof(text), "%lld calls: %lld ok, %lld failed", calls, int_at(value, "calls_ok"),
                   int_at(value, "calls_failed"));
    add_word(out, text, 28);
    (void)snprintf(text, sizeof(text), "%lld/%lld tokens", int_at(value, "input_tokens"),
                   int_at(value, "output_tokens"));
    add_word(out, text, 16);
    add_cost(out, value);
    (void)snprintf(text, sizeof(text), "mean %.0f ms, %s",
                   calls > 0 ? json_number_value(json_object_get(value, "duration_ms_sum")) / (double)calls : 0.0,
                   text_at(value, "worker_id"));
    add_rest(out, begin, text, strlen(text), look);
}

void tail_line_batch(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look)
{
    bool is_least =
        json_is_number(json_object_get(value, "cost_usd")) && json_is_false(json_object_get(value, "cost_complete"));
    size_t begin = out->len;
    char text[WORD_BYTES];

    add_time(out, r);
    add_word(out, text_at(value, "batch_id"), 16);
    (void)snprintf(text, sizeof(text), "%lld jobs: %lld ok, %lld partial, %lld failed", int_at(value, "jobs_total"),
                   int_at(value, "jobs_ok"), int_at(value, "jobs_partial"), int_at(value, "jobs_failed"));
    add_word(out, text, 36);
    add_cost(out, value);
    (void)snprintf(text, sizeof(text), "%spartition %lld, %s", is_least ? "at least, " : "",
                   int_at(value, "source_partition"), text_at(value, "worker_id"));
    add_rest(out, begin, text, strlen(text), look);
}

static void add_models(struct buf *out, const json_t *value)
{
    const json_t *models = json_object_get(value, "models"), *m;
    char text[WORD_BYTES] = "";
    size_t i, n = 0;

    json_array_foreach(models, i, m)
    {
        const char *name = json_is_string(m) ? json_string_value(m) : text_at(m, "model");

        if (n < sizeof(text))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? "," : "", name);
    }
    if (n == 0)
        (void)snprintf(text, sizeof(text), "%s", text_at(json_object_get(value, "body"), "model"));
    add_word(out, *text != '\0' ? text : "(default)", 16);
}

void tail_line_job(struct buf *out, const struct kafka_read *r, const json_t *value, const struct tail_look *look)
{
    size_t begin = out->len;
    char id[300];
    const char *named = text_at(value, "job_id"), *prompt = text_at(value, "prompt");

    if (*named == '\0')
        named = text_at(value, "custom_id");
    (void)snprintf(id, sizeof(id), "%s/%d/%lld", r->topic, r->partition, (long long)r->message.offset);
    add_time(out, r);
    add_word(out, *named != '\0' ? named : id, 16);
    if (value == NULL) {
        add_status(out, "no JSON", 16, look);
        add_rest(out, begin, r->message.value != NULL ? r->message.value : "", r->message.value_len, look);
        return;
    }
    add_models(out, value);
    add_rest(out, begin, prompt, strlen(prompt), look);
}

const char *tail_header(const struct kafka_read *r, const char *name, char *room, size_t size)
{
    for (int i = 0; i < r->message.n_headers; i++) {
        const struct message_header *h = &r->message.headers[i];
        size_t n = h->value_len < size - 1 ? h->value_len : size - 1;

        if (strcmp(h->name, name) != 0 || h->value == NULL)
            continue;
        memcpy(room, h->value, n);
        room[n] = '\0';
        return room;
    }
    return "";
}

void tail_line_dead_letter(struct buf *out, const struct kafka_read *r, const json_t *value,
                           const struct tail_look *look)
{
    size_t begin = out->len;
    char a[WORD_BYTES], b[WORD_BYTES], c[WORD_BYTES], text[LINE_BYTES];
    const char *pointer;

    (void)value; /* it may be anything: the headers say what happened */
    add_time(out, r);
    (void)snprintf(text, sizeof(text), "%s/%s/%s", tail_header(r, "__dlq.errors.topic", a, sizeof(a)),
                   tail_header(r, "__dlq.errors.partition", b, sizeof(b)),
                   tail_header(r, "__dlq.errors.offset", c, sizeof(c)));
    add_word(out, text, 16);
    add_status(out, tail_header(r, "dlq.error.code", a, sizeof(a)), 12, look);
    pointer = tail_header(r, "dlq.error.pointer", c, sizeof(c));
    (void)snprintf(text, sizeof(text), "%s%s: %s", *pointer >= '0' && *pointer <= '9' ? "byte " : "", pointer,
                   tail_header(r, "__dlq.errors.message", b, sizeof(b)));
    add_rest(out, begin, text, strlen(text), look);
}

void tail_json_value(struct buf *out, const struct kafka_read *r)
{
    const struct message *m = &r->message;

    for (size_t i = 0; i < m->value_len; i++)
        buf_add_char(out, m->value[i] == '\n' || m->value[i] == '\r' ? ' ' : m->value[i]);
    buf_add_char(out, '\n');
}

/* Bytes as a JSON string: what is no UTF-8 becomes U+FFFD. NULL: null. */
static void add_bytes(struct json_write *w, const char *key, const char *p, size_t len)
{
    jw_key(w, key);
    if (p == NULL) {
        jw_null(w);
        return;
    }
    jw_text(w, text_slice(p, len));
}

void tail_json_dead_letter(struct buf *out, const struct kafka_read *r)
{
    const struct message *m = &r->message;
    struct json_write w;

    jw_init(&w, out);
    jw_open(&w, '{');
    jw_kv_str(&w, "topic", r->topic);
    jw_kv_int(&w, "partition", r->partition);
    jw_kv_int(&w, "offset", m->offset);
    jw_kv_int(&w, "ts_ms", m->ts_ms);
    add_bytes(&w, "key", m->key, m->key_len);
    add_bytes(&w, "value", m->value, m->value_len);
    jw_key(&w, "headers");
    jw_open(&w, '{');
    for (int i = 0; i < m->n_headers; i++) {
        jw_key_text(&w, text_of(m->headers[i].name));
        if (m->headers[i].value != NULL)
            jw_text(&w, text_slice(m->headers[i].value, m->headers[i].value_len));
        else
            jw_null(&w);
    }
    jw_close(&w, '}');
    jw_close(&w, '}');
    buf_add_char(out, '\n');
}
