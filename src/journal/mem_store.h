/* SPDX-License-Identifier: Apache-2.0 */
/* What the memory journal remembers: jobs by position, the incarnations that live, identities. It outlives the journals
 * attached to it. One thread. */
#ifndef JOURNAL_MEM_STORE_H
#define JOURNAL_MEM_STORE_H

#include "impl/journal_mem.h"
#include "journal/identity_table.h"

/* uthash's own choice falls through between cases without saying so, which clang refuses. */
#define HASH_FUNCTION(key, len, value) HASH_OAT(key, len, value)
#include <uthash.h>

/* One answer or failed attempt. */
struct memory {
    char *call_key;
    int attempt;
    bool is_done;
    char *bytes;
    size_t len;
};

/* A job. */
struct entry {
    char key[160];
    uint8_t digest[16];
    bool has_digest;
    char owner[64];
    int deliveries;
    struct memory *memories;
    int n_memories;
    char *decision;
    size_t decision_len;
    UT_hash_handle hh;
};

/* An incarnation that lives. */
struct alive {
    char incarnation[64];
    UT_hash_handle hh;
};

struct journal_store {
    struct entry *entries;
    struct alive *alive;
    struct identity_table identities;
    int lost[JOURNAL_WRITE_MAX];
};

void memory_done(struct memory *m);
/* Forgets all but key and digest. */
void entry_clear(struct entry *e);
void entry_free(struct journal_store *s, struct entry *e);
/* NULL: none. */
struct entry *entry_get(struct journal_store *s, const char *key);
struct entry *entry_make(struct journal_store *s, const char *key);
/* Is there an answer to this call already, or this attempt? */
bool entry_knows(const struct entry *e, const struct memory *new);

#endif
