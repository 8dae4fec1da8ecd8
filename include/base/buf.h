/* SPDX-License-Identifier: Apache-2.0 */
/* Growable bytes with a hard cap. Not thread safe. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *p; /* len bytes, always followed by a NUL when cap > 0 */
    size_t len;
    size_t cap;   /* allocated */
    size_t max;   /* most bytes it may hold; 0: no cap */
    bool is_over; /* something was refused because of max; stays set until buf_clear() */
};

/* An empty buffer, cap `max_bytes` (0: none). Storage is the caller's; free with buf_done(). */
void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b);
/* Forgets the contents, keeps the memory. */
void buf_clear(struct buf *b);
/* Makes room for `more` bytes beyond len. -E2BIG over the cap (is_over is set, nothing changes). */
int buf_reserve(struct buf *b, size_t more);
/* Append; over the cap nothing is added and is_over is set (test it once at the end). */
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_add_i64(struct buf *b, int64_t v);
/* The digits of `v`, NUL-terminated, somewhere inside `space`: snprintf() takes ten times as long. */
enum { BUF_I64_BYTES = 24 };
const char *buf_i64(char space[BUF_I64_BYTES], int64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Hands over the bytes (mem_free() them; NUL-terminated) and leaves the buffer empty. */
char *buf_take(struct buf *b, size_t *out_len);

#endif
