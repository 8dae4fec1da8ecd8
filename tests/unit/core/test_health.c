/* SPDX-License-Identifier: Apache-2.0 */
/* Breakers alone, on virtual time, with a store that answers as it is told: states, places, who is told when,
 * what outlives a new configuration, and that every penalty ends. */
#include "core/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/outcome.h"
#include "core/registry.h"
#include "loop.h"
#include "seam/limiter.h"

#define SECOND INT64_C(1000000)

enum { GATES = 4, MODELS = 2 };

/* A store of the fleet that answers with `answer`, after the question was left with it. */
struct store {
    struct limiter limiter;
    struct loop *loop;
    struct wake wake;
    struct probe *asked;
    enum probe_answer answer;
    int n_asked;
    enum probe_word told; /* last word about an end */
    int n_told;
    int64_t told_ttl_us;
    char name[80];
};

struct caller {
    struct gate gate;
    int n_moved;
};

static struct store store;
static struct health *health;
static struct caller callers[GATES];
static struct provider_key keys[3] = {{"s1", "k1"}, {"s2", "k2"}, {"s3", "k3"}};
static struct provider provider = {.id = "p", .base_url = "http://p", .keys = keys, .n_keys = 3};
static struct model models[MODELS] = {
    {.id = "a", .index = 0, .provider = &provider, .vendor_model = "m-a", .limits = {.total_us = 20 * SECOND}},
    {.id = "b", .index = 1, .provider = &provider, .vendor_model = "m-b", .limits = {.total_us = 20 * SECOND}},
};
static struct registry registry = {.providers = &provider, .n_providers = 1, .models = models, .n_models = MODELS};
static const struct health_conf conf = {.failures = 3, .open_us = 30 * SECOND};

static void on_store_wake(void *arg)
{
    (void)arg;
    store.asked->answer = store.answer;
    store.asked->done(store.asked, store.asked->arg);
}

static void store_probe(struct limiter *l, struct probe *p)
{
    (void)l;
    assert_true(p->ttl_us > 0 && strlen(p->name) > 0 && strlen(p->name) <= 64);
    if (p->word != PROBE_ASK) {
        store.told = p->word;
        store.told_ttl_us = p->ttl_us;
        store.n_told++;
        return;
    }
    store.n_asked++;
    store.asked = p;
    memcpy(store.name, p->name, strlen(p->name) + 1);
    loop_wake(store.loop, &store.wake);
}

static const struct limiter_ops ops = {.name = "store", .probe = store_probe};

static void on_moved(void *arg)
{
    struct caller *c = arg;

    c->n_moved++;
}

static int setup(void **state)
{
    (void)state;
    log_configure(LOG_ERROR, LOG_FORMAT_LOGFMT);
    memset(&store, 0, sizeof(store));
    store.limiter.ops = &ops;
    store.loop = loop_new_sim(0);
    wake_init(&store.wake, on_store_wake, NULL);
    models[0].metrics = metrics_model("p", "a");
    health = health_new(store.loop, &store.limiter, &registry, &conf);
    for (int i = 0; i < GATES; i++) {
        callers[i].n_moved = 0;
        gate_init(&callers[i].gate, on_moved, &callers[i]);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < GATES; i++)
        health_leave(health, &callers[i].gate);
    health_free(health);
    loop_free(store.loop);
    return 0;
}

static void on_stop(void *arg)
{
    loop_stop(arg);
}

static void run_for(int64_t us)
{
    struct timer t;

    timer_init(&t, on_stop, store.loop);
    timer_start(store.loop, &t, loop_now_us(store.loop) + us);
    loop_run(store.loop);
    timer_stop(store.loop, &t);
}

static struct outcome outcome_of(enum fault fault)
{
    struct outcome o;

    outcome_init(&o);
    if (fault != FAULT_NONE)
        outcome_fail(&o, fault, NULL, "why");
    return o;
}

static enum gate_answer enter(int i)
{
    return health_enter(health, &models[0], &callers[i].gate);
}

static enum breaker_state send_one(int i)
{
    enum breaker_state s = BREAKER_STATE_MAX;

    assert_true(health_send(health, &callers[i].gate, &s));
    return s;
}

static void report(int i, enum fault fault)
{
    struct outcome o = outcome_of(fault);

    health_report(health, &callers[i].gate, &o);
}

static void attempt(int i, enum fault fault)
{
    assert_int_equal(enter(i), GATE_GO);
    (void)send_one(i);
    report(i, fault);
}

static void open_it(void)
{
    for (int i = 0; i < conf.failures; i++)
        attempt(3, FAULT_NETWORK);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_OPEN);
}

static void test_words(void **state)
{
    (void)state;
    assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
    assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
    assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

/* What /metrics shows of model a: 0 closed, 1 open, 2 half open. */
static int shown_state(void)
{
    static const char row[] = "\ntutti_breaker_state{provider=\"p\",model=\"a\"} ";
    struct buf b;
    const char *at;
    int shown;

    buf_init(&b, 0);
    metrics_print(&b);
    buf_add_char(&b, '\0');
    at = strstr(b.p, row);
    shown = at != NULL ? at[sizeof(row) - 1] - '0' : -1;
    buf_done(&b);
    return shown;
}

static void test_opens_and_closes(void **state)
{
    int64_t opened = metric_get(METRIC_BREAKER_OPENED);

    (void)state;
    assert_int_equal(shown_state(), 0);
    open_it();
    assert_int_equal(shown_state(), 1);
    assert_int_equal(metric_get(METRIC_BREAKER_OPENED), opened + 1);
    assert_int_equal(health_breaker_state(health, 1), BREAKER_CLOSED); /* the neighbour's is its own */
    assert_int_equal(health_opens_at_us(health, &models[0]), loop_now_us(store.loop) + 30 * SECOND);
    assert_false(health_is_passable(health, &models[0]));
    assert_int_equal(enter(0), GATE_SHUT);
    assert_int_equal(enter(1), GATE_SHUT);
    store.answer = PROBE_YOURS;
    run_for(30 * SECOND - 1);
    assert_int_equal(store.n_asked, 0);
    run_for(SECOND);
    assert_int_equal(store.n_asked, 1);
    assert_int_equal(callers[0].n_moved, 1); /* who waited longest */
    assert_int_equal(callers[1].n_moved, 0);
    assert_int_equal(enter(0), GATE_GO);
    assert_int_equal(send_one(0), BREAKER_HALF_OPEN);
    assert_int_equal(shown_state(), 2);
    assert_int_equal(enter(2), GATE_SHUT);
    run_for(10 * SECOND);
    assert_int_equal(store.n_asked, 1);
    report(0, FAULT_NONE);
    assert_int_equal(store.told, PROBE_GOOD);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_CLOSED);
    assert_int_equal(shown_state(), 0);
    run_for(1);
    assert_int_equal(callers[1].n_moved, 1);
    assert_int_equal(callers[2].n_moved, 1);
    attempt(1, FAULT_NETWORK); /* the row begins anew */
    attempt(1, FAULT_NETWORK);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_CLOSED);
}

static void test_a_failed_probe(void **state)
{
    (void)state;
    open_it();
    run_for(31 * SECOND);
    assert_int_equal(enter(0), GATE_HOLD); /* nobody waited: the first who comes */
    assert_int_equal(enter(1), GATE_SHUT);
    run_for(1);
    assert_int_equal(enter(0), GATE_GO);
    (void)send_one(0);
    report(0, FAULT_TIMEOUT);
    assert_int_equal(store.told, PROBE_BAD);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_OPEN);
    run_for(1);
    assert_int_equal(callers[1].n_moved, 1); /* its wait became longer: it may not fit any more */
}

/* What says nothing of the model gives the probe to the next; what answers at all closes the breaker. */
static void test_probes_without_a_verdict(void **state)
{
    static const struct {
        enum fault fault;
        enum breaker_state state;
    } rows[] = {
        {FAULT_CANCELLED, BREAKER_HALF_OPEN}, {FAULT_DEADLINE_EXCEEDED, BREAKER_OPEN},
        {FAULT_RATE_LIMITED, BREAKER_CLOSED}, {FAULT_INVALID_REQUEST, BREAKER_CLOSED},
        {FAULT_AUTH, BREAKER_CLOSED},         {FAULT_EMPTY_ANSWER, BREAKER_CLOSED},
        {FAULT_OVERLOADED, BREAKER_OPEN},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        open_it();
        assert_int_equal(enter(0), GATE_SHUT);
        assert_int_equal(enter(1), GATE_SHUT);
        run_for(31 * SECOND);
        assert_int_equal(enter(0), GATE_GO);
        (void)send_one(0);
        callers[1].n_moved = 0;
        report(0, rows[i].fault);
        assert_int_equal(health_breaker_state(health, 0), rows[i].state);
        run_for(1);
        assert_int_equal(callers[1].n_moved, 1);
        if (rows[i].fault == FAULT_CANCELLED)
            assert_int_equal(enter(1), GATE_GO);
        (void)teardown(state);
        (void)setup(state);
    }
}

/* The call that was chosen goes away before it sends: another one probes, under the same leave. */
static void test_a_probe_is_handed_on(void **state)
{
    (void)state;
    open_it();
    for (int i = 0; i < 3; i++)
        assert_int_equal(enter(i), GATE_SHUT);
    run_for(31 * SECOND);
    assert_int_equal(callers[0].n_moved, 1);
    health_leave(health, &callers[0].gate); /* told, not entered */
    run_for(1);
    assert_int_equal(callers[1].n_moved, 1);
    assert_int_equal(enter(1), GATE_GO);
    health_leave(health, &callers[1].gate); /* entered, not sent */
    run_for(1);
    assert_int_equal(callers[2].n_moved, 1);
    health_leave(health, &callers[2].gate);
    assert_int_equal(store.n_asked, 1);
    assert_int_equal(store.told_ttl_us, 1000); /* nobody left: given back, so that another worker need not wait */
    assert_int_equal(enter(0), GATE_SHUT);     /* the word stands for a moment */
    run_for(2001);
    assert_int_equal(store.n_asked, 2);
    assert_int_equal(enter(0), GATE_GO);
    assert_int_equal(send_one(0), BREAKER_HALF_OPEN);
    report(0, FAULT_NONE);
}

/* While the answer is on its way the call goes: the next one that waits takes its place. */
static void test_the_asker_leaves(void **state)
{
    (void)state;
    open_it();
    run_for(31 * SECOND);
    assert_int_equal(enter(0), GATE_HOLD);
    assert_int_equal(enter(1), GATE_SHUT);
    health_leave(health, &callers[0].gate);
    run_for(1);
    assert_int_equal(callers[0].n_moved, 0);
    assert_int_equal(callers[1].n_moved, 1);
    assert_int_equal(enter(1), GATE_GO);
}

/* A leave that comes when nobody waits any more is given back; the store is asked again. */
static void test_d22_an_unused_leave_ends(void **state)
{
    (void)state;
    open_it();
    run_for(31 * SECOND);
    assert_int_equal(enter(0), GATE_HOLD);
    health_leave(health, &callers[0].gate);
    run_for(1);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_OPEN);
    run_for(2000);
    assert_int_equal(enter(0), GATE_HOLD);
    run_for(1);
    assert_int_equal(store.n_asked, 2);
}

static void test_another_worker_probes(void **state)
{
    (void)state;
    open_it();
    store.answer = PROBE_OTHERS;
    assert_int_equal(enter(0), GATE_SHUT);
    run_for(35 * SECOND);
    assert_int_equal(store.n_asked, 1); /* told; it has not entered again */
    assert_int_equal(callers[0].n_moved, 1);
    assert_int_equal(enter(0), GATE_HOLD);
    run_for(1);
    assert_int_equal(enter(0), GATE_SHUT); /* not asked again at once */
    store.answer = PROBE_WAS_BAD;
    run_for(2 * SECOND);
    assert_int_equal(store.n_asked, 3);
    assert_int_equal(enter(0), GATE_HOLD);
    store.answer = PROBE_WAS_GOOD;
    run_for(1);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_CLOSED);
    assert_int_equal(enter(0), GATE_GO);
    assert_int_equal(store.n_told, 0); /* it made none of its own */
}

/* What was let through and has not been sent is called back when the breaker opens. */
static void test_passed_calls_are_called_back(void **state)
{
    enum breaker_state s;

    (void)state;
    assert_int_equal(enter(0), GATE_GO);
    assert_int_equal(enter(1), GATE_GO);
    (void)send_one(1);
    open_it();
    assert_false(health_send(health, &callers[0].gate, &s));
    run_for(1);
    assert_int_equal(callers[0].n_moved, 1);
    assert_int_equal(callers[1].n_moved, 0); /* under way: it finishes as ever */
    report(1, FAULT_NONE);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_OPEN); /* only the probe closes it */
    assert_int_equal(enter(0), GATE_SHUT);
}

/* A call that would rather go elsewhere is told when another breaker closes. */
static void test_a_choice_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < conf.failures; i++) {
        assert_int_equal(health_enter(health, &models[1], &callers[2].gate), GATE_GO);
        (void)send_one(2);
        report(2, FAULT_NETWORK);
    }
    run_for(10 * SECOND);
    open_it();
    callers[0].gate.has_choice = true;
    assert_int_equal(enter(0), GATE_SHUT);
    assert_int_equal(enter(1), GATE_SHUT);
    run_for(21 * SECOND);
    store.answer = PROBE_WAS_GOOD;
    assert_int_equal(health_enter(health, &models[1], &callers[2].gate), GATE_HOLD);
    run_for(1);
    assert_int_equal(health_breaker_state(health, 1), BREAKER_CLOSED);
    assert_int_equal(callers[0].n_moved, 1);
    assert_int_equal(callers[1].n_moved, 0);
}

static void test_off(void **state)
{
    static const struct health_conf off = {.failures = 0, .open_us = 30 * SECOND};
    struct gate g;
    enum breaker_state s;

    (void)state;
    open_it();
    assert_int_equal(enter(0), GATE_SHUT);
    health_reload(health, &registry, &off);
    run_for(1);
    assert_int_equal(callers[0].n_moved, 1);
    for (int i = 0; i < 20; i++)
        attempt(0, FAULT_NETWORK);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_CLOSED);
    gate_init(&g, on_moved, &callers[0]); /* nothing is tracked at all */
    assert_int_equal(health_enter(NULL, &models[0], &g), GATE_GO);
    assert_true(health_send(NULL, &g, &s));
    assert_int_equal(s, BREAKER_CLOSED);
    health_report(NULL, &g, &(struct outcome){.fault = FAULT_NETWORK});
    assert_int_equal(health_breaker_state(NULL, 0), BREAKER_CLOSED);
    assert_int_equal(health_pick_key(NULL, &models[0], 0), 0);
}

/* A model made for one job has no breaker. */
static void test_models_without_an_index(void **state)
{
    struct model m = models[0];

    (void)state;
    m.index = -1;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(health_enter(health, &m, &callers[0].gate), GATE_GO);
        (void)send_one(0);
        report(0, FAULT_NETWORK);
    }
    assert_int_equal(health_breaker_state(health, -1), BREAKER_CLOSED);
    assert_int_equal(health_breaker_state(health, 99), BREAKER_CLOSED);
}

/* A new configuration moves the models: breakers stay with their ids, keys are all taken for good again. */
static void test_a_new_configuration(void **state)
{
    struct model turned[3] = {models[1], models[0], models[0]};
    struct registry other = {.providers = &provider, .n_providers = 1, .models = turned, .n_models = 3};
    struct outcome refused = outcome_of(FAULT_AUTH);

    (void)state;
    for (int i = 0; i < 3; i++)
        turned[i].index = i;
    turned[2].id = "new";
    open_it();
    health_note_key(health, &models[0], 0, &refused, 0);
    assert_false(health_key_is_ready(health, &models[0], 0));
    health_reload(health, &other, &conf);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_CLOSED);
    assert_int_equal(health_breaker_state(health, 1), BREAKER_OPEN);
    assert_int_equal(health_breaker_state(health, 2), BREAKER_CLOSED);
    assert_true(health_key_is_ready(health, &turned[1], 0));
    assert_int_equal(enter(0), GATE_SHUT); /* a call of the old configuration finds its model by id */
    health_leave(health, &callers[0].gate);
    health_reload(health, &registry, &conf);
    assert_int_equal(health_breaker_state(health, 0), BREAKER_OPEN);
    assert_int_equal(health_state_of(health, &models[0]), BREAKER_OPEN);
    other.n_models = 1; /* the failing one is gone: nobody is shut out, and no gauge shows it any more */
    health_reload(health, &other, &conf);
    assert_int_equal(health_state_of(health, &models[0]), BREAKER_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_words, setup, teardown),
        cmocka_unit_test_setup_teardown(test_opens_and_closes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_probes_without_a_verdict, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_probe_is_handed_on, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_asker_leaves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_d22_an_unused_leave_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_worker_probes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_passed_calls_are_called_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_choice_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_models_without_an_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_configuration, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
