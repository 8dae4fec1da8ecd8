/* SPDX-License-Identifier: Apache-2.0 */
/* The memory journal's store: hash tables. One thread. */
#include "journal/mem_store.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

struct journal_store *journal_store_new(void)
{
    return mem_zero(sizeof(struct journal_store));
}

void memory_done(struct memory *m)
{
    mem_free(m->call_key);
    mem_free(m->bytes);
}

void entry_clear(struct entry *e)
{
    for (int i = 0; i < e->n_memories; i++)
        memory_done(&e->memories[i]);
    mem_free(e->memories);
    mem_free(e->decision);
    e->memories = NULL;
    e->n_memories = 0;
    e->decision = NULL;
    e->deliveries = 0;
    e->owner[0] = '\0';
}

void entry_free(struct journal_store *s, struct entry *e)
{
    HASH_DEL(s->entries, e);
    entry_clear(e);
    mem_free(e);
}

void journal_store_free(struct journal_store *s)
{
    struct entry *e, *next;
    struct alive *a, *next_alive;

    if (s == NULL)
        return;
    HASH_ITER(hh, s->entries, e, next)
    entry_free(s, e);
    HASH_ITER(hh, s->alive, a, next_alive)
    {
        HASH_DEL(s->alive, a);
        mem_free(a);
    }
    identity_table_done(&s->identities);
    mem_free(s);
}

int journal_store_count(const struct journal_store *s)
{
    return (int)HASH_COUNT(s->entries);
}

int journal_store_lost(const struct journal_store *s, enum journal_write what)
{
    return s->lost[what];
}

void journal_store_kill(struct journal_store *s, const char *incarnation)
{
    struct alive *a;

    HASH_FIND_STR(s->alive, incarnation, a);
    if (a == NULL)
        return;
    HASH_DEL(s->alive, a);
    mem_free(a);
}

struct entry *entry_get(struct journal_store *s, const char *key)
{
    struct entry *e;

    HASH_FIND_STR(s->entries, key, e);
    return e;
}

struct entry *entry_make(struct journal_store *s, const char *key)
{
    struct entry *e = entry_get(s, key);

    if (e != NULL)
        return e;
    e = mem_zero(sizeof(*e));
    snprintf(e->key, sizeof(e->key), "%s", key);
    HASH_ADD_STR(s->entries, key, e);
    return e;
}

bool entry_knows(const struct entry *e, const struct memory *new)
{
    for (int i = 0; i < e->n_memories; i++) {
        const struct memory *old = &e->memories[i];

        if (strcmp(old->call_key, new->call_key) == 0 && old->is_done == new->is_done &&
            (new->is_done || old->attempt == new->attempt))
            return true;
    }
    return false;
}
