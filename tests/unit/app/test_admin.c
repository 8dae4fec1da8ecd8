/* SPDX-License-Identifier: Apache-2.0 */
/* Routes, health and the watch over the workers, against workers that are only loops. Takes a little over a second: one
 * question waits for a worker that does not answer. */
#include "app/admin.h"

#include "admin_rig.h"
#include "app/config.h"
#include "app/wire.h"
#include "base/metrics.h"
#include "config_testing.h"

enum { N_WORKERS = 2 };

struct rig {
    struct config_reading reading;
    struct wiring wiring;
    struct loop_thread main;
    struct admin *admin;
    struct loop_thread loops[N_WORKERS];
    struct admin_worker workers[N_WORKERS];
    struct worker *none;
    sem_t is_blocked, go;
};

static char out[64 * 1024];

static const char *get(const struct rig *r, const char *path)
{
    return client_get(admin_address(r->admin), path, out, sizeof(out));
}

static bool has_status(const char *answer, int status)
{
    return strtol(answer + strlen("HTTP/1.1 "), NULL, 10) == status;
}

static void begin_worker(void *arg)
{
    admin_worker_begin(arg);
}

static void end_worker(void *arg)
{
    admin_worker_end(arg);
}

static void open_admin(void *arg)
{
    struct rig *r = arg;

    CHECK(admin_new(r->main.loop, &r->wiring, N_WORKERS, &r->admin) == 0);
    for (int i = 0; i < N_WORKERS; i++)
        admin_watch(r->admin, i, &r->workers[i], r->loops[i].loop, &r->none);
}

static int set_up(void **state)
{
    static const char text[] = CONFIG_BASE "admin: {listen: 127.0.0.1:0}\n";
    struct rig *r = mem_zero(sizeof(*r));

    r->reading = config_read(text, NULL);
    CHECK(r->reading.config != NULL);
    wiring_init(&r->wiring, r->reading.config);
    CHECK(sem_init(&r->is_blocked, 0, 0) == 0 && sem_init(&r->go, 0, 0) == 0);
    for (int i = 0; i < N_WORKERS; i++)
        r->loops[i].loop = loop_new();
    r->main.loop = loop_new();
    open_admin(r);
    for (int i = 0; i < N_WORKERS; i++) {
        loop_thread_start(&r->loops[i], r->loops[i].loop);
        run_on(r->loops[i].loop, begin_worker, &r->workers[i]);
    }
    loop_thread_start(&r->main, r->main.loop);
    *state = r;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *r = *state;

    CHECK(sem_post(&r->go) == 0); /* a test that failed may have left one stuck */
    for (int i = 0; i < N_WORKERS; i++) {
        run_on(r->loops[i].loop, end_worker, &r->workers[i]);
        loop_thread_stop(&r->loops[i]);
    }
    loop_thread_stop(&r->main);
    for (int i = 0; i < N_WORKERS; i++)
        admin_unwatch(r->admin, i);
    admin_free(r->admin);
    for (int i = 0; i < N_WORKERS; i++)
        loop_free(r->loops[i].loop);
    loop_free(r->main.loop);
    wiring_done(&r->wiring);
    config_reading_done(&r->reading);
    mem_free(r);
    return 0;
}

static void test_routes(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *type, *part;
    } cases[] = {
        {"/livez", 200, "text/plain; charset=utf-8", "\r\n\r\nok\n"},
        {"/readyz", 503, "text/plain; charset=utf-8", "\r\n\r\nnot ready\n[-] life: starting"},
        {"/readyz?verbose", 503, "text/plain; charset=utf-8", "[+] journal: writes are taken\n"},
        {"/metrics", 200, "text/plain; version=0.0.4; charset=utf-8", "tutti_build_info{version=\""},
        {"/version", 200, "application/json", "{\"schema_version\":1,\"version\":\""},
        {"/api/v1/status", 200, "application/json", "\"state\":\"not_ready\""},
        {"/api/v1/limits", 200, "application/json", "\"limits\":[]}"},
        {"/api/v1/inflight", 200, "application/json", "\"complete\":true,\"jobs\":[]}"},
        {"/api/v1/jobs/a%2Fb", 404, "application/json", "no such job is in flight here"},
        {"/api/v1/jobs/%zz", 404, "application/json", "no such page"},
        {"/api/v1/jobs/%00", 404, "application/json", "no such page"},
        {"/api/v1/jobs/", 404, "application/json", "no such page"},
        {"/metrics/", 404, "application/json", "no such page"},
        {"/", 200, "text/html; charset=utf-8", "<h2>Models</h2>"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char type[80];
        const char *answer = get(*state, cases[i].path);

        (void)snprintf(type, sizeof(type), "\r\nContent-Type: %s\r\n", cases[i].type);
        assert_true(has_status(answer, cases[i].status));
        assert_non_null(strstr(answer, type));
        assert_non_null(strstr(answer, cases[i].part));
    }
}

/* Its own style passes by its digest; nothing else is allowed to load, let alone to run. */
static void test_page_is_closed(void **state)
{
    const char *page = get(*state, "/");

    assert_non_null(strstr(page, "\r\nContent-Security-Policy: default-src 'none'; style-src 'sha256-"));
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "src="));
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    assert_null(strstr(page, " style="));
}

static void block(void *arg)
{
    struct rig *r = arg;

    CHECK(sem_post(&r->is_blocked) == 0);
    while (sem_wait(&r->go) < 0)
        ;
}

static void nothing(void *arg)
{
    (void)arg;
}

/* D-12: a loop that does not come out of a callback. The ten seconds are not waited for: its last beat is moved back,
 * which it cannot repair while it is stuck. */
static void test_d12_stuck_worker_ends_liveness(void **state)
{
    struct rig *r = *state;
    int64_t before = metric_get(METRIC_WORKERS_STUCK);

    loop_post(r->loops[1].loop, block, r);
    while (sem_wait(&r->is_blocked) < 0)
        ;
    assert_true(has_status(get(r, "/livez"), 200)); /* not for so long yet */
    atomic_fetch_sub(&r->workers[1].pulse.beat_us, 11000000);
    assert_true(has_status(get(r, "/livez"), 503));
    assert_non_null(strstr(out, "worker 1: its loop has not turned for 11 s"));
    assert_true(has_status(get(r, "/readyz"), 503));
    assert_non_null(strstr(out, "[-] workers: the loop of worker 1 has not turned"));
    assert_int_equal(metric_get(METRIC_WORKERS_STUCK), before + 1); /* counted once */

    /* Questions do not wait for it longer than a second, and say so. */
    assert_true(has_status(get(r, "/api/v1/inflight"), 200));
    assert_non_null(strstr(out, "\"complete\":false"));

    assert_int_equal(sem_post(&r->go), 0);
    run_on(r->loops[1].loop, begin_worker, &r->workers[1]); /* not to wait for the next beat */
    run_on(r->loops[1].loop, nothing, NULL);
    assert_true(has_status(get(r, "/livez"), 200));
}

static void test_admin_can_be_off(void **state)
{
    struct config_reading reading = config_read(CONFIG_BASE "admin: {listen: \"off\"}\n", NULL);
    struct loop *loop = loop_new();
    struct wiring w;
    struct admin *a;

    (void)state;
    assert_non_null(reading.config);
    wiring_init(&w, reading.config);
    assert_int_equal(admin_new(loop, &w, 1, &a), 0);
    assert_string_equal(admin_address(a), "");
    admin_free(a);
    loop_free(loop);
    wiring_done(&w);
    config_reading_done(&reading);
}

/* What is not there is not praised: `tutti dev` has neither Redis nor a journal on disk. */
static void test_checks_say_what_is_there(void **state)
{
    struct rig *r = *state;
    static const struct {
        bool is_local, is_in_memory, is_enabled;
        const char *redis, *journal;
    } cases[] = {{false, false, true, "redis: limits are shared\n", "journal: writes are taken\n"},
                 {true, true, false, "redis: not used, limits hold in this process\n",
                  "journal: in memory, it ends with this process\n"},
                 {false, false, false, "redis: limits are shared\n", "journal: off, a crash may pay answers again\n"}};
    struct pool_conf pool = {.id = "pool"};
    struct wiring was = r->wiring;
    struct config config = *r->reading.config;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *answer;

        config.journal.is_enabled = cases[i].is_enabled;
        r->wiring.config = &config;
        r->wiring.pools = &pool;
        r->wiring.n_pools = 1;
        r->wiring.has_local_limits = cases[i].is_local;
        r->wiring.has_memory_journal = cases[i].is_in_memory;
        answer = get(r, "/readyz?verbose");
        r->wiring = was;
        assert_non_null(strstr(answer, cases[i].redis));
        assert_non_null(strstr(answer, cases[i].journal));
    }
}

/* A taken port may be free again soon, an address that is not ours never is: supervisors read the exit code. */
static void test_exit_codes_of_a_bad_address(void **state)
{
    struct rig *r = *state;
    const struct {
        const char *address;
        int code;
    } cases[] = {{admin_address(r->admin), 69}, {"192.0.2.1:8088", 78}};
    struct loop *loop = loop_new();
    struct config config = *r->reading.config;
    struct wiring w = r->wiring;
    struct admin *a;

    w.config = &config;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        config.admin_listen = cases[i].address;
        assert_int_equal(admin_new(loop, &w, 1, &a), cases[i].code);
    }
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_page_is_closed),
        cmocka_unit_test(test_d12_stuck_worker_ends_liveness),
        cmocka_unit_test(test_admin_can_be_off),
        cmocka_unit_test(test_checks_say_what_is_there),
        cmocka_unit_test(test_exit_codes_of_a_bad_address),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
