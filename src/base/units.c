/* SPDX-License-Identifier: Apache-2.0 */
/* Reads quantities as people write them: a decimal number and a unit out of a table, in integer arithmetic (0.1s is
 * exactly 100 ms). Never rounds: what is no whole number of the smallest unit is refused. Any thread. */
#include "base/units.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/check.h"

enum { DECIMALS_MAX = 9 };

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},      {"KiB", INT64_C(1) << 10}, {"MiB", INT64_C(1) << 20},  {"GiB", INT64_C(1) << 30},
    {"kB", 1000}, {"MB", 1000 * 1000},       {"GB", 1000 * 1000 * 1000},
};

static const struct unit duration_units[] = {
    {"us", 1},
    {"ms", 1000},
    {"s", 1000 * 1000},
    {"m", INT64_C(60) * 1000 * 1000},
    {"h", INT64_C(3600) * 1000 * 1000},
    {"d", INT64_C(86400) * 1000 * 1000},
};

static const struct unit count_units[] = {
    {"", 1},
    {"k", 1000},
    {"M", 1000 * 1000},
};

static const struct unit nano_units[] = {
    {"", 1000 * 1000 * 1000},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* digits[.digits] at *s; the number is *out_digits / 10^*out_decimals. */
static int read_number(const char **s, int64_t *out_digits, int *out_decimals)
{
    const char *p = *s;
    int64_t digits = 0;
    int decimals = 0;
    bool is_fraction = false;

    if (!is_digit(*p))
        return -EINVAL;
    for (;; p++) {
        if (*p == '.' && !is_fraction && is_digit(p[1])) {
            is_fraction = true;
            continue;
        }
        if (!is_digit(*p))
            break;
        if (is_fraction && ++decimals > DECIMALS_MAX)
            return -EINVAL;
        if (__builtin_mul_overflow(digits, 10, &digits) || __builtin_add_overflow(digits, *p - '0', &digits))
            return -ERANGE;
    }
    *s = p;
    *out_digits = digits;
    *out_decimals = decimals;
    return 0;
}

static int read_quantity(const char *s, const struct unit *units, size_t n, int64_t *out)
{
    __int128 value;
    int64_t digits;
    int decimals;
    size_t i;
    int r;

    r = read_number(&s, &digits, &decimals);
    if (r < 0)
        return r;
    for (i = 0; i < n && strcmp(s, units[i].name) != 0; i++)
        continue;
    if (i == n)
        return -EINVAL;
    value = (__int128)digits * units[i].factor; /* below 2^63 * 2^37 */
    for (; decimals > 0; decimals--) {
        if (value % 10 != 0)
            return -EINVAL;
        value /= 10;
    }
    if (value > INT64_MAX)
        return -ERANGE;
    *out = (int64_t)value;
    return 0;
}

int units_size(const char *s, int64_t *out_bytes)
{
    return read_quantity(s, size_units, ARRAY_LEN(size_units), out_bytes);
}

int units_duration(const char *s, int64_t *out_us)
{
    if (strcmp(s, "0") == 0) { /* nothing is nothing in any unit */
        *out_us = 0;
        return 0;
    }
    return read_quantity(s, duration_units, ARRAY_LEN(duration_units), out_us);
}

int units_count(const char *s, int64_t *out)
{
    return read_quantity(s, count_units, ARRAY_LEN(count_units), out);
}

int units_nano(const char *s, int64_t *out_nano)
{
    return read_quantity(s, nano_units, ARRAY_LEN(nano_units), out_nano);
}
