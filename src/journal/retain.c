/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of unacknowledged writes and their packed form. Decoding distrusts its input: a spool file may be anything.
 * Runs on the owner's loop thread. */
#include "retain.h"

#include <stdint.h>

#include "base/check.h"
#include "base/mem.h"
#include "journal/le32.h"

enum { OVERHEAD_BYTES = sizeof(struct write) + 64 };

void retain_init(struct retain *q)
{
    *q = (struct retain){.bytes = 0};
    list_init(&q->unsent);
    list_init(&q->sent);
    list_init(&q->again);
}

static void drop_all(struct list *l)
{
    for (struct list *it = list_take_first(l); it != NULL; it = list_take_first(l))
        write_free(LIST_ENTRY(it, struct write, link));
}

void retain_done(struct retain *q)
{
    drop_all(&q->unsent);
    drop_all(&q->sent);
    drop_all(&q->again);
}

bool retain_is_empty(const struct retain *q)
{
    return list_is_empty(&q->unsent) && list_is_empty(&q->sent) && list_is_empty(&q->again);
}

struct write *write_new(enum write_kind kind)
{
    struct write *w = mem_zero(sizeof(*w));

    list_init(&w->link);
    w->kind = kind;
    buf_init(&w->args, 0);
    return w;
}

void write_free(struct write *w)
{
    if (w == NULL)
        return;
    buf_done(&w->args);
    mem_free(w);
}

void write_add(struct write *w, const char *bytes, size_t len)
{
    char head[4];

    CHECK(w->n_args < WRITE_ARGS_MAX && len <= UINT32_MAX);
    le32_put(head, (uint32_t)len);
    buf_add(&w->args, head, sizeof(head));
    buf_add(&w->args, bytes, len);
    w->n_args++;
}

size_t write_open(struct write *w)
{
    CHECK(w->n_args < WRITE_ARGS_MAX);
    buf_add(&w->args, "\0\0\0", 4);
    return w->args.len;
}

void write_close(struct write *w, size_t at)
{
    CHECK(at >= 4 && w->args.len >= at && w->args.len - at <= UINT32_MAX);
    le32_put(w->args.p + at - 4, (uint32_t)(w->args.len - at));
    w->n_args++;
}

int write_args(const struct write *w, const char **argv, size_t *len)
{
    const char *p = w->args.p;

    for (int i = 0; i < w->n_args; i++) {
        len[i] = le32_get(p);
        argv[i] = p + 4;
        p += 4 + len[i];
    }
    return w->n_args;
}

void write_encode(const struct write *w, struct buf *out)
{
    buf_add_char(out, (char)('0' + (int)w->kind));
    buf_add(out, w->args.p, w->args.len);
}

static bool has_right_args(const struct write *w)
{
    switch (w->kind) {
    case WRITE_RECORD:
    case WRITE_DECIDE:
        return w->n_args == 4;
    case WRITE_FORGET:
        return w->n_args > 0;
    case WRITE_RELEASE:
    case WRITE_KIND_MAX:
        break;
    }
    return false; /* a release concerns its own process only: it is never spooled */
}

struct write *write_decode(const char *bytes, size_t len)
{
    struct write *w;

    if (len == 0 || bytes[0] < '0' || bytes[0] >= '0' + WRITE_KIND_MAX)
        return NULL;
    w = write_new((enum write_kind)(bytes[0] - '0'));
    bytes++;
    len--;
    while (len >= 4 && w->n_args < WRITE_ARGS_MAX) {
        size_t n = le32_get(bytes);

        if (n > len - 4)
            break;
        write_add(w, bytes + 4, n);
        bytes += 4 + n;
        len -= 4 + n;
    }
    if (len == 0 && has_right_args(w))
        return w;
    write_free(w);
    return NULL;
}

static size_t size_of(const struct write *w)
{
    return w->args.len + OVERHEAD_BYTES;
}

void retain_add(struct retain *q, struct write *w)
{
    list_add_tail(&q->unsent, &w->link);
    q->bytes += size_of(w);
}

void retain_grew(struct retain *q, size_t bytes)
{
    q->bytes += bytes;
}

void retain_sent(struct retain *q, struct write *w)
{
    list_del(&w->link);
    list_add_tail(&q->sent, &w->link);
    q->sent_bytes += size_of(w);
}

void retain_failed(struct retain *q, struct write *w)
{
    list_del(&w->link);
    list_add_tail(&q->again, &w->link);
    q->sent_bytes -= size_of(w);
}

void retain_over(struct retain *q, struct write *w)
{
    list_del(&w->link);
    q->bytes -= size_of(w);
    q->sent_bytes -= size_of(w);
    write_free(w);
}

void retain_retry(struct retain *q)
{
    list_move_all(&q->again, &q->unsent);
    list_move_all(&q->unsent, &q->again);
}
