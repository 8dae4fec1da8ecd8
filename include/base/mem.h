/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: allocation that aborts instead of failing, and arenas that die with a job. Any thread; an
 * arena belongs to one thread at a time. Only src/base/mem.c may call malloc. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Returns `bytes` of memory (at least 1), uninitialised; aborts when there is none. */
void *mem_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
/* The same, zeroed. */
void *mem_zero(size_t bytes) __attribute__((malloc, returns_nonnull));
/* Resizes `old` (may be NULL). */
void *mem_resize(void *old, size_t bytes) __attribute__((returns_nonnull));
/* Copies a string; NULL stays NULL. */
char *mem_strdup(const char *s);
/* Copies `len` bytes and adds a NUL. */
char *mem_strndup(const char *s, size_t len) __attribute__((returns_nonnull));
/* Frees; NULL is fine. */
void mem_free(void *p);
/* Cleanup helper of AUTO_FREE. */
void mem_auto_free(void *pointer_to_pointer);

#define AUTO_FREE __attribute__((cleanup(mem_auto_free)))
#define TAKE(p) \
    ({ \
        __typeof__(p) taken_ = (p); \
        (p) = NULL; \
        taken_; \
    })

/* An arena: everything in it is freed at once. */
struct arena;

/* Makes an arena whose first block has `first_bytes` (a size class, e.g. 4096). */
struct arena *arena_new(size_t first_bytes);
/* Frees the arena and all that was taken from it; NULL is fine. */
void arena_free(struct arena *a);
/* Takes `bytes`, aligned for any type, uninitialised / zeroed. */
void *arena_alloc(struct arena *a, size_t bytes) __attribute__((returns_nonnull));
void *arena_zero(struct arena *a, size_t bytes) __attribute__((returns_nonnull));
/* Copies `len` bytes into the arena and adds a NUL (not counted). */
char *arena_copy(struct arena *a, const void *bytes, size_t len) __attribute__((returns_nonnull));
/* Copies a string; NULL stays NULL. */
char *arena_strdup(struct arena *a, const char *s);
/* Joins the strings given, the last argument NULL; for where formatting would be felt. */
char *arena_join(struct arena *a, const char *first, ...) __attribute__((sentinel, returns_nonnull));
/* Formats into the arena. */
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3), returns_nonnull));
/* Bytes held by the arena's blocks, for budgets. */
size_t arena_bytes(const struct arena *a);

#endif
