/* SPDX-License-Identifier: Apache-2.0 */
/* Commands from the control topic to the workers of this process. Main thread. */
#ifndef APP_CONTROL_H
#define APP_CONTROL_H

struct config;
struct control;
struct loop;
struct worker;

/* A worker that is told. */
struct control_target {
    struct loop *loop;            /* outlives the control */
    struct worker *const *worker; /* read on that loop's thread; NULL there: not made, or gone */
};

/* Begins to read; ready() comes once, in a later turn: when all commands that were there have been read, when they
 * cannot be read, or after five seconds. owns  loop and config must outlive it; control_stop(), then control_free() */
struct control *control_new(struct loop *loop, const struct config *config, void (*ready)(void *arg), void *arg);
/* From now on each command goes to all targets[n], those read before at once; called once, before the targets' loops
 * run. Commands are kept until every target has had them. */
void control_attach(struct control *c, const struct control_target *targets, int n);
/* Reads no more; done() comes in a later turn. */
void control_stop(struct control *c, void (*done)(void *arg), void *arg);
/* After stop() was done and the targets' loops ended. NULL is fine. */
void control_free(struct control *c);

#endif
