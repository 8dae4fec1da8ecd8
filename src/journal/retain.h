/* SPDX-License-Identifier: Apache-2.0 */
/* The writes that the store has not acknowledged, each with its own copy of its bytes, in order. Uses neither Redis
 * nor files; the session sends them and the spool keeps them. */
#ifndef RETAIN_H
#define RETAIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/list.h"

struct spool;

enum write_kind {
    WRITE_RECORD,  /* key, digest, field, value: the first writer wins */
    WRITE_DECIDE,  /* key, digest, field, value: the first writer wins */
    WRITE_FORGET,  /* key... */
    WRITE_RELEASE, /* key, claim number */
    WRITE_KIND_MAX
};

enum { WRITE_ARGS_MAX = 256 };

struct write {
    struct list link;
    void *owner; /* for the reply's callback */
    enum write_kind kind;
    bool is_spooled;     /* or would be, had we a file */
    struct spool *spool; /* whose file has it; NULL: none */
    int n_args;
    struct buf args; /* each: 32-bit length, bytes */
};

/* unsent: in order. sent: on the wire, in order. again: sent in vain, in order, all before unsent. */
struct retain {
    struct list unsent, sent, again;
    size_t bytes;      /* held by all of them */
    size_t sent_bytes; /* of those in `sent` */
};

void retain_init(struct retain *q);
void retain_done(struct retain *q);
bool retain_is_empty(const struct retain *q);

struct write *write_new(enum write_kind kind);
void write_free(struct write *w);
void write_add(struct write *w, const char *bytes, size_t len);
/* An argument that is appended to w->args in place: open, append, close with what open returned. */
size_t write_open(struct write *w);
void write_close(struct write *w, size_t at);
/* argv[w->n_args] and their lengths, borrowed; returns n_args. */
int write_args(const struct write *w, const char **argv, size_t *len);
/* Appends its form in a spool. */
void write_encode(const struct write *w, struct buf *out);
/* Reads that, or NULL when it is not such a form. */
struct write *write_decode(const char *bytes, size_t len);

/* Takes the write as the last one. */
void retain_add(struct retain *q, struct write *w);
/* The bytes of an unsent write grew after retain_add(). */
void retain_grew(struct retain *q, size_t bytes);
/* unsent -> sent */
void retain_sent(struct retain *q, struct write *w);
/* sent -> again */
void retain_failed(struct retain *q, struct write *w);
/* Acknowledged (or given up): frees it. */
void retain_over(struct retain *q, struct write *w);
/* again -> the head of unsent */
void retain_retry(struct retain *q);

#endif
