/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes with a hard cap; grows by doubling and keeps a NUL behind the contents. Never grows past the cap: what
 * does not fit is refused as a whole and remembered. Not thread safe. */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { FIRST_CAP = 64 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_done(struct buf *b)
{
    mem_free(b->p);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->is_over = false;
    if (b->cap > 0)
        b->p[0] = '\0';
}

int buf_reserve(struct buf *b, size_t more)
{
    size_t limit = b->max > 0 ? b->max : SIZE_MAX / 2;
    size_t need;
    size_t cap;

    if (b->len > limit || more > limit - b->len) {
        CHECK(b->max > 0);
        b->is_over = true;
        return -E2BIG;
    }
    need = b->len + more + 1;
    if (need <= b->cap)
        return 0;
    cap = b->cap > 0 ? b->cap : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    if (b->max > 0 && cap > b->max)
        cap = b->max + 1; /* never more than the cap and its NUL */
    b->p = mem_resize(b->p, cap);
    b->cap = cap;
    b->p[b->len] = '\0';
    return 0;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
    if (len >= b->cap - b->len && buf_reserve(b, len) < 0) /* cap is at most max + 1: what fits is within both */
        return;
    if (len > 0)
        memcpy(b->p + b->len, bytes, len);
    b->len += len;
    b->p[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    if (b->cap - b->len < 2 && buf_reserve(b, 1) < 0)
        return;
    b->p[b->len++] = c;
    b->p[b->len] = '\0';
}

const char *buf_i64(char space[BUF_I64_BYTES], int64_t v)
{
    char *p = space + BUF_I64_BYTES;
    uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v; /* INT64_MIN has no positive twin */

    *--p = '\0';
    do {
        *--p = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (v < 0)
        *--p = '-';
    return p;
}

void buf_add_i64(struct buf *b, int64_t v)
{
    char space[BUF_I64_BYTES];
    const char *digits = buf_i64(space, v);

    buf_add(b, digits, (size_t)(space + BUF_I64_BYTES - 1 - digits));
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    size_t room = b->cap > 0 ? b->cap - b->len : 0;
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(room > 0 ? b->p + b->len : NULL, room, fmt, args);
    va_end(args);
    CHECK(len >= 0);
    if ((size_t)len >= room) { /* cap is at most max + 1: what fits is within the cap */
        if (room > 0)
            b->p[b->len] = '\0'; /* takes back what was cut off */
        if (buf_reserve(b, (size_t)len) < 0)
            return;
        va_start(args, fmt);
        (void)vsnprintf(b->p + b->len, b->cap - b->len, fmt, args);
        va_end(args);
    }
    b->len += (size_t)len;
}

char *buf_take(struct buf *b, size_t *out_len)
{
    char *p = b->p != NULL ? b->p : mem_strndup("", 0);

    if (out_len != NULL)
        *out_len = b->len;
    buf_init(b, b->max);
    return p;
}
