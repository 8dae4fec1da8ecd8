/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: the original byte for byte, the reason in text headers, a value that does not fit left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/record_rig.h"

static void set_error(struct rig *r, const char *code, const char *pointer)
{
    r->j->error = (struct job_error){.code = code, .stage = "decode"};
    snprintf(r->j->error.pointer, sizeof(r->j->error.pointer), "%s", pointer);
    snprintf(r->j->error.message, sizeof(r->j->error.message), "what is wrong");
}

static json_t *base64(const char *bytes, size_t len)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct buf b;
    json_t *string;

    if (bytes == NULL)
        return json_null();
    buf_init(&b, 0);
    for (size_t i = 0; i < len; i += 3) {
        unsigned v = (unsigned)(unsigned char)bytes[i] << 16;

        v |= i + 1 < len ? (unsigned)(unsigned char)bytes[i + 1] << 8 : 0;
        v |= i + 2 < len ? (unsigned char)bytes[i + 2] : 0;
        buf_add_char(&b, alphabet[v >> 18]);
        buf_add_char(&b, alphabet[v >> 12 & 63]);
        buf_add_char(&b, i + 1 < len ? alphabet[v >> 6 & 63] : '=');
        buf_add_char(&b, i + 2 < len ? alphabet[v & 63] : '=');
    }
    string = json_stringn(b.p != NULL ? b.p : "", b.len);
    buf_done(&b);
    return string;
}

/* The view of docs/schemas/dead-letter.schema.json, for tests/test_schemas.py. */
static void dump(const struct record *at)
{
    json_t *headers = json_object();
    json_t *view = json_pack("{s:o, s:o, s:o}", "key", base64(at->key, at->key_len), "value",
                             base64(at->value, at->value_len), "headers", headers);
    char *text;

    for (int i = 0; i < at->n_headers; i++)
        if (at->headers[i].value == NULL)
            json_object_set_new(headers, at->headers[i].name, json_null());
        else /* of a repeated name the last, as Kafka's lastHeader() has it */
            json_object_set_new(headers, at->headers[i].name,
                                json_stringn(at->headers[i].value, at->headers[i].value_len));
    text = json_dumps(view, 0);
    rig_dump("dead-letter", text, strlen(text));
    free(text);
    json_decref(view);
}

static const struct record *encode(struct rig *r)
{
    const struct record *at;

    job_encode_dead_letter(r->j);
    at = r->j->pub.first;
    assert_non_null(at);
    assert_null(at->next);
    assert_int_equal(at->output, OUT_DEAD_LETTERS);
    dump(at);
    return at;
}

/* Key, value and headers byte for byte, in order, repeated names too; then why. */
static void test_copies_bytes(void **state)
{
    static const char key[] = "k\0\xff", value[] = "\0\1{\xff not a job";
    const struct record *at;
    struct rig r;

    (void)state;
    rig_start(&r, 0);
    r.j->source_key = key;
    r.j->source_key_len = sizeof(key) - 1;
    r.j->value = value;
    r.j->value_len = sizeof(value) - 1;
    r.j->claim.deliveries = 3;
    rig_header(&r, "x-one",
               "1\0"
               "2",
               3);
    rig_header(&r, "x-none", NULL, 0);
    rig_header(&r, "x-one", "again", 5);
    rig_header(&r, "dlq.time", "of an earlier dead letter", 25);
    set_error(&r, "invalid_job", "/models/3");
    at = encode(&r);
    assert_int_equal(at->key_len, sizeof(key) - 1);
    assert_memory_equal(at->key, key, sizeof(key) - 1);
    assert_int_equal(at->value_len, sizeof(value) - 1);
    assert_memory_equal(at->value, value, sizeof(value) - 1);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(at->headers[i].name, r.headers[i].name);
        assert_int_equal(at->headers[i].value_len, r.headers[i].value_len);
        if (r.headers[i].value == NULL)
            assert_null(at->headers[i].value);
        else
            assert_memory_equal(at->headers[i].value, r.headers[i].value, r.headers[i].value_len);
    }
    rig_check_header(at, "__dlq.errors.topic", "tutti.jobs");
    rig_check_header(at, "__dlq.errors.partition", "3");
    rig_check_header(at, "__dlq.errors.offset", "42");
    rig_check_header(at, "__dlq.errors.group", "tutti");
    rig_check_header(at, "__dlq.errors.delivery.count", "3");
    rig_check_header(at, "__dlq.errors.message", "what is wrong");
    rig_check_header(at, "dlq.attempts", "3");
    rig_check_header(at, "dlq.error.code", "invalid_job");
    rig_check_header(at, "dlq.error.pointer", "/models/3");
    rig_check_header(at, "dlq.error.stage", "decode");
    rig_check_header(at, "dlq.worker", "host-1");
    rig_check_header(at, "dlq.job_id", "job-1");
    rig_check_header(at, "dlq.docs", "docs/errors.md#invalid_job");
    assert_int_equal(at->n_headers, 4 + 14);
    assert_memory_equal(at->headers[4 + 10].value, "2026-11-22T18:00:00.123Z", 24); /* ours stands behind theirs */
    assert_string_equal(at->headers[4 + 10].name, "dlq.time");
    rig_stop(&r);
}

/* What is absent stays absent; what is empty stays empty. */
static void test_absent_and_empty(void **state)
{
    const struct record *at;
    struct rig r;

    (void)state;
    rig_start(&r, 0);
    r.j->spec.job_id = NULL; /* not decoded: crash_loop */
    set_error(&r, "crash_loop", "");
    at = encode(&r);
    assert_null(at->key);
    assert_null(at->value);
    assert_int_equal(at->value_len, 0);
    rig_check_header(at, "dlq.job_id", "");
    rig_check_header(at, "dlq.error.pointer", "");
    rig_stop(&r);
    rig_start(&r, 0);
    r.j->source_key = r.j->value = "";
    set_error(&r, "empty_value", "");
    at = encode(&r);
    assert_non_null(at->key);
    assert_non_null(at->value);
    assert_int_equal(at->key_len + at->value_len, 0);
    rig_stop(&r);
}

/* Over the topic's limit the value is left out; its digest and place remain. */
static void test_too_large(void **state)
{
    static char value[5001], hex[DIGEST_HEX + 1];
    uint8_t digest[DIGEST_BYTES];

    (void)state;
    memset(value, 'v', sizeof(value));
    digest_sha256(value, sizeof(value), digest);
    digest_hex(digest, sizeof(digest), hex);
    for (int over = 0; over < 2; over++) {
        const struct record *at;
        struct rig r;

        rig_start(&r, 0);
        r.limits[OUT_DEAD_LETTERS] = sizeof(value) + 3 + 8 - (size_t)over;
        r.j->source_key = "key";
        r.j->source_key_len = 3;
        r.j->value = value;
        r.j->value_len = sizeof(value);
        rig_header(&r, "x-one", "abc", 3);
        set_error(&r, "too_large", "");
        at = encode(&r);
        if (over == 0) {
            assert_ptr_equal(at->value, value);
            assert_null(rig_find_header(at, "dlq.value.sha256"));
        } else {
            assert_null(at->value);
            assert_int_equal(at->value_len, 0);
            rig_check_header(at, "dlq.value.sha256", hex);
        }
        assert_memory_equal(at->key, "key", 3);
        rig_check_header(at, "x-one", "abc");
        rig_check_header(at, "__dlq.errors.offset", "42");
        assert_true(r.j->pub.bytes > at->key_len + at->value_len + 8); /* headers count */
        rig_stop(&r);
    }
}

/* Large headers alone do not make a digest of nothing. */
static void test_large_headers(void **state)
{
    static char value[5000];
    const struct record *at;
    struct rig r;

    (void)state;
    rig_start(&r, 0);
    r.limits[OUT_DEAD_LETTERS] = 1000;
    rig_header(&r, "x-large", value, sizeof(value));
    set_error(&r, "empty_value", "");
    at = encode(&r);
    assert_null(rig_find_header(at, "dlq.value.sha256"));
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_bytes),
        cmocka_unit_test(test_absent_and_empty),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_large_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
