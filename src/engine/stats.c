/* SPDX-License-Identifier: Apache-2.0 */
/* Folds the attempts of a commit batch into sums per (window, provider, model): exactly those of which the batch holds
 * a call record. The table is kept from batch to batch, so that an attempt costs a look-up and nothing is allocated for
 * it. Loop thread. */
#include "engine/stats.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "core/registry.h"
#include "engine/worker_internal.h"

enum { SLOTS_FIRST = 64, INCARNATION_CHARS = 16 };

struct row {
    uint32_t hash;
    uint32_t slot; /* where the table has it */
    struct model_stats_head head;
    struct model_stats sums;
};

struct stats {
    const struct env *env;
    char incarnation[INCARNATION_CHARS + 1];
    struct row *rows; /* rows[n_rows], of the batch that is being closed */
    size_t n_rows, cap_rows;
    uint32_t *slots; /* slots[n_slots], a power of two above twice cap_rows: number of the row + 1, 0: free */
    size_t n_slots;
};

static void make_table(struct stats *s, size_t n_slots)
{
    mem_free(s->slots);
    s->n_slots = n_slots;
    s->slots = mem_zero(sizeof(*s->slots) * n_slots);
    s->cap_rows = n_slots / 2;
    s->rows = mem_resize(s->rows, sizeof(*s->rows) * s->cap_rows);
}

struct stats *stats_new(const struct env *env)
{
    struct stats *s = mem_zero(sizeof(*s));

    s->env = env;
    (void)snprintf(s->incarnation, sizeof(s->incarnation), "%016llx", (unsigned long long)rng_u64(env->rng));
    make_table(s, SLOTS_FIRST);
    return s;
}

void stats_free(struct stats *s)
{
    if (s == NULL)
        return;
    mem_free(s->rows);
    mem_free(s->slots);
    mem_free(s);
}

/* --- the table --- */

/* FNV-1a, over the bytes with their ends. */
static uint32_t hash_str(uint32_t h, const char *s)
{
    for (; s != NULL && *s != '\0'; s++)
        h = (h ^ (uint8_t)*s) * 16777619U;
    return (h ^ 0x1fU) * 16777619U;
}

static uint32_t hash_of(const struct model_stats_head *h)
{
    uint32_t x = 2166136261U ^ (uint32_t)(h->window_ms / STATS_WINDOW_MS);

    x = hash_str(x * 16777619U, h->provider);
    x = hash_str(x, h->request_model);
    return hash_str(x, h->vendor_model);
}

static bool is_same_str(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool is_same(const struct model_stats_head *a, const struct model_stats_head *b)
{
    return a->window_ms == b->window_ms && is_same_str(a->request_model, b->request_model) &&
           is_same_str(a->provider, b->provider) && is_same_str(a->vendor_model, b->vendor_model);
}

static void put(struct stats *s, size_t row)
{
    size_t at = s->rows[row].hash & (s->n_slots - 1);

    while (s->slots[at] != 0)
        at = (at + 1) & (s->n_slots - 1);
    s->slots[at] = (uint32_t)row + 1;
    s->rows[row].slot = (uint32_t)at;
}

static void grow(struct stats *s)
{
    make_table(s, s->n_slots * 2);
    for (size_t i = 0; i < s->n_rows; i++)
        put(s, i);
}

static struct row *row_of(struct stats *s, const struct model_stats_head *head)
{
    uint32_t hash = hash_of(head);
    size_t at = hash & (s->n_slots - 1);

    for (; s->slots[at] != 0; at = (at + 1) & (s->n_slots - 1)) {
        struct row *r = &s->rows[s->slots[at] - 1];

        if (r->hash == hash && is_same(&r->head, head))
            return r;
    }
    if (s->n_rows == s->cap_rows)
        grow(s);
    s->rows[s->n_rows] = (struct row){.hash = hash, .head = *head};
    model_stats_init(&s->rows[s->n_rows].sums);
    put(s, s->n_rows);
    return &s->rows[s->n_rows++];
}

static void clear(struct stats *s)
{
    for (size_t i = 0; i < s->n_rows; i++)
        s->slots[s->rows[i].slot] = 0;
    s->n_rows = 0;
}

/* --- the fold --- */

/* Dead letters and dropped duplicates have no call records, whatever was attempted. */
static bool has_result(const struct publication *pub)
{
    for (const struct record *r = pub->first; r != NULL; r = r->next)
        if (r->output == OUT_RESULTS)
            return true;
    return false;
}

static const char *breaker_state_of(const struct stats *s, const struct model *m)
{
    return breaker_state_name(m != NULL ? health_state_of(s->env->health, m) : BREAKER_CLOSED);
}

static void add_attempt(struct stats *s, const struct call *c, const struct attempt *a, struct arena *arena)
{
    struct attempt_names names = attempt_names(c, a);
    const struct text asked = names.request_model;
    struct model_stats_head head = {.window_ms = stats_window_ms(a->outcome.ended_ms),
                                    .provider = names.provider,
                                    .vendor_model = names.vendor_model,
                                    .limit_rpm = names.model != NULL ? names.model->limit_rpm : 0,
                                    .limit_tpm = names.model != NULL ? names.model->limit_tpm : 0,
                                    .breaker_state = breaker_state_of(s, names.model)};

    /* a registry id ends with a NUL, and is then used as it stands */
    if (!asked.is_escaped && asked.p != NULL && asked.p[asked.len] == '\0')
        head.request_model = asked.p;
    else
        head.request_model = asked.p != NULL ? text_decode(arena, asked, NULL) : "";
    model_stats_add(&row_of(s, &head)->sums, a);
}

static void fold(struct stats *s, const struct job *j, struct arena *a)
{
    for (int i = 0; i < j->n_calls; i++) {
        const struct call *c = &j->calls[i];

        LIST_EACH (it, &c->attempts)
            add_attempt(s, c, LIST_ENTRY(it, struct attempt, link), a);
    }
}

static struct record *model_records(struct stats *s, const struct stats_origin *o, struct record *next)
{
    int64_t now_ms = loop_wall_ms(s->env->loop);

    for (size_t i = s->n_rows; i > 0; i--) {
        struct row *row = &s->rows[i - 1];
        struct model_stats_head *h = &row->head;
        struct record *r;

        h->inflight_max =
            inflight_max(s->env->inflight, h->provider, h->request_model, h->vendor_model, h->window_ms, now_ms);
        r = record_model_stats(o, h, &row->sums);
        if (r == NULL)
            continue;
        r->next = next;
        next = r;
    }
    return next;
}

static struct record *batch_records(const struct list *pubs, const struct stats_origin *o, struct record *next)
{
    LIST_EACH (it, pubs) { /* each partition once: those told of are skipped */
        struct partition *p = LIST_ENTRY(it, struct publication, link)->part->user;

        if (p->progress == NULL || p->told == o->number)
            continue;
        p->told = o->number;
        next = progress_records(p->progress, o, next);
    }
    return next;
}

struct record *stats_closing(struct stats *s, const struct list *pubs, uint64_t number, struct arena *a)
{
    struct stats_origin origin = {.env = s->env, .incarnation = s->incarnation, .number = number, .arena = a};
    struct record *records;

    LIST_EACH (it, pubs) {
        const struct publication *pub = LIST_ENTRY(it, struct publication, link);
        const struct job *j = CONTAINER_OF(pub, struct job, pub);
        struct partition *p = pub->part->user;

        if (!has_result(pub))
            continue;
        if (!pub->is_counted)
            fold(s, j, a);
        if (j->spec.batch_id.p == NULL)
            continue;
        if (p->progress == NULL)
            p->progress = progress_new(s->env, s->incarnation, p->bp);
        progress_add(p->progress, j, number, a);
    }
    records = model_records(s, &origin, batch_records(pubs, &origin, NULL));
    clear(s);
    return records;
}

void stats_published(struct progress *p, const struct job *j)
{
    if (p != NULL && j->spec.batch_id.p != NULL && has_result(&j->pub))
        progress_commit(p, j);
}
