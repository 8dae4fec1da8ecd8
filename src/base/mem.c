/* SPDX-License-Identifier: Apache-2.0 */
/* Allocation that aborts instead of failing, and arenas: chains of blocks that are filled front to back and freed at
 * once. The only file that calls malloc. Heap functions: any thread; an arena: one thread at a time. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    ALIGNMENT = _Alignof(max_align_t),
    FIRST_BYTES_MIN = 256,
    BLOCK_BYTES_MAX = 64 * 1024, /* later blocks double up to this */
};

struct block {
    struct block *next;
    size_t size; /* of `bytes` */
    size_t used;
    _Alignas(max_align_t) char bytes[];
};

/* Lives at the start of its own first block, so that a small arena is one allocation. */
struct arena {
    struct block *current;   /* the block being filled; `next` leads to the older and the big ones */
    size_t next_block_bytes; /* size of the next ordinary block */
    size_t held_bytes;       /* all blocks with their headers */
};

void *mem_alloc(size_t bytes)
{
    void *p = malloc(bytes > 0 ? bytes : 1);

    CHECK(p != NULL);
    return p;
}

void *mem_zero(size_t bytes)
{
    void *p = calloc(1, bytes > 0 ? bytes : 1);

    CHECK(p != NULL);
    return p;
}

void *mem_resize(void *old, size_t bytes)
{
    void *p = realloc(old, bytes > 0 ? bytes : 1);

    CHECK(p != NULL);
    return p;
}

char *mem_strdup(const char *s)
{
    return s == NULL ? NULL : mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t len)
{
    char *copy;

    CHECK(len < SIZE_MAX);
    copy = mem_alloc(len + 1);
    if (len > 0)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

void mem_free(void *p)
{
    free(p);
}

void mem_auto_free(void *pointer_to_pointer)
{
    void *p;

    memcpy(&p, pointer_to_pointer, sizeof(p)); /* a char ** is not a void **: no aliasing */
    free(p);
}

static size_t round_up(size_t bytes)
{
    CHECK(bytes <= SIZE_MAX - sizeof(struct block) - ALIGNMENT);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct block *block_new(size_t bytes)
{
    struct block *b = mem_alloc(sizeof(*b) + bytes);

    b->next = NULL;
    b->size = bytes;
    b->used = 0;
    return b;
}

struct arena *arena_new(size_t first_bytes)
{
    size_t wanted = round_up(first_bytes > FIRST_BYTES_MIN ? first_bytes : FIRST_BYTES_MIN);
    size_t bytes = wanted - round_up(sizeof(struct block)); /* the header counts: stays inside malloc's size class */
    struct block *b = block_new(bytes);
    struct arena *a = (struct arena *)b->bytes;

    b->used = round_up(sizeof(*a));
    a->current = b;
    a->next_block_bytes = bytes;
    a->held_bytes = sizeof(*b) + b->size;
    return a;
}

void arena_free(struct arena *a)
{
    struct block *b = a == NULL ? NULL : a->current;

    while (b != NULL) {
        struct block *next = b->next; /* `a` itself dies with one of them */

        mem_free(b);
        b = next;
    }
}

/* A new block with room for `bytes`: an ordinary one that becomes current, or for a big request one of exactly its
 * size behind the current, which then goes on being filled. */
static struct block *arena_grow(struct arena *a, size_t bytes)
{
    bool is_big = bytes > a->next_block_bytes / 4;
    struct block *b = block_new(is_big ? bytes : a->next_block_bytes);

    a->held_bytes += sizeof(*b) + b->size;
    if (is_big) {
        b->next = a->current->next;
        a->current->next = b;
        return b;
    }
    b->next = a->current;
    a->current = b;
    if (a->next_block_bytes < BLOCK_BYTES_MAX)
        a->next_block_bytes *= 2;
    return b;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    size_t rounded = round_up(bytes > 0 ? bytes : 1);
    struct block *b = a->current;
    void *p;

    if (rounded > b->size - b->used)
        b = arena_grow(a, rounded);
    p = b->bytes + b->used;
    b->used += rounded;
    return p;
}

void *arena_zero(struct arena *a, size_t bytes)
{
    return memset(arena_alloc(a, bytes), 0, bytes);
}

char *arena_copy(struct arena *a, const void *bytes, size_t len)
{
    char *copy;

    CHECK(len < SIZE_MAX);
    copy = arena_alloc(a, len + 1);
    if (len > 0)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s == NULL ? NULL : arena_copy(a, s, strlen(s));
}

char *arena_join(struct arena *a, const char *first, ...)
{
    size_t len = 0;
    va_list args;
    char *text, *p;

    va_start(args, first);
    for (const char *s = first; s != NULL; s = va_arg(args, const char *))
        len += strlen(s);
    va_end(args);
    p = text = arena_alloc(a, len + 1);
    va_start(args, first);
    for (const char *s = first; s != NULL; s = va_arg(args, const char *)) {
        size_t n = strlen(s);

        memcpy(p, s, n);
        p += n;
    }
    va_end(args);
    *p = '\0';
    return text;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    char *text;
    int len;

    va_start(args, fmt);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    CHECK(len >= 0);
    text = arena_alloc(a, (size_t)len + 1);
    va_start(args, fmt);
    (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}

size_t arena_bytes(const struct arena *a)
{
    return a->held_bytes;
}
