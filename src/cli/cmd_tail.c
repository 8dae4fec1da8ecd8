/* SPDX-License-Identifier: Apache-2.0 */
/* `tutti tail`: a topic, decoded, as it grows. Main thread. */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/config.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/units.h"
#include "cli/cli_kafka.h"
#include "cli/tail_print.h"
#include "cli/term.h"

enum { POLL_MS = 200, LAST_DEFAULT = 10, LAST_MAX = 100000, PIPE_WIDTH = 160, WHERE_MAX = 16, KEYS_MAX = 128 };

/* What may be followed. */
struct kind {
    const char *word;
    tail_line line;
    bool is_open; /* its keys are not known beforehand: a missing one is no mistake */
    bool is_dead; /* dead letters: values may be anything */
};

enum { JOBS, RESULTS, CALLS, DEAD_LETTERS, MODEL_STATS, BATCHES, KIND_MAX };
static const struct kind kinds[] = {
    [JOBS] = {"jobs", tail_line_job, true, false},
    [RESULTS] = {"results", tail_line_result, false, false},
    [CALLS] = {"calls", tail_line_call, false, false},
    [DEAD_LETTERS] = {"dlq", tail_line_dead_letter, true, true},
    [MODEL_STATS] = {"model-stats", tail_line_stats, false, false},
    [BATCHES] = {"batches", tail_line_batch, false, false},
};
static_assert(ARRAY_LEN(kinds) == KIND_MAX, "a row per kind");

/* One record that is kept back until the last ones are known. */
struct kept {
    int64_t ts_ms;
    size_t seq;
    char *line;
    size_t len;
};

struct tail {
    struct cli *c;
    const struct kind *kind;
    struct cli_kafka kafka;
    struct kafka_reader_conf conf;
    struct kafka_reader *reader;
    struct tail_look look;
    struct {
        const char *key;
        const char *value;
    } where[WHERE_MAX];
    size_t n_where;
    bool is_once;
    int64_t n_last;    /* of what is there already, in order of time; -1: all of it as it comes */
    struct kept *kept; /* kept[n_kept]: while the end at the start is not reached */
    size_t n_kept;
    size_t seq;
    size_t n_no_json;
    bool is_cut; /* some were not kept */
    int code;    /* CLI_OK, or why it ends */
};

/* --- the command line --- */

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t); /* cannot fail */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int find_kind(struct tail *t)
{
    const char *words[KIND_MAX];

    if (t->c->n_args != 1)
        return cli_usage(t->c, t->c->n_args == 0
                                   ? "name what to follow: jobs, results, calls, dlq, model-stats or batches"
                                   : "takes one word");
    for (size_t i = 0; i < KIND_MAX; i++) {
        words[i] = kinds[i].word;
        if (strcmp(t->c->args[0], kinds[i].word) == 0)
            t->kind = &kinds[i];
    }
    return t->kind != NULL ? CLI_OK : cli_unknown(t->c, "topic", t->c->args[0], words, KIND_MAX);
}

/* --since DURATION|all, -n N, --once decide together where it begins. */
static int read_begin(struct tail *t)
{
    const char *since = cli_flag(t->c, "since"), *last = cli_flag(t->c, "last");
    int64_t us;

    t->is_once = cli_flag(t->c, "once") != NULL;
    t->n_last = since == NULL && !t->is_once ? LAST_DEFAULT : t->c->is_json ? -1 : LAST_MAX; /* people read in order */
    if (last != NULL && (units_count(last, &t->n_last) < 0 || t->n_last < 0 || t->n_last > LAST_MAX))
        return cli_usage(t->c, "-n takes a number up to %d, not '%s'", LAST_MAX, last);
    t->conf.from = KAFKA_FROM_START;
    if (since != NULL && strcmp(since, "all") != 0) {
        if (units_duration(since, &us) < 0)
            return cli_usage(t->c, "--since takes a duration like 10m, or all; not '%s'", since);
        t->conf.from = KAFKA_FROM_TIME;
        t->conf.from_ms = now_ms() - us / 1000;
    } else if (since == NULL && t->n_last == 0) {
        t->conf.from = KAFKA_FROM_END;
    } else if (since == NULL && t->n_last > 0 && t->n_last < LAST_MAX && t->n_where == 0) {
        t->conf.from = KAFKA_FROM_LAST;
        t->conf.from_last = t->n_last;
    }
    return CLI_OK;
}

static int read_where(struct tail *t, struct arena *a)
{
    for (size_t i = 0; i < t->c->n_given; i++) {
        const char *value = t->c->given[i].value, *equals = strchr(value, '=');

        if (strcmp(t->c->given[i].flag->name, "where") != 0)
            continue;
        if (equals == NULL || equals == value || t->n_where == WHERE_MAX)
            return cli_usage(t->c, "write --where KEY=VALUE, at most %d times", WHERE_MAX);
        t->where[t->n_where].key = arena_copy(a, value, (size_t)(equals - value));
        t->where[t->n_where++].value = equals + 1;
    }
    return CLI_OK;
}

static const char *topic_of(const struct tail *t)
{
    const struct config_kafka *k = &t->kafka.config->kafka;
    const char *const names[] = {
        [JOBS] = k->jobs.items[0],        [RESULTS] = k->results,         [CALLS] = k->calls,
        [DEAD_LETTERS] = k->dead_letters, [MODEL_STATS] = k->model_stats, [BATCHES] = k->batches};

    return names[t->kind - kinds];
}

/* --- records --- */

/* A scalar of the record as text; NULL: no such key, or none that compares. */
static const char *scalar(const json_t *v, char *room, size_t size)
{
    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_integer(v))
        (void)snprintf(room, size, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        (void)snprintf(room, size, "%.12g", json_real_value(v));
    else if (json_is_boolean(v) || json_is_null(v))
        (void)snprintf(room, size, "%s", json_is_null(v) ? "null" : json_is_true(v) ? "true" : "false");
    else
        return NULL;
    return room;
}

/* Our own records have every key: one that is missing is misspelled. */
static void fail_key(struct tail *t, const json_t *record, const char *key)
{
    const char *words[KEYS_MAX], *name;
    json_t *object = json_incref((json_t *)(uintptr_t)record), *v;
    size_t n = 0;

    json_object_foreach(object, name, v)
    {
        if (n < KEYS_MAX)
            words[n++] = name;
    }
    t->code = cli_unknown(t->c, "key", key, words, n);
    json_decref(object);
}

static bool has_header(const struct kafka_read *r, const char *key, const char *value)
{
    char room[256];

    return strcmp(tail_header(r, key, room, sizeof(room)), value) == 0;
}

static bool is_wanted(struct tail *t, const struct kafka_read *r, const json_t *record)
{
    char room[64];

    for (size_t i = 0; i < t->n_where; i++) {
        const json_t *v = json_object_get(record, t->where[i].key);
        const char *text = v != NULL ? scalar(v, room, sizeof(room)) : NULL;

        if (v == NULL && !t->kind->is_open && json_is_object(record)) {
            fail_key(t, record, t->where[i].key);
            return false;
        }
        if (t->kind->is_dead ? !has_header(r, t->where[i].key, t->where[i].value)
                             : text == NULL || strcmp(text, t->where[i].value) != 0)
            return false;
    }
    return true;
}

static void put(struct tail *t, const char *line, size_t len)
{
    (void)fwrite(line, 1, len, t->c->out);
    if (fflush(t->c->out) != 0)
        t->code = errno == EPIPE ? CLI_OK : CLI_IO; /* and it ends: see is_over() */
}

static int by_time(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;

    if (x->ts_ms != y->ts_ms)
        return x->ts_ms < y->ts_ms ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static void drop_kept(struct tail *t)
{
    for (size_t i = 0; i < t->n_kept; i++)
        mem_free(t->kept[i].line);
    mem_free(t->kept);
    t->kept = NULL;
    t->n_kept = 0;
}

/* Everything that was there at the start is read: its last ones, in order of time. */
static void put_kept(struct tail *t)
{
    size_t n = (size_t)t->n_last, first;

    if (t->n_kept > 0)
        qsort(t->kept, t->n_kept, sizeof(*t->kept), by_time);
    first = t->n_kept > n ? t->n_kept - n : 0;
    for (size_t i = first; i < t->n_kept; i++)
        put(t, t->kept[i].line, t->kept[i].len);
    if (t->is_cut && t->n_last == LAST_MAX)
        (void)fprintf(t->c->err, "tutti tail: these are the last %d records; --json has them all\n", LAST_MAX);
    drop_kept(t);
    t->n_last = -1;
}

/* Keeps at most twice what is wanted. */
static void keep(struct tail *t, const struct kafka_read *r, struct buf *line)
{
    size_t room = 2 * (size_t)t->n_last + 2, n_gone;
    struct kept *k;

    if (t->kept == NULL)
        t->kept = mem_zero(sizeof(*t->kept) * room);
    if (t->n_kept == room) {
        qsort(t->kept, t->n_kept, sizeof(*t->kept), by_time);
        n_gone = t->n_kept - (size_t)t->n_last;
        t->is_cut = true;
        for (size_t i = 0; i < n_gone; i++)
            mem_free(t->kept[i].line);
        memmove(t->kept, t->kept + n_gone, sizeof(*t->kept) * (size_t)t->n_last);
        t->n_kept = (size_t)t->n_last;
    }
    k = &t->kept[t->n_kept++];
    *k = (struct kept){.ts_ms = r->message.ts_ms, .seq = t->seq++};
    k->line = buf_take(line, &k->len);
}

static void take(struct tail *t, const struct kafka_read *r)
{
    const struct message *m = &r->message;
    json_t *record = m->value != NULL ? json_loadb(m->value, m->value_len, JSON_DECODE_ANY, NULL) : NULL;
    struct buf line;

    buf_init(&line, 0);
    if (record == NULL && t->c->is_json && !t->kind->is_dead) {
        t->n_no_json++;
    } else if (is_wanted(t, r, record)) {
        if (!t->c->is_json)
            t->kind->line(&line, r, record, &t->look);
        else if (t->kind->is_dead)
            tail_json_dead_letter(&line, r);
        else
            tail_json_value(&line, r);
        if (t->n_last >= 0)
            keep(t, r, &line);
        else
            put(t, line.p, line.len);
    }
    buf_done(&line);
    json_decref(record);
}

/* Nobody reads any more: head(1) has ended, while no record comes that would tell. */
static bool is_abandoned(const struct tail *t)
{
    struct pollfd p = {.fd = fileno(t->c->out)};

    return ferror(t->c->out) || (p.fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLNVAL)) != 0);
}

static int follow(struct tail *t)
{
    char why[512] = "";
    const char *reason = "";
    struct kafka_read record;
    int r = kafka_reader_new(&t->conf, &t->reader, why, sizeof(why));

    if (r < 0)
        return cli_kafka_failed(t->c, &t->kafka, r, why);
    while (t->code == CLI_OK) {
        bool is_at_end = kafka_reader_is_at_end(t->reader);

        if (is_at_end && t->n_last >= 0)
            put_kept(t);
        if ((is_at_end && t->is_once) || is_abandoned(t))
            break;
        r = kafka_reader_next(t->reader, POLL_MS, &record, &reason);
        if (r < 0)
            return cli_kafka_failed(t->c, &t->kafka, r, reason);
        if (r == 1)
            take(t, &record);
    }
    if (t->n_no_json > 0)
        (void)fprintf(t->c->err, "tutti tail: %zu record%s left out: no JSON\n", t->n_no_json,
                      t->n_no_json == 1 ? " was" : "s were");
    return t->code;
}

int cmd_tail(struct cli *c)
{
    int width = term_width(c->out);
    struct tail t = {.c = c,
                     .look = {.width = width > 0 ? width : PIPE_WIDTH, .has_color = term_has_color(c->out, c->env)}};
    struct arena *a = arena_new(1024);
    const char *topic;
    int code = find_kind(&t);

    if (code == CLI_OK)
        code = read_where(&t, a);
    if (code == CLI_OK)
        code = read_begin(&t);
    if (code == CLI_OK)
        code = cli_kafka_init(&t.kafka, c);
    if (code == CLI_OK) {
        topic = topic_of(&t);
        t.conf.client = t.kafka.client;
        t.conf.topics = &topic;
        t.conf.n_topics = 1;
        code = follow(&t);
    }
    kafka_reader_free(t.reader);
    drop_kept(&t);
    cli_kafka_done(&t.kafka);
    arena_free(a);
    return code;
}
