/* SPDX-License-Identifier: Apache-2.0 */
/* The spool file: records of a 32-bit length, a CRC-32C and the bytes, both numbers little-endian. Reading stops at the
 * first record that is not whole, which is where a crash stopped writing. One work at a time; the loop's thread never
 * touches the file. */
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "journal/le32.h"
#include "loop.h"

enum {
    HEAD_BYTES = 8,
    RECORD_MAX = 512 * 1024 * 1024,
    FILE_MAX = 1024 * 1024 * 1024,
    LOG_PERIOD_US = 60 * 1000 * 1000,
};

enum job { JOB_NONE, JOB_LOAD, JOB_WRITE, JOB_CLEAR };

struct spool {
    struct work work;
    struct loop *loop;
    const struct spool_events *ev;
    void *arg;
    char *path;
    struct buf next;  /* records to be written */
    bool wants_clear; /* empty the file before `next` is written */
    bool has_records;
    bool is_freed;
    int64_t logged_us;
    /* the work's own while `job` is not JOB_NONE */
    enum job job;
    int fd;             /* -1: no file */
    struct buf current; /* to write, or the whole records that were read */
    size_t size;        /* of the file */
    size_t n_torn;      /* bytes behind the last whole record, cut off */
    const char *step;   /* that failed */
    int error;          /* errno of it, 0: none */
};

/* ---- work thread ---- */

static void fail(struct spool *s, const char *step, int error)
{
    s->step = step;
    s->error = error;
}

static void read_all(struct spool *s)
{
    struct stat st;

    if (fstat(s->fd, &st) < 0 || st.st_size > FILE_MAX) {
        fail(s, "size", st.st_size > FILE_MAX ? EFBIG : errno);
        return;
    }
    (void)buf_reserve(&s->current, (size_t)st.st_size);
    while (s->current.len < (size_t)st.st_size) {
        ssize_t n =
            pread(s->fd, s->current.p + s->current.len, (size_t)st.st_size - s->current.len, (off_t)s->current.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            fail(s, "read", errno);
        if (n <= 0)
            return;
        s->current.len += (size_t)n;
    }
}

/* Cuts off what is not whole: records appended behind it would never be read. */
static void cut_torn_end(struct spool *s)
{
    size_t good = 0;

    while (s->current.len - good >= HEAD_BYTES) {
        const char *p = s->current.p + good;
        size_t len = le32_get(p);

        if (len > RECORD_MAX || len > s->current.len - good - HEAD_BYTES ||
            digest_crc32c(p + HEAD_BYTES, len) != le32_get(p + 4))
            break;
        good += HEAD_BYTES + len;
    }
    s->n_torn = s->current.len - good;
    s->current.len = good;
    s->size = good;
    if (s->n_torn > 0 && ftruncate(s->fd, (off_t)good) < 0)
        fail(s, "truncate", errno);
}

/* A new file's name must survive a crash of the machine as well. */
static void sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    AUTO_FREE char *dir = slash != NULL && slash > path ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return;
    (void)fsync(fd); /* the file itself works without */
    (void)close(fd);
}

static void load(struct spool *s)
{
    s->fd = open(s->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (s->fd < 0) {
        fail(s, "open", errno);
        return;
    }
    if (flock(s->fd, LOCK_EX | LOCK_NB) < 0) {
        fail(s, "lock", errno);
        (void)close(s->fd);
        s->fd = -1;
        return;
    }
    read_all(s);
    if (s->error != 0) { /* it may hold answers: left alone for people to look at */
        (void)close(s->fd);
        s->fd = -1;
        buf_clear(&s->current);
        return;
    }
    cut_torn_end(s);
    sync_directory(s->path);
}

static void write_all(struct spool *s)
{
    size_t done = 0;

    while (done < s->current.len) {
        ssize_t n = write(s->fd, s->current.p + done, s->current.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fail(s, "write", errno);
            (void)!ftruncate(s->fd, (off_t)s->size); /* no half record before the next */
            return;
        }
        done += (size_t)n;
    }
    s->size += done;
    if (fdatasync(s->fd) < 0)
        fail(s, "sync", errno);
}

static void run(struct work *w)
{
    struct spool *s = CONTAINER_OF(w, struct spool, work);

    switch (s->job) {
    case JOB_LOAD:
        load(s);
        break;
    case JOB_WRITE:
        write_all(s);
        break;
    case JOB_CLEAR:
        if (ftruncate(s->fd, 0) < 0)
            fail(s, "truncate", errno);
        else
            s->size = 0;
        break;
    case JOB_NONE:
        break;
    }
}

/* ---- loop's thread ---- */

static void free_now(struct spool *s)
{
    if (s->fd >= 0)
        (void)close(s->fd);
    buf_done(&s->next);
    buf_done(&s->current);
    mem_free(s->path);
    mem_free(s);
}

static void start_job(struct spool *s, enum job job)
{
    s->job = job;
    s->error = 0;
    loop_work(s->loop, &s->work);
}

/* Begins what is to be done next; true when something is. */
static bool start_next(struct spool *s)
{
    if (s->job != JOB_NONE)
        return true;
    if (s->wants_clear) {
        s->wants_clear = false;
        start_job(s, JOB_CLEAR);
        return true;
    }
    if (s->next.len == 0)
        return false;
    buf_done(&s->current);
    s->current = s->next;
    buf_init(&s->next, 0);
    start_job(s, JOB_WRITE);
    return true;
}

static void give_records(struct spool *s)
{
    size_t at = 0;
    int n = 0;

    s->has_records = s->current.len > 0;
    for (; at < s->current.len && !s->is_freed; n++) {
        size_t len = le32_get(s->current.p + at);

        s->ev->record(s->arg, s->current.p + at + HEAD_BYTES, len);
        at += HEAD_BYTES + len;
    }
    if (n > 0 || s->n_torn > 0)
        log_event(s->n_torn > 0 ? LOG_WARN : LOG_INFO, "spool_read", "path=\"%s\" records=%d torn_bytes=%zu", s->path,
                  n, s->n_torn);
}

static void done(struct work *w)
{
    struct spool *s = CONTAINER_OF(w, struct spool, work);

    if (s->error != 0 && log_is_due(&s->logged_us, loop_now_us(s->loop), LOG_PERIOD_US))
        log_event(LOG_ERROR, "spool_failed", "path=\"%s\" step=%s why=\"%s\"", s->path, s->step, strerror(s->error));
    if (s->job == JOB_LOAD && !s->is_freed)
        give_records(s);
    buf_done(&s->current);
    if (s->job == JOB_LOAD && !s->is_freed)
        s->ev->loaded(s->arg);
    s->job = JOB_NONE; /* only now: the owner may have appended, or freed us, inside */
    if (s->fd < 0) {   /* nothing can be kept */
        buf_done(&s->next);
        s->wants_clear = false;
        s->has_records = false;
    }
    if (start_next(s))
        return;
    if (s->is_freed)
        free_now(s);
    else
        s->ev->idle(s->arg);
}

struct spool *spool_new(struct loop *l, const char *path, const struct spool_events *ev, void *arg)
{
    struct spool *s = mem_zero(sizeof(*s));

    s->loop = l;
    s->ev = ev;
    s->arg = arg;
    s->path = mem_strdup(path);
    s->fd = -1;
    s->work.fn = run;
    s->work.done = done;
    buf_init(&s->next, 0);
    buf_init(&s->current, 0);
    start_job(s, JOB_LOAD);
    return s;
}

void spool_free(struct spool *s)
{
    if (s == NULL)
        return;
    s->is_freed = true;
    if (s->job == JOB_NONE)
        free_now(s);
}

void spool_append(struct spool *s, const char *bytes, size_t len)
{
    char head[HEAD_BYTES];

    CHECK(!s->is_freed && len <= RECORD_MAX);
    if (s->job != JOB_LOAD && s->fd < 0)
        return;
    le32_put(head, (uint32_t)len);
    le32_put(head + 4, digest_crc32c(bytes, len));
    buf_add(&s->next, head, sizeof(head));
    buf_add(&s->next, bytes, len);
    s->has_records = true;
    (void)start_next(s);
}

void spool_clear(struct spool *s)
{
    buf_done(&s->next); /* not even begun */
    if (!s->has_records || s->job == JOB_LOAD)
        return;
    s->has_records = false;
    s->wants_clear = s->fd >= 0;
    (void)start_next(s);
}

bool spool_is_idle(const struct spool *s)
{
    return s->job == JOB_NONE;
}

bool spool_has_records(const struct spool *s)
{
    return s->has_records;
}
