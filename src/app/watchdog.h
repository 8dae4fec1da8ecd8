/* SPDX-License-Identifier: Apache-2.0 */
/* Notices a loop that has stopped to turn. The watched loop's thread only stores the time, once a second; the watcher's
 * loop looks at it. Neither waits for the other. */
#ifndef APP_WATCHDOG_H
#define APP_WATCHDOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop.h"

/* A loop's sign of life. Storage is the caller's. */
struct pulse {
    struct loop *loop;
    struct timer timer;
    int64_t period_us;
    void (*each)(void *arg); /* on the watched thread, with every beat; NULL: nothing */
    void *arg;
    _Atomic int64_t beat_us; /* monotonic time of the last one; 0: not watched */
};

/* From here on it counts as alive, also before its loop runs. thread  any, before the loop runs */
void pulse_init(struct pulse *p, struct loop *loop, int64_t period_us, void (*each)(void *arg), void *arg);
/* The first beat comes at once. thread  the loop's */
void pulse_start(struct pulse *p);
/* The loop ends: no longer watched. thread  the loop's */
void pulse_stop(struct pulse *p);
/* Time since the last beat, 0 when it is not watched. thread  any */
int64_t pulse_silence_us(const struct pulse *p, int64_t now_us);

#endif
