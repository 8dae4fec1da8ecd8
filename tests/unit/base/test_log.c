/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as they leave file descriptor 2: formats, escaping, cutting, levels, rarity. */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/scan.h"

static int stderr_saved;
static int captured;
static char text[16384];

static void capture_start(void)
{
    (void)fflush(stderr);
    stderr_saved = dup(STDERR_FILENO);
    captured = memfd_create("stderr", MFD_CLOEXEC);
    (void)dup2(captured, STDERR_FILENO);
}

/* What was written to stderr since. */
static const char *capture_end(void)
{
    ssize_t n = pread(captured, text, sizeof(text) - 1, 0);

    (void)dup2(stderr_saved, STDERR_FILENO);
    (void)close(stderr_saved);
    (void)close(captured);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* One line of this format without its time stamp. */
#define LINE(format, ...) (log_configure(LOG_INFO, (format)), capture_start(), log_event(__VA_ARGS__), capture_end())

/* True when `line` is ts=... with a stamp of the right shape, then `rest`. */
static void assert_logfmt(const char *line, const char *rest)
{
    static const char shape[] = "ts=0000-00-00T00:00:00.000Z ";

    for (size_t i = 0; i < sizeof(shape) - 1; i++)
        if (shape[i] == '0')
            assert_true(line[i] >= '0' && line[i] <= '9');
        else
            assert_int_equal(line[i], shape[i]);
    assert_string_equal(line + sizeof(shape) - 1, rest);
}

static void test_logfmt(void **state)
{
    int error;

    (void)state;
    assert_logfmt(LINE(LOG_FORMAT_LOGFMT, LOG_INFO, "job_done", "job=\"%s\" part=%d off=%lld", "a b", 3, 42LL),
                  "level=info event=job_done job=\"a b\" part=3 off=42\n");
    assert_logfmt(LINE(LOG_FORMAT_LOGFMT, LOG_ERROR, "bare", NULL), "level=error event=bare\n");
    assert_logfmt(LINE(LOG_FORMAT_AUTO, LOG_WARN, "e", "a=%zu b=%u c=%5.2f d=%c e=%x f=%-4d g=%*d h=%lu i=%hhd j=%jd",
                       (size_t)7, 8u, 1.5, 'x', 255, 1, 3, 5, 9UL, (signed char)-1, (intmax_t)-5),
                  "level=warn event=e a=7 b=8 c=_1.50 d=x e=ff f=1___ g=__5 h=9 i=-1 j=-5\n");
    assert_logfmt(LINE(LOG_FORMAT_LOGFMT, LOG_INFO, "e", "part=\"%.*s\" pct=%d%% end=\"%.2s\"", 3, "abcdef", 5, "xyz"),
                  "level=info event=e part=\"abc\" pct=5% end=\"xy\"\n");
    capture_start();
    errno = ENOENT;
    log_event(LOG_INFO, "e", "why=\"%m\" null=%s", (char *)NULL);
    error = errno;
    assert_logfmt(capture_end(), "level=info event=e why=\"No such file or directory\" null=(null)\n");
    assert_int_equal(error, ENOENT);
}

static void test_values_stay_in_their_field(void **state)
{
    static const struct {
        const char *value;
        const char *quoted;
    } rows[] = {
        {"x\" level=error a=\"", "x\\\" level=error a=\\\""},
        {"line\nbreak\r\t\x1b[31m\x7f", "line\\nbreak\\r\\t\\u001b[31m\\u007f"},
        {"back\\slash\\", "back\\\\slash\\\\"},
        {"\\", "\\\\"},
        {"caf\xc3\xa9 \xff", "caf\xc3\xa9 \\ufffd"},
        {"", ""},
    };
    char expected[200];
    char quoted[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)snprintf(expected, sizeof(expected), "level=info event=e v=\"%s\" n=1\n", rows[i].quoted);
        assert_logfmt(LINE(LOG_FORMAT_LOGFMT, LOG_INFO, "e", "v=\"%s\" n=%d", rows[i].value, 1), expected);
        /* the same when the caller escaped it before */
        assert_string_equal(log_quote(quoted, sizeof(quoted), rows[i].value), rows[i].quoted);
        assert_logfmt(LINE(LOG_FORMAT_LOGFMT, LOG_INFO, "e", "v=\"%s\" n=%d", quoted, 1), expected);
    }
    assert_logfmt(LINE(LOG_FORMAT_LOGFMT, LOG_INFO, "e", "v=%s n=1", "a b=c\"d\ne"),
                  "level=info event=e v=a_b_c_d_e n=1\n");
    assert_string_equal(log_quote(quoted, 6, "abc\nxyz"), "abc\\n");
    assert_string_equal(log_quote(quoted, 5, "abc\nxyz"), "abc");
    assert_string_equal(log_quote(quoted, sizeof(quoted), NULL), "");
}

static void test_json(void **state)
{
    const char *line = LINE(LOG_FORMAT_JSON, LOG_INFO, "e", "s=\"%s\" n=%d f=%.1f word=%s b=%s empty=%s q=\"%s\"",
                            "a\"b\n =", -3, 0.5, "kafka:9092", "true", "", "");
    struct text key;
    struct scan s;

    (void)state;
    assert_non_null(strstr(line, "Z\",\"level\":\"info\",\"event\":\"e\",\"s\":\"a\\\"b\\n =\",\"n\":-3,\"f\":0.5,"
                                 "\"word\":\"kafka:9092\",\"b\":true,\"empty\":\"\",\"q\":\"\"}\n"));
    line = LINE(LOG_FORMAT_JSON, LOG_INFO, "e", "s=\"%s\" x=%s y=%s", "\xff\x01\\u12\\", "01", "\xfe\\");
    scan_init(&s, line, strlen(line));
    assert_int_equal(scan_enter_object(&s), 0);
    while (scan_next_key(&s, &key))
        scan_skip(&s, NULL);
    assert_int_equal(scan_end(&s), 0);
    assert_non_null(strstr(line, "\"x\":\"01\"")); /* no JSON number */
}

static void test_pretty(void **state)
{
    const char *line = LINE(LOG_FORMAT_PRETTY, LOG_WARN, "call_failed", "job=\"%s\"", "x");

    (void)state;
    assert_string_equal(line + 12, " warn  call_failed  job=\"x\"\n"); /* no colours: not a terminal */
    line = LINE(LOG_FORMAT_PRETTY, LOG_ERROR, "e", NULL);
    assert_string_equal(line + 12, " error e\n");
}

static void test_long_lines_are_cut_and_say_so(void **state)
{
    static char value[9000];
    const char *line;
    struct text key, cut = TEXT_NONE;
    struct scan s;

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    line = LINE(LOG_FORMAT_LOGFMT, LOG_INFO, "e", "a=1 s=\"%s\" z=2", value);
    assert_in_range(strlen(line), 3500, 4096);
    assert_string_equal(line + strlen(line) - 16, "vv...\" cut=true\n");
    line = LINE(LOG_FORMAT_LOGFMT, LOG_INFO, "e", "a=1 s=%s z=2", value); /* nothing of an unquoted one */
    assert_logfmt(line, "level=info event=e a=1 cut=true\n");
    for (size_t i = 0; i < sizeof(value) - 1; i++)
        value[i] = "\"\xc3\xa9\n"[i % 4];
    for (size_t from = 0; from < 8; from++) { /* whatever the cut falls into */
        line = LINE(LOG_FORMAT_JSON, LOG_INFO, "e", "s=\"%s\"", value + from);
        scan_init(&s, line, strlen(line));
        assert_int_equal(scan_enter_object(&s), 0);
        while (scan_next_key(&s, &key))
            scan_skip(&s, text_is(key, "cut") ? &cut : NULL);
        assert_int_equal(scan_end(&s), 0);
        assert_true(text_is(cut, "true"));
    }
}

static void test_levels(void **state)
{
    (void)state;
    log_configure(LOG_WARN, LOG_FORMAT_LOGFMT);
    assert_false(log_is_on(LOG_INFO));
    assert_true(log_is_on(LOG_WARN));
    capture_start();
    log_event(LOG_INFO, "quiet", "a=%d", 1);
    assert_string_equal(capture_end(), "");
    log_configure(LOG_DEBUG, LOG_FORMAT_LOGFMT);
    assert_true(log_is_on(LOG_DEBUG));
}

static void test_rare(void **state)
{
    int64_t due = 0;

    (void)state;
    assert_true(log_is_due(&due, 0, 100));
    assert_false(log_is_due(&due, 99, 100));
    assert_true(log_is_due(&due, 100, 100));
    assert_false(log_is_due(&due, 150, 100));
    assert_true(log_is_due(&due, 1000, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt), cmocka_unit_test(test_values_stay_in_their_field),
        cmocka_unit_test(test_json),   cmocka_unit_test(test_pretty),
        cmocka_unit_test(test_levels), cmocka_unit_test(test_long_lines_are_cut_and_say_so),
        cmocka_unit_test(test_rare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
