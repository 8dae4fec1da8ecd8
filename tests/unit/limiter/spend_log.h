/* SPDX-License-Identifier: Apache-2.0 */
/* A log of spends in time order and the exact check of the promise: in every window of length w at most
 * cap + rate * w (+ excess) was spent. Header only. */
#ifndef TEST_SPEND_LOG_H
#define TEST_SPEND_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/check.h"

enum { SPENDS_MAX = 65536 };

struct spend_log {
    int n;
    int64_t at_us[SPENDS_MAX];
    int64_t units[SPENDS_MAX];
};

/* Times never fall. */
__attribute__((unused)) static void spend_add(struct spend_log *log, int64_t at_us, int64_t units)
{
    CHECK(log->n < SPENDS_MAX && (log->n == 0 || at_us >= log->at_us[log->n - 1]));
    log->at_us[log->n] = at_us;
    log->units[log->n++] = units;
}

/* Most units in any closed window of `w_us`. */
__attribute__((unused)) static int64_t spend_max(const struct spend_log *log, int64_t w_us)
{
    int64_t sum = 0, most = 0;

    for (int head = 0, tail = 0; head < log->n; head++) {
        sum += log->units[head];
        while (log->at_us[tail] < log->at_us[head] - w_us)
            sum -= log->units[tail++];
        most = sum > most ? sum : most;
    }
    return most;
}

/* All windows at once: S(j) - S(i-1) - r*(t_j - t_i) <= cap for all i <= j. Units and cap in micro-units, rate per
 * second. Returns by how much the worst window is over; <= 0: the promise holds. */
__attribute__((unused)) static double spend_worst(const struct spend_log *log, double cap, double rate)
{
    double sum = 0, lowest = 0, worst = -cap;

    for (int i = 0; i < log->n; i++) {
        double drained = rate * (double)(log->at_us[i] - log->at_us[0]) / 1e6;

        if (i == 0 || sum - drained < lowest)
            lowest = sum - drained;
        sum += (double)log->units[i];
        if (sum - drained - lowest - cap > worst)
            worst = sum - drained - lowest - cap;
    }
    return worst;
}

#endif
