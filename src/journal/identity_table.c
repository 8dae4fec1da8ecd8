/* SPDX-License-Identifier: Apache-2.0 */
/* The memory journal's identities: a hash table in the order of first questions. One thread. */
#include "journal/identity_table.h"

#include <string.h>

/* uthash's own choice falls through between cases without saying so, which clang refuses. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

#include "base/buf.h"
#include "base/mem.h"

struct identity {
    char *name;     /* "<run>/<job id>" */
    char *position; /* "<topic>/<partition>/<offset>" */
    int64_t until_us;
    UT_hash_handle hh;
};

static void drop(struct identity_table *t, struct identity *i)
{
    HASH_DEL(t->all, i);
    mem_free(i->name);
    mem_free(i->position);
    mem_free(i);
}

static char *name_of(const struct identify *i)
{
    struct buf b;

    buf_init(&b, 0);
    buf_printf(&b, "%lld/%s", (long long)i->run, i->job_id);
    return buf_take(&b, NULL);
}

static char *position_of(const struct identify *i)
{
    struct buf b;

    buf_init(&b, 0);
    buf_printf(&b, "%s/%d/%lld", i->pos.topic, i->pos.partition, (long long)i->pos.offset);
    return buf_take(&b, NULL);
}

bool identity_table_is_taken(struct identity_table *t, const struct identify *i, int64_t now_us)
{
    AUTO_FREE char *name = name_of(i), *position = position_of(i);
    struct identity *first;

    while (t->all != NULL && t->all->until_us <= now_us) /* nearly all live equally long */
        drop(t, t->all);
    HASH_FIND_STR(t->all, name, first);
    if (first != NULL && first->until_us > now_us)
        return strcmp(first->position, position) != 0;
    if (first != NULL)
        drop(t, first);
    first = mem_zero(sizeof(*first));
    *first = (struct identity){.name = TAKE(name), .position = TAKE(position), .until_us = now_us + i->ttl_us};
    HASH_ADD_KEYPTR(hh, t->all, first->name, strlen(first->name), first);
    return false;
}

void identity_table_done(struct identity_table *t)
{
    struct identity *i, *next;

    HASH_ITER(hh, t->all, i, next)
    drop(t, i);
}
