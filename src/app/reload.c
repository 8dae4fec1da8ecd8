/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a configuration again and hands it to the workers. It never changes what is in use: a generation is made whole,
 * then posted. Main thread, but for on_errand(). */
#include "app/reload.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "app/config.h"
#include "app/config_diff.h"
#include "app/config_report.h"
#include "app/wire.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop.h"

struct generation;

/* A generation on its way to a worker. */
struct errand {
    const struct generation *generation;
    struct crew *crew;
};

struct generation {
    struct list link; /* reload->generations, oldest first */
    struct config *config;
    struct wiring wiring;
    struct errand *errands;
};

struct reload {
    struct config_input in;
    const struct config *config; /* in force */
    const struct wiring *wiring;
    struct list generations; /* all but the first */
};

/* --- thread: the worker's --- */

static void on_errand(void *arg)
{
    const struct errand *e = arg;

    crew_reload(e->crew, &e->generation->wiring);
}

/* --- the main thread --- */

static void log_problems(const struct config_report *report)
{
    for (int i = 0; i < report->n_problems; i++) {
        const struct config_problem *p = &report->problems[i];

        log_event(p->is_warning ? LOG_WARN : LOG_ERROR, "config_problem", "file=\"%s\" line=%d column=%d why=\"%s\"",
                  p->place.origin != NULL ? p->place.origin : report->name, p->place.line, p->place.column, p->text);
    }
}

static void log_failure(const struct reload *r, int n, const char *why)
{
    metric_set(METRIC_RELOAD_OK, 0);
    log_event(LOG_ERROR, "reload_failed", "file=\"%s\" problems=%d why=\"%s\"", r->in.path, n, why);
}

/* NULL: nothing to be used; logged. */
static struct config *read_again(struct reload *r)
{
    struct config_report report;
    struct config *c = NULL;

    if (strcmp(r->in.path, "-") == 0) {
        log_failure(r, 1, "the configuration came from stdin, which is over");
        return NULL;
    }
    config_report_init(&report, "tutti");
    if (config_load(&r->in, &report, &c) < 0)
        log_failure(r, report.n_errors, "nothing was changed");
    log_problems(&report);
    config_report_done(&report);
    return c;
}

static void use(struct reload *r, struct config *c, const struct reload_target *targets, int n)
{
    struct generation *g = mem_zero(sizeof(*g));

    g->config = c;
    wiring_init_after(&g->wiring, c, r->wiring);
    g->wiring.has_local_limits = r->wiring->has_local_limits;
    g->wiring.has_memory_journal = r->wiring->has_memory_journal;
    g->wiring.has_mock_kafka = r->wiring->has_mock_kafka;
    g->errands = mem_zero(sizeof(*g->errands) * (size_t)(n > 0 ? n : 1));
    list_init(&g->link);
    list_add_tail(&r->generations, &g->link);
    r->config = c;
    r->wiring = &g->wiring;
    log_configure((enum log_level)c->log_level, (enum log_format)c->log_format);
    for (int i = 0; i < n; i++) {
        g->errands[i] = (struct errand){.generation = g, .crew = targets[i].crew};
        loop_post(targets[i].loop, on_errand, &g->errands[i]);
    }
}

/* The good configuration in force or not: what it would change is said. */
static bool has_changes(const struct reload *r, const struct config *c)
{
    struct buf changed, restart;
    struct config_diff diff;

    buf_init(&changed, 0);
    buf_init(&restart, 0);
    diff = config_diff(r->config, c, &changed, &restart);
    if (diff.n_restart > 0)
        log_event(LOG_WARN, "reload_needs_restart", "keys=\"%s\"", restart.p);
    log_event(LOG_INFO, "reloaded", "file=\"%s\" changed=\"%s\"", r->in.path, diff.n_changed > 0 ? changed.p : "");
    buf_done(&changed);
    buf_done(&restart);
    return diff.n_changed > 0;
}

const struct wiring *reload_now(struct reload *r, const struct reload_target *targets, int n)
{
    struct config *c = read_again(r);
    struct timespec now;

    if (c == NULL)
        return NULL;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    metric_set(METRIC_RELOAD_OK, 1);
    metric_set(METRIC_RELOAD_TIME, (int64_t)now.tv_sec);
    if (!has_changes(r, c)) {
        config_free(c);
        return NULL;
    }
    config_keep(c, r->config);
    use(r, c, targets, n);
    return r->wiring;
}

struct reload *reload_new(const struct config_input *in, const struct config *first, const struct wiring *wiring)
{
    struct reload *r = mem_zero(sizeof(*r));

    r->in = *in;
    if (in->path == NULL || strcmp(in->path, "-") != 0)
        r->in.path = first->path; /* as it was found: another one may have come to stand before it */
    r->in.out_shown = NULL;
    r->config = first;
    r->wiring = wiring;
    list_init(&r->generations);
    return r;
}

void reload_free(struct reload *r)
{
    struct list *it;

    if (r == NULL)
        return;
    while ((it = list_take_first(&r->generations)) != NULL) {
        struct generation *g = LIST_ENTRY(it, struct generation, link);

        wiring_done(&g->wiring);
        config_free(g->config);
        mem_free(g->errands);
        mem_free(g);
    }
    mem_free(r);
}
