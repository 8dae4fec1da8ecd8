/* SPDX-License-Identifier: Apache-2.0 */
/* hiredis's reader, building struct redis_reply in an arena that dies with the reply. Refuses what no server of ours
 * sends: replies over 256 MiB, arrays of over a million elements, deep nesting (hiredis itself stops at 7), RESP3.
 * Runs on the owner's loop thread. source: reference/rate-limits.md 4.10 */
#include "redis_reader.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum {
    REPLY_BYTES_MAX = 256 * 1024 * 1024,
    ELEMENTS_MAX = 1024 * 1024, /* of all arrays of one reply together: they are allocated before they arrive */
    ARENA_BYTES = 512,
};

struct redis_reader {
    redisReader *hiredis;
    struct redis_reply root;
    struct arena *arena; /* strings and arrays of the reply being read; NULL: it needs none so far */
    size_t n_elements;   /* allocated for it */
    size_t bytes;        /* copied for it */
};

static struct arena *get_arena(struct redis_reader *rd)
{
    if (rd->arena == NULL)
        rd->arena = arena_new(ARENA_BYTES);
    return rd->arena;
}

/* Where the object of this task belongs: in its array, or it is the reply itself. */
static struct redis_reply *place(const redisReadTask *task, enum redis_type type)
{
    struct redis_reader *rd = task->privdata;
    struct redis_reply *parent = task->parent != NULL ? task->parent->obj : NULL;
    struct redis_reply *reply = parent != NULL ? &parent->element[task->idx] : &rd->root;

    *reply = (struct redis_reply){.type = type};
    return reply;
}

static void *create_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct redis_reader *rd = task->privdata;
    enum redis_type type = task->type == REDIS_REPLY_STATUS  ? REDIS_STATUS
                           : task->type == REDIS_REPLY_ERROR ? REDIS_ERROR
                                                             : REDIS_STR;
    struct redis_reply *reply;

    rd->bytes += len;
    if (rd->bytes > REPLY_BYTES_MAX)
        return NULL;
    reply = place(task, type);
    reply->s = arena_copy(get_arena(rd), bytes, len);
    reply->len = len;
    return reply;
}

#if HIREDIS_MAJOR >= 1
typedef size_t element_count;
#else
typedef int element_count;
#endif

/* NULL makes hiredis stop with an error; its own objects would be allocated from the announced size, whatever it is. */
static void *create_array(const redisReadTask *task, element_count n)
{
    struct redis_reader *rd = task->privdata;
    struct redis_reply *reply;

    if (task->type != REDIS_REPLY_ARRAY || (size_t)n > ELEMENTS_MAX - rd->n_elements)
        return NULL;
    rd->n_elements += (size_t)n;
    reply = place(task, REDIS_ARRAY);
    reply->n = (size_t)n;
    if (n > 0)
        reply->element = arena_zero(get_arena(rd), (size_t)n * sizeof(*reply->element));
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = place(task, REDIS_INT);

    reply->i = value;
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    return place(task, REDIS_NIL);
}

static void free_object(void *object)
{
    (void)object; /* the arena has it */
}

#if HIREDIS_MAJOR >= 1
/* RESP3 only, which we never ask for: NULL ends the connection. */
static void *create_double(const redisReadTask *task, double value, char *bytes, size_t len)
{
    (void)task, (void)value, (void)bytes, (void)len;
    return NULL;
}

static void *create_bool(const redisReadTask *task, int value)
{
    (void)task, (void)value;
    return NULL;
}
#endif

static redisReplyObjectFunctions functions = {
    .createString = create_string,
    .createArray = create_array,
    .createInteger = create_integer,
    .createNil = create_nil,
    .freeObject = free_object,
#if HIREDIS_MAJOR >= 1
    .createDouble = create_double,
    .createBool = create_bool,
#endif
};

struct redis_reader *redis_reader_new(void)
{
    struct redis_reader *rd = mem_zero(sizeof(*rd));

    rd->hiredis = redisReaderCreateWithFunctions(&functions);
    CHECK(rd->hiredis != NULL);
    rd->hiredis->privdata = rd;
    return rd;
}

void redis_reader_free(struct redis_reader *rd)
{
    if (rd == NULL)
        return;
    redisReaderFree(rd->hiredis);
    arena_free(rd->arena);
    mem_free(rd);
}

void redis_reader_feed(struct redis_reader *rd, const char *bytes, size_t len)
{
    if (len > 0) /* after an error it feeds nothing, and the next read reports the error again */
        (void)redisReaderFeed(rd->hiredis, bytes, len);
}

int redis_reader_next(struct redis_reader *rd, const struct redis_reply **out, const char **why)
{
    void *object = NULL;

    if (rd->hiredis->reply == NULL) { /* the last reply was handed out whole */
        arena_free(TAKE(rd->arena));
        rd->n_elements = 0;
        rd->bytes = 0;
    }
    if (redisReaderGetReply(rd->hiredis, &object) != REDIS_OK) {
        *why = rd->hiredis->err == REDIS_ERR_OOM ? "reply too big" : rd->hiredis->errstr; /* our own refusals */
        return -EPROTO;
    }
    if (object == NULL) {
        if (rd->hiredis->len - rd->hiredis->pos <= REPLY_BYTES_MAX)
            return 0;
        *why = "reply too big";
        return -EPROTO;
    }
    *out = object;
    return 1;
}
