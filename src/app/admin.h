/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server of a process: routes, the watch over the workers, and asking them for details. It changes nothing;
 * no request makes a call to a provider, to Redis or to Kafka. */
#ifndef APP_ADMIN_H
#define APP_ADMIN_H

#include <stdatomic.h>

#include "app/status.h"
#include "app/watchdog.h"

struct admin;
struct loop;
struct wiring;
struct worker;

/* A worker as the admin server sees it; storage is the process's, one for each worker's thread. */
struct admin_worker {
    struct pulse pulse;
    struct worker *const *worker;  /* the thread's own; NULL in it: not made, or gone */
    _Atomic(struct report *) mail; /* the newest report that nobody has taken */
    bool is_watched;               /* main thread */
    bool is_stuck;                 /* main thread */
};

/* Opens the server at config->admin_listen; "off": only the watch runs.
 * errors  0, else the sysexits code to leave with, with the reason logged: 69 the address is taken, 78 it is wrong
 * thread  main, as what follows unless it says otherwise */
int admin_new(struct loop *loop, const struct wiring *w, int n_workers, struct admin **out);
/* After all workers' threads were joined. NULL is fine. */
void admin_free(struct admin *a);
/* What the process has come to. */
struct status *admin_status(struct admin *a);
/* Where it listens, "" when off. */
const char *admin_address(const struct admin *a);

/* Before the worker's thread is started, and after it was joined. */
void admin_watch(struct admin *a, int index, struct admin_worker *aw, struct loop *loop, struct worker *const *worker);
void admin_unwatch(struct admin *a, int index);
/* Around loop_run(). thread  the worker's */
void admin_worker_begin(struct admin_worker *aw);
void admin_worker_end(struct admin_worker *aw);

#endif
