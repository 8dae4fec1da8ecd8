/* SPDX-License-Identifier: Apache-2.0 */
/* Who was first with a job id: one key per (group, job_id, run) that holds a position and runs out by itself. Asked and
 * taken by one command, which may be sent twice: it answers with the first position. Runs on the loop's thread. source:
 * DESIGN 6; SET with NX and GET together: Redis 7.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/digest.h"
#include "base/mem.h"
#include "journal/journal_redis_internal.h"

enum {
    ASKED_MAX = 4096,
    ID_HEX = 32,
};

struct question {
    struct list link;
    struct journal_redis *j;
    struct identify *i; /* NULL: taken back on its way */
    char *key;
    char *position; /* "<topic>/<partition>/<offset>" */
    char ttl_text[24];
};

static void question_free(struct question *q)
{
    list_del(&q->link);
    mem_free(q->key);
    mem_free(q->position);
    mem_free(q);
}

static bool is_answer(const struct redis_reply *reply)
{
    return reply->type == REDIS_NIL || reply->type == REDIS_STR;
}

static void answer(struct question *q, const struct redis_reply *reply)
{
    struct identify *i = q->i;

    if (i != NULL)
        i->is_taken = reply->type == REDIS_STR && strcmp(reply->s, q->position) != 0;
    question_free(q);
    if (i != NULL)
        i->done(i, i->arg);
}

static void on_answer(void *arg, const struct redis_reply *reply, int error)
{
    struct question *q = arg;
    struct journal_redis *j = q->j;

    j->identities.n_asked--;
    if (error == 0 && is_answer(reply)) {
        loop_wake(j->loop, &j->pump);
        answer(q, reply);
        return;
    }
    list_del(&q->link); /* fails closed, as a claim does */
    list_add_tail(&j->identities.again, &q->link);
    if (error == 0)
        session_claim_refused(j, reply->type == REDIS_ERROR ? reply->s : "odd reply");
}

void identities_send(struct journal_redis *j)
{
    struct identities *s = &j->identities;

    while (!list_is_empty(&s->waiting) && s->n_asked < ASKED_MAX && !j->base.is_down) {
        struct question *q = LIST_ENTRY(s->waiting.next, struct question, link);
        const char *argv[] = {"SET", q->key, q->position, "NX", "GET", "PX", q->ttl_text};

        if (redis_send(j->redis, 7, argv, NULL, COMMAND_US, on_answer, q) < 0)
            return;
        list_del(&q->link);
        list_add_tail(&s->asked, &q->link);
        s->n_asked++;
    }
}

void identities_retry(struct journal_redis *j)
{
    struct identities *s = &j->identities;

    LIST_EACH_SAFE (it, &s->again) {
        struct question *q = LIST_ENTRY(it, struct question, link);

        if (q->i == NULL)
            question_free(q);
    }
    list_move_all(&s->again, &s->waiting); /* the older ones stay in front: who was first is first */
    list_move_all(&s->waiting, &s->again);
}

/* Of any length of the id, and of nothing that could be read out of Redis. */
static char *key_of(const struct journal_redis *j, const struct identify *i)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX + 1];
    struct buf b;

    buf_init(&b, 0);
    buf_printf(&b, "%lld/%s", (long long)i->run, i->job_id);
    digest_sha256(b.p, b.len, digest);
    digest_hex(digest, sizeof(digest), hex);
    buf_clear(&b);
    buf_printf(&b, "tutti:id:{%s}:%.*s", j->group, ID_HEX, hex);
    return buf_take(&b, NULL);
}

static char *position_of(const struct identify *i)
{
    struct buf b;

    buf_init(&b, 0);
    buf_printf(&b, "%s/%d/%lld", i->pos.topic, i->pos.partition, (long long)i->pos.offset);
    return buf_take(&b, NULL);
}

void identities_add(struct journal_redis *j, struct identify *i)
{
    struct question *q = mem_zero(sizeof(*q));

    i->is_taken = false;
    q->j = j;
    q->i = i;
    q->key = key_of(j, i);
    q->position = position_of(i);
    (void)snprintf(q->ttl_text, sizeof(q->ttl_text), "%" PRId64, i->ttl_us < 1000 ? 1 : i->ttl_us / 1000);
    list_init(&q->link);
    list_add_tail(&j->identities.waiting, &q->link);
    loop_wake(j->loop, &j->pump);
}

static struct question *find(struct list *l, const struct identify *i)
{
    LIST_EACH (it, l) {
        struct question *q = LIST_ENTRY(it, struct question, link);

        if (q->i == i)
            return q;
    }
    return NULL;
}

void identities_cancel(struct journal_redis *j, struct identify *i)
{
    struct identities *s = &j->identities;
    struct question *q = find(&s->waiting, i);

    if (q != NULL) {
        question_free(q);
        return;
    }
    q = find(&s->asked, i);
    if (q == NULL)
        q = find(&s->again, i);
    if (q != NULL)
        q->i = NULL;
}

void identities_init(struct journal_redis *j)
{
    list_init(&j->identities.waiting);
    list_init(&j->identities.asked);
    list_init(&j->identities.again);
}

static void drop_all(struct list *l)
{
    for (struct list *it = list_take_first(l); it != NULL; it = list_take_first(l))
        question_free(LIST_ENTRY(it, struct question, link));
}

void identities_done(struct journal_redis *j)
{
    drop_all(&j->identities.waiting);
    drop_all(&j->identities.asked);
    drop_all(&j->identities.again);
}
