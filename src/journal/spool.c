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
#include "base/metrics.h"
#include "journal/le32.h"
#include "loop.h"

enum {
    HEAD_BYTES = 8,
    RECORD_MAX = 512 * 1024 * 1024,
    FILE_MAX = 1024 * 1024 * 1024,
    OPEN_TRIES = 5,
    RETRY_US = 1000 * 1000,
    HELD_RETRY_US = 100 * 1000, /* while loaded() waits for another to let go of the file: */
    HELD_TRIES = 30,
    LOG_PERIOD_US = 60 * 1000 * 1000,
};

enum job { JOB_NONE, JOB_LOAD, JOB_WRITE, JOB_CLEAR };

struct spool {
    struct work work;
    struct loop *loop;
    enum spool_kind kind;
    const struct spool_events *ev;
    void *arg;
    char *path;
    size_t n_records; /* not settled */
    struct buf next;  /* records to be written behind `current` */
    bool wants_clear; /* empty the file before `next` is written; then `current` is of no use either */
    bool is_loaded;   /* loaded() was called */
    bool is_freed;
    int n_held;
    struct timer retry;
    int64_t logged_us;
    /* the work's own while `job` is not JOB_NONE */
    enum job job;
    int fd;             /* -1: no file */
    struct buf current; /* to write (kept when that failed), or the whole records that were read */
    size_t size;        /* of what is synced */
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

/* A file that its finder removed after we had opened it is not the one of that name any more. */
static bool is_in_place(const struct spool *s, int fd)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && stat(s->path, &there) == 0 && ours.st_ino == there.st_ino &&
           ours.st_dev == there.st_dev;
}

/* The lock is the open file's, not the process's: two workers of one process keep each other out as well. */
static int open_locked(struct spool *s)
{
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (s->kind == SPOOL_OWN ? O_CREAT : 0);

    for (int i = 0; i < OPEN_TRIES; i++) {
        int fd = open(s->path, flags, 0600);

        if (fd < 0) {
            fail(s, "open", errno);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            fail(s, "lock", errno);
            (void)close(fd);
            return -1;
        }
        if (is_in_place(s, fd))
            return fd;
        (void)close(fd);
    }
    fail(s, "lock", EWOULDBLOCK);
    return -1;
}

static void load(struct spool *s)
{
    s->fd = open_locked(s);
    if (s->fd < 0)
        return;
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

/* Written again from the same place after a failure: what is there then are the same bytes, as far as they came. */
static void write_all(struct spool *s)
{
    size_t done = 0;

    while (done < s->current.len) {
        ssize_t n = pwrite(s->fd, s->current.p + done, s->current.len - done, (off_t)(s->size + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            fail(s, "write", errno);
            return;
        }
        done += (size_t)n;
    }
    if (fdatasync(s->fd) < 0)
        fail(s, "sync", errno);
    else
        s->size += done;
}

static void clear(struct spool *s)
{
    if (s->kind == SPOOL_FOUND && unlink(s->path) < 0 && errno != ENOENT) {
        fail(s, "unlink", errno);
    } else if (s->kind == SPOOL_FOUND) {
        (void)close(s->fd); /* only now may another make a file of that name and lock it */
        s->fd = -1;
    } else if (ftruncate(s->fd, 0) < 0) {
        fail(s, "truncate", errno);
    } else {
        s->size = 0;
    }
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
        clear(s);
        break;
    case JOB_NONE:
        break;
    }
}

/* ---- loop's thread ---- */

static void free_now(struct spool *s)
{
    timer_stop(s->loop, &s->retry);
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

/* Begins what is to be done next, or leaves it to the timer. */
static void start_next(struct spool *s)
{
    if (s->job != JOB_NONE || s->fd < 0 || timer_is_running(&s->retry))
        return;
    if (s->wants_clear) {
        s->wants_clear = false;
        buf_done(&s->current);
        start_job(s, JOB_CLEAR);
        return;
    }
    if (s->current.len == 0) {
        buf_done(&s->current);
        s->current = s->next;
        buf_init(&s->next, 0);
    }
    if (s->current.len > 0)
        start_job(s, JOB_WRITE);
}

static void on_retry(void *arg)
{
    struct spool *s = arg;

    if (s->fd < 0)
        start_job(s, JOB_LOAD);
    else
        start_next(s);
}

static void give_records(struct spool *s)
{
    size_t at = 0;
    int n = 0;

    for (; at < s->current.len && !s->is_freed; n++) {
        size_t len = le32_get(s->current.p + at);

        s->n_records++;
        s->ev->record(s->arg, s, s->current.p + at + HEAD_BYTES, len);
        at += HEAD_BYTES + len;
    }
    if (n > 0 || s->n_torn > 0)
        log_event(s->n_torn > 0 ? LOG_WARN : LOG_INFO, "spool_read", "path=\"%s\" records=%d torn_bytes=%zu", s->path,
                  n, s->n_torn);
}

static bool is_held(const struct spool *s)
{
    return s->error == EWOULDBLOCK;
}

/* False: loaded() waits, since what another replays from our file must arrive before we claim anything. */
static bool end_load(struct spool *s)
{
    give_records(s);
    if (s->fd >= 0) {
        s->wants_clear = s->n_records == 0 && (s->kind == SPOOL_FOUND || s->size > 0);
    } else if (s->kind == SPOOL_FOUND && (is_held(s) || s->error == ENOENT)) {
        s->error = 0; /* it has its owner, or has found another finder */
    } else if (is_held(s) && !s->is_loaded && ++s->n_held < HELD_TRIES) {
        s->error = 0;
        timer_start(s->loop, &s->retry, loop_now_us(s->loop) + HELD_RETRY_US);
        return false;
    }
    return true;
}

static void report(struct spool *s)
{
    metric_add(METRIC_SPOOL_FAILURES, 1);
    if (log_is_due(&s->logged_us, loop_now_us(s->loop), LOG_PERIOD_US))
        log_event(LOG_ERROR, "spool_failed", "path=\"%s\" step=%s waiting=%zu why=\"%s\"", s->path, s->step,
                  s->current.len + s->next.len, strerror(s->error));
}

static void end_job(struct spool *s)
{
    bool is_over = s->job != JOB_LOAD || end_load(s);

    if (s->job == JOB_LOAD || s->error == 0)
        buf_done(&s->current);
    if (s->error != 0) {
        report(s);
        s->wants_clear |= s->job == JOB_CLEAR;
        if (s->fd >= 0 || s->kind == SPOOL_OWN)
            timer_start(s->loop, &s->retry, loop_now_us(s->loop) + RETRY_US);
    }
    if (s->error != 0 && s->n_records > 0 && !s->is_freed)
        s->ev->failed(s->arg);
    if (is_over && !s->is_loaded && !s->is_freed) {
        s->is_loaded = true;
        s->ev->loaded(s->arg);
    }
}

/* What was appended before spool_free() is still written, but only tried once. */
static void end_last_job(struct spool *s)
{
    timer_stop(s->loop, &s->retry);
    buf_done(&s->current);
    if (s->error == 0)
        return;
    buf_done(&s->next);
    s->wants_clear = false;
}

static void done(struct work *w)
{
    struct spool *s = CONTAINER_OF(w, struct spool, work);

    if (!s->is_freed)
        end_job(s);
    if (s->is_freed)
        end_last_job(s);
    s->job = JOB_NONE; /* only now: the owner may have appended, settled or freed us, inside */
    start_next(s);
    if (s->job != JOB_NONE)
        return;
    if (s->is_freed)
        free_now(s);
    else
        s->ev->idle(s->arg);
}

struct spool *spool_new(struct loop *l, const char *path, enum spool_kind kind, const struct spool_events *ev,
                        void *arg)
{
    struct spool *s = mem_zero(sizeof(*s));

    s->loop = l;
    s->kind = kind;
    s->ev = ev;
    s->arg = arg;
    s->path = mem_strdup(path);
    s->fd = -1;
    s->work.fn = run;
    s->work.done = done;
    timer_init(&s->retry, on_retry, s);
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
    timer_stop(s->loop, &s->retry);
    if (s->job == JOB_NONE)
        free_now(s);
}

void spool_append(struct spool *s, const char *bytes, size_t len)
{
    char head[HEAD_BYTES];

    CHECK(!s->is_freed && s->kind == SPOOL_OWN && len <= RECORD_MAX);
    le32_put(head, (uint32_t)len);
    le32_put(head + 4, digest_crc32c(bytes, len));
    buf_add(&s->next, head, sizeof(head));
    buf_add(&s->next, bytes, len);
    s->n_records++;
    start_next(s);
}

void spool_settle(struct spool *s)
{
    CHECK(s->n_records > 0);
    if (--s->n_records > 0)
        return;
    buf_done(&s->next); /* not even begun */
    s->wants_clear = s->job != JOB_LOAD && s->fd >= 0;
    start_next(s);
}

bool spool_is_idle(const struct spool *s)
{
    return s->job == JOB_NONE;
}

bool spool_has_records(const struct spool *s)
{
    return s->n_records > 0;
}
