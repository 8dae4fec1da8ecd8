/* SPDX-License-Identifier: Apache-2.0 */
/* Where a partition starts, and which group metadata may be sent. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "broker/kafka_internal.h"

static void test_start(void **state)
{
    static const struct {
        int64_t committed, low, high;
        enum kafka_start start;
        struct kafka_start_at at;
    } CASES[] = {
        {-1001, 0, 0, KAFKA_START_EARLIEST, {START_FIRST, 0, 0, false}},
        {-1001, 7, 90, KAFKA_START_EARLIEST, {START_FIRST, 7, 7, false}},
        {-1001, 7, 90, KAFKA_START_LATEST, {START_FIRST, 90, 90, false}},
        {50, 7, 90, KAFKA_START_LATEST, {START_RESUME, 50, 50, true}},
        {7, 7, 90, KAFKA_START_EARLIEST, {START_RESUME, 7, 7, true}},
        {90, 7, 90, KAFKA_START_EARLIEST, {START_RESUME, 90, 90, true}},
        {0, 0, 0, KAFKA_START_LATEST, {START_RESUME, 0, 0, true}},
        /* deleted by retention: what the bitmap says about the rest still holds */
        {6, 7, 90, KAFKA_START_LATEST, {START_GAP, 6, 7, true}},
        {0, KAFKA_SPAN - 1, 90000, KAFKA_START_EARLIEST, {START_GAP, 0, KAFKA_SPAN - 1, true}},
        {0, KAFKA_SPAN, 90000, KAFKA_START_EARLIEST, {START_GAP, KAFKA_SPAN, KAFKA_SPAN, false}},
        /* a recreated topic */
        {91, 7, 90, KAFKA_START_LATEST, {START_RECREATED, 7, 7, false}},
        {91, 0, 0, KAFKA_START_EARLIEST, {START_RECREATED, 0, 0, false}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kafka_start_at at = kafka_start_decide(CASES[i].committed, CASES[i].low, CASES[i].high, CASES[i].start);

        assert_int_equal(at.verdict, CASES[i].at.verdict);
        assert_int_equal(at.base, CASES[i].at.base);
        assert_int_equal(at.fetch, CASES[i].at.fetch);
        assert_int_equal(at.has_metadata, CASES[i].at.has_metadata);
    }
}

/* What the library writes is what we read: a newer one that changes the form must be noticed here. */
static void test_metadata(void **state)
{
    static const struct {
        const char *member;
        int generation;
        bool is_member;
    } CASES[] = {{"rdkafka-1", 7, true}, {"", 7, false}, {"rdkafka-1", -1, true}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        rd_kafka_consumer_group_metadata_t *m =
            rd_kafka_consumer_group_metadata_new_with_genid("group", CASES[i].generation, CASES[i].member, NULL);
        void *bytes;
        size_t size;
        int generation = 0;
        bool is_member = false;

        assert_null(rd_kafka_consumer_group_metadata_write(m, &bytes, &size));
        assert_int_equal(kafka_snapshot_parse(bytes, size, &generation, &is_member), 0);
        assert_int_equal(generation, CASES[i].generation);
        assert_int_equal(is_member, CASES[i].is_member);
        for (size_t cut = 0; cut < 14; cut++) /* up to the group's NUL */
            assert_int_equal(kafka_snapshot_parse(bytes, cut, &generation, &is_member), -EINVAL);
        ((char *)bytes)[0] ^= 1;
        assert_int_equal(kafka_snapshot_parse(bytes, size, &generation, &is_member), -EINVAL);
        rd_kafka_mem_free(NULL, bytes);
        rd_kafka_consumer_group_metadata_destroy(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_metadata),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
