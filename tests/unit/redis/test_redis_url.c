/* SPDX-License-Identifier: Apache-2.0 */
/* redis:// URLs: what they mean and which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "redis.h"

static void test_urls(void **state)
{
    static const struct {
        const char *url, *host;
        int port, db;
        const char *user, *password;
        bool is_tls;
    } rows[] = {
        {"redis://localhost", "localhost", 6379, 0, NULL, NULL, false},
        {"redis://localhost/", "localhost", 6379, 0, NULL, NULL, false},
        {"redis://localhost:6380/3", "localhost", 6380, 3, NULL, NULL, false},
        {"rediss://u:p@10.1.2.3:1/0", "10.1.2.3", 1, 0, "u", "p", true},
        {"redis://:only@h", "h", 6379, 0, NULL, "only", false},
        {"redis://only@h", "h", 6379, 0, NULL, "only", false},
        {"redis://a%3Ab:p%40%2f%25@h", "h", 6379, 0, "a:b", "p@/%", false},
        {"redis://u:p:q@h", "h", 6379, 0, "u", "p:q", false},
        {"redis://u:p@q@h", "h", 6379, 0, "u", "p@q", false},
        {"redis://:@h", "h", 6379, 0, NULL, NULL, false},
        {"redis://[::1]", "::1", 6379, 0, NULL, NULL, false},
        {"redis://x:y@[fe80::1]:7000/2", "fe80::1", 7000, 2, "x", "y", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redis_conf c;
        const char *why = NULL;

        print_message("%s\n", rows[i].url);
        assert_int_equal(redis_conf_parse(rows[i].url, &c, &why), 0);
        assert_string_equal(c.host, rows[i].host);
        assert_int_equal(c.port, rows[i].port);
        assert_int_equal(c.db, rows[i].db);
        assert_int_equal(c.is_tls, rows[i].is_tls);
        assert_int_equal(c.user == NULL, rows[i].user == NULL);
        assert_int_equal(c.password == NULL, rows[i].password == NULL);
        if (c.user != NULL)
            assert_string_equal(c.user, rows[i].user);
        if (c.password != NULL)
            assert_string_equal(c.password, rows[i].password);
        redis_conf_done(&c);
    }
}

static void test_refused(void **state)
{
    static const char *const urls[] = {
        "",
        "localhost",
        "http://localhost",
        "redis:/localhost",
        "redis://",
        "redis:///1",
        "redis://:6379",
        "redis://h:",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:6379x",
        "redis://h:99999999999",
        "redis://h/x",
        "redis://h/-1",
        "redis://h/1/2",
        "redis://h?db=1",
        "redis://h#1",
        "redis://u:%zz@h",
        "redis://u:%4@h",
        "redis://u:%00@h",
        "redis://u%:p@h",
        "redis://user:@h",
        "redis://[::1",
        "redis://[]",
        "redis://[::1]6379",
        "redis://a b",
        "redis://a\"b",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct redis_conf c;
        const char *why = NULL;

        print_message("%s\n", urls[i]);
        assert_int_not_equal(redis_conf_parse(urls[i], &c, &why), 0);
        assert_non_null(why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
