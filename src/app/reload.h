/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that changes while the service runs (SIGHUP). Each good one becomes a generation: configuration,
 * registry and pools compiled anew, and handed to every worker. Generations live until the process ends, since jobs in
 * hand, records being counted and permits hold models of theirs; one costs some tens of kilobytes. */
#ifndef APP_RELOAD_H
#define APP_RELOAD_H

struct config;
struct config_input;
struct crew;
struct loop;
struct reload;
struct wiring;

/* A worker to be told. */
struct reload_target {
    struct loop *loop;
    struct crew *crew;
};

/* in      where `first` was read from, and will be again; copied, what it points at stays the caller's
 * owns    first and wiring stay the caller's and must outlive the reload
 * thread  main, as what follows */
struct reload *reload_new(const struct config_input *in, const struct config *first, const struct wiring *wiring);
/* After all workers' threads were joined. NULL is fine. */
void reload_free(struct reload *r);
/* Reads and checks the file. A bad one changes nothing and is logged with all its problems; a good one is in force from
 * here on, and each worker takes it up in one of its next turns. Options that need a restart keep their values and are
 * named in the log. Counts in tutti_config_last_reload_*.
 * Returns the wiring now in force; NULL: nothing changed. */
const struct wiring *reload_now(struct reload *r, const struct reload_target *targets, int n);

#endif
