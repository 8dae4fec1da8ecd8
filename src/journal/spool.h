/* SPDX-License-Identifier: Apache-2.0 */
/* A file of records that must survive this process: appended to and synced on a work thread, emptied when all of them
 * have arrived where they belong. One per journal. */
#ifndef SPOOL_H
#define SPOOL_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct spool;

/* Each record of the file as it was found, in order; then loaded(). On the loop's thread, never from inside
 * spool_new(). */
struct spool_events {
    void (*record)(void *arg, const char *bytes, size_t len);
    void (*loaded)(void *arg);
    void (*idle)(void *arg); /* everything appended is synced (or could not be) */
};

/* Opens or makes the file and reads it. A file that cannot be opened, or that another process holds, is logged, and the
 * spool keeps nothing. */
struct spool *spool_new(struct loop *l, const char *path, const struct spool_events *ev, void *arg);
/* No callback comes any more. What is being written is still written when the loop lives on. NULL is fine. */
void spool_free(struct spool *s);
/* Appends a record (copied); synced soon. */
void spool_append(struct spool *s, const char *bytes, size_t len);
/* Empties the file. */
void spool_clear(struct spool *s);
/* True when nothing is waiting to be written or synced. */
bool spool_is_idle(const struct spool *s);
/* True when the file may hold records. */
bool spool_has_records(const struct spool *s);

#endif
