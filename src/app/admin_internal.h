/* SPDX-License-Identifier: Apache-2.0 */
/* What admin.c (routes, watch) and admin_gather.c (asking the workers) share. */
#ifndef APP_ADMIN_INTERNAL_H
#define APP_ADMIN_INTERNAL_H

#include "app/admin.h"
#include "base/list.h"
#include "loop.h"

struct admin_conn;
struct admin_http;

enum { ADMIN_JOBS_MAX = 1000 };

struct admin {
    struct loop *loop;
    struct admin_http *http; /* NULL: off */
    struct status *status;
    struct admin_worker **workers; /* workers[n_workers], NULL: not running */
    int n_workers;
    struct timer tick;
    enum check_level logged_level;
    struct list asks; /* struct ask: questions that are out */
};

/* Answers the request with the oldest jobs of all workers: at most `max_jobs`, only those of `job_id` unless NULL, 404
 * when there is none of it. Waits for the workers, at most a second. */
void admin_gather(struct admin *a, struct admin_conn *c, int max_jobs, const char *job_id);
/* At the end, with the workers gone. */
void admin_gather_done(struct admin *a);

#endif
