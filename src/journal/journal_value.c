/* SPDX-License-Identifier: Apache-2.0 */
/* Fields and values of a job's hash. A value is one tag byte ('p' plain, 'z' zlib), the attempt and the plain length as
 * little-endian 32 bits, the bytes. Reading distrusts everything: Redis is shared. Any thread. */
#include "journal_value.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "journal/le32.h"

enum {
    HEAD_BYTES = 9,
    COMPRESS_ABOVE = 16 * 1024,
    COMPRESS_MAX = 128 * 1024, /* 1.4 to 2.8 ms on the loop's thread; a megabyte took 11 to 24 */
    PLAIN_MAX = 64 * 1024 * 1024,
    RATIO_MAX = 1100, /* deflate cannot do better than 1032:1 */
};

void journal_field_add(struct buf *b, const struct recall *r)
{
    buf_add_char(b, r->is_done ? 'D' : 'F');
    if (!r->is_done) {
        buf_add_i64(b, r->attempt);
        buf_add_char(b, ':');
    }
    buf_add_str(b, r->call_key);
}

/* False when it would not get shorter. */
static bool add_compressed(struct buf *b, struct text bytes)
{
    uLongf len = compressBound((uLong)bytes.len);

    (void)buf_reserve(b, len); /* no cap: cannot fail */
    if (compress2((Bytef *)b->p + b->len, &len, (const Bytef *)bytes.p, (uLong)bytes.len, Z_BEST_SPEED) != Z_OK ||
        len >= bytes.len)
        return false;
    b->len += len;
    b->p[b->len] = '\0';
    return true;
}

void journal_value_add(struct buf *b, int attempt, struct text bytes)
{
    size_t start = b->len;
    char head[HEAD_BYTES];

    CHECK(bytes.len <= PLAIN_MAX);
    head[0] = 'z';
    le32_put(head + 1, (uint32_t)attempt);
    le32_put(head + 5, (uint32_t)bytes.len);
    buf_add(b, head, sizeof(head));
    if (bytes.len > COMPRESS_ABOVE && bytes.len <= COMPRESS_MAX && add_compressed(b, bytes))
        return;
    b->p[start] = 'p';
    buf_add(b, bytes.p, bytes.len);
}

int journal_value_read(struct arena *a, const char *value, size_t value_len, int *out_attempt, struct text *out_bytes)
{
    size_t body_len, len;
    uLongf got;
    char *plain;

    if (value_len < HEAD_BYTES)
        return -EINVAL;
    body_len = value_len - HEAD_BYTES;
    len = le32_get(value + 5);
    if (len > PLAIN_MAX || (value[0] == 'p' && len != body_len) || (value[0] == 'z' && len / RATIO_MAX > body_len))
        return -EINVAL;
    if (value[0] == 'p') {
        plain = arena_copy(a, value + HEAD_BYTES, len);
    } else if (value[0] == 'z') {
        got = (uLongf)len;
        plain = arena_alloc(a, len + 1);
        if (uncompress((Bytef *)plain, &got, (const Bytef *)value + HEAD_BYTES, (uLong)body_len) != Z_OK || got != len)
            return -EINVAL;
        plain[len] = '\0';
    } else {
        return -EINVAL;
    }
    *out_attempt = (int)le32_get(value + 1);
    *out_bytes = text_slice(plain, len);
    return 0;
}

int journal_recall_read(struct arena *a, const char *field, size_t field_len, const char *value, size_t value_len,
                        struct recall *out)
{
    struct recall r = {.is_done = field_len > 0 && field[0] == 'D'};
    const char *key = field + 1;
    const char *colon;

    if (field_len < 2 || (field[0] != 'D' && field[0] != 'F'))
        return -EINVAL;
    if (!r.is_done) {
        colon = memchr(field, ':', field_len);
        if (colon == NULL)
            return -EINVAL;
        key = colon + 1;
    }
    if (journal_value_read(a, value, value_len, &r.attempt, &r.bytes) < 0)
        return -EINVAL;
    r.call_key = arena_copy(a, key, (size_t)(field + field_len - key));
    *out = r;
    return 0;
}
