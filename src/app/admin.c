/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of the admin server and the watch over the workers. Once a second each worker leaves a report in its mailbox
 * and the main thread looks whether it did. Details (jobs in flight) are asked for with a post and answered when all
 * have replied, or after a second. Main thread, but for what is marked otherwise. */
#include "app/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/admin_http.h"
#include "app/admin_internal.h"
#include "app/build_id.h"
#include "app/config.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

enum { EXIT_UNAVAILABLE = 69, EXIT_CONFIG = 78 };

#define TICK_US  INT64_C(1000000)
#define STUCK_US INT64_C(10000000)

static const char JSON[] = "application/json";
static const char PLAIN[] = "text/plain; charset=utf-8";

/* --- on the worker's thread --- */

static void leave_report(void *arg)
{
    struct admin_worker *aw = arg;

    if (*aw->worker != NULL)
        report_free(atomic_exchange(&aw->mail, report_new(*aw->worker, STATUS_SLOWEST, NULL)));
}

void admin_worker_begin(struct admin_worker *aw)
{
    pulse_start(&aw->pulse);
}

void admin_worker_end(struct admin_worker *aw)
{
    pulse_stop(&aw->pulse);
}

/* --- the watch --- */

static void look_at(struct admin *a, int index)
{
    struct admin_worker *aw = a->workers[index];
    int64_t silent_us;
    struct report *r;

    if (aw == NULL)
        return;
    r = atomic_exchange(&aw->mail, NULL);
    if (r != NULL)
        status_take_report(a->status, index, r);
    silent_us = pulse_silence_us(&aw->pulse, loop_clock_us(a->loop));
    status_set_silence(a->status, index, silent_us);
    if (silent_us > STUCK_US && !aw->is_stuck) {
        aw->is_stuck = true;
        metric_add(METRIC_WORKERS_STUCK, 1);
        log_event(LOG_ERROR, "worker_stuck", "worker=%d silent_ms=%lld why=\"its loop does not turn\"", index,
                  (long long)(silent_us / 1000));
    } else if (silent_us < STUCK_US && aw->is_stuck) {
        aw->is_stuck = false;
        log_event(LOG_WARN, "worker_turns_again", "worker=%d", index);
    }
}

static void look_at_all(struct admin *a)
{
    for (int i = 0; i < a->n_workers; i++)
        look_at(a, i);
}

static void log_level_change(struct admin *a, const struct status_view *v)
{
    static const char *const words[] = {"ready", "degraded", "not_ready"};
    const char *why = "";

    if (v->level == a->logged_level)
        return;
    a->logged_level = v->level;
    for (int i = 0; i < v->n_checks && *why == '\0'; i++)
        if (v->checks[i].level == v->level && v->level != CHECK_OK)
            why = v->checks[i].text;
    log_event(v->level == CHECK_OK ? LOG_INFO : LOG_WARN, "readiness", "state=%s why=\"%s\"", words[v->level], why);
}

static void on_tick(void *arg)
{
    struct admin *a = arg;
    int64_t now_us = loop_now_us(a->loop);
    struct status_view v;

    timer_start(a->loop, &a->tick, now_us + TICK_US);
    look_at_all(a);
    status_tick(a->status, now_us);
    status_view_init(&v, a->status, now_us, loop_wall_ms(a->loop));
    log_level_change(a, &v);
    status_view_done(&v);
}

/* --- routes --- */

static void reply_livez(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    struct buf b;
    int status = 200;

    (void)a;
    (void)query;
    buf_init(&b, 0);
    for (int i = 0; i < v->n_workers; i++) {
        if (v->silent_us[i] <= STUCK_US)
            continue;
        status = 503;
        buf_printf(&b, "worker %d: its loop has not turned for %lld s\n", i, (long long)(v->silent_us[i] / TICK_US));
    }
    if (status == 200)
        buf_add_str(&b, "ok\n");
    admin_reply(c, status, PLAIN, NULL, &b);
    buf_done(&b);
}

static void reply_readyz(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    struct buf b;

    (void)a;
    buf_init(&b, 0);
    status_ready_text(v, strncmp(query, "verbose", 7) == 0, &b);
    admin_reply(c, v->level == CHECK_FAILED ? 503 : 200, PLAIN, NULL, &b);
    buf_done(&b);
}

static void reply_metrics(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    struct buf b;

    (void)a;
    (void)query;
    buf_init(&b, 0);
    metrics_print(&b);
    status_metrics(v, &b);
    admin_reply(c, 200, "text/plain; version=0.0.4; charset=utf-8", NULL, &b);
    buf_done(&b);
}

static void reply_version(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    struct buf b;

    (void)a;
    (void)v;
    (void)query;
    buf_init(&b, 0);
    status_json_version(&b);
    admin_reply(c, 200, JSON, NULL, &b);
    buf_done(&b);
}

static void reply_status(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    struct buf b;

    (void)a;
    (void)query;
    buf_init(&b, 0);
    status_json(v, &b);
    admin_reply(c, 200, JSON, NULL, &b);
    buf_done(&b);
}

static void reply_limits(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    struct buf b;

    (void)a;
    (void)query;
    buf_init(&b, 0);
    status_json_limits(v, &b);
    admin_reply(c, 200, JSON, NULL, &b);
    buf_done(&b);
}

static void reply_page(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    struct buf b;

    (void)a;
    (void)query;
    buf_init(&b, 0);
    status_page(v, &b);
    admin_reply(c, 200, "text/html; charset=utf-8", status_page_policy(), &b);
    buf_done(&b);
}

/* ?limit=N, 1 to 1000 */
static int limit_of(const char *query)
{
    const char *p = strstr(query, "limit=");
    long n = p != NULL ? strtol(p + 6, NULL, 10) : 0;

    return n >= 1 && n <= ADMIN_JOBS_MAX ? (int)n : 100;
}

static void reply_inflight(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query)
{
    (void)v;
    admin_gather(a, c, limit_of(query), NULL);
}

static const struct route {
    const char *path;
    void (*reply)(struct admin *a, struct admin_conn *c, const struct status_view *v, const char *query);
} routes[] = {
    {"/", reply_page},
    {"/livez", reply_livez},
    {"/readyz", reply_readyz},
    {"/metrics", reply_metrics},
    {"/version", reply_version},
    {"/api/v1/status", reply_status},
    {"/api/v1/limits", reply_limits},
    {"/api/v1/inflight", reply_inflight},
};

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes percent-encoding. NULL: broken, too long, or a NUL in it. */
static const char *decode_id(const char *s, char *out, size_t size)
{
    size_t n = 0;

    for (; *s != '\0'; s++, n++) {
        int high = 0, low = 0;

        if (n + 1 >= size)
            return NULL;
        out[n] = *s;
        if (*s != '%')
            continue;
        high = hex_of(s[1]);
        low = high >= 0 ? hex_of(s[2]) : -1;
        if (low < 0 || high * 16 + low == 0)
            return NULL;
        out[n] = (char)(high * 16 + low);
        s += 2;
    }
    out[n] = '\0';
    return n > 0 ? out : NULL;
}

static void on_request(void *arg, struct admin_conn *c, const struct admin_request *q)
{
    static const char jobs[] = "/api/v1/jobs/";
    struct admin *a = arg;
    struct status_view v;
    char id[1024];

    if (strncmp(q->path, jobs, sizeof(jobs) - 1) == 0 &&
        decode_id(q->path + sizeof(jobs) - 1, id, sizeof(id)) != NULL) {
        admin_gather(a, c, ADMIN_JOBS_MAX, id);
        return;
    }
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(routes[i].path, q->path) != 0)
            continue;
        look_at_all(a);
        status_view_init(&v, a->status, loop_now_us(a->loop), loop_wall_ms(a->loop));
        routes[i].reply(a, c, &v, q->query);
        status_view_done(&v);
        return;
    }
    admin_reply_error(c, 404,
                      "no such page: there are /, /livez, /readyz, /metrics, /version, /api/v1/status, "
                      "/api/v1/limits, /api/v1/inflight and /api/v1/jobs/{id}");
}

/* --- life --- */

static int open_server(struct admin *a, const char *address)
{
    const char *why;
    int r = admin_http_new(a->loop, address, on_request, a, &a->http, &why);

    if (r == 0) {
        log_event(LOG_INFO, "admin_listening", "address=\"%s\"", admin_http_address(a->http));
        return 0;
    }
    log_event(LOG_ERROR, "admin_listen_failed", "option=admin.listen address=\"%s\" why=\"%s\"", address, why);
    return r == -EADDRINUSE ? EXIT_UNAVAILABLE : EXIT_CONFIG;
}

int admin_new(struct loop *loop, const struct wiring *w, int n_workers, struct admin **out)
{
    struct admin *a = mem_zero(sizeof(*a));
    int code = 0;

    a->loop = loop;
    a->n_workers = n_workers;
    a->workers = mem_zero(sizeof(struct admin_worker *) * (size_t)n_workers);
    a->status = status_new(w, n_workers, loop_now_us(loop), loop_wall_ms(loop));
    a->logged_level = CHECK_FAILED; /* it starts */
    list_init(&a->asks);
    timer_init(&a->tick, on_tick, a);
    count_words();
    metric_set(METRIC_RELOAD_OK, 1);
    metric_set(METRIC_RELOAD_TIME, loop_wall_ms(loop) / 1000);
    if (strcmp(w->config->admin_listen, "off") != 0)
        code = open_server(a, w->config->admin_listen);
    if (code != 0) {
        admin_free(a);
        return code;
    }
    timer_start(loop, &a->tick, loop_now_us(loop) + TICK_US);
    *out = a;
    return 0;
}

void admin_free(struct admin *a)
{
    if (a == NULL)
        return;
    admin_http_free(a->http);
    admin_gather_done(a);
    timer_stop(a->loop, &a->tick);
    status_free(a->status);
    mem_free(a->workers);
    mem_free(a);
}

struct status *admin_status(struct admin *a)
{
    return a->status;
}

const char *admin_address(const struct admin *a)
{
    return a->http != NULL ? admin_http_address(a->http) : "";
}

void admin_watch(struct admin *a, int index, struct admin_worker *aw, struct loop *loop, struct worker *const *worker)
{
    aw->worker = worker;
    atomic_init(&aw->mail, NULL);
    pulse_init(&aw->pulse, loop, TICK_US, leave_report, aw);
    a->workers[index] = aw;
}

void admin_unwatch(struct admin *a, int index)
{
    struct admin_worker *aw = a->workers[index];

    if (aw == NULL)
        return;
    report_free(atomic_exchange(&aw->mail, NULL));
    a->workers[index] = NULL;
    status_take_report(a->status, index, NULL);
    status_set_silence(a->status, index, 0);
}
