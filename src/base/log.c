/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines to stderr: formats the key=value pairs into a buffer on the stack, escaping every quoted value on the way,
 * then dresses them as pretty, logfmt or JSON and writes the line with one write(2). Never allocates, never locks,
 * never changes errno. Any thread. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log_pairs.h"
#include "base/scan.h"

enum {
    HEAD_BYTES_MAX = 256,
    LINE_BYTES_MAX = HEAD_BYTES_MAX + 2 * PAIRS_BYTES_MAX
}; /* k=v grows to ,"k":"v" in JSON */

static const char *const level_names[LOG_LEVEL_MAX] = {"debug", "info", "warn", "error"};
static const char *const level_colours[LOG_LEVEL_MAX] = {"\033[2m", "\033[32m", "\033[33m", "\033[31m"};

static _Atomic int level_now = LOG_INFO;
static _Atomic int format_now = LOG_FORMAT_LOGFMT;
static atomic_bool has_colours;

struct line {
    char p[LINE_BYTES_MAX];
    size_t len;
};

void log_configure(enum log_level level, enum log_format format)
{
    bool is_terminal = isatty(STDERR_FILENO) == 1;

    CHECK((unsigned)level < LOG_LEVEL_MAX);
    if (format == LOG_FORMAT_AUTO)
        format = is_terminal ? LOG_FORMAT_PRETTY : LOG_FORMAT_LOGFMT;
    atomic_store(&level_now, level);
    atomic_store(&format_now, format);
    atomic_store(&has_colours, is_terminal && getenv("NO_COLOR") == NULL);
}

bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&level_now, memory_order_relaxed);
}

bool log_is_due(int64_t *state, int64_t now_us, int64_t period_us)
{
    int64_t due_us =
        __atomic_load_n(state, __ATOMIC_RELAXED); /* a plain variable of the caller, shared by all workers */

    if (now_us < due_us)
        return false;
    return __atomic_compare_exchange_n(state, &due_us, now_us + period_us, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void add(struct line *l, const char *bytes, size_t len)
{
    size_t room = sizeof(l->p) - l->len;

    if (len > room)
        len = room; /* only an absurd event name gets here */
    memcpy(l->p + l->len, bytes, len);
    l->len += len;
}

static void add_str(struct line *l, const char *s)
{
    add(l, s, strlen(s));
}

/* The wall clock as 2026-11-22T18:00:00.123Z. */
static void stamp(char *out, size_t size)
{
    struct timespec now;
    struct tm t;

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    (void)gmtime_r(&now.tv_sec, &t);
    (void)snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday,
                   t.tm_hour, t.tm_min, t.tm_sec, now.tv_nsec / 1000000);
}

static void dress_logfmt(struct line *l, enum log_level level, const char *event, const struct pairs *pairs)
{
    char ts[64];

    stamp(ts, sizeof(ts));
    add_str(l, "ts=");
    add_str(l, ts);
    add_str(l, " level=");
    add_str(l, level_names[level]);
    add_str(l, " event=");
    add_str(l, event);
    if (pairs->len > 0)
        add_str(l, " ");
    add(l, pairs->p, pairs->len);
}

static void dress_pretty(struct line *l, enum log_level level, const char *event, const struct pairs *pairs)
{
    bool is_coloured = atomic_load(&has_colours);
    char ts[64];

    stamp(ts, sizeof(ts));
    add(l, ts + 11, 12); /* the time of day with its milliseconds */
    add_str(l, " ");
    add_str(l, is_coloured ? level_colours[level] : "");
    add_str(l, level_names[level]);
    add_str(l, is_coloured ? "\033[0m" : "");
    add_str(l, strlen(level_names[level]) == 4 ? "  " : " "); /* to one width */
    add_str(l, event);
    if (pairs->len > 0)
        add_str(l, "  ");
    add(l, pairs->p, pairs->len);
}

/* A value without quotes: numbers and literals stand as they are, words become strings. */
static void add_json_word(struct line *l, const char *word, size_t len)
{
    struct scan s;
    bool is_word;

    scan_init(&s, word, len);
    is_word = scan_skip(&s, NULL) < 0 || scan_end(&s) < 0;
    if (is_word)
        add_str(l, "\"");
    add(l, word, len);
    if (is_word)
        add_str(l, "\"");
}

static void dress_json(struct line *l, enum log_level level, const char *event, const struct pairs *pairs)
{
    const char *p = pairs->p;
    const char *end = pairs->p + pairs->len;
    char ts[64];

    stamp(ts, sizeof(ts));
    add_str(l, "{\"ts\":\"");
    add_str(l, ts);
    add_str(l, "\",\"level\":\"");
    add_str(l, level_names[level]);
    add_str(l, "\",\"event\":\"");
    add_str(l, event);
    add_str(l, "\"");
    while (p < end) {
        struct pair pair = pairs_next(&p, end);

        add_str(l, ",\"");
        add(l, pair.key, pair.key_len);
        add_str(l, "\":");
        if (pair.value_len > 0 && pair.value[0] == '"')
            add(l, pair.value, pair.value_len); /* was escaped as JSON does */
        else
            add_json_word(l, pair.value, pair.value_len);
    }
    add_str(l, "}");
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    int error = errno;
    struct pairs pairs;
    struct line line;
    va_list args;
    ssize_t n;

    if (!log_is_on(level) || (unsigned)level >= LOG_LEVEL_MAX)
        return;
    va_start(args, fmt);
    pairs_format(&pairs, fmt, args);
    va_end(args);

    line.len = 0;
    switch (atomic_load_explicit(&format_now, memory_order_relaxed)) {
    case LOG_FORMAT_JSON:
        dress_json(&line, level, event, &pairs);
        break;
    case LOG_FORMAT_PRETTY:
        dress_pretty(&line, level, event, &pairs);
        break;
    default:
        dress_logfmt(&line, level, event, &pairs);
    }
    if (line.len == sizeof(line.p))
        line.len--;
    line.p[line.len++] = '\n';
    do
        n = write(STDERR_FILENO, line.p, line.len);
    while (n < 0 && errno == EINTR); /* any other failure: there is no better place to tell */
    errno = error;
}
