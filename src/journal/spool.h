/* SPDX-License-Identifier: Apache-2.0 */
/* A file of records that must survive this process: appended to and synced on a work thread, emptied when all of them
 * have arrived where they belong. What could not be written is tried again each second. The loop's thread only. */
#ifndef SPOOL_H
#define SPOOL_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct spool;

enum spool_kind {
    SPOOL_OWN,   /* made when it is not there, and emptied; may be appended to */
    SPOOL_FOUND, /* of a process that has died: read when nobody holds it, and removed */
};

/* On the loop's thread, never from inside spool_new(). */
struct spool_events {
    /* One record of the file as it was found, in order. */
    void (*record)(void *arg, struct spool *from, const char *bytes, size_t len);
    /* Once: all that could be read has been. An own file that another process holds for seconds, or that cannot be
     * opened, is still tried again: its records come later. */
    void (*loaded)(void *arg);
    void (*idle)(void *arg);   /* everything appended is synced, or could not be */
    void (*failed)(void *arg); /* what was appended is not on the disk, and will be tried again */
};

/* Opens and reads the file, which is locked as long as we have it (flock). */
struct spool *spool_new(struct loop *l, const char *path, enum spool_kind kind, const struct spool_events *ev,
                        void *arg);
/* No callback comes any more. What is being written is still written when the loop lives on. NULL is fine. */
void spool_free(struct spool *s);
/* Appends a record (copied) to an own file; synced soon. */
void spool_append(struct spool *s, const char *bytes, size_t len);
/* One record, read or appended, has arrived where it belongs: with the last of them the file is emptied or removed. */
void spool_settle(struct spool *s);
/* True when nothing is being read, written or synced; what failed waits for its next try. */
bool spool_is_idle(const struct spool *s);
/* True when the file has, or should have, records that are not settled. */
bool spool_has_records(const struct spool *s);

#endif
