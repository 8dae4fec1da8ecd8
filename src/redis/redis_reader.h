/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from a server in, struct redis_reply out: hiredis's reader with our own objects and our own limits. */
#ifndef REDIS_READER_H
#define REDIS_READER_H

#include <stddef.h>

#include "redis.h"

struct redis_reader;

struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *rd);
/* Takes over `len` bytes (copied). */
void redis_reader_feed(struct redis_reader *rd, const char *bytes, size_t len);
/* 1 and the next whole reply, borrowed until the next call; 0 when more bytes are needed; -EPROTO with a text in *why
 * (lives as long as the reader) when this is not RESP2 or beyond our limits: the connection is of no use any more. */
int redis_reader_next(struct redis_reader *rd, const struct redis_reply **out, const char **why);

#endif
