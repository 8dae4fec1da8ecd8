/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis journal's claims: waiting, asked, answered. A claim keeps its number when it is sent again, so that Redis
 * counts it once. Runs on the loop's thread. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "journal/journal_redis_internal.h"
#include "journal/journal_value.h"

enum {
    ASKED_MAX = 4096,
    LOG_PERIOD_US = 60 * 1000 * 1000,
};

struct asked {
    struct list link;
    struct journal_redis *j;
    struct claim *c; /* NULL: cancelled on its way */
    bool was_sent;   /* Redis may have given it to us, whatever we heard */
    uint64_t number;
    char digest[DIGEST_TEXT];
    char *key;
};

static void asked_free(struct asked *a)
{
    list_del(&a->link);
    mem_free(a->key);
    mem_free(a);
}

/* ---- answers ---- */

static void read_recalls(struct claim *c, const struct redis_reply *reply, int *n_bad)
{
    c->recalls = arena_zero(c->arena, (reply->n / 2) * sizeof(*c->recalls));
    for (size_t i = 2; i + 1 < reply->n; i += 2) {
        const struct redis_reply *f = &reply->element[i], *v = &reply->element[i + 1];
        int attempt, r = -EINVAL;

        if (f->type == REDIS_STR && v->type == REDIS_STR && f->len == 1 && f->s[0] == 'S')
            r = journal_value_read(c->arena, v->s, v->len, &attempt, &c->decision);
        else if (f->type == REDIS_STR && v->type == REDIS_STR)
            r = journal_recall_read(c->arena, f->s, f->len, v->s, v->len, &c->recalls[c->n_recalls]);
        if (r < 0)
            ++*n_bad;
        else if (f->s[0] != 'S')
            c->n_recalls++;
    }
}

static bool is_answer(const struct redis_reply *reply)
{
    return reply->type == REDIS_ARRAY && reply->n >= 1 && reply->element[0].type == REDIS_INT &&
           (reply->element[0].i == 0 || (reply->n >= 2 && reply->element[1].type == REDIS_INT));
}

static void answer(struct asked *a, const struct redis_reply *reply)
{
    struct journal_redis *j = a->j;
    struct claim *c = a->c;
    bool is_ours = reply->element[0].i != 0;
    int n_bad = 0;

    if (c == NULL) {
        if (is_ours)
            writes_release_claim(j, a->key, a->number);
        asked_free(a);
        return;
    }
    c->result = is_ours ? CLAIM_OURS : CLAIM_OWNER_ALIVE;
    if (is_ours) {
        c->deliveries = (int)reply->element[1].i;
        read_recalls(c, reply, &n_bad);
        writes_hold(j, a->key, a->digest, a->number);
    }
    if (n_bad > 0)
        log_event(LOG_ERROR, "journal_damaged", "key=\"%s\" fields=%d why=\"not in our form; left out\"", a->key,
                  n_bad);
    asked_free(a);
    c->done(c, c->arg);
}

static void on_claimed(void *arg, const struct redis_reply *reply, int error)
{
    struct asked *a = arg;
    struct journal_redis *j = a->j;

    j->n_asked--;
    if (error == 0 && reply->type != REDIS_ERROR && is_answer(reply)) {
        loop_wake(j->loop, &j->pump);
        answer(a, reply);
        return;
    }
    list_del(&a->link); /* fails closed: whatever the reason, nothing is paid before Redis said yes */
    list_add_tail(&j->again, &a->link);
    if (error == 0)
        session_claim_refused(j, reply->type == REDIS_ERROR ? reply->s : "odd reply");
}

/* ---- sending ---- */

static int send_one(struct journal_redis *j, const struct asked *a)
{
    char number[24];
    bool has_grace = loop_now_us(j->loop) < j->grace_until_us;
    const char *argv[] = {a->key,      j->slots_key, a->digest,          j->incarnation,
                          j->ttl_text, number,       j->liveness_prefix, has_grace ? "1" : "0"};

    (void)snprintf(number, sizeof(number), "%" PRIu64, a->number);
    return session_call(j, "tutti_j1_claim", 2, 8, argv, NULL, on_claimed, (void *)(uintptr_t)a);
}

void claims_send(struct journal_redis *j)
{
    while (!list_is_empty(&j->waiting) && j->n_asked < ASKED_MAX && !j->base.is_down) {
        struct asked *a = LIST_ENTRY(j->waiting.next, struct asked, link);

        if (send_one(j, a) < 0)
            return;
        a->was_sent = true;
        list_del(&a->link);
        list_add_tail(&j->asked, &a->link);
        j->n_asked++;
    }
}

/* A claim that nobody here wants any more: as long as we live, others would wait for us. */
static void give_back(struct asked *a)
{
    if (a->was_sent)
        writes_release_claim(a->j, a->key, a->number);
    asked_free(a);
}

void claims_retry(struct journal_redis *j)
{
    LIST_EACH_SAFE (it, &j->again) {
        struct asked *a = LIST_ENTRY(it, struct asked, link);

        if (a->c == NULL)
            give_back(a);
    }
    list_move_all(&j->again, &j->waiting);
    list_move_all(&j->waiting, &j->again);
}

void claims_add(struct journal_redis *j, struct claim *c)
{
    struct asked *a = mem_zero(sizeof(*a));
    struct buf key;

    c->deliveries = 0;
    c->recalls = NULL;
    c->n_recalls = 0;
    c->decision = TEXT_NONE;
    a->j = j;
    a->c = c;
    a->number = ++j->last_number;
    digest_hex(c->digest, sizeof(c->digest), a->digest);
    buf_init(&key, 0);
    journal_redis_key(j, &c->pos, &key);
    a->key = buf_take(&key, NULL);
    list_init(&a->link);
    list_add_tail(&j->waiting, &a->link);
    loop_wake(j->loop, &j->pump);
}

static struct asked *find(struct list *l, const struct claim *c)
{
    LIST_EACH (it, l) {
        struct asked *a = LIST_ENTRY(it, struct asked, link);

        if (a->c == c)
            return a;
    }
    return NULL;
}

void claims_cancel(struct journal_redis *j, struct claim *c)
{
    struct asked *a = find(&j->waiting, c);

    if (a != NULL) { /* never sent, or sent in vain before */
        give_back(a);
        return;
    }
    a = find(&j->asked, c);
    if (a == NULL)
        a = find(&j->again, c);
    if (a != NULL)
        a->c = NULL;
}

void claims_init(struct journal_redis *j)
{
    list_init(&j->waiting);
    list_init(&j->asked);
    list_init(&j->again);
}

static void drop_all(struct list *l)
{
    for (struct list *it = list_take_first(l); it != NULL; it = list_take_first(l))
        asked_free(LIST_ENTRY(it, struct asked, link));
}

void claims_done(struct journal_redis *j)
{
    drop_all(&j->waiting);
    drop_all(&j->asked);
    drop_all(&j->again);
}
