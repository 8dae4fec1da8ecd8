/* SPDX-License-Identifier: Apache-2.0 */
/* Quantities as people write them: sizes 4MiB, durations 250ms, counts 25k, prices in dollars. Any thread. */
#ifndef BASE_UNITS_H
#define BASE_UNITS_H

#include <stdint.h>

/* Each returns 0, -EINVAL (not of this form) or -ERANGE. The whole string must be used up. */
int units_size(const char *s, int64_t *out_bytes); /* 1024, 1KiB, 4MiB, 2GiB, 1kB, 1MB, 1GB */
int units_duration(const char *s,
                   int64_t *out_us);          /* 250ms, 1.5s, 5m, 2h, 1d, 100us; a bare number is refused (0 allowed) */
int units_count(const char *s, int64_t *out); /* 60, 25k, 1.5M */
int units_nano(const char *s, int64_t *out_nano); /* 2.50 -> 2500000000; at most 9 decimals, not negative */

#endif
