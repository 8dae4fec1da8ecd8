/* SPDX-License-Identifier: Apache-2.0 */
/* Event ids against the published vectors, and the headers of results and calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/core/record_rig.h"

static void test_event_ids(void **state)
{
    json_error_t why;
    json_t *file = json_load_file(TESTS_DIR "/../docs/schemas/event_id.json", 0, &why), *row;
    size_t i;

    (void)state;
    if (file == NULL)
        fail_msg("%s", why.text);
    assert_true(json_array_size(json_object_get(file, "vectors")) >= 3);
    json_array_foreach(json_object_get(file, "vectors"), i, row)
    {
        const char *f[11], *wanted;
        struct attempt a;
        char id[37];
        struct rig r;

        assert_int_equal(json_unpack(row, "{s:s, s:[sssssssssss!]!}", "event_id", &wanted, "fields", &f[0], &f[1],
                                     &f[2], &f[3], &f[4], &f[5], &f[6], &f[7], &f[8], &f[9], &f[10]),
                         0);
        rig_start(&r, 1);
        r.env.group = f[0];
        r.j->pos = (struct position){
            .topic = f[1], .partition = (int32_t)strtol(f[2], NULL, 10), .offset = strtoll(f[3], NULL, 10)};
        r.j->calls[0].member = (int)strtol(f[6], NULL, 10);
        r.j->calls[0].sample = (int)strtol(f[7], NULL, 10);
        a.ordinal = (int)strtol(f[9], NULL, 10);
        a.number = (int)strtol(f[10], NULL, 10);
        record_event_id(r.j, f[4], *f[5] != '\0' ? &r.j->calls[0] : NULL, &a, id);
        assert_string_equal(id, wanted);
        rig_stop(&r);
    }
    json_decref(file);
}

static void test_headers(void **state)
{
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const struct record *at;
    struct rig r;
    json_t *json;

    (void)state;
    rig_start(&r, 1);
    rig_header(&r, "traceparent", trace, sizeof(trace) - 1);
    rig_header(&r, "tracestate", "a=b", 3);
    rig_header(&r, "kafka_correlationId", "\x00\x01\xff", 3); /* Spring sends bytes */
    rig_header(&r, "kafka_replyTopic", "evil", 4);
    rig_header(&r, "x-other", NULL, 0);
    rig_full_attempt(&r, 0);
    json = rig_encode(&r, OUT_RESULTS, 0);
    CHECK_ROWS(json, {"trace_id", "\"0af7651916cd43dd8448eb211c80319c\""});
    at = rig_record(&r, OUT_RESULTS, 0);
    assert_int_equal(at->key_len, 5);
    assert_memory_equal(at->key, "job-1", 5);
    assert_int_equal(at->n_headers, 10);
    rig_check_header(at, "content-type", "application/json");
    rig_check_header(at, "ce_specversion", "1.0");
    rig_check_header(at, "ce_id", json_string_value(json_object_get(json, "event_id")));
    rig_check_header(at, "ce_source", "/tutti/tutti/host-1");
    rig_check_header(at, "ce_type", "tutti.result.v1");
    rig_check_header(at, "ce_time", "2026-11-22T18:00:00.123Z");
    rig_check_header(at, "ce_subject", "job-1");
    rig_check_header(at, "traceparent", trace);
    rig_check_header(at, "tracestate", "a=b");
    assert_int_equal(rig_find_header(at, "kafka_correlationId")->value_len, 3);
    assert_memory_equal(rig_find_header(at, "kafka_correlationId")->value, "\x00\x01\xff", 3);
    json_decref(json);
    at = rig_record(&r, OUT_CALLS, 0);
    rig_check_header(at, "ce_type", "tutti.call.v1");
    rig_check_header(at, "ce_time", "2026-11-22T18:00:00.000Z");
    rig_check_header(at, "traceparent", trace);
    rig_stop(&r);
}

static void test_odd_headers(void **state)
{
    static const char *const traces[] = {
        "",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319\0-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        "000af7651916cd43dd8448eb211c80319cxxxxxxxxxxxxxxxxxxxxx",
    };
    static char large[2000];

    (void)state;
    memset(large, 'x', sizeof(large));
    for (size_t i = 0; i < ARRAY_LEN(traces); i++) {
        struct rig r;
        json_t *json;

        rig_start(&r, 0);
        rig_header(&r, "traceparent", traces[i], i == 0 ? 0 : i == 1 ? 54 : i == 4 ? 57 : 55);
        rig_header(&r, "tracestate", large, sizeof(large)); /* would not fit beside the value */
        rig_header(&r, "kafka_correlationId", NULL, 0);
        json = rig_encode(&r, OUT_RESULTS, 0);
        CHECK_ROWS(json, {"trace_id", "null"});
        assert_int_equal(rig_record(&r, OUT_RESULTS, 0)->n_headers, 8);
        json_decref(json);
        rig_stop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_ids),
        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_odd_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
