/* SPDX-License-Identifier: Apache-2.0 */
/* The simulator's options from words and from JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "sim.h"

static void sets_options_and_models(void **state)
{
    struct sim_conf c;
    const char *why = NULL;

    (void)state;
    sim_conf_init(&c);
    assert_string_equal(c.host, "127.0.0.1");
    assert_int_equal(sim_conf_set(&c, "listen", "0.0.0.0:8089", &why), 0);
    assert_int_equal(sim_conf_set(&c, "seed", "7", &why), 0);
    assert_int_equal(sim_conf_set(&c, "api_key", "k1,k2", &why), 0);
    assert_int_equal(sim_conf_set(&c, "defaults", "latency=10ms,bytes=1KiB", &why), 0);
    assert_int_equal(sim_conf_set(&c, "model", "sim/fast", &why), 0);
    assert_int_equal(sim_conf_set(&c, "model",
                                  "sim/flaky,latency=1.5s,p99=4,errors=5%,e429=25,silence=0.1%,rpm=60,tpm=100k,"
                                  "window=1s,meter=shared,concurrency=3,completion_tokens=9,fail=2,fail_status=529,"
                                  "retry_after=300ms,context=8k,overloaded=1%,quota=2,filter=3,refusal=4",
                                  &why),
                     0);
    assert_string_equal(c.host, "0.0.0.0");
    assert_int_equal(c.port, 8089);
    assert_int_equal(c.seed, 7);
    assert_int_equal(c.n_models, 2);
    assert_string_equal(c.models[0].name, "sim/fast");
    assert_int_equal(c.models[0].latency_us, 10000);
    assert_int_equal(c.models[0].answer_bytes, 1024);
    assert_int_equal(c.models[0].window_us, 60000000);
    assert_int_equal(c.models[1].latency_us, 1500000);
    assert_int_equal(c.models[1].answer_bytes, 1024);
    assert_int_equal(c.models[1].shares[SIM_E500], 250);
    assert_int_equal(c.models[1].shares[SIM_E503], 125);
    assert_int_equal(c.models[1].shares[SIM_RESET], 125);
    assert_int_equal(c.models[1].shares[SIM_E429], 25);
    assert_int_equal(c.models[1].shares[SIM_SILENCE], 10);
    assert_int_equal(c.models[1].requests_per_window, 60);
    assert_int_equal(c.models[1].tokens_per_window, 100000);
    assert_int_equal(c.models[1].concurrency, 3);
    assert_int_equal(c.models[1].prompt_tokens, -1);
    assert_int_equal(c.models[1].completion_tokens, 9);
    assert_string_equal(c.models[1].meter, "shared");
    assert_int_equal(c.models[0].fail_status, 500);
    assert_int_equal(c.models[0].retry_after_us, -1);
    assert_int_equal(c.models[1].fail_first, 2);
    assert_int_equal(c.models[1].fail_status, 529);
    assert_int_equal(c.models[1].retry_after_us, 300000);
    assert_int_equal(c.models[1].context_tokens, 8000);
    assert_int_equal(c.models[1].shares[SIM_OVERLOADED], 100);
    assert_int_equal(c.models[1].shares[SIM_QUOTA], 2);
    assert_int_equal(c.models[1].shares[SIM_FILTER], 3);
    assert_int_equal(c.models[1].shares[SIM_REFUSAL], 4);
    assert_int_equal(sim_conf_set(&c, "listen", "[::1]:0", &why), 0);
    assert_string_equal(c.host, "::1");
    assert_int_equal(sim_conf_set(&c, "listen", "99", &why), 0);
    assert_string_equal(c.host, "::1");
    sim_conf_done(&c);
}

static void refuses_what_is_wrong(void **state)
{
    static const struct {
        const char *key;
        const char *value;
    } rows[] = {
        {"no_such", "1"},
        {"listen", "x"},
        {"listen", "h:70000"},
        {"seed", "1x"},
        {"model", ""},
        {"model", "m,latency"},
        {"model", "m,latency=5"},
        {"model", "m,colour=red"},
        {"model", "m,e500=101%"},
        {"model", "m,e500=60%,e503=60%"},
        {"model", "m,p99=-1"},
        {"model", "m,window=0"},
        {"model", "m,bytes=1GiB"},
        {"model", "m,fail_status=200"},
        {"model", "m,fail=-1"},
        {"model", "there"},
        {"defaults", "rpm=many"},
    };
    struct sim_conf c;
    const char *why = NULL;

    (void)state;
    sim_conf_init(&c);
    assert_int_equal(sim_conf_set(&c, "model", "there", &why), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        why = NULL;
        assert_int_equal(sim_conf_set(&c, rows[i].key, rows[i].value, &why), -EINVAL);
        assert_non_null(why);
        assert_int_equal(c.n_models, 1);
    }
    sim_conf_done(&c);
}

static void reads_json(void **state)
{
    static const char json[] =
        "{\"listen\":\"127.0.0.1:0\",\"seed\":3,\"models\":[{\"name\":\"a\",\"rpm\":5,\"p99\":2.5,"
        "\"latency\":\"20ms\",\"errors\":\"4%\"},\"b,bytes=7\"],\"defaults\":{\"bytes\":99}}";
    static const char *const bad[] = {
        "",
        "[]",
        "{\"models\":{}}",
        "{\"models\":[{}]}",
        "{\"models\":[{\"name\":\"a\",\"rpm\":[]}]}",
        "{\"models\":[{\"name\":\"a\",\"x\":1}]}",
        "{\"seed\":{}}",
        "{\"defaults\":3}",
        "{\"defaults\":{\"x\":3}}",
    };
    struct sim_conf c;
    const char *why = NULL;

    (void)state;
    sim_conf_init(&c);
    assert_int_equal(sim_conf_set_json(&c, json, strlen(json), &why), 0);
    assert_int_equal(c.seed, 3);
    assert_int_equal(c.n_models, 2);
    assert_int_equal(c.models[0].requests_per_window, 5);
    assert_true(c.models[0].p99_factor == 2.5);
    assert_int_equal(c.models[0].answer_bytes, 99); /* the defaults come first wherever they stand */
    assert_int_equal(c.models[0].shares[SIM_E500], 200);
    assert_int_equal(c.models[1].answer_bytes, 7);
    sim_conf_done(&c);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        sim_conf_init(&c);
        why = NULL;
        assert_int_equal(sim_conf_set_json(&c, bad[i], strlen(bad[i]), &why), -EINVAL);
        assert_non_null(why);
        sim_conf_done(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_options_and_models),
        cmocka_unit_test(refuses_what_is_wrong),
        cmocka_unit_test(reads_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
