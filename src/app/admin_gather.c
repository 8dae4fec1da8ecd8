/* SPDX-License-Identifier: Apache-2.0 */
/* Asks every worker for its jobs in flight and answers one request with what they said. A worker that does not answer
 * within a second is left out, and the document says so; its late answer is thrown away. Main thread, but for answer().
 */
#include <stdlib.h>
#include <string.h>

#include "app/admin_http.h"
#include "app/admin_internal.h"
#include "base/buf.h"
#include "base/mem.h"

#define WAIT_US INT64_C(1000000)

/* One question to all workers. */
struct gather {
    struct admin *admin;
    struct admin_conn *conn; /* NULL: the client is gone, or was answered */
    struct timer timer;
    char *job_id; /* NULL: all */
    int max_jobs;
    int n_out;               /* asks under way */
    struct report **reports; /* reports[n_workers], NULL: no answer yet */
};

/* The question to one worker. The worker has it between the two posts. */
struct ask {
    struct list link; /* admin.asks */
    struct gather *gather;
    int index;
    struct loop *home;
    struct admin_worker *worker;
    char *job_id;
    int max_jobs;
    struct report *report;
};

static void ask_free(struct ask *q)
{
    list_del(&q->link);
    report_free(q->report);
    mem_free(q->job_id);
    mem_free(q);
}

static void gather_free(struct gather *g)
{
    timer_stop(g->admin->loop, &g->timer);
    for (int i = 0; i < g->admin->n_workers; i++)
        report_free(g->reports[i]);
    mem_free(g->reports);
    mem_free(g->job_id);
    mem_free(g);
}

static int by_age(const void *a, const void *b)
{
    const struct status_job *x = a, *y = b;

    return x->job->age_ms > y->job->age_ms ? -1 : x->job->age_ms < y->job->age_ms;
}

static void reply(struct gather *g)
{
    struct admin *a = g->admin;
    struct status_job *jobs;
    int n = 0, n_max = 0;
    struct buf b;

    for (int i = 0; i < a->n_workers; i++)
        n_max += g->reports[i] != NULL ? g->reports[i]->n_jobs_listed : 0;
    if (n_max == 0 && g->job_id != NULL) {
        admin_reply_error(g->conn, g->n_out > 0 ? 503 : 404,
                          g->n_out > 0 ? "not every worker answered within a second"
                                       : "no such job is in flight here: it is finished, waits in its partition, or "
                                         "another process has it");
        return;
    }
    jobs = mem_zero(sizeof(*jobs) * (size_t)(n_max + 1));
    for (int i = 0; i < a->n_workers; i++)
        for (int k = 0; g->reports[i] != NULL && k < g->reports[i]->n_jobs_listed; k++)
            jobs[n++] = (struct status_job){g->reports[i]->worker_id, &g->reports[i]->jobs[k]};
    qsort(jobs, (size_t)n, sizeof(*jobs), by_age);
    buf_init(&b, 0);
    status_json_jobs(jobs, n < g->max_jobs ? n : g->max_jobs, g->n_out == 0, loop_wall_ms(a->loop), &b);
    admin_reply(g->conn, 200, "application/json", NULL, &b);
    buf_done(&b);
    mem_free(jobs);
}

/* Answers what can be answered; the gather lives until the last ask is back. */
static void finish(struct gather *g)
{
    timer_stop(g->admin->loop, &g->timer);
    if (g->conn != NULL)
        reply(g);
    g->conn = NULL;
    if (g->n_out == 0)
        gather_free(g);
}

static void on_timeout(void *arg)
{
    finish(arg);
}

static void on_client_gone(void *arg)
{
    struct gather *g = arg;

    g->conn = NULL;
    finish(g);
}

/* thread: main, posted by the worker */
static void on_answer(void *arg)
{
    struct ask *q = arg;
    struct gather *g = q->gather;

    g->reports[q->index] = TAKE(q->report);
    ask_free(q);
    if (--g->n_out == 0)
        finish(g);
}

/* thread: the worker's */
static void answer(void *arg)
{
    struct ask *q = arg;

    if (*q->worker->worker != NULL)
        q->report = report_new(*q->worker->worker, q->max_jobs, q->job_id);
    loop_post(q->home, on_answer, q);
}

void admin_gather(struct admin *a, struct admin_conn *c, int max_jobs, const char *job_id)
{
    struct gather *g = mem_zero(sizeof(*g));

    g->admin = a;
    g->conn = c;
    g->max_jobs = max_jobs;
    g->job_id = mem_strdup(job_id);
    g->reports = mem_zero(sizeof(struct report *) * (size_t)a->n_workers);
    timer_init(&g->timer, on_timeout, g);
    for (int i = 0; i < a->n_workers; i++) {
        struct ask *q;

        if (a->workers[i] == NULL)
            continue;
        q = mem_zero(sizeof(*q));
        *q = (struct ask){.gather = g,
                          .index = i,
                          .home = a->loop,
                          .worker = a->workers[i],
                          .job_id = mem_strdup(job_id),
                          .max_jobs = max_jobs};
        list_init(&q->link);
        list_add_tail(&a->asks, &q->link);
        g->n_out++;
        loop_post(a->workers[i]->pulse.loop, answer, q);
    }
    if (g->n_out == 0) {
        finish(g);
        return;
    }
    admin_conn_hold(c, on_client_gone, g);
    timer_start(a->loop, &g->timer, loop_now_us(a->loop) + WAIT_US);
}

void admin_gather_done(struct admin *a)
{
    LIST_EACH_SAFE (it, &a->asks) {
        struct ask *q = LIST_ENTRY(it, struct ask, link);
        struct gather *g = q->gather;

        ask_free(q);
        g->conn = NULL; /* the server has closed it */
        if (--g->n_out == 0)
            gather_free(g);
    }
}
