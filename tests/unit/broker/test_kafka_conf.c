/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of the Kafka adapter: what is refused, and that no secret gets into a message. No broker is needed. */
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "broker/kafka_internal.h"

static const char *const TOPICS[] = {"jobs"};

static struct kafka_conf conf_with(const struct kafka_property *p, int n)
{
    return (struct kafka_conf){.brokers = "localhost:9092",
                               .group = "g",
                               .topics = TOPICS,
                               .n_topics = 1,
                               .slot = "s",
                               .outputs = {"results", "calls", "dead"},
                               .commit_interval_us = 200000,
                               .prefetch_bytes = 512 << 10,
                               .properties = p,
                               .n_properties = n};
}

static void test_properties(void **state)
{
    static const struct {
        struct kafka_property p;
        int r;
        const char *says;  /* part of the message */
        const char *hides; /* never in it */
    } CASES[] = {
        {{"security.protocol", "SASL_SSL"}, 0, NULL, NULL},
        {{"sasl.mechanisms", "SCRAM-SHA-512"}, 0, NULL, NULL},
        {{"linger.ms", "50"}, 0, NULL, NULL},          /* a producer's only */
        {{"fetch.wait.max.ms", "100"}, 0, NULL, NULL}, /* a consumer's only */
        {{"partitioner", "consistent"}, 0, NULL, NULL},
        {{"no.such", "1"}, -EINVAL, "no.such", NULL},
        {{"linger.ms", "soon"}, -EINVAL, "linger.ms", NULL},
        {{"enable.auto.commit", "true"}, -EINVAL, "cannot be set", NULL},
        {{"auto.offset.reset", "earliest"}, -EINVAL, "kafka.start", NULL},
        {{"transactional.id", "x"}, -EINVAL, "cannot be set", NULL},
        {{"group.id", "x"}, -EINVAL, "kafka.group", NULL},
        {{"isolation.level", "read_uncommitted"}, -EINVAL, "cannot be set", NULL},
        {{"sasl.oauthbearer.method", "hunter2"}, -EINVAL, "sasl.oauthbearer.method", "hunter2"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kafka_conf c = conf_with(&CASES[i].p, 1);
        char why[300] = "";

        assert_int_equal(kafka_conf_check(&c, why, sizeof(why)), CASES[i].r);
        if (CASES[i].says != NULL)
            assert_non_null(strstr(why, CASES[i].says));
        if (CASES[i].hides != NULL)
            assert_null(strstr(why, CASES[i].hides));
    }
}

static void test_needed(void **state)
{
    struct kafka_conf c = conf_with(NULL, 0);
    char why[300];

    (void)state;
    assert_int_equal(kafka_conf_check(&c, why, sizeof(why)), 0);
    c.group = "";
    assert_int_equal(kafka_conf_check(&c, why, sizeof(why)), -EINVAL);
    c = conf_with(NULL, 0);
    c.n_topics = 0;
    assert_int_equal(kafka_conf_check(&c, why, sizeof(why)), -EINVAL);
    c = conf_with(NULL, 0);
    c.brokers = NULL;
    assert_int_equal(kafka_conf_check(&c, why, sizeof(why)), -EINVAL);
}

/* The value of a property of a configuration. */
static void assert_property(const rd_kafka_conf_t *conf, const char *name, const char *expected)
{
    char value[300];
    size_t size = sizeof(value);

    assert_int_equal(rd_kafka_conf_get(conf, name, value, &size), RD_KAFKA_CONF_OK);
    assert_string_equal(value, expected);
}

static void test_clients(void **state)
{
    struct kafka_property own = {"partitioner", "random"};
    struct kafka_conf c = conf_with(NULL, 0);
    char why[300];
    rd_kafka_conf_t *conf = kafka_conf_consumer(&c, why, sizeof(why));

    (void)state;
    assert_property(conf, "auto.offset.reset", "error");
    assert_property(conf, "isolation.level", "read_committed");
    assert_property(conf, "enable.auto.commit", "false");
    assert_property(conf, "partition.assignment.strategy", "cooperative-sticky");
    assert_property(conf, "queued.max.messages.kbytes", "512");
    assert_property(conf, "session.timeout.ms", "20000");
    rd_kafka_conf_destroy(conf);

    conf = kafka_conf_producer(&c, 100000, 2000000, false, why, sizeof(why));
    assert_property(conf, "transactional.id", "g-s-0");
    assert_property(conf, "partitioner", "murmur2_random");
    assert_property(conf, "batch.size", "95904"); /* the broker holds the whole batch against the topic's limit */
    assert_property(conf, "message.max.bytes", "2000000");
    assert_property(conf, "batch.num.messages", "10000");
    rd_kafka_conf_destroy(conf);

    c = conf_with(&own, 1);
    c.delivery = KAFKA_AT_LEAST_ONCE;
    conf = kafka_conf_producer(&c, 100000, 2000000, true, why, sizeof(why));
    assert_property(conf, "partitioner", "random");
    assert_property(conf, "batch.num.messages", "1");
    assert_property(conf, "message.timeout.ms", "0");
    rd_kafka_conf_destroy(conf);
}

static void test_a_property_takes_effect(void **state)
{
    struct kafka_property own = {"session.timeout.ms", "6000"};
    struct kafka_conf c = conf_with(&own, 1);
    char why[300];
    rd_kafka_conf_t *conf = kafka_conf_consumer(&c, why, sizeof(why));

    (void)state;
    assert_property(conf, "session.timeout.ms", "6000");
    rd_kafka_conf_destroy(conf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties),
        cmocka_unit_test(test_needed),
        cmocka_unit_test(test_clients),
        cmocka_unit_test(test_a_property_takes_effect),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
